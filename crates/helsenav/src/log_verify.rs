//! `helsenav log verify FILE`: checks the proof that a citizen was handed, offline (spec/privacy.md §9.3).

use anyhow::{Context, Result};
use serde_json::Value;
use std::path::Path;
use std::process::ExitCode;

/// Reads the file: one proof, a list of proofs, or `{ "jwks": …, "proofs": […] }`; says for each what it proves.
pub(crate) fn run(file: &Path, jwks: Option<&Path>) -> Result<ExitCode> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let extract: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is not JSON", file.display()))?;
    let keys: Value = match jwks {
        Some(path) => serde_json::from_str(&std::fs::read_to_string(path)?)
            .context("the keys are not JSON")?,
        None => extract
            .get("jwks")
            .cloned()
            .context("the file carries no keys: give them with --jwks")?,
    };
    let proofs: Vec<&Value> = match (&extract, extract.get("proofs")) {
        (_, Some(Value::Array(list))) => list.iter().collect(),
        (Value::Array(list), _) => list.iter().collect(),
        _ => vec![&extract],
    };
    let mut wrong = 0usize;
    for (index, proof) in proofs.iter().enumerate() {
        match store::journal::proof::verify(proof, &keys) {
            Ok(_) => {}
            Err(error) => {
                wrong += 1;
                println!("line {}: NOT proven: {error}", index + 1);
            }
        }
    }
    if wrong == 0 {
        println!(
            "OK: {} line(s) stand unchanged in the sealed log",
            proofs.len()
        );
        Ok(ExitCode::SUCCESS)
    } else {
        println!("FAILED: {wrong} of {} line(s) are not proven", proofs.len());
        Ok(ExitCode::from(1))
    }
}
