//! Search: parameters → subject → decision → conditions → records → page (spec/fhir-server.md §3).

mod chosen;
mod expected;
mod explain;
mod find;

use crate::gate::{Caller, Gated};
use crate::http::{Answer, Call};
use crate::include::{Included, MAX_INCLUDES};
use crate::outcome::{Failure, Issue, outcome};
use crate::paging::{Page, Position, as_of};
use crate::params::{RawCondition, SearchParams, Summary, Total, encode};
use crate::planner::{Compiler, Cond, Evaluator, PatientScope, Terms, Walk, check_sort};
use crate::render::{self, Entry, Subset};
use crate::repository::{Repository, is_closed};
use crate::subject::{Named, references_to};
use axum::http::StatusCode;
use bytes::Bytes;
use fhir::Pack;
use std::collections::BTreeMap;
use std::time::Duration;
use store::{Granted, Patience, Record, Rid, Seq, Snapshot};
use trust::Action;
use trust::gather::SubjectRef;

/// Longest time of one search.
pub const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Which records a search runs over.
struct Target<'a> {
    types: Vec<String>,
    /// Compartment: its type and id.
    compartment: Option<(&'a str, &'a str)>,
}

/// A search that has been read, decided and compiled.
struct Ready {
    params: SearchParams,
    gated: Gated,
    scope: PatientScope,
    /// Conditions by type.
    conds: BTreeMap<String, Vec<Cond>>,
    page: Option<Page>,
    snapshot: Snapshot,
    granted: Granted,
}

impl Ready {
    fn new(snapshot: Snapshot, gated: Gated, scope: PatientScope, params: SearchParams) -> Self {
        Self {
            granted: gated.granted.clone(),
            conds: BTreeMap::new(),
            page: None,
            params,
            gated,
            scope,
            snapshot,
        }
    }
}

impl Repository {
    pub(crate) fn search_type(
        &self,
        call: &Call,
        caller: &Caller,
        rtype: &str,
    ) -> Result<Answer, Failure> {
        let target = Target {
            types: vec![rtype.to_owned()],
            compartment: None,
        };
        self.search(call, caller, target)
    }

    pub(crate) fn search_system(&self, call: &Call, caller: &Caller) -> Result<Answer, Failure> {
        let target = Target {
            types: Vec::new(),
            compartment: None,
        };
        self.search(call, caller, target)
    }

    pub(crate) fn search_compartment(
        &self,
        call: &Call,
        caller: &Caller,
        compartment: &str,
        id: &str,
        of: &str,
    ) -> Result<Answer, Failure> {
        let types = if of == "*" {
            let mut types: Vec<String> = Pack::r4()
                .compartment_types(compartment)
                .filter(|t| self.has_type(t) && *t != compartment)
                .map(str::to_owned)
                .collect();
            types.sort();
            types
        } else {
            self.require_type(of)?;
            vec![of.to_owned()]
        };
        if self.is_clinical() && compartment != "Patient" {
            return Err(Failure::not_found());
        }
        let target = Target {
            types,
            compartment: Some((compartment, id)),
        };
        self.search(call, caller, target)
    }

    fn search(&self, call: &Call, caller: &Caller, target: Target<'_>) -> Result<Answer, Failure> {
        Patience::new(TIME_LIMIT).hold(|| self.search_now(call, caller, target))
    }

