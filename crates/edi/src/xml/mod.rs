//! The safe XML reader and writer of the house.
//!
//! Reading refuses what a message never needs and an attacker always wants (DOCTYPE, entities, deep
//! nesting, millions of nodes or attributes) before the real parser sees a byte, so time and memory are
//! bounded by [`Limits`]. The result is an owned light tree in which every element knows its line and
//! column. Writing escapes everything and never emits a character that XML 1.0 forbids.
//!
//! Sources: XML 1.0 (Fifth Edition) and Namespaces in XML 1.0; OWASP XXE guidance; story.md §7 (B35).

mod decode;
mod parse;
mod scan;
mod tree;
mod write;

pub use decode::{Encoding, decode};
pub use tree::{At, Attr, Elem, Node, Ns, XmlDoc};
pub use write::to_xml;

use thiserror::Error;

/// What a document may cost. All limits are hard; a document over one is refused as [`XmlErrorKind::TooLarge`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest document in bytes, as received (35 MiB: the largest message the Meldingstjener API takes).
    pub max_bytes: usize,
    /// Deepest element nesting.
    pub max_depth: usize,
    /// Most nodes (elements, texts, comments, processing instructions).
    pub max_nodes: usize,
    /// Most attributes on one element, namespace declarations included.
    pub max_attributes: usize,
    /// Most namespace declarations in scope at one place.
    pub max_namespaces: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 35 * 1024 * 1024,
            max_depth: 100,
            max_nodes: 500_000,
            max_attributes: 128,
            max_namespaces: 200,
        }
    }
}

/// Why a document could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum XmlErrorKind {
    /// Not XML, or XML that breaks a well-formedness rule.
    NotWellFormed,
    /// DOCTYPE or entity declarations: a security matter, never needed in a message.
    Forbidden,
    /// Over one of the [`Limits`].
    TooLarge,
    /// Bytes that are not in the encoding the document declares, or an encoding we do not read.
    Encoding,
}

/// A refusal by the reader, with the place. The texts never quote the document.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}, column {column}: {text}")]
pub struct XmlError {
    /// The kind, which decides how the sender is answered.
    pub kind: XmlErrorKind,
    /// Line, from 1. 0 when there is no place.
    pub line: u32,
    /// Column in characters, from 1. 0 when there is no place.
    pub column: u32,
    /// What is wrong, in English.
    pub text: String,
    /// What is wrong, in Norwegian (bokmål).
    pub text_nb: String,
}

impl XmlError {
    pub(crate) fn new(
        kind: XmlErrorKind,
        at: (u32, u32),
        en: impl Into<String>,
        nb: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            line: at.0,
            column: at.1,
            text: en.into(),
            text_nb: nb.into(),
        }
    }
}

/// Line and column (characters, from 1) of a byte offset in `text`.
pub(crate) fn line_column(text: &str, offset: usize) -> (u32, u32) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    let last = before.rsplit('\n').next().unwrap_or_default();
    (cap(line), cap(last.chars().count() + 1))
}

/// `usize` to `u32`, saturating: documents are far smaller than 4 GiB.
pub(crate) fn cap(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
