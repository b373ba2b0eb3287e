//! Operations on resources and compartments: $everything, $meta, $lastn, $document, $match, $graphql.

mod everything;
mod graphql;

use crate::world::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

async fn put(world: &World, body: Value) {
    let address = format!(
        "{}/{}",
        body["resourceType"].as_str().unwrap(),
        body["id"].as_str().unwrap()
    );
    let reply = send(&world.sandbox, "PUT", &address, &[], &body.to_string()).await;
    assert!(
        matches!(reply.status, 200 | 201),
        "{address}: {}",
        reply.text()
    );
}

fn observation(id: &str, patient: &str, code: &str, at: &str) -> Value {
    json!({
        "resourceType": "Observation", "id": id, "status": "final",
        "code": { "coding": [{ "system": "http://loinc.org", "code": code }] },
        "subject": { "reference": format!("Patient/{patient}") },
        "performer": [{ "reference": "PractitionerRole/role" }],
        "effectiveDateTime": at,
    })
}

/// A patient with an encounter and observations, what they lean on, and another patient beside her.
async fn chart(world: &World) {
    for body in [
        json!({ "resourceType": "Organization", "id": "top", "name": "Helse Nord" }),
        json!({ "resourceType": "Organization", "id": "ward", "name": "Post 3", "partOf": { "reference": "Organization/top" } }),
        json!({ "resourceType": "Practitioner", "id": "doc", "name": [{ "family": "Elg" }] }),
        json!({ "resourceType": "PractitionerRole", "id": "role", "practitioner": { "reference": "Practitioner/doc" }, "organization": { "reference": format!("{BASE}/sandbox/Organization/ward") } }),
        json!({ "resourceType": "Patient", "id": "kari", "name": [{ "family": "Bever", "given": ["Kari", "Marie"], "use": "official" }, { "given": ["Kaja"], "use": "nickname" }], "birthDate": "1980-05-17", "gender": "female",
            "identifier": [{ "system": "urn:test", "value": "K1" }], "managingOrganization": { "reference": "Organization/ward" } }),
        json!({ "resourceType": "Patient", "id": "ola", "name": [{ "family": "Bever", "given": ["Ola"] }], "birthDate": "1982-01-01" }),
        json!({ "resourceType": "Encounter", "id": "visit", "status": "finished", "class": { "code": "AMB" }, "subject": { "reference": "Patient/kari" }, "period": { "start": "2026-01-10", "end": "2026-01-11" } }),
        observation("o1", "kari", "718-7", "2026-01-10T10:00:00+01:00"),
        observation("o2", "kari", "718-7", "2026-02-10T10:00:00+01:00"),
        observation("o3", "kari", "2093-3", "2026-03-10T10:00:00+01:00"),
        observation("x1", "ola", "718-7", "2026-01-10T10:00:00+01:00"),
        json!({ "resourceType": "Condition", "id": "c1", "subject": { "reference": "Patient/kari" }, "encounter": { "reference": "Encounter/visit" }, "code": { "text": "hodepine" } }),
    ] {
        put(world, body).await;
    }
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|i| (*i).to_owned()).collect()
}

fn all_ids(reply: &Reply, mode: &str) -> BTreeSet<String> {
    let ids = reply.ids(mode);
    let unique: BTreeSet<String> = ids.iter().cloned().collect();
    assert_eq!(unique.len(), ids.len(), "{ids:?}");
    unique
}

#[tokio::test]
async fn operations_that_are_not_gated_are_not_in_clinical_repositories() {
    let world = World::new();
    let (o1, _) = world.add_result(KARI, "NPU01", "1.0");
    let meta = look(&world.results, &format!("Observation/{o1}/$meta"), DOCTOR).await;
    assert_eq!(meta.status, 200, "{}", meta.text());
    for (method, address) in [
        ("GET", "$meta".to_owned()),
        ("GET", "Observation/$meta".to_owned()),
        ("POST", format!("Observation/{o1}/$meta-add")),
        ("GET", "$export".to_owned()),
        ("POST", "$import".to_owned()),
        ("GET", "$graphql?query={a}".replace(['{', '}'], "_")),
        ("POST", "Patient/$match".to_owned()),
        ("GET", "_jobs/x".to_owned()),
    ] {
        let reply = send(
            &world.results,
            method,
            &address,
            &[("x-doctor", DOCTOR), ("prefer", "respond-async")],
            "",
        )
        .await;
        assert_eq!(reply.status, 404, "{method} {address}");
    }
    // The newest of each kind, under the gate.
    let kari = world.patient_id(KARI);
    let last = look(
        &world.results,
        &format!("Observation/$lastn?patient={kari}&code=NPU01"),
        DOCTOR,
    )
    .await;
    assert_eq!(last.status, 200, "{}", last.text());
    assert_eq!(last.ids("match"), [format!("Observation/{o1}")]);
    world.block(KARI, DOCTOR);
    let last = look(
        &world.results,
        &format!("Observation/$lastn?patient={kari}&code=NPU01"),
        DOCTOR,
    )
    .await;
    assert_eq!(last.json()["total"], 0);
}

