//! Reads at a snapshot. The newest version of a record stands in `head`; when that is newer than the snapshot, the log is
//! asked for the version of that time. Filters are evaluated on every row, in the program, by the one rule of the
//! interface; the database only narrows.

mod ahead;
mod begin;
mod named;

use super::check::askable;
use super::link::Conn;
use super::met::Met;
use super::names::Names;
use super::pack;
use super::rows::{RawHead, column, head_columns, version_columns};
use super::shared::{Shared, Tip};
use super::walk::{self, Walk};
use crate::{
    Direction, Granted, Head, HistoryScope, IndexKey, IndexRow, KeyRange, MicrosUtc, Op, PersonKey,
    Reader, Record, RepoId, Rid, Seq, Snapshot, StoreError, Vno,
};
use ahead::Ahead;
pub(super) use begin::{newest, newest_at_soon, newest_for, newest_soon};
use bytes::Bytes;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Instant;

const READ: &str = concat!(
    "SELECT ",
    head_columns!(),
    ", v.form, v.content FROM head h JOIN version v ON v.rid = h.rid AND v.vno = h.vno
     WHERE h.repo = $1 AND h.rtype = $2 AND h.id = $3"
);
const VREAD: &str = concat!(
    "SELECT ",
    version_columns!(),
    ", v.form, v.content FROM head h JOIN version v ON v.rid = h.rid
     WHERE h.repo = $1 AND h.rtype = $2 AND h.id = $3 AND v.vno = $4"
);
const HEADS: &str = concat!(
    "SELECT ",
    head_columns!(),
    " FROM head h WHERE h.rid = ANY($1)"
);
const RECORDS: &str = concat!(
    "SELECT ",
    head_columns!(),
    ", v.form, v.content FROM unnest($1::bigint[]) k(rid) JOIN head h ON h.rid = k.rid
      JOIN version v ON v.rid = h.rid AND v.vno = h.vno"
);
const OLDER: &str = concat!(
    "SELECT ",
    version_columns!(),
    " FROM unnest($1::bigint[]) k(rid) JOIN head h ON h.rid = k.rid CROSS JOIN LATERAL
      (SELECT o.vno, o.seq, o.at, o.op, o.meta FROM version o WHERE o.rid = k.rid AND o.seq <= $2
       ORDER BY o.vno DESC LIMIT 1) v"
);
const BODIES: &str =
    "SELECT v.rid, v.form, v.content FROM unnest($1::bigint[], $2::integer[]) k(rid, vno)
  JOIN version v ON v.rid = k.rid AND v.vno = k.vno";
const KEYS: &str =
    "SELECT v.rid, v.form, v.keys FROM unnest($1::bigint[], $2::integer[]) k(rid, vno)
  JOIN version v ON v.rid = k.rid AND v.vno = k.vno";
const HISTORY_OF_ONE: &str = concat!(
    "SELECT ",
    version_columns!(),
    ", v.form, v.content FROM head h JOIN version v ON v.rid = h.rid
     WHERE h.repo = $1 AND h.rtype = $2 AND h.id = $3 AND v.vno < $4 AND v.seq <= $5 ORDER BY v.vno DESC LIMIT $6"
);
const HISTORY_OF_MANY: &str = concat!(
    "SELECT ",
    version_columns!(),
    ", v.form, v.content FROM version v JOIN head h ON h.rid = v.rid
     WHERE v.repo = $1 AND (v.seq, v.rid) < ($2, $3) AND ($4::integer IS NULL OR h.rtype = $4)
     ORDER BY v.seq DESC, v.rid DESC LIMIT $5"
);

/// The state at one place of the log.
pub(super) struct PgReader {
    pub(super) shared: Arc<Shared>,
    pub(super) seq: Seq,
    pub(super) at: MicrosUtc,
    pub(super) names: Arc<Names>,
    /// Whether superseded rows of this place may be cleared away at any moment.
    old: bool,
    made: Instant,
    /// Heads that a walk has just met: whoever walks fetches the records next.
    met: Met,
    /// What came with the feed row.
    ahead: Mutex<Option<Ahead>>,
}

