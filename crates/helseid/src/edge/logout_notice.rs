//! Telling clients that a login has ended (spec §13): over the back channel by a signed logout token (OpenID Connect
//! Back-Channel Logout 1.0), over the front channel by frames in the browser (Front-Channel Logout 1.0).

use std::sync::Arc;
use std::time::Duration;

use jose::Claims;
use jose::client::Transport;
use serde_json::json;
use url::form_urlencoded;

use crate::Helseid;
use crate::error::OAuthError;
use crate::issue::new_id;
use crate::rules::claims::Login;

/// Life of a logout token.
const LOGOUT_TOKEN_S: i64 = 120;
/// Most clients told of one login's end.
const MAX_CLIENTS: usize = 64;
/// How long one client may take to hear it.
const PATIENCE: Duration = Duration::from_secs(5);
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fn key(sid: &str) -> String {
    format!("clients-of/{sid}")
}

/// Remembers that a client took part in a login, if it wants to be told of its end.
pub async fn remember(helseid: &Helseid, sid: &str, client_id: &str) -> Result<(), OAuthError> {
    let wants = helseid.client(client_id).is_some_and(|client| {
        client.backchannel_logout_uri.is_some() || client.frontchannel_logout_uri.is_some()
    });
    if !wants {
        return Ok(());
    }
    let inner = &helseid.inner;
    let (key, expires_s) = (key(sid), inner.now_s() + inner.config.session_s);
    // Another login of the same session may write at the same moment.
    for _ in 0..8 {
        let known: Option<Vec<String>> = inner.grants().get(&key).await?;
        let Some(known) = known else {
            let first = serde_json::to_vec(&[client_id]).map_err(|_| OAuthError::internal())?;
            if inner.grants().0.put_new(&key, first, expires_s).await? {
                return Ok(());
            }
            continue;
        };
        if known.iter().any(|one| one == client_id) || known.len() >= MAX_CLIENTS {
            return Ok(());
        }
        let mut next = known.clone();
        next.push(client_id.to_owned());
        if inner
            .grants()
            .replace(&key, &known, &next, expires_s)
            .await?
        {
            return Ok(());
        }
    }
    Ok(())
}

/// Tells every client of a login. What the browser has to tell comes back as addresses to frame.
pub async fn tell(helseid: &Helseid, sid: &str) -> Result<Vec<String>, OAuthError> {
    let inner = &helseid.inner;
    let clients: Option<Vec<String>> = inner.grants().take(&key(sid)).await?;
    let login: Option<Login> = inner.grants().get(&format!("login-of/{sid}")).await?;
    let mut frames = Vec::new();
    for client_id in clients.unwrap_or_default() {
        let Some(client) = helseid.client(&client_id) else {
            continue;
        };
        if let Some(uri) = &client.frontchannel_logout_uri {
            frames.push(with_session(uri, &inner.config.issuer, sid));
        }
        if let (Some(uri), Some(transport)) =
            (&client.backchannel_logout_uri, inner.to_clients.get())
        {
            let subject = login
                .as_ref()
                .map(|login| inner.subject_for(login, &client_id));
            let token = logout_token(helseid, &client_id, sid, subject.as_deref())?;
            send(transport.clone(), uri.clone(), token, client_id);
        }
    }
    Ok(frames)
}

fn logout_token(
    helseid: &Helseid,
    client_id: &str,
    sid: &str,
    subject: Option<&str>,
) -> Result<String, OAuthError> {
    let inner = &helseid.inner;
    let now_s = inner.now_s();
    let mut claims = Claims::default();
    claims
        .set("iss", inner.config.issuer.as_str())
        .set("aud", client_id)
        .set("iat", now_s)
        .set("exp", now_s + LOGOUT_TOKEN_S)
        .set("jti", new_id()?)
        .set("sid", sid)
        .set("events", json!({ EVENT: {} }));
    if let Some(subject) = subject {
        claims.set("sub", subject);
    }
    inner.sign("logout+jwt", &claims)
}

/// Sent aside: a client that does not answer must not keep the user waiting.
fn send(transport: Arc<dyn Transport>, uri: String, token: String, client_id: String) {
    tokio::spawn(async move {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("logout_token", &token)
            .finish();
        let told = tokio::time::timeout(PATIENCE, transport.send(&uri, Some(form), None)).await;
        let outcome = match told {
            Ok(Ok(answer)) if matches!(answer.status, 200..=204) => "told",
            _ => "failed",
        };
        metrics::counter!("helseid_logout_notices_total", "outcome" => outcome).increment(1);
        if outcome == "failed" {
            tracing::warn!(
                client_id,
                "helseid: the client could not be told of a logout"
            );
        }
    });
}

fn with_session(uri: &str, issuer: &str, sid: &str) -> String {
    let separator = if uri.contains('?') { '&' } else { '?' };
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("iss", issuer)
        .append_pair("sid", sid)
        .finish();
    format!("{uri}{separator}{query}")
}
