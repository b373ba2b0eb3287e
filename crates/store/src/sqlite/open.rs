//! Opening: lock, checks, schema, repositories, replay, threads.

use super::batch::{Next, PersonCache};
use super::bodies::{Bodies, Place};
use super::db::{self, unavailable};
use super::fold::Folder;
use super::janitor;
use super::pool::Pool;
use super::shared::{Aliases, Load, Loads, Names, Published, Swap};
use super::writer::Writer;
use super::{Inner, SqliteEngine, mirror, queue};
use crate::backup::mirror::Mirror;
use crate::journal::SegmentJournal;
use crate::{Engine, EngineConfig, RepoKind, RepositoryDecl, StoreConfig, StoreError};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Opens the engine: makes the folder when absent, recovers what a crash left, starts the threads.
pub fn open(config: StoreConfig) -> Result<Arc<dyn Engine>, StoreError> {
    let EngineConfig::Sqlite { folder } = &config.engine else {
        return Err(StoreError::CannotOpen("not a folder".to_owned()));
    };
    let cannot = |e: std::io::Error| StoreError::CannotOpen(format!("{}: {e}", folder.display()));
    std::fs::create_dir_all(folder).map_err(cannot)?;
    let lock = lock_folder(folder)?;
    let sync = if config.unsafe_no_sync {
        db::Sync::None
    } else {
        db::Sync::Full
    };
    let (log_path, index_path) = (folder.join("log.db"), folder.join("index.db"));
    let log = open_log(folder, &log_path, sync)?;
    let repositories = declare(&log, &config.repositories)?;
    let incarnation = incarnation(&log)?;
    let next = next(&log)?;
    let loads = loads(&log)?;
    if !config.unsafe_no_sync {
        db::flush_wal(&log_path)?;
        std::fs::File::open(folder)
            .and_then(|f| f.sync_all())
            .map_err(cannot)?;
    }
    let pool = Pool::new(log_path.clone(), index_path.clone());
    let (folder_of_index, applied) =
        open_index(&pool, &index_path, sync, *incarnation.as_bytes(), next.seq)?;
    let internal = super::internal(&repositories);
    let generations = folder_of_index.replay(applied, &loads, internal)?;
    let filling_since = generations
        .last()
        .is_some_and(|g| g.len() > 0)
        .then(Instant::now);
    let floor = folder_of_index.floor()?;
    let reading = pool.fresh()?;
    let journal = SegmentJournal::open(&folder.join("journal"), config.unsafe_no_sync)?;
    let mut second = config
        .mirror
        .as_ref()
        .map(|m| Mirror::open(m, config.unsafe_no_sync))
        .transpose()?;
    let mut next = next;
    if let Some(second) = &mut second {
        mirror::append(second, &log)?;
        next.mirror = next.mirror.max(second.last() + 1);
    }
    let bodies = Bodies::open(
        &folder.join("bodies"),
        !config.unsafe_no_sync,
        &places(&log)?,
    )?;
    let (types, queue_names) = (names(&log, "rtype")?, names(&log, "queue")?);
    let inner = Arc::new(Inner {
        log_path,
        index_path,
        folder_lock: Mutex::new(Some(lock)),
        repositories: Swap::new(repositories),
        incarnation: Swap::new(incarnation),
        retention_us: i64::try_from(config.snapshot_retention.as_micros()).unwrap_or(i64::MAX),
        mirrored: config.mirror.is_some(),
        mirror_folder: config.mirror.clone(),
        mirror_last: AtomicU64::new(second.as_ref().map_or(0, Mirror::last)),
        restoring: Default::default(),
        replaying: Default::default(),
        sealing: Default::default(),
        types: Swap::new(types),
        queue_names: Swap::new(queue_names),
        aliases: Swap::new(aliases(&log)?),
        loads: Swap::new(loads),
        loading: Default::default(),
        published: Swap::new(Published {
            seq: next.seq - 1,
            at: next.seq_at,
            generations,
        }),
        floor: AtomicU64::new(floor),
        inbox: Default::default(),
        folder: Mutex::new(folder_of_index),
        log_checkpointer: janitor::checkpointer(reading.log)?,
        index_checkpointer: janitor::checkpointer(reading.index)?,
        gate: Mutex::default(),
        rekeying: Mutex::default(),
        unsaved: AtomicU64::new(1),
        queues: queue::Queues::new(),
        bodies,
        tide: Default::default(),
        to_fold: Default::default(),
        folded: Default::default(),
        janitor: Default::default(),
        journal,
        stats: Default::default(),
        stopping: Default::default(),
        failed: Default::default(),
        pool,
    });
    inner.tide.raise(next.seq - 1);
    let writer = Writer {
        index: inner.pool.fresh()?.index,
        inner: Arc::clone(&inner),
        log,
        next,
        persons: PersonCache::default(),
        mirror: second,
        filling_since,
        is_last: false,
    };
    let threads = vec![
        janitor::spawn("store-writer", &inner, move |_| writer.run())?,
        janitor::spawn("store-fold", &inner, janitor::fold_loop)?,
        janitor::spawn("store-janitor", &inner, janitor::janitor_loop)?,
    ];
    let engine = SqliteEngine {
        inner,
        threads: Mutex::new(threads),
    };
    engine.inner.sweep_loads()?;
    Ok(Arc::new(engine))
}

