//! Marks of one-time ids: client assertions, request objects, DPoP proofs.
//!
//! There are two or three for every token and one for every API call, each for about a minute, so they must not cost a
//! row and a sync each. Measured with SQLite on a busy disk: waiting for the (shared) commit of its marks, a token took 16 ms
//! instead of a few, and 32 connections got half as many; and a row per mark in random order is some 50 MB of writing a
//! second at 4 000 tokens/s.
//!
//! One process ([`LoggedMarks`]): the set in memory decides. What was marked is written behind, in batches in the order of
//! time, as values of a few claims, and read back at start; under load a hundred times a second at most, because each commit
//! costs as much as checking two requests. An orderly stop writes the rest ([`LoggedMarks::settle`]). A crash forgets the
//! marks of the commit under way and of the pause before it, some ten to twenty milliseconds: to use that, somebody would
//! have to have a client's assertion out of a TLS connection of just that moment, while it is valid. Values (codes, refresh
//! tokens) are never written behind.
//!
//! Several processes ([`SharedMarks`]): each mark is a claim of its own, and of two processes one gets it, also for API
//! calls (spec helseid §10.2 no. 11); the answer waits for it.

use super::{micros, unwritten};
use jose::marks::{MarkId, MarkSet, mark_id};
use jose::state::{Clock, StateError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::{Claim, Commit, CommitError, Expect, Pending, Refusal, Store, StoreError};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::oneshot;

/// Name space of batches.
const LOG: &str = "helseid/mark-log";
/// Name space of single marks.
const SINGLE: &str = "helseid/mark";
/// No mark lives longer than this after it was set: assertions 60 s and skew, proofs 60 s from a time up to 60 s ahead.
const LONGEST_S: i64 = 180;
/// Marks in one claim of the log: 20 bytes each.
const PER_CLAIM: usize = 1_000;
/// Bytes of a mark in the log: id and seconds until its expiry.
const ENTRY_BYTES: usize = 20;
/// Rest between two batches.
const PAUSE: Duration = Duration::from_millis(10);
/// Marks waiting for the disk beyond which new ones are turned away.
const MAX_WAITING: usize = 200_000;

type Mark = (MarkId, i64);

fn ids(marks: &[(String, i64)]) -> Vec<Mark> {
    marks
        .iter()
        .map(|(key, expires_s)| (mark_id(key), *expires_s))
        .collect()
}

/// Marks of the only process.
pub(super) struct LoggedMarks(Arc<Log>);

struct Log {
    store: Store,
    clock: Clock,
    seen: MarkSet,
    queue: Mutex<Queue>,
    runtime: Handle,
}

#[derive(Default)]
struct Queue {
    marks: Vec<Mark>,
    /// Who waits for a batch to be durable.
    waiting: Vec<oneshot::Sender<bool>>,
    /// A task is writing, and will look here again before it ends.
    is_running: bool,
    /// Second and number of the next claim.
    next: (i64, u32),
}

impl LoggedMarks {
    /// Reads the marks that are still live. Blocks; inside a runtime.
    pub(super) fn open(store: Store, clock: Clock, max: usize) -> Result<Self, StoreError> {
        let seen = MarkSet::new(max);
        let now_s = clock();
        let snapshot = store.snapshot()?;
        // Both ways, because the clock may have been set back meanwhile.
        for second in now_s - LONGEST_S..=now_s + LONGEST_S {
            for number in 0.. {
                let Some(value) = snapshot.claim(LOG, &log_key(second, number))? else {
                    break;
                };
                for (id, expires_s) in read_entries(second, &value) {
                    // A full set would refuse at the first request as well; it says so then.
                    let _ = seen.insert(id, expires_s, now_s);
                }
            }
        }
        Ok(Self(Arc::new(Log {
            store,
            clock,
            seen,
            queue: Mutex::default(),
            runtime: Handle::current(),
        })))
    }

    /// Does not wait for the disk.
    pub(super) fn mark_all(&self, marks: &[(String, i64)]) -> Result<Option<usize>, StateError> {
        let ids = ids(marks);
        if let Some(taken) = self.0.seen.insert_all(&ids, (self.0.clock)())? {
            return Ok(Some(taken));
        }
        if self.0.enqueue(&ids, None) {
            return Ok(None);
        }
        // The caller may come again with the same ids.
        for (id, _) in &ids {
            self.0.seen.remove(id);
        }
        Err(StateError::Full)
    }

    /// Waits until everything marked so far is durable; whether it is.
    pub(super) async fn settle(&self) -> bool {
        let (done, written) = oneshot::channel();
        self.0.enqueue(&[], Some(done)) && written.await.unwrap_or(false)
    }

    /// Does not wait for the disk.
    pub(super) fn first_use(&self, key: &str, expires_s: i64) -> Result<bool, StateError> {
        let mark = (mark_id(key), expires_s);
        if !self.0.seen.insert(mark.0, mark.1, (self.0.clock)())? {
            return Ok(false);
        }
        if self.0.enqueue(&[mark], None) {
            return Ok(true);
        }
        self.0.seen.remove(&mark.0);
        Err(StateError::Full)
    }
}

impl Log {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(self: &Arc<Self>, marks: &[Mark], waiting: Option<oneshot::Sender<bool>>) -> bool {
        let mut queue = self.queue();
        if queue.marks.len() + marks.len() > MAX_WAITING {
            return false;
        }
        queue.marks.extend_from_slice(marks);
        queue.waiting.extend(waiting);
        if !queue.is_running {
            queue.is_running = true;
            let log = Arc::clone(self);
            self.runtime.spawn(async move { log.write().await });
        }
        true
    }

    /// Writes batch after batch until nothing waits.
    async fn write(&self) {
        loop {
            let (marks, waiting, next) = {
                let mut queue = self.queue();
                if queue.marks.is_empty() && queue.waiting.is_empty() {
                    queue.is_running = false;
                    return;
                }
                let marks = std::mem::take(&mut queue.marks);
                (marks, std::mem::take(&mut queue.waiting), queue.next)
            };
            let (written, next) = self.write_batch(&marks, next).await;
            self.queue().next = next;
            for one in waiting {
                // Who waited may be gone.
                let _ = one.send(written);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whether the batch is durable, and the number of the next claim.
    async fn write_batch(&self, marks: &[Mark], next: (i64, u32)) -> (bool, (i64, u32)) {
        let now_s = (self.clock)();
        let mut number = if next.0 == now_s { next.1 } else { 0 };
        if marks.is_empty() {
            return (true, (now_s, number));
        }
        loop {
            let mut expect = Vec::new();
            let mut claims: u32 = 0;
            for chunk in marks.chunks(PER_CLAIM) {
                expect.push(Expect::Claim(Claim {
                    space: LOG.to_owned(),
                    key: log_key(now_s, number.saturating_add(claims)),
                    value: write_entries(now_s, chunk),
                    until: chunk.iter().map(|(_, expires_s)| micros(*expires_s)).max(),
                }));
                claims += 1;
            }
            let commit = Commit {
                expect,
                ..Commit::default()
            };
            match self.store.submit(commit).await {
                Ok(_) => return (true, (now_s, number.saturating_add(claims))),
                // Written in this second by a process before us.
                Err(CommitError::Refused {
                    refusal: Refusal::ClaimTaken { .. },
                    ..
                }) => number = number.saturating_add(1),
                Err(error) => {
                    tracing::error!(%error, "helseid: marks of one-time ids could not be written");
                    return (false, (now_s, number));
                }
            }
        }
    }
}

/// Sorts by time, so that writing goes to the end of the table.
fn log_key(second: i64, number: u32) -> Vec<u8> {
    [&second.to_be_bytes()[..], &number.to_be_bytes()].concat()
}

fn write_entries(second: i64, marks: &[Mark]) -> Vec<u8> {
    let mut value = Vec::with_capacity(marks.len() * ENTRY_BYTES);
    for (id, expires_s) in marks {
        let life_s = u32::try_from(expires_s - second).unwrap_or(0);
        value.extend_from_slice(id);
        value.extend_from_slice(&life_s.to_be_bytes());
    }
    value
}

fn read_entries(second: i64, value: &[u8]) -> impl Iterator<Item = Mark> + '_ {
    value.chunks_exact(ENTRY_BYTES).filter_map(move |entry| {
        let (id, life_s) = entry.split_first_chunk::<16>()?;
        let life_s = u32::from_be_bytes(life_s.try_into().ok()?);
        Some((*id, second + i64::from(life_s)))
    })
}

/// Marks that several processes share.
pub(super) struct SharedMarks {
    store: Store,
    clock: Clock,
    /// Our own, to refuse quickly.
    seen: MarkSet,
}

impl SharedMarks {
    pub(super) fn new(store: Store, clock: Clock, max: usize) -> Self {
        Self {
            store,
            clock,
            seen: MarkSet::new(max),
        }
    }

    fn submit(&self, marks: &[Mark]) -> Pending {
        let claim = |(id, expires_s): &Mark| {
            Expect::Claim(Claim {
                space: SINGLE.to_owned(),
                key: id.to_vec(),
                value: Vec::new(),
                until: Some(micros(*expires_s)),
            })
        };
        self.store.submit(Commit {
            expect: marks.iter().map(claim).collect(),
            ..Commit::default()
        })
    }

    /// What the outcome of a commit means: `Some` = the number of the mark that another process has set.
    fn judge<T>(
        &self,
        marks: &[Mark],
        outcome: Result<T, CommitError>,
    ) -> Result<Option<usize>, StateError> {
        let (taken, verdict) = match outcome {
            Ok(_) => return Ok(None),
            Err(CommitError::Refused { index, .. }) => (Some(index), Ok(Some(index))),
            Err(error) => (None, Err(unwritten(&error))),
        };
        // What is really taken stays; the others may come again.
        for (number, (id, _)) in marks.iter().enumerate() {
            if Some(number) != taken {
                self.seen.remove(id);
            }
        }
        verdict
    }

    pub(super) async fn mark_all(
        &self,
        marks: &[(String, i64)],
    ) -> Result<Option<usize>, StateError> {
        let ids = ids(marks);
        if let Some(taken) = self.seen.insert_all(&ids, (self.clock)())? {
            return Ok(Some(taken));
        }
        let outcome = self.submit(&ids).await;
        self.judge(&ids, outcome)
    }

    /// Waits for the database; other tasks of this thread go on elsewhere meanwhile.
    pub(super) fn first_use(&self, key: &str, expires_s: i64) -> Result<bool, StateError> {
        let mark = (mark_id(key), expires_s);
        if !self.seen.insert(mark.0, mark.1, (self.clock)())? {
            return Ok(false);
        }
        let pending = self.submit(&[mark]);
        let outcome = match Handle::try_current().map(|handle| handle.runtime_flavor()) {
            Ok(RuntimeFlavor::CurrentThread) => std::thread::scope(|scope| {
                let waiting = scope.spawn(|| pending.wait());
                let broken = |_| Err(CommitError::OutcomeUnknown("a wait broke off".to_owned()));
                waiting.join().unwrap_or_else(broken)
            }),
            Ok(_) => tokio::task::block_in_place(|| pending.wait()),
            Err(_) => pending.wait(),
        };
        Ok(self.judge(&[mark], outcome)?.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_they_were_written() {
        let marks = vec![([1; 16], 1_000), ([2; 16], 1_081)];
        let value = write_entries(1_000, &marks);
        assert_eq!(value.len(), 2 * ENTRY_BYTES);
        assert_eq!(read_entries(1_000, &value).collect::<Vec<_>>(), marks);
        assert_eq!(read_entries(0, &value[..19]).count(), 0);
        const { assert!(PER_CLAIM * ENTRY_BYTES <= store::MAX_CLAIM_VALUE_BYTES) };
    }

    #[test]
    fn keys_of_the_log_sort_by_time() {
        let keys = [(5, 0), (5, 1), (5, 300), (6, 0), (1_800_000_000, 0)];
        let written: Vec<Vec<u8>> = keys.iter().map(|(s, n)| log_key(*s, *n)).collect();
        let mut sorted = written.clone();
        sorted.sort();
        assert_eq!(written, sorted);
    }

    proptest::proptest! {
        #[test]
        fn damaged_entries_do_no_harm(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let read = read_entries(1_000, &bytes).count();
            proptest::prop_assert_eq!(read, bytes.len() / ENTRY_BYTES);
        }
    }
}
