//! What the hub's own message handler sends for others: taken one at a time, sent, resent on the ladder, given up.

use bytes::Bytes;
use store::{Commit, CommitError, Direction, KeyRange};

use super::submit::Relay;
use crate::exchange::{ATTEMPTS, Exchange, ExchangeError};
use crate::rules::track::{StepKind, Track};
use crate::tracks::{Stored, hex, param, time_key};

/// How long an attempt is somebody's alone, on the clock of rules. After a crash another one takes over.
const HOLD_US: i64 = 120_000_000;

/// When to send again, and when to stop (spec/messaging.md §5.3). The CPA's choices, or the sector's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ladder {
    /// Between two attempts, microseconds.
    pub interval_us: i64,
    /// Attempts after the first.
    pub retries: u32,
    /// Without acknowledgment so long after the first attempt it is given up, microseconds.
    pub give_up_us: i64,
}

impl Default for Ladder {
    /// Every 12 hours, five times, given up after 72 hours.
    fn default() -> Self {
        const HOUR_US: i64 = 3_600_000_000;
        Self {
            interval_us: 12 * HOUR_US,
            retries: 5,
            give_up_us: 72 * HOUR_US,
        }
    }
}

impl Ladder {
    /// When to look again after attempt number `attempt` (from 1), made at `now_us`; the first was made at `first_us`. Beyond the last attempt that is
    /// when it is given up.
    #[must_use]
    pub fn next(&self, first_us: i64, attempt: u32, now_us: i64) -> i64 {
        let end = first_us.saturating_add(self.give_up_us.max(0));
        if attempt > self.retries {
            return end.max(now_us);
        }
        now_us.saturating_add(self.interval_us.max(1)).min(end)
    }
}

/// A message to send now. It is the caller's for two minutes.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The message: parties, function, agreement, thread, details; `about` names the message that a receipt answers.
    pub track: Track,
    /// The document.
    pub document: Bytes,
    /// What was sent the first time: a resend is identical.
    pub prepared: Option<Bytes>,
    /// Which attempt this is, from 1.
    pub attempt: u32,
}

