//! `lowBoundary`, `highBoundary` and `precision`: the range that a written value may stand for.

use rust_decimal::{Decimal, RoundingStrategy};

use super::eval::{EvalError, Res};
use super::func::Func;
use super::value::{Item, Quantity};
use crate::datetime::{Clock, Moment, Precision, days_in_month};

/// Applies a function to a single item; `digits` is the wanted precision.
pub(super) fn apply<'a>(func: Func, item: &Item<'a>, digits: Option<i64>) -> Res<Option<Item<'a>>> {
    let system = item.system();
    if func == Func::Precision {
        return Ok(precision(&system).map(Item::Int));
    }
    let high = func == Func::HighBoundary;
    Ok(match system {
        Item::Int(n) => decimal(Decimal::from(n), digits, high).map(Item::Dec),
        Item::Dec(d) => decimal(d, digits, high).map(Item::Dec),
        Item::Quantity(q) => {
            decimal(q.value, digits, high).map(|value| Item::Quantity(Quantity { value, ..q }))
        }
        Item::Date(m) => moment(&m, digits.unwrap_or(8), high).map(Item::Date),
        Item::DateTime(m) => moment(&m, digits.unwrap_or(17), high).map(Item::DateTime),
        Item::Time(c) => clock(&c, digits.unwrap_or(9), high).map(Item::Time),
        _ => {
            return Err(EvalError::Type(format!(
                "{}() takes a number, quantity, date or time",
                func.name()
            )));
        }
    })
}

fn precision(i: &Item<'_>) -> Option<i64> {
    let time = |p: Precision| match p {
        Precision::Hour => 2,
        Precision::Minute => 4,
        Precision::Second => 6,
        _ => 9,
    };
    Some(match i {
        Item::Int(_) => 0,
        Item::Dec(d) => i64::from(d.scale()),
        Item::Quantity(q) => i64::from(q.value.scale()),
        Item::Date(m) | Item::DateTime(m) => match m.date_precision {
            Precision::Year => 4,
            Precision::Month => 6,
            _ => 8 + m.clock.map_or(0, |c| time(c.precision)),
        },
        Item::Time(c) => time(c.precision),
        _ => return None,
    })
}

/// Half a unit of the last digit outwards; cut towards zero when the bound lies nearer to zero, else rounded.
fn decimal(v: Decimal, digits: Option<i64>, high: bool) -> Option<Decimal> {
    let digits = u32::try_from(digits.unwrap_or(8))
        .ok()
        .filter(|d| *d <= 28)?;
    let half = Decimal::try_new(5, v.scale() + 1).ok()?;
    let bound = if high {
        v.checked_add(half)?
    } else {
        v.checked_sub(half)?
    };
    let inwards = (v.is_sign_negative() && high) || (v.is_sign_positive() && !high);
    let strategy = if inwards {
        RoundingStrategy::ToZero
    } else {
        RoundingStrategy::MidpointAwayFromZero
    };
    let mut out = bound.round_dp_with_strategy(digits, strategy);
    out.rescale(digits);
    // A bound just below zero keeps its side when its digits are cut off.
    if out.is_zero() && bound.is_sign_negative() && !bound.is_zero() {
        out.set_sign_negative(true);
    }
    Some(out)
}

fn moment(m: &Moment, digits: i64, high: bool) -> Option<Moment> {
    let mut out = *m;
    if m.date_precision < Precision::Month {
        out.month = if high { 12 } else { 1 };
    }
    if m.date_precision < Precision::Day {
        out.day = if high {
            days_in_month(out.year, out.month)
        } else {
            1
        };
    }
    out.date_precision = match digits {
        4 => Precision::Year,
        6 => Precision::Month,
        8.. => Precision::Day,
        _ => return None,
    };
    if digits <= 8 {
        (out.clock, out.offset_min) = (None, None);
        return Some(out);
    }
    let start = m.clock.unwrap_or(Clock {
        hour: if high { 23 } else { 0 },
        minute: if high { 59 } else { 0 },
        second: 0,
        micro: 0,
        precision: Precision::Minute,
    });
    out.clock = Some(clock(&start, digits - 8, high)?);
    // Without a zone the value may lie anywhere: the earliest is at +14:00, the latest at -12:00.
    out.offset_min = Some(m.offset_min.unwrap_or(if high { -720 } else { 840 }));
    Some(out)
}

fn clock(c: &Clock, digits: i64, high: bool) -> Option<Clock> {
    let mut out = *c;
    // FHIR writes no hour without minutes: an hour alone stands for its first minute.
    if c.precision < Precision::Minute {
        out.minute = 0;
    }
    if c.precision < Precision::Second {
        out.second = if high { 59 } else { 0 };
    }
    if c.precision <= Precision::Second {
        out.micro = if high { 999_000 } else { 0 };
    }
    out.precision = match digits {
        2 => Precision::Hour,
        4 => Precision::Minute,
        6 => Precision::Second,
        9.. => Precision::Fraction(3),
        _ => return None,
    };
    Some(out)
}
