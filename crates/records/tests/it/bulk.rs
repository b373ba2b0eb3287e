//! Jobs, $export and $import.

use crate::world::*;
use axum::Router;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const ASYNC: (&str, &str) = ("prefer", "respond-async");

async fn put(world: &World, body: Value) {
    let address = format!(
        "{}/{}",
        body["resourceType"].as_str().unwrap(),
        body["id"].as_str().unwrap()
    );
    let reply = send(&world.sandbox, "PUT", &address, &[], &body.to_string()).await;
    assert!(matches!(reply.status, 200 | 201), "{}", reply.text());
}

fn observation(id: &str, patient: &str, code: &str) -> Value {
    json!({ "resourceType": "Observation", "id": id, "status": "final", "code": { "coding": [{ "system": "urn:c", "code": code }] },
        "subject": { "reference": format!("Patient/{patient}") } })
}

async fn data(world: &World) {
    for id in ["a", "b", "c"] {
        put(
            world,
            json!({ "resourceType": "Patient", "id": id, "active": id != "c" }),
        )
        .await;
        put(world, observation(&format!("{id}1"), id, "x")).await;
        put(world, observation(&format!("{id}2"), id, "y")).await;
    }
    put(
        world,
        json!({ "resourceType": "Organization", "id": "org", "name": "Org" }),
    )
    .await;
    put(world, json!({ "resourceType": "Group", "id": "g", "type": "person", "actual": true, "member": [
        { "entity": { "reference": "Patient/a" } }, { "entity": { "reference": "Patient/b" }, "inactive": true } ] })).await;
    put(world, json!({ "resourceType": "Provenance", "id": "pr", "target": [{ "reference": "Observation/a1" }], "recorded": "2026-01-01T00:00:00Z", "agent": [{ "who": { "display": "x" } }] })).await;
}

/// Asks until the job has ended.
async fn finished(router: &Router, address: &str) -> Reply {
    for _ in 0..600 {
        let reply = get(router, address).await;
        if reply.status != 202 {
            return reply;
        }
        assert!(!reply.header("x-progress").is_empty());
        assert_eq!(reply.header("retry-after"), "1");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the job does not end");
}

async fn export(world: &World, address: &str) -> Value {
    let reply = send(&world.sandbox, "GET", address, &[ASYNC], "").await;
    assert_eq!(reply.status, 202, "{address}: {}", reply.text());
    let done = finished(&world.sandbox, reply.header("content-location")).await;
    assert_eq!(done.status, 200, "{address}: {}", done.text());
    assert_eq!(done.header("content-type"), "application/json");
    assert!(!done.header("expires").is_empty());
    done.json()
}

/// Resources of a list of the manifest as `Type/id`; each line one, counts right, none twice.
async fn lines(world: &World, manifest: &Value, list: &str) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for file in manifest[list].as_array().unwrap() {
        let reply = send(
            &world.sandbox,
            "GET",
            file["url"].as_str().unwrap(),
            &[("accept", "application/fhir+ndjson")],
            "",
        )
        .await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("content-type"), "application/fhir+ndjson");
        let text = reply.text();
        assert_eq!(reply.header("content-length"), text.len().to_string());
        assert_eq!(
            file["count"].as_u64().unwrap() as usize,
            text.lines().count()
        );
        for line in text.lines() {
            let value: Value = serde_json::from_str(line).unwrap();
            assert_eq!(value["resourceType"], file["type"]);
            let id = value["id"].as_str().unwrap_or_default();
            assert!(out.insert(format!("{}/{id}", value["resourceType"].as_str().unwrap())));
        }
    }
    out
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|i| (*i).to_owned()).collect()
}

