//! How a service takes in messages addressed to the hub: a small trait, so that the message exchange and the services
//! that project messages into records need not know each other.
//!
//! The exchange opens and checks the envelope; the service answers with values: what to commit, what to answer. The
//! exchange then commits the service's part, the answer, the settlement and the tracking as one commit.

use bytes::Bytes;
use codes::ident::Nin;
use edi::apprec::{AppRec, ErrorCode, Status};
use edi::check::{Checked, Envelope, Finding, Lookups, Options, Rule, Severity, Transport, Verdict};
use edi::errorqueue::TransportError;
use edi::message::{Endpoint, Header, MessageKind, PartyId};
use edi::value::Coded;
use registers::Directory;
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

/// Register look-ups for the content rules.
pub struct RegisterLookups<'d>(pub &'d dyn Directory);

impl Lookups for RegisterLookups<'_> {
    fn person_exists(&self, id: &Nin) -> Option<bool> {
        Some(self.0.person(id.as_str()).is_some())
    }

    fn party_exists(&self, her_id: u32) -> Option<bool> {
        Some(self.0.party(her_id).is_some())
    }
}

/// Runs the content rules on an opened message. `Ok`: go on and project it. `Err`: the finished refusal, with the answer
/// that the first broken rule demands (spec/story.md §7).
pub fn check(
    directory: &dyn Directory,
    message: &OpenedMessage,
    accepts: &[MessageKind],
) -> Result<(Checked, Header), Box<Intake>> {
    let lookups = RegisterLookups(directory);
    let options = Options {
        lookups: &lookups,
        envelope: Some(Envelope { from_her_id: message.from_her_id, to_her_id: message.to_her_id }),
        accepts: Some(accepts),
        now: jiff::Timestamp::from_microsecond(message.now).ok(),
        ..Options::default()
    };
    let checked = edi::check::run(&message.content, &options);
    let verdict = checked.verdict(Transport::Amqp);
    let header = checked.header.clone();
    let notes = notes(&checked.findings);
    let msg_id = header.as_ref().map(|h| h.msg_id.clone());
    let refused = |receipt: Option<Bytes>, transport_error: Option<TransportError>, notes: Vec<Note>| {
        Box::new(Intake {
            msg_id: msg_id.clone(),
            receipt_status: receipt.as_ref().map(|_| 2),
            receipt,
            transport_error,
            notes,
            commit: Commit::default(),
        })
    };
    match (verdict, header) {
        (Verdict::Accept { .. }, Some(header)) => Ok((checked, header)),
        (Verdict::Reject { errors, .. }, Some(header)) => {
            let receipt = receipt(directory, message, &header, Status::Rejected, errors);
            Err(refused(Some(receipt), None, notes))
        }
        // An entity attack is answered by T01 although nothing could be read: the addresses are the envelope's (B35).
        (Verdict::TransportError { rule: Rule::NoDoctype, error, .. }, _) => {
            let header = header_of_envelope(directory, message);
            let errors = vec![ErrorCode::T01.error(&error.description)];
            let mut notes = notes;
            notes.iter_mut().for_each(|n| n.is_security = true);
            Err(refused(Some(receipt(directory, message, &header, Status::Rejected, errors)), None, notes))
        }
        (Verdict::TransportError { error, security_event, .. }, _) => {
            let mut notes = notes;
            notes.iter_mut().for_each(|n| n.is_security |= security_event);
            Err(refused(None, Some(error), notes))
        }
        (Verdict::Drop { .. }, _) => Err(refused(None, None, notes)),
        (Verdict::Reject { errors, .. }, None) => {
            let header = header_of_envelope(directory, message);
            Err(refused(Some(receipt(directory, message, &header, Status::Rejected, errors)), None, notes))
        }
        (Verdict::Accept { .. } | Verdict::NotOpened, _) => {
            let header = header_of_envelope(directory, message);
            let errors = vec![ErrorCode::T10.error("Meldingen er av en type som ikke tas imot her.")];
            Err(refused(Some(receipt(directory, message, &header, Status::Rejected, errors)), None, notes))
        }
    }
}

/// An AppRec for a message, as XML. The receiver's own address is taken from the register.
pub fn receipt(
    directory: &dyn Directory,
    message: &OpenedMessage,
    header: &Header,
    status: Status,
    errors: Vec<Coded>,
) -> Bytes {
    let now = jiff::Timestamp::from_microsecond(message.now).unwrap_or_default();
    let me = endpoint(directory, message.to_her_id);
    let id = uuid::Uuid::now_v7().to_string();
    Bytes::from(AppRec::answer(header, status, errors, &id, now, &me).to_xml())
}

/// Whether the sender wants a positive receipt (7304: `J` yes, `F` only on error, `N` no); by default yes.
pub fn wants_receipt(header: &Header) -> bool {
    !matches!(header.ack.as_deref(), Some("N" | "F"))
}

/// Warnings and remarks of a check as notes for tracking.
pub fn notes(findings: &[Finding]) -> Vec<Note> {
    findings
        .iter()
        .filter(|f| f.severity != Severity::Info)
        .map(|f| Note {
            code: f.code.map_or_else(|| f.rule.clone(), str::to_owned),
            text_nb: with_place(&f.text_nb, "linje", f),
            text_en: with_place(&f.text_en, "line", f),
            is_security: false,
        })
        .collect()
}

fn with_place(text: &str, line: &str, finding: &Finding) -> String {
    if finding.line == 0 { text.to_owned() } else { format!("{text} ({line} {}, {})", finding.line, finding.element) }
}

/// A party as the head of a message names it: level 1, and the service or person below it.
pub fn endpoint(directory: &dyn Directory, her_id: u32) -> Endpoint {
    let named = |name: &str, her_id: u32| PartyId {
        name: name.to_owned(),
        ids: vec![("HER".to_owned(), her_id.to_string())],
        ..PartyId::default()
    };
    let Some(party) = directory.party(her_id) else {
        return Endpoint { organisation: named("", her_id), ..Endpoint::default() };
    };
    match party.parent_her_id.and_then(|parent| directory.party(parent)) {
        None => Endpoint { organisation: named(&party.name, her_id), ..Endpoint::default() },
        Some(parent) => Endpoint {
            organisation: named(&parent.name, parent.her_id),
            unit: Some(named(&party.name, her_id)),
            ..Endpoint::default()
        },
    }
}

fn header_of_envelope(directory: &dyn Directory, message: &OpenedMessage) -> Header {
    Header {
        document_type: Some(Coded { value: Some(message.subject.clone()), ..Coded::default() }),
        msg_id: message.transport_id.clone(),
        sender: endpoint(directory, message.from_her_id),
        receiver: endpoint(directory, message.to_her_id),
        ..Header::default()
    }
}
