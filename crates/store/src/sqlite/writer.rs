//! The writer thread: gathers what waits, puts it into one transaction, flushes once, then answers everybody.
//! Group commit without a timer: what gathered while the last flush ran goes next (DESIGN §3.2).

use super::Inner;
use super::batch::{Batch, Next, PersonCache, Stop};
use super::db::unavailable;
use super::fold::GENERATION_ROWS;
use super::inbox::{Answer, Prepared, TaskAnswer, Work};
use super::memtable::Generation;
use super::pool::Stamps;
use super::shared::{Published, locked};
use crate::backup::mirror::Mirror;
use crate::{CommitError, Committed, Seq, StoreError};
use rusqlite::{Connection, params};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::{Duration, Instant};

/// Delivery counts wait at most this long for a commit to ride with.
const RIDE: Duration = Duration::from_millis(100);
/// A generation is frozen at this age even when it is small, so that a restart has little to replay.
const GENERATION_AGE: Duration = Duration::from_secs(5);
/// Frozen generations beyond which the writer waits for the fold.
const MAX_FROZEN: usize = 3;

/// How long the writer waits for the fold before it turns commits away.
const FOLD_PATIENCE: Duration = Duration::from_secs(30);

/// What the writer owns.
pub(super) struct Writer {
    pub inner: Arc<Inner>,
    pub log: Connection,
    pub index: Connection,
    pub next: Next,
    pub persons: PersonCache,
    pub mirror: Option<Mirror>,
    /// When the running generation got its first row.
    pub filling_since: Option<Instant>,
    /// Nothing follows: what could wait is written now.
    pub is_last: bool,
}

/// Answers of a batch, given after its flush.
#[derive(Default)]
struct Answers {
    commits: Vec<(Answer, Box<Prepared>, Result<Committed, CommitError>)>,
    tasks: Vec<(TaskAnswer, Result<(), StoreError>)>,
}

impl Answers {
    fn send(self, snapshot: u64) {
        for (to, _, mut answer) in self.commits {
            if let Ok(committed) = &mut answer {
                committed.snapshot = Seq(snapshot);
            }
            let _ = to.send(answer);
        }
        for (to, answer) in self.tasks {
            let _ = to.try_send(answer);
        }
    }

    /// The batch did not happen, or may not have.
    fn fail(self, commit: &CommitError, task: &StoreError) {
        for (to, _, answer) in self.commits {
            let _ = to.send(match answer {
                Err(CommitError::Invalid(why)) => Err(CommitError::Invalid(why)),
                _ => Err(commit.clone()),
            });
        }
        for (to, _) in self.tasks {
            let _ = to.try_send(Err(task.clone()));
        }
    }
}

/// What a batch that did not happen has to give back.
struct Undo {
    pins: Vec<(u64, bool)>,
    fresh: super::bodies::Fresh,
}

/// What a batch leaves to be published once it is flushed.
struct Done {
    fresh: super::bodies::Fresh,
    freed: Vec<(u64, Option<super::bodies::Place>)>,
    next: Next,
    rows: Vec<super::memtable::Row>,
    superseded: Vec<super::memtable::Superseded>,
    types: Arc<super::shared::Names>,
    queue_names: Arc<super::shared::Names>,
    aliases: Arc<super::shared::Aliases>,
    wake: BTreeSet<u32>,
    lowered: BTreeSet<u32>,
    pins: Vec<(u64, bool)>,
    rotate: bool,
    purged: bool,
    mirror: usize,
    load_changes: Vec<(u64, Option<super::shared::Load>)>,
}

impl Writer {
    /// Runs until the inbox is closed and empty.
    pub(super) fn run(mut self) {
        loop {
            let Some(work) = self.inner.inbox.take(RIDE) else {
                break;
            };
            self.rotate_if_old();
            if work.is_empty() && !self.inner.queues.has_counts(false) {
                continue;
            }
            if self.wait_for_fold() {
                self.batch(work);
            } else {
                turn_away(work);
            }
        }
        if self.inner.running().is_ok() && self.inner.queues.has_counts(true) {
            self.is_last = true;
            self.batch(Vec::new());
        }
    }

