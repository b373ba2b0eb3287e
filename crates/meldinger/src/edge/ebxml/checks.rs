//! What a message handler checks beyond the envelope itself: parties, agreement, time, signer, payload.

use ebxml::envelope::{Kind, MessageHeader, moment_us};
use ebxml::finding::{Code, Finding, Level, heaviest};
use ebxml::package::{Received, Via};
use ebxml::payload::{self, Form};
use ebxml::signature::Checked;
use edi::check::AgreementFacts;
use edi::errorqueue::{ErrorCondition, TransportError};
use edi::message::Header;
use edi::xml::XmlDoc;
use registers::directory::{Party, PartyKind};
use xmlsec::dsig::Signer;

use super::MessageHandler;
use super::addresses::address_of;
use crate::exchange::Exchange;
use crate::opening::{OpenError, check_signer};
use crate::rules::track::Alert;

const HEADER: &str = "/SOAP:Envelope/SOAP:Header/eb:MessageHeader";

/// A payload opened and read.
pub(super) struct Document {
    pub content: Vec<u8>,
    pub tree: XmlDoc,
    pub header: Header,
    pub form: Form,
}

/// A message with everything that was found about it.
pub(super) struct Judged {
    pub from: Option<Party>,
    pub to: Option<Party>,
    pub findings: Vec<Finding>,
    /// The signature, when it holds and is the sender's.
    pub checked: Option<Checked>,
    pub document: Option<Document>,
    pub alert: Option<Alert>,
    /// Something needed is away (a revocation list): nothing is decided now.
    pub is_later: bool,
}

impl Judged {
    fn is_refused(&self) -> bool {
        heaviest(&self.findings) >= Some(Level::Error)
    }

    fn add(&mut self, rule: u16, level: Level, code: Code, place: &str, text: &str) {
        let finding = Finding::new(rule, level, code, place, text);
        self.findings.push(finding);
    }
}

impl MessageHandler {
    /// Judges a message. `opens` says whether the payload is for us to open.
    pub(super) fn judge(&self, received: &Received, via: Via, opens: bool) -> Judged {
        let header = &received.envelope.header;
        let directory = &self.exchange().inner.directory;
        let party = |her_id: Option<u32>| directory.party(her_id?);
        let mut judged = Judged {
            from: party(header.from.her_id()),
            to: party(header.to.her_id()),
            findings: received.findings.clone(),
            checked: None,
            document: None,
            alert: None,
            is_later: false,
        };
        check_parties(&mut judged, header, received, via);
        let asks_sync = matches!(
            received.envelope.kind,
            Kind::Payload {
                sync_reply: true,
                ..
            }
        );
        if asks_sync && via == Via::Mail {
            let text = "eb:SyncReply is not allowed over mail; the answer comes by mail";
            let place = "/SOAP:Envelope/SOAP:Header/eb:SyncReply";
            judged.add(0, Level::Warning, Code::NotSupported, place, text);
        }
        check_terms(&mut judged, header, self.now_us());
        if let Some(agreement) = self.agreement(&header.cpa_id) {
            check_agreement(&mut judged, header, agreement.as_ref());
        }
        self.check_signature(&mut judged, received);
        if opens && !judged.is_refused() && !judged.is_later {
            self.open(&mut judged, received);
        }
        judged
    }

    fn check_signature(&self, judged: &mut Judged, received: &Received) {
        let checked = match received.check_signature(Signer::Carried) {
            Ok(checked) => checked,
            Err(finding) => {
                judged.findings.push(finding);
                return;
            }
        };
        judged.findings.extend(checked.remarks.iter().cloned());
        let Some(from) = judged.from.as_ref().map(|party| party.her_id) else {
            return;
        };
        let revocation = self.exchange().inner.config.revocation;
        let certificate = &checked.certificate;
        match check_signer(self.exchange(), from, certificate, &[], revocation) {
            Ok(()) => judged.checked = Some(checked),
            Err(OpenError::Retry(_)) => judged.is_later = true,
            Err(OpenError::Refuse { error, .. }) => {
                let rule = match error.condition {
                    ErrorCondition::ExpiredCertificate => 105,
                    _ => 44,
                };
                let place = "/SOAP:Envelope/SOAP:Header/ds:Signature/ds:KeyInfo";
                let code = Code::SecurityFailure;
                judged.add(rule, Level::Error, code, place, &error.description);
            }
        }
    }

    fn open(&self, judged: &mut Judged, received: &Received) {
        const PLACE: &str = "payload";
        let Kind::Payload { manifest, .. } = &received.envelope.kind else {
            return;
        };
        let attachment = manifest
            .first()
            .and_then(|reference| received.attachment(&reference.href));
        let (Some(attachment), Some(from)) = (attachment, &judged.from) else {
            return;
        };
        let from = from.her_id;
        let is_encrypted = attachment
            .content_type
            .to_ascii_lowercase()
            .starts_with("application/pkcs7-mime");
        if !is_encrypted {
            let text = "the payload is not application/pkcs7-mime: payloads are encrypted";
            judged.add(260, Level::Error, Code::SecurityFailure, PLACE, text);
            return;
        }
        let opened = match payload::open(&attachment.content, &self.decryption_keys()) {
            Ok(opened) => opened,
            Err(error) => {
                let code = Code::SecurityFailure;
                judged.add(263, Level::Error, code, PLACE, &error.to_string());
                return;
            }
        };
        match Exchange::read_document(&opened.content, from) {
            Ok((tree, header)) => {
                judged.document = Some(Document {
                    content: opened.content,
                    tree,
                    header,
                    form: opened.form,
                });
            }
            Err((error, alert)) => {
                judged.alert = alert;
                judged.add(0, Level::Error, code_of(&error), PLACE, &error.description);
            }
        }
    }
}

