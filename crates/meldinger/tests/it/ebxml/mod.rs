//! ebXML over mail and HTTP: what goes in, what comes back, what the tracks say.

mod api;
mod between;
mod hostile;
mod http;
mod own;
mod refused;
mod services;

use std::sync::Arc;

use bytes::Bytes;
use ebxml::envelope::{AckRequested, Envelope, Kind, ManifestReference, MessageHeader, Party};
use ebxml::mime::Limits;
use ebxml::package::{MailFields, Outgoing, Received, encrypted_attachment};
use ebxml::{names, payload, signal};
use mail::port::{Delivered, Post as _};
use meldinger::edge::ebxml::{MessageHandler, PostOffice};
use xmlsec::key::Identity;

use crate::world::{self, EPJ, EPJ_SERVICE, GP, HOSPITAL, HUB, PKI, RESULTS, World, new_id};

/// An agreement of the EPJ's service and the results receiver that holds, one that is over, one of others.
pub const AGREED: &str = "0b8a1f4e-0000-4000-8000-000000000001";
pub const OVER: &str = "0b8a1f4e-0000-4000-8000-000000000002";
pub const OF_OTHERS: &str = "0b8a1f4e-0000-4000-8000-000000000003";

fn agreement(id: &str) -> Option<edi::check::AgreementFacts> {
    let day_s = 86_400;
    let (her_ids, end_s) = match id {
        AGREED => ([RESULTS, EPJ_SERVICE], PKI.now_s + day_s),
        OVER => ([RESULTS, EPJ_SERVICE], PKI.now_s - day_s),
        OF_OTHERS => ([HOSPITAL, GP], PKI.now_s + day_s),
        _ => return None,
    };
    Some(edi::check::AgreementFacts {
        her_ids,
        start_s: PKI.now_s - 10 * day_s,
        end_s,
    })
}

pub fn address(organisation: u32) -> String {
    format!("edi@her{organisation}.example")
}

/// A hub with its post office.
pub struct Exchange {
    pub world: World,
    pub handler: MessageHandler,
    pub office: PostOffice,
}

pub async fn exchange() -> Exchange {
    exchange_with(|_| {}).await
}

pub async fn exchange_with(
    change: impl FnOnce(&mut meldinger::Parts) + Send + 'static,
) -> Exchange {
    let world = world::world_with(change).await;
    let agreements: meldinger::edge::ebxml::Agreements = Arc::new(agreement);
    let exchange = world.exchange.clone();
    let handler = MessageHandler::new(exchange, "hub.example", Some(agreements));
    Exchange {
        office: PostOffice::new(handler.clone()),
        handler,
        world,
    }
}

impl Exchange {
    pub async fn deliver(&self, to: u32, mail: &[u8]) -> Delivered {
        let mail = Bytes::copy_from_slice(mail);
        self.office.deliver(None, "", &address(to), mail).await
    }

    /// Fetches and removes everything in a mailbox.
    pub async fn fetch(&self, user: &str) -> Vec<Bytes> {
        let who = mail::port::Identity {
            user: user.to_owned(),
        };
        let letters = self.office.open(&who).await;
        let removed = letters.iter().map(|one| (one.id, one.token)).collect();
        assert!(self.office.close(removed, Vec::new()).await);
        letters.into_iter().map(|letter| letter.mail).collect()
    }

    /// The one mail in a mailbox.
    pub async fn only(&self, user: &str) -> Received {
        let mut mails = self.fetch(user).await;
        assert_eq!(mails.len(), 1, "mails of {user}");
        read(&mails.remove(0))
    }

    pub fn send_due(&self) -> usize {
        tokio::task::block_in_place(|| self.handler.send_due().unwrap())
    }

    pub fn track(&self, transport_id: &str) -> meldinger::rules::track::Track {
        let found = self
            .world
            .view(|exchange| exchange.by_transport_id(transport_id).unwrap());
        assert_eq!(found.len(), 1);
        found.into_iter().next().unwrap()
    }
}

