//! References inside transactions: rewritten, conditional, of other servers (spec/fhir-server.md §4).

use crate::bundles::*;
use crate::world::*;
use serde_json::{Value, json};

#[tokio::test]
async fn references_of_every_kind_are_rewritten() {
    let world = World::new();
    let router = &world.sandbox;
    let document = json!({ "resourceType": "DocumentReference", "status": "current",
        "masterIdentifier": { "system": "urn:ietf:rfc:3986", "value": ONE },
        "subject": { "reference": ONE },
        "text": { "status": "generated", "div": format!("<div xmlns=\"http://www.w3.org/1999/xhtml\"><a href=\"{ONE}\">{ONE}</a><img src=\"{TWO}#part\" alt=\"\"/></div>") },
        "meta": { "source": ONE, "profile": [ONE] },
        "extension": [
            { "url": "http://x/uri", "valueUri": ONE }, { "url": "http://x/url", "valueUrl": TWO },
            { "url": "http://x/uuid", "valueUuid": ONE }, { "url": "http://x/string", "valueString": ONE },
            { "url": "http://x/canonical", "valueCanonical": ONE }, { "url": "http://x/decimal", "valueDecimal": 1 } ],
        "contained": [{ "resourceType": "Patient", "id": "c", "managingOrganization": { "reference": TWO } }],
        "relatesTo": [{ "code": "appends", "target": { "reference": format!("{ONE}#frag"), "display": "1.00 \\ \"x\"" } }],
        "author": [{ "reference": "#c" }, { "reference": "Practitioner/elsewhere" }, { "reference": "http://else/Practitioner/1" }],
        "content": [{ "attachment": { "url": TWO } }] });
    let text = bundle(
        "transaction",
        vec![
            entry("POST", "DocumentReference", document),
            at(ONE, entry("POST", "Patient", patient("1"))),
            at(
                TWO,
                entry(
                    "PUT",
                    "Organization/org",
                    json!({ "resourceType": "Organization", "id": "org", "name": "x" }),
                ),
            ),
        ],
    )
    .to_string()
    .replace("\"valueDecimal\":1", "\"valueDecimal\":1.00")
    .replace("http://else/Practitioner", "http:\\/\\/else\\/Practitioner");
    let reply = send(router, "POST", "", &[], &text).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    let one = written(&answer, 1);
    let two = "Organization/org";
    assert!(one.starts_with("Patient/"));
    let stored = get(router, &written(&answer, 0)).await;
    let d = stored.json();
    assert_eq!(d["subject"]["reference"], one);
    assert_eq!(
        d["masterIdentifier"]["value"], ONE,
        "a string is no reference"
    );
    assert_eq!(d["meta"]["source"], one);
    assert_eq!(d["meta"]["profile"][0], ONE, "a canonical is not rewritten");
    let extension = |n: usize, name: &str| d["extension"][n][name].clone();
    assert_eq!(extension(0, "valueUri"), one);
    assert_eq!(extension(1, "valueUrl"), two);
    assert_eq!(extension(2, "valueUuid"), ONE, "an address is no UUID");
    assert_eq!(extension(3, "valueString"), ONE);
    assert_eq!(extension(4, "valueCanonical"), ONE);
    assert!(stored.text().contains("\"valueDecimal\":1.00"));
    assert_eq!(d["contained"][0]["managingOrganization"]["reference"], two);
    assert_eq!(
        d["relatesTo"][0]["target"]["reference"],
        format!("{one}#frag")
    );
    assert_eq!(d["author"][0]["reference"], "#c");
    assert_eq!(d["author"][1]["reference"], "Practitioner/elsewhere");
    assert_eq!(d["author"][2]["reference"], "http://else/Practitioner/1");
    assert_eq!(d["content"][0]["attachment"]["url"], two);
    let div = d["text"]["div"].as_str().unwrap();
    assert!(div.contains(&format!("href=\"{one}\">{ONE}<")), "{div}");
    assert!(div.contains(&format!("src=\"{two}#part\"")), "{div}");
}

