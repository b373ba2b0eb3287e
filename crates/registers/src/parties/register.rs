//! The register: look-ups, writes, events, over the kernel's register in memory, with indexes of its own.

use super::record::{PartyEvent, PartyRecord};
use super::rules;
use crate::directory::{Party, ServiceCode};
use crate::kernel::EntryId;
use crate::kernel::change::{ChangeError, Outcome};
use crate::kernel::events::Event;
use crate::kernel::identifiers::Packed;
use crate::kernel::indexed::{self, IndexedRegister};
use crate::kernel::log::{Entry, Version};
use crate::kernel::memory::MemoryRegister;
use crate::kernel::period::Moment;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use store::{Granted, Store, StoreError};

/// Entries written at a time.
const PAGE: usize = 1_000;

/// A party as it is held.
pub type Held = Arc<Entry<PartyRecord>>;

/// Why a write was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// There is no party with this HER-id.
    #[error("no party has this HER-id")]
    Unknown,
    /// The register.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> Self {
        Self::Change(error.into())
    }
}

#[derive(Default)]
struct Index {
    rows: BTreeMap<u32, Row>,
    children: HashMap<u32, BTreeSet<u32>>,
    by_orgnr: HashMap<String, BTreeSet<u32>>,
    by_hpr: HashMap<String, BTreeSet<u32>>,
    by_serial: HashMap<String, BTreeSet<u32>>,
    tops: BTreeSet<u32>,
}

/// What the index knows of a party, to take it out again.
struct Row {
    parent: Option<u32>,
    orgnr: String,
    hpr: Option<String>,
    serials: Vec<String>,
    folded: String,
}

impl indexed::Index<PartyRecord> for Index {
    fn put(&mut self, entry: &Entry<PartyRecord>) {
        let record = &entry.content;
        let her_id = record.her_id;
        if let Some(old) = self.rows.remove(&her_id) {
            let take = |map: &mut HashMap<String, BTreeSet<u32>>, key: &str| {
                if let Some(set) = map.get_mut(key) {
                    set.remove(&her_id);
                }
            };
            take(&mut self.by_orgnr, &old.orgnr);
            if let Some(hpr) = &old.hpr {
                take(&mut self.by_hpr, hpr);
            }
            for serial in &old.serials {
                take(&mut self.by_serial, serial);
            }
            if let Some(set) = old.parent.and_then(|p| self.children.get_mut(&p)) {
                set.remove(&her_id);
            }
            self.tops.remove(&her_id);
        }
        match record.parent {
            Some(parent) => {
                self.children.entry(parent).or_default().insert(her_id);
            }
            None => {
                self.tops.insert(her_id);
            }
        }
        let file = |map: &mut HashMap<String, BTreeSet<u32>>, key: &str| {
            map.entry(key.to_owned()).or_default().insert(her_id);
        };
        file(&mut self.by_orgnr, &record.orgnr);
        if let Some(hpr) = &record.hpr {
            file(&mut self.by_hpr, hpr);
        }
        let serials: Vec<String> = record
            .certificates
            .iter()
            .map(|c| c.serial.clone())
            .collect();
        for serial in &serials {
            file(&mut self.by_serial, serial);
        }
        let row = Row {
            parent: record.parent,
            orgnr: record.orgnr.clone(),
            hpr: record.hpr.clone(),
            serials,
            folded: codes::fold::fold(&format!(
                "{} {}",
                record.name,
                record.display_name.as_deref().unwrap_or_default()
            )),
        };
        self.rows.insert(her_id, row);
    }
}

/// The address register of one process.
pub struct Parties {
    register: IndexedRegister<PartyRecord, Index>,
}

