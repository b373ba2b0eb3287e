//! Terminology of a repository: what is stored here first, then what the specification publishes, then national lists.
//!
//! Definitions are found by their canonical through the search index, under the grant of the caller, and compiled once per
//! stored version. Which of several versions counts is the engine's choice (`fhir::terminology::source`).

use crate::outcome::Failure;
use crate::repository::Repository;
use axum::http::StatusCode;
use fhir::keys::query;
use fhir::terminology::base::Base;
use fhir::terminology::code_system::CodeSystem;
use fhir::terminology::concept_map::ConceptMap;
use fhir::terminology::national::National;
use fhir::terminology::source::{Layers, Source, by_preference};
use fhir::terminology::value_set::ValueSet;
use fhir::terminology::{Face, Terminology, TerminologyError};
use fhir::{Doc, Limits, Node, Pack};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use store::{Granted, Head, KeyRange, Rid, Seq, Snapshot, StoreError};

/// Most stored versions of one canonical.
const MAX_VERSIONS: usize = 100;
/// Most stored concept maps that a translation without a map looks at.
const MAX_MAPS: usize = 1_000;
/// Memory of compiled definitions, bytes, roughly.
const CACHE_BYTES: usize = 64 << 20;

#[derive(Clone)]
enum Compiled {
    CodeSystem(Arc<CodeSystem>),
    ValueSet(Arc<ValueSet>),
    ConceptMap(Arc<ConceptMap>),
}

/// Compiled definitions of one repository, by record version.
#[derive(Default)]
pub(crate) struct Cache(Mutex<Held>);

#[derive(Default)]
struct Held {
    by_version: HashMap<(Rid, Seq), Compiled>,
    bytes: usize,
}

impl Cache {
    fn get(&self, key: (Rid, Seq)) -> Option<Compiled> {
        self.0.lock().ok()?.by_version.get(&key).cloned()
    }

    fn put(&self, key: (Rid, Seq), compiled: Compiled, weight: usize) {
        let Ok(mut held) = self.0.lock() else { return };
        if weight > CACHE_BYTES / 2 {
            return;
        }
        if held.bytes + weight > CACHE_BYTES {
            *held = Held::default();
        }
        if held.by_version.insert(key, compiled).is_none() {
            held.bytes += weight;
        }
    }
}

/// Definitions stored in a repository, at one state, as far as a grant sees them.
struct Stored<'r> {
    repository: &'r Repository,
    snapshot: &'r Snapshot,
    granted: &'r Granted,
}

/// Everything that a repository knows, in the order in which it counts.
pub(crate) struct Known<'r>(Stored<'r>);

impl Repository {
    /// What knows code systems, value sets and concept maps at a state of the repository.
    pub(crate) fn definitions<'r>(
        &'r self,
        snapshot: &'r Snapshot,
        granted: &'r Granted,
    ) -> Known<'r> {
        Known(Stored {
            repository: self,
            snapshot,
            granted,
        })
    }

    /// The same, as search and validation ask it.
    pub(crate) fn terminology<'r>(
        &'r self,
        snapshot: &'r Snapshot,
        granted: &'r Granted,
    ) -> Box<dyn Terminology + 'r> {
        Box::new(Face(self.definitions(snapshot, granted)))
    }
}

impl Known<'_> {
    fn layers(&self) -> Layers<'_> {
        Layers(vec![&self.0, &Base, &National])
    }

    /// Current stored records of a type whose parameter has this value, newest first.
    pub(crate) fn heads(
        &self,
        rtype: &str,
        code: &str,
        value: &str,
    ) -> Result<Vec<Head>, TerminologyError> {
        self.0.heads(rtype, code, value)
    }
}

impl Source for Known<'_> {
    fn code_systems(&self, url: &str) -> Result<Vec<Arc<CodeSystem>>, TerminologyError> {
        self.layers().code_systems(url)
    }

    fn value_sets(&self, url: &str) -> Result<Vec<Arc<ValueSet>>, TerminologyError> {
        self.layers().value_sets(url)
    }

    fn concept_maps(
        &self,
        url: Option<&str>,
        source_system: Option<&str>,
    ) -> Result<Vec<Arc<ConceptMap>>, TerminologyError> {
        self.layers().concept_maps(url, source_system)
    }
}

fn unavailable(error: StoreError) -> TerminologyError {
    tracing::warn!(%error, "a definition could not be read");
    TerminologyError::Unavailable
}

