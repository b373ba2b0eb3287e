//! The message validator over HTTP: a document, an ebXML envelope or a whole mail in, findings out. Nothing is kept.
//!
//! Access as for the message service, so that no stranger has his messages read here. `Accept: text/plain` gives the
//! report as people read it, anything else JSON; `?lang=en` in English.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::{ApiVersion, Fault, RestParts, authorised, query};

/// Where the validator stands.
pub const PREFIX: &str = "/nasjonal/meldingsvalidator";
/// Largest message, bytes.
const MAX_BYTES: usize = 35_000_000;

/// Explains some bytes in a language (`nb`, `en`): the report as JSON, with its text under `text`.
pub type Explain = dyn Fn(&[u8], &str) -> Option<Value> + Send + Sync;

struct Validator {
    parts: RestParts,
    explain: Arc<Explain>,
}

/// The route.
pub fn router(parts: RestParts, explain: Arc<Explain>) -> Router {
    Router::new()
        .route(PREFIX, axum::routing::post(validate).get(overview))
        .with_state(Arc::new(Validator { parts, explain }))
}

/// What a person who opens the address is told.
async fn overview() -> axum::Json<Value> {
    axum::Json(serde_json::json!({
        "service": "Meldingsvalidator",
        "use": "POST a message (XML, a SOAP envelope or a whole mail) with a HelseID token; the answer is the report. Accept: text/plain for words, lang=nb or en. Nothing is kept.",
    }))
}

async fn validate(State(validator): State<Arc<Validator>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let refuse = |fault: &Fault| {
        let request_id = super::request_id(&parts);
        let now = jiff::Timestamp::now().to_string();
        fault.response(ApiVersion::V3, PREFIX, &request_id, &now)
    };
    let RestParts { server, now_s, .. } = &validator.parts;
    if let Err(fault) = authorised(server, &parts, now_s()) {
        return refuse(&fault);
    }
    let Ok(bytes) = to_bytes(body, MAX_BYTES).await else {
        return refuse(&Fault::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "The message is larger than 35 MB, or was cancelled",
        ));
    };
    let pairs = query::pairs(parts.uri.query());
    let language = pairs.iter().find(|(name, _)| name == "lang");
    let language = language.map_or_else(|| "nb".to_owned(), |(_, value)| value.clone());
    let explain = validator.explain.clone();
    let report = edge::blocking(move || explain(&bytes, &language)).await;
    let Ok(Some(report)) = report else {
        return refuse(&Fault::internal());
    };
    let accepts = parts.headers.get(header::ACCEPT);
    let as_text = accepts
        .and_then(|a| a.to_str().ok())
        .is_some_and(|a| a.starts_with("text/plain"));
    let (kind, text) = match report.get("text").and_then(Value::as_str) {
        Some(text) if as_text => ("text/plain; charset=utf-8", text.to_owned()),
        _ => ("application/json; charset=utf-8", report.to_string()),
    };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, Body::from(text)).into_response()
}
