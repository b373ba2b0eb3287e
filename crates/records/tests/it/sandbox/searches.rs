//! Searches and their pages; queries that mean harm.

use super::{create, observation, patient};
use crate::world::*;
use serde_json::Value;

#[tokio::test]
async fn searches_of_every_kind() {
    let world = World::new();
    let kari = create(&world, patient("Bjørnstad", "Kari", "1980-05-17")).await;
    let ola = create(&world, patient("Åsen", "Ola", "1990-01-01")).await;
    let o1 = create(
        &world,
        observation(&kari, "718-7", 13.5, "2026-01-10T10:00:00+01:00"),
    )
    .await;
    let o2 = create(&world, observation(&kari, "2345-7", 5.0, "2026-02-10")).await;
    let o3 = create(
        &world,
        observation(&ola, "718-7", 15.25, "2026-03-10T23:30:00Z"),
    )
    .await;
    let find = |query: &str| {
        let (router, query) = (world.sandbox.clone(), query.to_owned());
        async move {
            let reply = get(&router, &query).await;
            assert_eq!(reply.status, 200, "{query}: {}", reply.text());
            let mut ids = reply.ids("match");
            ids.sort();
            ids
        }
    };
    let p = |ids: &[&str]| {
        let mut ids: Vec<String> = ids.iter().map(|i| format!("Patient/{i}")).collect();
        ids.sort();
        ids
    };
    let o = |ids: &[&str]| {
        let mut ids: Vec<String> = ids.iter().map(|i| format!("Observation/{i}")).collect();
        ids.sort();
        ids
    };
    for (query, expected) in [
        ("Patient".to_owned(), p(&[&kari, &ola])),
        ("Patient?name=bjornst".to_owned(), p(&[&kari])),
        ("Patient?family=asen".to_owned(), p(&[&ola])),
        ("Patient?name=stad".to_owned(), p(&[])),
        ("Patient?name:contains=stad".to_owned(), p(&[&kari])),
        ("Patient?family:exact=Bjørnstad".to_owned(), p(&[&kari])),
        ("Patient?family:exact=bjørnstad".to_owned(), p(&[])),
        (
            "Patient?gender=female&birthdate=ge1985".to_owned(),
            p(&[&ola]),
        ),
        ("Patient?gender:not=female".to_owned(), p(&[])),
        ("Patient?telecom:missing=true".to_owned(), p(&[&kari, &ola])),
        ("Patient?birthdate:missing=true".to_owned(), p(&[])),
        (format!("Patient?_id={kari},nobody"), p(&[&kari])),
        ("Observation?code=718-7".to_owned(), o(&[&o1, &o3])),
        (
            "Observation?code=http://loinc.org|718-7".to_owned(),
            o(&[&o1, &o3]),
        ),
        (
            "Observation?code=http://snomed.info/sct|718-7".to_owned(),
            o(&[]),
        ),
        (
            "Observation?code=http://loinc.org|".to_owned(),
            o(&[&o1, &o2, &o3]),
        ),
        ("Observation?code:not=718-7".to_owned(), o(&[&o2])),
        ("Observation?date=2026-01".to_owned(), o(&[&o1])),
        (
            "Observation?date=ge2026-02-10&date=lt2026-03".to_owned(),
            o(&[&o2]),
        ),
        // 23:30Z is the next day in Oslo.
        ("Observation?date=2026-03-11".to_owned(), o(&[&o3])),
        (
            format!("Observation?subject=Patient/{kari}"),
            o(&[&o1, &o2]),
        ),
        (format!("Observation?subject={kari}&code=718-7"), o(&[&o1])),
        (
            format!("Observation?patient={BASE}/sandbox/Patient/{ola}"),
            o(&[&o3]),
        ),
        ("Observation?value-quantity=gt14".to_owned(), o(&[&o3])),
        (
            "Observation?value-quantity=0.0135|http://unitsofmeasure.org|g".to_owned(),
            o(&[&o1]),
        ),
        (
            "Observation?subject:Patient.name=bjørn".to_owned(),
            o(&[&o1, &o2]),
        ),
        (
            "Observation?patient.birthdate=gt1985&code=718-7".to_owned(),
            o(&[&o3]),
        ),
        (
            "Patient?_has:Observation:patient:code=2345-7".to_owned(),
            p(&[&kari]),
        ),
        (format!("Patient/{kari}/Observation?code=718-7"), o(&[&o1])),
        (format!("Patient/{kari}/*"), o(&[&o1, &o2])),
        (
            "Observation?_lastUpdated=gt2020".to_owned(),
            o(&[&o1, &o2, &o3]),
        ),
        ("Observation?_lastUpdated=lt2020".to_owned(), o(&[])),
        (
            "?_type=Patient,Observation&_lastUpdated=gt2020".to_owned(),
            {
                let mut all = p(&[&kari, &ola]);
                all.extend(o(&[&o1, &o2, &o3]));
                all.sort();
                all
            },
        ),
    ] {
        assert_eq!(find(&query).await, expected, "{query}");
    }
    let sorted = get(&world.sandbox, "Observation?_sort=-value-quantity,_id").await;
    assert_eq!(
        sorted.ids("match"),
        [&o3, &o1, &o2].map(|i| format!("Observation/{i}"))
    );
    let sorted = get(&world.sandbox, "Patient?_sort=birthdate").await;
    assert_eq!(
        sorted.ids("match"),
        [&kari, &ola].map(|i| format!("Patient/{i}"))
    );

    let with = get(
        &world.sandbox,
        "Observation?code=2345-7&_include=Observation:subject",
    )
    .await;
    assert_eq!(with.ids("include"), p(&[&kari]));
    assert_eq!(with.json()["total"], 1);
    let with = get(
        &world.sandbox,
        &format!("Patient?_id={kari}&_revinclude=Observation:subject"),
    )
    .await;
    assert_eq!(with.ids("include").len(), 2);
    let with = get(
        &world.sandbox,
        "Observation?code=2345-7&_include=Observation:subject&_revinclude:iterate=Observation:subject",
    )
    .await;
    assert_eq!(with.ids("include").len(), 2, "{}", with.text());
    let counted = get(&world.sandbox, "Observation?_summary=count")
        .await
        .json();
    assert_eq!(counted["total"], 3);
    assert!(counted.get("entry").is_none());
    let lenient = send(
        &world.sandbox,
        "GET",
        "Patient?nonsense=1&family=asen",
        &[("prefer", "handling=lenient")],
        "",
    )
    .await;
    assert_eq!(lenient.ids("match"), p(&[&ola]));
    assert!(!lenient.link("self").unwrap().contains("nonsense"));
    assert_eq!(lenient.ids("outcome").len(), 1);
    let posted = send(
        &world.sandbox,
        "POST",
        "Patient/_search?gender=female",
        &[("content-type", "application/x-www-form-urlencoded")],
        "family=asen",
    )
    .await;
    assert_eq!(posted.ids("match"), p(&[&ola]));
    let elements = get(&world.sandbox, &format!("Patient/{kari}?_elements=gender"))
        .await
        .json();
    assert!(elements.get("name").is_none() && elements["gender"] == "female");
}

