//! A small register over a temporary store, the service over it, and a client with a key. Everybody is made up.

use crate::place::Node;
pub use crate::wire::Answer;
use crate::wire::{Journal, checker, send, signed};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use grunndata::persons::{PREFIX, Persontjenesten, PersontjenestenParts, access};
use jiff::civil::{Date, date};
use jose::dpop::make_proof;
use jose::jwk::KeyKind;
use jose::keyring::Keyring;
use jose::{Alg, PrivateJwk, names};
use registers::kernel::EntryId;
use registers::kernel::period::Moment;
use registers::kernel::timeline::Origin;
use registers::persons::codes::{
    AddressForm, FamilyRole, Gender, GuardianshipScope, GuardianshipType, MaritalStatusType,
    OtherPart, PersonStatus, ProtectionLevel, ResponsibilityType,
};
use registers::persons::document::{
    Address, Birth, FamilyRelation, Guardianship, Identifier, Marital, Name, PersonDocument,
    Responsibility,
};
use registers::persons::{PersonRegister, life};
use registers::table::Row;
use registers::{Organisation, RegisterTable};
use serde_json::{Value, json};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use store::{AuditEntry, Durability};

pub const NOW_S: i64 = 1_795_000_000;
pub const NOW: Moment = Moment(NOW_S * 1_000);
pub const ISSUER: &str = "https://localhost:8444";
pub const BASE: &str = "http://127.0.0.1:8080";
pub const HOSPITAL: &str = "315900077";
pub const SINCE: Moment = Moment(1_600_000_000_000);

/// In every address of these persons; never in an answer that must not have one.
pub const STREET: &str = "Hemmeligveien";

pub const KARI: &str = "14896849817";
pub const CHILD: &str = "09831899945";
/// Discontinued; leads to [`KARI`].
pub const KARI_EARLIER: &str = "54896800017";
pub const CLIENT_ADDRESS: &str = "17854149881";
pub const CODE_7: &str = "21927249992";
pub const CODE_6: &str = "12837449934";
/// Merged into [`KARI`].
pub const DOUBLE: &str = "60896800099";
pub const HELP_NUMBER: &str = "80000000099";
pub const DUF: &str = "201234567890";
pub const LOST: &str = "05898597468";

/// The entry of a person of this world.
pub fn id(nin: &str) -> EntryId {
    EntryId(u128::from(nin.parse::<u64>().unwrap()) << 32 | 0xfeed)
}

fn origin() -> Origin {
    Origin {
        registered: SINCE,
        source: Some("KILDE_DSF".to_owned()),
        reason: None,
    }
}

pub fn address(grading: ProtectionLevel) -> Address {
    Address {
        form: AddressForm::Street,
        street: STREET.to_owned(),
        number: "12".to_owned(),
        letter: "B".to_owned(),
        unit: "H0101".to_owned(),
        care_of: String::new(),
        postcode: 301,
        place: "OSLO".to_owned(),
        municipality: 301,
        district: Some(30_101),
        basic_unit: Some(3_010_401),
        moved: Some(date(2020, 5, 17)),
        grading,
        abroad: None,
        elsewhere: None,
    }
}

