//! The battery on its way: planned with the run, made, and handed to the exchange like any sender's messages.

use amqp::port::{Disposition, Header, Message, MessageId, Properties};
use bytes::Bytes;
use edi::xml::XmlDoc;
use jiff::Timestamp;
use registers::directory::Party;
use uuid::Uuid;
use xmlsec::x509::Certificate;

use super::battery::{PartyName, Recipe, TestPatient};
use super::model::{CaseRun, Run, Sent};
use super::standard::Case;
use super::{ApprovalError, Approvals, MAX_ATTEMPTS};
use crate::port::{Kind, Road, Schema, Submission, SubmitError, Submitted, Transport};
use crate::reply::moment;
use crate::rules::envelope::{APPREC, SIGNED_AND_ENVELOPED, organisation_of, property};
use crate::rules::queue::{QueueKind, QueueName};
use crate::rules::track::StepKind;

impl Approvals {
    /// The cases of a new receiving run, each with the ids of its first attempt.
    pub(super) fn plan(&self, run: &Run) -> Result<Vec<CaseRun>, ApprovalError> {
        let patients = self.patients();
        let has = |kind: &str| patients.iter().any(|patient| patient.kind == kind);
        if !has("FNR") {
            return Err(ApprovalError::NotNow(
                "the person register has no synthetic persons for the battery".to_owned(),
            ));
        }
        let cases = run.standard.cases(run.transport);
        Ok(cases
            .filter(|case| *case != Case::DNumber || has("DNR"))
            .map(|case| CaseRun {
                case,
                attempts: 1,
                sent: self.ids(run, case),
                receipts: Vec::new(),
            })
            .collect())
    }

    /// A further attempt of a case, with ids of its own.
    pub(super) fn plan_again(&self, run: &mut Run, case: Case) -> Result<(), ApprovalError> {
        let sent = self.ids(run, case);
        let found = run.cases.iter_mut().find(|known| known.case == case);
        let found =
            found.ok_or_else(|| ApprovalError::Invalid("the run has no such case".to_owned()))?;
        if found.attempts >= MAX_ATTEMPTS {
            return Err(ApprovalError::NotNow(format!(
                "a case is sent at most {MAX_ATTEMPTS} times in one run; begin a new one"
            )));
        }
        found.attempts += 1;
        found.sent = sent;
        found.receipts.clear();
        Ok(())
    }

    fn ids(&self, run: &Run, case: Case) -> Sent {
        let now = self.now_us();
        let id = Uuid::new_v4();
        let hub = self.inner.exchange.inner.config.hub_her_id;
        Sent {
            msg_id: match case {
                Case::BadMsgId => format!("TEST-{}", id.simple()),
                _ => id.to_string(),
            },
            gen_date: edi::value::Time::from(whole_second(now)).text,
            function: match case {
                Case::Receipt => APPREC.to_owned(),
                _ => run.standard.function().to_owned(),
            },
            at_us: now,
            tracks: Vec::new(),
            addressed_to: match case {
                Case::WrongAddressee => hub,
                _ => run.system.her_id,
            },
        }
    }

    /// The document of a case's latest attempt.
    fn make(&self, run: &Run, case: &CaseRun) -> Result<Vec<u8>, ApprovalError> {
        let directory = self.inner.exchange.inner.directory.as_ref();
        let name = |her_id| {
            PartyName::of(directory, her_id).ok_or_else(|| {
                ApprovalError::NotNow(format!("HER-id {her_id} is not in the address register"))
            })
        };
        let kind = if case.case == Case::DNumber {
            "DNR"
        } else {
            "FNR"
        };
        let patient: TestPatient = self
            .patients()
            .into_iter()
            .find(|patient| patient.kind == kind)
            .ok_or_else(|| {
                ApprovalError::NotNow("the register has no such synthetic person now".to_owned())
            })?;
        let attempts = |case| run.case(case).map_or(0, |run| run.attempts);
        let document_key = match case.case {
            Case::Normal | Case::Change | Case::Cancel => {
                format!("{}-{}", run.id, attempts(Case::Normal))
            }
            other => format!("{}-{}-{}", run.id, other.code(), case.attempts),
        };
        let recipe = Recipe {
            standard: run.standard,
            case: case.case,
            msg_id: &case.sent.msg_id,
            at: whole_second(case.sent.at_us),
            document_key: &document_key,
            from: &name(self.inner.config.her_id)?,
            to: &name(case.sent.addressed_to)?,
            patient: &patient,
            too_big_bytes: self.inner.config.too_big_bytes,
        };
        Ok(recipe.make())
    }

