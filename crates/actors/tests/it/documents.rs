//! The story's documents are right by everybody's rules, and say what the story says.

use crate::nation_of::GIVEN;
use actors::compose::{Composer, Letterhead};
use edi::check::{self, Envelope, Options, Transport, Verdict};
use edi::xml::XmlDoc;
use edi::xsd::{SchemaOutcome, SchemaSet};
use edi::{dialogmelding, epikrise, henvisning, msghead, svarrapport};
use nation::story::content;
use std::path::{Path, PathBuf};
use uuid::Uuid;

const MSG_ID: &str = "9b1f3b0c-3a2d-4a52-8a42-1d1c5c1f0001";

struct Made {
    name: &'static str,
    xml: String,
    from: u32,
    to: Vec<u32>,
}

fn made() -> Vec<Made> {
    let composer = Composer::new(GIVEN.facts.clone(), GIVEN.nation.clone());
    let kari = composer.person("blokk").unwrap();
    let day = GIVEN.nation.anchor();
    let head = |hour, minute, from, to, copies| Letterhead {
        msg_id: MSG_ID,
        at: day.at(hour, minute, 0, 0),
        from,
        to,
        copies,
    };
    let report = content::blokk_report();
    let correction = content::blokk_correction();
    let taken = day.at(9, 10, 0, 0);
    let number = report.number;
    let row = |name, xml, from, to: &[u32]| Made {
        name,
        xml,
        from,
        to: to.to_vec(),
    };
    let referral = head(8, 5, 8_900_101, 8_900_301, &[]);
    let first = head(10, 20, 8_900_401, 8_900_101, &[8_900_008]);
    let second = head(10, 21, 8_900_401, 8_900_101, &[8_900_008]);
    let status = head(11, 0, 8_900_301, 8_900_101, &[]);
    let letter = head(13, 30, 8_900_301, 8_900_101, &[8_900_009]);
    let id = Uuid::from_u128(1);
    vec![
        row(
            "referral",
            composer
                .referral(&referral, id, kari, &content::BLOKK_REFERRAL)
                .unwrap(),
            8_900_101,
            &[8_900_301],
        ),
        row(
            "report",
            composer
                .report(&first, kari, number, taken, &report, None)
                .unwrap(),
            8_900_401,
            &[8_900_101, 8_900_008],
        ),
        row(
            "correction",
            composer
                .report(&second, kari, number, taken, &correction, Some(&report))
                .unwrap(),
            8_900_401,
            &[8_900_101, 8_900_008],
        ),
        row(
            "status",
            composer
                .referral_status(&status, kari, content::BLOKK_ASSESSED)
                .unwrap(),
            8_900_301,
            &[8_900_101],
        ),
        row(
            "letter",
            composer
                .discharge(
                    &letter,
                    kari,
                    id,
                    day.at(11, 45, 0, 0),
                    &content::BLOKK_DISCHARGE,
                )
                .unwrap(),
            8_900_301,
            &[8_900_101, 8_900_009],
        ),
    ]
}

fn xml_of(name: &str) -> XmlDoc {
    let all = made();
    let found = all.iter().find(|m| m.name == name).unwrap();
    XmlDoc::parse(found.xml.as_bytes()).unwrap()
}

#[test]
fn every_receiver_takes_them_without_a_warning() {
    for m in made() {
        for to in m.to {
            let options = Options {
                envelope: Some(Envelope {
                    from_her_id: m.from,
                    to_her_id: to,
                }),
                now: Some("2026-11-23T18:00:00Z".parse().unwrap()),
                ..Options::default()
            };
            let checked = check::run(m.xml.as_bytes(), &options);
            assert_eq!(
                checked.verdict(Transport::Amqp),
                Verdict::Accept { warnings: 0 },
                "{} to {to}: {:#?}",
                m.name,
                checked.findings
            );
        }
        let doc = XmlDoc::parse(m.xml.as_bytes()).unwrap();
        assert_eq!(edi::structure::check(&doc.root).faults, [], "{}", m.name);
    }
}

