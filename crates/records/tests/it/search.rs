//! Search at the edge, rule by rule (spec/fhir-server.md §3): tables of queries and what they must find.
//!
//! Each table names in its rows the faults that other servers had.

mod joins;
mod plans;
mod results;
mod values;

use crate::world::*;
use serde_json::{Value, json};

/// Puts a resource under its own id.
async fn put(world: &World, body: Value) {
    let address = format!(
        "{}/{}",
        body["resourceType"].as_str().unwrap(),
        body["id"].as_str().unwrap()
    );
    let reply = send(&world.sandbox, "PUT", &address, &[], &body.to_string()).await;
    assert!(
        reply.status == 200 || reply.status == 201,
        "{address}: {}",
        reply.text()
    );
}

/// Percent-encodes what cannot stand in an address; `+` is left as it is.
fn address(query: &str) -> String {
    let mut out = String::new();
    for c in query.chars() {
        match c {
            ' ' => out.push_str("%20"),
            '"' => out.push_str("%22"),
            '\\' => out.push_str("%5C"),
            '#' => out.push_str("%23"),
            c if c.is_ascii() => out.push(c),
            c => {
                let mut buffer = [0; 4];
                for b in c.encode_utf8(&mut buffer).bytes() {
                    out.push_str(&format!("%{b:02X}"));
                }
            }
        }
    }
    out
}

/// Ids of the matches, without their type, sorted.
async fn find(world: &World, query: &str) -> Vec<String> {
    let reply = get(&world.sandbox, &address(query)).await;
    assert_eq!(reply.status, 200, "{query}: {}", reply.text());
    let mut ids: Vec<String> = reply
        .ids("match")
        .iter()
        .map(|i| i.split_once('/').unwrap().1.to_owned())
        .collect();
    let total = reply.json()["total"].as_u64();
    assert!(total.is_none_or(|n| n == ids.len() as u64), "{query}");
    ids.sort();
    ids
}

async fn table(world: &World, rows: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (query, expected) in rows {
        let mut expected: Vec<&str> = expected.split_whitespace().collect();
        expected.sort_unstable();
        let found = find(world, query).await;
        if found != expected {
            wrong.push(format!("{query}: {found:?} instead of {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each query is answered with the status and the issue code.
async fn refused(world: &World, rows: &[(&str, u16, &str)]) {
    let mut wrong = Vec::new();
    for (query, status, code) in rows {
        let reply = get(&world.sandbox, &address(query)).await;
        if reply.status != *status || reply.json()["issue"][0]["code"] != *code {
            wrong.push(format!("{query}: {} {}", reply.status, reply.text()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Ids in the order of the answer.
async fn ordered(world: &World, query: &str) -> String {
    let reply = get(&world.sandbox, &address(query)).await;
    assert_eq!(reply.status, 200, "{query}: {}", reply.text());
    let ids: Vec<String> = reply
        .ids("match")
        .iter()
        .map(|i| i.split_once('/').unwrap().1.to_owned())
        .collect();
    ids.join(" ")
}

/// Every page joined.
async fn walked(world: &World, query: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut next = Some(address(query));
    let mut links = std::collections::BTreeSet::new();
    while let Some(link) = next {
        assert!(links.insert(link.clone()), "the same link again: {query}");
        let reply = get(&world.sandbox, &link).await;
        assert_eq!(reply.status, 200, "{query}: {}", reply.text());
        let found = reply.ids("match");
        assert!(
            ids.is_empty() || !found.is_empty(),
            "an empty page: {query}"
        );
        ids.extend(
            found
                .iter()
                .map(|i| i.split_once('/').unwrap().1.to_owned()),
        );
        next = reply.link("next");
    }
    ids
}

fn patient(id: &str, more: Value) -> Value {
    let mut body = json!({ "resourceType": "Patient", "id": id });
    for (k, v) in more.as_object().unwrap() {
        body[k] = v.clone();
    }
    body
}

fn observation(id: &str, more: Value) -> Value {
    let mut body = json!({ "resourceType": "Observation", "id": id, "status": "final", "code": { "text": "x" } });
    for (k, v) in more.as_object().unwrap() {
        body[k] = v.clone();
    }
    body
}

fn loinc(code: &str) -> Value {
    json!({ "coding": [{ "system": "http://loinc.org", "code": code }] })
}

/// Three patients, their general practitioners' organisations, observations, encounters.
async fn clinic(world: &World) {
    for body in [
        json!({ "resourceType": "Organization", "id": "org", "name": "Granfjell legekontor" }),
        json!({ "resourceType": "Organization", "id": "part", "name": "Avdeling B", "partOf": { "reference": "Organization/org" } }),
        json!({ "resourceType": "Practitioner", "id": "dr", "name": [{ "family": "Lege" }] }),
        patient(
            "kari",
            json!({ "name": [{ "family": "Bever" }], "gender": "female", "managingOrganization": { "reference": "Organization/part" }, "generalPractitioner": [{ "reference": "Practitioner/dr" }] }),
        ),
        patient(
            "ola",
            json!({ "name": [{ "family": "Elg" }], "managingOrganization": { "reference": "Organization/org" } }),
        ),
        patient(
            "self",
            json!({ "name": [{ "family": "Rev" }], "link": [{ "other": { "reference": "Patient/self" }, "type": "seealso" }] }),
        ),
        json!({ "resourceType": "Group", "id": "grp", "type": "person", "actual": true, "name": "Bever" }),
        json!({ "resourceType": "Encounter", "id": "e1", "status": "finished", "class": { "code": "AMB" }, "subject": { "reference": "Patient/kari" } }),
        observation(
            "o1",
            json!({ "code": loinc("718-7"), "subject": { "reference": "Patient/kari" }, "encounter": { "reference": "Encounter/e1" }, "performer": [{ "reference": "Practitioner/dr" }] }),
        ),
        observation(
            "o2",
            json!({ "code": loinc("2345-7"), "subject": { "reference": "Patient/kari/_history/1" }, "status": "amended" }),
        ),
        observation(
            "o3",
            json!({ "code": loinc("718-7"), "subject": { "reference": "Patient/ola" }, "status": "amended" }),
        ),
        observation(
            "o4",
            json!({ "code": loinc("718-7"), "subject": { "reference": "Group/grp" } }),
        ),
        observation(
            "o5",
            json!({ "code": loinc("718-7"), "subject": { "reference": "Patient/gone" }, "hasMember": [{ "reference": "Observation/o1" }] }),
        ),
    ] {
        put(world, body).await;
    }
}
