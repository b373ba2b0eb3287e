//! Looking at the log at one place: which version of a record is newest there, and what it says.

use super::codec::{self, RawHead, damaged, op};
use super::db::{number, unavailable};
use super::shared::{LOAD_BASE, Loads};
use crate::{IndexKey, StoreError};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row};

/// Beyond every place of the log: sees the newest state, a writer's own uncommitted rows included.
pub(super) const NEWEST: u64 = LOAD_BASE - 1;

/// The log at one place, through one connection inside one transaction.
#[derive(Clone, Copy)]
pub(super) struct Lens<'a> {
    pub log: &'a Connection,
    pub loads: &'a Loads,
    pub seq: u64,
}

/// A version and its place.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub seq: u64,
    pub head: RawHead,
}

/// A version with its body.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub rid: u64,
    pub head: RawHead,
    pub body: Bytes,
}

/// What one statement found of a record.
#[derive(Debug)]
pub(super) enum Direct<T> {
    /// Its newest version, which counts here.
    Found(T),
    /// There is none, or it was not wanted.
    Nothing,
    /// The newest version is not the one that counts here, or stands in another table: look step by step.
    Elsewhere,
}

/// A record by its name, with its newest version.
pub(super) const NAMED: &str =
    "SELECT h.rid, h.seq, h.head, v.op, v.codec, v.body FROM ident i JOIN head h ON h.rid = i.rid
    LEFT JOIN version v ON v.seq = h.seq WHERE i.k = ?1";
/// The same by record number.
pub(super) const NUMBERED: &str = "SELECT h.rid, h.seq, h.head, v.op, v.codec, v.body FROM head h
    LEFT JOIN version v ON v.seq = h.seq WHERE h.rid = ?1";

fn blob<'r>(row: &'r Row<'_>, i: usize) -> Result<&'r [u8], StoreError> {
    row.get_ref(i)
        .map_err(unavailable)?
        .as_blob()
        .map_err(|_| damaged("column"))
}

impl<'a> Lens<'a> {
    pub(super) fn rid_of(self, repo: u16, rtype: u32, id: &str) -> Result<Option<u64>, StoreError> {
        self.log
            .prepare_cached("SELECT rid FROM ident WHERE k = ?1")
            .and_then(|mut s| {
                s.query_row([codec::ident_key(repo, rtype, id)], |r| r.get(0))
                    .optional()
            })
            .map_err(unavailable)
    }

    /// The newest version of a record by its name, deletions included; purged records have none.
    pub(super) fn named_head(
        self,
        repo: u16,
        rtype: u32,
        id: &str,
    ) -> Result<Option<(u64, Placed)>, StoreError> {
        let mut statement = self
            .log
            .prepare_cached(
                "SELECT i.rid, h.seq, h.head FROM ident i JOIN head h ON h.rid = i.rid WHERE i.k = ?1",
            )
            .map_err(unavailable)?;
        let key = codec::ident_key(repo, rtype, id);
        let mut rows = statement.query([key]).map_err(unavailable)?;
        let Some(row) = rows.next().map_err(unavailable)? else {
            return Ok(None);
        };
        let rid = row.get(0).map_err(unavailable)?;
        match self.loads.place(row.get(1).map_err(unavailable)?) {
            Some(seq) if seq <= self.seq => {
                let head = codec::unpack_head(blob(row, 2)?)?;
                Ok(Some((rid, Placed { seq, head })))
            }
            _ => Ok(self.head(rid)?.map(|placed| (rid, placed))),
        }
    }

    /// The newest version of a record by its name, with its body, in one statement. `want` says from the head whether it
    /// is wanted at all.
    pub(super) fn named<H>(
        self,
        repo: u16,
        rtype: u32,
        id: &str,
        want: impl FnOnce(u64, Placed) -> Result<Option<H>, StoreError>,
    ) -> Result<Direct<(H, Bytes)>, StoreError> {
        self.direct(NAMED, codec::ident_key(repo, rtype, id), want)
    }

    /// The same by record number.
    pub(super) fn numbered<H>(
        self,
        rid: u64,
        want: impl FnOnce(u64, Placed) -> Result<Option<H>, StoreError>,
    ) -> Result<Direct<(H, Bytes)>, StoreError> {
        self.direct(NUMBERED, number(rid), want)
    }

