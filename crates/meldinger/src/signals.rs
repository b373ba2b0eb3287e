//! Tells those who wait at a queue that something may have come.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// One bell per queue that somebody waits at.
#[derive(Default)]
pub(crate) struct Signals {
    bells: Mutex<HashMap<String, Arc<Notify>>>,
}

impl Signals {
    /// The bell of a queue. Hold on to it before looking, so that nothing is missed between looking and waiting.
    pub fn bell(&self, queue: &str) -> Arc<Notify> {
        let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bell) = bells.get(queue) {
            return bell.clone();
        }
        bells.retain(|_, bell| Arc::strong_count(bell) > 1);
        bells.entry(queue.to_owned()).or_default().clone()
    }

    /// Something may have come to one of these.
    pub fn ring_each<'a>(&self, queues: impl Iterator<Item = &'a str>) {
        queues.for_each(|queue| self.ring(queue));
    }

    /// Whether somebody waits anywhere.
    pub fn are_awaited(&self) -> bool {
        let bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        bells.values().any(|bell| Arc::strong_count(bell) > 1)
    }

    /// Something may have come.
    pub fn ring(&self, queue: &str) {
        let bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bell) = bells.get(queue) {
            bell.notify_waiters();
        }
    }
}
