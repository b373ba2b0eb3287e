//! Message security: CMS (signed and enveloped data), canonical XML and XML signatures, SAML assertions, X.509
//! certificates, revocation lists, PKCS #12, and the demonstration certificate authority.
//!
//! **Deliberately unknown here:** what a message means, who may send it, where keys are stored, and
//! what time it is (every check takes the time as an argument).
//!
//! **Read first:** [`x509::Certificate`], [`x509::TrustStore`], [`key::Identity`], [`cms::seal`],
//! [`cms::open`], [`cms::CmsError::condition`], [`pki::DemoCa`]; for XML [`xml::Document`],
//! [`dsig::verify_enveloped`], [`dsig::sign_enveloped`], [`saml::verify`], [`saml::issue`].
//!
//! **Invariants**
//! - What comes from the network is bounded in size, depth and number of parts ([`asn1::Limits`]).
//! - A signature is checked over the bytes that came, never over a re-encoding of our own reading,
//!   except that BER framing is first normalised to DER (RFC 5652 §5.4 signs the DER form).
//! - Every failure of decryption looks the same from outside (RFC 3218, CBC padding oracles).
//! - No private key, content or decrypted byte stands in an error or in `Debug` output.
//!
//! **Rules from:** RFC 5652 (CMS), RFC 3370, RFC 3560 (OAEP), RFC 3565 (AES), RFC 5754 (SHA-2), RFC 5280
//! (certificates and CRLs), RFC 7292 (PKCS #12), RFC 8018 (PBES2), and the national AMQP profile
//! (HITS 1216) for which ciphers and key usages count.
//!
//! XML: Canonical XML 1.0, Exclusive XML Canonicalization 1.0, XML Signature 1.1, SAML 2.0 core; each module says
//! which of it exists.

pub mod asn1;
pub mod c14n;
pub mod cms;
pub mod dsig;
pub mod key;
pub mod pem;
pub mod pki;
pub mod saml;
pub mod x509;
pub mod xml;

mod algorithm;
mod oid;

pub use asn1::Asn1Error;
