//! Logout that begins at an identity provider outside (spec §13): it tells us over the back channel with a signed logout
//! token (OpenID Connect Back-Channel Logout 1.0), or over the front channel by framing our address (Front-Channel Logout
//! 1.0). Our logins that came from that session end, with their refresh tokens, and our own clients are told in turn.
//!
//! The front channel proves nothing but that somebody knows the provider's session id, which nobody can guess; without one
//! it ends nothing. Our cookie does not come with a frame of another site, so the id is all there is to go by.

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{Request, Response, StatusCode};
use jose::encoding::{b64url, sha256};
use serde_json::json;

use super::form::Form;
use super::logout_notice;
use super::page::Page;
use super::texts::Language;
use super::upstream::{log_trouble, transport};
use super::{error_answer, json_answer};
use crate::Helseid;
use crate::error::{Code, OAuthError};
use crate::idp::{LoggedIn, Upstream};
use crate::rules::redirect::form_action_source;

/// Most logins of ours that hang on one session or one person at a provider.
const MAX_LOGINS: usize = 32;
/// Attempts at a list that others are changing at the same moment.
const ATTEMPTS: usize = 8;

/// Place of the list of our logins: by the provider's session, or by its name for the person.
fn key(idp: &str, kind: &str, value: &str) -> String {
    let hash = b64url(&sha256(format!("{idp}\0{kind}\0{value}").as_bytes()));
    format!("upstream-logins/{hash}")
}

/// Remembers which session at the provider a login of ours came from.
pub async fn remember(
    helseid: &Helseid,
    idp: &str,
    logged_in: &LoggedIn,
    sid: &str,
) -> Result<(), OAuthError> {
    let session = logged_in.sid.as_deref().map(|value| ("sid", value));
    let person = logged_in.subject.as_deref().map(|value| ("sub", value));
    for (kind, value) in [session, person].into_iter().flatten() {
        add(helseid, &key(idp, kind, value), sid).await?;
    }
    Ok(())
}

async fn add(helseid: &Helseid, key: &str, sid: &str) -> Result<(), OAuthError> {
    let inner = &helseid.inner;
    let grants = inner.grants();
    let expires_s = inner.now_s() + inner.config.session_s;
    for _ in 0..ATTEMPTS {
        let known: Option<Vec<String>> = grants.get(key).await?;
        let Some(known) = known else {
            let first = serde_json::to_vec(&[sid]).map_err(|_| OAuthError::internal())?;
            if grants.0.put_new(key, first, expires_s).await? {
                return Ok(());
            }
            continue;
        };
        let mut next = known.clone();
        next.push(sid.to_owned());
        // The oldest is the first to be over anyway.
        let excess = next.len().saturating_sub(MAX_LOGINS);
        next.drain(..excess);
        if grants.replace(key, &known, &next, expires_s).await? {
            return Ok(());
        }
    }
    Err(OAuthError::new(
        Code::TemporarilyUnavailable,
        "too many logins of this person at once; try again in a moment",
    ))
}

/// Ends the logins of a list; gives the addresses that a browser has to frame.
async fn end(helseid: &Helseid, key: &str) -> Result<Vec<String>, OAuthError> {
    let inner = &helseid.inner;
    let sids: Option<Vec<String>> = inner.grants().take(key).await?;
    let mut frames = Vec::new();
    for sid in sids.unwrap_or_default() {
        if inner.session_ended(&sid).await? {
            continue;
        }
        inner.mark_session_ended(&sid).await?;
        frames.extend(logout_notice::tell(helseid, &sid).await?);
    }
    Ok(frames)
}

fn count(idp: &Upstream, channel: &'static str) {
    let idp = idp.config.id.clone();
    metrics::counter!("helseid_upstream_logouts_total", "idp" => idp, "channel" => channel)
        .increment(1);
}

/// `POST /signout/backchannel/{idp}`: the provider tells us.
pub async fn back_channel(
    State(helseid): State<Helseid>,
    Path(idp): Path<String>,
    request: Request<Body>,
) -> Response<Body> {
    match told(&helseid, &idp, request).await {
        Ok(()) => json_answer(StatusCode::OK, &json!({})),
        Err(error) => error_answer(&helseid, "upstream-logout", &error),
    }
}

async fn told(helseid: &Helseid, idp: &str, request: Request<Body>) -> Result<(), OAuthError> {
    let inner = &helseid.inner;
    let (_, form) = Form::read(request).await?;
    let token = form.required("logout_token")?;
    let upstream = inner
        .upstream(idp)
        .ok_or_else(|| OAuthError::request("no identity provider has this id"))?;
    let transport = transport(helseid).map_err(|_| OAuthError::internal())?;
    let notice = upstream
        .read_logout(transport, token, inner.now_s())
        .await
        .map_err(|error| {
            log_trouble(&upstream, &error);
            OAuthError::request("logout_token: it could not be verified")
        })?;
    let mark = jose::dpop::replay_key("upstream-logout", idp, &notice.jti);
    let marks = [(mark, notice.remember_until_s)];
    if inner.state.mark_all(&marks).await?.is_some() {
        return Err(OAuthError::request("logout_token: it came before"));
    }
    // A session id says exactly which; the person alone means all of them.
    let list = match (&notice.sid, &notice.subject) {
        (Some(sid), _) => key(idp, "sid", sid),
        (None, Some(subject)) => key(idp, "sub", subject),
        (None, None) => return Ok(()),
    };
    // Without a browser nobody frames: clients that only know the front channel learn it from their next refresh.
    end(helseid, &list).await?;
    count(&upstream, "back");
    Ok(())
}

/// `GET /signout/frontchannel/{idp}?iss=…&sid=…`: the provider's page frames this address.
pub async fn front_channel(
    State(helseid): State<Helseid>,
    Path(idp): Path<String>,
    RawQuery(query): RawQuery,
) -> Response<Body> {
    let query = Form::parse(query.unwrap_or_default().as_bytes()).unwrap_or_default();
    let Some(upstream) = helseid.inner.upstream(&idp) else {
        let error = OAuthError::request("no identity provider has this id");
        return error_answer(&helseid, "upstream-logout", &error);
    };
    let is_from = query.get("iss") == Some(&upstream.config.issuer);
    let ended = match query.get("sid").filter(|_| is_from) {
        Some(sid) => end(&helseid, &key(&idp, "sid", sid)).await,
        None => Ok(Vec::new()),
    };
    match ended {
        Ok(frames) => {
            count(&upstream, "front");
            framed(&helseid, &upstream, &frames)
        }
        Err(error) => error_answer(&helseid, "upstream-logout", &error),
    }
}

/// An empty page that the provider may frame, and that frames our clients in turn.
fn framed(helseid: &Helseid, upstream: &Upstream, frames: &[String]) -> Response<Body> {
    let body = maud::html! {
        @for frame in frames {
            iframe src=(frame) title="" width="0" height="0" hidden {}
        }
    };
    let language = Language::Bokmal;
    let title = language.texts().signed_out;
    let mut page = Page::new(helseid.inner.realm.brand, language, title, body);
    let source = |uri: &String| form_action_source(uri);
    page.frames = frames.iter().filter_map(source).collect();
    page.framed_by = form_action_source(&upstream.config.issuer);
    page.answer()
}
