//! Bulk loads: records go to a table of their own, outside the commit path and the feed, and all appear at the one place
//! of the load's switch-in (DESIGN §3.1). A load that does not finish is taken away again.

use super::Inner;
use super::apply::pack_blobs;
use super::batch::Batch;
use super::codec::{self, RawHead, op};
use super::db::unavailable;
use super::feed::pack_generation;
use super::lens::all_index_keys;
use super::memtable::{Row, RowKey};
use super::shared::{LOAD_BASE, Load, locked};
use super::{blobs, inbox};
use crate::{BulkWriter, IndexKey, Op, PersonRef, Put, PutId, RepoId, Seq, StoreError};
use rusqlite::{OptionalExtension, params};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Records written in one batch: short enough that commits between them hardly wait.
const CHUNK: usize = 256;
/// Bytes of bodies written in one batch.
const CHUNK_BYTES: usize = 8 << 20;
/// A page of the file: what an id adds to the write-ahead log where ids lie far apart.
const PAGE_BYTES: usize = 4 << 10;
/// What a record adds to the write-ahead log besides its body: its head, and pages that are written again.
const RECORD_BYTES: usize = 512;
/// Index rows, and ids, sorted and written at once.
const RUN: usize = 400_000;
/// Ids written in one batch.
const IDS: usize = 2_048;

/// Key in the table of ids, record.
type Ident = (Vec<u8>, u64);
/// (key, record, place as stored).
type IndexRow = (Vec<u8>, u64, u64);
/// (record, head, keys, blobs).
type LoadedRow = (u64, Vec<u8>, Vec<u8>, Vec<u8>);

/// A record of a load, engine-neutral.
pub(super) struct Loaded {
    pub rtype: String,
    /// Its `rtype` and `at` are set on writing.
    pub head: RawHead,
    pub persons: Vec<PersonRef>,
    pub author_person: Option<PersonRef>,
    pub owner: Option<PersonRef>,
    pub pack: u32,
    pub body: bytes::Bytes,
    /// Sorted, without duplicates.
    pub keys: Vec<IndexKey>,
    pub blobs: Vec<crate::BlobHash>,
}

struct Loader {
    inner: Arc<Inner>,
    repo: u16,
    repo_name: String,
    number: u64,
    waiting: Vec<Loaded>,
    waiting_bytes: usize,
    rows: Vec<Row>,
    /// Ids that are not written yet: they come in no order, and each by itself would touch a page of its own.
    idents: Vec<Ident>,
    finished: bool,
}

pub(super) fn begin(inner: &Arc<Inner>, repo: RepoId) -> Result<Box<dyn BulkWriter>, StoreError> {
    inner.running()?;
    let name = inner
        .repositories
        .get()
        .iter()
        .find(|(_, (id, _))| *id == repo.0)
        .map(|(name, _)| name.clone())
        .ok_or_else(|| StoreError::Invalid(format!("unknown repository number {}", repo.0)))?;
    let number = inner.in_writer(move |batch| batch.begin_load(repo.0))?;
    locked(&inner.loading).insert(number);
    Ok(Box::new(Loader {
        inner: Arc::clone(inner),
        repo: repo.0,
        repo_name: name,
        number,
        waiting: Vec::new(),
        waiting_bytes: 0,
        rows: Vec::new(),
        idents: Vec::new(),
        finished: false,
    }))
}

impl Loader {
    fn write(&mut self) -> Result<(), StoreError> {
        let bytes = std::mem::take(&mut self.waiting_bytes);
        let records = std::mem::take(&mut self.waiting);
        if records.is_empty() {
            return Ok(());
        }
        // The janitor copies the write-ahead log back by what it is told was written.
        let written = u64::try_from(bytes + records.len() * RECORD_BYTES).unwrap_or(u64::MAX);
        self.inner.unsaved.fetch_add(written, Relaxed);
        let number = self.number;
        let (rows, idents) = self.inner.in_writer(move |batch| {
            let (mut rows, mut idents) = (Vec::new(), Vec::with_capacity(records.len()));
            for record in records {
                idents.push(batch.write_loaded(number, record, &mut rows)?);
            }
            Ok((rows, idents))
        })?;
        self.rows.extend(rows);
        self.idents.extend(idents);
        if self.rows.len() >= RUN {
            self.index()?;
        }
        if self.idents.len() >= RUN {
            self.name()?;
        }
        Ok(())
    }