    fn direct<H>(
        self,
        sql: &str,
        key: impl rusqlite::ToSql,
        want: impl FnOnce(u64, Placed) -> Result<Option<H>, StoreError>,
    ) -> Result<Direct<(H, Bytes)>, StoreError> {
        let mut statement = self.log.prepare_cached(sql).map_err(unavailable)?;
        let mut rows = statement.query([key]).map_err(unavailable)?;
        let Some(row) = rows.next().map_err(unavailable)? else {
            return Ok(Direct::Nothing);
        };
        let seq: u64 = row.get(1).map_err(unavailable)?;
        let kind: Option<u8> = row.get(3).map_err(unavailable)?;
        if seq > self.seq || !matches!(kind, Some(op::CREATE | op::UPDATE | op::DELETE)) {
            return Ok(Direct::Elsewhere);
        }
        let codec: u8 = row.get(4).map_err(unavailable)?;
        if codec == codec::CODEC_ERASED {
            return Ok(Direct::Elsewhere);
        }
        let placed = Placed {
            seq,
            head: codec::unpack_head(blob(row, 2)?)?,
        };
        match want(row.get(0).map_err(unavailable)?, placed)? {
            Some(head) => Ok(Direct::Found((
                head,
                codec::unpack_body(codec, blob(row, 5)?)?,
            ))),
            None => Ok(Direct::Nothing),
        }
    }

    /// The newest version here, deletions included; purged records have none.
    pub(super) fn head(self, rid: u64) -> Result<Option<Placed>, StoreError> {
        self.head_if(rid, |_| true)
    }

    /// The same, but skips the work of reading when the place is not wanted.
    pub(super) fn head_if(
        self,
        rid: u64,
        wanted: impl Fn(u64) -> bool,
    ) -> Result<Option<Placed>, StoreError> {
        let mut statement = self
            .log
            .prepare_cached("SELECT seq, head FROM head WHERE rid = ?1")
            .map_err(unavailable)?;
        let mut rows = statement.query([number(rid)]).map_err(unavailable)?;
        let Some(row) = rows.next().map_err(unavailable)? else {
            return Ok(None);
        };
        let Some(seq) = self.loads.place(row.get(0).map_err(unavailable)?) else {
            return Ok(None);
        };
        if seq <= self.seq {
            if !wanted(seq) {
                return Ok(None);
            }
            let head = codec::unpack_head(blob(row, 1)?)?;
            return Ok(Some(Placed { seq, head }));
        }
        let Some(seq) = self.walk_back(seq)? else {
            return Ok(None);
        };
        if !wanted(seq) {
            return Ok(None);
        }
        Ok(self
            .version(rid, seq)?
            .map(|v| Placed { seq, head: v.head }))
    }

    /// Place of the newest version here.
    pub(super) fn newest(self, rid: u64) -> Result<Option<u64>, StoreError> {
        let stored: Option<u64> = self
            .log
            .prepare_cached("SELECT seq FROM head WHERE rid = ?1")
            .and_then(|mut s| s.query_row([number(rid)], |r| r.get(0)).optional())
            .map_err(unavailable)?;
        match stored.and_then(|s| self.loads.place(s)) {
            Some(seq) => self.walk_back(seq),
            None => Ok(None),
        }
    }

    fn before(self, seq: u64) -> Result<u64, StoreError> {
        self.log
            .prepare_cached("SELECT prev_seq FROM version WHERE seq = ?1")
            .and_then(|mut s| s.query_row([seq], |r| r.get(0)).optional())
            .map(|seq| seq.unwrap_or(0))
            .map_err(unavailable)
    }

    /// From a version beyond this place to the newest one that is not.
    fn walk_back(self, mut seq: u64) -> Result<Option<u64>, StoreError> {
        while seq > self.seq {
            seq = self.before(seq)?;
        }
        Ok((seq > 0).then_some(seq))
    }

