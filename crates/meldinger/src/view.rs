//! What people see of the message flow (spec/portals.md §6): plain values for the portal.
//!
//! An operator sees envelopes, states and codes, never content and never a person's name. A party sees its own messages. The original of
//! a message is shown to its parties only, and only where the hub could read it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use registers::directory::PartyKind;
use serde::{Deserialize, Serialize};
use store::{Direction, IndexRow, KeyRange, Rid};

use crate::exchange::{Exchange, ExchangeError, Headers};
use crate::reply::moment;
use crate::rules::queue::QueueName;
use crate::rules::resend::PUT_BACK;
use crate::rules::track::{Alert, RECEIPT_HOURS, Receipt, State, Step, StepKind, Track};
use crate::tracks::{ANYBODY, Stored, blob_hash, hour_key, is_found_by_state, param, state_key};

/// Most rows of one page.
pub const MAX_PAGE: usize = 200;
/// Rows looked at for one page before it is cut (with a cursor to go on).
const MAX_LOOKED_AT: usize = 2_000;
/// Rows counted for the summary.
const MAX_COUNTED: usize = 20_000;

/// Who looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Viewer {
    /// The hub's operator.
    Operator,
    /// Somebody of this level-1 HER-id's organisation.
    Party {
        /// Level-1 HER-id.
        organisation: u32,
    },
}

impl Viewer {
    pub(crate) fn may_see(self, track: &Track) -> bool {
        match self {
            Self::Operator => true,
            Self::Party { organisation } => track.concerns(organisation),
        }
    }
}

/// Which messages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MessageFilter {
    /// HER-id of a party, any level.
    pub her_id: Option<u32>,
    /// Message function (8279).
    pub subject: Option<String>,
    /// [`State::code`].
    pub state: Option<String>,
    /// Only what needs a human.
    pub needs_human: bool,
    /// Only security events.
    pub alerts: bool,
    /// Only what came in after this, microseconds since 1970 on the clock of rules.
    pub since_us: Option<i64>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// Rows wanted; at most [`MAX_PAGE`].
    pub limit: Option<usize>,
}

/// A party as people know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartyView {
    /// HER-id.
    pub her_id: u32,
    /// Name of the service and its organisation; of a person's party, the organisation only. Absent when unknown.
    pub name: Option<String>,
}

/// One row of the list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MessageRow {
    /// Id.
    pub id: String,
    /// How it came ([`crate::port::Transport::code`]).
    pub transport: &'static str,
    /// When it came in, RFC 3339, clock of rules.
    pub received_at: String,
    /// Message function (8279).
    pub subject: String,
    /// Sender.
    pub from: PartyView,
    /// Receiver.
    pub to: PartyView,
    /// Where it is now.
    pub state: State,
    /// Until when a receipt is awaited, RFC 3339.
    pub receipt_until: Option<String>,
    /// Hours without a receipt, while one is awaited.
    pub waiting_hours: Option<i64>,
    /// How the wait looks: `waiting`, `yellow` (48 h), `red` (96 h).
    pub wait_level: Option<&'static str>,
    /// Seconds from coming in to the receipt.
    pub receipt_after_s: Option<i64>,
    /// Somebody has to do something.
    pub needs_human: bool,
    /// Security event.
    pub alert: Option<Alert>,
}

/// A page of the list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MessagePage {
    /// Newest first.
    pub rows: Vec<MessageRow>,
    /// Where the next page begins; absent at the end.
    pub next: Option<String>,
}

/// Everything about one message that the viewer may see.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MessageDetail {
    /// The row.
    #[serde(flatten)]
    pub row: MessageRow,
    /// Envelope.
    pub envelope: EnvelopeView,
    /// History, oldest first.
    pub steps: Vec<StepView>,
    /// What its receipt said, as far as the hub knows.
    pub receipt: Option<Receipt>,
    /// How many messages stand before it in the queue, while it waits there.
    pub ahead: Option<u64>,
    /// Copies, receipts, errors, thread.
    pub related: Vec<Related>,
    /// Whether [`Exchange::original`] gives this viewer the document.
    pub has_original: bool,
    /// May be sent again under which ids, after a failure (spec/messaging.md §4.5).
    pub resend_rule: Option<&'static str>,
    /// [`Exchange::put_back`] sends it once more, unchanged.
    pub can_put_back: bool,
}

