//! R4's own code systems, value sets and concept maps, as the specification publishes them.
//!
//! One compressed file made by `cargo xtask terminology`, a resource per line; a definition is compiled when it is first
//! asked for. Value sets that list codes of licensed terminologies are not in it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, LazyLock, Mutex};

use bytes::Bytes;

use super::TerminologyError;
use super::code_system::CodeSystem;
use super::concept_map::ConceptMap;
use super::source::Source;
use super::value_set::ValueSet;
use crate::doc::{Doc, Node};
use crate::json::Limits;

static PACKED: &[u8] = include_bytes!("../../pack/r4-terminology.ndjson.zst");

struct File {
    text: Bytes,
    lines: HashMap<(&'static str, Box<str>), Range<usize>>,
    versions: HashMap<Box<str>, Box<str>>,
}

static FILE: LazyLock<File> = LazyLock::new(|| {
    let text = Bytes::from(zstd::decode_all(PACKED).unwrap_or_default());
    let mut lines = HashMap::new();
    let mut versions = HashMap::new();
    let mut at = 0;
    for line in text.split_inclusive(|b| *b == b'\n') {
        let range = at..at + line.len();
        at += line.len();
        if let Some(((rtype, url), version)) = key(line) {
            if let Some(version) = version.filter(|_| rtype == "CodeSystem") {
                versions.insert(url.clone(), version);
            }
            lines.insert((rtype, url), range);
        }
    }
    File {
        text,
        lines,
        versions,
    }
});

type Key = ((&'static str, Box<str>), Option<Box<str>>);

/// Type, URL and version of a line; the tool writes them first.
fn key(line: &[u8]) -> Option<Key> {
    let text = std::str::from_utf8(line).ok()?;
    let rest = text.strip_prefix("{\"resourceType\":\"")?;
    let (rtype, rest) = rest.split_once('"')?;
    let rtype = ["CodeSystem", "ValueSet", "ConceptMap"]
        .into_iter()
        .find(|known| *known == rtype)?;
    let (url, rest) = rest.strip_prefix(",\"url\":\"")?.split_once('"')?;
    let version = rest
        .strip_prefix(",\"version\":\"")
        .and_then(|r| r.split('"').next());
    Some(((rtype, Box::from(url)), version.map(Box::from)))
}

/// The definitions as a source.
pub struct Base;

type Made<T> = Mutex<HashMap<Box<str>, Arc<T>>>;

static SYSTEMS: LazyLock<Made<CodeSystem>> = LazyLock::new(Mutex::default);
static SETS: LazyLock<Made<ValueSet>> = LazyLock::new(Mutex::default);
static MAPS: LazyLock<Made<ConceptMap>> = LazyLock::new(Mutex::default);

/// The definition of a URL, compiled once.
fn made<T>(
    all: &Made<T>,
    rtype: &'static str,
    url: &str,
    compile: impl FnOnce(Node<'_>) -> Result<T, TerminologyError>,
) -> Result<Vec<Arc<T>>, TerminologyError> {
    let known = |key: &str| all.lock().ok().and_then(|m| m.get(key).cloned());
    if let Some(found) = known(url) {
        return Ok(vec![found]);
    }
    let Some(range) = FILE.lines.get(&(rtype, Box::from(url))).cloned() else {
        return Ok(Vec::new());
    };
    let line = FILE.text.slice(range.start..range.end.saturating_sub(1));
    let Ok(doc) = Doc::parse_json(line, &Limits::default()) else {
        return Ok(Vec::new());
    };
    let compiled = Arc::new(compile(doc.root())?);
    if let Ok(mut all) = all.lock() {
        all.insert(Box::from(url), compiled.clone());
    }
    Ok(vec![compiled])
}

/// Canonical URLs of one type, sorted.
pub fn urls(rtype: &str) -> Vec<&'static str> {
    let mut out: Vec<&'static str> = FILE
        .lines
        .keys()
        .filter(|(t, _)| *t == rtype)
        .map(|(_, url)| url.as_ref())
        .collect();
    out.sort_unstable();
    out
}

/// Code systems with their versions, sorted.
pub fn systems() -> Vec<(&'static str, Option<&'static str>)> {
    urls("CodeSystem")
        .into_iter()
        .map(|url| (url, FILE.versions.get(url).map(AsRef::as_ref)))
        .collect()
}

impl Source for Base {
    fn code_systems(&self, url: &str) -> Result<Vec<Arc<CodeSystem>>, TerminologyError> {
        made(&SYSTEMS, "CodeSystem", url, CodeSystem::compile)
    }

    fn value_sets(&self, url: &str) -> Result<Vec<Arc<ValueSet>>, TerminologyError> {
        made(&SETS, "ValueSet", url, ValueSet::compile)
    }

    fn concept_maps(
        &self,
        url: Option<&str>,
        source_system: Option<&str>,
    ) -> Result<Vec<Arc<ConceptMap>>, TerminologyError> {
        if let Some(url) = url {
            return made(&MAPS, "ConceptMap", url, ConceptMap::compile);
        }
        let mut out = Vec::new();
        for url in urls("ConceptMap") {
            for map in made(&MAPS, "ConceptMap", url, ConceptMap::compile)? {
                let is_of = |s: &str| map.groups.iter().any(|g| g.source.as_ref() == s);
                if source_system.is_none_or(is_of) {
                    out.push(map);
                }
            }
        }
        Ok(out)
    }
}
