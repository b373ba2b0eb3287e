//! Profiles: StructureDefinitions compiled into tables of constraints, and the validator that applies them (R4 profiling
//! and validation pages).
//!
//! A compiled [`Profile`] holds only what goes beyond the base definitions: constraints lie on top of those of the profile it
//! derives from, and the base definitions themselves are checked by [`crate::validate`]. So a differential and the snapshot
//! made from it give the same verdicts, and no snapshot has to be generated.
//!
//! Read first: [`Library`] (which profiles there are), [`Validator`] (checks a document).

mod binding;
mod builtin;
mod compile;
mod extension;
mod library;
mod read;
mod slicing;
mod table;
mod target;
mod usage;
mod validator;
mod value;

pub use builtin::built_in_for;
pub use compile::compile;
pub use library::{Found, Library, Source};
pub use table::Profile;
pub use validator::{Asked, Fetch, Validator};

#[cfg(test)]
mod tests;
