//! The register of health personnel (Helsepersonellregisteret, HPR): who is authorised as what, since when, with which
//! rights, specialities, conditions and suspensions, on the register kernel.
//!
//! An HPR number leads to one person for ever; a number that was found to belong to the same person as another one leads
//! to the survivor. Educational institutions and the register's own settings are entries of the same register, so that one
//! row of numbered events tells everything.
//!
//! Read first: [`record::Personnel`], [`rules`], [`register::PersonnelRegister`]. Rules: spec/grunndata.md §4.
//!
//! Times are clock times of Norway kept as if they were UTC ([`crate::kernel::period::Moment`]): the register's periods are
//! days, written without zone.

pub mod import;
pub mod record;
pub mod register;
pub mod rules;
pub mod search;
#[cfg(test)]
mod tests;

pub use record::{
    Approval, Competence, Condition, Education, Institution, OtherId, Personnel, PersonnelEvent,
    PostalAddress, Reaction, Record, Requisition, Settings, Short, Speciality, Suspension,
};
pub use register::{PersonnelRegister, WriteError};
