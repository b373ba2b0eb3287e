//! The one privacy decision of the hub: [`may`], the settings it obeys, the log it leaves.
//!
//! `may(facts, ask)` is pure: no I/O, no clock, no store. [`Trust`] gathers the facts at one snapshot, calls it, and is
//! the only place that turns an Allow into a [`store::Granted`].
//! It deliberately knows nothing of the services: they bring the interface, the classes and the form of a refusal.
//!
//! Read first: [`Facts`], [`may()`], [`Trust`].
//!
//! Invariants: unknown is no (an unknown role, label, basis or actor is denied); a named block is absolute; filters are
//! only ever intersected; a denial never depends on whether data exist. Guarded by the generated matrix against a second
//! evaluator (`tests/`), the sixty cases, and the two-worlds test.
//!
//! Rules: spec/privacy.md (§3 order of evaluation, §2.5-§2.7 vocabulary, §7 tables, §8 filters, §9 log, §10 settings).

pub mod basis;
pub mod class;
pub mod counted;
pub mod facts;
pub mod gather;
pub mod label;
pub mod log;
pub mod may;
pub mod register;
pub mod representation;
pub mod settings;

pub use basis::{Basis, Purpose};
pub use class::{Class, Part};
pub use facts::*;
pub use gather::{Access, Decided, Principal, Trust, TrustConfig};
pub use label::Label;
pub use may::may;