#[test]
fn official_schemas_find_them_valid() {
    let root = std::env::var_os("HELSENAV_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let folder = root.join("data/messaging/xsd");
    if !folder.exists() {
        println!(
            "skipped: no official schemas at {} (set HELSENAV_SHARED)",
            folder.display()
        );
        return;
    }
    let set = SchemaSet::load(&folder).unwrap();
    for m in made() {
        let doc = XmlDoc::parse(m.xml.as_bytes()).unwrap();
        let outcome = set.check(&doc);
        let SchemaOutcome::Checked { faults, unknown } = outcome else {
            panic!("{}: {outcome:?}", m.name)
        };
        assert!(
            faults.is_empty() && unknown.iter().all(|ns| ns.ends_with("xhtml")),
            "{}: {faults:?} {unknown:?}",
            m.name
        );
    }
}

#[test]
fn the_referral_says_what_the_story_says() {
    let head = msghead::MsgHead::read_doc(&xml_of("referral")).unwrap();
    assert_eq!(head.info.kind.code(), "HENVISNING_NYTILSTAND");
    assert_eq!(head.info.ack.as_ref().unwrap().code(), "J");
    assert_eq!(
        head.info.gen_date.instant().unwrap().to_string(),
        "2026-11-23T07:05:00Z"
    );
    let referral = henvisning::Henvisning::read_elem(head.payload().unwrap()).unwrap();
    assert_eq!(referral.diagnoses[0].concept.code(), "K78");
    assert_eq!(referral.service.priority.code(), "14");
    let problem = &referral.reasons[0];
    assert_eq!(problem.heading.as_ref().unwrap().code(), "PROB");
    assert!(
        problem
            .text
            .as_ref()
            .unwrap()
            .starts_with("Anfall med hjertebank")
    );
    assert_eq!(
        referral.info.len(),
        1,
        "no medicines, one line about allergies"
    );
}

#[test]
fn the_correction_exchanges_one_value_under_the_same_number() {
    let [first, second] = ["report", "correction"].map(|name| {
        let message = svarrapport::Message::read_doc(&xml_of(name)).unwrap();
        message.report.unwrap()
    });
    assert_eq!(first.report_id, "ISB-2026-000417");
    assert_eq!(first.report_id, second.report_id);
    assert_eq!(
        (first.serv_type.code(), second.serv_type.code()),
        ("N", "M")
    );
    let [first, second] = [first, second].map(|r| r.patient.unwrap().results);
    assert_eq!((first.len(), second.len()), (6, 6));
    let differ: Vec<usize> = (0..6).filter(|i| first[*i] != second[*i]).collect();
    assert_eq!(differ, [5]);
    let value =
        |item: &svarrapport::ResultItem| item.number.as_ref().unwrap().value.value.clone().unwrap();
    assert_eq!(
        (value(&first[5]).as_str(), value(&second[5]).as_str()),
        ("412", "142")
    );
    assert_eq!(first[5].deviation.as_ref().unwrap().code(), "1");
    assert!(second[5].deviation.is_none());
    assert_eq!(second[5].serv_type.as_ref().unwrap().code(), "M");
}

#[test]
fn the_status_and_the_letter_say_what_the_story_says() {
    let head = msghead::MsgHead::read_doc(&xml_of("status")).unwrap();
    let note = dialogmelding::Dialogmelding::read_elem(head.payload().unwrap()).unwrap();
    assert_eq!(
        note.notes[0].text.as_ref().unwrap().text(),
        content::BLOKK_ASSESSED
    );

    let letter = epikrise::Message::read_doc(&xml_of("letter"))
        .unwrap()
        .report;
    assert_eq!(letter.description, "Sykehusepikrise");
    let event = &letter.events[0];
    assert_eq!(event.service.category.as_ref().unwrap().code(), "3");
    assert_eq!(
        event.comments.len(),
        content::BLOKK_DISCHARGE.sections.len()
    );
    let drugs: Vec<&str> = event
        .info
        .iter()
        .filter_map(|i| Some(i.medication.as_ref()?.drug.code()))
        .collect();
    assert_eq!(drugs, ["B01AF02", "C07AB02"]);
    let main = event.info[0].observation.as_ref().unwrap();
    assert_eq!(main.code.as_ref().unwrap().concept.code(), "I480");
    let lines: usize = event
        .comments
        .iter()
        .map(|c| c.text.as_ref().unwrap().text().lines().count())
        .sum();
    assert!((20..=30).contains(&lines), "{lines} lines");
}
