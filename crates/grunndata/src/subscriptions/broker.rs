//! Queues of events on the bus, beside those of the message exchange.

use super::{QUEUE_PREFIX, Subscriptions, store_queue};
use amqp::port::{
    AttachError, Broker, Delivery, Disposition, Identity, Lease, Message, Node, Routing, Settlement,
};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use store::{Commit, QueueMessageId, Settle, Settlement as End};

/// How long a message is locked without renewal, milliseconds.
const LOCK_MS: u64 = 120_000;
/// How often a waiting receiver looks for what another process has put there.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The exchange that events come by, for protocols that have exchanges.
const EXCHANGE: &str = "RegisterEvents";

/// Organisation number of a user of the bus.
pub type OwnerOf = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// A broker that knows the event queues and leaves everything else to another.
pub struct EventBroker<B> {
    inner: B,
    subscriptions: Arc<Subscriptions>,
    owner_of: OwnerOf,
}

impl<B: Broker> EventBroker<B> {
    /// In front of `inner`.
    pub fn new(inner: B, subscriptions: Arc<Subscriptions>, owner_of: OwnerOf) -> Self {
        Self {
            inner,
            subscriptions,
            owner_of,
        }
    }
}

/// The queue of an address in any dialect, when it is one of events.
fn event_queue(address: &str) -> Option<&str> {
    let name = address.trim().trim_end_matches('/').rsplit('/').next()?;
    name.starts_with(QUEUE_PREFIX).then_some(name)
}

fn is_event(node: &Node) -> bool {
    node.name.starts_with(QUEUE_PREFIX)
}

impl<B: Broker> Broker for EventBroker<B> {
    fn authenticate(&self, peer: IpAddr, user: &str, password: &str) -> Option<Identity> {
        self.inner.authenticate(peer, user, password)
    }

    fn open_target(&self, who: &Identity, address: &str) -> Result<Node, AttachError> {
        if event_queue(address).is_some() {
            return Err(AttachError::new(
                "amqp:unauthorized-access",
                "only the registers send to queues of events",
            ));
        }
        self.inner.open_target(who, address)
    }

    /// Only from the queues that a system user of one's own organisation subscribed to.
    fn open_source(&self, who: &Identity, address: &str) -> Result<Node, AttachError> {
        let Some(queue) = event_queue(address) else {
            return self.inner.open_source(who, address);
        };
        let Some(subscription) = self.subscriptions.at(queue) else {
            return Err(AttachError::new(
                "amqp:not-found",
                "there is no such queue: subscribe first, and try again in a moment",
            ));
        };
        let owner = (self.owner_of)(&who.user);
        let of = subscription.user.strip_prefix("OrgUsr");
        if owner.as_deref() != of {
            return Err(AttachError::new(
                "amqp:unauthorized-access",
                "the queue belongs to another organisation",
            ));
        }
        Ok(Node {
            name: queue.to_owned(),
        })
    }

