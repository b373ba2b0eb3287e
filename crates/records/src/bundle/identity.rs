//! Which record each entry of a transaction will be, before anything is planned: references can then be rewritten.

use super::{Item, Verb};
use crate::outcome::Failure;
use crate::params;
use crate::plan::Plan;
use crate::repository::Repository;
use fhir::Pack;
use std::collections::{HashMap, HashSet};

/// What entries become.
#[derive(Default)]
pub(super) struct Identities {
    /// Entry → id.
    pub ids: HashMap<usize, String>,
    /// fullUrl → `Type/id`.
    urls: HashMap<String, String>,
    /// `Type/id` as the Bundle's sender knew it → `Type/id` here; `None` when two entries of different bases have it.
    relative: HashMap<String, Option<String>>,
    /// `Type?criteria` of conditional creates → the entry that comes first.
    pub creates: HashMap<String, usize>,
    /// Entries that are the same conditional create as an earlier one.
    pub repeats: HashMap<usize, usize>,
    /// Records that are changed or deleted: what the store says of them will not hold.
    pub changed: HashSet<String>,
}

impl Identities {
    /// Which record each entry will be.
    pub fn of(repository: &Repository, at: Plan<'_>, items: &[Item<'_>]) -> Result<Self, Failure> {
        let mut out = Self::default();
        for item in items {
            out.identify(repository, at, item)
                .map_err(|f| f.within(&item.place()))?;
        }
        Ok(out)
    }

    fn identify(
        &mut self,
        repository: &Repository,
        at: Plan<'_>,
        item: &Item<'_>,
    ) -> Result<(), Failure> {
        let verb = item.verb()?;
        item.require_here()?;
        if verb.reads() {
            return Ok(());
        }
        let rtype = item.rtype();
        let criteria = params::decode(item.query.as_bytes());
        let matching = |criteria: &[(String, String)]| {
            repository.matching_criteria(at.snapshot, at.granted, rtype, criteria)
        };
        repository.require_type(rtype)?;
        let is_allowed = match verb {
            Verb::Post => item.segments.len() == 1,
            _ => item.segments.len() <= 2,
        };
        if !is_allowed {
            return Err(Failure::bad(
                "not-supported",
                "a transaction takes create, update, patch, delete and reads; operations go by themselves",
            ));
        }
        let id = match (verb, item.id()) {
            (Verb::Delete, Some(id)) => {
                self.changed.insert(format!("{rtype}/{id}"));
                return Ok(());
            }
            (Verb::Delete, None) => {
                for record in matching(&criteria)?.0 {
                    self.changed.insert(format!("{rtype}/{}", record.head.id));
                }
                return Ok(());
            }
            (Verb::Post, _) => {
                let existing = match &item.preconditions.if_none_exist {
                    Some(text) => {
                        let key = format!("{rtype}?{}", params::encode(&params::criteria(text)));
                        if let Some(first) = self.creates.get(&key) {
                            // Two entries of the same criteria are one resource.
                            let (first, id) = (*first, self.ids.get(first).cloned());
                            self.repeats.insert(item.index, first);
                            return self.add(item, rtype, id.unwrap_or_default());
                        }
                        self.creates.insert(key, item.index);
                        let criteria = params::criteria(text);
                        match matching(&criteria)?.0.as_slice() {
                            [one] => Some(one.head.id.clone()),
                            _ => None,
                        }
                    }
                    None => None,
                };
                existing.unwrap_or_else(|| uuid::Uuid::now_v7().to_string())
            }
            (_, Some(id)) => id.to_owned(),
            (Verb::Patch, None) => repository.patch_target(at, rtype, &criteria)?,
            (_, None) => {
                let given = item.resource.and_then(|r| r.str_at("id"));
                match (matching(&criteria)?.0.as_slice(), given) {
                    ([one], _) => one.head.id.clone(),
                    (_, Some(id)) => id.to_owned(),
                    _ => uuid::Uuid::now_v7().to_string(),
                }
            }
        };
        if verb != Verb::Post {
            self.changed.insert(format!("{rtype}/{id}"));
        }
        self.add(item, rtype, id)
    }

    fn add(&mut self, item: &Item<'_>, rtype: &str, id: String) -> Result<(), Failure> {
        let target = format!("{rtype}/{id}");
        self.ids.insert(item.index, id);
        let Some(url) = &item.full_url else {
            return Ok(());
        };
        if self
            .urls
            .insert(url.clone(), target.clone())
            .is_some_and(|other| other != target)
        {
            return Err(Failure::bad("invalid", "two entries have the same fullUrl"));
        }
        if let Some((_, kind, given, _)) = fhir::refs::split(url, Pack::r4()) {
            self.relative
                .entry(format!("{kind}/{given}"))
                .and_modify(|known| {
                    if known.as_ref() != Some(&target) {
                        *known = None;
                    }
                })
                .or_insert(Some(target));
        }
        Ok(())
    }

    /// The record that an address inside the Bundle means. `full_url`: of the entry in which the address stands.
    pub fn target(&self, address: &str, full_url: Option<&str>) -> Option<&str> {
        if let Some(target) = self.urls.get(address) {
            return Some(target);
        }
        let (base, rtype, id, version) = fhir::refs::split(address, Pack::r4())?;
        let plain = format!("{rtype}/{id}");
        if base.is_empty() {
            let own = full_url
                .and_then(|url| fhir::refs::split(url, Pack::r4()))
                .filter(|(base, ..)| !base.is_empty())
                .and_then(|(base, ..)| self.urls.get(&format!("{base}/{plain}")));
            return own
                .or_else(|| self.relative.get(&plain)?.as_ref())
                .map(String::as_str);
        }
        version?;
        self.urls
            .get(&format!("{base}/{plain}"))
            .map(String::as_str)
    }

    /// The record of exactly this fullUrl.
    pub fn of_url(&self, url: &str) -> Option<&str> {
        self.urls.get(url).map(String::as_str)
    }

    /// Whether no entry has a fullUrl.
    pub fn has_no_urls(&self) -> bool {
        self.urls.is_empty()
    }
}
