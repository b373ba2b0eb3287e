//! What comes along with a search, places, and earlier versions.

use super::on_worlds;
use super::world::*;
use crate::persons::world::{CODE_7, HOSPITAL, KARI, SINCE};
use grunndata::fhir::PREFIX;
use grunndata::fhir::include::{from, towards};
use grunndata::fhir::kinds::Kind;
use registers::kernel::period::Moment;
use registers::personnel::Short;
use serde_json::Value;
use std::collections::BTreeSet;

/// `mode Type/id` of the entries of a bundle.
fn entries(bundle: &Value) -> BTreeSet<String> {
    let all = bundle["entry"].as_array().into_iter().flatten();
    all.map(|entry| {
        let resource = &entry["resource"];
        let text = |of: &Value| of.as_str().unwrap().to_owned();
        let (mode, kind) = (&entry["search"]["mode"], &resource["resourceType"]);
        format!("{} {}/{}", text(mode), text(kind), text(&resource["id"]))
    })
    .collect()
}

fn set(entries: &[String]) -> BTreeSet<String> {
    entries.iter().cloned().collect()
}

#[test]
fn what_is_referred_to_comes_along_once() {
    on_worlds(|world| async move {
        let roles = format!("/PractitionerRole?practitioner=hpr-{HPR}");
        let both = format!(
            "{roles}&_include=PractitionerRole:practitioner&_include=PractitionerRole:organization:Organization"
        );
        let bundle = world.get(&both).await.ok();
        assert_eq!(bundle["total"], 2, "only matches are counted");
        assert_eq!(
            entries(&bundle),
            set(&[
                format!("match PractitionerRole/her-{DOCTOR_PARTY}"),
                format!("match PractitionerRole/gp-{CONTRACT}-1"),
                format!("include Practitioner/hpr-{HPR}"),
                format!("include Organization/enh-{HOSPITAL}"),
                format!("include Organization/enh-{UNIT}"),
            ])
        );
        // References are followed whether they are shown or not.
        let narrow = world.get(&format!("{both}&_elements=active")).await.ok();
        assert_eq!(entries(&narrow), entries(&bundle));
        let role = &resources(&narrow)[0];
        assert!(role.get("practitioner").is_none() && role["active"] == true);
        let all = world.get(&format!("{roles}&_include=*")).await.ok();
        let all = entries(&all);
        for along in [
            format!("include HealthcareService/gp-{CONTRACT}"),
            format!("include Location/enh-{UNIT}"),
            format!("include Endpoint/her-{DOCTOR_PARTY}-E.EDI"),
        ] {
            assert!(all.contains(&along), "{along} is not in {all:?}");
        }
        let page = world.get(&format!("{both}&_count=1")).await.ok();
        let matches = |e: &&String| e.starts_with("match");
        assert_eq!(entries(&page).iter().filter(matches).count(), 1);
        let next = page["link"]
            .as_array()
            .unwrap()
            .iter()
            .find(|l| l["relation"] == "next");
        let next = next.unwrap()["url"].as_str().unwrap().to_owned();
        let (_, next) = next.split_once(PREFIX).unwrap();
        let next = world.get(next).await.ok();
        assert!(entries(&next).contains(&format!("include Organization/enh-{UNIT}")));
    });
}

#[test]
fn what_refers_to_a_match_comes_along() {
    on_worlds(|world| async move {
        let path = format!("/Organization?_id=enh-{UNIT}&_revinclude=*");
        let bundle = world.get(&path).await.ok();
        assert_eq!(
            entries(&bundle),
            set(&[
                format!("match Organization/enh-{UNIT}"),
                format!("include PractitionerRole/gp-{CONTRACT}-1"),
                format!("include HealthcareService/gp-{CONTRACT}"),
                format!("include Location/enh-{UNIT}"),
            ])
        );
        let path = format!("/Practitioner?_id=hpr-{HPR}&_revinclude=PractitionerRole:practitioner");
        assert_eq!(entries(&world.get(&path).await.ok()).len(), 3);
        let path = format!("/Organization?_id=enh-{HOSPITAL}&_revinclude=Organization:partof");
        let below = entries(&world.get(&path).await.ok());
        assert!(below.contains(&format!("include Organization/enh-{UNIT}")));
        for bad in [
            "_include=PractitionerRole:practitioner",
            "_include=Organization",
            "_revinclude=Endpoint:service",
            "_include:iterate=Organization:partof",
        ] {
            let path = format!("/Organization?_id=enh-{UNIT}&{bad}");
            world.get(&path).await.refused(400);
        }
        world.get("/Person?_id=x&_include=*").await.refused(400);
    });
}

/// spec/privacy.md §7.6: who the GP of somebody with kode 6 or 7 is comes neither in her resource nor along with it.
#[test]
fn a_patients_gp_comes_along_where_her_resource_tells_him() {
    on_worlds(|world| async move {
        let patients: Vec<u64> = [KARI, CODE_7].map(|nin| nin.parse().unwrap()).to_vec();
        tokio::task::block_in_place(|| {
            let moved = world
                .lists
                .move_patients(&patients, CONTRACT, SINCE, Short::default());
            moved.unwrap();
        });
        for (nin, comes) in [(KARI, true), (CODE_7, false)] {
            let path = "/Patient/_search?_include=Patient:general-practitioner";
            let bundle = world.post(path, &format!("identifier={nin}")).await.ok();
            let gp = format!("include PractitionerRole/gp-{CONTRACT}-1");
            assert_eq!(entries(&bundle).contains(&gp), comes);
        }
    });
}

