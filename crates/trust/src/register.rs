//! The decision on the person register for systems (spec/privacy.md §7.5): what a caller with or without a legal basis
//! may be shown of a person, by her address protection. Citizens' settings do not touch the register.
//!
//! Plain tables: the register is read many thousand times a second, and nothing but the caller's ground and the person's
//! own level decides.

use registers::persons::codes::{PersonStatus, ProtectionLevel};

/// On what ground a system looks up a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PersonGround {
    /// Open parts only.
    NoLegalBasis,
    /// A law gives access to confidential parts.
    LegalBasis,
}

impl PersonGround {
    /// Whether an address may be shown; `level` is the stricter of the person's level and the address's own grading.
    /// With it goes everything that tells where she lives: municipality, districts, statistical unit.
    #[must_use]
    pub fn shows_address(self, level: ProtectionLevel) -> bool {
        match level {
            ProtectionLevel::Unclassified => true,
            ProtectionLevel::ClientAddress | ProtectionLevel::Confidential => {
                self == Self::LegalBasis
            }
            ProtectionLevel::StrictlyConfidential => false,
        }
    }

    /// Whether a status may be shown (spec/grunndata.md §3.4, row Status).
    #[must_use]
    pub fn shows_status(self, status: PersonStatus) -> bool {
        let is_open = matches!(
            status,
            PersonStatus::Resident
                | PersonStatus::Emigrated
                | PersonStatus::Deceased
                | PersonStatus::Discontinued
                | PersonStatus::Inactive
        );
        is_open || self == Self::LegalBasis
    }

    /// Whether confidential parts (family, spouse, stay, identity documents, …) may be shown.
    #[must_use]
    pub fn shows_confidential_parts(self) -> bool {
        self == Self::LegalBasis
    }
}

/// Whether a look-up of a person of this level is in the access journal, durable and with its purpose, before the answer
/// goes out; others follow within a second (spec/privacy.md §9.1).
#[must_use]
pub fn is_recorded_first(level: ProtectionLevel) -> bool {
    level != ProtectionLevel::Unclassified
}

#[cfg(test)]
mod tests {
    use super::*;
    use PersonGround::{LegalBasis, NoLegalBasis};

    #[test]
    fn the_table_of_addresses() {
        for (level, without, with, first) in [
            (ProtectionLevel::Unclassified, true, true, false),
            (ProtectionLevel::ClientAddress, false, true, true),
            (ProtectionLevel::Confidential, false, true, true),
            (ProtectionLevel::StrictlyConfidential, false, false, true),
        ] {
            assert_eq!(NoLegalBasis.shows_address(level), without, "{level:?}");
            assert_eq!(LegalBasis.shows_address(level), with, "{level:?}");
            assert_eq!(is_recorded_first(level), first, "{level:?}");
        }
    }

    #[test]
    fn the_table_of_statuses() {
        let open: Vec<&str> = PersonStatus::ALL
            .iter()
            .filter(|s| NoLegalBasis.shows_status(**s))
            .map(|s| s.name())
            .collect();
        let expected = [
            "Resident",
            "Emigrated",
            "Deceased",
            "Discontinued",
            "Inactive",
        ];
        assert_eq!(open, expected);
        assert!(
            PersonStatus::ALL
                .iter()
                .all(|s| LegalBasis.shows_status(*s))
        );
        assert!(!NoLegalBasis.shows_confidential_parts() && LegalBasis.shows_confidential_parts());
    }
}
