//! What the protocol asks of a broker that is not seen from a well-behaved client: limits, windows, drains, faults, ends.

use std::time::Duration;

use amqp::Limits;
use amqp::port::{Settlement, Simple};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::raw::{
    ATTACH, BEGIN, CLOSE, COORDINATOR, DATA, DETACH, DISPOSITION, END, FLOW, PROPERTIES, Raw,
    SOURCE as SOURCE_CODE, TARGET, TRANSFER, V, attach_receiver, attach_sender, described, flow,
    frame, part, text, transfer,
};
use crate::{QUEUE, Running, SOURCE, eventually, message, start};

fn data(bytes: &[u8]) -> Vec<u8> {
    V::Described(DATA, Box::new(V::Bytes(bytes.to_vec()))).encode()
}

async fn sending(running: &Running) -> Raw {
    let mut raw = Raw::open(running.address).await;
    raw.send(&[attach_sender(QUEUE)]).await;
    raw.opened().await;
    raw.until(FLOW).await;
    raw
}

async fn receiving(running: &Running, credit: u32) -> Raw {
    let mut raw = Raw::open(running.address).await;
    raw.send(&[attach_receiver(SOURCE, V::Null, credit)]).await;
    raw.opened().await;
    raw.until(ATTACH).await;
    raw
}

async fn fill(running: &Running, messages: Vec<amqp::port::Message>) {
    let mut client = running.client().await;
    let mut sender = client.sender(QUEUE, "fill").await.unwrap();
    sender.send_all(messages).await.unwrap();
    client.close().await.unwrap();
}

fn many(count: u32) -> Vec<amqp::port::Message> {
    (0..count).map(|n| message(format!("{n}"))).collect()
}

/// The next frame of this kind, whatever comes before it.
async fn told(raw: &mut Raw, code: u64) -> crate::raw::Said {
    loop {
        let said = raw.next().await.expect("the connection ended");
        if said.code == code {
            return said;
        }
    }
}

#[tokio::test]
async fn a_message_may_come_in_parts_and_be_given_up() {
    let running = start(Limits::default()).await;
    let mut raw = sending(&running).await;
    let whole = data(b"in three parts");
    raw.send(&[
        part(Some(0), true, false, &whole[..3]),
        part(None, true, false, &whole[3..9]),
        part(Some(0), false, false, &whole[9..]),
        part(Some(1), true, false, &whole[..5]),
        part(None, false, true, &[]),
        transfer(2, &data(b"after it")),
    ])
    .await;
    let said = raw.until(DISPOSITION).await;
    assert_eq!((said.uint(1), said.field(2)), (Some(0), &V::Null));
    let said = raw.until(DISPOSITION).await;
    assert_eq!(said.uint(1), Some(2), "nobody answers what was given up");
    let mut client = running.client().await;
    let mut receiver = client.receiver(SOURCE, "r", 5).await.unwrap();
    for expected in ["in three parts", "after it"] {
        assert_eq!(receiver.recv().await.unwrap().message.body, expected);
    }
}

#[tokio::test]
async fn answers_that_are_ready_together_go_out_as_one() {
    let running = start(Limits::default()).await;
    let mut raw = sending(&running).await;
    let mut messages: Vec<_> = (0..6).map(|n| transfer(n, &data(b"x"))).collect();
    messages[4] = transfer(
        4,
        &V::Described(0x76, Box::new(V::List(Vec::new()))).encode(),
    );
    raw.send(&messages).await;
    let mut ranges = Vec::new();
    for _ in 0..3 {
        let said = raw.until(DISPOSITION).await;
        assert_eq!(said.field(3), &V::Bool(true));
        ranges.push((said.uint(1).unwrap(), said.uint(2)));
    }
    ranges.sort_unstable();
    assert_eq!(ranges, [(0, Some(3)), (4, None), (5, None)]);
}

