//! Missing receipts: remarks after 24 and 48 hours, overdue after 96 (spec/messaging.md §9), and messages that expired in a queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use store::{Commit, CommitError, Direction, KeyRange, Rid, Settle, Settlement as End, StoreError};

use crate::exchange::{Exchange, ExchangeError, TIMER_QUEUE};
use crate::rules::queue::QueueName;
use crate::rules::track::{State, StepKind};
use crate::tracks::{param, time_key};

const LOCK_MS: u64 = 30_000;
const BATCH: usize = 64;
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
                    let rung = exchange.ring_reminders().unwrap_or_else(|error| {
                        tracing::error!(%error, "reminders not handled");
                        0
                    });
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
                    } else if rung == 0 {
                        exchange
                            .inner
                            .store
                            .wait_queue(&[TIMER_QUEUE.to_owned()], Duration::from_secs(1));
                    }
                }
            })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
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

    /// Handles the reminders whose rows are due. Blocks; returns how many.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn ring_reminders(&self) -> Result<usize, ExchangeError> {
        let due = self.inner.store.lease(TIMER_QUEUE, BATCH, LOCK_MS)?;
        let count = due.len();
        for leased in due {
            let settle = Settle {
                id: leased.id,
                token: leased.token,
                outcome: End::Done,
            };
            let id = String::from_utf8_lossy(&leased.headers).into_owned();
            self.remind(&id, Some(settle))?;
        }
        Ok(count)
    }

    /// Handles every reminder that is due on the clock of rules; call it when that clock was moved. Blocks; returns how many.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn clock_moved(&self) -> Result<usize, ExchangeError> {
        let mut count = 0;
        loop {
            let range = KeyRange {
                param: param::REMINDER,
                from: Vec::new(),
                to: Some(time_key(self.inner.clock.now_us()).to_vec()),
            };
            let due = self
                .inner
                .tracks
                .scan(&range, Direction::Ascending, None, BATCH)?;
            if due.is_empty() {
                return Ok(count);
            }
            for (_, stored) in due {
                self.remind(&stored.track.id, None)?;
                count += 1;
            }
        }
    }

    fn remind(&self, id: &str, settle: Option<Settle>) -> Result<(), ExchangeError> {
        for _ in 0..5 {
            let mut commit = Commit {
                settle: settle.clone().into_iter().collect(),
                ..Commit::default()
            };
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
                    commit.enqueue.extend(self.reminder(&stored.track));
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
