//! The address register, collaboration protocols and event subscriptions at their edges, on every engine at hand.

mod cppa;
pub mod events;
mod kept;
mod rest;
mod shapes;
mod soap;
mod version1;

use crate::place::Node;
pub use crate::wire::Answer;
use crate::wire::{checker, send, signed};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use base64::Engine;
use edge::soap::{Host, User, Users};
use grunndata::ar::{self, AddressRegister, NowFn, Places};
use grunndata::cppa::{self as protocols, Cppa};
use grunndata::subscriptions::{self, Subscriptions};
use jose::Alg;
use jose::dpop::make_proof;
use jose::jwk::{KeyKind, PrivateJwk};
use jose::keyring::Keyring;
use jose::names;
use registers::directory::{PartyKind, ServiceCode};
use registers::kernel::EntryId;
use registers::kernel::period::{Moment, Period};
use registers::organisations::resh::Resh;
use registers::organisations::{Business, ReshUnit};
use registers::parties::{
    CertificateLine, CertificateUse, ElectronicAddress, PartyRecord, PhysicalAddress,
};
use registers::table::Row;
use registers::{Authorisation, Person, PersonName, Practitioner, Protection, RegisterTable, Sex};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

pub const NOW_S: i64 = 1_795_000_000;
pub const ISSUER: &str = "https://localhost:8444";
pub const BASE: &str = "https://localhost:8443";
/// A GP office, its doctor and one of its services; a hospital with a service.
pub const OFFICE: u32 = 90_001;
pub const DOCTOR: u32 = 90_002;
pub const WARD: u32 = 90_012;
pub const HOSPITAL: u32 = 90_011;
pub const OFFICE_NO: &str = "313325016";
pub const HOSPITAL_NO: &str = "315900077";
pub const HPR: &str = "1010037";
pub const PASSWORD: &str = "et-langt-passord";

pub struct World {
    pub router: Router,
    pub table: Arc<RegisterTable>,
    pub cppa: Arc<Cppa>,
    pub subscriptions: Arc<Subscriptions>,
    pub register: Arc<AddressRegister>,
    /// The clock of rules, seconds.
    pub clock: Arc<AtomicI64>,
    ring: Keyring,
    client: PrivateJwk,
}

pub fn at(seconds: i64) -> Moment {
    Moment(seconds * 1_000)
}

fn line(purpose: CertificateUse, serial: &str, der: u8) -> CertificateLine {
    CertificateLine {
        purpose,
        der: vec![der; 4],
        serial: serial.to_owned(),
        name: "Legekontoret".to_owned(),
        not_before_s: NOW_S - 1_000,
        not_after_s: NOW_S + 90 * 86_400,
        thumbprint: "AB".to_owned(),
        since: at(NOW_S - 500),
    }
}

fn top(her_id: u32, name: &str, orgnr: &str, kind: &str, serials: [&str; 2]) -> PartyRecord {
    let mut party = PartyRecord::new(
        her_id,
        PartyKind::Organisation,
        name,
        orgnr,
        at(NOW_S - 1_000),
    );
    party.business_type = Some(kind.to_owned());
    party.municipality = Some("0301".to_owned());
    party.valid = Period::since(at(NOW_S - 1_000));
    party.electronic = vec![ElectronicAddress {
        code: "E_EDI".to_owned(),
        address: format!("{her_id}@edi.example"),
        changed: at(NOW_S - 1_000),
        from: None,
    }];
    party.physical = vec![PhysicalAddress {
        code: "RES".to_owned(),
        street: Some("Testtorget 1".to_owned()),
        postbox: None,
        postcode: Some("0110".to_owned()),
        city: Some("OSLO".to_owned()),
        country: Some("NO".to_owned()),
        description: None,
        changed: at(NOW_S - 1_000),
    }];
    party.certificates = vec![
        line(CertificateUse::Encryption, serials[0], 1),
        line(CertificateUse::Signing, serials[1], 2),
    ];
    ar::with_queues(
        &mut party,
        &format!("localhost/Helsenav/{her_id}"),
        at(NOW_S - 1_000),
    );
    party
}

