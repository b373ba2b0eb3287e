use std::time::Duration;

use amqp::Limits;
use amqp::client::ClientError;
use amqp::port::{Header, Message, MessageId, Properties, Settlement, Simple};
use bytes::Bytes;

use crate::{QUEUE, SOURCE, eventually, message, start};

fn full() -> Message {
    Message {
        header: Header {
            durable: true,
            priority: Some(7),
            ttl_ms: Some(15_000),
            first_acquirer: true,
            delivery_count: 0,
        },
        properties: Properties {
            message_id: Some(MessageId::Uuid([7; 16])),
            user_id: Some(b"user".to_vec()),
            to: Some("93252_async".to_owned()),
            subject: Some("DIALOG_NOTAT".to_owned()),
            reply_to: Some("8900901_async".to_owned()),
            correlation_id: Some(MessageId::String("c".to_owned())),
            content_type: Some(
                "application/pkcs7-mime; smime-type=signed-and-enveloped-data".to_owned(),
            ),
            content_encoding: Some("identity".to_owned()),
            absolute_expiry_ms: Some(1_795_420_800_000),
            creation_ms: Some(1_795_420_700_000),
            group_id: Some("g".to_owned()),
            group_sequence: Some(3),
            reply_to_group_id: Some("r".to_owned()),
        },
        message_annotations: vec![
            (
                Simple::Symbol("x-opt-jms-msg-type".to_owned()),
                Simple::Signed(3, 8),
            ),
            (Simple::Unsigned(7, 64), "seven".into()),
        ],
        application_properties: vec![
            ("fromHerId".to_owned(), "8900901".into()),
            ("toHerId".to_owned(), Simple::Signed(93252, 32)),
            ("X-Unknown".to_owned(), Simple::Double(1.5)),
            ("flag".to_owned(), Simple::Bool(true)),
            ("when".to_owned(), Simple::TimestampMs(5)),
            ("bytes".to_owned(), Simple::Binary(vec![0, 255])),
            ("small".to_owned(), Simple::Unsigned(200, 8)),
            ("none".to_owned(), Simple::Null),
            ("symbol".to_owned(), Simple::Symbol("s".to_owned())),
            ("navn".to_owned(), "Ærø".into()),
        ],
        body: Bytes::from_static(b"\x00\xff payload"),
    }
}

#[tokio::test]
async fn a_message_comes_through_unchanged() {
    let running = start(Limits::default()).await;
    let mut client = running.client().await;
    let mut sender = client.sender(QUEUE, "sender-link-1").await.unwrap();
    let mut receiver = client
        .receiver(SOURCE, "receiver-link-1", 25)
        .await
        .unwrap();
    assert_eq!(sender.send(full()).await.unwrap(), Settlement::Accepted);
    let received = receiver.recv().await.unwrap();
    assert_eq!(received.message, full());
    assert_eq!(received.message.body, full().body);
    receiver.accept(&received).await.unwrap();
    eventually("settled", || {
        running
            .broker
            .with(|state| state.settled == [(1, Settlement::Accepted)])
    })
    .await;

    let large: Vec<u8> = (0..9_000_000u32).map(|n| (n % 253) as u8).collect();
    sender.send(message(large.clone())).await.unwrap();
    let received = receiver.recv().await.unwrap();
    assert!(received.message.body == large, "a message over many frames");
    receiver.accept(&received).await.unwrap();
    sender.send(message("")).await.unwrap();
    assert!(receiver.recv().await.unwrap().message.body.is_empty());
    client.close().await.unwrap();
}

#[tokio::test]
async fn an_unknown_queue_is_refused_with_its_name() {
    let running = start(Limits::default()).await;
    let mut client = running.client().await;
    let sending = match client.sender("/exchange/ns/4711_async", "a").await {
        Err(error) => error,
        Ok(mut sender) => sender.ended().await,
    };
    let receiving = match client.receiver("4711_async", "b", 5).await {
        Err(error) => error,
        Ok(mut receiver) => receiver.recv().await.err().unwrap(),
    };
    for error in [sending, receiving] {
        let text = error.to_string();
        assert!(matches!(error, ClientError::Link(_)));
        assert!(
            text.contains("amqp:not-found") && text.contains("HER-id 4711 is unknown"),
            "{text}"
        );
    }
    // The connection goes on.
    client
        .sender(QUEUE, "c")
        .await
        .unwrap()
        .send(message("x"))
        .await
        .unwrap();
}

