//! The person register at national size.
//!
//! Versions stand in the log ([`crate::kernel::log`]); what is asked comes from a read form: a file of compact rows with
//! sorted identifiers and postings ([`file`]), and an overlay of what changed since the file was made.
//!
//! It deliberately knows nothing of who may see what (crate `trust`) nor of the wire (crate `grunndata`); but a person with
//! a protected address is never in an address posting, whoever asks ([`file::build`]), and of a strictly confidential
//! person no address is stored ([`document::PersonDocument::obey_protection`]).
//!
//! Read first: [`document::PersonDocument`], [`register::PersonRegister`], [`search::Query`].
//!
//! Rules: spec/grunndata.md §2.6, §3, §11; spec/privacy.md §7.5; DESIGN §6.

pub mod codes;
pub mod document;
pub mod file;
pub mod freg;
pub mod life;
pub mod register;
pub mod row;
pub mod search;
#[cfg(test)]
mod testing;
pub mod view;

pub use document::PersonDocument;
pub use register::PersonRegister;
