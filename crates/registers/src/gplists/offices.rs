//! What the register itself says of GP offices, beside what the organisation register says of them
//! (spec/grunndata.md §5.3).

use super::record::{OfficeFacts, Record};
use super::register::{GpLists, WriteError};
use crate::kernel::period::Moment;

impl GpLists {
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
