//! Connections, schema, checks at open.

use crate::StoreError;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;

/// Version of the log's schema. Version 1 had no places of messages; it is taken over. Others are refused.
pub(super) const SCHEMA_VERSION: i64 = 2;
/// Version of the index's schema; an older index is thrown away and made again from the log.
pub(super) const INDEX_VERSION: i64 = 2;

/// Everything durable. Rows of `version` and `head` only ever grow at the right edge; ids live in a narrow table.
const LOG_SCHEMA: &str = "
CREATE TABLE meta(key TEXT PRIMARY KEY, value ANY NOT NULL) WITHOUT ROWID;
CREATE TABLE repository(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, kind TEXT NOT NULL);
CREATE TABLE rtype(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE version(
  seq INTEGER PRIMARY KEY, rid INTEGER NOT NULL, vno INTEGER NOT NULL, prev_seq INTEGER NOT NULL,
  repo INTEGER NOT NULL, type INTEGER NOT NULL, op INTEGER NOT NULL, at INTEGER NOT NULL, pack INTEGER NOT NULL,
  head BLOB NOT NULL, keys BLOB NOT NULL, blobs BLOB NOT NULL, codec INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX version_by_type ON version(repo, type, seq);
CREATE TABLE head(rid INTEGER PRIMARY KEY, seq INTEGER NOT NULL, head BLOB NOT NULL);
CREATE TABLE ident(k BLOB PRIMARY KEY, rid INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE alias(person INTEGER PRIMARY KEY, leads_to INTEGER NOT NULL);
CREATE TABLE person(system TEXT NOT NULL, value TEXT NOT NULL, key INTEGER NOT NULL, PRIMARY KEY(system, value)) WITHOUT ROWID;
CREATE INDEX person_by_key ON person(key);
CREATE TABLE epoch(person INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY(person, seq)) WITHOUT ROWID;
CREATE TABLE claim(k BLOB PRIMARY KEY, value BLOB NOT NULL, until INTEGER) WITHOUT ROWID;
CREATE INDEX claim_by_end ON claim(until) WHERE until IS NOT NULL;
CREATE TABLE position(consumer TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE queue(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE message(
  id INTEGER PRIMARY KEY, queue INTEGER NOT NULL, due INTEGER NOT NULL, at INTEGER NOT NULL, expires INTEGER,
  max_deliveries INTEGER NOT NULL, deliveries INTEGER NOT NULL, headers BLOB NOT NULL, body BLOB NOT NULL, place BLOB);
CREATE INDEX message_by_due ON message(queue, due, id);
CREATE INDEX message_by_end ON message(expires) WHERE expires IS NOT NULL;
CREATE TABLE dead(
  id INTEGER PRIMARY KEY, queue INTEGER NOT NULL, died INTEGER NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL,
  max_deliveries INTEGER NOT NULL, deliveries INTEGER NOT NULL, headers BLOB NOT NULL, body BLOB NOT NULL, place BLOB);
CREATE INDEX dead_by_time ON dead(queue, died, id);
CREATE TABLE blob(id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, refs INTEGER NOT NULL, staged INTEGER NOT NULL, bytes BLOB NOT NULL);
CREATE INDEX blob_unreferenced ON blob(staged) WHERE refs = 0;
CREATE TABLE purge(
  repo INTEGER NOT NULL, type INTEGER NOT NULL, id TEXT NOT NULL, rid INTEGER NOT NULL, seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL, state INTEGER NOT NULL, PRIMARY KEY(repo, type, id)) WITHOUT ROWID;
CREATE INDEX purge_open ON purge(state) WHERE state < 3;
CREATE TABLE audit_pending(n INTEGER PRIMARY KEY, recorded_at INTEGER NOT NULL, entry BLOB NOT NULL);
CREATE TABLE mirror(n INTEGER PRIMARY KEY, entry BLOB NOT NULL);
CREATE TABLE load(n INTEGER PRIMARY KEY, repo INTEGER NOT NULL, seq INTEGER);
CREATE TABLE loaded(
  rid INTEGER PRIMARY KEY, load INTEGER NOT NULL, type INTEGER NOT NULL, pack INTEGER NOT NULL,
  head BLOB NOT NULL, keys BLOB NOT NULL, blobs BLOB NOT NULL, codec INTEGER NOT NULL, body BLOB NOT NULL);
";

/// Derived; can be thrown away and made again from the log. A term is an index key by number: most keys stand in many
/// records, and a row then takes 15 bytes instead of 60.
const INDEX_SCHEMA: &str = "
CREATE TABLE meta(key TEXT PRIMARY KEY, value ANY NOT NULL) WITHOUT ROWID;
CREATE TABLE term(k BLOB PRIMARY KEY, id INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE idx(term INTEGER NOT NULL, rid INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY(term, rid, seq)) WITHOUT ROWID;
CREATE TABLE superseded(seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, rid INTEGER NOT NULL, prev_seq INTEGER NOT NULL);
";

/// What a failing statement means to the caller. Texts of SQLite name tables and codes, never data.
pub(super) fn unavailable(e: rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match e.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => StoreError::Corrupt(e.to_string()),
        _ => StoreError::Unavailable(e.to_string()),
    }
}

fn cannot_open(path: &Path, e: impl std::fmt::Display) -> StoreError {
    StoreError::CannotOpen(format!("{}: {e}", path.display()))
}

/// How much a file must survive.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sync {
    /// Every commit survives power loss.
    Full,
    /// Consistent after power loss, last commits may be missing (derived data).
    Consistent,
    /// Tests only.
    None,
}

/// The one writing connection of a file.
pub(super) fn open_writer(
    path: &Path,
    sync: Sync,
    cache_kib: u32,
) -> Result<Connection, StoreError> {
    let conn = Connection::open(path).map_err(|e| cannot_open(path, e))?;
    let level = match sync {
        Sync::Full => 2,
        Sync::Consistent => 1,
        Sync::None => 0,
    };
    conn.execute_batch(&format!(
        "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = {level};
         PRAGMA wal_autocheckpoint = 0; PRAGMA secure_delete = ON; PRAGMA fullfsync = 1;
         PRAGMA checkpoint_fullfsync = 1; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -{cache_kib};"
    ))
    .map_err(|e| cannot_open(path, e))?;
    let ask = |pragma: &str| -> Result<String, StoreError> {
        conn.query_row(
            &format!("SELECT CAST({pragma} AS TEXT) FROM pragma_{pragma}"),
            [],
            |r| r.get(0),
        )
        .map_err(|e| cannot_open(path, e))
    };
    let (mode, got) = (ask("journal_mode")?, ask("synchronous")?);
    if mode != "wal" || got != level.to_string() {
        return Err(cannot_open(
            path,
            format!(
                "would not survive power loss (journal_mode {mode}, synchronous {got}); a local disk is needed"
            ),
        ));
    }
    conn.set_prepared_statement_cache_capacity(128);
    keep_plans(&conn).map_err(|e| cannot_open(path, e))?;
    Ok(conn)
}

/// A plan stays as it was made: otherwise SQLite looks at the values bound to some statements and prepares those anew at
/// every step, for ten times the cost of a read by id.
pub(crate) fn keep_plans(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map(drop)
}

/// A reading connection.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(|e| cannot_open(path, e))?;
    conn.execute_batch(
        "PRAGMA busy_timeout = 10000; PRAGMA wal_autocheckpoint = 0; PRAGMA query_only = ON;
         PRAGMA temp_store = MEMORY; PRAGMA cache_size = -2048;",
    )
    .map_err(|e| cannot_open(path, e))?;
    conn.set_prepared_statement_cache_capacity(64);
    keep_plans(&conn).map_err(|e| cannot_open(path, e))?;
    Ok(conn)
}

/// Makes the tables of a new file, or checks the schema version of an old one. True when new.
pub(super) fn prepare_log(conn: &Connection, path: &Path) -> Result<bool, StoreError> {
    if version(conn, path)? == 1 {
        conn.execute_batch(
            "BEGIN IMMEDIATE; ALTER TABLE message ADD COLUMN place BLOB; ALTER TABLE dead ADD COLUMN place BLOB;
             PRAGMA user_version = 2; COMMIT;",
        )
        .map_err(|e| cannot_open(path, e))?;
    }
    prepare(conn, path, LOG_SCHEMA, SCHEMA_VERSION)
}

/// The same for `index.db`; an older one is emptied first.
pub(super) fn prepare_index(conn: &Connection, path: &Path) -> Result<bool, StoreError> {
    let version = version(conn, path)?;
    if (1..INDEX_VERSION).contains(&version) {
        conn.execute_batch(
            "BEGIN IMMEDIATE; DROP TABLE IF EXISTS meta; DROP TABLE IF EXISTS idx; DROP TABLE IF EXISTS superseded;
             PRAGMA user_version = 0; COMMIT;",
        )
        .map_err(|e| cannot_open(path, e))?;
    }
    prepare(conn, path, INDEX_SCHEMA, INDEX_VERSION)
}

fn version(conn: &Connection, path: &Path) -> Result<i64, StoreError> {
    conn.query_row("PRAGMA user_version", [], |r| r.get(0))
        .map_err(|e| cannot_open(path, e))
}

fn prepare(conn: &Connection, path: &Path, schema: &str, known: i64) -> Result<bool, StoreError> {
    match version(conn, path)? {
        version if version == known => Ok(false),
        0 => {
            conn.execute_batch(&format!(
                "BEGIN IMMEDIATE; {schema} PRAGMA user_version = {known}; COMMIT;"
            ))
            .map_err(|e| cannot_open(path, e))?;
            Ok(true)
        }
        other => Err(cannot_open(
            path,
            format!("schema version {other}; this program knows {known}"),
        )),
    }
}

/// Removes a database file with its companions.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(&name) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(cannot_open(path, e)),
            _ => {}
        }
    }
    Ok(())
}

