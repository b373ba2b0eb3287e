//! The heart of the service: taking messages, handing them out, ending leases. One commit per step.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use amqp::port::{Disposition, Message};
use bytes::Bytes;
use edge::Clock;
use edi::errorqueue::{ErrorCondition, TransportError};
use registers::directory::Directory;
use serde::{Deserialize, Serialize};
use store::{Claim, Commit, CommitError, Enqueue, Expect, Granted, Refusal, Store, StoreError};
use uuid::Uuid;
use xmlsec::key::Identity;
use xmlsec::x509::{RevocationPolicy, TrustStore};

use crate::counter::{JustTold, Told};
use crate::delivery::InHand;
use crate::hands::Hands;
use crate::port::Schema;
use crate::recent::Recent;
use crate::reply::error_message;
use crate::rules::envelope::{self, APPREC, Envelope, Refused, Seen, property};
use crate::rules::queue::{QueueKind, QueueName};
use crate::rules::track::{Alert, Receipt, StepKind, Track};
use crate::signals::Signals;
use crate::tracks::{Stored, TRACK_BYTES, Tracks, hex, json, param};
use crate::users::Users;

/// Bodies above this are kept as blobs beside the queue, whose own limit is 32 MiB.
const MAX_QUEUED_BODY: usize = 30 << 20;
/// Largest body that is hashed in passing.
const LIGHT_BYTES: usize = 256 << 10;
/// Largest envelope as stored.
const MAX_HEADERS: usize = 60 << 10;
/// A transfer seen again within this time is the same transfer.
const SAME_TRANSFER_US: i64 = 14 * 86_400_000_000;
/// Time to live of synchronous messages without one of their own.
const SYNC_TTL_MS: u32 = 15_000;
/// How often a commit that lost a race is decided anew.
pub(crate) const ATTEMPTS: usize = 5;

/// Switches of the exchange.
#[derive(Debug, Clone)]
pub struct ExchangeConfig {
    /// Level-1 HER-id of the hub itself; its queues belong to the hub-run receivers.
    pub hub_her_id: u32,
    /// How long a delivery is locked without renewal, milliseconds. At least a minute (spec/messaging.md §4.5).
    pub lock_ms: u64,
    /// Hub-run receivers also take unprotected XML (`text/plain`). Sandboxes only.
    pub accept_clear_text: bool,
    /// How long a message to a hub-run receiver that failed here waits, milliseconds (a minute by spec/messaging.md §4.5).
    pub retry_ms: u64,
    /// Whether a signer without known revocation status is refused.
    pub revocation: RevocationPolicy,
}

impl Default for ExchangeConfig {
    fn default() -> Self {
        Self {
            hub_her_id: 8_900_000,
            lock_ms: 120_000,
            accept_clear_text: false,
            retry_ms: 60_000,
            revocation: RevocationPolicy::Required,
        }
    }
}

/// The hub's own keys for messages.
#[derive(Debug, Clone)]
pub struct HubKeys {
    /// Signs receipts.
    pub signing: Identity,
    /// Opens messages: the current key first, then earlier ones.
    pub decryption: Vec<Identity>,
}

/// Everything the exchange is made of.
pub struct Parts {
    /// The store, with the repository of [`crate::repositories`].
    pub store: Store,
    /// Right of a hub job on that repository (`Trust::hub`).
    pub grant: Granted,
    /// The registers.
    pub directory: Arc<dyn Directory>,
    /// The clock of rules.
    pub clock: Clock,
    /// Who may log in.
    pub users: Arc<Users>,
    /// The hub's keys.
    pub keys: HubKeys,
    /// Trusted authorities and their revocation lists.
    pub trust: TrustStore,
    /// Keys with which the receipts of a level-1 HER-id may be read, where a party has allowed it (all parties, in the demo).
    pub receipt_keys: HashMap<u32, Vec<Identity>>,
    /// Switches.
    pub config: ExchangeConfig,
}

/// Why the exchange could not answer.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// A read failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A write failed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The background task died.
    #[error("the work was interrupted")]
    Interrupted,
}

