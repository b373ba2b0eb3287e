//! The message counter for `/drift`: questions of the pages as questions to the counter, and sending again.

use edge::Problem;
use meldinger::counter::{Asked, CountQuery, Counter};
use meldinger::view::Viewer;
use meldinger::{Exchange, ExchangeError, PutBack};
use portal::counts::CountsQuery;
use serde_json::{Value, json};

/// The question in days since 1970, clock time of Norway.
fn question(query: &CountsQuery, today: i64) -> Result<CountQuery, Problem> {
    let asked = Asked {
        from: query.from.clone(),
        to: query.to.clone(),
        her_id: query.her_id,
        function: query.function.clone(),
        transport: query.transport.clone(),
    };
    asked.question(today).map_err(Problem::bad_request)
}

pub(crate) fn report(
    counter: &Counter,
    viewer: Viewer,
    query: &CountsQuery,
    now_us: i64,
) -> Result<Value, Problem> {
    let query = question(query, meldinger::counter::today(now_us))?;
    let report = counter.report(viewer, &query).map_err(failed)?;
    serde_json::to_value(report).map_err(|_| Problem::internal())
}

pub(crate) fn csv(
    counter: &Counter,
    viewer: Viewer,
    query: &CountsQuery,
    now_us: i64,
) -> Result<String, Problem> {
    let query = question(query, meldinger::counter::today(now_us))?;
    counter.csv(viewer, &query).map_err(failed)
}

pub(crate) fn again(counter: &Counter) -> Result<Value, Problem> {
    counter.rebuild().map_err(failed)?;
    Ok(json!({ "counting": true }))
}

pub(crate) fn put_back(exchange: &Exchange, viewer: Viewer, id: &str) -> Result<Value, Problem> {
    match exchange.put_back(viewer, id).map_err(failed)? {
        PutBack::Done => Ok(json!({ "put_back": true })),
        PutBack::NotFound => Err(Problem::not_found()),
        PutBack::NotAllowed => Err(Problem::new(
            axum::http::StatusCode::CONFLICT,
            "not-stuck",
            "The message was taken or answered; only its sender can send another one.",
        )),
    }
}

fn failed(error: ExchangeError) -> Problem {
    tracing::error!(%error, "messages could not be counted or put back");
    Problem::unavailable()
}