impl Stored<'_> {
    /// Current records of a type whose `url` is this, newest first.
    fn heads(&self, rtype: &str, code: &str, value: &str) -> Result<Vec<Head>, TerminologyError> {
        let repository = self.repository;
        if !repository.has_type(rtype) {
            return Ok(Vec::new());
        }
        let pack = Pack::r4();
        let Some(param) = pack.param(rtype, code) else {
            return Ok(Vec::new());
        };
        // A canonical may hold what a search value would take apart.
        let escaped = crate::params::escape(value);
        let Ok(plan) = query::plan(pack, param, None, &escaped, &repository.options) else {
            return Ok(Vec::new());
        };
        let mut rids = Vec::new();
        for range in &plan.ranges {
            let range = KeyRange {
                param: range.param,
                from: range.from.clone(),
                to: range.to.clone(),
            };
            let found = self
                .snapshot
                .range(self.granted, repository.config.repo, &range, MAX_VERSIONS)
                .map_err(|error| match error {
                    StoreError::Invalid(_) => TerminologyError::TooCostly(format!(
                        "more than {MAX_VERSIONS} stored definitions have this canonical"
                    )),
                    other => unavailable(other),
                })?;
            rids.extend(found);
        }
        self.newest_first(rtype, rids)
    }

    fn newest_first(&self, rtype: &str, rids: Vec<Rid>) -> Result<Vec<Head>, TerminologyError> {
        if rids.is_empty() {
            return Ok(Vec::new());
        }
        let mut heads = self
            .snapshot
            .heads(self.granted, &rids)
            .map_err(unavailable)?;
        heads.retain(|h| h.rtype == rtype);
        heads.sort_by_key(|h| std::cmp::Reverse(h.at));
        Ok(heads)
    }

    /// Compiled forms of records, as far as they are `wanted`; those not compiled yet are read at once.
    fn compiled<T>(
        &self,
        heads: &[Head],
        compile: impl Fn(Node<'_>) -> Result<(Compiled, usize), TerminologyError>,
        wanted: impl Fn(Compiled) -> Option<T>,
    ) -> Result<Vec<T>, TerminologyError> {
        let cache = &self.repository.terminology;
        let missing: Vec<Rid> = heads
            .iter()
            .filter(|h| cache.get((h.rid, h.seq)).is_none())
            .map(|h| h.rid)
            .collect();
        let mut read = HashMap::new();
        if !missing.is_empty() {
            let records = self
                .snapshot
                .fetch(self.granted, &missing)
                .map_err(unavailable)?;
            for record in records {
                let key = (record.head.rid, record.head.seq);
                let limits = Limits {
                    max_bytes: usize::MAX,
                    ..Limits::default()
                };
                let Ok(doc) = Doc::parse_json(record.body, &limits) else {
                    continue;
                };
                let (compiled, weight) = compile(doc.root())?;
                cache.put(key, compiled.clone(), weight);
                read.insert(key, compiled);
            }
        }
        Ok(heads
            .iter()
            .map(|h| (h.rid, h.seq))
            .filter_map(|key| read.remove(&key).or_else(|| cache.get(key)))
            .filter_map(wanted)
            .collect())
    }

    fn systems(&self, heads: &[Head]) -> Result<Vec<Arc<CodeSystem>>, TerminologyError> {
        let compile = |node: Node<'_>| {
            let system = CodeSystem::compile(node)?;
            let weight = system.weight();
            Ok((Compiled::CodeSystem(Arc::new(system)), weight))
        };
        self.compiled(heads, compile, |c| match c {
            Compiled::CodeSystem(c) => Some(c),
            _ => None,
        })
    }
}

impl Source for Stored<'_> {
    fn code_systems(&self, url: &str) -> Result<Vec<Arc<CodeSystem>>, TerminologyError> {
        let heads = self.heads("CodeSystem", "url", url)?;
        let mut out = self.systems(&heads)?;
        out.retain(|c| c.head.url.as_ref() == url);
        by_preference(&mut out, |c| &c.head);
        Ok(out)
    }

    fn value_sets(&self, url: &str) -> Result<Vec<Arc<ValueSet>>, TerminologyError> {
        let heads = self.heads("ValueSet", "url", url)?;
        let compile = |node: Node<'_>| {
            let set = ValueSet::compile(node)?;
            let weight = set.weight();
            Ok((Compiled::ValueSet(Arc::new(set)), weight))
        };
        let mut out = self.compiled(&heads, compile, |c| match c {
            Compiled::ValueSet(v) if v.head.url.as_ref() == url => Some(v),
            _ => None,
        })?;
        by_preference(&mut out, |v| &v.head);
        Ok(out)
    }

    fn concept_maps(
        &self,
        url: Option<&str>,
        source_system: Option<&str>,
    ) -> Result<Vec<Arc<ConceptMap>>, TerminologyError> {
        let heads = match (url, source_system) {
            (Some(url), _) => self.heads("ConceptMap", "url", url)?,
            (None, Some(system)) => self.heads("ConceptMap", "source-system", system)?,
            (None, None) if self.repository.has_type("ConceptMap") => {
                let repo = self.repository.config.repo;
                let rids = self
                    .snapshot
                    .type_rids(self.granted, repo, "ConceptMap", Rid(0), MAX_MAPS + 1)
                    .map_err(unavailable)?;
                if rids.len() > MAX_MAPS {
                    return Err(TerminologyError::TooCostly(format!(
                        "more than {MAX_MAPS} concept maps are here; name one with url"
                    )));
                }
                self.newest_first("ConceptMap", rids)?
            }
            (None, None) => Vec::new(),
        };
        let compile = |node: Node<'_>| {
            let map = ConceptMap::compile(node)?;
            let weight = map.weight();
            Ok((Compiled::ConceptMap(Arc::new(map)), weight))
        };
        let mut out = self.compiled(&heads, compile, |c| match c {
            Compiled::ConceptMap(m) if url.is_none_or(|url| m.head.url.as_ref() == url) => Some(m),
            _ => None,
        })?;
        by_preference(&mut out, |m| &m.head);
        Ok(out)
    }
}

