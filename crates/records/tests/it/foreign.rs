//! What foreign suites look for that stands in no other topic: Binary in its own type, addresses of browsers, includes that
//! lead nowhere, resources touched twice.

use crate::bundles::{bundle, entry, patient, post, with};
use crate::world::*;
use axum::Router;
use serde_json::{Value, json};

#[tokio::test]
async fn content_of_a_binary_goes_in_and_out_by_its_own_type() {
    let world = World::new();
    let png = [0x89, b'P', b'N', b'G', 0, 255];
    let headers = [
        ("content-type", "image/png"),
        ("x-security-context", "Patient/1"),
    ];
    let put = || {
        send_bytes(
            &world.sandbox,
            "PUT",
            "Binary/picture",
            &headers,
            png.to_vec(),
        )
    };
    let made = put().await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(
        made.json()["securityContext"]["reference"],
        json!("Patient/1")
    );
    let again = put().await;
    assert_eq!(again.status, 200);
    assert_eq!(again.header("etag"), "W/\"1\"");
    for address in ["Binary/picture", "Binary/picture/_history/1"] {
        for (accept, is_content) in [
            ("image/png", true),
            ("image/*", true),
            ("application/octet-stream", true),
            ("image/png, */*;q=0.1", true),
            ("*/*", false),
            ("application/fhir+json", false),
            ("application/fhir+json, image/png;q=0.1", false),
        ] {
            let reply = send(&world.sandbox, "GET", address, &[("accept", accept)], "").await;
            assert_eq!(reply.status, 200, "{accept}");
            assert_eq!(reply.header("etag"), "W/\"1\"", "{accept}");
            let kind = reply.header("content-type");
            if is_content {
                assert_eq!(kind, "image/png", "{accept}");
                assert_eq!(reply.bytes.as_ref(), png, "{accept}");
                assert_eq!(reply.header("x-security-context"), "Patient/1");
                let policy = reply.header("content-security-policy");
                assert!(policy.contains("sandbox"));
            } else {
                assert!(kind.starts_with("application/fhir+json"), "{accept}");
                assert_eq!(reply.json()["contentType"], json!("image/png"));
            }
        }
    }
    let accept = [("accept", "image/png")];
    let png_of = |address: &'static str| send(&world.sandbox, "GET", address, &accept, "");
    assert_eq!(png_of("Binary/picture?_format=json").await.status, 200);
    assert_eq!(png_of("Binary/picture?_format=csv").await.status, 406);
    assert_eq!(png_of("Binary/none").await.status, 404);
    assert_eq!(png_of("Binary/picture/_history").await.status, 406);
    assert_eq!(png_of("Binary").await.status, 406);
    let other = [("content-type", "image/png")];
    for (method, address) in [("POST", "Basic"), ("PUT", "Basic/b"), ("POST", "")] {
        let reply = send(&world.sandbox, method, address, &other, "x").await;
        assert_eq!(reply.status, 415, "{method} {address}");
    }
    let empty = send(&world.sandbox, "POST", "Binary", &other, "").await;
    assert_eq!(empty.status, 400);
    let none = send(
        &world.sandbox,
        "POST",
        "Binary",
        &[("content-type", "")],
        "x",
    )
    .await;
    assert_eq!(none.status, 415);
    // FHIR's own types are the resource itself.
    let odd = json!({ "resourceType": "Binary", "contentType": "text/plain", "data": "aGVp" });
    let kind = [("content-type", "application/json")];
    let reply = send(&world.sandbox, "POST", "Binary", &kind, &odd.to_string()).await;
    assert_eq!(reply.json()["data"], json!("aGVp"));
}

#[tokio::test]
async fn a_byte_order_mark_before_json_is_passed_over() {
    let world = World::new();
    let body = "\u{feff}{\"resourceType\":\"Basic\",\"code\":{\"text\":\"x\"}}";
    let reply = send(&world.sandbox, "POST", "Basic", &[], body).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
}

