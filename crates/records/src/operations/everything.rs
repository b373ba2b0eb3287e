//! `Patient/[id]/$everything`, `Encounter/[id]/$everything`, and `Patient/$everything` of an open repository that is not
//! large (spec/fhir-server.md §9).
//!
//! One pass: the compartment's rows give the records, their stored bytes go into the Bundle as they are. Matches are the
//! patient and her compartment; what they lean on comes as `include`, on the page of the first record that mentions it, so
//! that a walk over the pages meets every resource once.

use super::Target;
use super::input::Input;
use super::supporting::Gathering;
use crate::gate::{Caller, Gated};
use crate::http::{Answer, Call};
use crate::outcome::{Failure, Issue, outcome};
use crate::paging::{Page, Position, as_of};
use crate::params::{MAX_COUNT, encode};
use crate::planner::{Compiler, Evaluator, PatientScope};
use crate::read::{is_deleted, is_id};
use crate::render::{self, Entry, Subset};
use crate::repository::{Repository, is_closed};
use axum::http::{StatusCode, header};
use bytes::Bytes;
use fhir::datetime::{Moment, Precision};
use fhir::pack::{ParamInfo, ParamKind};
use fhir::{Doc, Limits, Pack};
use std::collections::{BTreeSet, HashSet};
use store::{Granted, MicrosUtc, PersonKey, Record, Rid, Seq, Snapshot};
use trust::Action;

/// Most records of one compartment that are given out this way; larger ones are exported.
const MAX_RECORDS: usize = 100_000;
/// Most patients joined by `seealso`.
const MAX_LINKED: usize = 16;
/// Records read at a time.
const CHUNK: usize = 500;

/// What was asked for.
#[derive(Default)]
struct Wish {
    start: Option<String>,
    end: Option<String>,
    since: Option<MicrosUtc>,
    types: Option<BTreeSet<String>>,
    count: Option<usize>,
    /// As executed, for the self link and page links.
    executed: Vec<(String, String)>,
    ignored: Vec<Issue>,
}

impl Wish {
    fn read(repository: &Repository, input: &Input, is_lenient: bool) -> Result<Self, Failure> {
        let mut wish = Self {
            ignored: input.only(
                &["start", "end", "_since", "_type", "_count", "_page"],
                is_lenient,
            )?,
            count: input.number("_count", 0)?.map(|n| n.min(MAX_COUNT)),
            ..Self::default()
        };
        for (name, slot) in [("start", &mut wish.start), ("end", &mut wish.end)] {
            if let Some(text) = input.one(name)? {
                Moment::parse(text, false)
                    .filter(|m| m.precision() <= Precision::Day)
                    .ok_or_else(|| {
                        Failure::bad("value", format!("{name} must be a date")).on(name)
                    })?;
                *slot = Some(text.to_owned());
                wish.executed.push((name.to_owned(), text.to_owned()));
            }
        }
        if let Some(text) = input.one("_since")? {
            wish.since = Some(instant("_since", text)?);
            wish.executed.push(("_since".to_owned(), text.to_owned()));
        }
        let mut types = BTreeSet::new();
        for rtype in input.list("_type") {
            if repository.has_type(&rtype) {
                types.insert(rtype);
                continue;
            }
            let text = "_type names a type that is not here";
            if !is_lenient {
                return Err(Failure::bad("value", text).on("_type"));
            }
            wish.ignored.push(Issue::warning("value", text).on("_type"));
        }
        if !types.is_empty() {
            let list: Vec<&str> = types.iter().map(String::as_str).collect();
            wish.executed.push(("_type".to_owned(), list.join(",")));
            wish.types = Some(types);
        }
        if let Some(count) = wish.count {
            wish.executed.push(("_count".to_owned(), count.to_string()));
        }
        Ok(wish)
    }

    fn is_narrow(&self) -> bool {
        self.start.is_some() || self.end.is_some() || self.since.is_some() || self.types.is_some()
    }

    fn wants(&self, rtype: &str, at: MicrosUtc) -> bool {
        self.since.is_none_or(|since| at >= since)
            && self.types.as_ref().is_none_or(|t| t.contains(rtype))
    }
}

/// An instant with a zone, as `_since` and exports take it.
pub(crate) fn instant(name: &str, text: &str) -> Result<MicrosUtc, Failure> {
    Moment::parse(&text.replace(' ', "+"), false)
        .filter(|m| m.precision() > Precision::Minute)
        .map(|m| m.range_us(&fhir::datetime::oslo()).0)
        .ok_or_else(|| Failure::bad("value", format!("{name} must be an instant")).on(name))
}

