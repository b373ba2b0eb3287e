//! Another implementation's client against our server: fe2o3-amqp.

use amqp::Limits;
use amqp::port::{MessageId, Settlement};
use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::sasl_profile::SaslProfile;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::{Connection, Receiver, Sendable, Sender, Session};
use fe2o3_amqp_types::messaging::{
    AmqpValue, ApplicationProperties, Body, Data, DistributionMode, Message, Modified, Outcome,
    Properties, Source,
};
use fe2o3_amqp_types::primitives::{Binary, SimpleValue, Value};

use crate::{PASSWORD, QUEUE, Running, SOURCE, USER, eventually, start};

async fn connect(running: &Running) -> ConnectionHandle<()> {
    let profile = SaslProfile::Plain {
        username: USER.to_owned(),
        password: PASSWORD.to_owned(),
    };
    let stream = tokio::net::TcpStream::connect(running.address)
        .await
        .unwrap();
    Connection::builder()
        .container_id("foreign")
        .scheme("amqp")
        .sasl_profile(profile)
        .open_with_stream(stream)
        .await
        .unwrap()
}

async fn begin(connection: &mut ConnectionHandle<()>) -> SessionHandle<()> {
    Session::begin(connection).await.unwrap()
}

fn data(bytes: Vec<u8>) -> Sendable<Data> {
    Sendable::builder()
        .message(Message::builder().data(Binary::from(bytes)).build())
        .settled(false)
        .build()
}

#[tokio::test]
async fn messages_go_and_come_with_their_properties() {
    let running = start(Limits::default()).await;
    let mut connection = connect(&running).await;
    let mut session = begin(&mut connection).await;
    // The library wants names to be unique in a session; others use one for both directions.
    let mut other = begin(&mut connection).await;
    let mut sender = Sender::attach(&mut session, "same-name", QUEUE)
        .await
        .unwrap();
    let mut receiver = Receiver::attach(&mut other, "same-name", SOURCE)
        .await
        .unwrap();
    assert_eq!(receiver.name(), "same-name");
    let large: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let message = Message::builder()
        .properties(
            Properties::builder()
                .message_id("an-id".to_owned())
                .subject("DIALOG_NOTAT")
                .content_type("text/plain")
                .build(),
        )
        .application_properties(
            ApplicationProperties::builder()
                .insert("fromHerId", "8900901")
                .insert("count", 7u16)
                .build(),
        )
        .data(Binary::from(large.clone()))
        .build();
    let outcome = sender.send(message).await.unwrap();
    assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
    let delivery = receiver.recv::<Body<Value>>().await.unwrap();
    let properties = delivery.message().properties.clone().unwrap();
    assert_eq!(properties.subject.as_deref(), Some("DIALOG_NOTAT"));
    assert_eq!(properties.content_type.unwrap().as_str(), "text/plain");
    let application = delivery.message().application_properties.clone().unwrap();
    assert_eq!(
        application.0.get("fromHerId"),
        Some(&SimpleValue::String("8900901".to_owned()))
    );
    assert_eq!(application.0.get("count"), Some(&SimpleValue::Ushort(7)));
    let Body::Data(body) = delivery.body() else {
        panic!("no data section")
    };
    assert!(body.iter().flat_map(|section| section.0.iter()).eq(&large));
    receiver.accept(&delivery).await.unwrap();
    eventually("settled", || {
        running
            .broker
            .with(|state| state.settled == [(1, Settlement::Accepted)])
    })
    .await;
    sender.close().await.unwrap();
    receiver.close().await.unwrap();
    session.end().await.unwrap();
    connection.close().await.unwrap();
    eventually("nobody left", || running.server.connections() == 0).await;
}

