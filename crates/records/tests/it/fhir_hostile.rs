//! Hostile requests at the edge: never a 500, always an OperationOutcome, in bounded time.

use crate::world::*;
use axum::body::Body;
use axum::http::Request;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tower::ServiceExt as _;

/// What one hostile request may take at the very most: only work without bound takes so long, however busy the machine is.
const MAX_TIME: Duration = Duration::from_secs(300);

async fn raw(world: &World, method: &str, address: &str, kind: &str, body: Vec<u8>) -> Reply {
    let request = Request::builder()
        .method(method)
        .uri(address)
        .header("content-type", kind)
        .body(Body::from(body))
        .unwrap();
    let response = world.sandbox.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX)
        .await
        .unwrap();
    Reply {
        status,
        headers,
        bytes,
    }
}

/// 4xx with an OperationOutcome, soon.
async fn refused(world: &World, method: &str, address: &str, kind: &str, body: Vec<u8>) -> Reply {
    let began = Instant::now();
    let shown = String::from_utf8_lossy(&body[..body.len().min(120)]).into_owned();
    let reply = raw(world, method, address, kind, body).await;
    assert!(
        began.elapsed() < MAX_TIME,
        "{address} {shown}: {:?}",
        began.elapsed()
    );
    assert!(
        (400..500).contains(&reply.status),
        "{method} {} {shown}: {} {}",
        address.get(..200).unwrap_or(address),
        reply.status,
        reply.text().get(..600).unwrap_or_default()
    );
    assert_eq!(
        reply.json()["resourceType"],
        "OperationOutcome",
        "{address} {shown}"
    );
    reply
}

const JSON: &str = "application/fhir+json";
const XML: &str = "application/fhir+xml";
const PATCH: &str = "application/json-patch+json";

fn nested(open: &str, middle: &str, close: &str, depth: usize) -> Vec<u8> {
    [open.repeat(depth), middle.to_owned(), close.repeat(depth)]
        .concat()
        .into_bytes()
}