/// Whose compartment it is.
struct Center {
    /// Stored records that lead: the patient (and those linked to her), or the encounter.
    first: Vec<Record>,
    /// The Patient view of a clinical repository.
    scope: PatientScope,
    /// Records of the compartment, ascending.
    rids: Vec<Rid>,
    persons: BTreeSet<PersonKey>,
    ignored: Vec<Issue>,
}

pub(crate) fn run(
    repository: &Repository,
    call: &Call,
    caller: &Caller,
    target: Target<'_>,
) -> Result<Answer, Failure> {
    let (rtype, id) = match target {
        Target::Instance(rtype, id) => (rtype, Some(id)),
        Target::Type(rtype) => (rtype, None),
        Target::System => return Err(Failure::not_found()),
    };
    let mut input = Input::read(call)?;
    let token = input.one("_page")?.map(str::to_owned);
    if let Some(token) = &token {
        let page = repository.pages.open(token, edge::clock::real_now_us())?;
        input = Input::of(page.parameters);
    }
    let mut wish = Wish::read(repository, &input, call.is_lenient)?;
    if id.is_some_and(|id| !is_id(id)) {
        return Err(Failure::not_found());
    }
    let mut snapshot = repository.snapshot()?;
    let gated = match id {
        Some(id) => repository.decide_by_id(&snapshot, caller, rtype, id, Action::List)?,
        None => repository.decide(&snapshot, caller, None, Action::List, &[])?,
    };
    let mut granted = gated.granted.clone();
    let mut offset = 0;
    let mut earlier = None;
    if let Some(token) = &token {
        let page = repository.resume(token, call, caller, &gated)?;
        if !is_closed(&gated) {
            snapshot = repository.config.store.snapshot_at(Seq(page.seq))?;
            if let Some(more) = as_of(granted.filter(), page.decided_at) {
                granted = granted.narrowed(more);
            }
            offset = match page.position {
                Position::Offset(n) => usize::try_from(n).unwrap_or(usize::MAX),
                _ => return Err(crate::outcome::expired_page()),
            };
            earlier = Some(page);
        }
    }
    let found = match (rtype, id) {
        (_, None) => patients(repository, &snapshot, &granted),
        ("Patient", Some(id)) => patient(repository, call, &snapshot, &granted, &gated, id),
        (_, Some(id)) => encounter(repository, &snapshot, &granted, &gated, id),
    };
    let mut center = match found {
        Ok(center) => center,
        Err(failure) => {
            // A look that finds nothing is a look.
            repository.record(&gated, &[])?;
            return Err(failure);
        }
    };
    wish.ignored.append(&mut center.ignored);
    narrow(repository, &snapshot, &granted, &wish, &mut center)?;
    let turn = Turn {
        repository,
        call,
        caller,
        gated: &gated,
        snapshot: &snapshot,
        granted: &granted,
        wish: &wish,
        offset,
        earlier: earlier.as_ref(),
    };
    turn.answer(rtype, &center)
}

/// A patient: stored in open repositories, a view of the register in clinical ones.
fn patient(
    repository: &Repository,
    call: &Call,
    snapshot: &Snapshot,
    granted: &Granted,
    gated: &Gated,
    id: &str,
) -> Result<Center, Failure> {
    let repo = repository.config.repo;
    let mut center = Center {
        first: Vec::new(),
        scope: PatientScope::default(),
        rids: Vec::new(),
        persons: BTreeSet::new(),
        ignored: Vec::new(),
    };
    if repository.is_clinical() {
        center.scope = repository.scope_for(snapshot, gated)?;
        if center.scope.view.is_none() || center.scope.id.as_deref() != Some(id) {
            return Err(Failure::not_found());
        }
        center.persons.extend(gated.person);
    } else {
        let record = snapshot
            .read(granted, repo, "Patient", id)?
            .ok_or_else(Failure::not_found)?;
        if is_deleted(&record) {
            return Err(Failure::gone());
        }
        center.persons.extend(record.head.persons.iter().copied());
        center.first.push(record);
        follow_links(repository, call, snapshot, granted, &mut center)?;
    }
    center.rids = snapshot.compartment(granted, repo, &center.persons, MAX_RECORDS + 1)?;
    let first: HashSet<Rid> = center.first.iter().map(|r| r.head.rid).collect();
    center.rids.retain(|rid| !first.contains(rid));
    Ok(center)
}

