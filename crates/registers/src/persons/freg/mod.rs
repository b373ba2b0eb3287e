//! The population register (Folkeregisteret) as the source of the person register: person documents, events with their
//! documents, notices of birth and death, in the XML of its published schemas or the JSON of the same names.
//!
//! ```text
//! bytes → tree → document | feed entry | notice → one change of the person register
//! ```
//!
//! It deliberately knows nothing of how the bytes came (a file, a poll of the upstream service). Errors say which item and
//! which element, never a value: values are people's.
//!
//! Rules: spec/grunndata.md §3.4, §3.6, §3.7; the schemas `PersondokumentMedHistorikk`, `Hendelsedokument`,
//! `Foedselsmelding` and `MeldingOmDoedsfall` of the tax administration. Two choices of ours: an instant without an offset is UTC; elements that
//! no schema names are passed over, because the upstream adds some.
//!
//! Read first: [`source::Items`], [`import::Importer`].

mod address;
pub mod birth;
pub mod event;
mod fact;
pub mod import;
mod newborn;
pub mod person;
pub mod source;
pub mod tree;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::kernel::identifiers::Packed;
use crate::kernel::period::Moment;
use tree::Tree;

/// What is wrong with a document. Names places, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Wrong {
    /// Not well-formed, or refused: too large, too deep, a document type.
    #[error("not usable XML: {0}")]
    Xml(#[from] xmlsec::xml::XmlError),
    /// Not JSON.
    #[error("not JSON (line {line}, column {column})")]
    Json {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// Too deep or too many elements.
    #[error("more than {0}")]
    TooMuch(&'static str),
    /// None of the documents that are understood.
    #[error(
        "neither a person document, a feed entry with its event document, nor a notice of birth or death"
    )]
    Unknown,
    /// An event document without its number in the feed.
    #[error("an event document needs its sekvensnummer: give it as a feed entry")]
    Unnumbered,
    /// Something must be there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Something is not what it must be.
    #[error("{0} has an unusable value")]
    Value(&'static str),
}

/// The text of a member, which must be there.
fn needed<'t>(tree: &'t Tree, name: &'static str) -> Result<&'t str, Wrong> {
    tree.text(name).ok_or(Wrong::Missing(name))
}

/// A code, by its name in the schema.
fn code<T: Copy>(tree: &Tree, name: &'static str, table: &[(&str, T)]) -> Result<Option<T>, Wrong> {
    let Some(text) = tree.text(name) else {
        return Ok(None);
    };
    let found = table.iter().find(|(known, _)| *known == text);
    found
        .map(|(_, value)| Some(*value))
        .ok_or(Wrong::Value(name))
}

fn needed_code<T: Copy>(tree: &Tree, name: &'static str, table: &[(&str, T)]) -> Result<T, Wrong> {
    code(tree, name, table)?.ok_or(Wrong::Missing(name))
}

fn number<T: std::str::FromStr>(tree: &Tree, name: &'static str) -> Result<Option<T>, Wrong> {
    let parsed = tree.text(name).map(str::parse);
    parsed.transpose().map_err(|_| Wrong::Value(name))
}

/// An `xs:date`; an offset is of no meaning for a register date.
fn date(tree: &Tree, name: &'static str) -> Result<Option<Date>, Wrong> {
    let Some(text) = tree.text(name) else {
        return Ok(None);
    };
    let day = text.get(..10).unwrap_or(text);
    day.parse().map(Some).map_err(|_| Wrong::Value(name))
}

/// An `xs:dateTime`, or a date alone.
fn moment(tree: &Tree, name: &'static str) -> Result<Option<Moment>, Wrong> {
    let Some(text) = tree.text(name) else {
        return Ok(None);
    };
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(Some(at.into()));
    }
    let local: DateTime = text.parse().map_err(|_| Wrong::Value(name))?;
    let at = local
        .to_zoned(TimeZone::UTC)
        .map_err(|_| Wrong::Value(name))?;
    Ok(Some(at.timestamp().into()))
}

/// An identifier of eleven digits.
fn nin(tree: &Tree, name: &'static str) -> Result<Option<Packed>, Wrong> {
    let Some(text) = tree.text(name) else {
        return Ok(None);
    };
    let digits = Packed::digits(text).filter(|_| text.len() == 11);
    digits.map(Some).ok_or(Wrong::Value(name))
}

#[cfg(test)]
mod tests;