#[tokio::test]
async fn settled_means_settled_either_way() {
    let running = start(Limits::default()).await;
    let mut raw = sending(&running).await;
    let settled = vec![V::Uint(0), V::Uint(0), V::Null, V::Uint(0), V::Bool(true)];
    raw.send(&[
        frame(TRANSFER, settled, &data(b"settled")),
        transfer(1, &data(b"not settled")),
    ])
    .await;
    assert_eq!(raw.until(DISPOSITION).await.uint(1), Some(1));
    assert_eq!(running.broker.waiting("93252_async"), 2);

    let mut receiver = Raw::open(running.address).await;
    let attach = vec![
        text("r"),
        V::Uint(0),
        V::Bool(true),
        V::Ubyte(1),
        V::Null,
        described(SOURCE_CODE, vec![text(SOURCE)]),
    ];
    receiver
        .send(&[frame(ATTACH, attach, &[]), flow(2048, 0, 5, false, false)])
        .await;
    receiver.opened().await;
    assert_eq!(receiver.until(ATTACH).await.field(3), &V::Ubyte(1));
    for _ in 0..2 {
        assert_eq!(receiver.until(TRANSFER).await.field(4), &V::Bool(true));
    }
    eventually("accepted as sent", || {
        running
            .broker
            .with(|state| state.settled == [(1, Settlement::Accepted), (2, Settlement::Accepted)])
    })
    .await;
}

#[tokio::test]
async fn more_than_the_credit_ends_the_link() {
    let running = start(Limits {
        sender_credit: 2,
        ..Limits::default()
    })
    .await;
    let mut raw = sending(&running).await;
    let messages: Vec<_> = (0..3).map(|n| transfer(n, &data(b"x"))).collect();
    raw.send(&messages).await;
    let said = told(&mut raw, DETACH).await;
    assert_eq!(said.condition(2), "amqp:link:transfer-limit-exceeded");
    eventually("two taken", || running.broker.waiting("93252_async") == 2).await;
    // What still comes means nothing, and the session goes on.
    let detach = frame(DETACH, vec![V::Uint(0), V::Bool(true)], &[]);
    raw.send(&[transfer(3, &data(b"x")), detach, attach_sender(QUEUE)])
        .await;
    raw.until(ATTACH).await;
}

#[tokio::test]
async fn too_large_a_message_ends_the_link() {
    let running = start(Limits {
        max_message_bytes: 1000,
        ..Limits::default()
    })
    .await;
    for parts in [1, 3] {
        let mut raw = sending(&running).await;
        let whole = data(&[0; 1200]);
        let chunks: Vec<_> = whole.chunks(whole.len().div_ceil(parts)).collect();
        let frames: Vec<_> = (1..=chunks.len())
            .map(|n| part(Some(0), n < chunks.len(), false, chunks[n - 1]))
            .collect();
        raw.send(&frames).await;
        let said = told(&mut raw, DETACH).await;
        assert_eq!(said.condition(2), "amqp:link:message-size-exceeded");
    }
    assert_eq!(running.broker.waiting("93252_async"), 0);
}

#[tokio::test]
async fn half_sent_messages_are_bounded_together() {
    let running = start(Limits {
        max_message_bytes: 1000,
        ..Limits::default()
    })
    .await;
    let mut raw = Raw::open(running.address).await;
    for handle in 0..3u32 {
        let attach = vec![
            text(&format!("s{handle}")),
            V::Uint(handle),
            V::Bool(false),
            V::Null,
            V::Null,
            V::Null,
            described(TARGET, vec![text(QUEUE)]),
            V::Null,
            V::Null,
            V::Uint(0),
        ];
        let half = vec![
            V::Uint(handle),
            V::Uint(handle),
            V::Null,
            V::Null,
            V::Null,
            V::Bool(true),
        ];
        raw.send(&[frame(ATTACH, attach, &[])]).await;
        if handle == 0 {
            raw.opened().await;
        }
        raw.until(FLOW).await;
        raw.send(&[frame(TRANSFER, half, &[0; 900])]).await;
    }
    let said = told(&mut raw, DETACH).await;
    assert_eq!(said.uint(0), Some(2));
    assert_eq!(said.condition(2), "amqp:resource-limit-exceeded");
}

