//! What travels on the bus: a document signed, encrypted and put into an envelope, and the way back
//! (spec/messaging.md §4.3-§4.5).

use crate::facts::{Facts, FactsError, Keys};
use amqp::port::{Message, MessageId, Properties};
use edi::apprec::AppRec;
use edi::errorqueue::{CONTENT_TYPE, ErrorCondition, TransportError, property, receiver_time};
use edi::xml::XmlDoc;
use jiff::Timestamp;
use std::sync::Arc;
use uuid::Uuid;
use xmlsec::asn1::Limits;
use xmlsec::cms;
use xmlsec::key::Identity;
use xmlsec::x509::{Certificate, RevocationPolicy, TrustStore, Usage};

/// Subject of application receipts.
pub const APPREC: &str = "APPREC";

/// Why a message could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ParcelError {
    /// An address or key is not there.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// It could not be signed or encrypted.
    #[error("not sealed: {0}")]
    Seal(#[from] cms::SealError),
}

/// A message ready to go: where to, and what.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// Queue.
    pub queue: String,
    /// Message.
    pub message: Message,
}

impl Parcel {
    /// The message-id as text.
    #[must_use]
    pub fn message_id(&self) -> String {
        let id = self.message.properties.message_id.as_ref();
        id.map(MessageId::as_text).unwrap_or_default()
    }
}

/// The envelope of a message: properties and application properties, no payload.
///
/// # Errors
/// [`FactsError::Missing`] for an unknown HER-id.
pub fn envelope(
    facts: &Facts,
    subject: &str,
    from: u32,
    to: u32,
    at: Timestamp,
) -> Result<Parcel, FactsError> {
    let receiver = facts.organisation_of(to)?;
    let sender = facts.organisation_of(from)?;
    let queue = format!("{}_async", receiver.her_id);
    let id = MessageId::String(Uuid::new_v4().to_string());
    let mut message = Message {
        properties: Properties {
            message_id: Some(id.clone()),
            to: Some(queue.clone()),
            subject: Some(subject.to_owned()),
            reply_to: Some(format!("{}_async", sender.her_id)),
            correlation_id: Some(id),
            content_type: Some(CONTENT_TYPE.to_owned()),
            ..Properties::default()
        },
        ..Message::default()
    };
    message.set_property("fromHerId", from.to_string());
    message.set_property("toHerId", to.to_string());
    message.set_property("applicationTimeStamp", stamp(at));
    Ok(Parcel { queue, message })
}

/// `yyyy-MM-ddTHH:mm:ssZ`.
fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Signs and encrypts a document for the receiver and puts it into an envelope.
///
/// # Errors
/// [`ParcelError`].
pub fn pack(
    facts: &Facts,
    signer: &Identity,
    subject: &str,
    (from, to): (u32, u32),
    at: Timestamp,
    xml: &str,
) -> Result<Parcel, ParcelError> {
    let mut parcel = envelope(facts, subject, from, to, at)?;
    if let Ok(document) = XmlDoc::parse(xml.as_bytes()) {
        for (name, value) in edi::metadata::properties(&document) {
            parcel.message.set_property(name, value);
        }
    }
    let recipient = facts.organisation_of(to)?.encryption_certificate()?;
    let real_now_s = Timestamp::now().as_second();
    let sealed = cms::seal(xml.as_bytes(), signer, &recipient, real_now_s)?;
    parcel.message.body = sealed.into();
    Ok(parcel)
}

/// An error message for the sender of `about` (§4.5). `None` when there is nobody to tell, or `about` is one itself.
#[must_use]
pub fn error_message(
    facts: &Facts,
    about: &Message,
    error: &TransportError,
    at: Timestamp,
) -> Option<Parcel> {
    if about.property(property::ERROR_CONDITION).is_some() {
        return None;
    }
    let her = |name: &str| about.property(name)?.parse::<u32>().ok();
    let (from, to) = (her("fromHerId")?, her("toHerId")?);
    let subject = about.properties.subject.as_deref().unwrap_or_default();
    let mut parcel = envelope(facts, subject, to, from, at).ok()?;
    let sender = facts.organisation_of(from).ok()?;
    parcel.queue = format!("{}_error", sender.her_id);
    parcel.message.properties.to = Some(parcel.queue.clone());
    parcel.message.properties.reply_to = None;
    parcel.message.properties.correlation_id = None;
    let id = about.properties.message_id.as_ref().map(MessageId::as_text);
    let mut set = |name: &str, value: String| parcel.message.set_property(name, value);
    set(property::ORIGINAL_MESSAGE_ID, id.unwrap_or_default());
    set(property::RECEIVER_TIME_STAMP, receiver_time(at));
    set(
        property::ERROR_CONDITION,
        error.condition.as_str().to_owned(),
    );
    set(property::ERROR_DESCRIPTION, error.description.clone());
    if let Some(data) = error.data_text() {
        set(property::ERROR_CONDITION_DATA, data);
    }
    Some(parcel)
}

