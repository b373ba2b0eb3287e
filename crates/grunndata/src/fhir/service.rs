//! The service: a request in, a resource, a bundle or an OperationOutcome out.

use super::access;
use super::bundle::{Answer, searchset};
use super::directory::Registers;
use super::elements::Elements;
use super::history::{self, Past};
use super::include::{self, Wanted};
use super::kinds::Kind;
use super::metadata;
use super::persons::View;
use super::query::Query;
use super::refusal::Refusal;
use super::wire::{Asked, Format, asked, written};
use crate::persons::access::Who;
use crate::persons::form::{Fields, MAX_FORM_BYTES};
use crate::persons::lookups::{Append, Lookup, Lookups, Seen};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use axum::routing::any;
use edge::soap::DateTime;
use jose::rs::ResourceServer;
use registers::Directory;
use registers::gplists::GpLists;
use registers::kernel::period::Moment;
use registers::organisations::Businesses;
use registers::organisations::resh::Resh;
use registers::parties::Parties;
use registers::personnel::PersonnelRegister;
use registers::persons::PersonRegister;
use serde_json::Value;
use std::sync::Arc;
use store::{MicrosUtc, StoreError};

/// Where the service is.
pub const PREFIX: &str = "/fhir/grunndata";

/// What the service is made of.
pub struct FhirParts {
    /// Persons.
    pub persons: Arc<PersonRegister>,
    /// Personnel.
    pub personnel: Arc<PersonnelRegister>,
    /// GP lists.
    pub lists: Arc<GpLists>,
    /// Organisations.
    pub businesses: Arc<Businesses>,
    /// Communication parties.
    pub parties: Arc<Parties>,
    /// Units of the specialist health service.
    pub resh: Arc<Resh>,
    /// Checker of tokens for [`crate::persons::access::AUDIENCE`].
    pub server: ResourceServer,
    /// The access journal.
    pub journal: Append,
    /// Names of organisations, for the journal.
    pub directory: Arc<dyn Directory>,
    /// The rules' clock, microseconds.
    pub clock: Arc<dyn Fn() -> MicrosUtc + Send + Sync>,
    /// The real clock, for tokens, seconds.
    pub now_s: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// Addresses under which the hub is reached, for links; the first where the request names none of them.
    pub bases: Vec<String>,
}

/// The service.
pub struct GrunndataFhir {
    pub(super) persons: Arc<PersonRegister>,
    pub(super) registers: Registers,
    server: ResourceServer,
    lookups: Lookups,
    clock: Arc<dyn Fn() -> MicrosUtc + Send + Sync>,
    now_s: Arc<dyn Fn() -> i64 + Send + Sync>,
    bases: Vec<String>,
}

impl GrunndataFhir {
    /// The service over its parts; starts the writer of its journal.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(parts: FhirParts) -> Result<Arc<Self>, StoreError> {
        let lookups = Lookups::start(parts.journal, parts.directory)?;
        Ok(Arc::new(Self {
            persons: parts.persons,
            registers: Registers {
                personnel: parts.personnel,
                lists: parts.lists,
                businesses: parts.businesses,
                parties: parts.parties,
                resh: parts.resh,
            },
            server: parts.server,
            lookups,
            clock: parts.clock,
            now_s: parts.now_s,
            bases: parts.bases,
        }))
    }

    /// Its routes, below [`PREFIX`].
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route(PREFIX, any(handle))
            .route(&format!("{PREFIX}/{{*rest}}"), any(handle))
            .with_state(Arc::clone(self))
    }

    fn now(&self) -> Moment {
        Moment((self.clock)().div_euclid(1_000))
    }

    /// What is found of a public type, with what comes along. Elements are left out last: references are followed whether
    /// they are shown or not.
    fn public_answer(&self, query: Query, now: Moment) -> Result<Answer, Refusal> {
        let (shown, wanted) = (query.elements.clone(), query.wanted.clone());
        let elements = if wanted.is_empty() {
            shown.clone()
        } else {
            Elements::whole(query.kind)
        };
        let found = self.registers.search(&query.with_elements(elements), now)?;
        let answer = Answer {
            resources: found.resources,
            total: Some(found.total),
            remark: None,
            included: Vec::new(),
        };
        if wanted.is_empty() {
            return Ok(answer);
        }
        let mut answer = self.with_others(&wanted, answer, now)?;
        let matches = std::mem::take(&mut answer.resources);
        answer.resources = matches.into_iter().map(|m| shown.of(m)).collect();
        Ok(answer)
    }

    fn with_others(
        &self,
        wanted: &Wanted,
        mut answer: Answer,
        now: Moment,
    ) -> Result<Answer, Refusal> {
        let along = include::collect(&self.registers, wanted, &answer.resources, now)?;
        answer.included = along.resources;
        if along.is_cut {
            answer.remark = answer.remark.or(Some(
                "not everything that was to come along fits: ask for fewer resources of a page",
            ));
        }
        Ok(answer)
    }

    /// Clock time of Norway, as personnel, GP lists and parties are kept.
    pub(super) fn norwegian_now(&self) -> Moment {
        let now = jiff::Timestamp::from_microsecond((self.clock)()).unwrap_or_default();
        crate::hpr::moment(DateTime::of_instant(now))
    }

    /// The address the request came to, as far as it is one of ours.
    fn base(&self, headers: &HeaderMap) -> String {
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        let is_asked = |base: &&String| {
            let named = base.split_once("://").map(|(_, host)| host);
            host.is_some() && named == host
        };
        let base = self.bases.iter().find(is_asked).or(self.bases.first());
        format!("{}{PREFIX}", base.map(String::as_str).unwrap_or_default())
    }
}

