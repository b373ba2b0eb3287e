//! Look-ups of registers, counted for the citizen by organisation and month (spec/privacy.md §9.1): what she sees of them,
//! instead of a line for each.
//!
//! [`Counting`] reads the sealed journal once, in the order of its streams, and folds it into one small record per person
//! and month. How far it has come is a record of the same commit: after a crash, or beside a second process, every look-up
//! counts once.
//!
//! It deliberately knows no form of a look-up: the registers' edges tell it ([`Reading`]).

use crate::class::Class;
use crate::facts::Controller;
use crate::gather::{Trust, oslo_date};
use bytes::Bytes;
use registers::Directory;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use store::{
    Commit, CommitError, Direction, Expect, Granted, IndexKey, JournalEntry, KeyRange, MicrosUtc,
    Op, PersonKey, PersonRef, Privacy, Purge, Put, PutId, RepoId, Snapshot, StoreError, Vno,
};

/// Repository of the counts.
pub const REPOSITORY: &str = "oppslagstall";
/// Months that are kept, the running one included.
pub const MONTHS_KEPT: i32 = 24;
/// Persons and months written in one commit, about: an entry with many more is folded in pieces.
const MAX_TALLIES: usize = 2_000;
/// Entries read for one commit.
const MAX_ENTRIES: usize = 5_000;
/// Entries read at a time.
const PAGE: usize = 200;
/// Organisations told apart in one person's month; what comes beyond is counted together.
const MAX_ORGANISATIONS: usize = 500;
/// Most records of one person: each of her entries in the register has one per month.
const MAX_RECORDS: usize = 2_000;
/// Counts removed in one commit.
const MAX_PURGED: usize = 1_000;

const COUNT: &str = "Count";
const PLACE: &str = "Place";
const PLACE_ID: &str = "folded";
/// Index parameter: the month of a count.
const MONTH_PARAM: u32 = 1;

/// Whom a look-up showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Whom {
    /// By number of the entry in the person register.
    Entry(u32),
    /// By key.
    Key(PersonKey),
}

/// One look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// When, on the rules' clock.
    pub at: MicrosUtc,
    /// The organisation that looked; empty when it is not known.
    pub orgnr: String,
    /// Persons shown.
    pub persons: Vec<Whom>,
}

/// Reads look-ups out of journal entries.
pub trait Reading: Send + Sync {
    /// The look-ups of an entry; none for an entry of another kind and for what was refused.
    fn looks(&self, entry: &JournalEntry) -> Vec<Look>;

    /// The person of an entry number; `None` when she has no identifier.
    ///
    /// # Errors
    /// When the register cannot be read.
    fn person(&self, number: u32) -> Result<Option<PersonRef>, StoreError>;
}

/// How far the journal is folded.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Place {
    /// When everything that was sealed had been folded last.
    complete_us: MicrosUtc,
    /// By stream: the newest entry folded, and how many look-ups of the next one.
    streams: BTreeMap<String, (u64, usize)>,
}

#[derive(Default, Serialize, Deserialize)]
struct Counts {
    month: String,
    looks: BTreeMap<String, u64>,
}

impl Counts {
    fn add(&mut self, orgnr: &str, looks: u64) {
        let is_known = self.looks.contains_key(orgnr);
        let name = if is_known || self.looks.len() < MAX_ORGANISATIONS {
            orgnr
        } else {
            ""
        };
        let count = self.looks.entry(name.to_owned()).or_default();
        *count = count.saturating_add(looks);
    }
}

/// What a run has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// Look-ups of persons counted.
    pub looks: u64,
    /// Counts removed because their months are over.
    pub purged: u64,
}

/// Why a run stopped; the next one goes on from the last commit.
#[derive(Debug, thiserror::Error)]
pub enum CountError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store cannot be written, or another process has folded the same entries meanwhile.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// The job that folds the journal.
pub struct Counting<'a> {
    trust: &'a Trust,
    grant: Granted,
    repo: RepoId,
    reading: &'a dyn Reading,
    max_tallies: usize,
}