#[tokio::test]
async fn nothing_is_leased_without_credit() {
    let running = start(Limits::default()).await;
    let mut client = running.client().await;
    let mut sender = client.sender(QUEUE, "sender").await.unwrap();
    sender
        .send_all((0..10).map(|n| message(format!("{n}"))).collect())
        .await
        .unwrap();
    let mut receiver = client.receiver(SOURCE, "narrow", 2).await.unwrap();
    eventually("two leased", || running.broker.leased() == 2).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(
        (
            running.broker.leased(),
            running.broker.waiting("93252_async")
        ),
        (2, 8)
    );

    // Somebody else gets the rest meanwhile.
    let mut other = running.client().await;
    let mut others = other.receiver(SOURCE, "wide", 100).await.unwrap();
    for expected in 2..10 {
        let received = others.recv().await.unwrap();
        assert_eq!(received.message.body, format!("{expected}"));
        others.accept(&received).await.unwrap();
    }
    for expected in 0..2 {
        let received = receiver.recv().await.unwrap();
        assert_eq!(received.message.body, format!("{expected}"));
        receiver.accept(&received).await.unwrap();
    }
    eventually("all settled", || {
        running.broker.with(|state| state.settled.len() == 10)
    })
    .await;
    assert!(
        running.broker.with(|state| state.renewed) > 0,
        "leases of unsettled deliveries are kept alive"
    );
}

#[tokio::test]
async fn every_settlement_arrives_and_a_lost_link_gives_back() {
    let running = start(Limits::default()).await;
    let mut client = running.client().await;
    let mut sender = client.sender(QUEUE, "sender").await.unwrap();
    sender.send(message("x")).await.unwrap();
    let mut receiver = client.receiver(SOURCE, "receiver", 1).await.unwrap();
    let modified = Settlement::Modified {
        delivery_failed: true,
        undeliverable_here: false,
    };
    let rejected = Settlement::Rejected {
        condition: Some("amqp:decode-error".to_owned()),
        description: Some("why".to_owned()),
    };
    let steps = [(0, Settlement::Released), (1, modified), (2, rejected)];
    for (delivery_count, settlement) in &steps {
        let received = receiver.recv().await.unwrap();
        assert_eq!(received.message.header.delivery_count, *delivery_count);
        assert_eq!(received.message.header.first_acquirer, *delivery_count == 0);
        receiver
            .settle(&received, settlement.clone())
            .await
            .unwrap();
    }
    let expected: Vec<Settlement> = steps
        .into_iter()
        .map(|(_, settlement)| settlement)
        .collect();
    eventually("three settlements", || {
        running.broker.with(|state| {
            state
                .settled
                .iter()
                .map(|(_, settlement)| settlement.clone())
                .collect::<Vec<_>>()
                == expected
        })
    })
    .await;

    sender.send(message("y")).await.unwrap();
    receiver.recv().await.unwrap();
    drop((receiver, sender, client));
    eventually("given back", || {
        running.broker.leased() == 0 && running.broker.waiting("93252_async") == 1
    })
    .await;
    assert_eq!(
        running
            .broker
            .with(|state| state.settled.last().cloned())
            .unwrap()
            .1,
        Settlement::Lost
    );
}

#[tokio::test]
async fn refusals_reach_the_sender() {
    let running = start(Limits {
        max_message_bytes: 100_000,
        ..Limits::default()
    })
    .await;
    let mut client = running.client().await;
    let mut sender = client.sender(QUEUE, "sender").await.unwrap();
    let mut refuse = message("x");
    refuse.properties.subject = Some("REFUSE".to_owned());
    let outcome = sender.send(refuse).await.unwrap();
    let expected = Settlement::Rejected {
        condition: Some("amqp:not-allowed".to_owned()),
        description: Some("refused as asked".to_owned()),
    };
    assert_eq!(outcome, expected);
    assert!(
        sender.send(message(vec![0; 200_000])).await.is_err(),
        "our client knows the limit"
    );

    assert_eq!(running.broker.waiting("93252_async"), 0);
}