/// Opens what others sent.
#[derive(Clone)]
pub struct Opener {
    facts: Arc<Facts>,
    trust: Arc<TrustStore>,
    keys: Arc<Keys>,
}

impl Opener {
    /// With the keys of one organisation.
    #[must_use]
    pub fn new(facts: Arc<Facts>, trust: Arc<TrustStore>, keys: Arc<Keys>) -> Self {
        Self { facts, trust, keys }
    }

    /// Decrypts, verifies, checks the signer. CPU-bound, some milliseconds.
    ///
    /// # Errors
    /// What goes to the sender's error queue.
    pub fn open(&self, message: &Message) -> Result<Vec<u8>, TransportError> {
        let refuse = |condition: &str, why: String| {
            let condition =
                ErrorCondition::parse(condition).unwrap_or(ErrorCondition::InvalidCertificate);
            TransportError::new(condition, why)
        };
        let keys = [self.keys.encryption.clone()];
        let opened = cms::open(&message.body, &keys, Limits::default())
            .map_err(|e| refuse(e.condition(), e.to_string()))?;
        let signer = opened.signer_certificate().ok_or_else(|| {
            TransportError::new(
                ErrorCondition::InvalidSignature,
                "the message is not signed",
            )
        })?;
        self.check_signer(message, signer, &opened.certificates)
            .map_err(|(condition, why)| refuse(condition, why))?;
        Ok(opened.content)
    }

    fn check_signer(
        &self,
        message: &Message,
        signer: &Certificate,
        others: &[Certificate],
    ) -> Result<(), (&'static str, String)> {
        let now_s = Timestamp::now().as_second();
        self.trust
            .check(
                signer,
                Usage::MessageSignature,
                others,
                now_s,
                RevocationPolicy::WhenKnown,
            )
            .map_err(|faults| (faults.condition(), faults.to_string()))?;
        let from = message.property("fromHerId");
        let from = from.and_then(|f| f.parse().ok()).unwrap_or_default();
        let sender = self.facts.organisation_of(from).ok();
        let expected = sender.map(|o| o.orgnr.as_str());
        if expected.is_some() && signer.organisation_number() == expected {
            return Ok(());
        }
        let why =
            format!("signed with a certificate of another organisation than that of HER-id {from}");
        Err((ErrorCondition::InvalidCertificate.as_str(), why))
    }
}

/// What a receipt says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// MsgId that it answers.
    pub original: String,
    /// Who answers, level 2.
    pub from: u32,
    /// 8258: `1` accepted, `2` rejected.
    pub status: String,
    /// Codes of list 8221 with the receiver's words.
    pub errors: Vec<(String, String)>,
}

impl Receipt {
    /// Reads a receipt out of a document.
    #[must_use]
    pub fn read(document: &XmlDoc, from: u32) -> Option<Self> {
        let receipt = AppRec::read_doc(document).ok()?;
        let errors = receipt.errors.iter().map(|e| {
            let words = e.other.clone().unwrap_or_default();
            (e.code().to_owned(), words)
        });
        Some(Self {
            original: receipt.original.id.clone(),
            from,
            status: receipt.status.code().to_owned(),
            errors: errors.collect(),
        })
    }

    /// Whether the message was accepted.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.status == "1"
    }
}

/// What came back on the error queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// message-id that failed.
    pub original_message_id: String,
    /// Condition, for example `transport:invalid-signature`.
    pub condition: String,
    /// In words.
    pub description: String,
    /// Further values.
    pub data: String,
}

impl Failure {
    /// Reads an error message; `None` when it is none.
    #[must_use]
    pub fn read(message: &Message) -> Option<Self> {
        let text = |name: &str| message.property(name).unwrap_or_default();
        Some(Self {
            condition: message.property(property::ERROR_CONDITION)?,
            original_message_id: text(property::ORIGINAL_MESSAGE_ID),
            description: text(property::ERROR_DESCRIPTION),
            data: text(property::ERROR_CONDITION_DATA),
        })
    }
}
