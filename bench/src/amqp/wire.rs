//! Just enough of the AMQP 1.0 wire for a generator that costs next to nothing: performatives written by hand, and read as
//! far as their first fields. The broker side is measured, so this side must not be in its way.

use anyhow::{Context, Result, bail};

pub const OPEN: u8 = 0x10;
pub const BEGIN: u8 = 0x11;
pub const ATTACH: u8 = 0x12;
pub const FLOW: u8 = 0x13;
pub const TRANSFER: u8 = 0x14;
pub const DISPOSITION: u8 = 0x15;
pub const DETACH: u8 = 0x16;
pub const END: u8 = 0x17;
pub const CLOSE: u8 = 0x18;
pub const SASL_INIT: u8 = 0x41;
pub const SASL_OUTCOME: u8 = 0x44;

/// Outcomes.
pub const ACCEPTED: u8 = 0x24;

/// One field of a performative.
pub enum Field<'a> {
    /// Null.
    Null,
    /// Truth.
    Bool(bool),
    /// Number of 8 bits.
    Byte(u8),
    /// Number of 16 bits.
    Short(u16),
    /// Number of 32 bits.
    Int(u32),
    /// Text.
    Text(&'a str),
    /// Symbol.
    Symbol(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// Something already encoded.
    Raw(&'a [u8]),
}

/// Writes one value.
pub fn put(out: &mut Vec<u8>, field: &Field<'_>) {
    let mut sized = |short: u8, long: u8, bytes: &[u8]| {
        match u8::try_from(bytes.len()) {
            Ok(length) => out.extend([short, length]),
            Err(_) => {
                out.push(long);
                out.extend((bytes.len() as u32).to_be_bytes());
            }
        }
        out.extend_from_slice(bytes);
    };
    match field {
        Field::Null => out.push(0x40),
        Field::Bool(truth) => out.push(if *truth { 0x41 } else { 0x42 }),
        Field::Byte(number) => out.extend([0x50, *number]),
        Field::Short(number) => {
            out.push(0x60);
            out.extend(number.to_be_bytes());
        }
        Field::Int(number) => {
            out.push(0x70);
            out.extend(number.to_be_bytes());
        }
        Field::Text(text) => sized(0xa1, 0xb1, text.as_bytes()),
        Field::Symbol(text) => sized(0xa3, 0xb3, text.as_bytes()),
        Field::Bytes(bytes) => sized(0xa0, 0xb0, bytes),
        Field::Raw(bytes) => out.extend_from_slice(bytes),
    }
}

/// A described list.
pub fn list(code: u8, fields: &[Field<'_>]) -> Vec<u8> {
    let mut inner = Vec::new();
    for field in fields {
        put(&mut inner, field);
    }
    let mut out = vec![0x00, 0x53, code, 0xd0];
    out.extend((inner.len() as u32 + 4).to_be_bytes());
    out.extend((fields.len() as u32).to_be_bytes());
    out.extend(inner);
    out
}

/// A described map of texts.
pub fn text_map(code: u8, entries: &[(&str, &str)]) -> Vec<u8> {
    let mut inner = Vec::new();
    for (name, value) in entries {
        put(&mut inner, &Field::Text(name));
        put(&mut inner, &Field::Text(value));
    }
    let mut out = vec![0x00, 0x53, code, 0xd1];
    out.extend((inner.len() as u32 + 4).to_be_bytes());
    out.extend((2 * entries.len() as u32).to_be_bytes());
    out.extend(inner);
    out
}

/// Appends a frame: kind 0 is AMQP, 1 is SASL.
pub fn frame(out: &mut Vec<u8>, kind: u8, channel: u16, performative: &[u8], payload: &[u8]) {
    let size = 8 + performative.len() + payload.len();
    out.extend((size as u32).to_be_bytes());
    out.extend([2, kind]);
    out.extend(channel.to_be_bytes());
    out.extend_from_slice(performative);
    out.extend_from_slice(payload);
}

/// A frame as read.
pub struct Frame<'a> {
    /// Descriptor of its performative; 0 for an empty frame.
    pub code: u8,
    /// Fields of the performative.
    pub fields: Fields<'a>,
    /// What follows the performative.
    pub payload: &'a [u8],
    /// Bytes of the whole frame.
    pub size: usize,
}

/// The next whole frame of a buffer.
///
/// # Errors
/// When it is none.
pub fn next(buffer: &[u8]) -> Result<Option<Frame<'_>>> {
    let Some([a, b, c, d, offset, ..]) = buffer.first_chunk::<8>().copied() else {
        return Ok(None);
    };
    let size = u32::from_be_bytes([a, b, c, d]) as usize;
    if size < 8 {
        bail!("a frame of {size} bytes");
    }
    let Some(whole) = buffer.get(..size) else {
        return Ok(None);
    };
    let body = whole
        .get(usize::from(offset) * 4..)
        .context("a frame shorter than its header")?;
    if body.is_empty() {
        let (fields, payload) = (Fields { rest: &[] }, body);
        return Ok(Some(Frame {
            code: 0,
            fields,
            payload,
            size,
        }));
    }
    let [0x00, 0x53, code, kind, ..] = *body else {
        bail!("a performative in an encoding that this generator does not read");
    };
    let rest = body.get(4..).unwrap_or_default();
    let (length, skip) = match kind {
        0x45 => (0, 0),
        0xc0 => (usize::from(*rest.first().context("cut")?), 1),
        0xd0 => (
            u32::from_be_bytes(*rest.first_chunk::<4>().context("cut")?) as usize,
            4,
        ),
        other => bail!("a performative of kind {other:#x}"),
    };
    let fields = rest.get(skip..skip + length).context("cut")?;
    let payload = rest.get(skip + length..).context("cut")?;
    // The count has as many bytes as the size.
    let rest = fields.get(skip..).unwrap_or_default();
    Ok(Some(Frame {
        code,
        fields: Fields { rest },
        payload,
        size,
    }))
}

/// Fields of a list, one after the other.
#[derive(Clone, Copy)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Fields of a section's content, given what follows its descriptor.
    pub fn of(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// The next field as it stands, its constructor first; nothing at the end.
    pub fn raw(&mut self) -> Option<&'a [u8]> {
        let size = size_of(self.rest)?;
        let (field, rest) = self.rest.split_at_checked(size)?;
        self.rest = rest;
        Some(field)
    }

    /// Skips so many.
    pub fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.raw();
        }
    }

    /// The next field as a number; nothing for null and at the end.
    pub fn number(&mut self) -> Option<u64> {
        match self.raw()? {
            [0x42..=0x44] => Some(0),
            [0x41] => Some(1),
            [
                0x50 | 0x52 | 0x53 | 0x54 | 0x55 | 0x56 | 0x60 | 0x70 | 0x80,
                number @ ..,
            ] => Some(
                number
                    .iter()
                    .fold(0, |acc, byte| (acc << 8) | u64::from(*byte)),
            ),
            _ => None,
        }
    }
}

