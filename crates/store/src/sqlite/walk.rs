//! Ordered walk over index rows: the pinned generations and `index.db` merged, each row once.

use super::codec::damaged;
use super::db::unavailable;
use super::memtable::{Generation, Row, RowKey};
use crate::{Patience, StoreError};
use rusqlite::Connection;
use std::cmp::Ordering;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

/// Index keys `from <= k < to`, in order of (key, record), beyond `after`.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub from: Vec<u8>,
    pub to: Vec<u8>,
    /// Go on after this key and record (in the direction of the walk).
    pub after: Option<(Vec<u8>, u64)>,
    pub descending: bool,
}

impl Span {
    pub(super) fn new(from: Vec<u8>, to: Vec<u8>) -> Self {
        Self {
            from,
            to,
            after: None,
            descending: false,
        }
    }

    /// Exactly one key.
    pub(super) fn exact(k: &[u8]) -> Self {
        let mut to = k.to_vec();
        to.push(0);
        Self::new(k.to_vec(), to)
    }

    pub(super) fn contains(&self, k: &[u8]) -> bool {
        *k >= *self.from && *k < *self.to
    }

    /// Whether (key, record) lies beyond `after`.
    pub(super) fn beyond(&self, k: &[u8], rid: u64) -> bool {
        self.after.as_ref().is_none_or(|(ak, arid)| {
            let order = k.cmp(ak).then(rid.cmp(arid));
            order
                == if self.descending {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
        })
    }

    fn is_empty(&self) -> bool {
        self.from >= self.to
    }

    /// Whether it holds one key only.
    fn is_one(&self) -> bool {
        self.to.strip_prefix(&*self.from) == Some(&[0])
    }

    /// `after`, unless it lies before the beginning.
    fn effective_after(&self) -> Option<&(Vec<u8>, u64)> {
        self.after.as_ref().filter(|(k, _)| {
            if self.descending {
                *k < self.to
            } else {
                *k >= self.from
            }
        })
    }

    fn bounds(&self) -> (Bound<Row>, Bound<Row>) {
        let row = |k: &[u8], rid, seq| Row {
            key: RowKey::new(k),
            rid,
            seq,
        };
        let (from, to) = (
            Bound::Included(row(&self.from, 0, 0)),
            Bound::Excluded(row(&self.to, 0, 0)),
        );
        match (self.effective_after(), self.descending) {
            (Some((k, rid)), false) => (Bound::Excluded(row(k, *rid, u64::MAX)), to),
            (Some((k, rid)), true) => (from, Bound::Excluded(row(k, *rid, 0))),
            (None, _) => (from, to),
        }
    }
}

const ONE_UP: &str = "SELECT rid, seq FROM idx WHERE term = (SELECT id FROM term WHERE k = ?1) AND rid > ?2 ORDER BY rid, seq";
const ONE_DOWN: &str = "SELECT rid, seq FROM idx WHERE term = (SELECT id FROM term WHERE k = ?1) AND rid < ?2 ORDER BY rid DESC, seq DESC";
const FROM_UP: &str =
    "SELECT term.k, idx.rid, idx.seq FROM term CROSS JOIN idx ON idx.term = term.id
    WHERE term.k >= ?1 AND term.k < ?2 ORDER BY term.k, idx.rid, idx.seq";
const AFTER_UP: &str =
    "SELECT term.k, idx.rid, idx.seq FROM term CROSS JOIN idx ON idx.term = term.id
    WHERE term.k > ?1 AND term.k < ?2 ORDER BY term.k, idx.rid, idx.seq";
const DOWN: &str = "SELECT term.k, idx.rid, idx.seq FROM term CROSS JOIN idx ON idx.term = term.id
    WHERE term.k < ?1 AND term.k >= ?2 ORDER BY term.k DESC, idx.rid DESC, idx.seq DESC";
const COUNT_ONE: &str = "SELECT count(*) FROM (SELECT 1 FROM idx WHERE term = (SELECT id FROM term WHERE k = ?1) LIMIT ?2)";
const COUNT_UP: &str =
    "SELECT count(*) FROM (SELECT 1 FROM term CROSS JOIN idx ON idx.term = term.id
    WHERE term.k >= ?1 AND term.k < ?2 LIMIT ?3)";
