//! Search at the edge, rule by rule (spec/fhir-server.md §3): tables of queries and what they must find.
//!
//! Each table names in its rows the faults that other servers had.

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

#[tokio::test]
async fn strings() {
    let world = World::new();
    let long = format!("{}{}", "x".repeat(300), "end");
    for body in [
        patient(
            "bjorn",
            json!({ "name": [{ "family": "Bjørnstad", "given": ["Kari", "Anne Marie"] }] }),
        ),
        patient(
            "alex",
            json!({ "name": [{ "family": "Smith", "given": ["Alex"] }], "address": [{ "city": "Bø i Telemark", "line": ["100% veien_1"] }] }),
        ),
        patient(
            "two",
            json!({ "name": [{ "family": "Smith" }, { "family": "Oconnor", "given": ["Alexander"] }] }),
        ),
        patient(
            "odd",
            json!({ "name": [{ "family": "O'Brien-Ås", "given": ["Renée"] }] }),
        ),
        patient("long", json!({ "name": [{ "family": long }] })),
        patient("none", json!({})),
    ] {
        put(&world, body).await;
    }
    table(
        &world,
        &[
            ("Patient?family=bjorn", "bjorn"),
            ("Patient?family=Bjørn", "bjorn"),
            ("Patient?family=BJØRNSTAD", "bjorn"),
            // Not in the middle of a word.
            ("Patient?family=stad", ""),
            ("Patient?family:contains=STAD", "bjorn"),
            ("Patient?family:exact=Bjørnstad", "bjorn"),
            ("Patient?family:exact=bjørnstad", ""),
            ("Patient?family:exact=Bjørn", ""),
            ("Patient?given=Anne Marie", "bjorn"),
            ("Patient?given=anne+marie", "bjorn"),
            ("Patient?given:text=marie", "bjorn"),
            ("Patient?given:text=arie", ""),
            ("Patient?given=renee", "odd"),
            ("Patient?family=obrien", "odd"),
            ("Patient?family=o'brien ås", "odd"),
            ("Patient?name=alex", "alex two"),
            // Parts of one resource together, whichever name they are of.
            ("Patient?name=Alex&name=Smith", "alex two"),
            ("Patient?family=Smith&given=Alex", "alex two"),
            ("Patient?name=bjorn,smith", "bjorn alex two"),
            // Signs of other query languages are data.
            ("Patient?address=100%25 veien", "alex"),
            ("Patient?address=100_", "alex"),
            ("Patient?address-city=bo i", "alex"),
            ("Patient?family:missing=true", "none"),
            ("Patient?family:missing=false", "bjorn alex two odd long"),
        ],
    )
    .await;
    // Longer than an index key.
    table(
        &world,
        &[
            (&format!("Patient?family={}", "x".repeat(250)), "long"),
            (&format!("Patient?family={}y", "x".repeat(250)), ""),
            (&format!("Patient?family:exact={long}"), "long"),
            ("Patient?family:contains=xend", "long"),
        ],
    )
    .await;
    refused(
        &world,
        &[
            ("Patient?family=", 400, "value"),
            ("Patient?family=%25", 400, "value"),
            ("Patient?family:not=x", 400, "not-supported"),
            ("Patient?family:missing=maybe", 400, "value"),
            ("Patient?nonsense=x", 400, "not-supported"),
            ("Patient?nonsense:exact=x", 400, "not-supported"),
            ("Observation?family=x", 400, "not-supported"),
        ],
    )
    .await;
}

#[tokio::test]
async fn tokens() {
    let world = World::new();
    let mrn = json!({ "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR" }], "text": "Journalnummer" });
    for body in [
        observation(
            "a",
            json!({ "code": { "coding": [{ "system": "http://loinc.org", "code": "718-7", "display": "Hemoglobin in blood" }, { "system": "urn:local", "code": "HB" }] } }),
        ),
        observation("b", json!({ "code": loinc("2345-7"), "status": "amended" })),
        observation(
            "c",
            json!({ "code": { "coding": [{ "code": "718-7" }], "text": "Blodprosent" } }),
        ),
        observation(
            "panel",
            json!({ "code": loinc("85354-9"), "component": [{ "code": loinc("8480-6"), "valueQuantity": { "value": 120 } }] }),
        ),
        observation("text", json!({ "code": { "text": "apple" } })),
        patient(
            "p1",
            json!({ "active": true, "gender": "female", "identifier": [{ "system": "urn:mrn", "value": "AbC1", "type": mrn }, { "value": "bare" }], "telecom": [{ "system": "phone", "value": "22334455", "use": "home" }, { "system": "email", "value": "Kari@example.org" }] }),
        ),
        patient(
            "p2",
            json!({ "active": false, "deceasedDateTime": "2020", "identifier": [{ "system": "urn:mrn", "value": "aBc1" }, { "system": "urn:other", "value": "MR1", "type": mrn }] }),
        ),
        patient("p3", json!({ "deceasedBoolean": false })),
        patient(
            "p4",
            json!({ "deceasedBoolean": true, "meta": { "tag": [{ "system": "urn:t", "code": "x" }], "profile": ["http://p/one|1.2.3"], "security": [{ "system": "urn:s", "code": "R" }], "source": "http://src/a" } }),
        ),
    ] {
        put(&world, body).await;
    }
    table(
        &world,
        &[
            ("Observation?code=718-7", "a c"),
            ("Observation?code=http://loinc.org|718-7", "a"),
            ("Observation?code=|718-7", "c"),
            ("Observation?code=http://loinc.org|", "a b panel"),
            ("Observation?code=718-7,2345-7", "a b c"),
            ("Observation?code=718-7&code=HB", "a"),
            // Not a comparison prefix and not a text.
            ("Observation?code=apple", ""),
            ("Observation?code=hb", ""),
            ("Observation?code:text=apple", "text"),
            ("Observation?code:text=hemo", "a"),
            ("Observation?code:text=blod", "c"),
            ("Observation?code:text=globin", ""),
            // Everything that does not have it, resources without any code too.
            ("Observation?code:not=718-7", "b panel text"),
            ("Observation?code:not=718-7,2345-7", "panel text"),
            // Components have a parameter of their own.
            ("Observation?code=8480-6", ""),
            ("Observation?component-code=8480-6", "panel"),
            ("Observation?combo-code=8480-6", "panel"),
            ("Observation?combo-code=85354-9", "panel"),
            ("Observation?status=final,amended", "a b c panel text"),
            (
                "Observation?status=http://hl7.org/fhir/observation-status|amended",
                "b",
            ),
            ("Observation?status:not=final", "b"),
            ("Observation?category:missing=true", "a b c panel text"),
            ("Observation?category:not=x", "a b c panel text"),
            ("Patient?active=true", "p1"),
            ("Patient?active=false", "p2"),
            ("Patient?active:missing=true", "p3 p4"),
            ("Patient?active:not=true", "p2 p3 p4"),
            ("Patient?deceased=true", "p2 p4"),
            ("Patient?deceased=false", "p1 p3"),
            // Two identifiers that differ in case only are both found.
            ("Patient?identifier=urn:mrn|abc1", "p1 p2"),
            ("Patient?identifier=abc1", "p1 p2"),
            ("Patient?identifier=|bare", "p1"),
            ("Patient?identifier=urn:mrn|", "p1 p2"),
            (
                "Patient?identifier:of-type=http://terminology.hl7.org/CodeSystem/v2-0203|MR|ABC1",
                "p1",
            ),
            // The type stands at another identifier.
            (
                "Patient?identifier:of-type=http://terminology.hl7.org/CodeSystem/v2-0203|MR|bare",
                "",
            ),
            ("Patient?identifier:text=journal", "p1 p2"),
            ("Patient?phone=22334455", "p1"),
            ("Patient?email=kari@example.org", "p1"),
            ("Patient?phone=kari@example.org", ""),
            ("Patient?telecom=22334455", "p1"),
            ("Patient?gender=female", "p1"),
            ("Patient?_tag=urn:t|x", "p4"),
            ("Patient?_tag:not=x", "p1 p2 p3"),
            ("Patient?_security=R", "p4"),
            ("Patient?_profile=http://p/one", "p4"),
            ("Patient?_profile=http://p/one|1.2.3", "p4"),
            ("Patient?_profile=http://p/one|1.2", ""),
            ("Patient?_profile:below=http://p/one|1.2", "p4"),
            ("Patient?_source=http://src/a", "p4"),
            ("Patient?_source:below=http://src", "p4"),
        ],
    )
    .await;
    refused(
        &world,
        &[
            ("Observation?code=|", 400, "value"),
            ("Observation?code=a|b|c", 400, "value"),
            ("Observation?code=a,", 400, "value"),
            ("Observation?code:exact=x", 400, "not-supported"),
            ("Observation?code:missing=1", 400, "value"),
            ("Patient?identifier:of-type=a|b", 400, "value"),
            ("Observation?code:below=718-7", 400, "value"),
        ],
    )
    .await;
}

