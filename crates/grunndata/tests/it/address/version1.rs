//! The CommunicationParty API below `api/v1`, as clients made from its published description use it.

use super::{DOCTOR, HOSPITAL, HPR, NOW_S, OFFICE, OFFICE_NO, WARD, World, at, everywhere, line};
use grunndata::ar::rest::{AUDIENCE, PREFIX, SCOPE};
use registers::parties::register::WriteError;
use registers::parties::{CertificateUse, PartyRecord, PhysicalAddress};
use serde_json::{Value, json};

async fn get(world: &World, path: &str) -> Value {
    let answer = world.cp(&format!("/api/v1/{path}")).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json()
}

async fn post(world: &World, path: &str, body: Value, status: u16) -> Value {
    let path = format!("{PREFIX}/api/v1/{path}");
    let token = (AUDIENCE, SCOPE);
    let answer = world
        .rest(("POST", &path), token, OFFICE_NO, Some(body), &[])
        .await;
    assert_eq!(answer.status, status, "{path}: {}", answer.text);
    answer.json()
}

async fn change(
    world: &World,
    her_id: u32,
    with: impl FnOnce(&mut PartyRecord) + Clone + Send + 'static,
) {
    let parties = world.table.parties().clone();
    let work = move || -> Result<_, WriteError> {
        parties.update(her_id, at(NOW_S), |party| with.clone()(party))
    };
    tokio::task::spawn_blocking(work).await.unwrap().unwrap();
}

