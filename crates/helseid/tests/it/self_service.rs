//! Self-service from outside: an installation registers itself, its organisation confirms, the client renews its key
//! (spec §14, attack A36), as NHN's samples and `no.helseid:selfservice` do it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use helseid::config::national_apis;
use helseid::registry::model::{OVERLAP_S, SystemTenancy, SystemUsers};
use helseid::registry::{Actor, MemoryRegistryStore, NewSystem, Registry, RegistryParts};
use jose::jwk::KeyKind;
use jose::{Alg, MemoryState, PrivateJwk, dpop};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::people::{MUNICIPALITY, NURSING_HOME, OFFICE, SUPPLIER};
use crate::{AUTH, Answer, World};

const HUB: &str = "http://127.0.0.1:8080";
const AT: &str = "/nasjonal/selvbetjening";

struct Desk {
    world: World,
    registry: Arc<Registry>,
    router: Router,
    api_key: String,
}

fn rsa() -> PrivateJwk {
    PrivateJwk::generate(KeyKind::Rsa2048, Some(Alg::Ps256)).unwrap()
}

fn ec() -> PrivateJwk {
    PrivateJwk::generate(KeyKind::P256, Some(Alg::Es256)).unwrap()
}

fn public(key: &PrivateJwk) -> Value {
    Value::Object(key.public().to_members())
}

fn desk() -> Desk {
    let world = World::start();
    let time = Arc::clone(&world.time);
    let clock: jose::state::Clock = Arc::new(move || time.load(Ordering::SeqCst));
    let registry = Registry::open(RegistryParts {
        store: Arc::new(MemoryRegistryStore::default()),
        directory: Arc::new(crate::people::People),
        apis: national_apis(),
        clock: Arc::clone(&clock),
    })
    .unwrap();
    registry.serve(world.helseid.clone());
    let system = NewSystem {
        name: "Vår EPJ".to_owned(),
        supplier: SUPPLIER.to_owned(),
        users: SystemUsers::Personnel,
        tenancy: SystemTenancy::Single,
        user_login: true,
        machine: true,
        refresh: true,
        native: true,
        rules: None,
        scopes: None,
        redirect_uris: None,
        customers: None,
    };
    let system = registry.create_system(&Actor::Console, &system).unwrap();
    let api_key = registry.new_api_key(&Actor::Console, &system).unwrap();
    let registry = Arc::new(registry);
    let replay = Arc::new(MemoryState::new(clock, 10_000));
    let server = world
        .helseid
        .resource_server("nhn:selvbetjening", &[HUB.to_owned()], replay);
    Desk {
        router: helseid::self_service::router(Arc::clone(&registry), server),
        world,
        registry,
        api_key,
    }
}

impl Desk {
    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("{AT}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        Answer::read(self.router.clone().oneshot(request).await.unwrap()).await
    }

    fn draft(key: &PrivateJwk) -> Value {
        json!({
            "organizationNumber": MUNICIPALITY,
            "publicJwk": public(key).to_string(),
            "apiScopes": ["nhn:selvbetjening/client", "nhn:msh/api"],
            "audienceSpecificClientClaims": [{ "key": "herid", "value": "0" }],
            "redirectUris": ["http://localhost:1337/callback"],
            "childOrganizationNumbers": [NURSING_HOME],
            "postLogoutRedirectUris": null,
        })
    }

    async fn register(&self, key: &PrivateJwk) -> String {
        let body = Self::draft(key).to_string();
        let made = self
            .send(
                "POST",
                "/v1/client-drafts",
                &[("api-key", &self.api_key)],
                &body,
            )
            .await;
        assert_eq!(made.status, 200, "{}", made.text());
        made.json()["clientId"].as_str().unwrap().to_owned()
    }

    fn confirm(&self, client_id: &str) {
        let user = Actor::Organisation {
            orgnr: MUNICIPALITY.to_owned(),
            hpr: None,
        };
        self.registry.confirm(&user, client_id).unwrap();
    }

    async fn token(&self, client_id: &str, key: &PrivateJwk, scope: &str) -> Answer {
        let nonce = self.world.nonce().await;
        let proof = self.world.proof(key, "/connect/token", Some(&nonce));
        let assertion = self.world.assertion_by(key, client_id, json!({}));
        let form = [
            ("grant_type", "client_credentials"),
            ("scope", scope),
            AUTH,
            ("client_assertion", &assertion),
        ];
        self.world
            .post("/connect/token", &form, &[("DPoP", &proof)])
            .await
    }

