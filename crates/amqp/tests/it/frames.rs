//! Frames as clients send them that are not ours: in which order, how many at once, in which encoding.

use amqp::Limits;
use amqp::port::Settlement;

use crate::raw::{
    ACCEPTED, ATTACH, DATA, DETACH, DISPOSITION, FLOW, PROPERTIES, Raw, TRANSFER, V, VALUE,
    attach_receiver, attach_sender, decode, described, frame, settle, text, transfer,
};
use crate::{QUEUE, SOURCE, eventually, message, start};

fn body(section: u64, value: V) -> Vec<u8> {
    V::Described(section, Box::new(value)).encode()
}

fn data(bytes: &[u8]) -> Vec<u8> {
    body(DATA, V::Bytes(bytes.to_vec()))
}

/// AmqpNetLite, on which the national library stands: nothing waits for an answer, and its transfers are numbered from three
/// before the end of the numbers.
#[tokio::test]
async fn what_is_sent_without_waiting_is_understood() {
    let running = start(Limits::default()).await;
    let mut sender = Raw::open(running.address).await;
    sender.send(&[attach_sender(QUEUE)]).await;
    sender.opened().await;
    let flow = sender.until(FLOW).await;
    assert_eq!(flow.uint(0), Some(u32::MAX - 2), "next-incoming-id");
    let messages: Vec<_> = (0..6u32)
        .map(|n| transfer(n, &data(&n.to_be_bytes())))
        .collect();
    sender.send(&messages).await;
    let mut accepted = 0;
    while accepted < 6 {
        let said = sender.until(DISPOSITION).await;
        let first = said.uint(1).unwrap();
        accepted += said.uint(2).unwrap_or(first) - first + 1;
        assert_eq!(said.field(4), &described(0x24, Vec::new()));
    }

    let mut receiver = Raw::open(running.address).await;
    receiver.send(&[attach_receiver(SOURCE, V::Null, 25)]).await;
    receiver.opened().await;
    for n in 0..6u32 {
        let said = receiver.until(TRANSFER).await;
        assert_eq!((said.uint(1), said.field(4)), (Some(n), &V::Bool(false)));
        assert!(said.payload.ends_with(&n.to_be_bytes()));
    }
    receiver.send(&[settle(0, 0), settle(1, 5)]).await;
    eventually("settled", || {
        running.broker.with(|state| {
            state.settled.len() == 6
                && state
                    .settled
                    .iter()
                    .all(|(_, how)| *how == Settlement::Accepted)
        })
    })
    .await;
}

#[tokio::test]
async fn all_the_credit_that_was_given_may_be_used_at_once() {
    for sender_credit in [1, 200, 300] {
        let limits = Limits {
            sender_credit,
            ..Limits::default()
        };
        let running = start(limits).await;
        let mut sender = Raw::open(running.address).await;
        sender.send(&[attach_sender(QUEUE)]).await;
        sender.opened().await;
        // Nothing that was given is ever taken back: the first word counts.
        let credit = sender.until(FLOW).await.uint(6).unwrap();
        let messages: Vec<_> = (0..credit).map(|n| transfer(n, &data(b"x"))).collect();
        sender.send(&messages).await;
        let mut accepted = 0;
        while accepted < credit {
            let said = sender.until(DISPOSITION).await;
            let first = said.uint(1).unwrap();
            accepted += said.uint(2).unwrap_or(first) - first + 1;
        }
    }
}

#[tokio::test]
async fn bytes_and_text_in_a_value_section_are_taken_as_the_body() {
    let running = start(Limits::default()).await;
    let mut sender = Raw::open(running.address).await;
    sender.send(&[attach_sender(QUEUE)]).await;
    sender.opened().await;
    sender.until(FLOW).await;
    let bodies = [
        body(VALUE, V::Bytes(vec![0, 255])),
        body(VALUE, text("tekst på norsk")),
        [data(b"in "), data(b"two")].concat(),
        body(VALUE, V::Uint(7)),
    ];
    let mut outcomes = Vec::new();
    for (n, body) in (0u32..).zip(&bodies) {
        sender.send(&[transfer(n, body)]).await;
        let said = sender.until(DISPOSITION).await;
        outcomes.push(said.field(4).clone());
    }
    let accepted = described(0x24, Vec::new());
    assert!(outcomes[..3].iter().all(|outcome| *outcome == accepted));
    assert!(
        matches!(&outcomes[3], V::Described(0x25, _)),
        "a number is no body"
    );
    let mut client = running.client().await;
    let mut receiver = client.receiver(SOURCE, "r", 5).await.unwrap();
    let mut taken = Vec::new();
    while taken.len() < 3 {
        taken.push(receiver.recv().await.unwrap().message.body.to_vec());
    }
    assert_eq!(
        taken,
        [vec![0, 255], "tekst på norsk".into(), b"in two".to_vec()]
    );
}

