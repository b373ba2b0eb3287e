//! Units of the specialist health service (RESH).

use crate::kernel::identifiers::{Claims, Packed};
use crate::kernel::log::Content;
use crate::kernel::memory::MemoryRegister;
use crate::kernel::period::{Moment, Period};
use serde::{Deserialize, Serialize};

/// Repository of the register.
pub const REPOSITORY: &str = "resh";

/// The register: [`MemoryRegister::find`] with the packed id.
pub type Resh = MemoryRegister<ReshUnit>;

/// One unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReshUnit {
    /// RESH id.
    pub id: u32,
    /// Name.
    pub name: String,
    /// Unit above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u32>,
    /// Organisation number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orgnr: Option<String>,
    /// Level of list 8628.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// Designation of list 8624.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub designation: Option<String>,
    /// HER-id of the service at this unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub her_id: Option<u32>,
    /// When it exists.
    #[serde(default)]
    pub valid: Period,
    /// When it was last changed.
    pub changed: Moment,
}

/// What happened to a unit (spec/grunndata.md §8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReshEvent {
    /// It is new.
    pub is_new: bool,
    /// Which kind of unit.
    pub of: UnitKind,
    /// RESH id.
    pub id: u32,
}

/// Kinds of units that events tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnitKind {
    /// The top.
    Organisation,
    /// Below it, with units of its own or none.
    Department,
    /// A service with a communication party.
    Service,
}

impl ReshEvent {
    /// Name on the wire.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match (self.of, self.is_new) {
            (UnitKind::Organisation, true) => "OrganizationCreated",
            (UnitKind::Organisation, false) => "OrganizationUpdated",
            (UnitKind::Department, true) => "DepartmentCreated",
            (UnitKind::Department, false) => "DepartmentUpdated",
            (UnitKind::Service, true) => "ServiceCreated",
            (UnitKind::Service, false) => "ServiceUpdated",
        }
    }
}

impl ReshUnit {
    fn unit_kind(&self) -> UnitKind {
        match (self.parent, self.her_id) {
            (_, Some(_)) => UnitKind::Service,
            (None, None) => UnitKind::Organisation,
            (Some(_), None) => UnitKind::Department,
        }
    }
}

impl Content for ReshUnit {
    type Kind = ReshEvent;
    const REPOSITORY: &'static str = REPOSITORY;

    fn claims(&self) -> Claims {
        Claims {
            identifiers: vec![(Packed(self.id.into()), true, self.valid)],
            merged_into: None,
        }
    }

    fn events(before: Option<&Self>, after: &Self) -> Vec<ReshEvent> {
        vec![ReshEvent {
            is_new: before.is_none(),
            of: after.unit_kind(),
            id: after.id,
        }]
    }
}
