//! The page of the test identity provider (spec §6.3): choose a synthetic person and a level. No password.
//!
//! Safe against others' pages: each open login is bound to one browser by a cookie of its own path, every form carries
//! a value only that page knows, and nothing personal ever stands in an address.

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Request, Response, header};
use jose::encoding::equal_secret;
use maud::{Markup, html};
use registers::directory::Directory;

use super::authorize::{Outcome, complete, new_login, start_session};
use super::form::Form;
use super::page::{Page, bar, gone_page, remember_language};
use super::texts::{Language, Texts};
use super::{cookie, error_answer};
use crate::Helseid;
use crate::error::{Code, OAuthError};
use crate::grants::{OpenLogin, secret_hash};
use crate::rules::levels::Level;
use crate::rules::redirect::form_action_source;

const PEOPLE_SHOWN: usize = 12;

/// What the page shows besides its constant parts.
#[derive(Default)]
struct View<'a> {
    search: Option<&'a str>,
    /// What is wrong with the number.
    error: Option<&'static str>,
}

/// `GET /login/{id}`.
pub async fn show(
    State(helseid): State<Helseid>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    shown(&helseid, &id, query, &headers, |open, language, _| {
        render(&helseid, &id, open, language, &View::default())
    })
    .await
}

/// A page of an open login, in the language that is asked for; otherwise the page that says the login is gone.
pub(crate) async fn shown(
    helseid: &Helseid,
    id: &str,
    query: Option<String>,
    headers: &HeaderMap,
    page: impl FnOnce(&OpenLogin, Language, &Form) -> Response<Body>,
) -> Response<Body> {
    let query = Form::parse(query.unwrap_or_default().as_bytes()).unwrap_or_default();
    match find(helseid, id, headers).await {
        Ok(Some(open)) => {
            let language = language(&open, query.get("lang"), headers);
            let mut answer = page(&open, language, &query);
            remember_language(helseid, headers, query.get("lang"), &mut answer);
            answer
        }
        Ok(None) => gone_page(
            helseid.inner.realm.brand,
            Language::choose(query.get("lang"), headers),
        ),
        Err(error) => answered(helseid, Err(error)),
    }
}

/// `POST /login/{id}`: log in, search, or cancel.
pub async fn submit(
    State(helseid): State<Helseid>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Response<Body> {
    match Posted::read(&helseid, &id, request).await {
        Ok(posted) => answered(&helseid, act(&helseid, &id, posted).await),
        Err(answer) => *answer,
    }
}

/// A form that a page of an open login sent: from the browser the login began in, and from the page that was shown there.
pub(crate) struct Posted {
    pub(crate) headers: HeaderMap,
    pub(crate) form: Form,
    pub(crate) open: OpenLogin,
    pub(crate) language: Language,
}

impl Posted {
    /// Reads a form and checks where it came from.
    ///
    /// # Errors
    /// The answer that says what is wrong: the login is gone or another browser's, or the form is another page's.
    pub(crate) async fn read(
        helseid: &Helseid,
        id: &str,
        request: Request<Body>,
    ) -> Result<Self, Box<Response<Body>>> {
        let own_page = comes_from_own_page(helseid, request.headers());
        let refused = |error: OAuthError| Box::new(answered(helseid, Err(error)));
        let (headers, form) = Form::read(request).await.map_err(refused)?;
        let Some(open) = find(helseid, id, &headers).await.map_err(refused)? else {
            let language = Language::choose(form.get("lang"), &headers);
            return Err(Box::new(gone_page(helseid.inner.realm.brand, language)));
        };
        let csrf = form.get("csrf").unwrap_or_default();
        if !own_page || !equal_secret(csrf.as_bytes(), open.csrf.as_bytes()) {
            return Err(refused(OAuthError::new(
                Code::AccessDenied,
                "the form did not come from the login page",
            )));
        }
        let language = language(&open, form.get("lang"), &headers);
        Ok(Self {
            headers,
            form,
            open,
            language,
        })
    }
}

/// The answer of a login page.
pub(crate) fn answered(
    helseid: &Helseid,
    result: Result<Response<Body>, OAuthError>,
) -> Response<Body> {
    result.unwrap_or_else(|error| error_answer(helseid, helseid.inner.realm.login_endpoint, &error))
}

fn language(open: &OpenLogin, chosen: Option<&str>, headers: &HeaderMap) -> Language {
    Language::choose_for(chosen, open.request.ui_locales.as_deref(), headers)
}

/// The open login of this browser; `None` when there is none, or the browser is another one.
pub(crate) async fn find(
    helseid: &Helseid,
    id: &str,
    headers: &HeaderMap,
) -> Result<Option<OpenLogin>, OAuthError> {
    let open: Option<OpenLogin> = helseid.inner.grants().get(&key(id)).await?;
    let browser = cookie(headers, helseid.inner.realm.login_cookie).map(secret_hash);
    Ok(open.filter(|open| {
        browser.is_some_and(|browser| equal_secret(browser.as_bytes(), open.browser.as_bytes()))
    }))
}

/// Place of an open login among the grants.
pub(crate) fn key(id: &str) -> String {
    format!("login/{}", id.get(..64).unwrap_or(id))
}

async fn act(helseid: &Helseid, id: &str, posted: Posted) -> Result<Response<Body>, OAuthError> {
    let Posted {
        headers,
        form,
        open,
        language,
    } = posted;
    let again = |view: &View<'_>| Ok(render(helseid, id, &open, language, view));
    let wrong = |error: &'static str| {
        again(&View {
            error: Some(error),
            ..View::default()
        })
    };
    match form.get("action") {
        Some("cancel") => return cancel(helseid, id, &open, language).await,
        Some("search") => {
            return again(&View {
                search: form.get("name"),
                ..View::default()
            });
        }
        _ => {}
    }
    let level = form
        .get("level")
        .and_then(Level::from_text)
        .unwrap_or(Level::High);
    let texts = language.texts();
    let pid = form.get("pid").map(str::trim).unwrap_or_default();
    if pid.len() != 11 || !pid.bytes().all(|byte| byte.is_ascii_digit()) {
        return wrong(texts.error_number);
    }
    let login = match new_login(helseid, pid, level) {
        Ok(login) => login,
        Err(error) if error.code == Code::AccessDenied => {
            let is_known = helseid.inner.directory.person(pid).is_some();
            return wrong(if is_known {
                texts.error_dead
            } else {
                texts.error_unknown_person
            });
        }
        Err(error) => return Err(error),
    };
    // Only one of several submits of the same page goes on.
    let taken: Option<OpenLogin> = helseid.inner.grants().take(&key(id)).await?;
    if taken.is_none() {
        return Ok(gone_page(helseid.inner.realm.brand, language));
    }
    match complete(helseid, &headers, &open.request, login.clone()).await {
        Ok(mut answer) => {
            start_session(helseid, &headers, &login, &mut answer).await?;
            Ok(answer)
        }
        Err(error) => Ok(back_with(helseid, &open, &error, language)),
    }
}

