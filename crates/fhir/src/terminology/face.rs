//! [`Terminology`] over any [`Source`]: what search and validation ask.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::compose::{Asked, Engine, Settings, Stack, Tri};
use super::source::{Source, split_canonical};
use super::value_set::ValueSet;
use super::{Coded, Content, Members, Terminology, TerminologyError, grammar, national};

/// The narrow face of a source.
pub struct Face<S>(pub S);

fn unknown(url: &str) -> TerminologyError {
    TerminologyError::Unknown {
        kind: "ValueSet",
        url: url.to_owned(),
    }
}

impl<S: Source> Face<S> {
    fn linked(
        &self,
        system: &str,
        code: &str,
        limit: usize,
        down: bool,
    ) -> Result<Arc<[Box<str>]>, TerminologyError> {
        let alone = || Arc::from(vec![Box::from(code)]);
        let (url, version) = split_canonical(system);
        let engine = Engine::new(&self.0, Settings::default());
        let Some(definition) = engine.code_system(url, version)? else {
            return Ok(alone());
        };
        let Some(place) = definition.place(code) else {
            return Ok(alone());
        };
        let places = definition.closure(place, down);
        if places.len() > limit {
            return Err(TerminologyError::TooCostly(format!(
                "the code has more than {limit} codes {} it",
                if down { "below" } else { "above" }
            )));
        }
        Ok(places
            .into_iter()
            .filter_map(|p| definition.at(p))
            .map(|c| c.code.clone())
            .collect())
    }
}

impl<S: Source> Terminology for Face<S> {
    fn members(&self, value_set: &str, limit: usize) -> Result<Arc<Members>, TerminologyError> {
        let engine = Engine::new(&self.0, Settings::default());
        let set = engine
            .value_set(value_set, None)?
            .ok_or_else(|| unknown(value_set))?;
        let (closed, systems) = without_open_systems(&engine, &set)?;
        let items = engine.items(closed.as_ref().unwrap_or(&set), &mut Stack::new(&set))?;
        if items.len() > limit {
            return Err(TerminologyError::TooCostly(format!(
                "the value set has more than {limit} codes"
            )));
        }
        // A code of a national list is a member under each of the list's names.
        let mut aliases: HashMap<Arc<str>, Vec<String>> = HashMap::new();
        let mut codes = Vec::with_capacity(items.len());
        for item in items {
            let others = aliases
                .entry(item.system.clone())
                .or_insert_with(|| national::aliases(&item.system));
            codes.extend(others.iter().map(|system| Coded {
                system: Box::from(system.as_str()),
                code: item.code.clone(),
            }));
            codes.push(Coded {
                system: Box::from(item.system.as_ref()),
                code: item.code,
            });
        }
        Ok(Arc::new(Members { codes, systems }))
    }

    fn contains(
        &self,
        value_set: &str,
        system: Option<&str>,
        code: &str,
    ) -> Result<Option<bool>, TerminologyError> {
        let engine = Engine::new(&self.0, Settings::default());
        let Some(set) = engine.value_set(value_set, None)? else {
            return Ok(None);
        };
        let asked = Asked {
            system: system.unwrap_or_default(),
            code,
        };
        match engine.contains(&set, asked, &mut Stack::new(&set)) {
            Ok(Tri::Yes) => Ok(Some(true)),
            Ok(Tri::No) => Ok(Some(false)),
            Ok(Tri::Unknown) | Err(TerminologyError::Unknown { .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }

    fn descendants(
        &self,
        system: &str,
        code: &str,
        limit: usize,
    ) -> Result<Arc<[Box<str>]>, TerminologyError> {
        self.linked(system, code, limit, true)
    }

    fn ancestors(
        &self,
        system: &str,
        code: &str,
        limit: usize,
    ) -> Result<Arc<[Box<str>]>, TerminologyError> {
        if !national::is_lexical(system) {
            return self.linked(system, code, limit, false);
        }
        // Every beginning of the code, itself too; those that are no codes match nothing.
        let ends = code.char_indices().map(|(at, c)| at + c.len_utf8());
        Ok(ends
            .filter_map(|end| code.get(..end))
            .filter(|beginning| !beginning.ends_with('.'))
            .take(limit)
            .map(Box::from)
            .collect())
    }

    fn case_sensitive(&self, system: &str) -> Option<bool> {
        let (url, version) = split_canonical(system);
        let engine = Engine::new(&self.0, Settings::default());
        engine
            .code_system(url, version)
            .ok()
            .flatten()
            .and_then(|d| d.case_sensitive)
    }
}

/// Whole systems of a value set whose codes are not all here, and the value set without them. Only for plain includes: with
/// filters, exclusions or intersections the codes must be known.
fn without_open_systems(
    engine: &Engine<'_>,
    set: &ValueSet,
) -> Result<(Option<ValueSet>, Vec<Box<str>>), TerminologyError> {
    let mut systems = BTreeSet::new();
    let mut kept = Vec::new();
    for part in &set.include {
        let is_plain =
            part.concepts.is_empty() && part.filters.is_empty() && part.value_sets.is_empty();
        let open = match part.system.as_deref().filter(|_| is_plain) {
            Some(system) => {
                let known = engine.code_system(system, part.version.as_deref())?;
                let is_whole = known.is_some_and(|d| d.content == Content::Complete);
                (!is_whole || grammar::has(system, "").is_some()).then(|| Box::from(system))
            }
            None => None,
        };
        match open {
            Some(system) => {
                systems.insert(system);
            }
            None => kept.push(part.clone()),
        }
    }
    if systems.is_empty() || !set.exclude.is_empty() {
        return Ok((None, Vec::new()));
    }
    let closed = ValueSet {
        head: set.head.clone(),
        include: kept,
        exclude: Vec::new(),
        inactive: set.inactive,
        has_compose: true,
        expansion: Vec::new(),
        supplements: set.supplements.clone(),
        parameters: Vec::new(),
        contained: Vec::new(),
        json: set.json.clone(),
    };
    Ok((Some(closed), systems.into_iter().collect()))
}
