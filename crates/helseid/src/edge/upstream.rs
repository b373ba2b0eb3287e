//! Logging in at identity providers outside (spec §6.1, §6.2): which are offered, the page where the user chooses, the way
//! there and back.
//!
//! A login under way is bound to its browser twice: by the cookie of the open login, and by one of its own that comes
//! back with the provider's answer. State, nonce, PKCE and the provider's name are checked, each attempt is good once.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use jose::client::Transport;
use jose::encoding::{equal_secret, random_b64url};
use maud::html;
use serde::{Deserialize, Serialize};

use super::authorize::{Outcome, complete, login_from, open_login, start_session_at};
use super::form::Form;
use super::login::{find, key as login_key, shown};
use super::page::{Page, bar, error_page, gone_page};
use super::texts::Language;
use super::{cookie, error_answer, see_other, set_cookie, upstream_logout};
use crate::Helseid;
use crate::citizen;
use crate::error::{Code, OAuthError};
use crate::grants::{LOGIN_S, OpenLogin, Pushed, UpstreamSession, secret_hash};
use crate::idp::{self, Attempt, Begin, Upstream, UpstreamError};
use crate::rules::levels::{Level, read_acr};

/// `amr` of logins at providers outside.
const METHOD: &str = "external";

/// A login that is away at a provider.
#[derive(Serialize, Deserialize)]
struct Away {
    login: String,
    idp: String,
    attempt: Attempt,
    /// Hash of the cookie that must come back with the answer.
    browser: String,
}

/// A provider that a request may use.
enum Offer {
    Test,
    Outside(Arc<Upstream>),
}

impl Offer {
    fn id(&self) -> &str {
        match self {
            Self::Test => idp::TEST_ID,
            Self::Outside(upstream) => &upstream.config.id,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Test => "Test IDP",
            Self::Outside(upstream) => &upstream.config.name,
        }
    }

    fn highest(&self) -> Level {
        match self {
            Self::Test => Level::High,
            Self::Outside(upstream) => upstream.config.highest,
        }
    }
}

/// The providers a request may use: those of the client, able to give the level asked for.
fn offers(helseid: &Helseid, pushed: &Pushed) -> Vec<Offer> {
    let inner = &helseid.inner;
    let level = read_acr(pushed.acr_values.as_deref().unwrap_or_default()).level;
    let client = helseid.client(&pushed.client_id);
    let allowed = |offer: &Offer| {
        client.as_ref().is_some_and(|client| {
            client.idps.is_empty()
                || client.idps.contains(offer.id())
                || matches!(offer, Offer::Test) && client.idps.iter().any(|id| idp::is_test(id))
        })
    };
    let test = inner.config.test_idp.then_some(Offer::Test);
    let outside = inner.upstreams.iter().cloned().map(Offer::Outside);
    outside
        .chain(test)
        .filter(|offer| level.is_none_or(|level| offer.highest() >= level))
        .filter(allowed)
        .collect()
}

/// Sends the browser to log in: straight to the provider when only one is possible or one was named, else to the page
/// that lets the user choose.
pub async fn send_to_login(
    helseid: &Helseid,
    headers: &HeaderMap,
    pushed: Pushed,
) -> Result<Response<Body>, OAuthError> {
    let offers = offers(helseid, &pushed);
    if offers.is_empty() {
        return Err(OAuthError::new(
            Code::AccessDenied,
            "no identity provider that gives the level asked for is available for this client",
        ));
    }
    let named = read_acr(pushed.acr_values.as_deref().unwrap_or_default())
        .idp
        .and_then(|id| {
            offers
                .iter()
                .find(|offer| offer.id() == id || matches!(offer, Offer::Test) && idp::is_test(id))
        });
    let only = match offers.as_slice() {
        [only] => Some(only),
        _ => named,
    };
    let (id, open, bound) = open_login(helseid, headers, pushed).await?;
    let mut answer = match only {
        Some(Offer::Test) => see_other(&helseid.inner.realm.login_path(&id)),
        Some(Offer::Outside(upstream)) => {
            // A provider that does not answer leads to the page with the others (spec §6.1).
            match leave(helseid, headers, &id, &open, upstream).await {
                Ok(answer) => answer,
                Err(error) => {
                    log_trouble(upstream, &error);
                    see_other(&format!(
                        "{}/idp?down={}",
                        helseid.inner.realm.login_path(&id),
                        upstream.config.id
                    ))
                }
            }
        }
        None => see_other(&format!("{}/idp", helseid.inner.realm.login_path(&id))),
    };
    if let Some(bound) = bound {
        answer.headers_mut().append(header::SET_COOKIE, bound);
    }
    Ok(answer)
}

