//! Batch and transaction, row by row of spec/fhir-server.md §4.

use crate::world::*;
use axum::Router;
use serde_json::{Value, json};

pub const ONE: &str = "urn:uuid:11111111-1111-4111-8111-111111111111";
pub const TWO: &str = "urn:uuid:22222222-2222-4222-8222-222222222222";

pub fn bundle(kind: &str, entries: Vec<Value>) -> Value {
    json!({ "resourceType": "Bundle", "type": kind, "entry": entries })
}

pub fn entry(method: &str, url: &str, resource: Value) -> Value {
    let mut entry = json!({ "request": { "method": method, "url": url } });
    if !resource.is_null() {
        entry["resource"] = resource;
    }
    entry
}

pub fn at(full_url: &str, mut entry: Value) -> Value {
    entry["fullUrl"] = json!(full_url);
    entry
}

pub fn with(mut entry: Value, name: &str, value: &str) -> Value {
    entry["request"][name] = json!(value);
    entry
}

pub fn basic(text: &str) -> Value {
    json!({ "resourceType": "Basic", "code": { "text": text } })
}

pub fn patient(value: &str) -> Value {
    json!({ "resourceType": "Patient", "identifier": [{ "system": "urn:p", "value": value }] })
}

pub fn flag(subject: &str) -> Value {
    json!({ "resourceType": "Flag", "status": "active", "code": { "text": "x" }, "subject": { "reference": subject } })
}

pub async fn post(router: &Router, bundle: &Value) -> Reply {
    send(router, "POST", "", &[], &bundle.to_string()).await
}

