//! Taking a message: passing it on, or judging, keeping and answering it in one commit.

use bytes::Bytes;
use ebxml::envelope::{AckReference, Envelope, Kind as EbKind, moment_us};
use ebxml::finding::{Code, Finding, Level};
use ebxml::msh::{self, Answer, Outcome};
use ebxml::package::{MailFacts, Outgoing, Received, Unreadable, Via};
use ebxml::payload::Form;
use ebxml::signal::{self, FaultCode};
use edi::apprec::AppRec;
use edi::errorqueue::{ErrorCondition, TransportError};
use mail::port::Delivered;
use registers::directory::Party;
use uuid::Uuid;

use super::MessageHandler;
use super::checks::{Document, Judged, code_of};
use crate::exchange::ExchangeError;
use crate::port::{
    Kind, Relay, Road, Schema, Submission, SubmitError, Submitted, Transport, TransportOutcome,
};
use crate::rules::envelope::{APPREC, organisation_of};
use crate::rules::track::Receipt;

/// What goes back.
pub(super) enum Reply {
    /// Nothing: it was a signal, or the answer is in the sender's mailbox.
    Nothing,
    /// A signed signal, and its action.
    Signal(Outgoing, String),
    /// A SOAP Fault of the sender's making.
    Fault(Outgoing),
    /// Ours: try again.
    Later,
}

fn fault(text: &str) -> Reply {
    Reply::Fault(Outgoing::unsigned(signal::fault(FaultCode::Client, text)))
}

/// What says whether two messages are the same: the digests of their signatures.
pub(super) fn fingerprint(references: &[AckReference]) -> [u8; 32] {
    let mut lines: Vec<String> = references
        .iter()
        .map(|reference| format!("{} {}", reference.uri, reference.digest))
        .collect();
    lines.sort();
    store::sha256(lines.join("\n").as_bytes())
}

/// Name of the detail that holds [`fingerprint`] of a message passed on, for the acknowledgment to be compared with.
const FINGERPRINT: &str = "signature";

impl MessageHandler {
    /// Takes a mail to a recipient that [`super::PostOffice`] has let in. Blocks.
    pub(super) fn take_mail(&self, recipient: &str, mail: &Bytes) -> Delivered {
        let Some(organisation) = self.inner.addresses.organisation(recipient) else {
            return Delivered::Refused("nobody here has this address any more");
        };
        let read = Received::from_mail(mail, &self.inner.limits);
        let done = match read {
            Ok(received) if self.is_ours(organisation, &received) => self.take_own(&received),
            Ok(received) => self.pass_on(organisation, &received, mail),
            Err(not_read) if organisation == self.hub() => {
                let (facts, unreadable) = *not_read;
                self.unreadable(recipient, &facts, &unreadable)
            }
            Err(_) => self.put(&Relay {
                organisation,
                mail: mail.clone(),
            }),
        };
        match done {
            Ok(()) => Delivered::Kept,
            Err(error) => {
                tracing::error!(%error, "mail not taken");
                Delivered::TryLater
            }
        }
    }

    /// Whether the hub's own handler answers for the receiver: its mailbox, or that of a user of the API.
    fn is_ours(&self, organisation: u32, received: &Received) -> bool {
        if organisation == self.hub() {
            return true;
        }
        let her_id = received.envelope.header.to.her_id();
        let party = her_id.and_then(|her_id| self.exchange().inner.directory.party(her_id));
        party.is_some_and(|party| self.opens_for(&party).unwrap_or(false))
    }

    /// Whether a party reads through the API and its messages are encrypted for the hub, which alone can open them then.
    fn opens_for(&self, party: &Party) -> Result<bool, ExchangeError> {
        let keys = self.decryption_keys();
        let certificate = party.encryption_certificate.as_deref();
        let is_ours = keys
            .iter()
            .any(|key| Some(key.certificate().der()) == certificate);
        Ok(is_ours && self.inner.roads.is_api(party)?)
    }

