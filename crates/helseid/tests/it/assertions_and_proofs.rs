//! Client authentication and DPoP at the endpoints (attack table A1-A8, A25, A26, A39, A40).

use jose::jwk::KeyKind;
use jose::{Alg, PrivateJwk, dpop};
use serde_json::json;

use crate::{AUTH, ISSUER, World, client_with, compatible, redeem_form};

const MACHINE: (&str, &str) = ("grant_type", "client_credentials");

#[tokio::test]
async fn the_same_request_byte_for_byte_passes_after_the_nonce_refusal() {
    let world = World::start();
    let code = world.code(&[]).await;
    let assertion = world.assertion(json!({}));
    let mut form = redeem_form(&code).to_vec();
    form.extend([AUTH, ("client_assertion", assertion.as_str())]);
    let first = world.proof(&world.key, "/connect/token", None);
    let refusal = world
        .post("/connect/token", &form, &[("DPoP", &first)])
        .await;
    assert_eq!(
        refusal.refused("use_dpop_nonce"),
        "Authorization server requires nonce in DPoP proof"
    );
    let nonce = refusal.header("DPoP-Nonce").unwrap();
    let second = world.proof(&world.key, "/connect/token", Some(&nonce));
    let answer = world
        .post("/connect/token", &form, &[("DPoP", &second)])
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    // Now the assertion is used up, and so is the proof.
    let third = world.proof(&world.key, "/connect/token", Some(&nonce));
    let description = world
        .post("/connect/token", &form, &[("DPoP", &third)])
        .await
        .refused("invalid_client");
    assert!(description.contains("jti"));
    let fresh = world.assertion(json!({}));
    let form = [MACHINE, AUTH, ("client_assertion", fresh.as_str())];
    world
        .post("/connect/token", &form, &[("DPoP", &second)])
        .await
        .refused("invalid_dpop_proof");
}

#[tokio::test]
async fn a_nonce_must_be_ours_and_fresh() {
    let world = World::start();
    let nonce = world.nonce().await;
    let foreign = World::start().nonce().await;
    let send = async |nonce: &str| {
        let assertion = world.assertion(json!({}));
        let proof = world.proof(&world.key, "/connect/token", Some(nonce));
        let form = [MACHINE, AUTH, ("client_assertion", assertion.as_str())];
        world
            .post("/connect/token", &form, &[("DPoP", &proof)])
            .await
    };
    for wrong in ["", "x", foreign.as_str()] {
        send(wrong).await.refused("use_dpop_nonce");
    }
    assert_eq!(send(&nonce).await.status, 200);
    world.wait(240);
    let refusal = send(&nonce).await;
    refusal.refused("use_dpop_nonce");
    assert_ne!(refusal.header("DPoP-Nonce").unwrap(), nonce);
}

