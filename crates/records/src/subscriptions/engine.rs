//! The engine: reads the feed, counts what fires, keeps the status of subscriptions, starts and stops their deliverers.
//!
//! One thread per repository. Everything it changes goes through commits that stand on the place in the feed or on the
//! subscription's version, so a second process, or a crash, never counts an event twice.

mod feed;
mod lead;
mod status;

use super::definition::{Definition, Status};
use super::hook::Control;
use super::ledger::{Ledger, State, first_place};
use super::notify;
use super::topic::Topics;
use super::{Running, Subscriptions, hook};
use crate::outcome::Failure;
use crate::repository::Repository;
use edge::listen::Shutdown;
use fhir::{Doc, Limits};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use store::{Commit, CommitError, Enqueue, Expect, FeedEntry, Position, Record, Rid, Seq, Vno};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, JoinHandle};

/// Feed entries read at once.
const CHUNK: usize = 500;
/// Most feed entries of one commit that are read at once.
const WHOLE_COMMIT: usize = 100_000;
/// Conditions gathered before a batch is committed.
const MAX_EXPECT: usize = 20_000;
/// The place is kept at least so often, even when nothing fires.
const KEEP_EVERY: u64 = 10_000;
/// How long the engine waits for the feed before it looks at other things.
const WAIT: Duration = Duration::from_millis(100);

/// Starts the engine's thread; ends at shutdown.
pub(super) fn start(
    shared: Arc<Subscriptions>,
    repository: Arc<Repository>,
    shutdown: &Shutdown,
) -> Vec<JoinHandle<()>> {
    let client = match hook::client(&shared.config) {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(%error, "no HTTP client: subscriptions are not served");
            return Vec::new();
        }
    };
    let (sender, receiver) = channel();
    let ledger = Ledger::new(&repository.config.name, shared.config.kept_events);
    let permits = Arc::new(Semaphore::new(shared.config.parallel_deliveries));
    let engine = Engine {
        runtime: Handle::current(),
        token: uuid::Uuid::now_v7().into_bytes().to_vec(),
        shared,
        repository,
        ledger,
        client,
        permits,
        shutdown: shutdown.clone(),
        sender,
        receiver,
        topics: Topics::default(),
        has_passed_over: false,
        subs: BTreeMap::new(),
        place: Seq(0),
        kept: Seq(0),
        leads_until: None,
        looked_at_ends: Instant::now(),
    };
    vec![tokio::task::spawn_blocking(move || engine.run())]
}

/// One subscription in the engine's hands.
struct Sub {
    state: State,
    /// The state as it stands in the store.
    raw: Option<Vec<u8>>,
    definition: Option<Arc<Definition>>,
    count: watch::Sender<u64>,
    /// Handshake or deliverer.
    task: Option<AbortHandle>,
}

impl Drop for Sub {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

/// Changes of one commit.
#[derive(Default)]
struct Batch {
    expect: Vec<Expect>,
    enqueue: Vec<Enqueue>,
    /// Places of rings that this commit has filled.
    taken: HashMap<Vec<u8>, Vec<u8>>,
    /// Subscriptions whose state has changed.
    dirty: BTreeSet<String>,
    /// Subscriptions to begin with once the commit is there.
    begin: BTreeSet<String>,
    /// What was read of the store is old from here on: commit, and read anew.
    ends_here: bool,
}

struct Engine {
    shared: Arc<Subscriptions>,
    repository: Arc<Repository>,
    ledger: Ledger,
    client: reqwest::Client,
    permits: Arc<Semaphore>,
    runtime: Handle,
    shutdown: Shutdown,
    sender: Sender<Control>,
    receiver: Receiver<Control>,
    topics: Topics,
    /// Feed was passed over unread since the topics were loaded.
    has_passed_over: bool,
    subs: BTreeMap<String, Sub>,
    /// Looked at up to here.
    place: Seq,
    /// The same as it stands in the store, which may be behind while nothing fires.
    kept: Seq,
    /// Name of this process in the claim.
    token: Vec<u8>,
    leads_until: Option<Instant>,
    looked_at_ends: Instant,
}

/// Something else moved what this engine stood on; it reads everything anew.
struct Outrun;

enum Trouble {
    Outrun,
    Failure(Failure),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<store::StoreError> for Trouble {
    fn from(error: store::StoreError) -> Self {
        Self::Failure(error.into())
    }
}

impl From<Outrun> for Trouble {
    fn from(_: Outrun) -> Self {
        Self::Outrun
    }
}

impl Engine {
    fn run(mut self) {
        let mut is_loaded = false;
        while !self.shutdown.is_triggered() {
            if !is_loaded {
                match self.load() {
                    Ok(()) => is_loaded = true,
                    Err(failure) => self.stumble(&failure),
                }
                continue;
            }
            match self.step() {
                Ok(true) => {}
                Ok(false) => {
                    self.repository.config.store.wait_feed(self.place, WAIT);
                }
                Err(Trouble::Outrun) => {
                    is_loaded = false;
                    std::thread::sleep(WAIT);
                }
                Err(Trouble::Failure(failure)) => {
                    is_loaded = false;
                    self.stumble(&failure);
                }
            }
        }
        self.resign();
    }