    fn search_now(
        &self,
        call: &Call,
        caller: &Caller,
        target: Target<'_>,
    ) -> Result<Answer, Failure> {
        let sent = call.search_parameters()?;
        let mut ready = self.ready(call, &sent, caller, target)?;
        let evaluator = Evaluator::new(
            &ready.snapshot,
            &ready.granted,
            self.config.repo,
            &self.options,
        );
        let subset = Subset {
            summary: ready.params.summary,
            elements: ready.params.elements.clone(),
        };
        let found = self.find(&ready, &evaluator)?;
        if let Some(rendered) = self.rendered.as_ref()
            && subset.is_whole()
            && ready.params.includes.is_empty()
        {
            drop(evaluator);
            let entries =
                rendered.entries(&ready.snapshot, &ready.granted, &found.rids, &call.base)?;
            return self.bundled(call, caller, &ready, &found, entries);
        }
        let records = ready.snapshot.fetch(&ready.granted, &found.rids)?;
        let included = self.included_up_to_limit(
            &evaluator,
            &ready.scope,
            &ready.params.includes,
            &records,
            found.has_patient,
            call.is_lenient,
        )?;
        drop(evaluator);
        if included.cut {
            ready.params.ignored.push(Issue::warning(
                "incomplete",
                format!("includes were cut at {MAX_INCLUDES} resources; lower _count to see all"),
            ));
        }
        if self.is_clinical() {
            let items = shown_items(&ready, &records, &included, found.has_patient);
            self.record(&ready.gated, &items)?;
        }
        self.answer(call, caller, &ready, &found, &records, &included, &subset)
    }

    /// Reads, decides, compiles.
    fn ready(
        &self,
        call: &Call,
        sent: &[(String, String)],
        caller: &Caller,
        target: Target<'_>,
    ) -> Result<Ready, Failure> {
        let mut params = SearchParams::read_as(sent, call.is_lenient)?;
        let token = params.page.take();
        let opened = match &token {
            None => None,
            Some(token) => {
                // The link carries the size of its pages, for clients that add one of their own where none is.
                let size = params.count;
                let is_other = params.executed.iter().any(|(name, _)| name != "_count");
                let page = self.pages.open(token, edge::clock::real_now_us())?;
                params = SearchParams::read_as(&page.parameters, call.is_lenient)?;
                if is_other || size.is_some_and(|size| size != params.page_size()) {
                    return Err(Failure::bad(
                        "invalid",
                        "a page link takes no other parameters",
                    ));
                }
                Some(page)
            }
        };
        let types = self.types_of(&mut params, target.types, call.is_lenient)?;
        let now = match &call.ahead {
            Some(ahead) => ahead.clone(),
            None => self.snapshot()?,
        };
        let (named, gated, scope) = self.decide_search(
            &now,
            caller,
            &types,
            &params,
            target.compartment,
            opened.as_ref(),
        )?;
        let mut ready = Ready::new(now, gated, scope, params);
        self.compile(call, &types, &target.compartment, named, &mut ready)?;
        if let Some(token) = &token {
            let page = self.resume(token, call, caller, &ready.gated)?;
            if !is_closed(&ready.gated) {
                ready.snapshot = self.config.store.snapshot_at(Seq(page.seq))?;
                if let Some(more) = as_of(ready.granted.filter(), page.decided_at) {
                    ready.granted = ready.granted.narrowed(more);
                }
                ready.page = Some(page);
            }
        }
        Ok(ready)
    }

    /// Types that the search runs over.
    fn types_of(
        &self,
        params: &mut SearchParams,
        given: Vec<String>,
        is_lenient: bool,
    ) -> Result<Vec<String>, Failure> {
        let Some(mut types) = params.types.clone() else {
            return Ok(if given.is_empty() {
                self.types().into_iter().map(str::to_owned).collect()
            } else {
                given
            });
        };
        if given.len() == 1 {
            return if types == given {
                Ok(given)
            } else {
                Err(Failure::bad(
                    "invalid",
                    "_type is for searches over several types",
                ))
            };
        }
        let before = types.len();
        types.retain(|t| self.has_type(t));
        let refuse = || Failure::bad("value", "_type names a type that is not here").on("_type");
        if types.len() < before {
            if !is_lenient || types.is_empty() {
                return Err(refuse());
            }
            params.ignored.push(Issue::warning(
                "value",
                "_type names a type that is not here; it was left out",
            ));
            let kept = types.join(",");
            for (name, value) in &mut params.executed {
                if name == "_type" {
                    kept.clone_into(value);
                }
            }
        }
        if !given.is_empty() {
            types.retain(|t| given.contains(t));
        }
        Ok(types)
    }

