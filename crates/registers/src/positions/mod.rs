//! The register of doctors' training positions (Legestillingsregisteret, LSR): which positions there are, at whom and in
//! which speciality, which units are approved for training, how many positions each employer was given, and who held a
//! position when. On the register kernel.
//!
//! Only the names of its events and its namespaces are published; the model is the house's own after spec/grunndata.md §6.
//!
//! Read first: [`record::Record`], [`rules`], [`register::Positions`]. Times are clock times of Norway, as in
//! [`crate::personnel`].

pub mod record;
pub mod register;
pub mod rules;
#[cfg(test)]
mod tests;

pub use record::{Approval, Distribution, Employment, Position, PositionEvent, Record};
pub use register::{Positions, Wanted, WriteError};