    fn batch(&mut self, work: Vec<Work>) {
        let inner = Arc::clone(&self.inner);
        let gate = locked(&inner.gate);
        let started = Instant::now();
        inner.stats.batches.fetch_add(1, Relaxed);
        let counts = inner.queues.take_counts(self.is_last);
        let mut answers = Answers::default();
        let written = self.write(work, &counts, &mut answers);
        let wrote = Instant::now();
        add_time(&inner.stats.write_us, wrote - started);
        let done = match written {
            Ok(done) => done,
            Err((e, undo)) => {
                self.roll_back(undo, counts);
                drop(gate);
                self.one_by_one(answers, &e);
                return;
            }
        };
        let answers = match fault::answer_before_flush() {
            true => {
                answers.send(done.next.seq - 1);
                std::thread::sleep(Duration::from_millis(5));
                Answers::default()
            }
            false => answers,
        };
        let flushed = self
            .log
            .prepare_cached("COMMIT")
            .and_then(|mut s| s.execute([]));
        Stamps::committed(&inner.pool.stamps.log);
        drop(gate);
        add_time(&inner.stats.flush_us, wrote.elapsed());
        if let Err(e) = flushed {
            let full = e.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
            let e = unavailable(e);
            let pins = done.pins;
            // What may be durable after all keeps its messages: the next open finds out.
            let fresh = if full { done.fresh } else { Default::default() };
            self.roll_back(Undo { pins, fresh }, counts);
            if full {
                answers.fail(&CommitError::Unavailable(e.to_string()), &e);
            } else {
                // A flush that failed once proves nothing when it succeeds later: stop here, recover at the next open.
                tracing::error!(error = %e, "the log could not be flushed; the store stops");
                inner.fail();
                answers.fail(&CommitError::OutcomeUnknown(e.to_string()), &e);
            }
            return;
        }
        let mirrored = self.append_mirror(&done);
        let flushed = Instant::now();
        let snapshot = self.publish(done);
        add_time(&inner.stats.publish_us, flushed.elapsed());
        match mirrored {
            Ok(()) => answers.send(snapshot),
            Err(e) => {
                tracing::error!(error = %e, "the mirror cannot be written; it is tried again with the next commit");
                let why = format!("committed, but the mirror cannot be written: {e}");
                answers.fail(&CommitError::OutcomeUnknown(why), &e);
            }
        }
    }

    /// A batch that failed before its flush: if several commits were in it, each gets a batch of its own, so that one
    /// that cannot be written takes no other with it.
    fn one_by_one(&mut self, mut answers: Answers, e: &StoreError) {
        let commits = std::mem::take(&mut answers.commits);
        let alone = commits.len() < 2;
        for (answer, prepared, result) in commits {
            match result {
                Err(CommitError::Invalid(_)) => drop(answer.send(result)),
                _ if alone => drop(answer.send(Err(CommitError::Unavailable(e.to_string())))),
                _ => self.batch(vec![Work::Commit(prepared, answer)]),
            }
        }
        answers.fail(&CommitError::Unavailable(e.to_string()), e);
    }

