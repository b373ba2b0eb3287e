//! Runs the broker of the tests on a port, to try foreign clients against it:
//! `cargo run -p amqp --example memory_broker -- 127.0.0.1:5672` (user `vaar-epj`, password `hemmelig:ø`).
#![allow(clippy::expect_used, reason = "an example stops at the first fault")]

#[allow(dead_code, reason = "the tests use more of it")]
mod broker;

use std::sync::Arc;

use amqp::{Limits, Server, Shutdown};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:5672".to_owned());
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("listening on {}", listener.local_addr()?);
    let broker = broker::MemoryBroker::new(&["93252_async", "93252_error", "8900300_async"]);
    Server::new(
        Arc::new(broker),
        "memory-broker",
        Limits::default(),
        Shutdown::new(),
    )
    .serve(listener)
    .await
}