/// Rows between two looks at the reader's patience.
const CHECKED_EVERY: u32 = 1_024;
/// Rows taken from a generation while its lock is held: few at first, because most walks end soon.
const FIRST_CHUNK: usize = 32;
const CHUNK: usize = 512;

/// A source of ordered rows and its current row.
struct Cursor<'a> {
    source: Source<'a>,
    k: Vec<u8>,
    rid: u64,
    seq: u64,
    live: bool,
}

enum Source<'a> {
    /// Rows (key, record, place).
    Index(rusqlite::Rows<'a>),
    /// Rows (record, place) of the key that the cursor stands at from the beginning.
    One(rusqlite::Rows<'a>),
    Memory {
        generation: &'a Generation,
        bounds: (Bound<Row>, Bound<Row>),
        descending: bool,
        buffer: std::vec::IntoIter<Row>,
        /// Rows to take next; 0 when there are no more.
        chunk: usize,
    },
}

impl Cursor<'_> {
    fn advance(&mut self) -> Result<(), StoreError> {
        match &mut self.source {
            Source::Index(rows) => match rows.next().map_err(unavailable)? {
                Some(row) => {
                    let k = row
                        .get_ref(0)
                        .map_err(unavailable)?
                        .as_blob()
                        .map_err(|_| damaged("index key"))?;
                    self.k.clear();
                    self.k.extend_from_slice(k);
                    self.rid = row.get(1).map_err(unavailable)?;
                    self.seq = row.get(2).map_err(unavailable)?;
                }
                None => self.live = false,
            },
            Source::One(rows) => match rows.next().map_err(unavailable)? {
                Some(row) => {
                    self.rid = row.get(0).map_err(unavailable)?;
                    self.seq = row.get(1).map_err(unavailable)?;
                }
                None => self.live = false,
            },
            Source::Memory {
                generation,
                bounds,
                descending,
                buffer,
                chunk: size,
            } => {
                let mut next = buffer.next();
                if next.is_none() && *size > 0 {
                    let chunk = generation.chunk(bounds.clone(), *descending, *size);
                    *size = if chunk.len() == *size { CHUNK } else { 0 };
                    if let Some(last) = chunk.last() {
                        if *descending {
                            bounds.1 = Bound::Excluded(last.clone());
                        } else {
                            bounds.0 = Bound::Excluded(last.clone());
                        }
                    }
                    *buffer = chunk.into_iter();
                    next = buffer.next();
                }
                match next {
                    Some(row) => {
                        row.key.write_to(&mut self.k);
                        self.rid = row.rid;
                        self.seq = row.seq;
                    }
                    None => self.live = false,
                }
            }
        }
        Ok(())
    }

    fn order(&self, other: &Self) -> Ordering {
        self.k
            .cmp(&other.k)
            .then(self.rid.cmp(&other.rid))
            .then(self.seq.cmp(&other.seq))
    }
}

