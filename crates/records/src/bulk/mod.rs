//! Many resources at once, as NDJSON: `$export` (Bulk Data) and `$import` (spec/fhir-server.md §11).

pub(crate) mod export;
mod files;
pub mod import;
pub(crate) mod upload;

/// Media type of a file with one resource per line.
pub(crate) const NDJSON: &str = "application/fhir+ndjson";

/// Whether a media type is NDJSON.
pub(crate) fn is_ndjson(media: &str) -> bool {
    matches!(
        media.trim().to_ascii_lowercase().as_str(),
        "application/fhir+ndjson" | "application/ndjson" | "application/x-ndjson" | "ndjson"
    )
}