/// The log, emptied when a restore into it was cut off.
fn open_log(folder: &Path, path: &Path, sync: db::Sync) -> Result<Connection, StoreError> {
    let log = db::open_writer(path, sync, 65_536)?;
    db::prepare_log(&log, path)?;
    if meta_number(&log, "restoring")?.is_none() {
        return Ok(log);
    }
    tracing::warn!("a restore was cut off; what it had brought is removed");
    drop(log);
    db::remove(path)?;
    match std::fs::remove_dir_all(folder.join("journal")) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(StoreError::CannotOpen(format!("journal: {e}")));
        }
        _ => {}
    }
    let log = db::open_writer(path, sync, 65_536)?;
    db::prepare_log(&log, path)?;
    Ok(log)
}

/// Places of messages that rows name, sorted.
fn places(log: &Connection) -> Result<Vec<Place>, StoreError> {
    let mut out = Vec::new();
    for table in ["message", "dead"] {
        let mut statement = log
            .prepare(&format!(
                "SELECT place FROM {table} WHERE place IS NOT NULL"
            ))
            .map_err(unavailable)?;
        let mut rows = statement.query([]).map_err(unavailable)?;
        while let Some(row) = rows.next().map_err(unavailable)? {
            let place: Vec<u8> = row.get(0).map_err(unavailable)?;
            out.push(Place::unpack(&place)?);
        }
    }
    out.sort_unstable();
    Ok(out)
}

fn meta_number(log: &Connection, key: &str) -> Result<Option<i64>, StoreError> {
    log.query_row("SELECT value FROM meta WHERE key = ?1", [key], |r| r.get(0))
        .optional()
        .map_err(unavailable)
}

/// One process owns the folder; the lock ends with the process.
fn lock_folder(folder: &Path) -> Result<std::fs::File, StoreError> {
    let path = folder.join("lock");
    let cannot = |e: String| StoreError::CannotOpen(format!("{}: {e}", path.display()));
    let file = std::fs::File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| cannot(e.to_string()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(cannot("another process has this store open".to_owned()))
        }
        Err(std::fs::TryLockError::Error(e)) => Err(cannot(e.to_string())),
    }
}

fn open_index(
    pool: &Pool,
    path: &Path,
    sync: db::Sync,
    incarnation: [u8; 16],
    next_seq: u64,
) -> Result<(Folder, u64), StoreError> {
    // Derived data need only be consistent: what is lost is replayed.
    let sync = match sync {
        db::Sync::Full => db::Sync::Consistent,
        other => other,
    };
    let incarnation = uuid::Uuid::from_bytes(incarnation);
    for attempt in 0..2 {
        let stamps = Arc::clone(&pool.stamps);
        let opened = Folder::open(path, sync, pool.log_reader()?, stamps).and_then(|folder| {
            let applied = folder.applied(incarnation)?;
            Ok((folder, applied))
        });
        match opened {
            Ok((folder, Some(applied))) if applied < next_seq => return Ok((folder, applied)),
            Err(e) if attempt > 0 => return Err(e),
            Ok(_) | Err(_) => {
                tracing::warn!("the index does not fit the log; it is made again");
                db::remove(path)?;
            }
        }
    }
    Err(StoreError::CannotOpen(
        "the index cannot be made again".to_owned(),
    ))
}

fn kind_name(kind: RepoKind) -> &'static str {
    match kind {
        RepoKind::Patient => "patient",
        RepoKind::Open => "open",
        RepoKind::Internal => "internal",
    }
}

pub(super) fn kind_of(name: &str) -> Result<RepoKind, StoreError> {
    match name {
        "patient" => Ok(RepoKind::Patient),
        "open" => Ok(RepoKind::Open),
        "internal" => Ok(RepoKind::Internal),
        _ => Err(super::codec::damaged("repository kind")),
    }
}

/// Adds new repositories; known ones must agree in kind.
pub(super) fn declare(
    log: &Connection,
    declared: &[RepositoryDecl],
) -> Result<HashMap<String, (u16, RepoKind)>, StoreError> {
    for decl in declared {
        let known: Option<String> = log
            .query_row(
                "SELECT kind FROM repository WHERE name = ?1",
                [&decl.name],
                |r| r.get(0),
            )
            .optional()
            .map_err(unavailable)?;
        match known {
            None => {
                log.execute(
                    "INSERT INTO repository(id, name, kind) SELECT coalesce(max(id), 0) + 1, ?1, ?2 FROM repository",
                    params![decl.name, kind_name(decl.kind)],
                )
                .map_err(unavailable)?;
            }
            Some(kind) if kind == kind_name(decl.kind) => {}
            Some(kind) => {
                return Err(StoreError::CannotOpen(format!(
                    "repository {} is of kind {kind} in this store",
                    decl.name
                )));
            }
        }
    }
    let names: Vec<&str> = declared.iter().map(|d| d.name.as_str()).collect();
    let mut out = HashMap::new();
    for (name, id, kind) in all_repositories(log)? {
        if names.contains(&name.as_str()) {
            out.insert(name, (id, kind));
        }
    }
    Ok(out)
}

