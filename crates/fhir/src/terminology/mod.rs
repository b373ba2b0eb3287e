//! Terminology: code systems, value sets and concept maps, and the questions asked of them.
//!
//! A pure engine over what a `Source` offers: no storage, no network, no clock. [`Terminology`] is the narrow face
//! that search (`:in`, `:not-in`, `:above`, `:below`), FHIRPath (`memberOf`, `subsumes`) and validation (bindings) use.

mod arguments;
pub mod base;
pub mod code_system;
mod compose;
pub mod concept_map;
mod expand;
mod face;
mod filter;
mod grammar;
pub mod language;
mod lookup;
pub mod national;
pub mod source;
mod translate;
mod validate;
pub mod value_set;

#[cfg(test)]
mod tests;

pub use arguments::Arguments;
pub use code_system::Content;
pub use compose::{Engine, Settings};
pub use expand::{Moment, expand};
pub use face::Face;
pub use lookup::{lookup, subsumes};
pub use source::Source;
pub use translate::translate;
pub use validate::{validate_in_system, validate_in_value_set};

use std::sync::Arc;

/// Most concepts, listed codes or mappings of one definition.
pub const MAX_CONCEPTS: usize = 500_000;
/// Most codes that one evaluation holds.
pub const MAX_ITEMS: usize = 200_000;
/// Most codes of an expansion that is not asked for in pages.
pub const MAX_EXPANSION: usize = 10_000;
/// Most steps of one question; a step is a code looked at.
pub const MAX_STEPS: u64 = 10_000_000;
/// Longest chain of value sets that refer to each other.
pub const MAX_DEPTH: usize = 40;

/// A code of a system.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Coded {
    /// Code system; empty when the value set names none.
    pub system: Box<str>,
    /// Code.
    pub code: Box<str>,
}

/// Members of a value set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Codes, each once.
    pub codes: Vec<Coded>,
    /// Systems all of whose codes are members although their codes are not known here (`http://loinc.org` whole).
    pub systems: Vec<Box<str>>,
}

/// Why a question has no answer. Texts name canonicals and limits, never a person's data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TerminologyError {
    /// The value set, code system or concept map is not here (404 `not-found`).
    #[error("{kind} {url} is not known here")]
    Unknown {
        /// `CodeSystem`, `ValueSet` or `ConceptMap`.
        kind: &'static str,
        /// Canonical as asked for.
        url: String,
    },
    /// More codes or steps than one question may cost (422 `too-costly`).
    #[error("{0}")]
    TooCostly(String),
    /// What is asked cannot be worked out: a cycle of value sets, a bad filter, content that is not here (422).
    #[error("{text}")]
    Unprocessable {
        /// Issue type code (`invalid`, `not-supported`, `processing`, …).
        code: &'static str,
        /// What is wrong, where.
        text: String,
    },
    /// The question itself is wrong (400).
    #[error("{text}")]
    Invalid {
        /// Issue type code (`required`, `value`, …).
        code: &'static str,
        /// What is wrong.
        text: String,
    },
    /// The store behind the source cannot answer now (503).
    #[error("the store cannot answer now; try again")]
    Unavailable,
}

/// What search and validation ask. Value sets and systems are named by canonical (`url` or `url|version`).
///
/// An implementation answers for one moment: the same question twice has the same answer.
pub trait Terminology {
    /// All members of a value set, at most `limit` codes (`TooCostly` beyond).
    fn members(&self, value_set: &str, limit: usize) -> Result<Arc<Members>, TerminologyError>;

    /// Whether a code is a member. `system` is `None` for the type `code`, which carries none: then any system of the value
    /// set counts. `None` = cannot be told (value set unknown here, or it draws on a system whose codes are not here).
    fn contains(
        &self,
        value_set: &str,
        system: Option<&str>,
        code: &str,
    ) -> Result<Option<bool>, TerminologyError>;

    /// The code and everything below it in its system's hierarchy, at most `limit` codes. A system or code that is not
    /// known here: the code alone.
    fn descendants(
        &self,
        system: &str,
        code: &str,
        limit: usize,
    ) -> Result<Arc<[Box<str>]>, TerminologyError>;

    /// The code and everything above it, as [`Terminology::descendants`].
    fn ancestors(
        &self,
        system: &str,
        code: &str,
        limit: usize,
    ) -> Result<Arc<[Box<str>]>, TerminologyError>;

    /// Whether the codes of a system are case sensitive; `None` when the system is not known here.
    fn case_sensitive(&self, system: &str) -> Option<bool>;

    /// Whether the codes of a system show their place in its hierarchy (ATC, ICD-10): then a code is below every code that
    /// it starts with, known here or not, and [`Terminology::descendants`] is only the part of it that is known.
    fn is_lexical(&self, system: &str) -> bool {
        national::is_lexical(system)
    }

    /// Other names of a system, under which its codes may be stored.
    fn other_names(&self, system: &str) -> Vec<String> {
        national::aliases(system)
    }
}
