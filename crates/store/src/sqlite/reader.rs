//! Reads at one snapshot. Every row is checked for its place (does this version count here?) and against the grant's
//! filter before anything is counted, limited or returned.
//!
//! Histories of a type or repository leave out what a bulk load brought (its records share one place); the history of one
//! record has it.

mod past;
mod rows;

use super::db::{number, unavailable};
use super::lens::{Direct, Lens, Placed};
use super::pool::Reading;
use super::shared::{Aliases, Names, Published};
use super::walk::Span;
use super::{Inner, codec};
use crate::{
    Direction, Granted, Head, HistoryScope, IndexKey, IndexRow, KeyRange, MicrosUtc, PersonKey,
    Reader, Record, RepoId, Rid, Seq, StoreError, Vno,
};
use rows::Leading;
use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow::{Break, Continue};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};

/// Index rows one call may look at, hidden ones included: bounds the work, far above any caller's own limit.
const MAX_ROWS_LOOKED_AT: usize = 8_000_000;
/// Estimates are counted up to here.
const MAX_ESTIMATE: u64 = 4_000;
/// Records whose verdict one call remembers.
const MAX_REMEMBERED: usize = 100_000;

/// A state of the store.
pub(super) struct Snap {
    pub inner: Arc<Inner>,
    /// Pins the generations from before any index file was looked at.
    pub pinned: Arc<Published>,
    pub seq: u64,
    pub at: i64,
    /// An earlier place was asked for.
    pub is_past: bool,
    /// Compartments found out already: the legs of one search ask for the same one again and again.
    pub known: Mutex<Vec<Arc<Leading>>>,
    /// Records whose index rows were looked at under an open filter.
    pub seen: Mutex<Seen>,
}

/// Live records and the places of their newest versions here, as index rows told.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// What it was found under: purges hide at once, also in older snapshots.
    purges: u64,
    places: HashMap<u64, u64>,
}

/// Records whose places a snapshot remembers.
const MAX_SEEN: usize = 1_024;

/// One call's view: open transactions, names, aliases.
pub(super) struct View<'a> {
    pub lens: Lens<'a>,
    pub index: &'a rusqlite::Connection,
    pub pinned: &'a Published,
    known: &'a Mutex<Vec<Arc<Leading>>>,
    seen: &'a Mutex<Seen>,
    purges: u64,
    pub types: Arc<Names>,
    aliases: Arc<Aliases>,
}

/// What a call has found out about a record: newest place here, admitted.
type Verdicts = HashMap<u64, (u64, bool)>;

