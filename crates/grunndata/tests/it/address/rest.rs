//! The CommunicationParty API.

use super::{DOCTOR, HOSPITAL, NOW_S, OFFICE, OFFICE_NO, WARD, World, at, everywhere};
use axum::body::Body;
use axum::http::Request;
use grunndata::ar::rest::{AUDIENCE, PREFIX, SCOPE, event_id};
use serde_json::{Value, json};

#[test]
fn who_is_let_in() {
    everywhere(async |world: World| {
        let path = format!("{PREFIX}/CommunicationParties/{WARD}");
        let request = Request::get(&path).body(Body::empty()).unwrap();
        let answer = world.send(request).await;
        assert_eq!(answer.status, 401);
        assert!(
            answer.headers["www-authenticate"]
                .to_str()
                .unwrap()
                .contains("DPoP")
        );
        for (audience, scope, status) in [
            (AUDIENCE, SCOPE, 200),
            (AUDIENCE, "nhn:cp-api/other", 403),
            ("nhn:other", SCOPE, 401),
        ] {
            let answer = world
                .rest(("GET", &path), (audience, scope), OFFICE_NO, None, &[])
                .await;
            assert_eq!(answer.status, status, "{audience} {scope} {}", answer.text);
        }
    });
}

#[test]
fn a_party_in_the_names_of_soap() {
    everywhere(async |world: World| {
        let party = world
            .cp(&format!("/communicationparties/{WARD}"))
            .await
            .json();
        assert_eq!(party["herId"], WARD);
        assert_eq!(party["parentHerId"], HOSPITAL);
        assert_eq!(party["type"], "Service");
        let inner = &party["communicationParty"];
        assert_eq!(inner["Code"]["OID"], 8668);
        assert_eq!(inner["CoverageAreas"], Value::Null);
        assert_eq!(inner["Municipality"]["SimpleType"], "kommune");
        assert_eq!(inner["PhysicalAddresses"][0]["PostalCode"], 110);
        assert_eq!(inner["Valid"]["To"], "9999-12-31T00:00:00");
        assert_eq!(world.cp("/CommunicationParties/1").await.status, 404);
        assert_eq!(world.cp("/CommunicationParties/x").await.status, 400);
    });
}

#[test]
fn polling_an_unchanged_party_costs_nothing() {
    everywhere(async |world: World| {
        let path = format!("{PREFIX}/CommunicationParties/{WARD}");
        let get = async |tag: Option<&str>| {
            let headers: Vec<(&str, &str)> =
                tag.map(|t| ("if-none-match", t)).into_iter().collect();
            world
                .rest(("GET", &path), (AUDIENCE, SCOPE), OFFICE_NO, None, &headers)
                .await
        };
        let answer = get(None).await;
        let tag = answer.headers["etag"].to_str().unwrap().to_owned();
        assert_eq!(get(Some(&tag)).await.status, 304);
        // What the party inherits counts too.
        let parties = world.table.parties().clone();
        let change = move || {
            parties.update(HOSPITAL, at(NOW_S), |p| {
                p.electronic[0].address = "x@y.no".to_owned()
            })
        };
        tokio::task::spawn_blocking(change).await.unwrap().unwrap();
        assert_eq!(get(Some(&tag)).await.status, 200);
    });
}