#[tokio::test]
async fn pages_hold_their_snapshot() {
    let world = World::new();
    for n in 0..7 {
        create(&world, patient("Page", &format!("P{n}"), "2000-01-01")).await;
    }
    for query in [
        "Patient?family=page&_count=3",
        "Patient?_count=3&_sort=given",
        "Patient?_count=3",
    ] {
        let mut seen = Vec::new();
        let mut next = Some(query.to_owned());
        let mut pages = 0;
        while let Some(address) = next {
            let reply = get(&world.sandbox, &address).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            let total = reply.json()["total"].as_u64().unwrap();
            if pages == 0 {
                create(&world, patient("Page", "New", "2000-01-01")).await;
            }
            seen.extend(reply.ids("match"));
            next = reply.link("next");
            pages += 1;
            assert_eq!(pages, 1 + (seen.len() - 1) / 3);
            if next.is_none() {
                assert_eq!(seen.len() as u64, total, "{query}");
            }
        }
        let unique: std::collections::BTreeSet<&String> = seen.iter().collect();
        assert_eq!(unique.len(), seen.len());
    }
    let link = get(&world.sandbox, "Patient?_count=2")
        .await
        .link("next")
        .unwrap();
    let elsewhere = link.replace("/Patient?", "/Observation?");
    assert_eq!(get(&world.sandbox, &elsewhere).await.status, 400);
}

/// Whatever is typed into a search, the answer is an answer.
#[test]
fn hostile_searches_are_never_our_fault() {
    use proptest::prelude::*;
    let world = World::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let id = create(&world, patient("Prop", "Test", "2000-01-01")).await;
        create(&world, observation(&id, "718-7", 1.0, "2026-01-01")).await;
    });
    let name = prop_oneof![
        Just("code".to_owned()),
        Just("date".to_owned()),
        Just("value-quantity".to_owned()),
        Just("subject".to_owned()),
        Just("subject:Patient.name".to_owned()),
        Just("_has:Observation:patient:code".to_owned()),
        Just("_sort".to_owned()),
        Just("_include".to_owned()),
        Just("_page".to_owned()),
        Just("_filter".to_owned()),
        Just("_list".to_owned()),
        Just("_content".to_owned()),
        Just("code:below".to_owned()),
        Just("code:in".to_owned()),
        Just("_count".to_owned()),
        Just("_lastUpdated".to_owned()),
        Just("code-value-quantity".to_owned()),
        "[a-z_:.]{0,30}",
        "\\PC{0,20}",
    ];
    let value = prop_oneof![
        "[0-9eE+.|$,\\\\:a-zT-]{0,30}",
        "\\PC{0,40}",
        "(eq|ne|gt|lt|ap|sa)[0-9.eE-]{0,40}",
    ];
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(400));
    runner
        .run(
            &(name, value, "(Observation|Patient|)"),
            |(name, value, rtype)| {
                let query: String = url::form_urlencoded::Serializer::new(String::new())
                    .append_pair(&name, &value)
                    .finish();
                let reply = runtime.block_on(get(&world.sandbox, &format!("{rtype}?{query}")));
                prop_assert!(reply.status < 500, "{name}={value}: {}", reply.text());
                prop_assert!(serde_json::from_slice::<Value>(&reply.bytes).is_ok());
                Ok(())
            },
        )
        .unwrap();
}