pub(super) fn log_trouble(upstream: &Upstream, error: &UpstreamError) {
    metrics::counter!("helseid_upstream_errors_total", "idp" => upstream.config.id.clone())
        .increment(1);
    tracing::warn!(idp = %upstream.config.id, %error, "helseid: login at the identity provider failed");
}

/// The origin the browser came to, so that it comes back to where its cookies are.
pub fn browser_origin(helseid: &Helseid, headers: &HeaderMap) -> String {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let own = helseid.inner.origins().find(|origin| {
        origin
            .split_once("://")
            .is_some_and(|(_, authority)| authority == host)
    });
    own.unwrap_or(&helseid.inner.config.issuer).to_owned()
}

/// Pushes the request to the provider and sends the browser after it.
async fn leave(
    helseid: &Helseid,
    headers: &HeaderMap,
    id: &str,
    open: &OpenLogin,
    upstream: &Upstream,
) -> Result<Response<Body>, UpstreamError> {
    let inner = &helseid.inner;
    let request = &open.request;
    let acr = request.acr_values.as_deref().unwrap_or_default();
    let prompt = request.prompt.as_deref().unwrap_or_default();
    let asks_again = prompt
        .split_ascii_whitespace()
        .any(|value| matches!(value, "login" | "select_account"));
    let redirect_uri = format!(
        "{}{}/{}",
        browser_origin(helseid, headers),
        inner.realm.callback_path(),
        upstream.config.id
    );
    let begin = Begin {
        redirect_uri: &redirect_uri,
        level: read_acr(acr).level,
        method: acr.split_ascii_whitespace().find_map(chosen_method),
        fresh: asks_again || request.max_age_s.is_some(),
        on_behalf_of: request.on_behalf_of.as_deref(),
        ui_locales: request.ui_locales.as_deref(),
    };
    let (url, attempt) = upstream
        .begin(transport(helseid)?, &begin, inner.now_s())
        .await?;
    let browser = random_b64url::<32>().map_err(|_| UpstreamError::Crypto)?;
    let key = secret_hash(&attempt.state);
    let away = Away {
        login: id.to_owned(),
        idp: upstream.config.id.clone(),
        attempt,
        browser: secret_hash(&browser),
    };
    inner
        .grants()
        .put(&format!("upstream/{key}"), &away, inner.now_s() + LOGIN_S)
        .await
        .map_err(|_| UpstreamError::Unavailable("our own memory is full".to_owned()))?;
    let mut answer = see_other(&url);
    let name = cookie_name(helseid, &key);
    let path = inner.realm.callback_path();
    if let Some(bound) = set_cookie(helseid, headers, &name, &browser, &path, LOGIN_S) {
        answer.headers_mut().append(header::SET_COOKIE, bound);
    }
    Ok(answer)
}

pub(super) fn transport(helseid: &Helseid) -> Result<&dyn Transport, UpstreamError> {
    helseid
        .inner
        .to_idps
        .get()
        .map(|transport| transport.as_ref() as &dyn Transport)
        .ok_or_else(|| UpstreamError::Unavailable("this server has no way out".to_owned()))
}

/// What a value of `acr_values` chooses at the provider: `amr:bankid` its method `bankid`, `bp:amr:sc` (Buypass with a smart
/// card) the method of that name.
fn chosen_method(value: &str) -> Option<&str> {
    let of_buypass = || value.starts_with("bp:amr:").then_some(value);
    value.strip_prefix("amr:").or_else(of_buypass)
}

/// One cookie per login that is away, so that two windows do not disturb each other.
fn cookie_name(helseid: &Helseid, state_hash: &str) -> String {
    let tag: String = state_hash.chars().take(12).collect();
    format!("{}{tag}", helseid.inner.realm.away_cookie)
}

/// `GET /login/{id}/idp`: the page where the user chooses a provider.
pub async fn choose(
    State(helseid): State<Helseid>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    shown(&helseid, &id, query, &headers, |open, language, query| {
        chooser_page(&helseid, &id, open, language, query.get("down"))
    })
    .await
}

