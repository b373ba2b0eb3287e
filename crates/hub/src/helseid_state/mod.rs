//! HelseID's short-lived state on the store: pushed requests, open logins, codes, refresh families, sessions, marks.
//!
//! Each value is a claim of the store with an expiry, so that a restart in the middle of a login loses nothing and two
//! processes on one PostgreSQL take each value once. Keys are hashed, values are sealed with a key from the hub's
//! secrets and bound to their place: whoever reads the database or a backup can use none of them.
//! The marks of one-time ids (client assertions, proofs) come by the thousand each second and have their own ways: [`marks`]; what was
//! revoked is asked about as often: [`noted`].
//!
//! Under overload a bound on what this process put refuses new values; nothing live is forgotten.
//! Rules: spec helseid §4.1, §7, §10; DESIGN §3 (claims).

mod marks;
mod noted;
mod seal;

use crate::secrets::{SecretError, Secrets};
use jose::encoding::sha256;
use jose::state::{Clock, ReplayCache, State, StateError, StateFuture};
use marks::{LoggedMarks, SharedMarks};
use noted::Noted;
use seal::Sealer;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use store::{Claim, Commit, CommitError, Expect, Refusal, Store, StoreError};

/// Most live values put by one process: a login leaves four or five, most of them for eight hours.
const MAX_VALUES: u64 = 4_000_000;
/// Most live marks; they live for about a minute.
const MAX_MARKS: usize = 4_000_000;
/// Attempts at a value that others are changing at the same moment.
const ATTEMPTS: usize = 16;

/// Who else writes into the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writers {
    /// This process alone (the embedded engine locks its folder).
    One,
    /// Several processes share one PostgreSQL.
    Several,
}

/// The state.
pub struct StoreState {
    store: Store,
    sealer: Sealer,
    clock: Clock,
    room: Mutex<Room>,
    marks: Marks,
    noted: Noted,
}

enum Marks {
    Logged(LoggedMarks),
    Shared(SharedMarks),
}

/// A claim's name: space and key.
type Name = (String, Vec<u8>);

impl StoreState {
    /// Opens it and reads the marks that are still live. Blocks; call inside a runtime, on a blocking thread.
    ///
    /// # Errors
    /// When the store or the secret is not to be had.
    pub fn open(
        store: Store,
        secrets: &Secrets,
        clock: Clock,
        writers: Writers,
    ) -> Result<Self, SecretError> {
        let sealer = Sealer::open(secrets)?;
        let (marks, noted) = match writers {
            Writers::One => (
                Marks::Logged(LoggedMarks::open(store.clone(), clock.clone(), MAX_MARKS)?),
                Noted::open(&store, clock())?,
            ),
            Writers::Several => (
                Marks::Shared(SharedMarks::new(store.clone(), clock.clone(), MAX_MARKS)),
                Noted::shared(),
            ),
        };
        Ok(Self {
            store,
            sealer,
            clock,
            room: Mutex::default(),
            marks,
            noted,
        })
    }

    /// Before the store closes: waits until what was marked is durable. Says whether it is.
    pub async fn settle(&self) -> bool {
        match &self.marks {
            Marks::Logged(logged) => logged.settle().await,
            Marks::Shared(_) => true,
        }
    }

    /// The sealed value, if it is live.
    async fn read(&self, name: &Name) -> Result<Option<Vec<u8>>, StateError> {
        let read = |store: &Store, name: &Name| store.snapshot()?.claim(&name.0, &name.1);
        if self.store.reads_are_quick() {
            return read(&self.store, name).map_err(unreadable);
        }
        let (store, name) = (self.store.clone(), name.clone());
        tokio::task::spawn_blocking(move || read(&store, &name))
            .await
            .map_err(|_| StateError::Unavailable("a read was broken off".to_owned()))?
            .map_err(unreadable)
    }

