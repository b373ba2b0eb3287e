//! The HTTP road: `POST /ebxml`, with the signal in the response.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use ebxml::mime::Headers;
use ebxml::package::{Outgoing, Received, Via};
use ebxml::signal::{self, FaultCode};
use tokio::sync::Semaphore;

use super::receive::Reply;
use super::{MessageHandler, PATH};

/// Messages that are worked on at the same time; each may be as large as a message can be.
const AT_ONCE: usize = 8;
/// Longest time for a message to come in and be answered, so that slow senders do not keep the others out.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Clone)]
struct Desk {
    handler: MessageHandler,
    room: Arc<Semaphore>,
}

impl MessageHandler {
    /// The routes.
    pub fn router(&self) -> Router {
        let desk = Desk {
            handler: self.clone(),
            room: Arc::new(Semaphore::new(AT_ONCE)),
        };
        // The permit is taken before the body is read.
        let limit = DefaultBodyLimit::max(self.inner.limits.max_bytes);
        Router::new()
            .route(PATH, post(take).get(overview))
            .layer(limit)
            .layer(axum::middleware::from_fn_with_state(
                desk.clone(),
                one_of_a_few,
            ))
            .with_state(desk)
    }
}

async fn one_of_a_few(
    State(desk): State<Desk>,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    let Ok(_permit) = desk.room.try_acquire() else {
        let fault = signal::fault(FaultCode::Server, "too many messages at once; try again");
        let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, &Outgoing::unsigned(fault));
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
        return response;
    };
    match tokio::time::timeout(PATIENCE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let fault = signal::fault(FaultCode::Client, "the message came in too slowly");
            answer(StatusCode::REQUEST_TIMEOUT, &Outgoing::unsigned(fault))
        }
    }
}

/// What a person who opens the address is told.
async fn overview() -> &'static str {
    "ebXML (ebMS 2.0) over HTTP: POST a message here; its signal is the response.\n"
}

async fn take(State(desk): State<Desk>, headers: HeaderMap, body: Bytes) -> Response {
    let work = move || desk.handler.take_http(&headers, &body);
    match tokio::task::spawn_blocking(work).await {
        Ok(response) => response,
        Err(_) => later(),
    }
}

fn later() -> Response {
    let fault = signal::fault(FaultCode::Server, "not now; try again later");
    answer(StatusCode::SERVICE_UNAVAILABLE, &Outgoing::unsigned(fault))
}

fn answer(status: StatusCode, outgoing: &Outgoing) -> Response {
    let fields = [
        (header::CONTENT_TYPE, outgoing.content_type()),
        (
            header::HeaderName::from_static("soapaction"),
            "\"ebXML\"".to_owned(),
        ),
    ];
    (status, fields, outgoing.http_body()).into_response()
}

impl MessageHandler {
    fn take_http(&self, headers: &HeaderMap, body: &[u8]) -> Response {
        let fields = headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let fields = Headers::from_fields(fields);
        let received = match Received::from_parts(&fields, body, Via::Http, &self.inner.limits) {
            Ok(received) => received,
            // A fault is never answered with a fault.
            Err(unreadable) if unreadable.is_fault() => {
                return StatusCode::NO_CONTENT.into_response();
            }
            Err(unreadable) => {
                let fault = signal::fault(FaultCode::Client, &unreadable.to_string());
                return answer(StatusCode::BAD_REQUEST, &Outgoing::unsigned(fault));
            }
        };
        match self.take(&received, Via::Http) {
            Ok(Reply::Nothing) => StatusCode::NO_CONTENT.into_response(),
            Ok(Reply::Signal(signal, _)) => answer(StatusCode::OK, &signal),
            Ok(Reply::Fault(fault)) => answer(StatusCode::BAD_REQUEST, &fault),
            Ok(Reply::Later) => later(),
            Err(error) => {
                tracing::error!(%error, "ebXML message not taken");
                later()
            }
        }
    }
}
