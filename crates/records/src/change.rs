//! create, update, patch, delete and their conditional forms as HTTP has them (spec/fhir-server.md §2.2-§2.6).
//!
//! Every interaction first becomes a [`Change`] against one snapshot (`plan`): what to write, on which conditions; then it
//! is carried out (`carry`). Transactions join many changes.

use crate::gate::{Caller, Gated};
use crate::http::{Answer, Call};
use crate::outcome::Failure;
use crate::params;
use crate::patch::Patch;
use crate::plan::Plan;
use crate::provenance::Provenance;
use crate::read::is_deleted;
use crate::render::{self, SUBSETTED_SYSTEM};
use crate::repository::Repository;
use crate::write::prepare_checked;
use axum::http::StatusCode;
use fhir::refs::{Target, compartment};
use fhir::{Doc, Finding, IssueCode, Severity};
use registers::FNR_SYSTEM;
use store::{Expect, Op, PersonRef, Privacy, Put, PutId, Record, Vno};
use trust::gather::SubjectRef;
use trust::{Action, Class};

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
    /// Several deletions by one set of criteria: all or none.
    Deletes(Vec<Write>),
}

/// A put with its conditions.
pub(crate) struct Write {
    pub put: Put,
    /// Puts that belong to it: its Provenance.
    pub also: Vec<Put>,
    pub expect: Vec<Expect>,
    pub status: StatusCode,
    /// Number that the new version will have.
    pub version: Vno,
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
    /// Reads the headers; 400 when one is no text, since a precondition that is passed over is none.
    fn of(call: &Call) -> Result<Self, Failure> {
        let text = |name: &'static str| match (call.header(name), call.headers.contains_key(name)) {
            (None, true) => Err(Failure::bad(
                "value",
                format!("the header {name} is not UTF-8; escape it as in a URL"),
            )),
            (text, _) => Ok(text.map(str::to_owned)),
        };
        Ok(Self {
            if_match: text("if-match")?,
            if_none_match: text("if-none-match")?,
            if_none_exist: text("if-none-exist")?,
        })
    }
}

/// Search conditions of an address, without what steers the answer.
fn criteria_of(query: &[(String, String)]) -> Vec<(String, String)> {
    query
        .iter()
        .filter(|(name, _)| !params::is_result_parameter(name))
        .cloned()
        .collect()
}

/// Whether the address of a create carries search conditions.
pub(crate) fn has_criteria(query: &[(String, String)]) -> bool {
    query
        .iter()
        .any(|(name, _)| !params::is_result_parameter(name))
}

