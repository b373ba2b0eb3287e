//! Self-service of HelseID clients at `/drift`: who sees and changes what, and that a private key is refused.

use super::{Browser, World, world};
use axum::http::header;
use jose::jwk::KeyKind;
use jose::{Alg, PrivateJwk};
use portal::session::{PersonnelWho, Portal, Who};
use registers::directory::Organisation;
use registers::table::Row;
use serde_json::{Value, json};
use trust::Principal;

const OFFICE: &str = "315900077";
const VENDOR: &str = "313745392";
const STRANGER: &str = "999977774";

fn party(orgnr: &str, level: &str) -> Who {
    Who::Party(PersonnelWho {
        principal: Principal::Personnel {
            nin: "28818196943".to_owned(),
            hpr: Some("565505933".to_owned()),
            role: None,
            security_level: level.to_owned(),
            orgnr_parent: orgnr.to_owned(),
            orgnr_child: orgnr.to_owned(),
            client_id: "portal".to_owned(),
        },
        nin: "28818196943".to_owned(),
        name: "Stian Moen".to_owned(),
        role: None,
        orgnr_parent: orgnr.to_owned(),
        organisation: orgnr.to_owned(),
        department: None,
    })
}

impl World {
    fn enter(&self, who: Who) -> Browser {
        let opening = self.sessions.open(Portal::Drift, who);
        let id = self.runtime.block_on(opening).unwrap();
        let mut browser = Browser {
            cookie: format!("{}={id}", Portal::Drift.cookie()),
            csrf: String::new(),
        };
        let session = self.get(&browser, "/api/session/drift");
        session.body["csrf"]
            .as_str()
            .unwrap()
            .clone_into(&mut browser.csrf);
        browser
    }

    fn know(&self, orgnr: &str) {
        let organisation = Organisation {
            orgnr: orgnr.to_owned(),
            name: format!("Virksomhet {orgnr}"),
            kinds: Vec::new(),
            type_code: "1".to_owned(),
            her_id: 1,
            units: Vec::new(),
            approved: true,
            story: None,
        };
        self.registers
            .import(vec![Row::Organisation(Box::new(organisation))])
            .unwrap();
    }
}

#[test]
fn a_session_ends_when_its_operator_is_blocked() {
    let world = world();
    for (username, status) in [("drift", 200), ("blocked", 401)] {
        let browser = world.enter(Who::Operator {
            name: "Tore Andersen".to_owned(),
            username: username.to_owned(),
        });
        let answer = world.get(&browser, "/api/drift/messages");
        assert_eq!(answer.status, status, "{username}");
    }
}

#[test]
fn from_a_system_to_a_client_with_a_key_and_a_scope() {
    let world = world();
    for orgnr in [OFFICE, VENDOR, STRANGER] {
        world.know(orgnr);
    }
    let operator = world.enter(Who::Operator {
        name: "Tore Andersen".to_owned(),
        username: "drift".to_owned(),
    });
    let (office, vendor) = (
        world.enter(party(OFFICE, "4")),
        world.enter(party(VENDOR, "4")),
    );
    let (stranger, low) = (
        world.enter(party(STRANGER, "4")),
        world.enter(party(OFFICE, "3")),
    );

    let system = json!({ "name": "Vår EPJ", "tenancy": "single", "user_login": true, "machine": true, "refresh": true, "native": true });
    let made = world.post(&vendor, "/api/drift/client-systems", system.clone());
    assert_eq!(made.status, 200, "{}", made.body);
    let system_id = made.body["id"].as_str().unwrap().to_owned();
    let others = json!({ "name": "x", "supplier": OFFICE, "tenancy": "single", "user_login": true, "machine": true, "refresh": true, "native": true });
    assert_eq!(
        world
            .post(&vendor, "/api/drift/client-systems", others)
            .status,
        403
    );

    let new = json!({ "system": system_id, "name": "Legekontorets EPJ", "scopes": ["nhn:msh/api"], "redirect_uris": ["http://localhost:3000/"] });
    assert_eq!(
        world.post(&low, "/api/drift/clients", new.clone()).status,
        403,
        "level 3"
    );
    let made = world.post(&office, "/api/drift/clients", new);
    assert_eq!(made.status, 200, "{}", made.body);
    let at = format!(
        "/api/drift/clients/{}",
        made.body["client_id"].as_str().unwrap()
    );

    for (browser, status) in [
        (&office, 200),
        (&vendor, 200),
        (&operator, 200),
        (&low, 200),
        (&stranger, 404),
    ] {
        assert_eq!(world.get(browser, &at).status, status);
    }
    let key = PrivateJwk::generate(KeyKind::P256, Some(Alg::Es256)).unwrap();
    let keys = format!("{at}/keys");
    let private = json!({ "jwk": Value::Object(key.to_secret_members()) });
    let refused = world.post(&office, &keys, private);
    assert_eq!(
        (refused.status, &refused.body["code"]),
        (400, &json!("invalid-publicjwk"))
    );
    let public = json!({ "jwk": Value::Object(key.public().to_members()) });
    let without_csrf = Browser {
        csrf: String::new(),
        ..office.clone()
    };
    for (browser, status) in [
        (&without_csrf, 403),
        (&stranger, 404),
        (&low, 403),
        (&office, 200),
    ] {
        assert_eq!(world.post(browser, &keys, public.clone()).status, status);
    }
    let again = world.post(&office, &keys, public);
    assert_eq!(
        (again.status, &again.body["code"]),
        (400, &json!("key-used"))
    );

    // The client's own organisation does not decide on the scopes of an API.
    let decision = json!({ "subject": "nhn:msh/api", "approve": true });
    let decide = format!("{at}/scopes/decide");
    for (browser, status) in [
        (&office, 403),
        (&vendor, 403),
        (&stranger, 404),
        (&operator, 200),
    ] {
        assert_eq!(
            world.post(browser, &decide, decision.clone()).status,
            status
        );
    }
    let list = world.get(&office, "/api/drift/clients").body;
    assert_eq!(list["clients"][0]["scopes"], json!([1, 0, 0]));
    assert_eq!(
        (&list["clients"][0]["keys"], &list["own_orgnr"]),
        (&json!(1), &json!(OFFICE))
    );
    assert_eq!(
        world.get(&stranger, "/api/drift/clients").body["clients"],
        json!([])
    );

    let wrong = json!({ "redirect_uris": ["http://evil.no/"], "post_logout_redirect_uris": [] });
    let refused = world.post(&office, &format!("{at}/uris"), wrong);
    assert_eq!(
        (refused.status, &refused.body["code"]),
        (400, &json!("invalid-redirecturis"))
    );
    for (browser, status) in [(&office, 403), (&operator, 200)] {
        assert_eq!(
            world
                .post(browser, &format!("{at}/block"), json!({ "blocked": true }))
                .status,
            status
        );
    }
    for (browser, status) in [(&stranger, 404), (&office, 204), (&office, 404)] {
        assert_eq!(
            world
                .post(browser, &format!("{at}/remove"), json!({}))
                .status,
            status
        );
    }
    // Delegations are each organisation's own.
    for (browser, status) in [(&vendor, 403), (&office, 204)] {
        let body = json!({ "organisation": OFFICE, "supplier": VENDOR, "on": true });
        assert_eq!(
            world.post(browser, "/api/drift/delegations", body).status,
            status
        );
    }
    let owner = json!({ "audience": "nhn:msh", "organisation": VENDOR, "automatic": false });
    assert_eq!(
        world.post(&vendor, "/api/drift/apis", owner.clone()).status,
        403
    );
    assert_eq!(world.post(&operator, "/api/drift/apis", owner).status, 204);
}

