//! The demo nation's people and systems: separate tasks that use the hub only through its real protocols.
//!
//! **What it is.** Communication parties with their own bus connection, keys and rules ([`party`]); the story that they
//! live ([`story`], [`steps`]); Feilmakeren, who sends what is wrong on purpose ([`bad`]); a little ordinary traffic
//! ([`background`]), some of it by ebXML over mail ([`mailroom`]). All of them know [`facts::Facts`] (facts.json) and the nation's story data, nothing else.
//!
//! **What it deliberately does not know.** The hub's insides: no store, no service, no shared clock. The time of the
//! story is asked for and moved at `<base>/demo/clock` like anybody would. So the same tasks run in the hub's process or
//! far from it.
//!
//! **Read first.** [`run`] and [`Handle`]; [`party::Office`] (one organisation on the bus); [`compose`] (the story's
//! messages as documents); [`story::Player`] (when what happens).
//!
//! **Invariants.** What an actor answers, it answers by the same rule tables as everybody (`edi::check`), with the
//! signature checked. Everything kept is bounded. Nothing observed or logged names a person or a finding.
//!
//! **Where the rules come from.** spec/story.md §1, §4, §6.1, §7, §9.5; spec/messaging.md §2, §4, §9, §11 (HITS 1216,
//! HIS 80415); RFC 9126, RFC 9449 and RFC 7636 through `jose::client`.

pub mod background;
pub mod bad;
pub mod clock;
pub mod compose;
pub mod epj;
pub mod facts;
pub mod http;
pub mod mailroom;
pub mod parcel;
pub mod party;
pub mod portal;
mod run;
pub mod steps;
pub mod story;

pub use facts::Facts;
pub use run::{Handle, Options, run};