/// Browsers name the origin of a posted form; one that is not ours is refused (attack A13).
pub(crate) fn comes_from_own_page(helseid: &Helseid, headers: &HeaderMap) -> bool {
    let Some(origin) = headers
        .get(header::ORIGIN)
        .and_then(|origin| origin.to_str().ok())
    else {
        return true;
    };
    helseid.inner.origins().any(|own| own == origin)
}

/// Ends an open login at the user's wish.
pub(crate) async fn cancel(
    helseid: &Helseid,
    id: &str,
    open: &OpenLogin,
    language: Language,
) -> Result<Response<Body>, OAuthError> {
    helseid.inner.grants().take::<OpenLogin>(&key(id)).await?;
    let error = OAuthError::new(Code::AccessDenied, "the user cancelled the login");
    Ok(back_with(helseid, open, &error, language))
}

/// Back to the client with an error.
pub(crate) fn back_with(
    helseid: &Helseid,
    open: &OpenLogin,
    error: &OAuthError,
    language: Language,
) -> Response<Body> {
    let request = &open.request;
    Outcome::error(
        helseid,
        &request.redirect_uri,
        request.state.as_deref(),
        error,
    )
    .answer(helseid, request.form_post, language)
}

/// A person to choose.
struct Choice {
    pid: String,
    name: String,
    detail: String,
}

fn choices(directory: &dyn Directory, search: Option<&str>, texts: &Texts) -> Vec<Choice> {
    let practitioner = |practitioner: registers::directory::Practitioner| {
        let hpr = practitioner.hpr.as_deref();
        let role = practitioner.authorisations.first().map(|authorisation| {
            let system = "urn:oid:2.16.578.1.12.4.1.1.9060";
            codes::lists::display(system, &authorisation.role)
                .unwrap_or(&authorisation.role)
                .to_owned()
        });
        let workplace = practitioner.workplaces.first().and_then(|workplace| {
            let organisation = directory.organisation(&workplace.orgnr_child)?;
            let unit = organisation
                .units
                .iter()
                .find(|unit| unit.orgnr == workplace.orgnr_child);
            Some(unit.map_or(organisation.name.clone(), |unit| unit.name.clone()))
        });
        let number = hpr.map(|number| format!("{} {number}", texts.hpr));
        let detail: Vec<String> = [role, workplace, number].into_iter().flatten().collect();
        Choice {
            name: practitioner.name.full(),
            pid: practitioner.nin,
            detail: detail.join(", "),
        }
    };
    match search {
        None => directory
            .practitioners(PEOPLE_SHOWN)
            .into_iter()
            .map(practitioner)
            .collect(),
        Some(query) => directory
            .search_persons(query, PEOPLE_SHOWN)
            .into_iter()
            .map(|person| match directory.practitioner_by_nin(&person.nin) {
                Some(found) => practitioner(found),
                None => Choice {
                    name: person.name.full(),
                    detail: person.born.map(|born| born.to_string()).unwrap_or_default(),
                    pid: person.nin,
                },
            })
            .collect(),
    }
}

