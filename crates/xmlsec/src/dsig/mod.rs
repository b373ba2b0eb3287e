//! XML signatures: making them and judging them.
//!
//! A signature is checked strictly and the answer says **what** was signed ([`Verified::parts`]), because "some signature
//! in here is valid" is what signature wrapping lives on. [`verify_enveloped`] is the call for messages and assertions:
//! the one signature that is a child of the element must cover exactly that element. [`verify`] is the call for
//! signatures with several references (ebXML, XAdES); its caller compares the parts with what it is about to read.
//!
//! Accepted: references into the same document (`""` and `#id`) and, by bytes that the caller hands in, to attachments;
//! the transforms enveloped-signature, canonicalisation and the one message filter of ebXML ([`Transform`]); RSA (PKCS #1
//! v1.5 and PSS; 2048 bits, or the 2032 of smart cards) and ECDSA with SHA-2. SHA-1 only where [`Rules::allow_sha1`] says so, and never in what is made here.
//! Refused whatever its value: other transforms (XSLT, free XPath, base64), HMAC, references that leave the document,
//! ids that occur twice. A `KeyValue` is ignored: a key counts by its certificate or not at all.
//!
//! Rules: W3C XML Signature 1.1, RFC 9231 (identifiers), spec messaging §5.2, eresept §3, documents §6.1.

mod algorithm;
mod error;
mod reference;
mod sign;
mod verify;

pub use algorithm::{Hash, SignatureMethod};
pub use error::DsigError;
pub use reference::{EBXML_ACTOR_FILTER, Transform};
pub use sign::{EcKey, Place, Request, SignError, SigningKey, Target, sign, sign_enveloped};
pub use verify::{External, Part, Rules, Signed, Signer, Verified, verify, verify_enveloped};

/// Namespace of XML signatures.
pub const NAMESPACE: &str = "http://www.w3.org/2000/09/xmldsig#";
