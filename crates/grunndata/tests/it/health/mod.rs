//! The registers of personnel and GP lists at their edges, on every engine at hand.

mod bad;
mod events;
mod flr;
mod hpr;

use crate::place::Node;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use base64::Engine;
use edge::soap::{Host, User, Users};
use grunndata::flr::{Flr, FlrParts};
use grunndata::hpr::Hpr;
use grunndata::subscriptions::Subscriptions;
use jiff::civil::date;
use registers::gplists::GpLists;
use registers::kernel::period::Moment;
use registers::organisations::Business;
use registers::parties::{ElectronicAddress, PhysicalAddress};
use registers::personnel::PersonnelRegister;
use registers::table::Row;
use registers::{Authorisation, Person, PersonName, Practitioner, Protection, RegisterTable, Sex};
use std::sync::{Arc, Mutex};
use store::{AuditEntry, Durability};

/// 2026-11-22T12:00:00Z.
const NOW_S: i64 = 1_795_348_800;
const PASSWORD: &str = "et-langt-passord";
const OFFICE: &str = "313325016";
const UNIT: &str = "313325024";
/// Synthetic ids: two patients and a doctor. The second patient has a protected address.
const PATIENT: &str = "13116900216";
const PROTECTED: &str = "41667987421";
const DOCTOR: &str = "12705825562";
const HPR: &str = "1010037";

type Journal = Arc<Mutex<Vec<(AuditEntry, Durability)>>>;

pub struct World {
    router: Router,
    pub table: Arc<RegisterTable>,
    pub journal: Journal,
    pub lists: Arc<GpLists>,
    pub personnel: Arc<PersonnelRegister>,
    pub flr: Arc<Flr>,
    pub subscriptions: Arc<Subscriptions>,
}

fn name(given: &str, family: &str) -> PersonName {
    PersonName {
        given: given.to_owned(),
        middle: None,
        family: family.to_owned(),
    }
}

fn person(nin: &str, given: &str, protection: Protection) -> Row {
    Row::Person(Box::new(Person {
        nin: nin.to_owned(),
        historic: Vec::new(),
        name: name(given, "Blomst"),
        born: Some(date(1969, 11, 13)),
        sex: Sex::Female,
        address: None,
        protection,
        died: None,
        language: None,
        relations: Vec::new(),
        gp: None,
        story: None,
    }))
}

fn doctor() -> Row {
    Row::Practitioner(Box::new(Practitioner {
        hpr: Some(HPR.to_owned()),
        nin: DOCTOR.to_owned(),
        name: name("Dyktig", "Lege"),
        authorisations: vec![Authorisation {
            role: "LE".to_owned(),
            from: date(2001, 7, 1),
            to: None,
            suspended_from: None,
        }],
        speciality: Some("Allmennmedisin".to_owned()),
        workplaces: Vec::new(),
        story: None,
    }))
}

/// A main unit with an address, and a unit that has none of its own.
fn offices() -> [Row; 2] {
    let since = Moment::of_day(date(2020, 1, 1));
    let mut main = Business::new(OFFICE, "Fjordglott legekontor AS", since);
    main.physical = vec![PhysicalAddress {
        code: "RES".to_owned(),
        street: Some("Torget 1".to_owned()),
        postbox: None,
        postcode: Some("0902".to_owned()),
        city: Some("OSLO".to_owned()),
        country: Some("NO".to_owned()),
        description: None,
        changed: since,
    }];
    main.electronic = vec![ElectronicAddress {
        code: "E_TLF".to_owned(),
        address: "22 11 11 11".to_owned(),
        changed: since,
        from: None,
    }];
    let mut unit = Business::new(UNIT, "Fjordglott legekontor avd. nord", since);
    unit.parent = Some(OFFICE.to_owned());
    [main, unit].map(|b| Row::Business(Box::new(b)))
}

fn users() -> Users {
    let user = |name: &str, roles: &[&str]| {
        let user = User {
            name: name.to_owned(),
            roles: roles.iter().map(|r| (*r).to_owned()).collect(),
        };
        (user, edge::soap::users::hash_random(PASSWORD))
    };
    Users::new([
        user("OrgUsr313325016", &["HprRead", "FlrRead"]),
        user("OrgUsr315900077", &["FlrLookup"]),
        user("OrgUsr994598759", &["Administrator"]),
    ])
}

pub const USER: &str = "OrgUsr313325016";
pub const OTHER: &str = "OrgUsr315900077";
pub const OWNER: &str = "OrgUsr994598759";

