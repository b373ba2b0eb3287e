//! Whole logins of confidential and public clients, and what lives how long.

use axum::http::Request;
use helseid::citizen::path;
use jose::jws::Compact;
use jose::keyring::RotationPolicy;
use serde_json::json;

use super::*;
use crate::{claims, redeem_form};

#[tokio::test]
async fn a_tool_logs_a_citizen_in() {
    let sts = Sts::start();
    let tokens = sts.log_in("verktoy", &[]).await;
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["expires_in"], 600);
    assert_eq!(tokens["rt_expires_in"], 600, "as long as the access token");
    let id = claims(tokens["id_token"].as_str().unwrap());
    assert_eq!(
        (&id["iss"], &id["aud"]),
        (&json!(ISSUER), &json!("verktoy"))
    );
    assert_eq!(
        (&id["nonce"], &id["acr"]),
        (&json!(NONCE), &json!("Level4"))
    );
    assert_eq!(id["pid"], CITIZEN);
    assert_eq!(
        (&id["name"], &id["birthdate"]),
        (&json!("LIVSTRETT BEVER"), &json!("1983-02-06"))
    );
    // Both persons always; here they are one, so there is no relation.
    assert_eq!(id["act"]["pid"], CITIZEN);
    assert_eq!(id["act"]["sub"], id["sub"]);
    assert!(id["act"].get("relation").is_none());
    assert_eq!(id["sub"].as_str().unwrap().len(), 36, "a GUID");
    let access = claims(tokens["access_token"].as_str().unwrap());
    assert_eq!(access["aud"], "nhn:helsenorge");
    assert_eq!(
        (&access["client_id"], &access["sub"]),
        (&json!("verktoy"), &id["sub"])
    );
    assert_eq!(
        access["scope"],
        json!([
            "openid",
            "offline_access",
            RIGHT_ATTORNEY,
            RIGHT_BIRTH_DATE,
            RIGHT_PID,
            RIGHT_NAME
        ])
    );
    let seen = sts
        .introspected(tokens["access_token"].as_str().unwrap())
        .await;
    assert_eq!(seen["active"], true);
    assert_eq!(
        (&seen["pid"], &seen["iss"]),
        (&json!(CITIZEN), &json!(ISSUER))
    );
    assert_eq!(seen["aud"], json!(["nhn:helsenorge"]));
    assert!(seen["scope"].as_str().unwrap().contains("oidcnavn"));
}

#[tokio::test]
async fn a_client_learns_only_what_it_has_the_right_to() {
    let sts = Sts::start();
    let tokens = sts.log_in("liten", &[]).await;
    assert!(tokens.get("refresh_token").is_none());
    let id = claims(tokens["id_token"].as_str().unwrap());
    let access = claims(tokens["access_token"].as_str().unwrap());
    assert_eq!(id["name"], "LIVSTRETT BEVER");
    for (what, token) in [("ID token", &id), ("access token", &access)] {
        let text = serde_json::to_string(token).unwrap();
        assert!(!text.contains(CITIZEN), "{what}");
        assert!(
            token.get("birthdate").is_none() && token.get("pid").is_none(),
            "{what}"
        );
    }
    assert!(access.get("name").is_none());
    assert_eq!(access["aud"], ISSUER);
    // Another client knows the same citizen by another name.
    let other = sts.log_in("verktoy", &[]).await;
    let other = claims(other["id_token"].as_str().unwrap());
    assert_ne!(other["sub"], id["sub"]);
}

#[tokio::test]
async fn a_refresh_token_lives_as_long_as_its_access_token_unless_it_is_prolonged() {
    let sts = Sts::start();
    let token = |answer: &Value| answer["refresh_token"].as_str().unwrap().to_owned();
    let first = token(&sts.log_in("verktoy", &[]).await);
    sts.wait(601);
    sts.refresh("verktoy", &first)
        .await
        .refused("invalid_grant");

    let mut current = token(&sts.log_in("verktoy", &[]).await);
    let extended = sts
        .post(path::EXTEND, "verktoy", &[("refresh_token", &current)])
        .await;
    assert_eq!(
        extended.json()["rt_expires_in"],
        1_800,
        "{}",
        extended.text()
    );
    sts.wait(1_700);
    let refreshed = sts.refresh("verktoy", &current).await;
    assert_eq!(refreshed.status, 200, "{}", refreshed.text());
    assert_eq!(
        refreshed.json()["rt_expires_in"],
        600,
        "never shorter than the access token"
    );
    assert!(refreshed.json()["id_token"].is_string());
    current = token(&refreshed.json());
    // However often it is prolonged: not longer than the login.
    let mut left = 0;
    for _ in 0..40 {
        let extended = sts
            .post(path::EXTEND, "verktoy", &[("refresh_token", &current)])
            .await;
        if extended.status != 200 {
            extended.refused("invalid_grant");
            break;
        }
        left = extended.json()["rt_expires_in"].as_i64().unwrap();
        assert!(left <= 1_800);
        sts.wait(1_500);
    }
    assert!(left < 1_800, "the end of the login was never reached");
    sts.refresh("verktoy", &current)
        .await
        .refused("invalid_grant");
}

