//! Persons: found by number and name, shown by ground and protection, in the journal.

use super::on_worlds;
use super::world::*;
use crate::persons::world::{
    CHILD, CLIENT_ADDRESS, CODE_6, CODE_7, DOUBLE, DUF, HELP_NUMBER, KARI, KARI_EARLIER, LOST, NOW,
    STREET, id,
};
use grunndata::persons::access::{FULL_ACCESS, NO_LEGAL_BASIS, WITH_LEGAL_BASIS};
use grunndata::persons::lookups;
use registers::personnel::Short;
use serde_json::Value;
use std::sync::atomic::Ordering;
use store::Durability;

const ALL: &str =
    "_elements=identifier,name,gender,birthDate,address,extension,generalPractitioner";
const EVERYBODY: [&str; 7] = [
    KARI,
    CHILD,
    CLIENT_ADDRESS,
    CODE_7,
    CODE_6,
    HELP_NUMBER,
    LOST,
];

async fn found(world: &World, scope: &str, kind: &str, form: &str) -> Vec<Value> {
    let path = format!("/{kind}/_search");
    resources(&world.post_as(scope, &path, form).await.ok())
}

#[test]
fn a_person_is_found_by_every_number_that_leads_to_her() {
    on_worlds(|world| async move {
        for (number, kind) in [
            (format!("urn:oid:2.16.578.1.12.4.1.4.1|{KARI}"), "Person"),
            (KARI.to_owned(), "Patient"),
            (
                format!("urn:oid:2.16.578.1.12.4.1.4.2|{KARI_EARLIER}"),
                "Patient",
            ),
            (DOUBLE.to_owned(), "Patient"),
            (DUF.to_owned(), "Person"),
        ] {
            let form = format!("identifier={}", number.replace('|', "%7C"));
            let all = found(&world, WITH_LEGAL_BASIS, kind, &form).await;
            assert_eq!(all.len(), 1, "{kind} {number}");
            assert_eq!(all[0]["id"], id(KARI).to_string());
            let path = format!("/{kind}/{}", id(KARI));
            assert_eq!(world.get(&path).await.ok(), all[0]);
        }
        // A number of another kind than the system says leads to nobody.
        let wrong = format!("identifier=urn:oid:2.16.578.1.12.4.1.4.2%7C{KARI}");
        assert!(
            found(&world, WITH_LEGAL_BASIS, "Patient", &wrong)
                .await
                .is_empty()
        );
        let merged = world.get(&format!("/Patient/{}", id(DOUBLE))).await.ok();
        assert_eq!(merged["active"], false);
        assert_eq!(merged["link"][0]["type"], "replaced-by");
        assert_eq!(
            merged["link"][0]["other"]["reference"],
            format!("Patient/{}", id(KARI))
        );
    });
}

#[test]
fn a_person_is_found_by_name_and_birth_date() {
    on_worlds(|world| async move {
        let by = |more: &str| format!("/Patient?{more}");
        let bundle = world
            .get(&by("family=Prøve&given=Kari&birthdate=1968-09-14"))
            .await
            .ok();
        assert_eq!(bundle["total"], 1);
        assert_eq!(resources(&bundle)[0]["name"][0]["given"][0], "Kari");
        let all = world.get(&by("name=prøve&birthdate=1968")).await.ok();
        // Without the merged one and the one with nothing but a help number.
        assert_eq!(all["total"], 6);
        let men = world
            .get(&by("name=prøve&birthdate=1968&gender=male"))
            .await
            .ok();
        assert_eq!(men["total"], 0);
        for bad in [
            "name=prøve",
            "birthdate=1968",
            "name=pr&birthdate=1968",
            "name=prøve&birthdate=ge1968",
            "name=prøve&birthdate=1968&gender=x",
            "",
        ] {
            let issue = world.get(&by(bad)).await.refused(400);
            assert!(
                !issue["diagnostics"].as_str().unwrap().contains("prøve"),
                "{issue}"
            );
        }
    });
}

