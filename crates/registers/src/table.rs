//! The plain table: register rows as records of the internal repository `registers`, held in memory for look-ups.
//!
//! Rows are JSON bodies of type `Person`, `Practitioner`, `Organisation`, `Party`, keyed by their natural id. Writes go
//! through the store; [`RegisterTable::follow`] takes over what other processes wrote.

use crate::directory::{Directory, Organisation, Party, Person, Practitioner};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use std::collections::{BTreeMap, HashMap};
use std::sync::{PoisonError, RwLock};
use store::{
    Alias, Commit, CommitError, FeedEvent, Granted, Op, PersonRef, Privacy, Put, PutId, RepoId,
    Rid, Seq, Store, StoreError,
};

/// Repository name of the register rows.
pub const REPOSITORY: &str = "registers";
const ROWS_PER_COMMIT: usize = 1_000;
const PAGE: usize = 1_000;

/// One register row on its way into the table.
#[derive(Clone, Debug)]
pub enum Row {
    /// A person.
    Person(Box<Person>),
    /// Personnel.
    Practitioner(Box<Practitioner>),
    /// An organisation.
    Organisation(Box<Organisation>),
    /// A communication party.
    Party(Box<Party>),
}

impl Row {
    fn rtype(&self) -> &'static str {
        match self {
            Self::Person(_) => "Person",
            Self::Practitioner(_) => "Practitioner",
            Self::Organisation(_) => "Organisation",
            Self::Party(_) => "Party",
        }
    }

    /// Natural ids would put national ids into record ids; a digest of them does not.
    fn id(&self) -> String {
        let natural = match self {
            Self::Person(p) => &p.nin,
            Self::Practitioner(p) => &p.nin,
            Self::Organisation(o) => &o.orgnr,
            Self::Party(p) => return format!("her-{}", p.her_id),
        };
        store::sha256(format!("{}|{natural}", self.rtype()).as_bytes())
            .iter()
            .take(16)
            .map(|b| format!("{b:02x}"))
            .collect()
    }

    fn body(&self) -> Result<Bytes, StoreError> {
        fn json(value: &impl Serialize) -> Result<Bytes, StoreError> {
            serde_json::to_vec(value)
                .map(Bytes::from)
                .map_err(|e| StoreError::Invalid(e.to_string()))
        }
        match self {
            Self::Person(p) => json(p),
            Self::Practitioner(p) => json(p),
            Self::Organisation(o) => json(o),
            Self::Party(p) => json(p),
        }
    }
}

#[derive(Default)]
struct Tables {
    persons: HashMap<String, Person>,
    current: HashMap<String, String>,
    folded: Vec<(String, String)>,
    by_hpr: HashMap<String, String>,
    practitioners: BTreeMap<String, Practitioner>,
    parties: BTreeMap<u32, Party>,
    organisations: BTreeMap<String, Organisation>,
    unit_of: HashMap<String, String>,
}

impl Tables {
    fn insert(&mut self, row: Row) {
        match row {
            Row::Person(person) => {
                for old in &person.historic {
                    self.current.insert(old.clone(), person.nin.clone());
                }
                if let Ok(at) = self
                    .folded
                    .binary_search_by(|(_, nin)| nin.cmp(&person.nin))
                {
                    self.folded.remove(at);
                }
                if person.protection < crate::Protection::Confidential {
                    let at = self.folded.partition_point(|(_, nin)| *nin < person.nin);
                    self.folded.insert(
                        at,
                        (codes::fold::fold(&person.name.full()), person.nin.clone()),
                    );
                }
                self.persons.insert(person.nin.clone(), *person);
            }
            Row::Practitioner(practitioner) => {
                if let Some(hpr) = &practitioner.hpr {
                    self.by_hpr.insert(hpr.clone(), practitioner.nin.clone());
                }
                self.practitioners
                    .insert(practitioner.nin.clone(), *practitioner);
            }
            Row::Organisation(organisation) => {
                for unit in &organisation.units {
                    self.unit_of
                        .insert(unit.orgnr.clone(), organisation.orgnr.clone());
                }
                self.organisations
                    .insert(organisation.orgnr.clone(), *organisation);
            }
            Row::Party(party) => {
                self.parties.insert(party.her_id, *party);
            }
        }
    }
}

/// The registers of one hub process.
pub struct RegisterTable {
    store: Store,
    repo: RepoId,
    grant: Granted,
    tables: RwLock<Tables>,
    seen: RwLock<Seq>,
}

