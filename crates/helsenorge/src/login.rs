//! The citizen's login page: the test identity provider of the demo. A real one (ID-porten) takes its place by
//! configuration in a later issue; everything behind [`LoggedIn`] stays.

use axum::Router;
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use edge::cookie;
use maud::{DOCTYPE, Markup, html};
use registers::{Directory, Person};
use serde::Deserialize;
use std::pin::Pin;
use std::sync::Arc;

const CSRF_COOKIE: &str = "helsenav_login_csrf";
const MAX_RETURN: usize = 256;

/// A citizen whose identity is proven.
#[derive(Clone)]
pub struct LoggedIn {
    /// Current national id.
    pub nin: String,
    /// Where in the portal she wanted to go: a local path.
    pub return_to: String,
}

/// Makes the session and the redirect; given by the portal.
pub type OnLogin = Arc<dyn Fn(LoggedIn, &HeaderMap) -> Entering + Send + Sync>;
/// The session and the redirect on their way.
pub type Entering = Pin<Box<dyn Future<Output = Response> + Send>>;

/// State of the page.
#[derive(Clone)]
pub struct Login {
    /// Registers.
    pub directory: Arc<dyn Directory>,
    /// Now on the rules' clock, microseconds.
    pub clock: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// What happens next.
    pub on_login: OnLogin,
}

/// `GET` and `POST /logginn`.
pub fn router(login: Login) -> Router {
    Router::new()
        .route("/logginn", get(page).post(submit))
        .with_state(login)
}

#[derive(Deserialize, Default)]
struct PageQuery {
    #[serde(default)]
    retur: String,
    #[serde(default)]
    lang: String,
}

#[derive(Deserialize)]
struct LoginForm {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    pid: String,
    #[serde(default)]
    retur: String,
    #[serde(default)]
    lang: String,
}

struct Words {
    lang: &'static str,
    title: &'static str,
    intro: &'static str,
    ready: &'static str,
    own: &'static str,
    label: &'static str,
    hint: &'static str,
    submit: &'static str,
    other: &'static str,
    other_lang: &'static str,
    back: &'static str,
    skip: &'static str,
}

const NB: Words = Words {
    lang: "nb",
    title: "Logg inn på Helsenav",
    intro: "Dette er en prøveinnlogging med oppdiktede personer. Ekte innlogging skjer med BankID eller lignende.",
    ready: "Velg en person",
    own: "Eller skriv et fødselsnummer",
    label: "Fødselsnummer eller D-nummer",
    hint: "11 siffer, uten mellomrom",
    submit: "Logg inn",
    other: "English",
    other_lang: "en",
    back: "Til forsiden",
    skip: "Hopp til innholdet",
};

const EN: Words = Words {
    lang: "en",
    title: "Log in to Helsenav",
    intro: "This is a test login with invented people. Real logins use BankID or the like.",
    ready: "Choose a person",
    own: "Or type a national identity number",
    label: "National identity number or D-number",
    hint: "11 digits, no spaces",
    submit: "Log in",
    other: "Bokmål",
    other_lang: "nb",
    back: "To the front page",
    skip: "Skip to the content",
};

fn words(lang: &str) -> &'static Words {
    if lang == "en" { &EN } else { &NB }
}

/// Only paths of our own portal: no scheme, no host, no control characters.
fn local_path(path: &str) -> String {
    let is_local = path.starts_with('/')
        && !path.starts_with("//")
        && path.len() <= MAX_RETURN
        && path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if is_local {
        path.to_owned()
    } else {
        "/".to_owned()
    }
}

async fn page(State(login): State<Login>, Query(query): Query<PageQuery>) -> Response {
    answer(
        &login,
        StatusCode::OK,
        &query.lang,
        &local_path(&query.retur),
        None,
    )
}

async fn submit(
    State(login): State<Login>,
    headers: HeaderMap,
    Form(form): Form<LoginForm>,
) -> Response {
    let return_to = local_path(&form.retur);
    let is_en = form.lang == "en";
    let refuse = |status: StatusCode, nb: &str, en: &str| {
        answer(
            &login,
            status,
            &form.lang,
            &return_to,
            Some(if is_en { en } else { nb }),
        )
    };
    let cookie = cookie::get(&headers, CSRF_COOKIE).unwrap_or_default();
    if cookie.is_empty() || cookie != form.csrf {
        return refuse(
            StatusCode::FORBIDDEN,
            "Siden var for gammel. Prøv igjen.",
            "The page was too old. Please try again.",
        );
    }
    let Ok(nin) = codes::ident::Nin::parse(form.pid.trim()) else {
        return refuse(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Nummeret er ikke gyldig. Sjekk de 11 sifrene.",
            "The number is not valid. Check the 11 digits.",
        );
    };
    let today = trust::gather::oslo_date((login.clock)());
    let person = login
        .directory
        .person(nin.as_str())
        .filter(|p| p.died.is_none());
    let Some(person) = person else {
        return refuse(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Ingen i folkeregisteret kan logge inn med dette nummeret.",
            "Nobody in the population register can log in with this number.",
        );
    };
    // Own login from 16 (spec/helsenorge.md §2.1); youth consent comes with representation.
    if person.age_on(today).is_some_and(|age| age < 16) {
        return refuse(
            StatusCode::FORBIDDEN,
            "Du kan logge inn selv fra du fyller 16 år.",
            "You can log in yourself from your 16th birthday.",
        );
    }
    (login.on_login)(
        LoggedIn {
            nin: person.nin,
            return_to,
        },
        &headers,
    )
    .await
}