#[tokio::test]
async fn addresses_of_other_servers_are_mapped_by_their_base() {
    let world = World::new();
    let router = &world.sandbox;
    let body = bundle(
        "transaction",
        vec![
            at(
                "http://a/fhir/Patient/1",
                entry("POST", "Patient", patient("a")),
            ),
            at(
                "http://b/fhir/Patient/1",
                entry("POST", "Patient", patient("b")),
            ),
            at(
                "http://a/fhir/Flag/1",
                entry("POST", "Flag", flag("Patient/1")),
            ),
            at(
                "http://b/fhir/Flag/1",
                entry("POST", "Flag", flag("Patient/1")),
            ),
            at(
                ONE,
                entry("POST", "Flag", flag("http://b/fhir/Patient/1/_history/3")),
            ),
            at(TWO, entry("POST", "Flag", flag("Patient/1"))),
        ],
    );
    let answer = done(router, &body).await;
    let subject = |n: usize| {
        let (router, address) = (router.clone(), written(&answer, n));
        async move {
            get(&router, &address).await.json()["subject"]["reference"]
                .as_str()
                .unwrap()
                .to_owned()
        }
    };
    assert_eq!(subject(2).await, written(&answer, 0));
    assert_eq!(subject(3).await, written(&answer, 1));
    assert_eq!(subject(4).await, written(&answer, 1));
    // Of two bases, and in an entry of neither: left as it is.
    assert_eq!(subject(5).await, "Patient/1");
}

#[tokio::test]
async fn conditional_entries_map_to_what_is_there() {
    let world = World::new();
    let router = &world.sandbox;
    let body = bundle(
        "transaction",
        vec![
            at(
                ONE,
                with(
                    entry("POST", "Patient", patient("1")),
                    "ifNoneExist",
                    "identifier=urn:p|1",
                ),
            ),
            at(
                TWO,
                with(
                    entry("POST", "Patient", patient("1")),
                    "ifNoneExist",
                    "identifier=urn:p|1",
                ),
            ),
            entry("POST", "Flag", flag(ONE)),
            entry("POST", "Flag", flag(TWO)),
        ],
    );
    let first = done(router, &body).await;
    assert_eq!(first["entry"][0]["response"]["status"], "201 Created");
    assert_eq!(first["entry"][1]["response"]["status"], "200 OK");
    let patient_at = written(&first, 0);
    assert_eq!(written(&first, 1), patient_at);
    let again = done(router, &body).await;
    for n in [0, 1] {
        assert_eq!(again["entry"][n]["response"]["status"], "200 OK");
        assert_eq!(written(&again, n), patient_at);
    }
    assert_eq!(count(router, "Patient").await, 1);
    for answer in [&first, &again] {
        for n in [2, 3] {
            let flag = get(router, &written(answer, n)).await.json();
            assert_eq!(flag["subject"]["reference"], patient_at);
        }
    }
    // Conditional update: the match's id, or a new one.
    let body = bundle(
        "transaction",
        vec![
            at(
                ONE,
                entry("PUT", "Patient?identifier=urn:p|1", patient("1")),
            ),
            at(
                TWO,
                entry("PUT", "Patient?identifier=urn:p|2", patient("2")),
            ),
            entry("POST", "Flag", flag(ONE)),
            entry("POST", "Flag", flag(TWO)),
        ],
    );
    let answer = done(router, &body).await;
    assert_eq!(written(&answer, 0), patient_at);
    assert_eq!(answer["entry"][1]["response"]["status"], "201 Created");
    for (n, target) in [(2, written(&answer, 0)), (3, written(&answer, 1))] {
        let flag = get(router, &written(&answer, n)).await.json();
        assert_eq!(flag["subject"]["reference"], target);
    }
}

