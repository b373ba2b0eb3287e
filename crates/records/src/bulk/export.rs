//! `$export`: system, all patients, or a group (FHIR Bulk Data Access).
//!
//! One snapshot is read from beginning to end; its commit time is the manifest's `transactionTime` and a safe next
//! `_since`: what was committed at or before it is in this export, what comes later is in the next one.

use super::files::Lines;
use super::{NDJSON, is_ndjson};
use crate::gate::Caller;
use crate::http::{Answer, Call};
use crate::jobs::{Ended, FileRow, Kind, Outcome, Row, Work};
use crate::operations::{Input, Target, instant, local};
use crate::outcome::Failure;
use crate::params::{RawCondition, SearchParams, decode};
use crate::planner::{Compiler, Cond, Evaluator};
use crate::read::{is_deleted, is_id};
use crate::render::Subset;
use crate::repository::Repository;
use fhir::{Doc, Limits, Pack};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::Ordering::Relaxed;
use store::{
    Granted, Head, HistoryScope, MicrosUtc, Op, PersonKey, PersonRef, Record, RepoId, Rid, Seq,
    Snapshot,
};
use trust::Action;

/// Records read at a time.
const CHUNK: usize = 500;
/// Most patients named in one request or group.
const MAX_PATIENTS: usize = 100_000;
/// Most `_typeFilter` entries.
const MAX_FILTERS: usize = 100;
/// Deepest nesting of groups in groups.
const MAX_NESTED_GROUPS: usize = 5;
/// Entries per Bundle of deletions.
const DELETIONS: usize = 1_000;

/// Whose data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Level {
    /// Everything.
    System,
    /// Every patient's compartment.
    Patients,
    /// These patients' compartments.
    Named(Vec<String>),
    /// The compartments of a group's members.
    Group(String),
}

/// Which Provenance comes along when `_type` leaves it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Associated {
    None,
    Latest,
    Relevant,
}

/// What is to be exported.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Task {
    level: Level,
    /// Of a group: only these of its members.
    only: Option<BTreeSet<String>>,
    types: Option<BTreeSet<String>>,
    since: Option<MicrosUtc>,
    /// Type and query.
    filters: Vec<(String, String)>,
    elements: Vec<String>,
    associated: Associated,
}

const PARAMETERS: &[&str] = &[
    "_outputFormat",
    "_since",
    "_type",
    "_typeFilter",
    "_elements",
    "patient",
    "includeAssociatedData",
];

/// Takes the request; the work is a job.
pub(crate) fn run(
    repository: &Repository,
    call: &Call,
    caller: &Caller,
    target: Target<'_>,
) -> Result<Answer, Failure> {
    if !wants_async(call) {
        return Err(Failure::bad(
            "required",
            "an export is asynchronous: send Prefer: respond-async",
        ));
    }
    let snapshot = repository.snapshot()?;
    let gated = repository.decide(&snapshot, caller, None, Action::Export, &[])?;
    let input = Input::read(call)?;
    input.only(PARAMETERS, call.is_lenient)?;
    let task = Task::read(repository, call, &input, target)?;
    if let Level::Group(id) = &task.level {
        let found = snapshot.read(&gated.granted, repository.config.repo, "Group", id)?;
        match found {
            None => return Err(Failure::not_found()),
            Some(group) if is_deleted(&group) => return Err(Failure::gone()),
            Some(_) => {}
        }
    }
    // What cannot be compiled is told now rather than by the job.
    compiled(repository, &task)?;
    let query = crate::params::encode(&call.query);
    let mark = if query.is_empty() { "" } else { "?" };
    let request = format!("{}/{}{mark}{query}", call.base, call.path);
    let mut row = Row::new(repository, caller, Kind::Export, request);
    row.task = serde_json::to_value(&task).map_err(|_| Failure::internal())?;
    crate::jobs::submit(repository, &row)?;
    Ok(crate::jobs::accepted(call, &row))
}

