//! The HTTP road.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use ebxml::envelope::Kind;
use ebxml::mime::{Headers, Limits};
use ebxml::package::{Received, Via};
use ebxml::signal;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::{Draft, exchange};
use crate::world::PKI;

pub(super) async fn post(
    hub: &super::Exchange,
    kind: &str,
    body: Vec<u8>,
) -> (StatusCode, Option<Received>, String) {
    let request = Request::post("/ebxml")
        .header("content-type", kind)
        .header("soapaction", "\"ebXML\"")
        .body(Body::from(body))
        .unwrap();
    let response = hub.handler.router().oneshot(request).await.unwrap();
    let status = response.status();
    let kind = response
        .headers()
        .get("content-type")
        .map(|value| value.to_str().unwrap().to_owned());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let headers = Headers::from_fields([
        ("Content-Type", kind.as_deref().unwrap_or("")),
        ("SOAPAction", "\"ebXML\""),
    ]);
    let read = Received::from_parts(&headers, &body, Via::Http, &Limits::default()).ok();
    (status, read, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_signal_is_in_the_response() {
    let hub = exchange().await;
    let draft = Draft::note();
    let outgoing = draft.outgoing();
    for _ in 0..2 {
        let (status, answer, _) = post(&hub, &outgoing.content_type(), outgoing.http_body()).await;
        assert_eq!(status, StatusCode::OK);
        let answer = answer.unwrap();
        let Kind::Acknowledgment(read) = &answer.envelope.kind else {
            panic!()
        };
        assert_eq!(read.ref_to_message_id, draft.id());
        let hubs = [PKI.hub.signing.certificate().clone()];
        answer
            .check_signature(xmlsec::dsig::Signer::OneOf(&hubs))
            .unwrap();
    }
    assert!(hub.fetch("vaar-epj").await.is_empty());
    hub.world.work();
    assert_eq!(hub.world.results.seen.lock().unwrap().len(), 1);

    let wrong = Draft {
        signer: &PKI.revoked,
        ..Draft::note()
    }
    .outgoing();
    let (status, answer, _) = post(&hub, &wrong.content_type(), wrong.http_body()).await;
    assert_eq!(status, StatusCode::OK);
    assert!(matches!(answer.unwrap().envelope.kind, Kind::Error(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_are_the_clients() {
    let hub = exchange().await;
    for (kind, body) in [
        ("application/json", b"{}".to_vec()),
        ("text/xml", b"<a/>".to_vec()),
        ("text/xml", b"".to_vec()),
        ("multipart/related; boundary=x", b"--x--".to_vec()),
    ] {
        let (status, _, text) = post(&hub, kind, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(text.contains("faultcode>SOAP:Client<"), "{text}");
    }
    let fault = signal::fault(signal::FaultCode::Client, "x").into_bytes();
    let (status, _, text) = post(&hub, "text/xml", fault).await;
    assert_eq!((status, text.as_str()), (StatusCode::NO_CONTENT, ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_for_others_goes_by_mail() {
    let hub = exchange().await;
    let outgoing = Draft::between().outgoing();
    let (status, answer, _) = post(&hub, &outgoing.content_type(), outgoing.http_body()).await;
    assert_eq!(status, StatusCode::OK);
    let Kind::Error(list) = &answer.unwrap().envelope.kind.clone() else {
        panic!()
    };
    assert_eq!(list.errors[0].code, ebxml::Code::DeliveryFailure);
    assert!(hub.fetch("nordlys").await.is_empty());
}