impl<'a> Counting<'a> {
    /// Over the store of `trust`.
    ///
    /// # Errors
    /// When the repository is not declared.
    pub fn new(trust: &'a Trust, reading: &'a dyn Reading) -> Result<Self, StoreError> {
        Ok(Self {
            grant: trust.hub("counts of look-ups"),
            repo: trust.store().repo(REPOSITORY)?,
            trust,
            reading,
            max_tallies: MAX_TALLIES,
        })
    }

    /// Commits after so many persons and months; at least one.
    #[must_use]
    pub fn with_commits_of(mut self, tallies: usize) -> Self {
        self.max_tallies = tallies.max(1);
        self
    }

    /// Folds everything that is sealed, commit by commit, until done or told to stop; then removes what is too old.
    ///
    /// # Errors
    /// When the store cannot be read or written: what is committed stays.
    pub fn run(&self, is_stopping: &dyn Fn() -> bool) -> Result<Folded, CountError> {
        let mut done = Folded::default();
        while !is_stopping() {
            let (looks, is_complete) = self.step()?;
            done.looks += looks;
            if is_complete {
                while !is_stopping() {
                    let purged = self.purge()?;
                    done.purged += purged;
                    if purged == 0 {
                        break;
                    }
                }
                break;
            }
        }
        Ok(done)
    }

    /// One commit; whether everything is folded.
    fn step(&self) -> Result<(u64, bool), CountError> {
        let snapshot = self.trust.store().snapshot()?;
        let (mut place, vno) = place(&snapshot, &self.grant, self.repo)?;
        let before = place.streams.clone();
        let mut tallies = BTreeMap::new();
        let (looks, is_complete) = self.gather(&mut place, &mut tallies)?;
        if place.streams == before {
            // Nothing new: the place is moved once an hour only, for its time.
            let age_us = self.trust.now().saturating_sub(place.complete_us);
            if age_us < 3_600_000_000 {
                return Ok((0, true));
            }
        }
        if is_complete {
            place.complete_us = self.trust.now();
        }
        let mut commit = Commit {
            expect: vec![self.stands(vno)],
            ..Commit::default()
        };
        for ((whom, month), counts) in tallies {
            commit
                .put
                .extend(self.merged(&snapshot, whom, month, counts)?);
        }
        let body = serde_json::to_vec(&place).unwrap_or_default();
        commit
            .put
            .push(self.record(PLACE, PLACE_ID.to_owned(), body, None, None));
        self.trust.store().commit(commit)?;
        Ok((looks, is_complete))
    }

    fn stands(&self, vno: Option<Vno>) -> Expect {
        let (repo, rtype, id) = (self.repo, PLACE.to_owned(), PLACE_ID.to_owned());
        match vno {
            Some(vno) => Expect::Version {
                repo,
                rtype,
                id,
                vno,
            },
            None => Expect::Absent { repo, rtype, id },
        }
    }

    /// Reads on from `place` until a commit is full; how many look-ups, and whether nothing is left.
    fn gather(
        &self,
        place: &mut Place,
        tallies: &mut BTreeMap<(Whom, String), Counts>,
    ) -> Result<(u64, bool), StoreError> {
        let oldest = oldest_month(self.trust.now());
        let (mut looks_counted, mut entries) = (0, 0);
        for stream in self.trust.store().journal_streams()? {
            let (mut after, mut skip) = place.streams.get(&stream).copied().unwrap_or_default();
            loop {
                let page = self.trust.store().journal_after(&stream, after, PAGE)?;
                let is_last = page.len() < PAGE;
                for entry in &page {
                    let looks = self.reading.looks(entry);
                    for (i, look) in looks.iter().enumerate().skip(skip) {
                        if tallies.len() >= self.max_tallies {
                            place.streams.insert(stream, (after, i));
                            return Ok((looks_counted, false));
                        }
                        let month = month_of(look.at);
                        if month >= oldest {
                            looks_counted += add(tallies, look, &month);
                        }
                    }
                    skip = 0;
                    after = entry.sealed.as_ref().map_or(after, |s| s.seq);
                    entries += 1;
                }
                place.streams.insert(stream.clone(), (after, 0));
                if is_last {
                    break;
                }
                if entries >= MAX_ENTRIES {
                    return Ok((looks_counted, false));
                }
            }
        }
        Ok((looks_counted, true))
    }

