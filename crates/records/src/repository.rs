//! One repository as FHIR REST sees it: what the hub gives, what calls share.

use crate::gate::{Caller, Gate, Gated};
use crate::jobs::{Jobs, JobsConfig};
use crate::metadata::Documents;
use crate::outcome::Failure;
use crate::paging::Pages;
use crate::patient::PatientIds;
use crate::planner::PatientScope;
use crate::profiles::Checks;
use crate::smart::AuthorizationServer;
use aws_lc_rs::hkdf;
use bytes::Bytes;
use fhir::keys::Options;
use fhir::{Doc, Finding, Limits, Pack};
use registers::FNR_SYSTEM;
use std::collections::BTreeSet;
use std::sync::Arc;
use store::{MicrosUtc, PersonKey, Privacy, RepoId, Snapshot, Store};
use trust::gather::SubjectRef;
use trust::{Action, Class};

/// Sets the privacy columns of what comes in over HTTP. Only repositories that take writes from outside have one.
pub trait Columns: Send + Sync {
    /// Class, labels, author and the rest of a new or changed resource; findings when it cannot be told.
    fn columns(&self, doc: &Doc, caller: &Caller) -> Result<Privacy, Vec<Finding>>;
}

/// Bytes behind a `Binary/[id]` that is not a stored resource (an original message).
pub trait Originals: Send + Sync {
    /// Content type and bytes, when a record that the grant admits refers to them.
    fn original(
        &self,
        snapshot: &Snapshot,
        gated: &Gated,
        id: &str,
    ) -> Result<Option<(String, Bytes)>, store::StoreError>;
}

/// Referential integrity; off by default, since records of other systems come in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReferencePolicy {
    /// A write with a reference to a resource of this repository that is not there is 422.
    pub on_write: bool,
    /// A delete of a resource that current ones refer to is 409.
    pub on_delete: bool,
}

/// What the hub gives to mount a repository.
pub struct RepositoryConfig {
    /// Name in the URL: `sandbox`, `kjernejournal`, …
    pub name: String,
    /// The repository.
    pub repo: RepoId,
    /// The store.
    pub store: Store,
    /// Public bases without trailing slash (`http://127.0.0.1:8080/fhir/sandbox`), the first one for callers whose `Host`
    /// is none of them. References to any of them are local.
    pub bases: Vec<String>,
    /// Who may do what.
    pub gate: Arc<dyn Gate>,
    /// Resource types that exist here; `None` = every type of R4.
    pub types: Option<BTreeSet<String>>,
    /// Privacy classes that this repository holds; empty = all.
    pub classes: Vec<Class>,
    /// Secret of the repository, at least 32 bytes, never changed: Patient ids and page links are made with keys derived
    /// from it.
    pub key: Vec<u8>,
    /// Takes writes over HTTP from personnel; `None` = read only (an open gate always takes writes).
    pub columns: Option<Arc<dyn Columns>>,
    /// Originals behind `Binary/[id]`.
    pub originals: Option<Arc<dyn Originals>>,
    /// Where jobs (`$export`, `$import`) are kept; `None` = there are none. Never for patient data.
    pub jobs: Option<JobsConfig>,
    /// Subscriptions; `None` = Subscription resources are kept, but nothing happens. Open repositories only.
    pub subscriptions: Option<Arc<crate::subscriptions::Subscriptions>>,
    /// `DELETE [base]/$reset` empties the repository.
    pub can_reset: bool,
    /// A PUT to an id that does not exist creates it.
    pub update_create: bool,
    /// Types that are changed with `If-Match` only (`versioned-update`).
    pub versioned_update: BTreeSet<String>,
    /// Most resources that one conditional delete may take away; 1 = several matches are refused.
    pub conditional_delete_max: usize,
    /// Whether references must lead somewhere.
    pub references: ReferencePolicy,
    /// What a write is checked against besides structure, formats and required bindings.
    pub checks: Checks,
    /// Software version in the CapabilityStatement.
    pub version: &'static str,
    /// Where tokens come from, for clients that ask the repository.
    pub authorization: Option<AuthorizationServer>,
}

impl RepositoryConfig {
    /// All types, read only unless the gate is open, without originals, not to be reset.
    pub fn new(
        name: &str,
        repo: RepoId,
        store: Store,
        bases: Vec<String>,
        gate: Arc<dyn Gate>,
        key: Vec<u8>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            repo,
            store,
            bases,
            gate,
            types: None,
            classes: Vec::new(),
            key,
            columns: None,
            originals: None,
            jobs: None,
            subscriptions: None,
            can_reset: false,
            update_create: true,
            versioned_update: BTreeSet::new(),
            conditional_delete_max: 1,
            references: ReferencePolicy::default(),
            checks: Checks::default(),
            version: env!("CARGO_PKG_VERSION"),
            authorization: None,
        }
    }
}

/// Patient ids as the repository with this secret makes them; `None` when the secret is too short.
pub fn patient_ids(key: &[u8]) -> Option<PatientIds> {
    PatientIds::new(&derived(key, b"helsenav/patient-ids")?)
}

