//! Sending again: under which ids, by whom, and what becomes of the one before (spec/messaging.md §4.5).

use amqp::port::{Message, Settlement};
use meldinger::port::{Kind, Ladder, Road, Submission, Submitted, Transport};
use meldinger::rules::resend::Resend;
use meldinger::rules::track::{StepKind, Track};
use meldinger::view::{MessageFilter, Viewer};
use meldinger::{Exchange, PutBack};

use crate::world::*;

fn to_hospital(msg_id: &str) -> Message {
    let mut message = message("HENVISNING_NYTILSTAND", HEART, "sealed for the hospital");
    message.set_property("X-MessageInfo-MsgId", msg_id);
    message
}

fn tracks(world: &World, msg_id: &str) -> Vec<Track> {
    let mut found = world.view(|exchange| exchange.by_msg_id(msg_id)).unwrap();
    found.sort_by(|a, b| a.id.cmp(&b.id));
    found
}

fn rule(track: &Track) -> Option<Resend> {
    track.steps.iter().find_map(|step| match &step.what {
        StepKind::Resend { rule, .. } => Some(*rule),
        _ => None,
    })
}

async fn answer(world: &World, msg_id: &str, condition: Option<&str>, original: &str) {
    let Some(condition) = condition else {
        let mut receipt = message("APPREC", EPJ_SERVICE, "sealed");
        receipt.set_property("fromHerId", HEART.to_string());
        receipt.properties.reply_to = None;
        receipt.set_property("X-MessageInfo-OriginalMsgId", msg_id);
        world.send("nordlys", "8900900_async", receipt).await;
        world.drain("vaar-epj", "8900900_async").await;
        return;
    };
    let mut error = message("HENVISNING_NYTILSTAND", EPJ_SERVICE, "");
    error.set_property("fromHerId", HEART.to_string());
    error.properties.reply_to = None;
    error.set_property("originalMessageId", original);
    error.set_property("errorCondition", condition);
    world.send("nordlys", "8900900_error", error).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resend_takes_the_place_of_what_failed() {
    let world = world().await;
    let id = new_id();
    world
        .send("vaar-epj", "8900300_async", to_hospital(&id))
        .await;
    let first = tracks(&world, &id)[0].clone();
    answer(
        &world,
        &id,
        Some("transport:decryption-failed"),
        &first.message_id,
    )
    .await;
    assert_eq!(tracks(&world, &id)[0].state.code(), "failed");

    // New message-id, same MsgId.
    world
        .send("vaar-epj", "8900300_async", to_hospital(&id.to_uppercase()))
        .await;
    let both = tracks(&world, &id);
    assert_eq!(
        both.iter()
            .map(|track| track.state.code())
            .collect::<Vec<_>>(),
        ["dropped", "queued"]
    );
    assert_eq!(rule(&both[1]), Some(Resend::Replaces));
    assert_eq!(rule(&both[0]), None);
    let human = MessageFilter {
        needs_human: true,
        ..MessageFilter::default()
    };
    let stuck = world
        .view(|exchange| exchange.messages(Viewer::Operator, &human))
        .unwrap();
    assert_eq!(stuck.rows.len(), 0, "nobody has to look at the old one");
    // The same from somebody else is another message.
    let mut foreign = to_hospital(&id);
    foreign.set_property("fromHerId", GP_DOCTOR.to_string());
    foreign.properties.reply_to = None;
    world.send("fjordglott", "8900300_async", foreign).await;
    assert_eq!(rule(&tracks(&world, &id)[2]), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_receipt_answers_a_message_and_its_repetition() {
    let world = world().await;
    let id = new_id();
    for _ in 0..2 {
        world
            .send("vaar-epj", "8900300_async", to_hospital(&id))
            .await;
    }
    assert_eq!(rule(&tracks(&world, &id)[1]), Some(Resend::Repeats));
    world.drain("nordlys", "8900300_async").await;
    answer(&world, &id, None, "").await;
    let states: Vec<_> = tracks(&world, &id)
        .iter()
        .map(|track| track.receipt.is_some())
        .collect();
    assert_eq!(states, [true, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_rejected_needs_a_new_id() {
    let world = world().await;
    let id = new_id();
    let mut rejected = submission(Road::Api);
    rejected.msg_id = Some(id.clone());
    taken(&world, rejected.clone()).await;
    let receipt = Submission {
        organisation: HOSPITAL,
        transport_id: new_id(),
        from: HEART,
        to: EPJ_SERVICE,
        kind: Kind::Receipt {
            original_msg_id: Some(id.clone()),
            known: Some(meldinger::rules::track::Receipt::Known {
                status: "2".to_owned(),
                codes: vec!["E31".to_owned()],
            }),
        },
        ..submission(Road::Api)
    };
    taken(&world, receipt).await;
    rejected.transport_id = new_id();
    taken(&world, rejected).await;
    let both = tracks(&world, &id);
    assert_eq!(rule(&both[1]), Some(Resend::NeedsNewId));
    assert_eq!(both[0].state.code(), "rejected", "an answer is final");
}

fn submission(road: Road) -> Submission {
    Submission {
        transport: Transport::Rest,
        road,
        organisation: EPJ,
        transport_id: new_id(),
        from: EPJ_SERVICE,
        to: HEART,
        function: "DIALOG_NOTAT".to_owned(),
        content_type: "application/xml".to_owned(),
        sent_at_us: edge::clock::real_now_us(),
        msg_id: Some(new_id()),
        conversation: None,
        cpa_id: None,
        schema: None,
        system: None,
        details: Vec::new(),
        kind: Kind::Business {
            expects_receipt: true,
        },
        body: bytes::Bytes::from_static(b"<x/>"),
        fingerprint: None,
        answer: None,
    }
}

async fn taken(world: &World, submission: Submission) -> String {
    match world.exchange.submit(submission).await.unwrap() {
        Submitted::Taken { track } => track,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_parties_and_the_operator_may_put_back_what_nobody_took() {
    let world = world().await;
    world
        .send("vaar-epj", "8900300_async", to_hospital(&new_id()))
        .await;
    let put_back = |viewer, id: &str| {
        world
            .view(|exchange: &Exchange| exchange.put_back(viewer, id))
            .unwrap()
    };
    let sender = Viewer::Party { organisation: EPJ };
    let receiver = Viewer::Party {
        organisation: HOSPITAL,
    };
    let list = world
        .view(|exchange| exchange.messages(Viewer::Operator, &MessageFilter::default()))
        .unwrap();
    let id = list.rows[0].id.clone();
    let can = |viewer| {
        world
            .view(|exchange| exchange.message(viewer, &id))
            .unwrap()
            .map(|detail| detail.can_put_back)
    };
    for viewer in [sender, receiver, Viewer::Operator] {
        assert_eq!(put_back(viewer, &id), PutBack::NotAllowed, "it waits");
        let delivery = world.fetch("nordlys", "8900300_async").await.remove(0);
        let rejected = Settlement::Rejected {
            condition: None,
            description: None,
        };
        world
            .settle("nordlys", "8900300_async", &delivery, rejected)
            .await;
        assert_eq!(can(viewer), Some(true));
        let stranger = Viewer::Party { organisation: GP };
        assert_eq!(can(stranger), None);
        assert_eq!(put_back(stranger, &id), PutBack::NotFound);
        assert_eq!(put_back(viewer, &id), PutBack::Done);
        assert_eq!(put_back(viewer, &id), PutBack::NotAllowed, "once");
    }
    assert_eq!(world.drain("nordlys", "8900300_async").await.len(), 1);
    assert_eq!(put_back(Viewer::Operator, &id), PutBack::NotAllowed);
    assert_eq!(put_back(Viewer::Operator, "nothing"), PutBack::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_message_handler_begins_again_with_the_same_mail() {
    const HOUR_US: u64 = 3_600_000_000;
    let world = world().await;
    let id = taken(&world, submission(Road::Handler)).await;
    let mail = bytes::Bytes::from_static(b"mail");
    let due = |world: &World| world.view(|exchange| exchange.outgoing_due(5)).unwrap();
    let once = Ladder {
        retries: 0,
        ..Ladder::default()
    };
    let send = |outgoing: &meldinger::port::Outgoing| {
        world
            .view(|exchange| exchange.outgoing_sent(outgoing, "eb-3", &mail, None, &once))
            .unwrap()
    };
    assert!(send(&due(&world)[0]));
    world.clock.advance(73 * HOUR_US);
    assert!(due(&world).is_empty());
    let sender = Viewer::Party { organisation: EPJ };
    let again = world
        .view(|exchange| exchange.put_back(sender, &id))
        .unwrap();
    assert_eq!(again, PutBack::Done);
    let outgoing = due(&world);
    assert_eq!(
        (outgoing[0].attempt, outgoing[0].prepared.as_ref()),
        (1, Some(&mail))
    );
    assert!(send(&outgoing[0]));
    let track = world.view(|exchange| exchange.facts(&id)).unwrap().unwrap();
    assert_eq!(track.state.code(), "collected");
}
