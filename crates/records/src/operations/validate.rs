//! `$validate`: 200 with the verdict, whatever it is; 4xx only when the operation itself cannot run (spec/fhir-server.md §5).

use super::Target;
use crate::change::wrong_type;
use crate::gate::Caller;
use crate::http::{Answer, Call};
use crate::outcome::Failure;
use crate::read::is_deleted;
use crate::repository::Repository;
use axum::http::StatusCode;
use bytes::Bytes;
use fhir::profile::Asked;
use fhir::{Doc, Finding, IssueCode};

/// Most profiles that one call may name.
const MAX_PROFILES: usize = 20;

/// What the resource is meant for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Nothing in particular.
    General,
    Create,
    Update,
    Delete,
    /// The stored resource (or the one given) against the profile.
    Profile,
}

struct Wish {
    mode: Mode,
    profiles: Vec<String>,
    /// The resource given.
    resource: Option<Doc>,
}

pub(crate) fn run(
    repository: &Repository,
    call: &Call,
    caller: &Caller,
    target: Target<'_>,
) -> Result<Answer, Failure> {
    let wish = match wish(call, target)? {
        Ok(wish) => wish,
        // What cannot be read is a verdict too.
        Err(unreadable) => return Ok(verdict(&unreadable)),
    };
    if wish.mode == Mode::Profile && wish.profiles.is_empty() {
        return Err(
            Failure::bad("required", "mode profile needs the parameter profile").on("profile"),
        );
    }
    if wish.mode == Mode::Delete {
        return delete(repository, caller, target);
    }
    let doc = match (wish.resource, target) {
        (Some(doc), _) => doc,
        (None, Target::Instance(rtype, id)) => stored(repository, caller, rtype, id)?,
        (None, _) => {
            return Err(Failure::bad(
                "required",
                "a resource is needed, as the body or as the parameter resource",
            )
            .on("resource"));
        }
    };
    let required = repository.config.checks.required.get(doc.resource_type());
    let profiles: Vec<&str> = wish
        .profiles
        .iter()
        .chain(required.into_iter().flatten())
        .map(String::as_str)
        .collect();
    let asked = Asked {
        profiles: &profiles,
        declared: true,
        extensions: true,
    };
    let mut findings = repository.validating(|v| v.check(&doc, &asked))?;
    findings.extend(fitting(&doc, wish.mode, target));
    Ok(verdict(&findings))
}

fn verdict(findings: &[Finding]) -> Answer {
    Answer::resource(
        StatusCode::OK,
        Bytes::from(fhir::outcome(findings).to_string()),
    )
}

/// Reads the call: parameters of the address, and a body that is the resource itself or Parameters around it. The inner
/// error is the verdict on a body that cannot be read.
fn wish(call: &Call, target: Target<'_>) -> Result<Result<Wish, Vec<Finding>>, Failure> {
    let mut mode = None;
    let mut profiles = Vec::new();
    for (name, value) in &call.query {
        match name.as_str() {
            "mode" => mode = Some(value.clone()),
            "profile" => profiles.push(value.clone()),
            "_format" | "_pretty" => {}
            _ => {
                return Err(Failure::bad(
                    "not-supported",
                    "$validate has the parameters resource, mode and profile",
                ));
            }
        }
    }
    let mut resource = None;
    if !call.body.is_empty() {
        let doc = match call.read_document()? {
            Ok(doc) => doc,
            Err(findings) => return Ok(Err(findings)),
        };
        let is_wrapped = doc.resource_type() == "Parameters"
            && (target.rtype() != Some("Parameters")
                || doc
                    .root()
                    .all("parameter")
                    .any(|p| p.str_at("name") == Some("resource")));
        if is_wrapped {
            for p in doc.root().all("parameter") {
                let value = p.fields().find(|f| f.name().starts_with("value"));
                let text = value.and_then(|v| v.as_str());
                match (p.str_at("name"), text) {
                    (Some("mode"), Some(text)) => mode = Some(text.to_owned()),
                    (Some("profile"), Some(text)) => profiles.push(text.to_owned()),
                    (Some("resource"), _) => {
                        if let Some(inner) = p.get("resource") {
                            resource = doc.part(inner);
                        }
                        if resource.is_none() {
                            return Err(Failure::bad(
                                "required",
                                "the parameter resource holds no resource",
                            )
                            .on("resource"));
                        }
                    }
                    (Some("mode" | "profile"), None) => {
                        return Err(Failure::bad("value", "mode and profile are texts"));
                    }
                    _ => {
                        return Err(Failure::bad(
                            "not-supported",
                            "$validate has the parameters resource, mode and profile",
                        ));
                    }
                }
            }
        } else {
            resource = Some(doc);
        }
    }
    if profiles.len() > MAX_PROFILES {
        return Err(Failure::too_costly(format!(
            "a call may name at most {MAX_PROFILES} profiles"
        )));
    }
    let mode = match mode.as_deref() {
        None => Mode::General,
        Some("create") => Mode::Create,
        Some("update") => Mode::Update,
        Some("delete") => Mode::Delete,
        Some("profile") => Mode::Profile,
        Some(_) => {
            return Err(
                Failure::bad("value", "mode is create, update, delete or profile").on("mode"),
            );
        }
    };
    Ok(Ok(Wish {
        mode,
        profiles,
        resource,
    }))
}