#[tokio::test]
async fn bad_bodies_are_refused() {
    let world = World::new();
    let patient = |rest: &str| format!("{{\"resourceType\":\"Patient\",{rest}}}").into_bytes();
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("nesting", nested("[", "", "]", 200_000)),
        ("nesting", nested("{\"a\":", "1", "}", 200_000)),
        (
            "extensions",
            patient(
                &String::from_utf8(nested(
                    "\"extension\":[{\"url\":\"x\",",
                    "\"valueString\":\"x\"",
                    "}]",
                    5_000,
                ))
                .unwrap(),
            ),
        ),
        (
            "duplicate",
            patient("\"gender\":\"male\",\"gender\":\"female\""),
        ),
        (
            "duplicate",
            patient("\"name\":[{\"family\":\"a\",\"family\":\"b\"}]"),
        ),
        (
            "type twice",
            b"{\"resourceType\":\"Patient\",\"resourceType\":\"Patient\"}".to_vec(),
        ),
        (
            "utf-8",
            b"{\"resourceType\":\"Patient\",\"id\":\"\xff\xfe\"}".to_vec(),
        ),
        (
            "utf-8",
            b"{\"resourceType\":\"Patient\",\"birthDate\":\"\xed\xa0\x80\"}".to_vec(),
        ),
        ("surrogate", patient("\"birthDate\":\"\\ud800\"")),
        ("control", patient("\"language\":\"a\\u0000b\"")),
        ("null", patient("\"gender\":null")),
        ("empty", patient("\"name\":[]")),
        ("empty", patient("\"name\":[{}]")),
        ("empty", patient("\"gender\":\"\"")),
        ("unknown", patient("\"colour\":\"red\"")),
        ("type", patient("\"name\":\"Bever\"")),
        ("type", patient("\"active\":\"true\"")),
        ("type", patient("\"multipleBirthInteger\":1.5")),
        ("number", patient("\"multipleBirthInteger\":1e400")),
        (
            "number",
            patient(&format!("\"multipleBirthInteger\":{}", "9".repeat(5_000))),
        ),
        ("cardinality", patient("\"gender\":[\"male\",\"female\"]")),
        (
            "choice",
            patient("\"deceasedBoolean\":true,\"deceasedDateTime\":\"2020\""),
        ),
        ("date", patient("\"birthDate\":\"2020-02-30\"")),
        ("trailing", b"{\"resourceType\":\"Patient\"} x".to_vec()),
        (
            "cut off",
            b"{\"resourceType\":\"Patient\",\"name\":[{\"fam".to_vec(),
        ),
        ("not an object", b"[1,2,3]".to_vec()),
        ("not json", b"hello".to_vec()),
        ("nothing", Vec::new()),
        ("bom twice", b"\xef\xbb\xbf\xef\xbb\xbf{}".to_vec()),
        ("wrong type", b"{\"resourceType\":\"Observation\"}".to_vec()),
        ("unknown type", b"{\"resourceType\":\"Pasient\"}".to_vec()),
        (
            "many errors",
            patient(&format!(
                "\"name\":[{}]",
                vec!["{\"x\":1}"; 20_000].join(",")
            )),
        ),
    ];
    for (what, body) in rows {
        let reply = refused(&world, "POST", "/Patient", JSON, body).await;
        assert!(reply.bytes.len() < 1 << 20, "{what}: {}", reply.bytes.len());
    }
    let xml: Vec<Vec<u8>> = vec![
        b"<Patient xmlns=\"http://hl7.org/fhir\"><gender value=\"male\"/><gender value=\"female\"/></Patient>".to_vec(),
        b"<!DOCTYPE x [<!ENTITY a \"b\">]><Patient xmlns=\"http://hl7.org/fhir\"><gender value=\"&a;\"/></Patient>".to_vec(),
        b"<!DOCTYPE x SYSTEM \"file:///etc/passwd\"><Patient xmlns=\"http://hl7.org/fhir\"/>".to_vec(),
        b"<Patient><gender value=\"male\"/></Patient>".to_vec(),
        b"<Patient xmlns=\"http://hl7.org/fhir\"><colour value=\"red\"/></Patient>".to_vec(),
        b"<Patient xmlns=\"http://hl7.org/fhir\"><gender value=\"male\"></Patient>".to_vec(),
        b"<Patient xmlns=\"http://hl7.org/fhir\"><gender value=\"\xff\"/></Patient>".to_vec(),
        b"<Patient xmlns=\"http://hl7.org/fhir\"><language value=\"&#0;\"/></Patient>".to_vec(),
        b"<Patient xmlns=\"http://hl7.org/fhir\"><text><status value=\"generated\"/><div xmlns=\"http://www.w3.org/1999/xhtml\"><script>x</script></div></text></Patient>".to_vec(),
        nested("<a>", "", "</a>", 100_000),
        b"<".to_vec(),
        b"hello".to_vec(),
    ];
    for body in xml {
        refused(&world, "POST", "/Patient", XML, body).await;
    }
    assert_eq!(get(&world.sandbox, "Patient").await.json()["total"], 0);
}

