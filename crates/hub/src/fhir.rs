//! Mounts the FHIR repositories.

use anyhow::Result;
use axum::Router;
use records::gate::Gate;
use records::repository::RepositoryConfig;
use std::collections::BTreeSet;
use std::sync::Arc;
use store::Store;
use trust::Class;

/// The routes of one repository below `/fhir/<name>`. `bases`: the hub's own origins, the canonical one first.
pub fn repository(
    store: &Store,
    name: &str,
    bases: &[String],
    gate: Arc<dyn Gate>,
    key: Vec<u8>,
) -> Result<Router> {
    let path = format!("/fhir/{name}");
    let is_open = gate.is_open();
    let bases = bases.iter().map(|base| format!("{base}{path}")).collect();
    let (classes, types) = contents(name);
    Ok(records::mount(
        RepositoryConfig {
            classes,
            types,
            can_reset: is_open,
            version: env!("CARGO_PKG_VERSION"),
            ..RepositoryConfig::new(name, store.repo(name)?, store.clone(), bases, gate, key)
        },
        &path,
    )?)
}

/// What a clinical repository holds: privacy classes and resource types. The sandbox takes everything.
fn contents(name: &str) -> (Vec<Class>, Option<BTreeSet<String>>) {
    let types = |names: &[&str]| Some(names.iter().map(|n| (*n).to_owned()).collect());
    match name {
        kjernejournal::REPOSITORY => (
            kjernejournal::critical_classes(),
            types(&[
                "AllergyIntolerance",
                "Condition",
                "Procedure",
                "DeviceUseStatement",
                "Consent",
                "Flag",
                "Patient",
            ]),
        ),
        provesvar::REPOSITORY => (
            provesvar::classes().to_vec(),
            types(&[
                "DiagnosticReport",
                "Observation",
                "Specimen",
                "ServiceRequest",
                "Patient",
            ]),
        ),
        dokumenter::REPOSITORY => (
            dokumenter::classes(),
            types(&["DocumentReference", "Binary", "Patient"]),
        ),
        _ => (Vec::new(), None),
    }
}
