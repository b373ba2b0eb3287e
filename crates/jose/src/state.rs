//! Short-lived, single-use values: authorization codes, pushed requests, refresh families, sessions, replay marks.
//!
//! [`State`] is what an issuer needs from wherever it keeps such values; [`MemoryState`] is the implementation for tests
//! and examples, which forgets everything at the end. The hub's lies on its store and survives a restart.
//! Invariants, guarded by the tests below:
//! 1. Of several concurrent [`State::take`], [`State::put_new`] or [`State::replace`] on a key, one succeeds.
//! 2. A value is never seen after its expiry.
//! 3. A full store refuses; it never forgets a live replay mark to make room.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::marks::{MarkSet, mark_id};

/// Where the time comes from, in seconds since 1970. Tokens always use real time; tests set their own.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The system's clock.
#[must_use]
pub fn system_clock() -> Clock {
    Arc::new(|| {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .ok()
            .and_then(|since| i64::try_from(since.as_secs()).ok())
            .unwrap_or(0)
    })
}

/// Why a value could not be kept or read. The caller answers "try again later" (HTTP 503).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The bound on live values is reached.
    #[error("too many short-lived values are alive")]
    Full,
    /// One value is larger than the place behind takes: the sender's fault.
    #[error("a value is too large to be kept")]
    TooLarge,
    /// The place behind is not reachable; the text is for the operator.
    #[error("the state store is not available: {0}")]
    Unavailable(String),
}

/// The future of a state operation.
pub type StateFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StateError>> + Send + 'a>>;

/// Key-value storage with expiry and atomic single use. Times are seconds since 1970.
///
/// Keys are `kind/…` texts made by the issuer; secrets in keys are hashed by it before they come here.
pub trait State: Send + Sync + 'static {
    /// Reads a live value.
    fn get<'a>(&'a self, key: &'a str) -> StateFuture<'a, Option<Vec<u8>>>;
    /// Writes a value, whatever was there.
    fn put<'a>(&'a self, key: &'a str, value: Vec<u8>, expires_s: i64) -> StateFuture<'a, ()>;
    /// Writes a value unless a live one is there; says whether it wrote.
    fn put_new<'a>(&'a self, key: &'a str, value: Vec<u8>, expires_s: i64)
    -> StateFuture<'a, bool>;
    /// Writes a value if the live one equals `expected`; says whether it wrote.
    fn replace<'a>(
        &'a self,
        key: &'a str,
        expected: &'a [u8],
        value: Vec<u8>,
        expires_s: i64,
    ) -> StateFuture<'a, bool>;
    /// Removes and gives a live value; of several callers one gets it.
    fn take<'a>(&'a self, key: &'a str) -> StateFuture<'a, Option<Vec<u8>>>;
    /// Marks one-time ids as used, each with its expiry: all of them, or none when one was used before; then its number.
    /// Unlike values, marks may be written behind: a crash may forget those of the last moment.
    fn mark_all<'a>(&'a self, marks: &'a [(String, i64)]) -> StateFuture<'a, Option<usize>>;
    /// Notes durably that something is over (a token, a login): said seldom, asked at every request.
    fn note<'a>(&'a self, key: &'a str, expires_s: i64) -> StateFuture<'a, ()> {
        Box::pin(async move { self.put_new(key, vec![1], expires_s).await.map(drop) })
    }
    /// Whether that was noted, by this process or another, before this was asked.
    fn is_noted<'a>(&'a self, key: &'a str) -> StateFuture<'a, bool> {
        Box::pin(async move { Ok(self.get(key).await?.is_some()) })
    }
}

/// Remembers which proofs have been used. Synchronous, because a resource server asks on every request.
pub trait ReplayCache: Send + Sync + 'static {
    /// Marks a key as used until `expires_s`; `false` when it already was.
    ///
    /// # Errors
    /// [`StateError`] when the mark cannot be kept: the request must then be refused.
    fn first_use(&self, key: &str, expires_s: i64) -> Result<bool, StateError>;
}

const SHARDS: usize = 16;

