//! Reading connections, made on demand and kept; and read transactions that outlive a call.
//!
//! To begin and end a read transaction costs more than to read a record in it. Reads of a snapshot therefore leave theirs
//! open ([`Pool::standing`]); the next one goes on in it for as long as nothing was committed since ([`Stamps`]). Everybody
//! else sees the newest state ([`Pool::with`]), and a checkpoint first ends what stands ([`Pool::clear`]): a transaction
//! that nobody uses would keep a write-ahead log from being copied back.

use super::db::{open_reader, unavailable};
use super::shared::locked;
use crate::StoreError;
use rusqlite::Connection;
use std::cell::Cell;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// How often each file was committed to. Raised after the commit and before anybody is told of it: who knows of a commit
/// finds a stamp beyond that of every transaction which does not see it.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    pub log: AtomicU64,
    pub index: AtomicU64,
}

impl Stamps {
    pub(super) fn committed(of: &AtomicU64) {
        of.fetch_add(1, SeqCst);
    }
}

/// A pair of reading connections.
pub(super) struct Reading {
    pub log: Connection,
    pub index: Connection,
    /// The stamps under which the transactions that stand open began.
    standing: Cell<(Option<u64>, Option<u64>)>,
}

impl Reading {
    /// Sees to transactions that see every commit known of now; the one of the index only when it is wanted.
    fn stand(&self, stamps: &Stamps, with_index: bool) -> Result<(), StoreError> {
        let (mut log, mut index) = self.standing.get();
        // Read before the transaction begins: it sees at least so much.
        let newest = stamps.log.load(SeqCst);
        if log != Some(newest) {
            renew(&self.log, log.is_some())?;
            log = Some(newest);
            self.standing.set((log, index));
        }
        if with_index {
            let newest = stamps.index.load(SeqCst);
            if index != Some(newest) {
                renew(&self.index, index.is_some())?;
                index = Some(newest);
                self.standing.set((log, index));
            }
        }
        Ok(())
    }

    /// Ends what stands open.
    fn end(&self) {
        let (log, index) = self.standing.take();
        for (conn, _) in [(&self.log, log), (&self.index, index)]
            .into_iter()
            .filter(|(_, began)| began.is_some())
        {
            let _ = run(conn, "COMMIT");
        }
    }

    fn is_idle(&self) -> bool {
        self.log.is_autocommit() && self.index.is_autocommit()
    }
}

fn run(conn: &Connection, sql: &str) -> Result<(), StoreError> {
    conn.prepare_cached(sql)
        .and_then(|mut s| s.execute([]))
        .map(drop)
        .map_err(unavailable)
}

/// The snapshot of the new transaction is taken at its first statement.
fn renew(conn: &Connection, is_open: bool) -> Result<(), StoreError> {
    if is_open {
        run(conn, "COMMIT")?;
    }
    run(conn, "BEGIN")
}

/// Reading connections of a store.
pub(super) struct Pool {
    log: PathBuf,
    index: PathBuf,
    state: Mutex<State>,
    returned: Condvar,
    /// What was committed.
    pub stamps: Arc<Stamps>,
}

#[derive(Default)]
struct State {
    idle: Vec<Reading>,
    in_use: usize,
    /// Checkpoints under way: nothing is left standing.
    clearing: usize,
}

/// Pairs in use at most: more readers at once than this wait for one another. Bounds memory and file descriptors.
const MAX_IN_USE: usize = 32;
/// Idle pairs kept at most: all, for opening one costs more than most reads.
const MAX_IDLE: usize = MAX_IN_USE;

impl Pool {
    pub(super) fn new(log: PathBuf, index: PathBuf) -> Self {
        Self {
            log,
            index,
            state: Mutex::default(),
            returned: Condvar::new(),
            stamps: Arc::default(),
        }
    }

    /// A fresh pair for long work, outside the pool.
    pub(super) fn fresh(&self) -> Result<Reading, StoreError> {
        Ok(Reading {
            log: open_reader(&self.log)?,
            index: open_reader(&self.index)?,
            standing: Cell::default(),
        })
    }

    /// A reading connection of the log, outside the pool.
    pub(super) fn log_reader(&self) -> Result<Connection, StoreError> {
        open_reader(&self.log)
    }

    /// Closes idle connections.
    pub(super) fn close(&self) {
        self.lock().idle.clear();
    }

    /// Runs `f` with a pair of connections outside any transaction; not to be called inside itself. One that met an error
    /// is not used again.
    pub(super) fn with<T>(
        &self,
        f: impl FnOnce(&Reading) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.lend(|reading| {
            reading.end();
            let out = f(reading);
            (out, reading.is_idle())
        })
    }

