//! Profiles built into the program: those of R4 itself, and the national base profiles written for this house.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use bytes::Bytes;
use serde::Deserialize;

use super::compile::shared;
use super::{Library, Profile};
use crate::doc::Doc;
use crate::json::Limits;

/// R4's own, made by `cargo xtask definitions`: one StructureDefinition a line.
static CORE: &[u8] = include_bytes!("../../pack/profiles.ndjson.zst");

/// Facts of HL7 Norway's base profiles in the house's own words.
static NATIONAL: &str = include_str!("../../profiles/national.ndjson");

struct Texts {
    /// Both files, one definition a line.
    lines: Bytes,
    /// URL → span in `lines`.
    places: HashMap<Box<str>, (usize, usize)>,
    /// Constrained type → URLs, sorted.
    by_type: HashMap<Box<str>, Vec<Box<str>>>,
}

#[derive(Deserialize)]
struct Head {
    url: Box<str>,
    #[serde(rename = "type")]
    constrained: Box<str>,
}

static TEXTS: LazyLock<Texts> = LazyLock::new(|| {
    let mut lines = zstd::decode_all(CORE).unwrap_or_default();
    lines.extend_from_slice(NATIONAL.as_bytes());
    let mut places = HashMap::new();
    let mut by_type: HashMap<Box<str>, Vec<Box<str>>> = HashMap::new();
    let mut at = 0;
    for line in lines.split(|b| *b == b'\n') {
        if let Ok(head) = serde_json::from_slice::<Head>(line) {
            let of_type = by_type.entry(head.constrained).or_default();
            of_type.push(head.url.clone());
            of_type.sort_unstable();
            places.insert(head.url, (at, at + line.len()));
        }
        at += line.len() + 1;
    }
    Texts {
        lines: Bytes::from(lines),
        places,
        by_type,
    }
});

static COMPILED: LazyLock<Mutex<HashMap<Box<str>, Arc<Profile>>>> = LazyLock::new(Mutex::default);

/// Canonical URLs of the built-in profiles.
#[cfg(test)]
pub(super) fn urls() -> Vec<&'static str> {
    TEXTS.places.keys().map(AsRef::as_ref).collect()
}

/// Canonical URLs of the built-in profiles of a type, sorted.
pub fn built_in_for(rtype: &str) -> impl Iterator<Item = &'static str> {
    TEXTS
        .by_type
        .get(rtype)
        .into_iter()
        .flatten()
        .map(AsRef::as_ref)
}

/// A built-in profile, compiled at first use.
pub(super) fn profile(url: &str, library: &Library<'_>) -> Option<Arc<Profile>> {
    let lock = || COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(p) = lock().get(url) {
        return Some(p.clone());
    }
    let (from, to) = TEXTS.places.get(url)?;
    let text = TEXTS.lines.slice(*from..*to);
    let doc = Doc::parse_json(text, &Limits::default()).ok()?;
    let p = shared(doc, library)?;
    lock().insert(Box::from(url), p.clone());
    Some(p)
}
