//! UserInfo (spec §12): who is logged in, for the client that logged them in.

use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use jose::rs::{Presented, Requirement, RsError, Scheme};
use serde_json::{Value, json};

use super::{header_values, json_answer};
use crate::Helseid;
use crate::error::OAuthError;
use crate::rules::claims::{self, Login};

/// `GET` and `POST /connect/userinfo`.
pub async fn user_info(State(helseid): State<Helseid>, request: Request<Body>) -> Response<Body> {
    let (parts, _) = request.into_parts();
    match answer(&helseid, &parts).await {
        Ok(Ok(body)) => json_answer(StatusCode::OK, &body),
        Ok(Err(refused)) => refusal(&helseid, &refused),
        Err(error) => super::error_answer(&helseid, "userinfo", &error),
    }
}

async fn answer(helseid: &Helseid, request: &Parts) -> Result<Result<Value, RsError>, OAuthError> {
    let inner = &helseid.inner;
    let presented = Presented {
        method: request.method.as_str(),
        path: request.uri.path(),
        authorization: &header_values(&request.headers, "Authorization"),
        dpop: &header_values(&request.headers, "DPoP"),
        now_s: inner.now_s(),
    };
    let scheme = if inner.config.userinfo_bearer {
        Scheme::DpopOrBoundBearer
    } else {
        Scheme::Dpop
    };
    let requirement = Requirement {
        scheme,
        ..Requirement::scope(&["openid"])
    };
    let token = match inner.own_checker().check(&presented, &requirement) {
        Ok(token) => token,
        Err(refused) => return Ok(Err(refused)),
    };
    let (Some(sid), Some(jti)) = (token.sid(), token.jti()) else {
        return Ok(Err(RsError::NoUser));
    };
    if inner.session_ended(sid).await? || inner.is_revoked(jti).await? {
        return Ok(Err(RsError::Revoked));
    }
    let login: Option<Login> = inner.grants().get(&format!("login-of/{sid}")).await?;
    let Some(login) = login else {
        return Ok(Err(RsError::Revoked));
    };
    let user = inner.user(&login)?;
    let subject = inner.subject(&login.pid);
    let scopes = token.scopes();
    let info = claims::user_info(
        &login,
        &user,
        &subject,
        &scopes,
        inner.now_s(),
        inner.today(),
    );
    Ok(Ok(Value::Object(info.0)))
}

fn refusal(helseid: &Helseid, error: &RsError) -> Response<Body> {
    metrics::counter!("helseid_errors_total", "endpoint" => "userinfo", "error" => error.code())
        .increment(1);
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::UNAUTHORIZED);
    let body = json!({ "error": error.code(), "error_description": error.to_string() });
    let mut answer = json_answer(status, &body);
    let challenge = error.www_authenticate(helseid.inner.own_checker().algs());
    if let Ok(challenge) = HeaderValue::from_str(&challenge) {
        answer
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, challenge);
    }
    answer
}
