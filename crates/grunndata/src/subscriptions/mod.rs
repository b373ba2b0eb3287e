//! Subscriptions to the events of the registers: who has which queue on the bus, and the feed that fills the queues from
//! the registers' numbered events, each event exactly once.
//!
//! An event message is a pointer: its application properties name the event and the HER-id (or HPR number, RESH id), the
//! details are fetched from the register.
//!
//! Read first: [`Subscriptions`], [`feed`], [`broker::EventBroker`]. Rules: spec/grunndata.md §9, spec/messaging.md §4.7.

pub mod broker;
pub mod feed;
pub mod held;
pub mod soap;

use held::{Source, Subscription};
use registers::kernel::change::ChangeError;
use registers::kernel::identifiers::Packed;
use registers::kernel::memory::MemoryRegister;
use registers::kernel::period::Moment;
use registers::kernel::{EntryId, EntryNo};
use std::sync::Arc;
use store::{Commit, Granted, Settle, Settlement, Store, StoreError};
use tokio::sync::Notify;

/// What queue names begin with.
pub const QUEUE_PREFIX: &str = "registerevents_";
/// Most subscriptions of one user.
pub const MAX_PER_USER: usize = 100;
/// Longest name of a subscriber's system.
pub const MAX_IDENT: usize = 64;
/// Messages taken out at a time when a queue is emptied.
const DRAIN: usize = 500;

/// Why a call was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The name of the subscriber's system is empty, too long, or has other signs than letters, digits, underscore.
    #[error("the name of the system must be letters, digits and underscores")]
    Ident,
    /// The source has no such event.
    #[error("the source has no event of this name")]
    EventName,
    /// The user has too many subscriptions.
    #[error("a user has at most {MAX_PER_USER} subscriptions")]
    TooMany,
    /// The user has no such subscription.
    #[error("no such subscription")]
    Unknown,
    /// The register.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The subscriptions of one process.
pub struct Subscriptions {
    store: Store,
    register: MemoryRegister<Subscription>,
    /// Rung when a queue may have got something.
    pub(crate) bell: Arc<Notify>,
}

impl Subscriptions {
    /// Reads the register. Call from a blocking thread.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(store: Store, grant: Granted) -> Result<Self, StoreError> {
        Ok(Self {
            register: MemoryRegister::open(store.clone(), grant)?,
            store,
            bell: Arc::new(Notify::new()),
        })
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Takes over what other processes wrote.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn follow(&self) -> Result<(), StoreError> {
        self.register.follow().map(|_| ())
    }

    /// Subscriptions that stand.
    #[must_use]
    pub fn all(&self) -> Vec<Subscription> {
        let mut found = Vec::new();
        let mut from = EntryNo(0);
        loop {
            let page = self.register.page(from, 1_000);
            let Some(last) = page.last() else { break };
            from = EntryNo(last.no.0.saturating_add(1));
            let standing = page.iter().filter(|e| e.content.ended.is_none());
            found.extend(standing.map(|e| e.content.clone()));
        }
        found
    }

    /// Subscriptions of a user.
    #[must_use]
    pub fn of(&self, user: &str) -> Vec<Subscription> {
        let mut all = self.all();
        all.retain(|s| s.user == user);
        all
    }

    /// The subscription behind a queue.
    #[must_use]
    pub fn at(&self, queue: &str) -> Option<Subscription> {
        let entry = self.register.find(key(queue))?;
        let found = &entry.content;
        (found.queue == queue && found.ended.is_none()).then(|| found.clone())
    }

    /// Subscribes; the same parameters again give the subscription there is. `event` empty: all events of the source.
    ///
    /// # Errors
    /// A name that cannot be, too many, or the register's.
    pub fn subscribe(
        &self,
        user: &str,
        source: Source,
        event: &str,
        ident: &str,
        at: Moment,
    ) -> Result<Subscription, SubscribeError> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if ident.is_empty() || ident.len() > MAX_IDENT || !ident.chars().all(is_word) {
            return Err(SubscribeError::Ident);
        }
        let event = Some(event).filter(|e| !e.is_empty());
        if event.is_some_and(|e| !source.events().contains(&e)) {
            return Err(SubscribeError::EventName);
        }
        let queue = format!(
            "{QUEUE_PREFIX}{user}_{ident}_{}_{}",
            source.name(),
            event.unwrap_or("all")
        );
        self.follow()?;
        if let Some(there) = self.at(&queue) {
            return Ok(there);
        }
        if self.of(user).len() >= MAX_PER_USER {
            return Err(SubscribeError::TooMany);
        }
        let there = self.register.find(key(&queue));
        let id = there
            .filter(|e| e.content.queue == queue)
            .map_or_else(EntryId::random, |e| e.id);
        let subscription = Subscription {
            queue,
            source,
            event: event.map(str::to_owned),
            ident: ident.to_owned(),
            user: user.to_owned(),
            created: at,
            ended: None,
        };
        self.register.change(&[(id, subscription.clone())])?;
        Ok(subscription)
    }

    /// Ends a subscription and empties its queue.
    ///
    /// # Errors
    /// A queue that is not the user's, or the register's.
    pub fn unsubscribe(&self, user: &str, queue: &str, at: Moment) -> Result<(), SubscribeError> {
        self.follow()?;
        let there = self.at(queue).filter(|s| s.user == user);
        let there = there.ok_or(SubscribeError::Unknown)?;
        let entry = self
            .register
            .find(key(queue))
            .ok_or(SubscribeError::Unknown)?;
        let ended = Subscription {
            ended: Some(at),
            ..there
        };
        self.register.change(&[(entry.id, ended)])?;
        loop {
            let leased = self.store.lease(&store_queue(queue), DRAIN, 60_000)?;
            if leased.is_empty() {
                return Ok(());
            }
            let settle = leased
                .iter()
                .map(|l| Settle {
                    id: l.id,
                    token: l.token,
                    outcome: Settlement::Done,
                })
                .collect();
            let commit = Commit {
                settle,
                ..Commit::default()
            };
            // What is in somebody's hands ends there.
            if self.store.commit(commit).is_err() {
                return Ok(());
            }
        }
    }
}

/// The identifier of a queue name.
fn key(queue: &str) -> Packed {
    held::key(queue)
}

/// Name of a queue in the store.
pub(crate) fn store_queue(queue: &str) -> String {
    let digest = store::sha256(queue.as_bytes());
    let short: String = digest.iter().take(16).map(|b| format!("{b:02x}")).collect();
    format!("events:{short}")
}

#[cfg(test)]
mod tests;
