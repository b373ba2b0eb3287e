//! Strictly apart: nothing of one issuer is worth anything at the other, though both keep their state in one place.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use helseid::citizen::path;
use helseid::client::LoginRequest;
use helseid::{Config, ForgetfulKeyStore, Helseid, Parts, SigningKeyKind};
use jose::rs::{Presented, Requirement, Scheme};
use jose::system_clock;
use serde_json::json;

use super::*;
use crate::{LOGIN_SCOPES, World, client_with};

/// HelseID on the same state, with the same key in the hands of its client.
fn helseid_beside(sts: &Sts) -> World {
    let mut client = client_with(&sts.key, "epj");
    client.introspects = true;
    let mut config = Config::new(crate::ISSUER);
    config.extra_origins.push(crate::BROWSER.to_owned());
    config.test_idp = true;
    config.signing_key = SigningKeyKind::P256;
    config.clients.push(client.clone());
    // The same name and key as at the citizens' issuer.
    config.clients.push(client_with(&sts.key, "verktoy"));
    let memory = sts.memory();
    let parts = Parts {
        directory: Arc::new(people::People),
        state: memory.clone(),
        replay: memory,
        keys: Arc::new(ForgetfulKeyStore),
        clock: clock(&sts.time),
    };
    let helseid = Helseid::new(config, parts).unwrap();
    World {
        router: helseid.router(),
        helseid,
        time: sts.time.clone(),
        client,
        key: sts.key.clone(),
    }
}

#[tokio::test]
async fn a_citizens_token_opens_nothing_of_personnel() {
    let sts = Sts::start();
    let world = helseid_beside(&sts);
    let tokens = sts.log_in("verktoy", &[]).await;
    for name in ["access_token", "id_token"] {
        let token = tokens[name].as_str().unwrap();
        for api in helseid::config::national_apis() {
            let replay = Arc::new(MemoryState::new(system_clock(), 10));
            let server = world
                .helseid
                .resource_server(&api.audience, &[BASE.to_owned()], replay);
            for scheme in [Scheme::Bearer, Scheme::Dpop, Scheme::DpopOrBoundBearer] {
                for word in ["Bearer", "DPoP"] {
                    let presented = Presented {
                        method: "GET",
                        path: "/",
                        authorization: &[&format!("{word} {token}")],
                        dpop: &[],
                        now_s: sts.now(),
                    };
                    let needs = Requirement {
                        scheme,
                        ..Requirement::scope(&[])
                    };
                    assert!(
                        server.check(&presented, &needs).is_err(),
                        "{name} {}",
                        api.audience
                    );
                }
            }
            assert!(
                server.verify_token(token, sts.now(), false).is_err(),
                "{name}"
            );
        }
        // HelseID's own endpoints.
        let bearer = format!("Bearer {token}");
        let info = world
            .get("/connect/userinfo", &[("Authorization", &bearer)])
            .await;
        assert_eq!(info.status, 401, "{name}");
        let assertion = world.assertion(json!({}));
        let form = [
            ("token", token),
            AUTH,
            ("client_assertion", assertion.as_str()),
        ];
        let seen = world.post("/connect/introspect", &form, &[]).await;
        assert_eq!(seen.json(), json!({"active": false}), "{name}");
        let exchange = [
            (
                "grant_type",
                "urn:ietf:params:oauth:grant-type:token-exchange",
            ),
            ("subject_token", token),
            (
                "subject_token_type",
                "urn:ietf:params:oauth:token-type:access_token",
            ),
            ("scope", "nhn:kjernejournal/api"),
        ];
        assert_eq!(world.token(&exchange).await.status, 400, "{name}");
    }
    let hint = format!(
        "/connect/endsession?id_token_hint={}",
        tokens["id_token"].as_str().unwrap()
    );
    assert_eq!(world.get(&hint, &[]).await.status, 400);
    // Neither refresh tokens nor codes nor pushed requests nor sessions.
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
    world.token(&form).await.refused("invalid_grant");
    let code = sts.code("verktoy", &[]).await;
    world.redeem(&code).await.refused("invalid_grant");
    let pushed = sts.push("verktoy", &[]).await.json();
    let uri = pushed["request_uri"].as_str().unwrap();
    assert_eq!(
        world
            .get(&crate::authorize_url("verktoy", uri), &[])
            .await
            .status,
        400
    );
    assert_eq!(
        sts.redeem("verktoy", &code).await.status,
        200,
        "nothing was used up"
    );
}