    /// A message to the hub by mail: the answer goes into the sender's mailbox.
    fn take_own(&self, received: &Received) -> Result<(), ExchangeError> {
        let to = received.mail.to.clone().unwrap_or_default();
        let reply = self.take(received, Via::Mail)?;
        match reply {
            Reply::Nothing => Ok(()),
            Reply::Later => Err(ExchangeError::Interrupted),
            Reply::Fault(fault) => self.answer_fault(&to, &received.mail, &fault),
            // Only for messages that were not kept; the others' answers went with them.
            Reply::Signal(outgoing, action) => {
                let directory = &self.exchange().inner.directory;
                let header = &received.envelope.header;
                let party = |her_id: Option<u32>| directory.party(her_id?);
                let (from, to) = (party(header.from.her_id()), party(header.to.her_id()));
                let hub = directory.party(self.hub());
                let relay = from.zip(to.or(hub)).and_then(|(from, to)| {
                    let about = received.mail.message_id.as_deref();
                    self.mail_to(&to, &from, &outgoing, &action, about)
                });
                relay.map_or(Ok(()), |relay| self.put(&relay))
            }
        }
    }

    /// What cannot be read, to the hub. Bounces and faults are not answered; a fault ends the sending of the message it is about.
    fn unreadable(
        &self,
        recipient: &str,
        facts: &MailFacts,
        unreadable: &Unreadable,
    ) -> Result<(), ExchangeError> {
        if unreadable.is_fault() {
            return self.fault_came(facts);
        }
        if facts.is_automatic {
            metrics::counter!("meldinger_ebxml_dropped_total").increment(1);
            return Ok(());
        }
        let text = format!("{unreadable}; the message is not read further");
        let fault = Outgoing::unsigned(signal::fault(FaultCode::Client, &text));
        self.answer_fault(recipient, facts, &fault)
    }

    fn answer_fault(
        &self,
        from: &str,
        facts: &MailFacts,
        fault: &Outgoing,
    ) -> Result<(), ExchangeError> {
        let to = facts.reply_to.as_deref().filter(|_| !facts.is_automatic);
        let relay = to.and_then(|to| self.fault_mail(from, to, fault, facts.message_id.as_deref()));
        match relay {
            Some(relay) => self.put(&relay),
            None => {
                metrics::counter!("meldinger_ebxml_dropped_total").increment(1);
                Ok(())
            }
        }
    }

    /// A SOAP Fault about a mail of ours. It is unsigned: that it knows the mail's id, which only the receiver does, is what counts.
    fn fault_came(&self, facts: &MailFacts) -> Result<(), ExchangeError> {
        let id = facts
            .in_reply_to
            .as_deref()
            .and_then(|id| id.split('.').next());
        let Some(id) = id else {
            return Ok(());
        };
        let found = self.exchange().by_transport_id(id)?;
        let Some(track) = found.first().filter(|track| track.road == Road::Handler) else {
            return Ok(());
        };
        let outcome = TransportOutcome::Refused {
            condition: "SOAP Fault".to_owned(),
        };
        let (sender, responder) = (track.from_organisation, track.to_organisation);
        self.exchange()
            .transport_receipt(id, sender, responder, &outcome, None)
            .map(|_| ())
    }

    /// A mail between two others.
    fn pass_on(
        &self,
        organisation: u32,
        received: &Received,
        mail: &Bytes,
    ) -> Result<(), ExchangeError> {
        let relay = Relay {
            organisation,
            mail: mail.clone(),
        };
        let judged = self.judge(received, Via::Mail, false);
        let parties = judged.from.as_ref().zip(judged.to.as_ref());
        let (Some(checked), Some((from, to))) = (&judged.checked, parties) else {
            metrics::counter!("meldinger_ebxml_unproven_total").increment(1);
            return self.put(&relay);
        };
        if organisation_of(to) != organisation {
            return self.put(&relay);
        }
        if received.envelope.kind.is_signal() {
            return self.signal(received, &judged, Some(&relay));
        }
        let body = mail.clone();
        let mut submission = self.submission(received, from, to, Road::Mail, body);
        let print = fingerprint(&checked.references);
        submission.fingerprint = Some(print);
        submission
            .details
            .push((FINGERPRINT.to_owned(), crate::tracks::hex(&print)));
        match self.exchange().submit_blocking(&submission) {
            Ok(Submitted::Taken { .. }) => Ok(()),
            // Sent again by a sender that waits: the receiver answers again.
            Ok(Submitted::Duplicate { .. }) | Err(SubmitError::Refused { .. }) => self.put(&relay),
            Err(SubmitError::Exchange(error)) => Err(error),
        }
    }