/// `Prefer: respond-async`.
pub(crate) fn wants_async(call: &Call) -> bool {
    call.headers
        .get_all("prefer")
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split([',', ';']))
        .any(|part| part.trim().eq_ignore_ascii_case("respond-async"))
}

impl Task {
    fn read(
        repository: &Repository,
        call: &Call,
        input: &Input,
        target: Target<'_>,
    ) -> Result<Self, Failure> {
        if let Some(format) = input.one("_outputFormat")? {
            // `+` of a media type written into a URL unescaped arrives as a space.
            if !is_ndjson(&format.replace(' ', "+")) {
                return Err(Failure::bad(
                    "not-supported",
                    format!("_outputFormat must be {NDJSON}"),
                )
                .on("_outputFormat"));
            }
        }
        let since = input
            .one("_since")?
            .map(|text| instant("_since", text))
            .transpose()?;
        let compartment: HashSet<&str> = Pack::r4().compartment_types("Patient").collect();
        let is_of_patients = !matches!(target, Target::System);
        let mut types = BTreeSet::new();
        for rtype in input.list("_type") {
            let is_there = repository.has_type(&rtype);
            let fits = !is_of_patients
                || compartment.contains(rtype.as_str())
                || matches!(rtype.as_str(), "Patient" | "Provenance" | "Group");
            if is_there && fits {
                types.insert(rtype);
            } else if !call.is_lenient {
                return Err(Failure::bad(
                    "value",
                    "_type names a type that is not here, or not of patients",
                )
                .on("_type"));
            }
        }
        let level = match target {
            Target::System => Level::System,
            Target::Instance("Group", id) if is_id(id) => Level::Group(id.to_owned()),
            Target::Type("Patient") => Level::Patients,
            _ => return Err(Failure::not_found()),
        };
        let named = patients(repository, input)?;
        let (level, only) = match (level, named) {
            (level, None) => (level, None),
            (Level::Patients, Some(ids)) => (Level::Named(ids), None),
            (Level::Group(id), Some(ids)) => (Level::Group(id), Some(ids.into_iter().collect())),
            _ => {
                return Err(Failure::bad(
                    "not-supported",
                    "patient is for Patient/$export and Group/[id]/$export",
                )
                .on("patient"));
            }
        };
        let filters = filters(input)?;
        for (rtype, _) in &filters {
            if !repository.has_type(rtype) {
                return Err(
                    Failure::bad("value", "_typeFilter names a type that is not here")
                        .on("_typeFilter"),
                );
            }
        }
        let mut associated = Associated::None;
        for value in input.list("includeAssociatedData") {
            match value.as_str() {
                "LatestProvenanceResources" if associated == Associated::None => {
                    associated = Associated::Latest;
                }
                "LatestProvenanceResources" => {}
                "RelevantProvenanceResources" => associated = Associated::Relevant,
                _ if call.is_lenient => {}
                _ => {
                    return Err(Failure::bad(
                        "value",
                        "includeAssociatedData takes LatestProvenanceResources and RelevantProvenanceResources",
                    )
                    .on("includeAssociatedData"));
                }
            }
        }
        Ok(Self {
            level,
            only,
            types: (!types.is_empty()).then_some(types),
            since,
            filters,
            elements: input.list("_elements"),
            associated,
        })
    }
}

/// Ids named by `patient`: references as text, or `valueReference` of a Parameters body.
fn patients(repository: &Repository, input: &Input) -> Result<Option<Vec<String>>, Failure> {
    let mut texts: Vec<String> = input.list("patient");
    texts.extend(
        input
            .parts("patient")
            .filter_map(|p| p.str_at("valueReference.reference"))
            .map(str::to_owned),
    );
    if texts.is_empty() {
        return Ok(None);
    }
    if texts.len() > MAX_PATIENTS {
        return Err(Failure::too_costly(format!(
            "patient names more than {MAX_PATIENTS} patients"
        )));
    }
    let mut ids = Vec::with_capacity(texts.len());
    for text in &texts {
        match local(repository, text) {
            Some(("Patient", id)) => ids.push(id.to_owned()),
            _ => {
                return Err(
                    Failure::bad("value", "patient takes references to patients here")
                        .on("patient"),
                );
            }
        }
    }
    Ok(Some(ids))
}

