//! Whole messages: our own, official samples, foreign tools, and what an attacker would make of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod foreign;
mod made;
mod samples;
mod variants;
mod wrapping;

use std::sync::LazyLock;

use ebxml::envelope::{AckRequested, Envelope, Kind, ManifestReference, MessageHeader, Party};
use ebxml::package::{MailFields, Outgoing, Received, encrypted_attachment};
use ebxml::{mime, names, payload};
use xmlsec::key::Identity;
use xmlsec::pki::{DemoCa, Names, Purpose, RsaKey, Validity};

/// 2026-11-23T08:00:00Z.
pub const NOW_US: i64 = 1_795_420_800_000_000;
pub const DOCUMENT: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Message xmlns=\"urn:test\"><Navn>Åse</Navn></Message>";

pub struct World {
    pub sender: Identity,
    pub receiver: Identity,
    pub stranger: Identity,
}

pub static WORLD: LazyLock<World> = LazyLock::new(|| {
    let now_s = NOW_US / 1_000_000;
    let ca = DemoCa::new("Test authority", now_s).unwrap();
    let issue = |name, purpose| {
        let names = Names {
            name,
            organisation_number: "315900239",
        };
        let valid = Validity::days_around(now_s, 200, 900);
        ca.issue_organisation(&RsaKey::generate().unwrap(), names, purpose, valid)
            .unwrap()
    };
    World {
        sender: issue("Sender AS", Purpose::Signing),
        receiver: issue("Mottaker AS", Purpose::Encryption),
        stranger: issue("Stranger AS", Purpose::Signing),
    }
});

pub fn letter() -> Envelope {
    Envelope {
        header: MessageHeader {
            from: Party::her(8_900_901, "EPIKRISEsender"),
            to: Party::her(8_900_009, "EPIKRISEreceiver"),
            cpa_id: "8900009_8900901".to_owned(),
            conversation_id: "b6bbd462-a3a8-4483-8440-222e6e6977ce".to_owned(),
            service_type: "string".to_owned(),
            service: "S-EPIKRISE".to_owned(),
            action: "EPIKRISE".to_owned(),
            message_id: "d237e310-796f-4e56-a50b-353b0e5d5947".to_owned(),
            timestamp: "2026-11-23T08:00:00Z".to_owned(),
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
                schema: Some(("urn:test".to_owned(), "1.0".to_owned())),
            }],
        },
    }
}

pub fn sealed(form: payload::Form) -> Vec<u8> {
    payload::seal(DOCUMENT.as_bytes(), WORLD.receiver.certificate(), form).unwrap()
}

pub fn outgoing() -> Outgoing {
    let attachment = encrypted_attachment("payload-1", sealed(payload::Form::Mime));
    Outgoing::sign(&letter(), vec![attachment], &WORLD.sender).unwrap()
}

pub fn fields() -> MailFields<'static> {
    MailFields {
        from: "sender@edi.example",
        to: "receiver@edi.example",
        subject: "EPIKRISE",
        message_id: "mail-1@edi.example",
        in_reply_to: None,
        at_us: NOW_US,
    }
}

pub fn read(mail: &[u8]) -> Received {
    Received::from_mail(mail, &mime::Limits::default()).unwrap()
}