    /// Writes the ids that wait, in order of the table.
    fn name(&mut self) -> Result<(), StoreError> {
        let mut idents = std::mem::take(&mut self.idents);
        idents.sort_unstable();
        let mut idents = idents.into_iter().peekable();
        while idents.peek().is_some() {
            let some: Vec<Ident> = idents.by_ref().take(IDS).collect();
            let written = u64::try_from(some.len() * PAGE_BYTES / 4).unwrap_or(u64::MAX);
            self.inner.unsaved.fetch_add(written, Relaxed);
            self.inner.in_writer(move |batch| {
                some.iter()
                    .try_for_each(|(key, rid)| batch.place_ident(key, *rid))
            })?;
        }
        Ok(())
    }

    fn index(&mut self) -> Result<(), StoreError> {
        let mut rows = std::mem::take(&mut self.rows);
        rows.sort_unstable();
        self.inner.folder().insert(&rows)
    }
}

impl BulkWriter for Loader {
    fn put(&mut self, put: Put) -> Result<(), StoreError> {
        if put.op != Op::Create || put.repo.0 != self.repo {
            return Err(StoreError::Invalid(
                "a bulk load creates records of its own repository".to_owned(),
            ));
        }
        self.inner
            .check_put(&put)
            .map_err(|e| StoreError::Invalid(e.to_string()))?;
        self.waiting_bytes += put.body.len();
        self.waiting.push(loaded(put));
        if self.waiting.len() >= CHUNK || self.waiting_bytes >= CHUNK_BYTES {
            self.write()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Seq, StoreError> {
        self.write()?;
        self.index()?;
        self.name()?;
        let (number, repo, name) = (self.number, self.repo, self.repo_name.clone());
        let seq = self
            .inner
            .in_writer(move |batch| batch.finish_load(number, repo, &name))?;
        self.finished = true;
        locked(&self.inner.loading).remove(&self.number);
        Ok(Seq(seq))
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        locked(&self.inner.loading).remove(&self.number);
        if !self.finished && !self.inner.stopping() {
            // What cannot be taken away now is taken away by the next sweep, or at the next open.
            let _ = self.inner.drop_load(self.number);
        }
    }
}

fn loaded(mut put: Put) -> Loaded {
    put.keys.sort_unstable();
    put.keys.dedup();
    let id = match put.id {
        PutId::Given(id) => id,
        PutId::New => uuid::Uuid::now_v7().to_string(),
    };
    let mut privacy = put.privacy;
    Loaded {
        rtype: put.rtype,
        author_person: privacy.author_person.take(),
        owner: privacy.owner.take(),
        head: RawHead {
            repo: put.repo.0,
            op: op::CREATE,
            vno: 1,
            id,
            privacy,
            ..RawHead::default()
        },
        persons: put.persons,
        pack: put.pack,
        body: put.body,
        keys: put.keys,
        blobs: put.blobs,
    }
}

impl Batch<'_> {
    /// A new load of an empty repository; its number.
    pub(super) fn begin_load(&mut self, repo: u16) -> Result<u64, StoreError> {
        if self.load_running(repo) {
            return Err(StoreError::Invalid(
                "a bulk load of this repository is running".to_owned(),
            ));
        }
        let full: bool = self
            .log
            .prepare_cached("SELECT EXISTS(SELECT 1 FROM ident WHERE k >= ?1 AND k < ?2)")
            .and_then(|mut s| {
                s.query_row(
                    params![repo.to_be_bytes(), repo.saturating_add(1).to_be_bytes()],
                    |r| r.get(0),
                )
            })
            .map_err(unavailable)?;
        if full {
            return Err(StoreError::Invalid(
                "only an empty repository can be bulk-loaded".to_owned(),
            ));
        }
        let number = self.next.load;
        self.next.load += 1;
        self.execute(
            "INSERT INTO load(n, repo, seq) VALUES(?1, ?2, NULL)",
            params![number, repo],
        )?;
        self.load_changes
            .push((number, Some(Load { repo, seq: None })));
        Ok(number)
    }

    pub(super) fn load_running(&self, repo: u16) -> bool {
        let here = self
            .load_changes
            .iter()
            .filter_map(|(_, load)| load.as_ref())
            .any(|l| l.repo == repo && l.seq.is_none());
        here || self.loads.running_in(repo)
    }

    /// One record of a load; notes its index rows, and returns the id that leads to it, to be written by
    /// [`Batch::place_ident`].
    pub(super) fn write_loaded(
        &mut self,
        number: u64,
        record: Loaded,
        rows: &mut Vec<Row>,
    ) -> Result<Ident, StoreError> {
        let rid = self.next.rid;
        self.next.rid += 1;
        let mut head = record.head;
        head.rtype = self.type_number(&record.rtype)?;
        head.at = self.at;
        for person in &record.persons {
            let key = self.intern_ref(person)?;
            if !head.persons.contains(&key) {
                head.persons.push(key);
            }
        }
        let mut optional = |person: &Option<PersonRef>| -> Result<Option<u64>, StoreError> {
            person.as_ref().map(|p| self.intern_ref(p)).transpose()
        };
        head.author_person = optional(&record.author_person)?;
        head.owner = optional(&record.owner)?;
        self.place_loaded(
            number,
            rid,
            &head,
            record.pack,
            &record.body,
            &record.keys,
            &record.blobs,
        )?;
        rows.extend(all_index_keys(&head, &record.keys).iter().map(|k| Row {
            key: RowKey::new(k),
            rid,
            seq: LOAD_BASE + number,
        }));
        Ok((codec::ident_key(head.repo, head.rtype, &head.id), rid))
    }

    /// The id of a loaded record.
    pub(super) fn place_ident(&mut self, key: &[u8], rid: u64) -> Result<(), StoreError> {
        let fresh = self
            .log
            .prepare_cached("INSERT OR IGNORE INTO ident(k, rid) VALUES(?1, ?2)")
            .and_then(|mut s| s.execute(params![key, rid]))
            .map_err(unavailable)?;
        if fresh == 1 {
            Ok(())
        } else {
            Err(StoreError::Invalid(
                "a record stands twice in a bulk load".to_owned(),
            ))
        }
    }

    /// The rows of a loaded record, but for its id.
    pub(super) fn place_loaded(
        &mut self,
        number: u64,
        rid: u64,
        head: &RawHead,
        pack: u32,
        body: &bytes::Bytes,
        keys: &[IndexKey],
        hashes: &[crate::BlobHash],
    ) -> Result<(), StoreError> {
        let packed = codec::pack_head(head);
        let (codec, body) = codec::pack_body(body);
        self.execute(
            "INSERT INTO loaded(rid, load, type, pack, head, keys, blobs, codec, body)
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                rid,
                number,
                head.rtype,
                pack,
                packed,
                codec::pack_keys(keys),
                pack_blobs(hashes),
                codec,
                &*body
            ],
        )?;
        self.execute(
            "INSERT INTO head(rid, seq, head) VALUES(?1, ?2, ?3)",
            params![rid, LOAD_BASE + number, packed],
        )?;
        for hash in hashes {
            if blobs::find(self.log, hash)?.is_none() {
                return Err(StoreError::Invalid(
                    "a blob is neither staged nor stored".to_owned(),
                ));
            }
            blobs::refer(self.log, hash, 1)?;
        }
        Ok(())
    }

