//! What a client fetches: unread messages, one message, its document, where it is, its receipts.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use edi::apprec::AppRec;
use edi::value::Coded;
use edi::xml::XmlDoc;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::fault::Fault;
use super::query::ListQuery;
use super::{Api, Caller, Reply};
use crate::port::{Road, Transport};
use crate::rules::envelope::APPREC;
use crate::rules::track::{Receipt, State, Track};

/// Most unread messages of one HER-id that are looked through for one answer.
const MAX_LOOKED_AT: usize = 10_000;
const PAGE: usize = 1_000;

/// The id by which clients know a message: of messages handed in here all receivers share one.
pub(crate) fn api_id(track: &Track) -> String {
    match track.transport {
        Transport::Rest => track.message_id.clone(),
        _ => track.id.clone(),
    }
}

/// Time of the business document, with its offset: without one it was Norwegian time.
pub(crate) fn gen_date(track: &Track) -> String {
    let at = jiff::Timestamp::from_microsecond(track.sent_at_us).unwrap_or_default();
    let zoned = at.to_zoned(edi::value::norway());
    zoned.strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string()
}

fn message_json(track: &Track, with_metadata: bool, with_content_type: bool) -> Value {
    let mut out = Map::new();
    out.insert("id".to_owned(), json!(api_id(track)));
    if with_content_type {
        out.insert("contentType".to_owned(), json!("application/xml"));
    }
    out.insert("receiverHerId".to_owned(), json!(track.to));
    if with_metadata {
        out.insert("senderHerId".to_owned(), json!(track.from));
        out.insert("businessDocumentId".to_owned(), json!(track.msg_id));
        let at = json!(gen_date(track));
        out.insert("businessDocumentGenDate".to_owned(), at);
        let is_receipt = track.subject == APPREC;
        out.insert("isAppRec".to_owned(), json!(is_receipt));
    }
    Value::Object(out)
}

/// Whether the receiver's message handler has it. What lies in a box here, or with a receiver run by the hub, has arrived:
/// the handler is the hub's.
pub(crate) fn delivery_state(track: &Track) -> &'static str {
    match (&track.state, track.road) {
        (State::Failed { .. }, _) => "Rejected",
        (_, Road::Api | Road::Hub) => "Acknowledged",
        (State::Queued | State::Collected | State::Overdue, _) => "Unconfirmed",
        _ => "Acknowledged",
    }
}

/// Whether it has left the hub towards the receiver.
pub(crate) fn is_sent(track: &Track) -> bool {
    match track.road {
        Road::Api | Road::Hub => !matches!(track.state, State::Failed { .. }),
        _ => track.first_attempt_us.is_some(),
    }
}

pub(crate) fn receipt_status(track: &Track) -> Option<&'static str> {
    match &track.receipt {
        Some(Receipt::Known { status, .. }) => match status.as_str() {
            "1" => Some("Ok"),
            "2" => Some("Rejected"),
            "3" => Some("OkErrorInMessagePart"),
            _ => None,
        },
        _ => None,
    }
}

/// An error of a receipt, as the contract has it.
fn error_json(error: &Coded) -> Value {
    let (words, name) = (error.other.clone(), error.display.clone());
    let description = words.as_ref().and(name.clone());
    json!({
        "errorCode": error.code(),
        "details": words.or(name).unwrap_or_default(),
        "description": description,
        "oid": error.system,
    })
}

/// A message as one caller sees it.
pub(crate) struct Seen {
    /// One row for each receiver, all when the caller sent it, else the caller's own.
    pub rows: Vec<Track>,
}

impl Api {
    /// The rows of a message that a caller may see.
    pub(crate) fn seen(&self, id: Uuid, caller: &Caller) -> Result<Seen, Fault> {
        let id = id.to_string();
        let mut rows: Vec<Track> = self
            .exchange
            .by_transport_id(&id)?
            .into_iter()
            .filter(|t| t.transport == Transport::Rest)
            .collect();
        if rows.is_empty() {
            let found = self.exchange.facts(&id)?;
            // What passed on the bus is not this service's to show.
            rows.extend(
                found.filter(|t| t.transport != Transport::Rest && matches!(t.road, Road::Api)),
            );
        }
        // A receiver that refused it may have done so for every attempt; one that has it counts first.
        rows.sort_by_key(|t| {
            (
                t.to,
                matches!(t.state, State::Failed { .. }),
                t.received_at_us,
            )
        });
        rows.dedup_by_key(|t| t.to);
        let Some(first) = rows.first() else {
            return Err(Fault::not_found());
        };
        let is_sender = self.own_party(caller, first.from).is_some();
        if !is_sender {
            let all: Vec<u32> = rows.iter().map(|t| t.to).collect();
            rows.retain(|t| self.own_party(caller, t.to).is_some());
            if rows.is_empty() {
                return Err(Fault::not_authorized(&all));
            }
        }
        rows.sort_by_key(|t| (t.received_at_us, t.to));
        for row in &rows {
            let own = if is_sender { row.from } else { row.to };
            self.unlocked(caller, own)?;
        }
        Ok(Seen { rows })
    }

    /// Nobody else has locked the HER-id to its client (version 3).
    pub(crate) fn unlocked(&self, caller: &Caller, her_id: u32) -> Result<(), Fault> {
        let settings = self.roads.settings().get(her_id)?;
        if settings.is_some_and(|s| s.client_locked && s.client != caller.client) {
            return Err(Fault::new(
                axum::http::StatusCode::LOCKED,
                format!("HerId {her_id} is locked to another client"),
            ));
        }
        Ok(())
    }

