//! Batch and transaction (spec/fhir-server.md §4): the Bundle read as entries, batches as their entries one by one.

mod identity;
mod rewrite;
mod transaction;

use crate::change::Preconditions;
use crate::gate::Caller;
use crate::http::{Answer, Call, Content, Return, dispatch, segments};
use crate::outcome::Failure;
use crate::params;
use crate::patch::Patch;
use crate::render::{self, Entry};
use crate::repository::Repository;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use bytes::Bytes;
use fhir::build::Json;
use fhir::datetime::{Moment, Precision};
use fhir::{Doc, Node};
use std::collections::HashMap;

/// Most entries of a batch or transaction.
pub const MAX_ENTRIES: usize = 30_000;

/// `Bundle.entry.request.method`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            _ => return None,
        })
    }

    fn reads(self) -> bool {
        matches!(self, Self::Get | Self::Head)
    }
}

/// One entry, read.
struct Item<'d> {
    index: usize,
    verb: Option<Verb>,
    /// Address below the base, without query, as written.
    path: String,
    /// Its parts, unescaped.
    segments: Vec<String>,
    query: String,
    /// The address is of another server.
    is_elsewhere: bool,
    full_url: Option<String>,
    resource: Option<Node<'d>>,
    preconditions: Preconditions,
    if_modified_since: Option<String>,
}

impl Item<'_> {
    fn place(&self) -> String {
        format!("Bundle.entry[{}]", self.index)
    }

    /// Method as HTTP writes it; empty when there is none.
    fn method(&self) -> &'static str {
        match self.verb {
            Some(Verb::Get) => "GET",
            Some(Verb::Head) => "HEAD",
            Some(Verb::Post) => "POST",
            Some(Verb::Put) => "PUT",
            Some(Verb::Patch) => "PATCH",
            Some(Verb::Delete) => "DELETE",
            None => "",
        }
    }

    fn rtype(&self) -> &str {
        self.segments.first().map_or("", String::as_str)
    }

    fn id(&self) -> Option<&str> {
        self.segments.get(1).map(String::as_str)
    }

    /// The method; 400 when it is none of FHIR's.
    fn verb(&self) -> Result<Verb, Failure> {
        self.verb.ok_or_else(|| {
            Failure::bad(
                "value",
                "request.method is GET, HEAD, POST, PUT, PATCH or DELETE, in capitals",
            )
            .on(format!("{}.request.method", self.place()))
        })
    }

    fn require_here(&self) -> Result<(), Failure> {
        if self.is_elsewhere {
            return Err(Failure::bad("value", "request.url leads to another server")
                .on(format!("{}.request.url", self.place())));
        }
        Ok(())
    }

    fn body(&self) -> Result<Node<'_>, Failure> {
        self.resource.ok_or_else(|| {
            Failure::bad("required", "the entry has no resource")
                .on(format!("{}.resource", self.place()))
        })
    }
}

impl Repository {
    pub(crate) fn bundle(&self, call: &Call, caller: &Caller) -> Result<Answer, Failure> {
        if self.is_clinical() {
            return Err(Failure::method("GET, HEAD"));
        }
        let doc = call.document()?;
        if doc.resource_type() != "Bundle" {
            return Err(
                Failure::bad("invalid", "POST on the base takes a Bundle").on("resourceType")
            );
        }
        let is_transaction = match doc.root().str_at("type") {
            Some("batch") => false,
            Some("transaction") => true,
            _ => {
                return Err(
                    Failure::bad("value", "the Bundle must be a batch or a transaction")
                        .on("Bundle.type"),
                );
            }
        };
        let items = self.items(&doc, &call.base)?;
        if is_transaction {
            self.transaction(call, caller, &items)
        } else {
            self.batch(call, caller, &items)
        }
    }