fn parties() -> Vec<PartyRecord> {
    let office = top(
        OFFICE,
        "Fjordglott legekontor AS",
        OFFICE_NO,
        "103",
        ["11", "12"],
    );
    let mut doctor = PartyRecord::new(
        DOCTOR,
        PartyKind::Person,
        "Nils Moen",
        OFFICE_NO,
        at(NOW_S - 900),
    );
    doctor.parent = Some(OFFICE);
    doctor.hpr = Some(HPR.to_owned());
    let hospital = top(
        HOSPITAL,
        "Nordlys sykehus HF",
        HOSPITAL_NO,
        "101",
        ["21", "22"],
    );
    let mut ward = PartyRecord::new(
        WARD,
        PartyKind::Service,
        "Medisinsk avdeling",
        HOSPITAL_NO,
        at(NOW_S - 900),
    );
    ward.parent = Some(HOSPITAL);
    ward.service = Some(ServiceCode {
        list: "8668".to_owned(),
        code: "02".to_owned(),
    });
    vec![office, doctor, hospital, ward]
}

fn people() -> Vec<Row> {
    let nin = "14896849817".to_owned();
    let name = PersonName {
        given: "Nils".to_owned(),
        middle: None,
        family: "Moen".to_owned(),
    };
    let person = Person {
        nin: nin.clone(),
        historic: Vec::new(),
        name: name.clone(),
        born: Some(jiff::civil::date(1968, 9, 14)),
        sex: Sex::Male,
        address: None,
        protection: Protection::Unclassified,
        died: None,
        language: None,
        relations: Vec::new(),
        gp: None,
        story: None,
    };
    let practitioner = Practitioner {
        hpr: Some(HPR.to_owned()),
        nin,
        name,
        authorisations: vec![Authorisation {
            role: "LE".to_owned(),
            from: jiff::civil::date(1995, 1, 1),
            to: None,
            suspended_from: None,
        }],
        speciality: None,
        workplaces: Vec::new(),
        story: None,
    };
    vec![
        Row::Person(Box::new(person)),
        Row::Practitioner(Box::new(practitioner)),
    ]
}

/// One unit of the specialist health service: the ward.
fn resh(node: &Node) -> Arc<Resh> {
    let register = Resh::open(node.store.clone(), node.grant()).unwrap();
    let unit = ReshUnit {
        id: 4_200_123,
        name: "Medisinsk avdeling".to_owned(),
        parent: None,
        orgnr: Some(HOSPITAL_NO.to_owned()),
        level: None,
        designation: None,
        her_id: Some(WARD),
        valid: Period::ALWAYS,
        changed: at(NOW_S - 900),
    };
    register.change(&[(EntryId::random(), unit)]).unwrap();
    Arc::new(register)
}

pub fn users() -> Users {
    let user = |name: &str, roles: &[&str]| {
        let user = User {
            name: name.to_owned(),
            roles: roles.iter().map(|r| (*r).to_owned()).collect(),
        };
        (user, edge::soap::users::hash_random(PASSWORD))
    };
    Users::new([
        user(&format!("OrgUsr{OFFICE_NO}"), &[]),
        user(&format!("OrgUsr{HOSPITAL_NO}"), &[]),
        user("OrgUsr994598759", &["Administrator"]),
    ])
}

impl World {
    pub fn new(node: &Node) -> Self {
        let table = Arc::new(RegisterTable::open(node.store.clone(), node.grant()).unwrap());
        if table.is_empty() {
            let mut rows: Vec<Row> = parties()
                .into_iter()
                .map(|p| Row::CommunicationParty(Box::new(p)))
                .collect();
            for (orgnr, name) in [
                (OFFICE_NO, "Fjordglott legekontor AS"),
                (HOSPITAL_NO, "Nordlys sykehus HF"),
                ("310000017", "Ny klinikk AS"),
            ] {
                let business = Business::new(orgnr, name, at(NOW_S - 1_000));
                rows.push(Row::Business(Box::new(business)));
            }
            rows.extend(people());
            table.import(rows).unwrap();
        }
        let clock_s = Arc::new(AtomicI64::new(NOW_S));
        let seconds = clock_s.clone();
        let now: NowFn = Arc::new(move || seconds.load(Ordering::SeqCst) * 1_000_000);
        let register = Arc::new(AddressRegister {
            parties: table.parties().clone(),
            businesses: table.businesses().clone(),
            resh: resh(node),
            directory: table.clone(),
            now: now.clone(),
            places: Places::default(),
        });
        let (store, parties) = (node.store.clone(), table.parties().clone());
        let cppa = Cppa::open(store.clone(), node.grant(), parties, now.clone()).unwrap();
        let cppa = Arc::new(cppa);
        let subscriptions = Arc::new(Subscriptions::open(store, node.grant()).unwrap());
        let mut host = Host::new(Arc::new(users()), vec![BASE.to_owned()]);
        for mount in ar::service::mounts(&register).unwrap() {
            host.mount(mount);
        }
        host.mount(protocols::soap::mount(&cppa).unwrap());
        host.mount(subscriptions::soap::mount(&subscriptions, &now).unwrap());
        let ring = Keyring::generate(KeyKind::P256, Alg::Es256, "test", NOW_S).unwrap();
        let server = |audience: &str| checker(&ring, (ISSUER, audience), BASE, NOW_S);
        let clock: Arc<dyn Fn() -> i64 + Send + Sync> = Arc::new(|| NOW_S);
        let router = host
            .router()
            .merge(ar::rest::router(
                register.clone(),
                server(ar::rest::AUDIENCE),
                clock.clone(),
            ))
            .merge(protocols::rest::router(
                cppa.clone(),
                server(protocols::rest::AUDIENCE),
                clock,
            ));
        Self {
            router,
            table,
            cppa,
            subscriptions,
            register,
            clock: clock_s,
            ring,
            client: PrivateJwk::generate(KeyKind::P256, Some(Alg::Es256)).unwrap(),
        }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        send(&self.router, request).await
    }

