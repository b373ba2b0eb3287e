//! A small nation over a temporary store: Kari, two doctors, the real decision maker and service.

use helsenorge::{Citizen, Helsenorge};
use jiff::civil::date;
use jose::Alg;
use jose::jwk::KeyKind;
use jose::keyring::Keyring;
use registers::table::Row;
use registers::{
    Authorisation, Organisation, Person, PersonName, Practitioner, Protection, RegisterTable, Sex,
    Workplace,
};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use store::{Filter, HeadSigner, RepoKind, RepositoryDecl, Seq, Store, StoreConfig};
use trust::gather::SubjectRef;
use trust::{Access, Ask, Basis, Class, Controller, Decided, Interface, Principal};
use trust::{Trust, TrustConfig};

pub const MINUTE_US: i64 = 60_000_000;
pub const DAY_US: i64 = 24 * 60 * MINUTE_US;
pub const NOW: &str = "2026-11-23T11:00:00Z";

pub const KARI: &str = "14896849817";
pub const DEAD: &str = "17854149881";
pub const CHILD: &str = "09831899945";
/// National id and HPR number.
pub const MOEN: (&str, &str) = ("21927249992", "565900022");
pub const SOLBERG: (&str, &str) = ("12837449934", "565900011");
pub const HOSPITAL: &str = "315900077";

pub struct World {
    _folder: tempfile::TempDir,
    pub store: Store,
    pub trust: Arc<Trust>,
    pub table: Arc<RegisterTable>,
    pub service: Arc<Helsenorge>,
    clock: Arc<AtomicI64>,
}

fn name(given: &str, family: &str) -> PersonName {
    PersonName {
        given: given.to_owned(),
        middle: None,
        family: family.to_owned(),
    }
}

fn person(nin: &str, given: &str, family: &str, born: jiff::civil::Date) -> Person {
    Person {
        nin: nin.to_owned(),
        historic: Vec::new(),
        name: name(given, family),
        born: Some(born),
        sex: Sex::Female,
        address: None,
        protection: Protection::Unclassified,
        died: None,
        language: None,
        relations: Vec::new(),
        gp: None,
        story: Some(given.to_lowercase()),
    }
}

fn doctor((nin, hpr): (&str, &str), given: &str, family: &str) -> Practitioner {
    Practitioner {
        hpr: Some(hpr.to_owned()),
        nin: nin.to_owned(),
        name: name(given, family),
        authorisations: vec![Authorisation {
            role: "LE".to_owned(),
            from: date(2010, 1, 1),
            to: None,
            suspended_from: None,
        }],
        speciality: None,
        workplaces: vec![Workplace {
            orgnr_parent: HOSPITAL.to_owned(),
            orgnr_child: "315900085".to_owned(),
            department: Some("Hjertemedisin".to_owned()),
            her_id: None,
        }],
        story: None,
    }
}

pub fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let declared = [
        (trust::settings::REPOSITORY, RepoKind::Patient),
        (trust::counted::REPOSITORY, RepoKind::Patient),
        (helsenorge::REPOSITORY, RepoKind::Patient),
    ]
    .into_iter()
    .map(|(name, kind)| RepositoryDecl::new(name, kind))
    .chain(registers::repositories())
    .collect();
    let mut config = StoreConfig::sqlite(folder.path(), declared);
    config.unsafe_no_sync = true;
    let (store, mint) = Store::open(config).unwrap();
    let open = mint.grant(Filter::Open, Seq(u64::MAX), 0);
    let table = Arc::new(RegisterTable::open(store.clone(), open).unwrap());
    let clock = Arc::new(AtomicI64::new(
        NOW.parse::<jiff::Timestamp>().unwrap().as_microsecond(),
    ));
    let now = clock.clone();
    let trust = Trust::new(
        store.clone(),
        mint,
        table.clone(),
        Arc::new(move || now.load(Ordering::SeqCst)),
        TrustConfig::default(),
    );
    let trust = Arc::new(trust.unwrap());
    table
        .import(vec![
            Row::Organisation(Box::new(Organisation {
                orgnr: HOSPITAL.to_owned(),
                name: "Nordlys sykehus HF".to_owned(),
                kinds: vec!["hospital".to_owned()],
                type_code: "101".to_owned(),
                her_id: 1,
                units: Vec::new(),
                approved: true,
                story: None,
            })),
            Row::Person(Box::new(person(KARI, "Kari", "Lunde", date(1968, 9, 14)))),
            Row::Person(Box::new(Person {
                died: Some(date(2026, 11, 1)),
                ..person(DEAD, "Solveig", "Hansen", date(1941, 5, 17))
            })),
            Row::Person(Box::new(person(CHILD, "Emil", "Nguyen", date(2018, 3, 9)))),
            Row::Practitioner(Box::new(doctor(MOEN, "Stian", "Moen"))),
            Row::Practitioner(Box::new(doctor(SOLBERG, "Anders", "Solberg"))),
        ])
        .unwrap();
    let service = Arc::new(Helsenorge::new(trust.clone()).unwrap());
    World {
        _folder: folder,
        store,
        trust,
        table,
        service,
        clock,
    }
}

impl World {
    pub fn kari(&self) -> Citizen {
        self.service.citizen(KARI).unwrap()
    }

    /// Story time passes.
    pub fn pass(&self, micros: i64) {
        self.clock.fetch_add(micros, Ordering::SeqCst);
    }

    /// A doctor looks at Kari through a service; the line is written.
    pub fn look(&self, who: (&str, &str), service: &'static str, basis: Basis) -> Decided {
        let principal = Principal::Personnel {
            nin: who.0.to_owned(),
            hpr: Some(who.1.to_owned()),
            role: None,
            security_level: "4".to_owned(),
            orgnr_parent: HOSPITAL.to_owned(),
            orgnr_child: "315900085".to_owned(),
            client_id: "epj".to_owned(),
        };
        let controller = match service {
            "provesvar" => Controller::PPS,
            _ => Controller::KJ,
        };
        let class = match controller {
            Controller::PPS => Class::LabReport,
            _ => Class::CriticalInfo,
        };
        let ask = Ask::read(Interface::PersonnelPortal, controller, basis).with_classes([class]);
        let subject = Some(SubjectRef::Nin(KARI.to_owned()));
        let access = Access::new(principal, subject, ask, service);
        let decided = self
            .trust
            .decide(&self.store.snapshot().unwrap(), &access)
            .unwrap();
        self.trust.record(&decided, &[]).unwrap();
        decided
    }

    /// Seals the log and signs its head; the public keys.
    pub fn seal(&self) -> serde_json::Value {
        let keys = ring();
        self.store.seal().unwrap();
        let today = trust::gather::oslo_date(edge::clock::real_now_us()).to_string();
        self.store
            .sign_head(&Signer(keys.clone()), &today, false)
            .unwrap();
        keys.lock().unwrap().jwks()
    }
}

pub fn ring() -> Arc<Mutex<Keyring>> {
    let ring = Keyring::generate(KeyKind::P256, Alg::Es256, "test", 0).unwrap();
    Arc::new(Mutex::new(ring))
}

struct Signer(Arc<Mutex<Keyring>>);

impl HeadSigner for Signer {
    fn sign(&self, payload: &serde_json::Value) -> Result<String, String> {
        let claims = jose::jwt::Claims(payload.as_object().unwrap().clone());
        let keys = self.0.lock().unwrap();
        keys.sign("helsenav-log-head+jwt", &claims)
            .map_err(|e| e.to_string())
    }
}
