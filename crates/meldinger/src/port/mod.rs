//! The port of the exchange: what any transport adapter hands in and takes out, as values.
//!
//! An adapter knows its wire (frames, mails, JSON), its credentials and its transport receipts. The exchange knows the message: it checks the
//! parties, keeps body, track and timer in one commit, remembers what came before, follows the message to its receipt, and tells both sides
//! where it is. Nothing is answered on the wire before the function here has returned.
//!
//! | What happens on the wire | Call |
//! |---|---|
//! | a business message or an AppRec came in | [`Exchange::submit`] |
//! | something came in that cannot be taken | [`Exchange::note_refused`], then the adapter's own fault |
//! | a transport receipt (acknowledgment, error list) came in | [`Exchange::transport_receipt`] |
//! | a receiver fetches mail | [`Exchange::take_mail`], [`Exchange::renew_mail`], [`Exchange::settle_mail`] |
//! | the hub's own message handler has something to send | [`Exchange::outgoing_due`], [`Exchange::outgoing_sent`], [`Exchange::outgoing_given_up`] |
//! | an API client asks what is new, or has read it | [`Exchange::inbox`], [`Exchange::mark_read`] |
//! | anybody asks where a message is | [`Exchange::facts`], [`Exchange::document`], [`Exchange::by_transport_id`] |
//!
//! All functions but `submit` block: call them from blocking threads.

mod boxes;
mod outgoing;
mod submit;

pub use boxes::InboxEntry;
pub use outgoing::{Ladder, Outgoing};
pub use submit::{Kind, Relay, Submission, SubmitError, Submitted, TransportOutcome};

use serde::{Deserialize, Serialize};

/// How a message came in.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// A: AMQP 1.0 (spec/messaging.md §4).
    #[default]
    Amqp,
    /// B: ebXML over mail or HTTP (§5).
    Ebxml,
    /// C: the REST interface of the message service (§6).
    Rest,
    /// Made by the hub itself, such as a receipt of a hub-run receiver.
    Hub,
}

impl Transport {
    /// Every transport.
    pub const ALL: [Self; 4] = [Self::Amqp, Self::Ebxml, Self::Rest, Self::Hub];

    /// Stable code for filters, counters and translations.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Amqp => "amqp",
            Self::Ebxml => "ebxml",
            Self::Rest => "rest",
            Self::Hub => "hub",
        }
    }

    /// The road that an answer of the hub takes back to a sender that used this transport.
    #[must_use]
    pub fn road_back(self) -> Road {
        match self {
            Self::Amqp | Self::Hub => Road::Bus,
            Self::Ebxml => Road::Handler,
            Self::Rest => Road::Api,
        }
    }
}

/// How a message leaves.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Road {
    /// A queue on the bus, body untouched. Only the AMQP adapter uses it.
    #[default]
    Bus,
    /// The mailbox of the receiving organisation, mail untouched; it is fetched with [`Exchange::take_mail`].
    Mail,
    /// A hub-run receiver. The body is the document itself: the adapter has decrypted it and verified its signature.
    Hub,
    /// The box of an API user. The body is the document itself; it stays after it was read.
    Api,
    /// The hub's own ebXML message handler sends it for the sender and waits for the acknowledgment. The body is the document itself.
    Handler,
}

impl Road {
    /// Stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Bus => "bus",
            Self::Mail => "mail",
            Self::Hub => "hub",
            Self::Api => "api",
            Self::Handler => "handler",
        }
    }

    /// Whether the body handed in is the document itself, to be kept as the original of the track.
    #[must_use]
    pub fn carries_document(self) -> bool {
        matches!(self, Self::Hub | Self::Api | Self::Handler)
    }
}

/// What the envelope said about the schema of the document (HITS 1210): `eb:Schema`, or the properties of the profile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Schema {
    /// Namespace of the business document.
    pub namespace: String,
    /// Version, such as `1.2`, when the envelope said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

#[cfg(doc)]
use crate::Exchange;
