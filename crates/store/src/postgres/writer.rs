//! The committer: one task per process that takes what gathered while the last batch was flushed, locks the feed row,
//! decides, writes and answers.

use super::link::{Conn, down};
use super::load;
use super::mirror;
use super::shared::{Shared, count};
use super::world::{Packed, Plan, World};
use super::write::{By, WriteError, write};
use super::{check, decide};
use crate::{Commit, CommitError, Committed, MicrosUtc, Pending, PersonKey, Seq, StoreError};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Most commits of a batch.
const MAX_BATCH: usize = 512;
/// Bytes of bodies after which a batch is closed.
const MAX_BATCH_BYTES: usize = 48 << 20;
/// Most commits that wait; more are answered `Unavailable`.
const MAX_WAITING: u64 = 50_000;
/// How long a batch is tried while the database cannot be reached.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the outcome of a broken commit is asked for.
const INQUIRY: Duration = Duration::from_secs(20);

/// A commit on its way.
pub(super) struct Job {
    commit: Commit,
    packed: Vec<Packed>,
    answer: oneshot::Sender<Result<Committed, CommitError>>,
}

/// Checks a commit and hands it to the committer.
pub(super) fn submit(
    shared: &Shared,
    jobs: &mpsc::UnboundedSender<Job>,
    commit: Commit,
) -> Pending {
    let (answer, pending) = oneshot::channel();
    let pending = Pending::new(pending);
    let refused = |error: CommitError, answer: oneshot::Sender<_>| {
        // nobody may be waiting any more
        let _ = answer.send(Err(error));
    };
    if let Err(error) = check::commit(&commit, &shared.repositories) {
        refused(error, answer);
        return pending;
    }
    let unavailable = |what: &str| CommitError::Unavailable(what.to_owned());
    if shared.open().is_err() {
        refused(unavailable("the store is closed"), answer);
    } else if shared.counters.waiting.load(Ordering::Relaxed) >= MAX_WAITING {
        refused(
            unavailable("too many commits are waiting; try again later"),
            answer,
        );
    } else {
        count(&shared.counters.waiting, 1);
        let job = Job {
            packed: Packed::all(&commit),
            commit,
            answer,
        };
        if let Err(mpsc::error::SendError(job)) = jobs.send(job) {
            refused(unavailable("the store is closed"), job.answer);
        }
    }
    pending
}

/// Why a batch was not answered.
enum Failure {
    /// Nothing is written; with a new connection it may work.
    Again(StoreError),
    /// Nothing is written.
    NotCommitted(StoreError),
    /// It may be written.
    Unknown(StoreError),
}

