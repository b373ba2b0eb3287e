//! What a search parameter reads out of an element: the values of R4's search tables, before they become bytes or are
//! compared one by one.

use jiff::tz::TimeZone;

use super::encode::Edge;
use crate::datetime::Moment;
use crate::decimal::Num;
use crate::doc::Node;
use crate::pack::{Pack, TypeId};
use crate::path::Item;

/// The system that R4's table of token values names for booleans.
pub(super) const BOOLEANS: &str = "http://terminology.hl7.org/CodeSystem/special-values";

/// A code with its system. Values without one in the data (booleans, contact points) have an empty one in the index; by
/// which words of the query's system they are found besides, [`Token::is_of`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token<'d> {
    pub system: &'d str,
    pub code: &'d str,
    /// Other words for the system.
    pub also: [&'d str; 2],
}

impl Token<'_> {
    /// Whether a query that names this system means the value.
    pub(super) fn is_of(&self, system: &str) -> bool {
        self.system == system || (!system.is_empty() && self.also.contains(&system))
    }
}

/// A quantity or number as a closed range; a point has equal ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Amount<'d> {
    pub low: Edge,
    pub high: Edge,
    pub system: &'d str,
    pub code: &'d str,
    pub unit: &'d str,
}

/// Strings of an element: each part of a name or address on its own.
pub(super) fn strings<'d>(item: &Item<'d>, pack: &Pack, out: &mut Vec<&'d str>) {
    let Item::Node(n) = item else { return };
    if let Some(s) = n.as_str() {
        out.push(s);
        return;
    }
    let k = &pack.known;
    let parts: &[&str] = if n.type_id() == k.human_name {
        &["family", "given", "prefix", "suffix", "text"]
    } else if n.type_id() == k.address {
        &[
            "line",
            "city",
            "district",
            "state",
            "postalCode",
            "country",
            "text",
        ]
    } else {
        &["text"]
    };
    for p in parts {
        out.extend(n.all(p).filter_map(|v| v.as_str()));
    }
}

/// Tokens of an element.
pub(super) fn tokens<'d>(item: &Item<'d>, pack: &'d Pack, out: &mut Vec<Token<'d>>) {
    let n = match item {
        Item::Node(n) => *n,
        Item::Bool(b) => {
            out.push(Token {
                system: "",
                code: if *b { "true" } else { "false" },
                also: [BOOLEANS, ""],
            });
            return;
        }
        _ => return,
    };
    let k = &pack.known;
    let ty = n.type_id();
    if n.has_value() {
        let Some(code) = n.value_text() else { return };
        let set = if ty == k.code {
            pack.element(n.elem())
                .and_then(|e| e.required)
                .and_then(|v| pack.value_set(v))
        } else {
            None
        };
        out.push(Token {
            system: set.and_then(|s| s.system_of(code)).unwrap_or_default(),
            code,
            also: [if ty == k.boolean { BOOLEANS } else { "" }, ""],
        });
    } else if ty == k.codeable_concept {
        out.extend(n.all("coding").filter_map(coding));
    } else if ty == k.coding {
        out.extend(coding(n));
    } else if ty == k.identifier || ty == k.contact_point {
        if let Some(code) = n.str_at("value") {
            let text = |name: &str| n.str_at(name).unwrap_or_default();
            out.push(if ty == k.identifier {
                Token {
                    system: text("system"),
                    code,
                    also: ["", ""],
                }
            } else {
                Token {
                    system: "",
                    code,
                    also: [text("system"), text("use")],
                }
            });
        }
    } else if let Some(code) = n.str_at("code") {
        out.push(Token {
            system: n.str_at("system").unwrap_or_default(),
            code,
            also: ["", ""],
        });
    }
}

fn coding<'d>(n: Node<'d>) -> Option<Token<'d>> {
    Some(Token {
        system: n.str_at("system").unwrap_or_default(),
        code: n.str_at("code")?,
        also: ["", ""],
    })
}

