//! The state on which a change of persons is decided.

use super::{Held, damaged};
use crate::kernel::change::State;
use crate::kernel::identifiers::{Holders, Holding, Packed};
use crate::kernel::log::{Entry, RegisterLog};
use crate::kernel::{EntryId, EntryNo};
use crate::persons::document::PersonDocument;
use std::collections::HashMap;
use store::StoreError;

/// The state on which changes are decided: numbers from the read form, contents with their history from the log.
pub(super) struct Decide<'a> {
    held: &'a Held,
    log: &'a RegisterLog<PersonDocument>,
    /// Entries that were read beforehand, all at once; nothing for one that is new.
    read: HashMap<EntryId, Option<Entry<PersonDocument>>>,
}

impl<'a> Decide<'a> {
    pub(super) fn new(held: &'a Held, log: &'a RegisterLog<PersonDocument>) -> Self {
        Self {
            held,
            log,
            read: HashMap::new(),
        }
    }

    /// With the entries that changes are about, as the log has them now.
    pub(super) fn having_read(
        held: &'a Held,
        log: &'a RegisterLog<PersonDocument>,
        changes: &[(EntryId, PersonDocument)],
    ) -> Result<Self, StoreError> {
        let mut read: HashMap<_, _> = changes.iter().map(|(id, _)| (*id, None)).collect();
        let mut known = Vec::with_capacity(read.len());
        for id in read.keys() {
            // Ids of new persons are random: nobody else has made one of them since.
            if held.number(*id).map_err(damaged)?.is_some() {
                known.push(*id);
            }
        }
        for entry in log.entries(&known)? {
            read.insert(entry.id, Some(entry));
        }
        Ok(Self { held, log, read })
    }
}

impl Holders for Decide<'_> {
    type Error = StoreError;

    fn holdings(&self, identifier: Packed) -> Result<Vec<Holding>, StoreError> {
        let mut found = Vec::new();
        for no in self.held.rows(identifier) {
            let no = EntryNo(no);
            let claims = self
                .held
                .view()
                .with(no, |row| row.claims())
                .map_err(damaged)?;
            if let Some(claims) = claims {
                found.extend(claims.holdings(no, identifier));
            }
        }
        Ok(found)
    }

    fn number(&self, id: EntryId) -> Option<EntryNo> {
        self.held.number(id).ok().flatten()
    }

    fn merged_into(&self, no: EntryNo) -> Result<Option<EntryNo>, StoreError> {
        self.held.merged_into(no).map_err(damaged)
    }
}

impl State<PersonDocument> for Decide<'_> {
    fn entry(&self, id: EntryId) -> Result<Option<Entry<PersonDocument>>, StoreError> {
        match self.read.get(&id) {
            Some(entry) => Ok(entry.clone()),
            None => self.log.entry(id),
        }
    }
}
