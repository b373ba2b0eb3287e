//! FHIR R4 REST over the record store: interactions, query planner, privacy gate, and the sources of cross-service views.
//!
//! It deliberately knows nothing of any one service: repositories are mounted with a [`gate`] and privacy columns, and
//! services offer their records to views as [`source::RecordSource`]s.
//!
//! Read first: [`repository::RepositoryConfig`] and [`http::mount`]; [`gate::Gate`]; [`planner`]; [`write::prepare`];
//! [`source::RecordSource`].
//!
//! Invariants: every read runs under the grant of one decision, made at the same snapshot; a denial that must look like
//! "no data" is a closed filter on the ordinary path, never a branch; an unknown id and a hidden id get one answer; the
//! log line of a read is durable before the answer; conditions of a write travel with its commit. Guarded by `tests/it`.
//!
//! Rules: FHIR R4 (http, search, bundle), spec/fhir-server.md and its choices, spec/privacy.md §4.1 (column inner FHIR),
//! §4.2, §8, §10.4.

pub mod bulk;
mod bundle;
mod carry;
mod change;
pub mod gate;
mod history;
pub mod http;
mod include;
pub mod intake;
mod integrity;
pub mod jobs;
mod metadata;
mod openapi;
mod operations;
pub mod outcome;
pub mod paging;
pub mod params;
mod patch;
pub mod patient;
mod plan;
pub mod planner;
pub mod profiles;
mod provenance;
mod read;
pub mod reindex;
pub mod render;
mod rendered;
pub mod repository;
mod search;
pub mod smart;
pub mod source;
mod subject;
pub mod subscriptions;
mod terminology;
pub mod write;

pub use http::{elsewhere, mount, mount_with_front, router};
pub use repository::RepositoryConfig;
