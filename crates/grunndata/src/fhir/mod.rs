//! The base registers as FHIR R4, read-only: persons (`Person` after gd-Person, `Patient` and `RelatedPerson` after
//! no-basis and gd), personnel (`Practitioner`, `PractitionerRole`), organisations and communication parties
//! (`Organization`, `HealthcareService`, `Endpoint`).
//!
//! Nothing is stored as FHIR: every answer is a view, made when it is asked for. Persons are shown on the caller's ground
//! (with or without a legal basis) and by their address protection, and look-ups of them are in the access journal, as in
//! [`crate::persons`]. Personnel, organisations and parties show what is public.
//!
//! Read first: [`service::GrunndataFhir`], [`kinds`] (what there is, and by what it is found), [`person`].
//!
//! Invariants: what a caller of the person service may not see is in no view either; a national id is taken in the body
//! of a request only, and no error repeats what was sent; the GP of a person with kode 6 or 7 is in no view.
//!
//! Rules: spec/grunndata.md §7.4, §8, §10; spec/privacy.md §7.5, §7.6, §9.1.

mod access;
mod address;
mod bundle;
mod directory;
mod elements;
mod find;
mod history;
pub mod include;
pub mod kinds;
mod lists;
mod locations;
mod metadata;
mod organisations;
mod parties;
mod patient;
mod person;
mod personnel;
mod persons;
mod query;
mod refusal;
mod related;
pub mod service;
mod values;
mod wire;

pub use service::{FhirParts, GrunndataFhir, PREFIX};
