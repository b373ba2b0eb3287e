//! The exchange behind a real listener.

use std::sync::Arc;

use amqp::client::{Client, ClientError};
use amqp::port::Settlement;
use amqp::{Limits, Server, Shutdown};
use edi::apprec::AppRec;

use crate::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_sends_a_result_and_reads_the_receipt() {
    let world = world().await;
    let workers =
        meldinger::Workers::start(&world.exchange, vec![world.results.clone()], 1).unwrap();
    let shutdown = Shutdown::new();
    let server = Server::new(
        Arc::new(world.broker.clone()),
        "helsenav",
        Limits::default(),
        shutdown.clone(),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { server.serve(listener).await });

    assert_eq!(
        Client::connect(address, "vaar-epj", "feil", None)
            .await
            .err(),
        Some(ClientError::Login)
    );
    let mut client = Client::connect(address, "vaar-epj", PASSWORD, None)
        .await
        .unwrap();
    let mut receiver = client
        .receiver("/amq/queue/8900900_async", "receiver-link-1", 25)
        .await
        .unwrap();
    let mut sender = client
        .sender("/exchange/NHNTestServiceBus/8900000_async", "sender-link-1")
        .await
        .unwrap();
    let msg_id = new_id();
    assert_eq!(
        sender
            .send(result_message(&msg_id, "over nettet"))
            .await
            .unwrap(),
        Settlement::Accepted
    );
    let received = tokio::time::timeout(std::time::Duration::from_secs(10), receiver.recv())
        .await
        .unwrap()
        .unwrap();
    receiver.accept(&received).await.unwrap();
    let opened = xmlsec::cms::open(
        &received.message.body,
        std::slice::from_ref(&PKI.epj.encryption),
        xmlsec::asn1::Limits::default(),
    )
    .unwrap();
    let apprec = AppRec::read_doc(&edi::xml::XmlDoc::parse(&opened.content).unwrap()).unwrap();
    assert_eq!(
        (apprec.status.code(), apprec.original.id.as_str()),
        ("1", msg_id.as_str())
    );

    let refused = match client.sender("/exchange/ns/4711_async", "b01").await {
        Err(error) => error,
        Ok(mut sender) => sender.ended().await,
    };
    assert!(refused.to_string().contains("4711"), "{refused}");
    shutdown.set();
    tokio::task::block_in_place(|| drop(workers));
}
