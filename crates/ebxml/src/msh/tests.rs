use proptest::prelude::*;

use super::*;
use crate::envelope::{AckRequested, Acknowledgment, MessageHeader, Service};
use crate::finding::Code;

fn payload(asks: bool) -> Kind {
    Kind::Payload {
        ack_requested: asks.then(AckRequested::default),
        sync_reply: false,
        manifest: Vec::new(),
    }
}

fn found(levels: &[Level]) -> Vec<Finding> {
    levels
        .iter()
        .map(|level| Finding::new(0, *level, Code::Unknown, "", ""))
        .collect()
}

#[test]
fn exactly_one_answer() {
    use Level::{Error, Fault, Info, Warning};
    let table: [(&[Level], bool, Answer); 8] = [
        (&[], true, Answer::Acknowledgment),
        (&[Info], true, Answer::Acknowledgment),
        (&[], false, Answer::Warnings),
        (&[Info, Warning], true, Answer::Warnings),
        (&[Warning, Error], true, Answer::Errors),
        (&[Error], false, Answer::Errors),
        (&[Fault, Warning], true, Answer::Fault),
        (&[Error, Fault], true, Answer::Fault),
    ];
    for (levels, asks, expected) in table {
        assert_eq!(
            answer(&payload(asks), &found(levels)),
            expected,
            "{levels:?} {asks}"
        );
    }
    for kind in [
        Kind::Service(Service::Ping),
        Kind::Acknowledgment(Acknowledgment::default()),
    ] {
        assert_eq!(answer(&kind, &found(&[Error])), Answer::Nothing);
    }
}

fn reference(uri: &str, digest: &str) -> AckReference {
    AckReference {
        uri: uri.to_owned(),
        digest: digest.to_owned(),
        xml: String::new(),
    }
}

#[test]
fn a_signal_says_what_became_of_its_message() {
    let sent = [reference("", "a"), reference("cid:1", "b")];
    let signal = |kind| Envelope {
        header: MessageHeader {
            ref_to_message_id: Some("m".to_owned()),
            ..MessageHeader::default()
        },
        kind,
    };
    let acknowledged = |references: Vec<AckReference>| {
        let signal = signal(Kind::Acknowledgment(Acknowledgment {
            references,
            ref_to_message_id: "m".to_owned(),
            ..Acknowledgment::default()
        }));
        assert_eq!(about(&signal), Some("m"));
        outcome(&signal, &sent)
    };
    let turned = vec![sent[1].clone(), sent[0].clone()];
    assert_eq!(acknowledged(turned), Some(Outcome::Accepted));
    assert_eq!(acknowledged(Vec::new()), Some(Outcome::Accepted));
    assert_eq!(
        acknowledged(vec![reference("", "z")]),
        Some(Outcome::Mismatch)
    );
    assert_eq!(acknowledged(vec![sent[0].clone()]), Some(Outcome::Mismatch));
    for (highest, expected) in [
        (Severity::Warning, Outcome::Accepted),
        (Severity::Error, Outcome::Refused),
    ] {
        let list = ErrorList {
            highest,
            errors: Vec::new(),
        };
        assert_eq!(outcome(&signal(Kind::Error(list)), &sent), Some(expected));
    }
    assert_eq!(outcome(&signal(payload(true)), &sent), None);
    assert_eq!(about(&signal(payload(true))), None);
}

#[test]
fn twelve_hours_five_times_and_then_it_has_failed() {
    const HOUR: i64 = 3_600_000_000;
    let rule = Reliability::default();
    let (mut last, mut resent, mut log) = (0, 0, Vec::new());
    for hour in 0..100 {
        match rule.next(0, last, resent, hour * HOUR) {
            Next::Wait { until_us } => assert!(until_us > hour * HOUR),
            Next::Resend => {
                log.push(hour);
                last = hour * HOUR;
                resent += 1;
            }
            Next::GiveUp => {
                log.push(-hour);
                break;
            }
        }
    }
    assert_eq!(log, [12, 24, 36, 48, 60, -72]);
}

proptest! {
    #[test]
    fn the_ladder_never_waits_for_the_past(first in 0..1_000_000_000_i64, last in 0..1_000_000_000_i64, resent in 0..9_u32, now in 0..900_000_000_000_i64) {
        let rule = Reliability::default();
        if let Next::Wait { until_us } = rule.next(first, first + last, resent, now) {
            prop_assert!(until_us > now);
        }
    }
}
