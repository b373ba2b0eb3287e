//! One entry of a person document: a value with the metadata of the population register.

use super::address::{self, GRADINGS};
use super::tree::Tree;
use super::{Wrong, code, date, moment, needed, needed_code, nin, number};
use crate::kernel::period::{Moment, Period};
use crate::kernel::timeline::{Held, Origin};
use crate::persons::codes::{
    FamilyRole, Gender, GuardianshipScope, GuardianshipType, IdentifierKind, MaritalStatusType,
    OtherPart, PersonStatus, ProtectionLevel, ResponsibilityType,
};
use crate::persons::document::{
    Address, Birth, FamilyRelation, Guardianship, Identifier, Marital, Name, Responsibility,
};
use jiff::civil::Date;
use serde_json::{Map, Value};

/// A value in its place.
#[derive(Clone, PartialEq)]
pub(super) enum Fact {
    Identifier(Held<Identifier>),
    Name(Held<Name>),
    Birth(Held<Birth>),
    Gender(Held<Gender>),
    Status(Held<PersonStatus>),
    Death(Held<Date>),
    Residential(Held<Address>),
    Present(Held<Address>),
    Shared(Held<Address>),
    Protection(Held<ProtectionLevel>),
    Family(Held<FamilyRelation>),
    Parental(Held<Responsibility>),
    Marital(Held<Marital>),
    Citizenship(Held<String>),
    Guardianship(Held<Guardianship>),
    Other(OtherPart, Held<Value>),
}

const STATUSES: &[(&str, PersonStatus)] = &[
    ("bosatt", PersonStatus::Resident),
    ("utflyttet", PersonStatus::Emigrated),
    ("forsvunnet", PersonStatus::Disappeared),
    ("doed", PersonStatus::Deceased),
    ("opphoert", PersonStatus::Discontinued),
    ("foedselsregistrert", PersonStatus::RegisteredAtBirth),
    ("midlertidig", PersonStatus::Temporary),
    ("inaktiv", PersonStatus::Inactive),
    ("ikkeBosatt", PersonStatus::NotResident),
    ("aktiv", PersonStatus::Active),
];
const ROLES: &[(&str, FamilyRole)] = &[
    ("mor", FamilyRole::Mother),
    ("far", FamilyRole::Father),
    ("medmor", FamilyRole::CoMother),
    ("barn", FamilyRole::Child),
    ("soesken", FamilyRole::Sibling),
    ("ektefelleEllerPartner", FamilyRole::SpouseOrPartner),
    ("doedfoedtBarn", FamilyRole::StillbornChild),
];
const RESPONSIBILITIES: &[(&str, ResponsibilityType)] = &[
    ("felles", ResponsibilityType::Joint),
    ("mor", ResponsibilityType::Mother),
    ("far", ResponsibilityType::Father),
    ("medmor", ResponsibilityType::CoMother),
    ("andre", ResponsibilityType::Other),
    ("ukjent", ResponsibilityType::Unknown),
];
const MARITAL: &[(&str, MaritalStatusType)] = &[
    ("uoppgitt", MaritalStatusType::Unspecified),
    ("ugift", MaritalStatusType::Unmarried),
    ("gift", MaritalStatusType::Married),
    ("enkeEllerEnkemann", MaritalStatusType::WidowOrWidower),
    ("skilt", MaritalStatusType::Divorced),
    ("separert", MaritalStatusType::Separated),
    ("registrertPartner", MaritalStatusType::RegisteredPartner),
    ("separertPartner", MaritalStatusType::SeparatedPartner),
    ("skiltPartner", MaritalStatusType::DivorcedPartner),
    ("gjenlevendePartner", MaritalStatusType::SurvivingPartner),
];
const GUARDIANSHIPS: &[(&str, GuardianshipType)] = &[
    (
        "ensligMindreaarigAsylsoeker",
        GuardianshipType::SingleMinorAsylumSeeker,
    ),
    (
        "ensligMindreaarigFlyktning",
        GuardianshipType::SingleMinorRefugee,
    ),
    ("voksen", GuardianshipType::Adult),
    ("midlertidigForVoksen", GuardianshipType::TemporaryForAdult),
    ("mindreaarig", GuardianshipType::Minor),
    (
        "midlertidigForMindreaarig",
        GuardianshipType::TemporaryForMinor,
    ),
    (
        "forvaltningUtenforVergemaal",
        GuardianshipType::ManagementOutsideGuardianship,
    ),
    (
        "stadfestetFremtidsfullmakt",
        GuardianshipType::ConfirmedFuturePowerOfAttorney,
    ),
];
const SCOPES: &[(&str, GuardianshipScope)] = &[
    (
        "utlendingssakerPersonligeOgOekonomiskeInteresser",
        GuardianshipScope::ImmigrationPersonalAndFinancialInterests,
    ),
    (
        "personligeOgOekonomiskeInteresser",
        GuardianshipScope::PersonalAndFinancialInterests,
    ),
    (
        "oekonomiskeInteresser",
        GuardianshipScope::FinancialInterests,
    ),
    ("personligeInteresser", GuardianshipScope::PersonalInterests),
];

