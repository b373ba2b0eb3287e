//! The results repository behind its gate: what a doctor sees, and what a blocked one cannot tell.

use crate::world::*;
use serde_json::Value;
use trust::settings::Setting;
use trust::{Controller, Part};

/// The answer with everything that names the request taken out: what must not differ.
fn bare(reply: &Reply, names: &[&str]) -> (u16, String, Vec<(String, String)>) {
    let mut text = reply.text();
    for name in names {
        text = text.replace(name, "#");
        text = text.replace(
            &url::form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>(),
            "#",
        );
    }
    let headers = reply
        .headers
        .iter()
        .filter(|(name, _)| name.as_str() != "x-event-id")
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    (reply.status, text, headers)
}

struct Case {
    world: World,
    observation: String,
    report: String,
    kari: String,
    empty: String,
}

async fn case() -> Case {
    let world = World::new();
    let (observation, report) = world.add_result(KARI, "NPU19748", "13.50");
    for n in 0..4 {
        world.add_result(KARI, "NPU01685", &format!("{n}.1"));
    }
    world.add_result(OLA, "NPU19748", "15.2");
    Case {
        kari: world.patient_id(KARI),
        empty: world.patient_id(EMPTY),
        observation,
        report,
        world,
    }
}

#[tokio::test]
async fn a_doctor_with_a_basis_sees_one_patient() {
    let c = case().await;
    let router = &c.world.results;
    let found = look(router, &format!("Observation?patient={}", c.kari), DOCTOR).await;
    assert_eq!(found.ids("match").len(), 5, "{}", found.text());
    assert_eq!(found.header("x-event-id").len(), 36);
    assert_eq!(found.header("cache-control"), "no-store");
    // Decimals as sent; the patient is named by her id here as well.
    let read = look(router, &format!("Observation/{}", c.observation), DOCTOR).await;
    assert_eq!(read.status, 200, "{}", read.text());
    assert!(read.text().contains("\"value\":13.50"));
    assert_eq!(
        read.json()["subject"]["reference"],
        format!("Patient/{}", c.kari)
    );
    for (address, matches, includes) in [
        (
            format!("Observation?patient:identifier=urn:oid:2.16.578.1.12.4.1.4.1|{KARI}"),
            5,
            0,
        ),
        (
            format!("Observation?patient.identifier={KARI}&code=NPU19748"),
            1,
            0,
        ),
        (
            format!("Observation?subject=Patient/{}&value-quantity=gt13", c.kari),
            1,
            0,
        ),
        (format!("Observation?subject:Patient._id={}", c.kari), 5, 0),
        (
            format!("Observation?patient={}&patient.name=kari", c.kari),
            5,
            0,
        ),
        (
            format!("Observation?patient={}&patient.name=ola", c.kari),
            0,
            0,
        ),
        (format!("Patient/{}/Observation", c.kari), 5, 0),
        (format!("Patient/{}/*", c.kari), 10, 0),
        (format!("Observation?_id={}", c.observation), 1, 0),
        (
            format!(
                "DiagnosticReport?_id={}&_include=DiagnosticReport:result&_include=DiagnosticReport:subject",
                c.report
            ),
            1,
            2,
        ),
        (
            format!("DiagnosticReport?patient={}&result.code=NPU19748", c.kari),
            1,
            0,
        ),
        (
            format!(
                "Observation?_id={}&_revinclude=DiagnosticReport:result",
                c.observation
            ),
            1,
            1,
        ),
        (format!("Patient?identifier={KARI}"), 1, 0),
        (
            format!("Patient?_id={}&_revinclude=Observation:patient", c.kari),
            1,
            5,
        ),
        (
            format!("Patient?identifier={KARI}&_has:Observation:patient:code=NPU19748"),
            1,
            0,
        ),
        (
            format!("Patient?identifier={KARI}&_has:Observation:patient:code=none"),
            0,
            0,
        ),
        (
            format!("?_type=Observation,DiagnosticReport&patient={}", c.kari),
            10,
            0,
        ),
    ] {
        let headers = [("x-doctor", DOCTOR), ("nhn-patient-nin", KARI)];
        let named = address.starts_with('?');
        let reply = send(
            router,
            "GET",
            &address,
            if named { &headers } else { &headers[..1] },
            "",
        )
        .await;
        assert_eq!(reply.status, 200, "{address}: {}", reply.text());
        if !named {
            assert_eq!(
                reply.ids("match").len(),
                matches,
                "{address}: {}",
                reply.text()
            );
            assert_eq!(
                reply.ids("include").len(),
                includes,
                "{address}: {}",
                reply.text()
            );
        }
    }
    let patient = look(router, &format!("Patient/{}", c.kari), DOCTOR)
        .await
        .json();
    assert_eq!(patient["name"][0]["family"], "BEVER");
    // Every look stands in her log, and nothing in Ola's.
    assert!(c.world.log(KARI).len() > 15);
    assert!(c.world.log(OLA).is_empty());
}

