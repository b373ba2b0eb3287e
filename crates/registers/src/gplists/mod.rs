//! The register of GP lists (Fastlegeregisteret, FLR): contracts, the doctors on them, and whose list everybody is on, on
//! the register kernel.
//!
//! Five and a half million associations stand in pages of [`record::PAGE_LINES`] lines, one entry each, so that a patient
//! who moves rewrites two small rows and the whole register fits in memory. Lines are never taken out: ended ones are the
//! history.
//!
//! Read first: [`record::GpContract`], [`rules`], [`register::GpLists`], [`choice`]. Rules: spec/grunndata.md §5.
//! Times are clock times of Norway, as in [`crate::personnel`].

mod beside;
pub mod choice;
mod pack;
pub mod reach;
pub mod record;
pub mod register;
pub mod rules;
#[cfg(test)]
mod tests;

pub use record::{
    Association, AwayOffice, DoctorCycle, GpContract, GpListEvent, OfficeFacts, PatientPage,
    Record, Team,
};
pub use register::{GpLists, OnList, WriteError};
