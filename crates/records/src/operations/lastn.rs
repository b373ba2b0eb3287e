//! `Observation/$lastn`: the newest observations of each kind (spec/fhir-server.md §14).
//!
//! The parameters of a search, plus `max`; one patient and a code or category must be named. Two observations are of one
//! kind when their codes share a coding, or, without codings, the text. Newest first by the clinical date; observations
//! without a date come last.

use super::Target;
use super::input::Input;
use crate::gate::Caller;
use crate::http::{Answer, Call};
use crate::outcome::Failure;
use crate::params::{MAX_COUNT, SearchParams, SortKey};
use crate::repository::Repository;
use fhir::{Doc, Limits, Node};
use std::collections::HashMap;
use store::{Record, Rid};

/// Most observations that are looked at.
const MAX_LOOKED_AT: usize = 20_000;

pub(crate) fn run(
    repository: &Repository,
    call: &Call,
    caller: &Caller,
    _: Target<'_>,
) -> Result<Answer, Failure> {
    let input = Input::read(call)?;
    let max = input.number("max", 1)?.unwrap_or(1);
    let mut parameters = input.into_values();
    parameters.retain(|(name, _)| name != "max");
    let has = |codes: &[&str]| {
        parameters.iter().any(|(name, _)| {
            let code = name.split([':', '.']).next().unwrap_or_default();
            codes.contains(&code)
        })
    };
    if !has(&["patient", "subject"]) && caller.named.is_none() {
        return Err(Failure::bad("required", "name one patient").on("patient"));
    }
    if !has(&["code", "category", "combo-code"]) {
        return Err(Failure::bad("required", "name a code or a category").on("category"));
    }
    if parameters.iter().any(|(name, _)| name == "_sort") {
        return Err(Failure::bad("not-supported", "the order of $lastn is fixed").on("_sort"));
    }
    let mut params = SearchParams::read(&parameters)?;
    if params.page.is_some() {
        return Err(Failure::bad("not-supported", "$lastn is not paged").on("_page"));
    }
    params.executed.push(("max".to_owned(), max.to_string()));
    let sort = SortKey {
        code: "date".to_owned(),
        descending: true,
    };
    repository.search_chosen(call, caller, "Observation", params, sort, |snapshot, granted, rids| {
        if rids.len() > MAX_LOOKED_AT {
            return Err(Failure::too_costly(format!(
                "more than {MAX_LOOKED_AT} observations match; name codes"
            )));
        }
        let mut kinds = Kinds::default();
        let mut chosen: Vec<(usize, Rid)> = Vec::new();
        let mut records = Vec::with_capacity(rids.len());
        for chunk in rids.chunks(500) {
            records.extend(snapshot.fetch(granted, chunk)?);
        }
        let keys: Vec<Vec<String>> = records.iter().map(labels).collect();
        for keys in &keys {
            kinds.join(keys);
        }
        let mut taken: HashMap<usize, usize> = HashMap::new();
        for (record, keys) in records.iter().zip(&keys) {
            let kind = kinds.of(keys);
            let taken = taken.entry(kind).or_default();
            if *taken < max {
                *taken += 1;
                chosen.push((kind, record.head.rid));
            }
        }
        // Kinds in order of their newest observation; inside a kind newest first.
        let mut order: Vec<usize> = Vec::new();
        for (kind, _) in &chosen {
            if !order.contains(kind) {
                order.push(*kind);
            }
        }
        let place: HashMap<usize, usize> =
            order.into_iter().enumerate().map(|(i, k)| (k, i)).collect();
        chosen.sort_by_key(|(kind, _)| place.get(kind).copied());
        if chosen.len() > MAX_COUNT {
            return Err(Failure::too_costly(format!(
                "the answer would hold more than {MAX_COUNT} observations; lower max or name codes"
            )));
        }
        Ok(chosen.into_iter().map(|(_, rid)| rid).collect())
    })
}

/// What an observation's code says, one text per coding.
fn labels(record: &Record) -> Vec<String> {
    let Ok(doc) = Doc::parse_json(record.body.clone(), &Limits::default()) else {
        return Vec::new();
    };
    let Some(code) = doc.root().get("code") else {
        return Vec::new();
    };
    let label = |c: Node<'_>| {
        let code = c.str_at("code")?;
        Some(format!(
            "c|{}|{code}",
            c.str_at("system").unwrap_or_default()
        ))
    };
    let codings: Vec<String> = code.all("coding").filter_map(label).collect();
    if codings.is_empty() {
        return code
            .str_at("text")
            .map(|text| format!("t|{text}"))
            .into_iter()
            .collect();
    }
    codings
}

/// Kinds as disjoint sets of labels.
#[derive(Default)]
struct Kinds {
    of_label: HashMap<String, usize>,
    parent: Vec<usize>,
}

impl Kinds {
    fn root(&self, mut at: usize) -> usize {
        while let Some(up) = self.parent.get(at).filter(|up| **up != at) {
            at = *up;
        }
        at
    }

    fn join(&mut self, labels: &[String]) {
        let Some(first) = labels.first() else { return };
        let first = self.number(first);
        for label in labels {
            let number = self.number(label);
            let (a, b) = (self.root(first), self.root(number));
            if let Some(slot) = self.parent.get_mut(b) {
                *slot = a;
            }
        }
    }

    fn number(&mut self, label: &str) -> usize {
        if let Some(n) = self.of_label.get(label) {
            return *n;
        }
        let n = self.parent.len();
        self.parent.push(n);
        self.of_label.insert(label.to_owned(), n);
        n
    }

    /// Observations that say nothing of their kind are one kind.
    fn of(&self, labels: &[String]) -> usize {
        labels
            .first()
            .and_then(|l| self.of_label.get(l))
            .map_or(usize::MAX, |n| self.root(*n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codings_join_kinds() {
        let list = |labels: &[&str]| labels.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>();
        let mut kinds = Kinds::default();
        for labels in [&["a"][..], &["b"], &["c", "d"], &["d", "a"]] {
            kinds.join(&list(labels));
        }
        assert_eq!(kinds.of(&list(&["a"])), kinds.of(&list(&["c"])));
        assert_ne!(kinds.of(&list(&["a"])), kinds.of(&list(&["b"])));
        assert_eq!(kinds.of(&[]), usize::MAX);
    }
}
