//! `name[:modifier]=value` → ranges over the index.
//!
//! A [`Query`] is what the planner needs: byte ranges with cheap filters on the key itself, whether the hits are to be
//! kept or excluded, and whether candidates must be checked on the document. Filters never let a true hit fall.

mod bounds;
mod planner;

use super::Options;
use super::encode;
use crate::datetime::{Moment, Precision};
use crate::decimal::Num;
use crate::pack::{Pack, ParamInfo, ParamKind};
use planner::Planner;

/// A byte range of one parameter form: `from <= value < to`; `to = None` has no upper end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryRange {
    /// Parameter number with sub-kind.
    pub param: u32,
    /// First bytes inside.
    pub from: Vec<u8>,
    /// First bytes outside.
    pub to: Option<Vec<u8>>,
    /// What the key must satisfy besides.
    pub filter: Option<KeyFilter>,
}

/// Where a filter looks in a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// From this byte on.
    Byte(usize),
    /// After the number that starts at this byte.
    AfterNumber(usize),
    /// This many bytes before the end.
    FromEnd(usize),
}

/// A test on a key's bytes.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyFilter {
    /// The bytes from a place on lie in `from <= bytes < to`, and the inner filter holds for them.
    Within {
        /// Where to look.
        at: At,
        /// First bytes inside.
        from: Vec<u8>,
        /// First bytes outside.
        to: Option<Vec<u8>>,
        /// What must hold besides for those bytes.
        then: Option<Box<KeyFilter>>,
    },
    /// The bytes at a place begin with these.
    Has(At, Vec<u8>),
    /// The folded text is somewhere in the key.
    Contains(Vec<u8>),
    /// One of them holds.
    Any(Vec<KeyFilter>),
    /// All hold.
    All(Vec<KeyFilter>),
    /// The position is at most so many metres away (spherical Earth).
    Near {
        /// Degrees north.
        latitude: f64,
        /// Degrees east.
        longitude: f64,
        /// Metres.
        metres: f64,
    },
}

// Positions come from parsed text and are never NaN.
impl Eq for KeyFilter {}

impl At {
    fn of(self, key: &[u8]) -> &[u8] {
        let start = match self {
            At::Byte(n) => n,
            At::AfterNumber(n) => encode::after_number(key, n),
            At::FromEnd(n) => key.len().saturating_sub(n),
        };
        key.get(start..).unwrap_or_default()
    }
}

impl KeyFilter {
    /// Whether a key passes.
    pub fn accepts(&self, key: &[u8]) -> bool {
        match self {
            KeyFilter::Within { at, from, to, then } => {
                let k = at.of(key);
                k >= from.as_slice()
                    && to.as_ref().is_none_or(|t| k < t.as_slice())
                    && then.as_ref().is_none_or(|f| f.accepts(k))
            }
            KeyFilter::Has(at, bytes) => at.of(key).starts_with(bytes),
            KeyFilter::Contains(needle) => {
                needle.is_empty() || key.windows(needle.len()).any(|w| w == needle.as_slice())
            }
            KeyFilter::Any(list) => list.iter().any(|f| f.accepts(key)),
            KeyFilter::All(list) => list.iter().all(|f| f.accepts(key)),
            KeyFilter::Near {
                latitude,
                longitude,
                metres,
            } => {
                let axis = |n: usize| {
                    key.get(n..n + 4)
                        .and_then(|b| <[u8; 4]>::try_from(b).ok())
                        .map(|b| f64::from((u32::from_be_bytes(b) ^ (1 << 31)).cast_signed()) / 1e6)
                };
                axis(0)
                    .zip(axis(4))
                    .is_some_and(|(lat, lon)| distance(lat, lon, *latitude, *longitude) <= *metres)
            }
        }
    }
}

impl QueryRange {
    /// Whether a key row is a hit of this range.
    pub fn accepts(&self, param: u32, value: &[u8]) -> bool {
        param == self.param
            && value >= self.from.as_slice()
            && self.to.as_ref().is_none_or(|t| value < t.as_slice())
            && self.filter.as_ref().is_none_or(|f| f.accepts(value))
    }
}

/// Great-circle distance in metres.
pub(in crate::keys) fn distance(lat1: f64, lon1: f64, lat2: f64, lon2: f64) -> f64 {
    let (p1, p2) = (lat1.to_radians(), lat2.to_radians());
    let a = ((p2 - p1) / 2.0).sin().powi(2)
        + p1.cos() * p2.cos() * ((lon2 - lon1).to_radians() / 2.0).sin().powi(2);
    2.0 * 6_371_008.8 * a.sqrt().min(1.0).asin()
}

/// A search condition as index work.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// A resource is a candidate when one of its keys lies in one of these (OR).
    pub ranges: Vec<QueryRange>,
    /// The result is everything but the hits (`:not`, `:missing=true`).
    pub negate: bool,
    /// Candidates must be confirmed on the document with [`super::matches::matches`] before `negate` is applied.
    pub recheck: bool,
}

