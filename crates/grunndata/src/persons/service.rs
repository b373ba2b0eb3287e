//! The service: a request in, an answer out.

use super::access::{self, Who};
use super::events;
use super::form::{Broken, Fields, MAX_FORM_BYTES, PersonId};
use super::json::Json;
use super::lookups::{Append, Lookup, Lookups, Seen};
use super::person::{self, Subject, View};
use super::problem::Fault;
use super::route::{self, Operation};
use super::search::{self, Page};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Response, header};
use axum::routing::any;
use jose::rs::ResourceServer;
use registers::Directory;
use registers::kernel::period::Moment;
use registers::kernel::{EntryId, EntryNo};
use registers::persons::codes::ProtectionLevel;
use registers::persons::row::{Row, tag};
use registers::persons::{PersonDocument, PersonRegister, life};
use std::sync::Arc;
use store::{MicrosUtc, StoreError};
use trust::register::{PersonGround, is_recorded_first};

/// Where the service is (DESIGN §4, national APIs).
pub const PREFIX: &str = "/nasjonal/persontjenesten";
/// Longest chain of merges that is followed.
const MAX_HOPS: usize = 32;
/// What a person takes, about, bytes.
const PERSON_BYTES: usize = 700;

/// What the service is made of.
pub struct PersontjenestenParts {
    /// The register.
    pub register: Arc<PersonRegister>,
    /// Checker of tokens for [`access::AUDIENCE`].
    pub server: ResourceServer,
    /// The access journal.
    pub journal: Append,
    /// Names of organisations.
    pub directory: Arc<dyn Directory>,
    /// The rules' clock, microseconds.
    pub clock: Arc<dyn Fn() -> MicrosUtc + Send + Sync>,
    /// The real clock, for tokens, seconds.
    pub now_s: Arc<dyn Fn() -> i64 + Send + Sync>,
}

/// The service.
pub struct Persontjenesten {
    parts: PersontjenestenParts,
    lookups: Lookups,
}

impl Persontjenesten {
    /// The service over its parts; starts the writer of its journal.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(parts: PersontjenestenParts) -> Result<Arc<Self>, StoreError> {
        let lookups = Lookups::start(parts.journal.clone(), parts.directory.clone())?;
        Ok(Arc::new(Self { parts, lookups }))
    }

    /// Its routes, below [`PREFIX`].
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route(PREFIX, axum::routing::get(overview))
            .route(&format!("{PREFIX}/{{*rest}}"), any(handle))
            .with_state(Arc::clone(self))
    }

    fn now(&self) -> Moment {
        Moment((self.parts.clock)() / 1_000)
    }

    /// The line of a request that was not looked into.
    fn empty(&self, operation: &Operation, ground: PersonGround) -> Lookup {
        Lookup {
            at: (self.parts.clock)(),
            operation: operation.name().to_owned(),
            ground,
            parts: 0,
            count: 0,
            persons: Vec::new(),
        }
    }
}

/// What there is, for somebody who opens the address from the facts.
async fn overview() -> axum::Json<serde_json::Value> {
    let trees = ["legal-basis", "no-legal-basis"].map(|tree| format!("{PREFIX}/api/{tree}"));
    axum::Json(serde_json::json!({
        "name": "Persontjenesten",
        "version": 2,
        "audience": access::AUDIENCE,
        "scopes": [access::WITH_LEGAL_BASIS, access::NO_LEGAL_BASIS, access::FULL_ACCESS],
        "trees": trees,
    }))
}

async fn handle(State(service): State<Arc<Persontjenesten>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    match answer(service, &parts, body).await {
        Ok(json) => {
            let mut response = Response::new(Body::from(json.into_bytes()));
            response.headers_mut().insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json; charset=utf-8"),
            );
            response
                .headers_mut()
                .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(fault) => fault.respond(&parts.headers),
    }
}

/// A request whose caller and form are known.
struct Call {
    service: Arc<Persontjenesten>,
    who: Who,
    ground: PersonGround,
    operation: Operation,
    query: Fields,
    form: Fields,
}

