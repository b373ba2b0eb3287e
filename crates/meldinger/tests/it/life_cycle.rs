//! Receipts between others, timers (B30, B31), errors from receivers.

use std::collections::HashMap;

use amqp::port::Message;
use edi::apprec::{AppRec, ErrorCode, Status};
use meldinger::view::{MessageDetail, MessageFilter, Viewer};
use xmlsec::cms;

use crate::world::*;

const HOUR_US: u64 = 3_600_000_000;

fn detail(world: &World, id: &str) -> MessageDetail {
    world
        .view(|exchange| exchange.message(Viewer::Operator, id))
        .unwrap()
        .unwrap()
}

fn newest(world: &World) -> String {
    world
        .view(|exchange| exchange.messages(Viewer::Operator, &MessageFilter::default()))
        .unwrap()
        .rows[0]
        .id
        .clone()
}

/// EPJ sends a referral to the hospital, which fetches it. Returns track and MsgId.
async fn referral(world: &World) -> (String, String) {
    let msg_id = new_id();
    let mut referral = message("HENVISNING_NYTILSTAND", HEART, "sealed for the hospital");
    referral.set_property("X-MessageInfo-MsgId", msg_id.to_uppercase());
    world.send("vaar-epj", "8900300_async", referral).await;
    let id = newest(world);
    assert_eq!(detail(world, &id).row.state.code(), "queued");
    assert_eq!(detail(world, &id).ahead, Some(0));
    assert_eq!(world.drain("nordlys", "8900300_async").await.len(), 1);
    assert_eq!(detail(world, &id).row.state.code(), "collected");
    (id, msg_id)
}

