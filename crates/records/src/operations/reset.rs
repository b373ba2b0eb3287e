//! `DELETE [base]/$reset`: empties a repository that may be emptied.

use super::Target;
use crate::gate::Caller;
use crate::http::{Answer, Call};
use crate::outcome::Failure;
use crate::repository::Repository;
use axum::http::StatusCode;
use std::collections::BTreeSet;
use store::{Commit, HistoryScope, Purge};

/// Versions looked at per commit of a reset.
const RESET_CHUNK: usize = 2_000;

/// Empties the repository: every record and its history are erased (the sandbox).
pub(crate) fn run(
    repository: &Repository,
    _: &Call,
    _: &Caller,
    _: Target<'_>,
) -> Result<Answer, Failure> {
    let grant = repository.config.gate.hub_grant();
    let repo = repository.config.repo;
    loop {
        let snapshot = repository.snapshot()?;
        let scope = HistoryScope::Repository { repo };
        let versions = snapshot.history(&grant, &scope, None, RESET_CHUNK)?;
        let records: BTreeSet<(String, String)> = versions
            .into_iter()
            .map(|r| (r.head.rtype, r.head.id))
            .collect();
        if records.is_empty() {
            return Ok(Answer::empty(StatusCode::NO_CONTENT));
        }
        let purge = records
            .into_iter()
            .map(|(rtype, id)| Purge { repo, rtype, id })
            .collect();
        repository.config.store.commit(Commit {
            purge,
            ..Commit::default()
        })?;
    }
}