/// A person with something in every part.
pub fn person(nin: &str, given: &str, level: ProtectionLevel) -> PersonDocument {
    let mut p = PersonDocument::default();
    let own = Identifier::parse(nin).unwrap();
    let other = Some(Identifier::parse(CHILD).unwrap().number);
    let _ = p.identifiers.add(own, SINCE, origin());
    let before = Name {
        given: given.to_owned(),
        middle: None,
        family: "Ugift".to_owned(),
    };
    let now = Name {
        middle: Some("Mellom".to_owned()),
        family: "Prøve".to_owned(),
        ..before.clone()
    };
    let _ = p.name.set(before, SINCE, origin());
    let _ = p.name.set(now, Moment(SINCE.0 + 86_400_000), origin());
    let birth = Birth {
        date: Some(date(1968, 9, 14)),
        municipality: Some(301),
        ..Birth::default()
    };
    let _ = p.birth.set(birth, SINCE, origin());
    let _ = p.gender.set(Gender::Female, SINCE, origin());
    let _ = p.status.set(PersonStatus::Resident, SINCE, origin());
    let _ = p.protection.set(level, SINCE, origin());
    for line in [&mut p.residential, &mut p.present, &mut p.shared] {
        let _ = line.set(address(ProtectionLevel::Unclassified), SINCE, origin());
    }
    let relation = FamilyRelation {
        person: other,
        role: FamilyRole::Child,
        mine: Some(FamilyRole::Mother),
    };
    let _ = p.family.add(relation, SINCE, origin());
    let responsibility = Responsibility {
        kind: ResponsibilityType::Joint,
        responsible: None,
        subject: other,
    };
    let _ = p.parental.add(responsibility, SINCE, origin());
    let marital = Marital {
        status: MaritalStatusType::Married,
        since: Some(date(1999, 6, 5)),
        spouse: other,
    };
    let _ = p.marital.set(marital, SINCE, origin());
    let _ = p.citizenship.add("NOR".to_owned(), SINCE, origin());
    let guardianship = Guardianship {
        kind: GuardianshipType::Adult,
        guardian: other,
        scope: Some(GuardianshipScope::PersonalInterests),
        personal: true,
        office: Some("Statsforvalteren i Oslo".to_owned()),
    };
    let _ = p.guardianship.add(guardianship, SINCE, origin());
    for (part, value) in kept() {
        let _ = p.other.entry(part).or_default().set(value, SINCE, origin());
    }
    p
}

/// Parts that are kept as they came, each with its own word, so that an answer can be searched for it.
pub fn kept() -> Vec<(OtherPart, Value)> {
    let postal = |grading: &str, street: &str| {
        json!({"addressConfidentiality": grading, "streetAddress": {"addressName": street,
            "streetAddressNumber": {"houseNumber": "1"}, "city": {"cityName": "OSLO", "postalCode": "0301"}}})
    };
    vec![
        (
            OtherPart::BirthInNorway,
            json!({"organizationName": "Fødeheimen", "multipleBirthNumber": 21}),
        ),
        (
            OtherPart::CitizenshipRetention,
            json!({"citizenshipRetentionStatus": "CitizenshipRetained", "retentionResolutionDate": "2001-02-03"}),
        ),
        (
            OtherPart::UseOfSamiLanguage,
            json!({"language": ["Nordsamisk"]}),
        ),
        (
            OtherPart::SamiParliamentElectoralRegistryStatus,
            json!({"status": "Enrolled", "resolutionDate": "2009-01-01"}),
        ),
        (
            OtherPart::FalseIdentity,
            json!({"isFalseIdentity": true, "isCorrectIdentityUnknown": true, "correctIdentityFromInformation":
                {"personName": {"givenName": "Falsk"}, "birthDate": "1970-01-01", "gender": "Male"}}),
        ),
        (
            OtherPart::IdentityVerification,
            json!({"identityVerificationStatus": "Verified"}),
        ),
        (
            OtherPart::ImmigrationToNorway,
            json!({"immigratedFromCountry": "SWE", "immigratedFromCity": "Lund"}),
        ),
        (
            OtherPart::EmigrationFromNorway,
            json!({"emigratedToCountry": "SWE", "emigratedMoveDate": "2011-01-01"}),
        ),
        (
            OtherPart::ResiduaryEstateContactInformation,
            json!({"probateCertificateType": "Public", "probateCertificateIssueDate": "2019-01-01",
                "lawyer": {"personName": {"givenName": "Advokat", "familyName": "Prøve"}},
                "contactAddress": {"addressLine": ["Kontoret 1"], "city": "OSLO"}}),
        ),
        (
            OtherPart::IdentificationDocument,
            json!({"documentNumber": "PASS-77", "documentType": "pass"}),
        ),
        (
            OtherPart::ResidencePermit,
            json!({"residencePermitType": "Permanent", "stayFrom": "2010-01-01"}),
        ),
        (
            OtherPart::StayOnSvalbard,
            json!({"startDate": "2012-01-01", "estimatedLengthOfStay": "Unknown"}),
        ),
        (
            OtherPart::PostalAddress,
            postal("Unclassified", "Postveien"),
        ),
        (
            OtherPart::ForeignPostalAddress,
            json!({"addressConfidentiality": "ClientAddress",
            "foreignAddress": {"addressName": "Klientgatan", "countryCode": "SE"}}),
        ),
        (
            OtherPart::PreferredContactAddress,
            json!({"addressType": "PostalAddress", "addressConfidentiality": "Unclassified"}),
        ),
        (
            OtherPart::ForeignPersonIdentificationNumber,
            json!({"identificationNumber": "FOREIGN-9", "issuerCountry": "POL"}),
        ),
        (OtherPart::DeprivedLegalAuthority, json!({})),
        (
            OtherPart::CommonContactRegisterInformation,
            json!({"reservation": "No", "status": "Active", "notificationStatus": "CanBeNotified",
                "contactInformation": {"email": "prove@example.org"}}),
        ),
        (
            OtherPart::LegalAuthority,
            json!({"legalAuthorityScope": "Limited"}),
        ),
    ]
}

