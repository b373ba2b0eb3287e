//! The portals' backend at its edge: sessions, CSRF, and pages by their address, on a real store.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests do"
)]

#[path = "it_parts/clients.rs"]
mod clients;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use edge::Problem;
use helseid::citizen::{Asked, CitizenConfig, Citizens, NoLogin, Representation, Represented};
use helseid::registry::{MemoryRegistryStore, Registry, RegistryParts};
use portal::counts::CountsQuery;
use portal::drift::{MessageQuery, Operations};
use portal::personnel::{Begun, Identity, LoginFuture, PersonnelLogin};
use portal::session::{PersonnelWho, Portal};
use portal::{PortalState, Sessions, Who};
use registers::table::Row;
use registers::{Person, PersonName, Protection, RegisterTable, Sex};
use serde_json::{Value, json};
use std::pin::Pin;
use std::sync::Arc;
use store::{Filter, RepoKind, RepositoryDecl, Seq, Store, StoreConfig};
use tower::ServiceExt;
use trust::{Principal, Trust, TrustConfig};

const KARI: &str = "14896849817";
const DOCTOR: &str = "21927249992";

struct NoHelseId;

impl PersonnelLogin for NoHelseId {
    fn begin(&self, _: Portal) -> LoginFuture<Begun> {
        Box::pin(async {
            Ok(Begun {
                url: "https://helseid/authorize".to_owned(),
                state: "kept".to_owned(),
            })
        })
    }
    fn finish(&self, _: String, _: String) -> LoginFuture<Identity> {
        Box::pin(async { Err(Problem::unauthorized()) })
    }
}

struct Desk;

impl Operations for Desk {
    fn operator(&self, username: &str, password: &str) -> Option<String> {
        (username == "drift" && password == "good").then(|| "Tore Andersen".to_owned())
    }
    fn may_go_on(&self, username: &str) -> Result<bool, Problem> {
        Ok(username != "blocked")
    }
    fn messages(&self, orgnr: Option<&str>, _: &MessageQuery) -> Result<Value, Problem> {
        Ok(json!({ "orgnr": orgnr }))
    }
    fn message(&self, _: Option<&str>, _: &str) -> Result<Value, Problem> {
        Err(Problem::not_found())
    }
    fn put_back(&self, orgnr: Option<&str>, id: &str) -> Result<Value, Problem> {
        Ok(json!({ "orgnr": orgnr, "id": id }))
    }
    fn counts(&self, orgnr: Option<&str>, query: &CountsQuery) -> Result<Value, Problem> {
        Ok(json!({ "orgnr": orgnr, "her_id": query.her_id }))
    }
    fn counts_csv(&self, orgnr: Option<&str>, _: &CountsQuery) -> Result<String, Problem> {
        Ok(orgnr.unwrap_or("all").to_owned())
    }
    fn count_again(&self) -> Result<Value, Problem> {
        Ok(json!({}))
    }
    fn original(&self, _: &str, _: &str) -> Result<(bytes::Bytes, String), Problem> {
        Ok((
            bytes::Bytes::from_static(b"<x/>"),
            "application/xml".to_owned(),
        ))
    }
    fn validate(&self, bytes: &[u8], language: &str) -> Result<Value, Problem> {
        Ok(json!({ "bytes": bytes.len(), "lang": language }))
    }
    fn timeline(&self) -> Value {
        json!([])
    }
    fn play(&self, until: String) -> Pin<Box<dyn Future<Output = Result<Value, Problem>> + Send>> {
        Box::pin(async move { Ok(json!(until)) })
    }
    fn advance(&self, duration: &str) -> Result<Value, Problem> {
        Ok(json!(duration))
    }
    fn health(&self) -> Value {
        json!({ "ok": true })
    }
}

struct World {
    _folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    sessions: Arc<Sessions>,
    registers: Arc<RegisterTable>,
    router: Router,
}

fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let declared = [
        (trust::settings::REPOSITORY, RepoKind::Patient),
        (trust::counted::REPOSITORY, RepoKind::Patient),
        (helsenorge::REPOSITORY, RepoKind::Patient),
        (kjernejournal::REPOSITORY, RepoKind::Patient),
        (provesvar::REPOSITORY, RepoKind::Patient),
        (dokumenter::REPOSITORY, RepoKind::Patient),
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
    let clock = Arc::new(|| 1_795_431_600_000_000);
    let trust = Trust::new(store, mint, table.clone(), clock, TrustConfig::default());
    let trust = Arc::new(trust.unwrap());
    table
        .import(vec![Row::Person(Box::new(Person {
            nin: KARI.to_owned(),
            historic: Vec::new(),
            name: PersonName {
                given: "Kari".to_owned(),
                middle: None,
                family: "Lunde".to_owned(),
            },
            born: Some(jiff::civil::date(1968, 9, 14)),
            sex: Sex::Female,
            address: None,
            protection: Protection::Unclassified,
            died: None,
            language: None,
            relations: Vec::new(),
            gp: None,
            story: None,
        }))])
        .unwrap();
    let provesvar = Arc::new(provesvar::Provesvar::new(trust.clone()).unwrap());
    let dokumenter = Arc::new(dokumenter::Dokumenter::new(trust.clone()).unwrap());
    let others = vec![provesvar.source(), dokumenter.source()];
    let sessions = Arc::new(Sessions::new(
        Arc::new(jose::MemoryState::new(jose::system_clock(), 1_000)),
        jose::system_clock(),
    ));
    let clients = Registry::open(RegistryParts {
        store: Arc::new(MemoryRegistryStore::default()),
        directory: table.clone(),
        apis: helseid::config::national_apis(),
        clock: jose::system_clock(),
    })
    .unwrap();
    let state = PortalState {
        trust: trust.clone(),
        directory: table.clone(),
        helsenorge: Arc::new(helsenorge::Helsenorge::new(trust.clone()).unwrap()),
        kjernejournal: Arc::new(kjernejournal::Kjernejournal::new(trust, others).unwrap()),
        provesvar,
        dokumenter,
        issuer: citizens(table.clone()),
        personnel_login: Arc::new(NoHelseId),
        operations: Arc::new(Desk),
        clients: Arc::new(clients),
        sessions: sessions.clone(),
        log_jwks: Arc::new(|| json!({ "keys": [] })),
        is_demo: true,
    };
    World {
        _folder: folder,
        runtime: tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap(),
        sessions,
        registers: table,
        router: portal::router(state),
    }
}

/// Everybody may log in, for herself.
struct Everybody;

impl Representation for Everybody {
    fn may_log_in(&self, _: &str) -> Result<(), NoLogin> {
        Ok(())
    }

    fn represented_by(&self, _: &str) -> Asked<Vec<Represented>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

fn citizens(directory: Arc<RegisterTable>) -> Citizens {
    let mut config = CitizenConfig::new("https://hub.example");
    config.signing_key = helseid::SigningKeyKind::P256;
    let state = Arc::new(jose::MemoryState::new(jose::system_clock(), 100));
    let parts = helseid::Parts {
        directory,
        state: state.clone(),
        replay: state,
        keys: Arc::new(helseid::ForgetfulKeyStore),
        clock: jose::system_clock(),
    };
    Citizens::new(config, parts, Arc::new(Everybody)).unwrap()
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

/// A browser: cookies and CSRF token of one session.
#[derive(Clone, Default)]
struct Browser {
    cookie: String,
    csrf: String,
}

impl World {
    fn send(&self, browser: &Browser, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::COOKIE, &browser.cookie);
        if !browser.csrf.is_empty() {
            request = request.header("x-csrf-token", &browser.csrf);
        }
        let body = match body {
            None => Body::empty(),
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
        };
        let request = request.body(body).unwrap();
        self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let bytes = to_bytes(body, 1 << 20).await.unwrap();
            Answer {
                status: parts.status.as_u16(),
                headers: parts.headers,
                body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            }
        })
    }

    fn get(&self, browser: &Browser, path: &str) -> Answer {
        self.send(browser, Method::GET, path, None)
    }

    fn post(&self, browser: &Browser, path: &str, body: Value) -> Answer {
        self.send(browser, Method::POST, path, Some(body))
    }

    fn login(&self, portal: Portal) -> Browser {
        let personnel = PersonnelWho {
            principal: Principal::Personnel {
                nin: DOCTOR.to_owned(),
                hpr: None,
                role: None,
                security_level: "4".to_owned(),
                orgnr_parent: "315900077".to_owned(),
                orgnr_child: "315900085".to_owned(),
                client_id: "portal".to_owned(),
            },
            nin: DOCTOR.to_owned(),
            name: "Stian Moen".to_owned(),
            role: Some("LE".to_owned()),
            orgnr_parent: "315900077".to_owned(),
            organisation: "Nordlys".to_owned(),
            department: None,
        };
        let who = match portal {
            Portal::Citizen => Who::Citizen {
                nin: KARI.to_owned(),
            },
            Portal::Personnel => Who::Personnel(personnel),
            Portal::Drift => Who::Party(personnel),
        };
        let opening = self.sessions.open(portal, who);
        let id = self.runtime.block_on(opening).unwrap();
        let cookie = format!("{}={id}", portal.cookie());
        let word = ["citizen", "personnel", "drift"][portal as usize];
        let browser = Browser {
            cookie,
            csrf: String::new(),
        };
        let session = self.get(&browser, &format!("/api/session/{word}"));
        Browser {
            csrf: session.body["csrf"].as_str().unwrap().to_owned(),
            ..browser
        }
    }
}

