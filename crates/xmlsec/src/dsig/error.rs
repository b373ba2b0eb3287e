//! Why a signature is not accepted, one variant for each check.

use crate::c14n::C14nError;
use crate::x509::CertificateFaults;

/// A signature that is not accepted. No variant holds content of the document beyond an algorithm's identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DsigError {
    /// No `ds:Signature` where one must be.
    #[error("there is no signature where one must be")]
    Missing,
    /// More than one.
    #[error("there are several signatures where one must be")]
    Several,
    /// Not the structure of the schema.
    #[error("the signature is malformed: {0}")]
    Malformed(&'static str),
    /// An algorithm that is not accepted here.
    #[error("the {kind} {uri} is not accepted")]
    RefusedAlgorithm {
        /// `digest`, `signature method`, `canonicalisation` or `transform`.
        kind: &'static str,
        /// Identifier as sent, shortened.
        uri: String,
    },
    /// A reference that leads nowhere, to several places, or out of the document.
    #[error("reference {number}: {what}")]
    Reference {
        /// Place among the references, from 1.
        number: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// The content was changed after signing.
    #[error("the digest of reference {number} does not match: what it signs was changed")]
    Digest {
        /// Place among the references, from 1.
        number: usize,
    },
    /// `SignedInfo` was changed, or another key signed.
    #[error("the signature value does not match the signed information and the key")]
    Mismatch,
    /// A key too short, or of another kind than the signature method needs.
    #[error(
        "the key of the signer's certificate is too short, or does not fit the signature method"
    )]
    UnusableKey,
    /// No certificate to check with.
    #[error("the signature does not say who made it: there is no certificate with it")]
    NoCertificate,
    /// A certificate that cannot be read.
    #[error("a certificate in the signature cannot be read")]
    UnreadableCertificate,
    /// Signed with another certificate than those expected.
    #[error("the certificate in the signature is not the signer's")]
    OtherCertificate,
    /// A certificate that does not count.
    #[error("the signer's certificate does not count: {0}")]
    Certificate(CertificateFaults),
    /// The signature is valid, but for something else than what is to be read.
    #[error("the signature does not cover the element it stands in")]
    NotCovered,
    /// No canonical form.
    #[error(transparent)]
    C14n(#[from] C14nError),
}

impl DsigError {
    pub(super) fn refused(kind: &'static str, uri: &str) -> Self {
        let shown = uri.chars().take(120);
        Self::RefusedAlgorithm {
            kind,
            uri: shown
                .map(|c| if c.is_ascii_graphic() { c } else { '?' })
                .collect(),
        }
    }
}
