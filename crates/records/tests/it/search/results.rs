//! What a search answers with: order, common parameters, totals, subsets, pages.

use super::{
    address, clinic, find, loinc, observation, ordered, patient, put, refused, table, walked,
};
use crate::world::*;
use serde_json::{Value, json};

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
    // From a later page back to the beginning.
    let first = read("Patient?_count=5").await;
    let second = read(&first.link("next").unwrap()).await;
    let again = read(&second.link("first").unwrap()).await;
    assert_eq!(again.ids("match"), first.ids("match"));
    assert!(read("Patient").await.link("first").is_none());
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