/// `GET /login/{id}/idp/{idp}`: the user has chosen.
pub async fn go(
    State(helseid): State<Helseid>,
    Path((id, chosen)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response<Body> {
    let open = match find(&helseid, &id, &headers).await {
        Ok(Some(open)) => open,
        Ok(None) => return gone_page(helseid.inner.realm.brand, Language::choose(None, &headers)),
        Err(error) => return error_answer(&helseid, "login", &error),
    };
    match offers(&helseid, &open.request)
        .into_iter()
        .find(|offer| offer.id() == chosen)
    {
        Some(Offer::Test) => see_other(&helseid.inner.realm.login_path(&id)),
        Some(Offer::Outside(upstream)) => {
            match leave(&helseid, &headers, &id, &open, &upstream).await {
                Ok(answer) => answer,
                Err(error) => {
                    log_trouble(&upstream, &error);
                    see_other(&format!(
                        "{}/idp?down={}",
                        helseid.inner.realm.login_path(&id),
                        upstream.config.id
                    ))
                }
            }
        }
        None => see_other(&format!("{}/idp", helseid.inner.realm.login_path(&id))),
    }
}

/// `GET /login/{id}/cancel`: back to the client without a login.
pub async fn cancel(
    State(helseid): State<Helseid>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response<Body> {
    let language = Language::choose(None, &headers);
    match find(&helseid, &id, &headers).await {
        Ok(Some(open)) => {
            let _ = helseid
                .inner
                .grants()
                .take::<OpenLogin>(&login_key(&id))
                .await;
            let error = OAuthError::new(Code::AccessDenied, "the user cancelled the login");
            back_with(&helseid, &open, &error, language)
        }
        Ok(None) => gone_page(helseid.inner.realm.brand, language),
        Err(error) => error_answer(&helseid, "login", &error),
    }
}

fn back_with(
    helseid: &Helseid,
    open: &OpenLogin,
    error: &OAuthError,
    language: Language,
) -> Response<Body> {
    let request = &open.request;
    let state = request.state.as_deref();
    Outcome::error(helseid, &request.redirect_uri, state, error).answer(
        helseid,
        request.form_post,
        language,
    )
}

/// `GET /signin/{idp}`: the provider sends the browser back.
pub async fn callback(
    State(helseid): State<Helseid>,
    Path(idp): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    let language = Language::choose(None, &headers);
    let query = match Form::parse(query.unwrap_or_default().as_bytes()) {
        Ok(query) => query,
        Err(error) => {
            return error_page(
                helseid.inner.realm.brand,
                language,
                StatusCode::BAD_REQUEST,
                &error.to_string(),
            );
        }
    };
    match returned(&helseid, &headers, &idp, &query).await {
        Ok(answer) => answer,
        Err(Trouble::Gone) => gone_page(helseid.inner.realm.brand, language),
        Err(Trouble::Foreign) => error_page(
            helseid.inner.realm.brand,
            language,
            StatusCode::BAD_REQUEST,
            "this login was begun in another browser or at another identity provider",
        ),
        Err(Trouble::Back(open, error)) => back_with(&helseid, &open, &error, language),
        Err(Trouble::Ours(error)) => error_answer(&helseid, "login", &error),
    }
}

/// Why the way back did not lead to a code.
enum Trouble {
    /// Nothing waits for this answer.
    Gone,
    /// It waits in another browser.
    Foreign,
    /// The client is told.
    Back(Box<OpenLogin>, OAuthError),
    /// Something of ours failed.
    Ours(OAuthError),
}

impl<E: Into<OAuthError>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Ours(error.into())
    }
}

async fn returned(
    helseid: &Helseid,
    headers: &HeaderMap,
    idp: &str,
    query: &Form,
) -> Result<Response<Body>, Trouble> {
    let inner = &helseid.inner;
    let grants = inner.grants();
    let hash = secret_hash(query.get("state").ok_or(Trouble::Gone)?);
    let key = format!("upstream/{hash}");
    let seen: Away = grants.get(&key).await?.ok_or(Trouble::Gone)?;
    // Checked before it is used up: somebody else's browser must not spoil this login (attack A14).
    let browser = cookie(headers, &cookie_name(helseid, &hash)).map(secret_hash);
    let same =
        browser.is_some_and(|browser| equal_secret(browser.as_bytes(), seen.browser.as_bytes()));
    if !same || seen.idp != idp {
        return Err(Trouble::Foreign);
    }
    let away: Away = grants.take(&key).await?.ok_or(Trouble::Gone)?;
    let upstream = inner.upstream(idp).ok_or(Trouble::Gone)?;
    let open: OpenLogin = grants
        .get(&login_key(&away.login))
        .await?
        .ok_or(Trouble::Gone)?;
    let answer = finish(helseid, headers, &upstream, &away, query, &open).await;
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            grants.take::<OpenLogin>(&login_key(&away.login)).await?;
            return Err(Trouble::Back(Box::new(open), error));
        }
    };
    let name = cookie_name(helseid, &hash);
    let path = inner.realm.callback_path();
    if let Some(cleared) = set_cookie(helseid, headers, &name, "", &path, 0) {
        answer
            .headers_mut()
            .append(header::SET_COOKIE, HeaderValue::clone(&cleared));
    }
    Ok(answer)
}