    /// Hands the latest attempt of a case to the exchange and notes its tracks. Blocks, within a runtime.
    pub(super) fn send(&self, run: &Run, case: Case) -> Result<(), ApprovalError> {
        let planned = run.case(case).ok_or(ApprovalError::NotFound)?;
        let document = Bytes::from(self.make(run, planned)?);
        let directory = &self.inner.exchange.inner.directory;
        let vendor = directory
            .party(run.system.her_id)
            .ok_or(ApprovalError::NotFound)?;
        let mut tracks = Vec::new();
        for number in 0..case.messages() {
            let id = transport_id(&run.id, case, planned.attempts, number);
            let track = match run.transport {
                Transport::Ebxml => self.submit(Road::Handler, &vendor, planned, &document, &id)?,
                Transport::Rest => self.submit(Road::Api, &vendor, planned, &document, &id)?,
                Transport::Amqp | Transport::Hub => {
                    self.put_on_bus(&vendor, planned, &document, &id)?
                }
            };
            tracks.push(track);
        }
        let msg_id = planned.sent.msg_id.clone();
        self.inner.records.update_run(&run.id, |run| {
            let found = run
                .cases
                .iter_mut()
                .find(|run| run.case == case && run.sent.msg_id == msg_id);
            if let Some(found) = found {
                found.sent.tracks.clone_from(&tracks);
            }
            Ok(())
        })
    }

    /// By the exchange's port, for the roads on which it makes the envelope itself.
    fn submit(
        &self,
        road: Road,
        vendor: &Party,
        case: &CaseRun,
        document: &Bytes,
        transport_id: &str,
    ) -> Result<String, ApprovalError> {
        let exchange = &self.inner.exchange;
        let identified = edi::message::identify(document);
        let namespace = identified
            .payload_namespace
            .unwrap_or(identified.root_namespace);
        let kind = match case.case {
            Case::Receipt => Kind::Receipt {
                original_msg_id: None,
                known: None,
            },
            _ => Kind::Business {
                expects_receipt: true,
            },
        };
        let submission = Submission {
            transport: Transport::Hub,
            road,
            organisation: exchange.inner.config.hub_her_id,
            transport_id: transport_id.to_owned(),
            from: self.inner.config.her_id,
            to: vendor.her_id,
            function: case.sent.function.clone(),
            content_type: "application/xml".to_owned(),
            sent_at_us: case.sent.at_us,
            msg_id: Some(case.sent.msg_id.clone()),
            conversation: None,
            cpa_id: None,
            schema: (!namespace.is_empty()).then_some(Schema {
                namespace,
                version: identified.version,
            }),
            system: Some(SYSTEM.to_owned()),
            details: Vec::new(),
            kind,
            body: document.clone(),
            fingerprint: None,
            answer: None,
        };
        match exchange.submit_blocking(&submission) {
            Ok(
                Submitted::Taken { track }
                | Submitted::Duplicate {
                    track: Some(track), ..
                },
            ) => Ok(track),
            Ok(Submitted::Duplicate { track: None, .. }) => Err(ApprovalError::Conflict),
            Err(SubmitError::Refused { error, .. }) => Err(ApprovalError::NotNow(format!(
                "the exchange refuses the message: {}",
                error.description
            ))),
            Err(SubmitError::Exchange(error)) => Err(error.into()),
        }
    }