    async fn access_token(&self, client_id: &str, key: &PrivateJwk) -> String {
        let answer = self.token(client_id, key, "nhn:selvbetjening/client").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// A request with a token, as the libraries make it.
    async fn call(
        &self,
        (token, key): (&str, &PrivateJwk),
        method: &str,
        path: &str,
        body: &str,
    ) -> Answer {
        let url = format!("{HUB}{AT}{path}");
        let now = self.world.now();
        let proof = dpop::make_proof(key, method, &url, Some(token), None, now).unwrap();
        let headers = [
            ("Authorization", &*format!("DPoP {token}")),
            ("DPoP", &proof),
            ("Content-Type", "application/json"),
            ("Accept", "application/json"),
        ];
        self.send(method, path, &headers, body).await
    }
}

/// Every refusal is an object with an integer status: NHN's library reads it whatever it is.
#[track_caller]
fn refused(answer: &Answer, status: u16, word: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(
        answer.header("Content-Type").as_deref(),
        Some("application/problem+json")
    );
    let body = answer.json();
    assert_eq!(body["status"].as_u64(), Some(u64::from(status)), "{body}");
    for name in ["type", "title", "detail", "instance"] {
        assert!(body[name].is_string(), "{name}: {body}");
    }
    assert!(
        body["detail"].as_str().unwrap().contains(word),
        "{word}: {body}"
    );
}

#[tokio::test]
async fn from_draft_to_a_new_key() {
    let desk = desk();
    let first = rsa();
    let client_id = desk.register(&first).await;
    desk.token(&client_id, &first, "nhn:selvbetjening/client")
        .await
        .refused("invalid_client");
    desk.confirm(&client_id);
    // At once: no twenty seconds of cache.
    let token = desk.access_token(&client_id, &first).await;
    let own = (token.as_str(), &first);
    desk.token(&client_id, &first, "nhn:msh/api")
        .await
        .refused("invalid_scope");

    let shown = desk.call(own, "GET", "/v1/client", "").await;
    assert_eq!(shown.status, 200, "{}", shown.text());
    let waits = "The owner of the API has not decided yet.";
    assert_eq!(
        shown.json()["apiScopes"],
        json!([
            { "scope": "nhn:selvbetjening/client", "status": "ok", "statusReason": null },
            { "scope": "nhn:msh/api", "status": "pending", "statusReason": waits },
        ])
    );
    let claim = &shown.json()["audienceSpecificClientClaims"][0];
    assert_eq!(claim["claimType"], "nhn:msh/client/claims/herid");
    assert_eq!(
        (
            &claim["status"],
            &claim["pendingClaimValue"],
            &claim["activeClaimValue"]
        ),
        (&json!("pending"), &json!("0"), &Value::Null)
    );
    assert_eq!(
        shown.json()["childOrganizationNumbers"],
        json!([NURSING_HOME])
    );
    let older = desk.call(own, "GET", "/v1/client-status", "").await.json();
    assert_eq!(older["status"], "limited");
    assert_eq!(
        older["details"]["apiScopeAccessStatuses"][1]["reason"],
        "apiScopeAccessPending"
    );
    assert_eq!(older["apiScopes"], shown.json()["apiScopes"]);
    let subject = "nhn:msh/client/claims/herid";
    desk.registry
        .decide(&Actor::Console, &client_id, "nhn:msh/api", true, None)
        .unwrap();
    desk.registry
        .decide(&Actor::Console, &client_id, subject, true, None)
        .unwrap();
    let msh = desk.token(&client_id, &first, "nhn:msh/api").await;
    assert_eq!(msh.status, 200, "{}", msh.text());

    // The library sends the JWK as an object, the samples as a string.
    let second = rsa();
    let renewed = desk
        .call(
            own,
            "POST",
            "/v1/client-secret",
            &public(&second).to_string(),
        )
        .await;
    assert_eq!(renewed.status, 200, "{}", renewed.text());
    let expiration = renewed.json()["expiration"].as_str().unwrap().to_owned();
    assert!(
        expiration.ends_with('Z') && expiration.starts_with("2026-"),
        "{expiration}"
    );
    let token = desk.access_token(&client_id, &second).await;
    let third = ec();
    let text = Value::String(public(&third).to_string()).to_string();
    let renewed = desk
        .call((&token, &second), "POST", "/v1/client-secret", &text)
        .await;
    assert_eq!(renewed.status, 200, "{}", renewed.text());
    let keys = desk
        .call((&token, &second), "GET", "/v1/client-secret", "")
        .await
        .json();
    assert_eq!(keys.as_array().unwrap().len(), 3);
    assert_eq!(keys[2]["jwkThumbprint"], third.public().thumbprint());
    assert_eq!(
        (&keys[2]["origin"], &keys[2]["publicJwk"]),
        (&json!("Api"), &Value::Null)
    );
    // The old keys live on for a day, and no longer.
    desk.access_token(&client_id, &first).await;
    desk.world.wait(OVERLAP_S + 1);
    desk.token(&client_id, &first, "nhn:msh/api")
        .await
        .refused("invalid_client");
    desk.access_token(&client_id, &third).await;
}

#[tokio::test]
async fn replacing_the_registration() {
    let desk = desk();
    let key = ec();
    let client_id = desk.register(&key).await;
    desk.confirm(&client_id);
    let token = desk.access_token(&client_id, &key).await;
    let own = (token.as_str(), &key);
    let put = async |body: Value| desk.call(own, "PUT", "/v1/client", &body.to_string()).await;
    let sample = json!({
        "apiScopes": ["nhn:selvbetjening/client", "nhn:deft/api"], "audienceSpecificClientClaims": null,
        "childOrganizationNumbers": null, "postLogoutRedirectUris": null, "redirectUris": null,
    });
    refused(&put(sample.clone()).await, 400, "redirectUris");
    let mut right = sample.clone();
    right["redirectUris"] = json!(["http://localhost:1/"]);
    let done = put(right.clone()).await;
    assert_eq!(done.status, 200, "{}", done.text());
    let now = done.json();
    assert_eq!(now["apiScopes"][1]["scope"], "nhn:deft/api");
    assert_eq!(now["redirectUris"], json!(["http://localhost:1/"]));
    assert_eq!(
        (
            &now["childOrganizationNumbers"],
            &now["audienceSpecificClientClaims"]
        ),
        (&json!([]), &json!([]))
    );
    for (name, value, word) in [
        ("apiScopes", Value::Null, "apiScopes"),
        ("apiScopes", json!(["nhn:none/such"]), "nhn:none/such"),
        ("redirectUris", json!(["http://evil.no/"]), "address 1"),
        ("redirectUris", json!("x"), "redirectUris"),
        ("childOrganizationNumbers", json!([OFFICE]), "number 1"),
        (
            "audienceSpecificClientClaims",
            json!([{ "key": "x/y" }]),
            "value",
        ),
    ] {
        let mut wrong = right.clone();
        wrong[name] = value;
        refused(&put(wrong).await, 400, word);
    }
    for body in ["", "{", "[]", "{\"apiScopes\":[],\"apiScopes\":[]}"] {
        refused(
            &desk.call(own, "PUT", "/v1/client", body).await,
            400,
            "body",
        );
    }
    let long = format!("{{\"apiScopes\":[\"{}\"]}}", "x".repeat(70_000));
    refused(
        &desk.call(own, "PUT", "/v1/client", &long).await,
        400,
        "65536",
    );
    assert_eq!(
        desk.call(own, "GET", "/v1/client", "").await.json(),
        now,
        "nothing is half done"
    );
}

#[tokio::test]
async fn attack_a36() {
    a36().await;
}

/// Row A36 of the attack table.
pub async fn a36() {
    let desk = desk();
    let key = ec();
    let client_id = desk.register(&key).await;
    let draft = |change: &dyn Fn(&mut Value)| {
        let mut body = Desk::draft(&ec());
        change(&mut body);
        body.to_string()
    };
    let own_key: &[(&str, &str)] = &[("api-key", &desk.api_key)];
    let send = async |headers: &[(&str, &str)], body: String| {
        desk.send("POST", "/v1/client-drafts", headers, &body).await
    };
    // Foreign and missing api-keys, at both paths.
    for headers in [
        &[][..],
        &[("api-key", "x")],
        &[("api-key", &desk.api_key), ("api-key", "x")],
    ] {
        refused(&send(headers, draft(&|_| {})).await, 401, "api-key");
    }
    let older = desk
        .send(
            "POST",
            "/v0.1/client-drafts",
            &[("api-key", "x")],
            &draft(&|_| {}),
        )
        .await;
    refused(&older, 401, "api-key");
    // Private, symmetric, used, broken keys; organisations that are none.
    let private = Value::Object(key.to_secret_members());
    for (name, value, word) in [
        ("publicJwk", private.clone(), "private"),
        ("publicJwk", Value::String(private.to_string()), "private"),
        ("publicJwk", json!({"kty":"oct","k":"AA"}), "symmetric"),
        ("publicJwk", public(&key), "registered before"),
        ("publicJwk", Value::Null, "publicJwk"),
        ("organizationNumber", json!("123456785"), "register"),
        ("organizationNumber", json!("12345678"), "nine digits"),
        ("organizationNumber", json!(NURSING_HOME), "sub-unit"),
        ("childOrganizationNumbers", json!([OFFICE]), "sub-unit"),
        ("redirectUris", json!(["javascript:alert(1)"]), "https"),
        (
            "postClientConfirmationRedirectUri",
            json!("http://evil.no/"),
            "https",
        ),
    ] {
        let body = draft(&|body| body[name] = value.clone());
        refused(&send(own_key, body).await, 400, word);
    }
    // Somebody of another organisation confirms, or the installation itself.
    for actor in [
        Actor::Organisation {
            orgnr: OFFICE.to_owned(),
            hpr: None,
        },
        Actor::Organisation {
            orgnr: SUPPLIER.to_owned(),
            hpr: None,
        },
        Actor::Client {
            client_id: client_id.clone(),
        },
    ] {
        assert!(desk.registry.confirm(&actor, &client_id).is_err());
    }
    desk.confirm(&client_id);
    // No token, another scope, Bearer with a bound token, another address, the same proof twice.
    let token = desk.access_token(&client_id, &key).await;
    for (method, path) in [
        ("GET", "/v1/client"),
        ("PUT", "/v1/client"),
        ("GET", "/v1/client-secret"),
        ("POST", "/v1/client-secret"),
        ("GET", "/v1/client-status"),
    ] {
        let none = desk.send(method, path, &[], "{}").await;
        refused(&none, 401, "");
        assert!(none.header("WWW-Authenticate").unwrap().starts_with("DPoP"));
        let bearer = desk
            .send(
                method,
                path,
                &[("Authorization", &format!("Bearer {token}"))],
                "{}",
            )
            .await;
        refused(&bearer, 401, "");
    }
    desk.registry
        .decide(&Actor::Console, &client_id, "nhn:msh/api", true, None)
        .unwrap();
    let other = desk.token(&client_id, &key, "nhn:msh/api").await.json();
    let other = other["access_token"].as_str().unwrap().to_owned();
    refused(
        &desk.call((&other, &key), "GET", "/v1/client", "").await,
        401,
        "",
    );
    let stolen = desk.call((&token, &ec()), "GET", "/v1/client", "").await;
    refused(&stolen, 401, "");
    // A closed client's last token opens nothing; a removed client is unknown.
    desk.registry
        .block(&Actor::Console, &client_id, true)
        .unwrap();
    refused(
        &desk.call((&token, &key), "GET", "/v1/client", "").await,
        403,
        "closed",
    );
    desk.token(&client_id, &key, "nhn:msh/api")
        .await
        .refused("invalid_client");
    desk.registry.remove(&Actor::Console, &client_id).unwrap();
    refused(
        &desk.call((&token, &key), "GET", "/v1/client", "").await,
        404,
        "self-service",
    );
    // Clients of the configuration are not self-service's.
    let epj = desk.world.client("epj-selv");
    desk.world.helseid.put_client(epj);
    let token = desk.access_token("epj-selv", &desk.world.key).await;
    refused(
        &desk
            .call((&token, &desk.world.key), "GET", "/v1/client", "")
            .await,
        404,
        "configuration",
    );
}

impl World {
    fn client(&self, client_id: &str) -> helseid::Client {
        let mut client = crate::client_with(&self.key, client_id);
        client.scopes.insert("nhn:selvbetjening/client".to_owned());
        client
    }
}
