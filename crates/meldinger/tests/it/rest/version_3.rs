//! Version 3: set-up, answers before delivery, notices.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn version_3_wants_a_set_up_and_tells_news() {
    let s = service().await;
    let (epj, hospital) = (by_3(EPJ_NO), by_3(HOSPITAL_NO));
    let message = |msg_id: &str| {
        json!({ "senderHerId": EPJ_SERVICE, "receiverHerIds": [HEART], "businessDocument": BASE64_STANDARD.encode(note(msg_id)),
            "contentType": "application/xml", "contentTransferEncoding": "base64",
            "messageTypeIdentificator": "DIALOG_NOTAT", "applicationName": "EPJ Front", "applicationVersion": "18" })
    };
    // Before a set-up nothing works, in the form of version 3.
    let answer = s
        .call(epj, "POST", "/messages", Some(message(&new_id())))
        .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        answer.headers["content-type"],
        "application/problem+json; charset=utf-8"
    );
    for member in [
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
    let set_up = |her_id: u32, locked: bool| {
        json!({ "herId": her_id, "clientLocked": locked, "receiveNotificationChannel": "ApiPolling",
            "receiveRefusedMessageNotices": true, "rejectMessageFilters": [] })
    };
    let kafka = json!({ "herId": HEART, "receiveNotificationChannel": "Kafka" });
    assert_eq!(
        s.call(hospital, "PUT", "/mshconfigurations", Some(kafka))
            .await
            .status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        s.call(
            hospital,
            "PUT",
            "/mshconfigurations",
            Some(set_up(EPJ_SERVICE, false))
        )
        .await
        .status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        s.call(
            epj,
            "PUT",
            "/mshconfigurations",
            Some(set_up(EPJ_SERVICE, false))
        )
        .await
        .status,
        StatusCode::OK
    );
    let made = s
        .call(
            hospital,
            "PUT",
            "/mshconfigurations",
            Some(set_up(HEART, true)),
        )
        .await;
    assert_eq!(
        (made.status, made.body["clientLocked"].as_bool()),
        (StatusCode::OK, Some(true))
    );
    // Locked: another client of the same organisation stays out.
    let colleague = By {
        client: "other",
        ..hospital
    };
    for (method, path, body) in [
        (
            "PUT",
            "/mshconfigurations".to_owned(),
            Some(set_up(HEART, false)),
        ),
        ("GET", format!("/notifications?HerIds={HEART}"), None),
    ] {
        let answer = s.call(colleague, method, &path, body).await;
        assert_eq!(answer.status, StatusCode::LOCKED, "{path}: {}", answer.body);
    }

    let answer = s
        .call(epj, "POST", "/messages", Some(message(&new_id())))
        .await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    let id = answer.body["id"].as_str().unwrap().to_owned();
    let news = s
        .get(hospital, &format!("/notifications?HerIds={HEART}"))
        .await;
    assert_eq!(news.as_array().unwrap().len(), 1, "{news}");
    assert_eq!(news[0]["type"], "NewMessage");
    assert_eq!(news[0]["relatedMessageId"], id);
    assert_eq!(news[0]["notificationReceiverHerId"], HEART);
    assert_eq!(news[0]["notificationTriggeredByHerId"], EPJ_SERVICE);
    let offset = news[0]["offset"].as_u64().unwrap();
    assert_eq!(
        s.get(
            hospital,
            &format!("/notifications?HerIds={HEART}&Offset={offset}")
        )
        .await,
        json!([])
    );
    s.get(hospital, &format!("/messages/{id}/business-document"))
        .await;
    let answer = s.call(hospital, "POST", &format!("/messages/{id}/apprec"), Some(json!({ "appRecSenderHerId": HEART,
        "appRecStatus": "Ok", "appRecErrorList": [], "applicationName": "X", "applicationVersion": "1" }))).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    let receipt = answer.body["id"].as_str().unwrap();
    let news = s
        .get(epj, &format!("/notifications?HerIds={EPJ_SERVICE}"))
        .await;
    let mut kinds: Vec<(&str, &str)> = news
        .as_array()
        .unwrap()
        .iter()
        .map(|n| {
            (
                n["type"].as_str().unwrap(),
                n["relatedMessageId"].as_str().unwrap(),
            )
        })
        .collect();
    kinds.sort_unstable();
    assert_eq!(
        kinds,
        [
            ("MessageApprecInfoUpdated", &*id),
            ("MessageSentStateUpdated", &*id),
            ("NewMessage", receipt)
        ]
    );
    let offsets: Vec<u64> = news
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n["offset"].as_u64().unwrap())
        .collect();
    assert!(offsets.is_sorted());
    assert!(offsets.iter().all(|o| *o >= offset));

    // A filter refuses; the sender sees it, and the receiver is told.
    let mut filtering = set_up(HEART, true);
    filtering["rejectMessageFilters"] = json!([{ "messageTypeIdentificator": "DIALOG_NOTAT" }]);
    assert_eq!(
        s.call(
            hospital,
            "PUT",
            &format!("/mshconfigurations/{HEART}"),
            Some(filtering)
        )
        .await
        .status,
        StatusCode::OK
    );
    let answer = s
        .call(epj, "POST", "/messages", Some(message(&new_id())))
        .await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let refused = answer.body["id"].as_str().unwrap();
    let status = s.get(epj, &format!("/messages/{refused}/status")).await;
    assert_eq!(status[0]["transportDeliveryState"], "Rejected");
    let news = s
        .get(
            hospital,
            &format!("/notifications?HerIds={HEART}&Offset={offset}"),
        )
        .await;
    let last = news.as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (last["type"].as_str(), last["relatedMessageId"].as_str()),
        (Some("RefusedMessage"), Some(refused))
    );

    assert_eq!(
        s.call(
            hospital,
            "DELETE",
            &format!("/mshconfigurations/{HEART}"),
            None
        )
        .await
        .status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        s.call(
            hospital,
            "GET",
            &format!("/notifications?HerIds={HEART}"),
            None
        )
        .await
        .status,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn news_come_as_a_stream_too() {
    let s = service().await;
    let (epj, hospital) = (by_3(EPJ_NO), by_3(HOSPITAL_NO));
    for (who, her_id) in [(epj, EPJ_SERVICE), (hospital, HEART)] {
        s.call(
            who,
            "PUT",
            "/mshconfigurations",
            Some(json!({ "herId": her_id })),
        )
        .await;
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
    let request = Request::get(format!("{path}?HerIds={HEART}"))
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
    let text = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
    assert!(text.starts_with("event: NewMessage\nid: "), "{text}");
    assert!(text.contains(&id) && text.ends_with("\n\n"));
}
