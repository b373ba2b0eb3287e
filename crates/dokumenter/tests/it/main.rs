//! The service at its edge: letters in, documents and views out, on a real store.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests do")]

use bytes::Bytes;
use dokumenter::views::SectionKey;
use dokumenter::{Dokumenter, HER_ID};
use edi::apprec::Status;
use edi::epikrise::{
    Comment, Event, Hcp, InfItem, Medication, Message, Patient, RelatedProvider, ReportedEvent,
    ServRprt, Service,
};
use edi::hcp::Inst;
use edi::value::{Coded, Rich};
use records::intake::{Answer, Intake, OpenedMessage, Receiver};
use records::source::{SourceState, ViewContext};
use registers::table::Row;
use registers::{PartyKind, Person, PersonName, Protection, RegisterTable, Sex};
use std::sync::Arc;
use store::{Filter, RepoKind, RepositoryDecl, Seq, Store, StoreConfig};
use trust::gather::SubjectRef;
use trust::{Basis, Interface, Principal, Trust, TrustConfig};

const KARI: &str = "14896849817";
const OTHER: &str = "21868749927";
const CLINIC: u32 = 8_900_201;
const NOW: &str = "2026-11-23T14:00:00Z";
const LETTER: &str = "7b7f1c1e-0f0e-5a52-8d3f-3a60a94f5a11";

struct World {
    _folder: tempfile::TempDir,
    store: Store,
    trust: Arc<Trust>,
    service: Arc<Dokumenter>,
}

fn micros(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().unwrap().as_microsecond()
}

fn person(nin: &str, given: &str, family: &str) -> Row {
    Row::Person(Box::new(Person {
        nin: nin.to_owned(),
        historic: Vec::new(),
        name: PersonName {
            given: given.to_owned(),
            middle: None,
            family: family.to_owned(),
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
    }))
}

fn party(her_id: u32, parent_her_id: Option<u32>, name: &str) -> Row {
    Row::Party(Box::new(registers::Party {
        her_id,
        parent_her_id,
        kind: if parent_her_id.is_some() {
            PartyKind::Service
        } else {
            PartyKind::Organisation
        },
        name: name.to_owned(),
        service: None,
        orgnr: "315900034".to_owned(),
        edi_address: String::new(),
        encryption_certificate: None,
        signing_certificate: None,
        hub_run: false,
    }))
}

fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let declared = [
        (trust::settings::REPOSITORY, RepoKind::Patient),
        (dokumenter::REPOSITORY, RepoKind::Patient),
    ]
    .into_iter()
    .map(|(name, kind)| RepositoryDecl::new(name, kind))
    .chain(registers::repositories())
    .collect();
    let mut config = StoreConfig::sqlite(folder.path(), declared);
    config.unsafe_no_sync = true;
    let (store, mint) = Store::open(config).unwrap();
    let open = mint.grant(Filter::Open, Seq(u64::MAX), 0);
    let table = Arc::new(RegisterTable::open(store.clone(), open).unwrap());
    let trust = Trust::new(
        store.clone(),
        mint,
        table.clone(),
        Arc::new(|| micros(NOW)),
        TrustConfig::default(),
    );
    let trust = Arc::new(trust.unwrap());
    table
        .import(vec![
            person(KARI, "Kari", "Lunde"),
            person(OTHER, "Máhtto", "Eira"),
            party(8_900_200, None, "Nordlys sykehus HF"),
            party(CLINIC, Some(8_900_200), "Hjertepoliklinikken"),
            party(8_900_000, None, "Helsenav drift"),
            party(HER_ID, Some(8_900_000), "Dokumenter, mottak"),
        ])
        .unwrap();
    let service = Arc::new(Dokumenter::new(trust.clone()).unwrap());
    World {
        _folder: folder,
        store,
        trust,
        service,
    }
}

