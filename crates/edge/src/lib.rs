//! The edge: accept loops, TLS, limits, problem documents, the one clock of rules.
//!
//! It deliberately knows nothing of services: they bring an `axum::Router`, and the edge carries it.
//!
//! Read first: [`listen::serve`], [`problem::Problem`], [`clock::Clock`].
//!
//! Invariants: every connection has a header time limit, every body a size limit, every peer address a connection limit;
//! shutdown drains what runs (tests in `listen`). Rules: DESIGN §2-§4, RFC 9457 (problem details), RFC 9110.

pub mod clock;
pub mod cookie;
pub mod front;
pub mod headers;
pub mod listen;
pub mod problem;
pub mod proxy;
pub mod soap;

pub use clock::Clock;
pub use problem::Problem;

use std::pin::pin;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Works on blocking threads just now.
static RUNNING: AtomicUsize = AtomicUsize::new(0);
/// So many works on blocking threads, and short work goes there too: what it needs may be taken.
const MANY: usize = 24;

/// Counts a work for as long as it lives, also when it panics.
struct Counted;

impl Counted {
    fn new() -> Self {
        RUNNING.fetch_add(1, Relaxed);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Relaxed);
    }
}

/// Runs blocking work (store reads and commits) off the async threads. A panic in it becomes a 500 problem.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let span = tracing::Span::current();
    tokio::task::spawn_blocking(move || {
        let _counted = Counted::new();
        span.in_scope(work)
    })
    .await
    .map_err(|_| Problem::internal())
}

/// Works that take turns: so many for each core run at once.
const TURNS_PER_CORE: usize = 2;
/// A work that takes longer has had its turn: the next one begins beside it.
const TURN: Duration = Duration::from_millis(50);

static TURNS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(turns()));

fn turns() -> usize {
    TURNS_PER_CORE * std::thread::available_parallelism().map_or(1, usize::from)
}

/// [`blocking`] for work that only computes and reads what is near (a search in the embedded store). First come, first
/// served: of sixty at once on two cores each would otherwise take sixty times as long. Nobody is kept waiting by a long
/// one, which loses its place after [`TURN`].
pub async fn in_turn<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let turn = TURNS.acquire().await;
    let mut running = pin!(blocking(work));
    match tokio::time::timeout(TURN, &mut running).await {
        Ok(done) => done,
        Err(_) => {
            drop(turn);
            running.await
        }
    }
}

/// Cores that one work may use beside its own when it can be split: all when it runs alone, none when others do.
pub fn free_cores() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores / RUNNING.load(Relaxed).max(1)
}

/// So much runs on blocking threads that the locks and connections which short work needs may be taken: it should not be
/// done on an async thread just now.
pub fn is_crowded() -> bool {
    RUNNING.load(Relaxed) >= MANY
}

/// Runs work that takes some ten microseconds and waits for nobody (one embedded read) where it is: handing it to another
/// thread would cost more than itself. When blocking threads are busy it queues with them, so that a lock or connection
/// that they hold never stops an async thread. A panic in it becomes a 500 problem.
pub async fn quick<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    if is_crowded() {
        return blocking(work).await;
    }
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).map_err(|_| Problem::internal())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn quick_work_stays_here_unless_others_are_many() {
        let here = std::thread::current().id();
        let thread = || std::thread::current().id();
        assert_eq!(quick(thread).await.unwrap(), here);
        let counted: Vec<Counted> = (0..MANY).map(|_| Counted::new()).collect();
        assert_ne!(quick(thread).await.unwrap(), here);
        drop(counted);
        assert_eq!(quick(thread).await.unwrap(), here);
    }

    #[tokio::test]
    async fn long_works_hold_nobody_up() {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = std::sync::Arc::new(std::sync::Mutex::new(held));
        let mut long = tokio::task::JoinSet::new();
        for _ in 0..turns() * 2 {
            let held = held.clone();
            long.spawn(in_turn(move || held.lock().unwrap().recv()));
        }
        assert_eq!(in_turn(|| 7).await.unwrap(), 7);
        drop(release);
        while let Some(done) = long.join_next().await {
            assert!(done.unwrap().unwrap().is_err(), "the sender is gone");
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        assert!(quick(|| panic!("on purpose")).await.is_err());
        assert!(blocking(|| panic!("on purpose")).await.is_err());
        assert!(in_turn(|| panic!("on purpose")).await.is_err());
        assert_eq!(quick(|| 7).await.unwrap(), 7);
    }
}
