//! Handing out, giving back, dead letters, time to live.

use amqp::port::{Broker as _, Disposition, Settlement};
use meldinger::view::{MessageFilter, Viewer};

use crate::world::*;

const QUEUE: &str = "8900300_async";

async fn sent(world: &World) -> String {
    let good = message("DIALOG_NOTAT", HEART, vec![0, 255, 7]);
    assert_eq!(
        world.send("vaar-epj", QUEUE, good).await,
        Disposition::Accepted
    );
    let page = world
        .view(|exchange| exchange.messages(Viewer::Operator, &MessageFilter::default()))
        .unwrap();
    page.rows[0].id.clone()
}

fn state(world: &World, id: &str) -> String {
    let detail = world
        .view(|exchange| exchange.message(Viewer::Operator, id))
        .unwrap()
        .unwrap();
    detail.row.state.code().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_comes_out_as_it_went_in() {
    let world = world().await;
    let mut good = message("DIALOG_NOTAT", HEART, vec![0, 255, 7]);
    good.set_property("X-Egenskap", amqp::port::Simple::Double(1.5));
    good.properties.group_id = Some("g".to_owned());
    world.send("vaar-epj", QUEUE, good.clone()).await;
    let delivery = world.fetch("nordlys", QUEUE).await.remove(0);
    assert_eq!(delivery.message.properties, good.properties);
    assert_eq!(
        delivery.message.application_properties,
        good.application_properties
    );
    assert_eq!(delivery.message.body, good.body);
    assert_eq!(
        (
            delivery.message.header.delivery_count,
            delivery.message.header.first_acquirer
        ),
        (0, true)
    );
    assert!(
        world.fetch("nordlys", QUEUE).await.is_empty(),
        "in one pair of hands at a time"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn b32_ten_failed_deliveries_make_a_dead_letter_and_an_operator_sends_it_again() {
    let world = world().await;
    let id = sent(&world).await;
    let given_back = world.fetch("nordlys", QUEUE).await.remove(0);
    world
        .settle("nordlys", QUEUE, &given_back, Settlement::Released)
        .await;
    for failed in 0..10 {
        let delivery = world.fetch("nordlys", QUEUE).await.remove(0);
        assert_eq!(
            (
                delivery.message.header.delivery_count,
                delivery.message.header.first_acquirer
            ),
            (failed, false)
        );
        let modified = Settlement::Modified {
            delivery_failed: true,
            undeliverable_here: false,
        };
        world
            .settle(
                "nordlys",
                QUEUE,
                &delivery,
                if failed % 2 == 0 {
                    modified
                } else {
                    Settlement::Lost
                },
            )
            .await;
    }
    assert!(world.fetch("nordlys", QUEUE).await.is_empty());
    assert_eq!(state(&world, &id), "failed");
    let dead = world
        .view(|exchange| exchange.dead_letters(Viewer::Operator, QUEUE, 10))
        .unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!(
        (dead[0].reason.as_str(), dead[0].track.as_deref()),
        ("10 failed deliveries", Some(id.as_str()))
    );
    assert!(
        world
            .view(|exchange| exchange.dead_letters(Viewer::Party { organisation: EPJ }, QUEUE, 10))
            .unwrap()
            .is_empty()
    );

    assert!(
        world
            .view(|exchange| exchange.resend(QUEUE, dead[0].id))
            .unwrap()
    );
    assert_eq!(state(&world, &id), "queued");
    assert_eq!(world.drain("nordlys", QUEUE).await.len(), 1);
    assert_eq!(state(&world, &id), "collected");
    assert!(
        !world
            .view(|exchange| exchange.resend(QUEUE, dead[0].id))
            .unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_message_is_a_dead_letter_at_once() {
    let world = world().await;
    let id = sent(&world).await;
    let delivery = world.fetch("nordlys", QUEUE).await.remove(0);
    let rejected = Settlement::Rejected {
        condition: Some("amqp:decode-error".to_owned()),
        description: None,
    };
    world.settle("nordlys", QUEUE, &delivery, rejected).await;
    assert_eq!(state(&world, &id), "failed");
    assert!(world.fetch("nordlys", QUEUE).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_woken() {
    let world = world().await;
    let node = world.broker.open_source(&user("nordlys"), QUEUE).unwrap();
    let waiting = tokio::spawn(world.broker.next(
        &user("nordlys"),
        &node,
        10,
        std::time::Duration::from_secs(600),
    ));
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    sent(&world).await;
    // Long before his own time is up, however slow the machine is.
    let woken = tokio::time::timeout(std::time::Duration::from_secs(120), waiting).await;
    assert_eq!(woken.unwrap().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_past_its_time_to_live_is_not_delivered() {
    let world = world().await;
    let mut short = message("DIALOG_NOTAT", HEART, "x");
    short.header.ttl_ms = Some(1);
    world.send("vaar-epj", QUEUE, short).await;
    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    assert!(world.fetch("nordlys", QUEUE).await.is_empty());
    tokio::task::block_in_place(|| world.store.maintain()).unwrap();
    world.view(meldinger::Exchange::note_dead_letters).unwrap();
    let page = world
        .view(|exchange| exchange.messages(Viewer::Operator, &MessageFilter::default()))
        .unwrap();
    assert_eq!(page.rows[0].state.code(), "failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_very_large_message_comes_out_whole() {
    let world = world().await;
    let body: Vec<u8> = (0..35_000_000u32).map(|n| (n % 251) as u8).collect();
    let large = message("DIALOG_NOTAT", HEART, body.clone());
    assert_eq!(
        world.send("vaar-epj", QUEUE, large).await,
        Disposition::Accepted
    );
    let delivery = world.fetch("nordlys", QUEUE).await.remove(0);
    assert!(delivery.message.body == body);
    world
        .settle("nordlys", QUEUE, &delivery, Settlement::Accepted)
        .await;
    assert!(world.fetch("nordlys", QUEUE).await.is_empty());
}

/// However far a look has come when its link ends: what it took goes back at once, not when its lock runs out.
#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_nobody_waits_for_gives_back_what_it_took() {
    let world = world().await;
    sent(&world).await;
    let wait = std::time::Duration::from_secs(30);
    let who = user("nordlys");
    let node = world.broker.open_source(&who, QUEUE).unwrap();
    for turns in 0..40 {
        let look = tokio::spawn(world.broker.next(&who, &node, 5, wait));
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        look.abort();
        // Came it to an end first, the adapter gives the message back.
        for delivery in look.await.unwrap_or_default() {
            world
                .settle("nordlys", QUEUE, &delivery, Settlement::Released)
                .await;
        }
    }
    let found = world.broker.next(&who, &node, 5, wait).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].message.header.delivery_count, 0);
}

/// The national library can read neither numbers nor bytes as ids, and would never settle such a message.
#[tokio::test(flavor = "multi_thread")]
async fn ids_reach_the_receiver_as_text() {
    use amqp::port::MessageId;
    let world = world().await;
    let mut numbered = message("DIALOG_NOTAT", HEART, vec![1]);
    numbered.properties.message_id = Some(MessageId::Ulong(7));
    numbered.properties.correlation_id = Some(MessageId::Binary(vec![7]));
    numbered.properties.content_type =
        Some("application/pkcs7-mime;smime-type=signed-and-enveloped-data".to_owned());
    world.send("vaar-epj", QUEUE, numbered.clone()).await;
    let delivery = world.fetch("nordlys", QUEUE).await.remove(0);
    let got = &delivery.message.properties;
    let text = |text: &str| Some(MessageId::String(text.to_owned()));
    assert_eq!(
        (&got.message_id, &got.correlation_id),
        (&text("7"), &text("07"))
    );
    assert_eq!(got.content_type, numbered.properties.content_type);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_is_taken_away_receives_nothing_more_on_a_link_that_is_open() {
    let world = world().await;
    let users = world.exchange.users().clone();
    let kept = meldinger::AmqpUser::new("8900300", "long and random", 8_900_300);
    users.set_kept(vec![kept]);
    let who = user("8900300");
    let node = world.broker.open_source(&who, QUEUE).unwrap();
    let wait = std::time::Duration::from_millis(50);
    sent(&world).await;
    let found = world.broker.next(&who, &node, 5, wait).await;
    assert_eq!(found.len(), 1);
    users.set_kept(Vec::new());
    let good = message("DIALOG_NOTAT", HEART, vec![7]);
    world.send("vaar-epj", QUEUE, good).await;
    assert!(world.broker.next(&who, &node, 5, wait).await.is_empty());
    let again = message("DIALOG_NOTAT", HEART, vec![7]);
    let refused = world.broker.on_message(&who, &node, again).await;
    assert_eq!(refused, Disposition::Released);
    assert_eq!(
        world.fetch("nordlys", QUEUE).await.len(),
        1,
        "it is still there"
    );
}