#[test]
fn the_export_followed_by_events_is_the_register() {
    everywhere(async |world: World| {
        let export = world.cp("/CommunicationPartyExport").await.json();
        let mut copy: std::collections::BTreeMap<i64, Value> = export["CommunicationParties"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| (p["HerId"].as_i64().unwrap(), p["Name"].clone()))
            .collect();
        assert_eq!(copy.len(), 4);
        let parties = world.table.parties().clone();
        let change = move || -> Result<_, registers::parties::register::WriteError> {
            parties.update(WARD, at(NOW_S), |p| p.name = "Ny avdeling".to_owned())?;
            parties.create(|her_id| {
                let kind = registers::PartyKind::Service;
                let mut p = registers::parties::PartyRecord::new(
                    her_id,
                    kind,
                    "Nyest",
                    OFFICE_NO,
                    at(NOW_S),
                );
                p.parent = Some(OFFICE);
                p
            })
        };
        tokio::task::spawn_blocking(change).await.unwrap().unwrap();
        let mut id = export["LastEventId"].as_str().unwrap().to_owned();
        loop {
            let page = world
                .cp(&format!(
                    "/CommunicationPartyEvents?EventId={id}&pageSize=1"
                ))
                .await
                .json();
            let events = page["CommunicationParties"].as_array().unwrap();
            let Some(last) = events.last() else { break };
            for event in events {
                let party = &event["CommunicationParty"];
                copy.insert(event["HerId"].as_i64().unwrap(), party["Name"].clone());
            }
            id = last["EventId"].as_str().unwrap().to_owned();
            assert!(
                page["Links"]["Next"]["Href"]
                    .as_str()
                    .unwrap()
                    .contains(&id)
            );
        }
        let direct: Vec<(i64, Value)> = world
            .table
            .parties()
            .her_ids()
            .into_iter()
            .map(|h| {
                (
                    h.into(),
                    world.table.parties().party(h).unwrap().name.into(),
                )
            })
            .collect();
        assert_eq!(copy.into_iter().collect::<Vec<_>>(), direct);
        for (wrong, status) in [
            ("EventId=nonsense", 400),
            ("pageSize=0", 400),
            ("pageSize=100000", 400),
        ] {
            assert_eq!(
                world
                    .cp(&format!("/CommunicationPartyEvents?{wrong}"))
                    .await
                    .status,
                status
            );
        }
        let beyond = format!("/CommunicationPartyEvents?EventId={}", event_id(1_000_000));
        assert_eq!(
            world.cp(&beyond).await.status,
            410,
            "another register's event"
        );
    });
}

#[test]
fn the_newer_shape() {
    everywhere(async |world: World| {
        let party = world
            .cp(&format!("/communicationparty/{OFFICE}"))
            .await
            .json();
        assert_eq!(
            party["organizationDetails"]["organizationNumber"],
            OFFICE_NO
        );
        assert_eq!(party["organizationDetails"]["persons"], json!([DOCTOR]));
        assert_eq!(party["amqpTransportStatus"], "Enabled");
        assert_eq!(party["currentEncryptionCertificate"]["thumbprint"], "AB");
        let several = world
            .rest(
                ("POST", &format!("{PREFIX}/communicationparty")),
                (AUDIENCE, SCOPE),
                OFFICE_NO,
                Some(json!([OFFICE, WARD, 1])),
                &[],
            )
            .await
            .json();
        assert_eq!(several.as_array().unwrap().len(), 2);
        for (body, status) in [(json!("x"), 400), (json!(vec![1; 101]), 400)] {
            let answer = world
                .rest(
                    ("POST", &format!("{PREFIX}/communicationparty")),
                    (AUDIENCE, SCOPE),
                    OFFICE_NO,
                    Some(body),
                    &[],
                )
                .await;
            assert_eq!(answer.status, status);
        }
        let events = world.cp("/event?fromSequenceNumber=2").await.json();
        let numbers: Vec<u64> = events
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e["sequenceNumber"].as_u64().unwrap())
            .collect();
        assert_eq!(numbers, [2, 3, 4]);
        assert_eq!(world.cp("/event/latest").await.json()["sequenceNumber"], 4);
        let certificate = world
            .cp(&format!("/communicationparty/{WARD}/certificate/signing"))
            .await
            .json();
        assert_eq!(certificate["certificateValue"], "AgICAg==");
        let history = world
            .cp(&format!(
                "/communicationparty/{WARD}/certificate/encryption/history"
            ))
            .await
            .json();
        assert_eq!(history.as_array().unwrap().len(), 1);
    });
}

#[test]
fn the_export_is_compressed_on_request() {
    everywhere(async |world: World| {
        let path = format!("{PREFIX}/CommunicationPartyExport");
        let answer = world
            .rest(
                ("GET", &path),
                (AUDIENCE, SCOPE),
                OFFICE_NO,
                None,
                &[("accept-encoding", "gzip")],
            )
            .await;
        assert_eq!(answer.headers["content-encoding"], "gzip");
    });
}
