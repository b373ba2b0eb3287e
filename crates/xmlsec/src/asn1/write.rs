//! DER out: every function returns or appends one complete value.

use super::tag;

/// Number of octets the length field of a content of `length` bytes takes in DER.
pub(crate) fn length_octets(length: usize) -> usize {
    if length < 0x80 {
        return 1;
    }
    1 + (usize::BITS as usize - length.leading_zeros() as usize).div_ceil(8)
}

pub(crate) fn tlv_into(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    let octets = length_octets(content.len());
    if octets == 1 {
        out.push(content.len() as u8);
    } else {
        out.push(0x80 | (octets as u8 - 1));
        let bytes = content.len().to_be_bytes();
        out.extend(bytes.iter().skip(bytes.len() - (octets - 1)));
    }
    out.extend_from_slice(content);
}

pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 6);
    tlv_into(&mut out, tag, content);
    out
}

pub(crate) fn concat(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    tlv(tag, &parts.concat())
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    concat(tag::SEQUENCE, parts)
}

/// SET OF in DER: members sorted by their encoding.
pub(crate) fn set_of(mut members: Vec<Vec<u8>>) -> Vec<u8> {
    members.sort();
    tlv(tag::SET, &members.concat())
}

pub(crate) fn oid(content: &[u8]) -> Vec<u8> {
    tlv(tag::OID, content)
}

pub(crate) fn octets(content: &[u8]) -> Vec<u8> {
    tlv(tag::OCTET_STRING, content)
}

pub(crate) fn null() -> Vec<u8> {
    tlv(tag::NULL, &[])
}

pub(crate) fn integer(value: u32) -> Vec<u8> {
    let mut bytes: Vec<u8> = value
        .to_be_bytes()
        .into_iter()
        .skip_while(|byte| *byte == 0)
        .collect();
    if bytes.first().is_none_or(|byte| byte & 0x80 != 0) {
        bytes.insert(0, 0);
    }
    tlv(tag::INTEGER, &bytes)
}

/// `AlgorithmIdentifier` with these parameters (already encoded; empty = absent).
pub(crate) fn algorithm(oid_content: &[u8], parameters: &[u8]) -> Vec<u8> {
    sequence(&[&oid(oid_content), parameters])
}

pub(crate) fn explicit(number: u8, inner: &[u8]) -> Vec<u8> {
    tlv(tag::context_constructed(number), inner)
}
