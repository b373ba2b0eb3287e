//! How much one client and one address may ask for (spec §7, attack A34): counted per minute, in bounded memory.
//!
//! A client is counted only after it has proved who it is, so nobody can use up another's share. An address is counted
//! before anything else is read, and once more, with a lower bound, for each refusal: guessing costs more than using.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

const WINDOW_S: i64 = 60;
/// Most keys counted apart in one window; what comes later shares one counter.
const MAX_KEYS: usize = 50_000;

/// Bounds per minute; `None` counts nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Token, PAR, introspection and revocation requests of one client that authenticated.
    pub client_per_minute: Option<u32>,
    /// Requests of one address to those endpoints.
    pub address_per_minute: Option<u32>,
    /// Refused requests of one address.
    pub refusals_per_minute: Option<u32>,
}

impl Limits {
    /// What an operator starts with: far above what a hospital sends through one address, far below a flood.
    #[must_use]
    pub const fn production() -> Self {
        Self {
            client_per_minute: Some(12_000),
            address_per_minute: Some(60_000),
            refusals_per_minute: Some(3_000),
        }
    }
}

/// A bound that was reached; seconds until the next window begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany {
    /// Seconds to wait.
    pub retry_after_s: i64,
}

/// Counters of one kind.
struct Counter<K> {
    per_minute: Option<u32>,
    window: Mutex<(i64, HashMap<K, u32>, u32)>,
}

impl<K: std::hash::Hash + Eq> Counter<K> {
    fn new(per_minute: Option<u32>) -> Self {
        Self {
            per_minute,
            window: Mutex::new((0, HashMap::new(), 0)),
        }
    }

    /// Counts `add` and says whether the bound is passed.
    fn count(&self, key: K, add: u32, now_s: i64) -> Result<(), TooMany> {
        let Some(bound) = self.per_minute else {
            return Ok(());
        };
        let at = now_s.div_euclid(WINDOW_S);
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.0 != at {
            *window = (at, HashMap::new(), 0);
        }
        let (_, counts, shared) = &mut *window;
        let count = if counts.len() < MAX_KEYS || counts.contains_key(&key) {
            counts.entry(key).or_insert(0)
        } else {
            shared
        };
        // A look (nothing added) asks whether the next one would still be served.
        let reached = *count >= bound;
        *count = count.saturating_add(add);
        if reached {
            Err(TooMany {
                retry_after_s: (at + 1) * WINDOW_S - now_s,
            })
        } else {
            Ok(())
        }
    }
}

/// All counters of one issuer.
pub(crate) struct Limiter {
    clients: Counter<String>,
    addresses: Counter<IpAddr>,
    refusals: Counter<IpAddr>,
}

impl Limiter {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            clients: Counter::new(limits.client_per_minute),
            addresses: Counter::new(limits.address_per_minute),
            refusals: Counter::new(limits.refusals_per_minute),
        }
    }

    /// Whether anything is counted per address.
    pub(crate) fn counts_addresses(&self) -> bool {
        self.addresses.per_minute.is_some() || self.refusals.per_minute.is_some()
    }

    /// One request of a client that authenticated.
    pub(crate) fn client(&self, client_id: &str, now_s: i64) -> Result<(), TooMany> {
        if self.clients.per_minute.is_none() {
            return Ok(());
        }
        self.clients.count(client_id.to_owned(), 1, now_s)
    }

    /// One request of an address, before it is read.
    pub(crate) fn address(&self, address: IpAddr, now_s: i64) -> Result<(), TooMany> {
        self.refusals.count(address, 0, now_s)?;
        self.addresses.count(address, 1, now_s)
    }

    /// A request of an address was refused.
    pub(crate) fn refused(&self, address: IpAddr, now_s: i64) {
        let _ = self.refusals.count(address, 1, now_s);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn each_key_has_its_own_share_and_a_new_one_each_minute() {
        let limiter = Limiter::new(Limits {
            client_per_minute: Some(2),
            address_per_minute: Some(3),
            refusals_per_minute: Some(1),
        });
        assert!(limiter.client("a", 100).is_ok());
        assert!(limiter.client("a", 119).is_ok());
        assert_eq!(limiter.client("a", 119), Err(TooMany { retry_after_s: 1 }));
        assert!(limiter.client("b", 119).is_ok());
        assert!(limiter.client("a", 120).is_ok());
        for _ in 0..3 {
            assert!(limiter.address(A, 60).is_ok());
        }
        assert_eq!(limiter.address(A, 60), Err(TooMany { retry_after_s: 60 }));
        assert!(limiter.address(B, 60).is_ok());
        limiter.refused(B, 61);
        assert_eq!(limiter.address(B, 61), Err(TooMany { retry_after_s: 59 }));
        assert!(limiter.address(B, 120).is_ok());
    }

    #[test]
    fn without_bounds_nothing_is_counted() {
        let limiter = Limiter::new(Limits::default());
        assert!(!limiter.counts_addresses());
        for _ in 0..1_000 {
            assert!(limiter.client("a", 0).is_ok() && limiter.address(A, 0).is_ok());
        }
    }

    #[test]
    fn memory_is_bounded() {
        let counter = Counter::new(Some(10));
        for key in 0..MAX_KEYS + 10 {
            assert!(counter.count(key, 1, 0).is_ok(), "{key}");
        }
        assert!(counter.count(MAX_KEYS + 11, 1, 0).is_err());
        assert!(counter.count(0, 1, 0).is_ok());
        assert_eq!(counter.window.lock().unwrap().1.len(), MAX_KEYS);
    }
}
