//! An issuer's key set that was fetched from elsewhere: when to fetch it again, and when not.
//!
//! An unknown key id may be a key that is new, or one that somebody made up (attack A34). So: at most one fetch per
//! interval, whoever asks; an id that was not in a freshly fetched set is remembered as unknown for a while and causes none;
//! and a set that grows old is fetched again although nothing is missing, so that withdrawn keys disappear and new keys are
//! known before their first use. A failed fetch leaves the old keys in place.
//!
//! No network here: the caller fetches when [`CachedKeys::advise`] says so, or hands [`CachedKeys::ensure`] a way to.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use crate::jwk::{JwkSet, PublicJwk};
use crate::marks::{MarkId, mark_id};
use crate::rs::KeySource;

/// Most ids remembered as unknown; beyond it the interval alone limits.
const MAX_UNKNOWN: usize = 1_024;

/// How often to fetch. All in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheRules {
    /// Shortest time between two fetches.
    pub min_interval_s: i64,
    /// Age at which a set is fetched again although nothing is missing. Issuers publish keys a day ahead.
    pub max_age_s: i64,
    /// How long an id that was not in a fresh set is taken for made up.
    pub unknown_s: i64,
}

impl Default for CacheRules {
    /// Half a minute, an hour, five minutes.
    fn default() -> Self {
        Self {
            min_interval_s: 30,
            max_age_s: 3_600,
            unknown_s: 300,
        }
    }
}

/// What to do about a token's key id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// The key is here.
    Known,
    /// The key is here, but the set is old: fetch it beside the request. Said to one caller.
    Refresh,
    /// The key is not here: fetch the set, then look again. Said to one caller.
    Fetch,
    /// The key is not here, and fetching would not help or is not due: refuse the token.
    Unknown,
}

/// The set.
pub struct CachedKeys {
    keys: RwLock<JwkSet>,
    fetches: Mutex<Fetches>,
    rules: CacheRules,
}

struct Fetches {
    /// Last time somebody was told to fetch.
    claimed_s: i64,
    /// Age of the set.
    fetched_s: i64,
    unknown_until_s: HashMap<MarkId, i64>,
}

impl CachedKeys {
    /// Starts from a set fetched at `now_s`; refetches are allowed every `min_interval_s`.
    #[must_use]
    pub fn new(keys: JwkSet, now_s: i64, min_interval_s: i64) -> Self {
        let rules = CacheRules {
            min_interval_s,
            ..CacheRules::default()
        };
        Self::with_rules(keys, now_s, rules)
    }

    /// The same with all rules chosen.
    #[must_use]
    pub fn with_rules(keys: JwkSet, now_s: i64, rules: CacheRules) -> Self {
        let fetches = Fetches {
            claimed_s: now_s,
            fetched_s: now_s,
            unknown_until_s: HashMap::new(),
        };
        Self {
            keys: RwLock::new(keys),
            fetches: Mutex::new(fetches),
            rules,
        }
    }

    fn fetches(&self) -> MutexGuard<'_, Fetches> {
        self.fetches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to do before a token with this key id is checked.
    #[must_use]
    pub fn advise(&self, kid: &str, now_s: i64) -> Advice {
        let is_known = self.key(kid).is_some();
        let mut fetches = self.fetches();
        let due = now_s - fetches.claimed_s >= self.rules.min_interval_s;
        let advice = if is_known {
            let is_old = now_s - fetches.fetched_s >= self.rules.max_age_s;
            if is_old && due {
                Advice::Refresh
            } else {
                Advice::Known
            }
        } else {
            let until_s = fetches.unknown_until_s.get(&mark_id(kid));
            let made_up = until_s.is_some_and(|until_s| *until_s > now_s);
            if due && !made_up {
                Advice::Fetch
            } else {
                Advice::Unknown
            }
        };
        if matches!(advice, Advice::Fetch | Advice::Refresh) {
            fetches.claimed_s = now_s;
        }
        advice
    }

    /// Puts a freshly fetched set in place; `asked_for` is the id it was fetched for.
    pub fn fetched(&self, keys: JwkSet, asked_for: &str, now_s: i64) {
        let found = keys.find(asked_for).is_some();
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        let mut fetches = self.fetches();
        fetches.fetched_s = now_s;
        fetches
            .unknown_until_s
            .retain(|_, until_s| *until_s > now_s);
        if !found && fetches.unknown_until_s.len() < MAX_UNKNOWN {
            let until_s = now_s + self.rules.unknown_s;
            fetches.unknown_until_s.insert(mark_id(asked_for), until_s);
        }
    }

