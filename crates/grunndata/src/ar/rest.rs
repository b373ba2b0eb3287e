//! The CommunicationParty REST API: the older shape (export, events by id, single parties in the names of SOAP) and the
//! newer one (slim parties, events by sequence number, certificates with history).
//!
//! Rules: spec/grunndata.md §7.3, spec/messaging.md §8.4. Access: HelseID with DPoP, audience and scope below. Paths are
//! found whatever their case, because clients differ.

use super::ready::Answers;
use super::view::{Depth, with_offset};
use super::{AddressRegister, Dialect, json, time};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use edge::Problem;
use edge::soap::Object;
use edge::soap::value::Ready;
use futures_util::StreamExt as _;
use jose::Alg;
use jose::rs::{Presented, Requirement, ResourceServer};
use registers::directory::PartyKind;
use registers::kernel::events::Event;
use registers::kernel::period::Moment;
use registers::parties::record::{PartyEvent, PartyEventKind, PartyRecord};
use registers::parties::register::Held;
use registers::parties::rules;
use registers::parties::search::kind_name;
use registers::parties::{CertificateLine, CertificateUse};
use serde_json::{Map, Value, json};
use std::convert::Infallible;
use std::sync::Arc;

/// How JSON writes a hole.
const ESCAPED: &str = "\\u0000";

/// Where the API stands.
pub const PREFIX: &str = "/nasjonal/communicationparty";
/// Audience of the tokens.
pub const AUDIENCE: &str = "nhn:cp-api";
/// Scope of the tokens.
pub const SCOPE: &str = "nhn:cp-api/access-v2-dpop";

/// Parties in one chunk of the export.
const CHUNK: usize = 200;
/// Events on a page, when the caller does not say, and at most.
const EVENTS: usize = 100;
const MAX_EVENTS: usize = 1_000;
/// Most HER-ids of one question, and the longest body that holds them.
const MAX_PARTIES: usize = 100;
const MAX_BODY: usize = 16 * 1_024;
/// Bytes of answers kept, twice.
const KEPT_BYTES: usize = 32 << 20;

struct Api {
    register: Arc<AddressRegister>,
    server: ResourceServer,
    clock: Arc<dyn Fn() -> i64 + Send + Sync>,
    answers: Answers,
}

/// The routes. `clock` is the real clock in seconds, for tokens.
pub fn router(
    register: Arc<AddressRegister>,
    server: ResourceServer,
    clock: Arc<dyn Fn() -> i64 + Send + Sync>,
) -> Router {
    let api = Arc::new(Api {
        register,
        server,
        clock,
        answers: Answers::new(KEPT_BYTES),
    });
    Router::new()
        .route(PREFIX, axum::routing::get(overview))
        .route(&format!("{PREFIX}/{{*path}}"), axum::routing::any(handle))
        .layer(tower_http::compression::CompressionLayer::new())
        .with_state(api)
}

fn values<'a>(parts: &'a Parts, name: &str) -> Vec<&'a str> {
    let all = parts.headers.get_all(name).iter();
    all.filter_map(|value| value.to_str().ok()).collect()
}

/// Checks a DPoP token of an API with one scope.
///
/// # Errors
/// The answer to give.
pub(crate) fn authorised(
    server: &ResourceServer,
    requirement: &Requirement<'_>,
    parts: &Parts,
    now_s: i64,
) -> Result<jose::rs::AccessToken, Box<Response>> {
    let presented = Presented {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        authorization: &values(parts, "authorization"),
        dpop: &values(parts, "dpop"),
        now_s,
    };
    server.check(&presented, requirement).map_err(|error| {
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::UNAUTHORIZED);
        let problem = match status {
            StatusCode::FORBIDDEN => Problem::forbidden(error.to_string()),
            StatusCode::UNAUTHORIZED => Problem::unauthorized().with_detail(error.to_string()),
            _ => Problem::unavailable(),
        };
        let mut response = problem.into_response();
        let algs: &[Alg] = server.algs();
        if let Ok(challenge) = HeaderValue::from_str(&error.www_authenticate(algs)) {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
        }
        Box::new(response)
    })
}

