//! The official FHIRPath R4 test file, with a counted list of known deviations.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use fhir::path::{Env, Expr, Item, to_text};
use fhir::{Doc, Limits};
use quick_xml::Reader;
use quick_xml::events::Event;

/// 2026-11-23T08:00:00Z
const NOW: i64 = 1_795_420_800_000_000;

#[derive(Default, Debug)]
struct Case {
    group: String,
    name: String,
    input: String,
    predicate: bool,
    expression: String,
    invalid: String,
    outputs: Vec<(String, String)>,
}

fn cases(text: &str) -> Vec<Case> {
    let mut r = Reader::from_str(text);
    let (mut out, mut group, mut case) = (Vec::new(), String::new(), Case::default());
    let mut text = String::new();
    loop {
        let event = r.read_event().unwrap();
        let empty = matches!(event, Event::Empty(_));
        match event {
            Event::Eof => return out,
            Event::Start(e) | Event::Empty(e) => {
                let attr = |n: &str| {
                    e.attributes()
                        .flatten()
                        .find(|a| a.key.as_ref() == n)
                        .map(|a| quick_xml::escape::unescape(&a.value).unwrap().into_owned())
                        .unwrap_or_default()
                };
                text.clear();
                match e.name().as_ref() {
                    "group" => group = attr("name"),
                    "test" => {
                        case = Case {
                            group: group.clone(),
                            name: attr("name"),
                            input: attr("inputfile"),
                            predicate: attr("predicate") == "true",
                            ..Case::default()
                        }
                    }
                    "expression" => case.invalid = attr("invalid"),
                    "output" => {
                        case.outputs.push((attr("type"), String::new()));
                        if empty {
                            continue;
                        }
                    }
                    _ => {}
                }
            }
            Event::Text(t) => text.push_str(&t),
            Event::CData(t) => text.push_str(&t),
            Event::GeneralRef(g) => {
                text.push_str(&quick_xml::escape::unescape(&format!("&{};", &*g)).unwrap())
            }
            Event::End(e) => match e.name().as_ref() {
                "expression" => case.expression = std::mem::take(&mut text),
                "output" => {
                    if let Some(o) = case.outputs.last_mut() {
                        o.1 = std::mem::take(&mut text);
                    }
                }
                "test" => out.push(std::mem::take(&mut case)),
                _ => {}
            },
            _ => {}
        }
    }
}

fn shown(i: &Item<'_>) -> String {
    let s = i.system();
    match &s {
        Item::Date(_) | Item::DateTime(_) => format!("@{}", to_text(&s).unwrap()),
        Item::Time(_) => format!("@T{}", to_text(&s).unwrap()),
        _ => to_text(&s).unwrap_or_else(|| "(complex)".into()),
    }
}

/// `Err` says how the case differs.
fn run(case: &Case, docs: &HashMap<String, Doc>) -> Result<(), String> {
    let expr = match Expr::compile(&case.expression) {
        Ok(e) if case.invalid == "syntax" => return Err(format!("compiles: {}", e.text())),
        Ok(e) => e,
        Err(_) if !case.invalid.is_empty() => return Ok(()),
        Err(e) => return Err(e.to_string()),
    };
    let input = if case.input.is_empty() {
        "patient-example.xml"
    } else {
        &case.input
    };
    let doc = docs.get(input).ok_or("no input")?;
    // The file's semantic errors are told without running the expression.
    let checked = expr.check(fhir::Pack::r4(), doc.root().type_id());
    match checked {
        Err(_) if !case.invalid.is_empty() => return Ok(()),
        Err(e) => return Err(format!("static check: {e}")),
        Ok(()) => {}
    }
    let env = Env::new(doc.root(), NOW);
    let found = match expr.eval_in(&env) {
        Ok(_) if !case.invalid.is_empty() => {
            return Err(format!("evaluates although {}", case.invalid));
        }
        Ok(v) => v,
        Err(_) if !case.invalid.is_empty() => return Ok(()),
        Err(e) => return Err(e.to_string()),
    };
    let got: Vec<String> = if case.predicate {
        vec![(!found.is_empty()).to_string()]
    } else {
        found.iter().map(shown).collect()
    };
    let want: Vec<String> = case.outputs.iter().map(|o| o.1.trim().to_owned()).collect();
    // Dates stand with and without @ in the file.
    let bare = |v: &[String]| {
        v.iter()
            .map(|s| s.trim_start_matches('@').trim_start_matches('T').to_owned())
            .collect::<Vec<_>>()
    };
    if bare(&got) == bare(&want) {
        Ok(())
    } else {
        Err(format!("gives {got:?}, wanted {want:?}"))
    }
}

/// Cases where we differ, with the reason.
const KNOWN: &[(&str, &str)] = &[];

#[test]
fn official_fhirpath_tests() {
    let (Some(dir), Some(inputs)) = (crate::shared("fhirpath"), crate::shared("examples")) else {
        return;
    };
    let mut docs = HashMap::new();
    for entry in std::fs::read_dir(inputs).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read(&path).unwrap();
        let doc = if name.ends_with(".xml") {
            Doc::parse_xml(&text, &Limits::default())
        } else {
            Doc::parse_json(Bytes::from(text), &Limits::default())
        };
        docs.insert(name, doc.unwrap());
    }
    let all = cases(&std::fs::read_to_string(dir.join("tests-fhir-r4.xml")).unwrap());
    let (mut passed, mut skipped) = (0, 0);
    let mut failed: BTreeMap<String, String> = BTreeMap::new();
    for case in &all {
        if !case.input.is_empty() && !docs.contains_key(&case.input) {
            skipped += 1;
            println!("SKIPPED {}: input {} is absent", case.name, case.input);
            continue;
        }
        match run(case, &docs) {
            Ok(()) => passed += 1,
            Err(e) => {
                failed.insert(
                    format!("{}/{}", case.group, case.name),
                    format!("{} | {e}", case.expression),
                );
            }
        }
    }
    println!(
        "{} cases: {passed} pass, {} known deviations, {skipped} skipped",
        all.len(),
        failed.len()
    );
    let known: BTreeSet<&str> = KNOWN.iter().map(|k| k.0).collect();
    let new: Vec<_> = failed
        .iter()
        .filter(|(k, _)| !known.contains(k.as_str()))
        .collect();
    for (k, v) in &new {
        println!("{k}: {v}");
    }
    let healed: Vec<_> = known.iter().filter(|k| !failed.contains_key(**k)).collect();
    assert!(new.is_empty(), "{} new deviations", new.len());
    assert!(healed.is_empty(), "listed but passing: {healed:?}");
}
