//! The raw loop of the same shape: the same rows into the same tables with the same durability, on one thread, with
//! nothing around it: no checks, no channels, no readers.

use super::shape::Shape;
use super::{Rates, cpu_us};
use anyhow::{Result, bail};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use rusqlite::{Connection, params};
use std::path::Path;
use std::time::Instant;
use store::{PersonRef, Put, RepoId};

/// Commits of one flush, as many as there are writers.
const BATCH: u64 = 64;
/// Commits of one sorted run.
const RUN: u64 = 50_000;
/// Bytes of the write-ahead log after which the loop copies it back.
const CHECKPOINT: u64 = 64 << 20;

fn open(path: &Path, synchronous: &str) -> Result<Connection> {
    let conn = Connection::open(path)?;
    conn.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; PRAGMA wal_autocheckpoint = 0;
         PRAGMA cache_size = -65536; PRAGMA temp_store = MEMORY;"
    ))?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

/// Appends all records in durable batches and folds their index rows in sorted runs.
pub fn writes(folder: &Path, records: u64, shape: Shape) -> Result<Rates> {
    std::fs::create_dir_all(folder)?;
    let log = open(&folder.join("log.db"), "FULL")?;
    log.execute_batch(
        "CREATE TABLE version(seq INTEGER PRIMARY KEY, rid INTEGER NOT NULL, vno INTEGER NOT NULL, prev_seq INTEGER NOT NULL,
           repo INTEGER NOT NULL, type INTEGER NOT NULL, op INTEGER NOT NULL, at INTEGER NOT NULL, pack INTEGER NOT NULL,
           head BLOB NOT NULL, keys BLOB NOT NULL, body BLOB NOT NULL);
         CREATE INDEX version_by_type ON version(repo, type, seq);
         CREATE TABLE head(rid INTEGER PRIMARY KEY, seq INTEGER NOT NULL, head BLOB NOT NULL);
         CREATE TABLE ident(k BLOB PRIMARY KEY, rid INTEGER NOT NULL) WITHOUT ROWID;",
    )?;
    let index = open(&folder.join("index.db"), "NORMAL")?;
    index.execute_batch(
        "CREATE TABLE idx(k BLOB NOT NULL, rid INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY(k, rid, seq)) WITHOUT ROWID;",
    )?;
    let mut rows: Vec<(Vec<u8>, u64)> = Vec::new();
    let mut cpu = 0.0;
    let mut spent = std::time::Duration::ZERO;
    let mut spent_at_tenth = spent;
    let mut unsaved = 0u64;
    let mut next = 1;
    while next <= records {
        if next >= records - records / 10 && spent_at_tenth.is_zero() {
            spent_at_tenth = spent;
        }
        // Making the records is the writers' work, not the store's: outside the clock.
        let puts: Vec<Put> = (next..next + BATCH.min(records - next + 1))
            .map(|n| shape.put(RepoId(1), n))
            .collect();
        let (started, used) = (Instant::now(), cpu_us());
        log.execute_batch("BEGIN IMMEDIATE")?;
        for (i, put) in puts.iter().enumerate() {
            let n = next + i as u64;
            unsaved += append(&log, put, n, &mut rows)? as u64;
        }
        log.execute_batch("COMMIT")?;
        next += puts.len() as u64;
        if rows.len() as u64 >= RUN * (shape.keys as u64 + 2) || next > records {
            fold(&index, &mut rows)?;
        }
        if unsaved > CHECKPOINT {
            unsaved = 0;
            log.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()))?;
        }
        spent += started.elapsed();
        cpu += cpu_us() - used;
    }
    Ok(Rates {
        whole: records as f64 / spent.as_secs_f64(),
        last: (records / 10) as f64 / (spent - spent_at_tenth).as_secs_f64(),
        cpu_us: cpu / records as f64,
        latency_ms: None,
    })
}