impl Snap {
    /// Runs `f` inside one read transaction of the log.
    fn view<T>(&self, f: impl FnOnce(&View<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.looking(false, f)
    }

    /// Runs `f` inside one read transaction of each file that it reads. The transactions may be older than the call, but
    /// see every commit that this snapshot knows of: it was taken before the stamps are looked at.
    fn looking<T>(
        &self,
        with_index: bool,
        f: impl FnOnce(&View<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.inner.running()?;
        let purges = self.inner.stats.purges.load(SeqCst);
        self.inner.pool.standing(with_index, |reading: &Reading| {
            let loads = self.inner.loads.get();
            let view = View {
                lens: Lens {
                    log: &reading.log,
                    loads: &loads,
                    seq: self.seq,
                },
                index: &reading.index,
                pinned: &self.pinned,
                known: &self.known,
                seen: &self.seen,
                purges,
                types: self.inner.types.get(),
                aliases: self.inner.aliases.get(),
            };
            f(&view)
        })
    }

    /// The same for reads of index rows: refuses when rows of this place have been removed already. The floor is raised
    /// before rows are removed, so looking at it after the transaction has seen its first row is enough.
    fn indexed<T>(
        &self,
        repo: RepoId,
        f: impl FnOnce(&View<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.is_past && self.inner.internal().contains(&repo.0) {
            return Err(StoreError::SnapshotExpired);
        }
        let out = self.looking(true, f)?;
        if self.inner.floor.load(SeqCst) > self.seq {
            return Err(StoreError::SnapshotExpired);
        }
        Ok(out)
    }
}

impl View<'_> {
    fn head(&self, rid: u64, placed: Placed) -> Result<Head, StoreError> {
        let raw = placed.head;
        let person = |k: u64| PersonKey(self.aliases.end(k));
        let mut persons = Vec::with_capacity(raw.persons.len());
        for key in raw.persons.into_iter().map(person) {
            if !persons.contains(&key) {
                persons.push(key);
            }
        }
        Ok(Head {
            rid: Rid(rid),
            repo: RepoId(raw.repo),
            rtype: self
                .types
                .name(raw.rtype)
                .ok_or_else(|| codec::damaged("type number"))?
                .to_string(),
            id: raw.id,
            vno: Vno(raw.vno),
            seq: Seq(placed.seq),
            at: raw.at,
            op: codec::op_of(raw.op)?,
            persons,
            author_person: raw.author_person.map(person),
            owner: raw.owner.map(person),
            privacy: raw.privacy,
        })
    }

    /// Head of the newest version, deletions included, if visible.
    fn visible(&self, grant: &Granted, rid: u64) -> Result<Option<Head>, StoreError> {
        match self.lens.head(rid)? {
            Some(placed) => self.admitted(grant, rid, placed),
            None => Ok(None),
        }
    }

    /// The head, if the filter admits it.
    fn admitted(
        &self,
        grant: &Granted,
        rid: u64,
        placed: Placed,
    ) -> Result<Option<Head>, StoreError> {
        let head = self.head(rid, placed)?;
        Ok(grant.filter().admits(&head).then_some(head))
    }

    /// The same, live only.
    pub(super) fn live(&self, grant: &Granted, rid: u64) -> Result<Option<Head>, StoreError> {
        Ok(self.visible(grant, rid)?.filter(is_live))
    }
}

fn is_live(head: &Head) -> bool {
    !matches!(head.op, crate::Op::Delete | crate::Op::Purge)
}

fn too_many(limit: usize) -> StoreError {
    StoreError::Invalid(format!("more than {limit} index rows; narrow the search"))
}

fn span_of(repo: RepoId, range: &KeyRange) -> Result<Span, StoreError> {
    if range.param >= codec::RESERVED_PARAMS {
        return Err(StoreError::Invalid(format!(
            "parameter {} is reserved",
            range.param
        )));
    }
    let to = match &range.to {
        Some(to) => codec::index_key(repo.0, range.param, to),
        None => codec::index_key_after(repo.0, range.param),
    };
    Ok(Span::new(
        codec::index_key(repo.0, range.param, &range.from),
        to,
    ))
}

impl Reader for Snap {
    fn seq(&self) -> Seq {
        Seq(self.seq)
    }

    fn at(&self) -> MicrosUtc {
        self.at
    }

    fn read(
        &self,
        grant: &Granted,
        repo: RepoId,
        rtype: &str,
        id: &str,
    ) -> Result<Option<Record>, StoreError> {
        let direct = self.view(|v| match v.types.number(rtype) {
            Some(n) => v
                .lens
                .named(repo.0, n, id, |rid, placed| v.admitted(grant, rid, placed)),
            None => Ok(Direct::Nothing),
        })?;
        match direct {
            Direct::Found((head, body)) => return Ok(Some(Record { head, body })),
            Direct::Nothing => return Ok(None),
            Direct::Elsewhere => {}
        }
        self.view(|v| {
            let Some(rid) = v.rid(repo, rtype, id)? else {
                return Ok(None);
            };
            let Some(head) = v.visible(grant, rid)? else {
                return Ok(None);
            };
            let body = v.lens.body(rid, head.seq.0)?;
            Ok(body.map(|body| Record { head, body }))
        })
    }

    fn vread(
        &self,
        grant: &Granted,
        repo: RepoId,
        rtype: &str,
        id: &str,
        vno: Vno,
    ) -> Result<Option<Record>, StoreError> {
        self.view(|v| {
            let Some(rid) = v.rid(repo, rtype, id)? else {
                return Ok(None);
            };
            let Some(newest) = v.visible(grant, rid)? else {
                return Ok(None);
            };
            let back = newest.vno.0.checked_sub(vno.0);
            let Some(back) = back.and_then(|n| usize::try_from(n).ok()) else {
                return Ok(None);
            };
            match v.lens.chain(newest.seq.0)?.get(back) {
                Some(seq) => Ok(v.version(grant, rid, *seq)?.filter(|r| r.head.vno == vno)),
                None => Ok(None),
            }
        })
    }

    fn history(
        &self,
        grant: &Granted,
        scope: &HistoryScope,
        before: Option<Seq>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let before = before.map_or(u64::MAX, |s| s.0).min(self.seq + 1);
        self.view(|v| match scope {
            HistoryScope::Instance { repo, rtype, id } => match v.rid(*repo, rtype, id)? {
                Some(rid) => v.instance_history(grant, rid, before, limit),
                None => Ok(Vec::new()),
            },
            HistoryScope::Type { repo, rtype } => match v.types.number(rtype) {
                Some(n) => v.type_history(grant, *repo, &[n], before, limit),
                None => Ok(Vec::new()),
            },
            HistoryScope::Repository { repo } => {
                let all: Vec<u32> = v.types.iter().map(|(_, n)| n).collect();
                v.type_history(grant, *repo, &all, before, limit)
            }
        })
    }

    fn range(
        &self,
        grant: &Granted,
        repo: RepoId,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<Rid>, StoreError> {
        let span = span_of(repo, range)?;
        self.indexed(repo, |v| {
            let mut rids = Vec::new();
            v.rows(grant, repo, &span, |_, rid| {
                if rids.len() >= limit {
                    return Err(too_many(limit));
                }
                rids.push(Rid(rid));
                Ok(Continue(()))
            })?;
            rids.sort_unstable();
            rids.dedup();
            Ok(rids)
        })
    }

    fn scan(
        &self,
        grant: &Granted,
        repo: RepoId,
        range: &KeyRange,
        direction: Direction,
        after: Option<&IndexRow>,
        limit: usize,
    ) -> Result<Vec<IndexRow>, StoreError> {
        let mut span = span_of(repo, range)?;
        span.descending = direction == Direction::Descending;
        span.after =
            after.map(|row| (codec::index_key(repo.0, range.param, &row.value), row.rid.0));
        self.indexed(repo, |v| {
            let mut rows = Vec::new();
            if limit == 0 {
                return Ok(rows);
            }
            v.rows(grant, repo, &span, |k, rid| {
                rows.push(IndexRow {
                    value: codec::index_value(k).to_vec(),
                    rid: Rid(rid),
                });
                Ok(if rows.len() >= limit {
                    Break(())
                } else {
                    Continue(())
                })
            })?;
            Ok(rows)
        })
    }

    fn estimate(&self, repo: RepoId, range: &KeyRange) -> Result<u64, StoreError> {
        let span = span_of(repo, range)?;
        self.indexed(repo, |v| v.count_rows(&span, MAX_ESTIMATE))
    }

    fn estimate_up_to(&self, repo: RepoId, range: &KeyRange, most: u64) -> Result<u64, StoreError> {
        let span = span_of(repo, range)?;
        self.indexed(repo, |v| v.count_rows(&span, most.min(MAX_ESTIMATE)))
    }

    fn type_rids(
        &self,
        grant: &Granted,
        repo: RepoId,
        rtype: &str,
        after: Rid,
        limit: usize,
    ) -> Result<Vec<Rid>, StoreError> {
        self.indexed(repo, |v| {
            let mut rids = Vec::new();
            let Some(n) = v.types.number(rtype).filter(|_| limit > 0) else {
                return Ok(rids);
            };
            let leading = v.leading(grant, repo)?;
            if let Some(records) = leading.as_ref().and_then(|l| l.records.as_ref()) {
                for rid in records.keys().copied().filter(|rid| *rid > after.0) {
                    if v.lens.head(rid)?.is_some_and(|p| p.head.rtype == n) {
                        rids.push(Rid(rid));
                    }
                }
                rids.sort_unstable();
                rids.truncate(limit);
                return Ok(rids);
            }
            let k = codec::index_key(repo.0, codec::PARAM_TYPE, &n.to_be_bytes());
            let mut span = Span::exact(&k);
            span.after = Some((k, after.0));
            v.each(grant, &span, None, |_, rid, _| {
                rids.push(Rid(rid));
                Ok(if rids.len() >= limit {
                    Break(())
                } else {
                    Continue(())
                })
            })?;
            Ok(rids)
        })
    }

    fn newest(
        &self,
        grant: &Granted,
        repo: RepoId,
        rtype: &str,
        after: Option<(Seq, Rid)>,
        limit: usize,
    ) -> Result<Option<Vec<Head>>, StoreError> {
        self.view(|v| v.newest_of_type(grant, repo, rtype, after, limit).map(Some))
    }

    fn compartment(
        &self,
        grant: &Granted,
        repo: RepoId,
        persons: &BTreeSet<PersonKey>,
        limit: usize,
    ) -> Result<Vec<Rid>, StoreError> {
        self.indexed(repo, |v| {
            let found = v
                .compartment(grant, repo, persons, MAX_ROWS_LOOKED_AT)?
                .ok_or_else(|| too_many(MAX_ROWS_LOOKED_AT))?;
            let mut rids: Vec<Rid> = found.into_keys().map(Rid).collect();
            rids.sort_unstable();
            rids.truncate(limit);
            Ok(rids)
        })
    }

    fn heads(&self, grant: &Granted, rids: &[Rid]) -> Result<Vec<Head>, StoreError> {
        self.view(|v| {
            let mut out = Vec::with_capacity(rids.len());
            for rid in rids {
                out.extend(v.live(grant, rid.0)?);
            }
            Ok(out)
        })
    }

    fn places(&self, grant: &Granted, rids: &[Rid]) -> Result<Vec<(Rid, Seq)>, StoreError> {
        self.view(|v| {
            let mut out = Vec::with_capacity(rids.len());
            for rid in rids {
                let place = match v.seen_at(grant, rid.0) {
                    Some(place) => Some(Seq(place)),
                    None => v.live(grant, rid.0)?.map(|head| head.seq),
                };
                out.extend(place.map(|place| (*rid, place)));
            }
            Ok(out)
        })
    }

    fn fetch(&self, grant: &Granted, rids: &[Rid]) -> Result<Vec<Record>, StoreError> {
        self.view(|v| {
            let mut out = Vec::with_capacity(rids.len());
            for rid in rids {
                let direct = v.lens.numbered(rid.0, |rid, placed| {
                    Ok(v.admitted(grant, rid, placed)?.filter(is_live))
                })?;
                match direct {
                    Direct::Found((head, body)) => out.push(Record { head, body }),
                    Direct::Nothing => {}
                    Direct::Elsewhere => {
                        if let Some(head) = v.live(grant, rid.0)?
                            && let Some(body) = v.lens.body(rid.0, head.seq.0)?
                        {
                            out.push(Record { head, body });
                        }
                    }
                }
            }
            Ok(out)
        })
    }

    fn keys(&self, grant: &Granted, rid: Rid) -> Result<Vec<IndexKey>, StoreError> {
        self.view(|v| match v.live(grant, rid.0)? {
            Some(head) => v.lens.keys(rid.0, head.seq.0),
            None => Ok(Vec::new()),
        })
    }

    fn keys_of(
        &self,
        grant: &Granted,
        rids: &[Rid],
    ) -> Result<Vec<(Rid, Vec<IndexKey>)>, StoreError> {
        self.view(|v| {
            let mut out = Vec::with_capacity(rids.len());
            for rid in rids {
                if let Some(head) = v.live(grant, rid.0)? {
                    out.push((*rid, v.lens.keys(rid.0, head.seq.0)?));
                }
            }
            Ok(out)
        })
    }

    fn epoch(&self, person: PersonKey) -> Result<Seq, StoreError> {
        self.view(|v| {
            let mut epoch = 0;
            for key in v.aliases.all_to(v.aliases.end(person.0)) {
                epoch = epoch.max(v.epoch(key)?);
            }
            Ok(Seq(epoch))
        })
    }

    fn rules_epoch(&self) -> Result<Seq, StoreError> {
        self.view(|v| v.epoch(super::RULES).map(Seq))
    }

    fn claim(&self, space: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.view(|v| {
            let held = super::claims::read(v.lens.log, &codec::claim_key(space, key))?;
            Ok(held
                .filter(|c| c.until.is_none_or(|t| t > super::shared::now_micros()))
                .map(|c| c.value))
        })
    }
}

impl View<'_> {
    fn rid(&self, repo: RepoId, rtype: &str, id: &str) -> Result<Option<u64>, StoreError> {
        match self.types.number(rtype) {
            Some(n) => self.lens.rid_of(repo.0, n, id),
            None => Ok(None),
        }
    }

    fn epoch(&self, person: u64) -> Result<u64, StoreError> {
        self.lens
            .log
            .prepare_cached(
                "SELECT coalesce(max(seq), 0) FROM epoch WHERE person = ?1 AND seq <= ?2",
            )
            .and_then(|mut s| s.query_row([number(person), number(self.lens.seq)], |r| r.get(0)))
            .map_err(unavailable)
    }
}
