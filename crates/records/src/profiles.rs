//! Profiles of a repository, and what is checked on write beyond structure, formats and required bindings.
//!
//! In open repositories a StructureDefinition that is stored is a profile from that moment on; elsewhere only the built-in
//! ones count. Compiled profiles are kept per stored version.

use crate::outcome::Failure;
use crate::repository::Repository;
use fhir::profile::{Asked, Found, Library, Profile, Source, Validator};
use fhir::refs::{Target, parse};
use fhir::terminology::Terminology;
use fhir::{Doc, Finding, Limits, Pack};
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use store::{Granted, Rid, Snapshot, Vno};

/// Most compiled profiles kept per repository. At the limit all are dropped.
const KEPT: usize = 500;
/// Most resources that one check fetches to look at what references lead to.
const MAX_FETCHED: u32 = 50;

/// What a write is checked against besides structure, formats and required bindings, which always count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// The invariants of R4: an error among them is 422.
    pub invariants: bool,
    /// The profiles that a resource declares in `meta.profile`, as far as they are known here.
    pub profiles: bool,
    /// Profiles that every resource of a type must conform to, declared or not.
    pub required: BTreeMap<String, Vec<String>>,
}

/// Compiled profiles by the version of the record that they come from.
#[derive(Default)]
pub(crate) struct Cache(Mutex<HashMap<(Rid, Vno), Arc<Profile>>>);

impl Cache {
    fn get(&self, key: (Rid, Vno)) -> Option<Arc<Profile>> {
        self.0.lock().ok()?.get(&key).cloned()
    }

    fn put(&self, key: (Rid, Vno), profile: &Arc<Profile>) {
        if let Ok(mut held) = self.0.lock() {
            if held.len() >= KEPT {
                held.clear();
            }
            held.insert(key, profile.clone());
        }
    }
}

/// The StructureDefinitions of a repository at one state.
struct Stored<'r> {
    repository: &'r Repository,
    snapshot: &'r Snapshot,
    granted: &'r Granted,
    /// Record behind the canonical that was found last: what [`Source::keep`] keeps it under.
    last: Cell<Option<(Rid, Vno)>>,
}

impl Source for Stored<'_> {
    fn find(&self, canonical: &str) -> Option<Found> {
        let (url, version) = match canonical.split_once('|') {
            Some((url, version)) => (url, Some(version)),
            None => (canonical, None),
        };
        let heads = self
            .repository
            .definitions(self.snapshot, self.granted)
            .heads("StructureDefinition", "url", url)
            .ok()?;
        for head in heads {
            let key = (head.rid, head.vno);
            if version.is_none()
                && let Some(profile) = self.repository.profiles.get(key)
            {
                return Some(Found::Compiled(profile));
            }
            let record = self
                .snapshot
                .fetch(self.granted, &[head.rid])
                .ok()?
                .into_iter()
                .next()?;
            let doc = Doc::parse_json(record.body, &Limits::default()).ok()?;
            if version.is_none_or(|v| doc.root().str_at("version") == Some(v)) {
                self.last.set(version.is_none().then_some(key));
                return Some(Found::Text(Box::new(doc)));
            }
        }
        None
    }

    fn keep(&self, _canonical: &str, profile: &Arc<Profile>) {
        // What builds on another stored profile changes with it, and is compiled anew each time.
        if let Some(key) = self.last.take().filter(|_| !profile.is_derived) {
            self.repository.profiles.put(key, profile);
        }
    }
}

impl Repository {
    /// Runs `check` with everything that this repository knows. In clinical repositories that is what is built in: nothing
    /// stored is looked at, so nothing of it can be told.
    pub(crate) fn validating<T>(
        &self,
        check: impl FnOnce(&Validator<'_>) -> T,
    ) -> Result<T, Failure> {
        let now_us = edge::clock::real_now_us();
        if self.is_clinical() {
            return Ok(check(&Validator {
                library: &Library::built_in(),
                terminology: None,
                references: None,
                now_us,
            }));
        }
        let snapshot = self.snapshot()?;
        let granted = self.config.gate.hub_grant();
        let stored = Stored {
            repository: self,
            snapshot: &snapshot,
            granted: &granted,
            last: Cell::new(None),
        };
        let terminology: Box<dyn Terminology + '_> = self.terminology(&snapshot, &granted);
        let fetched = Cell::new(0u32);
        let fetch = |reference: &str| {
            if fetched.get() >= MAX_FETCHED {
                return None;
            }
            fetched.set(fetched.get() + 1);
            let Target::Local {
                resource_type, id, ..
            } = parse(reference, &self.options.own_bases, Pack::r4())
            else {
                return None;
            };
            let record = snapshot
                .read(&granted, self.config.repo, &resource_type, &id)
                .ok()??;
            if crate::read::is_deleted(&record) {
                return None;
            }
            Doc::parse_json(record.body, &Limits::default()).ok()
        };
        Ok(check(&Validator {
            library: &Library::with(&stored),
            terminology: Some(terminology.as_ref()),
            references: Some(&fetch),
            now_us,
        }))
    }

    /// Findings of the checks that this repository makes on write, for a document whose structure is sound.
    pub(crate) fn check_content(&self, doc: &Doc) -> Result<Vec<Finding>, Failure> {
        let checks = &self.config.checks;
        let mut found = Vec::new();
        if checks.invariants {
            let now_us = edge::clock::real_now_us();
            found = fhir::validate::invariants(Pack::r4(), doc, now_us);
        }
        let required: Vec<&str> = checks
            .required
            .get(doc.resource_type())
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        let declared = checks.profiles
            && fhir::validate::resources(doc).any(|r| r.at("meta.profile").is_some());
        if declared || !required.is_empty() {
            let asked = Asked {
                profiles: &required,
                declared,
                extensions: false,
            };
            found.extend(self.validating(|v| v.profiles(doc, &asked))?);
        }
        Ok(found)
    }
}
