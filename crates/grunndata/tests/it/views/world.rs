//! All registers over a temporary store, the FHIR service over them, and a client.

use crate::persons::world::{
    BASE, HOSPITAL, ISSUER, KARI, NOW, NOW_S, SINCE, everybody, hospital, merged,
};
use crate::place::Node;
pub use crate::wire::Answer;
use crate::wire::{Journal, checker, send, signed};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use grunndata::fhir::{FhirParts, GrunndataFhir, PREFIX};
use grunndata::persons::access;
use jose::jwk::KeyKind;
use jose::keyring::Keyring;
use jose::{Alg, names};
use registers::directory::{PartyKind, ServiceCode};
use registers::gplists::record::{DoctorCycle, OPEN, OWN_DOCTOR};
use registers::gplists::{GpContract, GpLists};
use registers::kernel::EntryId;
use registers::kernel::period::{Moment, Period};
use registers::organisations::business::Coordinates;
use registers::organisations::resh::Resh;
use registers::organisations::{Business, OpeningHours, ReshUnit};
use registers::parties::{ElectronicAddress, PartyRecord, PhysicalAddress};
use registers::personnel::record::{Approval, Requisition, Speciality, Suspension};
use registers::personnel::{Personnel, PersonnelRegister, Short};
use registers::table::Row;
use registers::{PersonName, RegisterTable};
use serde_json::{Value, json};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use store::{AuditEntry, Durability};

pub const UNIT: &str = "974760673";
pub const RESH: u32 = 4_200_123;
/// A unit of RESH without a number in Enhetsregisteret.
pub const WARD_RESH: u32 = 4_200_124;
pub const TOP: u32 = 90_011;
pub const WARD: u32 = 90_012;
pub const DOCTOR_PARTY: u32 = 90_013;
pub const HPR: u32 = 1_010_037;
pub const CONTRACT: i64 = 1_001;

pub struct World {
    pub lists: Arc<GpLists>,
    pub table: Arc<RegisterTable>,
    router: Router,
    pub journal: Arc<Mutex<Vec<(AuditEntry, Durability)>>>,
    /// The journal refuses.
    pub broken: Arc<AtomicBool>,
    ring: Keyring,
}

/// A refusal of the service.
pub trait Refused {
    /// The issue of its OperationOutcome.
    fn refused(self, status: u16) -> Value;
}

impl Refused for Answer {
    fn refused(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        let outcome = self.json();
        assert_eq!(outcome["resourceType"], "OperationOutcome");
        outcome["issue"][0].clone()
    }
}

/// Resources of a bundle.
pub fn resources(bundle: &Value) -> Vec<Value> {
    assert_eq!(bundle["resourceType"], "Bundle");
    let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
    entries
        .into_iter()
        .map(|entry| entry["resource"].clone())
        .collect()
}

fn short(code: &str) -> Short {
    Short::new(code).unwrap()
}

fn address(code: &str, address: &str) -> ElectronicAddress {
    ElectronicAddress {
        code: code.to_owned(),
        address: address.to_owned(),
        changed: SINCE,
        from: None,
    }
}

fn parties() -> Vec<PartyRecord> {
    let party = |her_id, kind, name| {
        let mut party = PartyRecord::new(her_id, kind, name, HOSPITAL, SINCE);
        party.valid = Period::since(SINCE);
        party
    };
    let mut top = party(TOP, PartyKind::Organisation, "Nordlys sykehus HF");
    top.business_type = Some("101".to_owned());
    top.electronic = vec![
        address("E_EDI", "90011@edi.example"),
        address("E_SB_ASYNC", "localhost/Helsenav/90011_async"),
        address("E_TLF", "+47 22 00 00 00"),
    ];
    top.physical = vec![PhysicalAddress {
        code: "RES".to_owned(),
        street: Some("Testtorget 1".to_owned()),
        postbox: None,
        postcode: Some("0110".to_owned()),
        city: Some("OSLO".to_owned()),
        country: Some("NO".to_owned()),
        description: None,
        changed: SINCE,
    }];
    let mut ward = party(WARD, PartyKind::Service, "Medisinsk avdeling");
    ward.parent = Some(TOP);
    ward.service = Some(ServiceCode {
        list: "8668".to_owned(),
        code: "02".to_owned(),
    });
    let mut doctor = party(DOCTOR_PARTY, PartyKind::Person, "Nils Moen");
    doctor.parent = Some(TOP);
    doctor.hpr = Some(HPR.to_string());
    doctor.title = Some("Overlege".to_owned());
    vec![top, ward, doctor]
}

fn businesses() -> Vec<Business> {
    let mut unit = Business::new(UNIT, "Nordlys sykehus, medisin", SINCE);
    unit.parent = Some(HOSPITAL.to_owned());
    unit.resh = Some(RESH);
    unit.physical = parties()[0].physical.clone();
    unit.coordinates = Some(Coordinates {
        latitude_udeg: 59_913_900,
        longitude_udeg: 10_752_200,
    });
    let mut closed = Business::new("310000017", "Nordlys gamle klinikk", SINCE);
    closed.valid = Period::ALWAYS.ended(Moment(SINCE.0 + 1));
    vec![unit, closed]
}

fn resh_units() -> Vec<ReshUnit> {
    let unit = |id, name: &str, orgnr: Option<&str>, parent| ReshUnit {
        id,
        name: name.to_owned(),
        parent,
        orgnr: orgnr.map(str::to_owned),
        level: Some("3".to_owned()),
        designation: Some("1".to_owned()),
        her_id: None,
        valid: Period::ALWAYS,
        changed: SINCE,
    };
    vec![
        unit(RESH, "Medisin", Some(UNIT), None),
        unit(WARD_RESH, "Nordlys sengepost", None, Some(RESH)),
    ]
}