    fn on_message(
        &self,
        who: &Identity,
        node: &Node,
        message: Message,
    ) -> BoxFuture<'static, Disposition> {
        if is_event(node) {
            let refused = Disposition::Rejected {
                condition: "amqp:unauthorized-access".to_owned(),
                description: "only the registers send to queues of events".to_owned(),
            };
            return std::future::ready(refused).boxed();
        }
        self.inner.on_message(who, node, message)
    }

    fn next(
        &self,
        who: &Identity,
        node: &Node,
        limit: usize,
        wait: Duration,
    ) -> BoxFuture<'static, Vec<Delivery>> {
        if !is_event(node) {
            return self.inner.next(who, node, limit, wait);
        }
        let (subscriptions, queue) = (self.subscriptions.clone(), store_queue(&node.name));
        let (owner_of, user) = (self.owner_of.clone(), who.user.clone());
        async move {
            let until = tokio::time::Instant::now() + wait;
            loop {
                // A user can be taken away while a link of hers is open, or waits.
                if owner_of(&user).is_none() {
                    tokio::time::sleep_until(until).await;
                    return Vec::new();
                }
                let rung = subscriptions.bell.notified();
                tokio::pin!(rung);
                // Listening begins before looking.
                rung.as_mut().enable();
                let (looking, name) = (subscriptions.clone(), queue.clone());
                let look = tokio::task::spawn_blocking(move || Found {
                    deliveries: lease(&looking, &name, limit),
                    subscriptions: looking,
                });
                let found = look.await.map(Found::take).unwrap_or_default();
                let now = tokio::time::Instant::now();
                if !found.is_empty() || now >= until {
                    return found;
                }
                let next_look = until.min(now + LOOK_EVERY);
                let _ = tokio::time::timeout_at(next_look, rung).await;
            }
        }
        .boxed()
    }

    fn renew(&self, node: &Node, leases: Vec<Lease>) -> BoxFuture<'static, ()> {
        if !is_event(node) {
            return self.inner.renew(node, leases);
        }
        let subscriptions = self.subscriptions.clone();
        async move {
            let work = move || {
                for lease in leases {
                    let id = QueueMessageId(lease.id);
                    let renewed = subscriptions.store().renew(id, lease.token, LOCK_MS);
                    if !matches!(renewed, Ok(true)) {
                        tracing::warn!("a lock on an event could not be renewed");
                    }
                }
            };
            let _ = tokio::task::spawn_blocking(work).await;
        }
        .boxed()
    }

    fn settle(
        &self,
        who: &Identity,
        node: &Node,
        lease: Lease,
        settlement: Settlement,
    ) -> BoxFuture<'static, ()> {
        if !is_event(node) {
            return self.inner.settle(who, node, lease, settlement);
        }
        let subscriptions = self.subscriptions.clone();
        async move {
            let outcome = match settlement {
                Settlement::Accepted => End::Done,
                Settlement::Rejected { .. } => End::DeadLetter {
                    reason: "rejected by the receiver".to_owned(),
                },
                Settlement::Released | Settlement::Modified { .. } | Settlement::Lost => {
                    End::Release { due_at: None }
                }
            };
            let work = move || {
                let commit = Commit {
                    settle: vec![Settle {
                        id: QueueMessageId(lease.id),
                        token: lease.token,
                        outcome,
                    }],
                    ..Commit::default()
                };
                if let Err(error) = subscriptions.store().commit(commit) {
                    tracing::warn!(%error, "an event was not settled; it will be delivered again");
                }
                subscriptions.bell.notify_waiters();
            };
            let _ = tokio::task::spawn_blocking(work).await;
        }
        .boxed()
    }

    fn waiting(&self, node: &Node) -> BoxFuture<'static, u64> {
        if !is_event(node) {
            return self.inner.waiting(node);
        }
        let (subscriptions, queue) = (self.subscriptions.clone(), store_queue(&node.name));
        async move {
            let count = move || subscriptions.store().queue_stats(&queue);
            let counted = tokio::task::spawn_blocking(count).await;
            counted
                .ok()
                .and_then(Result::ok)
                .map_or(0, |stats| stats.ready)
        }
        .boxed()
    }

    /// As on the national bus: the routing key is the source and the name of the event.
    fn routing(&self, node: &Node, message: &Message) -> Routing {
        let subscription = self.subscriptions.at(&node.name).filter(|_| is_event(node));
        let Some(subscription) = subscription else {
            return self.inner.routing(node, message);
        };
        let event = message.properties.subject.as_deref().unwrap_or_default();
        Routing {
            exchange: EXCHANGE.to_owned(),
            key: format!("{}.{event}", subscription.source.name()),
        }
    }

    fn renew_every(&self) -> Duration {
        self.inner
            .renew_every()
            .min(Duration::from_millis(LOCK_MS / 3))
    }
}

/// Leased messages that go back when nobody takes them: whoever looked for them may be gone.
struct Found {
    deliveries: Vec<Delivery>,
    subscriptions: Arc<Subscriptions>,
}

impl Found {
    fn take(mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.deliveries)
    }
}

impl Drop for Found {
    fn drop(&mut self) {
        let release = |delivery: Delivery| Settle {
            id: QueueMessageId(delivery.lease.id),
            token: delivery.lease.token,
            outcome: End::Release { due_at: None },
        };
        let settle: Vec<Settle> = self.deliveries.drain(..).map(release).collect();
        if settle.is_empty() {
            return;
        }
        let subscriptions = self.subscriptions.clone();
        let work = move || {
            let commit = Commit {
                settle,
                ..Commit::default()
            };
            if let Err(error) = subscriptions.store().commit(commit) {
                tracing::warn!(%error, "events that nobody took were not given back at once");
            }
            subscriptions.bell.notify_waiters();
        };
        // Dropped by the thread that looked, or by the task that no longer asks.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(work)),
            Err(_) => work(),
        }
    }
}

fn lease(subscriptions: &Subscriptions, queue: &str, limit: usize) -> Vec<Delivery> {
    let leased = match subscriptions.store().lease(queue, limit, LOCK_MS) {
        Ok(leased) => leased,
        Err(error) => {
            tracing::error!(%error, "a queue of events is not readable");
            return Vec::new();
        }
    };
    let mut found = Vec::with_capacity(leased.len());
    for one in leased {
        let lease = Lease {
            id: one.id.0,
            token: one.token,
        };
        match serde_json::from_slice::<Message>(&one.headers) {
            Ok(mut message) => {
                message.header.first_acquirer = one.deliveries == 1;
                message.header.delivery_count = one.deliveries.saturating_sub(1);
                message.header.durable = true;
                message.body = one.body;
                found.push(Delivery { lease, message });
            }
            Err(_) => {
                tracing::error!("an event in a queue could not be read");
                let commit = Commit {
                    settle: vec![Settle {
                        id: one.id,
                        token: one.token,
                        outcome: End::DeadLetter {
                            reason: "unreadable row".to_owned(),
                        },
                    }],
                    ..Commit::default()
                };
                let _ = subscriptions.store().commit(commit);
            }
        }
    }
    found
}
