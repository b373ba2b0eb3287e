//! The engine as sink of a backup stream: a restore is one transaction, so a damaged stream leaves nothing.

use super::bulk::Submit;
use super::feed;
use super::keeper::index_rows;
use super::link::{Conn, NO_TIMEOUT, Params};
use super::load::begin_locked;
use super::pack::{self, Meta};
use super::schema::{self, kind_number};
use super::shared::Shared;
use super::tables::PgTables;
use super::world::{EVENT_EPOCH, EVENT_GENERATION, HeadRow, VersionRow};
use super::write::{self, Script};
use crate::backup::{Header, Item, MessageItem, PurgeItem, Replay, Sink, VersionItem};
use crate::journal::import::Import;
use crate::{
    Commit, CommitError, Committed, FeedEvent, Op, PurgeState, RepoId, RepositoryDecl, Seq,
    StoreError,
};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

/// Rows read or written at a time.
const PAGE: i64 = 1_000;

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
        let conn = self.conn()?;
        conn.block_on(conn.execute(sql, params)).map(|_| ())
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
        let known = {
            let conn = self.conn()?;
            conn.block_on(schema::repositories(conn))?
        };
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
        let row = {
            let conn = self.conn()?;
            conn.block_on(conn.query_opt(sql, &[&name]))?
        };
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
        let (form, content) = pack::body(&item.body);
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
            form,
            content,
            keys: pack::keys(form, &item.keys),
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
        let conn = self.conn()?;
        conn.block_on(script.run(conn))
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
        let sql = "SELECT h.repo, h.rid, h.vno, v.form, v.keys, v.meta FROM head h JOIN version v ON v.rid = h.rid AND v.vno = h.vno
            WHERE h.rid > $1 AND h.op < 2 ORDER BY h.rid LIMIT $2";
        let mut after = 0i64;
        loop {
            let conn = self.conn()?;
            let rows = conn.block_on(conn.query(sql, &[&after, &PAGE]))?;
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
            conn.block_on(script.run(conn))?;
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
        let conn = self.shared.link.connect_here(NO_TIMEOUT)?;
        conn.block_on(async {
            conn.batch("BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0")
                .await?;
            begin_locked(&conn).await
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
                let mut tables = PgTables { conn: self.conn()? };
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
            import.finish(&mut PgTables { conn: self.conn()? })?;
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
        conn.block_on(conn.batch("COMMIT; ANALYZE version, head, idx, ident, blob_ref, journal"))?;
        self.conn = None;
        *self
            .shared
            .incarnation
            .write()
            .unwrap_or_else(PoisonError::into_inner) = incarnation;
        self.shared.wake.feed(Some(seq as u64));
        self.shared.wake.queues();
        Ok(Seq(seq as u64))
    }

    fn abort(&mut self) {
        // the transaction ends with its connection; a rollback first makes it end at once
        if let Some(conn) = self.conn.take()
            && conn.block_on(conn.batch("ROLLBACK")).is_err()
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
