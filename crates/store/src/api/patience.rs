//! How long a read may take: a limit on the calling thread that long walks inside the engine look at.
//!
//! Reads are many calls on one thread; the limit belongs to the request, not to a call, so it stands beside the calls
//! rather than in each of them.

use crate::StoreError;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

thread_local! {
    static HELD: RefCell<Option<Patience>> = const { RefCell::new(None) };
}

/// Until when somebody waits for an answer.
#[derive(Clone, Debug)]
pub struct Patience {
    until: Instant,
    gone: Arc<AtomicBool>,
}

impl Patience {
    /// For so long from now.
    pub fn new(limit: Duration) -> Self {
        Self {
            until: Instant::now() + limit,
            gone: Arc::default(),
        }
    }

    /// Nobody waits any more: reads under it end soon with `TimedOut`. May be called from any thread.
    pub fn give_up(&self) {
        self.gone.store(true, Relaxed);
    }

    /// Gives up when the returned value is dropped: with the connection of somebody who has gone.
    pub fn while_held(&self) -> Waiting {
        Waiting(self.clone())
    }

    /// Whether it has run out.
    pub fn is_over(&self) -> bool {
        self.gone.load(Relaxed) || Instant::now() >= self.until
    }

    /// Runs reads under this limit, on this thread. The shorter of two nested limits counts.
    pub fn hold<T>(&self, f: impl FnOnce() -> T) -> T {
        struct Restore(Option<Patience>);
        impl Drop for Restore {
            fn drop(&mut self) {
                HELD.with(|held| *held.borrow_mut() = self.0.take());
            }
        }
        let outer = HELD.with(|held| held.borrow().clone());
        let inner = match &outer {
            Some(o) if o.until < self.until || o.gone.load(Relaxed) => o.clone(),
            _ => self.clone(),
        };
        HELD.with(|held| *held.borrow_mut() = Some(inner));
        let _restore = Restore(outer);
        f()
    }

    /// `TimedOut` when the limit of this thread has run out. Without a limit: fine.
    pub fn check() -> Result<(), StoreError> {
        HELD.with(|held| match held.borrow().as_ref() {
            Some(patience) if patience.is_over() => Err(StoreError::TimedOut),
            _ => Ok(()),
        })
    }
}

/// Somebody waits as long as this is there.
#[derive(Debug)]
pub struct Waiting(Patience);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_holds_inside_and_is_gone_outside() {
        let none = Patience::new(Duration::ZERO);
        let much = Patience::new(Duration::from_secs(60));
        assert_eq!(Patience::check(), Ok(()));
        none.hold(|| assert_eq!(Patience::check(), Err(StoreError::TimedOut)));
        assert_eq!(Patience::check(), Ok(()));
        // The shorter one counts, whichever is inside.
        none.hold(|| much.hold(|| assert_eq!(Patience::check(), Err(StoreError::TimedOut))));
        much.hold(|| none.hold(|| assert_eq!(Patience::check(), Err(StoreError::TimedOut))));
        much.hold(|| {
            assert_eq!(Patience::check(), Ok(()));
            drop(much.while_held());
            assert_eq!(Patience::check(), Err(StoreError::TimedOut));
        });
    }
}
