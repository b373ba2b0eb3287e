//! The message counter (Meldingsteller, spec/messaging.md §9.1): how many messages passed, of which type and version, from whom to whom, by
//! which transport, and what went wrong.
//!
//! It follows the feed: each version of a track says what it adds ([`crate::rules::track::News`]), and the numbers and the place in the feed are written
//! in one commit. So nothing is counted twice or left out, whenever the process ends, and [`Counter::rebuild`] gives the same numbers from the log.
//! Only envelopes are counted; content and persons are unknown here.
//!
//! Two kinds of records: one per hour with totals by type, version and transport, and one per Norwegian day and sending organisation with the parties.

mod asked;
mod places;
mod query;
mod tally;
mod told;

pub use asked::Asked;
pub use places::{Origin, Origins, region_code};
pub use query::{Bucket, CountQuery, CountReport, CountRow, Point};
pub use tally::Counts;
pub(crate) use told::{JustTold, Told};

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use store::{
    Commit, CommitError, Direction, Expect, Granted, IndexKey, KeyRange, Op, Position, Privacy,
    Put, PutId, RepoId, Seq, Snapshot, Store, StoreError,
};

use crate::exchange::{Exchange, ExchangeError};
use crate::tracks::Tracks;
use tally::{Page, Sheet};

/// Name of the repository that holds the numbers, of kind `Internal`.
pub const REPOSITORY: &str = "meldingsteller";

const RTYPE: &str = "MessageCount";
const CONSUMER: &str = "meldingsteller";
const PACK: u32 = 1;
/// Places of the feed looked at in one go.
const CHUNK: usize = 2_000;
/// The place is kept at least so often, even when nothing was counted.
const KEEP_EVERY: u64 = 10_000;
/// Of its time, the counter works one part in this many: messages go first.
const REST: u32 = 4;
/// How often it looks while messages come.
const PAUSE: Duration = Duration::from_millis(300);

/// Index parameters of this repository. Stable: they stand in stored keys. Every value begins with the generation.
mod param {
    /// Hour.
    pub const HOUR: u32 = 1;
    /// Day.
    pub const DAY: u32 = 2;
    /// Sending organisation, day.
    pub const FROM: u32 = 3;
    /// Receiving organisation, day.
    pub const TO: u32 = 4;
}

