//! A register on the store's log: versions of entries, pages of events, all or nothing.
//!
//! One record per entry (id = [`EntryId`], body = number and content), one record per page of events. Every commit expects
//! the register to stand at the event number that the writer has seen, and moves it on: so writers of all processes take
//! turns, numbers have no gap, and what was checked in memory still holds when it is written.
//!
//! Where earlier versions of an entry must not be kept ([`Content::erases`]), the entry moves: the same commit writes it
//! under another type of record and purges the record that held it, so that it is never missing and never doubled.

use super::events::{Event, Page};
use super::identifiers::Claims;
use super::period::Moment;
use super::{EntryId, EntryNo};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::marker::PhantomData;
use store::{
    Alias, Commit, CommitError, Direction, Expect, FeedEvent, Granted, HistoryScope, IndexKey,
    IndexRow, KeyRange, Op, Position, Privacy, Purge, Put, PutId, Record, Refusal, RepoId, Rid,
    Seq, Snapshot, Store, StoreError,
};

const ENTRY: &str = "Entry";
/// Types of record that an entry moves on to, in turn, when what it was before is erased.
const MOVED: [&str; 2] = ["EntryB", "EntryC"];
const PAGE: &str = "Events";
/// Index parameter of a page: number of its last event, big-endian.
const LAST_EVENT: u32 = 1;
const ROWS: usize = 1_000;

/// What a register holds about one entry.
pub trait Content:
    Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// Kinds of events.
    type Kind: Clone + PartialEq + std::fmt::Debug + Serialize + DeserializeOwned + Send + Sync;
    /// Repository of the register; also names its counters.
    const REPOSITORY: &'static str;

    /// Its identifiers.
    fn claims(&self) -> Claims;
    /// What happened between two versions; never empty when they differ.
    fn events(before: Option<&Self>, after: &Self) -> Vec<Self::Kind>;
    /// Whether this version is one before which nothing may be kept of the entry.
    fn erases(_before: &Self, _after: &Self) -> bool {
        false
    }
    /// What the store must know of identities that are one (spec/privacy.md §7.10). `merged_into` is the content of the
    /// entry that [`Claims::merged_into`] names.
    fn aliases(_before: Option<&Self>, _after: &Self, _merged_into: Option<&Self>) -> Vec<Alias> {
        Vec::new()
    }

    /// Version of what [`Content::keep`] writes: another one is not read, but made anew from the log.
    const KEPT_FORM: u32 = 1;

    /// Appends the content for the kept form ([`super::kept`]): JSON, where a register knows nothing shorter.
    fn keep(&self, out: &mut Vec<u8>) {
        // What cannot be written cannot be read either: the file is not used then.
        let _ = serde_json::to_writer(out, self);
    }

    /// What [`Content::keep`] wrote.
    fn kept(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// An entry as it stands in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry<C> {
    /// Its number.
    pub no: EntryNo,
    /// Its public id.
    pub id: EntryId,
    /// What the register holds about it.
    pub content: C,
    /// Under which type of record it stands.
    pub home: Home,
}

/// Under which type of record an entry stands: the first one, until something of it had to be erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Home(u8);

impl Home {
    const ALL: [Self; 3] = [Self(0), Self(1), Self(2)];

    fn rtype(self) -> &'static str {
        let moved = usize::from(self.0).checked_sub(1);
        moved.and_then(|at| MOVED.get(at)).copied().unwrap_or(ENTRY)
    }

    /// As one byte.
    pub(super) fn byte(self) -> u8 {
        self.0
    }

    /// From one byte.
    pub(super) fn of_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|home| home.0 == byte)
    }

    fn of(rtype: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|home| home.rtype() == rtype)
    }

    /// Where the entry stands after an erasure: never again where it began, so that those who never moved stay in order.
    #[must_use]
    pub(super) fn next(self) -> Self {
        Self(if self.0 == 1 { 2 } else { 1 })
    }
}

/// An entry with the place of a version in history.
#[derive(Clone, Debug, PartialEq)]
pub struct Version<C> {
    /// The entry as it was.
    pub entry: Entry<C>,
    /// Version number, from 1.
    pub version: u32,
    /// When it was written.
    pub written: Moment,
}

/// How far a register has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Number of the last event; 0 before the first.
    pub events: u64,
    /// Number of entries.
    pub entries: u32,
}

