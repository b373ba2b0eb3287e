//! FHIR semantics on the open repository.

mod searches;

use crate::world::*;
use serde_json::{Value, json};

async fn create(world: &World, body: Value) -> String {
    let rtype = body["resourceType"].as_str().unwrap().to_owned();
    let reply = send(&world.sandbox, "POST", &rtype, &[], &body.to_string()).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()["id"].as_str().unwrap().to_owned()
}

fn patient(family: &str, given: &str, born: &str) -> Value {
    json!({ "resourceType": "Patient", "name": [{ "family": family, "given": [given] }], "birthDate": born, "gender": "female" })
}

fn observation(patient: &str, code: &str, value: f64, at: &str) -> Value {
    json!({
        "resourceType": "Observation", "status": "final",
        "code": { "coding": [{ "system": "http://loinc.org", "code": code }] },
        "subject": { "reference": format!("Patient/{patient}") },
        "effectiveDateTime": at,
        "valueQuantity": { "value": value, "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg" },
    })
}

#[tokio::test]
async fn create_read_update_delete_and_history() {
    let world = World::new();
    let body = r#"{ "resourceType":"Observation","id":"mine","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.00} }"#;
    let made = send(&world.sandbox, "POST", "Observation", &[], body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_ne!(id, "mine");
    assert_eq!(made.header("etag"), "W/\"1\"");
    assert_eq!(
        made.header("location"),
        format!("{BASE}/sandbox/Observation/{id}/_history/1")
    );
    // Decimals stay as written.
    assert!(made.text().contains("\"value\":1.00"), "{}", made.text());

    let address = format!("Observation/{id}");
    let read = get(&world.sandbox, &address).await;
    assert_eq!((read.status, &read.bytes), (200, &made.bytes));
    for (name, value, status) in [
        ("if-none-match", "W/\"1\"", 304),
        ("if-none-match", "\"1\"", 304),
        ("if-none-match", "W/\"2\"", 200),
        ("if-none-match", "*", 304),
        ("if-modified-since", read.header("last-modified"), 304),
        ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT", 200),
    ] {
        let reply = send(&world.sandbox, "GET", &address, &[(name, value)], "").await;
        assert_eq!(reply.status, status, "{name}: {value}");
    }

    let changed = body.replace("mine", &id).replace("1.00", "2.0");
    let put = |headers: Vec<(&'static str, &'static str)>, body: String| {
        let (router, address) = (world.sandbox.clone(), address.clone());
        async move { send(&router, "PUT", &address, &headers, &body).await }
    };
    assert_eq!(
        put(vec![("if-match", "W/\"7\"")], changed.clone())
            .await
            .status,
        412
    );
    assert_eq!(
        put(vec![("if-none-match", "*")], changed.clone())
            .await
            .status,
        412
    );
    assert_eq!(
        put(vec![("if-match", "x")], changed.clone()).await.status,
        400
    );
    assert_eq!(put(vec![], body.to_owned()).await.status, 400);
    let second = put(vec![("if-match", "W/\"1\"")], changed.clone()).await;
    assert_eq!((second.status, second.header("etag")), (200, "W/\"2\""));
    // The same content again is no new version.
    let same = put(vec![], changed.clone()).await;
    assert_eq!((same.status, same.header("etag")), (200, "W/\"2\""));

    let deleted = send(&world.sandbox, "DELETE", &address, &[], "").await;
    assert_eq!((deleted.status, deleted.header("etag")), (204, "W/\"3\""));
    assert_eq!(
        send(&world.sandbox, "DELETE", &address, &[], "")
            .await
            .status,
        204
    );
    assert_eq!(get(&world.sandbox, &address).await.status, 410);
    assert_eq!(
        get(&world.sandbox, &format!("{address}/_history/3"))
            .await
            .status,
        410
    );
    assert_eq!(
        get(&world.sandbox, &format!("{address}/_history/4"))
            .await
            .status,
        404
    );
    let first = get(&world.sandbox, &format!("{address}/_history/1")).await;
    assert!(first.text().contains("1.00"));
    let history = get(&world.sandbox, &format!("{address}/_history"))
        .await
        .json();
    let methods: Vec<&str> = history["entry"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["request"]["method"].as_str().unwrap())
        .collect();
    assert_eq!(methods, ["DELETE", "PUT", "POST"]);
    assert_eq!(history["total"], 3);
    // Versions count on after a deletion.
    let again = put(vec![], changed).await;
    assert_eq!((again.status, again.header("etag")), (201, "W/\"4\""));
}

#[tokio::test]
async fn errors_have_outcomes_and_the_right_status() {
    let world = World::new();
    let ok = r#"{"resourceType":"Patient"}"#;
    for (method, address, headers, body, status, code) in [
        ("GET", "patient/1", vec![], "", 404, "not-found"),
        ("GET", "Patient/1", vec![], "", 404, "not-found"),
        ("GET", "Patient/not_an_id", vec![], "", 404, "not-found"),
        ("GET", "Patient/1/_history", vec![], "", 404, "not-found"),
        ("GET", "Patient/$nothing", vec![], "", 404, "not-found"),
        ("GET", "$nothing", vec![], "", 404, "not-found"),
        ("GET", "a/b/c/d/e", vec![], "", 404, "not-found"),
        ("PATCH", "metadata", vec![], ok, 405, "not-supported"),
        ("DELETE", "metadata", vec![], "", 405, "not-supported"),
        (
            "GET",
            "Patient?nonsense=1",
            vec![],
            "",
            400,
            "not-supported",
        ),
        (
            "GET",
            "Patient?name:nonsense=1",
            vec![],
            "",
            400,
            "not-supported",
        ),
        (
            "GET",
            "Patient?birthdate=1973-02-30",
            vec![],
            "",
            400,
            "value",
        ),
        (
            "GET",
            "Patient?_sort=nonsense",
            vec![],
            "",
            400,
            "not-supported",
        ),
        (
            "GET",
            "Patient?_format=csv",
            vec![],
            "",
            406,
            "not-supported",
        ),
        ("GET", "Patient?_page=AAAA", vec![], "", 400, "invalid"),
        ("GET", "?_type=", vec![], "", 400, "value"),
        (
            "GET",
            "Patient",
            vec![("prefer", "handling=odd")],
            "",
            400,
            "value",
        ),
        ("POST", "Patient", vec![], "{", 400, "invalid"),
        (
            "POST",
            "Patient",
            vec![("content-type", "text/csv")],
            "x",
            415,
            "not-supported",
        ),
        (
            "POST",
            "Patient",
            vec![],
            r#"{"resourceType":"Basic","code":{"text":"x"}}"#,
            400,
            "invalid",
        ),
        (
            "POST",
            "Patient",
            vec![],
            r#"{"resourceType":"Patient","nonsense":1}"#,
            422,
            "structure",
        ),
        (
            "POST",
            "Patient",
            vec![],
            r#"{"resourceType":"Patient","gender":"other!"}"#,
            422,
            "code-invalid",
        ),
        (
            "POST",
            "Patient",
            vec![("if-none-exist", "")],
            ok,
            400,
            "invalid",
        ),
        (
            "POST",
            "Patient",
            vec![("if-none-exist", "_count=1")],
            ok,
            400,
            "invalid",
        ),
        ("PUT", "Patient?", vec![], ok, 400, "invalid"),
        ("DELETE", "Patient", vec![], "", 400, "invalid"),
        ("POST", "", vec![], ok, 400, "invalid"),
        (
            "POST",
            "",
            vec![],
            r#"{"resourceType":"Bundle","type":"collection"}"#,
            400,
            "value",
        ),
    ] {
        let reply = send(&world.sandbox, method, address, &headers, body).await;
        assert_eq!(
            reply.status,
            status,
            "{method} {address} {body}: {}",
            reply.text()
        );
        let outcome = reply.json();
        assert_eq!(
            outcome["resourceType"], "OperationOutcome",
            "{method} {address}"
        );
        assert_eq!(
            outcome["issue"][0]["code"], code,
            "{method} {address}: {outcome}"
        );
    }
}

#[tokio::test]
async fn conditional_requests() {
    let world = World::new();
    let body =
        json!({ "resourceType": "Patient", "identifier": [{ "system": "urn:x", "value": "1" }] })
            .to_string();
    let make = |router: axum::Router, body: String| async move {
        send(
            &router,
            "POST",
            "Patient",
            &[("if-none-exist", "identifier=urn:x|1")],
            &body,
        )
        .await
    };
    // Racing conditional creates make one resource.
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        tasks.spawn(make(world.sandbox.clone(), body.clone()));
    }
    let statuses: Vec<u16> = tasks.join_all().await.iter().map(|r| r.status).collect();
    assert_eq!(
        statuses.iter().filter(|s| **s == 201).count(),
        1,
        "{statuses:?}"
    );
    assert!(
        statuses.iter().all(|s| matches!(s, 200 | 201)),
        "{statuses:?}"
    );

    let put = |query: &'static str, body: String| {
        let router = world.sandbox.clone();
        async move { send(&router, "PUT", &format!("Patient?{query}"), &[], &body).await }
    };
    let changed = body.replace("[{", "[{\"use\":\"usual\",");
    let reply = put("identifier=urn:x|1", changed.clone()).await;
    assert_eq!(
        (reply.status, reply.header("etag")),
        (200, "W/\"2\""),
        "{}",
        reply.text()
    );
    let other = changed.replacen('{', "{\"id\":\"other\",", 1);
    assert_eq!(put("identifier=urn:x|1", other.clone()).await.status, 400);
    assert_eq!(put("identifier=urn:x|2", other).await.status, 201);
    assert_eq!(put("identifier=urn:x|1", changed).await.status, 412);
    let delete = |query: &'static str| {
        let router = world.sandbox.clone();
        async move {
            send(&router, "DELETE", &format!("Patient?{query}"), &[], "")
                .await
                .status
        }
    };
    assert_eq!(delete("identifier=urn:x|1").await, 412);
    assert_eq!(delete("identifier=urn:x|none").await, 204);
    assert_eq!(delete("_id=other").await, 204);
    assert_eq!(get(&world.sandbox, "Patient/other").await.status, 410);
}