/// Clock time of Norway, from the data built into the program.
pub(crate) static OSLO: LazyLock<TimeZone> = LazyLock::new(|| {
    jiff::tz::TimeZoneDatabase::bundled()
        .get("Europe/Oslo")
        .or_else(|_| TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3"))
        .unwrap_or(TimeZone::UTC)
});

/// The Norwegian day of a moment, days since 1970.
#[must_use]
pub fn today(now_us: i64) -> i64 {
    tally::local(now_us, &OSLO).0
}

/// The counter. Cheap to clone.
#[derive(Clone)]
pub struct Counter {
    inner: Arc<Inner>,
}

struct Inner {
    exchange: Exchange,
    store: Store,
    tracks: Tracks,
    grant: Granted,
    repo: RepoId,
    origins: Origins,
    /// Looked at up to here; the store's place may be behind while nothing is counted.
    seen: Mutex<Seq>,
}

impl Counter {
    /// A counter of what passes through the exchange, without knowledge of where organisations are. Call from a blocking thread.
    ///
    /// # Errors
    /// When the store lacks the repository.
    pub fn new(exchange: &Exchange) -> Result<Self, StoreError> {
        Self::with_origins(exchange, Arc::new(|_| Origin::default()))
    }

    /// The same; `origins` says where organisations are and what they are.
    ///
    /// # Errors
    /// When the store lacks the repository.
    pub fn with_origins(exchange: &Exchange, origins: Origins) -> Result<Self, StoreError> {
        let store = exchange.inner.store.clone();
        let repo = store.repo(REPOSITORY)?;
        Ok(Self {
            inner: Arc::new(Inner {
                exchange: exchange.clone(),
                tracks: exchange.inner.tracks.clone(),
                grant: exchange.inner.tracks.grant().clone(),
                repo,
                origins,
                seen: Mutex::new(Seq(0)),
                store,
            }),
        })
    }

    /// Counts what was committed since the last time, at most one portion; returns how many places of the feed it has passed. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn count_some(&self) -> Result<usize, ExchangeError> {
        let inner = &self.inner;
        let kept = inner.store.position(CONSUMER)?;
        let from = {
            let mut seen = inner.seen.lock().unwrap_or_else(PoisonError::into_inner);
            // Somebody else counts too, or it was reset.
            if *seen < kept || seen.0 > kept.0.saturating_add(2 * KEEP_EVERY) {
                *seen = kept;
            }
            *seen
        };
        // The feed may be ahead of what can be read: what is not there yet is counted next time.
        let snapshot = inner.store.snapshot()?;
        let mut feed = inner.store.feed(from, CHUNK)?;
        feed.retain(|entry| entry.seq <= snapshot.seq());
        let Some(last) = feed.last().map(|entry| entry.seq) else {
            return Ok(0);
        };
        let ours: Vec<Seq> = feed
            .iter()
            .filter(|entry| inner.tracks.is_version(&entry.event))
            .map(|entry| entry.seq)
            .collect();
        let mut sheets = HashMap::new();
        for told in self.told(&snapshot, from, &ours)? {
            tally::enter(&mut sheets, &told, &OSLO);
        }
        if sheets.is_empty() && last.0 < kept.0.saturating_add(KEEP_EVERY) {
            *inner.seen.lock().unwrap_or_else(PoisonError::into_inner) = last;
            return Ok(feed.len());
        }
        let mut commit = Commit {
            expect: vec![Expect::Position {
                consumer: CONSUMER.to_owned(),
                at: kept,
            }],
            position: vec![Position {
                consumer: CONSUMER.to_owned(),
                to: last,
            }],
            ..Commit::default()
        };
        let generation = self.generation()?;
        for (page, more) in sheets {
            let (mut sheet, op) = match self.sheet(generation, page)? {
                Some(sheet) => (sheet, Op::Update),
                None => (Sheet::default(), Op::Create),
            };
            sheet.add(more);
            commit.put.push(self.put(generation, page, &sheet, op));
        }
        match inner.store.commit(commit) {
            Ok(_) => {
                *inner.seen.lock().unwrap_or_else(PoisonError::into_inner) = last;
                Ok(feed.len())
            }
            // Another process has counted it: look again from where it stands.
            Err(CommitError::Refused { .. }) => {
                *inner.seen.lock().unwrap_or_else(PoisonError::into_inner) = Seq(0);
                Ok(1)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Counts all there is now. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn count_all(&self) -> Result<(), ExchangeError> {
        while self.count_some()? > 0 {}
        Ok(())
    }

    /// What the versions at these places tell, in any order: as remembered, and otherwise from the log.
    fn told(
        &self,
        snapshot: &Snapshot,
        from: Seq,
        places: &[Seq],
    ) -> Result<Vec<Told>, ExchangeError> {
        let inner = &self.inner;
        let just_told = &inner.exchange.inner.just_told;
        let (mut told, mut missing) = (Vec::with_capacity(places.len()), Vec::new());
        for place in places {
            match just_told.take(*place) {
                Some(one) => told.push(one),
                None => missing.push(*place),
            }
        }
        let Some(last) = missing.last() else {
            return Ok(told);
        };
        // Those that stand between are read once more than needed: one walk is cheaper than many.
        let between = places.iter().filter(|place| *place <= last).count();
        let read = inner.tracks.versions(snapshot, from, *last, between)?;
        let before = told.len();
        told.extend(
            read.into_iter()
                .filter(|(place, _)| missing.binary_search(place).is_ok())
                .map(|(_, one)| one),
        );
        if told.len() - before != missing.len() {
            tracing::warn!(
                expected = missing.len(),
                read = told.len() - before,
                "messages could not be read for counting"
            );
        }
        Ok(told)
    }

    /// Throws the numbers away and begins again at the beginning of the log. Blocks; the counting itself goes on behind.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn rebuild(&self) -> Result<(), ExchangeError> {
        let inner = &self.inner;
        for _ in 0..10 {
            let kept = inner.store.position(CONSUMER)?;
            let before = self.generation()?;
            let generation = before.wrapping_add(1);
            let put = Put {
                body: generation.to_string().into_bytes().into(),
                ..self.blank(GENERATION_ID, Op::Update)
            };
            let commit = Commit {
                expect: vec![Expect::Position {
                    consumer: CONSUMER.to_owned(),
                    at: kept,
                }],
                position: vec![Position {
                    consumer: CONSUMER.to_owned(),
                    to: Seq(0),
                }],
                put: vec![put],
                ..Commit::default()
            };
            match inner.store.commit(commit) {
                Ok(_) => {
                    *inner.seen.lock().unwrap_or_else(PoisonError::into_inner) = Seq(0);
                    self.forget(before)?;
                    return Ok(());
                }
                Err(CommitError::Refused { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ExchangeError::Interrupted)
    }

    /// Removes the numbers of an earlier generation.
    fn forget(&self, generation: u32) -> Result<(), ExchangeError> {
        let inner = &self.inner;
        for param in [param::HOUR, param::DAY] {
            loop {
                let snapshot = inner.store.snapshot()?;
                let range = KeyRange::prefix(param, &generation.to_be_bytes());
                let rows = snapshot.scan(
                    &inner.grant,
                    inner.repo,
                    &range,
                    Direction::Ascending,
                    None,
                    1_000,
                )?;
                if rows.is_empty() {
                    break;
                }
                let rids: Vec<_> = rows.into_iter().map(|row| row.rid).collect();
                let heads = snapshot.heads(&inner.grant, &rids)?;
                let put = heads
                    .iter()
                    .map(|head| self.blank(&head.id, Op::Delete))
                    .collect();
                inner.store.commit(Commit {
                    put,
                    ..Commit::default()
                })?;
            }
        }
        Ok(())
    }

    /// Numbers of an earlier generation are not looked at any more.
    fn generation(&self) -> Result<u32, StoreError> {
        let inner = &self.inner;
        let record =
            inner
                .store
                .snapshot()?
                .read(&inner.grant, inner.repo, RTYPE, GENERATION_ID)?;
        let text = record.and_then(|record| String::from_utf8(record.body.to_vec()).ok());
        Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0))
    }

    fn sheet(&self, generation: u32, page: Page) -> Result<Option<Sheet>, StoreError> {
        let inner = &self.inner;
        let record =
            inner
                .store
                .snapshot()?
                .read(&inner.grant, inner.repo, RTYPE, &page.id(generation))?;
        Ok(record
            .filter(|record| record.head.op != Op::Delete)
            .and_then(|record| serde_json::from_slice(&record.body).ok()))
    }

    fn put(&self, generation: u32, page: Page, sheet: &Sheet, op: Op) -> Put {
        let prefix = generation.to_be_bytes();
        let key = |param, rest: &[&[u8]]| IndexKey {
            param,
            value: [&prefix[..], &rest.concat()].concat(),
        };
        let keys = match page {
            Page::Hour { hour } => vec![key(param::HOUR, &[&tally::ordered(hour)])],
            Page::Day {
                day,
                from_organisation,
            } => {
                let day = tally::ordered(day);
                let mut keys = vec![
                    key(param::DAY, &[&day]),
                    key(param::FROM, &[&from_organisation.to_be_bytes(), &day]),
                ];
                keys.extend(
                    sheet
                        .receivers()
                        .into_iter()
                        .map(|to| key(param::TO, &[&to.to_be_bytes(), &day])),
                );
                keys
            }
        };
        Put {
            body: serde_json::to_vec(sheet).unwrap_or_default().into(),
            keys,
            ..self.blank(&page.id(generation), op)
        }
    }

    fn blank(&self, id: &str, op: Op) -> Put {
        Put {
            repo: self.inner.repo,
            rtype: RTYPE.to_owned(),
            id: PutId::Given(id.to_owned()),
            op,
            body: bytes::Bytes::new(),
            keys: Vec::new(),
            pack: PACK,
            persons: Vec::new(),
            privacy: Privacy {
                controller: "MELDINGER".to_owned(),
                ..Privacy::default()
            },
            blobs: Vec::new(),
        }
    }
}

const GENERATION_ID: &str = "generation";

/// The thread that counts. Stops when dropped.
pub struct Counting {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Counting {
    /// Starts it.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(counter: &Counter) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, counter) = (stop.clone(), counter.clone());
        let thread = std::thread::Builder::new()
            .name("meldingsteller".to_owned())
            .spawn(move || {
                while !stopped.load(Ordering::Acquire) {
                    let began = Instant::now();
                    match counter.count_some() {
                        Ok(0) => {
                            let seen = *counter
                                .inner
                                .seen
                                .lock()
                                .unwrap_or_else(PoisonError::into_inner);
                            counter
                                .inner
                                .store
                                .wait_feed(seen, Duration::from_millis(500));
                            pause(&stopped, PAUSE);
                        }
                        Ok(_) => pause(&stopped, began.elapsed() * (REST - 1)),
                        Err(error) => {
                            tracing::error!(%error, "messages not counted");
                            pause(&stopped, Duration::from_secs(5));
                        }
                    }
                }
            })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

/// Rests, but not past the end.
fn pause(stopped: &AtomicBool, time: Duration) {
    let until = Instant::now() + time.min(Duration::from_secs(5));
    while !stopped.load(Ordering::Acquire) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(Duration::from_millis(100)));
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
