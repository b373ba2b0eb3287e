//! What is kept of a subscription in the store: its counter, how far it was delivered, and its last events by number.
//!
//! All of it are claims, moved in the commit that also moves the place in the feed: an event gets its number exactly once.
//! Events lie in a ring of fixed size, so that a busy subscription costs no more room than a quiet one.

use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use store::{Claim, Expect, MicrosUtc, Op, Seq, Snapshot, StoreError};

/// Counter and standing of one subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Version of the Subscription resource that this state is of.
    #[serde(rename = "v")]
    pub vno: u32,
    /// Changes after this place count; `None` = the subscription is off.
    pub since: Option<u64>,
    /// The server has made it active, and it still is.
    #[serde(rename = "on", default)]
    pub is_on: bool,
    /// Number of the last event.
    #[serde(rename = "n")]
    pub count: u64,
}

/// One numbered event: which version of which record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    /// Its number, from 1.
    #[serde(rename = "n")]
    pub number: u64,
    /// Commit time.
    pub at: MicrosUtc,
    /// Type of the record.
    #[serde(rename = "t")]
    pub rtype: String,
    /// Its id.
    pub id: String,
    /// Its version.
    #[serde(rename = "v")]
    pub vno: u32,
    /// What was done.
    #[serde(rename = "o")]
    pub op: Op,
}

/// Names of the claims of one repository.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    states: String,
    sent: String,
    events: String,
    /// Name of the consumer of the feed.
    pub consumer: String,
    /// Name space of the claim that one process works for all.
    pub lead: String,
    /// Events kept per subscription.
    pub kept: u64,
}

impl Ledger {
    pub fn new(repository: &str, kept: u64) -> Self {
        Self {
            states: format!("subscription/{repository}"),
            sent: format!("subscription-sent/{repository}"),
            events: format!("subscription-event/{repository}"),
            consumer: format!("subscriptions/{repository}"),
            lead: format!("subscription-lead/{repository}"),
            kept: kept.max(1),
        }
    }

    /// The state, and its form in the store.
    pub fn state(
        &self,
        snapshot: &Snapshot,
        id: &str,
    ) -> Result<Option<(State, Vec<u8>)>, StoreError> {
        let Some(raw) = snapshot.claim(&self.states, id.as_bytes())? else {
            return Ok(None);
        };
        let state = serde_json::from_slice(&raw)
            .map_err(|_| StoreError::Corrupt("a subscription's state is not readable".into()))?;
        Ok(Some((state, raw)))
    }

    /// The last number that was delivered.
    pub fn sent(&self, snapshot: &Snapshot, id: &str) -> Result<Option<u64>, StoreError> {
        Ok(snapshot
            .claim(&self.sent, id.as_bytes())?
            .and_then(|raw| raw.try_into().ok())
            .map(u64::from_be_bytes))
    }

    /// An event by number, unless the ring has gone past it.
    pub fn event(
        &self,
        snapshot: &Snapshot,
        id: &str,
        number: u64,
    ) -> Result<Option<Event>, StoreError> {
        let Some(raw) = snapshot.claim(&self.events, &self.slot(id, number))? else {
            return Ok(None);
        };
        let event: Option<Event> = serde_json::from_slice(&raw).ok();
        Ok(event.filter(|e| e.number == number))
    }

    /// Sets the state to another one, on the condition that it still has this form.
    pub fn set_state(&self, id: &str, old: Option<&[u8]>, new: &State, out: &mut Vec<Expect>) {
        let new = serde_json::to_vec(new).unwrap_or_default();
        swap(&self.states, id.as_bytes(), old, Some(new), out);
    }

    /// Moves the delivered number, on the condition that it still is `old`.
    pub fn set_sent(&self, id: &str, old: Option<u64>, new: u64, out: &mut Vec<Expect>) {
        let old = old.map(u64::to_be_bytes);
        let old = old.as_ref().map(<[u8; 8]>::as_slice);
        let new = new.to_be_bytes().to_vec();
        swap(&self.sent, id.as_bytes(), old, Some(new), out);
    }

