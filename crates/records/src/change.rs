//! create, update, delete and their conditional forms (spec/fhir-server.md §2.2-§2.5).
//!
//! Every interaction first becomes a [`Change`] against one snapshot: what to write, on which conditions. The conditions
//! travel with the commit, so a decision made on an old state is never carried out; transactions join many changes.

use crate::gate::{Caller, Gated};
use crate::http::{Answer, Call};
use crate::outcome::Failure;
use crate::params;
use crate::planner::Cond;
use crate::read::{etag, etags, is_deleted, is_id};
use crate::render::{self, SUBSETTED_SYSTEM};
use crate::repository::Repository;
use crate::write::{check, prepare_doc};
use axum::http::{StatusCode, header};
use bytes::Bytes;
use fhir::refs::{Target, compartment};
use fhir::{Doc, Finding, IssueCode};
use registers::FNR_SYSTEM;
use store::{
    Claim, Expect, Granted, IndexKey, Op, PersonRef, Privacy, Put, PutId, Record, Snapshot, Vno,
};
use trust::gather::SubjectRef;
use trust::{Action, Class};

/// How long a conditional create without exact keys keeps others of the same criteria out.
const CONDITIONAL_CLAIM_US: i64 = 2_000_000;
/// Identifier system of the sandbox's own Patients, which are their own persons.
const LOCAL_PATIENT: &str = "urn:helsenav:patient:";

/// What an interaction comes down to.
pub(crate) enum Change {
    /// The record stands already: 200, nothing written.
    Kept(Box<Record>),
    /// There is nothing to delete: 204.
    Nothing,
    /// One put.
    Write(Box<Write>),
}

/// A put with its conditions.
pub(crate) struct Write {
    pub put: Put,
    pub expect: Vec<Expect>,
    pub status: StatusCode,
    /// What the caller made its demand on: a lost race is then 412.
    pub is_guarded: bool,
    pub warnings: Vec<Finding>,
}

/// Criteria of a conditional request.
pub(crate) type Criteria = [(String, String)];

/// Preconditions of a write.
#[derive(Clone, Debug, Default)]
pub(crate) struct Preconditions {
    pub if_match: Option<String>,
    pub if_none_match: Option<String>,
    pub if_none_exist: Option<String>,
}

impl Preconditions {
    fn of(call: &Call) -> Self {
        let text = |name: &str| call.header(name).map(str::to_owned);
        Self {
            if_match: text("if-match"),
            if_none_match: text("if-none-match"),
            if_none_exist: text("if-none-exist"),
        }
    }
}

impl Repository {
    pub(crate) fn create(
        &self,
        call: &Call,
        caller: &Caller,
        rtype: &str,
    ) -> Result<Answer, Failure> {
        self.require_writable(rtype)?;
        let doc = call.document()?;
        let preconditions = Preconditions::of(call);
        let gated = self.may_write(caller, Some(&doc), Action::Create)?;
        self.retried(call, &gated, |snapshot| {
            self.plan_create(
                snapshot,
                caller,
                &gated.granted,
                rtype,
                &doc,
                &preconditions,
                None,
            )
        })
    }

    pub(crate) fn update(
        &self,
        call: &Call,
        caller: &Caller,
        rtype: &str,
        id: &str,
    ) -> Result<Answer, Failure> {
        self.require_writable(rtype)?;
        let doc = call.document()?;
        let preconditions = Preconditions::of(call);
        let gated = if self.is_clinical() {
            self.may_change(caller, rtype, id)?;
            self.may_write(caller, Some(&doc), Action::Update)?
        } else {
            self.may_write(caller, None, Action::Update)?
        };
        self.retried(call, &gated, |snapshot| {
            self.plan_update(
                snapshot,
                caller,
                &gated.granted,
                rtype,
                id,
                &doc,
                &preconditions,
            )
        })
    }

    pub(crate) fn delete(
        &self,
        call: &Call,
        caller: &Caller,
        rtype: &str,
        id: &str,
    ) -> Result<Answer, Failure> {
        self.require_open(rtype)?;
        let preconditions = Preconditions::of(call);
        let gated = self.may_write(caller, None, Action::Delete)?;
        self.retried(call, &gated, |snapshot| {
            self.plan_delete(snapshot, &gated.granted, rtype, id, &preconditions)
        })
    }

