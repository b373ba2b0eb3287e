//! Who does the jobs: threads that lease them from the queue, keep the lease alive, and end it together with the result.

use super::{Ended, Jobs, Kind, Outcome, Progress, ROW, Row, State, find, remove_folder};
use crate::outcome::Failure;
use crate::repository::Repository;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use store::{Commit, CommitError, Expect, Leased, Op, Rid, Settle, Settlement, Store, Vno};
use uuid::Uuid;

/// A lease is kept alive by the work itself; one that stays silent for so long is taken for dead.
const LEASE_MS: u64 = 45_000;
const RENEW_EVERY: Duration = Duration::from_secs(10);
const WAIT: Duration = Duration::from_secs(2);
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Rows looked at per sweep.
const SWEEP_CHUNK: usize = 1_000;

/// Starts a worker; it ends when the repository is gone.
pub(super) fn start(repository: Weak<Repository>, store: Store, queue: String, number: usize) {
    let work = move || {
        let mut swept: Option<Instant> = None;
        while repository.strong_count() > 0 {
            store.wait_queue(std::slice::from_ref(&queue), WAIT);
            let Some(repository) = repository.upgrade() else {
                break;
            };
            match store.lease(&queue, 1, LEASE_MS) {
                Ok(leased) => {
                    for message in leased {
                        attend(&repository, &message);
                    }
                }
                Err(_) => std::thread::sleep(Duration::from_secs(1)),
            }
            if number == 0 && swept.is_none_or(|at| at.elapsed() > SWEEP_EVERY) {
                swept = Some(Instant::now());
                if let Err(failure) = sweep(&repository) {
                    tracing::warn!(status = %failure.status, "jobs could not be swept");
                }
            }
        }
    };
    let name = format!("fhir-jobs-{number}");
    if let Err(error) = std::thread::Builder::new().name(name).spawn(work) {
        tracing::error!(%error, "no thread for jobs");
    }
}

/// What a job works with.
pub(crate) struct Work<'a> {
    pub repository: &'a Repository,
    /// Folder of its files; there.
    pub folder: &'a Path,
    pub progress: &'a Progress,
    lease: Option<(&'a Leased, Cell<Instant>)>,
}

impl<'a> Work<'a> {
    /// Work within a request.
    pub fn at_once(repository: &'a Repository, folder: &'a Path, progress: &'a Progress) -> Self {
        Self {
            repository,
            folder,
            progress,
            lease: None,
        }
    }

    /// To be called between steps of at most some seconds: keeps the lease, and says when to stop.
    pub fn step(&self, done: u64) -> Result<(), Ended> {
        self.progress.done.fetch_add(done, Relaxed);
        if self.progress.is_cancelled.load(Relaxed) {
            return Err(Ended::Given);
        }
        if let Some((message, renewed)) = &self.lease
            && renewed.get().elapsed() > RENEW_EVERY
        {
            let store = &self.repository.config.store;
            if !store.renew(message.id, message.token, LEASE_MS)? {
                return Err(Ended::Given);
            }
            renewed.set(Instant::now());
        }
        Ok(())
    }
}

/// Does one leased job.
fn attend(repository: &Arc<Repository>, message: &Leased) {
    let Some(jobs) = repository.jobs.as_ref() else {
        return;
    };
    let id = std::str::from_utf8(&message.body)
        .ok()
        .and_then(|text| Uuid::parse_str(text).ok());
    let row = match id.map(|id| find(repository, id)) {
        // The store cannot be read: the lease runs out and the job comes again.
        Some(Err(_)) => return,
        Some(Ok(Some(row))) if row.state == State::Waiting => row,
        _ => {
            let _ = repository.config.store.commit(Commit {
                settle: vec![done(message)],
                ..Commit::default()
            });
            return;
        }
    };
    let folder = jobs.folder(row.id);
    let progress = jobs.begin(row.id);
    let result = catch_unwind(AssertUnwindSafe(|| {
        let work = Work {
            repository,
            folder: &folder,
            progress: &progress,
            lease: Some((message, Cell::new(Instant::now()))),
        };
        std::fs::create_dir_all(&folder)?;
        carry_out(&work, &row)
    }))
    .unwrap_or_else(|_| Err(Ended::Failed(Failure::internal())));
    conclude(repository, jobs, row, message, result);
    if let Some(id) = id {
        jobs.end(id);
    }
}

/// The work of a row.
pub(crate) fn carry_out(work: &Work<'_>, row: &Row) -> Result<Outcome, Ended> {
    match row.kind {
        Kind::Export => crate::bulk::export::carry_out(work, &row.task),
        Kind::Import => crate::bulk::import::carry_out(work, &row.task),
    }
}

fn done(message: &Leased) -> Settle {
    Settle {
        id: message.id,
        token: message.token,
        outcome: Settlement::Done,
    }
}

/// Result and end of the lease in one commit.
fn conclude(
    repository: &Repository,
    jobs: &Jobs,
    mut row: Row,
    message: &Leased,
    result: Result<Outcome, Ended>,
) {
    match result {
        Ok(outcome) => {
            row.state = State::Done;
            row.outcome = Some(outcome);
        }
        // Not now: the job comes again when the lease has run out, until its deliveries are used up.
        Err(Ended::Failed(failure)) if failure.status.as_u16() == 503 && message.deliveries < 3 => {
            return;
        }
        Err(Ended::Failed(failure)) => {
            row.state = State::Failed;
            row.failure = Some((failure.status.as_u16(), failure.outcome()));
        }
        Err(Ended::Given) => {
            let gone = find(repository, row.id).is_ok_and(|found| found.is_none());
            if gone {
                remove_folder(&jobs.folder(row.id));
                let _ = repository.config.store.commit(Commit {
                    settle: vec![done(message)],
                    ..Commit::default()
                });
            }
            return;
        }
    }
    let Ok(put) = row.put(jobs, Op::Update) else {
        return;
    };
    let committed = repository.config.store.commit(Commit {
        expect: vec![Expect::Version {
            repo: jobs.config.repo,
            rtype: ROW.to_owned(),
            id: row.id.to_string(),
            vno: Vno(1),
        }],
        put: vec![put],
        settle: vec![done(message)],
        ..Commit::default()
    });
    if let Err(CommitError::Refused { .. }) = committed {
        // Cancelled meanwhile.
        remove_folder(&jobs.folder(row.id));
    }
}

/// Erases jobs that have expired, and folders that belong to no job.
fn sweep(repository: &Repository) -> Result<(), Failure> {
    let jobs = super::of(repository)?;
    let now = edge::clock::real_now_us();
    let snapshot = repository.snapshot()?;
    let grant = repository.config.gate.hub_grant();
    let mut after = Rid(0);
    loop {
        let rids = snapshot.type_rids(&grant, jobs.config.repo, ROW, after, SWEEP_CHUNK)?;
        let Some(last) = rids.last() else { break };
        after = *last;
        for record in snapshot.fetch(&grant, &rids)? {
            let Ok(row) = serde_json::from_slice::<Row>(&record.body) else {
                continue;
            };
            if row.repository == repository.config.name && row.expires_at <= now {
                super::erase(repository, row.id)?;
            }
        }
    }
    let Ok(entries) = std::fs::read_dir(jobs.root()) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let id = name.to_str().and_then(|n| Uuid::parse_str(n).ok());
        let is_old = |id: Uuid| super::made_at(id).is_some_and(|at| at + super::LIFETIME_US < now);
        if let Some(id) = id.filter(|id| is_old(*id))
            && find(repository, id)?.is_none()
        {
            remove_folder(&entry.path());
        }
    }
    Ok(())
}
