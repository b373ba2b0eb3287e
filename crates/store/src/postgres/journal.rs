//! The access journal on PostgreSQL: appended to a table, sealed by whichever process holds the sealer's lock.

use super::check;
use super::link::{Conn, Pooled, Trust};
use super::names::Names;
use super::schema::LOCK_SEALER;
use super::shared::{Shared, count};
use super::tables::PgTables;
use crate::journal::{Appended, Interner, Tables, head, proof, seal, verify};
use crate::{
    Alias, AuditEntry, Commit, Durability, HeadSigner, JournalEntry, LogHead, MicrosUtc, Pending,
    PersonKey, PersonRef, StoreError,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// How long an entry of [`Durability::WithinOneSecond`] may wait for company.
const LAZY: Duration = Duration::from_millis(400);
/// Entries written in one statement.
const MAX_GROUP: usize = 2_000;
/// Entries sealed in one transaction.
const SEAL_BATCH: i64 = 5_000;
/// Waiting entries that a look-up reads at most: more than a sealer that works ever leaves.
const MAX_UNSEALED: i64 = 200_000;

/// An entry on its way to the table.
pub(super) struct Line {
    entry: AuditEntry,
    answer: Option<oneshot::Sender<Result<(), String>>>,
}

/// Appends an entry; with [`Durability::BeforeAnswer`] it is flushed on return.
pub(super) fn audit(
    shared: &Shared,
    lines: &mpsc::Sender<Line>,
    entry: AuditEntry,
    durability: Durability,
) -> Result<(), StoreError> {
    shared.open()?;
    check::audit(&entry)?;
    let full = || StoreError::Unavailable("the access journal cannot be written".to_owned());
    if durability == Durability::WithinOneSecond {
        return lines
            .try_send(Line {
                entry,
                answer: None,
            })
            .map_err(|_| full());
    }
    let (answer, flushed) = oneshot::channel();
    lines
        .try_send(Line {
            entry,
            answer: Some(answer),
        })
        .map_err(|_| full())?;
    let result = flushed.blocking_recv();
    result
        .unwrap_or_else(|_| Err("the store is closed".to_owned()))
        .map_err(StoreError::Unavailable)
}

/// Writes entries in groups until all senders are gone: what gathered during the last flush goes next.
pub(super) async fn write_lines(shared: Arc<Shared>, mut lines: mpsc::Receiver<Line>) {
    let mut conn: Option<Conn> = None;
    let mut last_at: MicrosUtc = 0;
    while let Some(first) = lines.recv().await {
        let mut urgent = first.answer.is_some();
        let mut group = vec![first];
        let lazy_until = tokio::time::Instant::now() + LAZY;
        loop {
            while group.len() < MAX_GROUP {
                let Ok(line) = lines.try_recv() else { break };
                urgent |= line.answer.is_some();
                group.push(line);
            }
            if urgent || group.len() >= MAX_GROUP {
                break;
            }
            match tokio::time::timeout_at(lazy_until, lines.recv()).await {
                Ok(Some(line)) => {
                    urgent |= line.answer.is_some();
                    group.push(line);
                }
                _ => break,
            }
        }
        let mut rows = Vec::with_capacity(group.len());
        let mut answers = Vec::with_capacity(group.len());
        for line in group {
            last_at = seal::now().max(last_at + 1);
            rows.push(Appended {
                entry: line.entry,
                recorded_at: last_at,
            });
            answers.extend(line.answer);
        }
        let mut result = append(&shared, &mut conn, &rows).await;
        // an entry written twice is sealed once, so trying again is safe
        for _ in 0..20 {
            if result.is_ok() || shared.open().is_err() {
                break;
            }
            conn = None;
            tokio::time::sleep(Duration::from_millis(200)).await;
            result = append(&shared, &mut conn, &rows).await;
        }
        match &result {
            Ok(()) => count(&shared.counters.audited, rows.len() as u64),
            Err(error) => {
                tracing::error!(%error, entries = rows.len(), "access journal entries could not be written")
            }
        }
        for answer in answers {
            // the caller may have given up
            let _ = answer.send(result.as_ref().map(|_| ()).map_err(ToString::to_string));
        }
    }
}

async fn append(
    shared: &Shared,
    slot: &mut Option<Conn>,
    rows: &[Appended],
) -> Result<(), StoreError> {
    let conn = match slot.take().filter(|c| !c.client.is_closed()) {
        Some(conn) => slot.insert(conn),
        None => slot.insert(shared.link.connect().await?),
    };
    let ids: Vec<Vec<u8>> = rows
        .iter()
        .map(|r| r.entry.id.as_bytes().to_vec())
        .collect();
    let times: Vec<MicrosUtc> = rows.iter().map(|r| r.recorded_at).collect();
    let data: Vec<Vec<u8>> = rows
        .iter()
        .map(|r| {
            serde_json::to_vec(r).map_err(|e| StoreError::Invalid(format!("journal entry: {e}")))
        })
        .collect::<Result<_, _>>()?;
    conn.execute(
        "INSERT INTO audit_pending (id, recorded_at, data) SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bytea[])",
        &[&ids, &times, &data],
    )
    .await?;
    Ok(())
}

/// Persons for the journal's rules.
struct Persons<'a> {
    conn: &'a Conn,
    submit: &'a dyn Fn(Commit) -> Pending,
    names: Arc<Names>,
}

