//! Logout that begins at the provider outside: over the back channel with a logout token, over the front channel by a frame.

use jose::{PrivateJwk, jws};
use serde_json::{Value, json};

use crate::outside::{Browser, IDP, Provider, begin, log_in, start};
use crate::{Answer, World, claims};

const BACK: &str = "/signout/backchannel/idporten-oidc";
const FRONT: &str = "/signout/frontchannel/idporten-oidc";
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// A login from the provider's session `s1`; its tokens.
async fn logged_in(world: &World, provider: &Provider, browser: &mut Browser, sid: &str) -> Value {
    provider.says(|says| says.claims["sid"] = sid.into());
    let answer = log_in(world, provider, browser, &[]).await;
    let code = answer.callback("code").unwrap();
    world.redeem(&code).await.json()
}

fn notice(world: &World, provider: &Provider, change: Value) -> String {
    let key: PrivateJwk = provider.says.lock().unwrap().key.clone();
    let now = world.now();
    let mut claims = json!({"iss": IDP, "aud": "hub", "iat": now, "exp": now + 120, "sid": "s1", "sub": "s",
        "jti": jose::encoding::random_b64url::<16>().unwrap(), "events": {EVENT: {}}});
    for (name, value) in change.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().shift_remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    jws::sign_compact("logout+jwt", claims.to_string().as_bytes(), &key).unwrap()
}

async fn tell(world: &World, token: &str) -> Answer {
    world.post(BACK, &[("logout_token", token)], &[]).await
}

/// Whether the login of these tokens still lives: by its refresh token and in its browser.
async fn lives(world: &World, browser: &mut Browser, tokens: &mut Value) -> bool {
    let refresh = tokens["refresh_token"].as_str().unwrap().to_owned();
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh.as_str()),
    ];
    let answer = world.token(&form).await;
    let is_refreshed = answer.status == 200;
    if is_refreshed {
        *tokens = answer.json();
    }
    let next = begin(world, browser, &[]).await;
    let is_silent = next.callback("code").is_some();
    assert_eq!(is_refreshed, is_silent, "{}", answer.text());
    is_refreshed
}

