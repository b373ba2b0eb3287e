//! `$status`, `$events` and `$get-ws-binding-token` of Subscription (backport guide 1.1).

use super::Subscriptions;
use super::definition::{Content, Status};
use super::ledger::Ledger;
use super::notify::{self, Kind, Notice};
use super::socket::{self, TOKEN_S, Tokens};
use crate::gate::Caller;
use crate::http::{Answer, Call};
use crate::operations::Target;
use crate::outcome::Failure;
use crate::render;
use crate::repository::Repository;
use axum::http::{Method, StatusCode, header};
use bytes::Bytes;
use fhir::{Doc, Limits};
use serde_json::json;
use std::sync::Arc;
use store::{Granted, Record, Rid, Snapshot};

/// Most events of one `$events`.
const MAX_EVENTS: u64 = 1_000;
/// Most subscriptions of one `$status` or token.
const MAX_SUBSCRIPTIONS: usize = 1_000;

fn subscriptions(repository: &Repository) -> Result<&Arc<Subscriptions>, Failure> {
    repository
        .config
        .subscriptions
        .as_ref()
        .ok_or_else(Failure::not_found)
}

/// Parameters of the address and of a Parameters body.
fn inputs(call: &Call) -> Result<Vec<(String, String)>, Failure> {
    let mut out = call.query.clone();
    if call.method == Method::POST && !call.body.is_empty() {
        let doc = call.document()?;
        if doc.resource_type() != "Parameters" {
            return Err(
                Failure::bad("invalid", "the body must be a Parameters resource")
                    .on("resourceType"),
            );
        }
        for parameter in doc.root().all("parameter") {
            let value = parameter
                .fields()
                .find(|f| f.name().starts_with("value"))
                .and_then(|f| f.value_text());
            if let (Some(name), Some(value)) = (parameter.str_at("name"), value) {
                out.push((name.to_owned(), value.to_owned()));
            }
        }
    }
    Ok(out)
}

/// Refuses names that the operation does not know.
fn known(inputs: &[(String, String)], names: &[&str]) -> Result<(), Failure> {
    let wrong = inputs
        .iter()
        .map(|(name, _)| name.as_str())
        .find(|name| !names.contains(name) && !matches!(*name, "_format" | "_pretty"));
    match wrong {
        None => Ok(()),
        Some(name) => Err(Failure::bad(
            "not-supported",
            format!(
                "unknown parameter {}; there are {}",
                super::shown(name),
                names.join(", ")
            ),
        )),
    }
}

fn all<'i>(inputs: &'i [(String, String)], name: &str) -> Vec<&'i str> {
    inputs
        .iter()
        .filter(|(n, _)| n == name)
        .flat_map(|(_, value)| value.split(','))
        .filter(|v| !v.is_empty())
        .map(|v| v.strip_prefix("Subscription/").unwrap_or(v))
        .collect()
}

/// The Subscription resources that are asked about, under the caller's grant.
fn wanted(
    repository: &Repository,
    snapshot: &Snapshot,
    granted: &Granted,
    target: Target<'_>,
    ids: &[&str],
) -> Result<Vec<Record>, Failure> {
    let repo = repository.config.repo;
    if let Target::Instance(rtype, id) = target {
        let found = snapshot.read(granted, repo, rtype, id)?;
        let record = found.ok_or_else(Failure::not_found)?;
        if crate::read::is_deleted(&record) {
            return Err(Failure::gone());
        }
        return Ok(vec![record]);
    }
    if ids.len() > MAX_SUBSCRIPTIONS {
        return Err(Failure::too_costly(format!(
            "more than {MAX_SUBSCRIPTIONS} subscriptions"
        )));
    }
    if ids.is_empty() {
        let rids = snapshot.type_rids(granted, repo, "Subscription", Rid(0), MAX_SUBSCRIPTIONS)?;
        return Ok(snapshot.fetch(granted, &rids)?);
    }
    let mut out = Vec::new();
    for id in ids {
        let found = snapshot.read(granted, repo, "Subscription", id)?;
        out.extend(found.filter(|r| !crate::read::is_deleted(r)));
    }
    Ok(out)
}