async fn answer(service: Arc<Persontjenesten>, parts: &Parts, body: Body) -> Result<Json, Fault> {
    let path = parts.uri.path();
    let below = path.get(PREFIX.len()..).unwrap_or_default();
    let (ground, operation) = route::read(below, &parts.method)?;
    let now_s = (service.parts.now_s)();
    let who = match access::caller(&service.parts.server, parts, ground, now_s) {
        Ok(who) => who,
        Err(refused) => {
            if let Some(who) = refused.who {
                let lookup = service.empty(&operation, ground);
                service.lookups.deny(&who, &lookup)?;
            }
            return Err(refused.fault);
        }
    };
    access::version(&parts.headers)?;
    let query = Fields::parse(parts.uri.query().unwrap_or_default().as_bytes())?;
    let form = if parts.method == Method::POST {
        let bytes = axum::body::to_bytes(body, MAX_FORM_BYTES)
            .await
            .map_err(|_| Fault::too_large())?;
        read_form(&parts.headers, &bytes)?
    } else {
        Fields::default()
    };
    metrics::counter!("persontjenesten_requests_total", "operation" => operation.name())
        .increment(1);
    let call = Call {
        service,
        who,
        ground,
        operation,
        query,
        form,
    };
    call.answer().await
}

fn read_form(headers: &HeaderMap, bytes: &Bytes) -> Result<Fields, Fault> {
    if bytes.is_empty() {
        return Ok(Fields::default());
    }
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(Fault::media_type());
    }
    Ok(Fields::parse(bytes)?)
}

impl Call {
    async fn answer(self) -> Result<Json, Fault> {
        match &self.operation {
            Operation::LatestEvent => {
                let service = self.service;
                edge::blocking(move || events::latest(&service.parts.register)).await?
            }
            Operation::Events => {
                let mut broken = Broken::default();
                let number = self
                    .query
                    .number("sequenceNumber", 1..=i64::MAX, &mut broken);
                let kinds = self.query.event_types(&mut broken);
                broken.unless(())?;
                let number = number.and_then(|n| u64::try_from(n).ok()).unwrap_or(1);
                let service = self.service;
                edge::blocking(move || events::from(&service.parts.register, number, &kinds))
                    .await?
            }
            Operation::Person(_)
            | Operation::GetByNin
            | Operation::BulkById
            | Operation::BulkByNin => self.look_up().await,
            Operation::Search => self.search().await,
            Operation::MatchList | Operation::PagedMatchList => self.list().await,
            Operation::MatchCount => self.count().await,
        }
    }

    fn view(&self, broken: &mut Broken) -> View {
        View {
            parts: self.query.parts(broken),
            ground: self.ground,
            with_history: self.query.truth("includeHistory", broken),
            now: self.service.now(),
        }
    }

    async fn look_up(self) -> Result<Json, Fault> {
        let mut broken = Broken::default();
        let view = self.view(&mut broken);
        let wanted = self.wanted(&mut broken)?;
        broken.unless(())?;
        let service = Arc::clone(&self.service);
        let work = move || service.persons(&wanted, &view);
        // History comes from the store; what holds now from the read form, which is near.
        let found = if view.with_history {
            edge::blocking(work).await?
        } else {
            edge::quick(work).await?
        };
        match found {
            Ok((json, seen)) => self.journalled(json, seen, view).await,
            Err(fault) => {
                if fault.is_not_found() {
                    // Somebody was looked for.
                    self.journalled(Json::with_capacity(0), Seen::default(), view)
                        .await?;
                }
                Err(fault)
            }
        }
    }

