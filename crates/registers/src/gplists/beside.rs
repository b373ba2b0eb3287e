//! What the register holds beside contracts and patients: languages of doctors, teams, and what it says of GP offices beside
//! what the organisation register says (spec/grunndata.md §5.1, §5.3).

use super::record::{OfficeFacts, Record, Team};
use super::register::{GpLists, WriteError};
use crate::kernel::EntryId;
use crate::kernel::period::Moment;
use crate::personnel::Short;

impl GpLists {
    /// Languages of a doctor.
    #[must_use]
    pub fn languages(&self, hpr: u32) -> Vec<Short> {
        let id = EntryId((5 << 64) | u128::from(hpr));
        match self.entry(id).map(|e| e.content.clone()) {
            Some(Record::Languages(_, languages)) => languages,
            _ => Vec::new(),
        }
    }

    /// A team.
    #[must_use]
    pub fn team(&self, id: i64) -> Option<Team> {
        match self.entry(Team::id_of(id))?.content.clone() {
            Record::Team(team) => team.map(|team| *team),
            _ => None,
        }
    }

    /// Sets the languages of a doctor.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn set_languages(&self, hpr: u32, languages: Vec<Short>) -> Result<(), WriteError> {
        let id = EntryId((5 << 64) | u128::from(hpr));
        self.put(&[(id, Record::Languages(hpr, languages))])
    }

    /// Writes or deletes a team.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn set_team(&self, id: i64, team: Option<Team>) -> Result<(), WriteError> {
        self.put(&[(Team::id_of(id), Record::Team(team.map(Box::new)))])
    }

    /// What the register itself says of an office.
    #[must_use]
    pub fn office(&self, orgnr: u32) -> Option<OfficeFacts> {
        match &self.entry(OfficeFacts::id_of(orgnr))?.content {
            Record::Office(office) => Some(OfficeFacts::clone(office)),
            _ => None,
        }
    }

    /// Changes what the register says of an office. `edit` is asked again when another process was faster.
    ///
    /// # Errors
    /// When no contract has this office, or the store refuses.
    pub fn edit_office(
        &self,
        orgnr: u32,
        at: Moment,
        edit: impl Fn(&mut OfficeFacts),
    ) -> Result<(), WriteError> {
        self.write(|| {
            if self.of_office(orgnr).is_empty() {
                return Err(WriteError::NotFound);
            }
            let mut office = self.office(orgnr).unwrap_or_default();
            office.orgnr = orgnr;
            edit(&mut office);
            office.updated = office.updated.max(at);
            let record = Record::Office(Box::new(office));
            Ok(vec![(OfficeFacts::id_of(orgnr), record)])
        })
    }
}