#[tokio::test]
async fn every_version_of_every_path_is_the_same_endpoint() {
    let sts = Sts::start();
    for version in ["v1", "v2", "v3"] {
        let url = format!("/sts/oidcprov/{version}/.well-known/openid-configuration");
        let document = sts.get(&url, &[]).await.json();
        assert_eq!(document["issuer"], ISSUER);
        for (name, path) in [
            ("authorization_endpoint", path::AUTHORIZE),
            ("token_endpoint", path::TOKEN),
            ("pushed_authorization_request_endpoint", path::PAR),
            ("revocation_endpoint", path::REVOKE),
            ("introspection_endpoint", path::INTROSPECT),
            ("end_session_endpoint", path::LOGOUT),
            ("extend_endpoint", path::EXTEND),
        ] {
            assert_eq!(document[name], format!("{BASE}{path}"), "{name}");
        }
        let keys = document["jwks_uri"].as_str().unwrap();
        let keys = sts.get(keys, &[]).await.json();
        assert_eq!(keys, sts.citizens.jwks());
        let aliases = &document["mtls_endpoint_aliases"];
        assert_eq!(
            aliases["token_endpoint"],
            format!("https://localhost:8445{}", path::TOKEN)
        );
        assert!(aliases.get("authorization_endpoint").is_none());
    }
    let challenge = pkce::challenge(VERIFIER);
    let tokens = sts.log_in("verktoy", &[]).await;
    let refresh_token = tokens["refresh_token"].as_str().unwrap();
    for version in ["v1", "v2", "v3"] {
        for form in [
            |v: &str, name: &str| format!("/sts/oidcprov/{v}/{name}"),
            |v: &str, name: &str| format!("/sts/oidcprov/{name}/{v}"),
        ] {
            let pushed = sts
                .post(
                    &form(version, "par"),
                    "verktoy",
                    &standard("verktoy", &challenge),
                )
                .await;
            assert_eq!(pushed.status, 201, "{}", pushed.text());
            let uri = pushed.json()["request_uri"].as_str().unwrap().to_owned();
            let url = authorize_url("verktoy", &uri);
            let url = url.replace(path::AUTHORIZE, &form(version, "authorize"));
            assert_eq!(sts.get(&url, &[]).await.status, 303);
            for (name, sent) in [
                (
                    "token",
                    [("grant_type", "refresh_token"), ("refresh_token", "x")],
                ),
                ("extend", [("refresh_token", refresh_token), ("x", "y")]),
                ("introspect", [("token", refresh_token), ("x", "y")]),
                ("revoke", [("token", "unknown"), ("x", "y")]),
            ] {
                let path = form(version, name);
                let answer = sts.post(&path, "verktoy", &sent).await;
                let expected = if name == "token" { 400 } else { 200 };
                assert_eq!(answer.status, expected, "{path} {}", answer.text());
                // Stock clients name the endpoint they call as audience: compatible mode only.
                let assertion = sts.assertion("verktoy", json!({"aud": format!("{BASE}{path}")}));
                let mut lax = sent.to_vec();
                lax.extend([AUTH, ("client_assertion", assertion.as_str())]);
                sts.post_as(&path, &lax, &[], None)
                    .await
                    .refused("invalid_client");
            }
            let logout = sts.get(&form(version, "logout"), &[]).await;
            assert_eq!(logout.status, 200, "the question");
            assert_eq!(sts.get(&form(version, "token"), &[]).await.status, 405);
        }
    }
}