    fn wanted(&self, broken: &mut Broken) -> Result<Wanted, Fault> {
        Ok(match &self.operation {
            Operation::Person(text) => match PersonId::parse(text) {
                Some(id) => Wanted::One(Key::Id(id)),
                None => {
                    broken.add(
                        "id",
                        "The id of a person has 1 to 64 letters or digits. Identification numbers do not \
                         belong in an address: use get-by-nin.",
                    );
                    Wanted::Many(Vec::new())
                }
            },
            Operation::GetByNin => match self.form.nin(broken) {
                Some(nin) => Wanted::One(Key::Nin(nin)),
                None => Wanted::Many(Vec::new()),
            },
            Operation::BulkById => {
                let ids = self.form.ids(broken).into_iter();
                Wanted::Many(ids.map(Key::Id).collect())
            }
            _ => {
                let nins = self.form.nins(broken).into_iter();
                Wanted::Many(nins.map(Key::Nin).collect())
            }
        })
    }

    async fn search(self) -> Result<Json, Fault> {
        let mut broken = Broken::default();
        let view = self.view(&mut broken);
        let with_help_numbers = self.query.truth("includeAinResults", &mut broken);
        let query = match search::persons(&self.form, self.ground, with_help_numbers) {
            Ok(query) => query,
            Err(more) => {
                broken.0.extend(more.0);
                None
            }
        };
        broken.unless(())?;
        let service = Arc::clone(&self.service);
        let work = move || {
            let found = match query {
                None => Vec::new(),
                Some(query) => {
                    let register = &service.parts.register;
                    register
                        .search(&query, view.now, EntryNo(0), search::MAX_FOUND)?
                        .entries
                }
            };
            service.found(&found, &view)
        };
        let (json, seen) = edge::in_turn(work).await??;
        self.journalled(json, seen, view).await
    }

    async fn list(self) -> Result<Json, Fault> {
        let is_paged = self.operation == Operation::PagedMatchList;
        let mut broken = Broken::default();
        let with_help_numbers = self.query.truth("includeAinResults", &mut broken);
        let page = search::page(&self.form, self.ground, with_help_numbers);
        let page = match page {
            Ok(page) => broken.unless(page)?,
            Err(mut more) => {
                more.0.extend(broken.0);
                return Err(more.into());
            }
        };
        let service = Arc::clone(&self.service);
        let (json, seen) = edge::in_turn(move || service.ids(&page, is_paged)).await??;
        let view = self.no_view();
        self.journalled(json, seen, view).await
    }

    async fn count(self) -> Result<Json, Fault> {
        let mut broken = Broken::default();
        let with_help_numbers = self.query.truth("includeAinResults", &mut broken);
        let page = search::page(&self.form, self.ground, with_help_numbers)?;
        broken.unless(())?;
        let service = Arc::clone(&self.service);
        let now = service.now();
        let count = edge::in_turn(move || match page.query {
            None => Ok(0),
            Some(query) => service.parts.register.count(&query, now),
        })
        .await??;
        let mut json = Json::with_capacity(32);
        json.object(|json| {
            let count = i32::try_from(count).unwrap_or(i32::MAX);
            json.field_number("matchCount", Some(count.into()));
        });
        let seen = Seen {
            counted: count,
            ..Seen::default()
        };
        let view = self.no_view();
        self.journalled(json, seen, view).await
    }

    /// Lists of ids show no part.
    fn no_view(&self) -> View {
        View {
            parts: super::parts::Parts::default(),
            ground: self.ground,
            with_history: false,
            now: self.service.now(),
        }
    }

    /// Leaves the lines of an answer in the access journal; only then the answer goes out.
    async fn journalled(self, json: Json, seen: Seen, view: View) -> Result<Json, Fault> {
        let lookup = Lookup {
            at: (self.service.parts.clock)(),
            operation: self.operation.name().to_owned(),
            ground: self.ground,
            parts: view.parts.bits(),
            count: seen.counted + seen.persons.len() as u64,
            persons: seen.persons,
        };
        if seen.protected.is_empty() {
            self.service.lookups.add(&self.who, &lookup)?;
            return Ok(json);
        }
        edge::blocking(move || {
            let lookups = &self.service.lookups;
            lookups.record_first(&self.who, &lookup, &seen.protected)?;
            lookups.add(&self.who, &lookup)
        })
        .await??;
        Ok(json)
    }
}

