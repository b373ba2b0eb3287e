//! What there is: the types of resources, their profiles, and by what they are found. The CapabilityStatement and the
//! reading of requests are made from the same tables.

/// Base of the national base profiles.
pub(super) const NO_BASIS: &str = "http://hl7.no/fhir/StructureDefinition/";
/// Base of the person service's profiles.
pub(super) const GD: &str = "http://ehelse.no/fhir/StructureDefinition/";

/// A type of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Person,
    Patient,
    RelatedPerson,
    Practitioner,
    PractitionerRole,
    Organization,
    HealthcareService,
    Endpoint,
    Location,
}

/// A search parameter.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: &'static str,
    /// What it finds by, for the CapabilityStatement.
    pub documentation: &'static str,
}

const fn param(name: &'static str, kind: &'static str, documentation: &'static str) -> Param {
    Param {
        name,
        kind,
        documentation,
    }
}

const WORDS_OF_NAME: Param = param(
    "name",
    "string",
    "Words of the name, each the beginning of a word",
);
const ID: Param = param("_id", "token", "Logical ids, several with commas between");
const NATIONAL: Param = param(
    "identifier",
    "token",
    "National ids, current or earlier, several with commas between. Only in the body of POST [type]/_search",
);
const NAME: Param = param(
    "name",
    "string",
    "Beginnings of words of the name in any order, at most three words; needs birthdate",
);
const GIVEN: Param = param(
    "given",
    "string",
    "Beginning of the given names; needs birthdate",
);
const FAMILY: Param = param(
    "family",
    "string",
    "Beginning of the family name; needs birthdate",
);
const MIDDLE: Param = param(
    "middlename",
    "string",
    "Beginning of the middle name; needs birthdate",
);
const BIRTHDATE: Param = param(
    "birthdate",
    "date",
    "Year, month or day; needs a name of three letters",
);
const GENDER: Param = param(
    "gender",
    "token",
    "male or female, beside name and birthdate",
);

const PERSON: &[Param] = &[ID, NATIONAL, NAME, GIVEN, FAMILY, MIDDLE, BIRTHDATE, GENDER];
const RELATED: &[Param] = &[
    ID,
    param(
        "patient",
        "reference",
        "Patient/[id] or Person/[id]: who is related to whom",
    ),
    param(
        "identifier",
        "token",
        "National id of the related person. Only in the body of POST [type]/_search",
    ),
    param(
        "relationship",
        "token",
        "Kind of relation, beside patient or identifier",
    ),
];
const PRACTITIONER: &[Param] = &[
    ID,
    param(
        "identifier",
        "token",
        "HPR numbers (urn:oid:2.16.578.1.12.4.1.4.4)",
    ),
    WORDS_OF_NAME,
    param("given", "string", "Beginning of the given names"),
    param("family", "string", "Beginning of the family name"),
];
const ROLE: &[Param] = &[
    ID,
    param("practitioner", "reference", "Practitioner/[id]"),
    param("organization", "reference", "Organization/[id]"),
];
const ORGANIZATION: &[Param] = &[
    ID,
    param(
        "identifier",
        "token",
        "Organisation number, RESH id, or HER-id (of a communication party)",
    ),
    WORDS_OF_NAME,
    param("partof", "reference", "Organization/[id] above"),
    param("type", "token", "Code of type"),
];
const SERVICE: &[Param] = &[
    ID,
    WORDS_OF_NAME,
    param(
        "organization",
        "reference",
        "Organization/[id] that provides it",
    ),
    param("service-type", "token", "Code of service-based addressing"),
];
const ENDPOINT: &[Param] = &[
    ID,
    param(
        "organization",
        "reference",
        "Organization/[id] that manages it",
    ),
    param("connection-type", "token", "Transport"),
];
const LOCATION: &[Param] = &[
    ID,
    WORDS_OF_NAME,
    param(
        "organization",
        "reference",
        "Organization/[id] that is found there",
    ),
    param("address-city", "string", "Beginning of the postal place"),
    param("address-postalcode", "string", "Beginning of the postcode"),
    param(
        "near",
        "special",
        "latitude|longitude|distance|km: places with a known position, at most 500 km away",
    ),
];

impl Kind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Person,
        Self::Patient,
        Self::RelatedPerson,
        Self::Practitioner,
        Self::PractitionerRole,
        Self::Organization,
        Self::HealthcareService,
        Self::Endpoint,
        Self::Location,
    ];

    /// Name of the type.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Person => "Person",
            Self::Patient => "Patient",
            Self::RelatedPerson => "RelatedPerson",
            Self::Practitioner => "Practitioner",
            Self::PractitionerRole => "PractitionerRole",
            Self::Organization => "Organization",
            Self::HealthcareService => "HealthcareService",
            Self::Endpoint => "Endpoint",
            Self::Location => "Location",
        }
    }

    /// By name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether it is about persons as persons: ground, protection and journal apply.
    #[must_use]
    pub fn is_personal(self) -> bool {
        matches!(self, Self::Person | Self::Patient | Self::RelatedPerson)
    }

    /// Profiles of its resources.
    #[must_use]
    pub fn profiles(self) -> Vec<String> {
        let basis = |name: &str| format!("{NO_BASIS}{name}");
        match self {
            Self::Person => vec![format!("{GD}gd-Person")],
            Self::RelatedPerson => vec![format!("{GD}gd-RelatedPerson")],
            Self::Organization => vec![
                basis("no-basis-Organization"),
                basis("kommunikasjonspart-Organization"),
            ],
            other => vec![basis(&format!("no-basis-{}", other.name()))],
        }
    }

    /// Its search parameters.
    #[must_use]
    pub fn params(self) -> &'static [Param] {
        match self {
            Self::Person | Self::Patient => PERSON,
            Self::RelatedPerson => RELATED,
            Self::Practitioner => PRACTITIONER,
            Self::PractitionerRole => ROLE,
            Self::Organization => ORGANIZATION,
            Self::HealthcareService => SERVICE,
            Self::Endpoint => ENDPOINT,
            Self::Location => LOCATION,
        }
    }

    /// Elements shown when the request names none. The person service's profiles ask for nothing but identifiers then
    /// (its statement of requirements); the others are shown whole.
    #[must_use]
    pub fn shown_unasked(self) -> Option<&'static [&'static str]> {
        matches!(self, Self::Person | Self::RelatedPerson).then_some(&["identifier"])
    }

    /// Elements that are always shown: their profiles demand them.
    #[must_use]
    pub fn always(self) -> &'static [&'static str] {
        match self {
            Self::Person => &["identifier"],
            Self::RelatedPerson => &["patient"],
            Self::Organization => &["name", "identifier"],
            Self::Endpoint => &["status", "connectionType", "payloadType", "address"],
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_those_of_r4_but_for_two() {
        let pack = ::fhir::Pack::r4();
        for kind in Kind::ALL {
            assert_eq!(Kind::named(kind.name()), Some(kind));
            for param in kind.params() {
                // The middle name is HL7 Norway's; given and family of Person the person service's.
                let own = ["middlename", "given", "family"].contains(&param.name);
                let known = pack.param(kind.name(), param.name);
                assert!(own || known.is_some(), "{} {}", kind.name(), param.name);
                if let Some(known) = known {
                    assert_eq!(
                        known.kind.as_str(),
                        param.kind,
                        "{} {}",
                        kind.name(),
                        param.name
                    );
                }
            }
        }
    }
}
