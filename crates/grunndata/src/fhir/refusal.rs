//! Why there is no answer, as an OperationOutcome. Texts name parameters and rules, never what was sent.

use axum::http::{HeaderValue, StatusCode, header};
use jose::Alg;
use jose::rs::RsError;
use registers::persons::file::FileError;
use registers::persons::search::SearchError;
use serde_json::{Value, json};
use store::StoreError;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    code: &'static str,
    text: String,
    pub(super) headers: Vec<(header::HeaderName, String)>,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, text: impl Into<String>) -> Self {
        Self {
            status,
            code,
            text: text.into(),
            headers: Vec::new(),
        }
    }

    /// 400: a parameter cannot be read.
    pub(super) fn invalid(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", text)
    }

    /// 400: a parameter, modifier or prefix that this server does not have.
    pub(super) fn unsupported(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "not-supported", text)
    }

    /// 400: a search that needs more to go by.
    pub(super) fn required(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "required", text)
    }

    /// 400: too much fits.
    pub(super) fn too_costly(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "too-costly", text)
    }

    /// 404.
    pub(super) fn not_found(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", text)
    }

    /// 403: the token's scope gives no legal basis.
    pub(super) fn no_basis() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            format!(
                "this needs a legal basis: a token with scope {}",
                crate::persons::access::WITH_LEGAL_BASIS
            ),
        )
    }

    /// 405.
    pub(super) fn method(allowed: &'static str) -> Self {
        let mut refusal = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "not-supported",
            format!(
                "this address answers {allowed} only; the registers are read here, not written"
            ),
        );
        refusal.headers.push((header::ALLOW, allowed.to_owned()));
        refusal
    }

    /// 406.
    pub(super) fn not_acceptable() -> Self {
        Self::new(
            StatusCode::NOT_ACCEPTABLE,
            "not-supported",
            "answers are application/fhir+json or application/fhir+xml",
        )
    }

    /// 413.
    pub(super) fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-long",
            "the body is longer than 65536 bytes or broke off",
        )
    }

    /// 415.
    pub(super) fn media_type() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not-supported",
            "send search parameters as application/x-www-form-urlencoded",
        )
    }

    /// 503.
    pub(super) fn unavailable() -> Self {
        let mut refusal = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "transient",
            "the register cannot answer now; try again in a moment",
        );
        refusal.headers.push((header::RETRY_AFTER, "2".to_owned()));
        refusal
    }

    /// 401 or 403: the token does not open this.
    pub(super) fn token(error: &RsError, algs: &[Alg]) -> Self {
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::UNAUTHORIZED);
        let code = match status {
            StatusCode::FORBIDDEN => "forbidden",
            StatusCode::UNAUTHORIZED => "login",
            _ => return Self::unavailable(),
        };
        let mut refusal = Self::new(status, code, error.to_string());
        let bearer = match error {
            RsError::NoToken => "Bearer".to_owned(),
            _ => format!("Bearer error=\"{}\"", error.code()),
        };
        let dpop = error.www_authenticate(algs);
        refusal.headers.push((header::WWW_AUTHENTICATE, bearer));
        refusal.headers.push((header::WWW_AUTHENTICATE, dpop));
        refusal
    }

    /// The outcome.
    pub(super) fn outcome(&self) -> Value {
        outcome("error", self.code, &self.text)
    }

    /// Its headers that can be sent.
    pub(super) fn headers(&self) -> impl Iterator<Item = (header::HeaderName, HeaderValue)> + '_ {
        self.headers
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), HeaderValue::from_str(value).ok()?)))
    }
}

/// An OperationOutcome with one issue.
pub(super) fn outcome(severity: &str, code: &str, text: &str) -> Value {
    json!({
        "resourceType": "OperationOutcome",
        "issue": [{ "severity": severity, "code": code, "diagnostics": text }],
    })
}

impl From<FileError> for Refusal {
    fn from(error: FileError) -> Self {
        tracing::error!(%error, "grunndata fhir: the read form of persons failed");
        Self::unavailable()
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "grunndata fhir: the store failed");
        Self::unavailable()
    }
}

impl From<SearchError> for Refusal {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::File(error) => error.into(),
            _ => Self::too_costly(
                "too many persons fit: give more of the name, or the whole birth date",
            ),
        }
    }
}

impl From<edge::Problem> for Refusal {
    fn from(_: edge::Problem) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "exception",
            "the answer could not be made",
        )
    }
}
