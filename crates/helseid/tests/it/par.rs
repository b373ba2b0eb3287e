//! Pushed requests (attack table A7, A9, A11, A20, A37).

use jose::PrivateJwk;
use jose::jwk::KeyKind;
use serde_json::json;

use crate::people::DOCTOR;
use crate::{ISSUER, REDIRECT, World};

#[tokio::test]
async fn the_answer_is_201_with_a_request_uri() {
    let world = World::start();
    let answer = world
        .push(&[("unknown_parameter", "ignored"), ("test_pid", "")])
        .await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(
        answer.header("Content-Type").as_deref(),
        Some("application/json")
    );
    let body = answer.json();
    let uri = body["request_uri"].as_str().unwrap();
    assert!(uri.starts_with("urn:ietf:params:oauth:request_uri:") && uri.len() > 60);
    assert!(body["expires_in"].is_i64());
}

#[tokio::test]
async fn parameters_are_refused_each_for_its_reason() {
    let world = World::start();
    let table: Vec<(&[(&str, &str)], &str)> = vec![
        (&[("response_type", "token")], "unsupported_response_type"),
        (&[("response_type", "")], "invalid_request"),
        (&[("redirect_uri", "")], "invalid_request"),
        (
            &[("redirect_uri", "http://localhost:3000/callback/")],
            "invalid_request",
        ),
        (
            &[("redirect_uri", "http://localhost:3000/callback?x")],
            "invalid_request",
        ),
        (
            &[("redirect_uri", "http://localhost:3001/callback")],
            "invalid_request",
        ),
        (
            &[("redirect_uri", "http://LOCALHOST:3000/callback")],
            "invalid_request",
        ),
        (
            &[("redirect_uri", "http://localhost:3000/x/../callback")],
            "invalid_request",
        ),
        (
            &[("redirect_uri", "http://localhost:3000/callback#x")],
            "invalid_request",
        ),
        (
            &[("redirect_uri", "http://u@localhost:3000/callback")],
            "invalid_request",
        ),
        (&[("scope", "profile")], "invalid_scope"),
        (&[("scope", "openid nhn:msh/api")], "invalid_scope"),
        (&[("scope", "openid nhn:nothing/x")], "invalid_scope"),
        (&[("code_challenge", "")], "invalid_request"),
        (&[("code_challenge", "short")], "invalid_request"),
        (&[("code_challenge_method", "")], "invalid_request"),
        (&[("code_challenge_method", "plain")], "invalid_request"),
        (&[("resource", "nhn:msh")], "invalid_target"),
        (&[("resource", "https://evil.no")], "invalid_target"),
        (&[("prompt", "none login")], "invalid_request"),
        (&[("prompt", "create")], "invalid_request"),
        (&[("max_age", "-1")], "invalid_request"),
        (&[("response_mode", "fragment")], "invalid_request"),
        (&[("dpop_jkt", "x")], "invalid_request"),
        (&[("request_uri", "https://evil.no/r")], "invalid_request"),
        (
            &[
                ("test_pid", DOCTOR),
                ("acr_values", "idp:testidp-oidc"),
                ("test_security_level", "5"),
            ],
            "invalid_request",
        ),
        (&[("request", "garbage")], "invalid_request_object"),
        (&[("client_id", "other")], "invalid_client"),
    ];
    for (change, expected) in table {
        let answer = world.push(change).await;
        assert_eq!(
            answer.json()["error"],
            expected,
            "{change:?} {}",
            answer.text()
        );
        answer.refused(expected);
    }
}

#[tokio::test]
async fn a_refused_push_leaves_the_assertion_usable() {
    let world = World::start();
    let assertion = world.assertion(json!({}));
    world
        .push_with(&[("scope", "profile")], &assertion, &[])
        .await
        .refused("invalid_scope");
    assert_eq!(world.push_with(&[], &assertion, &[]).await.status, 201);
    world
        .push_with(&[], &assertion, &[])
        .await
        .refused("invalid_client");
}

#[tokio::test]
async fn a_proof_at_par_needs_no_nonce_but_a_wrong_one_is_refused() {
    let world = World::start();
    let key = PrivateJwk::generate(KeyKind::P256, None).unwrap();
    let push = async |nonce: Option<&str>, jkt: &str| {
        let assertion = world.assertion(json!({}));
        let proof = world.proof(&key, "/connect/par", nonce);
        world
            .push_with(&[("dpop_jkt", jkt)], &assertion, &[("DPoP", &proof)])
            .await
    };
    let jkt = key.public().thumbprint();
    assert_eq!(push(None, jkt).await.status, 201);
    assert_eq!(push(None, "").await.status, 201);
    assert_eq!(push(Some(&world.nonce().await), jkt).await.status, 201);
    push(Some("foreign"), jkt).await.refused("use_dpop_nonce");
    push(None, world.key.public().thumbprint())
        .await
        .refused("invalid_dpop_proof");
}

