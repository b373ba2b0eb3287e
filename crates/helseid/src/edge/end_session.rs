//! Logout started by a client (spec §13): ends the session at the issuer and the refresh tokens that hang on it.

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use jose::Claims;
use jose::encoding::random_b64url;
use jose::jws::{Compact, MAX_COMPACT_BYTES};
use maud::html;
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use super::form::Form;
use super::page::{Page, bar, error_page};
use super::texts::Language;
use super::{check_session, cookie, logout_notice, see_other, set_cookie};
use crate::Helseid;
use crate::error::OAuthError;
use crate::grants::{LOGIN_S, Session, UpstreamSession, secret_hash};
use crate::realm::Realm;
use crate::rules::redirect::form_action_source;

/// `GET /connect/endsession`: at once with a valid `id_token_hint`, otherwise after asking.
pub async fn ask(
    State(helseid): State<Helseid>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    let parameters = Form::parse(query.unwrap_or_default().as_bytes());
    respond(&helseid, &headers, parameters, false).await
}

/// `POST /connect/endsession`: the same from a form, and the page's own button.
pub async fn act(State(helseid): State<Helseid>, request: Request<Body>) -> Response<Body> {
    let (headers, parameters) = match Form::read(request).await {
        Ok((headers, form)) => (headers, Ok(form)),
        Err(error) => (HeaderMap::new(), Err(error)),
    };
    let own_button = helseid.inner.origins().any(|own| {
        headers
            .get(header::ORIGIN)
            .is_some_and(|origin| origin == own)
    });
    respond(&helseid, &headers, parameters, own_button).await
}

async fn respond(
    helseid: &Helseid,
    headers: &HeaderMap,
    parameters: Result<Form, OAuthError>,
    own_button: bool,
) -> Response<Body> {
    let asked = |name| parameters.as_ref().ok().and_then(|form| form.get(name));
    let language = Language::choose_for(asked("lang"), asked("ui_locales"), headers);
    let result = match parameters {
        Ok(form) => log_out(helseid, headers, &form, own_button, language).await,
        Err(error) => Err(error),
    };
    result.unwrap_or_else(|error| {
        error_page(
            helseid.inner.realm.brand,
            language,
            StatusCode::BAD_REQUEST,
            &error.to_string(),
        )
    })
}

/// What a valid `id_token_hint` says.
struct Hint {
    client_id: String,
    sid: Option<String>,
}

async fn log_out(
    helseid: &Helseid,
    headers: &HeaderMap,
    form: &Form,
    own_button: bool,
    language: Language,
) -> Result<Response<Body>, OAuthError> {
    let hint = form
        .get("id_token_hint")
        .map(|hint| read_hint(helseid, hint))
        .transpose()?;
    if let (Some(hint), Some(client_id)) = (&hint, form.get("client_id"))
        && hint.client_id != client_id
    {
        return Err(OAuthError::request(
            "client_id differs from the id_token_hint's",
        ));
    }
    // Without a hint another page may have sent the browser here, so the user is asked first.
    let confirmed = own_button && form.get("confirm").is_some();
    if hint.is_none() && !confirmed {
        return Ok(question_page(helseid.inner.realm, language));
    }
    let target = form
        .get("post_logout_redirect_uri")
        .filter(|_| hint.is_some());
    let client = hint
        .as_ref()
        .and_then(|hint| helseid.client(&hint.client_id));
    let registered = |uri: &str| {
        client.as_ref().is_some_and(|client| {
            client
                .post_logout_redirect_uris
                .iter()
                .any(|one| one == uri)
        })
    };
    if target.is_some_and(|uri| !registered(uri)) {
        return Err(OAuthError::request(
            "post_logout_redirect_uri is not one of those registered for the client",
        ));
    }
    let sid = hint.as_ref().and_then(|hint| hint.sid.as_deref());
    let ended = end_session(helseid, headers, sid).await?;
    let target = target.map(|uri| with_state(uri, form.get("state")));
    let onward = match upstream_logout(helseid, headers, &ended, target.as_deref()).await? {
        Some(upstream) => Some(upstream),
        None => target,
    };
    let answer = match onward {
        Some(uri) if ended.frames.is_empty() => see_other(&uri),
        onward => signed_out_page(helseid.inner.realm, language, &ended.frames, onward),
    };
    Ok(cleared(helseid, headers, answer))
}

/// What was ended, and who is still to be told.
#[derive(Default)]
struct Ended {
    /// Addresses of clients to be told by the browser.
    frames: Vec<String>,
    /// The session at an identity provider outside.
    upstream: Option<UpstreamSession>,
}

/// Where a browser goes on to after it has logged out at the identity provider too.
#[derive(Serialize, Deserialize)]
struct Onward {
    target: Option<String>,
}

/// The address that logs the browser out at the identity provider it came from, if that is possible.
async fn upstream_logout(
    helseid: &Helseid,
    headers: &HeaderMap,
    ended: &Ended,
    target: Option<&str>,
) -> Result<Option<String>, OAuthError> {
    let inner = &helseid.inner;
    let Some(session) = &ended.upstream else {
        return Ok(None);
    };
    let Some(upstream) = inner.upstream(&session.idp) else {
        return Ok(None);
    };
    let state = random_b64url::<32>()?;
    let back = format!(
        "{}{}",
        super::upstream::browser_origin(helseid, headers),
        helseid.inner.realm.signed_out
    );
    let Some(url) = upstream.end_session_url(&session.id_token, &back, &state) else {
        return Ok(None);
    };
    let onward = Onward {
        target: target.map(str::to_owned),
    };
    let key = format!("signed-out/{}", secret_hash(&state));
    inner
        .grants()
        .put(&key, &onward, inner.now_s() + LOGIN_S)
        .await?;
    Ok(Some(url))
}

