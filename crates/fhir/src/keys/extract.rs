//! Document → keys.

use std::sync::LazyLock;

use rust_decimal::Decimal;

use super::encode::{self, Edge, sub};
use super::values::{self, Amount};
use super::{Options, SearchKey};
use crate::decimal::Num;
use crate::doc::{Doc, Node};
use crate::pack::{Pack, ParamInfo, ParamKind};
use crate::path::{Env, EvalError, Item};
use crate::refs::{self, Target};
use crate::ucum::{self, Unit};

/// Most keys of one resource.
const MAX_KEYS: usize = 20_000;

/// Why a document cannot be indexed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// An expression failed or took too long.
    #[error("search parameter {0} cannot be read from the resource: {1}")]
    Expression(String, EvalError),
    /// The resource yields too many keys.
    #[error("the resource has more than {MAX_KEYS} search values")]
    TooMany,
}

/// All search keys of a document with default options, sorted and without repeats. `_lastUpdated` is left to the store,
/// which knows the commit time ([`encode::date`]). `now_us` is what `now()` means in expressions.
pub fn extract(pack: &'static Pack, doc: &Doc, now_us: i64) -> Result<Vec<SearchKey>, KeyError> {
    static DEFAULT: LazyLock<Options> = LazyLock::new(Options::default);
    extract_with(pack, doc, now_us, &DEFAULT)
}

/// [`extract`] with options.
pub fn extract_with(
    pack: &'static Pack,
    doc: &Doc,
    now_us: i64,
    options: &Options,
) -> Result<Vec<SearchKey>, KeyError> {
    let mut out = Vec::with_capacity(48);
    let root = doc.root();
    let env = Env::new(root, now_us);
    let mut w = Work {
        pack,
        options,
        rows: Vec::new(),
        strings: Vec::new(),
        tokens: Vec::new(),
        targets: Vec::new(),
    };
    for param in pack.params(root.type_id()) {
        let Some(expr) = &param.expr else { continue };
        if param.code.as_ref() == "_lastUpdated" {
            continue;
        }
        let mut fault = None;
        let before = out.len();
        let mut present = false;
        expr.for_each_repeated(&env, &mut |item| {
            present = true;
            if out.len() > MAX_KEYS {
                return;
            }
            w.rows.clear();
            if param.kind == ParamKind::Composite {
                if let (Item::Node(n), None) = (&item, &fault) {
                    fault = w.composite(param, *n, now_us).err();
                }
            } else {
                w.simple(param.kind, param.folds_case(pack), &item);
            }
            out.extend(w.rows.drain(..).map(|(s, value)| SearchKey {
                param: param.id | s,
                value,
            }));
        })
        .map_err(|e| KeyError::Expression(param.code.to_string(), e))?;
        if let Some(f) = fault {
            return Err(f);
        }
        if out.len() > MAX_KEYS {
            return Err(KeyError::TooMany);
        }
        if present && out.len() == before && param.kind != ParamKind::Composite {
            out.push(SearchKey {
                param: param.id | sub::PRESENT,
                value: Vec::new(),
            });
        }
    }
    out.sort_unstable();
    out.dedup();
    Ok(out)
}

type Row = (u32, Vec<u8>);

struct Work<'p, 'd> {
    pack: &'d Pack,
    options: &'p Options,
    rows: Vec<Row>,
    strings: Vec<&'d str>,
    tokens: Vec<values::Token<'d>>,
    targets: Vec<Target>,
}

