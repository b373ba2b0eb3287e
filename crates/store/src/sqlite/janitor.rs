//! Background work: folding, checkpoints on connections of their own, sweeps, purges, sealing.

use super::Inner;
use super::db::{self, unavailable};
use super::fold::Folder;
use super::shared::{locked, now_micros};
use super::{blobs, claims};
use crate::StoreError;
use rusqlite::Connection;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Committed bytes after which the log's write-ahead log is copied back without stopping anybody.
const CHECKPOINT_BYTES: u64 = 24 << 20;
/// Length of a write-ahead log from which it is started anew: writers wait for the last bit of copying.
const RESTART_BYTES: u64 = 96 << 20;
/// Length of a write-ahead log that is truncated when the store is idle.
const IDLE_BYTES: u64 = 4 << 20;
/// Rows one sweep removes in one batch.
const SWEEP_AT_ONCE: usize = 1_000;
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// Pause after a long reader stood in the way.
const STAND_BACK: Duration = Duration::from_secs(3);
const EXPIRE_EVERY: Duration = Duration::from_secs(5);
const SEAL_EVERY: Duration = Duration::from_secs(2);

/// Makes a connection one that only copies a write-ahead log back.
pub(super) fn checkpointer(conn: Connection) -> Result<Mutex<Connection>, StoreError> {
    // A reader in the way is not waited for long: there is a next time.
    conn.execute_batch(
        "PRAGMA query_only = OFF; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 200;",
    )
    .map_err(unavailable)?;
    Ok(Mutex::new(conn))
}

/// True when everything was copied back (and the log truncated, if asked).
fn checkpoint(conn: &Connection, mode: &str) -> Result<bool, StoreError> {
    let result = conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |r| {
        Ok((
            r.get::<_, i64>(0)?,
            r.get::<_, i64>(1)?,
            r.get::<_, i64>(2)?,
        ))
    });
    match result {
        Ok((busy, in_log, copied)) => Ok(busy == 0 && in_log == copied),
        Err(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => Ok(false),
        Err(e) => Err(unavailable(e)),
    }
}

impl Inner {
    /// Copies the log's write-ahead log back and cuts it to nothing; false when a reader stands in the way.
    pub(super) fn truncate_log(&self) -> Result<bool, StoreError> {
        let checkpointer = locked(&self.log_checkpointer);
        let _cleared = self.pool.clear();
        checkpoint(&checkpointer, "PASSIVE")?;
        let _gate = locked(&self.gate);
        checkpoint(&checkpointer, "TRUNCATE")
    }

    /// The same for the index.
    pub(super) fn truncate_index(&self) -> Result<bool, StoreError> {
        let _folder = locked(&self.folder);
        let _cleared = self.pool.clear();
        checkpoint(&locked(&self.index_checkpointer), "TRUNCATE")
    }

    /// False when a reader stood in the way of starting the write-ahead log anew.
    fn checkpoint_log(&self, restart: bool) -> Result<bool, StoreError> {
        let unsaved = self.unsaved.swap(0, Relaxed);
        let length = db::wal_bytes(&self.log_path);
        let checkpointer = locked(&self.log_checkpointer);
        // Until the end: what began before all is copied keeps the log from starting anew, what began after it does not.
        let cleared = (unsaved > 0 || length > 0).then(|| self.pool.clear());
        if cleared.is_some() {
            checkpoint(&checkpointer, "PASSIVE")?;
        }
        let mode = if !restart {
            return Ok(true);
        } else if unsaved == 0 && length > IDLE_BYTES {
            "TRUNCATE"
        } else if length > RESTART_BYTES {
            "RESTART"
        } else {
            return Ok(true);
        };
        let _gate = locked(&self.gate);
        self.stats.checkpoints.fetch_add(1, Relaxed);
        checkpoint(&checkpointer, mode)
    }

    /// Copies the index's write-ahead log back after a fold. Whoever calls holds the folder, so nothing is added
    /// meanwhile and the next fold begins at the log's start: it never grows beyond a fold or two.
    pub(super) fn checkpoint_index(&self, _folder: &Folder) -> Result<(), StoreError> {
        let _cleared = self.pool.clear();
        checkpoint(&locked(&self.index_checkpointer), "PASSIVE").map(drop)
    }

    /// Gives the space of an idle write-ahead log back.
    fn truncate_idle_index(&self) -> Result<(), StoreError> {
        if db::wal_bytes(&self.index_path) <= IDLE_BYTES {
            return Ok(());
        }
        match self.folder.try_lock() {
            Ok(_folder) => {
                let _cleared = self.pool.clear();
                checkpoint(&locked(&self.index_checkpointer), "TRUNCATE").map(drop)
            }
            Err(_) => Ok(()),
        }
    }

