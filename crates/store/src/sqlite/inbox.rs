//! From submitters to the writer: commits are checked for limits and packed in the submitting thread, then wait here.

use super::Inner;
use super::batch::Batch;
use super::codec;
use super::memtable::RowKey;
use super::shared::{LOAD_BASE, locked};
use crate::{
    Commit, CommitError, Committed, Expect, MAX_BODY_BYTES, MAX_CLAIM_KEY_BYTES,
    MAX_CLAIM_VALUE_BYTES, MAX_COMMIT_PARTS, MAX_INLINE_BLOB_BYTES, MAX_KEY_BYTES, MAX_KEYS, Op,
    Pending, Put, PutId, StoreError,
};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Bytes of waiting commits beyond which new ones are turned away.
const MAX_WAITING_BYTES: usize = 512 << 20;
/// Waiting commits beyond which new ones are turned away.
const MAX_WAITING: usize = 100_000;
/// Commits of one batch.
const MAX_BATCH: usize = 2_048;
/// Bytes of one batch, more or less.
const MAX_BATCH_BYTES: usize = 64 << 20;

/// Said of a key that was never given out.
pub(super) const UNKNOWN_PERSON: &str = "a person key that this store did not give";

const MAX_QUEUE_NAME: usize = 128;
const MAX_HEADERS: usize = 64 << 10;
const MAX_NAME: usize = 255;
const MAX_PERSONS: usize = 10_000;

/// A put with everything packed that needs no number.
pub(super) struct PreparedPut {
    /// Packed keys for the log.
    pub keys: Vec<u8>,
    /// Index keys of the caller's parameters.
    pub rows: Vec<RowKey>,
    pub codec: u8,
    pub body: Bytes,
}

/// A commit that keeps the limits.
pub(super) struct Prepared {
    pub commit: Commit,
    pub puts: Vec<PreparedPut>,
    pub bytes: usize,
}