fn filters(input: &Input) -> Result<Vec<(String, String)>, Failure> {
    filters_in(input.all("_typeFilter"))
}

/// `_typeFilter`: `Type?query`, several of them separated by commas. A comma inside a query does not precede `Type?`.
fn filters_in<'v>(values: impl Iterator<Item = &'v str>) -> Result<Vec<(String, String)>, Failure> {
    let mut out: Vec<(String, String)> = Vec::new();
    for value in values {
        let mut whole = String::new();
        for piece in value.split(',') {
            let begins = piece
                .split_once('?')
                .is_some_and(|(rtype, _)| Pack::r4().resource_type(rtype.trim()).is_some());
            if begins && !whole.is_empty() {
                out.push(filter(&whole)?);
                whole.clear();
            } else if !whole.is_empty() {
                whole.push(',');
            }
            whole.push_str(piece);
        }
        if !whole.is_empty() {
            out.push(filter(&whole)?);
        }
    }
    if out.len() > MAX_FILTERS {
        return Err(Failure::too_costly(format!(
            "_typeFilter has more than {MAX_FILTERS} entries"
        )));
    }
    Ok(out)
}

fn filter(text: &str) -> Result<(String, String), Failure> {
    text.split_once('?')
        .map(|(rtype, query)| (rtype.trim().to_owned(), query.to_owned()))
        .ok_or_else(|| Failure::bad("value", "_typeFilter takes Type?parameters").on("_typeFilter"))
}

/// Conditions of the filters by type: one of the lists must hold.
fn compiled(
    repository: &Repository,
    task: &Task,
) -> Result<BTreeMap<String, Vec<Vec<Cond>>>, Failure> {
    let has_type = |t: &str| repository.has_type(t);
    let compiler = Compiler {
        options: &repository.options,
        has_type: &has_type,
        patient: None,
    };
    let mut out: BTreeMap<String, Vec<Vec<Cond>>> = BTreeMap::new();
    for (rtype, query) in &task.filters {
        let params = SearchParams::read(&decode(query.as_bytes()))?;
        if params.conditions.is_empty()
            || !params.includes.is_empty()
            || !params.sort.is_empty()
            || params.count.is_some()
        {
            return Err(Failure::bad(
                "value",
                "_typeFilter takes search conditions only, at least one",
            )
            .on("_typeFilter"));
        }
        let conds = params
            .conditions
            .iter()
            .map(|raw: &RawCondition| compiler.compile(rtype, raw))
            .collect::<Result<Vec<_>, _>>()?;
        out.entry(rtype.clone()).or_default().push(conds);
    }
    Ok(out)
}

/// The job.
pub(crate) fn carry_out(work: &Work<'_>, task: &serde_json::Value) -> Result<Outcome, Ended> {
    let task: Task = serde_json::from_value(task.clone()).map_err(|_| Failure::internal())?;
    let repository = work.repository;
    let snapshot = repository.snapshot()?;
    let granted = repository.config.gate.hub_grant();
    let run = Run {
        work,
        task: &task,
        repository,
        repo: repository.config.repo,
        snapshot: &snapshot,
        granted: &granted,
        persons: persons(repository, &snapshot, &granted, &task)?,
        filters: compiled(repository, &task)?,
    };
    run.all()
}

/// Person keys of the patients asked for; `None` = not narrowed to some.
fn persons(
    repository: &Repository,
    snapshot: &Snapshot,
    granted: &Granted,
    task: &Task,
) -> Result<Option<BTreeSet<PersonKey>>, Failure> {
    let ids: Vec<String> = match &task.level {
        Level::System | Level::Patients => return Ok(None),
        Level::Named(ids) => ids.clone(),
        Level::Group(id) => {
            let mut ids = BTreeSet::new();
            let mut seen = BTreeSet::new();
            members(repository, snapshot, granted, id, 0, &mut seen, &mut ids)?;
            ids.into_iter()
                .filter(|id| task.only.as_ref().is_none_or(|only| only.contains(id)))
                .collect()
        }
    };
    let mut persons = BTreeSet::new();
    for id in ids {
        if let PersonRef::Id { system, value } = repository.local_patient(&id)
            && let Some(key) = repository.config.store.person(&system, &value)?
        {
            persons.insert(key);
        }
    }
    Ok(Some(persons))
}