#[tokio::test]
async fn bad_bundles_are_refused() {
    let world = World::new();
    let entry = |url: &str, full: &str, resource: Value| json!({ "fullUrl": full, "resource": resource, "request": { "method": "POST", "url": url } });
    let flag = |to: &str| json!({ "resourceType": "Flag", "status": "active", "code": { "text": "x" }, "subject": { "reference": to } });
    let bundle = |entries: Vec<Value>| {
        json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries })
            .to_string()
            .into_bytes()
    };
    let a = "urn:uuid:11111111-1111-4111-8111-111111111111";
    let rows = vec![
        bundle(vec![entry(
            "Flag",
            a,
            flag("urn:uuid:99999999-9999-4999-8999-999999999999"),
        )]),
        bundle(vec![entry("Flag", a, flag("Patient?identifier=none"))]),
        bundle(vec![
            entry("Flag", a, flag("Patient/1")),
            entry("Flag", a, flag("Patient/1")),
        ]),
        bundle(vec![json!({ "resource": flag("Patient/1") })]),
        bundle(vec![
            json!({ "request": { "method": "post", "url": "Flag" }, "resource": flag("Patient/1") }),
        ]),
        bundle(vec![
            json!({ "request": { "method": "POST", "url": "../../etc" }, "resource": flag("Patient/1") }),
        ]),
        bundle(vec![
            json!({ "request": { "method": "PUT", "url": "Flag/x/y/z" }, "resource": flag("Patient/1") }),
        ]),
        json!({ "resourceType": "Bundle", "type": "collection" })
            .to_string()
            .into_bytes(),
        json!({ "resourceType": "Bundle" }).to_string().into_bytes(),
        json!({ "resourceType": "Patient" })
            .to_string()
            .into_bytes(),
        json!({ "resourceType": "Bundle", "type": "transaction", "entry": {} })
            .to_string()
            .into_bytes(),
    ];
    for body in rows {
        refused(&world, "POST", "/", JSON, body).await;
    }
    assert_eq!(get(&world.sandbox, "Flag").await.json()["total"], 0);
    // Entries that refer to each other in a circle are stored, and walked without end by nobody.
    let b = "urn:uuid:22222222-2222-4222-8222-222222222222";
    let organisation = |name: &str, of: &str| json!({ "resourceType": "Organization", "name": name, "partOf": { "reference": of } });
    let circle = bundle(vec![
        entry("Organization", a, organisation("a", b)),
        entry("Organization", b, organisation("b", a)),
    ]);
    let made = raw(&world, "POST", "/", JSON, circle).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let reply = get(&world.sandbox, "Organization?name=a&_include:iterate=Organization:partof&_revinclude:iterate=Organization:partof").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json()["entry"].as_array().unwrap().len(), 2);
    // A bundle in a bundle in a bundle is data.
    let mut inner = json!({ "resourceType": "Bundle", "type": "collection" });
    for _ in 0..30 {
        inner = json!({ "resourceType": "Bundle", "type": "collection", "entry": [{ "resource": inner }] });
    }
    let nested = raw(
        &world,
        "POST",
        "/Bundle",
        JSON,
        inner.to_string().into_bytes(),
    )
    .await;
    assert!(nested.status < 500, "{}", nested.text());
}