#[test]
fn places_of_units() {
    on_worlds(|world| async move {
        let place = world.get(&format!("/Location/enh-{UNIT}")).await.ok();
        assert_eq!(place["status"], "active");
        assert_eq!(place["mode"], "instance");
        assert_eq!(place["address"]["postalCode"], "0110");
        assert_eq!(place["position"]["latitude"], 59.9139);
        let manager = format!("Organization/enh-{UNIT}");
        assert_eq!(place["managingOrganization"]["reference"], manager);
        assert_eq!(place["hoursOfOperation"][0]["openingTime"], "08:00:00");
        for (query, found) in [
            ("name=nordlys%20medisin", 1),
            ("name=klinikk", 0),
            (&format!("organization=enh-{UNIT}"), 1),
            ("organization=enh-310000017", 0),
            ("address-city=oslo", 1),
            ("address-postalcode=01", 1),
            ("address-postalcode=02", 0),
            ("near=59.91|10.75|2|km", 1),
            ("near=60.39|5.32|100|km", 0),
            ("near=59.91|10.75&name=nordlys&address-city=Bergen", 0),
        ] {
            let bundle = world
                .get(&format!("/Location?{}", query.replace('|', "%7C")))
                .await
                .ok();
            assert_eq!(bundle["total"], found, "{query}");
        }
        world.get("/Location?near=91%7C0").await.refused(400);
        // Nobody knows where these are.
        for id in ["enh-310000017", &format!("her-{WARD}"), "x"] {
            world.get(&format!("/Location/{id}")).await.refused(404);
        }
    });
}

#[test]
fn earlier_versions_are_kept() {
    on_worlds(|world| async move {
        let path = format!("/Organization/enh-{UNIT}");
        let first = world.get(&path).await.ok();
        let version = first["meta"]["versionId"].as_str().unwrap().to_owned();
        tokio::task::block_in_place(|| {
            let businesses = world.table.businesses();
            let mut unit = businesses.get(UNIT).unwrap().content.clone();
            unit.name = "Nordlys sykehus, indremedisin".to_owned();
            unit.changed = Moment(SINCE.0 + 1);
            businesses.put(vec![unit]).unwrap();
        });
        let now = world.get(&path).await.ok();
        assert_eq!(now["name"], "Nordlys sykehus, indremedisin");
        assert_ne!(now["meta"]["versionId"], first["meta"]["versionId"]);
        let history = world.get(&format!("{path}/_history")).await.ok();
        assert_eq!(history["type"], "history");
        let all = resources(&history);
        assert_eq!(history["total"], all.len());
        assert_eq!(all[0], now, "newest first, as it is read");
        assert_eq!(all[1], first);
        let entry = &history["entry"][0];
        assert_eq!(entry["request"]["method"], "PUT");
        assert_eq!(entry["request"]["url"], path[1..]);
        let past = world.get(&format!("{path}/_history/{version}")).await.ok();
        assert_eq!(past, first);
        for (id, kind) in [
            (format!("hpr-{HPR}"), "Practitioner"),
            (format!("resh-{WARD_RESH}"), "Organization"),
            (format!("her-{WARD}"), "Organization"),
            (format!("her-{WARD}"), "HealthcareService"),
            (format!("her-{DOCTOR_PARTY}"), "PractitionerRole"),
        ] {
            let read = world.get(&format!("/{kind}/{id}")).await.ok();
            let history = world.get(&format!("/{kind}/{id}/_history")).await.ok();
            assert_eq!(resources(&history)[0], read, "{kind}/{id}");
        }
        for (gone, status) in [
            (format!("{path}/_history/99"), 404),
            (format!("{path}/_history/x"), 404),
            ("/Organization/enh-1/_history".to_owned(), 404),
            // Made of parts of lists: no versions of their own.
            (format!("/HealthcareService/gp-{CONTRACT}/_history"), 404),
            (format!("/Location/enh-{UNIT}/_history"), 404),
            ("/Person/_history".to_owned(), 404),
        ] {
            world.get(&gone).await.refused(status);
        }
    });
}

#[test]
fn the_statement_says_what_can_come_along() {
    on_worlds(|world| async move {
        let statement = world.get("/metadata").await.ok();
        let resources = statement["rest"][0]["resource"].as_array().unwrap();
        for kind in Kind::ALL {
            let told = resources.iter().find(|r| r["type"] == kind.name()).unwrap();
            let names = |name: &str| -> Vec<String> {
                let list = told[name].as_array().into_iter().flatten();
                list.map(|v| v.as_str().unwrap().to_owned()).collect()
            };
            let made: Vec<String> = from(kind).map(|l| l.name()).collect();
            assert_eq!(names("searchInclude"), made);
            let made: Vec<String> = towards(kind).map(|l| l.name()).collect();
            assert_eq!(names("searchRevInclude"), made);
        }
    });
}
