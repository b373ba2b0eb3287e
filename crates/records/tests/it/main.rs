//! The crate at its edge: HTTP requests on real stores.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod bulk;
mod fhir_hostile;
mod fhir_metadata;
mod fhir_smart;
mod bundles;
mod gated;
mod interactions;
mod linear;
mod operations;
mod patches;
mod sandbox;
mod search;
mod terminology;
mod subscriptions;
mod validation;
mod world;
