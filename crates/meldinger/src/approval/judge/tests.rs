//! The rules of judging as tables.

use super::*;
use crate::approval::criteria::{CRITERIA, find};
use crate::approval::model::{Declared, Status, System};
use crate::approval::model::{SeenReceipt, Sent};
use crate::approval::standard::Direction;
use crate::approval::standard::Standard;
use crate::port::Transport;
use edi::apprec::Status as Outcome;
use edi::apprec::{AppRec, ErrorCode, Version};
use edi::check::Options;
use edi::message::Header;
use edi::message::{Endpoint, PartyId};
use edi::value::Coded;
use proptest::prelude::*;

const MSG_ID: &str = "5b0e0a2e-4a55-4c0b-8a43-6f2f0c7d1001";
const BETWEEN: Between = Between {
    vendor: 8_900_901,
    hub: 8_900_004,
};

fn endpoint(organisation: u32, unit: u32) -> Endpoint {
    let party = |her_id: u32| PartyId {
        name: "Enhet".to_owned(),
        ids: vec![("HER".to_owned(), her_id.to_string())],
        ..PartyId::default()
    };
    Endpoint {
        organisation: party(organisation),
        unit: Some(party(unit)),
        person: None,
    }
}

fn sent() -> Sent {
    Sent {
        msg_id: MSG_ID.to_owned(),
        gen_date: "2026-11-23T08:05:00+01:00".to_owned(),
        function: "EPIKRISE".to_owned(),
        tracks: vec!["t".to_owned()],
        addressed_to: BETWEEN.vendor,
        ..Sent::default()
    }
}

/// The vendor's right receipt.
fn right(status: Outcome, errors: Vec<Coded>) -> AppRec {
    let original = Header {
        document_type: Some(Coded::cs("EPIKRISE", "Epikrise")),
        msg_id: MSG_ID.to_owned(),
        gen_date: "2026-11-23T08:05:00+01:00".into(),
        sender: endpoint(8_900_000, BETWEEN.hub),
        receiver: endpoint(8_900_900, BETWEEN.vendor),
        ..Header::default()
    };
    let now = "2026-11-23T07:06:00Z".parse().unwrap();
    let me = endpoint(8_900_900, BETWEEN.vendor);
    AppRec::answer(
        &original,
        status,
        errors,
        "5b0e0a2e-4a55-4c0b-8a43-6f2f0c7d2002",
        now,
        &me,
    )
}

fn seen(xml: &str, standard: Standard) -> SeenReceipt {
    let checked = edi::check::run(xml.as_bytes(), &Options::default());
    receipt(&checked, standard, BETWEEN, Some(&sent()))
}

/// Criteria that a receipt breaks.
fn broken(xml: &str, standard: Standard) -> Vec<String> {
    let mut ids: Vec<String> = seen(xml, standard)
        .findings
        .into_iter()
        .map(|finding| finding.criterion)
        .collect();
    ids.sort();
    ids.dedup();
    ids
}

#[test]
fn a_right_receipt_has_no_findings() {
    for (status, errors) in [
        (Outcome::Ok, vec![]),
        (Outcome::Rejected, vec![ErrorCode::E10.error("")]),
    ] {
        let xml = right(status, errors.clone()).to_xml();
        let seen = seen(&xml, Standard::Epikrise12);
        assert_eq!(seen.findings, [], "{status:?}");
        assert_eq!(seen.status.as_deref(), Some(status.code()));
        assert_eq!(seen.codes.len(), errors.len());
    }
    let older = right(Outcome::Ok, vec![])
        .in_version(Version::V1_0)
        .to_xml();
    assert_eq!(broken(&older, Standard::Dialogmelding10), [] as [&str; 0]);
}

