//! The few DER structures that JOSE keys touch: reading an RSA private key, writing a self-signed certificate.
//!
//! Input is only ever what our own crypto library wrote, so the reader is small; it still checks every length.

/// DER tags used here.
pub(crate) mod tag {
    pub const INTEGER: u8 = 0x02;
    pub const BIT_STRING: u8 = 0x03;
    pub const OCTET_STRING: u8 = 0x04;
    pub const NULL: u8 = 0x05;
    pub const OID: u8 = 0x06;
    pub const UTF8_STRING: u8 = 0x0c;
    pub const UTC_TIME: u8 = 0x17;
    pub const GENERALIZED_TIME: u8 = 0x18;
    pub const SEQUENCE: u8 = 0x30;
    pub const SET: u8 = 0x31;
    pub const CONTEXT_0: u8 = 0xa0;
}

/// Reads one element of the expected tag; gives its content and what follows it.
pub(crate) fn read(expected_tag: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&found_tag, rest) = input.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    if found_tag != expected_tag {
        return None;
    }
    let length = if first < 0x80 {
        usize::from(first)
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 3 {
            return None;
        }
        let (bytes, after) = rest.split_at_checked(count)?;
        rest = after;
        bytes
            .iter()
            .fold(0_usize, |length, byte| (length << 8) | usize::from(*byte))
    };
    rest.split_at_checked(length)
}

/// Reads a non-negative INTEGER as big-endian bytes without leading zeros.
pub(crate) fn read_unsigned(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (content, rest) = read(tag::INTEGER, input)?;
    Some((strip_zeros(content), rest))
}

/// Drops leading zero bytes.
pub(crate) fn strip_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

/// Writes one element with the given content parts.
pub(crate) fn write(element_tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = vec![element_tag];
    if let Ok(short @ 0..=0x7f) = u8::try_from(length) {
        out.push(short);
    } else {
        let bytes = length.to_be_bytes();
        let significant = strip_zeros(&bytes);
        out.push(0x80 | u8::try_from(significant.len()).unwrap_or(0));
        out.extend_from_slice(significant);
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// Writes a non-negative INTEGER.
pub(crate) fn write_unsigned(bytes: &[u8]) -> Vec<u8> {
    let significant = strip_zeros(bytes);
    match significant.first() {
        None => write(tag::INTEGER, &[&[0]]),
        Some(first) if *first >= 0x80 => write(tag::INTEGER, &[&[0], significant]),
        Some(_) => write(tag::INTEGER, &[significant]),
    }
}

/// Writes a BIT STRING of whole bytes.
pub(crate) fn write_bits(content: &[u8]) -> Vec<u8> {
    write(tag::BIT_STRING, &[&[0], content])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_round_trip() {
        for bytes in [&[][..], &[1], &[0x7f], &[0x80], &[1, 2, 3], &[0xff; 300]] {
            let written = write_unsigned(bytes);
            let (read_back, rest) = read_unsigned(&written).unwrap();
            assert_eq!((read_back, rest), (bytes, &[][..]));
        }
    }

    #[test]
    fn truncated_input_is_refused() {
        let written = write(tag::SEQUENCE, &[&[7; 200]]);
        for end in 0..written.len() {
            assert_eq!(read(tag::SEQUENCE, &written[..end]), None);
        }
        assert_eq!(read(tag::SEQUENCE, &[tag::SEQUENCE, 0x80]), None);
        assert_eq!(
            read(tag::SEQUENCE, &[tag::SEQUENCE, 0x84, 1, 1, 1, 1]),
            None
        );
    }
}