pub fn everybody() -> Vec<(EntryId, PersonDocument)> {
    let mut kari = person(KARI, "Kari", ProtectionLevel::Unclassified);
    let earlier = Identifier {
        in_use: false,
        ..Identifier::parse(KARI_EARLIER).unwrap()
    };
    let _ = kari.identifiers.add(earlier, SINCE, origin());
    let duf = Identifier::parse(DUF).unwrap();
    let _ = kari.identifiers.add(duf, SINCE, origin());
    let double = person(DOUBLE, "Dobbel", ProtectionLevel::Unclassified);
    let mut lost = person(LOST, "Borte", ProtectionLevel::Unclassified);
    let _ = lost.status.set(PersonStatus::Disappeared, SINCE, origin());
    let _ = lost.death.set(Date::constant(2020, 2, 29), SINCE, origin());
    vec![
        (id(KARI), kari),
        (id(DOUBLE), double),
        (id(LOST), lost),
        (
            id(CHILD),
            person(CHILD, "Barn", ProtectionLevel::Unclassified),
        ),
        (
            id(CLIENT_ADDRESS),
            person(CLIENT_ADDRESS, "Klient", ProtectionLevel::ClientAddress),
        ),
        (
            id(CODE_7),
            person(CODE_7, "Fortrolig", ProtectionLevel::Confidential),
        ),
        (
            id(CODE_6),
            person(CODE_6, "Strengt", ProtectionLevel::StrictlyConfidential),
        ),
        (
            id(HELP_NUMBER),
            person(HELP_NUMBER, "Hjelp", ProtectionLevel::Unclassified),
        ),
    ]
}

/// [`DOUBLE`] is found to be [`KARI`].
pub fn merged(register: &PersonRegister) {
    let entry = |nin| register.log().entry(id(nin)).unwrap().unwrap().content;
    let (mut gone, mut stays) = (entry(DOUBLE), entry(KARI));
    life::merge((id(DOUBLE), &mut gone), (id(KARI), &mut stays), SINCE);
    let changes = vec![(id(DOUBLE), gone), (id(KARI), stays)];
    register.change(changes, NOW).unwrap();
}

pub struct World {
    pub register: Arc<PersonRegister>,
    pub router: Router,
    /// Entries of the journal as they were appended.
    pub journal: Arc<Mutex<Vec<(AuditEntry, Durability)>>>,
    /// The journal refuses.
    pub broken: Arc<AtomicBool>,
    ring: Keyring,
    client: PrivateJwk,
}

/// A refusal of the service.
pub trait Refused {
    /// The problem document, checked.
    fn refused(self, status: u16) -> Value;
}

