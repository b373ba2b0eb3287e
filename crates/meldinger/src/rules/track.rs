//! Where a message is: its states, its history, and which step leads where (spec/messaging.md §9, spec/portals.md §6).
//!
//! The states are honest: what the hub cannot know (the content of a receipt between two other parties) it does not claim.

use serde::{Deserialize, Serialize};

/// Hours after which a missing receipt is remarked on, is yellow, and is red (spec/messaging.md §9).
pub const RECEIPT_HOURS: [u32; 3] = [24, 48, 96];
/// Failed deliveries before a message becomes a dead letter (spec/messaging.md §4.5).
pub const MAX_FAILED_DELIVERIES: u32 = 10;
/// Longest history kept; a message that is given back again and again keeps its first and last steps.
const MAX_STEPS: usize = 60;

/// Where a message is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum State {
    /// In the receiver's queue.
    Queued,
    /// Fetched by the receiver; a receipt is expected.
    Collected,
    /// A receipt was fetched by the sender; its content is encrypted.
    ReceiptSealed,
    /// Receipt: accepted.
    Accepted,
    /// Receipt: accepted, with remarks.
    AcceptedWithRemarks {
        /// Codes of list 8221.
        codes: Vec<String>,
    },
    /// Receipt: rejected.
    Rejected {
        /// Codes of list 8221.
        codes: Vec<String>,
    },
    /// No receipt within 96 hours. A late one clears it.
    Overdue,
    /// Could not be delivered: refused by a check, answered on the error queue, dead letter, or expired.
    Failed {
        /// Error condition, such as `transport:unsupported-message` or `dead-letter`.
        condition: String,
    },
    /// Fetched or handled, and nothing more is expected.
    Done,
    /// Taken note of and dropped, such as a duplicate.
    Dropped {
        /// Why.
        reason: String,
    },
}

impl State {
    /// Stable code for filters and translations.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Collected => "collected",
            Self::ReceiptSealed => "receipt_sealed",
            Self::Accepted => "accepted",
            Self::AcceptedWithRemarks { .. } => "accepted_with_remarks",
            Self::Rejected { .. } => "rejected",
            Self::Overdue => "overdue",
            Self::Failed { .. } => "failed",
            Self::Done => "done",
            Self::Dropped { .. } => "dropped",
        }
    }

    /// Whether a receipt is still awaited.
    #[must_use]
    pub fn awaits_receipt(&self) -> bool {
        matches!(self, Self::Queued | Self::Collected | Self::Overdue)
    }

    /// Whether a human has to do something.
    #[must_use]
    pub fn needs_human(&self) -> bool {
        matches!(
            self,
            Self::Rejected { .. } | Self::Overdue | Self::Failed { .. }
        )
    }
}

/// What a receipt said, as far as the hub knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Receipt {
    /// Encrypted for the sender.
    Sealed,
    /// Readable here.
    Known {
        /// 8258: `1` accepted, `2` rejected, `3` in part.
        status: String,
        /// Codes of list 8221.
        codes: Vec<String>,
    },
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum StepKind {
    /// Taken from the sender.
    Received {
        /// Size of the payload in bytes.
        bytes: u64,
    },
    /// Envelope and addresses are in order.
    Checked,
    /// A check failed.
    Refused {
        /// Error condition.
        condition: String,
    },
    /// Put into a queue.
    Queued {
        /// Queue.
        queue: String,
    },
    /// Given to the receiver.
    Delivered {
        /// Which attempt, from 1.
        attempt: u32,
    },
    /// Accepted by the receiver.
    Settled,
    /// Given back by the receiver, or the connection was lost.
    GivenBack {
        /// `released`, `modified`, `lost`.
        how: String,
        /// Counts as a failed delivery.
        failed: bool,
    },
    /// Refused by the receiver.
    RejectedByReceiver {
        /// Condition, if it gave one.
        condition: Option<String>,
    },
    /// Moved to the dead letters.
    DeadLetter {
        /// Why.
        reason: String,
    },
    /// Put back from the dead letters by an operator.
    Revived,
    /// Decrypted and its signature verified (hub-run receivers).
    Opened,
    /// Handled by a hub-run receiver.
    Handled,
    /// A receipt for it came into the sender's queue.
    ReceiptArrived,
    /// The sender fetched the receipt.
    ReceiptFetched,
    /// A receipt was sent by a hub-run receiver.
    ReceiptSent {
        /// 8258.
        status: String,
        /// Codes of list 8221.
        codes: Vec<String>,
    },
    /// An error message about it came into the sender's error queue.
    ErrorArrived {
        /// Error condition.
        condition: String,
    },
    /// Still no receipt after this many hours.
    NoReceipt {
        /// Hours since it was made.
        hours: u32,
    },
    /// The same message came again.
    Duplicate {
        /// Whether its content was the same.
        same_content: bool,
    },
    /// Something an operator should know.
    Note {
        /// Text without personal data.
        text: String,
    },
}