    /// Everything of the batch, into an open transaction.
    fn write(
        &mut self,
        work: Vec<Work>,
        counts: &HashMap<u64, (u32, Instant)>,
        answers: &mut Answers,
    ) -> Result<Done, (StoreError, Undo)> {
        let inner = Arc::clone(&self.inner);
        let asks_by_key = work.iter().any(|w| {
            matches!(w, Work::Commit(p, _) if p.commit.expect.iter().any(|e| matches!(e, crate::Expect::NoMatch { .. })))
        });
        let loads = inner.loads.get();
        let mut batch = Batch {
            inner: &inner,
            log: &self.log,
            index: &self.index,
            persons: &mut self.persons,
            next: self.next,
            at: 0,
            rows: Vec::new(),
            superseded: Vec::new(),
            internal: inner.internal(),
            overlay: asks_by_key.then(HashMap::new),
            loads: &loads,
            types: inner.types.get(),
            queue_names: inner.queue_names.get(),
            aliases: inner.aliases.get(),
            wake: BTreeSet::new(),
            lowered: BTreeSet::new(),
            pins: Vec::new(),
            fresh: Default::default(),
            freed: Vec::new(),
            rotate: false,
            mirror: 0,
            purged: false,
            load_changes: Vec::new(),
        };
        let mut failed = batch.execute("BEGIN IMMEDIATE", []).err();
        if failed.is_none() {
            failed = write_counts(&batch, counts).err();
        }
        if let (None, Some(mirror)) = (&failed, &self.mirror) {
            failed = batch
                .execute("DELETE FROM mirror WHERE n <= ?1", [mirror.last()])
                .err();
        }
        for work in work {
            match work {
                Work::Commit(prepared, answer) => {
                    let result = match &failed {
                        Some(e) => Err(e.clone()),
                        None => one(&mut batch, &prepared),
                    };
                    inner.stats.commits.fetch_add(1, Relaxed);
                    inner.unsaved.fetch_add(prepared.bytes as u64, Relaxed);
                    match result {
                        Ok(result) => answers.commits.push((answer, prepared, result)),
                        Err(e) => {
                            let unavailable = CommitError::Unavailable(e.to_string());
                            answers.commits.push((answer, prepared, Err(unavailable)));
                            failed = Some(e);
                        }
                    }
                }
                Work::Task(task, answer) => {
                    let result = match &failed {
                        Some(e) => Err(e.clone()),
                        None => in_savepoint(&mut batch, task),
                    };
                    answers.tasks.push((answer, result));
                }
            }
        }
        if failed.is_none() {
            failed = batch
                .execute(
                    "INSERT OR REPLACE INTO meta(key, value) VALUES('next', ?1)",
                    [batch.next.pack()],
                )
                .err();
        }
        if failed.is_none() {
            failed = inner.bodies.write(&batch.fresh).err();
        }
        if let Some(e) = failed {
            let undo = Undo {
                pins: batch.pins,
                fresh: batch.fresh,
            };
            return Err((e, undo));
        }
        Ok(Done {
            fresh: batch.fresh,
            freed: batch.freed,
            next: batch.next,
            rows: batch.rows,
            superseded: batch.superseded,
            types: batch.types,
            queue_names: batch.queue_names,
            aliases: batch.aliases,
            wake: batch.wake,
            lowered: batch.lowered,
            pins: batch.pins,
            rotate: batch.rotate,
            purged: batch.purged,
            mirror: batch.mirror,
            load_changes: batch.load_changes,
        })
    }

    fn roll_back(&mut self, undo: Undo, counts: HashMap<u64, (u32, Instant)>) {
        if !self.log.is_autocommit() {
            let _ = self.log.execute_batch("ROLLBACK");
        }
        self.persons = PersonCache::default();
        self.inner.queues.unpin(&undo.pins);
        self.inner.bodies.discard(undo.fresh);
        self.inner.queues.return_counts(counts);
    }

    /// Makes a flushed batch visible; returns the new snapshot.
    fn publish(&mut self, done: Done) -> u64 {
        let inner = &Arc::clone(&self.inner);
        self.next = done.next;
        inner.types.replace(&done.types);
        inner.queue_names.replace(&done.queue_names);
        inner.aliases.replace(&done.aliases);
        if !done.load_changes.is_empty() {
            inner.loads.update(|loads| {
                let mut loads = loads.clone();
                for (number, change) in &done.load_changes {
                    match change {
                        Some(load) => loads.set(*number, *load),
                        None => loads.remove(*number),
                    }
                }
                loads
            });
        }
        let seq = done.next.seq - 1;
        let mut rows = 0;
        if let Some(running) = inner.published.get().generations.last() {
            if !done.rows.is_empty() && self.filling_since.is_none() {
                self.filling_since = Some(Instant::now());
            }
            rows = running.add(done.rows, &done.superseded, seq);
        }
        if done.purged {
            inner.stats.purges.fetch_add(1, SeqCst);
        }
        let at = done.next.seq_at;
        inner.published.update(|p| Published {
            seq,
            at,
            generations: p.generations.clone(),
        });
        if rows >= GENERATION_ROWS || done.rotate {
            self.rotate();
        }
        inner.bodies.flushed(done.fresh, &done.freed);
        inner.queues.flushed(&done.pins, &done.lowered);
        if !done.wake.is_empty() {
            inner.queues.wake(
                done.wake
                    .iter()
                    .filter_map(|n| done.queue_names.name(*n).map(|s| &**s)),
            );
        }
        inner.tide.raise(seq);
        if done.purged {
            inner.janitor.ring();
        }
        seq
    }

