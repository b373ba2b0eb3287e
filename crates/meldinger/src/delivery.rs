//! Handing messages out and ending their leases, as receivers on the wire say.

use std::sync::{Arc, PoisonError};

use amqp::port::{Delivery, Lease, Message, Settlement};
use store::{
    Commit, CommitError, Committed, Leased, QueueMessageId, Refusal, Settle, Settlement as End,
    StoreError,
};

use crate::counter::Told;
use crate::exchange::{ATTEMPTS, Exchange, ExchangeError, Headers};
use crate::rules::envelope::APPREC;
use crate::rules::queue::QueueName;
use crate::rules::track::{MAX_FAILED_DELIVERIES, StepKind, Track};

/// Whether nothing more can be done about a settlement: it is stored, or never will be. Otherwise somebody changed the track
/// meanwhile.
fn is_over(ended: Result<Committed, ExchangeError>) -> bool {
    match ended {
        Ok(_) => {}
        Err(ExchangeError::Commit(CommitError::Refused {
            refusal: Refusal::LeaseLost,
            ..
        })) => {
            tracing::warn!(
                "a lock was lost before the receiver settled; the message will be delivered again"
            );
        }
        Err(ExchangeError::Commit(CommitError::Refused { .. })) => return false,
        Err(error) => {
            tracing::error!(%error, "settlement not stored; the message will be delivered again");
        }
    }
    true
}

/// A delivery in a receiver's hands.
#[derive(Clone)]
pub(crate) struct InHand {
    token: u64,
    /// Its name in the store.
    queue: String,
    track: Option<String>,
    delivered_at_us: i64,
    attempt: u32,
}

impl Exchange {
    /// Leases messages for a receiver. Blocks.
    pub(crate) fn lease(&self, queue: &QueueName, limit: usize) -> Vec<Delivery> {
        self.lease_row(&queue.store_name(), limit)
    }

    /// The same by the queue's name in the store.
    pub(crate) fn lease_row(&self, queue: &str, limit: usize) -> Vec<Delivery> {
        let leased = match self
            .inner
            .store
            .lease(queue, limit, self.inner.config.lock_ms)
        {
            Ok(leased) => leased,
            Err(error) => {
                tracing::error!(%error, "queue not readable");
                return Vec::new();
            }
        };
        leased
            .into_iter()
            .filter_map(|leased| self.delivery(queue, leased))
            .collect()
    }

    fn delivery(&self, queue: &str, leased: Leased) -> Option<Delivery> {
        let (headers, mut message) = self.unpack(&leased)?;
        let failed = if leased.deliveries > 1 {
            self.failed_deliveries(headers.as_deref())
        } else {
            0
        };
        message.header.delivery_count = failed;
        message.header.first_acquirer = leased.deliveries == 1;
        let in_hand = InHand {
            token: leased.token,
            queue: queue.to_owned(),
            track: headers,
            delivered_at_us: self.inner.clock.now_us(),
            attempt: leased.deliveries,
        };
        self.inner
            .in_hand
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(leased.id.0, in_hand);
        Some(Delivery {
            lease: Lease {
                id: leased.id.0,
                token: leased.token,
            },
            message,
        })
    }

    fn failed_deliveries(&self, track: Option<&str>) -> u32 {
        let stored = track.and_then(|id| self.inner.tracks.get(id).ok().flatten());
        stored.map_or(0, |stored| stored.track.failed_deliveries)
    }

    /// Track id and message of a queue row; a row that cannot be read goes to the dead letters.
    pub(crate) fn unpack(&self, leased: &Leased) -> Option<(Option<String>, Message)> {
        let unpacked = serde_json::from_slice::<Headers>(&leased.headers)
            .ok()
            .and_then(|headers| {
                let body = match &headers.blob {
                    None => leased.body.clone(),
                    Some(hash) => self
                        .inner
                        .store
                        .blob(&crate::tracks::blob_hash(hash)?)
                        .ok()
                        .flatten()?,
                };
                Some((
                    headers.track,
                    Message {
                        body,
                        ..headers.message
                    },
                ))
            });
        if unpacked.is_none() {
            tracing::error!(queue = %leased.queue, "a queue row could not be read");
            let outcome = End::DeadLetter {
                reason: "unreadable row".to_owned(),
            };
            let settle = vec![Settle {
                id: leased.id,
                token: leased.token,
                outcome,
            }];
            let _ = self.inner.store.commit(Commit {
                settle,
                ..Commit::default()
            });
        }
        unpacked
    }

    /// Keeps leases alive. Blocks.
    pub(crate) fn renew(&self, leases: &[Lease]) {
        for lease in leases {
            let renewed = self.inner.store.renew(
                QueueMessageId(lease.id),
                lease.token,
                self.inner.config.lock_ms,
            );
            if !matches!(renewed, Ok(true)) {
                tracing::warn!("a lock could not be renewed");
            }
        }
    }

    /// Ends a lease as the receiver said. Blocks.
    pub(crate) fn settle(&self, lease: Lease, settlement: &Settlement) {
        let Some(in_hand) = self.put_down(lease) else {
            return;
        };
        for _ in 0..ATTEMPTS {
            let ended = self
                .plan_settle(lease, settlement, &in_hand)
                .map_err(ExchangeError::from)
                .and_then(|(commit, _)| Ok(self.inner.store.commit(commit)?));
            if is_over(ended) {
                break;
            }
        }
        self.ring_again(&in_hand, settlement);
    }

