//! The authorize endpoint: from a pushed request to a code, silently or over the login page (spec §6, §13).

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use jose::encoding::{hex_upper, random, random_b64url};
use maud::html;
use url::form_urlencoded;

use super::form::Form;
use super::page::{Page, error_page};
use super::par::REQUEST_URI_PREFIX;
use super::texts::Language;
use super::{check_session, cookie, logout_notice, see_other, set_cookie, upstream};
use crate::Helseid;
use crate::error::{Code, OAuthError};
use crate::grants::{
    self, CODE_S, Granted, LOGIN_S, OpenLogin, Pushed, Session, USED_CODE_S, UpstreamSession,
    secret_hash,
};
use crate::idp;
use crate::issue::new_id;
use crate::rules::claims::{Login, User};
use crate::rules::levels::{Level, read_acr, satisfied_acr};
use crate::rules::redirect::form_action_source;

/// `GET /connect/authorize?client_id=…&request_uri=…`. Inline parameters are not accepted.
pub async fn authorize(State(helseid): State<Helseid>, request: Request<Body>) -> Response<Body> {
    let headers = request.headers().clone();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let language = Language::choose(None, &headers);
    match take_request(&helseid, &query).await {
        Ok(pushed) => {
            let redirect = (
                pushed.redirect_uri.clone(),
                pushed.state.clone(),
                pushed.form_post,
            );
            match decide(&helseid, &headers, pushed).await {
                Ok(answer) => answer,
                Err(error) => {
                    let (redirect_uri, state, form_post) = redirect;
                    let outcome = Outcome::error(&helseid, &redirect_uri, state.as_deref(), &error);
                    outcome.answer(&helseid, form_post, language)
                }
            }
        }
        Err(error) => {
            metrics::counter!("helseid_errors_total", "endpoint" => "authorize", "error" => error.code.text()).increment(1);
            let status =
                StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::BAD_REQUEST);
            error_page(
                helseid.inner.realm.brand,
                language,
                status,
                &error.to_string(),
            )
        }
    }
}

/// Finds and uses up the pushed request. Whatever is wrong here shows a page of ours: nobody is redirected on the word
/// of a request that did not come through PAR (attack A10, A13).
pub async fn take_request(helseid: &Helseid, query: &str) -> Result<Pushed, OAuthError> {
    let query = Form::parse(query.as_bytes())?;
    let client_id = query.required("client_id")?;
    let request_uri = query.get("request_uri").ok_or_else(|| {
        OAuthError::request(format!(
            "push the request to {} first and send its request_uri here",
            helseid.inner.realm.par
        ))
    })?;
    if !request_uri.starts_with(REQUEST_URI_PREFIX) {
        return Err(OAuthError::request(format!(
            "request_uri is not one that {} gave out",
            helseid.inner.realm.par
        )));
    }
    if helseid.client(client_id).is_none() {
        return Err(OAuthError::request("no client has this client_id"));
    }
    let gone = || OAuthError::request("the request_uri is unknown, expired or already used");
    let key = format!("par/{}", secret_hash(request_uri));
    let grants = helseid.inner.grants();
    let seen: Pushed = grants.get(&key).await?.ok_or_else(gone)?;
    if seen.client_id != client_id {
        return Err(OAuthError::request(
            "the request_uri belongs to another client",
        ));
    }
    grants.take(&key).await?.ok_or_else(gone)
}

async fn decide(
    helseid: &Helseid,
    headers: &HeaderMap,
    pushed: Pushed,
) -> Result<Response<Body>, OAuthError> {
    let now_s = helseid.inner.now_s();
    if let (Some(pid), Some(level)) = (&pushed.test_pid, pushed.test_level) {
        // No session cookie: a link alone must not log somebody else's browser in.
        let login = new_login(helseid, pid, level)?;
        return complete(helseid, headers, &pushed, login).await;
    }
    if let Some(session) = current_session(helseid, headers).await?
        && session_suffices(helseid, &pushed, &session.login, now_s)
    {
        return complete(helseid, headers, &pushed, session.login).await;
    }
    if pushed.prompt.as_deref() == Some("none") {
        return Err(OAuthError::new(
            Code::LoginRequired,
            "the user is not logged in",
        ));
    }
    upstream::send_to_login(helseid, headers, pushed).await
}

/// Keeps a login that is open in this browser; gives its id and the answer's cookie.
pub async fn open_login(
    helseid: &Helseid,
    headers: &HeaderMap,
    pushed: Pushed,
) -> Result<(String, OpenLogin, Option<HeaderValue>), OAuthError> {
    let (id, browser) = (random_b64url::<16>()?, random_b64url::<32>()?);
    let open = OpenLogin {
        request: pushed,
        browser: secret_hash(&browser),
        csrf: random_b64url::<32>()?,
        proven: None,
    };
    let expires_s = helseid.inner.now_s() + LOGIN_S;
    helseid
        .inner
        .grants()
        .put(&format!("login/{id}"), &open, expires_s)
        .await?;
    let realm = helseid.inner.realm;
    let path = realm.login_path(&id);
    let cookie = set_cookie(
        helseid,
        headers,
        realm.login_cookie,
        &browser,
        &path,
        LOGIN_S,
    );
    Ok((id, open, cookie))
}

