//! How a service takes in messages addressed to the hub: a small trait, so that the message exchange and the services
//! that project messages into records need not know each other.
//!
//! The exchange opens and checks the envelope; the service answers with values: what to commit, what to answer. The
//! exchange then commits the service's part, the answer, the settlement and the tracking as one commit.

use bytes::Bytes;
use edi::errorqueue::TransportError;
use store::{Commit, MicrosUtc, Snapshot, StoreError};

/// A message whose envelope is in order: decrypted, signature and certificate checked.
#[derive(Clone, Debug)]
pub struct OpenedMessage {
    /// Transport message id.
    pub transport_id: String,
    /// HER-id of the sender, checked against the logged-in party.
    pub from_her_id: u32,
    /// HER-id of the receiver: the hub-run party.
    pub to_her_id: u32,
    /// Message function (`SVAR_LAB`, `EPIKRISE`, …).
    pub subject: String,
    /// The signed content, byte for byte.
    pub content: Bytes,
    /// Organisation number in the signing certificate.
    pub signer_orgnr: Option<String>,
    /// When the hub took it, real clock.
    pub received_at: MicrosUtc,
    /// Now on the rules' clock.
    pub now: MicrosUtc,
}

/// What a service makes of a message.
#[derive(Clone, Debug, Default)]
pub struct Intake {
    /// MsgId of the content. The exchange lets a MsgId in once per receiver: the same bytes again are dropped without a
    /// second answer (B24), other bytes are refused with an alert (B25).
    pub msg_id: Option<String>,
    /// The service's part of the commit: records, claims, blobs, raised epochs, audit. Empty for a refused message.
    pub commit: Commit,
    /// The AppRec to send back, as XML; the exchange seals it for the sender.
    pub receipt: Option<Bytes>,
    /// AppRec status of `receipt`: 1 approved, 2 rejected, 3 approved with remarks. For tracking.
    pub receipt_status: Option<u8>,
    /// A fault of the transport layer: answered on the sender's error queue instead of by a receipt.
    pub transport_error: Option<TransportError>,
    /// What an operator should know; no names, no national ids.
    pub notes: Vec<Note>,
}

/// A remark for tracking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Code: AppRec error code (`E31`), warning code or `security`.
    pub code: String,
    /// One sentence in Norwegian.
    pub text_nb: String,
    /// The same in English.
    pub text_en: String,
    /// A security event (spoofing, entity attack).
    pub is_security: bool,
}

/// A hub-run receiver of messages. Blocking; called outside async tasks.
pub trait Receiver: Send + Sync {
    /// HER-id it answers for.
    fn her_id(&self) -> u32;
    /// Name in tracking and metrics (`provesvar`, `dokumenter`).
    fn name(&self) -> &'static str;
    /// Takes one message in. Pure against the snapshot: called again when the commit is refused because the world moved.
    fn receive(&self, snapshot: &Snapshot, message: &OpenedMessage) -> Result<Intake, StoreError>;
}
