//! `$import`: NDJSON into a repository, by the rules of update-as-create.
//!
//! Lines are parsed and indexed on all cores and committed some hundred at a time, while the next ones are prepared. A
//! line that cannot be taken becomes an OperationOutcome that names it; the others go on. Lines with an id are puts;
//! lines without one get an id made of the job and the line, so that a job that is begun anew repeats nothing.

use super::files::Lines;
use super::upload::{MAX_IMPORT_BYTES, input_of};
use crate::change::{Change, Preconditions, with_id};
use crate::gate::Caller;
use crate::http::{Answer, Call, Content, MAX_BODY_BYTES};
use crate::jobs::{Ended, Kind, Outcome, Progress, Row, State, Work};
use crate::operations::Target;
use crate::outcome::{Failure, Issue, outcome};
use crate::plan::{Lost, Plan};
use crate::repository::{MountError, Repository, RepositoryConfig};
use axum::http::StatusCode;
use bytes::Bytes;
use fhir::{Doc, Limits};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{HashSet, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use store::{Commit, CommitError, Granted, MicrosUtc, Snapshot};
use trust::Action;
use uuid::Uuid;

/// Lines prepared and committed together.
const BATCH_LINES: usize = 512;
/// Their bytes together, more or less.
const BATCH_BYTES: usize = 8 << 20;
/// Commits on their way while the next lines are prepared.
const IN_FLIGHT: usize = 2;
/// How often a line whose record somebody else changed is decided anew.
const ATTEMPTS: usize = 4;
/// Most threads that prepare.
const MAX_THREADS: usize = 8;
/// Most lines whose faults are told one by one.
const MAX_ERRORS: u64 = 100_000;

/// What became of the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// New resources.
    pub created: u64,
    /// New versions.
    pub updated: u64,
    /// Resources that stood there already with the same content.
    pub unchanged: u64,
    /// Lines that could not be taken.
    pub failed: u64,
}

impl Counts {
    /// All lines.
    pub fn total(&self) -> u64 {
        self.created + self.updated + self.unchanged + self.failed
    }
}

/// What a job needs to know.
#[derive(Serialize, Deserialize)]
struct Task {
    is_gzip: bool,
    bytes: u64,
}

/// Takes the request: the body is on disk already.
pub(crate) fn run(
    repository: &Repository,
    call: &Call,
    caller: &Caller,
    _: Target<'_>,
) -> Result<Answer, Failure> {
    let Some(upload) = &call.upload else {
        return Err(if call.body.is_empty() {
            Failure::bad(
                "required",
                "send resources, one per line, as application/fhir+ndjson",
            )
        } else {
            Failure::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not-supported",
                "send application/fhir+ndjson; addresses of files elsewhere are not fetched",
            )
        });
    };
    let snapshot = repository.snapshot()?;
    repository.decide(&snapshot, caller, None, Action::Create, &[])?;
    let request = format!("{}/{}", call.base, call.path);
    let mut row = Row::new(repository, caller, Kind::Import, request);
    row.id = upload.id;
    let task = Task {
        is_gzip: upload.is_gzip,
        bytes: upload.bytes,
    };
    row.task = serde_json::to_value(&task).map_err(|_| Failure::internal())?;
    if super::export::wants_async(call) {
        crate::jobs::submit(repository, &row)?;
        upload.keep();
        return Ok(crate::jobs::accepted(call, &row));
    }
    let progress = Progress::default();
    let work = Work::at_once(repository, upload.folder(), &progress);
    match carry_out(&work, &row.task) {
        Ok(outcome) => row.outcome = Some(outcome),
        Err(Ended::Failed(failure)) => return Err(failure),
        Err(Ended::Given) => return Err(Failure::internal()),
    }
    row.state = State::Done;
    crate::jobs::keep(repository, &row)?;
    upload.keep();
    Ok(Answer {
        content: Content::Raw(
            "application/json".to_owned(),
            Bytes::from(crate::jobs::manifest(call, &row).to_string()),
        ),
        ..Answer::empty(StatusCode::OK)
    })
}

