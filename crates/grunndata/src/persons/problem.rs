//! Problem documents as the contract has them (RFC 7807): `type`, `title`, `status`, `detail`, and `errors` by field where
//! a rule is broken. There is no `instance`: addresses may carry what must not be repeated.

use super::form::Broken;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use jose::Alg;
use jose::rs::RsError;
use registers::persons::file::FileError;
use registers::persons::search::SearchError;
use serde_json::json;
use store::StoreError;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    status: StatusCode,
    title: &'static str,
    detail: Option<String>,
    broken: Broken,
    headers: Vec<(header::HeaderName, String)>,
}

impl Fault {
    fn new(status: StatusCode, title: &'static str) -> Self {
        Self {
            status,
            title,
            detail: None,
            broken: Broken::default(),
            headers: Vec::new(),
        }
    }

    fn because(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// 400: rules by field.
    #[must_use]
    pub fn broken(broken: Broken) -> Self {
        Self {
            broken,
            ..Self::new(
                StatusCode::BAD_REQUEST,
                "One or more validation errors occurred.",
            )
        }
    }

    /// 400: something else.
    #[must_use]
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "Bad request").because(detail)
    }

    /// 404.
    #[must_use]
    pub fn not_found(title: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, title)
    }

    /// Whether it says that nobody was found.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
    }

    /// 404 with a reason.
    #[must_use]
    pub fn not_found_because(title: &'static str, detail: impl Into<String>) -> Self {
        Self::not_found(title).because(detail)
    }

    /// 405.
    #[must_use]
    pub fn method(allowed: &'static str) -> Self {
        let mut fault = Self::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")
            .because(format!("This address answers {allowed} only."));
        fault.headers.push((header::ALLOW, allowed.to_owned()));
        fault
    }

    /// 413.
    #[must_use]
    pub fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "Payload too large")
            .because("The body is longer than 65536 bytes or broke off.")
    }

    /// 415.
    #[must_use]
    pub fn media_type() -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported media type")
            .because("Send the body as application/x-www-form-urlencoded.")
    }

    /// 401 or 403: the token does not open this.
    #[must_use]
    pub fn token(error: &RsError, algs: &[Alg]) -> Self {
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::UNAUTHORIZED);
        let title = match status {
            StatusCode::FORBIDDEN => "Forbidden, invalid scope",
            StatusCode::UNAUTHORIZED => "Unauthorized, invalid token",
            _ => "Service unavailable",
        };
        let mut fault = Self::new(status, title).because(error.to_string());
        if status != StatusCode::SERVICE_UNAVAILABLE {
            let bearer = match error {
                RsError::NoToken => "Bearer".to_owned(),
                _ => format!("Bearer error=\"{}\"", error.code()),
            };
            let dpop = error.www_authenticate(algs);
            fault.headers.push((header::WWW_AUTHENTICATE, bearer));
            fault.headers.push((header::WWW_AUTHENTICATE, dpop));
        }
        fault
    }

    /// 503: the register or the journal cannot answer now.
    #[must_use]
    pub fn unavailable() -> Self {
        let mut fault = Self::new(StatusCode::SERVICE_UNAVAILABLE, "Service unavailable")
            .because("The person register cannot answer now. Try again in a moment.");
        fault.headers.push((header::RETRY_AFTER, "2".to_owned()));
        fault
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The answer. Who takes `application/json` and no problem documents (clients made from the contract, which names no
    /// other type) gets them under that name.
    #[must_use]
    pub fn respond(&self, request: &HeaderMap) -> Response<Body> {
        let mut body = json!({
            "type": type_of(self.status),
            "title": self.title,
            "status": self.status.as_u16(),
        });
        if let Some(members) = body.as_object_mut() {
            if let Some(detail) = &self.detail {
                members.insert("detail".to_owned(), json!(detail));
            }
            if !self.broken.0.is_empty() {
                members.insert("errors".to_owned(), json!(self.broken.0));
            }
        }
        let kind = if wants_plain_json(request) {
            "application/json"
        } else {
            "application/problem+json"
        };
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        for (name, value) in &self.headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.append(name.clone(), value);
            }
        }
        response
    }
}

fn wants_plain_json(request: &HeaderMap) -> bool {
    let mut plain = false;
    for value in request.get_all(header::ACCEPT) {
        let value = value.to_str().unwrap_or_default();
        if value.contains("*/*") || value.contains("problem+json") {
            return false;
        }
        plain |= value.contains("application/json");
    }
    plain
}

fn type_of(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "https://tools.ietf.org/html/rfc9110#section-15.5.1",
        401 => "https://tools.ietf.org/html/rfc9110#section-15.5.2",
        403 => "https://tools.ietf.org/html/rfc9110#section-15.5.4",
        404 => "https://tools.ietf.org/html/rfc9110#section-15.5.5",
        405 => "https://tools.ietf.org/html/rfc9110#section-15.5.6",
        413 => "https://tools.ietf.org/html/rfc9110#section-15.5.14",
        415 => "https://tools.ietf.org/html/rfc9110#section-15.5.16",
        503 => "https://tools.ietf.org/html/rfc9110#section-15.6.4",
        _ => "https://tools.ietf.org/html/rfc9110#section-15.6.1",
    }
}

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Self {
        Self::broken(broken)
    }
}

impl From<FileError> for Fault {
    fn from(error: FileError) -> Self {
        tracing::error!(%error, "persontjenesten: the read form of persons failed");
        Self::unavailable()
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "persontjenesten: the store failed");
        Self::unavailable()
    }
}

impl From<SearchError> for Fault {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::File(error) => error.into(),
            other => Self::bad_request(other.to_string()),
        }
    }
}

/// A panic in the work: told as a fault of ours, with the request id in the log.
impl From<edge::Problem> for Fault {
    fn from(problem: edge::Problem) -> Self {
        let status = StatusCode::from_u16(problem.status);
        Self::new(
            status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            "The hub failed",
        )
        .because("Try again; if it stays, report the request id.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_for(accept: Option<&'static str>) -> String {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        }
        let response = Fault::not_found("Person not found").respond(&headers);
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        let kind = response.headers().get(header::CONTENT_TYPE).unwrap();
        kind.to_str().unwrap().to_owned()
    }

    #[test]
    fn generated_clients_get_the_type_they_ask_for() {
        for (accept, kind) in [
            (None, "application/problem+json"),
            (Some("*/*"), "application/problem+json"),
            (Some("application/json, */*"), "application/problem+json"),
            (Some("application/problem+json"), "application/problem+json"),
            (Some("application/json"), "application/json"),
        ] {
            assert_eq!(kind_for(accept), kind, "{accept:?}");
        }
    }
}