    fn batch(&self, call: &Call, caller: &Caller, items: &[Item<'_>]) -> Result<Answer, Failure> {
        let mut entries = Vec::with_capacity(items.len());
        for item in items {
            let result = inner_call(call, item).and_then(|inner| {
                crate::metadata::open(self, &inner)
                    .filter(|_| item.path == "metadata")
                    .unwrap_or_else(|| dispatch(self, &inner, caller))
            });
            entries.push(response_entry(call, item, result));
        }
        Ok(Answer::resource(
            StatusCode::OK,
            render::bundle("batch-response", None, &[], &entries),
        ))
    }

    fn items<'d>(&self, doc: &'d Doc, base: &str) -> Result<Vec<Item<'d>>, Failure> {
        let mut out = Vec::new();
        let mut full_urls: HashMap<(&str, Option<&str>), usize> = HashMap::new();
        for (index, entry) in doc.root().all("entry").enumerate() {
            if index >= MAX_ENTRIES {
                return Err(Failure::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "too-long",
                    format!("a Bundle takes at most {MAX_ENTRIES} entries"),
                ));
            }
            let place = format!("Bundle.entry[{index}]");
            let text = |path: &str| entry.str_at(path).map(str::to_owned);
            let needed = |name: &str| {
                text(&format!("request.{name}")).ok_or_else(|| {
                    Failure::bad("required", format!("request.{name} is needed"))
                        .on(format!("{place}.request.{name}"))
                })
            };
            let (method, url) = (needed("method")?, needed("url")?);
            if let Some(url) = entry.str_at("fullUrl") {
                let refuse = |text: String| {
                    Err(Failure::bad("invalid", text).on(format!("{place}.fullUrl")))
                };
                if url.contains("/_history/") {
                    return refuse("fullUrl must not name a version".to_owned());
                }
                let version = entry.str_at("resource.meta.versionId");
                if let Some(other) = full_urls.insert((url, version), index) {
                    return refuse(format!("Bundle.entry[{other}] has the same fullUrl"));
                }
            }
            let own = std::iter::once(base).chain(self.config.bases.iter().map(String::as_str));
            let address = own
                .filter_map(|base| url.strip_prefix(base))
                .find(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
                .unwrap_or(&url)
                .trim_start_matches('/');
            let (path, query) = address.split_once('?').unwrap_or((address, ""));
            let verb = Verb::parse(&method);
            // Criteria in the address of a create mean the same as `ifNoneExist`.
            let if_none_exist = text("request.ifNoneExist").or_else(|| {
                let is_create = verb == Some(Verb::Post) && !path.contains(['/', '$']);
                let has_criteria = crate::change::has_criteria(&params::decode(query.as_bytes()));
                (is_create && has_criteria).then(|| query.to_owned())
            });
            out.push(Item {
                index,
                verb,
                segments: segments(path),
                is_elsewhere: path.contains("://"),
                path: path.trim_end_matches('/').to_owned(),
                query: query.to_owned(),
                full_url: text("fullUrl"),
                resource: entry.get("resource"),
                preconditions: Preconditions {
                    if_match: text("request.ifMatch"),
                    if_none_match: text("request.ifNoneMatch"),
                    if_none_exist,
                },
                if_modified_since: text("request.ifModifiedSince"),
            });
        }
        Ok(out)
    }
}

