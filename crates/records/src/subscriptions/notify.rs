//! Notifications: a history Bundle whose first entry is the subscription's status, as Parameters (R4 form of the guide).
//!
//! Who may be told what is decided anew each time one is made, and the version of the event is read under that decision.

use super::definition::{Content, Definition, Mime, Status};
use super::ledger::Event;
use crate::gate::Caller;
use crate::outcome::Failure;
use crate::render::{self, Entry, Subset};
use crate::repository::Repository;
use bytes::Bytes;
use fhir::{Doc, Limits};
use serde_json::{Value, json};
use store::{Granted, Op, Snapshot, Vno};
use trust::Action;

const STATUS_PROFILE: &str = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-subscription-status-r4";

/// Kind of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Handshake,
    Heartbeat,
    Event,
    QueryStatus,
    QueryEvent,
}

impl Kind {
    fn code(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Heartbeat => "heartbeat",
            Self::Event => "event-notification",
            Self::QueryStatus => "query-status",
            Self::QueryEvent => "query-event",
        }
    }
}

/// What a notification says of the subscription.
pub(crate) struct Notice<'a> {
    pub id: &'a str,
    pub topic: Option<&'a str>,
    pub status: Status,
    pub kind: Kind,
    /// Number of the last event so far.
    pub count: u64,
    pub content: Content,
    pub error: Option<&'a str>,
}

impl<'a> Notice<'a> {
    pub fn of(definition: &'a Definition, kind: Kind, count: u64) -> Self {
        Self {
            id: &definition.id,
            topic: definition.topic.as_deref(),
            status: definition.status,
            kind,
            count,
            content: definition.content,
            error: None,
        }
    }
}

/// The grant of a notification: subscriptions have no caller, so only what everybody may read goes out.
pub(crate) fn decide(repository: &Repository, snapshot: &Snapshot) -> Result<Granted, Failure> {
    let classes = &repository.config.classes;
    let gated = repository.decide(snapshot, &Caller::anonymous(), None, Action::Read, classes)?;
    Ok(gated.granted)
}

fn base(repository: &Repository) -> &str {
    repository.config.bases.first().map_or("", String::as_str)
}

/// The status as Parameters, with the events that go with it.
pub(crate) fn status(repository: &Repository, notice: &Notice<'_>, events: &[Event]) -> Value {
    let base = base(repository);
    let reference = format!("{base}/Subscription/{}", notice.id);
    let mut parameters = vec![json!({
        "name": "subscription", "valueReference": { "reference": reference }
    })];
    if let Some(topic) = notice.topic
        && (notice.content != Content::Empty || notice.kind != Kind::Event)
    {
        parameters.push(json!({ "name": "topic", "valueCanonical": topic }));
    }
    parameters.push(json!({ "name": "status", "valueCode": notice.status.code() }));
    parameters.push(json!({ "name": "type", "valueCode": notice.kind.code() }));
    parameters.push(json!({
        "name": "events-since-subscription-start", "valueString": notice.count.to_string()
    }));
    for event in events {
        let mut part = vec![
            json!({ "name": "event-number", "valueString": event.number.to_string() }),
            json!({ "name": "timestamp", "valueInstant": render::instant(event.at) }),
        ];
        if notice.content != Content::Empty {
            let focus = format!("{base}/{}/{}", event.rtype, event.id);
            part.push(json!({ "name": "focus", "valueReference": { "reference": focus } }));
        }
        parameters.push(json!({ "name": "notification-event", "part": part }));
    }
    if let Some(error) = notice.error {
        parameters.push(json!({ "name": "error", "valueCodeableConcept": { "text": error } }));
    }
    json!({
        "resourceType": "Parameters",
        "id": uuid::Uuid::now_v7().to_string(),
        "meta": { "profile": [STATUS_PROFILE] },
        "parameter": parameters,
    })
}

/// Entry of a status in a bundle.
pub(crate) fn status_entry(
    repository: &Repository,
    notice: &Notice<'_>,
    events: &[Event],
) -> Entry {
    let status = status(repository, notice, events);
    let id = status.get("id").and_then(Value::as_str).unwrap_or_default();
    let url = format!("{}/Subscription/{}/$status", base(repository), notice.id);
    Entry {
        full_url: Some(format!("urn:uuid:{id}")),
        request: Some(json!({ "method": "GET", "url": url })),
        response: Some(json!({ "status": "200" })),
        resource: Some(Bytes::from(status.to_string())),
        search_mode: None,
    }
}

