//! The session iframe (OpenID Connect Session Management 1.0, spec §2): a client's page asks whether this browser is still
//! logged in as it was, without a request to anybody.
//!
//! At login the client gets `session_state`: a salted hash over its id, its origin and a value that the browser keeps in
//! a cookie for our script. The iframe makes the same hash for whoever asks, with the origin that the browser names. The
//! cookie opens nothing, and who has no `session_state` for its own origin learns nothing.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Response, header};
use jose::encoding::{b64url, hmac_sha256, random_b64url, sha256};
use maud::html;
use url::Url;

use super::is_plain;
use super::page::Page;
use super::texts::Language;
use crate::Helseid;
use crate::error::OAuthError;
use crate::rules::claims::Login;

/// The cookie that our script reads.
const COOKIE: &str = "helseid.state";

const SCRIPT: &str = r#"addEventListener('message', async (event) => {
  const answer = (word) => event.source.postMessage(word, event.origin);
  const text = typeof event.data === 'string' ? event.data : '';
  const cut = text.lastIndexOf(' ');
  const [state, client] = [text.slice(cut + 1), text.slice(0, Math.max(cut, 0))];
  if (!client || !/^[\w-]{43}\.[\w-]{22}$/.test(state)) return answer('error');
  const kept = document.cookie.split('; ').find((one) => one.startsWith('helseid.state='));
  if (!kept) return answer('changed');
  const salt = state.slice(44);
  const bytes = new TextEncoder().encode([client, event.origin, kept.slice(14), salt].join(' '));
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  const hash = btoa(String.fromCharCode(...digest)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  answer(state === `${hash}.${salt}` ? 'unchanged' : 'changed');
});"#;

/// `GET /connect/checksession`: a page without content, made to be framed by clients.
pub async fn page(State(helseid): State<Helseid>, headers: HeaderMap) -> Response<Body> {
    let language = Language::choose(None, &headers);
    let brand = helseid.inner.realm.brand;
    let mut page = Page::new(brand, language, brand, html! {});
    page.script = Some(SCRIPT);
    // Clients are everywhere; there is nothing on the page to be clicked or read.
    page.framed_by = Some("*".to_owned());
    page.answer()
}

/// What the browser of a login keeps: it changes with the login, and says nothing about it.
fn kept(helseid: &Helseid, login: &Login) -> String {
    let said = format!("session state {}", login.sid);
    b64url(&hmac_sha256(
        &helseid.inner.secrets.subject_key,
        said.as_bytes(),
    ))
}

/// `session_state` for a client; `None` where no page of it can ask: citizens' issuer, native applications.
pub fn session_state(
    helseid: &Helseid,
    login: &Login,
    client_id: &str,
    redirect_uri: &str,
) -> Result<Option<String>, OAuthError> {
    let origin = Url::parse(redirect_uri).ok().map(|url| url.origin());
    let Some(origin) = origin.filter(url::Origin::is_tuple) else {
        return Ok(None);
    };
    if helseid.inner.citizens.is_some() {
        return Ok(None);
    }
    let salt = random_b64url::<16>()?;
    let origin = origin.ascii_serialization();
    let said = format!("{client_id} {origin} {} {salt}", kept(helseid, login));
    Ok(Some(format!("{}.{salt}", b64url(&sha256(said.as_bytes())))))
}

/// Gives the browser what its session iframe compares with, or takes it away.
pub fn remember(
    helseid: &Helseid,
    headers: &HeaderMap,
    login: Option<&Login>,
    answer: &mut Response<Body>,
) {
    if helseid.inner.citizens.is_some() {
        return;
    }
    let value = login.map(|login| kept(helseid, login)).unwrap_or_default();
    let life_s = login.map_or(0, |_| helseid.inner.browser_session_s());
    // The iframe stands in pages of other sites; without TLS browsers keep no such cookie.
    let site = if is_plain(helseid, headers) {
        ""
    } else {
        "; SameSite=None; Secure"
    };
    let cookie = format!("{COOKIE}={value}; Path=/; Max-Age={life_s}{site}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
}