/// An earlier state.
pub(super) fn earlier(shared: &Arc<Shared>, seq: Seq) -> Result<Snapshot, StoreError> {
    let (tip, at, names) = shared.read(async |conn| {
        let (tip, names) = shared.tip(conn).await?;
        let at = if tip.seq == seq {
            tip.at
        } else {
            time_of(conn, seq).await?
        };
        Ok((tip, at, names))
    })?;
    if seq > tip.seq {
        let what = format!(
            "snapshot {} is beyond the end of the log {}",
            seq.0, tip.seq.0
        );
        return Err(StoreError::Invalid(what));
    }
    if seq < tip.floor {
        return Err(StoreError::SnapshotExpired);
    }
    Ok(Arc::new(PgReader {
        shared: shared.clone(),
        seq,
        at,
        names,
        old: true,
        made: Instant::now(),
        met: Met::default(),
        ahead: Mutex::default(),
    }))
}

async fn time_of(conn: &Conn, seq: Seq) -> Result<MicrosUtc, StoreError> {
    let sql = "SELECT at FROM version WHERE seq = $1 AND seq > 0 UNION ALL SELECT at FROM event WHERE seq = $1 LIMIT 1";
    let row = conn.query_opt(sql, &[&column(seq)]).await?;
    Ok(row.map_or(0, |r| r.get(0)))
}

impl PgReader {
    /// Whether rows of this place may have been cleared away.
    fn aged(&self) -> bool {
        self.old || self.made.elapsed() > self.shared.retention / 2
    }

    /// Runs a read; afterwards makes sure that nothing of this snapshot had been cleared away meanwhile.
    pub(super) fn run<T>(
        &self,
        work: impl AsyncFn(&Conn) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let aged = self.aged();
        crate::Patience::check()?;
        self.shared.read(async |conn| {
            let found = work(conn).await?;
            if aged {
                let (tip, _): (Tip, _) = self.shared.tip(conn).await?;
                if self.seq < tip.floor {
                    return Err(StoreError::SnapshotExpired);
                }
            }
            Ok(found)
        })
    }

    /// Whether a stored place belongs to this snapshot.
    pub(super) fn reached(&self, raw: &RawHead) -> bool {
        self.names
            .place(raw.seq, raw.at)
            .is_some_and(|(seq, _)| seq <= self.seq)
    }

    /// The versions that were newest at the snapshot, deletions included, erased ones left out.
    pub(super) async fn states(
        &self,
        conn: &Conn,
        newest: Vec<RawHead>,
    ) -> Result<HashMap<Rid, RawHead>, StoreError> {
        let mut states = HashMap::with_capacity(newest.len());
        let mut older: Vec<i64> = Vec::new();
        for raw in newest {
            if raw.op == Op::Purge {
                continue;
            }
            if self.reached(&raw) {
                states.insert(raw.rid, raw);
            } else if raw.seq > 0 {
                older.push(raw.rid.0 as i64);
            }
        }
        older.sort_unstable();
        older.dedup();
        if !older.is_empty() {
            for row in conn.query(OLDER, &[&older, &column(self.seq)]).await? {
                let raw = RawHead::of(&row, 0)?;
                if raw.vno.0 > raw.purged && raw.op != Op::Purge && self.reached(&raw) {
                    states.insert(raw.rid, raw);
                }
            }
        }
        Ok(states)
    }

    /// As filters see it.
    pub(super) fn head(&self, raw: RawHead) -> Result<Head, StoreError> {
        raw.head(&self.names.aliases, &self.names)
    }

    /// The head when the grant lets it through.
    pub(super) fn admitted(
        &self,
        grant: &Granted,
        raw: RawHead,
    ) -> Result<Option<Head>, StoreError> {
        let head = self.head(raw)?;
        Ok(grant.filter().admits(&head).then_some(head))
    }

