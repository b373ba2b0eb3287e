//! What the register holds.

use crate::kernel::EntryId;
use crate::kernel::identifiers::Claims;
use crate::kernel::log::Content;
use crate::kernel::period::{Moment, Period};
use crate::personnel::Short;
use serde::{Deserialize, Serialize};

/// Repository of the register.
pub const REPOSITORY: &str = "positions";

/// A position for training in a speciality.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Position {
    /// Its number; given by the register.
    pub id: u32,
    /// Speciality (7426).
    pub speciality: Short,
    /// Organisation number of the employer.
    pub employer: u32,
    /// Unit of the specialist health service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resh: Option<u32>,
    /// What kind of position: `LIS1` (internship), `LIS2` and `LIS3` (training).
    pub category: Short,
    /// The approval of the unit it rests on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<u32>,
    /// When it exists.
    pub valid: Period,
    /// Last change.
    pub updated: Moment,
}

/// Somebody in a position for a time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Employment {
    /// Its number; given by the register.
    pub id: u32,
    /// The position.
    pub position: u32,
    /// HPR number of who holds it.
    pub hpr: u32,
    /// When.
    pub valid: Period,
    /// Per cent of the position, 1 to 100.
    pub percentage: u8,
    /// Last change.
    pub updated: Moment,
}

/// The approval of a unit for training in a speciality.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Approval {
    /// Its number; given by the register.
    pub id: u32,
    /// Speciality (7426).
    pub speciality: Short,
    /// Organisation number of the unit.
    pub unit: u32,
    /// Unit of the specialist health service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resh: Option<u32>,
    /// When it holds.
    pub valid: Period,
    /// Last change.
    pub updated: Moment,
}

/// How many new positions of a speciality an employer may make in a year.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Distribution {
    /// Its number; given by the register.
    pub id: u32,
    /// The year.
    pub year: i16,
    /// Organisation number of the employer.
    pub employer: u32,
    /// Speciality (7426).
    pub speciality: Short,
    /// So many.
    pub positions: u16,
    /// It was taken back.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// Last change.
    pub updated: Moment,
}

/// An entry of the register.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Record {
    Position(Position),
    Employment(Employment),
    Approval(Approval),
    Distribution(Distribution),
}

/// What kind of entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Kind {
    Position = 1,
    Employment = 2,
    Approval = 3,
    Distribution = 4,
}

impl Record {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Position(_) => Kind::Position,
            Self::Employment(_) => Kind::Employment,
            Self::Approval(_) => Kind::Approval,
            Self::Distribution(_) => Kind::Distribution,
        }
    }

    /// Its number within its kind.
    #[must_use]
    pub fn number(&self) -> u32 {
        match self {
            Self::Position(p) => p.id,
            Self::Employment(e) => e.id,
            Self::Approval(a) => a.id,
            Self::Distribution(d) => d.id,
        }
    }

    pub(super) fn set_number(&mut self, number: u32) {
        match self {
            Self::Position(p) => p.id = number,
            Self::Employment(e) => e.id = number,
            Self::Approval(a) => a.id = number,
            Self::Distribution(d) => d.id = number,
        }
    }

    /// Id of the entry with a number.
    #[must_use]
    pub fn id_of(kind: Kind, number: u32) -> EntryId {
        EntryId((kind as u128) << 64 | u128::from(number))
    }
}

/// What happened (spec/grunndata.md §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum PositionEvent {
    ApprovalCreated,
    ApprovalUpdated,
    DistributionCreated,
    DistributionUpdated,
    DistributionDeleted,
    EmploymentCreated,
    EmploymentUpdated,
    PositionCreated,
    PositionUpdated,
}

impl PositionEvent {
    /// As subscribers see it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ApprovalCreated => "ApprovalCreated",
            Self::ApprovalUpdated => "ApprovalUpdated",
            Self::DistributionCreated => "DistributionCreated",
            Self::DistributionUpdated => "DistributionUpdated",
            Self::DistributionDeleted => "DistributionDeleted",
            Self::EmploymentCreated => "EmploymentCreated",
            Self::EmploymentUpdated => "EmploymentUpdated",
            Self::PositionCreated => "PositionCreated",
            Self::PositionUpdated => "PositionUpdated",
        }
    }
}

impl Content for Record {
    type Kind = PositionEvent;
    const REPOSITORY: &'static str = REPOSITORY;

    /// Entries are found by their ids, which are made of their numbers.
    fn claims(&self) -> Claims {
        Claims::default()
    }

    fn events(before: Option<&Self>, after: &Self) -> Vec<PositionEvent> {
        let is_new = before.is_none();
        vec![match after {
            Self::Position(_) if is_new => PositionEvent::PositionCreated,
            Self::Position(_) => PositionEvent::PositionUpdated,
            Self::Employment(_) if is_new => PositionEvent::EmploymentCreated,
            Self::Employment(_) => PositionEvent::EmploymentUpdated,
            Self::Approval(_) if is_new => PositionEvent::ApprovalCreated,
            Self::Approval(_) => PositionEvent::ApprovalUpdated,
            Self::Distribution(_) if is_new => PositionEvent::DistributionCreated,
            Self::Distribution(d) if d.deleted => PositionEvent::DistributionDeleted,
            Self::Distribution(_) => PositionEvent::DistributionUpdated,
        }]
    }
}
