//! Structure of the common messages, by tables of our own: order, cardinality, types.
//!
//! A clean clone has no official schemas; these tables let it validate all the same. They are text files in
//! `tables/`, one line per element, and are held against the official schemas by a test when those are at hand.
//! Notation: `Name:Type` is a local element with a type, `Name` a reference to a global element of the table,
//! `fk1.Ident` something of another table; `?`, `*`, `+` as usual; `( a | b )` a choice.
//!
//! Source: the national schemas' facts (MsgHead 1.2, AppRec 1.0 and 1.1, svarrapport 1.4, epikrise 1.2, henvisning 2.0,
//! dialogmelding 1.0 and 1.1, felleskomponent1, kith). Like XML Schema 1.0, content models are deterministic, so that
//! one pass without backtracking decides.

mod grammar;
mod matcher;
mod types;

use std::sync::LazyLock;

use crate::xml::{At, Elem};

/// One break of the structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where: the offending element, or the element that lacks something.
    pub at: At,
    /// What is wrong, Norwegian.
    pub text_nb: String,
    /// What is wrong, English.
    pub text_en: String,
    /// Which table and element, such as `MsgHead 1.2: MsgInfo`.
    pub rule: String,
}

/// What a check of the structure found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Breaks, in document order, at most [`MAX_FAULTS`].
    pub faults: Vec<Fault>,
    /// Namespaces in the document for which there is no table.
    pub unchecked: Vec<String>,
}

/// Most faults that are reported for one document.
pub const MAX_FAULTS: usize = 100;

static TABLES: LazyLock<grammar::Tables> = LazyLock::new(grammar::Tables::load);

/// Whether there is a table for a namespace; gives its title.
pub fn covers(ns: &str) -> Option<&'static str> {
    TABLES.title(ns)
}

/// The titles of all tables.
pub fn titles() -> Vec<&'static str> {
    TABLES.titles()
}

/// Checks an element and everything below it.
pub fn check(root: &Elem) -> Outcome {
    let mut run = matcher::Run {
        tables: &TABLES,
        out: Outcome::default(),
    };
    run.root(root);
    run.out
}

#[cfg(test)]
mod tests;