#[tokio::test]
async fn compatible_mode_takes_the_endpoint_in_any_version_as_audience() {
    let sts = Sts::with(|config| config.mode = helseid::Mode::Compatible);
    for path in [path::INTROSPECT, "/sts/oidcprov/introspect/v1", path::TOKEN] {
        let assertion = sts.assertion("api", json!({"aud": format!("{BASE}{path}"), "nbf": null}));
        let form = [
            ("token", "x"),
            AUTH,
            ("client_assertion", assertion.as_str()),
        ];
        let answer = sts.post_as(path::INTROSPECT, &form, &[], None).await;
        assert_eq!(answer.json(), json!({"active": false}), "{path}");
    }
}

#[tokio::test]
async fn an_app_is_bound_to_the_certificate_of_its_instance() {
    let sts = Sts::start();
    let code = sts.app_code(0).await;
    let form = redeem_form(&code);
    sts.app_post(path::TOKEN, &form, None)
        .await
        .refused("invalid_client");
    sts.app_post(path::TOKEN, &form, Some(1))
        .await
        .refused("invalid_grant");
    let tokens = sts.app_post(path::TOKEN, &form, Some(0)).await;
    assert_eq!(tokens.status, 200, "{}", tokens.text());
    let tokens = tokens.json();
    let access = tokens["access_token"].as_str().unwrap();
    let certificate = xmlsec::x509::Certificate::from_der(&sts.instances[0]).unwrap();
    let thumbprint = jose::encoding::b64url(&certificate.fingerprint());
    assert_eq!(claims(access)["cnf"], json!({"x5t#S256": thumbprint}));
    assert_eq!(
        sts.introspected(access).await["cnf"]["x5t#S256"],
        thumbprint
    );

    let refresh_token = tokens["refresh_token"].as_str().unwrap();
    for path in [path::TOKEN, path::EXTEND] {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
        ];
        sts.app_post(path, &form, Some(1))
            .await
            .refused("invalid_grant");
        let own = sts.app_post(path, &form, Some(0)).await;
        assert_eq!(own.status, 200, "{}", own.text());
    }
    // A confidential client cannot pass as a public one, nor the reverse.
    let certificate = Some(sts.instances[0].as_slice());
    let form = [("client_id", "verktoy"), ("token", "x")];
    sts.post_as(path::REVOKE, &form, &[], certificate)
        .await
        .refused("invalid_client");
    sts.post(path::REVOKE, "app", &[("token", "x")])
        .await
        .refused("invalid_client");
}

#[tokio::test]
async fn a_public_client_must_push_and_a_certificate_must_be_valid() {
    let sts = Sts::start();
    let back = sts.get(&open_url("app", &[]), &[]).await;
    assert_eq!(back.callback("error").as_deref(), Some("invalid_request"));
    let challenge = pkce::challenge(VERIFIER);
    let form = standard("app", &challenge);
    sts.app_post(path::PAR, &form[1..], None)
        .await
        .refused("invalid_client");
    sts.time
        .store(2_300_000_000, std::sync::atomic::Ordering::SeqCst);
    let why = sts
        .app_post(path::PAR, &form[1..], Some(0))
        .await
        .refused("invalid_client");
    assert!(why.contains("not valid now"), "{why}");
    let nonsense = Some(&b"nonsense"[..]);
    sts.post_as(path::PAR, &form, &[], nonsense)
        .await
        .refused("invalid_client");
}

#[tokio::test]
async fn a_login_survives_a_restart_and_another_process_finishes_it() {
    let first = Sts::start();
    let pushed = first.push("verktoy", &[("test_pid", CITIZEN)]).await.json();
    let uri = pushed["request_uri"].as_str().unwrap();
    let second = first.again();
    let back = second.get(&authorize_url("verktoy", uri), &[]).await;
    let code = back.callback("code").unwrap();
    let third = first.again();
    let tokens = third.redeem("verktoy", &code).await.json();
    let token = tokens["access_token"].as_str().unwrap();
    assert_eq!(first.introspected(token).await["active"], true);
    // Each of the three sees what another has used up.
    first
        .redeem("verktoy", &code)
        .await
        .refused("invalid_grant");
    assert_eq!(second.introspected(token).await["active"], false);
}

#[tokio::test]
async fn one_of_many_redemptions_at_the_same_moment_wins() {
    let sts = std::sync::Arc::new(Sts::start());
    let code = sts.code("verktoy", &[]).await;
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let (sts, code) = (sts.clone(), code.clone());
        tasks.push(tokio::spawn(async move {
            sts.redeem("verktoy", &code).await.status
        }));
    }
    let mut won = 0;
    for task in tasks {
        won += usize::from(task.await.unwrap() == 200);
    }
    assert!(won <= 1, "{won}");
}

