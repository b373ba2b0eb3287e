//! Operations (`$name`): one table says which there are, on which levels and types, and by which methods.
//!
//! Router and CapabilityStatement read the same table. An operation is a row here and a file beside it.

use crate::gate::Caller;
use crate::http::{Answer, Call};
use crate::outcome::Failure;
use crate::repository::Repository;
use axum::http::StatusCode;

mod reset;
mod validate;

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

/// Every operation.
pub(crate) const OPERATIONS: &[Operation] = &[
    Operation {
        name: "$validate",
        definition: "http://hl7.org/fhir/OperationDefinition/Resource-validate",
        levels: &[Level::Type, Level::Instance],
        types: &[],
        methods: "POST",
        is_here: everywhere,
        run: validate::run,
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
