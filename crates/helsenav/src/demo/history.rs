//! What happened before the story's day, imported through the same projections as live data (spec/story.md §1).

use super::facts::FhirIds;
use anyhow::{Context, Result};
use edi::hcp::{Hcp, Inst, Party};
use edi::svarrapport::{
    AnalysedSubject, CollectedSample, Message, Patient, ResultItem, ServReport,
};
use edi::value::{Coded, Ts};
use hub::Opened;
use jiff::civil::DateTime;
use kjernejournal::Kjernejournal;
use kjernejournal::rules::Category;
use kjernejournal::write::{CriticalInfo, Recorder, What};
use nation::history::{self, Critical, CriticalKind, LabReport, LogLine, Value as Measured};
use nation::{Nation, Person};
use provesvar::Provesvar;
use provesvar::intake::Planned;
use provesvar::project::{Parties, project};
use registers::{Directory, FNR_SYSTEM, person_ref};
use serde_json::json;
use std::collections::BTreeMap;
use store::{AuditEntry, Commit, Durability, MicrosUtc};

/// Imports the fixed people's history and a little of everybody else's.
pub(crate) fn import(opened: &Opened, nation: &Nation) -> Result<()> {
    let provesvar = Provesvar::new(opened.trust.clone())?;
    let kjernejournal = Kjernejournal::new(opened.trust.clone(), Vec::new())?;
    let mut commits = Vec::new();
    for person in nation.story_persons() {
        let history = history::of(nation, person);
        for report in &history.reports {
            if let Some(commit) = lab_report(opened, &provesvar, nation, person, report)? {
                commits.push(commit);
            }
        }
        if !history.critical.is_empty() {
            let put = history
                .critical
                .iter()
                .map(|c| kjernejournal.critical_put(person.nin.as_str(), &critical(opened, c)))
                .collect::<Result<_, _>>()?;
            commits.push(Commit {
                put,
                ..Commit::default()
            });
        }
        for line in &history.log {
            opened
                .store
                .audit(log_line(opened, person, line), Durability::BeforeAnswer)?;
        }
    }
    let pending: Vec<_> = commits
        .into_iter()
        .map(|commit| opened.store.submit(commit))
        .collect();
    for done in pending {
        done.wait().context("a report of the history was refused")?;
    }
    Ok(())
}

fn at(local: DateTime) -> MicrosUtc {
    local
        .to_zoned(trust::gather::oslo())
        .map(|z| z.timestamp().as_microsecond())
        .unwrap_or_default()
}

fn ts(local: DateTime) -> Ts {
    jiff::Timestamp::from_microsecond(at(local))
        .unwrap_or_default()
        .into()
}

fn lab_report(
    opened: &Opened,
    provesvar: &Provesvar,
    nation: &Nation,
    person: &Person,
    report: &LabReport,
) -> Result<Option<Commit>> {
    let message = message(nation, person, report);
    let laboratory = opened
        .registers
        .party(report.laboratory.0)
        .context("unknown laboratory")?;
    let organisation = laboratory.parent_her_id.unwrap_or(laboratory.her_id);
    let parties = Parties {
        patient: (FNR_SYSTEM.to_owned(), person.nin.as_str().to_owned()),
        laboratory_her_id: organisation,
        laboratory: opened
            .registers
            .party(organisation)
            .map(|p| p.name)
            .unwrap_or_default(),
    };
    let projection =
        project(&message, &parties).context("a report of the history has no patient")?;
    let snapshot = opened.store.snapshot()?;
    let planned = provesvar.commit(
        &snapshot,
        &projection,
        person.nin.as_str(),
        Some(laboratory.orgnr),
        at(report.issued),
        false,
    )?;
    Ok(match planned {
        Planned::Write(commit) => Some(commit),
        Planned::Older => None,
    })
}

/// The report as the laboratory would have sent it.
fn message(nation: &Nation, person: &Person, report: &LabReport) -> Message {
    let is_man = person.sex == codes::ident::Sex::Male;
    let results = report
        .analyses
        .iter()
        .map(|analysis| {
            let known = codes::lab::analyte(analysis.code);
            let code = Coded::cv(
                analysis.code,
                7280,
                known.map_or(analysis.code, |a| a.short_name),
            );
            let range = known
                .and_then(|a| a.range_men.filter(|_| is_man).or(a.range))
                .unwrap_or_default();
            let deviation = analysis.deviation.map(|d| Coded::cs(d, ""));
            match &analysis.value {
                Measured::Number(value, comparator) => {
                    let unit = known.and_then(|a| a.unit).unwrap_or_default();
                    let mut item = ResultItem::number(code, value, unit, range, deviation);
                    if let (Some(number), Some(comparator)) = (&mut item.number, comparator) {
                        number.comparator = Some(Coded::cs(comparator, ""));
                    }
                    item
                }
                Measured::Text(text) => ResultItem::textual(code, text),
            }
        })
        .collect();
    let laboratory = nation.organisations().find(|o| {
        o.her_id == report.laboratory || o.parties.iter().any(|p| p.her_id == report.laboratory)
    });
    let name = laboratory.map_or("", |o| o.name.as_str());
    let inst = Inst::new(name, laboratory.map_or(report.laboratory.0, |o| o.her_id.0));
    Message {
        kind: Coded::cs("SVAR_LAB", "Svarrapport"),
        mig_version: edi::svarrapport::MIG_VERSION.to_owned(),
        gen_date: ts(report.issued),
        msg_id: uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, report.number.as_bytes())
            .to_string(),
        report: Some(ServReport {
            serv_type: Coded::cs("N", "Ny"),
            issue_date: ts(report.issued),
            status: Coded::cs("F", "Endelig rapport"),
            discipline: Coded::cs("CLIN", "Klinisk kjemi"),
            report_id: report.number.clone(),
            provider: Party {
                hcp: Hcp {
                    inst: Some(inst),
                    ..Hcp::default()
                },
                ..Party::default()
            },
            patient: Some(Patient {
                name: Some(person.name.full()),
                official_id: person.nin.as_str().to_owned(),
                official_id_type: Coded::cs("FNR", "Fødselsnummer"),
                subjects: vec![AnalysedSubject {
                    sample: Some(CollectedSample {
                        collected: Some(ts(report.collected)),
                        ..CollectedSample::default()
                    }),
                    id_by_provider: report.number.clone(),
                    ..AnalysedSubject::default()
                }],
                results,
                ..Patient::default()
            }),
            ..ServReport::default()
        }),
        ..Message::default()
    }
}

