//! The authorize endpoint of citizens: with a pushed request, or for confidential clients with the parameters themselves.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};

use super::request::{Came, check, redirect_uri};
use super::{choose, registrations};
use crate::Helseid;
use crate::edge::authorize::{Outcome, complete, current_session, session_suffices, take_request};
use crate::edge::{Form, Language, cookie, error_page, set_cookie, upstream};
use crate::error::{Code, OAuthError};
use crate::grants::{Pushed, Session, secret_hash};
use crate::rules::claims::Login;

/// `GET …/authorize`.
pub(super) async fn authorize(
    State(helseid): State<Helseid>,
    request: Request<Body>,
) -> Response<Body> {
    let headers = request.headers().clone();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let language = Language::choose(None, &headers);
    let begun = begin(&helseid, &query).await;
    let pushed = match begun {
        Ok(Begun::Checked(pushed)) => *pushed,
        Ok(Begun::Back(back, error)) => {
            let outcome =
                Outcome::error(&helseid, &back.redirect_uri, back.state.as_deref(), &error);
            return outcome.answer(&helseid, back.form_post, language);
        }
        Err(error) => {
            metrics::counter!("helseid_errors_total", "endpoint" => "citizen-authorize", "error" => error.code.text()).increment(1);
            let status =
                StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::BAD_REQUEST);
            let brand = helseid.inner.realm.brand;
            return error_page(brand, language, status, &error.to_string());
        }
    };
    let back = Back::of(&pushed);
    match decide(&helseid, &headers, pushed).await {
        Ok(answer) => answer,
        Err(error) => {
            let outcome =
                Outcome::error(&helseid, &back.redirect_uri, back.state.as_deref(), &error);
            outcome.answer(&helseid, back.form_post, language)
        }
    }
}

/// Where an answer goes.
struct Back {
    redirect_uri: String,
    state: Option<String>,
    form_post: bool,
}

impl Back {
    fn of(pushed: &Pushed) -> Self {
        Self {
            redirect_uri: pushed.redirect_uri.clone(),
            state: pushed.state.clone(),
            form_post: pushed.form_post,
        }
    }
}

enum Begun {
    Checked(Box<Pushed>),
    /// The client is told: its redirect URI is known to be its own.
    Back(Back, OAuthError),
}

async fn begin(helseid: &Helseid, query: &str) -> Result<Begun, OAuthError> {
    let form = Form::parse(query.as_bytes())?;
    if form.get("request_uri").is_some() {
        let pushed = take_request(helseid, query).await?;
        return Ok(Begun::Checked(Box::new(pushed)));
    }
    let client = helseid
        .client(form.required("client_id")?)
        .ok_or_else(|| OAuthError::request("no client has this client_id"))?;
    let redirect_uri = redirect_uri(&client, &form)?;
    Ok(match check(helseid, &client, &form, Came::Open) {
        Ok(pushed) => Begun::Checked(Box::new(pushed)),
        Err(error) => Begun::Back(
            Back {
                redirect_uri: redirect_uri.to_owned(),
                // One that is too long or too short is not carried back.
                state: form
                    .get("state")
                    .filter(|state| state.len() <= 1_000)
                    .map(str::to_owned),
                form_post: form.get("response_mode") == Some("form_post"),
            },
            error,
        ),
    })
}

async fn decide(
    helseid: &Helseid,
    headers: &HeaderMap,
    pushed: Pushed,
) -> Result<Response<Body>, OAuthError> {
    let now_s = helseid.inner.now_s();
    if let Some(pid) = &pushed.test_pid {
        // No session cookie: a link alone must not log somebody else's browser in.
        let mut login = super::login::new_login(helseid, pid)?;
        if let Some(represented) = &pushed.test_represented {
            choose::act_for(helseid, &mut login, represented).await?;
        }
        return complete(helseid, headers, &pushed, login).await;
    }
    if let Some(session) = current_session(helseid, headers).await?
        && session_suffices(helseid, &pushed, &session.login, now_s)
        && still_holds(helseid, &session.login).await?
    {
        let mut answer = complete(helseid, headers, &pushed, session.login.clone()).await?;
        keep_awake(helseid, headers, &session, &mut answer).await?;
        return Ok(answer);
    }
    if pushed.prompt.as_deref() == Some("none") {
        return Err(OAuthError::new(
            Code::LoginRequired,
            "the user is not logged in",
        ));
    }
    upstream::send_to_login(helseid, headers, pushed).await
}

/// Whether somebody may still be logged in, and act for whom they chose.
pub(super) async fn still_holds(helseid: &Helseid, login: &Login) -> Result<bool, OAuthError> {
    let representation = &registrations(helseid)?.representation;
    if representation.may_log_in(&login.pid).is_err() {
        return Ok(false);
    }
    Ok(match &login.represents {
        None => true,
        Some(pid) => choose::ground(helseid, &login.pid, pid).await?.is_some(),
    })
}

/// A session that is used lives on, but never longer than the login may.
async fn keep_awake(
    helseid: &Helseid,
    headers: &HeaderMap,
    session: &Session,
    answer: &mut Response<Body>,
) -> Result<(), OAuthError> {
    let inner = &helseid.inner;
    let Some(secret) = cookie(headers, inner.realm.session_cookie) else {
        return Ok(());
    };
    let now_s = inner.now_s();
    let latest_s = session.login.auth_time_s + inner.config.session_s;
    let life_s = inner.browser_session_s().min(latest_s - now_s);
    if life_s <= 0 {
        return Ok(());
    }
    let key = format!("session/{}", secret_hash(secret));
    inner
        .grants()
        .replace(&key, session, session, now_s + life_s)
        .await?;
    let name = inner.realm.session_cookie;
    if let Some(cookie) = set_cookie(helseid, headers, name, secret, "/", life_s) {
        answer
            .headers_mut()
            .append(header::SET_COOKIE, HeaderValue::clone(&cookie));
    }
    Ok(())
}
