//! A backup taken into an empty store.
//!
//! Items are written in chunks by the writer, while a durable mark says that the store is not one yet: nobody else is
//! served, and an open after a crash throws everything away. The last transaction removes the mark.

use crate::backup::{Header, Item, Replay, Sink, VersionItem};
use crate::sqlite::Inner;
use crate::sqlite::apply::pack_blobs;
use crate::sqlite::batch::{Batch, Next};
use crate::sqlite::codec::{self, CODEC_ERASED, RawHead, op};
use crate::sqlite::db::unavailable;
use crate::sqlite::feed::pack_generation;
use crate::sqlite::lens::{Lens, NEWEST};
use crate::sqlite::shared::LOAD_BASE;
use crate::sqlite::{RULES, blobs, claims, erase, open};
use crate::{Commit, CommitError, Committed, FeedEvent, RepoId, Seq, StoreError};
use rusqlite::{OptionalExtension, params};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Items of one transaction.
const CHUNK: usize = 1_000;
/// Bytes of one transaction, more or less.
const CHUNK_BYTES: usize = 16 << 20;

/// Tables that a restore fills.
const TABLES: [&str; 17] = [
    "rtype",
    "version",
    "head",
    "ident",
    "alias",
    "person",
    "epoch",
    "claim",
    "position",
    "queue",
    "message",
    "dead",
    "blob",
    "purge",
    "audit_pending",
    "load",
    "loaded",
];

type JournalItem = Result<Option<Item>, StoreError>;
/// Where journal items go, and the thread that takes them.
type Importer = (SyncSender<JournalItem>, JoinHandle<Result<(), StoreError>>);

/// A store that is being filled.
pub(super) struct Filling {
    inner: Arc<Inner>,
    header: Header,
    waiting: Vec<Item>,
    waiting_bytes: usize,
    /// Numbers of repositories in the backup → here.
    repositories: HashMap<u16, u16>,
    next: Next,
    /// The bulk load that is coming in.
    load: Option<u64>,
    journal: Option<Importer>,
}

impl Filling {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self {
            inner,
            header: Header::default(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            repositories: HashMap::new(),
            next: Next::default(),
            load: None,
            journal: None,
        }
    }

    fn write(&mut self) -> Result<(), StoreError> {
        self.waiting_bytes = 0;
        let items = std::mem::take(&mut self.waiting);
        if items.is_empty() {
            return Ok(());
        }
        let mut numbers = Numbers {
            repositories: std::mem::take(&mut self.repositories),
            next: self.next,
            load: self.load,
        };
        let numbers = self.inner.in_writer(move |batch| {
            for item in items {
                batch.restore_item(item, &mut numbers)?;
            }
            Ok(numbers)
        })?;
        self.repositories = numbers.repositories;
        self.next = numbers.next;
        self.load = numbers.load;
        Ok(())
    }

    /// The journal takes its items from another thread, because it takes all of them in one transaction.
    fn journal_item(&mut self, item: Item) -> Result<(), StoreError> {
        if self.journal.is_none() {
            let (to, from): (_, Receiver<JournalItem>) = sync_channel(256);
            let inner = Arc::clone(&self.inner);
            let import = std::thread::Builder::new()
                .name("store-restore".to_owned())
                .spawn(move || {
                    inner
                        .journal
                        .import(&mut || from.recv().unwrap_or_else(|_| Err(stopped())))
                })
                .map_err(|e| StoreError::Unavailable(e.to_string()))?;
            self.journal = Some((to, import));
        }
        match &self.journal {
            Some((to, _)) if to.send(Ok(Some(item))).is_ok() => Ok(()),
            // The importer gave up; it says why.
            _ => Err(self.end_journal().err().unwrap_or_else(stopped)),
        }
    }

    fn end_journal(&mut self) -> Result<(), StoreError> {
        let Some((to, import)) = self.journal.take() else {
            return Ok(());
        };
        let _ = to.send(Ok(None));
        drop(to);
        import.join().unwrap_or_else(|_| Err(stopped()))
    }

