//! Handing a message in, whatever transport it came by.

use amqp::port::{Message, MessageId};
use bytes::Bytes;
use edi::errorqueue::{ErrorCondition, TransportError};
use registers::directory::Party;
use store::{
    BlobHash, BlobPut, Claim, Commit, CommitError, Enqueue, Expect, MAX_INLINE_BLOB_BYTES, Refusal,
    StoreError,
};
use uuid::Uuid;

use super::{Road, Schema, Transport};
use crate::exchange::{ATTEMPTS, Exchange, ExchangeError};
use crate::rules::envelope::{APPREC, organisation_of};
use crate::rules::queue::{QueueKind, QueueName};
use crate::rules::resend::{Resend, judge};
use crate::rules::track::{Alert, Receipt, State, StepKind, Track};
use crate::tracks::{Stored, hex, param};

/// Largest body that is taken, bytes: the limit of the message service (spec/messaging.md §6.2), with its encoding around it.
pub const MAX_BODY_BYTES: usize = 64 << 20;
/// A transport id seen again within this time is the same message.
const SAME_TRANSFER_US: i64 = 400 * 86_400_000_000;

/// What it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A business message.
    Business {
        /// An AppRec is awaited: 96 hours, with reminders before.
        expects_receipt: bool,
    },
    /// An AppRec.
    Receipt {
        /// MsgId it answers, when the envelope or the content says it.
        original_msg_id: Option<String>,
        /// What it says, when the adapter could read it; never guessed.
        known: Option<Receipt>,
    },
}

/// A message as an adapter hands it in. The adapter has established who sends it; the exchange checks that the parties belong to whom they
/// should.
#[derive(Debug, Clone)]
pub struct Submission {
    /// How it came.
    pub transport: Transport,
    /// How it leaves.
    pub road: Road,
    /// Level-1 HER-id of the organisation that the credentials (signature, token) prove.
    pub organisation: u32,
    /// The transport's own id: AMQP message-id, eb:MessageId, id of the REST message. Together with organisation and receiver it is taken once.
    pub transport_id: String,
    /// Sender, level 2 (level 1 where a party uses that).
    pub from: u32,
    /// Receiver, level 2.
    pub to: u32,
    /// Message function (8279): eb:Action or MsgInfo/Type. `APPREC` for receipts.
    pub function: String,
    /// Content type of the body as it came.
    pub content_type: String,
    /// When the sender made it, microseconds since 1970 by its own account: GenDate if known, else the envelope's time. The 96 hours count from here.
    pub sent_at_us: i64,
    /// MsgId of the document.
    pub msg_id: Option<String>,
    /// MsgId or eb:ConversationId of the thread.
    pub conversation: Option<String>,
    /// Agreement.
    pub cpa_id: Option<String>,
    /// What the envelope says of the schema.
    pub schema: Option<Schema>,
    /// Sender's system, as the envelope names it (eb:Description `fagsystem`, X-SystemIdentifier).
    pub system: Option<String>,
    /// What an answer needs of the envelope: Service, roles and the like. At most 40, short.
    pub details: Vec<(String, String)>,
    /// What it is.
    pub kind: Kind,
    /// The mail or the document, by [`Submission::road`].
    pub body: Bytes,
    /// What says whether it is the same message again; without it the body's SHA-256. For ebXML the digests of the signature, since mails differ.
    pub fingerprint: Option<[u8; 32]>,
    /// Mail that shall go out in the same commit, such as the acknowledgment to the sender. It is kept with the track: a duplicate is answered with the
    /// same again.
    pub answer: Option<Relay>,
}

