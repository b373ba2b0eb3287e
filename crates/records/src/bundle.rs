//! Batch and transaction (spec/fhir-server.md §4). Transactions are one commit; batches are their entries one by one.

use crate::carry::location;
use crate::change::{Change, Preconditions, Write};
use crate::gate::Caller;
use crate::http::{Answer, Call, Content, Return, dispatch};
use crate::outcome::Failure;
use crate::params;
use crate::read::etag;
use crate::render::{self, Entry, Subset};
use crate::repository::Repository;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use bytes::Bytes;
use fhir::build::Json;
use fhir::{Doc, Limits, Node, Pack};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use store::{Commit, PutId, Snapshot};
use trust::Action;

/// Most entries of a batch or transaction.
pub const MAX_ENTRIES: usize = 30_000;

/// One entry, read.
struct Item<'d> {
    index: usize,
    method: String,
    /// Address below the base, without query.
    path: String,
    query: String,
    full_url: Option<String>,
    resource: Option<Node<'d>>,
    preconditions: Preconditions,
    if_modified_since: Option<String>,
}

impl Item<'_> {
    fn place(&self) -> String {
        format!("Bundle.entry[{}]", self.index)
    }

    fn rtype(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    fn id(&self) -> Option<&str> {
        self.path.split('/').nth(1)
    }
}

impl Repository {
    pub(crate) fn bundle(&self, call: &Call, caller: &Caller) -> Result<Answer, Failure> {
        if self.is_clinical() {
            return Err(Failure::method("GET, HEAD"));
        }
        let doc = call.document()?;
        if doc.resource_type() != "Bundle" {
            return Err(Failure::bad("invalid", "POST on the base takes a Bundle"));
        }
        let items = items(&doc, &call.base)?;
        match doc.root().str_at("type") {
            Some("batch") => self.batch(call, caller, &items),
            Some("transaction") => self.transaction(call, caller, &items),
            _ => Err(
                Failure::bad("value", "the Bundle must be a batch or a transaction")
                    .on("Bundle.type"),
            ),
        }
    }