/// One step of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// When, on the clock of rules, microseconds since 1970.
    pub at_us: i64,
    /// What.
    #[serde(flatten)]
    pub what: StepKind,
    /// For people; no personal data.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// A security event that operators see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alert {
    /// The sender claims to be somebody else.
    Spoofing,
    /// The same MsgId with other content.
    FalseDuplicate,
    /// XML made to attack the reader.
    HostileXml,
}

/// One transport message, from when it was taken to when nothing more can happen to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// Id of the track; the key of its record.
    #[serde(skip)]
    pub id: String,
    /// Queue it was sent to.
    pub queue: String,
    /// AMQP message-id.
    pub message_id: String,
    /// Message function (8279).
    pub subject: String,
    /// Content type.
    #[serde(default)]
    pub content_type: String,
    /// Sender, level 2.
    pub from: u32,
    /// Sender, level 1.
    pub from_organisation: u32,
    /// Receiver, level 2; 0 when unknown.
    pub to: u32,
    /// Receiver, level 1; 0 when unknown.
    pub to_organisation: u32,
    /// Payload in bytes.
    pub bytes: u64,
    /// When it was taken, clock of rules.
    pub received_at_us: i64,
    /// When the sender's system made it, by its own account.
    pub sent_at_us: i64,
    /// MsgId of the business document, when the envelope or the content said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msg_id: Option<String>,
    /// Thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// Track of the message that this receipt or error is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Where it is now.
    pub state: State,
    /// Deliveries that failed.
    #[serde(default)]
    pub failed_deliveries: u32,
    /// A receipt is expected for it.
    #[serde(default)]
    pub expects_receipt: bool,
    /// When the next reminder of a missing receipt is due, clock of rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_reminder_us: Option<i64>,
    /// What its receipt said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
    /// Security event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<Alert>,
    /// SHA-256 (hex) of the opened document, kept for a hub-run receiver and the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<String>,
    /// History, oldest first.
    pub steps: Vec<Step>,
}

impl Track {
    /// Adds a step.
    pub fn step(&mut self, at_us: i64, what: StepKind, detail: impl Into<String>) {
        self.steps.push(Step {
            at_us,
            what,
            detail: detail.into(),
        });
        if self.steps.len() > MAX_STEPS {
            self.steps.remove(MAX_STEPS / 2);
        }
    }

    /// Whether one of these organisations is party to it.
    #[must_use]
    pub fn concerns(&self, organisation: u32) -> bool {
        self.from_organisation == organisation || self.to_organisation == organisation
    }

    /// Microseconds of the rules' clock at which `hours` have passed since it was made (or taken, when the sender's clock is ahead).
    #[must_use]
    pub fn hours_after(&self, hours: u32) -> i64 {
        self.sent_at_us.min(self.received_at_us) + i64::from(hours) * 3_600_000_000
    }

    /// A receipt is expected: sets the first reminder.
    pub fn expect_receipt(&mut self) {
        self.expects_receipt = true;
        self.next_reminder_us = RECEIPT_HOURS.first().map(|hours| self.hours_after(*hours));
    }

    /// The receiver fetched it.
    pub fn fetched(&mut self, at_us: i64, delivered_at_us: i64, attempt: u32) {
        self.step(delivered_at_us, StepKind::Delivered { attempt }, "");
        self.step(at_us, StepKind::Settled, "");
        if self.state == State::Queued {
            self.state = if self.expects_receipt {
                State::Collected
            } else {
                State::Done
            };
        }
    }