/// The hospital's receipt, in clear text or sealed for the EPJ.
fn receipt(
    msg_id: &str,
    status: Status,
    errors: &[ErrorCode],
    clear: bool,
    named: bool,
) -> Message {
    let text = document_between(msg_id, "x", (EPJ, EPJ_SERVICE), (HOSPITAL, HEART));
    let document = edi::xml::XmlDoc::parse(text.as_bytes()).unwrap();
    let header = edi::message::Header::from_doc(&document).unwrap();
    let errors = errors.iter().map(|code| code.error("")).collect();
    let xml = AppRec::answer(
        &header,
        status,
        errors,
        &new_id(),
        jiff::Timestamp::now(),
        &header.receiver,
    )
    .to_xml();
    let body = if clear {
        xml.into_bytes()
    } else {
        cms::seal(
            xml.as_bytes(),
            &PKI.hospital.signing,
            PKI.epj.encryption.certificate(),
            PKI.now_s,
        )
        .unwrap()
    };
    let mut receipt = message("APPREC", EPJ_SERVICE, body);
    receipt.set_property("fromHerId", HEART.to_string());
    receipt.properties.reply_to = None;
    if clear {
        receipt.properties.content_type = Some("text/plain".to_owned());
    }
    if named {
        receipt.set_property("X-MessageInfo-OriginalMsgId", msg_id);
    }
    receipt
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_receipt_is_never_guessed_green() {
    let world = world().await;
    let (id, msg_id) = referral(&world).await;
    world
        .send(
            "nordlys",
            "8900900_async",
            receipt(&msg_id, Status::Ok, &[], false, true),
        )
        .await;
    assert_eq!(detail(&world, &id).row.state.code(), "collected");
    world.drain("vaar-epj", "8900900_async").await;
    let seen = detail(&world, &id);
    assert_eq!(seen.row.state.code(), "receipt_sealed");
    assert_eq!(
        seen.related
            .iter()
            .map(|related| related.relation)
            .collect::<Vec<_>>(),
        ["receipt"]
    );
    assert_eq!(seen.row.waiting_hours, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn b31_a_readable_receipt_tells_its_codes() {
    // In clear text, found by its content alone.
    let clear = world().await;
    let (id, msg_id) = referral(&clear).await;
    clear
        .send(
            "nordlys",
            "8900900_async",
            receipt(&msg_id, Status::Rejected, &[ErrorCode::E35], true, false),
        )
        .await;
    let seen = detail(&clear, &id);
    assert_eq!(
        serde_json::to_value(&seen.row.state).unwrap(),
        serde_json::json!({"code": "rejected", "codes": ["E35"]})
    );
    assert!(seen.row.needs_human);
    assert_eq!(seen.resend_rule, Some("new_message_id_new_msg_id"));

    // Sealed, with the party's key in the demo.
    let demo = world_with(|parts| {
        parts.receipt_keys = HashMap::from([(EPJ, vec![PKI.epj.encryption.clone()])])
    })
    .await;
    let (id, msg_id) = referral(&demo).await;
    demo.send(
        "nordlys",
        "8900900_async",
        receipt(&msg_id, Status::Ok, &[], false, true),
    )
    .await;
    assert_eq!(detail(&demo, &id).row.state.code(), "accepted");
    assert!(detail(&demo, &id).row.receipt_after_s.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_from_somebody_else_changes_nothing() {
    let world = world().await;
    let (id, msg_id) = referral(&world).await;
    let mut forged = receipt(&msg_id, Status::Ok, &[], true, true);
    forged.set_property("fromHerId", GP_DOCTOR.to_string());
    world.send("fjordglott", "8900900_async", forged).await;
    assert_eq!(detail(&world, &id).row.state.code(), "collected");
}

#[tokio::test(flavor = "multi_thread")]
async fn b30_nobody_answers() {
    let world = world().await;
    let (id, msg_id) = referral(&world).await;
    let mut levels = Vec::new();
    for hours in [25, 24, 48] {
        world.clock.advance(hours * HOUR_US);
        world.view(meldinger::Exchange::clock_moved).unwrap();
        let row = detail(&world, &id).row;
        levels.push((
            row.state.code().to_owned(),
            row.waiting_hours.unwrap(),
            row.wait_level.unwrap(),
        ));
    }
    assert_eq!(
        levels,
        [
            ("collected".to_owned(), 25, "waiting"),
            ("collected".to_owned(), 49, "yellow"),
            ("overdue".to_owned(), 97, "red")
        ]
    );
    let summary = world
        .view(|exchange| exchange.summary(Viewer::Operator, 0))
        .unwrap();
    assert_eq!(
        (summary.needs_human, summary.without_receipt.get(&96)),
        (1, Some(&1))
    );
    world
        .send(
            "nordlys",
            "8900900_async",
            receipt(&msg_id, Status::Ok, &[], true, true),
        )
        .await;
    assert_eq!(
        detail(&world, &id).row.state.code(),
        "accepted",
        "a late receipt clears it"
    );
    assert_eq!(world.view(meldinger::Exchange::clock_moved).unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_long_ago_is_overdue_at_once() {
    let world = world().await;
    let mut late = message("HENVISNING_NYTILSTAND", HEART, "sealed");
    let made = jiff::Timestamp::now() - jiff::Span::new().hours(100);
    late.set_property(
        "applicationTimeStamp",
        made.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    );
    world.send("vaar-epj", "8900300_async", late).await;
    assert_eq!(world.view(meldinger::Exchange::clock_moved).unwrap(), 1);
    assert_eq!(detail(&world, &newest(&world)).row.state.code(), "overdue");
    assert_eq!(world.view(meldinger::Exchange::clock_moved).unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_from_the_receiver_fails_the_message() {
    let world = world().await;
    let (id, _) = referral(&world).await;
    let original = detail(&world, &id).envelope.message_id;
    let mut error = message("HENVISNING_NYTILSTAND", EPJ_SERVICE, "");
    error.set_property("fromHerId", HEART.to_string());
    error.properties.reply_to = None;
    error.set_property("originalMessageId", original);
    error.set_property("errorCondition", "transport:decryption-failed");
    world.send("nordlys", "8900900_error", error).await;
    let seen = detail(&world, &id);
    assert_eq!(
        serde_json::to_value(&seen.row.state).unwrap(),
        serde_json::json!({"code": "failed", "condition": "transport:decryption-failed"})
    );
    assert_eq!(seen.related[0].relation, "error");
    assert_eq!(world.drain("vaar-epj", "8900900_error").await.len(), 1);
}
