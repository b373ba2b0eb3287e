//! Every interaction with one resource, row by row of spec/fhir-server.md §1, §2 and §6: status, headers, issue code.

use crate::world::*;
use axum::Router;
use records::gate::OpenGate;
use records::repository::RepositoryConfig;
use serde_json::json;
use std::sync::Arc;

pub const BASIC: &str = r#"{"resourceType":"Basic","id":"b","code":{"text":"one"}}"#;

/// The sandbox with other settings.
pub fn other(world: &World, change: impl FnOnce(&mut RepositoryConfig)) -> Router {
    let mut config = RepositoryConfig::new(
        "sandbox",
        world.store.repo("sandbox").unwrap(),
        world.store.clone(),
        vec![format!("{BASE}/sandbox")],
        Arc::new(OpenGate::new(world.trust.hub("sandbox"))),
        vec![7; 32],
    );
    change(&mut config);
    records::router(config).unwrap()
}

/// One request and what must come back: status, issue code of an error.
pub struct Row {
    method: &'static str,
    address: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    status: u16,
    issue: &'static str,
}

pub const fn row(
    method: &'static str,
    address: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    status: u16,
    issue: &'static str,
) -> Row {
    Row {
        method,
        address,
        headers,
        body,
        status,
        issue,
    }
}

/// Sends rows in order and holds each to its promise; errors have an OperationOutcome.
pub async fn hold(router: &Router, rows: &[Row]) {
    for r in rows {
        let reply = send(router, r.method, r.address, r.headers, r.body).await;
        let what = format!(
            "{} {} {:?} {}: {}",
            r.method,
            r.address,
            r.headers,
            r.body,
            reply.text()
        );
        assert_eq!(reply.status, r.status, "{what}");
        if r.status >= 400 {
            let outcome = reply.json();
            assert_eq!(outcome["resourceType"], "OperationOutcome", "{what}");
            assert_eq!(outcome["issue"][0]["severity"], "error", "{what}");
            assert_eq!(outcome["issue"][0]["code"], r.issue, "{what}");
            assert!(outcome["issue"][0]["details"]["text"].is_string(), "{what}");
        }
    }
}

const LONG_ID: &str = "Basic/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