#[tokio::test]
async fn assertions_of_the_attack_table() {
    let world = World::start();
    let other = PrivateJwk::generate(KeyKind::P256, None).unwrap();
    world.helseid.put_client(client_with(&other, "other"));
    let now = world.now();
    let nonce = world.nonce().await;
    let good = world.assertion(json!({}));
    let (head, rest) = good.split_once('.').unwrap();
    let unsigned = |alg| {
        format!(
            "{}.{rest}",
            jose::encoding::b64url(
                json!({"alg":alg,"typ":"client-authentication+jwt"})
                    .to_string()
                    .as_bytes()
            )
        )
    };
    let duplicate = {
        let claims = format!(
            r#"{{"iss":"epj","sub":"epj","sub":"epj","aud":"{ISSUER}","iat":{now},"nbf":{now},"exp":{},"jti":"0123456789"}}"#,
            now + 30
        );
        jose::jws::sign_compact("client-authentication+jwt", claims.as_bytes(), &world.key).unwrap()
    };
    let table = [
        ("A1 none", unsigned("none")),
        ("A1 HS256", unsigned("HS256")),
        (
            "A2 key of another client",
            world.assertion_by(&other, "epj", json!({})),
        ),
        (
            "A2 unknown client",
            world.assertion_by(&other, "nobody", json!({})),
        ),
        (
            "A4 other issuer",
            world.assertion(json!({"aud":"https://other.no"})),
        ),
        (
            "A4 several",
            world.assertion(json!({"aud":[ISSUER,"https://other.no"]})),
        ),
        (
            "A4 endpoint",
            world.assertion(json!({"aud":format!("{ISSUER}/connect/token")})),
        ),
        ("A5 exp too far", world.assertion(json!({"exp":now+71}))),
        ("A5 exp missing", world.assertion(json!({"exp":null}))),
        ("A5 nbf", world.assertion(json!({"nbf":now+11}))),
        ("A6 iss", world.assertion(json!({"iss":"other"}))),
        (
            "A7 request object",
            world.assertion(json!({"redirect_uri":"x","response_type":"code"})),
        ),
        ("A39 duplicate member", duplicate),
        ("A39 padding", format!("{head}=.{rest}")),
        ("A40 huge", "x".repeat(40_000)),
    ];
    for (name, assertion) in &table {
        let proof = world.proof(&world.key, "/connect/token", Some(&nonce));
        let form = [MACHINE, AUTH, ("client_assertion", assertion.as_str())];
        let answer = world
            .post("/connect/token", &form, &[("DPoP", &proof)])
            .await;
        assert_eq!(
            answer.json()["error"],
            "invalid_client",
            "{name}: {}",
            answer.text()
        );
        answer.refused("invalid_client");
    }
    // A6: client_id differs from the assertion's.
    let assertion = world.assertion(json!({}));
    let form = [
        MACHINE,
        AUTH,
        ("client_id", "other"),
        ("client_assertion", assertion.as_str()),
    ];
    world
        .post("/connect/token", &form, &[])
        .await
        .refused("invalid_client");
    // No client authentication at all.
    world
        .post(
            "/connect/token",
            &[MACHINE, ("client_id", "epj"), ("client_secret", "x")],
            &[],
        )
        .await
        .refused("invalid_client");
    // A8: both spellings.
    let assertion = world.assertion(json!({"assertion_details":[],"authorization_details":[]}));
    let proof = world.proof(&world.key, "/connect/token", Some(&nonce));
    let form = [MACHINE, AUTH, ("client_assertion", assertion.as_str())];
    world
        .post("/connect/token", &form, &[("DPoP", &proof)])
        .await
        .refused("invalid_request");
}

#[tokio::test]
async fn an_expired_client_key_authenticates_nobody() {
    let world = World::start();
    let mut client = world.client.clone();
    client.keys[0].expires_s = Some(world.now() + 5);
    world.helseid.put_client(client);
    assert_eq!(world.token(&[MACHINE]).await.status, 200);
    world.wait(6);
    let assertion = world.assertion(json!({}));
    let form = [MACHINE, AUTH, ("client_assertion", assertion.as_str())];
    world
        .post("/connect/token", &form, &[])
        .await
        .refused("invalid_client");
}

#[tokio::test]
async fn another_client_cannot_use_up_this_ones_ids() {
    let world = World::start();
    let other = PrivateJwk::generate(KeyKind::P256, None).unwrap();
    world.helseid.put_client(client_with(&other, "other"));
    let jti = json!({"jti":"shared-id-0123456789"});
    for (key, client_id) in [(&other, "other"), (&world.key, "epj")] {
        let nonce = world.nonce().await;
        let assertion = world.assertion_by(key, client_id, jti.clone());
        let proof = world.proof(key, "/connect/token", Some(&nonce));
        let form = [MACHINE, AUTH, ("client_assertion", assertion.as_str())];
        assert_eq!(
            world
                .post("/connect/token", &form, &[("DPoP", &proof)])
                .await
                .status,
            200
        );
    }
}

