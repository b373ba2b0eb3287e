//! What a repository may be configured to, and X-Provenance (spec/fhir-server.md §2.2, §2.5, §5, §12).

use crate::interactions::{BASIC, hold, other, row};
use crate::world::*;
use records::repository::ReferencePolicy;
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[tokio::test]
async fn configured_policies() {
    let world = World::new();
    let strict = other(&world, |c| {
        c.update_create = false;
        c.versioned_update = BTreeSet::from(["Basic".to_owned()]);
        c.conditional_delete_max = 2;
    });
    hold(
        &strict,
        &[
            row("PUT", "Basic/b", &[], BASIC, 405, "not-supported"),
            row("POST", "Basic", &[], BASIC, 201, ""),
        ],
    )
    .await;
    send(&world.sandbox, "PUT", "Basic/b", &[], BASIC).await;
    const TWO: &str = r#"{"resourceType":"Basic","id":"b","code":{"text":"two"}}"#;
    const PATCH: &str = r#"[{"op":"replace","path":"/code/text","value":"three"}]"#;
    const JSON_PATCH: (&str, &str) = ("content-type", "application/json-patch+json");
    hold(
        &strict,
        &[
            row("PUT", "Basic/b", &[], TWO, 400, "required"),
            row("PUT", "Basic/b", &[("if-match", "W/\"1\"")], TWO, 200, ""),
            row("PATCH", "Basic/b", &[JSON_PATCH], PATCH, 400, "required"),
            row(
                "PATCH",
                "Basic/b",
                &[JSON_PATCH, ("if-match", "W/\"2\"")],
                PATCH,
                200,
                "",
            ),
            // Two are taken away together.
            row("DELETE", "Basic?code:missing=false", &[], "", 204, ""),
            row("GET", "Basic/b", &[], "", 410, "deleted"),
        ],
    )
    .await;
    for _ in 0..3 {
        send(&world.sandbox, "POST", "Basic", &[], BASIC).await;
    }
    hold(
        &strict,
        &[row(
            "DELETE",
            "Basic?code:missing=false",
            &[],
            "",
            412,
            "multiple-matches",
        )],
    )
    .await;
    assert_eq!(get(&strict, "Basic").await.json()["total"], 3);
}

#[tokio::test]
async fn references_where_they_must_lead_somewhere() {
    let world = World::new();
    let strict = other(&world, |c| {
        c.references = ReferencePolicy {
            on_write: true,
            on_delete: true,
        };
    });
    const PATIENT: &str = r#"{"resourceType":"Patient","id":"p"}"#;
    const FLAG: &str = r#"{"resourceType":"Flag","id":"f","status":"active","code":{"text":"x"},"subject":{"reference":"Patient/p"}}"#;
    const FOREIGN: &str = r#"{"resourceType":"Flag","id":"g","status":"active","code":{"text":"x"},"subject":{"reference":"http://else/Patient/p"}}"#;
    hold(
        &strict,
        &[
            row("PUT", "Flag/f", &[], FLAG, 422, "not-found"),
            row("PUT", "Flag/g", &[], FOREIGN, 201, ""),
            row("PUT", "Patient/p", &[], PATIENT, 201, ""),
            row("PUT", "Flag/f", &[], FLAG, 201, ""),
            row("DELETE", "Patient/p", &[], "", 409, "conflict"),
            row("DELETE", "Flag/f", &[], "", 204, ""),
            row("DELETE", "Patient/p", &[], "", 204, ""),
            row("PUT", "Flag/f", &[], FLAG, 422, "not-found"),
        ],
    )
    .await;
    // Both at once, in a transaction; and gone at once.
    let make = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [
        { "resource": serde_json::from_str::<Value>(FLAG).unwrap(), "request": { "method": "PUT", "url": "Flag/f" } },
        { "resource": serde_json::from_str::<Value>(PATIENT).unwrap(), "request": { "method": "PUT", "url": "Patient/p" } },
    ]});
    let reply = send(&strict, "POST", "", &[], &make.to_string()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let named = send(&strict, "DELETE", "Patient/p", &[], "").await;
    assert!(named.text().contains("Flag/f"), "{}", named.text());
    let take = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [
        { "request": { "method": "DELETE", "url": "Patient/p" } },
        { "request": { "method": "DELETE", "url": "Flag/f" } },
    ]});
    let reply = send(&strict, "POST", "", &[], &take.to_string()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[tokio::test]
async fn a_provenance_travels_with_a_write() {
    let world = World::new();
    let provenance = r#"{"resourceType":"Provenance","recorded":"2026-11-23T08:00:00+01:00","agent":[{"who":{"display":"System"}}]}"#;
    let headers = [("x-provenance", provenance)];
    let made = send(&world.sandbox, "POST", "Basic", &headers, BASIC).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let found = get(&world.sandbox, &format!("Provenance?target=Basic/{id}")).await;
    assert_eq!(found.json()["total"], 1, "{}", found.text());
    assert_eq!(
        found.json()["entry"][0]["resource"]["target"][0]["reference"],
        format!("Basic/{id}/_history/1")
    );
    let changed = BASIC
        .replace("\"b\"", &format!("\"{id}\""))
        .replace("one", "two");
    send(
        &world.sandbox,
        "PUT",
        &format!("Basic/{id}"),
        &headers,
        &changed,
    )
    .await;
    // Kept as it stands: nothing happened that could have a provenance.
    send(
        &world.sandbox,
        "PUT",
        &format!("Basic/{id}"),
        &headers,
        &changed,
    )
    .await;
    let found = get(&world.sandbox, "Provenance?_sort=_lastUpdated")
        .await
        .json();
    assert_eq!(found["total"], 2);
    assert_eq!(
        found["entry"][1]["resource"]["target"][0]["reference"],
        format!("Basic/{id}/_history/2")
    );
    for bad in [
        "{",
        "x",
        r#"{"resourceType":"Basic"}"#,
        r#"{"resourceType":"Provenance"}"#,
        r#"{"resourceType":"Provenance","recorded":"never","agent":[{"who":{"display":"x"}}]}"#,
    ] {
        let reply = send(
            &world.sandbox,
            "POST",
            "Basic",
            &[("x-provenance", bad)],
            BASIC,
        )
        .await;
        assert_eq!(reply.status, 400, "{bad}: {}", reply.text());
    }
}
