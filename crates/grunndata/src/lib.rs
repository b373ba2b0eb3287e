//! Grunndata: the wire of the base registers, as the national services speak it.
//!
//! The registers themselves (rows, indexes, rules, events) are in `registers`; this crate knows paths, parameters, roles
//! and answers, and nothing of how a register is kept.
//!
//! Rules: spec/grunndata.md.

pub mod ar;
pub mod cppa;
pub mod fhir;
pub mod flr;
pub mod hpr;
pub mod lsr;
pub mod persons;
pub mod subscriptions;

/// Repositories of this crate, beside those of `registers`. The hub declares them when it opens the store.
#[must_use]
pub fn repositories() -> Vec<store::RepositoryDecl> {
    [
        cppa::held::PROFILES,
        cppa::held::AGREEMENTS,
        subscriptions::held::REPOSITORY,
        registers::personnel::record::REPOSITORY,
        registers::gplists::record::REPOSITORY,
        registers::positions::record::REPOSITORY,
    ]
    .map(|name| store::RepositoryDecl::new(name, store::RepoKind::Internal))
    .to_vec()
}