impl Parties {
    /// Reads the register. Call from a blocking thread.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(store: Store, grant: Granted) -> Result<Self, StoreError> {
        Self::open_in(store, grant, None)
    }

    /// The same with a kept form in this folder ([`MemoryRegister::open_in`]).
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open_in(
        store: Store,
        grant: Granted,
        folder: Option<&Path>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            register: IndexedRegister::open_in(store, grant, folder)?,
        })
    }

    /// Takes over what was written since the last call, by any process.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn follow(&self) -> Result<(), StoreError> {
        self.register.follow()
    }

    /// The register under it.
    #[must_use]
    pub fn register(&self) -> &MemoryRegister<PartyRecord> {
        &self.register
    }

    /// Rises whenever a party changes, or who is below whom: for whoever keeps what was made of parties.
    #[must_use]
    pub fn stamp(&self) -> u64 {
        self.register.stamp()
    }

    /// Number of parties, ended ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.register.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.register.is_empty()
    }

    /// A party by HER-id.
    #[must_use]
    pub fn get(&self, her_id: u32) -> Option<Held> {
        self.register.find(Packed(her_id.into()))
    }

    /// The organisation above a party.
    #[must_use]
    pub fn parent(&self, party: &PartyRecord) -> Option<Held> {
        party.parent.and_then(|her_id| self.get(her_id))
    }

    fn all_of(&self, her_ids: impl IntoIterator<Item = u32>) -> Vec<Held> {
        her_ids.into_iter().filter_map(|h| self.get(h)).collect()
    }

    /// Services and persons below an organisation, by HER-id.
    #[must_use]
    pub fn children(&self, her_id: u32) -> Vec<Held> {
        let ids = self.register.index().children.get(&her_id).cloned();
        self.all_of(ids.unwrap_or_default())
    }

    /// Parties of an organisation number, by HER-id.
    #[must_use]
    pub fn of_organisation(&self, orgnr: &str) -> Vec<Held> {
        let ids = self.register.index().by_orgnr.get(orgnr).cloned();
        self.all_of(ids.unwrap_or_default())
    }

    /// Parties of a health person, by HER-id.
    #[must_use]
    pub fn of_hpr(&self, hpr: &str) -> Vec<Held> {
        let ids = self.register.index().by_hpr.get(hpr).cloned();
        self.all_of(ids.unwrap_or_default())
    }

    /// Parties that have or had a certificate with this serial number (decimal).
    #[must_use]
    pub fn of_serial(&self, serial: &str) -> Vec<Held> {
        let ids = self.register.index().by_serial.get(serial).cloned();
        self.all_of(ids.unwrap_or_default())
    }

    /// Every organisation, by HER-id.
    #[must_use]
    pub fn organisations(&self) -> Vec<Held> {
        let ids = self.register.index().tops.clone();
        self.all_of(ids)
    }

    /// HER-ids of every party, ascending.
    #[must_use]
    pub fn her_ids(&self) -> Vec<u32> {
        self.register.index().rows.keys().copied().collect()
    }

    /// HER-ids of the parties whose names contain all of these folded words, ascending.
    #[must_use]
    pub fn named(&self, words: &[String]) -> Vec<u32> {
        self.register
            .index()
            .rows
            .iter()
            .filter(|(_, row)| words.iter().all(|w| row.folded.contains(w.as_str())))
            .map(|(her_id, _)| *her_id)
            .collect()
    }

    /// Writes parties as they are given; one that exists is replaced. What is the same leaves no trace.
    ///
    /// # Errors
    /// The register's.
    pub fn put(&self, mut records: Vec<PartyRecord>) -> Result<Vec<Outcome>, ChangeError> {
        // Of several with one HER-id the last counts.
        let mut seen = BTreeSet::new();
        records.reverse();
        records.retain(|r| seen.insert(r.her_id));
        records.reverse();
        let mut outcomes = Vec::with_capacity(records.len());
        for chunk in records.chunks(PAGE) {
            let written = self.register.change_with(|| {
                let known = |her_id| self.get(her_id).map(|entry| entry.id);
                let changes = chunk.iter().map(|record| {
                    let id = known(record.her_id).unwrap_or_else(EntryId::random);
                    (id, record.clone())
                });
                Ok::<_, ChangeError>(changes.collect())
            })?;
            outcomes.extend(written);
        }
        Ok(outcomes)
    }

    /// Changes one party. Whether it changed. `change` is asked again when another process wrote meanwhile.
    ///
    /// # Errors
    /// An unknown HER-id, or the register's.
    pub fn update(
        &self,
        her_id: u32,
        at: Moment,
        mut change: impl FnMut(&mut PartyRecord),
    ) -> Result<bool, WriteError> {
        let outcomes = self.register.change_with(|| {
            let entry = self.get(her_id).ok_or(WriteError::Unknown)?;
            let mut record = entry.content.clone();
            change(&mut record);
            if record == entry.content {
                return Ok::<_, WriteError>(Vec::new());
            }
            record.changed = at;
            Ok(vec![(entry.id, record)])
        })?;
        Ok(outcomes.iter().any(|outcome| *outcome != Outcome::Same))
    }

    /// Makes a party with the next free HER-id; `make` is given the number.
    ///
    /// # Errors
    /// The register's.
    pub fn create(&self, make: impl Fn(u32) -> PartyRecord) -> Result<u32, WriteError> {
        let mut given = 0;
        self.register.change_with(|| {
            let last = self.register.index().rows.keys().next_back().copied();
            given = last.map_or(1, |last| last.saturating_add(1));
            Ok::<_, WriteError>(vec![(EntryId::random(), make(given))])
        })?;
        Ok(given)
    }

    /// Events from a number on (inclusive), at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn events(&self, from: u64, limit: usize) -> Result<Vec<Event<PartyEvent>>, StoreError> {
        self.register.events(from, limit)
    }

    /// The last event.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn last_event(&self) -> Result<Option<Event<PartyEvent>>, StoreError> {
        self.register.log().last_event()
    }

    /// Versions of a party, newest first, at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn versions(
        &self,
        her_id: u32,
        limit: usize,
    ) -> Result<Vec<Version<PartyRecord>>, StoreError> {
        match self.get(her_id) {
            Some(entry) => self.register.log().versions(entry.id, limit),
            None => Ok(Vec::new()),
        }
    }

    /// A party as services ask for it ([`crate::Directory`]), with what it inherits.
    #[must_use]
    pub fn party(&self, her_id: u32) -> Option<Party> {
        let entry = self.get(her_id)?;
        let parent = self.parent(&entry.content);
        Some(as_party(
            &entry.content,
            parent.as_ref().map(|p| &p.content),
        ))
    }
}

