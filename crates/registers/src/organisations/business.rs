//! One organisation or unit.

use super::hours::OpeningHours;
use crate::directory::ServiceCode;
use crate::kernel::identifiers::{Claims, Packed};
use crate::kernel::log::Content;
use crate::kernel::period::{Moment, Period};
use crate::parties::{ElectronicAddress, PhysicalAddress};
use serde::{Deserialize, Serialize};

/// Repository of the register.
pub const REPOSITORY: &str = "organisations";

/// Where it is, in millionths of a degree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coordinates {
    /// Latitude, north.
    pub latitude_udeg: i32,
    /// Longitude, east.
    pub longitude_udeg: i32,
}

/// An organisation (main unit) or one of its sub units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Business {
    /// Organisation number.
    pub orgnr: String,
    /// Name in Enhetsregisteret.
    pub name: String,
    /// Name to show, when it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Main unit of a sub unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Kinds as in facts.json (`gp_office`, …).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<String>,
    /// Type of list 9040; absent on a unit = the main unit's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub type_code: Option<String>,
    /// HER-id of its level-1 party.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub her_id: Option<u32>,
    /// Unit of the specialist health service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resh: Option<u32>,
    /// Industry codes (SN2007).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub industry: Vec<String>,
    /// Institutional sector code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sector: Option<String>,
    /// Owned by the state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_government: Option<bool>,
    /// Municipality of list 3402.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub municipality: Option<String>,
    /// Addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub physical: Vec<PhysicalAddress>,
    /// Telephone, mail, web.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub electronic: Vec<ElectronicAddress>,
    /// Properties, as codes of lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<ServiceCode>,
    /// Opening hours; absent = the main unit's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<OpeningHours>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinates: Option<Coordinates>,
    /// When it exists; struck off from the end on.
    #[serde(default)]
    pub valid: Period,
    /// Approved to use the national services.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approved: bool,
    /// Key in the demo story.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub story: Option<String>,
    /// When it was last changed.
    pub changed: Moment,
}

impl Business {
    /// With a number and a name only.
    #[must_use]
    pub fn new(orgnr: &str, name: &str, at: Moment) -> Self {
        Self {
            orgnr: orgnr.to_owned(),
            name: name.to_owned(),
            display_name: None,
            parent: None,
            kinds: Vec::new(),
            type_code: None,
            her_id: None,
            resh: None,
            industry: Vec::new(),
            sector: None,
            is_government: None,
            municipality: None,
            physical: Vec::new(),
            electronic: Vec::new(),
            properties: Vec::new(),
            hours: None,
            coordinates: None,
            valid: Period::ALWAYS,
            approved: false,
            story: None,
            changed: at,
        }
    }

    /// Organisation number as services show it: negative once the unit is struck off. 0 when it is no number.
    #[must_use]
    pub fn shown_number(&self, now: Moment) -> i64 {
        let number: i64 = self.orgnr.parse().unwrap_or(0);
        if self.valid.contains(now) {
            number
        } else {
            -number
        }
    }
}

/// What happened to an organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BusinessEvent {
    /// It is new.
    #[serde(rename = "c")]
    Created,
    /// Something about it changed.
    #[serde(rename = "u")]
    Updated,
}

impl Content for Business {
    type Kind = BusinessEvent;
    const REPOSITORY: &'static str = REPOSITORY;

    fn claims(&self) -> Claims {
        Claims {
            identifiers: Packed::digits(&self.orgnr)
                .map(|number| (number, self.valid.to.is_none(), self.valid))
                .into_iter()
                .collect(),
            merged_into: None,
        }
    }

    fn events(before: Option<&Self>, _after: &Self) -> Vec<BusinessEvent> {
        vec![match before {
            None => BusinessEvent::Created,
            Some(_) => BusinessEvent::Updated,
        }]
    }
}
