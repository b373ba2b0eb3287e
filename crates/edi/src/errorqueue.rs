//! Transport errors of the AMQP message bus: what goes to a sender's `_error` queue.
//!
//! Source: AMQP specification HITS 1216 and the Helsenorge.Messaging library (messaging.md §4.5).

use serde::Serialize;

/// The value of the application property `errorCondition`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum ErrorCondition {
    /// A header field is missing (the norm's code table).
    #[serde(rename = "transport:required-field-missing")]
    RequiredFieldMissing,
    /// A header field is malformed, a HER-id unknown, a reply queue absent or values do not agree.
    #[serde(rename = "transport:invalid-field-value")]
    InvalidFieldValue,
    /// The sender has no signing certificate in its profile.
    #[serde(rename = "transport:missing-certificate")]
    MissingCertificate,
    /// The certificate is not valid at this time.
    #[serde(rename = "transport:expired-certificate")]
    ExpiredCertificate,
    /// Wrong key usage, several faults, or another signer than the profile names.
    #[serde(rename = "transport:invalid-certificate")]
    InvalidCertificate,
    /// The certificate is revoked, or its status unknown.
    #[serde(rename = "transport:revoked-certificate")]
    RevokedCertificate,
    /// Revocation could not be asked for. Defined, but the message is retried instead.
    #[serde(rename = "transport:revoked-certificate-offline")]
    RevokedCertificateOffline,
    /// The certificate in the address register is empty or invalid.
    #[serde(rename = "transport:unverified-certificate")]
    UnverifiedCertificate,
    /// The body is not CMS.
    #[serde(rename = "transport:invalid-cms-pkcs")]
    InvalidCms,
    /// The body could not be decrypted with our keys.
    #[serde(rename = "transport:decryption-failed")]
    DecryptionFailed,
    /// The signature does not verify.
    #[serde(rename = "transport:invalid-signature")]
    InvalidSignature,
    /// The bytes are not in the declared character encoding.
    #[serde(rename = "transport:invalid-encoding")]
    InvalidEncoding,
    /// XML that cannot be interpreted.
    #[serde(rename = "transport:xml-not-interpretable")]
    XmlNotInterpretable,
    /// Not well-formed XML.
    #[serde(rename = "transport:not-well-formed-xml")]
    NotWellFormedXml,
    /// No such message function here, or a refused cipher.
    #[serde(rename = "transport:unsupported-message")]
    UnsupportedMessage,
    /// The receiver failed.
    #[serde(rename = "transport:internal-error")]
    InternalError,
    /// The sender in the body is not the sender in the header.
    #[serde(rename = "abuse:spoofing-attack")]
    SpoofingAttack,
}

impl ErrorCondition {
    /// Every condition.
    pub const ALL: [Self; 17] = [
        Self::RequiredFieldMissing,
        Self::InvalidFieldValue,
        Self::MissingCertificate,
        Self::ExpiredCertificate,
        Self::InvalidCertificate,
        Self::RevokedCertificate,
        Self::RevokedCertificateOffline,
        Self::UnverifiedCertificate,
        Self::InvalidCms,
        Self::DecryptionFailed,
        Self::InvalidSignature,
        Self::InvalidEncoding,
        Self::XmlNotInterpretable,
        Self::NotWellFormedXml,
        Self::UnsupportedMessage,
        Self::InternalError,
        Self::SpoofingAttack,
    ];

    /// The exact string on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequiredFieldMissing => "transport:required-field-missing",
            Self::InvalidFieldValue => "transport:invalid-field-value",
            Self::MissingCertificate => "transport:missing-certificate",
            Self::ExpiredCertificate => "transport:expired-certificate",
            Self::InvalidCertificate => "transport:invalid-certificate",
            Self::RevokedCertificate => "transport:revoked-certificate",
            Self::RevokedCertificateOffline => "transport:revoked-certificate-offline",
            Self::UnverifiedCertificate => "transport:unverified-certificate",
            Self::InvalidCms => "transport:invalid-cms-pkcs",
            Self::DecryptionFailed => "transport:decryption-failed",
            Self::InvalidSignature => "transport:invalid-signature",
            Self::InvalidEncoding => "transport:invalid-encoding",
            Self::XmlNotInterpretable => "transport:xml-not-interpretable",
            Self::NotWellFormedXml => "transport:not-well-formed-xml",
            Self::UnsupportedMessage => "transport:unsupported-message",
            Self::InternalError => "transport:internal-error",
            Self::SpoofingAttack => "abuse:spoofing-attack",
        }
    }

    /// Reads the string on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.as_str() == text)
    }

    /// Whether an operator must see it as a security event.
    pub fn is_abuse(self) -> bool {
        self == Self::SpoofingAttack
    }
}

impl std::fmt::Display for ErrorCondition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Names of the application properties of an error message.
pub mod property {
    /// message-id that failed.
    pub const ORIGINAL_MESSAGE_ID: &str = "originalMessageId";
    /// When it was received, see [`super::receiver_time`].
    pub const RECEIVER_TIME_STAMP: &str = "receiverTimeStamp";
    /// [`super::ErrorCondition::as_str`].
    pub const ERROR_CONDITION: &str = "errorCondition";
    /// Free text.
    pub const ERROR_DESCRIPTION: &str = "errorDescription";
    /// Extra values, each followed by `;`. Absent when none.
    pub const ERROR_CONDITION_DATA: &str = "errorConditionData";
}

/// content-type that an error message carries although its body is empty; without it clients answer with a new error.
pub const CONTENT_TYPE: &str = "application/pkcs7-mime; smime-type=signed-and-enveloped-data";

/// What an error message says. The envelope (new message-id, swapped HER-ids, same subject) is the sender's matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TransportError {
    /// What is wrong.
    pub condition: ErrorCondition,
    /// For a human; no person data.
    pub description: String,
    /// Names or values concerned, such as `toHerId`.
    pub data: Vec<String>,
}

impl TransportError {
    /// An error without data.
    pub fn new(condition: ErrorCondition, description: impl Into<String>) -> Self {
        Self {
            condition,
            description: description.into(),
            data: Vec::new(),
        }
    }

    /// `errorConditionData` as the client library writes it, or `None` when there is nothing to say.
    pub fn data_text(&self) -> Option<String> {
        (!self.data.is_empty()).then(|| self.data.iter().map(|d| format!("{d};")).collect())
    }
}

/// `receiverTimeStamp` in the library's format: `MM/dd/yyyy HH:mm:ss`, UTC.
pub fn receiver_time(at: jiff::Timestamp) -> String {
    at.strftime("%m/%d/%Y %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_the_ones_on_the_wire() {
        for c in ErrorCondition::ALL {
            assert_eq!(ErrorCondition::parse(c.as_str()), Some(c));
            assert_eq!(serde_json::to_value(c).unwrap(), c.as_str());
        }
        assert_eq!(ErrorCondition::parse("transport:nothing"), None);
    }

    #[test]
    fn data_and_time_look_like_the_librarys() {
        let mut e = TransportError::new(ErrorCondition::InvalidFieldValue, "x");
        assert_eq!(e.data_text(), None);
        e.data = vec!["toHerId".into(), "Label".into()];
        assert_eq!(e.data_text().as_deref(), Some("toHerId;Label;"));
        assert_eq!(
            receiver_time("2026-11-23T09:20:05Z".parse().unwrap()),
            "11/23/2026 09:20:05"
        );
    }
}
