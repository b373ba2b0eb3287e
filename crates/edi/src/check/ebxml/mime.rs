//! A mail as the validator reads it: tolerant, with line numbers, bounded.
//!
//! Only as much MIME as an ebXML message has: one level of parts. What is broken is kept as it is and judged by the rules.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Most parts read.
const MAX_PARTS: usize = 20;
/// Most header fields of a mail or part.
const MAX_FIELDS: usize = 200;
/// Longest header field.
const MAX_FIELD_BYTES: usize = 16 << 10;

/// A header field, unfolded.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub name: String,
    pub value: String,
    /// Line in the mail, from 1.
    pub line: u32,
}

/// Header fields in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields(Vec<Field>);

impl Fields {
    pub fn get(&self, name: &str) -> Option<&Field> {
        self.0.iter().find(|f| f.name.eq_ignore_ascii_case(name))
    }

    /// Media type and parameters of `Content-Type`.
    pub fn content_type(&self) -> Option<ContentType> {
        self.get("Content-Type")
            .map(|f| ContentType::parse(&f.value))
    }

    /// `Content-ID` without angle brackets.
    pub fn content_id(&self) -> Option<String> {
        self.get("Content-ID").map(|f| bare(&f.value).to_owned())
    }
}

/// Without angle brackets.
pub(super) fn bare(id: &str) -> &str {
    id.trim()
        .trim_start_matches('<')
        .trim_end_matches('>')
        .trim()
}

/// A media type with its parameters.
#[derive(Debug, Clone, Default)]
pub(super) struct ContentType {
    /// Lower case.
    pub media: String,
    parameters: Vec<(String, String)>,
}

impl ContentType {
    pub fn parse(text: &str) -> Self {
        let mut pieces = Vec::new();
        let (mut piece, mut quoted, mut escaped) = (String::new(), false, false);
        for c in text.chars() {
            match c {
                _ if escaped => {
                    piece.push(c);
                    escaped = false;
                }
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                ';' if !quoted => pieces.push(std::mem::take(&mut piece)),
                _ => piece.push(c),
            }
        }
        pieces.push(piece);
        let mut pieces = pieces.into_iter();
        let media = pieces
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let parameters = pieces
            .filter_map(|p| {
                let (name, value) = p.split_once('=')?;
                Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            })
            .collect();
        Self { media, parameters }
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }
}

/// A part, or the whole mail when it has none.
#[derive(Debug, Clone, Default)]
pub(super) struct Part {
    pub fields: Fields,
    /// Line of its first header field, or of its body when it has none.
    pub line: u32,
    /// Line of the first line of the body.
    pub body_line: u32,
    /// Content as decoded; as sent when it could not be decoded.
    pub content: Vec<u8>,
    /// Whether the encoding could be undone.
    pub is_decoded: bool,
    /// Whether lines of the content are lines of the mail.
    pub is_plain: bool,
}

impl Part {
    pub fn encoding(&self) -> Option<String> {
        self.fields
            .get("Content-Transfer-Encoding")
            .map(|f| f.value.trim().to_ascii_lowercase())
    }
}

/// A mail.
#[derive(Debug, Clone, Default)]
pub(super) struct Mail {
    pub fields: Fields,
    /// The parts; one, with the mail's own fields, when it is not multipart.
    pub parts: Vec<Part>,
    pub is_multipart: bool,
}

/// Whether some bytes begin like a mail: a header field, and fields of MIME or ebXML among the first ones.
pub(super) fn is_mail(bytes: &[u8]) -> bool {
    let head = bytes.get(..bytes.len().min(16 << 10)).unwrap_or_default();
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let first = head.trim_start().lines().next().unwrap_or_default();
    let is_field = first.split_once(':').is_some_and(|(n, _)| {
        !n.is_empty() && n.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    });
    is_field
        && ["content-type:", "mime-version:", "soapaction:"]
            .iter()
            .any(|f| head.lines().any(|l| l.starts_with(f)))
}

/// Lines without their ends, each with its number from 1.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let count = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
    bytes
        .split(|b| *b == b'\n')
        .enumerate()
        .map(move |(n, l)| (count(n), l.strip_suffix(b"\r").unwrap_or(l)))
}

/// Header fields up to the empty line, and where the body begins.
fn fields<'a>(lines: &mut impl Iterator<Item = (u32, &'a [u8])>) -> Fields {
    let mut out: Vec<Field> = Vec::new();
    for (line, bytes) in lines {
        if bytes.is_empty() {
            break;
        }
        let text = String::from_utf8_lossy(bytes);
        if text.starts_with([' ', '\t']) {
            if let Some(last) = out.last_mut()
                && last.value.len() + text.len() < MAX_FIELD_BYTES
            {
                last.value.push(' ');
                last.value.push_str(text.trim());
            }
        } else if let Some((name, value)) = text.split_once(':')
            && out.len() < MAX_FIELDS
        {
            out.push(Field {
                name: name.trim().to_owned(),
                value: value.trim().chars().take(MAX_FIELD_BYTES).collect(),
                line,
            });
        }
    }
    Fields(out)
}