/// The error as an answer (spec/fhir-server.md §6).
pub(crate) fn failure(error: TerminologyError) -> Failure {
    let text = error.to_string();
    match error {
        TerminologyError::Unknown { .. } => Failure::new(StatusCode::NOT_FOUND, "not-found", text),
        TerminologyError::TooCostly(_) => {
            Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "too-costly", text)
        }
        TerminologyError::Unprocessable { code, .. } => {
            Failure::new(StatusCode::UNPROCESSABLE_ENTITY, code, text)
        }
        TerminologyError::Invalid { code, .. } => Failure::bad(code, text),
        TerminologyError::Unavailable => {
            Failure::new(StatusCode::SERVICE_UNAVAILABLE, "transient", text)
        }
    }
}

/// `GET [base]/metadata?mode=terminology`: the code systems that are known here, and what `$expand` takes. Stored code
/// systems are told in open repositories only; there are none elsewhere.
pub(crate) fn capabilities(repository: &Repository, base: &str) -> Result<Value, Failure> {
    let mut systems: Vec<(String, Option<String>)> = Vec::new();
    if !repository.is_clinical() && repository.has_type("CodeSystem") {
        let snapshot = repository.snapshot()?;
        let grant = repository.config.gate.hub_grant();
        let repo = repository.config.repo;
        let rids = snapshot.type_rids(&grant, repo, "CodeSystem", Rid(0), MAX_LISTED)?;
        let stored = Stored {
            repository,
            snapshot: &snapshot,
            granted: &grant,
        };
        let heads = stored.newest_first("CodeSystem", rids).map_err(failure)?;
        for system in stored.systems(&heads).map_err(failure)? {
            if !system.head.url.is_empty() {
                let version = system.head.version.as_deref().map(str::to_owned);
                systems.push((system.head.url.to_string(), version));
            }
        }
    }
    systems.extend(
        fhir::terminology::base::systems()
            .into_iter()
            .map(|(url, version)| (url.to_owned(), version.map(str::to_owned))),
    );
    systems.extend(
        fhir::terminology::national::urls()
            .into_iter()
            .map(|url| (url, None)),
    );
    let mut versions: std::collections::BTreeMap<String, Vec<String>> =
        std::collections::BTreeMap::new();
    for (url, version) in systems {
        let list = versions.entry(url).or_default();
        if let Some(version) = version.filter(|v| !list.contains(v)) {
            list.push(version);
        }
    }
    let code_systems: Vec<Value> = versions
        .into_iter()
        .map(|(url, versions)| {
            let mut one = json!({ "uri": url });
            if !versions.is_empty()
                && let Some(object) = one.as_object_mut()
            {
                let list: Vec<Value> = versions
                    .iter()
                    .zip(0..)
                    .map(|(code, i)| json!({ "code": code, "isDefault": i == 0 }))
                    .collect();
                object.insert("version".to_owned(), Value::Array(list));
            }
            one
        })
        .collect();
    let parameters: Vec<Value> = EXPANSION_PARAMETERS
        .iter()
        .map(|name| json!({ "name": name }))
        .collect();
    Ok(json!({
        "resourceType": "TerminologyCapabilities",
        "status": "active",
        "date": crate::render::instant(repository.mounted_at),
        "kind": "instance",
        "software": { "name": "Helsenav", "version": repository.config.version },
        "implementation": {
            "description": format!("Helsenav {}", repository.config.name),
            "url": base,
        },
        "codeSystem": code_systems,
        "expansion": { "hierarchical": true, "paging": true, "parameter": parameters },
        "codeSearch": "all",
        "validateCode": { "translations": true },
        "translation": { "needsMap": false },
    }))
}

/// Most stored code systems that the capabilities list.
const MAX_LISTED: usize = 2_000;

/// Parameters that `$expand` takes.
const EXPANSION_PARAMETERS: &[&str] = &[
    "activeOnly",
    "check-system-version",
    "count",
    "default-valueset-version",
    "designation",
    "displayLanguage",
    "exclude-system",
    "excludeNested",
    "excludeNotForUI",
    "filter",
    "force-system-version",
    "includeDefinition",
    "includeDesignations",
    "offset",
    "property",
    "system-version",
    "tx-resource",
    "useSupplement",
    "valueSetVersion",
];
