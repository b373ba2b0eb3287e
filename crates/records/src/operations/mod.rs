//! Operations (`$name`): one table says which there are, on which levels and types, and by which methods.
//!
//! Router and CapabilityStatement read the same table. An operation is a row here and a file beside it.

use crate::gate::Caller;
use crate::http::{Answer, Call};
use crate::outcome::Failure;
use crate::repository::Repository;
use axum::http::StatusCode;

mod document;
mod everything;
mod explain;
mod graphql;
mod input;
mod lastn;
mod meta;
mod patient_match;
mod reindex;
mod reset;
mod supporting;
mod terminology;
mod validate;

pub(crate) use everything::instant;
pub(crate) use input::Input;
pub(crate) use supporting::local;

/// What an operation is called on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    System,
    Type(&'a str),
    Instance(&'a str, &'a str),
}

/// Where in the address an operation may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    System,
    Type,
    Instance,
}

impl Target<'_> {
    fn level(self) -> Level {
        match self {
            Self::System => Level::System,
            Self::Type(_) => Level::Type,
            Self::Instance(..) => Level::Instance,
        }
    }

    /// The resource type in the address.
    pub fn rtype(&self) -> Option<&str> {
        match self {
            Self::System => None,
            Self::Type(rtype) | Self::Instance(rtype, _) => Some(rtype),
        }
    }
}

/// One operation.
pub(crate) struct Operation {
    /// Name with its `$`.
    pub name: &'static str,
    /// Canonical of its OperationDefinition; empty = the house's own, not listed.
    pub definition: &'static str,
    pub levels: &'static [Level],
    /// Types it is for; empty = every type.
    pub types: &'static [&'static str],
    /// Methods, as the `Allow` header says them.
    pub methods: &'static str,
    /// Whether this repository has it.
    pub is_here: fn(&Repository) -> bool,
    pub run: fn(&Repository, &Call, &Caller, Target<'_>) -> Result<Answer, Failure>,
}

/// For operations that every repository has.
fn everywhere(_: &Repository) -> bool {
    true
}

/// For operations that are not decided per patient yet.
fn in_open(repository: &Repository) -> bool {
    !repository.is_clinical()
}

/// For operations that make jobs: never over patient data, which is decided patient by patient.
fn with_jobs(repository: &Repository) -> bool {
    !repository.is_clinical() && repository.jobs.is_some()
}

/// For operations on subscriptions.
fn with_subscriptions(repository: &Repository) -> bool {
    repository.config.subscriptions.is_some()
}

