//! OAuth errors as the endpoints answer them (spec §17).

use std::borrow::Cow;

use jose::assertion::AssertionError;
use jose::dpop::ProofError;
use jose::state::StateError;

/// The error codes of RFC 6749, 7523, 8707, 9101, 9126 and 9449 that this issuer uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Code {
    InvalidRequest,
    InvalidClient,
    InvalidGrant,
    UnauthorizedClient,
    UnsupportedGrantType,
    UnsupportedResponseType,
    InvalidScope,
    InvalidTarget,
    AccessDenied,
    LoginRequired,
    UseDpopNonce,
    InvalidDpopProof,
    InvalidRequestObject,
    TemporarilyUnavailable,
    /// More than one client or address may ask for; the same word as above on the wire, with status 429.
    TooMany,
    ServerError,
}

impl Code {
    /// The text on the wire.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::AccessDenied => "access_denied",
            Self::LoginRequired => "login_required",
            Self::UseDpopNonce => "use_dpop_nonce",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::InvalidRequestObject => "invalid_request_object",
            Self::TemporarilyUnavailable | Self::TooMany => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }

    /// The HTTP status: 400 for whatever the client did, `invalid_client` included, as the original answers. A 401
    /// would need `WWW-Authenticate`, behind which openid-client no longer reads the body.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::TemporarilyUnavailable => 503,
            Self::TooMany => 429,
            Self::ServerError => 500,
            _ => 400,
        }
    }
}

/// An error answer: code and a description that says what was wrong and what to do.
///
/// Descriptions never contain tokens, keys or national ids: they are put together from our own words and from values
/// of the client's registration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {description}", code.text())]
pub struct OAuthError {
    /// The code.
    pub code: Code,
    /// The description.
    pub description: Cow<'static, str>,
}

impl OAuthError {
    /// An error.
    pub fn new(code: Code, description: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            description: description.into(),
        }
    }

    pub(crate) fn request(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidRequest, description)
    }

    pub(crate) fn grant(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidGrant, description)
    }

    pub(crate) fn client(error: &AssertionError) -> Self {
        Self::new(Code::InvalidClient, format!("client_assertion: {error}"))
    }

    pub(crate) fn nonce() -> Self {
        Self::new(
            Code::UseDpopNonce,
            "Authorization server requires nonce in DPoP proof",
        )
    }

    pub(crate) fn too_many(who: &str) -> Self {
        Self::new(
            Code::TooMany,
            format!(
                "too many requests from this {who}; use tokens until they expire, and try again in a minute"
            ),
        )
    }

    pub(crate) fn internal() -> Self {
        Self::new(Code::ServerError, "the server could not make an answer")
    }
}

impl From<ProofError> for OAuthError {
    fn from(error: ProofError) -> Self {
        Self::new(Code::InvalidDpopProof, error.to_string())
    }
}

impl From<StateError> for OAuthError {
    fn from(error: StateError) -> Self {
        match &error {
            StateError::TooLarge => {
                return Self::request("the request has more in it than can be kept; send less");
            }
            StateError::Unavailable(reason) => {
                tracing::error!(reason, "helseid: state store unavailable");
            }
            StateError::Full => {}
        }
        Self::new(
            Code::TemporarilyUnavailable,
            "the server cannot keep more open requests; try again in a minute",
        )
    }
}

impl From<jose::encoding::NoRandomness> for OAuthError {
    fn from(_: jose::encoding::NoRandomness) -> Self {
        Self::internal()
    }
}
