//! Index rows that count at a snapshot, led by the compartment of a filter where that is the shorter way.

use super::{MAX_REMEMBERED, MAX_ROWS_LOOKED_AT, MAX_SEEN, Seen, Verdicts, View, too_many};
use crate::sqlite::codec;
use crate::sqlite::shared::{Aliases, locked};
use crate::sqlite::walk::{Span, count, walk};
use crate::{Filter, Granted, PersonKey, RepoId, StoreError};
use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;

/// The live records of a repository that a filter with compartments admits.
pub(in crate::sqlite) struct Leading {
    repo: RepoId,
    filter: Filter,
    /// What it was found under: purges hide at once and merges count at once, also in older snapshots.
    purges: u64,
    aliases: Arc<Aliases>,
    /// Record → place; `None` = too many to lead.
    pub(super) records: Option<HashMap<u64, u64>>,
}

/// Compartments a snapshot remembers.
const MAX_KNOWN: usize = 8;

/// A compartment of more records than this no longer leads a query.
const MAX_LEADING_RECORDS: usize = 20_000;

impl View<'_> {
    /// Whether an index row counts: its version is the newest here, and the filter admits it.
    fn counts(
        &self,
        grant: &Granted,
        rid: u64,
        seq: u64,
        verdicts: &mut Verdicts,
    ) -> Result<bool, StoreError> {
        if seq > self.lens.seq {
            return Ok(false);
        }
        if let Some((newest, admitted)) = verdicts.get(&rid) {
            return Ok(*newest == seq && *admitted);
        }
        if *grant.filter() == Filter::Open {
            let counts = self.lens.newest(rid)? == Some(seq);
            if counts {
                self.saw(rid, seq);
            }
            return Ok(counts);
        }
        let Some(placed) = self.lens.head_if(rid, |newest| newest == seq)? else {
            return Ok(false);
        };
        let admitted = grant.filter().admits(&self.head(rid, placed)?);
        if verdicts.len() < MAX_REMEMBERED {
            verdicts.insert(rid, (seq, admitted));
        }
        Ok(admitted)
    }

    /// An index row of the record's newest version here: only live versions have any.
    fn saw(&self, rid: u64, seq: u64) {
        let mut seen = locked(self.seen);
        if seen.purges != self.purges {
            *seen = Seen {
                purges: self.purges,
                ..Seen::default()
            };
        }
        if seen.places.len() < MAX_SEEN {
            seen.places.insert(rid, seq);
        }
    }

    /// Where a record was seen, for a reader who may see all.
    pub(super) fn seen_at(&self, grant: &Granted, rid: u64) -> Option<u64> {
        if *grant.filter() != Filter::Open {
            return None;
        }
        let seen = locked(self.seen);
        (seen.purges == self.purges)
            .then(|| seen.places.get(&rid).copied())
            .flatten()
    }

    /// Visits rows of a span that count, as (index key, record).
    pub(super) fn each(
        &self,
        grant: &Granted,
        span: &Span,
        only: Option<&HashMap<u64, u64>>,
        mut visit: impl FnMut(&[u8], u64, u64) -> Result<std::ops::ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        let mut verdicts = Verdicts::new();
        let mut looked_at = 0usize;
        walk(
            &self.pinned.generations,
            self.index,
            span,
            |k, rid, stored| {
                looked_at += 1;
                if looked_at > MAX_ROWS_LOOKED_AT {
                    return Err(too_many(MAX_ROWS_LOOKED_AT));
                }
                let Some(seq) = self.lens.loads.place(stored) else {
                    return Ok(Continue(()));
                };
                let counts = match only {
                    Some(records) => records.get(&rid) == Some(&seq),
                    None => self.counts(grant, rid, seq, &mut verdicts)?,
                };
                if counts {
                    visit(k, rid, seq)
                } else {
                    Ok(Continue(()))
                }
            },
        )
    }

    /// Live visible records in which one of the persons stands, with their places; `None` when more than `limit`.
    pub(super) fn compartment(
        &self,
        grant: &Granted,
        repo: RepoId,
        persons: &BTreeSet<PersonKey>,
        limit: usize,
    ) -> Result<Option<HashMap<u64, u64>>, StoreError> {
        let mut found = HashMap::new();
        let keys: BTreeSet<u64> = persons
            .iter()
            .flat_map(|p| self.aliases.all_to(self.aliases.end(p.0)))
            .collect();
        for key in keys {
            let k = codec::index_key(repo.0, codec::PARAM_PERSON, &key.to_be_bytes());
            self.each(grant, &Span::exact(&k), None, |_, rid, seq| {
                found.insert(rid, seq);
                Ok(if found.len() > limit {
                    Break(())
                } else {
                    Continue(())
                })
            })?;
            if found.len() > limit {
                return Ok(None);
            }
        }
        Ok(Some(found))
    }

    /// The records that the filter's compartments leave, when it has any; few enough of them lead the query.
    pub(super) fn leading(
        &self,
        grant: &Granted,
        repo: RepoId,
    ) -> Result<Option<Arc<Leading>>, StoreError> {
        let Some(persons) = grant.filter().compartments() else {
            return Ok(None);
        };
        let fits = |l: &Leading| {
            l.repo == repo
                && l.purges == self.purges
                && Arc::ptr_eq(&l.aliases, &self.aliases)
                && l.filter == *grant.filter()
        };
        if let Some(known) = locked(self.known).iter().find(|l| fits(l)) {
            return Ok(Some(Arc::clone(known)).filter(|l| l.records.is_some()));
        }
        let found = Arc::new(Leading {
            repo,
            filter: grant.filter().clone(),
            purges: self.purges,
            aliases: Arc::clone(&self.aliases),
            records: self.compartment(grant, repo, persons, MAX_LEADING_RECORDS)?,
        });
        let mut known = locked(self.known);
        if known.len() >= MAX_KNOWN {
            known.remove(0);
        }
        known.push(Arc::clone(&found));
        Ok(Some(found).filter(|l| l.records.is_some()))
    }

    /// Rows of the span carried by these records, from their own keys.
    fn rows_of(
        &self,
        records: &HashMap<u64, u64>,
        repo: RepoId,
        span: &Span,
    ) -> Result<Vec<(Vec<u8>, u64)>, StoreError> {
        let mut rows = Vec::new();
        for (rid, seq) in records {
            for key in self.lens.keys(*rid, *seq)? {
                let k = codec::index_key(repo.0, key.param, &key.value);
                if span.contains(&k) && span.beyond(&k, *rid) {
                    rows.push((k, *rid));
                }
            }
        }
        rows.sort_unstable();
        if span.descending {
            rows.reverse();
        }
        Ok(rows)
    }

    pub(super) fn count_rows(&self, span: &Span, limit: u64) -> Result<u64, StoreError> {
        if span.after.is_none() {
            return count(&self.pinned.generations, self.index, span, limit);
        }
        let mut n = 0;
        walk(&self.pinned.generations, self.index, span, |_, _, _| {
            n += 1;
            Ok(if n >= limit { Break(()) } else { Continue(()) })
        })?;
        Ok(n)
    }

    /// Visits the rows of a span that count, led by the compartment when that is the shorter way.
    pub(super) fn rows(
        &self,
        grant: &Granted,
        repo: RepoId,
        span: &Span,
        mut visit: impl FnMut(&[u8], u64) -> Result<std::ops::ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        let leading = self.leading(grant, repo)?;
        let records = leading.as_ref().and_then(|l| l.records.as_ref());
        if let Some(records) = records {
            let worth = records.len() as u64 * 4;
            if self.count_rows(span, worth + 1)? > worth {
                for (k, rid) in self.rows_of(records, repo, span)? {
                    if visit(&k, rid)?.is_break() {
                        break;
                    }
                }
                return Ok(());
            }
        }
        self.each(grant, span, records, |k, rid, _| visit(k, rid))
    }
}
