//! What the register of subscriptions holds, and which events there are.

use registers::kernel::identifiers::{Claims, Packed};
use registers::kernel::log::Content;
use registers::kernel::period::{Moment, Period};
use serde::{Deserialize, Serialize};

/// Repository of the register.
pub const REPOSITORY: &str = "subscriptions";

/// Where events come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Source {
    /// Address register.
    AddressRegister,
    /// Units of the specialist health service.
    Resh,
    /// Personnel.
    Hpr,
    /// Positions.
    Lsr,
    /// Collaboration protocols.
    Cppa,
    /// GP lists: no longer in the national service's enumeration, so it stands last in ours.
    Flr,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::AddressRegister,
        Self::Resh,
        Self::Hpr,
        Self::Lsr,
        Self::Cppa,
        Self::Flr,
    ];

    /// Name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AddressRegister => "AddressRegister",
            Self::Resh => "Resh",
            Self::Hpr => "Hpr",
            Self::Lsr => "Lsr",
            Self::Cppa => "Cppa",
            Self::Flr => "Flr",
        }
    }

    /// By name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }

    /// Its events (spec/grunndata.md §4.6, §5.4, §6, §8, §9).
    #[must_use]
    pub fn events(self) -> &'static [&'static str] {
        match self {
            Self::AddressRegister => &[
                "CommunicationPartyCreated",
                "CommunicationPartyUpdated",
                "CommunicationPartyTransportEnabled",
            ],
            Self::Resh => &[
                "OrganizationCreated",
                "OrganizationUpdated",
                "DepartmentCreated",
                "DepartmentUpdated",
                "ServiceCreated",
                "ServiceUpdated",
                "ReshUnitUpdated",
            ],
            Self::Hpr => &[
                "PersonCreated",
                "PersonUpdated",
                "PersonDeleted",
                "HprNumbersMerged",
                "SpecialCompetenceAdded",
                "UtdanningsinstitusjonCreated",
                "UtdanningsinstitusjonUpdated",
                "UtdanningsinstitusjonDeleted",
                "HelsepersonellkategorierSomTillaterTurnusUpdated",
            ],
            Self::Lsr => &[
                "ApprovalCreated",
                "ApprovalUpdated",
                "DistributionCreated",
                "DistributionUpdated",
                "DistributionDeleted",
                "EmploymentCreated",
                "EmploymentUpdated",
                "PositionCreated",
                "PositionUpdated",
            ],
            Self::Cppa => &["CppUpdated", "CpaCreated", "CpaTerminated"],
            Self::Flr => &[
                "ContractCreated",
                "ContractUpdated",
                "ContractCanceled",
                "GPOnContractCreated",
                "GPOnContractUpdated",
                "GPOnContractDeleted",
                "PatientOnContractCreated",
                "PatientOnContractUpdated",
                "PatientOnContractCanceled",
                "PatientNinChanged",
                "OutOfOfficeLocationCreated",
                "OutOfOfficeLocationUpdated",
                "OutOfOfficeLocationDeleted",
            ],
        }
    }
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Queue.
    pub queue: String,
    /// Where events come from.
    pub source: Source,
    /// Only this event; absent = all of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// The subscriber's system.
    pub ident: String,
    /// The subscriber.
    pub user: String,
    /// When it was made.
    pub created: Moment,
    /// When it was ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Moment>,
}

impl Subscription {
    /// Whether it wants an event. What the source is not known to tell is the register's own business.
    #[must_use]
    pub fn wants(&self, source: Source, event: &str) -> bool {
        self.source == source
            && source.events().contains(&event)
            && self.event.as_ref().is_none_or(|e| e == event)
    }
}

/// A queue name as an identifier: eight bytes of its digest.
pub(super) fn key(queue: &str) -> Packed {
    let digest = store::sha256(queue.as_bytes());
    let first = digest.first_chunk::<8>().copied().unwrap_or_default();
    Packed(u64::from_be_bytes(first))
}

/// Nobody follows subscriptions but the hub itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed;

impl Content for Subscription {
    type Kind = Changed;
    const REPOSITORY: &'static str = REPOSITORY;

    fn claims(&self) -> Claims {
        Claims {
            identifiers: vec![(key(&self.queue), true, Period::ALWAYS)],
            merged_into: None,
        }
    }

    fn events(_before: Option<&Self>, _after: &Self) -> Vec<Changed> {
        vec![Changed]
    }
}
