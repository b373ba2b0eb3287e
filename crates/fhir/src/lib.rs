//! FHIR R4 (4.0.1) documents: reading, navigating, searching, checking and changing them, without storage or network.
//!
//! A resource is its bytes plus one parse into a compact tree ([`doc::Doc`]). What FHIR says about elements, search
//! parameters, compartments and code lists is data in one pack ([`pack::Pack`]); nothing is written per resource type.
//!
//! Deliberately knows nothing of: where documents are kept, who asks, HTTP, where terminology and profiles are kept.
//!
//! Read first: [`doc::Doc`] and [`doc::Node`], [`pack::Pack`], [`path::Expr`], [`keys::SearchKey`] and [`keys::query`], [`finding::Finding`].
//!
//! Invariants: stored bytes are never parsed and printed again (decimals, order and unknown extensions stay); the same
//! encoders make index keys and query ranges; parsers are bounded in size, depth and count and never panic; finding texts
//! hold element names, never values.
//!
//! Rules come from the FHIR R4 specification (json, xml, search, fhirpath, references, compartments, validation pages), the
//! FHIRPath specification, RFC 8259 (JSON), RFC 6902 and 6901 (JSON Patch), and the house's FHIR server specification, whose
//! choices are named where they apply.

pub mod build;
pub mod datetime;
pub mod decimal;
pub mod doc;
pub mod finding;
pub mod json;
pub mod keys;
pub mod pack;
pub mod patch;
pub mod path;
pub mod profile;
pub mod refs;
pub mod terminology;
pub mod ucum;
pub mod validate;
pub mod xml;

pub use doc::{Doc, Node};
pub use finding::{Finding, IssueCode, Severity, outcome};
pub use json::Limits;
pub use pack::Pack;