/// A 32-byte key for one use (HKDF-SHA-256, RFC 5869).
pub(crate) fn derived(key: &[u8], info: &[u8]) -> Option<[u8; 32]> {
    if key.len() < 32 {
        return None;
    }
    let mut out = [0; 32];
    let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, b"helsenav/repository").extract(key);
    let infos = [info];
    let okm = secret.expand(&infos, hkdf::HKDF_SHA256).ok()?;
    okm.fill(&mut out).ok()?;
    Some(out)
}

/// Why a repository cannot be mounted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MountError {
    /// The secret is too short.
    #[error("repository {0}: the secret must be at least 32 bytes")]
    Key(String),
    /// No base URL.
    #[error("repository {0}: a base URL is needed")]
    Base(String),
    /// Patient data without a decision maker.
    #[error("repository {0}: a gate that is not open needs a decision maker")]
    Gate(String),
}

/// A mounted repository.
pub(crate) struct Repository {
    pub config: RepositoryConfig,
    pub options: Options,
    pub pages: Pages,
    /// What it says of itself, made once.
    pub documents: Documents,
    /// When it was mounted: the date of what it says of itself.
    pub mounted_at: MicrosUtc,
    patients: Option<PatientIds>,
    /// Compiled code systems, value sets and concept maps.
    pub terminology: crate::terminology::Cache,
    /// Compiled profiles.
    pub profiles: crate::profiles::Cache,
    /// Resources as pages carried them, of an open repository.
    pub rendered: Option<crate::rendered::Rendered>,
    /// Jobs of this repository.
    pub jobs: Option<Jobs>,
    /// How far search keys are made anew.
    pub reindex: crate::reindex::Progress,
    /// Itself, for what works in the background.
    me: std::sync::OnceLock<std::sync::Weak<Repository>>,
}

impl Repository {
    pub fn new(config: RepositoryConfig) -> Result<Self, MountError> {
        let name = config.name.clone();
        if config.bases.is_empty() {
            return Err(MountError::Base(name));
        }
        let patients = if config.gate.is_open() {
            None
        } else {
            if config.gate.trust().is_none() {
                return Err(MountError::Gate(name));
            }
            Some(patient_ids(&config.key).ok_or_else(|| MountError::Key(name.clone()))?)
        };
        Ok(Self {
            options: Options {
                own_bases: config.bases.clone(),
                ..Options::default()
            },
            pages: derived(&config.key, b"helsenav/page-links")
                .and_then(|key| Pages::new(&key, &name))
                .ok_or(MountError::Key(name))?,
            patients,
            documents: Documents::default(),
            reindex: crate::reindex::Progress::default(),
            me: std::sync::OnceLock::new(),
            terminology: crate::terminology::Cache::default(),
            profiles: crate::profiles::Cache::default(),
            rendered: config.gate.is_open().then(|| {
                let store = config.store.clone();
                crate::rendered::Rendered::new(move || store.incarnation())
            }),
            mounted_at: edge::clock::real_now_us(),
            jobs: config
                .jobs
                .clone()
                .map(|jobs| Jobs::new(jobs, &config.name)),
            config,
        })
    }

    /// Starts what works in the background; ends with the repository.
    pub fn start(self: &Arc<Self>) {
        if let Some(subscriptions) = &self.config.subscriptions {
            subscriptions.attach(self);
        }
        if let Some(jobs) = &self.jobs {
            jobs.start(self);
        }
        let _ = self.me.set(Arc::downgrade(self));
        crate::reindex::start(self, false);
    }

    /// Makes every search key anew, unless that is under way.
    pub fn begin_reindex(&self) {
        if let Some(me) = self.me.get().and_then(std::sync::Weak::upgrade) {
            crate::reindex::start(&me, true);
        }
    }

    /// Patient is a view here, and reads are decided per patient.
    pub fn is_clinical(&self) -> bool {
        self.patients.is_some()
    }

    /// Resources can be written over HTTP.
    pub fn takes_writes(&self) -> bool {
        !self.is_clinical() || self.config.columns.is_some()
    }

    pub fn has_type(&self, rtype: &str) -> bool {
        Pack::r4().resource_type(rtype).is_some()
            && self.config.types.as_ref().is_none_or(|types| {
                types.contains(rtype) || (self.is_clinical() && rtype == "Patient")
            })
    }