fn append(log: &Connection, put: &Put, n: u64, rows: &mut Vec<(Vec<u8>, u64)>) -> Result<usize> {
    let id = uuid::Uuid::now_v7();
    let mut head = Vec::with_capacity(96);
    head.extend_from_slice(id.as_bytes());
    head.extend_from_slice(put.privacy.controller.as_bytes());
    head.extend_from_slice(put.privacy.author_org.as_deref().unwrap_or("").as_bytes());
    head.resize(60, 0);
    let mut keys = Vec::new();
    for key in &put.keys {
        keys.extend_from_slice(&key.param.to_be_bytes());
        keys.extend_from_slice(&key.value);
        rows.push((row(key.param, &key.value), n));
    }
    if let Some(PersonRef::Id { value, .. }) = put.persons.first() {
        let person: u64 = value.parse().unwrap_or(0);
        rows.push((row(u32::MAX - 1, &person.to_be_bytes()), n));
    }
    rows.push((row(u32::MAX, &[0, 0, 0, 1]), n));
    log.prepare_cached("INSERT INTO version VALUES(?1, ?2, 1, 0, 1, 1, 2, ?3, 1, ?4, ?5, ?6)")?
        .execute(params![n, n, n as i64 * 1_000, head, keys, &*put.body])?;
    log.prepare_cached("INSERT INTO head VALUES(?1, ?2, ?3)")?
        .execute(params![n, n, head])?;
    let mut ident = vec![0, 1, 0, 0, 0, 1, 1];
    ident.extend_from_slice(id.as_bytes());
    log.prepare_cached("INSERT INTO ident VALUES(?1, ?2)")?
        .execute(params![ident, n])?;
    Ok(put.body.len() + head.len() + keys.len())
}

fn row(param: u32, value: &[u8]) -> Vec<u8> {
    let mut k = vec![0, 1];
    k.extend_from_slice(&param.to_be_bytes());
    k.extend_from_slice(value);
    k
}

fn fold(index: &Connection, rows: &mut Vec<(Vec<u8>, u64)>) -> Result<()> {
    rows.sort_unstable();
    index.execute_batch("BEGIN IMMEDIATE")?;
    {
        let mut insert = index.prepare_cached("INSERT INTO idx VALUES(?1, ?2, ?3)")?;
        for (k, n) in rows.iter() {
            insert.execute(params![k, n, n])?;
        }
    }
    index.execute_batch("COMMIT")?;
    rows.clear();
    index.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()))?;
    Ok(())
}

/// Reads by id from the store's own (closed) log file: identity, head, body, in one transaction each.
pub fn reads(folder: &Path, ids: &[String], threads: usize, reads: u64) -> Result<f64> {
    let started = Instant::now();
    std::thread::scope(|scope| -> Result<()> {
        let mut readers = Vec::new();
        for t in 0..threads {
            readers.push(scope.spawn(move || read_loop(folder, ids, t as u64, reads)));
        }
        for reader in readers {
            match reader.join() {
                Ok(result) => result?,
                Err(_) => bail!("a reader panicked"),
            }
        }
        Ok(())
    })?;
    Ok((reads * threads as u64) as f64 / started.elapsed().as_secs_f64())
}

fn read_loop(folder: &Path, ids: &[String], seed: u64, reads: u64) -> Result<()> {
    let conn = Connection::open(folder.join("log.db"))?;
    conn.execute_batch("PRAGMA cache_size = -4096;")?;
    let mut random = SmallRng::seed_from_u64(seed);
    for _ in 0..reads {
        let Some(id) = ids.get(random.random_range(0..ids.len().max(1))) else {
            bail!("nothing to read");
        };
        let mut k = vec![0, 1, 0, 0, 0, 1, 1];
        k.extend_from_slice(uuid::Uuid::parse_str(id)?.as_bytes());
        conn.prepare_cached("BEGIN")?.execute([])?;
        let rid: i64 = conn
            .prepare_cached("SELECT rid FROM ident WHERE k = ?1")?
            .query_row([k], |r| r.get(0))?;
        let (seq, _head): (i64, Vec<u8>) = conn
            .prepare_cached("SELECT seq, head FROM head WHERE rid = ?1")?
            .query_row([rid], |r| Ok((r.get(0)?, r.get(1)?)))?;
        let _body: Vec<u8> = conn
            .prepare_cached("SELECT body FROM version WHERE seq = ?1")?
            .query_row([seq], |r| r.get(0))?;
        conn.prepare_cached("COMMIT")?.execute([])?;
    }
    Ok(())
}
