//! Jobs that outlive their request (`Prefer: respond-async`, spec/fhir-server.md §11).
//!
//! A job is a row in the store and a message in a queue: whoever leases the message does the work, and the end of the
//! lease and the result are one commit. A process that dies loses its lease; the job is then begun anew. Output files lie
//! in a folder of this node until the job expires. A job belongs to the caller who made it; to others it is not there.

mod http;
mod row;
mod worker;

pub(crate) use http::{accepted, manifest, serve};
pub(crate) use row::{Ended, FileRow, Kind, Outcome, Row, State};
pub(crate) use worker::Work;

use crate::gate::Caller;
use crate::outcome::Failure;
use crate::repository::Repository;
use axum::http::{HeaderValue, StatusCode, header};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use store::{Commit, Enqueue, MicrosUtc, Op, Privacy, Purge, Put, PutId, RepoId};
use uuid::Uuid;

/// Name of the store's repository (kind `Internal`) that holds the rows of jobs.
pub const REPOSITORY: &str = "jobs";
/// How long a job and its files are kept after it was asked for.
pub const LIFETIME_US: i64 = 24 * 3_600 * 1_000_000;
/// Most jobs of one repository that wait or run at the same time.
pub const MAX_OPEN: usize = 16;
/// Type of the rows.
const ROW: &str = "Job";

/// Where jobs are kept, and who does them.
#[derive(Clone, Debug)]
pub struct JobsConfig {
    /// The store's repository [`REPOSITORY`].
    pub repo: RepoId,
    /// Folder for output and input files, of this repository alone.
    pub folder: PathBuf,
    /// Threads that work; 0 = this process only takes jobs.
    pub workers: usize,
}

/// How far a job has come; shared between who does it and who asks.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Resources done.
    pub done: AtomicU64,
    /// Resources in all, when known.
    pub total: AtomicU64,
    /// Somebody wants it to end.
    pub is_cancelled: AtomicBool,
}

impl Progress {
    /// As `X-Progress` says it.
    pub fn text(&self) -> String {
        match (self.done.load(Relaxed), self.total.load(Relaxed)) {
            (done, 0) => format!("{done} resources"),
            (done, total) => format!(
                "{done} of {total} resources ({} %)",
                done.saturating_mul(100) / total
            ),
        }
    }
}

/// The jobs of one repository.
pub(crate) struct Jobs {
    config: JobsConfig,
    queue: String,
    running: Mutex<HashMap<Uuid, Arc<Progress>>>,
    /// The repository, for those who work.
    repository: OnceLock<Weak<Repository>>,
}

impl Jobs {
    pub fn new(config: JobsConfig, repository: &str) -> Self {
        Self {
            config,
            queue: format!("fhir-jobs/{repository}"),
            running: Mutex::default(),
            repository: OnceLock::new(),
        }
    }

    /// Starts the workers.
    pub fn start(&self, repository: &Arc<Repository>) {
        if self.repository.set(Arc::downgrade(repository)).is_err() {
            return;
        }
        for number in 0..self.config.workers {
            worker::start(
                Arc::downgrade(repository),
                repository.config.store.clone(),
                self.queue.clone(),
                number,
            );
        }
    }

    /// Folder of a job's files.
    pub fn folder(&self, id: Uuid) -> PathBuf {
        self.config.folder.join(id.to_string())
    }

    /// The folder of all jobs of the repository.
    pub fn root(&self) -> &Path {
        &self.config.folder
    }

    /// Progress of a job that runs here.
    fn progress(&self, id: Uuid) -> Option<Arc<Progress>> {
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .cloned()
    }

    fn begin(&self, id: Uuid) -> Arc<Progress> {
        let progress = Arc::new(Progress::default());
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, progress.clone());
        progress
    }

    fn end(&self, id: Uuid) {
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
    }
}

/// 404 where a repository has no jobs.
pub(crate) fn of(repository: &Repository) -> Result<&Jobs, Failure> {
    repository.jobs.as_ref().ok_or_else(Failure::not_found)
}

/// Fingerprint of a caller as it stands in a row.
fn actor(caller: &Caller) -> String {
    format!("{:032x}", crate::read::actor_tag(caller))
}

