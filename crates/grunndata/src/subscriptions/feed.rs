//! From the registers' events to the subscribers' queues: what is put into the queues and how far the events have been
//! read is one commit, so no event is lost or comes twice, whatever dies in between and however many processes feed.

use super::held::{Source, Subscription};
use super::{Subscriptions, store_queue};
use crate::cppa::Cppa;
use amqp::port::{Message, MessageId, Properties, Simple};
use bytes::Bytes;
use registers::organisations::resh::Resh;
use registers::parties::Parties;
use std::sync::Arc;
use store::{AuditEntry, Commit, CommitError, Enqueue, Expect, Position, Seq, StoreError};

/// Events of one commit.
const BATCH: usize = 200;
/// Messages of one commit.
const MAX_MESSAGES: usize = 5_000;
/// How long a message waits for its receiver: 90 days, microseconds.
const KEPT_US: i64 = 90 * 86_400 * 1_000_000;
/// Deliveries before a message goes to the dead letters.
const MAX_DELIVERIES: u32 = 10;

/// An event on its way to the queues.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Happened {
    /// Number in its register.
    pub number: u64,
    /// Name.
    pub name: &'static str,
    /// Properties besides the name.
    pub properties: Vec<(&'static str, Simple)>,
    /// The object it is about as XML, where the message is more than a pointer.
    pub document: Option<String>,
    /// Organisations whose subscribers it is for, and the national id it tells them; `None`: it is for everybody.
    pub only_for: Option<Confidence>,
}

/// An event that tells something about a patient.
#[derive(Clone, PartialEq)]
pub struct Confidence {
    /// Organisation numbers of those who may know.
    pub orgnrs: Vec<String>,
    /// National id of the patient, where one is told.
    pub nin: Option<String>,
}

/// National ids never reach a log.
impl std::fmt::Debug for Confidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Confidence({:?})", self.orgnrs)
    }
}

/// A register whose events are fed.
pub trait EventSource: Send + Sync {
    /// Name of the consumer's position in the store.
    fn consumer(&self) -> &'static str;
    /// Which source subscribers know it as.
    fn source(&self) -> Source;
    /// Events from a number on (inclusive), at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn events(&self, from: u64, limit: usize) -> Result<Vec<Happened>, StoreError>;
    /// The line of the access journal that telling a subscriber leaves; none where nothing is told about a person.
    fn line(&self, _happened: &Happened, _user: &str, _now_us: i64) -> Option<AuditEntry> {
        None
    }
}

/// Whether a subscriber's organisation is one of those the event is for.
fn may_know(subscription: &Subscription, happened: &Happened) -> bool {
    let Some(confidence) = &happened.only_for else {
        return true;
    };
    let orgnr = subscription.user.strip_prefix("OrgUsr");
    orgnr.is_some_and(|orgnr| confidence.orgnrs.iter().any(|may| may == orgnr))
}

/// HER-ids and RESH ids: signed, 32 bits.
fn her_id(number: u32) -> Simple {
    Simple::Signed(number.into(), 32)
}

impl EventSource for Parties {
    fn consumer(&self) -> &'static str {
        "subscriptions/parties"
    }

    fn source(&self) -> Source {
        Source::AddressRegister
    }

    fn events(&self, from: u64, limit: usize) -> Result<Vec<Happened>, StoreError> {
        let events = Parties::events(self, from, limit)?;
        let happened = events.into_iter().map(|e| Happened {
            number: e.number,
            name: e.kind.kind.name(),
            properties: vec![("herId", her_id(e.kind.her_id))],
            ..Happened::default()
        });
        Ok(happened.collect())
    }
}

impl EventSource for Resh {
    fn consumer(&self) -> &'static str {
        "subscriptions/resh"
    }

    fn source(&self) -> Source {
        Source::Resh
    }

    fn events(&self, from: u64, limit: usize) -> Result<Vec<Happened>, StoreError> {
        let events = Resh::events(self, from, limit)?;
        let happened = events.into_iter().map(|e| Happened {
            number: e.number,
            name: e.kind.name(),
            properties: vec![("reshId", her_id(e.kind.id))],
            ..Happened::default()
        });
        Ok(happened.collect())
    }
}

/// Profiles of collaboration protocols.
pub struct Profiles(pub Arc<Cppa>);

impl EventSource for Profiles {
    fn consumer(&self) -> &'static str {
        "subscriptions/profiles"
    }

    fn source(&self) -> Source {
        Source::Cppa
    }

    fn events(&self, from: u64, limit: usize) -> Result<Vec<Happened>, StoreError> {
        let events = self.0.profile_events(from, limit)?;
        let happened = events.into_iter().map(|e| Happened {
            number: e.number,
            name: "CppUpdated",
            properties: vec![("herId", her_id(e.kind.her_id))],
            ..Happened::default()
        });
        Ok(happened.collect())
    }
}