    /// Types of this repository, in definition order.
    pub fn types(&self) -> Vec<&'static str> {
        Pack::r4()
            .resource_types()
            .filter(|t| self.has_type(t))
            .collect()
    }

    /// 404 for a type that is not here.
    pub fn require_type(&self, rtype: &str) -> Result<(), Failure> {
        if self.has_type(rtype) {
            return Ok(());
        }
        Err(Failure::new(
            axum::http::StatusCode::NOT_FOUND,
            "not-found",
            "there is no such resource type here",
        ))
    }

    /// The store's newest state.
    pub fn snapshot(&self) -> Result<Snapshot, Failure> {
        Ok(self.config.store.snapshot()?)
    }

    /// Decides about one patient; refusals are failures.
    pub fn decide(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        subject: Option<SubjectRef>,
        action: Action,
        classes: &[Class],
    ) -> Result<Gated, Failure> {
        let gated = self
            .config
            .gate
            .decide(snapshot, caller, subject, action, classes)??;
        self.narrowed(snapshot, caller, gated, action)
    }

    /// Writes the log line before the answer goes out.
    pub fn record(&self, gated: &Gated, items: &[String]) -> Result<(), Failure> {
        Ok(gated.record(self.config.gate.trust(), items)?)
    }

    /// Decides for an address that names a record. The subject is found with the hub's own grant; an id that does not exist
    /// goes the same way with nobody as subject, and a record hidden from the caller gets the answer of an id that does not
    /// exist (spec/privacy.md §4.2).
    pub fn decide_by_id(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        rtype: &str,
        id: &str,
        action: Action,
    ) -> Result<Gated, Failure> {
        let classes = &self.config.classes;
        if !self.is_clinical() {
            return self.decide(snapshot, caller, None, action, classes);
        }
        let owner = match &self.patients {
            Some(ids) if rtype == "Patient" => ids.person(id),
            _ => snapshot
                .read(&self.config.gate.hub_grant(), self.config.repo, rtype, id)?
                .and_then(|r| r.head.persons.first().copied()),
        };
        if caller.named.is_some() {
            return self.decide(snapshot, caller, caller.named.clone(), action, classes);
        }
        let unknown = self.decide(snapshot, caller, Some(nobody()), action, classes);
        let subject = owner.map_or_else(nobody, SubjectRef::Key);
        let gated = self.decide(snapshot, caller, Some(subject), action, classes)?;
        if is_closed(&gated)
            && let Err(refusal) = unknown
        {
            self.record(&gated, &[])?;
            return Err(refusal);
        }
        Ok(gated)
    }

    /// Person behind a Patient id of this repository.
    pub fn person_of_patient_id(&self, id: &str) -> Option<PersonKey> {
        self.patients.as_ref()?.person(id)
    }

    /// Her id here, her identifiers, and her view when she is visible: a person without visible records is no Patient here,
    /// whatever the reason.
    pub fn patient_scope(
        &self,
        snapshot: &Snapshot,
        gated: &Gated,
        subject: Option<&SubjectRef>,
    ) -> Result<PatientScope, Failure> {
        let Some(ids) = &self.patients else {
            return Ok(PatientScope::default());
        };
        let asked = match subject {
            Some(SubjectRef::Nin(nin)) if !nin.is_empty() => {
                vec![(FNR_SYSTEM.to_owned(), nin.clone())]
            }
            _ => Vec::new(),
        };
        let Some(person) = gated.person else {
            return Ok(PatientScope {
                identifiers: asked,
                ..PatientScope::default()
            });
        };
        let mut identifiers = self.config.store.person_identifiers(person)?;
        for identifier in asked {
            if !identifiers.contains(&identifier) {
                identifiers.push(identifier);
            }
        }
        let id = ids.id(person).ok_or_else(Failure::internal)?;
        let is_visible = !snapshot
            .compartment(
                &gated.granted,
                self.config.repo,
                &BTreeSet::from([person]),
                1,
            )?
            .is_empty();
        let view = if is_visible {
            self.patient_view(&id, gated, &identifiers)?
                .filter(|view| self.shows_view(gated, &id, view))
        } else {
            None
        };
        Ok(PatientScope {
            person: Some(person),
            identifiers,
            id: Some(id),
            view,
        })
    }

    fn patient_view(
        &self,
        id: &str,
        gated: &Gated,
        identifiers: &[(String, String)],
    ) -> Result<Option<Doc>, Failure> {
        let Some(trust) = self.config.gate.trust() else {
            return Ok(None);
        };
        let hide_address = gated
            .decided
            .as_ref()
            .is_none_or(|d| d.flags().hide_address);
        let registered = identifiers
            .iter()
            .filter(|(system, _)| system == FNR_SYSTEM)
            .find_map(|(_, nin)| trust.directory().person(nin));
        let value = match registered {
            Some(person) => crate::patient::view(id, &person, hide_address),
            None => serde_json::json!({
                "resourceType": "Patient",
                "id": id,
                "identifier": identifiers.iter()
                    .map(|(system, value)| serde_json::json!({ "system": system, "value": value }))
                    .collect::<Vec<_>>(),
            }),
        };
        Doc::parse_json(Bytes::from(value.to_string()), &Limits::default())
            .map(Some)
            .map_err(|_| Failure::internal())
    }
}

/// The decision lets nothing through.
pub(crate) fn is_closed(gated: &Gated) -> bool {
    *gated.granted.filter() == store::Filter::Closed
}

/// The subject of an address that leads to nobody.
pub(crate) fn nobody() -> SubjectRef {
    SubjectRef::Nin(String::new())
}
