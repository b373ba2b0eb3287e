//! facts.json read with care.

use crate::nation_of::GIVEN;
use actors::Facts;
use proptest::prelude::*;

#[test]
fn organisations_are_found_by_any_of_their_her_ids() {
    let facts = &GIVEN.facts;
    assert_eq!(facts.organisation_of(8_900_101).unwrap().her_id, 8_900_100);
    assert_eq!(facts.organisation_of(8_900_100).unwrap().her_id, 8_900_100);
    assert!(facts.organisation_of(4_711).is_err());
    assert!(facts.person("blokk").is_ok());
    assert!(facts.person("ingen").is_err());
    assert!(facts.bus_user(8_900_100).is_ok());
}

#[test]
fn secrets_never_show_when_printed() {
    let shown = format!("{:?}", GIVEN.facts);
    assert!(!shown.contains("hemmelig-ord"));
    // Fields by name, and the files themselves: "p12" alone also stands in one certificate in thirty.
    for name in ["_p12_base64", "p12_password", "spare_p12"] {
        assert!(!shown.contains(name), "{name}");
    }
    let files: Vec<&str> = GIVEN.json["organisations"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|organisation| organisation["signing_p12_base64"].as_str())
        .collect();
    assert!(!files.is_empty(), "nothing to hide");
    for file in files {
        assert!(!shown.contains(file));
    }
}

#[test]
fn what_is_missing_is_named() {
    for name in ["base", "amqp", "organisations", "ca_pem", "helseid"] {
        let mut json = GIVEN.json.clone();
        json.as_object_mut().unwrap().remove(name);
        let error = Facts::from_value(&json).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Facts::from_slice(&bytes);
    }
}