/// By what a person is asked for.
enum Key {
    Id(PersonId),
    Nin(super::form::Nin),
}

enum Wanted {
    One(Key),
    Many(Vec<Key>),
}

/// What is shown of each person of an answer.
struct Shown<'a> {
    view: &'a View,
    /// Number of the last event that is in every row.
    sequence: u64,
}

/// What a row says beside what is written of it.
enum Read {
    Written(Option<String>),
    Merged(EntryId),
}

impl Persontjenesten {
    /// The persons asked for by name or number.
    fn persons(&self, wanted: &Wanted, view: &View) -> Result<(Json, Seen), Fault> {
        let mut seen = Seen::default();
        // Before any row is read: every event up to this one is in the answer.
        let view = &Shown {
            view,
            sequence: self.parts.register.last_event(),
        };
        match wanted {
            Wanted::One(key) => {
                let mut json = Json::with_capacity(2 * PERSON_BYTES);
                let found = match self.find(key)? {
                    Some(no) => self.write(&mut json, no, view, &mut seen)?,
                    None => false,
                };
                if found {
                    return Ok((json, seen));
                }
                Err(match key {
                    Key::Nin(nin) if !nin.is_plausible() => Fault::broken(Broken::one(
                        "nin",
                        "The date or the control digits of the number cannot be right.",
                    )),
                    _ => Fault::not_found("Person not found"),
                })
            }
            Wanted::Many(keys) => {
                let mut json = Json::with_capacity(keys.len() * PERSON_BYTES);
                let mut failed = Ok(());
                json.array(|json| {
                    failed = keys.iter().try_for_each(|key| {
                        if let Some(no) = self.find(key)? {
                            self.write(json, no, view, &mut seen)?;
                        }
                        Ok::<(), Fault>(())
                    });
                });
                failed?;
                Ok((json, seen))
            }
        }
    }

    fn find(&self, key: &Key) -> Result<Option<EntryNo>, Fault> {
        Ok(match key {
            Key::Nin(nin) => self.parts.register.find(nin.0.number)?,
            Key::Id(PersonId::Entry(id)) => self.parts.register.number(*id)?,
            Key::Id(PersonId::Unknown) => None,
        })
    }

    /// What a search found.
    fn found(&self, entries: &[EntryNo], view: &View) -> Result<(Json, Seen), Fault> {
        let mut seen = Seen::default();
        let view = &Shown {
            view,
            sequence: self.parts.register.last_event(),
        };
        let mut json = Json::with_capacity(64 + entries.len() * PERSON_BYTES);
        let mut failed = Ok(());
        json.object(|json| {
            json.key("results");
            json.array(|json| {
                failed = entries.iter().try_for_each(|no| {
                    self.write(json, *no, view, &mut seen)?;
                    Ok::<(), Fault>(())
                });
            });
            json.field_number("startIndex", Some(0));
            let count = i64::try_from(seen.persons.len()).unwrap_or(i64::MAX);
            json.field_number("endIndex", Some((count - 1).max(0)));
        });
        failed?;
        Ok((json, seen))
    }

