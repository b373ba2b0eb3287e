//! The pages of citizens: usable without script in four languages, bound to one browser, safe from other pages.

use super::*;

/// An open login page.
pub struct OpenPage {
    pub path: String,
    pub cookie: String,
    pub csrf: String,
    pub text: String,
}

impl OpenPage {
    /// The same login at another page.
    pub fn at(&self, path: &str) -> Self {
        Self {
            path: path.to_owned(),
            cookie: self.cookie.clone(),
            csrf: self.csrf.clone(),
            text: String::new(),
        }
    }
}

pub async fn open(sts: &Sts, url: &str, headers: &[(&str, &str)]) -> OpenPage {
    let redirect = sts.get(url, headers).await;
    assert_eq!(redirect.status, 303, "{}", redirect.text());
    let path = redirect.header("Location").unwrap();
    let set = redirect.header("Set-Cookie").unwrap();
    assert!(
        set.starts_with("helsenorge.login=")
            && set.contains("HttpOnly; SameSite=Lax; Secure")
            && set.contains(&format!("Path={path};")),
        "{set}"
    );
    let cookie = set.split(';').next().unwrap().to_owned();
    let mut all = headers.to_vec();
    all.push(("Cookie", &cookie));
    let page = sts.get(&path, &all).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let text = page.text();
    let policy = page.header("Content-Security-Policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    let csrf = text.split("name=\"csrf\" value=\"").nth(1).unwrap();
    let csrf = csrf.split('"').next().unwrap().to_owned();
    OpenPage {
        path,
        cookie,
        csrf,
        text,
    }
}

pub async fn submit(sts: &Sts, page: &OpenPage, form: &[(&str, &str)]) -> Answer {
    let mut form = form.to_vec();
    form.push(("csrf", &page.csrf));
    let headers = [("Cookie", page.cookie.as_str()), ("Origin", BASE)];
    sts.post_as(&page.path, &form, &headers, None).await
}

/// The session cookie of an answer.
pub fn browser(answer: &Answer) -> String {
    let set = answer.header("Set-Cookie").unwrap();
    assert!(set.contains("HttpOnly") && set.contains("Secure") && set.contains("Max-Age=1800"));
    set.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn four_languages() {
    let sts = Sts::start();
    for (tag, login, choice) in [
        ("nb", "Logg inn", "Hvem gjelder det?"),
        ("nn", "Logg inn", "Kven gjeld det?"),
        ("en", "Log in", "For whom?"),
        ("se", "Logge sisa", "Gean ovddas?"),
    ] {
        let page = open(&sts, &open_url("verktoy", &[("ui_locales", tag)]), &[]).await;
        assert!(page.text.contains(&format!("<html lang=\"{tag}\">")) && page.text.contains(login));
        assert!(
            page.text.contains("Helsenorge") && !page.text.contains("HelseID"),
            "{tag}"
        );
        let form = [("pid", CITIZEN), ("lang", tag)];
        let chosen = submit(&sts, &page, &form).await.header("Location").unwrap();
        let shown = sts.get(&chosen, &[("Cookie", &page.cookie)]).await;
        assert!(shown.text().contains(choice), "{tag}");
    }
}

#[tokio::test]
async fn wrong_numbers_are_explained() {
    let sts = Sts::start();
    let page = open(&sts, &open_url("verktoy", &[]), &[]).await;
    for (pid, said) in [
        ("123", "Skriv 11 siffer."),
        (DEAD, "registrert som død"),
        (YOUNG, "fra du fyller 16"),
        ("06828399780", "ingen med dette nummeret"),
    ] {
        let answer = submit(&sts, &page, &[("pid", pid)]).await;
        assert!(
            answer.status == 200 && answer.text().contains(said),
            "{said}"
        );
    }
    let found = submit(&sts, &page, &[("action", "search"), ("name", "bever")]).await;
    assert!(found.text().contains("LIVSTRETT BEVER") && !found.text().contains("KVART"));
    let cancelled = submit(&sts, &page, &[("action", "cancel")]).await;
    assert_eq!(
        cancelled.callback("error").as_deref(),
        Some("access_denied")
    );
    assert_eq!(submit(&sts, &page, &[("pid", CITIZEN)]).await.status, 410);
}

#[tokio::test]
async fn another_browser_or_page_gets_nowhere() {
    let sts = Sts::start();
    let page = open(&sts, &open_url("verktoy", &[]), &[]).await;
    let stranger = sts.get(&page.path, &[]).await;
    assert_eq!(stranger.status, 410);
    let form = [("pid", CITIZEN), ("csrf", page.csrf.as_str())];
    let cookie = ("Cookie", page.cookie.as_str());
    for headers in [
        vec![cookie, ("Origin", "https://evil.example")],
        vec![cookie, ("Origin", "null")],
    ] {
        let answer = sts.post_as(&page.path, &form, &headers, None).await;
        answer.refused("access_denied");
    }
    let forged = [("pid", CITIZEN), ("csrf", "guess")];
    sts.post_as(&page.path, &forged, &[cookie], None)
        .await
        .refused("access_denied");
    let chosen = submit(&sts, &page, &[("pid", CITIZEN)]).await;
    let chooser = chosen.header("Location").unwrap();
    assert_eq!(sts.get(&chooser, &[]).await.status, 410);
    sts.post_as(&chooser, &forged, &[cookie], None)
        .await
        .refused("access_denied");
    assert_eq!(sts.post_as(&chooser, &form, &[], None).await.status, 410);
}

#[tokio::test]
async fn a_browser_that_is_used_stays_logged_in_at_most_as_long_as_a_login_may() {
    let sts = Sts::start();
    *sts.family.0.lock().unwrap() = None;
    let page = open(&sts, &open_url("verktoy", &[]), &[]).await;
    let cookie = browser(&submit(&sts, &page, &[("pid", CITIZEN)]).await);
    let silently = async || {
        let url = open_url("liten", &[("prompt", "none")]);
        let back = sts.get(&url, &[("Cookie", &cookie)]).await;
        back.callback("error")
    };
    for _ in 0..3 {
        sts.wait(1_700);
        assert_eq!(silently().await, None);
    }
    sts.wait(1_801);
    assert_eq!(silently().await.as_deref(), Some("login_required"));

    let page = open(&sts, &open_url("verktoy", &[]), &[]).await;
    let cookie = browser(&submit(&sts, &page, &[("pid", CITIZEN)]).await);
    let mut used = 0;
    for _ in 0..30 {
        sts.wait(1_500);
        let url = open_url("liten", &[("prompt", "none")]);
        let back = sts.get(&url, &[("Cookie", &cookie)]).await;
        if back.callback("error").is_some() {
            break;
        }
        used += 1;
    }
    assert!((15..=19).contains(&used), "{used} times in eight hours");
    // prompt=login asks again even in a live session.
    let page = open(&sts, &open_url("verktoy", &[]), &[]).await;
    let cookie = browser(&submit(&sts, &page, &[("pid", CITIZEN)]).await);
    let asked = sts
        .get(
            &open_url("liten", &[("prompt", "login")]),
            &[("Cookie", &cookie)],
        )
        .await;
    assert!(asked.header("Location").unwrap().contains("/login/"));
}