    pub(crate) fn update_matching(
        &self,
        call: &Call,
        caller: &Caller,
        rtype: &str,
    ) -> Result<Answer, Failure> {
        self.require_open(rtype)?;
        let doc = call.document()?;
        let preconditions = Preconditions::of(call);
        let gated = self.may_write(caller, None, Action::Update)?;
        self.retried(call, &gated, |snapshot| {
            self.plan_update_matching(
                snapshot,
                caller,
                &gated.granted,
                rtype,
                &call.query,
                &doc,
                &preconditions,
            )
        })
    }

    pub(crate) fn delete_matching(
        &self,
        call: &Call,
        caller: &Caller,
        rtype: &str,
    ) -> Result<Answer, Failure> {
        self.require_open(rtype)?;
        let preconditions = Preconditions::of(call);
        let gated = self.may_write(caller, None, Action::Delete)?;
        self.retried(call, &gated, |snapshot| {
            self.plan_delete_matching(snapshot, &gated.granted, rtype, &call.query, &preconditions)
        })
    }

    /// Writes from outside are taken at all.
    fn require_writable(&self, rtype: &str) -> Result<(), Failure> {
        let is_view = self.is_clinical() && rtype == "Patient";
        if is_view || (self.is_clinical() && self.config.columns.is_none()) {
            return Err(Failure::method("GET, HEAD"));
        }
        Ok(())
    }

    /// Interactions that only open repositories have.
    fn require_open(&self, rtype: &str) -> Result<(), Failure> {
        if self.is_clinical() {
            self.require_writable(rtype)?;
            return Err(Failure::method("GET, HEAD, POST, PUT"));
        }
        Ok(())
    }

    /// A record to be changed must be visible; hidden and unknown ids are one (spec/privacy.md §4.2).
    fn may_change(&self, caller: &Caller, rtype: &str, id: &str) -> Result<(), Failure> {
        let snapshot = self.snapshot()?;
        let gated = self.decide_by_id(&snapshot, caller, rtype, id, Action::Read)?;
        let found = snapshot.read(&gated.granted, self.config.repo, rtype, id)?;
        if found.is_some_and(|r| !is_deleted(&r)) {
            return Ok(());
        }
        self.record(&gated, &[])?;
        Err(Failure::not_found())
    }

    /// Decides on a write. In clinical repositories the document names the patient and gives the class.
    fn may_write(
        &self,
        caller: &Caller,
        doc: Option<&Doc>,
        action: Action,
    ) -> Result<Gated, Failure> {
        let snapshot = self.snapshot()?;
        let (Some(doc), true) = (doc, self.is_clinical()) else {
            return self.decide(&snapshot, caller, None, action, &[]);
        };
        let privacy = self.columns_of(doc, caller)?;
        let class = Class::from_code(privacy.class).ok_or_else(Failure::internal)?;
        let persons = self.persons_of(doc);
        let subject = match persons.first() {
            Some(PersonRef::Id { value, .. }) => SubjectRef::Nin(value.clone()),
            Some(PersonRef::Key(key)) => SubjectRef::Key(*key),
            None => {
                return Err(Failure::findings(&[Finding::error(
                    IssueCode::Required,
                    "subject",
                    "the resource must name its patient by national id",
                )
                .on(doc.resource_type())]));
            }
        };
        self.decide(&snapshot, caller, Some(subject), action, &[class])
    }

    fn columns_of(&self, doc: &Doc, caller: &Caller) -> Result<Privacy, Failure> {
        match &self.config.columns {
            Some(columns) => columns
                .columns(doc, caller)
                .map_err(|findings| Failure::findings(&findings)),
            None => Ok(Privacy::default()),
        }
    }

    /// Persons whose record this is, the subject first (spec/fhir-server.md §8).
    fn persons_of(&self, doc: &Doc) -> Vec<PersonRef> {
        let mut persons = Vec::new();
        for target in compartment("Patient", doc, &self.options.own_bases) {
            let person = match target {
                Target::Identifier { system, value, .. } => {
                    let system = if system.is_empty() {
                        FNR_SYSTEM.to_owned()
                    } else {
                        system
                    };
                    Some(PersonRef::id(system, value))
                }
                Target::Local { id, .. } if self.is_clinical() => {
                    self.person_of_patient_id(&id).map(PersonRef::Key)
                }
                Target::Local { id, .. } => Some(self.local_patient(&id)),
                _ => None,
            };
            persons.extend(person.filter(|p| !persons.contains(p)));
        }
        persons
    }