    fn intern_ref(&mut self, person: &PersonRef) -> Result<u64, StoreError> {
        match person {
            PersonRef::Key(key) if key.0 > 0 && key.0 < self.next.person => Ok(key.0),
            PersonRef::Key(_) => Err(StoreError::Invalid(inbox::UNKNOWN_PERSON.to_owned())),
            PersonRef::Id { system, value } => self.intern(system, value),
        }
    }

    /// Switches a load in; its place.
    fn finish_load(&mut self, number: u64, repo: u16, name: &str) -> Result<u64, StoreError> {
        let seq = self.write_event(op::GENERATION, &pack_generation(name, number))?;
        self.execute(
            "UPDATE load SET seq = ?2 WHERE n = ?1",
            params![number, seq],
        )?;
        let load = Load {
            repo,
            seq: Some(seq),
        };
        self.load_changes.push((number, Some(load)));
        Ok(seq)
    }

    /// Takes up to `limit` records of an unfinished load away; index rows to remove, and whether it is gone.
    fn undo_load(
        &mut self,
        number: u64,
        limit: usize,
    ) -> Result<(Vec<IndexRow>, bool), StoreError> {
        let records: Vec<LoadedRow> = self
            .log
            .prepare_cached("SELECT rid, head, keys, blobs FROM loaded WHERE load = ?1 LIMIT ?2")
            .and_then(|mut s| {
                s.query_map(params![number, limit], |r| {
                    Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))
                })?
                .collect::<Result<_, _>>()
            })
            .map_err(unavailable)?;
        let mut rows = Vec::new();
        for (rid, head, keys, hashes) in &records {
            let head = codec::unpack_head(head)?;
            let keys = codec::unpack_keys(keys)?;
            rows.extend(
                all_index_keys(&head, &keys)
                    .into_iter()
                    .map(|k| (k, *rid, LOAD_BASE + number)),
            );
            let ident = codec::ident_key(head.repo, head.rtype, &head.id);
            self.execute(
                "DELETE FROM ident WHERE k = ?1 AND rid = ?2",
                params![ident, rid],
            )?;
            self.execute("DELETE FROM head WHERE rid = ?1", [rid])?;
            self.execute("DELETE FROM loaded WHERE rid = ?1", [rid])?;
            for hash in super::apply::unpack_blobs(hashes) {
                blobs::refer(self.log, &hash, -1)?;
            }
        }
        let gone = records.len() < limit;
        if gone {
            self.execute("DELETE FROM load WHERE n = ?1 AND seq IS NULL", [number])?;
            self.load_changes.push((number, None));
        }
        Ok((rows, gone))
    }
}

impl Inner {
    /// Takes an unfinished load away. Index rows that a crash in between leaves behind never count, because the load has
    /// no place; its number is not used again.
    pub(super) fn drop_load(&self, number: u64) -> Result<(), StoreError> {
        let unfinished: Option<u64> = self.pool.with(|r| {
            r.log
                .query_row(
                    "SELECT n FROM load WHERE n = ?1 AND seq IS NULL",
                    [number],
                    |r| r.get(0),
                )
                .optional()
                .map_err(unavailable)
        })?;
        if unfinished.is_none() {
            return Ok(());
        }
        loop {
            let (mut rows, gone) =
                self.in_writer(move |batch| batch.undo_load(number, CHUNK * 4))?;
            rows.sort_unstable();
            self.folder().in_tx(|f| f.remove(&rows))?;
            if gone {
                return Ok(());
            }
        }
    }

    /// Takes loads away whose writer is gone.
    pub(super) fn sweep_loads(&self) -> Result<(), StoreError> {
        let numbers = self.loads.get().unfinished();
        for number in numbers {
            if !locked(&self.loading).contains(&number) {
                self.drop_load(number)?;
            }
        }
        Ok(())
    }
}
