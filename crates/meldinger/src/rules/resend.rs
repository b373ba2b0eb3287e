//! The same MsgId again: what the identifier rules say (spec/messaging.md §4.5 "identifier rules on resend", §2 rules 3 and 8).
//!
//! | Before | AMQP message-id | MsgId |
//! |---|---|---|
//! | not accepted by the broker | same | same |
//! | came back on the error queue, or was never delivered | new | same |
//! | negative AppRec, corrected | new | new |

use serde::{Deserialize, Serialize};

use super::machine::Stage;

/// What a message is that carries a MsgId of before, from the same sender to the same receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resend {
    /// It takes the place of one that failed or was never answered: right.
    Replaces,
    /// The one before is still on its way, or was taken: the receiver keeps one of them and answers once.
    Repeats,
    /// The one before was rejected: a correction needs a new MsgId. The receiver will take it for the old one.
    NeedsNewId,
}

/// By where the one before is.
#[must_use]
pub fn judge(before: Stage) -> Resend {
    match before {
        Stage::Failed | Stage::Overdue => Resend::Replaces,
        Stage::Rejected => Resend::NeedsNewId,
        Stage::Queued
        | Stage::Collected
        | Stage::Acknowledged
        | Stage::ReceiptSealed
        | Stage::Accepted
        | Stage::AcceptedWithRemarks
        | Stage::Done
        | Stage::Dropped => Resend::Repeats,
    }
}

/// Failures after which the hub itself may put a message back, unchanged: it was never taken, and its ids stay.
pub const PUT_BACK: [&str; 3] = ["dead-letter", "no-acknowledgment", "not-sent"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::machine::{Event, next};

    #[test]
    fn only_what_nobody_has_is_replaced() {
        for stage in Stage::ALL {
            let judged = judge(stage);
            // What is replaced can be put aside in the life cycle.
            if judged == Resend::Replaces {
                assert_eq!(next(stage, Event::Noted), Some(Stage::Dropped), "{stage:?}");
            }
            assert_eq!(judged == Resend::NeedsNewId, stage == Stage::Rejected);
        }
    }
}