/// The exchange. Cheap to clone.
#[derive(Clone)]
pub struct Exchange {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub store: Store,
    pub tracks: Tracks,
    pub directory: Arc<dyn Directory>,
    pub clock: Clock,
    pub users: Arc<Users>,
    pub keys: RwLock<HubKeys>,
    pub trust: RwLock<Arc<TrustStore>>,
    pub receipt_keys: HashMap<u32, Vec<Identity>>,
    pub config: ExchangeConfig,
    pub signals: Signals,
    pub in_hand: Mutex<HashMap<u64, InHand>>,
    pub hands: Hands,
    pub recent: Recent,
    pub just_told: JustTold,
}

/// What stands beside a message in its queue.
#[derive(Debug, Deserialize)]
pub(crate) struct Headers {
    /// Track of the message; absent for error messages made here.
    #[serde(rename = "t", default)]
    pub track: Option<String>,
    /// The envelope.
    #[serde(rename = "m")]
    pub message: Message,
    /// SHA-256 (hex) of a body kept as blob.
    #[serde(rename = "b", default)]
    pub blob: Option<String>,
}

/// The same on its way into the queue.
#[derive(Serialize)]
struct HeadersRef<'a> {
    #[serde(rename = "t", skip_serializing_if = "Option::is_none")]
    track: Option<&'a str>,
    #[serde(rename = "m")]
    message: &'a Message,
    #[serde(rename = "b", skip_serializing_if = "Option::is_none")]
    blob: Option<String>,
}

/// A commit with what to do about its outcome.
struct Plan {
    commit: Commit,
    /// Queues to ring afterwards.
    ring: Vec<String>,
    /// Answer to the sender when it succeeds.
    answer: Disposition,
    /// The new track, which the last put of the commit writes.
    track: Option<Track>,
}

impl Exchange {
    /// Puts the exchange together. Call from a blocking thread.
    ///
    /// # Errors
    /// When the store lacks the repository.
    pub fn new(parts: Parts) -> Result<Self, StoreError> {
        let tracks = Tracks::new(parts.store.clone(), parts.grant)?;
        let hands = Hands::new(parts.store.reads_are_quick());
        Ok(Self {
            inner: Arc::new(Inner {
                store: parts.store,
                tracks,
                directory: parts.directory,
                clock: parts.clock,
                users: parts.users,
                keys: RwLock::new(parts.keys),
                trust: RwLock::new(Arc::new(parts.trust)),
                receipt_keys: parts.receipt_keys,
                config: parts.config,
                signals: Signals::default(),
                in_hand: Mutex::default(),
                hands,
                recent: Recent::default(),
                just_told: JustTold::default(),
            }),
        })
    }

    /// Replaces the trusted authorities and revocation lists.
    pub fn set_trust(&self, trust: TrustStore) {
        *self
            .inner
            .trust
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(trust);
    }