    /// Heads of live, visible records, by rid.
    pub(super) async fn live(
        &self,
        conn: &Conn,
        grant: &Granted,
        rids: &[Rid],
    ) -> Result<HashMap<Rid, Head>, StoreError> {
        let mut wanted: Vec<i64> = rids.iter().map(|r| r.0 as i64).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut found = HashMap::with_capacity(wanted.len());
        for part in wanted.chunks(5_000) {
            let rows = conn.query(HEADS, &[&part]).await?;
            let newest = rows
                .iter()
                .map(|row| RawHead::of(row, 0))
                .collect::<Result<_, _>>()?;
            for (rid, raw) in self.states(conn, newest).await? {
                if raw.live()
                    && let Some(head) = self.admitted(grant, raw)?
                {
                    found.insert(rid, head);
                }
            }
        }
        Ok(found)
    }

    /// Keys of versions.
    pub(super) async fn keys_of(
        &self,
        conn: &Conn,
        versions: &[(Rid, Vno)],
    ) -> Result<HashMap<Rid, Vec<IndexKey>>, StoreError> {
        let (rids, vnos) = columns(versions);
        let rows = conn.query(KEYS, &[&rids, &vnos]).await?;
        rows.iter()
            .map(|row| {
                Ok((
                    Rid(row.get::<_, i64>(0) as u64),
                    pack::read_keys(row.get(1), row.get(2))?,
                ))
            })
            .collect()
    }

    /// Keeps heads of live records that a walk has met.
    pub(super) fn met(&self, heads: Vec<Head>) {
        self.met.keep(heads);
    }

    /// Live, visible records with their bodies, by rid: one statement, unless some are newer than the snapshot.
    async fn records(
        &self,
        conn: &Conn,
        grant: &Granted,
        rids: &[Rid],
    ) -> Result<HashMap<Rid, Record>, StoreError> {
        let mut wanted: Vec<i64> = rids.iter().map(|r| r.0 as i64).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut found = HashMap::with_capacity(wanted.len());
        let mut changed = Vec::new();
        for part in wanted.chunks(1_000) {
            for row in conn.query(RECORDS, &[&part]).await? {
                let raw = RawHead::of(&row, 0)?;
                let rid = raw.rid;
                if !self.reached(&raw) {
                    changed.push(rid);
                } else if raw.live()
                    && let Some(head) = self.admitted(grant, raw)?
                {
                    let body = RawHead::body(&row, 10)?;
                    found.insert(rid, Record { head, body });
                }
            }
        }
        if !changed.is_empty() {
            let heads = self.live(conn, grant, &changed).await?;
            found.extend(self.with_bodies(conn, heads).await?);
        }
        Ok(found)
    }

    async fn with_bodies(
        &self,
        conn: &Conn,
        heads: HashMap<Rid, Head>,
    ) -> Result<HashMap<Rid, Record>, StoreError> {
        let versions: Vec<(Rid, Vno)> = heads.values().map(|h| (h.rid, h.vno)).collect();
        let mut bodies = self.bodies(conn, &versions).await?;
        let record = |(rid, head)| {
            Some((
                rid,
                Record {
                    head,
                    body: bodies.remove(&rid)?,
                },
            ))
        };
        Ok(heads.into_iter().filter_map(record).collect())
    }

    async fn bodies(
        &self,
        conn: &Conn,
        versions: &[(Rid, Vno)],
    ) -> Result<HashMap<Rid, Bytes>, StoreError> {
        let (rids, vnos) = columns(versions);
        let rows = conn.query(BODIES, &[&rids, &vnos]).await?;
        let body = |row: &tokio_postgres::Row| {
            Ok((Rid(row.get::<_, i64>(0) as u64), RawHead::body(row, 1)?))
        };
        rows.iter().map(body).collect()
    }

    async fn history_of_one(
        &self,
        conn: &Conn,
        grant: &Granted,
        name: (RepoId, i32, &str),
        before: Option<Seq>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        const PAGE: i64 = 200;
        let (mut out, mut below, mut first) = (Vec::new(), i32::MAX, true);
        loop {
            let repo = name.0.0 as i16;
            let rows = conn
                .query(
                    HISTORY_OF_ONE,
                    &[&repo, &name.1, &name.2, &below, &column(self.seq), &PAGE],
                )
                .await?;
            let full = rows.len() as i64 == PAGE;
            for row in &rows {
                let raw = RawHead::of(row, 0)?;
                below = raw.vno.0 as i32;
                if raw.vno.0 <= raw.purged || !self.reached(&raw) {
                    continue;
                }
                let head = self.admitted(grant, raw)?;
                if std::mem::take(&mut first) && head.is_none() {
                    return Ok(out);
                }
                if let Some(head) = head.filter(|h| before.is_none_or(|b| h.seq < b)) {
                    out.push(Record {
                        head,
                        body: RawHead::body(row, 10)?,
                    });
                }
                if out.len() >= limit {
                    return Ok(out);
                }
            }
            if !full {
                return Ok(out);
            }
        }
    }