#[tokio::test]
async fn searches_that_lead_nowhere_and_ids_that_are_left_out() {
    let world = World::new();
    for id in ["a", "b", "c"] {
        let mut body = patient("x");
        body["id"] = json!(id);
        let address = format!("Patient/{id}");
        send(&world.sandbox, "PUT", &address, &[], &body.to_string()).await;
    }
    for (query, expected) in [
        ("_id:not=a", vec!["b", "c"]),
        ("_id:not=a,b,nobody", vec!["c"]),
        ("_id:not=a&_id:not=c", vec!["b"]),
        ("_id:not=a&_id=b", vec!["b"]),
        ("_id:not=nobody&identifier=urn:p|x", vec!["a", "b", "c"]),
    ] {
        let reply = get(&world.sandbox, &format!("Patient?{query}")).await;
        assert_eq!(reply.status, 200, "{query}: {}", reply.text());
        let expected: Vec<String> = expected.iter().map(|i| format!("Patient/{i}")).collect();
        assert_eq!(reply.ids("match"), expected, "{query}");
    }
    for (query, status) in [
        ("_include=Patient:organization:Organization", 200),
        ("_include=Patient:general-practitioner:Organization", 200),
        ("_include=Patient:organization:Medication", 400),
        ("_include=Patient:*:Medication", 200),
        ("_revinclude=Observation:patient:Patient", 200),
        ("_revinclude=Observation:patient:Group", 400),
        ("_include=List:item:Medication", 200),
        ("_id:not=", 400),
        ("_id:exact=a", 400),
    ] {
        let reply = get(&world.sandbox, &format!("Patient?{query}")).await;
        assert_eq!(reply.status, status, "{query}: {}", reply.text());
    }
}

#[tokio::test]
async fn temperatures_are_found_in_any_degrees() {
    let world = World::new();
    for (id, value, code) in [
        ("cel", "37.0", "Cel"),
        ("fahrenheit", "98.6", "[degF]"),
        ("kelvin", "310.15", "K"),
        ("fever", "39.5", "Cel"),
    ] {
        let body = format!(
            r#"{{"resourceType":"Observation","id":"{id}","status":"final","code":{{"text":"t"}},
            "valueQuantity":{{"value":{value},"system":"http://unitsofmeasure.org","code":"{code}"}}}}"#
        );
        let address = format!("Observation/{id}");
        let reply = send(&world.sandbox, "PUT", &address, &[], &body).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
    }
    for (value, code, expected) in [
        ("37.0", "Cel", vec!["cel", "fahrenheit", "kelvin"]),
        ("98.6", "[degF]", vec!["cel", "fahrenheit", "kelvin"]),
        ("310.15", "K", vec!["cel", "fahrenheit", "kelvin"]),
        ("gt100", "[degF]", vec!["fever"]),
        ("lt38", "Cel", vec!["cel", "fahrenheit", "kelvin"]),
        ("37", "K", vec![]),
    ] {
        let query =
            format!("value-quantity={value}%7Chttp://unitsofmeasure.org%7C{code}&_sort=_id");
        let reply = get(&world.sandbox, &format!("Observation?{query}")).await;
        let expected: Vec<String> = expected
            .iter()
            .map(|i| format!("Observation/{i}"))
            .collect();
        assert_eq!(reply.ids("match"), expected, "{query}: {}", reply.text());
    }
}

