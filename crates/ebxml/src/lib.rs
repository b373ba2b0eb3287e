//! ebXML messages (ebMS 2.0) as bytes and as values: the mail or HTTP body they travel in, the SOAP envelope, its
//! signature over envelope and attachments, the encrypted payload, acknowledgments, error lists and faults.
//!
//! **Deliberately unknown here:** storage, network, registers, agreements, who may send what, and what time it is. What is
//! read comes with everything that was found wrong ([`Finding`]); who reads decides ([`msh`] says what the norm asks for).
//!
//! **Read first:** [`package::Received`] (a message as it came), [`envelope::Envelope`], [`signature::check`],
//! [`payload::open`], [`msh::answer`], [`package::Outgoing`] (a message on its way out).
//!
//! **Invariants**
//! - Nothing is read of an envelope that its signature leaves out, except `SyncReply`, which only chooses the way back:
//!   [`signature::check`] demands that header, body and every attachment are covered (signature wrapping).
//! - Bytes from the network are bounded in size, header lines, parts, nesting and inflation ([`mime::Limits`],
//!   [`payload::MAX_CONTENT_BYTES`]); no reading panics.
//! - What is tolerated on receipt (spec messaging §5.3) is never written here.
//! - No finding and no error holds content of a payload.
//!
//! **Rules from:** OASIS ebMS 2.0; HIS 1037:2011, HITS 1171:2017, HITS 1172:2019 (rule numbers of [`Finding`]), HITS 1210:2018; RFC 2045, 2387,
//! 2392, 5322 for the mail around it.

pub mod envelope;
pub mod finding;
pub mod mime;
pub mod msh;
pub mod names;
pub mod package;
pub mod payload;
pub mod signal;
pub mod signature;

pub use finding::{Code, Finding, Level};
