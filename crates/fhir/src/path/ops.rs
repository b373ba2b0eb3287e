//! Operators on evaluated items.

use std::borrow::Cow;
use std::cmp::Ordering;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::ast::Op;
use super::eval::{EvalError, Res};
use super::value::{self, Item, Quantity, Unordered};
use crate::datetime::{Clock, DAY_US, Moment, Precision, civil_from_days, days_in_month};

/// Three-valued logic.
pub(super) fn logic(op: Op, a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match op {
        Op::And => match (a, b) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        },
        Op::Or => match (a, b) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        },
        Op::Xor => Some(a? ^ b?),
        _ => match (a, b) {
            (Some(false), _) | (_, Some(true)) => Some(true),
            (Some(true), b) => b,
            _ => None,
        },
    }
}

/// `=`, `!=`, `~`, `!~` on collections.
pub(super) fn equality(op: Op, a: &[Item<'_>], b: &[Item<'_>]) -> Option<bool> {
    match op {
        Op::Eq | Op::Ne => {
            if a.is_empty() || b.is_empty() {
                return None;
            }
            let mut same = Some(a.len() == b.len());
            if same == Some(true) {
                for (x, y) in a.iter().zip(b) {
                    match value::equal(x, y) {
                        Some(true) => {}
                        Some(false) => {
                            same = Some(false);
                            break;
                        }
                        None => same = None,
                    }
                }
            }
            if op == Op::Ne { same.map(|v| !v) } else { same }
        }
        _ => {
            let mut rest: Vec<&Item<'_>> = b.iter().collect();
            let same = a.len() == b.len()
                && a.iter().all(
                    |x| match rest.iter().position(|y| value::equivalent(x, y)) {
                        Some(i) => {
                            rest.swap_remove(i);
                            true
                        }
                        None => false,
                    },
                );
            Some(if op == Op::NotEquiv { !same } else { same })
        }
    }
}

fn mismatch<T>(op: &str) -> Res<T> {
    Err(EvalError::Type(format!("{op} cannot join these types")))
}

/// Comparison and arithmetic on two single items; `None` is an empty result.
pub(super) fn arithmetic<'a>(op: Op, a: &Item<'a>, b: &Item<'a>) -> Res<Option<Item<'a>>> {
    if matches!(op, Op::Lt | Op::Gt | Op::Le | Op::Ge) {
        let order = match value::compare(a, b) {
            Ok(o) => o,
            Err(Unordered::Open) => return Ok(None),
            Err(Unordered::Types) => return mismatch("a comparison"),
        };
        return Ok(Some(Item::Bool(match op {
            Op::Lt => order == Ordering::Less,
            Op::Gt => order == Ordering::Greater,
            Op::Le => order != Ordering::Greater,
            _ => order != Ordering::Less,
        })));
    }
    let (x, y) = (a.system(), b.system());
    Ok(match (&x, &y) {
        (Item::Int(p), Item::Int(q)) => integers(op, *p, *q),
        (Item::Int(_) | Item::Dec(_), Item::Int(_) | Item::Dec(_)) => {
            decimals(op, dec(&x), dec(&y))
        }
        (Item::Str(p), Item::Str(q)) if op == Op::Add => {
            super::text::fits(p.len() + q.len())?;
            Some(Item::Str(Cow::Owned(format!("{p}{q}"))))
        }
        (Item::Quantity(p), Item::Quantity(q)) => match op {
            Op::Add | Op::Sub => {
                if p.unit == q.unit && p.calendar == q.calendar {
                    let v = if op == Op::Add {
                        p.value.checked_add(q.value)
                    } else {
                        p.value.checked_sub(q.value)
                    };
                    v.map(|value| Item::Quantity(Quantity { value, ..p.clone() }))
                } else {
                    None
                }
            }
            Op::Mul => value::multiply(p, q, false).map(Item::Quantity),
            Op::Div => value::multiply(p, q, true).map(Item::Quantity),
            _ => return mismatch("div and mod"),
        },
        (Item::Quantity(p), Item::Int(_) | Item::Dec(_)) if matches!(op, Op::Mul | Op::Div) => {
            let v = if op == Op::Mul {
                p.value.checked_mul(dec(&y))
            } else {
                p.value.checked_div(dec(&y))
            };
            v.map(|value| Item::Quantity(Quantity { value, ..p.clone() }))
        }
        (Item::Int(_) | Item::Dec(_), Item::Quantity(q)) if op == Op::Mul => q
            .value
            .checked_mul(dec(&x))
            .map(|value| Item::Quantity(Quantity { value, ..q.clone() })),
        (Item::Date(m) | Item::DateTime(m), Item::Quantity(q))
            if matches!(op, Op::Add | Op::Sub) =>
        {
            let date = matches!(x, Item::Date(_));
            shift_moment(m, q, op == Op::Sub)?.map(|m| {
                if date {
                    Item::Date(m)
                } else {
                    Item::DateTime(m)
                }
            })
        }
        (Item::Time(c), Item::Quantity(q)) if matches!(op, Op::Add | Op::Sub) => {
            shift_clock(c, q, op == Op::Sub)?.map(Item::Time)
        }
        _ => return mismatch("arithmetic"),
    })
}

fn dec(i: &Item<'_>) -> Decimal {
    match i {
        Item::Int(n) => Decimal::from(*n),
        Item::Dec(d) => *d,
        _ => Decimal::ZERO,
    }
}