#[tokio::test]
async fn labels_are_read_added_and_taken_away() {
    let world = World::new();
    put(&world, json!({ "resourceType": "Observation", "id": "m", "meta": { "tag": [{ "system": "urn:t", "code": "a" }] }, "status": "final", "code": { "text": "x" }, "valueQuantity": { "value": 1 } })).await;
    let labels = |value: Value| {
        json!({ "resourceType": "Parameters", "parameter": [{ "name": "meta", "valueMeta": value }] }).to_string()
    };
    let got = get(&world.sandbox, "Observation/m/$meta").await.json();
    let meta = &got["parameter"][0]["valueMeta"];
    assert_eq!(
        (meta["versionId"].as_str(), meta["tag"][0]["code"].as_str()),
        (Some("1"), Some("a"))
    );
    let add =
        labels(json!({ "tag": [{ "system": "urn:t", "code": "b" }], "profile": ["http://p"] }));
    let added = send(&world.sandbox, "POST", "Observation/m/$meta-add", &[], &add).await;
    assert_eq!(added.status, 200, "{}", added.text());
    assert_eq!(added.header("etag"), "W/\"2\"");
    let meta = added.json()["parameter"][0]["valueMeta"].clone();
    assert_eq!(meta["tag"].as_array().unwrap().len(), 2);
    assert_eq!(meta["profile"], json!(["http://p"]));
    assert_eq!(
        get(&world.sandbox, "Observation?_tag=urn:t%7Cb")
            .await
            .json()["total"],
        1
    );
    // The same again changes nothing.
    let again = send(&world.sandbox, "POST", "Observation/m/$meta-add", &[], &add).await;
    assert_eq!(again.json()["parameter"][0]["valueMeta"]["versionId"], "2");
    let less = labels(
        json!({ "tag": [{ "system": "urn:t", "code": "a" }, { "system": "urn:t", "code": "b" }], "profile": ["http://p"] }),
    );
    let taken = send(
        &world.sandbox,
        "POST",
        "Observation/m/$meta-delete",
        &[],
        &less,
    )
    .await;
    let meta = taken.json()["parameter"][0]["valueMeta"].clone();
    assert_eq!(
        (meta["versionId"].as_str(), meta.get("tag")),
        (Some("3"), None)
    );
    let stale = send(
        &world.sandbox,
        "POST",
        "Observation/m/$meta-add",
        &[("if-match", "W/\"1\"")],
        &add,
    )
    .await;
    assert_eq!(stale.status, 412);
    for (address, body, status) in [
        ("Observation/none/$meta-add", add.as_str(), 404),
        (
            "Observation/m/$meta-add",
            "{\"resourceType\":\"Parameters\"}",
            400,
        ),
        ("Observation/$meta-add", add.as_str(), 404),
    ] {
        let reply = send(&world.sandbox, "POST", address, &[], body).await;
        assert_eq!(reply.status, status, "{address}");
    }
    put(
        &world,
        json!({ "resourceType": "Patient", "id": "p", "meta": { "security": [{ "code": "R" }] } }),
    )
    .await;
    send(&world.sandbox, "POST", "Observation/m/$meta-add", &[], &add).await;
    let of_type = get(&world.sandbox, "Observation/$meta").await.json();
    assert!(
        of_type["parameter"][0]["valueMeta"]
            .get("security")
            .is_none()
    );
    let all = get(&world.sandbox, "$meta").await.json();
    assert_eq!(all["parameter"][0]["valueMeta"]["security"][0]["code"], "R");
    assert_eq!(all["parameter"][0]["valueMeta"]["tag"][0]["code"], "b");
}