#[tokio::test]
async fn refusals_that_are_told() {
    let c = case().await;
    let router = &c.world.results;
    let ola = c.world.patient_id(OLA);
    for (address, headers, status) in [
        (format!("Observation?patient={}", c.kari), vec![], 401),
        ("Observation".to_owned(), vec![("x-doctor", DOCTOR)], 400),
        (
            "Observation?code=NPU19748".to_owned(),
            vec![("x-doctor", DOCTOR)],
            400,
        ),
        (
            "Observation/_history".to_owned(),
            vec![("x-doctor", DOCTOR)],
            400,
        ),
        (
            format!("Observation?patient={},{ola}", c.kari),
            vec![("x-doctor", DOCTOR)],
            400,
        ),
        (
            format!("Observation?patient={}&subject={ola}", c.kari),
            vec![("x-doctor", DOCTOR)],
            400,
        ),
        (
            format!("Observation?patient={}", c.kari),
            vec![("x-doctor", DOCTOR), ("nhn-patient-nin", OLA)],
            400,
        ),
        (
            format!("Observation?patient={}", c.kari),
            vec![
                ("x-doctor", DOCTOR),
                ("nhn-access-basis", "FORHOYET_SAMTYKKE"),
            ],
            400,
        ),
        (
            format!("Observation?patient={}", c.kari),
            vec![("x-doctor", DOCTOR), ("nhn-access-basis", "UNNTAK")],
            403,
        ),
        (
            format!("Observation?patient={}", c.kari),
            vec![("x-doctor", KARI)],
            403,
        ),
        (
            format!("Observation?patient={}&nonsense=1", c.kari),
            vec![("x-doctor", DOCTOR)],
            400,
        ),
        ("Medication/1".to_owned(), vec![("x-doctor", DOCTOR)], 404),
    ] {
        let reply = send(router, "GET", &address, &headers, "").await;
        assert_eq!(reply.status, status, "{address}: {}", reply.text());
        assert_eq!(reply.json()["resourceType"], "OperationOutcome");
        assert_eq!(status == 401, !reply.header("www-authenticate").is_empty());
        assert!(!reply.text().contains(KARI), "{}", reply.text());
    }
    // Nothing is written from outside.
    let body = r#"{"resourceType":"Observation","status":"final","code":{"text":"x"}}"#;
    for (method, address) in [
        ("POST", "Observation"),
        ("PUT", "Observation/1"),
        ("DELETE", "Observation/1"),
        ("POST", ""),
    ] {
        let reply = send(router, method, address, &[("x-doctor", DOCTOR)], body).await;
        assert_eq!(reply.status, 405, "{method} {address}");
    }
}

