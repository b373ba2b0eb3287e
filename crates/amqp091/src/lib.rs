//! AMQP 0.9.1 for receivers: the same queues, users and rights as over AMQP 1.0, for clients of the registers' events that speak nothing newer.
//!
//! A [`Server`] is a [`amqp::Dialect`]: it shares the ports of the AMQP 1.0 server, which tells the two apart by the first eight bytes and
//! counts the connections of both. What is asked of the broker goes through the same [`amqp::port::Broker`].
//!
//! **Deliberately not here:** publishing, exchanges, bindings, making and deleting queues, transactions, publisher confirms, exclusive
//! consumers. Each is refused with the reply code of the specification, and a text that says what to do instead.
//!
//! **Read first:** [`Server`], [`Limits`]; then `connection` (one task for each connection), `channel` (what is unacknowledged, and how much
//! more a consumer may have), `content` (how a message of AMQP 1.0 looks to a client of 0.9.1).
//!
//! **Invariants**
//! - Nothing but the log-in happens without an identity.
//! - A message is leased only when its consumer may have it by prefetch and by [`Limits`], and each lease ends in exactly one settlement:
//!   the client's, or [`amqp::port::Settlement::Released`] after an orderly close, or [`amqp::port::Settlement::Lost`].
//! - `close-ok` is said when the settlements asked for before are done.
//! - Frames, tables, channels, consumers, unacknowledged messages, silence and slowness of a peer are bounded by [`Limits`].
//!
//! **Rules from:** AMQP 0-9-1 specification and its generated XML; RabbitMQ's extensions `basic.nack`, consumer priorities excepted, and
//! `authentication_failure_close`; the header names of its AMQP 1.0 plugin, which the national clients read (spec/messaging.md §4.7).
//!
//! **Known deviations:** any virtual host is taken (the namespace says nothing over AMQP 1.0 either); `channel.flow` stops nothing (540).

mod channel;
mod connection;
mod content;
mod frame;
mod method;
mod opening;
mod section;
mod wire;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use amqp::port::Broker;
use amqp::{Dialect, Shutdown, Stream};
use futures_util::future::BoxFuture;

/// What one connection may cost. How many there may be is for the server of AMQP 1.0 to say.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Highest channel number, which is the number of channels.
    pub channel_max: u16,
    /// Most consumers on one connection.
    pub max_consumers: usize,
    /// Largest frame in bytes, either way.
    pub max_frame_bytes: u32,
    /// Largest frame before anybody has logged in.
    pub max_handshake_frame_bytes: u32,
    /// Most unacknowledged messages on one channel, whatever its prefetch count.
    pub max_unacked: usize,
    /// Bytes of them beyond which no more are fetched.
    pub max_unacked_bytes: usize,
    /// Log-in and open must be done within this time.
    pub handshake: Duration,
    /// Heartbeat that is proposed, seconds. A client may choose another, or none.
    pub heartbeat_s: u16,
    /// How long a client may take nothing of what is sent to it.
    pub write: Duration,
    /// How long a client may take to agree to a close.
    pub closing: Duration,
    /// Time a failed log-in waits for its answer.
    pub failed_login_delay: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            channel_max: 255,
            max_consumers: 256,
            max_frame_bytes: 128 << 10,
            max_handshake_frame_bytes: 16 << 10,
            max_unacked: 2_000,
            max_unacked_bytes: 64 << 20,
            handshake: Duration::from_secs(15),
            heartbeat_s: 60,
            write: Duration::from_secs(60),
            closing: Duration::from_secs(5),
            failed_login_delay: Duration::from_millis(500),
        }
    }
}

/// AMQP 0.9.1 on the ports of an AMQP 1.0 server.
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    broker: Arc<dyn Broker>,
    limits: Limits,
    shutdown: Shutdown,
}

impl Server {
    /// A server for this broker; connections end when `shutdown` is set.
    pub fn new(broker: Arc<dyn Broker>, limits: Limits, shutdown: Shutdown) -> Self {
        Self {
            shared: Arc::new(Shared {
                broker,
                limits,
                shutdown,
            }),
        }
    }
}

impl Dialect for Server {
    fn header(&self) -> [u8; 8] {
        *b"AMQP\x00\x00\x09\x01"
    }

    fn serve(&self, stream: Box<dyn Stream>, peer: IpAddr) -> BoxFuture<'static, ()> {
        Box::pin(connection::run(self.shared.clone(), stream, peer))
    }
}