fn grant(
    repository: &Repository,
    snapshot: &Snapshot,
    caller: &Caller,
) -> Result<Granted, Failure> {
    let classes = &repository.config.classes;
    let gated = repository.decide(snapshot, caller, None, trust::Action::Read, classes)?;
    Ok(gated.granted)
}

/// Standing of one subscription as the engine knows it.
struct Standing {
    id: String,
    topic: Option<String>,
    status: Status,
    error: Option<String>,
    count: u64,
    content: Content,
}

fn standing(
    shared: &Subscriptions,
    ledger: &Ledger,
    snapshot: &Snapshot,
    record: &Record,
) -> Result<Standing, Failure> {
    let doc = Doc::parse_json(record.body.clone(), &Limits::default())
        .map_err(|_| Failure::internal())?;
    let root = doc.root();
    let id = record.head.id.clone();
    let count = ledger.state(snapshot, &id)?.map_or(0, |(s, _)| s.count);
    let running = shared.running(&id);
    let criteria = root.str_at("criteria").unwrap_or_default();
    let topic = match &running {
        Some(running) => running.definition.topic.clone(),
        None => criteria.contains(':').then(|| criteria.to_owned()),
    };
    Ok(Standing {
        topic: topic.filter(|t| !t.contains('?')),
        status: root
            .str_at("status")
            .and_then(Status::parse)
            .unwrap_or(Status::Off),
        error: root.str_at("error").map(str::to_owned),
        content: running.map_or(Content::Empty, |r| r.definition.content),
        count,
        id,
    })
}

impl Standing {
    fn notice(&self, kind: Kind) -> Notice<'_> {
        Notice {
            id: &self.id,
            topic: self.topic.as_deref(),
            status: self.status,
            kind,
            count: self.count,
            content: self.content,
            error: self.error.as_deref(),
        }
    }
}

fn ledger(repository: &Repository, shared: &Subscriptions) -> Ledger {
    Ledger::new(&repository.config.name, shared.config.kept_events)
}

/// `$status`: how subscriptions stand, one or several.
pub(crate) fn status(
    repository: &Repository,
    call: &Call,
    caller: &Caller,
    target: Target<'_>,
) -> Result<Answer, Failure> {
    let shared = subscriptions(repository)?;
    let inputs = inputs(call)?;
    known(&inputs, &["id", "status"])?;
    let statuses = all(&inputs, "status");
    if let Some(wrong) = statuses.iter().find(|s| Status::parse(s).is_none()) {
        return Err(Failure::bad(
            "value",
            format!(
                "status {} is none of requested, active, error, off",
                super::shown(wrong)
            ),
        ));
    }
    let snapshot = repository.snapshot()?;
    let granted = grant(repository, &snapshot, caller)?;
    let ledger = ledger(repository, shared);
    let ids = all(&inputs, "id");
    let mut entries = Vec::new();
    for record in wanted(repository, &snapshot, &granted, target, &ids)? {
        let standing = standing(shared, &ledger, &snapshot, &record)?;
        if !statuses.is_empty() && !statuses.contains(&standing.status.code()) {
            continue;
        }
        let notice = standing.notice(Kind::QueryStatus);
        let mut entry = notify::status_entry(repository, &notice, &[]);
        entry.request = None;
        entry.response = None;
        entry.search_mode = Some("match");
        entries.push(entry);
    }
    let links = [("self", format!("{}/{}", call.base, call.path))];
    let total = entries.len() as u64;
    let body = render::bundle("searchset", Some(total), &links, &entries);
    Ok(Answer::resource(StatusCode::OK, body))
}