impl Refused for Answer {
    fn refused(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        let kind = self.headers["content-type"].to_str().unwrap();
        assert_eq!(kind, "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string() && problem["type"].is_string());
        problem
    }
}

impl World {
    pub fn new(node: &Node) -> Self {
        let table = Arc::new(RegisterTable::open(node.store.clone(), node.grant()).unwrap());
        table
            .import(vec![Row::Organisation(Box::new(hospital()))])
            .unwrap();
        let register = table.persons().clone();
        register.change(everybody(), NOW).unwrap();
        merged(&register);
        let ring = Keyring::generate(KeyKind::P256, Alg::Es256, "test", NOW_S).unwrap();
        let server = checker(&ring, (ISSUER, access::AUDIENCE), BASE, NOW_S);
        let journal = Journal::default();
        let kept = journal.clone();
        let store = node.store.clone();
        let service = Persontjenesten::start(PersontjenestenParts {
            register: register.clone(),
            server,
            journal: Arc::new(move |entry, durability| {
                kept.append(entry.clone(), durability)?;
                store.audit(entry, durability)
            }),
            directory: table,
            clock: Arc::new(|| NOW.0 * 1_000),
            now_s: Arc::new(|| NOW_S),
        })
        .unwrap();
        Self {
            register,
            router: service.router(),
            journal: journal.entries,
            broken: journal.broken,
            ring,
            client: PrivateJwk::generate(KeyKind::P256, Some(Alg::Es256)).unwrap(),
        }
    }

    /// Changes the document of a person behind the service's back. Blocks: the store is not asynchronous.
    pub fn change(&self, nin: &str, change: impl FnOnce(&mut PersonDocument)) {
        tokio::task::block_in_place(|| {
            let entry = self.register.log().entry(id(nin)).unwrap();
            let mut document = entry.unwrap().content;
            change(&mut document);
            self.register
                .change(vec![(id(nin), document)], NOW)
                .unwrap();
        });
    }

    /// One person more.
    pub fn add(&self, nin: &str, document: PersonDocument) {
        tokio::task::block_in_place(|| {
            self.register
                .change(vec![(id(nin), document)], NOW)
                .unwrap()
        });
    }

    /// A token with these scopes; `change` goes over its claims.
    pub fn token(&self, scopes: &[&str], change: Value) -> String {
        let mut claims = json!({"iss": ISSUER, "aud": access::AUDIENCE, "iat": NOW_S, "nbf": NOW_S,
            "exp": NOW_S + 600, "client_id": "epj", "scope": scopes, "jti": "t",
            names::ORGNR_PARENT: HOSPITAL});
        for (name, value) in change.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        signed(&self.ring, claims)
    }

    /// A token bound to the client's key.
    pub fn bound_token(&self, scopes: &[&str]) -> String {
        let jkt = self.client.public().thumbprint();
        self.token(scopes, json!({"cnf": {"jkt": jkt}}))
    }

    pub fn proof(&self, method: &str, path: &str, token: &str) -> String {
        let path = path.split('?').next().unwrap();
        let url = format!("{BASE}{PREFIX}{path}");
        make_proof(&self.client, method, &url, Some(token), None, NOW_S).unwrap()
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        send(&self.router, request).await
    }

    /// A request as the contract has it: Bearer, version 2, form body.
    pub fn request(&self, method: &str, path: &str) -> axum::http::request::Builder {
        let scope = if path.starts_with("/api/legal-basis") {
            access::WITH_LEGAL_BASIS
        } else {
            access::NO_LEGAL_BASIS
        };
        Request::builder()
            .method(method)
            .uri(format!("{PREFIX}{path}"))
            .header(
                "authorization",
                format!("Bearer {}", self.token(&[scope], json!({}))),
            )
            .header("api-version", "2")
    }

    pub async fn get(&self, path: &str) -> Answer {
        let request = self.request("GET", path).body(Body::empty());
        self.send(request.unwrap()).await
    }

    pub async fn post(&self, path: &str, form: &str) -> Answer {
        let request = self
            .request("POST", path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(form.to_owned()));
        self.send(request.unwrap()).await
    }
}

pub fn hospital() -> Organisation {
    Organisation {
        orgnr: HOSPITAL.to_owned(),
        name: "Nordlys sykehus HF".to_owned(),
        kinds: vec!["hospital".to_owned()],
        type_code: "3".to_owned(),
        her_id: 8_140_000,
        units: Vec::new(),
        approved: true,
        story: None,
    }
}
