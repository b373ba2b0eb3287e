use super::{Asn1Error, tag};

/// One value: its identifier octet, its content, and all its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tlv<'a> {
    pub tag: u8,
    pub content: &'a [u8],
    pub whole: &'a [u8],
    /// Offset of the content in the outermost input.
    pub content_at: usize,
}

impl<'a> Tlv<'a> {
    /// A reader over the content of a constructed value.
    pub fn inside(&self) -> Reader<'a> {
        Reader {
            rest: self.content,
            at: self.content_at,
        }
    }
}

/// Reads one value after the other from DER.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, at: 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn error(&self, what: &'static str) -> Asn1Error {
        Asn1Error::new(self.at, what)
    }

    /// The tag of the next value, without reading it.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next value, whatever it is.
    pub fn any(&mut self) -> Result<Tlv<'a>, Asn1Error> {
        let (tag, header, length) = header(self.rest, self.at)?;
        let length =
            length.ok_or_else(|| self.error("an indefinite length where DER is required"))?;
        let end = header
            .checked_add(length)
            .ok_or_else(|| self.error("a length that overflows"))?;
        let (whole, rest) = self
            .rest
            .split_at_checked(end)
            .ok_or_else(|| self.error("a value that is cut off"))?;
        let content = whole
            .get(header..)
            .ok_or_else(|| self.error("a value that is cut off"))?;
        let tlv = Tlv {
            tag,
            content,
            whole,
            content_at: self.at + header,
        };
        self.rest = rest;
        self.at += end;
        Ok(tlv)
    }

    /// The next value, which must have this tag.
    pub fn expect(&mut self, tag: u8, what: &'static str) -> Result<Tlv<'a>, Asn1Error> {
        if self.peek() != Some(tag) {
            return Err(self.error(what));
        }
        self.any()
    }

    /// The next value if it has this tag.
    pub fn optional(&mut self, tag: u8) -> Result<Option<Tlv<'a>>, Asn1Error> {
        if self.peek() == Some(tag) {
            self.any().map(Some)
        } else {
            Ok(None)
        }
    }

    pub fn sequence(&mut self, what: &'static str) -> Result<Reader<'a>, Asn1Error> {
        self.expect(tag::SEQUENCE, what).map(|tlv| tlv.inside())
    }

    pub fn oid(&mut self, what: &'static str) -> Result<&'a [u8], Asn1Error> {
        self.expect(tag::OID, what).map(|tlv| tlv.content)
    }

    /// A small non-negative INTEGER, such as a version or a count.
    pub fn small_integer(&mut self, what: &'static str) -> Result<u32, Asn1Error> {
        let tlv = self.expect(tag::INTEGER, what)?;
        if tlv.content.is_empty()
            || tlv.content.len() > 5
            || tlv.content.first().is_some_and(|b| b & 0x80 != 0)
        {
            return Err(Asn1Error::new(tlv.content_at, what));
        }
        let value = tlv
            .content
            .iter()
            .fold(0u64, |acc, byte| (acc << 8) | u64::from(*byte));
        u32::try_from(value).map_err(|_| Asn1Error::new(tlv.content_at, what))
    }

    /// Nothing may follow.
    pub fn end(&self, what: &'static str) -> Result<(), Asn1Error> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.error(what))
        }
    }
}

/// Reads identifier and length octets: `(tag, header length, content length or None if indefinite)`.
pub(super) fn header(bytes: &[u8], at: usize) -> Result<(u8, usize, Option<usize>), Asn1Error> {
    let tag = *bytes
        .first()
        .ok_or_else(|| Asn1Error::new(at, "a value expected, but the input ends"))?;
    if tag & 0x1f == 0x1f {
        return Err(Asn1Error::new(
            at,
            "a high tag number, which no structure here has",
        ));
    }
    let first = *bytes
        .get(1)
        .ok_or_else(|| Asn1Error::new(at, "a length expected, but the input ends"))?;
    if first < 0x80 {
        return Ok((tag, 2, Some(usize::from(first))));
    }
    let count = usize::from(first & 0x7f);
    if count == 0 {
        return Ok((tag, 2, None));
    }
    if count > 4 {
        return Err(Asn1Error::new(at, "a length of more than four bytes"));
    }
    let octets = bytes
        .get(2..2 + count)
        .ok_or_else(|| Asn1Error::new(at, "a length that is cut off"))?;
    let length = octets
        .iter()
        .fold(0usize, |acc, byte| (acc << 8) | usize::from(*byte));
    Ok((tag, 2 + count, Some(length)))
}