/// The job.
pub(crate) fn carry_out(work: &Work<'_>, task: &serde_json::Value) -> Result<Outcome, Ended> {
    let task: Task = serde_json::from_value(task.clone()).map_err(|_| Failure::internal())?;
    let file = std::fs::File::open(input_of(work.folder))?;
    let mut input: Box<dyn BufRead> = if task.is_gzip {
        let unpacked = flate2::read::MultiGzDecoder::new(BufReader::new(file));
        Box::new(BufReader::new(unpacked.take(MAX_IMPORT_BYTES)))
    } else {
        Box::new(BufReader::with_capacity(256 << 10, file))
    };
    let mut errors = Lines::new(work.folder, "errors-", "OperationOutcome");
    let salt = work
        .folder
        .file_name()
        .and_then(|n| n.to_str())
        .and_then(|n| Uuid::parse_str(n).ok())
        .unwrap_or_default();
    let mut last = 0;
    let mut loader = Loader::new(work.repository, salt);
    loader.load(
        &mut input,
        &mut |text| errors.write(text.as_bytes()),
        &mut |counts| {
            let done = counts.total();
            let step = work.step(done - last);
            last = done;
            step
        },
    )?;
    let counts = loader.counts;
    let mut extension = serde_json::Map::new();
    for (name, value) in [
        ("created", counts.created),
        ("updated", counts.updated),
        ("unchanged", counts.unchanged),
        ("failed", counts.failed),
    ] {
        extension.insert(name.to_owned(), json!(value));
    }
    let _ = std::fs::remove_file(input_of(work.folder));
    Ok(Outcome {
        transaction_time: loader.at,
        error: errors.finish()?,
        extension,
        ..Outcome::default()
    })
}

/// Why a direct import ended.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The repository cannot be mounted.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// The input or the list of errors cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Patient data is never loaded past the gate.
    #[error("only open repositories can be loaded directly")]
    Clinical,
    /// The store refused.
    #[error("the store: {0}")]
    Store(String),
}

/// Loads NDJSON into an open repository of a store that this process holds (a stopped hub's). `errors` gets one
/// OperationOutcome per line that could not be taken; `progress` is called after every batch.
pub fn import_ndjson(
    config: RepositoryConfig,
    input: &mut dyn BufRead,
    errors: &mut dyn Write,
    progress: &mut dyn FnMut(&Counts),
) -> Result<Counts, ImportError> {
    let repository = Repository::new(config)?;
    if repository.is_clinical() {
        return Err(ImportError::Clinical);
    }
    let mut loader = Loader::new(&repository, Uuid::now_v7());
    let result = loader.load(
        input,
        &mut |text| Ok(writeln!(errors, "{text}")?),
        &mut |counts| {
            progress(counts);
            Ok(())
        },
    );
    match result {
        Ok(()) => Ok(loader.counts),
        Err(Ended::Failed(failure)) => Err(ImportError::Store(
            failure
                .issues
                .first()
                .map_or_else(String::new, |i| i.text.clone()),
        )),
        Err(Ended::Given) => Err(ImportError::Store("it was stopped".to_owned())),
    }
}

/// A line on its way.
struct Line {
    number: u64,
    doc: Result<Doc, Failure>,
}

/// A commit on its way, with what is needed to do it again line by line.
struct Flight {
    pending: store::Pending,
    lines: Vec<(u64, Doc)>,
    created: u64,
    updated: u64,
}

struct Loader<'a> {
    repository: &'a Repository,
    caller: Caller,
    granted: Granted,
    salt: Uuid,
    threads: usize,
    counts: Counts,
    /// Time of the last commit.
    at: MicrosUtc,
    flights: VecDeque<Flight>,
    /// Records that commits on their way touch.
    touched: HashSet<(String, String)>,
}

type OnError<'f> = &'f mut dyn FnMut(String) -> Result<(), Ended>;

impl<'a> Loader<'a> {
    fn new(repository: &'a Repository, salt: Uuid) -> Self {
        Self {
            repository,
            caller: Caller::anonymous(),
            granted: repository.config.gate.hub_grant(),
            salt,
            threads: std::thread::available_parallelism()
                .map_or(1, usize::from)
                .min(MAX_THREADS),
            counts: Counts::default(),
            at: 0,
            flights: VecDeque::new(),
            touched: HashSet::new(),
        }
    }

