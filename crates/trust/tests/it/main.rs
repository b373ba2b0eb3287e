//! The proof of `trust`: `may` against a second evaluator, the written cases, the two worlds, the laws of filters.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests, outside test functions"
)]

mod cases;
mod cells;
mod filters;
mod log;
mod matrix;
mod oracle;
mod settings;
mod two_worlds;
mod world;