    /// The trusted authorities and revocation lists as they are now.
    #[must_use]
    pub fn trust(&self) -> Arc<TrustStore> {
        self.inner
            .trust
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Replaces the hub's keys; keep the earlier decryption keys for 84 hours (spec/messaging.md §9).
    pub fn set_keys(&self, keys: HubKeys) {
        *self
            .inner
            .keys
            .write()
            .unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// The users of the bus.
    #[must_use]
    pub fn users(&self) -> &Arc<Users> {
        &self.inner.users
    }

    /// The queue an address names, as that of the organisation behind it; `Err` names what is wrong.
    pub(crate) fn resolve(&self, address: &str) -> Result<QueueName, String> {
        let name = QueueName::parse(address).ok_or_else(|| {
            "the address names no queue; expected <HER-id>_async, _sync, _syncreply or _error"
                .to_owned()
        })?;
        let party = self.inner.directory.party(name.her_id).ok_or_else(|| {
            format!(
                "queue {name} does not exist: HER-id {} is not in the address register",
                name.her_id
            )
        })?;
        Ok(name.of(envelope::organisation_of(&party)))
    }

    /// Takes a message from a user of `organisation`. `Accepted` only after it is durable.
    pub(crate) async fn receive(
        &self,
        organisation: u32,
        queue: QueueName,
        mut message: Message,
    ) -> Disposition {
        envelope::make_readable(&mut message, queue.kind);
        let arrival = Arc::new(Arrival {
            organisation,
            queue,
            message,
            received_at_us: self.inner.clock.now_us(),
            id: Uuid::now_v7().to_string(),
        });
        for _ in 0..ATTEMPTS {
            let (exchange, this) = (self.clone(), arrival.clone());
            let plan = move || exchange.plan(&this);
            let planned = if arrival.is_light() {
                self.inner.hands.ask_briefly(plan).await
            } else {
                self.inner.hands.ask(plan).await
            };
            let plan = match planned {
                Some(Ok(plan)) => plan,
                Some(Err(error)) => {
                    tracing::error!(%error, "message not taken");
                    return Disposition::Released;
                }
                None => return Disposition::Released,
            };
            match self.inner.store.submit(plan.commit).await {
                Ok(committed) => {
                    if let (Some(track), Some(put)) = (plan.track, committed.puts.last()) {
                        let vno = put.vno;
                        self.inner.just_told.put(put.seq, Told::from(&track));
                        self.inner.recent.put(Stored { track, vno });
                    }
                    plan.ring
                        .iter()
                        .for_each(|queue| self.inner.signals.ring(queue));
                    return plan.answer;
                }
                Err(CommitError::Refused {
                    index: 0,
                    refusal: Refusal::ClaimTaken { value },
                }) => {
                    return self.seen_before(&arrival, &value).await;
                }
                // Somebody changed a track meanwhile, or the outcome is unknown: decide anew. The claim makes that safe.
                Err(CommitError::Refused { .. } | CommitError::OutcomeUnknown(_)) => {}
                Err(CommitError::Unavailable(error)) => {
                    tracing::error!(%error, "message not taken");
                    return Disposition::Released;
                }
                Err(error) => {
                    tracing::error!(%error, "message not taken");
                    return rejected("amqp:internal-error", "the message could not be stored");
                }
            }
        }
        Disposition::Released
    }

    /// The same transfer again: a sender that did not hear our answer. It is accepted once more and not kept twice; another content under the same
    /// message-id is refused.
    async fn seen_before(&self, arrival: &Arc<Arrival>, claimed: &[u8]) -> Disposition {
        let same_content = claimed == arrival.body_hash();
        metrics::counter!("meldinger_duplicates_total", "same_content" => if same_content { "true" } else { "false" }).increment(1);
        let (exchange, this) = (self.clone(), arrival.clone());
        let note = move || {
            let message_id = envelope::seen(&this.message).message_id.unwrap_or_default();
            let found = exchange
                .inner
                .tracks
                .find(param::MESSAGE_ID, message_id.as_bytes(), 1);
            let Some(mut stored) = found.ok().and_then(|mut found| found.pop()) else {
                return;
            };
            stored.track.step(
                this.received_at_us,
                StepKind::Duplicate { same_content },
                "same AMQP message-id",
            );
            let (expect, put) = exchange.inner.tracks.update(&stored);
            let _ = exchange.inner.store.commit(Commit {
                expect: vec![expect],
                put: vec![put],
                ..Commit::default()
            });
        };
        let _ = tokio::task::spawn_blocking(note).await;
        if same_content {
            Disposition::Accepted
        } else {
            rejected(
                "amqp:not-allowed",
                "this message-id was used before for another content; use a new one",
            )
        }
    }

    fn plan(&self, arrival: &Arrival) -> Result<Plan, StoreError> {
        let Arrival {
            message,
            queue,
            organisation,
            ..
        } = arrival;
        match envelope::check(message, *organisation, queue, self.inner.directory.as_ref()) {
            Ok(envelope) => self.plan_accepted(arrival, &envelope),
            Err(refused) => Ok(self.plan_refused(arrival, *refused)),
        }
    }

    fn plan_accepted(&self, arrival: &Arrival, envelope: &Envelope) -> Result<Plan, StoreError> {
        let now = arrival.received_at_us;
        let mut track = arrival.track();
        track.subject.clone_from(&envelope.subject);
        track.content_type.clone_from(&envelope.content_type);
        (track.from, track.from_organisation) = (envelope.from, envelope.from_organisation);
        (track.to, track.to_organisation) = (envelope.to, envelope.to_organisation);
        track.sent_at_us = envelope.sent_at_us;
        track.step(now, StepKind::Checked, "");
        track.step(
            now,
            StepKind::Queued {
                queue: envelope.queue.to_string(),
            },
            "",
        );
        let mut commit = Commit {
            expect: vec![Expect::Claim(
                arrival.claim(self.real_now_us(), &envelope.message_id),
            )],
            ..Commit::default()
        };
        match envelope.queue.kind {
            QueueKind::Error => self.note_error(arrival, &mut track, &mut commit)?,
            QueueKind::Async if envelope.subject == APPREC => {
                self.note_receipt(arrival, &mut track, &mut commit)?
            }
            QueueKind::Async => {
                self.note_earlier(&mut track, &mut commit)?;
                track.expect_receipt();
            }
            QueueKind::Sync | QueueKind::SyncReply => {}
        }
        let queue = envelope.queue.store_name();
        let mut put = self.inner.tracks.create(&track);
        let ttl_ms = arrival.message.header.ttl_ms.or(match envelope.queue.kind {
            QueueKind::Sync | QueueKind::SyncReply => Some(SYNC_TTL_MS),
            QueueKind::Async | QueueKind::Error => None,
        });
        let expires_at = ttl_ms.map(|ttl| self.real_now_us() + i64::from(ttl) * 1000);
        let (enqueue, blob) =
            self.enqueue(&queue, Some(&track.id), &arrival.message, expires_at)?;
        let Some(enqueue) = enqueue else {
            return Ok(Plan {
                commit: Commit::default(),
                ring: Vec::new(),
                answer: rejected(
                    "amqp:resource-limit-exceeded",
                    "the envelope is larger than 60 KiB",
                ),
                track: None,
            });
        };
        put.blobs.extend(blob);
        commit.put.push(put);
        commit.enqueue.push(enqueue);
        metrics::counter!("meldinger_received_total", "subject" => track.subject.clone())
            .increment(1);
        Ok(Plan {
            commit,
            ring: vec![queue],
            answer: Disposition::Accepted,
            track: Some(track),
        })
    }

    /// A receipt: the message it is about learns of it (spec/portals.md §6.1 "what the hub can know").
    fn note_receipt(
        &self,
        arrival: &Arrival,
        track: &mut Track,
        commit: &mut Commit,
    ) -> Result<(), StoreError> {
        let message = &arrival.message;
        let opened = self.read_receipt(track, &message.body);
        let original_msg_id = message
            .property(property::INFO_ORIGINAL_MSG_ID)
            .or_else(|| opened.as_ref().map(|(id, _)| id.clone()));
        let found = match &original_msg_id {
            Some(id) => self
                .inner
                .tracks
                .find(param::MSG_ID, id.to_lowercase().as_bytes(), 8)?,
            None => match &message.properties.correlation_id {
                Some(id) if Some(id) != message.properties.message_id.as_ref() => self
                    .inner
                    .tracks
                    .find(param::MESSAGE_ID, id.as_text().as_bytes(), 8)?,
                _ => Vec::new(),
            },
        };
        let receipt = opened.map_or(Receipt::Sealed, |(_, receipt)| receipt);
        self.match_receipt(track, found, receipt, commit);
        Ok(())
    }

    /// Status and codes of a receipt that is readable here: in clear text, or by the sender's key where that is allowed.
    fn read_receipt(&self, track: &Track, body: &Bytes) -> Option<(String, Receipt)> {
        let content = if track.content_type == "text/plain" {
            body.to_vec()
        } else {
            let keys = self.inner.receipt_keys.get(&track.to_organisation)?;
            xmlsec::cms::open(body, keys, xmlsec::asn1::Limits::default())
                .ok()?
                .content
        };
        let document = edi::xml::XmlDoc::parse(&content).ok()?;
        let receipt = edi::apprec::AppRec::read_doc(&document).ok()?;
        let codes = receipt
            .errors
            .iter()
            .map(|error| error.code().to_owned())
            .collect();
        Some((
            receipt.original.id.clone(),
            Receipt::Known {
                status: receipt.status.code().to_owned(),
                codes,
            },
        ))
    }

    /// An error message from a receiver: the message it is about has failed.
    fn note_error(
        &self,
        arrival: &Arrival,
        track: &mut Track,
        commit: &mut Commit,
    ) -> Result<(), StoreError> {
        let message = &arrival.message;
        let Some(original_id) = message.property(edi::errorqueue::property::ORIGINAL_MESSAGE_ID)
        else {
            return Ok(());
        };
        let condition = message
            .property(edi::errorqueue::property::ERROR_CONDITION)
            .unwrap_or_else(|| "unknown".to_owned());
        let known = ErrorCondition::parse(&condition).map_or("unknown", ErrorCondition::as_str);
        let found = self
            .inner
            .tracks
            .find(param::MESSAGE_ID, original_id.as_bytes(), 8)?;
        let concerns = |stored: &Stored| {
            stored.track.from_organisation == track.to_organisation
                && stored.track.to_organisation == track.from_organisation
        };
        let Some(mut original) = found.into_iter().find(concerns) else {
            return Ok(());
        };
        track.about = Some(original.track.id.clone());
        original.track.step(
            arrival.received_at_us,
            StepKind::ErrorArrived {
                condition: known.to_owned(),
            },
            "",
        );
        if !matches!(original.track.receipt, Some(Receipt::Known { .. })) {
            original.track.fail(known);
        }
        let (expect, put) = self.inner.tracks.update(&original);
        commit.expect.push(expect);
        commit.put.push(put);
        Ok(())
    }

    /// A message that failed a check: kept as track, answered on the sender's own error queue.
    fn plan_refused(&self, arrival: &Arrival, refused: Refused) -> Plan {
        let Refused { error, seen } = refused;
        let condition = error.condition.as_str();
        metrics::counter!("meldinger_refused_total", "condition" => condition).increment(1);
        if arrival.queue.kind == QueueKind::Error {
            // Never an error about an error.
            return Plan {
                commit: Commit::default(),
                ring: Vec::new(),
                answer: rejected("amqp:invalid-field", &error.description),
                track: None,
            };
        }
        let mut track = arrival.track();
        track.subject = seen
            .subject
            .clone()
            .unwrap_or_default()
            .chars()
            .take(60)
            .collect();
        track.message_id = seen.message_id.clone().unwrap_or_default();
        track.to = seen.to.unwrap_or_default();
        track.from = seen.from.unwrap_or(arrival.organisation);
        track.step(
            arrival.received_at_us,
            StepKind::Refused {
                condition: condition.to_owned(),
            },
            error.description.clone(),
        );
        track.fail(condition);
        if error.condition.is_abuse() {
            track.alert = Some(Alert::Spoofing);
            tracing::warn!(
                organisation = arrival.organisation,
                claimed = track.from,
                "security event: sender claims to be somebody else"
            );
        }
        let (enqueue, queue) =
            self.error_to_sender(&seen, &error, arrival.organisation, arrival.received_at_us);
        let put = vec![self.inner.tracks.create(&track)];
        // A transfer without message-id cannot be told from its repetition.
        let claim = seen
            .message_id
            .as_deref()
            .map(|id| Expect::Claim(arrival.claim(self.real_now_us(), id)));
        let commit = Commit {
            expect: claim.into_iter().collect(),
            put,
            enqueue: enqueue.into_iter().collect(),
            ..Commit::default()
        };
        Plan {
            commit,
            ring: vec![queue],
            answer: Disposition::Accepted,
            track: None,
        }
    }

    /// An error message for the error queue of `organisation`, and that queue's name.
    pub(crate) fn error_to_sender(
        &self,
        seen: &Seen,
        error: &TransportError,
        organisation: u32,
        received_at_us: i64,
    ) -> (Option<Enqueue>, String) {
        let own = seen.from.filter(|from| {
            self.inner
                .directory
                .party(*from)
                .is_some_and(|party| envelope::organisation_of(&party) == organisation)
        });
        let seen = Seen {
            from: own,
            ..seen.clone()
        };
        let hub = self.inner.config.hub_her_id;
        let message = error_message(
            &seen,
            error,
            hub,
            organisation,
            received_at_us,
            self.inner.clock.now_us(),
        );
        let queue = QueueName::new(organisation, QueueKind::Error).store_name();
        let enqueue = self
            .enqueue(&queue, None, &message, None)
            .ok()
            .and_then(|(enqueue, _)| enqueue);
        (enqueue, queue)
    }

    /// The queue row of a message; nothing when its envelope is too large. A large body becomes a blob, which the track then refers to.
    pub(crate) fn enqueue(
        &self,
        queue: &str,
        track: Option<&str>,
        message: &Message,
        expires_at: Option<i64>,
    ) -> Result<(Option<Enqueue>, Option<store::BlobHash>), StoreError> {
        let blob = (message.body.len() > MAX_QUEUED_BODY)
            .then(|| self.inner.store.stage_blob(&message.body))
            .transpose()?;
        let headers = HeadersRef {
            track,
            message,
            blob: blob.as_ref().map(|hash| hex(hash)),
        };
        let headers = json(&headers, TRACK_BYTES);
        if headers.is_empty() || headers.len() > MAX_HEADERS {
            return Ok((None, None));
        }
        let body = if blob.is_some() {
            Bytes::new()
        } else {
            message.body.clone()
        };
        let enqueue = Enqueue {
            queue: queue.to_owned(),
            due_at: None,
            expires_at,
            max_deliveries: 0,
            headers,
            body,
        };
        Ok((Some(enqueue), blob))
    }

    pub(crate) fn real_now_us(&self) -> i64 {
        edge::clock::real_now_us()
    }
}

fn rejected(condition: &str, description: &str) -> Disposition {
    Disposition::Rejected {
        condition: condition.to_owned(),
        description: description.to_owned(),
    }
}

/// A message as it came in.
struct Arrival {
    organisation: u32,
    queue: QueueName,
    message: Message,
    received_at_us: i64,
    /// Id of its track, the same over all attempts.
    id: String,
}

impl Arrival {
    /// Whether planning it is quick: its body is hashed, and that of a receipt perhaps deciphered.
    fn is_light(&self) -> bool {
        self.message.body.len() <= LIGHT_BYTES
            && self.message.properties.subject.as_deref() != Some(APPREC)
    }

    fn body_hash(&self) -> [u8; 32] {
        store::sha256(&self.message.body)
    }

    /// One transfer is one message: the same message-id by the same organisation to the same queue.
    fn claim(&self, real_now_us: i64, message_id: &str) -> Claim {
        let key = format!("{}|{}|{message_id}", self.organisation, self.queue);
        Claim {
            space: "amqp-transfer".to_owned(),
            key: store::sha256(key.as_bytes()).to_vec(),
            value: self.body_hash().to_vec(),
            until: Some(real_now_us + SAME_TRANSFER_US),
        }
    }

    fn track(&self) -> Track {
        let seen = envelope::seen(&self.message);
        let bounded = |name| {
            self.message
                .property(name)
                .map(|text: String| text.chars().take(100).collect())
        };
        let mut track = Track {
            id: self.id.clone(),
            queue: self.queue.to_string(),
            message_id: seen
                .message_id
                .unwrap_or_default()
                .chars()
                .take(200)
                .collect(),
            subject: String::new(),
            content_type: self
                .message
                .properties
                .content_type
                .clone()
                .unwrap_or_default()
                .chars()
                .take(100)
                .collect(),
            from: self.organisation,
            from_organisation: self.organisation,
            to: 0,
            to_organisation: self.queue.her_id,
            bytes: self.message.body.len() as u64,
            received_at_us: self.received_at_us,
            sent_at_us: self.received_at_us,
            msg_id: bounded(property::INFO_MSG_ID),
            conversation: bounded(property::INFO_CONVERSATION),
            cpa_id: bounded(property::CPA),
            system: bounded(property::SYSTEM),
            schema: bounded(property::INFO_NAMESPACE).map(|namespace: String| Schema {
                namespace,
                version: None,
            }),
            ..Track::default()
        };
        track.step(
            self.received_at_us,
            StepKind::Received { bytes: track.bytes },
            "AMQP",
        );
        track
    }
}