    fn load(
        &mut self,
        input: &mut dyn BufRead,
        on_error: OnError<'_>,
        step: &mut dyn FnMut(&Counts) -> Result<(), Ended>,
    ) -> Result<(), Ended> {
        let mut number = 0;
        loop {
            let lines = read_lines(input, &mut number)?;
            if lines.is_empty() {
                break;
            }
            let (salt, repository) = (self.salt, self.repository);
            let lines = in_parallel(self.threads, lines, |(number, text)| Line {
                number,
                doc: text.and_then(|text| read(repository, salt, number, text)),
            });
            let mut batch: Vec<(u64, Doc)> = Vec::with_capacity(lines.len());
            let mut ids: HashSet<(String, String)> = HashSet::new();
            for line in lines {
                let doc = match line.doc {
                    Ok(doc) => doc,
                    Err(failure) => {
                        self.fail(line.number, &failure, on_error)?;
                        continue;
                    }
                };
                // Two lines about one record are two versions: in order, in two commits.
                if !ids.insert(key(&doc)) {
                    self.commit(std::mem::take(&mut batch), &ids, on_error)?;
                    ids = HashSet::from([key(&doc)]);
                }
                batch.push((line.number, doc));
            }
            self.commit(batch, &ids, on_error)?;
            step(&self.counts)?;
        }
        while !self.flights.is_empty() {
            self.land(on_error)?;
        }
        if self.at == 0 {
            self.at = self.repository.snapshot()?.at();
        }
        step(&self.counts)
    }

    fn fail(&mut self, number: u64, failure: &Failure, on_error: OnError<'_>) -> Result<(), Ended> {
        self.counts.failed += 1;
        if self.counts.failed > MAX_ERRORS {
            return Ok(());
        }
        let line = u32::try_from(number).unwrap_or(u32::MAX);
        let issues: Vec<Issue> = failure
            .issues
            .iter()
            .map(|issue| Issue {
                text: format!("line {number}: {}", issue.text),
                place: Some((line, issue.place.map_or(1, |(_, column)| column))),
                ..issue.clone()
            })
            .collect();
        on_error(outcome(&issues).to_string())
    }

    /// Plans a batch against the newest state and sends its commit off.
    fn commit(
        &mut self,
        lines: Vec<(u64, Doc)>,
        ids: &HashSet<(String, String)>,
        on_error: OnError<'_>,
    ) -> Result<(), Ended> {
        if lines.is_empty() {
            return Ok(());
        }
        if !self.touched.is_disjoint(ids) {
            while !self.flights.is_empty() {
                self.land(on_error)?;
            }
        }
        let snapshot = self.repository.snapshot()?;
        let planner = self.planner(&snapshot);
        let planned = in_parallel(self.threads, lines, |(number, doc)| {
            let change = planner.plan(&doc);
            (number, doc, change)
        });
        let mut commit = Commit::default();
        let mut kept = Vec::with_capacity(planned.len());
        let (mut created, mut updated) = (0, 0);
        for (number, doc, change) in planned {
            match change {
                Ok(Change::Write(write)) => {
                    match write.status {
                        StatusCode::CREATED => created += 1,
                        _ => updated += 1,
                    }
                    commit.expect.extend(write.expect);
                    commit.put.push(write.put);
                    commit.put.extend(write.also);
                    kept.push((number, doc));
                }
                Ok(_) => self.counts.unchanged += 1,
                Err(failure) => self.fail(number, &failure, on_error)?,
            }
        }
        if !commit.put.is_empty() {
            self.touched.extend(ids.iter().cloned());
            self.flights.push_back(Flight {
                pending: self.repository.config.store.submit(commit),
                lines: kept,
                created,
                updated,
            });
        }
        while self.flights.len() > IN_FLIGHT {
            self.land(on_error)?;
        }
        Ok(())
    }

    fn planner<'s>(&'s self, snapshot: &'s Snapshot) -> Planner<'s> {
        Planner {
            repository: self.repository,
            caller: &self.caller,
            granted: &self.granted,
            snapshot,
        }
    }

