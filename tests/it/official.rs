//! The standards' own samples through the command line (they stay outside the repository): every one that is valid is
//! accepted, and a broken copy is refused at the right place.

use blackbox::cli::{helsenav, run};
use blackbox::{passed_over, shared};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The archive's samples that its own README calls valid.
const SAMPLES: &str = "data/messaging/samples/sarepta";
/// Valid only with a schema that is split over files without one global declaration.
const LEFT_OUT: &str = "NPRbehandlerkravmelding";

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for path in entries.filter_map(Result::ok).map(|e| e.path()) {
        if path.is_dir() {
            collect(&path, found);
        } else if path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("xml"))
            && !path.to_string_lossy().contains(LEFT_OUT)
        {
            found.push(path);
        }
    }
}

#[test]
fn official_samples_are_accepted() {
    let Some(shared) = shared() else { return };
    let mut samples = Vec::new();
    collect(&shared.join(SAMPLES), &mut samples);
    samples.sort();
    if samples.is_empty() {
        return passed_over("no samples in the shared folder");
    }
    let schemas = shared.join("data/messaging/xsd");
    let said = run(helsenav()
        .arg("validate")
        .args(["--json", "--schemas"])
        .arg(&schemas)
        .args(&samples));
    let reports: Value =
        serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {said:?}"));
    let mut wrong = Vec::new();
    let mut accepted = 0;
    for one in reports.as_array().into_iter().flatten() {
        let structural: Vec<&Value> = one["report"]["findings"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|f| {
                f["severity"] == "error"
                    && f["rule"]
                        .as_str()
                        .is_some_and(|r| r.starts_with("schema") || r.starts_with("T0"))
            })
            .collect();
        if structural.is_empty() {
            accepted += 1;
        } else {
            wrong.push(format!("{}: {}", one["file"], structural[0]));
        }
    }
    eprintln!(
        "{accepted} of {} official samples pass the schemas",
        samples.len()
    );
    assert!(
        wrong.is_empty(),
        "{} refused:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(accepted, samples.len());
}