    pub(crate) fn unread(&self, query: Option<&str>, caller: &Caller) -> Result<Reply, Fault> {
        let query = ListQuery::parse(query)?;
        self.must_own(caller, &query.receivers)?;
        let mut found: Vec<Track> = Vec::new();
        for her_id in &query.receivers {
            self.unlocked(caller, *her_id)?;
            self.roads.reads(*her_id, &caller.client)?;
            let mut cursor: Option<Vec<u8>> = None;
            let mut looked_at = 0;
            while looked_at < MAX_LOOKED_AT {
                let page = self.exchange.inbox(*her_id, cursor.as_deref(), PAGE)?;
                let is_last = page.len() < PAGE;
                looked_at += page.len();
                cursor = page.last().map(|entry| entry.cursor.clone());
                found.extend(
                    page.into_iter()
                        .map(|e| e.track)
                        .filter(|t| fits(t, &query)),
                );
                if is_last {
                    break;
                }
            }
        }
        found.sort_by(|a, b| (a.sent_at_us, &a.id).cmp(&(b.sent_at_us, &b.id)));
        if query.is_descending {
            found.reverse();
        }
        found.truncate(query.limit);
        let rows: Vec<Value> = found
            .iter()
            .map(|t| message_json(t, query.with_metadata, false))
            .collect();
        Ok(Reply::ok(Value::Array(rows)))
    }

    pub(crate) fn message(&self, id: Uuid, caller: &Caller) -> Result<Reply, Fault> {
        let seen = self.seen(id, caller)?;
        let row = seen.rows.first().ok_or_else(Fault::not_found)?;
        Ok(Reply::ok(message_json(row, true, true)))
    }

    pub(crate) fn business_document(&self, id: Uuid, caller: &Caller) -> Result<Reply, Fault> {
        let seen = self.seen(id, caller)?;
        let row = seen.rows.first().ok_or_else(Fault::not_found)?;
        let document = self.exchange.document(row)?.ok_or_else(Fault::not_found)?;
        Ok(Reply::ok(json!({
            "businessDocument": BASE64_STANDARD.encode(&document),
            "contentType": "application/xml",
            "contentTransferEncoding": "base64",
        })))
    }

    pub(crate) fn status(&self, id: Uuid, caller: &Caller) -> Result<Reply, Fault> {
        let seen = self.seen(id, caller)?;
        let rows: Vec<Value> = seen
            .rows
            .iter()
            .map(|t| {
                json!({
                    "receiverHerId": t.to,
                    "transportDeliveryState": delivery_state(t),
                    "appRecStatus": receipt_status(t),
                })
            })
            .collect();
        Ok(Reply::ok(Value::Array(rows)))
    }

    pub(crate) fn receipts(&self, id: Uuid, caller: &Caller) -> Result<Reply, Fault> {
        let seen = self.seen(id, caller)?;
        let mut rows = Vec::new();
        for track in &seen.rows {
            let status = receipt_status(track);
            let errors = match status {
                Some(_) => Value::Array(self.errors_of(track)?),
                None => Value::Null,
            };
            rows.push(json!({
                "receiverHerId": track.to,
                "appRecStatus": status,
                "appRecErrorList": errors,
            }));
        }
        Ok(Reply::ok(Value::Array(rows)))
    }

    /// The errors of the receipt that came, from the receipt itself where it is here.
    pub(crate) fn errors_of(&self, track: &Track) -> Result<Vec<Value>, Fault> {
        let Some(Receipt::Known { codes, .. }) = &track.receipt else {
            return Ok(Vec::new());
        };
        if codes.is_empty() {
            return Ok(Vec::new());
        }
        for about in self.exchange.about(&track.id)? {
            if about.subject != APPREC {
                continue;
            }
            let Some(bytes) = self.exchange.document(&about)? else {
                continue;
            };
            let receipt = XmlDoc::parse(&bytes)
                .ok()
                .and_then(|doc| AppRec::read_doc(&doc).ok());
            if let Some(receipt) = receipt {
                return Ok(receipt.errors.iter().map(error_json).collect());
            }
        }
        Ok(codes
            .iter()
            .map(|code| {
                let known = edi::apprec::ErrorCode::parse(code);
                error_json(&Coded {
                    value: Some(code.clone()),
                    display: known.map(|c| c.label().to_owned()),
                    ..Coded::default()
                })
            })
            .collect())
    }

    pub(crate) fn read(&self, id: Uuid, her_id: u32, caller: &Caller) -> Result<Reply, Fault> {
        self.must_own(caller, &[her_id])?;
        let seen = self.seen(id, caller)?;
        let row = seen.rows.iter().find(|t| t.to == her_id);
        let row = row.ok_or_else(Fault::not_found)?;
        self.unlocked(caller, her_id)?;
        if row.road == Road::Api && self.exchange.mark_read(her_id, &row.id)? {
            Ok(Reply::no_content())
        } else {
            Err(Fault::not_found())
        }
    }
}

fn fits(track: &Track, query: &ListQuery) -> bool {
    let is_from = query.sender.is_none_or(|id| id == track.from);
    let is_document = query.document_id.as_deref().is_none_or(|id| {
        track
            .msg_id
            .as_deref()
            .is_some_and(|m| m.eq_ignore_ascii_case(id))
    });
    is_from && is_document
}