    /// Waits for the oldest commit.
    fn land(&mut self, on_error: OnError<'_>) -> Result<(), Ended> {
        let Some(flight) = self.flights.pop_front() else {
            return Ok(());
        };
        match flight.pending.wait() {
            Ok(done) => {
                self.counts.created += flight.created;
                self.counts.updated += flight.updated;
                self.at = self.at.max(done.at);
            }
            // Something in it has changed meanwhile: each line for itself.
            Err(CommitError::Refused { .. } | CommitError::Invalid(_)) => {
                for (number, doc) in flight.lines {
                    self.alone(number, &doc, on_error)?;
                }
            }
            Err(other) => return Err(Ended::Failed(other.into())),
        }
        if self.flights.is_empty() {
            self.touched.clear();
        }
        Ok(())
    }

    fn alone(&mut self, number: u64, doc: &Doc, on_error: OnError<'_>) -> Result<(), Ended> {
        for attempt in 1..=ATTEMPTS {
            let snapshot = self.repository.snapshot()?;
            let write = match self.planner(&snapshot).plan(doc) {
                Ok(Change::Write(write)) => write,
                Ok(_) => {
                    self.counts.unchanged += 1;
                    return Ok(());
                }
                Err(failure) => return self.fail(number, &failure, on_error),
            };
            let status = write.status;
            let commit = Commit {
                expect: write.expect,
                put: vec![write.put],
                ..Commit::default()
            };
            match self.repository.config.store.commit(commit) {
                Ok(done) => {
                    match status {
                        StatusCode::CREATED => self.counts.created += 1,
                        _ => self.counts.updated += 1,
                    }
                    self.at = self.at.max(done.at);
                    return Ok(());
                }
                Err(CommitError::Refused { .. }) if attempt < ATTEMPTS => {}
                Err(error @ (CommitError::Refused { .. } | CommitError::Invalid(_))) => {
                    return self.fail(number, &error.into(), on_error);
                }
                Err(other) => return Err(Ended::Failed(other.into())),
            }
        }
        Ok(())
    }
}

/// Plans lines; shared by threads.
struct Planner<'a> {
    repository: &'a Repository,
    caller: &'a Caller,
    granted: &'a Granted,
    snapshot: &'a Snapshot,
}

impl Planner<'_> {
    fn plan(&self, doc: &Doc) -> Result<Change, Failure> {
        let rtype = doc.resource_type();
        let id = doc.id().unwrap_or_default();
        let lost = Lost::default();
        let at = Plan {
            snapshot: self.snapshot,
            caller: self.caller,
            granted: self.granted,
            lost: &lost,
        };
        self.repository
            .plan_update(at, rtype, id, doc, &Preconditions::default())
    }
}

fn key(doc: &Doc) -> (String, String) {
    (
        doc.resource_type().to_owned(),
        doc.id().unwrap_or_default().to_owned(),
    )
}

/// A line as a document with an id.
fn read(repository: &Repository, salt: Uuid, number: u64, text: Bytes) -> Result<Doc, Failure> {
    let doc = Doc::parse_json(text, &Limits::default()).map_err(|f| Failure::findings(&f))?;
    if !repository.has_type(doc.resource_type()) {
        return Err(Failure::bad("value", "there is no such resource type here").on("resourceType"));
    }
    match doc.id() {
        Some(_) => Ok(doc),
        None => {
            let id = Uuid::new_v5(&salt, &number.to_be_bytes());
            with_id(&doc, &id.to_string())
        }
    }
}

type Numbered = (u64, Result<Bytes, Failure>);

/// Up to a batch of lines; blank ones are passed over. Too long ones are faults, not memory.
fn read_lines(input: &mut dyn BufRead, number: &mut u64) -> Result<Vec<Numbered>, Ended> {
    let mut lines: Vec<Numbered> = Vec::new();
    let mut bytes = 0;
    while lines.len() < BATCH_LINES && bytes < BATCH_BYTES {
        let mut text = Vec::new();
        let limit = MAX_BODY_BYTES as u64 + 1;
        let length = (&mut *input)
            .take(limit)
            .read_until(b'\n', &mut text)
            .map_err(unreadable)?;
        if length == 0 {
            break;
        }
        *number += 1;
        if length as u64 == limit && text.last() != Some(&b'\n') {
            skip_line(input)?;
            lines.push((
                *number,
                Err(Failure::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "too-long",
                    format!("the resource is longer than {MAX_BODY_BYTES} bytes"),
                )),
            ));
            continue;
        }
        let trimmed = text.trim_ascii();
        if trimmed.is_empty() {
            continue;
        }
        bytes += trimmed.len();
        let text = if trimmed.len() == text.len() {
            Bytes::from(text)
        } else {
            Bytes::copy_from_slice(trimmed)
        };
        lines.push((*number, Ok(text)));
    }
    Ok(lines)
}