/// Reads an entry by the name of its element; `None` for elements that the register has no place for.
pub(super) fn read(element: &str, tree: &Tree) -> Result<Option<Fact>, Wrong> {
    let held = metadata(tree)?;
    Ok(Some(match element {
        "identifikasjonsnummer" => Fact::Identifier(hold(held, identifier(tree)?)),
        "utlendingsmyndighetenesIdentifikasjonsnummer" => {
            let text = needed(tree, "identifikasjonsnummer")?;
            let duf = Identifier::parse(text)
                .filter(|i| i.kind == IdentifierKind::ImmigrationAuthoritiesNumber)
                .ok_or(Wrong::Value("identifikasjonsnummer"))?;
            Fact::Identifier(hold(held, duf))
        }
        "navn" => Fact::Name(hold(
            held,
            Name {
                given: needed(tree, "fornavn")?.to_owned(),
                middle: tree.text("mellomnavn").map(str::to_owned),
                family: needed(tree, "etternavn")?.to_owned(),
            },
        )),
        "foedsel" => Fact::Birth(hold(held, birth(tree)?)),
        "kjoenn" => {
            const GENDERS: &[(&str, Gender)] =
                &[("kvinne", Gender::Female), ("mann", Gender::Male)];
            Fact::Gender(hold(held, needed_code(tree, "kjoenn", GENDERS)?))
        }
        "status" => Fact::Status(hold(held, needed_code(tree, "status", STATUSES)?)),
        // A death on an unknown day is a status, not a date.
        "doedsfall" => match date(tree, "doedsdato")? {
            Some(day) => Fact::Death(hold(held, day)),
            None => return Ok(None),
        },
        "bostedsadresse" => Fact::Residential(hold(held, address::read(tree)?)),
        "oppholdsadresse" => Fact::Present(hold(held, address::read(tree)?)),
        "deltBosted" => Fact::Shared(hold(held, address::read(tree)?)),
        "adressebeskyttelse" => {
            Fact::Protection(hold(held, needed_code(tree, "graderingsnivaa", GRADINGS)?))
        }
        "familierelasjon" => Fact::Family(hold(
            held,
            FamilyRelation {
                person: nin(tree, "relatertPerson")?,
                role: needed_code(tree, "relatertPersonsRolle", ROLES)?,
                mine: code(tree, "minRolleForPerson", ROLES)?,
            },
        )),
        "foreldreansvar" => Fact::Parental(hold(
            held,
            Responsibility {
                kind: needed_code(tree, "ansvar", RESPONSIBILITIES)?,
                responsible: nin(tree, "ansvarlig")?,
                subject: nin(tree, "ansvarssubjekt")?,
            },
        )),
        "sivilstand" => Fact::Marital(hold(
            held,
            Marital {
                status: needed_code(tree, "sivilstand", MARITAL)?,
                since: date(tree, "sivilstandsdato")?,
                spouse: nin(tree, "relatertVedSivilstand")?,
            },
        )),
        "statsborgerskap" => {
            let country = needed(tree, "statsborgerskap")?;
            if country.len() != 3 || !country.bytes().all(|b| b.is_ascii_uppercase()) {
                return Err(Wrong::Value("statsborgerskap"));
            }
            Fact::Citizenship(hold(held, country.to_owned()))
        }
        "vergemaalEllerFremtidsfullmakt" => Fact::Guardianship(hold(held, guardianship(tree)?)),
        other => match other_part(other) {
            Some((part, members)) => {
                let value = translated(tree, members);
                Fact::Other(part, hold(held, Value::Object(value)))
            }
            None => return Ok(None),
        },
    }))
}

