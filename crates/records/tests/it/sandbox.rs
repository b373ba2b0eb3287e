//! FHIR semantics on the open repository.

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
async fn searches_of_every_kind() {
    let world = World::new();
    let kari = create(&world, patient("Bjørnstad", "Kari", "1980-05-17")).await;
    let ola = create(&world, patient("Åsen", "Ola", "1990-01-01")).await;
    let o1 = create(
        &world,
        observation(&kari, "718-7", 13.5, "2026-01-10T10:00:00+01:00"),
    )
    .await;
    let o2 = create(&world, observation(&kari, "2345-7", 5.0, "2026-02-10")).await;
    let o3 = create(
        &world,
        observation(&ola, "718-7", 15.25, "2026-03-10T23:30:00Z"),
    )
    .await;
    let find = |query: &str| {
        let (router, query) = (world.sandbox.clone(), query.to_owned());
        async move {
            let reply = get(&router, &query).await;
            assert_eq!(reply.status, 200, "{query}: {}", reply.text());
            let mut ids = reply.ids("match");
            ids.sort();
            ids
        }
    };
    let p = |ids: &[&str]| {
        let mut ids: Vec<String> = ids.iter().map(|i| format!("Patient/{i}")).collect();
        ids.sort();
        ids
    };
    let o = |ids: &[&str]| {
        let mut ids: Vec<String> = ids.iter().map(|i| format!("Observation/{i}")).collect();
        ids.sort();
        ids
    };
    for (query, expected) in [
        ("Patient".to_owned(), p(&[&kari, &ola])),
        ("Patient?name=bjornst".to_owned(), p(&[&kari])),
        ("Patient?family=asen".to_owned(), p(&[&ola])),
        ("Patient?name=stad".to_owned(), p(&[])),
        ("Patient?name:contains=stad".to_owned(), p(&[&kari])),
        ("Patient?family:exact=Bjørnstad".to_owned(), p(&[&kari])),
        ("Patient?family:exact=bjørnstad".to_owned(), p(&[])),
        (
            "Patient?gender=female&birthdate=ge1985".to_owned(),
            p(&[&ola]),
        ),
        ("Patient?gender:not=female".to_owned(), p(&[])),
        ("Patient?telecom:missing=true".to_owned(), p(&[&kari, &ola])),
        ("Patient?birthdate:missing=true".to_owned(), p(&[])),
        (format!("Patient?_id={kari},nobody"), p(&[&kari])),
        ("Observation?code=718-7".to_owned(), o(&[&o1, &o3])),
        (
            "Observation?code=http://loinc.org|718-7".to_owned(),
            o(&[&o1, &o3]),
        ),
        (
            "Observation?code=http://snomed.info/sct|718-7".to_owned(),
            o(&[]),
        ),
        (
            "Observation?code=http://loinc.org|".to_owned(),
            o(&[&o1, &o2, &o3]),
        ),
        ("Observation?code:not=718-7".to_owned(), o(&[&o2])),
        ("Observation?date=2026-01".to_owned(), o(&[&o1])),
        (
            "Observation?date=ge2026-02-10&date=lt2026-03".to_owned(),
            o(&[&o2]),
        ),
        // 23:30Z is the next day in Oslo.
        ("Observation?date=2026-03-11".to_owned(), o(&[&o3])),
        (
            format!("Observation?subject=Patient/{kari}"),
            o(&[&o1, &o2]),
        ),
        (format!("Observation?subject={kari}&code=718-7"), o(&[&o1])),
        (
            format!("Observation?patient={BASE}/sandbox/Patient/{ola}"),
            o(&[&o3]),
        ),
        ("Observation?value-quantity=gt14".to_owned(), o(&[&o3])),
        (
            "Observation?value-quantity=0.0135|http://unitsofmeasure.org|g".to_owned(),
            o(&[&o1]),
        ),
        (
            "Observation?subject:Patient.name=bjørn".to_owned(),
            o(&[&o1, &o2]),
        ),
        (
            "Observation?patient.birthdate=gt1985&code=718-7".to_owned(),
            o(&[&o3]),
        ),
        (
            "Patient?_has:Observation:patient:code=2345-7".to_owned(),
            p(&[&kari]),
        ),
        (format!("Patient/{kari}/Observation?code=718-7"), o(&[&o1])),
        (format!("Patient/{kari}/*"), o(&[&o1, &o2])),
        (
            "Observation?_lastUpdated=gt2020".to_owned(),
            o(&[&o1, &o2, &o3]),
        ),
        ("Observation?_lastUpdated=lt2020".to_owned(), o(&[])),
        (
            "?_type=Patient,Observation&_lastUpdated=gt2020".to_owned(),
            {
                let mut all = p(&[&kari, &ola]);
                all.extend(o(&[&o1, &o2, &o3]));
                all.sort();
                all
            },
        ),
    ] {
        assert_eq!(find(&query).await, expected, "{query}");
    }
    let sorted = get(&world.sandbox, "Observation?_sort=-value-quantity,_id").await;
    assert_eq!(
        sorted.ids("match"),
        [&o3, &o1, &o2].map(|i| format!("Observation/{i}"))
    );
    let sorted = get(&world.sandbox, "Patient?_sort=birthdate").await;
    assert_eq!(
        sorted.ids("match"),
        [&kari, &ola].map(|i| format!("Patient/{i}"))
    );

    let with = get(
        &world.sandbox,
        "Observation?code=2345-7&_include=Observation:subject",
    )
    .await;
    assert_eq!(with.ids("include"), p(&[&kari]));
    assert_eq!(with.json()["total"], 1);
    let with = get(
        &world.sandbox,
        &format!("Patient?_id={kari}&_revinclude=Observation:subject"),
    )
    .await;
    assert_eq!(with.ids("include").len(), 2);
    let with = get(
        &world.sandbox,
        "Observation?code=2345-7&_include=Observation:subject&_revinclude:iterate=Observation:subject",
    )
    .await;
    assert_eq!(with.ids("include").len(), 2, "{}", with.text());
    let counted = get(&world.sandbox, "Observation?_summary=count")
        .await
        .json();
    assert_eq!(counted["total"], 3);
    assert!(counted.get("entry").is_none());
    let lenient = send(
        &world.sandbox,
        "GET",
        "Patient?nonsense=1&family=asen",
        &[("prefer", "handling=lenient")],
        "",
    )
    .await;
    assert_eq!(lenient.ids("match"), p(&[&ola]));
    assert!(!lenient.link("self").unwrap().contains("nonsense"));
    assert_eq!(lenient.ids("outcome").len(), 1);
    let posted = send(
        &world.sandbox,
        "POST",
        "Patient/_search?gender=female",
        &[("content-type", "application/x-www-form-urlencoded")],
        "family=asen",
    )
    .await;
    assert_eq!(posted.ids("match"), p(&[&ola]));
    let elements = get(&world.sandbox, &format!("Patient/{kari}?_elements=gender"))
        .await
        .json();
    assert!(elements.get("name").is_none() && elements["gender"] == "female");
}