#[tokio::test]
async fn ids_and_addresses() {
    let world = World::new();
    let id = "A-1.b".repeat(12) + "abcd";
    assert_eq!(id.len(), 64);
    let body = BASIC.replace("\"b\"", &format!("\"{id}\""));
    let made = send(&world.sandbox, "PUT", &format!("Basic/{id}"), &[], &body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(
        made.header("location"),
        format!("{BASE}/sandbox/Basic/{id}/_history/1")
    );
    assert_eq!(
        get(&world.sandbox, &format!("Basic/{id}")).await.status,
        200
    );
    hold(
        &world.sandbox,
        &[
            row("GET", LONG_ID, &[], "", 404, "not-found"),
            row("PUT", LONG_ID, &[], BASIC, 400, "value"),
            row("DELETE", LONG_ID, &[], "", 400, "value"),
            row("GET", "Basic/a_b", &[], "", 404, "not-found"),
            row("PUT", "Basic/a_b", &[], BASIC, 400, "value"),
            row(
                "PATCH",
                "Basic/a_b",
                &[],
                r#"{"resourceType":"Parameters"}"#,
                400,
                "value",
            ),
            row("GET", "basic/b", &[], "", 404, "not-found"),
            row("GET", "Nonsense/b", &[], "", 404, "not-found"),
            row("POST", "Nonsense", &[], BASIC, 404, "not-found"),
            row("PUT", "Nonsense/b", &[], BASIC, 404, "not-found"),
            row("DELETE", "Nonsense/b", &[], "", 404, "not-found"),
            row("GET", "Basic/b/_history/1/x", &[], "", 404, "not-found"),
            row("POST", "Basic/b", &[], BASIC, 405, "not-supported"),
            row(
                "PUT",
                "Basic/b/_history/1",
                &[],
                BASIC,
                405,
                "not-supported",
            ),
            row("PUT", "", &[], BASIC, 405, "not-supported"),
            row("DELETE", "_history", &[], "", 405, "not-supported"),
            row("GET", "Basic/_search", &[], "", 405, "not-supported"),
            row("GET", "Basic/$nothing", &[], "", 404, "not-found"),
            row("GET", "Basic/b/$nothing", &[], "", 404, "not-found"),
        ],
    )
    .await;
    let refused = send(&world.sandbox, "POST", "Basic/b", &[], BASIC).await;
    assert_eq!(refused.header("allow"), "GET, HEAD, PUT, PATCH, DELETE");
}

#[tokio::test]
async fn reads_and_versions() {
    let world = World::new();
    let put = send(&world.sandbox, "PUT", "Basic/b", &[], BASIC).await;
    assert_eq!((put.status, put.header("etag")), (201, "W/\"1\""));
    let two = BASIC.replace("one", "two");
    send(&world.sandbox, "PUT", "Basic/b", &[], &two).await;
    let read = get(&world.sandbox, "Basic/b").await;
    assert_eq!(read.header("etag"), "W/\"2\"");
    let modified = read.header("last-modified").to_owned();
    assert!(modified.ends_with(" GMT"));
    assert_eq!(read.json()["meta"]["versionId"], "2");
    let old = get(&world.sandbox, "Basic/b/_history/1").await;
    assert_eq!((old.status, old.header("etag")), (200, "W/\"1\""));
    for (headers, status) in [
        (vec![("if-none-match", "W/\"2\"")], 304),
        (vec![("if-none-match", "W/\"1\", W/\"2\"")], 304),
        (vec![("if-none-match", "W/\"1\"")], 200),
        (vec![("if-none-match", "*")], 304),
        (vec![("if-modified-since", modified.as_str())], 304),
        (
            vec![("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")],
            200,
        ),
        // If-None-Match counts when both are sent.
        (
            vec![
                ("if-none-match", "W/\"1\""),
                ("if-modified-since", modified.as_str()),
            ],
            200,
        ),
        (
            vec![
                ("if-none-match", "W/\"2\""),
                ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ],
            304,
        ),
    ] {
        let reply = send(&world.sandbox, "GET", "Basic/b", &headers, "").await;
        assert_eq!(reply.status, status, "{headers:?}");
        assert_eq!(reply.header("etag"), "W/\"2\"", "{headers:?}");
        assert_eq!(reply.bytes.is_empty(), status == 304, "{headers:?}");
    }
    hold(
        &world.sandbox,
        &[
            row("GET", "Basic/b/_history/3", &[], "", 404, "not-found"),
            row("GET", "Basic/b/_history/0", &[], "", 404, "not-found"),
            row("GET", "Basic/b/_history/x", &[], "", 404, "not-found"),
            row("GET", "Basic/none/_history/1", &[], "", 404, "not-found"),
            row("GET", "Basic/b?code=x", &[], "", 400, "not-supported"),
            row("GET", "Basic/b?_sort=code", &[], "", 400, "not-supported"),
            row("GET", "Basic/b?_elements=nonsense", &[], "", 400, "value"),
            row("GET", "Basic/b?_summary=maybe", &[], "", 400, "value"),
            row("DELETE", "Basic/b", &[], "", 204, ""),
            row("GET", "Basic/b", &[], "", 410, "deleted"),
            row("GET", "Basic/b/_history/3", &[], "", 410, "deleted"),
            row("GET", "Basic/b/_history/2", &[], "", 200, ""),
        ],
    )
    .await;
    let gone = get(&world.sandbox, "Basic/b").await;
    assert_eq!(gone.header("etag"), "W/\"3\"");
}

#[tokio::test]
async fn updates_row_by_row() {
    let world = World::new();
    hold(
        &world.sandbox,
        &[
            row(
                "PUT",
                "Basic/b",
                &[("if-match", "W/\"1\"")],
                BASIC,
                412,
                "conflict",
            ),
            row(
                "PUT",
                "Basic/b",
                &[("if-match", "*")],
                BASIC,
                412,
                "conflict",
            ),
            row("PUT", "Basic/b", &[("if-none-match", "*")], BASIC, 201, ""),
            row(
                "PUT",
                "Basic/b",
                &[("if-none-match", "*")],
                BASIC,
                412,
                "conflict",
            ),
            row(
                "PUT",
                "Basic/b",
                &[("if-none-match", "W/\"1\"")],
                BASIC,
                412,
                "conflict",
            ),
            row("PUT", "Basic/b", &[], BASIC, 200, ""),
            row(
                "PUT",
                "Basic/b",
                &[],
                r#"{"resourceType":"Basic","code":{"text":"one"}}"#,
                400,
                "invalid",
            ),
            row(
                "PUT",
                "Basic/b",
                &[],
                r#"{"resourceType":"Basic","id":"c","code":{"text":"one"}}"#,
                400,
                "invalid",
            ),
            row(
                "PUT",
                "Basic/b",
                &[],
                r#"{"resourceType":"Patient","id":"b"}"#,
                400,
                "invalid",
            ),
            row("PUT", "Basic/b", &[("if-match", "1")], BASIC, 400, "value"),
            row(
                "PUT",
                "Basic/b",
                &[("if-match", "W/\"2\"")],
                BASIC,
                412,
                "conflict",
            ),
            row("PUT", "Basic/b", &[("if-match", "\"1\"")], BASIC, 200, ""),
            row(
                "PUT",
                "Basic/b",
                &[("if-match", "W/\"1\", W/\"2\"")],
                BASIC,
                200,
                "",
            ),
            row("PUT", "Basic/b", &[], "{", 400, "invalid"),
            row(
                "PUT",
                "Basic/b",
                &[],
                r#"{"resourceType":"Basic","id":"b","code":{"text":"one"},"nonsense":1}"#,
                422,
                "structure",
            ),
        ],
    )
    .await;
    // None of them made a version: content alone counts, not order, white space or the server's own values.
    for same in [
        r#"{ "code" : {"text":"one"}, "id":"b", "resourceType":"Basic" }"#,
        r#"{"resourceType":"Basic","id":"b","meta":{"versionId":"9","lastUpdated":"2020-01-01T00:00:00Z"},"code":{"text":"one"}}"#,
        "<Basic xmlns=\"http://hl7.org/fhir\"><id value=\"b\"/><code><text value=\"one\"/></code></Basic>",
    ] {
        let kind = if same.starts_with('<') {
            "application/fhir+xml"
        } else {
            "application/fhir+json"
        };
        let reply = send(
            &world.sandbox,
            "PUT",
            "Basic/b",
            &[("content-type", kind)],
            same,
        )
        .await;
        assert_eq!(
            (reply.status, reply.header("etag")),
            (200, "W/\"1\""),
            "{same}"
        );
    }
    // What belongs to the server is replaced, the rest of meta is kept; what is left out is gone.
    let tagged = r#"{"resourceType":"Basic","id":"b","meta":{"versionId":"77","lastUpdated":"1999-01-01T00:00:00Z","source":"urn:s","profile":["http://p"],"tag":[{"code":"t"}]},"code":{"text":"one"}}"#;
    let reply = send(&world.sandbox, "PUT", "Basic/b", &[], tagged).await;
    let meta = &reply.json()["meta"];
    assert_eq!(meta["versionId"], "2");
    assert!(meta["lastUpdated"].as_str().unwrap() > "2020");
    assert_eq!(
        (&meta["source"], &meta["tag"][0]["code"]),
        (&json!("urn:s"), &json!("t"))
    );
    let untagged = send(&world.sandbox, "PUT", "Basic/b", &[], BASIC)
        .await
        .json();
    assert!(untagged["meta"].get("tag").is_none());
    // A deleted id goes on counting.
    send(&world.sandbox, "DELETE", "Basic/b", &[], "").await;
    let again = send(&world.sandbox, "PUT", "Basic/b", &[], BASIC).await;
    assert_eq!((again.status, again.header("etag")), (201, "W/\"5\""));
    assert_eq!(
        again.header("location"),
        format!("{BASE}/sandbox/Basic/b/_history/5")
    );
    let stale = send(
        &world.sandbox,
        "PUT",
        "Basic/b",
        &[("if-match", "W/\"1\"")],
        BASIC,
    )
    .await;
    assert_eq!((stale.status, stale.header("etag")), (412, "W/\"5\""));
}

#[tokio::test]
async fn creates_row_by_row() {
    let world = World::new();
    const CHECKED: &str = r#"{"resourceType":"Basic","identifier":[{"system":"urn:x","value":"Ærlig"}],"code":{"text":"x"}}"#;
    hold(
        &world.sandbox,
        &[
            row("POST", "Basic", &[], BASIC, 201, ""),
            // What is the server's is passed over, whatever it is.
            row(
                "POST",
                "Basic",
                &[],
                r#"{"resourceType":"Basic","id":"no id!","meta":{"versionId":"!","lastUpdated":"never"},"code":{"text":"x"}}"#,
                201,
                "",
            ),
            row(
                "POST",
                "Basic",
                &[],
                r#"{"resourceType":"Patient"}"#,
                400,
                "invalid",
            ),
            row(
                "POST",
                "Basic",
                &[],
                r#"{"resourceType":"Basic""#,
                400,
                "invalid",
            ),
            row("POST", "Basic", &[], r#"[]"#, 400, "structure"),
            row(
                "POST",
                "Basic",
                &[],
                r#"{"resourceType":"Basic"}"#,
                422,
                "required",
            ),
            row(
                "POST",
                "Basic",
                &[("if-none-exist", "")],
                BASIC,
                400,
                "invalid",
            ),
            row(
                "POST",
                "Basic",
                &[("if-none-exist", "_sort=code")],
                BASIC,
                400,
                "invalid",
            ),
            row(
                "POST",
                "Basic",
                &[("if-none-exist", "nonsense=1")],
                BASIC,
                400,
                "not-supported",
            ),
            row(
                "POST",
                "Basic",
                &[("if-none-exist", "identifier=urn:x|%C3%86rlig")],
                CHECKED,
                201,
                "",
            ),
            row(
                "POST",
                "Basic",
                &[("if-none-exist", "identifier=urn:x|%C3%86rlig")],
                CHECKED,
                200,
                "",
            ),
            row(
                "POST",
                "Basic",
                &[("if-none-exist", "?identifier=urn:x|Ærlig")],
                CHECKED,
                200,
                "",
            ),
            row("POST", "Basic", &[], CHECKED, 201, ""),
            row(
                "POST",
                "Basic",
                &[("if-none-exist", "identifier=urn:x|Ærlig")],
                CHECKED,
                412,
                "multiple-matches",
            ),
            row(
                "POST",
                "Bundle",
                &[],
                r#"{"resourceType":"Bundle","type":"collection"}"#,
                201,
                "",
            ),
        ],
    )
    .await;
    // Criteria that are not met by what they made: each create stands by itself, at once.
    for _ in 0..3 {
        let reply = send(
            &world.sandbox,
            "POST",
            "Basic",
            &[("if-none-exist", "_tag=urn:t|none")],
            BASIC,
        )
        .await;
        assert_eq!(reply.status, 201, "{}", reply.text());
    }
}

#[tokio::test]
async fn conditional_updates_row_by_row() {
    let world = World::new();
    const NONE: &str =
        r#"{"resourceType":"Basic","identifier":[{"value":"1"}],"code":{"text":"x"}}"#;
    const GIVEN: &str =
        r#"{"resourceType":"Basic","id":"g","identifier":[{"value":"2"}],"code":{"text":"x"}}"#;
    const CHANGED: &str =
        r#"{"resourceType":"Basic","id":"g","identifier":[{"value":"2"}],"code":{"text":"y"}}"#;
    const OTHER: &str =
        r#"{"resourceType":"Basic","id":"h","identifier":[{"value":"2"}],"code":{"text":"x"}}"#;
    hold(
        &world.sandbox,
        &[
            row(
                "PUT",
                "Basic?identifier=1",
                &[("if-match", "W/\"1\"")],
                NONE,
                412,
                "conflict",
            ),
            row("PUT", "Basic?identifier=1", &[], NONE, 201, ""),
            row("PUT", "Basic?identifier=1", &[], NONE, 200, ""),
            row("PUT", "Basic?identifier=2", &[], GIVEN, 201, ""),
            row("PUT", "Basic?identifier=3", &[], GIVEN, 409, "conflict"),
            row("PUT", "Basic?identifier=2", &[], CHANGED, 200, ""),
            row("PUT", "Basic?identifier=2", &[], OTHER, 400, "invalid"),
            row(
                "PUT",
                "Basic?identifier=2",
                &[("if-match", "W/\"1\"")],
                GIVEN,
                412,
                "conflict",
            ),
            row(
                "PUT",
                "Basic?identifier=2",
                &[("if-match", "W/\"2\"")],
                GIVEN,
                200,
                "",
            ),
            row(
                "PUT",
                "Basic?identifier=2",
                &[("if-none-match", "*")],
                GIVEN,
                412,
                "conflict",
            ),
            row(
                "PUT",
                "Basic?identifier=1,2",
                &[],
                NONE,
                412,
                "multiple-matches",
            ),
            row("PUT", "Basic", &[], NONE, 400, "invalid"),
            row("PUT", "Basic?_count=1", &[], NONE, 400, "invalid"),
            row("PUT", "Basic?nonsense=1", &[], NONE, 400, "not-supported"),
            row("DELETE", "Basic?", &[], "", 400, "invalid"),
            row("DELETE", "Basic?_sort=code", &[], "", 400, "invalid"),
            row(
                "DELETE",
                "Basic?identifier=1,2",
                &[],
                "",
                412,
                "multiple-matches",
            ),
            row("DELETE", "Basic?identifier=9", &[], "", 204, ""),
            row(
                "DELETE",
                "Basic?identifier=2",
                &[("if-match", "W/\"1\"")],
                "",
                412,
                "conflict",
            ),
            row("DELETE", "Basic?identifier=2", &[], "", 204, ""),
            row("GET", "Basic/g", &[], "", 410, "deleted"),
        ],
    )
    .await;
}

#[tokio::test]
async fn deletes_row_by_row() {
    let world = World::new();
    send(&world.sandbox, "PUT", "Basic/b", &[], BASIC).await;
    hold(
        &world.sandbox,
        &[
            row("DELETE", "Basic/none", &[], "", 204, ""),
            row(
                "DELETE",
                "Basic/none",
                &[("if-match", "W/\"1\"")],
                "",
                412,
                "conflict",
            ),
            row(
                "DELETE",
                "Basic/b",
                &[("if-match", "W/\"2\"")],
                "",
                412,
                "conflict",
            ),
            row(
                "DELETE",
                "Basic/b",
                &[
                    ("if-match", "W/\"1\""),
                    ("prefer", "return=OperationOutcome"),
                ],
                "",
                200,
                "",
            ),
            row("DELETE", "Basic/b", &[], "", 204, ""),
        ],
    )
    .await;
    // The second delete made no version.
    let history = get(&world.sandbox, "Basic/b/_history").await.json();
    assert_eq!(history["total"], 2);
    let deletion = &history["entry"][0];
    assert!(deletion.get("resource").is_none());
    assert_eq!(deletion["request"]["method"], "DELETE");
    assert_eq!(deletion["response"]["etag"], "W/\"2\"");
    for query in [
        "Basic",
        "Basic?code:not=x",
        "Basic?_id=b",
        "Basic?code:missing=false",
    ] {
        assert_eq!(
            get(&world.sandbox, query).await.json()["total"],
            0,
            "{query}"
        );
    }
}
