//! Rules of GP lists (spec/grunndata.md §5.1), over plain values.

use super::record::{DoctorCycle, GpContract, OPEN, OWN_DOCTOR, SUBSTITUTE};
use crate::kernel::period::Moment;

/// Places left: none unless the list is open; a list over its ceiling has none.
#[must_use]
pub fn places(contract: &GpContract, active_patients: usize, at: Moment) -> u32 {
    if contract.status.as_str() != OPEN || !contract.valid.contains(at) {
        return 0;
    }
    let active = u32::try_from(active_patients).unwrap_or(u32::MAX);
    contract.max_patients.saturating_sub(active)
}

/// Doctors on the list at a time.
pub fn doctors_at(contract: &GpContract, at: Moment) -> impl Iterator<Item = &DoctorCycle> {
    let is_valid = contract.valid.contains(at);
    contract
        .doctors
        .iter()
        .filter(move |d| is_valid && d.valid.contains(at))
}

/// The list's own doctor at a time.
#[must_use]
pub fn own_doctor(contract: &GpContract, at: Moment) -> Option<&DoctorCycle> {
    doctors_at(contract, at).find(|d| d.substitute_for.is_none() && is_own(d))
}

fn is_own(doctor: &DoctorCycle) -> bool {
    let relationship = doctor.relationship.as_str();
    relationship == OWN_DOCTOR || (relationship != SUBSTITUTE && doctor.substitute_for.is_none())
}

/// Whose HER-id a message to «my GP» goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageTo {
    /// This doctor's.
    Doctor(u32),
    /// That of the office's service for lists without own doctor.
    OfficeService(u32),
}

/// The doctor active on the list; without one, the only substitute; otherwise the office's service.
#[must_use]
pub fn message_to(contract: &GpContract, at: Moment) -> MessageTo {
    if let Some(own) = own_doctor(contract, at) {
        return MessageTo::Doctor(own.hpr);
    }
    let mut substitutes = doctors_at(contract, at).filter(|d| !is_own(d));
    match (substitutes.next(), substitutes.next()) {
        (Some(only), None) => MessageTo::Doctor(only.hpr),
        _ => MessageTo::OfficeService(contract.office),
    }
}

/// Why a doctor cannot be on a contract like this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongCycle {
    /// Per cent.
    #[error("WorkingPercentage must be more than 0 and at most 100")]
    Percentage,
    /// Days.
    #[error("WorkingOnDays holds 0 (Sunday) to 6, each once")]
    Days,
    /// Period.
    #[error("Valid must begin, and end after it begins")]
    Period,
    /// A substitute for nobody on the contract.
    #[error("SubstituteForHprNumber is no doctor on the contract")]
    Substitute,
}

/// Checks a doctor on a contract.
///
/// # Errors
/// The first rule that is broken.
pub fn check_cycle(contract: &GpContract, cycle: &DoctorCycle) -> Result<(), WrongCycle> {
    if cycle.percentage.is_some_and(|p| p == 0 || p > 100) {
        return Err(WrongCycle::Percentage);
    }
    let mut seen = [false; 7];
    for day in &cycle.days {
        match seen.get_mut(usize::from(*day)) {
            Some(place) if !*place => *place = true,
            _ => return Err(WrongCycle::Days),
        }
    }
    if cycle.valid.from.is_none() || cycle.valid.is_empty() {
        return Err(WrongCycle::Period);
    }
    let stands_in_for = |hpr: u32| {
        contract
            .doctors
            .iter()
            .any(|d| d.no != cycle.no && d.hpr == hpr && d.substitute_for.is_none())
    };
    match cycle.substitute_for {
        Some(hpr) if hpr == cycle.hpr || !stands_in_for(hpr) => Err(WrongCycle::Substitute),
        _ => Ok(()),
    }
}
