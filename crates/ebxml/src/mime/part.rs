//! One multipart, split into its parts.

use super::header::line;
use super::{Encoding, Headers, Limits, MimeError};

/// Longest boundary read; RFC 2046 allows 70.
const MAX_BOUNDARY: usize = 200;

/// A part of a multipart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its fields.
    pub headers: Headers,
    /// Content, decoded.
    pub content: Vec<u8>,
    /// How it was encoded; nothing when the field is missing.
    pub encoding: Option<Encoding>,
}

impl Part {
    /// A part from fields and the bytes behind them.
    ///
    /// # Errors
    /// [`MimeError`].
    pub fn read(bytes: &[u8], limits: &Limits) -> Result<Self, MimeError> {
        let (headers, body) = Headers::read(bytes, limits)?;
        let is_nested = headers
            .content_type()
            .is_some_and(|kind| kind.kind.starts_with("multipart/"));
        if is_nested {
            return Err(MimeError::Multipart("a part is a multipart itself"));
        }
        Self::decode(headers, body)
    }

    /// Content in the encoding that the fields name.
    ///
    /// # Errors
    /// [`MimeError::Encoding`].
    pub fn decode(headers: Headers, body: &[u8]) -> Result<Self, MimeError> {
        let encoding = match headers.get("Content-Transfer-Encoding") {
            None => None,
            Some(value) => Some(
                Encoding::parse(value)
                    .ok_or(MimeError::Encoding("the transfer encoding is not known"))?,
            ),
        };
        let content = encoding.unwrap_or(Encoding::Identity).decode(body)?;
        Ok(Self {
            headers,
            content,
            encoding,
        })
    }
}

/// Splits a multipart body at its boundary. The closing delimiter must be there: without it the message was cut off.
///
/// # Errors
/// [`MimeError::Multipart`].
pub fn split<'a>(
    body: &'a [u8],
    boundary: &str,
    limits: &Limits,
) -> Result<Vec<&'a [u8]>, MimeError> {
    if boundary.is_empty() || boundary.len() > MAX_BOUNDARY {
        return Err(MimeError::Multipart("the boundary is empty or too long"));
    }
    let mut parts = Vec::new();
    let mut rest = body;
    let mut open: Option<usize> = None;
    loop {
        if rest.is_empty() {
            return Err(MimeError::Multipart(
                "the closing delimiter is missing: the message was cut off",
            ));
        }
        let start = body.len() - rest.len();
        let (text, after) = line(rest);
        rest = after;
        let Some(behind) = text
            .strip_prefix(b"--")
            .and_then(|text| text.strip_prefix(boundary.as_bytes()))
        else {
            continue;
        };
        let behind = behind.trim_ascii_end();
        let is_last = behind == b"--";
        if !is_last && !behind.is_empty() {
            continue;
        }
        if let Some(from) = open {
            let content = body.get(from..start).unwrap_or_default();
            // The line end before a delimiter belongs to the delimiter.
            let content = content.strip_suffix(b"\n").unwrap_or(content);
            let content = content.strip_suffix(b"\r").unwrap_or(content);
            if parts.len() == limits.max_parts {
                return Err(MimeError::Multipart("it has too many parts"));
            }
            parts.push(content);
        }
        if is_last {
            return Ok(parts);
        }
        open = Some(body.len() - rest.len());
    }
}
