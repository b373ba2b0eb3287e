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
use store::{Claim, Commit, CommitError, Expect, Store, StoreError};
use tokio::sync::Mutex;

/// Name space of the log.
const LOG: &str = "helseid/noted-log";
/// No note lives longer: tokens a day, logins eight hours.
const LONGEST_H: i64 = 48;
/// Notes kept in memory, about 60 bytes each.
const MAX_KEPT: usize = 1_000_000;
/// Entries of other processes passed over for one note.
const MOST_BEFORE_US: usize = 100_000;

/// Notes of this store.
pub(super) struct Noted {
    /// `None` when others write too.
    seen: Option<MarkSet>,
    is_full: AtomicBool,
    /// Number of the next entry in each hour of the log. One note is written at a time and a number is given up only when
    /// its entry is there, so the log of an hour has no holes: it is read until the first number that is missing.
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
        let mut noted = Self {
            seen: Some(MarkSet::new(MAX_KEPT)),
            ..Self::shared()
        };
        let mut next = BTreeMap::new();
        let snapshot = store.snapshot()?;
        let this_h = now_s.div_euclid(3_600);
        for hour in this_h..=this_h + LONGEST_H {
            for number in 0.. {
                let Some(entry) = snapshot.claim(LOG, &log_key(hour, number))? else {
                    break;
                };
                next.insert(hour, number.saturating_add(1));
                if let Some((id, expires_s)) = read_entry(&entry) {
                    noted.keep(id, expires_s, now_s);
                }
            }
        }
        noted.next = Mutex::new(next);
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
}

impl StoreState {
    /// Notes something; durable when this returns.
    pub(super) async fn write_note(&self, key: &str, expires_s: i64) -> Result<(), StateError> {
        let now_s = (self.clock)();
        if self.noted.is_kept(key, now_s) == Some(true) {
            return Ok(());
        }
        if !self.with_room(|room, now_s| room.enter(now_s, expires_s)) {
            return Err(StateError::Full);
        }
        let written = self.write_note_once(key, expires_s, now_s).await;
        if !matches!(written, Ok(true)) {
            self.with_room(|room, _| room.leave(expires_s));
        }
        // Also what was there already: perhaps from an attempt of ours whose outcome stayed unknown.
        if written.is_ok() {
            self.noted.keep(mark_id(key), expires_s, now_s);
        }
        written.map(drop)
    }

    /// Says whether it was written: not when another process has noted it before.
    async fn write_note_once(
        &self,
        key: &str,
        expires_s: i64,
        now_s: i64,
    ) -> Result<bool, StateError> {
        let this_h = now_s.div_euclid(3_600);
        let hour = expires_s.div_euclid(3_600).min(this_h + LONGEST_H);
        let mut next = self.noted.next.lock().await;
        next.retain(|hour, _| *hour >= this_h);
        let number = next.entry(hour).or_default();
        for _ in 0..MOST_BEFORE_US {
            let place: Name = (LOG.to_owned(), log_key(hour, *number));
            // What others have written is passed over by reading, which is quicker.
            if self.noted.seen.is_none() && self.read(&place).await?.is_some() {
                *number = number.saturating_add(1);
                continue;
            }
            let entry = Expect::Claim(Claim {
                space: place.0,
                key: place.1,
                value: write_entry(&mark_id(key), expires_s),
                // All entries of an hour end together, or the log would begin with a hole.
                until: Some(micros(expires_s.max((hour + 1) * 3_600))),
            });
            let commit = Commit {
                expect: vec![self.claim(&name(key), &[1], expires_s)?, entry],
                ..Commit::default()
            };
            match self.store.submit(commit).await {
                Ok(_) => {
                    *number = number.saturating_add(1);
                    return Ok(true);
                }
                Err(CommitError::Refused { index: 0, .. }) => return Ok(false),
                // The place is taken: by another process, or by ourselves when an earlier outcome stayed unknown.
                Err(CommitError::Refused { .. }) => *number = number.saturating_add(1),
                Err(error) => return Err(super::unwritten(&error)),
            }
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
}
