//! Messages of our own, built with the crate's writers; `fixtures/` holds them as text.

use std::path::PathBuf;

use edi::fk1::{self, Ident};
use edi::hcp::{CopyDest, HcProf, Hcp, Inst};
use edi::msghead::{
    Document, HealthcareProfessional, MsgHead, MsgInfo, Organisation, Party, Patient,
};
use edi::value::{Coded, Rich, Time, Ts};
use edi::{apprec, dialogmelding, epikrise, henvisning, svarrapport};

pub fn solberg() -> Organisation {
    Organisation::new("Fjordgløtt legesenter AS", 8_900_100, Some("315900026")).with_professional(
        HealthcareProfessional {
            family_name: Some("Solberg".into()),
            given_name: Some("Anders".into()),
            idents: vec![
                Ident::person("HER", 8_900_101),
                Ident::person("HPR", 565_900_011),
            ],
            ..Default::default()
        },
    )
}

pub fn heart() -> Organisation {
    Organisation::new(
        "Nordlys universitetssykehus HF",
        8_900_300,
        Some("315900050"),
    )
    .with_unit(Organisation::new("Hjertesykdommer", 8_900_301, None))
}

pub fn kari() -> Patient {
    Patient {
        family_name: Some("Lunde".into()),
        given_name: Some("Kari".into()),
        birth_date: Some("1968-09-14".into()),
        sex: Some(Coded::cs("2", "Kvinne")),
        idents: vec![Ident::person("FNR", "14896849817")],
        ..Default::default()
    }
}

fn head(
    kind: Coded,
    msg_id: &str,
    from: Organisation,
    to: Organisation,
    payload: edi::xml::Elem,
) -> MsgHead {
    let info = MsgInfo {
        kind,
        mig_version: edi::msghead::MIG_VERSION.into(),
        gen_date: "2026-11-23T08:05:00".into(),
        msg_id: msg_id.into(),
        ack: Some(Coded::cs("J", "Ja")),
        sender: Party {
            organisation: from,
            ..Default::default()
        },
        receiver: Party {
            organisation: to,
            ..Default::default()
        },
        patient: Some(kari()),
        ..Default::default()
    };
    MsgHead {
        info,
        documents: vec![Document::payload(payload)],
        ..Default::default()
    }
}

pub fn referral() -> MsgHead {
    let h = henvisning::Henvisning {
        serv_type: Coded::cs("N", "Ny"),
        issue_date: "2026-11-23T08:05:00".into(),
        document_id: "0f3b5a0e-7f5c-4c61-9a0e-2b6f4f4e1a01".into(),
        responsible: vec![
            henvisning::Responsible {
                person: fk1::HealthcareProfessional {
                    family_name: Some("Solberg".into()),
                    given_name: Some("Anders".into()),
                    idents: vec![Ident::person("HPR", 565_900_011)],
                    ..Default::default()
                },
                relation: Some(Coded::cv("HHE", 8254, "Henvisende helsepersonell")),
                ..Default::default()
            }
            .into(),
        ],
        content_kind: henvisning::ContentKind {
            kind: Coded::cv("10", 8455, "Utredning/behandling"),
            ..Default::default()
        }
        .into(),
        info: vec![henvisning::InfItem {
            observation: Some(henvisning::Observation {
                description: Some("Ingen kjente".into()),
                ..Default::default()
            }),
            kind: Coded::cv("CAVE", 8233, "Cave-opplysninger"),
            ..Default::default()
        }],
        reasons: vec![henvisning::Text {
            heading: Some(Coded::cv("PROB", 8231, "Aktuell problemstilling")),
            text: Some("Anfall med hjertebank og uregelmessig puls".into()),
            ..Default::default()
        }],
        diagnoses: vec![henvisning::Diagnosis {
            concept: Coded::cv("K78", 7170, "Atrieflimmer/flutter"),
            ..Default::default()
        }],
        service: henvisning::ReqServ {
            serv_type: Coded::cs("N", "Ny"),
            priority: Coded::cs("14", "Innen to uker"),
            ..Default::default()
        },
        ..Default::default()
    };
    let kind = Coded::cs("HENVISNING_NYTILSTAND", "Henvisning ny tilstand");
    head(
        kind,
        "5b0e0a2e-4a55-4c0b-8a43-6f2f0c7d1001",
        solberg(),
        heart(),
        h.to_elem(),
    )
}

