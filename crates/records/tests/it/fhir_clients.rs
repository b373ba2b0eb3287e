//! What stock clients send beside the letter of the standard, one case per habit.

use crate::world::*;
use serde_json::json;

const PATIENT: &str = r#"{"resourceType":"Patient","identifier":[{"system":"urn:x","value":"1"}],"birthDate":"1950-01-01"}"#;

/// fhirpy: partial updates are PATCHes of plain JSON; JSON Merge Patch (RFC 7396) by its own name too.
#[tokio::test]
async fn merge_patches() {
    let world = World::new();
    let made = send(&world.sandbox, "POST", "Patient", &[], PATIENT).await;
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let patch = async |kind: &str, body: &str| {
        let headers = [("content-type", kind)];
        send(
            &world.sandbox,
            "PATCH",
            &format!("Patient/{id}"),
            &headers,
            body,
        )
        .await
    };
    for (kind, body, status) in [
        ("application/json", r#"{"active":true}"#, 200),
        (
            "application/merge-patch+json",
            r#"{"birthDate":null,"gender":"other"}"#,
            200,
        ),
        ("application/json", r#"{"gender":"ukjent"}"#, 422),
        ("application/json", r#"{"id":"other"}"#, 400),
        ("application/json", r#"{"colour":"red"}"#, 422),
        ("application/merge-patch+json", "[]", 400),
        ("application/merge-patch+json", "", 400),
        ("application/fhir+json", r#"{"active":false}"#, 400),
    ] {
        let reply = patch(kind, body).await;
        let accepted = match status {
            422 => matches!(reply.status, 400 | 422),
            status => reply.status == status,
        };
        assert!(accepted, "{kind} {body}: {} {}", reply.status, reply.text());
    }
    let now = get(&world.sandbox, &format!("Patient/{id}")).await.json();
    assert_eq!(
        (
            &now["active"],
            &now["gender"],
            &now["birthDate"],
            &now["meta"]["versionId"]
        ),
        (&json!(true), &json!("other"), &json!(null), &json!("3"))
    );
}

/// HAPI writes the whole address into If-None-Exist; fhirpy puts the criteria into the address of the create.
#[tokio::test]
async fn conditional_creates() {
    let world = World::new();
    let whole = format!("{BASE}/sandbox/Patient?_format=json&identifier=urn%3Ax%7C1");
    for (n, (address, header)) in [
        ("Patient", Some(whole.as_str())),
        ("Patient", Some("identifier=urn:x|1")),
        ("Patient", Some("Patient?identifier=urn:x|1")),
        ("Patient?identifier=urn:x%7C1", None),
    ]
    .into_iter()
    .enumerate()
    {
        let headers: Vec<(&str, &str)> = header.map(|h| ("if-none-exist", h)).into_iter().collect();
        let reply = send(&world.sandbox, "POST", address, &headers, PATIENT).await;
        assert_eq!(
            reply.status,
            if n == 0 { 201 } else { 200 },
            "{address} {header:?}: {}",
            reply.text()
        );
    }
    assert_eq!(get(&world.sandbox, "Patient").await.json()["total"], 1);
    // Empty criteria would match everything.
    let empty = format!("{BASE}/sandbox/Patient?_format=json");
    let reply = send(
        &world.sandbox,
        "POST",
        "Patient",
        &[("if-none-exist", &empty)],
        PATIENT,
    )
    .await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    let unknown = send(&world.sandbox, "POST", "Patient?colour=red", &[], PATIENT).await;
    assert_eq!(unknown.status, 400);
}

/// fhirpy: `_totalMethod`, `resourceType` among `_elements`, the bare version in If-None-Match.
#[tokio::test]
async fn reads_and_counts() {
    let world = World::new();
    let made = send(&world.sandbox, "POST", "Patient", &[], PATIENT)
        .await
        .json();
    let id = made["id"].as_str().unwrap();
    let count = get(&world.sandbox, "Patient?_count=0&_totalMethod=count").await;
    assert_eq!((count.status, &count.json()["total"]), (200, &json!(1)));
    let elements = get(
        &world.sandbox,
        "Patient?_elements=identifier,id,resourceType",
    )
    .await;
    assert_eq!(elements.status, 200, "{}", elements.text());
    for (tag, status) in [("1", 304), ("2", 200), ("W/\"1\"", 304), ("nonsense", 200)] {
        let reply = send(
            &world.sandbox,
            "GET",
            &format!("Patient/{id}"),
            &[("if-none-match", tag)],
            "",
        )
        .await;
        assert_eq!(reply.status, status, "{tag}");
    }
    // A guard that cannot be read guards nothing, so it is refused.
    let body = made.to_string();
    let reply = send(
        &world.sandbox,
        "PUT",
        &format!("Patient/{id}"),
        &[("if-match", "nonsense")],
        &body,
    )
    .await;
    assert_eq!(reply.status, 400);
}

/// Medplum adds `_count` to page links that have none.
#[tokio::test]
async fn page_links_carry_their_size() {
    let world = World::new();
    for _ in 0..3 {
        send(&world.sandbox, "POST", "Patient", &[], PATIENT).await;
    }
    let first = get(&world.sandbox, "Patient?_count=2&_sort=_id").await;
    let next = first.link("next").unwrap();
    assert!(next.contains("_count=2&"), "{next}");
    assert_eq!(get(&world.sandbox, &next).await.ids("match").len(), 1);
    let other = next.replace("_count=2", "_count=7");
    assert_eq!(get(&world.sandbox, &other).await.status, 400);
    let more = format!("{next}&gender=male");
    assert_eq!(get(&world.sandbox, &more).await.status, 400);
}