/// An entry as a call of its own.
fn inner_call(call: &Call, item: &Item<'_>) -> Result<Call, Failure> {
    let verb = item.verb()?;
    item.require_here()?;
    if item.path.is_empty() && !verb.reads() {
        return Err(Failure::bad(
            "invalid",
            "a Bundle cannot hold another Bundle request",
        ));
    }
    let mut content_type = "application/fhir+json";
    let mut body = item.resource.map(|r| r.raw_json()).unwrap_or_default();
    if verb == Verb::Patch
        && let Some(resource) = item.resource
    {
        (content_type, body) = match Patch::of_entry(resource)? {
            Patch::Json(patch) => ("application/json-patch+json", patch),
            Patch::Xml(patch) => ("application/xml-patch+xml", patch),
            Patch::FhirPath(_) | Patch::Merge(_) => (content_type, body),
        };
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    let since = item
        .if_modified_since
        .as_deref()
        .map(http_date_of)
        .transpose()?;
    let conditions = [
        ("if-match", &item.preconditions.if_match),
        ("if-none-match", &item.preconditions.if_none_match),
        ("if-none-exist", &item.preconditions.if_none_exist),
        ("if-modified-since", &since),
    ];
    for (name, value) in conditions {
        if let Some(value) = value {
            let value = HeaderValue::from_bytes(value.as_bytes())
                .map_err(|_| Failure::bad("value", "a precondition is not plain text"))?;
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    Ok(Call {
        segments: item.segments.clone(),
        path: item.path.clone(),
        query: params::decode(item.query.as_bytes()),
        body,
        upload: None,
        ahead: None,
        headers,
        method: match verb {
            Verb::Get | Verb::Head => Method::GET,
            Verb::Post => Method::POST,
            Verb::Put => Method::PUT,
            Verb::Patch => Method::PATCH,
            Verb::Delete => Method::DELETE,
        },
        base: call.base.clone(),
        returns: call.returns,
        has_return: call.has_return,
        is_lenient: call.is_lenient,
    })
}

/// `ifModifiedSince` is an instant in a Bundle and a date in HTTP.
fn http_date_of(instant: &str) -> Result<String, Failure> {
    let moment = Moment::parse(instant, false)
        .filter(|m| m.precision() > Precision::Minute)
        .ok_or_else(|| Failure::bad("value", "request.ifModifiedSince must be an instant"))?;
    Ok(render::http_date(
        moment.range_us(&fhir::datetime::oslo()).0,
    ))
}

/// `404 Not Found`.
fn status_text(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

/// The entry of something that failed.
fn failed_entry(failure: &Failure) -> Entry {
    let mut response = Json::new().put("status", status_text(failure.status));
    let etag = failure.headers.iter().find(|(n, _)| *n == header::ETAG);
    if let Some(tag) = etag.and_then(|(_, v)| v.to_str().ok()) {
        response = response.put("etag", tag);
    }
    Entry {
        response: Some(response.put("outcome", failure.outcome()).build()),
        ..Entry::default()
    }
}

/// The answer of one entry of a batch, or of a read in a transaction.
fn response_entry(call: &Call, item: &Item<'_>, result: Result<Answer, Failure>) -> Entry {
    let answer = match result {
        Ok(answer) => answer,
        Err(failure) => return failed_entry(&failure.within(&item.place())),
    };
    let mut response = Json::new().put("status", status_text(answer.status));
    let text = |wanted: header::HeaderName| {
        let found = answer.headers.iter().find(|(name, _)| *name == wanted);
        found.and_then(|(_, value)| value.to_str().ok())
    };
    response = response
        .maybe("location", text(header::LOCATION))
        .maybe("etag", text(header::ETAG))
        .maybe(
            "lastModified",
            text(header::LAST_MODIFIED)
                .and_then(render::parse_http_date)
                .map(render::instant),
        );
    let reads = item.verb == Some(Verb::Get) || item.path.contains('$');
    let mut entry = Entry::default();
    if let Content::Resource(json) = answer.content {
        match call.returns {
            _ if reads => entry.resource = Some(json),
            _ if !call.has_return => {}
            Return::Representation => entry.resource = Some(json),
            Return::Outcome => {
                if let Ok(outcome) = serde_json::from_slice::<serde_json::Value>(&json) {
                    response = response.put("outcome", outcome);
                }
            }
            Return::Minimal => {}
        }
    }
    entry.response = Some(response.build());
    entry
}

/// A resource inside an entry, as a document of its own.
fn inner_doc(bytes: Bytes) -> Result<Doc, Failure> {
    Doc::parse_json(bytes, &fhir::Limits::default()).map_err(|f| Failure::findings(&f))
}
