//! What expressions yield: document nodes and system values, their equality and order.

use std::borrow::Cow;
use std::cmp::Ordering;

use rust_decimal::Decimal;

use crate::datetime::{Clock, Moment, Precision};
use crate::decimal::Num;
use crate::doc::{Node, NodeKind};
use crate::ucum::Unit;

/// A number with a unit. Calendar durations have their keyword (`day`), others a UCUM code.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantity<'a> {
    /// Value.
    pub value: Decimal,
    /// UCUM code, or a calendar keyword when `calendar` is set.
    pub unit: Cow<'a, str>,
    /// Written with a calendar keyword.
    pub calendar: bool,
}

/// One item of a collection.
#[derive(Debug, Clone)]
pub enum Item<'a> {
    /// An element of the document.
    Node(Node<'a>),
    /// Target of a reference that is not in the document: only its resource type is known.
    Remote(&'a str),
    /// System.Boolean
    Bool(bool),
    /// System.Integer
    Int(i64),
    /// System.Decimal
    Dec(Decimal),
    /// System.String
    Str(Cow<'a, str>),
    /// System.Date
    Date(Moment),
    /// System.DateTime
    DateTime(Moment),
    /// System.Time
    Time(Clock),
    /// System.Quantity
    Quantity(Quantity<'a>),
    /// What `type()` yields: namespace and name.
    Type(&'static str, Cow<'a, str>),
}

impl<'a> Item<'a> {
    /// A string item.
    pub fn text(s: impl Into<Cow<'a, str>>) -> Item<'a> {
        Item::Str(s.into())
    }

    /// The node, when the item is one.
    pub fn node(&self) -> Option<Node<'a>> {
        match self {
            Item::Node(n) => Some(*n),
            _ => None,
        }
    }

    /// The item as a system value: primitives and quantities of the document are converted, others stay.
    pub fn system(&self) -> Item<'a> {
        match self {
            Item::Node(n) => node_value(*n).unwrap_or_else(|| self.clone()),
            other => other.clone(),
        }
    }

    /// The item as text, when it is a string.
    pub fn as_text(&self) -> Option<Cow<'a, str>> {
        match self.system() {
            Item::Str(s) => Some(s),
            _ => None,
        }
    }

    /// Name of the system type, empty for nodes.
    pub fn system_type(&self) -> &'static str {
        match self {
            Item::Bool(_) => "Boolean",
            Item::Int(_) => "Integer",
            Item::Dec(_) => "Decimal",
            Item::Str(_) => "String",
            Item::Date(_) => "Date",
            Item::DateTime(_) => "DateTime",
            Item::Time(_) => "Time",
            Item::Quantity(_) => "Quantity",
            _ => "",
        }
    }
}

