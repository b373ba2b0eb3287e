//! The service at its edge: messages in, records and views out, on a real store.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests do")]

use bytes::Bytes;
use edi::apprec::Status;
use edi::hcp::{Hcp, Inst, Party};
use edi::svarrapport::{
    AnalysedSubject, CollectedSample, Message, Patient, ResultItem, ServReport,
};
use edi::value::Coded;
use provesvar::{HER_ID, Provesvar};
use records::intake::{Answer, Intake, OpenedMessage, Receiver};
use records::source::{SourceState, ViewContext};
use registers::table::Row;
use registers::{PartyKind, Person, PersonName, Protection, RegisterTable, Sex};
use std::sync::{Arc, OnceLock};
use store::{Op, RepoKind, RepositoryDecl, Store, StoreConfig};
use trust::gather::SubjectRef;
use trust::settings::{ChangedBy, Setting, change};
use trust::{Basis, Controller, Interface, Principal, Trust, TrustConfig};

const KARI: &str = "14896849817";
const LABORATORY: u32 = 8_900_401;
const NOW: &str = "2026-11-23T11:00:00Z";

struct World {
    _folder: tempfile::TempDir,
    store: Store,
    trust: Arc<Trust>,
    provesvar: Arc<Provesvar>,
}

fn micros(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().unwrap().as_microsecond()
}

struct Late(OnceLock<Arc<RegisterTable>>);

impl registers::Directory for Late {
    fn person(&self, nin: &str) -> Option<Person> {
        self.0.get()?.person(nin)
    }
    fn practitioner_by_hpr(&self, hpr: &str) -> Option<registers::Practitioner> {
        self.0.get()?.practitioner_by_hpr(hpr)
    }
    fn practitioner_by_nin(&self, nin: &str) -> Option<registers::Practitioner> {
        self.0.get()?.practitioner_by_nin(nin)
    }
    fn practitioners_of(&self, _: &str, _: usize) -> Vec<registers::Practitioner> {
        Vec::new()
    }
    fn party(&self, her_id: u32) -> Option<registers::Party> {
        self.0.get()?.party(her_id)
    }
    fn parties_of(&self, _: &str) -> Vec<registers::Party> {
        Vec::new()
    }
    fn top_parties(&self) -> Vec<registers::Party> {
        Vec::new()
    }
    fn organisation(&self, orgnr: &str) -> Option<registers::Organisation> {
        self.0.get()?.organisation(orgnr)
    }
    fn organisations(&self, _: usize) -> Vec<registers::Organisation> {
        Vec::new()
    }
    fn search_persons(&self, _: &str, _: usize) -> Vec<Person> {
        Vec::new()
    }
    fn story_persons(&self) -> Vec<Person> {
        Vec::new()
    }
    fn practitioners(&self, _: usize) -> Vec<registers::Practitioner> {
        Vec::new()
    }
}

fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let repositories = [
        (trust::settings::REPOSITORY, RepoKind::Patient),
        (provesvar::REPOSITORY, RepoKind::Patient),
    ];
    let declared = repositories
        .into_iter()
        .map(|(name, kind)| RepositoryDecl::new(name, kind))
        .chain(registers::repositories())
        .collect();
    let (store, mint) = Store::open(StoreConfig::sqlite(folder.path(), declared)).unwrap();
    let late = Arc::new(Late(OnceLock::new()));
    let clock = Arc::new(|| micros(NOW));
    let trust = Arc::new(
        Trust::new(
            store.clone(),
            mint,
            late.clone(),
            clock,
            TrustConfig::default(),
        )
        .unwrap(),
    );
    let table = Arc::new(RegisterTable::open(store.clone(), trust.hub("registers")).unwrap());
    let party = |her_id, parent, name: &str| registers::Party {
        her_id,
        parent_her_id: parent,
        kind: if parent.is_some() {
            PartyKind::Service
        } else {
            PartyKind::Organisation
        },
        name: name.to_owned(),
        service: None,
        orgnr: "315900077".to_owned(),
        edi_address: String::new(),
        encryption_certificate: None,
        signing_certificate: None,
        hub_run: false,
    };
    table
        .import(vec![
            Row::Person(Box::new(Person {
                nin: KARI.to_owned(),
                historic: Vec::new(),
                name: PersonName {
                    given: "Kari".to_owned(),
                    middle: None,
                    family: "Lunde".to_owned(),
                },
                born: Some(jiff::civil::date(1968, 9, 14)),
                sex: Sex::Female,
                address: None,
                protection: Protection::Unclassified,
                died: None,
                language: None,
                relations: Vec::new(),
                gp: None,
                story: None,
            })),
            Row::Party(Box::new(party(8_900_400, None, "Isbre Laboratorium AS"))),
            Row::Party(Box::new(party(
                LABORATORY,
                Some(8_900_400),
                "Medisinsk biokjemi",
            ))),
            Row::Party(Box::new(party(8_900_000, None, "Helsenav drift"))),
            Row::Party(Box::new(party(
                HER_ID,
                Some(8_900_000),
                "Prøvesvar, mottak",
            ))),
        ])
        .unwrap();
    late.0.set(table).ok();
    let provesvar = Arc::new(Provesvar::new(trust.clone()).unwrap());
    World {
        _folder: folder,
        store,
        trust,
        provesvar,
    }
}

