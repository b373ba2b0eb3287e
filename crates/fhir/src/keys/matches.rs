//! The linear matcher: does a document satisfy `name[:modifier]=value`?
//!
//! Written on the values themselves, apart from the byte forms, so that it can judge the index (spec §15: search equals a
//! linear scan). It also confirms what keys alone cannot decide: `:exact`, `:text`, `:contains`, texts beyond the key.

use super::Options;
use super::encode::{Edge, UCUM};
use super::query::{self, Prefix, QueryError, distance, split, unescape};
use super::values::{self, Amount};
use crate::datetime::Moment;
use crate::decimal::Num;
use crate::doc::{Doc, Node};
use crate::pack::{Pack, ParamInfo, ParamKind};
use crate::path::{Env, Expr, Item};
use crate::refs::{self, Target};
use crate::ucum::Unit;

/// Whether the document satisfies the condition. Values that do not fit the type are an error, as in [`query::plan`].
pub fn matches(
    pack: &'static Pack,
    param: &ParamInfo,
    modifier: Option<&str>,
    value: &str,
    doc: &Doc,
    options: &Options,
) -> Result<bool, QueryError> {
    let Some(expr) = &param.expr else {
        return Err(QueryError::Unsupported(param.code.to_string()));
    };
    let m = Matcher {
        pack,
        param,
        options,
    };
    let items = items_of(expr, doc.root());
    if modifier == Some("missing") {
        let there = if param.kind == ParamKind::Composite {
            items.iter().any(|i| m.tuple_there(i))
        } else {
            !items.is_empty()
        };
        return match value {
            "true" => Ok(!there),
            "false" => Ok(there),
            _ => m.bad(":missing takes true or false"),
        };
    }
    let (negate, modifier) = match modifier {
        Some("not") if param.kind == ParamKind::Token => (true, None),
        other => (false, other),
    };
    let mut hit = false;
    for part in split(value, ',') {
        if part.is_empty() {
            return m.bad("the value is empty");
        }
        let test = m.test(param.kind, param.folds_case(pack), modifier, part)?;
        hit |= items.iter().any(&test);
    }
    Ok(hit != negate)
}

fn items_of<'a>(expr: &'a Expr, node: Node<'a>) -> Vec<Item<'a>> {
    expr.eval(node, 0).unwrap_or_default()
}

struct Matcher<'m> {
    pack: &'static Pack,
    param: &'m ParamInfo,
    options: &'m Options,
}