async fn handle(State(service): State<Arc<GrunndataFhir>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let address = Fields::parse(parts.uri.query().unwrap_or_default().as_bytes());
    let wished = address
        .as_ref()
        .ok()
        .map(|address| Format::wished(address, &parts.headers));
    let format = wished.flatten().unwrap_or(Format::Json);
    let answer = match (address, wished) {
        (Err(_), _) => Err(Refusal::invalid(
            "the address has too many or broken parameters",
        )),
        (Ok(_), Some(None)) => Err(Refusal::not_acceptable()),
        (Ok(address), _) => service.answer(&parts, address, body).await,
    };
    let is_head = parts.method == Method::HEAD;
    match answer {
        Ok(resource) => written(StatusCode::OK, format, &resource, is_head),
        Err(refusal) => {
            let outcome = refusal.outcome();
            let mut response = written(refusal.status, format, &outcome, is_head);
            for (name, value) in refusal.headers() {
                response.headers_mut().append(name, value);
            }
            response
        }
    }
}

/// A request whose caller is known.
struct Call {
    service: Arc<GrunndataFhir>,
    who: Who,
    view: View,
    operation: &'static str,
}

impl GrunndataFhir {
    async fn answer(
        self: &Arc<Self>,
        parts: &Parts,
        address: Fields,
        body: Body,
    ) -> Result<Value, Refusal> {
        let path = parts.uri.path();
        let below = path.get(PREFIX.len()..).unwrap_or_default();
        let asked = asked(below, &parts.method)?;
        let base = self.base(&parts.headers);
        if matches!(asked, Asked::Metadata) {
            return Ok(metadata::statement(&base));
        }
        let (who, ground) = access::caller(&self.server, parts, (self.now_s)())?;
        let body = if parts.method == Method::POST {
            form(&parts.headers, body).await?
        } else {
            Fields::default()
        };
        let view = View {
            ground,
            now: self.now(),
        };
        let call = |operation| Call {
            service: Arc::clone(self),
            who,
            view,
            operation,
        };
        match asked {
            Asked::Metadata => Ok(metadata::statement(&base)),
            Asked::Read(kind, id) => {
                metrics::counter!("grunndata_fhir_requests_total", "type" => kind.name(), "interaction" => "read")
                    .increment(1);
                let names = address.pairs().filter(|(name, _)| *name == "_elements");
                let elements = Elements::read(kind, names.map(|(_, value)| value));
                call("fhir-read").read(kind, id, elements).await
            }
            Asked::History(kind, id) => {
                let versions = call("fhir-history").history(kind, id.clone()).await?;
                Ok(history::bundle(&base, kind, &id, versions))
            }
            Asked::Version(kind, id, version) => {
                let versions = call("fhir-vread").history(kind, id).await?;
                history::of_number(versions, &version)
            }
            Asked::Search(kind) => {
                metrics::counter!("grunndata_fhir_requests_total", "type" => kind.name(), "interaction" => "search")
                    .increment(1);
                let query = Query::read(kind, &address, &body)?;
                let answer = call("fhir-search").search(query.clone()).await?;
                Ok(searchset(&base, &query, answer))
            }
        }
    }
}