/// What there is, for somebody who opens the address from the facts.
async fn overview() -> axum::Json<Value> {
    let paths = [
        "CommunicationParties/{herId}",
        "CommunicationPartyExport",
        "CommunicationPartyEvents",
    ]
    .map(|path| format!("{PREFIX}/{path}"));
    axum::Json(json!({ "name": "CommunicationParty API", "scope": SCOPE, "paths": paths }))
}

async fn handle(State(api): State<Arc<Api>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let requirement = Requirement::scope(&[SCOPE]);
    if let Err(refused) = authorised(&api.server, &requirement, &parts, (api.clock)()) {
        return *refused;
    }
    match api.answer(&parts, body).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

/// A parameter of the query, whatever its case.
fn parameter(parts: &Parts, name: &str) -> Option<String> {
    let query = parts.uri.query()?;
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.to_owned())
}

fn not_allowed(allow: &'static str) -> Response {
    let problem = Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "The method is not allowed here.",
    );
    let mut response = problem.into_response();
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

impl Api {
    async fn answer(self: &Arc<Self>, parts: &Parts, body: Body) -> Result<Response, Problem> {
        let path = parts.uri.path().to_ascii_lowercase();
        let rest = path.get(PREFIX.len()..).unwrap_or_default();
        let segments: Vec<&str> = rest.split('/').filter(|s| !s.is_empty()).collect();
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        if let ["communicationparty"] = segments.as_slice() {
            if parts.method != Method::POST {
                return Ok(not_allowed("POST"));
            }
            return self.several(body).await;
        }
        if !is_read {
            return Ok(not_allowed("GET, HEAD"));
        }
        match segments.as_slice() {
            // Parties stand in memory; whatever reads the log waits for the store, on a thread that may.
            ["communicationparties", her_id] => {
                let party = self.party(her_id)?;
                Ok(self.conditional(parts, &party, || self.legacy_text(&party)))
            }
            ["communicationparty", her_id] if *her_id != "export" => {
                let party = self.party(her_id)?;
                Ok(self.conditional(parts, &party, || self.slim(&party).to_string()))
            }
            _ => {
                let (api, parts) = (Arc::clone(self), parts.clone());
                let segments: Vec<String> = segments.into_iter().map(str::to_owned).collect();
                edge::blocking(move || {
                    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
                    api.from_store(&parts, &segments)
                })
                .await?
            }
        }
    }

    fn from_store(self: &Arc<Self>, parts: &Parts, segments: &[&str]) -> Result<Response, Problem> {
        match segments {
            ["communicationpartyexport"] => self.export(),
            ["communicationpartyevents"] => self.events(parts),
            ["communicationparty", "export"] => self.slim_export(),
            ["communicationparty", her_id, "certificate", purpose] => {
                self.certificate(her_id, purpose, false)
            }
            [
                "communicationparty",
                her_id,
                "certificate",
                purpose,
                "history",
            ] => self.certificate(her_id, purpose, true),
            ["event"] => self.slim_events(parts),
            ["event", "latest"] => self.latest(),
            _ => Err(Problem::not_found()),
        }
    }

    fn party(&self, her_id: &str) -> Result<Held, Problem> {
        let number: u32 = her_id
            .parse()
            .map_err(|_| Problem::bad_request("The HER-id must be a number."))?;
        self.register.parties.get(number).ok_or_else(|| {
            Problem::new(
                StatusCode::NOT_FOUND,
                "unknown-her-id",
                "No communication party has this HER-id.",
            )
        })
    }

    /// [`Self::legacy`] as text, kept.
    fn legacy_text(&self, party: &Held) -> String {
        let now = self.register.moment();
        let write = || Ok::<_, Infallible>(self.legacy(party).to_string().replace(ESCAPED, "\0"));
        let key = (party.content.her_id, 0);
        let Ok(kept) = self.answers.answer(&self.register, key, party, now, write);
        let ready = Ready {
            content: kept.text.clone(),
            filling: json::written(with_offset(now)),
        };
        let mut text = String::new();
        ready.write(&mut text);
        text
    }

