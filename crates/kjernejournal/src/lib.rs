//! Kjernejournal: the core record that personnel see across organisations. Its own content is critical information;
//! everything else is asked live from the other services' sources, and copied never.
//!
//! Data controller: KJ. It deliberately knows none of the other services: they come as [`records::source::RecordSource`]s.
//!
//! Read first: [`summary::SummaryView`], [`find`], [`critical`].
//!
//! Invariants: nothing clinical before patient and basis are chosen; each source has its own decision, state and log
//! line; a refusal says only what spec/privacy.md §4.1 lets it say, and is the same for a person with and without data.
//!
//! Rules: spec/kjernejournal.md §3-§4, §10-§11, spec/portals.md §4, spec/privacy.md §4, §5, §7.1.

pub mod critical;
pub mod find;
pub mod rules;
pub mod summary;
pub mod write;

use critical::CriticalPanel;
use edge::Problem;
use records::source::{RecordSource, StoreSource, ViewContext};
use std::sync::Arc;
use store::StoreError;
use trust::{Class, Controller, Trust};

/// Repository of critical information.
pub const REPOSITORY: &str = "kjernejournal";

/// The service.
pub struct Kjernejournal {
    trust: Arc<Trust>,
    sources: Vec<Arc<dyn RecordSource>>,
}

impl Kjernejournal {
    /// The service with the other services' sources, in the order the page shows them. Its own source comes first.
    pub fn new(trust: Arc<Trust>, others: Vec<Arc<dyn RecordSource>>) -> Result<Self, StoreError> {
        let own: Arc<dyn RecordSource> = Arc::new(StoreSource {
            key: critical::SOURCE_KEY,
            controller: Controller::KJ,
            repo: trust.store().repo(REPOSITORY)?,
            classes: critical_classes(),
        });
        Ok(Self {
            trust,
            sources: std::iter::once(own).chain(others).collect(),
        })
    }

    /// Critical information as its citizen sees it: explicit when there is none.
    pub fn critical_for_citizen(&self, context: &ViewContext) -> Result<CriticalPanel, Problem> {
        let own = self.sources.first().ok_or_else(Problem::internal)?;
        Ok(critical::panel(&own.view(context)?, self.trust.now()))
    }

    /// The decision maker.
    pub fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }
}

/// The classes of critical information.
pub fn critical_classes() -> Vec<Class> {
    Class::ALL
        .iter()
        .copied()
        .filter(|c| c.part() == trust::Part::Critical)
        .collect()
}
