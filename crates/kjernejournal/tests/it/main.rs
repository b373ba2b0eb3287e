//! The core record at its edge: finding, choosing, opening, on a real store.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests do"
)]

mod find;
mod open;
mod world;