/// A row as services see it. Their questions have no instant: certificates are those in use today.
pub(crate) fn as_party(record: &PartyRecord, parent: Option<&PartyRecord>) -> Party {
    use super::record::CertificateUse::{Encryption, Signing};
    let now = Moment::from(jiff::Timestamp::now());
    let certificate =
        |purpose| rules::certificate(record, parent, purpose, now).map(|c| c.value.der.clone());
    Party {
        her_id: record.her_id,
        parent_her_id: record.parent,
        kind: record.kind,
        name: record.name.clone(),
        service: record.service.clone(),
        orgnr: record.orgnr.clone(),
        edi_address: rules::address(record, parent, "E_EDI", now)
            .unwrap_or_default()
            .to_owned(),
        encryption_certificate: certificate(Encryption),
        signing_certificate: certificate(Signing),
        hub_run: record.hub_run,
    }
}

/// A service's code as a list number, when it is one.
#[must_use]
pub fn list_number(code: &ServiceCode) -> Option<u32> {
    code.list.parse().ok()
}

/// A party that was given as services see it. What is no certificate is kept as it came and holds for ever.
#[must_use]
pub fn as_record(party: &Party, at: Moment) -> PartyRecord {
    use super::record::{CertificateLine, CertificateUse, ElectronicAddress};
    let line = |purpose: CertificateUse, der: &Vec<u8>| {
        CertificateLine::read(purpose, der, at).unwrap_or_else(|| CertificateLine {
            purpose,
            der: der.clone(),
            serial: String::new(),
            name: String::new(),
            not_before_s: 0,
            not_after_s: i64::from(u32::MAX),
            thumbprint: String::new(),
            since: at,
        })
    };
    let mut record = PartyRecord::new(party.her_id, party.kind, &party.name, &party.orgnr, at);
    record.parent = party.parent_her_id;
    record.service = party.service.clone();
    record.hub_run = party.hub_run;
    if !party.edi_address.is_empty() {
        record.electronic.push(ElectronicAddress {
            code: "E_EDI".to_owned(),
            address: party.edi_address.clone(),
            changed: at,
            from: None,
        });
    }
    let encryption = party.encryption_certificate.as_ref();
    let signing = party.signing_certificate.as_ref();
    record.certificates = encryption
        .map(|der| line(CertificateUse::Encryption, der))
        .into_iter()
        .chain(signing.map(|der| line(CertificateUse::Signing, der)))
        .collect();
    record
}
