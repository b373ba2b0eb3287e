use super::*;

const HOUR: i64 = 3_600_000_000;
const SENT: i64 = 1_795_421_100_000_000;

pub(crate) fn sample() -> Track {
    let mut track = Track {
        id: "t".to_owned(),
        queue: "8900300_async".to_owned(),
        message_id: "m".to_owned(),
        subject: "HENVISNING_NYTILSTAND".to_owned(),
        content_type: String::new(),
        from: 8_900_101,
        from_organisation: 8_900_100,
        to: 8_900_301,
        to_organisation: 8_900_300,
        bytes: 10,
        received_at_us: SENT + 1,
        sent_at_us: SENT,
        msg_id: Some("id".to_owned()),
        conversation: None,
        about: None,
        state: State::Queued,
        failed_deliveries: 0,
        expects_receipt: false,
        next_reminder_us: None,
        receipt: None,
        alert: None,
        ..Track::default()
    };
    track.expect_receipt();
    track
}

fn known(status: &str, codes: &[&str]) -> Receipt {
    Receipt::Known {
        status: status.to_owned(),
        codes: codes.iter().map(|code| (*code).to_owned()).collect(),
    }
}

#[test]
fn the_way_of_a_message_with_a_sealed_receipt() {
    let mut track = sample();
    assert_eq!(track.next_reminder_us, Some(SENT + 24 * HOUR));
    track.fetched(SENT + 5, SENT + 4, 1);
    assert_eq!(track.state, State::Collected);
    track.receipt_arrived(SENT + 6, Receipt::Sealed);
    assert_eq!(
        track.state,
        State::Collected,
        "that a receipt is on its way says nothing"
    );
    track.receipt_fetched(SENT + 7);
    assert_eq!(track.state, State::ReceiptSealed, "never guess green");
    assert_eq!(track.next_reminder_us, None);
    track.receipt_arrived(SENT + 8, known("1", &[]));
    assert_eq!(track.state, State::Accepted, "a readable one tells more");
}

#[test]
fn a_known_receipt_decides_and_is_final() {
    let mut track = sample();
    track.fetched(SENT + 5, SENT + 4, 1);
    track.receipt_arrived(SENT + 6, known("2", &["E35"]));
    assert_eq!(
        track.state,
        State::Rejected {
            codes: vec!["E35".to_owned()]
        }
    );
    assert!(track.state.needs_human());
    track.receipt_arrived(SENT + 7, known("1", &[]));
    track.receipt_fetched(SENT + 8);
    assert_eq!(
        track.state,
        State::Rejected {
            codes: vec!["E35".to_owned()]
        }
    );
    assert_eq!(track.receipt, Some(known("2", &["E35"])));

    let mut track = sample();
    track.receipt_arrived(SENT + 6, known("3", &["X99"]));
    assert_eq!(track.state.code(), "accepted_with_remarks");
}

#[test]
fn without_receipt_it_turns_yellow_and_red_and_a_late_one_clears_it() {
    let mut track = sample();
    track.fetched(SENT + 5, SENT + 4, 1);
    assert!(!track.remind(SENT + 23 * HOUR));
    assert!(track.remind(SENT + 24 * HOUR));
    assert!(!track.remind(SENT + 25 * HOUR));
    assert_eq!(
        (
            track.next_reminder_us,
            track.waiting_hours(SENT + 26 * HOUR)
        ),
        (Some(SENT + 48 * HOUR), Some(26))
    );
    // The clock jumps over two marks at once.
    assert!(track.remind(SENT + 96 * HOUR));
    assert_eq!(track.state, State::Overdue);
    assert!(track.state.needs_human());
    let hours: Vec<u32> = track
        .steps
        .iter()
        .filter_map(|step| {
            if let StepKind::NoReceipt { hours } = step.what {
                Some(hours)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(hours, RECEIPT_HOURS);
    assert!(!track.remind(SENT + 200 * HOUR));
    assert_eq!(track.waiting_hours(SENT + 100 * HOUR), Some(100));
    track.receipt_arrived(SENT + 101 * HOUR, known("1", &[]));
    assert_eq!(track.state, State::Accepted);
    assert_eq!(track.waiting_hours(SENT + 102 * HOUR), None);
}

#[test]
fn messages_without_receipt_are_done_when_fetched() {
    let mut track = sample();
    (track.expects_receipt, track.next_reminder_us) = (false, None);
    track.fetched(SENT + 5, SENT + 4, 1);
    assert_eq!(track.state, State::Done);
    assert!(!track.remind(SENT + 1000 * HOUR));
}

#[test]
fn what_an_operator_puts_back_waits_for_its_receipt_again() {
    let mut track = sample();
    track.fail("dead-letter");
    assert_eq!(
        (track.next_reminder_us, track.waiting_hours(SENT + HOUR)),
        (None, None)
    );
    track.revived(SENT + 30 * HOUR);
    assert_eq!(
        (&track.state, track.next_reminder_us),
        (&State::Queued, Some(SENT + 48 * HOUR))
    );
    track.fail("dead-letter");
    track.revived(SENT + 200 * HOUR);
    assert!(track.remind(SENT + 200 * HOUR));
    assert_eq!(track.state, State::Overdue);
}

#[test]
fn a_track_survives_storing_and_its_history_is_bounded() {
    let mut track = sample();
    track.receipt_sent(SENT + 1, "2", vec!["E31".to_owned()]);
    track.alert = Some(Alert::FalseDuplicate);
    track.original = Some("ab".repeat(32));
    for attempt in 0..200 {
        track.step(SENT, StepKind::Delivered { attempt }, "detail");
    }
    track.step(
        SENT,
        StepKind::GivenBack {
            how: "lost".to_owned(),
            failed: true,
        },
        "",
    );
    assert!(track.steps.len() <= 60);
    assert!(matches!(track.steps[0].what, StepKind::ReceiptSent { .. }));
    let json = serde_json::to_vec(&track).unwrap();
    let mut again: Track = serde_json::from_slice(&json).unwrap();
    again.id.clone_from(&track.id);
    assert_eq!(again, track);
    for state in [
        State::Queued,
        State::Failed {
            condition: "x".to_owned(),
        },
        State::Dropped {
            reason: "y".to_owned(),
        },
        State::Overdue,
    ] {
        let text = serde_json::to_string(&state).unwrap();
        assert!(text.contains(state.code()), "{text}");
        assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
    }
}