    /// The new version of a person's month. None for a person who has no identifier (any more).
    fn merged(
        &self,
        snapshot: &Snapshot,
        whom: Whom,
        month: String,
        new: Counts,
    ) -> Result<Option<Put>, StoreError> {
        let (id, person) = match whom {
            Whom::Key(key) => (format!("k{}-{month}", key.0), Some(PersonRef::Key(key))),
            Whom::Entry(no) => (format!("e{no}-{month}"), self.reading.person(no)?),
        };
        let Some(person) = person else {
            return Ok(None);
        };
        let held = snapshot.read(&self.grant, self.repo, COUNT, &id)?;
        let mut counts = match held.filter(|r| r.head.op != Op::Delete) {
            Some(record) => decode(&record.body)?,
            None => Counts::default(),
        };
        counts.month.clone_from(&month);
        for (orgnr, looks) in new.looks {
            counts.add(&orgnr, looks);
        }
        let body =
            serde_json::to_vec(&counts).map_err(|e| StoreError::Invalid(format!("counts: {e}")))?;
        Ok(Some(self.record(
            COUNT,
            id,
            body,
            Some(person),
            Some(month),
        )))
    }

    fn record(
        &self,
        rtype: &str,
        id: String,
        body: Vec<u8>,
        person: Option<PersonRef>,
        month: Option<String>,
    ) -> Put {
        let key = |month: String| IndexKey {
            param: MONTH_PARAM,
            value: month.into_bytes(),
        };
        Put {
            repo: self.repo,
            rtype: rtype.to_owned(),
            id: PutId::Given(id),
            op: Op::Update,
            body: Bytes::from(body),
            keys: month.map(key).into_iter().collect(),
            pack: 0,
            persons: person.into_iter().collect(),
            privacy: Privacy {
                controller: Controller::HN.code().to_owned(),
                class: Class::UsageLog.code(),
                ..Privacy::default()
            },
            blobs: Vec::new(),
        }
    }

    /// Removes counts of months that are over, with all their versions; how many.
    fn purge(&self) -> Result<u64, CountError> {
        let snapshot = self.trust.store().snapshot()?;
        let range = KeyRange {
            param: MONTH_PARAM,
            from: Vec::new(),
            to: Some(oldest_month(self.trust.now()).into_bytes()),
        };
        let rows = snapshot.scan(
            &self.grant,
            self.repo,
            &range,
            Direction::Ascending,
            None,
            MAX_PURGED,
        )?;
        if rows.is_empty() {
            return Ok(0);
        }
        let rids: Vec<_> = rows.iter().map(|row| row.rid).collect();
        let heads = snapshot.heads(&self.grant, &rids)?;
        let purge: Vec<Purge> = heads
            .into_iter()
            .map(|head| Purge {
                repo: self.repo,
                rtype: head.rtype,
                id: head.id,
            })
            .collect();
        let purged = purge.len() as u64;
        self.trust.store().commit(Commit {
            purge,
            ..Commit::default()
        })?;
        Ok(purged)
    }
}

/// Adds a look-up to the tallies, each person once; how many persons.
fn add(tallies: &mut BTreeMap<(Whom, String), Counts>, look: &Look, month: &str) -> u64 {
    let persons: BTreeSet<Whom> = look.persons.iter().copied().collect();
    for whom in &persons {
        let tally = tallies.entry((*whom, month.to_owned())).or_default();
        tally.add(&look.orgnr, 1);
    }
    persons.len() as u64
}