/// Bounded storage in this process.
pub struct MemoryState {
    clock: Clock,
    hasher: RandomState,
    shards: Vec<Mutex<Shard>>,
    max_values_per_shard: usize,
    marks: MarkSet,
}

#[derive(Default)]
struct Shard {
    values: HashMap<Box<str>, (Vec<u8>, i64)>,
    expiries: BinaryHeap<Reverse<(i64, Box<str>)>>,
}

impl Shard {
    fn live(&self, key: &str, now_s: i64) -> Option<&Vec<u8>> {
        self.values
            .get(key)
            .filter(|(_, expires_s)| *expires_s > now_s)
            .map(|(value, _)| value)
    }

    fn sweep(&mut self, now_s: i64) {
        while let Some(Reverse((expires_s, _))) = self.expiries.peek()
            && *expires_s <= now_s
            && let Some(Reverse((expires_s, key))) = self.expiries.pop()
        {
            if self
                .values
                .get(&key)
                .is_some_and(|(_, at)| *at <= expires_s)
            {
                self.values.remove(&key);
            }
        }
    }

    fn write(
        &mut self,
        key: &str,
        value: Vec<u8>,
        expires_s: i64,
        max: usize,
    ) -> Result<(), StateError> {
        let known_s = self.values.get(key).map(|(_, expires_s)| *expires_s);
        if known_s.is_none() && self.values.len() >= max {
            return Err(StateError::Full);
        }
        let key: Box<str> = key.into();
        if known_s != Some(expires_s) {
            self.expiries.push(Reverse((expires_s, key.clone())));
        }
        self.values.insert(key, (value, expires_s));
        self.compact();
        Ok(())
    }

    /// Values that were taken or replaced leave their expiry behind; from time to time those are thrown out.
    fn compact(&mut self) {
        if self.expiries.len() > 2 * self.values.len() + 64 {
            self.expiries = self
                .values
                .iter()
                .map(|(key, (_, expires_s))| Reverse((*expires_s, key.clone())))
                .collect();
        }
    }
}

impl MemoryState {
    /// Storage for about `max_values` live values, and as many marks.
    #[must_use]
    pub fn new(clock: Clock, max_values: usize) -> Self {
        Self {
            clock,
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            max_values_per_shard: max_values.div_ceil(SHARDS).max(1),
            marks: MarkSet::new(max_values),
        }
    }

    fn with_shard<T>(
        &self,
        key: &str,
        act: impl FnOnce(&mut Shard, i64, usize) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let now_s = (self.clock)();
        #[allow(clippy::cast_possible_truncation)]
        let at = self.hasher.hash_one(key) as usize % SHARDS;
        let shard = self.shards.get(at).ok_or(StateError::Full)?;
        // Every operation leaves the shard consistent, so a poisoned lock is still usable.
        let mut shard: MutexGuard<'_, Shard> = shard.lock().unwrap_or_else(PoisonError::into_inner);
        shard.sweep(now_s);
        act(&mut shard, now_s, self.max_values_per_shard)
    }
}

fn ready<'a, T: Send + 'a>(result: Result<T, StateError>) -> StateFuture<'a, T> {
    Box::pin(std::future::ready(result))
}

impl State for MemoryState {
    fn get<'a>(&'a self, key: &'a str) -> StateFuture<'a, Option<Vec<u8>>> {
        ready(self.with_shard(key, |shard, now_s, _| Ok(shard.live(key, now_s).cloned())))
    }

    fn put<'a>(&'a self, key: &'a str, value: Vec<u8>, expires_s: i64) -> StateFuture<'a, ()> {
        ready(self.with_shard(key, |shard, _, max| shard.write(key, value, expires_s, max)))
    }