#[tokio::test]
async fn no_more_is_sent_than_the_window_has_room_for() {
    let running = start(Limits::default()).await;
    fill(&running, many(5)).await;
    let mut raw = receiving(&running, 0).await;
    raw.send(&[flow(2, 0, 10, false, false)]).await;
    raw.until(TRANSFER).await;
    raw.until(TRANSFER).await;
    let more = tokio::time::timeout(Duration::from_millis(200), raw.until(TRANSFER)).await;
    assert!(more.is_err(), "the window is shut");
    let wide = vec![V::Uint(2), V::Uint(100), V::Uint(0), V::Uint(100)];
    raw.send(&[frame(FLOW, wide, &[])]).await;
    for _ in 0..3 {
        raw.until(TRANSFER).await;
    }
}

#[tokio::test]
async fn frames_are_as_large_as_the_client_takes() {
    let running = start(Limits::default()).await;
    fill(&running, vec![message(vec![7; 5000])]).await;
    let mut raw = Raw::open_with(running.address, 512, V::Null).await;
    raw.send(&[attach_receiver(SOURCE, V::Null, 5)]).await;
    raw.opened().await;
    let mut bytes = Vec::new();
    loop {
        let said = raw.until(TRANSFER).await;
        assert_eq!(said.uint(1), Some(0));
        assert!(said.payload.len() < 512);
        bytes.extend_from_slice(&said.payload);
        if said.field(5) != &V::Bool(true) {
            break;
        }
    }
    assert!(bytes.ends_with(&[7; 5000]) && bytes.len() < 5100);
}

#[tokio::test]
async fn a_drained_link_sends_what_there_is_and_gives_the_rest_back() {
    let running = start(Limits::default()).await;
    fill(&running, many(3)).await;
    let mut raw = receiving(&running, 0).await;
    raw.send(&[flow(2048, 0, 10, true, false)]).await;
    for _ in 0..3 {
        raw.until(TRANSFER).await;
    }
    let said = raw.until(FLOW).await;
    let drained = |count: u32| (Some(count), Some(0), V::Bool(true));
    let heard = |said: &crate::raw::Said| (said.uint(5), said.uint(6), said.field(8).clone());
    assert_eq!(heard(&said), drained(10), "all of the credit is used up");
    // Nothing is there; a look waits already.
    raw.send(&[flow(2048, 10, 4, false, false)]).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    raw.send(&[flow(2048, 10, 4, true, false)]).await;
    let said = raw.until(FLOW).await;
    assert_eq!(heard(&said), drained(14));
    fill(&running, many(1)).await;
    let more = tokio::time::timeout(Duration::from_millis(200), raw.until(TRANSFER)).await;
    assert!(more.is_err(), "no credit is left");
    assert_eq!(running.broker.waiting("93252_async"), 1);
    // Exactly as much as is asked for is there: the answer comes at once.
    raw.send(&[flow(2048, 14, 1, true, false)]).await;
    raw.until(TRANSFER).await;
    assert_eq!(heard(&raw.until(FLOW).await), drained(15));
}

#[tokio::test]
async fn credit_is_taken_back_and_a_flow_answered() {
    let running = start(Limits::default()).await;
    let mut raw = receiving(&running, 10).await;
    raw.send(&[flow(2048, 0, 0, false, true)]).await;
    let said = raw.until(FLOW).await;
    assert_eq!(
        (said.uint(4), said.uint(5), said.uint(6)),
        (Some(0), Some(0), Some(0))
    );
    fill(&running, many(1)).await;
    let more = tokio::time::timeout(Duration::from_millis(200), raw.until(TRANSFER)).await;
    assert!(more.is_err());
    eventually("given back", || running.broker.waiting("93252_async") == 1).await;
    let session = vec![
        V::Uint(0),
        V::Uint(9),
        V::Uint(0),
        V::Uint(9),
        V::Null,
        V::Null,
        V::Null,
        V::Null,
        V::Null,
        V::Bool(true),
    ];
    raw.send(&[frame(FLOW, session, &[])]).await;
    assert_eq!(raw.until(FLOW).await.field(4), &V::Null);
    raw.send(&[flow(2048, 0, u32::MAX, false, false)]).await;
    raw.until(TRANSFER).await;
}

