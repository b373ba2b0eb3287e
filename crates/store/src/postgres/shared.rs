//! What the parts of one opened engine share.

use super::crowd::Crowd;
use super::link::{Conn, Link, Trust};
use super::names::Names;
use crate::{MicrosUtc, PersonKey, RepoId, RepoKind, Seq, StoreError};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Shared state.
pub(super) struct Shared {
    pub(super) link: Link,
    /// Reads that go together.
    pub(super) crowd: Crowd,
    /// Persons by identifier, as far as they were met: an identifier never gets another person.
    pub(super) idents: Idents,
    /// Sizes of ranges.
    pub(super) guesses: Guesses,
    /// Names this process in the table `committer`.
    pub(super) process: uuid::Uuid,
    /// Names this process among the holders of leases.
    pub(super) holder: i32,
    /// The committer's server process: its own notifications tell nothing new.
    pub(super) committer: AtomicI32,
    /// Notification channel of this schema.
    pub(super) channel: String,
    pub(super) by_name: BTreeMap<String, (RepoId, RepoKind)>,
    pub(super) repositories: Arc<HashMap<RepoId, String>>,
    pub(super) incarnation: RwLock<uuid::Uuid>,
    pub(super) retention: Duration,
    pub(super) mirror: Option<PathBuf>,
    pub(super) unsafe_no_sync: bool,
    pub(super) names: RwLock<Arc<Names>>,
    pub(super) wake: Wake,
    pub(super) counters: Counters,
    pub(super) closed: AtomicBool,
    /// Blobs staged before this instant were looked at.
    pub(super) swept_to: AtomicI64,
}

/// Numbers for the health page.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) batches: AtomicU64,
    pub(super) commits: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) waiting: AtomicU64,
    pub(super) reconnects: AtomicU64,
    pub(super) audited: AtomicU64,
    pub(super) sealed: AtomicU64,
    pub(super) erased: AtomicU64,
    pub(super) keeper_errors: AtomicU64,
    /// Leases of other processes that were ended.
    pub(super) freed: AtomicU64,
}

/// Adds to a counter.
pub(super) fn count(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

/// The feed row.
pub(super) const TIP: &str = "SELECT seq, seq_at, floor, names FROM clock";

/// The state of the feed row that readers begin with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tip {
    pub(super) seq: Seq,
    pub(super) at: MicrosUtc,
    pub(super) floor: Seq,
}

impl Shared {
    /// Fails when the store is closed.
    pub(super) fn open(&self) -> Result<(), StoreError> {
        match self.closed.load(Ordering::Acquire) {
            true => Err(StoreError::Unavailable("the store is closed".to_owned())),
            false => Ok(()),
        }
    }

    /// Runs work on a pooled connection and blocks; once more on a new one when the connection turns out to be broken.
    /// Only for work that may be repeated.
    pub(super) fn read<T>(
        &self,
        work: impl AsyncFn(&Conn) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.open()?;
        let mut tries = 0;
        loop {
            let trust = match tries {
                0 => Trust::Recent,
                _ => Trust::Nothing,
            };
            let conn = self.link.take(trust)?;
            let result = conn.block_on(work(&conn));
            tries += 1;
            if result.is_err() && conn.client.is_closed() && tries < 3 {
                conn.discard();
                count(&self.counters.reconnects, 1);
                continue;
            }
            return result;
        }
    }

    /// Runs work on a pooled connection and blocks; never twice.
    pub(super) fn once<T>(
        &self,
        work: impl AsyncFnOnce(&Conn) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.open()?;
        let conn = self.link.take(Trust::Nothing)?;
        conn.block_on(work(&conn))
    }

    /// The feed row, and names at least as new as it.
    pub(super) async fn tip(&self, conn: &Conn) -> Result<(Tip, Arc<Names>), StoreError> {
        let row = conn.query_opt(TIP, &[]).await?;
        let row = row.ok_or_else(|| StoreError::Corrupt("the feed row is missing".to_owned()))?;
        let tip = Tip {
            seq: Seq(row.get::<_, i64>(0) as u64),
            at: row.get(1),
            floor: Seq(row.get::<_, i64>(2) as u64),
        };
        Ok((tip, self.names_at(conn, row.get(3)).await?))
    }

    async fn names_at(&self, conn: &Conn, count: i64) -> Result<Arc<Names>, StoreError> {
        let known = self.names();
        if known.count >= count {
            return Ok(known);
        }
        let fresh = Arc::new(Names::load(conn, count).await?);
        self.publish_names(&fresh);
        Ok(fresh)
    }

