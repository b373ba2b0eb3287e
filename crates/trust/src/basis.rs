//! Access basis and purpose, with every national spelling (spec/privacy.md §2.3, §2.4).

use serde::{Deserialize, Serialize};

/// On what ground somebody asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Basis {
    /// UNNTAK: a rule entitles the caller (GP of the patient, regulation table).
    Exception,
    /// SAMTYKKE.
    Consent,
    /// AKUTT.
    Emergency,
    /// FORHOYET_SAMTYKKE: also opens restricted parts.
    ElevatedConsent,
    /// FORHOYET_AKUTT: also opens restricted parts.
    ElevatedEmergency,
    /// Health Personnel Act §45; only document sharing.
    Law45,
    /// None given: own data, operators, status calls.
    None,
}

impl Basis {
    /// Every basis.
    pub const ALL: [Self; 7] = [
        Self::Exception,
        Self::Consent,
        Self::Emergency,
        Self::ElevatedConsent,
        Self::ElevatedEmergency,
        Self::Law45,
        Self::None,
    ];

    /// Reads a header, portal, medicine-query, PPS or acp spelling: trimmed, any case. Anything else: `None` (→ 400).
    pub fn parse(text: &str) -> Option<Self> {
        const ACP: &str = "7.2.1.";
        let text = text.trim();
        if let Some((_, last)) = text.rsplit_once(ACP) {
            return match last {
                "4" => Some(Self::Exception),
                "8" => Some(Self::Consent),
                "6" => Some(Self::Emergency),
                "5" => Some(Self::ElevatedConsent),
                "7" => Some(Self::ElevatedEmergency),
                _ => None,
            };
        }
        match text.to_uppercase().as_str() {
            "UNNTAK" | "HPUNNTAK" | "0" => Some(Self::Exception),
            "SAMTYKKE" | "HPMOTTATTSAMTYKKE" | "1" => Some(Self::Consent),
            "AKUTT" | "HPAKUTT" | "2" => Some(Self::Emergency),
            "FORHOYET_SAMTYKKE" => Some(Self::ElevatedConsent),
            "FORHOYET_AKUTT" => Some(Self::ElevatedEmergency),
            _ => None,
        }
    }

    /// The header spelling.
    pub fn code(self) -> &'static str {
        match self {
            Self::Exception => "UNNTAK",
            Self::Consent => "SAMTYKKE",
            Self::Emergency => "AKUTT",
            Self::ElevatedConsent => "FORHOYET_SAMTYKKE",
            Self::ElevatedEmergency => "FORHOYET_AKUTT",
            Self::Law45 => "LOV45",
            Self::None => "",
        }
    }

    /// FORHOYET_*.
    pub fn is_elevated(self) -> bool {
        matches!(self, Self::ElevatedConsent | Self::ElevatedEmergency)
    }

    /// AKUTT or FORHOYET_AKUTT.
    pub fn is_emergency(self) -> bool {
        matches!(self, Self::Emergency | Self::ElevatedEmergency)
    }
}

/// Why the data are wanted (spec/privacy.md §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Purpose {
    Treat,
    EmergencyTreat,
    Coordination,
    BreakGlass,
    PatientRequest,
    FamilyRequest,
    AttorneyRequest,
    Dispense,
    Settlement,
    MessageExchange,
    PublicHealth,
    Incident,
    Research,
    Quality,
    Operate,
    Audit,
}

impl Purpose {
    /// Reads a purpose_of_use code or SAML word; unknown: `None` (→ deny).
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.trim() {
            "TREAT" | "CAREMGT" | "1" => Self::Treat,
            "ETREAT" | "2" => Self::EmergencyTreat,
            "COC" | "5" => Self::Coordination,
            "BTG" => Self::BreakGlass,
            "PATRQT" => Self::PatientRequest,
            "FAMRQT" => Self::FamilyRequest,
            "PWATRNY" => Self::AttorneyRequest,
            _ => return None,
        })
    }

    /// Whether basis and purpose belong together; a mismatch is put on the review list, not refused.
    pub fn fits(self, basis: Basis) -> bool {
        match basis {
            Basis::Emergency | Basis::ElevatedEmergency => {
                matches!(self, Self::EmergencyTreat | Self::BreakGlass)
            }
            Basis::Exception | Basis::Consent | Basis::ElevatedConsent | Basis::Law45 => {
                matches!(self, Self::Treat | Self::Coordination)
            }
            Basis::None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_basis_are_one_basis() {
        for text in [
            "UNNTAK",
            " unntak ",
            "HPUNNTAK",
            "0",
            "urn:oid:2.16.578.1.12.4.1.7.2.1.4",
        ] {
            assert_eq!(Basis::parse(text), Some(Basis::Exception), "{text}");
        }
        for text in ["", "AKUT", "3", "FORHØYET", "LOV45"] {
            assert_eq!(Basis::parse(text), None, "{text}");
        }
    }
}
