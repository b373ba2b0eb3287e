//! How a search is carried out: what `$explain` tells, how many rows are read, and that no form of it passes the gate.

use super::{address, clinic, loinc, observation, patient, put};
use crate::world::*;
use serde_json::{Value, json};

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
