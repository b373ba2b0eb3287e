//! Tests of the crate's edge, most of them against official material that is not part of the repository.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod examples;
mod fhirpath;
mod json_suite;
mod patch;
mod profiles;
mod tx;

use std::path::PathBuf;

/// A folder of the shared official material; `None` (with a printed line) when it is absent.
fn shared(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("HELSENAV_SHARED")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")));
    let dir = root.join("data/fhir").join(folder);
    if dir.is_dir() {
        return Some(dir);
    }
    println!("SKIPPED: official material {folder} is absent (set HELSENAV_SHARED)");
    None
}
