//! What the address register holds about one communication party.

use crate::directory::{PartyKind, ServiceCode};
use crate::kernel::identifiers::{Claims, Packed};
use crate::kernel::log::Content;
use crate::kernel::period::{Moment, Period};
use serde::{Deserialize, Serialize};

/// Repository of the register.
pub const REPOSITORY: &str = "parties";

/// An electronic address of the party itself; inherited ones are worked out on reading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElectronicAddress {
    /// Type of list 9044 (`E_EDI`, `E_SB_ASYNC`, …).
    pub code: String,
    /// Address.
    pub address: String,
    /// When it was last changed.
    pub changed: Moment,
    /// Holds from this instant on; absent = at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Moment>,
}

/// A postal or visiting address of the party itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhysicalAddress {
    /// Type of list 3401 (`RES` visiting, `PST` postal).
    pub code: String,
    /// Street and number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub street: Option<String>,
    /// Post box.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postbox: Option<String>,
    /// Four-digit postcode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postcode: Option<String>,
    /// Postal place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// Country of list 9043.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// When it was last changed.
    pub changed: Moment,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CertificateUse {
    /// Others seal to the party with it.
    Encryption,
    /// The party signs with it.
    Signing,
}

/// A certificate in the party's history; the newest that holds is in use.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateLine {
    /// What for.
    #[serde(rename = "use")]
    pub purpose: CertificateUse,
    /// The certificate, DER.
    #[serde(with = "der_hex")]
    pub der: Vec<u8>,
    /// Serial number, decimal, as directory addresses write it.
    pub serial: String,
    /// Common name of the subject.
    pub name: String,
    /// Valid from, seconds since 1970.
    pub not_before_s: i64,
    /// Valid until, seconds since 1970.
    pub not_after_s: i64,
    /// SHA-1 thumbprint, hexadecimal in upper case.
    pub thumbprint: String,
    /// When it was registered.
    pub since: Moment,
}

impl std::fmt::Debug for CertificateLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CertificateLine({:?}, {})", self.purpose, self.serial)
    }
}

impl CertificateLine {
    /// Reads the facts out of a certificate; `None` when it is not one.
    #[must_use]
    pub fn read(purpose: CertificateUse, der: &[u8], since: Moment) -> Option<Self> {
        let certificate = xmlsec::x509::Certificate::from_der(der).ok()?;
        Some(Self {
            purpose,
            der: der.to_vec(),
            serial: decimal(certificate.serial()),
            name: certificate.common_name().unwrap_or_default().to_owned(),
            not_before_s: certificate.not_before_unix_s(),
            not_after_s: certificate.not_after_unix_s(),
            thumbprint: certificate.thumbprint_sha1().to_uppercase(),
            since,
        })
    }
}

/// Big-endian bytes as a decimal number.
fn decimal(bytes: &[u8]) -> String {
    let mut digits: Vec<u8> = vec![0];
    for byte in bytes {
        let mut carry = u32::from(*byte);
        for digit in &mut digits {
            let value = u32::from(*digit) * 256 + carry;
            *digit = u8::try_from(value % 10).unwrap_or_default();
            carry = value / 10;
        }
        while carry > 0 {
            digits.push(u8::try_from(carry % 10).unwrap_or_default());
            carry /= 10;
        }
    }
    digits.iter().rev().map(|d| char::from(b'0' + d)).collect()
}

/// A communication party.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartyRecord {
    /// HER-id.
    pub her_id: u32,
    /// HER-id of the organisation above; absent on level 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u32>,
    /// Kind.
    pub kind: PartyKind,
    /// Name.
    pub name: String,
    /// Name to show, when it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Organisation number of the level-1 organisation.
    pub orgnr: String,
    /// When the party may be used.
    #[serde(default)]
    pub valid: Period,
    /// Municipality of list 3402.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub municipality: Option<String>,
    /// Own electronic addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub electronic: Vec<ElectronicAddress>,
    /// Own physical addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub physical: Vec<PhysicalAddress>,
    /// Properties, as codes of lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<ServiceCode>,
    /// Attributes that subscribers have put on it, as codes of lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<ServiceCode>,
    /// Certificates, earlier ones included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateLine>,
    /// Organisation: type of list 9040.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub business_type: Option<String>,
    /// Organisation: industry codes (SN2007).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub industry: Vec<String>,
    /// Organisation: HER-ids of the inter-municipal bodies it takes part in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub iks: Vec<u32>,
    /// Organisation: HER-id of the organisation that owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<u32>,
    /// Organisation: transports that are enabled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transports: Vec<String>,
    /// Service: code of service-based addressing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceCode>,
    /// Service: description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Service: where it is, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Service: HER-ids of the municipalities and bodies it covers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coverage: Vec<u32>,
    /// Person: HPR number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hpr: Option<String>,
    /// Person: title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Run by the hub itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hub_run: bool,
    /// System user who wrote this version, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When it was made.
    pub created: Moment,
    /// When it was last changed.
    pub changed: Moment,
}