type Test<'m> = Box<dyn for<'i> Fn(&Item<'i>) -> bool + 'm>;

/// Compares a range [a, b) or [a, b] with a search range and an exact value.
fn range_holds<T: Ord>(p: Prefix, a: &T, b: &T, s: &T, e: &T, x: (&T, &T), point_eq: bool) -> bool {
    let inside = s <= a && b <= e && (!point_eq || a < e);
    match p {
        Prefix::Eq => inside,
        Prefix::Ne => !inside,
        Prefix::Gt => b > x.1,
        Prefix::Lt => a < x.0,
        Prefix::Ge => b > x.1 || inside,
        Prefix::Le => a < x.0 || inside,
        Prefix::Sa => a >= x.1,
        Prefix::Eb => b <= x.0,
        Prefix::Ap => a < e && b > s,
    }
}

impl<'m> Matcher<'m> {
    fn bad<T>(&self, text: &str) -> Result<T, QueryError> {
        Err(QueryError::Value {
            param: self.param.code.to_string(),
            text: text.to_owned(),
        })
    }

    fn tuple_there(&self, item: &Item<'_>) -> bool {
        let Item::Node(n) = item else { return false };
        self.param.parts.iter().all(|p| {
            p.expr
                .eval(*n, 0)
                .is_ok_and(|v| v.iter().any(|i| self.has_value(p.kind, i)))
        })
    }

    /// Whether an element gives a value of the kind at all.
    fn has_value(&self, kind: ParamKind, i: &Item<'_>) -> bool {
        match kind {
            ParamKind::String => {
                let mut v = Vec::new();
                values::strings(i, self.pack, &mut v);
                !v.is_empty()
            }
            ParamKind::Token => {
                let mut v = Vec::new();
                values::tokens(i, self.pack, &mut v);
                !v.is_empty()
            }
            ParamKind::Date => values::dates(i, self.pack, &self.options.zone).is_some(),
            ParamKind::Number | ParamKind::Quantity => values::amount(i, self.pack).is_some(),
            ParamKind::Uri => values::uri(i, self.pack).is_some(),
            ParamKind::Reference => i.node().is_some_and(|n| {
                let mut v = Vec::new();
                refs::targets(n, &self.options.own_bases, &mut v);
                v.iter()
                    .any(|t| matches!(t, Target::Local { .. } | Target::Absolute { .. }))
            }),
            _ => true,
        }
    }

    fn test(
        &self,
        kind: ParamKind,
        folds: bool,
        modifier: Option<&str>,
        value: &str,
    ) -> Result<Test<'m>, QueryError> {
        let unsupported = |m: &str| QueryError::Modifier {
            param: self.param.code.to_string(),
            modifier: crate::finding::safe_name(m),
        };
        Ok(match (kind, modifier) {
            (ParamKind::String, _) => self.string(modifier, value)?,
            (ParamKind::Token, _) => self.token(folds, modifier, value)?,
            (ParamKind::Reference, _) => self.reference(modifier, value)?,
            (ParamKind::Uri, _) => self.uri(modifier, value)?,
            (_, Some(m)) => return Err(unsupported(m)),
            (ParamKind::Date, None) => self.date(value)?,
            (ParamKind::Number | ParamKind::Quantity, None) => self.amount(value)?,
            (ParamKind::Composite, None) => self.composite(value)?,
            (ParamKind::Special, None) => {
                let Some((lat, lon, metres)) = query::near(value) else {
                    return self.bad("near is latitude|longitude|distance|units");
                };
                Box::new(move |i| {
                    values::position(i).is_some_and(|(a, o)| distance(a, o, lat, lon) <= metres)
                })
            }
        })
    }

    fn string(&self, modifier: Option<&str>, value: &str) -> Result<Test<'m>, QueryError> {
        let text = unescape(value);
        let folded = codes::fold::fold(&text);
        let how = match modifier {
            None | Some("contains") if text.trim().is_empty() => {
                return self.bad("the value has nothing to search for");
            }
            // Signs alone are compared as they stand.
            None if folded.is_empty() => 4,
            Some("contains") if folded.is_empty() => 5,
            None => 0,
            Some("exact") => 1,
            Some("contains") => 2,
            Some("text") => 3,
            Some(m) => {
                return Err(QueryError::Modifier {
                    param: self.param.code.to_string(),
                    modifier: crate::finding::safe_name(m),
                });
            }
        };
        let pack = self.pack;
        let inner_word = format!(" {folded}");
        Ok(Box::new(move |i| {
            let mut found = Vec::new();
            values::strings(i, pack, &mut found);
            found.iter().any(|s| match how {
                0 => codes::fold::fold(s).starts_with(&folded),
                1 => **s == *text,
                2 => codes::fold::fold(s).contains(&folded),
                4 => s.starts_with(&text),
                5 => s.contains(&text),
                _ => {
                    let own = codes::fold::fold(s);
                    own.starts_with(&folded) || own.contains(&inner_word)
                }
            })
        }))
    }

    /// The folded text of a `:text` search.
    fn words(&self, value: &str) -> Result<String, QueryError> {
        let folded = codes::fold::fold(&unescape(value));
        if folded.is_empty() {
            return self.bad("the value has no letters or digits to search for");
        }
        Ok(folded)
    }

    fn token(
        &self,
        folds: bool,
        modifier: Option<&str>,
        value: &str,
    ) -> Result<Test<'m>, QueryError> {
        let pack = self.pack;
        let parts: Vec<String> = split(value, '|').into_iter().map(unescape).collect();
        match modifier {
            None => {}
            Some("text") => {
                let wanted = self.words(value)?;
                return Ok(Box::new(move |i| {
                    values::texts(i, pack)
                        .iter()
                        .any(|t| codes::fold::fold(t).starts_with(&wanted))
                }));
            }
            Some("of-type") => {
                let [system, code, id] = parts.as_slice() else {
                    return self.bad(":of-type takes system|code|value");
                };
                let (system, code, id) = (system.clone(), code.clone(), id.to_lowercase());
                return Ok(Box::new(move |i| {
                    values::identifier_types(i, pack)
                        .iter()
                        .any(|(s, c, v)| *s == system && *c == code && v.to_lowercase() == id)
                }));
            }
            Some(m) => {
                return Err(QueryError::Modifier {
                    param: self.param.code.to_string(),
                    modifier: crate::finding::safe_name(m),
                });
            }
        }
        let (system, code) = match parts.as_slice() {
            [c] => (None, c.clone()),
            [s, c] if !s.is_empty() || !c.is_empty() => (Some(s.clone()), c.clone()),
            _ => return self.bad("a token is code, system|code, |code or system|"),
        };
        Ok(Box::new(move |i| {
            let mut found = Vec::new();
            values::tokens(i, pack, &mut found);
            found.iter().any(|t| {
                let same = if folds {
                    t.code.to_lowercase() == code.to_lowercase()
                } else {
                    t.code == code
                };
                (code.is_empty() || same) && system.as_ref().is_none_or(|s| t.is_of(s))
            })
        }))
    }

    fn reference(&self, modifier: Option<&str>, value: &str) -> Result<Test<'m>, QueryError> {
        let bases = &self.options.own_bases;
        let all = move |i: &Item<'_>| {
            let mut v = Vec::new();
            if let Item::Node(n) = i {
                refs::targets(*n, bases, &mut v);
            }
            v
        };
        if modifier == Some("identifier") {
            let parts: Vec<String> = split(value, '|').into_iter().map(unescape).collect();
            let (system, code) = match parts.as_slice() {
                [c] => (None, c.to_lowercase()),
                [s, c] => (Some(s.clone()), c.to_lowercase()),
                _ => return self.bad("a token is code, system|code, |code or system|"),
            };
            return Ok(Box::new(move |i| {
                all(i).iter().any(|t| matches!(t, Target::Identifier { system: s, value: v, .. } if (code.is_empty() || v.to_lowercase() == code) && system.as_ref().is_none_or(|x| x == s)))
            }));
        }
        if modifier == Some("text") {
            let wanted = self.words(value)?;
            let pack = self.pack;
            return Ok(Box::new(move |i| {
                values::texts(i, pack)
                    .iter()
                    .any(|t| codes::fold::fold(t).starts_with(&wanted))
            }));
        }
        let text = unescape(value);
        let pack = self.pack;
        let typed = match modifier {
            Some(ty) if pack.resource_type(ty).is_some() => Some(ty.to_owned()),
            Some(m) => {
                return Err(QueryError::Modifier {
                    param: self.param.code.to_string(),
                    modifier: crate::finding::safe_name(m),
                });
            }
            None => None,
        };
        let wanted = refs::parse(&text, bases, pack);
        let foreign_type = refs::type_in_url(&text, pack).map(str::to_owned);
        Ok(Box::new(move |i| {
            all(i).iter().any(|t| match (t, &wanted, &typed) {
                (
                    Target::Local {
                        resource_type, id, ..
                    },
                    Target::Local {
                        resource_type: wt,
                        id: wi,
                        ..
                    },
                    ty,
                ) => id == wi && resource_type == wt && ty.as_ref().is_none_or(|x| x == wt),
                (
                    Target::Local {
                        resource_type, id, ..
                    },
                    Target::Absolute { url, version: None },
                    ty,
                ) => id == url && ty.as_ref().is_none_or(|x| x == resource_type),
                (
                    Target::Absolute { url, version },
                    Target::Absolute {
                        url: wu,
                        version: wv,
                    },
                    ty,
                ) => {
                    url == wu
                        && (wv.is_none() || wv == version)
                        && (ty.is_none() || *ty == foreign_type)
                }
                _ => false,
            })
        }))
    }

    fn uri(&self, modifier: Option<&str>, value: &str) -> Result<Test<'m>, QueryError> {
        let pack = self.pack;
        let text = unescape(value);
        let canonical = values::may_be(&self.param.types, pack.known.canonical);
        let (url, version) = match text.split_once('|') {
            Some((u, v)) if canonical => (u.to_owned(), Some(v.to_owned())),
            _ => (text, None),
        };
        let how = match modifier {
            None => 0,
            Some("below") => 1,
            Some("above") => 2,
            Some("contains") => 3,
            Some(m) => {
                return Err(QueryError::Modifier {
                    param: self.param.code.to_string(),
                    modifier: crate::finding::safe_name(m),
                });
            }
        };
        let under = |long: &str, short: &str| {
            let short = short.trim_end_matches('/');
            long.contains("://")
                && short.contains("://")
                && (long.trim_end_matches('/') == short
                    || long.strip_prefix(short).is_some_and(|r| r.starts_with('/')))
        };
        Ok(Box::new(move |i| {
            values::uri(i, pack).is_some_and(|(u, v)| match how {
                0 => u == url && version.as_ref().is_none_or(|w| v == Some(w)),
                1 if version.is_some() => {
                    u == url
                        && version.as_ref().zip(v).is_some_and(|(w, v)| {
                            v == w
                                || v.strip_prefix(w.as_str())
                                    .is_some_and(|r| r.starts_with('.'))
                        })
                }
                1 => under(u, &url),
                2 => under(&url, u),
                _ => u.contains(&url),
            })
        }))
    }

    fn date(&self, value: &str) -> Result<Test<'m>, QueryError> {
        let Some((p, m)) = query::moment(value) else {
            return self.bad("not a date");
        };
        let pack = self.pack;
        let zone = self.options.zone.clone();
        let (s, e) = Moment::range_us(&m, &zone);
        let wide = query::widened(&m, s, e);
        Ok(Box::new(move |i| {
            values::dates(i, pack, &zone).is_some_and(|(a, b)| {
                if p == Prefix::Ap {
                    a < wide.1 && b > wide.0
                } else {
                    range_holds(p, &a, &b, &s, &e, (&s, &e), false)
                }
            })
        }))
    }

    fn amount(&self, value: &str) -> Result<Test<'m>, QueryError> {
        let parts: Vec<String> = split(value, '|').into_iter().map(unescape).collect();
        let (number, system, code) = match parts.as_slice() {
            [n] => (n.clone(), String::new(), String::new()),
            [n, s, c] => (n.clone(), s.clone(), c.clone()),
            _ => return self.bad("a quantity is number, number|system|code or number||unit"),
        };
        let (p, text) = query::prefix(&number);
        let range = if p == Prefix::Ap {
            Num::approximate_range(text)
        } else {
            Num::implicit_range(text)
        };
        let (Some((s, e)), Some(x)) = (range, Num::parse(text)) else {
            return self.bad("not a number");
        };
        let unit = if system == UCUM {
            Unit::parse(&code)
        } else {
            None
        };
        let pack = self.pack;
        Ok(Box::new(move |i| {
            let Some(mut a) = values::amount(i, pack) else {
                return false;
            };
            let (mut s, mut e, mut x) = (
                Edge::At(s.clone()),
                Edge::At(e.clone()),
                Edge::At(x.clone()),
            );
            if let Some(wanted) = &unit {
                let (true, Some(own)) = (a.system == UCUM, Unit::parse(a.code)) else {
                    return false;
                };
                if !own.same_dimension(wanted) {
                    return false;
                }
                let scale =
                    |v: &Edge, u: &Unit| super::extract::canonical(v, u).unwrap_or(Edge::Above);
                (s, e, x) = (scale(&s, wanted), scale(&e, wanted), scale(&x, wanted));
                a = Amount {
                    low: scale(&a.low, &own),
                    high: scale(&a.high, &own),
                    ..a
                };
            } else if code.is_empty() && !system.is_empty() {
                if a.system != system {
                    return false;
                }
            } else if !code.is_empty()
                && !(if system.is_empty() {
                    a.code == code || a.unit == code
                } else {
                    a.system == system && a.code == code
                })
            {
                return false;
            }
            amount_holds(p, &a, &s, &e, &x)
        }))
    }

    fn composite(&self, value: &str) -> Result<Test<'m>, QueryError> {
        let texts = split(value, '$');
        if texts.len() != self.param.parts.len() {
            return self.bad("a composite takes one value per part, joined with $");
        }
        let mut tests = Vec::new();
        for (part, text) in self.param.parts.iter().zip(texts) {
            if text.is_empty() {
                return self.bad("the value is empty");
            }
            tests.push((part, self.test(part.kind, part.folds_case, None, text)?));
        }
        Ok(Box::new(move |i| {
            let Item::Node(n) = i else { return false };
            tests.iter().all(|(part, test)| {
                let env = Env::new(*n, 0);
                let mut hit = false;
                let _ = part.expr.for_each(&env, &mut |v| hit |= test(&v));
                hit
            })
        }))
    }
}

/// The prefixes on an amount: a point compares with the exact value, a range by its ends.
fn amount_holds(p: Prefix, a: &Amount<'_>, s: &Edge, e: &Edge, x: &Edge) -> bool {
    let inside = if a.low == a.high {
        *s <= a.low && a.low < *e
    } else {
        *s <= a.low && a.low < *e && a.high <= *e
    };
    match p {
        Prefix::Eq => inside,
        Prefix::Ne => !inside,
        Prefix::Gt => a.high > *x,
        Prefix::Ge => a.high >= *x,
        Prefix::Lt => a.low < *x,
        Prefix::Le => a.low <= *x,
        Prefix::Sa => a.low > *x,
        Prefix::Eb => a.high < *x,
        Prefix::Ap => a.low <= *e && a.high >= *s,
    }
}
