//! Code values of the person register. Names are those of the national service (spec/grunndata.md §3.4, §3.5); each has a
//! number of its own in the read form, which must never be given to another value.

use serde::{Deserialize, Serialize};

macro_rules! coded {
    ($(#[$meta:meta])* $name:ident { $($(#[$value_meta:meta])* $variant:ident = $code:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[allow(missing_docs)]
        pub enum $name { $($(#[$value_meta])* $variant,)+ }

        impl $name {
            /// All values.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Number in the read form.
            #[must_use]
            pub fn code(self) -> u8 {
                match self { $(Self::$variant => $code,)+ }
            }

            /// By number.
            #[must_use]
            pub fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }

            /// Name as the national service writes it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)+ }
            }

            /// By name, exactly.
            #[must_use]
            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|v| v.name() == name)
            }
        }
    };
}

coded! {
    /// Kind of an identifier.
    IdentifierKind {
        NationalIdentityNumber = 1,
        DNumber = 2,
        /// Felles hjelpenummer.
        AlternateIdentificationNumber = 3,
        /// DUF number of the immigration authorities, 12 digits.
        ImmigrationAuthoritiesNumber = 4,
    }
}

coded! {
    /// Sex as registered.
    Gender { Female = 1, Male = 2, }
}

coded! {
    /// Status in the population register.
    PersonStatus {
        Resident = 1, Emigrated = 2, Disappeared = 3, Deceased = 4, Discontinued = 5, RegisteredAtBirth = 6,
        Temporary = 7, Inactive = 8, NotResident = 9, Active = 10,
    }
}

coded! {
    /// Address protection, ascending (spec/grunndata.md §3.7).
    ProtectionLevel { Unclassified = 1, ClientAddress = 2, Confidential = 3, StrictlyConfidential = 4, }
}

coded! {
    /// Role in a family relation.
    FamilyRole {
        Mother = 1, Father = 2, CoMother = 3, Child = 4, Sibling = 5, SpouseOrPartner = 6, StillbornChild = 7,
    }
}

coded! {
    /// Kind of parental responsibility.
    ResponsibilityType { Joint = 1, Mother = 2, Father = 3, CoMother = 4, Other = 5, Unknown = 6, }
}

coded! {
    /// Marital status.
    MaritalStatusType {
        Unspecified = 1, Unmarried = 2, Married = 3, WidowOrWidower = 4, Divorced = 5, Separated = 6,
        RegisteredPartner = 7, SeparatedPartner = 8, DivorcedPartner = 9, SurvivingPartner = 10,
    }
}

coded! {
    /// Kind of guardianship.
    GuardianshipType {
        SingleMinorAsylumSeeker = 1, SingleMinorRefugee = 2, Adult = 3, TemporaryForAdult = 4, Minor = 5,
        TemporaryForMinor = 6, ManagementOutsideGuardianship = 7, ConfirmedFuturePowerOfAttorney = 8,
    }
}

coded! {
    /// Scope of a guardianship.
    GuardianshipScope {
        ImmigrationPersonalAndFinancialInterests = 1, PersonalAndFinancialInterests = 2, FinancialInterests = 3,
        PersonalInterests = 4,
    }
}

coded! {
    /// Form of an address.
    AddressForm { Street = 1, Cadastral = 2, UnknownResidence = 3, Foreign = 4, }
}

coded! {
    /// Why somebody stays elsewhere than at home (`oppholdAnnetSted`).
    StayElsewhere { Military = 1, Abroad = 2, OnSvalbard = 3, Commuter = 4, }
}

coded! {
    /// Parts of a person document that the register keeps as they came, without a meaning of its own: objects with the
    /// members of the person service (`emigratedToCountry`, …; spec/grunndata.md §3.4), without the six that say when
    /// and why (`registeredAt` … `validTo`), which are the line's own. Days are `YYYY-MM-DD`.
    OtherPart {
        BirthInNorway = 32, CitizenshipRetention = 33, UseOfSamiLanguage = 34, SamiParliamentElectoralRegistryStatus = 35,
        FalseIdentity = 36, IdentityVerification = 37, ImmigrationToNorway = 38, EmigrationFromNorway = 39,
        ResiduaryEstateContactInformation = 40, IdentificationDocument = 41, ResidencePermit = 42, StayOnSvalbard = 43,
        PostalAddress = 44, ForeignPostalAddress = 45, PreferredContactAddress = 46,
        ForeignPersonIdentificationNumber = 47, DeprivedLegalAuthority = 48, CommonContactRegisterInformation = 49,
        LegalAuthority = 50,
    }
}

coded! {
    /// Kinds of events of the person register.
    PersonEvent {
        Unknown = 1, PersonIsCreated = 2, PersonIsReactivated = 3, PersonIsUpdated = 4, PersonIsDiscontinued = 5,
        PersonIsContinuedAsValidUponMerger = 6, PersonIsDiscontinuedAsDuplicate = 7, PersonIsChangedBySplitting = 8,
        PersonIsRestoredBySplitting = 9, PersonIsDeceased = 10, PersonIsResident = 11, PersonIsEmigrated = 12,
        ChangeInStatus = 13, ChangeInIdentityVerification = 14, ChangeInForeignPersonIdentificationNumber = 15,
        ChangeInImmigrationAuthoritiesIdentificationNumber = 16, ChangeInIdentificationDocument = 17,
        ChangeInNorwegianIdentificationNumber = 18, ChangeInFalseIdentity = 19,
        ChangeInResiduaryEstateContactInformation = 20, ChangeInSharedResidence = 21, ChangeInBirth = 22,
        ChangeInBirthInNorway = 23, ChangeInGender = 24, ChangeInFamilyRelation = 25, ChangeInMaritalStatus = 26,
        ChangeInDeath = 27, ChangeInName = 28, ChangeInAddressProtection = 29, ChangeInResidentialAddress = 30,
        ChangeInResidentialAddressWithoutRelocation = 31, ChangeInPresentAddress = 32, ChangeInImmigrationToNorway = 33,
        ChangeInEmigrationFromNorway = 34, ChangeInUseOfSamiLanguage = 35,
        ChangeInSamiParliamentElectoralRegistryStatus = 36, ChangeInContactinformation = 37,
        ChangeInParentalResponsibility = 38, ChangeInCitizenship = 39, ChangeInResidency = 40,
        ChangeInResidencyOnSvalbard = 41, ChangeInGuardianship = 42, ChangeInPerson = 43, PersonCorrected = 44,
        PersonPopulated = 45, ChangeInPostalAddress = 46, ChangeInForeignPostalAddress = 47, ChangeInResidencePermit = 48,
        ChangeInDeprivedLegalAuthority = 49, CreatedAlternateIdentificationNumber = 50,
        UpdatedAlternateIdentificationNumber = 51, ChangeInLegalAuthority = 52,
        ChangeInCommonContactRegisterInformation = 53,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_and_names_go_both_ways() {
        for event in PersonEvent::ALL {
            assert_eq!(PersonEvent::from_code(event.code()), Some(*event));
            assert_eq!(PersonEvent::parse(event.name()), Some(*event));
            let written = serde_json::to_string(event).unwrap();
            assert_eq!(written, format!("\"{}\"", event.name()));
        }
        let codes: BTreeSet<u8> = PersonEvent::ALL.iter().map(|e| e.code()).collect();
        assert_eq!(codes.len(), 53);
        assert_eq!(PersonEvent::from_code(0), None);
    }

    #[test]
    fn protection_ascends() {
        assert!(ProtectionLevel::ALL.is_sorted());
    }
}