#[tokio::test]
async fn what_is_refused_is_refused_in_form() {
    let running = start(Limits::default()).await;
    let mut connection = connect(&running).await;
    let mut session = begin(&mut connection).await;
    let refused = Sender::attach(&mut session, "a", "4711_async").await;
    assert!(refused.is_err());
    let mut session = begin(&mut connection).await;
    let mut sender = Sender::attach(&mut session, "raw", QUEUE).await.unwrap();
    let outcome = sender.send(AmqpValue(7u32)).await.unwrap();
    let told = format!("{outcome:?}");
    assert!(
        told.contains("Rejected") && told.contains("exactly one data section"),
        "{told}"
    );
    assert_eq!(running.broker.waiting("93252_async"), 0);
}

/// Who only wants to look would take away what it looks at.
#[tokio::test]
async fn browsing_is_refused() {
    let running = start(Limits::default()).await;
    let mut connection = connect(&running).await;
    let mut session = begin(&mut connection).await;
    let mut sender = Sender::attach(&mut session, "s", QUEUE).await.unwrap();
    sender.send(data(b"stays".to_vec())).await.unwrap();
    for (mode, is_refused) in [
        (DistributionMode::Copy, true),
        (DistributionMode::Move, false),
    ] {
        let mut session = begin(&mut connection).await;
        let source = Source::builder()
            .address(SOURCE)
            .distribution_mode(mode)
            .build();
        let attached = Receiver::builder()
            .name("looking")
            .source(source)
            .attach(&mut session)
            .await;
        assert_eq!(attached.is_err(), is_refused);
        if is_refused {
            assert_eq!(running.broker.waiting("93252_async"), 1);
        }
    }
}

#[tokio::test]
async fn every_outcome_and_a_drained_link() {
    let running = start(Limits::default()).await;
    let mut connection = connect(&running).await;
    let mut session = begin(&mut connection).await;
    let mut sender = Sender::attach(&mut session, "s", QUEUE).await.unwrap();
    for n in 0..3u8 {
        sender.send(data(vec![n])).await.unwrap();
    }
    let mut session = begin(&mut connection).await;
    let mut receiver = Receiver::builder()
        .name("r")
        .source(SOURCE)
        .credit_mode(CreditMode::Manual)
        .attach(&mut session)
        .await
        .unwrap();
    receiver.set_credit(3).await.unwrap();
    let mut deliveries = Vec::new();
    for _ in 0..3 {
        deliveries.push(receiver.recv::<Body<Value>>().await.unwrap());
    }
    receiver.accept(&deliveries[0]).await.unwrap();
    receiver.reject(&deliveries[1], None).await.unwrap();
    let modified = Modified {
        delivery_failed: Some(true),
        undeliverable_here: Some(false),
        message_annotations: None,
    };
    receiver.modify(&deliveries[2], modified).await.unwrap();
    eventually("three settlements", || {
        running.broker.with(|state| state.settled.len() == 3)
    })
    .await;
    receiver.drain().await.unwrap();
    receiver.set_credit(1).await.unwrap();
    let delivery = receiver.recv::<Body<Value>>().await.unwrap();
    receiver.release(&delivery).await.unwrap();
    eventually("given back", || {
        running.broker.waiting("93252_async") == 1 && running.broker.leased() == 0
    })
    .await;
}

#[tokio::test]
async fn ids_keep_their_type() {
    let running = start(Limits::default()).await;
    let mut connection = connect(&running).await;
    let mut session = begin(&mut connection).await;
    let mut sender = Sender::attach(&mut session, "s", QUEUE).await.unwrap();
    let message = Message::builder()
        .properties(
            Properties::builder()
                .message_id(7u64)
                .correlation_id(Binary::from(vec![1, 2]))
                .build(),
        )
        .data(Binary::from(b"x".to_vec()))
        .build();
    sender.send(message).await.unwrap();
    let mut client = running.client().await;
    let mut receiver = client.receiver(SOURCE, "r", 1).await.unwrap();
    let properties = receiver.recv().await.unwrap().message.properties;
    assert_eq!(properties.message_id, Some(MessageId::Ulong(7)));
    assert_eq!(
        properties.correlation_id,
        Some(MessageId::Binary(vec![1, 2]))
    );
}
