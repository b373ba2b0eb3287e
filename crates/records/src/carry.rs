//! Carrying out a [`Change`]: the commit with its conditions, the second try when the world moved, the answer.

use crate::change::{Change, Write, stale};
use crate::gate::Gated;
use crate::http::{Answer, Call, Return};
use crate::outcome::{Failure, Issue, outcome};
use crate::read::etag;
use crate::render::{self, Subset};
use crate::repository::Repository;
use axum::http::{StatusCode, header};
use bytes::Bytes;
use fhir::Finding;
use store::{Commit, CommitError, PutReceipt, Record, Snapshot, Vno};

/// How often a write that lost a race is decided anew before the caller hears of it.
const ATTEMPTS: usize = 4;

impl Repository {
    /// Plans and carries out; when the world moved in between, plans again.
    pub(crate) fn retried(
        &self,
        call: &Call,
        gated: &Gated,
        plan: impl Fn(&Snapshot) -> Result<Change, Failure>,
    ) -> Result<Answer, Failure> {
        for attempt in 1.. {
            let write = match plan(&self.snapshot()?)? {
                Change::Nothing => return Ok(Answer::empty(StatusCode::NO_CONTENT)),
                Change::Kept(record) => {
                    self.record(gated, &[])?;
                    return self.answer_kept(call, &record);
                }
                Change::Write(write) => write,
            };
            let commit = Commit {
                expect: write.expect.clone(),
                put: vec![write.put.clone()],
                audit: gated.entries(&[]),
                ..Commit::default()
            };
            match self.config.store.commit(commit) {
                Ok(done) => {
                    let Some(receipt) = done.puts.first() else {
                        return Err(Failure::internal());
                    };
                    return self.answer_written(call, &write, receipt, done.at);
                }
                Err(CommitError::Refused { .. }) if attempt < ATTEMPTS && !write.is_guarded => {}
                Err(CommitError::Refused { .. }) if write.is_guarded => return Err(stale(None)),
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::internal())
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
            Answer::empty(write.status)
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

/// Address of a version.
pub(crate) fn location(base: &str, rtype: &str, id: &str, vno: Vno) -> String {
    format!("{base}/{rtype}/{id}/_history/{}", vno.0)
}