#[tokio::test]
async fn the_provider_ends_one_session_or_all_of_a_person() {
    let (world, provider) = start(|config| {
        config.clients[0].backchannel_logout_uri = Some("https://epj.example/back".to_owned());
    });
    let (mut one, mut two, mut three) =
        (Browser::default(), Browser::default(), Browser::default());
    let mut first = logged_in(&world, &provider, &mut one, "s1").await;
    let mut second = logged_in(&world, &provider, &mut two, "s2").await;
    let told = tell(&world, &notice(&world, &provider, json!({}))).await;
    assert_eq!(told.status, 200, "{}", told.text());
    assert_eq!(told.header("Cache-Control").as_deref(), Some("no-store"));
    assert!(!lives(&world, &mut one, &mut first).await);
    assert!(lives(&world, &mut two, &mut second).await);
    // Our own client is told in turn.
    for _ in 0..1_000 {
        if !provider.told.lock().unwrap().is_empty() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let sids: Vec<Value> = provider
        .told
        .lock()
        .unwrap()
        .iter()
        .map(|(_, token)| claims(token)["sid"].clone())
        .collect();
    assert_eq!(
        sids,
        [claims(first["id_token"].as_str().unwrap())["sid"].clone()]
    );

    let mut third = logged_in(&world, &provider, &mut three, "s3").await;
    let all = notice(&world, &provider, json!({"sid": null}));
    assert_eq!(tell(&world, &all).await.status, 200);
    assert!(!lives(&world, &mut two, &mut second).await);
    assert!(!lives(&world, &mut three, &mut third).await);
    // The same token does not end a login that began later.
    let mut later = logged_in(&world, &provider, &mut three, "s4").await;
    tell(&world, &all).await.refused("invalid_request");
    assert!(lives(&world, &mut three, &mut later).await);
}

#[tokio::test]
async fn a_wrong_logout_token_ends_nothing() {
    let (world, provider) = start(|_| {});
    let mut browser = Browser::default();
    let mut tokens = logged_in(&world, &provider, &mut browser, "s1").await;
    let id_token = {
        let now = world.now();
        let key = provider.says.lock().unwrap().key.clone();
        let claims = json!({"iss": IDP, "aud": "hub", "iat": now, "exp": now + 120, "sid": "s1", "sub": "s", "nonce": "n"});
        jws::sign_compact("JWT", claims.to_string().as_bytes(), &key).unwrap()
    };
    for token in [
        notice(&world, &provider, json!({"iss": "https://evil.example"})),
        notice(&world, &provider, json!({"aud": "other"})),
        notice(&world, &provider, json!({"exp": world.now() - 60})),
        notice(&world, &provider, json!({"events": null})),
        notice(&world, &provider, json!({"nonce": "n"})),
        notice(&world, &provider, json!({"jti": null})),
        notice(&world, &provider, json!({"sid": null, "sub": null})),
        id_token,
        "a.b.c".to_owned(),
    ] {
        let said = tell(&world, &token).await.refused("invalid_request");
        assert!(!said.contains("evil.example"), "{said}");
    }
    world.post(BACK, &[], &[]).await.refused("invalid_request");
    let token = notice(&world, &provider, json!({}));
    let elsewhere = world
        .post(
            "/signout/backchannel/other",
            &[("logout_token", &token)],
            &[],
        )
        .await;
    elsewhere.refused("invalid_request");
    assert!(lives(&world, &mut browser, &mut tokens).await);
    assert_eq!(tell(&world, &token).await.status, 200);
    assert!(!lives(&world, &mut browser, &mut tokens).await);
}

#[tokio::test]
async fn a_frame_of_the_provider_ends_the_session_it_names() {
    let (world, provider) = start(|config| {
        config.clients[0].frontchannel_logout_uri = Some("https://epj.example/front".to_owned());
    });
    let mut browser = Browser::default();
    let mut tokens = logged_in(&world, &provider, &mut browser, "s1").await;
    let encoded = IDP.replace(':', "%3A").replace('/', "%2F");
    for wrong in [
        FRONT.to_owned(),
        format!("{FRONT}?sid=s1"),
        format!("{FRONT}?iss={encoded}"),
        format!("{FRONT}?iss={encoded}&sid=s2"),
        format!("{FRONT}?iss=https%3A%2F%2Fevil.example&sid=s1"),
    ] {
        assert_eq!(world.get(&wrong, &[]).await.status, 200, "{wrong}");
    }
    assert!(lives(&world, &mut browser, &mut tokens).await);
    let page = world
        .get(&format!("{FRONT}?iss={encoded}&sid=s1"), &[])
        .await;
    assert!(
        page.text().contains("https://epj.example/front?iss="),
        "{}",
        page.text()
    );
    let policy = page.header("Content-Security-Policy").unwrap();
    assert!(
        policy.contains(&format!("frame-ancestors {IDP};")),
        "{policy}"
    );
    assert!(
        policy.contains("frame-src https://epj.example;"),
        "{policy}"
    );
    assert!(page.header("X-Frame-Options").is_none());
    assert!(!lives(&world, &mut browser, &mut tokens).await);
    let unknown = world.get("/signout/frontchannel/other?sid=s1", &[]).await;
    unknown.refused("invalid_request");
}

#[tokio::test]
async fn a_session_ended_by_a_hint_from_elsewhere_logs_nobody_in() {
    let (world, provider) = start(|_| {});
    let mut browser = Browser::default();
    let mut tokens = logged_in(&world, &provider, &mut browser, "s1").await;
    let hint = tokens["id_token"].as_str().unwrap().to_owned();
    let out = format!("/connect/endsession?id_token_hint={hint}");
    assert_eq!(Browser::default().get(&world, &out).await.status, 200);
    assert!(!lives(&world, &mut browser, &mut tokens).await);
}