    /// A party in the names of SOAP: its own elements first, then those every party has. Where the time is, is a hole.
    fn legacy(&self, party: &Held) -> Value {
        let content = &party.content;
        json!({
            "herId": content.her_id,
            "parentHerId": content.parent.map_or(-1, i64::from),
            "type": kind_name(content.kind),
            "communicationParty": self.filled(content, Depth::Whole, true),
        })
    }

    fn inner(&self, party: &PartyRecord, depth: Depth) -> Value {
        self.filled(party, depth, false)
    }

    fn filled(&self, party: &PartyRecord, depth: Depth, with_holes: bool) -> Value {
        let register = &self.register;
        let parent = register.parent(party);
        let parent = parent.as_ref().map(|p| &p.content);
        let (mut own, mut common) = (Object::new(), Object::new());
        register.own(&mut own, party, Dialect::Rest, depth);
        register.common(&mut common, party, parent, Dialect::Rest, register.moment());
        if with_holes {
            own.punch("ServerTime");
            common.punch("ServerTime");
        }
        let mut map = Map::new();
        json::fill(&mut map, &own);
        json::fill(&mut map, &common);
        Value::Object(map)
    }

    /// All parties, chunk by chunk, with the event from which to follow.
    fn export(self: &Arc<Self>) -> Result<Response, Problem> {
        // The position first: what changes while the export runs comes again as an event.
        let last = self.register.parties.last_event()?;
        let at = last
            .as_ref()
            .map_or_else(|| self.register.moment(), |e| e.kind.at);
        let id = event_id(last.map_or(0, |e| e.number));
        let head = format!(
            "{{\"LastDateTimeOffset\":{},\"LastEventId\":{},\"CommunicationParties\":[",
            Value::from(at.timestamp().to_string()),
            Value::from(id)
        );
        let her_ids = Arc::new(self.register.parties.her_ids());
        let api = self.clone();
        let chunks = her_ids.len().div_ceil(CHUNK);
        let stream = futures_util::stream::unfold(0usize, move |step| {
            let (api, her_ids, head) = (api.clone(), her_ids.clone(), head.clone());
            async move {
                let text = match step {
                    0 => head,
                    n if n <= chunks => {
                        let work = move || api.chunk(&her_ids, n - 1);
                        match edge::blocking(work).await {
                            Ok(text) => text,
                            Err(_) => {
                                return Some((Err(std::io::Error::other("stopped")), step + 1));
                            }
                        }
                    }
                    n if n == chunks + 1 => "]}".to_owned(),
                    _ => return None,
                };
                Some((Ok(Bytes::from(text)), step + 1))
            }
        });
        Ok((
            [(header::CONTENT_TYPE, "application/json; charset=utf-8")],
            // Fused: the compressing layer asks once more after the end.
            Body::from_stream(stream.fuse()),
        )
            .into_response())
    }

    fn chunk(&self, her_ids: &[u32], number: usize) -> String {
        let mut out = String::new();
        let of = her_ids.iter().skip(number * CHUNK).take(CHUNK);
        for (at, her_id) in of.enumerate() {
            if let Some(party) = self.register.parties.get(*her_id) {
                if at > 0 || number > 0 {
                    out.push(',');
                }
                out.push_str(&self.inner(&party.content, Depth::Alone).to_string());
            }
        }
        out
    }

    fn page(&self, parts: &Parts, from: u64) -> Result<(Vec<Event<PartyEvent>>, usize), Problem> {
        let size = match parameter(parts, "pageSize") {
            None => EVENTS,
            Some(text) => text
                .parse::<usize>()
                .ok()
                .filter(|s| (1..=MAX_EVENTS).contains(s))
                .ok_or_else(|| {
                    Problem::bad_request(format!(
                        "pageSize must be a number from 1 to {MAX_EVENTS}."
                    ))
                })?,
        };
        Ok((self.register.parties.events(from, size)?, size))
    }

