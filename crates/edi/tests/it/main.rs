//! The crate's edge: official samples, mutated copies against an independent oracle, hostile bytes, texts people read.

// Helpers outside #[test] functions are test code, too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod bad_cases;
mod catalogue;
mod ebxml;
mod hostile;
mod made;
mod oracle;
mod rule_names;
mod samples;
mod shared;
mod texts;
mod whole_catalogue;
