//! Ranges of number and quantity conditions over point and range rows.

use super::planner::Form;
use super::{At, KeyFilter, Prefix, prefix};
use crate::decimal::Num;
use crate::keys::encode::{Edge, after_prefix};
use crate::ucum::Unit;

/// A number search value: prefix, exact value and range.
pub(super) struct Bounds {
    prefix: Prefix,
    exact: Num,
    low: Num,
    high: Num,
}

impl Bounds {
    pub(super) fn read(value: &str) -> Option<Bounds> {
        let (prefix, text) = prefix(value);
        let (low, high) = if prefix == Prefix::Ap {
            Num::approximate_range(text)?
        } else {
            Num::implicit_range(text)?
        };
        Some(Bounds {
            prefix,
            exact: Num::parse(text)?,
            low,
            high,
        })
    }

    pub(super) fn scaled(&self, unit: &Unit) -> Option<Bounds> {
        let at = |n: &Num| match crate::keys::extract::canonical(&Edge::At(n.clone()), unit)? {
            Edge::At(n) => Some(n),
            _ => None,
        };
        Some(Bounds {
            prefix: self.prefix,
            exact: at(&self.exact)?,
            low: at(&self.low)?,
            high: at(&self.high)?,
        })
    }

    /// Ranges over point rows and over range rows (lower and upper bound first), all behind `head`.
    pub(super) fn forms(
        &self,
        point: u32,
        low_first: u32,
        high_first: u32,
        head: &[u8],
        filter: Option<KeyFilter>,
    ) -> Vec<Form> {
        let from = |n: &Num| {
            let mut k = head.to_vec();
            n.encode(&mut k);
            k
        };
        let past = |n: &Num| after_prefix(&from(n));
        let end = || {
            if head.is_empty() {
                None
            } else {
                after_prefix(head)
            }
        };
        let at = At::AfterNumber(head.len());
        let form = |sub: u32, a: Option<Vec<u8>>, b: Option<Vec<u8>>| Form {
            sub,
            from: a.unwrap_or_else(|| head.to_vec()),
            to: b,
            filter: filter.clone(),
        };
        let number = |n: &Num| Edge::At(n.clone()).bytes();
        // The second number of a range row lies at or below, or above, a value.
        let up_to = |n: &Num| KeyFilter::Within {
            at,
            from: Vec::new(),
            to: after_prefix(&number(n)),
            then: None,
        };
        let above = |n: &Num| KeyFilter::Within {
            at,
            from: after_prefix(&number(n)).unwrap_or_default(),
            to: None,
            then: None,
        };
        let from_on = |n: &Num| KeyFilter::Within {
            at,
            from: number(n),
            to: None,
            then: None,
        };
        let (x, s, e) = (&self.exact, &self.low, &self.high);
        match self.prefix {
            Prefix::Eq => vec![
                form(point, Some(from(s)), Some(from(e))),
                form(low_first, Some(from(s)), Some(from(e))).with(up_to(e)),
            ],
            Prefix::Ne => vec![
                form(point, None, Some(from(s))),
                form(point, Some(from(e)), end()),
                form(low_first, None, Some(from(s))),
                form(low_first, Some(from(s)), end()).with(above(e)),
            ],
            Prefix::Gt => vec![
                form(point, past(x), end()),
                form(high_first, past(x), end()),
            ],
            Prefix::Ge => vec![
                form(point, Some(from(x)), end()),
                form(high_first, Some(from(x)), end()),
            ],
            Prefix::Lt => vec![
                form(point, None, Some(from(x))),
                form(low_first, None, Some(from(x))),
            ],
            Prefix::Le => vec![form(point, None, past(x)), form(low_first, None, past(x))],
            Prefix::Sa => vec![form(point, past(x), end()), form(low_first, past(x), end())],
            Prefix::Eb => vec![
                form(point, None, Some(from(x))),
                form(high_first, None, Some(from(x))),
            ],
            Prefix::Ap => vec![
                form(point, Some(from(s)), past(e)),
                form(low_first, None, past(e)).with(from_on(s)),
            ],
        }
    }
}
