//! What the battery's messages are, by our own validator: an ordinary message has no fault, and each case has exactly its own.

#![allow(clippy::string_slice)]

use super::*;
use crate::approval::judge::expect;
use crate::port::Transport;
use edi::check::{Options, Severity, Transport as Road, Verdict, run};
use edi::message::MessageKind;

fn patient(kind: &'static str) -> TestPatient {
    let nin = match kind {
        "DNR" => "54896849800",
        _ => "14896849817",
    };
    TestPatient {
        nin: nin.to_owned(),
        kind,
        family_name: "Lunde".to_owned(),
        given_name: "Kari".to_owned(),
        born: jiff::civil::date(1968, 9, 14),
        sex: "2",
    }
}

fn hub() -> PartyName {
    PartyName {
        organisation: "Helsenav drift".to_owned(),
        organisation_her_id: 8_900_000,
        orgnr: "315900182".to_owned(),
        name: "Meldingsvalidering".to_owned(),
        her_id: 8_900_004,
        is_person: false,
    }
}

fn vendor(is_person: bool) -> PartyName {
    PartyName {
        organisation: "Din EPJ AS".to_owned(),
        organisation_her_id: 8_900_900,
        orgnr: "315900239".to_owned(),
        name: if is_person {
            "Kari Nordmann"
        } else {
            "Allmennlege"
        }
        .to_owned(),
        her_id: 8_900_901,
        is_person,
    }
}

fn make(standard: Standard, case: Case, to: &PartyName) -> Vec<u8> {
    let kind = if case == Case::DNumber { "DNR" } else { "FNR" };
    let msg_id = match case {
        Case::BadMsgId => "TEST-1",
        _ => "5b0e0a2e-4a55-4c0b-8a43-6f2f0c7d1001",
    };
    Recipe {
        standard,
        case,
        msg_id,
        at: "2026-11-23T08:05:00Z".parse().unwrap(),
        document_key: "0f3b5a0e-7f5c-4c61-9a0e-2b6f4f4e1a01",
        from: &hub(),
        to,
        patient: &patient(kind),
        too_big_bytes: 40_000,
    }
    .make()
}

/// What our own receivers would answer: the rules that a vendor is held to are those that we keep.
#[test]
fn our_own_receivers_would_pass() {
    for standard in Standard::ALL {
        for case in standard.cases(Transport::Amqp) {
            for is_person in [false, true] {
                let to = match case {
                    Case::WrongAddressee => hub(),
                    _ => vendor(is_person),
                };
                let bytes = make(standard, case, &to);
                let options = Options {
                    envelope: Some(edi::check::Envelope {
                        from_her_id: 8_900_004,
                        to_her_id: 8_900_901,
                    }),
                    accepts: Some(&[
                        MessageKind::Epikrise,
                        MessageKind::Svarrapport,
                        MessageKind::Henvisning,
                        MessageKind::Dialogmelding,
                    ]),
                    ..Options::default()
                };
                let checked = run(&bytes, &options);
                let wanted = expect(case);
                let errors: Vec<_> = checked
                    .findings
                    .iter()
                    .filter(|f| f.severity == Severity::Error)
                    .collect();
                let is_right = match checked.verdict(Road::Amqp) {
                    Verdict::Accept { .. } => wanted.positive || wanted.nothing(),
                    Verdict::Reject { errors, .. } => {
                        errors.iter().any(|e| wanted.negative.contains(&e.code()))
                    }
                    Verdict::TransportError { .. } => wanted.transport_error,
                    Verdict::Drop { .. } | Verdict::NotOpened => false,
                };
                assert!(is_right, "{standard:?} {case:?}: {errors:#?}");
            }
        }
    }
}

#[test]
fn every_message_says_that_it_is_a_test() {
    for standard in Standard::ALL {
        for case in standard
            .cases(Transport::Rest)
            .filter(|c| *c != Case::Receipt)
        {
            let checked = run(&make(standard, case, &vendor(false)), &Options::default());
            let status = checked.header.unwrap().processing_status.unwrap();
            assert!(status == "D" || status == "TEST", "{standard:?} {case:?}");
        }
    }
}

#[test]
fn a_receipt_has_the_version_of_the_standard() {
    for standard in Standard::ALL {
        let text = String::from_utf8(make(standard, Case::Receipt, &vendor(false))).unwrap();
        let wanted = standard.receipt_version().mig_version();
        assert!(text.contains(wanted), "{standard:?}");
    }
}

#[test]
fn the_attachment_is_as_large_as_asked() {
    let small = pdf(0);
    assert!(small.starts_with(b"%PDF-1.4") && small.ends_with(b"%%EOF\n") && small.len() < 2_000);
    assert!((100_000..102_000).contains(&pdf(100_000).len()));
    // The table of places is right: each names an object.
    for bytes in [small, pdf(10_000)] {
        let text = String::from_utf8(bytes).unwrap();
        let table = text.split("xref\n").nth(1).unwrap();
        for (number, line) in table.lines().skip(2).take(5).enumerate() {
            let place: usize = line[..10].parse().unwrap();
            assert!(text[place..].starts_with(&format!("{} 0 obj", number + 1)));
        }
    }
}

#[test]
fn nobody_has_a_broken_number() {
    let kari = patient("FNR");
    assert!(Nin::parse(&kari.nin).is_ok());
    assert!(Nin::parse(&kari.broken_nin()).is_err());
}
