//! What came along with the feed row for the reader that began with it: a record, or the first rows of a range. It is
//! looked at under a grant like everything else, and only for a moment: purges hide at once.

use super::super::crowd::{FirstRows, Name, Newest, RangeName};
use super::super::walk::bounds;
use super::super::world::{end, is_of, key, rid_of, value_of};
use super::PgReader;
use crate::{Granted, IndexRow, KeyRange, Op, RepoId, Rid, StoreError};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// How long what came along with the feed row counts.
const LIFE: Duration = Duration::from_secs(1);

/// What came along.
pub(super) enum Ahead {
    /// A record by name, and what was found of it: for the first who reads it.
    Record(Name, Option<Box<Newest>>),
    /// The first rows of a range.
    Rows(RangeName, Arc<FirstRows>),
}

impl PgReader {
    /// What came of this record; told once, and only at first.
    pub(super) fn came_along(&self, name: &Name) -> Option<Option<Box<Newest>>> {
        if self.made.elapsed() > LIFE {
            return None;
        }
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let taken =
            ahead.take_if(|ahead| matches!(ahead, Ahead::Record(named, _) if named == name));
        match taken {
            Some(Ahead::Record(_, found)) => Some(found),
            _ => None,
        }
    }

    /// Rows that came of this range.
    fn rows_ahead(
        &self,
        repo: RepoId,
        range: &KeyRange,
    ) -> Result<Option<Arc<FirstRows>>, StoreError> {
        if self.made.elapsed() > LIFE || self.aged() {
            return Ok(None);
        }
        let ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Ahead::Rows(named, rows)) = ahead.as_ref() else {
            return Ok(None);
        };
        let (from, to) = bounds(repo, range)?;
        Ok((named.from == from && named.to == to).then(|| rows.clone()))
    }

    /// How many rows the range has, no more than `most`, when what came along tells.
    pub(super) fn counted_ahead(
        &self,
        repo: RepoId,
        range: &KeyRange,
        most: u64,
    ) -> Result<Option<u64>, StoreError> {
        let Some(first) = self.rows_ahead(repo, range)? else {
            return Ok(None);
        };
        let rows = first.rows.len() as u64;
        if rows >= most {
            self.shared.guesses.learn(bounds(repo, range)?.into(), rows);
        }
        Ok((rows >= most || !first.more).then_some(rows.min(most)))
    }

    /// The first `limit` rows that count after a place, when what came along has them all: that is what a walk would
    /// have found.
    pub(super) fn walked_ahead(
        &self,
        grant: &Granted,
        repo: RepoId,
        range: &KeyRange,
        after: Option<&IndexRow>,
        limit: usize,
    ) -> Result<Option<Vec<IndexRow>>, StoreError> {
        // a walk for few persons may have a shorter way than the range
        if limit == 0 || grant.filter().compartments().is_some() {
            return Ok(None);
        }
        let Some(first) = self.rows_ahead(repo, range)? else {
            return Ok(None);
        };
        let after = after.map(|row| (key(repo, range.param, &row.value), end(row.rid)));
        let mut admitted: HashMap<Rid, bool> = HashMap::with_capacity(first.rows.len());
        let (mut found, mut heads) = (Vec::with_capacity(limit.min(first.rows.len())), Vec::new());
        for row in &first.rows {
            if after
                .as_ref()
                .is_some_and(|(key, place)| (&row.key, row.place) <= (key, *place))
            {
                continue;
            }
            if row.raw.op != Op::Purge && row.raw.seq > 0 && !self.reached(&row.raw) {
                // changed since: the log knows what was
                return Ok(None);
            }
            let is_current = self.reached(&row.raw)
                && row.raw.live()
                && is_of(row.place, row.raw.vno)
                && rid_of(row.place) == row.raw.rid;
            if !is_current {
                continue;
            }
            let rid = row.raw.rid;
            let seen = match admitted.get(&rid) {
                Some(seen) => *seen,
                None => {
                    let head = self.admitted(grant, row.raw.clone())?;
                    let seen = head.is_some();
                    admitted.insert(rid, seen);
                    heads.extend(head);
                    seen
                }
            };
            if seen {
                let value = value_of(&row.key).to_vec();
                found.push(IndexRow { value, rid });
            }
            if found.len() == limit {
                break;
            }
        }
        if found.len() < limit && first.more {
            return Ok(None);
        }
        self.met(heads);
        Ok(Some(found))
    }
}