impl<'d> Work<'_, 'd> {
    /// Rows of one item of a parameter that is not a composite, appended to `rows`.
    fn simple(&mut self, kind: ParamKind, folds: bool, item: &Item<'d>) {
        match kind {
            ParamKind::String => {
                self.strings.clear();
                values::strings(item, self.pack, &mut self.strings);
                for s in &self.strings {
                    self.rows.push((sub::MAIN, encode::string(s)));
                }
            }
            ParamKind::Token => {
                self.tokens.clear();
                values::tokens(item, self.pack, &mut self.tokens);
                for t in &self.tokens {
                    self.rows
                        .push((sub::MAIN, encode::token(t.system, t.code, folds)));
                }
                for (system, code, value) in values::identifier_types(item, self.pack) {
                    self.rows
                        .push((sub::OF_TYPE, encode::of_type(system, code, value)));
                }
            }
            ParamKind::Reference => {
                if let Item::Node(n) = item {
                    self.reference(*n);
                }
            }
            ParamKind::Date => {
                if let Some((low, high)) = values::dates(item, self.pack, &self.options.zone) {
                    self.rows.push((sub::MAIN, encode::date(low, high, false)));
                    self.rows
                        .push((sub::HIGH_FIRST, encode::date(low, high, true)));
                }
            }
            ParamKind::Number => {
                if let Some(a) = values::amount(item, self.pack) {
                    self.number(&a, &[]);
                }
            }
            ParamKind::Quantity => {
                if let Some(a) = values::amount(item, self.pack) {
                    self.quantity(&a);
                }
            }
            ParamKind::Uri => {
                if let Some((url, version)) = values::uri(item, self.pack) {
                    self.rows.push((sub::MAIN, encode::uri(url, version)));
                }
            }
            ParamKind::Special => {
                if let Some((lat, lon)) = values::position(item) {
                    self.rows.push((sub::MAIN, encode::position(lat, lon)));
                }
            }
            ParamKind::Composite => {}
        }
    }

    fn reference(&mut self, n: Node<'d>) {
        self.targets.clear();
        refs::targets(n, &self.options.own_bases, &mut self.targets);
        for t in &self.targets {
            match t {
                Target::Local {
                    resource_type, id, ..
                } => self
                    .rows
                    .push((sub::MAIN, encode::reference_local(id, Some(resource_type)))),
                Target::Absolute { url, version } => self
                    .rows
                    .push((sub::MAIN, encode::reference_url(url, version.as_deref()))),
                Target::Identifier { system, value, .. } => self
                    .rows
                    .push((sub::IDENTIFIER, encode::token(system, value, true))),
                Target::Contained(_) => {}
            }
        }
    }

    fn number(&mut self, a: &Amount<'_>, tail: &[u8]) {
        let row = |edges: &[&Edge]| {
            let mut key = Vec::with_capacity(48);
            for e in edges {
                e.encode(&mut key);
            }
            key.extend_from_slice(tail);
            key
        };
        if a.low == a.high {
            self.rows.push((sub::MAIN, row(&[&a.low])));
        } else {
            self.rows.push((sub::RANGE_LOW, row(&[&a.low, &a.high])));
            self.rows.push((sub::RANGE_HIGH, row(&[&a.high, &a.low])));
        }
    }

    fn quantity(&mut self, a: &Amount<'_>) {
        self.number(a, &encode::unit_tail(a.system, a.code, a.unit));
        if a.system != encode::UCUM {
            return;
        }
        let Some(known) = ucum::known(a.code) else {
            return;
        };
        let unit = &known.unit;
        let (Some(low), Some(high)) = (canonical(&a.low, unit), canonical(&a.high, unit)) else {
            return;
        };
        let head = encode::canonical_head(&known.canonical);
        let row = |edges: &[&Edge]| {
            let mut key = head.to_vec();
            for e in edges {
                e.encode(&mut key);
            }
            key
        };
        if low == high {
            self.rows.push((sub::CANONICAL, row(&[&low])));
        } else {
            self.rows.push((sub::CANONICAL_LOW, row(&[&low, &high])));
            self.rows.push((sub::CANONICAL_HIGH, row(&[&high, &low])));
        }
    }

    /// Tuples of a composite on one element: all parts hold within it. The sub-kind is that of the last part's row.
    fn composite(
        &mut self,
        param: &'d ParamInfo,
        element: Node<'d>,
        now_us: i64,
    ) -> Result<(), KeyError> {
        let mut tuples: Vec<Row> = vec![(sub::MAIN, Vec::new())];
        for (i, part) in param.parts.iter().enumerate() {
            let last = i + 1 == param.parts.len();
            let env = Env::new(element, now_us);
            let mut found: Vec<Row> = Vec::new();
            part.expr
                .for_each_repeated(&env, &mut |item| {
                    self.rows.clear();
                    self.simple(part.kind, part.folds_case, &item);
                    found.append(&mut self.rows);
                })
                .map_err(|e| KeyError::Expression(param.code.to_string(), e))?;
            if !last {
                found.retain(|(s, _)| *s == sub::MAIN);
            }
            if tuples.len().saturating_mul(found.len()) > MAX_KEYS {
                return Err(KeyError::TooMany);
            }
            tuples = tuples
                .iter()
                .flat_map(|(_, head)| {
                    found.iter().map(move |(s, v)| {
                        let mut key = head.clone();
                        key.extend_from_slice(v);
                        // A search for heads this long looks at the documents (query::plan), so a cut key is enough.
                        key.truncate(encode::MAX_KEY);
                        (*s, key)
                    })
                })
                .collect();
        }
        self.rows = tuples;
        Ok(())
    }
}

/// An edge on the canonical unit's scale.
pub(super) fn canonical(edge: &Edge, unit: &Unit) -> Option<Edge> {
    match edge {
        Edge::At(n) => {
            if let Some(power) = unit.power_of_ten() {
                return Some(Edge::At(n.shifted(power)));
            }
            let text = n.to_text();
            let value = Decimal::from_scientific(&text).ok()?;
            let (v, exp) = unit.scale(value)?;
            Num::parse(&v.to_string()).map(|n| Edge::At(n.shifted(exp)))
        }
        other => Some(other.clone()),
    }
}