async fn finish(
    helseid: &Helseid,
    headers: &HeaderMap,
    upstream: &Upstream,
    away: &Away,
    query: &Form,
    open: &OpenLogin,
) -> Result<Response<Body>, OAuthError> {
    let inner = &helseid.inner;
    let get = |name: &str| query.get(name).map(str::to_owned);
    let finished = match transport(helseid) {
        Ok(transport) => {
            upstream
                .finish(transport, &away.attempt, get, inner.now_s())
                .await
        }
        Err(error) => Err(error),
    };
    let logged_in = finished.map_err(|error| {
        log_trouble(upstream, &error);
        told(&error)
    })?;
    let config = &upstream.config;
    let login = login_from(
        helseid,
        &logged_in.pid,
        logged_in.level,
        (&config.id, METHOD),
        logged_in.auth_time_s,
    )?;
    upstream_logout::remember(helseid, &config.id, &logged_in, &login.sid).await?;
    if inner.citizens.is_some() {
        citizen::login::may_log_in(helseid, &login)?;
        let session = UpstreamSession {
            idp: config.id.clone(),
            id_token: logged_in.id_token,
        };
        let open = (away.login.as_str(), open);
        return citizen::choose::proceed(helseid, headers, open, login, Some(session)).await;
    }
    // Only one of several answers for the same open login goes on.
    let taken: Option<OpenLogin> = inner.grants().take(&login_key(&away.login)).await?;
    if taken.is_none() {
        return Err(OAuthError::new(
            Code::AccessDenied,
            "the login was already finished in another window",
        ));
    }
    let mut answer = complete(helseid, headers, &open.request, login.clone()).await?;
    let session = UpstreamSession {
        idp: config.id.clone(),
        id_token: logged_in.id_token,
    };
    start_session_at(helseid, headers, &login, Some(session), &mut answer).await?;
    Ok(answer)
}

/// What the client is told: nothing of the provider's own words.
fn told(error: &UpstreamError) -> OAuthError {
    match error {
        UpstreamError::Refused(code) if code == "access_denied" => OAuthError::new(
            Code::AccessDenied,
            "the user cancelled the login at the identity provider",
        ),
        UpstreamError::Refused(_) => OAuthError::new(
            Code::AccessDenied,
            "the identity provider refused the login",
        ),
        UpstreamError::WrongCallback(_) | UpstreamError::IdToken(_) | UpstreamError::UnknownKey => {
            OAuthError::new(
                Code::AccessDenied,
                "the identity provider's answer could not be verified",
            )
        }
        UpstreamError::Unavailable(_) | UpstreamError::Crypto => OAuthError::new(
            Code::TemporarilyUnavailable,
            "the identity provider does not answer; try again in a minute",
        ),
    }
}

struct Words {
    title: &'static str,
    intro: &'static str,
    down: &'static str,
    level: &'static str,
    cancel: &'static str,
}

/// The words by language tag; bokmål for what is not known here.
fn words(language: Language) -> Words {
    match language.tag() {
        "en" => Words {
            title: "Choose how to log in",
            intro: "You are logging in to",
            down: "is not answering. Choose another way, or try again.",
            level: "security level",
            cancel: "Cancel",
        },
        "nn" => Words {
            title: "Vel korleis du vil logge inn",
            intro: "Du loggar inn til",
            down: "svarar ikkje. Vel ein annan måte, eller prøv igjen.",
            level: "tryggleiksnivå",
            cancel: "Avbryt",
        },
        "se" => Words {
            title: "Vállje mo logget sisa",
            intro: "Don logget sisa deike:",
            down: "ii vástit. Vállje eará vuogi dahje geahččal ođđasit.",
            level: "sihkarvuođadássi",
            cancel: "Gaskkalduhte",
        },
        _ => Words {
            title: "Velg hvordan du vil logge inn",
            intro: "Du logger inn til",
            down: "svarer ikke. Velg en annen måte, eller prøv igjen.",
            level: "sikkerhetsnivå",
            cancel: "Avbryt",
        },
    }
}

fn chooser_page(
    helseid: &Helseid,
    id: &str,
    open: &OpenLogin,
    language: Language,
    down: Option<&str>,
) -> Response<Body> {
    let words = words(language);
    let realm = helseid.inner.realm;
    let path = realm.login_path(id);
    let offers = offers(helseid, &open.request);
    let client = helseid.client(&open.request.client_id);
    let client_name = client.as_ref().map_or("", |client| client.name.as_str());
    let down = offers.iter().find(|offer| down == Some(offer.id()));
    let body = html! {
        (bar(realm.brand, language, &format!("{path}/idp")))
        h1 { (words.title) }
        p { (words.intro) " " strong { (client_name) } "." }
        @if let Some(down) = down {
            div.error role="alert" id="error" { strong { (down.name()) } " " (words.down) }
        }
        ul.people {
            @for offer in &offers {
                li {
                    a.choice href={ (path) "/idp/" (offer.id()) } {
                        strong { (offer.name()) }
                        (words.level) " " (offer.highest().security_level())
                    }
                }
            }
        }
        p { a.quiet href={ (path) "/cancel" } { (words.cancel) } }
    };
    Page::new(realm.brand, language, words.title, body).answer()
}