/// Visits rows (key, record, place) in order until `visit` breaks. Superseded rows and rows beyond the reader's place
/// are visited too: whether a row counts is the visitor's to say.
pub(super) fn walk(
    generations: &[Arc<Generation>],
    index: &Connection,
    span: &Span,
    mut visit: impl FnMut(&[u8], u64, u64) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    if span.is_empty() {
        return Ok(());
    }
    let cursor = |source, k: &[u8]| Cursor {
        source,
        k: k.to_vec(),
        rid: 0,
        seq: 0,
        live: true,
    };
    let (mut one, mut range);
    let mut cursors = Vec::with_capacity(generations.len() + 2);
    // The rest of the key where the walk goes on, or the one key that it is about; then the keys beyond.
    let after = span.effective_after();
    let key = match after {
        Some((k, rid)) => Some((k, i64::try_from(*rid).unwrap_or(i64::MAX))),
        None if span.is_one() && span.descending => Some((&span.from, i64::MAX)),
        None if span.is_one() => Some((&span.from, -1)),
        None => None,
    };
    if let Some((k, rid)) = key.filter(|(k, _)| span.contains(k)) {
        let sql = if span.descending { ONE_DOWN } else { ONE_UP };
        one = index.prepare_cached(sql).map_err(unavailable)?;
        let rows = one.query(rusqlite::params![k, rid]).map_err(unavailable)?;
        cursors.push(cursor(Source::One(rows), k));
    }
    if !span.is_one() {
        let (sql, start, end) = match (after, span.descending) {
            (Some((k, _)), false) => (AFTER_UP, k, &span.to),
            (None, false) => (FROM_UP, &span.from, &span.to),
            (Some((k, _)), true) => (DOWN, k, &span.from),
            (None, true) => (DOWN, &span.to, &span.from),
        };
        range = index.prepare_cached(sql).map_err(unavailable)?;
        let rows = range
            .query(rusqlite::params![start, end])
            .map_err(unavailable)?;
        cursors.push(cursor(Source::Index(rows), &[]));
    }
    cursors.extend(generations.iter().map(|generation| {
        let source = Source::Memory {
            generation,
            bounds: span.bounds(),
            descending: span.descending,
            buffer: Vec::new().into_iter(),
            chunk: FIRST_CHUNK,
        };
        cursor(source, &[])
    }));
    for cursor in &mut cursors {
        cursor.advance()?;
    }
    cursors.retain(|c| c.live);
    let mut last: Option<(Vec<u8>, u64, u64)> = None;
    let several = cursors.len() > 1;
    let mut visited = 0u32;
    while let Some(at) = first(&cursors, span.descending) {
        let Some(cursor) = cursors.get_mut(at) else {
            break;
        };
        let twice = several
            && last.as_ref().is_some_and(|(k, rid, seq)| {
                *rid == cursor.rid && *seq == cursor.seq && *k == cursor.k
            });
        visited = visited.wrapping_add(1);
        if visited.is_multiple_of(CHECKED_EVERY) {
            Patience::check()?;
        }
        if !twice {
            if visit(&cursor.k, cursor.rid, cursor.seq)?.is_break() {
                break;
            }
            if several {
                let (k, rid, seq) = last.get_or_insert_default();
                k.clone_from(&cursor.k);
                (*rid, *seq) = (cursor.rid, cursor.seq);
            }
        }
        cursor.advance()?;
        if !cursor.live {
            cursors.swap_remove(at);
        }
    }
    Ok(())
}

/// Roughly how many rows a span has, up to `limit`: superseded rows count too, and rows that are being folded count twice.
/// Much cheaper than looking at each.
pub(super) fn count(
    generations: &[Arc<Generation>],
    index: &Connection,
    span: &Span,
    limit: u64,
) -> Result<u64, StoreError> {
    if span.is_empty() || limit == 0 {
        return Ok(0);
    }
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let counted = if span.is_one() {
        index
            .prepare_cached(COUNT_ONE)
            .and_then(|mut s| s.query_row(rusqlite::params![span.from, most], |r| r.get(0)))
    } else {
        index.prepare_cached(COUNT_UP).and_then(|mut s| {
            s.query_row(rusqlite::params![span.from, span.to, most], |r| r.get(0))
        })
    };
    let mut n: u64 = counted.map_err(unavailable)?;
    for generation in generations {
        if n >= limit {
            return Ok(limit);
        }
        let left = usize::try_from(limit - n).unwrap_or(usize::MAX);
        n += generation.count(span.bounds(), left) as u64;
    }
    Ok(n)
}

fn first(cursors: &[Cursor<'_>], descending: bool) -> Option<usize> {
    let indexed = cursors.iter().enumerate();
    let chosen = if descending {
        indexed.max_by(|a, b| a.1.order(b.1))
    } else {
        indexed.min_by(|a, b| a.1.order(b.1))
    };
    chosen.map(|(i, _)| i)
}
