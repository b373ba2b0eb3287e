//! The house keeps its own rules (DESIGN §2): floors, licences, file sizes, opening words.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Floors from the ground up; a crate uses only crates of lower floors, or earlier ones on floors where that is allowed.
const FLOORS: &[(u8, &[&str])] = &[
    (
        1,
        &[
            "codes", "jose", "xmlsec", "fhir", "edi", "amqp", "amqp091", "ebxml", "mail",
        ],
    ),
    (2, &["store", "edge"]),
    (3, &["registers", "trust", "records"]),
    (
        4,
        &[
            "helseid",
            "meldinger",
            "kjernejournal",
            "provesvar",
            "dokumenter",
            "helsenorge",
            "grunndata",
        ],
    ),
    (5, &["portal", "hub"]),
    (
        6,
        &["nation", "actors", "bench", "helsenav", "blackbox", "xtask"],
    ),
];

/// May an actor link them? It speaks to the hub from outside only.
const FORBIDDEN_TO_ACTORS: &[&str] = &[
    "store",
    "edge",
    "registers",
    "trust",
    "records",
    "hub",
    "portal",
];

const ALLOWED_LICENCES: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "CC0-1.0",
    "0BSD",
    "Unlicense",
    "BSL-1.0",
    "CDLA-Permissive-2.0",
    "MPL-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "OpenSSL",
];

/// Above this many lines people stop reading files whole.
const MAX_LINES: usize = 800;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

fn metadata(with_dependencies: bool) -> Value {
    let mut command = Command::new(env!("CARGO"));
    command
        .current_dir(root())
        .args(["metadata", "--format-version", "1", "--locked"]);
    if !with_dependencies {
        command.arg("--no-deps");
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn floor_of(name: &str) -> (u8, usize) {
    FLOORS
        .iter()
        .find_map(|(floor, crates)| {
            crates
                .iter()
                .position(|c| *c == name)
                .map(|place| (*floor, place))
        })
        .unwrap_or_else(|| {
            panic!("crate {name} stands on no floor: add it to FLOORS and ARCHITECTURE.md")
        })
}

#[test]
fn lower_floors_know_nothing_of_higher_ones() {
    let metadata = metadata(false);
    let packages = metadata["packages"].as_array().unwrap();
    let names: BTreeSet<&str> = packages
        .iter()
        .map(|p| p["name"].as_str().unwrap())
        .collect();
    let mut wrong = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let (floor, place) = floor_of(name);
        for dependency in package["dependencies"].as_array().unwrap() {
            let on = dependency["name"].as_str().unwrap();
            if !names.contains(on) || dependency["kind"].as_str() == Some("dev") {
                continue;
            }
            let (other, other_place) = floor_of(on);
            let is_fine = match floor {
                // Services never import one another.
                4 => other < floor,
                6 if name == "nation" => other == 1,
                6 if name == "actors" => other == 1 || on == "nation",
                6 => true,
                _ => other < floor || (other == floor && other_place < place),
            };
            if !is_fine {
                wrong.push(format!("{name} (floor {floor}) uses {on} (floor {other})"));
            }
            if name == "actors" && FORBIDDEN_TO_ACTORS.contains(&on) {
                wrong.push(format!("actors may not link {on}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn licences_are_allowed() {
    let metadata = metadata(true);
    let mut wrong = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let licence = package["license"].as_str().unwrap_or("(none)");
        // An expression is fine when one alternative of each OR is allowed and all parts of each AND are.
        let is_fine = licence.replace('/', " OR ").split(" AND ").all(|all| {
            all.split(" OR ")
                .any(|one| ALLOWED_LICENCES.contains(&one.trim_matches(['(', ')', ' '])))
        });
        if !is_fine {
            wrong.insert(
                package["name"].as_str().unwrap().to_owned(),
                licence.to_owned(),
            );
        }
    }
    assert!(
        wrong.is_empty(),
        "licences outside the list of docs/dependencies.md: {wrong:?}"
    );
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            assert_ne!(name, "utils", "{}: no folder called utils", path.display());
            if name != "target" && name != "node_modules" {
                rust_files(&path, found);
            }
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

#[test]
fn files_can_be_read_whole() {
    let mut files = Vec::new();
    for folder in ["crates", "bench", "tests", "xtask"] {
        rust_files(&root().join(folder), &mut files);
    }
    let long: Vec<String> = files
        .iter()
        .filter_map(|path| {
            let lines = std::fs::read_to_string(path).unwrap().lines().count();
            (lines > MAX_LINES).then(|| format!("{}: {lines} lines", path.display()))
        })
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn every_crate_says_what_it_is() {
    let metadata = metadata(false);
    for package in metadata["packages"].as_array().unwrap() {
        let folder = Path::new(package["manifest_path"].as_str().unwrap())
            .parent()
            .unwrap()
            .join("src");
        let file = ["lib.rs", "main.rs"]
            .iter()
            .map(|f| folder.join(f))
            .find(|f| f.exists())
            .unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(
            text.starts_with("//! "),
            "{} opens with no words",
            file.display()
        );
        assert!(
            !text.contains("(being built)"),
            "{} is an empty room",
            file.display()
        );
    }
}

#[test]
fn nothing_of_the_workplace_is_committed() {
    let output = Command::new("git")
        .current_dir(root())
        .args(["ls-files", "-z"])
        .output()
        .unwrap();
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for line in lock.lines().filter(|l| l.starts_with("source = ")) {
        assert!(
            line.contains("github.com/rust-lang/crates.io-index"),
            "{line}"
        );
    }
    for file in String::from_utf8_lossy(&output.stdout)
        .split('\0')
        .filter(|f| f.ends_with("package-lock.json"))
    {
        let Ok(text) = std::fs::read_to_string(root().join(file)) else {
            continue;
        };
        for line in text.lines().filter(|l| l.contains("\"resolved\"")) {
            assert!(
                line.contains("https://registry.npmjs.org/"),
                "{file}: {line}"
            );
        }
    }
}
