//! Keys and messages of the measurement, made before it; and the cryptography of one message alone.

use anyhow::{Context, Result, anyhow};
use ebxml::envelope::{AckRequested, Envelope, Kind, ManifestReference, MessageHeader, Party};
use ebxml::mime::{Headers, Limits};
use ebxml::package::{MailFields, Outgoing, Received, Via, encrypted_attachment};
use ebxml::payload::{self, Form};
use ebxml::{names, signal};
use std::path::Path;
use uuid::Uuid;
use xmlsec::dsig::Signer;
use xmlsec::key::Identity;
use xmlsec::pki::{DemoCa, Names, Purpose, RsaKey, Validity, pkcs12};
use xmlsec::x509::{Certificate, Crl};

/// The sending organisation and its service; the hub and its receiver.
pub const ORGANISATION: u32 = 9_000_000;
/// Its service.
pub const SERVICE: u32 = 9_000_001;
/// The hub.
pub const HUB: u32 = 8_900_000;
/// Its receiver.
pub const RECEIVER: u32 = 8_900_008;
/// Organisation number of the sender.
pub const ORGNR: &str = "315900239";
/// Organisation number of the hub.
pub const HUB_ORGNR: &str = "315900182";

const NAMES: [&str; 4] = [
    "sender-signing",
    "sender-encryption",
    "hub-signing",
    "hub-encryption",
];

/// Keys of both sides, and their authority.
pub struct Keys {
    /// The authority.
    pub ca: Certificate,
    /// Its list: nothing is revoked.
    pub crl: Crl,
    /// Of the sender.
    pub sender: (Identity, Identity),
    /// Of the hub.
    pub hub: (Identity, Identity),
}

impl Keys {
    /// Makes them, and writes them where the hub's process finds them.
    ///
    /// # Errors
    /// When they cannot be made or written.
    pub fn make(place: &Path) -> Result<Self> {
        let now_s = jiff::Timestamp::now().as_second();
        let ca = DemoCa::new("Bench authority", now_s)?;
        let crl = ca.crl(&[], 1, now_s - 60, now_s + 86_400)?;
        std::fs::write(place.join("ca.pem"), ca.certificate().to_pem())?;
        std::fs::write(place.join("crl.pem"), crl.to_pem())?;
        for (index, name) in NAMES.into_iter().enumerate() {
            let (purpose, number) = match index {
                0 => (Purpose::Signing, ORGNR),
                1 => (Purpose::Encryption, ORGNR),
                2 => (Purpose::Signing, HUB_ORGNR),
                _ => (Purpose::Encryption, HUB_ORGNR),
            };
            let holder = Names {
                name,
                organisation_number: number,
            };
            let validity = Validity::days_around(now_s, 1, 30);
            let made = ca.issue_organisation(&RsaKey::generate()?, holder, purpose, validity)?;
            std::fs::write(place.join(name), pkcs12::write(&made, &[], name, "")?)?;
        }
        Self::load(place)
    }

    /// Reads what [`Self::make`] has written.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn load(place: &Path) -> Result<Self> {
        let read = |name: &str| -> Result<Identity> {
            Ok(pkcs12::read(&std::fs::read(place.join(name))?, "")?.0)
        };
        let ca = Certificate::from_pem(&std::fs::read_to_string(place.join("ca.pem"))?)?;
        let crl = Crl::from_pem(&std::fs::read_to_string(place.join("crl.pem"))?, &ca)?;
        let [signing, encryption, hub_signing, hub_encryption] = NAMES;
        Ok(Self {
            ca,
            crl,
            sender: (read(signing)?, read(encryption)?),
            hub: (read(hub_signing)?, read(hub_encryption)?),
        })
    }
}

/// A message on its way.
#[derive(Clone)]
pub struct Message {
    /// `eb:MessageId`.
    pub id: String,
    /// `Content-Type` over HTTP.
    pub content_type: String,
    /// Body over HTTP.
    pub body: Vec<u8>,
    /// The whole mail.
    pub mail: Vec<u8>,
}

/// EDI address of an organisation.
pub fn address(organisation: u32) -> String {
    format!("edi@her{organisation}.example")
}

/// So many messages with documents of so many bytes, made on all processors.
///
/// # Errors
/// When one cannot be made.
pub fn messages(keys: &Keys, count: usize, bytes: usize, receipts: bool) -> Result<Vec<Message>> {
    let lanes = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = count.div_ceil(lanes);
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..lanes)
            .map(|lane| {
                let own = share.min(count.saturating_sub(lane * share));
                scope.spawn(move || {
                    (0..own)
                        .map(|_| message(keys, bytes, receipts))
                        .collect::<Result<Vec<_>>>()
                })
            })
            .collect();
        let mut all = Vec::with_capacity(count);
        for lane in lanes {
            all.extend(
                lane.join()
                    .map_err(|_| anyhow!("making messages failed"))??,
            );
        }
        Ok(all)
    })
}

