//! Our own clients of HelseID: [`jose::client`] with HelseID's paths and the way into its router without a network.

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, header};
use jose::client::MAX_ANSWER_BYTES;
pub use jose::client::{
    Answer, ClientError, LoginAttempt, LoginRequest, Provider, RelyingParty, Sending, Tokens,
    Transport,
};
use tower::ServiceExt as _;

use crate::edge::path;

/// HelseID's paths below an issuer; the browser is sent to `browser_origin`.
#[must_use]
pub fn provider(issuer: &str, browser_origin: &str) -> Provider {
    Provider {
        issuer: issuer.to_owned(),
        par_endpoint: format!("{issuer}{}", path::PAR),
        authorization_endpoint: format!("{browser_origin}{}", path::AUTHORIZE),
        token_endpoint: format!("{issuer}{}", path::TOKEN),
        jwks_uri: format!("{issuer}{}", path::JWKS),
        end_session_endpoint: format!("{browser_origin}{}", path::END_SESSION),
    }
}

/// Introspection (RFC 7662) and revocation (RFC 7009) endpoints below an issuer.
#[must_use]
pub fn token_management(issuer: &str) -> (String, String) {
    (
        format!("{issuer}{}", path::INTROSPECTION),
        format!("{issuer}{}", path::REVOCATION),
    )
}

/// The issuer's router, called without a network.
#[derive(Clone)]
pub struct InProcess(pub Router);

impl Transport for InProcess {
    fn send<'a>(
        &'a self,
        url: &'a str,
        form: Option<String>,
        proof: Option<String>,
    ) -> Sending<'a> {
        Box::pin(async move {
            let broken = || ClientError::Transport("the request could not be made".to_owned());
            let parsed = url::Url::parse(url).map_err(|_| broken())?;
            let mut request = Request::builder()
                .uri(parsed.path())
                .method(if form.is_some() {
                    Method::POST
                } else {
                    Method::GET
                })
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
            if let Some(host) = parsed.host_str() {
                request = request.header(header::HOST, host);
            }
            if let Some(proof) = proof {
                request = request.header("DPoP", proof);
            }
            let request = request
                .body(Body::from(form.unwrap_or_default()))
                .map_err(|_| broken())?;
            let Ok(answer) = self.0.clone().oneshot(request).await;
            let (parts, body) = answer.into_parts();
            let body = axum::body::to_bytes(body, MAX_ANSWER_BYTES)
                .await
                .map_err(|_| broken())?;
            let nonce = parts
                .headers
                .get("DPoP-Nonce")
                .and_then(|nonce| nonce.to_str().ok());
            Ok(Answer {
                status: parts.status.as_u16(),
                dpop_nonce: nonce.map(str::to_owned),
                body: body.to_vec(),
            })
        })
    }
}
