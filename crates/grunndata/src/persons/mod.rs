//! Persontjenesten: the person register as a national REST service, version 2 of its contract.
//!
//! Data controller of what is answered is the population register's owner; the hub passes it on to those with a scope of
//! the service. Two trees of addresses: with legal basis and without; same shapes, different content
//! (`trust::register`). Every look-up is in the access journal ([`lookups`]); national ids come in bodies only.
//!
//! It deliberately knows nothing of how persons are kept (`registers::persons`), nor of who issued a token.
//!
//! Read first: [`route`] (addresses), [`person`] (the answer), [`service::Persontjenesten`].
//!
//! Invariants: no answer without legal basis has a confidential part or a graded address; of a strictly confidential
//! person no answer has an address; no address, header, log line or error text repeats an identification number.
//!
//! Rules: spec/grunndata.md §3, spec/privacy.md §7.5 and §9.1.

pub mod access;
mod address;
pub mod counted;
mod events;
pub mod form;
pub mod json;
pub(crate) mod kept;
pub mod lookups;
pub mod parts;
pub mod person;
pub mod problem;
pub mod route;
pub mod search;
pub mod service;

pub use service::{PREFIX, Persontjenesten, PersontjenestenParts};