/// Whether the resource fits the address and what is meant to be done with it.
fn fitting(doc: &Doc, mode: Mode, target: Target<'_>) -> Option<Finding> {
    if let Some(rtype) = target.rtype()
        && doc.resource_type() != rtype
    {
        return Some(wrong_type(rtype));
    }
    let at = || format!("{}.id", doc.resource_type());
    match (mode, target, doc.id()) {
        (Mode::Update, _, None) => Some(
            Finding::error(IssueCode::Required, "update-id", "an update needs the id").on(at()),
        ),
        (Mode::Update | Mode::General, Target::Instance(_, id), Some(own)) if own != id => Some(
            Finding::error(
                IssueCode::Value,
                "update-id",
                "the id is another than that of the address",
            )
            .on(at()),
        ),
        _ => None,
    }
}

/// The stored resource of an instance-level call. Open repositories only: elsewhere a look at a record is a read, and is
/// asked for as one.
fn stored(repository: &Repository, caller: &Caller, rtype: &str, id: &str) -> Result<Doc, Failure> {
    if repository.is_clinical() {
        return Err(Failure::bad(
            "required",
            "a resource is needed, as the body or as the parameter resource",
        )
        .on("resource"));
    }
    let snapshot = repository.snapshot()?;
    let gated = repository.decide_by_id(&snapshot, caller, rtype, id, trust::Action::Read)?;
    let record = snapshot
        .read(&gated.granted, repository.config.repo, rtype, id)?
        .ok_or_else(Failure::not_found)?;
    if is_deleted(&record) {
        return Err(Failure::gone());
    }
    Doc::parse_json(record.body, &fhir::Limits::default()).map_err(|_| Failure::internal())
}

/// Mode `delete`: whether the resource is there to be deleted.
fn delete(repository: &Repository, caller: &Caller, target: Target<'_>) -> Result<Answer, Failure> {
    let Target::Instance(rtype, id) = target else {
        return Err(Failure::bad(
            "invalid",
            "mode delete is asked on an instance: [type]/[id]/$validate",
        )
        .on("mode"));
    };
    if repository.is_clinical() {
        return Ok(verdict(&[Finding::error(
            IssueCode::NotSupported,
            "delete",
            "records cannot be deleted here",
        )]));
    }
    match stored(repository, caller, rtype, id) {
        Ok(_) => Ok(verdict(&[])),
        Err(failure) if matches!(failure.status, StatusCode::NOT_FOUND | StatusCode::GONE) => {
            Ok(verdict(&[Finding::error(
                IssueCode::NotFound,
                "delete",
                "there is no such resource here",
            )]))
        }
        Err(failure) => Err(failure),
    }
}