/// Patients of a group, active members only, and of groups in it.
fn members(
    repository: &Repository,
    snapshot: &Snapshot,
    granted: &Granted,
    group: &str,
    depth: usize,
    seen: &mut BTreeSet<String>,
    ids: &mut BTreeSet<String>,
) -> Result<(), Failure> {
    if depth > MAX_NESTED_GROUPS || !seen.insert(group.to_owned()) {
        return Ok(());
    }
    let found = snapshot.read(granted, repository.config.repo, "Group", group)?;
    let Some(record) = found.filter(|r| !is_deleted(r)) else {
        return Ok(());
    };
    let doc = Doc::parse_json(record.body, &Limits::default()).map_err(|_| Failure::internal())?;
    for member in doc.root().all("member") {
        if member.get("inactive").and_then(|n| n.as_bool()) == Some(true) {
            continue;
        }
        let target = member
            .str_at("entity.reference")
            .and_then(|text| local(repository, text));
        match target {
            Some(("Patient", id)) => {
                ids.insert(id.to_owned());
            }
            Some(("Group", id)) => {
                members(repository, snapshot, granted, id, depth + 1, seen, ids)?;
            }
            _ => {}
        }
        if ids.len() > MAX_PATIENTS {
            return Err(Failure::too_costly(format!(
                "the group has more than {MAX_PATIENTS} patients"
            )));
        }
    }
    Ok(())
}

/// An export under way.
struct Run<'a> {
    work: &'a Work<'a>,
    task: &'a Task,
    repository: &'a Repository,
    repo: RepoId,
    snapshot: &'a Snapshot,
    granted: &'a Granted,
    persons: Option<BTreeSet<PersonKey>>,
    filters: BTreeMap<String, Vec<Vec<Cond>>>,
}