impl Mail {
    pub fn read(bytes: &[u8]) -> Self {
        let skipped = bytes.len() - bytes.trim_ascii_start().len();
        let before = bytes.get(..skipped).unwrap_or_default();
        let offset = before.iter().filter(|b| **b == b'\n').count();
        let offset = u32::try_from(offset).unwrap_or(0);
        let body = bytes.get(skipped..).unwrap_or_default();
        let mut all = lines(body).map(|(n, l)| (n + offset, l));
        let fields = fields(&mut all);
        let kind = fields.content_type().unwrap_or_default();
        let boundary = kind
            .parameter("boundary")
            .filter(|b| kind.media.starts_with("multipart/") && !b.is_empty())
            .map(|b| format!("--{b}"));
        match boundary {
            Some(boundary) => Self {
                parts: parts(all, &boundary),
                fields,
                is_multipart: true,
            },
            None => {
                let rest: Vec<(u32, &[u8])> = all.collect();
                let part = part(fields.clone(), 1, &rest);
                Self {
                    fields,
                    parts: vec![part],
                    is_multipart: false,
                }
            }
        }
    }
}

fn parts<'a>(all: impl Iterator<Item = (u32, &'a [u8])>, boundary: &str) -> Vec<Part> {
    let mut out = Vec::new();
    let mut current: Option<Vec<(u32, &[u8])>> = None;
    let close = |lines: Option<Vec<(u32, &'a [u8])>>, out: &mut Vec<Part>| {
        if let Some(lines) = lines
            && out.len() < MAX_PARTS
        {
            let line = lines.first().map_or(1, |l| l.0);
            let mut rest = lines.into_iter();
            let fields = fields(&mut rest);
            let mut rest: Vec<(u32, &[u8])> = rest.collect();
            // The line end before a boundary belongs to the boundary.
            if rest.last().is_some_and(|l| l.1.is_empty()) {
                rest.pop();
            }
            out.push(part(fields, line, &rest));
        }
    };
    for (number, line) in all {
        let after = line
            .strip_prefix(boundary.as_bytes())
            .map(<[u8]>::trim_ascii_end);
        match after {
            Some(b"") => close(current.replace(Vec::new()), &mut out),
            Some(b"--") => {
                close(current.take(), &mut out);
                return out;
            }
            _ => {
                if let Some(lines) = &mut current {
                    lines.push((number, line));
                }
            }
        }
    }
    close(current, &mut out);
    out
}

fn part(fields: Fields, line: u32, rest: &[(u32, &[u8])]) -> Part {
    let mut raw = Vec::new();
    for (n, (_, text)) in rest.iter().enumerate() {
        if n > 0 {
            raw.extend_from_slice(b"\r\n");
        }
        raw.extend_from_slice(text);
    }
    let mut out = Part {
        fields,
        line,
        body_line: rest.first().map_or(line, |l| l.0),
        is_decoded: true,
        is_plain: true,
        content: Vec::new(),
    };
    match out.encoding().as_deref() {
        Some("base64") => {
            out.is_plain = false;
            let compact: Vec<u8> = raw
                .iter()
                .copied()
                .filter(|b| !b.is_ascii_whitespace())
                .collect();
            let config = GeneralPurposeConfig::new()
                .with_decode_padding_mode(DecodePaddingMode::Indifferent);
            match GeneralPurpose::new(&STANDARD, config).decode(&compact) {
                Ok(bytes) => out.content = bytes,
                Err(_) => {
                    out.is_decoded = false;
                    out.content = raw;
                }
            }
        }
        Some("quoted-printable") => {
            out.is_plain = false;
            out.content = quoted_printable(&raw);
        }
        _ => out.content = raw,
    }
    out
}

/// RFC 2045 §6.7; what is no escape stays as it is.
fn quoted_printable(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'=' {
            out.push(*first);
            continue;
        }
        let hex = tail
            .get(..2)
            .and_then(|h| std::str::from_utf8(h).ok())
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        if let Some(after) = tail
            .strip_prefix(b"\r\n")
            .or_else(|| tail.strip_prefix(b"\n"))
        {
            rest = after;
        } else if let (Some(byte), Some(after)) = (hex, tail.get(2..)) {
            out.push(byte);
            rest = after;
        } else {
            out.push(b'=');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_with_their_lines() {
        let mail = b"SOAPAction: \"ebXML\"\r\nContent-Type: multipart/related;\r\n boundary=\"a;b\"; type=\"text/xml\"\r\n\r\npreamble\r\n--a;b\r\nContent-ID: <x>\r\n\r\n<a/>\r\n--a;b\r\nContent-Transfer-Encoding: base64\r\n\r\nYWJj\r\nZGVm\r\n\r\n--a;b--\r\nafter";
        assert!(is_mail(mail));
        let mail = Mail::read(mail);
        assert!(mail.is_multipart);
        assert_eq!(mail.parts.len(), 2);
        assert_eq!(mail.parts[0].fields.content_id().unwrap(), "x");
        assert_eq!(mail.parts[0].content, b"<a/>");
        assert_eq!((mail.parts[0].line, mail.parts[0].body_line), (7, 9));
        assert_eq!(mail.parts[1].content, b"abcdef");
        assert!(!is_mail(b"<?xml version='1.0'?><a/>"));
        assert_eq!(quoted_printable(b"a=3D=\r\nb=C3=A6=x"), "a=bæ=x".as_bytes());
    }

    proptest! {
        #[test]
        fn anything_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut mail = b"Content-Type: multipart/related; boundary=\"-\"\r\n\r\n---\r\n".to_vec();
            mail.extend_from_slice(&bytes);
            let _ = Mail::read(&mail);
            let _ = Mail::read(&bytes);
            let _ = is_mail(&bytes);
        }

        #[test]
        fn content_types_are_read(text in "\\PC{0,80}") {
            let _ = ContentType::parse(&text);
        }
    }
}
