//! Message sections (AMQP 1.0 part 3 §3.2) ↔ [`Message`].

use bytes::Bytes;

use crate::codec::{Encode as _, Fault, Fields, Items, Reader, Value};
use crate::port::{Header, Message, MessageId, Properties, Simple};

/// A body smaller than this does not keep the bytes it came in from being used again.
const MIN_SHARED_BODY: usize = 4 << 10;
/// Most entries of a map of properties or annotations.
const MAX_ENTRIES: usize = 1024;
/// Normal priority; what is meant when none is given.
const NORMAL_PRIORITY: u8 = 4;
/// What a broker says about its own locks. From a sender it would make receivers drop the message.
const LOCKED_UNTIL: &str = "x-opt-locked-until";

const HEADER: u64 = 0x70;
const DELIVERY_ANNOTATIONS: u64 = 0x71;
const MESSAGE_ANNOTATIONS: u64 = 0x72;
const PROPERTIES: u64 = 0x73;
const APPLICATION_PROPERTIES: u64 = 0x74;
const DATA: u64 = 0x75;
const SEQUENCE: u64 = 0x76;
const VALUE: u64 = 0x77;
const FOOTER: u64 = 0x78;

/// Descriptors may be symbols.
const NAMES: &[(&str, u64)] = &[
    ("amqp:header:list", HEADER),
    ("amqp:delivery-annotations:map", DELIVERY_ANNOTATIONS),
    ("amqp:message-annotations:map", MESSAGE_ANNOTATIONS),
    ("amqp:properties:list", PROPERTIES),
    ("amqp:application-properties:map", APPLICATION_PROPERTIES),
    ("amqp:data:binary", DATA),
    ("amqp:amqp-sequence:list", SEQUENCE),
    ("amqp:amqp-value:*", VALUE),
    ("amqp:footer:map", FOOTER),
];

/// Why bytes are not a message of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("the message could not be decoded: {0}")]
    Fault(#[from] Fault),
    #[error(
        "the body is an amqp-value section that holds neither bytes nor text; send exactly one data section with the raw bytes"
    )]
    Value,
    #[error(
        "the body is an amqp-sequence section; send exactly one data section with the raw bytes"
    )]
    Sequence,
    #[error(
        "the message has bodies of two kinds; send exactly one data section with the raw bytes"
    )]
    TwoBodies,
    #[error("the message has more than {MAX_ENTRIES} properties or annotations")]
    ManyEntries,
}

/// A body as it is put together.
enum Body<'a> {
    None,
    /// One section: it can be shared with the bytes it lies in.
    One(&'a [u8]),
    /// Several data sections, one after another.
    Joined(Vec<u8>),
    Value(&'a [u8]),
}

impl<'a> Body<'a> {
    fn data(self, more: &'a [u8]) -> Result<Self, Unreadable> {
        Ok(match self {
            Self::None => Self::One(more),
            Self::One(first) => Self::Joined([first, more].concat()),
            Self::Joined(mut all) => {
                all.extend_from_slice(more);
                Self::Joined(all)
            }
            Self::Value(_) => return Err(Unreadable::TwoBodies),
        })
    }
}

/// Takes over an incoming message. Its body shares the bytes of `whole` where that is worth it.
pub(crate) fn read(whole: &Bytes) -> Result<Message, Unreadable> {
    let mut message = Message {
        header: Header {
            priority: Some(NORMAL_PRIORITY),
            ..Header::default()
        },
        ..Message::default()
    };
    let mut body = Body::None;
    let mut reader = Reader::new(whole);
    while !reader.is_empty() {
        match reader.descriptor(NAMES)? {
            HEADER => message.header = read_header(&mut reader.fields()?)?,
            PROPERTIES => message.properties = read_properties(&mut reader.fields()?)?,
            MESSAGE_ANNOTATIONS => {
                message.message_annotations = read_annotations(map(reader.value()?)?)?;
            }
            APPLICATION_PROPERTIES => {
                message.application_properties =
                    read_application_properties(map(reader.value()?)?)?;
            }
            DATA => {
                let Value::Binary(bytes) = reader.value()? else {
                    return Err(Fault::Expected("bytes in a data section").into());
                };
                body = body.data(bytes)?;
            }
            // Many clients put bytes or text into a value section unless told otherwise; nothing is lost by reading them.
            VALUE => {
                let bytes = match reader.value()? {
                    Value::Binary(bytes) => bytes,
                    Value::String(text) => text.as_bytes(),
                    _ => return Err(Unreadable::Value),
                };
                let Body::None = body else {
                    return Err(Unreadable::TwoBodies);
                };
                body = Body::Value(bytes);
            }
            SEQUENCE => return Err(Unreadable::Sequence),
            // For the next node on the way, and for who checks a signature over the bare message: that is nobody here.
            DELIVERY_ANNOTATIONS | FOOTER => {
                reader.raw()?;
            }
            _ => return Err(Fault::Descriptor.into()),
        }
    }
    message.body = match body {
        Body::None => Bytes::new(),
        Body::Joined(all) => Bytes::from(all),
        Body::One(bytes) | Body::Value(bytes) if bytes.len() < MIN_SHARED_BODY => {
            Bytes::copy_from_slice(bytes)
        }
        Body::One(bytes) | Body::Value(bytes) => whole.slice_ref(bytes),
    };
    Ok(message)
}

fn map(value: Value<'_>) -> Result<Option<Items<'_>>, Fault> {
    match value {
        Value::Map(items) => Ok(Some(items)),
        Value::Null => Ok(None),
        _ => Err(Fault::Expected("a map")),
    }
}

fn read_header(fields: &mut Fields<'_>) -> Result<Header, Fault> {
    Ok(Header {
        durable: fields.bool()?.unwrap_or(false),
        priority: Some(fields.ubyte()?.unwrap_or(NORMAL_PRIORITY)),
        ttl_ms: fields.uint()?,
        first_acquirer: fields.bool()?.unwrap_or(false),
        delivery_count: fields.uint()?.unwrap_or(0),
    })
}

fn read_properties(fields: &mut Fields<'_>) -> Result<Properties, Fault> {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    Ok(Properties {
        message_id: read_id(fields.value()?)?,
        user_id: fields.binary()?.map(<[u8]>::to_vec),
        to: read_address(fields.value()?)?,
        subject: owned(fields.text()?),
        reply_to: read_address(fields.value()?)?,
        correlation_id: read_id(fields.value()?)?,
        content_type: owned(fields.text()?),
        content_encoding: owned(fields.text()?),
        absolute_expiry_ms: fields.timestamp()?,
        creation_ms: fields.timestamp()?,
        group_id: owned(fields.text()?),
        group_sequence: fields.uint()?,
        reply_to_group_id: owned(fields.text()?),
    })
}

