//! The token endpoint: codes, refresh tokens, scopes, races (attack table A11, A16-A20, A27).

use jose::PrivateJwk;
use jose::jwk::KeyKind;
use serde_json::{Value, json};

use crate::people::DOCTOR;
use crate::{AUTH, Answer, REDIRECT, VERIFIER, World, claims, client_with, redeem_form};

fn refresh_form(token: &str) -> [(&str, &str); 2] {
    [("grant_type", "refresh_token"), ("refresh_token", token)]
}

fn refresh_token(answer: &Answer) -> String {
    answer.json()["refresh_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_answer_has_what_real_clients_insist_on() {
    let world = World::start();
    let code = world.code(&[]).await;
    assert!(code.len() == 66 && code.ends_with("-1"));
    let answer = world.redeem(&code).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("Cache-Control").as_deref(), Some("no-store"));
    let body = answer.json();
    assert_eq!(body["token_type"], "DPoP");
    assert_eq!(body["expires_in"], 600);
    assert!(
        body["scope"]
            .as_str()
            .unwrap()
            .starts_with("openid profile")
    );
    assert_eq!(body["rt_expires_in"], 28_800);
    assert!(body.get("expires_at").is_none());
    let id = claims(body["id_token"].as_str().unwrap());
    let access = body["access_token"].as_str().unwrap();
    assert_eq!(id["nonce"], "the-nonce");
    let half = |text: &str| jose::encoding::b64url(&jose::encoding::sha256(text.as_bytes())[..16]);
    assert_eq!(
        (
            id["at_hash"].as_str().unwrap(),
            id["s_hash"].as_str().unwrap()
        ),
        (&*half(access), &*half("the-state"))
    );
    assert_eq!(
        claims(access)["aud"],
        json!(["nhn:kjernejournal", "nhn:pps"])
    );
}

#[tokio::test]
async fn a_code_is_good_for_one_use_by_one_client_with_its_verifier() {
    let world = World::start();
    let other_key = PrivateJwk::generate(KeyKind::P256, None).unwrap();
    world.helseid.put_client(client_with(&other_key, "other"));
    let code = world.code(&[]).await;
    let wrong: [(&str, &str); 4] = [
        ("code", "x"),
        ("redirect_uri", "http://localhost:3000/"),
        (
            "code_verifier",
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXX",
        ),
        ("code_verifier", "short"),
    ];
    for (name, value) in wrong {
        let mut form = redeem_form(&code).to_vec();
        form.iter_mut()
            .filter(|(found, _)| *found == name)
            .for_each(|pair| pair.1 = value);
        world.token(&form).await.refused("invalid_grant");
    }
    let mut form = redeem_form(&code).to_vec();
    form.pop();
    world.token(&form).await.refused("invalid_request");
    let assertion = world.assertion_by(&other_key, "other", json!({}));
    let nonce = world.nonce().await;
    let mut form = redeem_form(&code).to_vec();
    form.extend([AUTH, ("client_assertion", assertion.as_str())]);
    let proof = world.proof(&other_key, "/connect/token", Some(&nonce));
    world
        .post("/connect/token", &form, &[("DPoP", &proof)])
        .await
        .refused("invalid_grant");

    // None of that used the code up.
    let first = world.redeem(&code).await;
    assert_eq!(first.status, 200, "{}", first.text());
    let url = "/connect/userinfo";
    let bearer = format!("Bearer {}", first.json()["access_token"].as_str().unwrap());
    assert_eq!(
        world.get(url, &[("Authorization", &bearer)]).await.status,
        200
    );
    // Its second use revokes what the first one gave.
    world.redeem(&code).await.refused("invalid_grant");
    world
        .token(&refresh_form(&refresh_token(&first)))
        .await
        .refused("invalid_grant");
    assert_eq!(
        world.get(url, &[("Authorization", &bearer)]).await.status,
        401
    );
}