/// The envelope, as technicians want it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EnvelopeView {
    /// How it came ([`crate::port::Transport::code`]).
    pub transport: &'static str,
    /// How it leaves ([`crate::port::Road::code`]).
    pub road: &'static str,
    /// Agreement.
    pub cpa_id: Option<String>,
    /// Namespace of the document, and version, when the envelope says them.
    pub schema: Option<String>,
    /// Sender's system, as the envelope names it.
    pub system: Option<String>,
    /// When the hub's message handler tries again, RFC 3339.
    pub next_attempt_at: Option<String>,
    /// Queue.
    pub queue: String,
    /// AMQP message-id.
    pub message_id: String,
    /// MsgId of the document, if known.
    pub msg_id: Option<String>,
    /// Thread.
    pub conversation: Option<String>,
    /// Content type.
    pub content_type: String,
    /// Payload in bytes.
    pub bytes: u64,
    /// When the sender made it, RFC 3339.
    pub sent_at: String,
    /// Failed deliveries.
    pub failed_deliveries: u32,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepView {
    /// When, RFC 3339, clock of rules.
    pub at: String,
    /// What.
    #[serde(flatten)]
    pub step: Step,
}

/// A message that belongs to this one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Related {
    /// `copy`, `receipt`, `error`, `about`, `thread`.
    pub relation: &'static str,
    /// Its row.
    pub row: MessageRow,
}

/// Numbers over a time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Messages by [`State::code`].
    pub by_state: BTreeMap<&'static str, u64>,
    /// Somebody has to do something.
    pub needs_human: u64,
    /// Receipts awaited for more than 24, 48, 96 hours.
    pub without_receipt: BTreeMap<u32, u64>,
    /// Counting stopped; there are more.
    pub cut: bool,
}

/// A queue as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueView {
    /// Name.
    pub name: String,
    /// Whose it is.
    pub owner: PartyView,
    /// Waiting.
    pub ready: u64,
    /// In somebody's hands.
    pub in_hand: u64,
    /// Not due yet.
    pub delayed: u64,
    /// Dead letters.
    pub dead: u64,
}

/// A dead letter: envelope and reason, never content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetterView {
    /// Number, for [`Exchange::resend`].
    pub id: u64,
    /// Queue.
    pub queue: String,
    /// When it died, RFC 3339.
    pub at: String,
    /// Why.
    pub reason: String,
    /// Message function.
    pub subject: Option<String>,
    /// Track, if it has one.
    pub track: Option<String>,
}