    /// A receipt for it came in.
    pub fn receipt_arrived(&mut self, at_us: i64, receipt: Receipt) {
        self.step(at_us, StepKind::ReceiptArrived, "");
        self.take_receipt(&receipt);
        // The first readable answer is final (spec/messaging.md §2 rule 1).
        if !matches!(self.receipt, Some(Receipt::Known { .. })) {
            self.receipt = Some(receipt);
        }
    }

    /// The sender fetched the receipt.
    pub fn receipt_fetched(&mut self, at_us: i64) {
        self.step(at_us, StepKind::ReceiptFetched, "");
        if self.state.awaits_receipt() {
            self.state = State::ReceiptSealed;
            self.next_reminder_us = None;
        }
    }

    /// A hub-run receiver answered.
    pub fn receipt_sent(&mut self, at_us: i64, status: &str, codes: Vec<String>) {
        self.step(
            at_us,
            StepKind::ReceiptSent {
                status: status.to_owned(),
                codes: codes.clone(),
            },
            "",
        );
        let receipt = Receipt::Known {
            status: status.to_owned(),
            codes,
        };
        self.take_receipt(&receipt);
        self.receipt = Some(receipt);
    }

    fn take_receipt(&mut self, receipt: &Receipt) {
        let Receipt::Known { status, codes } = receipt else {
            return;
        };
        if !self.state.awaits_receipt() && self.state != State::ReceiptSealed {
            return;
        }
        self.next_reminder_us = None;
        self.state = match status.as_str() {
            "1" => State::Accepted,
            "2" => State::Rejected {
                codes: codes.clone(),
            },
            _ => State::AcceptedWithRemarks {
                codes: codes.clone(),
            },
        };
    }

    /// An operator put it back into its queue.
    pub fn revived(&mut self, at_us: i64) {
        self.step(at_us, StepKind::Revived, "");
        self.state = State::Queued;
        self.failed_deliveries = 0;
        if self.expects_receipt {
            let marks = RECEIPT_HOURS
                .into_iter()
                .map(|hours| self.hours_after(hours));
            // Past the last mark it is overdue again at the next look.
            self.next_reminder_us = marks
                .clone()
                .find(|due| *due > at_us)
                .or_else(|| marks.max());
        }
    }

    /// It cannot be delivered.
    pub fn fail(&mut self, condition: &str) {
        self.state = State::Failed {
            condition: condition.to_owned(),
        };
        self.next_reminder_us = None;
    }

    /// A reminder is due: notes how long there has been no receipt, and after the last one the message is overdue. Returns whether anything
    /// changed.
    pub fn remind(&mut self, now_us: i64) -> bool {
        if !self.state.awaits_receipt() || self.next_reminder_us.is_none_or(|due| now_us < due) {
            return false;
        }
        let passed: Vec<u32> = RECEIPT_HOURS
            .into_iter()
            .filter(|hours| self.hours_after(*hours) <= now_us)
            .collect();
        for hours in passed {
            let known = self
                .steps
                .iter()
                .any(|step| step.what == StepKind::NoReceipt { hours });
            if !known {
                let detail = if Some(&hours) == RECEIPT_HOURS.last() {
                    "call the receiver"
                } else {
                    ""
                };
                self.step(
                    self.hours_after(hours),
                    StepKind::NoReceipt { hours },
                    detail,
                );
            }
        }
        self.next_reminder_us = RECEIPT_HOURS
            .into_iter()
            .map(|hours| self.hours_after(hours))
            .find(|due| *due > now_us);
        if self.next_reminder_us.is_none() {
            self.state = State::Overdue;
        }
        true
    }

    /// Hours without a receipt, while one is awaited.
    #[must_use]
    pub fn waiting_hours(&self, now_us: i64) -> Option<i64> {
        let awaited = self.expects_receipt && self.state.awaits_receipt();
        awaited.then(|| (now_us - self.hours_after(0)).max(0) / 3_600_000_000)
    }
}

#[cfg(test)]
pub(crate) mod tests;