#[test]
fn a_national_id_in_an_address_is_refused_and_not_repeated() {
    on_worlds(|world| async move {
        for path in [
            format!("/Patient?identifier={KARI}"),
            format!("/Person?identifier=urn:oid:2.16.578.1.12.4.1.4.1%7C{KARI}"),
            format!("/RelatedPerson?identifier={KARI}"),
        ] {
            let answer = world.get(&path).await;
            assert!(!answer.text.contains(KARI));
            answer.refused(400);
        }
        let read = world.get(&format!("/Patient/{KARI}")).await;
        assert!(!read.text.contains(KARI));
        read.refused(404);
    });
}

/// No view has an address, a place or a relation that the person service would not give.
#[test]
fn each_ground_sees_what_it_may() {
    on_worlds(|world| async move {
        let patients = [CODE_7, KARI].map(|nin| nin.parse().unwrap());
        let yesterday = registers::kernel::period::Moment(NOW.0 - 86_400_000);
        tokio::task::block_in_place(|| {
            let lists = &world.lists;
            let moved = lists.move_patients(&patients, CONTRACT, yesterday, Short::default());
            moved.unwrap()
        });
        for nin in EVERYBODY {
            for kind in ["Person", "Patient"] {
                for (scope, has_basis) in [
                    (NO_LEGAL_BASIS, false),
                    (WITH_LEGAL_BASIS, true),
                    (FULL_ACCESS, true),
                ] {
                    let path = format!("/{kind}/{}?{ALL}", id(nin));
                    let text = world.get_as(scope, &path).await.ok().to_string();
                    let case = format!("{kind} {nin} {scope}");
                    let shows_address = match nin {
                        CODE_6 => false,
                        CLIENT_ADDRESS | CODE_7 => has_basis,
                        _ => true,
                    };
                    assert_eq!(text.contains(STREET), shows_address, "{case}: {text}");
                    assert_eq!(
                        text.contains("0301"),
                        shows_address || text.contains("Postveien"),
                        "{case}"
                    );
                    // The contact address that is graded ClientAddress.
                    assert_eq!(text.contains("Klientgatan"), has_basis, "{case}");
                    assert!(text.contains("Postveien"), "{case}: not protected");
                    for secret in [
                        "FOREIGN-9",
                        "utlendingsmyndighetenes",
                        "gd-residence-permit",
                    ] {
                        assert!(has_basis || !text.contains(secret), "{case} {secret}");
                    }
                    let shows_gp = kind == "Patient" && has_basis && nin == KARI;
                    assert_eq!(text.contains("PractitionerRole"), shows_gp, "{case}");
                    let level = match nin {
                        CLIENT_ADDRESS => "klientadresse",
                        CODE_7 => "fortrolig",
                        CODE_6 => "strengtFortrolig",
                        _ => "ugradert",
                    };
                    assert!(text.contains(level), "{case}: the level is always told");
                }
            }
        }
        let lost = format!("/Person/{}?{ALL}", id(LOST));
        let open = world.get_as(NO_LEGAL_BASIS, &lost).await.ok().to_string();
        assert!(!open.contains("forsvunnet") && !open.contains("gd-person-status"));
        assert!(
            world
                .get(&lost)
                .await
                .ok()
                .to_string()
                .contains("forsvunnet")
        );
        // Who may not see an address does not find by it either: name and birth date find, and show none.
        let by_name = world
            .get_as(NO_LEGAL_BASIS, "/Patient?given=Fortrolig&birthdate=1968")
            .await
            .ok();
        assert_eq!(by_name["total"], 1);
        assert!(!by_name.to_string().contains(STREET));
    });
}

#[test]
fn a_person_shows_what_was_asked_for() {
    on_worlds(|world| async move {
        let members = |value: &Value| {
            let names = value.as_object().unwrap().keys().cloned();
            let mut names: Vec<String> = names.collect();
            names.sort();
            names.join(" ")
        };
        let plain = world.get(&format!("/Person/{}", id(KARI))).await.ok();
        assert_eq!(members(&plain), "id identifier meta resourceType");
        assert_eq!(plain["meta"]["tag"][0]["code"], "SUBSETTED");
        let named = world
            .get(&format!("/Person/{}?_elements=name,gender", id(KARI)))
            .await
            .ok();
        assert_eq!(
            members(&named),
            "_gender gender id identifier meta name resourceType"
        );
        let name = &named["name"][0];
        assert_eq!(
            (&name["given"][0], &name["family"]),
            (&"Kari".into(), &"Prøve".into())
        );
        let middle = name["extension"].as_array().unwrap().iter();
        let middle = middle.filter(|e| e["url"].as_str().unwrap().ends_with("no-basis-middlename"));
        assert_eq!(middle.count(), 1, "{name}");
    });
}