#[tokio::test]
async fn request_objects_carry_structures_and_win_over_the_form() {
    let world = World::start();
    let object = |change| world.assertion(change);
    let good = object(json!({"client_id":"epj","sub":null,"state":"from-object",
        "authorization_details":{"type":"nhn:sfm:journal-id","value":{"journal_id":"7fbfbcbd-6f08-4e95-9f7a-9d69c40f6a35"}}}));
    let answer = world
        .push(&[
            ("request", &good),
            ("test_pid", DOCTOR),
            ("acr_values", "idp:testidp-oidc"),
        ])
        .await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let uri = answer.json()["request_uri"].as_str().unwrap().to_owned();
    let back = world.get(&crate::authorize_url("epj", &uri), &[]).await;
    assert_eq!(back.callback("state").as_deref(), Some("from-object"));

    // Its id is used up; and it cannot authenticate anybody, nor can an assertion be a request object afterwards.
    world
        .push(&[("request", &good)])
        .await
        .refused("invalid_request_object");
    let dual = world.assertion(json!({}));
    world
        .push_with(&[("request", &dual)], &dual, &[])
        .await
        .refused("invalid_request_object");
    let used_as_assertion = world.assertion(json!({}));
    assert_eq!(
        world.push_with(&[], &used_as_assertion, &[]).await.status,
        201
    );
    world
        .push(&[("request", &used_as_assertion)])
        .await
        .refused("invalid_request_object");
    let used_as_object = world.assertion(json!({}));
    assert_eq!(
        world.push(&[("request", &used_as_object)]).await.status,
        201
    );
    world
        .push_with(&[], &used_as_object, &[])
        .await
        .refused("invalid_client");

    let thief = PrivateJwk::generate(KeyKind::P256, None).unwrap();
    let forged = world.assertion_by(&thief, "epj", json!({}));
    world
        .push(&[("request", &forged)])
        .await
        .refused("invalid_request_object");
    let bad_redirect = object(json!({"redirect_uri":"https://evil.no"}));
    world
        .push(&[("request", &bad_redirect)])
        .await
        .refused("invalid_request");
    let other_type = object(json!({"response_type":"token"}));
    world
        .push(&[("request", &other_type)])
        .await
        .refused("invalid_request_object");
    let unknown = object(json!({"authorization_details":{"type":"x"}}));
    assert!(
        world
            .push(&[("request", &unknown)])
            .await
            .refused("invalid_request")
            .starts_with("HID-1007")
    );
}

#[tokio::test]
async fn native_clients_may_use_any_loopback_port() {
    let world = World::start();
    let other_port = [("redirect_uri", "http://localhost:51234/callback")];
    world.push(&other_port).await.refused("invalid_request");
    let mut client = world.client.clone();
    client.native = true;
    world.helseid.put_client(client);
    assert_eq!(world.push(&other_port).await.status, 201);
}

#[tokio::test]
async fn discovery_announces_only_what_is_accepted() {
    let world = World::start();
    let answer = world.get("/.well-known/openid-configuration", &[]).await;
    assert_eq!(
        (answer.status, answer.header("Content-Type").as_deref()),
        (200, Some("application/json"))
    );
    let document = answer.json();
    assert_eq!(document["issuer"], ISSUER);
    let read = jose::client::Provider::from_metadata(ISSUER, &answer.body).unwrap();
    let known = helseid::client::provider(ISSUER, ISSUER);
    assert_eq!(format!("{read:?}"), format!("{known:?}"));
    assert!(jose::client::Provider::from_metadata("https://other.no", &answer.body).is_err());
    assert_eq!(
        document["jwks_uri"],
        format!("{ISSUER}/.well-known/openid-configuration/jwks")
    );
    assert_eq!(document["require_pushed_authorization_requests"], true);
    for (name, value) in document.as_object().unwrap() {
        let text = value.to_string();
        assert!(
            !text.contains("HS256") && !text.contains("plain") && !text.contains("client_secret"),
            "{name}"
        );
        if name.ends_with("_endpoint") || name.ends_with("_uri") {
            assert!(
                value.as_str().unwrap().starts_with(&format!("{ISSUER}/")),
                "{name}"
            );
        }
        if name.contains("channel_logout") {
            assert!(value.is_boolean(), "{name}");
        }
    }
    // Every key a client reads in the real documents is here, but for what is not built.
    let shared = std::env::var_os("HELSENAV_SHARED").map_or_else(
        || std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        std::path::PathBuf::from,
    );
    let Ok(real) =
        std::fs::read(shared.join("data/helseid/metadata/openid-configuration.production.json"))
    else {
        println!(
            "SKIPPED comparison with the real metadata: the shared data folder is not beside the repository"
        );
        return;
    };
    let real: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&real).unwrap();
    let absent: Vec<&String> = real
        .keys()
        .filter(|name| document.get(name.as_str()).is_none())
        .collect();
    assert_eq!(
        absent,
        [
            "device_authorization_endpoint",
            "backchannel_authentication_endpoint",
            "backchannel_token_delivery_modes_supported",
            "backchannel_user_code_parameter_supported"
        ]
    );
}

#[tokio::test]
async fn without_the_test_provider_nothing_of_it_exists() {
    let world = World::with(|config| config.test_idp = false);
    assert!(
        world
            .push(&[("test_pid", DOCTOR), ("acr_values", "idp:testidp-oidc")])
            .await
            .refused("invalid_request")
            .contains("test_pid")
    );
    assert_eq!(world.get("/login/abc", &[]).await.status, 404);
    assert_eq!(
        world.get("/connect/availableidps", &[]).await.json(),
        json!([])
    );
    let pushed = world.push(&[]).await.json();
    let back = world
        .get(
            &crate::authorize_url("epj", pushed["request_uri"].as_str().unwrap()),
            &[],
        )
        .await;
    assert_eq!(back.callback("error").as_deref(), Some("access_denied"));
    assert!(back.header("Location").unwrap().starts_with(REDIRECT));
}