    /// The same without a thread that waits for the disk.
    pub(crate) async fn settle_soon(&self, lease: Lease, settlement: Settlement) {
        let Some(in_hand) = self.put_down(lease) else {
            return;
        };
        let asked = Arc::new((in_hand, settlement));
        for _ in 0..ATTEMPTS {
            let (exchange, about) = (self.clone(), asked.clone());
            let plan = move || exchange.plan_settle(lease, &about.1, &about.0);
            let ended = match self.inner.hands.ask_briefly(plan).await {
                Some(Ok((commit, told))) => {
                    let ended = self.inner.store.submit(commit).await;
                    if let (Ok(Committed { puts, .. }), Some(told)) = (&ended, told)
                        && let Some(put) = puts.last()
                    {
                        self.inner.just_told.put(put.seq, told);
                    }
                    ended.map_err(Into::into)
                }
                Some(Err(error)) => Err(error.into()),
                None => Err(ExchangeError::Interrupted),
            };
            if is_over(ended) {
                break;
            }
        }
        self.ring_again(&asked.0, &asked.1);
    }

    fn put_down(&self, lease: Lease) -> Option<InHand> {
        let mut all = self
            .inner
            .in_hand
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match all.get(&lease.id) {
            Some(in_hand) if in_hand.token == lease.token => all.remove(&lease.id),
            _ => None,
        }
    }

    /// A message that went back to its queue is there for others.
    fn ring_again(&self, in_hand: &InHand, settlement: &Settlement) {
        if !matches!(settlement, Settlement::Accepted) {
            self.inner.signals.ring(&in_hand.queue);
        }
    }

    /// The end of a lease with what its track learns from it, in the last put of the commit, and what the counter is told of that.
    fn plan_settle(
        &self,
        lease: Lease,
        settlement: &Settlement,
        in_hand: &InHand,
    ) -> Result<(Commit, Option<Told>), StoreError> {
        let now = self.inner.clock.now_us();
        let mut commit = Commit::default();
        let mut told = None;
        let mut outcome = match settlement {
            Settlement::Accepted => End::Done,
            Settlement::Rejected { .. } => End::DeadLetter {
                reason: "rejected by the receiver".to_owned(),
            },
            Settlement::Released | Settlement::Modified { .. } | Settlement::Lost => {
                End::Release { due_at: None }
            }
        };
        // A second attempt finds nothing there and reads what somebody else has written.
        let stored = match in_hand.track.as_deref() {
            Some(id) => match self.inner.recent.take(id) {
                Some(stored) => Some(stored),
                None => self.inner.tracks.get(id)?,
            },
            None => None,
        };
        if let Some(mut stored) = stored {
            let track = &mut stored.track;
            match settlement {
                Settlement::Accepted => {
                    track.fetched(now, in_hand.delivered_at_us, in_hand.attempt);
                    self.receipt_fetched(track, now, &mut commit)?;
                }
                Settlement::Rejected { condition, .. } => {
                    let condition = condition
                        .as_deref()
                        .map(|text| text.chars().take(60).collect());
                    track.step(
                        in_hand.delivered_at_us,
                        StepKind::Delivered {
                            attempt: in_hand.attempt,
                        },
                        "",
                    );
                    track.step(now, StepKind::RejectedByReceiver { condition }, "");
                    track.step(
                        now,
                        StepKind::DeadLetter {
                            reason: "rejected by the receiver".to_owned(),
                        },
                        "",
                    );
                    track.fail("dead-letter");
                }
                Settlement::Released | Settlement::Modified { .. } | Settlement::Lost => {
                    let (how, failed) = match settlement {
                        Settlement::Modified {
                            delivery_failed, ..
                        } => ("modified", *delivery_failed),
                        Settlement::Lost => ("lost", true),
                        _ => ("released", false),
                    };
                    track.step(
                        in_hand.delivered_at_us,
                        StepKind::Delivered {
                            attempt: in_hand.attempt,
                        },
                        "",
                    );
                    track.step(
                        now,
                        StepKind::GivenBack {
                            how: how.to_owned(),
                            failed,
                        },
                        "",
                    );
                    track.failed_deliveries += u32::from(failed);
                    if track.failed_deliveries >= MAX_FAILED_DELIVERIES {
                        let reason = format!("{MAX_FAILED_DELIVERIES} failed deliveries");
                        track.step(
                            now,
                            StepKind::DeadLetter {
                                reason: reason.clone(),
                            },
                            "",
                        );
                        track.fail("dead-letter");
                        outcome = End::DeadLetter { reason };
                    }
                }
            }
            told = Some(Told::from(&stored.track));
            let (expect, put) = self.inner.tracks.update(&stored);
            commit.expect.push(expect);
            commit.put.push(put);
        }
        commit.settle.push(Settle {
            id: QueueMessageId(lease.id),
            token: lease.token,
            outcome,
        });
        Ok((commit, told))
    }

    /// The sender of a message has fetched its receipt.
    pub(crate) fn receipt_fetched(
        &self,
        track: &Track,
        now: i64,
        commit: &mut Commit,
    ) -> Result<(), StoreError> {
        let about = (track.subject == APPREC)
            .then_some(track.about.as_deref())
            .flatten();
        let Some(mut original) = about
            .map(|id| self.inner.tracks.get(id))
            .transpose()?
            .flatten()
        else {
            return Ok(());
        };
        original.track.receipt_fetched(now);
        let (expect, put) = self.inner.tracks.update(&original);
        commit.expect.push(expect);
        commit.put.push(put);
        Ok(())
    }
}