    fn local_patient(&self, id: &str) -> PersonRef {
        PersonRef::id(format!("{LOCAL_PATIENT}{}", self.config.name), id)
    }

    fn put(
        &self,
        caller: &Caller,
        rtype: &str,
        id: PutId,
        op: Op,
        doc: &Doc,
    ) -> Result<(Put, Vec<Finding>), Failure> {
        let is_subset = doc.root().all("meta").any(|meta| {
            meta.all("tag").any(|tag| {
                tag.str_at("code") == Some("SUBSETTED")
                    && tag.str_at("system") == Some(SUBSETTED_SYSTEM)
            })
        });
        if is_subset {
            return Err(Failure::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "business-rule",
                "the resource is tagged SUBSETTED: storing it would lose what was left out",
            )
            .on(format!("{rtype}.meta.tag")));
        }
        if doc.resource_type() != rtype {
            return Err(
                Failure::bad("invalid", format!("resourceType must be {rtype} here"))
                    .on("resourceType"),
            );
        }
        let warnings: Vec<Finding> = check(doc).into_iter().filter(|f| !f.is_error()).collect();
        let mut put = prepare_doc(self.config.repo, rtype, id, op, doc, Some(&self.options))
            .map_err(|findings| Failure::findings(&findings))?;
        put.persons = self.persons_of(doc);
        if let (PutId::Given(id), "Patient", false) = (&put.id, rtype, self.is_clinical()) {
            // The document may carry another id, or none; the one it is stored under counts.
            put.persons = vec![self.local_patient(id)];
        }
        put.privacy = self.columns_of(doc, caller)?;
        Ok((put, warnings))
    }

    /// `fixed_id`: the id to give (open repositories), else the store makes one.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn plan_create(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        granted: &Granted,
        rtype: &str,
        doc: &Doc,
        preconditions: &Preconditions,
        fixed_id: Option<&str>,
    ) -> Result<Change, Failure> {
        let mut expect = Vec::new();
        if let Some(text) = &preconditions.if_none_exist {
            let criteria = params::decode(text.trim_start_matches('?').as_bytes());
            let (records, conds) = self.matching_criteria(snapshot, granted, rtype, &criteria)?;
            match records.as_slice() {
                [] => expect.push(self.nobody_else(rtype, text, &conds, granted)),
                [one] => return Ok(Change::Kept(Box::new(one.clone()))),
                _ => return Err(multiple_matches()),
            }
        }
        let id = match fixed_id {
            Some(id) => PutId::Given(id.to_owned()),
            // A Patient of the sandbox is its own person, so its id must be known when its keys are made.
            None if rtype == "Patient" && !self.is_clinical() => {
                PutId::Given(uuid::Uuid::now_v7().to_string())
            }
            None => PutId::New,
        };
        let (put, warnings) = self.put(caller, rtype, id, Op::Create, doc)?;
        Ok(Change::Write(Box::new(Write {
            put,
            expect,
            status: StatusCode::CREATED,
            is_guarded: false,
            warnings,
        })))
    }

    /// The condition that keeps two racing conditional creates from both happening: exact keys where the criteria are
    /// exact, else a short claim of the criteria.
    fn nobody_else(
        &self,
        rtype: &str,
        criteria: &str,
        conds: &[Cond],
        granted: &Granted,
    ) -> Expect {
        let keys: Option<Vec<IndexKey>> = conds.iter().map(exact_key).collect();
        match keys {
            Some(keys) => Expect::NoMatch {
                repo: self.config.repo,
                keys,
                author_org: None,
                filter: granted.filter().clone(),
            },
            None => Expect::Claim(Claim {
                space: format!("if-none-exist/{}", self.config.name),
                key: store::sha256(format!("{rtype}?{criteria}").as_bytes()).to_vec(),
                value: Vec::new(),
                until: Some(edge::clock::real_now_us() + CONDITIONAL_CLAIM_US),
            }),
        }
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) fn plan_update(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        granted: &Granted,
        rtype: &str,
        id: &str,
        doc: &Doc,
        preconditions: &Preconditions,
    ) -> Result<Change, Failure> {
        if !is_id(id) {
            return Err(Failure::bad(
                "value",
                "the id in the address is not a FHIR id",
            ));
        }
        if doc.id() != Some(id) {
            return Err(
                Failure::bad("invalid", "the resource must carry the id of the address")
                    .on(format!("{rtype}.id")),
            );
        }
        let found = snapshot.read(granted, self.config.repo, rtype, id)?;
        let current = found.as_ref().filter(|r| !is_deleted(r));
        if_match(preconditions, current)?;
        if let (Some(text), Some(_)) = (&preconditions.if_none_match, current)
            && etags(text)?.is_none()
        {
            return Err(Failure::precondition("conflict", "the resource exists"));
        }
        let given = PutId::Given(id.to_owned());
        let (op, expect, status) = match current {
            Some(record) => {
                if is_same(record, doc, id) && doc.resource_type() == rtype {
                    return Ok(Change::Kept(Box::new(record.clone())));
                }
                (
                    Op::Update,
                    self.expect_version(rtype, id, record.head.vno),
                    StatusCode::OK,
                )
            }
            None if self.is_clinical() => return Err(Failure::not_found()),
            None => (
                Op::Create,
                Expect::Absent {
                    repo: self.config.repo,
                    rtype: rtype.to_owned(),
                    id: id.to_owned(),
                },
                StatusCode::CREATED,
            ),
        };
        let (put, warnings) = self.put(caller, rtype, given, op, doc)?;
        Ok(Change::Write(Box::new(Write {
            put,
            expect: vec![expect],
            status,
            is_guarded: preconditions.if_match.is_some(),
            warnings,
        })))
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) fn plan_update_matching(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        granted: &Granted,
        rtype: &str,
        criteria: &Criteria,
        doc: &Doc,
        preconditions: &Preconditions,
    ) -> Result<Change, Failure> {
        let (records, conds) = self.matching_criteria(snapshot, granted, rtype, criteria)?;
        match records.as_slice() {
            [] => {
                if preconditions.if_match.is_some() {
                    return Err(stale(None));
                }
                if let Some(id) = doc.id() {
                    let taken = snapshot.read(granted, self.config.repo, rtype, id)?;
                    if taken.is_some_and(|r| !is_deleted(&r)) {
                        return Err(Failure::new(
                            StatusCode::CONFLICT,
                            "conflict",
                            "nothing matches, but the resource's id is taken",
                        ));
                    }
                    return self.plan_update(
                        snapshot,
                        caller,
                        granted,
                        rtype,
                        id,
                        doc,
                        preconditions,
                    );
                }
                let text = params::encode(criteria);
                let change = self.plan_create(
                    snapshot,
                    caller,
                    granted,
                    rtype,
                    doc,
                    &Preconditions::default(),
                    None,
                )?;
                Ok(match change {
                    Change::Write(mut write) => {
                        write
                            .expect
                            .push(self.nobody_else(rtype, &text, &conds, granted));
                        Change::Write(write)
                    }
                    other => other,
                })
            }
            [one] => {
                let id = one.head.id.clone();
                let same_id;
                let doc = match doc.id() {
                    Some(given) if given != id => {
                        return Err(Failure::bad(
                            "invalid",
                            "the resource's id is not that of the match",
                        )
                        .on(format!("{rtype}.id")));
                    }
                    Some(_) => doc,
                    None => {
                        same_id = with_id(doc, &id)?;
                        &same_id
                    }
                };
                self.plan_update(snapshot, caller, granted, rtype, &id, doc, preconditions)
            }
            _ => Err(multiple_matches()),
        }
    }

    pub(crate) fn plan_delete(
        &self,
        snapshot: &Snapshot,
        granted: &Granted,
        rtype: &str,
        id: &str,
        preconditions: &Preconditions,
    ) -> Result<Change, Failure> {
        let found = if is_id(id) {
            snapshot.read(granted, self.config.repo, rtype, id)?
        } else {
            None
        };
        let current = found.as_ref().filter(|r| !is_deleted(r));
        if_match(preconditions, current)?;
        let Some(record) = current else {
            return Ok(Change::Nothing);
        };
        let put = crate::write::prepare(
            self.config.repo,
            rtype,
            PutId::Given(id.to_owned()),
            Op::Delete,
            Bytes::new(),
            record
                .head
                .persons
                .iter()
                .copied()
                .map(PersonRef::Key)
                .collect(),
            record.head.privacy.clone(),
            Vec::new(),
        )
        .map_err(|findings| Failure::findings(&findings))?;
        Ok(Change::Write(Box::new(Write {
            put,
            expect: vec![self.expect_version(rtype, id, record.head.vno)],
            status: StatusCode::NO_CONTENT,
            is_guarded: preconditions.if_match.is_some(),
            warnings: Vec::new(),
        })))
    }

    pub(crate) fn plan_delete_matching(
        &self,
        snapshot: &Snapshot,
        granted: &Granted,
        rtype: &str,
        criteria: &Criteria,
        preconditions: &Preconditions,
    ) -> Result<Change, Failure> {
        let (records, _) = self.matching_criteria(snapshot, granted, rtype, criteria)?;
        match records.as_slice() {
            [] => Ok(Change::Nothing),
            [one] => self.plan_delete(snapshot, granted, rtype, &one.head.id, preconditions),
            _ => Err(multiple_matches()),
        }
    }

    fn expect_version(&self, rtype: &str, id: &str, vno: Vno) -> Expect {
        Expect::Version {
            repo: self.config.repo,
            rtype: rtype.to_owned(),
            id: id.to_owned(),
            vno,
        }
    }
}

