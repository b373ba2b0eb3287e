//! Validation over HTTP: `$validate`, what is checked on write, and profiles that are stored in the repository.

use crate::world::*;
use serde_json::{Value, json};

/// (severity, code, expression) of the issues.
fn issues(reply: &Reply) -> Vec<(String, String, String)> {
    let outcome = reply.json();
    assert_eq!(outcome["resourceType"], "OperationOutcome", "{outcome}");
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    outcome["issue"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| {
            (
                text(&i["severity"]),
                text(&i["code"]),
                text(&i["expression"][0]),
            )
        })
        .collect()
}

async fn validate(world: &World, address: &str, body: &Value) -> Reply {
    send(&world.sandbox, "POST", address, &[], &body.to_string()).await
}

fn is_fine(reply: &Reply) -> bool {
    reply.status == 200
        && issues(reply)
            .iter()
            .all(|(severity, _, _)| severity == "information")
}

fn observation() -> Value {
    json!({
        "resourceType": "Observation", "status": "final",
        "text": { "status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>" },
        "code": { "coding": [{ "system": "http://loinc.org", "code": "29463-7" }] },
    })
}

fn with(mut v: Value, name: &str, value: Value) -> Value {
    v[name] = value;
    v
}

fn named_patients(min: u32) -> Value {
    json!({
        "resourceType": "StructureDefinition", "url": "http://example.org/named", "name": "Named", "status": "active", "kind": "resource",
        "abstract": false, "type": "Patient", "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient", "derivation": "constraint",
        "differential": { "element": [{ "id": "Patient.name", "path": "Patient.name", "min": min }] },
    })
}

#[tokio::test]
async fn validate_answers_200_whatever_the_verdict() {
    let world = World::checking();
    let good = validate(&world, "Observation/$validate", &observation()).await;
    assert_eq!(good.status, 200, "{}", good.text());
    assert_eq!(
        issues(&good),
        [("information".into(), "informational".into(), String::new())]
    );

    let bad = validate(
        &world,
        "Observation/$validate",
        &with(observation(), "status", json!("done")),
    )
    .await;
    assert_eq!(bad.status, 200);
    assert_eq!(
        issues(&bad),
        [(
            "error".into(),
            "code-invalid".into(),
            "Observation.status".into()
        )]
    );

    let missing = json!({ "resourceType": "Observation", "status": "final" });
    let missing = validate(&world, "Observation/$validate", &missing).await;
    assert!(issues(&missing).contains(&(
        "error".into(),
        "required".into(),
        "Observation.code".into()
    )));

    let broken = send(
        &world.sandbox,
        "POST",
        "Observation/$validate",
        &[],
        "{\"resourceType\":\n \"Observation\",}",
    )
    .await;
    assert_eq!(broken.status, 200, "{}", broken.text());
    assert_eq!(issues(&broken)[0].1, "invalid");
    assert_eq!(broken.json()["issue"][0]["extension"][0]["valueInteger"], 2);

    let other = validate(&world, "Patient/$validate", &observation()).await;
    assert_eq!(other.status, 200);
    assert!(issues(&other).iter().any(|i| i.0 == "error"));
}