/// Why a condition cannot be searched. Answered with 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The value does not fit the parameter's type.
    #[error("parameter {param}: {text}")]
    Value {
        /// Parameter code.
        param: String,
        /// What is wrong, without the value.
        text: String,
    },
    /// The modifier is not for this parameter.
    #[error("parameter {param} does not support the modifier :{modifier}")]
    Modifier {
        /// Parameter code.
        param: String,
        /// The modifier.
        modifier: String,
    },
    /// The parameter is not computed from the resource (`_text`, `_content`, `_query`).
    #[error("parameter {0} is not supported")]
    Unsupported(String),
    /// Too many alternatives.
    #[error("parameter {0} has more than {MAX_OR} alternatives")]
    TooMany(String),
}

/// Most comma-separated alternatives of one parameter.
pub const MAX_OR: usize = 1000;

/// Comparison prefixes of number, date and quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Prefix {
    Eq,
    Ne,
    Gt,
    Lt,
    Ge,
    Le,
    Sa,
    Eb,
    Ap,
}

/// Splits a comparison prefix from a value.
pub fn prefix(value: &str) -> (Prefix, &str) {
    let p = match value.get(..2) {
        Some("eq") => Prefix::Eq,
        Some("ne") => Prefix::Ne,
        Some("gt") => Prefix::Gt,
        Some("lt") => Prefix::Lt,
        Some("ge") => Prefix::Ge,
        Some("le") => Prefix::Le,
        Some("sa") => Prefix::Sa,
        Some("eb") => Prefix::Eb,
        Some("ap") => Prefix::Ap,
        _ => return (Prefix::Eq, value),
    };
    (p, value.get(2..).unwrap_or_default())
}

/// Splits at unescaped separators; escapes stay (see [`unescape`]).
pub fn split(value: &str, separator: char) -> Vec<&str> {
    let mut out = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (i, c) in value.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == separator {
            out.push(value.get(start..i).unwrap_or_default());
            start = i + c.len_utf8();
        }
    }
    out.push(value.get(start..).unwrap_or_default());
    out
}

/// Resolves `\,` `\|` `\$` `\\`; other backslashes stay.
pub fn unescape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some(n @ (',' | '|' | '$' | '\\'))) => {
                out.push(*n);
                chars.next();
            }
            _ => out.push(c),
        }
    }
    out
}

/// The index work of `param[:modifier]=value`, commas meaning OR.
pub fn plan(
    pack: &'static Pack,
    param: &ParamInfo,
    modifier: Option<&str>,
    value: &str,
    options: &Options,
) -> Result<Query, QueryError> {
    let p = Planner {
        pack,
        param,
        options,
    };
    if param.expr.is_none() {
        return Err(QueryError::Unsupported(param.code.to_string()));
    }
    match modifier {
        Some("missing") => return p.missing(value),
        Some("not") if param.kind == ParamKind::Token => {
            let mut q = p.alternatives(None, value)?;
            q.negate = true;
            return Ok(q);
        }
        _ => {}
    }
    p.alternatives(modifier, value)
}

/// Most digits of a second's fraction in a search value.
const MAX_FRACTION: usize = 9;

/// Prefix and moment of a date search value; with a time, at least minutes. A space where `+` should be is read as `+`.
pub fn moment(value: &str) -> Option<(Prefix, Moment)> {
    let (p, text) = prefix(value);
    let text = text.replace(' ', "+");
    let fraction = text.split_once('.').map_or(0, |(_, rest)| {
        rest.bytes().take_while(u8::is_ascii_digit).count()
    });
    if fraction > MAX_FRACTION {
        return None;
    }
    let m = Moment::parse(&text, false)?;
    (m.precision() != Precision::Hour).then_some((p, m))
}

/// The search range of `ap`: widened by one unit of the written precision (ten for minutes and seconds).
pub fn widened(m: &Moment, s: i64, e: i64) -> (i64, i64) {
    const DAY: i64 = crate::datetime::DAY_US;
    let by = match m.precision() {
        Precision::Year => 365 * DAY,
        Precision::Month => 31 * DAY,
        Precision::Day => DAY,
        Precision::Hour | Precision::Minute => 600_000_000,
        _ => 10_000_000,
    };
    (s.saturating_sub(by), e.saturating_add(by))
}

/// Latitude, longitude and metres of a `near` value; without a distance 50 km.
pub(in crate::keys) fn near(value: &str) -> Option<(f64, f64, f64)> {
    let parts: Vec<&str> = value.split('|').collect();
    let number = |i: usize| {
        parts
            .get(i)
            .filter(|t| Num::parse(t).is_some())
            .and_then(|t| t.parse::<f64>().ok())
    };
    let (lat, lon) = (number(0)?, number(1)?);
    let unit = match parts.get(3).copied().unwrap_or("km") {
        "" | "km" => 1000.0,
        "m" => 1.0,
        "[mi_i]" | "[mi_us]" => 1609.344,
        _ => return None,
    };
    let distance = match parts.get(2).copied().unwrap_or_default() {
        "" => 50_000.0,
        _ => number(2)? * unit,
    };
    ((-90.0..=90.0).contains(&lat)
        && (-180.0..=180.0).contains(&lon)
        && (0.0..=20_100_000.0).contains(&distance)
        && parts.len() <= 4)
        .then_some((lat, lon, distance))
}