/// System value of a primitive or quantity node.
pub(super) fn node_value(n: Node<'_>) -> Option<Item<'_>> {
    let pack = n.doc().pack();
    let k = &pack.known;
    let ty = n.type_id();
    if !n.has_value() {
        return if pack.is_a(ty, k.quantity) {
            quantity_node(n).map(Item::Quantity)
        } else {
            None
        };
    }
    if let Some(b) = n.as_bool() {
        return Some(Item::Bool(b));
    }
    let text = n.value_text()?;
    if n.kind() == NodeKind::Number {
        if ty != k.decimal
            && let Ok(i) = text.parse::<i64>()
        {
            return Some(Item::Int(i));
        }
        return decimal(text).map(Item::Dec);
    }
    let moment = |date: bool| {
        Moment::parse(text, false).map(|m| {
            if date {
                Item::Date(m)
            } else {
                Item::DateTime(m)
            }
        })
    };
    let converted = if ty == k.date {
        moment(true)
    } else if ty == k.date_time || ty == k.instant {
        moment(false)
    } else if ty == k.time {
        Clock::parse(text).map(Item::Time)
    } else {
        None
    };
    Some(converted.unwrap_or(Item::Str(Cow::Borrowed(text))))
}

pub(super) fn decimal(text: &str) -> Option<Decimal> {
    if text.len() > 60 {
        return None;
    }
    text.parse::<Decimal>()
        .ok()
        .or_else(|| Decimal::from_scientific(text).ok())
}

fn quantity_node(n: Node<'_>) -> Option<Quantity<'_>> {
    let value = decimal(n.get("value")?.as_decimal_text()?)?;
    if n.get("comparator").is_some() {
        return None;
    }
    let system = n.str_at("system").unwrap_or_default();
    let code = n.str_at("code");
    let unit = match code {
        Some(c) if system == "http://unitsofmeasure.org" || system.is_empty() => c,
        Some(c) => c,
        None => n.str_at("unit").unwrap_or("1"),
    };
    Some(Quantity {
        value,
        unit: Cow::Borrowed(unit),
        calendar: false,
    })
}

/// UCUM code of a calendar keyword; years and months are not definite durations.
fn definite(q: &Quantity<'_>) -> Option<Unit> {
    let code = match (q.calendar, q.unit.as_ref()) {
        (true, "week") => "wk",
        (true, "day") => "d",
        (true, "hour") => "h",
        (true, "minute") => "min",
        (true, "second") => "s",
        (true, "millisecond") => "ms",
        (true, _) => return None,
        (false, "") => "1",
        (false, code) => code,
    };
    Unit::parse(code)
}

/// Calendar years and months, and their UCUM namesakes, in months.
fn months(q: &Quantity<'_>) -> Option<(Decimal, bool)> {
    let n = match (q.calendar, q.unit.as_ref()) {
        (true, "year") | (false, "a") => 12,
        (true, "month") | (false, "mo") => 1,
        _ => return None,
    };
    Some((q.value.checked_mul(Decimal::from(n))?, q.calendar))
}

/// Both values on one scale, when the units can be compared.
pub(super) fn common(a: &Quantity<'_>, b: &Quantity<'_>) -> Option<(Decimal, Decimal)> {
    if a.unit == b.unit && a.calendar == b.calendar {
        return Some((a.value, b.value));
    }
    if let (Some((x, cx)), Some((y, cy))) = (months(a), months(b)) {
        return (cx == cy).then_some((x, y));
    }
    let (ua, ub) = (definite(a)?, definite(b)?);
    if !ua.same_dimension(&ub) {
        return None;
    }
    let (x, ex) = ua.scale(a.value)?;
    let (y, ey) = ub.scale(b.value)?;
    // Bring both to the smaller power of ten.
    let low = ex.min(ey);
    let lift = |v: Decimal, e: i32| (0..e - low).try_fold(v, |v, _| v.checked_mul(Decimal::TEN));
    Some((lift(x, ex)?, lift(y, ey)?))
}

/// Whether the quantities have units of one dimension.
pub(super) fn comparable(a: &Quantity<'_>, b: &Quantity<'_>) -> bool {
    common(a, b).is_some()
}

/// Product or quotient with the unit worked out.
pub(super) fn multiply<'a>(
    a: &Quantity<'_>,
    b: &Quantity<'_>,
    divide: bool,
) -> Option<Quantity<'a>> {
    let (ua, ub) = (definite(a)?, definite(b)?);
    let unit = ua.combine(&ub, divide)?;
    let value = if divide {
        a.value.checked_div(b.value)?
    } else {
        a.value.checked_mul(b.value)?
    };
    let (v, exp) = unit.scale(value)?;
    let v = if exp >= 0 {
        (0..exp).try_fold(v, |v, _| v.checked_mul(Decimal::TEN))?
    } else {
        (0..-exp).try_fold(v, |v, _| v.checked_div(Decimal::TEN))?
    };
    Some(Quantity {
        value: v.normalize(),
        unit: Cow::Owned(unit.canonical()),
        calendar: false,
    })
}