pub fn dialogue() -> MsgHead {
    let d = dialogmelding::Dialogmelding {
        notes: vec![dialogmelding::Notat {
            subject: Coded::cv("6", 7322, "Henvendelse om pasient"),
            subject_text: Some("Henvisning vurdert".into()),
            text: Some(Rich::plain("Time i dag kl. 12.00 ved Hjertesykdommer.")),
            roles: vec![dialogmelding::RollerRelatertNotat {
                role_to_patient: Some(Coded::cv("6", 9034, "Fastlege")),
                professional: Some(dialogmelding::HealthcareProfessional {
                    family_name: Some("Sæther".into()),
                    given_name: Some("Ragnhild".into()),
                    idents: vec![Ident::person("HPR", 565_900_021)],
                    ..Default::default()
                }),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let kind = Coded::cs("DIALOG_STATUS_HENVISNING", "Status på henvisning");
    let mut m = head(
        kind,
        "5b0e0a2e-4a55-4c0b-8a43-6f2f0c7d1002",
        heart(),
        solberg(),
        d.to_elem(),
    );
    m.documents.push(Document::attachment(
        "application/pdf",
        "innkalling.pdf",
        b"%PDF-1.4 eksempel",
    ));
    m
}

fn isbre() -> Hcp {
    Inst::new("Isbre Laboratorium AS", 8_900_400)
        .with_dept("Medisinsk biokjemi", 8_900_401)
        .into()
}

fn gp() -> Inst {
    Inst::new("Fjordgløtt legesenter AS", 8_900_100).with_person(
        "Anders Solberg",
        8_900_101,
        Some(565_900_011),
    )
}

pub fn answer_report() -> svarrapport::Message {
    use svarrapport as s;
    let nlk = |code: &str, name: &str| Coded::cv(code, 7280, name);
    let result =
        |code: Coded, value: &str, unit: &str, range: &str, id: &str, deviation| s::ResultItem {
            id: Some(id.into()),
            subjects: vec!["1".into()],
            ..s::ResultItem::number(code, value, unit, range, deviation)
        };
    let patient = s::Patient {
        sex: Some(Coded::cs("2", "Kvinne")),
        birth_date: Some("1968-09-14".into()),
        name: Some("Lunde, Kari".into()),
        official_id: "14896849817".into(),
        official_id_type: Coded::cs("FNR", "Fødselsnummer"),
        responsible: Some(s::ResponsibleHcp {
            relation: Some(Coded::cs("REK", "Rekvirent")),
            hcp: gp().into(),
            ..Default::default()
        }),
        subjects: vec![s::AnalysedSubject {
            sample: Some(s::CollectedSample {
                collected: Some("2026-11-23T09:10:00".into()),
                ..Default::default()
            }),
            kind: Some("Plasma".into()),
            id_by_provider: "1".into(),
            ..Default::default()
        }],
        results: vec![
            result(
                nlk("NOR05172", "B-Hemoglobin"),
                "12.6",
                "g/dL",
                "11,7 - 15,3",
                "1",
                None,
            ),
            result(
                nlk("NPU03230", "P-Kalium"),
                "4.1",
                "mmol/L",
                "3,5 - 4,4",
                "2",
                None,
            ),
            result(
                nlk("NPU21571", "P-NT-proBNP"),
                "412",
                "ng/L",
                "< 300",
                "3",
                Some(Coded::cs("1", "Over øvre referansegrense")),
            ),
        ],
        ..Default::default()
    };
    s::Message {
        kind: Coded::cs("SVAR_LAB", "Svarrapport-Laboratoriemedisin"),
        mig_version: s::MIG_VERSION.into(),
        gen_date: "2026-11-23T10:20:00".into(),
        msg_id: "5b0e0a2e-4a55-4c0b-8a43-6f2f0c7d1003".into(),
        report: Some(s::ServReport {
            serv_type: Coded::cs("N", "Ny"),
            issue_date: "2026-11-23T10:19:00".into(),
            status: Coded::cs("F", "Endelig rapport"),
            ack: Some(Coded::cs("J", "Ja")),
            discipline: Coded::cs("CLIN", "Medisinsk biokjemi"),
            report_id: "ISB-2026-000417".into(),
            requests: vec![s::ServReq {
                id: "FJO-118".into(),
                ..Default::default()
            }],
            patient: Some(patient),
            provider: isbre().into(),
            requester: Hcp::from(gp()).into(),
            copies: vec![CopyDest {
                hcp: Inst::new("Helsenav", 8_900_000)
                    .with_dept("Prøvesvar", 8_900_008)
                    .into(),
                ..Default::default()
            }],
            performer: Some(s::RelServProv {
                relation: Coded::cs("AHP", "Ansvarlig helsepersonell"),
                hcp: HcProf::new("Nina Lien", 565_900_031).into(),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub fn letter() -> epikrise::Message {
    use epikrise as e;
    let hospital: e::Hcp = Inst::new("Nordlys universitetssykehus HF", 8_900_300)
        .with_dept("Hjertesykdommer", 8_900_301)
        .into();
    let text = |code: &str, heading: &str, lines: &[&str]| e::Comment {
        heading: Some(Coded::cs(code, heading)),
        text: Some(Rich::paragraphs(lines.iter().copied())),
        ..Default::default()
    };
    let event = e::Event {
        reported: Some(e::ReportedEvent {
            start: "2026-11-23T12:00:00".into(),
            ..Default::default()
        }),
        serv_type: Coded::cs("N", "Ny"),
        service: e::Service {
            category: Some(Coded::cs("3", "Poliklinisk omsorg")),
            ..Default::default()
        },
        info: vec![
            e::InfItem::diagnosis(
                Coded::cs("H", "Hoveddiagnose"),
                Coded::cv("I480", 7110, "Paroksysmal atrieflimmer"),
            ),
            e::InfItem {
                medication: Some(e::Medication {
                    drug: Coded::cv("B01AF02", 7180, "apiksaban"),
                    status: Coded::cs("2", "Forskrevet"),
                    dosage: Some("5 mg to ganger daglig".into()),
                    ..Default::default()
                }),
                kind: Coded::cs("MEDB", "Legemiddelopplysning"),
                ..Default::default()
            },
        ],
        comments: vec![
            text(
                "VU",
                "Vurdering",
                &["Anfallsvis atrieflimmer.", "Starter antikoagulasjon."],
            ),
            text(
                "OP",
                "Planer for videre oppfølging",
                &["Kontroll hos fastlege om fire uker."],
            ),
        ],
        ..Default::default()
    };
    e::Message {
        kind: Some(Coded::cs("EPIKRISE", "Epikrise")),
        mig_version: e::MIG_VERSION.into(),
        gen_date: "2026-11-23T13:30:00".into(),
        msg_id: "5b0e0a2e-4a55-4c0b-8a43-6f2f0c7d1004".into(),
        report: e::ServRprt {
            serv_type: Coded::cs("N", "Ny"),
            issue_date: "2026-11-23T13:25:00".into(),
            status: Coded::cs("F", "Endelig rapport"),
            ack: Some(Coded::cs("J", "Ja")),
            description: "Sykehusepikrise".into(),
            report_id: Some("b9270660-4567-41e7-9598-0800200c9a66".into()),
            events: vec![event],
            patient: e::Patient {
                sex: Some(Coded::cs("2", "Kvinne")),
                birth_date: Some("1968-09-14".into()),
                name: Some("Lunde, Kari".into()),
                official_id: Some("14896849817".into()),
                official_id_type: Some(Coded::cs("FNR", "Fødselsnummer")),
                ..Default::default()
            },
            provider: hospital.into(),
            requester: e::Hcp::from(gp()).into(),
            related: vec![e::RelatedProvider {
                relation: Coded::cs("AHP", "Ansvarlig helsepersonell"),
                hcp: e::Hcp::person("Ragnhild Sæther", 565_900_021),
                ..Default::default()
            }],
            ..Default::default()
        },
        ..Default::default()
    }
}

pub fn receipt() -> apprec::AppRec {
    let m = answer_report().to_xml();
    let doc = edi::xml::XmlDoc::parse(m.as_bytes()).unwrap();
    let header = edi::message::Header::from_doc(&doc).unwrap();
    let now = "2026-11-23T09:20:02Z".parse().unwrap();
    let me = header.receiver.clone();
    apprec::AppRec::answer(
        &header,
        apprec::Status::Ok,
        vec![],
        "5b0e0a2e-4a55-4c0b-8a43-6f2f0c7d1005",
        now,
        &me,
    )
}

pub fn all() -> Vec<(&'static str, String)> {
    vec![
        ("henvisning-2.0.xml", referral().to_xml()),
        ("dialogmelding-1.1.xml", dialogue().to_xml()),
        ("svarrapport-1.4.xml", answer_report().to_xml()),
        ("epikrise-1.2.xml", letter().to_xml()),
        ("apprec-1.1.xml", receipt().to_xml()),
    ]
}

#[test]
fn fixtures_are_what_the_writers_write() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    for (name, text) in all() {
        let path = dir.join(name);
        if std::env::var_os("UPDATE_FIXTURES").is_some() {
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let want = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(text, want, "{name} (UPDATE_FIXTURES=1 writes it anew)");
    }
}

#[test]
fn what_we_write_has_no_faults_and_is_read_back() {
    for (name, text) in all() {
        let doc = edi::xml::XmlDoc::parse(text.as_bytes()).unwrap();
        assert_eq!(edi::structure::check(&doc.root).faults, [], "{name}");
    }
    let again = |t: String| edi::xml::XmlDoc::parse(t.as_bytes()).unwrap();
    assert_eq!(
        MsgHead::read_doc(&again(referral().to_xml())).unwrap(),
        referral()
    );
    assert_eq!(
        svarrapport::Message::read_doc(&again(answer_report().to_xml())).unwrap(),
        answer_report()
    );
    assert_eq!(
        epikrise::Message::read_doc(&again(letter().to_xml())).unwrap(),
        letter()
    );
    assert_eq!(
        apprec::AppRec::read_doc(&again(receipt().to_xml())).unwrap(),
        receipt()
    );
    let m = MsgHead::read_doc(&again(dialogue().to_xml())).unwrap();
    let bytes = m
        .attachments()
        .next()
        .unwrap()
        .reference
        .content
        .as_ref()
        .unwrap()
        .bytes();
    assert_eq!(bytes.as_deref(), Some(&b"%PDF-1.4 eksempel"[..]));
    let _: (Time, Ts) = ("2026".into(), "2026".into());
}

#[test]
fn metadata_names_message_and_parties_but_no_patient() {
    let show = |text: String| {
        let doc = edi::xml::XmlDoc::parse(text.as_bytes()).unwrap();
        edi::metadata::properties(&doc)
            .into_iter()
            .map(|(n, v)| format!("{n}: {v}\n"))
            .collect::<String>()
    };
    insta::assert_snapshot!(format!(
        "{}--\n{}",
        show(dialogue().to_xml()),
        show(receipt().to_xml())
    ));
}

#[test]
fn a_receipt_mirrors_the_addresses() {
    let text = referral().to_xml();
    let doc = edi::xml::XmlDoc::parse(text.as_bytes()).unwrap();
    let header = edi::message::Header::from_doc(&doc).unwrap();
    let now = "2026-11-23T07:06:00Z".parse().unwrap();
    let me = header.receiver.clone();
    let why = vec![apprec::ErrorCode::E35.error("Pasienten er ikke kjent her")];
    let r = apprec::AppRec::answer(
        &header,
        apprec::Status::Rejected,
        why,
        "5b0e0a2e-4a55-4c0b-8a43-6f2f0c7d1006",
        now,
        &me,
    );
    assert_eq!(r.outcome(), Some(apprec::Status::Rejected));
    insta::assert_snapshot!(r.to_xml());
    // A copy receiver says so; a rejection always has an error; a date becomes a time.
    let copy = edi::message::Endpoint::default();
    let mut dated = header.clone();
    dated.gen_date = "2026-11-23".into();
    let r = apprec::AppRec::answer(&dated, apprec::Status::Rejected, vec![], "x", now, &copy);
    assert_eq!(r.sender.role.as_ref().map(Coded::code), Some("COP"));
    assert_eq!(r.errors[0].code(), "X99");
    assert_eq!(r.original.issue_date.text, "2026-11-23T00:00:00");
}
