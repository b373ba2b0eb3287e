//! The rules of a message service handler, as values: what answers what, when a message is sent again, what a signal says
//! about the message it is about (spec messaging §5.3).

use serde::{Deserialize, Serialize};

use crate::envelope::{AckReference, Envelope, ErrorList, Kind, Severity};
use crate::finding::{Finding, Level, heaviest};

/// How a message is answered; exactly one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Signals and faults are never answered.
    Nothing,
    /// It cannot be addressed or understood.
    Fault,
    /// Error list with errors: not accepted.
    Errors,
    /// Error list with warnings only: accepted.
    Warnings,
    /// Accepted.
    Acknowledgment,
}

impl Answer {
    /// Whether the message counts as delivered.
    #[must_use]
    pub fn accepts(self) -> bool {
        matches!(self, Self::Warnings | Self::Acknowledgment)
    }
}

/// The answer to a message with these findings. Call for payloads after decryption was tried: an acknowledgment says that it
/// succeeded.
#[must_use]
pub fn answer(kind: &Kind, findings: &[Finding]) -> Answer {
    let Kind::Payload { ack_requested, .. } = kind else {
        return Answer::Nothing;
    };
    match heaviest(findings) {
        Some(Level::Fault) => Answer::Fault,
        Some(Level::Error) => Answer::Errors,
        Some(Level::Warning) => Answer::Warnings,
        _ if ack_requested.is_none() => Answer::Warnings,
        _ => Answer::Acknowledgment,
    }
}

/// What a signal says about the message it refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged, or only warned about: no more sending, the receiver has it.
    Accepted,
    /// Refused for good: no more sending.
    Refused,
    /// An acknowledgment of something else than was sent: it does not count.
    Mismatch,
}

/// Reads a signal: the message it is about and what it says. `sent` are the references of that message's signature.
#[must_use]
pub fn outcome(signal: &Envelope, sent: &[AckReference]) -> Option<Outcome> {
    match &signal.kind {
        Kind::Acknowledgment(acknowledgment) => {
            // An acknowledgment without references only loses its weight as evidence.
            let matches = acknowledgment.references.is_empty()
                || same_references(&acknowledgment.references, sent);
            Some(if matches {
                Outcome::Accepted
            } else {
                Outcome::Mismatch
            })
        }
        Kind::Error(list) => Some(of_list(list)),
        Kind::Payload { .. } | Kind::Service(_) => None,
    }
}

fn of_list(list: &ErrorList) -> Outcome {
    match list.highest {
        Severity::Warning => Outcome::Accepted,
        Severity::Error => Outcome::Refused,
    }
}

/// The message a signal is about.
#[must_use]
pub fn about(signal: &Envelope) -> Option<&str> {
    match &signal.kind {
        Kind::Acknowledgment(acknowledgment) => Some(acknowledgment.ref_to_message_id.as_str()),
        Kind::Error(_) => signal.header.ref_to_message_id.as_deref(),
        Kind::Payload { .. } | Kind::Service(_) => None,
    }
    .filter(|id| !id.is_empty())
}

/// Whether two sets of references name the same content, in any order.
#[must_use]
pub fn same_references(one: &[AckReference], other: &[AckReference]) -> bool {
    let key = |reference: &AckReference| (reference.uri.clone(), reference.digest.clone());
    let mut one: Vec<_> = one.iter().map(key).collect();
    let mut other: Vec<_> = other.iter().map(key).collect();
    one.sort();
    other.sort();
    one == other
}

/// How often and when an unacknowledged message is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reliability {
    /// Times it is sent again.
    pub retries: u32,
    /// Seconds between two sendings.
    pub interval_s: u32,
    /// Seconds after the first sending at which it has failed.
    pub give_up_s: u32,
}

impl Default for Reliability {
    /// HIS 1037 and the national message service: 5 times, every 12 hours, given up after 72.
    fn default() -> Self {
        Self {
            retries: 5,
            interval_s: 12 * 3_600,
            give_up_s: 72 * 3_600,
        }
    }
}

/// What to do with a message that is not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing before this moment, microseconds since 1970.
    Wait {
        /// The moment.
        until_us: i64,
    },
    /// Send it again now.
    Resend,
    /// It has failed.
    GiveUp,
}

impl Reliability {
    /// What to do `now` with a message first sent at `first_us` and sent again `resent` times since. After a standstill
    /// the missed sendings are not made up for: the next one is due one interval after the last that was made.
    #[must_use]
    pub fn next(&self, first_us: i64, last_us: i64, resent: u32, now_us: i64) -> Next {
        let give_up_us = first_us.saturating_add(i64::from(self.give_up_s) * 1_000_000);
        if now_us >= give_up_us {
            return Next::GiveUp;
        }
        if resent >= self.retries {
            return Next::Wait {
                until_us: give_up_us,
            };
        }
        let due_us = last_us.saturating_add(i64::from(self.interval_s) * 1_000_000);
        if now_us >= due_us {
            return Next::Resend;
        }
        Next::Wait {
            until_us: due_us.min(give_up_us),
        }
    }
}

/// How a message relates to one with the same id that was seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repetition {
    /// The same: not delivered again, answered the same way again.
    Same,
    /// Another content under the same id: somebody has to look.
    False,
}

/// Compares the references of two messages with the same id.
#[must_use]
pub fn repetition(before: &[AckReference], now: &[AckReference]) -> Repetition {
    if same_references(before, now) {
        Repetition::Same
    } else {
        Repetition::False
    }
}

#[cfg(test)]
mod tests;