    /// A message to the hub. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub(super) fn take(&self, received: &Received, via: Via) -> Result<Reply, ExchangeError> {
        let is_signal = received.envelope.kind.is_signal();
        let to = received.envelope.header.to.her_id();
        let to = to.and_then(|her_id| self.exchange().inner.directory.party(her_id));
        let road = match &to {
            Some(to) => self.road(to)?,
            None => None,
        };
        let mut judged = self.judge(received, via, !is_signal && road.is_some());
        if judged.is_later {
            return Ok(Reply::Later);
        }
        if let EbKind::Service(asked) = &received.envelope.kind {
            return self.serve(received, asked, &judged, via);
        }
        if is_signal {
            self.signal(received, &judged, None)?;
            return Ok(Reply::Nothing);
        }
        if judged.to.is_some() && road.is_none() {
            let text = "the receiver's messages are not received here; send it mail";
            let place = "/SOAP:Envelope/SOAP:Header/eb:MessageHeader/eb:To";
            let code = Code::DeliveryFailure;
            judged
                .findings
                .push(Finding::new(54, Level::Error, code, place, text));
        }
        match msh::answer(&received.envelope.kind, &judged.findings) {
            Answer::Nothing => Ok(Reply::Nothing),
            Answer::Fault => {
                let heaviest = judged.findings.iter().max_by_key(|finding| finding.level);
                Ok(fault(heaviest.map_or("", |finding| &finding.text)))
            }
            Answer::Errors => self.refuse(received, &judged),
            answer => self.keep(received, &judged, road, answer, via),
        }
    }

    /// The road to a receiver that the hub handles messages for.
    fn road(&self, to: &Party) -> Result<Option<Road>, ExchangeError> {
        if to.hub_run && to.her_id != self.hub() {
            return Ok(Some(Road::Hub));
        }
        Ok(self.opens_for(to)?.then_some(Road::Api))
    }

    /// Keeps the message and its answer.
    fn keep(
        &self,
        received: &Received,
        judged: &Judged,
        road: Option<Road>,
        answer: Answer,
        via: Via,
    ) -> Result<Reply, ExchangeError> {
        let (Some(from), Some(to), Some(road)) = (&judged.from, &judged.to, road) else {
            return Ok(fault("the message has no sender and receiver"));
        };
        let (Some(checked), Some(document)) = (&judged.checked, &judged.document) else {
            return Ok(fault("the message has no signed, readable payload"));
        };
        let header = &received.envelope.header;
        let id = Uuid::new_v4().to_string();
        let now = self.now_us();
        let envelope = match answer {
            Answer::Acknowledgment => {
                signal::acknowledgment(header, checked.references.clone(), &id, now)
            }
            _ => signal::error_list(header, &judged.findings, &id, now),
        };
        let Some(signed) = self.signed(&envelope) else {
            return Ok(Reply::Later);
        };
        let body = Bytes::from(document.content.clone());
        let mut submission = self.submission(received, from, to, road, body);
        read_document(&mut submission, document);
        submission.fingerprint = Some(fingerprint(&checked.references));
        if via == Via::Mail {
            let about = received.mail.message_id.as_deref();
            let subject = &envelope.header.action;
            submission.answer = self.mail_to(to, from, &signed, subject, about);
        }
        let reply = if via == Via::Mail {
            Reply::Nothing
        } else {
            Reply::Signal(signed, envelope.header.action.clone())
        };
        match self.exchange().submit_blocking(&submission) {
            Ok(
                Submitted::Taken { .. }
                | Submitted::Duplicate {
                    same_content: true, ..
                },
            ) => {
                metrics::counter!("meldinger_ebxml_taken_total").increment(1);
                Ok(reply)
            }
            Ok(Submitted::Duplicate { .. }) => {
                let text = "eb:MessageId was used before for another content; use a new one";
                let place =
                    "/SOAP:Envelope/SOAP:Header/eb:MessageHeader/eb:MessageData/eb:MessageId";
                let finding = Finding::new(0, Level::Error, Code::Inconsistent, place, text);
                Ok(self.errors(received, &[finding]))
            }
            Err(SubmitError::Refused { error, .. }) => {
                let text = &error.description;
                let finding = Finding::new(0, Level::Error, code_of(&error), "", text);
                Ok(self.errors(received, &[finding]))
            }
            Err(SubmitError::Exchange(error)) => Err(error),
        }
    }

    pub(super) fn errors(&self, received: &Received, findings: &[Finding]) -> Reply {
        let id = Uuid::new_v4().to_string();
        let header = &received.envelope.header;
        self.reply(&signal::error_list(header, findings, &id, self.now_us()))
    }

    /// A signal as reply, signed.
    pub(super) fn reply(&self, signal: &Envelope) -> Reply {
        self.signed(signal).map_or(Reply::Later, |signed| {
            Reply::Signal(signed, signal.header.action.clone())
        })
    }

    /// Keeps a failed track and answers with an error list.
    fn refuse(&self, received: &Received, judged: &Judged) -> Result<Reply, ExchangeError> {
        if let Some(from) = &judged.from {
            let unknown = Party {
                her_id: received.envelope.header.to.her_id().unwrap_or(0),
                ..from.clone()
            };
            let to = judged.to.as_ref().unwrap_or(&unknown);
            let mut submission = self.submission(received, from, to, Road::Hub, Bytes::new());
            if judged.checked.is_none() {
                // Not proven to be the sender: the track is nobody's but the receiver's.
                submission.organisation = 0;
            }
            let worst = judged.findings.iter().max_by_key(|finding| finding.level);
            let condition = match worst.map(|finding| finding.code) {
                Some(Code::SecurityFailure) => ErrorCondition::InvalidSignature,
                Some(Code::OtherXml) => ErrorCondition::NotWellFormedXml,
                Some(Code::NotSupported) => ErrorCondition::UnsupportedMessage,
                _ => ErrorCondition::InvalidFieldValue,
            };
            let text = worst.map_or("", |finding| &finding.text);
            let error = TransportError::new(condition, text);
            self.exchange()
                .note_refused(&submission, &error, judged.alert.clone())?;
        }
        Ok(self.errors(received, &judged.findings))
    }

    /// A signal: moves the track of the message it is about, if its receiver signed it.
    fn signal(
        &self,
        received: &Received,
        judged: &Judged,
        relay: Option<&Relay>,
    ) -> Result<(), ExchangeError> {
        let pass_on = || relay.map_or(Ok(()), |relay| self.put(relay));
        let is_sound = !judged
            .findings
            .iter()
            .any(|finding| finding.level >= Level::Error);
        let about = msh::about(&received.envelope);
        let parties = judged.from.as_ref().zip(judged.to.as_ref());
        let (true, Some(_), Some(about), Some((from, to))) =
            (is_sound, &judged.checked, about, parties)
        else {
            metrics::counter!("meldinger_ebxml_unproven_total").increment(1);
            return pass_on();
        };
        let (sender, responder) = (organisation_of(to), organisation_of(from));
        let sent = self.sent_print(about, sender, responder)?;
        let outcome = match &received.envelope.kind {
            EbKind::Acknowledgment(acknowledgment)
                if !acknowledgment.references.is_empty()
                    && sent.is_some_and(|sent| fingerprint(&acknowledgment.references) != sent) =>
            {
                Some(Outcome::Mismatch)
            }
            EbKind::Acknowledgment(_) => Some(Outcome::Accepted),
            _ => msh::outcome(&received.envelope, &[]),
        };
        let outcome = match outcome {
            Some(Outcome::Accepted) => TransportOutcome::Acknowledged,
            Some(Outcome::Refused) => TransportOutcome::Refused {
                condition: first_code(&received.envelope.kind),
            },
            Some(Outcome::Mismatch) => {
                tracing::warn!(
                    responder,
                    "an acknowledgment of something else than was sent"
                );
                return pass_on();
            }
            None => return pass_on(),
        };
        self.exchange()
            .transport_receipt(about, sender, responder, &outcome, relay)
            .map(|_| ())
    }

    /// The digests of a message that was sent or passed on here.
    fn sent_print(
        &self,
        about: &str,
        sender: u32,
        responder: u32,
    ) -> Result<Option<[u8; 32]>, ExchangeError> {
        let found = self.exchange().by_transport_id(about)?;
        let track = found
            .into_iter()
            .find(|track| track.from_organisation == sender && track.to_organisation == responder);
        let Some(track) = track else {
            return Ok(None);
        };
        let kept = track.details.iter().find(|(name, _)| name == FINGERPRINT);
        if let Some((_, print)) = kept {
            return Ok(crate::tracks::blob_hash(print));
        }
        let Some(prepared) = track.prepared.as_deref() else {
            return Ok(None);
        };
        let mail = self.exchange().blob_of(prepared)?;
        let received = mail.and_then(|mail| Received::from_mail(&mail, &self.inner.limits).ok());
        let checked = received
            .and_then(|received| received.check_signature(xmlsec::dsig::Signer::Carried).ok());
        Ok(checked.map(|checked| fingerprint(&checked.references)))
    }

    fn submission(
        &self,
        received: &Received,
        from: &Party,
        to: &Party,
        road: Road,
        body: Bytes,
    ) -> Submission {
        let header = &received.envelope.header;
        let short = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let EbKind::Payload { manifest, .. } = &received.envelope.kind else {
            return self.empty(received, from, to, road, body);
        };
        let mut submission = self.empty(received, from, to, road, body);
        submission.schema = manifest
            .first()
            .and_then(|reference| reference.schema.clone())
            .filter(|(namespace, _)| !namespace.is_empty())
            .map(|(namespace, version)| Schema {
                namespace,
                version: short(&version),
            });
        submission.details = [
            ("service", header.service.clone()),
            ("service_type", header.service_type.clone()),
            ("action", header.action.clone()),
            ("sender_role", header.from.role.clone()),
            ("receiver_role", header.to.role.clone()),
            (
                "ref_to_message_id",
                header.ref_to_message_id.clone().unwrap_or_default(),
            ),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        submission
    }

    fn empty(
        &self,
        received: &Received,
        from: &Party,
        to: &Party,
        road: Road,
        body: Bytes,
    ) -> Submission {
        let header = &received.envelope.header;
        let kind = if header.action.eq_ignore_ascii_case(APPREC) {
            Kind::Receipt {
                original_msg_id: None,
                known: None,
            }
        } else {
            Kind::Business {
                expects_receipt: true,
            }
        };
        Submission {
            transport: Transport::Ebxml,
            road,
            organisation: organisation_of(from),
            transport_id: header.message_id.clone(),
            from: from.her_id,
            to: to.her_id,
            function: header.action.clone(),
            content_type: if road == Road::Mail {
                "message/rfc822".to_owned()
            } else {
                "application/xml".to_owned()
            },
            sent_at_us: moment_us(&header.timestamp).unwrap_or_else(|| self.now_us()),
            msg_id: None,
            conversation: Some(header.conversation_id.clone()),
            cpa_id: Some(header.cpa_id.clone()),
            schema: None,
            system: header.description.as_deref().and_then(system_of),
            details: Vec::new(),
            kind,
            body,
            fingerprint: None,
            answer: None,
        }
    }
}

