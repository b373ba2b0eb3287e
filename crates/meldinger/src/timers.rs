//! Missing receipts: remarks after 24 and 48 hours, overdue after 96 (spec/messaging.md §9), and messages that expired in a queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use store::{Commit, CommitError, Direction, KeyRange, Rid, StoreError};

use crate::exchange::{Exchange, ExchangeError};
use crate::rules::queue::QueueName;
use crate::rules::track::{State, StepKind};
use crate::tracks::{param, second_key};

/// Tracks read at a time.
const BATCH: usize = 64;
/// How often reminders are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often those who wait at a queue hear of what this process did not put there: another process of the hub did, or its
/// lease of a message has ended with it.
const OTHERS_EVERY: Duration = Duration::from_secs(2);
/// Queues heard of at a time.
const OTHERS: usize = 10_000;
/// How often queues are looked through for messages that expired.
const EXPIRY_EVERY: Duration = Duration::from_secs(30);

/// The thread of the reminders. Stops when dropped.
pub struct Timers {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Timers {
    /// Starts it.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(exchange: &Exchange) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, exchange) = (stop.clone(), exchange.clone());
        let thread = std::thread::Builder::new()
            .name("meldinger-timer".to_owned())
            .spawn(move || {
                let mut expiries = Instant::now();
                let mut others = Instant::now();
                let mut old_keys = Some(Rid(0));
                while !stopped.load(Ordering::Acquire) {
                    if let Err(error) = exchange.clock_moved() {
                        tracing::error!(%error, "reminders not handled");
                    }
                    if others.elapsed() >= OTHERS_EVERY {
                        others = Instant::now();
                        if let Err(error) = exchange.ring_for_others() {
                            tracing::error!(%error, "queues not looked through");
                        }
                    }
                    if expiries.elapsed() >= EXPIRY_EVERY {
                        expiries = Instant::now();
                        if let Err(error) = exchange.note_dead_letters() {
                            tracing::error!(%error, "dead letters not looked through");
                        }
                    }
                    if let Some(after) = old_keys {
                        let renewed = exchange.inner.tracks.renew_keys(after);
                        old_keys = renewed.unwrap_or_else(|error| {
                            tracing::error!(%error, "keys of messages not made anew");
                            None
                        });
                    } else {
                        rest(&stopped);
                    }
                }
            })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

/// Until the next look, in short steps so that nobody waits long for the end.
fn rest(stopped: &AtomicBool) {
    let until = Instant::now() + LOOK_EVERY;
    while Instant::now() < until && !stopped.load(Ordering::Acquire) {
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl Drop for Timers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Exchange {
    /// Tells those who wait at a queue in which something is. Blocks.
    fn ring_for_others(&self) -> Result<(), StoreError> {
        if self.inner.signals.are_awaited() {
            let queues = self.inner.store.queues(QueueName::store_prefix(), OTHERS)?;
            let signals = &self.inner.signals;
            signals.ring_each(queues.iter().map(String::as_str));
        }
        Ok(())
    }

    /// Handles every reminder that is due on the clock of rules; call it when that clock was moved. Blocks; returns how many.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn clock_moved(&self) -> Result<usize, ExchangeError> {
        let now = self.inner.clock.now_us();
        let range = KeyRange {
            param: param::REMINDER,
            from: Vec::new(),
            to: Some(second_key(now.saturating_add(1_000_000)).to_vec()),
        };
        let (mut after, mut count) = (None, 0);
        loop {
            let found =
                self.inner
                    .tracks
                    .scan(&range, Direction::Ascending, after.as_ref(), BATCH)?;
            let is_last = found.len() < BATCH;
            for (row, stored) in found {
                // The running second holds some that are not due yet.
                if stored.track.next_reminder_us.is_some_and(|due| due <= now) {
                    self.remind(&stored.track.id)?;
                    count += 1;
                }
                after = Some(row);
            }
            if is_last {
                return Ok(count);
            }
        }
    }

    fn remind(&self, id: &str) -> Result<(), ExchangeError> {
        for _ in 0..5 {
            let mut commit = Commit::default();
            if let Some(mut stored) = self.inner.tracks.get(id)? {
                let was_overdue = stored.track.state == State::Overdue;
                if stored.track.remind(self.inner.clock.now_us()) {
                    if stored.track.state == State::Overdue && !was_overdue {
                        metrics::counter!("meldinger_overdue_total").increment(1);
                        tracing::warn!(
                            from = stored.track.from,
                            to = stored.track.to,
                            "no receipt after 96 hours"
                        );
                    }
                    let (expect, put) = self.inner.tracks.update(&stored);
                    commit.expect.push(expect);
                    commit.put.push(put);
                }
            }
            if commit == Commit::default() {
                return Ok(());
            }
            match self.inner.store.commit(commit) {
                Ok(_) => return Ok(()),
                Err(CommitError::Refused { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Tells the tracks of messages that the store itself moved to the dead letters (time to live). Blocks.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn note_dead_letters(&self) -> Result<(), ExchangeError> {
        for queue in self.inner.store.queues(QueueName::store_prefix(), 10_000)? {
            for dead in self.inner.store.dead_letters(&queue, 100)? {
                let headers: Option<crate::exchange::Headers> =
                    serde_json::from_slice(&dead.headers).ok();
                let Some(id) = headers.and_then(|headers| headers.track) else {
                    continue;
                };
                let Some(mut stored) = self.inner.tracks.get(&id)? else {
                    continue;
                };
                if stored.track.state != State::Queued {
                    continue;
                }
                let now = self.inner.clock.now_us();
                let condition = if dead.reason == "expired" {
                    "expired"
                } else {
                    "dead-letter"
                };
                stored.track.step(
                    now,
                    StepKind::DeadLetter {
                        reason: dead.reason.clone(),
                    },
                    "",
                );
                stored.track.fail(condition);
                let (expect, put) = self.inner.tracks.update(&stored);
                match self.inner.store.commit(Commit {
                    expect: vec![expect],
                    put: vec![put],
                    ..Commit::default()
                }) {
                    Ok(_) | Err(CommitError::Refused { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}