fn read_address(value: Value<'_>) -> Result<Option<String>, Fault> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) | Value::Symbol(text) => Ok(Some(text.to_owned())),
        _ => Err(Fault::Expected("an address that is a text")),
    }
}

fn read_id(value: Value<'_>) -> Result<Option<MessageId>, Fault> {
    Ok(Some(match value {
        Value::Null => return Ok(None),
        Value::Unsigned(number, _) => MessageId::Ulong(number),
        Value::Uuid(bytes) => MessageId::Uuid(bytes),
        Value::Binary(bytes) => MessageId::Binary(bytes.to_vec()),
        Value::String(text) | Value::Symbol(text) => MessageId::String(text.to_owned()),
        _ => {
            return Err(Fault::Expected(
                "a message id: a number, a UUID, bytes or a text",
            ));
        }
    }))
}

fn read_annotations(items: Option<Items<'_>>) -> Result<Vec<(Simple, Simple)>, Unreadable> {
    let mut found = Vec::new();
    let Some(mut items) = items else {
        return Ok(found);
    };
    while let Some(key) = items.next()? {
        let value = items.next()?.unwrap_or(Value::Null);
        if matches!(
            key,
            Value::Symbol(LOCKED_UNTIL) | Value::String(LOCKED_UNTIL)
        ) {
            continue;
        }
        if found.len() >= MAX_ENTRIES {
            return Err(Unreadable::ManyEntries);
        }
        if let (Some(key), Some(value)) = (simple(key), simple(value)) {
            found.push((key, value));
        }
    }
    Ok(found)
}

/// A name that comes twice counts once, with what it stands for last: or two readers could read two different messages.
fn read_application_properties(
    items: Option<Items<'_>>,
) -> Result<Vec<(String, Simple)>, Unreadable> {
    let mut found: Vec<(String, Simple)> = Vec::new();
    let Some(mut items) = items else {
        return Ok(found);
    };
    while let Some(key) = items.next()? {
        let value = items.next()?.unwrap_or(Value::Null);
        let (Value::String(key) | Value::Symbol(key)) = key else {
            return Err(Fault::Expected("texts as names of application properties").into());
        };
        let Some(value) = simple(value) else { continue };
        let is_full = found.len() >= MAX_ENTRIES;
        match found.iter_mut().find(|(known, _)| known == key) {
            Some((_, earlier)) => *earlier = value,
            None if is_full => return Err(Unreadable::ManyEntries),
            None => found.push((key.to_owned(), value)),
        }
    }
    Ok(found)
}

/// Values that [`Simple`] cannot carry are left out.
fn simple(value: Value<'_>) -> Option<Simple> {
    Some(match value {
        Value::Null => Simple::Null,
        Value::Bool(value) => Simple::Bool(value),
        Value::Unsigned(number, bits) => Simple::Unsigned(number, bits),
        Value::Signed(number, bits) => Simple::Signed(number, bits),
        Value::Float(number) => Simple::Float(number),
        Value::Double(number) => Simple::Double(number),
        Value::Char(character) => Simple::Char(character),
        Value::Timestamp(ms) => Simple::TimestampMs(ms),
        Value::Uuid(bytes) => Simple::Uuid(bytes),
        Value::Binary(bytes) => Simple::Binary(bytes.to_vec()),
        Value::String(text) => Simple::String(text.to_owned()),
        Value::Symbol(text) => Simple::Symbol(text.to_owned()),
        Value::Decimal(_)
        | Value::List(_)
        | Value::Map(_)
        | Value::Array(_)
        | Value::Described(_) => return None,
    })
}

