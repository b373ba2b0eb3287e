//! From the rows of the nation's import to entries of the register.

use super::record::{Approval, Personnel, Record, Requisition, Short, Speciality, Suspension};
use super::register::PersonnelRegister;
use crate::directory::{Directory, Person, Practitioner};
use crate::kernel::EntryId;
use crate::kernel::identifiers::Packed;
use crate::kernel::period::{Moment, Period};
use store::StoreError;

/// Professions with full right to prescribe: doctors and dentists.
const PRESCRIBERS: [&str; 2] = ["LE", "TL"];

fn speciality_code(name: &str) -> Option<Short> {
    let list = codes::lists::list(&codes::oid::list(7426))?;
    let folded = codes::fold::fold(name);
    list.entries
        .iter()
        .find(|entry| codes::fold::fold(entry.display) == folded)
        .and_then(|entry| Short::new(entry.code))
}

/// An entry from a row; none for those without HPR number. `person` is what the person register says.
#[must_use]
pub fn entry(
    row: &Practitioner,
    person: Option<&Person>,
    now: Moment,
) -> Option<(EntryId, Record)> {
    let hpr: u32 = row.hpr.as_deref()?.parse().ok()?;
    let mut entry = Personnel::new(hpr, row.name.clone());
    entry.nin = Packed::digits(&row.nin).map(|packed| packed.0);
    entry.citizenship = Short::new("NO").unwrap_or_default();
    if let Some(person) = person {
        entry.born = person.born;
        entry.died = person.died;
        entry.sex = Some(person.sex);
    }
    let speciality = row.speciality.as_deref().and_then(speciality_code);
    // Oldest first, so that numbers follow time.
    for given in row.authorisations.iter().rev() {
        let valid = Period {
            from: Some(Moment::of_day(given.from)),
            // The row says the last day inside.
            to: given
                .to
                .map(|last| Moment::of_day(last.tomorrow().unwrap_or(last))),
        };
        let mut approval = Approval {
            no: entry.next_part(),
            profession: Short::new(&given.role)?,
            authorisation: Short::new("1")?,
            valid,
            ..Approval::default()
        };
        if let Some(from) = given.suspended_from {
            approval.seldom.suspensions.push(Suspension {
                no: entry.next_part(),
                period: Period::since(Moment::of_day(from)),
            });
        }
        if PRESCRIBERS.contains(&given.role.as_str()) {
            approval.requisitions.push(Requisition {
                no: entry.next_part(),
                kind: Short::new("1")?,
                valid,
                ..Requisition::default()
            });
        }
        if let Some(kind) = speciality.filter(|_| PRESCRIBERS.contains(&given.role.as_str())) {
            approval.specialities.push(Speciality {
                no: entry.next_part(),
                kind,
                valid,
                ..Speciality::default()
            });
        }
        entry.approvals.push(approval);
    }
    super::rules::close_at_age(&mut entry);
    entry.updated = now;
    Some((Personnel::id_of(hpr), Record::Person(Box::new(entry))))
}

impl PersonnelRegister {
    /// Loads an empty register with the personnel that a directory knows; says how many.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn load_from(&self, directory: &dyn Directory, now: Moment) -> Result<usize, StoreError> {
        if !self.is_empty() {
            return Ok(0);
        }
        let rows = directory.practitioners(usize::MAX);
        let mut seen = std::collections::HashSet::new();
        let entries = rows.iter().filter_map(|row| {
            let (id, record) = entry(row, directory.person(&row.nin).as_ref(), now)?;
            seen.insert(id).then_some((id, record))
        });
        self.register().load(entries)
    }
}
