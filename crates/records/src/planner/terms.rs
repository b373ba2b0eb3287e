//! `:in`, `:not-in`, `:above`, `:below`: asks terminology for the codes that a condition means (spec/fhir-server.md §3.8).

use super::cond::{CodeSet, Coded, Codes, Cond};
use crate::outcome::Failure;
use axum::http::StatusCode;
use fhir::Pack;
use fhir::keys::query::{split, unescape};
use fhir::terminology::{Terminology, TerminologyError};
use std::sync::Arc;

/// Most codes of one condition.
pub const MAX_CODES: usize = 50_000;

/// Where codes come from.
pub struct Terms<'t> {
    /// Answers about canonicals.
    pub terminology: &'t dyn Terminology,
    /// Canonical of a stored `ValueSet/[id]`.
    pub canonical_of: &'t dyn Fn(&str) -> Result<Option<String>, Failure>,
}

impl Cond {
    /// Whether some part of it asks terminology.
    pub fn asks_terminology(&self) -> bool {
        match self {
            Self::Coded(coded) => coded.set.is_none(),
            Self::Any(list) | Self::All(list) => list.iter().any(Self::asks_terminology),
            Self::Not(inner) | Self::Chain { inner, .. } | Self::Has { inner, .. } => {
                inner.asks_terminology()
            }
            _ => false,
        }
    }

    /// Fills in the codes that its parts mean.
    pub fn resolve(&mut self, terms: &Terms<'_>) -> Result<(), Failure> {
        match self {
            Self::Coded(coded) => {
                let set = codes(coded, terms).map_err(|f| f.on(coded.param.code.as_ref()))?;
                coded.set = Some(Arc::new(set));
                Ok(())
            }
            Self::Any(list) | Self::All(list) => list.iter_mut().try_for_each(|c| c.resolve(terms)),
            Self::Not(inner) | Self::Chain { inner, .. } | Self::Has { inner, .. } => {
                inner.resolve(terms)
            }
            _ => Ok(()),
        }
    }
}

fn codes(coded: &Coded, terms: &Terms<'_>) -> Result<CodeSet, Failure> {
    let folds = coded.param.folds_case(Pack::r4());
    let mut set = CodeSet::default();
    for part in split(&coded.value, ',') {
        match coded.how {
            Codes::In | Codes::NotIn => {
                let named = unescape(part);
                let url = match named.strip_prefix("ValueSet/") {
                    Some(id) => (terms.canonical_of)(id)?.ok_or_else(unknown_value_set)?,
                    None => named,
                };
                let members = terms
                    .terminology
                    .members(&url, MAX_CODES)
                    .map_err(refused)?;
                for member in &members.codes {
                    set.add(&member.system, &member.code, folds);
                }
                for system in &members.systems {
                    set.add_system(system);
                }
            }
            Codes::Above | Codes::Below => {
                let parts: Vec<String> = split(part, '|').into_iter().map(unescape).collect();
                let [system, code] = parts.as_slice() else {
                    return Err(Failure::bad("value", "the modifier takes system|code"));
                };
                let found = if coded.how == Codes::Below {
                    terms.terminology.descendants(system, code, MAX_CODES)
                } else {
                    terms.terminology.ancestors(system, code, MAX_CODES)
                };
                let mut names = terms.terminology.other_names(system);
                names.push(system.clone());
                for code in found.map_err(refused)?.iter() {
                    for name in &names {
                        set.add(name, code, folds);
                    }
                }
                if coded.how == Codes::Below && terms.terminology.is_lexical(system) {
                    for name in &names {
                        set.add_below(name, code, folds);
                    }
                }
            }
        }
    }
    Ok(set)
}

fn unknown_value_set() -> Failure {
    Failure::bad("not-found", "the value set is not known here")
}

fn refused(error: TerminologyError) -> Failure {
    let text = error.to_string();
    match error {
        TerminologyError::Unknown { .. } => Failure::bad("not-found", text),
        TerminologyError::TooCostly(_) => Failure::too_costly(text),
        TerminologyError::Unprocessable { code, .. } | TerminologyError::Invalid { code, .. } => {
            Failure::bad(code, text)
        }
        TerminologyError::Unavailable => {
            Failure::new(StatusCode::SERVICE_UNAVAILABLE, "transient", text)
        }
    }
}
