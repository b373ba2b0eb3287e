//! The SOAP envelope as a value.

mod read;
mod service;
mod write;

pub(crate) use read::references_of;
pub use read::{moment_us, read};
pub use service::{MessageStatus, Service, StatusResponse};
pub use write::write;

use crate::finding::Code;
use crate::names;

/// Why bytes are no ebXML message at all; the answer is a SOAP Fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotEbxml {
    /// Not XML, or refused by the reader.
    #[error("the SOAP part is not well-formed XML: {0}")]
    Xml(#[from] xmlsec::xml::XmlError),
    /// Another document.
    #[error("the SOAP part is not a SOAP 1.1 envelope with one header and one body")]
    NotSoap,
    /// A SOAP Fault, which is never answered.
    #[error("the SOAP part is a fault")]
    Fault(Fault),
    /// SOAP without message header.
    #[error("the envelope has no single eb:MessageHeader")]
    NoMessageHeader,
}

/// A SOAP Fault as received.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fault {
    /// `faultcode`, local part.
    pub code: String,
    /// `faultstring`, shortened.
    pub text: String,
}

/// A party id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartyId {
    /// `eb:type`; empty when absent.
    pub kind: String,
    /// Value, trimmed.
    pub value: String,
}

/// `eb:From` or `eb:To`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Party {
    /// Ids in the order written.
    pub ids: Vec<PartyId>,
    /// Role; empty when absent.
    pub role: String,
}

impl Party {
    /// A party by its HER-id.
    #[must_use]
    pub fn her(her_id: u32, role: &str) -> Self {
        Self {
            ids: vec![PartyId {
                kind: "HER".to_owned(),
                value: her_id.to_string(),
            }],
            role: role.to_owned(),
        }
    }

    /// The HER-id, when there is exactly one and it is a number.
    #[must_use]
    pub fn her_id(&self) -> Option<u32> {
        let mut ids = self.ids.iter().filter(|id| id.kind == "HER");
        let id = ids.next()?;
        let is_digits = !id.value.is_empty() && id.value.bytes().all(|b| b.is_ascii_digit());
        (ids.next().is_none() && is_digits)
            .then(|| id.value.parse().ok())
            .flatten()
            .filter(|her_id| *her_id > 0)
    }
}

/// `eb:MessageHeader`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageHeader {
    /// Sender.
    pub from: Party,
    /// Receiver.
    pub to: Party,
    /// Agreement.
    pub cpa_id: String,
    /// Conversation.
    pub conversation_id: String,
    /// `eb:type` of the service; empty when absent.
    pub service_type: String,
    /// Service.
    pub service: String,
    /// Action.
    pub action: String,
    /// Id of this message.
    pub message_id: String,
    /// When it was made, as written.
    pub timestamp: String,
    /// Message this one answers.
    pub ref_to_message_id: Option<String>,
    /// Until when it counts, as written.
    pub time_to_live: Option<String>,
    /// The receiver must not deliver it twice.
    pub duplicate_elimination: bool,
    /// JSON about the systems behind it (HITS 1210).
    pub description: Option<String>,
}

/// `eb:AckRequested`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AckRequested {
    /// The acknowledgment is to be signed.
    pub signed: bool,
    /// Actor, when given.
    pub actor: Option<String>,
}

/// One `ds:Reference` in an acknowledgment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AckReference {
    /// URI.
    pub uri: String,
    /// Digest as written (base64), white space removed.
    pub digest: String,
    /// The whole element with every namespace it needs.
    pub xml: String,
}

/// `eb:Acknowledgment`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acknowledgment {
    /// When the message was received, as written.
    pub timestamp: String,
    /// The message acknowledged.
    pub ref_to_message_id: String,
    /// Who acknowledges, when given.
    pub from: Vec<PartyId>,
    /// What was received.
    pub references: Vec<AckReference>,
}

/// Weight of an entry of an error list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The message counts as accepted.
    Warning,
    /// It does not.
    Error,
}

impl Severity {
    /// As written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "Warning",
            Self::Error => "Error",
        }
    }
}

/// One entry of an error list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorEntry {
    /// Code; [`Code::Unknown`] for one not known here.
    pub code: Code,
    /// Weight.
    pub severity: Severity,
    /// Place.
    pub location: Option<String>,
    /// For people.
    pub description: Option<String>,
}

/// `eb:ErrorList`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorList {
    /// Heaviest entry. An entry heavier than the attribute says counts.
    pub highest: Severity,
    /// Entries.
    pub errors: Vec<ErrorEntry>,
}

/// One `eb:Reference` of a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ManifestReference {
    /// `xlink:href`.
    pub href: String,
    /// `eb:Schema`: location (namespace) and version.
    pub schema: Option<(String, String)>,
}

/// What a message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A business message.
    Payload {
        /// Whether and how an acknowledgment is asked for.
        ack_requested: Option<AckRequested>,
        /// The sender waits for signals on the same connection (HTTP only).
        sync_reply: bool,
        /// Attachments.
        manifest: Vec<ManifestReference>,
    },
    /// Transport receipt.
    Acknowledgment(Acknowledgment),
    /// Errors.
    Error(ErrorList),
    /// Ping, Pong, StatusRequest, StatusResponse.
    Service(Service),
}

impl Kind {
    /// Whether it is a signal, which is never acknowledged.
    #[must_use]
    pub fn is_signal(&self) -> bool {
        !matches!(self, Self::Payload { .. })
    }
}

/// An envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Header.
    pub header: MessageHeader,
    /// What it is.
    pub kind: Kind,
}

impl Envelope {
    /// Service of signals.
    #[must_use]
    pub fn is_signal_service(&self) -> bool {
        self.header.service == names::SIGNAL_SERVICE
    }
}

#[cfg(test)]
mod tests;
