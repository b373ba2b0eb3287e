//! The HTTP edge: one module per endpoint, and what they share.

pub(crate) mod authorize;
mod check_session;
pub(crate) mod discovery;
pub(crate) mod end_session;
mod exchange;
mod form;
mod introspection;
pub(crate) mod login;
mod logout_notice;
mod page;
pub(crate) mod par;
mod proof;
pub mod self_service;
mod test_tokens;
mod texts;
mod token;
pub(crate) mod upstream;
pub(crate) mod upstream_logout;
mod user_info;

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::routing::{get, post};
use serde_json::{Value, json};

pub(crate) use form::Form;
pub(crate) use introspection::{end_token, own_family};
pub(crate) use page::{Page, bar, error_page, gone_page};
pub(crate) use proof::{Addresses, Authenticated, Endpoints, authenticate, consume};
pub(crate) use texts::Language;
pub(crate) use token::TokenRequest;

use crate::Helseid;
use crate::error::{Code, OAuthError};

/// Paths of the endpoints, relative to the issuer (spec §2).
pub(crate) mod path {
    pub const DISCOVERY: &str = "/.well-known/openid-configuration";
    pub const JWKS: &str = "/.well-known/openid-configuration/jwks";
    pub const EXPIRED_JWKS: &str = "/connect/expiredjwks";
    pub const AVAILABLE_IDPS: &str = "/connect/availableidps";
    pub const PAR: &str = "/connect/par";
    pub const AUTHORIZE: &str = "/connect/authorize";
    pub const TOKEN: &str = "/connect/token";
    pub const USER_INFO: &str = "/connect/userinfo";
    pub const END_SESSION: &str = "/connect/endsession";
    pub const CHECK_SESSION: &str = "/connect/checksession";
    pub const SIGNED_OUT: &str = "/signout/done";
    pub const REVOCATION: &str = "/connect/revocation";
    pub const INTROSPECTION: &str = "/connect/introspect";
}

pub(crate) fn router(helseid: Helseid) -> Router {
    let test_idp = helseid.inner.config.test_idp;
    let mut router = Router::new()
        .route(path::DISCOVERY, get(discovery::metadata))
        .route(path::JWKS, get(discovery::jwks))
        .route(path::EXPIRED_JWKS, get(discovery::expired_jwks))
        .route(path::AVAILABLE_IDPS, get(discovery::available_idps))
        .route(path::PAR, post(par::push))
        .route(path::AUTHORIZE, get(authorize::authorize))
        .route(path::TOKEN, post(token::token))
        .route(
            path::USER_INFO,
            get(user_info::user_info).post(user_info::user_info),
        )
        .route(
            path::END_SESSION,
            get(end_session::ask).post(end_session::act),
        )
        .route(path::CHECK_SESSION, get(check_session::page))
        .route(path::SIGNED_OUT, get(end_session::done))
        .route("/login/{id}/idp", get(upstream::choose))
        .route("/login/{id}/idp/{idp}", get(upstream::go))
        .route("/login/{id}/cancel", get(upstream::cancel))
        .route("/signin/{idp}", get(upstream::callback))
        .route(
            "/signout/backchannel/{idp}",
            post(upstream_logout::back_channel),
        )
        .route(
            "/signout/frontchannel/{idp}",
            get(upstream_logout::front_channel),
        )
        .route(path::REVOCATION, post(introspection::revoke))
        .route(path::INTROSPECTION, post(introspection::introspect));
    // Attack A37: without the test provider its page does not exist at all.
    if test_idp {
        router = router.route("/login/{id}", get(login::show).post(login::submit));
    }
    if test_idp && !helseid.inner.config.test_token_keys.is_empty() {
        for path in [
            "/create-test-token-with-key",
            "/v2/create-test-token-with-key",
        ] {
            router = router.route(path, post(test_tokens::create));
        }
    }
    let router = router
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .with_state(helseid.clone());
    if helseid.inner.limiter.counts_addresses() {
        router.layer(from_fn_with_state(helseid, per_address))
    } else {
        router
    }
}