/// What the opened document says, into the submission.
fn read_document(submission: &mut Submission, document: &Document) {
    submission.msg_id = Some(document.header.msg_id.clone());
    if let Some(made_at) = moment_us(&document.header.gen_date.text) {
        submission.sent_at_us = made_at;
    }
    if document.form == Form::Bare {
        let bare = ("payload_form".to_owned(), "bare".to_owned());
        submission.details.push(bare);
    }
    if let Kind::Receipt {
        original_msg_id,
        known,
    } = &mut submission.kind
    {
        if let Ok(receipt) = AppRec::read_doc(&document.tree) {
            let codes = receipt.errors.iter().map(|error| error.code().to_owned());
            *known = Some(Receipt::Known {
                status: receipt.status.code().to_owned(),
                codes: codes.collect(),
            });
            *original_msg_id = Some(receipt.original.id);
        }
    } else if document.header.ack.as_deref() == Some("N") {
        submission.kind = Kind::Business {
            expects_receipt: false,
        };
    }
}

/// First error of a list, for the track.
fn first_code(kind: &EbKind) -> String {
    match kind {
        EbKind::Error(list) => list
            .errors
            .first()
            .map_or("Unknown", |error| error.code.as_str())
            .to_owned(),
        _ => "Unknown".to_owned(),
    }
}

/// `fagsystem` of the description (HITS 1210), else the handler's own name.
fn system_of(description: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(description).ok()?;
    ["fagsystem", "MSH-system"]
        .into_iter()
        .find_map(|name| value.get(name)?.as_str())
        .map(|name| name.chars().filter(|c| !c.is_control()).take(100).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_are_named_by_the_description() {
        let table = [
            (r#"{"MSH-system":"A","fagsystem":"B"}"#, Some("B")),
            (r#"{"MSH-system":"A"}"#, Some("A")),
            (r#"{"MSH-system":1}"#, None),
            ("A", None),
        ];
        for (text, expected) in table {
            assert_eq!(system_of(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn the_order_of_references_says_nothing() {
        let reference = |uri: &str, digest: &str| AckReference {
            uri: uri.to_owned(),
            digest: digest.to_owned(),
            xml: String::new(),
        };
        let (a, b) = (reference("", "1"), reference("cid:x", "2"));
        let print = fingerprint(&[a.clone(), b.clone()]);
        assert_eq!(print, fingerprint(&[b.clone(), a.clone()]));
        assert_ne!(print, fingerprint(&[a]));
    }
}
