//! When an approval counts (spec/grunndata.md §4.4), and what of a person is seen at a time.

use super::record::{Approval, Competence, Personnel, Requisition, Speciality, Suspension};
use crate::kernel::period::{Moment, Period};
use codes::lists;

/// Authorisation lapses at this age; after it a licence of one year at a time is needed.
pub const LAPSES_AT: i16 = 80;

/// Whether a code of a list may be used today: known to the list and valid, or of a list that is not here.
#[must_use]
pub fn is_active_code(list: u32, code: &str, at: Moment) -> bool {
    let Some(list) = lists::list(&codes::oid::list(list)) else {
        return true;
    };
    match list.get(code) {
        Some(entry) => entry.valid_on(day_of(at)),
        None => !list.complete,
    }
}

/// The day of a moment.
#[must_use]
pub fn day_of(at: Moment) -> jiff::civil::Date {
    at.timestamp().to_zoned(jiff::tz::TimeZone::UTC).date()
}

fn suspended(suspensions: &[Suspension], at: Moment) -> bool {
    suspensions.iter().any(|s| s.period.contains(at))
}

/// Begun, and not ended: from inclusive, to exclusive. A right without beginning has not begun.
fn is_valid(period: &Period, at: Moment) -> bool {
    period.from.is_some() && period.contains(at)
}

impl Approval {
    /// Whether it counts.
    #[must_use]
    pub fn is_active(&self, at: Moment) -> bool {
        is_valid(&self.valid, at)
            && !suspended(&self.seldom.suspensions, at)
            && is_active_code(7704, self.authorisation.as_str(), at)
            && is_active_code(9060, self.profession.as_str(), at)
    }
}

impl Requisition {
    /// Whether it counts: itself, and the approval it belongs to.
    #[must_use]
    pub fn is_active(&self, of: &Approval, at: Moment) -> bool {
        is_valid(&self.valid, at) && !suspended(&self.suspensions, at) && of.is_active(at)
    }
}

impl Speciality {
    /// Whether it counts: itself, and the approval it belongs to.
    #[must_use]
    pub fn is_active(&self, of: &Approval, at: Moment) -> bool {
        is_valid(&self.valid, at) && !suspended(&self.suspensions, at) && of.is_active(at)
    }
}

impl Competence {
    /// Whether it counts: itself, and the approval it belongs to.
    #[must_use]
    pub fn is_active(&self, of: &Approval, at: Moment) -> bool {
        is_valid(&self.valid, at) && of.is_active(at)
    }
}

/// The person as of a time: what is valid then, with the suspensions of then.
#[must_use]
pub fn as_of(person: &Personnel, at: Moment) -> Personnel {
    let mut seen = person.clone();
    let in_force = |suspensions: &mut Vec<Suspension>| {
        suspensions.retain(|s| s.period.contains(at));
    };
    seen.approvals.retain(|a| a.valid.contains(at));
    for approval in &mut seen.approvals {
        approval.requisitions.retain(|r| r.valid.contains(at));
        approval.specialities.retain(|s| s.valid.contains(at));
        approval.seldom.competences.retain(|c| c.valid.contains(at));
        approval.seldom.reactions.retain(|r| r.period.contains(at));
        in_force(&mut approval.seldom.suspensions);
        for requisition in &mut approval.requisitions {
            in_force(&mut requisition.suspensions);
            requisition.reactions.retain(|r| r.period.contains(at));
        }
        for speciality in &mut approval.specialities {
            in_force(&mut speciality.suspensions);
            speciality.reactions.retain(|r| r.period.contains(at));
        }
    }
    seen.rest.reactions.retain(|r| r.period.contains(at));
    seen
}

/// When an authorisation (7704 code 1) of somebody born then lapses: on the day of turning 80.
#[must_use]
pub fn lapse(born: jiff::civil::Date) -> Option<Moment> {
    let year = born.year().checked_add(LAPSES_AT)?;
    let day = jiff::civil::Date::new(year, born.month(), born.day())
        .or_else(|_| jiff::civil::Date::new(year, 3, 1))
        .ok()?;
    Some(Moment::of_day(day))
}

/// Closes authorisations at the age at which they lapse. Licences stand as they are.
pub fn close_at_age(person: &mut Personnel) {
    let Some(lapse) = person.born.and_then(lapse) else {
        return;
    };
    for approval in &mut person.approvals {
        let is_authorisation = approval.authorisation.as_str() == "1";
        let begins_before = approval.valid.from.is_some_and(|from| from < lapse);
        if is_authorisation && begins_before && approval.valid.to.is_none_or(|to| to > lapse) {
            approval.valid.to = Some(lapse);
        }
    }
}
