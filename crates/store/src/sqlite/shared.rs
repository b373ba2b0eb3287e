//! What the writer publishes and everybody reads: the newest flushed state, type names, aliases, wake-ups.

use super::memtable::Generation;
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// A lock whose holder died is still a lock: every value behind one is valid between statements.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The newest flushed state.
#[derive(Clone, Debug, Default)]
pub(super) struct Published {
    /// Last place of the log.
    pub seq: u64,
    /// Commit time of that place.
    pub at: i64,
    /// Generations not folded yet, oldest first; the last one is being filled.
    pub generations: Vec<Arc<Generation>>,
}

/// A value that is replaced as a whole.
#[derive(Debug, Default)]
pub(super) struct Swap<T>(RwLock<Arc<T>>);

impl<T> Swap<T> {
    pub(super) fn new(value: T) -> Self {
        Self(RwLock::new(Arc::new(value)))
    }

    pub(super) fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the value unless it is this one already.
    pub(super) fn replace(&self, value: &Arc<T>) {
        if !Arc::ptr_eq(&self.get(), value) {
            *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(value);
        }
    }

    /// Replaces the value by what `f` makes of it. One at a time.
    pub(super) fn update(&self, f: impl FnOnce(&T) -> T) {
        let mut slot = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *slot = Arc::new(f(&slot));
    }
}

/// Bulk loads. Records of a load all stand at the one place of its switch-in; until that is known, their rows carry
/// [`LOAD_BASE`] + the load's number instead, and keep doing so.
#[derive(Clone, Debug, Default)]
pub(super) struct Loads {
    by_number: HashMap<u64, Load>,
    by_seq: HashMap<u64, u64>,
}

/// One load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub repo: u16,
    /// Where it was switched in; `None` while it runs.
    pub seq: Option<u64>,
}

/// Beyond every place of the log.
pub(super) const LOAD_BASE: u64 = 1 << 62;

impl Loads {
    pub(super) fn set(&mut self, number: u64, load: Load) {
        self.by_number.insert(number, load);
        if let Some(seq) = load.seq {
            self.by_seq.insert(seq, number);
        }
    }

    pub(super) fn remove(&mut self, number: u64) {
        self.by_number.remove(&number);
    }

    /// The place that a stored place means; `None` = not switched in.
    pub(super) fn place(&self, stored: u64) -> Option<u64> {
        match stored.checked_sub(LOAD_BASE) {
            None => Some(stored),
            Some(number) => self.by_number.get(&number)?.seq,
        }
    }

    /// What index rows of a version at this place carry.
    pub(super) fn stored(&self, seq: u64) -> u64 {
        self.by_seq.get(&seq).map_or(seq, |n| LOAD_BASE + n)
    }

    pub(super) fn is_load(&self, seq: u64) -> bool {
        self.by_seq.contains_key(&seq)
    }

    /// Whether a load of the repository is running.
    pub(super) fn running_in(&self, repo: u16) -> bool {
        self.by_number
            .values()
            .any(|l| l.repo == repo && l.seq.is_none())
    }

    /// Places of the finished loads of a repository, newest first.
    pub(super) fn finished_in(&self, repo: u16) -> Vec<u64> {
        let mut places: Vec<u64> = self
            .by_number
            .values()
            .filter(|l| l.repo == repo)
            .filter_map(|l| l.seq)
            .collect();
        places.sort_unstable_by(|a, b| b.cmp(a));
        places
    }

    /// The load switched in at a place.
    pub(super) fn number_at(&self, seq: u64) -> Option<u64> {
        self.by_seq.get(&seq).copied()
    }

    pub(super) fn unfinished(&self) -> Vec<u64> {
        let all = self.by_number.iter();
        all.filter(|(_, l)| l.seq.is_none())
            .map(|(n, _)| *n)
            .collect()
    }
}

/// Names given small numbers: record types, queues.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    by_name: HashMap<Arc<str>, u32>,
    by_number: HashMap<u32, Arc<str>>,
}

impl Names {
    pub(super) fn insert(&mut self, number: u32, name: &str) {
        let name: Arc<str> = name.into();
        self.by_name.insert(Arc::clone(&name), number);
        self.by_number.insert(number, name);
    }

    pub(super) fn number(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    pub(super) fn name(&self, number: u32) -> Option<&Arc<str>> {
        self.by_number.get(&number)
    }

    pub(super) fn next(&self) -> u32 {
        self.by_number.keys().max().map_or(1, |n| n + 1)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        self.by_name.iter().map(|(name, n)| (&**name, *n))
    }
}

/// Which person key leads to which.
#[derive(Clone, Debug, Default)]
pub(super) struct Aliases {
    leads_to: HashMap<u64, u64>,
    led_here: HashMap<u64, Vec<u64>>,
}

impl Aliases {
    pub(super) fn set(&mut self, from: u64, to: u64) {
        self.remove(from);
        self.leads_to.insert(from, to);
        self.led_here.entry(to).or_default().push(from);
    }

    pub(super) fn remove(&mut self, from: u64) {
        if let Some(to) = self.leads_to.remove(&from)
            && let Some(list) = self.led_here.get_mut(&to)
        {
            list.retain(|k| *k != from);
        }
    }

    /// The key in which the aliases end. The writer never makes a circle.
    pub(super) fn end(&self, mut key: u64) -> u64 {
        while let Some(next) = self.leads_to.get(&key) {
            key = *next;
        }
        key
    }

    /// The key and all keys that lead to it.
    pub(super) fn all_to(&self, key: u64) -> Vec<u64> {
        let mut all = vec![key];
        let mut at = 0;
        while let Some(k) = all.get(at).copied() {
            if let Some(from) = self.led_here.get(&k) {
                all.extend_from_slice(from);
            }
            at += 1;
        }
        all
    }
}

/// A number that grows, to wait for.
#[derive(Debug, Default)]
pub(super) struct Tide {
    level: Mutex<u64>,
    risen: Condvar,
}

impl Tide {
    pub(super) fn raise(&self, to: u64) {
        let mut level = locked(&self.level);
        if *level < to {
            *level = to;
            self.risen.notify_all();
        }
    }

    /// Blocks until the level is beyond `than`, at most until `deadline`; returns it.
    pub(super) fn wait_beyond(&self, than: u64, deadline: Instant) -> u64 {
        let mut level = locked(&self.level);
        while *level <= than {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            level = self
                .risen
                .wait_timeout(level, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        *level
    }
}

/// One sleeper that can be woken before its time.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    rung: Mutex<bool>,
    bell: Condvar,
}

impl Alarm {
    pub(super) fn ring(&self) {
        *locked(&self.rung) = true;
        self.bell.notify_all();
    }

    /// Sleeps until rung or `timeout`; true when rung. Takes the ring.
    pub(super) fn sleep(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut rung = locked(&self.rung);
        while !*rung {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            rung = self
                .bell
                .wait_timeout(rung, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        *rung = false;
        true
    }
}

/// Real time in microseconds.
pub(super) fn now_micros() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_follow_chains_and_split_again() {
        let mut a = Aliases::default();
        a.set(1, 2);
        a.set(2, 3);
        assert_eq!((a.end(1), a.end(3)), (3, 3));
        let mut all = a.all_to(3);
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3]);
        a.remove(2);
        assert_eq!((a.end(1), a.all_to(3)), (2, vec![3]));
    }
}
