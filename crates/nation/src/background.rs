//! Everybody who is not in the story: made in cells of about a thousand persons, each cell by itself, so that five million
//! persons can be streamed, or one person made, without making the others.
//!
//! A cell has the national age and sex distribution by construction; families, households, guardians and personnel stay
//! within it. What must be unique over all cells (identity numbers, personnel numbers) follows from closed formulas.

pub(crate) mod births;
pub(crate) mod cell;
pub(crate) mod households;
pub(crate) mod naming;
pub(crate) mod organisations;
pub(crate) mod plan;
pub(crate) mod staff;