/// Order of two moments; `None` when their precision leaves it open.
pub(super) fn compare_moments(a: &Moment, b: &Moment) -> Option<Ordering> {
    if let (Some(_), Some(_)) = (a.clock, b.clock) {
        match (a.offset_min, b.offset_min) {
            (Some(x), Some(y)) if x != y => {
                let finest = a.precision().min(b.precision());
                let shift = |m: &Moment, o: i16| m.wall_us() - i64::from(o) * 60_000_000;
                if (a.precision() < Precision::Minute)
                    || (b.precision() < Precision::Minute)
                    || (finest == Precision::Minute && a.precision() != b.precision())
                {
                    return None;
                }
                return Some(shift(a, x).cmp(&shift(b, y)));
            }
            (Some(_), None) | (None, Some(_)) => return None,
            _ => {}
        }
    }
    let mut order = a.year.cmp(&b.year);
    for p in [Precision::Month, Precision::Day] {
        if order != Ordering::Equal {
            return Some(order);
        }
        match (a.date_precision >= p, b.date_precision >= p) {
            (true, true) => {
                order = if p == Precision::Month {
                    a.month.cmp(&b.month)
                } else {
                    a.day.cmp(&b.day)
                }
            }
            (false, false) => return Some(Ordering::Equal),
            _ => return None,
        }
    }
    if order != Ordering::Equal {
        return Some(order);
    }
    match (a.clock, b.clock) {
        (None, None) => Some(Ordering::Equal),
        (Some(x), Some(y)) => compare_clocks(&x, &y),
        _ => None,
    }
}

/// Order of two times of day; seconds and fractions are one precision.
pub(super) fn compare_clocks(a: &Clock, b: &Clock) -> Option<Ordering> {
    let parts = |c: &Clock| {
        [
            (Precision::Hour, i64::from(c.hour)),
            (Precision::Minute, i64::from(c.minute)),
            (
                Precision::Second,
                i64::from(c.second) * 1_000_000 + i64::from(c.micro),
            ),
        ]
    };
    for ((p, x), (_, y)) in parts(a).into_iter().zip(parts(b)) {
        match (a.precision >= p, b.precision >= p) {
            (true, true) if x != y => return Some(x.cmp(&y)),
            (true, true) => {}
            (false, false) => return Some(Ordering::Equal),
            _ => return None,
        }
    }
    Some(Ordering::Equal)
}

/// Equality (`=`) of two items; `None` when it is undecided.
pub(super) fn equal(a: &Item<'_>, b: &Item<'_>) -> Option<bool> {
    let (x, y) = (a.system(), b.system());
    Some(match (&x, &y) {
        (Item::Bool(p), Item::Bool(q)) => p == q,
        (Item::Int(p), Item::Int(q)) => p == q,
        (Item::Dec(p), Item::Dec(q)) => p == q,
        (Item::Int(p), Item::Dec(q)) | (Item::Dec(q), Item::Int(p)) => Decimal::from(*p) == *q,
        (Item::Str(p), Item::Str(q)) => p == q,
        (Item::Date(p), Item::Date(q))
        | (Item::DateTime(p), Item::DateTime(q))
        | (Item::Date(p), Item::DateTime(q))
        | (Item::DateTime(p), Item::Date(q)) => {
            return compare_moments(p, q).map(|o| o == Ordering::Equal);
        }
        (Item::Time(p), Item::Time(q)) => {
            return compare_clocks(p, q).map(|o| o == Ordering::Equal);
        }
        (Item::Quantity(p), Item::Quantity(q)) => return common(p, q).map(|(p, q)| p == q),
        (Item::Quantity(p), Item::Int(q)) | (Item::Int(q), Item::Quantity(p)) => {
            p.unit == "1" && p.value == Decimal::from(*q)
        }
        (Item::Quantity(p), Item::Dec(q)) | (Item::Dec(q), Item::Quantity(p)) => {
            p.unit == "1" && p.value == *q
        }
        (Item::Type(p, n), Item::Type(q, m)) => p == q && n == m,
        // Numbers too large for a decimal stay nodes; their digits decide.
        (Item::Node(p), Item::Node(q)) if p.has_value() || q.has_value() => {
            p == q
                || p.value_text()
                    .and_then(Num::parse)
                    .zip(q.value_text().and_then(Num::parse))
                    .is_some_and(|(p, q)| p == q)
        }
        (Item::Node(p), Item::Node(q)) => return Some(deep(*p, *q, 0, false)),
        (Item::Remote(_), _) | (_, Item::Remote(_)) => return None,
        _ => false,
    })
}

