//! R4's own code systems, value sets and concept maps → one compressed file, a resource per line.
//!
//! Same package as `definitions`. Left out: texts for people that no operation answers with (narrative, publisher,
//! descriptions, extensions), what is too big, and value sets that list codes of licensed terminologies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde_json::{Map, Value};

use crate::definitions::{fetch, load};

/// Members of a resource that are kept.
const KEPT: &[&str] = &[
    "resourceType",
    "url",
    "version",
    "name",
    "title",
    "status",
    "experimental",
    "language",
    "caseSensitive",
    "valueSet",
    "hierarchyMeaning",
    "content",
    "supplements",
    "property",
    "concept",
    "compose",
    "sourceUri",
    "sourceCanonical",
    "targetUri",
    "targetCanonical",
    "group",
];

/// Systems whose codes may be listed here: HL7's own, and registries and units that anybody may copy.
const OPEN_SYSTEMS: &[&str] = &[
    "http://hl7.org/fhir/",
    "http://terminology.hl7.org/",
    "http://unitsofmeasure.org",
    "urn:ietf:",
    "urn:iso:",
    "http://example.",
    "http://acme.",
];

/// Largest resource taken, bytes of JSON.
const MAX_BYTES: usize = 450_000;

/// Entry point of the tool.
pub fn run(package: Option<PathBuf>, check: bool) -> Result<()> {
    let dir = match package {
        Some(dir) => dir,
        None => fetch()?,
    };
    let (lines, notes) = build(&dir)?;
    for note in &notes {
        println!("note: {note}");
    }
    let path = path();
    if check {
        let old = zstd::decode_all(std::fs::read(&path)?.as_slice())?;
        ensure!(
            old == lines,
            "the committed terminology differs from its source; run cargo xtask terminology"
        );
        println!("the committed terminology agrees with its source");
        return Ok(());
    }
    let packed = zstd::encode_all(lines.as_slice(), 19)?;
    std::fs::write(&path, &packed)?;
    println!("{} bytes packed, {} plain", packed.len(), lines.len());
    Ok(())
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(|root| root.join("crates/fhir/pack/r4-terminology.ndjson.zst"))
        .unwrap_or_default()
}

/// The lines, sorted by type and URL, and what was left out.
fn build(dir: &Path) -> Result<(Vec<u8>, Vec<String>)> {
    let mut notes = Vec::new();
    let mut lines: BTreeMap<(String, String), String> = BTreeMap::new();
    for file in [
        "valuesets.json",
        "v3-codesystems.json",
        "v2-tables.json",
        "conceptmaps.json",
    ] {
        for mut resource in load(dir, file)? {
            let member = |name: &str| {
                resource
                    .get(name)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            let key = (member("resourceType"), member("url"));
            if let Some(system) = licensed(&resource) {
                notes.push(format!("{} {} lists codes of {system}", key.0, key.1));
                continue;
            }
            slim(&mut resource);
            let line = serde_json::to_string(&resource)?;
            if line.len() > MAX_BYTES {
                notes.push(format!(
                    "{} {} is too big ({} bytes)",
                    key.0,
                    key.1,
                    line.len()
                ));
                continue;
            }
            lines.insert(key, line);
        }
    }
    let mut out = Vec::new();
    for line in lines.into_values() {
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
    ensure!(!out.is_empty(), "the package holds no terminology");
    Ok((out, notes))
}

/// A system that is not open and of which the resource lists codes.
fn licensed(resource: &Value) -> Option<String> {
    let compose = resource.get("compose");
    let parts = ["include", "exclude"]
        .iter()
        .filter_map(|name| compose?.get(name)?.as_array())
        .flatten()
        .filter(|part| part.get("concept").is_some())
        .filter_map(|part| part.get("system")?.as_str());
    let groups = resource
        .get("group")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .flat_map(|group| {
            ["source", "target"]
                .iter()
                .filter_map(|name| group.get(name)?.as_str())
        });
    let own = resource
        .get("concept")
        .and(resource.get("url"))
        .and_then(Value::as_str);
    parts
        .chain(groups)
        .chain(own)
        .find(|system| !OPEN_SYSTEMS.iter().any(|open| system.starts_with(open)))
        .map(str::to_owned)
}

fn slim(resource: &mut Value) {
    let Some(object) = resource.as_object_mut() else {
        return;
    };
    let kept: Map<String, Value> = KEPT
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), object.remove(*name)?)))
        .collect();
    *object = kept;
    without_extensions(resource);
}

fn without_extensions(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|name, _| name != "extension" && name != "id" && !name.starts_with('_'));
            object.values_mut().for_each(without_extensions);
        }
        Value::Array(items) => items.iter_mut().for_each(without_extensions),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definitions::cache_dir;

    /// The committed file says what its source says. Needs the package, as the test of the definitions does.
    #[test]
    fn committed_terminology_agrees_with_its_source() {
        let dir = std::env::var_os("HELSENAV_DEFINITIONS")
            .map(PathBuf::from)
            .unwrap_or_else(cache_dir);
        if !dir.join("package.json").exists() {
            println!(
                "SKIPPED: the FHIR definitions package is absent; run cargo xtask terminology --check to fetch it"
            );
            return;
        }
        let (built, _) = build(&dir).unwrap();
        let committed = zstd::decode_all(std::fs::read(path()).unwrap().as_slice()).unwrap();
        assert!(
            committed == built,
            "the committed terminology differs from its source; run cargo xtask terminology"
        );
    }

    #[test]
    fn licensed_codes_are_left_out() {
        let set = |system: &str| serde_json::json!({ "compose": { "include": [{ "system": system, "concept": [{ "code": "1" }] }] } });
        assert!(licensed(&set("http://snomed.info/sct")).is_some());
        assert!(licensed(&set("http://hl7.org/fhir/x")).is_none());
        let whole =
            serde_json::json!({ "compose": { "include": [{ "system": "http://loinc.org" }] } });
        assert!(licensed(&whole).is_none());
    }
}