/// The one index key that a condition asks for, when it asks for exactly one.
fn exact_key(cond: &Cond) -> Option<IndexKey> {
    let Cond::Query { query, param, .. } = cond else {
        return None;
    };
    let is_shared = matches!(param.base.as_ref(), "Resource" | "DomainResource");
    match query.ranges.as_slice() {
        [range] if !query.negate && !query.recheck && range.filter.is_none() && !is_shared => {
            let mut end = range.from.clone();
            end.push(0);
            (range.to.as_ref() == Some(&end)).then(|| IndexKey {
                param: range.param,
                value: range.from.clone(),
            })
        }
        _ => None,
    }
}

fn if_match(preconditions: &Preconditions, current: Option<&Record>) -> Result<(), Failure> {
    let Some(text) = &preconditions.if_match else {
        return Ok(());
    };
    let tags = etags(text)?;
    match (current, tags) {
        (Some(_), None) => Ok(()),
        (Some(record), Some(tags)) if tags.contains(&record.head.vno.0.to_string()) => Ok(()),
        (current, _) => Err(stale(current.map(|r| r.head.vno))),
    }
}

pub(crate) fn stale(newest: Option<Vno>) -> Failure {
    let mut failure = Failure::precondition(
        "conflict",
        "If-Match does not name the current version; read it again",
    );
    if let Some(value) = newest.and_then(|v| header::HeaderValue::from_str(&etag(v)).ok()) {
        failure.headers.push((header::ETAG, value));
    }
    failure
}

