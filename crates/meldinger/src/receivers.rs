//! The hub's own receivers: services register what they do with a document, the exchange does everything around it.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use amqp::port::Message;
use bytes::Bytes;
use edi::apprec::{ErrorCode, Status};
use edi::errorqueue::{ErrorCondition, TransportError};
use edi::message::Header;
use edi::value::Coded;
use edi::xml::XmlDoc;
use store::{
    BlobPut, Claim, Commit, CommitError, Expect, Leased, MAX_INLINE_BLOB_BYTES, Refusal, Settle,
    Settlement as End, StoreError,
};
use uuid::Uuid;
use xmlsec::x509::Certificate;

use crate::exchange::{Exchange, ExchangeError};
use crate::opening::{OpenError, open};
use crate::port::Transport;
use crate::receipts::{Sent, codes_of, wants_receipt};
use crate::rules::envelope::{APPREC, Seen};
use crate::rules::queue::{QueueKind, QueueName};
use crate::rules::track::{Alert, MAX_FAILED_DELIVERIES, StepKind, Track};
use crate::tracks::{Stored, hex};

/// A MsgId is remembered this long after it was handled.
const MSG_ID_KEPT_US: i64 = 400 * 86_400_000_000;
/// Messages one worker takes at a time.
const BATCH: usize = 8;
/// How often a commit that lost a race is decided anew.
const ATTEMPTS: usize = 5;

/// A message opened: decrypted, verified, read.
#[derive(Debug)]
pub struct OpenedMessage {
    /// Sender, level 2.
    pub from: u32,
    /// Sender, level 1.
    pub from_organisation: u32,
    /// Receiver: the hub-run receiver's HER-id.
    pub to: u32,
    /// Message function (8279) of the envelope.
    pub subject: String,
    /// The document, byte for byte as it was signed.
    pub content: Bytes,
    /// The document as tree.
    pub document: XmlDoc,
    /// Its head in one shape.
    pub header: Header,
    /// Who signed; absent for unprotected XML in a sandbox.
    pub signer: Option<Certificate>,
    /// When it came in, clock of rules, microseconds since 1970.
    pub received_at_us: i64,
    /// Id of its track.
    pub track: String,
}

/// How the sender is answered.
#[derive(Debug, Clone)]
pub enum Answer {
    /// With an application receipt. A rejection needs at least one error ([`ErrorCode::error`]).
    Receipt {
        /// Outcome.
        status: Status,
        /// Errors (8221), with words for the vendor; no personal data.
        errors: Vec<Coded>,
    },
    /// On its error queue.
    TransportError(TransportError),
    /// Not at all: taken note of and dropped.
    Nothing {
        /// Why, for the track.
        reason: String,
    },
}

/// What a receiver decided.
#[derive(Debug)]
pub struct Outcome {
    /// The answer.
    pub answer: Answer,
    /// What shall be written with it: records, blobs, further expectations, audit. One commit with the receipt and the end of the lease.
    pub effect: Commit,
    /// Warnings for operators, such as "name differs"; no personal data.
    pub notes: Vec<String>,
}

impl Outcome {
    /// Accepted, with this effect.
    #[must_use]
    pub fn accepted(effect: Commit) -> Self {
        Self {
            answer: Answer::Receipt {
                status: Status::Ok,
                errors: Vec::new(),
            },
            effect,
            notes: Vec::new(),
        }
    }

    /// Rejected with one error; nothing is written but the audit of `effect`.
    #[must_use]
    pub fn rejected(code: ErrorCode, words: &str) -> Self {
        let answer = Answer::Receipt {
            status: Status::Rejected,
            errors: vec![code.error(words)],
        };
        Self {
            answer,
            effect: Commit::default(),
            notes: Vec::new(),
        }
    }
}

/// Why a receiver could not decide now.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// Something it needs is away; the message is tried again in a minute, ten times in all.
    #[error("{0}")]
    Retry(String),
}

/// Something a receiver may want to know of that it does not answer: a receipt for what it has sent itself, or a message to it that could not be
/// opened.
#[derive(Debug)]
pub struct Notice<'a> {
    /// The message as the exchange knows it.
    pub track: &'a Track,
    /// The document, or why it could not be opened.
    pub opened: Result<&'a OpenedMessage, &'a TransportError>,
}

