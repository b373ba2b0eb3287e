//! Who is on whose GP list: once the register of GP lists is attached, what it says today; before, what the import said.
//! And how much the table holds.

use super::RegisterTable;
use super::rows::BesideRows;
use crate::directory::{GpRelation, Person};
use crate::gplists::reach::relation;
use crate::gplists::rules::own_doctor;
use crate::gplists::{GpLists, OnList, WriteError};
use crate::kernel::identifiers::Packed;
use crate::kernel::period::Moment;
use crate::personnel::Short;
use jiff::tz::TimeZone;
use std::sync::{Arc, LazyLock, PoisonError};
use store::StoreError;

/// The registers' time zone, from the data built into the program.
static OSLO: LazyLock<TimeZone> = LazyLock::new(|| {
    jiff::tz::TimeZoneDatabase::bundled()
        .get("Europe/Oslo")
        .or_else(|_| TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3"))
        .unwrap_or(TimeZone::UTC)
});

impl RegisterTable {
    /// From now on the GP of a person is answered from this register.
    pub fn attach_gp_lists(&self, lists: Arc<GpLists>) {
        let _ = self.lists.set(lists);
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        tables.leave_lists();
    }

    /// Now as the registers of personnel and GP lists write it: clock time of Norway.
    pub(super) fn norwegian_now(&self) -> Moment {
        let clock = self.now().timestamp().to_zoned(OSLO.clone()).datetime();
        let written = clock.to_zoned(TimeZone::UTC);
        written.map_or_else(|_| self.now(), |z| Moment::from(z.timestamp()))
    }

    pub(super) fn gp_of(&self, person: &Person) -> Option<GpRelation> {
        match self.lists.get() {
            Some(lists) => self.on_list(lists, person),
            None => self.read().gp(person),
        }
    }

    fn on_list(&self, lists: &GpLists, person: &Person) -> Option<GpRelation> {
        let at = self.norwegian_now();
        let numbers = std::iter::once(&person.nin).chain(&person.historic);
        let on: OnList = numbers
            .filter_map(|nin| Packed::digits(nin))
            .find_map(|number| lists.active(number.0, at))?;
        Some(relation(self, &lists.contract(on.contract)?, at))
    }

    /// Whoever comes in with a GP when the register of GP lists is attached goes onto that list there.
    pub(super) fn put_on_lists(&self, rows: &BesideRows) -> Result<(), StoreError> {
        let Some(lists) = self.lists.get() else {
            return Ok(());
        };
        let at = self.norwegian_now();
        for (wanted, patients) in &rows.lists {
            let new = patients.iter().copied();
            match wanted {
                Some(wanted) => self.put_on_list(lists, wanted, new.collect(), at),
                None => new
                    .filter_map(|nin| Some((nin, lists.active(nin, at)?.contract)))
                    .try_for_each(|(nin, contract)| {
                        lists.cancel_patients(&[nin], contract, at, Short::default())
                    }),
            }
            .map_err(|e| StoreError::Invalid(format!("GP lists: {e}")))?;
        }
        Ok(())
    }

    fn put_on_list(
        &self,
        lists: &GpLists,
        wanted: &GpRelation,
        mut patients: Vec<u64>,
        at: Moment,
    ) -> Result<(), WriteError> {
        let office = wanted.orgnr.parse().unwrap_or(0);
        let of_doctor = |hpr: Option<u32>| hpr.map(|hpr| hpr.to_string()) == wanted.hpr;
        let contract = lists.of_office(office).into_iter().find(|c| {
            c.valid.contains(at) && of_doctor(own_doctor(c, at).map(|doctor| doctor.hpr))
        });
        let contract = contract.ok_or(WriteError::NotFound)?.id;
        patients.retain(|nin| {
            let on = lists.active(*nin, at);
            on.is_none_or(|on| on.contract != contract)
        });
        if patients.is_empty() {
            return Ok(());
        }
        let moved = lists.move_patients(&patients, contract, at, Short::default());
        moved.map(|_| ())
    }

    /// GP lists with the national ids (as numbers) of those on them, in the order of the relations.
    pub fn gp_lists(&self) -> Vec<(GpRelation, Vec<u64>)> {
        let tables = self.read();
        let relations = tables.gp_relations.iter();
        let mut lists: Vec<_> = relations.map(|r| (r.clone(), Vec::new())).collect();
        let mut patients: Vec<_> = tables.gp_of.iter().collect();
        patients.sort_unstable();
        for (patient, list) in patients {
            if let Some((_, on)) = lists.get_mut(*list as usize) {
                on.push(*patient);
            }
        }
        lists
    }

    /// Numbers for the health page: (persons, personnel, organisations, parties).
    pub fn counts(&self) -> (usize, usize, usize, usize) {
        let tables = self.read();
        (
            self.persons.len() as usize,
            tables.practitioners.len(),
            self.businesses.mains(),
            self.parties.len(),
        )
    }
}
