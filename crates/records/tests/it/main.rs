//! The crate at its edge: HTTP requests on real stores.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod gated;
mod linear;
mod sandbox;
mod world;