pub async fn done(router: &Router, bundle: &Value) -> Value {
    let reply = post(router, bundle).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

pub async fn count(router: &Router, rtype: &str) -> u64 {
    get(router, &format!("{rtype}?_summary=count")).await.json()["total"]
        .as_u64()
        .unwrap()
}

/// `Type/id` that an entry of an answer was written to.
pub fn written(answer: &Value, entry: usize) -> String {
    let location = answer["entry"][entry]["response"]["location"]
        .as_str()
        .unwrap();
    let path = location.strip_prefix(&format!("{BASE}/sandbox/")).unwrap();
    path.split_once("/_history/").unwrap().0.to_owned()
}

#[tokio::test]
async fn what_is_no_batch_and_no_transaction() {
    let world = World::new();
    let b = |kind: &str| bundle(kind, vec![]);
    let twice = at(ONE, entry("POST", "Basic", basic("x")));
    for (body, status, place) in [
        (basic("x"), 400, ""),
        (b("collection"), 400, "Bundle.type"),
        (b("searchset"), 400, "Bundle.type"),
        (json!({ "resourceType": "Bundle" }), 400, "Bundle.type"),
        (
            bundle("batch", vec![json!({ "resource": basic("x") })]),
            400,
            "Bundle.entry[0].request.method",
        ),
        (
            bundle(
                "transaction",
                vec![json!({ "request": { "method": "GET" } })],
            ),
            400,
            "Bundle.entry[0].request.url",
        ),
        (
            bundle("transaction", vec![entry("get", "Basic", Value::Null)]),
            400,
            "Bundle.entry[0].request.method",
        ),
        (
            bundle("transaction", vec![entry("POST", "Basic", Value::Null)]),
            400,
            "Bundle.entry[0].resource",
        ),
        (
            bundle(
                "transaction",
                vec![entry("POST", "http://else/Basic", basic("x"))],
            ),
            400,
            "Bundle.entry[0].request.url",
        ),
        (
            bundle("transaction", vec![twice.clone(), twice.clone()]),
            400,
            "Bundle.entry[1].fullUrl",
        ),
        (
            bundle("batch", vec![twice.clone(), twice.clone()]),
            400,
            "Bundle.entry[1].fullUrl",
        ),
        (
            bundle(
                "transaction",
                vec![at(
                    "http://x/Basic/1/_history/2",
                    entry("POST", "Basic", basic("x")),
                )],
            ),
            400,
            "Bundle.entry[0].fullUrl",
        ),
        (
            bundle(
                "transaction",
                vec![entry("POST", "Basic/$validate", basic("x"))],
            ),
            400,
            "Bundle.entry[0]",
        ),
        (
            bundle(
                "transaction",
                vec![
                    entry("GET", "Basic?nonsense=1", Value::Null),
                    entry("POST", "Basic", basic("x")),
                ],
            ),
            400,
            "Bundle.entry[0]",
        ),
        (
            bundle("transaction", vec![entry("POST", "Nonsense", basic("x"))]),
            404,
            "Bundle.entry[0]",
        ),
    ] {
        let reply = post(&world.sandbox, &body).await;
        assert_eq!(reply.status, status, "{body}: {}", reply.text());
        let outcome = reply.json();
        assert_eq!(outcome["resourceType"], "OperationOutcome");
        if !place.is_empty() {
            assert_eq!(
                outcome["issue"][0]["expression"][0], place,
                "{body}: {outcome}"
            );
        }
    }
    assert_eq!(count(&world.sandbox, "Basic").await, 0);
    // Both may be empty, and come with or without the slash.
    for kind in ["batch", "transaction"] {
        let answer = done(&world.sandbox, &b(kind)).await;
        assert_eq!(answer["type"], format!("{kind}-response"));
        assert!(answer.get("entry").is_none());
    }
}

#[tokio::test]
async fn every_entry_of_a_batch_stands_alone() {
    let world = World::new();
    let router = &world.sandbox;
    send(
        router,
        "PUT",
        "Basic/b",
        &[],
        &json!({ "resourceType": "Basic", "id": "b", "code": { "text": "x" } }).to_string(),
    )
    .await;
    let read = get(router, "Basic/b").await;
    let updated = read.json()["meta"]["lastUpdated"]
        .as_str()
        .unwrap()
        .to_owned();
    let changed = json!({ "resourceType": "Basic", "id": "b", "code": { "text": "y" } });
    let rows: Vec<(Value, &str)> = vec![
        (entry("GET", "Basic/b", Value::Null), "200 OK"),
        (entry("HEAD", "Basic/b", Value::Null), "200 OK"),
        (
            entry("GET", &format!("{BASE}/sandbox/Basic/b"), Value::Null),
            "200 OK",
        ),
        (entry("GET", "Basic/none", Value::Null), "404 Not Found"),
        (entry("GET", "Nonsense/1", Value::Null), "404 Not Found"),
        (
            entry("GET", "Basic?nonsense=1", Value::Null),
            "400 Bad Request",
        ),
        (entry("GET", "Basic?_id=b", Value::Null), "200 OK"),
        (entry("GET", "Basic/b/_history", Value::Null), "200 OK"),
        (entry("GET", "metadata", Value::Null), "200 OK"),
        (
            with(
                entry("GET", "Basic/b", Value::Null),
                "ifNoneMatch",
                "W/\"1\"",
            ),
            "304 Not Modified",
        ),
        (
            with(
                entry("GET", "Basic/b", Value::Null),
                "ifModifiedSince",
                &updated,
            ),
            "304 Not Modified",
        ),
        (
            with(
                entry("GET", "Basic/b", Value::Null),
                "ifModifiedSince",
                "2001-01-01T00:00:00Z",
            ),
            "200 OK",
        ),
        (
            with(
                entry("GET", "Basic/b", Value::Null),
                "ifModifiedSince",
                "yesterday",
            ),
            "400 Bad Request",
        ),
        (
            with(
                entry("PUT", "Basic/b", changed.clone()),
                "ifMatch",
                "W/\"7\"",
            ),
            "412 Precondition Failed",
        ),
        (
            with(entry("PUT", "Basic/b", changed.clone()), "ifNoneMatch", "*"),
            "412 Precondition Failed",
        ),
        (
            with(entry("PUT", "Basic/b", changed), "ifMatch", "W/\"1\""),
            "200 OK",
        ),
        (
            with(entry("POST", "Basic", basic("x")), "ifNoneExist", "_id=b"),
            "200 OK",
        ),
        (
            with(entry("POST", "Basic", basic("x")), "ifNoneExist", "_id=æøå"),
            "201 Created",
        ),
        (
            entry("POST", "Basic", json!({ "resourceType": "Patient" })),
            "400 Bad Request",
        ),
        (
            entry("POST", "Basic", json!({ "resourceType": "Basic" })),
            "422 Unprocessable Entity",
        ),
        (entry("POST", "Basic", Value::Null), "400 Bad Request"),
        (
            entry("POST", "", bundle("batch", vec![])),
            "400 Bad Request",
        ),
        (entry("put", "Basic/b", basic("x")), "400 Bad Request"),
        (entry("PUT", "Basic?_id=none", basic("x")), "201 Created"),
        (entry("DELETE", "Basic/none", Value::Null), "204 No Content"),
        (
            entry("DELETE", "Basic?code:missing=false", Value::Null),
            "412 Precondition Failed",
        ),
        (entry("DELETE", "Basic/b", Value::Null), "204 No Content"),
        (entry("GET", "Basic/b", Value::Null), "410 Gone"),
    ];
    let body = bundle("batch", rows.iter().map(|(e, _)| e.clone()).collect());
    let answer = done(router, &body).await;
    assert_eq!(answer["type"], "batch-response");
    for (n, (request, status)) in rows.iter().enumerate() {
        let entry = &answer["entry"][n];
        let got = entry["response"]["status"].as_str().unwrap();
        assert_eq!(got, *status, "{request}: {entry}");
        let is_error = status.starts_with('4');
        assert_eq!(
            entry["response"]["outcome"]["resourceType"] == "OperationOutcome",
            is_error,
            "{request}: {entry}"
        );
        let is_get = request["request"]["method"] == "GET";
        let has_body = status.starts_with("200") && is_get;
        assert_eq!(
            entry.get("resource").is_some(),
            has_body,
            "{request}: {entry}"
        );
        if got == "201 Created" {
            assert!(
                entry["response"]["location"]
                    .as_str()
                    .unwrap()
                    .starts_with(BASE)
            );
            assert!(
                entry["response"]["lastModified"].is_string()
                    && entry["response"]["etag"].is_string()
            );
        }
    }
}

#[tokio::test]
async fn preferences_say_what_entries_carry() {
    let world = World::new();
    let body = |kind: &str| {
        bundle(
            kind,
            vec![
                entry("POST", "Basic", basic("x")),
                entry("GET", "Basic?_count=1", Value::Null),
            ],
        )
    };
    for kind in ["batch", "transaction"] {
        for (prefer, resource, outcome) in [
            ("", false, false),
            ("handling=lenient", false, false),
            ("return=minimal", false, false),
            ("return=representation", true, false),
            ("return=OperationOutcome", false, true),
        ] {
            let headers: Vec<(&str, &str)> = match prefer {
                "" => vec![],
                prefer => vec![("prefer", prefer)],
            };
            let reply = send(
                &world.sandbox,
                "POST",
                "",
                &headers,
                &body(kind).to_string(),
            )
            .await;
            let answer = reply.json();
            let entry = &answer["entry"][0];
            assert_eq!(entry["response"]["status"], "201 Created", "{answer}");
            assert_eq!(
                entry.get("resource").is_some(),
                resource,
                "{kind} {prefer}: {entry}"
            );
            assert_eq!(
                entry["response"].get("outcome").is_some(),
                outcome,
                "{kind} {prefer}: {entry}"
            );
            assert_eq!(answer["entry"][1]["resource"]["type"], "searchset");
        }
    }
}

#[tokio::test]
async fn a_transaction_is_all_or_nothing_in_the_order_of_the_request() {
    let world = World::new();
    let router = &world.sandbox;
    for id in ["a", "b", "c"] {
        let body = json!({ "resourceType": "Basic", "id": id, "code": { "text": id } });
        send(
            router,
            "PUT",
            &format!("Basic/{id}"),
            &[],
            &body.to_string(),
        )
        .await;
    }
    // Reads see what the transaction did, wherever they stand.
    let all = bundle(
        "transaction",
        vec![
            entry("GET", "Basic/n", Value::Null),
            entry(
                "PUT",
                "Basic/n",
                json!({ "resourceType": "Basic", "id": "n", "code": { "text": "new" } }),
            ),
            entry(
                "PUT",
                "Basic/a",
                json!({ "resourceType": "Basic", "id": "a", "code": { "text": "changed" } }),
            ),
            entry("POST", "Basic", basic("posted")),
            entry("DELETE", "Basic/b", Value::Null),
            entry(
                "PUT",
                "Basic/c",
                json!({ "resourceType": "Basic", "id": "c", "code": { "text": "c" } }),
            ),
            entry("DELETE", "Basic/none", Value::Null),
            entry("GET", "Basic/b", Value::Null),
            entry("GET", "Basic?_total=accurate", Value::Null),
        ],
    );
    let answer = done(router, &all).await;
    let statuses: Vec<&str> = answer["entry"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["response"]["status"].as_str().unwrap())
        .collect();
    assert_eq!(
        statuses,
        [
            "200 OK",
            "201 Created",
            "200 OK",
            "201 Created",
            "204 No Content",
            "200 OK",
            "204 No Content",
            "410 Gone",
            "200 OK"
        ]
    );
    assert_eq!(answer["entry"][0]["resource"]["code"]["text"], "new");
    assert_eq!(answer["entry"][5]["response"]["etag"], "W/\"1\"");
    assert_eq!(answer["entry"][8]["resource"]["total"], 4);
    // One instant for all that was written.
    let at: Vec<&Value> = [1, 2, 3, 4]
        .iter()
        .map(|n| &answer["entry"][*n]["response"]["lastModified"])
        .collect();
    assert!(at.windows(2).all(|w| w[0] == w[1]), "{at:?}");
    // Nothing of a transaction with one fault; the fault's status and place.
    for (fault, status) in [
        (
            entry("POST", "Basic", json!({ "resourceType": "Basic" })),
            422,
        ),
        (entry("PUT", "Basic/a", basic("x")), 400),
        (
            with(
                entry(
                    "PUT",
                    "Basic/a",
                    json!({ "resourceType": "Basic", "id": "a", "code": { "text": "z" } }),
                ),
                "ifMatch",
                "W/\"1\"",
            ),
            412,
        ),
        (
            with(
                entry("POST", "Basic", basic("x")),
                "ifNoneExist",
                "code:missing=false",
            ),
            412,
        ),
        (
            with(entry("POST", "Basic", basic("x")), "ifNoneExist", ""),
            400,
        ),
        (
            entry(
                "PUT",
                "Basic?_id=none",
                json!({ "resourceType": "Basic", "id": "a", "code": { "text": "z" } }),
            ),
            409,
        ),
        (
            entry("DELETE", "Basic?code:missing=false", Value::Null),
            412,
        ),
        (
            entry(
                "PATCH",
                "Basic/none",
                json!({ "resourceType": "Parameters" }),
            ),
            404,
        ),
        (
            entry("PATCH", "Basic/b", json!({ "resourceType": "Parameters" })),
            410,
        ),
        (entry("POST", "Flag", flag(ONE)), 400),
        (
            entry("POST", "Flag", flag("Patient?identifier=urn:p|none")),
            400,
        ),
    ] {
        let before = count(router, "Basic").await;
        let reply = post(
            router,
            &bundle(
                "transaction",
                vec![entry("POST", "Basic", basic("half")), fault.clone()],
            ),
        )
        .await;
        assert_eq!(reply.status, status, "{fault}: {}", reply.text());
        let place = reply.json()["issue"][0]["expression"][0]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(place.starts_with("Bundle.entry[1]"), "{fault}: {place}");
        assert_eq!(count(router, "Basic").await, before, "{fault}");
    }
    // One resource, two entries: both are named.
    let a = |text: &str| json!({ "resourceType": "Basic", "id": "a", "code": { "text": text } });
    for pair in [
        vec![
            entry("PUT", "Basic/a", a("1")),
            entry("PUT", "Basic/a", a("2")),
        ],
        vec![
            entry("PUT", "Basic/a", a("1")),
            entry("DELETE", "Basic/a", Value::Null),
        ],
        vec![
            entry("PUT", "Basic/a", a("1")),
            entry("PUT", "Basic?_id=a", a("2")),
        ],
    ] {
        let reply = post(router, &bundle("transaction", pair)).await;
        assert_eq!(reply.status, 400, "{}", reply.text());
        assert!(
            reply.text().contains("Bundle.entry[0] and Bundle.entry[1]"),
            "{}",
            reply.text()
        );
    }
}

#[tokio::test]
async fn more_entries_than_the_limit_are_too_long() {
    let world = World::new();
    let entry = "{\"request\":{\"method\":\"GET\",\"url\":\"Basic/1\"}},";
    let entries = entry.repeat(30_001);
    let text = format!(
        "{{\"resourceType\":\"Bundle\",\"type\":\"batch\",\"entry\":[{}]}}",
        entries.trim_end_matches(',')
    );
    let reply = send(&world.sandbox, "POST", "", &[], &text).await;
    assert_eq!(reply.status, 413, "{}", reply.text());
    assert_eq!(reply.json()["issue"][0]["code"], "too-long");
}

#[tokio::test]
async fn bundles_that_are_stored_keep_their_own_references() {
    let world = World::new();
    let document = json!({ "resourceType": "Bundle", "type": "collection", "entry": [
        { "fullUrl": TWO, "resource": patient("1") },
        { "resource": flag(TWO) } ] });
    let answer = done(
        &world.sandbox,
        &bundle(
            "transaction",
            vec![
                at(ONE, entry("POST", "Bundle", document)),
                // Criteria in the address are ifNoneExist.
                entry("POST", "Patient?identifier=urn:p|1", patient("1")),
            ],
        ),
    )
    .await;
    let stored = get(&world.sandbox, &written(&answer, 0)).await.json();
    assert_eq!(stored["entry"][1]["resource"]["subject"]["reference"], TWO);
    let again = bundle(
        "transaction",
        vec![entry("POST", "Patient?identifier=urn:p|1", patient("1"))],
    );
    let again = done(&world.sandbox, &again).await;
    assert_eq!(again["entry"][0]["response"]["status"], "200 OK");
    assert_eq!(written(&again, 0), written(&answer, 1));
}