fn message(serv_type: &str, gen_date: &str, nt_probnp: &str, deviation: Option<&str>) -> Message {
    let lab = |code: &str, value: &str, unit: &str, range: &str, deviation: Option<&str>| {
        let name = codes::lab::analyte(code).map_or(code, |a| a.short_name);
        ResultItem::number(
            Coded::cv(code, 7280, name),
            value,
            unit,
            range,
            deviation.map(|d| Coded::cs(d, "Over")),
        )
    };
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().into();
    Message {
        kind: Coded::cs("SVAR_LAB", "Svarrapport"),
        mig_version: edi::svarrapport::MIG_VERSION.to_owned(),
        gen_date: at(gen_date),
        msg_id: uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, gen_date.as_bytes()).to_string(),
        report: Some(ServReport {
            serv_type: Coded::cs(serv_type, "Ny"),
            issue_date: at(gen_date),
            status: Coded::cs("F", "Endelig rapport"),
            discipline: Coded::cs("CLIN", "Klinisk kjemi"),
            report_id: "ISB-2026-000417".to_owned(),
            provider: Party {
                hcp: Hcp {
                    inst: Some(
                        Inst::new("Isbre Laboratorium AS", 8_900_400)
                            .with_dept("Medisinsk biokjemi", LABORATORY),
                    ),
                    ..Hcp::default()
                },
                ..Party::default()
            },
            requester: Party {
                hcp: Hcp {
                    inst: Some(
                        Inst::new("Helsenav drift", 8_900_000)
                            .with_dept("Prøvesvar, mottak", HER_ID),
                    ),
                    ..Hcp::default()
                },
                ..Party::default()
            },
            patient: Some(Patient {
                name: Some("Kari Lunde".to_owned()),
                official_id: KARI.to_owned(),
                official_id_type: Coded::cs("FNR", "Fødselsnummer"),
                subjects: vec![AnalysedSubject {
                    sample: Some(CollectedSample {
                        collected: Some(at("2026-11-23T08:10:00Z")),
                        ..CollectedSample::default()
                    }),
                    id_by_provider: "P1".to_owned(),
                    ..AnalysedSubject::default()
                }],
                results: vec![
                    lab("NOR05172", "12.60", "g/dL", "11,7 - 15,3", None),
                    lab("NPU21571", nt_probnp, "ng/L", "< 300", deviation),
                ],
                ..Patient::default()
            }),
            ..ServReport::default()
        }),
        ..Message::default()
    }
}

impl World {
    fn receive_bytes(&self, content: &[u8]) -> Intake {
        let snapshot = self.store.snapshot().unwrap();
        let opened = OpenedMessage {
            from_her_id: LABORATORY,
            to_her_id: HER_ID,
            subject: "SVAR_LAB".to_owned(),
            content: Bytes::copy_from_slice(content),
            signer_orgnr: None,
            now: micros(NOW),
            production: false,
        };
        self.provesvar.receive(&snapshot, &opened).unwrap()
    }

    /// Takes a message in as the exchange does: the service's part of the commit is committed.
    fn receive(&self, message: &Message) -> Intake {
        let intake = self.receive_bytes(message.to_xml().as_bytes());
        self.store.commit(intake.commit.clone()).unwrap();
        intake
    }

    fn kari(&self) -> ViewContext {
        ViewContext {
            trust: self.trust.clone(),
            snapshot: self.store.snapshot().unwrap(),
            principal: Principal::Citizen {
                nin: KARI.to_owned(),
                acting: None,
            },
            subject: SubjectRef::Nin(KARI.to_owned()),
            interface: Interface::CitizenPortal,
            basis: Basis::None,
            elevated_part: None,
            service: "helsenorge",
            api: "test".to_owned(),
            event_id: uuid::Uuid::now_v7(),
        }
    }
}