#[tokio::test]
async fn definitions_are_reached_by_their_canonical_url() {
    let world = World::new();
    let form = |id: &str, version: &str, title: &str| {
        json!({ "resourceType": "Questionnaire", "id": id, "status": "active", "url": "http://q.test/form",
                "version": version, "title": title })
    };
    let filled = |id: &str, canonical: &str| json!({ "resourceType": "QuestionnaireResponse", "id": id, "status": "completed", "questionnaire": canonical });
    let mut gone = form("gone", "2", "Two");
    gone["url"] = json!("http://q.test/gone");
    for body in [
        form("one", "1", "First"),
        form("two", "2", "Second"),
        gone,
        filled("of-one", "http://q.test/form|1"),
        filled("of-two", "http://q.test/form|2"),
        filled("of-any", "http://q.test/form"),
        filled("of-none", "http://q.test/form|3"),
        filled("of-other", "http://q.test/form/more"),
        filled("of-gone", "http://q.test/gone"),
    ] {
        let address = format!(
            "{}/{}",
            body["resourceType"].as_str().unwrap(),
            body["id"].as_str().unwrap()
        );
        let reply = send(&world.sandbox, "PUT", &address, &[], &body.to_string()).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
    }
    send(&world.sandbox, "DELETE", "Questionnaire/gone", &[], "").await;
    const FORM: &str = "Questionnaire";
    const FILLED: &str = "QuestionnaireResponse";
    for (rtype, query, expected) in [
        (
            FILLED,
            "questionnaire.title=first",
            vec!["of-any", "of-one"],
        ),
        (
            FILLED,
            "questionnaire.title=second",
            vec!["of-any", "of-two"],
        ),
        (
            FILLED,
            "questionnaire:Questionnaire.version=2",
            vec!["of-any", "of-two"],
        ),
        (FILLED, "questionnaire.title=two", vec![]),
        // Few candidates: from them to the definitions.
        (
            FILLED,
            "questionnaire.title=first&_id=of-one,of-two,of-none",
            vec!["of-one"],
        ),
        (
            FORM,
            "_has:QuestionnaireResponse:questionnaire:_id=of-one",
            vec!["one"],
        ),
        (
            FORM,
            "_has:QuestionnaireResponse:questionnaire:_id=of-any",
            vec!["one", "two"],
        ),
        (
            FORM,
            "_has:QuestionnaireResponse:questionnaire:status=completed",
            vec!["one", "two"],
        ),
        (
            FORM,
            "_has:QuestionnaireResponse:questionnaire:_id=of-two&_id=one,two",
            vec!["two"],
        ),
        (
            FORM,
            "_has:QuestionnaireResponse:questionnaire:_id=of-none,of-other",
            vec![],
        ),
    ] {
        let reply = get(&world.sandbox, &format!("{rtype}?{query}&_sort=_id")).await;
        assert_eq!(reply.status, 200, "{query}: {}", reply.text());
        let expected: Vec<String> = expected.iter().map(|i| format!("{rtype}/{i}")).collect();
        assert_eq!(reply.ids("match"), expected, "{query}");
    }
    for (rtype, query, other, expected) in [
        (
            FILLED,
            "_id=of-one&_include=QuestionnaireResponse:questionnaire",
            FORM,
            vec!["one"],
        ),
        (
            FILLED,
            "_id=of-any&_include=QuestionnaireResponse:*",
            FORM,
            vec!["one", "two"],
        ),
        (FILLED, "_id=of-none,of-gone&_include=*", FORM, vec![]),
        (
            FORM,
            "_id=one&_revinclude=QuestionnaireResponse:questionnaire",
            FILLED,
            vec!["of-any", "of-one"],
        ),
    ] {
        let reply = get(&world.sandbox, &format!("{rtype}?{query}")).await;
        let mut found = reply.ids("include");
        found.sort();
        let expected: Vec<String> = expected.iter().map(|i| format!("{other}/{i}")).collect();
        assert_eq!(found, expected, "{query}");
    }
}

#[tokio::test]
async fn one_resource_in_two_entries_is_refused_even_when_nothing_would_change() {
    let world = World::new();
    let body = |id: &str| {
        let mut body = patient(id);
        body["id"] = json!(id);
        body
    };
    for id in ["a", "b"] {
        let address = format!("Patient/{id}");
        let reply = send(&world.sandbox, "PUT", &address, &[], &body(id).to_string()).await;
        assert_eq!(reply.status, 201);
    }
    let create = |value: &str| {
        with(
            entry("POST", "Patient", patient(value)),
            "ifNoneExist",
            &format!("identifier=urn:p|{value}"),
        )
    };
    let delete = |address: &str| entry("DELETE", address, Value::Null);
    let keep = |id: &str| entry("PUT", &format!("Patient/{id}"), body(id));
    for (what, entries, status) in [
        (
            "new and not there",
            vec![keep("n"), delete("Patient/n")],
            400,
        ),
        (
            "unchanged and deleted",
            vec![keep("a"), delete("Patient/a")],
            400,
        ),
        ("unchanged twice", vec![keep("a"), keep("a")], 400),
        (
            "deleted twice, not there",
            vec![delete("Patient/n"), delete("Patient/n")],
            400,
        ),
        (
            "found and deleted",
            vec![create("a"), delete("Patient/a")],
            400,
        ),
        (
            "found and deleted by criteria",
            vec![delete("Patient?identifier=urn:p|b"), create("b")],
            400,
        ),
        ("found twice", vec![create("a"), create("a")], 200),
        ("found and unchanged", vec![create("a"), keep("a")], 200),
        (
            "two of one type",
            vec![keep("a"), keep("b"), delete("Patient/n")],
            200,
        ),
    ] {
        let reply = post(&world.sandbox, &bundle("transaction", entries)).await;
        assert_eq!(reply.status, status, "{what}: {}", reply.text());
        if status == 400 {
            let text = reply.text();
            assert!(
                text.contains("entry[0]") && text.contains("entry[1]"),
                "{text}"
            );
        }
    }
}