/// `GET /signout/done`: back from the identity provider.
pub async fn done(
    State(helseid): State<Helseid>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    let language = Language::choose(None, &headers);
    let query = Form::parse(query.unwrap_or_default().as_bytes()).unwrap_or_default();
    let key = format!(
        "signed-out/{}",
        secret_hash(query.get("state").unwrap_or_default())
    );
    let onward = helseid.inner.grants().take::<Onward>(&key).await;
    match onward.ok().flatten().and_then(|onward| onward.target) {
        Some(target) => see_other(&target),
        None => signed_out_page(helseid.inner.realm, language, &[], None),
    }
}

/// An ID token of ours, expired or not.
fn read_hint(helseid: &Helseid, hint: &str) -> Result<Hint, OAuthError> {
    let wrong = || OAuthError::request("id_token_hint is not an ID token of this issuer");
    let compact = Compact::parse(hint, MAX_COMPACT_BYTES).map_err(|_| wrong())?;
    let kid = compact.kid.as_deref().ok_or_else(wrong)?;
    let key = helseid
        .inner
        .secrets
        .with_ring(|ring| ring.find(kid).cloned())
        .ok_or_else(wrong)?;
    compact.verify(&key).map_err(|_| wrong())?;
    let claims = Claims::parse(&compact.payload).map_err(|_| wrong())?;
    let text = |name| claims.text(name).ok().flatten().map(str::to_owned);
    // Neither an access token nor a logout token of ours will do: the first has client_id, the second events.
    let other = ["client_id", "events"]
        .iter()
        .any(|name| claims.0.contains_key(*name));
    if other
        || !compact.is_typ(&["JWT"])
        || text("iss").as_deref() != Some(&helseid.inner.config.issuer)
    {
        return Err(wrong());
    }
    Ok(Hint {
        client_id: text("aud").ok_or_else(wrong)?,
        sid: text("sid"),
    })
}

async fn end_session(
    helseid: &Helseid,
    headers: &HeaderMap,
    sid: Option<&str>,
) -> Result<Ended, OAuthError> {
    let inner = &helseid.inner;
    let mut ended = Ended::default();
    let mut sids: Vec<String> = sid.map(str::to_owned).into_iter().collect();
    if let Some(secret) = cookie(headers, helseid.inner.realm.session_cookie) {
        let key = format!("session/{}", secret_hash(secret));
        let session: Option<Session> = inner.grants().take(&key).await?;
        if let Some(session) = session {
            ended.upstream = session.upstream;
            if sid != Some(&session.login.sid) {
                sids.push(session.login.sid);
            }
        }
    }
    for sid in sids {
        inner.mark_session_ended(&sid).await?;
        ended
            .frames
            .extend(logout_notice::tell(helseid, &sid).await?);
    }
    Ok(ended)
}

fn with_state(uri: &str, state: Option<&str>) -> String {
    let Some(state) = state else {
        return uri.to_owned();
    };
    let separator = if uri.contains('?') { '&' } else { '?' };
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("state", state)
        .finish();
    format!("{uri}{separator}{query}")
}

fn cleared(helseid: &Helseid, headers: &HeaderMap, mut answer: Response<Body>) -> Response<Body> {
    if let Some(cookie) = set_cookie(
        helseid,
        headers,
        helseid.inner.realm.session_cookie,
        "",
        "/",
        0,
    ) {
        answer
            .headers_mut()
            .append(header::SET_COOKIE, HeaderValue::clone(&cookie));
    }
    check_session::remember(helseid, headers, None, &mut answer);
    answer
}

fn question_page(realm: &Realm, language: Language) -> Response<Body> {
    let texts = language.texts();
    let body = html! {
        (bar(realm.brand, language, realm.end_session))
        h1 { (texts.sign_out_question) }
        form.gap method="post" action=(realm.end_session) {
            input type="hidden" name="confirm" value="1";
            input type="hidden" name="lang" value=(language.tag());
            button type="submit" { (texts.sign_out) }
        }
    };
    Page::new(realm.brand, language, texts.sign_out, body).answer()
}

/// The last page. Frames tell clients over the front channel; the browser then goes on by itself.
fn signed_out_page(
    realm: &Realm,
    language: Language,
    frames: &[String],
    onward: Option<String>,
) -> Response<Body> {
    let texts = language.texts();
    let body = html! {
        div.bar { span.brand { (realm.brand) } }
        h1 { (texts.signed_out) }
        @if let Some(onward) = &onward {
            p { a href=(onward) { (texts.continue_) } }
        } @else {
            p { (texts.signed_out_help) }
        }
        @for frame in frames {
            iframe src=(frame) title="" width="0" height="0" hidden {}
        }
    };
    let mut page = Page::new(realm.brand, language, texts.signed_out, body);
    page.frames = frames
        .iter()
        .filter_map(|uri| form_action_source(uri))
        .collect();
    page.onward = onward;
    page.answer()
}
