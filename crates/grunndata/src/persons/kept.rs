//! Parts that the register keeps as they came, written in the form of the contract: members it does not know are left
//! out, values of another kind become `null` (spec/grunndata.md §3.4).

use super::json::Json;
use registers::kernel::period::Moment;
use registers::persons::codes::{OtherPart, ProtectionLevel};
use serde_json::{Map, Value};

/// Deepest object of the contract below an entry.
const MAX_DEPTH: usize = 4;
/// Most lines of a list (address lines, citizenships, languages).
const MAX_LINES: usize = 20;

/// Form of a value.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Number,
    Truth,
    /// `YYYY-MM-DD`, or an instant.
    Day,
    /// One of the names of a code list. Left out when it is none of them: the contract has no empty code.
    Code(&'static [&'static str]),
    Texts,
    Object(&'static [(&'static str, Form)]),
}

use Form::{Code, Day, Number, Object, Text, Texts, Truth};

type Members = &'static [(&'static str, Form)];

const GENDERS: Form = Code(&["Female", "Male"]);
const GRADINGS: Form = Code(&[
    "Unclassified",
    "ClientAddress",
    "Confidential",
    "StrictlyConfidential",
]);
const NAME: Form = Object(&[
    ("givenName", Text),
    ("middleName", Text),
    ("familyName", Text),
]);
const CITY: Form = Object(&[("cityName", Text), ("postalCode", Text)]);

const RESIDUARY_ESTATE: Members = &[
    (
        "person",
        Object(&[
            ("birthDate", Day),
            ("personName", NAME),
            ("norwegianIdentificationNumber", Text),
        ]),
    ),
    (
        "lawyer",
        Object(&[
            ("personName", NAME),
            ("organizationName", Text),
            ("organizationNumber", Text),
        ]),
    ),
    (
        "organization",
        Object(&[
            ("organizationName", Text),
            ("organizationNumber", Text),
            ("contactPersonName", NAME),
        ]),
    ),
    ("probateCertificateType", Code(&["Public", "Other"])),
    ("probateCertificateIssueDate", Day),
    (
        "contactAddress",
        Object(&[
            ("addressLine", Texts),
            ("city", Text),
            ("postalCode", Text),
            ("countryCode", Text),
        ]),
    ),
];

const POSTAL_ADDRESS: Members = &[
    ("addressConfidentiality", GRADINGS),
    (
        "postBoxAddress",
        Object(&[
            ("postBoxOwner", Text),
            ("postBoxIdentification", Text),
            ("city", CITY),
        ]),
    ),
    (
        "streetAddress",
        Object(&[
            ("coAddressName", Text),
            ("addressName", Text),
            (
                "streetAddressNumber",
                Object(&[("houseNumber", Text), ("houseLetter", Text)]),
            ),
            ("city", CITY),
            ("addressCode", Text),
            ("addressAdditionalName", Text),
            ("separatelyOccupiedUnitNumber", Text),
        ]),
    ),
    (
        "freeFormPostalAddress",
        Object(&[
            ("adresselinje", Texts),
            ("addressLine", Texts),
            ("city", CITY),
        ]),
    ),
    ("cadastralIdentifier", Text),
];

const FOREIGN_ADDRESS: Members = &[
    ("addressConfidentiality", GRADINGS),
    (
        "foreignAddress",
        Object(&[
            ("coAddressName", Text),
            ("addressName", Text),
            ("building", Text),
            ("floorNumber", Text),
            ("housingUnit", Text),
            ("postBox", Text),
            ("postCode", Text),
            ("cityOrPlaceName", Text),
            ("districtName", Text),
            ("region", Text),
            ("countryCode", Text),
        ]),
    ),
    (
        "freeFormForeignAddress",
        Object(&[
            ("addressLine", Texts),
            ("postCode", Text),
            ("cityOrPlaceName", Text),
            ("countryCode", Text),
        ]),
    ),
];

const IDENTIFICATION_DOCUMENT: Members = &[
    ("documentNumber", Text),
    ("documentType", Text),
    ("issuerCountry", Text),
    ("issuerName", Text),
    ("documentValidFrom", Day),
    ("documentValidTo", Day),
    (
        "documentVerification",
        Object(&[("verificationStatus", Text), ("verifiedAt", Day)]),
    ),
];

