//! From `name=value` to a condition on one type (spec/fhir-server.md §3.6-§3.15).

use super::cond::{Coded, Codes, Cond, Span};
use super::text::Words;
use super::{MAX_CONDS, MAX_DEPTH, PatientScope, filter};
use crate::outcome::Failure;
use crate::params::{RawCondition, name_parts};
use fhir::Pack;
use fhir::keys::Options;
use fhir::keys::query::{self, Prefix, split, unescape};
use fhir::pack::{ParamInfo, ParamKind};
use std::cell::Cell;
use std::collections::BTreeSet;

/// Most lists of one `_list`.
const MAX_LISTS: usize = 20;

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
    let (code, modifier, rest) = name_parts(name);
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
pub(super) fn shown(name: &str) -> String {
    name.chars()
        .filter(|c| !c.is_control())
        .take(64)
        .collect::<String>()
}

/// How far a name has been followed.
#[derive(Clone, Debug, Default)]
pub(super) struct Hop<'c> {
    depth: usize,
    /// Conditions made so far for the whole parameter; untyped chains multiply.
    made: Option<&'c Cell<usize>>,
}

impl Hop<'_> {
    fn next(&self) -> Self {
        Self {
            depth: self.depth + 1,
            made: self.made,
        }
    }
}

impl Compiler<'_> {
    /// One condition on one type.
    pub fn compile(&self, rtype: &str, raw: &RawCondition) -> Result<Cond, Failure> {
        self.name(rtype, &raw.name, &raw.value, &Hop::default())
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

    pub(super) fn name(
        &self,
        rtype: &str,
        name: &str,
        value: &str,
        hop: &Hop<'_>,
    ) -> Result<Cond, Failure> {
        if hop.depth > MAX_DEPTH {
            return Err(Failure::too_costly(format!(
                "a chain has more than {MAX_DEPTH} steps"
            )));
        }
        let fresh = Cell::new(0);
        let hop = &Hop {
            depth: hop.depth,
            made: hop.made.or(Some(&fresh)),
        };
        if let Some(made) = hop.made {
            made.set(made.get() + 1);
            if made.get() > MAX_CONDS {
                return Err(Failure::too_costly(format!(
                    "a chain may lead more than {MAX_CONDS} ways; name the types: reference:Type.parameter"
                )));
            }
        }
        match take_apart(name)? {
            Name::Has {
                source,
                param,
                rest,
            } => self.has(rtype, source, param, rest, value, hop),
            Name::Chain { code, target, rest } => self.chain(rtype, code, target, rest, value, hop),
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
            ("_id", Some("not")) => {
                let named = self.plain(rtype, code, None, value)?;
                Ok(Cond::Not(Box::new(named)))
            }
            ("_id", None) => {
                let parts = split(value, ',');
                if parts.len() > query::MAX_OR {
                    return Err(Failure::too_costly(format!(
                        "_id has more than {} alternatives",
                        query::MAX_OR
                    )));
                }
                let ids: BTreeSet<String> = parts.into_iter().map(unescape).collect();
                if ids.iter().any(String::is_empty) {
                    return Err(Failure::bad("value", "_id is empty"));
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
                "false" => Ok(Cond::LastUpdated(vec![Span::new(i64::MIN, i64::MAX)])),
                _ => Err(Failure::bad("value", ":missing takes true or false")),
            },
            ("_id" | "_lastUpdated" | "_list" | "_text" | "_content" | "_filter", Some(_)) => Err(
                Failure::bad("not-supported", format!("{code} takes no such modifier")),
            ),
            ("_list", None) => self.list(value),
            ("_text" | "_content", None) => self.words(rtype, code, value),
            ("_filter", None) => filter::compile(self, rtype, value),
            _ => {
                let param = self.param(rtype, code)?;
                if let Some(how) = modifier.and_then(Codes::by_modifier)
                    && param.kind == ParamKind::Token
                {
                    return Self::coded(param, how, value);
                }
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

    /// Records that stand in a List. Functional lists (`$current-problems`) are not kept here.
    fn list(&self, value: &str) -> Result<Cond, Failure> {
        if self.patient.is_some() || !(self.has_type)("List") {
            return Err(Failure::bad("not-supported", "there are no lists here"));
        }
        let lists: Vec<Cond> = split(value, ',')
            .into_iter()
            .map(|id| {
                let id = unescape(id);
                if id.starts_with('$') {
                    Err(Failure::bad(
                        "not-supported",
                        "_list takes ids of List resources; functional lists are not kept here",
                    ))
                } else if id.is_empty() {
                    Err(Failure::bad("value", "_list is empty"))
                } else {
                    Ok(Cond::List(id))
                }
            })
            .collect::<Result<_, _>>()?;
        if lists.len() > MAX_LISTS {
            return Err(Failure::too_costly(format!(
                "_list takes at most {MAX_LISTS} lists"
            )));
        }
        Ok(Cond::Any(lists))
    }

    fn words(&self, rtype: &str, code: &str, value: &str) -> Result<Cond, Failure> {
        // Masked elements would answer through the words in them.
        if self.patient.is_some() {
            return Err(Failure::bad(
                "not-supported",
                format!("{code} is not supported for patient data"),
            ));
        }
        if code == "_text" && Pack::r4().param(rtype, "_text").is_none() {
            return Err(Failure::bad(
                "not-supported",
                format!("{rtype} has no narrative"),
            ));
        }
        Words::read(value, code == "_text")
            .map(Cond::Text)
            .ok_or_else(|| {
                Failure::bad(
                    "value",
                    format!("{code} takes words, at most 20 of them; commas mean OR"),
                )
            })
    }

    /// `:in`, `:not-in`, `:above`, `:below` of a token. The codes are found out afterwards ([`Cond::resolve`]).
    fn coded(param: &'static ParamInfo, how: Codes, value: &str) -> Result<Cond, Failure> {
        for part in split(value, ',') {
            let fits = match how {
                Codes::In | Codes::NotIn => !part.is_empty(),
                Codes::Above | Codes::Below => {
                    matches!(split(part, '|').as_slice(), [s, c] if !s.is_empty() && !c.is_empty())
                }
            };
            if !fits {
                return Err(Failure::bad(
                    "value",
                    match how {
                        Codes::In | Codes::NotIn => {
                            "the modifier takes the URL of a value set, or ValueSet/[id]"
                        }
                        Codes::Above | Codes::Below => "the modifier takes system|code",
                    },
                ));
            }
        }
        Ok(Cond::Coded(Coded {
            param,
            how,
            value: value.to_owned(),
            set: None,
        }))
    }

    pub(super) fn param(&self, rtype: &str, code: &str) -> Result<&'static ParamInfo, Failure> {
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
        hop: &Hop<'_>,
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
        let mut any = Vec::new();
        let mut first_error = None;
        for target in targets {
            let inner = match self.name(&target, rest, value, &hop.next()) {
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
        hop: &Hop<'_>,
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
            inner: Box::new(self.name(source, rest, value, &hop.next())?),
        })
    }

    /// `_lastUpdated` of an instant: the rules of date ranges on a point (spec/fhir-server.md §3.10).
    fn span(&self, value: &str) -> Result<Span, Failure> {
        let (prefix, moment) = query::moment(value).ok_or_else(|| {
            Failure::bad(
                "value",
                "_lastUpdated takes a date or instant with an optional prefix",
            )
        })?;
        let (s, e) = moment.range_us(&self.options.zone);
        let span = Span::new;
        Ok(match prefix {
            Prefix::Eq => span(s, e),
            Prefix::Ne => span(s, e).excluded(),
            Prefix::Gt | Prefix::Sa => span(e, i64::MAX),
            Prefix::Lt | Prefix::Eb => span(i64::MIN, s),
            Prefix::Ge => span(s, i64::MAX),
            Prefix::Le => span(i64::MIN, e),
            Prefix::Ap => {
                let (s, e) = query::widened(&moment, s, e);
                span(s, e)
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
