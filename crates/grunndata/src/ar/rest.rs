//! The CommunicationParty REST API: the older shape (export, events by id, single parties in the names of SOAP) and the
//! newer one (slim parties, events by sequence number, certificates with history), the latter below `api/v1` as its
//! published description has it, and without a version.
//!
//! Rules: spec/grunndata.md §7.3, spec/messaging.md §8.4; for `api/v1` the description that the register publishes
//! ("CommunicationParty Api", v1). Access: HelseID with DPoP, audience and scope below. Paths are found whatever their
//! case, because clients differ.

use super::ready::Answers;
use super::slim::{self, SearchParameters};
use super::view::{Depth, with_offset};
use super::{AddressRegister, Dialect, json, time};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use edge::Problem;
use edge::soap::Object;
use edge::soap::value::Ready;
use futures_util::StreamExt as _;
use jose::Alg;
use jose::rs::{Presented, Requirement, ResourceServer};
use registers::directory::PartyKind;
use registers::kernel::events::Event;
use registers::kernel::period::Moment;
use registers::parties::CertificateUse;
use registers::parties::record::{PartyEvent, PartyEventKind, PartyRecord};
use registers::parties::register::Held;
use registers::parties::rules;
use registers::parties::search::kind_name;
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

/// In which form an answer is given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As version 1 of the published description, below `api/v1`.
    Version1,
    /// Without a version in the path, as before there was a description.
    Early,
}

/// HER-ids of a question.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum HerIds {
    Bare(Vec<i64>),
    Named {
        #[serde(rename = "herIds", alias = "HerIds")]
        her_ids: Option<Vec<i64>>,
    },
}

/// Answers that are kept of each party.
const LEGACY: u8 = 0;
const VERSION: u8 = 1;
const SLIM: u8 = 2;

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
        "api/v1/communicationparty/{herId}",
        "api/v1/communicationparty/search",
        "api/v1/communicationparty/export",
        "api/v1/organization/{organizationNumber}",
        "api/v1/certificate/{herId}",
        "api/v1/event",
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

/// A number in the query, under the first of its names that is there.
fn number(parts: &Parts, names: &[&str], usual: usize, most: usize) -> Result<usize, Problem> {
    let found = names
        .iter()
        .find_map(|name| Some((*name, parameter(parts, name)?)));
    let Some((name, text)) = found else {
        return Ok(usual);
    };
    let number = text.parse::<usize>().ok();
    number
        .filter(|n| (1..=most).contains(n))
        .ok_or_else(|| Problem::bad_request(format!("{name} must be a number from 1 to {most}.")))
}

/// A switch in the query; off when it is not there.
fn flag(parts: &Parts, name: &str) -> Result<bool, Problem> {
    match parameter(parts, name).as_deref() {
        None => Ok(false),
        Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(_) => Err(Problem::bad_request(format!(
            "{name} must be true or false."
        ))),
    }
}