fn hold<T>(held: Held<()>, value: T) -> Held<T> {
    Held {
        value,
        valid: held.valid,
        origin: held.origin,
        annulled: held.annulled,
    }
}

fn metadata(tree: &Tree) -> Result<Held<()>, Wrong> {
    let from = moment(tree, "gyldighetstidspunkt")?;
    let to = moment(tree, "opphoerstidspunkt")?;
    let is_current = tree.text("erGjeldende").map(|t| matches!(t, "true" | "1"));
    let valid = match (is_current, to) {
        // Not current and no end told: it held once, nobody says until when.
        (Some(false), None) => {
            let at = from.unwrap_or(Moment(0));
            Period::between(at, at)
        }
        _ => Period { from, to },
    };
    Ok(Held {
        value: (),
        valid,
        origin: Origin {
            registered: moment(tree, "ajourholdstidspunkt")?
                .or(from)
                .unwrap_or(Moment(0)),
            source: tree.text("kilde").map(str::to_owned),
            reason: tree.text("aarsak").map(str::to_owned),
        },
        annulled: false,
    })
}

fn identifier(tree: &Tree) -> Result<Identifier, Wrong> {
    const STATES: &[(&str, bool)] = &[("iBruk", true), ("opphoert", false)];
    const KINDS: &[(&str, IdentifierKind)] = &[
        ("foedselsnummer", IdentifierKind::NationalIdentityNumber),
        ("dNummer", IdentifierKind::DNumber),
    ];
    Ok(Identifier {
        number: nin(tree, "foedselsEllerDNummer")?.ok_or(Wrong::Missing("foedselsEllerDNummer"))?,
        kind: needed_code(tree, "identifikatortype", KINDS)?,
        in_use: needed_code(tree, "status", STATES)?,
    })
}

fn birth(tree: &Tree) -> Result<Birth, Wrong> {
    let day = date(tree, "foedselsdato")?;
    Ok(Birth {
        date: day,
        year: match day {
            Some(_) => None,
            None => number(tree, "foedselsaar")?,
        },
        place: tree.text("foedested").map(str::to_owned),
        municipality: number(tree, "foedekommuneINorge")?,
        country: tree.text("foedeland").map(str::to_owned),
    })
}

fn guardianship(tree: &Tree) -> Result<Guardianship, Wrong> {
    let guardian = tree.one("verge").ok_or(Wrong::Missing("verge"))?;
    let scope = code(guardian, "omfang", SCOPES)?;
    Ok(Guardianship {
        kind: needed_code(tree, "vergemaaltype", GUARDIANSHIPS)?,
        guardian: nin(guardian, "foedselsEllerDNummer")?,
        scope,
        personal: scope.is_some_and(|s| s != GuardianshipScope::FinancialInterests),
        office: tree.text("embete").map(str::to_owned),
    })
}