/// A service that receives documents under a HER-id of the hub.
pub trait HubReceiver: Send + Sync + 'static {
    /// Its HER-id.
    fn her_id(&self) -> u32;

    /// Decides about one document. Called on a worker thread, possibly again for the same document when a commit lost a race; must not write by itself.
    ///
    /// # Errors
    /// [`HandleError::Retry`].
    fn handle(&self, message: &OpenedMessage) -> Result<Outcome, HandleError>;

    /// Whether it sends messages itself, so that receipts concern it.
    fn wants_notices(&self) -> bool {
        false
    }

    /// Takes note. What it returns is written with the end of the lease. May be called again for the same message.
    ///
    /// # Errors
    /// [`HandleError::Retry`].
    fn notice(&self, _notice: &Notice<'_>) -> Result<Commit, HandleError> {
        Ok(Commit::default())
    }
}

/// The threads that work the hub's own queues. Stops when dropped.
pub struct Workers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts `count` threads for these receivers.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub fn start(
        exchange: &Exchange,
        receivers: Vec<Arc<dyn HubReceiver>>,
        count: usize,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let desk = Arc::new(Desk::new(exchange.clone(), receivers));
        let threads = (0..count.max(1))
            .map(|number| {
                let (desk, stop) = (desk.clone(), stop.clone());
                std::thread::Builder::new()
                    .name(format!("mottak-{number}"))
                    .spawn(move || desk.work(&stop))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { stop, threads })
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Handles the messages of the hub's own queues one at a time; what [`Workers`] does on threads.
pub struct Desk {
    pub(crate) exchange: Exchange,
    receivers: HashMap<u32, Arc<dyn HubReceiver>>,
}

enum Step {
    Done,
    Again,
}

impl Desk {
    /// A desk with these receivers.
    #[must_use]
    pub fn new(exchange: Exchange, receivers: Vec<Arc<dyn HubReceiver>>) -> Self {
        Self {
            exchange,
            receivers: receivers
                .into_iter()
                .map(|receiver| (receiver.her_id(), receiver))
                .collect(),
        }
    }

    fn work(&self, stop: &AtomicBool) {
        let queues = self.queues();
        while !stop.load(Ordering::Acquire) {
            if self.handle_waiting(BATCH) == 0 {
                self.exchange
                    .inner
                    .store
                    .wait_queue(&queues, Duration::from_millis(500));
            }
        }
    }

    fn queues(&self) -> Vec<String> {
        let hub = self.exchange.inner.config.hub_her_id;
        [QueueKind::Async, QueueKind::Error]
            .map(|kind| QueueName::new(hub, kind).store_name())
            .to_vec()
    }

    /// Handles what waits now, at most `limit` per queue; returns how many. Blocks.
    pub fn handle_waiting(&self, limit: usize) -> usize {
        let mut handled = 0;
        for queue in self.queues() {
            match self
                .exchange
                .inner
                .store
                .lease(&queue, limit, self.exchange.inner.config.lock_ms)
            {
                Ok(leased) => {
                    for leased in leased {
                        handled += 1;
                        self.handle(&leased);
                    }
                }
                Err(error) => tracing::error!(%error, "the hub's own queue is not readable"),
            }
        }
        handled
    }

    fn handle(&self, leased: &Leased) {
        let Some((track, message)) = self.exchange.unpack(leased) else {
            return;
        };
        for _ in 0..ATTEMPTS {
            match self.try_handle(leased, track.as_deref(), &message) {
                Ok(Step::Done) => return,
                Ok(Step::Again) => {}
                Err(error) => {
                    tracing::error!(%error, "message to a hub-run receiver not handled; it will be tried again");
                    return;
                }
            }
        }
        let stored = track.and_then(|id| self.exchange.inner.tracks.get(&id).ok().flatten());
        if let Some(stored) = stored {
            let settle = Settle {
                id: leased.id,
                token: leased.token,
                outcome: End::Done,
            };
            if let Err(error) = self.retry(
                stored,
                settle,
                "the effect could not be written: a condition of the receiver does not hold",
            ) {
                tracing::error!(%error, "message to a hub-run receiver not given back");
            }
        }
    }

    fn try_handle(
        &self,
        leased: &Leased,
        track: Option<&str>,
        message: &Message,
    ) -> Result<Step, ExchangeError> {
        let settle = Settle {
            id: leased.id,
            token: leased.token,
            outcome: End::Done,
        };
        let stored = track
            .map(|id| self.exchange.inner.tracks.get(id))
            .transpose()?
            .flatten();
        let Some(mut stored) = stored else {
            // An error message made here, about a message that the hub itself sent.
            self.exchange.inner.store.commit(Commit {
                settle: vec![settle],
                ..Commit::default()
            })?;
            return Ok(Step::Done);
        };
        let now = self.exchange.inner.clock.now_us();
        stored.track.step(
            now,
            StepKind::Delivered {
                attempt: leased.deliveries,
            },
            "",
        );
        if stored.track.subject == APPREC || leased.queue.ends_with("_error") {
            // What it is about was noted when it came in (B29).
            let effect = match self.receipt_noticed(&stored.track, message) {
                Ok(effect) => effect,
                Err(HandleError::Retry(reason)) => return self.retry(stored, settle, &reason),
            };
            stored
                .track
                .noted("taken note of; hub-run receivers send nothing that is answered");
            return self.finish(stored, settle, effect);
        }
        let opened = match open(&self.exchange, &stored.track, message) {
            Ok(opened) => opened,
            Err(OpenError::Retry(reason)) => return self.retry(stored, settle, &reason),
            Err(OpenError::Refuse { error, alert }) => {
                return match self.noticed(&stored.track, Err(&error)) {
                    Ok(effect) => self.refuse_with(stored, settle, &error, alert, effect),
                    Err(HandleError::Retry(reason)) => self.retry(stored, settle, &reason),
                };
            }
        };
        stored.track.step(now, StepKind::Opened, "");
        stored.track.msg_id = Some(opened.header.msg_id.chars().take(100).collect());
        let Some(receiver) = self.receivers.get(&opened.to) else {
            let error = TransportError::new(
                ErrorCondition::UnsupportedMessage,
                format!("HER-id {} receives no messages here", opened.to),
            );
            return self.refuse(stored, settle, &error, None);
        };
        let handled = if opened.header.is_addressed_to(opened.to)
            || opened
                .header
                .is_addressed_to(self.exchange.inner.config.hub_her_id)
        {
            catch_unwind(AssertUnwindSafe(|| receiver.handle(&opened)))
        } else {
            let words = format!("the document is not addressed to HER-id {}", opened.to);
            Ok(Ok(Outcome::rejected(ErrorCode::E10, &words)))
        };
        match handled {
            Ok(Ok(outcome)) => self.answer(stored, settle, &opened, outcome),
            Ok(Err(HandleError::Retry(reason))) => self.retry(stored, settle, &reason),
            Err(_) => self.retry(stored, settle, "the receiver failed"),
        }
    }

    /// What a receipt means to the receiver that has sent what it answers.
    fn receipt_noticed(&self, track: &Track, message: &Message) -> Result<Commit, HandleError> {
        let wants = self
            .receivers
            .get(&track.to)
            .is_some_and(|receiver| receiver.wants_notices());
        if !wants || track.subject != APPREC {
            return Ok(Commit::default());
        }
        match open(&self.exchange, track, message) {
            Ok(opened) => self.noticed(track, Ok(&opened)),
            Err(OpenError::Refuse { error, .. }) => self.noticed(track, Err(&error)),
            Err(OpenError::Retry(reason)) => Err(HandleError::Retry(reason)),
        }
    }

    fn noticed(
        &self,
        track: &Track,
        opened: Result<&OpenedMessage, &TransportError>,
    ) -> Result<Commit, HandleError> {
        let receiver = self.receivers.get(&track.to);
        let Some(receiver) = receiver.filter(|receiver| receiver.wants_notices()) else {
            return Ok(Commit::default());
        };
        let notice = Notice { track, opened };
        catch_unwind(AssertUnwindSafe(|| receiver.notice(&notice)))
            .unwrap_or_else(|_| Err(HandleError::Retry("the receiver failed".to_owned())))
    }

    /// Writes effect, receipt, track and end of the lease in one commit.
    fn answer(
        &self,
        mut stored: Stored,
        settle: Settle,
        opened: &OpenedMessage,
        outcome: Outcome,
    ) -> Result<Step, ExchangeError> {
        let now = self.exchange.inner.clock.now_us();
        for note in outcome.notes {
            stored.track.step(
                now,
                StepKind::Note {
                    text: note.chars().take(200).collect(),
                },
                "",
            );
        }
        let (status, errors) = match outcome.answer {
            Answer::Receipt { status, errors } => (status, errors),
            Answer::TransportError(error) => {
                let alert = error.condition.is_abuse().then_some(Alert::Spoofing);
                return self.refuse(stored, settle, &error, alert);
            }
            Answer::Nothing { reason } => {
                stored.track.noted(&reason);
                return self.finish(stored, settle, outcome.effect);
            }
        };
        let mut commit = outcome.effect;
        let value = store::sha256(&opened.content);
        commit
            .expect
            .insert(0, Expect::Claim(self.msg_id_claim(opened, value)));
        // What was rejected is not kept (spec/story.md §7, B18).
        if status != Status::Rejected {
            self.keep_original(&mut stored.track, &opened.content, value, &mut commit)?;
        }
        stored.track.step(now, StepKind::Handled, "");
        let mut ring = None;
        if wants_receipt(&opened.header, status) {
            let receipt = self.receipt(&stored.track, opened, status, errors, now);
            match receipt {
                Ok((track, sent)) => {
                    let codes = codes_of(&track);
                    stored.track.receipt_sent(now, status.code(), codes);
                    match sent {
                        Sent::Queued(enqueue) => {
                            ring = Some(enqueue.queue.clone());
                            commit.enqueue.push(enqueue);
                        }
                        Sent::Kept(document) => {
                            self.exchange.keep_bytes(&document, &mut commit)?;
                        }
                    }
                    commit.put.push(self.exchange.inner.tracks.create(&track));
                }
                Err(reason) => {
                    tracing::error!(%reason, from = opened.from, "receipt could not be made");
                    stored.track.step(now, StepKind::Note { text: reason }, "");
                    stored.track.fail("receipt-not-possible");
                }
            }
        } else {
            stored.track.handled_quietly();
        }
        stored.track.next_reminder_us = None;
        let (expect, put) = self.exchange.inner.tracks.update(&stored);
        commit.expect.push(expect);
        commit.put.push(put);
        commit.settle.push(settle.clone());
        match self.exchange.inner.store.commit(commit) {
            Ok(_) => {
                metrics::counter!("meldinger_handled_total", "receiver" => opened.to.to_string(), "status" => status.code()).increment(1);
                if let Some(queue) = ring {
                    self.exchange.inner.signals.ring(&queue);
                }
                Ok(Step::Done)
            }
            Err(CommitError::Refused {
                index: 0,
                refusal: Refusal::ClaimTaken { value: before },
            }) => self.duplicate(stored, settle, opened, before == value),
            Err(CommitError::Refused {
                refusal: Refusal::LeaseLost,
                ..
            }) => Ok(Step::Done),
            Err(CommitError::Refused { .. }) => Ok(Step::Again),
            Err(error) => Err(error.into()),
        }
    }

    /// B24: the same content again is logged. B25: other content under a used MsgId is refused, with an alert.
    fn duplicate(
        &self,
        stored: Stored,
        settle: Settle,
        opened: &OpenedMessage,
        same_content: bool,
    ) -> Result<Step, ExchangeError> {
        // `stored` carries steps of an answer that did not happen: begin again from what is kept.
        let Some(mut stored) = self.exchange.inner.tracks.get(&stored.track.id)? else {
            return Ok(Step::Done);
        };
        let now = self.exchange.inner.clock.now_us();
        metrics::counter!("meldinger_duplicates_total", "same_content" => if same_content { "true" } else { "false" }).increment(1);
        stored.track.msg_id = Some(opened.header.msg_id.chars().take(100).collect());
        stored
            .track
            .step(now, StepKind::Duplicate { same_content }, "same MsgId");
        if same_content {
            stored.track.noted("duplicate");
            stored.track.next_reminder_us = None;
            return self.finish(stored, settle, Commit::default());
        }
        tracing::warn!(
            from = opened.from,
            "security event: falsk duplikat (a used MsgId with other content)"
        );
        let mut error = TransportError::new(
            ErrorCondition::InvalidFieldValue,
            "falsk duplikat: this MsgId was used before for another content; corrected content needs a new MsgId",
        );
        error.data = vec!["MsgId".to_owned()];
        self.refuse(stored, settle, &error, Some(Alert::FalseDuplicate))
    }

    fn msg_id_claim(&self, opened: &OpenedMessage, content: [u8; 32]) -> Claim {
        // A message without a proper MsgId is known by its content.
        let id = Uuid::parse_str(&opened.header.msg_id)
            .map_or_else(|_| hex(&content), |uuid| uuid.to_string());
        let key = store::sha256(format!("{}|{id}", opened.to).as_bytes()).to_vec();
        let until = Some(self.exchange.real_now_us() + MSG_ID_KEPT_US);
        Claim {
            space: "msgid".to_owned(),
            key,
            value: content.to_vec(),
            until,
        }
    }

    fn keep_original(
        &self,
        track: &mut Track,
        content: &Bytes,
        hash: [u8; 32],
        commit: &mut Commit,
    ) -> Result<(), StoreError> {
        track.original = Some(hex(&hash));
        if content.len() <= MAX_INLINE_BLOB_BYTES {
            if !commit.blob.iter().any(|blob| blob.hash == hash) {
                commit.blob.push(BlobPut {
                    hash,
                    bytes: content.clone(),
                });
            }
        } else {
            self.exchange.inner.store.stage_blob(content)?;
        }
        Ok(())
    }

    /// An error to the sender's error queue; the message itself is done with.
    fn refuse(
        &self,
        stored: Stored,
        settle: Settle,
        error: &TransportError,
        alert: Option<Alert>,
    ) -> Result<Step, ExchangeError> {
        self.refuse_with(stored, settle, error, alert, Commit::default())
    }

    /// The same, and what shall be written with it.
    fn refuse_with(
        &self,
        mut stored: Stored,
        settle: Settle,
        error: &TransportError,
        alert: Option<Alert>,
        effect: Commit,
    ) -> Result<Step, ExchangeError> {
        let now = self.exchange.inner.clock.now_us();
        let condition = error.condition.as_str();
        metrics::counter!("meldinger_refused_total", "condition" => condition).increment(1);
        let track = &mut stored.track;
        track.step(
            now,
            StepKind::Refused {
                condition: condition.to_owned(),
            },
            error.description.clone(),
        );
        track.fail(condition);
        if let Some(alert) = alert {
            tracing::warn!(
                from = track.from,
                condition,
                "security event in a message to a hub-run receiver"
            );
            track.alert = Some(alert);
        }
        let seen = Seen {
            message_id: Some(track.message_id.clone()),
            subject: Some(track.subject.clone()),
            from: Some(track.from),
            to: Some(track.to),
        };
        let (enqueue, queue) = match track.transport {
            Transport::Amqp => self.exchange.error_to_sender(
                &seen,
                error,
                track.from_organisation,
                track.received_at_us,
            ),
            // Other transports have no error queue: the failed track is what the sender sees.
            Transport::Ebxml | Transport::Rest | Transport::Hub => (None, String::new()),
        };
        let mut commit = effect;
        commit.enqueue.extend(enqueue);
        let step = self.finish(stored, settle, commit)?;
        self.exchange.inner.signals.ring(&queue);
        Ok(step)
    }

    /// A minute later again; after ten attempts a dead letter, and the sender is told.
    fn retry(
        &self,
        mut stored: Stored,
        mut settle: Settle,
        reason: &str,
    ) -> Result<Step, ExchangeError> {
        let now = self.exchange.inner.clock.now_us();
        tracing::warn!(reason, "message to a hub-run receiver will be tried again");
        stored.track.failed_deliveries += 1;
        stored.track.step(
            now,
            StepKind::GivenBack {
                how: "retry".to_owned(),
                failed: true,
            },
            reason,
        );
        if stored.track.failed_deliveries < MAX_FAILED_DELIVERIES {
            let retry_ms = self.exchange.inner.config.retry_ms;
            let retry_us = i64::try_from(retry_ms).unwrap_or(0).saturating_mul(1_000);
            settle.outcome = End::Release {
                due_at: Some(self.exchange.real_now_us() + retry_us),
            };
            return self.finish(stored, settle, Commit::default());
        }
        stored.track.step(
            now,
            StepKind::DeadLetter {
                reason: reason.to_owned(),
            },
            "",
        );
        settle.outcome = End::DeadLetter {
            reason: reason.to_owned(),
        };
        let error = TransportError::new(
            ErrorCondition::InternalError,
            "the receiver could not handle the message; its operator has been told",
        );
        self.refuse(stored, settle, &error, None)
    }

    fn finish(
        &self,
        stored: Stored,
        settle: Settle,
        mut commit: Commit,
    ) -> Result<Step, ExchangeError> {
        let mut stored = stored;
        if !stored.track.state.awaits_receipt() {
            stored.track.next_reminder_us = None;
        }
        let (expect, put) = self.exchange.inner.tracks.update(&stored);
        commit.expect.push(expect);
        commit.put.push(put);
        commit.settle.push(settle);
        match self.exchange.inner.store.commit(commit) {
            Ok(_) => Ok(Step::Done),
            Err(CommitError::Refused {
                refusal: Refusal::LeaseLost,
                ..
            }) => Ok(Step::Done),
            Err(CommitError::Refused { .. }) => Ok(Step::Again),
            Err(error) => Err(error.into()),
        }
    }
}
