//! Helsenorge: what a citizen meets. Login, who has looked, who may look, notices.
//!
//! Data controller of inbox and settings is the hub's operator; the settings themselves belong to the citizen and are
//! kept by `trust`. It deliberately knows nothing of results, letters or the core record: those services offer their own
//! views, and the portal puts them on one page.
//!
//! Read first: [`Helsenorge`], [`access::AccessView`], [`usage_log::LogView`].
//!
//! Invariants: every function decides through `trust` and leaves a line ("Du selv"); a setting takes effect with its
//! commit, and the notice of it is in the same commit; nothing here can be done for somebody else yet (representation
//! has its own issue).
//!
//! Rules: spec/helsenorge.md §2, spec/privacy.md §2.7, §9.2, §9.4, §10, spec/portals.md §3.4-§3.5.

pub mod access;
pub mod login;
pub mod notices;
pub mod proof;
pub mod usage_log;

use edge::Problem;
use std::sync::Arc;
use store::{PersonKey, RepoId, Snapshot, Store, StoreError};
use trust::gather::SubjectRef;
use trust::{Access, Action, Ask, Basis, Class, Controller, Decided, Interface, Principal, Trust};

/// Repository of notices.
pub const REPOSITORY: &str = "helsenorge";

/// The service.
pub struct Helsenorge {
    trust: Arc<Trust>,
    repo: RepoId,
}

/// A citizen in her own session.
#[derive(Clone)]
pub struct Citizen {
    /// National id of the session.
    pub nin: String,
    /// Her key.
    pub key: PersonKey,
}

impl std::fmt::Debug for Citizen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Citizen({})", self.key.0)
    }
}

impl Helsenorge {
    /// The service over the hub's decision maker.
    pub fn new(trust: Arc<Trust>) -> Result<Self, StoreError> {
        let repo = trust.store().repo(REPOSITORY)?;
        Ok(Self { trust, repo })
    }

    /// The citizen behind a session.
    pub fn citizen(&self, nin: &str) -> Result<Citizen, StoreError> {
        Ok(Citizen {
            nin: nin.to_owned(),
            key: self.store().intern_person(registers::FNR_SYSTEM, nin)?,
        })
    }

    fn store(&self) -> &Store {
        self.trust.store()
    }

    /// Decides on an act of a citizen on her own data; a denial is the citizen's "not available".
    fn decide(
        &self,
        snapshot: &Snapshot,
        citizen: &Citizen,
        action: Action,
        class: Class,
        api: &str,
    ) -> Result<Decided, Problem> {
        let principal = Principal::Citizen {
            nin: citizen.nin.clone(),
            acting: None,
        };
        let ask = Ask::read(Interface::CitizenPortal, Controller::HN, Basis::None)
            .with_action(action)
            .with_classes([class]);
        let mut access = Access::new(
            principal,
            Some(SubjectRef::Nin(citizen.nin.clone())),
            ask,
            "helsenorge",
        );
        access.api = api.to_owned();
        let decided = self.trust.decide(snapshot, &access)?;
        if decided.is_allowed() {
            Ok(decided)
        } else {
            self.trust.record(&decided, &[])?;
            Err(Problem::not_found())
        }
    }
}