impl Run<'_> {
    fn all(&self) -> Result<Outcome, Ended> {
        let of_patients: HashSet<&str> = Pack::r4().compartment_types("Patient").collect();
        let candidates: Vec<&str> = self
            .repository
            .types()
            .into_iter()
            .filter(|t| {
                self.task.level == Level::System || of_patients.contains(t) || *t == "Patient"
            })
            .filter(|t| {
                self.task
                    .types
                    .as_ref()
                    .is_none_or(|types| types.contains(*t))
            })
            .collect();
        let mut of_type = self.rids_of_persons()?;
        let mut output = Vec::new();
        for rtype in candidates {
            self.work.step(0)?;
            let chosen = match (&mut of_type, self.filtered(rtype)?) {
                (Some(of_type), filtered) => {
                    let mut rids = of_type.remove(rtype).unwrap_or_default();
                    if let Some(filtered) = filtered {
                        rids.retain(|rid| filtered.contains(rid));
                    }
                    Some(rids)
                }
                (None, Some(filtered)) => Some(filtered),
                (None, None) => None,
            };
            let mut lines = Lines::new(self.work.folder, "", rtype);
            match chosen {
                Some(rids) => {
                    let rids: Vec<Rid> = rids.into_iter().collect();
                    for chunk in rids.chunks(CHUNK) {
                        self.write(&mut lines, chunk)?;
                    }
                }
                None => {
                    let mut after = Rid(0);
                    loop {
                        let rids = self.snapshot.type_rids(
                            self.granted,
                            self.repo,
                            rtype,
                            after,
                            CHUNK,
                        )?;
                        let Some(last) = rids.last() else { break };
                        after = *last;
                        self.write(&mut lines, &rids)?;
                    }
                }
            }
            output.extend(lines.finish()?);
        }
        if self.task.associated != Associated::None
            && self
                .task
                .types
                .as_ref()
                .is_some_and(|t| !t.contains("Provenance"))
        {
            output.extend(self.provenance()?);
        }
        Ok(Outcome {
            transaction_time: self.snapshot.at(),
            output,
            deleted: self.deleted(&of_patients)?,
            ..Outcome::default()
        })
    }

    /// Records of the patients asked for, by type.
    fn rids_of_persons(&self) -> Result<Option<BTreeMap<String, BTreeSet<Rid>>>, Ended> {
        let Some(persons) = &self.persons else {
            return Ok(None);
        };
        let mut of_type: BTreeMap<String, BTreeSet<Rid>> = BTreeMap::new();
        for person in persons {
            let rids = self.snapshot.compartment(
                self.granted,
                self.repo,
                &BTreeSet::from([*person]),
                usize::MAX,
            )?;
            for chunk in rids.chunks(CHUNK) {
                for head in self.snapshot.heads(self.granted, chunk)? {
                    of_type.entry(head.rtype).or_default().insert(head.rid);
                }
            }
            self.work.step(0)?;
        }
        let total: usize = of_type.values().map(BTreeSet::len).sum();
        self.work.progress.total.store(total as u64, Relaxed);
        Ok(Some(of_type))
    }

    /// Records that one of the type's filters lets through; `None` without filters.
    fn filtered(&self, rtype: &str) -> Result<Option<BTreeSet<Rid>>, Ended> {
        let Some(lists) = self.filters.get(rtype) else {
            return Ok(None);
        };
        let mut rids = BTreeSet::new();
        for conds in lists {
            let evaluator = Evaluator::new(
                self.snapshot,
                self.granted,
                self.repo,
                &self.repository.options,
            );
            rids.extend(evaluator.matching(rtype, conds)?);
            self.work.step(0)?;
        }
        Ok(Some(rids))
    }

    /// Whether a record belongs to the export, filters apart.
    fn wants(&self, head: &Head) -> bool {
        self.task.since.is_none_or(|since| head.at > since) && self.is_of_level(head)
    }

    fn is_of_level(&self, head: &Head) -> bool {
        match (&self.task.level, &self.persons) {
            (Level::System, _) => true,
            (_, Some(persons)) => head.persons.iter().any(|p| persons.contains(p)),
            (_, None) => !head.persons.is_empty(),
        }
    }

    fn write(&self, lines: &mut Lines, rids: &[Rid]) -> Result<(), Ended> {
        let records = self.snapshot.fetch(self.granted, rids)?;
        let subset = Subset {
            elements: self.task.elements.clone(),
            ..Subset::default()
        };
        let mut done = 0;
        for record in &records {
            if self.wants(&record.head) {
                lines.write(&self.repository.rendered(record, None, &subset)?)?;
                done += 1;
            }
        }
        self.work.step(done)
    }

    /// Provenance of what was exported, where its own type was not asked for.
    fn provenance(&self) -> Result<Vec<FileRow>, Ended> {
        let mut latest: BTreeMap<String, (MicrosUtc, Rid)> = BTreeMap::new();
        let mut chosen: BTreeSet<Rid> = BTreeSet::new();
        let mut after = Rid(0);
        loop {
            let rids =
                self.snapshot
                    .type_rids(self.granted, self.repo, "Provenance", after, CHUNK)?;
            let Some(last) = rids.last() else { break };
            after = *last;
            for record in self.snapshot.fetch(self.granted, &rids)? {
                for target in self.targets(&record)? {
                    if self.task.associated == Associated::Relevant {
                        chosen.insert(record.head.rid);
                        break;
                    }
                    let this = (record.head.at, record.head.rid);
                    let slot = latest.entry(target).or_insert(this);
                    *slot = (*slot).max(this);
                }
            }
            self.work.step(0)?;
        }
        chosen.extend(latest.into_values().map(|(_, rid)| rid));
        let mut lines = Lines::new(self.work.folder, "", "Provenance");
        let chosen: Vec<Rid> = chosen.into_iter().collect();
        for chunk in chosen.chunks(CHUNK) {
            for record in self.snapshot.fetch(self.granted, chunk)? {
                lines.write(
                    &self
                        .repository
                        .rendered(&record, None, &Subset::default())?,
                )?;
            }
            self.work.step(chunk.len() as u64)?;
        }
        lines.finish()
    }

    /// What a Provenance is about, as far as it is exported.
    fn targets(&self, record: &Record) -> Result<Vec<String>, Ended> {
        let Ok(doc) = Doc::parse_json(record.body.clone(), &Limits::default()) else {
            return Ok(Vec::new());
        };
        let mut out = Vec::new();
        for target in doc.root().all("target") {
            let Some((rtype, id)) = target
                .str_at("reference")
                .and_then(|text| local(self.repository, text))
            else {
                continue;
            };
            let is_wanted_type = self.task.types.as_ref().is_none_or(|t| t.contains(rtype));
            if !is_wanted_type {
                continue;
            }
            let found = self.snapshot.read(self.granted, self.repo, rtype, id)?;
            if found.is_some_and(|r| !is_deleted(&r) && self.wants(&r.head)) {
                out.push(format!("{rtype}/{id}"));
            }
        }
        Ok(out)
    }

    /// What was deleted since `_since`, as transaction Bundles that delete it elsewhere too.
    fn deleted(&self, of_patients: &HashSet<&str>) -> Result<Vec<FileRow>, Ended> {
        let Some(since) = self.task.since else {
            return Ok(Vec::new());
        };
        let scope = HistoryScope::Repository { repo: self.repo };
        let mut before: Option<Seq> = None;
        let mut seen: HashSet<Rid> = HashSet::new();
        let mut lines = Lines::new(self.work.folder, "deleted-", "Bundle");
        let mut entries = Vec::new();
        'walk: loop {
            let versions = self.snapshot.history(self.granted, &scope, before, CHUNK)?;
            let Some(last) = versions.last() else { break };
            before = Some(last.head.seq);
            for version in &versions {
                let head = &version.head;
                if head.at <= since {
                    break 'walk;
                }
                // The newest version decides; older ones of the same record are passed over.
                if !seen.insert(head.rid) || head.op != Op::Delete {
                    continue;
                }
                let is_wanted = self
                    .task
                    .types
                    .as_ref()
                    .is_none_or(|t| t.contains(&head.rtype))
                    && (self.task.level == Level::System
                        || of_patients.contains(head.rtype.as_str())
                        || head.rtype == "Patient")
                    && self.is_of_level(head);
                if is_wanted {
                    let url = format!("{}/{}", head.rtype, head.id);
                    entries.push(json!({ "request": { "method": "DELETE", "url": url } }));
                }
                if entries.len() >= DELETIONS {
                    write_deletions(&mut lines, &mut entries)?;
                }
            }
            self.work.step(0)?;
        }
        write_deletions(&mut lines, &mut entries)?;
        lines.finish()
    }
}

fn write_deletions(lines: &mut Lines, entries: &mut Vec<serde_json::Value>) -> Result<(), Ended> {
    if entries.is_empty() {
        return Ok(());
    }
    let bundle = json!({
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": std::mem::take(entries),
    });
    lines.write(bundle.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn type_filters_are_taken_apart() {
        let pair = |rtype: &str, query: &str| (rtype.to_owned(), query.to_owned());
        for (value, want) in [
            ("Observation?code=a", vec![pair("Observation", "code=a")]),
            (
                "Observation?code=a,b&status=final,Condition?code=c, Patient?active=true",
                vec![
                    pair("Observation", "code=a,b&status=final"),
                    pair("Condition", "code=c"),
                    pair("Patient", "active=true"),
                ],
            ),
            ("", vec![]),
        ] {
            assert_eq!(filters_in([value].into_iter()).unwrap(), want, "{value}");
        }
        for wrong in ["Observation", "a,b", ",Observation"] {
            assert!(filters_in([wrong].into_iter()).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_type_filter_is_read_or_refused(value in "[A-Za-z?,=&%| ]{0,60}") {
            let _ = filters_in([value.as_str()].into_iter());
        }
    }
}