    fn batch(&self, call: &Call, caller: &Caller, items: &[Item<'_>]) -> Result<Answer, Failure> {
        let mut entries = Vec::with_capacity(items.len());
        for item in items {
            let result =
                inner_call(call, item, None).and_then(|inner| dispatch(self, &inner, caller));
            entries.push(response_entry(call, item, result));
        }
        Ok(Answer::resource(
            StatusCode::OK,
            render::bundle("batch-response", None, &[], &entries),
        ))
    }

    fn transaction(
        &self,
        call: &Call,
        caller: &Caller,
        items: &[Item<'_>],
    ) -> Result<Answer, Failure> {
        let snapshot = self.snapshot()?;
        let gated = self.decide(&snapshot, caller, None, Action::Update, &[])?;
        // Ids first, so that references inside the bundle can be rewritten before anything is planned.
        let mut identities = Identities::default();
        for item in items {
            self.identify(&snapshot, &gated.granted, item, &mut identities)
                .map_err(|f| f.on(item.place()))?;
        }
        let mut changes: BTreeMap<usize, Change> = BTreeMap::new();
        let mut touched: HashMap<(String, String), usize> = HashMap::new();
        for item in items
            .iter()
            .filter(|i| !matches!(i.method.as_str(), "GET" | "HEAD"))
        {
            let change = self
                .plan_item(&snapshot, caller, &gated.granted, item, &identities)
                .map_err(|f| f.on(item.place()))?;
            if let Change::Write(write) = &change
                && let PutId::Given(id) = &write.put.id
                && let Some(other) =
                    touched.insert((write.put.rtype.clone(), id.clone()), item.index)
            {
                return Err(Failure::bad(
                    "invalid",
                    format!("Bundle.entry[{other}] changes the same resource"),
                )
                .on(item.place()));
            }
            changes.insert(item.index, change);
        }
        let (commit, places) = join(&mut changes);
        let done = if commit.put.is_empty() {
            None
        } else {
            Some(self.config.store.commit(commit)?)
        };
        let mut entries = Vec::with_capacity(items.len());
        for item in items {
            let entry = match changes.get(&item.index) {
                None => response_entry(
                    call,
                    item,
                    inner_call(call, item, None).and_then(|c| dispatch(self, &c, caller)),
                ),
                Some(Change::Nothing) => written_entry("204 No Content", None, None),
                Some(Change::Kept(record)) => {
                    let body = self.rendered(record, None, &Subset::default())?;
                    let head = &record.head;
                    written_entry(
                        "200 OK",
                        Some((
                            location(&call.base, &head.rtype, &head.id, head.vno),
                            etag(head.vno),
                            head.at,
                        )),
                        (call.returns == Return::Representation && call.header("prefer").is_some())
                            .then_some(body),
                    )
                }
                Some(Change::Write(write)) => {
                    let receipt = places
                        .get(&item.index)
                        .and_then(|at| done.as_ref()?.puts.get(*at));
                    let (Some(receipt), Some(done)) = (receipt, &done) else {
                        return Err(Failure::internal());
                    };
                    let place = (
                        location(&call.base, &write.put.rtype, &receipt.id, receipt.vno),
                        etag(receipt.vno),
                        done.at,
                    );
                    let wants = call.returns == Return::Representation
                        && call.header("prefer").is_some()
                        && write.status != StatusCode::NO_CONTENT;
                    let body = fhir::build::splice_meta(
                        &write.put.body,
                        &receipt.id,
                        &receipt.vno.0.to_string(),
                        &render::instant(done.at),
                    )
                    .ok()
                    .filter(|_| wants);
                    written_entry(status_text(write.status), Some(place), body)
                }
            };
            entries.push(entry);
        }
        Ok(Answer::resource(
            StatusCode::OK,
            render::bundle("transaction-response", None, &[], &entries),
        ))
    }

    /// Which record an entry will be: what its fullUrl is rewritten to.
    fn identify(
        &self,
        snapshot: &Snapshot,
        granted: &store::Granted,
        item: &Item<'_>,
        identities: &mut Identities,
    ) -> Result<(), Failure> {
        let rtype = item.rtype();
        let id = match (item.method.as_str(), item.id()) {
            ("POST", None) => {
                let existing = match &item.preconditions.if_none_exist {
                    Some(text) => {
                        let criteria = params::decode(text.trim_start_matches('?').as_bytes());
                        if !identities.conditional.insert(format!("{rtype}?{text}")) {
                            // Two entries of the same criteria are one resource.
                            return identities.alias(item, &format!("{rtype}?{text}"));
                        }
                        let (records, _) =
                            self.matching_criteria(snapshot, granted, rtype, &criteria)?;
                        match records.as_slice() {
                            [one] => Some(one.head.id.clone()),
                            _ => None,
                        }
                    }
                    None => None,
                };
                existing.unwrap_or_else(|| uuid::Uuid::now_v7().to_string())
            }
            ("PUT", Some(id)) => id.to_owned(),
            ("PUT", None) => {
                let criteria = params::decode(item.query.as_bytes());
                let (records, _) = self.matching_criteria(snapshot, granted, rtype, &criteria)?;
                match (
                    records.as_slice(),
                    item.resource.and_then(|r| r.str_at("id")),
                ) {
                    ([one], _) => one.head.id.clone(),
                    (_, Some(id)) => id.to_owned(),
                    _ => uuid::Uuid::now_v7().to_string(),
                }
            }
            _ => return Ok(()),
        };
        identities.add(item, rtype, id)
    }

    fn plan_item(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        granted: &store::Granted,
        item: &Item<'_>,
        identities: &Identities,
    ) -> Result<Change, Failure> {
        let rtype = item.rtype();
        self.require_type(rtype)?;
        let criteria = params::decode(item.query.as_bytes());
        let preconditions = &item.preconditions;
        if item.method == "DELETE" {
            return match item.id() {
                Some(id) => self.plan_delete(snapshot, granted, rtype, id, preconditions),
                None => {
                    self.plan_delete_matching(snapshot, granted, rtype, &criteria, preconditions)
                }
            };
        }
        let resource = item
            .resource
            .ok_or_else(|| Failure::bad("required", "the entry has no resource"))?;
        let body = self.rewritten(snapshot, granted, resource, identities)?;
        let doc = Doc::parse_json(body, &Limits::default()).map_err(|f| Failure::findings(&f))?;
        let id = identities.ids.get(&item.index).map(String::as_str);
        match (item.method.as_str(), item.id()) {
            ("POST", None) if identities.repeats.contains(&item.index) => Ok(Change::Nothing),
            ("POST", None) => {
                self.plan_create(snapshot, caller, granted, rtype, &doc, preconditions, id)
            }
            ("PUT", Some(id)) => {
                self.plan_update(snapshot, caller, granted, rtype, id, &doc, preconditions)
            }
            ("PUT", None) => {
                let doc = match (doc.id(), id) {
                    (None, Some(id)) => crate::change::with_id(&doc, id)?,
                    _ => doc,
                };
                self.plan_update_matching(
                    snapshot,
                    caller,
                    granted,
                    rtype,
                    &criteria,
                    &doc,
                    preconditions,
                )
            }
            _ => Err(Failure::bad(
                "not-supported",
                "entries take GET, HEAD, POST, PUT and DELETE on resources",
            )),
        }
    }

    /// The resource with references to other entries, and conditional references, made into references to records.
    fn rewritten(
        &self,
        snapshot: &Snapshot,
        granted: &store::Granted,
        resource: Node<'_>,
        identities: &Identities,
    ) -> Result<Bytes, Failure> {
        let whole = resource.raw_json();
        let doc = Doc::parse_json(whole.clone(), &Limits::default())
            .map_err(|f| Failure::findings(&f))?;
        let reference_type = Pack::r4().known.reference;
        let mut edits: Vec<(usize, usize, Vec<u8>)> = Vec::new();
        for node in doc.nodes().filter(|n| n.type_id() == reference_type) {
            let Some(text) = node.str_at("reference") else {
                continue;
            };
            let (plain, fragment) = match text.split_once('#') {
                Some((plain, fragment)) if !plain.is_empty() => (plain, Some(fragment)),
                _ => (text, None),
            };
            let target = if let Some(target) = identities.urls.get(plain) {
                target.clone()
            } else if let Some((rtype, criteria)) = plain
                .split_once('?')
                .filter(|(rtype, _)| self.has_type(rtype))
            {
                self.resolve(snapshot, granted, rtype, criteria, identities)
                    .map_err(|f| f.on(node.path()))?
            } else if plain.starts_with("urn:uuid:") || plain.starts_with("urn:oid:") {
                return Err(Failure::bad(
                    "not-found",
                    format!("{} refers to no entry of the bundle", node.path()),
                ));
            } else {
                continue;
            };
            let raw = node.raw_json();
            let Some(at) = (raw.as_ptr() as usize).checked_sub(doc.bytes().as_ptr() as usize)
            else {
                continue;
            };
            let mut value: Map<String, Value> =
                serde_json::from_slice(&raw).map_err(|_| Failure::internal())?;
            let target = match fragment {
                Some(fragment) => format!("{target}#{fragment}"),
                None => target,
            };
            value.insert("reference".to_owned(), Value::String(target));
            edits.push((
                at,
                at + raw.len(),
                Value::Object(value).to_string().into_bytes(),
            ));
        }
        Ok(render::splice(&whole, edits))
    }

    /// A conditional reference: exactly one match in the store or among this transaction's conditional creates.
    fn resolve(
        &self,
        snapshot: &Snapshot,
        granted: &store::Granted,
        rtype: &str,
        criteria: &str,
        identities: &Identities,
    ) -> Result<String, Failure> {
        let (records, _) = self.matching_criteria(
            snapshot,
            granted,
            rtype,
            &params::decode(criteria.as_bytes()),
        )?;
        match records.as_slice() {
            [one] => Ok(format!("{rtype}/{}", one.head.id)),
            [] => identities
                .urls
                .get(&format!("{rtype}?{criteria}"))
                .cloned()
                .ok_or_else(|| {
                    Failure::bad("not-found", "a conditional reference matches nothing")
                }),
            _ => Err(Failure::precondition(
                "multiple-matches",
                "a conditional reference matches more than one resource",
            )),
        }
    }
}

/// What entries become.
#[derive(Default)]
struct Identities {
    /// Entry → id.
    ids: HashMap<usize, String>,
    /// fullUrl (or conditional criteria) → `Type/id`.
    urls: HashMap<String, String>,
    conditional: BTreeSet<String>,
    /// Entries that are the same conditional create as an earlier one.
    repeats: BTreeSet<usize>,
}

impl Identities {
    fn add(&mut self, item: &Item<'_>, rtype: &str, id: String) -> Result<(), Failure> {
        let target = format!("{rtype}/{id}");
        if let Some(url) = &item.full_url {
            if url.contains("/_history/") {
                return Err(Failure::bad("invalid", "fullUrl must not name a version"));
            }
            if self.urls.insert(url.clone(), target.clone()).is_some() {
                return Err(Failure::bad("invalid", "two entries have the same fullUrl"));
            }
            // A relative reference beside an absolute fullUrl means the entry of that address.
            if let Some((_, kind, given, None)) = fhir::refs::split(url, Pack::r4()) {
                self.urls.insert(format!("{kind}/{given}"), target.clone());
            }
        }
        if let Some(text) = &item.preconditions.if_none_exist {
            self.urls.insert(format!("{rtype}?{text}"), target);
        }
        self.ids.insert(item.index, id);
        Ok(())
    }

    fn alias(&mut self, item: &Item<'_>, criteria: &str) -> Result<(), Failure> {
        self.repeats.insert(item.index);
        if let (Some(target), Some(url)) = (self.urls.get(criteria).cloned(), &item.full_url) {
            self.urls.insert(url.clone(), target);
        }
        Ok(())
    }
}

fn items<'d>(doc: &'d Doc, base: &str) -> Result<Vec<Item<'d>>, Failure> {
    let mut out = Vec::new();
    for (index, entry) in doc.root().all("entry").enumerate() {
        if index >= MAX_ENTRIES {
            return Err(Failure::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too-long",
                format!("a Bundle takes at most {MAX_ENTRIES} entries"),
            ));
        }
        let text = |path: &str| entry.str_at(path).map(str::to_owned);
        let (Some(method), Some(url)) = (text("request.method"), text("request.url")) else {
            return Err(
                Failure::bad("required", "request.method and request.url are needed")
                    .on(format!("Bundle.entry[{index}].request")),
            );
        };
        let url = url
            .strip_prefix(base)
            .unwrap_or(&url)
            .trim_start_matches('/')
            .to_owned();
        let (path, query) = url.split_once('?').unwrap_or((&url, ""));
        out.push(Item {
            index,
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            full_url: text("fullUrl"),
            resource: entry.get("resource"),
            preconditions: Preconditions {
                if_match: text("request.ifMatch"),
                if_none_match: text("request.ifNoneMatch"),
                if_none_exist: text("request.ifNoneExist"),
            },
            if_modified_since: text("request.ifModifiedSince"),
        });
    }
    Ok(out)
}

