//! The engine: reads the feed, counts what fires, keeps the status of subscriptions, starts and stops their deliverers.
//!
//! One thread per repository. Everything it changes goes through commits that stand on the place in the feed or on the
//! subscription's version, so a second process, or a crash, never counts an event twice.

use super::definition::{Channel, Definition, Status};
use super::hook::{Control, Hook};
use super::ledger::{Event, Ledger, State, first_place};
use super::matching::Change;
use super::notify::{self, Kind, Notice};
use super::topic::Topics;
use super::{Running, Subscriptions, hook};
use crate::outcome::Failure;
use crate::render::Members;
use crate::repository::Repository;
use crate::write::prepare_doc;
use bytes::Bytes;
use edge::listen::Shutdown;
use fhir::{Doc, Limits};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use store::{
    Claim, Commit, CommitError, Enqueue, Expect, FeedEntry, FeedEvent, Granted, Op, Position, Put,
    PutId, Record, Rid, Seq, Snapshot, Vno,
};
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
        self.place = match self.kept {
            Seq(0) => first_place(snapshot.seq(), waiting.into_iter()),
            kept => kept,
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
        let entries = self.entries()?;
        if entries.is_empty() {
            return Ok(false);
        }
        self.process(&entries)?;
        Ok(true)
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

    fn entry(
        &mut self,
        snapshot: &Snapshot,
        granted: &Granted,
        entry: &FeedEntry,
        end: Seq,
        batch: &mut Batch,
    ) -> Result<(), Trouble> {
        let FeedEvent::Version {
            repo,
            rtype,
            rid,
            id,
            vno,
            op,
            ..
        } = &entry.event
        else {
            return Ok(());
        };
        if *repo != self.repository.config.repo {
            return Ok(());
        }
        match rtype.as_str() {
            "Subscription" => self.defined(snapshot, id, *vno, *op, batch)?,
            "Basic" => self.topics_changed(snapshot)?,
            _ => {}
        }
        let repository = self.repository.clone();
        let change = Change::new(
            &repository,
            snapshot,
            granted,
            (rtype, id),
            *rid,
            *vno,
            *op,
            end,
        );
        let mut fired = Vec::new();
        for (sub_id, sub) in &self.subs {
            let Some(definition) = &sub.definition else {
                continue;
            };
            let counts = sub.state.since.is_some_and(|since| entry.seq.0 > since);
            if !counts || !definition.watch.concerns(rtype) {
                continue;
            }
            match change.fires(&definition.watch) {
                Ok(false) => {}
                Ok(true) => fired.push(sub_id.clone()),
                Err(failure) if failure.status.is_server_error() => return Err(failure.into()),
                Err(failure) if definition.status != Status::Error => {
                    let why = failure.issues.first().map_or("", |i| i.text.as_str());
                    self.fail(sub_id, sub.state.vno, format!("criteria: {why}"));
                }
                Err(_) => {}
            }
        }
        for sub_id in fired {
            self.count(snapshot, granted, &sub_id, &change, entry.at, batch)?;
        }
        Ok(())
    }

    fn fail(&self, id: &str, vno: u32, why: String) {
        let message = Control::Failed {
            id: id.to_owned(),
            vno,
            why,
        };
        let _ = self.sender.send(message);
    }

    /// Gives the change its number.
    fn count(
        &mut self,
        snapshot: &Snapshot,
        granted: &Granted,
        sub_id: &str,
        change: &Change<'_>,
        at: i64,
        batch: &mut Batch,
    ) -> Result<(), Failure> {
        let Some(sub) = self.subs.get_mut(sub_id) else {
            return Ok(());
        };
        sub.state.count += 1;
        let event = Event {
            number: sub.state.count,
            at,
            rtype: change.rtype.to_owned(),
            id: change.id.to_owned(),
            vno: change.vno.0,
            op: change.op,
        };
        self.ledger.push(
            snapshot,
            sub_id,
            &event,
            &mut batch.taken,
            &mut batch.expect,
        )?;
        batch.dirty.insert(sub_id.to_owned());
        metrics::counter!("helsenav_subscription_events_total").increment(1);
        let (definition, vno) = (sub.definition.clone(), sub.state.vno);
        if let Some(definition) = definition
            && let Channel::Queue(queue) = &definition.channel
            && definition.status == Status::Active
        {
            let stats = change.repository.config.store.queue_stats(queue)?;
            let waiting = stats.ready + stats.delayed + stats.leased + stats.dead;
            let here = batch.enqueue.iter().filter(|e| &e.queue == queue).count() as u64;
            if waiting + here >= self.shared.config.max_queued {
                self.fail(sub_id, vno, "the queue is full".to_owned());
                return Ok(());
            }
            let message = self.message(snapshot, granted, &definition, queue, &event)?;
            batch.enqueue.push(message);
        }
        Ok(())
    }

    /// A message for a queue of the hub: the notification, with its number in the headers.
    fn message(
        &self,
        snapshot: &Snapshot,
        granted: &Granted,
        definition: &Definition,
        queue: &str,
        event: &Event,
    ) -> Result<Enqueue, Failure> {
        let notice = Notice::of(definition, Kind::Event, event.number);
        let events = std::slice::from_ref(event);
        let body = notify::bundle(&self.repository, snapshot, granted, &notice, events)?;
        let body = match definition.mime {
            Some(mime) => notify::in_form(body, mime),
            None => body,
        };
        let headers = serde_json::json!({
            "subscription": definition.id,
            "topic": definition.topic,
            "event-number": event.number,
            "content-type": definition.mime.map_or("application/fhir+json", |m| m.media()),
        });
        Ok(Enqueue {
            queue: queue.to_owned(),
            headers: Bytes::from(headers.to_string()),
            body,
            ..Enqueue::default()
        })
    }

    /// A Subscription resource was written, deleted or erased.
    fn defined(
        &mut self,
        snapshot: &Snapshot,
        id: &str,
        vno: Vno,
        op: Op,
        batch: &mut Batch,
    ) -> Result<(), Trouble> {
        if matches!(op, Op::Delete | Op::Purge) {
            return self.forget(id, batch);
        }
        if self.subs.get(id).is_some_and(|s| s.state.vno >= vno.0) {
            // Our own write, known already.
            return Ok(());
        }
        let repo = self.repository.config.repo;
        let grant = self.repository.config.gate.hub_grant();
        let Some(record) = snapshot.vread(&grant, repo, "Subscription", id, vno)? else {
            return Ok(());
        };
        let read = self.read(&record);
        let (mut state, raw, count) = match self.subs.remove(id) {
            Some(mut sub) => (
                std::mem::take(&mut sub.state),
                sub.raw.take(),
                sub.count.clone(),
            ),
            None => (State::default(), None, watch::channel(0).0),
        };
        state.vno = vno.0;
        state.is_on = false;
        let is_on = matches!(
            read.as_ref().map(|d| d.status),
            Ok(Status::Requested | Status::Active)
        );
        if !is_on {
            state.since = None;
        }
        let definition = match read {
            // Active is the server's word: a client that writes it asks for it.
            Ok(mut definition) => {
                if is_on {
                    definition.status = Status::Requested;
                }
                Some(Arc::new(definition))
            }
            Err(failure) => {
                let why = failure.issues.first().map_or("", |i| i.text.as_str());
                self.fail(id, vno.0, why.to_owned());
                None
            }
        };
        let sub = Sub {
            state,
            raw,
            definition,
            count,
            task: None,
        };
        self.subs.insert(id.to_owned(), sub);
        batch.dirty.insert(id.to_owned());
        batch.begin.insert(id.to_owned());
        Ok(())
    }

    /// Frees what is kept of a subscription that is gone.
    fn forget(&mut self, id: &str, batch: &mut Batch) -> Result<(), Trouble> {
        // What this batch has gathered must be in the store before it can be undone.
        self.commit(batch)?;
        self.subs.remove(id);
        let now = self.repository.snapshot()?;
        self.ledger.forget(&now, id, &mut batch.expect)?;
        batch.ends_here = true;
        self.show();
        Ok(())
    }

    fn topics_changed(&mut self, snapshot: &Snapshot) -> Result<(), Failure> {
        let repository = self.repository.clone();
        let grant = repository.config.gate.hub_grant();
        self.topics = Topics::load(&repository, snapshot, &grant)?;
        let ids: Vec<(String, u32)> = self
            .subs
            .iter()
            .filter(|(_, s)| s.definition.as_ref().is_none_or(|d| d.is_topic()))
            .map(|(id, s)| (id.clone(), s.state.vno))
            .collect();
        for (id, vno) in ids {
            let repo = repository.config.repo;
            let found = snapshot.vread(&grant, repo, "Subscription", &id, Vno(vno))?;
            let Some(record) = found else { continue };
            let read = self.read(&record);
            let Some(sub) = self.subs.get_mut(&id) else {
                continue;
            };
            match read {
                Ok(mut definition) => {
                    if let Some(old) = &sub.definition {
                        definition.status = old.status;
                    }
                    sub.definition = Some(Arc::new(definition));
                }
                Err(_) if sub.state.is_on => {
                    self.fail(&id, vno, "its topic is not there any more".to_owned());
                }
                Err(_) => {}
            }
        }
        Ok(())
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

    /// Starts what a subscription's status asks for: the handshake, or its deliverer.
    fn begin(&mut self, id: &str) {
        let Some(sub) = self.subs.get_mut(id) else {
            return;
        };
        if let Some(task) = sub.task.take() {
            task.abort();
        }
        let Some(definition) = sub.definition.clone() else {
            return;
        };
        let is_hook = matches!(definition.channel, Channel::Hook { .. });
        let hook = Hook {
            repository: self.repository.clone(),
            config: self.shared.config.clone(),
            ledger: self.ledger.clone(),
            client: self.client.clone(),
            permits: self.permits.clone(),
            running: Arc::new(Running {
                definition: definition.clone(),
                count: sub.count.clone(),
            }),
            vno: sub.state.vno,
            control: self.sender.clone(),
        };
        match definition.status {
            Status::Requested if is_hook && definition.is_topic() => {
                sub.task = Some(self.runtime.spawn(hook.shake_hands()).abort_handle());
            }
            Status::Requested => {
                let message = Control::Ready {
                    id: id.to_owned(),
                    vno: sub.state.vno,
                };
                let _ = self.sender.send(message);
            }
            Status::Active if is_hook => {
                sub.task = Some(self.runtime.spawn(hook.deliver()).abort_handle());
            }
            _ => {}
        }
    }

    fn control(&mut self, message: Control) -> Result<(), Trouble> {
        match message {
            Control::Ready { id, vno } => self.turn(&id, vno, Status::Active, None),
            Control::Failed { id, vno, why } => {
                tracing::info!(%id, %why, "a subscription goes into error");
                self.turn(&id, vno, Status::Error, Some(&why))
            }
        }
    }

    /// Turns subscriptions off whose time is over.
    fn ends(&mut self) -> Result<(), Trouble> {
        if self.looked_at_ends.elapsed() < Duration::from_secs(1) {
            return Ok(());
        }
        self.looked_at_ends = Instant::now();
        let now = edge::clock::real_now_us();
        let over: Vec<(String, u32)> = self
            .subs
            .iter()
            .filter(|(_, s)| {
                s.definition.as_ref().is_some_and(|d| {
                    d.end.is_some_and(|end| end <= now)
                        && matches!(d.status, Status::Active | Status::Requested)
                })
            })
            .map(|(id, s)| (id.clone(), s.state.vno))
            .collect();
        for (id, vno) in over {
            self.turn(&id, vno, Status::Off, None)?;
        }
        Ok(())
    }

    /// Writes a new version of the Subscription with another status. Nothing happens when it was changed meanwhile: the
    /// feed brings that.
    fn turn(
        &mut self,
        id: &str,
        vno: u32,
        status: Status,
        error: Option<&str>,
    ) -> Result<(), Trouble> {
        let Some(sub) = self.subs.get(id).filter(|s| s.state.vno == vno) else {
            return Ok(());
        };
        let repository = self.repository.clone();
        let repo = repository.config.repo;
        let grant = repository.config.gate.hub_grant();
        let snapshot = repository.snapshot()?;
        let found = snapshot.read(&grant, repo, "Subscription", id)?;
        let Some(record) = found.filter(|r| r.head.vno.0 == vno && r.head.op != Op::Delete) else {
            return Ok(());
        };
        let is_so_already = sub.definition.as_ref().is_some_and(|d| d.status == status);
        if is_so_already {
            return Ok(());
        }
        let mut state = sub.state.clone();
        state.vno = vno + 1;
        state.is_on = status == Status::Active;
        state.since = match status {
            Status::Off => None,
            _ => state.since.or(Some(snapshot.seq().0)),
        };
        if status == Status::Error && sub.state.since.is_none() {
            // It never began; there is nothing to count.
            state.since = None;
        }
        let put = self.with_status(&record, status, error)?;
        let mut expect = vec![Expect::Version {
            repo,
            rtype: "Subscription".to_owned(),
            id: id.to_owned(),
            vno: Vno(vno),
        }];
        self.ledger
            .set_state(id, sub.raw.as_deref(), &state, &mut expect);
        if status == Status::Active && self.ledger.sent(&snapshot, id)?.is_none() {
            self.ledger.set_sent(id, None, state.count, &mut expect);
        }
        let commit = Commit {
            expect,
            put: vec![put],
            ..Commit::default()
        };
        match repository.config.store.commit(commit) {
            Ok(_) => {}
            Err(CommitError::Refused {
                refusal: store::Refusal::Version { .. },
                ..
            }) => return Ok(()),
            Err(error) => return Err(lost(error)),
        }
        if let Some(sub) = self.subs.get_mut(id) {
            sub.raw = serde_json::to_vec(&state).ok();
            sub.state = state;
            if let Some(old) = sub.definition.take() {
                sub.definition = Some(Arc::new(Definition {
                    status,
                    ..(*old).clone()
                }));
            }
        }
        self.begin(id);
        self.show();
        Ok(())
    }

    /// The resource with another status and error; everything else stays as written.
    fn with_status(
        &self,
        record: &Record,
        status: Status,
        error: Option<&str>,
    ) -> Result<Put, Failure> {
        let raw = |text: &str| {
            serde_json::to_string(text)
                .and_then(RawValue::from_string)
                .map_err(|_| Failure::internal())
        };
        let Members(mut members) =
            serde_json::from_slice(&record.body).map_err(|_| Failure::internal())?;
        members.retain(|(name, _)| !matches!(name.as_str(), "error" | "_error"));
        for (name, value) in &mut members {
            if name == "status" {
                *value = raw(status.code())?;
            }
        }
        if let Some(error) = error {
            let at = members
                .iter()
                .position(|(name, _)| name == "channel")
                .unwrap_or(members.len());
            members.insert(at, ("error".to_owned(), raw(error)?));
        }
        let mut body = Vec::with_capacity(record.body.len() + 64);
        for (index, (name, value)) in members.iter().enumerate() {
            body.push(if index == 0 { b'{' } else { b',' });
            body.extend_from_slice(
                serde_json::Value::from(name.as_str())
                    .to_string()
                    .as_bytes(),
            );
            body.push(b':');
            body.extend_from_slice(value.get().as_bytes());
        }
        body.push(b'}');
        let doc = Doc::parse_json(Bytes::from(body), &Limits::default())
            .map_err(|findings| Failure::findings(&findings))?;
        let mut put = prepare_doc(
            self.repository.config.repo,
            "Subscription",
            PutId::Given(record.head.id.clone()),
            Op::Update,
            &doc,
            Some(&self.repository.options),
        )
        .map_err(|findings| Failure::findings(&findings))?;
        put.privacy = record.head.privacy.clone();
        Ok(put)
    }

    /// Whether this process is the one that works; takes or renews the claim where several share the store.
    fn lead(&mut self) -> Result<bool, Failure> {
        let lease = self.shared.config.lease;
        let now = Instant::now();
        if self.shared.config.is_alone
            || self
                .leads_until
                .is_some_and(|until| until > now + lease / 2)
        {
            return Ok(true);
        }
        let store = &self.repository.config.store;
        let held = store.snapshot()?.claim(&self.ledger.lead, b"")?;
        if held.as_ref().is_some_and(|v| *v != self.token) {
            self.leads_until = None;
            return Ok(false);
        }
        let mut expect = Vec::new();
        if held.is_some() {
            expect.push(self.held());
        }
        let lease_us = i64::try_from(lease.as_micros()).unwrap_or(i64::MAX);
        expect.push(Expect::Claim(Claim {
            space: self.ledger.lead.clone(),
            key: Vec::new(),
            value: self.token.clone(),
            until: Some(edge::clock::real_now_us().saturating_add(lease_us)),
        }));
        let commit = Commit {
            expect,
            ..Commit::default()
        };
        match store.commit(commit) {
            Ok(_) => {
                self.leads_until = Some(now + lease);
                Ok(true)
            }
            Err(CommitError::Refused { .. }) => {
                self.leads_until = None;
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn held(&self) -> Expect {
        Expect::ClaimHeld {
            space: self.ledger.lead.clone(),
            key: Vec::new(),
            value: Some(self.token.clone()),
            release: true,
        }
    }

    /// Lets another process work at once.
    fn resign(&mut self) {
        self.subs.clear();
        if self.leads_until.is_some() && !self.shared.config.is_alone {
            let commit = Commit {
                expect: vec![self.held()],
                ..Commit::default()
            };
            let _ = self.repository.config.store.commit(commit);
        }
    }
}

/// A refused commit means that somebody else was there.
fn lost(error: CommitError) -> Trouble {
    match error {
        CommitError::Refused { .. } => Outrun.into(),
        other => Trouble::Failure(other.into()),
    }
}