fn answer(
    login: &Login,
    status: StatusCode,
    lang: &str,
    return_to: &str,
    error: Option<&str>,
) -> Response {
    let csrf = cookie::random_token();
    let words = words(lang);
    let today = trust::gather::oslo_date((login.clock)());
    let people: Vec<Person> = login
        .directory
        .story_persons()
        .into_iter()
        .filter(|p| p.died.is_none() && p.age_on(today).is_none_or(|age| age >= 16))
        .collect();
    let body = render(words, &people, &csrf, return_to, error);
    let mut response = (status, Html(body.into_string())).into_response();
    let headers = response.headers_mut();
    if let Some(value) = cookie::set(CSRF_COOKIE, &csrf, false, Some(3_600)) {
        headers.append(header::SET_COOKIE, value);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
    );
    response
}

const STYLE: &str = "
:root{--ink:#1f1a18;--paper:#fff;--line:#6b6560;--brand:#06596b;--soft:#e6f1f3;--error:#97083c}
*{box-sizing:border-box}body{margin:0;font:1.125rem/1.6 system-ui,sans-serif;color:var(--ink);background:#f7f4f1}
.skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:1rem;background:var(--paper);padding:.5rem 1rem}
header{background:var(--paper);border-bottom:1px solid #d8d2cc}header div,main{max-width:40rem;margin:0 auto;padding:1rem 1.25rem}
header div{display:flex;justify-content:space-between;align-items:center}header a{color:var(--brand)}
.brand{font-weight:700;font-size:1.375rem;color:var(--brand);text-decoration:none}
h1{font-size:1.75rem;line-height:1.25;margin:1.5rem 0 .5rem}h2{font-size:1.25rem;margin:2rem 0 .75rem}
ul{list-style:none;margin:0;padding:0;display:grid;gap:.5rem}
button{font:inherit;cursor:pointer}button:focus-visible,input:focus-visible,a:focus-visible{outline:3px solid var(--ink);outline-offset:2px}
.person{width:100%;text-align:left;background:var(--paper);border:1px solid var(--line);border-radius:.5rem;padding:.75rem 1rem;color:var(--ink)}
.person:hover{background:var(--soft)}.person small{display:block;color:#4a443f;font-size:1rem}
label{display:block;font-weight:600}input[type=text]{font:inherit;width:100%;max-width:18rem;padding:.625rem .75rem;border:1px solid var(--line);border-radius:.25rem;margin:.25rem 0 1rem}
.hint{color:#4a443f;font-size:1rem;margin:0}.primary{background:var(--brand);color:#fff;border:0;border-radius:2rem;padding:.75rem 2rem}
.primary:hover{background:#043f4d}.error{border-left:.375rem solid var(--error);background:#fdf0f4;padding:.75rem 1rem;margin:1rem 0}
";

fn render(
    words: &Words,
    people: &[Person],
    csrf: &str,
    return_to: &str,
    error: Option<&str>,
) -> Markup {
    let hidden = html! {
        input type="hidden" name="csrf" value=(csrf);
        input type="hidden" name="retur" value=(return_to);
        input type="hidden" name="lang" value=(words.lang);
    };
    html! {
        (DOCTYPE)
        html lang=(words.lang) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { @if error.is_some() { "! " } (words.title) }
                style { (maud::PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#innhold" { (words.skip) }
                header { div {
                    a.brand href="/" { "Helsenav" }
                    a href={ "/logginn?lang=" (words.other_lang) "&retur=" (return_to) } lang=(words.other_lang) hreflang=(words.other_lang) { (words.other) }
                } }
                main #innhold tabindex="-1" {
                    h1 { (words.title) }
                    p { (words.intro) }
                    @if let Some(error) = error { p.error role="alert" { (error) } }
                    h2 #ready { (words.ready) }
                    ul aria-labelledby="ready" {
                        @for person in people {
                            li { form method="post" action="/logginn" {
                                (hidden)
                                button.person type="submit" name="pid" value=(person.nin) {
                                    (person.name.full())
                                    @if let Some(born) = person.born { small { (born.strftime("%d.%m.%Y")) } }
                                }
                            } }
                        }
                    }
                    h2 #own { (words.own) }
                    form method="post" action="/logginn" aria-labelledby="own" {
                        (hidden)
                        label for="pid" { (words.label) }
                        p.hint #pidhint { (words.hint) }
                        input #pid type="text" name="pid" inputmode="numeric" autocomplete="off" maxlength="11" required aria-describedby="pidhint" aria-invalid=[error.map(|_| "true")];
                        div { button.primary type="submit" { (words.submit) } }
                    }
                    p { a href="/" { (words.back) } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_local_paths_are_returned_to() {
        for path in [
            "https://evil.example",
            "//evil.example",
            "javascript:alert(1)",
            "\\evil",
            "/a\nb",
            "",
        ] {
            assert_eq!(local_path(path), "/", "{path}");
        }
        assert_eq!(local_path("/innsyn?fra=2026"), "/innsyn?fra=2026");
    }
}
