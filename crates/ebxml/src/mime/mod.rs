//! The MIME around a message: header fields, one multipart, the transfer encodings. Strict where a reader could be led astray,
//! tolerant where official samples are odd (spec messaging §5.3).
//!
//! One level only: a part that is itself a multipart is refused, so nothing here recurses.

mod encoding;
mod header;
mod part;
mod write;

pub use encoding::{Encoding, decode_base64, decode_quoted_printable};
pub(crate) use header::without_comments;
pub use header::{ContentType, Headers};
pub use part::{Part, split};
pub use write::{base64_lines, boundary_for, write_part};

/// What a message may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest message in bytes, as it travels.
    pub max_bytes: usize,
    /// Largest header block in bytes.
    pub max_header_bytes: usize,
    /// Most header fields of one block.
    pub max_fields: usize,
    /// Most parts.
    pub max_parts: usize,
}

impl Default for Limits {
    /// 48 MiB (35 MB of attachments in base64), 64 KiB of headers in 200 fields, 33 parts.
    fn default() -> Self {
        Self {
            max_bytes: 48 << 20,
            max_header_bytes: 64 << 10,
            max_fields: 200,
            max_parts: 33,
        }
    }
}

/// Why MIME could not be read. Holds no content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MimeError {
    /// Larger than allowed.
    #[error("the message is larger than {max_bytes} bytes")]
    TooLarge {
        /// The limit.
        max_bytes: usize,
    },
    /// The header block.
    #[error("the header block is not readable: {0}")]
    Header(&'static str),
    /// The multipart.
    #[error("the multipart is not readable: {0}")]
    Multipart(&'static str),
    /// A transfer encoding that is not known, or content that is not in it.
    #[error("the content of a part is not readable: {0}")]
    Encoding(&'static str),
}

#[cfg(test)]
mod tests;