/// An entry as a call of its own.
fn inner_call(call: &Call, item: &Item<'_>, body: Option<Bytes>) -> Result<Call, Failure> {
    let method = match item.method.as_str() {
        "GET" | "HEAD" => Method::GET,
        "POST" => Method::POST,
        "PUT" => Method::PUT,
        "DELETE" => Method::DELETE,
        _ => {
            return Err(Failure::bad(
                "not-supported",
                "entries take GET, HEAD, POST, PUT and DELETE",
            ));
        }
    };
    if item.path.is_empty() && method != Method::GET {
        return Err(Failure::bad(
            "invalid",
            "a Bundle cannot hold another Bundle request",
        ));
    }
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/fhir+json"),
    );
    let conditions = [
        ("if-match", &item.preconditions.if_match),
        ("if-none-match", &item.preconditions.if_none_match),
        ("if-none-exist", &item.preconditions.if_none_exist),
        ("if-modified-since", &item.if_modified_since),
    ];
    for (name, value) in conditions {
        if let Some(value) = value {
            let value = HeaderValue::from_str(value).map_err(|_| {
                Failure::bad("value", "a precondition is not plain text").on(item.place())
            })?;
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    let path = item.path.trim_end_matches('/').to_owned();
    Ok(Call {
        segments: path
            .split('/')
            .filter(|s| !s.is_empty())
            .map(str::to_owned)
            .collect(),
        path,
        query: params::decode(item.query.as_bytes()),
        body: body
            .or_else(|| item.resource.map(|r| r.raw_json()))
            .unwrap_or_default(),
        headers,
        method,
        base: call.base.clone(),
        returns: call.returns,
        is_lenient: call.is_lenient,
    })
}

/// All writes as one commit, deletes first; and where each entry's put stands in it.
fn join(changes: &mut BTreeMap<usize, Change>) -> (Commit, HashMap<usize, usize>) {
    let mut commit = Commit::default();
    let mut places = HashMap::new();
    let order = |write: &Write| match write.status {
        StatusCode::NO_CONTENT => 0,
        StatusCode::CREATED => 1,
        _ => 2,
    };
    let mut writes: Vec<(u8, usize, &Write)> = changes
        .iter()
        .filter_map(|(index, change)| match change {
            Change::Write(write) => Some((order(write), *index, write.as_ref())),
            _ => None,
        })
        .collect();
    writes.sort_by_key(|(order, index, _)| (*order, *index));
    for (_, index, write) in writes {
        commit.expect.extend(write.expect.iter().cloned());
        places.insert(index, commit.put.len());
        commit.put.push(write.put.clone());
    }
    (commit, places)
}

fn status_text(status: StatusCode) -> &'static str {
    match status {
        StatusCode::CREATED => "201 Created",
        StatusCode::NO_CONTENT => "204 No Content",
        _ => "200 OK",
    }
}

