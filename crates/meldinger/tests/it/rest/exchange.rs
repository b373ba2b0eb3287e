//! Messages out, in, read and answered; version 2.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_message_goes_out_is_read_and_answered() {
    let s = service().await;
    let (epj, hospital) = (by(EPJ_NO), by(HOSPITAL_NO));
    let msg_id = new_id();
    let id = s.post(epj, &note(&msg_id)).await;

    // Before anybody reads: it has arrived, and there is no receipt.
    let status = s.get(epj, &format!("/Messages/{id}/status")).await;
    assert_eq!(
        status,
        json!([{ "receiverHerId": HEART, "transportDeliveryState": "Acknowledged", "appRecStatus": null }])
    );
    let receipts = s.get(epj, &format!("/Messages/{id}/apprec")).await;
    assert_eq!(
        receipts,
        json!([{ "receiverHerId": HEART, "appRecStatus": null, "appRecErrorList": null }])
    );

    // Names of the query are read whatever their case; without metadata there are two members.
    let list = s
        .get(
            hospital,
            &format!("/Messages?receiverHerIds={HEART}&includeMetadata=false"),
        )
        .await;
    assert_eq!(list, json!([{ "id": id, "receiverHerId": HEART }]));
    let list = s
        .get(
            hospital,
            &format!("/messages?ReceiverHerIds={HEART}&IncludeMetadata=true"),
        )
        .await;
    let want = json!({ "id": id, "receiverHerId": HEART, "senderHerId": EPJ_SERVICE, "businessDocumentId": msg_id,
        "businessDocumentGenDate": "2026-11-23T08:05:00+01:00", "isAppRec": false });
    assert_eq!(list, json!([want]));
    let one = s.get(hospital, &format!("/Messages/{id}")).await;
    assert_eq!(one["contentType"], "application/xml");
    assert_eq!(one["businessDocumentId"], msg_id);

    let document = s
        .get(hospital, &format!("/Messages/{id}/business-document"))
        .await;
    assert_eq!(document["contentType"], "application/xml");
    assert_eq!(document["contentTransferEncoding"], "base64");
    let bytes = BASE64_STANDARD
        .decode(document["businessDocument"].as_str().unwrap())
        .unwrap();
    assert_eq!(bytes, note(&msg_id).into_bytes());

    // Reading is said apart; what was read stands no longer in the list but stays.
    let read = s
        .call(
            hospital,
            "PUT",
            &format!("/Messages/{id}/read/{HEART}"),
            None,
        )
        .await;
    assert_eq!(read.status, StatusCode::NO_CONTENT);
    let again = s
        .call(
            hospital,
            "PUT",
            &format!("/Messages/{id}/read/{HEART}"),
            None,
        )
        .await;
    assert_eq!(again.status, StatusCode::NO_CONTENT);
    assert_eq!(
        s.get(hospital, &format!("/Messages?ReceiverHerIds={HEART}"))
            .await,
        json!([])
    );
    s.get(hospital, &format!("/Messages/{id}")).await;

    // The receipt goes back as a message, and the sender sees it at the message, too.
    let rejection = json!({ "appRecStatus": "Rejected", "appRecErrorList": [
        { "errorCode": "E10", "details": "Ugyldig meldingsidentifikator" },
        { "errorCode": "X99", "details": "our words" } ] });
    let path = format!("/Messages/{id}/apprec/{HEART}");
    let made = s
        .call(hospital, "POST", &path, Some(rejection.clone()))
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let receipt_id = made.body.as_str().unwrap();
    let receipts = s.get(epj, &format!("/Messages/{id}/apprec")).await;
    assert_eq!(receipts[0]["appRecStatus"], "Rejected");
    assert_eq!(receipts[0]["appRecErrorList"][0]["errorCode"], "E10");
    assert_eq!(
        receipts[0]["appRecErrorList"][0]["details"],
        "Ugyldig meldingsidentifikator"
    );
    assert_eq!(receipts[0]["appRecErrorList"][1]["details"], "our words");
    assert_eq!(
        receipts[0]["appRecErrorList"][1]["description"],
        "Annen feil"
    );
    let status = s.get(epj, &format!("/Messages/{id}/status")).await;
    assert_eq!(status[0]["appRecStatus"], "Rejected");
    let list = s
        .get(
            epj,
            &format!("/Messages?ReceiverHerIds={EPJ_SERVICE}&IncludeMetadata=true"),
        )
        .await;
    assert_eq!(list[0]["id"], receipt_id);
    assert_eq!(list[0]["isAppRec"], true);
    let document = s
        .get(epj, &format!("/Messages/{receipt_id}/business-document"))
        .await;
    let bytes = BASE64_STANDARD
        .decode(document["businessDocument"].as_str().unwrap())
        .unwrap();
    let receipt = AppRec::read_doc(&XmlDoc::parse(&bytes).unwrap()).unwrap();
    assert_eq!(receipt.original.id, msg_id);
    assert_eq!(receipt.errors.len(), 2);

    // It is final: the same again is the same answer, another one is refused, and nobody answers a receipt.
    let again = s.call(hospital, "POST", &path, Some(rejection)).await;
    assert_eq!(
        (again.status, again.body.as_str()),
        (StatusCode::CREATED, Some(receipt_id))
    );
    let other = s
        .call(
            hospital,
            "POST",
            &path,
            Some(json!({ "appRecStatus": "Ok" })),
        )
        .await;
    assert_eq!(other.status, StatusCode::BAD_REQUEST);
    let path = format!("/Messages/{receipt_id}/apprec/{EPJ_SERVICE}");
    let loops = s
        .call(
            epj,
            "POST",
            &path,
            Some(json!({ "appRecStatus": "1", "appRecErrorList": null })),
        )
        .await;
    assert_eq!(loops.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        s.get(epj, &format!("/Messages?ReceiverHerIds={EPJ_SERVICE}"))
            .await
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_share_an_id_and_a_subset_leaves_some_out() {
    let s = service().await;
    let epj = by(EPJ_NO);
    let id = s.post(epj, &note_with_copy(&new_id())).await;
    let status = s.get(epj, &format!("/Messages/{id}/status")).await;
    let mut receivers: Vec<u64> = status
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["receiverHerId"].as_u64().unwrap())
        .collect();
    receivers.sort_unstable();
    assert_eq!(receivers, [u64::from(GP_DOCTOR), u64::from(HEART)]);
    // Each sees its own row only, under the same id.
    let own = s.get(by(GP_NO), &format!("/Messages/{id}/status")).await;
    assert_eq!(own.as_array().unwrap().len(), 1);
    assert_eq!(own[0]["receiverHerId"], GP_DOCTOR);
    let done = s
        .call(
            by(GP_NO),
            "POST",
            &format!("/Messages/{id}/apprec/{GP_DOCTOR}"),
            Some(json!({ "appRecStatus": "Ok", "appRecErrorList": [] })),
        )
        .await;
    assert_eq!(done.status, StatusCode::CREATED);
    let receipts = s.get(epj, &format!("/Messages/{id}/apprec")).await;
    let of = |her: u32| {
        receipts
            .as_array()
            .unwrap()
            .iter()
            .find(|r| r["receiverHerId"] == her)
            .unwrap()
            .clone()
    };
    assert_eq!(
        of(GP_DOCTOR),
        json!({ "receiverHerId": GP_DOCTOR, "appRecStatus": "Ok", "appRecErrorList": [] })
    );
    assert!(of(HEART)["appRecStatus"].is_null());

    let mut request = request_of(&note_with_copy(&new_id()));
    request["receiverHerIdsSubset"] = json!([GP_DOCTOR]);
    let answer = s
        .call(epj, "POST", "/Messages", Some(request.clone()))
        .await;
    let id = answer.body.as_str().unwrap();
    let status = s.get(epj, &format!("/Messages/{id}/status")).await;
    assert_eq!(status.as_array().unwrap().len(), 1);
    request["receiverHerIdsSubset"] = json!([RESULTS]);
    let answer = s.call(epj, "POST", "/Messages", Some(request)).await;
    assert_eq!(answer.body["errorCode"], 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_document_again_is_the_same_message() {
    let s = service().await;
    let epj = by(EPJ_NO);
    let text = note(&new_id());
    let first = s.post(epj, &text).await;
    assert_eq!(s.post(epj, &text).await, first);
    let list = s
        .get(
            by(HOSPITAL_NO),
            &format!("/Messages?ReceiverHerIds={HEART}"),
        )
        .await;
    assert_eq!(list.as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_run_receiver_answers_through_the_service() {
    let s = service().await;
    let epj = by(EPJ_NO);
    let msg_id = new_id();
    let id = s.post(epj, &xml(&world::document(&msg_id, "x"))).await;
    assert_eq!(s.world.work(), 1);
    assert_eq!(*s.world.results.seen.lock().unwrap(), [msg_id]);
    let status = s.get(epj, &format!("/Messages/{id}/status")).await;
    assert_eq!(
        status,
        json!([{ "receiverHerId": RESULTS, "transportDeliveryState": "Acknowledged", "appRecStatus": "Ok" }])
    );
    let list = s
        .get(
            epj,
            &format!("/Messages?ReceiverHerIds={EPJ_SERVICE}&IncludeMetadata=true"),
        )
        .await;
    assert_eq!(list[0]["isAppRec"], true);
    assert_eq!(list[0]["senderHerId"], RESULTS);
    let receipt = list[0]["id"].as_str().unwrap();
    s.get(epj, &format!("/Messages/{receipt}/business-document"))
        .await;
    let read = s
        .call(
            epj,
            "PUT",
            &format!("/Messages/{receipt}/read/{EPJ_SERVICE}"),
            None,
        )
        .await;
    assert_eq!(read.status, StatusCode::NO_CONTENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_as_document_closes_the_message() {
    let s = service().await;
    let (epj, hospital) = (by(EPJ_NO), by(HOSPITAL_NO));
    let id = s.post(epj, &note(&new_id())).await;
    // A system that makes its receipts itself.
    let document = s
        .get(hospital, &format!("/Messages/{id}/business-document"))
        .await;
    let bytes = BASE64_STANDARD
        .decode(document["businessDocument"].as_str().unwrap())
        .unwrap();
    let header = edi::message::Header::from_doc(&XmlDoc::parse(&bytes).unwrap()).unwrap();
    let receipt = AppRec::answer(
        &header,
        edi::apprec::Status::Ok,
        Vec::new(),
        &new_id(),
        jiff::Timestamp::now(),
        &header.receiver,
    );
    s.post(hospital, &receipt.to_xml()).await;
    let status = s.get(epj, &format!("/Messages/{id}/status")).await;
    assert_eq!(status[0]["appRecStatus"], "Ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_ordered_filtered_and_cut() {
    let s = service().await;
    let (epj, hospital) = (by(EPJ_NO), by(HOSPITAL_NO));
    let mut ids = Vec::new();
    for hour in [9, 7, 8] {
        let msg_id = new_id();
        let text = note(&msg_id).replace("T08:05:00", &format!("T0{hour}:00:00"));
        ids.push((hour, s.post(epj, &text).await, msg_id));
    }
    ids.sort();
    let listed = async |query: &str| -> Vec<String> {
        let list = s
            .get(
                hospital,
                &format!("/Messages?ReceiverHerIds={HEART}{query}"),
            )
            .await;
        let rows = list.as_array().unwrap().iter();
        rows.map(|r| r["id"].as_str().unwrap().to_owned()).collect()
    };
    let all: Vec<String> = ids.iter().map(|i| i.1.clone()).collect();
    assert_eq!(listed("").await, all);
    assert_eq!(listed("&OrderBy=1").await, all);
    let newest: Vec<String> = all.iter().rev().take(2).cloned().collect();
    assert_eq!(
        listed("&OrderBy=Descending&MessagesToFetch=2").await,
        newest
    );
    assert_eq!(
        listed(&format!("&BusinessDocumentId={}", ids[1].2.to_uppercase())).await,
        [ids[1].1.clone()]
    );
    assert_eq!(
        listed(&format!("&SenderHerId={GP}")).await,
        Vec::<String>::new()
    );
    assert_eq!(
        listed(&format!("&SenderHerId={EPJ_SERVICE}")).await.len(),
        3
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_interface_a_receiver_is_reached_by_the_message_handler() {
    let s = service_with(true).await;
    let (epj, hospital) = (by(EPJ_NO), by(HOSPITAL_NO));
    let id = s.post(epj, &note(&new_id())).await;
    let status = s.get(epj, &format!("/Messages/{id}/status")).await;
    assert_eq!(status[0]["transportDeliveryState"], "Unconfirmed");
    let due = s.world.view(|e| e.outgoing_due(10)).unwrap();
    assert_eq!(due.len(), 1);
    assert!(
        due[0]
            .track
            .details
            .iter()
            .any(|(n, v)| n == "gen_date" && v == "2026-11-23T08:05:00")
    );
    // Who asks for messages reads through the interface from then on, and what nobody has acknowledged comes along.
    let path = format!("/Messages?ReceiverHerIds={HEART}");
    assert_eq!(s.get(hospital, &path).await[0]["id"], id);
    let status = s.get(epj, &format!("/Messages/{id}/status")).await;
    assert_eq!(status[0]["transportDeliveryState"], "Acknowledged");
    s.world.clock.advance(24 * 3_600_000_000);
    assert!(s.world.view(|e| e.outgoing_due(10)).unwrap().is_empty());
    let answer = s
        .call(
            hospital,
            "POST",
            &format!("/Messages/{id}/apprec/{HEART}"),
            Some(json!({ "appRecStatus": "Ok" })),
        )
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    let next = s.post(epj, &note(&new_id())).await;
    let list = s.get(hospital, &path).await;
    assert_eq!(list.as_array().unwrap().len(), 2);
    assert!(list.as_array().unwrap().iter().any(|m| m["id"] == next));
}
