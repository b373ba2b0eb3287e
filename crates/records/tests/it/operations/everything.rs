//! `$everything` of a patient, of an encounter, of everybody.

use super::{all_ids, chart, observation, put, set};
use crate::world::*;
use serde_json::json;
use std::collections::BTreeSet;

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
