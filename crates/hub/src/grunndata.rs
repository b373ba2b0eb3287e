//! Wiring of the base registers' edges.

use crate::health_registers::HealthRegisters;
use anyhow::Result;
use axum::Router;
use edge::Clock;
use grunndata::fhir::{FhirParts, GrunndataFhir};
use grunndata::persons::{Persontjenesten, PersontjenestenParts};
use jose::rs::ResourceServer;
use registers::RegisterTable;
use registers::organisations::resh::Resh;
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

/// The registers as FHIR. `server` checks tokens for the person service's audience; `bases` are the addresses under which
/// the hub is reached.
pub fn views(
    store: &Store,
    registers: &Arc<RegisterTable>,
    (health, resh): (&HealthRegisters, &Arc<Resh>),
    clock: &Clock,
    server: ResourceServer,
    bases: Vec<String>,
) -> Result<Router> {
    let journal = store.clone();
    let service = GrunndataFhir::start(FhirParts {
        persons: registers.persons().clone(),
        personnel: health.personnel.clone(),
        lists: health.lists.clone(),
        businesses: registers.businesses().clone(),
        parties: registers.parties().clone(),
        resh: resh.clone(),
        server,
        journal: Arc::new(move |entry, durability| journal.audit(entry, durability)),
        directory: registers.clone(),
        clock: clock.as_fn(),
        now_s: Arc::new(|| edge::clock::real_now_us() / 1_000_000),
        bases,
    })?;
    Ok(service.router())
}