/// The code of an error list that says what an error of the exchange says.
pub(super) fn code_of(error: &TransportError) -> Code {
    match error.condition {
        ErrorCondition::SpoofingAttack => Code::SecurityFailure,
        ErrorCondition::NotWellFormedXml
        | ErrorCondition::InvalidEncoding
        | ErrorCondition::XmlNotInterpretable => Code::OtherXml,
        ErrorCondition::UnsupportedMessage => Code::NotSupported,
        ErrorCondition::InvalidFieldValue => Code::ValueNotRecognized,
        _ => Code::Unknown,
    }
}

fn check_parties(judged: &mut Judged, header: &MessageHeader, received: &Received, via: Via) {
    let place = |local: &str| format!("{HEADER}/eb:{local}");
    match judged.from.clone() {
        // Without a HER-id the envelope's own finding says it.
        None if header.from.her_id().is_none() => {}
        None => {
            let text = "the sender's HER-id is not in the address register";
            let code = Code::ValueNotRecognized;
            judged.add(29, Level::Fault, code, &place("From"), text);
        }
        Some(from) => {
            let address = address_of(&from);
            if address.is_none() && via == Via::Mail {
                let text = "the sender has no EDI address in the address register";
                let code = Code::DeliveryFailure;
                judged.add(29, Level::Fault, code, &place("From"), text);
            } else if via == Via::Mail && received.mail.from != address {
                let text = "From is not the sender's EDI address in the address register";
                judged.add(261, Level::Warning, Code::Inconsistent, "From", text);
            }
            if from.kind == PartyKind::Organisation {
                let text = "the sender is an organisation; services and persons send messages";
                let code = Code::ValueNotRecognized;
                judged.add(29, Level::Info, code, &place("From"), text);
            }
        }
    }
    if judged.to.is_none() && header.to.her_id().is_some() {
        let text = "the receiver's HER-id is not in the address register";
        let code = Code::ValueNotRecognized;
        judged.add(30, Level::Error, code, &place("To"), text);
    }
    let address = judged.to.as_ref().and_then(address_of);
    if via == Via::Mail && judged.to.is_some() && received.mail.to != address {
        let text = "To is not the receiver's EDI address in the address register";
        judged.add(262, Level::Warning, Code::Inconsistent, "To", text);
    }
}

/// Agreement and time to live.
fn check_terms(judged: &mut Judged, header: &MessageHeader, now_us: i64) {
    let parties = [header.from.her_id(), header.to.her_id()];
    if let Some(named) = parties_of_cpa(&header.cpa_id)
        && parties.iter().flatten().count() == 2
        && !parties
            .iter()
            .flatten()
            .all(|her_id| named.contains(her_id))
    {
        let text = "eb:CPAId names other parties than eb:From and eb:To";
        let place = format!("{HEADER}/eb:CPAId");
        judged.add(110, Level::Error, Code::Inconsistent, &place, text);
    }
    let until = header.time_to_live.as_deref().and_then(moment_us);
    if until.is_some_and(|until| until < now_us) {
        let text = "eb:TimeToLive has passed";
        let place = format!("{HEADER}/eb:MessageData/eb:TimeToLive");
        judged.add(0, Level::Error, Code::TimeToLiveExpired, &place, text);
    }
}

/// A client may use an agreement this long after another took its place (spec messaging §7, caching).
const CACHED_S: i64 = 12 * 3_600;

/// Rules 110 to 114: the agreement exists, is between the two, and holds.
fn check_agreement(
    judged: &mut Judged,
    header: &MessageHeader,
    agreement: Option<&AgreementFacts>,
) {
    let place = format!("{HEADER}/eb:CPAId");
    let mut refuse = |rule, text: &str| {
        judged.add(rule, Level::Error, Code::Inconsistent, &place, text);
    };
    let Some(agreement) = agreement else {
        refuse(110, "there is no such agreement in the CPPA registry");
        return;
    };
    let is_party =
        |her_id: Option<u32>| her_id.is_some_and(|her_id| agreement.her_ids.contains(&her_id));
    if !is_party(header.from.her_id()) {
        refuse(111, "the sender is no party of the agreement");
    }
    if !is_party(header.to.her_id()) {
        refuse(112, "the receiver is no party of the agreement");
    }
    let Some(made_s) = moment_us(&header.timestamp).map(|at| at.div_euclid(1_000_000)) else {
        return;
    };
    if made_s < agreement.start_s {
        refuse(113, "eb:Timestamp is before the agreement holds");
    }
    if made_s > agreement.end_s.saturating_add(CACHED_S) {
        refuse(
            114,
            "eb:Timestamp is after the agreement ended; fetch the new one",
        );
    }
}

/// The two parties of an agreement id of the form `HERlow_HERhigh[_n]`.
fn parties_of_cpa(cpa_id: &str) -> Option<[u32; 2]> {
    let mut parts = cpa_id.split('_').map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(low)), Some(Ok(high))) => Some([low, high]),
        _ => None,
    }
}

/// The agreement id of two parties without one of their own.
pub(super) fn default_cpa(one: u32, other: u32) -> String {
    format!("{}_{}", one.min(other), one.max(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreement_ids_name_their_parties() {
        assert_eq!(parties_of_cpa("1_2"), Some([1, 2]));
        assert_eq!(parties_of_cpa("1_2_3"), Some([1, 2]));
        for id in [
            "nav:qass:1",
            "b6bbd462-a3a8-4483-8440-222e6e6977ce",
            "1",
            "",
        ] {
            assert_eq!(parties_of_cpa(id), None, "{id}");
        }
        assert_eq!(default_cpa(7, 3), "3_7");
    }
}
