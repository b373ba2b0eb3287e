//! `$graphql` on a resource and on the base.

use super::{chart, put};
use crate::world::*;
use serde_json::{Value, json};

async fn graphql(world: &World, address: &str, query: &str, variables: Value) -> Reply {
    let body = json!({ "query": query, "variables": variables }).to_string();
    send(
        &world.sandbox,
        "POST",
        address,
        &[("content-type", "application/json")],
        &body,
    )
    .await
}

#[tokio::test]
async fn graphql_picks_what_was_asked_for() {
    let world = World::new();
    chart(&world).await;
    put(&world, json!({ "resourceType": "Observation", "id": "amount", "status": "final", "code": { "text": "x" }, "subject": { "reference": "Patient/kari" }, "valueQuantity": { "value": 7, "unit": "g" } })).await;
    let exact = r#"{"resourceType":"Observation","id":"decimal","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/nobody"},"valueQuantity":{"value":1.00}}"#;
    send(&world.sandbox, "PUT", "Observation/decimal", &[], exact).await;
    for (address, query, want) in [
        (
            "$graphql",
            "{Patient(id: \"kari\") {id birthDate name {family given}}}",
            json!({ "Patient": { "id": "kari", "birthDate": "1980-05-17", "name": [{ "family": "Bever", "given": ["Kari", "Marie"] }, { "given": ["Kaja"] }] } }),
        ),
        (
            "Patient/kari/$graphql",
            "{born: birthDate name(use: official) {given}}",
            json!({ "born": "1980-05-17", "name": [{ "given": ["Kari", "Marie"] }] }),
        ),
        (
            "Patient/kari/$graphql",
            "{name(fhirpath: \"use = 'nickname'\") @flatten {given}}",
            json!({ "given": ["Kaja"] }),
        ),
        (
            "Patient/kari/$graphql",
            "{name @first @singleton {given @first}}",
            json!({ "name": { "given": ["Kari"] } }),
        ),
        (
            "Patient/kari/$graphql",
            "{name @flatten @slice(path: \"use\") {given}}",
            json!({ "given.official": ["Kari", "Marie"], "given.nickname": ["Kaja"] }),
        ),
        (
            "Patient/kari/$graphql",
            "{name(_offset: 1, _count: 1) {use} ...on Patient {gender} ... on Observation {status}}",
            json!({ "name": [{ "use": "nickname" }], "gender": "female" }),
        ),
        (
            "Patient/kari/$graphql",
            "{managingOrganization {reference resource {resourceType ... on Organization {name partOf {resource {...N}}}}}} fragment N on Organization {name}",
            json!({ "managingOrganization": { "reference": "Organization/ward", "resource": { "resourceType": "Organization", "name": "Post 3", "partOf": { "resource": { "name": "Helse Nord" } } } } }),
        ),
        (
            "$graphql",
            "{ObservationList(patient: \"kari\", code: [\"718-7\", \"x\"], _sort: \"-date\") {id}}",
            json!({ "ObservationList": [{ "id": "o2" }, { "id": "o1" }] }),
        ),
        (
            "Patient/kari/$graphql",
            "{id ConditionList(_reference: patient) {id code {text}}}",
            json!({ "id": "kari", "ConditionList": [{ "id": "c1", "code": { "text": "hodepine" } }] }),
        ),
        (
            "$graphql",
            "{ObservationConnection(patient: \"kari\", code: \"718-7\", _count: 1) {count offset pagesize first previous next last edges {mode resource {id}}}}",
            json!({ "ObservationConnection": { "count": 2, "offset": 0, "pagesize": 1, "first": "0", "previous": null, "next": "1", "last": "1", "edges": [{ "mode": "match", "resource": { "id": "o1" } }] } }),
        ),
        (
            "$graphql",
            "{Patient(id: nobody) {id}}",
            json!({ "Patient": null }),
        ),
        (
            "Observation/amount/$graphql",
            "{valueQuantity {unit} value {... on Quantity {unit}} subject {resource(optional: true, type: Device) {id}}}",
            json!({ "valueQuantity": { "unit": "g" }, "value": { "unit": "g" }, "subject": {} }),
        ),
        (
            "Observation/decimal/$graphql",
            "{subject {resource(optional: true) {id}} status @skip(if: true)}",
            json!({ "subject": {} }),
        ),
    ] {
        let reply = graphql(&world, address, query, json!({})).await;
        assert_eq!(reply.status, 200, "{query}: {}", reply.text());
        assert_eq!(reply.json(), json!({ "data": want }), "{query}");
    }
    let reply = graphql(
        &world,
        "Observation/decimal/$graphql",
        "{valueQuantity {value}}",
        json!({}),
    )
    .await;
    assert!(reply.text().contains("1.00"), "{}", reply.text());
    assert_eq!(reply.header("content-type"), "application/json");
    let query =
        "query q($id: ID!, $n: Boolean = false) {Patient(id: $id) {id gender @include(if: $n)}}";
    let reply = graphql(&world, "$graphql", query, json!({ "id": "ola" })).await;
    assert_eq!(
        reply.json(),
        json!({ "data": { "Patient": { "id": "ola" } } })
    );
    let by_get = get(&world.sandbox, "Patient/ola/$graphql?query=%7Bid%7D").await;
    assert_eq!(by_get.json(), json!({ "data": { "id": "ola" } }));
    let plain = send(
        &world.sandbox,
        "POST",
        "Patient/ola/$graphql",
        &[("content-type", "application/graphql")],
        "{id}",
    )
    .await;
    assert_eq!(plain.json(), json!({ "data": { "id": "ola" } }));
}

