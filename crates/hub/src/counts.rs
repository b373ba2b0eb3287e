//! The message counter for `/drift`: questions of the pages as questions to the counter, and sending again.

use edge::Problem;
use meldinger::counter::{CountQuery, Counter};
use meldinger::port::Transport;
use meldinger::view::Viewer;
use meldinger::{Exchange, ExchangeError, PutBack};
use portal::counts::CountsQuery;
use serde_json::{Value, json};

/// Days shown when none are asked for.
const DAYS: i64 = 7;

/// The question in days since 1970, clock time of Norway.
fn question(query: &CountsQuery, today: i64) -> Result<CountQuery, Problem> {
    let day = |text: &Option<String>, name: &str| match text {
        None => Ok::<_, Problem>(None),
        Some(text) => {
            let date: jiff::civil::Date = text.parse().map_err(|_| {
                Problem::bad_request(format!("{name} is not a date; write yyyy-mm-dd"))
            })?;
            let epoch = jiff::civil::date(1970, 1, 1);
            let span = date.since((jiff::Unit::Day, epoch));
            Ok(Some(span.map_or(0, |span| i64::from(span.get_days()))))
        }
    };
    let last = day(&query.to, "to")?.unwrap_or(today);
    let first = day(&query.from, "from")?.unwrap_or(last - DAYS + 1);
    if first > last {
        return Err(Problem::bad_request("from is after to".to_owned()));
    }
    let transport = match query.transport.as_deref() {
        None => None,
        Some(code) => Some(
            [
                Transport::Amqp,
                Transport::Ebxml,
                Transport::Rest,
                Transport::Hub,
            ]
            .into_iter()
            .find(|transport| transport.code() == code)
            .ok_or_else(|| {
                Problem::bad_request("transport is amqp, ebxml, rest or hub".to_owned())
            })?,
        ),
    };
    Ok(CountQuery {
        first_day: first,
        last_day: last,
        her_id: query.her_id,
        function: query.function.clone(),
        transport,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_read_or_refused() {
        let ask = |from: &str, to: &str, transport: Option<&str>| {
            let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let query = CountsQuery {
                from: text(from),
                to: text(to),
                transport: transport.map(str::to_owned),
                ..CountsQuery::default()
            };
            question(&query, 20_000)
        };
        let days = |query: CountQuery| (query.first_day, query.last_day);
        assert_eq!(ask("", "", None).map(days).ok(), Some((19_994, 20_000)));
        assert_eq!(
            ask("1970-01-02", "1970-01-03", Some("ebxml"))
                .map(days)
                .ok(),
            Some((1, 2))
        );
        for (from, to, transport) in [
            ("1970-01-03", "1970-01-02", None),
            ("x", "", None),
            ("", "2026-13-01", None),
            ("", "", Some("fax")),
        ] {
            assert!(ask(from, to, transport).is_err(), "{from} {to}");
        }
    }
}