#[tokio::test]
async fn faults_end_the_session_and_not_the_connection() {
    let running = start(Limits::default()).await;
    let unknown = frame(
        FLOW,
        vec![V::Uint(0), V::Uint(9), V::Uint(0), V::Uint(9), V::Uint(5)],
        &[],
    );
    let detach = frame(DETACH, vec![V::Uint(5), V::Bool(true)], &[]);
    let stray = frame(TRANSFER, vec![V::Uint(5), V::Uint(0)], &[]);
    for (frames, condition) in [
        (unknown, "amqp:session:unattached-handle"),
        (detach, "amqp:session:unattached-handle"),
        (stray, "amqp:session:unattached-handle"),
        (attach_sender(QUEUE), "amqp:session:handle-in-use"),
    ] {
        let mut raw = sending(&running).await;
        raw.send(&[frames, transfer(0, &data(b"too late"))]).await;
        let said = told(&mut raw, END).await;
        assert_eq!(said.condition(0), condition);
        let begin = vec![V::Null, V::Uint(0), V::Uint(9), V::Uint(9)];
        raw.send(&[
            frame(END, Vec::new(), &[]),
            frame(BEGIN, begin, &[]),
            attach_sender(QUEUE),
        ])
        .await;
        told(&mut raw, BEGIN).await;
        raw.until(FLOW).await;
    }
    assert_eq!(running.broker.waiting("93252_async"), 0);
}

#[tokio::test]
async fn faults_of_the_connection_are_told_before_it_ends() {
    let running = start(Limits::default()).await;
    let on_channel = |channel: u8, mut frame: Vec<u8>| {
        frame[7] = channel;
        frame
    };
    let begin = vec![V::Null, V::Uint(0), V::Uint(9), V::Uint(9)];
    let mut far = frame(BEGIN, begin.clone(), &[]);
    far[6] = 1;
    for (bytes, condition) in [
        (
            vec![0, 0, 0, 3, 2, 0, 0, 0],
            "amqp:connection:framing-error",
        ),
        (
            vec![0, 0, 0, 8, 2, 7, 0, 0],
            "amqp:connection:framing-error",
        ),
        (
            vec![0x7f, 0, 0, 0, 2, 0, 0, 0],
            "amqp:connection:framing-error",
        ),
        (vec![0, 0, 0, 9, 2, 0, 0, 0, 0xff], "amqp:decode-error"),
        (frame(0x99, Vec::new(), &[]), "amqp:decode-error"),
        (frame(ATTACH, Vec::new(), &[]), "amqp:decode-error"),
        (frame(0x10, vec![text("again")], &[]), "amqp:illegal-state"),
        (frame(BEGIN, begin, &[]), "amqp:not-allowed"),
        (far, "amqp:connection:framing-error"),
        (on_channel(9, attach_sender(QUEUE)), "amqp:not-allowed"),
    ] {
        let mut raw = sending(&running).await;
        raw.send(&[bytes]).await;
        let said = told(&mut raw, CLOSE).await;
        assert_eq!(said.condition(0), condition);
        raw.send(&[frame(CLOSE, Vec::new(), &[])]).await;
        assert!(raw.next().await.is_none());
    }
    eventually("nobody left", || running.server.connections() == 0).await;
}