    /// Names as last seen.
    pub(super) fn names(&self) -> Arc<Names> {
        self.names
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Keeps newer names.
    pub(super) fn publish_names(&self, names: &Arc<Names>) {
        let mut known = self.names.write().unwrap_or_else(PoisonError::into_inner);
        if names.count > known.count {
            *known = names.clone();
        }
    }
}

/// Persons by identifier.
#[derive(Default)]
pub(super) struct Idents(Mutex<HashMap<(String, String), PersonKey>>);

impl Idents {
    /// Beyond this many they are forgotten, to be met anew.
    const MOST: usize = 100_000;

    /// Those of the names that are known.
    pub(super) fn known<'a>(
        &self,
        names: impl Iterator<Item = &'a (String, String)>,
    ) -> Vec<((String, String), PersonKey)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names
            .filter_map(|name| Some((name.clone(), *known.get(name)?)))
            .collect()
    }

    /// Remembers what is committed.
    pub(super) fn learn(&self, met: Vec<((String, String), PersonKey)>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() + met.len() > Self::MOST {
            known.clear();
        }
        known.extend(met);
    }
}

/// Ranges that had many rows a moment ago. A search asks for such a guess each time, and counting costs it as much as a
/// third of its rows; that they are many does not change from one second to the next.
#[derive(Default)]
pub(super) struct Guesses(Mutex<HashMap<[Vec<u8>; 2], Guess>>);

struct Guess {
    rows: u64,
    at: Instant,
}

impl Guesses {
    /// Beyond this many they are forgotten, to be counted anew.
    const MOST: usize = 10_000;
    /// How long a guess counts.
    const LIFE: Duration = Duration::from_secs(5);

    /// Whether the range had at least so many rows.
    pub(super) fn reach(&self, range: &[Vec<u8>; 2], rows: u64) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(range)
            .is_some_and(|guess| guess.rows >= rows && guess.at.elapsed() < Self::LIFE)
    }

    /// The range has at least so many rows.
    pub(super) fn learn(&self, range: [Vec<u8>; 2], rows: u64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= Self::MOST {
            known.clear();
        }
        let at = Instant::now();
        known.insert(range, Guess { rows, at });
    }
}

/// Wakes those who wait for the feed or a queue.
#[derive(Default)]
pub(super) struct Wake {
    state: Mutex<Beat>,
    feed: Condvar,
    queues: Condvar,
    end: Condvar,
}

/// What is known of progress.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Beat {
    /// Newest place known in this process.
    pub(super) seq: u64,
    /// Counts every sign that the feed may be longer, of this process or another.
    pub(super) count: u64,
    /// Counts every sign that a message may have come to a queue.
    pub(super) queues: u64,
    /// The engine is closing.
    pub(super) closed: bool,
}

impl Wake {
    /// The state now.
    pub(super) fn now(&self) -> Beat {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The feed may be longer; `seq` when it is known how far it is.
    pub(super) fn feed(&self, seq: Option<u64>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.seq = state.seq.max(seq.unwrap_or(0));
        state.count += 1;
        self.feed.notify_all();
    }

    /// A message may have come to a queue.
    pub(super) fn queues(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.queues += 1;
        self.queues.notify_all();
    }

    /// The engine closes.
    pub(super) fn close(&self) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .closed = true;
        self.feed.notify_all();
        self.queues.notify_all();
        self.end.notify_all();
    }

    /// Waits until the feed's count is not `than` any more, or the instant has come.
    pub(super) fn wait_feed(&self, than: u64, until: Instant) -> Beat {
        self.wait(&self.feed, until, |state| state.count != than)
    }

    /// Waits until the queues' count is not `than` any more, or the instant has come.
    pub(super) fn wait_queues(&self, than: u64, until: Instant) -> Beat {
        self.wait(&self.queues, until, |state| state.queues != than)
    }

    /// Waits until the engine closes, or the instant has come; whether it closes.
    pub(super) fn wait_end(&self, until: Instant) -> bool {
        self.wait(&self.end, until, |_| false).closed
    }

    fn wait(&self, bell: &Condvar, until: Instant, happened: impl Fn(&Beat) -> bool) -> Beat {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if happened(&state) || state.closed || left.is_zero() {
                return *state;
            }
            let woken = bell.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
