//! Every interaction with one resource, row by row of spec/fhir-server.md §1, §2 and §6: status, headers, issue code.

use crate::world::*;
use axum::Router;
use records::gate::OpenGate;
use records::repository::{ReferencePolicy, RepositoryConfig};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

const BASIC: &str = r#"{"resourceType":"Basic","id":"b","code":{"text":"one"}}"#;

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
struct Row {
    method: &'static str,
    address: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    status: u16,
    issue: &'static str,
}

const fn row(
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
async fn hold(router: &Router, rows: &[Row]) {
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
            assert!(
                outcome["issue"][0]["details"]["text"].is_string(),
                "{what}"
            );
        }
    }
}

const LONG_ID: &str =
    "Basic/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

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
            row("PATCH", "Basic/a_b", &[], r#"{"resourceType":"Parameters"}"#, 400, "value"),
            row("GET", "basic/b", &[], "", 404, "not-found"),
            row("GET", "Nonsense/b", &[], "", 404, "not-found"),
            row("POST", "Nonsense", &[], BASIC, 404, "not-found"),
            row("PUT", "Nonsense/b", &[], BASIC, 404, "not-found"),
            row("DELETE", "Nonsense/b", &[], "", 404, "not-found"),
            row("GET", "Basic/b/_history/1/x", &[], "", 404, "not-found"),
            row("POST", "Basic/b", &[], BASIC, 405, "not-supported"),
            row("PUT", "Basic/b/_history/1", &[], BASIC, 405, "not-supported"),
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
async fn formats_and_preferences() {
    let world = World::new();
    hold(
        &world.sandbox,
        &[
            row("PUT", "Basic/b", &[], BASIC, 201, ""),
            row("GET", "Basic/b", &[("accept", "image/png")], "", 406, "not-supported"),
            row("GET", "Basic/b?_format=csv", &[], "", 406, "not-supported"),
            row(
                "GET",
                "Basic/b",
                &[("accept", "application/fhir+json; fhirVersion=5.0")],
                "",
                406,
                "not-supported",
            ),
            row("GET", "Basic/b?_format=json", &[("accept", "image/png")], "", 200, ""),
            row("GET", "Basic/b", &[("accept", "*/*")], "", 200, ""),
            row("GET", "Basic/b?_pretty=yes", &[], "", 400, "value"),
            row("GET", "Basic/b?_pretty=true", &[], "", 200, ""),
            row("POST", "Basic", &[("content-type", "text/plain")], BASIC, 415, "not-supported"),
            row(
                "POST",
                "Basic",
                &[("content-type", "application/fhir+json; fhirVersion=5.0")],
                BASIC,
                415,
                "not-supported",
            ),
            row(
                "POST",
                "Basic",
                &[("content-type", "application/fhir+json; charset=iso-8859-1")],
                BASIC,
                415,
                "not-supported",
            ),
            row(
                "POST",
                "Basic",
                &[("content-type", "application/json;charset=UTF-8")],
                BASIC,
                201,
                "",
            ),
            row("POST", "Basic", &[("content-type", "application/fhir+json")], "", 400, "invalid"),
            row("POST", "Basic", &[], "", 400, "invalid"),
            row("POST", "Basic", &[("prefer", "return=all")], BASIC, 400, "value"),
            row("GET", "Basic", &[("prefer", "handling=odd")], "", 400, "value"),
        ],
    )
    .await;
    for (accept, kind) in [
        ("application/fhir+json", "application/fhir+json; charset=utf-8"),
        ("application/json", "application/fhir+json; charset=utf-8"),
        ("text/html,*/*;q=0.8", "application/fhir+json; charset=utf-8"),
        ("application/fhir+xml", "application/fhir+xml; charset=utf-8"),
        ("text/xml", "application/fhir+xml; charset=utf-8"),
    ] {
        for address in ["Basic/b", "Basic/none", "Basic/b/_history", "Nonsense", "metadata"] {
            let reply = send(&world.sandbox, "GET", address, &[("accept", accept)], "").await;
            assert_eq!(reply.header("content-type"), kind, "{address} {accept}");
        }
    }
    for (prefer, status, kind) in [
        ("return=minimal", 201, ""),
        ("return=representation", 201, "Basic"),
        ("return=OperationOutcome", 201, "OperationOutcome"),
        ("handling=strict", 201, "Basic"),
    ] {
        let reply = send(&world.sandbox, "POST", "Basic", &[("prefer", prefer)], BASIC).await;
        assert_eq!(reply.status, status, "{prefer}");
        assert!(reply.header("location").starts_with("http://"), "{prefer}");
        assert_eq!(reply.header("etag"), "W/\"1\"", "{prefer}");
        assert!(!reply.header("last-modified").is_empty(), "{prefer}");
        if kind.is_empty() {
            assert!(reply.bytes.is_empty(), "{prefer}");
            assert_eq!(reply.header("content-type"), "");
        } else {
            assert_eq!(reply.json()["resourceType"], kind, "{prefer}");
        }
    }
    // HEAD is GET without the body.
    let whole = get(&world.sandbox, "Basic/b").await;
    let head = send(&world.sandbox, "HEAD", "Basic/b", &[], "").await;
    assert_eq!((head.status, head.bytes.len()), (200, 0));
    assert_eq!(head.header("etag"), whole.header("etag"));
    assert_eq!(
        head.header("content-length"),
        whole.bytes.len().to_string()
    );
    assert_eq!(
        send(&world.sandbox, "HEAD", "Basic/none", &[], "")
            .await
            .status,
        404
    );
    let preflight = send(&world.sandbox, "OPTIONS", "Basic/b", &[], "").await;
    assert_eq!(preflight.status, 204);
    assert!(
        preflight
            .header("access-control-allow-methods")
            .contains("PATCH")
    );
    let exposed = whole.header("access-control-expose-headers").to_owned();
    for name in [
        "ETag",
        "Location",
        "Content-Location",
        "Last-Modified",
        "Link",
        "X-Request-Id",
        "X-Progress",
        "Retry-After",
    ] {
        assert!(exposed.contains(name), "{name}");
    }
}

#[tokio::test]
async fn bodies_may_be_compressed_both_ways() {
    use std::io::{Read, Write};
    let world = World::new();
    let note = "fjord ".repeat(1_000);
    let text = json!({ "resourceType": "Basic", "code": { "text": note } }).to_string();
    let mut encoder =
        flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    let packed = encoder.finish().unwrap();
    let post = |headers: Vec<(&'static str, &'static str)>, body: Vec<u8>| {
        let router = world.sandbox.clone();
        async move { send_bytes(&router, "POST", "Basic", &headers, body).await }
    };
    let json = ("content-type", "application/fhir+json");
    let made = post(vec![json, ("content-encoding", "gzip")], packed.clone()).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.json()["code"]["text"], note);
    let broken = post(vec![json, ("content-encoding", "gzip")], text.clone().into()).await;
    assert_eq!(broken.status, 400);
    let unknown = post(vec![json, ("content-encoding", "br")], packed).await;
    assert_eq!((unknown.status, unknown.header("accept-encoding")), (415, "gzip"));
    // 40 MiB of nothing in a few bytes: the cap is on what it unfolds to.
    let mut encoder =
        flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![b' '; 1 << 20];
    for _ in 0..40 {
        encoder.write_all(&zeros).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 100_000);
    let refused = post(vec![json, ("content-encoding", "gzip")], bomb).await;
    assert_eq!(refused.status, 413);
    assert_eq!(refused.json()["issue"][0]["code"], "too-long");

    let address = format!("Basic/{}", made.json()["id"].as_str().unwrap());
    let plain = get(&world.sandbox, &address).await;
    let packed = send(
        &world.sandbox,
        "GET",
        &address,
        &[("accept-encoding", "gzip")],
        "",
    )
    .await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert!(packed.header("vary").contains("Accept-Encoding"));
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(packed.bytes.as_ref())
        .read_to_end(&mut out)
        .unwrap();
    assert_eq!(out, plain.bytes);
    assert_eq!(plain.header("content-encoding"), "");
}

