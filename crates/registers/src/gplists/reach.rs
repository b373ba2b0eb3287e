//! What the rest of the house asks of a list: whose it is, and where messages to it go.

use super::record::GpContract;
use super::rules::{MessageTo, message_to, own_doctor};
use crate::directory::{Directory, GpRelation, Substitute};
use crate::kernel::period::Moment;
use crate::personnel::rules::day_of;
use jiff::civil::Date;

/// Service of an office for lists without own doctor (list 8663).
const NO_DOCTOR: (&str, &str) = ("8663", "KX17");

/// HER-id that messages to the list's GP go to at a time (clock time of Norway).
#[must_use]
pub fn her_id(directory: &dyn Directory, contract: &GpContract, at: Moment) -> Option<u32> {
    let office = contract.office.to_string();
    match message_to(contract, at) {
        MessageTo::Doctor(hpr) => {
            let doctor = directory.practitioner_by_hpr(&hpr.to_string())?;
            let works = doctor.workplaces;
            let here = works.iter().find(|w| w.orgnr_child == office);
            here.or(works.first()).and_then(|w| w.her_id)
        }
        MessageTo::OfficeService(_) => {
            let main = directory.organisation(&office)?.orgnr;
            let parties = directory.parties_of(&main);
            let service = parties.iter().find(|party| {
                party
                    .service
                    .as_ref()
                    .is_some_and(|s| (s.list.as_str(), s.code.as_str()) == NO_DOCTOR)
            });
            service.map(|party| party.her_id)
        }
    }
}

/// The list as it stands with a person who is on it. Substitutes of the past are left out.
#[must_use]
pub fn relation(directory: &dyn Directory, contract: &GpContract, at: Moment) -> GpRelation {
    let is_over = |to: Option<Moment>| to.is_some_and(|to| to <= at);
    let substitutes = contract
        .doctors
        .iter()
        .filter(|d| d.substitute_for.is_some() && !is_over(d.valid.to));
    GpRelation {
        hpr: own_doctor(contract, at).map(|own| own.hpr.to_string()),
        substitutes: substitutes
            .map(|d| Substitute {
                hpr: d.hpr.to_string(),
                from: d.valid.from.map_or(Date::MIN, day_of),
                // The register says the first instant outside, the directory the last day inside.
                to: d
                    .valid
                    .to
                    .map_or(Date::MAX, |to| day_of(Moment(to.0.saturating_sub(1)))),
            })
            .collect(),
        orgnr: format!("{:09}", contract.office),
        her_id: her_id(directory, contract, at),
    }
}