#[tokio::test]
async fn bad_patches_are_refused() {
    let world = World::new();
    let body = br#"{"resourceType":"Patient","id":"p","gender":"male"}"#.to_vec();
    assert_eq!(
        raw(&world, "PUT", "/Patient/p", JSON, body).await.status,
        201
    );
    let path = |path: &str| {
        json!({ "resourceType": "Parameters", "parameter": [{ "name": "operation", "part": [
            { "name": "type", "valueCode": "delete" }, { "name": "path", "valueString": path },
        ] }] })
        .to_string()
        .into_bytes()
    };
    let rows: Vec<(&str, Vec<u8>)> = vec![
        (PATCH, b"[".to_vec()),
        (PATCH, b"{}".to_vec()),
        (PATCH, b"[{\"op\":\"add\"}]".to_vec()),
        (
            PATCH,
            b"[{\"op\":\"explode\",\"path\":\"/gender\"}]".to_vec(),
        ),
        (PATCH, b"[{\"op\":\"remove\",\"path\":\"gender\"}]".to_vec()),
        (
            PATCH,
            b"[{\"op\":\"remove\",\"path\":\"/name/99999999999999999999\"}]".to_vec(),
        ),
        (
            PATCH,
            b"[{\"op\":\"replace\",\"path\":\"/id\",\"value\":\"q\"}]".to_vec(),
        ),
        (
            PATCH,
            b"[{\"op\":\"replace\",\"path\":\"\",\"value\":1}]".to_vec(),
        ),
        (
            PATCH,
            b"[{\"op\":\"copy\",\"from\":\"\",\"path\":\"/contained/0\"}]".to_vec(),
        ),
        (
            PATCH,
            format!(
                "[{}]",
                vec!["{\"op\":\"copy\",\"from\":\"\",\"path\":\"/extension\"}"; 60].join(",")
            )
            .into_bytes(),
        ),
        (PATCH, nested("[", "", "]", 100_000)),
        (JSON, path("Patient.gender.")),
        (JSON, path("Patient.repeat(children())")),
        (JSON, path(&"(".repeat(50_000))),
        (
            JSON,
            path(&format!("Patient{}", ".select($this)".repeat(20_000))),
        ),
        (JSON, path("iif(true, Patient.id, 'x'")),
        (JSON, path("Patient.where(name.matches('(a+)+$'))\u{0}")),
        ("text/plain", b"x".to_vec()),
    ];
    for (kind, body) in rows {
        refused(&world, "PATCH", "/Patient/p", kind, body).await;
    }
    let now = get(&world.sandbox, "Patient/p").await.json();
    assert_eq!(
        (&now["gender"], &now["meta"]["versionId"]),
        (&json!("male"), &json!("1"))
    );
}

#[tokio::test]
async fn bad_searches_are_refused() {
    let world = World::new();
    let long_or = vec!["a"; 5_000].join(",");
    let many: String = (0..500).map(|n| format!("name=a{n}&")).collect();
    let chain = format!("Observation?{}code=x", "has-member.".repeat(200));
    let has = format!("Patient?{}code=x", "_has:Observation:subject:".repeat(50));
    let rows: Vec<String> = vec![
        "Patient?_count=-1".into(),
        "Patient?_count=abc".into(),
        "Patient?birthdate=2020-13-45".into(),
        "Patient?birthdate=gtgt2020".into(),
        "Patient?_lastUpdated=x".into(),
        "Patient?name:unknown=x".into(),
        "Patient?unknown=x".into(),
        "Patient?_sort=unknown".into(),
        "Patient?_include=Patient".into(),
        "Patient?_include=Patient:unknown".into(),
        "Patient?_elements=unknown".into(),
        "Patient?_page=AAAA".into(),
        "Patient?_page=%FF%FE".into(),
        "Patient?_format=csv".into(),
        "Patient?_pretty=maybe".into(),
        "Observation?value-quantity=abc".into(),
        "Observation?value-quantity=gt1%7C%7C%7C%7C".into(),
        "Observation?code-value-quantity=a".into(),
        "Observation?subject:Pasient.name=x".into(),
        "RiskAssessment?probability=--1".into(),
        "Location?near=200%7C200%7C-1%7Ckm".into(),
        format!("Patient?name={long_or}"),
        format!("Patient?{many}"),
        format!("Patient?_filter={}", "%28".repeat(5_000)),
        format!(
            "Patient?_filter={}name%20eq%20%22a%22",
            "not%20%28".repeat(2_000)
        ),
        "Patient?_filter=name%20zz%20x".into(),
        chain,
        has,
        "?_type=Pasient".into(),
        "?_type=".into(),
        "Pasient".into(),
        "Patient/1/2/3/4".into(),
        "Patient/%00".into(),
        "Patient/..%2F..%2Fetc".into(),
        format!("Patient/{}", "a".repeat(65)),
        "Patient/_history?_since=x".into(),
        "Patient/1/_history/abc".into(),
        "$unknown".into(),
        "Patient/$unknown".into(),
    ];
    for address in rows {
        let long = address.len() > 60_000;
        let reply = refused(&world, "GET", &format!("/{address}"), JSON, Vec::new()).await;
        assert!(!long || reply.status == 400 || reply.status == 414);
    }
}

