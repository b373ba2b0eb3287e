//! The server against bytes written by hand, on one port with AMQP 1.0. Foreign clients are tested with the whole hub.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "../../../amqp/examples/memory_broker/broker.rs"]
mod broker;
mod opening;
mod raw;
mod receiving;
mod refusals;
mod whatever;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use amqp::Shutdown;
use amqp::port::{Broker as _, Identity, Message, Node, Settlement};
use amqp091::Limits;
use broker::MemoryBroker;

pub const QUEUE: &str = "registerevents_a";

pub struct Running {
    pub broker: MemoryBroker,
    pub address: SocketAddr,
    pub shutdown: Shutdown,
}

pub async fn start(limits: Limits) -> Running {
    let broker = MemoryBroker::new(&[QUEUE]);
    let shutdown = Shutdown::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let older = amqp091::Server::new(Arc::new(broker.clone()), limits, shutdown.clone());
    let amqp_limits = amqp::Limits::default();
    let server = amqp::Server::new(
        Arc::new(broker.clone()),
        "test",
        amqp_limits,
        shutdown.clone(),
    )
    .with_dialect(Arc::new(older));
    tokio::spawn(async move { server.serve(listener).await });
    Running {
        broker,
        address,
        shutdown,
    }
}

/// Limits under which a test does not wait for long.
pub fn quick() -> Limits {
    Limits {
        failed_login_delay: Duration::from_millis(10),
        closing: Duration::from_millis(500),
        ..Limits::default()
    }
}

impl Running {
    /// Puts a message with this body into the queue.
    pub async fn put(&self, body: impl Into<bytes::Bytes>) {
        let message = Message {
            body: body.into(),
            ..Message::default()
        };
        self.put_message(message).await;
    }

    pub async fn put_message(&self, message: Message) {
        let who = Identity {
            user: "somebody".to_owned(),
        };
        let node = Node {
            name: QUEUE.to_owned(),
        };
        self.broker.on_message(&who, &node, message).await;
    }

    /// How messages have been settled, in order.
    pub fn settled(&self) -> Vec<Settlement> {
        let all = self.broker.with(|state| state.settled.clone());
        all.into_iter().map(|(_, settlement)| settlement).collect()
    }
}

/// Waits until the condition holds, at most a minute.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within a minute: {what}");
}
