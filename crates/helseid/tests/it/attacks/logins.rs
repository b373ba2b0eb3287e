//! Rows about pushed requests, the browser and what must not exist: A9-A15, A35, A37, A38.

use std::cell::RefCell;
use std::sync::Once;

use jose::pkce;
use serde_json::json;

use super::second;
use crate::outside::{Browser, begin, log_in, start};
use crate::people::DOCTOR;
use crate::{AUTH, Answer, ISSUER, REDIRECT, VERIFIER, World, authorize_url, pages, test_tokens};

/// A page of ours, nothing redirected.
fn error_page(answer: &Answer) {
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.header("Location").is_none());
    assert!(
        answer
            .header("Content-Type")
            .unwrap()
            .starts_with("text/html")
    );
}

pub async fn a9() {
    let world = World::start();
    for uri in [
        "http://localhost:3000/callback/x",
        "http://localhost:3000/callbac",
        "http://localhost:3000/CALLBACK",
        "http://LOCALHOST:3000/callback",
        "http://localhost:3001/callback",
        "http://localhost/callback",
        "https://localhost:3000/callback",
        "http://evil@localhost:3000/callback",
        "http://localhost:3000@evil.example/callback",
        "http://localhost:3000/x/../callback",
        "http://localhost:3000/callback?x=1",
        "http://localhost:3000/callback#x",
        "http://localhost:3000\\@evil.example/callback",
        "http://localhost:3000.evil.example/callback",
        "javascript:alert(1)",
    ] {
        world
            .push(&[("redirect_uri", uri)])
            .await
            .refused("invalid_request");
    }
    assert_eq!(world.push(&[("redirect_uri", REDIRECT)]).await.status, 201);
}

pub async fn a10() {
    let world = World::start();
    second(&world);
    let push = async || {
        let test = [("test_pid", DOCTOR), ("acr_values", "idp:testidp-oidc")];
        let pushed = world.push(&test).await;
        pushed.json()["request_uri"].as_str().unwrap().to_owned()
    };
    let uri = push().await;
    error_page(&world.get(&authorize_url("second", &uri), &[]).await);
    for other in [
        "https://evil.example/request.jwt",
        "urn:ietf:params:oauth:request_uri:guessed",
        "urn:other:x",
    ] {
        error_page(&world.get(&authorize_url("epj", other), &[]).await);
    }
    let inline =
        format!("/connect/authorize?client_id=epj&response_type=code&redirect_uri={REDIRECT}");
    error_page(&world.get(&inline, &[]).await);
    // The other client has not used it up; the first use does.
    let good = world.get(&authorize_url("epj", &uri), &[]).await;
    assert!(good.callback("code").is_some());
    error_page(&world.get(&authorize_url("epj", &uri), &[]).await);
    let late = push().await;
    world.wait(301);
    error_page(&world.get(&authorize_url("epj", &late), &[]).await);
    world
        .push(&[("request_uri", "https://evil.example/x")])
        .await
        .refused("invalid_request");
}

pub async fn a11() {
    let world = World::start();
    for change in [
        vec![("code_challenge", "")],
        vec![("code_challenge_method", "")],
        vec![
            ("code_challenge_method", "plain"),
            ("code_challenge", VERIFIER),
        ],
        vec![("code_challenge", "short")],
    ] {
        world.push(&change).await.refused("invalid_request");
    }
    let code = world.code(&[]).await;
    let form = |verifier: &'static str| {
        [
            ("grant_type", "authorization_code"),
            ("redirect_uri", REDIRECT),
            ("code_verifier", verifier),
        ]
    };
    let challenge = pkce::challenge(VERIFIER);
    for (verifier, error) in [
        ("", "invalid_request"),
        (
            "another-verifier-of-the-right-length-0123456789",
            "invalid_grant",
        ),
    ] {
        let mut form = form(verifier).to_vec();
        form.push(("code", &code));
        form.retain(|(_, value)| !value.is_empty());
        world.token(&form).await.refused(error);
    }
    let mut as_plain = form("x").to_vec();
    as_plain.retain(|(name, _)| *name != "code_verifier");
    as_plain.extend([
        ("code", code.as_str()),
        ("code_verifier", challenge.as_str()),
    ]);
    world.token(&as_plain).await.refused("invalid_grant");
    assert_eq!(world.redeem(&code).await.status, 200);
}