#[tokio::test]
async fn proofs_at_the_token_endpoint() {
    let world = World::start();
    let nonce = world.nonce().await;
    let make = |method: &str, path: &str, at: i64| {
        dpop::make_proof(
            &world.key,
            method,
            &format!("{ISSUER}{path}"),
            None,
            Some(&nonce),
            at,
        )
        .unwrap()
    };
    let now = world.now();
    let secret = json!(world.key.to_secret_members());
    let private = {
        let header = json!({"typ":"dpop+jwt","jwk":secret});
        let claims = json!({"jti":"1","htm":"POST","htu":format!("{ISSUER}/connect/token"),"iat":now,"nonce":nonce});
        jose::jws::sign(
            header.as_object().unwrap(),
            claims.to_string().as_bytes(),
            &world.key,
            Alg::Es256,
        )
        .unwrap()
    };
    let table = [
        make("GET", "/connect/token", now),
        make("POST", "/connect/par", now),
        make("POST", "/connect/token", now - 61),
        make("POST", "/connect/token", now + 61),
        private,
        "garbage".to_owned(),
    ];
    for proof in &table {
        let assertion = world.assertion(json!({}));
        let form = [MACHINE, AUTH, ("client_assertion", assertion.as_str())];
        world
            .post("/connect/token", &form, &[("DPoP", proof)])
            .await
            .refused("invalid_dpop_proof");
        world
            .post("/connect/token", &form, &[("DPoP", proof), ("DPoP", proof)])
            .await
            .refused("invalid_dpop_proof");
        let description = world
            .post("/connect/token", &form, &[])
            .await
            .refused("invalid_request");
        assert!(description.contains("DPoP proof required"));
    }
    // The plain http listener's address is ours too.
    let assertion = world.assertion(json!({}));
    let proof = dpop::make_proof(
        &world.key,
        "POST",
        &format!("{}/connect/token", crate::BROWSER),
        None,
        Some(&nonce),
        now,
    )
    .unwrap();
    let form = [MACHINE, AUTH, ("client_assertion", assertion.as_str())];
    let answer = world
        .post("/connect/token", &form, &[("DPoP", &proof)])
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        crate::claims(answer.json()["access_token"].as_str().unwrap())["iss"],
        ISSUER
    );
}

#[tokio::test]
async fn forms_are_read_strictly() {
    let world = World::start();
    let assertion = world.assertion(json!({}));
    let form = [
        MACHINE,
        MACHINE,
        AUTH,
        ("client_assertion", assertion.as_str()),
    ];
    world
        .post("/connect/token", &form, &[])
        .await
        .refused("invalid_request");
    let huge = "x".repeat(70_000);
    world
        .post("/connect/token", &[MACHINE, ("x", &huge)], &[])
        .await
        .refused("invalid_request");
    let request =
        axum::http::Request::post("/connect/token").header("Content-Type", "application/json");
    world
        .send(request.body("{}".into()).unwrap())
        .await
        .refused("invalid_request");
}

#[tokio::test]
async fn bearer_tokens_only_where_client_and_api_both_allow_them() {
    let world = World::with(|config| {
        for api in &mut config.apis {
            api.bearer_allowed = api.audience == "nhn:pps";
        }
    });
    let mut client = world.client.clone();
    client.bearer_allowed = true;
    world.helseid.put_client(client);
    let ask = async |scope: &str| {
        let assertion = world.assertion(json!({}));
        world
            .post(
                "/connect/token",
                &[
                    MACHINE,
                    ("scope", scope),
                    AUTH,
                    ("client_assertion", &assertion),
                ],
                &[],
            )
            .await
    };
    let answer = ask("nhn:pps/provesvar-read").await;
    assert_eq!(
        (answer.status, answer.json()["token_type"].clone()),
        (200, json!("Bearer"))
    );
    ask("nhn:pps/provesvar-read nhn:kjernejournal/api")
        .await
        .refused("invalid_request");
}

#[tokio::test]
async fn a_stock_python_client_passes_in_compatible_mode_only() {
    for (world, passes) in [(World::start(), false), (World::with(compatible), true)] {
        let now = world.now();
        let claims = json!({"iss":"epj","sub":"epj","aud":format!("{ISSUER}/connect/token"),"iat":now,"exp":now+60,"jti":"0123456789"});
        let assertion =
            jose::jws::sign_compact("JWT", claims.to_string().as_bytes(), &world.key).unwrap();
        let nonce = world.nonce().await;
        let proof = world.proof(&world.key, "/connect/token", Some(&nonce));
        let form = [MACHINE, AUTH, ("client_assertion", assertion.as_str())];
        let answer = world
            .post("/connect/token", &form, &[("DPoP", &proof)])
            .await;
        assert_eq!(answer.status == 200, passes, "{}", answer.text());
    }
}
