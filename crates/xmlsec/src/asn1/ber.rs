use std::borrow::Cow;

use super::read::header;
use super::{Asn1Error, Limits, tag, write};

const CONSTRUCTED: u8 = 0x20;
const END_OF_CONTENTS: u8 = 0x00;

/// Turns BER framing into DER framing: definite minimal lengths, and universal OCTET STRINGs in one piece.
///
/// Input that is already framed so is returned as it came. A context-tagged constructed value cannot be told from
/// an explicit tag and keeps its pieces; the CMS reader joins them where the syntax says so. The order of SET members and the
/// content of primitive values are left alone.
///
/// # Errors
/// Input that is not BER, has bytes after the first value, or exceeds the limits.
pub fn to_der(input: &[u8], limits: Limits) -> Result<Cow<'_, [u8]>, Asn1Error> {
    if input.len() > limits.max_bytes {
        return Err(Asn1Error::new(limits.max_bytes, "more bytes than allowed"));
    }
    let mut walk = Walk {
        limits,
        values: 0,
        is_der: true,
    };
    let end = walk.check(input, 0, 0)?;
    if end != input.len() {
        return Err(Asn1Error::new(end, "bytes after the end of the structure"));
    }
    if walk.is_der {
        return Ok(Cow::Borrowed(input));
    }
    let mut out = Vec::with_capacity(input.len());
    convert(input, &mut out)?;
    Ok(Cow::Owned(out))
}

struct Walk {
    limits: Limits,
    values: usize,
    is_der: bool,
}

impl Walk {
    /// Checks the value at the start of `bytes` against the limits and returns its length in bytes.
    fn check(&mut self, bytes: &[u8], at: usize, depth: usize) -> Result<usize, Asn1Error> {
        if depth > self.limits.max_depth {
            return Err(Asn1Error::new(at, "nesting deeper than allowed"));
        }
        self.values += 1;
        if self.values > self.limits.max_values {
            return Err(Asn1Error::new(at, "more values than allowed"));
        }
        let (tag, head, length) = header(bytes, at)?;
        let constructed = tag & CONSTRUCTED != 0;
        let Some(length) = length else {
            if !constructed {
                return Err(Asn1Error::new(
                    at,
                    "an indefinite length on a primitive value",
                ));
            }
            self.is_der = false;
            let mut used = head;
            loop {
                let rest = bytes.get(used..).unwrap_or_default();
                if rest.starts_with(&[END_OF_CONTENTS, 0]) {
                    return Ok(used + 2);
                }
                used += self.check(rest, at + used, depth + 1)?;
            }
        };
        if write::length_octets(length) + 1 != head {
            self.is_der = false;
        }
        let end = head + length;
        let content = bytes
            .get(head..end)
            .ok_or_else(|| Asn1Error::new(at, "a value that is cut off"))?;
        if constructed {
            if tag == tag::OCTET_STRING | CONSTRUCTED {
                self.is_der = false;
            }
            let mut used = 0;
            while let Some(rest) = content.get(used..).filter(|rest| !rest.is_empty()) {
                used += self.check(rest, at + head + used, depth + 1)?;
            }
        }
        Ok(end)
    }
}

/// Writes the first value of `bytes` as DER and returns how many bytes it took. `bytes` has passed [`Walk::check`].
fn convert(bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, Asn1Error> {
    let (tag, head, length) = header(bytes, 0)?;
    if tag & CONSTRUCTED == 0 {
        let end = head + length.unwrap_or_default();
        write::tlv_into(out, tag, bytes.get(head..end).unwrap_or_default());
        return Ok(end);
    }
    let pieces = tag == tag::OCTET_STRING | CONSTRUCTED;
    let mut content = Vec::new();
    let mut used = head;
    let end = length.map(|length| head + length);
    loop {
        if end.is_some_and(|end| used >= end) {
            break;
        }
        let rest = bytes.get(used..).unwrap_or_default();
        if end.is_none() && rest.starts_with(&[END_OF_CONTENTS, 0]) {
            used += 2;
            break;
        }
        if pieces {
            let mut piece = Vec::new();
            used += convert(rest, &mut piece)?;
            let (inner, head, _) = header(&piece, 0)?;
            if inner != tag::OCTET_STRING {
                return Err(Asn1Error::new(
                    used,
                    "a piece of an OCTET STRING that is not one",
                ));
            }
            content.extend_from_slice(piece.get(head..).unwrap_or_default());
        } else {
            used += convert(rest, &mut content)?;
        }
    }
    write::tlv_into(out, if pieces { tag::OCTET_STRING } else { tag }, &content);
    Ok(used)
}
