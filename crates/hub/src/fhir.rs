//! Mounts the FHIR repositories.

use anyhow::Result;
use axum::Router;
use records::gate::Gate;
use records::repository::RepositoryConfig;
use records::smart::AuthorizationServer;
use std::collections::BTreeSet;
use std::sync::Arc;
use store::Store;
use trust::Class;

/// The routes of one repository below `/fhir/<name>`. `bases`: the hub's own origins, the canonical one first; `issuer`: of its tokens.
pub fn repository(
    store: &Store,
    name: &str,
    bases: &[String],
    gate: Arc<dyn Gate>,
    key: Vec<u8>,
    issuer: &str,
) -> Result<Router> {
    let path = format!("/fhir/{name}");
    let is_open = gate.is_open();
    let bases = bases.iter().map(|base| format!("{base}{path}")).collect();
    let (classes, types) = contents(name);
    let authorization = authorization(issuer, gate.scopes());
    Ok(records::mount(
        RepositoryConfig {
            classes,
            types,
            can_reset: is_open,
            authorization: Some(authorization),
            version: env!("CARGO_PKG_VERSION"),
            ..RepositoryConfig::new(name, store.repo(name)?, store.clone(), bases, gate, key)
        },
        &path,
    )?)
}

/// HelseID as clients of a repository need to know it; `scopes` open the repository.
fn authorization(issuer: &str, scopes: Vec<String>) -> AuthorizationServer {
    let provider = helseid::client::provider(issuer, issuer);
    let (introspect, revoke) = helseid::client::token_management(issuer);
    AuthorizationServer {
        issuer: issuer.to_owned(),
        authorize: provider.authorization_endpoint,
        token: provider.token_endpoint,
        jwks: provider.jwks_uri,
        introspect,
        revoke,
        algorithms: jose::alg::HELSEID_CLIENT_ALGS
            .iter()
            .map(|alg| alg.name().to_owned())
            .collect(),
        scopes,
    }
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
