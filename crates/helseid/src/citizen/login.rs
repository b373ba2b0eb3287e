//! The test login of citizens: any synthetic person of the register, no password. It exists only when it is switched on.

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Request, Response};
use maud::html;
use registers::directory::Person;

use super::texts::words;
use super::{NoLogin, choose, registrations};
use crate::Helseid;
use crate::edge::authorize::login_from;
use crate::edge::login::{Posted, answered, cancel, shown, wrong_number};
use crate::edge::{Language, Page, bar};
use crate::error::{Code, OAuthError};
use crate::grants::OpenLogin;
use crate::idp;
use crate::rules::claims::Login;
use crate::rules::levels::Level;
use crate::rules::redirect::form_action_source;

const PEOPLE_SHOWN: usize = 12;

/// A fresh login of the test page.
///
/// # Errors
/// `access_denied` when this person may not log in.
pub(super) fn new_login(helseid: &Helseid, pid: &str) -> Result<Login, OAuthError> {
    let now_s = helseid.inner.now_s();
    let login = login_from(helseid, pid, Level::High, (idp::TEST_ID, "pwd"), now_s)?;
    may_log_in(helseid, &login)?;
    Ok(login)
}

/// Whether somebody who has proved who they are may be logged in: at the highest level, of age, alive.
///
/// # Errors
/// `access_denied` with the reason.
pub(crate) fn may_log_in(helseid: &Helseid, login: &Login) -> Result<(), OAuthError> {
    if login.level < Level::High {
        return Err(OAuthError::new(
            Code::AccessDenied,
            "citizens log in at level 4",
        ));
    }
    registrations(helseid)?
        .representation
        .may_log_in(&login.pid)
        .map_err(|why| {
            OAuthError::new(
                Code::AccessDenied,
                match why {
                    NoLogin::Unknown => "the person register has nobody with this number",
                    NoLogin::Deceased => "the person is registered as deceased",
                    NoLogin::TooYoung => "the person is too young for an own login",
                },
            )
        })
}

/// `GET …/login/{id}`.
pub(super) async fn show(
    State(helseid): State<Helseid>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    shown(&helseid, &id, query, &headers, |open, language, _| {
        page(&helseid, &id, open, language, None, None)
    })
    .await
}

/// `POST …/login/{id}`: log in, search, or cancel.
pub(super) async fn submit(
    State(helseid): State<Helseid>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Response<Body> {
    match Posted::read(&helseid, &id, request).await {
        Ok(posted) => answered(&helseid, act(&helseid, &id, posted).await),
        Err(answer) => *answer,
    }
}

async fn act(helseid: &Helseid, id: &str, posted: Posted) -> Result<Response<Body>, OAuthError> {
    let Posted {
        headers,
        form,
        open,
        language,
    } = posted;
    let again = |error: Option<&'static str>, search: Option<&str>| {
        Ok(page(helseid, id, &open, language, error, search))
    };
    let texts = language.texts();
    match form.get("action") {
        Some("cancel") => return cancel(helseid, id, &open, language).await,
        Some("search") => return again(None, form.get("name")),
        _ => {}
    }
    let pid = form.get("pid").map(str::trim).unwrap_or_default();
    if pid.len() != 11 || !pid.bytes().all(|byte| byte.is_ascii_digit()) {
        return again(Some(texts.error_number), None);
    }
    let refused = registrations(helseid)?.representation.may_log_in(pid);
    match refused {
        Ok(()) => {}
        Err(NoLogin::Unknown) => return again(Some(texts.error_unknown_person), None),
        Err(NoLogin::Deceased) => return again(Some(texts.error_dead), None),
        Err(NoLogin::TooYoung) => return again(Some(words(language).too_young), None),
    }
    let login = new_login(helseid, pid)?;
    choose::proceed(helseid, &headers, (id, &open), login, None).await
}

/// The people of the story who may log in, or those with a name.
fn people(helseid: &Helseid, search: Option<&str>) -> Vec<Person> {
    let directory = helseid.inner.directory.as_ref();
    let found = match search {
        Some(name) => directory.search_persons(name, PEOPLE_SHOWN),
        None => directory.story_persons(),
    };
    let may = |person: &Person| {
        registrations(helseid).is_ok_and(|one| one.representation.may_log_in(&person.nin).is_ok())
    };
    found.into_iter().filter(may).take(PEOPLE_SHOWN).collect()
}

fn page(
    helseid: &Helseid,
    id: &str,
    open: &OpenLogin,
    language: Language,
    error: Option<&str>,
    search: Option<&str>,
) -> Response<Body> {
    let (texts, words) = (language.texts(), words(language));
    let realm = helseid.inner.realm;
    let path = realm.login_path(id);
    let client = helseid.client(&open.request.client_id);
    let client_name = client.as_ref().map_or("", |client| client.name.as_str());
    let people = people(helseid, search);
    let hidden = html! {
        input type="hidden" name="csrf" value=(open.csrf);
        input type="hidden" name="lang" value=(language.tag());
    };
    let described = error.map_or("pid-hint", |_| "pid-hint error");
    let body = html! {
        (bar(realm.brand, language, &path))
        h1 { (texts.title) }
        p { (texts.login_for) " " strong { (client_name) } ". " (texts.intro) }
        p.notice { (texts.test_banner) " " (words.level) }
        section aria-labelledby="by-choice" {
            h2 id="by-choice" { (texts.choose) }
            form method="post" action=(path) role="search" {
                (hidden)
                label for="name" { (texts.search_label) }
                div.row {
                    div { input type="search" id="name" name="name" value=(search.unwrap_or_default()) autofocus[search.is_some()]; }
                    button.quiet type="submit" name="action" value="search" { (texts.search) }
                }
            }
            @if people.is_empty() && search.is_some() {
                p role="status" { (texts.nobody_found) }
            }
            form method="post" action=(path) {
                (hidden)
                @if !people.is_empty() { p.hint.gap { (texts.choose_hint) } }
                ul.people {
                    @for person in &people {
                        li {
                            button type="submit" name="pid" value=(person.nin) {
                                span.hidden { (texts.log_in_as) " " }
                                strong { (person.name.full()) }
                                @if let Some(born) = person.born {
                                    span.hidden { ", " }
                                    (born.strftime("%d.%m.%Y"))
                                }
                            }
                        }
                    }
                }
            }
        }
        section aria-labelledby="by-number" {
            h2 id="by-number" { (texts.by_number) }
            form method="post" action=(path) autocomplete="off" {
                (hidden)
                @if let Some(error) = error { (wrong_number(texts, error)) }
                label for="pid" { (texts.number_label) }
                p.hint id="pid-hint" { (texts.number_hint) }
                input type="text" id="pid" name="pid" inputmode="numeric" maxlength="11" required
                    autofocus[error.is_some()] aria-describedby=(described)
                    aria-invalid=[error.map(|_| "true")];
                div.row { button type="submit" { (texts.log_in) } }
            }
        }
        form.gap method="post" action=(path) {
            (hidden)
            button.quiet type="submit" name="action" value="cancel" { (texts.cancel) }
        }
    };
    let title = if error.is_some() {
        texts.error_title
    } else {
        texts.title
    };
    let mut page = Page::new(realm.brand, language, title, body);
    page.form_target = form_action_source(&open.request.redirect_uri);
    page.answer()
}
