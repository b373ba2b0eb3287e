//! Who is refused, and what breaks the contract.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn only_parties_come_in() {
    let s = service().await;
    let (epj, hospital, gp) = (by(EPJ_NO), by(HOSPITAL_NO), by(GP_NO));
    let id = s.post(epj, &note(&new_id())).await;
    for path in ["", "/business-document", "/status", "/apprec"] {
        let answer = s
            .call(gp, "GET", &format!("/Messages/{id}{path}"), None)
            .await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(
            answer.body["error"],
            format!("Not authorized for HerId(s): {HEART}")
        );
        assert_eq!(answer.body["errorCode"], 0);
        assert!(answer.body["validationErrors"].is_null() && answer.body["stackTrace"].is_null());
        assert!(!answer.body["requestId"].as_str().unwrap().is_empty());
    }
    let answer = s
        .call(
            hospital,
            "POST",
            "/Messages",
            Some(request_of(&note(&new_id()))),
        )
        .await;
    assert_eq!(
        answer.body["error"],
        format!("Not authorized for HerId(s): {EPJ_SERVICE}")
    );
    let answer = s
        .call(
            gp,
            "GET",
            &format!("/Messages?ReceiverHerIds={HEART}&ReceiverHerIds={GP_DOCTOR}"),
            None,
        )
        .await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(
        answer.body["error"],
        format!("Not authorized for HerId(s): {HEART}")
    );
    for (who, path) in [
        (gp, format!("/Messages/{id}/read/{HEART}")),
        (hospital, format!("/Messages/{id}/read/{GP_DOCTOR}")),
    ] {
        let answer = s.call(who, "PUT", &path, None).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
    }
    // The sender owns the message, not the receiver's reading of it.
    let answer = s
        .call(
            epj,
            "PUT",
            &format!("/Messages/{id}/read/{EPJ_SERVICE}"),
            None,
        )
        .await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let answer = s
        .call(
            gp,
            "POST",
            &format!("/Messages/{id}/apprec/{GP_DOCTOR}"),
            Some(json!({ "appRecStatus": "Ok" })),
        )
        .await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let unknown = new_id();
    let answer = s
        .call(epj, "GET", &format!("/Messages/{unknown}"), None)
        .await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.body["error"], "Could not find database document");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_asked_for() {
    let s = service().await;
    let request = Request::get(format!("{PREFIX}/Messages"))
        .body(Body::empty())
        .unwrap();
    let answer = s.send(request).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(
        answer.headers["www-authenticate"]
            .to_str()
            .unwrap()
            .starts_with("DPoP")
    );
    let other = By {
        scope: "nhn:other/api",
        ..by(EPJ_NO)
    };
    let answer = s
        .call(
            other,
            "GET",
            &format!("/Messages?ReceiverHerIds={EPJ_SERVICE}"),
            None,
        )
        .await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.body["requestId"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_break_the_contract_are_told_how() {
    let s = service().await;
    let epj = by(EPJ_NO);
    let list = format!("/Messages?ReceiverHerIds={EPJ_SERVICE}");
    let faults = async |by: By<'_>, method: &str, path: &str, body: Option<String>| {
        let answer = s.call_text(by, method, path, body).await;
        assert_eq!(
            answer.status,
            StatusCode::BAD_REQUEST,
            "{path}: {}",
            answer.body
        );
        assert_eq!(answer.body["errorCode"], 1000, "{path}");
        assert_eq!(answer.body["error"], "Model validation error occurred");
        answer.body["validationErrors"].as_array().unwrap().len()
    };
    assert_eq!(faults(epj, "GET", "/Messages", None).await, 1);
    assert_eq!(
        faults(
            epj,
            "GET",
            &format!("{list}&MessagesToFetch=0&OrderBy=x"),
            None
        )
        .await,
        2
    );
    assert_eq!(faults(epj, "GET", "/Messages/not-a-guid", None).await, 1);
    let without = By {
        system: None,
        ..epj
    };
    assert_eq!(faults(without, "GET", &list, None).await, 1);
    let strange = By {
        version: Some("7"),
        ..epj
    };
    assert_eq!(faults(strange, "GET", &list, None).await, 1);
    // The default is version 2.
    s.get(
        By {
            version: None,
            ..epj
        },
        &list,
    )
    .await;

    let post = |change: &dyn Fn(&mut Value)| {
        let mut request = request_of(&note(&new_id()));
        change(&mut request);
        Some(request.to_string())
    };
    let document = |text: &str| json!(BASE64_STANDARD.encode(text));
    let no_declaration =
        note(&new_id()).replacen("<?xml version=\"1.0\" encoding=\"UTF-8\"?>", "", 1);
    let nobody = note(&new_id()).replace(&HEART.to_string(), "77");
    let with = |text: &str| post(&|r| r["businessDocument"] = document(text));
    for (body, count) in [
        (Some("{".to_owned()), 1),
        (Some("{\"businessDocument\":7}".to_owned()), 1),
        (Some("{}".to_owned()), 3),
        (post(&|r| r["contentType"] = json!("text/plain")), 1),
        (post(&|r| r["contentTransferEncoding"] = json!("hex")), 1),
        (post(&|r| r["businessDocument"] = json!("***")), 1),
        (with("<a>"), 1),
        (with(&xml("<!DOCTYPE a><a/>")), 1),
        (with(&xml("<a/>")), 1),
        (with(&no_declaration), 1),
        (with(&nobody), 1),
        (with(&note("1")), 1),
    ] {
        let said = body.clone();
        assert_eq!(
            faults(epj, "POST", "/Messages", body).await,
            count,
            "{said:?}"
        );
    }

    let id = s.post(epj, &note(&new_id())).await;
    let path = format!("/Messages/{id}/apprec/{HEART}");
    let hospital = by(HOSPITAL_NO);
    for body in [
        json!({}),
        json!({ "appRecStatus": "Maybe" }),
        json!({ "appRecStatus": "OkErrorInMessagePart" }),
        json!({ "appRecStatus": "Rejected" }),
        json!({ "appRecStatus": "Rejected", "appRecErrorList": [{ "errorCode": "ZZZ", "details": "" }] }),
        json!({ "appRecStatus": "Rejected", "appRecErrorList": [{ "details": "x" }] }),
        json!({ "appRecStatus": "Ok", "appRecErrorList": [{ "errorCode": "E10", "details": "" }] }),
    ] {
        assert_eq!(
            faults(hospital, "POST", &path, Some(body.to_string())).await,
            1,
            "{body}"
        );
    }
    let answer = s
        .call(epj, "DELETE", &format!("/Messages/{id}"), None)
        .await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    let answer = s.call(epj, "GET", "/Nothing", None).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let large = "x".repeat(36_000_000);
    let answer = s.call_text(epj, "POST", "/Messages", Some(large)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}