    /// Commits expectations; the refusal, if there is one.
    async fn commit(&self, expect: Vec<Expect>) -> Result<Option<Refusal>, StateError> {
        let commit = Commit {
            expect,
            ..Commit::default()
        };
        match self.store.submit(commit).await {
            Ok(_) => Ok(None),
            Err(CommitError::Refused { refusal, .. }) => Ok(Some(refusal)),
            Err(error) => Err(unwritten(&error)),
        }
    }

    fn claim(&self, name: &Name, value: &[u8], expires_s: i64) -> Result<Expect, StateError> {
        let value = self
            .sealer
            .seal(&name.0, &name.1, value)
            .ok_or_else(|| StateError::Unavailable("a value could not be sealed".to_owned()))?;
        if value.len() > store::MAX_CLAIM_VALUE_BYTES {
            return Err(StateError::TooLarge);
        }
        Ok(Expect::Claim(Claim {
            space: name.0.clone(),
            key: name.1.clone(),
            value,
            until: Some(micros(expires_s)),
        }))
    }

    fn open_value(&self, name: &Name, sealed: &[u8]) -> Result<Vec<u8>, StateError> {
        self.sealer.open_value(&name.0, &name.1, sealed).ok_or_else(|| {
            StateError::Unavailable(
                "a stored value does not open with this key file; use the one the store was made with"
                    .to_owned(),
            )
        })
    }

    fn with_room<T>(&self, act: impl FnOnce(&mut Room, i64) -> T) -> T {
        let now_s = (self.clock)();
        act(
            &mut self.room.lock().unwrap_or_else(PoisonError::into_inner),
            now_s,
        )
    }

    /// Writes a value if its place is free.
    async fn write_new(
        &self,
        name: &Name,
        value: &[u8],
        expires_s: i64,
    ) -> Result<Option<Refusal>, StateError> {
        let claim = self.claim(name, value, expires_s)?;
        if !self.with_room(|room, now_s| room.enter(now_s, expires_s)) {
            return Err(StateError::Full);
        }
        let refusal = self.commit(vec![claim]).await;
        if !matches!(refusal, Ok(None)) {
            self.with_room(|room, _| room.leave(expires_s));
        }
        refusal
    }
}

impl State for StoreState {
    fn get<'a>(&'a self, key: &'a str) -> StateFuture<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let name = name(key);
            let sealed = self.read(&name).await?;
            sealed
                .map(|sealed| self.open_value(&name, &sealed))
                .transpose()
        })
    }

    fn put<'a>(&'a self, key: &'a str, value: Vec<u8>, expires_s: i64) -> StateFuture<'a, ()> {
        Box::pin(async move {
            let name = name(key);
            for _ in 0..ATTEMPTS {
                let Some(Refusal::ClaimTaken { value: old }) =
                    self.write_new(&name, &value, expires_s).await?
                else {
                    return Ok(());
                };
                let new = self.claim(&name, &value, expires_s)?;
                if self.commit(vec![free(&name, old), new]).await?.is_none() {
                    return Ok(());
                }
            }
            Err(StateError::Unavailable(
                "a value is being changed by too many at once".to_owned(),
            ))
        })
    }

    fn put_new<'a>(
        &'a self,
        key: &'a str,
        value: Vec<u8>,
        expires_s: i64,
    ) -> StateFuture<'a, bool> {
        Box::pin(async move {
            let refusal = self.write_new(&name(key), &value, expires_s).await?;
            Ok(refusal.is_none())
        })
    }

    fn replace<'a>(
        &'a self,
        key: &'a str,
        expected: &'a [u8],
        value: Vec<u8>,
        expires_s: i64,
    ) -> StateFuture<'a, bool> {
        Box::pin(async move {
            let name = name(key);
            let Some(old) = self.read(&name).await? else {
                return Ok(false);
            };
            // The same value is sealed differently each time, so the stored bytes are compared with the stored bytes.
            if self.open_value(&name, &old)? != expected {
                return Ok(false);
            }
            let new = self.claim(&name, &value, expires_s)?;
            Ok(self.commit(vec![free(&name, old), new]).await?.is_none())
        })
    }

    fn take<'a>(&'a self, key: &'a str) -> StateFuture<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let name = name(key);
            for _ in 0..ATTEMPTS {
                let Some(sealed) = self.read(&name).await? else {
                    return Ok(None);
                };
                let value = self.open_value(&name, &sealed)?;
                if self.commit(vec![free(&name, sealed)]).await?.is_none() {
                    return Ok(Some(value));
                }
            }
            Err(StateError::Unavailable(
                "a value is being changed by too many at once".to_owned(),
            ))
        })
    }

    fn mark_all<'a>(&'a self, marks: &'a [(String, i64)]) -> StateFuture<'a, Option<usize>> {
        match &self.marks {
            Marks::Logged(logged) => Box::pin(std::future::ready(logged.mark_all(marks))),
            Marks::Shared(shared) => Box::pin(shared.mark_all(marks)),
        }
    }

    fn note<'a>(&'a self, key: &'a str, expires_s: i64) -> StateFuture<'a, ()> {
        Box::pin(self.write_note(key, expires_s))
    }

    fn is_noted<'a>(&'a self, key: &'a str) -> StateFuture<'a, bool> {
        Box::pin(self.read_note(key))
    }
}

