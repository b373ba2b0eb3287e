//! FHIR XML ↔ JSON, directed by the definitions (R4 xml page).
//!
//! XML is read into the JSON that says the same, so that the rest of the program knows one format; it is written from
//! the tree in definition order. No DTD, no entities beyond the five of XML, no processing of external anything.

mod read;
mod write;

pub(crate) use read::{Order, to_json};
pub(crate) use write::from_doc;

/// Namespace of FHIR elements.
pub const NS: &str = "http://hl7.org/fhir";
/// Namespace of narrative.
pub const XHTML_NS: &str = "http://www.w3.org/1999/xhtml";

mod narrative;

pub use narrative::{narrative_has_content, narrative_ok};
pub(crate) use write::names_namespace;

#[cfg(test)]
mod tests;
