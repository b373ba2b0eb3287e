//! Organisations: the copy of Enhetsregisteret with what health services add to it (BEDREG, Helsetjenestekatalogen), and
//! the units of the specialist health service (RESH), on the register kernel.
//!
//! A main unit and its sub units are entries of their own. A unit that is struck off stays, and is shown with a negative
//! organisation number.
//!
//! Read first: [`business::Business`], [`register::Businesses`]. Rules: spec/grunndata.md §8.

pub mod business;
pub mod hours;
pub mod register;
pub mod resh;

pub use business::{Business, Coordinates};
pub use hours::OpeningHours;
pub use register::Businesses;
pub use resh::ReshUnit;

#[cfg(test)]
mod tests;
