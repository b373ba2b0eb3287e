//! What is over before its time: revoked tokens, ended logins. Noted seldom, asked about at every introspection and refresh.
//!
//! A note is a claim under its own name, and one in a log by the hour of its expiry, both in one commit. One process reads
//! that log at start, hears of every later note because nobody else writes, and answers from memory without delay. Several
//! processes ask the store each time: what one has noted, all know when its commit is done.
//! Should memory be full, the only process asks the store too; nothing noted is ever forgotten.

use super::{Name, StoreState, micros, name};
use jose::marks::{MarkId, MarkSet, mark_id};
use jose::state::StateError;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use store::{Claim, Commit, CommitError, Expect, Store, StoreError};

/// Name space of the log.
const LOG: &str = "helseid/noted-log";
/// No note lives longer: tokens a day, logins eight hours.
const LONGEST_H: i64 = 48;
/// Notes kept in memory, about 60 bytes each.
const MAX_KEPT: usize = 1_000_000;
const ATTEMPTS: usize = 64;

/// Notes of this store.
pub(super) struct Noted {
    /// `None` when others write too.
    seen: Option<MarkSet>,
    is_full: AtomicBool,
    /// Number of the next entry in each hour of the log.
    next: Mutex<BTreeMap<i64, u32>>,
}

impl Noted {
    /// When several processes write.
    pub(super) fn shared() -> Self {
        Self {
            seen: None,
            is_full: AtomicBool::new(false),
            next: Mutex::default(),
        }
    }

    /// Of the only process: reads the notes that are still live. Blocks.
    pub(super) fn open(store: &Store, now_s: i64) -> Result<Self, StoreError> {
        let noted = Self {
            seen: Some(MarkSet::new(MAX_KEPT)),
            ..Self::shared()
        };
        let snapshot = store.snapshot()?;
        let this_h = now_s.div_euclid(3_600);
        for hour in this_h..=this_h + LONGEST_H {
            for number in 0.. {
                let Some(entry) = snapshot.claim(LOG, &log_key(hour, number))? else {
                    break;
                };
                noted.with_next(|next| next.insert(hour, number.saturating_add(1)));
                if let Some((id, expires_s)) = read_entry(&entry) {
                    noted.keep(id, expires_s, now_s);
                }
            }
        }
        Ok(noted)
    }

    fn keep(&self, id: MarkId, expires_s: i64, now_s: i64) {
        let kept = self
            .seen
            .as_ref()
            .is_none_or(|seen| seen.insert(id, expires_s, now_s).is_ok());
        if !kept {
            self.is_full.store(true, Ordering::Release);
        }
    }

    /// What memory says; `None` when the store has to be asked.
    fn is_kept(&self, key: &str, now_s: i64) -> Option<bool> {
        let seen = self.seen.as_ref()?;
        let is_kept = seen.contains(&mark_id(key), now_s);
        (is_kept || !self.is_full.load(Ordering::Acquire)).then_some(is_kept)
    }

    fn with_next<T>(&self, act: impl FnOnce(&mut BTreeMap<i64, u32>) -> T) -> T {
        act(&mut self.next.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A number that this process has not given before.
    fn number(&self, hour: i64, this_h: i64) -> u32 {
        self.with_next(|next| {
            next.retain(|hour, _| *hour >= this_h);
            let slot = next.entry(hour).or_default();
            let number = *slot;
            *slot = number.saturating_add(1);
            number
        })
    }
}

impl StoreState {
    /// Notes something; durable when this returns.
    pub(super) async fn write_note(&self, key: &str, expires_s: i64) -> Result<(), StateError> {
        let now_s = (self.clock)();
        let (name, id) = (name(key), mark_id(key));
        let this_h = now_s.div_euclid(3_600);
        let hour = expires_s.div_euclid(3_600).min(this_h + LONGEST_H);
        if !self.with_room(|room, now_s| room.enter(now_s, expires_s)) {
            return Err(StateError::Full);
        }
        for _ in 0..ATTEMPTS {
            let number = self.noted.number(hour, this_h);
            let place: Name = (LOG.to_owned(), log_key(hour, number));
            // Others may have written before us: their entries are passed over by reading, which is quicker.
            if self.noted.seen.is_none() && self.read(&place).await?.is_some() {
                continue;
            }
            let entry = Expect::Claim(Claim {
                space: place.0,
                key: place.1,
                value: write_entry(&id, expires_s),
                // All entries of an hour end together, so that the log has no holes before its end.
                until: Some(micros(expires_s.max((hour + 1) * 3_600))),
            });
            let commit = Commit {
                expect: vec![self.claim(&name, &[1], expires_s)?, entry],
                ..Commit::default()
            };
            match self.store.submit(commit).await {
                Ok(_) => {}
                // Noted before.
                Err(CommitError::Refused { index: 0, .. }) => {}
                // The number was taken by another process.
                Err(CommitError::Refused { .. }) => continue,
                Err(error) => return Err(super::unwritten(&error)),
            }
            self.noted.keep(id, expires_s, now_s);
            return Ok(());
        }
        Err(StateError::Unavailable(
            "too much is being noted at once".to_owned(),
        ))
    }

    /// Whether something was noted.
    pub(super) async fn read_note(&self, key: &str) -> Result<bool, StateError> {
        match self.noted.is_kept(key, (self.clock)()) {
            Some(is_kept) => Ok(is_kept),
            None => Ok(self.read(&name(key)).await?.is_some()),
        }
    }
}

/// Sorts by hour.
fn log_key(hour: i64, number: u32) -> Vec<u8> {
    [&hour.to_be_bytes()[..], &number.to_be_bytes()].concat()
}

fn write_entry(id: &MarkId, expires_s: i64) -> Vec<u8> {
    [&id[..], &expires_s.to_be_bytes()].concat()
}

fn read_entry(entry: &[u8]) -> Option<(MarkId, i64)> {
    let (id, expires_s) = entry.split_first_chunk::<16>()?;
    Some((*id, i64::from_be_bytes(expires_s.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_they_were_written() {
        let entry = write_entry(&[7; 16], 1_760_000_000);
        assert_eq!(read_entry(&entry), Some(([7; 16], 1_760_000_000)));
        assert_eq!(read_entry(&entry[1..]), None);
        assert_eq!(read_entry(&[]), None);
    }

    #[test]
    fn a_full_memory_asks_the_store() {
        let noted = Noted {
            seen: Some(MarkSet::new(1)),
            ..Noted::shared()
        };
        assert_eq!(noted.is_kept("a", 0), Some(false));
        for number in 0..100 {
            noted.keep(mark_id(&number.to_string()), 10, 0);
        }
        assert_eq!(noted.is_kept("a", 0), None, "it may be in the store");
        assert_eq!(Noted::shared().is_kept("a", 0), None);
    }

    #[test]
    fn numbers_of_hours_gone_by_are_forgotten() {
        let noted = Noted::shared();
        assert_eq!([5, 5, 6].map(|hour| noted.number(hour, 5)), [0, 1, 0]);
        assert_eq!(noted.number(6, 6), 1);
        assert_eq!(noted.with_next(|next| next.len()), 1);
    }
}