    fn decide_search(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        types: &[String],
        params: &SearchParams,
        compartment: Option<(&str, &str)>,
        page: Option<&Page>,
    ) -> Result<(Named, Gated, PatientScope), Failure> {
        let action = if params.summary == Summary::Count {
            Action::Count
        } else {
            Action::List
        };
        if !self.is_clinical() {
            let gated = self.decide(snapshot, caller, None, action, &self.config.classes)?;
            let named = Named {
                rest: params.conditions.clone(),
                ..Named::default()
            };
            return Ok((named, gated, PatientScope::default()));
        }
        let rtype = types.first().map_or("", String::as_str);
        let mut named = self.named_subject(
            snapshot,
            caller,
            if types.len() == 1 { rtype } else { "" },
            &params.conditions,
            compartment.map(|(_, id)| id),
        )?;
        if named.subject.is_none() && caller.named.is_none() {
            named.subject = page
                .and_then(|p| p.person)
                .map(|p| SubjectRef::Key(store::PersonKey(p)));
        }
        let gated = self.decide(
            snapshot,
            caller,
            named.subject.clone(),
            action,
            &self.config.classes,
        )?;
        let subject = named.subject.as_ref().or(caller.named.as_ref());
        let scope = self.patient_scope(snapshot, &gated, subject)?;
        Ok((named, gated, scope))
    }

    /// Compiles the conditions for every type. Lenient callers get unknown parameters left out and named.
    fn compile(
        &self,
        call: &Call,
        types: &[String],
        compartment: &Option<(&str, &str)>,
        named: Named,
        ready: &mut Ready,
    ) -> Result<(), Failure> {
        let has_type = |t: &str| self.has_type(t);
        let scope = std::mem::take(&mut ready.scope);
        let compiler = Compiler {
            options: &self.options,
            has_type: &has_type,
            patient: self.is_clinical().then_some(&scope),
        };
        let references = references_to(&scope, &named.by_reference);
        let mut ignored: Vec<RawCondition> = Vec::new();
        let is_single = types.len() == 1;
        let (mut knows_elements, mut elements_failure) = (types.is_empty(), None);
        for rtype in types {
            let mut conds = Vec::new();
            match compartment {
                Some((kind, id)) if !self.is_clinical() => {
                    match compiler.compartment(kind, id, rtype) {
                        Ok(cond) => conds.push(cond),
                        Err(failure) if is_single => return Err(failure),
                        Err(_) => continue,
                    }
                }
                // Narrowed to the patient by the grant already.
                _ => {}
            }
            match &references {
                None => conds.push(Cond::Nothing),
                Some(list) => {
                    for raw in list {
                        conds.push(compiler.compile(rtype, raw)?);
                    }
                }
            }
            for raw in &named.rest {
                if ignored.contains(raw) {
                    continue;
                }
                let compiled = compiler.compile(rtype, raw).and_then(|mut cond| {
                    self.resolve(&ready.snapshot, &ready.granted, &mut cond)?;
                    Ok(cond)
                });
                match compiled {
                    Ok(cond) => conds.push(cond),
                    Err(failure) if call.is_lenient && failure.is_unsupported() => {
                        let text = failure
                            .issues
                            .first()
                            .map_or_else(String::new, |i| i.text.clone());
                        ready
                            .params
                            .ignore(raw, Issue::warning("not-supported", text));
                        ignored.push(raw.clone());
                    }
                    Err(failure) => return Err(failure),
                }
            }
            if let Err(failure) = check_sort(rtype, &ready.params.sort) {
                if !call.is_lenient {
                    return Err(failure);
                }
                ready.params.ignored.extend(
                    failure
                        .issues
                        .iter()
                        .map(|i| Issue::warning("not-supported", i.text.clone())),
                );
                ready.params.sort.clear();
                ready.params.executed.retain(|(name, _)| name != "_sort");
            }
            let subset = Subset {
                summary: ready.params.summary,
                elements: ready.params.elements.clone(),
            };
            match subset.check(rtype) {
                Ok(()) => knows_elements = true,
                Err(failure) => elements_failure = Some(failure),
            }
            ready.conds.insert(rtype.clone(), conds);
        }
        if let Some(failure) = elements_failure.filter(|_| !knows_elements && !call.is_lenient) {
            return Err(failure);
        }
        self.check_includes(call, &mut ready.params)?;
        ready.scope = scope;
        Ok(())
    }

