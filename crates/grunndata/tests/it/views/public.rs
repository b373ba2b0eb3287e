//! Personnel, organisations and parties; what is refused; forms of answers.

use super::on_worlds;
use super::world::*;
use crate::persons::world::{HOSPITAL, KARI};
use axum::body::Body;
use axum::http::Request;
use grunndata::fhir::PREFIX;
use grunndata::persons::access::NO_LEGAL_BASIS;
use serde_json::Value;

fn ids(bundle: &Value) -> Vec<String> {
    let all = resources(bundle).into_iter();
    all.map(|r| r["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn personnel_with_the_rights_of_today_and_nothing_private() {
    on_worlds(|world| async move {
        let read = world
            .get_as(NO_LEGAL_BASIS, &format!("/Practitioner/hpr-{HPR}"))
            .await
            .ok();
        assert!(!read.to_string().contains(KARI), "no national id");
        assert_eq!(read["active"], true);
        let codes: Vec<&str> = read["qualification"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|q| q["code"]["coding"].as_array().unwrap())
            .map(|c| c["code"].as_str().unwrap())
            .collect();
        assert_eq!(
            codes,
            ["LE", "1", "1", "152"],
            "the suspended one is left out"
        );
        for path in [
            format!("/Practitioner?identifier=urn:oid:2.16.578.1.12.4.1.4.4%7C{HPR}"),
            "/Practitioner?name=nils%20moen".to_owned(),
            "/Practitioner?family=Moen&given=Ni".to_owned(),
            format!("/Practitioner?_id=hpr-{HPR},hpr-7"),
        ] {
            let bundle = world.get(&path).await.ok();
            assert_eq!(ids(&bundle), [format!("hpr-{HPR}")], "{path}");
        }
        world.get("/Practitioner?name=x").await.refused(400);
        world.get("/Practitioner/hpr-8").await.refused(404);
        let body = format!("identifier=urn:oid:2.16.578.1.12.4.1.4.1%7C{KARI}");
        world
            .post("/Practitioner/_search", &body)
            .await
            .refused(400);
        let roles = world
            .get(&format!(
                "/PractitionerRole?practitioner=Practitioner/hpr-{HPR}"
            ))
            .await
            .ok();
        assert_eq!(
            ids(&roles),
            [format!("her-{DOCTOR_PARTY}"), format!("gp-{CONTRACT}-1")]
        );
        for unit in [HOSPITAL, UNIT] {
            let path = format!("/PractitionerRole?organization=Organization/enh-{unit}");
            assert_eq!(world.get(&path).await.ok()["total"], 1, "{unit}");
        }
        for role in roles["entry"].as_array().unwrap() {
            let path = format!(
                "/PractitionerRole/{}",
                role["resource"]["id"].as_str().unwrap()
            );
            let mut read = world.get(&path).await.ok();
            // A read tells its version; for a page of them the store is not asked.
            if let Some(meta) = read["meta"].as_object_mut() {
                meta.retain(|name, _| !["versionId", "lastUpdated"].contains(&name.as_str()));
            }
            assert_eq!(read, role["resource"]);
        }
    });
}

#[test]
fn organisations_of_three_registers() {
    on_worlds(|world| async move {
        let found = async |more: &str| ids(&world.get(&format!("/Organization?{more}")).await.ok());
        let oid = "urn:oid:2.16.578.1.12.4.1";
        for (search, expected) in [
            (
                format!("identifier={oid}.4.101%7C{UNIT}"),
                format!("enh-{UNIT}"),
            ),
            // The unit is in both registers: one resource.
            (
                format!("identifier={oid}.4.102%7C{RESH}"),
                format!("enh-{UNIT}"),
            ),
            (
                format!("identifier={oid}.4.1026%7C{WARD_RESH}"),
                format!("resh-{WARD_RESH}"),
            ),
            (
                format!("identifier={oid}.2%7C{WARD}"),
                format!("her-{WARD}"),
            ),
            (
                format!("identifier=http://hl7.no/fhir/NamingSystem/HERid%7C{WARD}"),
                format!("her-{WARD}"),
            ),
            (
                format!("partof=Organization/enh-{HOSPITAL}&name=nordlys"),
                format!("enh-{UNIT}"),
            ),
            ("name=sengepost".to_owned(), format!("resh-{WARD_RESH}")),
            (format!("type={oid}.1.8668%7C02"), format!("her-{WARD}")),
        ] {
            assert_eq!(found(&search).await, [expected], "{search}");
        }
        assert!(
            found(&format!("identifier={oid}.2%7C{TOP}"))
                .await
                .is_empty(),
            "no HER-id of an ordinary organisation"
        );
        let closed = world.get("/Organization/enh-310000017").await.ok();
        assert_eq!(closed["active"], false);
        let unit = world.get(&format!("/Organization/enh-{UNIT}")).await.ok();
        assert_eq!(unit["identifier"][1]["value"], RESH.to_string());
        assert_eq!(
            unit["partOf"]["reference"],
            format!("Organization/enh-{HOSPITAL}")
        );
        let top = world
            .get(&format!("/Organization/enh-{HOSPITAL}"))
            .await
            .ok();
        assert!(!top.to_string().contains(&format!("\"{TOP}\"")));
        assert_eq!(
            top["endpoint"][0]["reference"],
            format!("Endpoint/her-{TOP}-E.EDI")
        );
    });
}

#[test]
fn lists_come_in_pages_that_link_to_each_other() {
    on_worlds(|world| async move {
        let mut path = "/Organization?name=nordlys&_count=1".to_owned();
        let mut seen = Vec::new();
        loop {
            let bundle = world.get(&path).await.ok();
            assert_eq!(bundle["total"], 4);
            seen.extend(ids(&bundle));
            let links = bundle["link"].as_array().unwrap();
            let Some(next) = links.iter().find(|link| link["relation"] == "next") else {
                break;
            };
            let next = next["url"].as_str().unwrap();
            path = next
                .strip_prefix("http://127.0.0.1:8080/fhir/grunndata")
                .unwrap()
                .to_owned();
            assert!(seen.len() < 9, "no end: {next}");
        }
        let mut unique = seen.clone();
        unique.sort();
        unique.dedup();
        assert_eq!((seen.len(), unique.len()), (4, 4), "{seen:?}");
    });
}

#[test]
fn services_and_endpoints() {
    on_worlds(|world| async move {
        let services = world
            .get(&format!(
                "/HealthcareService?organization=Organization/enh-{HOSPITAL}"
            ))
            .await
            .ok();
        assert_eq!(ids(&services), [format!("her-{WARD}")]);
        let service = &resources(&services)[0];
        assert_eq!(
            service["availableTime"][0]["availableStartTime"],
            "08:00:00"
        );
        assert_eq!(service["identifier"], Value::Null);
        let list = world.get("/HealthcareService?name=moens").await.ok();
        assert_eq!(ids(&list), [format!("gp-{CONTRACT}")]);
        assert!(resources(&list)[0].to_string().contains("placesAvailable"));
        // What the service lacks is the organisation's.
        let endpoints = world
            .get(&format!("/Endpoint?organization=Organization/her-{WARD}"))
            .await
            .ok();
        assert_eq!(
            ids(&endpoints),
            [
                format!("her-{WARD}-E.EDI"),
                format!("her-{WARD}-E.SB.ASYNC")
            ]
        );
        let mail = format!("/Endpoint?organization=her-{WARD}&connection-type=no-ebxml-2");
        let mail = world.get(&mail).await.ok();
        assert_eq!(resources(&mail)[0]["address"], "mailto:90011@edi.example");
        let read = world
            .get(&format!("/Endpoint/her-{WARD}-E.SB.ASYNC"))
            .await
            .ok();
        assert_eq!(read["connectionType"]["code"], "no-amqp");
        world
            .get(&format!("/Endpoint/her-{WARD}-E.TLF"))
            .await
            .refused(404);
        world.get("/Endpoint").await.refused(400);
    });
}

#[test]
fn what_is_refused() {
    on_worlds(|world| async move {
        let anonymous = Request::get(format!("{PREFIX}/Organization")).body(Body::empty());
        let answer = world.send(anonymous.unwrap()).await;
        let challenges = answer.headers.get_all("www-authenticate").iter().count();
        assert_eq!(challenges, 2);
        assert_eq!(answer.refused(401)["code"], "login");
        let issue = world
            .get_as("nhn:other/scope", "/Organization")
            .await
            .refused(403);
        assert_eq!(issue["code"], "forbidden");
        world.get("/Observation").await.refused(404);
        world.get("/Organization?phonetic=x").await.refused(400);
        world.get("/Organization?name:exact=x").await.refused(400);
        world.get("/Organization?_format=csv").await.refused(406);
        let long = format!("identifier={}", "1,".repeat(40_000));
        world.post("/Patient/_search", &long).await.refused(413);
        let many = format!("identifier={}", "1,".repeat(101));
        world.post("/Patient/_search", &many).await.refused(400);
    });
}

#[test]
fn the_statement_needs_no_token_and_xml_is_to_be_had() {
    on_worlds(|world| async move {
        for path in ["/metadata", "/metadata?_format=xml"] {
            let request = Request::get(format!("{PREFIX}{path}")).body(Body::empty());
            let answer = world.send(request.unwrap()).await;
            assert_eq!(answer.status, 200);
            assert!(answer.text.contains("CapabilityStatement"));
        }
        let read = world
            .get(&format!("/Practitioner/hpr-{HPR}?_format=xml"))
            .await;
        let kind = read.headers["content-type"].to_str().unwrap();
        assert!(kind.starts_with("application/fhir+xml"), "{kind}");
        assert!(
            read.text
                .contains("<Practitioner xmlns=\"http://hl7.org/fhir\">"),
            "{}",
            read.text
        );
    });
}