#[test]
fn each_fault_breaks_its_own_criterion() {
    let good = right(Outcome::Ok, vec![]).to_xml();
    let swap = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replace(from, to)
    };
    let rejected = right(Outcome::Rejected, vec![ErrorCode::E10.error("")]).to_xml();
    let table = [
        (swap(MSG_ID, "5b0e0a2e-4a55-4c0b-8a43-6f2f0c7dffff"), vec![]),
        (swap("V=\"EPIKRISE\"", "V=\"SVAR_LAB\""), vec!["R-A03"]),
        (swap("08:05:00+01:00", "08:06:00+01:00"), vec!["R-A03"]),
        (swap("08:05:00+01:00", "07:05:00Z"), vec![]),
        (
            swap("5b0e0a2e-4a55-4c0b-8a43-6f2f0c7d2002", "17"),
            vec!["R-A08"],
        ),
        (swap("8900901", "8900902"), vec!["R-A04"]),
        (swap("8900004", "8900005"), vec!["R-A04"]),
        (rejected.replace("V=\"E10\"", "V=\"E98\""), vec!["R-A06"]),
    ];
    for (xml, wanted) in table {
        assert_eq!(broken(&xml, Standard::Epikrise12), wanted, "{xml}");
    }
    // The version of the standard, not of the receipt itself, decides.
    assert!(broken(&good, Standard::Dialogmelding10).contains(&"R-A01".to_owned()));
    let older = right(Outcome::Ok, vec![])
        .in_version(Version::V1_0)
        .to_xml();
    assert!(broken(&older, Standard::Epikrise12).contains(&"R-A01".to_owned()));
}

#[test]
fn a_finding_says_where() {
    let xml = right(Outcome::Ok, vec![])
        .to_xml()
        .replace("V=\"EPIKRISE\"", "V=\"SVAR_LAB\"");
    let seen = seen(&xml, Standard::Epikrise12);
    let finding = &seen.findings[0];
    assert!(finding.line > 0 && finding.column > 0);
    assert!(
        finding.element.ends_with("/OriginalMsgId/MsgType"),
        "{}",
        finding.element
    );
    assert!(!finding.rule.is_empty());
}

#[test]
fn one_that_answers_nothing_is_a_wrong_reference() {
    let checked = edi::check::run(
        right(Outcome::Ok, vec![]).to_xml().as_bytes(),
        &Options::default(),
    );
    let seen = receipt(&checked, Standard::Epikrise12, BETWEEN, None);
    assert_eq!(seen.findings[0].criterion, "R-A03");
}

#[test]
fn what_cannot_be_opened_counts_where_it_belongs() {
    for (condition, criterion) in [
        ("transport:invalid-signature", "R-A05"),
        ("transport:decryption-failed", "R-A05"),
        ("transport:not-well-formed-xml", "R-A02"),
        ("abuse:spoofing-attack", "R-A04"),
    ] {
        assert_eq!(
            sealed_receipt("t", 1, condition).findings[0].criterion,
            criterion
        );
    }
    for (condition, criterion) in [
        ("transport:invalid-signature", "S-E01"),
        ("transport:not-well-formed-xml", "S-X01"),
        ("abuse:spoofing-attack", "S-A01"),
    ] {
        assert_eq!(
            unreadable("EPIKRISE", condition, "").findings[0].criterion,
            criterion
        );
    }
}

fn a_run(direction: Direction, standard: Standard) -> Run {
    Run {
        id: "r".to_owned(),
        system: System {
            her_id: BETWEEN.vendor,
            ..System::default()
        },
        standard,
        direction,
        transport: Transport::Amqp,
        status: Status::Testing,
        started_at_us: 0,
        finished_at_us: None,
        cases: Vec::new(),
        strays: Vec::new(),
        judged: Vec::new(),
        declared: std::collections::BTreeMap::new(),
        report: None,
    }
}

/// A run in which every case was sent.
fn battery() -> Run {
    let standard = Standard::Epikrise12;
    let case = |case: Case| CaseRun {
        case,
        attempts: 1,
        sent: Sent {
            tracks: (0..case.messages())
                .map(|n| format!("{}-{n}", case.code()))
                .collect(),
            ..sent()
        },
        receipts: Vec::new(),
    };
    Run {
        cases: standard.cases(Transport::Amqp).map(case).collect(),
        ..a_run(Direction::Receive, standard)
    }
}

fn answer(status: &str, codes: &[&str]) -> SeenReceipt {
    SeenReceipt {
        track: format!("{status}{codes:?}"),
        status: Some(status.to_owned()),
        codes: codes.iter().map(|code| (*code).to_owned()).collect(),
        ..SeenReceipt::default()
    }
}

fn fetched(_: &str) -> TrackFacts {
    TrackFacts {
        fetched: true,
        ..TrackFacts::default()
    }
}

fn state(run_: &Run, id: &str, facts: &dyn Fn(&str) -> TrackFacts) -> State {
    let all = run(run_, facts);
    all.iter()
        .find(|judgement| judgement.criterion.id == id)
        .unwrap()
        .state
}

