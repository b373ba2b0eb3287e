//! The login page: by form, by other browsers, by other pages (attack table A13, A14).

use crate::people::{CITIZEN, DEAD, DOCTOR};
use crate::{Answer, ISSUER, World, authorize_url};

pub struct OpenPage {
    pub path: String,
    pub cookie: String,
    pub csrf: String,
    pub page: Answer,
}

pub async fn open(world: &World, change: &[(&str, &str)], headers: &[(&str, &str)]) -> OpenPage {
    let pushed = world.push(change).await;
    let uri = pushed.json()["request_uri"].as_str().unwrap().to_owned();
    let redirect = world.get(&authorize_url("epj", &uri), &[]).await;
    assert_eq!(redirect.status, 303);
    let path = redirect.header("Location").unwrap();
    let set = redirect.header("Set-Cookie").unwrap();
    assert!(
        set.contains("HttpOnly; SameSite=Lax; Secure") && set.contains(&format!("Path={path};")),
        "{set}"
    );
    let cookie = set.split(';').next().unwrap().to_owned();
    let mut all = headers.to_vec();
    all.push(("Cookie", &cookie));
    let page = world.get(&path, &all).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let text = page.text();
    let csrf = text
        .split("name=\"csrf\" value=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    OpenPage {
        path,
        cookie,
        csrf,
        page,
    }
}

