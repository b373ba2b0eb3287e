//! A link on which the client receives.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use fe2o3_amqp::{Sendable, Sender};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::connection::Peer;
use super::convert::{settlement_from_wire, to_wire, wire_error};
use super::tap::LinkCredit;
use crate::port::{Delivery, Lease, Node, Settlement};

/// How long one look for messages may wait; a new one follows, so this only bounds how long an ended link lingers.
const WAIT: Duration = Duration::from_secs(5);
/// How long a look may take when the client drains the link.
const DRAIN_WAIT: Duration = Duration::from_millis(20);
/// How long the settlements of an ended link may take.
const SETTLING: Duration = Duration::from_secs(30);

/// Delivers until the link ends. A message is leased only against credit.
pub(super) async fn run(peer: &Arc<Peer>, sender: Sender, node: Node, credit: Arc<LinkCredit>) {
    let mut link = Link {
        peer: peer.clone(),
        node,
        credit,
        unsettled: HashSet::new(),
        settling: FuturesUnordered::new(),
    };
    link.run(sender).await;
    peer.shared.broker.source_closed(&peer.who, &link.node);
}

struct Link {
    peer: Arc<Peer>,
    node: Node,
    credit: Arc<LinkCredit>,
    unsettled: HashSet<Lease>,
    settling: FuturesUnordered<BoxFuture<'static, Lease>>,
}

enum End {
    Gone,
    Stopping,
}

impl Link {
    async fn run(&mut self, mut sender: Sender) {
        let mut looking: Option<JoinHandle<Vec<Delivery>>> = None;
        let end = self.deliver(&mut sender, &mut looking).await;
        match end {
            End::Gone => drop(sender),
            End::Stopping => {
                let _ = sender
                    .close_with_error(wire_error("amqp:link:detach-forced", "the hub is stopping"))
                    .await;
            }
        }
        if let Some(looking) = looking {
            for delivery in looking.await.unwrap_or_default() {
                self.settle_now(delivery.lease, Settlement::Released).await;
            }
        }
        // Unsettled deliveries fail with the link and settle as lost.
        let _ = tokio::time::timeout(SETTLING, async {
            while self.settling.next().await.is_some() {}
        })
        .await;
    }

    async fn deliver(
        &mut self,
        sender: &mut Sender,
        looking: &mut Option<JoinHandle<Vec<Delivery>>>,
    ) -> End {
        let every = self.peer.shared.broker.renew_every();
        let mut renew = interval_at(Instant::now() + every, every);
        renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if looking.is_none() {
                *looking = self.look();
                if looking.is_none() && self.credit.is_draining() && self.credit.available() == 0 {
                    self.peer.drained(&self.credit);
                }
            }
            tokio::select! {
                batch = found(looking) => {
                    *looking = None;
                    let empty = batch.is_empty();
                    if !self.send_all(sender, batch).await {
                        return End::Gone;
                    }
                    if empty && self.credit.is_draining() {
                        self.peer.drained(&self.credit);
                    }
                }
                // The look under way waits because there was nothing; what it may still find is given back.
                () = tokio::time::sleep(DRAIN_WAIT * 2), if looking.is_some() && self.credit.is_draining() => {
                    self.peer.drained(&self.credit);
                }
                Some(lease) = self.settling.next(), if !self.settling.is_empty() => {
                    self.unsettled.remove(&lease);
                }
                _ = renew.tick(), if !self.unsettled.is_empty() => {
                    let leases = self.unsettled.iter().copied().collect();
                    self.peer.shared.broker.renew(&self.node, leases).await;
                }
                () = self.credit.changed() => {}
                _ = sender.on_detach() => return End::Gone,
                () = self.peer.shared.shutdown.wait() => return End::Stopping,
            }
        }
    }

    /// Starts to look for messages if the receiver can take any.
    fn look(&self) -> Option<JoinHandle<Vec<Delivery>>> {
        let room = self
            .peer
            .shared
            .limits
            .max_unsettled
            .saturating_sub(self.unsettled.len());
        let limit = room.min(self.credit.available());
        (limit > 0).then(|| {
            tokio::spawn(
                self.peer
                    .shared
                    .broker
                    .next(&self.peer.who, &self.node, limit, WAIT),
            )
        })
    }

    /// Sends a batch; false when the link ended, with everything unsent given back.
    async fn send_all(&mut self, sender: &mut Sender, batch: Vec<Delivery>) -> bool {
        let mut batch = batch.into_iter();
        while let Some(delivery) = batch.next() {
            let lease = delivery.lease;
            // The credit was there when the look began, but the client may have taken it back.
            if self.credit.available() == 0 {
                self.settle_now(lease, Settlement::Released).await;
                continue;
            }
            self.credit.consume();
            let sendable = Sendable::builder()
                .message(to_wire(delivery.message))
                .settled(false)
                .build();
            match sender.send_batchable(sendable).await {
                Ok(outcome) => {
                    self.unsettled.insert(lease);
                    let (broker, who, node) = (
                        self.peer.shared.broker.clone(),
                        self.peer.who.clone(),
                        self.node.clone(),
                    );
                    self.settling.push(Box::pin(async move {
                        let settlement =
                            outcome.await.map_or(Settlement::Lost, settlement_from_wire);
                        broker.settle(&who, &node, lease, settlement).await;
                        lease
                    }));
                }
                Err(_) => {
                    self.settle_now(lease, Settlement::Released).await;
                    for unsent in batch {
                        self.settle_now(unsent.lease, Settlement::Released).await;
                    }
                    return false;
                }
            }
        }
        true
    }

    fn settle_now(&self, lease: Lease, settlement: Settlement) -> BoxFuture<'static, ()> {
        self.peer
            .shared
            .broker
            .settle(&self.peer.who, &self.node, lease, settlement)
    }
}

/// The result of the look under way; for ever without one.
async fn found(looking: &mut Option<JoinHandle<Vec<Delivery>>>) -> Vec<Delivery> {
    match looking {
        Some(looking) => looking.await.unwrap_or_default(),
        None => std::future::pending().await,
    }
}