impl Exchange {
    /// A page of messages, newest first. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn messages(
        &self,
        viewer: Viewer,
        filter: &MessageFilter,
    ) -> Result<MessagePage, ExchangeError> {
        let range = self.range(viewer, filter);
        let limit = filter.limit.unwrap_or(50).clamp(1, MAX_PAGE);
        let mut after = filter.cursor.as_deref().and_then(parse_cursor);
        let (mut rows, mut looked_at) = (Vec::new(), 0);
        loop {
            let found =
                self.inner
                    .tracks
                    .scan(&range, Direction::Descending, after.as_ref(), limit)?;
            let last_page = found.len() < limit;
            for (row, stored) in found {
                looked_at += 1;
                after = Some(row);
                if viewer.may_see(&stored.track) && matches(&stored.track, filter) {
                    rows.push(self.row(&stored.track));
                }
                if rows.len() == limit || looked_at == MAX_LOOKED_AT {
                    return Ok(MessagePage {
                        rows,
                        next: after.as_ref().map(cursor),
                    });
                }
            }
            if last_page {
                return Ok(MessagePage { rows, next: None });
            }
        }
    }

    fn range(&self, viewer: Viewer, filter: &MessageFilter) -> KeyRange {
        let since = hour_key(filter.since_us.unwrap_or(i64::MIN));
        let wanted = filter.her_id.map(|her_id| {
            self.inner.directory.party(her_id).map_or(her_id, |party| {
                crate::rules::envelope::organisation_of(&party)
            })
        });
        let organisation = match viewer {
            Viewer::Party { organisation } => Some(organisation),
            Viewer::Operator => wanted,
        };
        let anybody = organisation.unwrap_or(ANYBODY).to_be_bytes().to_vec();
        let (param, prefix) = match (&filter.state, organisation) {
            (Some(state), _) if is_found_by_state(state) => (
                param::STATE,
                state_key(organisation.unwrap_or(ANYBODY), state),
            ),
            _ if filter.needs_human => (param::HUMAN, anybody),
            (_, Some(_)) => (param::PARTY, anybody),
            _ if filter.alerts => (param::ALERT, Vec::new()),
            _ => (param::ALL, Vec::new()),
        };
        KeyRange {
            param,
            from: [&prefix[..], &since].concat(),
            to: (!prefix.is_empty()).then(|| [&prefix[..], &[0xff; 9]].concat()),
        }
    }

    /// One message; nothing when there is none or the viewer may not see it (the two look the same). Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn message(
        &self,
        viewer: Viewer,
        id: &str,
    ) -> Result<Option<MessageDetail>, ExchangeError> {
        let Some(Stored { track, .. }) = self
            .inner
            .tracks
            .get(id)?
            .filter(|stored| viewer.may_see(&stored.track))
        else {
            return Ok(None);
        };
        let ahead = if track.state == State::Queued {
            self.ahead(&track)?
        } else {
            None
        };
        Ok(Some(MessageDetail {
            row: self.row(&track),
            envelope: EnvelopeView {
                transport: track.transport.code(),
                road: track.road.code(),
                cpa_id: track.cpa_id.clone(),
                schema: track.schema.as_ref().map(|schema| match &schema.version {
                    Some(version) => format!("{} {version}", schema.namespace),
                    None => schema.namespace.clone(),
                }),
                system: track.system.clone(),
                next_attempt_at: track.next_attempt_us.map(text),
                queue: track.queue.clone(),
                message_id: track.message_id.clone(),
                msg_id: track.msg_id.clone(),
                conversation: track.conversation.clone(),
                content_type: track.content_type.clone(),
                bytes: track.bytes,
                sent_at: text(track.sent_at_us),
                failed_deliveries: track.failed_deliveries,
            },
            steps: track
                .steps
                .iter()
                .map(|step| StepView {
                    at: text(step.at_us),
                    step: step.clone(),
                })
                .collect(),
            receipt: track.receipt.clone(),
            ahead,
            related: self.related(viewer, &track)?,
            has_original: viewer != Viewer::Operator && track.original.is_some(),
            resend_rule: resend_rule(&track),
            can_put_back: may_put_back(viewer, &track) && self.dead_letter_of(&track)?.is_some(),
        }))
    }

    fn ahead(&self, track: &Track) -> Result<Option<u64>, ExchangeError> {
        let Some(queue) = QueueName::parse(&track.queue) else {
            return Ok(None);
        };
        let waiting = self.inner.store.peek(&queue.store_name(), 1000)?;
        let place = waiting.iter().position(|row| {
            serde_json::from_slice::<Headers>(&row.headers)
                .is_ok_and(|headers| headers.track.as_deref() == Some(track.id.as_str()))
        });
        Ok(place.map(|place| place as u64))
    }

    fn related(&self, viewer: Viewer, track: &Track) -> Result<Vec<Related>, ExchangeError> {
        let mut related: Vec<(&'static str, Stored)> = Vec::new();
        let tracks = &self.inner.tracks;
        if let Some(about) = &track.about {
            related.extend(tracks.get(about)?.map(|stored| ("about", stored)));
        }
        for stored in tracks.find(param::ABOUT, track.id.as_bytes(), 20)? {
            let relation = if stored.track.queue.ends_with("_error") {
                "error"
            } else {
                "receipt"
            };
            related.push((relation, stored));
        }
        if let Some(msg_id) = &track.msg_id {
            related.extend(
                tracks
                    .find(param::MSG_ID, msg_id.to_lowercase().as_bytes(), 20)?
                    .into_iter()
                    .map(|stored| ("copy", stored)),
            );
        }
        if let Some(thread) = track.conversation.as_ref().or(track.msg_id.as_ref()) {
            let found = tracks.find(param::CONVERSATION, thread.to_lowercase().as_bytes(), 20)?;
            related.extend(found.into_iter().map(|stored| ("thread", stored)));
        }
        let mut seen = vec![track.id.clone()];
        let mut out = Vec::new();
        for (relation, stored) in related {
            if viewer.may_see(&stored.track) && !seen.contains(&stored.track.id) {
                seen.push(stored.track.id.clone());
                out.push(Related {
                    relation,
                    row: self.row(&stored.track),
                });
            }
        }
        Ok(out)
    }

    /// The document of a message to a hub-run receiver, for the party that sent it or the receiver's own organisation. Nothing for operators, for
    /// messages between others (the hub cannot read them) and for what was rejected. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn original(&self, viewer: Viewer, id: &str) -> Result<Option<Bytes>, ExchangeError> {
        let Viewer::Party { .. } = viewer else {
            return Ok(None);
        };
        let Some(stored) = self
            .inner
            .tracks
            .get(id)?
            .filter(|stored| viewer.may_see(&stored.track))
        else {
            return Ok(None);
        };
        let Some(hash) = stored.track.original.as_deref().and_then(blob_hash) else {
            return Ok(None);
        };
        Ok(self.inner.store.blob(&hash)?)
    }

    /// Numbers since a moment on the clock of rules. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn summary(&self, viewer: Viewer, since_us: i64) -> Result<Summary, ExchangeError> {
        let filter = MessageFilter {
            since_us: Some(since_us),
            ..MessageFilter::default()
        };
        let range = self.range(viewer, &filter);
        let mut summary = Summary::default();
        let (mut after, mut counted) = (None, 0);
        let now = self.inner.clock.now_us();
        loop {
            let found =
                self.inner
                    .tracks
                    .scan(&range, Direction::Descending, after.as_ref(), 500)?;
            if found.is_empty() {
                return Ok(summary);
            }
            for (row, Stored { track, .. }) in found {
                after = Some(row);
                counted += 1;
                if !is_since(&track, filter.since_us) {
                    continue;
                }
                *summary.by_state.entry(track.state.code()).or_default() += 1;
                summary.needs_human += u64::from(track.state.needs_human());
                let waited = track.waiting_hours(now).unwrap_or(0);
                for hours in RECEIPT_HOURS
                    .into_iter()
                    .filter(|hours| waited >= i64::from(*hours))
                {
                    *summary.without_receipt.entry(hours).or_default() += 1;
                }
            }
            if counted >= MAX_COUNTED {
                summary.cut = true;
                return Ok(summary);
            }
        }
    }

    /// Queues that hold something: all for the operator, a party's own for the party. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn queues(&self, viewer: Viewer) -> Result<Vec<QueueView>, ExchangeError> {
        let mut out = Vec::new();
        for name in self.inner.store.queues(QueueName::store_prefix(), 5_000)? {
            let Some(queue) = QueueName::from_store(&name) else {
                continue;
            };
            if matches!(viewer, Viewer::Party { organisation } if organisation != queue.her_id) {
                continue;
            }
            let stats = self.inner.store.queue_stats(&name)?;
            out.push(QueueView {
                name: queue.to_string(),
                owner: self.party(queue.her_id),
                ready: stats.ready,
                in_hand: stats.leased,
                delayed: stats.delayed,
                dead: stats.dead,
            });
        }
        Ok(out)
    }

    /// Dead letters of a queue, newest first: envelope and reason. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn dead_letters(
        &self,
        viewer: Viewer,
        queue: &str,
        limit: usize,
    ) -> Result<Vec<DeadLetterView>, ExchangeError> {
        let Some(name) = QueueName::parse(queue) else {
            return Ok(Vec::new());
        };
        if matches!(viewer, Viewer::Party { organisation } if organisation != name.her_id) {
            return Ok(Vec::new());
        }
        let dead = self
            .inner
            .store
            .dead_letters(&name.store_name(), limit.min(MAX_PAGE))?;
        Ok(dead
            .into_iter()
            .map(|dead| {
                let headers: Option<Headers> = serde_json::from_slice(&dead.headers).ok();
                DeadLetterView {
                    id: dead.id.0,
                    queue: name.to_string(),
                    at: text(dead.at),
                    reason: dead.reason,
                    subject: headers
                        .as_ref()
                        .and_then(|headers| headers.message.properties.subject.clone()),
                    track: headers.and_then(|headers| headers.track),
                }
            })
            .collect())
    }

    fn row(&self, track: &Track) -> MessageRow {
        let now = self.inner.clock.now_us();
        let waiting_hours = track.waiting_hours(now);
        let last = RECEIPT_HOURS.last().copied().unwrap_or_default();
        let receipt_at = track.steps.iter().find(|step| {
            matches!(
                step.what,
                StepKind::ReceiptArrived | StepKind::ReceiptSent { .. }
            )
        });
        MessageRow {
            id: track.id.clone(),
            transport: track.transport.code(),
            received_at: text(track.received_at_us),
            subject: track.subject.clone(),
            from: self.party(track.from),
            to: self.party(track.to),
            receipt_until: waiting_hours.map(|_| text(track.hours_after(last))),
            waiting_hours,
            wait_level: waiting_hours.map(|hours| match hours {
                ..48 => "waiting",
                48..96 => "yellow",
                _ => "red",
            }),
            receipt_after_s: receipt_at.map(|step| (step.at_us - track.received_at_us) / 1_000_000),
            needs_human: track.state.needs_human(),
            alert: track.alert.clone(),
            state: track.state.clone(),
        }
    }

    /// Never a person's name: of a person's own party only the organisation.
    pub(crate) fn party(&self, her_id: u32) -> PartyView {
        let directory = &self.inner.directory;
        let name = directory.party(her_id).map(|party| {
            let parent = party
                .parent_her_id
                .and_then(|parent| directory.party(parent))
                .map(|parent| parent.name);
            match (party.kind, parent) {
                (PartyKind::Person, Some(parent)) => parent,
                (PartyKind::Service, Some(parent)) => format!("{parent}, {}", party.name),
                _ => party.name,
            }
        });
        PartyView { her_id, name }
    }
}