/// State of a case's criterion after these answers.
fn of_case(case: Case, receipts: &[SeenReceipt], condition: Option<&str>) -> State {
    let mut run = battery();
    for (number, receipt) in receipts.iter().enumerate() {
        let receipt = SeenReceipt {
            track: number.to_string(),
            ..receipt.clone()
        };
        assert!(run.note_receipt(Some(case), receipt));
    }
    let criterion = CRITERIA
        .iter()
        .find(|c| c.kind == Kind::Case(case))
        .unwrap();
    let facts = |_: &str| TrackFacts {
        fetched: true,
        condition: condition.map(str::to_owned),
        ..TrackFacts::default()
    };
    state(&run, criterion.id, &facts)
}

#[test]
fn what_a_case_must_be_answered_with() {
    use State::{Failed, Passed, Waiting};
    let ok = answer("1", &[]);
    let no = |code| answer("2", &[code]);
    let table: &[(Case, &[SeenReceipt], Option<&str>, State)] = &[
        (Case::Normal, &[], None, Waiting),
        (Case::Normal, std::slice::from_ref(&ok), None, Passed),
        (Case::Normal, &[no("E35")], None, Failed),
        (Case::Normal, &[ok.clone(), ok.clone()], None, Failed),
        (Case::Normal, &[], Some("transport:internal-error"), Failed),
        (Case::NoPatientId, std::slice::from_ref(&ok), None, Failed),
        (Case::NoPatientId, &[no("E36")], None, Passed),
        (Case::NoPatientId, &[no("E10")], None, Failed),
        (Case::BirthDateOnly, &[no("E35")], None, Passed),
        (Case::BirthDateOnly, &[no("E36")], None, Failed),
        (Case::WrongPatientId, &[no("E31")], None, Passed),
        (Case::Attachment, std::slice::from_ref(&ok), None, Passed),
        (Case::Attachment, &[no("X99")], None, Passed),
        (Case::TooBig, &[], Some("dead-letter"), Passed),
        (
            Case::TooBig,
            std::slice::from_ref(&ok),
            Some("dead-letter"),
            Failed,
        ),
        (Case::BadMsgId, &[no("E10")], None, Passed),
        (Case::BadMsgId, std::slice::from_ref(&ok), None, Failed),
        (
            Case::WrongAddressee,
            &[],
            Some("transport:invalid-field-value"),
            Passed,
        ),
        (Case::WrongAddressee, &[no("E21")], None, Passed),
        (
            Case::WrongAddressee,
            std::slice::from_ref(&ok),
            None,
            Failed,
        ),
        (Case::UnknownCode, &[no("T02")], None, Failed),
        (Case::Duplicate, std::slice::from_ref(&ok), None, Passed),
        (Case::Duplicate, &[ok.clone(), ok.clone()], None, Failed),
        (Case::NotWellFormed, &[no("T01")], None, Passed),
        (Case::Receipt, &[], None, Passed),
        (Case::Receipt, std::slice::from_ref(&ok), None, Failed),
    ];
    for (case, receipts, condition, wanted) in table {
        assert_eq!(
            of_case(*case, receipts, *condition),
            *wanted,
            "{case:?} {receipts:?} {condition:?}"
        );
    }
}

#[test]
fn nothing_is_proven_before_the_receiver_has_it() {
    let run = battery();
    let nothing = |_: &str| TrackFacts::default();
    for id in ["R-T01", "R-C17", "R-C14", "R-A01", "R-D01"] {
        assert_eq!(state(&run, id, &nothing), State::Waiting, "{id}");
    }
    assert_eq!(state(&run, "R-T01", &fetched), State::Passed);
    let not_sent = |_: &str| TrackFacts {
        not_sent: Some("not-sent".to_owned()),
        ..TrackFacts::default()
    };
    assert_eq!(state(&run, "R-T01", &not_sent), State::Failed);
}

#[test]
fn two_receipts_for_one_message_break_the_rule_of_one() {
    let mut run = battery();
    run.note_receipt(Some(Case::Duplicate), answer("1", &[]));
    assert_eq!(state(&run, "R-A07", &fetched), State::Passed);
    run.note_receipt(Some(Case::Duplicate), answer("2", &["E10"]));
    assert_eq!(state(&run, "R-A07", &fetched), State::Failed);
}

#[test]
fn a_declaration_is_yes_or_no() {
    let mut run = battery();
    for (answer, wanted) in [(true, State::Passed), (false, State::Failed)] {
        let declared = Declared {
            answer,
            ..Declared::default()
        };
        run.declared.insert("R-D01".to_owned(), declared);
        assert_eq!(state(&run, "R-D01", &fetched), wanted);
    }
}

const LETTER: &str = include_str!("../../../../edi/fixtures/epikrise-1.2.xml");