    /// Freezes the running generation.
    fn rotate(&mut self) {
        self.filling_since = None;
        let fresh = Arc::new(Generation::default());
        self.inner.published.update(|p| {
            let mut generations = p.generations.clone();
            generations.push(fresh);
            Published {
                generations,
                ..p.clone()
            }
        });
        self.inner.to_fold.ring();
    }

    fn rotate_if_old(&mut self) {
        if self
            .filling_since
            .is_some_and(|t| t.elapsed() >= GENERATION_AGE)
        {
            self.rotate();
        }
    }

    /// Memory stays bounded: a fold that falls behind slows the writer down. False when it does not get on at all.
    fn wait_for_fold(&self) -> bool {
        let deadline = Instant::now() + FOLD_PATIENCE;
        while self.inner.published.get().generations.len() > MAX_FROZEN + 1 {
            if self.inner.stopping() || Instant::now() > deadline {
                return false;
            }
            self.inner.stats.fold_waits.fetch_add(1, Relaxed);
            self.inner.to_fold.ring();
            self.inner.folded.sleep(Duration::from_millis(50));
        }
        true
    }

    fn append_mirror(&mut self, done: &Done) -> Result<(), StoreError> {
        let Some(mirror) = &mut self.mirror else {
            return Ok(());
        };
        if done.mirror == 0 {
            return Ok(());
        }
        super::mirror::append(mirror, &self.log)?;
        self.inner.mirror_last.store(mirror.last(), SeqCst);
        Ok(())
    }
}

/// One commit: its answer, or the failure that ends the batch.
fn one(
    batch: &mut Batch<'_>,
    prepared: &Prepared,
) -> Result<Result<Committed, CommitError>, StoreError> {
    batch.tick();
    match batch.plan(prepared) {
        Ok(plan) => batch.apply(prepared, plan).map(Ok),
        Err(Stop::Refused(index, refusal)) => {
            batch.inner.stats.refused.fetch_add(1, Relaxed);
            batch.write_audit(&prepared.commit.audit)?;
            Ok(Err(CommitError::Refused { index, refusal }))
        }
        Err(Stop::Invalid(why)) => Ok(Err(CommitError::Invalid(why))),
        Err(Stop::Failed(e)) => Err(e),
    }
}

/// Engine work that may fail on its own.
fn in_savepoint(batch: &mut Batch<'_>, task: super::inbox::Task) -> Result<(), StoreError> {
    batch.tick();
    let before = batch.next;
    batch.execute("SAVEPOINT task", [])?;
    let result = task(batch);
    if result.is_err() {
        batch.execute("ROLLBACK TO task", [])?;
        *batch.persons = PersonCache::default();
        batch.next = before;
    }
    batch.execute("RELEASE task", [])?;
    result
}

fn turn_away(work: Vec<Work>) {
    let why = "the index cannot be written; look for an earlier warning";
    for work in work {
        match work {
            Work::Commit(_, answer) => {
                let _ = answer.send(Err(CommitError::Unavailable(why.to_owned())));
            }
            Work::Task(_, answer) => {
                let _ = answer.try_send(Err(StoreError::Unavailable(why.to_owned())));
            }
        }
    }
}

/// Also when it panics: nobody waits for a writer that is gone.
impl Drop for Writer {
    fn drop(&mut self) {
        self.inner.inbox.abandon();
    }
}

fn add_time(to: &AtomicU64, time: Duration) {
    to.fetch_add(u64::try_from(time.as_micros()).unwrap_or(0), Relaxed);
}

fn write_counts(
    batch: &Batch<'_>,
    counts: &HashMap<u64, (u32, Instant)>,
) -> Result<(), StoreError> {
    for (id, (n, _)) in counts {
        batch.execute(
            "UPDATE message SET deliveries = max(deliveries, ?2) WHERE id = ?1",
            params![id, n],
        )?;
    }
    Ok(())
}

/// The deliberate fault that the crash harness must find (DESIGN §7). Not in release builds.
mod fault {
    #[cfg(debug_assertions)]
    pub(super) fn answer_before_flush() -> bool {
        static ASKED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
        *ASKED.get_or_init(|| {
            std::env::var("HELSENAV_FAULT").is_ok_and(|fault| fault == "answer-before-flush")
        })
    }

    #[cfg(not(debug_assertions))]
    pub(super) fn answer_before_flush() -> bool {
        false
    }
}