    async fn history_of_many(
        &self,
        conn: &Conn,
        grant: &Granted,
        repo: RepoId,
        rtype: Option<i32>,
        before: Option<Seq>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let page = (limit.saturating_mul(2)).clamp(50, 1_000) as i64;
        let mut out = Vec::new();
        let end = column(Seq(self.seq.0 + 1));
        let mut place = (before.map_or(end, |b| column(b).min(end)), 0i64);
        loop {
            let number = repo.0 as i16;
            let rows = conn
                .query(
                    HISTORY_OF_MANY,
                    &[&number, &place.0, &place.1, &rtype, &page],
                )
                .await?;
            let full = rows.len() as i64 == page;
            let raws: Vec<RawHead> = rows
                .iter()
                .map(|row| RawHead::of(row, 0))
                .collect::<Result<_, _>>()?;
            let rids: Vec<i64> = raws.iter().map(|r| r.rid.0 as i64).collect();
            let newest = conn.query(HEADS, &[&rids]).await?;
            let newest = newest
                .iter()
                .map(|row| RawHead::of(row, 0))
                .collect::<Result<_, _>>()?;
            let states = self.states(conn, newest).await?;
            for (raw, row) in raws.into_iter().zip(&rows) {
                place = (raw.seq, raw.rid.0 as i64);
                let newest = states.get(&raw.rid).cloned();
                if raw.vno.0 <= raw.purged || !self.reached(&raw) {
                    continue;
                }
                let Some(newest) = newest else { continue };
                if self.admitted(grant, newest)?.is_none() {
                    continue;
                }
                let head = self.admitted(grant, raw)?;
                if let Some(head) = head.filter(|h| before.is_none_or(|b| h.seq < b)) {
                    out.push(Record {
                        head,
                        body: RawHead::body(row, 10)?,
                    });
                }
                if out.len() >= limit {
                    return Ok(out);
                }
            }
            if !full {
                return Ok(out);
            }
        }
    }
}

fn columns(versions: &[(Rid, Vno)]) -> (Vec<i64>, Vec<i32>) {
    versions
        .iter()
        .map(|(rid, vno)| (rid.0 as i64, vno.0 as i32))
        .unzip()
}

impl Reader for PgReader {
    fn seq(&self) -> Seq {
        self.seq
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
        let Some(number) = self.names.number(rtype) else {
            return Ok(None);
        };
        if !askable(id) {
            return Ok(None);
        }
        if !self.aged() {
            let name = (repo.0 as i16, number, id.to_owned());
            let found = match self.came_along(&name) {
                Some(found) => found,
                None => self.shared.crowd.record(&self.shared, name)?,
            };
            match found {
                None => return Ok(None),
                Some(newest) if newest.raw.op == Op::Purge => return Ok(None),
                Some(newest) if self.reached(&newest.raw) => {
                    let body = newest.body;
                    let head = self.admitted(grant, newest.raw)?;
                    return Ok(head.map(|head| Record { head, body }));
                }
                // newer than the snapshot: the log is asked
                Some(_) => {}
            }
        }
        self.run(async |conn| {
            let Some(row) = conn
                .query_opt(READ, &[&(repo.0 as i16), &number, &id])
                .await?
            else {
                return Ok(None);
            };
            let raw = RawHead::of(&row, 0)?;
            let newest = raw.vno;
            let Some(state) = self.states(conn, vec![raw]).await?.into_values().next() else {
                return Ok(None);
            };
            let Some(head) = self.admitted(grant, state)? else {
                return Ok(None);
            };
            let body = match head.vno == newest {
                true => RawHead::body(&row, 10)?,
                false => {
                    let mut bodies = self.bodies(conn, &[(head.rid, head.vno)]).await?;
                    bodies.remove(&head.rid).unwrap_or_default()
                }
            };
            Ok(Some(Record { head, body }))
        })
    }

