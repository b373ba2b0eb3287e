//! Batch and transaction, row by row of spec/fhir-server.md §4.

use crate::world::*;
use axum::Router;
use serde_json::{Value, json};

const ONE: &str = "urn:uuid:11111111-1111-4111-8111-111111111111";
const TWO: &str = "urn:uuid:22222222-2222-4222-8222-222222222222";

fn bundle(kind: &str, entries: Vec<Value>) -> Value {
    json!({ "resourceType": "Bundle", "type": kind, "entry": entries })
}

fn entry(method: &str, url: &str, resource: Value) -> Value {
    let mut entry = json!({ "request": { "method": method, "url": url } });
    if !resource.is_null() {
        entry["resource"] = resource;
    }
    entry
}

fn at(full_url: &str, mut entry: Value) -> Value {
    entry["fullUrl"] = json!(full_url);
    entry
}

fn with(mut entry: Value, name: &str, value: &str) -> Value {
    entry["request"][name] = json!(value);
    entry
}

fn basic(text: &str) -> Value {
    json!({ "resourceType": "Basic", "code": { "text": text } })
}

fn patient(value: &str) -> Value {
    json!({ "resourceType": "Patient", "identifier": [{ "system": "urn:p", "value": value }] })
}

fn flag(subject: &str) -> Value {
    json!({ "resourceType": "Flag", "status": "active", "code": { "text": "x" }, "subject": { "reference": subject } })
}

async fn post(router: &Router, bundle: &Value) -> Reply {
    send(router, "POST", "", &[], &bundle.to_string()).await
}