/// Every member whose value is null, by path.
fn nulls(value: &Value, path: &str) -> Vec<String> {
    match value {
        Value::Null => vec![path.to_owned()],
        Value::Object(map) => map
            .iter()
            .flat_map(|(name, value)| nulls(value, &format!("{path}/{name}")))
            .collect(),
        Value::Array(items) => items.iter().flat_map(|item| nulls(item, path)).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn parties_of_each_kind() {
    everywhere(async |world: World| {
        change(&world, OFFICE, |party| {
            party.physical.push(PhysicalAddress {
                code: "PST".to_owned(),
                street: None,
                postbox: Some("Postboks 3".to_owned()),
                postcode: Some("0110".to_owned()),
                city: Some("OSLO".to_owned()),
                country: None,
                description: None,
                changed: at(NOW_S),
            });
        })
        .await;
        let office = get(&world, &format!("communicationparty/{OFFICE}")).await;
        assert_eq!(office["type"], "Organization");
        let details = &office["organizationDetails"];
        assert_eq!(details["organizationNumber"], OFFICE_NO);
        assert_eq!(details["businessType"]["codeListId"], "9040");
        assert_eq!(details["businessType"]["value"], "103");
        assert!(
            details["businessType"]["name"]
                .as_str()
                .unwrap()
                .contains("Fastlege")
        );
        assert_eq!(details["persons"], json!([DOCTOR]), "numbers, not objects");
        assert_eq!(details["services"], json!([]));
        assert_eq!(office["amqpTransportStatus"], "Enabled");
        let queue = &office["amqpAddress"]["amqpAsyncQueue"];
        assert!(queue.as_str().unwrap().ends_with("_async"), "{office}");
        assert_eq!(
            office["postalAddress"],
            json!({ "postalBox": "Postboks 3", "postalCode": "0110", "city": "OSLO" }),
            "a postcode keeps its zero"
        );
        let doctor = get(&world, &format!("CommunicationParty/{DOCTOR}")).await;
        let parent = &doctor["personDetails"]["parentOrganization"];
        assert_eq!(
            doctor["personDetails"]["hprNumber"],
            HPR.parse::<i64>().unwrap()
        );
        assert_eq!(parent["herId"], OFFICE);
        assert_eq!(parent["organizationNumber"], OFFICE_NO);
        assert_eq!(doctor["amqpTransportStatus"], "Inherited");
        assert_eq!(doctor["postalAddress"]["postalCode"], "0110", "inherited");
        let ward = get(&world, &format!("communicationparty/{WARD}")).await;
        assert_eq!(ward["serviceDetails"]["serviceType"]["codeListId"], "8668");
        assert_eq!(
            ward["serviceDetails"]["parentOrganization"]["herId"],
            HOSPITAL
        );
        assert!(ward.get("postalAddress").is_none());
        for party in [&office, &doctor, &ward] {
            assert_eq!(nulls(party, ""), [] as [&str; 0], "{party}");
        }
        let by_number = get(&world, &format!("organization/{OFFICE_NO}")).await;
        assert_eq!(by_number, office);
        for (path, status) in [
            ("communicationparty/1", 404),
            ("communicationparty/x", 400),
            ("organization/999999999", 404),
            ("organization/12", 400),
            ("communicationparty", 405),
            ("communicationparty/search", 405),
            ("nothing", 404),
        ] {
            let answer = world.cp(&format!("/api/v1/{path}")).await;
            assert_eq!(answer.status, status, "{path}");
        }
        let legacy = get(&world, &format!("communicationparty/{WARD}/legacy")).await;
        assert_eq!(legacy["HerId"], WARD);
        assert_eq!(legacy["Code"]["OID"], 8668);
    });
}

#[test]
fn several_and_a_search() {
    everywhere(async |world: World| {
        let her_ids = |found: &Value| -> Vec<u64> {
            let found = found.as_array().unwrap().iter();
            found.map(|p| p["herId"].as_u64().unwrap()).collect()
        };
        let both = post(
            &world,
            "communicationparty",
            json!({ "herIds": [WARD, 1, -5, OFFICE] }),
            200,
        )
        .await;
        assert_eq!(her_ids(&both), [u64::from(WARD), u64::from(OFFICE)]);
        let none = post(&world, "communicationparty", json!({ "herIds": null }), 200).await;
        assert_eq!(none, json!([]));
        post(
            &world,
            "communicationparty",
            json!({ "herIds": vec![1; 101] }),
            400,
        )
        .await;
        for (wanted, expected) in [
            (json!({ "name": "fjordglott" }), &[OFFICE][..]),
            (
                json!({ "organizationSearchParameters": { "businessTypeCodeListId": "9040", "businessTypeCodeValue": "101" } }),
                &[HOSPITAL],
            ),
            (
                json!({ "personSearchParameters": { "hprNumber": HPR.parse::<i64>().unwrap() } }),
                &[DOCTOR],
            ),
            (
                json!({ "serviceSearchParameters": { "serviceTypeCodeListId": "8668", "serviceTypeCodeValue": "02" } }),
                &[WARD],
            ),
            (
                json!({ "serviceSearchParameters": { "serviceTypeCodeListId": "8668" } }),
                &[WARD],
            ),
            (
                json!({ "serviceSearchParameters": { "serviceTypeCodeListId": "8666" } }),
                &[],
            ),
            // A generated client writes what it has no value for.
            (
                json!({ "name": "Nils", "organizationSearchParameters": null, "personSearchParameters": { "hprNumber": null } }),
                &[DOCTOR],
            ),
        ] {
            let found = post(&world, "communicationparty/search", wanted.clone(), 200).await;
            let expected: Vec<u64> = expected.iter().map(|h| u64::from(*h)).collect();
            assert_eq!(
                her_ids(&found["communicationParties"]),
                expected,
                "{wanted}"
            );
        }
        let page = "communicationparty/search?Page=2&Size=1";
        let all = json!({ "organizationSearchParameters": { "businessTypeCodeListId": "9040" } });
        let second = post(&world, page, all.clone(), 200).await;
        assert_eq!(
            her_ids(&second["communicationParties"]),
            [u64::from(HOSPITAL)]
        );
        for (path, wanted) in [
            ("communicationparty/search", json!({})),
            ("communicationparty/search", json!([])),
            ("communicationparty/search?Size=101", all.clone()),
            ("communicationparty/search?Page=0", all),
            (
                "communicationparty/search",
                json!({ "personSearchParameters": { "hprNumber": 1 }, "serviceSearchParameters": { "serviceTypeCodeValue": "1" } }),
            ),
        ] {
            post(&world, path, wanted, 400).await;
        }
    });
}

#[test]
fn events_and_the_export() {
    everywhere(async |world: World| {
        let export = get(&world, "communicationparty/export").await;
        assert_eq!(export["count"], 4);
        assert_eq!(
            export["communicationParties"],
            json!([OFFICE, DOCTOR, HOSPITAL, WARD])
        );
        let last = export["lastSequenceNumber"].as_u64().unwrap();
        // Two events in the register, of which the second is of a kind that the description does not have.
        change(&world, HOSPITAL, |party| {
            party.transports.clear();
        })
        .await;
        change(&world, HOSPITAL, |party| {
            party.transports.push("Amqp".to_owned());
        })
        .await;
        change(&world, WARD, |party| party.valid.to = Some(at(NOW_S - 10))).await;
        let news = get(&world, &format!("event?fromSequenceNumber={}", last + 1)).await;
        let results = news["results"].as_array().unwrap();
        assert_eq!(news["count"], results.len());
        let seen: Vec<(u64, &str)> = results
            .iter()
            .map(|e| {
                (
                    e["herId"].as_u64().unwrap(),
                    e["eventType"].as_str().unwrap(),
                )
            })
            .collect();
        let updated = "CommunicationPartyUpdated";
        assert_eq!(
            seen,
            [
                (u64::from(HOSPITAL), updated),
                (u64::from(HOSPITAL), updated),
                (u64::from(WARD), updated)
            ]
        );
        // One at a time gives the same ones.
        let mut from = last + 1;
        for event in results {
            let one = get(
                &world,
                &format!("event?fromSequenceNumber={from}&maxEvents=1"),
            )
            .await;
            assert_eq!(&one["results"][0], event);
            from = event["sequenceNumber"].as_u64().unwrap() + 1;
        }
        let end = get(&world, &format!("event?fromSequenceNumber={from}")).await;
        assert_eq!(end, json!({ "count": 0, "results": [] }));
        assert_eq!(get(&world, "event/latest").await, *results.last().unwrap());
        let active = get(&world, "communicationparty/export").await;
        assert_eq!(
            active["communicationParties"],
            json!([OFFICE, DOCTOR, HOSPITAL])
        );
        let all = get(&world, "communicationparty/export?includeDeactivated=true").await;
        assert_eq!(all["count"], 4);
        for wrong in [
            "event?maxEvents=1001",
            "event?maxEvents=0",
            "event?fromSequenceNumber=0",
        ] {
            assert_eq!(
                world.cp(&format!("/api/v1/{wrong}")).await.status,
                400,
                "{wrong}"
            );
        }
    });
}

#[test]
fn certificates_and_the_ones_before() {
    everywhere(async |world: World| {
        let path = format!("certificate/{WARD}");
        let one = get(&world, &path).await;
        assert_eq!(one.as_array().unwrap().len(), 1, "{one}");
        assert_eq!(one[0]["isCurrent"], true);
        assert_eq!(one[0]["signingCertificate"]["thumbprint"], "AB");
        change(&world, HOSPITAL, |party| {
            for (purpose, serial) in [
                (CertificateUse::Encryption, "31"),
                (CertificateUse::Signing, "32"),
            ] {
                let mut new = line(purpose, serial, 7);
                new.since = at(NOW_S);
                new.thumbprint = "CD".to_owned();
                party.certificates.push(new);
            }
        })
        .await;
        let both = get(&world, &format!("{path}?includeHistoric=true")).await;
        assert_eq!(both[0]["encryptionCertificate"]["thumbprint"], "CD");
        assert_eq!(both[1]["isCurrent"], false);
        assert_eq!(both[1]["encryptionCertificate"]["thumbprint"], "AB");
        assert_eq!(both.as_array().unwrap().len(), 2);
        assert_eq!(get(&world, &path).await.as_array().unwrap().len(), 1);
        let signing = get(&world, &format!("{path}/signing")).await;
        assert_eq!(signing["certificateValue"], "BwcHBw==");
        assert_eq!(
            get(&world, &format!("{path}/encryption")).await["thumbprint"],
            "CD"
        );
        let wrong = format!("/api/v1/{path}?includeHistoric=maybe");
        assert_eq!(world.cp(&wrong).await.status, 400);
        change(&world, HOSPITAL, |party| party.certificates.clear()).await;
        assert_eq!(get(&world, &path).await, json!([]));
        assert_eq!(
            world.cp(&format!("/api/v1/{path}/signing")).await.status,
            404
        );
    });
}