#[tokio::test]
async fn transactions_and_batches() {
    let world = World::new();
    let transaction = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [
        { "fullUrl": "urn:uuid:11111111-1111-4111-8111-111111111111",
          "resource": observation("x", "718-7", 1.0, "2026-01-01"),
          "request": { "method": "POST", "url": "Observation" } },
        { "fullUrl": "urn:uuid:22222222-2222-4222-8222-222222222222",
          "resource": patient("Transaksjon", "Tone", "1999-09-09"),
          "request": { "method": "POST", "url": "Patient", "ifNoneExist": "family=transaksjon" } },
        { "request": { "method": "GET", "url": "Patient?family=ingen" } },
    ]});
    let text = transaction
        .to_string()
        .replace("Patient/x", "urn:uuid:22222222-2222-4222-8222-222222222222");
    let reply = send(&world.sandbox, "POST", "", &[], &text).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    assert_eq!(answer["type"], "transaction-response");
    assert_eq!(answer["entry"][0]["response"]["status"], "201 Created");
    assert_eq!(answer["entry"][2]["resource"]["type"], "searchset");
    let found = get(&world.sandbox, "Observation?patient.family=transaksjon").await;
    assert_eq!(found.ids("match").len(), 1, "{}", found.text());
    // Again: the patient stands already.
    let again = send(&world.sandbox, "POST", "", &[], &text).await.json();
    assert_eq!(again["entry"][1]["response"]["status"], "200 OK");
    assert_eq!(
        get(&world.sandbox, "Patient?_summary=count").await.json()["total"],
        1
    );

    // One bad entry: nothing happens.
    let bad = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [
        { "resource": patient("Halv", "Gjort", "1999-09-09"), "request": { "method": "POST", "url": "Patient" } },
        { "resource": { "resourceType": "Patient", "nonsense": 1 }, "request": { "method": "POST", "url": "Patient" } },
    ]});
    let reply = send(&world.sandbox, "POST", "", &[], &bad.to_string()).await;
    assert_eq!(reply.status, 422);
    assert_eq!(
        reply.json()["issue"][0]["expression"][0],
        "Bundle.entry[1].resource.nonsense"
    );
    assert_eq!(
        get(&world.sandbox, "Patient?family=halv").await.json()["total"],
        0
    );
    // As a batch, each for itself.
    let batch = bad.to_string().replace("transaction", "batch");
    let answer = send(&world.sandbox, "POST", "", &[], &batch).await.json();
    assert_eq!(answer["entry"][0]["response"]["status"], "201 Created");
    assert_eq!(
        answer["entry"][1]["response"]["status"],
        "422 Unprocessable Entity"
    );
}