    /// Puts an event into its place in the ring. `taken`: places that this commit has filled already.
    pub fn push(
        &self,
        snapshot: &Snapshot,
        id: &str,
        event: &Event,
        taken: &mut HashMap<Vec<u8>, Vec<u8>>,
        out: &mut Vec<Expect>,
    ) -> Result<(), StoreError> {
        let slot = self.slot(id, event.number);
        let new = serde_json::to_vec(event).unwrap_or_default();
        let old = match taken.get(&slot) {
            Some(raw) => Some(raw.clone()),
            None => snapshot.claim(&self.events, &slot)?,
        };
        swap(&self.events, &slot, old.as_deref(), Some(new.clone()), out);
        taken.insert(slot, new);
        Ok(())
    }

    /// Frees everything that is kept of a subscription.
    pub fn forget(
        &self,
        snapshot: &Snapshot,
        id: &str,
        out: &mut Vec<Expect>,
    ) -> Result<(), StoreError> {
        let Some((state, raw)) = self.state(snapshot, id)? else {
            return Ok(());
        };
        swap(&self.states, id.as_bytes(), Some(&raw), None, out);
        if let Some(raw) = snapshot.claim(&self.sent, id.as_bytes())? {
            swap(&self.sent, id.as_bytes(), Some(&raw), None, out);
        }
        let first = state.count.saturating_sub(self.kept) + 1;
        for number in first..=state.count {
            let slot = self.slot(id, number);
            if let Some(raw) = snapshot.claim(&self.events, &slot)? {
                swap(&self.events, &slot, Some(&raw), None, out);
            }
        }
        Ok(())
    }

    fn slot(&self, id: &str, number: u64) -> Vec<u8> {
        let place = number.saturating_sub(1) % self.kept;
        let mut key = id.as_bytes().to_vec();
        key.push(b'/');
        key.extend_from_slice(&place.to_be_bytes());
        key
    }
}

/// Lets a claim go from one value to another, or away, on the condition that it has the old one.
pub(crate) fn swap(
    space: &str,
    key: &[u8],
    old: Option<&[u8]>,
    new: Option<Vec<u8>>,
    out: &mut Vec<Expect>,
) {
    if let Some(old) = old {
        out.push(Expect::ClaimHeld {
            space: space.to_owned(),
            key: key.to_vec(),
            value: Some(old.to_vec()),
            release: true,
        });
    }
    if let Some(value) = new {
        out.push(Expect::Claim(Claim {
            space: space.to_owned(),
            key: key.to_vec(),
            value,
            until: None,
        }));
    }
}

/// Where a consumer begins that has none to work for: at the end, or before the first subscription that waits for it.
pub(crate) fn first_place(end: Seq, waiting: impl Iterator<Item = Seq>) -> Seq {
    waiting
        .min()
        .map_or(end, |first| Seq(first.0.saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_turns() {
        let ledger = Ledger::new("sandbox", 4);
        assert_eq!(ledger.slot("a", 1), ledger.slot("a", 5));
        assert_ne!(ledger.slot("a", 1), ledger.slot("a", 4));
        assert_ne!(ledger.slot("a", 1), ledger.slot("b", 1));
    }

    #[test]
    fn a_change_of_value_is_bound_to_the_old_one() {
        let mut out = Vec::new();
        swap("s", b"k", Some(b"1"), Some(b"2".to_vec()), &mut out);
        assert!(
            matches!(&out[0], Expect::ClaimHeld { value: Some(v), release: true, .. } if v == b"1")
        );
        assert!(matches!(&out[1], Expect::Claim(c) if c.value == b"2"));
    }

    #[test]
    fn a_new_consumer_begins_before_the_first_that_waits() {
        assert_eq!(first_place(Seq(9), std::iter::empty()), Seq(9));
        assert_eq!(first_place(Seq(9), [Seq(7), Seq(5)].into_iter()), Seq(4));
    }
}
