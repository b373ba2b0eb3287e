//! Headers every answer carries: a request id, and for pages a strict content policy.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;

/// Name of the request id header (spec/fhir-server.md §1.1).
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_ID: usize = 128;

/// The request id, as an extension of the request.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// The caller's `X-Request-Id`, when it is short and plain.
pub fn given(headers: &HeaderMap) -> Option<HeaderValue> {
    let is_plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._".contains(b);
    headers
        .get(&REQUEST_ID)
        .filter(|v| (1..=MAX_ID).contains(&v.len()) && v.as_bytes().iter().all(is_plain))
        .cloned()
}

/// A UUID that begins with the time of now (version 7), out of this thread's own generator: the system's is asked for its
/// seed only, not for every request.
pub fn new_uuid() -> uuid::Uuid {
    let now_ms = crate::clock::real_now_us().max(0) / 1_000;
    let now_ms = u64::try_from(now_ms).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(now_ms, &rand::random()).into_uuid()
}

/// A request id for who brings none.
pub fn new_id() -> HeaderValue {
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    let id = new_uuid();
    HeaderValue::from_str(id.hyphenated().encode_lower(&mut text))
        .unwrap_or(HeaderValue::from_static("none"))
}

/// Puts the request id on an answer, and `nosniff` and `no-referrer`.
pub fn mark(headers: &mut HeaderMap, id: HeaderValue) {
    headers.insert(REQUEST_ID, id);
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers
        .entry(header::REFERRER_POLICY)
        .or_insert(HeaderValue::from_static("no-referrer"));
}

/// The span in which a request is worked on: its lines in the log lead to it by its id.
pub(crate) fn span(id: &HeaderValue, method: &Method) -> tracing::Span {
    tracing::info_span!("request", id = id.to_str().unwrap_or_default(), %method)
}

/// Echoes the caller's `X-Request-Id` when it is short and plain, makes one otherwise; puts it on the answer and into the
/// log span. Adds `nosniff` and `no-referrer` everywhere.
pub async fn request_id(mut request: Request, next: Next) -> Response {
    use tracing::Instrument;
    let id = given(request.headers()).unwrap_or_else(new_id);
    let text = id.to_str().unwrap_or_default().to_owned();
    request.extensions_mut().insert(RequestId(text));
    let span = span(&id, request.method());
    let mut response = next.run(request).instrument(span).await;
    mark(response.headers_mut(), id);
    response
}