#[test]
fn relations_need_a_legal_basis_and_say_everything_between_two() {
    on_worlds(|world| async move {
        let path = format!(
            "/RelatedPerson?patient=Patient/{}&_elements=relationship,name,identifier",
            id(KARI)
        );
        let issue = world.get_as(NO_LEGAL_BASIS, &path).await.refused(403);
        assert_eq!(issue["code"], "forbidden");
        let bundle = world.get(&path).await.ok();
        let [related] = &resources(&bundle)[..] else {
            panic!("{bundle}")
        };
        let codes: Vec<&str> = related["relationship"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["coding"][0]["code"].as_str().unwrap())
            .collect();
        assert_eq!(codes, ["gift", "barn", "felles", "voksen"]);
        assert_eq!(related["identifier"][0]["value"], CHILD);
        assert_eq!(
            related["patient"]["reference"],
            format!("Patient/{}", id(KARI))
        );
        let read = world
            .get(&format!("/RelatedPerson/{}{}", id(KARI), id(CHILD)))
            .await
            .ok();
        assert!(read["relationship"].is_null() && read["patient"].is_object());
        let children = format!("{path}&relationship=barn");
        assert_eq!(world.get(&children).await.ok()["total"], 1);
        let mothers = format!("{path}&relationship=mor");
        assert_eq!(world.get(&mothers).await.ok()["total"], 0);
        world
            .get(&format!("/RelatedPerson/{}{}", id(CHILD), id(LOST)))
            .await
            .refused(404);
        world.get("/RelatedPerson").await.refused(400);
    });
}

#[test]
fn look_ups_are_in_the_journal_those_of_protected_persons_first() {
    on_worlds(|world| async move {
        world.get(&format!("/Patient/{}", id(CODE_7))).await.ok();
        {
            let entries = world.journal.lock().unwrap();
            let (entry, durability) = &entries[0];
            assert_eq!(*durability, Durability::BeforeAnswer);
            assert_eq!(entry.persons.len(), 1);
            assert_eq!(entry.members["operation"], "fhir-read");
            assert_eq!(entry.members["purpose"], "legal-basis");
        }
        world
            .post_as(
                NO_LEGAL_BASIS,
                "/Person/_search",
                &format!("identifier={KARI}"),
            )
            .await
            .ok();
        world
            .post("/Person/_search", "identifier=17912099997")
            .await
            .ok();
        let wanted = |l: &lookups::Lookup| (l.operation.clone(), l.count, l.persons.len());
        let lines = loop {
            let entries = world.journal.lock().unwrap();
            let lines: Vec<_> = entries
                .iter()
                .filter_map(|(e, _)| lookups::read(e))
                .flatten()
                .collect();
            if lines.len() >= 3 {
                break lines;
            }
            drop(entries);
            std::thread::sleep(std::time::Duration::from_millis(10));
        };
        let told: Vec<_> = lines.iter().map(wanted).collect();
        for expected in [
            ("fhir-read".to_owned(), 1, 1),
            ("fhir-search".to_owned(), 1, 1),
            ("fhir-search".to_owned(), 0, 0),
        ] {
            assert!(told.contains(&expected), "{told:?}");
        }
        // Personnel and organisations leave no line.
        world.get(&format!("/Practitioner/hpr-{HPR}")).await.ok();
        world.broken.store(true, Ordering::SeqCst);
        world.get(&format!("/Organization/enh-{UNIT}")).await.ok();
        let issue = world
            .get(&format!("/Patient/{}", id(CODE_7)))
            .await
            .refused(503);
        assert_eq!(issue["code"], "transient");
    });
}