/// Every address by which a doctor can reach her results, with what it names.
fn addresses(c: &Case, patient: &str, nin: &str) -> Vec<(String, Vec<(&'static str, String)>)> {
    let with = |address: String| (address, Vec::new());
    vec![
        with(format!("Observation?patient={patient}")),
        with(format!(
            "Observation?patient={patient}&_sort=-date&_count=2"
        )),
        with(format!("Observation?patient={patient}&_summary=count")),
        with(format!(
            "Observation?patient={patient}&_total=accurate&_count=1"
        )),
        with(format!("Observation?patient={patient}&code:not=x")),
        with(format!(
            "Observation?patient={patient}&value-string:missing=true"
        )),
        with(format!("Observation?patient.identifier={nin}")),
        with(format!("Observation?subject:identifier={nin}")),
        with(format!("Observation?patient={patient}&patient.name=kari")),
        with(format!(
            "DiagnosticReport?patient={patient}&_include=DiagnosticReport:result"
        )),
        with(format!(
            "DiagnosticReport?patient={patient}&result.code=NPU19748"
        )),
        with(format!(
            "Observation?patient={patient}&_revinclude=DiagnosticReport:result"
        )),
        with(format!(
            "Observation?patient={patient}&_has:DiagnosticReport:result:status=final"
        )),
        with(format!("Patient/{patient}/Observation")),
        with(format!("Patient/{patient}/*")),
        with(format!("Patient?identifier={nin}")),
        with(format!(
            "Patient?_id={patient}&_revinclude=Observation:patient"
        )),
        with(format!("Patient/{patient}")),
        (
            "Observation/_history".to_owned(),
            vec![("nhn-patient-nin", nin.to_owned())],
        ),
        (
            "_history".to_owned(),
            vec![("nhn-patient-nin", nin.to_owned())],
        ),
        (
            "Observation".to_owned(),
            vec![("nhn-patient-nin", nin.to_owned())],
        ),
        (
            format!("Observation/{}", c.observation),
            vec![("nhn-patient-nin", nin.to_owned())],
        ),
        (
            format!("Observation/{}/_history", c.observation),
            vec![("nhn-patient-nin", nin.to_owned())],
        ),
    ]
}

async fn ask(
    router: &axum::Router,
    address: &str,
    more: &[(&'static str, String)],
    doctor: &str,
) -> Reply {
    let mut headers = vec![("x-doctor", doctor)];
    headers.extend(more.iter().map(|(n, v)| (*n, v.as_str())));
    send(router, "GET", address, &headers, "").await
}

/// Settings that silence a doctor: each must look like a person without data, on every path.
#[tokio::test]
async fn a_silenced_doctor_gets_the_answers_of_a_person_without_data() {
    for setting in 0..4 {
        let c = case().await;
        match setting {
            0 => c.world.block(KARI, DOCTOR),
            1 => c
                .world
                .set(KARI, Setting::Reservation(Controller::PPS), true),
            2 => c
                .world
                .set(KARI, Setting::RestrictWholly(Controller::PPS), true),
            _ => c.world.set(
                KARI,
                Setting::RestrictPart(Controller::PPS, Part::Results),
                true,
            ),
        }
        let router = &c.world.results;
        let lines = c.world.log(KARI).len();
        let hers = addresses(&c, &c.kari, KARI);
        let nobodys = addresses(&c, &c.empty, EMPTY);
        for ((address, more), (other, other_more)) in hers.iter().zip(&nobodys) {
            let silenced = bare(&ask(router, address, more, DOCTOR).await, &[&c.kari, KARI]);
            let without = bare(
                &ask(router, other, other_more, DOCTOR).await,
                &[&c.empty, EMPTY],
            );
            assert_eq!(silenced, without, "setting {setting}: {address}");
            assert!(matches!(silenced.0, 200 | 404), "{address}: {}", silenced.1);
        }
        // Reads by id: as an id that does not exist; preconditions change nothing.
        for below in ["", "/_history", "/_history/1"] {
            for condition in [("if-none-match", "W/\"1\""), ("x-nothing", "1")] {
                let read = |id: String| {
                    let router = router.clone();
                    async move {
                        let headers = [("x-doctor", DOCTOR), condition];
                        let reply = send(
                            &router,
                            "GET",
                            &format!("Observation/{id}{below}"),
                            &headers,
                            "",
                        )
                        .await;
                        bare(&reply, &[&id])
                    }
                };
                let hidden = read(c.observation.clone()).await;
                let unknown = read("0199c0de-0000-7000-8000-000000000000".to_owned()).await;
                assert_eq!(hidden, unknown, "setting {setting}: {below}");
                assert_eq!(hidden.0, 404);
            }
        }
        assert!(
            c.world.log(KARI).len() > lines + hers.len() / 2,
            "refused looks stand in her log"
        );
        // Another doctor is not silenced by a block of this one.
        let other = look(
            router,
            &format!("Observation?patient={}", c.kari),
            OTHER_DOCTOR,
        )
        .await;
        assert_eq!(other.ids("match").len(), if setting == 0 { 5 } else { 0 });
    }
}

#[tokio::test]
async fn no_basis_changes_the_answer_of_a_block() {
    let c = case().await;
    let router = &c.world.results;
    let ask = |address: String, basis: &'static str| {
        let router = router.clone();
        async move {
            send(
                &router,
                "GET",
                &address,
                &[("x-doctor", DOCTOR), ("nhn-access-basis", basis)],
                "",
            )
            .await
        }
    };
    c.world.block(KARI, DOCTOR);
    c.world.block(EMPTY, DOCTOR);
    for basis in [
        "UNNTAK",
        "FORHOYET_SAMTYKKE",
        "FORHOYET_AKUTT",
        "AKUTT",
        "SAMTYKKE",
    ] {
        let blocked = ask(format!("Observation?patient={}", c.kari), basis).await;
        let without = ask(format!("Observation?patient={}", c.empty), basis).await;
        assert_eq!(blocked.status, 200, "{basis}: {}", blocked.text());
        assert_eq!(
            bare(&blocked, &[&c.kari]),
            bare(&without, &[&c.empty]),
            "{basis}"
        );
        let hidden = ask(format!("Observation/{}", c.observation), basis).await;
        let unknown = ask("Observation/none".to_owned(), basis).await;
        assert_eq!(hidden.status, 404, "{basis}");
        assert_eq!(
            bare(&hidden, &[&c.observation]),
            bare(&unknown, &["none"]),
            "{basis}"
        );
    }
}

#[tokio::test]
async fn a_page_link_from_before_obeys_at_once() {
    let c = case().await;
    let router = &c.world.results;
    let address = format!("Observation?patient={}&_count=2", c.kari);
    let first = look(router, &address, DOCTOR).await;
    let link = first.link("next").expect("there is a second page");
    let second = look(router, &link, DOCTOR).await;
    assert_eq!(second.ids("match").len(), 2, "{}", second.text());
    // The link is the doctor's own.
    assert_eq!(look(router, &link, OTHER_DOCTOR).await.status, 400);
    let history = ask(
        router,
        "Observation/_history?_count=2",
        &[("nhn-patient-nin", KARI.to_owned())],
        DOCTOR,
    )
    .await;
    let history_link = history.link("next").expect("there is more history");
    assert_eq!(look(router, &history_link, DOCTOR).await.status, 200);

    // A change of settings that leaves him his access ends the link.
    c.world.block(KARI, OTHER_DOCTOR);
    assert_eq!(look(router, &link, DOCTOR).await.status, 410);
    let link = look(router, &address, DOCTOR).await.link("next").unwrap();

    c.world.block(KARI, DOCTOR);
    let blocked = bare(&look(router, &link, DOCTOR).await, &[&c.kari]);
    let without = look(
        router,
        &format!("Observation?patient={}&_count=2", c.empty),
        DOCTOR,
    )
    .await;
    assert_eq!(blocked, bare(&without, &[&c.empty]));
    let blocked = look(router, &history_link, DOCTOR).await;
    assert!(
        !blocked.text().contains("\"entry\"") && !blocked.text().contains("Observation/0"),
        "{}",
        blocked.text()
    );
}

#[tokio::test]
async fn a_part_that_is_closed_takes_its_records_out_of_every_count() {
    let c = case().await;
    let total = |reply: &Reply| reply.json()["total"].as_u64().unwrap();
    let before = look(
        &c.world.results,
        &format!("Observation?patient={}", c.kari),
        DOCTOR,
    )
    .await;
    assert_eq!(total(&before), 5);
    c.world.set(
        KARI,
        Setting::RestrictPart(Controller::PPS, Part::Results),
        true,
    );
    let after = look(
        &c.world.results,
        &format!("Observation?patient={}", c.kari),
        DOCTOR,
    )
    .await;
    assert_eq!(total(&after), 0);
    let elevated = send(
        &c.world.results,
        "GET",
        &format!("Observation?patient={}", c.kari),
        &[
            ("x-doctor", DOCTOR),
            ("nhn-access-basis", "FORHOYET_SAMTYKKE"),
        ],
        "",
    )
    .await;
    assert_eq!(total(&elevated), 5, "{}", elevated.text());
}

#[tokio::test]
async fn nothing_of_the_patient_stands_in_errors() {
    let c = case().await;
    for address in [
        format!("Observation?patient.identifier={KARI}&code:odd={KARI}"),
        format!("Observation?patient.identifier={KARI}&date={KARI}"),
        format!("Observation?patient.identifier={KARI}&{KARI}=1"),
    ] {
        let reply = look(&c.world.results, &address, DOCTOR).await;
        assert_eq!(reply.status, 400);
        let outcome: Value = reply.json();
        let details = outcome["issue"][0]["details"]["text"].as_str().unwrap();
        assert!(
            !details.contains(KARI) || address.contains(&format!("&{KARI}=")),
            "{details}"
        );
    }
}

#[tokio::test]
async fn references_to_hidden_records_lose_their_target() {
    let c = case().await;
    let router = &c.world.results;
    let report = format!("DiagnosticReport/{}", c.report);
    let find = format!(
        "DiagnosticReport?_id={}&_include=DiagnosticReport:result",
        c.report
    );
    assert!(
        look(router, &report, DOCTOR)
            .await
            .text()
            .contains(&c.observation)
    );
    c.world
        .label(KARI, &c.observation, trust::label::bit("NORS"));
    for address in [
        &report,
        &find,
        &format!("{report}/_history"),
        &format!("{report}/_history/1"),
    ] {
        let reply = look(router, address, DOCTOR).await;
        assert_eq!(reply.status, 200, "{address}");
        assert!(
            !reply.text().contains(&c.observation),
            "{address}: {}",
            reply.text()
        );
        assert!(reply.text().contains("masked"), "{address}");
    }
    let gone = look(router, &format!("Observation/{}", c.observation), DOCTOR).await;
    assert_eq!(gone.status, 404);
    // Its earlier, unlabelled version is hidden with it.
    let gone = look(
        router,
        &format!("Observation/{}/_history/1", c.observation),
        DOCTOR,
    )
    .await;
    assert_eq!(gone.status, 404);
}

/// Persons of a bulk load get their key when something first names them: until then a search answers as for somebody
/// without results, and it finds her with the first one.
#[tokio::test]
async fn somebody_whom_nothing_has_named_is_found_with_her_first_result() {
    let c = case().await;
    let router = &c.world.results;
    let by_number = |nin: &str| format!("Patient?identifier={nin}");
    let untouched = look(router, &by_number(UNTOUCHED), DOCTOR).await;
    assert_eq!(untouched.status, 200, "{}", untouched.text());
    assert!(untouched.ids("match").is_empty());
    let empty = look(router, &by_number(EMPTY), DOCTOR).await;
    let names = [UNTOUCHED, EMPTY, &c.empty];
    assert_eq!(bare(&untouched, &names), bare(&empty, &names));
    c.world.add_result(UNTOUCHED, "NPU19748", "13.5");
    for address in [
        by_number(UNTOUCHED),
        format!("Observation?patient.identifier={UNTOUCHED}"),
    ] {
        let found = look(router, &address, DOCTOR).await;
        assert_eq!(found.ids("match").len(), 1, "{address}: {}", found.text());
    }
}
