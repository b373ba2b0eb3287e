//! Logout started by a client (spec §13): ends the session at the issuer and the refresh tokens that hang on it.

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use jose::Claims;
use jose::jws::{Compact, MAX_COMPACT_BYTES};
use maud::html;
use url::form_urlencoded;

use super::authorize::SESSION_COOKIE;
use super::form::Form;
use super::page::{Page, error_page};
use super::texts::Language;
use super::{cookie, see_other, set_cookie};
use crate::Helseid;
use crate::error::OAuthError;
use crate::grants::{Session, secret_hash};

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
    let language = Language::choose(None, headers);
    let result = match parameters {
        Ok(form) => log_out(helseid, headers, &form, own_button, language).await,
        Err(error) => Err(error),
    };
    result.unwrap_or_else(|error| error_page(language, StatusCode::BAD_REQUEST, &error.to_string()))
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
    let Some(hint) = hint else {
        return if confirmed {
            end_session(helseid, headers, None).await?;
            Ok(cleared(helseid, headers, signed_out_page(language)))
        } else {
            Ok(question_page(language))
        };
    };
    let target = form.get("post_logout_redirect_uri");
    let client = helseid.client(&hint.client_id);
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
    end_session(helseid, headers, hint.sid.as_deref()).await?;
    let answer = match target {
        Some(uri) => see_other(&with_state(uri, form.get("state"))),
        None => signed_out_page(language),
    };
    Ok(cleared(helseid, headers, answer))
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
    // An access token has client_id, an ID token has not.
    if claims.0.contains_key("client_id")
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
) -> Result<(), OAuthError> {
    let inner = &helseid.inner;
    if let Some(secret) = cookie(headers, SESSION_COOKIE) {
        let key = format!("session/{}", secret_hash(secret));
        let session: Option<Session> = inner.grants().take(&key).await?;
        if let Some(session) = session {
            inner.mark_session_ended(&session.login.sid).await?;
        }
    }
    match sid {
        Some(sid) => inner.mark_session_ended(sid).await,
        None => Ok(()),
    }
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
    if let Some(cookie) = set_cookie(helseid, headers, SESSION_COOKIE, "", "/", 0) {
        answer
            .headers_mut()
            .append(header::SET_COOKIE, HeaderValue::clone(&cookie));
    }
    answer
}

fn question_page(language: Language) -> Response<Body> {
    let texts = language.texts();
    let body = html! {
        h1 { (texts.sign_out_question) }
        form method="post" action=(super::path::END_SESSION) {
            input type="hidden" name="confirm" value="1";
            button type="submit" { (texts.sign_out) }
        }
    };
    Page::new(language, texts.sign_out, body).answer()
}

fn signed_out_page(language: Language) -> Response<Body> {
    let texts = language.texts();
    let body = html! {
        h1 { (texts.signed_out) }
        p { (texts.signed_out_help) }
    };
    Page::new(language, texts.signed_out, body).answer()
}