#[tokio::test]
async fn exports_of_system_patients_and_group() {
    let world = World::new();
    data(&world).await;
    let manifest = export(&world, "$export").await;
    assert_eq!(manifest["requiresAccessToken"], false);
    assert!(manifest["request"].as_str().unwrap().ends_with("/$export"));
    assert_eq!(lines(&world, &manifest, "output").await.len(), 12);
    for (address, want) in [
        (
            "Patient/$export?_type=Patient",
            set(&["Patient/a", "Patient/b", "Patient/c"]),
        ),
        (
            "Patient/$export?_type=Observation&patient=Patient/b",
            set(&["Observation/b1", "Observation/b2"]),
        ),
        (
            "Group/g/$export",
            set(&["Patient/a", "Observation/a1", "Observation/a2", "Group/g"]),
        ),
        (
            "Group/g/$export?_type=Patient&patient=Patient/b,Patient/c",
            set(&[]),
        ),
        (
            "$export?_type=Organization,Group",
            set(&["Organization/org", "Group/g"]),
        ),
        (
            "$export?_type=Observation&_typeFilter=Observation%3Fcode%3Dx%26patient%3Da,Observation%3Fcode%3Dy%26patient%3Dc",
            set(&["Observation/a1", "Observation/c2"]),
        ),
        (
            "$export?_type=Observation&includeAssociatedData=RelevantProvenanceResources&_typeFilter=Observation%3Fcode%3Dx&_outputFormat=ndjson",
            set(&[
                "Observation/a1",
                "Observation/b1",
                "Observation/c1",
                "Provenance/pr",
            ]),
        ),
    ] {
        let manifest = export(&world, address).await;
        assert_eq!(lines(&world, &manifest, "output").await, want, "{address}");
    }
    let body = json!({ "resourceType": "Parameters", "parameter": [
        { "name": "patient", "valueReference": { "reference": "Patient/c" } }, { "name": "_type", "valueString": "Patient" }, { "name": "_elements", "valueString": "id" }] });
    let reply = send(
        &world.sandbox,
        "POST",
        "Patient/$export",
        &[ASYNC],
        &body.to_string(),
    )
    .await;
    assert_eq!(reply.status, 202, "{}", reply.text());
    let done = finished(&world.sandbox, reply.header("content-location"))
        .await
        .json();
    assert_eq!(lines(&world, &done, "output").await, set(&["Patient/c"]));
    let file = get(&world.sandbox, done["output"][0]["url"].as_str().unwrap())
        .await
        .text();
    assert!(
        file.contains("SUBSETTED") && !file.contains("active"),
        "{file}"
    );
}

#[tokio::test]
async fn the_time_of_an_export_begins_the_next_one() {
    let world = World::new();
    data(&world).await;
    let first = export(&world, "$export").await;
    let since = first["transactionTime"]
        .as_str()
        .unwrap()
        .replace('+', "%2B");
    let none = export(&world, &format!("$export?_since={since}")).await;
    assert!(lines(&world, &none, "output").await.is_empty());
    put(&world, observation("late", "a", "x")).await;
    put(
        &world,
        json!({ "resourceType": "Patient", "id": "b", "active": false }),
    )
    .await;
    send(&world.sandbox, "DELETE", "Observation/c1", &[], "").await;
    send(&world.sandbox, "DELETE", "Organization/org", &[], "").await;
    put(
        &world,
        json!({ "resourceType": "Organization", "id": "org", "name": "again" }),
    )
    .await;
    let next = export(&world, &format!("$export?_since={since}")).await;
    assert_eq!(
        lines(&world, &next, "output").await,
        set(&["Observation/late", "Patient/b", "Organization/org"])
    );
    let deleted = next["deleted"][0]["url"].as_str().unwrap();
    let bundle: Value =
        serde_json::from_str(get(&world.sandbox, deleted).await.text().trim()).unwrap();
    assert_eq!(bundle["type"], "transaction");
    assert_eq!(
        bundle["entry"],
        json!([{ "request": { "method": "DELETE", "url": "Observation/c1" } }])
    );
    let of_a = export(
        &world,
        &format!("Patient/$export?patient=Patient/a&_since={since}"),
    )
    .await;
    assert_eq!(of_a["deleted"], json!([]));
}

