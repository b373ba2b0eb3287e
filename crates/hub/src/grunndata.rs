//! Wiring of the base registers' edges.

use anyhow::Result;
use axum::Router;
use edge::Clock;
use grunndata::persons::{Persontjenesten, PersontjenestenParts};
use jose::rs::ResourceServer;
use registers::RegisterTable;
use std::sync::Arc;
use store::Store;

/// The person service over the hub's register. `server` checks tokens for its audience.
pub fn persons(
    store: &Store,
    registers: &Arc<RegisterTable>,
    clock: &Clock,
    server: ResourceServer,
) -> Result<Router> {
    let journal = store.clone();
    let service = Persontjenesten::start(PersontjenestenParts {
        register: registers.persons().clone(),
        server,
        journal: Arc::new(move |entry, durability| journal.audit(entry, durability)),
        directory: registers.clone(),
        clock: clock.as_fn(),
        now_s: Arc::new(|| edge::clock::real_now_us() / 1_000_000),
    })?;
    Ok(service.router())
}
