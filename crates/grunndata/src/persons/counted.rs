//! Look-ups in the access journal as the citizen's counts need them (`trust::counted`): of the person service, the FHIR
//! views, the register of GP lists and the searches of the core record's pages.

use super::lookups;
use registers::kernel::EntryNo;
use registers::persons::register::PersonRegister;
use registers::persons::view::leading;
use registers::{FNR_SYSTEM, persons};
use std::sync::Arc;
use store::{JournalEntry, PersonRef, StoreError};
use trust::counted::{Look, Reading, Whom};

/// Controllers of the registers of persons in the journal.
const CONTROLLERS: [&str; 2] = ["PT", "FLR"];
/// What a look-up is called there.
const ACTIONS: [&str; 2] = ["LookUp", "RegisterLookup"];

/// Reads look-ups of persons.
pub struct CountedLooks {
    register: Arc<PersonRegister>,
}

impl CountedLooks {
    /// Over the register that the numbers of entries are of.
    #[must_use]
    pub fn new(register: Arc<PersonRegister>) -> Self {
        Self { register }
    }
}

impl Reading for CountedLooks {
    fn looks(&self, entry: &JournalEntry) -> Vec<Look> {
        let of = &entry.entry;
        let text = |name: &str| of.members.get(name).and_then(serde_json::Value::as_str);
        let is_look_up = CONTROLLERS.contains(&of.controller.as_str())
            && text("action").is_some_and(|action| ACTIONS.contains(&action))
            && text("outcome") != Some("deny");
        // The entry of a protected person goes before its answer; her look-up is in the gathered lines as well.
        if !is_look_up || of.members.contains_key("protected") {
            return Vec::new();
        }
        let orgnr = text("actor.orgnr_parent").unwrap_or_default().to_owned();
        if let Some(lines) = lookups::read(of) {
            let look = |line: lookups::Lookup| Look {
                at: line.at,
                orgnr: orgnr.clone(),
                persons: line.persons.iter().map(|no| Whom::Entry(no.0)).collect(),
            };
            return lines.into_iter().map(look).collect();
        }
        if entry.persons.is_empty() {
            return Vec::new();
        }
        vec![Look {
            at: of.occurred_at,
            orgnr,
            persons: entry.persons.iter().map(|key| Whom::Key(*key)).collect(),
        }]
    }

    fn person(&self, number: u32) -> Result<Option<PersonRef>, StoreError> {
        let unreadable =
            |e: persons::file::FileError| StoreError::Unavailable(format!("register: {e}"));
        let nin = self
            .register
            .with(EntryNo(number), leading)
            .map_err(unreadable)?;
        Ok(nin.flatten().map(|nin| PersonRef::id(FNR_SYSTEM, nin)))
    }
}
