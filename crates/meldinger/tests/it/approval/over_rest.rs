//! The same over the message service: the hub is the vendor's message handler, and the vendor never sees an envelope.

use axum::http::StatusCode;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::*;
use crate::rest::{Caller, by};

const OURS: &str = "315900239";

/// Fetches what waits, answers it and says that it is read; how many there were.
async fn round(scheme: &Scheme, service: &Caller, known: &mut Vec<String>) -> usize {
    let us = by(OURS);
    let query = "/Messages?receiverHerIds=8900901&includeMetadata=true&messagesToFetch=100";
    let list = service.get(us, query).await;
    let list = list.as_array().unwrap();
    for message in list {
        let id = message["id"].as_str().unwrap();
        if message["isAppRec"] == false {
            let path = format!("/Messages/{id}/business-document");
            let document = service.get(us, &path).await;
            let document = document["businessDocument"].as_str().unwrap();
            let content = BASE64_STANDARD.decode(document).unwrap();
            answer_one(service, id, &content, known).await;
        }
        let path = format!("/Messages/{id}/read/{EPJ_SERVICE}");
        let read = service.call(us, "PUT", &path, None).await;
        assert_eq!(read.status, StatusCode::NO_CONTENT);
    }
    scheme.work();
    list.len()
}

async fn answer_one(service: &Caller, id: &str, content: &[u8], known: &mut Vec<String>) {
    let road = edi::check::Transport::Api;
    let (status, errors) = match decide(content, road, Manner::Right, known) {
        Decision::Receipt { status, errors, .. } => (status, errors),
        Decision::Nothing => return,
        Decision::Unreadable => panic!("what cannot be read never comes by this road"),
    };
    let list: Vec<Value> = errors
        .iter()
        .map(|error| json!({ "errorCode": error.code(), "details": "" }))
        .collect();
    let body = match status {
        Status::Ok => json!({ "appRecStatus": "Ok" }),
        _ => json!({ "appRecStatus": "Rejected", "appRecErrorList": list }),
    };
    let path = format!("/Messages/{id}/apprec/{EPJ_SERVICE}");
    let made = service.call(by(OURS), "POST", &path, Some(body)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_is_approved() {
    let scheme = scheme().await;
    let (service, _) = Caller::on(&scheme.world, false);
    let started = scheme.start_over(Transport::Rest, Direction::Receive, Standard::Epikrise12);
    let id = started["id"].as_str().unwrap().to_owned();
    let cases = started["cases"].as_array().unwrap();
    for missing in ["not_well_formed", "wrong_namespace"] {
        assert!(cases.iter().all(|case| case["case"] != missing));
    }
    let mut known = Vec::new();
    let messages = round(&scheme, &service, &mut known).await;
    assert_eq!(messages, cases.len() + 1, "one of them twice");

    let report = scheme.report(&id);
    assert_eq!(states(&report, "failed"), [] as [&str; 0], "{report:#}");
    let waiting = states(&report, "waiting");
    assert!(
        waiting.iter().all(|id| id.starts_with("R-D")),
        "{waiting:?}"
    );
    scheme.declare_all(&report);
    let done = tokio::task::block_in_place(|| scheme.approvals.finish(EPJ, &id)).unwrap();
    assert_eq!(
        (&done["status"], &done["transport"]),
        (&"ok".into(), &"rest".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_is_approved() {
    let scheme = scheme().await;
    let (service, _) = Caller::on(&scheme.world, false);
    let started = scheme.start_over(Transport::Rest, Direction::Send, Standard::Epikrise12);
    let id = started["id"].as_str().unwrap().to_owned();
    for (state, patient, more) in [
        ("N", FNR, ""),
        ("M", FNR, ""),
        ("C", FNR, ""),
        ("N", DNR, ""),
        ("N", FNR, PDF),
    ] {
        let document = letter(&new_id(), state, patient, more);
        service.post(by(OURS), &document).await;
    }
    scheme.work();
    let waiting = |report: &Value| -> Vec<String> {
        let all = states(report, "waiting").into_iter();
        all.filter(|id| !id.starts_with("S-D")).collect()
    };
    let report = scheme.report(&id);
    assert_eq!(states(&report, "failed"), [] as [&str; 0], "{report:#}");
    assert_eq!(waiting(&report), ["S-T01"], "no receipt is fetched yet");
    assert_eq!(round(&scheme, &service, &mut Vec::new()).await, 5);
    let report = scheme.report(&id);
    assert_eq!(waiting(&report), [] as [&str; 0], "{report:#}");
    scheme.declare_all(&report);
    let done = tokio::task::block_in_place(|| scheme.approvals.finish(EPJ, &id)).unwrap();
    assert_eq!(done["status"], "ok");
}