impl Persons<'_> {
    fn keys(
        &self,
        list: &[(String, String)],
    ) -> Result<BTreeMap<(String, String), PersonKey>, StoreError> {
        let (systems, values): (Vec<&str>, Vec<&str>) =
            list.iter().map(|(s, v)| (s.as_str(), v.as_str())).unzip();
        let rows = self.conn.block_on(self.conn.query(
            "SELECT i.system, i.value, i.person FROM unnest($1::text[], $2::text[]) k(system, value)
               JOIN ident i ON i.system = k.system AND i.value = k.value",
            &[&systems, &values],
        ))?;
        let key = |r: &tokio_postgres::Row| PersonKey(r.get::<_, i64>(2) as u64);
        Ok(rows
            .iter()
            .map(|r| ((r.get(0), r.get(1)), key(r)))
            .collect())
    }
}

impl Interner for Persons<'_> {
    fn intern(&self, identifiers: &[(String, String)]) -> Result<Vec<PersonKey>, StoreError> {
        let known = self.keys(identifiers)?;
        let alias: Vec<Alias> = identifiers
            .iter()
            .filter(|name| !known.contains_key(*name))
            .map(|(system, value)| Alias::AlsoKnownAs {
                person: PersonRef::id(system, value),
                system: system.clone(),
                value: value.clone(),
            })
            .collect();
        let known = if alias.is_empty() {
            known
        } else {
            let commit = Commit {
                alias,
                ..Commit::default()
            };
            (self.submit)(commit)
                .wait()
                .map_err(|e| StoreError::Unavailable(e.to_string()))?;
            self.keys(identifiers)?
        };
        identifiers
            .iter()
            .map(|name| known.get(name).copied())
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| StoreError::Corrupt("a person was not interned".to_owned()))
    }

    fn known(&self, system: &str, value: &str) -> Result<Option<PersonKey>, StoreError> {
        let name = (system.to_owned(), value.to_owned());
        Ok(self.keys(std::slice::from_ref(&name))?.remove(&name))
    }

    fn identifiers(&self, keys: &[PersonKey]) -> Result<Vec<(String, String)>, StoreError> {
        let keys: Vec<i64> = keys.iter().map(|k| k.0 as i64).collect();
        let sql = "SELECT system, value FROM ident WHERE person = ANY($1) ORDER BY system, value";
        let rows = self.conn.block_on(self.conn.query(sql, &[&keys]))?;
        Ok(rows.iter().map(|r| (r.get(0), r.get(1))).collect())
    }

    fn resolve(&self, key: PersonKey) -> Result<PersonKey, StoreError> {
        Ok(self.names.aliases.root(key))
    }

    fn same(&self, key: PersonKey) -> Result<Vec<PersonKey>, StoreError> {
        Ok(self.names.aliases.same(key).into_iter().collect())
    }
}

