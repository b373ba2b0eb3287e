//! A link on which the client receives.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fe2o3_amqp::{Sendable, Sender};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::connection::Peer;
use super::convert::{settlement_from_wire, to_wire, wire_error};
use super::tap::LinkCredit;
use crate::port::{Delivery, Lease, Node, Settlement};

/// How long one look for messages may wait; a new one follows.
const WAIT: Duration = Duration::from_secs(5);
/// A receiver that has room for a few messages only, because it is busy with others, is looked after at this interval: one
/// look for many messages costs hardly more than one for one.
const GATHER: Duration = Duration::from_millis(2);
/// Messages asked for in one look.
const MOST: usize = 100;
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
        unsettled: HashMap::new(),
        unsettled_bytes: 0,
        settling: FuturesUnordered::new(),
    };
    link.run(sender).await;
    peer.shared.broker.source_closed(&peer.who, &link.node);
}

struct Link {
    peer: Arc<Peer>,
    node: Node,
    credit: Arc<LinkCredit>,
    /// With their bytes.
    unsettled: HashMap<Lease, usize>,
    unsettled_bytes: usize,
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
            // One that still waits would take the next message from those who are there to receive it.
            looking.abort();
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
        let shared = self.peer.shared.clone();
        let stopping = shared.shutdown.wait();
        tokio::pin!(stopping);
        // When to look although there is little room.
        let mut look_at: Option<Instant> = None;
        loop {
            let is_late = look_at.is_some_and(|at| at <= Instant::now());
            if looking.is_none() && (is_late || self.has_much_room()) {
                look_at = None;
                *looking = self.look();
            }
            if looking.is_none() {
                if look_at.is_none() && self.room() > 0 {
                    look_at = Some(Instant::now() + GATHER);
                }
                // Also when the receiver holds as much as it may: it waits for the answer before it settles anything.
                if self.credit.is_draining() && self.room() == 0 {
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
                    self.is_settled(lease);
                    // One flush of the store ends many leases.
                    while let Some(Some(lease)) = self.settling.next().now_or_never() {
                        self.is_settled(lease);
                    }
                }
                _ = renew.tick(), if !self.unsettled.is_empty() => {
                    let leases = self.unsettled.keys().copied().collect();
                    self.peer.shared.broker.renew(&self.node, leases).await;
                }
                () = until(look_at), if looking.is_none() => {}
                () = self.credit.changed() => {}
                _ = sender.on_detach() => return End::Gone,
                () = &mut stopping => return End::Stopping,
            }
        }
    }

    /// How many messages the receiver can take.
    fn room(&self) -> usize {
        let limits = &self.peer.shared.limits;
        if self.unsettled_bytes >= limits.max_unsettled_bytes {
            return 0;
        }
        let room = limits.max_unsettled.saturating_sub(self.unsettled.len());
        room.min(self.credit.available())
    }

    fn is_settled(&mut self, lease: Lease) {
        self.unsettled_bytes -= self.unsettled.remove(&lease).unwrap_or(0);
    }

    /// Whether looking is worth its while at once: a fifth of what the receiver holds, or it holds nothing.
    fn has_much_room(&self) -> bool {
        self.room() * 5 >= self.unsettled.len() || self.credit.is_draining()
    }

    /// Starts to look for messages if the receiver can take any.
    fn look(&self) -> Option<JoinHandle<Vec<Delivery>>> {
        let limit = self.room().min(MOST);
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
            let bytes = delivery.message.body.len();
            let sendable = Sendable::builder()
                .message(to_wire(delivery.message))
                .settled(false)
                .build();
            match sender.send_batchable(sendable).await {
                Ok(outcome) => {
                    self.unsettled.insert(lease, bytes);
                    self.unsettled_bytes += bytes;
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

/// Waits until then; for ever without a time.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The result of the look under way; for ever without one.
async fn found(looking: &mut Option<JoinHandle<Vec<Delivery>>>) -> Vec<Delivery> {
    match looking {
        Some(looking) => looking.await.unwrap_or_default(),
        None => std::future::pending().await,
    }
}
