//! Resources that records lean on (who did it, where, with what): found by the references in stored bytes, without parsing
//! them, and read under the same grant. What belongs to another person is never supporting.

use crate::outcome::Failure;
use crate::read::is_deleted;
use crate::repository::Repository;
use fhir::Pack;
use std::collections::{BTreeSet, HashSet};
use store::{Granted, MicrosUtc, PersonKey, Record, Rid, Snapshot};

/// Most supporting resources of one answer.
pub(crate) const MAX_SUPPORTING: usize = 5_000;
/// Most steps away from the records themselves.
const MAX_STEPS: usize = 4;

const NEEDLE: &[u8] = b"\"reference\"";

/// Texts of all `reference` members of a resource in JSON. Inside a string value the member's quotes would be escaped, so
/// a match is a member; texts with escapes (never a relative reference) are passed over.
pub(crate) fn references(body: &[u8]) -> impl Iterator<Item = &str> {
    let mut rest = body;
    std::iter::from_fn(move || {
        loop {
            let at = find(rest)?;
            rest = rest.get(at + NEEDLE.len()..)?;
            let Some(text) = string_value(rest) else {
                continue;
            };
            return Some(text);
        }
    })
}

fn find(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        // `f` is rare in JSON compared with quotes; looking for it first makes the scan cheap.
        let hit = from + bytes.get(from..)?.iter().position(|b| *b == b'f')?;
        let start = hit.checked_sub(3);
        if let Some(start) = start
            && bytes
                .get(start..start + NEEDLE.len())
                .is_some_and(|w| w == NEEDLE)
        {
            return Some(start);
        }
        from = hit + 1;
    }
}

/// The string after a colon, when it holds no escape.
fn string_value(bytes: &[u8]) -> Option<&str> {
    let mut rest = bytes.trim_ascii_start();
    rest = rest.strip_prefix(b":")?.trim_ascii_start();
    rest = rest.strip_prefix(b"\"")?;
    let end = rest.iter().position(|b| matches!(b, b'"' | b'\\'))?;
    let text = rest.get(..end)?;
    (rest.get(end) == Some(&b'"')).then(|| std::str::from_utf8(text).ok())?
}

/// Type and id of a reference's text that leads to this repository.
pub(crate) fn local<'t>(repository: &Repository, text: &'t str) -> Option<(&'t str, &'t str)> {
    let (base, rtype, id, _) = fhir::refs::split(text, Pack::r4())?;
    let is_ours = base.is_empty() || repository.config.bases.iter().any(|b| b == base);
    (is_ours && repository.has_type(rtype)).then_some((rtype, id))
}

/// What supporting resources are gathered for.
pub(crate) struct Gathering<'a> {
    pub repository: &'a Repository,
    pub snapshot: &'a Snapshot,
    pub granted: &'a Granted,
    /// Types wanted; `None` = all.
    pub types: Option<&'a BTreeSet<String>>,
    /// Only what changed at this instant or later.
    pub since: Option<MicrosUtc>,
    /// Persons whose records may be supporting too.
    pub persons: &'a BTreeSet<PersonKey>,
    /// `Type/id` that were met already.
    pub met: HashSet<(String, String)>,
    /// Records that are in the answer for their own sake.
    pub members: &'a HashSet<Rid>,
}

impl Gathering<'_> {
    /// Supporting resources of these records, in order of first mention, and theirs.
    pub fn gather(&mut self, records: &[Record]) -> Result<Vec<Record>, Failure> {
        for record in records {
            self.met
                .insert((record.head.rtype.clone(), record.head.id.clone()));
        }
        let mut out: Vec<Record> = Vec::new();
        let mut next = self.mentioned(records);
        for _ in 0..MAX_STEPS {
            let mut found = Vec::new();
            for (rtype, id) in &next {
                let record =
                    self.snapshot
                        .read(self.granted, self.repository.config.repo, rtype, id)?;
                let Some(record) = record.filter(|r| self.is_supporting(r)) else {
                    continue;
                };
                if out.len() + found.len() >= MAX_SUPPORTING {
                    return Err(Failure::too_costly(format!(
                        "more than {MAX_SUPPORTING} supporting resources; lower _count or name _type"
                    )));
                }
                found.push(record);
            }
            if found.is_empty() {
                break;
            }
            next = self.mentioned(&found);
            out.extend(found);
        }
        out.retain(|r| self.is_wanted(r));
        Ok(out)
    }

    fn mentioned(&mut self, records: &[Record]) -> Vec<(String, String)> {
        let mut out = Vec::new();
        for record in records {
            for text in references(&record.body) {
                let Some((rtype, id)) = local(self.repository, text) else {
                    continue;
                };
                // A patient is there for her own sake or not at all.
                if rtype != "Patient" && self.met.insert((rtype.to_owned(), id.to_owned())) {
                    out.push((rtype.to_owned(), id.to_owned()));
                }
            }
        }
        out
    }

    fn is_supporting(&self, record: &Record) -> bool {
        !is_deleted(record)
            && !self.members.contains(&record.head.rid)
            && record.head.persons.iter().all(|p| self.persons.contains(p))
    }

    fn is_wanted(&self, record: &Record) -> bool {
        self.since.is_none_or(|since| record.head.at >= since)
            && self
                .types
                .is_none_or(|types| types.contains(&record.head.rtype))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn references_are_found_in_bytes() {
        let body = br##"{"subject":{"reference":"Patient/1"},"note":[{"text":"\"reference\":\"Patient/2\""}],
            "a":{ "reference" : "Organization/x" },"b":{"reference":null,"_reference":{"id":"reference"}},
            "preference":"reference","c":{"reference":"#r"},"d":{"reference":"Pa\u0074ient/3"}}"##;
        let found: Vec<&str> = references(body).collect();
        assert_eq!(found, ["Patient/1", "Organization/x", "#r"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = references(&body).count();
        }

        #[test]
        fn every_reference_of_a_document_is_found(ids in proptest::collection::vec("[a-z0-9]{1,8}", 0..6), text in ".{0,20}") {
            let list: Vec<_> = ids.iter().map(|id| serde_json::json!({ "display": text, "reference": format!("Device/{id}") })).collect();
            let body = serde_json::json!({ "text": text, "list": list }).to_string();
            let want: Vec<String> = ids.iter().map(|id| format!("Device/{id}")).collect();
            let found: Vec<&str> = references(body.as_bytes()).collect();
            prop_assert_eq!(found, want);
        }
    }
}