fn judge_letter(xml: &str, before: &[Judged]) -> Judged {
    let checked = edi::check::run(xml.as_bytes(), &Options::default());
    message(&checked, Standard::Epikrise12, "EPIKRISE", before)
}

fn another(xml: &str) -> String {
    xml.replace(
        "5b0e0a2e-4a55-4c0b-8a43-6f2f0c7d1004",
        "5b0e0a2e-4a55-4c0b-8a43-6f2f0c7d9999",
    )
}

#[test]
fn what_a_message_shows() {
    let first = judge_letter(LETTER, &[]);
    assert_eq!(
        (first.cases.as_slice(), first.findings.as_slice()),
        (&[SendCase::Normal][..], &[][..])
    );
    let before = [first];
    let state_of = |code: &str| {
        // The first processing state of the letter is the document's.
        another(LETTER).replacen("<ServType V=\"N\"", &format!("<ServType V=\"{code}\""), 1)
    };
    for (code, case, criterion) in [
        ("M", SendCase::Change, "S-C02"),
        ("C", SendCase::Cancel, "S-C03"),
    ] {
        let judged = judge_letter(&state_of(code), &before);
        assert_eq!(judged.cases, [case]);
        assert_eq!(judged.findings, []);
        // Without the document that it changes it shows nothing right.
        let judged = judge_letter(&state_of(code), &[]);
        assert_eq!(judged.findings[0].criterion, criterion);
    }
    let again = judge_letter(LETTER, &before);
    assert!(
        again
            .findings
            .iter()
            .any(|finding| finding.criterion == "S-X04")
    );
    let dnr = another(LETTER).replace("V=\"FNR\"", "V=\"DNR\"");
    assert!(judge_letter(&dnr, &[]).cases.contains(&SendCase::OtherId));
}

#[test]
fn a_wrong_envelope_or_namespace_is_found() {
    let checked = edi::check::run(LETTER.as_bytes(), &Options::default());
    let broken = |standard, function| -> Vec<String> {
        let judged = message(&checked, standard, function, &[]);
        judged
            .findings
            .into_iter()
            .map(|finding| finding.criterion)
            .collect()
    };
    assert_eq!(broken(Standard::Epikrise12, "EPIKRISE"), [] as [&str; 0]);
    assert_eq!(broken(Standard::Epikrise12, "FODSELS_EPIKRISE"), ["S-E01"]);
    assert_eq!(
        broken(Standard::Henvisning20, "EPIKRISE"),
        ["S-X02", "S-E01"]
    );
}

#[test]
fn what_was_mended_counts_no_more() {
    let mut run = a_run(Direction::Send, Standard::Epikrise12);
    let message = |track: &str, criterion: Option<&str>| Judged {
        track: track.to_owned(),
        cases: vec![SendCase::Normal],
        findings: criterion
            .map(|id| simple(find(id).unwrap(), "", ""))
            .into_iter()
            .collect(),
        ..Judged::default()
    };
    assert_eq!(state(&run, "S-P01", &fetched), State::Waiting);
    run.note_judged(message("1", Some("S-P01")));
    assert_eq!(state(&run, "S-P01", &fetched), State::Failed);
    assert_eq!(state(&run, "S-C01", &fetched), State::Failed);
    run.note_judged(message("2", None));
    assert_eq!(state(&run, "S-P01", &fetched), State::Passed);
    assert_eq!(state(&run, "S-C01", &fetched), State::Passed);
    assert_eq!(state(&run, "S-C02", &fetched), State::Waiting);
    run.note_judged(unreadable("EPIKRISE", "transport:not-well-formed-xml", ""));
    assert_eq!(state(&run, "S-X01", &fetched), State::Failed);
}

proptest! {
    /// Whatever a vendor answers with is judged, and bounded.
    #[test]
    fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0usize..2_000) {
        let mut xml = right(Outcome::Ok, vec![]).to_xml().into_bytes();
        xml.truncate(cut);
        xml.extend_from_slice(&bytes);
        for input in [&bytes, &xml] {
            let checked = edi::check::run(input, &Options::default());
            let seen = receipt(&checked, Standard::Epikrise12, BETWEEN, Some(&sent()));
            prop_assert!(seen.findings.len() <= MAX_FINDINGS && seen.codes.len() <= 10);
            let judged = message(&checked, Standard::Epikrise12, "EPIKRISE", &[]);
            prop_assert!(judged.findings.len() <= MAX_FINDINGS);
        }
    }
}