/// The session of this browser.
pub async fn current_session(
    helseid: &Helseid,
    headers: &HeaderMap,
) -> Result<Option<Session>, OAuthError> {
    let Some(secret) = cookie(headers, helseid.inner.realm.session_cookie) else {
        return Ok(None);
    };
    let key = format!("session/{}", secret_hash(secret));
    let session: Option<Session> = helseid.inner.grants().get(&key).await?;
    // Ended from elsewhere: by a client with an ID token hint, or by the provider it came from.
    match session {
        Some(session) if helseid.inner.session_ended(&session.login.sid).await? => Ok(None),
        session => Ok(session),
    }
}

/// Single sign-on is refused by `prompt`, `max_age`, a higher level or another provider (spec §13).
pub fn session_suffices(helseid: &Helseid, pushed: &Pushed, login: &Login, now_s: i64) -> bool {
    let prompt = pushed.prompt.as_deref().unwrap_or_default();
    let asks = prompt
        .split_ascii_whitespace()
        .any(|value| matches!(value, "login" | "select_account"));
    let too_old = pushed
        .max_age_s
        .is_some_and(|max| now_s - login.auth_time_s >= max);
    let acr = read_acr(pushed.acr_values.as_deref().unwrap_or_default());
    let too_low = acr.level.is_some_and(|level| login.level < level);
    let idp_known = |id: &str| id == login.idp || idp::is_test(id) && idp::is_test(&login.idp);
    let other_idp = acr.idp.is_some_and(|id| !idp_known(id));
    let client = helseid.client(&pushed.client_id);
    let idp_allowed = client
        .is_some_and(|client| client.idps.is_empty() || client.idps.iter().any(|id| idp_known(id)));
    let person_known = User::find(&login.pid, helseid.inner.directory.as_ref()).is_some();
    !asks && !too_old && !too_low && !other_idp && idp_allowed && person_known
}

/// A fresh login of the test provider. The person must be in the register and alive.
pub fn new_login(helseid: &Helseid, pid: &str, level: Level) -> Result<Login, OAuthError> {
    let now_s = helseid.inner.now_s();
    login_from(helseid, pid, level, (idp::TEST_ID, "pwd"), now_s)
}

/// A fresh login of a provider with its method. The person must be in the register and alive.
pub fn login_from(
    helseid: &Helseid,
    pid: &str,
    level: Level,
    (idp, method): (&str, &str),
    auth_time_s: i64,
) -> Result<Login, OAuthError> {
    let directory = helseid.inner.directory.as_ref();
    let denied = |what: &'static str| OAuthError::new(Code::AccessDenied, what);
    let person = directory.person(pid);
    if person.as_ref().is_some_and(|person| person.died.is_some()) {
        return Err(denied("the person is registered as deceased"));
    }
    if User::find(pid, directory).is_none() {
        return Err(denied("the person register has nobody with this number"));
    }
    Ok(Login {
        pid: person.map_or_else(|| pid.to_owned(), |person| person.nin),
        level,
        idp: idp.to_owned(),
        amr: vec![method.to_owned()],
        auth_time_s,
        sid: new_id()?,
        represents: None,
    })
}

/// Keeps a login as the browser's session and gives its cookie.
pub async fn start_session(
    helseid: &Helseid,
    headers: &HeaderMap,
    login: &Login,
    answer: &mut Response<Body>,
) -> Result<(), OAuthError> {
    start_session_at(helseid, headers, login, None, answer).await
}

