//! Test and approval as the pages see it, and the rules of the validator as it reads messages by.

use crate::validator::Validator;
use axum::Router;
use axum::http::StatusCode;
use edge::Problem;
use edi::check::{Checked, Envelope, Options};
use meldinger::approval::standard::{Case, Direction, Standard};
use meldinger::approval::{ApprovalConfig, ApprovalError, Approvals, Check};
use meldinger::edge::rest::{self, RestParts};
use meldinger::view::Viewer;
use meldinger::{Exchange, ExchangeError};
use portal::approvals::Act;
use records::intake::RegisterLookups;
use registers::Directory;
use registers::directory::PartyKind;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};

/// The validator, once it is there: it needs registers that start after the message exchange.
pub type Later = Arc<OnceLock<Arc<Validator>>>;

/// Test and approval over an exchange. Until the validator is there messages are read by the registers alone.
pub fn open(
    exchange: &Exchange,
    directory: Arc<dyn Directory>,
) -> Result<(Approvals, Later), store::StoreError> {
    let later = Later::default();
    let validator = later.clone();
    let check: Arc<Check> = Arc::new(move |bytes, envelope| match validator.get() {
        Some(validator) => validator.check(bytes, envelope),
        None => by_registers(directory.as_ref(), bytes, envelope),
    });
    let approvals = Approvals::new(exchange, check, ApprovalConfig::default())?;
    Ok((approvals, later))
}

/// The validator, and test and approval, over HTTP; from now on runs are judged by the validator.
pub fn edges(
    msh: &RestParts,
    validator: Arc<Validator>,
    approvals: Approvals,
    later: &Later,
) -> Router {
    // Nobody else sets it.
    let _ = later.set(validator.clone());
    let explain =
        Arc::new(move |bytes: &[u8], language: &str| validator.explain(bytes, language).ok());
    rest::validator::router(msh.clone(), explain)
        .merge(rest::approval::router(msh.clone(), approvals))
}

fn by_registers(directory: &dyn Directory, bytes: &[u8], envelope: Option<Envelope>) -> Checked {
    let lookups = RegisterLookups(directory);
    let options = Options {
        lookups: &lookups,
        envelope,
        ..Options::default()
    };
    edi::check::run(bytes, &options)
}

/// Does what a page asks for.
pub fn act(approvals: &Approvals, viewer: Viewer, act: Act) -> Result<Value, Problem> {
    let own = || match viewer {
        Viewer::Party { organisation } => Ok(organisation),
        Viewer::Operator => Err(Problem::forbidden(
            "only the vendor's own organisation tries its systems",
        )),
    };
    let answer = match act {
        Act::Overview => return overview(approvals, viewer),
        Act::Run { id } => approvals.report(viewer, &id),
        Act::Register { form } => {
            let made = approvals.register(own()?, &read(form)?).map_err(problem)?;
            return serde_json::to_value(made).map_err(|_| Problem::internal());
        }
        Act::Start { form } => approvals.start(own()?, &read(form)?),
        Act::Send { id, case } => {
            let case = Case::parse(&case).ok_or_else(Problem::not_found)?;
            approvals.send_again(own()?, &id, case)
        }
        Act::Declare {
            id,
            criterion,
            form,
        } => approvals.declare(own()?, &id, &criterion, &read(form)?),
        Act::Finish { id } => approvals.finish(own()?, &id),
    };
    answer.map_err(problem)
}

fn overview(approvals: &Approvals, viewer: Viewer) -> Result<Value, Problem> {
    let parties = match viewer {
        Viewer::Operator => Vec::new(),
        Viewer::Party { organisation } => approvals.parties(organisation),
    };
    let parties: Vec<Value> = parties
        .into_iter()
        .map(|party| {
            json!({
                "her_id": party.her_id,
                "name": party.name,
                "is_organisation": party.kind == PartyKind::Organisation,
            })
        })
        .collect();
    let standards: Vec<Value> = Standard::ALL
        .iter()
        .map(|s| json!({ "code": s.code(), "name": s.name(), "functions": s.functions() }))
        .collect();
    Ok(json!({
        "systems": approvals.systems(viewer).map_err(problem)?,
        "runs": approvals.runs(viewer).map_err(problem)?,
        "approved": approvals.approved().map_err(problem)?,
        "parties": parties,
        "standards": standards,
        "directions": [Direction::Receive, Direction::Send],
        "test_party": approvals.her_id(),
    }))
}

fn read<T: DeserializeOwned>(form: Value) -> Result<T, Problem> {
    // The parser's words may quote the form.
    serde_json::from_value(form)
        .map_err(|_| Problem::bad_request("a field is missing, unknown or of another type"))
}

fn problem(error: ApprovalError) -> Problem {
    let said = error.to_string();
    match error {
        ApprovalError::NotFound => Problem::not_found(),
        ApprovalError::Invalid(_) => Problem::bad_request(said),
        ApprovalError::NotNow(_) => {
            Problem::new(StatusCode::CONFLICT, "not-now", "Not possible now.").with_detail(said)
        }
        ApprovalError::Conflict => Problem::conflict(said),
        ApprovalError::Exchange(ExchangeError::Store(error)) => error.into(),
        ApprovalError::Exchange(ExchangeError::Commit(error)) => error.into(),
        ApprovalError::Exchange(ExchangeError::Interrupted) => Problem::unavailable(),
    }
}
