//! The life cycle of a message as one table: what can happen to it, where, and where that leads (spec/messaging.md §9).
//!
//! ```text
//! received ─ checks ─> queued ─> collected ─> acknowledged ─> accepted | accepted with remarks | rejected
//!                        │           │              └ receipt sealed (between others: the hub sees that it came, not what it says)
//!                        │           └ 96 h ─> overdue ─ late receipt ─> as above
//!                        └ no way on ─> failed ─ put back ─> queued; a late acknowledgment or receipt clears it
//! ```
//!
//! What is not in the table changes nothing: it is a step in the history and no more.

/// Where a message is, without the words that go with it ([`super::track::State`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// In the receiver's queue, mailbox or box, or on its way there.
    Queued,
    /// With the receiver.
    Collected,
    /// The receiver's message handler has said so.
    Acknowledged,
    /// A receipt was fetched by the sender; only the sender can read it.
    ReceiptSealed,
    /// Receipt: accepted.
    Accepted,
    /// Receipt: accepted in part.
    AcceptedWithRemarks,
    /// Receipt: rejected.
    Rejected,
    /// No receipt within 96 hours.
    Overdue,
    /// Could not be delivered.
    Failed,
    /// Nothing more is expected.
    Done,
    /// Taken note of and dropped.
    Dropped,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 11] = [
        Self::Queued,
        Self::Collected,
        Self::Acknowledged,
        Self::ReceiptSealed,
        Self::Accepted,
        Self::AcceptedWithRemarks,
        Self::Rejected,
        Self::Overdue,
        Self::Failed,
        Self::Done,
        Self::Dropped,
    ];

    /// Nothing leads out of it.
    #[must_use]
    pub fn is_final(self) -> bool {
        !TABLE.iter().any(|(from, ..)| from.contains(&self))
    }

    /// A receipt would still tell something.
    #[must_use]
    pub fn awaits_receipt(self) -> bool {
        matches!(
            self,
            Self::Queued | Self::Collected | Self::Acknowledged | Self::Overdue
        )
    }
}

/// What happens to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// The receiver took it, or the hub's message handler sent it.
    Fetched {
        /// A receipt is awaited.
        awaits: bool,
    },
    /// The receiver's message handler acknowledged it.
    Acknowledged {
        /// A receipt is awaited.
        awaits: bool,
    },
    /// A check refused it, the receiver's transport did, or an error message came about it.
    Refused,
    /// Nobody tries any more: dead letter, expired, resends used up.
    Undeliverable,
    /// A receipt that can be read: accepted.
    ReceiptOk,
    /// A receipt that can be read: accepted in part.
    ReceiptInPart,
    /// A receipt that can be read: rejected.
    ReceiptRejects,
    /// The sender fetched a receipt that only it can read.
    SealedReceiptFetched,
    /// 96 hours have passed.
    HoursUp,
    /// An operator, or its sender, put it back.
    PutBack,
    /// Taken note of: a duplicate, or replaced by a resend.
    Noted,
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 13] = [
        Self::Fetched { awaits: true },
        Self::Fetched { awaits: false },
        Self::Acknowledged { awaits: true },
        Self::Acknowledged { awaits: false },
        Self::Refused,
        Self::Undeliverable,
        Self::ReceiptOk,
        Self::ReceiptInPart,
        Self::ReceiptRejects,
        Self::SealedReceiptFetched,
        Self::HoursUp,
        Self::PutBack,
        Self::Noted,
    ];
}

use Stage::{
    Accepted, AcceptedWithRemarks, Acknowledged, Collected, Done, Dropped, Failed, Overdue, Queued,
    ReceiptSealed, Rejected,
};

/// Stages in which the message is under way.
const UNDER_WAY: &[Stage] = &[Queued, Collected, Acknowledged, Overdue];
/// Stages that a receipt decides. A failed message may have arrived after all.
const UNDECIDED: &[Stage] = &[
    Queued,
    Collected,
    Acknowledged,
    Overdue,
    ReceiptSealed,
    Failed,
];

