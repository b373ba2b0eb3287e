//! What each ground may see, for all persons of the world and all parts (spec/grunndata.md §13.4, §13.5).

use super::*;

const EVERYBODY: [&str; 7] = [
    KARI,
    CHILD,
    CLIENT_ADDRESS,
    CODE_7,
    CODE_6,
    HELP_NUMBER,
    LOST,
];

async fn all_parts(world: &World, tree: &str, nin: &str) -> Value {
    let history = "&includeHistory=true";
    let path = format!("{tree}/person/get-by-nin?{}", every_part());
    let now = world.post(&path, &format!("nin={nin}")).await.ok();
    let ever = world
        .post(&format!("{path}{history}"), &format!("nin={nin}"))
        .await
        .ok();
    json!([now, ever])
}

#[test]
fn without_legal_basis_nothing_confidential_is_said() {
    on_worlds(|world| async move {
        // A word of each confidential part.
        let words = [
            "Nordsamisk",
            "Enrolled",
            "Falsk",
            "PASS-77",
            "Permanent",
            "2012-01-01",
            "FOREIGN-9",
            "prove@example.org",
            "CitizenshipRetained",
            "SpouseOrPartner",
            "Klientgatan",
            "Disappeared",
            DUF,
        ];
        for nin in EVERYBODY {
            let both = all_parts(&world, "/api/no-legal-basis", nin).await;
            let text = both.to_string();
            for word in words {
                assert!(!text.contains(word), "{word} of {nin}");
            }
            for person in both.as_array().unwrap() {
                for part in Part::ALL.iter().filter(|p| p.is_confidential()) {
                    assert!(
                        person.get(part.property()).is_none(),
                        "{} of {nin}",
                        part.name()
                    );
                }
                for marital in person["maritalStatus"].as_array().unwrap() {
                    assert_eq!(marital["relatedByMaritalStatus"], Value::Null);
                    assert_eq!(marital["status"], "Married");
                }
                let is_open = matches!(nin, KARI | CHILD | HELP_NUMBER | LOST);
                let count = usize::from(is_open);
                for name in ["residentialAddress", "presentAddress", "sharedResidence"] {
                    assert_eq!(
                        person[name].as_array().unwrap().len(),
                        count,
                        "{name} of {nin}"
                    );
                }
                assert_eq!(
                    person["postalAddress"].as_array().unwrap().len(),
                    1,
                    "it is not graded"
                );
                assert!(
                    person["addressProtection"][0]["protectionLevel"].is_string(),
                    "the level is open"
                );
            }
            assert_eq!(
                text.contains(STREET),
                matches!(nin, KARI | CHILD | HELP_NUMBER | LOST),
                "{nin}"
            );
        }
    });
}

#[test]
fn with_legal_basis_everything_but_addresses_of_code_6() {
    on_worlds(|world| async move {
        for nin in EVERYBODY {
            let both = all_parts(&world, TREE, nin).await;
            for person in both.as_array().unwrap() {
                for part in Part::ALL {
                    let found = &person[part.property()];
                    let is_address = matches!(
                        part,
                        Part::ResidentialAddress | Part::PresentAddress | Part::SharedResidence
                    );
                    let rarely = matches!(
                        part,
                        Part::Death | Part::ImmigrationAuthoritiesIdentificationNumber
                    );
                    if is_address && nin == CODE_6 {
                        assert_eq!(found, &json!([]), "{}", part.name());
                    } else if !rarely {
                        let there =
                            found.is_object() || found.as_array().is_some_and(|a| !a.is_empty());
                        assert!(there, "{} of {nin}: {found}", part.name());
                    }
                }
            }
            assert_eq!(both.to_string().contains(STREET), nin != CODE_6, "{nin}");
        }
        let kari = &all_parts(&world, TREE, KARI).await[0];
        assert_eq!(
            kari["immigrationAuthoritiesIdentificationNumber"][0]["identificationNumber"],
            DUF
        );
        assert_eq!(kari["maritalStatus"][0]["relatedByMaritalStatus"], CHILD);
        let home = &kari["residentialAddress"][0];
        assert_eq!(
            home["streetAddress"]["addressNumber"],
            json!({"houseNumber": "12", "houseLetter": "B"})
        );
        assert_eq!(
            home["streetAddress"]["city"],
            json!({"cityName": "OSLO", "postalCode": "0301"})
        );
        assert_eq!(
            (
                &home["basicStatisticalUnit"],
                &home["fullBasicStatisticalUnitNumber"]
            ),
            (&json!(401), &json!("03010401"))
        );
        assert_eq!(
            (&home["cadastralAddress"], &home["unknownResidence"]),
            (&Value::Null, &Value::Null)
        );
    });
}

#[test]
fn nobody_is_found_by_what_may_not_be_seen() {
    on_worlds(|world| async move {
        for (tree, by_address, lost) in [
            (
                "/api/legal-basis",
                vec![KARI, LOST, CHILD, CLIENT_ADDRESS, CODE_7],
                1,
            ),
            ("/api/no-legal-basis", vec![KARI, LOST, CHILD], 0),
        ] {
            let expected: BTreeSet<String> =
                by_address.iter().map(|nin| id(nin).to_string()).collect();
            for filter in [
                "MunicipalityNumber=0301",
                "PostalCode=0301",
                "BasicStatisticalUnit=03010401",
                "StreetAddress=Hemmeligveien+12B",
            ] {
                let form = format!("FamilyName=Pr%C3%B8ve&{filter}");
                let found = world
                    .post(&format!("{tree}/search/paged-match-list"), &form)
                    .await
                    .ok();
                let found: BTreeSet<String> = ids(&found["results"]).into_iter().collect();
                assert_eq!(found, expected, "{tree} {filter}");
                let count = world
                    .post(&format!("{tree}/search/match-count"), &form)
                    .await
                    .ok();
                assert_eq!(count["matchCount"], expected.len(), "{tree} {filter}");
            }
            let form = "FamilyName=Pr%C3%B8ve&MunicipalityNumber=0301";
            let path = format!("{tree}/search/person?informationParts=Name");
            let found = world.post(&path, form).await.ok();
            let found: BTreeSet<String> = ids(&found["results"]).into_iter().collect();
            assert_eq!(found, expected, "{tree}");
            let status = "PersonStatuses=Disappeared";
            let count = world
                .post(&format!("{tree}/search/match-count"), status)
                .await
                .ok();
            assert_eq!(count["matchCount"], lost, "{tree}");
            assert_eq!(
                world
                    .post(&format!("{tree}/search/match-list"), status)
                    .await
                    .ok()
                    .as_array()
                    .unwrap()
                    .len(),
                lost
            );
        }
    });
}

/// Two registers that differ in hidden data only give byte-equal answers.
#[test]
fn hidden_data_change_no_byte_of_an_answer() {
    on_worlds(|world| async move {
        let path = format!("/api/no-legal-basis/person/get-by-nin?{}", every_part());
        let before = world.post(&path, &format!("nin={CODE_7}")).await;
        world.change(CODE_7, |hidden| {
            let mut home = address(ProtectionLevel::Confidential);
            home.street = "Et annet sted".to_owned();
            let _ = hidden.residential.set(home, NOW, Origin::at(NOW));
            let _ = hidden.family.end(NOW);
        });
        let after = world.post(&path, &format!("nin={CODE_7}")).await;
        // The number of the last event is everybody's, whoever changed.
        let without_number = |answer: Answer| {
            let mut person = answer.ok();
            person.as_object_mut().unwrap().remove("sequenceNumber");
            person.to_string()
        };
        assert_eq!(without_number(before), without_number(after));
    });
}
