//! Search keys made anew when the definitions or the way of reading them change (spec/fhir-server.md §15.4).
//!
//! Every version carries the fingerprint of what made its keys ([`crate::write::pack_version`]). A repository looks for
//! records of other fingerprints when it is mounted and makes their keys anew in the background, batch by batch, while
//! searches and writes go on: a record is found by its old keys until its new ones are in. [`run`] and [`check`] do the
//! same, and the comparison, for a stopped hub.

use crate::repository::{Repository, RepositoryConfig};
use crate::write::{keys_for, pack_version};
use fhir::keys::Options;
use fhir::{Doc, Limits};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;
use store::{Granted, IndexKey, Record, Rekey, RepoId, Rid, Store, StoreError};

/// Records of one batch.
const BATCH: usize = 500;
/// Rounds over what was being written meanwhile.
const ROUNDS: usize = 5;
/// Differences that [`check`] names.
const NAMED: usize = 20;
/// Pause between batches in the background, so that others get on.
const PAUSE: Duration = Duration::from_millis(5);

/// Whose keys.
#[derive(Clone, Debug)]
pub struct Target {
    /// The store.
    pub store: Store,
    /// The repository.
    pub repo: RepoId,
    /// A grant of the hub's own.
    pub grant: Granted,
    /// How references are read.
    pub options: Options,
}

impl Target {
    /// Of a repository as it would be mounted.
    pub fn of(config: &RepositoryConfig) -> Self {
        Self {
            store: config.store.clone(),
            repo: config.repo,
            grant: config.gate.hub_grant(),
            options: Options {
                own_bases: config.bases.clone(),
                ..Options::default()
            },
        }
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records looked at.
    pub looked_at: u64,
    /// Records whose keys were made anew.
    pub changed: u64,
    /// Records whose keys cannot be made (too many search values, unreadable): they keep their old ones.
    pub kept: u64,
}

/// Makes keys anew: of records whose keys another definition pack made, or of `all`. `go_on` is told how many records
/// were looked at, and ends it by false.
pub fn run(
    target: &Target,
    all: bool,
    mut go_on: impl FnMut(u64) -> bool,
) -> Result<Summary, StoreError> {
    let mut done = Summary::default();
    let pack = pack_version();
    for round in 0..ROUNDS {
        // No keys were ever made by pack 0, so every record is of another one.
        let wanted = if all && round == 0 { 0 } else { pack };
        let (mut after, mut missed) = (Rid(0), false);
        loop {
            let rids = target.store.outdated(target.repo, wanted, after, BATCH)?;
            let Some(last) = rids.last() else { break };
            after = *last;
            let snapshot = target.store.snapshot()?;
            let mut changes = Vec::with_capacity(rids.len());
            for record in snapshot.fetch(&target.grant, &rids)? {
                let keys = match keys_of(&record, &target.options) {
                    Some(keys) => keys,
                    None => {
                        done.kept += 1;
                        snapshot.keys(&target.grant, record.head.rid)?
                    }
                };
                changes.push(Rekey {
                    rid: record.head.rid,
                    vno: record.head.vno,
                    keys,
                    pack,
                });
            }
            let changed = target.store.rekey(target.repo, &changes)?;
            missed |= changed < changes.len();
            done.looked_at += rids.len() as u64;
            done.changed += changed as u64;
            if !go_on(done.looked_at) {
                return Ok(done);
            }
        }
        if !missed {
            break;
        }
    }
    Ok(done)
}

fn keys_of(record: &Record, options: &Options) -> Option<Vec<IndexKey>> {
    let doc = Doc::parse_json(record.body.clone(), &Limits::default()).ok()?;
    let mut keys = keys_for(&doc, options).ok()?;
    keys.sort_unstable();
    keys.dedup();
    Some(keys)
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Records compared.
    pub records: u64,
    /// Records whose stored keys are not those that their content gives.
    pub differing: u64,
    /// Some of them: `Type/id: parameters`.
    pub named: Vec<String>,
}

/// Recomputes the keys of every live record of a type and compares them with what is stored. That the index holds
/// exactly the stored keys is the store's own check ([`store::Engine::verify_index`]).
pub fn check(
    target: &Target,
    rtype: &str,
    mut go_on: impl FnMut(u64) -> bool,
) -> Result<Checked, StoreError> {
    let mut out = Checked::default();
    let snapshot = target.store.snapshot()?;
    let mut after = Rid(0);
    loop {
        let rids = snapshot.type_rids(&target.grant, target.repo, rtype, after, BATCH)?;
        let Some(last) = rids.last() else { break };
        after = *last;
        for record in snapshot.fetch(&target.grant, &rids)? {
            out.records += 1;
            let mut stored = snapshot.keys(&target.grant, record.head.rid)?;
            stored.sort_unstable();
            let Some(made) = keys_of(&record, &target.options) else {
                continue;
            };
            if made == stored {
                continue;
            }
            out.differing += 1;
            if out.named.len() < NAMED {
                let parameters = different(&stored, &made);
                let head = &record.head;
                out.named
                    .push(format!("{}/{}: {parameters}", head.rtype, head.id));
            }
        }
        if !go_on(out.records) {
            break;
        }
    }
    Ok(out)
}

/// Numbers of the parameters whose values differ; never the values.
fn different(stored: &[IndexKey], made: &[IndexKey]) -> String {
    let mut numbers: Vec<u32> = stored
        .iter()
        .filter(|k| !made.contains(k))
        .chain(made.iter().filter(|k| !stored.contains(k)))
        .map(|k| k.param)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    let texts: Vec<String> = numbers.iter().map(u32::to_string).collect();
    texts.join(" ")
}

/// How far the background has come; shared with who asks.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub is_running: AtomicBool,
    pub looked_at: AtomicU64,
    pub changed: AtomicU64,
    pub kept: AtomicU64,
    pub has_failed: AtomicBool,
}