    /// As any sender on the bus: signed, sealed for the vendor, through the checks of the envelope into the vendor's queue.
    fn put_on_bus(
        &self,
        vendor: &Party,
        case: &CaseRun,
        document: &Bytes,
        transport_id: &str,
    ) -> Result<String, ApprovalError> {
        let exchange = &self.inner.exchange;
        let hub = exchange.inner.config.hub_her_id;
        let message = self.bus_message(vendor, case, document, transport_id)?;
        let queue = QueueName::new(organisation_of(vendor), QueueKind::Async);
        let runtime =
            tokio::runtime::Handle::try_current().map_err(|_| crate::ExchangeError::Interrupted)?;
        match runtime.block_on(exchange.receive(hub, queue, message)) {
            Disposition::Accepted => {}
            Disposition::Rejected { description, .. } => {
                return Err(ApprovalError::NotNow(format!(
                    "the exchange refuses the message: {description}"
                )));
            }
            _ => return Err(crate::ExchangeError::Interrupted.into()),
        }
        let found = exchange.by_transport_id(transport_id)?;
        let track = found
            .into_iter()
            .find(|track| track.from_organisation == hub)
            .ok_or(crate::ExchangeError::Interrupted)?;
        let refused = track.steps.iter().find_map(|step| match &step.what {
            StepKind::Refused { .. } => Some(step.detail.clone()),
            _ => None,
        });
        match refused {
            Some(why) => Err(ApprovalError::NotNow(format!(
                "the exchange refuses the message: {why}"
            ))),
            None => Ok(track.id),
        }
    }

    fn bus_message(
        &self,
        vendor: &Party,
        case: &CaseRun,
        document: &Bytes,
        transport_id: &str,
    ) -> Result<Message, ApprovalError> {
        let exchange = &self.inner.exchange;
        let certificate = vendor
            .encryption_certificate
            .as_deref()
            .and_then(|der| Certificate::from_der(der).ok())
            .ok_or_else(|| {
                ApprovalError::NotNow(
                    "the address register has no encryption certificate of the HER-id".to_owned(),
                )
            })?;
        let signing = exchange
            .inner
            .keys
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .signing
            .clone();
        let now_s = exchange.real_now_us() / 1_000_000;
        let sealed =
            xmlsec::cms::seal(document, &signing, &certificate, now_s).map_err(|error| {
                ApprovalError::NotNow(format!(
                    "the message cannot be sealed for the HER-id: {error}"
                ))
            })?;
        let hub = exchange.inner.config.hub_her_id;
        let mut message = Message {
            header: Header {
                durable: true,
                ..Header::default()
            },
            properties: Properties {
                message_id: Some(MessageId::String(transport_id.to_owned())),
                to: Some(format!("{}_async", organisation_of(vendor))),
                subject: Some(case.sent.function.clone()),
                reply_to: Some(format!("{hub}_async")),
                correlation_id: Some(MessageId::String(transport_id.to_owned())),
                content_type: Some(SIGNED_AND_ENVELOPED.to_owned()),
                ..Properties::default()
            },
            body: sealed.into(),
            ..Message::default()
        };
        message.set_property(property::FROM, self.inner.config.her_id.to_string());
        message.set_property(property::TO, vendor.her_id.to_string());
        let at = moment(self.now_us()).strftime("%Y-%m-%dT%H:%M:%SZ");
        message.set_property(property::TIMESTAMP, at.to_string());
        message.set_property(property::SYSTEM, SYSTEM);
        message.set_property(property::INFO_MSG_ID, case.sent.msg_id.clone());
        if let Ok(doc) = XmlDoc::parse(document) {
            for (name, value) in edi::metadata::properties(&doc) {
                message.set_property(name, value);
            }
        }
        Ok(message)
    }
}

/// Name of the hub's system in envelopes.
const SYSTEM: &str = concat!("Helsenav godkjenningstest ", env!("CARGO_PKG_VERSION"));

fn whole_second(at_us: i64) -> Timestamp {
    moment(at_us - at_us.rem_euclid(1_000_000))
}

/// The same attempt has the same id, so that it is never sent twice.
fn transport_id(run: &str, case: Case, attempt: u32, number: usize) -> String {
    let hash = store::sha256(format!("{run}|{}|{attempt}|{number}", case.code()).as_bytes());
    let mut id = [0; 16];
    id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    uuid::Builder::from_random_bytes(id).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_has_one_id() {
        let first = transport_id("r", Case::Duplicate, 1, 0);
        assert_eq!(first, transport_id("r", Case::Duplicate, 1, 0));
        assert!(Uuid::try_parse(&first).is_ok());
        for other in [
            transport_id("r", Case::Duplicate, 1, 1),
            transport_id("r", Case::Duplicate, 2, 0),
            transport_id("r", Case::Normal, 1, 0),
            transport_id("s", Case::Duplicate, 1, 0),
        ] {
            assert_ne!(first, other);
        }
        let at = whole_second(1_700_000_000_999_999);
        assert_eq!(at.as_microsecond(), 1_700_000_000_000_000);
    }
}
