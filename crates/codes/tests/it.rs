//! The published identifier vectors, when the shared reference data are at hand.

use std::path::PathBuf;

use codes::ident::{Nin, NinError, NinKind, NinRules, Orgnr};

fn shared() -> Option<PathBuf> {
    let dir = std::env::var_os("HELSENAV_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    dir.is_dir().then_some(dir)
}

#[test]
fn published_vectors() {
    let Some(dir) = shared() else {
        println!("skipped: no shared reference data (set HELSENAV_SHARED)");
        return;
    };
    let text =
        std::fs::read_to_string(dir.join("data/grunndata/identifiers/vectors.json")).unwrap();
    let vectors: serde_json::Value = serde_json::from_str(&text).unwrap();
    let strict = NinRules {
        strict_1964: true,
        synthetic: true,
    };
    let persons = vectors["persons"].as_array().unwrap();
    assert!(persons.len() >= 53);
    for row in persons {
        let value = row["value"].as_str().unwrap();
        let nin = Nin::parse(value).unwrap();
        assert_eq!(
            Nin::parse_with(value, strict).is_ok(),
            row["valid_1964"].as_bool().unwrap(),
            "{value}"
        );
        let kind = row["kind"].as_str().unwrap();
        let want = match kind.get(..3).unwrap() {
            "DNR" => NinKind::Dnr,
            "FHN" => NinKind::Fhn,
            _ => NinKind::Fnr,
        };
        assert_eq!(nin.kind(), want, "{value}");
        let synthetic = kind.contains('+');
        assert_eq!(nin.is_synthetic(), synthetic, "{value}");
        let production = Nin::parse_with(value, NinRules::PRODUCTION);
        assert_eq!(production == Err(NinError::Synthetic), synthetic, "{value}");
        // numbers of the 2032 rule carry a date in the file that the number alone does not prove
        if let (Some(born), false) = (row["birthDate"].as_str(), nin.needs_2032_rule()) {
            assert_eq!(
                nin.birth_date().map(|d| d.to_string()).as_deref(),
                Some(born),
                "{value}"
            );
        }
        if let (Some(sex), false) = (row["gender"].as_str(), nin.needs_2032_rule()) {
            let got = nin.sex().map(|s| if s.code() == "1" { "M" } else { "F" });
            assert_eq!(got, Some(sex), "{value}");
        }
    }
    for row in vectors["invalid"].as_array().unwrap() {
        let value = row["value"].as_str().unwrap();
        assert!(Nin::parse(value).is_err(), "{value}: {}", row["reason"]);
    }
    for row in vectors["organisations"].as_array().unwrap() {
        let value = row["value"].as_str().unwrap();
        assert_eq!(
            Orgnr::parse(value).is_ok(),
            row["valid"].as_bool().unwrap(),
            "{value}"
        );
    }
}
