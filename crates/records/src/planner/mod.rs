//! From conditions to records: compile against the definitions, estimate, intersect by record number.
//!
//! The grant's filter is evaluated by the store on every row, hop and include; nothing here looks past it. Conditions that
//! exclude (`:not`, `:missing=true`) take away from visible records only. No truncation: a search that would look at more
//! than [`MAX_ROWS`] rows is refused (spec/fhir-server.md §3.15, §16).

mod evaluate;
mod sort;

pub use evaluate::Evaluator;
pub use sort::check_keys as check_sort;

use crate::outcome::Failure;
use crate::params::RawCondition;
use fhir::datetime::{Moment, Precision};
use fhir::keys::Options;
use fhir::keys::query::{self, Prefix, Query, split, unescape};
use fhir::pack::{ParamInfo, ParamKind};
use fhir::{Doc, Pack};
use std::collections::BTreeSet;
use store::{IndexKey, PersonKey, Rid};

/// Most index rows one search may look at.
pub const MAX_ROWS: usize = 2_000_000;
/// Most hops of a chain or `_has`.
pub const MAX_DEPTH: usize = 5;
/// Most records between two hops.
pub const MAX_BETWEEN: usize = 20_000;
/// Most target types one untyped hop may mean.
const MAX_TARGETS: usize = 12;

/// A compiled condition.
#[derive(Clone, Debug)]
pub enum Cond {
    /// Index work of one parameter.
    Query {
        /// Parameter.
        param: &'static ParamInfo,
        /// Modifier as written.
        modifier: Option<String>,
        /// Value as written.
        value: String,
        /// Ranges.
        query: Query,
    },
    /// One of these ids.
    Id(BTreeSet<String>),
    /// Commit time inside one of these.
    LastUpdated(Vec<Span>),
    /// One of these holds.
    Any(Vec<Cond>),
    /// `param` refers to a record of `target` for which `inner` holds.
    Chain {
        /// Reference parameter.
        param: &'static ParamInfo,
        /// Type at its other end.
        target: String,
        /// What holds there.
        inner: Box<Cond>,
    },
    /// A record of `source` refers here by `param`, and `inner` holds for it.
    Has {
        /// Type of the referring record.
        source: String,
        /// Its reference parameter.
        param: &'static ParamInfo,
        /// What holds for it.
        inner: Box<Cond>,
    },
    /// One of these records (the compartment).
    Rids(Vec<Rid>),
    /// Nothing.
    Nothing,
}

/// `_lastUpdated` as a half-open range of microseconds, possibly excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    from: i64,
    to: i64,
    is_excluded: bool,
}

impl Span {
    fn holds(self, at: i64) -> bool {
        (self.from <= at && at < self.to) != self.is_excluded
    }
}

impl Cond {
    /// Can lead a search: names records rather than excluding some.
    fn leads(&self) -> bool {
        match self {
            Self::Query { query, .. } => !query.negate,
            Self::LastUpdated(_) => false,
            Self::Any(list) => list.iter().all(Self::leads),
            _ => true,
        }
    }

    /// Its records are of one type without looking.
    fn is_typed(&self) -> bool {
        match self {
            Self::Query { param, .. } => {
                !matches!(param.base.as_ref(), "Resource" | "DomainResource")
            }
            Self::Any(list) => list.iter().all(Self::is_typed),
            Self::Rids(_) => false,
            _ => true,
        }
    }

    /// Whether it holds for a record that is not stored (the Patient view).
    pub fn holds_for(&self, id: &str, keys: &[IndexKey], doc: &Doc, options: &Options) -> bool {
        match self {
            Self::Query {
                param,
                modifier,
                value,
                query,
            } => {
                if query.recheck {
                    return fhir::keys::matches::matches(
                        Pack::r4(),
                        param,
                        modifier.as_deref(),
                        value,
                        doc,
                        options,
                    )
                    .unwrap_or(false);
                }
                accepts(query, keys) != query.negate
            }
            Self::Id(ids) => ids.contains(id),
            Self::Any(list) => list.iter().any(|c| c.holds_for(id, keys, doc, options)),
            _ => false,
        }
    }
}

/// Whether some key lies in some range.
fn accepts(query: &Query, keys: &[IndexKey]) -> bool {
    query
        .ranges
        .iter()
        .any(|r| keys.iter().any(|k| r.accepts(k.param, &k.value)))
}