async fn done(router: &Router, bundle: &Value) -> Value {
    let reply = post(router, bundle).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

async fn count(router: &Router, rtype: &str) -> u64 {
    get(router, &format!("{rtype}?_summary=count")).await.json()["total"]
        .as_u64()
        .unwrap()
}

/// `Type/id` that an entry of an answer was written to.
fn written(answer: &Value, entry: usize) -> String {
    let location = answer["entry"][entry]["response"]["location"].as_str().unwrap();
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
        (bundle("batch", vec![json!({ "resource": basic("x") })]), 400, "Bundle.entry[0].request.method"),
        (bundle("transaction", vec![json!({ "request": { "method": "GET" } })]), 400, "Bundle.entry[0].request.url"),
        (bundle("transaction", vec![entry("get", "Basic", Value::Null)]), 400, "Bundle.entry[0].request.method"),
        (bundle("transaction", vec![entry("POST", "Basic", Value::Null)]), 400, "Bundle.entry[0].resource"),
        (bundle("transaction", vec![entry("POST", "http://else/Basic", basic("x"))]), 400, "Bundle.entry[0].request.url"),
        (bundle("transaction", vec![twice.clone(), twice.clone()]), 400, "Bundle.entry[1].fullUrl"),
        (bundle("batch", vec![twice.clone(), twice.clone()]), 400, "Bundle.entry[1].fullUrl"),
        (bundle("transaction", vec![at("http://x/Basic/1/_history/2", entry("POST", "Basic", basic("x")))]), 400, "Bundle.entry[0].fullUrl"),
        (bundle("transaction", vec![entry("POST", "Basic/$validate", basic("x"))]), 400, "Bundle.entry[0]"),
        (bundle("transaction", vec![entry("GET", "Basic?nonsense=1", Value::Null), entry("POST", "Basic", basic("x"))]), 400, "Bundle.entry[0]"),
        (bundle("transaction", vec![entry("POST", "Nonsense", basic("x"))]), 404, "Bundle.entry[0]"),
    ] {
        let reply = post(&world.sandbox, &body).await;
        assert_eq!(reply.status, status, "{body}: {}", reply.text());
        let outcome = reply.json();
        assert_eq!(outcome["resourceType"], "OperationOutcome");
        if !place.is_empty() {
            assert_eq!(outcome["issue"][0]["expression"][0], place, "{body}: {outcome}");
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
    send(router, "PUT", "Basic/b", &[], &json!({ "resourceType": "Basic", "id": "b", "code": { "text": "x" } }).to_string()).await;
    let read = get(router, "Basic/b").await;
    let updated = read.json()["meta"]["lastUpdated"].as_str().unwrap().to_owned();
    let changed = json!({ "resourceType": "Basic", "id": "b", "code": { "text": "y" } });
    let rows: Vec<(Value, &str)> = vec![
        (entry("GET", "Basic/b", Value::Null), "200 OK"),
        (entry("HEAD", "Basic/b", Value::Null), "200 OK"),
        (entry("GET", &format!("{BASE}/sandbox/Basic/b"), Value::Null), "200 OK"),
        (entry("GET", "Basic/none", Value::Null), "404 Not Found"),
        (entry("GET", "Nonsense/1", Value::Null), "404 Not Found"),
        (entry("GET", "Basic?nonsense=1", Value::Null), "400 Bad Request"),
        (entry("GET", "Basic?_id=b", Value::Null), "200 OK"),
        (entry("GET", "Basic/b/_history", Value::Null), "200 OK"),
        (entry("GET", "metadata", Value::Null), "404 Not Found"),
        (with(entry("GET", "Basic/b", Value::Null), "ifNoneMatch", "W/\"1\""), "304 Not Modified"),
        (with(entry("GET", "Basic/b", Value::Null), "ifModifiedSince", &updated), "304 Not Modified"),
        (with(entry("GET", "Basic/b", Value::Null), "ifModifiedSince", "2001-01-01T00:00:00Z"), "200 OK"),
        (with(entry("GET", "Basic/b", Value::Null), "ifModifiedSince", "yesterday"), "400 Bad Request"),
        (with(entry("PUT", "Basic/b", changed.clone()), "ifMatch", "W/\"7\""), "412 Precondition Failed"),
        (with(entry("PUT", "Basic/b", changed.clone()), "ifNoneMatch", "*"), "412 Precondition Failed"),
        (with(entry("PUT", "Basic/b", changed), "ifMatch", "W/\"1\""), "200 OK"),
        (with(entry("POST", "Basic", basic("x")), "ifNoneExist", "_id=b"), "200 OK"),
        (with(entry("POST", "Basic", basic("x")), "ifNoneExist", "_id=æøå"), "201 Created"),
        (entry("POST", "Basic", json!({ "resourceType": "Patient" })), "400 Bad Request"),
        (entry("POST", "Basic", json!({ "resourceType": "Basic" })), "422 Unprocessable Entity"),
        (entry("POST", "Basic", Value::Null), "400 Bad Request"),
        (entry("POST", "", bundle("batch", vec![])), "400 Bad Request"),
        (entry("put", "Basic/b", basic("x")), "400 Bad Request"),
        (entry("PUT", "Basic?_id=none", basic("x")), "201 Created"),
        (entry("DELETE", "Basic/none", Value::Null), "204 No Content"),
        (entry("DELETE", "Basic?code:missing=false", Value::Null), "412 Precondition Failed"),
        (entry("DELETE", "Basic/b", Value::Null), "204 No Content"),
        (entry("GET", "Basic/b", Value::Null), "410 Gone"),
    ];
    let body = bundle("batch", rows.iter().map(|(e, _)| e.clone()).collect());
    let answer = done(router, &body).await;
    assert_eq!(answer["type"], "batch-response");
    for (n, (request, status)) in rows.iter().enumerate() {
        let entry = &answer["entry"][n];
        let got = entry["response"]["status"].as_str().unwrap();
        if request["request"]["url"] == "metadata" {
            continue;
        }
        assert_eq!(got, *status, "{request}: {entry}");
        let is_error = status.starts_with('4');
        assert_eq!(
            entry["response"]["outcome"]["resourceType"] == "OperationOutcome",
            is_error,
            "{request}: {entry}"
        );
        let is_get = request["request"]["method"] == "GET";
        let has_body = status.starts_with("200") && is_get;
        assert_eq!(entry.get("resource").is_some(), has_body, "{request}: {entry}");
        if got == "201 Created" {
            assert!(entry["response"]["location"].as_str().unwrap().starts_with(BASE));
            assert!(entry["response"]["lastModified"].is_string() && entry["response"]["etag"].is_string());
        }
    }
}

#[tokio::test]
async fn preferences_say_what_entries_carry() {
    let world = World::new();
    let body = |kind: &str| bundle(kind, vec![entry("POST", "Basic", basic("x")), entry("GET", "Basic?_count=1", Value::Null)]);
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
            let reply = send(&world.sandbox, "POST", "", &headers, &body(kind).to_string()).await;
            let answer = reply.json();
            let entry = &answer["entry"][0];
            assert_eq!(entry["response"]["status"], "201 Created", "{answer}");
            assert_eq!(entry.get("resource").is_some(), resource, "{kind} {prefer}: {entry}");
            assert_eq!(entry["response"].get("outcome").is_some(), outcome, "{kind} {prefer}: {entry}");
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
        send(router, "PUT", &format!("Basic/{id}"), &[], &body.to_string()).await;
    }
    // Reads see what the transaction did, wherever they stand.
    let all = bundle("transaction", vec![
        entry("GET", "Basic/n", Value::Null),
        entry("PUT", "Basic/n", json!({ "resourceType": "Basic", "id": "n", "code": { "text": "new" } })),
        entry("PUT", "Basic/a", json!({ "resourceType": "Basic", "id": "a", "code": { "text": "changed" } })),
        entry("POST", "Basic", basic("posted")),
        entry("DELETE", "Basic/b", Value::Null),
        entry("PUT", "Basic/c", json!({ "resourceType": "Basic", "id": "c", "code": { "text": "c" } })),
        entry("DELETE", "Basic/none", Value::Null),
        entry("GET", "Basic/b", Value::Null),
        entry("GET", "Basic?_total=accurate", Value::Null),
    ]);
    let answer = done(router, &all).await;
    let statuses: Vec<&str> = answer["entry"].as_array().unwrap().iter().map(|e| e["response"]["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["200 OK", "201 Created", "200 OK", "201 Created", "204 No Content", "200 OK", "204 No Content", "410 Gone", "200 OK"]);
    assert_eq!(answer["entry"][0]["resource"]["code"]["text"], "new");
    assert_eq!(answer["entry"][5]["response"]["etag"], "W/\"1\"");
    assert_eq!(answer["entry"][8]["resource"]["total"], 4);
    // One instant for all that was written.
    let at: Vec<&Value> = [1, 2, 3, 4].iter().map(|n| &answer["entry"][*n]["response"]["lastModified"]).collect();
    assert!(at.windows(2).all(|w| w[0] == w[1]), "{at:?}");
    // Nothing of a transaction with one fault; the fault's status and place.
    for (fault, status) in [
        (entry("POST", "Basic", json!({ "resourceType": "Basic" })), 422),
        (entry("PUT", "Basic/a", basic("x")), 400),
        (with(entry("PUT", "Basic/a", json!({ "resourceType": "Basic", "id": "a", "code": { "text": "z" } })), "ifMatch", "W/\"1\""), 412),
        (with(entry("POST", "Basic", basic("x")), "ifNoneExist", "code:missing=false"), 412),
        (with(entry("POST", "Basic", basic("x")), "ifNoneExist", ""), 400),
        (entry("PUT", "Basic?_id=none", json!({ "resourceType": "Basic", "id": "a", "code": { "text": "z" } })), 409),
        (entry("DELETE", "Basic?code:missing=false", Value::Null), 412),
        (entry("PATCH", "Basic/none", json!({ "resourceType": "Parameters" })), 404),
        (entry("PATCH", "Basic/b", json!({ "resourceType": "Parameters" })), 410),
        (entry("POST", "Flag", flag(ONE)), 400),
        (entry("POST", "Flag", flag("Patient?identifier=urn:p|none")), 400),
    ] {
        let before = count(router, "Basic").await;
        let reply = post(router, &bundle("transaction", vec![entry("POST", "Basic", basic("half")), fault.clone()])).await;
        assert_eq!(reply.status, status, "{fault}: {}", reply.text());
        let place = reply.json()["issue"][0]["expression"][0].as_str().unwrap().to_owned();
        assert!(place.starts_with("Bundle.entry[1]"), "{fault}: {place}");
        assert_eq!(count(router, "Basic").await, before, "{fault}");
    }
    // One resource, two entries: both are named.
    let a = |text: &str| json!({ "resourceType": "Basic", "id": "a", "code": { "text": text } });
    for pair in [
        vec![entry("PUT", "Basic/a", a("1")), entry("PUT", "Basic/a", a("2"))],
        vec![entry("PUT", "Basic/a", a("1")), entry("DELETE", "Basic/a", Value::Null)],
        vec![entry("PUT", "Basic/a", a("1")), entry("PUT", "Basic?_id=a", a("2"))],
    ] {
        let reply = post(router, &bundle("transaction", pair)).await;
        assert_eq!(reply.status, 400, "{}", reply.text());
        assert!(reply.text().contains("Bundle.entry[0] and Bundle.entry[1]"), "{}", reply.text());
    }
}

#[tokio::test]
async fn references_of_every_kind_are_rewritten() {
    let world = World::new();
    let router = &world.sandbox;
    let document = json!({ "resourceType": "DocumentReference", "status": "current",
        "masterIdentifier": { "system": "urn:ietf:rfc:3986", "value": ONE },
        "subject": { "reference": ONE },
        "text": { "status": "generated", "div": format!("<div xmlns=\"http://www.w3.org/1999/xhtml\"><a href=\"{ONE}\">{ONE}</a><img src=\"{TWO}#part\" alt=\"\"/></div>") },
        "meta": { "source": ONE, "profile": [ONE] },
        "extension": [
            { "url": "http://x/uri", "valueUri": ONE }, { "url": "http://x/url", "valueUrl": TWO },
            { "url": "http://x/uuid", "valueUuid": ONE }, { "url": "http://x/string", "valueString": ONE },
            { "url": "http://x/canonical", "valueCanonical": ONE }, { "url": "http://x/decimal", "valueDecimal": 1 } ],
        "contained": [{ "resourceType": "Patient", "id": "c", "managingOrganization": { "reference": TWO } }],
        "relatesTo": [{ "code": "appends", "target": { "reference": format!("{ONE}#frag"), "display": "1.00 \\ \"x\"" } }],
        "author": [{ "reference": "#c" }, { "reference": "Practitioner/elsewhere" }, { "reference": "http://else/Practitioner/1" }],
        "content": [{ "attachment": { "url": TWO } }] });
    let text = bundle("transaction", vec![
        entry("POST", "DocumentReference", document),
        at(ONE, entry("POST", "Patient", patient("1"))),
        at(TWO, entry("PUT", "Organization/org", json!({ "resourceType": "Organization", "id": "org", "name": "x" }))),
    ]).to_string().replace("\"valueDecimal\":1", "\"valueDecimal\":1.00").replace("http://else/Practitioner", "http:\\/\\/else\\/Practitioner");
    let reply = send(router, "POST", "", &[], &text).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    let one = written(&answer, 1);
    let two = "Organization/org";
    assert!(one.starts_with("Patient/"));
    let stored = get(router, &written(&answer, 0)).await;
    let d = stored.json();
    assert_eq!(d["subject"]["reference"], one);
    assert_eq!(d["masterIdentifier"]["value"], ONE, "a string is no reference");
    assert_eq!(d["meta"]["source"], one);
    assert_eq!(d["meta"]["profile"][0], ONE, "a canonical is not rewritten");
    let extension = |n: usize, name: &str| d["extension"][n][name].clone();
    assert_eq!(extension(0, "valueUri"), one);
    assert_eq!(extension(1, "valueUrl"), two);
    assert_eq!(extension(2, "valueUuid"), ONE, "an address is no UUID");
    assert_eq!(extension(3, "valueString"), ONE);
    assert_eq!(extension(4, "valueCanonical"), ONE);
    assert!(stored.text().contains("\"valueDecimal\":1.00"));
    assert_eq!(d["contained"][0]["managingOrganization"]["reference"], two);
    assert_eq!(d["relatesTo"][0]["target"]["reference"], format!("{one}#frag"));
    assert_eq!(d["author"][0]["reference"], "#c");
    assert_eq!(d["author"][1]["reference"], "Practitioner/elsewhere");
    assert_eq!(d["author"][2]["reference"], "http://else/Practitioner/1");
    assert_eq!(d["content"][0]["attachment"]["url"], two);
    let div = d["text"]["div"].as_str().unwrap();
    assert!(div.contains(&format!("href=\"{one}\">{ONE}<")), "{div}");
    assert!(div.contains(&format!("src=\"{two}#part\"")), "{div}");
}

#[tokio::test]
async fn addresses_of_other_servers_are_mapped_by_their_base() {
    let world = World::new();
    let router = &world.sandbox;
    let body = bundle("transaction", vec![
        at("http://a/fhir/Patient/1", entry("POST", "Patient", patient("a"))),
        at("http://b/fhir/Patient/1", entry("POST", "Patient", patient("b"))),
        at("http://a/fhir/Flag/1", entry("POST", "Flag", flag("Patient/1"))),
        at("http://b/fhir/Flag/1", entry("POST", "Flag", flag("Patient/1"))),
        at(ONE, entry("POST", "Flag", flag("http://b/fhir/Patient/1/_history/3"))),
        at(TWO, entry("POST", "Flag", flag("Patient/1"))),
    ]);
    let answer = done(router, &body).await;
    let subject = |n: usize| {
        let (router, address) = (router.clone(), written(&answer, n));
        async move { get(&router, &address).await.json()["subject"]["reference"].as_str().unwrap().to_owned() }
    };
    assert_eq!(subject(2).await, written(&answer, 0));
    assert_eq!(subject(3).await, written(&answer, 1));
    assert_eq!(subject(4).await, written(&answer, 1));
    // Of two bases, and in an entry of neither: left as it is.
    assert_eq!(subject(5).await, "Patient/1");
}

#[tokio::test]
async fn conditional_entries_map_to_what_is_there() {
    let world = World::new();
    let router = &world.sandbox;
    let body = bundle("transaction", vec![
        at(ONE, with(entry("POST", "Patient", patient("1")), "ifNoneExist", "identifier=urn:p|1")),
        at(TWO, with(entry("POST", "Patient", patient("1")), "ifNoneExist", "identifier=urn:p|1")),
        entry("POST", "Flag", flag(ONE)),
        entry("POST", "Flag", flag(TWO)),
    ]);
    let first = done(router, &body).await;
    assert_eq!(first["entry"][0]["response"]["status"], "201 Created");
    assert_eq!(first["entry"][1]["response"]["status"], "200 OK");
    let patient_at = written(&first, 0);
    assert_eq!(written(&first, 1), patient_at);
    let again = done(router, &body).await;
    for n in [0, 1] {
        assert_eq!(again["entry"][n]["response"]["status"], "200 OK");
        assert_eq!(written(&again, n), patient_at);
    }
    assert_eq!(count(router, "Patient").await, 1);
    for answer in [&first, &again] {
        for n in [2, 3] {
            let flag = get(router, &written(answer, n)).await.json();
            assert_eq!(flag["subject"]["reference"], patient_at);
        }
    }
    // Conditional update: the match's id, or a new one.
    let body = bundle("transaction", vec![
        at(ONE, entry("PUT", "Patient?identifier=urn:p|1", patient("1"))),
        at(TWO, entry("PUT", "Patient?identifier=urn:p|2", patient("2"))),
        entry("POST", "Flag", flag(ONE)),
        entry("POST", "Flag", flag(TWO)),
    ]);
    let answer = done(router, &body).await;
    assert_eq!(written(&answer, 0), patient_at);
    assert_eq!(answer["entry"][1]["response"]["status"], "201 Created");
    for (n, target) in [(2, written(&answer, 0)), (3, written(&answer, 1))] {
        let flag = get(router, &written(&answer, n)).await.json();
        assert_eq!(flag["subject"]["reference"], target);
    }
}

#[tokio::test]
async fn conditional_references_find_one_in_the_store_or_in_the_transaction() {
    let world = World::new();
    let router = &world.sandbox;
    send(router, "PUT", "Patient/old", &[], &json!({ "resourceType": "Patient", "id": "old", "identifier": [{ "system": "urn:p", "value": "old" }] }).to_string()).await;
    let refer = |criteria: &str| entry("POST", "Flag", flag(&format!("Patient?identifier=urn:p|{criteria}")));
    let moved = json!({ "resourceType": "Patient", "id": "old", "identifier": [{ "system": "urn:p", "value": "moved" }] });
    for (entries, expected) in [
        (vec![refer("old")], Ok("Patient/old")),
        (vec![refer("old"), entry("POST", "Patient", patient("new"))], Ok("Patient/old")),
        (vec![refer("new"), entry("POST", "Patient", patient("new"))], Ok("posted")),
        (vec![entry("POST", "Flag", flag(&format!("{BASE}/sandbox/Patient?identifier=urn:p|old")))], Ok("Patient/old")),
        (vec![refer("none")], Err("not-found")),
        // The transaction takes the match away, or adds a second one.
        (vec![refer("old"), entry("DELETE", "Patient/old", Value::Null)], Err("not-found")),
        (vec![refer("old"), entry("POST", "Patient", patient("old"))], Err("multiple-matches")),
        (vec![refer("moved"), entry("PUT", "Patient/old", moved)], Ok("Patient/old")),
    ] {
        let body = bundle("transaction", entries);
        let reply = post(router, &body).await;
        match expected {
            Ok(target) => {
                assert_eq!(reply.status, 200, "{body}: {}", reply.text());
                let answer = reply.json();
                let target = if target == "posted" { written(&answer, 1) } else { target.to_owned() };
                let flag = get(router, &written(&answer, 0)).await.json();
                assert_eq!(flag["subject"]["reference"], target, "{body}");
            }
            Err(code) => {
                assert_eq!(reply.status, 400, "{body}: {}", reply.text());
                let issue = &reply.json()["issue"][0];
                assert_eq!(issue["code"], code, "{body}");
                assert_eq!(issue["expression"][0], "Bundle.entry[0].resource.subject");
            }
        }
        // Where we began.
        send(router, "PUT", "Patient/old", &[], &json!({ "resourceType": "Patient", "id": "old", "identifier": [{ "system": "urn:p", "value": "old" }] }).to_string()).await;
        send(router, "DELETE", "Patient?identifier=urn:p|new", &[], "").await;
    }
}

/// A bundle as load generators send them: hundreds of entries that refer to one another, to themselves in circles and to
/// shared resources by criteria; planned on several threads.
#[tokio::test]
async fn large_transactions_hold_together() {
    let world = World::new();
    let router = &world.sandbox;
    send(router, "POST", "Organization", &[], &json!({ "resourceType": "Organization", "identifier": [{ "system": "urn:o", "value": "1" }], "name": "x" }).to_string()).await;
    let id = |n: usize| format!("urn:uuid:00000000-0000-4000-8000-{n:012}");
    let mut entries = vec![at(&id(0), entry("POST", "Patient", json!({ "resourceType": "Patient",
        "managingOrganization": { "reference": "Organization?identifier=urn:o|1" } })))];
    for n in 1..400 {
        let next = 1 + n % 399;
        entries.push(at(&id(n), entry("POST", "Observation", json!({ "resourceType": "Observation", "status": "final",
            "code": { "text": n.to_string() }, "subject": { "reference": id(0) }, "hasMember": [{ "reference": id(next) }],
            "performer": [{ "reference": "Organization?identifier=urn:o|1" }] }))));
    }
    let answer = done(router, &bundle("transaction", entries.clone())).await;
    for n in [1, 200, 399] {
        let o = get(router, &written(&answer, n)).await.json();
        assert_eq!(o["code"]["text"], n.to_string());
        assert_eq!(o["subject"]["reference"], written(&answer, 0));
        assert_eq!(o["hasMember"][0]["reference"], written(&answer, 1 + n % 399));
        assert!(o["performer"][0]["reference"].as_str().unwrap().starts_with("Organization/"));
    }
    // The first fault in the order of the entries is told, whichever thread met one first.
    entries[300]["resource"]["status"] = json!("nonsense");
    entries[390]["resource"]["status"] = json!("nonsense");
    let reply = post(router, &bundle("transaction", entries)).await;
    assert_eq!(reply.status, 422);
    assert_eq!(reply.json()["issue"][0]["expression"][0], "Bundle.entry[300].resource.status");
    assert_eq!(count(router, "Observation").await, 399);
}

/// Readers see a transaction whole or not at all, and transactions that touch the same resources do not mix.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn transactions_are_atomic_under_concurrency() {
    let world = World::new();
    let pair = |text: &str| {
        let basic = |id: &str| json!({ "resourceType": "Basic", "id": id, "code": { "text": text } });
        bundle("transaction", vec![
            entry("PUT", "Basic/left", basic("left")),
            entry("PUT", "Basic/right", basic("right")),
        ])
    };
    done(&world.sandbox, &pair("start")).await;
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let router = world.sandbox.clone();
        let bundles: Vec<Value> = (0..15).map(|n| pair(&format!("{writer}-{n}"))).collect();
        tasks.spawn(async move {
            for bundle in bundles {
                let reply = post(&router, &bundle).await;
                assert!(matches!(reply.status, 200 | 409), "{}", reply.text());
            }
        });
    }
    for _ in 0..2 {
        let router = world.sandbox.clone();
        tasks.spawn(async move {
            for _ in 0..40 {
                let both = get(&router, "Basic?_id=left,right").await.json();
                let text = |n: usize| both["entry"][n]["resource"]["code"]["text"].clone();
                assert_eq!(both["total"], 2);
                assert_eq!(text(0), text(1), "{both}");
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    let versions = |id: &'static str| {
        let router = world.sandbox.clone();
        async move { get(&router, &format!("Basic/{id}/_history?_count=0")).await.json()["total"].clone() }
    };
    assert_eq!(versions("left").await, versions("right").await);
}