pub fn read(mail: &[u8]) -> Received {
    Received::from_mail(mail, &Limits::default()).unwrap()
}

/// A message as the tests change it.
pub struct Draft {
    pub envelope: Envelope,
    pub content: Vec<u8>,
    pub signer: &'static Identity,
    pub recipient: &'static Identity,
    pub form: payload::Form,
    pub from: String,
    pub to: String,
}

impl Draft {
    /// A note from the EPJ's service to the hub's results receiver.
    pub fn note() -> Self {
        let msg_id = new_id();
        Self {
            envelope: envelope(EPJ_SERVICE, RESULTS, "DIALOG_NOTAT"),
            content: world::document(&msg_id, "hei").into_bytes(),
            signer: &PKI.epj.signing,
            recipient: &PKI.hub.encryption,
            form: payload::Form::Mime,
            from: address(EPJ),
            to: address(HUB),
        }
    }

    /// The same from the EPJ's service to the hospital's.
    pub fn between() -> Self {
        let to = world::HEART;
        let content = world::document_between(&new_id(), "hei", (EPJ, EPJ_SERVICE), (HOSPITAL, to));
        Self {
            envelope: envelope(EPJ_SERVICE, to, "DIALOG_NOTAT"),
            content: content.into_bytes(),
            recipient: &PKI.hospital.encryption,
            to: address(HOSPITAL),
            ..Self::note()
        }
    }

    pub fn id(&self) -> &str {
        &self.envelope.header.message_id
    }

    pub fn outgoing(&self) -> Outgoing {
        let sealed = payload::seal(&self.content, self.recipient.certificate(), self.form).unwrap();
        let attachment = encrypted_attachment("payload-1", sealed);
        Outgoing::sign(&self.envelope, vec![attachment], self.signer).unwrap()
    }

    pub fn mail_of(&self, outgoing: &Outgoing) -> Vec<u8> {
        outgoing.mail(&MailFields {
            from: &self.from,
            to: &self.to,
            subject: "DIALOG_NOTAT",
            message_id: &format!("{}@epj.example", new_id()),
            in_reply_to: None,
            at_us: PKI.now_s * 1_000_000,
        })
    }

    pub fn mail(&self) -> Vec<u8> {
        self.mail_of(&self.outgoing())
    }
}

pub fn envelope(from: u32, to: u32, function: &str) -> Envelope {
    Envelope {
        header: MessageHeader {
            from: Party::her(from, &format!("{function}sender")),
            to: Party::her(to, &format!("{function}receiver")),
            cpa_id: format!("{}_{}", from.min(to), from.max(to)),
            conversation_id: new_id(),
            service_type: "string".to_owned(),
            service: format!("S-{function}"),
            action: function.to_owned(),
            message_id: new_id(),
            timestamp: signal::stamp(PKI.now_s * 1_000_000),
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

/// The acknowledgment of a message by whom `signer` belongs to, as mail to the sender.
pub fn acknowledgment(received: &Received, signer: &Identity, from: u32, to: u32) -> Vec<u8> {
    let checked = received
        .check_signature(xmlsec::dsig::Signer::Carried)
        .unwrap();
    let header = &received.envelope.header;
    let signal =
        signal::acknowledgment(header, checked.references, &new_id(), PKI.now_s * 1_000_000);
    signal_mail(&signal, signer, from, to)
}

pub fn signal_mail(signal: &Envelope, signer: &Identity, from: u32, to: u32) -> Vec<u8> {
    let signed = Outgoing::sign(signal, Vec::new(), signer).unwrap();
    signed.mail(&MailFields {
        from: &address(from),
        to: &address(to),
        subject: "signal",
        message_id: &format!("{}@x.example", new_id()),
        in_reply_to: None,
        at_us: PKI.now_s * 1_000_000,
    })
}