/// One page of each portal, one change of each.
const PLACES: [(Portal, &str, &str); 3] = [
    (
        Portal::Citizen,
        "/api/citizen/access",
        "/api/citizen/access/reserve",
    ),
    (
        Portal::Personnel,
        "/api/personnel/documents/x?basis=AKUTT",
        "/api/personnel/leave",
    ),
    (
        Portal::Drift,
        "/api/drift/timeline",
        "/api/drift/validate?lang=en",
    ),
];

#[test]
fn without_a_session_nothing_answers() {
    let world = world();
    for (portal, page, change) in PLACES {
        for cookie in [
            String::new(),
            format!("{}=unknown", portal.cookie()),
            format!("{}=", portal.cookie()),
        ] {
            let browser = Browser {
                cookie,
                csrf: "x".to_owned(),
            };
            assert_eq!(world.get(&browser, page).status, 401, "{page}");
            let answer = world.post(&browser, change, json!({ "on": true }));
            assert_eq!(answer.status, 401, "{change}");
            assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
        }
    }
}

#[test]
fn the_three_cookies_open_one_portal_each() {
    let world = world();
    for (own, _, _) in PLACES {
        let browser = world.login(own);
        let id = browser.cookie.split_once('=').unwrap().1.to_owned();
        for (portal, page, _) in PLACES {
            let answer = world.get(&browser, page);
            assert_eq!(answer.status == 401, portal != own, "{own:?} at {page}");
            // Not under another portal's name either.
            let forged = Browser {
                cookie: format!("{}={id}", portal.cookie()),
                ..browser.clone()
            };
            let answer = world.get(&forged, page);
            assert_eq!(
                answer.status == 401,
                portal != own,
                "{own:?} forged at {page}"
            );
        }
    }
}

#[test]
fn unsafe_methods_need_the_sessions_own_token() {
    let world = world();
    for (portal, _, change) in PLACES {
        let browser = world.login(portal);
        let stranger = world.login(portal);
        for csrf in ["", "wrong", stranger.csrf.as_str()] {
            let forged = Browser {
                csrf: csrf.to_owned(),
                ..browser.clone()
            };
            let answer = world.post(&forged, change, json!({ "on": true }));
            assert_eq!(
                (answer.status, &answer.body["code"]),
                (403, &json!("csrf")),
                "{change}"
            );
        }
        let answer = world.post(&browser, change, json!({ "on": true }));
        assert!(
            answer.status < 300,
            "{change}: {} {}",
            answer.status,
            answer.body
        );
    }
}