/// Agreements of collaboration protocols.
pub struct Agreements(pub Arc<Cppa>);

impl EventSource for Agreements {
    fn consumer(&self) -> &'static str {
        "subscriptions/agreements"
    }

    fn source(&self) -> Source {
        Source::Cppa
    }

    fn events(&self, from: u64, limit: usize) -> Result<Vec<Happened>, StoreError> {
        let events = self.0.agreement_events(from, limit)?;
        let happened = events.into_iter().map(|e| {
            let [first, second] = e.kind.her_ids;
            Happened {
                number: e.number,
                name: e.kind.name(),
                properties: vec![
                    ("herId", her_id(first)),
                    ("otherHerId", her_id(second)),
                    ("cpaId", Simple::String(e.kind.id.clone())),
                ],
                ..Happened::default()
            }
        });
        Ok(happened.collect())
    }
}

/// The message of an event. Its id is the same for everyone and every time.
#[must_use]
pub fn message(consumer: &str, happened: &Happened, queue: &str) -> Message {
    let name = format!("{consumer}/{}", happened.number);
    let id = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes());
    let mut message = Message {
        properties: Properties {
            message_id: Some(MessageId::String(id.to_string())),
            subject: Some(happened.name.to_owned()),
            to: Some(queue.to_owned()),
            ..Properties::default()
        },
        ..Message::default()
    };
    message.set_property("eventName", happened.name);
    for (name, value) in &happened.properties {
        message.set_property(name, value.clone());
    }
    if let Some(document) = &happened.document {
        message.properties.content_type = Some("application/xml".to_owned());
        message.body = Bytes::from(document.clone());
    }
    message
}

/// Feeds what there is of one register, at most one batch. Whether there may be more. Blocks.
///
/// # Errors
/// When the store cannot be read or written.
pub fn feed_once(
    subscriptions: &Subscriptions,
    register: &dyn EventSource,
    now_us: i64,
) -> Result<bool, StoreError> {
    let store = subscriptions.store();
    let consumer = register.consumer();
    let at = store.position(consumer)?;
    let events = register.events(at.0 + 1, BATCH)?;
    if events.is_empty() {
        return Ok(false);
    }
    // After the events were read: whoever subscribed before them is known.
    subscriptions.follow()?;
    let subscribers: Vec<Subscription> = subscriptions.all();
    let (mut enqueue, mut audit) = (Vec::new(), Vec::new());
    let mut to = at;
    for happened in &events {
        let wanted: Vec<&Subscription> = subscribers
            .iter()
            .filter(|s| s.wants(register.source(), happened.name) && may_know(s, happened))
            .collect();
        if !enqueue.is_empty() && enqueue.len() + wanted.len() > MAX_MESSAGES {
            break;
        }
        for subscription in wanted {
            let message = message(consumer, happened, &subscription.queue);
            let headers = serde_json::to_vec(&message)
                .map_err(|e| StoreError::Invalid(format!("event message: {e}")))?;
            enqueue.push(Enqueue {
                queue: store_queue(&subscription.queue),
                due_at: None,
                expires_at: Some(now_us.saturating_add(KEPT_US)),
                max_deliveries: MAX_DELIVERIES,
                headers: Bytes::from(headers),
                body: message.body,
            });
            audit.extend(register.line(happened, &subscription.user, now_us));
        }
        to = Seq(happened.number);
    }
    let rings = !enqueue.is_empty();
    let commit = Commit {
        expect: vec![Expect::Position {
            consumer: consumer.to_owned(),
            at,
        }],
        position: vec![Position {
            consumer: consumer.to_owned(),
            to,
        }],
        enqueue,
        audit,
        ..Commit::default()
    };
    match store.commit(commit) {
        Ok(_) => {
            if rings {
                subscriptions.bell.notify_waiters();
            }
            Ok(true)
        }
        // Another process was faster, or it is not known: read the position again.
        Err(CommitError::Refused { .. } | CommitError::OutcomeUnknown(_)) => Ok(true),
        Err(CommitError::Invalid(text)) => Err(StoreError::Invalid(text)),
        Err(other) => Err(StoreError::Unavailable(other.to_string())),
    }
}

/// Feeds all registers until nothing is left. Blocks.
///
/// # Errors
/// When the store cannot be read or written.
pub fn feed_all(
    subscriptions: &Subscriptions,
    registers: &[Arc<dyn EventSource>],
    now_us: i64,
) -> Result<(), StoreError> {
    for register in registers {
        while feed_once(subscriptions, &**register, now_us)? {}
    }
    Ok(())
}
