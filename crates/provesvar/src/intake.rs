//! Taking in svarrapport 1.4: rules, projection, receipt, as values for the message exchange.

use crate::json::to_bytes;
use crate::project::{Parties, Projection, project, put as set};
use crate::rules::default_delay_days;
use crate::{HER_ID, Provesvar};
use edi::apprec::ErrorCode;
use edi::message::MessageKind;
use edi::svarrapport::Message;
use records::intake::{self, Intake, Note, OpenedMessage, Receiver};
use records::write::prepare;
use registers::{Known, person_ref};
use serde_json::Value;
use std::collections::BTreeSet;
use store::{
    Claim, Commit, Expect, MicrosUtc, Op, PersonRef, Privacy, PutId, Snapshot, StoreError,
};
use trust::settings::Setting;
use trust::{Controller, label};

const CANCELLED_SPACE: &str = "provesvar.cancelled";
const DAY_US: i64 = 86_400_000_000;

impl Receiver for Provesvar {
    fn her_id(&self) -> u32 {
        HER_ID
    }

    fn name(&self) -> &'static str {
        crate::REPOSITORY
    }

    fn receive(&self, snapshot: &Snapshot, message: &OpenedMessage) -> Result<Intake, StoreError> {
        let directory = self.trust.directory().as_ref();
        let (checked, header) = match intake::check(directory, message, &[MessageKind::Svarrapport])
        {
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
                intake.notes.push(note(
                    "D-nummer",
                    "Pasientens nummer er opphørt; svaret er lagt på det gjeldende nummeret.",
                    "The patient's number has ended; the result was stored under the current number.",
                ));
                current
            }
            Known::Current | Known::Nobody => nin,
        };
        self.store_report(snapshot, message, &parsed, &nin, &mut intake)?;
        Ok(intake)
    }
}

impl Provesvar {
    fn store_report(
        &self,
        snapshot: &Snapshot,
        message: &OpenedMessage,
        parsed: &Message,
        nin: &str,
        intake: &mut Intake,
    ) -> Result<(), StoreError> {
        let directory = self.trust.directory().as_ref();
        let settings = match self.trust.person_key(nin)? {
            Some(key) => self.trust.setting_rows(snapshot, key)?,
            None => Vec::new(),
        };
        let is_on = |setting: &Setting| {
            settings
                .iter()
                .any(|row| row.is_active && row.setting == *setting)
        };
        if is_on(&Setting::Reservation(Controller::PPS)) {
            // Dropped after the privacy check and counted; the laboratory gets its receipt (spec/privacy.md §12.3).
            metrics::counter!("helsenav_provesvar_reserved_total").increment(1);
            return Ok(());
        }
        let party = directory.party(message.from_her_id);
        let laboratory = party
            .as_ref()
            .and_then(|p| p.parent_her_id)
            .unwrap_or(message.from_her_id);
        let parties = Parties {
            patient: (registers::FNR_SYSTEM.to_owned(), nin.to_owned()),
            laboratory_her_id: laboratory,
            laboratory: directory
                .party(laboratory)
                .map(|p| p.name)
                .unwrap_or_default(),
        };
        let Some(projection) = project(parsed, &parties) else {
            return Ok(());
        };
        let author_org = party
            .map(|p| p.orgnr)
            .or_else(|| message.signer_orgnr.clone());
        let commit = self.commit(
            snapshot,
            &projection,
            nin,
            author_org,
            message.now,
            is_on(&Setting::FastResults),
        )?;
        match commit {
            Planned::Write(commit) => intake.commit = commit,
            Planned::Older => intake.notes.push(note(
                "foreldet",
                "Meldingen er eldre enn det som allerede er lagret, og endrer ingenting.",
                "The message is older than what is stored already and changes nothing.",
            )),
        }
        Ok(())
    }

