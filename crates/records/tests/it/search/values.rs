//! Strings, tokens, references, dates, numbers, quantities, addresses, composites, places.

use super::{loinc, observation, patient, put, refused, table};
use crate::world::*;
use serde_json::json;

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
