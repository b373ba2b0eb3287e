//! PATCH over HTTP, row by row of spec/fhir-server.md §2.6, and the public FHIRPath Patch cases.

use crate::world::*;
use axum::Router;
use base64::Engine as _;
use serde_json::{Value, json};

const JSON_PATCH: (&str, &str) = ("content-type", "application/json-patch+json");
const OBSERVATION: &str = r#"{"resourceType":"Observation","id":"o","status":"preliminary","identifier":[{"system":"urn:x","value":"1"}],"code":{"text":"x"},"effectiveDateTime":"2026-01-10T10:00:00.500+01:00","valueQuantity":{"value":1.00}}"#;

fn operation(kind: &str, path: &str, more: &[Value]) -> Value {
    let mut parts = vec![
        json!({ "name": "type", "valueCode": kind }),
        json!({ "name": "path", "valueString": path }),
    ];
    parts.extend(more.iter().cloned());
    json!({ "resourceType": "Parameters", "parameter": [{ "name": "operation", "part": parts }] })
}

async fn fresh(router: &Router) {
    send(router, "DELETE", "Observation/o", &[], "").await;
    let reply = send(router, "PUT", "Observation/o", &[], OBSERVATION).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
}

#[tokio::test]
async fn json_patches_row_by_row() {
    let world = World::new();
    let router = &world.sandbox;
    for (patch, status, code) in [
        (
            r#"[{"op":"replace","path":"/status","value":"final"}]"#,
            200,
            "",
        ),
        (
            r#"[{"op":"test","path":"/id","value":"o"},{"op":"add","path":"/note","value":[{"text":"n"}]}]"#,
            200,
            "",
        ),
        (
            r#"[{"op":"test","path":"/meta/versionId","value":"none"}]"#,
            422,
            "processing",
        ),
        (
            r#"[{"op":"test","path":"/status","value":"final"},{"op":"remove","path":"/status"}]"#,
            422,
            "processing",
        ),
        (r#"[{"op":"remove","path":"/status"}]"#, 422, "required"),
        (
            r#"[{"op":"replace","path":"/status","value":"nonsense"}]"#,
            422,
            "code-invalid",
        ),
        (
            r#"[{"op":"add","path":"/nonsense","value":1}]"#,
            422,
            "structure",
        ),
        (r#"[{"op":"remove","path":"/nonsense"}]"#, 400, "not-found"),
        (
            r#"[{"op":"replace","path":"/id","value":"p"}]"#,
            400,
            "invalid",
        ),
        (r#"[{"op":"remove","path":"/id"}]"#, 400, "invalid"),
        (
            r#"[{"op":"replace","path":"/resourceType","value":"Basic"}]"#,
            400,
            "",
        ),
        (
            r#"[{"op":"replace","path":"/meta/versionId","value":"9"}]"#,
            400,
            "invalid",
        ),
        (
            r#"[{"op":"replace","path":"/meta/lastUpdated","value":"2020-01-01T00:00:00Z"}]"#,
            400,
            "invalid",
        ),
        (
            r#"[{"op":"replace","path":"","value":{"resourceType":"Observation","id":"p","status":"final","code":{"text":"x"}}}]"#,
            400,
            "invalid",
        ),
        (r#"{"op":"remove","path":"/status"}"#, 400, "structure"),
        (r#"[{"op":"odd","path":"/status"}]"#, 400, "not-supported"),
        (
            r#"[{"op":"replace","path":"status","value":"final"}]"#,
            400,
            "value",
        ),
        ("[{", 400, "invalid"),
        ("", 400, "invalid"),
    ] {
        fresh(router).await;
        let before = get(router, "Observation/o").await;
        let reply = send(router, "PATCH", "Observation/o", &[JSON_PATCH], patch).await;
        assert_eq!(reply.status, status, "{patch}: {}", reply.text());
        let after = get(router, "Observation/o").await;
        if status == 200 {
            assert_eq!(reply.bytes, after.bytes, "{patch}");
            assert_ne!(after.header("etag"), before.header("etag"), "{patch}");
            assert_eq!(reply.header("etag"), after.header("etag"));
            assert!(!reply.header("last-modified").is_empty());
            // What the patch does not touch stays as it was written.
            assert!(after.text().contains("\"value\":1.00"), "{}", after.text());
            assert!(after.text().contains("10:00:00.500+01:00"));
        } else {
            assert_eq!(reply.json()["resourceType"], "OperationOutcome");
            if !code.is_empty() {
                assert_eq!(
                    reply.json()["issue"][0]["code"],
                    code,
                    "{patch}: {}",
                    reply.text()
                );
            }
            assert_eq!(after.bytes, before.bytes, "{patch}");
        }
    }
    // Nothing changes: no version.
    fresh(router).await;
    let before = get(router, "Observation/o").await;
    for patch in [
        r#"[{"op":"replace","path":"/status","value":"preliminary"}]"#,
        "[]",
        r#"[{"op":"add","path":"/meta","value":{}},{"op":"remove","path":"/meta"}]"#,
    ] {
        let reply = send(router, "PATCH", "Observation/o", &[JSON_PATCH], patch).await;
        assert_eq!(reply.status, 200, "{patch}: {}", reply.text());
        assert_eq!(reply.header("etag"), before.header("etag"), "{patch}");
    }
}

#[tokio::test]
async fn fhirpath_patches_row_by_row() {
    let world = World::new();
    let router = &world.sandbox;
    let value = |v: Value| json!({ "name": "value", "valueCode": v });
    for (patch, status, code) in [
        (
            operation("replace", "Observation.status", &[value(json!("final"))]),
            200,
            "",
        ),
        (operation("delete", "Observation.value", &[]), 200, ""),
        (operation("delete", "Observation.nonexistent", &[]), 200, ""),
        (operation("delete", "Observation.note", &[]), 200, ""),
        (
            operation(
                "add",
                "Observation",
                &[
                    json!({ "name": "name", "valueString": "status" }),
                    value(json!("final")),
                ],
            ),
            400,
            "invalid",
        ),
        (
            operation(
                "replace",
                "Observation.identifier | Observation.code",
                &[value(json!("x"))],
            ),
            400,
            "invalid",
        ),
        (
            operation("replace", "Observation.note", &[value(json!("x"))]),
            400,
            "not-found",
        ),
        (
            operation("replace", "Observation.(", &[value(json!("x"))]),
            400,
            "invalid",
        ),
        (
            operation("odd", "Observation.status", &[]),
            400,
            "not-supported",
        ),
        (
            operation("delete", "Observation.status", &[]),
            422,
            "required",
        ),
        (
            operation("replace", "Observation.status", &[value(json!("nonsense"))]),
            422,
            "code-invalid",
        ),
        (
            operation(
                "replace",
                "Observation.id",
                &[json!({ "name": "value", "valueId": "p" })],
            ),
            400,
            "invalid",
        ),
        (json!({ "resourceType": "Parameters" }), 200, ""),
        (json!({ "resourceType": "Patient" }), 400, "invalid"),
    ] {
        for format in ["application/fhir+json", "application/fhir+xml"] {
            fresh(router).await;
            let before = get(router, "Observation/o").await;
            let body = if format.ends_with("xml") {
                let doc = fhir::Doc::parse_json(patch.to_string().into(), &fhir::Limits::default());
                String::from_utf8(doc.unwrap().to_xml().to_vec()).unwrap()
            } else {
                patch.to_string()
            };
            let headers = [("content-type", format)];
            let reply = send(router, "PATCH", "Observation/o", &headers, &body).await;
            assert_eq!(reply.status, status, "{patch}: {}", reply.text());
            let after = get(router, "Observation/o").await;
            if status == 200 {
                assert_eq!(reply.bytes, after.bytes, "{patch}");
                assert!(after.text().contains("10:00:00.500+01:00"));
            } else {
                assert_eq!(
                    reply.json()["issue"][0]["code"],
                    code,
                    "{patch}: {}",
                    reply.text()
                );
                assert_eq!(after.bytes, before.bytes, "{patch}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_patched_must_be_there_and_be_the_one() {
    let world = World::new();
    let router = &world.sandbox;
    let patch = r#"[{"op":"replace","path":"/status","value":"final"}]"#;
    for (method, address, headers, body, status) in [
        ("PATCH", "Observation/none", vec![JSON_PATCH], patch, 404),
        ("PATCH", "Nonsense/o", vec![JSON_PATCH], patch, 404),
        (
            "PATCH",
            "Observation?identifier=9",
            vec![JSON_PATCH],
            patch,
            404,
        ),
        ("PATCH", "Observation", vec![JSON_PATCH], patch, 400),
        (
            "PATCH",
            "Observation?_count=1",
            vec![JSON_PATCH],
            patch,
            400,
        ),
        ("PUT", "Observation/o", vec![], OBSERVATION, 201),
        (
            "PATCH",
            "Observation/o",
            vec![JSON_PATCH, ("if-match", "W/\"2\"")],
            patch,
            412,
        ),
        (
            "PATCH",
            "Observation/o",
            vec![JSON_PATCH, ("if-match", "2")],
            patch,
            400,
        ),
        (
            "PATCH",
            "Observation/o",
            vec![("content-type", "text/plain")],
            patch,
            415,
        ),
        (
            "PATCH",
            "Observation/o",
            vec![("content-type", "application/xml-patch+xml")],
            patch,
            400,
        ),
        (
            "PATCH",
            "Observation/o/_history/1",
            vec![JSON_PATCH],
            patch,
            405,
        ),
        (
            "PATCH",
            "Observation?identifier=urn:x|1",
            vec![JSON_PATCH, ("if-match", "W/\"1\"")],
            patch,
            200,
        ),
        ("POST", "Observation", vec![], OBSERVATION, 201),
        (
            "PATCH",
            "Observation?identifier=1",
            vec![JSON_PATCH],
            patch,
            412,
        ),
        ("DELETE", "Observation/o", vec![], "", 204),
        ("PATCH", "Observation/o", vec![JSON_PATCH], patch, 410),
    ] {
        let reply = send(router, method, address, &headers, body).await;
        assert_eq!(
            reply.status,
            status,
            "{method} {address} {headers:?}: {}",
            reply.text()
        );
        if status == 415 {
            assert!(reply.header("accept-patch").contains("json-patch"));
        }
    }
    let minimal = send(
        router,
        "PATCH",
        "Observation?identifier=urn:x|1",
        &[JSON_PATCH, ("prefer", "return=minimal")],
        patch,
    )
    .await;
    assert_eq!((minimal.status, minimal.bytes.len()), (200, 0));
    // Clinical repositories are not patched.
    let reply = send(
        &world.results,
        "PATCH",
        "Observation/o",
        &[JSON_PATCH, ("x-doctor", DOCTOR)],
        patch,
    )
    .await;
    assert_eq!(reply.status, 405);
}

#[tokio::test]
async fn patches_in_bundles() {
    let world = World::new();
    let router = &world.sandbox;
    fresh(router).await;
    let encode = |patch: &str| base64::engine::general_purpose::STANDARD.encode(patch);
    let binary = |patch: &str| json!({ "resourceType": "Binary", "contentType": "application/json-patch+json", "data": encode(patch) });
    let bundle = |kind: &str, url: &str, resource: Value| {
        json!({ "resourceType": "Bundle", "type": kind, "entry": [
            { "resource": resource, "request": { "method": "PATCH", "url": url } }] })
    };
    let parameters = operation(
        "replace",
        "Observation.status",
        &[json!({ "name": "value", "valueCode": "amended" })],
    );
    for (n, (kind, url, resource)) in [
        (
            "transaction",
            "Observation/o",
            binary(r#"[{"op":"replace","path":"/status","value":"final"}]"#),
        ),
        (
            "batch",
            "Observation/o",
            binary(r#"[{"op":"replace","path":"/status","value":"corrected"}]"#),
        ),
        (
            "transaction",
            "Observation?identifier=urn:x|1",
            parameters.clone(),
        ),
        (
            "batch",
            "Observation?identifier=urn:x|1",
            binary(r#"[{"op":"replace","path":"/status","value":"final"}]"#),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let text = bundle(kind, url, resource).to_string();
        let reply = send(router, "POST", "", &[], &text).await;
        assert_eq!(reply.status, 200, "{text}: {}", reply.text());
        let response = &reply.json()["entry"][0]["response"];
        assert_eq!(response["status"], "200 OK", "{text}: {response}");
        assert_eq!(
            response["etag"],
            get(router, "Observation/o").await.header("etag"),
            "{n}"
        );
    }
    for (url, resource, status) in [
        ("Observation/none", parameters.clone(), 404),
        ("Observation?identifier=9", parameters.clone(), 404),
        (
            "Observation/o",
            json!({ "resourceType": "Binary", "contentType": "text/plain", "data": "eA==" }),
            400,
        ),
        ("Observation/o", json!({ "resourceType": "Patient" }), 400),
        (
            "Observation/o",
            binary(r#"[{"op":"test","path":"/status","value":"none"}]"#),
            422,
        ),
    ] {
        let text = bundle("transaction", url, resource.clone()).to_string();
        let reply = send(router, "POST", "", &[], &text).await;
        assert_eq!(reply.status, status, "{text}: {}", reply.text());
        assert!(
            reply.json()["issue"][0]["expression"][0]
                .as_str()
                .unwrap()
                .starts_with("Bundle.entry[0]"),
            "{}",
            reply.text()
        );
        let text = bundle("batch", url, resource).to_string();
        let reply = send(router, "POST", "", &[], &text).await.json();
        let line = reply["entry"][0]["response"]["status"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(line.starts_with(&status.to_string()), "{text}: {line}");
    }
    // A reference inside a patch to another entry.
    let both = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [
        { "fullUrl": "urn:uuid:9d6c6b5c-4a51-4e1c-8f8e-0d4a8d5c0001",
          "resource": { "resourceType": "Patient" }, "request": { "method": "POST", "url": "Patient" } },
        { "resource": binary(r#"[{"op":"add","path":"/subject","value":{"reference":"urn:uuid:9d6c6b5c-4a51-4e1c-8f8e-0d4a8d5c0001"}}]"#),
          "request": { "method": "PATCH", "url": "Observation/o" } },
    ]});
    let reply = send(router, "POST", "", &[], &both.to_string()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let subject = get(router, "Observation/o").await.json()["subject"]["reference"].clone();
    let location = reply.json()["entry"][0]["response"]["location"].clone();
    assert!(
        location
            .as_str()
            .unwrap()
            .contains(subject.as_str().unwrap()),
        "{subject} {location}"
    );
}

#[tokio::test]
async fn xml_patches_over_http() {
    let world = World::new();
    let router = &world.sandbox;
    let headers = [("content-type", "application/xml-patch+xml")];
    for (patch, status, code) in [
        (
            "<diff xmlns=\"http://hl7.org/fhir\"><replace sel=\"f:Observation/f:status/@value\">final</replace></diff>",
            200,
            "",
        ),
        (
            "<diff><add sel=\"f:Observation/f:code\" pos=\"after\"><subject xmlns=\"http://hl7.org/fhir\"><display value=\"x\"/></subject></add></diff>",
            200,
            "",
        ),
        (
            "<diff><remove sel=\"f:Observation/f:status\"/></diff>",
            422,
            "required",
        ),
        (
            "<diff><remove sel=\"f:Observation/f:none\"/></diff>",
            400,
            "not-found",
        ),
        (
            "<diff><replace sel=\"f:Observation/f:id/@value\">p</replace></diff>",
            400,
            "invalid",
        ),
        ("<diff/>", 400, "required"),
        ("<diff>", 400, "invalid"),
    ] {
        fresh(router).await;
        let reply = send(router, "PATCH", "Observation/o", &headers, patch).await;
        assert_eq!(reply.status, status, "{patch}: {}", reply.text());
        let after = get(router, "Observation/o").await;
        if status == 200 {
            assert_eq!(reply.bytes, after.bytes, "{patch}");
            // Decimals and times stay as they were written.
            assert!(after.text().contains("\"value\":1.00"), "{}", after.text());
            assert!(after.text().contains("10:00:00.500+01:00"));
        } else {
            assert_eq!(
                reply.json()["issue"][0]["code"],
                code,
                "{patch}: {}",
                reply.text()
            );
            assert!(after.text().contains("preliminary"), "{patch}");
        }
    }
    fresh(router).await;
    let patch = "<diff><replace sel=\"f:Observation/f:status/@value\">final</replace></diff>";
    let data = base64::engine::general_purpose::STANDARD.encode(patch);
    let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [{
        "resource": { "resourceType": "Binary", "contentType": "application/xml-patch+xml", "data": data },
        "request": { "method": "PATCH", "url": "Observation/o" } }] });
    let reply = send(router, "POST", "", &[], &bundle.to_string()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(get(router, "Observation/o").await.json()["status"], "final");
}

/// The public cases, each on a stored resource.
#[tokio::test]
async fn official_fhirpath_patch_cases_over_http() {
    let root = std::env::var("HELSENAV_SHARED")
        .unwrap_or_else(|_| format!("{}/../../../shared", env!("CARGO_MANIFEST_DIR")));
    let Ok(text) = std::fs::read_to_string(format!("{root}/data/fhir/patch/fhir-patch-tests.xml"))
    else {
        println!("skipped: {root}/data/fhir/patch/fhir-patch-tests.xml is not there");
        return;
    };
    let world = World::new();
    // Their resources break invariants: only structure is checked here.
    let router = &crate::interactions::other(&world, |_| {});
    let between = |text: &str, tag: &str| {
        let start = text.find(&format!("<{tag}>"))? + tag.len() + 2;
        let end = text.find(&format!("</{tag}>"))?;
        Some(text.get(start..end)?.trim().to_owned())
    };
    let xml = [("content-type", "application/fhir+xml")];
    let (mut run, mut unstorable) = (0, 0);
    for case in text.split("<case ").skip(1) {
        let name = case.split('"').nth(1).unwrap();
        let (input, diff) = (
            between(case, "input").unwrap(),
            between(case, "diff").unwrap(),
        );
        let doc = fhir::Doc::parse_xml(input.as_bytes(), &fhir::Limits::default()).unwrap();
        let made = send(router, "POST", doc.resource_type(), &xml, &input).await;
        if made.status == 422 {
            unstorable += 1;
            continue;
        }
        assert_eq!(made.status, 201, "{name}: {}", made.text());
        let address = format!(
            "{}/{}",
            doc.resource_type(),
            made.json()["id"].as_str().unwrap()
        );
        let reply = send(router, "PATCH", &address, &xml, &diff).await;
        match between(case, "output") {
            None => assert_eq!(reply.status, 400, "{name}: {}", reply.text()),
            Some(output) => {
                assert_eq!(reply.status, 200, "{name}: {}", reply.text());
                let wanted = fhir::Doc::parse_xml(output.as_bytes(), &fhir::Limits::default());
                let mut wanted: Value = serde_json::from_slice(wanted.unwrap().bytes()).unwrap();
                let mut got = reply.json();
                for value in [&mut wanted, &mut got] {
                    let object = value.as_object_mut().unwrap();
                    object.remove("id");
                    object.remove("meta");
                    // The cases write narrative white space and quotes in ways of their own.
                    object.remove("text");
                }
                assert_eq!(got, wanted, "{name}");
            }
        }
        run += 1;
    }
    println!("{run} cases, {unstorable} on resources that cannot be stored");
    assert!(run >= 25, "{run}");
}
