//! `CodeSystem/$lookup`, `$validate-code`, `$subsumes`; `ValueSet/$expand`, `$validate-code`; `ConceptMap/$translate`
//! (spec/fhir-server.md §13). What they answer is worked out in `fhir::terminology`.

use super::{Level, Operation, Target};
use crate::gate::Caller;
use crate::http::{Answer, Call};
use crate::outcome::Failure;
use crate::repository::Repository;
use crate::terminology::failure;
use axum::http::{StatusCode, header};
use bytes::Bytes;
use fhir::terminology::{self, Arguments, Moment, Source, TerminologyError};
use fhir::{Doc, Limits, Node};
use serde_json::Value;
use trust::Action;

const LEVELS: &[Level] = &[Level::Type, Level::Instance];
const METHODS: &str = "GET, POST";

/// An operation of the engine: on a type and on one resource of it.
const fn operation(
    name: &'static str,
    definition: &'static str,
    types: &'static [&'static str],
    run: fn(&Repository, &Call, &Caller, Target<'_>) -> Result<Answer, Failure>,
) -> Operation {
    Operation {
        name,
        definition,
        levels: LEVELS,
        types,
        methods: METHODS,
        is_here: super::in_open,
        run,
    }
}

pub(crate) const LOOKUP: Operation = operation(
    "$lookup",
    "http://hl7.org/fhir/OperationDefinition/CodeSystem-lookup",
    &["CodeSystem"],
    |repository, call, caller, target| {
        answer(repository, call, caller, target, |asked| {
            terminology::lookup(asked.source, asked.arguments, asked.instance)
        })
    },
);

pub(crate) const VALIDATE_IN_SYSTEM: Operation = operation(
    "$validate-code",
    "http://hl7.org/fhir/OperationDefinition/CodeSystem-validate-code",
    &["CodeSystem"],
    |repository, call, caller, target| {
        answer(repository, call, caller, target, |asked| {
            terminology::validate_in_system(asked.source, asked.arguments, asked.instance)
        })
    },
);

pub(crate) const SUBSUMES: Operation = operation(
    "$subsumes",
    "http://hl7.org/fhir/OperationDefinition/CodeSystem-subsumes",
    &["CodeSystem"],
    |repository, call, caller, target| {
        answer(repository, call, caller, target, |asked| {
            terminology::subsumes(asked.source, asked.arguments, asked.instance)
        })
    },
);

pub(crate) const EXPAND: Operation = operation(
    "$expand",
    "http://hl7.org/fhir/OperationDefinition/ValueSet-expand",
    &["ValueSet"],
    |repository, call, caller, target| {
        let moment = moment(repository, call);
        answer(repository, call, caller, target, |asked| {
            terminology::expand(asked.source, asked.arguments, asked.instance, &moment)
        })
    },
);

pub(crate) const VALIDATE_IN_VALUE_SET: Operation = operation(
    "$validate-code",
    "http://hl7.org/fhir/OperationDefinition/ValueSet-validate-code",
    &["ValueSet"],
    |repository, call, caller, target| {
        answer(repository, call, caller, target, |asked| {
            terminology::validate_in_value_set(asked.source, asked.arguments, asked.instance)
        })
    },
);

pub(crate) const TRANSLATE: Operation = operation(
    "$translate",
    "http://hl7.org/fhir/OperationDefinition/ConceptMap-translate",
    &["ConceptMap"],
    |repository, call, caller, target| {
        answer(repository, call, caller, target, |asked| {
            terminology::translate(asked.source, asked.arguments, asked.instance)
        })
    },
);

/// What an operation of the engine is given.
struct Asked<'a> {
    source: &'a dyn Source,
    arguments: &'a Arguments<'a>,
    instance: Option<Node<'a>>,
}

/// Reads the call, decides, and runs one operation of the engine.
fn answer(
    repository: &Repository,
    call: &Call,
    caller: &Caller,
    target: Target<'_>,
    work: impl FnOnce(Asked<'_>) -> Result<Value, TerminologyError>,
) -> Result<Answer, Failure> {
    let rtype = target.rtype().unwrap_or_default();
    let (pairs, body) = super::input::given(call)?;
    let snapshot = repository.snapshot()?;
    let (granted, stored) = match target {
        Target::Instance(_, id) => {
            let gated = repository.decide_by_id(&snapshot, caller, rtype, id, Action::Read)?;
            let found = snapshot.read(&gated.granted, repository.config.repo, rtype, id)?;
            repository.record(&gated, &[])?;
            let record = found.ok_or_else(Failure::not_found)?;
            if crate::read::is_deleted(&record) {
                return Err(Failure::gone());
            }
            let limits = Limits {
                max_bytes: usize::MAX,
                ..Limits::default()
            };
            let doc = Doc::parse_json(record.body, &limits).map_err(|_| Failure::internal())?;
            (gated.granted, Some(doc))
        }
        _ => {
            let gated = repository.decide(
                &snapshot,
                caller,
                None,
                Action::Read,
                &repository.config.classes,
            )?;
            repository.record(&gated, &[])?;
            (gated.granted, None)
        }
    };
    let mut arguments = Arguments::from_query(&pairs).map_err(failure)?;
    arguments.accept_language = call.header(header::ACCEPT_LANGUAGE);
    let mut instance = stored.as_ref().map(Doc::root);
    if let Some(body) = &body {
        // A single resource may be sent as it is instead of wrapped in Parameters.
        if body.resource_type() == rtype && instance.is_none() {
            instance = Some(body.root());
        } else {
            arguments.add_parameters(body.root()).map_err(failure)?;
        }
    }
    let source = repository.definitions(&snapshot, &granted);
    let value = work(Asked {
        source: &source,
        arguments: &arguments,
        instance,
    })
    .map_err(failure)?;
    Ok(Answer::resource(
        StatusCode::OK,
        Bytes::from(value.to_string()),
    ))
}

/// Time and identity of an expansion. Pages of one expansion share the identity: it is made of what was asked, without
/// place and size, and of the state of the store.
fn moment(repository: &Repository, call: &Call) -> Moment {
    let mut asked: Vec<&(String, String)> = call
        .query
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "offset" | "count" | "_format" | "_pretty"))
        .collect();
    asked.sort();
    let seq = repository.snapshot().map(|s| s.seq().0).unwrap_or_default();
    let text = format!(
        "{}/{} {asked:?} {seq} {}",
        call.base,
        call.path,
        without_page(&call.body)
    );
    let id = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, text.as_bytes());
    Moment {
        identifier: format!("urn:uuid:{id}"),
        timestamp: crate::render::instant(edge::clock::real_now_us()),
    }
}

/// A Parameters body without `offset` and `count`; other bodies as they are.
fn without_page(body: &Bytes) -> String {
    let Ok(mut value) = serde_json::from_slice::<Value>(body) else {
        return String::from_utf8_lossy(body).into_owned();
    };
    if let Some(list) = value.get_mut("parameter").and_then(Value::as_array_mut) {
        list.retain(|p| {
            !p.get("name")
                .and_then(Value::as_str)
                .is_some_and(|name| matches!(name, "offset" | "count"))
        });
    }
    value.to_string()
}