#[tokio::test]
async fn what_is_not_offered_is_refused_when_the_link_is_attached() {
    let running = start(Limits::default()).await;
    let mut raw = sending(&running).await;
    let sender = |target: V| (false, V::Null, target);
    let receiver = |source: V| (true, source, V::Null);
    let dynamic = vec![V::Null, V::Null, V::Null, V::Null, V::Bool(true)];
    let mut copy = vec![text(SOURCE)];
    copy.extend(vec![V::Null; 5]);
    copy.push(V::Symbol("copy".to_owned()));
    let cases = [
        (
            sender(described(COORDINATOR, Vec::new())),
            "amqp:not-implemented",
        ),
        (
            sender(described(TARGET, dynamic.clone())),
            "amqp:not-implemented",
        ),
        (sender(described(TARGET, Vec::new())), "amqp:not-allowed"),
        (sender(V::Null), "amqp:not-allowed"),
        (
            sender(described(TARGET, vec![text("4711_async")])),
            "amqp:not-found",
        ),
        (
            receiver(described(SOURCE_CODE, dynamic)),
            "amqp:not-implemented",
        ),
        (
            receiver(described(SOURCE_CODE, copy)),
            "amqp:not-implemented",
        ),
        (receiver(V::Null), "amqp:not-allowed"),
    ];
    for ((is_receiver, source, target), condition) in cases {
        let attach = vec![
            text("again"),
            V::Uint(1),
            V::Bool(is_receiver),
            V::Null,
            V::Null,
            source,
            target,
        ];
        raw.send(&[frame(ATTACH, attach, &[])]).await;
        let said = raw.until(ATTACH).await;
        let terminus = if is_receiver { 5 } else { 6 };
        assert_eq!(
            said.field(terminus),
            &V::Null,
            "the end of ours is left out"
        );
        let said = told(&mut raw, DETACH).await;
        assert_eq!(
            (said.field(1), said.condition(2).as_str()),
            (&V::Bool(true), condition)
        );
        raw.send(&[frame(DETACH, vec![V::Uint(1), V::Bool(true)], &[])])
            .await;
    }
    // Of the same name there is one link for each direction.
    let named = |handle: u32, is_receiver: bool| {
        let (end, other) = (
            described(SOURCE_CODE, vec![text(SOURCE)]),
            described(TARGET, vec![text(QUEUE)]),
        );
        let fields = vec![
            text("sender-link-1"),
            V::Uint(handle),
            V::Bool(is_receiver),
            V::Null,
            V::Null,
            end,
            other,
        ];
        frame(ATTACH, fields, &[])
    };
    raw.send(&[named(1, true), named(2, false)]).await;
    raw.until(ATTACH).await;
    raw.until(ATTACH).await;
    assert_eq!(
        told(&mut raw, DETACH).await.condition(2),
        "amqp:not-allowed"
    );
}

#[tokio::test]
async fn texts_may_be_strings_or_symbols_and_annotations_come_through() {
    let running = start(Limits::default()).await;
    let mut raw = sending(&running).await;
    let mut properties = vec![V::Null; 6];
    properties.push(text("text/plain"));
    properties[0] = V::Symbol("id".to_owned());
    let annotations = [
        &[0x00, 0x53, 0x72, 0xc1, 45, 6, 0xa3, 4][..],
        b"kept",
        &[0x54, 7, 0xa3, 18],
        b"x-opt-locked-until",
        &[0x83, 0, 0, 0, 0, 0, 0, 0, 1, 0xa3, 4],
        b"list",
        &[0x45],
    ]
    .concat();
    let section = described(PROPERTIES, properties).encode();
    raw.send(&[transfer(0, &[annotations, section, data(b"x")].concat())])
        .await;
    let said = raw.until(DISPOSITION).await;
    assert_eq!(said.field(4), &described(0x24, Vec::new()));
    let mut client = running.client().await;
    let mut receiver = client.receiver(SOURCE, "r", 5).await.unwrap();
    let received = receiver.recv().await.unwrap().message;
    assert_eq!(
        received.properties.content_type.as_deref(),
        Some("text/plain")
    );
    assert_eq!(
        received.message_annotations,
        [(Simple::Symbol("kept".to_owned()), Simple::Signed(7, 32))],
        "locks are nobody's to tell but ours"
    );
}

#[tokio::test]
async fn a_client_that_reads_late_gets_everything() {
    let running = start(Limits::default()).await;
    fill(
        &running,
        (0..60).map(|n| message(vec![n; 100_000])).collect(),
    )
    .await;
    let mut slow = receiving(&running, 100).await;
    // The others go on meanwhile.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let leased = running.broker.leased();
    assert!(leased < 100, "{leased} leased for one that takes none");
    fill(&running, many(1)).await;
    let mut bytes = 0;
    while bytes < 6_000_000 {
        bytes += slow.until(TRANSFER).await.payload.len();
    }
}