#[tokio::test]
async fn a_code_lives_sixty_seconds() {
    let world = World::start();
    let code = world.code(&[]).await;
    world.wait(61);
    world.redeem(&code).await.refused("invalid_grant");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_redemptions_at_once_one_passes() {
    let world = World::start();
    let code = world.code(&[]).await;
    let nonce = world.nonce().await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (router, assertion) = (world.router.clone(), world.assertion(json!({})));
        let proof = world.proof(&world.key, "/connect/token", Some(&nonce));
        let mut form = redeem_form(&code).to_vec();
        form.extend([AUTH, ("client_assertion", assertion.as_str())]);
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&form)
            .finish();
        tasks.spawn(async move {
            let request = axum::http::Request::post("/connect/token")
                .header("Content-Type", "application/x-www-form-urlencoded")
                .header("DPoP", proof)
                .body(axum::body::Body::from(body))
                .unwrap();
            tower::ServiceExt::oneshot(router, request)
                .await
                .unwrap()
                .status()
                .as_u16()
        });
    }
    let statuses = tasks.join_all().await;
    assert_eq!(
        statuses.iter().filter(|status| **status == 200).count(),
        1,
        "{statuses:?}"
    );
}

#[tokio::test]
async fn a_code_bound_to_a_key_needs_that_key() {
    let world = World::start();
    let key = PrivateJwk::generate(KeyKind::P256, None).unwrap();
    let code = world.code(&[("dpop_jkt", key.public().thumbprint())]).await;
    world.redeem(&code).await.refused("invalid_grant");
    let answer = world.token_by(&redeem_form(&code), &key).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        claims(answer.json()["access_token"].as_str().unwrap())["cnf"]["jkt"],
        key.public().thumbprint()
    );
}

#[tokio::test]
async fn refresh_rotates_and_reuse_revokes_the_family() {
    let world = World::start();
    let first = refresh_token(&world.redeem(&world.code(&[]).await).await);
    let answer = world.token(&refresh_form(&first)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.json()["id_token"].is_string());
    let second = refresh_token(&answer);
    assert_ne!(first, second);
    // The answer may have got lost: within ten seconds the same key may ask again, another may not.
    let again = world.token(&refresh_form(&first)).await;
    assert_eq!(again.status, 200, "{}", again.text());
    let third = refresh_token(&again);
    world.wait(11);
    let fourth = world.token(&refresh_form(&third)).await;
    assert_eq!(fourth.status, 200);
    let description = world
        .token(&refresh_form(&first))
        .await
        .refused("invalid_grant");
    assert!(description.contains("revoked"));
    world
        .token(&refresh_form(&refresh_token(&fourth)))
        .await
        .refused("invalid_grant");
}

#[tokio::test]
async fn within_the_grace_period_another_key_is_reuse() {
    let world = World::start();
    let first = refresh_token(&world.redeem(&world.code(&[]).await).await);
    let second = refresh_token(&world.token(&refresh_form(&first)).await);
    let thief = PrivateJwk::generate(KeyKind::P256, None).unwrap();
    world
        .token_by(&refresh_form(&first), &thief)
        .await
        .refused("invalid_grant");
    world
        .token(&refresh_form(&second))
        .await
        .refused("invalid_grant");
}

#[tokio::test]
async fn refresh_belongs_to_its_client_and_ends_with_the_session() {
    let world = World::start();
    let other_key = PrivateJwk::generate(KeyKind::P256, None).unwrap();
    world.helseid.put_client(client_with(&other_key, "other"));
    let token = refresh_token(&world.redeem(&world.code(&[]).await).await);
    let nonce = world.nonce().await;
    let assertion = world.assertion_by(&other_key, "other", json!({}));
    let mut form = refresh_form(&token).to_vec();
    form.extend([AUTH, ("client_assertion", assertion.as_str())]);
    let proof = world.proof(&world.key, "/connect/token", Some(&nonce));
    world
        .post("/connect/token", &form, &[("DPoP", &proof)])
        .await
        .refused("invalid_grant");
    world.wait(28_799);
    let last = world.token(&refresh_form(&token)).await;
    assert_eq!(
        (last.status, &last.json()["rt_expires_in"]),
        (200, &json!(1))
    );
    world.wait(1);
    world
        .token(&refresh_form(&refresh_token(&last)))
        .await
        .refused("invalid_grant");
}