    /// Fetches when that is advised; afterwards [`KeySource::key`] says what there is. Says what was advised.
    ///
    /// # Errors
    /// What `fetch` gives; the old keys stay in place.
    pub async fn ensure<F, E>(
        &self,
        kid: &str,
        now_s: i64,
        fetch: impl FnOnce() -> F,
    ) -> Result<Advice, E>
    where
        F: Future<Output = Result<JwkSet, E>>,
    {
        let advice = self.advise(kid, now_s);
        if matches!(advice, Advice::Fetch | Advice::Refresh) {
            self.fetched(fetch().await?, kid, now_s);
        }
        Ok(advice)
    }
}

impl KeySource for CachedKeys {
    fn key(&self, kid: &str) -> Option<PublicJwk> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.find(kid).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::jwk::{KeyKind, PrivateJwk};
    use serde_json::Value;

    /// A set of one new key, and its id.
    fn set() -> (JwkSet, String) {
        let key = PrivateJwk::generate(KeyKind::P256, None).unwrap();
        let text = serde_json::json!({ "keys": [Value::Object(key.public().to_members())] });
        let set = JwkSet::from_slice(text.to_string().as_bytes()).unwrap();
        (set, key.public().kid().unwrap().to_owned())
    }

    #[test]
    fn when_to_fetch() {
        let ((first, old), (second, new)) = (set(), set());
        let cached = CachedKeys::new(first, 1_000, 30);
        assert_eq!(cached.advise(&old, 1_000), Advice::Known);
        assert_eq!(cached.advise(&new, 1_029), Advice::Unknown, "just fetched");
        assert_eq!(cached.advise(&new, 1_030), Advice::Fetch);
        assert_eq!(cached.advise(&new, 1_030), Advice::Unknown, "one is told");
        assert_eq!(cached.advise(&new, 1_059), Advice::Unknown);
        // That fetch failed; the next interval tries again, and the old keys are still there.
        assert_eq!(cached.advise(&old, 1_060), Advice::Known);
        assert_eq!(cached.advise(&new, 1_060), Advice::Fetch);
        cached.fetched(second, &new, 1_060);
        assert_eq!(cached.advise(&new, 1_061), Advice::Known);
        assert_eq!(cached.advise(&old, 1_061), Advice::Unknown, "withdrawn");
        assert_eq!(cached.advise(&new, 4_659), Advice::Known);
        assert_eq!(cached.advise(&new, 4_660), Advice::Refresh, "an hour old");
        assert_eq!(cached.advise(&new, 4_660), Advice::Known);
    }

    #[test]
    fn made_up_ids_cause_no_flood() {
        let (first, known) = set();
        let cached = CachedKeys::new(first.clone(), 0, 30);
        let ask = |kid: &str, now_s| {
            let told = cached.advise(kid, now_s) == Advice::Fetch;
            if told {
                cached.fetched(first.clone(), kid, now_s);
            }
            usize::from(told)
        };
        let mut fetches = 0;
        for now_s in 0..3_000 {
            fetches += ask("made-up", now_s);
        }
        assert!(fetches <= 10, "one in five minutes: {fetches}");
        for number in 0..30_000 {
            fetches += ask(&format!("made-up-{number}"), 3_000 + number / 100);
        }
        assert!(fetches <= 10 + 11, "one in half a minute: {fetches}");
        assert!(cached.fetches().unknown_until_s.len() <= MAX_UNKNOWN);
        assert_eq!(cached.advise(&known, 3_301), Advice::Known);
    }

    #[test]
    fn of_many_threads_one_fetches() {
        let (first, _) = set();
        let cached = Arc::new(CachedKeys::new(first, 0, 30));
        let told = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    if cached.advise("new", 30) == Advice::Fetch {
                        told.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(told.into_inner(), 1);
    }

    #[test]
    fn a_failed_fetch_keeps_what_there_is() {
        let (first, known) = set();
        let (second, new) = set();
        let cached = CachedKeys::new(first, 0, 30);
        let now = |result: Result<JwkSet, &'static str>, at_s| {
            let mut future = Box::pin(cached.ensure(&new, at_s, || std::future::ready(result)));
            let waker = std::task::Waker::noop();
            match future
                .as_mut()
                .poll(&mut std::task::Context::from_waker(waker))
            {
                std::task::Poll::Ready(done) => done,
                std::task::Poll::Pending => panic!("nothing to wait for"),
            }
        };
        assert_eq!(now(Err("down"), 40), Err("down"));
        assert!(cached.key(&known).is_some());
        assert_eq!(now(Ok(second.clone()), 50), Ok(Advice::Unknown));
        assert_eq!(now(Ok(second), 70), Ok(Advice::Fetch));
        assert!(cached.key(&new).is_some());
        assert!(cached.key(&known).is_none());
    }
}