impl ReplayCache for StoreState {
    fn first_use(&self, key: &str, expires_s: i64) -> Result<bool, StateError> {
        match &self.marks {
            Marks::Logged(logged) => logged.first_use(key, expires_s),
            Marks::Shared(shared) => shared.first_use(key, expires_s),
        }
    }
}

/// `kind/rest` becomes the name space of the kind and the hash of the rest.
fn name(key: &str) -> Name {
    let (kind, rest) = key.split_once('/').unwrap_or(("other", key));
    (format!("helseid/{kind}"), sha256(rest.as_bytes()).to_vec())
}

/// The claim is held with exactly this value, and is freed.
fn free(name: &Name, value: Vec<u8>) -> Expect {
    Expect::ClaimHeld {
        space: name.0.clone(),
        key: name.1.clone(),
        value: Some(value),
        release: true,
    }
}

const fn micros(seconds: i64) -> i64 {
    seconds.saturating_mul(1_000_000)
}

fn unreadable(error: StoreError) -> StateError {
    StateError::Unavailable(error.to_string())
}

fn unwritten(error: &CommitError) -> StateError {
    StateError::Unavailable(error.to_string())
}

/// How many values this process has put that are not over yet. Values taken early are counted until they would have
/// expired, which errs on the safe side.
#[derive(Default)]
struct Room {
    by_minute: BTreeMap<i64, u64>,
    live: u64,
}

impl Room {
    fn enter(&mut self, now_s: i64, expires_s: i64) -> bool {
        while let Some(first) = self.by_minute.first_entry()
            && *first.key() < now_s.div_euclid(60)
        {
            self.live = self.live.saturating_sub(first.remove());
        }
        if self.live >= MAX_VALUES {
            return false;
        }
        *self.by_minute.entry(expires_s.div_euclid(60)).or_default() += 1;
        self.live += 1;
        true
    }

    fn leave(&mut self, expires_s: i64) {
        if let Some(count) = self.by_minute.get_mut(&expires_s.div_euclid(60)) {
            *count = count.saturating_sub(1);
            self.live = self.live.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_back_when_values_expire() {
        let mut room = Room::default();
        for _ in 0..10 {
            assert!(room.enter(0, 100));
        }
        room.leave(100);
        assert_eq!(room.live, 9);
        assert!(room.enter(119, 500));
        assert_eq!(room.live, 10, "minute 1 is not over");
        assert!(room.enter(120, 500));
        assert_eq!(room.live, 2);
        room.live = MAX_VALUES;
        assert!(!room.enter(130, 500));
    }

    #[test]
    fn names_hide_what_they_are_made_of() {
        let (space, key) = name("code/secret-hash");
        assert_eq!(space, "helseid/code");
        assert_eq!(key.len(), 32);
        assert_ne!(name("code/a").1, name("code/b").1);
        assert_eq!(name("nothing").0, "helseid/other");
    }
}
