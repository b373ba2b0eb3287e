//! Operations on resources and compartments: $everything, $meta, $lastn, $document, $match, $graphql.

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
async fn everything_is_the_compartment_and_what_it_leans_on() {
    let world = World::new();
    chart(&world).await;
    let whole = get(&world.sandbox, "Patient/kari/$everything").await;
    assert_eq!(whole.status, 200, "{}", whole.text());
    let matches = set(&[
        "Patient/kari",
        "Encounter/visit",
        "Observation/o1",
        "Observation/o2",
        "Observation/o3",
        "Condition/c1",
    ]);
    let includes = set(&[
        "PractitionerRole/role",
        "Practitioner/doc",
        "Organization/ward",
        "Organization/top",
    ]);
    assert_eq!(all_ids(&whole, "match"), matches);
    assert_eq!(all_ids(&whole, "include"), includes);
    assert_eq!(whole.json()["total"], 6);
    assert_eq!(whole.ids("match")[0], "Patient/kari");
    assert!(
        whole.json()["entry"][0]["fullUrl"]
            .as_str()
            .unwrap()
            .ends_with("/sandbox/Patient/kari")
    );
    // As POST, with Parameters.
    let body = json!({ "resourceType": "Parameters", "parameter": [{ "name": "_type", "valueCode": "Observation" }] });
    let reply = send(
        &world.sandbox,
        "POST",
        "Patient/kari/$everything",
        &[],
        &body.to_string(),
    )
    .await;
    assert_eq!(
        all_ids(&reply, "match"),
        set(&["Observation/o1", "Observation/o2", "Observation/o3"])
    );
    assert!(reply.ids("include").is_empty());

    // Page by page, while others write: every resource once.
    let mut seen_matches = Vec::new();
    let mut seen_includes = Vec::new();
    let mut next = Some("Patient/kari/$everything?_count=2".to_owned());
    let mut pages = 0;
    while let Some(address) = next {
        let page = get(&world.sandbox, &address).await;
        assert_eq!(page.status, 200, "{}", page.text());
        assert_eq!(page.json()["total"], 6);
        seen_matches.extend(page.ids("match"));
        seen_includes.extend(page.ids("include"));
        next = page.link("next");
        pages += 1;
        put(
            &world,
            observation(&format!("late{pages}"), "kari", "1-1", "2026-05-01"),
        )
        .await;
    }
    assert_eq!(pages, 3);
    assert_eq!(
        (seen_matches.len(), seen_includes.len()),
        (matches.len(), includes.len())
    );
    assert_eq!(seen_matches.into_iter().collect::<BTreeSet<_>>(), matches);
    assert_eq!(seen_includes.into_iter().collect::<BTreeSet<_>>(), includes);
}