/// Starts it in the background; false when it runs already. Ends when the repository is dropped.
pub(crate) fn start(repository: &Arc<Repository>, all: bool) -> bool {
    if repository.reindex.is_running.swap(true, Relaxed) {
        return false;
    }
    let weak = Arc::downgrade(repository);
    let target = Target {
        options: repository.options.clone(),
        ..Target::of(&repository.config)
    };
    let name = repository.config.name.clone();
    let spawned = std::thread::Builder::new()
        .name(format!("reindex-{name}"))
        .spawn(move || background(&weak, &target, all, &name));
    if spawned.is_err() {
        repository.reindex.is_running.store(false, Relaxed);
    }
    spawned.is_ok()
}

fn background(weak: &Weak<Repository>, target: &Target, all: bool, name: &str) {
    if let Some(repository) = weak.upgrade() {
        let progress = &repository.reindex;
        for counter in [&progress.looked_at, &progress.changed, &progress.kept] {
            counter.store(0, Relaxed);
        }
        progress.has_failed.store(false, Relaxed);
    }
    let result = run(target, all, |looked_at| {
        std::thread::sleep(PAUSE);
        let Some(repository) = weak.upgrade() else {
            return false;
        };
        repository.reindex.looked_at.store(looked_at, Relaxed);
        metrics::gauge!("helsenav_reindex_records", "repository" => name.to_owned())
            .set(looked_at as f64);
        true
    });
    let Some(repository) = weak.upgrade() else {
        return;
    };
    let progress = &repository.reindex;
    match result {
        Ok(done) => {
            progress.looked_at.store(done.looked_at, Relaxed);
            progress.changed.store(done.changed, Relaxed);
            progress.kept.store(done.kept, Relaxed);
            if done.looked_at > 0 {
                tracing::info!(
                    repository = name,
                    records = done.changed,
                    kept = done.kept,
                    "search keys made anew"
                );
            }
        }
        Err(error) => {
            progress.has_failed.store(true, Relaxed);
            tracing::warn!(repository = name, %error, "search keys could not be made anew");
        }
    }
    progress.is_running.store(false, Relaxed);
}
