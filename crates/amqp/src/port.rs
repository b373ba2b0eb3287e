//! What a broker is to the wire: values, and the trait a service implements.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

/// Who logged in. The name means something to the broker only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// User name as authenticated.
    pub user: String,
}

/// A queue that a link is attached to, as the broker named it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Node {
    /// Canonical queue name.
    pub name: String,
}

/// Why a link was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachError {
    /// Error condition, e.g. `amqp:not-found`, `amqp:unauthorized-access`.
    pub condition: String,
    /// For the people at the other end: what, where, what to do.
    pub description: String,
}

impl AttachError {
    /// An error with this condition and text.
    pub fn new(condition: &str, description: impl Into<String>) -> Self {
        Self {
            condition: condition.to_owned(),
            description: description.into(),
        }
    }
}

/// Message identifiers come in four types (AMQP part 3 §3.2.11-14).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MessageId {
    /// Unsigned number.
    Ulong(u64),
    /// Sixteen bytes.
    Uuid([u8; 16]),
    /// Opaque bytes.
    Binary(Vec<u8>),
    /// Text.
    String(String),
}

impl MessageId {
    /// The id as text: a UUID in its hyphenated lower-case form, bytes in hexadecimal.
    #[must_use]
    pub fn as_text(&self) -> String {
        let hex = |bytes: &[u8]| {
            bytes
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        };
        match self {
            Self::Ulong(number) => number.to_string(),
            Self::String(text) => text.clone(),
            Self::Binary(bytes) => hex(bytes),
            Self::Uuid(bytes) => {
                let all = hex(bytes);
                let parts = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
                parts
                    .map(|(from, to)| all.get(from..to).unwrap_or_default())
                    .join("-")
            }
        }
    }
}

/// An application property's value. Decimals and described values do not occur in the profile and are not carried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Simple {
    /// The null value.
    Null,
    /// true or false.
    Bool(bool),
    /// Any unsigned integer type, with its width in bits.
    Unsigned(u64, u8),
    /// Any signed integer type, with its width in bits.
    Signed(i64, u8),
    /// 32-bit floating point.
    Float(#[serde(with = "float")] f32),
    /// 64-bit floating point.
    Double(#[serde(with = "float")] f64),
    /// One character.
    Char(char),
    /// Milliseconds since 1970.
    TimestampMs(i64),
    /// UUID.
    Uuid([u8; 16]),
    /// Bytes.
    Binary(Vec<u8>),
    /// Text.
    String(String),
    /// ASCII symbol.
    Symbol(String),
}

/// JSON has no word for what is no number, or beyond all: those stand as text.
mod float {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(f64),
        Text(String),
    }

    /// Both widths.
    pub trait Float: Copy {
        fn wide(self) -> f64;
        fn from_wide(value: f64) -> Self;
    }

    impl Float for f32 {
        fn wide(self) -> f64 {
            self.into()
        }
        fn from_wide(value: f64) -> Self {
            value as Self
        }
    }

    impl Float for f64 {
        fn wide(self) -> f64 {
            self
        }
        fn from_wide(value: f64) -> Self {
            value
        }
    }

    pub fn serialize<F: Float, S: Serializer>(value: &F, to: S) -> Result<S::Ok, S::Error> {
        let wide = value.wide();
        if wide.is_finite() {
            wide.serialize(to)
        } else {
            to.collect_str(&wide)
        }
    }

    pub fn deserialize<'de, F: Float, D: Deserializer<'de>>(from: D) -> Result<F, D::Error> {
        let wide = match Written::deserialize(from)? {
            Written::Number(number) => number,
            Written::Text(text) => text.parse().map_err(serde::de::Error::custom)?,
        };
        Ok(F::from_wide(wide))
    }
}

impl Simple {
    /// The value as text where it has an obvious one: texts, symbols, integers, UUIDs.
    #[must_use]
    pub fn as_text(&self) -> Option<String> {
        match self {
            Self::String(text) | Self::Symbol(text) => Some(text.clone()),
            Self::Unsigned(number, _) => Some(number.to_string()),
            Self::Signed(number, _) => Some(number.to_string()),
            Self::Uuid(bytes) => Some(MessageId::Uuid(*bytes).as_text()),
            _ => None,
        }
    }
}

impl From<&str> for Simple {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Simple {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

/// The `header` section.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Header {
    /// The sender asks for durability. Brokers may be durable regardless.
    pub durable: bool,
    /// Priority; 4 is normal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// Time to live in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u32>,
    /// Nobody has held it before.
    pub first_acquirer: bool,
    /// Earlier deliveries that failed.
    pub delivery_count: u32,
}

/// The `properties` section.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Properties {
    /// Identifier of the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<MessageId>,
    /// User that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Vec<u8>>,
    /// Address of the receiver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Subject (the message function, in the profile).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Where answers go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// What it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<MessageId>,
    /// Content type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Content encoding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    /// Milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absolute_expiry_ms: Option<i64>,
    /// Milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_ms: Option<i64>,
    /// Group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// Place in the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_sequence: Option<u32>,
    /// Group of the answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to_group_id: Option<String>,
}

/// One message: its envelope, and the bytes of its single data section (empty when it has none).
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Message {
    /// Transport header.
    pub header: Header,
    /// Properties.
    pub properties: Properties,
    /// Message annotations in the order sent, by symbol or number.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub message_annotations: Vec<(Simple, Simple)>,
    /// Application properties in the order sent.
    pub application_properties: Vec<(String, Simple)>,
    /// Payload. Not part of the serialised envelope.
    #[serde(skip)]
    pub body: Bytes,
}