#[tokio::test]
async fn everything_can_be_narrowed() {
    let world = World::new();
    chart(&world).await;
    for (query, want) in [
        (
            "start=2026-02-01",
            set(&[
                "Patient/kari",
                "Observation/o2",
                "Observation/o3",
                "Condition/c1",
            ]),
        ),
        (
            "end=2026-01-31",
            set(&[
                "Patient/kari",
                "Observation/o1",
                "Encounter/visit",
                "Condition/c1",
            ]),
        ),
        (
            "start=2026-02&end=2026-02&_type=Observation",
            set(&["Observation/o2"]),
        ),
        (
            "_type=Encounter,Condition",
            set(&["Encounter/visit", "Condition/c1"]),
        ),
        ("_since=2100-01-01T00:00:00Z", set(&[])),
    ] {
        let reply = get(&world.sandbox, &format!("Patient/kari/$everything?{query}")).await;
        assert_eq!(reply.status, 200, "{query}: {}", reply.text());
        assert_eq!(all_ids(&reply, "match"), want, "{query}");
    }
    let since = get(&world.sandbox, "Patient/kari").await.json()["meta"]["lastUpdated"]
        .as_str()
        .unwrap()
        .to_owned();
    put(&world, observation("o4", "kari", "1-1", "2026-01-10")).await;
    let old = get(&world.sandbox, "Observation/o3").await.json()["meta"]["lastUpdated"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(since < old);
    let reply = get(
        &world.sandbox,
        &format!("Patient/kari/$everything?_type=Observation&_since={old}"),
    )
    .await;
    assert_eq!(
        all_ids(&reply, "match"),
        set(&["Observation/o3", "Observation/o4"])
    );
    for (query, code) in [
        ("_type=Nonsense", "value"),
        ("start=soon", "value"),
        ("start=2026-01-01T10:00:00Z", "value"),
        ("_since=2026", "value"),
        ("_count=x", "value"),
        ("nonsense=1", "not-supported"),
        ("_count=1&_count=2", "invalid"),
        ("_page=AAAA", "invalid"),
    ] {
        let reply = get(&world.sandbox, &format!("Patient/kari/$everything?{query}")).await;
        assert_eq!(reply.status, 400, "{query}");
        assert_eq!(reply.json()["issue"][0]["code"], code, "{query}");
    }
    let lenient = send(
        &world.sandbox,
        "GET",
        "Patient/kari/$everything?_type=Nonsense,Condition",
        &[("prefer", "handling=lenient")],
        "",
    )
    .await;
    assert_eq!(all_ids(&lenient, "match"), set(&["Condition/c1"]));
    assert_eq!(lenient.ids("outcome").len(), 1);
    assert_eq!(
        get(&world.sandbox, "Patient/nobody/$everything")
            .await
            .status,
        404
    );
    send(&world.sandbox, "DELETE", "Patient/ola", &[], "").await;
    assert_eq!(
        get(&world.sandbox, "Patient/ola/$everything").await.status,
        410
    );
    let count = get(&world.sandbox, "Patient/kari/$everything?_count=0")
        .await
        .json();
    assert_eq!(
        (count["total"].as_u64(), count.get("entry")),
        (Some(7), None)
    );
}

#[tokio::test]
async fn everything_follows_links() {
    let world = World::new();
    chart(&world).await;
    put(&world, json!({ "resourceType": "Patient", "id": "twin", "link": [{ "other": { "reference": "Patient/kari" }, "type": "seealso" }] })).await;
    put(&world, observation("t1", "twin", "1-1", "2026-01-10")).await;
    let ids = all_ids(
        &get(&world.sandbox, "Patient/twin/$everything").await,
        "match",
    );
    for id in [
        "Patient/twin",
        "Patient/kari",
        "Observation/t1",
        "Observation/o1",
    ] {
        assert!(ids.contains(id), "{id}");
    }
    assert!(!ids.contains("Observation/x1"));
    put(&world, json!({ "resourceType": "Patient", "id": "old", "link": [{ "other": { "reference": "Patient/kari" }, "type": "replaced-by" }] })).await;
    put(&world, observation("old1", "old", "1-1", "2026-01-10")).await;
    let moved = get(&world.sandbox, "Patient/old/$everything").await;
    assert_eq!(moved.status, 301);
    assert_eq!(
        moved.header("content-location"),
        format!("{BASE}/sandbox/Patient/kari/$everything")
    );
    assert_eq!(moved.json()["resourceType"], "OperationOutcome");
    let lenient = send(
        &world.sandbox,
        "GET",
        "Patient/old/$everything",
        &[("prefer", "handling=lenient")],
        "",
    )
    .await;
    assert_eq!(
        all_ids(&lenient, "match"),
        set(&["Patient/old", "Observation/old1"])
    );
    assert_eq!(lenient.ids("outcome").len(), 1);
    put(&world, json!({ "resourceType": "Patient", "id": "new", "link": [{ "other": { "reference": "Patient/kari" }, "type": "replaces" }] })).await;
    assert_eq!(
        all_ids(
            &get(&world.sandbox, "Patient/new/$everything").await,
            "match"
        ),
        set(&["Patient/new"])
    );
}

#[tokio::test]
async fn everything_of_an_encounter() {
    let world = World::new();
    chart(&world).await;
    let reply = get(&world.sandbox, "Encounter/visit/$everything").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(
        all_ids(&reply, "match"),
        set(&["Encounter/visit", "Condition/c1"])
    );
    assert_eq!(
        get(&world.sandbox, "Encounter/none/$everything")
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn everything_of_everybody() {
    let world = World::new();
    chart(&world).await;
    let mut matches = Vec::new();
    let mut includes = Vec::new();
    let mut next = Some("Patient/$everything?_count=3".to_owned());
    while let Some(address) = next {
        let page = get(&world.sandbox, &address).await;
        assert_eq!(page.status, 200, "{}", page.text());
        assert_eq!(page.json()["total"], 8);
        matches.extend(page.ids("match"));
        includes.extend(page.ids("include"));
        next = page.link("next");
    }
    assert_eq!(matches[..2], ["Patient/kari", "Patient/ola"]);
    assert_eq!(
        (matches.len(), includes.len()),
        (8, 4),
        "{matches:?} {includes:?}"
    );
    let some = get(&world.sandbox, "Patient/$everything?_type=Condition").await;
    assert_eq!(some.ids("match"), ["Condition/c1"]);
    assert_eq!(
        look(&world.results, "Patient/$everything", DOCTOR)
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn everything_passes_no_gate() {
    let world = World::new();
    let (o1, r1) = world.add_result(KARI, "NPU01", "1.0");
    let (o2, _) = world.add_result(KARI, "NPU02", "2.0");
    world.add_result(OLA, "NPU03", "3.0");
    let kari = world.patient_id(KARI);
    let address = format!("Patient/{kari}/$everything");
    let before = world.log(KARI).len();
    let whole = look(&world.results, &address, DOCTOR).await;
    assert_eq!(whole.status, 200, "{}", whole.text());
    assert_eq!(whole.json()["total"], 5);
    let ids = all_ids(&whole, "match");
    assert!(
        ids.contains(&format!("Patient/{kari}")) && ids.contains(&format!("DiagnosticReport/{r1}"))
    );
    assert!(world.log(KARI).len() > before, "the look stands in the log");
    assert!(!whole.text().contains("NPU03"));

    // Page links are the caller's own and hold across pages.
    let first = look(&world.results, &format!("{address}?_count=2"), DOCTOR).await;
    let next = first.link("next").unwrap();
    let second = look(&world.results, &next, DOCTOR).await;
    assert_eq!(second.status, 200, "{}", second.text());
    assert!(all_ids(&first, "match").is_disjoint(&all_ids(&second, "match")));
    assert_eq!(look(&world.results, &next, OTHER_DOCTOR).await.status, 400);

    // A restricted record is not there, nor is its count; references to it lead nowhere.
    world.label(KARI, &o2, trust::label::bit("NORS"));
    let narrowed = look(&world.results, &address, DOCTOR).await;
    assert!(!narrowed.text().contains(&o2), "{}", narrowed.text());
    assert_eq!(narrowed.json()["total"], 4);
    assert!(narrowed.text().contains(&o1));

    // Blocked, unknown and without records: one answer.
    world.block(KARI, DOCTOR);
    let blocked = look(&world.results, &address, DOCTOR).await;
    let nobody = look(
        &world.results,
        &format!("Patient/{}/$everything", "0".repeat(32)),
        DOCTOR,
    )
    .await;
    let empty = look(
        &world.results,
        &format!("Patient/{}/$everything", world.patient_id(EMPTY)),
        DOCTOR,
    )
    .await;
    assert_eq!(
        (blocked.status, nobody.status, empty.status),
        (404, 404, 404)
    );
    assert_eq!(blocked.bytes, nobody.bytes);
    assert_eq!(get(&world.results, &address).await.status, 401);
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

async fn graphql(world: &World, address: &str, query: &str, variables: Value) -> Reply {
    let body = json!({ "query": query, "variables": variables }).to_string();
    send(
        &world.sandbox,
        "POST",
        address,
        &[("content-type", "application/json")],
        &body,
    )
    .await
}

#[tokio::test]
async fn graphql_picks_what_was_asked_for() {
    let world = World::new();
    chart(&world).await;
    put(&world, json!({ "resourceType": "Observation", "id": "amount", "status": "final", "code": { "text": "x" }, "subject": { "reference": "Patient/kari" }, "valueQuantity": { "value": 7, "unit": "g" } })).await;
    let exact = r#"{"resourceType":"Observation","id":"decimal","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/nobody"},"valueQuantity":{"value":1.00}}"#;
    send(&world.sandbox, "PUT", "Observation/decimal", &[], exact).await;
    for (address, query, want) in [
        (
            "$graphql",
            "{Patient(id: \"kari\") {id birthDate name {family given}}}",
            json!({ "Patient": { "id": "kari", "birthDate": "1980-05-17", "name": [{ "family": "Bever", "given": ["Kari", "Marie"] }, { "given": ["Kaja"] }] } }),
        ),
        (
            "Patient/kari/$graphql",
            "{born: birthDate name(use: official) {given}}",
            json!({ "born": "1980-05-17", "name": [{ "given": ["Kari", "Marie"] }] }),
        ),
        (
            "Patient/kari/$graphql",
            "{name(fhirpath: \"use = 'nickname'\") @flatten {given}}",
            json!({ "given": ["Kaja"] }),
        ),
        (
            "Patient/kari/$graphql",
            "{name @first @singleton {given @first}}",
            json!({ "name": { "given": ["Kari"] } }),
        ),
        (
            "Patient/kari/$graphql",
            "{name @flatten @slice(path: \"use\") {given}}",
            json!({ "given.official": ["Kari", "Marie"], "given.nickname": ["Kaja"] }),
        ),
        (
            "Patient/kari/$graphql",
            "{name(_offset: 1, _count: 1) {use} ...on Patient {gender} ... on Observation {status}}",
            json!({ "name": [{ "use": "nickname" }], "gender": "female" }),
        ),
        (
            "Patient/kari/$graphql",
            "{managingOrganization {reference resource {resourceType ... on Organization {name partOf {resource {...N}}}}}} fragment N on Organization {name}",
            json!({ "managingOrganization": { "reference": "Organization/ward", "resource": { "resourceType": "Organization", "name": "Post 3", "partOf": { "resource": { "name": "Helse Nord" } } } } }),
        ),
        (
            "$graphql",
            "{ObservationList(patient: \"kari\", code: [\"718-7\", \"x\"], _sort: \"-date\") {id}}",
            json!({ "ObservationList": [{ "id": "o2" }, { "id": "o1" }] }),
        ),
        (
            "Patient/kari/$graphql",
            "{id ConditionList(_reference: patient) {id code {text}}}",
            json!({ "id": "kari", "ConditionList": [{ "id": "c1", "code": { "text": "hodepine" } }] }),
        ),
        (
            "$graphql",
            "{ObservationConnection(patient: \"kari\", code: \"718-7\", _count: 1) {count offset pagesize first previous next last edges {mode resource {id}}}}",
            json!({ "ObservationConnection": { "count": 2, "offset": 0, "pagesize": 1, "first": "0", "previous": null, "next": "1", "last": "1", "edges": [{ "mode": "match", "resource": { "id": "o1" } }] } }),
        ),
        (
            "$graphql",
            "{Patient(id: nobody) {id}}",
            json!({ "Patient": null }),
        ),
        (
            "Observation/amount/$graphql",
            "{valueQuantity {unit} value {... on Quantity {unit}} subject {resource(optional: true, type: Device) {id}}}",
            json!({ "valueQuantity": { "unit": "g" }, "value": { "unit": "g" }, "subject": {} }),
        ),
        (
            "Observation/decimal/$graphql",
            "{subject {resource(optional: true) {id}} status @skip(if: true)}",
            json!({ "subject": {} }),
        ),
    ] {
        let reply = graphql(&world, address, query, json!({})).await;
        assert_eq!(reply.status, 200, "{query}: {}", reply.text());
        assert_eq!(reply.json(), json!({ "data": want }), "{query}");
    }
    let reply = graphql(
        &world,
        "Observation/decimal/$graphql",
        "{valueQuantity {value}}",
        json!({}),
    )
    .await;
    assert!(reply.text().contains("1.00"), "{}", reply.text());
    assert_eq!(reply.header("content-type"), "application/json");
    let query =
        "query q($id: ID!, $n: Boolean = false) {Patient(id: $id) {id gender @include(if: $n)}}";
    let reply = graphql(&world, "$graphql", query, json!({ "id": "ola" })).await;
    assert_eq!(
        reply.json(),
        json!({ "data": { "Patient": { "id": "ola" } } })
    );
    let by_get = get(&world.sandbox, "Patient/ola/$graphql?query=%7Bid%7D").await;
    assert_eq!(by_get.json(), json!({ "data": { "id": "ola" } }));
    let plain = send(
        &world.sandbox,
        "POST",
        "Patient/ola/$graphql",
        &[("content-type", "application/graphql")],
        "{id}",
    )
    .await;
    assert_eq!(plain.json(), json!({ "data": { "id": "ola" } }));
}

#[tokio::test]
async fn graphql_refuses_what_it_cannot_do() {
    let world = World::new();
    chart(&world).await;
    let bomb = "{...A} fragment A on Patient {...B ...B} fragment B on Patient {...A ...A}";
    let wide = format!(
        "{{...F0}} {} fragment F20 on Patient {{id}}",
        (0..20)
            .map(|n| format!("fragment F{n} on Patient {{...F{0} ...F{0}}} ", n + 1))
            .collect::<String>()
    );
    for (query, code) in [
        ("{", "invalid"),
        ("mutation {a}", "invalid"),
        ("{nonsense}", "invalid"),
        ("{name}", "invalid"),
        ("{id {x}}", "invalid"),
        ("{id: birthDate id}", "invalid"),
        ("{name @singleton {use}}", "value"),
        ("{...X}", "invalid"),
        ("{id @odd}", "invalid"),
        ("{id @include}", "invalid"),
        ("{name(fhirpath: \"((\") {use}}", "invalid"),
        ("{name(nonsense: 1) {use}}", "invalid"),
        ("{ConditionList {id}}", "required"),
        (
            "{ConditionList(_reference: nonsense) {id}}",
            "not-supported",
        ),
        ("query($a: ID!) {id}", "required"),
        ("query a {id} query b {id}", "invalid"),
        (bomb, "invalid"),
        (&wide, "too-costly"),
    ] {
        let reply = graphql(&world, "Patient/kari/$graphql", query, json!({})).await;
        assert_eq!(reply.status, 400, "{query}: {}", reply.text());
        assert_eq!(reply.json()["issue"][0]["code"], code, "{query}");
    }
    put(&world, json!({ "resourceType": "Observation", "id": "lost", "status": "final", "code": { "text": "x" }, "subject": { "reference": "Patient/nobody" } })).await;
    let lost = graphql(
        &world,
        "Observation/lost/$graphql",
        "{subject {resource {id}}}",
        json!({}),
    )
    .await;
    assert_eq!(lost.json()["issue"][0]["code"], "not-found");
    assert_eq!(
        graphql(&world, "Patient/none/$graphql", "{id}", json!({}))
            .await
            .status,
        404
    );
    let reply = send(
        &world.sandbox,
        "POST",
        "$graphql",
        &[("content-type", "text/csv")],
        "{id}",
    )
    .await;
    assert_eq!(reply.status, 415);
}
