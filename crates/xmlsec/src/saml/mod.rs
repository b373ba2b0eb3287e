//! SAML 2.0 assertions for document sharing: the attest of the trust framework as IHE XUA has it.
//!
//! An assertion is signed, bears its subject (whoever holds it may use it), names one audience, and carries attributes
//! that come from a HelseID token and its attest. [`Xua`] is their meaning, [`Xua::from_attest`] makes it from the claim
//! `nhn:tillitsrammeverk:parameters`, [`issue`] makes and signs an assertion, [`verify`] judges one and [`Xua::read`]
//! reads it. Only what the signature covers is read: the octets that were digested are parsed anew.
//!
//! Attribute names come in two generations. Both are read; both are written ([`Generation::Hybrid`]) as the national
//! issuer does, or the new ones only; the citizens' issuer has a form of its own ([`Xua::for_citizen`]). Values are HL7 fragments inside text, sometimes escaped once too often; they are
//! read leniently and written as the national issuer writes them.
//!
//! **Not here:** what a source shows to whom (that is `trust` and the source), and SOAP.
//!
//! Rules: spec documents §6, tillitsrammeverk §5 and §8 (T6, T12), SAML 2.0 core, IHE ITI XUA.

mod assertion;
mod attest;
mod citizen;
mod fragment;
mod names;
mod verify;
mod xua;

#[cfg(test)]
mod tests;

pub use assertion::{Assertion, Attribute, Authentication, IssueError, Issuer, issue};
pub use attest::{AttestError, MAX_ATTEST_AGE_S, Request, acp_of_basis};
pub use citizen::{CITIZEN_LIFE_S, Citizen};
pub use fragment::{Coded, Instance, PatientId};
pub use verify::{Expected, MAX_ASSERTION_BYTES, SamlError, verify, verify_in};
pub use xua::{Decision, Generation, Xua, XuaError};

/// Namespace of assertions.
pub const NAMESPACE: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
pub(crate) const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
/// Audience of assertions for personnel (spec documents §6.1).
pub const PERSONNEL_AUDIENCE: &str = "nhn:dokumentdeling-saml";
/// Audience of assertions for citizens.
pub const CITIZEN_AUDIENCE: &str = "https://xds-web.test.nhn.no/";