/// Why nothing was appended.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// Somebody else has written since: read on and decide anew.
    #[error("the register has moved on")]
    Moved,
    /// The connection broke: it may have been written. Read on, and compare.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// The store refuses or cannot.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One commit of a register.
#[derive(Debug)]
pub struct Batch<C: Content> {
    /// Where the register must stand.
    pub at: Counters,
    /// Where it stands afterwards.
    pub then: Counters,
    /// New versions, in order.
    pub entries: Vec<Entry<C>>,
    /// Their events.
    pub events: Vec<(EntryId, C::Kind)>,
    /// Identities.
    pub aliases: Vec<Alias>,
    /// Entries of the batch whose earlier versions are erased, with where they stood.
    pub erase: Vec<(EntryId, Home)>,
    /// The feed that the batch comes from.
    pub upstream: Option<Upstream>,
}

/// How far a register has followed a feed from outside: moved on in the same commit as what came from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Name of the feed.
    pub feed: String,
    /// Number of the last event that was followed.
    pub at: u64,
    /// And with this batch.
    pub to: u64,
}

impl Upstream {
    fn consumer<C: Content>(feed: &str) -> String {
        format!("register/{}/upstream/{feed}", C::REPOSITORY)
    }
}

/// What the feed brought.
#[derive(Debug)]
pub struct News<C> {
    /// Entries that changed, in order.
    pub entries: Vec<Entry<C>>,
    /// Number of the last event among them; 0 when there was none.
    pub events: u64,
    /// The register was loaded anew as a whole: start over.
    pub reloaded: bool,
    /// Where the feed was read to.
    pub seq: Seq,
}

#[derive(Serialize, Deserialize)]
struct Body<T> {
    no: EntryNo,
    #[serde(rename = "is")]
    content: T,
}

/// The log of one register. `C::REPOSITORY` must be declared, of kind `Internal`.
pub struct RegisterLog<C> {
    store: Store,
    repo: RepoId,
    grant: Granted,
    content: PhantomData<fn() -> C>,
}

impl<C: Content> RegisterLog<C> {
    /// `grant` is the hub's own right to the repository.
    ///
    /// # Errors
    /// When this build does not declare the repository.
    pub fn new(store: Store, grant: Granted) -> Result<Self, StoreError> {
        Ok(Self {
            repo: store.repo(C::REPOSITORY)?,
            store,
            grant,
            content: PhantomData,
        })
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// How far the register has come, for people who ask. Not for decisions: those use what a state in memory has seen
    /// ([`News::events`]), because a commit can be counted a moment before it can be read.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn counters(&self) -> Result<Counters, StoreError> {
        let events = self.store.position(&events_counter::<C>())?.0;
        let entries = self.store.position(&entries_counter::<C>())?.0;
        Ok(Counters {
            events,
            entries: u32::try_from(entries)
                .map_err(|_| StoreError::Corrupt("number of register entries".to_owned()))?,
        })
    }

    /// Writes a batch. Returns its place in the feed.
    ///
    /// # Errors
    /// [`AppendError::Moved`] when the register does not stand where the batch expects it; nothing is written then.
    pub fn append(&self, batch: &Batch<C>) -> Result<Seq, AppendError> {
        let mut commit = Commit {
            expect: vec![Expect::Position {
                consumer: events_counter::<C>(),
                at: Seq(batch.at.events),
            }],
            position: vec![
                Position {
                    consumer: events_counter::<C>(),
                    to: Seq(batch.then.events),
                },
                Position {
                    consumer: entries_counter::<C>(),
                    to: Seq(batch.then.entries.into()),
                },
            ],
            alias: batch.aliases.clone(),
            ..Commit::default()
        };
        if let Some(upstream) = &batch.upstream {
            let consumer = Upstream::consumer::<C>(&upstream.feed);
            commit.expect.push(Expect::Position {
                consumer: consumer.clone(),
                at: Seq(upstream.at),
            });
            commit.position.push(Position {
                consumer,
                to: Seq(upstream.to),
            });
        }
        for entry in &batch.entries {
            commit.put.push(self.entry_put(entry, Op::Update)?);
        }
        commit.purge = batch
            .erase
            .iter()
            .map(|(id, home)| Purge {
                repo: self.repo,
                rtype: home.rtype().to_owned(),
                id: id.to_string(),
            })
            .collect();
        if let Some(page) = Page::after(batch.at.events, batch.events.clone()) {
            commit.put.push(Put {
                id: PutId::Given(format!("e{:019}", page.last())),
                rtype: PAGE.to_owned(),
                op: Op::Create,
                body: encode(&page)?,
                keys: vec![IndexKey {
                    param: LAST_EVENT,
                    value: page.last().to_be_bytes().to_vec(),
                }],
                ..self.blank()
            });
        }
        match self.store.commit(commit) {
            Ok(done) => Ok(done.puts.last().map_or(done.snapshot, |put| put.seq)),
            Err(CommitError::Refused {
                refusal: Refusal::Position { .. },
                ..
            }) => Err(AppendError::Moved),
            Err(CommitError::OutcomeUnknown(text)) => Err(AppendError::Unknown(text)),
            Err(CommitError::Invalid(text)) => Err(StoreError::Invalid(text).into()),
            Err(other) => Err(StoreError::Unavailable(other.to_string()).into()),
        }
    }