/// The whole notification as JSON.
pub(crate) fn bundle(
    repository: &Repository,
    snapshot: &Snapshot,
    granted: &Granted,
    notice: &Notice<'_>,
    events: &[Event],
) -> Result<Bytes, Failure> {
    let mut entries = vec![status_entry(repository, notice, events)];
    if notice.content != Content::Empty {
        for event in events {
            entries.push(focus_entry(repository, snapshot, granted, notice, event)?);
        }
    }
    let json = render::bundle("history", None, &[], &entries);
    let mut value: serde_json::Map<String, Value> = serde_json::Map::new();
    value.insert("id".to_owned(), json!(uuid::Uuid::now_v7().to_string()));
    value.insert(
        "timestamp".to_owned(),
        json!(render::instant(edge::clock::real_now_us())),
    );
    Ok(with_members(&json, &value))
}

/// Puts members behind `resourceType` of an object without parsing the rest, whose numbers stay as written.
fn with_members(json: &Bytes, members: &serde_json::Map<String, Value>) -> Bytes {
    const HEAD: &[u8] = b"{\"resourceType\":\"Bundle\"";
    let Some(rest) = json.strip_prefix(HEAD) else {
        return json.clone();
    };
    let text = Value::Object(members.clone()).to_string();
    let inner = text.trim_start_matches('{').trim_end_matches('}');
    let mut out = Vec::with_capacity(json.len() + inner.len() + 1);
    out.extend_from_slice(HEAD);
    out.push(b',');
    out.extend_from_slice(inner.as_bytes());
    out.extend_from_slice(rest);
    Bytes::from(out)
}

fn focus_entry(
    repository: &Repository,
    snapshot: &Snapshot,
    granted: &Granted,
    notice: &Notice<'_>,
    event: &Event,
) -> Result<Entry, Failure> {
    let address = format!("{}/{}", event.rtype, event.id);
    let (method, url, status) = match event.op {
        Op::Create => ("POST", event.rtype.clone(), "201"),
        Op::Update => ("PUT", address.clone(), "200"),
        Op::Delete | Op::Purge => ("DELETE", address.clone(), "204"),
    };
    let resource = match (notice.content, event.op) {
        (Content::Full, Op::Create | Op::Update) => version(repository, snapshot, granted, event)?,
        _ => None,
    };
    Ok(Entry {
        full_url: Some(format!("{}/{address}", base(repository))),
        resource,
        request: Some(json!({ "method": method, "url": url })),
        response: Some(json!({ "status": status, "lastModified": render::instant(event.at) })),
        search_mode: None,
    })
}

/// The version that an event is about, when it may be seen and still is there.
pub(crate) fn version(
    repository: &Repository,
    snapshot: &Snapshot,
    granted: &Granted,
    event: &Event,
) -> Result<Option<Bytes>, Failure> {
    let repo = repository.config.repo;
    let found = snapshot.vread(granted, repo, &event.rtype, &event.id, Vno(event.vno))?;
    found
        .filter(|r| !crate::read::is_deleted(r))
        .map(|record| repository.rendered(&record, None, &Subset::default()))
        .transpose()
}

/// A resource in the form that the subscriber asked for.
pub(crate) fn in_form(json: Bytes, mime: Mime) -> Bytes {
    if mime == Mime::Json {
        return json;
    }
    let limits = Limits {
        max_bytes: usize::MAX,
        max_nodes: usize::MAX,
        ..Limits::default()
    };
    match Doc::parse_json(json.clone(), &limits) {
        Ok(doc) => doc.to_xml(),
        Err(_) => json,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_put_in_front() {
        let bundle = render::bundle("history", None, &[], &[]);
        let mut members = serde_json::Map::new();
        members.insert("id".to_owned(), json!("1}"));
        members.insert("timestamp".to_owned(), json!("2026-01-01T00:00:00Z"));
        let value: Value = serde_json::from_slice(&with_members(&bundle, &members)).unwrap();
        assert_eq!(
            value,
            json!({ "resourceType": "Bundle", "id": "1}", "timestamp": "2026-01-01T00:00:00Z", "type": "history" })
        );
    }
}
