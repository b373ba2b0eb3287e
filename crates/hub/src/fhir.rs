//! Mounts the FHIR repositories.

use anyhow::Result;
use axum::Router;
use records::gate::Gate;
use std::sync::Arc;
use store::Store;

/// The routes of one repository below `/fhir/<name>`.
pub fn repository(
    store: &Store,
    name: &str,
    base: &str,
    gate: Arc<dyn Gate>,
    key: Vec<u8>,
) -> Result<Router> {
    let _ = (store, name, base, gate, key);
    Ok(Router::new())
}
