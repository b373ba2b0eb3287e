//! Mounts the FHIR repositories.

use crate::opened::{Opened, store_config};
use anyhow::Result;
use axum::Router;
use edge::front::AtOnce;
use records::gate::{Gate, OpenGate};
use records::jobs::JobsConfig;
use records::profiles::Checks;
use records::repository::RepositoryConfig;
use records::smart::AuthorizationServer;
use records::subscriptions::{self, Subscriptions};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use store::Store;
use trust::Class;

/// The routes of one repository below `/fhir/<name>`. `bases`: the hub's own origins, the canonical one first; `issuer`: of its tokens; `data`: the hub's folder.
#[allow(
    clippy::too_many_arguments,
    reason = "what the hub gives, each from another place"
)]
pub fn repository(
    store: &Store,
    name: &str,
    bases: &[String],
    gate: Arc<dyn Gate>,
    key: Vec<u8>,
    issuer: &str,
    data: &Path,
    subscriptions: Option<Arc<Subscriptions>>,
) -> Result<(Router, Arc<dyn AtOnce>)> {
    let path = format!("/fhir/{name}");
    let is_open = gate.is_open();
    let bases = bases.iter().map(|base| format!("{base}{path}")).collect();
    let (classes, types) = contents(name);
    let authorization = authorization(issuer, gate.scopes());
    Ok(records::mount_with_front(
        RepositoryConfig {
            classes,
            types,
            can_reset: is_open,
            subscriptions,
            checks: Checks {
                invariants: is_open,
                profiles: is_open,
                ..Checks::default()
            },
            jobs: is_open.then(|| jobs(store, name, data)).transpose()?,
            authorization: Some(authorization),
            version: env!("CARGO_PKG_VERSION"),
            ..RepositoryConfig::new(name, store.repo(name)?, store.clone(), bases, gate, key)
        },
        &path,
    )?)
}

/// Subscriptions of an open repository. Open repositories are the demo's, whose receivers are on the same machine.
pub fn subscriptions(
    config: &crate::config::Config,
    gate: &dyn Gate,
) -> Option<Arc<Subscriptions>> {
    let is_alone = matches!(
        store_config(config).engine,
        store::EngineConfig::Sqlite { .. }
    );
    gate.is_open().then(|| {
        Subscriptions::new(subscriptions::Config {
            allow_private_targets: true,
            is_alone,
            ..subscriptions::Config::default()
        })
    })
}

/// Threads that do a repository's exports and imports.
const WORKERS: usize = 2;

fn jobs(store: &Store, name: &str, data: &Path) -> Result<JobsConfig> {
    Ok(JobsConfig {
        repo: store.repo(records::jobs::REPOSITORY)?,
        folder: data.join("jobs").join(name),
        workers: WORKERS,
    })
}

/// The sandbox of a stopped hub, to be loaded directly.
pub fn loadable(opened: &Opened) -> Result<RepositoryConfig> {
    let store = &opened.store;
    let origin = opened
        .config
        .public_base
        .clone()
        .unwrap_or_else(|| format!("http://{}", opened.config.listen));
    let gate = Arc::new(OpenGate::new(opened.trust.hub("import")));
    Ok(RepositoryConfig::new(
        SANDBOX,
        store.repo(SANDBOX)?,
        store.clone(),
        vec![format!("{origin}/fhir/{SANDBOX}")],
        gate,
        // Neither pages nor ids of patients are made here.
        vec![0; 32],
    ))
}

/// The FHIR repositories of a stopped hub, for their search keys.
pub fn targets(opened: &Opened) -> Result<Vec<(&'static str, records::reindex::Target)>> {
    let config = &opened.config;
    let origins = [
        config
            .public_base
            .clone()
            .unwrap_or_else(|| format!("http://{}", config.listen)),
        format!("https://localhost:{}", config.listen_tls.port()),
    ];
    [
        kjernejournal::REPOSITORY,
        provesvar::REPOSITORY,
        dokumenter::REPOSITORY,
        SANDBOX,
    ]
    .into_iter()
    .map(|name| {
        let bases = origins.iter().map(|o| format!("{o}/fhir/{name}"));
        let target = records::reindex::Target {
            repo: opened.store.repo(name)?,
            store: opened.store.clone(),
            grant: opened.trust.hub("reindex"),
            options: fhir::keys::Options {
                own_bases: bases.collect(),
                ..fhir::keys::Options::default()
            },
        };
        Ok((name, target))
    })
    .collect()
}

/// Name of the open repository.
pub const SANDBOX: &str = "sandbox";

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