/// Appends all that stands before the bytes of the body, which is one data section. A header that says nothing is left out.
pub(crate) fn write_before_body(message: &Message, out: &mut Vec<u8>) {
    let header = &message.header;
    if *header != Header::default() {
        out.described(HEADER);
        out.list(|fields| {
            fields
                .bool(header.durable.then_some(true))
                .ubyte(header.priority)
                .uint(header.ttl_ms)
                .bool(header.first_acquirer)
                .uint(header.delivery_count);
        });
    }
    if !message.message_annotations.is_empty() {
        out.described(MESSAGE_ANNOTATIONS);
        out.map(message.message_annotations.len(), |out| {
            for (key, value) in &message.message_annotations {
                write_simple(key, out);
                write_simple(value, out);
            }
        });
    }
    if message.properties != Properties::default() {
        write_properties(&message.properties, out);
    }
    if !message.application_properties.is_empty() {
        out.described(APPLICATION_PROPERTIES);
        out.map(message.application_properties.len(), |out| {
            for (key, value) in &message.application_properties {
                out.string(key);
                write_simple(value, out);
            }
        });
    }
    out.described(DATA);
    out.binary_head(message.body.len());
}

/// Appends so many bytes of a message, from a place in it: a message is what stands before its body, and the body.
pub(crate) fn write_part(before: &[u8], body: &[u8], from: usize, count: usize, out: &mut Vec<u8>) {
    let head = before.get(from..).unwrap_or_default();
    let head = head.get(..count).unwrap_or(head);
    out.extend_from_slice(head);
    let rest = body.get(from.saturating_sub(before.len())..);
    let rest = rest.unwrap_or_default();
    out.extend_from_slice(rest.get(..count - head.len()).unwrap_or(rest));
}

fn write_properties(properties: &Properties, out: &mut Vec<u8>) {
    out.described(PROPERTIES);
    out.list(|fields| {
        fields
            .field(properties.message_id.as_ref(), write_id)
            .binary(properties.user_id.as_deref())
            .string(properties.to.as_deref())
            .string(properties.subject.as_deref())
            .string(properties.reply_to.as_deref())
            .field(properties.correlation_id.as_ref(), write_id)
            .symbol(properties.content_type.as_deref())
            .symbol(properties.content_encoding.as_deref())
            .timestamp(properties.absolute_expiry_ms)
            .timestamp(properties.creation_ms)
            .string(properties.group_id.as_deref())
            .uint(properties.group_sequence)
            .string(properties.reply_to_group_id.as_deref());
    });
}

fn write_id(out: &mut Vec<u8>, id: &MessageId) {
    match id {
        MessageId::Ulong(number) => out.ulong(*number),
        MessageId::Uuid(bytes) => out.uuid(bytes),
        MessageId::Binary(bytes) => out.binary(bytes),
        MessageId::String(text) => out.string(text),
    }
}

/// Integers keep their width; a number that does not fit it (which only our own code could make) is clamped.
fn write_simple(value: &Simple, out: &mut Vec<u8>) {
    match value {
        Simple::Null => out.null(),
        Simple::Bool(value) => out.bool(*value),
        Simple::Unsigned(number, 8) => out.ubyte(u8::try_from(*number).unwrap_or(u8::MAX)),
        Simple::Unsigned(number, 16) => out.ushort(u16::try_from(*number).unwrap_or(u16::MAX)),
        Simple::Unsigned(number, 32) => out.uint(u32::try_from(*number).unwrap_or(u32::MAX)),
        Simple::Unsigned(number, _) => out.ulong(*number),
        Simple::Signed(number, 8) => out.byte(i8::try_from(*number).unwrap_or(i8::MAX)),
        Simple::Signed(number, 16) => out.short(i16::try_from(*number).unwrap_or(i16::MAX)),
        Simple::Signed(number, 32) => out.int(i32::try_from(*number).unwrap_or(i32::MAX)),
        Simple::Signed(number, _) => out.long(*number),
        Simple::Float(number) => out.float(*number),
        Simple::Double(number) => out.double(*number),
        Simple::Char(character) => out.char(*character),
        Simple::TimestampMs(ms) => out.timestamp(*ms),
        Simple::Uuid(bytes) => out.uuid(bytes),
        Simple::Binary(bytes) => out.binary(bytes),
        Simple::String(text) => out.string(text),
        Simple::Symbol(text) => out.symbol(text),
    }
}

#[cfg(test)]
mod tests;
