//! The crate at its edge: HTTP requests on real stores.

mod gated;
mod linear;
mod sandbox;
mod world;