#[tokio::test]
async fn keys_rotate_and_old_tokens_stay_good() {
    let sts = Sts::start();
    let tokens = sts.log_in("verktoy", &[]).await;
    let before = tokens["access_token"].as_str().unwrap().to_owned();
    let kid = |token: &str| Compact::parse(token, 16_384).unwrap().kid.unwrap();
    let policy = RotationPolicy {
        active_s: 60,
        announce_s: 30,
        overlap_s: 10_000,
    };
    let mut rotated = false;
    for _ in 0..6 {
        sts.wait(31);
        rotated |= sts.citizens.rotate_keys(&policy).unwrap();
    }
    assert!(rotated);
    let after = sts.log_in("verktoy", &[]).await;
    let after = after["access_token"].as_str().unwrap();
    assert_ne!(kid(&before), kid(after));
    for token in [before.as_str(), after] {
        assert_eq!(sts.introspected(token).await["active"], true);
    }
    // Another process takes the new keys over at its next turn.
    let other = sts.again();
    assert_eq!(other.introspected(after).await["active"], true);
}

#[tokio::test]
async fn revocation_and_logout_end_what_they_should() {
    let sts = Sts::start();
    let tokens = sts.log_in("verktoy", &[]).await;
    let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
    let (access, refresh, id) = (
        text("access_token"),
        text("refresh_token"),
        text("id_token"),
    );
    // Somebody else's stay, and the answer is the same.
    for token in [&access, &refresh] {
        let answer = sts.post(path::REVOKE, "liten", &[("token", token)]).await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            sts.post(path::INTROSPECT, "verktoy", &[("token", token)])
                .await
                .json()["active"],
            true
        );
        assert_eq!(
            sts.post(path::INTROSPECT, "liten", &[("token", token)])
                .await
                .json(),
            json!({"active": false})
        );
    }
    sts.post(path::REVOKE, "verktoy", &[("token", &access)])
        .await;
    assert_eq!(sts.introspected(&access).await, json!({"active": false}));

    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("id_token_hint", &id)
        .append_pair("post_logout_redirect_uri", SIGNED_OUT)
        .append_pair("state", "gone")
        .finish();
    let out = sts.get(&format!("{}?{query}", path::LOGOUT), &[]).await;
    assert_eq!(
        out.header("Location").unwrap(),
        format!("{SIGNED_OUT}?state=gone")
    );
    sts.refresh("verktoy", &refresh)
        .await
        .refused("invalid_grant");

    let again = sts.log_in("verktoy", &[]).await;
    let refresh = again["refresh_token"].as_str().unwrap();
    sts.post(path::REVOKE, "verktoy", &[("token", refresh)])
        .await;
    sts.refresh("verktoy", refresh)
        .await
        .refused("invalid_grant");
}

#[tokio::test]
async fn form_post_carries_the_answer_in_a_form() {
    let sts = Sts::start();
    let change = [("response_mode", "form_post"), ("test_pid", CITIZEN)];
    let pushed = sts.push("verktoy", &change).await.json();
    let uri = pushed["request_uri"].as_str().unwrap();
    let page = sts.get(&authorize_url("verktoy", uri), &[]).await;
    assert_eq!((page.status, page.header("Location")), (200, None));
    let text = page.text();
    for expected in [
        format!("action=\"{REDIRECT}\""),
        "name=\"code\"".to_owned(),
        format!("name=\"state\" value=\"{STATE}\""),
        format!("name=\"iss\" value=\"{ISSUER}\""),
    ] {
        assert!(text.contains(&expected), "{expected}");
    }
}

#[tokio::test]
async fn too_much_is_refused_per_client_and_per_instance() {
    let sts = Sts::with(|config| {
        config.limits = helseid::limits::Limits {
            client_per_minute: Some(2),
            ..helseid::limits::Limits::default()
        };
    });
    let form = [("token", "x")];
    for _ in 0..2 {
        assert_eq!(sts.post(path::REVOKE, "verktoy", &form).await.status, 200);
        assert_eq!(sts.app_post(path::REVOKE, &form, Some(0)).await.status, 200);
    }
    let refused = sts.post(path::REVOKE, "verktoy", &form).await;
    assert_eq!(refused.status, 429);
    assert!(refused.header("Retry-After").is_some());
    assert_eq!(sts.app_post(path::REVOKE, &form, Some(0)).await.status, 429);
    assert_eq!(sts.app_post(path::REVOKE, &form, Some(1)).await.status, 200);
    assert_eq!(sts.post(path::REVOKE, "liten", &form).await.status, 200);
}

