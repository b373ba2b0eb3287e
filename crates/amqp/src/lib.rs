//! AMQP 1.0, seen from a broker: our own port, and its adapter on the protocol library.
//!
//! [`port`] holds values and one trait, [`port::Broker`], free of any library type; a service implements it. [`Server`] brings the wire to it:
//! plain TCP and TLS, SASL PLAIN, sessions, links, credit, limits. [`client`] is the other end, for actors and tests. A [`Dialect`] is another
//! protocol on the same ports, told apart by the first eight bytes.
//!
//! **Deliberately unknown here:** what a message means, which queues exist, who may use them, how a message is kept.
//!
//! **Read first:** [`port::Broker`], [`port::Message`], [`Server`], [`Limits`].
//!
//! **Invariants**
//! - A connection whose SASL exchange failed never reaches a session; everything after it happens under one [`port::Identity`].
//! - A message is answered `accepted` only after the broker said so.
//! - A delivery is leased only when the receiving link has credit for it, is sent unsettled, and ends in exactly one settlement:
//!   the receiver's, or [`port::Settlement::Lost`] when the link ended first.
//! - Numbers per connection (links, outstanding deliveries, frame size, message size, handshake time) are bounded by [`Limits`].
//!
//! **Rules from:** OASIS AMQP 1.0 parts 2, 3 and 5; the national profile (HITS 1216) for what clients do: one session per link, unsettled
//! transfers, lock of at least a minute.
//!
//! **Known limits of the library:** message annotations are not carried; a client that asks for settled (at most once) delivery gets unsettled transfers.

pub mod adapter;
pub mod client;
pub mod port;

mod codec;
mod frame;
mod performative;
mod section;

pub use adapter::{Dialect, Limits, Server, Shutdown, Stream};
