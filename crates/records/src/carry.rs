//! Carrying out a [`Change`]: the commit with its conditions, the next try when the world moved, the answer.

use crate::change::{Change, Write};
use crate::gate::{Caller, Gated};
use crate::http::{Answer, Call, Return};
use crate::outcome::{Failure, Issue, outcome};
use crate::plan::{Lost, Plan, learn, stale};
use crate::read::etag;
use crate::render::{self, Subset};
use crate::repository::Repository;
use axum::http::{StatusCode, header};
use bytes::Bytes;
use fhir::Finding;
use std::collections::HashSet;
use store::{Commit, CommitError, Op, PutId, PutReceipt, Record, Vno};

/// How often a write that lost a race is decided anew before the caller hears of it.
pub(crate) const ATTEMPTS: usize = 8;

impl Repository {
    /// Plans and carries out; when the world moved in between, plans again.
    pub(crate) fn retried(
        &self,
        call: &Call,
        caller: &Caller,
        gated: &Gated,
        plan: impl Fn(Plan<'_>) -> Result<Change, Failure>,
    ) -> Result<Answer, Failure> {
        let mut lost = Lost::default();
        for attempt in 1.. {
            let snapshot = self.snapshot()?;
            let at = Plan {
                snapshot: &snapshot,
                caller,
                granted: &gated.granted,
                lost: &lost,
            };
            let mut change = plan(at)?;
            self.require_each(at, &mut change)?;
            let writes: &[Write] = match &change {
                Change::Nothing => return Ok(deleted(call)),
                Change::Kept(record) => {
                    self.record(gated, &[])?;
                    return self.answer_kept(call, record);
                }
                Change::Write(write) => std::slice::from_ref(write.as_ref()),
                Change::Deletes(writes) => writes,
            };
            let commit = Commit {
                expect: writes.iter().flat_map(|w| w.expect.clone()).collect(),
                put: writes.iter().flat_map(Write::puts).cloned().collect(),
                audit: gated.entries(&[]),
                ..Commit::default()
            };
            let expect = commit.expect.clone();
            match self.config.store.commit(commit) {
                Ok(done) => {
                    return match (&change, done.puts.first()) {
                        (Change::Write(write), Some(receipt)) => {
                            self.answer_written(call, write, receipt, done.at)
                        }
                        (Change::Deletes(_), _) => Ok(deleted(call)),
                        _ => Err(Failure::internal()),
                    };
                }
                Err(error @ CommitError::Refused { .. }) if attempt < ATTEMPTS => {
                    learn(&mut lost, &expect, &error);
                }
                Err(CommitError::Refused { .. }) if writes.iter().any(|w| w.is_guarded) => {
                    return Err(stale(None));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::internal())
    }

    /// The repository's policy on references, for a change by itself.
    fn require_each(&self, at: Plan<'_>, change: &mut Change) -> Result<(), Failure> {
        let writes: &mut [Write] = match change {
            Change::Write(write) => std::slice::from_mut(write.as_mut()),
            Change::Deletes(writes) => writes,
            Change::Kept(_) | Change::Nothing => return Ok(()),
        };
        let gone: HashSet<(String, String)> = writes
            .iter()
            .filter_map(|w| match (&w.put.id, w.put.op) {
                (PutId::Given(id), Op::Delete) => Some((w.put.rtype.clone(), id.clone())),
                _ => None,
            })
            .collect();
        for write in writes {
            self.require_integrity(at, write, &HashSet::new(), &gone)?;
        }
        Ok(())
    }

    fn answer_kept(&self, call: &Call, record: &Record) -> Result<Answer, Failure> {
        let body = self.rendered(record, None, &Subset::default())?;
        Ok(self
            .returning(call, StatusCode::OK, body, &[])
            .with(header::ETAG, &etag(record.head.vno))
            .with(header::LAST_MODIFIED, &render::http_date(record.head.at))
            .with(
                header::LOCATION,
                &location(
                    &call.base,
                    &record.head.rtype,
                    &record.head.id,
                    record.head.vno,
                ),
            ))
    }

    fn answer_written(
        &self,
        call: &Call,
        write: &Write,
        receipt: &PutReceipt,
        at: i64,
    ) -> Result<Answer, Failure> {
        let answer = if write.status == StatusCode::NO_CONTENT {
            deleted(call)
        } else {
            let body = fhir::build::splice_meta(
                &write.put.body,
                &receipt.id,
                &receipt.vno.0.to_string(),
                &render::instant(at),
            )
            .map_err(|_| Failure::internal())?;
            self.returning(call, write.status, body, &write.warnings)
                .with(header::LAST_MODIFIED, &render::http_date(at))
                .with(
                    header::LOCATION,
                    &location(&call.base, &write.put.rtype, &receipt.id, receipt.vno),
                )
        };
        Ok(answer.with(header::ETAG, &etag(receipt.vno)))
    }

    /// The body that `Prefer: return=` asks for.
    fn returning(
        &self,
        call: &Call,
        status: StatusCode,
        body: Bytes,
        warnings: &[Finding],
    ) -> Answer {
        match call.returns {
            Return::Minimal => Answer::empty(status),
            Return::Representation => Answer::resource(status, body),
            Return::Outcome => {
                let mut issues: Vec<Issue> = warnings.iter().map(Issue::from).collect();
                if issues.is_empty() {
                    issues.push(Issue {
                        severity: "information",
                        ..Issue::error("informational", "stored")
                    });
                }
                Answer::resource(status, Bytes::from(outcome(&issues).to_string()))
            }
        }
    }
}

impl Write {
    /// Its puts, the record itself first.
    pub(crate) fn puts(&self) -> impl Iterator<Item = &store::Put> {
        std::iter::once(&self.put).chain(&self.also)
    }
}

/// The answer of a deletion: 204, or 200 with an OperationOutcome when one is asked for.
fn deleted(call: &Call) -> Answer {
    if call.returns != Return::Outcome {
        return Answer::empty(StatusCode::NO_CONTENT);
    }
    let issue = Issue {
        severity: "information",
        ..Issue::error("informational", "deleted, if it was there")
    };
    Answer::resource(StatusCode::OK, Bytes::from(outcome(&[issue]).to_string()))
}

/// Address of a version.
pub(crate) fn location(base: &str, rtype: &str, id: &str, vno: Vno) -> String {
    format!("{base}/{rtype}/{id}/_history/{}", vno.0)
}
