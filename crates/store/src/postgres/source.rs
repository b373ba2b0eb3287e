//! The engine as source of a backup stream: everything as it stood at one moment, read in one `REPEATABLE READ`
//! transaction.

use super::feed;
use super::journal::SNAPSHOT;
use super::link::{Conn, NO_TIMEOUT, Params};
use super::names::Names;
use super::pack;
use super::rows::{RawHead, version_columns};
use super::schema;
use super::shared::Shared;
use super::tables::PgTables;
use crate::backup::{ClaimItem, Header, Item, MessageItem, PurgeItem, Source, VersionItem};
use crate::journal::{Tables as _, seal};
use crate::{
    BlobHash, FeedEvent, PersonKey, PurgeState, QueueMessageId, RepoId, RepositoryDecl, Rid, Seq,
    StoreError,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use tokio_postgres::Row;

/// Rows read or written at a time.
const PAGE: i64 = 1_000;

type Emit<'a> = &'a mut dyn FnMut(Item) -> Result<(), StoreError>;

fn uint(row: &Row, i: usize) -> u64 {
    row.get::<_, i64>(i) as u64
}

fn copied(row: &Row, i: usize) -> Bytes {
    Bytes::copy_from_slice(row.get(i))
}

/// A store that is backed up.
pub(super) struct PgSource {
    shared: Arc<Shared>,
    conn: Conn,
    names: Arc<Names>,
}

impl PgSource {
    /// Begins the state that is backed up.
    pub(super) fn new(shared: &Arc<Shared>) -> Result<Self, StoreError> {
        shared.open()?;
        let conn = shared.link.connect_here(NO_TIMEOUT)?;
        let names = conn.block_on(async {
            conn.batch(SNAPSHOT).await?;
            conn.batch("SET LOCAL idle_in_transaction_session_timeout = 0")
                .await?;
            let (_, names) = shared.tip(&conn).await?;
            Ok::<_, StoreError>(names)
        })?;
        Ok(Self {
            shared: shared.clone(),
            conn,
            names,
        })
    }

    fn query(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, StoreError> {
        self.conn.block_on(self.conn.query(sql, params))
    }

    /// Rows of a query whose first column is an ascending number: `$1` = after, `$2` = limit.
    fn pages(
        &self,
        sql: &str,
        each: &mut dyn FnMut(&Row) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut after = i64::MIN;
        loop {
            let rows = self.query(sql, &[&after, &PAGE])?;
            let Some(last) = rows.last() else {
                return Ok(());
            };
            after = last.get(0);
            rows.iter().try_for_each(&mut *each)?;
        }
    }

    fn people(&self, emit: Emit<'_>) -> Result<(), StoreError> {
        let (mut system, mut value) = (String::new(), String::new());
        loop {
            let rows = self.query(
                "SELECT system, value, person FROM ident WHERE (system, value) > ($1, $2) ORDER BY system, value LIMIT $3",
                &[&system, &value, &PAGE],
            )?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                (system, value) = (row.get(0), row.get(1));
                emit(Item::Person(
                    PersonKey(uint(row, 2)),
                    Some((system.clone(), value.clone())),
                ))?;
            }
        }
        let sql = "SELECT source, target FROM alias WHERE source > $1 ORDER BY source LIMIT $2";
        self.pages(sql, &mut |row| {
            emit(Item::Alias(
                PersonKey(uint(row, 0)),
                PersonKey(uint(row, 1)),
            ))
        })
    }

    fn blobs(&self, emit: Emit<'_>) -> Result<(), StoreError> {
        let mut after: Vec<u8> = Vec::new();
        loop {
            let sql = "SELECT b.hash, b.bytes FROM blob b WHERE b.hash > $1
                AND EXISTS (SELECT 1 FROM blob_ref r WHERE r.hash = b.hash) ORDER BY b.hash LIMIT 1";
            let rows = self.query(sql, &[&after])?;
            let Some(row) = rows.first() else {
                return Ok(());
            };
            after = row.get(0);
            let hash = BlobHash::try_from(after.as_slice()).map_err(|_| {
                StoreError::Corrupt("a blob's address has the wrong size".to_owned())
            })?;
            emit(Item::Blob(hash, copied(row, 1)))?;
        }
    }

    fn version(&self, row: &Row) -> Result<Item, StoreError> {
        // the ten columns of a head, then pack, form, content, keys, blobs
        let raw = RawHead::of(row, 1)?;
        let form = row.get(12);
        let bulk = raw.seq < 0;
        let unknown = || StoreError::Corrupt(format!("generation {} is unknown", -raw.seq));
        let (seq, at) = self.names.place(raw.seq, raw.at).ok_or_else(unknown)?;
        Ok(Item::Version(Box::new(VersionItem {
            seq,
            rid: raw.rid,
            vno: raw.vno,
            repo: raw.repo,
            rtype: self.names.rtype(raw.rtype)?.to_owned(),
            id: raw.id,
            op: raw.op,
            at,
            pack: u32::try_from(row.get::<_, i64>(11)).unwrap_or(0),
            body: pack::read_body(form, row.get(13))?,
            keys: pack::read_keys(form, row.get(14))?,
            persons: raw.meta.persons,
            author_person: raw.meta.author_person,
            owner: raw.meta.owner,
            privacy: raw.meta.privacy,
            blobs: pack::read_blobs(row.get(15)),
            bulk,
        })))
    }

    fn log(&self, emit: Emit<'_>) -> Result<(), StoreError> {
        const VERSIONS: &str = concat!(
            "SELECT v.seq, ",
            version_columns!(),
            ", v.pack, v.form, v.content, v.keys, v.blobs FROM version v JOIN head h ON h.rid = v.rid
             WHERE v.seq > $1 AND v.seq > 0 ORDER BY v.seq LIMIT 200"
        );
        const EVENTS: &str =
            "SELECT seq, at, kind, data FROM event WHERE seq > $1 ORDER BY seq LIMIT 200";
        let (mut versions, mut events) = (Vec::new().into_iter(), Vec::new().into_iter());
        let (mut version, mut event): (Option<Row>, Option<Row>) = (None, None);
        let (mut last_version, mut last_event) = (0i64, 0i64);
        loop {
            if version.is_none() {
                version = versions.next();
                if version.is_none() {
                    versions = self.query(VERSIONS, &[&last_version])?.into_iter();
                    version = versions.next();
                }
            }
            if event.is_none() {
                event = events.next();
                if event.is_none() {
                    events = self.query(EVENTS, &[&last_event])?.into_iter();
                    event = events.next();
                }
            }
            let place = |row: &Option<Row>| row.as_ref().map_or(i64::MAX, |r| r.get::<_, i64>(0));
            if place(&version) < place(&event) {
                if let Some(row) = version.take() {
                    last_version = row.get(0);
                    emit(self.version(&row)?)?;
                }
            } else {
                let Some(row) = event.take() else {
                    return Ok(());
                };
                last_event = row.get(0);
                let found = feed::event(row.get(2), row.get(3))?;
                if let FeedEvent::Generation { generation, .. } = &found {
                    self.generation(*generation, emit)?;
                }
                emit(Item::Event(Seq(uint(&row, 0)), row.get(1), found))?;
            }
        }
    }

    fn generation(&self, number: u64, emit: Emit<'_>) -> Result<(), StoreError> {
        const ROWS: &str = concat!(
            "SELECT v.rid, ",
            version_columns!(),
            ", v.pack, v.form, v.content, v.keys, v.blobs FROM version v JOIN head h ON h.rid = v.rid
             WHERE v.repo = $1 AND v.seq = $2 AND v.rid > $3 ORDER BY v.repo, v.seq, v.rid LIMIT $4"
        );
        let place = -(number as i64);
        for repo in self.shared.repositories.keys() {
            let mut after = 0i64;
            loop {
                let rows = self.query(ROWS, &[&(repo.0 as i16), &place, &after, &PAGE])?;
                let Some(last) = rows.last() else { break };
                after = last.get(0);
                for row in &rows {
                    emit(self.version(row)?)?;
                }
            }
        }
        Ok(())
    }

    fn epochs_and_purges(&self, emit: Emit<'_>) -> Result<(), StoreError> {
        let mut after = i64::MIN;
        loop {
            let sql = "SELECT person, max(seq) FROM epoch WHERE person > $1 GROUP BY person ORDER BY person LIMIT $2";
            let rows = self.query(sql, &[&after, &PAGE])?;
            let Some(last) = rows.last() else { break };
            after = last.get(0);
            for row in &rows {
                let person = Some(uint(row, 0)).filter(|p| *p != 0).map(PersonKey);
                emit(Item::Epoch(person, Seq(uint(row, 1))))?;
            }
        }
        let sql = "SELECT p.rid, h.repo, h.rtype, h.id, p.seq, p.erased FROM purge p JOIN head h ON h.rid = p.rid
            WHERE p.rid > $1 ORDER BY p.rid LIMIT $2";
        self.pages(sql, &mut |row| {
            emit(Item::Purge(PurgeItem {
                repo: RepoId(row.get::<_, i16>(1) as u16),
                rtype: self.names.rtype(row.get(2))?.to_owned(),
                id: row.get(3),
                rid: Rid(uint(row, 0)),
                seq: Seq(uint(row, 4)),
                state: if row.get(5) {
                    PurgeState::Erased
                } else {
                    PurgeState::Hidden
                },
            }))
        })
    }

    fn queues(&self, emit: Emit<'_>) -> Result<(), StoreError> {
        let limit = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
        let sql = "SELECT id, queue, enqueued, due, timer, expires, max_deliveries, deliveries, headers, body
            FROM message WHERE id > $1 ORDER BY id LIMIT $2";
        self.pages(sql, &mut |row| {
            emit(Item::Message(Box::new(MessageItem {
                id: QueueMessageId(uint(row, 0)),
                queue: row.get(1),
                enqueued_at: row.get(2),
                due_at: row.get::<_, bool>(4).then(|| row.get(3)),
                expires_at: row.get(5),
                max_deliveries: limit(row.get(6)),
                deliveries: limit(row.get(7)),
                headers: copied(row, 8),
                body: copied(row, 9),
            })))
        })?;
        let sql =
            "SELECT id, queue, enqueued, max_deliveries, deliveries, headers, body, at, reason
            FROM dead WHERE id > $1 ORDER BY id LIMIT $2";
        self.pages(sql, &mut |row| {
            let message = MessageItem {
                id: QueueMessageId(uint(row, 0)),
                queue: row.get(1),
                enqueued_at: row.get(2),
                due_at: None,
                expires_at: None,
                max_deliveries: limit(row.get(3)),
                deliveries: limit(row.get(4)),
                headers: copied(row, 5),
                body: copied(row, 6),
            };
            emit(Item::DeadLetter(Box::new(message), row.get(7), row.get(8)))
        })
    }

    fn rest(&self, emit: Emit<'_>) -> Result<(), StoreError> {
        for row in self.query("SELECT consumer, seq FROM position ORDER BY consumer", &[])? {
            emit(Item::Position(row.get(0), Seq(uint(&row, 1))))?;
        }
        let (mut space, mut key) = (String::new(), Vec::<u8>::new());
        loop {
            let rows = self.query(
                "SELECT space, key, value, until FROM claim WHERE (space, key) > ($1, $2) ORDER BY space, key LIMIT $3",
                &[&space, &key, &PAGE],
            )?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                (space, key) = (row.get(0), row.get(1));
                let (value, until) = (row.get(2), row.get(3));
                emit(Item::Claim(ClaimItem {
                    space: space.clone(),
                    key: key.clone(),
                    value,
                    until,
                }))?;
            }
        }
        self.journal(emit)
    }

    fn journal(&self, emit: Emit<'_>) -> Result<(), StoreError> {
        let mut tables = PgTables { conn: &self.conn };
        emit(Item::JournalLog(tables.log_id()?))?;
        for stream in tables.streams()? {
            let mut from = 1;
            loop {
                let rows = tables.rows(&stream, from, 500)?;
                let Some(last) = rows.last() else { break };
                from = last.seq + 1;
                rows.into_iter()
                    .try_for_each(|row| emit(Item::JournalRow(Box::new(row))))?;
            }
        }
        tables.all_lines(&mut |person, controller, state| {
            emit(Item::JournalLine(person, controller, state))
        })?;
        let mut heads = tables.heads(None, usize::MAX)?;
        heads.reverse();
        heads
            .into_iter()
            .try_for_each(|head| emit(Item::JournalHead(head)))
    }
}