fn render(
    helseid: &Helseid,
    id: &str,
    open: &OpenLogin,
    language: Language,
    view: &View<'_>,
) -> Response<Body> {
    let texts = language.texts();
    let client = helseid.client(&open.request.client_id);
    let client_name = client.as_ref().map_or("", |client| client.name.as_str());
    let realm = helseid.inner.realm;
    let people = choices(helseid.inner.directory.as_ref(), view.search, texts);
    let form = LoginForm {
        action: realm.login_path(id),
        csrf: &open.csrf,
        language,
        texts,
    };
    let body = html! {
        (bar(realm.brand, language, &realm.login_path(id)))
        h1 { (texts.title) }
        p { (texts.login_for) " " strong { (client_name) } ". " (texts.intro) }
        p.notice { (texts.test_banner) }
        (form.by_choice(&people, view))
        (form.by_number(view))
        (form.cancel())
    };
    let title = if view.error.is_some() {
        texts.error_title
    } else {
        texts.title
    };
    let mut page = Page::new(realm.brand, language, title, body);
    page.form_target = form_action_source(&open.request.redirect_uri);
    page.answer()
}

/// What is wrong with the number that was written: beside the field, where the focus goes.
pub(crate) fn wrong_number(texts: &Texts, error: &str) -> Markup {
    html! { div.error role="alert" id="error" { strong { (texts.problem) } " " (error) } }
}

struct LoginForm<'a> {
    action: String,
    csrf: &'a str,
    language: Language,
    texts: &'a Texts,
}

impl LoginForm<'_> {
    fn hidden(&self) -> Markup {
        html! {
            input type="hidden" name="csrf" value=(self.csrf);
            input type="hidden" name="lang" value=(self.language.tag());
        }
    }

    fn level(&self, id: &str) -> Markup {
        html! {
            div {
                label for=(id) { (self.texts.level) }
                p.hint id={ (id) "-hint" } { (self.texts.level_hint) }
                select id=(id) name="level" aria-describedby={ (id) "-hint" } {
                    @for (value, text) in ["4", "3", "2"].iter().zip(self.texts.levels) {
                        option value=(value) { (text) }
                    }
                }
            }
        }
    }

    fn by_number(&self, view: &View<'_>) -> Markup {
        let described = view.error.map_or("pid-hint", |_| "pid-hint error");
        html! {
            section aria-labelledby="by-number" {
                h2 id="by-number" { (self.texts.by_number) }
                form method="post" action=(self.action) autocomplete="off" {
                    (self.hidden())
                    @if let Some(error) = view.error { (wrong_number(self.texts, error)) }
                    div.row {
                        div {
                            label for="pid" { (self.texts.number_label) }
                            p.hint id="pid-hint" { (self.texts.number_hint) }
                            input type="text" id="pid" name="pid" inputmode="numeric" maxlength="11" required
                                autofocus[view.error.is_some()] aria-describedby=(described)
                                aria-invalid=[view.error.map(|_| "true")];
                        }
                        (self.level("level-number"))
                    }
                    div.row { button type="submit" { (self.texts.log_in) } }
                }
            }
        }
    }

    fn by_choice(&self, people: &[Choice], view: &View<'_>) -> Markup {
        html! {
            section aria-labelledby="by-choice" {
                h2 id="by-choice" { (self.texts.choose) }
                (self.search(view))
                @if people.is_empty() && view.search.is_some() {
                    p role="status" { (self.texts.nobody_found) }
                }
                form method="post" action=(self.action) {
                    (self.hidden())
                    div.gap { (self.level("level-choice")) }
                    @if !people.is_empty() { p.hint.gap { (self.texts.choose_hint) } }
                    ul.people {
                        @for person in people {
                            li {
                                button type="submit" name="pid" value=(person.pid) {
                                    span.hidden { (self.texts.log_in_as) " " }
                                    strong { (person.name) }
                                    span.hidden { ", " }
                                    (person.detail)
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn search(&self, view: &View<'_>) -> Markup {
        html! {
            form method="post" action=(self.action) role="search" {
                (self.hidden())
                label for="name" { (self.texts.search_label) }
                div.row {
                    div { input type="search" id="name" name="name" value=(view.search.unwrap_or_default()) autofocus[view.search.is_some()]; }
                    button.quiet type="submit" name="action" value="search" { (self.texts.search) }
                }
            }
        }
    }

    fn cancel(&self) -> Markup {
        html! {
            form.gap method="post" action=(self.action) {
                (self.hidden())
                button.quiet type="submit" name="action" value="cancel" { (self.texts.cancel) }
            }
        }
    }
}
