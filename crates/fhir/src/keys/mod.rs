//! Search keys: what a resource can be found by, and the byte ranges that a search asks for.
//!
//! [`extract`] turns a document into keys; [`query::plan`] turns `name[:modifier]=value` into ranges over the same bytes;
//! [`matches::matches`] answers the same question on the document itself, written without the byte forms, as the judge of
//! both and for what keys alone cannot decide. Rules: R4 search page and the house's choices in its FHIR server
//! specification §3 (time zone, folding, precision, units).

pub mod encode;
mod extract;
pub mod matches;
pub mod query;
mod values;

pub use extract::{KeyError, extract, extract_with};

pub use crate::refs::{Ref, Target, compartment, compartment_patients, param_targets, references};

use jiff::tz::TimeZone;

use crate::pack::{Pack, ParamInfo};

/// One index row: `param` is the stable number of (type, parameter, sub-kind), `value` orders as the values do (≤ 255 bytes).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SearchKey {
    /// `ParamInfo::id` with the sub-kind in the low four bits.
    pub param: u32,
    /// Order-preserving bytes.
    pub value: Vec<u8>,
}

/// What extraction and search depend on besides the document. Must be the same on both sides.
#[derive(Debug, Clone)]
pub struct Options {
    /// Zone of dates and times without one.
    pub zone: TimeZone,
    /// Bases (without trailing slash) whose absolute references are local.
    pub own_bases: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            zone: crate::datetime::oslo(),
            own_bases: Vec::new(),
        }
    }
}

/// The search parameter of a resource type, with its stable id; `None` when the type has no such parameter.
pub fn param_id<'p>(pack: &'p Pack, resource_type: &str, code: &str) -> Option<&'p ParamInfo> {
    pack.param(resource_type, code)
}

#[cfg(test)]
mod tests;