#[tokio::test]
async fn pages_hold_their_snapshot() {
    let world = World::new();
    for n in 0..7 {
        create(&world, patient("Page", &format!("P{n}"), "2000-01-01")).await;
    }
    for query in [
        "Patient?family=page&_count=3",
        "Patient?_count=3&_sort=given",
        "Patient?_count=3",
    ] {
        let mut seen = Vec::new();
        let mut next = Some(query.to_owned());
        let mut pages = 0;
        while let Some(address) = next {
            let reply = get(&world.sandbox, &address).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            let total = reply.json()["total"].as_u64().unwrap();
            if pages == 0 {
                create(&world, patient("Page", "New", "2000-01-01")).await;
            }
            seen.extend(reply.ids("match"));
            next = reply.link("next");
            pages += 1;
            assert_eq!(pages, 1 + (seen.len() - 1) / 3);
            if next.is_none() {
                assert_eq!(seen.len() as u64, total, "{query}");
            }
        }
        let unique: std::collections::BTreeSet<&String> = seen.iter().collect();
        assert_eq!(unique.len(), seen.len());
    }
    let link = get(&world.sandbox, "Patient?_count=2")
        .await
        .link("next")
        .unwrap();
    let elsewhere = link.replace("/Patient?", "/Observation?");
    assert_eq!(get(&world.sandbox, &elsewhere).await.status, 400);
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

/// Whatever is typed into a search, the answer is an answer.
#[test]
fn hostile_searches_are_never_our_fault() {
    use proptest::prelude::*;
    let world = World::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let id = create(&world, patient("Prop", "Test", "2000-01-01")).await;
        create(&world, observation(&id, "718-7", 1.0, "2026-01-01")).await;
    });
    let name = prop_oneof![
        Just("code".to_owned()),
        Just("date".to_owned()),
        Just("value-quantity".to_owned()),
        Just("subject".to_owned()),
        Just("subject:Patient.name".to_owned()),
        Just("_has:Observation:patient:code".to_owned()),
        Just("_sort".to_owned()),
        Just("_include".to_owned()),
        Just("_page".to_owned()),
        Just("_filter".to_owned()),
        Just("_list".to_owned()),
        Just("_content".to_owned()),
        Just("code:below".to_owned()),
        Just("code:in".to_owned()),
        Just("_count".to_owned()),
        Just("_lastUpdated".to_owned()),
        Just("code-value-quantity".to_owned()),
        "[a-z_:.]{0,30}",
        "\\PC{0,20}",
    ];
    let value = prop_oneof![
        "[0-9eE+.|$,\\\\:a-zT-]{0,30}",
        "\\PC{0,40}",
        "(eq|ne|gt|lt|ap|sa)[0-9.eE-]{0,40}",
    ];
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(400));
    runner
        .run(
            &(name, value, "(Observation|Patient|)"),
            |(name, value, rtype)| {
                let query: String = url::form_urlencoded::Serializer::new(String::new())
                    .append_pair(&name, &value)
                    .finish();
                let reply = runtime.block_on(get(&world.sandbox, &format!("{rtype}?{query}")));
                prop_assert!(reply.status < 500, "{name}={value}: {}", reply.text());
                prop_assert!(serde_json::from_slice::<Value>(&reply.bytes).is_ok());
                Ok(())
            },
        )
        .unwrap();
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