/// Like [`start_session`], for a login at a provider outside that has a session of its own.
pub async fn start_session_at(
    helseid: &Helseid,
    headers: &HeaderMap,
    login: &Login,
    upstream: Option<UpstreamSession>,
    answer: &mut Response<Body>,
) -> Result<(), OAuthError> {
    let secret = random_b64url::<32>()?;
    let life_s = helseid.inner.browser_session_s();
    let session = Session {
        login: login.clone(),
        upstream,
    };
    let key = format!("session/{}", secret_hash(&secret));
    helseid
        .inner
        .grants()
        .put(&key, &session, helseid.inner.now_s() + life_s)
        .await?;
    if let Some(cookie) = set_cookie(
        helseid,
        headers,
        helseid.inner.realm.session_cookie,
        &secret,
        "/",
        life_s,
    ) {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
    check_session::remember(helseid, headers, Some(login), answer);
    Ok(())
}

/// Gives the code for a login that suffices; one that does not is denied (attack A15).
pub async fn complete(
    helseid: &Helseid,
    headers: &HeaderMap,
    pushed: &Pushed,
    login: Login,
) -> Result<Response<Body>, OAuthError> {
    let acr_values = pushed.acr_values.as_deref().unwrap_or_default();
    if read_acr(acr_values)
        .level
        .is_some_and(|level| login.level < level)
    {
        return Err(OAuthError::new(
            Code::AccessDenied,
            "the login's security level is lower than requested",
        ));
    }
    let now_s = helseid.inner.now_s();
    logout_notice::remember(helseid, &login.sid, &pushed.client_id).await?;
    // Without a page there is no session of a browser.
    let session_state = match pushed.test_pid {
        None => {
            let (client_id, redirect_uri) = (&pushed.client_id, &pushed.redirect_uri);
            check_session::session_state(helseid, &login, client_id, redirect_uri)?
        }
        Some(_) => None,
    };
    let code = format!("{}-1", hex_upper(&random::<32>()?));
    let kept = grants::Code {
        granted: Granted {
            client_id: pushed.client_id.clone(),
            scopes: pushed.scopes.clone(),
            resources: pushed.resources.clone(),
            nonce: pushed.nonce.clone(),
            acr: satisfied_acr(acr_values, &login.idp, login.level),
            structures: pushed.structures.clone(),
            received_s: pushed.received_s,
            login,
            certificate: pushed.certificate.clone(),
        },
        redirect_uri: pushed.redirect_uri.clone(),
        code_challenge: pushed.code_challenge.clone(),
        dpop_jkt: pushed.dpop_jkt.clone(),
        state: pushed.state.clone(),
        expires_s: now_s + CODE_S,
        used: None,
    };
    let key = format!("code/{}", secret_hash(&code));
    helseid
        .inner
        .grants()
        .put(&key, &kept, now_s + CODE_S + USED_CODE_S)
        .await?;
    metrics::counter!("helseid_logins_total", "level" => kept.granted.login.level.security_level())
        .increment(1);
    let language = Language::choose_for(None, pushed.ui_locales.as_deref(), headers);
    let outcome = Outcome::code(helseid, pushed, code, session_state);
    Ok(outcome.answer(helseid, pushed.form_post, language))
}

/// What the browser carries back to the client. `iss` is always part of it (RFC 9207, attack A12); nothing else is
/// added, because some clients choke on it (spec §6).
pub struct Outcome {
    redirect_uri: String,
    parameters: Vec<(&'static str, String)>,
}

impl Outcome {
    fn code(
        helseid: &Helseid,
        pushed: &Pushed,
        code: String,
        session_state: Option<String>,
    ) -> Self {
        let session_state = session_state.map(|state| ("session_state", state));
        Self::new(
            helseid,
            &pushed.redirect_uri,
            pushed.state.as_deref(),
            std::iter::once(("code", code))
                .chain(session_state)
                .collect(),
        )
    }

    /// An error for the client.
    pub fn error(
        helseid: &Helseid,
        redirect_uri: &str,
        state: Option<&str>,
        error: &OAuthError,
    ) -> Self {
        let parameters = vec![
            ("error", error.code.text().to_owned()),
            ("error_description", error.description.to_string()),
        ];
        Self::new(helseid, redirect_uri, state, parameters)
    }

    fn new(
        helseid: &Helseid,
        redirect_uri: &str,
        state: Option<&str>,
        mut parameters: Vec<(&'static str, String)>,
    ) -> Self {
        if let Some(state) = state {
            parameters.push(("state", state.to_owned()));
        }
        parameters.push(("iss", helseid.inner.config.issuer.clone()));
        Self {
            redirect_uri: redirect_uri.to_owned(),
            parameters,
        }
    }

    /// The redirect, or the self-posting form of `response_mode=form_post`.
    pub fn answer(self, helseid: &Helseid, form_post: bool, language: Language) -> Response<Body> {
        if !form_post {
            let separator = if self.redirect_uri.contains('?') {
                '&'
            } else {
                '?'
            };
            let query = form_urlencoded::Serializer::new(String::new())
                .extend_pairs(&self.parameters)
                .finish();
            return see_other(&format!("{}{separator}{query}", self.redirect_uri));
        }
        let texts = language.texts();
        let body = html! {
            h1 { (texts.title) }
            form method="post" action=(self.redirect_uri) id="back" {
                @for (name, value) in &self.parameters {
                    input type="hidden" name=(name) value=(value);
                }
                button type="submit" { (texts.continue_) }
            }
        };
        let mut page = Page::new(helseid.inner.realm.brand, language, texts.title, body);
        page.form_target = form_action_source(&self.redirect_uri);
        page.script = Some("document.getElementById('back').submit()");
        page.answer()
    }
}
