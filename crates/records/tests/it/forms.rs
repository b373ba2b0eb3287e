//! Media types, preferences, HEAD, compression and limits (spec/fhir-server.md §1.1, §1.2).

use crate::interactions::{BASIC, hold, row};
use crate::world::*;
use serde_json::json;

#[tokio::test]
async fn formats_and_preferences() {
    let world = World::new();
    hold(
        &world.sandbox,
        &[
            row("PUT", "Basic/b", &[], BASIC, 201, ""),
            row(
                "GET",
                "Basic/b",
                &[("accept", "image/png")],
                "",
                406,
                "not-supported",
            ),
            row("GET", "Basic/b?_format=csv", &[], "", 406, "not-supported"),
            row(
                "GET",
                "Basic/b",
                &[("accept", "application/fhir+json; fhirVersion=5.0")],
                "",
                406,
                "not-supported",
            ),
            row(
                "GET",
                "Basic/b?_format=json",
                &[("accept", "image/png")],
                "",
                200,
                "",
            ),
            row("GET", "Basic/b", &[("accept", "*/*")], "", 200, ""),
            row("GET", "Basic/b?_pretty=yes", &[], "", 400, "value"),
            row("GET", "Basic/b?_pretty=true", &[], "", 200, ""),
            row(
                "POST",
                "Basic",
                &[("content-type", "text/plain")],
                BASIC,
                415,
                "not-supported",
            ),
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
            row(
                "POST",
                "Basic",
                &[("content-type", "application/fhir+json")],
                "",
                400,
                "invalid",
            ),
            row("POST", "Basic", &[], "", 400, "invalid"),
            row(
                "POST",
                "Basic",
                &[("prefer", "return=all")],
                BASIC,
                400,
                "value",
            ),
            row(
                "GET",
                "Basic",
                &[("prefer", "handling=odd")],
                "",
                400,
                "value",
            ),
        ],
    )
    .await;
    for (accept, kind) in [
        (
            "application/fhir+json",
            "application/fhir+json; charset=utf-8",
        ),
        ("application/json", "application/fhir+json; charset=utf-8"),
        (
            "text/html,*/*;q=0.8",
            "application/fhir+json; charset=utf-8",
        ),
        (
            "application/fhir+xml",
            "application/fhir+xml; charset=utf-8",
        ),
        ("text/xml", "application/fhir+xml; charset=utf-8"),
    ] {
        for address in [
            "Basic/b",
            "Basic/none",
            "Basic/b/_history",
            "Nonsense",
            "metadata",
        ] {
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
        let reply = send(
            &world.sandbox,
            "POST",
            "Basic",
            &[("prefer", prefer)],
            BASIC,
        )
        .await;
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
    assert_eq!(head.header("content-length"), whole.bytes.len().to_string());
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
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
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
    let broken = post(
        vec![json, ("content-encoding", "gzip")],
        text.clone().into(),
    )
    .await;
    assert_eq!(broken.status, 400);
    let unknown = post(vec![json, ("content-encoding", "br")], packed).await;
    assert_eq!(
        (unknown.status, unknown.header("accept-encoding")),
        (415, "gzip")
    );
    // 40 MiB of nothing in a few bytes: the cap is on what it unfolds to.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
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