/// The one patient a clinical search is about: what conditions on Patient are tested against.
#[derive(Clone, Debug, Default)]
pub struct PatientScope {
    /// Person key, when the store has met her.
    pub person: Option<PersonKey>,
    /// Every identifier that leads to her, or the one that was asked for.
    pub identifiers: Vec<(String, String)>,
    /// Id of the view in this repository.
    pub id: Option<String>,
    /// The view, when she is visible here.
    pub view: Option<Doc>,
}

impl PatientScope {
    /// Value of `param:identifier` that finds her under any identifier.
    pub fn identifier_value(&self) -> Option<String> {
        let escape = |text: &str| {
            let mut out = String::with_capacity(text.len());
            for c in text.chars() {
                if matches!(c, ',' | '|' | '$' | '\\') {
                    out.push('\\');
                }
                out.push(c);
            }
            out
        };
        let values: Vec<String> = self
            .identifiers
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(system, value)| format!("{}|{}", escape(system), escape(value)))
            .collect();
        (!values.is_empty()).then(|| values.join(","))
    }
}

/// Compiles conditions.
pub struct Compiler<'a> {
    /// Key options of the repository.
    pub options: &'a Options,
    /// Types that exist here.
    pub has_type: &'a dyn Fn(&str) -> bool,
    /// Set in clinical repositories, where Patient is a view.
    pub patient: Option<&'a PatientScope>,
}

/// A name taken apart.
#[derive(Debug, PartialEq, Eq)]
enum Name<'n> {
    Plain {
        code: &'n str,
        modifier: Option<&'n str>,
    },
    Chain {
        code: &'n str,
        target: Option<&'n str>,
        rest: &'n str,
    },
    Has {
        source: &'n str,
        param: &'n str,
        rest: &'n str,
    },
}

fn take_apart(name: &str) -> Result<Name<'_>, Failure> {
    if let Some(rest) = name.strip_prefix("_has:") {
        let mut parts = rest.splitn(3, ':');
        return match (parts.next(), parts.next(), parts.next()) {
            (Some(source), Some(param), Some(rest)) => Ok(Name::Has {
                source,
                param,
                rest,
            }),
            _ => Err(Failure::bad(
                "invalid",
                "_has is _has:Type:reference:parameter",
            )),
        };
    }
    let (head, rest) = match name.split_once('.') {
        Some((head, rest)) => (head, Some(rest)),
        None => (name, None),
    };
    let (code, modifier) = match head.split_once(':') {
        Some((code, modifier)) => (code, Some(modifier)),
        None => (head, None),
    };
    Ok(match rest {
        Some(rest) => Name::Chain {
            code,
            target: modifier,
            rest,
        },
        None => Name::Plain { code, modifier },
    })
}

/// A name that may be shown: short, without control characters.
fn shown(name: &str) -> String {
    name.chars()
        .filter(|c| !c.is_control())
        .take(64)
        .collect::<String>()
}

