//! How fast documents are read, indexed and checked: `cargo run --release -p fhir --example speed`.
//!
//! One synthetic laboratory Observation of about 4.4 KB; figures are for one core.

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use fhir::build::splice_meta;
use fhir::keys::{Options, extract_with};
use fhir::path::{Env, Expr};
use fhir::validate::{validate, validate_all};
use fhir::{Doc, Limits, Pack};
use serde_json::{Value, json};

fn observation() -> Bytes {
    let quantity = |v: f64, code: &str| json!({"value": v, "unit": code, "system": "http://unitsofmeasure.org", "code": code});
    let coded = |code: &str, text: &str| json!({"coding": [{"system": "http://loinc.org", "code": code, "display": text}, {"system": "urn:oid:2.16.578.1.12.4.1.1.7280", "code": format!("NPU{code}"), "display": text}], "text": text});
    let component: Vec<Value> = (0..6)
        .map(|i| {
            json!({
                "code": coded(&format!("848{i}-6"), "Systolisk blodtrykk målt på overarm"), "valueQuantity": quantity(120.5 + f64::from(i), "mm[Hg]"),
                "referenceRange": [{"low": quantity(90.0, "mm[Hg]"), "high": quantity(140.0, "mm[Hg]"), "text": "90-140"}],
                "interpretation": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", "code": "N"}]}]
            })
        })
        .collect();
    let v = json!({
        "resourceType": "Observation", "id": "obs-1", "meta": {"profile": ["http://example.org/StructureDefinition/lab"]},
        "identifier": [{"system": "urn:uuid", "value": "d5a3c1de-3f7e-4d8e-a1b4-1f0d5f8a9a11"}], "status": "final",
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs", "display": "Vital Signs"}]}],
        "code": coded("85354-9", "Blodtrykkspanel"), "subject": {"reference": "Patient/p1"}, "encounter": {"reference": "Encounter/e1"},
        "effectiveDateTime": "2026-11-23T08:15:00+01:00", "issued": "2026-11-23T08:20:00.000+01:00",
        "performer": [{"reference": "Practitioner/d1"}, {"identifier": {"system": "urn:oid:2.16.578.1.12.4.1.4.4", "value": "9144889"}}],
        "component": component
    });
    Bytes::from(v.to_string())
}

fn time(name: &str, bytes: usize, mut f: impl FnMut()) {
    for _ in 0..200 {
        f();
    }
    let start = Instant::now();
    let mut n = 0u32;
    while start.elapsed().as_millis() < 700 {
        for _ in 0..50 {
            f();
        }
        n += 50;
    }
    let each = start.elapsed().as_secs_f64() / f64::from(n);
    println!(
        "{name:<34} {:>9.2} µs   {:>8.0} MB/s",
        each * 1e6,
        bytes as f64 / each / 1e6
    );
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let start = Instant::now();
    let pack = Pack::r4();
    println!(
        "definition pack loaded in {:.1} ms",
        start.elapsed().as_secs_f64() * 1e3
    );
    let body = observation();
    let limits = Limits::default();
    let doc = Doc::parse_json(body.clone(), &limits).map_err(|f| format!("{f:?}"))?;
    let options = Options::default();
    println!(
        "{} bytes, {} elements, {} keys",
        body.len(),
        doc.len(),
        extract_with(pack, &doc, 0, &options)?.len()
    );
    let simple = Expr::compile("Observation.subject.where(resolve() is Patient).reference")?;
    let path = Expr::compile("Observation.component.code.coding.code")?;
    time("serde_json to Value", body.len(), || {
        drop(black_box(serde_json::from_slice::<Value>(&body)))
    });
    time("Doc::parse_json", body.len(), || {
        drop(black_box(Doc::parse_json(body.clone(), &limits)))
    });
    time("extract keys", body.len(), || {
        drop(black_box(extract_with(pack, &doc, 0, &options)))
    });
    time("validate structure", body.len(), || {
        drop(black_box(validate(pack, &doc)))
    });
    time("validate with invariants", body.len(), || {
        drop(black_box(validate_all(pack, &doc, 0)))
    });
    time("splice meta", body.len(), || {
        drop(black_box(splice_meta(
            &body,
            "obs-1",
            "3",
            "2026-11-23T08:00:00.000Z",
        )))
    });
    time("to XML", body.len(), || drop(black_box(doc.to_xml())));
    time("FHIRPath where(resolve() is …)", body.len(), || {
        drop(black_box(simple.eval(doc.root(), 0)))
    });
    time("FHIRPath 12-item path, streamed", body.len(), || {
        let mut n = 0;
        let _ = path.for_each(&Env::new(doc.root(), 0), &mut |_| n += 1);
        black_box(n);
    });
    Ok(())
}