    /// Makes the index from the log.
    fn index(&self) -> Result<(), StoreError> {
        let incarnation = *self.inner.incarnation.get();
        let loads = self.inner.loads.get();
        let folder = self.inner.folder();
        folder.reset(incarnation)?;
        let generations = folder.replay(0, &loads, self.inner.internal())?;
        generations.iter().try_for_each(|g| folder.fold(g))
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the restore stopped".to_owned())
}

impl Sink for Filling {
    fn is_empty(&self) -> Result<bool, StoreError> {
        let nothing = self.inner.pool.with(|r| {
            for table in TABLES {
                let sql = format!("SELECT EXISTS(SELECT 1 FROM {table})");
                if r.log
                    .query_row(&sql, [], |r| r.get::<_, bool>(0))
                    .map_err(unavailable)?
                {
                    return Ok(false);
                }
            }
            Ok(true)
        })?;
        Ok(nothing && self.inner.journal.is_empty()?)
    }

    fn begin(&mut self, header: &Header) -> Result<(), StoreError> {
        self.header = header.clone();
        self.inner.restoring.store(true, SeqCst);
        self.inner.in_writer(|batch| {
            batch.execute(
                "INSERT OR REPLACE INTO meta(key, value) VALUES('restoring', 1)",
                [],
            )
        })
    }