fn integers<'a>(op: Op, p: i64, q: i64) -> Option<Item<'a>> {
    match op {
        Op::Add => p.checked_add(q).map(Item::Int),
        Op::Sub => p.checked_sub(q).map(Item::Int),
        Op::Mul => p.checked_mul(q).map(Item::Int),
        Op::IntDiv => p.checked_div(q).map(Item::Int),
        Op::Mod => p.checked_rem(q).map(Item::Int),
        _ => decimals(op, Decimal::from(p), Decimal::from(q)),
    }
}

fn decimals<'a>(op: Op, p: Decimal, q: Decimal) -> Option<Item<'a>> {
    match op {
        Op::Add => p.checked_add(q).map(Item::Dec),
        Op::Sub => p.checked_sub(q).map(Item::Dec),
        Op::Mul => p.checked_mul(q).map(Item::Dec),
        Op::Div => p.checked_div(q).map(Item::Dec),
        Op::IntDiv => p
            .checked_div(q)
            .and_then(|v| v.trunc().to_i64())
            .map(Item::Int),
        Op::Mod => p.checked_rem(q).map(Item::Dec),
        _ => None,
    }
}

/// The duration in whole calendar parts: months, or microseconds.
enum Step {
    Months(i64),
    Micros(i64),
}

fn step(q: &Quantity<'_>, minus: bool) -> Res<Option<Step>> {
    let value = if minus { -q.value } else { q.value };
    let whole = |n: i64| value.trunc().to_i64().and_then(|v| v.checked_mul(n));
    let micros = |n: i64| {
        value
            .checked_mul(Decimal::from(n))
            .and_then(|v| v.trunc().to_i64())
    };
    Ok(match q.unit.as_ref() {
        "year" => whole(12).map(Step::Months),
        "month" => whole(1).map(Step::Months),
        "week" | "wk" => whole(7 * DAY_US).map(Step::Micros),
        "day" | "d" => whole(DAY_US).map(Step::Micros),
        "hour" | "h" => whole(3_600_000_000).map(Step::Micros),
        "minute" | "min" => whole(60_000_000).map(Step::Micros),
        // Only the calendar keyword counts parts of a second.
        "second" => micros(1_000_000).map(Step::Micros),
        "s" => whole(1_000_000).map(Step::Micros),
        "millisecond" | "ms" => micros(1000).map(Step::Micros),
        _ => return Err(EvalError::Type("only calendar durations, weeks, days, hours, minutes and seconds can be added to a date".into())),
    })
}

fn shift_moment(m: &Moment, q: &Quantity<'_>, minus: bool) -> Res<Option<Moment>> {
    let Some(by) = step(q, minus)? else {
        return Ok(None);
    };
    let mut out = *m;
    match by {
        Step::Months(n) => {
            let total = i64::from(m.year) * 12 + i64::from(m.month) - 1
                + if m.date_precision == Precision::Year {
                    n / 12 * 12
                } else {
                    n
                };
            let (Ok(year), Ok(month)) = (
                i16::try_from(total.div_euclid(12)),
                u8::try_from(total.rem_euclid(12) + 1),
            ) else {
                return Ok(None);
            };
            (out.year, out.month) = (year, month);
            out.day = m.day.min(days_in_month(year, month));
        }
        Step::Micros(us) => {
            // Durations finer than the value's precision are cut down to it.
            let us = match m.precision() {
                Precision::Year => return Ok(shifted_years(m, us)),
                Precision::Month => return Ok(shifted_months(m, us / DAY_US / 30)),
                Precision::Day => us / DAY_US * DAY_US,
                _ => us,
            };
            let Some(wall) = m.wall_us().checked_add(us) else {
                return Ok(None);
            };
            let (y, mo, d) = civil_from_days(wall.div_euclid(DAY_US));
            let (Ok(y), Ok(mo), Ok(d)) = (i16::try_from(y), u8::try_from(mo), u8::try_from(d))
            else {
                return Ok(None);
            };
            (out.year, out.month, out.day) = (y, mo, d);
            if let Some(c) = &mut out.clock {
                set_clock(c, wall.rem_euclid(DAY_US));
            }
        }
    }
    Ok((1..=9999).contains(&out.year).then_some(out))
}

fn shifted_years(m: &Moment, us: i64) -> Option<Moment> {
    let years = i16::try_from(us / DAY_US / 365).ok()?;
    let year = m.year.checked_add(years)?;
    (1..=9999).contains(&year).then_some(Moment { year, ..*m })
}

fn shifted_months(m: &Moment, n: i64) -> Option<Moment> {
    let total = i64::from(m.year) * 12 + i64::from(m.month) - 1 + n;
    let year = i16::try_from(total.div_euclid(12)).ok()?;
    (1..=9999).contains(&year).then_some(Moment {
        year,
        month: u8::try_from(total.rem_euclid(12) + 1).ok()?,
        ..*m
    })
}

fn set_clock(c: &mut Clock, us: i64) {
    let n = |v: i64| u8::try_from(v).unwrap_or(0);
    c.hour = n(us / 3_600_000_000);
    c.minute = n(us / 60_000_000 % 60);
    c.second = n(us / 1_000_000 % 60);
    c.micro = u32::try_from(us % 1_000_000).unwrap_or(0);
    if c.micro != 0 && c.precision == Precision::Second {
        c.precision = Precision::Fraction(3);
    }
}

fn shift_clock(c: &Clock, q: &Quantity<'_>, minus: bool) -> Res<Option<Clock>> {
    match step(q, minus)? {
        Some(Step::Micros(us)) => {
            let mut out = *c;
            set_clock(&mut out, (c.micros() + us % DAY_US).rem_euclid(DAY_US));
            Ok(Some(out))
        }
        Some(Step::Months(_)) => Err(EvalError::Type(
            "years and months cannot be added to a time of day".into(),
        )),
        None => Ok(None),
    }
}