/// (type system, type code, value) of an identifier.
pub(super) fn identifier_types<'d>(
    item: &Item<'d>,
    pack: &Pack,
) -> Vec<(&'d str, &'d str, &'d str)> {
    match item {
        Item::Node(n) if n.type_id() == pack.known.identifier => {
            let Some(value) = n.str_at("value") else {
                return Vec::new();
            };
            n.get("type")
                .map(|t| {
                    t.all("coding")
                        .filter_map(coding)
                        .map(|c| (c.system, c.code, value))
                        .collect()
                })
                .unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

/// Texts that `:text` looks at: display, CodeableConcept.text, Identifier.type.text.
pub(super) fn texts<'d>(item: &Item<'d>, pack: &Pack) -> Vec<&'d str> {
    let Item::Node(n) = item else {
        return Vec::new();
    };
    let k = &pack.known;
    let ty = n.type_id();
    if ty == k.codeable_concept {
        n.str_at("text")
            .into_iter()
            .chain(n.all("coding").filter_map(|c| c.str_at("display")))
            .collect()
    } else if ty == k.coding || ty == k.reference {
        n.str_at("display").into_iter().collect()
    } else if ty == k.identifier {
        n.str_at("type.text").into_iter().collect()
    } else {
        n.as_str().into_iter().collect()
    }
}

/// Half-open ranges of a date element in UTC microseconds; open ends at the extremes.
pub(super) fn dates(item: &Item<'_>, pack: &Pack, zone: &TimeZone) -> Option<(i64, i64)> {
    let Item::Node(n) = item else { return None };
    if let Some(text) = n.as_str() {
        return Moment::parse(text, false).map(|m| m.range_us(zone));
    }
    let k = &pack.known;
    if n.type_id() == k.period {
        return period(*n, zone);
    }
    if n.type_id() == k.timing {
        if let Some(p) = n.at("repeat.boundsPeriod") {
            return period(p, zone);
        }
        let events = n
            .all("event")
            .filter_map(|e| Moment::parse(e.as_str()?, false))
            .map(|m| m.range_us(zone));
        return events.reduce(|(a, b), (c, d)| (a.min(c), b.max(d)));
    }
    None
}

fn period(n: Node<'_>, zone: &TimeZone) -> Option<(i64, i64)> {
    let edge = |name: &str| {
        n.str_at(name)
            .map(|t| Moment::parse(t, false).map(|m| m.range_us(zone)))
    };
    let (start, end) = (edge("start"), edge("end"));
    if start.is_none() && end.is_none() {
        return None;
    }
    let low = match start {
        None => i64::MIN,
        Some(s) => s?.0,
    };
    let high = match end {
        None => i64::MAX,
        Some(e) => e?.1,
    };
    Some((low, high))
}

/// The amount of a number, quantity, money or range element.
pub(super) fn amount<'d>(item: &Item<'d>, pack: &Pack) -> Option<Amount<'d>> {
    let Item::Node(n) = item else { return None };
    let k = &pack.known;
    let point = |low: Edge, high: Edge| Amount {
        low,
        high,
        system: "",
        code: "",
        unit: "",
    };
    if let Some(text) = n.as_decimal_text() {
        let v = Num::parse(text)?;
        return Some(point(Edge::At(v.clone()), Edge::At(v)));
    }
    let ty = n.type_id();
    if ty == k.range || ty == k.sampled_data {
        let (low, high) = if ty == k.range {
            (n.at("low.value"), n.at("high.value"))
        } else {
            (n.get("lowerLimit"), n.get("upperLimit"))
        };
        if low.is_none() && high.is_none() {
            return None;
        }
        let edge = |v: Option<Node<'_>>, open: Edge| {
            v.and_then(|v| Num::parse(v.as_decimal_text()?))
                .map_or(open, Edge::At)
        };
        let of = if ty == k.range {
            n.get("low").or_else(|| n.get("high"))
        } else {
            n.get("origin")
        };
        let text = |name: &str| of.and_then(|o| o.str_at(name)).unwrap_or_default();
        return Some(Amount {
            low: edge(low, Edge::Below),
            high: edge(high, Edge::Above),
            system: text("system"),
            code: text("code"),
            unit: text("unit"),
        });
    }
    let v = Num::parse(n.get("value")?.as_decimal_text()?)?;
    if ty == k.money {
        return Some(Amount {
            low: Edge::At(v.clone()),
            high: Edge::At(v),
            system: "urn:iso:std:iso:4217",
            code: n.str_at("currency").unwrap_or_default(),
            unit: "",
        });
    }
    let (low, high) = match n.str_at("comparator") {
        Some("<" | "<=") => (Edge::Below, Edge::At(v)),
        Some(">" | ">=") => (Edge::At(v), Edge::Above),
        _ => (Edge::At(v.clone()), Edge::At(v)),
    };
    Some(Amount {
        low,
        high,
        system: n.str_at("system").unwrap_or_default(),
        code: n.str_at("code").unwrap_or_default(),
        unit: n.str_at("unit").unwrap_or_default(),
    })
}

/// URL of a uri element, and the version of a canonical.
pub(super) fn uri<'d>(item: &Item<'d>, pack: &Pack) -> Option<(&'d str, Option<&'d str>)> {
    let Item::Node(n) = item else { return None };
    let text = n.as_str()?;
    if n.type_id() == pack.known.canonical
        && let Some((u, v)) = text.split_once('|')
    {
        return Some((u, Some(v)));
    }
    Some((text, None))
}

/// Latitude and longitude of Location.position.
pub(super) fn position(item: &Item<'_>) -> Option<(f64, f64)> {
    let Item::Node(n) = item else { return None };
    let axis = |name: &str| n.get(name)?.as_decimal_text()?.parse::<f64>().ok();
    let (lat, lon) = (axis("latitude")?, axis("longitude")?);
    ((-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon)).then_some((lat, lon))
}

/// Whether the parameter can yield a type.
pub(super) fn may_be(types: &[TypeId], ty: TypeId) -> bool {
    types.contains(&ty)
}