pub(super) type Answer = oneshot::Sender<Result<Committed, CommitError>>;
pub(super) type Task = Box<dyn FnOnce(&mut Batch<'_>) -> Result<(), StoreError> + Send>;
pub(super) type TaskAnswer = std::sync::mpsc::SyncSender<Result<(), StoreError>>;

/// What the writer does.
pub(super) enum Work {
    Commit(Box<Prepared>, Answer),
    /// Engine work inside a batch: staging, sweeps, purge steps, …
    Task(Task, TaskAnswer),
}

#[derive(Default)]
struct Waiting {
    work: VecDeque<Work>,
    bytes: usize,
    closed: bool,
}

/// The queue before the writer.
#[derive(Default)]
pub(super) struct Inbox {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

impl Inbox {
    /// Hands the work back when the writer has stopped or too much is waiting.
    fn push(&self, work: Work) -> Result<(), (Work, &'static str)> {
        let mut waiting = locked(&self.waiting);
        if waiting.closed {
            return Err((work, "the store is closed"));
        }
        if waiting.work.len() >= MAX_WAITING || waiting.bytes >= MAX_WAITING_BYTES {
            return Err((work, "too many commits are waiting; retry later"));
        }
        if let Work::Commit(prepared, _) = &work {
            waiting.bytes += prepared.bytes;
        }
        waiting.work.push_back(work);
        drop(waiting);
        self.arrived.notify_one();
        Ok(())
    }

    /// What has gathered, as soon as there is something; empty after `timeout`; `None` when closed and empty.
    pub(super) fn take(&self, timeout: Duration) -> Option<Vec<Work>> {
        let deadline = Instant::now() + timeout;
        let mut waiting = locked(&self.waiting);
        while waiting.work.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if waiting.closed {
                return None;
            }
            if left.is_zero() {
                return Some(Vec::new());
            }
            waiting = self
                .arrived
                .wait_timeout(waiting, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let mut taken = Vec::new();
        let mut bytes = 0;
        while taken.len() < MAX_BATCH && bytes < MAX_BATCH_BYTES {
            let Some(work) = waiting.work.pop_front() else {
                break;
            };
            if let Work::Commit(prepared, _) = &work {
                bytes += prepared.bytes;
            }
            taken.push(work);
        }
        waiting.bytes = waiting.bytes.saturating_sub(bytes);
        Some(taken)
    }

    /// Nothing more comes in; what is there is still done.
    pub(super) fn close(&self) {
        locked(&self.waiting).closed = true;
        self.arrived.notify_all();
    }

    /// The writer is gone: who waits learns it, because the answers' other ends are dropped.
    pub(super) fn abandon(&self) {
        self.close();
        let left = std::mem::take(&mut locked(&self.waiting).work);
        drop(left);
    }

    pub(super) fn len(&self) -> usize {
        locked(&self.waiting).work.len()
    }
}

impl Inner {
    pub(super) fn submit(&self, commit: Commit) -> Pending {
        let (answer, pending) = oneshot::channel();
        match self.prepare(commit) {
            Ok(prepared) => {
                if let Err((Work::Commit(_, answer), why)) =
                    self.inbox.push(Work::Commit(Box::new(prepared), answer))
                {
                    let _ = answer.send(Err(CommitError::Unavailable(why.to_owned())));
                }
            }
            Err(e) => {
                let _ = answer.send(Err(e));
            }
        }
        Pending::new(pending)
    }

    /// Runs `f` in the writer, inside a batch, and waits until that is flushed.
    pub(super) fn in_writer<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Batch<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, flushed) = std::sync::mpsc::sync_channel(1);
        let (out, made) = std::sync::mpsc::sync_channel(1);
        let task: Task = Box::new(move |batch| {
            let value = f(batch)?;
            let _ = out.try_send(value);
            Ok(())
        });
        self.inbox
            .push(Work::Task(task, answer))
            .map_err(|(_, why)| StoreError::Unavailable(why.to_owned()))?;
        let stopped = || StoreError::Unavailable("the writer stopped".to_owned());
        flushed.recv().map_err(|_| stopped())??;
        made.try_recv().map_err(|_| stopped())
    }

    fn prepare(&self, mut commit: Commit) -> Result<Prepared, CommitError> {
        self.check_limits(&commit)?;
        let internal = self.internal();
        let mut bytes = 0;
        let mut puts = Vec::with_capacity(commit.put.len());
        for put in &mut commit.put {
            if put.op == Op::Delete {
                put.keys.clear();
            }
            put.keys.sort_unstable();
            put.keys.dedup();
            let (codec, body) = codec::pack_body(&put.body);
            let keys = match internal.contains(&put.repo.0) {
                true => codec::pack_keys_quickly(&put.keys),
                false => codec::pack_keys(&put.keys),
            };
            bytes += body.len() + keys.len() + 256;
            let rows = put
                .keys
                .iter()
                .map(|k| RowKey::new(&codec::index_key(put.repo.0, k.param, &k.value)))
                .collect();
            puts.push(PreparedPut {
                keys,
                rows,
                codec,
                body,
            });
        }
        bytes += commit
            .enqueue
            .iter()
            .map(|m| m.body.len() + m.headers.len() + 128)
            .sum::<usize>();
        bytes += commit.blob.iter().map(|b| b.bytes.len()).sum::<usize>();
        bytes += commit.audit.len() * 512;
        Ok(Prepared {
            commit,
            puts,
            bytes,
        })
    }

    fn check_limits(&self, commit: &Commit) -> Result<(), CommitError> {
        let parts = commit.expect.len()
            + commit.put.len()
            + commit.blob.len()
            + commit.enqueue.len()
            + commit.settle.len()
            + commit.purge.len()
            + commit.position.len()
            + commit.raise.len()
            + commit.alias.len()
            + commit.audit.len();
        at_most("parts in a commit", parts, MAX_COMMIT_PARTS)?;
        for put in &commit.put {
            self.check_put(put)?;
        }
        for purge in &commit.purge {
            self.check_repo(purge.repo.0)?;
        }
        for expect in &commit.expect {
            self.check_expect(expect)?;
        }
        for blob in &commit.blob {
            at_most(
                "blob bytes (stage it)",
                blob.bytes.len(),
                MAX_INLINE_BLOB_BYTES,
            )?;
            if crate::sha256(&blob.bytes) != blob.hash {
                return Err(invalid("a blob's hash is not that of its bytes"));
            }
        }
        for message in &commit.enqueue {
            at_most("queue name bytes", message.queue.len(), MAX_QUEUE_NAME)?;
            at_most("message header bytes", message.headers.len(), MAX_HEADERS)?;
            at_most("message bytes", message.body.len(), MAX_BODY_BYTES)?;
            if message.queue.is_empty() {
                return Err(invalid("a message without a queue"));
            }
        }
        for entry in &commit.audit {
            crate::journal::seal::check(entry).map_err(|e| invalid(e.to_string()))?;
        }
        for position in &commit.position {
            at_most("consumer name bytes", position.consumer.len(), MAX_NAME)?;
            if position.to.0 >= LOAD_BASE {
                return Err(invalid("a position beyond every place of the log"));
            }
        }
        Ok(())
    }

    fn check_repo(&self, repo: u16) -> Result<(), CommitError> {
        if self.repositories.get().values().any(|(id, _)| *id == repo) {
            Ok(())
        } else {
            Err(invalid(format!("unknown repository number {repo}")))
        }
    }

    pub(super) fn check_put(&self, put: &Put) -> Result<(), CommitError> {
        self.check_repo(put.repo.0)?;
        at_most("body bytes", put.body.len(), MAX_BODY_BYTES)?;
        at_most("index keys", put.keys.len(), MAX_KEYS)?;
        at_most("persons", put.persons.len(), MAX_PERSONS)?;
        at_most("type name bytes", put.rtype.len(), MAX_NAME)?;
        for key in &put.keys {
            at_most("index value bytes", key.value.len(), MAX_KEY_BYTES)?;
            if key.param >= codec::RESERVED_PARAMS {
                return Err(invalid(format!("parameter {} is reserved", key.param)));
            }
        }
        match (&put.id, put.op) {
            (_, Op::Purge) => return Err(invalid("a put cannot purge; use Commit::purge")),
            (PutId::New, Op::Update | Op::Delete) => {
                return Err(invalid("only a creation can have a new id"));
            }
            (PutId::Given(id), _) if !valid_id(id) => {
                return Err(invalid(
                    "a record id is not of the form [A-Za-z0-9-.]{1,64}",
                ));
            }
            _ => {}
        }
        if put.rtype.is_empty() {
            return Err(invalid("a record without a type"));
        }
        if put.op == Op::Delete && !put.body.is_empty() {
            return Err(invalid("a deletion has no body"));
        }
        Ok(())
    }

    fn check_expect(&self, expect: &Expect) -> Result<(), CommitError> {
        match expect {
            Expect::Claim(claim) => {
                at_most("claim space bytes", claim.space.len(), MAX_NAME)?;
                at_most("claim key bytes", claim.key.len(), MAX_CLAIM_KEY_BYTES)?;
                at_most(
                    "claim value bytes",
                    claim.value.len(),
                    MAX_CLAIM_VALUE_BYTES,
                )
            }
            Expect::NoMatch { keys, repo, .. } => {
                self.check_repo(repo.0)?;
                if keys.is_empty() {
                    return Err(invalid("NoMatch without keys"));
                }
                at_most("keys of a NoMatch", keys.len(), MAX_KEYS)
            }
            _ => Ok(()),
        }
    }
}

fn valid_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
}

fn at_most(what: &str, n: usize, limit: usize) -> Result<(), CommitError> {
    if n <= limit {
        Ok(())
    } else {
        Err(invalid(format!("{n} {what}; at most {limit}")))
    }
}

pub(super) fn invalid(why: impl Into<String>) -> CommitError {
    CommitError::Invalid(why.into())
}
