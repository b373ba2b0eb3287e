//! The registers of Grunndata as the rest of the hub sees them: persons, personnel, GP lists, organisations and
//! communication parties, behind the look-up traits of [`directory`].
//!
//! It deliberately knows nothing of the registers' edges (SOAP, REST, events: crate `grunndata`, a later issue), nor of
//! who may see what (crate `trust`); it answers what the register says.
//!
//! Read first: [`directory::Directory`], [`table::RegisterTable`]; for the registers at national size [`kernel`] and [`persons`].
//!
//! Invariants: an identifier, current or historic, leads to at most one person; a HER-id to at most one party
//! (tests in `table`). Rules: spec/grunndata.md §3-§8, spec/messaging.md §8, DESIGN §6 (the first issue serves from a
//! plain table in the store; the mapped read file of §6 replaces it behind the same traits).

pub mod directory;
pub mod gplists;
pub mod kernel;
pub mod organisations;
pub mod parties;
pub mod personnel;
pub mod persons;
pub mod positions;
pub mod table;

pub use directory::*;
pub use table::RegisterTable;

/// The repositories that [`RegisterTable::open`] needs. Whoever opens a store for it declares them all.
#[must_use]
pub fn repositories() -> Vec<store::RepositoryDecl> {
    [
        table::REPOSITORY,
        persons::life::REPOSITORY,
        organisations::business::REPOSITORY,
        organisations::resh::REPOSITORY,
        parties::record::REPOSITORY,
    ]
    .map(|name| store::RepositoryDecl::new(name, store::RepoKind::Internal))
    .to_vec()
}
