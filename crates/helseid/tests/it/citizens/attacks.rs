//! The rows of the attack table (spec §19) that apply to the citizens' issuer, at its endpoints.

use helseid::citizen::path;
use jose::encoding::b64url;
use serde_json::json;

use super::*;
use crate::redeem_form;

async fn revoke_with(sts: &Sts, assertion: &str) -> Answer {
    let form = [("token", "x"), AUTH, ("client_assertion", assertion)];
    sts.post_as(path::REVOKE, &form, &[], None).await
}

#[tokio::test]
async fn a1_to_a7_assertions() {
    let sts = Sts::start();
    let now = sts.now();
    let other = PrivateJwk::generate(KeyKind::P256, None).unwrap();
    let payload = json!({"iss":"verktoy","sub":"verktoy","aud":ISSUER,"exp":now+30,"nbf":now,"iat":now,"jti":"none-12345"});
    let none = format!(
        "{}.{}.",
        b64url(br#"{"alg":"none","typ":"client-authentication+jwt"}"#),
        b64url(payload.to_string().as_bytes())
    );
    let mut refused = vec![("A1 alg none", none)];
    refused.push((
        "A2 other key",
        sts.assertion_by(&other, "verktoy", json!({})),
    ));
    for (what, change) in [
        ("A4 other audience", json!({"aud": crate::ISSUER})),
        ("A4 the bare origin", json!({"aud": BASE})),
        (
            "A4 several",
            json!({"aud": [ISSUER, "https://other.example"]}),
        ),
        ("A5 too long", json!({"exp": now + 120})),
        ("A5 no exp", json!({"exp": null})),
        ("A5 expired", json!({"exp": now - 60})),
        ("A5 not yet", json!({"nbf": now + 60})),
        ("A6 iss", json!({"iss": "liten"})),
        ("no jti", json!({"jti": null})),
    ] {
        refused.push((what, sts.assertion("verktoy", change)));
    }
    for (what, assertion) in refused {
        println!("{what}");
        revoke_with(&sts, &assertion)
            .await
            .refused("invalid_client");
    }
    let assertion = sts.assertion("verktoy", json!({}));
    let form = [
        ("client_id", "liten"),
        ("token", "x"),
        AUTH,
        ("client_assertion", assertion.as_str()),
    ];
    sts.post_as(path::REVOKE, &form, &[], None)
        .await
        .refused("invalid_client");
    // A3: good once.
    assert_eq!(revoke_with(&sts, &assertion).await.status, 200);
    revoke_with(&sts, &assertion)
        .await
        .refused("invalid_client");
    // A7: a request object is nothing here, and authenticates nobody.
    let object = sts.assertion("verktoy", json!({}));
    sts.push("verktoy", &[("request", &object)])
        .await
        .refused("invalid_request");
    sts.post_as(
        path::REVOKE,
        &[("token", "x"), ("request", &object)],
        &[],
        None,
    )
    .await
    .refused("invalid_client");
}

#[tokio::test]
async fn a9_redirect_uris_and_a11_pkce_at_par_and_in_the_address() {
    let sts = Sts::start();
    for uri in [
        "http://localhost:3000/callback/",
        "http://localhost:3000/callbac",
        "http://localhost:3000/CALLBACK",
        "http://localhost:3001/callback",
        "http://localhost:3000/x/../callback",
        "http://u@localhost:3000/callback",
        "http://localhost:3000/callback#x",
        "http://evil.example/callback",
    ] {
        sts.push("verktoy", &[("redirect_uri", uri)])
            .await
            .refused("invalid_request");
        let page = sts
            .get(&open_url("verktoy", &[("redirect_uri", uri)]), &[])
            .await;
        assert_eq!((page.status, page.header("Location")), (400, None), "{uri}");
    }
    let page = sts.get(&open_url("nobody", &[]), &[]).await;
    assert_eq!((page.status, page.header("Location")), (400, None));
    let long = "x".repeat(1_001);
    let norwegian = "ø".repeat(1_000);
    for (change, code) in [
        (("code_challenge", ""), "invalid_request"),
        (("code_challenge_method", ""), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("code_challenge", "short"), "invalid_request"),
        (("response_type", "token"), "unsupported_response_type"),
        (("response_mode", "fragment"), "invalid_request"),
        (("scope", "offline_access"), "invalid_scope"),
        (("scope", "openid nhn:kjernejournal/api"), "invalid_scope"),
        (("state", "123456789"), "invalid_request"),
        (("state", long.as_str()), "invalid_request"),
        (("nonce", "123456789"), "invalid_request"),
        (("nonce", long.as_str()), "invalid_request"),
        (("prompt", "none login"), "invalid_request"),
    ] {
        sts.push("verktoy", &[change]).await.refused(code);
        let back = sts.get(&open_url("verktoy", &[change]), &[]).await;
        assert_eq!(back.callback("error").as_deref(), Some(code), "{change:?}");
        assert_eq!(back.callback("iss").as_deref(), Some(ISSUER), "A12");
    }
    sts.push("liten", &[("scope", "openid offline_access")])
        .await
        .refused("invalid_scope");
    for good in [
        ("state", norwegian.as_str()),
        ("state", "1234567890"),
        ("nonce", ""),
        ("scope", "openid oidcnavn"),
    ] {
        assert_eq!(sts.push("verktoy", &[good]).await.status, 201, "{good:?}");
    }
    // The verifier at the token endpoint.
    let code = sts.code("verktoy", &[]).await;
    let mut form = redeem_form(&code).to_vec();
    form.retain(|(name, _)| *name != "code_verifier");
    sts.post(path::TOKEN, "verktoy", &form)
        .await
        .refused("invalid_request");
    let other = "x".repeat(43);
    form.push(("code_verifier", &other));
    sts.post(path::TOKEN, "verktoy", &form)
        .await
        .refused("invalid_grant");
    assert_eq!(sts.redeem("verktoy", &code).await.status, 200);
}

#[tokio::test]
async fn a10_request_uris() {
    let sts = Sts::start();
    let page = async |client: &str, uri: &str| {
        let answer = sts.get(&authorize_url(client, uri), &[]).await;
        assert_eq!(
            (answer.status, answer.header("Location")),
            (400, None),
            "{uri}"
        );
    };
    let pushed = sts.push("verktoy", &[]).await.json();
    let uri = pushed["request_uri"].as_str().unwrap();
    page("liten", uri).await;
    page("verktoy", "https://evil.example/request").await;
    page("verktoy", "urn:ietf:params:oauth:request_uri:unknown").await;
    assert_eq!(
        sts.get(&authorize_url("verktoy", uri), &[]).await.status,
        303
    );
    page("verktoy", uri).await;
    let late = sts.push("verktoy", &[]).await.json();
    sts.wait(301);
    page("verktoy", late["request_uri"].as_str().unwrap()).await;
}

#[tokio::test]
async fn a16_to_a19_codes_and_refresh_tokens() {
    let sts = Sts::start();
    let code = sts.code("verktoy", &[]).await;
    sts.redeem("liten", &code).await.refused("invalid_grant");
    let tokens = sts.redeem("verktoy", &code).await.json();
    let access = tokens["access_token"].as_str().unwrap();
    let refresh = tokens["refresh_token"].as_str().unwrap();
    assert_eq!(sts.introspected(access).await["active"], true);
    sts.refresh("liten", refresh).await.refused("invalid_grant");
    let mut wide = vec![
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh),
        ("scope", "openid nhn:kjernejournal/api"),
    ];
    sts.post(path::TOKEN, "verktoy", &wide)
        .await
        .refused("invalid_scope");
    wide[2] = ("scope", "openid oidcnavn");
    let narrow = sts.post(path::TOKEN, "verktoy", &wide).await.json();
    assert_eq!(narrow["scope"], "openid oidcnavn");
    assert!(
        crate::claims(narrow["access_token"].as_str().unwrap())
            .get("pid")
            .is_none()
    );
    // A16: the code again ends everything of its first use.
    sts.redeem("verktoy", &code).await.refused("invalid_grant");
    assert_eq!(sts.introspected(access).await, json!({"active": false}));
    let next = narrow["refresh_token"].as_str().unwrap();
    sts.refresh("verktoy", next).await.refused("invalid_grant");
    // A16: a minute.
    let late = sts.code("verktoy", &[]).await;
    sts.wait(61);
    sts.redeem("verktoy", &late).await.refused("invalid_grant");
    // A17: a refresh token again ends its family, at the token endpoint and at extend.
    for path in [path::TOKEN, path::EXTEND] {
        let first = sts.log_in("verktoy", &[]).await;
        let first = first["refresh_token"].as_str().unwrap();
        let second = sts.refresh("verktoy", first).await.json();
        sts.wait(11);
        let form = [("grant_type", "refresh_token"), ("refresh_token", first)];
        sts.post(path, "verktoy", &form)
            .await
            .refused("invalid_grant");
        let second = second["refresh_token"].as_str().unwrap();
        sts.refresh("verktoy", second)
            .await
            .refused("invalid_grant");
    }
    for grant in [
        "client_credentials",
        "password",
        "urn:ietf:params:oauth:grant-type:token-exchange",
    ] {
        sts.post(path::TOKEN, "verktoy", &[("grant_type", grant)])
            .await
            .refused("unsupported_grant_type");
    }
}

