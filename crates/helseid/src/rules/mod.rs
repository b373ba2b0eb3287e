//! Rules as plain functions from values to values: no clock, no storage, no HTTP.

pub mod attest;
mod care_relation;
pub mod claims;
pub mod exchange;
pub mod levels;
pub mod organisation;
pub mod redirect;
pub mod scopes;
pub mod structures;
pub mod terms;
pub mod test_tokens;
