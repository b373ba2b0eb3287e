//! History and subsets of single resources (spec/fhir-server.md §2.1, §2.7).

use crate::interactions::{BASIC, hold, row};
use crate::world::*;
use serde_json::{Value, json};

#[tokio::test]
async fn history_row_by_row() {
    let world = World::new();
    let mut instants = Vec::new();
    for n in 1..=5 {
        let body = BASIC.replace("one", &format!("v{n}"));
        let reply = send(&world.sandbox, "PUT", "Basic/b", &[], &body).await;
        instants.push(
            reply.json()["meta"]["lastUpdated"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let bare = send(
        &world.sandbox,
        "POST",
        "Patient",
        &[],
        r#"{"resourceType":"Patient"}"#,
    )
    .await;
    assert_eq!(bare.status, 201, "{}", bare.text());
    let versions = |bundle: &Value| -> Vec<String> {
        bundle["entry"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|e| e["response"]["etag"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = get(&world.sandbox, "Basic/b/_history").await.json();
    assert_eq!(all["type"], "history");
    assert_eq!(
        versions(&all),
        ["W/\"5\"", "W/\"4\"", "W/\"3\"", "W/\"2\"", "W/\"1\""]
    );
    assert_eq!(all["total"], 5);
    for entry in all["entry"].as_array().unwrap() {
        assert_eq!(entry["fullUrl"], format!("{BASE}/sandbox/Basic/b"));
        assert!(entry["request"]["url"].is_string() && entry["response"]["status"].is_string());
        assert_eq!(
            entry["response"]["lastModified"],
            entry["resource"]["meta"]["lastUpdated"]
        );
    }
    // What came with its id was put there; what the server named was posted.
    let request = |bundle: &Value, place: usize| {
        let entry = &bundle["entry"][place];
        format!(
            "{} {} {}",
            entry["request"]["method"].as_str().unwrap(),
            entry["request"]["url"].as_str().unwrap(),
            entry["response"]["status"].as_str().unwrap()
        )
    };
    assert_eq!(request(&all, 0), "PUT Basic/b 200");
    assert_eq!(request(&all, 4), "PUT Basic/b 201");
    let named = format!("Patient/{}", bare.json()["id"].as_str().unwrap());
    let made = get(&world.sandbox, &format!("{named}/_history")).await;
    assert_eq!(request(&made.json(), 0), "POST Patient 201");
    // From the third version's instant on, inclusive.
    let since = get(
        &world.sandbox,
        &format!("Basic/b/_history?_since={}", instants[2]),
    )
    .await;
    assert_eq!(versions(&since.json()), ["W/\"5\"", "W/\"4\"", "W/\"3\""]);
    assert_eq!(since.json()["total"], 3);
    assert!(since.link("self").unwrap().contains("_since="));
    // What was current at the third version's instant.
    let at = get(
        &world.sandbox,
        &format!("Basic/b/_history?_at={}", instants[2]),
    )
    .await;
    assert_eq!(versions(&at.json()), ["W/\"3\""], "{}", at.text());
    let at = get(&world.sandbox, "Basic/_history?_at=2020").await.json();
    assert_eq!((versions(&at).len(), &at["total"]), (0, &json!(0)));
    let at = get(&world.sandbox, "_history?_at=2999-01").await.json();
    assert_eq!(at["total"], 2, "each resource's newest: {at}");
    // Pages: stable while others write, the total the same on each.
    let mut seen = Vec::new();
    let mut next = Some("Basic/_history?_count=2".to_owned());
    while let Some(address) = next {
        let page = get(&world.sandbox, &address).await;
        assert_eq!(page.json()["total"], 5, "{}", page.text());
        seen.extend(versions(&page.json()));
        next = page.link("next");
        send(&world.sandbox, "POST", "Basic", &[], BASIC).await;
    }
    assert_eq!(
        seen,
        ["W/\"5\"", "W/\"4\"", "W/\"3\"", "W/\"2\"", "W/\"1\""]
    );
    let count = get(&world.sandbox, "Basic/b/_history?_count=0")
        .await
        .json();
    assert_eq!((&count["total"], count.get("entry")), (&json!(5), None));
    send(&world.sandbox, "DELETE", "Basic/b", &[], "").await;
    send(&world.sandbox, "PUT", "Basic/b", &[], BASIC).await;
    let again = get(&world.sandbox, "Basic/b/_history?_count=2")
        .await
        .json();
    assert_eq!(request(&again, 0), "PUT Basic/b 201");
    assert_eq!(request(&again, 1), "DELETE Basic/b 204");
    send(&world.sandbox, "DELETE", "Basic/b", &[], "").await;
    hold(
        &world.sandbox,
        &[
            row("GET", "Basic/b/_history", &[], "", 200, ""),
            row("GET", "Basic/none/_history", &[], "", 404, "not-found"),
            row(
                "GET",
                "Basic/b/_history?_since=2026-01-01",
                &[],
                "",
                400,
                "value",
            ),
            row(
                "GET",
                "Basic/b/_history?_list=x",
                &[],
                "",
                400,
                "not-supported",
            ),
            row(
                "GET",
                "Basic/b/_history?_sort=_lastUpdated",
                &[],
                "",
                400,
                "not-supported",
            ),
            row("GET", "Basic/b/_history?_count=x", &[], "", 400, "value"),
            row("GET", "Basic/b/_history?_page=x", &[], "", 400, "invalid"),
        ],
    )
    .await;
}

#[tokio::test]
async fn subsets_of_reads_are_marked_and_cannot_be_stored() {
    let world = World::new();
    let body = r#"{"resourceType":"Patient","id":"p","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>"},"name":[{"family":"Sub"}],"maritalStatus":{"text":"m"}}"#;
    send(&world.sandbox, "PUT", "Patient/p", &[], body).await;
    for (query, has, has_not) in [
        ("_summary=true", "name", "maritalStatus"),
        ("_summary=text", "text", "name"),
        ("_summary=data", "maritalStatus", "text"),
        ("_elements=maritalStatus", "maritalStatus", "name"),
    ] {
        for address in [
            format!("Patient/p?{query}"),
            format!("Patient/p/_history/1?{query}"),
        ] {
            let reply = get(&world.sandbox, &address).await;
            let value = reply.json();
            assert_eq!(reply.header("etag"), "W/\"1\"");
            assert!(
                value.get(has).is_some() && value.get(has_not).is_none(),
                "{address}"
            );
            assert_eq!(value["meta"]["tag"][0]["code"], "SUBSETTED", "{address}");
            let back = send(&world.sandbox, "PUT", "Patient/p", &[], &reply.text()).await;
            assert_eq!(back.status, 422, "{address}");
        }
        let history = get(&world.sandbox, &format!("Patient/p/_history?{query}")).await;
        let value = &history.json()["entry"][0]["resource"];
        assert!(
            value.get(has).is_some() && value.get(has_not).is_none(),
            "{query}"
        );
    }
    let whole = get(&world.sandbox, "Patient/p?_summary=false").await;
    assert_eq!(whole.bytes, get(&world.sandbox, "Patient/p").await.bytes);
}

#[tokio::test]
async fn a_resource_that_comes_back_through_xml_is_no_new_version() {
    let world = World::new();
    // Lists whose companions are filled up in other ways than the XML reader does.
    for names in [
        r#"{"given":["A","B"],"_given":[{"id":"i"}]}"#,
        r#"{"given":["A"],"_given":[null,{"extension":[{"url":"urn:u","valueString":"v"}]}]}"#,
        r#"{"family":"F","given":["A",null,"C"],"_given":[null,{"id":"i"},null]}"#,
    ] {
        let id = uuid::Uuid::new_v4();
        let address = format!("Patient/{id}");
        let body = format!(r#"{{"resourceType":"Patient","id":"{id}","name":[{names}]}}"#);
        let made = send(&world.sandbox, "PUT", &address, &[], &body).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let accept = [("accept", "application/fhir+xml")];
        let xml = send(&world.sandbox, "GET", &address, &accept, "").await;
        let sent = [("content-type", "application/fhir+xml")];
        let back = send(&world.sandbox, "PUT", &address, &sent, &xml.text()).await;
        assert_eq!(back.status, 200, "{}", back.text());
        assert_eq!(back.header("etag"), "W/\"1\"", "{names}");
    }
}
