//! The end of a load: what is written once the persons have appeared, and what is made good where that was broken off.

use super::{PersonDocument, PersonRegister, damaged};
use crate::kernel::change::MAX_CHANGES;
use crate::kernel::log::{AppendError, Batch, Content, Counters, RegisterLog};
use crate::kernel::period::Moment;
use crate::kernel::{EntryId, EntryNo};
use crate::persons::codes::PersonEvent;
use store::{Alias, StoreError};

/// Tells of a load: one event, so that there is a last one to follow from (spec/grunndata.md §3.5, local copy), and the
/// identities that are one.
pub(super) fn announce(
    log: &RegisterLog<PersonDocument>,
    mut at: Counters,
    then: Counters,
    first: Option<EntryId>,
    aliases: &[Alias],
) -> Result<(), StoreError> {
    let first = first.map(|id| (id, PersonEvent::PersonPopulated));
    let mut events: Vec<_> = first.into_iter().collect();
    let mut batches = aliases.chunks(MAX_CHANGES);
    let mut aliases = batches.next().unwrap_or_default();
    loop {
        let batch = Batch {
            at,
            then,
            entries: Vec::new(),
            events: std::mem::take(&mut events),
            aliases: aliases.to_vec(),
            erase: Vec::new(),
            upstream: None,
        };
        log.append(&batch).map_err(|e| match e {
            AppendError::Store(e) => e,
            other => StoreError::Unavailable(other.to_string()),
        })?;
        at = then;
        match batches.next() {
            Some(next) => aliases = next,
            None => return Ok(()),
        }
    }
}

impl PersonRegister {
    /// As [`PersonRegister::load`]; where the persons are there already, writes what a load that was broken off left undone
    /// after they had appeared.
    ///
    /// # Errors
    /// As [`PersonRegister::load`].
    pub fn load_or_complete(
        &self,
        persons: impl IntoIterator<Item = (EntryId, PersonDocument)>,
        now: Moment,
        mut told: impl FnMut(u32),
    ) -> Result<u32, StoreError> {
        if self.is_empty() {
            return self.load(persons, now, told);
        }
        let (mut aliases, mut count) = (Vec::new(), 0);
        for (_, document) in persons {
            aliases.extend(PersonDocument::aliases(None, &document, None));
            count += 1;
            told(count);
        }
        let at = self.log.counters()?;
        let (mut then, mut first) = (at, None);
        if at == Counters::default() {
            let id = self.with(EntryNo(0), |row| row.id());
            first = id.map_err(damaged)?.flatten();
            then.entries = self.len();
            then.events = u64::from(first.is_some());
        }
        announce(&self.log, at, then, first, &aliases)?;
        self.follow()?;
        Ok(self.len())
    }
}