#[test]
fn logging_out_ends_the_session_here_and_in_the_browser() {
    let world = world();
    let browser = world.login(Portal::Citizen);
    let doctor = world.login(Portal::Personnel);
    let answer = world.post(&browser, "/api/logout/citizen", json!({}));
    assert_eq!(answer.status, 204);
    let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(
        cookie.contains("Max-Age=0") && cookie.contains("HttpOnly"),
        "{cookie}"
    );
    assert_eq!(world.get(&browser, "/api/citizen/access").status, 401);
    let session = world.get(&browser, "/api/session/citizen").body;
    assert_eq!(
        (&session["kind"], &session["csrf"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        world.get(&doctor, "/api/session/personnel").body["kind"],
        "personnel"
    );
    assert_eq!(world.get(&doctor, "/api/session/nobody").status, 404);
}

#[test]
fn answers_are_not_kept_and_national_ids_are_in_no_address() {
    let world = world();
    let browser = world.login(Portal::Citizen);
    for page in [
        "/api/citizen/overview",
        "/api/citizen/results",
        "/api/citizen/letters",
        "/api/citizen/log",
        "/api/citizen/log/registers",
        "/api/citizen/notices",
        "/api/citizen/access",
        "/api/session/citizen",
    ] {
        let answer = world.get(&browser, page);
        assert_eq!(answer.status, 200, "{page}: {}", answer.body);
        assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store", "{page}");
        assert!(!answer.body.to_string().contains(KARI), "{page}");
    }
    let missing = ["/api/citizen/results/nope", "/api/citizen/letters/nope"];
    for page in missing {
        assert_eq!(world.get(&browser, page).status, 404, "{page}");
    }
}

#[test]
fn a_setting_is_changed_and_unknown_fields_are_refused() {
    let world = world();
    let browser = world.login(Portal::Citizen);
    let answer = world.post(
        &browser,
        "/api/citizen/access/restrict",
        json!({ "what": { "part": "results" }, "on": true }),
    );
    assert_eq!(
        (answer.status, &answer.body["parts"]["results"]),
        (200, &json!(true))
    );
    for (what, body) in [
        (
            "part",
            json!({ "what": { "part": "everything" }, "on": true }),
        ),
        (
            "field",
            json!({ "what": "everything", "on": true, "nin": KARI }),
        ),
        ("type", json!({ "what": "everything", "on": "yes" })),
    ] {
        let answer = world.post(&browser, "/api/citizen/access/restrict", body);
        assert!(
            (400..500).contains(&answer.status),
            "{what}: {}",
            answer.status
        );
    }
}

#[test]
fn the_operator_logs_in_with_a_password_and_sees_no_originals() {
    let world = world();
    let nobody = Browser::default();
    let wrong = json!({ "username": "drift", "password": "bad" });
    assert_eq!(world.post(&nobody, "/api/drift/login", wrong).status, 401);
    let good = json!({ "username": "drift", "password": "good" });
    let answer = world.post(&nobody, "/api/drift/login", good);
    assert_eq!(answer.status, StatusCode::SEE_OTHER.as_u16());
    let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
        "{cookie}"
    );
    let operator = Browser {
        cookie: cookie.split(';').next().unwrap().to_owned(),
        csrf: String::new(),
    };
    let all = world.get(&operator, "/api/drift/messages");
    assert_eq!((all.status, &all.body["orgnr"]), (200, &Value::Null));
    let original = "/api/drift/messages/1/original";
    assert_eq!(world.get(&operator, original).status, 403);
    let party = world.login(Portal::Drift);
    let own = world.get(&party, "/api/drift/messages");
    assert_eq!(own.body["orgnr"], "315900077");
    let answer = world.get(&party, original);
    assert_eq!(answer.status, 200);
    let disposition = answer.headers[header::CONTENT_DISPOSITION]
        .to_str()
        .unwrap();
    assert!(disposition.starts_with("attachment"), "never rendered");
    let play = json!({ "until": "end" });
    assert_eq!(
        world.post(&party, "/api/drift/timeline/play", play).status,
        403
    );
    // Numbers: all for the operator, its own for a party, whatever it asks for.
    let counts = "/api/drift/counts?her_id=8900300&from=2026-11-01";
    assert_eq!(world.get(&operator, counts).body["orgnr"], Value::Null);
    assert_eq!(world.get(&party, counts).body["orgnr"], "315900077");
    let csv = world.get(&party, "/api/drift/counts.csv");
    let kind = csv.headers[header::CONTENT_TYPE].to_str().unwrap();
    assert_eq!((csv.status, kind), (200, "text/csv; charset=utf-8"));
    assert_eq!(world.get(&party, "/api/drift/counts?until=x").status, 400);
    let nothing = || json!({});
    let again = "/api/drift/counts/again";
    assert_eq!(world.post(&party, again, nothing()).status, 403);
    let put_back = world.post(&party, "/api/drift/messages/m1/put-back", nothing());
    assert_eq!(
        (&put_back.body["orgnr"], &put_back.body["id"]),
        (&json!("315900077"), &json!("m1"))
    );
}

#[test]
fn a_patient_is_chosen_before_a_record_is_opened() {
    let world = world();
    let doctor = world.login(Portal::Personnel);
    let open = json!({ "basis": "SAMTYKKE", "part": null });
    let answer = world.post(&doctor, "/api/personnel/open", open.clone());
    assert_eq!(answer.status, 400);
    let chosen = world.post(&doctor, "/api/personnel/choose", json!({ "nin": KARI }));
    assert_eq!(
        (chosen.status, &chosen.body["patient"]["name"]),
        (200, &json!("Kari Lunde"))
    );
    // Not in the personnel register: refused, and by the decision, not by the page.
    let answer = world.post(&doctor, "/api/personnel/open", open.clone());
    assert_eq!((answer.status, &answer.body["why"]), (200, &json!("role")));
    let wrong = json!({ "basis": "FORDI", "part": null });
    assert_eq!(
        world.post(&doctor, "/api/personnel/open", wrong).status,
        400
    );
    assert_eq!(
        world
            .post(&doctor, "/api/personnel/leave", json!({}))
            .status,
        204
    );
    assert_eq!(world.post(&doctor, "/api/personnel/open", open).status, 400);
}

#[test]
fn login_of_personnel_goes_through_helseid_and_comes_back_with_its_state() {
    let world = world();
    let nobody = Browser::default();
    let begun = world.get(&nobody, "/helsepersonell/logginn");
    assert_eq!(
        (begun.status, &begun.headers[header::LOCATION]),
        (
            303,
            &axum::http::HeaderValue::from_static("https://helseid/authorize")
        )
    );
    let without_state = world.get(&nobody, "/helsepersonell/callback?code=x");
    assert_eq!(without_state.status, 400);
    let cookie = begun.headers[header::SET_COOKIE].to_str().unwrap();
    let browser = Browser {
        cookie: cookie.split(';').next().unwrap().to_owned(),
        csrf: String::new(),
    };
    let refused = world.get(&browser, "/helsepersonell/callback?code=x");
    assert_eq!(refused.status, 401);
}