    /// Events after an id, with the parties as they are now.
    fn events(&self, parts: &Parts) -> Result<Response, Problem> {
        let after = match parameter(parts, "EventId") {
            None => 0,
            Some(id) => read_event_id(&id).ok_or_else(|| {
                Problem::bad_request("EventId must be an id that this register has given.")
            })?,
        };
        let last = self.register.parties.last_event()?.map_or(0, |e| e.number);
        if after > last {
            return Err(Problem::new(
                StatusCode::GONE,
                "unknown-event",
                "The register has no such event. Fetch the export again.",
            ));
        }
        let (events, size) = self.page(parts, after + 1)?;
        let next = events.last().map_or(after, |e| e.number);
        let rows: Vec<Value> = events
            .iter()
            .filter(|e| e.kind.kind != PartyEventKind::TransportEnabled)
            .filter_map(|e| {
                let party = self.register.parties.get(e.kind.her_id)?;
                Some(json!({
                    "EventId": event_id(e.number),
                    "FromDatetime": time(e.kind.at).written.to_string(),
                    "HerId": e.kind.her_id,
                    "OrgNr": party.content.orgnr.parse::<i64>().unwrap_or(0),
                    "EventType": e.kind.kind.name(),
                    "CommunicationParty": self.inner(&party.content, Depth::Alone),
                }))
            })
            .collect();
        let href = format!(
            "{PREFIX}/CommunicationPartyEvents?EventId={}&pageSize={size}",
            event_id(next)
        );
        Ok(axum::Json(json!({
            "CommunicationParties": rows,
            "Links": { "Next": { "Href": href } },
        }))
        .into_response())
    }

    fn slim_events(&self, parts: &Parts) -> Result<Response, Problem> {
        let from = match parameter(parts, "fromSequenceNumber") {
            None => 1,
            Some(text) => text
                .parse::<u64>()
                .ok()
                .filter(|n| *n >= 1)
                .ok_or_else(|| {
                    Problem::bad_request("fromSequenceNumber must be a number from 1.")
                })?,
        };
        let (events, _) = self.page(parts, from)?;
        let rows: Vec<Value> = events.iter().map(slim_event).collect();
        Ok(axum::Json(rows).into_response())
    }

    fn latest(&self) -> Result<Response, Problem> {
        let last = self.register.parties.last_event()?;
        let row = last
            .as_ref()
            .map_or_else(|| json!({ "sequenceNumber": 0 }), slim_event);
        Ok(axum::Json(row).into_response())
    }

    fn slim_export(&self) -> Result<Response, Problem> {
        let last = self.register.parties.last_event()?.map_or(0, |e| e.number);
        Ok(axum::Json(json!({
            "sequenceNumber": last,
            "herIds": self.register.parties.her_ids(),
        }))
        .into_response())
    }