    fn put_new<'a>(
        &'a self,
        key: &'a str,
        value: Vec<u8>,
        expires_s: i64,
    ) -> StateFuture<'a, bool> {
        ready(self.with_shard(key, |shard, now_s, max| {
            if shard.live(key, now_s).is_some() {
                return Ok(false);
            }
            shard.write(key, value, expires_s, max).map(|()| true)
        }))
    }

    fn replace<'a>(
        &'a self,
        key: &'a str,
        expected: &'a [u8],
        value: Vec<u8>,
        expires_s: i64,
    ) -> StateFuture<'a, bool> {
        ready(self.with_shard(key, |shard, now_s, max| {
            if shard.live(key, now_s).map(Vec::as_slice) != Some(expected) {
                return Ok(false);
            }
            shard.write(key, value, expires_s, max).map(|()| true)
        }))
    }

    fn take<'a>(&'a self, key: &'a str) -> StateFuture<'a, Option<Vec<u8>>> {
        ready(self.with_shard(key, |shard, now_s, _| {
            let live = shard.live(key, now_s).is_some();
            let taken = shard.values.remove(key);
            Ok(taken.filter(|_| live).map(|(value, _)| value))
        }))
    }

    fn mark_all<'a>(&'a self, marks: &'a [(String, i64)]) -> StateFuture<'a, Option<usize>> {
        let ids: Vec<_> = marks
            .iter()
            .map(|(key, expires_s)| (mark_id(key), *expires_s))
            .collect();
        ready(self.marks.insert_all(&ids, (self.clock)()))
    }
}

impl ReplayCache for MemoryState {
    fn first_use(&self, key: &str, expires_s: i64) -> Result<bool, StateError> {
        self.marks.insert(mark_id(key), expires_s, (self.clock)())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn now<T>(mut future: StateFuture<'_, T>) -> Result<T, StateError> {
        match future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(result) => result,
            Poll::Pending => panic!("memory state never waits"),
        }
    }

    fn state(max: usize) -> (Arc<AtomicI64>, MemoryState) {
        let time = Arc::new(AtomicI64::new(100));
        let shared = Arc::clone(&time);
        let state = MemoryState::new(Arc::new(move || shared.load(Ordering::SeqCst)), max);
        (time, state)
    }

    #[test]
    fn one_of_many_takes_succeeds() {
        let (_, state) = state(100);
        now(state.put("code/a", vec![1], 200)).unwrap();
        let wins = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    if now(state.take("code/a")).unwrap().is_some() {
                        wins.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(wins.into_inner(), 1);
    }

    #[test]
    fn expiry_replace_and_put_new() {
        let (time, state) = state(100);
        assert!(now(state.put_new("k", vec![1], 110)).unwrap());
        assert!(!now(state.put_new("k", vec![2], 110)).unwrap());
        assert!(!now(state.replace("k", &[9], vec![3], 120)).unwrap());
        assert!(now(state.replace("k", &[1], vec![3], 120)).unwrap());
        time.store(115, Ordering::SeqCst);
        assert_eq!(now(state.get("k")).unwrap(), Some(vec![3]));
        time.store(120, Ordering::SeqCst);
        assert_eq!(now(state.get("k")).unwrap(), None);
        assert_eq!(now(state.take("k")).unwrap(), None);
        assert!(now(state.put_new("k", vec![4], 130)).unwrap());
    }

    #[test]
    fn taken_values_leave_nothing_behind() {
        let (_, state) = state(SHARDS * 4);
        for number in 0..20_000 {
            let key = format!("code/{number}");
            now(state.put(&key, vec![1], 200 + number)).unwrap();
            assert!(now(state.take(&key)).unwrap().is_some());
            now(state.put("family", vec![1], 1_000)).unwrap();
        }
        let left: usize = state
            .shards
            .iter()
            .map(|shard| shard.lock().unwrap().expiries.len())
            .sum();
        assert!(left < SHARDS * 70, "{left}");
    }

    #[test]
    fn a_full_store_refuses_and_frees_what_expired() {
        let (time, state) = state(SHARDS);
        let mut refused = 0;
        for number in 0..100 {
            if state.first_use(&number.to_string(), 150) == Err(StateError::Full) {
                refused += 1;
            }
        }
        assert!(refused >= 84, "{refused}");
        time.store(150, Ordering::SeqCst);
        assert_eq!(state.first_use("later", 200), Ok(true));
        assert_eq!(state.first_use("later", 200), Ok(false));
    }
}