fn place(
    snapshot: &Snapshot,
    grant: &Granted,
    repo: RepoId,
) -> Result<(Place, Option<Vno>), StoreError> {
    match snapshot.read(grant, repo, PLACE, PLACE_ID)? {
        None => Ok((Place::default(), None)),
        Some(record) => {
            let place = serde_json::from_slice(&record.body).map_err(|_| {
                StoreError::Corrupt("the place of the counts of look-ups cannot be read".to_owned())
            })?;
            Ok((place, Some(record.head.vno)))
        }
    }
}

fn decode(body: &[u8]) -> Result<Counts, StoreError> {
    serde_json::from_slice(body)
        .map_err(|_| StoreError::Corrupt("a count of look-ups cannot be read".to_owned()))
}

/// `YYYY-MM` in Norway.
fn month_of(at: MicrosUtc) -> String {
    oslo_date(at).strftime("%Y-%m").to_string()
}

fn oldest_month(now: MicrosUtc) -> String {
    let first = oslo_date(now).first_of_month();
    let back = jiff::Span::new().months(MONTHS_KEPT - 1);
    let oldest = first.checked_sub(back).unwrap_or(first);
    oldest.strftime("%Y-%m").to_string()
}

/// What one organisation looked up of one person in one month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CountedOrganisation {
    /// Its name, or number when the register does not know it; `None`: not known, or others together.
    pub name: Option<String>,
    /// Look-ups.
    pub count: u64,
}

/// A month of a citizen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CountedMonth {
    /// `YYYY-MM`.
    pub month: String,
    /// The most look-ups first.
    pub organisations: Vec<CountedOrganisation>,
}

/// The counts of a person that `granted` opens, newest month first.
///
/// # Errors
/// When the store cannot be read.
pub fn of_person(
    trust: &Trust,
    snapshot: &Snapshot,
    granted: &Granted,
    person: PersonKey,
) -> Result<Vec<CountedMonth>, StoreError> {
    let repo = trust.store().repo(REPOSITORY)?;
    let persons = BTreeSet::from([person]);
    let rids = snapshot.compartment(granted, repo, &persons, MAX_RECORDS)?;
    let oldest = oldest_month(trust.now());
    let mut months: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for record in snapshot.fetch(granted, &rids)? {
        let counts = decode(&record.body)?;
        if counts.month < oldest {
            continue;
        }
        let month = months.entry(counts.month).or_default();
        for (orgnr, looks) in counts.looks {
            let count = month.entry(orgnr).or_default();
            *count = count.saturating_add(looks);
        }
    }
    let directory: &dyn Directory = trust.directory().as_ref();
    let months = months.into_iter().rev().map(|(month, looks)| {
        let mut organisations: Vec<CountedOrganisation> = looks
            .into_iter()
            .map(|(orgnr, count)| CountedOrganisation {
                name: directory
                    .organisation(&orgnr)
                    .map(|o| o.name)
                    .or_else(|| (!orgnr.is_empty()).then_some(orgnr)),
                count,
            })
            .collect();
        organisations.sort_by(|a, b| b.count.cmp(&a.count).then(a.name.cmp(&b.name)));
        CountedMonth {
            month,
            organisations,
        }
    });
    Ok(months.collect())
}

/// Up to when look-ups are counted; `None` before the first count.
///
/// # Errors
/// When the store cannot be read.
pub fn counted_until(trust: &Trust, snapshot: &Snapshot) -> Result<Option<MicrosUtc>, StoreError> {
    let repo = trust.store().repo(REPOSITORY)?;
    let (place, _) = place(snapshot, &trust.hub("place of the counts"), repo)?;
    Ok((place.complete_us != 0).then_some(place.complete_us))
}