fn message(keys: &Keys, bytes: usize, receipts: bool) -> Result<Message> {
    let id = Uuid::new_v4().to_string();
    let envelope = envelope(&id);
    let document = document(bytes, receipts);
    let sealed = payload::seal(document.as_bytes(), keys.hub.1.certificate(), Form::Mime)?;
    let attachment = encrypted_attachment("payload-1", sealed);
    let outgoing = Outgoing::sign(&envelope, vec![attachment], &keys.sender.0)?;
    let mail = outgoing.mail(&MailFields {
        from: &address(ORGANISATION),
        to: &address(HUB),
        subject: "DIALOG_NOTAT",
        message_id: &format!("{id}@bench.example"),
        in_reply_to: None,
        at_us: jiff::Timestamp::now().as_microsecond(),
    });
    Ok(Message {
        id,
        content_type: outgoing.content_type(),
        body: outgoing.http_body(),
        mail,
    })
}

fn envelope(id: &str) -> Envelope {
    Envelope {
        header: MessageHeader {
            from: Party::her(SERVICE, "DIALOG_NOTATsender"),
            to: Party::her(RECEIVER, "DIALOG_NOTATreceiver"),
            cpa_id: format!("{RECEIVER}_{SERVICE}"),
            conversation_id: id.to_owned(),
            service_type: "string".to_owned(),
            service: "S-DIALOG_NOTAT".to_owned(),
            action: "DIALOG_NOTAT".to_owned(),
            message_id: id.to_owned(),
            timestamp: signal::stamp(jiff::Timestamp::now().as_microsecond()),
            duplicate_elimination: true,
            ..MessageHeader::default()
        },
        kind: Kind::Payload {
            ack_requested: Some(AckRequested {
                signed: true,
                actor: Some(names::TO_PARTY_MSH.to_owned()),
            }),
            sync_reply: false,
            manifest: vec![ManifestReference {
                href: "cid:payload-1".to_owned(),
                schema: None,
            }],
        },
    }
}

/// A note of that many bytes, which no packing would make smaller.
fn document(bytes: usize, receipts: bool) -> String {
    let party = |her: u32, below: u32| {
        let ident = |her: u32| {
            format!(
                "<Ident><Id>{her}</Id><TypeId V=\"HER\" S=\"2.16.578.1.12.4.1.1.9051\" DN=\"HER-id\"/></Ident>"
            )
        };
        format!(
            "<Organisation><OrganisationName>Enhet</OrganisationName>{}<Organisation><OrganisationName>Tjeneste</OrganisationName>{}</Organisation></Organisation>",
            ident(her),
            ident(below)
        )
    };
    let head = format!(
        "<MsgHead xmlns=\"http://www.kith.no/xmlstds/msghead/2006-05-24\"><MsgInfo><Type V=\"DIALOG_NOTAT\" DN=\"Notat\"/>\
         <MIGversion>v1.2 2006-05-24</MIGversion><GenDate>{}</GenDate><MsgId>{}</MsgId><Ack V=\"{}\" DN=\"-\"/>\
         <Sender>{}</Sender><Receiver>{}</Receiver></MsgInfo>\
         <Document><RefDoc><MsgType V=\"XML\" DN=\"XML\"/><Content><Notat xmlns=\"urn:bench\">",
        signal::stamp(jiff::Timestamp::now().as_microsecond()),
        Uuid::new_v4(),
        if receipts { "J" } else { "N" },
        party(ORGANISATION, SERVICE),
        party(HUB, RECEIVER),
    );
    let tail = "</Notat></Content></RefDoc></Document></MsgHead>";
    let mut out = head;
    while out.len() + tail.len() < bytes {
        out.push_str(&Uuid::new_v4().simple().to_string());
    }
    out + tail
}

/// What taking a message costs in cryptography alone.
///
/// # Errors
/// When it is not a good message.
pub fn take(keys: &Keys, message: &Message) -> Result<()> {
    let headers = Headers::from_fields([
        ("Content-Type", message.content_type.as_str()),
        ("SOAPAction", "\"ebXML\""),
    ]);
    let received = Received::from_parts(&headers, &message.body, Via::Http, &Limits::default())?;
    let known = [keys.sender.0.certificate().clone()];
    let checked = received
        .check_signature(Signer::OneOf(&known))
        .map_err(|finding| anyhow!(finding.text))?;
    let attachment = received.attachments.first().context("no payload")?;
    payload::open(&attachment.content, std::slice::from_ref(&keys.hub.1))?;
    let header = &received.envelope.header;
    let signal = signal::acknowledgment(header, checked.references, &Uuid::new_v4().to_string(), 0);
    Outgoing::sign(&signal, Vec::new(), &keys.hub.0)?;
    Ok(())
}