impl RegisterTable {
    /// Loads the table. `grant` is the hub job's own right to the repository. Call from a blocking thread.
    pub fn open(store: Store, grant: Granted) -> Result<Self, StoreError> {
        let repo = store.repo(REPOSITORY)?;
        let snapshot = store.snapshot()?;
        let mut tables = Tables::default();
        for rtype in ["Person", "Practitioner", "Organisation", "Party"] {
            let mut after = Rid(0);
            loop {
                let rids = snapshot.type_rids(&grant, repo, rtype, after, PAGE)?;
                let Some(last) = rids.last() else { break };
                after = *last;
                for record in snapshot.fetch(&grant, &rids)? {
                    tables.insert(decode(rtype, &record.body)?);
                }
            }
        }
        let seen = snapshot.seq();
        Ok(Self {
            store,
            repo,
            grant,
            tables: RwLock::new(tables),
            seen: RwLock::new(seen),
        })
    }

    /// Whether nothing has been imported yet.
    pub fn is_empty(&self) -> bool {
        self.read().persons.is_empty() && self.read().organisations.is_empty()
    }

    /// Writes rows in commits of 1 000; a row that exists is replaced. Historic ids of persons become aliases.
    pub fn import(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        for chunk in rows.chunks(ROWS_PER_COMMIT) {
            let mut commit = Commit::default();
            for row in chunk {
                let persons = match row {
                    Row::Person(p) => vec![PersonRef::id(crate::FNR_SYSTEM, &p.nin)],
                    Row::Practitioner(p) => vec![PersonRef::id(crate::FNR_SYSTEM, &p.nin)],
                    _ => Vec::new(),
                };
                if let Row::Practitioner(p) = row
                    && let Some(hpr) = &p.hpr
                {
                    commit.alias.push(Alias::AlsoKnownAs {
                        person: PersonRef::id(crate::FNR_SYSTEM, &p.nin),
                        system: crate::HPR_SYSTEM.to_owned(),
                        value: hpr.clone(),
                    });
                }
                if let Row::Person(p) = row {
                    for old in &p.historic {
                        commit.alias.push(Alias::AlsoKnownAs {
                            person: PersonRef::id(crate::FNR_SYSTEM, &p.nin),
                            system: crate::FNR_SYSTEM.to_owned(),
                            value: old.clone(),
                        });
                    }
                }
                commit.put.push(Put {
                    repo: self.repo,
                    rtype: row.rtype().to_owned(),
                    id: PutId::Given(row.id()),
                    op: Op::Update,
                    body: row.body()?,
                    keys: Vec::new(),
                    pack: 0,
                    persons,
                    privacy: Privacy::default(),
                    blobs: Vec::new(),
                });
            }
            self.store.commit(commit).map_err(|e| match e {
                CommitError::Invalid(text) => StoreError::Invalid(text),
                other => StoreError::Unavailable(other.to_string()),
            })?;
            let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
            for row in chunk {
                tables.insert(row.clone());
            }
        }
        Ok(())
    }

    /// Takes over rows that other processes committed since the last call. Returns the place in the feed reached.
    pub fn follow(&self) -> Result<Seq, StoreError> {
        loop {
            let after = *self.seen.read().unwrap_or_else(PoisonError::into_inner);
            let entries = self.store.feed(after, PAGE)?;
            let Some(last) = entries.last().map(|e| e.seq) else {
                return Ok(after);
            };
            let snapshot = self.store.snapshot()?;
            for entry in entries {
                if let FeedEvent::Version {
                    repo, rtype, rid, ..
                } = entry.event
                    && repo == self.repo
                {
                    for record in snapshot.fetch(&self.grant, &[rid])? {
                        let row = decode(&rtype, &record.body)?;
                        self.tables
                            .write()
                            .unwrap_or_else(PoisonError::into_inner)
                            .insert(row);
                    }
                }
            }
            *self.seen.write().unwrap_or_else(PoisonError::into_inner) = last;
        }
    }