impl PartyRecord {
    /// A party with nothing but what every party has.
    #[must_use]
    pub fn new(her_id: u32, kind: PartyKind, name: &str, orgnr: &str, at: Moment) -> Self {
        Self {
            her_id,
            parent: None,
            kind,
            name: name.to_owned(),
            display_name: None,
            orgnr: orgnr.to_owned(),
            valid: Period::ALWAYS,
            municipality: None,
            electronic: Vec::new(),
            physical: Vec::new(),
            properties: Vec::new(),
            attributes: Vec::new(),
            certificates: Vec::new(),
            business_type: None,
            industry: Vec::new(),
            iks: Vec::new(),
            owner: None,
            transports: Vec::new(),
            service: None,
            description: None,
            location: None,
            coverage: Vec::new(),
            hpr: None,
            title: None,
            hub_run: false,
            by: None,
            created: at,
            changed: at,
        }
    }

    /// Name to show.
    #[must_use]
    pub fn shown_name(&self) -> &str {
        self.display_name.as_deref().unwrap_or(&self.name)
    }
}

/// What happened to a party (spec/grunndata.md §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PartyEventKind {
    /// It is new.
    #[serde(rename = "c")]
    Created,
    /// Something about it changed.
    #[serde(rename = "u")]
    Updated,
    /// A transport was enabled.
    #[serde(rename = "t")]
    TransportEnabled,
}

impl PartyEventKind {
    /// Name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "CommunicationPartyCreated",
            Self::Updated => "CommunicationPartyUpdated",
            Self::TransportEnabled => "CommunicationPartyTransportEnabled",
        }
    }
}

/// An event of the register: what, about whom, when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartyEvent {
    /// What.
    #[serde(rename = "k")]
    pub kind: PartyEventKind,
    /// HER-id.
    #[serde(rename = "h")]
    pub her_id: u32,
    /// When.
    #[serde(rename = "t")]
    pub at: Moment,
}

impl Content for PartyRecord {
    type Kind = PartyEvent;
    const REPOSITORY: &'static str = REPOSITORY;

    fn claims(&self) -> Claims {
        Claims {
            identifiers: vec![(Packed(self.her_id.into()), true, Period::ALWAYS)],
            merged_into: None,
        }
    }

    fn events(before: Option<&Self>, after: &Self) -> Vec<PartyEvent> {
        let event = |kind| PartyEvent {
            kind,
            her_id: after.her_id,
            at: after.changed,
        };
        let Some(before) = before else {
            return vec![event(PartyEventKind::Created)];
        };
        let enabled = after
            .transports
            .iter()
            .any(|t| !before.transports.contains(t));
        let mut events = vec![event(PartyEventKind::Updated)];
        if enabled {
            events.push(event(PartyEventKind::TransportEnabled));
        }
        events
    }
}

mod der_hex {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(der: &[u8], s: S) -> Result<S::Ok, S::Error> {
        use std::fmt::Write as _;
        let mut text = String::with_capacity(der.len() * 2);
        for byte in der {
            // Writing into a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        s.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        let nibble = |c: u8| {
            char::from(c)
                .to_digit(16)
                .and_then(|v| u8::try_from(v).ok())
        };
        text.as_bytes()
            .chunks(2)
            .map(|pair| match pair {
                [high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
                _ => None,
            })
            .collect::<Option<Vec<u8>>>()
            .ok_or_else(|| serde::de::Error::custom("not hexadecimal"))
    }
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn serial_numbers_are_written_in_decimal() {
        for (bytes, text) in [
            (&[][..], "0"),
            (&[0], "0"),
            (&[0, 255], "255"),
            (&[1, 0], "256"),
            (
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                "4722366482869645213695",
            ),
        ] {
            assert_eq!(decimal(bytes), text);
        }
    }
}