impl Source for PgSource {
    fn header(&self) -> Result<Header, StoreError> {
        let sql = "SELECT seq, at, rid, person, message, mirror FROM clock";
        let rows = self.query(sql, &[])?;
        let row = rows
            .first()
            .ok_or_else(|| StoreError::Corrupt("the feed row is missing".to_owned()))?;
        let next = [("rid", 2), ("person", 3), ("message", 4)];
        Ok(Header {
            engine: "postgres".to_owned(),
            incarnation: *self
                .shared
                .incarnation
                .read()
                .unwrap_or_else(PoisonError::into_inner),
            seq: Seq(uint(row, 0)),
            at: row.get(1),
            mirror: self.shared.mirror.as_ref().map(|_| uint(row, 5)),
            next: next
                .into_iter()
                .map(|(name, i)| (name.to_owned(), uint(row, i) + 1))
                .collect(),
            made_at: seal::now(),
        })
    }

    fn items(&self, _header: &Header, emit: Emit<'_>) -> Result<(), StoreError> {
        let stored = self.conn.block_on(schema::repositories(&self.conn))?;
        let sorted: BTreeMap<RepoId, _> = stored
            .into_iter()
            .map(|(name, (id, kind))| (id, RepositoryDecl { name, kind }))
            .collect();
        for (id, decl) in sorted {
            emit(Item::Repository(id, decl))?;
        }
        self.people(emit)?;
        self.blobs(emit)?;
        self.log(emit)?;
        self.epochs_and_purges(emit)?;
        self.queues(emit)?;
        self.rest(emit)
    }
}