impl Submission {
    fn detail(&self, name: &str) -> Option<&str> {
        let found = self.details.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Mail for somebody's mailbox that is no message of its own (a signal).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay {
    /// Level-1 HER-id whose mailbox it is.
    pub organisation: u32,
    /// The mail.
    pub mail: Bytes,
}

/// What became of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submitted {
    /// Durable, under this track.
    Taken {
        /// Track.
        track: String,
    },
    /// It came before. With the same content it is answered as before and not kept again: [`Submission::answer`] has gone out once more.
    Duplicate {
        /// Track of the first one, if it is still there.
        track: Option<String>,
        /// False: the id was used for another content ("falsk duplikat"); operators see it, and nothing went out.
        same_content: bool,
        /// The answer given then.
        answer: Option<Bytes>,
    },
}

/// Why a submission was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The sender has to change something. A failed track tells of it.
    #[error("{}", .error.description)]
    Refused {
        /// What is wrong.
        error: TransportError,
        /// The failed track.
        track: String,
    },
    /// Ours; the sender may try again.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
}

/// What a transport receipt says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportOutcome {
    /// The receiver's message handler has it.
    Acknowledged,
    /// It refuses it; resending ends.
    Refused {
        /// Code of the transport, such as `SecurityFailure`.
        condition: String,
    },
}

