//! A message of AMQP 1.0 as content of AMQP 0.9.1.
//!
//! | AMQP 1.0 | AMQP 0.9.1 |
//! |---|---|
//! | header: durable, priority, ttl | delivery-mode, priority, expiration |
//! | content-type, content-encoding, correlation-id, reply-to, message-id, user-id, creation-time | the property of that name (creation-time in seconds: timestamp), where it fits |
//! | delivery-count | header `x-delivery-count`, from the second delivery on |
//! | properties, application-properties | headers `x-amqp-1.0-properties`, `x-amqp-1.0-app-properties`: the sections as they are encoded |
//! | application properties that are numbers, truth values or times | a header of the same name besides |
//! | data | the body; type `binary` |
//!
//! Texts among the application properties have no header of their own: libraries hand them out as bytes, and the clients made for the
//! national bus take a header that is there for the converted value.

use amqp::port::{Message, Simple};

use crate::frame::{self, AROUND, Kind};
use crate::section;
use crate::wire::Write as _;

/// Class of the content.
const BASIC: u16 = 60;
/// What headers of ours begin with; an application property cannot pass for one.
const OURS: [&str; 2] = ["x-amqp-1.0-", "x-delivery-count"];

/// The content header does not fit into one frame, and it may not be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// Appends a method that carries content, with the content behind it.
///
/// # Errors
/// Nothing is appended when the content header is larger than a frame.
pub(crate) fn put(
    out: &mut Vec<u8>,
    channel: u16,
    method: &[u8],
    message: &Message,
    max_frame_bytes: usize,
) -> Result<(), TooLarge> {
    let most = max_frame_bytes.saturating_sub(AROUND).max(1);
    let header = header(message);
    if header.len() > most {
        return Err(TooLarge);
    }
    frame::put(out, Kind::Method, channel, method);
    frame::put(out, Kind::Header, channel, &header);
    for part in message.body.chunks(most) {
        frame::put(out, Kind::Body, channel, part);
    }
    Ok(())
}

/// The payload of the header frame.
fn header(message: &Message) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.short(BASIC);
    out.short(0);
    out.longlong(u64::try_from(message.body.len()).unwrap_or(u64::MAX));
    let (flags, values) = properties(message);
    out.short(flags);
    out.extend_from_slice(&values);
    out
}

/// The property flags, highest first, and the values of those that are set.
fn properties(message: &Message) -> (u16, Vec<u8>) {
    let (from, mut flags, mut values) = (&message.properties, 0u16, Vec::with_capacity(256));
    let mut text = |flag: u16, text: Option<&str>, out: &mut Vec<u8>| {
        // What does not fit is in the section.
        let fits = |text: &&str| text.len() <= 255;
        if let Some(text) = text.filter(fits) {
            flags |= flag;
            out.short_string(text);
        }
    };
    let out = &mut values;
    text(1 << 15, from.content_type.as_deref(), out);
    text(1 << 14, from.content_encoding.as_deref(), out);
    out.table(|table| headers(message, table));
    out.octet(if message.header.durable { 2 } else { 1 });
    if let Some(priority) = message.header.priority {
        out.octet(priority);
    }
    let id = |id: &Option<amqp::port::MessageId>| id.as_ref().map(|id| id.as_text());
    text(1 << 10, id(&from.correlation_id).as_deref(), out);
    let reply_to = from.reply_to.as_deref();
    text(1 << 9, reply_to, out);
    let ttl = message.header.ttl_ms.map(|ttl| ttl.to_string());
    text(1 << 8, ttl.as_deref(), out);
    text(1 << 7, id(&from.message_id).as_deref(), out);
    if let Some(seconds) = timestamp(from.creation_ms) {
        out.longlong(seconds);
    }
    text(1 << 5, Some("binary"), out);
    let user = from.user_id.as_deref();
    let user = user.and_then(|user| std::str::from_utf8(user).ok());
    text(1 << 4, user, out);
    flags |= 1 << 13 | 1 << 12;
    if message.header.priority.is_some() {
        flags |= 1 << 11;
    }
    if timestamp(from.creation_ms).is_some() {
        flags |= 1 << 6;
    }
    (flags, values)
}

fn timestamp(ms: Option<i64>) -> Option<u64> {
    ms.and_then(|ms| u64::try_from(ms / 1000).ok())
}

/// The fields of the headers table.
fn headers(message: &Message, table: &mut Vec<u8>) {
    let mut bytes = |name: &str, value: Option<Vec<u8>>| {
        if let Some(value) = value {
            table.short_string(name);
            table.octet(b'S');
            table.long_string(&value);
        }
    };
    bytes("x-amqp-1.0-properties", section::properties(message));
    let application = section::application_properties(message);
    bytes("x-amqp-1.0-app-properties", application);
    if message.header.delivery_count > 0 {
        table.short_string("x-delivery-count");
        table.octet(b'l');
        table.longlong(message.header.delivery_count.into());
    }
    for (name, value) in &message.application_properties {
        let is_ours = OURS.iter().any(|ours| name.starts_with(ours));
        if is_ours || name.is_empty() || name.len() > 128 {
            continue;
        }
        let Some(field) = field(value) else { continue };
        table.short_string(name);
        table.extend_from_slice(&field);
    }
}

