//! Where a message is: its states, its history, and which step leads where (spec/messaging.md §9, spec/portals.md §6).
//!
//! The states are honest: what the hub cannot know (the content of a receipt between two other parties) it does not claim.

use serde::{Deserialize, Serialize};

use super::machine::{self, Event, Stage};
use super::resend::Resend;
use crate::port::{Road, Schema, Transport};

/// Hours after which a missing receipt is remarked on, is yellow, and is red (spec/messaging.md §9).
pub const RECEIPT_HOURS: [u32; 3] = [24, 48, 96];
/// Failed deliveries before a message becomes a dead letter (spec/messaging.md §4.5).
pub const MAX_FAILED_DELIVERIES: u32 = 10;
/// Longest history kept; a message that is given back again and again keeps its first and last steps.
const MAX_STEPS: usize = 60;

/// Where a message is now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum State {
    /// In the receiver's queue, mailbox or box.
    #[default]
    Queued,
    /// Fetched by the receiver, or sent to its message handler; a receipt is expected.
    Collected,
    /// The receiver's message handler has acknowledged it (ebXML); a receipt is expected.
    Acknowledged,
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
            Self::Acknowledged => "acknowledged",
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

    /// The stage of the life cycle.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self {
            Self::Queued => Stage::Queued,
            Self::Collected => Stage::Collected,
            Self::Acknowledged => Stage::Acknowledged,
            Self::ReceiptSealed => Stage::ReceiptSealed,
            Self::Accepted => Stage::Accepted,
            Self::AcceptedWithRemarks { .. } => Stage::AcceptedWithRemarks,
            Self::Rejected { .. } => Stage::Rejected,
            Self::Overdue => Stage::Overdue,
            Self::Failed { .. } => Stage::Failed,
            Self::Done => Stage::Done,
            Self::Dropped { .. } => Stage::Dropped,
        }
    }

    /// A stage with its words: codes of a receipt, or the condition or reason.
    fn of(stage: Stage, codes: &[String], words: &str) -> Self {
        match stage {
            Stage::Queued => Self::Queued,
            Stage::Collected => Self::Collected,
            Stage::Acknowledged => Self::Acknowledged,
            Stage::ReceiptSealed => Self::ReceiptSealed,
            Stage::Accepted => Self::Accepted,
            Stage::AcceptedWithRemarks => Self::AcceptedWithRemarks {
                codes: codes.to_vec(),
            },
            Stage::Rejected => Self::Rejected {
                codes: codes.to_vec(),
            },
            Stage::Overdue => Self::Overdue,
            Stage::Failed => Self::Failed {
                condition: words.to_owned(),
            },
            Stage::Done => Self::Done,
            Stage::Dropped => Self::Dropped {
                reason: words.to_owned(),
            },
        }
    }

    /// Whether a receipt is still awaited.
    #[must_use]
    pub fn awaits_receipt(&self) -> bool {
        self.stage().awaits_receipt()
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
    /// Sent by the hub's message handler.
    Sent {
        /// Which attempt, from 1.
        attempt: u32,
    },
    /// The receiver's message handler has acknowledged it.
    Acknowledged,
    /// The receiver's message handler has refused it.
    TransportRefused {
        /// Code of the transport.
        condition: String,
    },
    /// Nobody tries any more.
    GivenUp {
        /// Condition.
        condition: String,
    },
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
    /// It carries a MsgId of before.
    Resend {
        /// What the rules say.
        rule: Resend,
        /// Track of the one before.
        of: String,
    },
    /// The same message was sent once more and takes its place.
    Replaced {
        /// Track of the other one.
        by: String,
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// Id of the track; the key of its record.
    #[serde(skip)]
    pub id: String,
    /// How it came.
    #[serde(default)]
    pub transport: Transport,
    /// How it leaves.
    #[serde(default)]
    pub road: Road,
    /// Queue, mailbox or box it was sent to.
    pub queue: String,
    /// The transport's id: AMQP message-id, eb:MessageId, id of the REST message.
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
    /// Agreement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpa_id: Option<String>,
    /// What the envelope said of the schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Schema>,
    /// Sender's system, as the envelope names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// What an answer needs of the envelope.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<(String, String)>,
    /// SHA-256 (hex) of the transport receipt it was answered with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// In an API user's box, not read yet.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_unread: bool,
    /// When the hub's message handler looks at it next, clock of rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_us: Option<i64>,
    /// Attempts of the hub's message handler.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts: u32,
    /// When it was first sent, clock of rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_attempt_us: Option<i64>,
    /// Without acknowledgment it is given up then, clock of rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub give_up_us: Option<i64>,
    /// SHA-256 (hex) of what was sent: a resend is identical.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepared: Option<String>,
    /// What this version adds to the counts; empty again in the next ([`crate::counter`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub news: Vec<News>,
    /// History, oldest first.
    pub steps: Vec<Step>,
}

/// Something that is counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// What.
    #[serde(rename = "w")]
    pub what: Counted,
    /// When, clock of rules, microseconds since 1970.
    #[serde(rename = "a")]
    pub at_us: i64,
    /// Error condition, or codes of a receipt.
    #[serde(rename = "c", default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<String>,
}

