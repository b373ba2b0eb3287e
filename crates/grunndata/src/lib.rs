//! Grunndata: the wire of the base registers, as the national services speak it.
//!
//! The registers themselves (rows, indexes, rules, events) are in `registers`; this crate knows paths, parameters, roles
//! and answers, and nothing of how a register is kept.
//!
//! Rules: spec/grunndata.md.

pub mod persons;