impl Exchange {
    /// Takes a message. Whatever it returns has been made durable before.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn submit(&self, submission: Submission) -> Result<Submitted, SubmitError> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || this.submit_blocking(&submission))
            .await
            .map_err(|_| ExchangeError::Interrupted)?
    }

    /// The same, from a blocking thread.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn submit_blocking(&self, submission: &Submission) -> Result<Submitted, SubmitError> {
        let id = Uuid::now_v7().to_string();
        let (sender, receiver) = match self.parties(submission) {
            Ok(parties) => parties,
            Err(error) => {
                let track = self.note_refused(submission, &error, None)?;
                return Err(SubmitError::Refused { error, track });
            }
        };
        for _ in 0..ATTEMPTS {
            let mut track = self.track_of(&id, submission);
            track.from_organisation = organisation_of(&sender);
            track.to_organisation = organisation_of(&receiver);
            let (commit, rings) = self
                .plan_submission(submission, track)
                .map_err(ExchangeError::from)?;
            match self.inner.store.commit(commit) {
                Ok(_) => {
                    rings
                        .iter()
                        .for_each(|queue| self.inner.signals.ring(queue));
                    return Ok(Submitted::Taken { track: id });
                }
                Err(CommitError::Refused {
                    index: 0,
                    refusal: Refusal::ClaimTaken { value },
                }) => return Ok(self.again(submission, &value)?),
                // A track changed meanwhile, or the outcome is unknown: decided anew; the claim makes that safe.
                Err(CommitError::Refused { .. } | CommitError::OutcomeUnknown(_)) => {}
                Err(error) => return Err(ExchangeError::from(error).into()),
            }
        }
        Err(ExchangeError::Interrupted.into())
    }

    /// Keeps a failed track of something an adapter refused (a signature, an unknown agreement, an unreadable mail). Returns its id.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note_refused(
        &self,
        submission: &Submission,
        error: &TransportError,
        alert: Option<Alert>,
    ) -> Result<String, ExchangeError> {
        let condition = error.condition.as_str();
        metrics::counter!("meldinger_refused_total", "condition" => condition).increment(1);
        let id = Uuid::now_v7().to_string();
        let mut track = self.track_of(&id, submission);
        let organisation = |her_id| {
            let party = self.inner.directory.party(her_id);
            party.as_ref().map_or(0, organisation_of)
        };
        // Who is not proven to be the sender does not become party to it.
        track.from_organisation = submission.organisation;
        track.to_organisation = organisation(submission.to);
        track.expects_receipt = false;
        let what = StepKind::Refused {
            condition: condition.to_owned(),
        };
        track.step(track.received_at_us, what, error.description.clone());
        track.fail(condition);
        track.alert = alert.or_else(|| error.condition.is_abuse().then_some(Alert::Spoofing));
        if track.alert.is_some() {
            tracing::warn!(
                organisation = submission.organisation,
                claimed = submission.from,
                "security event in a message"
            );
        }
        let commit = Commit {
            put: vec![self.inner.tracks.create(&track)],
            ..Commit::default()
        };
        self.inner.store.commit(commit)?;
        Ok(id)
    }

    /// Notes what a transport receipt says about the message with this transport id, sent from `sender` (level 1). `responder` is the organisation
    /// whose signature the receipt bears; one from somebody else changes nothing. A receipt between two others goes into the sender's mailbox
    /// (`relay`) in the same commit. Returns the track, if the message passed here.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn transport_receipt(
        &self,
        transport_id: &str,
        sender: u32,
        responder: u32,
        outcome: &TransportOutcome,
        relay: Option<&Relay>,
    ) -> Result<Option<String>, ExchangeError> {
        for _ in 0..ATTEMPTS {
            let now = self.inner.clock.now_us();
            let found = self
                .inner
                .tracks
                .find(param::MESSAGE_ID, transport_id.as_bytes(), 8)?;
            let original = found.into_iter().find(|stored| {
                stored.track.from_organisation == sender
                    && stored.track.to_organisation == responder
            });
            let mut commit = Commit::default();
            let mut id = None;
            if let Some(mut original) = original {
                let track = &mut original.track;
                // On the other roads a receipt is fetched as such.
                let is_first = track.road == Road::Handler && track.next_attempt_us.is_some();
                match outcome {
                    TransportOutcome::Acknowledged => {
                        track.acknowledged(now);
                        if is_first {
                            self.receipt_fetched(track, now, &mut commit)?;
                        }
                    }
                    TransportOutcome::Refused { condition } => {
                        track.transport_refused(now, condition);
                    }
                }
                id = Some(track.id.clone());
                let (expect, put) = self.inner.tracks.update(&original);
                commit.expect.push(expect);
                commit.put.push(put);
            }
            let mut rings = Vec::new();
            if let Some(relay) = relay {
                let (queue, enqueue, _) = self.mail(None, relay)?;
                rings.push(queue);
                commit.enqueue.push(enqueue);
            }
            if commit == Commit::default() {
                return Ok(None);
            }
            match self.inner.store.commit(commit) {
                Ok(_) => {
                    rings
                        .iter()
                        .for_each(|queue| self.inner.signals.ring(queue));
                    return Ok(id);
                }
                Err(CommitError::Refused { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ExchangeError::Interrupted)
    }

    /// Sender and receiver as the address register has them.
    fn parties(&self, submission: &Submission) -> Result<(Party, Party), TransportError> {
        let unknown = |name: &str, her_id: u32| TransportError {
            condition: ErrorCondition::InvalidFieldValue,
            description: format!("{name} {her_id} is not in the address register"),
            data: vec![name.to_owned(), her_id.to_string()],
        };
        let directory = &self.inner.directory;
        if submission.body.len() > MAX_BODY_BYTES {
            let text = format!(
                "the message is larger than {} MiB; send less, or refer to the attachment",
                MAX_BODY_BYTES >> 20
            );
            return Err(TransportError::new(ErrorCondition::InvalidFieldValue, text));
        }
        let receiver = directory
            .party(submission.to)
            .ok_or_else(|| unknown("toHerId", submission.to))?;
        let sender = directory
            .party(submission.from)
            .ok_or_else(|| unknown("fromHerId", submission.from))?;
        if organisation_of(&sender) != submission.organisation {
            return Err(TransportError {
                condition: ErrorCondition::SpoofingAttack,
                description: format!(
                    "fromHerId {} does not belong to the organisation that sends ({})",
                    submission.from, submission.organisation
                ),
                data: vec![
                    submission.from.to_string(),
                    submission.organisation.to_string(),
                ],
            });
        }
        Ok((sender, receiver))
    }

    fn track_of(&self, id: &str, submission: &Submission) -> Track {
        let short = |text: &str, most: usize| text.chars().take(most).collect::<String>();
        let now = self.inner.clock.now_us();
        let mut track = Track {
            id: id.to_owned(),
            transport: submission.transport,
            road: submission.road,
            message_id: short(&submission.transport_id, 200),
            subject: short(&submission.function, 60),
            content_type: short(&submission.content_type, 100),
            from: submission.from,
            from_organisation: submission.organisation,
            to: submission.to,
            bytes: submission.body.len() as u64,
            received_at_us: now,
            sent_at_us: submission.sent_at_us,
            msg_id: submission.msg_id.as_deref().map(|text| short(text, 100)),
            conversation: submission
                .conversation
                .as_deref()
                .map(|text| short(text, 100)),
            cpa_id: submission.cpa_id.as_deref().map(|text| short(text, 100)),
            schema: submission.schema.as_ref().map(|schema| Schema {
                namespace: short(&schema.namespace, 200),
                version: schema.version.as_deref().map(|text| short(text, 40)),
            }),
            system: submission.system.as_deref().map(|text| short(text, 100)),
            details: submission
                .details
                .iter()
                .take(40)
                .map(|(name, value)| (short(name, 60), short(value, 200)))
                .collect(),
            ..Track::default()
        };
        let bytes = track.bytes;
        track.step(
            now,
            StepKind::Received { bytes },
            submission.transport.code(),
        );
        track
    }

    fn plan_submission(
        &self,
        submission: &Submission,
        mut track: Track,
    ) -> Result<(Commit, Vec<String>), StoreError> {
        let now = track.received_at_us;
        let mut commit = Commit {
            expect: vec![Expect::Claim(self.transfer_claim(submission))],
            ..Commit::default()
        };
        let (mut rings, mut blobs) = (Vec::new(), Vec::new());
        track.step(now, StepKind::Checked, "");
        if submission.road.carries_document() {
            let hash = self.keep_bytes(&submission.body, &mut commit)?;
            track.original = Some(hex(&hash));
        }
        if let Some(answer) = &submission.answer {
            let hash = self.keep_bytes(&answer.mail, &mut commit)?;
            track.answer = Some(hex(&hash));
            let (queue, enqueue, _) = self.mail(None, answer)?;
            rings.push(queue);
            commit.enqueue.push(enqueue);
        }
        let place = match submission.road {
            Road::Bus | Road::Hub => {
                let queue = QueueName::new(track.to_organisation, QueueKind::Async);
                let enqueue = self.hub_row(&track, submission, &queue)?;
                rings.push(queue.store_name());
                commit.enqueue.push(enqueue);
                queue.to_string()
            }
            Road::Mail => {
                let relay = Relay {
                    organisation: track.to_organisation,
                    mail: submission.body.clone(),
                };
                let (queue, enqueue, blob) = self.mail(Some(&track.id), &relay)?;
                blobs.extend(blob);
                rings.push(queue.clone());
                commit.enqueue.push(enqueue);
                queue
            }
            Road::Api => {
                track.is_unread = true;
                format!("api:{}", track.to)
            }
            Road::Handler => {
                track.next_attempt_us = Some(now);
                "handler".to_owned()
            }
        };
        track.queue.clone_from(&place);
        track.step(now, StepKind::Queued { queue: place }, "");
        match &submission.kind {
            Kind::Business { expects_receipt } => {
                self.note_earlier(&mut track, &mut commit)?;
                if *expects_receipt {
                    track.expect_receipt();
                }
            }
            Kind::Receipt {
                original_msg_id,
                known,
            } => {
                track.subject = APPREC.to_owned();
                let found = match original_msg_id {
                    Some(id) => {
                        let id = id.to_lowercase();
                        self.inner.tracks.find(param::MSG_ID, id.as_bytes(), 8)?
                    }
                    // A sealed receipt over ebXML says in its envelope which message it answers.
                    None => match submission.detail("ref_to_message_id") {
                        Some(id) => {
                            let id = id.as_bytes();
                            self.inner.tracks.find(param::MESSAGE_ID, id, 8)?
                        }
                        None => Vec::new(),
                    },
                };
                let receipt = known.clone().unwrap_or(Receipt::Sealed);
                self.match_receipt(&mut track, found, receipt, &mut commit);
            }
        }
        let mut put = self.inner.tracks.create(&track);
        put.blobs.extend(blobs);
        commit.put.push(put);
        metrics::counter!("meldinger_received_total", "subject" => track.subject.clone())
            .increment(1);
        Ok((commit, rings))
    }

    /// Ties a receipt to the message it answers, and to what repeats it: a receiver answers once. The answering party must be the one that was
    /// written to.
    pub(crate) fn match_receipt(
        &self,
        track: &mut Track,
        found: Vec<Stored>,
        receipt: Receipt,
        commit: &mut Commit,
    ) {
        let now = track.received_at_us;
        let answers = |stored: &&Stored| {
            stored.track.from_organisation == track.to_organisation
                && stored.track.to_organisation == track.from_organisation
                && stored.track.subject != APPREC
        };
        // With copies to several units of one organisation, each unit answers for itself.
        let exact = found
            .iter()
            .filter(answers)
            .find(|stored| stored.track.to == track.from);
        let Some(original) = exact.or_else(|| found.iter().find(answers)) else {
            let text = "a receipt for a message that did not pass here".to_owned();
            track.step(now, StepKind::Note { text }, "");
            return;
        };
        track.about = Some(original.track.id.clone());
        let repeats = found.iter().filter(|stored| {
            stored.track.id != original.track.id
                && stored.track.from == original.track.from
                && stored.track.to == original.track.to
                && stored.track.state.awaits_receipt()
        });
        for stored in std::iter::once(original).chain(repeats) {
            let mut stored = stored.clone();
            stored.track.receipt_arrived(now, receipt.clone());
            let (expect, put) = self.inner.tracks.update(&stored);
            commit.expect.push(expect);
            commit.put.push(put);
        }
    }

    /// A message with a MsgId of before: says what the rules say of it, and puts aside the one it takes the place of.
    pub(crate) fn note_earlier(
        &self,
        track: &mut Track,
        commit: &mut Commit,
    ) -> Result<(), StoreError> {
        let Some(msg_id) = track.msg_id.as_ref().map(|id| id.to_lowercase()) else {
            return Ok(());
        };
        let found = self
            .inner
            .tracks
            .find(param::MSG_ID, msg_id.as_bytes(), 8)?;
        let now = track.received_at_us;
        let mut newest = None;
        for mut stored in found.into_iter().filter(|stored| {
            stored.track.from == track.from
                && stored.track.to == track.to
                && stored.track.subject != APPREC
        }) {
            let rule = judge(stored.track.state.stage());
            newest.get_or_insert_with(|| (rule, stored.track.id.clone()));
            if rule == Resend::Replaces {
                let by = track.id.clone();
                stored.track.step(now, StepKind::Replaced { by }, "");
                stored.track.noted("resent");
                let (expect, put) = self.inner.tracks.update(&stored);
                commit.expect.push(expect);
                commit.put.push(put);
            }
        }
        if let Some((rule, of)) = newest {
            track.step(now, StepKind::Resend { rule, of }, "");
        }
        Ok(())
    }

    /// The row that the hub's own desk takes: an opened document.
    fn hub_row(
        &self,
        track: &Track,
        submission: &Submission,
        queue: &QueueName,
    ) -> Result<Enqueue, StoreError> {
        let mut message = Message {
            body: submission.body.clone(),
            ..Message::default()
        };
        message.properties.message_id = Some(MessageId::String(track.message_id.clone()));
        message.properties.subject = Some(track.subject.clone());
        let (enqueue, _) = self.enqueue(&queue.store_name(), Some(&track.id), &message, None)?;
        enqueue.ok_or_else(|| StoreError::Invalid("the envelope is too large".to_owned()))
    }

    /// A row of somebody's mailbox, and the mailbox's queue.
    pub(crate) fn mail(
        &self,
        track: Option<&str>,
        relay: &Relay,
    ) -> Result<(String, Enqueue, Option<BlobHash>), StoreError> {
        let queue = mailbox(relay.organisation);
        let message = Message {
            body: relay.mail.clone(),
            ..Message::default()
        };
        let (enqueue, blob) = self.enqueue(&queue, track, &message, None)?;
        let enqueue =
            enqueue.ok_or_else(|| StoreError::Invalid("the envelope is too large".to_owned()))?;
        Ok((queue, enqueue, blob))
    }

    /// Bytes that a track will refer to.
    pub(crate) fn keep_bytes(
        &self,
        bytes: &Bytes,
        commit: &mut Commit,
    ) -> Result<[u8; 32], StoreError> {
        if bytes.len() > MAX_INLINE_BLOB_BYTES {
            return self.inner.store.stage_blob(bytes);
        }
        let blob = BlobPut::of(bytes.clone());
        let hash = blob.hash;
        if !commit.blob.iter().any(|known| known.hash == hash) {
            commit.blob.push(blob);
        }
        Ok(hash)
    }

    fn transfer_claim(&self, submission: &Submission) -> Claim {
        let key = format!(
            "{}|{}|{}|{}",
            submission.transport.code(),
            submission.organisation,
            submission.to,
            submission.transport_id
        );
        let content = submission
            .fingerprint
            .unwrap_or_else(|| store::sha256(&submission.body));
        Claim {
            space: "transfer".to_owned(),
            key: store::sha256(key.as_bytes()).to_vec(),
            value: content.to_vec(),
            until: Some(self.real_now_us() + SAME_TRANSFER_US),
        }
    }

    /// The same transport id again: noted, and answered as before.
    fn again(&self, submission: &Submission, claimed: &[u8]) -> Result<Submitted, ExchangeError> {
        let claim = self.transfer_claim(submission);
        let same_content = claim.value == claimed;
        metrics::counter!("meldinger_duplicates_total", "same_content" => if same_content { "true" } else { "false" }).increment(1);
        for _ in 0..ATTEMPTS {
            let id = submission.transport_id.as_bytes();
            let found = self.inner.tracks.find(param::MESSAGE_ID, id, 16)?;
            let first = found.into_iter().find(|stored| {
                stored.track.transport == submission.transport
                    && stored.track.from_organisation == submission.organisation
                    && stored.track.to == submission.to
                    && !matches!(stored.track.state, State::Failed { .. })
            });
            let Some(mut stored) = first else {
                return Ok(Submitted::Duplicate {
                    track: None,
                    same_content,
                    answer: None,
                });
            };
            let now = self.inner.clock.now_us();
            stored
                .track
                .step(now, StepKind::Duplicate { same_content }, "same id");
            if !same_content {
                stored.track.alert = Some(Alert::FalseDuplicate);
                tracing::warn!(
                    organisation = submission.organisation,
                    "security event: falsk duplikat (a used id with other content)"
                );
            }
            let answer = match stored.track.answer.as_deref() {
                Some(hash) if same_content => self.blob_of(hash)?,
                _ => None,
            };
            let mut commit = Commit::default();
            let mut rings = Vec::new();
            if let (Some(mail), Some(relay)) = (&answer, &submission.answer) {
                let same_again = Relay {
                    organisation: relay.organisation,
                    mail: mail.clone(),
                };
                let (queue, enqueue, _) = self.mail(None, &same_again)?;
                rings.push(queue);
                commit.enqueue.push(enqueue);
            }
            let (expect, put) = self.inner.tracks.update(&stored);
            commit.expect.push(expect);
            commit.put.push(put);
            match self.inner.store.commit(commit) {
                Ok(_) => {
                    rings
                        .iter()
                        .for_each(|queue| self.inner.signals.ring(queue));
                    return Ok(Submitted::Duplicate {
                        track: Some(stored.track.id),
                        same_content,
                        answer,
                    });
                }
                Err(CommitError::Refused { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ExchangeError::Interrupted)
    }
}

/// Name of an organisation's mailbox among the queues.
pub(crate) fn mailbox(organisation: u32) -> String {
    format!("mail:{organisation}")
}