    /// Numbers for the health page: (persons, personnel, organisations, parties).
    pub fn counts(&self) -> (usize, usize, usize, usize) {
        let tables = self.read();
        (
            tables.persons.len(),
            tables.practitioners.len(),
            tables.organisations.len(),
            tables.parties.len(),
        )
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn decode(rtype: &str, body: &[u8]) -> Result<Row, StoreError> {
    fn row<T: DeserializeOwned>(
        body: &[u8],
        wrap: impl Fn(Box<T>) -> Row,
    ) -> Result<Row, StoreError> {
        serde_json::from_slice(body)
            .map(|v| wrap(Box::new(v)))
            .map_err(|e| StoreError::Corrupt(format!("register row: {e}")))
    }
    match rtype {
        "Person" => row(body, Row::Person),
        "Practitioner" => row(body, Row::Practitioner),
        "Organisation" => row(body, Row::Organisation),
        "Party" => row(body, Row::Party),
        other => Err(StoreError::Corrupt(format!(
            "unknown register row type {other}"
        ))),
    }
}

impl Directory for RegisterTable {
    fn person(&self, nin: &str) -> Option<Person> {
        let tables = self.read();
        tables
            .persons
            .get(nin)
            .or_else(|| {
                tables
                    .current
                    .get(nin)
                    .and_then(|current| tables.persons.get(current))
            })
            .cloned()
    }

    fn practitioner_by_hpr(&self, hpr: &str) -> Option<Practitioner> {
        let tables = self.read();
        tables
            .by_hpr
            .get(hpr)
            .and_then(|nin| tables.practitioners.get(nin))
            .cloned()
    }

    fn practitioner_by_nin(&self, nin: &str) -> Option<Practitioner> {
        self.read().practitioners.get(nin).cloned()
    }

    fn practitioners_of(&self, orgnr: &str, limit: usize) -> Vec<Practitioner> {
        let works = |p: &&Practitioner| {
            p.workplaces
                .iter()
                .any(|w| w.orgnr_parent == orgnr || w.orgnr_child == orgnr)
        };
        self.read()
            .practitioners
            .values()
            .filter(works)
            .take(limit)
            .cloned()
            .collect()
    }

    fn party(&self, her_id: u32) -> Option<Party> {
        let tables = self.read();
        let mut party = tables.parties.get(&her_id)?.clone();
        // Certificates are held by level 1 and inherited (spec/messaging.md §8.1).
        if let Some(parent) = party.parent_her_id.and_then(|id| tables.parties.get(&id)) {
            party.encryption_certificate = party
                .encryption_certificate
                .or_else(|| parent.encryption_certificate.clone());
            party.signing_certificate = party
                .signing_certificate
                .or_else(|| parent.signing_certificate.clone());
        }
        Some(party)
    }

    fn parties_of(&self, orgnr: &str) -> Vec<Party> {
        self.read()
            .parties
            .values()
            .filter(|p| p.orgnr == orgnr)
            .cloned()
            .collect()
    }

    fn top_parties(&self) -> Vec<Party> {
        self.read()
            .parties
            .values()
            .filter(|p| p.parent_her_id.is_none())
            .cloned()
            .collect()
    }

    fn organisation(&self, orgnr: &str) -> Option<Organisation> {
        let tables = self.read();
        tables
            .organisations
            .get(orgnr)
            .or_else(|| {
                tables
                    .unit_of
                    .get(orgnr)
                    .and_then(|main| tables.organisations.get(main))
            })
            .cloned()
    }

    fn organisations(&self, limit: usize) -> Vec<Organisation> {
        let mut all: Vec<Organisation> = self.read().organisations.values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all.truncate(limit);
        all
    }

    fn search_persons(&self, query: &str, limit: usize) -> Vec<Person> {
        let folded = codes::fold::fold(query);
        let words: Vec<&str> = folded.split_whitespace().collect();
        if words.is_empty() {
            return Vec::new();
        }
        let tables = self.read();
        tables
            .folded
            .iter()
            .filter(|(name, _)| words.iter().all(|w| name.contains(w)))
            .filter_map(|(_, nin)| tables.persons.get(nin))
            .take(limit)
            .cloned()
            .collect()
    }

    fn story_persons(&self) -> Vec<Person> {
        let mut all: Vec<Person> = self
            .read()
            .persons
            .values()
            .filter(|p| p.story.is_some())
            .cloned()
            .collect();
        all.sort_by(|a, b| a.story.cmp(&b.story));
        all
    }

    fn practitioners(&self, limit: usize) -> Vec<Practitioner> {
        let tables = self.read();
        let (story, others): (Vec<&Practitioner>, Vec<&Practitioner>) = tables
            .practitioners
            .values()
            .partition(|p| p.story.is_some());
        story
            .into_iter()
            .chain(others)
            .take(limit)
            .cloned()
            .collect()
    }
}