impl World {
    fn new(node: &Node) -> Self {
        let table = Arc::new(RegisterTable::open(node.store.clone(), node.grant()).unwrap());
        let rows = vec![
            person(PATIENT, "Vakker", Protection::Unclassified),
            person(PROTECTED, "Skjult", Protection::StrictlyConfidential),
            person(DOCTOR, "Dyktig", Protection::Unclassified),
            doctor(),
        ];
        let rows = rows.into_iter().chain(offices()).collect();
        table.import(rows).unwrap();
        let open = |s: &store::Store| PersonnelRegister::open(s.clone(), node.grant());
        let personnel = Arc::new(open(&node.store).unwrap());
        let loaded = personnel.load_from(&*table, Moment::of_day(date(2026, 1, 1)));
        assert_eq!(loaded, Ok(1));
        table.attach_personnel(personnel.clone());
        let lists = Arc::new(GpLists::open(node.store.clone(), node.grant()).unwrap());
        table.attach_gp_lists(lists.clone());
        let journal = Journal::default();
        let lines = journal.clone();
        let flr = Flr::new(FlrParts {
            lists: lists.clone(),
            directory: table.clone(),
            businesses: table.businesses().clone(),
            now: Arc::new(|| NOW_S * 1_000_000),
            journal: Arc::new(move |entry, durability| {
                lines.lock().unwrap().push((entry, durability));
                Ok(())
            }),
        });
        let hpr = Arc::new(Hpr {
            register: personnel.clone(),
            now: Arc::new(|| NOW_S * 1_000_000),
        });
        let mut host = Host::new(Arc::new(users()), vec!["https://localhost:8443".to_owned()]);
        for mount in flr.mounts().unwrap() {
            host.mount(mount);
        }
        host.mount(hpr.mount().unwrap());
        let subscriptions = Subscriptions::open(node.store.clone(), node.grant()).unwrap();
        let subscriptions = Arc::new(subscriptions);
        Self {
            router: host.router(),
            table,
            journal,
            lists,
            personnel,
            flr,
            subscriptions,
        }
    }

    /// A call over SOAP 1.2 with WS-Addressing (1.1 for the export): status and envelope.
    async fn call(
        &self,
        path: &str,
        contract: &str,
        operation: &str,
        parameters: &str,
        user: &str,
    ) -> (StatusCode, String) {
        let is_11 = path.ends_with("export");
        let (namespace, _) = contract.rsplit_once('/').unwrap();
        let action = format!("{contract}/{operation}");
        let inside = format!(
            r#"<{operation} xmlns="{namespace}" xmlns:i="http://www.w3.org/2001/XMLSchema-instance" xmlns:no="http://schemas.nhn.no/reg/Common/no" xmlns:c="http://register.nhn.no/Common" xmlns:en="http://schemas.nhn.no/reg/Common/en" xmlns:arr="http://schemas.microsoft.com/2003/10/Serialization/Arrays">{parameters}</{operation}>"#
        );
        let (content_type, body) = if is_11 {
            (
                "text/xml; charset=utf-8",
                format!(
                    r#"<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>{inside}</s:Body></s:Envelope>"#
                ),
            )
        } else {
            (
                "application/soap+xml; charset=utf-8",
                format!(
                    r#"<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://www.w3.org/2005/08/addressing"><s:Header><a:Action s:mustUnderstand="1">{action}</a:Action><a:MessageID>urn:uuid:1</a:MessageID><a:To s:mustUnderstand="1">https://localhost:8443{path}</a:To></s:Header><s:Body>{inside}</s:Body></s:Envelope>"#
                ),
            )
        };
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{PASSWORD}"));
        let request = Request::post(path)
            .header("content-type", content_type)
            .header("soapaction", format!("\"{action}\""))
            .header("authorization", format!("Basic {basic}"))
            .body(Body::from(body))
            .unwrap();
        let answer = crate::wire::send(&self.router, request).await;
        (answer.status, answer.text)
    }
}

impl World {
    /// A body as it is, over SOAP 1.1: status and answer.
    async fn post(&self, path: &str, body: String, user: &str) -> (StatusCode, String) {
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{PASSWORD}"));
        let request = Request::post(path)
            .header("content-type", "text/xml; charset=utf-8")
            .header("soapaction", "\"x\"")
            .header("authorization", format!("Basic {basic}"))
            .body(Body::from(body))
            .unwrap();
        let answer = crate::wire::send(&self.router, request).await;
        (answer.status, answer.text)
    }
}

/// Text of the first element of this name, whatever its prefix.
fn text_of<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    for open in [format!("<{name}>"), format!(":{name}>")] {
        if let Some(at) = xml.find(&open) {
            let rest = &xml[at + open.len()..];
            return rest.find("</").map(|end| &rest[..end]);
        }
    }
    None
}

/// Runs a test with a world on every engine.
fn everywhere(test: impl AsyncFn(World)) {
    crate::place::everywhere(|place| {
        let node = place.start_hub();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let world = runtime.block_on(async { tokio::task::block_in_place(|| World::new(&node)) });
        runtime.block_on(test(world));
        drop(runtime);
        node.store.close();
    });
}