#[tokio::test]
async fn addresses_beside_the_repositories_are_refused_with_an_outcome() {
    let sandbox = Router::new()
        .route("/fhir/sandbox", axum::routing::any(|| async { "sandbox" }))
        .route(
            "/fhir/sandbox/{*below}",
            axum::routing::any(|| async { "sandbox" }),
        );
    let all = sandbox.merge(records::elsewhere("/fhir", &["sandbox", "other"]));
    for (method, address, accept, status, word) in [
        ("GET", "fhir/sandbox", "", 200, "sandbox"),
        ("GET", "fhir/sandbox/Patient/1", "", 200, "sandbox"),
        ("GET", "fhir", "", 404, "sandbox, other"),
        ("GET", "fhir/", "", 404, "OperationOutcome"),
        ("POST", "fhir/nope", "", 404, "not-found"),
        (
            "GET",
            "fhir/sandbo/Patient/1",
            "image/png",
            404,
            "OperationOutcome",
        ),
        (
            "GET",
            "fhir/nope/Patient",
            "application/fhir+xml",
            404,
            "<OperationOutcome xmlns",
        ),
        (
            "GET",
            "fhir/nope/Patient?_format=xml",
            "",
            404,
            "<OperationOutcome xmlns",
        ),
        ("HEAD", "fhir/nope", "", 404, ""),
        ("OPTIONS", "fhir/nope", "", 204, ""),
    ] {
        let reply = send(&all, method, address, &[("accept", accept)], "").await;
        assert_eq!(reply.status, status, "{method} {address}");
        assert!(
            reply.text().contains(word),
            "{method} {address}: {}",
            reply.text()
        );
        assert_eq!(
            reply.bytes.is_empty(),
            word.is_empty(),
            "{method} {address}"
        );
    }
}

#[tokio::test]
async fn signs_are_no_wildcards() {
    let world = World::new();
    for (id, family) in [
        ("a", "Plain"),
        ("b", "*"),
        ("c", "100 % sure"),
        ("d", "*star"),
    ] {
        let body = json!({ "resourceType": "Patient", "id": id, "name": [{ "family": family }] });
        let address = format!("Patient/{id}");
        send(&world.sandbox, "PUT", &address, &[], &body.to_string()).await;
    }
    for (query, expected) in [
        ("family=*", vec!["b", "d"]),
        ("family=%25", vec![]),
        ("family=_", vec![]),
        ("family:contains=*", vec!["b", "d"]),
        ("family:contains=%25", vec!["c"]),
        ("family:contains=%27", vec![]),
        ("family:exact=*", vec!["b"]),
        ("name=*,plain", vec!["a", "b", "d"]),
        ("_filter=family co %22%25%22", vec!["c"]),
    ] {
        let query = query.replace(' ', "%20");
        let reply = get(&world.sandbox, &format!("Patient?{query}&_sort=_id")).await;
        assert_eq!(reply.status, 200, "{query}: {}", reply.text());
        let expected: Vec<String> = expected.iter().map(|i| format!("Patient/{i}")).collect();
        assert_eq!(reply.ids("match"), expected, "{query}");
    }
    for query in [
        "family=",
        "family=%20",
        "family:contains=",
        "family:contains=%20%20",
    ] {
        let reply = get(&world.sandbox, &format!("Patient?{query}")).await;
        assert_eq!(reply.status, 400, "{query}");
    }
}