/// Operators, and the two parties, may put back what nobody has taken.
pub(crate) fn may_put_back(viewer: Viewer, track: &Track) -> bool {
    let is_stuck = matches!(&track.state, State::Failed { condition } if PUT_BACK.contains(&condition.as_str()));
    is_stuck && viewer.may_see(track)
}

fn text(at_us: i64) -> String {
    moment(at_us).to_string()
}

fn matches(track: &Track, filter: &MessageFilter) -> bool {
    let her = filter.her_id.is_none_or(|her| {
        [
            track.from,
            track.to,
            track.from_organisation,
            track.to_organisation,
        ]
        .contains(&her)
    });
    let subject = filter
        .subject
        .as_deref()
        .is_none_or(|subject| track.subject == subject);
    let state = filter
        .state
        .as_deref()
        .is_none_or(|state| track.state.code() == state);
    her && subject
        && state
        && is_since(track, filter.since_us)
        && (!filter.needs_human || track.state.needs_human())
        && (!filter.alerts || track.alert.is_some())
}

/// Keys know the hour only.
fn is_since(track: &Track, since_us: Option<i64>) -> bool {
    since_us.is_none_or(|since| track.received_at_us >= since)
}

/// Which ids a corrected message must carry (spec/messaging.md §4.5, "identifier rules on resend").
fn resend_rule(track: &Track) -> Option<&'static str> {
    match &track.state {
        State::Failed { .. } => Some("new_message_id_same_msg_id"),
        State::Rejected { .. } => Some("new_message_id_new_msg_id"),
        _ => None,
    }
}

fn cursor(row: &IndexRow) -> String {
    URL_SAFE_NO_PAD.encode([&row.rid.0.to_be_bytes()[..], &row.value].concat())
}

fn parse_cursor(text: &str) -> Option<IndexRow> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (rid, value) = bytes.split_first_chunk::<8>()?;
    Some(IndexRow {
        rid: Rid(u64::from_be_bytes(*rid)),
        value: value.to_vec(),
    })
}
