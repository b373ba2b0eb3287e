//! The crate at its edge: HTTP requests on real stores.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod at_once;
mod bulk;
mod bundle_references;
mod bundles;
mod fhir_clients;
mod fhir_hostile;
mod fhir_metadata;
mod fhir_smart;
mod foreign;
mod forms;
mod gated;
mod history;
mod interactions;
mod linear;
mod operations;
mod patches;
mod policies;
mod races;
mod reindex;
mod sandbox;
mod search;
mod subscriptions;
mod terminology;
mod validation;
mod world;