#[tokio::test]
async fn a15_only_level_four_and_a30_no_id_token_is_an_access_token() {
    let sts = Sts::start();
    // A lower level may be named; the login is of the highest all the same.
    let tokens = sts
        .log_in("verktoy", &[("acr_values", "idporten-loa-high")])
        .await;
    let id = tokens["id_token"].as_str().unwrap();
    assert_eq!(crate::claims(id)["acr"], "idporten-loa-high");
    assert_eq!(sts.introspected(id).await, json!({"active": false}));
    let request = axum::http::Request::post(path::ATTORNEY_TOKEN)
        .header("Authorization", format!("Bearer {id}"))
        .body(axum::body::Body::empty())
        .unwrap();
    assert_eq!(sts.send(request).await.status, 401);
}

#[tokio::test]
async fn a35_no_national_id_in_addresses_and_a37_no_test_login_in_production() {
    let sts = Sts::start();
    let back = sts
        .get(&open_url("verktoy", &[("test_pid", CITIZEN)]), &[])
        .await;
    assert_eq!(back.callback("error").as_deref(), Some("invalid_request"));
    assert!(!back.header("Location").unwrap().contains(CITIZEN));
    let real = Sts::with(|config| config.test_login = false);
    for name in ["test_pid", "test_represented_pid"] {
        real.push("verktoy", &[(name, CITIZEN)])
            .await
            .refused("invalid_request");
    }
    assert_eq!(real.get("/sts/oidcprov/login/x", &[]).await.status, 404);
    let back = real.get(&open_url("verktoy", &[]), &[]).await;
    assert_eq!(back.callback("error").as_deref(), Some("access_denied"));
}