    async fn several(&self, body: Body) -> Result<Response, Problem> {
        let bytes = to_bytes(body, MAX_BODY).await.map_err(|_| {
            Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too-large",
                "The request is too large.",
            )
        })?;
        let her_ids: Vec<u32> = serde_json::from_slice(&bytes)
            .map_err(|_| Problem::bad_request("The body must be a JSON array of HER-ids."))?;
        if her_ids.len() > MAX_PARTIES {
            return Err(Problem::bad_request(format!(
                "At most {MAX_PARTIES} HER-ids at once."
            )));
        }
        let rows: Vec<Value> = her_ids
            .into_iter()
            .filter_map(|her_id| self.register.parties.get(her_id))
            .map(|party| self.slim(&party))
            .collect();
        Ok(axum::Json(rows).into_response())
    }

    fn line(&self, party: &PartyRecord, purpose: CertificateUse) -> Option<CertificateLine> {
        let parent = self.register.parent(party);
        let parent = parent.as_ref().map(|p| &p.content);
        rules::certificate(party, parent, purpose, self.register.moment()).map(|c| c.value.clone())
    }

    fn slim(&self, party: &Held) -> Value {
        let (register, content) = (&self.register, &party.content);
        let now = register.moment();
        let above = register.parent(content);
        let parent = above.as_ref().map(|p| &p.content);
        let mut map = Map::new();
        let mut put = |name: &str, value: Value| map.insert(name.to_owned(), value);
        put("herId", content.her_id.into());
        put("name", content.name.clone().into());
        put("displayName", content.shown_name().into());
        put("type", kind_name(content.kind).into());
        if let Some(parent) = content.parent {
            put("parentHerId", parent.into());
        }
        match content.kind {
            PartyKind::Organisation => {
                let below = register.parties.children(content.her_id);
                let of = |kind| -> Vec<Value> {
                    below
                        .iter()
                        .filter(|c| c.content.kind == kind)
                        .map(|c| json!({ "herId": c.content.her_id, "name": c.content.name }))
                        .collect()
                };
                put(
                    "organizationDetails",
                    json!({
                        "organizationNumber": content.orgnr,
                        "businessType": content.business_type.as_deref().map(|b| coded("9040", b)),
                        "persons": of(PartyKind::Person),
                        "services": of(PartyKind::Service),
                    }),
                );
            }
            PartyKind::Service => {
                let service = content.service.as_ref();
                put(
                    "serviceDetails",
                    json!({
                        "code": service.map(|s| coded(&s.list, &s.code)),
                        "description": content.description,
                        "locationDescription": content.location,
                    }),
                );
            }
            PartyKind::Person => {
                put(
                    "personDetails",
                    json!({ "hprNumber": content.hpr, "title": content.title }),
                );
            }
        }
        let shown = |purpose| {
            self.line(content, purpose)
                .map_or(Value::Null, |l| slim_certificate(&l))
        };
        put("currentSigningCertificate", shown(CertificateUse::Signing));
        put(
            "currentEncryptionCertificate",
            shown(CertificateUse::Encryption),
        );
        let address = |code| rules::address(content, parent, code, now);
        put("phoneNumber", address("E_TLF").into());
        put("faxNumber", address("E_FAX").into());
        put("ediAddress", address("E_EDI").into());
        let postal = rules::physical(content, parent)
            .into_iter()
            .find(|a| a.value.code == "PST");
        put(
            "postalAddress",
            postal.map_or(Value::Null, |a| {
                let code = a.value.postcode.as_deref().unwrap_or_default();
                json!({
                    "address": a.value.street.as_deref().unwrap_or_default(),
                    "postalBox": a.value.postbox.as_deref().unwrap_or_default(),
                    "postalCode": code.trim_start_matches('0'),
                    "city": a.value.city.as_deref().unwrap_or_default(),
                })
            }),
        );
        let enabled = parent
            .unwrap_or(content)
            .transports
            .iter()
            .any(|t| t == "Amqp");
        let status = if enabled { "Enabled" } else { "Disabled" };
        put("amqpTransportStatus", status.into());
        let from = content.valid.from.unwrap_or(content.created);
        put("validFrom", instant(from).into());
        put(
            "validTo",
            content
                .valid
                .to
                .map_or(Value::Null, |to| instant(to).into()),
        );
        Value::Object(map)
    }

    /// What an answer about the party depends on: its own row, those it is shown with, and what the time of day changes.
    fn version(&self, party: &Held) -> String {
        let register = &self.register;
        let now = register.moment();
        let above = register.parent(&party.content);
        let parent = above.as_ref().map(|p| &p.content);
        let below = register.parties.children(party.content.her_id);
        let changed = std::iter::once(party)
            .chain(&above)
            .chain(&below)
            .map(|p| p.content.changed.0)
            .max();
        let waiting: usize = std::iter::once(&party.content)
            .chain(parent)
            .map(|p| rules::future(p, now).count())
            .sum();
        let living = std::iter::once(&party.content)
            .chain(parent)
            .chain(below.iter().map(|c| &c.content))
            .filter(|p| rules::is_active(p, now))
            .count();
        let serial = |purpose| {
            let found = rules::certificate(&party.content, parent, purpose, now);
            found.map(|c| c.value.serial.clone()).unwrap_or_default()
        };
        let all = format!(
            "{}/{changed:?}/{}/{waiting}/{living}/{}/{}",
            party.content.her_id,
            below.len(),
            serial(CertificateUse::Encryption),
            serial(CertificateUse::Signing),
        );
        let digest = store::sha256(all.as_bytes());
        let short: String = digest.iter().take(8).map(|b| format!("{b:02x}")).collect();
        format!("W/\"{short}\"")
    }

    /// An answer with its version; 304 when the caller has it (clients poll parties that rarely change).
    fn conditional(&self, parts: &Parts, party: &Held, body: impl FnOnce() -> String) -> Response {
        let tag = self.version(party);
        let known = parts
            .headers
            .get(header::IF_NONE_MATCH)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|given| given.split(',').any(|t| t.trim() == tag || t.trim() == "*"));
        let mut response = if known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let json = HeaderValue::from_static("application/json");
            ([(header::CONTENT_TYPE, json)], body()).into_response()
        };
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }

    fn certificate(&self, her_id: &str, purpose: &str, all: bool) -> Result<Response, Problem> {
        let party = self.party(her_id)?;
        let purpose = match purpose {
            "encryption" => CertificateUse::Encryption,
            "signing" => CertificateUse::Signing,
            _ => return Err(Problem::not_found()),
        };
        let whole = |line: &CertificateLine| {
            let mut value = slim_certificate(line);
            if let Some(map) = value.as_object_mut() {
                let text = base64::engine::general_purpose::STANDARD.encode(&line.der);
                map.insert("certificateValue".to_owned(), text.into());
            }
            value
        };
        if !all {
            let line = self
                .line(&party.content, purpose)
                .ok_or_else(Problem::not_found)?;
            return Ok(axum::Json(whole(&line)).into_response());
        }
        let above = self.register.parent(&party.content);
        let own = party.content.certificates.iter();
        let inherited = above.iter().flat_map(|p| &p.content.certificates);
        let mut lines: Vec<&CertificateLine> = own
            .chain(inherited)
            .filter(|l| l.purpose == purpose)
            .collect();
        lines.sort_by_key(|l| std::cmp::Reverse((l.since, l.not_after_s)));
        let rows: Vec<Value> = lines.into_iter().map(whole).collect();
        Ok(axum::Json(rows).into_response())
    }
}