    /// A list of ids, or a page of it with its place.
    fn ids(&self, page: &Page, is_paged: bool) -> Result<(Json, Seen), Fault> {
        let register = &self.parts.register;
        let size = if is_paged {
            page.size
        } else {
            search::MAX_UNPAGED
        };
        let from = if is_paged { page.from } else { 0 };
        let found = match &page.query {
            None => registers::persons::search::Found::default(),
            Some(query) => register.search(query, self.now(), EntryNo(from), size)?,
        };
        if !is_paged && found.next.is_some() {
            return Err(Fault::bad_request(
                "More than 10000 persons match. Read them with paged-match-list.",
            ));
        }
        let mut json = Json::with_capacity(64 + found.entries.len() * 35);
        let mut failed = Ok(());
        let mut write_ids = |json: &mut Json| {
            json.array(|json| {
                failed = found.entries.iter().try_for_each(|no| {
                    if let Some(id) = register.with(*no, |row| row.id())?.flatten() {
                        json.id(id);
                    }
                    Ok::<(), Fault>(())
                });
            });
        };
        if is_paged {
            json.object(|json| {
                json.key("results");
                write_ids(json);
                let last = found.entries.last().map(|no| no.0);
                let end = search::end_index(from, found.next.map(|no| no.0), last);
                json.field_number("startIndex", Some(from.into()));
                json.field_number("endIndex", Some(end));
            });
        } else {
            write_ids(&mut json);
        }
        failed?;
        let seen = Seen {
            counted: found.entries.len() as u64,
            ..Seen::default()
        };
        Ok((json, seen))
    }

    /// Writes a person, or the one she was merged into; each once. False when there is no such entry.
    fn write(
        &self,
        json: &mut Json,
        no: EntryNo,
        shown: &Shown<'_>,
        seen: &mut Seen,
    ) -> Result<bool, Fault> {
        let Shown { view, sequence } = *shown;
        let mut no = no;
        for _ in 0..MAX_HOPS {
            if seen.persons.contains(&no) {
                return Ok(true);
            }
            let history = self.history(no, view)?;
            let read = self.parts.register.with(no, |row| {
                write_row(json, row, history.as_ref(), view, sequence)
            })?;
            match read.flatten() {
                None => return Ok(false),
                Some(Read::Written(protected)) => {
                    seen.persons.push(no);
                    seen.protected.extend(protected);
                    return Ok(true);
                }
                Some(Read::Merged(into)) => match self.parts.register.number(into)? {
                    None => return Ok(false),
                    Some(next) => no = next,
                },
            }
        }
        Ok(false)
    }

    /// The document with its history, where that is asked for.
    fn history(&self, no: EntryNo, view: &View) -> Result<Option<PersonDocument>, Fault> {
        if !view.with_history {
            return Ok(None);
        }
        let id = self.parts.register.with(no, |row| row.id())?.flatten();
        let entry = id.map(|id| self.parts.register.log().entry(id));
        Ok(entry.transpose()?.flatten().map(|entry| entry.content))
    }
}

fn write_row(
    json: &mut Json,
    row: Row<'_>,
    history: Option<&PersonDocument>,
    view: &View,
    sequence: u64,
) -> Option<Read> {
    let id = row.id()?;
    if let Some(into) = row.merged_into() {
        return Some(Read::Merged(into));
    }
    let level = match history {
        // The log is never behind the read form: of two levels the stricter counts.
        Some(document) => document
            .protection_at(view.now)
            .max(row.protection_at(view.now)),
        None => row.protection_at(view.now),
    };
    let tags = view.parts.tags();
    let from_row;
    let document = match history {
        Some(document) => document,
        None => {
            from_row = row.document_of(|tag| tag < 64 && tags & (1 << tag) != 0);
            &from_row
        }
    };
    let subject = Subject {
        id,
        document,
        level,
        sequence,
    };
    person::write(json, &subject, view);
    let gradings = [tag::RESIDENTIAL, tag::PRESENT, tag::SHARED];
    let own = gradings
        .iter()
        .filter(|tag| tags & (1 << **tag) != 0)
        .flat_map(|tag| row.addresses(*tag, view.now))
        .map(|held| held.value.grading)
        .fold(level, ProtectionLevel::max);
    let protected = is_recorded_first(own).then(|| leading(row)).flatten();
    Some(Read::Written(protected))
}

/// The number under which a person stands in the journal.
fn leading(row: Row<'_>) -> Option<String> {
    let numbers: Vec<_> = row.identifiers().map(|held| held.value).collect();
    let best = life::best(numbers.iter()).map(|number| number.text(11));
    best.or_else(|| numbers.first().map(|number| number.text()))
}
