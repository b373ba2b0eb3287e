//! The endpoints that clients post to: PAR, token, extend, introspect, revoke. The order of checks is HelseID's.

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response, StatusCode};
use jose::rs::AccessToken;
use serde_json::{Map, Value, json};

use super::authorize::still_holds;
use super::caller::Caller;
use super::request::{Came, check};
use super::{path, registrations};
use crate::Helseid;
use crate::edge::{Form, TokenRequest, end_token, error_answer, json_answer, own_family, par};
use crate::error::{Code, OAuthError};
use crate::grants::Family;
use crate::rules::claims::Login;
use crate::rules::structures::Structures;

/// A checked request: who calls, and with what.
async fn read(
    helseid: &Helseid,
    request: Request<Body>,
    path: &'static str,
) -> Result<(Caller, Form), OAuthError> {
    let extensions = request.extensions().clone();
    let (_, form) = Form::read(request).await?;
    let caller = Caller::identify(helseid, &form, &extensions, path)?;
    Ok((caller, form))
}

fn answered(
    helseid: &Helseid,
    endpoint: &'static str,
    status: StatusCode,
    result: Result<Value, OAuthError>,
) -> Response<Body> {
    match result {
        Ok(body) => json_answer(status, &body),
        Err(error) => error_answer(helseid, endpoint, &error),
    }
}

/// `POST …/par`.
pub(super) async fn push(State(helseid): State<Helseid>, request: Request<Body>) -> Response<Body> {
    let result = accept(&helseid, request).await;
    answered(&helseid, "citizen-par", StatusCode::CREATED, result)
}

async fn accept(helseid: &Helseid, request: Request<Body>) -> Result<Value, OAuthError> {
    let (caller, form) = read(helseid, request, path::PAR).await?;
    if form.get("request_uri").is_some() {
        return Err(OAuthError::request("request_uri cannot be pushed"));
    }
    let pushed = check(helseid, &caller.client, &form, Came::Pushed(&caller))?;
    caller.consume(helseid).await?;
    par::keep(helseid, &pushed).await
}

/// `POST …/token`.
pub(super) async fn token(
    State(helseid): State<Helseid>,
    request: Request<Body>,
) -> Response<Body> {
    let result = redeem(&helseid, request).await.map(Value::Object);
    answered(&helseid, "citizen-token", StatusCode::OK, result)
}

async fn redeem(
    helseid: &Helseid,
    request: Request<Body>,
) -> Result<Map<String, Value>, OAuthError> {
    let (caller, form) = read(helseid, request, path::TOKEN).await?;
    let grant_type = form.required("grant_type")?;
    caller.consume(helseid).await?;
    let request = with(helseid, &caller, &form);
    let (label, body) = match grant_type {
        "authorization_code" => ("authorization_code", request.authorization_code().await),
        "refresh_token" => ("refresh_token", request.refresh_token().await),
        _ => {
            return Err(OAuthError::new(
                Code::UnsupportedGrantType,
                "grant_type must be authorization_code or refresh_token",
            ));
        }
    };
    if body.is_ok() {
        metrics::counter!("citizen_tokens_total", "grant" => label).increment(1);
    }
    body
}

fn with<'a>(helseid: &'a Helseid, caller: &'a Caller, form: &'a Form) -> TokenRequest<'a> {
    TokenRequest {
        helseid,
        form,
        client: &caller.client,
        jkt: None,
        certificate: caller.certificate.as_deref(),
        structures: Structures::default(),
    }
}

/// `POST …/extend`: a refresh token lives on for half an hour from now, at most until the login ends (own).
pub(super) async fn extend(
    State(helseid): State<Helseid>,
    request: Request<Body>,
) -> Response<Body> {
    let result = prolong(&helseid, request).await;
    answered(&helseid, "citizen-extend", StatusCode::OK, result)
}