impl Repository {
    pub(crate) fn create(
        &self,
        call: &Call,
        caller: &Caller,
        rtype: &str,
    ) -> Result<Answer, Failure> {
        self.require_writable(rtype)?;
        let doc = call.resource(rtype, None)?;
        let mut preconditions = Preconditions::of(call)?;
        // Criteria in the address of a create mean the same as in the header: left out, they would let doubles in.
        if preconditions.if_none_exist.is_none() && has_criteria(&call.query) {
            preconditions.if_none_exist = Some(params::encode(&criteria_of(&call.query)));
        }
        let provenance = Provenance::of(self, call)?;
        let gated = self.may_write(caller, Some(&doc), Action::Create)?;
        // A Provenance names its target, so the id must be known before.
        let id = provenance
            .as_ref()
            .map(|_| uuid::Uuid::now_v7().to_string());
        self.retried(call, caller, &gated, |at| {
            let change = self.plan_create(at, rtype, &doc, &preconditions, id.as_deref())?;
            self.with_provenance(at, change, provenance.as_ref())
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
        let doc = call.resource(rtype, Some(id))?;
        let preconditions = Preconditions::of(call)?;
        let provenance = Provenance::of(self, call)?;
        let gated = if self.is_clinical() {
            self.may_change(caller, rtype, id)?;
            self.may_write(caller, Some(&doc), Action::Update)?
        } else {
            self.may_write(caller, None, Action::Update)?
        };
        self.retried(call, caller, &gated, |at| {
            let change = self.plan_update(at, rtype, id, &doc, &preconditions)?;
            self.with_provenance(at, change, provenance.as_ref())
        })
    }

    /// Carries out a change of an open repository, under its conditions and with its Provenance.
    fn changed(
        &self,
        call: &Call,
        caller: &Caller,
        plan: impl Fn(Plan<'_>, &Preconditions) -> Result<Change, Failure>,
    ) -> Result<Answer, Failure> {
        let preconditions = Preconditions::of(call)?;
        let provenance = Provenance::of(self, call)?;
        let gated = self.may_write(caller, None, Action::Update)?;
        self.retried(call, caller, &gated, |at| {
            let change = plan(at, &preconditions)?;
            self.with_provenance(at, change, provenance.as_ref())
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
        self.changed(call, caller, |at, preconditions| {
            self.plan_update_matching(at, rtype, &call.query, &doc, preconditions)
        })
    }

    /// PATCH is for open repositories: a patched clinical record would have to be decided on twice, before and after.
    pub(crate) fn patch(
        &self,
        call: &Call,
        caller: &Caller,
        rtype: &str,
        id: &str,
    ) -> Result<Answer, Failure> {
        self.require_open(rtype)?;
        let patch = Patch::of_body(call.media_type(), &call.body, || call.document())?;
        self.changed(call, caller, |at, preconditions| {
            self.plan_patch(at, rtype, id, &patch, preconditions, Ok)
        })
    }

    pub(crate) fn patch_matching(
        &self,
        call: &Call,
        caller: &Caller,
        rtype: &str,
    ) -> Result<Answer, Failure> {
        self.require_open(rtype)?;
        let patch = Patch::of_body(call.media_type(), &call.body, || call.document())?;
        self.changed(call, caller, |at, preconditions| {
            let id = self.patch_target(at, rtype, &call.query)?;
            self.plan_patch(at, rtype, &id, &patch, preconditions, Ok)
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
        let preconditions = Preconditions::of(call)?;
        let gated = self.may_write(caller, None, Action::Delete)?;
        self.retried(call, caller, &gated, |at| {
            self.plan_delete(at, rtype, id, &preconditions)
        })
    }

    pub(crate) fn delete_matching(
        &self,
        call: &Call,
        caller: &Caller,
        rtype: &str,
    ) -> Result<Answer, Failure> {
        self.require_open(rtype)?;
        let preconditions = Preconditions::of(call)?;
        let gated = self.may_write(caller, None, Action::Delete)?;
        self.retried(call, caller, &gated, |at| {
            self.plan_delete_matching(at, rtype, &call.query, &preconditions)
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

    pub(crate) fn local_patient(&self, id: &str) -> PersonRef {
        PersonRef::id(format!("{LOCAL_PATIENT}{}", self.config.name), id)
    }

    pub(crate) fn put(
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
        crate::subscriptions::check(self, doc, op)?;
        let (mut put, mut warnings) =
            prepare_checked(self.config.repo, rtype, id, op, doc, Some(&self.options))
                .map_err(|findings| Failure::findings(&findings))?;
        let mut content = self.check_content(doc)?;
        content.retain(|f| f.severity <= Severity::Warning);
        if content.iter().any(Finding::is_error) {
            return Err(Failure::findings(&content));
        }
        warnings.extend(content);
        put.persons = self.persons_of(doc);
        if let (PutId::Given(id), "Patient", false) = (&put.id, rtype, self.is_clinical()) {
            // The document may carry another id, or none; the one it is stored under counts.
            put.persons = vec![self.local_patient(id)];
        }
        put.privacy = self.columns_of(doc, caller)?;
        self.permit_content(caller, &put, doc)?;
        Ok((put, warnings))
    }
}

pub(crate) fn wrong_type(rtype: &str) -> Finding {
    Finding::error(
        IssueCode::Invalid,
        "resource-type",
        format!("resourceType must be {rtype} here"),
    )
    .on("resourceType")
}

/// The document with this id.
pub(crate) fn with_id(doc: &Doc, id: &str) -> Result<Doc, Failure> {
    let bytes = fhir::build::splice_meta(doc.bytes(), id, "1", &render::instant(0))
        .map_err(|_| Failure::internal())?;
    Doc::parse_json(bytes, &fhir::Limits::default()).map_err(|f| Failure::findings(&f))
}