/// A value as a field of a table, for those that have a header of their own.
fn field(value: &Simple) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(9);
    match value {
        Simple::Bool(value) => {
            out.octet(b't');
            out.octet((*value).into());
        }
        Simple::Signed(value, _) => number(&mut out, *value),
        Simple::Unsigned(value, _) => number(&mut out, i64::try_from(*value).ok()?),
        Simple::Float(value) => {
            out.octet(b'd');
            out.extend_from_slice(&f64::from(*value).to_be_bytes());
        }
        Simple::Double(value) => {
            out.octet(b'd');
            out.extend_from_slice(&value.to_be_bytes());
        }
        Simple::TimestampMs(ms) => {
            out.octet(b'T');
            out.longlong(timestamp(Some(*ms))?);
        }
        _ => return None,
    }
    Some(out)
}

fn number(out: &mut Vec<u8>, value: i64) {
    match i32::try_from(value) {
        Ok(value) => {
            out.octet(b'I');
            out.long(value.cast_unsigned());
        }
        Err(_) => {
            out.octet(b'l');
            out.longlong(value.cast_unsigned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use amqp::port::MessageId;
    use bytes::{Bytes, BytesMut};
    use proptest::prelude::*;

    fn message() -> Message {
        let mut message = Message {
            body: Bytes::from_static(b"0123456789"),
            ..Message::default()
        };
        message.header.durable = true;
        message.properties.message_id = Some(MessageId::String("m".to_owned()));
        message.set_property("herId", Simple::Signed(8_900_901, 32));
        message.set_property("eventName", "Updated");
        message.set_property("x-delivery-count", Simple::Signed(9, 32));
        message
    }

    #[test]
    fn numbers_are_headers_and_texts_are_not() {
        let (flags, values) = properties(&message());
        assert_eq!(flags, 1 << 13 | 1 << 12 | 1 << 7 | 1 << 5);
        let has = |what: &[u8]| values.windows(what.len()).any(|window| window == what);
        let her_id = [&b"\x05herIdI"[..], &8_900_901i32.to_be_bytes()].concat();
        assert!(has(&her_id));
        assert!(has(b"\x19x-amqp-1.0-app-propertiesS"));
        assert!(has(b"\xa1\x09eventName\xa1\x07Updated"), "in the section");
        assert!(!has(b"\x09eventNameS") && !has(b"\x10x-delivery-countI"));
        let mut again = message();
        again.header.delivery_count = 3;
        let (_, values) = properties(&again);
        let count = [&b"\x10x-delivery-countl"[..], &3u64.to_be_bytes()].concat();
        assert!(values.windows(count.len()).any(|window| window == count));
    }

    #[test]
    fn the_body_is_cut_to_frames_and_the_header_is_not() {
        let mut out = Vec::new();
        let mut large = message();
        large.body = vec![7; 10_000].into();
        put(&mut out, 3, &[0, 60, 0, 60], &large, 4096).unwrap();
        let mut input = BytesMut::from(&out[..]);
        let mut sizes = Vec::new();
        while let Some(frame) = frame::take(&mut input, 4096).unwrap() {
            assert_eq!(frame.channel, 3);
            sizes.push((frame.kind, frame.payload.len()));
        }
        let bodies: Vec<_> = sizes
            .iter()
            .filter(|(kind, _)| *kind == Kind::Body)
            .collect();
        assert_eq!(bodies.iter().map(|(_, size)| size).sum::<usize>(), 10_000);
        assert_eq!((sizes.len(), bodies.len()), (5, 3));
        large.set_property("long", "x".repeat(5_000));
        let before = out.clone();
        assert_eq!(put(&mut out, 3, &[], &large, 4096), Err(TooLarge));
        assert_eq!(out, before);
    }

    proptest! {
        #[test]
        fn any_message_can_be_told(subject in ".{0,120}", name in ".{0,120}", text in ".{0,120}", number in any::<i64>(), bits in prop_oneof![Just(8u8), Just(16), Just(32), Just(64)], ms in any::<i64>(), body in 0usize..9_000) {
            let mut message = message();
            message.properties.subject = Some(subject.clone());
            message.properties.content_type = Some(subject);
            message.properties.creation_ms = Some(ms);
            message.set_property(&name, Simple::Signed(number, bits));
            message.set_property("text", text);
            message.set_property("when", Simple::TimestampMs(ms));
            message.body = vec![1; body].into();
            let mut out = Vec::new();
            put(&mut out, 1, &[0, 60, 0, 60], &message, 4096).unwrap();
            let mut input = BytesMut::from(&out[..]);
            let mut told = 0;
            while let Some(frame) = frame::take(&mut input, 4096).unwrap() {
                told += if frame.kind == Kind::Body { frame.payload.len() } else { 0 };
            }
            prop_assert_eq!(told, body);
        }
    }
}