/// Runs a strategy against the router on a runtime of its own.
fn against_router<S: Strategy>(
    cases: u32,
    strategy: S,
    check: impl Fn(&World, &tokio::runtime::Runtime, S::Value),
) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(async { World::new() });
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(cases)
    };
    TestRunner::new(config)
        .run(&strategy, |value| {
            check(&world, &runtime, value);
            Ok(())
        })
        .unwrap();
}

fn never_500(reply: &Reply, what: &str) {
    assert!(
        reply.status < 500,
        "{what}: {} {}",
        reply.status,
        reply.text()
    );
    if reply.status >= 400 {
        assert_eq!(reply.json()["resourceType"], "OperationOutcome", "{what}");
    }
}

/// JSON values shaped a little like resources.
fn json_value() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec![
        "resourceType",
        "id",
        "meta",
        "name",
        "family",
        "given",
        "extension",
        "url",
        "valueString",
        "contained",
        "subject",
        "reference",
        "code",
        "coding",
        "value",
        "_value",
        "entry",
        "resource",
        "request",
        "birthDate",
        "x",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[A-Za-z0-9#/:.-]{0,12}".prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "Patient",
            "Observation",
            "Bundle",
            "2020-01-01",
            "#x",
            "Patient/1"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..6).prop_map(|members| {
                Value::Object(
                    members
                        .into_iter()
                        .map(|(n, v)| (n.to_owned(), v))
                        .collect(),
                )
            }),
        ]
    })
}

#[test]
fn any_json_is_answered() {
    let types = prop::sample::select(vec![
        "Patient",
        "Observation",
        "Bundle",
        "Parameters",
        "ValueSet",
    ]);
    against_router(
        150,
        (types, json_value()),
        |world, runtime, (rtype, mut body)| {
            if let Some(members) = body.as_object_mut() {
                members.insert("resourceType".to_owned(), json!(rtype));
            }
            let text = body.to_string().into_bytes();
            for (method, address) in [
                ("POST", format!("/{rtype}")),
                ("POST", format!("/{rtype}/$validate")),
                ("POST", "/".to_owned()),
            ] {
                let reply = runtime.block_on(raw(world, method, &address, JSON, text.clone()));
                never_500(&reply, &format!("{address} {body}"));
            }
        },
    );
}

#[test]
fn any_bytes_are_answered() {
    let kinds = prop::sample::select(vec![
        JSON,
        XML,
        PATCH,
        "application/x-www-form-urlencoded",
        "text/plain",
    ]);
    let bytes = prop::collection::vec(any::<u8>(), 0..80);
    let near = "[<{\\[/\"a-zP]{0,60}".prop_map(String::into_bytes);
    against_router(
        150,
        (kinds, prop_oneof![bytes, near]),
        |world, runtime, (kind, body)| {
            for (method, address) in [
                ("POST", "/Patient"),
                ("PUT", "/Patient/1"),
                ("PATCH", "/Patient/1"),
                ("POST", "/Patient/_search"),
                ("POST", "/"),
            ] {
                let reply = runtime.block_on(raw(world, method, address, kind, body.clone()));
                never_500(&reply, &format!("{method} {address} {kind} {body:?}"));
            }
        },
    );
}

