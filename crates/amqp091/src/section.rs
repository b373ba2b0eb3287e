//! The `properties` and `application-properties` sections in the encoding of AMQP 1.0 (part 1 §1.6, part 3 §3.2.4-5), as they stand in the
//! headers `x-amqp-1.0-properties` and `x-amqp-1.0-app-properties`.

use amqp::port::{Message, MessageId, Properties, Simple};

use crate::wire::Write as _;

/// A list or map with four bytes for size and number of elements, behind its descriptor.
fn compound(descriptor: u8, constructor: u8, elements: usize, inside: &[u8]) -> Vec<u8> {
    let mut out = vec![0x00, 0x53, descriptor, constructor];
    // Both are bounded by what the broker takes as properties: 60 KiB.
    out.long(u32::try_from(inside.len() + 4).unwrap_or(u32::MAX));
    out.long(u32::try_from(elements).unwrap_or(u32::MAX));
    out.extend_from_slice(inside);
    out
}

/// A value with a length of one byte or of four.
fn variable(out: &mut Vec<u8>, short: u8, bytes: &[u8]) {
    match u8::try_from(bytes.len()) {
        Ok(count) => out.extend_from_slice(&[short, count]),
        Err(_) => {
            out.push(short | 0x10);
            out.long(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        }
    }
    out.extend_from_slice(bytes);
}

const BINARY: u8 = 0xa0;
const STRING: u8 = 0xa1;
const SYMBOL: u8 = 0xa3;

fn put(out: &mut Vec<u8>, value: &Simple) {
    match value {
        Simple::Null => out.push(0x40),
        Simple::Bool(value) => out.push(if *value { 0x41 } else { 0x42 }),
        Simple::Unsigned(value, bits) => put_integer(out, [0x50, 0x60, 0x70, 0x80], *bits, *value),
        Simple::Signed(value, bits) => {
            put_integer(out, [0x51, 0x61, 0x71, 0x81], *bits, value.cast_unsigned());
        }
        Simple::Float(value) => {
            out.push(0x72);
            out.extend_from_slice(&value.to_be_bytes());
        }
        Simple::Double(value) => {
            out.push(0x82);
            out.extend_from_slice(&value.to_be_bytes());
        }
        Simple::Char(value) => {
            out.push(0x73);
            out.long(u32::from(*value));
        }
        Simple::TimestampMs(value) => {
            out.push(0x83);
            out.longlong(value.cast_unsigned());
        }
        Simple::Uuid(bytes) => {
            out.push(0x98);
            out.extend_from_slice(bytes);
        }
        Simple::Binary(bytes) => variable(out, BINARY, bytes),
        Simple::String(text) => variable(out, STRING, text.as_bytes()),
        Simple::Symbol(text) => variable(out, SYMBOL, text.as_bytes()),
    }
}

/// The low bytes of a number, as many as its width has.
fn put_integer(out: &mut Vec<u8>, constructors: [u8; 4], bits: u8, value: u64) {
    let [one, two, four, eight] = constructors;
    let (constructor, bytes) = match bits {
        8 => (one, 1),
        16 => (two, 2),
        32 => (four, 4),
        _ => (eight, 8),
    };
    out.push(constructor);
    let all = value.to_be_bytes();
    out.extend_from_slice(all.get(8 - bytes..).unwrap_or_default());
}

fn put_id(out: &mut Vec<u8>, id: &MessageId) {
    match id {
        MessageId::Ulong(number) => put(out, &Simple::Unsigned(*number, 64)),
        MessageId::Uuid(bytes) => put(out, &Simple::Uuid(*bytes)),
        MessageId::Binary(bytes) => variable(out, BINARY, bytes),
        MessageId::String(text) => variable(out, STRING, text.as_bytes()),
    }
}

/// The properties section; nothing when the message has none.
pub(crate) fn properties(message: &Message) -> Option<Vec<u8>> {
    let from = &message.properties;
    if *from == Properties::default() {
        return None;
    }
    let mut inside = Vec::with_capacity(256);
    let out = &mut inside;
    let optional = |out: &mut Vec<u8>, value: Option<Simple>| {
        put(out, &value.unwrap_or(Simple::Null));
    };
    let text = |text: &Option<String>| text.clone().map(Simple::String);
    let symbol = |text: &Option<String>| text.clone().map(Simple::Symbol);
    let id = |out: &mut Vec<u8>, id: &Option<MessageId>| match id {
        Some(id) => put_id(out, id),
        None => put(out, &Simple::Null),
    };
    id(out, &from.message_id);
    optional(out, from.user_id.clone().map(Simple::Binary));
    optional(out, text(&from.to));
    optional(out, text(&from.subject));
    optional(out, text(&from.reply_to));
    id(out, &from.correlation_id);
    optional(out, symbol(&from.content_type));
    optional(out, symbol(&from.content_encoding));
    optional(out, from.absolute_expiry_ms.map(Simple::TimestampMs));
    optional(out, from.creation_ms.map(Simple::TimestampMs));
    optional(out, text(&from.group_id));
    let sequence = from.group_sequence.map(|n| Simple::Unsigned(n.into(), 32));
    optional(out, sequence);
    optional(out, text(&from.reply_to_group_id));
    Some(compound(0x73, 0xd0, 13, &inside))
}

/// The application-properties section; nothing when the message has none.
pub(crate) fn application_properties(message: &Message) -> Option<Vec<u8>> {
    let all = &message.application_properties;
    if all.is_empty() {
        return None;
    }
    let mut inside = Vec::with_capacity(256);
    for (name, value) in all {
        variable(&mut inside, STRING, name.as_bytes());
        put(&mut inside, value);
    }
    Some(compound(0x74, 0xd1, all.len() * 2, &inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against bytes written down by hand from the specification; the tests with foreign clients read them with a foreign library.
    #[test]
    fn sections_are_the_bytes_of_the_specification() {
        let mut message = Message::default();
        assert_eq!(properties(&message), None);
        assert_eq!(application_properties(&message), None);
        message.set_property("herId", Simple::Signed(-2, 32));
        message.set_property("n", Simple::Unsigned(258, 16));
        message.set_property("t", "a");
        let expected = [
            &[0x00, 0x53, 0x74, 0xd1, 0, 0, 0, 28, 0, 0, 0, 6][..],
            &[0xa1, 5],
            b"herId",
            &[0x71, 0xff, 0xff, 0xff, 0xfe],
            &[0xa1, 1, b'n', 0x60, 1, 2],
            &[0xa1, 1, b't', 0xa1, 1, b'a'],
        ];
        assert_eq!(application_properties(&message), Some(expected.concat()));
        message.properties.subject = Some("S".repeat(256));
        message.properties.content_type = Some("x/y".to_owned());
        let (made, subject) = (properties(&message).unwrap(), "S".repeat(256));
        let expected = [
            &[0x00, 0x53, 0x73, 0xd0, 0, 0, 1, 25, 0, 0, 0, 13][..],
            &[0x40, 0x40, 0x40, 0xb1, 0, 0, 1, 0],
            subject.as_bytes(),
            &[0x40, 0x40, 0xa3, 3],
            b"x/y",
            &[0x40; 6],
        ];
        assert_eq!(made, expected.concat());
    }
}
