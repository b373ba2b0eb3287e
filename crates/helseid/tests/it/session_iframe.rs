//! The session iframe: what a client gets at login, what the browser keeps, and that both agree (spec §2, §6).

use jose::encoding::{b64url, sha256};

use crate::pages::open;
use crate::people::DOCTOR;
use crate::{Answer, ISSUER, REDIRECT, World, authorize_url};

const ORIGIN: &str = "http://localhost:3000";

fn cookies(answer: &Answer) -> Vec<String> {
    let all = answer.headers.get_all("Set-Cookie").iter();
    all.map(|value| value.to_str().unwrap().to_owned())
        .collect()
}

/// A login by the page: the way back, its session cookie and what the script reads.
async fn logged_in(world: &World) -> (Answer, String, String) {
    let page = open(world, &[], &[]).await;
    let form = [("csrf", page.csrf.as_str()), ("pid", DOCTOR)];
    let headers = [("Cookie", page.cookie.as_str()), ("Origin", ISSUER)];
    let back = world.post(&page.path, &form, &headers).await;
    let all = cookies(&back);
    let value = |name: &str| {
        let found = all.iter().find(|cookie| cookie.starts_with(name)).unwrap();
        found.split(';').next().unwrap().to_owned()
    };
    let state = all
        .iter()
        .find(|one| one.starts_with("helseid.state="))
        .unwrap();
    assert!(
        state.ends_with("; SameSite=None; Secure") && !state.contains("HttpOnly"),
        "{state}"
    );
    let kept = value("helseid.state=").replace("helseid.state=", "");
    (back, value("helseid.session="), kept)
}

/// What the script answers with `unchanged`.
fn expected(client_id: &str, origin: &str, kept: &str, session_state: &str) -> String {
    let salt = session_state.split('.').nth(1).unwrap();
    let said = format!("{client_id} {origin} {kept} {salt}");
    format!("{}.{salt}", b64url(&sha256(said.as_bytes())))
}

#[tokio::test]
async fn what_the_client_gets_fits_what_the_browser_keeps() {
    let world = World::start();
    let (back, session, kept) = logged_in(&world).await;
    let state = back.callback("session_state").unwrap();
    assert_eq!(state.len(), 66);
    assert_eq!(expected("epj", ORIGIN, &kept, &state), state);
    assert_ne!(
        expected("epj", "https://evil.example", &kept, &state),
        state
    );
    // A second login of the same session: another salt, the same state of the browser.
    let pushed = world.push(&[]).await.json();
    let uri = pushed["request_uri"].as_str().unwrap();
    let again = world
        .get(&authorize_url("epj", uri), &[("Cookie", &session)])
        .await;
    let second = again.callback("session_state").unwrap();
    assert_ne!(second, state);
    assert_eq!(expected("epj", ORIGIN, &kept, &second), second);
    // Another login is another state.
    assert_ne!(logged_in(&world).await.2, kept);
}

#[tokio::test]
async fn a_logout_takes_it_away() {
    let world = World::start();
    let (_, session, _) = logged_in(&world).await;
    let headers = [("Cookie", session.as_str()), ("Origin", ISSUER)];
    let out = world
        .post("/connect/endsession", &[("confirm", "1")], &headers)
        .await;
    let gone = "helseid.state=; Path=/; Max-Age=0; SameSite=None; Secure".to_owned();
    assert!(cookies(&out).contains(&gone), "{:?}", cookies(&out));
}

#[tokio::test]
async fn only_browsers_at_pages_have_one() {
    let world = World::start();
    let headless = [("test_pid", DOCTOR), ("acr_values", "idp:testidp-oidc")];
    let pushed = world.push(&headless).await.json();
    let uri = pushed["request_uri"].as_str().unwrap();
    let back = world.get(&authorize_url("epj", uri), &[]).await;
    assert!(back.callback("code").is_some() && back.callback("session_state").is_none());

    let mut native = world.client.clone();
    native.native = true;
    native.redirect_uris = vec![REDIRECT.to_owned(), "no.epj.app:/callback".to_owned()];
    world.helseid.put_client(native);
    let page = open(&world, &[("redirect_uri", "no.epj.app:/callback")], &[]).await;
    let form = [("csrf", page.csrf.as_str()), ("pid", DOCTOR)];
    let back = world
        .post(
            &page.path,
            &form,
            &[("Cookie", &page.cookie), ("Origin", ISSUER)],
        )
        .await;
    let location = back.header("Location").unwrap();
    assert!(
        location.contains("code=") && !location.contains("session_state"),
        "{location}"
    );
}

#[tokio::test]
async fn the_page_may_be_framed_and_runs_only_its_own_script() {
    let world = World::start();
    let document = world
        .get("/.well-known/openid-configuration", &[])
        .await
        .json();
    let url = document["check_session_iframe"]
        .as_str()
        .unwrap()
        .to_owned();
    let page = world.get(url.strip_prefix(ISSUER).unwrap(), &[]).await;
    assert_eq!(page.status, 200);
    let policy = page.header("Content-Security-Policy").unwrap();
    assert!(
        policy.contains("default-src 'none'") && policy.contains("frame-ancestors *;"),
        "{policy}"
    );
    assert!(page.header("X-Frame-Options").is_none());
    assert!(page.text().contains("postMessage"));
    assert!(cookies(&page).is_empty());
}
