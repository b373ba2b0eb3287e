//! Transport B: ebXML (ebMS 2.0) over mail and HTTP. The hub is the post office of all communication parties, and the message service
//! handler (MSH) of its own receivers and of the API's users.
//!
//! ```text
//! SMTP ─▶ mail to a party      ─▶ its mailbox, untouched (POP3); envelope noted, signals move the track
//!      ─▶ mail to the hub      ─▶ judged, opened, kept; signed acknowledgment or error list into the sender's mailbox
//! HTTP ─▶ message to the hub   ─▶ the same, the signal in the response
//! receipts, messages of the API ─▶ signed, encrypted, into the receiver's mailbox, again until acknowledged
//! ```
//!
//! **Invariants**
//! - A mail is answered `250`, a message acknowledged, only after the commit that holds it; acknowledgment and message are one commit.
//! - The hub opens only what is addressed to itself and to users of its API. What is for others it passes on byte for byte, whatever it thinks
//!   of it: their handlers answer.
//! - Signals and faults are never answered; a signed question (ping, status) is, and leaves nothing behind. A track moves only by a signal that its receiver signed.
//!
//! Rules: spec/messaging.md §5 (HIS 1037, HITS 1171, HITS 1172). Not here: bridging to AMQP (off by design), mail to other servers.

mod addresses;
mod checks;
mod http;
mod office;
mod receive;
mod send;
mod services;
mod signals;

pub use office::PostOffice;
pub use send::Sender;

use std::sync::Arc;

use edi::check::AgreementFacts;
use xmlsec::key::Identity;

use crate::edge::rest::Roads;
use crate::exchange::Exchange;
use addresses::Addresses;

/// Where messages are posted over HTTP.
pub const PATH: &str = "/ebxml";

/// Finds an agreement by the id in an envelope, in the CPPA registry.
pub type Agreements = Arc<dyn Fn(&str) -> Option<AgreementFacts> + Send + Sync>;

/// The handler of ebXML messages. Cheap to clone.
#[derive(Clone)]
pub struct MessageHandler {
    inner: Arc<Inner>,
}

struct Inner {
    exchange: Exchange,
    roads: Roads,
    addresses: Addresses,
    agreements: Option<Agreements>,
    /// Right side of the ids of mails made here.
    host: String,
    limits: ebxml::mime::Limits,
}

impl MessageHandler {
    /// A handler that names itself `host` in the ids of its mails. Without `agreements` their ids are carried and not looked up.
    #[must_use]
    pub fn new(exchange: Exchange, host: &str, agreements: Option<Agreements>) -> Self {
        let roads = Roads::new(&exchange, true);
        let hub = exchange.inner.config.hub_her_id;
        let addresses = Addresses::new(exchange.inner.directory.clone(), hub);
        Self {
            inner: Arc::new(Inner {
                exchange,
                roads,
                addresses,
                agreements,
                host: host.to_owned(),
                limits: ebxml::mime::Limits::default(),
            }),
        }
    }

    fn exchange(&self) -> &Exchange {
        &self.inner.exchange
    }

    fn now_us(&self) -> i64 {
        self.inner.exchange.inner.clock.now_us()
    }

    /// An agreement by its UUID. Nothing where there is no registry or the id is of another kind; `Some(None)` for one that is not known.
    fn agreement(&self, cpa_id: &str) -> Option<Option<AgreementFacts>> {
        let look_up = self.inner.agreements.as_ref()?;
        uuid::Uuid::try_parse(cpa_id).ok()?;
        Some(look_up(cpa_id))
    }

    fn hub(&self) -> u32 {
        self.inner.exchange.inner.config.hub_her_id
    }

    fn signing_key(&self) -> Identity {
        let keys = &self.inner.exchange.inner.keys;
        let keys = keys
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        keys.signing.clone()
    }

    fn decryption_keys(&self) -> Vec<Identity> {
        let keys = &self.inner.exchange.inner.keys;
        let keys = keys
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        keys.decryption.clone()
    }
}
