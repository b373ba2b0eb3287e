//! For whom somebody acts: after the login, whoever may act for others chooses (spec helsenorge §2.2, privacy §6.1).
//!
//! What was chosen is asked again whenever a token is made or looked at, so that no token outlives the right.

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Request, Response};
use maud::html;

use super::texts::words;
use super::{Ground, Represented, registrations};
use crate::Helseid;
use crate::edge::authorize::{complete, start_session_at};
use crate::edge::login::{Posted, answered, back_with, cancel, find, key, shown};
use crate::edge::{Language, Page, bar, gone_page, see_other};
use crate::error::{Code, OAuthError};
use crate::grants::{LOGIN_S, OpenLogin, Session, UpstreamSession};
use crate::rules::claims::Login;
use crate::rules::redirect::form_action_source;

/// Everybody somebody may act for now.
pub(super) async fn represented_by(
    helseid: &Helseid,
    pid: &str,
) -> Result<Vec<Represented>, OAuthError> {
    registrations(helseid)?
        .representation
        .represented_by(pid)
        .await
}

/// On what ground one acts for another now; `None` when on none.
pub(super) async fn ground(
    helseid: &Helseid,
    acting: &str,
    represented: &str,
) -> Result<Option<Ground>, OAuthError> {
    let all = represented_by(helseid, acting).await?;
    Ok(all
        .into_iter()
        .find(|one| one.pid == represented)
        .map(|one| one.ground))
}

/// Lets a login act for another, or for oneself.
///
/// # Errors
/// `access_denied` when that is not allowed; the same for a stranger and for somebody protected.
pub(super) async fn act_for(
    helseid: &Helseid,
    login: &mut Login,
    represented: &str,
) -> Result<(), OAuthError> {
    if represented == login.pid {
        login.represents = None;
        return Ok(());
    }
    if ground(helseid, &login.pid, represented).await?.is_none() {
        return Err(OAuthError::new(
            Code::AccessDenied,
            "this person cannot be represented by the one who logged in",
        ));
    }
    login.represents = Some(represented.to_owned());
    Ok(())
}

/// Goes on after a login: to the page that asks for whom, or at once to the client.
pub(crate) async fn proceed(
    helseid: &Helseid,
    headers: &HeaderMap,
    (id, open): (&str, &OpenLogin),
    login: Login,
    upstream: Option<UpstreamSession>,
) -> Result<Response<Body>, OAuthError> {
    let language = Language::choose_for(None, open.request.ui_locales.as_deref(), headers);
    let others = represented_by(helseid, &login.pid).await?;
    let session = Session { login, upstream };
    let inner = &helseid.inner;
    if others.is_empty() {
        // Only one of several submits of the same page goes on.
        let taken: Option<OpenLogin> = inner.grants().take(&key(id)).await?;
        return match taken {
            Some(open) => finish(helseid, headers, &open, session, language).await,
            None => Ok(gone_page(inner.realm.brand, language)),
        };
    }
    let next = OpenLogin {
        request: open.request.clone(),
        browser: open.browser.clone(),
        csrf: open.csrf.clone(),
        proven: Some(session),
    };
    let expires_s = inner.now_s() + LOGIN_S;
    if !inner
        .grants()
        .replace(&key(id), open, &next, expires_s)
        .await?
    {
        return Ok(gone_page(inner.realm.brand, language));
    }
    Ok(see_other(&format!("{}/for", inner.realm.login_path(id))))
}

async fn finish(
    helseid: &Helseid,
    headers: &HeaderMap,
    open: &OpenLogin,
    session: Session,
    language: Language,
) -> Result<Response<Body>, OAuthError> {
    let Session { login, upstream } = session;
    match complete(helseid, headers, &open.request, login.clone()).await {
        Ok(mut answer) => {
            start_session_at(helseid, headers, &login, upstream, &mut answer).await?;
            Ok(answer)
        }
        Err(error) => Ok(back_with(helseid, open, &error, language)),
    }
}

/// `GET …/login/{id}/for`.
pub(super) async fn show(
    State(helseid): State<Helseid>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    let proven = match find(&helseid, &id, &headers).await {
        Ok(open) => open.and_then(|open| open.proven),
        Err(error) => return answered(&helseid, Err(error)),
    };
    let Some(session) = proven else {
        return gone_page(helseid.inner.realm.brand, Language::choose(None, &headers));
    };
    let others = match represented_by(&helseid, &session.login.pid).await {
        Ok(others) => others,
        Err(error) => return answered(&helseid, Err(error)),
    };
    shown(&helseid, &id, query, &headers, |open, language, _| {
        page(&helseid, &id, open, language, &session.login, &others)
    })
    .await
}

/// `POST …/login/{id}/for`.
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
    let realm = helseid.inner.realm;
    if open.proven.is_none() {
        return Ok(gone_page(realm.brand, language));
    }
    if form.get("action") == Some("cancel") {
        return cancel(helseid, id, &open, language).await;
    }
    let Some(chosen) = form.get("pid") else {
        return Ok(see_other(&format!("{}/for", realm.login_path(id))));
    };
    // Only one of several submits of the same page goes on.
    let taken: Option<OpenLogin> = helseid.inner.grants().take(&key(id)).await?;
    let Some(mut open) = taken else {
        return Ok(gone_page(realm.brand, language));
    };
    let Some(mut session) = open.proven.take() else {
        return Ok(gone_page(realm.brand, language));
    };
    match act_for(helseid, &mut session.login, chosen).await {
        Ok(()) => finish(helseid, &headers, &open, session, language).await,
        Err(error) => Ok(back_with(helseid, &open, &error, language)),
    }
}

fn page(
    helseid: &Helseid,
    id: &str,
    open: &OpenLogin,
    language: Language,
    login: &Login,
    others: &[Represented],
) -> Response<Body> {
    let (texts, words) = (language.texts(), words(language));
    let realm = helseid.inner.realm;
    let path = format!("{}/for", realm.login_path(id));
    let client = helseid.client(&open.request.client_id);
    let client_name = client.as_ref().map_or("", |client| client.name.as_str());
    let name = helseid
        .inner
        .directory
        .person(&login.pid)
        .map(|person| person.name.full())
        .unwrap_or_default();
    let ground = |ground: &Ground| match ground {
        Ground::Parent => words.parent,
        Ground::Attorney(_) => words.attorney,
        Ground::Assigned => words.assigned,
    };
    let hidden = html! {
        input type="hidden" name="csrf" value=(open.csrf);
        input type="hidden" name="lang" value=(language.tag());
    };
    let body = html! {
        (bar(realm.brand, language, &path))
        h1 { (words.for_whom) }
        p { (texts.login_for) " " strong { (client_name) } ". " (words.for_whom_help) }
        form method="post" action=(path) {
            (hidden)
            ul.people {
                li {
                    button type="submit" name="pid" value=(login.pid) {
                        strong { (name) }
                        span.hidden { ", " }
                        (words.myself)
                    }
                }
                @for one in others {
                    li {
                        button type="submit" name="pid" value=(one.pid) {
                            strong { (one.name) }
                            span.hidden { ", " }
                            (ground(&one.ground))
                        }
                    }
                }
            }
        }
        form.gap method="post" action=(path) {
            (hidden)
            button.quiet type="submit" name="action" value="cancel" { (texts.cancel) }
        }
    };
    let mut page = Page::new(realm.brand, language, words.for_whom, body);
    page.form_target = form_action_source(&open.request.redirect_uri);
    page.answer()
}
