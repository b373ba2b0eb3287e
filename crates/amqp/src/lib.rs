//! AMQP 1.0, whole and our own: types, frames, messages; a server for a broker behind a trait; a client.
//!
//! [`port`] holds values and one trait, [`port::Broker`], free of anything of the wire; a service implements it. [`Server`] brings the wire to
//! it: plain TCP and TLS, SASL PLAIN, sessions, links, credit, limits. [`client`] is the other end, for actors and tests. A [`Dialect`] is
//! another protocol on the same ports, told apart by the first eight bytes.
//!
//! **Deliberately unknown here:** what a message means, which queues exist, who may use them, how a message is kept. And not offered, each
//! refused with a reason: transactions, temporary queues, browsing, filters (answered as absent), resuming links, other mechanisms than PLAIN.
//!
//! **Read first:** [`port::Broker`], [`port::Message`], [`Server`], [`Limits`]. Then, from below: `codec` (values where they lie), `performative`,
//! `section` (a message's), `frame`; `adapter::core` (what a connection knows; no socket), `adapter::connection` (the one task that it has).
//!
//! **One task for a connection.** It takes all frames that have come, tells all that the broker has done, looks for messages where there is
//! credit, sends all that has piled up in one write, and waits. Sessions and links are plain state in it; what the broker is asked are futures
//! in one queue. Settlements that are ready together and follow each other are one frame. A body is copied once, into the output.
//!
//! **Invariants**
//! - A connection whose SASL exchange failed never reaches a session; everything after it happens under one [`port::Identity`].
//! - A message is answered `accepted` only after the broker said so.
//! - A delivery is leased only when the receiving link has credit for it, and ends in exactly one settlement: the receiver's (for a link that
//!   wants its messages settled: `accepted` once they are sent), or [`port::Settlement::Released`] when it was not sent, or
//!   [`port::Settlement::Lost`] when the link ended first. [`port::Broker::source_closed`] follows the last of a link.
//! - Nothing that is read is trusted: sizes and counts are held against the bytes that are there, nesting and entries are bounded, ranges of
//!   deliveries cost what is outstanding of them. What is wrong ends the delivery, link, session or connection that it is about, and says so.
//! - Numbers per connection (sessions, links, outstanding deliveries, frame size, message size, half-sent messages, output that waits, silence
//!   both ways, handshake time) are bounded by [`Limits`] and a few constants.
//!
//! **On overload:** a client that takes nothing is looked for and read from no more when a mebibyte waits for it, and given up after a minute; one
//! that sends faster than the broker keeps is read from no more when [`Limits::max_unsettled_bytes`] are in the broker's hands.
//!
//! **Rules from:** OASIS AMQP 1.0 parts 1, 2, 3 and 5; the national profile (HITS 1216) for what clients do: one session per link, unsettled
//! transfers, lock of at least a minute.
//!
//! **Known deviations:** `x-opt-locked-until` of a sender is not passed on (receivers would believe it); delivery annotations and footers are dropped.
//!
//! **Tests:** `cargo test -p amqp` (frame by frame, our client, fe2o3-amqp's client); rhea, Qpid Proton, Qpid JMS and the frames of AmqpNetLite with
//! the whole hub: `scripts/clients.sh`.

pub mod adapter;
pub mod client;
pub mod port;

mod codec;
mod frame;
mod performative;
mod section;

pub use adapter::{Dialect, Limits, Server, Shutdown, Stream};
