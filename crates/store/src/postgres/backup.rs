//! The engine as source and sink of a backup stream. A backup reads one `REPEATABLE READ` state; a restore is one
//! transaction, so a damaged stream leaves nothing.

use super::bulk::Submit;
use super::feed;
use super::journal::SNAPSHOT;
use super::keeper::index_rows;
use super::link::{Conn, Params};
use super::load::begin_locked;
use super::names::Names;
use super::pack::{self, Meta};
use super::rows::{RawHead, version_columns};
use super::schema::{self, kind_number};
use super::shared::Shared;
use super::tables::PgTables;
use super::world::{EVENT_EPOCH, EVENT_GENERATION, HeadRow, VersionRow};
use super::write::{self, Script};
use crate::backup::{
    ClaimItem, Header, Item, MessageItem, PurgeItem, Replay, Sink, Source, VersionItem,
};
use crate::journal::import::Import;
use crate::journal::{Tables as _, seal};
use crate::{
    BlobHash, Commit, CommitError, Committed, FeedEvent, Op, PersonKey, PurgeState, QueueMessageId,
    RepoId, RepositoryDecl, Rid, Seq, StoreError,
};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
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
        let (conn, names) = shared.link.block_on(async {
            let conn = shared.link.connect().await?;
            conn.batch(SNAPSHOT).await?;
            conn.batch("SET LOCAL idle_in_transaction_session_timeout = 0")
                .await?;
            let (_, names) = shared.tip(&conn).await?;
            Ok((conn, names))
        })?;
        Ok(Self {
            shared: shared.clone(),
            conn,
            names,
        })
    }

    fn query(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, StoreError> {
        self.shared.link.block_on(self.conn.query(sql, params))
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
        // the ten columns of a head, then pack, body, keys, blobs
        let raw = RawHead::of(row, 1)?;
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
            body: copied(row, 12),
            keys: pack::read_keys(row.get(13))?,
            persons: raw.meta.persons,
            author_person: raw.meta.author_person,
            owner: raw.meta.owner,
            privacy: raw.meta.privacy,
            blobs: pack::read_blobs(row.get(14)),
            bulk,
        })))
    }

    fn log(&self, emit: Emit<'_>) -> Result<(), StoreError> {
        const VERSIONS: &str = concat!(
            "SELECT v.seq, ",
            version_columns!(),
            ", v.pack, v.body, v.keys, v.blobs FROM version v JOIN head h ON h.rid = v.rid
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
            ", v.pack, v.body, v.keys, v.blobs FROM version v JOIN head h ON h.rid = v.rid
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
        let mut tables = PgTables {
            link: &self.shared.link,
            conn: &self.conn,
        };
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
        let stored = self
            .shared
            .link
            .block_on(schema::repositories(&self.conn))?;
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

/// A store that is restored into.
pub(super) struct PgSink {
    shared: Arc<Shared>,
    submit: Submit,
    conn: Option<Conn>,
    header: Header,
    repos: HashMap<RepoId, RepoId>,
    types: HashMap<String, i32>,
    versions: Vec<VersionRow>,
    heads: HashMap<u64, HeadRow>,
    generations: i64,
    /// The load whose versions are coming.
    open_generation: Option<i64>,
    most: [u64; 3],
    import: Option<Import>,
    seq_at: i64,
}

impl PgSink {
    /// A sink on the opened engine.
    pub(super) fn new(shared: &Arc<Shared>, submit: Submit) -> Self {
        Self {
            shared: shared.clone(),
            submit,
            conn: None,
            header: Header::default(),
            repos: HashMap::new(),
            types: HashMap::new(),
            versions: Vec::new(),
            heads: HashMap::new(),
            generations: 0,
            open_generation: None,
            most: [0; 3],
            import: Some(Import::default()),
            seq_at: 0,
        }
    }

    fn conn(&self) -> Result<&Conn, StoreError> {
        let missing = || StoreError::Invalid("the restore has not begun".to_owned());
        self.conn.as_ref().ok_or_else(missing)
    }

    fn run(&self, sql: &str, params: Params<'_>) -> Result<(), StoreError> {
        self.shared
            .link
            .block_on(self.conn()?.execute(sql, params))
            .map(|_| ())
    }

    fn repo(&self, repo: RepoId) -> Result<RepoId, StoreError> {
        let unknown = || {
            StoreError::Corrupt(format!(
                "backup: repository {} is not declared in it",
                repo.0
            ))
        };
        self.repos.get(&repo).copied().ok_or_else(unknown)
    }

    fn repository(&mut self, id: RepoId, decl: &RepositoryDecl) -> Result<(), StoreError> {
        let known = self
            .shared
            .link
            .block_on(schema::repositories(self.conn()?))?;
        let number = match known.get(&decl.name) {
            Some((number, kind)) if *kind == decl.kind => *number,
            Some(_) => {
                let what = format!("repository {} is of another kind in the backup", decl.name);
                return Err(StoreError::Invalid(what));
            }
            None => {
                let next = RepoId(known.values().map(|(n, _)| n.0).max().unwrap_or(0) + 1);
                let sql = "INSERT INTO repository (id, name, kind) VALUES ($1, $2, $3)";
                self.run(
                    sql,
                    &[&(next.0 as i16), &decl.name, &kind_number(decl.kind)],
                )?;
                next
            }
        };
        self.repos.insert(id, number);
        Ok(())
    }

    fn rtype(&mut self, name: &str) -> Result<i32, StoreError> {
        if let Some(number) = self.types.get(name) {
            return Ok(*number);
        }
        let sql = "INSERT INTO rtype (id, name) SELECT coalesce(max(id), 0) + 1, $1 FROM rtype RETURNING id";
        let row = self
            .shared
            .link
            .block_on(self.conn()?.query_opt(sql, &[&name]))?;
        let number: i32 = row.map_or(0, |r| r.get(0));
        self.types.insert(name.to_owned(), number);
        Ok(number)
    }

    fn version(&mut self, item: VersionItem) -> Result<(), StoreError> {
        let repo = self.repo(item.repo)?;
        let rtype = self.rtype(&item.rtype)?;
        let (seq, at) = if item.bulk {
            let next = self.generations + 1;
            (-*self.open_generation.get_or_insert(next), 0)
        } else {
            (item.seq.0 as i64, item.at)
        };
        let meta = pack::meta(&Meta {
            persons: item.persons,
            author_person: item.author_person,
            owner: item.owner,
            privacy: item.privacy,
        });
        let (rid, vno) = (item.rid.0, item.vno.0);
        self.saw(0, rid);
        let purged = if item.op == Op::Purge { vno } else { 0 };
        let kept = self.heads.get(&rid).map_or(0, |h| h.purged);
        let head = HeadRow {
            rid,
            repo: repo.0,
            rtype,
            id: item.id,
            vno,
            seq,
            at,
            op: item.op,
            purged: purged.max(kept),
            meta: meta.clone(),
        };
        self.heads.insert(rid, head);
        self.versions.push(VersionRow {
            seq,
            rid,
            vno,
            at,
            repo: repo.0,
            op: item.op,
            pack: item.pack,
            meta,
            body: item.body,
            keys: pack::keys(&item.keys),
            blobs: item.blobs,
        });
        if self.versions.len() as i64 >= PAGE {
            self.flush()?;
        }
        Ok(())
    }

    fn saw(&mut self, counter: usize, number: u64) {
        if let Some(most) = self.most.get_mut(counter) {
            *most = number.max(*most);
        }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        let versions = std::mem::take(&mut self.versions);
        let heads: Vec<HeadRow> = std::mem::take(&mut self.heads).into_values().collect();
        let mut script = Script::default();
        write::versions(&versions, &mut script);
        write::references(&versions, &mut script);
        write::new_heads(&heads, &mut script);
        self.shared.link.block_on(script.run(self.conn()?))
    }

    fn event(&mut self, seq: Seq, at: i64, event: FeedEvent) -> Result<(), StoreError> {
        let place = seq.0 as i64;
        let (kind, data) = match event {
            FeedEvent::Epoch { persons } => (EVENT_EPOCH, pack::persons(&persons)),
            FeedEvent::Generation { target, .. } => {
                self.generations += 1;
                self.open_generation = None;
                let number = self.generations;
                let sql =
                    "INSERT INTO generation (number, seq, at, target) VALUES ($1, $2, $3, $4)";
                self.run(sql, &[&number, &place, &at, &target])?;
                let data = serde_json::to_vec(&feed::Generation {
                    target,
                    generation: number as u64,
                });
                let data =
                    data.map_err(|e| StoreError::Invalid(format!("generation event: {e}")))?;
                (EVENT_GENERATION, data)
            }
            FeedEvent::Version { .. } => {
                return Err(StoreError::Corrupt(
                    "backup: a version among the events".to_owned(),
                ));
            }
        };
        let sql = "INSERT INTO event (seq, at, kind, data) VALUES ($1, $2, $3, $4)";
        self.run(sql, &[&place, &at, &kind, &data])
    }

    fn message(&mut self, m: &MessageItem, dead: Option<(i64, String)>) -> Result<(), StoreError> {
        self.saw(2, m.id.0);
        let (id, max, deliveries) = (
            m.id.0 as i64,
            i64::from(m.max_deliveries),
            i64::from(m.deliveries),
        );
        let (headers, body) = (m.headers.as_ref(), m.body.as_ref());
        match dead {
            None => {
                let due = m.due_at.unwrap_or(m.enqueued_at);
                let sql = "INSERT INTO message (id, queue, due, timer, enqueued, expires, max_deliveries, deliveries, headers, body)
                    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
                let timer = m.due_at.is_some();
                self.run(
                    sql,
                    &[
                        &id,
                        &m.queue,
                        &due,
                        &timer,
                        &m.enqueued_at,
                        &m.expires_at,
                        &max,
                        &deliveries,
                        &headers,
                        &body,
                    ],
                )
            }
            Some((at, reason)) => {
                let sql = "INSERT INTO dead (id, queue, at, reason, enqueued, max_deliveries, deliveries, headers, body)
                    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
                self.run(
                    sql,
                    &[
                        &id,
                        &m.queue,
                        &at,
                        &reason,
                        &m.enqueued_at,
                        &max,
                        &deliveries,
                        &headers,
                        &body,
                    ],
                )
            }
        }
    }

    fn purge(&mut self, item: &PurgeItem) -> Result<(), StoreError> {
        // the keeper erases what a backup taken between tombstone and erasure still holds
        let sql = "INSERT INTO purge (rid, seq, erased) VALUES ($1, $2, $3)";
        let erased = item.state == PurgeState::Erased;
        self.run(sql, &[&(item.rid.0 as i64), &(item.seq.0 as i64), &erased])
    }

    /// Index rows of every record's newest version.
    fn index(&self) -> Result<(), StoreError> {
        let sql = "SELECT h.repo, h.rid, h.vno, v.keys, v.meta FROM head h JOIN version v ON v.rid = h.rid AND v.vno = h.vno
            WHERE h.rid > $1 AND h.op < 2 ORDER BY h.rid LIMIT $2";
        let mut after = 0i64;
        loop {
            let conn = self.conn()?;
            let rows = self
                .shared
                .link
                .block_on(conn.query(sql, &[&after, &PAGE]))?;
            let Some(last) = rows.last() else {
                return Ok(());
            };
            after = last.get(1);
            let mut idx = Vec::new();
            for row in &rows {
                idx.extend(index_rows(row)?);
            }
            let mut script = Script::default();
            write::index(idx, &mut script);
            self.shared.link.block_on(script.run(conn))?;
        }
    }

    fn number(&self, name: &str, counter: usize) -> i64 {
        let seen = self.most.get(counter).copied().unwrap_or(0);
        let next = self
            .header
            .next
            .get(name)
            .map_or(0, |n| n.saturating_sub(1));
        seen.max(next) as i64
    }
}

impl Sink for PgSink {
    fn is_empty(&self) -> Result<bool, StoreError> {
        let tables = [
            "version",
            "ident",
            "message",
            "dead",
            "claim",
            "position",
            "journal",
            "audit_pending",
            "event",
        ];
        let any: Vec<String> = tables
            .iter()
            .map(|t| format!("EXISTS (SELECT 1 FROM {t})"))
            .collect();
        let sql = format!("SELECT NOT ({})", any.join(" OR "));
        self.shared.read(async |conn| {
            let row = conn.query_opt(&sql, &[]).await?;
            Ok(row.is_some_and(|r| r.get(0)))
        })
    }

    fn begin(&mut self, header: &Header) -> Result<(), StoreError> {
        self.shared.open()?;
        let shared = self.shared.clone();
        let conn = shared.link.block_on(async {
            let conn = shared.link.connect().await?;
            conn.batch("BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0")
                .await?;
            begin_locked(&conn).await?;
            Ok::<_, StoreError>(conn)
        })?;
        self.conn = Some(conn);
        self.header = header.clone();
        Ok(())
    }

    fn item(&mut self, item: Item) -> Result<(), StoreError> {
        match item {
            Item::Repository(id, decl) => self.repository(id, &decl),
            Item::Person(key, identifier) => {
                self.saw(1, key.0);
                let Some((system, value)) = identifier else {
                    return Ok(());
                };
                let sql = "INSERT INTO ident (system, value, person) VALUES ($1, $2, $3)";
                self.run(sql, &[&system, &value, &(key.0 as i64)])
            }
            Item::Alias(from, to) => {
                let sql = "INSERT INTO alias (source, target) VALUES ($1, $2)";
                self.run(sql, &[&(from.0 as i64), &(to.0 as i64)])
            }
            Item::Blob(hash, bytes) => {
                let sql = "INSERT INTO blob (hash, at, bytes) VALUES ($1, now_us(), $2)";
                self.run(sql, &[&&hash[..], &bytes.as_ref()])
            }
            Item::Version(version) => {
                if !version.bulk {
                    self.seq_at = version.at;
                }
                self.version(*version)
            }
            Item::Event(seq, at, event) => {
                self.seq_at = at;
                self.event(seq, at, event)
            }
            Item::Epoch(person, seq) => {
                let sql = "INSERT INTO epoch (person, seq) VALUES ($1, $2)";
                self.run(sql, &[&person.map_or(0, |p| p.0 as i64), &(seq.0 as i64)])
            }
            Item::Purge(item) => self.purge(&item),
            Item::Message(message) => self.message(&message, None),
            Item::DeadLetter(message, at, reason) => self.message(&message, Some((at, reason))),
            Item::Position(consumer, seq) => {
                let sql = "INSERT INTO position (consumer, seq) VALUES ($1, $2)";
                self.run(sql, &[&consumer, &(seq.0 as i64)])
            }
            Item::Claim(c) => {
                let sql = "INSERT INTO claim (space, key, value, until) VALUES ($1, $2, $3, $4)";
                self.run(sql, &[&c.space, &c.key, &c.value, &c.until])
            }
            Item::JournalLog(_)
            | Item::JournalRow(_)
            | Item::JournalLine(..)
            | Item::JournalHead(_) => {
                let mut import = self.import.take().unwrap_or_default();
                let mut tables = PgTables {
                    link: &self.shared.link,
                    conn: self.conn()?,
                };
                if let Item::JournalLog(id) = &item {
                    tables.set_log_id(id)?;
                }
                let result = import.item(&mut tables, item);
                self.import = Some(import);
                result
            }
        }
    }

    fn finish(&mut self) -> Result<Seq, StoreError> {
        self.flush()?;
        self.index()?;
        if let Some(import) = self.import.take() {
            import.finish(&mut PgTables {
                link: &self.shared.link,
                conn: self.conn()?,
            })?;
        }
        let seq = self.header.seq.0 as i64;
        let incarnation = uuid::Uuid::new_v4();
        let mirror = self.header.mirror.unwrap_or(0) as i64;
        self.run(
            "UPDATE clock SET seq = $1, seq_at = $2, at = $3, rid = $4, person = $5, message = $6, mirror = greatest(mirror, $7),
               names = names + 1, floor = $1, pruned = $1",
            &[
                &seq,
                &self.seq_at,
                &self.header.at.max(self.seq_at),
                &self.number("rid", 0),
                &self.number("person", 1),
                &self.number("message", 2),
                &mirror,
            ],
        )?;
        self.run(
            "UPDATE meta SET incarnation = $1",
            &[&&incarnation.as_bytes()[..]],
        )?;
        let conn = self.conn()?;
        self.shared
            .link
            .block_on(conn.batch("COMMIT; ANALYZE version, head, idx, ident, blob_ref, journal"))?;
        self.conn = None;
        *self
            .shared
            .incarnation
            .write()
            .unwrap_or_else(PoisonError::into_inner) = incarnation;
        self.shared.wake.ring(Some(seq as u64));
        Ok(Seq(seq as u64))
    }

    fn abort(&mut self) {
        // the transaction ends with its connection; a rollback first makes it end at once
        if let Some(conn) = self.conn.take()
            && self.shared.link.block_on(conn.batch("ROLLBACK")).is_err()
        {
            tracing::debug!("the restore's connection was gone already");
        }
    }
}

impl Replay for PgSink {
    fn repository(&self, name: &str) -> Option<RepoId> {
        self.shared.by_name.get(name).map(|(id, _)| *id)
    }

    fn commit(&mut self, commit: Commit) -> Result<Committed, CommitError> {
        (self.submit)(commit).wait()
    }
}
