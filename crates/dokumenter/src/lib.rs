//! Dokumenter: letters between health services as documents. Takes in epikrise 1.2, keeps a DocumentReference and the
//! original byte for byte, shows them to the citizen and offers them to the core record.
//!
//! Data controller: PJD. It deliberately knows nothing of transport, encryption or pages, and never rewrites a letter.
//!
//! Read first: [`Dokumenter`], [`project`], [`views`].
//!
//! Invariants: the bytes a citizen downloads are the bytes that were signed (SHA-256 stands with the document); one document
//! per (sender, letter), a correction is a new version of it.
//!
//! Rules: spec/documents.md §2.4, §4; spec/story.md §6.1, §7; spec/portals.md §3.3; spec/privacy.md §2.6, §7.3.

pub mod intake;
pub mod project;
pub mod views;

use records::intake::Receiver;
use records::source::{RecordSource, StoreSource};
use std::sync::Arc;
use store::{RepoId, StoreError};
use trust::{Class, Controller, Part, Trust};

pub use views::Original;

/// Repository of documents.
pub const REPOSITORY: &str = "dokumenter";
/// HER-id of the hub's intake (spec/story.md §4).
pub const HER_ID: u32 = 8_900_009;

/// The service.
pub struct Dokumenter {
    trust: Arc<Trust>,
    repo: RepoId,
}

impl Dokumenter {
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
            key: "documents",
            controller: Controller::PJD,
            repo: self.repo,
            classes: classes(),
        })
    }
}

/// Classes of this service's records.
pub fn classes() -> Vec<Class> {
    Class::ALL
        .iter()
        .copied()
        .filter(|c| c.part() == Part::Documents)
        .collect()
}
