//! FHIR R4 REST over the record store: interactions, query planner, privacy gate, and the sources of cross-service views.
//!
//! It deliberately knows nothing of any one service: repositories are mounted with a [`gate`] and a definition pack.
//!
//! Read first: [`source::RecordSource`].

pub mod gate;
pub mod intake;
pub mod patient;
pub mod source;
pub mod write;