#[test]
fn terms_are_written_by_the_owner_and_accepted_by_others() {
    let world = world();
    for orgnr in [OFFICE, VENDOR, STRANGER] {
        world.know(orgnr);
    }
    let operator = world.enter(Who::Operator {
        name: "Tore Andersen".to_owned(),
        username: "drift".to_owned(),
    });
    let (office, vendor) = (
        world.enter(party(OFFICE, "4")),
        world.enter(party(VENDOR, "4")),
    );
    let weak = world.enter(party(VENDOR, "3"));
    let owner = json!({ "audience": "nhn:msh", "organisation": VENDOR, "automatic": false });
    assert_eq!(world.post(&operator, "/api/drift/apis", owner).status, 204);
    let page = "/api/drift/api/nhn%3Amsh";
    let (terms, accept) = (format!("{page}/terms"), format!("{page}/accept"));
    let text = json!({ "text": "Bare til meldinger." });
    for (browser, status) in [(&office, 403), (&weak, 403), (&vendor, 200)] {
        assert_eq!(world.post(browser, &terms, text.clone()).status, status);
    }
    let rows = world.get(&vendor, "/api/drift/api").body;
    assert_eq!(
        (&rows[0]["audience"], &rows[0]["may_decide"]),
        (&json!("nhn:msh"), &json!(true))
    );
    assert_eq!(world.get(&office, page).body["terms"], "open");
    let word = |version: u32, on: bool| json!({ "version": version, "on": on });
    for (body, status) in [
        (word(2, true), 409),
        (
            json!({ "version": 1, "on": true, "organisation": VENDOR }),
            403,
        ),
        (json!({ "version": 1 }), 422),
        (word(1, true), 200),
    ] {
        let answer = world.post(&office, &accept, body.clone());
        assert_eq!(answer.status, status, "{body} {}", answer.body);
    }
    assert_eq!(world.get(&office, page).body["terms"], "accepted");
    assert_eq!(
        world.get(&vendor, page).body["acceptances"][0]["organisation"]["orgnr"],
        OFFICE
    );
    let nothing = world.get(&operator, "/api/drift/api/nhn%3Anothing");
    assert_eq!(nothing.status, 404);
    let out = Browser::default();
    assert_eq!(world.get(&out, page).status, 401);
}

#[test]
fn the_address_of_a_confirmation_leads_to_our_page() {
    let world = world();
    for path in ["/confirm-client", "/nasjonal/selvbetjening/confirm-client"] {
        let url = format!("{path}/0d51a0a9-d8f1?redirectPort=1337&redirectPath=%2Fcallback");
        let answer = world.get(&Browser::default(), &url);
        assert_eq!(answer.status, 303);
        assert_eq!(
            answer.headers[header::LOCATION],
            "/drift/klienter/0d51a0a9-d8f1?port=1337&path=%2Fcallback"
        );
    }
    assert_eq!(
        world
            .get(&Browser::default(), "/confirm-client/a%22b")
            .status,
        404
    );
}
