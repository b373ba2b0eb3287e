//! Problem documents (RFC 9457) with a stable `code`: what was wrong, where, what to do; no internals, no national ids.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// Stable code, lower case with hyphens; documented per service.
    pub code: String,
    /// Short text, the same for every occurrence of the code.
    pub title: String,
    /// What was wrong this time, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Problem {
    /// A problem by status, code and title.
    pub fn new(status: StatusCode, code: &str, title: &str) -> Self {
        Self {
            status: status.as_u16(),
            code: code.to_owned(),
            title: title.to_owned(),
            detail: None,
        }
    }

    /// With what was wrong this time.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Our own fault; details stand in the log under the request id.
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "The hub failed. Try again; if it stays, report the request id.",
        )
    }

    /// The store or a source cannot answer now.
    pub fn unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The hub cannot answer now. Try again in a moment.",
        )
    }

    /// Not there, or not for the caller: the two are one answer.
    pub fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "Does not exist, or is not available to you.",
        )
    }

    /// The request is not understood.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-request",
            "The request is not valid.",
        )
        .with_detail(detail)
    }

    /// Nobody is logged in.
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "Log in first.")
    }

    /// The caller may not do this.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed.").with_detail(detail)
    }

    /// The world moved since the caller read it.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "conflict",
            "Changed by somebody else in the meantime. Read again.",
        )
        .with_detail(detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(&self)).into_response();
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        response
    }
}

impl From<store::StoreError> for Problem {
    fn from(error: store::StoreError) -> Self {
        match error {
            store::StoreError::SnapshotExpired => Self::new(
                StatusCode::GONE,
                "expired",
                "The page link has expired. Start the search again.",
            ),
            store::StoreError::Unavailable(text) => {
                tracing::error!(error = %text, "store unavailable");
                Self::unavailable()
            }
            other => {
                tracing::error!(error = %other, "store failed");
                Self::internal()
            }
        }
    }
}

impl From<store::CommitError> for Problem {
    fn from(error: store::CommitError) -> Self {
        match error {
            store::CommitError::Refused { .. } => Self::conflict("another change came first"),
            store::CommitError::Unavailable(text) | store::CommitError::OutcomeUnknown(text) => {
                tracing::error!(error = %text, "store unavailable");
                Self::unavailable()
            }
            other => {
                tracing::error!(error = %other, "commit failed");
                Self::internal()
            }
        }
    }
}