/// What is counted (spec/messaging.md §9.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// A message came in, or was made here.
    Message,
    /// The same one came again.
    Duplicate,
    /// A check refused it, here or at the receiver.
    Refused,
    /// Nobody tries any more.
    Undeliverable,
    /// The receiver took it.
    Delivered,
    /// A positive transport receipt.
    Acknowledged,
    /// A negative transport receipt.
    TransportRefused,
    /// AppRec: accepted.
    ReceiptOk,
    /// AppRec: accepted in part.
    ReceiptInPart,
    /// AppRec: rejected.
    ReceiptRejects,
    /// AppRec that only the sender can read.
    ReceiptSealed,
    /// No AppRec within 96 hours.
    Overdue,
}

// Signatures that serde asks for.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !*value
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

impl Track {
    /// Adds a step.
    pub fn step(&mut self, at_us: i64, what: StepKind, detail: impl Into<String>) {
        match &what {
            StepKind::Received { .. } => self.count(Counted::Message, at_us, &[]),
            StepKind::Duplicate { .. } => self.count(Counted::Duplicate, at_us, &[]),
            StepKind::Settled | StepKind::Handled => self.count(Counted::Delivered, at_us, &[]),
            StepKind::Acknowledged => self.count(Counted::Acknowledged, at_us, &[]),
            StepKind::Refused { condition } | StepKind::ErrorArrived { condition } => {
                self.count(Counted::Refused, at_us, std::slice::from_ref(condition));
            }
            StepKind::TransportRefused { condition } => {
                let conditions = std::slice::from_ref(condition);
                self.count(Counted::TransportRefused, at_us, conditions);
            }
            StepKind::DeadLetter { .. } => {
                self.count(Counted::Undeliverable, at_us, &["dead-letter".to_owned()]);
            }
            StepKind::GivenUp { condition } => {
                self.count(
                    Counted::Undeliverable,
                    at_us,
                    std::slice::from_ref(condition),
                );
            }
            _ => {}
        }
        self.steps.push(Step {
            at_us,
            what,
            detail: detail.into(),
        });
        if self.steps.len() > MAX_STEPS {
            self.steps.remove(MAX_STEPS / 2);
        }
    }

    /// One more of these.
    pub fn count(&mut self, what: Counted, at_us: i64, conditions: &[String]) {
        self.news.push(News {
            what,
            at_us,
            conditions: conditions.to_vec(),
        });
    }

    /// Goes where the table says. Returns whether it led anywhere.
    fn go(&mut self, event: Event, codes: &[String], words: &str) -> bool {
        let Some(stage) = machine::next(self.state.stage(), event) else {
            return false;
        };
        self.state = State::of(stage, codes, words);
        if !stage.awaits_receipt() || stage == Stage::Overdue {
            self.next_reminder_us = None;
        }
        true
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
        let awaits = self.expects_receipt;
        self.go(Event::Fetched { awaits }, &[], "");
    }

    /// It was handled, and its sender wants no receipt.
    pub fn handled_quietly(&mut self) {
        self.expects_receipt = false;
        self.next_reminder_us = None;
        self.go(Event::Fetched { awaits: false }, &[], "");
    }

    /// It is taken note of and goes nowhere.
    pub fn noted(&mut self, reason: &str) {
        self.go(Event::Noted, &[], reason);
    }