#[tokio::test]
async fn reset_empties_the_sandbox() {
    let world = World::new();
    let id = create(&world, patient("Bort", "Alt", "2000-01-01")).await;
    create(&world, patient("Bort", "Igjen", "2000-01-01")).await;
    send(&world.sandbox, "DELETE", &format!("Patient/{id}"), &[], "").await;
    assert_eq!(
        send(&world.sandbox, "DELETE", "$reset", &[], "")
            .await
            .status,
        204
    );
    assert_eq!(get(&world.sandbox, "Patient").await.json()["total"], 0);
    assert_eq!(
        get(&world.sandbox, &format!("Patient/{id}")).await.status,
        404
    );
    assert_eq!(get(&world.sandbox, "_history").await.json()["total"], 0);
    assert_eq!(
        send(
            &world.results,
            "DELETE",
            "$reset",
            &[("x-doctor", DOCTOR)],
            ""
        )
        .await
        .status,
        404
    );
}

#[tokio::test]
async fn xml_both_ways() {
    let world = World::new();
    let xml =
        r#"<Patient xmlns="http://hl7.org/fhir"><name><family value="Xml"/></name></Patient>"#;
    let reply = send(
        &world.sandbox,
        "POST",
        "Patient",
        &[
            ("content-type", "application/fhir+xml"),
            ("accept", "application/fhir+xml"),
        ],
        xml,
    )
    .await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert!(
        reply.text().contains("<family value=\"Xml\"/>"),
        "{}",
        reply.text()
    );
    let bundle = get(&world.sandbox, "Patient?family=xml&_format=xml").await;
    assert!(
        bundle.text().starts_with("<Bundle") || bundle.text().contains("<Bundle "),
        "{}",
        bundle.text()
    );
    assert!(
        bundle
            .header("content-type")
            .starts_with("application/fhir+xml")
    );
}