#[tokio::test]
async fn conditional_references_find_one_in_the_store_or_in_the_transaction() {
    let world = World::new();
    let router = &world.sandbox;
    send(router, "PUT", "Patient/old", &[], &json!({ "resourceType": "Patient", "id": "old", "identifier": [{ "system": "urn:p", "value": "old" }] }).to_string()).await;
    let refer = |criteria: &str| {
        entry(
            "POST",
            "Flag",
            flag(&format!("Patient?identifier=urn:p|{criteria}")),
        )
    };
    let moved = json!({ "resourceType": "Patient", "id": "old", "identifier": [{ "system": "urn:p", "value": "moved" }] });
    for (entries, expected) in [
        (vec![refer("old")], Ok("Patient/old")),
        (
            vec![refer("old"), entry("POST", "Patient", patient("new"))],
            Ok("Patient/old"),
        ),
        (
            vec![refer("new"), entry("POST", "Patient", patient("new"))],
            Ok("posted"),
        ),
        (
            vec![entry(
                "POST",
                "Flag",
                flag(&format!("{BASE}/sandbox/Patient?identifier=urn:p|old")),
            )],
            Ok("Patient/old"),
        ),
        (vec![refer("none")], Err("not-found")),
        // The transaction takes the match away, or adds a second one.
        (
            vec![refer("old"), entry("DELETE", "Patient/old", Value::Null)],
            Err("not-found"),
        ),
        (
            vec![refer("old"), entry("POST", "Patient", patient("old"))],
            Err("multiple-matches"),
        ),
        (
            vec![refer("moved"), entry("PUT", "Patient/old", moved)],
            Ok("Patient/old"),
        ),
    ] {
        let body = bundle("transaction", entries);
        let reply = post(router, &body).await;
        match expected {
            Ok(target) => {
                assert_eq!(reply.status, 200, "{body}: {}", reply.text());
                let answer = reply.json();
                let target = if target == "posted" {
                    written(&answer, 1)
                } else {
                    target.to_owned()
                };
                let flag = get(router, &written(&answer, 0)).await.json();
                assert_eq!(flag["subject"]["reference"], target, "{body}");
            }
            Err(code) => {
                assert_eq!(reply.status, 400, "{body}: {}", reply.text());
                let issue = &reply.json()["issue"][0];
                assert_eq!(issue["code"], code, "{body}");
                assert_eq!(issue["expression"][0], "Bundle.entry[0].resource.subject");
            }
        }
        // Where we began.
        send(router, "PUT", "Patient/old", &[], &json!({ "resourceType": "Patient", "id": "old", "identifier": [{ "system": "urn:p", "value": "old" }] }).to_string()).await;
        send(router, "DELETE", "Patient?identifier=urn:p|new", &[], "").await;
    }
}

/// A bundle as load generators send them: hundreds of entries that refer to one another, to themselves in circles and to
/// shared resources by criteria; planned on several threads.
#[tokio::test]
async fn large_transactions_hold_together() {
    let world = World::new();
    let router = &world.sandbox;
    send(router, "POST", "Organization", &[], &json!({ "resourceType": "Organization", "identifier": [{ "system": "urn:o", "value": "1" }], "name": "x" }).to_string()).await;
    let id = |n: usize| format!("urn:uuid:00000000-0000-4000-8000-{n:012}");
    let mut entries = vec![at(
        &id(0),
        entry(
            "POST",
            "Patient",
            json!({ "resourceType": "Patient",
        "managingOrganization": { "reference": "Organization?identifier=urn:o|1" } }),
        ),
    )];
    for n in 1..400 {
        let next = 1 + n % 399;
        entries.push(at(&id(n), entry("POST", "Observation", json!({ "resourceType": "Observation", "status": "final",
            "code": { "text": n.to_string() }, "subject": { "reference": id(0) }, "hasMember": [{ "reference": id(next) }],
            "performer": [{ "reference": "Organization?identifier=urn:o|1" }] }))));
    }
    let answer = done(router, &bundle("transaction", entries.clone())).await;
    for n in [1, 200, 399] {
        let o = get(router, &written(&answer, n)).await.json();
        assert_eq!(o["code"]["text"], n.to_string());
        assert_eq!(o["subject"]["reference"], written(&answer, 0));
        assert_eq!(
            o["hasMember"][0]["reference"],
            written(&answer, 1 + n % 399)
        );
        assert!(
            o["performer"][0]["reference"]
                .as_str()
                .unwrap()
                .starts_with("Organization/")
        );
    }
    // The first fault in the order of the entries is told, whichever thread met one first.
    entries[300]["resource"]["status"] = json!("nonsense");
    entries[390]["resource"]["status"] = json!("nonsense");
    let reply = post(router, &bundle("transaction", entries)).await;
    assert_eq!(reply.status, 422);
    assert_eq!(
        reply.json()["issue"][0]["expression"][0],
        "Bundle.entry[300].resource.status"
    );
    assert_eq!(count(router, "Observation").await, 399);
}
