//! A search run for its steps rather than for its matches (`$explain`).

use super::{TIME_LIMIT, Target};
use crate::gate::Caller;
use crate::http::{Answer, Call};
use crate::outcome::Failure;
use crate::planner::{Evaluator, Step};
use crate::repository::Repository;
use axum::http::StatusCode;
use bytes::Bytes;
use serde_json::{Value, json};
use std::time::Instant;
use store::Patience;

impl Repository {
    /// Plans and runs the search of a type, or of all, and tells how.
    pub(crate) fn explain(
        &self,
        call: &Call,
        caller: &Caller,
        rtype: Option<&str>,
    ) -> Result<Answer, Failure> {
        Patience::new(TIME_LIMIT).hold(|| {
            let target = Target {
                types: rtype.into_iter().map(str::to_owned).collect(),
                compartment: None,
            };
            let sent = call.search_parameters()?;
            let began = Instant::now();
            let ready = self.ready(call, &sent, caller, target)?;
            let planned = micros(began);
            let evaluator = Evaluator::new(
                &ready.snapshot,
                &ready.granted,
                self.config.repo,
                &self.options,
            )
            .traced();
            let began = Instant::now();
            let found = self.find(&ready, &evaluator)?;
            let searched = micros(began);
            let began = Instant::now();
            let records = ready.snapshot.fetch(&ready.granted, &found.rids)?;
            let fetched = micros(began);
            let began = Instant::now();
            let included = self.included(
                &evaluator,
                &ready.scope,
                &ready.params.includes,
                &records,
                found.has_patient,
            )?;
            let includes = micros(began);
            let mut parameters = vec![
                number("types", ready.conds.len() as u64),
                number("matchesOnPage", records.len() as u64),
                number("included", included.records.len() as u64),
                json!({ "name": "hasNext", "valueBoolean": found.next.is_some() }),
                number("rowsVisited", evaluator.rows() as u64),
                number("planUs", planned),
                number("searchUs", searched),
                number("fetchUs", fetched),
                number("includeUs", includes),
            ];
            if let Some(total) = found.total {
                parameters.push(number("total", total));
            }
            parameters.extend(merged(evaluator.steps()).iter().map(step));
            let answer = json!({ "resourceType": "Parameters", "parameter": parameters });
            Ok(Answer::resource(
                StatusCode::OK,
                Bytes::from(answer.to_string()),
            ))
        })
    }
}

fn micros(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn number(name: &str, value: u64) -> Value {
    json!({ "name": name, "valueInteger": i32::try_from(value).unwrap_or(i32::MAX) })
}

/// Steps that were taken again and again, as one.
fn merged(steps: Vec<Step>) -> Vec<(Step, u64)> {
    let mut out: Vec<(Step, u64)> = Vec::new();
    for step in steps {
        match out.iter_mut().find(|(s, _)| s.what == step.what) {
            Some((known, times)) => {
                known.records += step.records;
                known.rows += step.rows;
                known.took_us += step.took_us;
                *times += 1;
            }
            None => out.push((step, 1)),
        }
    }
    out
}

fn step((step, times): &(Step, u64)) -> Value {
    let mut part = vec![json!({ "name": "what", "valueString": step.what })];
    if let Some(estimate) = step.estimate {
        part.push(number("estimate", estimate));
    }
    part.extend([
        number("times", *times),
        number("records", step.records as u64),
        number("rows", step.rows as u64),
        number("tookUs", step.took_us),
    ]);
    json!({ "name": "step", "part": part })
}
