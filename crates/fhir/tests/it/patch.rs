//! JSON Patch against the official cases.

use fhir::Limits;
use fhir::json::value::Value;
use fhir::patch::json_patch;

#[test]
fn official_json_patch_cases() {
    let Some(dir) = crate::shared("patch") else {
        return;
    };
    let text = std::fs::read(dir.join("json-patch-tests.json")).unwrap();
    let limits = Limits::default();
    let Value::Array(cases) = Value::parse(&text, &limits).unwrap() else {
        panic!("not a list")
    };
    let mut run = 0;
    for case in &cases {
        let name = case
            .get("comment")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let (Some(doc), Some(patch)) = (case.get("doc"), case.get("patch")) else {
            continue;
        };
        let got = json_patch(&doc.to_vec(), &patch.to_vec(), &limits);
        match case.get("expected") {
            Some(want) => {
                let got = got.unwrap_or_else(|f| panic!("{name}: {f:?}"));
                assert!(Value::parse(&got, &limits).unwrap().same(want), "{name}");
            }
            None => assert!(got.is_err(), "{name} must fail"),
        }
        run += 1;
    }
    println!("{run} cases");
    assert!(run > 10);
}