/// Every operation.
pub(crate) const OPERATIONS: &[Operation] = &[
    Operation {
        name: "$status",
        definition: "http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition/backport-subscription-status",
        levels: &[Level::Type, Level::Instance],
        types: &["Subscription"],
        methods: "GET, POST",
        is_here: with_subscriptions,
        run: crate::subscriptions::operations::status,
    },
    Operation {
        name: "$events",
        definition: "http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition/backport-subscription-events",
        levels: &[Level::Instance],
        types: &["Subscription"],
        methods: "GET, POST",
        is_here: with_subscriptions,
        run: crate::subscriptions::operations::events,
    },
    Operation {
        name: "$get-ws-binding-token",
        definition: "http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition/backport-subscription-get-ws-binding-token",
        levels: &[Level::Type, Level::Instance],
        types: &["Subscription"],
        methods: "GET, POST",
        is_here: with_subscriptions,
        run: crate::subscriptions::operations::binding_token,
    },
    Operation {
        name: "$everything",
        definition: "http://hl7.org/fhir/OperationDefinition/Patient-everything",
        levels: &[Level::Instance],
        types: &["Patient"],
        methods: "GET, POST",
        is_here: everywhere,
        run: everything::run,
    },
    Operation {
        name: "$everything",
        definition: "http://hl7.org/fhir/OperationDefinition/Patient-everything",
        levels: &[Level::Type],
        types: &["Patient"],
        methods: "GET, POST",
        is_here: in_open,
        run: everything::run,
    },
    Operation {
        name: "$everything",
        definition: "http://hl7.org/fhir/OperationDefinition/Encounter-everything",
        levels: &[Level::Instance],
        types: &["Encounter"],
        methods: "GET, POST",
        is_here: in_open,
        run: everything::run,
    },
    Operation {
        name: "$lastn",
        definition: "http://hl7.org/fhir/OperationDefinition/Observation-lastn",
        levels: &[Level::Type],
        types: &["Observation"],
        methods: "GET, POST",
        is_here: everywhere,
        run: lastn::run,
    },
    Operation {
        name: "$meta",
        definition: "http://hl7.org/fhir/OperationDefinition/Resource-meta",
        levels: &[Level::Instance],
        types: &[],
        methods: "GET, POST",
        is_here: everywhere,
        run: meta::get,
    },
    Operation {
        name: "$meta",
        definition: "http://hl7.org/fhir/OperationDefinition/Resource-meta",
        levels: &[Level::System, Level::Type],
        types: &[],
        methods: "GET, POST",
        is_here: in_open,
        run: meta::get,
    },
    Operation {
        name: "$meta-add",
        definition: "http://hl7.org/fhir/OperationDefinition/Resource-meta-add",
        levels: &[Level::Instance],
        types: &[],
        methods: "POST",
        is_here: in_open,
        run: meta::add_labels,
    },
    Operation {
        name: "$meta-delete",
        definition: "http://hl7.org/fhir/OperationDefinition/Resource-meta-delete",
        levels: &[Level::Instance],
        types: &[],
        methods: "POST",
        is_here: in_open,
        run: meta::delete_labels,
    },
    Operation {
        name: "$document",
        definition: "http://hl7.org/fhir/OperationDefinition/Composition-document",
        levels: &[Level::Instance],
        types: &["Composition"],
        methods: "GET, POST",
        is_here: in_open,
        run: document::run,
    },
    Operation {
        name: "$export",
        definition: "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export",
        levels: &[Level::System],
        types: &[],
        methods: "GET, POST",
        is_here: with_jobs,
        run: crate::bulk::export::run,
    },
    Operation {
        name: "$export",
        definition: "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/patient-export",
        levels: &[Level::Type],
        types: &["Patient"],
        methods: "GET, POST",
        is_here: with_jobs,
        run: crate::bulk::export::run,
    },
    Operation {
        name: "$export",
        definition: "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/group-export",
        levels: &[Level::Instance],
        types: &["Group"],
        methods: "GET, POST",
        is_here: with_jobs,
        run: crate::bulk::export::run,
    },
    Operation {
        name: "$import",
        definition: "",
        levels: &[Level::System],
        types: &[],
        methods: "POST",
        is_here: with_jobs,
        run: crate::bulk::import::run,
    },
    Operation {
        name: "$graphql",
        definition: "http://hl7.org/fhir/OperationDefinition/Resource-graphql",
        levels: &[Level::System, Level::Instance],
        types: &[],
        methods: "GET, POST",
        is_here: in_open,
        run: graphql::run,
    },
    Operation {
        name: "$match",
        definition: "http://hl7.org/fhir/OperationDefinition/Patient-match",
        levels: &[Level::Type],
        types: &["Patient"],
        methods: "POST",
        is_here: in_open,
        run: patient_match::run,
    },
    terminology::LOOKUP,
    terminology::VALIDATE_IN_SYSTEM,
    terminology::SUBSUMES,
    terminology::EXPAND,
    terminology::VALIDATE_IN_VALUE_SET,
    terminology::TRANSLATE,
    Operation {
        name: "$validate",
        definition: "http://hl7.org/fhir/OperationDefinition/Resource-validate",
        levels: &[Level::Type, Level::Instance],
        types: &[],
        methods: "GET, POST",
        is_here: everywhere,
        run: validate::run,
    },
    Operation {
        name: "$explain",
        definition: "",
        levels: &[Level::System, Level::Type],
        types: &[],
        methods: "GET, POST",
        is_here: |repository| !repository.is_clinical(),
        run: explain::run,
    },
    Operation {
        name: "$reindex",
        definition: "",
        levels: &[Level::System],
        types: &[],
        methods: "GET, POST",
        is_here: in_open,
        run: reindex::run,
    },
    Operation {
        name: "$reset",
        definition: "",
        levels: &[Level::System],
        types: &[],
        methods: "DELETE",
        is_here: |repository| repository.config.can_reset,
        run: reset::run,
    },
];

impl Operation {
    /// Whether it is for a type; the system level asks without one.
    pub fn is_for(&self, rtype: &str) -> bool {
        self.types.is_empty() || self.types.contains(&rtype)
    }
}

/// Runs an operation by its name.
pub(crate) fn run(
    repository: &Repository,
    call: &Call,
    caller: &Caller,
    name: &str,
    target: Target<'_>,
) -> Result<Answer, Failure> {
    let found = OPERATIONS.iter().find(|operation| {
        operation.name == name
            && operation.levels.contains(&target.level())
            && target.rtype().is_none_or(|rtype| operation.is_for(rtype))
            && (operation.is_here)(repository)
    });
    let Some(operation) = found else {
        return Err(Failure::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "there is no such operation here",
        ));
    };
    if !operation
        .methods
        .split(", ")
        .any(|method| method == call.method.as_str())
    {
        return Err(Failure::method(operation.methods));
    }
    (operation.run)(repository, call, caller, target)
}