    /// Asks terminology for the codes that a condition means.
    pub(crate) fn resolve(
        &self,
        snapshot: &Snapshot,
        granted: &Granted,
        cond: &mut Cond,
    ) -> Result<(), Failure> {
        if !cond.asks_terminology() {
            return Ok(());
        }
        let terminology = self.terminology(snapshot, granted);
        let canonical_of = |id: &str| {
            let found = snapshot.read(granted, self.config.repo, "ValueSet", id)?;
            Ok(found
                .filter(|r| !crate::read::is_deleted(r))
                .and_then(|r| fhir::Doc::parse_json(r.body, &fhir::Limits::default()).ok())
                .and_then(|doc| {
                    let url = doc.root().str_at("url")?;
                    Some(match doc.root().str_at("version") {
                        Some(version) => format!("{url}|{version}"),
                        None => url.to_owned(),
                    })
                }))
        };
        cond.resolve(&Terms {
            terminology: terminology.as_ref(),
            canonical_of: &canonical_of,
        })
    }

    fn check_includes(&self, call: &Call, params: &mut SearchParams) -> Result<(), Failure> {
        let mut kept = Vec::new();
        for include in std::mem::take(&mut params.includes) {
            match self.check_include(&include) {
                Ok(()) => kept.push(include),
                Err(failure) if call.is_lenient => {
                    params
                        .executed
                        .retain(|(name, value)| !include.was_written(name, value));
                    params.ignored.extend(
                        failure
                            .issues
                            .iter()
                            .map(|i| Issue::warning("not-supported", i.text.clone())),
                    );
                }
                Err(failure) => return Err(failure),
            }
        }
        params.includes = kept;
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn answer(
        &self,
        call: &Call,
        caller: &Caller,
        ready: &Ready,
        found: &Found,
        records: &[Record],
        included: &Included,
        subset: &Subset,
    ) -> Result<Answer, Failure> {
        let mut entries = Vec::with_capacity(records.len() + included.records.len() + 1);
        if found.has_patient {
            entries.extend(self.patient_entry(call, ready, subset, "match")?);
        }
        entries.extend(self.with_sight(
            &ready.snapshot,
            &ready.granted,
            caller,
            &ready.scope,
            |sight| {
                let matches = records.iter().map(|r| (r, "match"));
                let included = included.records.iter().map(|r| (r, "include"));
                matches
                    .chain(included)
                    .map(|(record, mode)| {
                        let head = &record.head;
                        Ok(Entry {
                            full_url: Some(format!("{}/{}/{}", call.base, head.rtype, head.id)),
                            resource: Some(self.rendered(record, sight, subset)?),
                            search_mode: Some(mode),
                            ..Entry::default()
                        })
                    })
                    .collect::<Result<Vec<_>, Failure>>()
            },
        )?);
        if included.patient {
            entries.extend(self.patient_entry(call, ready, subset, "include")?);
        }
        self.bundled(call, caller, ready, found, entries)
    }

    /// The page's entries with what belongs around them.
    fn bundled(
        &self,
        call: &Call,
        caller: &Caller,
        ready: &Ready,
        found: &Found,
        mut entries: Vec<Entry>,
    ) -> Result<Answer, Failure> {
        if !ready.params.ignored.is_empty() {
            entries.push(Entry {
                resource: Some(Bytes::from(outcome(&ready.params.ignored).to_string())),
                search_mode: Some("outcome"),
                ..Entry::default()
            });
        }
        let total = match ready.params.total {
            Total::None if ready.params.summary != Summary::Count => None,
            _ => found.total,
        };
        let mut links = vec![("self", self_link(call, &ready.params))];
        if ready.page.is_some() || found.next.is_some() {
            links.push(("first", self_link(call, &ready.params)));
        }
        if let Some(position) = found.next.clone() {
            let page = Page {
                parameters: ready.params.executed.clone(),
                total: found.total,
                position,
                ..self.page(
                    call,
                    caller,
                    &ready.gated,
                    &ready.snapshot,
                    ready.page.as_ref(),
                )
            };
            links.push(("next", self.page_url(call, &page)?));
        }
        Ok(Answer::resource(
            StatusCode::OK,
            render::bundle("searchset", total, &links, &entries),
        ))
    }

    fn patient_entry(
        &self,
        call: &Call,
        ready: &Ready,
        subset: &Subset,
        mode: &'static str,
    ) -> Result<Option<Entry>, Failure> {
        let (Some(view), Some(id)) = (&ready.scope.view, &ready.scope.id) else {
            return Ok(None);
        };
        Ok(Some(Entry {
            full_url: Some(format!("{}/Patient/{id}", call.base)),
            resource: Some(subset.apply(view.bytes().clone())?),
            search_mode: Some(mode),
            ..Entry::default()
        }))
    }

    /// Records of a type that match conditional criteria, at most two (conditional create, update, delete).
    pub(crate) fn matching_criteria(
        &self,
        snapshot: &Snapshot,
        granted: &Granted,
        rtype: &str,
        criteria: &[(String, String)],
    ) -> Result<(Vec<Record>, Vec<Cond>), Failure> {
        self.matching_up_to(snapshot, granted, rtype, criteria, 2)
    }

    /// The same, at most `most` records.
    pub(crate) fn matching_up_to(
        &self,
        snapshot: &Snapshot,
        granted: &Granted,
        rtype: &str,
        criteria: &[(String, String)],
        most: usize,
    ) -> Result<(Vec<Record>, Vec<Cond>), Failure> {
        let params = SearchParams::read(criteria)?;
        if params.conditions.is_empty() {
            return Err(Failure::bad(
                "invalid",
                "conditional requests need at least one search condition",
            ));
        }
        let has_type = |t: &str| self.has_type(t);
        let compiler = Compiler {
            options: &self.options,
            has_type: &has_type,
            patient: None,
        };
        let conds = params
            .conditions
            .iter()
            .map(|raw| {
                let mut cond = compiler.compile(rtype, raw)?;
                self.resolve(snapshot, granted, &mut cond)?;
                Ok(cond)
            })
            .collect::<Result<Vec<_>, Failure>>()?;
        let evaluator = Evaluator::new(snapshot, granted, self.config.repo, &self.options);
        let rids = Walk::open(&evaluator, rtype, &conds, Rid(0))?.next(&evaluator, most)?;
        Ok((snapshot.fetch(granted, &rids)?, conds))
    }
}

/// What a page holds.
#[derive(Default)]
struct Found {
    rids: Vec<Rid>,
    /// The Patient view is a match of this page.
    has_patient: bool,
    total: Option<u64>,
    next: Option<Position>,
}

/// What was executed, as an address.
fn self_link(call: &Call, params: &SearchParams) -> String {
    let path = call.path.trim_end_matches('/');
    let path = path
        .strip_suffix("_search")
        .unwrap_or(path)
        .trim_end_matches('/');
    let slash = if path.is_empty() { "" } else { "/" };
    let mut executed = params.executed.clone();
    if params.summary != Summary::Count && !executed.iter().any(|(name, _)| name == "_count") {
        executed.push(("_count".to_owned(), params.page_size().to_string()));
    }
    let query = encode(&executed);
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{}{slash}{path}{mark}{query}", call.base)
}

fn shown_items(
    ready: &Ready,
    records: &[Record],
    included: &Included,
    has_patient: bool,
) -> Vec<String> {
    let patient = ready
        .scope
        .id
        .iter()
        .filter(|_| has_patient || included.patient)
        .map(|id| format!("Patient/{id}"));
    records
        .iter()
        .chain(&included.records)
        .map(|r| format!("{}/{}", r.head.rtype, r.head.id))
        .chain(patient)
        .collect()
}