    /// A receipt for it came in.
    pub fn receipt_arrived(&mut self, at_us: i64, receipt: Receipt) {
        self.step(at_us, StepKind::ReceiptArrived, "");
        self.take_receipt(at_us, &receipt);
        // The first readable answer is final (spec/messaging.md §2 rule 1).
        if !matches!(self.receipt, Some(Receipt::Known { .. })) {
            self.receipt = Some(receipt);
        }
    }

    /// The receiver's message handler has acknowledged it: resending ends (spec/messaging.md §5.3).
    pub fn acknowledged(&mut self, at_us: i64) {
        self.step(at_us, StepKind::Acknowledged, "");
        self.next_attempt_us = None;
        let awaits = self.expects_receipt;
        if self.go(Event::Acknowledged { awaits }, &[], "") && awaits {
            self.await_again(at_us);
        }
    }

    /// The receiver's message handler has refused it: resending ends, a human is asked for.
    pub fn transport_refused(&mut self, at_us: i64, condition: &str) {
        let condition: String = condition.chars().take(60).collect();
        let what = StepKind::TransportRefused {
            condition: condition.clone(),
        };
        self.step(at_us, what, "");
        self.next_attempt_us = None;
        self.go(Event::Refused, &[], &condition);
    }

    /// The hub's message handler has sent it.
    pub fn sent_out(&mut self, at_us: i64, attempt: u32) {
        self.step(at_us, StepKind::Sent { attempt }, "");
        self.go(Event::Fetched { awaits: true }, &[], "");
    }

    /// Nobody tries any more.
    pub fn undeliverable(&mut self, at_us: i64, condition: &str) {
        let what = StepKind::GivenUp {
            condition: condition.to_owned(),
        };
        self.step(at_us, what, "");
        self.next_attempt_us = None;
        self.go(Event::Undeliverable, &[], condition);
    }

    /// The sender fetched the receipt.
    pub fn receipt_fetched(&mut self, at_us: i64) {
        self.step(at_us, StepKind::ReceiptFetched, "");
        if self.go(Event::SealedReceiptFetched, &[], "") {
            self.count(Counted::ReceiptSealed, at_us, &[]);
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
        self.take_receipt(at_us, &receipt);
        self.receipt = Some(receipt);
    }

    fn take_receipt(&mut self, at_us: i64, receipt: &Receipt) {
        let Receipt::Known { status, codes } = receipt else {
            return;
        };
        let event = match status.as_str() {
            "1" => Event::ReceiptOk,
            "2" => Event::ReceiptRejects,
            _ => Event::ReceiptInPart,
        };
        if self.go(event, codes, "") {
            self.next_attempt_us = None;
            let counted = match event {
                Event::ReceiptOk => Counted::ReceiptOk,
                Event::ReceiptRejects => Counted::ReceiptRejects,
                _ => Counted::ReceiptInPart,
            };
            self.count(counted, at_us, codes);
        }
    }

    /// An operator put it back into its queue.
    pub fn revived(&mut self, at_us: i64) {
        self.step(at_us, StepKind::Revived, "");
        self.failed_deliveries = 0;
        if self.go(Event::PutBack, &[], "") {
            self.await_again(at_us);
        }
    }

    /// The hub's message handler shall try again from the beginning, with what it sent before.
    pub fn handler_again(&mut self, at_us: i64) {
        self.revived(at_us);
        self.attempts = 0;
        self.first_attempt_us = None;
        self.give_up_us = None;
        self.next_attempt_us = Some(at_us);
    }

    /// The reminders begin again where the hours are now.
    fn await_again(&mut self, at_us: i64) {
        if !self.expects_receipt {
            return;
        }
        let marks = RECEIPT_HOURS
            .into_iter()
            .map(|hours| self.hours_after(hours));
        // Past the last mark it is overdue again at the next look.
        self.next_reminder_us = marks
            .clone()
            .find(|due| *due > at_us)
            .or_else(|| marks.max());
    }

    /// It cannot be delivered: a check refused it, or nobody tries any more.
    pub fn fail(&mut self, condition: &str) {
        self.next_attempt_us = None;
        self.go(Event::Refused, &[], condition);
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
            self.go(Event::HoursUp, &[], "");
            self.count(Counted::Overdue, now_us, &["overdue".to_owned()]);
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
