//! Information parts: what a caller asks of a person (spec/grunndata.md §3.4). At least one must be named.

use registers::persons::codes::OtherPart;
use registers::persons::row::tag;

macro_rules! parts {
    ($($part:ident = $property:literal, $confidential:literal, $tag:expr;)+) => {
        /// A part of a person document, named as in the contract.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs)]
        pub enum Part { $($part,)+ }

        impl Part {
            /// All parts, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$part,)+];

            /// Name in `informationParts`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$part => stringify!($part),)+ }
            }

            /// Property of the answer.
            #[must_use]
            pub fn property(self) -> &'static str {
                match self { $(Self::$part => $property,)+ }
            }

            /// Whether the whole part needs a legal basis. Address parts and the status are judged entry by entry.
            #[must_use]
            pub fn is_confidential(self) -> bool {
                match self { $(Self::$part => $confidential,)+ }
            }

            /// Tag of the row part that it is read from.
            fn tag(self) -> u8 {
                match self { $(Self::$part => $tag,)+ }
            }

            /// The part that the register keeps as it came.
            #[must_use]
            pub fn kept(self) -> Option<OtherPart> {
                OtherPart::from_code(self.tag())
            }
        }
    };
}

parts! {
    AddressProtection = "addressProtection", false, tag::PROTECTION;
    CitizenshipRetention = "citizenshipRetention", true, OtherPart::CitizenshipRetention.code();
    ResidentialAddress = "residentialAddress", false, tag::RESIDENTIAL;
    UseOfSamiLanguage = "useOfSamiLanguage", true, OtherPart::UseOfSamiLanguage.code();
    SharedResidence = "sharedResidence", false, tag::SHARED;
    Death = "death", false, tag::DEATH;
    FalseIdentity = "falseIdentity", true, OtherPart::FalseIdentity.code();
    FamilyRelation = "familyRelation", true, tag::FAMILY;
    Birth = "birth", false, tag::BIRTH;
    BirthInNorway = "birthInNorway", false, OtherPart::BirthInNorway.code();
    ParentalResponsibility = "parentalResponsibility", true, tag::PARENTAL;
    SamiParliamentElectoralRegistryStatus = "samiParliamentElectoralRegistryStatus", true,
        OtherPart::SamiParliamentElectoralRegistryStatus.code();
    NorwegianIdentificationNumber = "norwegianIdentificationNumber", false, tag::IDENTIFIERS;
    IdentityVerification = "identityVerification", false, OtherPart::IdentityVerification.code();
    ImmigrationToNorway = "immigrationToNorway", false, OtherPart::ImmigrationToNorway.code();
    Gender = "gender", false, tag::GENDER;
    ResiduaryEstateContactInformation = "residuaryEstateContactInformation", false,
        OtherPart::ResiduaryEstateContactInformation.code();
    IdentificationDocument = "identificationDocument", true, OtherPart::IdentificationDocument.code();
    Name = "name", false, tag::NAME;
    ResidencePermit = "residencePermit", true, OtherPart::ResidencePermit.code();
    StayOnSvalbard = "stayOnSvalbard", true, OtherPart::StayOnSvalbard.code();
    PresentAddress = "presentAddress", false, tag::PRESENT;
    PostalAddress = "postalAddress", false, OtherPart::PostalAddress.code();
    ForeignPostalAddress = "foreignPostalAddress", false, OtherPart::ForeignPostalAddress.code();
    PreferredContactAddress = "preferredContactAddress", false, OtherPart::PreferredContactAddress.code();
    MaritalStatus = "maritalStatus", false, tag::MARITAL;
    Citizenship = "citizenship", false, tag::CITIZENSHIP;
    Status = "status", false, tag::STATUS;
    ForeignPersonIdentificationNumber = "foreignPersonIdentificationNumber", true,
        OtherPart::ForeignPersonIdentificationNumber.code();
    EmigrationFromNorway = "emigrationFromNorway", false, OtherPart::EmigrationFromNorway.code();
    ImmigrationAuthoritiesIdentificationNumber = "immigrationAuthoritiesIdentificationNumber", true, tag::IDENTIFIERS;
    GuardianshipOrFuturePowerOfAttorney = "guardianshipOrFuturePowerOfAttorney", false, tag::GUARDIANSHIP;
    DeprivedLegalAuthority = "deprivedLegalAuthority", false, OtherPart::DeprivedLegalAuthority.code();
    CommonContactRegisterInformation = "commonContactRegisterInformation", true,
        OtherPart::CommonContactRegisterInformation.code();
    LegalAuthority = "legalAuthority", false, OtherPart::LegalAuthority.code();
}

impl Part {
    /// By name; upper and lower case are the same, as in the national service.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|part| part.name().eq_ignore_ascii_case(name))
    }
}

/// A set of parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts(u64);

impl Parts {
    /// Adds one.
    pub fn insert(&mut self, part: Part) {
        self.0 |= 1 << part as u32;
    }

    /// Whether it is in.
    #[must_use]
    pub fn contains(self, part: Part) -> bool {
        self.0 & (1 << part as u32) != 0
    }

    /// Whether none is in.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those in it.
    pub fn iter(self) -> impl Iterator<Item = Part> {
        Part::ALL.iter().copied().filter(move |p| self.contains(*p))
    }

    /// Whether a row part with this tag is needed for them.
    #[must_use]
    pub fn need_tag(self, tag: u8) -> bool {
        self.iter().any(|part| part.tag() == tag)
    }

    /// The row tags needed for them, as one bit each.
    #[must_use]
    pub fn tags(self) -> u64 {
        self.iter().fold(0, |all, part| all | 1 << part.tag())
    }

    /// As one number, for the log.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0
    }
}

impl FromIterator<Part> for Parts {
    fn from_iter<I: IntoIterator<Item = Part>>(parts: I) -> Self {
        let mut all = Self::default();
        parts.into_iter().for_each(|part| all.insert(part));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_is_the_name_with_a_small_first_letter() {
        for part in Part::ALL {
            let (first, rest) = part.name().split_at(1);
            assert_eq!(
                part.property(),
                format!("{}{rest}", first.to_ascii_lowercase())
            );
            assert_eq!(Part::parse(&part.name().to_uppercase()), Some(*part));
        }
        assert_eq!(Part::ALL.len(), 35);
        assert_eq!(Part::parse("Address"), None);
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set: Parts = [Part::Name, Part::LegalAuthority, Part::Name]
            .into_iter()
            .collect();
        assert_eq!(
            set.iter().collect::<Vec<_>>(),
            [Part::Name, Part::LegalAuthority]
        );
        assert!(set.need_tag(tag::NAME) && !set.need_tag(tag::STATUS));
        assert_eq!(
            set.tags(),
            1 << tag::NAME | 1 << OtherPart::LegalAuthority.code()
        );
        assert!(Parts::default().is_empty());
    }

    /// Every tag fits one bit.
    #[test]
    fn tags_are_below_sixty_four() {
        assert!(Part::ALL.iter().all(|part| part.tag() < 64));
    }
}
