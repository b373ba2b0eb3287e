//! The access journal of this engine: entries inside commits wait in `log.db` (table `audit_pending`), all others go to
//! the segment files; the sealer takes both.

use super::Inner;
use super::batch::person_key;
use super::codec::damaged;
use super::db::unavailable;
use super::shared::locked;
use crate::journal::{Appended, Interner, PendingEntry};
use crate::{AuditEntry, Durability, JournalEntry, MicrosUtc, PersonKey, StoreError};
use rusqlite::params;

/// Entries taken to the sealer at once.
const SEAL_AT_ONCE: usize = 20_000;

/// Persons as the journal asks for them.
pub(super) struct Persons<'a>(pub &'a Inner);

impl Interner for Persons<'_> {
    fn intern(&self, identifiers: &[(String, String)]) -> Result<Vec<PersonKey>, StoreError> {
        let known: Vec<Option<PersonKey>> = identifiers
            .iter()
            .map(|(system, value)| self.known(system, value))
            .collect::<Result<_, _>>()?;
        if let Some(all) = known.into_iter().collect() {
            return Ok(all);
        }
        let identifiers = identifiers.to_vec();
        self.0.in_writer(move |batch| {
            identifiers
                .iter()
                .map(|(system, value)| batch.intern(system, value).map(PersonKey))
                .collect()
        })
    }

    fn known(&self, system: &str, value: &str) -> Result<Option<PersonKey>, StoreError> {
        let key = self.0.pool.with(|r| person_key(&r.log, system, value))?;
        Ok(key.map(PersonKey))
    }

    fn identifiers(&self, keys: &[PersonKey]) -> Result<Vec<(String, String)>, StoreError> {
        self.0.identifiers_of(keys.iter().map(|k| k.0))
    }

    fn resolve(&self, key: PersonKey) -> Result<PersonKey, StoreError> {
        Ok(PersonKey(self.0.aliases.get().end(key.0)))
    }

    fn same(&self, key: PersonKey) -> Result<Vec<PersonKey>, StoreError> {
        let aliases = self.0.aliases.get();
        let all = aliases.all_to(aliases.end(key.0));
        Ok(all.into_iter().map(PersonKey).collect())
    }
}

impl Inner {
    /// Entries of commits that wait for the sealer.
    fn pending(&self, limit: usize) -> Result<Vec<PendingEntry>, StoreError> {
        self.pool.with(|reading| {
            let mut statement = reading
                .log
                .prepare_cached(
                    "SELECT n, recorded_at, entry FROM audit_pending ORDER BY n LIMIT ?1",
                )
                .map_err(unavailable)?;
            let mut rows = statement.query([limit]).map_err(unavailable)?;
            let mut out = Vec::new();
            while let Some(row) = rows.next().map_err(unavailable)? {
                let bytes = row
                    .get_ref(2)
                    .map_err(unavailable)?
                    .as_blob()
                    .map_err(|_| damaged("audit entry"))?;
                let entry = serde_json::from_slice(bytes).map_err(|_| damaged("audit entry"))?;
                out.push(PendingEntry {
                    position: row.get(0).map_err(unavailable)?,
                    appended: Appended {
                        entry,
                        recorded_at: row.get(1).map_err(unavailable)?,
                    },
                });
            }
            Ok(out)
        })
    }

    pub(super) fn audit(
        &self,
        entry: AuditEntry,
        durability: Durability,
    ) -> Result<(), StoreError> {
        self.running()?;
        self.journal.audit(entry, durability)
    }

    /// Seals everything that waits; how many.
    pub(super) fn seal(&self) -> Result<u64, StoreError> {
        self.running()?;
        let _sealing = locked(&self.sealing);
        self.seal_now()
    }

    /// The same, for who holds the lock.
    pub(super) fn seal_now(&self) -> Result<u64, StoreError> {
        let mut sealed = 0;
        loop {
            let pending = self.pending(SEAL_AT_ONCE)?;
            let more = pending.len() == SEAL_AT_ONCE;
            let done = self.journal.seal(&Persons(self), pending)?;
            sealed += done.sealed;
            if !done.consumed.is_empty() {
                self.in_writer(move |batch| {
                    for n in &done.consumed {
                        batch.execute("DELETE FROM audit_pending WHERE n = ?1", params![n])?;
                    }
                    Ok(())
                })?;
            }
            if !more {
                return Ok(sealed);
            }
        }
    }

    pub(super) fn journal_of(
        &self,
        person: PersonKey,
        before: Option<MicrosUtc>,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        self.running()?;
        let pending = self.pending(usize::MAX >> 1)?;
        self.journal
            .journal_of(&Persons(self), person, before, limit, &pending)
    }

    pub(super) fn journal_streams(&self) -> Result<Vec<String>, StoreError> {
        self.running()?;
        self.journal.streams()
    }

    pub(super) fn journal_after(
        &self,
        stream: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        self.running()?;
        self.journal
            .journal_after(&Persons(self), (stream, after), limit)
    }

    pub(super) fn journal_entry(&self, id: uuid::Uuid) -> Result<Option<JournalEntry>, StoreError> {
        self.running()?;
        let pending = self.pending(usize::MAX >> 1)?;
        self.journal.journal_entry(&Persons(self), id, &pending)
    }
}
