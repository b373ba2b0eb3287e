//! Conversions between system types, and the clock functions.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::LazyLock;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::func::Func;
use super::value::{Item, Quantity};
use crate::datetime::{Clock, DAY_US, Moment, Precision, civil_from_days, oslo};

/// `now()`, `today()` and `timeOfDay()` in the server's zone.
pub(super) fn clock<'a>(func: Func, now_us: i64) -> Item<'a> {
    static ZONE: LazyLock<jiff::tz::TimeZone> = LazyLock::new(oslo);
    let offset =
        jiff::Timestamp::from_microsecond(now_us).map_or(0, |t| ZONE.to_offset(t).seconds());
    let wall = now_us + i64::from(offset) * 1_000_000;
    let (y, m, d) = civil_from_days(wall.div_euclid(DAY_US));
    let us = wall.rem_euclid(DAY_US);
    let n = |v: i64| u8::try_from(v).unwrap_or(0);
    let time = Clock {
        hour: n(us / 3_600_000_000),
        minute: n(us / 60_000_000 % 60),
        second: n(us / 1_000_000 % 60),
        micro: u32::try_from(us % 1_000_000 / 1000 * 1000).unwrap_or(0),
        precision: Precision::Fraction(3),
    };
    let date = Moment {
        year: i16::try_from(y).unwrap_or(9999),
        month: n(m),
        day: n(d),
        date_precision: Precision::Day,
        clock: None,
        offset_min: None,
    };
    match func {
        Func::Today => Item::Date(date),
        Func::TimeOfDay => Item::Time(time),
        _ => Item::DateTime(Moment {
            clock: Some(time),
            offset_min: Some(i16::try_from(offset / 60).unwrap_or(0)),
            ..date
        }),
    }
}

/// Applies a conversion (`toX`) or its test (`convertsToX`) to a single item.
pub(super) fn apply<'a>(func: Func, item: &Item<'a>, unit: Option<&str>) -> Option<Item<'a>> {
    let system = item.system();
    let (convert, test): (fn(&Item<'a>) -> Option<Item<'a>>, bool) = match func {
        Func::ToBoolean => (boolean, false),
        Func::ConvertsToBoolean => (boolean, true),
        Func::ToInteger | Func::ToLong => (integer, false),
        Func::ConvertsToInteger | Func::ConvertsToLong => (integer, true),
        Func::ToDecimal => (decimal, false),
        Func::ConvertsToDecimal => (decimal, true),
        Func::ToDate => (date, false),
        Func::ConvertsToDate => (date, true),
        Func::ToDateTime => (date_time, false),
        Func::ConvertsToDateTime => (date_time, true),
        Func::ToTime => (time, false),
        Func::ConvertsToTime => (time, true),
        Func::ToString => (string, false),
        Func::ConvertsToString => (string, true),
        Func::ToQuantity => (quantity, false),
        Func::ConvertsToQuantity => (quantity, true),
        _ => return None,
    };
    let mut result = convert(&system);
    if let (Some(wanted), Some(Item::Quantity(q))) = (unit, &result) {
        let target = Quantity {
            value: Decimal::ONE,
            unit: Cow::Owned(wanted.to_owned()),
            calendar: super::calendar_unit(wanted) == Some(wanted),
        };
        result = super::value::common(q, &target)
            .and_then(|(a, b)| a.checked_div(b))
            .map(|value| {
                Item::Quantity(Quantity {
                    value: value.normalize(),
                    ..target
                })
            });
    }
    if test {
        Some(Item::Bool(result.is_some()))
    } else {
        result
    }
}

fn boolean<'a>(i: &Item<'a>) -> Option<Item<'a>> {
    let b = match i {
        Item::Bool(b) => *b,
        Item::Int(1) => true,
        Item::Int(0) => false,
        Item::Dec(d) if *d == Decimal::ONE => true,
        Item::Dec(d) if d.is_zero() => false,
        Item::Str(s) => match s.to_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "1" | "1.0" => true,
            "false" | "f" | "no" | "n" | "0" | "0.0" => false,
            _ => return None,
        },
        _ => return None,
    };
    Some(Item::Bool(b))
}

fn integer<'a>(i: &Item<'a>) -> Option<Item<'a>> {
    let n = match i {
        Item::Int(n) => *n,
        Item::Bool(b) => i64::from(*b),
        Item::Str(s) => s.parse().ok()?,
        _ => return None,
    };
    Some(Item::Int(n))
}

fn plain_decimal(s: &str) -> Option<Decimal> {
    let body = s.strip_prefix(['+', '-']).unwrap_or(s);
    let ok = body.starts_with(|c: char| c.is_ascii_digit())
        && body.ends_with(|c: char| c.is_ascii_digit())
        && body.chars().all(|c| c.is_ascii_digit() || c == '.');
    if ok { s.parse().ok() } else { None }
}

