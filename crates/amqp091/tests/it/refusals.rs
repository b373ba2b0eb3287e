//! What is not offered, and what is wrong: the reply code, and whether the channel or the connection ends by it.

use crate::raw::{Raw, about, consume, declare, frame, get, qos, short_string};
use crate::{QUEUE, eventually, quick, start};
use amqp091::Limits;
use tokio::io::AsyncWriteExt as _;

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_has_its_code() {
    let running = start(quick()).await;
    let nothing = [0; 16].to_vec();
    let publish = [&[0, 0][..], &short_string(""), &short_string("q"), &[0]].concat();
    let bytes = [&[0, 0, 0, 9][..], &[0, 1], &[0]].concat();
    // Method, arguments, code, whether the whole connection ends.
    let table = [
        ((60, 40), publish, 403, false),
        ((40, 10), nothing.clone(), 403, false),
        ((40, 20), nothing.clone(), 403, false),
        ((50, 10), declare(QUEUE, 0), 403, false),
        ((50, 10), declare("unknown", 1), 404, false),
        ((50, 20), nothing.clone(), 403, false),
        ((50, 30), nothing.clone(), 403, false),
        ((50, 40), nothing.clone(), 403, false),
        ((60, 20), consume("unknown", "", 0), 404, false),
        ((60, 20), consume("", "", 0), 404, false),
        ((60, 70), get("unknown", 0), 404, false),
        ((60, 80), about(1, 0), 406, false),
        ((60, 120), about(1, 3), 406, false),
        ((60, 20), consume(QUEUE, "", 4), 540, true),
        ((60, 10), bytes, 540, true),
        ((60, 110), vec![0], 540, true),
        ((20, 20), vec![0], 540, true),
        ((85, 10), vec![0], 540, true),
        ((90, 10), vec![], 540, true),
        ((60, 77), vec![], 540, true),
        ((20, 10), vec![0], 504, true),
        ((10, 40), nothing.clone(), 503, true),
        ((60, 20), vec![0, 0, 9], 502, true),
    ];
    for (id, arguments, code, ends_connection) in table {
        let mut raw = Raw::open(running.address).await;
        raw.call(1, id, &arguments).await;
        let channel = if ends_connection { 0 } else { 1 };
        let (said, text) = raw.closed(channel).await;
        assert_eq!(said, code, "{id:?}: {text}");
        if ends_connection {
            assert_eq!(raw.next().await, None, "{id:?}");
            continue;
        }
        // Content behind a refused publish is passed over, and the channel can be opened again.
        raw.call(1, (20, 10), &[0]).await;
        raw.expect(1, (20, 11)).await;
        raw.call(1, (60, 10), &qos(1, 0)).await;
        raw.expect(1, (60, 11)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn content_behind_a_refused_publish_is_passed_over() {
    let running = start(quick()).await;
    let mut raw = Raw::open(running.address).await;
    let publish = [&[0, 0][..], &short_string(""), &short_string("q"), &[0]].concat();
    raw.call(1, (60, 40), &publish).await;
    let header = [&[0, 60, 0, 0][..], &3u64.to_be_bytes(), &[0, 0]].concat();
    let content = [frame(2, 1, &header), frame(3, 1, b"abc")].concat();
    raw.stream.write_all(&content).await.unwrap();
    let (code, text) = raw.closed(1).await;
    assert_eq!(code, 403);
    assert!(text.starts_with("ACCESS_REFUSED - "), "{text}");
    raw.call(2, (20, 10), &[0]).await;
    raw.expect(2, (20, 11)).await;
    // Without a method before it, it is a fault.
    raw.stream.write_all(&content).await.unwrap();
    assert_eq!(raw.closed(0).await.0, 505);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_bounded() {
    let limits = Limits {
        max_consumers: 2,
        max_unacked: 3,
        ..quick()
    };
    let running = start(limits).await;
    for n in 0..5u8 {
        running.put(vec![n]).await;
    }
    let mut raw = Raw::open(running.address).await;
    raw.consume("a", 0).await;
    for _ in 0..3 {
        raw.delivered().await;
    }
    assert_eq!(
        running.broker.leased(),
        3,
        "no more than may be unacknowledged"
    );
    raw.call(1, (60, 70), &get(QUEUE, 0)).await;
    assert_eq!(raw.closed(1).await.0, 406);
    let mut raw = Raw::open(running.address).await;
    raw.call(256, (20, 10), &[0]).await;
    assert_eq!(raw.closed(0).await.0, 530);

    let running = start(limits).await;
    let mut raw = Raw::open(running.address).await;
    raw.consume("a", 0).await;
    raw.consume("b", 0).await;
    raw.call(1, (60, 20), &consume(QUEUE, "c", 0)).await;
    assert_eq!(raw.closed(0).await.0, 506);
    let mut raw = Raw::open(running.address).await;
    raw.consume("a", 0).await;
    raw.call(1, (60, 20), &consume(QUEUE, "a", 0)).await;
    assert_eq!(raw.closed(0).await.0, 530);
}

#[tokio::test(flavor = "multi_thread")]
async fn properties_that_do_not_fit_in_a_frame_stay_in_the_queue() {
    let running = start(quick()).await;
    let mut message = amqp::port::Message::default();
    message.set_property("long", "x".repeat(5_000));
    running.put_message(message).await;
    let mut raw = Raw::tuned(running.address, crate::raw::tune_ok(0, 4096, 0)).await;
    raw.expect(0, (10, 41)).await;
    raw.call(1, (20, 10), &[0]).await;
    raw.expect(1, (20, 11)).await;
    raw.consume("a", 0).await;
    let (code, text) = raw.closed(0).await;
    assert_eq!(code, 501);
    assert!(text.contains("larger frame-max"), "{text}");
    eventually("back", || running.broker.waiting(QUEUE) == 1).await;
    let mut raw = Raw::open(running.address).await;
    raw.consume("a", 0).await;
    assert!(raw.delivered().await.header.len() > 5_000);
}
