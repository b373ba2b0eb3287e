//! The receipts of hub-run receivers: made, sealed where the road asks for it, and sent back on the road the message came by.

use bytes::Bytes;
use edi::apprec::{AppRec, Status, Version};
use edi::message::{Endpoint, Header, PartyId, identify_doc};
use edi::value::Coded;
use registers::directory::Party;
use store::Enqueue;
use uuid::Uuid;
use xmlsec::x509::Certificate;

use crate::exchange::Exchange;
use crate::port::{Road, Transport};
use crate::receivers::{Desk, OpenedMessage};
use crate::reply::{ReceiptEnvelope, moment, receipt_message};
use crate::rules::envelope::APPREC;
use crate::rules::queue::{QueueKind, QueueName};
use crate::rules::track::{Counted, StepKind, Track};
use crate::tracks::hex;

/// What goes with the track of a receipt.
pub(crate) enum Sent {
    /// A row in the sender's queue.
    Queued(Enqueue),
    /// The document, which the track refers to.
    Kept(Bytes),
}

impl Desk {
    /// The receipt's track, and what goes with it. It takes the road on which the message came.
    pub(crate) fn receipt(
        &self,
        original: &Track,
        opened: &OpenedMessage,
        status: Status,
        errors: Vec<Coded>,
        now: i64,
    ) -> Result<(Track, Sent), String> {
        let me = self
            .exchange
            .endpoint(opened.to)
            .ok_or("the receiver is not in the address register")?;
        let id = Uuid::new_v4().to_string();
        let codes: Vec<String> = errors.iter().map(|error| error.code().to_owned()).collect();
        let version = Version::for_message(&identify_doc(&opened.document));
        let xml = AppRec::answer(&opened.header, status, errors, &id, moment(now), &me)
            .in_version(version)
            .to_xml();
        let mut track = Track {
            id: Uuid::now_v7().to_string(),
            transport: Transport::Hub,
            road: original.transport.road_back(),
            subject: APPREC.to_owned(),
            from: opened.to,
            from_organisation: self.exchange.inner.config.hub_her_id,
            to: opened.from,
            to_organisation: opened.from_organisation,
            received_at_us: now,
            sent_at_us: now,
            about: Some(original.id.clone()),
            ..Track::default()
        };
        let what = StepKind::ReceiptSent {
            status: status.code().to_owned(),
            codes,
        };
        track.step(now, what, "");
        track.count(Counted::Message, now, &[]);
        let sent = match track.road {
            Road::Api | Road::Handler => {
                let document = Bytes::from(xml);
                track.original = Some(hex(&store::sha256(&document)));
                track.content_type = "application/xml".to_owned();
                track.bytes = document.len() as u64;
                track.message_id = Uuid::new_v4().to_string();
                track.cpa_id.clone_from(&original.cpa_id);
                track.conversation.clone_from(&original.conversation);
                if track.road == Road::Api {
                    track.is_unread = true;
                    track.queue = format!("api:{}", track.to);
                } else {
                    track.next_attempt_us = Some(now);
                    track.queue = "handler".to_owned();
                }
                Sent::Kept(document)
            }
            Road::Bus | Road::Mail | Road::Hub => {
                Sent::Queued(self.seal_receipt(&mut track, opened, &id, &xml, now)?)
            }
        };
        track.msg_id = Some(id);
        let queue = track.queue.clone();
        track.step(now, StepKind::Queued { queue }, "");
        Ok((track, sent))
    }

    /// The receipt as message on the bus, signed and sealed for the sender.
    fn seal_receipt(
        &self,
        track: &mut Track,
        opened: &OpenedMessage,
        id: &str,
        xml: &str,
        now: i64,
    ) -> Result<Enqueue, String> {
        let sender = self
            .exchange
            .inner
            .directory
            .party(opened.from)
            .ok_or("the sender is no longer in the address register")?;
        let certificate = sender
            .encryption_certificate
            .as_deref()
            .ok_or("the sender has no encryption certificate in the address register")?;
        let certificate = Certificate::from_der(certificate).map_err(|error| error.to_string())?;
        let keys = self
            .exchange
            .inner
            .keys
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone();
        let real_now_s = self.exchange.real_now_us() / 1_000_000;
        let sealed = xmlsec::cms::seal(xml.as_bytes(), &keys.signing, &certificate, real_now_s)
            .map_err(|error| error.to_string())?;
        let envelope = ReceiptEnvelope {
            from: opened.to,
            from_organisation: track.from_organisation,
            to: opened.from,
            to_organisation: opened.from_organisation,
            msg_id: id,
            original_msg_id: &opened.header.msg_id,
            original_type: opened
                .header
                .document_type
                .as_ref()
                .map_or(opened.subject.as_str(), Coded::code),
        };
        let message = receipt_message(&envelope, sealed, now);
        let queue = QueueName::new(opened.from_organisation, QueueKind::Async);
        track.queue = queue.to_string();
        track.message_id = message
            .properties
            .message_id
            .as_ref()
            .map(amqp::port::MessageId::as_text)
            .unwrap_or_default();
        track.content_type = message.properties.content_type.clone().unwrap_or_default();
        track.bytes = message.body.len() as u64;
        let enqueue = self
            .exchange
            .enqueue(&queue.store_name(), Some(&track.id), &message, None)
            .map_err(|error| error.to_string())?
            .0;
        enqueue.ok_or_else(|| "the receipt's envelope is too large".to_owned())
    }
}

impl Exchange {
    /// A party as the address register has it, as sender of receipts.
    pub(crate) fn endpoint(&self, her_id: u32) -> Option<Endpoint> {
        let directory = &self.inner.directory;
        let party = directory.party(her_id)?;
        let ids = |party: &Party, with_orgnr: bool| {
            let mut ids = vec![("HER".to_owned(), party.her_id.to_string())];
            if with_orgnr {
                ids.push(("ENH".to_owned(), party.orgnr.clone()));
            }
            ids
        };
        let named = |party: &Party, with_orgnr| PartyId {
            name: party.name.clone(),
            ids: ids(party, with_orgnr),
            ..PartyId::default()
        };
        Some(
            match party
                .parent_her_id
                .and_then(|parent| directory.party(parent))
            {
                Some(parent) => Endpoint {
                    organisation: named(&parent, true),
                    unit: Some(named(&party, false)),
                    person: None,
                },
                None => Endpoint {
                    organisation: named(&party, true),
                    ..Endpoint::default()
                },
            },
        )
    }
}

/// 7304: `N` wants none, `F` only a negative one; without a word the sector's norm is `J`.
pub(crate) fn wants_receipt(header: &Header, status: Status) -> bool {
    match header.ack.as_deref() {
        Some("N") => false,
        Some("F") => status != Status::Ok,
        _ => true,
    }
}

pub(crate) fn codes_of(receipt: &Track) -> Vec<String> {
    let sent = receipt.steps.iter().find_map(|step| match &step.what {
        StepKind::ReceiptSent { codes, .. } => Some(codes.clone()),
        _ => None,
    });
    sent.unwrap_or_default()
}
