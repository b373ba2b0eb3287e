//! What a repository says of itself is true: every claim of the CapabilityStatement is called over HTTP.

use crate::world::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A value that a parameter of a type can have.
fn sample(name: &str, kind: &str) -> String {
    match kind {
        "date" => "2020-01".to_owned(),
        "number" => "1".to_owned(),
        "quantity" => "5.4|http://unitsofmeasure.org|mg".to_owned(),
        "reference" => "Patient/1".to_owned(),
        "uri" => "http://example.org/x".to_owned(),
        "composite" if name.contains("date") => "x$2020".to_owned(),
        "composite" if name.ends_with("quantity") => "x$1".to_owned(),
        "composite" => "x$y".to_owned(),
        "special" => "59.9|10.7|5|km".to_owned(),
        _ => "x".to_owned(),
    }
}

fn list<'v>(value: &'v Value, name: &str) -> Vec<&'v Value> {
    value[name].as_array().into_iter().flatten().collect()
}

fn codes(value: &Value, name: &str) -> BTreeSet<String> {
    list(value, name)
        .iter()
        .map(|i| i["code"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn every_search_parameter_and_include_is_answered() {
    let world = World::new();
    let statement = get(&world.sandbox, "metadata").await.json();
    let resources = list(&statement["rest"][0], "resource");
    assert_eq!(resources.len(), 146);
    let (mut kinds, mut parameters) = (BTreeSet::new(), 0);
    for resource in &resources {
        let rtype = resource["type"].as_str().unwrap();
        for parameter in list(resource, "searchParam") {
            let (name, kind) = (
                parameter["name"].as_str().unwrap(),
                parameter["type"].as_str().unwrap(),
            );
            let definition = parameter["definition"].as_str().unwrap();
            assert!(definition.starts_with("http://hl7.org/fhir/SearchParameter/"));
            let value = sample(name, kind).replace('|', "%7C");
            let mut reply = get(&world.sandbox, &format!("{rtype}?{name}={value}")).await;
            // The parts of a composite are of kinds that its name does not tell.
            for parts in ["x$1", "x$2020", "x$1$1", "2020$x"] {
                if kind == "composite" && reply.status == 400 {
                    reply = get(&world.sandbox, &format!("{rtype}?{name}={parts}")).await;
                }
            }
            let absent = matches!(reply.status, 404) && name == "_in";
            assert!(
                reply.status == 200 || absent,
                "{rtype}?{name}={value}: {}",
                reply.text()
            );
            kinds.insert(kind.to_owned());
            parameters += 1;
        }
        for (member, name) in [
            ("searchInclude", "_include"),
            ("searchRevInclude", "_revinclude"),
        ] {
            for include in list(resource, member).iter().take(6) {
                let include = include.as_str().unwrap();
                let reply = get(&world.sandbox, &format!("{rtype}?{name}={include}")).await;
                assert_eq!(
                    reply.status,
                    200,
                    "{rtype}?{name}={include}: {}",
                    reply.text()
                );
            }
        }
    }
    assert!(parameters > 1_900, "{parameters}");
    assert_eq!(kinds.len(), 9, "{kinds:?}");
}

#[tokio::test]
async fn every_interaction_is_answered() {
    let world = World::new();
    let statement = get(&world.sandbox, "metadata").await.json();
    let rest = &statement["rest"][0];
    for resource in list(rest, "resource") {
        let rtype = resource["type"].as_str().unwrap();
        let interactions = codes(resource, "interaction");
        assert_eq!(interactions.len(), 9, "{rtype}: {interactions:?}");
        for interaction in interactions {
            let (method, address, body) = match interaction.as_str() {
                "read" => ("GET", format!("{rtype}/none"), ""),
                "vread" => ("GET", format!("{rtype}/none/_history/1"), ""),
                "history-instance" => ("GET", format!("{rtype}/none/_history"), ""),
                "history-type" => ("GET", format!("{rtype}/_history"), ""),
                "search-type" => ("GET", rtype.to_owned(), ""),
                "create" => ("POST", rtype.to_owned(), "{}"),
                "update" => ("PUT", format!("{rtype}/none"), "{}"),
                "patch" => ("PATCH", format!("{rtype}/none"), "[]"),
                "delete" => ("DELETE", format!("{rtype}/none"), ""),
                other => panic!("{other}"),
            };
            let kind = match method {
                "PATCH" => "application/json-patch+json",
                _ => "application/fhir+json",
            };
            let reply = send(
                &world.sandbox,
                method,
                &address,
                &[("content-type", kind)],
                body,
            )
            .await;
            let expected: &[u16] = match interaction.as_str() {
                "read" | "vread" | "history-instance" | "patch" => &[404],
                "create" | "update" => &[400, 422],
                "delete" => &[204],
                _ => &[200],
            };
            assert!(
                expected.contains(&reply.status),
                "{interaction} {address}: {} {}",
                reply.status,
                reply.text()
            );
        }
    }
    let bundle = |kind: &str| json!({ "resourceType": "Bundle", "type": kind }).to_string();
    for interaction in codes(rest, "interaction") {
        let (method, address, body) = match interaction.as_str() {
            "transaction" | "batch" => ("POST", "", bundle(&interaction)),
            "search-system" => ("GET", "?_type=Patient", String::new()),
            "history-system" => ("GET", "_history", String::new()),
            other => panic!("{other}"),
        };
        let reply = send(&world.sandbox, method, address, &[], &body).await;
        assert_eq!(reply.status, 200, "{interaction}: {}", reply.text());
    }
    for compartment in list(rest, "compartment") {
        let name = compartment.as_str().unwrap().rsplit('/').next().unwrap();
        let (first, rest) = name.split_at(1);
        let rtype = first.to_uppercase() + rest;
        let reply = get(&world.sandbox, &format!("{rtype}/1/*")).await;
        assert_eq!(reply.status, 200, "{rtype}: {}", reply.text());
    }
}

#[tokio::test]
async fn every_operation_is_answered() {
    let world = World::new();
    let statement = get(&world.sandbox, "metadata").await.json();
    let rest = &statement["rest"][0];
    let mut addresses: BTreeSet<(String, Vec<String>)> = BTreeSet::new();
    for operation in list(rest, "operation") {
        let name = operation["name"].as_str().unwrap();
        addresses.insert((name.to_owned(), vec![format!("${name}")]));
    }
    for resource in list(rest, "resource") {
        let rtype = resource["type"].as_str().unwrap();
        // Operations of all types are the same everywhere.
        for operation in list(resource, "operation") {
            let name = operation["name"].as_str().unwrap();
            addresses.insert((
                name.to_owned(),
                vec![format!("{rtype}/${name}"), format!("{rtype}/none/${name}")],
            ));
        }
    }
    let body = json!({ "resourceType": "Parameters" }).to_string();
    let mut names = BTreeSet::new();
    for (name, places) in addresses {
        names.insert(name.clone());
        let mut answered = false;
        for place in places {
            for (method, body) in [("GET", ""), ("POST", body.as_str())] {
                let headers = [("prefer", "respond-async")];
                let reply = send(&world.sandbox, method, &place, &headers, body).await;
                assert_ne!(reply.status / 100, 5, "{method} {place}: {}", reply.text());
                let is_unknown = reply.status == 405
                    || reply.status == 404 && reply.text().contains("no such operation");
                answered |= !is_unknown;
            }
        }
        assert!(answered, "${name} is listed and not there");
    }
    assert!(
        names.contains("validate") && names.contains("everything"),
        "{names:?}"
    );
    let unknown = send(&world.sandbox, "POST", "Patient/$unheard", &[], &body).await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn what_is_not_offered_is_refused() {
    let world = World::new();
    let statement = get(&world.results, "metadata").await.json();
    let resources = list(&statement["rest"][0], "resource");
    let types: Vec<&str> = resources
        .iter()
        .map(|r| r["type"].as_str().unwrap())
        .collect();
    assert_eq!(types.len(), 3, "{types:?}");
    for resource in resources {
        let rtype = resource["type"].as_str().unwrap();
        let interactions = codes(resource, "interaction");
        assert!(interactions.contains("read") && !interactions.contains("create"));
        for (method, address, body) in [
            ("POST", rtype.to_owned(), "{}"),
            ("PUT", format!("{rtype}/x"), "{}"),
            ("DELETE", format!("{rtype}/x"), ""),
        ] {
            let reply = send(
                &world.results,
                method,
                &address,
                &[("x-doctor", DOCTOR)],
                body,
            )
            .await;
            assert_eq!(reply.status, 405, "{method} {address}: {}", reply.text());
            assert!(!reply.header("allow").is_empty());
        }
    }
    assert!(statement["patchFormat"].is_null());
    assert!(!codes(&statement["rest"][0], "interaction").contains("transaction"));
}

#[tokio::test]
async fn the_statement_is_a_resource_like_others() {
    let world = World::new();
    let whole = get(&world.sandbox, "metadata").await;
    let statement = whole.json();
    for (path, expected) in [
        ("/fhirVersion", "4.0.1"),
        ("/kind", "instance"),
        ("/status", "active"),
        ("/rest/0/mode", "server"),
        ("/rest/0/security/service/0/coding/0/code", "SMART-on-FHIR"),
        (
            "/rest/0/security/extension/0/extension/0/valueUri",
            "https://issuer.test/authorize",
        ),
    ] {
        assert_eq!(statement.pointer(path).unwrap(), expected, "{path}");
    }
    assert_eq!(
        statement["implementation"]["url"],
        format!("{BASE}/sandbox")
    );
    let of = |rtype: &str| {
        list(&statement["rest"][0], "resource")
            .into_iter()
            .find(|r| r["type"] == rtype)
            .unwrap()
            .clone()
    };
    let national = "http://hl7.no/fhir/StructureDefinition/no-basis-Patient";
    assert!(codes_of(&of("Patient")["supportedProfile"]).contains(national));
    assert!(codes_of(&of("Observation")["supportedProfile"]).len() > 3);
    assert!(statement["date"].as_str().unwrap().len() > 10);
    let etag = whole.header("etag").to_owned();
    assert!(etag.starts_with("W/\""));
    let again = [("if-none-match", etag.as_str())];
    let unchanged = send(&world.sandbox, "GET", "metadata", &again, "").await;
    assert_eq!((unchanged.status, unchanged.bytes.len()), (304, 0));
    let head = send(&world.sandbox, "HEAD", "metadata", &[], "").await;
    assert_eq!((head.status, head.bytes.len()), (200, 0));
    let summary = get(&world.sandbox, "metadata?_summary=true").await;
    assert_eq!(
        summary.json()["meta"]["tag"][0]["code"],
        "SUBSETTED",
        "{}",
        summary.text()
    );
    let elements = get(&world.sandbox, "metadata?_elements=fhirVersion").await;
    assert!(elements.json()["software"].is_null());
    assert_eq!(elements.json()["fhirVersion"], "4.0.1");
    let xml = get(&world.sandbox, "metadata?_format=xml").await;
    assert!(
        xml.text()
            .starts_with("<CapabilityStatement xmlns=\"http://hl7.org/fhir\">")
    );
    for (address, status) in [
        ("metadata?mode=full", 200),
        ("metadata?mode=normative", 200),
        ("metadata?mode=terminology", 200),
        ("metadata?mode=other", 400),
        ("metadata?_summary=some", 400),
        ("metadata?x=y", 400),
    ] {
        assert_eq!(
            get(&world.sandbox, address).await.status,
            status,
            "{address}"
        );
    }
    let terminology = get(&world.sandbox, "metadata?mode=terminology").await;
    assert_eq!(
        terminology.json()["resourceType"],
        "TerminologyCapabilities"
    );
    let wrong = send(&world.sandbox, "POST", "metadata", &[], "{}").await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, "GET, HEAD"));
    // It validates against its own definition.
    let verdict = send(
        &world.sandbox,
        "POST",
        "CapabilityStatement/$validate",
        &[],
        &whole.text(),
    )
    .await
    .json();
    let errors: Vec<&Value> = list(&verdict, "issue")
        .into_iter()
        .filter(|i| i["severity"] == "error" || i["severity"] == "fatal")
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[tokio::test]
async fn clients_are_told_where_tokens_come_from() {
    let world = World::new();
    let reply = get(&world.sandbox, ".well-known/smart-configuration").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), "application/json");
    let told = reply.json();
    assert_eq!(told["token_endpoint"], "https://issuer.test/token");
    assert!(codes_of(&told["capabilities"]).contains("permission-v2"));
    // No authorization server, no such document.
    let none = get(&world.results, ".well-known/smart-configuration").await;
    assert_eq!(none.status, 404);
}

fn codes_of(value: &Value) -> BTreeSet<&str> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

#[tokio::test]
async fn openapi_describes_what_is_answered() {
    let world = World::new();
    let reply = get(&world.sandbox, "openapi.json?_type=Patient,Observation").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let document = reply.json();
    assert_eq!(document["servers"][0]["url"], format!("{BASE}/sandbox"));
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 15, "{}", paths.len());
    for (path, item) in paths {
        let address = path
            .replace("{id}", "none")
            .replace("{vid}", "1")
            .replace("{type}", "Observation");
        for method in item.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            if path.ends_with("$reset") {
                continue;
            }
            let body = if matches!(method.as_str(), "POST" | "PUT" | "PATCH") {
                "{}"
            } else {
                ""
            };
            let kind = if path.ends_with("_search") {
                "application/x-www-form-urlencoded"
            } else {
                "application/fhir+json"
            };
            let headers = [("content-type", kind)];
            let reply = send(&world.sandbox, &method, &address, &headers, body).await;
            assert!(
                !matches!(reply.status, 405 | 406 | 500..=599)
                    && !reply.text().contains("no such operation"),
                "{method} {address}: {} {}",
                reply.status,
                reply.text()
            );
        }
    }
    assert_eq!(
        get(&world.sandbox, "openapi.json?_type=Pasient")
            .await
            .status,
        404
    );
    assert_eq!(get(&world.sandbox, "openapi.json?x=1").await.status, 400);
    let clinical = get(&world.results, "openapi.json").await.json();
    assert!(clinical["paths"]["/Observation"]["post"].is_null());
    assert!(!clinical["paths"]["/Observation"]["get"].is_null());
}