#[tokio::test]
async fn a_receiver_that_settles_second_hears_when_it_is_done() {
    let running = start(Limits::default()).await;
    let mut client = running.client().await;
    let mut sender = client.sender(QUEUE, "s").await.unwrap();
    sender
        .send_all(vec![message("1"), message("2")])
        .await
        .unwrap();
    let mut receiver = Raw::open(running.address).await;
    receiver
        .send(&[attach_receiver(SOURCE, V::Ubyte(1), 5)])
        .await;
    receiver.opened().await;
    let attach = receiver.until(ATTACH).await;
    assert_eq!(attach.field(4), &V::Ubyte(1));
    receiver.until(TRANSFER).await;
    receiver.until(TRANSFER).await;
    let outcome = vec![
        V::Bool(true),
        V::Uint(0),
        V::Uint(1),
        V::Bool(false),
        described(ACCEPTED, Vec::new()),
    ];
    receiver.send(&[frame(DISPOSITION, outcome, &[])]).await;
    let said = receiver.until(DISPOSITION).await;
    assert_eq!(
        said.fields,
        [
            V::Bool(false),
            V::Uint(0),
            V::Uint(1),
            V::Bool(true),
            described(ACCEPTED, Vec::new())
        ]
    );
    assert_eq!(running.broker.with(|state| state.settled.len()), 2);
}

/// AMQP counts deliveries round: from 0 to the last number is nothing at all. Half the numbers are as many as there can be.
#[tokio::test]
async fn a_disposition_of_all_there_could_be_costs_no_more_than_what_there_is() {
    let running = start(Limits::default()).await;
    let mut client = running.client().await;
    let mut sender = client.sender(QUEUE, "s").await.unwrap();
    sender
        .send_all(vec![message("1"), message("2")])
        .await
        .unwrap();
    let mut receiver = Raw::open(running.address).await;
    receiver.send(&[attach_receiver(SOURCE, V::Null, 5)]).await;
    receiver.opened().await;
    receiver.until(TRANSFER).await;
    receiver.until(TRANSFER).await;
    let began = std::time::Instant::now();
    for _ in 0..1000 {
        receiver.send(&[settle(0, u32::MAX)]).await;
    }
    receiver
        .send(&[settle(7, 7), settle(0, u32::MAX / 2)])
        .await;
    eventually("settled", || {
        running.broker.with(|state| state.settled.len() == 2)
    })
    .await;
    assert!(began.elapsed() < std::time::Duration::from_secs(3));
}

#[tokio::test]
async fn a_link_that_has_ended_takes_nothing_any_more() {
    let running = start(Limits::default()).await;
    let mut receiver = Raw::open(running.address).await;
    receiver.send(&[attach_receiver(SOURCE, V::Null, 5)]).await;
    receiver.opened().await;
    receiver.until(ATTACH).await;
    let detach = frame(DETACH, vec![V::Uint(0), V::Bool(true)], &[]);
    receiver.send(&[detach]).await;
    eventually("it looks no more", || {
        running.broker.with(|state| state.closed == 1)
    })
    .await;
    let mut client = running.client().await;
    let mut sender = client.sender(QUEUE, "s").await.unwrap();
    sender.send(message("for another")).await.unwrap();
    let mut other = client.receiver(SOURCE, "r", 5).await.unwrap();
    let received = other.recv().await.unwrap();
    assert!(
        received.message.header.first_acquirer,
        "nobody had it before"
    );
}

/// The first sections of what is delivered stand where every client looks for them.
#[tokio::test]
async fn what_is_delivered_is_one_data_section_behind_the_properties() {
    let running = start(Limits::default()).await;
    let mut client = running.client().await;
    let mut sender = client.sender(QUEUE, "s").await.unwrap();
    let mut sent = message("body");
    sent.properties.subject = Some("DIALOG_NOTAT".to_owned());
    sender.send(sent).await.unwrap();
    let mut receiver = Raw::open(running.address).await;
    receiver.send(&[attach_receiver(SOURCE, V::Null, 5)]).await;
    receiver.opened().await;
    let said = receiver.until(TRANSFER).await;
    let mut rest = said.payload.as_slice();
    let mut sections = Vec::new();
    while !rest.is_empty() {
        let V::Described(code, value) = decode(&mut rest) else {
            panic!("no section")
        };
        sections.push((code, *value));
    }
    let codes: Vec<u64> = sections.iter().map(|(code, _)| *code).collect();
    assert_eq!(codes, [0x70, PROPERTIES, DATA]);
    assert_eq!(sections[2].1, V::Bytes(b"body".to_vec()));
}
