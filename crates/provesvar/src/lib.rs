//! Prøvesvar: laboratory and radiology results. Takes in svarrapport 1.4, keeps DiagnosticReport and Observation, shows them
//! to the citizen and offers them to the core record.
//!
//! Data controller: PPS. It deliberately knows nothing of transport, encryption or pages.
//!
//! Read first: [`Provesvar`], [`rules`], [`project`].
//!
//! Invariants: one report per (laboratory, ServProvId), for ever; an older GenDate never overwrites a newer one; values are
//! kept as written, never computed; a delayed result does not exist for the citizen before its instant.
//!
//! Rules: spec/nilar.md §2-§3, §5.3, §6; spec/story.md §7; spec/privacy.md §2.6, §7.2.

pub mod intake;
pub mod json;
pub mod project;
pub mod rules;
pub mod views;

use records::intake::Receiver;
use records::source::{RecordSource, StoreSource};
use std::sync::Arc;
use store::{RepoId, StoreError};
use trust::{Class, Controller, Trust};

/// Repository of results.
pub const REPOSITORY: &str = "provesvar";
/// HER-id of the hub's intake (spec/story.md §4).
pub const HER_ID: u32 = 8_900_008;

/// The service.
pub struct Provesvar {
    trust: Arc<Trust>,
    repo: RepoId,
}

impl Provesvar {
    /// The service over the hub's decision maker.
    pub fn new(trust: Arc<Trust>) -> Result<Self, StoreError> {
        let repo = trust.store().repo(REPOSITORY)?;
        Ok(Self { trust, repo })
    }

    /// The intake for the message exchange.
    pub fn receiver(self: &Arc<Self>) -> Arc<dyn Receiver> {
        self.clone()
    }

    /// The source of cross-service views.
    pub fn source(&self) -> Arc<dyn RecordSource> {
        Arc::new(StoreSource {
            key: "results",
            controller: Controller::PPS,
            repo: self.repo,
            classes: classes().to_vec(),
        })
    }
}

/// Classes of this service's records.
pub fn classes() -> [Class; 3] {
    [
        Class::LabReport,
        Class::LabObservation,
        Class::RadiologyReport,
    ]
}