#[tokio::test]
async fn a_token_of_personnel_opens_nothing_of_citizens() {
    let sts = Sts::start();
    let world = helseid_beside(&sts);
    let login = LoginRequest {
        scopes: LOGIN_SCOPES,
        ..LoginRequest::default()
    };
    let tokens = world.log_in(&login).await;
    let refresh = tokens.refresh_token.clone().unwrap();
    for token in [&tokens.access_token, &refresh] {
        assert_eq!(sts.introspected(token).await, json!({"active": false}));
        for scheme in ["Bearer", "DPoP"] {
            let request = Request::post(path::ATTORNEY_TOKEN)
                .header("Authorization", format!("{scheme} {token}"))
                .body(Body::empty())
                .unwrap();
            assert_eq!(sts.send(request).await.status, 401);
        }
    }
    sts.refresh("verktoy", &refresh)
        .await
        .refused("invalid_grant");
    sts.post(path::EXTEND, "verktoy", &[("refresh_token", &refresh)])
        .await
        .refused("invalid_grant");
    assert_eq!(
        sts.post(path::REVOKE, "verktoy", &[("token", &refresh)])
            .await
            .status,
        200
    );
    let code = world.code(&[]).await;
    sts.redeem("verktoy", &code).await.refused("invalid_grant");
    let pushed = world.push(&[]).await.json();
    let uri = pushed["request_uri"].as_str().unwrap();
    assert_eq!(sts.get(&authorize_url("epj", uri), &[]).await.status, 400);
    // A session of personnel is none here, even when its cookie is put under the other name.
    let session = crate::pages::browser_login(&world, &[]).await;
    let renamed = session.replace("helseid.session", "helsenorge.session");
    for cookie in [session, renamed] {
        let back = sts
            .get(
                &open_url("liten", &[("prompt", "none")]),
                &[("Cookie", &cookie)],
            )
            .await;
        assert_eq!(back.callback("error").as_deref(), Some("login_required"));
    }
    assert!(
        world.redeem(&code).await.status == 200,
        "nothing was used up"
    );
}

#[tokio::test]
async fn keys_and_assertions_are_apart() {
    let sts = Sts::start();
    let world = helseid_beside(&sts);
    let kids = |set: &Value| -> Vec<String> {
        let keys = set["keys"].as_array().unwrap();
        keys.iter()
            .map(|key| key["kid"].as_str().unwrap().to_owned())
            .collect()
    };
    let (own, other) = (kids(&sts.citizens.jwks()), kids(&world.helseid.jwks()));
    assert!(own.iter().all(|kid| !other.contains(kid)));
    // An assertion made for one issuer is refused by the other, and the mark of one is none of the other.
    let for_helseid = sts.assertion("verktoy", json!({"aud": crate::ISSUER}));
    let form = [
        ("token", "x"),
        AUTH,
        ("client_assertion", for_helseid.as_str()),
    ];
    sts.post_as(path::REVOKE, &form, &[], None)
        .await
        .refused("invalid_client");
    let id = json!({"jti": "the-same-id-at-both"});
    let here = sts.assertion("verktoy", id.clone());
    let form = [("token", "x"), AUTH, ("client_assertion", here.as_str())];
    assert_eq!(
        sts.post_as(path::REVOKE, &form, &[], None).await.status,
        200
    );
    let there = world.assertion_by(&sts.key, "verktoy", id);
    let form = [("token", "x"), AUTH, ("client_assertion", there.as_str())];
    assert_eq!(
        world.post("/connect/revocation", &form, &[]).await.status,
        200
    );
}
