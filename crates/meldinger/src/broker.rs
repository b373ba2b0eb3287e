//! The exchange as broker of the bus.

use std::net::IpAddr;
use std::time::Duration;

use amqp::port::{
    AttachError, Broker, Delivery, Disposition, Identity, Lease, Message, Node, Settlement,
};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::exchange::Exchange;
use crate::rules::queue::QueueName;

/// The exchange seen from the wire.
#[derive(Clone)]
pub struct ExchangeBroker {
    exchange: Exchange,
}

impl ExchangeBroker {
    /// A broker over the exchange.
    #[must_use]
    pub fn new(exchange: Exchange) -> Self {
        Self { exchange }
    }

    fn resolve(&self, address: &str) -> Result<QueueName, AttachError> {
        self.exchange
            .resolve(address)
            .map_err(|reason| AttachError::new("amqp:not-found", reason))
    }

    fn organisation(&self, who: &Identity) -> Option<u32> {
        self.exchange.inner.users.her_id(&who.user)
    }
}

fn node(queue: &QueueName) -> Node {
    Node {
        name: queue.to_string(),
    }
}

impl Broker for ExchangeBroker {
    fn authenticate(&self, _peer: IpAddr, user: &str, password: &str) -> Option<Identity> {
        let known = self.exchange.inner.users.log_in(user, password);
        metrics::counter!("meldinger_logins_total", "outcome" => if known.is_some() { "ok" } else { "refused" }).increment(1);
        known.map(|user| Identity {
            user: user.username,
        })
    }

    fn open_target(&self, who: &Identity, address: &str) -> Result<Node, AttachError> {
        let queue = self.resolve(address)?;
        self.organisation(who).ok_or_else(|| {
            AttachError::new("amqp:unauthorized-access", "the user is no longer known")
        })?;
        Ok(node(&queue))
    }

    /// Only from the queues of one's own organisation (our rule, spec/messaging.md §4.2).
    fn open_source(&self, who: &Identity, address: &str) -> Result<Node, AttachError> {
        let queue = self.resolve(address)?;
        if self.organisation(who) != Some(queue.her_id) {
            let reason = format!(
                "queue {queue} belongs to another organisation; only its own queues can be received from"
            );
            return Err(AttachError::new("amqp:unauthorized-access", reason));
        }
        Ok(node(&queue))
    }

    fn on_message(
        &self,
        who: &Identity,
        node: &Node,
        message: Message,
    ) -> BoxFuture<'static, Disposition> {
        let (exchange, organisation, queue) = (
            self.exchange.clone(),
            self.organisation(who),
            QueueName::parse(&node.name),
        );
        async move {
            match (organisation, queue) {
                (Some(organisation), Some(queue)) => {
                    exchange.receive(organisation, queue, message).await
                }
                _ => Disposition::Released,
            }
        }
        .boxed()
    }

    fn next(
        &self,
        who: &Identity,
        node: &Node,
        limit: usize,
        wait: Duration,
    ) -> BoxFuture<'static, Vec<Delivery>> {
        let (exchange, queue) = (self.exchange.clone(), QueueName::parse(&node.name));
        let (broker, who) = (self.clone(), who.clone());
        async move {
            let until = tokio::time::Instant::now() + wait;
            let Some(queue) = queue else {
                tokio::time::sleep_until(until).await;
                return Vec::new();
            };
            loop {
                // A user can be taken away while a link of hers is open, or waits.
                if broker.organisation(&who) != Some(queue.her_id) {
                    tokio::time::sleep_until(until).await;
                    return Vec::new();
                }
                let bell = exchange.inner.signals.bell(&queue.store_name());
                let rung = bell.notified();
                tokio::pin!(rung);
                // Listening begins before looking.
                rung.as_mut().enable();
                let (looking, name) = (exchange.clone(), queue.clone());
                let hands = &exchange.inner.hands;
                let look = hands.ask_briefly(move || Found {
                    deliveries: looking.lease(&name, limit),
                    exchange: looking,
                });
                let found = look.await.map(Found::take).unwrap_or_default();
                if !found.is_empty() || tokio::time::timeout_at(until, rung).await.is_err() {
                    return found;
                }
            }
        }
        .boxed()
    }

    fn renew(&self, _node: &Node, leases: Vec<Lease>) -> BoxFuture<'static, ()> {
        let exchange = self.exchange.clone();
        async move {
            let hands = exchange.inner.hands.clone();
            hands.ask(move || exchange.renew(&leases)).await;
        }
        .boxed()
    }

    fn settle(
        &self,
        _who: &Identity,
        _node: &Node,
        lease: Lease,
        settlement: Settlement,
    ) -> BoxFuture<'static, ()> {
        let exchange = self.exchange.clone();
        async move { exchange.settle_soon(lease, settlement).await }.boxed()
    }

    fn waiting(&self, node: &Node) -> BoxFuture<'static, u64> {
        let (exchange, queue) = (self.exchange.clone(), QueueName::parse(&node.name));
        async move {
            let Some(queue) = queue else { return 0 };
            let store = exchange.inner.store.clone();
            let count = move || store.queue_stats(&queue.store_name());
            let counted = exchange.inner.hands.ask(count).await;
            counted.and_then(Result::ok).map_or(0, |stats| stats.ready)
        }
        .boxed()
    }

    fn renew_every(&self) -> Duration {
        Duration::from_millis(self.exchange.inner.config.lock_ms / 3)
    }
}

/// Leased messages that go back when nobody takes them: whoever looked for them may be gone.
struct Found {
    deliveries: Vec<Delivery>,
    exchange: Exchange,
}

impl Found {
    fn take(mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.deliveries)
    }
}

impl Drop for Found {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        for delivery in self.deliveries.drain(..) {
            let exchange = self.exchange.clone();
            runtime.spawn(async move {
                exchange
                    .settle_soon(delivery.lease, Settlement::Released)
                    .await;
            });
        }
    }
}