fn status(intake: &Intake) -> (Option<Status>, Vec<String>) {
    match &intake.answer {
        Answer::Receipt { status, errors } => (
            Some(*status),
            errors.iter().map(|e| e.code().to_owned()).collect(),
        ),
        _ => (None, Vec::new()),
    }
}

#[test]
fn a_report_becomes_records_and_the_citizen_reads_them() {
    let world = world();
    let intake = world.receive(&message("N", "2026-11-23T09:20:00Z", "412", Some("1")));
    assert_eq!(
        status(&intake),
        (Some(Status::Ok), Vec::new()),
        "{:?}",
        intake.notes
    );
    let list = world.provesvar.results_for_citizen(&world.kari()).unwrap();
    assert_eq!((list.state, list.reports.len()), (SourceState::Ok, 1));
    let report = world
        .provesvar
        .report_for_citizen(&world.kari(), &list.reports[0].id)
        .unwrap();
    assert_eq!((report.line.analyses, report.line.outside), (2, 1));
    assert_eq!(
        report.results[0].code.as_deref(),
        Some("NPU21571"),
        "outside its range comes first"
    );
    assert_eq!(
        report.results[1].value, "12.60",
        "a decimal stays as written"
    );
    assert!(report.results[1].explanation.is_some());
}

#[test]
fn the_fhir_form_of_a_report() {
    let world = world();
    world.receive(&message("N", "2026-11-23T09:20:00Z", "412", Some("1")));
    let snapshot = world.store.snapshot().unwrap();
    let (grant, repo) = (
        world.trust.hub("test"),
        world.store.repo(provesvar::REPOSITORY).unwrap(),
    );
    let mut text = String::new();
    for rtype in ["DiagnosticReport", "Observation"] {
        for rid in snapshot
            .type_rids(&grant, repo, rtype, store::Rid(0), 10)
            .unwrap()
        {
            let record = snapshot.fetch(&grant, &[rid]).unwrap().remove(0);
            text.push_str(&String::from_utf8_lossy(&record.body));
            text.push('\n');
        }
    }
    insta::assert_snapshot!(text.replace(KARI, "<nin>"));
}

#[test]
fn a_correction_replaces_and_is_marked() {
    let world = world();
    world.receive(&message("N", "2026-11-23T09:20:00Z", "412", Some("1")));
    world.receive(&message("M", "2026-11-23T09:21:00Z", "142", None));
    let list = world.provesvar.results_for_citizen(&world.kari()).unwrap();
    assert_eq!(list.reports.len(), 1, "one report, a new version");
    assert!(list.reports[0].amended_at.is_some());
    let report = world
        .provesvar
        .report_for_citizen(&world.kari(), &list.reports[0].id)
        .unwrap();
    assert!(report.results.iter().any(|a| a.value == "142"));
    assert!(report.results.iter().all(|a| a.value != "412"));
}

#[test]
fn order_of_arrival_does_not_matter() {
    let world = world();
    world.receive(&message("M", "2026-11-23T09:21:00Z", "142", None));
    let late = world.receive(&message("N", "2026-11-23T09:20:00Z", "412", Some("1")));
    assert_eq!(status(&late).0, Some(Status::Ok));
    assert!(late.notes.iter().any(|n| n.code == "foreldet"));
    let list = world.provesvar.results_for_citizen(&world.kari()).unwrap();
    let report = world
        .provesvar
        .report_for_citizen(&world.kari(), &list.reports[0].id)
        .unwrap();
    assert!(report.results.iter().all(|a| a.value != "412"));
}

#[test]
fn a_cancelled_report_shows_no_values() {
    let world = world();
    world.receive(&message("N", "2026-11-23T09:20:00Z", "412", Some("1")));
    let mut cancel = message("C", "2026-11-23T09:30:00Z", "412", None);
    cancel
        .report
        .as_mut()
        .unwrap()
        .patient
        .as_mut()
        .unwrap()
        .results
        .clear();
    world.receive(&cancel);
    let list = world.provesvar.results_for_citizen(&world.kari()).unwrap();
    assert!(list.reports[0].is_cancelled);
    let report = world
        .provesvar
        .report_for_citizen(&world.kari(), &list.reports[0].id)
        .unwrap();
    assert!(report.results.is_empty());
}

#[test]
fn a_cancellation_before_its_report_leaves_no_ghost() {
    let world = world();
    let mut cancel = message("C", "2026-11-23T09:30:00Z", "412", None);
    cancel
        .report
        .as_mut()
        .unwrap()
        .patient
        .as_mut()
        .unwrap()
        .results
        .clear();
    world.receive(&cancel);
    assert_eq!(
        world
            .provesvar
            .results_for_citizen(&world.kari())
            .unwrap()
            .state,
        SourceState::Empty
    );
    world.receive(&message("N", "2026-11-23T09:20:00Z", "412", Some("1")));
    assert_eq!(
        world
            .provesvar
            .results_for_citizen(&world.kari())
            .unwrap()
            .state,
        SourceState::Empty
    );
}