impl Message {
    /// An application property as text.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<String> {
        self.application_properties
            .iter()
            .find(|(key, _)| key == name)
            .and_then(|(_, value)| value.as_text())
    }

    /// Adds an application property, replacing one of the same name.
    pub fn set_property(&mut self, name: &str, value: impl Into<Simple>) {
        self.application_properties.retain(|(key, _)| key != name);
        self.application_properties
            .push((name.to_owned(), value.into()));
    }
}

/// The payload never reaches a log through `{:?}`.
impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("message_id", &self.properties.message_id)
            .field("subject", &self.properties.subject)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The broker's answer to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// Kept durably.
    Accepted,
    /// Refused for good.
    Rejected {
        /// Error condition.
        condition: String,
        /// What is wrong and what to do.
        description: String,
    },
    /// Not now; the sender may try again.
    Released,
}

/// Where a message came by, for protocols that tell its receiver.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routing {
    /// Name of the exchange; empty: straight to the queue.
    pub exchange: String,
    /// Routing key.
    pub key: String,
}

/// User and password of a SASL PLAIN response: `[authzid] NUL authcid NUL passwd` (RFC 4616). Nothing when it is none, or asks to act
/// for somebody else.
#[must_use]
pub fn plain_credentials(response: &[u8]) -> Option<(&str, &str)> {
    let mut parts = response.split(|byte| *byte == 0);
    let (authorize_as, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || !(authorize_as.is_empty() || authorize_as == user) {
        return None;
    }
    Some((
        std::str::from_utf8(user).ok()?,
        std::str::from_utf8(password).ok()?,
    ))
}

/// A message on lease. The numbers mean something to the broker only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Which message.
    pub id: u64,
    /// Which lease of it.
    pub token: u64,
}

/// A leased message on its way to a receiver.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its lease.
    pub lease: Lease,
    /// The message, its header filled in for this delivery.
    pub message: Message,
}

/// What the receiver did with a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// Handled.
    Accepted,
    /// Refused for good.
    Rejected {
        /// Error condition, if given.
        condition: Option<String>,
        /// Text, if given.
        description: Option<String>,
    },
    /// Given back.
    Released,
    /// Given back with a remark.
    Modified {
        /// Counts as a failed delivery.
        delivery_failed: bool,
        /// Not to this receiver again.
        undeliverable_here: bool,
    },
    /// The link or connection ended before the receiver said anything.
    Lost,
}

/// What the wire asks of a broker. Look-ups are synchronous and in memory; work is a future.
pub trait Broker: Send + Sync + 'static {
    /// Checks a user name and password. Called inside the SASL exchange: must not block.
    fn authenticate(&self, peer: IpAddr, user: &str, password: &str) -> Option<Identity>;

    /// A client wants to send to this address.
    ///
    /// # Errors
    /// The condition and text of the refusing detach.
    fn open_target(&self, who: &Identity, address: &str) -> Result<Node, AttachError>;

    /// A client wants to receive from this address.
    ///
    /// # Errors
    /// The condition and text of the refusing detach.
    fn open_source(&self, who: &Identity, address: &str) -> Result<Node, AttachError>;

    /// A message came in on a link opened by [`Self::open_target`].
    fn on_message(
        &self,
        who: &Identity,
        node: &Node,
        message: Message,
    ) -> BoxFuture<'static, Disposition>;

    /// Leases up to `limit` messages, waiting up to `wait` for the first. The adapter drops the future when the link ends;
    /// what it has leased by then it must give back.
    fn next(
        &self,
        who: &Identity,
        node: &Node,
        limit: usize,
        wait: Duration,
    ) -> BoxFuture<'static, Vec<Delivery>>;

    /// Keeps leases alive. Called every [`Self::renew_every`] while deliveries are unsettled.
    fn renew(&self, node: &Node, leases: Vec<Lease>) -> BoxFuture<'static, ()>;

    /// Ends a lease.
    fn settle(
        &self,
        who: &Identity,
        node: &Node,
        lease: Lease,
        settlement: Settlement,
    ) -> BoxFuture<'static, ()>;

    /// How many messages wait in a queue, for protocols that tell. Brokers that do not count say 0.
    fn waiting(&self, _node: &Node) -> BoxFuture<'static, u64> {
        Box::pin(std::future::ready(0))
    }

    /// Where a message came by, for protocols that tell.
    fn routing(&self, node: &Node, _message: &Message) -> Routing {
        Routing {
            exchange: String::new(),
            key: node.name.clone(),
        }
    }

    /// A link opened by [`Self::open_source`] has ended.
    fn source_closed(&self, _who: &Identity, _node: &Node) {}

    /// How often leases need renewing: a third of the lock time or less.
    fn renew_every(&self) -> Duration;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_comes_back_from_json() {
        let same = |value: &Simple| -> Simple {
            serde_json::from_slice(&serde_json::to_vec(value).unwrap()).unwrap()
        };
        for number in [
            0.1,
            -0.0,
            1e30,
            f32::MIN_POSITIVE,
            f32::INFINITY,
            f32::NEG_INFINITY,
        ] {
            assert_eq!(same(&Simple::Float(number)), Simple::Float(number));
        }
        for number in [0.1, f64::MAX, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(same(&Simple::Double(number)), Simple::Double(number));
        }
        assert!(matches!(same(&Simple::Float(f32::NAN)), Simple::Float(n) if n.is_nan()));
        assert!(matches!(same(&Simple::Double(f64::NAN)), Simple::Double(n) if n.is_nan()));
        // As written by earlier programs.
        let written: Simple = serde_json::from_str(r#"{"Float":0.1}"#).unwrap();
        assert_eq!(written, Simple::Float(0.1));
    }
}