/// Critical information as the core record keeps it.
fn critical(opened: &Opened, c: &Critical) -> CriticalInfo {
    let display = |list: u32, code: &str| {
        codes::lists::display(&codes::oid::list(list), code)
            .map_or_else(|| code.to_owned(), str::to_owned)
    };
    let recorder = c
        .author
        .and_then(|hpr| opened.registers.practitioner_by_hpr(&hpr.0.to_string()))
        .map_or(Recorder::Patient, |p| Recorder::Personnel {
            hpr: p.hpr.clone().unwrap_or_default(),
            role: p
                .authorisations
                .first()
                .map(|a| a.role.clone())
                .unwrap_or_default(),
            name: p.name.full(),
            orgnr: p
                .workplaces
                .first()
                .map(|w| w.orgnr_parent.clone())
                .unwrap_or_default(),
        });
    let what = match c.kind {
        CriticalKind::Allergy(code) => What::Allergy {
            category: Category::OtherAllergy,
            system: "http://ehelse.no/fhir/CodeSystem/no-kodeverk-7514".to_owned(),
            code: code.to_owned(),
            display: display(7514, code),
            is_high: true,
            reaction: Some("anafylaksi".to_owned()),
        },
        CriticalKind::Medicine(atc) => What::Allergy {
            category: Category::MedicineReaction,
            system: "http://nhn.no/kj/fhir/CodeSystem/ATC".to_owned(),
            code: atc.to_owned(),
            display: display(7180, atc),
            is_high: c.confirmed,
            reaction: None,
        },
        CriticalKind::Device(name) => What::Implant {
            display: name.to_owned(),
        },
        CriticalKind::Clarification(valid_until) => What::TreatmentLimit { valid_until },
    };
    CriticalInfo {
        what,
        is_confirmed: c.confirmed,
        recorded: jiff::Timestamp::from_microsecond(at(c.registered)).unwrap_or_default(),
        recorder,
        note: c.note.map(str::to_owned),
    }
}

/// A look-up before the story's day: it happened then, it is recorded now.
fn log_line(opened: &Opened, person: &Person, line: &LogLine) -> AuditEntry {
    let (parent, child) = (
        line.organisation.0.to_string(),
        line.organisation.1.to_string(),
    );
    let practitioner = opened
        .registers
        .practitioner_by_hpr(&line.actor.0.to_string());
    let key = practitioner
        .as_ref()
        .and_then(|p| opened.trust.person_key(&p.nin).ok().flatten());
    let members = BTreeMap::from([
        ("service".to_owned(), json!("kjernejournal")),
        ("api".to_owned(), json!("oppsummering")),
        ("interface".to_owned(), json!("PersonnelPortal")),
        ("action".to_owned(), json!("Read")),
        ("basis".to_owned(), json!(line.basis)),
        (
            "parts".to_owned(),
            json!(
                trust::Part::parse(line.part)
                    .map(|p| p.code())
                    .into_iter()
                    .collect::<Vec<_>>()
            ),
        ),
        ("actor.kind".to_owned(), json!("personnel")),
        ("actor.hpr".to_owned(), json!(line.actor.0.to_string())),
        ("actor.role".to_owned(), json!(line.role)),
        (
            "actor.name".to_owned(),
            json!(practitioner.map(|p| p.name.full())),
        ),
        ("actor.person".to_owned(), json!(key.map(|k| k.0))),
        (
            "actor.organisation".to_owned(),
            json!(opened.registers.organisation(&parent).map(|o| o.name)),
        ),
        ("actor.orgnr_parent".to_owned(), json!(parent)),
        ("actor.orgnr_child".to_owned(), json!(child)),
        ("actor.department".to_owned(), json!(line.department)),
        ("outcome".to_owned(), json!("allow")),
    ]);
    AuditEntry {
        id: uuid::Uuid::now_v7(),
        persons: vec![person_ref(person.nin.as_str())],
        controller: "KJ".to_owned(),
        occurred_at: at(line.when),
        imported: true,
        citizen_visible: true,
        members,
    }
}

/// FHIR ids of the story's people in the clinical repositories.
pub(crate) fn patient_ids(opened: &Opened, nation: &Nation) -> Result<FhirIds> {
    let mut ids = FhirIds::new();
    for repository in ["kjernejournal", "provesvar", "dokumenter"] {
        let key = opened
            .secrets
            .get_or_make(&format!("fhir-{repository}"), || {
                hub::keys::random_bytes(32)
            })?;
        let permutation =
            records::repository::patient_ids(&key).context("a repository key is damaged")?;
        for person in nation.story_persons() {
            let person_key = opened
                .store
                .intern_person(FNR_SYSTEM, person.nin.as_str())?;
            let id = permutation
                .id(person_key)
                .context("cannot make a FHIR id")?;
            ids.entry(person.story.unwrap_or_default().to_owned())
                .or_default()
                .insert(repository.to_owned(), id);
        }
    }
    Ok(ids)
}
