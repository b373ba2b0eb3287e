//! Personnel as the personnel register says it: once it is attached, names, national ids and authorisations come from
//! there; workplaces and the demo story from the table's own rows.

use super::RegisterTable;
use crate::directory::{Authorisation, Practitioner};
use crate::kernel::period::Moment;
use crate::personnel::register::person;
use crate::personnel::rules::{day_of, is_active_code};
use crate::personnel::{Approval, Personnel, PersonnelRegister, Suspension};
use std::sync::Arc;

/// The suspension that counts: one without end, or the one of now.
fn suspended_from(suspensions: &[Suspension], now: Moment) -> Option<Moment> {
    let counts = |s: &&Suspension| s.period.to.is_none() || s.period.contains(now);
    suspensions.iter().find(counts).and_then(|s| s.period.from)
}

fn authorisation(approval: &Approval, now: Moment) -> Option<Authorisation> {
    let is_active = is_active_code(7704, approval.authorisation.as_str(), now)
        && is_active_code(9060, approval.profession.as_str(), now);
    if !is_active {
        return None;
    }
    Some(Authorisation {
        role: approval.profession.as_str().to_owned(),
        from: day_of(approval.valid.from?),
        // The directory says the last day inside, the register the first one outside.
        to: approval
            .valid
            .to
            .map(|to| day_of(Moment(to.0.saturating_sub(1)))),
        suspended_from: suspended_from(&approval.seldom.suspensions, now).map(day_of),
    })
}

/// What the register says, on top of the table's row.
pub(super) fn overlaid(row: Option<Practitioner>, p: &Personnel, now: Moment) -> Practitioner {
    let (workplaces, story, words) = match row {
        Some(row) => (row.workplaces, row.story, row.speciality),
        None => (Vec::new(), None, None),
    };
    let specialities = p.approvals.iter().flat_map(|a| &a.specialities);
    let own = specialities
        .filter_map(|s| codes::lists::display(&codes::oid::list(7426), s.kind.as_str()))
        .next_back();
    Practitioner {
        hpr: Some(p.hpr.to_string()),
        nin: p.nin_text().unwrap_or_default(),
        name: p.name.clone(),
        authorisations: p
            .approvals
            .iter()
            .rev()
            .filter_map(|a| authorisation(a, now))
            .collect(),
        speciality: own.map(str::to_owned).or(words),
        workplaces,
        story,
    }
}

impl RegisterTable {
    /// From now on personnel is answered from this register.
    pub fn attach_personnel(&self, register: Arc<PersonnelRegister>) {
        let _ = self.personnel.set(register);
    }

    fn row_of_hpr(&self, hpr: &str) -> Option<Practitioner> {
        let tables = self.read();
        let nin = tables.by_hpr.get(hpr)?;
        let row = tables.practitioners.get(nin)?;
        Some(Practitioner::clone(row))
    }

    /// The practitioner of an HPR number: of a merged number the survivor, of a deleted one nobody.
    pub(super) fn by_hpr(&self, hpr: &str) -> Option<Practitioner> {
        let row = self.row_of_hpr(hpr);
        let (Some(register), Ok(number)) = (self.personnel.get(), hpr.parse::<u32>()) else {
            return row;
        };
        match register.by_hpr(number) {
            Some(entry) => person(&entry).map(|p| {
                let row = row.filter(|_| p.hpr == number);
                let row = row.or_else(|| self.row_of_hpr(&p.hpr.to_string()));
                overlaid(row, p, self.norwegian_now())
            }),
            None if register.knows(number) => None,
            None => row,
        }
    }

    /// The practitioner with a national id, current or earlier.
    pub(super) fn by_nin(&self, nin: &str) -> Option<Practitioner> {
        let row = self
            .read()
            .practitioners
            .get(nin)
            .map(|row| Practitioner::clone(row));
        let entry = self.personnel.get().and_then(|r| r.by_nin(nin));
        match entry.as_ref().and_then(person) {
            Some(p) => self.by_hpr(&p.hpr.to_string()),
            None => row.and_then(|row| self.current(row)),
        }
    }

    /// A row as the register says it.
    pub(super) fn current(&self, row: Practitioner) -> Option<Practitioner> {
        match (&self.personnel.get(), &row.hpr) {
            (Some(_), Some(hpr)) => self.by_hpr(hpr),
            _ => Some(row),
        }
    }
}