/// `$events`: events by number, as far as they are kept.
pub(crate) fn events(
    repository: &Repository,
    call: &Call,
    caller: &Caller,
    target: Target<'_>,
) -> Result<Answer, Failure> {
    let shared = subscriptions(repository)?;
    let inputs = inputs(call)?;
    known(
        &inputs,
        &["eventsSinceNumber", "eventsUntilNumber", "content"],
    )?;
    let number = |name: &str| -> Result<Option<u64>, Failure> {
        let found = inputs.iter().find(|(n, _)| n == name);
        found
            .map(|(_, value)| {
                value.parse::<u64>().map_err(|_| {
                    Failure::bad("value", format!("{name} must be the number of an event"))
                })
            })
            .transpose()
    };
    let (since, until) = (number("eventsSinceNumber")?, number("eventsUntilNumber")?);
    let asked = match inputs.iter().find(|(n, _)| n == "content") {
        None => None,
        Some((_, code)) => Some(Content::parse(code).ok_or_else(|| {
            Failure::bad("value", "content must be empty, id-only or full-resource")
        })?),
    };
    let snapshot = repository.snapshot()?;
    let granted = grant(repository, &snapshot, caller)?;
    let ledger = ledger(repository, shared);
    let mut found = wanted(repository, &snapshot, &granted, target, &[])?;
    let record = found.pop().ok_or_else(Failure::not_found)?;
    let mut standing = standing(shared, &ledger, &snapshot, &record)?;
    if let Some(asked) = asked {
        standing.content = asked;
    }
    let first = since
        .unwrap_or(1)
        .max(standing.count.saturating_sub(ledger.kept) + 1);
    let last = until.unwrap_or(standing.count).min(standing.count);
    let (events, _) = if first <= last {
        super::hook::pending(
            &ledger,
            &snapshot,
            &standing.id,
            first.saturating_sub(1),
            last,
            MAX_EVENTS,
            shared.config.kept_for,
        )?
    } else {
        (Vec::new(), 0)
    };
    let notice = standing.notice(Kind::QueryEvent);
    let body = notify::bundle(repository, &snapshot, &granted, &notice, &events)?;
    Ok(Answer::resource(StatusCode::OK, body))
}

/// `$get-ws-binding-token`: a short-lived token of the caller for a websocket.
pub(crate) fn binding_token(
    repository: &Repository,
    call: &Call,
    caller: &Caller,
    target: Target<'_>,
) -> Result<Answer, Failure> {
    let _ = subscriptions(repository)?;
    let inputs = inputs(call)?;
    known(&inputs, &["id"])?;
    let ids = all(&inputs, "id");
    if ids.is_empty() && !matches!(target, Target::Instance(..)) {
        return Err(Failure::bad(
            "required",
            "name the subscriptions: id=[id], or call it on one subscription",
        ));
    }
    let snapshot = repository.snapshot()?;
    let granted = grant(repository, &snapshot, caller)?;
    let records = wanted(repository, &snapshot, &granted, target, &ids)?;
    let is_complete = matches!(target, Target::Instance(..)) || records.len() == ids.len();
    let are_sockets = records.iter().all(|r| {
        Doc::parse_json(r.body.clone(), &Limits::default())
            .is_ok_and(|doc| doc.root().str_at("channel.type") == Some("websocket"))
    });
    if !is_complete || records.is_empty() {
        return Err(Failure::not_found());
    }
    if !are_sockets {
        return Err(Failure::bad(
            "invalid",
            "tokens are for subscriptions whose channel is websocket",
        ));
    }
    let ids: Vec<String> = records.into_iter().map(|r| r.head.id).collect();
    let until_s = edge::clock::real_now_us() / 1_000_000 + TOKEN_S;
    let token = Tokens::new(repository)
        .and_then(|t| t.make(&ids, caller, until_s))
        .ok_or_else(Failure::internal)?;
    let base = &call.base;
    let mut parameters = vec![
        json!({ "name": "token", "valueString": token }),
        json!({ "name": "expiration", "valueDateTime": render::instant(until_s * 1_000_000) }),
    ];
    for id in ids {
        parameters.push(json!({ "name": "subscription", "valueString": id }));
    }
    parameters.push(json!({ "name": "websocket-url", "valueUrl": socket::url(base) }));
    let body = json!({ "resourceType": "Parameters", "parameter": parameters });
    Ok(
        Answer::resource(StatusCode::OK, Bytes::from(body.to_string()))
            .with(header::CACHE_CONTROL, "no-store"),
    )
}