/// Logs the doctor in by the page and gives the session cookie.
pub async fn browser_login(world: &World, change: &[(&str, &str)]) -> String {
    let page = open(world, change, &[]).await;
    let form = [
        ("csrf", page.csrf.as_str()),
        ("pid", DOCTOR),
        ("level", "4"),
    ];
    let back = world
        .post(
            &page.path,
            &form,
            &[("Cookie", &page.cookie), ("Origin", ISSUER)],
        )
        .await;
    assert!(
        back.callback("code").is_some(),
        "{} {}",
        back.status,
        back.text()
    );
    let set = back.header("Set-Cookie").unwrap();
    assert!(
        set.starts_with("helseid.session=") && set.contains("HttpOnly") && set.contains("Secure")
    );
    set.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn the_page_is_usable_without_script_in_every_language() {
    let world = World::start();
    let page = open(&world, &[], &[]).await;
    let text = page.page.text();
    for expected in [
        "<html lang=\"nb\">",
        "Logg inn",
        "<label for=\"pid\">",
        "KVART GREVLING",
        "EPJ",
        "name=\"viewport\"",
    ] {
        assert!(text.contains(expected), "{expected}");
    }
    let policy = page.page.header("Content-Security-Policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    assert!(policy.contains("form-action 'self' http://localhost:3000;"));
    assert_eq!(
        page.page.header("Cache-Control").as_deref(),
        Some("no-store")
    );
    let english = world
        .get(
            &format!("{}?lang=en", page.path),
            &[("Cookie", &page.cookie)],
        )
        .await
        .text();
    assert!(english.contains("<html lang=\"en\">") && english.contains("Choose a test person"));
    for (tag, title) in [
        ("nb", "Velg testperson"),
        ("nn", "Vel testperson"),
        ("en", "Choose a test person"),
        ("se", "Vállje geahččalanolbmo"),
    ] {
        let chosen = world
            .get(
                &format!("{}?lang={tag}", page.path),
                &[("Cookie", &page.cookie)],
            )
            .await;
        let text = chosen.text();
        assert!(
            text.contains(&format!("<html lang=\"{tag}\">")) && text.contains(title),
            "{tag}"
        );
        // The choice is marked, every other language is named in itself, and it is remembered.
        assert!(
            text.contains(&format!(
                "href=\"{}?lang={tag}\" aria-current=\"true\"",
                page.path
            )),
            "{tag}"
        );
        assert!(text.contains("<a lang=\"se\" hreflang=\"se\""), "{tag}");
        let set = chosen.header("Set-Cookie").unwrap();
        assert!(
            set.starts_with(&format!("helseid.language={tag}; Path=/;")),
            "{set}"
        );
        let kept = set.split(';').next().unwrap();
        let later = open(
            &world,
            &[("ui_locales", "en")],
            &[("Cookie", kept), ("Accept-Language", "en")],
        )
        .await;
        assert!(
            later
                .page
                .text()
                .contains(&format!("<html lang=\"{tag}\">")),
            "{tag}"
        );
        let gone = world.get("/login/nothing", &[("Cookie", kept)]).await;
        assert!(gone.status == 410 && gone.text().contains(&format!("<html lang=\"{tag}\">")));
    }
    let by_browser = open(&world, &[], &[("Accept-Language", "en-GB,en;q=0.9")]).await;
    assert!(by_browser.page.text().contains("<html lang=\"en\">"));
    let by_client = open(&world, &[("ui_locales", "en")], &[]).await;
    assert!(by_client.page.text().contains("<html lang=\"en\">"));
}

#[tokio::test]
async fn other_browsers_and_other_pages_are_kept_out() {
    let world = World::start();
    let page = open(&world, &[], &[]).await;
    let csrf = page.csrf.as_str();
    assert_eq!(world.get(&page.path, &[]).await.status, 410);
    let stranger = format!("helseid.login={}", "A".repeat(43));
    assert_eq!(
        world.get(&page.path, &[("Cookie", &stranger)]).await.status,
        410
    );
    let form = [("csrf", csrf), ("pid", DOCTOR)];
    assert_eq!(
        world
            .post(&page.path, &form, &[("Cookie", &stranger)])
            .await
            .status,
        410
    );
    assert_eq!(world.post(&page.path, &form, &[]).await.status, 410);
    let cookie = ("Cookie", page.cookie.as_str());
    world
        .post(&page.path, &[("csrf", "x"), ("pid", DOCTOR)], &[cookie])
        .await
        .refused("access_denied");
    world
        .post(&page.path, &[("pid", DOCTOR)], &[cookie])
        .await
        .refused("access_denied");
    world
        .post(&page.path, &form, &[cookie, ("Origin", "https://evil.no")])
        .await
        .refused("access_denied");
    // The page itself is still good, once.
    let back = world
        .post(&page.path, &form, &[cookie, ("Origin", ISSUER)])
        .await;
    assert!(back.callback("code").is_some());
    assert_eq!(world.post(&page.path, &form, &[cookie]).await.status, 410);
    // A login begun by somebody else and left open ends by itself.
    let late = open(&world, &[], &[]).await;
    world.wait(15 * 60);
    assert_eq!(
        world
            .get(&late.path, &[("Cookie", &late.cookie)])
            .await
            .status,
        410
    );
}

#[tokio::test]
async fn mistakes_are_explained_on_the_page_and_nothing_personal_reaches_an_address() {
    let world = World::start();
    let page = open(&world, &[], &[]).await;
    let send = async |pid: &str| {
        let form = [("csrf", page.csrf.as_str()), ("pid", pid), ("level", "4")];
        world
            .post(&page.path, &form, &[("Cookie", &page.cookie)])
            .await
    };
    for (pid, expected) in [
        ("123", "Skriv 11 siffer"),
        ("", "Skriv 11 siffer"),
        ("01010112345", "Personregisteret har ingen"),
        (DEAD, "registrert som død"),
    ] {
        let answer = send(pid).await;
        let text = answer.text();
        assert!(
            answer.status == 200
                && text.contains(expected)
                && text.contains("role=\"alert\"")
                && text.contains("aria-invalid=\"true\""),
            "{pid}"
        );
    }
    let form = [
        ("csrf", page.csrf.as_str()),
        ("action", "search"),
        ("name", "bever"),
    ];
    let found = world
        .post(&page.path, &form, &[("Cookie", &page.cookie)])
        .await
        .text();
    assert!(found.contains("LIVSTRETT BEVER") && !found.contains("KVART"));
    let form = [
        ("csrf", page.csrf.as_str()),
        ("action", "search"),
        ("name", "<script>x"),
    ];
    let none = world
        .post(&page.path, &form, &[("Cookie", &page.cookie)])
        .await
        .text();
    assert!(
        none.contains("Ingen har et slikt navn")
            && none.contains("&lt;script&gt;")
            && !none.contains("<script>x")
    );
    let back = send(CITIZEN).await;
    assert!(!back.header("Location").unwrap().contains(CITIZEN));
}

#[tokio::test]
async fn cancelling_tells_the_client() {
    let world = World::start();
    let page = open(&world, &[], &[]).await;
    let form = [("csrf", page.csrf.as_str()), ("action", "cancel")];
    let back = world
        .post(&page.path, &form, &[("Cookie", &page.cookie)])
        .await;
    assert_eq!(back.callback("error").as_deref(), Some("access_denied"));
    assert_eq!(back.callback("state").as_deref(), Some("the-state"));
}

#[tokio::test]
async fn cookies_are_secure_except_on_the_plain_listener_for_browsers() {
    let world = World::start();
    let pushed = world.push(&[]).await.json();
    let url = authorize_url("epj", pushed["request_uri"].as_str().unwrap());
    let request = axum::http::Request::get(url).header("Host", "127.0.0.1:8084");
    let answer = world
        .send(request.body(axum::body::Body::empty()).unwrap())
        .await;
    assert!(!answer.header("Set-Cookie").unwrap().contains("Secure"));
}