/// Equality of two complex elements, by all their children.
fn deep(a: Node<'_>, b: Node<'_>, depth: usize, loose: bool) -> bool {
    if a == b {
        return true;
    }
    if depth > 64 || a.has_value() != b.has_value() {
        return false;
    }
    if a.has_value() {
        let (x, y) = (Item::Node(a), Item::Node(b));
        return if loose {
            equivalent(&x, &y)
        } else {
            equal(&x, &y).unwrap_or(false)
        };
    }
    let (mut x, mut y) = (a.fields(), b.fields());
    loop {
        match (x.next(), y.next()) {
            (None, None) => return true,
            (Some(p), Some(q)) if p.name() == q.name() && deep(p, q, depth + 1, loose) => {}
            _ => return false,
        }
    }
}

fn loose_text(s: &str) -> String {
    s.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .to_lowercase()
}

/// Equivalence (`~`) of two items.
pub(super) fn equivalent(a: &Item<'_>, b: &Item<'_>) -> bool {
    let (x, y) = (a.system(), b.system());
    let number = |i: &Item<'_>| match i {
        Item::Int(n) => Some(Decimal::from(*n)),
        Item::Dec(d) => Some(*d),
        _ => None,
    };
    match (&x, &y) {
        (Item::Str(p), Item::Str(q)) => loose_text(p) == loose_text(q),
        (Item::Quantity(p), Item::Quantity(q)) => {
            let pair = common(p, q).or_else(|| Some((months(p)?.0, months(q)?.0)));
            // Converted values carry rounding and powers of ten; equivalence allows one per cent.
            pair.is_some_and(|(p, q)| {
                p == q
                    || round_to_least(p.normalize(), q.normalize())
                    || (p - q).abs() * Decimal::from(100) <= p.abs().max(q.abs())
            })
        }
        (Item::Node(p), Item::Node(q)) if !p.has_value() && !q.has_value() => deep(*p, *q, 0, true),
        (p, q) => match (number(p), number(q)) {
            (Some(p), Some(q)) => round_to_least(p, q),
            _ => equal(a, b).unwrap_or(false),
        },
    }
}

/// Equal when rounded to the precision of the less precise.
fn round_to_least(a: Decimal, b: Decimal) -> bool {
    let scale = a.normalize().scale().min(b.normalize().scale());
    a.round_dp(scale) == b.round_dp(scale)
}

/// Why two items cannot be ordered.
pub(super) enum Unordered {
    /// Precision leaves it open: the result is empty.
    Open,
    /// The types have no common order.
    Types,
}

/// Order of two items.
pub(super) fn compare(a: &Item<'_>, b: &Item<'_>) -> Result<Ordering, Unordered> {
    let (x, y) = (a.system(), b.system());
    let open = |o: Option<Ordering>| o.ok_or(Unordered::Open);
    Ok(match (&x, &y) {
        (Item::Int(p), Item::Int(q)) => p.cmp(q),
        (Item::Dec(p), Item::Dec(q)) => p.cmp(q),
        (Item::Int(p), Item::Dec(q)) => Decimal::from(*p).cmp(q),
        (Item::Dec(p), Item::Int(q)) => p.cmp(&Decimal::from(*q)),
        (Item::Str(p), Item::Str(q)) => p.cmp(q),
        (Item::Date(p), Item::Date(q))
        | (Item::DateTime(p), Item::DateTime(q))
        | (Item::Date(p), Item::DateTime(q))
        | (Item::DateTime(p), Item::Date(q)) => return open(compare_moments(p, q)),
        (Item::Time(p), Item::Time(q)) => return open(compare_clocks(p, q)),
        (Item::Quantity(p), Item::Quantity(q)) => {
            return open(common(p, q).map(|(p, q)| p.cmp(&q)));
        }
        _ => return Err(Unordered::Types),
    })
}