const CONTACT_REGISTER: Members = &[
    ("reservation", Code(&["Yes", "No"])),
    ("status", Code(&["Active", "Deleted", "NotRegistered"])),
    (
        "notificationStatus",
        Code(&["CanNotBeNotified", "CanBeNotified"]),
    ),
    (
        "contactInformation",
        Object(&[
            ("email", Text),
            ("emailLastUpdated", Text),
            ("emailLastVerified", Text),
            ("phoneNumber", Text),
            ("phoneNumberLastUpdated", Text),
            ("phoneNumberLastVerified", Text),
        ]),
    ),
    (
        "digitalPost",
        Object(&[
            ("digitalPostAddress", Text),
            ("digitalPostVendorAddress", Text),
        ]),
    ),
    ("certificate", Text),
    ("language", Text),
    ("languageLastUpdated", Text),
];

const FALSE_IDENTITY: Members = &[
    (
        "correctIdentityFromInformation",
        Object(&[
            ("personName", NAME),
            ("birthDate", Day),
            ("citizenship", Texts),
            ("gender", GENDERS),
        ]),
    ),
    ("isCorrectIdentityUnknown", Truth),
    ("correctIdentityFromIdentificationNumber", Text),
    ("isFalseIdentity", Truth),
];

const STAY_ON_SVALBARD: Members = &[
    ("startDate", Day),
    ("endDate", Day),
    ("immigratedFromMunicipalityNumber", Text),
    ("immigratedFromCountry", Text),
    ("numberOfPreviousStays", Number),
    (
        "estimatedLengthOfStay",
        Code(&[
            "UnderSixMonths",
            "OverSixMonths",
            "OverTwelveMonths",
            "Unknown",
        ]),
    ),
];

fn members(part: OtherPart) -> Members {
    match part {
        OtherPart::BirthInNorway => &[("organizationName", Text), ("multipleBirthNumber", Number)],
        OtherPart::CitizenshipRetention => &[
            (
                "citizenshipRetentionStatus",
                Code(&[
                    "CitizenshipRetained",
                    "CitizenshipNoLongerRetained",
                    "NorwegianCitizenRetentionNotRequired",
                ]),
            ),
            ("retentionResolutionDate", Day),
        ],
        OtherPart::UseOfSamiLanguage => &[("language", Texts)],
        OtherPart::SamiParliamentElectoralRegistryStatus => &[
            ("status", Code(&["Enrolled", "Unenrolled", "NeverEnrolled"])),
            ("resolutionDate", Day),
        ],
        OtherPart::FalseIdentity => FALSE_IDENTITY,
        OtherPart::IdentityVerification => &[(
            "identityVerificationStatus",
            Code(&["None", "NotVerified", "Verified"]),
        )],
        OtherPart::ImmigrationToNorway => &[
            ("immigratedFromCountry", Text),
            ("immigratedFromCity", Text),
        ],
        OtherPart::EmigrationFromNorway => &[
            ("emigratedToCountry", Text),
            ("emigratedToCity", Text),
            ("emigratedMoveDate", Day),
        ],
        OtherPart::ResiduaryEstateContactInformation => RESIDUARY_ESTATE,
        OtherPart::IdentificationDocument => IDENTIFICATION_DOCUMENT,
        OtherPart::ResidencePermit => &[
            (
                "residencePermitType",
                Code(&["Temporary", "Permanent", "InformationMissing"]),
            ),
            ("stayFrom", Day),
            ("stayTo", Day),
        ],
        OtherPart::StayOnSvalbard => STAY_ON_SVALBARD,
        OtherPart::PostalAddress => POSTAL_ADDRESS,
        OtherPart::ForeignPostalAddress => FOREIGN_ADDRESS,
        OtherPart::PreferredContactAddress => &[
            (
                "addressType",
                Code(&[
                    "ResidentialAddress",
                    "LivingAddress",
                    "PostalAddress",
                    "ForeignPostalAddress",
                ]),
            ),
            ("addressConfidentiality", GRADINGS),
            (
                "freeformContactAddress",
                Object(&[("addressLine", Texts), ("countryCode", Text)]),
            ),
        ],
        OtherPart::ForeignPersonIdentificationNumber => &[
            ("identificationNumber", Text),
            ("identificationNumberType", Text),
            ("issuerCountry", Text),
        ],
        OtherPart::DeprivedLegalAuthority => &[],
        OtherPart::CommonContactRegisterInformation => CONTACT_REGISTER,
        OtherPart::LegalAuthority => &[("legalAuthorityScope", Code(&["Limited"]))],
    }
}

/// The grading of a contact address; the others have none.
pub(crate) fn grading(part: OtherPart, value: &Value) -> ProtectionLevel {
    let is_address = matches!(
        part,
        OtherPart::PostalAddress
            | OtherPart::ForeignPostalAddress
            | OtherPart::PreferredContactAddress
    );
    let named = value.get("addressConfidentiality").and_then(Value::as_str);
    match named.filter(|_| is_address) {
        // A grading that nobody knows is taken for the strictest.
        Some(name) => ProtectionLevel::parse(name).unwrap_or(ProtectionLevel::StrictlyConfidential),
        None => ProtectionLevel::Unclassified,
    }
}

