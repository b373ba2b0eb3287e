//! Consuming, fetching, acknowledging, giving back.

use amqp::client::Client;
use amqp::port::{MessageId, Settlement, Simple};

use crate::raw::{Raw, about, declare, get, qos, short_string, tune_ok};
use crate::{QUEUE, eventually, quick, start};

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_share_a_port_and_a_queue() {
    let running = start(quick()).await;
    let mut newer = Client::connect(running.address, "vaar-epj", "hemmelig:ø", None)
        .await
        .unwrap();
    let mut older = Raw::open(running.address).await;
    older.consume("mine", 0).await;

    let mut message = amqp::port::Message {
        body: "<Event/>".into(),
        ..Default::default()
    };
    message.properties.message_id = Some(MessageId::String("m-1".to_owned()));
    message.properties.content_type = Some("application/xml".to_owned());
    message.set_property("eventName", "CommunicationPartyUpdated");
    message.set_property("herId", Simple::Signed(8_900_901, 32));
    let mut sender = newer.sender(QUEUE, "s").await.unwrap();
    sender.send(message).await.unwrap();

    let delivered = older.delivered().await;
    assert_eq!((delivered.tag, delivered.redelivered), (1, false));
    assert_eq!(delivered.body, b"<Event/>");
    let has = |what: &[u8]| delivered.header.windows(what.len()).any(|w| w == what);
    assert!(has(b"\x0fapplication/xml") && has(b"\x03m-1"));
    assert!(has(
        &[&b"\x05herIdI"[..], &8_900_901i32.to_be_bytes()].concat()
    ));
    assert!(has(b"\xa1\x09eventName\xa1\x19CommunicationPartyUpdated"));

    older.call(1, (60, 80), &about(1, 0)).await;
    eventually("acknowledged", || {
        running.settled() == [Settlement::Accepted]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_the_prefetch_count_is_out() {
    let running = start(quick()).await;
    for n in 0..5u8 {
        running.put(vec![n]).await;
    }
    let mut raw = Raw::open(running.address).await;
    raw.call(1, (60, 10), &qos(2, 0)).await;
    raw.expect(1, (60, 11)).await;
    raw.consume("", 0).await;
    for n in 0..2u8 {
        assert_eq!(raw.delivered().await.body, [n]);
    }
    assert_eq!(
        (running.broker.leased(), running.broker.waiting(QUEUE)),
        (2, 3)
    );
    // One ack for both, and the next two come.
    raw.call(1, (60, 80), &about(2, 1)).await;
    assert_eq!(raw.delivered().await.tag, 3);
    assert_eq!(raw.delivered().await.tag, 4);
    // Prefetch for the channel holds back what the consumer could have had.
    raw.call(1, (60, 10), &qos(1, 1)).await;
    raw.expect(1, (60, 11)).await;
    raw.call(1, (60, 80), &about(3, 0)).await;
    eventually("settled", || running.settled().len() == 3).await;
    assert_eq!(running.broker.waiting(QUEUE), 1);
    raw.call(1, (60, 80), &about(4, 0)).await;
    assert_eq!(raw.delivered().await.body, [4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_comes_again_or_goes_for_good() {
    let running = start(quick()).await;
    running.put("a").await;
    let mut raw = Raw::open(running.address).await;
    raw.call(1, (60, 10), &qos(1, 0)).await;
    raw.expect(1, (60, 11)).await;
    raw.consume("c", 0).await;
    let first = raw.delivered().await;
    assert!(!first.redelivered);
    raw.call(1, (60, 120), &about(first.tag, 0b10)).await;
    let second = raw.delivered().await;
    assert_eq!((second.redelivered, second.body), (true, b"a".to_vec()));
    let count = [&b"\x10x-delivery-countl"[..], &1u64.to_be_bytes()].concat();
    assert!(second.header.windows(count.len()).any(|w| w == count));
    // reject with requeue, recover, reject for good
    raw.call(1, (60, 90), &about(second.tag, 1)).await;
    let third = raw.delivered().await;
    raw.call(1, (60, 110), &[1]).await;
    raw.expect(1, (60, 111)).await;
    let fourth = raw.delivered().await;
    assert_eq!(third.tag + 1, fourth.tag);
    raw.call(1, (60, 90), &about(fourth.tag, 0)).await;
    let failed = Settlement::Modified {
        delivery_failed: true,
        undeliverable_here: false,
    };
    let rejected = Settlement::Rejected {
        condition: None,
        description: None,
    };
    let all = [failed.clone(), failed, Settlement::Released, rejected];
    eventually("rejected", || running.settled() == all).await;
    assert_eq!(running.broker.waiting(QUEUE), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_can_be_fetched_at_a_time() {
    let running = start(quick()).await;
    let mut raw = Raw::open(running.address).await;
    raw.call(1, (50, 10), &declare(QUEUE, 1)).await;
    let ok = raw.expect(1, (50, 11)).await;
    assert_eq!(ok, [&short_string(QUEUE)[..], &[0; 8]].concat());
    // An empty name is the queue named last.
    raw.call(1, (60, 70), &get("", 0)).await;
    raw.expect(1, (60, 72)).await;
    running.put("a").await;
    running.put("b").await;
    raw.call(1, (60, 70), &get("", 0)).await;
    let fetched = raw.delivered().await;
    assert_eq!((fetched.tag, fetched.body), (1, b"a".to_vec()));
    raw.call(1, (60, 80), &about(1, 0)).await;
    raw.call(1, (60, 70), &get(QUEUE, 1)).await;
    assert_eq!(raw.delivered().await.body, b"b");
    let both = [Settlement::Accepted, Settlement::Accepted];
    eventually("both", || running.settled() == both).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_acknowledgment_what_was_sent_is_settled() {
    let running = start(quick()).await;
    for n in 0..150u8 {
        running.put(vec![n]).await;
    }
    let mut raw = Raw::open(running.address).await;
    raw.consume("", 2).await;
    for n in 0..150u8 {
        assert_eq!(raw.delivered().await.body, [n]);
    }
    eventually("settled", || running.settled().len() == 150).await;
    assert!(running.settled().iter().all(|s| *s == Settlement::Accepted));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_message_comes_in_frames_of_the_agreed_size() {
    let running = start(quick()).await;
    running.put(vec![7; 300_000]).await;
    let mut raw = Raw::tuned(running.address, tune_ok(3, 4096, 0)).await;
    raw.expect(0, (10, 41)).await;
    raw.call(3, (20, 10), &[0]).await;
    raw.expect(3, (20, 11)).await;
    raw.call(3, (60, 70), &get(QUEUE, 0)).await;
    assert_eq!(raw.delivered().await.body, vec![7; 300_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_close_gives_back_before_it_is_answered() {
    let running = start(quick()).await;
    running.put("a").await;
    let mut raw = Raw::open(running.address).await;
    raw.consume("c", 0).await;
    raw.delivered().await;
    raw.call(1, (20, 40), &[&[0, 200][..], &[0], &[0; 4]].concat())
        .await;
    raw.expect(1, (20, 41)).await;
    assert_eq!(running.settled(), [Settlement::Released]);
    // The channel can be opened again, and what a cancelled consumer had can still be acknowledged.
    raw.call(1, (20, 10), &[0]).await;
    raw.expect(1, (20, 11)).await;
    raw.consume("c", 0).await;
    let tag = raw.delivered().await.tag;
    raw.call(1, (60, 30), &[&short_string("c")[..], &[0]].concat())
        .await;
    raw.expect(1, (60, 31)).await;
    raw.call(1, (60, 80), &about(tag, 0)).await;
    raw.call(0, (10, 50), &[&[0, 200][..], &[0], &[0; 4]].concat())
        .await;
    raw.expect(0, (10, 51)).await;
    let all = [Settlement::Released, Settlement::Accepted];
    assert_eq!(running.settled(), all);
    assert_eq!(raw.next().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_gone_loses_what_it_held() {
    let running = start(quick()).await;
    running.put("a").await;
    let mut raw = Raw::open(running.address).await;
    raw.consume("c", 0).await;
    raw.delivered().await;
    drop(raw);
    eventually("lost", || running.settled() == [Settlement::Lost]).await;
    assert_eq!(running.broker.waiting(QUEUE), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_are_renewed_while_a_client_works() {
    let running = start(quick()).await;
    running.put("a").await;
    let mut raw = Raw::open(running.address).await;
    raw.consume("c", 0).await;
    raw.delivered().await;
    eventually("renewed", || running.broker.with(|s| s.renewed > 1)).await;
}