    /// Number of the last event of a feed from outside that was followed; 0 before the first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn upstream(&self, feed: &str) -> Result<u64, StoreError> {
        Ok(self.store.position(&Upstream::consumer::<C>(feed))?.0)
    }

    /// Loads an empty register at once, outside the commit path; `each` is told every entry. Events are not written: the
    /// register begins with what is loaded. The caller writes the counters with its first [`RegisterLog::append`].
    ///
    /// # Errors
    /// When the register is not empty, the store refuses, or the contents end with an error: nothing is loaded then.
    pub fn load(
        &self,
        contents: impl IntoIterator<Item = Result<(EntryId, C), StoreError>>,
        mut each: impl FnMut(&Entry<C>) -> Result<(), StoreError>,
    ) -> Result<(Counters, Seq), StoreError> {
        if self.counters()? != Counters::default() {
            return Err(StoreError::Invalid(
                "a register that holds entries cannot be loaded as a whole".to_owned(),
            ));
        }
        let mut writer = self.store.bulk_load(self.repo)?;
        let mut entries = 0u32;
        for next in contents {
            let (id, content) = next?;
            let entry = Entry {
                no: EntryNo(entries),
                id,
                content,
                home: Home::default(),
            };
            writer.put(self.entry_put(&entry, Op::Create)?)?;
            each(&entry)?;
            entries = entries
                .checked_add(1)
                .ok_or_else(|| StoreError::Invalid("more than 2^32 entries".to_owned()))?;
        }
        let seq = writer.finish()?;
        Ok((Counters { events: 0, entries }, seq))
    }

    /// An entry as it is now.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn entry(&self, id: EntryId) -> Result<Option<Entry<C>>, StoreError> {
        // Nearly all stand under the first type: state and record in one question.
        let snapshot = self.store.snapshot_for(self.repo, ENTRY, &id.to_string())?;
        self.entry_in(&*snapshot, id)
    }

    /// The entries of these ids as they are now, in no order; those that do not exist are left out.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn entries(&self, ids: &[EntryId]) -> Result<Vec<Entry<C>>, StoreError> {
        let snapshot = self.store.snapshot()?;
        let mut left: Vec<String> = ids.iter().map(EntryId::to_string).collect();
        let mut found = Vec::with_capacity(ids.len());
        for home in Home::ALL {
            if left.is_empty() {
                break;
            }
            let records = snapshot.read_all(&self.grant, self.repo, home.rtype(), &left)?;
            let mut here = HashSet::with_capacity(records.len());
            for record in records.into_iter().filter(|r| r.head.op != Op::Delete) {
                found.push(decode_entry(&record)?);
                here.insert(record.head.id);
            }
            left.retain(|id| !here.contains(id));
        }
        Ok(found)
    }

    fn entry_in(
        &self,
        snapshot: &dyn store::Reader,
        id: EntryId,
    ) -> Result<Option<Entry<C>>, StoreError> {
        let id = id.to_string();
        for home in Home::ALL {
            let record = snapshot.read(&self.grant, self.repo, home.rtype(), &id)?;
            if let Some(record) = record.filter(|r| r.head.op != Op::Delete) {
                return decode_entry(&record).map(Some);
            }
        }
        Ok(None)
    }

    /// Versions of an entry, newest first, at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn versions(&self, id: EntryId, limit: usize) -> Result<Vec<Version<C>>, StoreError> {
        let snapshot = self.store.snapshot()?;
        let mut versions = Vec::new();
        // Of the places where the entry once stood nothing is left.
        for home in Home::ALL {
            let scope = HistoryScope::Instance {
                repo: self.repo,
                rtype: home.rtype().to_owned(),
                id: id.to_string(),
            };
            for record in snapshot.history(&self.grant, &scope, None, limit)? {
                if matches!(record.head.op, Op::Create | Op::Update) {
                    versions.push(Version {
                        entry: decode_entry(&record)?,
                        version: record.head.vno.0,
                        written: Moment(record.head.at.div_euclid(1_000)),
                    });
                }
            }
        }
        Ok(versions)
    }

    /// An entry as the register knew it at an instant.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn known_at(&self, id: EntryId, at: Moment) -> Result<Option<Entry<C>>, StoreError> {
        const MOST: usize = 10_000;
        Ok(self
            .versions(id, MOST)?
            .into_iter()
            .find(|v| v.written <= at)
            .map(|v| v.entry))
    }

    /// Events from a number on (inclusive), at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn events(&self, from: u64, limit: usize) -> Result<Vec<Event<C::Kind>>, StoreError> {
        let snapshot = self.store.snapshot()?;
        let range = KeyRange {
            param: LAST_EVENT,
            from: from.to_be_bytes().to_vec(),
            to: None,
        };
        let mut found: Vec<Event<C::Kind>> = Vec::new();
        let mut after: Option<IndexRow> = None;
        // A page holds at least one event, so few pages can be enough: begin small.
        let mut pages = 4;
        while found.len() < limit {
            let rows = snapshot.scan(
                &self.grant,
                self.repo,
                &range,
                Direction::Ascending,
                after.as_ref(),
                pages,
            )?;
            let Some(last) = rows.last().cloned() else {
                break;
            };
            after = Some(last);
            let rids: Vec<Rid> = rows.iter().map(|r| r.rid).collect();
            for record in snapshot.fetch(&self.grant, &rids)? {
                let page: Page<C::Kind> = decode(&record.body)?;
                let room = limit.saturating_sub(found.len());
                found.extend(page.from(from).take(room));
            }
            pages = (pages * 2).min(256);
        }
        Ok(found)
    }

    /// The last event.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn last_event(&self) -> Result<Option<Event<C::Kind>>, StoreError> {
        let snapshot = self.store.snapshot()?;
        match self.last_in(&*snapshot)? {
            0 => Ok(None),
            last => Ok(self.events(last, 1)?.into_iter().next()),
        }
    }

    /// Number of the last event in a snapshot.
    fn last_in(&self, snapshot: &dyn store::Reader) -> Result<u64, StoreError> {
        let rows = snapshot.scan(
            &self.grant,
            self.repo,
            &KeyRange::whole(LAST_EVENT),
            Direction::Descending,
            None,
            1,
        )?;
        let value = rows.first().and_then(|r| r.value.first_chunk::<8>());
        Ok(value.map_or(0, |bytes| u64::from_be_bytes(*bytes)))
    }

    /// Every entry, by number, with the place of the state that was read and the counters of that state.
    ///
    /// # Errors
    /// When the store cannot be read, what `each` returns, and `Corrupt` when numbers are missing.
    pub fn scan(
        &self,
        mut each: impl FnMut(Entry<C>) -> Result<(), StoreError>,
    ) -> Result<(Counters, Seq), StoreError> {
        let snapshot = self.store.snapshot()?;
        // Those who moved are few, and out of order: each takes its place among the others.
        let mut moved = BTreeMap::new();
        for rtype in MOVED {
            self.each(&snapshot, rtype, &mut |entry| {
                moved.insert(entry.no, entry);
                Ok(())
            })?;
        }
        let mut expected = 0u32;
        self.each(&snapshot, ENTRY, &mut |entry| {
            while expected < entry.no.0 {
                each(take(&mut moved, expected)?)?;
                expected += 1;
            }
            if entry.no.0 != expected {
                return Err(missing::<C>(expected));
            }
            expected += 1;
            each(entry)
        })?;
        while !moved.is_empty() {
            each(take(&mut moved, expected)?)?;
            expected += 1;
        }
        let counters = Counters {
            events: self.last_in(&*snapshot)?,
            entries: expected,
        };
        Ok((counters, snapshot.seq()))
    }

    /// Every entry that stands under a type of record, in order of records.
    fn each(
        &self,
        snapshot: &Snapshot,
        rtype: &str,
        each: &mut dyn FnMut(Entry<C>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut after = Rid(0);
        loop {
            let rids = snapshot.type_rids(&self.grant, self.repo, rtype, after, ROWS)?;
            let Some(last) = rids.last() else {
                return Ok(());
            };
            after = *last;
            for record in self.records(snapshot, &rids)? {
                each(decode_entry(&record)?)?;
            }
        }
    }

    fn records(&self, snapshot: &Snapshot, rids: &[Rid]) -> Result<Vec<Record>, StoreError> {
        let records = snapshot.fetch(&self.grant, rids)?;
        if records.len() == rids.len() {
            Ok(records)
        } else {
            Err(StoreError::Corrupt(format!(
                "register {}: a record has no body",
                C::REPOSITORY
            )))
        }
    }

    /// What was committed after `seq`, by any process; at most some thousands of entries at a time. Ask again until `seq`
    /// stays.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn news(&self, seq: Seq) -> Result<News<C>, StoreError> {
        let feed = self.store.feed(seq, ROWS)?;
        let mut news = News {
            entries: Vec::new(),
            events: 0,
            reloaded: false,
            seq: feed.last().map_or(seq, |e| e.seq),
        };
        let mut ids: Vec<EntryId> = Vec::new();
        let mut known: HashSet<EntryId> = HashSet::new();
        for entry in feed {
            match entry.event {
                FeedEvent::Version {
                    repo, rtype, id, ..
                } if repo == self.repo && Home::of(&rtype).is_some() => {
                    let id = id.parse().map_err(|_| {
                        StoreError::Corrupt(format!("register {}: entry id", C::REPOSITORY))
                    })?;
                    if known.insert(id) {
                        ids.push(id);
                    }
                }
                FeedEvent::Version {
                    repo, rtype, id, ..
                } if repo == self.repo && rtype == PAGE => {
                    let last = id.strip_prefix('e').and_then(|n| n.parse().ok());
                    news.events = news.events.max(last.unwrap_or(0));
                }
                FeedEvent::Generation { target, .. } if target == C::REPOSITORY => {
                    news.reloaded = true;
                }
                _ => {}
            }
        }
        if !ids.is_empty() {
            news.entries = self.entries(&ids)?;
        }
        Ok(news)
    }

    fn entry_put(&self, entry: &Entry<C>, op: Op) -> Result<Put, StoreError> {
        Ok(Put {
            id: PutId::Given(entry.id.to_string()),
            rtype: entry.home.rtype().to_owned(),
            op,
            body: encode(&Body {
                no: entry.no,
                content: &entry.content,
            })?,
            ..self.blank()
        })
    }

    fn blank(&self) -> Put {
        Put {
            repo: self.repo,
            rtype: String::new(),
            id: PutId::New,
            op: Op::Update,
            body: Bytes::new(),
            keys: Vec::new(),
            pack: 0,
            persons: Vec::new(),
            privacy: Privacy::default(),
            blobs: Vec::new(),
        }
    }
}