#[tokio::test]
async fn bodies_over_the_limit_are_refused_with_an_outcome() {
    let world = World::new();
    let text = " ".repeat(records::http::MAX_BODY_BYTES + 1);
    let refused = send(
        &world.sandbox,
        "POST",
        "Basic",
        &[("accept", "application/fhir+xml")],
        &text,
    )
    .await;
    assert_eq!(refused.status, 413);
    assert!(refused.text().contains("<code value=\"too-long\"/>"));
    let deep = format!(
        "{{\"resourceType\":\"Basic\",\"extension\":{}{}}}",
        "[{\"url\":\"x\",\"extension\":".repeat(200),
        "[]".to_owned() + &"}]".repeat(200)
    );
    let refused = send(&world.sandbox, "POST", "Basic", &[], &deep).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert_eq!(refused.json()["issue"][0]["code"], "too-costly");
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
async fn subsets_of_reads_are_marked_and_cannot_be_stored() {
    let world = World::new();
    let body = r#"{"resourceType":"Patient","id":"p","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>"},"name":[{"family":"Sub"}],"maritalStatus":{"text":"m"}}"#;
    send(&world.sandbox, "PUT", "Patient/p", &[], body).await;
    for (query, has, has_not) in [
        ("_summary=true", "name", "maritalStatus"),
        ("_summary=text", "text", "name"),
        ("_summary=data", "maritalStatus", "text"),
        ("_elements=maritalStatus", "maritalStatus", "name"),
    ] {
        for address in [
            format!("Patient/p?{query}"),
            format!("Patient/p/_history/1?{query}"),
        ] {
            let reply = get(&world.sandbox, &address).await;
            let value = reply.json();
            assert_eq!(reply.header("etag"), "W/\"1\"");
            assert!(value.get(has).is_some() && value.get(has_not).is_none(), "{address}");
            assert_eq!(value["meta"]["tag"][0]["code"], "SUBSETTED", "{address}");
            let back = send(&world.sandbox, "PUT", "Patient/p", &[], &reply.text()).await;
            assert_eq!(back.status, 422, "{address}");
        }
        let history = get(&world.sandbox, &format!("Patient/p/_history?{query}")).await;
        let value = &history.json()["entry"][0]["resource"];
        assert!(value.get(has).is_some() && value.get(has_not).is_none(), "{query}");
    }
    let whole = get(&world.sandbox, "Patient/p?_summary=false").await;
    assert_eq!(whole.bytes, get(&world.sandbox, "Patient/p").await.bytes);
}

#[tokio::test]
async fn updates_row_by_row() {
    let world = World::new();
    hold(
        &world.sandbox,
        &[
            row("PUT", "Basic/b", &[("if-match", "W/\"1\"")], BASIC, 412, "conflict"),
            row("PUT", "Basic/b", &[("if-match", "*")], BASIC, 412, "conflict"),
            row("PUT", "Basic/b", &[("if-none-match", "*")], BASIC, 201, ""),
            row("PUT", "Basic/b", &[("if-none-match", "*")], BASIC, 412, "conflict"),
            row("PUT", "Basic/b", &[("if-none-match", "W/\"1\"")], BASIC, 412, "conflict"),
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
            row("PUT", "Basic/b", &[("if-match", "W/\"2\"")], BASIC, 412, "conflict"),
            row("PUT", "Basic/b", &[("if-match", "\"1\"")], BASIC, 200, ""),
            row("PUT", "Basic/b", &[("if-match", "W/\"1\", W/\"2\"")], BASIC, 200, ""),
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
        assert_eq!((reply.status, reply.header("etag")), (200, "W/\"1\""), "{same}");
    }
    // What belongs to the server is replaced, the rest of meta is kept; what is left out is gone.
    let tagged = r#"{"resourceType":"Basic","id":"b","meta":{"versionId":"77","lastUpdated":"1999-01-01T00:00:00Z","source":"urn:s","profile":["http://p"],"tag":[{"code":"t"}]},"code":{"text":"one"}}"#;
    let reply = send(&world.sandbox, "PUT", "Basic/b", &[], tagged).await;
    let meta = &reply.json()["meta"];
    assert_eq!(meta["versionId"], "2");
    assert!(meta["lastUpdated"].as_str().unwrap() > "2020");
    assert_eq!((&meta["source"], &meta["tag"][0]["code"]), (&json!("urn:s"), &json!("t")));
    let untagged = send(&world.sandbox, "PUT", "Basic/b", &[], BASIC).await.json();
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
            row("POST", "Basic", &[], r#"{"resourceType":"Patient"}"#, 400, "invalid"),
            row("POST", "Basic", &[], r#"{"resourceType":"Basic""#, 400, "invalid"),
            row("POST", "Basic", &[], r#"[]"#, 400, "structure"),
            row("POST", "Basic", &[], r#"{"resourceType":"Basic"}"#, 422, "required"),
            row("POST", "Basic", &[("if-none-exist", "")], BASIC, 400, "invalid"),
            row("POST", "Basic", &[("if-none-exist", "_sort=code")], BASIC, 400, "invalid"),
            row("POST", "Basic", &[("if-none-exist", "nonsense=1")], BASIC, 400, "not-supported"),
            row("POST", "Basic", &[("if-none-exist", "identifier=urn:x|%C3%86rlig")], CHECKED, 201, ""),
            row("POST", "Basic", &[("if-none-exist", "identifier=urn:x|%C3%86rlig")], CHECKED, 200, ""),
            row("POST", "Basic", &[("if-none-exist", "?identifier=urn:x|Ærlig")], CHECKED, 200, ""),
            row("POST", "Basic", &[], CHECKED, 201, ""),
            row("POST", "Basic", &[("if-none-exist", "identifier=urn:x|Ærlig")], CHECKED, 412, "multiple-matches"),
            row("POST", "Bundle", &[], r#"{"resourceType":"Bundle","type":"collection"}"#, 201, ""),
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
            row("PUT", "Basic?identifier=1", &[("if-match", "W/\"1\"")], NONE, 412, "conflict"),
            row("PUT", "Basic?identifier=1", &[], NONE, 201, ""),
            row("PUT", "Basic?identifier=1", &[], NONE, 200, ""),
            row("PUT", "Basic?identifier=2", &[], GIVEN, 201, ""),
            row("PUT", "Basic?identifier=3", &[], GIVEN, 409, "conflict"),
            row("PUT", "Basic?identifier=2", &[], CHANGED, 200, ""),
            row("PUT", "Basic?identifier=2", &[], OTHER, 400, "invalid"),
            row("PUT", "Basic?identifier=2", &[("if-match", "W/\"1\"")], GIVEN, 412, "conflict"),
            row("PUT", "Basic?identifier=2", &[("if-match", "W/\"2\"")], GIVEN, 200, ""),
            row("PUT", "Basic?identifier=2", &[("if-none-match", "*")], GIVEN, 412, "conflict"),
            row("PUT", "Basic?identifier=1,2", &[], NONE, 412, "multiple-matches"),
            row("PUT", "Basic", &[], NONE, 400, "invalid"),
            row("PUT", "Basic?_count=1", &[], NONE, 400, "invalid"),
            row("PUT", "Basic?nonsense=1", &[], NONE, 400, "not-supported"),
            row("DELETE", "Basic?", &[], "", 400, "invalid"),
            row("DELETE", "Basic?_sort=code", &[], "", 400, "invalid"),
            row("DELETE", "Basic?identifier=1,2", &[], "", 412, "multiple-matches"),
            row("DELETE", "Basic?identifier=9", &[], "", 204, ""),
            row("DELETE", "Basic?identifier=2", &[("if-match", "W/\"1\"")], "", 412, "conflict"),
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
            row("DELETE", "Basic/none", &[("if-match", "W/\"1\"")], "", 412, "conflict"),
            row("DELETE", "Basic/b", &[("if-match", "W/\"2\"")], "", 412, "conflict"),
            row("DELETE", "Basic/b", &[("if-match", "W/\"1\""), ("prefer", "return=OperationOutcome")], "", 200, ""),
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
    for query in ["Basic", "Basic?code:not=x", "Basic?_id=b", "Basic?code:missing=false"] {
        assert_eq!(get(&world.sandbox, query).await.json()["total"], 0, "{query}");
    }
}

#[tokio::test]
async fn history_row_by_row() {
    let world = World::new();
    let mut instants = Vec::new();
    for n in 1..=5 {
        let body = BASIC.replace("one", &format!("v{n}"));
        let reply = send(&world.sandbox, "PUT", "Basic/b", &[], &body).await;
        instants.push(reply.json()["meta"]["lastUpdated"].as_str().unwrap().to_owned());
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let bare = send(&world.sandbox, "POST", "Patient", &[], r#"{"resourceType":"Patient"}"#).await;
    assert_eq!(bare.status, 201, "{}", bare.text());
    let versions = |bundle: &Value| -> Vec<String> {
        bundle["entry"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|e| e["response"]["etag"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = get(&world.sandbox, "Basic/b/_history").await.json();
    assert_eq!(all["type"], "history");
    assert_eq!(
        versions(&all),
        ["W/\"5\"", "W/\"4\"", "W/\"3\"", "W/\"2\"", "W/\"1\""]
    );
    assert_eq!(all["total"], 5);
    for entry in all["entry"].as_array().unwrap() {
        assert_eq!(entry["fullUrl"], format!("{BASE}/sandbox/Basic/b"));
        assert!(entry["request"]["url"].is_string() && entry["response"]["status"].is_string());
        assert_eq!(
            entry["response"]["lastModified"],
            entry["resource"]["meta"]["lastUpdated"]
        );
    }
    // From the third version's instant on, inclusive.
    let since = get(&world.sandbox, &format!("Basic/b/_history?_since={}", instants[2])).await;
    assert_eq!(versions(&since.json()), ["W/\"5\"", "W/\"4\"", "W/\"3\""]);
    assert_eq!(since.json()["total"], 3);
    assert!(since.link("self").unwrap().contains("_since="));
    // What was current at the third version's instant.
    let at = get(&world.sandbox, &format!("Basic/b/_history?_at={}", instants[2])).await;
    assert_eq!(versions(&at.json()), ["W/\"3\""], "{}", at.text());
    let at = get(&world.sandbox, "Basic/_history?_at=2020").await.json();
    assert_eq!((versions(&at).len(), &at["total"]), (0, &json!(0)));
    let at = get(&world.sandbox, "_history?_at=2999-01").await.json();
    assert_eq!(at["total"], 2, "each resource's newest: {at}");
    // Pages: stable while others write, the total the same on each.
    let mut seen = Vec::new();
    let mut next = Some("Basic/_history?_count=2".to_owned());
    while let Some(address) = next {
        let page = get(&world.sandbox, &address).await;
        assert_eq!(page.json()["total"], 5, "{}", page.text());
        seen.extend(versions(&page.json()));
        next = page.link("next");
        send(&world.sandbox, "POST", "Basic", &[], BASIC).await;
    }
    assert_eq!(seen, ["W/\"5\"", "W/\"4\"", "W/\"3\"", "W/\"2\"", "W/\"1\""]);
    let count = get(&world.sandbox, "Basic/b/_history?_count=0").await.json();
    assert_eq!((&count["total"], count.get("entry")), (&json!(5), None));
    send(&world.sandbox, "DELETE", "Basic/b", &[], "").await;
    hold(
        &world.sandbox,
        &[
            row("GET", "Basic/b/_history", &[], "", 200, ""),
            row("GET", "Basic/none/_history", &[], "", 404, "not-found"),
            row("GET", "Basic/b/_history?_since=2026-01-01", &[], "", 400, "value"),
            row("GET", "Basic/b/_history?_list=x", &[], "", 400, "not-supported"),
            row("GET", "Basic/b/_history?_sort=_lastUpdated", &[], "", 400, "not-supported"),
            row("GET", "Basic/b/_history?_count=x", &[], "", 400, "value"),
            row("GET", "Basic/b/_history?_page=x", &[], "", 400, "invalid"),
        ],
    )
    .await;
}

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
            row("PATCH", "Basic/b", &[JSON_PATCH, ("if-match", "W/\"2\"")], PATCH, 200, ""),
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
        &[row("DELETE", "Basic?code:missing=false", &[], "", 412, "multiple-matches")],
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
    let changed = BASIC.replace("\"b\"", &format!("\"{id}\"")).replace("one", "two");
    send(&world.sandbox, "PUT", &format!("Basic/{id}"), &headers, &changed).await;
    // Kept as it stands: nothing happened that could have a provenance.
    send(&world.sandbox, "PUT", &format!("Basic/{id}"), &headers, &changed).await;
    let found = get(&world.sandbox, "Provenance?_sort=_lastUpdated").await.json();
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
        let reply = send(&world.sandbox, "POST", "Basic", &[("x-provenance", bad)], BASIC).await;
        assert_eq!(reply.status, 400, "{bad}: {}", reply.text());
    }
}

/// Of writers that all hold the same version, exactly one wins, whatever they carry it in.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stale_if_match_never_wins() {
    let world = World::new();
    send(&world.sandbox, "PUT", "Basic/b", &[], BASIC).await;
    for round in 1..=5u32 {
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..12u32 {
            let router = world.sandbox.clone();
            tasks.spawn(async move {
                let tag = format!("W/\"{round}\"");
                let text = format!("{round}-{n}");
                let body = BASIC.replace("one", &text);
                let reply = match n % 3 {
                    0 => send(&router, "PUT", "Basic/b", &[("if-match", &tag)], &body).await,
                    1 => {
                        let patch =
                            json!([{ "op": "replace", "path": "/code/text", "value": text }]);
                        let headers = [
                            ("if-match", tag.as_str()),
                            ("content-type", "application/json-patch+json"),
                        ];
                        send(&router, "PATCH", "Basic/b", &headers, &patch.to_string()).await
                    }
                    _ => {
                        let resource: Value = serde_json::from_str(&body).unwrap();
                        let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [
                            { "resource": resource, "request": { "method": "PUT", "url": "Basic/b", "ifMatch": tag } },
                        ]});
                        send(&router, "POST", "", &[], &bundle.to_string()).await
                    }
                };
                reply.status
            });
        }
        let statuses = tasks.join_all().await;
        let won = statuses.iter().filter(|s| **s == 200).count();
        assert_eq!(won, 1, "{statuses:?}");
        assert!(statuses.iter().all(|s| matches!(s, 200 | 412)), "{statuses:?}");
    }
    assert_eq!(
        get(&world.sandbox, "Basic/b/_history").await.json()["total"],
        6
    );
}

/// Criteria with and without exact keys, by header, by PUT and inside transactions: one resource.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_conditional_writes_make_one_resource() {
    let world = World::new();
    for (round, criteria) in [
        "identifier=urn:r|0",
        "identifier=urn:r|1&code:missing=false",
        "_tag=urn:r|2",
        "identifier:missing=false&_tag=urn:r|3",
    ]
    .into_iter()
    .enumerate()
    {
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..12usize {
            let router = world.sandbox.clone();
            tasks.spawn(async move {
                let value = json!({ "resourceType": "Basic", "code": { "text": "x" },
                    "meta": { "tag": [{ "system": "urn:r", "code": round.to_string() }] },
                    "identifier": [{ "system": "urn:r", "value": round.to_string() }] });
                let body = value.to_string();
                match n % 3 {
                    0 => send(&router, "POST", "Basic", &[("if-none-exist", criteria)], &body).await,
                    1 => send(&router, "PUT", &format!("Basic?{criteria}"), &[], &body).await,
                    _ => {
                        let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [
                            { "resource": value, "request": { "method": "POST", "url": "Basic", "ifNoneExist": criteria } },
                        ]});
                        send(&router, "POST", "", &[], &bundle.to_string()).await
                    }
                }
            });
        }
        for reply in tasks.join_all().await {
            assert!(
                matches!(reply.status, 200 | 201),
                "{criteria}: {} {}",
                reply.status,
                reply.text()
            );
        }
        let found = get(&world.sandbox, &format!("Basic?identifier=urn:r|{round}")).await;
        assert_eq!(found.json()["total"], 1, "{criteria}");
    }
}