    /// SOAP 1.1 as a stock client sends it: element and SOAPAction of the operation, parameters inside.
    pub async fn soap(
        &self,
        path: &str,
        contract: (&str, &str),
        operation: &str,
        parameters: &str,
        user: &str,
    ) -> Answer {
        let (namespace, interface) = contract;
        let body = format!(
            r#"<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><{operation} xmlns="{namespace}">{parameters}</{operation}></s:Body></s:Envelope>"#
        );
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{PASSWORD}"));
        let request = Request::builder()
            .method("POST")
            .uri(path)
            .header("content-type", "text/xml; charset=utf-8")
            .header(
                "soapaction",
                format!("\"{namespace}/{interface}/{operation}\""),
            )
            .header("authorization", format!("Basic {basic}"))
            .body(Body::from(body))
            .unwrap();
        self.send(request).await
    }

    /// A call of the address register by the office's user.
    pub async fn ar(&self, operation: &str, parameters: &str) -> Answer {
        self.ar_as(&format!("OrgUsr{OFFICE_NO}"), operation, parameters)
            .await
    }

    pub async fn ar_as(&self, user: &str, operation: &str, parameters: &str) -> Answer {
        let contract = (
            "http://register.nhn.no/CommunicationParty",
            "ICommunicationPartyService",
        );
        self.soap("/v1/AR/Basic", contract, operation, parameters, user)
            .await
    }

    /// A REST call with DPoP; `scope` and `audience` of the token.
    pub async fn rest(
        &self,
        (method, path): (&str, &str),
        (audience, scope): (&str, &str),
        orgnr: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let jkt = self.client.public().thumbprint();
        let claims = json!({"iss": ISSUER, "aud": audience, "iat": NOW_S, "nbf": NOW_S,
            "exp": NOW_S + 600, "client_id": "epj", "scope": [scope], "jti": "t",
            "cnf": {"jkt": jkt}, names::ORGNR_PARENT: orgnr});
        let token = signed(&self.ring, claims);
        let url = format!("{BASE}{}", path.split('?').next().unwrap());
        let proof = make_proof(&self.client, method, &url, Some(&token), None, NOW_S).unwrap();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("DPoP {token}"))
            .header("dpop", proof);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map_or_else(Body::empty, |b| Body::from(b.to_string()));
        self.send(request.body(body).unwrap()).await
    }

    /// A GET of the CommunicationParty API.
    pub async fn cp(&self, path: &str) -> Answer {
        let path = format!("{}{path}", ar::rest::PREFIX);
        let token = (ar::rest::AUDIENCE, ar::rest::SCOPE);
        self.rest(("GET", &path), token, OFFICE_NO, None, &[]).await
    }
}

/// Text of the first element of this name, whatever its prefix and attributes.
pub fn text_of<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    xml.split('<').find_map(|tag| {
        let (head, text) = tag.split_once('>')?;
        let tag_name = head.split([' ', '/']).next()?;
        let local = tag_name.rsplit(':').next()?;
        let is_start = !head.starts_with('/') && !head.ends_with('/');
        (is_start && local == name).then_some(text)
    })
}

/// Runs a test with a world on every engine.
pub fn everywhere(test: impl AsyncFn(World)) {
    crate::place::everywhere(|place| {
        let node = place.start_hub();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let world = runtime.block_on(async { tokio::task::block_in_place(|| World::new(&node)) });
        runtime.block_on(test(world));
        drop(runtime);
        node.store.close();
    });
}
