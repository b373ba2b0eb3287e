//! The port: what other transports hand in and take out.

use std::collections::HashMap;

use amqp::port::Settlement;
use bytes::Bytes;
use edi::apprec::Status;
use edi::errorqueue::{ErrorCondition, TransportError};
use meldinger::port::{
    Kind, Ladder, Relay, Road, Submission, SubmitError, Submitted, Transport, TransportOutcome,
};
use meldinger::rules::track::{Alert, Receipt, State, Track};

use crate::world::*;

const HOUR_US: u64 = 3_600_000_000;

/// From the EPJ's service to this HER-id.
fn submission(transport: Transport, road: Road, to: u32, body: impl Into<Bytes>) -> Submission {
    Submission {
        transport,
        road,
        organisation: EPJ,
        transport_id: new_id(),
        from: EPJ_SERVICE,
        to,
        function: "DIALOG_NOTAT".to_owned(),
        content_type: "application/xml".to_owned(),
        sent_at_us: edge::clock::real_now_us(),
        msg_id: Some(new_id()),
        conversation: None,
        cpa_id: Some("8900300_8900900".to_owned()),
        schema: None,
        system: Some("Prøve-EPJ".to_owned()),
        details: vec![("Service".to_owned(), "S-DIALOG_NOTAT".to_owned())],
        kind: Kind::Business {
            expects_receipt: true,
        },
        body: body.into(),
        fingerprint: None,
        answer: None,
    }
}

fn taken(result: Result<Submitted, SubmitError>) -> String {
    match result.unwrap() {
        Submitted::Taken { track } => track,
        other => panic!("{other:?}"),
    }
}

fn facts(world: &World, track: &str) -> Track {
    world
        .view(|exchange| exchange.facts(track))
        .unwrap()
        .unwrap()
}