/// A number as SQLite knows it; one that no row can have for what is larger.
pub(super) fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(-1)
}

/// Flushes what recovery may have found in the page cache only: it is answered from, so it must survive power loss.
pub(super) fn flush_wal(path: &Path) -> Result<(), StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    match std::fs::File::open(&name).and_then(|f| f.sync_all()) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(cannot_open(path, e)),
        _ => Ok(()),
    }
}

/// Length of the write-ahead log beside a database file.
pub(super) fn wal_bytes(path: &Path) -> u64 {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    std::fs::metadata(name).map_or(0, |m| m.len())
}

/// A read transaction, ended when dropped.
pub(super) struct ReadTx<'a>(&'a Connection);

impl<'a> ReadTx<'a> {
    /// The snapshot is taken at the first statement.
    pub(super) fn begin(conn: &'a Connection) -> Result<Self, StoreError> {
        conn.prepare_cached("BEGIN")
            .and_then(|mut s| s.execute([]))
            .map_err(unavailable)?;
        Ok(Self(conn))
    }
}

impl Drop for ReadTx<'_> {
    fn drop(&mut self) {
        let _ = self
            .0
            .prepare_cached("COMMIT")
            .and_then(|mut s| s.execute([]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::lens::{NAMED, NUMBERED};
    use rusqlite::StatementStatus;
    use rusqlite::types::Value;

    #[test]
    fn a_statement_is_prepared_once_whatever_is_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.db");
        let writer = open_writer(&path, Sync::None, 1_024).unwrap();
        prepare_log(&writer, &path).unwrap();
        for conn in [open_reader(&path).unwrap(), writer] {
            for (sql, values) in [
                (NAMED, [vec![1u8], vec![2], vec![3]].map(Value::Blob)),
                (NUMBERED, [1, 2, 3].map(Value::Integer)),
            ] {
                let mut statement = conn.prepare(sql).unwrap();
                for value in values {
                    assert!(!statement.exists([value]).unwrap());
                }
                assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "{sql}");
            }
        }
    }
}