pub async fn a12() {
    let world = World::start();
    for change in [
        vec![("test_pid", DOCTOR), ("acr_values", "idp:testidp-oidc")],
        vec![("prompt", "none")],
    ] {
        let pushed = world.push(&change).await;
        let uri = pushed.json()["request_uri"].as_str().unwrap().to_owned();
        let back = world.get(&authorize_url("epj", &uri), &[]).await;
        assert_eq!(back.callback("iss").as_deref(), Some(ISSUER));
    }
    let metadata = world.get("/.well-known/openid-configuration", &[]).await;
    assert_eq!(
        metadata.json()["authorization_response_iss_parameter_supported"],
        true
    );
}

pub async fn a13() {
    let world = World::start();
    let page = pages::open(&world, &[], &[]).await;
    let policy = page.page.header("Content-Security-Policy").unwrap();
    assert!(policy.contains("frame-ancestors 'none'"));
    assert_eq!(page.page.header("X-Frame-Options").as_deref(), Some("DENY"));
    let cookie = ("Cookie", page.cookie.as_str());
    let form = |csrf: &'static str| [("csrf", csrf), ("pid", DOCTOR), ("level", "4")];
    // Without the page's own value, and from another page.
    let forged = world.post(&page.path, &form("x"), &[cookie]).await;
    forged.refused("access_denied");
    let own = [
        ("csrf", page.csrf.as_str()),
        ("pid", DOCTOR),
        ("level", "4"),
    ];
    let elsewhere = [cookie, ("Origin", "https://evil.example")];
    world
        .post(&page.path, &own, &elsewhere)
        .await
        .refused("access_denied");
    // An error leads nowhere that was not registered.
    error_page(
        &world
            .get(
                "/connect/authorize?client_id=epj&redirect_uri=https%3A%2F%2Fevil.example",
                &[],
            )
            .await,
    );
    // None of it used the login up.
    let good = world
        .post(&page.path, &own, &[cookie, ("Origin", ISSUER)])
        .await;
    assert!(good.callback("code").is_some());
}

pub async fn a14() {
    // At the login page: another browser does not get the login, even with the page's value.
    let world = World::start();
    let page = pages::open(&world, &[], &[]).await;
    let own = [
        ("csrf", page.csrf.as_str()),
        ("pid", DOCTOR),
        ("level", "4"),
    ];
    let other = world.post(&page.path, &own, &[("Origin", ISSUER)]).await;
    assert_eq!(other.status, 410);
    // On the way back from a provider: state and nonce belong to one browser and one attempt.
    let (world, provider) = start(|_| {});
    let mut victim = Browser::default();
    begin(&world, &mut victim, &[]).await;
    let url = crate::outside::back(&provider, &[]);
    let mut attacker = Browser::default();
    begin(&world, &mut attacker, &[]).await;
    assert_eq!(attacker.get(&world, &url).await.status, 400);
    // The session after a login is a new one, never the one the browser came with.
    let fixed = "A".repeat(43);
    let cookie = format!("helseid.session={fixed}");
    let answer = log_in(&world, &provider, &mut Browser::default(), &[]).await;
    let set = answer.headers.get_all("Set-Cookie");
    assert!(set.iter().any(|one| {
        let text = one.to_str().unwrap();
        text.starts_with("helseid.session=") && !text.starts_with(&cookie)
    }));
}

pub async fn a15() {
    let (world, provider) = start(|_| {});
    provider.says(|says| says.claims["acr"] = "idporten-loa-substantial".into());
    let mut browser = Browser::default();
    let answer = log_in(&world, &provider, &mut browser, &[("acr_values", "Level4")]).await;
    assert_eq!(answer.callback("error").as_deref(), Some("access_denied"));
    assert!(answer.callback("code").is_none());
    let low = [
        ("test_pid", DOCTOR),
        ("test_security_level", "3"),
        ("acr_values", "idp:testidp-oidc Level4"),
    ];
    let world = World::start();
    let pushed = world.push(&low).await;
    let uri = pushed.json()["request_uri"].as_str().unwrap().to_owned();
    let back = world.get(&authorize_url("epj", &uri), &[]).await;
    assert_eq!(back.callback("error").as_deref(), Some("access_denied"));
}