    /// The same inside read transactions that see every commit known of before the call, and are left open. `f` must not
    /// end them.
    pub(super) fn standing<T>(
        &self,
        with_index: bool,
        f: impl FnOnce(&Reading) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.lend(|reading| {
            let out = reading
                .stand(&self.stamps, with_index)
                .and_then(|()| f(reading));
            (out, true)
        })
    }

    /// Ends every transaction that nobody uses; as long as the returned value is there none is left standing.
    pub(super) fn clear(&self) -> Cleared<'_> {
        let mut state = self.lock();
        state.clearing += 1;
        state.idle.iter().for_each(Reading::end);
        Cleared(self)
    }

    fn lend<T>(
        &self,
        f: impl FnOnce(&Reading) -> (Result<T, StoreError>, bool),
    ) -> Result<T, StoreError> {
        let taken = {
            let mut state = self.lock();
            while state.in_use >= MAX_IN_USE {
                state = self
                    .returned
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            state.in_use += 1;
            state.idle.pop()
        };
        let mut place = Place {
            pool: self,
            returns: None,
        };
        let reading = match taken {
            Some(reading) => reading,
            None => self.fresh()?,
        };
        let (out, is_clean) = f(&reading);
        let has_failed = matches!(
            out,
            Err(StoreError::Unavailable(_) | StoreError::Corrupt(_))
        );
        place.returns = (is_clean && !has_failed).then_some(reading);
        out
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

/// A pair in use; its place is given back when dropped, also by a panic, which the pair itself does not survive.
struct Place<'a> {
    pool: &'a Pool,
    returns: Option<Reading>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        state.in_use -= 1;
        if let Some(reading) = self.returns.take()
            && state.idle.len() < MAX_IDLE
        {
            if state.clearing > 0 {
                reading.end();
            }
            state.idle.push(reading);
        }
        drop(state);
        self.pool.returned.notify_one();
    }
}

/// As long as it is there, no transaction is left standing.
pub(super) struct Cleared<'a>(&'a Pool);

impl Drop for Cleared<'_> {
    fn drop(&mut self) {
        self.0.lock().clearing -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::db::{Sync, open_writer, prepare_index, prepare_log};

    fn count(reading: &Reading) -> Result<i64, StoreError> {
        reading
            .log
            .query_row("SELECT count(*) FROM mirror", [], |r| r.get(0))
            .map_err(unavailable)
    }

    #[test]
    fn a_transaction_stands_until_something_was_committed_or_a_checkpoint_clears_it() {
        let dir = tempfile::tempdir().unwrap();
        let (log, index) = (dir.path().join("log.db"), dir.path().join("index.db"));
        let writer = open_writer(&log, Sync::None, 1_024).unwrap();
        prepare_log(&writer, &log).unwrap();
        prepare_index(&open_writer(&index, Sync::None, 1_024).unwrap(), &index).unwrap();
        let pool = Pool::new(log, index);
        let add = || {
            writer
                .execute("INSERT INTO mirror(entry) VALUES(x'00')", [])
                .unwrap();
        };
        let standing = || pool.standing(true, count).unwrap();
        assert_eq!(standing(), 0);
        add();
        assert_eq!(standing(), 0, "nobody was told of it yet");
        Stamps::committed(&pool.stamps.log);
        assert_eq!(standing(), 1);
        add();
        assert_eq!(standing(), 1);
        assert_eq!(pool.with(count).unwrap(), 2, "everybody else sees all");
        assert_eq!(standing(), 2);
        let is_standing = || {
            let state = pool.lock();
            state.idle.iter().any(|r| !r.is_idle())
        };
        assert!(is_standing());
        let cleared = pool.clear();
        assert!(!is_standing());
        standing();
        assert!(!is_standing(), "nothing is left standing meanwhile");
        drop(cleared);
        standing();
        assert!(is_standing());
    }

    #[test]
    fn a_pair_that_met_an_error_is_not_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let pool = Pool::new(dir.path().join("log.db"), dir.path().join("index.db"));
        let failed = || Err::<(), _>(StoreError::Unavailable("on purpose".to_owned()));
        assert!(open_writer(&pool.log, Sync::None, 1_024).is_ok());
        assert!(open_writer(&pool.index, Sync::None, 1_024).is_ok());
        assert!(pool.standing(false, |_| failed()).is_err());
        assert!(pool.lock().idle.is_empty());
        assert!(pool.standing(false, |_| Ok(())).is_ok());
        let state = pool.lock();
        assert_eq!((state.idle.len(), state.in_use), (1, 0));
    }
}