    /// Runs `f` with columns (rid, head, keys, codec, body) of a version; `None` when there is none, or it was erased.
    fn with_version<T>(
        self,
        rid: u64,
        seq: u64,
        f: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let (sql, key) = if self.loads.is_load(seq) {
            (
                "SELECT rid, head, keys, codec, body, 2 FROM loaded WHERE rid = ?1",
                rid,
            )
        } else {
            (
                "SELECT rid, head, keys, codec, body, op FROM version WHERE seq = ?1",
                seq,
            )
        };
        let mut statement = self.log.prepare_cached(sql).map_err(unavailable)?;
        let mut rows = statement.query([key]).map_err(unavailable)?;
        let Some(row) = rows.next().map_err(unavailable)? else {
            return Ok(None);
        };
        let of: u64 = row.get(0).map_err(unavailable)?;
        let kind: u8 = row.get(5).map_err(unavailable)?;
        let codec: u8 = row.get(3).map_err(unavailable)?;
        let readable = matches!(kind, op::CREATE | op::UPDATE | op::DELETE)
            && codec != codec::CODEC_ERASED
            && (rid == ANY || of == rid);
        if !readable {
            return Ok(None);
        }
        f(row).map(Some)
    }

    /// A version. `rid` may be [`ANY`] for versions that are not of a bulk load.
    pub(super) fn version(self, rid: u64, seq: u64) -> Result<Option<Version>, StoreError> {
        self.with_version(rid, seq, |row| {
            Ok(Version {
                rid: row.get(0).map_err(unavailable)?,
                head: codec::unpack_head(blob(row, 1)?)?,
                body: codec::unpack_body(row.get(3).map_err(unavailable)?, blob(row, 4)?)?,
            })
        })
    }

    /// The body of a version whose head is known already.
    pub(super) fn body(self, rid: u64, seq: u64) -> Result<Option<Bytes>, StoreError> {
        self.with_version(rid, seq, |row| {
            codec::unpack_body(row.get(3).map_err(unavailable)?, blob(row, 4)?)
        })
    }

    /// Keys of a version as its writer gave them.
    pub(super) fn keys(self, rid: u64, seq: u64) -> Result<Vec<IndexKey>, StoreError> {
        let keys = self.with_version(rid, seq, |row| codec::unpack_keys(blob(row, 2)?))?;
        Ok(keys.unwrap_or_default())
    }

    /// Index rows of a version: (key, record, place as stored). None for deletions and erased versions.
    pub(super) fn index_rows(
        self,
        rid: u64,
        seq: u64,
    ) -> Result<Vec<(Vec<u8>, u64, u64)>, StoreError> {
        let stored = self.loads.stored(seq);
        let rows = self.with_version(rid, seq, |row| {
            let head = codec::unpack_head(blob(row, 1)?)?;
            let keys = codec::unpack_keys(blob(row, 2)?)?;
            Ok(all_index_keys(&head, &keys)
                .into_iter()
                .map(|k| (k, rid, stored))
                .collect())
        })?;
        Ok(rows.unwrap_or_default())
    }

    /// Places of a record's versions, newest first.
    pub(super) fn chain(self, newest: u64) -> Result<Vec<u64>, StoreError> {
        let mut places = Vec::new();
        let mut seq = newest;
        while seq > 0 {
            places.push(seq);
            seq = self.before(seq)?;
        }
        Ok(places)
    }
}

/// Whichever record a version is of.
pub(super) const ANY: u64 = 0;

/// All index keys of a version: the writer's and the engine's own (persons, type); none of a deletion.
pub(super) fn all_index_keys(head: &RawHead, keys: &[IndexKey]) -> Vec<Vec<u8>> {
    if !head.live() {
        return Vec::new();
    }
    let mut out: Vec<Vec<u8>> = keys
        .iter()
        .map(|k| codec::index_key(head.repo, k.param, &k.value))
        .collect();
    out.extend(engine_keys(head));
    out
}

/// The engine's own index keys of a live version.
pub(super) fn engine_keys(head: &RawHead) -> impl Iterator<Item = Vec<u8>> + '_ {
    let mut persons = head.persons.clone();
    persons.sort_unstable();
    persons.dedup();
    persons
        .into_iter()
        .map(|p| codec::index_key(head.repo, codec::PARAM_PERSON, &p.to_be_bytes()))
        .chain(std::iter::once(codec::index_key(
            head.repo,
            codec::PARAM_TYPE,
            &head.rtype.to_be_bytes(),
        )))
}