/// Writes the members of an entry into the open object.
pub(super) fn write(json: &mut Json, part: OtherPart, value: &Value) {
    static NOTHING: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    let object = value.as_object().unwrap_or(&NOTHING);
    write_members(json, members(part), object, MAX_DEPTH);
}

fn write_members(json: &mut Json, members: Members, object: &Map<String, Value>, depth: usize) {
    for (name, form) in members {
        let value = object.get(*name).unwrap_or(&Value::Null);
        match (form, value) {
            (Text, Value::String(text)) => json.field(name, text),
            (Number, Value::Number(number)) => json.field_number(name, number.as_i64()),
            (Truth, Value::Bool(truth)) => json.field_truth(name, *truth),
            (Day, Value::String(text)) => {
                if let Some(at) = moment(text) {
                    json.field_instant(name, Some(at));
                }
            }
            (Code(names), Value::String(text)) if names.contains(&text.as_str()) => {
                json.field(name, text);
            }
            (Texts, Value::Array(values)) => {
                json.key(name);
                json.array(|json| {
                    let lines = values.iter().filter_map(Value::as_str);
                    lines.take(MAX_LINES).for_each(|line| json.text(line));
                });
            }
            (Object(inner), Value::Object(object)) if depth > 0 => {
                json.key(name);
                json.object(|json| write_members(json, inner, object, depth - 1));
            }
            // Members without an empty value are left out; the others say that there is none.
            (Code(_) | Truth | Day | Object(_), _) => {}
            (Text | Number | Texts, _) => json.field_or_null(name, None),
        }
    }
}

fn moment(text: &str) -> Option<Moment> {
    let day = || text.parse::<jiff::civil::Date>().ok().map(Moment::of_day);
    let instant = || text.parse::<jiff::Timestamp>().ok().map(Moment::from);
    if text.len() == 10 { day() } else { instant() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn written(part: OtherPart, value: &Value) -> Value {
        let mut out = Json::default();
        out.object(|json| write(json, part, value));
        serde_json::from_slice(&out.into_bytes()).unwrap()
    }

    #[test]
    fn what_the_contract_does_not_know_is_left_out() {
        let came = json!({
            "emigratedToCountry": "SWE", "emigratedMoveDate": "2020-05-17", "secret": 1,
            "emigratedToCity": 7,
        });
        assert_eq!(
            written(OtherPart::EmigrationFromNorway, &came),
            json!({
                "emigratedToCountry": "SWE", "emigratedToCity": null,
                "emigratedMoveDate": "2020-05-17T00:00:00Z",
            })
        );
    }

    #[test]
    fn unknown_codes_are_left_out() {
        let came = json!({"residencePermitType": "Eternal", "stayFrom": "yesterday"});
        assert_eq!(written(OtherPart::ResidencePermit, &came), json!({}));
        let came = json!({"residencePermitType": "Permanent"});
        assert_eq!(written(OtherPart::ResidencePermit, &came), came);
    }

    #[test]
    fn gradings_of_contact_addresses() {
        let graded = |name: &str| json!({"addressConfidentiality": name});
        for (part, value, level) in [
            (
                OtherPart::PostalAddress,
                graded("ClientAddress"),
                ProtectionLevel::ClientAddress,
            ),
            (
                OtherPart::PostalAddress,
                graded("Whatever"),
                ProtectionLevel::StrictlyConfidential,
            ),
            (
                OtherPart::PostalAddress,
                json!({}),
                ProtectionLevel::Unclassified,
            ),
            (
                OtherPart::LegalAuthority,
                graded("Confidential"),
                ProtectionLevel::Unclassified,
            ),
        ] {
            assert_eq!(grading(part, &value), level);
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-zA-Z0-9 -]{0,12}".prop_map(Value::from),
            Just(json!("2020-02-29")),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            let names = prop_oneof![
                Just("streetAddress".to_owned()),
                Just("city".to_owned()),
                Just("contactInformation".to_owned()),
                Just("correctIdentityFromInformation".to_owned()),
                Just("citizenship".to_owned()),
                "[a-z]{1,5}",
            ];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(names, inner, 0..5)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn anything_kept_gives_members_of_the_contract(value in any_value(), part in 0..OtherPart::ALL.len()) {
            let part = OtherPart::ALL[part];
            let out = written(part, &value);
            for name in out.as_object().unwrap().keys() {
                prop_assert!(members(part).iter().any(|(known, _)| known == name));
            }
        }
    }
}
