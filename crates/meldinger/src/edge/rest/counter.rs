//! The message counter over HTTP for an organisation's own systems: its own numbers, as JSON or CSV (spec/messaging.md §9.1).
//!
//! Access as for the message service; the token's organisation decides whose numbers they are.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use serde_json::{Value, json};

use super::{ApiVersion, Fault, RestParts, query};
use crate::counter::{Asked, CountQuery, Counter, today};
use crate::view::Viewer;

/// Where the counter stands.
pub const PREFIX: &str = "/nasjonal/meldingsteller";

struct Desk {
    parts: RestParts,
    counter: Counter,
}

/// The route.
pub fn router(parts: RestParts, counter: Counter) -> Router {
    Router::new()
        .route(PREFIX, axum::routing::get(numbers))
        .with_state(Arc::new(Desk { parts, counter }))
}

/// What a person who opens the address is told.
fn overview() -> axum::Json<Value> {
    axum::Json(json!({
        "service": "Meldingsteller",
        "use": "GET with a HelseID token of the message service: your organisation's messages, counted. ?from, to (yyyy-mm-dd), her_id, function, transport; Accept: text/csv for CSV.",
    }))
}

async fn numbers(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    if !parts.headers.contains_key(header::AUTHORIZATION) && parts.uri.query().is_none() {
        return overview().into_response();
    }
    let request_id = super::request_id(&parts);
    let this = desk.clone();
    let answered = edge::blocking(move || this.answer(&parts)).await;
    match answered {
        Ok(Ok((kind, text))) => {
            let headers = [
                (header::CONTENT_TYPE, kind),
                (header::CACHE_CONTROL, "no-store"),
            ];
            (headers, Body::from(text)).into_response()
        }
        failed => {
            let fault = match failed {
                Ok(Err(fault)) => fault,
                _ => Fault::internal(),
            };
            let now = jiff::Timestamp::now().to_string();
            fault.response(ApiVersion::V3, PREFIX, &request_id, &now)
        }
    }
}

impl Desk {
    fn answer(&self, parts: &Parts) -> Result<(&'static str, String), Fault> {
        let organisation = self.parts.organisation(parts)?;
        let clock = &self.parts.exchange.inner.clock;
        let viewer = Viewer::Party { organisation };
        let asked = asked(parts.uri.query(), today(clock.now_us()));
        let asked = asked.map_err(Fault::invalid)?;
        let wants_csv = parts
            .headers
            .get(header::ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.starts_with("text/csv"));
        let failed = |error| {
            tracing::error!(%error, "messages could not be counted");
            Fault::internal()
        };
        if wants_csv {
            let text = self.counter.csv(viewer, &asked).map_err(failed)?;
            return Ok(("text/csv; charset=utf-8", text));
        }
        let report = self.counter.report(viewer, &asked).map_err(failed)?;
        let text = serde_json::to_string(&report).map_err(|_| Fault::internal())?;
        Ok(("application/json; charset=utf-8", text))
    }
}

/// The question in an address; names it does not know are told.
fn asked(query: Option<&str>, today: i64) -> Result<CountQuery, String> {
    let mut asked = Asked::default();
    for (name, value) in query::pairs(query) {
        let place = match name.as_str() {
            "from" => &mut asked.from,
            "to" => &mut asked.to,
            "function" => &mut asked.function,
            "transport" => &mut asked.transport,
            "her_id" => {
                let her_id = value.parse().map_err(|_| "her_id is not a HER-id")?;
                asked.her_id = Some(her_id);
                continue;
            }
            _ => return Err("known are from, to, her_id, function and transport".to_owned()),
        };
        *place = Some(value);
    }
    asked.question(today)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_is_read() {
        let read = asked(
            Some("from=2026-11-17&to=2026-11-23&her_id=8900301&function=EPIKRISE&transport=rest"),
            20_780,
        )
        .unwrap();
        assert_eq!(read.last_day - read.first_day, 6);
        assert_eq!(read.her_id, Some(8_900_301));
        assert_eq!(read.function.as_deref(), Some("EPIKRISE"));
        assert!(asked(None, 20_780).is_ok());
        for wrong in ["her_id=x", "form=2026-11-17", "from=17.11.2026"] {
            assert!(asked(Some(wrong), 20_780).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_address_is_answered(text in ".{0,80}", from in "[0-9-]{0,12}") {
            let _ = asked(Some(&text), 20_780);
            if let Ok(query) = asked(Some(&format!("from={from}")), 20_780) {
                prop_assert!(query.first_day <= query.last_day);
            }
        }
    }
}