/// A packed body that does not unpack is the caller's fault.
fn unreadable(error: std::io::Error) -> Ended {
    use std::io::ErrorKind as K;
    match error.kind() {
        K::InvalidData | K::InvalidInput | K::UnexpectedEof => Ended::Failed(Failure::bad(
            "invalid",
            "the body cannot be unpacked to its end; what came before is imported",
        )),
        _ => error.into(),
    }
}

fn skip_line(input: &mut dyn BufRead) -> Result<(), Ended> {
    loop {
        let buffer = input.fill_buf().map_err(unreadable)?;
        if buffer.is_empty() {
            return Ok(());
        }
        let (used, is_end) = match buffer.iter().position(|b| *b == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), false),
        };
        input.consume(used);
        if is_end {
            return Ok(());
        }
    }
}

/// Runs `work` over items on some threads; results in the items' order.
fn in_parallel<T: Send, R: Send>(
    threads: usize,
    mut items: Vec<T>,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let share = items.len().div_ceil(threads.max(1)).max(1);
    if items.len() <= share || items.len() < 16 {
        return items.into_iter().map(work).collect();
    }
    let mut shares = Vec::new();
    while items.len() > share {
        let rest = items.split_off(share);
        shares.push(std::mem::replace(&mut items, rest));
    }
    let work = &work;
    std::thread::scope(|scope| {
        let handles: Vec<_> = shares
            .into_iter()
            .map(|share| scope.spawn(move || share.into_iter().map(work).collect::<Vec<R>>()))
            .collect();
        let last: Vec<R> = items.into_iter().map(work).collect();
        let mut out = Vec::new();
        for handle in handles {
            match handle.join() {
                Ok(part) => out.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        out.extend(last);
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_read_in_batches() {
        let text = "\n{\"a\":1}\r\n   \n{}\nlast";
        let mut number = 0;
        let lines = read_lines(&mut text.as_bytes(), &mut number).unwrap();
        let got: Vec<(u64, &[u8])> = lines
            .iter()
            .map(|(n, l)| (*n, l.as_ref().unwrap().as_ref()))
            .collect();
        assert_eq!(
            got,
            [(2, &b"{\"a\":1}"[..]), (4, &b"{}"[..]), (5, &b"last"[..])]
        );
        let many = "{}\n".repeat(BATCH_LINES + 7);
        let mut input = many.as_bytes();
        let mut number = 0;
        assert_eq!(
            read_lines(&mut input, &mut number).unwrap().len(),
            BATCH_LINES
        );
        assert_eq!(read_lines(&mut input, &mut number).unwrap().len(), 7);
        assert_eq!(read_lines(&mut input, &mut number).unwrap().len(), 0);
    }

    #[test]
    fn a_line_without_end_is_a_fault_and_the_next_one_is_read() {
        let long = std::io::repeat(b'x').take(MAX_BODY_BYTES as u64 + 10);
        let mut input = BufReader::new(long.chain(&b"\n{}\n"[..]));
        let mut number = 0;
        let lines = read_lines(&mut input, &mut number).unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].1.as_ref().unwrap_err().status, 413);
        assert_eq!(lines[1].1.as_ref().unwrap().as_ref(), b"{}");
    }

    proptest! {
        #[test]
        fn order_is_kept(items in proptest::collection::vec(any::<u32>(), 0..200), threads in 1usize..9) {
            let out = in_parallel(threads, items.clone(), |n| u64::from(n) + 1);
            let want: Vec<u64> = items.into_iter().map(|n| u64::from(n) + 1).collect();
            prop_assert_eq!(out, want);
        }
    }
}