#[tokio::test]
async fn silence_is_noticed_and_ours_is_kept_short() {
    let running = start(Limits {
        idle_ms: 300,
        ..Limits::default()
    })
    .await;
    let mut raw = receiving(&running, 1).await;
    let said = told(&mut raw, CLOSE).await;
    assert_eq!(said.condition(0), "amqp:resource-limit-exceeded");

    let running = start(Limits::default()).await;
    let mut raw = Raw::open_with(running.address, 512, V::Uint(200)).await;
    raw.send(&[attach_receiver(SOURCE, V::Null, 1)]).await;
    raw.opened().await;
    raw.until(ATTACH).await;
    let began = std::time::Instant::now();
    for _ in 0..3 {
        assert_eq!(raw.bytes(8).await, [0, 0, 0, 8, 2, 0, 0, 0]);
    }
    let elapsed = began.elapsed();
    assert!((200..5000).contains(&elapsed.as_millis()), "{elapsed:?}");
}

#[tokio::test]
async fn without_a_log_in_the_header_of_the_log_in_comes_back() {
    use tokio::io::AsyncReadExt as _;
    let running = start(Limits::default()).await;
    for header in [
        b"AMQP\x00\x01\x00\x00",
        b"AMQP\x02\x01\x00\x00",
        b"HTTP/1.1",
    ] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(header).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"AMQP\x03\x01\x00\x00");
    }
}

/// What a client says between log-in and the end of its first message both ways.
fn session() -> Vec<u8> {
    let response = format!("\0{}\0{}", crate::USER, crate::PASSWORD).into_bytes();
    let init = [
        &[0x00, 0x53, 0x41, 0xd0][..],
        &(4 + 7 + 2 + response.len() as u32).to_be_bytes(),
        &[0, 0, 0, 2, 0xa3, 5],
        b"PLAIN",
        &[0xa0, response.len() as u8],
        &response,
    ]
    .concat();
    let size = (8 + init.len() as u32).to_be_bytes();
    let begin = vec![V::Null, V::Uint(0), V::Uint(9), V::Uint(9)];
    let attach = vec![
        text("r"),
        V::Uint(1),
        V::Bool(true),
        V::Null,
        V::Null,
        described(SOURCE_CODE, vec![text(SOURCE)]),
    ];
    let flow = vec![
        V::Uint(0),
        V::Uint(9),
        V::Uint(1),
        V::Uint(9),
        V::Uint(1),
        V::Uint(0),
        V::Uint(5),
    ];
    [
        b"AMQP\x03\x01\x00\x00".to_vec(),
        [&size[..], &[2, 1, 0, 0], &init].concat(),
        b"AMQP\x00\x01\x00\x00".to_vec(),
        frame(0x10, vec![text("c")], &[]),
        frame(BEGIN, begin, &[]),
        attach_sender(QUEUE),
        transfer(0, &data(b"whole")),
        frame(ATTACH, attach, &[]),
        frame(FLOW, flow, &[]),
        part(Some(1), true, false, b"half"),
        crate::raw::settle(0, 0),
        frame(DETACH, vec![V::Uint(0), V::Bool(true)], &[]),
        frame(END, Vec::new(), &[]),
        frame(CLOSE, Vec::new(), &[]),
    ]
    .concat()
}

fn unhurried() -> Limits {
    Limits {
        max_connections_per_ip: 4096,
        failed_login_delay: Duration::ZERO,
        ..Limits::default()
    }
}

#[tokio::test]
async fn a_connection_may_be_lost_at_every_byte() {
    let running = start(unhurried()).await;
    let whole = session();
    for end in (0..=whole.len()).step_by(3) {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(&whole[..end]).await.unwrap();
        if end % 2 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    eventually("nobody left", || running.server.connections() == 0).await;
    assert_eq!(running.broker.leased(), 0, "everything was given back");
}

#[tokio::test]
async fn damaged_bytes_bring_nothing_down() {
    let running = start(unhurried()).await;
    let whole = session();
    let mut random = 20_261_122u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as usize
    };
    for _ in 0..300 {
        let mut bytes = whole.clone();
        // The log-in stays whole, or nothing behind it is ever reached.
        for _ in 0..1 + next() % 4 {
            let at = 60 + next() % (bytes.len() - 60);
            bytes[at] = next() as u8;
        }
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        let _ = stream.write_all(&bytes).await;
    }
    eventually("nobody left", || running.server.connections() == 0).await;
    assert_eq!(running.broker.leased(), 0);
    fill(&running, many(1)).await;
}