    /// The report with its observations as one commit; for messages and for imported history alike.
    pub fn commit(
        &self,
        snapshot: &Snapshot,
        projection: &Projection,
        nin: &str,
        author_org: Option<String>,
        now: MicrosUtc,
        is_fast: bool,
    ) -> Result<Planned, StoreError> {
        let grant = self.trust.hub("provesvar-intake");
        let stored = snapshot.read(&grant, self.repo, "DiagnosticReport", &projection.report_id)?;
        let stored = stored.filter(|r| r.head.op != Op::Delete);
        let earlier: Value = stored
            .as_ref()
            .and_then(|r| serde_json::from_slice(&r.body).ok())
            .unwrap_or(Value::Null);
        if earlier
            .get("issued")
            .and_then(Value::as_str)
            .is_some_and(|issued| is_older(&projection.gen_date, issued))
        {
            return Ok(Planned::Older);
        }
        let mut commit = Commit::default();
        let id = projection.report_id.clone();
        commit.expect.push(match &stored {
            Some(record) => Expect::Version {
                repo: self.repo,
                rtype: "DiagnosticReport".to_owned(),
                id,
                vno: record.head.vno,
            },
            None => Expect::Absent {
                repo: self.repo,
                rtype: "DiagnosticReport".to_owned(),
                id,
            },
        });
        let claim_key = projection.report_id.clone().into_bytes();
        if stored.is_none() && projection.is_cancelled {
            // A cancellation before its report: kept, so that the late report does not appear (B34).
            commit.expect.push(Expect::Claim(Claim {
                space: CANCELLED_SPACE.to_owned(),
                key: claim_key,
                value: projection.gen_date.clone().into_bytes(),
                until: None,
            }));
            return Ok(Planned::Write(commit));
        }
        if stored.is_none()
            && let Some(cancelled) = snapshot.claim(CANCELLED_SPACE, &claim_key)?
            && is_older(&projection.gen_date, &String::from_utf8_lossy(&cancelled))
        {
            return Ok(Planned::Older);
        }
        let delay_days = if is_fast {
            0
        } else {
            default_delay_days(&projection.discipline)
        };
        // A new version inherits the restriction of its report (spec/nilar.md §5.4).
        let disclose_at = match &stored {
            Some(record) => record.head.privacy.disclose_at,
            None => (delay_days > 0).then(|| now.saturating_add(delay_days * DAY_US)),
        };
        let privacy = |class: trust::Class| Privacy {
            controller: Controller::PPS.code().to_owned(),
            class: class.code(),
            labels: if disclose_at.is_some() {
                label::bit("NORU")
            } else {
                0
            },
            disclose_at,
            service_day: projection.service_day.map(trust::may::days_since_epoch),
            author_org: author_org.clone(),
            ..Privacy::default()
        };
        let persons = || -> Vec<PersonRef> { vec![person_ref(nin)] };
        let put = |puts: &mut Vec<store::Put>,
                   rtype: &str,
                   id: &str,
                   body: &Value,
                   class: trust::Class|
         -> Result<(), StoreError> {
            let prepared = prepare(
                self.repo,
                rtype,
                PutId::Given(id.to_owned()),
                Op::Update,
                to_bytes(body),
                persons(),
                privacy(class),
                Vec::new(),
            );
            puts.push(prepared.map_err(|findings| {
                let rules: Vec<&str> = findings.iter().map(|f| f.rule.as_str()).collect();
                StoreError::Invalid(format!(
                    "projected {rtype} is not valid: {}",
                    rules.join(", ")
                ))
            })?);
            Ok(())
        };
        put(
            &mut commit.put,
            "DiagnosticReport",
            &projection.report_id,
            &projection.report,
            projection.report_class,
        )?;
        for (id, observation) in &projection.observations {
            put(
                &mut commit.put,
                "Observation",
                id,
                observation,
                projection.observation_class,
            )?;
        }
        // A correction replaces the whole report: what it no longer carries is gone; a cancellation cancels what there was.
        let now_there: BTreeSet<&str> = projection
            .observations
            .iter()
            .map(|(id, _)| id.as_str())
            .collect();
        for old in observation_ids(&earlier) {
            if now_there.contains(old.as_str()) {
                continue;
            }
            let Some(record) = snapshot.read(&grant, self.repo, "Observation", &old)? else {
                continue;
            };
            if record.head.op == Op::Delete {
                continue;
            }
            if projection.is_cancelled {
                let mut body: Value = serde_json::from_slice(&record.body).unwrap_or(Value::Null);
                set(&mut body, "status", Some(Value::from("cancelled")));
                for name in [
                    "valueQuantity",
                    "valueString",
                    "valueCodeableConcept",
                    "valueRange",
                    "valueDateTime",
                ] {
                    if let Some(object) = body.as_object_mut() {
                        object.remove(name);
                    }
                }
                put(
                    &mut commit.put,
                    "Observation",
                    &old,
                    &body,
                    projection.observation_class,
                )?;
            } else {
                commit.put.push(store::Put {
                    repo: self.repo,
                    rtype: "Observation".to_owned(),
                    id: PutId::Given(old.clone()),
                    op: Op::Delete,
                    body: bytes::Bytes::new(),
                    keys: Vec::new(),
                    pack: 0,
                    persons: persons(),
                    privacy: privacy(projection.observation_class),
                    blobs: Vec::new(),
                });
            }
        }
        if projection.is_cancelled && projection.observations.is_empty() {
            // Keep pointing at what was cancelled.
            if let Some(result) = earlier.get("result").cloned()
                && let Some(first) = commit.put.first_mut()
            {
                let mut body = projection.report.clone();
                set(&mut body, "result", Some(result));
                first.body = to_bytes(&body);
            }
        }
        Ok(Planned::Write(commit))
    }
}

/// What is to be done with a projected report.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "made once per message and taken apart at once"
)]
pub enum Planned {
    /// Commit this.
    Write(Commit),
    /// Nothing: newer is stored already.
    Older,
}

fn observation_ids(report: &Value) -> Vec<String> {
    report
        .get("result")
        .and_then(Value::as_array)
        .map(|list| {
            list.iter()
                .filter_map(|r| {
                    r["reference"]
                        .as_str()?
                        .strip_prefix("Observation/")
                        .map(str::to_owned)
                })
                .collect()
        })
        .unwrap_or_default()
}

/// Whether `a` is before `b`; both as FHIR dateTimes. What cannot be read is not older.
fn is_older(a: &str, b: &str) -> bool {
    match (a.parse::<jiff::Timestamp>(), b.parse::<jiff::Timestamp>()) {
        (Ok(a), Ok(b)) => a < b,
        _ => false,
    }
}

fn note(code: &str, nb: &str, en: &str) -> Note {
    Note {
        code: code.to_owned(),
        text_nb: nb.to_owned(),
        text_en: en.to_owned(),
    }
}
