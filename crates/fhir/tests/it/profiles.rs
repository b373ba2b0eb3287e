//! Published profiles and the examples that declare them: every definition compiles, and examples are judged without faults of ours.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use fhir::profile::{Asked, Found, Library, Source, Validator, compile};
use fhir::{Doc, Limits};

struct Files(HashMap<String, Doc>);

impl Source for Files {
    fn find(&self, canonical: &str) -> Option<Found> {
        let url = canonical.split('|').next()?;
        self.0.get(url).map(|d| Found::Text(Box::new(d.clone())))
    }
}

fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    for e in entries.flatten() {
        let path = e.path();
        if path.is_dir() {
            walk(&path, out);
        } else if path.extension().is_some_and(|x| x == "json" || x == "xml") {
            out.push(path);
        }
    }
}

/// All FHIR resources of the shared material, by file name.
fn resources() -> Vec<(String, Doc)> {
    let Some(examples) = crate::shared("examples") else {
        return Vec::new();
    };
    let data = examples.ancestors().nth(2).unwrap().to_path_buf();
    let mut files = Vec::new();
    walk(&data, &mut files);
    files.sort();
    let mut out = Vec::new();
    for path in files {
        let Ok(text) = std::fs::read(&path) else {
            continue;
        };
        let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&text).to_vec();
        let doc = if path.extension().is_some_and(|x| x == "xml") {
            Doc::parse_xml(&text, &Limits::default())
        } else {
            Doc::parse_json(Bytes::from(text), &Limits::default())
        };
        if let Ok(d) = doc
            && fhir::Pack::r4().resource_type(d.resource_type()).is_some()
        {
            let name = path.strip_prefix(&data).unwrap().display().to_string();
            out.push((name, d));
        }
    }
    out
}

/// Published examples that do not follow the definitions they declare, and the rules they break; each was looked at by hand.
const FAULTY: &[(&str, &[&str])] = &[
    ("IT_iti-65_ProvideBundle", &["dom-3", "system-absolute"]),
    ("fhir-mhd/BundleCreate", &["system-absolute"]),
    ("no-basis-Appointment-example", &["profile-slice"]),
    ("no-basis-HealthcareService-example", &["primitive-format"]),
    (
        "safest-MedicinalProduct-",
        &["profile-cardinality", "system-absolute"],
    ),
    (
        "safest-MedicinalProductPharmaceutical",
        &["system-absolute"],
    ),
    ("safest-MedicinalProductManufactured", &["profile-fixed"]),
    (
        "safest-MedicinalProductPackaged",
        &["cardinality", "profile-slice"],
    ),
    ("fhir/examples/codesystem-example", &["csd-1"]),
    ("gd-Person-04021950128", &["profile-none", "profile-type"]),
    (
        "gd-RelatedPerson-example",
        &["reference-target", "profile-slice"],
    ),
    (
        "AppointmentEksempel",
        &[
            "contained-flag-allowed-codes",
            "profile-cardinality",
            "profile-slice",
        ],
    ),
    (
        "helsenorge/questionnaires",
        &["que-6", "que-7", "profile-type", "json-empty"],
    ),
];

#[test]
fn published_profiles_compile_and_judge_their_examples() {
    let all = resources();
    let mut files = HashMap::new();
    for (_, d) in all
        .iter()
        .filter(|(_, d)| d.resource_type() == "StructureDefinition")
    {
        if let Some(url) = d.root().str_at("url") {
            files.insert(url.to_owned(), d.clone());
        }
    }
    let source = Files(files);
    let mut notes = BTreeMap::new();
    let mut compiled = 0;
    for (name, d) in all
        .iter()
        .filter(|(_, d)| d.resource_type() == "StructureDefinition")
    {
        let library = Library::with(&source);
        match compile(d.clone(), &library) {
            Ok(p) => {
                compiled += 1;
                for n in &p.notes {
                    notes.insert(format!("{name}: {}", n.text), ());
                }
            }
            Err(f) => drop(notes.insert(format!("{name}: {:?}", f[0].text), ())),
        }
    }
    println!("{compiled} definitions compile, {} notes", notes.len());
    // One published expression has a fault.
    notes.retain(|n, ()| !n.contains("addressType-1"));
    assert!(notes.is_empty(), "{notes:?}");
    let mut judged = 0;
    let mut wrong = Vec::new();
    let library = Library::with(&source);
    for (name, d) in &all {
        if d.resource_type() == "StructureDefinition" || d.root().at("meta.profile").is_none() {
            continue;
        }
        judged += 1;
        let v = Validator {
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
        let known = FAULTY
            .iter()
            .find(|k| name.contains(k.0))
            .map_or(&[][..], |k| k.1);
        for f in v.check(d, &asked).iter().filter(|f| f.is_error()) {
            if !known.contains(&f.rule.as_str()) {
                wrong.push(format!("{name}: {} {} {}", f.expression, f.rule, f.text));
            }
        }
    }
    println!("{judged} examples judged");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