async fn form(headers: &HeaderMap, body: Body) -> Result<Fields, Refusal> {
    let bytes = axum::body::to_bytes(body, MAX_FORM_BYTES)
        .await
        .map_err(|_| Refusal::too_large())?;
    if bytes.is_empty() {
        return Ok(Fields::default());
    }
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(Refusal::media_type());
    }
    Fields::parse(&bytes)
        .map_err(|_| Refusal::invalid("the body has too many or broken parameters"))
}

impl Call {
    fn needs_basis(&self, kind: Kind) -> Result<(), Refusal> {
        let is_open = kind != Kind::RelatedPerson || self.view.ground.shows_confidential_parts();
        if is_open {
            Ok(())
        } else {
            Err(Refusal::no_basis())
        }
    }

    async fn read(self, kind: Kind, id: String, elements: Elements) -> Result<Value, Refusal> {
        let missing = || Refusal::not_found(format!("there is no {} with this id", kind.name()));
        self.needs_basis(kind)?;
        let service = Arc::clone(&self.service);
        if !kind.is_personal() {
            let now = service.norwegian_now();
            if history::is_versioned(kind) {
                let work = move || service.registers.read_versioned(kind, &id, &elements, now);
                return edge::in_turn(work).await??.ok_or_else(missing);
            }
            let work = move || service.registers.read(kind, &id, &elements, now);
            return edge::quick(work).await?.ok_or_else(missing);
        }
        let (view, shown) = (self.view, elements.clone());
        let work = move || service.read_person(kind, &id, &elements, view);
        let (answer, seen) = edge::quick(work).await??;
        self.journalled(&shown, seen).await?;
        answer.resources.into_iter().next().ok_or_else(missing)
    }

    async fn search(self, query: Query) -> Result<Answer, Refusal> {
        self.needs_basis(query.kind)?;
        let service = Arc::clone(&self.service);
        if !query.kind.is_personal() {
            let now = service.norwegian_now();
            return edge::in_turn(move || service.public_answer(query, now)).await?;
        }
        let (view, elements) = (self.view, query.elements.clone());
        let (wanted, service) = (query.wanted.clone(), Arc::clone(&self.service));
        let others = Arc::clone(&service);
        let work = move || match query.kind {
            Kind::RelatedPerson => others.search_related(&query, view),
            _ => others.search_persons(&query, view),
        };
        let (answer, seen) = edge::in_turn(work).await??;
        self.journalled(&elements, seen).await?;
        if wanted.is_empty() {
            return Ok(answer);
        }
        let now = service.norwegian_now();
        edge::in_turn(move || service.with_others(&wanted, answer, now)).await?
    }

    async fn history(self, kind: Kind, id: String) -> Result<Vec<Past>, Refusal> {
        let service = Arc::clone(&self.service);
        let now = service.norwegian_now();
        let work = move || {
            let elements = Elements::whole(kind);
            let limit = (now, history::MAX_VERSIONS);
            service.registers.versions(kind, &id, &elements, limit)
        };
        let found = edge::in_turn(work).await??;
        let missing =
            || Refusal::not_found(format!("there is no {} with versions here", kind.name()));
        found.ok_or_else(missing)
    }

    /// Leaves the lines of an answer in the access journal; only then it goes out.
    async fn journalled(self, elements: &Elements, seen: Seen) -> Result<(), Refusal> {
        let parts = elements.parts(self.view.ground.shows_confidential_parts());
        let lookup = Lookup {
            at: (self.service.clock)(),
            operation: self.operation.to_owned(),
            ground: self.view.ground,
            parts: parts.bits(),
            count: seen.persons.len() as u64,
            persons: seen.persons,
        };
        if seen.protected.is_empty() {
            return Ok(self.service.lookups.add(&self.who, &lookup)?);
        }
        let work = move || {
            let lookups = &self.service.lookups;
            lookups.record_first(&self.who, &lookup, &seen.protected)?;
            lookups.add(&self.who, &lookup)
        };
        Ok(edge::blocking(work).await??)
    }
}
