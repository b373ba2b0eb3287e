//! Introspection (RFC 7662) and revocation (RFC 7009), authenticated like the token endpoint.

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response, StatusCode};
use jose::rs::AccessToken;
use serde_json::{Value, json};

use super::form::Form;
use super::proof::{self, Authenticated};
use super::{error_answer, json_answer, json_text_answer, path};
use crate::Helseid;
use crate::error::OAuthError;
use crate::grants::{Family, secret_hash};

/// `POST /connect/introspect`: for APIs about any token, for other clients about their own.
pub async fn introspect(State(helseid): State<Helseid>, request: Request<Body>) -> Response<Body> {
    match describe(&helseid, request).await {
        Ok(body) => json_text_answer(StatusCode::OK, body),
        Err(error) => error_answer(&helseid, "introspection", &error),
    }
}

async fn describe(helseid: &Helseid, request: Request<Body>) -> Result<String, OAuthError> {
    let (_, form) = Form::read(request).await?;
    let Authenticated { client, asserted } =
        proof::authenticate(helseid, &form, path::INTROSPECTION)?;
    let inner = &helseid.inner;
    proof::consume(inner.grants(), &[&asserted], None).await?;
    let inactive = || r#"{"active":false}"#.to_owned();
    let now_s = inner.now_s();
    let Ok(verified) = inner
        .own_checker()
        .recall_token(form.required("token")?, now_s, false)
    else {
        return Ok(inactive());
    };
    let token = verified.token();
    let own = token.client_id() == Some(client.client_id.as_str());
    let revoked = match token.jti() {
        Some(jti) => inner.is_revoked(jti).await?,
        None => false,
    };
    let ended = match token.sid() {
        Some(sid) => inner.session_ended(sid).await?,
        None => false,
    };
    if !(own || client.introspects) || revoked || ended {
        return Ok(inactive());
    }
    Ok(verified.description(active).to_owned())
}

/// What is answered about a token that is live: the same as long as it lives.
fn active(token: &AccessToken) -> String {
    let token_type = if token.jkt().is_some() {
        "DPoP"
    } else {
        "Bearer"
    };
    let scope = token.scopes().join(" ");
    let mut body = token.claims.0.clone();
    body.insert("active".to_owned(), true.into());
    body.insert("token_type".to_owned(), token_type.into());
    body.insert("scope".to_owned(), scope.into());
    Value::Object(body).to_string()
}

/// `POST /connect/revocation`: answers 200 whatever the token was, as RFC 7009 §2.2 asks.
pub async fn revoke(State(helseid): State<Helseid>, request: Request<Body>) -> Response<Body> {
    match act(&helseid, request).await {
        Ok(()) => json_answer(StatusCode::OK, &json!({})),
        Err(error) => error_answer(&helseid, "revocation", &error),
    }
}

async fn act(helseid: &Helseid, request: Request<Body>) -> Result<(), OAuthError> {
    let (_, form) = Form::read(request).await?;
    let Authenticated { client, asserted } = proof::authenticate(helseid, &form, path::REVOCATION)?;
    proof::consume(helseid.inner.grants(), &[&asserted], None).await?;
    end_token(helseid, &client.client_id, form.required("token")?).await
}

/// Ends a token of a client, whichever kind it is; somebody else's stays.
pub(crate) async fn end_token(
    helseid: &Helseid,
    client_id: &str,
    text: &str,
) -> Result<(), OAuthError> {
    let inner = &helseid.inner;
    if let Ok(token) = inner.own_checker().verify_token(text, inner.now_s(), false) {
        if token.client_id() == Some(client_id)
            && let Some(jti) = token.jti()
        {
            inner.revoke_access_token(jti).await?;
        }
        return Ok(());
    }
    if let Some((key, _)) = own_family(helseid, client_id, text).await? {
        inner.grants().0.take(&key).await?;
    }
    Ok(())
}

/// The family of a client's refresh token, and its place.
pub(crate) async fn own_family(
    helseid: &Helseid,
    client_id: &str,
    text: &str,
) -> Result<Option<(String, Family)>, OAuthError> {
    let Some((id, secret)) = text.split_at_checked(32) else {
        return Ok(None);
    };
    let key = format!("refresh/{id}");
    let family: Option<Family> = helseid.inner.grants().get(&key).await?;
    let hash = secret_hash(secret);
    let own = family.filter(|family| {
        let known =
            family.current == hash || family.recent.iter().any(|replaced| replaced.hash == hash);
        known && family.granted.client_id == client_id
    });
    Ok(own.map(|family| (key, family)))
}