async fn read(body: Body) -> Result<Bytes, Problem> {
    to_bytes(body, MAX_BODY).await.map_err(|_| {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "The request is too large.",
        )
    })
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
        let (form, segments) = match segments.as_slice() {
            ["api", "v1", rest @ ..] => (Form::Version1, rest),
            all => (Form::Early, all),
        };
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        if let ["communicationparty"] | ["communicationparty", "search"] = segments {
            if parts.method != Method::POST {
                return Ok(not_allowed("POST"));
            }
            let bytes = read(body).await?;
            return match segments {
                [_] => self.several(&bytes),
                _ => self.search(parts, &bytes).await,
            };
        }
        if !is_read {
            return Ok(not_allowed("GET, HEAD"));
        }
        match segments {
            // Parties stand in memory; whatever reads the log waits for the store, on a thread that may.
            ["communicationparties", her_id] => {
                let party = self.party(her_id)?;
                Ok(self.conditional(parts, &party, || self.legacy_text(&party)))
            }
            ["communicationparty", her_id] if *her_id != "export" => {
                let party = self.party(her_id)?;
                Ok(self.conditional(parts, &party, || self.slim_text(&party)))
            }
            ["communicationparty", her_id, "legacy"] => {
                let party = self.party(her_id)?;
                let write = || self.inner(&party.content, Depth::Alone).to_string();
                Ok(self.conditional(parts, &party, write))
            }
            ["organization", orgnr] => {
                let party = self.organization(orgnr)?;
                Ok(self.conditional(parts, &party, || self.slim_text(&party)))
            }
            _ => {
                let (api, parts) = (Arc::clone(self), parts.clone());
                let segments: Vec<String> = segments.iter().map(|s| (*s).to_owned()).collect();
                edge::blocking(move || {
                    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
                    api.from_store(&parts, form, &segments)
                })
                .await?
            }
        }
    }

    fn from_store(
        self: &Arc<Self>,
        parts: &Parts,
        form: Form,
        segments: &[&str],
    ) -> Result<Response, Problem> {
        match segments {
            ["communicationpartyexport"] => self.export(),
            ["communicationpartyevents"] => self.events(parts),
            ["communicationparty", "export"] => self.slim_export(parts, form),
            ["communicationparty", her_id, "certificate", purpose]
            | ["certificate", her_id, purpose @ ("signing" | "encryption")] => {
                self.certificate(her_id, purpose, false)
            }
            [
                "communicationparty",
                her_id,
                "certificate",
                purpose,
                "history",
            ] => self.certificate(her_id, purpose, true),
            ["certificate", her_id] => self.pairs(her_id, flag(parts, "includeHistoric")?),
            ["certificate", her_id, "history"] => self.pairs(her_id, true),
            ["event"] => self.slim_events(parts, form),
            ["event", "latest"] => self.latest(form),
            _ => Err(Problem::not_found()),
        }
    }

    fn organization(&self, orgnr: &str) -> Result<Held, Problem> {
        if orgnr.len() != 9 || !orgnr.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Problem::bad_request(
                "The organization number must be nine digits.",
            ));
        }
        let now = self.register.moment();
        let of_number = self.register.parties.of_organisation(orgnr).into_iter();
        of_number
            .filter(|party| party.content.kind == PartyKind::Organisation)
            // One that is still in use before one that has ended.
            .max_by_key(|party| rules::is_active(&party.content, now))
            .ok_or_else(|| {
                Problem::new(
                    StatusCode::NOT_FOUND,
                    "unknown-organization",
                    "No communication party has this organization number.",
                )
            })
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

    /// An answer about a party that is kept, in one of its forms.
    fn kept(&self, form: u8, party: &Held, now: Moment, write: impl FnOnce() -> String) -> String {
        let key = (party.content.her_id, form);
        let write = || Ok::<_, Infallible>(write());
        let Ok(text) = self.answers.answer(&self.register, key, party, now, write);
        text
    }

    fn slim_text(&self, party: &Held) -> String {
        let write = || self.register.slim(party).to_string();
        self.kept(SLIM, party, self.register.moment(), write)
    }

    /// [`Self::legacy`] as text, kept.
    fn legacy_text(&self, party: &Held) -> String {
        let now = self.register.moment();
        let write = || self.legacy(party).to_string().replace(ESCAPED, "\0");
        let ready = Ready {
            content: self.kept(LEGACY, party, now, write),
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

    /// Events from a number on, of the kinds that the API has: of these at most `size`. Every event of another kind comes
    /// with one of these.
    fn page(&self, from: u64, size: usize) -> Result<Vec<Event<PartyEvent>>, Problem> {
        let (mut page, mut from) = (Vec::new(), from);
        loop {
            let events = self.register.parties.events(from, size)?;
            let (fetched, last) = (events.len(), events.last().map(|e| e.number));
            let of_kind = |e: &Event<PartyEvent>| e.kind.kind != PartyEventKind::TransportEnabled;
            page.extend(events.into_iter().filter(of_kind));
            match last {
                Some(last) if fetched == size && page.len() < size => from = last + 1,
                _ => break,
            }
        }
        page.truncate(size);
        Ok(page)
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
        let size = number(parts, &["pageSize"], EVENTS, MAX_EVENTS)?;
        let events = self.page(after + 1, size)?;
        let next = events.last().map_or(after, |e| e.number);
        let rows: Vec<Value> = events
            .iter()
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

    fn slim_events(&self, parts: &Parts, form: Form) -> Result<Response, Problem> {
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
        let usual = match form {
            Form::Version1 => MAX_EVENTS,
            Form::Early => EVENTS,
        };
        let size = number(parts, &["maxEvents", "pageSize"], usual, MAX_EVENTS)?;
        let events = self.page(from, size)?;
        let rows: Vec<Value> = events.iter().map(slim::event).collect();
        Ok(match form {
            Form::Version1 => {
                axum::Json(json!({ "count": rows.len(), "results": rows })).into_response()
            }
            Form::Early => axum::Json(rows).into_response(),
        })
    }

    fn latest(&self, form: Form) -> Result<Response, Problem> {
        let last = self.register.parties.last_event()?;
        let row = match (&last, form) {
            // The enabled transport of an organisation stands behind the event that says that it changed.
            (Some(last), _) if last.kind.kind == PartyEventKind::TransportEnabled => {
                let before = last.number.saturating_sub(1);
                let events = self.register.parties.events(before, 1)?;
                slim::event(events.first().unwrap_or(last))
            }
            (Some(last), _) => slim::event(last),
            (None, Form::Early) => json!({ "sequenceNumber": 0 }),
            (None, Form::Version1) => return Err(Problem::not_found()),
        };
        Ok(axum::Json(row).into_response())
    }

    fn slim_export(&self, parts: &Parts, form: Form) -> Result<Response, Problem> {
        let last = self.register.parties.last_event()?.map_or(0, |e| e.number);
        let mut her_ids = self.register.parties.her_ids();
        if form == Form::Early {
            return Ok(axum::Json(json!({
                "sequenceNumber": last,
                "herIds": her_ids,
            }))
            .into_response());
        }
        if !flag(parts, "includeDeactivated")? {
            let now = self.register.moment();
            let party = |her_id: &u32| self.register.parties.get(*her_id);
            her_ids.retain(|h| party(h).is_some_and(|p| rules::is_active(&p.content, now)));
        }
        Ok(axum::Json(json!({
            "lastSequenceNumber": last,
            "count": her_ids.len(),
            "communicationParties": her_ids,
        }))
        .into_response())
    }

    fn several(&self, body: &[u8]) -> Result<Response, Problem> {
        let wanted: HerIds = serde_json::from_slice(body).map_err(|_| {
            Problem::bad_request("The body must be {\"herIds\": […]} or a JSON array of HER-ids.")
        })?;
        let her_ids = match wanted {
            HerIds::Bare(her_ids) => her_ids,
            HerIds::Named { her_ids } => her_ids.unwrap_or_default(),
        };
        if her_ids.len() > MAX_PARTIES {
            return Err(Problem::bad_request(format!(
                "At most {MAX_PARTIES} HER-ids at once."
            )));
        }
        let rows: Vec<Value> = her_ids
            .into_iter()
            .filter_map(|her_id| self.register.parties.get(u32::try_from(her_id).ok()?))
            .map(|party| self.register.slim(&party))
            .collect();
        Ok(axum::Json(rows).into_response())
    }

    async fn search(self: &Arc<Self>, parts: &Parts, body: &[u8]) -> Result<Response, Problem> {
        let wanted: SearchParameters = serde_json::from_slice(body)
            .map_err(|_| Problem::bad_request("The body must be JSON with what to search for."))?;
        let query = wanted
            .query()
            .map_err(|bad| Problem::bad_request(bad.to_string()))?
            .ok_or_else(|| Problem::bad_request("Nothing to search for was given."))?;
        let page = number(parts, &["Page"], 1, i32::MAX as usize)?;
        let size = number(parts, &["Size"], MAX_PARTIES, MAX_PARTIES)?;
        let api = Arc::clone(self);
        edge::blocking(move || {
            let register = &api.register;
            let found = query.run(&register.parties, page, size, register.moment());
            let rows: Vec<Value> = found.results.iter().map(|p| register.slim(p)).collect();
            axum::Json(json!({ "communicationParties": rows })).into_response()
        })
        .await
    }

    /// What an answer about the party depends on: its own row, those it is shown with, and what the time of day changes.
    fn version(&self, party: &Held) -> String {
        let now = self.register.moment();
        self.kept(VERSION, party, now, || self.made_version(party, now))
    }

    fn made_version(&self, party: &Held, now: Moment) -> String {
        let register = &self.register;
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
        if all {
            let lines = self.register.certificate_lines(&party.content, purpose);
            let rows: Vec<Value> = lines.iter().map(slim::whole_certificate).collect();
            return Ok(axum::Json(rows).into_response());
        }
        let line = self
            .register
            .certificate_line(&party.content, purpose)
            .ok_or_else(Problem::not_found)?;
        Ok(axum::Json(slim::whole_certificate(&line)).into_response())
    }

    fn pairs(&self, her_id: &str, with_earlier: bool) -> Result<Response, Problem> {
        let party = self.party(her_id)?;
        let pairs = self
            .register
            .certificate_pairs(&party.content, with_earlier);
        Ok(axum::Json(pairs).into_response())
    }
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
