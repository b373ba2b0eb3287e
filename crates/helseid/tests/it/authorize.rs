//! The authorize endpoint and single sign-on (attack table A10, A12, A13, A15).

use crate::people::DOCTOR;
use crate::{ISSUER, REDIRECT, World, authorize_url, client_with};
use jose::PrivateJwk;
use jose::jwk::KeyKind;

async fn pushed(world: &World, change: &[(&str, &str)]) -> String {
    let answer = world.push(change).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["request_uri"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_request_uri_is_good_once_for_its_client_for_five_minutes() {
    let world = World::start();
    world.helseid.put_client(client_with(
        &PrivateJwk::generate(KeyKind::P256, None).unwrap(),
        "other",
    ));
    let test = [("test_pid", DOCTOR), ("acr_values", "idp:testidp-oidc")];
    let uri = pushed(&world, &test).await;
    let refused = async |url: &str| {
        let answer = world.get(url, &[]).await;
        assert_eq!(
            (answer.status, answer.header("Location")),
            (400, None),
            "{url}"
        );
        assert!(
            answer
                .header("Content-Type")
                .unwrap()
                .starts_with("text/html")
        );
        assert!(
            answer
                .header("Content-Security-Policy")
                .unwrap()
                .contains("frame-ancestors 'none'")
        );
    };
    refused(&authorize_url("other", &uri)).await;
    refused(&authorize_url("nobody", &uri)).await;
    let back = world.get(&authorize_url("epj", &uri), &[]).await;
    assert_eq!(back.status, 303);
    let names: Vec<String> = url::form_urlencoded::parse(back.query().unwrap().as_bytes())
        .map(|(name, _)| name.into_owned())
        .collect();
    assert_eq!(names, ["code", "state", "iss"]);
    assert_eq!(back.callback("iss").as_deref(), Some(ISSUER));
    refused(&authorize_url("epj", &uri)).await;
    let late = pushed(&world, &test).await;
    world.wait(300);
    refused(&authorize_url("epj", &late)).await;
    refused(&authorize_url("epj", "https://evil.no/request")).await;
    refused("/connect/authorize?client_id=epj&response_type=code&redirect_uri=http://localhost:3000/callback&scope=openid").await;
    refused("/connect/authorize").await;
}

#[tokio::test]
async fn a_lower_level_than_requested_is_denied() {
    let world = World::start();
    let uri = pushed(
        &world,
        &[
            ("test_pid", DOCTOR),
            ("test_security_level", "3"),
            ("acr_values", "idp:testidp-oidc Level4"),
        ],
    )
    .await;
    let back = world.get(&authorize_url("epj", &uri), &[]).await;
    assert_eq!(back.callback("error").as_deref(), Some("access_denied"));
    assert_eq!(back.callback("iss").as_deref(), Some(ISSUER));
    assert!(back.header("Location").unwrap().starts_with(REDIRECT));
}

#[tokio::test]
async fn unknown_and_dead_persons_cannot_log_in() {
    let world = World::start();
    for pid in ["01010112345", crate::people::DEAD] {
        let uri = pushed(
            &world,
            &[("test_pid", pid), ("acr_values", "idp:testidp-oidc")],
        )
        .await;
        let back = world.get(&authorize_url("epj", &uri), &[]).await;
        assert_eq!(back.callback("error").as_deref(), Some("access_denied"));
        assert!(!back.header("Location").unwrap().contains(pid));
    }
}

#[tokio::test]
async fn form_post_answers_with_a_page_that_posts() {
    let world = World::start();
    let uri = pushed(
        &world,
        &[
            ("test_pid", DOCTOR),
            ("acr_values", "idp:testidp-oidc"),
            ("response_mode", "form_post"),
        ],
    )
    .await;
    let page = world.get(&authorize_url("epj", &uri), &[]).await;
    let text = page.text();
    assert!(page.status == 200 && text.contains("name=\"code\"") && text.contains("name=\"iss\""));
    assert!(
        page.header("Content-Security-Policy")
            .unwrap()
            .contains("form-action 'self' http://localhost:3000;")
    );
}

#[tokio::test]
async fn single_sign_on_and_what_forbids_it() {
    let world = World::start();
    let cookie = crate::pages::browser_login(&world, &[]).await;
    let silent = async |change: &[(&str, &str)]| {
        let uri = pushed(&world, change).await;
        let back = world
            .get(&authorize_url("epj", &uri), &[("Cookie", &cookie)])
            .await;
        back.callback("code").map_or_else(
            || back.callback("error").unwrap_or("page".to_owned()),
            |_| "code".to_owned(),
        )
    };
    assert_eq!(silent(&[]).await, "code");
    assert_eq!(silent(&[("prompt", "none")]).await, "code");
    assert_eq!(silent(&[("prompt", "login")]).await, "page");
    assert_eq!(silent(&[("prompt", "select_account")]).await, "page");
    assert_eq!(silent(&[("max_age", "0")]).await, "page");
    assert_eq!(silent(&[("acr_values", "idp:testidp-oidc")]).await, "code");
    assert_eq!(silent(&[("acr_values", "idp:idporten-oidc")]).await, "page");
    world.wait(100);
    assert_eq!(silent(&[("max_age", "100")]).await, "page");
    assert_eq!(silent(&[("max_age", "101")]).await, "code");
    let out = world
        .get("/connect/endsession", &[("Cookie", &cookie)])
        .await;
    assert_eq!(out.status, 200);
    assert_eq!(silent(&[]).await, "code");
    let form = [("confirm", "1")];
    let out = world
        .post(
            "/connect/endsession",
            &form,
            &[("Cookie", &cookie), ("Origin", ISSUER)],
        )
        .await;
    assert!(out.header("Set-Cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(silent(&[]).await, "page");
    assert_eq!(silent(&[("prompt", "none")]).await, "login_required");
}
