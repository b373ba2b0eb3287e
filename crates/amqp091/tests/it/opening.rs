//! Log-in, tuning, silence, slowness, shutdown.

use std::time::Duration;

use amqp::port::Settlement;
use amqp091::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::raw::{LOGIN, Raw, frame, start_ok, tune_ok};
use crate::{QUEUE, eventually, quick, start};

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_log_in_is_told_when_it_wants_to_be() {
    let running = start(quick()).await;
    for (mechanism, response) in [
        ("PLAIN", &b"\0vaar-epj\0wrong"[..]),
        ("PLAIN", b"\0vaar-epj"),
        ("PLAIN", "\0vaar-epj\0hemmelig:ø\0more".as_bytes()),
        ("PLAIN", "other\0vaar-epj\0hemmelig:ø".as_bytes()),
        ("AMQPLAIN", LOGIN),
        ("EXTERNAL", b""),
    ] {
        let mut raw = Raw::connect(running.address).await;
        raw.expect(0, (10, 10)).await;
        raw.call(0, (10, 11), &start_ok(mechanism, response, true))
            .await;
        assert_eq!(raw.closed(0).await.0, 403, "{mechanism}");
        assert_eq!(raw.next().await, None);
    }
    let mut raw = Raw::connect(running.address).await;
    raw.expect(0, (10, 10)).await;
    let older = start_ok("PLAIN", b"\0vaar-epj\0wrong", false);
    raw.call(0, (10, 11), &older).await;
    assert_eq!(raw.next().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_agreed_on_stays_within_what_was_proposed() {
    let running = start(quick()).await;
    for (channels, frame) in [(256, 0), (0, 4095), (0, 131_073), (65_535, 131_072)] {
        let mut raw = Raw::tuned(running.address, tune_ok(channels, frame, 0)).await;
        assert_eq!(raw.closed(0).await.0, 530, "{channels} {frame}");
    }
    let mut raw = Raw::tuned(running.address, tune_ok(1, 4096, 600)).await;
    raw.expect(0, (10, 41)).await;
    raw.call(2, (20, 10), &[0]).await;
    assert_eq!(raw.closed(0).await.0, 530, "one channel was agreed on");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_comes_before_its_turn() {
    let running = start(quick()).await;
    let mut raw = Raw::connect(running.address).await;
    raw.expect(0, (10, 10)).await;
    raw.call(0, (10, 40), &[0, 0, 0]).await;
    assert_eq!(raw.closed(0).await.0, 503);
    let mut raw = Raw::connect(running.address).await;
    raw.expect(0, (10, 10)).await;
    raw.call(1, (20, 10), &[0]).await;
    assert_eq!(raw.closed(0).await.0, 505);
    let mut raw = Raw::open(running.address).await;
    raw.call(7, (60, 70), &[0; 8]).await;
    assert_eq!(raw.closed(0).await.0, 504);
    let mut raw = Raw::open(running.address).await;
    raw.call(0, (60, 70), &[0; 8]).await;
    assert_eq!(raw.closed(0).await.0, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_none_end_the_connection() {
    let limits = Limits {
        handshake: Duration::from_secs(5),
        ..quick()
    };
    let running = start(limits).await;
    let large = frame(1, 0, &vec![0; 200_000]);
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[1, 0, 0, 0, 0, 0, 1, 0, 0],
        &large,
    ] {
        let mut raw = Raw::connect(running.address).await;
        raw.expect(0, (10, 10)).await;
        let _ = raw.stream.write_all(bytes).await;
        assert_eq!(raw.closed(0).await.0, 501);
        let mut raw = Raw::open(running.address).await;
        let _ = raw.stream.write_all(bytes).await;
        assert_eq!(raw.closed(0).await.0, 501);
    }
    // Half a header, a header of another version: neither protocol keeps them.
    for bytes in [
        &b"AMQP"[..],
        b"AMQP\x01\x01\x00\x09",
        b"AMQP\x00\x00\x09\x00",
    ] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut answer));
        assert!(ended.await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_noticed_and_heartbeats_are_heard() {
    let running = start(quick()).await;
    running.put("a").await;
    let mut raw = Raw::tuned(running.address, tune_ok(0, 0, 1)).await;
    raw.expect(0, (10, 41)).await;
    raw.call(1, (20, 10), &[0]).await;
    raw.expect(1, (20, 11)).await;
    raw.consume("c", 0).await;
    raw.delivered().await;
    // The server's own heartbeats come, and are passed over; then it ends.
    assert_eq!(raw.next().await, None);
    eventually("lost", || running.settled() == [Settlement::Lost]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_is_let_go_of() {
    let limits = Limits {
        write: Duration::from_millis(300),
        ..quick()
    };
    let running = start(limits).await;
    let mut raw = Raw::open(running.address).await;
    raw.consume("c", 0).await;
    for _ in 0..40 {
        running.put(vec![0; 1 << 20]).await;
    }
    // Nobody reads what comes; more than the sockets hold waits.
    eventually("given back", || {
        running.broker.waiting(QUEUE) == 40 && running.broker.leased() == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_hub_says_so() {
    let running = start(quick()).await;
    running.put("a").await;
    let mut raw = Raw::open(running.address).await;
    raw.consume("c", 0).await;
    raw.delivered().await;
    running.shutdown.set();
    assert_eq!(raw.closed(0).await.0, 320);
    assert_eq!(running.settled(), [Settlement::Released]);
    assert_eq!(raw.next().await, None);
}