/// A letter of 7309 `serv_type`, made at `gen_date`, with one paragraph of assessment.
fn letter(serv_type: &str, gen_date: &str, assessment: &str) -> Message {
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().into();
    let comment = |code: &str, heading: &str, text: &str| Comment {
        heading: Some(Coded::cs(code, heading)),
        text: Some(Rich::paragraphs(text.lines())),
        ..Comment::default()
    };
    let medicine = InfItem {
        medication: Some(Medication {
            drug: Coded::cv("B01AF02", 7180, "Apiksaban"),
            status: Coded::cs("2", "Forskrevet"),
            dosage: Some("5 mg morgen og kveld".to_owned()),
            ..Medication::default()
        }),
        kind: Coded::cs("MEDB", "Legemiddelopplysning"),
        ..InfItem::default()
    };
    let main = Coded::cs("H", "Hoveddiagnose");
    let event = Event {
        reported: Some(ReportedEvent {
            start: at("2026-11-23T08:00:00Z"),
            end: Some(at("2026-11-23T09:30:00Z")),
            ..ReportedEvent::default()
        }),
        serv_type: Coded::cs("N", "Ny"),
        service: Service {
            category: Some(Coded::cs("3", "Poliklinisk omsorg")),
            ..Service::default()
        },
        info: vec![
            medicine,
            InfItem::diagnosis(main, Coded::cv("I480", 7110, "Paroksysmal atrieflimmer")),
        ],
        comments: vec![
            comment("UTRED", "Behandling og plan", "Kontroll om tre måneder."),
            comment("VU", "Vurdering", assessment),
            comment("FU", "Funn", "Uregelmessig puls."),
            comment(
                "FO",
                "Aktuelt",
                "Hjertebank i tre uker.\nIngen brystsmerter.",
            ),
        ],
        ..Event::default()
    };
    Message {
        kind: Some(Coded::cs("EPIKRISE", "Epikrise")),
        mig_version: edi::epikrise::MIG_VERSION.to_owned(),
        gen_date: at(gen_date),
        msg_id: uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, gen_date.as_bytes()).to_string(),
        report: ServRprt {
            serv_type: Coded::cs(serv_type, "Ny"),
            issue_date: at(gen_date),
            status: Coded::cs("F", "Endelig rapport"),
            description: "Sykehusepikrise".to_owned(),
            report_id: Some(LETTER.to_owned()),
            events: vec![event],
            patient: Patient {
                sex: Some(Coded::cs("2", "Kvinne")),
                birth_date: Some("1968-09-14".into()),
                name: Some("Lunde, Kari".to_owned()),
                official_id: Some(KARI.to_owned()),
                official_id_type: Some(Coded::cs("FNR", "Fødselsnummer")),
                ..Patient::default()
            },
            provider: Hcp::from(
                Inst::new("Nordlys sykehus HF", 8_900_200).with_dept("Hjertepoliklinikken", CLINIC),
            )
            .into(),
            requester: Hcp::from(
                Inst::new("Helsenav drift", 8_900_000).with_dept("Dokumenter, mottak", HER_ID),
            )
            .into(),
            related: vec![RelatedProvider {
                relation: Coded::cs("AHP", "Ansvarlig helsepersonell"),
                hcp: Hcp::person("Ragnhild Sæther", 565_900_021),
                ..RelatedProvider::default()
            }],
            ..ServRprt::default()
        },
        ..Message::default()
    }
}

impl World {
    fn receive_bytes(&self, content: &[u8]) -> Intake {
        let opened = OpenedMessage {
            from_her_id: CLINIC,
            to_her_id: HER_ID,
            subject: "EPIKRISE".to_owned(),
            content: Bytes::copy_from_slice(content),
            signer_orgnr: None,
            now: micros(NOW),
            production: false,
        };
        let snapshot = self.store.snapshot().unwrap();
        self.service.receive(&snapshot, &opened).unwrap()
    }