    fn item(&mut self, item: Item) -> Result<(), StoreError> {
        if item.kind() == crate::backup::ItemKind::Journal {
            self.write()?;
            return self.journal_item(item);
        }
        self.waiting_bytes += match &item {
            Item::Version(v) => v.body.len() + 256,
            Item::Blob(_, b) => b.len(),
            Item::Message(m) | Item::DeadLetter(m, ..) => m.body.len() + m.headers.len(),
            _ => 64,
        };
        self.waiting.push(item);
        if self.waiting.len() >= CHUNK || self.waiting_bytes >= CHUNK_BYTES {
            self.write()?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Seq, StoreError> {
        self.write()?;
        self.end_journal()?;
        if self.load.is_some() {
            return Err(StoreError::Corrupt(
                "backup stream: a bulk load is not switched in".to_owned(),
            ));
        }
        let mut next = self.next;
        let given = |name: &str| self.header.next.get(name).copied().unwrap_or(0);
        next.seq = next.seq.max(self.header.seq.0 + 1);
        next.rid = next.rid.max(given("rid"));
        next.person = next.person.max(given("person"));
        next.message = next.message.max(given("message"));
        next.mirror = next
            .mirror
            .max(self.header.mirror.unwrap_or(0) + 1)
            .max(self.inner.mirror_last.load(SeqCst) + 1);
        next.last_at = next
            .last_at
            .max(i64::try_from(given("last_at")).unwrap_or(0))
            .max(self.header.at);
        next.seq_at = self.header.at;
        let incarnation = uuid::Uuid::new_v4();
        self.inner.in_writer(move |batch| {
            next.last_at = next.last_at.max(batch.next.last_at);
            next.audit = batch.next.audit;
            batch.next = next;
            batch.types = Arc::new(open::names(batch.log, "rtype")?);
            batch.queue_names = Arc::new(open::names(batch.log, "queue")?);
            batch.aliases = Arc::new(open::aliases(batch.log)?);
            batch.execute(
                "INSERT OR REPLACE INTO meta(key, value) VALUES('incarnation', ?1)",
                [incarnation.as_bytes()],
            )?;
            batch.execute("DELETE FROM meta WHERE key = 'restoring'", [])
        })?;
        self.inner.incarnation.update(|_| incarnation);
        let loads = self.inner.pool.with(|r| open::loads(&r.log))?;
        self.inner.loads.update(|_| loads);
        self.index()?;
        self.inner.restoring.store(false, SeqCst);
        Ok(Seq(self.inner.published.get().seq))
    }

    fn abort(&mut self) {
        if let Some((to, import)) = self.journal.take() {
            let _ = to.send(Err(stopped()));
            drop(to);
            let _ = import.join();
        }
        self.waiting.clear();
        let wiped = self.inner.in_writer(|batch| {
            for table in TABLES {
                batch.execute(&format!("DELETE FROM {table}"), [])?;
            }
            batch.next = Next {
                last_at: batch.next.last_at,
                ..Next::default()
            };
            batch.types = Arc::default();
            batch.queue_names = Arc::default();
            batch.aliases = Arc::default();
            *batch.persons = Default::default();
            batch.execute("DELETE FROM meta WHERE key = 'restoring'", [])
        });
        self.inner.loads.update(|_| Default::default());
        match wiped {
            Ok(()) => self.inner.restoring.store(false, SeqCst),
            Err(e) => {
                tracing::error!(error = %e, "a failed restore could not be taken back; open the store again")
            }
        }
    }
}

impl Replay for Filling {
    fn repository(&self, name: &str) -> Option<RepoId> {
        let repositories = self.inner.repositories.get();
        repositories.get(name).map(|(id, _)| RepoId(*id))
    }

    fn commit(&mut self, commit: Commit) -> Result<Committed, CommitError> {
        self.inner.replaying.store(true, SeqCst);
        let result = self.inner.submit(commit).wait();
        self.inner.replaying.store(false, SeqCst);
        result
    }
}

/// What restoring a chunk hands on to the next.
struct Numbers {
    repositories: HashMap<u16, u16>,
    next: Next,
    load: Option<u64>,
}

impl Numbers {
    fn repository(&self, number: RepoId) -> Result<u16, StoreError> {
        self.repositories.get(&number.0).copied().ok_or_else(|| {
            StoreError::Corrupt("backup stream: an item of an unknown repository".to_owned())
        })
    }
}

impl Batch<'_> {
    fn restore_item(&mut self, item: Item, numbers: &mut Numbers) -> Result<(), StoreError> {
        match item {
            Item::Repository(number, decl) => {
                open::declare(self.log, std::slice::from_ref(&decl))?;
                let all = open::all_repositories(self.log)?;
                let here = all.into_iter().find(|(name, ..)| *name == decl.name);
                if let Some((_, id, _)) = here {
                    numbers.repositories.insert(number.0, id);
                }
                Ok(())
            }
            Item::Person(key, identifier) => {
                numbers.next.person = numbers.next.person.max(key.0 + 1);
                match identifier {
                    Some((system, value)) => self.write_person(&system, &value, key.0),
                    None => Ok(()),
                }
            }
            Item::Alias(from, to) => self.execute(
                "INSERT OR REPLACE INTO alias(person, leads_to) VALUES(?1, ?2)",
                [from.0, to.0],
            ),
            Item::Blob(hash, bytes) => {
                if crate::sha256(&bytes) != hash {
                    return Err(StoreError::Corrupt(
                        "backup stream: a blob's hash is not that of its bytes".to_owned(),
                    ));
                }
                blobs::put(self.log, &hash, &bytes, self.at)
            }
            Item::Version(version) => self.restore_version(*version, numbers),
            Item::Event(seq, at, event) => self.restore_event(seq.0, at, event, numbers),
            Item::Epoch(person, seq) => self.execute(
                "INSERT OR REPLACE INTO epoch(person, seq) VALUES(?1, ?2)",
                [person.map_or(RULES, |p| p.0), seq.0],
            ),
            Item::Purge(purge) => {
                let rtype = self.type_number(&purge.rtype)?;
                let repo = numbers.repository(purge.repo)?;
                self.execute(
                    "INSERT OR REPLACE INTO purge(repo, type, id, rid, seq, last_seq, state) VALUES(?1, ?2, ?3, ?4, ?5, 0, ?6)",
                    params![repo, rtype, purge.id, purge.rid.0, purge.seq.0, erase::ERASED],
                )
            }
            Item::Message(message) => {
                numbers.next.message = numbers.next.message.max(message.id.0 + 1);
                let queue = self.queue_number(&message.queue)?;
                self.execute(
                    "INSERT INTO message(id, queue, due, at, expires, max_deliveries, deliveries, headers, body)
                     VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                    params![
                        message.id.0, queue, message.due_at.unwrap_or(message.enqueued_at), message.enqueued_at,
                        message.expires_at, message.max_deliveries, message.deliveries, &*message.headers, &*message.body
                    ],
                )
            }
            Item::DeadLetter(message, died, reason) => {
                numbers.next.message = numbers.next.message.max(message.id.0 + 1);
                let queue = self.queue_number(&message.queue)?;
                self.execute(
                    "INSERT INTO dead(id, queue, died, reason, at, max_deliveries, deliveries, headers, body)
                     VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                    params![
                        message.id.0, queue, died, reason, message.enqueued_at, message.max_deliveries,
                        message.deliveries, &*message.headers, &*message.body
                    ],
                )
            }
            Item::Position(consumer, seq) => self.execute(
                "INSERT OR REPLACE INTO position(consumer, seq) VALUES(?1, ?2)",
                params![consumer, seq.0],
            ),
            Item::Claim(claim) => claims::write(
                self.log,
                &codec::claim_key(&claim.space, &claim.key),
                Some(&claims::Held {
                    value: claim.value,
                    until: claim.until,
                }),
            ),
            Item::JournalLog(_)
            | Item::JournalRow(_)
            | Item::JournalLine(..)
            | Item::JournalHead(_) => Ok(()),
        }
    }

    fn restore_event(
        &mut self,
        seq: u64,
        at: i64,
        event: FeedEvent,
        numbers: &mut Numbers,
    ) -> Result<(), StoreError> {
        numbers.next.seq = numbers.next.seq.max(seq + 1);
        let (code, content) = match event {
            FeedEvent::Epoch { persons } => {
                let keys: Vec<u64> = persons.iter().map(|p| p.0).collect();
                (op::EPOCH, codec::pack_numbers(&keys))
            }
            FeedEvent::Generation { target, generation } => {
                if let Some(load) = numbers.load.take() {
                    self.execute("UPDATE load SET seq = ?2 WHERE n = ?1", [load, seq])?;
                }
                (op::GENERATION, pack_generation(&target, generation))
            }
            FeedEvent::Version { .. } => {
                return Err(StoreError::Corrupt(
                    "backup stream: a version among the events".to_owned(),
                ));
            }
        };
        self.execute(
            "INSERT INTO version(seq, rid, vno, prev_seq, repo, type, op, at, pack, head, keys, blobs, codec, body)
             VALUES(?1, 0, 0, 0, 0, 0, ?2, ?3, 0, ?4, x'', x'', 2, x'')",
            params![seq, code, at, content],
        )
    }

    fn restore_version(
        &mut self,
        item: VersionItem,
        numbers: &mut Numbers,
    ) -> Result<(), StoreError> {
        let rid = item.rid.0;
        numbers.next.rid = numbers.next.rid.max(rid + 1);
        let head = RawHead {
            repo: numbers.repository(item.repo)?,
            rtype: self.type_number(&item.rtype)?,
            op: codec::op_code(item.op),
            vno: item.vno.0,
            at: item.at,
            id: item.id,
            persons: item.persons.iter().map(|p| p.0).collect(),
            author_person: item.author_person.map(|p| p.0),
            owner: item.owner.map(|p| p.0),
            privacy: item.privacy,
        };
        let mut keys = item.keys;
        keys.sort_unstable();
        keys.dedup();
        if item.bulk {
            let load = match numbers.load {
                Some(load) => load,
                None => {
                    let load = numbers.next.load;
                    numbers.next.load += 1;
                    self.execute(
                        "INSERT INTO load(n, repo, seq) VALUES(?1, ?2, NULL)",
                        params![load, head.repo],
                    )?;
                    numbers.load = Some(load);
                    load
                }
            };
            self.place_loaded(load, rid, &head, item.pack, &item.body, &keys, &item.blobs)?;
            let ident = codec::ident_key(head.repo, head.rtype, &head.id);
            return self.place_ident(&ident, rid);
        }
        let seq = item.seq.0;
        numbers.next.seq = numbers.next.seq.max(seq + 1);
        if head.op == op::PURGE {
            return self.restore_tombstone(rid, seq, &head);
        }
        let before = self.stored_place(rid)?;
        let packed = codec::pack_head(&head);
        let (codec, body) = codec::pack_body(&item.body);
        self.execute(
            "INSERT INTO version(seq, rid, vno, prev_seq, repo, type, op, at, pack, head, keys, blobs, codec, body)
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            params![
                seq, rid, head.vno, before.map_or(0, |b| self.restored_place(b)), head.repo, head.rtype, head.op,
                head.at, item.pack, packed, codec::pack_keys(&keys), pack_blobs(&item.blobs), codec, &*body
            ],
        )?;
        for hash in &item.blobs {
            blobs::refer(self.log, hash, 1)?;
        }
        if before.is_some() {
            return self.execute(
                "UPDATE head SET seq = ?2, head = ?3 WHERE rid = ?1",
                params![rid, seq, packed],
            );
        }
        self.execute(
            "INSERT INTO head(rid, seq, head) VALUES(?1, ?2, ?3)",
            params![rid, seq, packed],
        )?;
        self.execute(
            "INSERT OR REPLACE INTO ident(k, rid) VALUES(?1, ?2)",
            params![codec::ident_key(head.repo, head.rtype, &head.id), rid],
        )
    }

    /// What `head` says of a record, bulk placeholders included.
    fn stored_place(&self, rid: u64) -> Result<Option<u64>, StoreError> {
        self.log
            .prepare_cached("SELECT seq FROM head WHERE rid = ?1")
            .and_then(|mut s| s.query_row([rid], |r| r.get(0)).optional())
            .map_err(unavailable)
    }

    /// The place that a stored one means; loads of this restore are known to the tables only.
    fn restored_place(&self, stored: u64) -> u64 {
        let Some(load) = stored.checked_sub(LOAD_BASE) else {
            return stored;
        };
        self.log
            .prepare_cached("SELECT seq FROM load WHERE n = ?1")
            .and_then(|mut s| s.query_row([load], |r| r.get::<_, Option<u64>>(0)))
            .ok()
            .flatten()
            .unwrap_or(0)
    }

    /// A purge: what the backup still names of the record stays in the feed, without content.
    fn restore_tombstone(&mut self, rid: u64, seq: u64, head: &RawHead) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO version(seq, rid, vno, prev_seq, repo, type, op, at, pack, head, keys, blobs, codec, body)
             VALUES(?1, ?2, ?3, 0, ?4, ?5, ?6, ?7, 0, ?8, x'', x'', 2, x'')",
            params![
                seq, rid, head.vno, head.repo, head.rtype, head.op, head.at,
                codec::pack_head(head)
            ],
        )?;
        let newest = self.stored_place(rid)?;
        let lens = Lens {
            log: self.log,
            loads: self.loads,
            seq: NEWEST,
        };
        for place in lens.chain(newest.filter(|s| *s < NEWEST).unwrap_or(0))? {
            self.execute(
                &format!("UPDATE version SET codec = {CODEC_ERASED} WHERE seq = ?1"),
                [place],
            )?;
        }
        self.execute(
            &format!("UPDATE loaded SET codec = {CODEC_ERASED} WHERE rid = ?1"),
            [rid],
        )?;
        self.execute("DELETE FROM head WHERE rid = ?1", [rid])?;
        self.execute(
            "DELETE FROM ident WHERE k = ?1",
            [codec::ident_key(head.repo, head.rtype, &head.id)],
        )
    }
}
