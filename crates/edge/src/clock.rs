//! The one clock of rules (DESIGN §4): wall clock plus an offset. Ages, windows, timers and `occurred_at` use it; tokens,
//! TLS, `meta.lastUpdated` and the audit chain always use the real clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// A shared clock. Cheap to clone. The offset is zero outside demo mode.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    offset_us: Arc<AtomicI64>,
}

impl Clock {
    /// A clock with an offset in microseconds, as stored.
    pub fn with_offset(offset_us: i64) -> Self {
        Self {
            offset_us: Arc::new(AtomicI64::new(offset_us)),
        }
    }

    /// Now for rules, microseconds since 1970 UTC.
    pub fn now_us(&self) -> i64 {
        real_now_us().saturating_add(self.offset_us())
    }

    /// The offset to the real clock, microseconds.
    pub fn offset_us(&self) -> i64 {
        self.offset_us.load(Ordering::Acquire)
    }

    /// Sets the offset as stored, or where a demo nation's day begins; only before anything has happened.
    pub fn begin_with(&self, offset_us: i64) {
        self.offset_us.store(offset_us, Ordering::Release);
    }

    /// Moves the clock forward; never back. Returns the new offset. The caller stores it.
    pub fn advance(&self, by_us: u64) -> i64 {
        let by = i64::try_from(by_us).unwrap_or(i64::MAX);
        self.offset_us
            .fetch_add(by, Ordering::AcqRel)
            .saturating_add(by)
    }

    /// As a function, for crates that only need the time.
    pub fn as_fn(&self) -> Arc<dyn Fn() -> i64 + Send + Sync> {
        let clock = self.clone();
        Arc::new(move || clock.now_us())
    }
}

/// The real clock, microseconds since 1970 UTC.
pub fn real_now_us() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_forward_for_all_holders() {
        let clock = Clock::default();
        let other = clock.clone();
        assert_eq!(clock.advance(1_000), 1_000);
        assert_eq!(other.offset_us(), 1_000);
    }
}
