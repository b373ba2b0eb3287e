//! Taking in epikrise 1.2: rules, projection, receipt, as values for the message exchange.

use crate::project::{Parties, Projection, project};
use crate::{Dokumenter, HER_ID};
use bytes::Bytes;
use edi::apprec::ErrorCode;
use edi::epikrise::Message;
use edi::message::MessageKind;
use records::intake::{self, Intake, Note, OpenedMessage, Receiver};
use records::write::prepare;
use registers::{Known, person_ref};
use serde_json::Value;
use store::{Commit, Expect, Op, Privacy, PutId, Snapshot, StoreError};
use trust::Controller;

impl Receiver for Dokumenter {
    fn her_id(&self) -> u32 {
        HER_ID
    }

    fn name(&self) -> &'static str {
        crate::REPOSITORY
    }

    fn receive(&self, snapshot: &Snapshot, message: &OpenedMessage) -> Result<Intake, StoreError> {
        let directory = self.trust.directory().as_ref();
        let (checked, header) = match intake::check(directory, message, &[MessageKind::Epikrise]) {
            Ok(passed) => passed,
            Err(refused) => return Ok(*refused),
        };
        let mut intake = Intake::accepted(intake::notes(&checked.findings));
        let parsed = checked
            .message()
            .and_then(|root| Message::read_elem(root).ok());
        let nin = header
            .patient
            .as_ref()
            .and_then(|p| p.national_id().map(|n| n.id.clone()));
        let (Some(parsed), Some(nin)) = (parsed, nin) else {
            // The rules let nothing without these through; answer as the structure rule does.
            let words = "Meldingen mangler rapport eller pasient.";
            return Ok(Intake::rejected(ErrorCode::T02, words, intake.notes));
        };
        let nin = match directory.known(&nin) {
            Known::Historic(current) => {
                intake.notes.push(Note {
                    code: "D-nummer".to_owned(),
                    text_nb: "Pasientens nummer er opphørt; brevet er lagt på det gjeldende nummeret."
                        .to_owned(),
                    text_en: "The patient's number has ended; the letter was stored under the current number."
                        .to_owned(),
                });
                current
            }
            Known::Current | Known::Nobody => nin,
        };
        let party = directory.party(message.from_her_id);
        let sender = party
            .as_ref()
            .and_then(|p| p.parent_her_id)
            .unwrap_or(message.from_her_id);
        let parties = Parties {
            patient: (registers::FNR_SYSTEM.to_owned(), nin.clone()),
            sender_her_id: sender,
            sender: directory.party(sender).map(|p| p.name).unwrap_or_default(),
            sender_orgnr: party
                .map(|p| p.orgnr)
                .or_else(|| message.signer_orgnr.clone()),
        };
        let projection = project(&parsed, &message.content, &parties);
        match self.commit(snapshot, &projection, &nin, parties.sender_orgnr.clone())? {
            Some(commit) => intake.commit = commit,
            None => intake.notes.push(Note {
                code: "foreldet".to_owned(),
                text_nb: "Meldingen er eldre enn det som allerede er lagret, og endrer ingenting."
                    .to_owned(),
                text_en: "The message is older than what is stored already and changes nothing."
                    .to_owned(),
            }),
        }
        Ok(intake)
    }
}

impl Dokumenter {
    /// The letter as one commit; `None` when a newer version is stored.
    pub fn commit(
        &self,
        snapshot: &Snapshot,
        projection: &Projection,
        nin: &str,
        author_org: Option<String>,
    ) -> Result<Option<Commit>, StoreError> {
        let grant = self.trust.hub("dokumenter-intake");
        let stored = snapshot
            .read(&grant, self.repo, "DocumentReference", &projection.id)?
            .filter(|r| r.head.op != Op::Delete);
        if let (Some(record), Some(made)) = (&stored, projection.gen_date) {
            let earlier: Value = serde_json::from_slice(&record.body).unwrap_or(Value::Null);
            let is_newer = earlier
                .get("date")
                .and_then(Value::as_str)
                .and_then(|d| d.parse::<jiff::Timestamp>().ok())
                .is_some_and(|stored| stored > made);
            if is_newer {
                return Ok(None);
            }
        }
        let mut commit = Commit::default();
        let (rtype, id) = ("DocumentReference".to_owned(), projection.id.clone());
        commit.expect.push(match &stored {
            Some(record) => Expect::Version {
                repo: self.repo,
                rtype,
                id,
                vno: record.head.vno,
            },
            None => Expect::Absent {
                repo: self.repo,
                rtype,
                id,
            },
        });
        for (rtype, body) in [
            ("DocumentReference", &projection.reference),
            ("Binary", &projection.binary),
        ] {
            let privacy = Privacy {
                controller: Controller::PJD.code().to_owned(),
                class: projection.class.code(),
                labels: projection.labels,
                service_day: projection.service_day.map(trust::may::days_since_epoch),
                author_org: author_org.clone(),
                status: projection
                    .is_cancelled
                    .then(|| "entered-in-error".to_owned()),
                ..Privacy::default()
            };
            let put = prepare(
                self.repo,
                rtype,
                PutId::Given(projection.id.clone()),
                Op::Update,
                Bytes::from(body.to_string()),
                vec![person_ref(nin)],
                privacy,
                Vec::new(),
            );
            commit.put.push(put.map_err(|findings| {
                let rules: Vec<&str> = findings.iter().map(|f| f.rule.as_str()).collect();
                StoreError::Invalid(format!(
                    "projected {rtype} is not valid: {}",
                    rules.join(", ")
                ))
            })?);
        }
        Ok(Some(commit))
    }
}