    fn stumble(&self, failure: &Failure) {
        if !self.shutdown.is_triggered() {
            let why = failure.issues.first().map_or("", |i| i.text.as_str());
            tracing::warn!(why, "subscriptions: will try again");
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// Reads all subscriptions as they stood at the kept place.
    fn load(&mut self) -> Result<(), Failure> {
        self.subs.clear();
        let repository = self.repository.clone();
        let repo = repository.config.repo;
        let store = &repository.config.store;
        let snapshot = repository.snapshot()?;
        let grant = repository.config.gate.hub_grant();
        self.topics = Topics::load(&repository, &snapshot, &grant)?;
        self.has_passed_over = false;
        self.kept = store.position(&self.ledger.consumer)?;
        let limit = self.shared.config.max_subscriptions.saturating_mul(2) + 1_000;
        let rids = snapshot.type_rids(&grant, repo, "Subscription", Rid(0), limit)?;
        let mut waiting = Vec::new();
        for record in snapshot.fetch(&grant, &rids)? {
            let id = record.head.id.clone();
            let Some((state, raw)) = self.ledger.state(&snapshot, &id)? else {
                waiting.push(record.head.seq);
                continue;
            };
            let version = snapshot.vread(&grant, repo, "Subscription", &id, Vno(state.vno))?;
            let mut definition = version.as_ref().and_then(|r| self.read(r).ok());
            if let Some(definition) = &mut definition
                && definition.status == Status::Active
                && !state.is_on
            {
                definition.status = Status::Requested;
            }
            let definition = definition.map(Arc::new);
            let count = watch::channel(state.count).0;
            let sub = Sub {
                state,
                raw: Some(raw),
                definition,
                count,
                task: None,
            };
            self.subs.insert(id, sub);
        }
        self.place = if self.subs.is_empty() {
            first_place(snapshot.seq(), waiting.into_iter()).max(self.kept)
        } else {
            self.kept
        };
        let leads = self.subs.is_empty() || self.lead()?;
        let ids: Vec<String> = self.subs.keys().cloned().collect();
        for id in &ids {
            if leads {
                self.begin(id);
            }
        }
        self.show();
        Ok(())
    }

    fn read(&self, record: &Record) -> Result<Definition, Failure> {
        let doc = Doc::parse_json(record.body.clone(), &Limits::default())
            .map_err(|findings| Failure::findings(&findings))?;
        Definition::read(
            &self.repository,
            &self.shared.config,
            &self.topics,
            &doc,
            &record.head.id,
        )
    }

    /// Puts what can be delivered on the board.
    fn show(&self) {
        let mut board = self.shared.board();
        board.clear();
        for (id, sub) in &self.subs {
            if let Some(definition) = &sub.definition {
                let running = Running {
                    definition: definition.clone(),
                    count: sub.count.clone(),
                };
                board.insert(id.clone(), Arc::new(running));
            }
        }
        drop(board);
        self.shared.has_moved();
    }

    /// One round; false when there was nothing to do.
    fn step(&mut self) -> Result<bool, Trouble> {
        if !self.subs.is_empty() && !self.lead()? {
            std::thread::sleep(Duration::from_secs(1));
            return Err(Trouble::Outrun);
        }
        while let Ok(message) = self.receiver.try_recv() {
            self.control(message)?;
        }
        self.ends()?;
        if self.subs.is_empty() && self.has_nobody()? {
            std::thread::sleep(WAIT);
            return Ok(true);
        }
        let entries = self.entries()?;
        if entries.is_empty() {
            return Ok(false);
        }
        self.process(&entries)?;
        Ok(true)
    }

    /// Without any subscription the feed need not be read: the place goes on to the newest state. A subscription that is
    /// made later lies beyond it.
    fn has_nobody(&mut self) -> Result<bool, Failure> {
        let snapshot = self.repository.snapshot()?;
        let grant = self.repository.config.gate.hub_grant();
        let repo = self.repository.config.repo;
        let first = snapshot.type_rids(&grant, repo, "Subscription", Rid(0), 1)?;
        if first.is_empty() {
            self.has_passed_over |= snapshot.seq() > self.place;
            self.place = self.place.max(snapshot.seq());
        } else if self.has_passed_over {
            // A topic may have been stored in what was passed over.
            self.topics = Topics::load(&self.repository, &snapshot, &grant)?;
            self.has_passed_over = false;
        }
        Ok(first.is_empty())
    }

    /// The next entries of the feed, whole commits only.
    fn entries(&self) -> Result<Vec<FeedEntry>, Failure> {
        let store = &self.repository.config.store;
        let mut limit = CHUNK;
        loop {
            let mut entries = store.feed(self.place, limit)?;
            if entries.len() < limit {
                return Ok(entries);
            }
            let last = entries.last().map(|e| e.at);
            let cut = entries.iter().position(|e| Some(e.at) == last).unwrap_or(0);
            if cut > 0 {
                entries.truncate(cut);
                return Ok(entries);
            }
            if limit >= WHOLE_COMMIT {
                return Ok(entries);
            }
            limit = WHOLE_COMMIT;
        }
    }

    fn process(&mut self, entries: &[FeedEntry]) -> Result<(), Trouble> {
        let repository = self.repository.clone();
        let snapshot = repository.snapshot()?;
        let granted = notify::decide(&repository, &snapshot)?;
        let mut batch = Batch::default();
        let mut rest = entries;
        while let Some(first) = rest.first() {
            let length = rest.iter().take_while(|e| e.at == first.at).count();
            let (commit, later) = rest.split_at(length);
            rest = later;
            let end = commit.last().map_or(first.seq, |e| e.seq);
            for entry in commit {
                self.entry(&snapshot, &granted, entry, end, &mut batch)?;
                self.place = entry.seq;
                if batch.ends_here {
                    return self.commit(&mut batch);
                }
                if batch.expect.len() > MAX_EXPECT {
                    self.commit(&mut batch)?;
                }
            }
        }
        self.commit(&mut batch)
    }

    /// Commits a batch with the place; nothing when there is nothing to tell.
    fn commit(&mut self, batch: &mut Batch) -> Result<(), Trouble> {
        let has_changes = !batch.expect.is_empty() || !batch.dirty.is_empty();
        if !has_changes && self.place.0 < self.kept.0 + KEEP_EVERY {
            return Ok(());
        }
        if has_changes && !self.lead()? {
            return Err(Trouble::Outrun);
        }
        let dirty = std::mem::take(&mut batch.dirty);
        let begin = std::mem::take(&mut batch.begin);
        for id in &dirty {
            if let Some(sub) = self.subs.get(id) {
                self.ledger
                    .set_state(id, sub.raw.as_deref(), &sub.state, &mut batch.expect);
            }
        }
        let mut expect = vec![Expect::Position {
            consumer: self.ledger.consumer.clone(),
            at: self.kept,
        }];
        expect.append(&mut batch.expect);
        let commit = Commit {
            expect,
            enqueue: std::mem::take(&mut batch.enqueue),
            position: vec![Position {
                consumer: self.ledger.consumer.clone(),
                to: self.place,
            }],
            ..Commit::default()
        };
        self.repository.config.store.commit(commit).map_err(lost)?;
        self.kept = self.place;
        for id in &dirty {
            if let Some(sub) = self.subs.get_mut(id) {
                sub.raw = serde_json::to_vec(&sub.state).ok();
                sub.count.send_replace(sub.state.count);
            }
        }
        for id in &begin {
            self.begin(id);
        }
        if begin.is_empty() {
            self.shared.has_moved();
        } else {
            self.show();
        }
        Ok(())
    }
}

/// A refused commit means that somebody else was there.
fn lost(error: CommitError) -> Trouble {
    match error {
        CommitError::Refused { .. } => Outrun.into(),
        other => Trouble::Failure(other.into()),
    }
}
