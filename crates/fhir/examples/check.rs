//! Checks FHIR files as `$validate` does, without a server: `cargo run -p fhir --example check -- file.json file.xml file.ndjson`.
//!
//! Prints errors and warnings by rule with the first place of each, and how many resources were looked at.

use std::collections::BTreeMap;

use bytes::Bytes;
use fhir::profile::{Asked, Library, Validator};
use fhir::{Doc, Finding, Limits, Severity};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let library = Library::built_in();
    let validator = Validator {
        library: &library,
        terminology: None,
        references: None,
        now_us: 1_795_420_800_000_000,
    };
    let asked = Asked {
        declared: true,
        extensions: true,
        ..Asked::default()
    };
    let mut by_rule: BTreeMap<String, (usize, String)> = BTreeMap::new();
    let mut count = 0usize;
    for name in std::env::args().skip(1) {
        let text = std::fs::read(&name)?;
        let parts: Vec<&[u8]> = if name.ends_with(".ndjson") {
            text.split(|b| *b == b'\n').collect()
        } else {
            vec![text.as_slice()]
        };
        for (part, line) in parts.iter().zip(1usize..) {
            if part.is_empty() {
                continue;
            }
            count += 1;
            let doc = if name.ends_with(".xml") {
                Doc::parse_xml(part, &Limits::default())
            } else {
                Doc::parse_json(Bytes::copy_from_slice(part), &Limits::default())
            };
            let found: Vec<Finding> = match &doc {
                Ok(d) => validator.check(d, &asked),
                Err(f) => f.clone(),
            };
            for f in found.iter().filter(|f| f.severity <= Severity::Warning) {
                let place = format!("{name}:{line} {} {}", f.expression, f.text);
                let entry = by_rule
                    .entry(format!("{} {}", f.severity.as_str(), f.rule))
                    .or_insert((0, place));
                entry.0 += 1;
            }
        }
    }
    println!("{count} resources");
    for (rule, (n, place)) in by_rule {
        println!("{n:>7} {rule}: {place}");
    }
    Ok(())
}
