//! Errors in the two forms of the service.
//!
//! Version 2 answers `ErrorMessage` of the national OpenAPI document; version 3 what RFC 9457 has, with the members that
//! its portal page names (spec/messaging.md §6.1-§6.2). Stack traces are never told, as in national production.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use super::ApiVersion;

/// Code of a request that breaks the contract's model, version 2.
const MODEL_V2: i32 = 1000;
/// The same in version 3.
const MODEL_V3: i32 = 1001;

/// A refusal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fault {
    pub status: StatusCode,
    pub text: String,
    /// What breaks the model; empty for other refusals.
    pub validation: Vec<String>,
    /// Value of `WWW-Authenticate`.
    pub challenge: Option<String>,
}

impl Fault {
    pub fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
            validation: Vec::new(),
            challenge: None,
        }
    }

    /// The request breaks the contract.
    pub fn model(faults: Vec<String>) -> Self {
        Self {
            validation: faults,
            ..Self::new(StatusCode::BAD_REQUEST, "Model validation error occurred")
        }
    }

    /// The same for one fault.
    pub fn invalid(fault: impl Into<String>) -> Self {
        Self::model(vec![fault.into()])
    }

    /// The caller's organisation has not these parties.
    pub fn not_authorized(her_ids: &[u32]) -> Self {
        let listed: Vec<String> = her_ids.iter().map(u32::to_string).collect();
        let text = format!("Not authorized for HerId(s): {}", listed.join(", "));
        Self::new(StatusCode::FORBIDDEN, text)
    }

    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Could not find database document")
    }

    pub fn conflict(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// Ours.
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "An unknown error occurred",
        )
    }

    fn body(&self, version: ApiVersion, instance: &str, request_id: &str, now: &str) -> Value {
        let validation = match self.validation.as_slice() {
            [] => Value::Null,
            faults => json!(faults),
        };
        let is_model = !self.validation.is_empty();
        match version {
            ApiVersion::V2 => json!({
                "error": self.text,
                "errorCode": if is_model { MODEL_V2 } else { 0 },
                "validationErrors": validation,
                "stackTrace": null,
                "requestId": request_id,
            }),
            ApiVersion::V3 => json!({
                "type": "about:blank",
                "title": self.status.canonical_reason().unwrap_or("Error"),
                "status": self.status.as_u16(),
                "detail": self.text,
                "instance": instance,
                "errorCode": if is_model { MODEL_V3 } else { 0 },
                "requestId": request_id,
                "validationErrors": validation,
                "stackTrace": null,
                "timestamp": now,
            }),
        }
    }

    /// The answer. `instance` is the path asked for; ids in it are of messages, never of persons.
    pub fn response(
        &self,
        version: ApiVersion,
        instance: &str,
        request_id: &str,
        now: &str,
    ) -> Response {
        let body = self.body(version, instance, request_id, now).to_string();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let kind = match version {
            ApiVersion::V2 => "application/json; charset=utf-8",
            ApiVersion::V3 => "application/problem+json; charset=utf-8",
        };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(value) = self
            .challenge
            .as_deref()
            .and_then(|c| HeaderValue::from_str(c).ok())
        {
            headers.insert(header::WWW_AUTHENTICATE, value);
        }
        response
    }
}

impl From<crate::ExchangeError> for Fault {
    fn from(error: crate::ExchangeError) -> Self {
        tracing::error!(%error, "the message service could not answer");
        Self::internal()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let fault = Fault::invalid("MessagesToFetch must be between 1 and 100.");
        let v2 = fault.body(ApiVersion::V2, "/Messages", "r1", "t");
        assert_eq!(v2["error"], "Model validation error occurred");
        assert_eq!(v2["errorCode"], 1000);
        assert_eq!(v2["validationErrors"].as_array().unwrap().len(), 1);
        assert!(v2["stackTrace"].is_null());
        let v3 = fault.body(ApiVersion::V3, "/messages", "r1", "t");
        assert_eq!(v3["status"], 400);
        assert_eq!(v3["detail"], v2["error"]);
        assert_eq!(v3["instance"], "/messages");
        let forbidden = Fault::not_authorized(&[1, 2]).body(ApiVersion::V2, "", "r", "t");
        assert_eq!(forbidden["error"], "Not authorized for HerId(s): 1, 2");
        assert_eq!(forbidden["errorCode"], 0);
        assert!(forbidden["validationErrors"].is_null());
    }
}
