//! Transfer encodings (RFC 2045 §6).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::MimeError;

/// A transfer encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// 7bit, 8bit, binary: the bytes as they are.
    Identity,
    /// quoted-printable.
    QuotedPrintable,
    /// base64.
    Base64,
}

impl Encoding {
    /// From a field value; nothing for an unknown one.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let value = super::header::without_comments(value);
        match value.trim().to_ascii_lowercase().as_str() {
            "7bit" | "8bit" | "binary" => Some(Self::Identity),
            "quoted-printable" => Some(Self::QuotedPrintable),
            "base64" => Some(Self::Base64),
            _ => None,
        }
    }

    /// The content.
    ///
    /// # Errors
    /// [`MimeError::Encoding`].
    pub fn decode(self, bytes: &[u8]) -> Result<Vec<u8>, MimeError> {
        match self {
            Self::Identity => Ok(bytes.to_vec()),
            Self::QuotedPrintable => decode_quoted_printable(bytes),
            Self::Base64 => decode_base64(bytes),
        }
    }
}

/// Base64 in lines of any length; other characters than white space are refused.
///
/// # Errors
/// [`MimeError::Encoding`].
pub fn decode_base64(bytes: &[u8]) -> Result<Vec<u8>, MimeError> {
    let compact: Vec<u8> = bytes
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    STANDARD
        .decode(compact)
        .map_err(|_| MimeError::Encoding("it is not base64"))
}

/// Quoted-printable.
///
/// # Errors
/// [`MimeError::Encoding`].
pub fn decode_quoted_printable(bytes: &[u8]) -> Result<Vec<u8>, MimeError> {
    const WRONG: MimeError = MimeError::Encoding("it is not quoted-printable");
    let nibble = |byte: Option<u8>| {
        byte.and_then(|byte| (byte as char).to_digit(16))
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        let (line, after) = super::header::line(rest);
        let has_end = after.len() < rest.len() - line.len();
        let end = rest
            .get(line.len()..rest.len() - after.len())
            .unwrap_or_default();
        let trimmed = line.trim_ascii_end();
        let mut at = 0;
        let mut is_soft = false;
        while let Some(byte) = trimmed.get(at) {
            if *byte != b'=' {
                out.push(*byte);
                at += 1;
                continue;
            }
            if at + 1 == trimmed.len() {
                is_soft = true;
                break;
            }
            let high = nibble(trimmed.get(at + 1).copied()).ok_or(WRONG)?;
            let low = nibble(trimmed.get(at + 2).copied()).ok_or(WRONG)?;
            out.push(high << 4 | low);
            at += 3;
        }
        if has_end && !is_soft {
            out.extend_from_slice(end);
        }
        rest = after;
    }
    Ok(out)
}