    /// Takes a letter in as the exchange does; returns its bytes.
    fn receive(&self, message: &Message) -> (Intake, Vec<u8>) {
        let bytes = message.to_xml().into_bytes();
        let intake = self.receive_bytes(&bytes);
        self.store.commit(intake.commit.clone()).unwrap();
        (intake, bytes)
    }

    fn reader(&self, nin: &str, subject: &str) -> ViewContext {
        ViewContext {
            trust: self.trust.clone(),
            snapshot: self.store.snapshot().unwrap(),
            principal: Principal::Citizen {
                nin: nin.to_owned(),
                acting: None,
            },
            subject: SubjectRef::Nin(subject.to_owned()),
            interface: Interface::CitizenPortal,
            basis: Basis::None,
            elevated_part: None,
            service: "helsenorge",
            api: "brev".to_owned(),
            event_id: uuid::Uuid::now_v7(),
        }
    }

    fn kari(&self) -> ViewContext {
        self.reader(KARI, KARI)
    }

    fn only_letter(&self) -> dokumenter::views::LetterLine {
        let mut view = self.service.letters_for_citizen(&self.kari()).unwrap();
        assert_eq!((view.state, view.letters.len()), (SourceState::Ok, 1));
        view.letters.remove(0)
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

const FIRST: &str = "2026-11-23T12:50:00Z";
const LATER: &str = "2026-11-23T13:10:00Z";

#[test]
fn the_original_stands_byte_for_byte_with_its_hash() {
    let world = world();
    let (intake, sent) = world.receive(&letter("N", FIRST, "Atrieflimmer."));
    assert_eq!(
        status(&intake),
        (Some(Status::Ok), Vec::new()),
        "{:?}",
        intake.notes
    );
    let line = world.only_letter();
    assert_eq!(line.kind.as_deref(), Some("A03-2"));
    assert_eq!(
        line.from.as_deref(),
        Some("Nordlys sykehus HF, Hjertepoliklinikken")
    );
    let original = world.service.original(&world.kari(), &line.id).unwrap();
    assert_eq!(original.bytes, sent);
    let view = world
        .service
        .letter_for_citizen(&world.kari(), &line.id)
        .unwrap();
    let hash: String = store::sha256(&sent)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert_eq!(view.sha256, Some(hash));
    assert_eq!(view.size_bytes, Some(sent.len() as u64));
    assert_eq!(view.author.as_deref(), Some("Ragnhild Sæther"));
}

#[test]
fn the_sections_answer_the_questions_in_their_order_with_the_letters_own_words() {
    let world = world();
    world.receive(&letter("N", FIRST, "Atrieflimmer."));
    let id = world.only_letter().id;
    let view = world
        .service
        .letter_for_citizen(&world.kari(), &id)
        .unwrap();
    let shown: Vec<(SectionKey, Vec<String>)> = view
        .sections
        .iter()
        .map(|s| {
            (
                s.key,
                s.pieces.iter().flat_map(|p| p.text.clone()).collect(),
            )
        })
        .collect();
    let words = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        shown,
        [
            (
                SectionKey::Happened,
                words(&["Hjertebank i tre uker.", "Ingen brystsmerter."])
            ),
            (
                SectionKey::Found,
                words(&["Paroksysmal atrieflimmer (I48.0)", "Uregelmessig puls."])
            ),
            (
                SectionKey::Next,
                words(&["Kontroll om tre måneder.", "Atrieflimmer."])
            ),
            (
                SectionKey::Medicines,
                words(&["Apiksaban: 5 mg morgen og kveld"])
            ),
            (
                SectionKey::Contact,
                words(&["Nordlys sykehus HF, Hjertepoliklinikken"])
            ),
        ]
    );
}

#[test]
fn a_correction_is_a_new_version_of_the_same_document() {
    let world = world();
    world.receive(&letter("N", FIRST, "Atrieflimmer."));
    let first = world.only_letter();
    let (_, sent) = world.receive(&letter("M", LATER, "Atrieflutter."));
    let line = world.only_letter();
    assert_eq!(
        (line.id.as_str(), line.is_amended),
        (first.id.as_str(), true)
    );
    let original = world.service.original(&world.kari(), &line.id).unwrap();
    assert_eq!(original.bytes, sent);
    let repo = world.store.repo(dokumenter::REPOSITORY).unwrap();
    for rtype in ["DocumentReference", "Binary"] {
        let snapshot = world.store.snapshot().unwrap();
        let record = snapshot
            .read(&world.trust.hub("test"), repo, rtype, &line.id)
            .unwrap()
            .unwrap();
        assert_eq!(record.head.vno.0, 2, "{rtype}");
    }
}

#[test]
fn an_older_letter_that_comes_late_changes_nothing() {
    let world = world();
    let (_, sent) = world.receive(&letter("M", LATER, "Atrieflutter."));
    let (late, _) = world.receive(&letter("N", FIRST, "Atrieflimmer."));
    assert_eq!(status(&late).0, Some(Status::Ok));
    assert!(late.commit.put.is_empty());
    assert!(late.notes.iter().any(|n| n.code == "foreldet"));
    let id = world.only_letter().id;
    let original = world.service.original(&world.kari(), &id).unwrap();
    assert_eq!(original.bytes, sent);
}

#[test]
fn a_withdrawn_letter_is_marked() {
    let world = world();
    world.receive(&letter("N", FIRST, "Atrieflimmer."));
    world.receive(&letter("C", LATER, "Atrieflimmer."));
    assert!(world.only_letter().is_cancelled);
}

#[test]
fn for_others_a_letter_is_not_there() {
    let world = world();
    world.receive(&letter("N", FIRST, "Atrieflimmer."));
    let id = world.only_letter().id;
    for (what, context, id) in [
        (
            "another citizen's own",
            world.reader(OTHER, OTHER),
            id.as_str(),
        ),
        ("another citizen at hers", world.reader(OTHER, KARI), &id),
        (
            "no such letter",
            world.kari(),
            "00000000000000000000000000000000",
        ),
    ] {
        let read = world.service.letter_for_citizen(&context, id).unwrap_err();
        let bytes = world.service.original(&context, id).unwrap_err();
        assert_eq!(read, bytes, "{what}");
        assert_eq!(read, edge::Problem::not_found(), "{what}");
    }
    let theirs = world
        .service
        .letters_for_citizen(&world.reader(OTHER, OTHER))
        .unwrap();
    assert_eq!(
        (theirs.state, theirs.letters.len()),
        (SourceState::Empty, 0)
    );
}

#[test]
fn what_is_not_a_letter_is_refused_and_stores_nothing() {
    let world = world();
    let good = letter("N", FIRST, "Atrieflimmer.").to_xml();
    for (what, content) in [
        ("broken", good.replacen("<Type ", "<Typ ", 1)),
        ("bad number", good.replace(KARI, "14896849818")),
        ("nobody", good.replace(KARI, "24911099841")),
        ("not XML", "hei".to_owned()),
        ("empty", String::new()),
    ] {
        let intake = world.receive_bytes(content.as_bytes());
        assert_ne!(status(&intake).0, Some(Status::Ok), "{what}");
        assert!(intake.commit.put.is_empty(), "{what}");
    }
}

#[test]
fn the_fhir_form_of_a_letter() {
    let world = world();
    world.receive(&letter("N", FIRST, "Atrieflimmer."));
    let repo = world.store.repo(dokumenter::REPOSITORY).unwrap();
    let id = world.only_letter().id;
    let record = world
        .store
        .snapshot()
        .unwrap()
        .read(&world.trust.hub("test"), repo, "DocumentReference", &id)
        .unwrap()
        .unwrap();
    let body: serde_json::Value = serde_json::from_slice(&record.body).unwrap();
    let text = serde_json::to_string_pretty(&body).unwrap();
    insta::assert_snapshot!(text.replace(KARI, "<nin>"));
}