impl Row {
    /// A new job of a caller.
    pub fn new(repository: &Repository, caller: &Caller, kind: Kind, request: String) -> Self {
        let now = edge::clock::real_now_us();
        Self {
            id: Uuid::now_v7(),
            kind,
            repository: repository.config.name.clone(),
            actor: actor(caller),
            request,
            created_at: now,
            expires_at: now + LIFETIME_US,
            state: State::Waiting,
            task: serde_json::Value::Null,
            outcome: None,
            failure: None,
        }
    }

    fn put(&self, jobs: &Jobs, op: Op) -> Result<Put, Failure> {
        Ok(Put {
            repo: jobs.config.repo,
            rtype: ROW.to_owned(),
            id: PutId::Given(self.id.to_string()),
            op,
            body: serde_json::to_vec(self)
                .map_err(|_| Failure::internal())?
                .into(),
            keys: Vec::new(),
            pack: 0,
            persons: Vec::new(),
            privacy: Privacy::default(),
            blobs: Vec::new(),
        })
    }

    fn message(&self, jobs: &Jobs) -> Enqueue {
        Enqueue {
            queue: jobs.queue.clone(),
            expires_at: Some(self.expires_at),
            max_deliveries: 4,
            body: self.id.to_string().into(),
            ..Enqueue::default()
        }
    }
}

/// Takes a job: from now on it is done, whatever becomes of this process. 429 when too many wait.
pub(crate) fn submit(repository: &Repository, row: &Row) -> Result<(), Failure> {
    let jobs = of(repository)?;
    let stats = repository.config.store.queue_stats(&jobs.queue)?;
    if stats.ready + stats.delayed + stats.leased >= MAX_OPEN as u64 {
        let mut failure = Failure::new(
            StatusCode::TOO_MANY_REQUESTS,
            "throttled",
            format!("{MAX_OPEN} jobs wait or run already; try again later"),
        );
        failure
            .headers
            .push((header::RETRY_AFTER, HeaderValue::from_static("30")));
        return Err(failure);
    }
    repository.config.store.commit(Commit {
        put: vec![row.put(jobs, Op::Create)?],
        enqueue: vec![row.message(jobs)],
        ..Commit::default()
    })?;
    Ok(())
}

/// Keeps the row of a job that was done within its request, so that its files can be fetched.
pub(crate) fn keep(repository: &Repository, row: &Row) -> Result<(), Failure> {
    let jobs = of(repository)?;
    repository.config.store.commit(Commit {
        put: vec![row.put(jobs, Op::Create)?],
        ..Commit::default()
    })?;
    Ok(())
}

/// A row by its id, whoever it belongs to.
fn find(repository: &Repository, id: Uuid) -> Result<Option<Row>, Failure> {
    let jobs = of(repository)?;
    let snapshot = repository.snapshot()?;
    let grant = repository.config.gate.hub_grant();
    let found = snapshot.read(&grant, jobs.config.repo, ROW, &id.to_string())?;
    Ok(found
        .filter(|r| !crate::read::is_deleted(r))
        .and_then(|r| serde_json::from_slice::<Row>(&r.body).ok())
        .filter(|row| row.repository == repository.config.name))
}

/// Erases a job with its files.
fn erase(repository: &Repository, id: Uuid) -> Result<(), Failure> {
    let jobs = of(repository)?;
    repository.config.store.commit(Commit {
        purge: vec![Purge {
            repo: jobs.config.repo,
            rtype: ROW.to_owned(),
            id: id.to_string(),
        }],
        ..Commit::default()
    })?;
    remove_folder(&jobs.folder(id));
    Ok(())
}

fn remove_folder(folder: &Path) {
    if let Err(error) = std::fs::remove_dir_all(folder)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "files of a job could not be removed");
    }
}

/// When a job with this id (a UUIDv7) was made.
fn made_at(id: Uuid) -> Option<MicrosUtc> {
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    i64::try_from(seconds)
        .ok()?
        .checked_mul(1_000_000)?
        .checked_add(i64::from(nanos / 1_000))
}
