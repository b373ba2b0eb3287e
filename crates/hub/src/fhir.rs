//! Mounts the FHIR repositories.

use anyhow::Result;
use axum::Router;
use records::gate::Gate;
use records::repository::RepositoryConfig;
use std::sync::Arc;
use store::Store;

/// The routes of one repository below `/fhir/<name>`. `bases`: the hub's own origins, the canonical one first.
pub fn repository(
    store: &Store,
    name: &str,
    bases: &[String],
    gate: Arc<dyn Gate>,
    key: Vec<u8>,
) -> Result<Router> {
    let is_open = gate.is_open();
    let path = format!("/fhir/{name}");
    let router = records::http::router(RepositoryConfig {
        name: name.to_owned(),
        repo: store.repo(name)?,
        store: store.clone(),
        bases: bases.iter().map(|base| format!("{base}{path}")).collect(),
        gate,
        types: None,
        classes: Vec::new(),
        key,
        columns: None,
        originals: None,
        can_reset: is_open,
        version: env!("CARGO_PKG_VERSION"),
    })?;
    Ok(Router::new().nest(&path, router))
}