#[tokio::test]
async fn many_links_and_messages_at_once() {
    let running = start(Limits::default()).await;
    let mut tasks = Vec::new();
    for task in 0..4 {
        let mut client = running.client().await;
        tasks.push(tokio::spawn(async move {
            for link in 0..10 {
                let mut sender = client
                    .sender(QUEUE, &format!("s-{task}-{link}"))
                    .await
                    .unwrap();
                let outcomes = sender
                    .send_all(
                        (0..50)
                            .map(|n| message(format!("{task}-{link}-{n}")))
                            .collect(),
                    )
                    .await
                    .unwrap();
                assert!(
                    outcomes
                        .iter()
                        .all(|outcome| *outcome == Settlement::Accepted)
                );
                sender.close().await;
            }
            client.close().await.unwrap();
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(running.broker.waiting("93252_async"), 2000);
    let mut client = running.client().await;
    let mut receiver = client.receiver(SOURCE, "all", 500).await.unwrap();
    for _ in 0..2000 {
        let received = receiver.recv().await.unwrap();
        receiver.accept(&received).await.unwrap();
    }
    eventually("all settled", || {
        running.broker.with(|state| state.settled.len() == 2000)
    })
    .await;
}

#[tokio::test]
async fn links_are_counted_and_shutdown_is_told() {
    let running = start(Limits {
        max_links: 2,
        ..Limits::default()
    })
    .await;
    let mut client = running.client().await;
    let mut first = client.sender(QUEUE, "1").await.unwrap();
    let _second = client.receiver(SOURCE, "2", 1).await.unwrap();
    let third = match client.sender(QUEUE, "3").await {
        Err(error) => error,
        Ok(mut sender) => sender.ended().await,
    };
    assert!(third.to_string().contains("more than 2 links"), "{third}");
    running.shutdown.set();
    let told = first.ended().await;
    assert!(matches!(told, ClientError::Link(_)), "{told}");
    eventually("nobody left", || running.server.connections() == 0).await;
}

/// Both ways at once, from several connections; bodies as large as the profile's, and some over many frames.
#[tokio::test(flavor = "multi_thread")]
async fn everything_arrives_once_whatever_else_goes_on() {
    const SENDERS: usize = 4;
    const EACH: usize = 400;
    let running = start(Limits::default()).await;
    let mut receivers = Vec::new();
    for task in 0..3 {
        let mut client = running.client().await;
        receivers.push(tokio::spawn(async move {
            let name = format!("r-{task}");
            let mut receiver = client.receiver(SOURCE, &name, 50).await.unwrap();
            let mut taken = Vec::new();
            loop {
                let silence = Duration::from_secs(1);
                let Ok(received) = tokio::time::timeout(silence, receiver.recv()).await else {
                    break;
                };
                let received = received.unwrap();
                let body = &received.message.body;
                let id = received.message.property("id").unwrap();
                let length = received.message.property("length").unwrap();
                assert_eq!(body.len().to_string(), length);
                assert!(body.iter().all(|byte| *byte == body[0]));
                // Every tenth is given back once.
                if id.ends_with('7') && received.message.header.delivery_count == 0 {
                    receiver
                        .settle(&received, Settlement::Released)
                        .await
                        .unwrap();
                } else {
                    receiver.accept(&received).await.unwrap();
                    taken.push(id);
                }
            }
            taken
        }));
    }
    let mut senders = Vec::new();
    for task in 0..SENDERS {
        let mut client = running.client().await;
        senders.push(tokio::spawn(async move {
            let mut sender = client.sender(QUEUE, "s").await.unwrap();
            for round in 0..EACH / 50 {
                let messages = (0..50).map(|n| {
                    let length = if n == 0 { 400_000 } else { 10_000 + n };
                    let mut message = message(vec![n as u8; length]);
                    message.set_property("id", format!("{task}-{round}-{n}"));
                    message.set_property("length", length.to_string());
                    message
                });
                let outcomes = sender.send_all(messages.collect()).await.unwrap();
                assert!(outcomes.iter().all(|o| *o == Settlement::Accepted));
            }
            client.close().await.unwrap();
        }));
    }
    for sender in senders {
        sender.await.unwrap();
    }
    let mut taken = Vec::new();
    for receiver in receivers {
        taken.extend(receiver.await.unwrap());
    }
    assert_eq!(taken.len(), SENDERS * EACH, "nothing is taken twice");
    taken.sort_unstable();
    taken.dedup();
    assert_eq!(taken.len(), SENDERS * EACH, "and nothing is lost");
    eventually("all settled", || {
        running.broker.leased() == 0 && running.broker.waiting("93252_async") == 0
    })
    .await;
}
