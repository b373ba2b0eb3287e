//! The message exchange: it takes electronic messages from one party, checks their envelope, keeps them until the other has fetched
//! them, and tells both where a message is now. And it runs the mailbox of the hub's own receivers.
//!
//! **Data controller:** the hub operator for the envelope and its history; the content of a message belongs to its parties and is
//! not readable here, except in messages addressed to a hub-run receiver (then that service's controller answers).
//!
//! **Deliberately unknown here:** what a business document says (service crates register as [`HubReceiver`]), who patients are, how AMQP
//! frames look (`amqp`), how CMS works (`xmlsec`).
//!
//! **Read first:** [`port`] (how transports hand in and take out), [`rules::envelope`] (the checks, in order), [`rules::track::Track`] and [`rules::track::State`] (the honest states),
//! [`Exchange`] (one commit per step), [`HubReceiver`], [`view`].
//!
//! **Invariants**
//! - Every transport adapter (AMQP here; ebXML and REST in `edge`) comes through [`port`]; the exchange itself knows no wire.
//! - A message is accepted only after the commit that holds it, its track and its timer is durable.
//! - Every accepted message ends in exactly one of: fetched, answered on the sender's error queue, dead letter.
//! - A hub-run receiver's projection, its one receipt, the end of the lease and the claim on the MsgId are one commit: after a crash either
//!   all or nothing of it happened, and a message seen twice leaves one record and one receipt.
//! - No error message is ever answered with an error message.
//! - The counter ([`counter`]) counts each version of a track once: numbers and place in the feed are one commit.
//! - Nothing of a message's content, and no national id, stands in tracks, logs, metrics or error texts.
//!
//! **Rules from:** spec/messaging.md §4 (HITS 1216), §9, §11; spec/story.md §7 (order and answers of the bad cases); spec/portals.md §6
//! (states, who sees what); DESIGN §3 (queues, leases, one commit).

pub mod approval;
pub mod counter;
pub mod edge;
pub mod port;
pub mod receivers;
pub mod rules;
pub mod users;
pub mod view;

mod again;
mod broker;
mod delivery;
mod exchange;
mod hands;
mod opening;
mod receipts;
mod recent;
mod reply;
mod signals;
mod timers;
mod tracks;

pub use again::PutBack;
pub use broker::ExchangeBroker;
pub use exchange::{Exchange, ExchangeConfig, ExchangeError, HubKeys, Parts};
pub use receivers::{Answer, HandleError, HubReceiver, OpenedMessage, Outcome, Workers};
pub use timers::Timers;
pub use users::{AmqpUser, Users};

/// Name of the repository that holds the tracks, of kind `Internal`. The hub declares it when it opens the store.
pub const REPOSITORY: &str = "meldinger";

/// The repositories this service needs.
#[must_use]
pub fn repositories() -> Vec<store::RepositoryDecl> {
    [REPOSITORY, approval::REPOSITORY, counter::REPOSITORY]
        .map(|name| store::RepositoryDecl::new(name, store::RepoKind::Internal))
        .to_vec()
}
