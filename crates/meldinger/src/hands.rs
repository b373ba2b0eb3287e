//! A few threads' worth of hands for short work that reads the store: what gathers while they are busy is done without
//! waking another thread for each message.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Work done at a time. More than a machine has cores, because on a store behind a network it mostly waits.
const MOST: usize = 4;

type Job = Box<dyn FnOnce() + Send>;

/// Does jobs in the order they came, [`MOST`] at a time, on threads of the runtime for blocking work.
#[derive(Clone, Default)]
pub(crate) struct Hands {
    state: Arc<Mutex<State>>,
    /// The store answers reads at once: short work is done where it comes up.
    is_quick: bool,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    busy: usize,
}

impl Hands {
    /// For a store whose reads are quick, or not.
    pub fn new(is_quick: bool) -> Self {
        Self {
            state: Arc::default(),
            is_quick,
        }
    }

    /// The same as [`Self::ask`] for work of some ten microseconds beside its reads: waking a thread would cost as much.
    pub async fn ask_briefly<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if self.is_quick {
            Some(work())
        } else {
            self.ask(work).await
        }
    }

    /// Does the work and waits for it; nothing when it panicked or the runtime ends. What is begun is done even when
    /// nobody waits any more.
    pub async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move || {
            let _ = answer.send(work());
        });
        {
            let mut state = self.lock();
            state.jobs.push_back(job);
            if state.busy < MOST {
                state.busy += 1;
                let this = self.clone();
                tokio::task::spawn_blocking(move || this.work());
            }
        }
        answered.await.ok()
    }

    fn work(&self) {
        loop {
            let job = {
                let mut state = self.lock();
                match state.jobs.pop_front() {
                    Some(job) => job,
                    None => {
                        state.busy -= 1;
                        return;
                    }
                }
            };
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                tracing::error!("work on a message failed badly");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everything_asked_is_done_and_a_panic_takes_nothing_with_it() {
        let hands = Hands::default();
        let asked: Vec<_> = (0..100u32)
            .map(|n| {
                let hands = hands.clone();
                tokio::spawn(async move {
                    let work = move || {
                        assert!(n % 10 != 3, "on purpose");
                        n
                    };
                    hands.ask(work).await
                })
            })
            .collect();
        for (n, one) in (0..100u32).zip(asked) {
            let expected = (n % 10 != 3).then_some(n);
            assert_eq!(one.await.unwrap(), expected);
        }
        assert_eq!(hands.ask(|| 7).await, Some(7));
    }
}
