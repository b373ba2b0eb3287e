//! Every view follows the profile it claims: the national base profiles in the house's own words, and the published ones
//! where they are at hand.

use super::on_worlds;
use super::world::*;
use crate::persons::world::{CHILD, CLIENT_ADDRESS, CODE_6, CODE_7, HELP_NUMBER, KARI, LOST, id};
use ::fhir::profile::{Asked, Found, Library, Source, Validator};
use ::fhir::{Doc, Limits};
use bytes::Bytes;
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

struct Files(HashMap<String, Doc>);

impl Source for Files {
    fn find(&self, canonical: &str) -> Option<Found> {
        let url = canonical.split('|').next()?;
        self.0.get(url).map(|d| Found::Text(Box::new(d.clone())))
    }
}

fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, out);
        } else if path.extension().is_some_and(|x| x == "xml") {
            out.push(path);
        }
    }
}

/// The published definitions, where they are at hand.
fn published() -> Option<Files> {
    let root = std::env::var_os("HELSENAV_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let mut files = Vec::new();
    for folder in ["fhir-gd", "fhir-no-basis"] {
        let dir = root
            .join("data/grunndata")
            .join(folder)
            .join("StructureDefinition");
        walk(&dir, &mut files);
    }
    if files.is_empty() {
        println!("SKIPPED: the published profiles are absent (set HELSENAV_SHARED)");
        return None;
    }
    let mut found = HashMap::new();
    for file in files {
        let text = std::fs::read(file).unwrap();
        let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&text);
        if let Ok(doc) = Doc::parse_xml(text, &Limits::default())
            && let Some(url) = doc.root().str_at("url")
        {
            found.insert(url.to_owned(), doc.clone());
        }
    }
    Some(Files(found))
}

/// One of every kind of view.
async fn views(world: &World) -> Vec<Value> {
    let whole = "_elements=identifier,name,gender,birthDate,address,extension,relationship";
    let mut all = Vec::new();
    for nin in [
        KARI,
        CHILD,
        CLIENT_ADDRESS,
        CODE_7,
        CODE_6,
        HELP_NUMBER,
        LOST,
    ] {
        all.push(
            world
                .get(&format!("/Person/{}?{whole}", id(nin)))
                .await
                .ok(),
        );
        all.push(world.get(&format!("/Person/{}", id(nin))).await.ok());
        all.push(world.get(&format!("/Patient/{}", id(nin))).await.ok());
    }
    for path in [
        format!("/RelatedPerson/{}{}?{whole},name", id(KARI), id(CHILD)),
        format!("/RelatedPerson/{}{}", id(KARI), id(CHILD)),
        format!("/Practitioner/hpr-{HPR}"),
        format!("/PractitionerRole/her-{DOCTOR_PARTY}"),
        format!("/PractitionerRole/gp-{CONTRACT}-1"),
        format!("/Organization/enh-{UNIT}"),
        format!("/Organization/resh-{WARD_RESH}"),
        format!("/Organization/her-{WARD}"),
        format!("/HealthcareService/her-{WARD}"),
        format!("/HealthcareService/gp-{CONTRACT}"),
        format!("/Endpoint/her-{WARD}-E.EDI"),
        "/Organization?name=nordlys".to_owned(),
        "/metadata".to_owned(),
    ] {
        all.push(world.get(&path).await.ok());
    }
    all
}

fn faults(library: &Library<'_>, view: &Value, extensions: bool) -> Vec<String> {
    let doc = Doc::parse_json(Bytes::from(view.to_string()), &Limits::default()).unwrap();
    let validator = Validator {
        library,
        terminology: None,
        references: None,
        now_us: 1_795_420_800_000_000,
    };
    let asked = Asked {
        declared: true,
        extensions,
        ..Asked::default()
    };
    let found = validator.check(&doc, &asked);
    let faults = found.iter().filter(|f| f.is_error());
    faults
        .map(|f| {
            format!(
                "{} {}: {} {} {}",
                view["resourceType"], view["id"], f.expression, f.rule, f.text
            )
        })
        .collect()
}

#[test]
fn every_view_follows_its_profile() {
    on_worlds(|world| async move {
        let all = views(&world).await;
        let library = Library::built_in();
        let wrong: Vec<String> = all
            .iter()
            .flat_map(|view| faults(&library, view, false))
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        let Some(files) = published() else { return };
        let library = Library::with(&files);
        let claimed = all
            .iter()
            .filter(|view| !view["meta"]["profile"].is_null())
            .count();
        assert!(claimed > 20, "{claimed}");
        let wrong: Vec<String> = all
            .iter()
            .flat_map(|view| faults(&library, view, true))
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}
