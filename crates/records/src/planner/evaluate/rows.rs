//! Rows of the index, keys and documents of records, read on the budget of the search.

use super::{CHUNK, Evaluator, REMEMBERED, costly, key_range};
use crate::outcome::Failure;
use crate::planner::{Cond, DOCUMENT_ROWS};
use fhir::keys::query::Query;
use fhir::{Doc, Limits, Pack};
use std::rc::Rc;
use store::{Direction, IndexKey, IndexRow, KeyRange, Rid};

impl Evaluator<'_> {
    /// Records with a row in a range, ascending.
    pub(super) fn rows_of(&self, range: &KeyRange) -> Result<Vec<Rid>, Failure> {
        let rids = self
            .snapshot
            .range(self.granted, self.repo, range, self.left())
            .map_err(costly)?;
        self.spend(rids.len().max(1))?;
        Ok(rids)
    }

    /// Keys of a record, remembered for this search.
    pub fn keys(&self, rid: Rid) -> Result<Rc<Vec<IndexKey>>, Failure> {
        if let Some(keys) = self.keys.borrow().get(&rid) {
            return Ok(keys.clone());
        }
        self.spend(1)?;
        let keys = Rc::new(self.snapshot.keys(self.granted, rid)?);
        let mut remembered = self.keys.borrow_mut();
        if remembered.len() < REMEMBERED {
            remembered.insert(rid, keys.clone());
        }
        Ok(keys)
    }

    /// Reads the keys of many records at once, ahead of [`Evaluator::keys`].
    pub(in crate::planner) fn remember(&self, rids: &[Rid]) -> Result<(), Failure> {
        let mut remembered = self.keys.borrow_mut();
        if remembered.len() + rids.len() > REMEMBERED {
            remembered.clear();
        }
        let new: Vec<Rid> = rids
            .iter()
            .filter(|rid| !remembered.contains_key(rid))
            .take(REMEMBERED)
            .copied()
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        self.spend(new.len())?;
        for (rid, keys) in self.snapshot.keys_of(self.granted, &new)? {
            remembered.insert(rid, Rc::new(keys));
        }
        Ok(())
    }

    /// Records with a key in one of the ranges, ascending.
    pub(super) fn ranges(&self, query: &Query) -> Result<Vec<Rid>, Failure> {
        let mut rids = Vec::new();
        for range in &query.ranges {
            match &range.filter {
                None => rids.extend(self.rows_of(&key_range(range))?),
                Some(filter) => self.scan(&key_range(range), Direction::Ascending, |row| {
                    if filter.accepts(&row.value) {
                        rids.push(row.rid);
                    }
                    true
                })?,
            }
        }
        rids.sort_unstable();
        rids.dedup();
        Ok(rids)
    }

    /// Visits rows of a range in order until the visitor says stop.
    pub(in crate::planner) fn scan(
        &self,
        range: &KeyRange,
        direction: Direction,
        mut visit: impl FnMut(&IndexRow) -> bool,
    ) -> Result<(), Failure> {
        let mut after: Option<IndexRow> = None;
        loop {
            let rows = self
                .snapshot
                .scan(
                    self.granted,
                    self.repo,
                    range,
                    direction,
                    after.as_ref(),
                    CHUNK,
                )
                .map_err(costly)?;
            self.spend(rows.len().max(1))?;
            let is_last = rows.len() < CHUNK;
            for row in &rows {
                if !visit(row) {
                    return Ok(());
                }
            }
            match rows.into_iter().next_back() {
                Some(row) if !is_last => after = Some(row),
                _ => return Ok(()),
            }
        }
    }

    /// Confirms candidates on their documents, where keys alone cannot decide.
    pub(super) fn recheck(&self, rids: Vec<Rid>, cond: &Cond) -> Result<Vec<Rid>, Failure> {
        let Cond::Query {
            param,
            modifier,
            value,
            query,
        } = cond
        else {
            return Ok(rids);
        };
        if !query.recheck {
            return Ok(rids);
        }
        self.read_through(rids, |doc| {
            Ok(fhir::keys::matches::matches(
                Pack::r4(),
                param,
                modifier.as_deref(),
                value,
                doc,
                self.options,
            )?)
        })
    }

    /// Those whose documents pass a test.
    pub(super) fn read_through(
        &self,
        rids: Vec<Rid>,
        test: impl Fn(&Doc) -> Result<bool, Failure>,
    ) -> Result<Vec<Rid>, Failure> {
        let mut kept = Vec::with_capacity(rids.len());
        for chunk in rids.chunks(64) {
            store::Patience::check()?;
            self.spend(chunk.len().saturating_mul(DOCUMENT_ROWS))?;
            for record in self.snapshot.fetch(self.granted, chunk)? {
                let Ok(doc) = Doc::parse_json(record.body, &Limits::default()) else {
                    tracing::error!(rid = record.head.rid.0, "stored body is not readable");
                    continue;
                };
                if test(&doc)? {
                    kept.push(record.head.rid);
                }
            }
        }
        Ok(kept)
    }
}
