//! Bytes to text: byte order mark first, then the XML declaration, else UTF-8 (XML 1.0 appendix F).
//!
//! Laboratories still send ISO-8859-1, files with and without a byte order mark and files without a
//! declaration (nilar.md §2.1).

use std::borrow::Cow;

use super::{XmlError, XmlErrorKind};

/// The encodings that occur in Norwegian messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum Encoding {
    /// UTF-8, with or without byte order mark.
    #[serde(rename = "UTF-8")]
    Utf8,
    /// ISO-8859-1.
    #[serde(rename = "ISO-8859-1")]
    Latin1,
    /// Windows-1252, which some systems declare and others mean.
    #[serde(rename = "windows-1252")]
    Windows1252,
    /// UTF-16, little endian.
    #[serde(rename = "UTF-16LE")]
    Utf16Le,
    /// UTF-16, big endian.
    #[serde(rename = "UTF-16BE")]
    Utf16Be,
}

/// Windows-1252 for 0x80-0x9F; unassigned places stay the C1 control with the same number.
const CP1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// Decodes a document; the text comes without byte order mark.
pub fn decode(bytes: &[u8]) -> Result<(Cow<'_, str>, Encoding), XmlError> {
    if let Some(rest) = bytes.strip_prefix(b"\xef\xbb\xbf") {
        return utf8(rest);
    }
    if let Some(rest) = bytes.strip_prefix(b"\xff\xfe") {
        return utf16(rest, Encoding::Utf16Le);
    }
    if let Some(rest) = bytes.strip_prefix(b"\xfe\xff") {
        return utf16(rest, Encoding::Utf16Be);
    }
    if bytes.starts_with(b"<\0") {
        return utf16(bytes, Encoding::Utf16Le);
    }
    if bytes.starts_with(b"\0<") {
        return utf16(bytes, Encoding::Utf16Be);
    }
    let Some(name) = declared(bytes) else {
        return utf8(bytes);
    };
    match name.to_ascii_lowercase().as_str() {
        "utf-8" | "utf8" | "us-ascii" | "ascii" => utf8(bytes),
        "iso-8859-1" | "iso8859-1" | "iso_8859-1" | "latin1" | "latin-1" => Ok((
            Cow::Owned(bytes.iter().map(|b| char::from(*b)).collect()),
            Encoding::Latin1,
        )),
        "windows-1252" | "cp1252" => Ok((
            Cow::Owned(bytes.iter().map(|b| cp1252(*b)).collect()),
            Encoding::Windows1252,
        )),
        // Declared UTF-16, but the declaration itself was readable as single bytes: it was transcoded on its way.
        "utf-16" | "utf-16le" | "utf-16be" => utf8(bytes),
        _ => Err(XmlError::new(
            XmlErrorKind::Encoding,
            (1, 1),
            "the XML declaration names an encoding that is not read here; use UTF-8",
            "XML-deklarasjonen oppgir et tegnsett som ikke leses her; bruk UTF-8",
        )),
    }
}

fn cp1252(b: u8) -> char {
    match b {
        0x80..=0x9f => CP1252
            .get(usize::from(b - 0x80))
            .copied()
            .unwrap_or('\u{fffd}'),
        _ => char::from(b),
    }
}

fn utf8(bytes: &[u8]) -> Result<(Cow<'_, str>, Encoding), XmlError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok((Cow::Borrowed(text), Encoding::Utf8)),
        Err(e) => {
            let good = bytes
                .get(..e.valid_up_to())
                .and_then(|b| std::str::from_utf8(b).ok())
                .unwrap_or_default();
            Err(XmlError::new(
                XmlErrorKind::Encoding,
                super::line_column(good, good.len()),
                "the bytes here are not UTF-8, which the document is read as; declare the real encoding or convert it",
                "bytene her er ikke UTF-8, som dokumentet leses som; oppgi riktig tegnsett eller konverter det",
            ))
        }
    }
}

fn utf16(bytes: &[u8], encoding: Encoding) -> Result<(Cow<'_, str>, Encoding), XmlError> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|p| match encoding {
        Encoding::Utf16Be => u16::from_be_bytes(*p),
        _ => u16::from_le_bytes(*p),
    });
    let text: Result<String, _> = char::decode_utf16(units).collect();
    match text {
        Ok(text) if rest.is_empty() => Ok((Cow::Owned(text), encoding)),
        _ => Err(XmlError::new(
            XmlErrorKind::Encoding,
            (1, 1),
            "the document starts as UTF-16 but holds bytes that are not",
            "dokumentet begynner som UTF-16, men har byte som ikke er det",
        )),
    }
}

/// The encoding named in the XML declaration, if there is one within the first 200 bytes.
fn declared(bytes: &[u8]) -> Option<&str> {
    let head = bytes.get(..bytes.len().min(200))?;
    let end = head.windows(2).position(|w| w == b"?>")?;
    let head = std::str::from_utf8(head.get(..end)?).ok()?;
    let head = head.trim_start().strip_prefix("<?xml")?;
    let (_, after) = head.split_once("encoding")?;
    let after = after.trim_start().strip_prefix('=')?.trim_start();
    let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    after.strip_prefix(quote)?.split(quote).next()
}