/// All patients with their compartments: patients first, then type by type.
fn patients(
    repository: &Repository,
    snapshot: &Snapshot,
    granted: &Granted,
) -> Result<Center, Failure> {
    let repo = repository.config.repo;
    let mut types: Vec<&str> = Pack::r4()
        .compartment_types("Patient")
        .filter(|t| *t != "Patient" && repository.has_type(t))
        .collect();
    types.sort_unstable();
    types.insert(0, "Patient");
    let mut rids = Vec::new();
    for rtype in types {
        let left = (MAX_RECORDS + 1).saturating_sub(rids.len());
        let of_type = snapshot.type_rids(granted, repo, rtype, Rid(0), left)?;
        let heads = snapshot.heads(granted, &of_type)?;
        rids.extend(
            heads
                .iter()
                .filter(|h| !h.persons.is_empty())
                .map(|h| h.rid),
        );
    }
    Ok(Center {
        first: Vec::new(),
        scope: PatientScope::default(),
        rids,
        persons: BTreeSet::new(),
        ignored: Vec::new(),
    })
}

/// `Patient.link`: `seealso` is followed, `replaced-by` sends the caller on, the others say nothing about this record.
fn follow_links(
    repository: &Repository,
    call: &Call,
    snapshot: &Snapshot,
    granted: &Granted,
    center: &mut Center,
) -> Result<(), Failure> {
    let mut at = 0;
    while let Some(record) = center.first.get(at) {
        at += 1;
        if !has_links(&record.body) {
            continue;
        }
        let Ok(doc) = Doc::parse_json(record.body.clone(), &Limits::default()) else {
            continue;
        };
        for link in doc.root().all("link") {
            let other = link
                .str_at("other.reference")
                .and_then(|text| super::supporting::local(repository, text))
                .filter(|(rtype, _)| *rtype == "Patient");
            let Some((_, id)) = other else { continue };
            match link.str_at("type") {
                Some("replaced-by") => {
                    if !call.is_lenient {
                        return Err(moved(call, id));
                    }
                    center.ignored.push(Issue::warning(
                        "conflict",
                        "this patient was replaced by another one (Patient.link); ask for everything of that one too",
                    ));
                }
                Some("seealso") if center.first.len() < MAX_LINKED => {
                    let linked = snapshot.read(granted, repository.config.repo, "Patient", id)?;
                    if let Some(linked) = linked.filter(|r| {
                        !is_deleted(r) && center.first.iter().all(|f| f.head.rid != r.head.rid)
                    }) {
                        center.persons.extend(linked.head.persons.iter().copied());
                        center.first.push(linked);
                    }
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn has_links(body: &[u8]) -> bool {
    body.windows(6).any(|w| w == b"\"link\"")
}

/// 301: the record lives on under another id. No `Location`, so that no client changes patients without noticing.
fn moved(call: &Call, id: &str) -> Failure {
    let mut failure = Failure::new(
        StatusCode::MOVED_PERMANENTLY,
        "conflict",
        "this patient was replaced by another one (Patient.link); Content-Location leads there",
    );
    let url = format!("{}/Patient/{id}/$everything", call.base);
    if let Ok(value) = header::HeaderValue::from_str(&url) {
        failure.headers.push((header::CONTENT_LOCATION, value));
    }
    failure
}

/// An encounter with its compartment, by references.
fn encounter(
    repository: &Repository,
    snapshot: &Snapshot,
    granted: &Granted,
    gated: &Gated,
    id: &str,
) -> Result<Center, Failure> {
    let record = snapshot
        .read(granted, repository.config.repo, "Encounter", id)?
        .ok_or_else(Failure::not_found)?;
    if is_deleted(&record) {
        return Err(Failure::gone());
    }
    let scope = repository.scope_for(snapshot, gated)?;
    let has_type = |t: &str| repository.has_type(t);
    let compiler = Compiler {
        options: &repository.options,
        has_type: &has_type,
        patient: repository.is_clinical().then_some(&scope),
    };
    let evaluator = Evaluator::new(
        snapshot,
        granted,
        repository.config.repo,
        &repository.options,
    );
    let mut rids = BTreeSet::new();
    for rtype in Pack::r4().compartment_types("Encounter") {
        if !repository.has_type(rtype) || rtype == "Encounter" {
            continue;
        }
        if let Ok(cond) = compiler.compartment("Encounter", id, rtype) {
            rids.extend(evaluator.matching(rtype, &[cond])?);
        }
        if rids.len() > MAX_RECORDS {
            break;
        }
    }
    let persons = record.head.persons.iter().copied().collect();
    Ok(Center {
        first: vec![record],
        scope,
        rids: rids.into_iter().collect(),
        persons,
        ignored: Vec::new(),
    })
}

/// Leaves out what was not asked for.
fn narrow(
    repository: &Repository,
    snapshot: &Snapshot,
    granted: &Granted,
    wish: &Wish,
    center: &mut Center,
) -> Result<(), Failure> {
    if center.rids.len() > MAX_RECORDS {
        return Err(Failure::too_costly(format!(
            "the compartment has more than {MAX_RECORDS} resources; use $export"
        )));
    }
    if !wish.is_narrow() {
        return Ok(());
    }
    center
        .first
        .retain(|r| wish.wants(&r.head.rtype, r.head.at));
    if !wish.wants("Patient", MicrosUtc::MAX) {
        center.scope.view = None;
    }
    let heads = snapshot.heads(granted, &center.rids)?;
    let mut kept: Vec<Rid> = heads
        .iter()
        .filter(|h| wish.wants(&h.rtype, h.at))
        .map(|h| h.rid)
        .collect();
    if wish.start.is_some() || wish.end.is_some() {
        let mut inside = Vec::with_capacity(kept.len());
        for chunk in kept.chunks(CHUNK) {
            for record in snapshot.fetch(granted, chunk)? {
                if is_inside(repository, &record, wish)? {
                    inside.push(record.head.rid);
                }
            }
        }
        kept = inside;
    }
    center.rids = kept;
    Ok(())
}

/// Parameters that carry the clinical date of a type, best first.
const DATES: &[&str] = &[
    "date",
    "period",
    "authoredon",
    "effective",
    "effective-time",
    "onset-date",
    "recorded-date",
    "whenhandedover",
    "whenprepared",
    "occurrence",
    "authored",
    "start-date",
    "created",
    "sent",
    "performed",
    "collected",
    "started",
    "issued",
    "recorded",
    "identified",
];

/// Whether the clinical date lies in the range asked for. Resources without one are always inside.
fn is_inside(repository: &Repository, record: &Record, wish: &Wish) -> Result<bool, Failure> {
    let pack = Pack::r4();
    let params: Vec<&ParamInfo> = DATES
        .iter()
        .filter_map(|code| pack.param(&record.head.rtype, code))
        .filter(|p| p.kind == ParamKind::Date && p.expr.is_some())
        .collect();
    if params.is_empty() {
        return Ok(true);
    }
    let Ok(doc) = Doc::parse_json(record.body.clone(), &Limits::default()) else {
        return Ok(true);
    };
    let holds = |param: &ParamInfo, modifier: Option<&str>, value: &str| {
        fhir::keys::matches::matches(pack, param, modifier, value, &doc, &repository.options)
            .map_err(Failure::from)
    };
    for param in params {
        if holds(param, Some("missing"), "true")? {
            continue;
        }
        let after = match &wish.start {
            Some(start) => holds(param, None, &format!("ge{start}"))?,
            None => true,
        };
        let before = match &wish.end {
            Some(end) => holds(param, None, &format!("le{end}"))?,
            None => true,
        };
        return Ok(after && before);
    }
    Ok(true)
}

/// One page in the making.
struct Turn<'a> {
    repository: &'a Repository,
    call: &'a Call,
    caller: &'a Caller,
    gated: &'a Gated,
    snapshot: &'a Snapshot,
    granted: &'a Granted,
    wish: &'a Wish,
    offset: usize,
    earlier: Option<&'a Page>,
}

impl Turn<'_> {
    fn answer(&self, rtype: &str, center: &Center) -> Result<Answer, Failure> {
        let size = self.wish.count.unwrap_or(MAX_COUNT);
        let has_view = rtype == "Patient" && center.scope.view.is_some();
        let leading = center.first.len() + usize::from(has_view);
        let total = leading + center.rids.len();
        let end = total.min(self.offset.saturating_add(size));
        // The leading records stand before the compartment's.
        let part = |from: usize, to: usize| {
            let (from, to) = (from.saturating_sub(leading), to.saturating_sub(leading));
            center.rids.get(from..to.max(from)).unwrap_or_default()
        };
        let mut records: Vec<Record> = center
            .first
            .iter()
            .skip(self.offset.saturating_sub(usize::from(has_view)))
            .take(end.saturating_sub(self.offset))
            .cloned()
            .collect();
        records.extend(self.snapshot.fetch(self.granted, part(self.offset, end))?);
        let members: HashSet<Rid> = center
            .rids
            .iter()
            .copied()
            .chain(center.first.iter().map(|r| r.head.rid))
            .collect();
        let mut gathering = Gathering {
            repository: self.repository,
            snapshot: self.snapshot,
            granted: self.granted,
            types: self.wish.types.as_ref(),
            since: self.wish.since,
            persons: &center.persons,
            met: HashSet::new(),
            members: &members,
        };
        if self.offset > 0 {
            gathering.gather(&center.first)?;
            for chunk in part(0, self.offset).chunks(CHUNK) {
                gathering.gather(&self.snapshot.fetch(self.granted, chunk)?)?;
            }
        }
        let supporting = if size == 0 {
            Vec::new()
        } else {
            gathering.gather(&records)?
        };
        let shows_view = has_view && self.offset == 0 && size > 0;
        self.log(center, shows_view, &records, &supporting)?;
        let entries = self.entries(center, shows_view, &records, &supporting)?;
        let mut links = vec![("self", self.self_link())];
        if end < total && size > 0 {
            let page = Page {
                parameters: self.wish.executed.clone(),
                total: Some(total as u64),
                position: Position::Offset(end as u64),
                ..self.repository.page(
                    self.call,
                    self.caller,
                    self.gated,
                    self.snapshot,
                    self.earlier,
                )
            };
            links.push(("next", self.repository.page_url(self.call, &page)?));
        }
        Ok(Answer::resource(
            StatusCode::OK,
            render::bundle("searchset", Some(total as u64), &links, &entries),
        ))
    }

    fn log(
        &self,
        center: &Center,
        shows_view: bool,
        records: &[Record],
        supporting: &[Record],
    ) -> Result<(), Failure> {
        if !self.repository.is_clinical() {
            return Ok(());
        }
        let view = center
            .scope
            .id
            .iter()
            .filter(|_| shows_view)
            .map(|id| format!("Patient/{id}"));
        let items: Vec<String> = records
            .iter()
            .chain(supporting)
            .map(|r| format!("{}/{}", r.head.rtype, r.head.id))
            .chain(view)
            .collect();
        self.repository.record(self.gated, &items)
    }

    fn entries(
        &self,
        center: &Center,
        shows_view: bool,
        records: &[Record],
        supporting: &[Record],
    ) -> Result<Vec<Entry>, Failure> {
        let mut entries = Vec::with_capacity(records.len() + supporting.len() + 2);
        if let (true, Some(view), Some(id)) = (shows_view, &center.scope.view, &center.scope.id) {
            entries.push(Entry {
                full_url: Some(format!("{}/Patient/{id}", self.call.base)),
                resource: Some(view.bytes().clone()),
                search_mode: Some("match"),
                ..Entry::default()
            });
        }
        self.repository.with_sight(
            self.snapshot,
            self.granted,
            self.caller,
            &center.scope,
            |sight| {
                let matches = records.iter().map(|r| (r, "match"));
                for (record, mode) in matches.chain(supporting.iter().map(|r| (r, "include"))) {
                    let head = &record.head;
                    entries.push(Entry {
                        full_url: Some(format!("{}/{}/{}", self.call.base, head.rtype, head.id)),
                        resource: Some(self.repository.rendered(
                            record,
                            sight,
                            &Subset::default(),
                        )?),
                        search_mode: Some(mode),
                        ..Entry::default()
                    });
                }
                Ok::<(), Failure>(())
            },
        )?;
        if !self.wish.ignored.is_empty() && self.offset == 0 {
            entries.push(Entry {
                resource: Some(Bytes::from(outcome(&self.wish.ignored).to_string())),
                search_mode: Some("outcome"),
                ..Entry::default()
            });
        }
        Ok(entries)
    }

    fn self_link(&self) -> String {
        let query = encode(&self.wish.executed);
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}/{}{mark}{query}", self.call.base, self.call.path)
    }
}