#[test]
fn bad_messages_get_the_answers_of_the_story() {
    let world = world();
    let good = message("N", "2026-11-23T09:20:00Z", "412", None).to_xml();
    let cases = [
        ("B12", good.replacen("<Type ", "<Typ ", 1), "T02"),
        ("B14", message_with(|m| m.msg_id = "1234".to_owned()), "E10"),
        ("B15", good.replace(KARI, "14896849818"), "E31"),
        ("B17", good.replace(KARI, "01815040178"), "E53"),
    ];
    for (case, xml, expected) in cases {
        let intake = world.receive_bytes(xml.as_bytes());
        assert_eq!(
            status(&intake),
            (Some(Status::Rejected), vec![expected.to_owned()]),
            "{case}: {:?}",
            intake.notes
        );
        assert!(intake.commit.put.is_empty(), "{case}: nothing is stored");
    }
    assert_eq!(
        world
            .provesvar
            .results_for_citizen(&world.kari())
            .unwrap()
            .state,
        SourceState::Empty
    );
}

fn message_with(edit: impl Fn(&mut Message)) -> String {
    let mut message = message("N", "2026-11-23T09:20:00Z", "412", None);
    edit(&mut message);
    message.to_xml()
}

#[test]
fn unknown_and_retired_codes_are_kept_with_a_warning() {
    let world = world();
    let mut odd = message("N", "2026-11-23T09:20:00Z", "5", None);
    let results = &mut odd
        .report
        .as_mut()
        .unwrap()
        .patient
        .as_mut()
        .unwrap()
        .results;
    results.push(ResultItem::number(
        Coded::cv("NPU10984", 7280, "P-IgE veps"),
        "18",
        "kU/L",
        "< 0,35",
        None,
    ));
    results.push(ResultItem::number(
        Coded::cv("ISB-LOKAL-7", 7280, "Lokal prøve"),
        "1",
        "",
        "",
        None,
    ));
    let intake = world.receive(&odd);
    assert_eq!(status(&intake).0, Some(Status::Ok));
    assert!(!intake.notes.is_empty(), "an intake warning");
    let list = world.provesvar.results_for_citizen(&world.kari()).unwrap();
    let report = world
        .provesvar
        .report_for_citizen(&world.kari(), &list.reports[0].id)
        .unwrap();
    let retired = report
        .results
        .iter()
        .find(|a| a.code.as_deref() == Some("NPU10984"))
        .unwrap();
    assert_eq!(retired.successor.as_deref(), Some("NPU13183"));
}

#[test]
fn pathology_waits_and_nothing_tells_of_it() {
    let world = world();
    let mut pathology = message("N", "2026-11-23T09:20:00Z", "5", None);
    pathology.report.as_mut().unwrap().discipline = Coded::cs("PAT", "Patologi");
    world.receive(&pathology);
    let list = world.provesvar.results_for_citizen(&world.kari()).unwrap();
    assert_eq!((list.state, list.reports.len()), (SourceState::Empty, 0));
    let repo = world.store.repo(provesvar::REPOSITORY).unwrap();
    let snapshot = world.store.snapshot().unwrap();
    let stored = snapshot
        .type_rids(
            &world.trust.hub("test"),
            repo,
            "DiagnosticReport",
            store::Rid(0),
            10,
        )
        .unwrap();
    assert_eq!(stored.len(), 1, "personnel see it at once");
}

#[test]
fn who_has_opted_out_has_no_results_and_the_laboratory_its_receipt() {
    let world = world();
    let kari = world
        .store
        .intern_person(registers::FNR_SYSTEM, KARI)
        .unwrap();
    let by = ChangedBy {
        channel: "helsenorge".to_owned(),
        performer: "Du selv".to_owned(),
    };
    let settings = [(Setting::Reservation(Controller::PPS), true)];
    let commit = change(
        world.trust.settings_repository(),
        kari,
        &[],
        &settings,
        &by,
        micros(NOW),
        Vec::new(),
    );
    world.store.commit(commit).unwrap();
    let intake = world.receive(&message("N", "2026-11-23T09:20:00Z", "412", None));
    assert_eq!(status(&intake).0, Some(Status::Ok));
    assert!(
        intake.commit.put.iter().all(|p| p.op == Op::Delete),
        "nothing is stored"
    );
}