#[tokio::test]
async fn validate_takes_parameters() {
    let world = World::checking();
    let wrap = |resource: Value, more: Vec<Value>| {
        let mut parameter = vec![json!({ "name": "resource", "resource": resource })];
        parameter.extend(more);
        json!({ "resourceType": "Parameters", "parameter": parameter })
    };
    let good = validate(
        &world,
        "Observation/$validate",
        &wrap(observation(), vec![]),
    )
    .await;
    assert!(is_fine(&good), "{}", good.text());
    // Paths begin at the resource, lines count from the top of the body.
    let text = "{\"resourceType\":\"Parameters\",\"parameter\":[{\"name\":\"resource\",\n\"resource\":{\"resourceType\":\"Observation\",\"status\":\"final\",\n\"code\":{\"text\":\"x\"},\"valu\":1}}]}";
    let found = send(&world.sandbox, "POST", "Observation/$validate", &[], text)
        .await
        .json();
    let issue = found["issue"]
        .as_array()
        .unwrap()
        .iter()
        .find(|i| i["severity"] == "error")
        .unwrap()
        .clone();
    assert_eq!(issue["expression"][0], "Observation.valu", "{found}");
    assert_eq!(issue["extension"][0]["valueInteger"], 3, "{found}");

    let profile = |url: &str| json!({ "name": "profile", "valueUri": url });
    let weight = "http://hl7.org/fhir/StructureDefinition/bodyweight";
    let not = validate(
        &world,
        "Observation/$validate",
        &wrap(observation(), vec![profile(weight)]),
    )
    .await;
    assert_eq!(not.status, 200);
    assert!(
        issues(&not).contains(&(
            "error".into(),
            "required".into(),
            "Observation.subject".into()
        )),
        "{}",
        not.text()
    );
    let by_address = validate(
        &world,
        &format!("Observation/$validate?profile={weight}"),
        &observation(),
    )
    .await;
    assert!(
        issues(&by_address)
            .iter()
            .any(|i| i.2 == "Observation.subject")
    );
    let unknown = validate(
        &world,
        "Observation/$validate?profile=http://nowhere",
        &observation(),
    )
    .await;
    assert_eq!(unknown.status, 200);
    assert_eq!(issues(&unknown)[0].1, "not-found");

    let mode = |m: &str| json!({ "name": "mode", "valueCode": m });
    let update = validate(
        &world,
        "Observation/$validate",
        &wrap(observation(), vec![mode("update")]),
    )
    .await;
    assert!(issues(&update).contains(&(
        "error".into(),
        "required".into(),
        "Observation.id".into()
    )));
    let create = validate(
        &world,
        "Observation/$validate",
        &wrap(observation(), vec![mode("create")]),
    )
    .await;
    assert!(is_fine(&create));
    for (body, status) in [
        (wrap(observation(), vec![mode("sometimes")]), 400),
        (wrap(observation(), vec![mode("profile")]), 400),
        (
            wrap(
                observation(),
                vec![json!({ "name": "other", "valueString": "x" })],
            ),
            400,
        ),
        (
            json!({ "resourceType": "Parameters", "parameter": [{ "name": "mode", "valueCode": "create" }] }),
            400,
        ),
        (
            json!({ "resourceType": "Parameters", "parameter": [{ "name": "mode", "valueCode": "delete" }] }),
            400,
        ),
    ] {
        let reply = validate(&world, "Observation/$validate", &body).await;
        assert_eq!(reply.status, status, "{body}");
    }
    let kind = send(
        &world.sandbox,
        "POST",
        "Observation/$validate",
        &[("content-type", "text/csv")],
        "a,b",
    )
    .await;
    assert_eq!(kind.status, 415);
}

