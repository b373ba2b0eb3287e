use crate::asn1::Asn1Error;
use crate::key::KeyError;

/// Why a message could not be opened. No variant holds content or key material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CmsError {
    /// Not CMS at all, or a broken structure.
    #[error("the body is not CMS (RFC 5652): {0}")]
    NotCms(#[from] Asn1Error),
    /// CMS, but of another type than needed here.
    #[error("the body is CMS of type {found}, where {wanted} is needed")]
    UnexpectedType {
        /// Needed type.
        wanted: &'static str,
        /// OID found.
        found: String,
    },
    /// Larger than allowed.
    #[error("the message is larger than {max_bytes} bytes")]
    TooLarge {
        /// The limit.
        max_bytes: usize,
    },
    /// No recipient entry names a certificate of the receiver, or decryption failed. One answer for all causes.
    #[error(
        "the message could not be decrypted: it is encrypted for another certificate, or damaged, or does not hold a signed message"
    )]
    DecryptionFailed,
    /// A content cipher or key transport that is not accepted.
    #[error("the algorithm {oid} is not accepted: use AES-256-CBC with RSA key transport")]
    RefusedAlgorithm {
        /// OID found.
        oid: String,
    },
    /// No signer, or no content inside the signature.
    #[error("the message is not signed, or its content is not inside the signature")]
    NotSigned,
    /// The signer's certificate did not come along.
    #[error("the signer's certificate is not in the message")]
    MissingCertificate,
    /// A certificate in the message cannot be read.
    #[error("a certificate in the message cannot be read: {0}")]
    InvalidCertificate(String),
    /// A signature that does not hold.
    #[error("the signature is not valid: {0}")]
    InvalidSignature(String),
}

impl CmsError {
    /// The error condition of the AMQP profile (spec messaging §4.5).
    #[must_use]
    pub fn condition(&self) -> &'static str {
        match self {
            Self::NotCms(_) | Self::UnexpectedType { .. } | Self::TooLarge { .. } => {
                "transport:invalid-cms-pkcs"
            }
            Self::DecryptionFailed => "transport:decryption-failed",
            Self::RefusedAlgorithm { .. } => "transport:unsupported-message",
            Self::NotSigned | Self::InvalidSignature(_) => "transport:invalid-signature",
            Self::MissingCertificate => "transport:missing-certificate",
            Self::InvalidCertificate(_) => "transport:invalid-certificate",
        }
    }
}

/// Why a message could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The signer's key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A recipient whose certificate has no RSA key of 2048 to 8192 bits.
    #[error("the certificate of {subject} has no RSA key that messages can be encrypted for")]
    Recipient {
        /// Subject of the certificate.
        subject: String,
    },
    /// Nobody to encrypt for.
    #[error("no recipient")]
    NoRecipient,
    /// The crypto library refused.
    #[error("the message could not be encrypted")]
    Encryption,
}
