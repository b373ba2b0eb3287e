//! The server against our own client, against another in Rust, and against raw bytes. More foreign clients are tested with the whole hub.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "../../examples/memory_broker/broker.rs"]
mod broker;
mod foreign;
mod frames;
mod links;
mod login;
mod many;
mod protocol;
mod raw;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use amqp::client::Client;
use amqp::port::Message;
use amqp::{Limits, Server, Shutdown};
use broker::MemoryBroker;
use bytes::Bytes;

pub const USER: &str = "vaar-epj";
pub const PASSWORD: &str = "hemmelig:ø";
pub const QUEUE: &str = "/exchange/NHNTestServiceBus/93252_async";
pub const SOURCE: &str = "/amq/queue/93252_async";

pub struct Running {
    pub broker: MemoryBroker,
    pub address: SocketAddr,
    pub server: Server,
    pub shutdown: Shutdown,
}

pub async fn start(limits: Limits) -> Running {
    let broker = MemoryBroker::new(&["93252_async", "93252_error"]);
    let shutdown = Shutdown::new();
    let server = Server::new(Arc::new(broker.clone()), "test", limits, shutdown.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = server.clone();
    tokio::spawn(async move { serving.serve(listener).await });
    Running {
        broker,
        address,
        server,
        shutdown,
    }
}

impl Running {
    pub async fn client(&self) -> Client {
        Client::connect(self.address, USER, PASSWORD, None)
            .await
            .unwrap()
    }
}

pub fn message(body: impl Into<Bytes>) -> Message {
    Message {
        body: body.into(),
        ..Message::default()
    }
}

/// Waits until the condition holds, at most five seconds.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within five seconds: {what}");
}