#[tokio::test]
async fn export_requests_are_checked() {
    let world = World::new();
    data(&world).await;
    let plain = get(&world.sandbox, "$export").await;
    assert_eq!(
        (plain.status, plain.json()["issue"][0]["code"].clone()),
        (400, json!("required"))
    );
    for (address, status) in [
        ("$export?_outputFormat=csv", 400),
        ("$export?_since=yesterday", 400),
        ("$export?_type=Nonsense", 400),
        ("Patient/$export?_type=Organization", 400),
        ("$export?_typeFilter=Observation", 400),
        ("$export?_typeFilter=Observation%3Fnonsense%3D1", 400),
        ("$export?_typeFilter=Observation%3F_count%3D1", 400),
        ("$export?patient=Patient/a", 400),
        ("Patient/$export?patient=Organization/org", 400),
        ("$export?nonsense=1", 400),
        ("$export?includeAssociatedData=all", 400),
        ("Group/none/$export", 404),
        ("Observation/$export", 404),
    ] {
        let reply = send(&world.sandbox, "GET", address, &[ASYNC], "").await;
        assert_eq!(reply.status, status, "{address}: {}", reply.text());
        assert_eq!(reply.json()["resourceType"], "OperationOutcome");
    }
}

#[tokio::test]
async fn jobs_are_cancelled_and_unknown_ones_are_not_there() {
    let world = World::new();
    data(&world).await;
    let reply = send(&world.sandbox, "GET", "$export", &[ASYNC], "").await;
    let address = reply.header("content-location").to_owned();
    let done = finished(&world.sandbox, &address).await.json();
    let file = done["output"][0]["url"].as_str().unwrap().to_owned();
    assert_eq!(get(&world.sandbox, &file).await.status, 200);
    let head = send(&world.sandbox, "HEAD", &file, &[], "").await;
    assert_eq!((head.status, head.bytes.len()), (200, 0));
    assert_eq!(
        get(&world.sandbox, &format!("{address}/other.ndjson"))
            .await
            .status,
        404
    );
    assert_eq!(
        get(&world.sandbox, &format!("{address}/..%2F..%2Fx"))
            .await
            .status,
        404
    );
    assert_eq!(
        send(&world.sandbox, "PUT", &address, &[], "{}")
            .await
            .status,
        405
    );
    assert_eq!(
        send(&world.sandbox, "DELETE", &address, &[], "")
            .await
            .status,
        202
    );
    assert_eq!(get(&world.sandbox, &address).await.status, 404);
    assert_eq!(get(&world.sandbox, &file).await.status, 404);
    assert_eq!(
        send(&world.sandbox, "DELETE", &address, &[], "")
            .await
            .status,
        404
    );
    assert_eq!(get(&world.sandbox, "_jobs/nonsense").await.status, 404);
    // An id of long ago.
    let old = "_jobs/017f22e2-79b0-7cc3-98c4-dc0c0c07398f";
    assert_eq!(get(&world.sandbox, old).await.status, 410);
}

/// A process that only takes jobs dies; another one does them.
#[tokio::test]
async fn a_job_outlives_who_took_it() {
    let world = World::idle();
    data(&world).await;
    let taker = world.sandbox_with_workers(0);
    let reply = send(&taker, "GET", "$export?_type=Patient", &[ASYNC], "").await;
    let address = reply.header("content-location").to_owned();
    let waiting = get(&taker, &address).await;
    assert_eq!(waiting.status, 202);
    drop(taker);
    let done = finished(&world.sandbox_with_workers(1), &address).await;
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(done.json()["output"][0]["count"], 3);
    // Too many at once are sent away, with a time to come again.
    let taker = world.sandbox_with_workers(0);
    let mut last = 202;
    for _ in 0..40 {
        last = send(&taker, "GET", "$export", &[ASYNC], "").await.status;
        if last == 429 {
            break;
        }
    }
    assert_eq!(last, 429);
}

/// What has expired goes: row and files; what was cancelled before it began is never done.
#[tokio::test]
async fn jobs_expire() {
    let world = World::idle();
    let id = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f";
    let row = json!({ "id": id, "kind": "Export", "repository": "sandbox", "actor": "", "request": "x", "created_at": 0, "expires_at": 1,
        "state": "Done", "task": null, "outcome": null, "failure": null });
    let folder = world.add_job(id, &row);
    let taker = world.sandbox_with_workers(0);
    let taken = send(&taker, "GET", "$export", &[ASYNC], "").await;
    let address = taken.header("content-location").to_owned();
    assert_eq!(send(&taker, "DELETE", &address, &[], "").await.status, 202);
    let _worker = world.sandbox_with_workers(1);
    for _ in 0..100 {
        if !folder.exists() && !world.has_job(id) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!folder.exists() && !world.has_job(id));
    assert_eq!(get(&taker, &format!("_jobs/{id}")).await.status, 410);
    assert_eq!(get(&taker, &address).await.status, 404);
}