thread_local! {
    static LOG: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Keeps what a thread logs while it has a log.
struct OfThisThread;

impl std::io::Write for OfThisThread {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.with_borrow_mut(|log| {
            if let Some(log) = log {
                log.extend_from_slice(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// One subscriber for the whole process: with one for a thread, another thread that meets an event first turns it off
/// for everybody.
fn keep_log() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_writer(|| OfThisThread)
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
    LOG.set(Some(Vec::new()));
}

/// What leaves the server besides tokens: logs, error texts and addresses, over a whole login and its refusals.
pub async fn a35() {
    keep_log();
    let world = World::start();
    let secret = format!("{DOCTOR}-secret");
    let mut secrets = vec![DOCTOR.to_owned()];
    for (name, value) in [
        ("grant_type", secret.as_str()),
        ("scope", &format!("nhn:{secret}")),
        ("code", &secret),
        ("refresh_token", &secret),
        ("subject_token", &secret),
    ] {
        let assertion = world.assertion(json!({}));
        let mut form = vec![
            AUTH,
            ("client_assertion", assertion.as_str()),
            (name, value),
        ];
        let grant = match name {
            "grant_type" => None,
            "code" => Some("authorization_code"),
            "refresh_token" => Some("refresh_token"),
            "subject_token" => Some("urn:ietf:params:oauth:grant-type:token-exchange"),
            _ => Some("client_credentials"),
        };
        form.extend(grant.map(|grant| ("grant_type", grant)));
        let nonce = world.nonce().await;
        let proof = world.proof(&world.key, "/connect/token", Some(&nonce));
        let answer = world
            .post("/connect/token", &form, &[("DPoP", &proof)])
            .await;
        let text = answer.text();
        assert!(answer.status == 400, "{name}: {text}");
        assert!(!text.contains(DOCTOR) && !text.contains(&assertion));
        secrets.extend([assertion, proof, nonce]);
    }
    let page = pages::open(&world, &[], &[]).await;
    let code = world.code(&[]).await;
    assert!(!page.path.contains(DOCTOR) && !code.contains(DOCTOR));
    let tokens = world.redeem(&code).await.json();
    world.redeem(&code).await.refused("invalid_grant");
    for name in ["access_token", "id_token", "refresh_token"] {
        secrets.push(tokens[name].as_str().unwrap().to_owned());
    }
    secrets.extend([code, page.csrf, page.cookie]);
    let log = String::from_utf8(LOG.take().unwrap()).unwrap();
    assert!(log.contains("helseid: refused"), "nothing was logged");
    for secret in secrets {
        assert!(!log.contains(&secret), "a secret is in the log");
    }
}

pub async fn a37() {
    let production = World::with(|config| {
        config.test_idp = false;
        config.test_token_keys = vec![test_tokens::KEY.to_owned()];
    });
    let answer = test_tokens::ask(&production, test_tokens::KEY, &json!({})).await;
    assert_eq!(answer.status, 404);
    for path in ["/login/x", "/create-test-token-with-key"] {
        assert_eq!(production.get(path, &[]).await.status, 404, "{path}");
        assert_eq!(production.post(path, &[], &[]).await.status, 404, "{path}");
    }
    production
        .push(&[("test_pid", DOCTOR), ("acr_values", "idp:testidp-oidc")])
        .await
        .refused("invalid_request");
    let idps = production.get("/connect/availableidps", &[]).await;
    assert_eq!(idps.json(), json!([]));
}

pub async fn a38() {
    let (world, other) = (World::start(), World::start());
    let tokens = world.redeem(&world.code(&[]).await).await.json();
    let foreign = other.redeem(&other.code(&[]).await).await.json();
    let own = tokens["id_token"].as_str().unwrap();
    let out = |hint: &str, uri: &str| {
        format!("/connect/endsession?id_token_hint={hint}&post_logout_redirect_uri={uri}")
    };
    let good = "http%3A%2F%2Flocalhost%3A3000%2Fout";
    for url in [
        out(own, "https%3A%2F%2Fevil.example"),
        out(own, "http%3A%2F%2Flocalhost%3A3000%2Fout%2F"),
        out(own, "http%3A%2F%2Flocalhost%3A3000%2Fcallback"),
        out(foreign["id_token"].as_str().unwrap(), good),
        out(tokens["access_token"].as_str().unwrap(), good),
        out("nonsense", good),
        format!("{}&client_id=second", out(own, good)),
    ] {
        error_page(&world.get(&url, &[]).await);
    }
    // Without a hint the user is asked, and sent nowhere.
    let asked = world
        .get(
            &format!("/connect/endsession?post_logout_redirect_uri={good}"),
            &[],
        )
        .await;
    assert_eq!((asked.status, asked.header("Location")), (200, None));
    // None of it ended the login.
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
    assert_eq!(world.token(&form).await.status, 200);
    assert_eq!(world.get(&out(own, good), &[]).await.status, 303);
}