#[tokio::test]
async fn validate_on_an_instance() {
    let world = World::checking();
    let made = validate(&world, "Observation", &observation()).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let address = format!("Observation/{id}/$validate");
    assert!(is_fine(&get(&world.sandbox, &address).await));
    let weight = "http://hl7.org/fhir/StructureDefinition/bodyweight";
    let profile = get(
        &world.sandbox,
        &format!("{address}?mode=profile&profile={weight}"),
    )
    .await;
    assert!(
        issues(&profile)
            .iter()
            .any(|i| i.2 == "Observation.subject"),
        "{}",
        profile.text()
    );
    let same = validate(&world, &address, &with(observation(), "id", json!(id))).await;
    assert!(is_fine(&same), "{}", same.text());
    let other = validate(
        &world,
        &address,
        &with(observation(), "id", json!("another")),
    )
    .await;
    assert!(issues(&other).contains(&("error".into(), "value".into(), "Observation.id".into())));
    let delete = json!({ "resourceType": "Parameters", "parameter": [{ "name": "mode", "valueCode": "delete" }] });
    assert!(is_fine(&validate(&world, &address, &delete).await));
    let nothing = validate(&world, "Observation/nothing/$validate", &delete).await;
    assert_eq!(
        (nothing.status, issues(&nothing)[0].1.as_str()),
        (200, "not-found")
    );
    assert_eq!(
        get(&world.sandbox, "Observation/nothing/$validate")
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn invariants_count_on_write() {
    let world = World::checking();
    let bad = with(observation(), "valueString", json!("x"));
    let bad = with(bad, "dataAbsentReason", json!({ "text": "y" }));
    let reply = validate(&world, "Observation", &bad).await;
    assert_eq!(reply.status, 422, "{}", reply.text());
    assert_eq!(
        issues(&reply),
        [("error".into(), "invariant".into(), "Observation".into())]
    );
    // In a batch it is the entry that fails.
    let batch = json!({ "resourceType": "Bundle", "type": "batch", "entry": [
        { "resource": bad, "request": { "method": "POST", "url": "Observation" } },
        { "resource": observation(), "request": { "method": "POST", "url": "Observation" } },
    ] });
    let reply = send(&world.sandbox, "POST", "", &[], &batch.to_string()).await;
    let statuses: Vec<String> = reply.json()["entry"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| {
            e["response"]["status"]
                .as_str()
                .unwrap()
                .get(..3)
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(statuses, ["422", "201"]);
}

#[tokio::test]
async fn a_stored_profile_counts_from_that_moment_on() {
    let world = World::checking();
    let nameless = json!({ "resourceType": "Patient", "meta": { "profile": ["http://example.org/named"] }, "active": true });
    // Not known yet: a warning, and the resource is stored.
    let unknown = validate(&world, "Patient/$validate", &nameless).await;
    assert!(
        issues(&unknown).contains(&(
            "warning".into(),
            "not-found".into(),
            "Patient.meta.profile[0]".into()
        )),
        "{}",
        unknown.text()
    );
    let told = send(
        &world.sandbox,
        "POST",
        "Patient",
        &[("prefer", "return=OperationOutcome")],
        &nameless.to_string(),
    )
    .await;
    assert_eq!(told.status, 201, "{}", told.text());
    assert!(told.text().contains("not known here"), "{}", told.text());

    let put = |v: Value| {
        let v = with(v, "id", json!("named"));
        async move { v }
    };
    let definition = put(named_patients(1)).await;
    let stored = send(
        &world.sandbox,
        "PUT",
        "StructureDefinition/named",
        &[],
        &definition.to_string(),
    )
    .await;
    assert_eq!(stored.status, 201, "{}", stored.text());
    let refused = validate(&world, "Patient", &nameless).await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert_eq!(
        issues(&refused),
        [("error".into(), "required".into(), "Patient.name".into())]
    );
    let fine = with(nameless.clone(), "name", json!([{ "text": "Kari" }]));
    assert_eq!(validate(&world, "Patient", &fine).await.status, 201);
    let verdict = validate(
        &world,
        "Patient/$validate?profile=http://example.org/named",
        &json!({ "resourceType": "Patient", "active": true }),
    )
    .await;
    assert!(issues(&verdict).iter().any(|i| i.2 == "Patient.name"));

    // A changed profile counts at once.
    let definition = put(named_patients(2)).await;
    let stored = send(
        &world.sandbox,
        "PUT",
        "StructureDefinition/named",
        &[],
        &definition.to_string(),
    )
    .await;
    assert_eq!(stored.status, 200, "{}", stored.text());
    assert_eq!(validate(&world, "Patient", &fine).await.status, 422);
    let gone = send(
        &world.sandbox,
        "DELETE",
        "StructureDefinition/named",
        &[],
        "",
    )
    .await;
    assert!(gone.status < 300);
    assert_eq!(validate(&world, "Patient", &nameless).await.status, 201);
}

#[tokio::test]
async fn what_a_reference_leads_to_is_checked_against_the_profile() {
    let world = World::checking();
    assert_eq!(
        validate(&world, "StructureDefinition", &named_patients(1))
            .await
            .status,
        201
    );
    let about_named = json!({
        "resourceType": "StructureDefinition", "url": "http://example.org/about-named", "name": "AboutNamed", "status": "active", "kind": "resource",
        "abstract": false, "type": "Observation", "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Observation", "derivation": "constraint",
        "differential": { "element": [{ "id": "Observation.subject", "path": "Observation.subject", "min": 1,
            "type": [{ "code": "Reference", "targetProfile": ["http://example.org/named"] }] }] },
    });
    assert_eq!(
        validate(&world, "StructureDefinition", &about_named)
            .await
            .status,
        201
    );
    for (id, body) in [
        ("a", json!({ "active": true })),
        ("b", json!({ "name": [{ "text": "x" }] })),
    ] {
        let mut p = body;
        p["resourceType"] = json!("Patient");
        p["id"] = json!(id);
        let reply = send(
            &world.sandbox,
            "PUT",
            &format!("Patient/{id}"),
            &[],
            &p.to_string(),
        )
        .await;
        assert_eq!(reply.status, 201);
    }
    let about = |id: &str| {
        let o = with(
            observation(),
            "meta",
            json!({ "profile": ["http://example.org/about-named"] }),
        );
        with(
            o,
            "subject",
            json!({ "reference": format!("Patient/{id}") }),
        )
    };
    assert_eq!(
        validate(&world, "Observation", &about("b")).await.status,
        201
    );
    let refused = validate(&world, "Observation", &about("a")).await;
    assert_eq!(refused.status, 422);
    assert_eq!(issues(&refused)[0].2, "Observation.subject");
}

#[tokio::test]
async fn bindings_use_stored_value_sets() {
    let world = World::checking();
    let set = json!({ "resourceType": "ValueSet", "url": "http://example.org/methods", "status": "active",
        "compose": { "include": [{ "system": "http://example.org/s", "concept": [{ "code": "a" }] }] } });
    assert_eq!(validate(&world, "ValueSet", &set).await.status, 201);
    let profile = json!({
        "resourceType": "StructureDefinition", "url": "http://example.org/method", "name": "Method", "status": "active", "kind": "resource",
        "abstract": false, "type": "Observation", "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Observation", "derivation": "constraint",
        "differential": { "element": [{ "id": "Observation.method", "path": "Observation.method",
            "binding": { "strength": "required", "valueSet": "http://example.org/methods" } }] },
    });
    assert_eq!(
        validate(&world, "StructureDefinition", &profile)
            .await
            .status,
        201
    );
    for (code, good) in [("a", true), ("b", false)] {
        let o = with(
            observation(),
            "method",
            json!({ "coding": [{ "system": "http://example.org/s", "code": code }] }),
        );
        let reply = validate(
            &world,
            "Observation/$validate?profile=http://example.org/method",
            &o,
        )
        .await;
        assert_eq!(is_fine(&reply), good, "{}", reply.text());
    }
}

#[tokio::test]
async fn the_edge_of_the_formats_has_the_right_status() {
    let world = World::checking();
    for (body, status, code) in [
        ("{", 400, "invalid"),
        ("", 400, "invalid"),
        ("[]", 400, "structure"),
        ("{\"active\":true}", 400, "structure"),
        (
            "{\"resourceType\":\"Patient\",\"active\":true,\"active\":false}",
            400,
            "structure",
        ),
        (
            "{\"resourceType\":\"Observation\",\"status\":\"final\",\"code\":{\"text\":\"x\"}}",
            400,
            "invalid",
        ),
        (
            "{\"resourceType\":\"Patient\",\"active\":\"true\"}",
            422,
            "value",
        ),
        (
            "{\"resourceType\":\"Patient\",\"activ\":true}",
            422,
            "structure",
        ),
        (
            "{\"resourceType\":\"Patient\",\"name\":[]}",
            422,
            "structure",
        ),
        (
            "{\"resourceType\":\"Patient\",\"active\":null}",
            422,
            "structure",
        ),
        (
            "{\"resourceType\":\"Patient\",\"birthDate\":\"1980-02-30\"}",
            422,
            "value",
        ),
        (
            "{\"resourceType\":\"Patient\",\"gender\":\"x\"}",
            422,
            "code-invalid",
        ),
        (
            "{\"resourceType\":\"Patient\",\"contact\":[{\"gender\":\"male\"}]}",
            422,
            "invariant",
        ),
    ] {
        let reply = send(&world.sandbox, "POST", "Patient", &[], body).await;
        assert_eq!(reply.status, status, "{body}: {}", reply.text());
        assert_eq!(issues(&reply)[0].1, code, "{body}: {}", reply.text());
    }
    for (body, status) in [
        (
            "<Patient xmlns=\"http://hl7.org/fhir\"><active value=\"true\"/></Patient>",
            201,
        ),
        (
            "<Patient xmlns=\"http://hl7.org/fhir\"><active value=\"yes\"/></Patient>",
            422,
        ),
        (
            "<Patient xmlns=\"http://hl7.org/fhir\"><activ value=\"true\"/></Patient>",
            422,
        ),
        (
            "<Patient xmlns=\"http://hl7.org/fhir\"><active value=\"true\">",
            400,
        ),
        ("<Patient><active value=\"true\"/></Patient>", 400),
    ] {
        let headers = [("content-type", "application/fhir+xml")];
        let reply = send(&world.sandbox, "POST", "Patient", &headers, body).await;
        assert_eq!(reply.status, status, "{body}: {}", reply.text());
    }
}
