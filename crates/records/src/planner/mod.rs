//! From conditions to records: compile against the definitions, estimate, intersect by record number.
//!
//! The grant's filter is evaluated by the store on every row, hop and include; nothing here looks past it. Conditions that
//! exclude (`:not`, `:missing=true`) take away from visible records only. No truncation: a search that would look at more
//! than [`MAX_ROWS`] rows is refused (spec/fhir-server.md §3.15, §16).
//!
//! Two ways to an answer: all matches at once ([`Evaluator::matching`]: counts, sorts of few), or a page at a time in
//! record order ([`Walk`]), which reads about as many index rows as the page has matches when one condition is selective
//! or exact.

mod compile;
mod cond;
mod evaluate;
mod filter;
mod sort;
mod terms;
mod text;
mod walk;

pub use compile::Compiler;
pub use cond::{CodeSet, Coded, Codes, Cond, Span};
pub use evaluate::{Evaluator, Step};
pub use sort::{Place, check_keys as check_sort};
pub use terms::{MAX_CODES, Terms};
pub use walk::{CHEAP, Merged, Walk};

use crate::params::escape;
use fhir::Doc;
use store::PersonKey;

/// Most index rows one search may look at.
pub const MAX_ROWS: usize = 2_000_000;
/// Most hops of a chain or `_has`.
pub const MAX_DEPTH: usize = 5;
/// Most records between two hops.
pub const MAX_BETWEEN: usize = 20_000;
/// Most conditions that one parameter may stand for, when its chain is untyped.
pub const MAX_CONDS: usize = 2_000;
/// What looking at a document costs, in index rows.
const DOCUMENT_ROWS: usize = 10;

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
        let values: Vec<String> = self
            .identifiers
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(system, value)| format!("{}|{}", escape(system), escape(value)))
            .collect();
        (!values.is_empty()).then(|| values.join(","))
    }
}
