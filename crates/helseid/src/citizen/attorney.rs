//! The power of attorney behind a login as a signed token of its own: `POST …/personvern/FullmaktToken/v1`.
//!
//! The national form of request and answer is not published; this is ours (docs/helseid.md): called with a citizen's access
//! token, it says who may act for whom, on what ground and in which areas, to the client that asked.

use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use edge::Problem;
use edge::listen::PeerCertificate;
use jose::Claims;
use jose::encoding::equal_secret;
use jose::rs::AccessToken;
use serde_json::json;

use super::endpoints::live;
use super::{Ground, RIGHT_ATTORNEY, RIGHT_PID, caller, choose, tokens};
use crate::Helseid;
use crate::edge::{header_values, json_answer};
use crate::error::OAuthError;
use crate::issue::new_id;
use crate::rules::claims::Login;

/// Life of the token, seconds.
const TOKEN_S: i64 = 300;
const TYP: &str = "fullmakt+jwt";

/// Why there is no token.
enum Refusal {
    /// 401 with what is wrong.
    Token(&'static str),
    Scope,
    NoAttorney,
    Ours(OAuthError),
}

impl From<OAuthError> for Refusal {
    fn from(error: OAuthError) -> Self {
        Self::Ours(error)
    }
}

impl From<jose::state::StateError> for Refusal {
    fn from(error: jose::state::StateError) -> Self {
        Self::Ours(error.into())
    }
}

/// `POST /personvern/FullmaktToken/v1`.
pub(super) async fn token(
    State(helseid): State<Helseid>,
    request: Request<Body>,
) -> Response<Body> {
    let (parts, _) = request.into_parts();
    match make(&helseid, &parts).await {
        Ok(token) => json_answer(
            StatusCode::OK,
            &json!({ "fullmaktToken": token, "expires_in": TOKEN_S }),
        ),
        Err(refusal) => refused(&refusal),
    }
}

async fn make(helseid: &Helseid, request: &Parts) -> Result<String, Refusal> {
    let inner = &helseid.inner;
    let token = presented(helseid, request).await?;
    if !token.has_scope(RIGHT_ATTORNEY) {
        return Err(Refusal::Scope);
    }
    let sid = token.sid().unwrap_or_default();
    let client_id = token.client_id().unwrap_or_default();
    let login: Option<Login> = inner.grants().get(&format!("login-of/{sid}")).await?;
    let login = login.ok_or(Refusal::Token("the login has ended"))?;
    let Some(giver) = &login.represents else {
        return Err(Refusal::NoAttorney);
    };
    let areas = match choose::ground(helseid, &login.pid, giver).await? {
        Some(ground @ Ground::Attorney(_)) => ground,
        Some(Ground::Assigned) => Ground::Assigned,
        Some(Ground::Parent) | None => return Err(Refusal::NoAttorney),
    };
    let subject = |pid: &str| tokens::pairwise(&inner.secrets.subject_key, client_id, pid);
    let now_s = inner.now_s();
    let mut claims = Claims::default();
    claims
        .set("iss", inner.config.issuer.as_str())
        .set("aud", client_id)
        .set("iat", now_s)
        .set("nbf", now_s)
        .set("exp", now_s + TOKEN_S)
        .set("jti", new_id()?)
        .set("sub", subject(giver));
    let mut act = json!({ "sub": subject(&login.pid), "relation": areas.relation() });
    if token.has_scope(RIGHT_PID) {
        claims.set("pid", giver.as_str());
        if let Some(act) = act.as_object_mut() {
            act.insert("pid".to_owned(), login.pid.as_str().into());
        }
    }
    claims.set("act", act);
    if let Ground::Attorney(areas) = &areas {
        claims.set("areas", json!(areas));
    }
    Ok(inner.sign(TYP, &claims)?)
}

/// The citizen's access token of a request: live, and presented by the instance it is bound to.
async fn presented(helseid: &Helseid, request: &Parts) -> Result<AccessToken, Refusal> {
    let values = header_values(&request.headers, "Authorization");
    let text = match values.as_slice() {
        [one] => one
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"))
            .map(|(_, token)| token.trim_start_matches(' ')),
        _ => None,
    };
    let text = text.ok_or(Refusal::Token(
        "send one Authorization header: Bearer and a citizen's access token",
    ))?;
    let token = live(helseid, text).await?.ok_or(Refusal::Token(
        "the token is not a live access token of the citizens' issuer",
    ))?;
    let bound = token
        .claims
        .0
        .get("cnf")
        .and_then(|cnf| cnf.get("x5t#S256"))
        .and_then(serde_json::Value::as_str);
    if let Some(bound) = bound {
        let now_s = helseid.inner.now_s();
        let shown = request
            .extensions
            .get::<PeerCertificate>()
            .and_then(|certificate| caller::instance(&certificate.0, now_s).ok());
        if !shown.is_some_and(|shown| equal_secret(shown.as_bytes(), bound.as_bytes())) {
            return Err(Refusal::Token(
                "the token is bound to a certificate: call over the listener that asks for certificates, with the instance's own",
            ));
        }
    }
    Ok(token)
}

fn refused(refusal: &Refusal) -> Response<Body> {
    let (status, code, title, detail, challenge) = match refusal {
        Refusal::Token(detail) => (
            StatusCode::UNAUTHORIZED,
            "invalid-token",
            "The request is not authorised.",
            *detail,
            Some("Bearer error=\"invalid_token\""),
        ),
        Refusal::Scope => (
            StatusCode::FORBIDDEN,
            "insufficient-scope",
            "The client has not the right to this.",
            "its registration lacks nhn:helsenorge/fullmakt/read",
            Some("Bearer error=\"insufficient_scope\""),
        ),
        Refusal::NoAttorney => (
            StatusCode::NOT_FOUND,
            "no-power-of-attorney",
            "No power of attorney stands behind this login.",
            "the citizen acts for herself, or as a parent",
            None,
        ),
        Refusal::Ours(error) => {
            tracing::error!(%error, "helsenorge: a power of attorney could not be looked up");
            return Problem::unavailable().into_response();
        }
    };
    let mut answer = Problem::new(status, code, title)
        .with_detail(detail)
        .into_response();
    if let Some(challenge) = challenge {
        answer.headers_mut().insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static(challenge),
        );
    }
    answer
}