/// (name, number, kind) of all repositories that the store has ever had.
pub(super) fn all_repositories(
    log: &Connection,
) -> Result<Vec<(String, u16, RepoKind)>, StoreError> {
    let mut statement = log
        .prepare("SELECT name, id, kind FROM repository ORDER BY id")
        .map_err(unavailable)?;
    let rows = statement
        .query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get::<_, String>(2)?)))
        .map_err(unavailable)?;
    rows.map(|row| {
        let (name, id, kind) = row.map_err(unavailable)?;
        Ok((name, id, kind_of(&kind)?))
    })
    .collect()
}

fn meta(log: &Connection, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    log.query_row("SELECT value FROM meta WHERE key = ?1", [key], |r| r.get(0))
        .optional()
        .map_err(unavailable)
}

fn incarnation(log: &Connection) -> Result<uuid::Uuid, StoreError> {
    if let Some(bytes) = meta(log, "incarnation")? {
        return uuid::Uuid::from_slice(&bytes).map_err(|_| super::codec::damaged("incarnation"));
    }
    let fresh = uuid::Uuid::new_v4();
    log.execute(
        "INSERT INTO meta(key, value) VALUES('incarnation', ?1)",
        [fresh.as_bytes()],
    )
    .map_err(unavailable)?;
    Ok(fresh)
}

pub(super) fn next(log: &Connection) -> Result<Next, StoreError> {
    match meta(log, "next")? {
        Some(bytes) => Next::unpack(&bytes),
        None => Ok(Next::default()),
    }
}

pub(super) fn names(log: &Connection, table: &str) -> Result<Names, StoreError> {
    let mut statement = log
        .prepare(&format!("SELECT id, name FROM {table}"))
        .map_err(unavailable)?;
    let mut rows = statement.query([]).map_err(unavailable)?;
    let mut names = Names::default();
    while let Some(row) = rows.next().map_err(unavailable)? {
        let name: String = row.get(1).map_err(unavailable)?;
        names.insert(row.get(0).map_err(unavailable)?, &name);
    }
    Ok(names)
}

pub(super) fn aliases(log: &Connection) -> Result<Aliases, StoreError> {
    let mut statement = log
        .prepare("SELECT person, leads_to FROM alias")
        .map_err(unavailable)?;
    let mut rows = statement.query([]).map_err(unavailable)?;
    let mut aliases = Aliases::default();
    while let Some(row) = rows.next().map_err(unavailable)? {
        aliases.set(
            row.get(0).map_err(unavailable)?,
            row.get(1).map_err(unavailable)?,
        );
    }
    Ok(aliases)
}

pub(super) fn loads(log: &Connection) -> Result<Loads, StoreError> {
    let mut statement = log
        .prepare("SELECT n, repo, seq FROM load")
        .map_err(unavailable)?;
    let mut rows = statement.query([]).map_err(unavailable)?;
    let mut loads = Loads::default();
    while let Some(row) = rows.next().map_err(unavailable)? {
        let load = Load {
            repo: row.get(1).map_err(unavailable)?,
            seq: row.get(2).map_err(unavailable)?,
        };
        loads.set(row.get(0).map_err(unavailable)?, load);
    }
    Ok(loads)
}

impl Inner {
    /// Commit time of an earlier snapshot; refuses places inside a commit and those that are too old.
    pub(super) fn snapshot_time(&self, seq: u64) -> Result<i64, StoreError> {
        let (at, next_at): (Option<i64>, Option<i64>) = self.pool.with(|reading| {
            let time = |seq: u64| {
                reading
                    .log
                    .prepare_cached("SELECT at FROM version WHERE seq = ?1")
                    .and_then(|mut s| s.query_row([seq], |r| r.get(0)).optional())
                    .map_err(unavailable)
            };
            Ok((time(seq)?, time(seq + 1)?))
        })?;
        let at = at.unwrap_or(0);
        if next_at == Some(at) {
            return Err(StoreError::Invalid(format!(
                "place {seq} is inside a commit"
            )));
        }
        let too_old = next_at.is_some_and(|next| {
            next < super::shared::now_micros().saturating_sub(self.retention_us)
        });
        if too_old || self.floor.load(SeqCst) > seq {
            return Err(StoreError::SnapshotExpired);
        }
        Ok(at)
    }
}