fn take<C: Content>(
    moved: &mut BTreeMap<EntryNo, Entry<C>>,
    expected: u32,
) -> Result<Entry<C>, StoreError> {
    let found = moved.remove(&EntryNo(expected));
    found.ok_or_else(|| missing::<C>(expected))
}

fn missing<C: Content>(expected: u32) -> StoreError {
    StoreError::Corrupt(format!(
        "register {}: entry {expected} is missing or out of order",
        C::REPOSITORY
    ))
}

fn events_counter<C: Content>() -> String {
    format!("register/{}/events", C::REPOSITORY)
}

/// The counter of entries: above 0 once the register holds something.
pub(crate) fn entries_counter<C: Content>() -> String {
    format!("register/{}/entries", C::REPOSITORY)
}

fn encode(value: &impl Serialize) -> Result<Bytes, StoreError> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(|e| StoreError::Invalid(format!("register body: {e}")))
}

// Positions in the text only: serde's messages can repeat the value, which may be a national id.
fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(body).map_err(|e| {
        StoreError::Corrupt(format!(
            "register body, line {} column {}",
            e.line(),
            e.column()
        ))
    })
}

fn decode_entry<C: Content>(record: &Record) -> Result<Entry<C>, StoreError> {
    let body: Body<C> = decode(&record.body)?;
    let id = record
        .head
        .id
        .parse()
        .map_err(|_| StoreError::Corrupt("register entry id".to_owned()))?;
    Ok(Entry {
        no: body.no,
        id,
        content: body.content,
        home: Home::of(&record.head.rtype).unwrap_or_default(),
    })
}
