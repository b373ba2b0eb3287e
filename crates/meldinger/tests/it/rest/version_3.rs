//! Version 3: set-up, answers before delivery, notices.

use super::*;

/// A set-up of one HER-id.
fn set_up(her_id: u32, locked: bool, refused: &[&str]) -> Value {
    json!({ "configurations": [{ "herId": her_id, "receiveNotificationChannel": "Api", "clientLocked": locked,
        "rejectMessageFilters": { "MessageFunction": refused } }] })
}

fn message(msg_id: &str) -> Value {
    json!({ "senderHerId": EPJ_SERVICE, "receiverHerIds": [HEART], "businessDocument": BASE64_STANDARD.encode(note(msg_id)),
        "contentType": "application/xml", "contentTransferEncoding": "base64",
        "messageTypeIdentificator": "DIALOG_NOTAT" })
}

impl Service {
    async fn put_up(&self, by: By<'_>, her_id: u32) {
        let answer = self
            .call(
                by,
                "PUT",
                "/mshconfigurations",
                Some(set_up(her_id, false, &[])),
            )
            .await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.body);
    }

    async fn send_v3(&self, by: By<'_>, request: Value) -> String {
        let answer = self.call(by, "POST", "/messages", Some(request)).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        answer.body["id"].as_str().unwrap().to_owned()
    }

    /// Types and messages of the notices after an offset.
    async fn news(&self, by: By<'_>, her_id: u32, offset: u64) -> Vec<Value> {
        let path = format!("/notifications?HerIds={her_id}&Offset={offset}");
        let answer = self.get(by, &path).await;
        answer["notifications"].as_array().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_her_id_is_set_up_before_it_is_used() {
    let s = service().await;
    let (epj, hospital) = (by_3(EPJ_NO), by_3(HOSPITAL_NO));
    let answer = s
        .call(epj, "POST", "/messages", Some(message(&new_id())))
        .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let kind = &answer.headers["content-type"];
    assert_eq!(kind, "application/problem+json; charset=utf-8");
    for member in [
        "type",
        "title",
        "status",
        "detail",
        "instance",
        "errorCode",
        "requestId",
        "validationErrors",
        "timestamp",
    ] {
        assert!(!answer.body[member].is_null(), "{member}: {}", answer.body);
    }
    assert_eq!(answer.body["errorCode"], 1001);
    let put = async |by: By<'_>, body: Value| {
        let answer = s.call(by, "PUT", "/mshconfigurations", Some(body)).await;
        answer.status
    };
    let kafka =
        json!({ "configurations": [{ "herId": HEART, "receiveNotificationChannel": "Kafka" }] });
    assert_eq!(put(hospital, kafka).await, StatusCode::BAD_REQUEST);
    assert_eq!(
        put(hospital, json!({ "configurations": [] })).await,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        put(hospital, set_up(EPJ_SERVICE, false, &[])).await,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        put(hospital, set_up(HEART, true, &[])).await,
        StatusCode::NO_CONTENT
    );
    // Locked: another client of the same organisation stays out.
    let colleague = By {
        client: "other",
        ..hospital
    };
    assert_eq!(
        put(colleague, set_up(HEART, false, &[])).await,
        StatusCode::LOCKED
    );
    let answer = s
        .call(
            colleague,
            "GET",
            &format!("/notifications?HerIds={HEART}&Offset=0"),
            None,
        )
        .await;
    assert_eq!(answer.status, StatusCode::LOCKED);
    let answer = s
        .call(
            colleague,
            "DELETE",
            &format!("/mshconfigurations?HerIds={HEART}"),
            None,
        )
        .await;
    assert_eq!(answer.status, StatusCode::LOCKED);
    let answer = s
        .call(
            hospital,
            "DELETE",
            &format!("/mshconfigurations?HerIds={HEART}"),
            None,
        )
        .await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    let answer = s
        .call(
            hospital,
            "GET",
            &format!("/notifications?HerIds={HEART}&Offset=0"),
            None,
        )
        .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(s.get(epj, "/ping").await["response"], "Pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn version_3_sends_tells_news_and_answers() {
    let s = service().await;
    let (epj, hospital) = (by_3(EPJ_NO), by_3(HOSPITAL_NO));
    s.put_up(epj, EPJ_SERVICE).await;
    s.put_up(hospital, HEART).await;
    let msg_id = new_id();
    let id = s.send_v3(epj, message(&msg_id)).await;
    let status = s.get(epj, &format!("/messages/{id}/status")).await;
    assert_eq!(
        status,
        json!({ "statusList": [{ "receiverHerId": HEART, "transportDeliveryState": "Acknowledged", "sent": true, "apprecInfo": null }] })
    );
    let news = s.news(hospital, HEART, 0).await;
    assert_eq!(news.len(), 1, "{news:?}");
    assert_eq!(news[0]["type"], "NewMessage");
    assert_eq!(news[0]["relatedMessageId"], id);
    assert_eq!(news[0]["notificationReceiverHerId"], HEART);
    assert_eq!(news[0]["notificationTriggeredByHerId"], EPJ_SERVICE);
    assert!(news[0]["notificationId"].is_string());
    let offset = news[0]["offset"].as_u64().unwrap();
    assert!(s.news(hospital, HEART, offset).await.is_empty());

    let one = s.get(hospital, &format!("/messages/{id}")).await;
    assert_eq!(
        one,
        json!({ "id": id, "senderHerId": EPJ_SERVICE, "receiverHerIds": [HEART], "businessDocumentId": msg_id,
            "businessDocumentGenDate": "2026-11-23T08:05:00+01:00", "businessDocumentMsgType": "DIALOG_NOTAT",
            "contentType": "application/xml" })
    );
    s.get(hospital, &format!("/messages/{id}/business-document"))
        .await;
    let done = json!({ "receiverHerId": HEART });
    let answer = s
        .call(
            hospital,
            "PUT",
            &format!("/messages/{id}/downloaded"),
            Some(done),
        )
        .await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    let receipt = json!({ "appRecSenderHerId": HEART, "appRecStatus": "Ok", "appRecErrorList": [],
        "applicationName": "X", "applicationVersion": "1" });
    let answer = s
        .call(
            hospital,
            "POST",
            &format!("/messages/{id}/apprec"),
            Some(receipt),
        )
        .await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    let receipt = answer.body["id"].as_str().unwrap();
    let status = s.get(epj, &format!("/messages/{id}/status")).await;
    assert_eq!(
        status["statusList"][0]["apprecInfo"],
        json!({ "appRecStatus": "Ok", "appRecErrorList": [], "appRecId": receipt })
    );
    let news = s.news(epj, EPJ_SERVICE, 0).await;
    let mut kinds: Vec<(&str, &str)> = news
        .iter()
        .map(|n| {
            (
                n["type"].as_str().unwrap(),
                n["relatedMessageId"].as_str().unwrap(),
            )
        })
        .collect();
    kinds.sort_unstable();
    let of = |what| (what, id.as_str());
    assert_eq!(
        kinds,
        [
            of("MessageApprecInfoUpdated"),
            of("MessageDeliveryStateUpdated"),
            of("MessageSentStateUpdated"),
            ("NewMessage", receipt)
        ]
    );
    let offsets: Vec<u64> = news.iter().map(|n| n["offset"].as_u64().unwrap()).collect();
    assert!(offsets.is_sorted());
    assert!(offsets.iter().all(|o| *o >= offset));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_refuses_and_both_sides_are_told() {
    let s = service().await;
    let (epj, hospital) = (by_3(EPJ_NO), by_3(HOSPITAL_NO));
    s.put_up(epj, EPJ_SERVICE).await;
    let filtering = set_up(HEART, false, &["DIALOG_NOTAT"]);
    let answer = s
        .call(hospital, "PUT", "/mshconfigurations", Some(filtering))
        .await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    let id = s.send_v3(epj, message(&new_id())).await;
    let status = s.get(epj, &format!("/messages/{id}/status")).await;
    assert_eq!(
        status["statusList"][0]["transportDeliveryState"],
        "Rejected"
    );
    assert_eq!(status["statusList"][0]["sent"], false);
    let news = s.news(hospital, HEART, 0).await;
    assert_eq!(news[0]["type"], "RefusedMessage");
    assert_eq!(news[0]["relatedMessageId"], id);
    let list = s
        .get(
            by(HOSPITAL_NO),
            &format!("/Messages?ReceiverHerIds={HEART}"),
        )
        .await;
    assert_eq!(list, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn news_come_as_a_stream_too() {
    let s = service().await;
    let (epj, hospital) = (by_3(EPJ_NO), by_3(HOSPITAL_NO));
    for (who, her_id) in [(epj, EPJ_SERVICE), (hospital, HEART)] {
        s.put_up(who, her_id).await;
    }
    let id = s.post(by(EPJ_NO), &note(&new_id())).await;
    let path = format!("{PREFIX}/notifications/stream");
    let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "iat": NOW_S, "nbf": NOW_S, "exp": NOW_S + 600,
        "client_id": "epj", "scope": [SCOPE], "jti": new_id(),
        "cnf": {"jkt": s.key.public().thumbprint()}, names::ORGNR_PARENT: HOSPITAL_NO});
    let Value::Object(claims) = claims else {
        panic!()
    };
    let token = s.ring.sign("at+jwt", &Claims(claims)).unwrap();
    let proof = make_proof(
        &s.key,
        "GET",
        &format!("{BASE}{path}"),
        Some(&token),
        None,
        NOW_S,
    )
    .unwrap();
    let request = Request::get(format!("{path}?HerIds={HEART}&Offset=0"))
        .header("authorization", format!("DPoP {token}"))
        .header("dpop", proof)
        .header("api-version", "3")
        .header("nhn-source-system", "t")
        .body(Body::empty())
        .unwrap();
    let response = s.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let frame = body.frame().await.unwrap().unwrap();
    let first = frame.into_data().unwrap();
    assert_eq!(&first[..], b"event: connected\ndata:\n\n");
    let frame = body.frame().await.unwrap().unwrap();
    let text = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
    assert!(text.starts_with("event: notification\nid: "), "{text}");
    assert!(text.contains(&id) && text.ends_with("\n\n"));
}