impl Exchange {
    /// What the message handler has to send now, at most `limit`; the caller holds each for two minutes. What has waited for its acknowledgment until
    /// the end of the ladder is given up on the way. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn outgoing_due(&self, limit: usize) -> Result<Vec<Outgoing>, ExchangeError> {
        let now = self.inner.clock.now_us();
        let range = KeyRange {
            param: param::OUTGOING,
            from: Vec::new(),
            to: Some(time_key(now.saturating_add(1)).to_vec()),
        };
        let due =
            self.inner
                .tracks
                .scan(&range, Direction::Ascending, None, limit.clamp(1, 500))?;
        let mut out = Vec::new();
        for (_, mut stored) in due {
            let track = &mut stored.track;
            let is_over = track.give_up_us.is_some_and(|end| end <= now);
            if is_over {
                track.undeliverable(now, "no-acknowledgment");
            } else {
                track.next_attempt_us = Some(now + HOLD_US);
            }
            if !self.write(&stored)? || is_over {
                continue;
            }
            let track = stored.track;
            let Some(document) = self.document(&track)? else {
                self.outgoing_given_up(&track.id, "the document is gone")?;
                continue;
            };
            let prepared = match track.prepared.as_deref() {
                Some(hash) => self.blob_of(hash)?,
                None => None,
            };
            out.push(Outgoing {
                attempt: track.attempts + 1,
                document,
                prepared,
                track,
            });
        }
        Ok(out)
    }

    /// The attempt was made. `prepared` is what went out, kept so that a resend is identical; `transport_id` its eb:MessageId; `relay` puts it into
    /// a mailbox of the hub in the same commit. The next attempt is set by the ladder. False when somebody else has gone on with it meanwhile
    /// (nothing was written, nothing may go out). Blocks.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn outgoing_sent(
        &self,
        outgoing: &Outgoing,
        transport_id: &str,
        prepared: &Bytes,
        relay: Option<&Relay>,
        ladder: &Ladder,
    ) -> Result<bool, ExchangeError> {
        for _ in 0..ATTEMPTS {
            let Some(mut stored) = self.inner.tracks.get(&outgoing.track.id)? else {
                return Ok(false);
            };
            let now = self.inner.clock.now_us();
            let track = &mut stored.track;
            if track.attempts + 1 != outgoing.attempt || track.next_attempt_us.is_none() {
                return Ok(false);
            }
            let mut commit = Commit::default();
            let hash = self.keep_bytes(prepared, &mut commit)?;
            let first = track.first_attempt_us.unwrap_or(now);
            track.message_id = transport_id.chars().take(200).collect();
            track.prepared = Some(hex(&hash));
            track.first_attempt_us = Some(first);
            track.give_up_us = Some(first.saturating_add(ladder.give_up_us.max(0)));
            track.attempts = outgoing.attempt;
            track.next_attempt_us = Some(ladder.next(first, outgoing.attempt, now));
            track.sent_out(now, outgoing.attempt);
            let mut rings = Vec::new();
            if let Some(relay) = relay {
                let (queue, enqueue, blob) = self.mail(None, relay)?;
                rings.push(queue);
                commit.enqueue.push(enqueue);
                if blob.is_some_and(|blob| blob != hash) {
                    return Err(store::StoreError::Invalid(
                        "large mail must be what was prepared".to_owned(),
                    )
                    .into());
                }
            }
            let (expect, put) = self.inner.tracks.update(&stored);
            commit.expect.push(expect);
            commit.put.push(put);
            match self.inner.store.commit(commit) {
                Ok(_) => {
                    rings
                        .iter()
                        .for_each(|queue| self.inner.signals.ring(queue));
                    return Ok(true);
                }
                Err(CommitError::Refused { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ExchangeError::Interrupted)
    }

    /// It cannot be sent (no address, no certificate). A human is asked for. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn outgoing_given_up(&self, track: &str, why: &str) -> Result<(), ExchangeError> {
        for _ in 0..ATTEMPTS {
            let Some(mut stored) = self.inner.tracks.get(track)? else {
                return Ok(());
            };
            let now = self.inner.clock.now_us();
            let text = why.chars().take(200).collect();
            stored.track.step(now, StepKind::Note { text }, "");
            stored.track.undeliverable(now, "not-sent");
            if self.write(&stored)? {
                return Ok(());
            }
        }
        Err(ExchangeError::Interrupted)
    }

    /// Writes a track alone; false when it was changed meanwhile.
    fn write(&self, stored: &Stored) -> Result<bool, ExchangeError> {
        let (expect, put) = self.inner.tracks.update(stored);
        let commit = Commit {
            expect: vec![expect],
            put: vec![put],
            ..Commit::default()
        };
        match self.inner.store.commit(commit) {
            Ok(_) => Ok(true),
            Err(CommitError::Refused { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR_US: i64 = 3_600_000_000;

    #[test]
    fn every_twelve_hours_five_times_and_no_more_after_three_days() {
        let ladder = Ladder::default();
        let (mut now, mut looks) = (0, Vec::new());
        for attempt in 1..=6 {
            now = ladder.next(0, attempt, now);
            looks.push(now / HOUR_US);
        }
        assert_eq!(looks, [12, 24, 36, 48, 60, 72]);
        // A late attempt does not move the end.
        assert_eq!(ladder.next(0, 2, 70 * HOUR_US), 72 * HOUR_US);
    }

    proptest! {
        #[test]
        fn a_ladder_goes_forward_and_ends(interval in 1..i64::from(u32::MAX), retries in 0u32..40, give_up in 0..i64::from(u32::MAX), first in 0i64..1 << 50) {
            let ladder = Ladder { interval_us: interval, retries, give_up_us: give_up };
            let mut now = first;
            for attempt in 1..=retries + 1 {
                let next = ladder.next(first, attempt, now);
                prop_assert!(next >= now && next <= first + give_up.max(0));
                now = next;
            }
            prop_assert_eq!(now, first + give_up);
        }
    }
}