fn coded(list: &str, value: &str) -> Value {
    json!({
        "codeListId": list,
        "value": value,
        "url": format!("https://fat.kote.helsedirektoratet.no/api/code-systems/adm/codelist/{list}"),
    })
}

fn instant(at: Moment) -> String {
    at.timestamp()
        .strftime("%Y-%m-%dT%H:%M:%S+00:00")
        .to_string()
}

fn slim_certificate(line: &CertificateLine) -> Value {
    json!({
        "thumbprint": line.thumbprint,
        "validFrom": instant(Moment(line.not_before_s.saturating_mul(1_000))),
        "validTo": instant(Moment(line.not_after_s.saturating_mul(1_000))),
    })
}

fn slim_event(event: &Event<PartyEvent>) -> Value {
    json!({
        "sequenceNumber": event.number,
        "herId": event.kind.her_id,
        "eventType": event.kind.kind.name(),
        "eventTimestamp": event.kind.at.timestamp().to_string(),
    })
}

/// The number of an event in the form of a GUID, as the older API has it.
#[must_use]
pub fn event_id(number: u64) -> String {
    uuid::Uuid::from_u128(u128::from(number)).to_string()
}

/// The number in such an id; plain numbers do as well.
#[must_use]
pub fn read_event_id(text: &str) -> Option<u64> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let id: uuid::Uuid = text.parse().ok()?;
    u64::try_from(id.as_u128()).ok()
}