/// How a member goes over into the form in which the register keeps other parts (the national service's names).
#[derive(Clone, Copy)]
enum To {
    Text(&'static str),
    Number(&'static str),
    Truth(&'static str),
    Texts(&'static str),
    Codes(&'static str, &'static [(&'static str, &'static str)]),
    Code(&'static str, &'static [(&'static str, &'static str)]),
    Members(&'static str, Renaming),
}

type Renaming = &'static [(&'static str, To)];

const NAME: Renaming = &[
    ("fornavn", To::Text("givenName")),
    ("mellomnavn", To::Text("middleName")),
    ("etternavn", To::Text("familyName")),
];
const GRADING: To = To::Code(
    "addressConfidentiality",
    &[
        ("ugradert", "Unclassified"),
        ("klientadresse", "ClientAddress"),
        ("fortrolig", "Confidential"),
        ("strengtFortrolig", "StrictlyConfidential"),
    ],
);
const CITY: Renaming = &[
    ("poststedsnavn", To::Text("cityName")),
    ("postnummer", To::Text("postalCode")),
];
const POSTAL: Renaming = &[
    ("adressegradering", GRADING),
    (
        "postboksadresse",
        To::Members(
            "postBoxAddress",
            &[
                ("postbokseier", To::Text("postBoxOwner")),
                ("postboks", To::Text("postBoxIdentification")),
                ("poststed", To::Members("city", CITY)),
            ],
        ),
    ),
    (
        "vegadresse",
        To::Members(
            "streetAddress",
            &[
                ("coAdressenavn", To::Text("coAddressName")),
                ("adressenavn", To::Text("addressName")),
                (
                    "adressenummer",
                    To::Members(
                        "streetAddressNumber",
                        &[
                            ("husnummer", To::Text("houseNumber")),
                            ("husbokstav", To::Text("houseLetter")),
                        ],
                    ),
                ),
                ("poststed", To::Members("city", CITY)),
                ("adressekode", To::Text("addressCode")),
                ("adressetilleggsnavn", To::Text("addressAdditionalName")),
                (
                    "bruksenhetsnummer",
                    To::Text("separatelyOccupiedUnitNumber"),
                ),
            ],
        ),
    ),
    (
        "postadresseIFrittFormat",
        To::Members(
            "freeFormPostalAddress",
            &[
                ("adresselinje", To::Texts("addressLine")),
                ("poststed", To::Members("city", CITY)),
            ],
        ),
    ),
];
const FOREIGN: Renaming = &[
    ("adressegradering", GRADING),
    (
        "utenlandskAdresse",
        To::Members(
            "foreignAddress",
            &[
                ("coAdressenavn", To::Text("coAddressName")),
                ("adressenavn", To::Text("addressName")),
                ("bygning", To::Text("building")),
                ("etasjenummer", To::Text("floorNumber")),
                ("boenhet", To::Text("housingUnit")),
                ("postboks", To::Text("postBox")),
                ("postkode", To::Text("postCode")),
                ("byEllerStedsnavn", To::Text("cityOrPlaceName")),
                ("distriktsnavn", To::Text("districtName")),
                ("region", To::Text("region")),
                ("landkode", To::Text("countryCode")),
            ],
        ),
    ),
    (
        "utenlandskAdresseIFrittFormat",
        To::Members(
            "freeFormForeignAddress",
            &[
                ("adresselinje", To::Texts("addressLine")),
                ("postkode", To::Text("postCode")),
                ("byEllerStedsnavn", To::Text("cityOrPlaceName")),
                ("landkode", To::Text("countryCode")),
            ],
        ),
    ),
];
const PREFERRED: Renaming = &[
    (
        "valg",
        To::Code(
            "addressType",
            &[
                ("bostedsadresse", "ResidentialAddress"),
                ("oppholdsadresse", "LivingAddress"),
                ("postadresse", "PostalAddress"),
                ("postadresseIUtlandet", "ForeignPostalAddress"),
            ],
        ),
    ),
    ("adressegradering", GRADING),
    (
        "kontaktadresseIFrittFormat",
        To::Members(
            "freeformContactAddress",
            &[
                ("adresselinje", To::Texts("addressLine")),
                ("landkode", To::Text("countryCode")),
            ],
        ),
    ),
];
const ESTATE: Renaming = &[
    (
        "person",
        To::Members(
            "person",
            &[
                ("foedselsdato", To::Text("birthDate")),
                ("personnavn", To::Members("personName", NAME)),
                (
                    "foedselsEllerDNummer",
                    To::Text("norwegianIdentificationNumber"),
                ),
            ],
        ),
    ),
    (
        "advokat",
        To::Members(
            "lawyer",
            &[
                ("personnavn", To::Members("personName", NAME)),
                ("organisasjonsnavn", To::Text("organizationName")),
                ("organisasjonsnummer", To::Text("organizationNumber")),
            ],
        ),
    ),
    (
        "organisasjon",
        To::Members(
            "organization",
            &[
                ("organisasjonsnavn", To::Text("organizationName")),
                ("organisasjonsnummer", To::Text("organizationNumber")),
                ("kontaktpersonnavn", To::Members("contactPersonName", NAME)),
            ],
        ),
    ),
    (
        "skifteform",
        To::Code(
            "probateCertificateType",
            &[("offentlig", "Public"), ("annet", "Other")],
        ),
    ),
    (
        "attestutstedelsesdato",
        To::Text("probateCertificateIssueDate"),
    ),
    (
        "adresse",
        To::Members(
            "contactAddress",
            &[
                ("adresselinje", To::Texts("addressLine")),
                ("poststedsnavn", To::Text("city")),
                ("postnummer", To::Text("postalCode")),
                ("landkode", To::Text("countryCode")),
            ],
        ),
    ),
];
const DOCUMENT: Renaming = &[
    ("identifikasjonsdokumentnummer", To::Text("documentNumber")),
    ("identifikasjonsdokumenttype", To::Text("documentType")),
    ("utstederland", To::Text("issuerCountry")),
    ("utstedernavn", To::Text("issuerName")),
    ("gyldigFra", To::Text("documentValidFrom")),
    ("gyldigTil", To::Text("documentValidTo")),
    (
        "dokumentkontroll",
        To::Members(
            "documentVerification",
            &[
                ("dokumentkontrollstatus", To::Text("verificationStatus")),
                ("dokumentkontrolltidspunkt", To::Text("verifiedAt")),
            ],
        ),
    ),
];
const FALSE_IDENTITY: Renaming = &[
    (
        "rettIdentitetVedOpplysninger",
        To::Members(
            "correctIdentityFromInformation",
            &[
                ("personnavn", To::Members("personName", NAME)),
                ("foedselsdato", To::Text("birthDate")),
                ("statsborgerskap", To::Texts("citizenship")),
                (
                    "kjoenn",
                    To::Code("gender", &[("kvinne", "Female"), ("mann", "Male")]),
                ),
            ],
        ),
    ),
    (
        "rettIdentitetErUkjent",
        To::Truth("isCorrectIdentityUnknown"),
    ),
    (
        "rettIdentitetVedIdentifikasjonsnummer",
        To::Text("correctIdentityFromIdentificationNumber"),
    ),
    ("erFalsk", To::Truth("isFalseIdentity")),
];
/// The two schemas name the member differently.
const VERIFICATION: Renaming = &[
    (
        "identitetsgrunnlagstatus",
        To::Code("identityVerificationStatus", VERIFICATIONS),
    ),
    (
        "legitimasjonskontroll",
        To::Code("identityVerificationStatus", VERIFICATIONS),
    ),
];
const VERIFICATIONS: &[(&str, &str)] = &[
    ("ingenStatus", "None"),
    ("ikkeKontrollert", "NotVerified"),
    ("kontrollert", "Verified"),
];

fn other_part(element: &str) -> Option<(OtherPart, Renaming)> {
    use OtherPart as P;
    Some(match element {
        "falskIdentitet" => (P::FalseIdentity, FALSE_IDENTITY),
        "identitetsgrunnlag" => (P::IdentityVerification, VERIFICATION),
        "kontaktinformasjonForDoedsbo" => (P::ResiduaryEstateContactInformation, ESTATE),
        "legitimasjonsdokument" => (P::IdentificationDocument, DOCUMENT),
        "utenlandskPersonidentifikasjon" => (
            P::ForeignPersonIdentificationNumber,
            &[
                ("identifikasjonsnummer", To::Text("identificationNumber")),
                (
                    "identifikasjonsnummertype",
                    To::Text("identificationNumberType"),
                ),
                ("utstederland", To::Text("issuerCountry")),
            ],
        ),
        "postadresse" | "kontaktadresse" => (P::PostalAddress, POSTAL),
        "postadresseIUtlandet" | "kontaktadresseIUtlandet" => (P::ForeignPostalAddress, FOREIGN),
        "preferertKontaktadresse" => (P::PreferredContactAddress, PREFERRED),
        "innflytting" => (
            P::ImmigrationToNorway,
            &[
                ("fraflyttingsland", To::Text("immigratedFromCountry")),
                ("fraflyttingsstedIUtlandet", To::Text("immigratedFromCity")),
            ],
        ),
        "utflytting" => (
            P::EmigrationFromNorway,
            &[
                ("tilflyttingsland", To::Text("emigratedToCountry")),
                ("tilflyttingsstedIUtlandet", To::Text("emigratedToCity")),
            ],
        ),
        "forholdTilSametingetsValgmanntall" => (
            P::SamiParliamentElectoralRegistryStatus,
            &[(
                "forhold",
                To::Code(
                    "status",
                    &[
                        ("innmeldt", "Enrolled"),
                        ("utmeldt", "Unenrolled"),
                        ("aldriInnmeldt", "NeverEnrolled"),
                    ],
                ),
            )],
        ),
        "foedselINorge" => (
            P::BirthInNorway,
            &[
                ("foedselsinstitusjonsnavn", To::Text("organizationName")),
                ("rekkefoelgenummer", To::Number("multipleBirthNumber")),
            ],
        ),
        "opphold" => (
            P::ResidencePermit,
            &[
                (
                    "oppholdstillatelse",
                    To::Code(
                        "residencePermitType",
                        &[
                            ("midlertidig", "Temporary"),
                            ("permanent", "Permanent"),
                            ("opplysningMangler", "InformationMissing"),
                        ],
                    ),
                ),
                ("oppholdFra", To::Text("stayFrom")),
                ("oppholdTil", To::Text("stayTo")),
            ],
        ),
        "bibehold" => (
            P::CitizenshipRetention,
            &[
                (
                    "bibeholdstatus",
                    To::Code(
                        "citizenshipRetentionStatus",
                        &[
                            ("harBibehold", "CitizenshipRetained"),
                            ("harIkkeLengerBibehold", "CitizenshipNoLongerRetained"),
                        ],
                    ),
                ),
                ("datoForBibehold", To::Text("retentionResolutionDate")),
            ],
        ),
        "brukAvSamiskSpraak" => (
            P::UseOfSamiLanguage,
            &[(
                "spraak",
                To::Codes(
                    "language",
                    &[
                        ("nordsamisk", "Nordsamisk"),
                        ("lulesamisk", "Lulesamisk"),
                        ("soersamisk", "Soersamisk"),
                    ],
                ),
            )],
        ),
        _ => return None,
    })
}

/// What has no name in the table is left out; a code that nobody knows too.
fn translated(tree: &Tree, renaming: Renaming) -> Map<String, Value> {
    let mut out = Map::new();
    for (name, to) in renaming {
        let Some(found) = tree.one(name) else {
            continue;
        };
        let text = found.as_text();
        let (key, value) = match to {
            To::Text(key) => (key, text.map(Value::from)),
            To::Number(key) => (
                key,
                text.and_then(|t| t.parse::<i64>().ok()).map(Value::from),
            ),
            To::Truth(key) => (key, text.map(|t| Value::from(matches!(t, "true" | "1")))),
            To::Texts(key) => (
                key,
                Some(tree.all(name).filter_map(Tree::as_text).collect()),
            ),
            To::Codes(key, table) => {
                let known = |text| table.iter().find(|(known, _)| *known == text);
                let all = tree.all(name).filter_map(Tree::as_text).filter_map(known);
                (key, Some(all.map(|(_, value)| *value).collect()))
            }
            To::Code(key, table) => {
                let known = table.iter().find(|(known, _)| Some(*known) == text);
                (key, known.map(|(_, value)| Value::from(*value)))
            }
            To::Members(key, inner) => (key, Some(Value::Object(translated(found, inner)))),
        };
        if let Some(value) = value {
            out.insert((*key).to_owned(), value);
        }
    }
    out
}
