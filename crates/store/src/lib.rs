//! The record store: one log, one commit, many readers (DESIGN §3).
//!
//! It keeps versions, index keys, blobs, queues, claims, the feed, person keys, privacy epochs and the access journal,
//! on SQLite (embedded, default) or PostgreSQL, behind one synchronous interface: [`Store`].
//!
//! It deliberately does not know who is asking or why: callers bring a [`Filter`] inside a [`Granted`], which only the
//! crate `trust` can mint. It knows nothing of FHIR, messages or HTTP: keys are ordered bytes, bodies are bytes.
//!
//! Read first: [`Commit`] (the only way to write), [`Snapshot`] (the only way to read), [`Filter`].
//!
//! Rules: DESIGN §3 (commit, log, index, feed, journal), spec/privacy.md §8-§10 (filters, audit, epochs),
//! spec/fhir-server.md §12, §15 (invariants).

pub mod api;
pub mod backup;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod journal;
mod pack;
pub mod postgres;
pub mod sqlite;

pub use api::*;
