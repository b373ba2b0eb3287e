//! JSON parser against JSONTestSuite (nst): y_ must parse, n_ must not, i_ either way without panic.

use fhir::Limits;
use fhir::json::value::Value;

#[test]
fn json_test_suite() {
    let Some(dir) = crate::shared("json-parsing") else {
        return;
    };
    let (mut yes, mut no, mut either) = (0, 0, 0);
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read(&path).unwrap();
        let ok = Value::parse(
            &text,
            &Limits {
                max_depth: 600,
                ..Limits::default()
            },
        )
        .is_ok();
        match name.get(..2) {
            // Duplicate keys are legal JSON but not legal FHIR.
            Some("y_") if name.contains("duplicated_key") => either += 1,
            Some("y_") => {
                yes += 1;
                if !ok {
                    wrong.push(name);
                }
            }
            Some("n_") => {
                no += 1;
                if ok {
                    wrong.push(name);
                }
            }
            Some("i_") => either += 1,
            _ => {}
        }
    }
    println!("{yes} must parse, {no} must not, {either} either way");
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(yes > 80 && no > 150);
}
