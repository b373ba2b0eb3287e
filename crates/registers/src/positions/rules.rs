//! Rules of training positions, over plain values. Ours: the published sources name no rules.

use super::record::{Approval, Distribution, Employment, Position};
use crate::kernel::period::Period;
use crate::personnel::Short;
use crate::personnel::rules::is_active_code;

/// Kinds of positions.
pub const CATEGORIES: [&str; 3] = ["LIS1", "LIS2", "LIS3"];
/// Years of a distribution.
pub const YEARS: std::ops::RangeInclusive<i16> = 2000..=2100;
/// Most positions of one distribution.
pub const MOST_POSITIONS: u16 = 10_000;

/// Why something cannot be so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Not a code of list 7426 at the time.
    #[error("Speciality is no code of list 7426")]
    Speciality,
    /// Not one of [`CATEGORIES`].
    #[error("Category must be LIS1, LIS2 or LIS3")]
    Category,
    /// No organisation number.
    #[error("the organisation number has nine digits")]
    Organisation,
    /// No beginning, or it ends before it begins.
    #[error("Valid must begin, and end after it begins")]
    Period,
    /// The approval does not cover the position.
    #[error("the approval is of another speciality or does not hold when the position begins")]
    Approval,
    /// Per cent.
    #[error("Percentage must be 1 to 100")]
    Percentage,
    /// No HPR number.
    #[error("HprNumber is required")]
    Hpr,
    /// Outside the position's time.
    #[error("the employment leaves the time of the position")]
    OutsidePosition,
    /// More than one whole position.
    #[error("the position would be held by more than 100 per cent at a time")]
    Overfull,
    /// A year or number that cannot be.
    #[error("Year must be 2000 to 2100 and Positions at most 10000")]
    Distribution,
}

fn check_period(period: &Period) -> Result<(), Broken> {
    if period.from.is_none() || period.is_empty() {
        return Err(Broken::Period);
    }
    Ok(())
}

/// The code must have stood in the list when the thing began.
fn check_speciality(code: Short, valid: &Period) -> Result<(), Broken> {
    let at = valid.from.ok_or(Broken::Period)?;
    if code.is_empty() || !is_active_code(7426, code.as_str(), at) {
        return Err(Broken::Speciality);
    }
    Ok(())
}

fn check_organisation(number: u32) -> Result<(), Broken> {
    if (100_000_000..1_000_000_000).contains(&number) {
        Ok(())
    } else {
        Err(Broken::Organisation)
    }
}

/// Checks a position with the approval that it names.
///
/// # Errors
/// The first rule that is broken.
pub fn check_position(position: &Position, approval: Option<&Approval>) -> Result<(), Broken> {
    check_period(&position.valid)?;
    check_organisation(position.employer)?;
    // An internship is in no speciality.
    if position.category.as_str() != "LIS1" || !position.speciality.is_empty() {
        check_speciality(position.speciality, &position.valid)?;
    }
    if !CATEGORIES.contains(&position.category.as_str()) {
        return Err(Broken::Category);
    }
    let begins = position.valid.from.unwrap_or_default();
    let is_covered = match (position.approval, approval) {
        (None, _) => true,
        (Some(_), Some(a)) => a.speciality == position.speciality && a.valid.contains(begins),
        (Some(_), None) => false,
    };
    if is_covered {
        Ok(())
    } else {
        Err(Broken::Approval)
    }
}

/// Checks an employment with its position and the others in it.
///
/// # Errors
/// The first rule that is broken.
pub fn check_employment<'a>(
    employment: &Employment,
    position: &Position,
    others: impl Iterator<Item = &'a Employment>,
) -> Result<(), Broken> {
    check_period(&employment.valid)?;
    if employment.hpr == 0 {
        return Err(Broken::Hpr);
    }
    if !(1..=100).contains(&employment.percentage) {
        return Err(Broken::Percentage);
    }
    if !lies_within(&employment.valid, &position.valid) {
        return Err(Broken::OutsidePosition);
    }
    let beside: Vec<&Employment> = others
        .filter(|other| other.id != employment.id && overlap(&other.valid, &employment.valid))
        .collect();
    // It is fullest where something begins.
    let begins = beside.iter().map(|other| other.valid.from);
    let is_overfull = begins.chain([employment.valid.from]).flatten().any(|at| {
        let held: u32 = beside
            .iter()
            .filter(|other| other.valid.contains(at))
            .map(|other| u32::from(other.percentage))
            .sum();
        employment.valid.contains(at) && held + u32::from(employment.percentage) > 100
    });
    if is_overfull {
        Err(Broken::Overfull)
    } else {
        Ok(())
    }
}

/// Checks an approval.
///
/// # Errors
/// The first rule that is broken.
pub fn check_approval(approval: &Approval) -> Result<(), Broken> {
    check_period(&approval.valid)?;
    check_organisation(approval.unit)?;
    check_speciality(approval.speciality, &approval.valid)
}

/// Checks a distribution.
///
/// # Errors
/// The first rule that is broken.
pub fn check_distribution(distribution: &Distribution) -> Result<(), Broken> {
    check_organisation(distribution.employer)?;
    if !YEARS.contains(&distribution.year) || distribution.positions > MOST_POSITIONS {
        return Err(Broken::Distribution);
    }
    let new_year = jiff::civil::Date::new(distribution.year, 1, 1);
    let begins = new_year.map_err(|_| Broken::Distribution)?;
    let from = crate::kernel::period::Moment::of_day(begins);
    check_speciality(distribution.speciality, &Period::since(from))
}

fn overlap(one: &Period, other: &Period) -> bool {
    let begins_before_end = |a: &Period, b: &Period| match (a.from, b.to) {
        (Some(from), Some(to)) => from < to,
        _ => true,
    };
    begins_before_end(one, other) && begins_before_end(other, one)
}

fn lies_within(inner: &Period, outer: &Period) -> bool {
    let begins = match (inner.from, outer.from) {
        (Some(inner), Some(outer)) => inner >= outer,
        (None, Some(_)) => false,
        (_, None) => true,
    };
    let ends = match (inner.to, outer.to) {
        (Some(inner), Some(outer)) => inner <= outer,
        (None, Some(_)) => false,
        (_, None) => true,
    };
    begins && ends
}
