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
pub mod headers;
pub mod listen;
pub mod problem;

pub use clock::Clock;
pub use problem::Problem;

/// Runs blocking work (store reads and commits) off the async threads. A panic in it becomes a 500 problem.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let span = tracing::Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(work))
        .await
        .map_err(|_| Problem::internal())
}