#[tokio::test]
async fn graphql_refuses_what_it_cannot_do() {
    let world = World::new();
    chart(&world).await;
    let bomb = "{...A} fragment A on Patient {...B ...B} fragment B on Patient {...A ...A}";
    let wide = format!(
        "{{...F0}} {} fragment F20 on Patient {{id}}",
        (0..20)
            .map(|n| format!("fragment F{n} on Patient {{...F{0} ...F{0}}} ", n + 1))
            .collect::<String>()
    );
    for (query, code) in [
        ("{", "invalid"),
        ("mutation {a}", "invalid"),
        ("{nonsense}", "invalid"),
        ("{name}", "invalid"),
        ("{id {x}}", "invalid"),
        ("{id: birthDate id}", "invalid"),
        ("{name @singleton {use}}", "value"),
        ("{...X}", "invalid"),
        ("{id @odd}", "invalid"),
        ("{id @include}", "invalid"),
        ("{name(fhirpath: \"((\") {use}}", "invalid"),
        ("{name(nonsense: 1) {use}}", "invalid"),
        ("{ConditionList {id}}", "required"),
        (
            "{ConditionList(_reference: nonsense) {id}}",
            "not-supported",
        ),
        ("query($a: ID!) {id}", "required"),
        ("query a {id} query b {id}", "invalid"),
        (bomb, "invalid"),
        (&wide, "too-costly"),
    ] {
        let reply = graphql(&world, "Patient/kari/$graphql", query, json!({})).await;
        assert_eq!(reply.status, 400, "{query}: {}", reply.text());
        assert_eq!(reply.json()["issue"][0]["code"], code, "{query}");
    }
    put(&world, json!({ "resourceType": "Observation", "id": "lost", "status": "final", "code": { "text": "x" }, "subject": { "reference": "Patient/nobody" } })).await;
    let lost = graphql(
        &world,
        "Observation/lost/$graphql",
        "{subject {resource {id}}}",
        json!({}),
    )
    .await;
    assert_eq!(lost.json()["issue"][0]["code"], "not-found");
    assert_eq!(
        graphql(&world, "Patient/none/$graphql", "{id}", json!({}))
            .await
            .status,
        404
    );
    let reply = send(
        &world.sandbox,
        "POST",
        "$graphql",
        &[("content-type", "text/csv")],
        "{id}",
    )
    .await;
    assert_eq!(reply.status, 415);
}