const NDJSON: (&str, &str) = ("content-type", "application/fhir+ndjson");

#[tokio::test]
async fn lines_are_imported() {
    let world = World::new();
    let mut text = String::new();
    for n in 0..1_500 {
        text.push_str(&observation(&format!("i{n}"), "p", "x").to_string());
        text.push_str("\r\n\n");
    }
    text.push_str("{\"resourceType\":\"Patient\",\"active\":true}\n");
    text.push_str("{\"resourceType\":\"Patient\",\"nonsense\":true}\n");
    text.push_str("{\"resourceType\":\"Nonsense\"}\nnot json\n");
    text.push_str("{\"resourceType\":\"Patient\",\"id\":\"not_an_id\"}\n");
    // The same record twice: two versions, in order.
    text.push_str("{\"resourceType\":\"Patient\",\"id\":\"twice\",\"active\":true}\n");
    text.push_str("{\"resourceType\":\"Patient\",\"id\":\"twice\",\"active\":false}");
    let reply = send(&world.sandbox, "POST", "$import", &[NDJSON], &text).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let manifest = reply.json();
    assert_eq!(
        manifest["extension"],
        json!({ "created": 1_502, "updated": 1, "unchanged": 0, "failed": 4 })
    );
    assert_eq!(manifest["error"][0]["count"], 4);
    let errors = get(
        &world.sandbox,
        manifest["error"][0]["url"].as_str().unwrap(),
    )
    .await
    .text();
    let mut named = BTreeSet::new();
    for error in errors.lines() {
        let outcome: Value = serde_json::from_str(error).unwrap();
        let said = outcome["issue"][0]["details"]["text"].as_str().unwrap();
        let (line, _) = said
            .strip_prefix("line ")
            .unwrap()
            .split_once(": ")
            .unwrap();
        named.insert(line.parse::<u32>().unwrap());
        assert_eq!(outcome["issue"][0]["severity"], "error");
    }
    assert_eq!(named, BTreeSet::from([3_002, 3_003, 3_004, 3_005]));
    assert_eq!(
        get(&world.sandbox, "Observation?_summary=count")
            .await
            .json()["total"],
        1_500
    );
    let twice = get(&world.sandbox, "Patient/twice").await;
    assert_eq!(
        (twice.header("etag"), twice.json()["active"].as_bool()),
        ("W/\"2\"", Some(false))
    );
    // Found by its keys, and in its compartment.
    assert_eq!(
        get(
            &world.sandbox,
            "Observation?patient=p&code=x&_summary=count"
        )
        .await
        .json()["total"],
        1_500
    );
    // Again, as a job: nothing changes.
    let first_half: String = text.lines().take(3_000).map(|l| format!("{l}\n")).collect();
    let reply = send(
        &world.sandbox,
        "POST",
        "$import",
        &[NDJSON, ASYNC],
        &first_half,
    )
    .await;
    assert_eq!(reply.status, 202, "{}", reply.text());
    let done = finished(&world.sandbox, reply.header("content-location"))
        .await
        .json();
    assert_eq!(
        done["extension"],
        json!({ "created": 0, "updated": 0, "unchanged": 1_500, "failed": 0 })
    );
    assert_eq!(done["error"], json!([]));
}

#[tokio::test]
async fn other_bodies_are_not_imported() {
    let world = World::new();
    let parameters = json!({ "resourceType": "Parameters", "parameter": [{ "name": "input", "part": [{ "name": "url", "valueUrl": "http://127.0.0.1/x" }] }] }).to_string();
    for (headers, body, status) in [
        (vec![], parameters.as_str(), 415),
        (vec![NDJSON, ("content-encoding", "br")], "{}", 415),
        (vec![NDJSON, ("content-encoding", "gzip")], "not gzip", 400),
    ] {
        let reply = send(&world.sandbox, "POST", "$import", &headers, body).await;
        assert_eq!(reply.status, status, "{}", reply.text());
        assert_eq!(reply.json()["resourceType"], "OperationOutcome");
    }
    assert_eq!(
        send(&world.sandbox, "POST", "$import", &[], "")
            .await
            .status,
        400
    );
    assert_eq!(get(&world.sandbox, "$import").await.status, 405);
}
