//! Addresses beside the repositories: refused like everything else, with an OperationOutcome in the wished form.

use super::finish::{self, preflight};
use super::negotiate::{Format, negotiate};
use crate::outcome::Failure;
use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;

/// Routes below `root` (`/fhir`) that no repository has: 404, and which repositories there are. To be merged with theirs.
pub fn elsewhere(root: &str, names: &[&str]) -> Router {
    let there = format!(
        "there is no such repository; there are: {}",
        names.join(", ")
    );
    let answer = any(async move |request: Request| refusal(&request, &there));
    Router::new()
        .route(root, answer.clone())
        .route(&format!("{root}/"), answer.clone())
        .route(&format!("{root}/{{*below}}"), answer)
}

fn refusal(request: &Request, text: &str) -> Response {
    if request.method() == Method::OPTIONS {
        return preflight();
    }
    let query = crate::params::decode(request.uri().query().unwrap_or_default().as_bytes());
    let format = negotiate(&query, request.headers()).unwrap_or(Format::Json);
    let failure = Failure::new(StatusCode::NOT_FOUND, "not-found", text);
    let json = Bytes::from(failure.outcome().to_string());
    finish::bare(
        StatusCode::NOT_FOUND,
        format,
        json,
        request.method() == Method::HEAD,
    )
}