/// Counts requests that post something, and refusals, per address: the one the listener saw, or what proxies that the
/// operator trusts say about it.
pub(crate) async fn per_address(
    State(helseid): State<Helseid>,
    request: Request<Body>,
    next: Next,
) -> Response<Body> {
    let peer = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map(|ConnectInfo(peer)| peer.ip());
    let Some(peer) = peer.filter(|_| request.method() == Method::POST) else {
        return next.run(request).await;
    };
    let peer = helseid.inner.config.proxies.client(peer, request.headers());
    let (limiter, now_s) = (&helseid.inner.limiter, helseid.inner.now_s());
    if limiter.address(peer, now_s).is_err() {
        return error_answer(&helseid, "limit", &OAuthError::too_many("address"));
    }
    let answer = next.run(request).await;
    let nonce_asked = answer.headers().contains_key("DPoP-Nonce");
    if answer.status().is_client_error() && !nonce_asked {
        limiter.refused(peer, now_s);
    }
    answer
}

async fn not_found() -> Response<Body> {
    let body = json!({ "error": "not_found", "error_description": "no endpoint has this path; discovery lists them" });
    json_answer(StatusCode::NOT_FOUND, &body)
}

pub(crate) async fn wrong_method() -> Response<Body> {
    let body = json!({ "error": "invalid_request", "error_description": "this endpoint does not take that HTTP method" });
    json_answer(StatusCode::METHOD_NOT_ALLOWED, &body)
}

/// A JSON answer that no cache keeps.
pub(crate) fn json_answer(status: StatusCode, body: &Value) -> Response<Body> {
    json_text_answer(status, body.to_string())
}

/// The same of text that is JSON already.
pub(crate) fn json_text_answer(status: StatusCode, body: String) -> Response<Body> {
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    answer
}

/// An error answer. The nonce header goes with `use_dpop_nonce` only: several clients retry whenever they see it.
pub(crate) fn error_answer(
    helseid: &Helseid,
    endpoint: &'static str,
    error: &OAuthError,
) -> Response<Body> {
    metrics::counter!("helseid_errors_total", "endpoint" => endpoint, "error" => error.code.text())
        .increment(1);
    if error.code != Code::UseDpopNonce {
        tracing::info!(endpoint, error = error.code.text(), description = %error.description, "helseid: refused");
    }
    let status = StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let body = json!({ "error": error.code.text(), "error_description": error.description });
    let mut answer = json_answer(status, &body);
    if error.code == Code::TooMany {
        let rest_s = 60 - helseid.inner.now_s().rem_euclid(60);
        answer
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(rest_s));
    }
    if error.code == Code::UseDpopNonce
        && let Ok(nonce) = HeaderValue::from_str(&helseid.inner.current_nonce())
    {
        answer.headers_mut().insert("DPoP-Nonce", nonce);
    }
    answer
}

/// All values of a header that are text.
pub(crate) fn header_values<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers
        .get_all(name)
        .iter()
        .map(|value| value.to_str().unwrap_or_default())
        .collect()
}

/// The value of a cookie, when it has the form of our own (43 base64url characters).
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value)
        .filter(|value| value.len() == 43)
}

/// A `Set-Cookie` value: HttpOnly, SameSite=Lax, Secure unless the browser came over a plain http origin of ours.
pub(crate) fn set_cookie(
    helseid: &Helseid,
    headers: &HeaderMap,
    name: &str,
    value: &str,
    path: &str,
    max_age_s: i64,
) -> Option<HeaderValue> {
    let secure = if is_plain(helseid, headers) {
        ""
    } else {
        "; Secure"
    };
    let text =
        format!("{name}={value}; Path={path}; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::from_str(&text).ok()
}

/// Whether the browser came over a plain http origin of ours.
pub(crate) fn is_plain(helseid: &Helseid, headers: &HeaderMap) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let origins = &helseid.inner.config.extra_origins;
    host.is_some_and(|host| {
        origins
            .iter()
            .any(|origin| origin.strip_prefix("http://") == Some(host))
    })
}

/// A redirect that keeps the browser from posting again.
pub(crate) fn see_other(location: &str) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    let headers = answer.headers_mut();
    if let Ok(location) = HeaderValue::from_str(location) {
        headers.insert(header::LOCATION, location);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    answer
}