fn multiple_matches() -> Failure {
    Failure::precondition(
        "multiple-matches",
        "the criteria match more than one resource",
    )
}

pub(crate) fn wrong_type(rtype: &str) -> Finding {
    Finding::error(
        IssueCode::Invalid,
        "resource-type",
        format!("resourceType must be {rtype} here"),
    )
    .on("resourceType")
}

/// Whether the content is what is stored already, the server's own values aside.
fn is_same(record: &Record, doc: &Doc, id: &str) -> bool {
    let normal = |body: &[u8]| {
        fhir::build::splice_meta(body, id, "0", "0")
            .ok()
            .map(|b| compact(&b))
    };
    match (normal(&record.body), normal(doc.bytes())) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

/// JSON without white space between tokens.
fn compact(json: &[u8]) -> Vec<u8> {
    let (mut in_string, mut escaped) = (false, false);
    json.iter()
        .copied()
        .filter(|b| {
            if in_string {
                (in_string, escaped) = match b {
                    _ if escaped => (true, false),
                    b'\\' => (true, true),
                    b'"' => (false, false),
                    _ => (true, false),
                };
                return true;
            }
            in_string = *b == b'"';
            !matches!(b, b' ' | b'\n' | b'\r' | b'\t')
        })
        .collect()
}

/// The document with this id.
pub(crate) fn with_id(doc: &Doc, id: &str) -> Result<Doc, Failure> {
    let bytes = fhir::build::splice_meta(doc.bytes(), id, "1", &render::instant(0))
        .map_err(|_| Failure::internal())?;
    Doc::parse_json(bytes, &fhir::Limits::default()).map_err(|f| Failure::findings(&f))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_between_tokens_does_not_count() {
        assert_eq!(
            compact(br#"{ "a" : "b \" c", "d":[ 1.0 ] }"#),
            br#"{"a":"b \" c","d":[1.0]}"#
        );
    }
}