/// Runs until all senders are gone.
pub(super) async fn run(shared: Arc<Shared>, mut jobs: mpsc::UnboundedReceiver<Job>) {
    let mut conn: Option<Conn> = None;
    while let Some(first) = jobs.recv().await {
        let mut batch = vec![first];
        let started = Instant::now();
        let failure = loop {
            match attempt(&shared, &mut conn, &mut batch, &mut jobs).await {
                Ok(results) => {
                    answer(&shared, batch, results);
                    break None;
                }
                Err(Failure::Again(error)) => {
                    conn = None;
                    count(&shared.counters.reconnects, 1);
                    if started.elapsed() > PATIENCE || shared.open().is_err() {
                        break Some((CommitError::Unavailable(text(error)), batch));
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(Failure::NotCommitted(error)) => {
                    conn = None;
                    break Some((CommitError::Unavailable(text(error)), batch));
                }
                Err(Failure::Unknown(error)) => {
                    conn = None;
                    break Some((CommitError::OutcomeUnknown(text(error)), batch));
                }
            }
        };
        if let Some((error, batch)) = failure {
            tracing::error!(%error, commits = batch.len(), "a batch of commits failed");
            count(&shared.counters.failed, batch.len() as u64);
            let results = batch.iter().map(|_| Err(error.clone())).collect();
            answer(&shared, batch, results);
        }
    }
}

fn text(error: StoreError) -> String {
    match error {
        StoreError::Unavailable(what) => what,
        other => other.to_string(),
    }
}

fn answer(shared: &Shared, batch: Vec<Job>, results: Vec<Result<Committed, CommitError>>) {
    shared
        .counters
        .waiting
        .fetch_sub(batch.len() as u64, Ordering::Relaxed);
    for (job, result) in batch.into_iter().zip(results) {
        match &result {
            Ok(_) => count(&shared.counters.commits, 1),
            Err(CommitError::Refused { .. }) => count(&shared.counters.refused, 1),
            Err(_) => {}
        }
        // the caller may have stopped waiting; the commit stands
        let _ = job.answer.send(result);
    }
}

/// Takes what has gathered meanwhile.
fn gather(batch: &mut Vec<Job>, jobs: &mut mpsc::UnboundedReceiver<Job>) {
    let size = |job: &Job| -> usize {
        let commit = &job.commit;
        commit
            .put
            .iter()
            .map(|p| p.body.len() + p.keys.len() * 32)
            .sum::<usize>()
            + commit.enqueue.iter().map(|m| m.body.len()).sum::<usize>()
            + commit.blob.iter().map(|b| b.bytes.len()).sum::<usize>()
    };
    let mut bytes: usize = batch.iter().map(size).sum();
    while batch.len() < MAX_BATCH && bytes < MAX_BATCH_BYTES {
        let Ok(job) = jobs.try_recv() else { return };
        bytes += size(&job);
        batch.push(job);
    }
}

async fn attempt(
    shared: &Shared,
    slot: &mut Option<Conn>,
    batch: &mut Vec<Job>,
    jobs: &mut mpsc::UnboundedReceiver<Job>,
) -> Result<Vec<Result<Committed, CommitError>>, Failure> {
    let conn = match slot.take().filter(|c| !c.client.is_closed()) {
        Some(conn) => slot.insert(conn),
        None => slot.insert(shared.link.connect().await.map_err(Failure::Again)?),
    };
    let clock = load::begin(conn).await.map_err(Failure::Again)?;
    gather(batch, jobs);
    let commits: Vec<&Commit> = batch.iter().map(|j| &j.commit).collect();
    shared.committer.store(clock.process, Ordering::Release);
    let loaded = load::load(conn, clock, shared.names(), &shared.idents, &commits).await;
    let mut world = match loaded {
        Ok(world) => world,
        Err(error) if conn.client.is_closed() => return Err(Failure::Again(error)),
        Err(error) => return Err(Failure::NotCommitted(error)),
    };
    let mut plan = Plan::default();
    let mut results: Vec<Result<Committed, CommitError>> = batch
        .iter()
        .enumerate()
        .map(|(i, job)| decide::decide(&mut world, &mut plan, i, &job.commit, &job.packed))
        .collect();
    let mirrored = mirror::plan(shared, conn, &mut world, &mut plan, &commits, &results)
        .await
        .map_err(Failure::NotCommitted)?;
    if plan.audit.is_empty() && results.iter().all(Result::is_err) {
        conn.batch("ROLLBACK").await.map_err(Failure::Again)?;
        return Ok(results);
    }
    let met = plan.idents.iter().map(|(system, value, person)| {
        let name = (system.clone(), value.clone());
        (name, PersonKey(*person))
    });
    let met: Vec<_> = met.collect();
    let queues = plan.shows_messages();
    flush(shared, conn, &mut world, plan).await?;
    shared.idents.learn(met);
    count(&shared.counters.batches, 1);
    if mirrored {
        // the database has it already: from here on the outcome is only unknown to the caller
        mirror::drain(shared, conn)
            .await
            .map_err(Failure::Unknown)?;
    }
    let snapshot = Seq(world.clock.seq);
    for committed in results.iter_mut().flatten() {
        committed.snapshot = snapshot;
    }
    shared.publish_names(&world.names);
    if snapshot.0 != world.began {
        shared.wake.feed(Some(snapshot.0));
    }
    if queues {
        shared.wake.queues();
    }
    Ok(results)
}

async fn flush(shared: &Shared, conn: &Conn, world: &mut World, plan: Plan) -> Result<(), Failure> {
    let by = By {
        process: shared.process,
        channel: &shared.channel,
    };
    match write(conn, world, plan, &by).await {
        Ok(()) => Ok(()),
        Err(WriteError::RolledBack(error)) => {
            // the connection is dropped by the caller, which ends the transaction in any case
            Err(Failure::NotCommitted(down(error)))
        }
        Err(WriteError::Unknown(error)) => inquire(shared, world.clock.at, down(error)).await,
    }
}

/// The connection broke around the COMMIT: asks the server, on a new connection, what became of the batch of that time.
async fn inquire(shared: &Shared, at: MicrosUtc, error: StoreError) -> Result<(), Failure> {
    let until = Instant::now() + INQUIRY;
    while Instant::now() < until {
        let left = until.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left, last_batch(shared)).await {
            Ok(Ok(Some(last))) if last == at => return Ok(()),
            Ok(Ok(_)) => return Err(Failure::NotCommitted(error)),
            Ok(Err(_)) | Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Err(Failure::Unknown(error))
}

/// Time of the last batch of this process that was committed. The lock of the feed row waits for the end of a
/// transaction that the server has not given up yet.
async fn last_batch(shared: &Shared) -> Result<Option<MicrosUtc>, StoreError> {
    let conn = shared.link.connect().await?;
    conn.batch("BEGIN").await?;
    load::begin_locked(&conn).await?;
    let sql = "SELECT at FROM committer WHERE process = $1";
    let row = conn
        .query_opt(sql, &[&shared.process.as_bytes().to_vec()])
        .await?;
    conn.batch("ROLLBACK").await?;
    Ok(row.map(|r| r.get(0)))
}