/// Bytes of the value at the beginning.
fn size_of(bytes: &[u8]) -> Option<usize> {
    let kind = *bytes.first()?;
    if kind == 0 {
        let descriptor = size_of(bytes.get(1..)?)?;
        return Some(1 + descriptor + size_of(bytes.get(1 + descriptor..)?)?);
    }
    Some(match kind >> 4 {
        0x4 => 1,
        0x5 => 2,
        0x6 => 3,
        0x7 => 5,
        0x8 => 9,
        0x9 => 17,
        0xa | 0xc | 0xe => 2 + usize::from(*bytes.get(1)?),
        0xb | 0xd | 0xf => 5 + u32::from_be_bytes(*bytes.get(1..)?.first_chunk::<4>()?) as usize,
        _ => return None,
    })
}

/// The message-id of a message, when it is a text.
pub fn message_id(payload: &[u8]) -> Option<&str> {
    let mut sections = Fields::of(payload);
    while let Some(section) = sections.raw() {
        let [0x00, 0x53, 0x73, kind, rest @ ..] = section else {
            continue;
        };
        let skip = match kind {
            0xc0 => 2,
            0xd0 => 8,
            _ => return None,
        };
        let mut fields = Fields::of(rest.get(skip..)?);
        return match fields.raw()? {
            [0xa1, _, text @ ..] => std::str::from_utf8(text).ok(),
            _ => None,
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let flow = list(
            FLOW,
            &[
                Field::Null,
                Field::Int(7),
                Field::Text("x"),
                Field::Bool(true),
            ],
        );
        let mut bytes = Vec::new();
        frame(&mut bytes, 0, 3, &flow, b"rest");
        assert!(next(&bytes[..bytes.len() - 1]).unwrap().is_none());
        let mut read = next(&bytes).unwrap().unwrap();
        assert_eq!((read.code, read.size), (FLOW, bytes.len()));
        assert_eq!(read.payload, b"rest");
        assert_eq!(read.fields.number(), None);
        assert_eq!(read.fields.number(), Some(7));
        assert_eq!(read.fields.raw(), Some(&[0xa1, 1, b'x'][..]));
        assert_eq!(read.fields.number(), Some(1));
        assert!(read.fields.raw().is_none());
    }

    #[test]
    fn the_message_id_is_found() {
        let header = list(0x70, &[Field::Bool(true)]);
        let properties = list(0x73, &[Field::Text("an-id"), Field::Null]);
        let payload = [header, properties].concat();
        assert_eq!(message_id(&payload), Some("an-id"));
        assert_eq!(message_id(&[0, 0x53]), None);
    }
}