fn code(world: &World, track: &str) -> &'static str {
    facts(world, track).state.code()
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_passes_untouched_and_is_followed_to_its_receipt() {
    let world = world().await;
    let acknowledgment = Relay {
        organisation: EPJ,
        mail: Bytes::from_static(b"acknowledgment"),
    };
    let sent = submission(Transport::Ebxml, Road::Mail, HEART, "a whole mail");
    let track = taken(world.exchange.submit(sent.clone()).await);
    assert_eq!(code(&world, &track), "queued");

    let mail = world.view(|exchange| exchange.take_mail(HOSPITAL, 10));
    assert_eq!(mail.len(), 1);
    assert_eq!(&mail[0].message.body[..], b"a whole mail");
    world.view(|exchange| {
        exchange.renew_mail(&[mail[0].lease]);
        exchange.settle_mail(mail[0].lease, &Settlement::Released);
    });
    let again = world.view(|exchange| exchange.take_mail(HOSPITAL, 10));
    assert_eq!(again[0].lease.id, mail[0].lease.id, "its number stays");
    world.view(|exchange| exchange.settle_mail(again[0].lease, &Settlement::Accepted));
    assert_eq!(code(&world, &track), "collected");
    assert!(
        world
            .view(|exchange| exchange.take_mail(HOSPITAL, 10))
            .is_empty()
    );

    // Somebody else's acknowledgment changes nothing; the right one does, and is passed on.
    let outcome = TransportOutcome::Acknowledged;
    let acknowledge = |responder| {
        world.view(|exchange| {
            exchange.transport_receipt(
                &sent.transport_id,
                EPJ,
                responder,
                &outcome,
                Some(&acknowledgment),
            )
        })
    };
    assert_eq!(acknowledge(GP).unwrap(), None);
    assert_eq!(code(&world, &track), "collected");
    assert_eq!(acknowledge(HOSPITAL).unwrap(), Some(track.clone()));
    assert_eq!(code(&world, &track), "acknowledged");
    let signals = world.view(|exchange| exchange.take_mail(EPJ, 10));
    assert_eq!(signals.len(), 2);

    // The AppRec is an ordinary payload on the way back; the hub cannot read it.
    let mut receipt = submission(Transport::Ebxml, Road::Mail, EPJ_SERVICE, "sealed receipt");
    (receipt.organisation, receipt.from) = (HOSPITAL, HEART);
    receipt.kind = Kind::Receipt {
        original_msg_id: sent.msg_id.clone().map(|id| id.to_uppercase()),
        known: None,
    };
    let answer = taken(world.exchange.submit(receipt).await);
    assert_eq!(facts(&world, &answer).about, Some(track.clone()));
    let mail = world.view(|exchange| exchange.take_mail(EPJ, 10));
    world.view(|exchange| exchange.settle_mail(mail[0].lease, &Settlement::Accepted));
    assert_eq!(code(&world, &track), "receipt_sealed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_again_is_answered_again_and_kept_once() {
    let world = world().await;
    let mut sent = submission(Transport::Ebxml, Road::Mail, HEART, "mail, first copy");
    sent.fingerprint = Some([7; 32]);
    sent.answer = Some(Relay {
        organisation: EPJ,
        mail: Bytes::from_static(b"the acknowledgment"),
    });
    let track = taken(world.exchange.submit(sent.clone()).await);
    let answered = |world: &World| {
        let mails = world.view(|exchange| exchange.take_mail(EPJ, 10));
        for mail in &mails {
            assert_eq!(&mail.message.body[..], b"the acknowledgment");
            world.view(|exchange| exchange.settle_mail(mail.lease, &Settlement::Accepted));
        }
        mails.len()
    };
    assert_eq!(answered(&world), 1);

    // A resend: another mail around the same signature, and another acknowledgment prepared; the first one counts.
    let mut resent = sent.clone();
    resent.body = Bytes::from_static(b"mail, second copy");
    resent.answer = Some(Relay {
        organisation: EPJ,
        mail: Bytes::from_static(b"another acknowledgment"),
    });
    match world.exchange.submit(resent).await.unwrap() {
        Submitted::Duplicate {
            track: Some(first),
            same_content: true,
            answer: Some(answer),
        } => {
            assert_eq!(first, track);
            assert_eq!(&answer[..], b"the acknowledgment");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(answered(&world), 1);
    assert_eq!(
        world
            .view(|exchange| exchange.take_mail(HOSPITAL, 10))
            .len(),
        1,
        "delivered once"
    );

    // The same id with another content is no duplicate but an alarm.
    let mut other = sent.clone();
    other.fingerprint = Some([8; 32]);
    match world.exchange.submit(other).await.unwrap() {
        Submitted::Duplicate {
            same_content: false,
            answer: None,
            ..
        } => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(answered(&world), 0);
    assert_eq!(facts(&world, &track).alert, Some(Alert::FalseDuplicate));

    // A copy to another party under the same id is a message of its own.
    let mut copy = sent;
    copy.to = GP_DOCTOR;
    taken(world.exchange.submit(copy).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_who_it_says_is_refused_and_seen() {
    let world = world().await;
    let cases = [
        (EPJ_SERVICE, 4711, ErrorCondition::InvalidFieldValue, None),
        (4711, HEART, ErrorCondition::InvalidFieldValue, None),
        (
            GP_DOCTOR,
            HEART,
            ErrorCondition::SpoofingAttack,
            Some(Alert::Spoofing),
        ),
    ];
    for (from, to, condition, alert) in cases {
        let mut wrong = submission(Transport::Rest, Road::Api, to, "<x/>");
        wrong.from = from;
        match world.exchange.submit(wrong).await {
            Err(SubmitError::Refused { error, track }) => {
                assert_eq!(error.condition, condition);
                let kept = facts(&world, &track);
                assert_eq!((kept.state.code(), kept.alert), ("failed", alert));
                assert_eq!(kept.from_organisation, EPJ, "not the one it claims to be");
            }
            other => panic!("{other:?}"),
        }
    }
    let sent = submission(Transport::Ebxml, Road::Mail, HEART, "mail");
    let error = TransportError::new(ErrorCondition::InvalidSignature, "the digest differs");
    let track = world
        .view(|exchange| exchange.note_refused(&sent, &error, None))
        .unwrap();
    let kept = facts(&world, &track);
    assert_eq!(
        kept.state,
        State::Failed {
            condition: "transport:invalid-signature".to_owned()
        }
    );
    assert!(
        world
            .view(|exchange| exchange.take_mail(HOSPITAL, 10))
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_box_of_an_api_user_keeps_what_was_read() {
    let world = world().await;
    let mut tracks = Vec::new();
    for number in 0..3 {
        let text = document_between(&new_id(), "x", (EPJ, EPJ_SERVICE), (HOSPITAL, HEART));
        let mut sent = submission(Transport::Rest, Road::Api, HEART, text);
        sent.system = Some(format!("system {number}"));
        tracks.push(taken(world.exchange.submit(sent).await));
        world.clock.advance(1_000);
    }
    let inbox = |after: Option<&[u8]>, limit| {
        world
            .view(|exchange| exchange.inbox(HEART, after, limit))
            .unwrap()
    };
    let first = inbox(None, 2);
    let ids = |entries: &[meldinger::port::InboxEntry]| -> Vec<String> {
        entries.iter().map(|entry| entry.track.id.clone()).collect()
    };
    assert_eq!(ids(&first), tracks[..2]);
    assert_eq!(ids(&inbox(Some(&first[1].cursor), 2)), tracks[2..]);
    assert!(
        world
            .view(|exchange| exchange.inbox(GP_DOCTOR, None, 10))
            .unwrap()
            .is_empty()
    );

    let read = |her_id| {
        world
            .view(|exchange| exchange.mark_read(her_id, &tracks[0]))
            .unwrap()
    };
    assert!(!read(GP_DOCTOR), "somebody else's");
    assert!(read(HEART) && read(HEART));
    assert_eq!(ids(&inbox(None, 10)), tracks[1..]);
    let seen = facts(&world, &tracks[0]);
    assert_eq!(seen.state.code(), "collected");
    let document = world.view(|exchange| exchange.document(&seen)).unwrap();
    assert!(document.unwrap().starts_with(b"<MsgHead"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_run_receiver_answers_on_the_road_the_message_came() {
    let world = world().await;
    for (transport, queue) in [
        (Transport::Rest, "api:8900901"),
        (Transport::Ebxml, "handler"),
    ] {
        let msg_id = new_id();
        let mut sent = submission(
            transport,
            Road::Hub,
            RESULTS,
            document(&msg_id, "in clear, opened by the adapter"),
        );
        sent.msg_id = Some(msg_id.clone());
        let track = taken(world.exchange.submit(sent).await);
        assert_eq!(world.work(), 1);
        let seen = facts(&world, &track);
        assert_eq!(seen.state, State::Accepted);
        let receipts = world.view(|exchange| exchange.about(&track)).unwrap();
        assert_eq!(receipts.len(), 1);
        assert_eq!(receipts[0].queue, queue);
        assert_eq!(receipts[0].to, EPJ_SERVICE);
        let xml = world
            .view(|exchange| exchange.document(&receipts[0]))
            .unwrap()
            .unwrap();
        let xml = edi::xml::XmlDoc::parse(&xml).unwrap();
        let receipt = edi::apprec::AppRec::read_doc(&xml).unwrap();
        assert_eq!(
            (receipt.original.id.as_str(), receipt.status.code()),
            (msg_id.as_str(), "1")
        );
    }
    assert_eq!(
        world
            .view(|exchange| exchange.inbox(EPJ_SERVICE, None, 10))
            .unwrap()
            .len(),
        1
    );
    // What an adapter would not have let through ends as a failed message, not in an error queue of another transport.
    let wrong = submission(Transport::Rest, Road::Hub, RESULTS, "not XML");
    let track = taken(world.exchange.submit(wrong).await);
    world.work();
    assert_eq!(code(&world, &track), "failed");
    assert!(world.drain("vaar-epj", "8900900_error").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_message_handler_sends_resends_the_same_and_gives_up() {
    let world = world().await;
    let track = taken(
        world
            .exchange
            .submit(submission(Transport::Rest, Road::Handler, HEART, "<x/>"))
            .await,
    );
    let due = |world: &World| world.view(|exchange| exchange.outgoing_due(10)).unwrap();
    let prepared = Bytes::from_static(b"the whole mail");
    let relay = Relay {
        organisation: HOSPITAL,
        mail: prepared.clone(),
    };
    let send = |outgoing: &meldinger::port::Outgoing| {
        world
            .view(|exchange| {
                exchange.outgoing_sent(
                    outgoing,
                    "eb-1",
                    &prepared,
                    Some(&relay),
                    &Ladder::default(),
                )
            })
            .unwrap()
    };
    let first = due(&world);
    assert_eq!((first.len(), first[0].attempt), (1, 1));
    assert_eq!(&first[0].document[..], b"<x/>");
    assert!(due(&world).is_empty(), "it is in somebody's hands");
    // That somebody died: after two minutes another one takes it.
    world.clock.advance(3 * 60_000_000);
    let second = due(&world);
    assert_eq!(second[0].attempt, 1);
    assert!(send(&second[0]));
    assert!(!send(&first[0]), "only one of them sends");
    assert_eq!(code(&world, &track), "collected");
    assert!(due(&world).is_empty());

    for attempt in 2..=6 {
        world.clock.advance(12 * HOUR_US);
        let due = due(&world);
        assert_eq!((due.len(), due[0].attempt), (1, attempt));
        assert_eq!(due[0].prepared.as_ref(), Some(&prepared));
        assert!(send(&due[0]));
    }
    world.clock.advance(12 * HOUR_US);
    assert!(due(&world).is_empty());
    assert_eq!(
        facts(&world, &track).state,
        State::Failed {
            condition: "no-acknowledgment".to_owned()
        }
    );
    let mails = world.view(|exchange| exchange.take_mail(HOSPITAL, 100));
    assert_eq!(mails.len(), 6, "identical each time");
    assert!(mails.iter().all(|mail| mail.message.body == prepared));
    // It does come after all.
    world
        .view(|exchange| {
            exchange.transport_receipt("eb-1", EPJ, HOSPITAL, &TransportOutcome::Acknowledged, None)
        })
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgment_or_a_refusal_ends_the_resending() {
    let outcomes: HashMap<&str, TransportOutcome> = HashMap::from([
        ("acknowledged", TransportOutcome::Acknowledged),
        (
            "failed",
            TransportOutcome::Refused {
                condition: "SecurityFailure".to_owned(),
            },
        ),
    ]);
    for (expected, outcome) in outcomes {
        let world = world().await;
        let track = taken(
            world
                .exchange
                .submit(submission(Transport::Rest, Road::Handler, HEART, "<x/>"))
                .await,
        );
        let due = world.view(|exchange| exchange.outgoing_due(10)).unwrap();
        let sent = Bytes::from_static(b"mail");
        world
            .view(|exchange| {
                exchange.outgoing_sent(&due[0], "eb-2", &sent, None, &Ladder::default())
            })
            .unwrap();
        world
            .view(|exchange| exchange.transport_receipt("eb-2", EPJ, HOSPITAL, &outcome, None))
            .unwrap();
        assert_eq!(code(&world, &track), expected);
        world.clock.advance(100 * HOUR_US);
        assert!(
            world
                .view(|exchange| exchange.outgoing_due(10))
                .unwrap()
                .is_empty()
        );
        if expected == "acknowledged" {
            // And the AppRec that the adapter has read.
            let receipt = Submission {
                organisation: HOSPITAL,
                from: HEART,
                kind: Kind::Receipt {
                    original_msg_id: facts(&world, &track).msg_id,
                    known: Some(Receipt::Known {
                        status: Status::Ok.code().to_owned(),
                        codes: Vec::new(),
                    }),
                },
                ..submission(Transport::Ebxml, Road::Api, EPJ_SERVICE, "<AppRec/>")
            };
            taken(world.exchange.submit(receipt).await);
            assert_eq!(code(&world, &track), "accepted");
        }
    }
}