#[tokio::test]
async fn a_login_token_of_the_portal_has_the_same_keys_and_claims() {
    let sts = Sts::start();
    let token = sts.citizens.login_token(CITIZEN, "portal", "n").unwrap();
    let read = claims(&token);
    assert_eq!(
        (&read["iss"], &read["pid"]),
        (&json!(ISSUER), &json!(CITIZEN))
    );
    assert_eq!(read["act"]["pid"], CITIZEN);
    let verify = |token: &str, client: &str, nonce: &str| {
        sts.citizens.verify_login_token(token, client, nonce)
    };
    assert_eq!(verify(&token, "portal", "n").unwrap(), CITIZEN);
    let tokens = sts.log_in("verktoy", &[]).await;
    let half = token.rsplit_once('.').unwrap().0;
    for (what, token, client, nonce) in [
        ("nonce", token.as_str(), "portal", "m"),
        ("audience", &token, "verktoy", "n"),
        ("no signature", half, "portal", "n"),
        ("nothing", "", "portal", "n"),
        (
            "an access token",
            tokens["access_token"].as_str().unwrap(),
            "nhn:helsenorge",
            NONCE,
        ),
    ] {
        assert!(verify(token, client, nonce).is_err(), "{what}");
    }
    assert!(
        Sts::start()
            .citizens
            .verify_login_token(&token, "portal", "n")
            .is_err(),
        "key"
    );
    sts.wait(306);
    assert!(verify(&token, "portal", "n").is_err(), "expired");
}

#[tokio::test]
async fn a_power_of_attorney_is_a_token_of_its_own() {
    let sts = Sts::start();
    let ask = async |token: &str, certificate: Option<&[u8]>| {
        let mut request = Request::post(path::ATTORNEY_TOKEN)
            .header("Authorization", format!("Bearer {token}"))
            .body(axum::body::Body::empty())
            .unwrap();
        if let Some(certificate) = certificate {
            request
                .extensions_mut()
                .insert(PeerCertificate(certificate.into()));
        }
        sts.send(request).await
    };
    let tokens = sts
        .log_in("verktoy", &[("test_represented_pid", DOCTOR)])
        .await;
    let access = tokens["access_token"].as_str().unwrap();
    let answer = ask(access, None).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let token = answer.json()["fullmaktToken"].as_str().unwrap().to_owned();
    assert_eq!(
        Compact::parse(&token, 16_384).unwrap().typ.as_deref(),
        Some("fullmakt+jwt")
    );
    let read = claims(&token);
    assert_eq!(
        (&read["pid"], &read["act"]["pid"]),
        (&json!(DOCTOR), &json!(CITIZEN))
    );
    assert_eq!(
        (&read["act"]["relation"], &read["areas"]),
        (&json!("fullmakt"), &json!([1, 3]))
    );
    assert_eq!(read["sub"], claims(access)["sub"]);
    assert!(
        ask(&token, None).await.status == 401,
        "it is no access token"
    );

    let own = sts.log_in("verktoy", &[]).await;
    assert_eq!(
        ask(own["access_token"].as_str().unwrap(), None)
            .await
            .status,
        404
    );
    let small = sts.log_in("liten", &[]).await;
    assert_eq!(
        ask(small["access_token"].as_str().unwrap(), None)
            .await
            .status,
        403
    );
    let refused = ask("nonsense", None).await;
    assert_eq!(refused.status, 401);
    assert!(
        refused
            .header("WWW-Authenticate")
            .unwrap()
            .starts_with("Bearer")
    );
    *sts.family.0.lock().unwrap() = Some(Ground::Parent);
    assert_eq!(
        ask(access, None).await.status,
        404,
        "a parent has no power of attorney"
    );
    *sts.family.0.lock().unwrap() = None;
    assert_eq!(ask(access, None).await.status, 401, "withdrawn");

    // A bound token opens nothing without its certificate.
    let code = sts.app_code(0).await;
    let tokens = sts
        .app_post(path::TOKEN, &redeem_form(&code), Some(0))
        .await
        .json();
    let bound = tokens["access_token"].as_str().unwrap();
    assert_eq!(ask(bound, None).await.status, 401);
    assert_eq!(ask(bound, Some(&sts.instances[1])).await.status, 401);
    assert_eq!(
        ask(bound, Some(&sts.instances[0])).await.status,
        404,
        "for herself"
    );
}