#[tokio::test]
async fn a38_logout_leads_nowhere_else() {
    let sts = Sts::start();
    let tokens = sts.log_in("verktoy", &[]).await;
    let id = tokens["id_token"].as_str().unwrap();
    let access = tokens["access_token"].as_str().unwrap();
    for (hint, target) in [
        (id, "https://evil.example/"),
        (access, SIGNED_OUT),
        ("x", SIGNED_OUT),
    ] {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("id_token_hint", hint)
            .append_pair("post_logout_redirect_uri", target)
            .finish();
        let answer = sts.get(&format!("{}?{query}", path::LOGOUT), &[]).await;
        assert_eq!((answer.status, answer.header("Location")), (400, None));
    }
    let question = sts
        .get(
            &format!(
                "{}?post_logout_redirect_uri=https://evil.example/",
                path::LOGOUT
            ),
            &[],
        )
        .await;
    assert!(question.text().contains("Vil du logge ut?"));
    assert!(
        question
            .text()
            .contains(&format!("action=\"{}\"", path::LOGOUT))
    );
}

#[tokio::test]
async fn a39_a40_malformed_and_large_requests() {
    let sts = Sts::start();
    for path in [
        path::PAR,
        path::TOKEN,
        path::REVOKE,
        path::EXTEND,
        path::INTROSPECT,
    ] {
        let twice = [("token", "a"), ("token", "b")];
        sts.post_as(path, &twice, &[], None)
            .await
            .refused("invalid_request");
        let large = "x".repeat(70_000);
        sts.post_as(path, &[("token", &large)], &[], None)
            .await
            .refused("invalid_request");
        sts.post_as(path, &[("client_id", "verktoy")], &[], None)
            .await
            .refused("invalid_client");
        let broken = "a.b.c";
        let form = [AUTH, ("client_assertion", broken)];
        sts.post_as(path, &form, &[], None)
            .await
            .refused("invalid_client");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]
    #[test]
    fn whatever_is_sent_is_answered(body in "[ -~]{0,120}", query in "[!-~&&[^#\\\\^`{|}<>\"]]{0,80}") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            static STS: std::sync::OnceLock<Sts> = std::sync::OnceLock::new();
            let sts = STS.get_or_init(Sts::start);
            for path in [path::PAR, path::TOKEN, path::REVOKE, path::EXTEND, path::INTROSPECT] {
                let request = axum::http::Request::post(path)
                    .header("Content-Type", "application/x-www-form-urlencoded")
                    .body(axum::body::Body::from(body.clone()))
                    .unwrap();
                let status = sts.send(request).await.status;
                assert!(status == 400, "{path} {status}");
            }
            let address = format!("{}?{query}", path::AUTHORIZE);
            if let Ok(request) = axum::http::Request::get(address).body(axum::body::Body::empty()) {
                assert_eq!(sts.send(request).await.status, 400);
            }
        });
    }
}