    /// Claims, staged blobs and messages whose time is over.
    pub(super) fn sweep(&self) -> Result<(), StoreError> {
        self.queues.forget_lost(now_micros());
        loop {
            let removed = self.in_writer(|batch| {
                Ok([
                    claims::sweep(batch.log, batch.at, SWEEP_AT_ONCE)?,
                    blobs::sweep(batch.log, batch.at, SWEEP_AT_ONCE)?,
                    batch.bury_expired(SWEEP_AT_ONCE)?,
                ])
            })?;
            if removed.iter().all(|n| *n < SWEEP_AT_ONCE) {
                return Ok(());
            }
        }
    }

    /// Everything that is due, now.
    pub(super) fn maintain(&self) -> Result<(), StoreError> {
        self.running()?;
        self.sweep()?;
        self.sweep_loads()?;
        self.fold_all()?;
        self.expire_superseded()?;
        self.advance_purges()?;
        Ok(())
    }
}

/// Folds until the store closes, and removes from the index what is over. Both need the folder, for seconds under load:
/// the janitor must not wait for it, or the log is not copied back.
pub(super) fn fold_loop(inner: &Inner) {
    let mut expired = Instant::now();
    while !inner.stopping() {
        inner.to_fold.sleep(Duration::from_secs(1));
        if let Err(e) = inner.fold_frozen() {
            warn(inner, "fold", &e);
            std::thread::sleep(Duration::from_millis(200));
        }
        if expired.elapsed() >= EXPIRE_EVERY && !inner.stopping() {
            report(inner, "expiry", inner.expire_superseded().map(drop));
            expired = Instant::now();
        }
    }
}

/// Checkpoints, sweeps, purges and seals until the store closes.
pub(super) fn janitor_loop(inner: &Inner) {
    let (mut swept, mut sealed) = (Instant::now(), Instant::now());
    let mut truncate_at = Instant::now();
    // A purge from before the last stop goes on at once.
    let mut purging = true;
    // What a long reader (a backup) stands in the way of is not tried again at once: each try stops the writer shortly.
    let (mut purge_at, mut restart_at) = (Instant::now(), Instant::now());
    while !inner.stopping() {
        let rung = inner.janitor.sleep(Duration::from_millis(200));
        if inner.stopping() {
            break;
        }
        if inner.running().is_err() {
            continue;
        }
        purging |= rung;
        if purging && Instant::now() >= purge_at {
            purge_at = Instant::now() + STAND_BACK;
            match inner.advance_purges() {
                Ok(true) => {
                    purging = false;
                    purge_at = Instant::now();
                }
                Ok(false) => {}
                Err(e) => warn(inner, "purge", &e),
            }
        }
        report(inner, "erasing messages", inner.bodies.tidy());
        let idle = inner.unsaved.load(Relaxed) == 0;
        if inner.unsaved.load(Relaxed) >= CHECKPOINT_BYTES || idle {
            let restart = Instant::now() >= restart_at;
            match inner.checkpoint_log(restart) {
                Ok(true) => {}
                Ok(false) => restart_at = Instant::now() + STAND_BACK,
                Err(e) => warn(inner, "checkpoint of the log", &e),
            }
        }
        if idle && Instant::now() >= truncate_at {
            truncate_at = Instant::now() + STAND_BACK;
            report(
                inner,
                "checkpoint of the index",
                inner.truncate_idle_index(),
            );
        }
        if sealed.elapsed() >= SEAL_EVERY {
            report(inner, "seal", inner.seal().map(drop));
            sealed = Instant::now();
        }
        if swept.elapsed() >= SWEEP_EVERY {
            report(inner, "sweep", inner.sweep());
            swept = Instant::now();
        }
    }
}

fn report(inner: &Inner, what: &str, result: Result<(), StoreError>) {
    if let Err(e) = result {
        warn(inner, what, &e);
    }
}

fn warn(inner: &Inner, what: &str, e: &StoreError) {
    if !inner.stopping() {
        inner.stats.background_failures.fetch_add(1, Relaxed);
        tracing::warn!(error = %e, "{what} failed; it is tried again");
    }
}

/// Starts a named thread.
pub(super) fn spawn(
    name: &str,
    inner: &Arc<Inner>,
    run: impl FnOnce(&Inner) + Send + 'static,
) -> Result<std::thread::JoinHandle<()>, StoreError> {
    let inner = Arc::clone(inner);
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || run(&inner))
        .map_err(|e| StoreError::CannotOpen(format!("thread {name}: {e}")))
}