fn doctor() -> Personnel {
    let name = PersonName {
        given: "Nils".to_owned(),
        middle: Some("Ås".to_owned()),
        family: "Moen".to_owned(),
    };
    let since = Period::since(SINCE);
    let approval = |no, profession: &str| Approval {
        no,
        profession: short(profession),
        authorisation: short("1"),
        valid: since,
        ..Approval::default()
    };
    let mut own = approval(1, "LE");
    own.requisitions = vec![Requisition {
        no: 2,
        kind: short("1"),
        valid: since,
        ..Requisition::default()
    }];
    own.specialities = vec![Speciality {
        no: 3,
        kind: short("152"),
        valid: since,
        ..Speciality::default()
    }];
    let mut suspended = approval(4, "SP");
    suspended.seldom.suspensions = vec![Suspension {
        no: 5,
        period: since,
    }];
    let mut nils = Personnel::new(HPR, name);
    nils.nin = Some(KARI.parse().unwrap());
    nils.approvals = vec![own, suspended];
    nils.last_part = 5;
    nils
}

fn contract() -> GpContract {
    GpContract {
        id: CONTRACT,
        name: "Moens liste".to_owned(),
        office: UNIT.parse().unwrap(),
        status: short(OPEN),
        max_patients: 10,
        valid: Period::since(SINCE),
        doctors: vec![DoctorCycle {
            hpr: HPR,
            valid: Period::since(SINCE),
            relationship: short(OWN_DOCTOR),
            ..DoctorCycle::default()
        }],
        ..GpContract::default()
    }
}

impl World {
    pub fn new(node: &Node) -> Self {
        let table = Arc::new(RegisterTable::open(node.store.clone(), node.grant()).unwrap());
        let mut rows = vec![Row::Organisation(Box::new(hospital()))];
        let parties = parties().into_iter().map(Box::new);
        rows.extend(parties.map(Row::CommunicationParty));
        rows.extend(businesses().into_iter().map(Box::new).map(Row::Business));
        table.import(rows).unwrap();
        let mut top = table.businesses().get(HOSPITAL).unwrap().content.clone();
        top.her_id = Some(TOP);
        top.hours = Some(OpeningHours::weekdays(480, 960).unwrap());
        table.businesses().put(vec![top]).unwrap();
        let persons = table.persons().clone();
        persons.change(everybody(), NOW).unwrap();
        merged(&persons);
        let resh = Resh::open(node.store.clone(), node.grant()).unwrap();
        let units: Vec<_> = resh_units()
            .into_iter()
            .map(|unit| (EntryId::random(), unit))
            .collect();
        resh.change(&units).unwrap();
        let personnel = PersonnelRegister::open(node.store.clone(), node.grant()).unwrap();
        personnel.create(doctor()).unwrap();
        let lists = Arc::new(GpLists::open(node.store.clone(), node.grant()).unwrap());
        lists.create_contract(contract()).unwrap();
        let ring = Keyring::generate(KeyKind::P256, Alg::Es256, "test", NOW_S).unwrap();
        let server = checker(&ring, (ISSUER, access::AUDIENCE), BASE, NOW_S);
        let journal = Journal::default();
        let kept = journal.clone();
        let service = GrunndataFhir::start(FhirParts {
            persons,
            personnel: Arc::new(personnel),
            lists: lists.clone(),
            businesses: table.businesses().clone(),
            parties: table.parties().clone(),
            resh: Arc::new(resh),
            server,
            journal: Arc::new(move |entry, durability| kept.append(entry, durability)),
            directory: table.clone(),
            clock: Arc::new(|| NOW.0 * 1_000),
            now_s: Arc::new(|| NOW_S),
            bases: vec!["https://localhost:8443".to_owned(), BASE.to_owned()],
        })
        .unwrap();
        Self {
            lists,
            table,
            router: service.router(),
            journal: journal.entries,
            broken: journal.broken,
            ring,
        }
    }

    pub fn token(&self, scope: &str) -> String {
        let claims = json!({"iss": ISSUER, "aud": access::AUDIENCE, "iat": NOW_S, "nbf": NOW_S,
            "exp": NOW_S + 600, "client_id": "epj", "scope": [scope], "jti": "t",
            names::ORGNR_PARENT: HOSPITAL});
        signed(&self.ring, claims)
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        send(&self.router, request).await
    }

    fn request(&self, scope: &str, method: &str, path: &str) -> axum::http::request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("{PREFIX}{path}"))
            .header("host", "127.0.0.1:8080")
            .header("authorization", format!("Bearer {}", self.token(scope)))
    }

    pub async fn get_as(&self, scope: &str, path: &str) -> Answer {
        let request = self.request(scope, "GET", path).body(Body::empty());
        self.send(request.unwrap()).await
    }

    /// With a legal basis.
    pub async fn get(&self, path: &str) -> Answer {
        self.get_as(access::WITH_LEGAL_BASIS, path).await
    }

    pub async fn post_as(&self, scope: &str, path: &str, form: &str) -> Answer {
        let request = self
            .request(scope, "POST", path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(form.to_owned()));
        self.send(request.unwrap()).await
    }

    /// With a legal basis.
    pub async fn post(&self, path: &str, form: &str) -> Answer {
        self.post_as(access::WITH_LEGAL_BASIS, path, form).await
    }
}