#[tokio::test]
async fn the_newest_of_each_kind() {
    let world = World::new();
    chart(&world).await;
    let ids = |reply: Reply| {
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.ids("match")
    };
    let one = ids(get(
        &world.sandbox,
        "Observation/$lastn?patient=kari&code=718-7,2093-3",
    )
    .await);
    assert_eq!(one, ["Observation/o3", "Observation/o2"]);
    let two = ids(get(
        &world.sandbox,
        "Observation/$lastn?patient=Patient/kari&code=718-7,2093-3&max=2",
    )
    .await);
    assert_eq!(two, ["Observation/o3", "Observation/o2", "Observation/o1"]);
    for query in [
        "code=718-7",
        "patient=kari",
        "patient=kari&code=718-7&max=0",
        "patient=kari&code=718-7&_sort=date",
    ] {
        let reply = get(&world.sandbox, &format!("Observation/$lastn?{query}")).await;
        assert_eq!(reply.status, 400, "{query}");
    }
}

#[tokio::test]
async fn a_composition_becomes_a_document() {
    let world = World::new();
    chart(&world).await;
    put(&world, json!({
        "resourceType": "Composition", "id": "doc", "status": "final", "type": { "text": "Epikrise" }, "date": "2026-01-11", "title": "Epikrise",
        "subject": { "reference": "Patient/kari" }, "author": [{ "reference": "PractitionerRole/role" }],
        "section": [{ "title": "Funn", "entry": [{ "reference": "Observation/o1" }] }],
    })).await;
    let reply = get(&world.sandbox, "Composition/doc/$document").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let bundle = reply.json();
    assert_eq!(
        (bundle["type"].as_str(), bundle.get("id")),
        (Some("document"), None)
    );
    let types: Vec<&str> = bundle["entry"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["resource"]["resourceType"].as_str().unwrap())
        .collect();
    assert_eq!(types[0], "Composition");
    for rtype in [
        "Patient",
        "PractitionerRole",
        "Practitioner",
        "Observation",
        "Organization",
    ] {
        assert!(types.contains(&rtype), "{rtype}");
    }
    assert!(!reply.text().contains("\"x1\""));
    let kept = get(&world.sandbox, "Composition/doc/$document?persist=true").await;
    assert_eq!(kept.status, 200, "{}", kept.text());
    let id = kept.json()["id"].as_str().unwrap().to_owned();
    let stored = get(&world.sandbox, &format!("Bundle/{id}")).await;
    assert_eq!(stored.json()["entry"], kept.json()["entry"]);
    put(&world, json!({
        "resourceType": "Composition", "id": "broken", "status": "final", "type": { "text": "x" }, "date": "2026-01-11", "title": "x",
        "author": [{ "reference": "Practitioner/nobody" }],
    })).await;
    assert_eq!(
        get(&world.sandbox, "Composition/broken/$document")
            .await
            .status,
        422
    );
    assert_eq!(
        get(&world.sandbox, "Composition/none/$document")
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn patients_are_matched() {
    let world = World::new();
    chart(&world).await;
    let ask = |patient: Value, more: Value| {
        let mut parameters = vec![json!({ "name": "resource", "resource": patient })];
        parameters.extend(more.as_array().unwrap().iter().cloned());
        json!({ "resourceType": "Parameters", "parameter": parameters }).to_string()
    };
    let described = json!({ "resourceType": "Patient", "identifier": [{ "system": "urn:test", "value": "K1" }],
        "name": [{ "family": "BEVER", "given": ["Kari"] }], "birthDate": "1980-05-17" });
    let reply = send(
        &world.sandbox,
        "POST",
        "Patient/$match",
        &[],
        &ask(described.clone(), json!([])),
    )
    .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let bundle = reply.json();
    assert_eq!(bundle["entry"][0]["resource"]["id"], "kari");
    assert_eq!(bundle["entry"][0]["search"]["score"], 1.0);
    assert_eq!(
        bundle["entry"][0]["search"]["extension"][0]["valueCode"],
        "certain"
    );
    assert_eq!(bundle["total"], 1, "another birth date is no match");
    let vague = json!({ "resourceType": "Patient", "name": [{ "family": "Bever", "given": ["Kari"] }], "birthDate": "1980-05-17" });
    let reply = send(
        &world.sandbox,
        "POST",
        "Patient/$match",
        &[],
        &ask(vague.clone(), json!([])),
    )
    .await;
    assert_eq!(
        reply.json()["entry"][0]["search"]["extension"][0]["valueCode"],
        "possible"
    );
    let certain = json!([{ "name": "onlyCertainMatches", "valueBoolean": true }]);
    let reply = send(
        &world.sandbox,
        "POST",
        "Patient/$match",
        &[],
        &ask(vague, certain),
    )
    .await;
    assert_eq!(reply.json()["total"], 0);
    let reply = send(
        &world.sandbox,
        "POST",
        "Patient/$match",
        &[],
        "{\"resourceType\":\"Parameters\"}",
    )
    .await;
    assert_eq!(reply.status, 400);
}