/// The journal's public operations on one engine.
pub(super) struct Journal<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) submit: &'a dyn Fn(Commit) -> Pending,
}

impl Journal<'_> {
    /// Runs with a pooled connection from the calling thread: the journal's rules are synchronous.
    fn with<T>(
        &self,
        work: impl FnOnce(&Pooled<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.shared.open()?;
        let conn = self.shared.link.take(Trust::Nothing)?;
        let result = work(&conn);
        if result.is_err() {
            // it may stand inside a transaction
            conn.discard();
        }
        result
    }

    fn tables<T>(
        &self,
        begin: &str,
        work: impl FnOnce(&mut PgTables<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.with(|conn| self.tables_on(conn, begin, work))
    }

    fn tables_on<T>(
        &self,
        conn: &Conn,
        begin: &str,
        work: impl FnOnce(&mut PgTables<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        conn.block_on(conn.batch(begin))?;
        let value = work(&mut PgTables { conn })?;
        conn.block_on(conn.batch("COMMIT"))?;
        Ok(value)
    }

    fn persons<'a>(&'a self, conn: &'a Conn) -> Result<Persons<'a>, StoreError> {
        let (_, names) = conn.block_on(self.shared.tip(conn))?;
        Ok(Persons {
            conn,
            submit: self.submit,
            names,
        })
    }

    fn waiting(&self, conn: &Conn, id: Option<Uuid>) -> Result<Vec<Appended>, StoreError> {
        let rows = conn.block_on(async {
            match id {
                Some(id) => {
                    let sql = "SELECT data FROM audit_pending WHERE id = $1 ORDER BY n";
                    conn.query(sql, &[&&id.as_bytes()[..]]).await
                }
                None => {
                    let sql = "SELECT data FROM audit_pending ORDER BY n DESC LIMIT $1";
                    conn.query(sql, &[&MAX_UNSEALED]).await
                }
            }
        })?;
        rows.iter().map(|r| read(r.get(0))).collect()
    }

    /// Entries of a person, newest first.
    pub(super) fn journal_of(
        &self,
        person: PersonKey,
        before: Option<MicrosUtc>,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        self.with(|conn| {
            let waiting = self.waiting(conn, None)?;
            let waiting: Vec<&Appended> = waiting.iter().collect();
            let persons = self.persons(conn)?;
            self.tables_on(conn, SNAPSHOT, |t| {
                seal::entries_of(t, &persons, person, before, limit, &waiting)
            })
        })
    }

    /// Streams of the sealed journal.
    pub(super) fn streams(&self) -> Result<Vec<String>, StoreError> {
        self.tables(SNAPSHOT, |t| t.streams())
    }

    /// Sealed entries of a stream; see [`seal::entries_after`].
    pub(super) fn journal_after(
        &self,
        stream: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        self.with(|conn| {
            let persons = self.persons(conn)?;
            self.tables_on(conn, SNAPSHOT, |t| {
                seal::entries_after(t, &persons, stream, after, limit)
            })
        })
    }

    /// One entry.
    pub(super) fn journal_entry(&self, id: Uuid) -> Result<Option<JournalEntry>, StoreError> {
        self.with(|conn| {
            let waiting = self.waiting(conn, Some(id))?;
            let persons = self.persons(conn)?;
            if let Some(row) = (PgTables { conn }).row_by_id(id)? {
                return seal::entry_of(&persons, row).map(Some);
            }
            waiting
                .first()
                .map(|a| seal::waiting_entry(&persons, a))
                .transpose()
        })
    }

    /// Seals what waits, when no other process is at it; how many.
    pub(super) fn seal(&self) -> Result<u64, StoreError> {
        let lock: super::link::Params<'_> = &[&LOCK_SEALER, &self.shared.link.schema];
        self.with(|conn| {
            conn.block_on(conn.execute("SELECT pg_advisory_lock($1, hashtext($2))", lock))?;
            let result = self.seal_locked(conn);
            // on an error the connection is dropped and the lock with it
            let sealed = result?;
            conn.block_on(conn.execute("SELECT pg_advisory_unlock($1, hashtext($2))", lock))?;
            count(&self.shared.counters.sealed, sealed);
            Ok(sealed)
        })
    }

    fn seal_locked(&self, conn: &Conn) -> Result<u64, StoreError> {
        let today = seal::day_of(seal::now())?;
        let mut sealed = 0;
        loop {
            let sql = "SELECT n, data FROM audit_pending ORDER BY recorded_at, n LIMIT $1";
            let rows = conn.block_on(conn.query(sql, &[&SEAL_BATCH]))?;
            let numbers: Vec<i64> = rows.iter().map(|r| r.get(0)).collect();
            let entries: Vec<Appended> = rows
                .iter()
                .map(|r| read(r.get(1)))
                .collect::<Result<_, _>>()?;
            if entries.is_empty() {
                return Ok(sealed);
            }
            let persons = self.persons(conn)?;
            let resolved = seal::resolve(&persons, entries)?;
            sealed += self.tables_on(conn, "BEGIN", |t| {
                let stream = t.own_stream()?;
                let new = seal::seal_into(t, &stream, &today, &resolved)?;
                conn.block_on(
                    conn.execute("DELETE FROM audit_pending WHERE n = ANY($1)", &[&numbers]),
                )?;
                Ok(new)
            })?;
        }
    }

    /// Whether something waits to be sealed.
    pub(super) fn anything_waits(&self) -> Result<bool, StoreError> {
        self.shared.read(async |conn| {
            let row = conn
                .query_opt("SELECT EXISTS (SELECT 1 FROM audit_pending)", &[])
                .await?;
            Ok(row.is_some_and(|r| r.get(0)))
        })
    }

    /// Makes and stores a signed head; excludes sealing meanwhile.
    pub(super) fn sign_head(
        &self,
        signer: &dyn HeadSigner,
        day: &str,
        close: bool,
    ) -> Result<LogHead, StoreError> {
        self.tables("BEGIN", |t| {
            let lock: super::link::Params<'_> = &[&LOCK_SEALER, &self.shared.link.schema];
            let sql = "SELECT pg_advisory_xact_lock($1, hashtext($2))";
            t.conn.block_on(t.conn.execute(sql, lock))?;
            head::sign(t, signer, day, close, seal::now())
        })
    }

    /// Signed heads, newest first.
    pub(super) fn heads(&self, limit: usize) -> Result<Vec<LogHead>, StoreError> {
        self.tables(SNAPSHOT, |t| head::heads(t, limit))
    }

    /// Proof of an entry.
    pub(super) fn proof(
        &self,
        id: Uuid,
        masked: &[&str],
    ) -> Result<Option<serde_json::Value>, StoreError> {
        self.tables(SNAPSHOT, |t| proof::build(t, id, masked))
    }

    /// Walks the whole sealed journal.
    pub(super) fn verify(&self) -> Result<u64, StoreError> {
        self.tables(SNAPSHOT, |t| verify::walk(t))
    }
}

/// A read-only transaction on one state.
pub(super) const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

fn read(bytes: &[u8]) -> Result<Appended, StoreError> {
    serde_json::from_slice(bytes)
        .map_err(|_| StoreError::Corrupt("a waiting journal entry cannot be read".to_owned()))
}