fn decimal<'a>(i: &Item<'a>) -> Option<Item<'a>> {
    let d = match i {
        Item::Int(n) => Decimal::from(*n),
        Item::Dec(d) => *d,
        Item::Bool(b) => Decimal::from(i64::from(*b)),
        Item::Str(s) => plain_decimal(s)?,
        _ => return None,
    };
    Some(Item::Dec(d))
}

fn date<'a>(i: &Item<'a>) -> Option<Item<'a>> {
    let m = match i {
        Item::Date(m) | Item::DateTime(m) => *m,
        Item::Str(s) => Moment::parse(s, true)?,
        _ => return None,
    };
    Some(Item::Date(Moment {
        clock: None,
        offset_min: None,
        ..m
    }))
}

fn date_time<'a>(i: &Item<'a>) -> Option<Item<'a>> {
    let m = match i {
        Item::Date(m) | Item::DateTime(m) => *m,
        Item::Str(s) => Moment::parse(s, true)?,
        _ => return None,
    };
    Some(Item::DateTime(m))
}

fn time<'a>(i: &Item<'a>) -> Option<Item<'a>> {
    match i {
        Item::Time(c) => Some(Item::Time(*c)),
        Item::Str(s) => Clock::parse(s.strip_prefix('T').unwrap_or(s)).map(Item::Time),
        _ => None,
    }
}

fn string<'a>(i: &Item<'a>) -> Option<Item<'a>> {
    to_text(i).map(Item::text)
}

fn quantity<'a>(i: &Item<'a>) -> Option<Item<'a>> {
    let plain = |value: Decimal| Quantity {
        value,
        unit: Cow::Borrowed("1"),
        calendar: false,
    };
    let q = match i {
        Item::Quantity(q) => q.clone(),
        Item::Int(n) => plain(Decimal::from(*n)),
        Item::Dec(d) => plain(*d),
        Item::Bool(b) => plain(Decimal::from(i64::from(*b))),
        Item::Str(s) => {
            let s = s.trim();
            let end = s
                .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-')))
                .unwrap_or(s.len());
            let (number, rest) = s.split_at_checked(end)?;
            let value = plain_decimal(number)?;
            let rest = rest.trim_start();
            if rest.is_empty() {
                plain(value)
            } else if let Some(code) = rest.strip_prefix('\'').and_then(|r| r.strip_suffix('\'')) {
                Quantity {
                    value,
                    unit: Cow::Owned(code.to_owned()),
                    calendar: false,
                }
            } else {
                Quantity {
                    value,
                    unit: Cow::Borrowed(super::calendar_unit(rest)?),
                    calendar: true,
                }
            }
        }
        _ => return None,
    };
    Some(Item::Quantity(q))
}

/// The text of a system value; `None` for complex elements.
pub fn to_text(i: &Item<'_>) -> Option<String> {
    Some(match i {
        Item::Bool(b) => b.to_string(),
        Item::Int(n) => n.to_string(),
        Item::Dec(d) => d.to_string(),
        Item::Str(s) => s.to_string(),
        Item::Date(m) | Item::DateTime(m) => moment_text(m),
        Item::Time(c) => clock_text(c),
        Item::Quantity(q) if q.calendar => format!(
            "{} {}{}",
            q.value,
            q.unit,
            if q.value.to_i64() == Some(1) { "" } else { "s" }
        ),
        Item::Quantity(q) => format!("{} '{}'", q.value, q.unit),
        Item::Type(ns, n) => format!("{ns}.{n}"),
        Item::Node(_) | Item::Remote(_) => return None,
    })
}

fn clock_text(c: &Clock) -> String {
    let mut out = format!("{:02}", c.hour);
    if c.precision >= Precision::Minute {
        let _ = write!(out, ":{:02}", c.minute);
    }
    if c.precision >= Precision::Second {
        let _ = write!(out, ":{:02}", c.second);
    }
    if let Precision::Fraction(n) = c.precision {
        let digits = format!("{:06}", c.micro);
        let _ = write!(
            out,
            ".{}",
            digits.get(..usize::from(n).min(6)).unwrap_or_default()
        );
    }
    out
}

fn moment_text(m: &Moment) -> String {
    let mut out = format!("{:04}", m.year);
    if m.date_precision >= Precision::Month {
        let _ = write!(out, "-{:02}", m.month);
    }
    if m.date_precision >= Precision::Day {
        let _ = write!(out, "-{:02}", m.day);
    }
    if let Some(c) = &m.clock {
        let _ = write!(out, "T{}", clock_text(c));
        match m.offset_min {
            Some(0) => out.push('Z'),
            Some(o) => {
                let _ = write!(
                    out,
                    "{}{:02}:{:02}",
                    if o < 0 { '-' } else { '+' },
                    o.abs() / 60,
                    o.abs() % 60
                );
            }
            None => {}
        }
    }
    out
}