#[tokio::test]
async fn scopes_and_resources_never_grow() {
    let world = World::start();
    let token = refresh_token(
        &world
            .redeem(
                &world
                    .code(&[("scope", "openid offline_access nhn:pps/provesvar-read")])
                    .await,
            )
            .await,
    );
    let with = |name, value| {
        let mut form = refresh_form(&token).to_vec();
        form.push((name, value));
        form
    };
    world
        .token(&with("scope", "openid nhn:kjernejournal/api"))
        .await
        .refused("invalid_scope");
    world
        .token(&with("resource", "nhn:kjernejournal"))
        .await
        .refused("invalid_target");
    let narrow = world.token(&with("scope", "nhn:pps/provesvar-read")).await;
    assert_eq!(narrow.json()["scope"], "nhn:pps/provesvar-read");
    let machine = |scope| [("grant_type", "client_credentials"), ("scope", scope)];
    for scope in [
        "openid",
        "nhn:msh/api",
        "nhn:unknown/x",
        "helseid://scopes/identity/pid nhn:pps/provesvar-read",
    ] {
        world.token(&machine(scope)).await.refused("invalid_scope");
    }
    // An empty scope counts as absent and means all API scopes granted.
    let all = world.token(&machine("")).await;
    assert_eq!(
        all.json()["scope"],
        "nhn:kjernejournal/api nhn:pps/provesvar-read"
    );
    let one = [
        ("grant_type", "client_credentials"),
        ("resource", "nhn:pps"),
    ];
    assert_eq!(
        world.token(&one).await.json()["scope"],
        "nhn:pps/provesvar-read"
    );
}

#[tokio::test]
async fn grants_and_methods_not_allowed() {
    let world = World::start();
    world
        .token(&[("grant_type", "password")])
        .await
        .refused("unsupported_grant_type");
    world.token(&[]).await.refused("invalid_request");
    let mut restricted = world.client.clone();
    (restricted.machine, restricted.user_login) = (false, false);
    world.helseid.put_client(restricted);
    world
        .token(&[("grant_type", "client_credentials")])
        .await
        .refused("unauthorized_client");
    world.push(&[]).await.refused("unauthorized_client");
    let get = world.get("/connect/token", &[]).await;
    assert_eq!(
        (get.status, get.json()["error"].clone()),
        (405, json!("invalid_request"))
    );
    let lost = world.get("/connect/nothing", &[]).await;
    assert_eq!(
        (lost.status, lost.header("Content-Type").as_deref()),
        (404, Some("application/json"))
    );
}

#[tokio::test]
async fn a_client_without_refresh_gets_none() {
    let world = World::start();
    let mut client = world.client.clone();
    client.refresh = false;
    world.helseid.put_client(client);
    let body = world
        .redeem(
            &world
                .code(&[("scope", "openid nhn:pps/provesvar-read")])
                .await,
        )
        .await
        .json();
    assert!(body.get("refresh_token").is_none() && body.get("rt_expires_in").is_none());
}

#[tokio::test]
async fn introspection_and_revocation() {
    let world = World::start();
    let body = world.redeem(&world.code(&[]).await).await.json();
    let (access, refresh) = (
        body["access_token"].as_str().unwrap(),
        body["refresh_token"].as_str().unwrap(),
    );
    let ask = async |path: &str, token: &str| {
        let assertion = world.assertion(json!({}));
        world
            .post(
                path,
                &[("token", token), AUTH, ("client_assertion", &assertion)],
                &[],
            )
            .await
    };
    let active = ask("/connect/introspect", access).await.json();
    assert_eq!(
        (&active["active"], &active["token_type"]),
        (&Value::Bool(true), &json!("DPoP"))
    );
    assert_eq!(
        ask("/connect/introspect", "garbage").await.json(),
        json!({"active": false})
    );
    for token in [access, refresh, "garbage"] {
        assert_eq!(ask("/connect/revocation", token).await.status, 200);
    }
    assert_eq!(
        ask("/connect/introspect", access).await.json(),
        json!({"active": false})
    );
    world
        .token(&refresh_form(refresh))
        .await
        .refused("invalid_grant");
    world
        .post("/connect/introspect", &[("token", access)], &[])
        .await
        .refused("invalid_client");
}

#[tokio::test]
async fn no_error_text_or_address_contains_what_is_secret() {
    let world = World::start();
    let code = world.code(&[]).await;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
        ("resource", DOCTOR),
    ];
    let text = world.token(&form).await.text();
    assert!(!text.contains(&code) && !text.contains(DOCTOR), "{text}");
}