impl Compiler<'_> {
    /// One condition on one type.
    pub fn compile(&self, rtype: &str, raw: &RawCondition) -> Result<Cond, Failure> {
        self.name(rtype, &raw.name, &raw.value, 0)
            .map_err(|f| f.on(shown(&raw.name)))
    }

    /// Membership in a compartment by references: any of the compartment's parameters.
    pub fn compartment(&self, compartment: &str, id: &str, rtype: &str) -> Result<Cond, Failure> {
        let value = format!("{compartment}/{id}");
        let mut any = Vec::new();
        for param in Pack::r4().compartment(compartment, rtype) {
            if let Ok(query) = query::plan(Pack::r4(), param, None, &value, self.options) {
                any.push(Cond::Query {
                    param,
                    modifier: None,
                    value: value.clone(),
                    query,
                });
            }
        }
        if rtype == compartment {
            any.push(Cond::Id(BTreeSet::from([id.to_owned()])));
        }
        if any.is_empty() {
            return Err(Failure::not_found());
        }
        Ok(Cond::Any(any))
    }

    fn name(&self, rtype: &str, name: &str, value: &str, depth: usize) -> Result<Cond, Failure> {
        if depth > MAX_DEPTH {
            return Err(Failure::too_costly(format!(
                "a chain has more than {MAX_DEPTH} steps"
            )));
        }
        match take_apart(name)? {
            Name::Has {
                source,
                param,
                rest,
            } => self.has(rtype, source, param, rest, value, depth),
            Name::Chain { code, target, rest } => {
                self.chain(rtype, code, target, rest, value, depth)
            }
            Name::Plain { code, modifier } => self.plain(rtype, code, modifier, value),
        }
    }

    fn plain(
        &self,
        rtype: &str,
        code: &str,
        modifier: Option<&str>,
        value: &str,
    ) -> Result<Cond, Failure> {
        match (code, modifier) {
            ("_id", None) => {
                let ids: BTreeSet<String> = split(value, ',').into_iter().map(unescape).collect();
                if ids.iter().any(String::is_empty) {
                    return Err(Failure::bad("value", "_id is empty"));
                }
                if ids.len() > query::MAX_OR {
                    return Err(Failure::too_costly(format!(
                        "_id has more than {} alternatives",
                        query::MAX_OR
                    )));
                }
                Ok(Cond::Id(ids))
            }
            ("_lastUpdated", None) => Ok(Cond::LastUpdated(
                split(value, ',')
                    .into_iter()
                    .map(|v| self.span(v))
                    .collect::<Result<_, _>>()?,
            )),
            ("_id" | "_lastUpdated", Some("missing")) => match value {
                "true" => Ok(Cond::Nothing),
                "false" => Ok(Cond::LastUpdated(vec![Span {
                    from: i64::MIN,
                    to: i64::MAX,
                    is_excluded: false,
                }])),
                _ => Err(Failure::bad("value", ":missing takes true or false")),
            },
            ("_id" | "_lastUpdated", Some(_)) => Err(Failure::bad(
                "not-supported",
                format!("{code} takes no such modifier"),
            )),
            _ => {
                let param = self.param(rtype, code)?;
                let query = query::plan(Pack::r4(), param, modifier, value, self.options)?;
                Ok(Cond::Query {
                    param,
                    modifier: modifier.map(str::to_owned),
                    value: value.to_owned(),
                    query,
                })
            }
        }
    }

    fn param(&self, rtype: &str, code: &str) -> Result<&'static ParamInfo, Failure> {
        Pack::r4()
            .param(rtype, code)
            .filter(|p| p.expr.is_some())
            .ok_or_else(|| {
                Failure::bad(
                    "not-supported",
                    format!("{rtype} has no search parameter {}", shown(code)),
                )
            })
    }

    fn reference(&self, rtype: &str, code: &str) -> Result<&'static ParamInfo, Failure> {
        let param = self.param(rtype, code)?;
        if param.kind == ParamKind::Reference {
            Ok(param)
        } else {
            Err(Failure::bad(
                "invalid",
                format!("{} is not a reference and cannot be chained", shown(code)),
            ))
        }
    }

    fn chain(
        &self,
        rtype: &str,
        code: &str,
        target: Option<&str>,
        rest: &str,
        value: &str,
        depth: usize,
    ) -> Result<Cond, Failure> {
        let param = self.reference(rtype, code)?;
        let next = match take_apart(rest)? {
            Name::Plain { code, .. } | Name::Chain { code, .. } => Some(code.to_owned()),
            Name::Has { .. } => None,
        };
        let is_target = |t: &str| {
            param.targets.is_empty()
                || param
                    .targets
                    .iter()
                    .any(|x| x.as_ref() == t || x.as_ref() == "Resource")
        };
        let targets: Vec<String> = match target {
            Some(t) if Pack::r4().resource_type(t).is_none() || !is_target(t) => {
                return Err(Failure::bad(
                    "value",
                    format!("{} is not a target of {}", shown(t), shown(code)),
                ));
            }
            Some(t) => vec![t.to_owned()],
            None => Pack::r4()
                .resource_types()
                .filter(|t| is_target(t) && (self.has_type)(t))
                .filter(|t| {
                    next.as_ref()
                        .is_none_or(|n| Pack::r4().param(t, n).is_some())
                })
                .map(str::to_owned)
                .collect(),
        };
        if targets.is_empty() {
            return Err(Failure::bad(
                "not-supported",
                format!("no target of {} has the next parameter", shown(code)),
            ));
        }
        if targets.len() > MAX_TARGETS {
            return Err(Failure::bad(
                "invalid",
                format!(
                    "{} may lead to many types; name one: {code}:Type.",
                    shown(code)
                ),
            ));
        }
        let mut any = Vec::new();
        let mut first_error = None;
        for target in targets {
            let inner = match self.name(&target, rest, value, depth + 1) {
                Ok(inner) => inner,
                Err(failure) => {
                    first_error.get_or_insert(failure);
                    continue;
                }
            };
            any.push(match (target.as_str(), self.patient) {
                ("Patient", Some(scope)) => self.chain_to_patient(param, &inner, scope)?,
                _ => Cond::Chain {
                    param,
                    target,
                    inner: Box::new(inner),
                },
            });
        }
        match (any.len(), first_error) {
            (0, Some(failure)) => Err(failure),
            (1, _) => Ok(any.pop().unwrap_or(Cond::Nothing)),
            _ => Ok(Cond::Any(any)),
        }
    }

    /// Patient is a view here: the condition is tested on it, and stands for "refers to her" or for nothing.
    fn chain_to_patient(
        &self,
        param: &'static ParamInfo,
        inner: &Cond,
        scope: &PatientScope,
    ) -> Result<Cond, Failure> {
        let holds = match (&scope.view, &scope.id) {
            (Some(view), Some(id)) => {
                let keys = crate::write::keys_of(view).map_err(|f| Failure::findings(&f))?;
                inner.holds_for(id, &keys, view, self.options)
            }
            _ => false,
        };
        let Some(value) = scope.identifier_value().filter(|_| holds) else {
            return Ok(Cond::Nothing);
        };
        let query = query::plan(Pack::r4(), param, Some("identifier"), &value, self.options)?;
        Ok(Cond::Query {
            param,
            modifier: Some("identifier".to_owned()),
            value,
            query,
        })
    }

    fn has(
        &self,
        rtype: &str,
        source: &str,
        param: &str,
        rest: &str,
        value: &str,
        depth: usize,
    ) -> Result<Cond, Failure> {
        if Pack::r4().resource_type(source).is_none() {
            return Err(Failure::bad(
                "value",
                format!("{} is not a resource type", shown(source)),
            ));
        }
        let reference = self.reference(source, param)?;
        let fits = reference.targets.is_empty()
            || reference
                .targets
                .iter()
                .any(|t| t.as_ref() == rtype || t.as_ref() == "Resource");
        if !fits {
            return Err(Failure::bad(
                "value",
                format!("{source}.{} does not lead to {rtype}", shown(param)),
            ));
        }
        Ok(Cond::Has {
            source: source.to_owned(),
            param: reference,
            inner: Box::new(self.name(source, rest, value, depth + 1)?),
        })
    }

    /// `_lastUpdated` of an instant: the rules of date ranges on a point (spec/fhir-server.md §3.10).
    fn span(&self, value: &str) -> Result<Span, Failure> {
        let (prefix, text) = query::prefix(value);
        let moment = Moment::parse(&text.replace(' ', "+"), false)
            .filter(|m| m.precision() != Precision::Hour)
            .ok_or_else(|| {
                Failure::bad(
                    "value",
                    "_lastUpdated takes a date or instant with an optional prefix",
                )
            })?;
        let (s, e) = moment.range_us(&self.options.zone);
        let span = |from, to| Span {
            from,
            to,
            is_excluded: false,
        };
        Ok(match prefix {
            Prefix::Eq => span(s, e),
            Prefix::Ne => Span {
                is_excluded: true,
                ..span(s, e)
            },
            Prefix::Gt | Prefix::Sa => span(e, i64::MAX),
            Prefix::Lt | Prefix::Eb => span(i64::MIN, s),
            Prefix::Ge => span(s, i64::MAX),
            Prefix::Le => span(i64::MIN, e),
            Prefix::Ap => {
                let by = e.saturating_sub(s);
                span(s.saturating_sub(by), e.saturating_add(by))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let plain = |code, modifier| Name::Plain { code, modifier };
        for (name, expected) in [
            ("code", plain("code", None)),
            ("code:not", plain("code", Some("not"))),
            (
                "subject:Patient.name:exact",
                Name::Chain {
                    code: "subject",
                    target: Some("Patient"),
                    rest: "name:exact",
                },
            ),
            (
                "_has:Observation:patient:code",
                Name::Has {
                    source: "Observation",
                    param: "patient",
                    rest: "code",
                },
            ),
            (
                "_has:A:b:_has:C:d:e",
                Name::Has {
                    source: "A",
                    param: "b",
                    rest: "_has:C:d:e",
                },
            ),
        ] {
            assert_eq!(take_apart(name).unwrap(), expected, "{name}");
        }
        assert!(take_apart("_has:A").is_err());
    }
}
