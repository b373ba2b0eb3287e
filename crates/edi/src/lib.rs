//! EDI messages of the Norwegian health sector: bytes ↔ values with positions, and the validator.
//!
//! **What it is.** A safe XML reader ([`xml`]); typed readers and writers for MsgHead 1.2 ([`msghead`]), AppRec
//! ([`apprec`]), svarrapport 1.4 ([`svarrapport`]), epikrise 1.2 ([`epikrise`]), henvisning 2.0 ([`henvisning`]) and
//! dialogmelding ([`dialogmelding`]); recognition of the rest ([`message`]); structural tables of our own
//! ([`structure`]), validation against official schemas when they are at hand ([`xsd`]), content rules with the
//! standard's error codes ([`check`]); and the report that a vendor reads ([`report`]).
//!
//! **What it deliberately does not know.** Storage, network, transport, keys: encrypted bytes are recognised
//! ([`message::is_cms`]) and opening them is the caller's job. Look-ups that need registers are asked through
//! [`check::Lookups`].
//!
//! **Read first.** [`xml::XmlDoc`] and [`xml::Elem`] (the tree), [`message::Identified`] and [`message::Header`]
//! (what and who), [`value`] (the small types), [`check::Finding`] and [`check::Checked::verdict`] (what a receiver answers).
//!
//! **Invariants.** Nothing here panics or runs without bound on any bytes ([`xml::Limits`]). Every value knows where
//! it stood, and equality ignores it. Values are kept as sent; interpretation is in helpers. What is written is
//! well-formed and in the order of the standard. No finding, error or report quotes a national identifier, a name
//! of a person or clinical content.
//!
//! **Where the rules come from.** The national standards named in each module (HIS 80601 MsgHead, HIS 80415 AppRec,
//! svarrapport 1.4, epikrise 1.2, henvisning 2.0, dialogmelding 1.1), HIS 1153 (addressing), HITS 1216 (AMQP), W3C XML
//! 1.0, Namespaces and XML Schema; our specifications messaging.md, nilar.md, documents.md, story.md §7.

pub mod catalogue;

pub mod apprec;

pub mod check;
pub mod cppa;
pub mod dialogmelding;
pub mod epikrise;
pub mod errorqueue;
pub mod fk1;
pub mod hcp;
pub mod henvisning;
pub mod message;
pub mod metadata;
pub mod msghead;

pub mod report;
pub mod structure;
pub mod svarrapport;
pub mod value;
pub mod xml;
pub mod xsd;