fn written_entry(
    status: &str,
    place: Option<(String, String, i64)>,
    resource: Option<Bytes>,
) -> Entry {
    let mut response = Json::new().put("status", status);
    if let Some((location, etag, at)) = place {
        response = response
            .put("location", location)
            .put("etag", etag)
            .put("lastModified", render::instant(at));
    }
    Entry {
        resource,
        response: Some(response.build()),
        ..Entry::default()
    }
}

/// The answer of one entry of a batch, or of a read in a transaction.
fn response_entry(call: &Call, item: &Item<'_>, result: Result<Answer, Failure>) -> Entry {
    let answer = match result {
        Ok(answer) => answer,
        Err(failure) => {
            return Entry {
                response: Some(json!({
                    "status": failure.status.as_u16().to_string(),
                    "outcome": failure.outcome(),
                })),
                ..Entry::default()
            };
        }
    };
    let mut response = Json::new().put("status", answer.status.as_u16().to_string());
    for (name, value) in &answer.headers {
        let text = value.to_str().unwrap_or_default();
        match *name {
            header::ETAG => response = response.put("etag", text),
            header::LOCATION => response = response.put("location", text),
            _ => {}
        }
    }
    let is_read = matches!(item.method.as_str(), "GET");
    let wants =
        is_read || (call.header("prefer").is_some() && call.returns == Return::Representation);
    Entry {
        resource: match answer.content {
            Content::Resource(json) if wants => Some(json),
            _ => None,
        },
        response: Some(response.build()),
        ..Entry::default()
    }
}
