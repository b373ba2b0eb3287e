//! A broker in memory: queues that exist because they were named, one user. For tests and for trying foreign clients.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use amqp::port::{
    AttachError, Broker, Delivery, Disposition, Identity, Lease, Message, Node, Settlement,
};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;

/// Cheap to clone.
#[derive(Clone, Default)]
pub struct MemoryBroker {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

#[derive(Default)]
pub struct State {
    queues: BTreeMap<String, VecDeque<Entry>>,
    leased: HashMap<u64, (String, Entry)>,
    next_id: u64,
    pub settled: Vec<(u64, Settlement)>,
    pub attached: usize,
    pub renewed: usize,
    /// Receiving links that have ended.
    pub closed: usize,
}

#[derive(Clone)]
struct Entry {
    message: Message,
    deliveries: u32,
}

impl MemoryBroker {
    pub fn new(queues: &[&str]) -> Self {
        let broker = Self::default();
        broker.with(|state| {
            state.queues.extend(
                queues
                    .iter()
                    .map(|name| ((*name).to_owned(), VecDeque::new())),
            )
        });
        broker
    }

    pub fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().expect("no panic under the lock"))
    }

    pub fn waiting(&self, queue: &str) -> usize {
        self.with(|state| state.queues.get(queue).map_or(0, VecDeque::len))
    }

    pub fn leased(&self) -> usize {
        self.with(|state| state.leased.len())
    }

    fn find(&self, address: &str) -> Result<Node, AttachError> {
        let name = address.rsplit('/').next().unwrap_or_default().to_owned();
        self.with(|state| {
            state.attached += 1;
            if state.queues.contains_key(&name) {
                Ok(Node { name })
            } else {
                let her_id = name.split('_').next().unwrap_or_default();
                Err(AttachError::new(
                    "amqp:not-found",
                    format!("no queue {name}: HER-id {her_id} is unknown"),
                ))
            }
        })
    }
}

impl Broker for MemoryBroker {
    fn authenticate(&self, _peer: IpAddr, user: &str, password: &str) -> Option<Identity> {
        (user == "vaar-epj" && ["hemmelig:ø", "ascii"].contains(&password)).then(|| Identity {
            user: user.to_owned(),
        })
    }

    fn open_target(&self, _who: &Identity, address: &str) -> Result<Node, AttachError> {
        self.find(address)
    }

    fn open_source(&self, _who: &Identity, address: &str) -> Result<Node, AttachError> {
        self.find(address)
    }

    fn on_message(
        &self,
        _who: &Identity,
        node: &Node,
        message: Message,
    ) -> BoxFuture<'static, Disposition> {
        if message.properties.subject.as_deref() == Some("REFUSE") {
            let (condition, description) =
                ("amqp:not-allowed".to_owned(), "refused as asked".to_owned());
            return async move {
                Disposition::Rejected {
                    condition,
                    description,
                }
            }
            .boxed();
        }
        let (broker, name) = (self.clone(), node.name.clone());
        async move {
            broker.with(|state| {
                state.queues.entry(name).or_default().push_back(Entry {
                    message,
                    deliveries: 0,
                });
            });
            broker.changed.notify_waiters();
            Disposition::Accepted
        }
        .boxed()
    }

    fn next(
        &self,
        _who: &Identity,
        node: &Node,
        limit: usize,
        wait: Duration,
    ) -> BoxFuture<'static, Vec<Delivery>> {
        let (broker, name) = (self.clone(), node.name.clone());
        async move {
            let until = tokio::time::Instant::now() + wait;
            loop {
                let changed = broker.changed.notified();
                let found = broker.with(|state| {
                    let mut found = Vec::new();
                    while found.len() < limit {
                        let Some(mut entry) =
                            state.queues.get_mut(&name).and_then(VecDeque::pop_front)
                        else {
                            break;
                        };
                        state.next_id += 1;
                        let lease = Lease {
                            id: state.next_id,
                            token: 1,
                        };
                        let mut message = entry.message.clone();
                        message.header.delivery_count = entry.deliveries;
                        message.header.first_acquirer = entry.deliveries == 0;
                        entry.deliveries += 1;
                        state.leased.insert(lease.id, (name.clone(), entry));
                        found.push(Delivery { lease, message });
                    }
                    found
                });
                if !found.is_empty() || tokio::time::timeout_at(until, changed).await.is_err() {
                    return found;
                }
            }
        }
        .boxed()
    }

    fn renew(&self, _node: &Node, leases: Vec<Lease>) -> BoxFuture<'static, ()> {
        self.with(|state| state.renewed += leases.len());
        async {}.boxed()
    }

    fn settle(
        &self,
        _who: &Identity,
        _node: &Node,
        lease: Lease,
        settlement: Settlement,
    ) -> BoxFuture<'static, ()> {
        let broker = self.clone();
        async move {
            broker.with(|state| {
                let Some((name, entry)) = state.leased.remove(&lease.id) else {
                    return;
                };
                if !matches!(
                    settlement,
                    Settlement::Accepted | Settlement::Rejected { .. }
                ) {
                    state.queues.entry(name).or_default().push_front(entry);
                }
                state.settled.push((lease.id, settlement));
            });
            broker.changed.notify_waiters();
        }
        .boxed()
    }

    fn renew_every(&self) -> Duration {
        Duration::from_millis(200)
    }

    fn source_closed(&self, _who: &Identity, _node: &Node) {
        self.with(|state| state.closed += 1);
    }
}