#[tokio::test]
async fn the_capability_statement_tells_what_works() {
    let world = World::new();
    let statement = get(&world.sandbox, "metadata").await.json();
    let resources = statement["rest"][0]["resource"].as_array().unwrap();
    assert!(resources.len() > 140);
    // Every claimed search parameter answers, with a value of its kind.
    for resource in resources {
        let rtype = resource["type"].as_str().unwrap();
        if !matches!(
            rtype,
            "Patient" | "Observation" | "Location" | "DiagnosticReport" | "ValueSet"
        ) {
            continue;
        }
        for param in resource["searchParam"].as_array().unwrap() {
            let name = param["name"].as_str().unwrap();
            let value = match param["type"].as_str().unwrap() {
                "date" => "2020",
                "number" | "quantity" => "5",
                "reference" => "Patient/1",
                "composite" => continue,
                "special" => "60|10|5",
                _ => "x",
            };
            let reply = get(&world.sandbox, &format!("{rtype}?{name}={value}")).await;
            assert_eq!(reply.status, 200, "{rtype}?{name}: {}", reply.text());
        }
        for include in resource["searchInclude"].as_array().into_iter().flatten() {
            let reply = get(
                &world.sandbox,
                &format!("{rtype}?_include={}", include.as_str().unwrap()),
            )
            .await;
            assert_eq!(reply.status, 200, "{rtype} {include}");
        }
    }
    let gated = get(&world.results, "metadata").await;
    assert_eq!(gated.status, 200);
    assert!(
        gated.json()["rest"][0]["resource"]
            .as_array()
            .unwrap()
            .len()
            == 3
    );
}

/// As the hub mounts it: below a path, beside others.
#[tokio::test]
async fn repositories_are_mounted_side_by_side() {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt;
    let world = World::new();
    let mounted = world
        .mounted
        .clone()
        .fallback(|| async { axum::http::StatusCode::IM_A_TEAPOT });
    for (address, status) in [
        ("/fhir/one/metadata", 200),
        ("/fhir/one/Patient?name=x", 200),
        ("/fhir/one/Patient/none", 404),
        ("/fhir/one?_type=Patient", 200),
        ("/fhir/one/?_type=Patient", 200),
        ("/fhir/one/_history", 200),
        ("/fhir/two/metadata", 200),
        ("/fhir/two/Observation/1", 404),
        ("/elsewhere", 418),
    ] {
        let request = Request::get(address).body(Body::empty()).unwrap();
        let reply = mounted.clone().oneshot(request).await.unwrap();
        assert_eq!(reply.status().as_u16(), status, "{address}");
    }
}
