//! Which interactions a repository offers, as data: CapabilityStatement and OpenAPI are written from it, and a test calls
//! every one over HTTP.

use crate::repository::Repository;

/// An interaction on a resource type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interaction {
    Read,
    Vread,
    Update,
    Patch,
    Delete,
    HistoryInstance,
    HistoryType,
    Create,
    SearchType,
}

impl Interaction {
    /// Code of the value set `type-restful-interaction`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Vread => "vread",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::HistoryInstance => "history-instance",
            Self::HistoryType => "history-type",
            Self::Create => "create",
            Self::SearchType => "search-type",
        }
    }
}

/// An interaction on the whole repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SystemInteraction {
    Transaction,
    Batch,
    Search,
    History,
}

impl SystemInteraction {
    /// Code of the value set `system-restful-interaction`.
    pub fn code(self) -> Option<&'static str> {
        Some(match self {
            Self::Transaction => "transaction",
            Self::Batch => "batch",
            Self::Search => "search-system",
            Self::History => "history-system",
        })
    }
}

/// Whether `Patient` is a view here: read and found, never written, without versions.
fn is_view(repository: &Repository, rtype: &str) -> bool {
    repository.is_clinical() && rtype == "Patient"
}

/// Whether anything can be patched here.
pub(crate) fn has_patch(repository: &Repository) -> bool {
    !repository.is_clinical()
}

/// What can be done with a type.
pub(crate) fn of_type(repository: &Repository, rtype: &str) -> Vec<Interaction> {
    use Interaction::{
        Create, Delete, HistoryInstance, HistoryType, Patch, Read, SearchType, Update, Vread,
    };
    if is_view(repository, rtype) {
        return vec![Read, SearchType];
    }
    let mut offered = vec![Read, Vread];
    if repository.takes_writes() {
        offered.extend([Create, Update]);
    }
    if has_patch(repository) {
        offered.extend([Patch, Delete]);
    }
    offered.extend([HistoryInstance, HistoryType, SearchType]);
    offered
}

/// What can be done with the repository.
pub(crate) fn of_system(repository: &Repository) -> Vec<SystemInteraction> {
    let mut offered = vec![SystemInteraction::Search, SystemInteraction::History];
    if !repository.is_clinical() {
        offered.extend([SystemInteraction::Transaction, SystemInteraction::Batch]);
    }
    offered
}

/// Profiles beyond the base definition that `$validate` knows without being given them.
pub(crate) fn profiles(rtype: &str) -> Vec<&'static str> {
    fhir::profile::built_in_for(rtype).collect()
}