#[tokio::test]
async fn references() {
    let world = World::new();
    for body in [
        patient(
            "1",
            json!({ "name": [{ "family": "Ås" }], "identifier": [{ "system": "urn:x", "value": "target" }] }),
        ),
        json!({ "resourceType": "Group", "id": "1", "type": "person", "actual": true }),
        observation(
            "rel",
            json!({ "subject": { "reference": "Patient/1", "display": "Kari Ås" } }),
        ),
        observation(
            "abs",
            json!({ "subject": { "reference": format!("{BASE}/sandbox/Patient/1") } }),
        ),
        observation(
            "ver",
            json!({ "subject": { "reference": "Patient/1/_history/1" } }),
        ),
        observation("grp", json!({ "subject": { "reference": "Group/1" } })),
        observation(
            "far",
            json!({ "subject": { "reference": "https://far.example/fhir/Patient/1" } }),
        ),
        observation(
            "log",
            json!({ "subject": { "identifier": { "system": "urn:x", "value": "Logical" } } }),
        ),
        observation(
            "urn",
            json!({ "subject": { "reference": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0" } }),
        ),
        observation(
            "con",
            json!({ "subject": { "reference": "#p" }, "contained": [{ "resourceType": "Patient", "id": "p" }] }),
        ),
        observation("dis", json!({ "subject": { "display": "somebody" } })),
        observation("not", json!({})),
    ] {
        put(&world, body).await;
    }
    table(
        &world,
        &[
            ("Observation?subject=Patient/1", "rel abs ver"),
            ("Observation?subject=1", "rel abs ver grp"),
            ("Observation?subject:Patient=1", "rel abs ver"),
            ("Observation?subject:Patient=Patient/1", "rel abs ver"),
            ("Observation?subject:Group=1", "grp"),
            ("Observation?patient=1", "rel abs ver"),
            (
                "Observation?subject=http://127.0.0.1:8080/fhir/sandbox/Patient/1",
                "rel abs ver",
            ),
            (
                "Observation?subject=https://far.example/fhir/Patient/1",
                "far",
            ),
            (
                "Observation?subject:Patient=https://far.example/fhir/Patient/1",
                "far",
            ),
            (
                "Observation?subject=urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0",
                "urn",
            ),
            ("Observation?subject=Patient/1/_history/7", "rel abs ver"),
            ("Observation?subject=patient/1", ""),
            ("Observation?subject=%23p", ""),
            ("Observation?subject=Patient/1,Group/1", "rel abs ver grp"),
            ("Observation?subject:identifier=urn:x|logical", "log"),
            ("Observation?subject:identifier=logical", "log"),
            // The identifier of the reference, not of its target.
            ("Observation?subject:identifier=target", ""),
            ("Observation?subject.identifier=target", "rel abs ver"),
            ("Observation?subject:text=kari", "rel"),
            ("Observation?subject:missing=true", "not"),
            (
                "Observation?subject:missing=false",
                "rel abs ver grp far log urn con dis",
            ),
        ],
    )
    .await;
    refused(
        &world,
        &[
            ("Observation?subject:Practitioner=1", 400, "value"),
            ("Observation?subject:Nonsense=1", 400, "not-supported"),
            ("Observation?subject:Patient=Group/1", 400, "value"),
            ("Observation?subject:Practitioner.name=x", 400, "value"),
            ("Observation?code.text=x", 400, "invalid"),
        ],
    )
    .await;
}

#[tokio::test]
async fn dates() {
    let world = World::new();
    let at = |id: &str, value: &str| observation(id, json!({ "effectiveDateTime": value }));
    for body in [
        at("y", "2020"),
        at("m", "2020-06"),
        at("d", "2020-06-15"),
        at("min", "2020-06-15T10:30:00Z"),
        at("ms", "2020-06-15T10:30:00.500Z"),
        // Twenty minutes before midnight in London, after it in Oslo.
        at("night", "2020-06-15T22:40:00Z"),
        at("off", "2020-06-16T05:00:00+09:00"),
        observation(
            "open",
            json!({ "effectivePeriod": { "start": "2020-06-10" } }),
        ),
        observation(
            "until",
            json!({ "effectivePeriod": { "end": "2020-06-20" } }),
        ),
        observation(
            "both",
            json!({ "effectivePeriod": { "start": "2020-06-14", "end": "2020-06-16" } }),
        ),
        observation("none", json!({})),
        // The day on which the clocks go back has 25 hours.
        at("dst", "2020-10-25T23:30:00+01:00"),
        patient("p", json!({ "birthDate": "1990-06-15" })),
        patient("q", json!({ "birthDate": "1990-06" })),
    ] {
        put(&world, body).await;
    }
    table(
        &world,
        &[
            ("Observation?date=2020", "y m d min ms night off both dst"),
            ("Observation?date=2020-06", "m d min ms night off both"),
            ("Observation?date=2020-06-15", "d min ms off"),
            ("Observation?date=eq2020-06-16", "night"),
            ("Observation?date=2020-10-25", "dst"),
            ("Observation?date=2020-06-15T10:30:00Z", "min ms"),
            ("Observation?date=2020-06-15T10:30Z", "min ms"),
            ("Observation?date=2020-06-15T12:30:00%2B02:00", "min ms"),
            // A client that forgot to encode its plus.
            ("Observation?date=2020-06-15T12:30:00+02:00", "min ms"),
            ("Observation?date=2020-06-15T10:30:00.500Z", "ms"),
            ("Observation?date=ne2020-06", "y open until dst"),
            ("Observation?date=gt2020-06-15", "y m night open until both dst"),
            ("Observation?date=lt2020-06-15", "y m open until both"),
            ("Observation?date=ge2020-06-15", "y m d min ms night off open until both dst"),
            ("Observation?date=le2020-06-15", "y m d min ms off open until both"),
            ("Observation?date=sa2020-06-15", "night dst"),
            ("Observation?date=eb2020-06-15", ""),
            ("Observation?date=eb2020-06-17", "d min ms night off both"),
            ("Observation?date=sa2019", "y m d min ms night off open both dst"),
            ("Observation?date=ap2020-06-15", "y m d min ms night off open until both"),
            ("Observation?date=2020-06,2020-10", "m d min ms night off both dst"),
            ("Observation?date:missing=true", "none"),
            ("Patient?birthdate=1990-06-15", "p"),
            ("Patient?birthdate=1990-06", "p q"),
            ("Patient?birthdate=lt1990-06-15", "q"),
            ("Patient?birthdate=1990-06-16,1990-06-15", "p"),
            ("Patient?_lastUpdated=gt2020-01-01", "p q"),
            ("Patient?_lastUpdated=lt2020-01-01", ""),
            ("Patient?_lastUpdated=ne2020", "p q"),
            ("Patient?_lastUpdated=sa2020,eb2019", "p q"),
            ("Patient?_lastUpdated:missing=true", ""),
            // A day by its bounds, for points in time.
            (
                "Observation?date=ge2020-06-15&date=lt2020-06-16&date=sa2020-06-14&date=eb2020-06-17",
                "d min ms off",
            ),
        ],
    )
    .await;
    for value in [
        "1973-02-30",
        "2020-13",
        "2020-06-15T25:00:00Z",
        "2020-06-15T24:00:00Z",
        "2020-06-15T10:30:00.12345678901234567890Z",
        "***",
        "gt",
        "xx2020",
        "20",
        "2020-6-1",
        "2020-06-15T10",
        "eqeq2020",
    ] {
        refused(
            &world,
            &[(&format!("Observation?date={value}"), 400, "value")],
        )
        .await;
        refused(
            &world,
            &[(&format!("Patient?_lastUpdated={value}"), 400, "value")],
        )
        .await;
    }
    refused(
        &world,
        &[("Observation?date:exact=2020", 400, "not-supported")],
    )
    .await;
}

#[tokio::test]
async fn numbers_and_quantities() {
    let world = World::new();
    let value = |id: &str, v: &str, system: Option<&str>, code: &str, comparator: Option<&str>| {
        let mut q = json!({ "value": "NUMBER", "unit": code });
        if let Some(system) = system {
            q["system"] = json!(system);
            q["code"] = json!(code);
        }
        if let Some(c) = comparator {
            q["comparator"] = json!(c);
        }
        let text = observation(id, json!({ "valueQuantity": q })).to_string();
        text.replace("\"NUMBER\"", v)
    };
    const UCUM: &str = "http://unitsofmeasure.org";
    for (id, body) in [
        ("g", value("g", "0.0054", Some(UCUM), "g", None)),
        ("mg", value("mg", "5.4", Some(UCUM), "mg", None)),
        ("mg2", value("mg2", "5.44", Some(UCUM), "mg", None)),
        ("kg", value("kg", "80", Some(UCUM), "kg", None)),
        ("raw", value("raw", "5.4", None, "mg", None)),
        ("own", value("own", "5.4", Some("urn:units"), "mg", None)),
        ("less", value("less", "3", Some(UCUM), "mg", Some("<"))),
        ("more", value("more", "90", Some(UCUM), "kg", Some(">"))),
    ] {
        let reply = send(
            &world.sandbox,
            "PUT",
            &format!("Observation/{id}"),
            &[],
            &body,
        )
        .await;
        assert_eq!(reply.status, 201, "{}", reply.text());
    }
    put(&world, observation("none", json!({}))).await;
    for (id, probability) in [("r1", json!(0.5)), ("r2", json!(0.05)), ("r3", json!(100))] {
        put(
            &world,
            json!({ "resourceType": "RiskAssessment", "id": id, "status": "final", "subject": { "reference": "Patient/1" },
                "prediction": [{ "probabilityDecimal": probability }] }),
        )
        .await;
    }
    table(
        &world,
        &[
            (
                "Observation?value-quantity=5.4|http://unitsofmeasure.org|mg",
                "g mg mg2",
            ),
            (
                "Observation?value-quantity=5.40|http://unitsofmeasure.org|mg",
                "g mg",
            ),
            (
                "Observation?value-quantity=0.0054|http://unitsofmeasure.org|g",
                "g mg mg2",
            ),
            ("Observation?value-quantity=5.4||mg", "mg mg2 raw own"),
            ("Observation?value-quantity=5.4", "mg mg2 raw own"),
            ("Observation?value-quantity=5.4|urn:units|mg", "own"),
            ("Observation?value-quantity=5.4|urn:units|", "own"),
            (
                "Observation?value-quantity=gt5.4|http://unitsofmeasure.org|mg",
                "mg2 kg more",
            ),
            (
                "Observation?value-quantity=ge5.4|http://unitsofmeasure.org|mg",
                "g mg mg2 kg more",
            ),
            (
                "Observation?value-quantity=lt5.4|http://unitsofmeasure.org|mg",
                "less",
            ),
            (
                "Observation?value-quantity=le5.4|http://unitsofmeasure.org|mg",
                "g mg less",
            ),
            (
                "Observation?value-quantity=sa80|http://unitsofmeasure.org|kg",
                "more",
            ),
            (
                "Observation?value-quantity=eb4|http://unitsofmeasure.org|mg",
                "less",
            ),
            (
                "Observation?value-quantity=ap5|http://unitsofmeasure.org|mg",
                "g mg mg2",
            ),
            (
                "Observation?value-quantity=ne5.4|http://unitsofmeasure.org|mg",
                "kg less more",
            ),
            ("Observation?value-quantity=8e1", "kg"),
            ("Observation?value-quantity=8E1||kg", "kg"),
            ("Observation?value-quantity:missing=true", "none"),
            ("RiskAssessment?probability=0.5", "r1"),
            ("RiskAssessment?probability=5e-1", "r1"),
            // 100 is 99.5 to 100.5; 1e2 is 95 to 105.
            ("RiskAssessment?probability=100", "r3"),
            ("RiskAssessment?probability=1e2", "r3"),
            ("RiskAssessment?probability=98", ""),
            ("RiskAssessment?probability=1.0e2", "r3"),
            ("RiskAssessment?probability=gt0.05", "r1 r3"),
            ("RiskAssessment?probability=ge0.05", "r1 r2 r3"),
            ("RiskAssessment?probability=lt0.5", "r2"),
            ("RiskAssessment?probability=ne0.5", "r2 r3"),
            ("RiskAssessment?probability=ap0.46", "r1"),
            ("RiskAssessment?probability=0.5,0.05", "r1 r2"),
        ],
    )
    .await;
    refused(
        &world,
        &[
            ("RiskAssessment?probability=abc", 400, "value"),
            ("RiskAssessment?probability=gt", 400, "value"),
            ("Observation?value-quantity=5.4|mg", 400, "value"),
            ("Observation?value-quantity=a|b|c", 400, "value"),
            ("Observation?value-quantity:exact=5", 400, "not-supported"),
        ],
    )
    .await;
}

#[tokio::test]
async fn uris_composites_and_places() {
    let world = World::new();
    let vs = |id: &str, url: &str| json!({ "resourceType": "ValueSet", "id": id, "status": "active", "url": url });
    for body in [
        vs("a", "http://x.org/fhir/a"),
        vs("ab", "http://x.org/fhir/a/b"),
        vs("abc", "http://x.org/fhir/abc"),
        vs("urn", "urn:oid:1.2.3"),
        observation(
            "bp",
            json!({ "code": loinc("85354-9"), "component": [
            { "code": loinc("8480-6"), "valueQuantity": { "value": 150, "system": "http://unitsofmeasure.org", "code": "mm[Hg]" } },
            { "code": loinc("8462-4"), "valueQuantity": { "value": 80, "system": "http://unitsofmeasure.org", "code": "mm[Hg]" } }] }),
        ),
        observation(
            "hb",
            json!({ "code": loinc("718-7"), "valueQuantity": { "value": 14, "unit": "g/dL" }, "effectiveDateTime": "2020-06-15" }),
        ),
        observation(
            "st",
            json!({ "code": loinc("5778-6"), "valueString": "Yellow" }),
        ),
        observation(
            "cc",
            json!({ "code": loinc("883-9"), "valueCodeableConcept": { "coding": [{ "system": "urn:b", "code": "A" }] } }),
        ),
        json!({ "resourceType": "Location", "id": "oslo", "position": { "latitude": 59.91, "longitude": 10.75 } }),
        json!({ "resourceType": "Location", "id": "bergen", "position": { "latitude": 60.39, "longitude": 5.32 } }),
        json!({ "resourceType": "Location", "id": "nowhere" }),
    ] {
        put(&world, body).await;
    }
    table(
        &world,
        &[
            ("ValueSet?url=http://x.org/fhir/a", "a"),
            ("ValueSet?url=HTTP://x.org/fhir/a", ""),
            ("ValueSet?url=http://x.org/fhir", ""),
            ("ValueSet?url:below=http://x.org/fhir/a", "a ab"),
            ("ValueSet?url:below=http://x.org/fhir/", "a ab abc"),
            ("ValueSet?url:above=http://x.org/fhir/a/b/c", "a ab"),
            // Only hierarchical addresses have an above and a below.
            ("ValueSet?url:below=urn:oid:1.2", ""),
            ("ValueSet?url:below=urn", ""),
            ("ValueSet?url:contains=fhir/a", "a ab abc"),
            ("ValueSet?url=urn:oid:1.2.3", "urn"),
            ("ValueSet?url:missing=false", "a ab abc urn"),
            ("Observation?component-code-value-quantity=http://loinc.org|8480-6$gt140", "bp"),
            // Code and value stand in different components.
            ("Observation?component-code-value-quantity=http://loinc.org|8462-4$gt140", ""),
            ("Observation?component-code-value-quantity=8480-6$150|http://unitsofmeasure.org|mm[Hg]", "bp"),
            ("Observation?combo-code-value-quantity=8462-4$lt90", "bp"),
            ("Observation?code-value-quantity=718-7$14", "hb"),
            ("Observation?code-value-quantity=718-7$lt14,718-7$ge14", "hb"),
            ("Observation?code-value-string=5778-6$yel", "st"),
            ("Observation?code-value-concept=883-9$urn:b|A", "cc"),
            ("Observation?code-value-date=718-7$2020", ""),
            ("Observation?code-value-quantity:missing=true", "bp st cc"),
            ("Location?near=59.91|10.75|10|km", "oslo"),
            ("Location?near=59.91|10.75|10000|m", "oslo"),
            ("Location?near=59.91|10.75|500|km", "oslo bergen"),
            ("Location?near=59.91|10.75", "oslo"),
            // Latitude comes first.
            ("Location?near=10.75|59.91|500|km", ""),
            ("Location?near:missing=true", "nowhere"),
        ],
    )
    .await;
    refused(
        &world,
        &[
            ("Observation?code-value-quantity=718-7", 400, "value"),
            ("Observation?code-value-quantity=718-7$", 400, "value"),
            ("Observation?code-value-quantity=718-7$1$2", 400, "value"),
            (
                "Observation?code-value-quantity:exact=718-7$1",
                400,
                "not-supported",
            ),
            ("Location?near=a|b", 400, "value"),
            ("Location?near=95|10|1|km", 400, "value"),
            ("Location?near=59|10|1|parsec", 400, "value"),
            ("ValueSet?url:exact=x", 400, "not-supported"),
        ],
    )
    .await;
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

#[tokio::test]
async fn chains_and_has() {
    let world = World::new();
    clinic(&world).await;
    table(
        &world,
        &[
            ("Observation?subject:Patient.name=bever", "o1 o2"),
            ("Observation?patient.name=bever", "o1 o2"),
            ("Observation?subject:Group.type=person", "o4"),
            // Only Patient has the next parameter, so the type may be left out.
            ("Observation?subject.family=elg", "o3"),
            ("Observation?subject.identifier:missing=true", "o1 o2 o3 o4"),
            ("Observation?patient.gender=female", "o1 o2"),
            ("Observation?patient.gender:missing=true", "o3"),
            ("Observation?patient.gender:not=female", "o3"),
            ("Observation?patient._id=kari", "o1 o2"),
            ("Observation?patient.name:exact=Elg", "o3"),
            ("Observation?patient.organization.name=granfjell", "o3"),
            ("Observation?patient.organization.partof.name=granfjell", "o1 o2"),
            ("Observation?encounter.patient.organization.partof.name=gran", "o1"),
            ("Observation?has-member.patient.name=bever", "o5"),
            ("Observation?code=718-7&patient.name=bever", "o1"),
            ("Observation?patient.name=bever,elg", "o1 o2 o3"),
            // Two chains through the same parameter stand for themselves.
            ("Observation?patient.name=bever&patient.gender=female", "o1 o2"),
            ("Observation?patient.name=bever&patient.name=elg", ""),
            ("Patient?_has:Observation:patient:code=718-7", "kari ola"),
            ("Patient?_has:Observation:patient:code=2345-7", "kari"),
            ("Patient?_has:Observation:patient:code=2345-7,718-7", "kari ola"),
            ("Patient?_has:Observation:patient:code=718-7&_has:Observation:patient:code=2345-7", "kari"),
            ("Patient?_has:Observation:patient:status:not=final", "kari ola"),
            ("Patient?_has:Observation:patient:encounter.class=AMB", "kari"),
            ("Practitioner?_has:Patient:general-practitioner:_has:Observation:patient:code=718-7", "dr"),
            ("Practitioner?_has:Patient:general-practitioner:_has:Observation:patient:code=none", ""),
            ("Organization?_has:Patient:organization:name=elg", "org"),
            ("Encounter?subject._has:Observation:patient:code=2345-7", "e1"),
            ("Observation?subject:Patient._has:Observation:patient:code=2345-7", "o1 o2"),
            ("Patient?_has:Observation:patient:_id=o3", "ola"),
        ],
    )
    .await;
    refused(
        &world,
        &[
            ("Observation?subject.nonsense=1", 400, "not-supported"),
            (
                "Observation?patient.organization.partof.partof.partof.partof.name=x",
                400,
                "too-costly",
            ),
            ("Patient?_has:Observation:patient", 400, "invalid"),
            ("Patient?_has:Nonsense:patient:code=1", 400, "value"),
            (
                "Patient?_has:Observation:nonsense:code=1",
                400,
                "not-supported",
            ),
            ("Patient?_has:Observation:encounter:code=1", 400, "value"),
            (
                "Patient?_has:Observation:patient:nonsense=1",
                400,
                "not-supported",
            ),
            (
                "Patient?_has:Observation:patient:code:missing=x",
                400,
                "value",
            ),
        ],
    )
    .await;
    // Only what is there now is followed.
    let gone = send(&world.sandbox, "DELETE", "Patient/ola", &[], "").await;
    assert!(gone.status < 300, "{}", gone.text());
    table(
        &world,
        &[
            ("Observation?patient.name=elg", ""),
            ("Organization?_has:Patient:organization:name=elg", ""),
            ("Observation?patient=Patient/ola", "o3"),
        ],
    )
    .await;
}

#[tokio::test]
async fn includes() {
    let world = World::new();
    clinic(&world).await;
    let with = |query: &'static str| {
        let world = &world;
        async move {
            let reply = get(&world.sandbox, &address(query)).await;
            assert_eq!(reply.status, 200, "{query}: {}", reply.text());
            let (mut matches, mut included) = (reply.ids("match"), reply.ids("include"));
            matches.sort();
            included.sort();
            let all: std::collections::BTreeSet<&String> =
                matches.iter().chain(&included).collect();
            assert_eq!(all.len(), matches.len() + included.len(), "{query}: twice");
            assert_eq!(reply.json()["total"], matches.len() as u64, "{query}");
            included.join(" ")
        }
    };
    for (query, expected) in [
        (
            "Observation?_id=o1&_include=Observation:subject",
            "Patient/kari",
        ),
        (
            "Observation?_id=o1&_include=Observation:patient",
            "Patient/kari",
        ),
        // A versioned reference leads to what is there now.
        (
            "Observation?_id=o2&_include=Observation:subject",
            "Patient/kari",
        ),
        (
            "Observation?_id=o4&_include=Observation:subject:Patient",
            "",
        ),
        (
            "Observation?_id=o4&_include=Observation:subject:Group",
            "Group/grp",
        ),
        // What is not there is not included.
        ("Observation?_id=o5&_include=Observation:subject", ""),
        (
            "Observation?_id=o1&_include=Observation:*",
            "Encounter/e1 Patient/kari Practitioner/dr",
        ),
        (
            "Observation?_id=o1&_include=*",
            "Encounter/e1 Patient/kari Practitioner/dr",
        ),
        ("Observation?_id=o1&_include=Patient:organization", ""),
        (
            "Observation?_id=o1&_include=Observation:subject&_include=Patient:organization",
            "Patient/kari",
        ),
        (
            "Observation?_id=o1&_include=Observation:subject&_include:iterate=Patient:organization",
            "Organization/part Patient/kari",
        ),
        (
            "Observation?_id=o1&_include:iterate=Organization:partof&_include:iterate=Patient:organization&_include=Observation:subject",
            "Organization/org Organization/part Patient/kari",
        ),
        (
            "Observation?_id=o1&_include=Observation:subject&_include:recurse=Patient:organization",
            "Organization/part Patient/kari",
        ),
        ("Patient?_id=self&_include=Patient:link", ""),
        ("Patient?_id=self&_include:iterate=Patient:link", ""),
        (
            "Patient?_id=kari&_revinclude=Observation:subject",
            "Observation/o1 Observation/o2",
        ),
        (
            "Patient?_id=kari&_revinclude=Observation:subject&_revinclude=Encounter:subject",
            "Encounter/e1 Observation/o1 Observation/o2",
        ),
        (
            "Patient?_id=kari&_revinclude=*",
            "Encounter/e1 Observation/o1 Observation/o2",
        ),
        (
            "Organization?_id=org&_revinclude:iterate=Organization:partof&_revinclude:iterate=Patient:organization",
            "Organization/part Patient/kari Patient/ola",
        ),
        // A match is not included again.
        ("Observation?_include=Observation:has-member", ""),
        (
            "Observation?_id=o1&_include=Observation:subject&_include=Observation:patient",
            "Patient/kari",
        ),
        (
            "Observation?_id=o1&_include=Observation:subject&_summary=text",
            "",
        ),
        (
            "Observation?_id=o1&_include=Observation:subject&_summary=data",
            "Patient/kari",
        ),
    ] {
        assert_eq!(with(query).await, expected, "{query}");
    }
    refused(
        &world,
        &[
            (
                "Observation?_include=Observation:nonsense",
                400,
                "not-supported",
            ),
            (
                "Observation?_include=Observation:code",
                400,
                "not-supported",
            ),
            ("Observation?_include=Nonsense:subject", 400, "value"),
            (
                "Observation?_include=Observation:subject:Nonsense",
                400,
                "value",
            ),
            ("Observation?_include=Observation", 400, "value"),
            (
                "Observation?_include:exact=Observation:subject",
                400,
                "not-supported",
            ),
        ],
    )
    .await;
    // Includes are of the page's matches, and do not end the paging.
    let first = get(
        &world.sandbox,
        "Observation?_count=1&_sort=_id&_include=Observation:subject",
    )
    .await;
    assert_eq!(first.ids("match"), ["Observation/o1"]);
    assert_eq!(first.ids("include"), ["Patient/kari"]);
    let all = walked(
        &world,
        "Observation?_count=1&_sort=_id&_include=Observation:subject",
    )
    .await;
    assert_eq!(all, ["o1", "o2", "o3", "o4", "o5"]);
}

#[tokio::test]
async fn sorts_in_every_order() {
    let world = World::new();
    for body in [
        patient(
            "a",
            json!({ "name": [{ "family": "Åsen" }], "birthDate": "1980", "gender": "male" }),
        ),
        patient(
            "b",
            json!({ "name": [{ "family": "bever" }, { "family": "Zorn" }], "birthDate": "1980-05-05", "gender": "female" }),
        ),
        patient(
            "c",
            json!({ "name": [{ "family": "Elg" }], "birthDate": "1975-01-01", "gender": "male" }),
        ),
        patient("d", json!({ "gender": "female" })),
        patient(
            "e",
            json!({ "birthDate": "1990", "name": [{ "family": "elg" }] }),
        ),
    ] {
        put(&world, body).await;
    }
    for (id, value, unit) in [("x", 2.0, "kg"), ("y", 500.0, "g"), ("z", 1.0, "kg")] {
        put(
            &world,
            observation(id, json!({ "valueQuantity": { "value": value, "system": "http://unitsofmeasure.org", "code": unit }, "subject": { "reference": format!("Patient/{}", if id == "x" { "b" } else { "a" }) } })),
        )
        .await;
    }
    put(&world, observation("w", json!({}))).await;
    for (query, expected) in [
        ("Patient?_sort=family", "a b c e d"),
        // Of several values the largest counts, and who has none comes last here too.
        ("Patient?_sort=-family", "b e c a d"),
        ("Patient?_sort=birthdate", "c a b e d"),
        ("Patient?_sort=-birthdate", "e a b c d"),
        ("Patient?_sort=gender,-_id", "d b c a e"),
        ("Patient?_sort=-gender,_id", "a c b d e"),
        ("Patient?_sort=gender,-birthdate", "b d a c e"),
        ("Patient?_sort=_id", "a b c d e"),
        ("Patient?_sort=-_id", "e d c b a"),
        ("Patient?_sort=_lastUpdated", "a b c d e"),
        ("Patient?_sort=-_lastUpdated", "e d c b a"),
        // In one unit.
        ("Observation?_sort=value-quantity", "y z x w"),
        ("Observation?_sort=-value-quantity", "x z y w"),
        ("Observation?_sort=subject,_id", "y z x w"),
        ("Observation?_sort=-subject,-_id", "x z y w"),
        (
            "Observation?_sort=-subject,-_id&subject:missing=false",
            "x z y",
        ),
    ] {
        assert_eq!(ordered(&world, query).await, expected, "{query}");
        // The same page by page, with any page size.
        for count in 1..6 {
            let paged = walked(&world, &format!("{query}&_count={count}"))
                .await
                .join(" ");
            assert_eq!(paged, expected, "{query} by {count}");
        }
    }
    refused(
        &world,
        &[
            ("Patient?_sort=nonsense", 400, "not-supported"),
            ("Patient?_sort=family,,gender", 400, "value"),
            ("Patient?_sort=", 400, "value"),
            ("Patient?_sort=family&_sort=gender", 400, "invalid"),
            (
                "Observation?_sort=code-value-quantity",
                400,
                "not-supported",
            ),
        ],
    )
    .await;
    let lenient = send(
        &world.sandbox,
        "GET",
        "Patient?_sort=nonsense",
        &[("prefer", "handling=lenient")],
        "",
    )
    .await;
    assert_eq!(lenient.ids("match").len(), 5);
    assert_eq!(lenient.ids("outcome").len(), 1);
    assert!(!lenient.link("self").unwrap().contains("nonsense"));
}

#[tokio::test]
async fn common_parameters_and_filters() {
    let world = World::new();
    clinic(&world).await;
    put(&world, json!({ "resourceType": "List", "id": "l1", "status": "current", "mode": "changes", "entry": [
        { "item": { "reference": "Patient/kari" } }, { "item": { "reference": "Observation/o1" } },
        { "item": { "reference": "Patient/ola" }, "deleted": true }, { "item": { "reference": "Patient/nobody" } }] })).await;
    put(&world, patient("told", json!({ "gender": "male", "birthDate": "1990-05-05", "text": { "status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">Bor i <b>Trondheim</b></div>" }, "name": [{ "family": "Sagt, med komma" }] }))).await;
    table(
        &world,
        &[
            ("Patient?_id=kari,ola,kari,nobody", "kari ola"),
            ("Patient?_id=KARI", ""),
            ("Patient?_id=a/b", ""),
            ("Patient?_list=l1", "kari"),
            ("Observation?_list=l1", "o1"),
            ("Patient?_list=none", ""),
            ("Patient?_text=trondheim", "told"),
            ("Patient?_text=trond bor", "told"),
            ("Patient?_text=heim", ""),
            ("Patient?_text=sagt", ""),
            ("Patient?_content=sagt", "told"),
            ("Patient?_content=bever,sagt", "kari told"),
            ("?_type=Patient,Observation&_id=kari,o1", "kari o1"),
            ("?_id=kari", "kari"),
            ("Patient?family=Sagt\\, med", "told"),
            ("Patient?_filter=family eq \"bever\"", "kari"),
            ("Patient?_filter=family eq \"beve\"", ""),
            ("Patient?_filter=family sw \"beve\"", "kari"),
            ("Patient?_filter=family co \"eve\"", "kari"),
            ("Patient?_filter=family eq \"Sagt, med komma\"", "told"),
            (
                "Patient?_filter=family eq \"bever\" or family eq \"elg\"",
                "kari ola",
            ),
            (
                "Patient?_filter=(family eq \"bever\" or family eq \"elg\") and gender eq female",
                "kari",
            ),
            ("Patient?_filter=not (family eq \"bever\")", "ola self told"),
            ("Patient?_filter=gender ne female", "told"),
            ("Patient?_filter=gender pr true", "kari told"),
            ("Patient?_filter=gender pr false", "ola self"),
            (
                "Patient?_filter=birthdate ge 1990-05-05 and birthdate lt 1991",
                "told",
            ),
            (
                "Observation?_filter=code eq http://loinc.org|718-7 and patient.name sw \"bev\"",
                "o1",
            ),
            (
                "Observation?_filter=subject re Patient/kari and status ne final",
                "o2",
            ),
            ("Patient?_filter=_id eq kari&gender=female", "kari"),
        ],
    )
    .await;
    refused(
        &world,
        &[
            ("Patient?_id=", 400, "value"),
            ("Patient?_id:exact=x", 400, "not-supported"),
            ("Patient?_list=$current-allergies", 400, "not-supported"),
            ("Patient?_text=", 400, "value"),
            ("Patient?_query=x", 400, "not-supported"),
            ("Patient?_contained=true", 400, "not-supported"),
            ("Patient?_containedType=container", 400, "not-supported"),
            ("Patient?_offset=3", 400, "not-supported"),
            ("Patient?_filter=family", 400, "invalid"),
            ("Patient?_filter=family eq", 400, "invalid"),
            ("Patient?_filter=(family eq x", 400, "invalid"),
            ("Patient?_filter=nonsense eq x", 400, "not-supported"),
            ("Patient?_filter=family gt x", 400, "not-supported"),
            ("Patient?_filter=birthdate eq x", 400, "value"),
            ("?_type=", 400, "value"),
            ("?_type=Nonsense", 400, "value"),
            ("?_type=Patient,Observation&family=x", 400, "not-supported"),
            ("Patient?_count=-1", 400, "value"),
            ("Patient?_count=x", 400, "value"),
            ("Patient?_count=1.5", 400, "value"),
            ("Patient?_count=1&_count=1", 400, "invalid"),
            ("Patient?_total=many", 400, "value"),
            ("Patient?_total=none&_total=none", 400, "invalid"),
            ("Patient?_summary=maybe", 400, "value"),
            ("Patient?_summary=true&_summary=true", 400, "invalid"),
            ("Patient?_elements=gender&_summary=true", 400, "invalid"),
            ("Patient?_elements=nonsense", 400, "value"),
            ("Patient?_elements=gender&_elements=name", 400, "invalid"),
            ("Patient?_page=made-up", 400, "invalid"),
        ],
    )
    .await;
    let many = |n: usize, with: &str| format!("Patient?{}", vec![with; n].join("&"));
    refused(
        &world,
        &[
            (&many(101, "family=a"), 400, "too-costly"),
            (
                &format!("Patient?family={}", vec!["a"; 1_001].join(",")),
                400,
                "too-costly",
            ),
            (
                &format!("Patient?_id={}", vec!["a"; 1_001].join(",")),
                400,
                "too-costly",
            ),
        ],
    )
    .await;
    let lenient = |query: &str| {
        let (world, query) = (&world, address(query));
        async move {
            send(
                &world.sandbox,
                "GET",
                &query,
                &[("prefer", "handling=lenient")],
                "",
            )
            .await
        }
    };
    for (query, left) in [
        ("Patient?_contained=true&family=bever", 1),
        ("Patient?family:not=x&family=bever", 1),
        ("Patient?_include=Patient:nonsense&family=bever", 1),
        ("?_type=Patient,Nonsense&_id=kari", 1),
        ("Patient?_elements=nonsense&family=bever", 0),
    ] {
        let reply = lenient(query).await;
        assert_eq!(reply.status, 200, "{query}: {}", reply.text());
        assert_eq!(reply.ids("match"), ["Patient/kari"], "{query}");
        assert_eq!(reply.ids("outcome").len(), left, "{query}");
        let own = reply.link("self").unwrap();
        assert!(
            !own.contains("contained") && !own.contains("nonsense") || left == 0,
            "{own}"
        );
    }
}

#[tokio::test]
async fn bundles_totals_and_subsets() {
    let world = World::new();
    for n in 0..10 {
        put(&world, patient(&format!("p{n}"), json!({ "gender": "male", "birthDate": "1980", "name": [{ "family": "Rad" }], "text": { "status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>" } }))).await;
    }
    let read = |query: &str| {
        let (world, query) = (&world, query.to_owned());
        async move { get(&world.sandbox, &query).await }
    };
    // The last page, exactly full, leads nowhere.
    let full = read("Patient?_count=10").await;
    assert_eq!(full.ids("match").len(), 10);
    assert!(full.link("next").is_none());
    for query in [
        "Patient?_count=5",
        "Patient?_count=5&_total=none",
        "Patient?_count=5&_sort=family",
        "Patient?_count=5&_total=accurate",
    ] {
        assert_eq!(walked(&world, query).await.len(), 10, "{query}");
        let first = read(query).await;
        let second = read(&first.link("next").unwrap()).await;
        assert_eq!(first.json()["total"], second.json()["total"], "{query}");
        assert!(second.link("next").is_none(), "{query}");
    }
    let none = read("Patient?_total=none").await.json();
    assert!(none.get("total").is_none());
    assert_eq!(read("Patient?_total=estimate").await.json()["total"], 10);
    assert_eq!(read("Patient?_count=3").await.json()["total"], 10);
    for query in [
        "Patient?_summary=count",
        "Patient?_count=0",
        "Patient?_summary=count&_total=none",
    ] {
        let reply = read(query).await.json();
        assert_eq!(reply["total"], 10, "{query}");
        assert!(reply.get("entry").is_none(), "{query}");
        assert_eq!(reply["type"], "searchset");
    }
    let empty = read("Patient?family=nobody").await.json();
    assert_eq!(empty["total"], 0);
    assert!(empty.get("entry").is_none());
    // The self link tells what was done.
    let clamped = read("Patient?_count=5000&family=rad").await;
    let own = clamped.link("self").unwrap();
    assert!(
        own.contains("_count=1000") && own.contains("family=rad"),
        "{own}"
    );
    assert!(
        read("Patient")
            .await
            .link("self")
            .unwrap()
            .contains("_count=50")
    );
    let huge = read("Patient?_count=99999999999999999999999").await;
    assert!(huge.link("self").unwrap().contains("_count=1000"));
    for entry in clamped.json()["entry"].as_array().unwrap() {
        assert_eq!(
            entry["fullUrl"],
            format!(
                "{BASE}/sandbox/Patient/{}",
                entry["resource"]["id"].as_str().unwrap()
            )
        );
        assert_eq!(entry["search"]["mode"], "match");
    }
    // Posted and in the address together.
    let posted = send(
        &world.sandbox,
        "POST",
        "Patient/_search?gender=male",
        &[("content-type", "application/x-www-form-urlencoded")],
        "family=rad&_id=p1,p2",
    )
    .await;
    assert_eq!(posted.ids("match"), ["Patient/p1", "Patient/p2"]);
    let posted = send(
        &world.sandbox,
        "POST",
        "_search",
        &[("content-type", "application/x-www-form-urlencoded")],
        "_type=Patient&_id=p3",
    )
    .await;
    assert_eq!(posted.ids("match"), ["Patient/p3"]);
    let twice = send(
        &world.sandbox,
        "POST",
        "Patient/_search?_count=1",
        &[("content-type", "application/x-www-form-urlencoded")],
        "_count=2",
    )
    .await;
    assert_eq!(twice.status, 400);
    // Subsets.
    let of = |query: &str| {
        let (world, query) = (&world, query.to_owned());
        async move { get(&world.sandbox, &query).await.json()["entry"][0]["resource"].clone() }
    };
    let text = of("Patient?_id=p1&_summary=text").await;
    assert!(
        text.get("text").is_some()
            && text.get("gender").is_none()
            && text.get("id").is_some()
            && text.get("meta").is_some()
    );
    let data = of("Patient?_id=p1&_summary=data").await;
    assert!(data.get("text").is_none() && data.get("gender").is_some());
    let summary = of("Patient?_id=p1&_summary=true").await;
    assert!(summary.get("text").is_none() && summary.get("gender").is_some());
    let elements = of("Patient?_id=p1&_elements=gender,birthDate").await;
    assert!(
        elements.get("name").is_none()
            && elements.get("birthDate").is_some()
            && elements.get("id").is_some()
    );
    for part in [&text, &data, &summary, &elements] {
        assert_eq!(part["meta"]["tag"][0]["code"], "SUBSETTED", "{part}");
    }
    let whole = of("Patient?_id=p1&_summary=false").await;
    assert!(whole["meta"].get("tag").is_none() && whole.get("text").is_some());
}

#[tokio::test]
async fn compartments() {
    let world = World::new();
    clinic(&world).await;
    table(
        &world,
        &[
            ("Patient/kari/Observation", "o1 o2"),
            ("Patient/kari/Observation?code=718-7", "o1"),
            ("Patient/kari/*", "e1 o1 o2"),
            ("Patient/kari/*?_type=Observation,Encounter", "e1 o1 o2"),
            ("Patient/nobody/Observation", ""),
            ("Practitioner/dr/Observation", "o1"),
            ("Encounter/e1/Observation", "o1"),
            ("Patient/kari/Group", ""),
        ],
    )
    .await;
    for query in [
        "Organization/org/Patient",
        "Patient/kari/Nonsense",
        "Patient/kari/Organization",
    ] {
        assert_eq!(get(&world.sandbox, query).await.status, 404, "{query}");
    }
}

/// A page walk sees its snapshot, whatever is written meanwhile, and each match once.
#[tokio::test]
async fn pages_stand_still_while_the_store_moves() {
    let world = World::new();
    for n in 0..30 {
        put(&world, patient(&format!("p{n:02}"), json!({ "gender": if n % 3 == 0 { "male" } else { "female" }, "birthDate": format!("19{:02}", 50 + n % 7), "name": [{ "family": format!("Navn{}", n % 5) }] }))).await;
    }
    let wanted: Vec<String> = find(&world, "Patient?gender=female&_count=100").await;
    for query in [
        "Patient?gender=female&_count=4",
        "Patient?gender=female&_sort=-birthdate,family&_count=4",
        "Patient?gender=female&_sort=family&_count=3",
        "Patient?gender:not=male&_count=7",
        "?_type=Patient&_tag:missing=true&_count=9",
    ] {
        let mut ids = Vec::new();
        let mut next = Some(address(query));
        let mut round = 0;
        while let Some(link) = next {
            let reply = get(&world.sandbox, &link).await;
            assert_eq!(reply.status, 200, "{query}: {}", reply.text());
            ids.extend(
                reply
                    .ids("match")
                    .iter()
                    .map(|i| i.split_once('/').unwrap().1.to_owned()),
            );
            next = reply.link("next");
            // Changed, deleted, new: nothing of it shows.
            put(
                &world,
                patient(&format!("p{:02}", round % 30), json!({ "gender": "male" })),
            )
            .await;
            put(
                &world,
                patient(&format!("new{round}"), json!({ "gender": "female" })),
            )
            .await;
            send(
                &world.sandbox,
                "DELETE",
                &format!("Patient/p{:02}", 29 - round),
                &[],
                "",
            )
            .await;
            round += 1;
        }
        ids.sort();
        if query.contains("gender") {
            assert_eq!(ids, wanted, "{query}");
        }
        let mut unique = ids.clone();
        unique.dedup();
        assert_eq!(unique, ids, "{query}");
        // As it was.
        for n in 0..30 {
            put(&world, patient(&format!("p{n:02}"), json!({ "gender": if n % 3 == 0 { "male" } else { "female" }, "birthDate": format!("19{:02}", 50 + n % 7), "name": [{ "family": format!("Navn{}", n % 5) }] }))).await;
        }
        for n in 0..round {
            send(
                &world.sandbox,
                "DELETE",
                &format!("Patient/new{n}"),
                &[],
                "",
            )
            .await;
        }
    }
}

/// More matches than are read at once: the page is made without reading them all, and nothing is lost.
#[tokio::test]
async fn large_results_are_paged_as_they_are_read() {
    let world = World::new();
    let entries: Vec<Value> = (0..700)
        .map(|n| {
            let mut o = observation(&format!("o{n:03}"), json!({
                "code": if n % 2 == 0 { loinc("even") } else { json!({ "coding": [{ "system": "urn:b", "code": "odd" }, { "system": if n % 3 == 0 { "urn:c" } else { "urn:d" }, "code": "both" }] }) },
                "status": if n % 50 == 0 { "amended" } else { "final" },
                "valueQuantity": { "value": n },
            }));
            if n % 10 != 0 {
                o["effectiveDateTime"] = json!(format!("2020-{:02}-{:02}", 1 + n % 12, 1 + n % 28));
            }
            json!({ "resource": o, "request": { "method": "PUT", "url": format!("Observation/o{n:03}") } })
        })
        .collect();
    let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries });
    let reply = send(&world.sandbox, "POST", "", &[], &bundle.to_string()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    for (query, expected) in [
        ("Observation?code=even", 350),
        ("Observation?code=both", 350),
        ("Observation?code=even,odd", 700),
        ("Observation?code=even&status=amended", 14),
        ("Observation?status=final&code=odd", 350),
        ("Observation?status:not=final", 14),
        ("Observation?code=even&value-quantity=ge690", 5),
        ("Observation?date=ge2020&code=odd", 350),
        ("Observation?date:missing=true", 70),
        ("Observation", 700),
        ("Observation?_sort=date", 700),
        ("Observation?_sort=-date", 700),
        ("Observation?_sort=-date&status=final", 686),
        ("Observation?_sort=-date&code=even", 350),
        ("?_type=Observation,Patient", 700),
    ] {
        let ids = walked(
            &world,
            &format!(
                "{query}{}_count=97",
                if query.contains('?') { "&" } else { "?" }
            ),
        )
        .await;
        let unique: std::collections::BTreeSet<&String> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len(), "{query}: twice");
        assert_eq!(ids.len(), expected, "{query}");
        let counted = get(
            &world.sandbox,
            &address(&format!(
                "{query}{}_summary=count",
                if query.contains('?') { "&" } else { "?" }
            )),
        )
        .await;
        assert_eq!(counted.json()["total"], ids.len() as u64, "{query}");
    }
    // In order, those without a date last.
    for (query, falls) in [
        ("Observation?_sort=date&_count=1000", false),
        ("Observation?_sort=-date&_count=1000", true),
    ] {
        let reply = get(&world.sandbox, query).await.json();
        let dates: Vec<Option<String>> = reply["entry"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| {
                e["resource"]["effectiveDateTime"]
                    .as_str()
                    .map(str::to_owned)
            })
            .collect();
        assert_eq!(dates.len(), 700);
        assert!(dates[630..].iter().all(Option::is_none), "{query}");
        assert!(
            dates[..630]
                .windows(2)
                .all(|w| if falls { w[0] >= w[1] } else { w[0] <= w[1] }),
            "{query}"
        );
    }
}

#[tokio::test]
async fn explain_tells_how_and_not_what() {
    let world = World::new();
    clinic(&world).await;
    let reply = get(
        &world.sandbox,
        "Observation/$explain?code=718-7&patient.name=bever&_sort=-date",
    )
    .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let text = reply.text();
    assert!(
        !text.contains("718-7") && !text.to_lowercase().contains("bever"),
        "{text}"
    );
    let body = reply.json();
    assert_eq!(body["resourceType"], "Parameters");
    let steps: Vec<&Value> = body["parameter"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|p| p["name"] == "step")
        .collect();
    assert!(!steps.is_empty(), "{text}");
    assert!(
        steps.iter().any(|s| s["part"][0]["valueString"]
            .as_str()
            .unwrap()
            .starts_with("lead by")),
        "{text}"
    );
    assert_eq!(
        get(&world.sandbox, "$explain?_type=Patient").await.status,
        200
    );
    assert_eq!(
        get(&world.sandbox, "Patient/$explain?nonsense=1")
            .await
            .status,
        400
    );
    assert_eq!(
        look(&world.results, "Observation/$explain?code=1", DOCTOR)
            .await
            .status,
        404
    );
}

/// What is read is about as much as is shown, however much there is.
#[tokio::test]
async fn searches_read_about_a_page_of_rows() {
    let world = World::new();
    let entries: Vec<Value> = (0..2_400)
        .map(|n| {
            let o = observation(&format!("o{n:04}"), json!({
                "code": loinc(if n % 2 == 0 { "even" } else { "odd" }),
                "subject": { "reference": format!("Patient/p{}", n % 40) },
                "effectiveDateTime": format!("20{:02}-{:02}-{:02}", n % 20, 1 + n % 12, 1 + n % 28),
                "valueQuantity": { "value": n },
            }));
            json!({ "resource": o, "request": { "method": "PUT", "url": format!("Observation/o{n:04}") } })
        })
        .collect();
    let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries });
    let reply = send(&world.sandbox, "POST", "", &[], &bundle.to_string()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    put(
        &world,
        patient("p4", json!({ "name": [{ "family": "Bever" }] })),
    )
    .await;
    let mut wrong = Vec::new();
    for (query, shown, most) in [
        ("code=http://loinc.org|even&_count=20", 20, 30),
        ("code=even&_count=20", 20, 40),
        ("code=even,odd&_count=20", 20, 60),
        ("_id=o0001,o0002,o0003", 3, 10),
        ("patient=Patient/p4&code=even&_count=20", 20, 130),
        ("patient=Patient/p4&_sort=-date&_count=20", 20, 130),
        ("patient.name=bever&code=even&_count=20", 20, 140),
        ("_sort=-date&_count=20", 20, 300),
        ("_sort=-date&code=even&_count=20", 20, 420),
        ("_sort=-_lastUpdated&_count=20", 20, 200),
        ("_count=20", 20, 130),
        ("status=final&code=even&_count=20", 20, 200),
        ("code:not=odd&_count=20", 20, 260),
        ("date=ge2000&_count=20", 20, 260),
        ("value-quantity=gt2390&code=odd", 5, 60),
    ] {
        let reply = get(&world.sandbox, &format!("Observation/$explain?{query}")).await;
        assert_eq!(reply.status, 200, "{query}: {}", reply.text());
        let body = reply.json();
        let number = |name: &str| {
            body["parameter"]
                .as_array()
                .unwrap()
                .iter()
                .find(|p| p["name"] == name)
                .map(|p| p["valueInteger"].as_u64().unwrap())
                .unwrap()
        };
        if number("matchesOnPage") != shown || number("rowsVisited") > most {
            wrong.push(format!(
                "{query}: {} matches, {} rows: {}",
                number("matchesOnPage"),
                number("rowsVisited"),
                reply.text()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Patient data: a hidden record is in no match, count, order, include or chain; other persons' never.
#[tokio::test]
async fn no_form_of_search_passes_the_gate() {
    let world = World::new();
    let (hidden, its_report) = world.add_result(KARI, "NPU19748", "13.50");
    let (open, report) = world.add_result(KARI, "NPU01685", "1.1");
    let (of_ola, _) = world.add_result(OLA, "NPU19748", "15.2");
    let kari = world.patient_id(KARI);
    world.label(KARI, &hidden, trust::label::bit("NORS"));
    for (query, matches, included) in [
        ("Observation?", 1, 0),
        ("Observation?_sort=-date", 1, 0),
        ("Observation?_sort=value-quantity,_id", 1, 0),
        ("Observation?_sort=-_lastUpdated", 1, 0),
        ("Observation?code=NPU19748", 0, 0),
        ("Observation?code=NPU19748,NPU01685", 1, 0),
        ("Observation?code:not=NPU01685", 0, 0),
        ("Observation?value-quantity=gt10", 0, 0),
        ("Observation?value-quantity:missing=false", 1, 0),
        ("Observation?_lastUpdated=gt2020", 1, 0),
        ("Observation?_filter=code eq NPU19748", 0, 0),
        ("Observation?_filter=not (code eq NPU01685)", 0, 0),
        (
            "Observation?_has:DiagnosticReport:result:status=final",
            1,
            0,
        ),
        ("Observation?_include=*", 1, 1),
        ("Observation?_revinclude=DiagnosticReport:result", 1, 1),
        ("Observation?_revinclude=*", 1, 1),
        ("DiagnosticReport?", 2, 0),
        ("DiagnosticReport?result.code=NPU19748", 0, 0),
        ("DiagnosticReport?result.code=NPU01685", 1, 0),
        ("DiagnosticReport?result.code:not=NPU01685", 0, 0),
        ("DiagnosticReport?_include=DiagnosticReport:result", 2, 1),
        (
            "DiagnosticReport?_include:iterate=*&_revinclude:iterate=*",
            2,
            2,
        ),
    ] {
        let mark = if query.ends_with('?') { "" } else { "&" };
        let with = address(&format!("{query}{mark}patient={kari}"));
        let reply = look(&world.results, &with, DOCTOR).await;
        assert_eq!(reply.status, 200, "{query}: {}", reply.text());
        assert_eq!(
            reply.ids("match").len(),
            matches,
            "{query}: {}",
            reply.text()
        );
        assert_eq!(
            reply.ids("include").len(),
            included,
            "{query}: {}",
            reply.text()
        );
        assert_eq!(reply.json()["total"], matches as u64, "{query}");
        assert!(
            !reply.text().contains(&hidden) && !reply.text().contains(&of_ola),
            "{query}"
        );
        let counted = look(&world.results, &format!("{with}&_summary=count"), DOCTOR).await;
        assert_eq!(counted.json()["total"], matches as u64, "{query}");
        // Page by page it is the same.
        let mut paged = Vec::new();
        let mut next = Some(format!("{with}&_count=1&_total=accurate"));
        while let Some(link) = next {
            let reply = look(&world.results, &link, DOCTOR).await;
            assert_eq!(
                reply.json()["total"],
                matches as u64,
                "{query}: {}",
                reply.text()
            );
            assert!(!reply.text().contains(&hidden), "{query}");
            paged.extend(reply.ids("match"));
            next = reply.link("next");
        }
        assert_eq!(paged.len(), matches, "{query}");
    }
    for query in [
        "Observation?_list=x",
        "Observation?_content=npu",
        "Observation?_text=npu",
    ] {
        let with = format!("{query}&patient={kari}");
        assert_eq!(
            look(&world.results, &with, DOCTOR).await.status,
            400,
            "{query}"
        );
    }
    let _ = (open, report, its_report);
}