/// From these stages, this event leads there. The first receipt that can be read is final (spec/messaging.md §2 rule 1).
pub const TABLE: &[(&[Stage], Event, Stage)] = &[
    (&[Queued], Event::Fetched { awaits: true }, Collected),
    // Overdue without a receipt being asked for: the hub's own receiver handled it late.
    (&[Queued, Overdue], Event::Fetched { awaits: false }, Done),
    (
        &[Queued, Collected, Failed],
        Event::Acknowledged { awaits: true },
        Acknowledged,
    ),
    (
        &[Queued, Collected, Failed],
        Event::Acknowledged { awaits: false },
        Done,
    ),
    (UNDER_WAY, Event::Refused, Failed),
    (&[ReceiptSealed], Event::Refused, Failed),
    (&[Queued, Collected, Overdue], Event::Undeliverable, Failed),
    (UNDECIDED, Event::ReceiptOk, Accepted),
    (UNDECIDED, Event::ReceiptInPart, AcceptedWithRemarks),
    (UNDECIDED, Event::ReceiptRejects, Rejected),
    (UNDER_WAY, Event::SealedReceiptFetched, ReceiptSealed),
    (&[Queued, Collected, Acknowledged], Event::HoursUp, Overdue),
    (&[Failed], Event::PutBack, Queued),
    (&[Queued, Overdue, Failed], Event::Noted, Dropped),
];

/// Where the event leads, if anywhere.
#[must_use]
pub fn next(stage: Stage, event: Event) -> Option<Stage> {
    TABLE
        .iter()
        .find(|(from, on, _)| *on == event && from.contains(&stage))
        .map(|(_, _, to)| *to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn reached(from: Stage) -> BTreeSet<Stage> {
        let mut seen = BTreeSet::from([from]);
        loop {
            let more: Vec<Stage> = seen
                .iter()
                .flat_map(|stage| Event::ALL.map(|event| next(*stage, event)))
                .flatten()
                .filter(|stage| !seen.contains(stage))
                .collect();
            if more.is_empty() {
                return seen;
            }
            seen.extend(more);
        }
    }

    #[test]
    fn the_table_says_one_thing_about_each_case() {
        for stage in Stage::ALL {
            for event in Event::ALL {
                let rows = TABLE
                    .iter()
                    .filter(|(from, on, _)| *on == event && from.contains(&stage));
                assert!(rows.count() <= 1, "{stage:?} {event:?}");
            }
        }
        for event in Event::ALL {
            assert!(
                TABLE.iter().any(|(_, on, _)| *on == event),
                "{event:?} means nothing"
            );
        }
    }

    #[test]
    fn every_stage_is_reached_and_every_way_ends() {
        assert_eq!(reached(Queued), BTreeSet::from(Stage::ALL));
        let last: BTreeSet<Stage> = Stage::ALL
            .into_iter()
            .filter(|stage| stage.is_final())
            .collect();
        assert_eq!(
            last,
            BTreeSet::from([Accepted, AcceptedWithRemarks, Rejected, Done, Dropped])
        );
        for stage in Stage::ALL {
            assert!(
                reached(stage).iter().any(|stage| stage.is_final()),
                "{stage:?} never ends"
            );
        }
    }

    #[test]
    fn what_awaits_a_receipt_can_get_one_or_be_missed() {
        for stage in Stage::ALL
            .into_iter()
            .filter(|stage| stage.awaits_receipt())
        {
            assert_eq!(next(stage, Event::ReceiptOk), Some(Accepted));
            assert_eq!(next(stage, Event::ReceiptRejects), Some(Rejected));
            assert_eq!(
                next(stage, Event::SealedReceiptFetched),
                Some(ReceiptSealed)
            );
            let missed = next(stage, Event::HoursUp).unwrap_or(stage);
            assert_eq!(missed, Overdue);
        }
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        proptest::collection::vec(proptest::sample::select(Event::ALL.to_vec()), 0..40)
    }

    proptest! {
        #[test]
        fn an_end_is_an_end(events in events()) {
            let mut stage = Queued;
            let mut ended = None;
            for event in events {
                stage = next(stage, event).unwrap_or(stage);
                if let Some(end) = ended {
                    prop_assert_eq!(stage, end);
                }
                if stage.is_final() {
                    ended = Some(stage);
                }
            }
        }

        #[test]
        fn green_is_never_guessed(events in events()) {
            let mut stage = Queued;
            let mut said_ok = false;
            for event in events {
                said_ok |= event == Event::ReceiptOk;
                stage = next(stage, event).unwrap_or(stage);
                prop_assert!(stage != Accepted || said_ok);
            }
        }

        #[test]
        fn what_waits_is_not_forgotten(events in events()) {
            // Whatever happened, a message whose receipt is still awaited turns red when the hours are up.
            let stage = events.into_iter().fold(Queued, |stage, event| next(stage, event).unwrap_or(stage));
            if stage.awaits_receipt() {
                prop_assert_eq!(next(stage, Event::HoursUp).unwrap_or(stage), Overdue);
            }
        }
    }
}
