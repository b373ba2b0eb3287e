//! What the registers of profiles and agreements hold.

use edi::cppa::Taken;
use edi::cppa::document::{Party, Transport};
use registers::kernel::identifiers::{Claims, Packed};
use registers::kernel::log::Content;
use registers::kernel::period::{Moment, Period};
use serde::{Deserialize, Serialize};

/// Repository of profiles.
pub const PROFILES: &str = "cpp";
/// Repository of agreements.
pub const AGREEMENTS: &str = "cpa";

/// A profile (CPP).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// HER-id.
    pub her_id: u32,
    /// Id of this version (UUID).
    pub cppid: String,
    /// Roles, in order; none = no profile.
    pub roles: Vec<Taken>,
    /// When it was last changed.
    pub changed: Moment,
}

/// A profile has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileEvent {
    /// HER-id.
    #[serde(rename = "h")]
    pub her_id: u32,
}

impl Content for Profile {
    type Kind = ProfileEvent;
    const REPOSITORY: &'static str = PROFILES;

    fn claims(&self) -> Claims {
        Claims {
            identifiers: vec![(Packed(self.her_id.into()), true, Period::ALWAYS)],
            merged_into: None,
        }
    }

    fn events(_before: Option<&Self>, after: &Self) -> Vec<ProfileEvent> {
        vec![ProfileEvent {
            her_id: after.her_id,
        }]
    }
}

/// One party of an agreement, as it was when the agreement was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// HER-id.
    pub her_id: u32,
    /// Name.
    pub name: String,
    /// Address for asynchronous messages over the bus.
    pub bus_async: Option<String>,
    /// Address for synchronous messages over the bus.
    pub bus_sync: Option<String>,
    /// Mail address for messages.
    pub mail: Option<String>,
    /// Encryption certificate, base64 of its DER.
    pub encryption: Option<String>,
    /// Signing certificate, base64 of its DER.
    pub signing: Option<String>,
    /// When the first of the two ends, seconds since 1970.
    pub ends_s: Option<i64>,
    /// Roles.
    pub roles: Vec<Taken>,
}

impl Side {
    /// As documents take it, with these roles.
    #[must_use]
    pub fn party(&self, roles: Vec<Taken>) -> Party {
        Party {
            her_id: self.her_id,
            name: self.name.clone(),
            bus_async: self.bus_async.clone(),
            bus_sync: self.bus_sync.clone(),
            mail: self.mail.clone(),
            encryption: self.encryption.clone(),
            signing: self.signing.clone(),
            roles,
        }
    }
}

/// An agreement (CPA) between two parties.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    /// Id (UUID with hyphens, lower case).
    pub id: String,
    /// The party with the lower HER-id.
    pub first: Side,
    /// The other.
    pub second: Side,
    /// Messages go over the bus, otherwise by mail.
    pub over_bus: bool,
    /// When it was made; it holds from then on.
    pub created: Moment,
    /// Until when it was meant to hold.
    pub end: Moment,
    /// When another took its place, or it was revoked.
    pub ended: Option<Moment>,
    /// When one of the parties revoked it.
    pub revoked: Option<Moment>,
}

impl Agreement {
    /// Whether nothing has taken its place.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.ended.is_none()
    }

    /// How messages travel.
    #[must_use]
    pub fn transport(&self) -> Transport {
        if self.over_bus {
            Transport::Amqp
        } else {
            Transport::Smtp
        }
    }
}

/// What happened to an agreement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgreementEvent {
    /// It was made; otherwise it ended.
    #[serde(rename = "n")]
    pub is_new: bool,
    /// HER-ids of its parties.
    #[serde(rename = "h")]
    pub her_ids: [u32; 2],
    /// Its id.
    #[serde(rename = "c")]
    pub id: String,
}

impl AgreementEvent {
    /// Name on the wire.
    #[must_use]
    pub fn name(&self) -> &'static str {
        if self.is_new {
            "CpaCreated"
        } else {
            "CpaTerminated"
        }
    }
}

/// The low half of an id, as an identifier apart from those of pairs.
pub(super) fn low(id: &str) -> u64 {
    let id = id.parse::<uuid::Uuid>().map_or(0, |id| id.as_u64_pair().1);
    id | 1 << 63
}

impl Content for Agreement {
    type Kind = AgreementEvent;
    const REPOSITORY: &'static str = AGREEMENTS;

    fn claims(&self) -> Claims {
        let valid = Period {
            from: Some(self.created),
            to: self.ended,
        };
        let pair = super::pair(self.first.her_id, self.second.her_id);
        Claims {
            identifiers: vec![
                (pair, self.is_current(), valid),
                (Packed(low(&self.id)), false, valid),
            ],
            merged_into: None,
        }
    }

    fn events(before: Option<&Self>, after: &Self) -> Vec<AgreementEvent> {
        vec![AgreementEvent {
            is_new: before.is_none(),
            her_ids: [after.first.her_id, after.second.her_id],
            id: after.id.clone(),
        }]
    }
}