    fn read_all(
        &self,
        grant: &Granted,
        repo: RepoId,
        rtype: &str,
        ids: &[String],
    ) -> Result<Vec<Record>, StoreError> {
        self.named(grant, repo, rtype, ids)
    }

    fn vread(
        &self,
        grant: &Granted,
        repo: RepoId,
        rtype: &str,
        id: &str,
        vno: Vno,
    ) -> Result<Option<Record>, StoreError> {
        if self.read(grant, repo, rtype, id)?.is_none() {
            return Ok(None);
        }
        let Some(number) = self.names.number(rtype) else {
            return Ok(None);
        };
        let wanted = i32::try_from(vno.0).unwrap_or(i32::MAX);
        self.run(async |conn| {
            let Some(row) = conn
                .query_opt(VREAD, &[&(repo.0 as i16), &number, &id, &wanted])
                .await?
            else {
                return Ok(None);
            };
            let raw = RawHead::of(&row, 0)?;
            if raw.vno.0 <= raw.purged || !self.reached(&raw) {
                return Ok(None);
            }
            let head = self.admitted(grant, raw)?;
            let body = RawHead::body(&row, 10)?;
            Ok(head.map(|head| Record { head, body }))
        })
    }

    fn history(
        &self,
        grant: &Granted,
        scope: &HistoryScope,
        before: Option<Seq>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let unaskable = matches!(scope, HistoryScope::Instance { id, .. } if !askable(id));
        if limit == 0 || unaskable {
            return Ok(Vec::new());
        }
        self.run(async |conn| match scope {
            HistoryScope::Instance { repo, rtype, id } => match self.names.number(rtype) {
                Some(number) => {
                    self.history_of_one(conn, grant, (*repo, number, id), before, limit)
                        .await
                }
                None => Ok(Vec::new()),
            },
            HistoryScope::Type { repo, rtype } => match self.names.number(rtype) {
                Some(number) => {
                    self.history_of_many(conn, grant, *repo, Some(number), before, limit)
                        .await
                }
                None => Ok(Vec::new()),
            },
            HistoryScope::Repository { repo } => {
                self.history_of_many(conn, grant, *repo, None, before, limit)
                    .await
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
        if let Some(rows) = self.walked_ahead(grant, repo, range, None, usize::MAX)?
            && rows.len() <= limit
        {
            let rids: BTreeSet<Rid> = rows.into_iter().map(|row| row.rid).collect();
            return Ok(rids.into_iter().collect());
        }
        self.run(async |conn| {
            let mut walk = Walk::new(self, conn, grant, repo, range, Direction::Ascending, None)?;
            let mut found = BTreeSet::new();
            walk.all(limit, &mut |row| {
                found.insert(row.rid);
            })
            .await?;
            Ok(found.into_iter().collect())
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
        if direction == Direction::Ascending
            && let Some(rows) = self.walked_ahead(grant, repo, range, after, limit)?
        {
            return Ok(rows);
        }
        self.run(async |conn| {
            let mut walk = Walk::new(self, conn, grant, repo, range, direction, after)?;
            walk.first(limit).await
        })
    }

    fn estimate(&self, repo: RepoId, range: &KeyRange) -> Result<u64, StoreError> {
        self.shared
            .read(async |conn| walk::estimate(&self.shared, conn, repo, range).await)
    }

    fn estimate_up_to(&self, repo: RepoId, range: &KeyRange, most: u64) -> Result<u64, StoreError> {
        if let Some(rows) = walk::guessed(&self.shared, repo, range, most)? {
            return Ok(rows);
        }
        if let Some(rows) = self.counted_ahead(repo, range, most)? {
            return Ok(rows);
        }
        crate::Patience::check()?;
        self.shared
            .read(async |conn| walk::counted(&self.shared, conn, repo, range, most).await)
    }

    fn type_rids(
        &self,
        grant: &Granted,
        repo: RepoId,
        rtype: &str,
        after: Rid,
        limit: usize,
    ) -> Result<Vec<Rid>, StoreError> {
        let Some(number) = self.names.number(rtype) else {
            return Ok(Vec::new());
        };
        self.run(async |conn| walk::types(self, conn, grant, repo, number, after, limit).await)
    }

    fn compartment(
        &self,
        grant: &Granted,
        repo: RepoId,
        persons: &BTreeSet<PersonKey>,
        limit: usize,
    ) -> Result<Vec<Rid>, StoreError> {
        self.run(async |conn| walk::compartment(self, conn, grant, repo, persons, limit).await)
    }

    fn heads(&self, grant: &Granted, rids: &[Rid]) -> Result<Vec<Head>, StoreError> {
        self.run(async |conn| {
            let found = self.live(conn, grant, rids).await?;
            Ok(rids
                .iter()
                .filter_map(|rid| found.get(rid).cloned())
                .collect())
        })
    }

    fn places(&self, grant: &Granted, rids: &[Rid]) -> Result<Vec<(Rid, Seq)>, StoreError> {
        // a walk that has just met them has told
        if !self.aged()
            && let Some(heads) = self.met.all(grant, rids)
        {
            return Ok(heads.into_values().map(|h| (h.rid, h.seq)).collect());
        }
        let heads = self.heads(grant, rids)?;
        Ok(heads.into_iter().map(|h| (h.rid, h.seq)).collect())
    }

    fn fetch(&self, grant: &Granted, rids: &[Rid]) -> Result<Vec<Record>, StoreError> {
        self.run(async |conn| {
            let found = match self.met.all(grant, rids) {
                Some(heads) => self.with_bodies(conn, heads).await?,
                None => self.records(conn, grant, rids).await?,
            };
            Ok(rids
                .iter()
                .filter_map(|rid| found.get(rid).cloned())
                .collect())
        })
    }

    fn keys(&self, grant: &Granted, rid: Rid) -> Result<Vec<IndexKey>, StoreError> {
        self.run(async |conn| {
            let found = self.live(conn, grant, &[rid]).await?;
            match found.get(&rid) {
                None => Ok(Vec::new()),
                Some(head) => {
                    let mut keys = self.keys_of(conn, &[(rid, head.vno)]).await?;
                    Ok(keys.remove(&rid).unwrap_or_default())
                }
            }
        })
    }

    fn keys_of(
        &self,
        grant: &Granted,
        rids: &[Rid],
    ) -> Result<Vec<(Rid, Vec<IndexKey>)>, StoreError> {
        self.run(async |conn| {
            let found = self.live(conn, grant, rids).await?;
            let versions: Vec<(Rid, Vno)> = found.values().map(|h| (h.rid, h.vno)).collect();
            let mut keys = self.keys_of(conn, &versions).await?;
            Ok(rids
                .iter()
                .filter(|rid| found.contains_key(*rid))
                .map(|rid| (*rid, keys.remove(rid).unwrap_or_default()))
                .collect())
        })
    }

    fn epoch(&self, person: PersonKey) -> Result<Seq, StoreError> {
        let keys = [person.0 as i64, self.names.aliases.root(person).0 as i64];
        self.epoch_of(&keys)
    }

    fn rules_epoch(&self) -> Result<Seq, StoreError> {
        self.epoch_of(&[0])
    }

    fn claim(&self, space: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if !askable(space) {
            return Ok(None);
        }
        self.shared.crowd.claim(&self.shared, space, key)
    }
}

impl PgReader {
    fn epoch_of(&self, keys: &[i64]) -> Result<Seq, StoreError> {
        let sql = "SELECT max(e) FROM unnest($1::bigint[]) k(person) CROSS JOIN LATERAL
          (SELECT seq AS e FROM epoch WHERE person = k.person AND seq <= $2 ORDER BY seq DESC LIMIT 1) x";
        self.run(async |conn| {
            let row = conn.query_opt(sql, &[&keys, &column(self.seq)]).await?;
            let newest: Option<i64> = row.and_then(|r| r.get(0));
            Ok(Seq(newest.unwrap_or(0) as u64))
        })
    }
}