#[test]
fn mutated_resources_are_answered() {
    let whole = json!({
        "resourceType": "Observation", "id": "o", "status": "final", "contained": [{ "resourceType": "Patient", "id": "p" }],
        "code": { "coding": [{ "system": "http://loinc.org", "code": "718-7" }] }, "subject": { "reference": "#p" },
        "effectiveDateTime": "2020-01-01T10:00:00+01:00",
        "valueQuantity": { "value": 1.50, "unit": "g", "system": "http://unitsofmeasure.org", "code": "g" },
        "text": { "status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>" },
    })
    .to_string();
    let length = whole.len();
    let change = (
        0..length,
        prop_oneof![any::<u8>(), prop::sample::select(b"{}[]\",:0e-".to_vec())],
        0..3usize,
    );
    against_router(
        200,
        prop::collection::vec(change, 1..4),
        move |world, runtime, changes| {
            let mut body = whole.clone().into_bytes();
            for (at, byte, how) in changes {
                let at = at.min(body.len().saturating_sub(1));
                match how {
                    0 => body[at] = byte,
                    1 => body.insert(at, byte),
                    _ => drop(body.remove(at)),
                }
            }
            let shown = String::from_utf8_lossy(&body).into_owned();
            let reply = runtime.block_on(raw(world, "PUT", "/Observation/o", JSON, body));
            never_500(&reply, &shown);
            if reply.status < 300 {
                // What was taken reads back in both formats.
                for format in ["json", "xml"] {
                    let reply = runtime.block_on(get(
                        &world.sandbox,
                        &format!("Observation/o?_format={format}"),
                    ));
                    assert_eq!(reply.status, 200, "{shown}");
                    assert!(reply.header("content-type").contains(format), "{shown}");
                }
            }
        },
    );
}

#[test]
fn any_search_is_answered() {
    let names = "(name|birthdate|identifier|_id|_has:Observation:subject:code|general-practitioner|_lastUpdated|_tag|_filter|_sort|_include|_elements|_list|_text|link|[a-z._:-]{1,20})(:(exact|missing|not|in|of-type|identifier|Patient|contains|[a-z]{1,6}))?(\\.[a-z:_]{1,12}){0,3}";
    let values = prop_oneof![
        "[a-z0-9|,$\\\\.:-]{0,30}",
        ".{0,20}",
        "(gt|lt|eq|ap|sa|eb|ne|ge|le)?[0-9eE+.-]{0,24}",
        Just("true".to_owned())
    ];
    against_router(400, (names, values), |world, runtime, (name, value)| {
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .append_pair(&name, &value)
            .finish();
        for address in [
            format!("/Patient?{query}"),
            format!("/Observation?{query}"),
            format!("/?_type=Patient,Observation&{query}"),
        ] {
            let began = Instant::now();
            let reply = runtime.block_on(raw(world, "GET", &address, JSON, Vec::new()));
            never_500(&reply, &address);
            assert!(began.elapsed() < MAX_TIME, "{address}");
        }
    });
}

#[test]
fn any_path_and_header_is_answered() {
    let paths = "(/(Patient|Observation|_history|\\$[a-z]{1,8}|%[0-9a-f]{2}|[a-zA-Z0-9.$_-]{1,12}|\\*)){0,6}/?";
    let headers = prop::collection::vec(
        (
            prop::sample::select(vec![
                "if-match",
                "if-none-match",
                "if-none-exist",
                "if-modified-since",
                "prefer",
                "accept",
                "authorization",
                "x-provenance",
                "content-encoding",
            ]),
            "[ -~]{0,40}",
        ),
        0..4,
    );
    let methods = prop::sample::select(vec![
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE",
    ]);
    against_router(
        400,
        (methods, paths, headers),
        |world, runtime, (method, path, headers)| {
            if path.contains("$reset") {
                return;
            }
            let path = if path.is_empty() {
                "/".to_owned()
            } else {
                path
            };
            let mut request = Request::builder()
                .method(method)
                .uri(&path)
                .header("content-type", JSON);
            for (name, value) in &headers {
                request = request.header(*name, value);
            }
            let request = request
                .body(Body::from("{\"resourceType\":\"Patient\"}"))
                .unwrap();
            let response = runtime
                .block_on(world.sandbox.clone().oneshot(request))
                .unwrap();
            assert!(
                response.status().as_u16() < 500 || response.status() == 501,
                "{method} {path} {headers:?}: {}",
                response.status()
            );
        },
    );
}