async fn prolong(helseid: &Helseid, request: Request<Body>) -> Result<Value, OAuthError> {
    const ATTEMPTS: usize = 4;
    let (caller, form) = read(helseid, request, path::EXTEND).await?;
    caller.consume(helseid).await?;
    let inner = &helseid.inner;
    let request = with(helseid, &caller, &form);
    let (id, secret) = request.refresh_token_parts()?;
    let key = format!("refresh/{id}");
    let now_s = inner.now_s();
    let ahead_s = registrations(helseid)?.idle_s;
    // A refresh at the same moment makes the write fail; the token is then judged anew.
    for _ in 0..ATTEMPTS {
        let family = request.live_family(&key, secret).await?;
        if !still_holds(helseid, &family.granted.login).await? {
            return Err(OAuthError::grant("the login no longer holds: log in again"));
        }
        let mut next = family.clone();
        next.expires_s = (now_s + ahead_s).min(family.latest_s).max(family.expires_s);
        if inner
            .grants()
            .replace(&key, &family, &next, next.expires_s)
            .await?
        {
            return Ok(json!({ "rt_expires_in": next.expires_s - now_s }));
        }
    }
    Err(OAuthError::new(
        Code::TemporarilyUnavailable,
        "the refresh token is being used by many requests at once; use one at a time",
    ))
}

/// `POST …/revoke`: answers 200 whatever the token was (RFC 7009 §2.2).
pub(super) async fn revoke(
    State(helseid): State<Helseid>,
    request: Request<Body>,
) -> Response<Body> {
    let result = end(&helseid, request).await.map(|()| json!({}));
    answered(&helseid, "citizen-revoke", StatusCode::OK, result)
}

async fn end(helseid: &Helseid, request: Request<Body>) -> Result<(), OAuthError> {
    let (caller, form) = read(helseid, request, path::REVOKE).await?;
    caller.consume(helseid).await?;
    end_token(helseid, &caller.client.client_id, form.required("token")?).await
}

/// `POST …/introspect`: for APIs about any access token, for other clients about their own.
pub(super) async fn introspect(
    State(helseid): State<Helseid>,
    request: Request<Body>,
) -> Response<Body> {
    let result = describe(&helseid, request).await;
    answered(&helseid, "citizen-introspect", StatusCode::OK, result)
}

async fn describe(helseid: &Helseid, request: Request<Body>) -> Result<Value, OAuthError> {
    let (caller, form) = read(helseid, request, path::INTROSPECT).await?;
    caller.consume(helseid).await?;
    let text = form.required("token")?;
    let own_id = caller.client.client_id.as_str();
    let described = match live(helseid, text).await? {
        Some(token) if token.client_id() == Some(own_id) || caller.client.introspects => {
            Some(access_token(&token))
        }
        Some(_) => None,
        None => match own_family(helseid, own_id, text).await? {
            Some((_, family)) => refresh_token(helseid, &family).await?,
            None => None,
        },
    };
    Ok(described.unwrap_or_else(|| json!({ "active": false })))
}

/// An access token of this issuer that is live now: its login holds, and nobody has ended it.
pub(super) async fn live(helseid: &Helseid, text: &str) -> Result<Option<AccessToken>, OAuthError> {
    let inner = &helseid.inner;
    let Ok(token) = inner.own_checker().verify_token(text, inner.now_s(), false) else {
        return Ok(None);
    };
    let (Some(sid), Some(jti)) = (token.sid(), token.jti()) else {
        return Ok(None);
    };
    if inner.is_revoked(jti).await? || inner.session_ended(sid).await? {
        return Ok(None);
    }
    // Kept since the code was redeemed: whom the token is about, even when it does not say so.
    let login: Option<Login> = inner.grants().get(&format!("login-of/{sid}")).await?;
    let holds = match login {
        Some(login) => still_holds(helseid, &login).await?,
        None => false,
    };
    Ok(holds.then_some(token))
}

fn access_token(token: &AccessToken) -> Value {
    let scope = token.scopes().join(" ");
    let audience = token.claims.text_list("aud").unwrap_or_default();
    let audience = json!(audience);
    let mut body = token.claims.0.clone();
    body.insert("active".to_owned(), true.into());
    body.insert("token_type".to_owned(), "Bearer".into());
    body.insert("scope".to_owned(), scope.into());
    body.insert("aud".to_owned(), audience);
    Value::Object(body)
}

async fn refresh_token(helseid: &Helseid, family: &Family) -> Result<Option<Value>, OAuthError> {
    let inner = &helseid.inner;
    let login = &family.granted.login;
    if inner.session_ended(&login.sid).await? || !still_holds(helseid, login).await? {
        return Ok(None);
    }
    let client_id = &family.granted.client_id;
    Ok(Some(json!({
        "active": true,
        "token_type": "refresh_token",
        "client_id": client_id,
        "scope": family.granted.scopes.join(" "),
        "iss": inner.config.issuer,
        "sub": inner.subject_for(login, client_id),
        "exp": family.expires_s,
    })))
}
