//! Our answers beside the public samples, and our contracts beside the published descriptions, where those lie beside
//! the repository.

use super::{WARD, World, everywhere};
use edge::soap::Contract;
use edge::soap::contract::Kind;
use grunndata::ar::service::{CONTRACT_2016, CONTRACT_2025};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;

fn shared(path: &str) -> Option<String> {
    let root = std::env::var_os("HELSENAV_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let text = std::fs::read_to_string(root.join("data").join(path)).ok();
    if text.is_none() {
        println!("SKIPPED {path}: the shared data folder is not beside the repository");
    }
    text
}

/// Paths of all values in a JSON document, lists as one.
fn paths(value: &Value, at: &str, out: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                let at = format!("{at}/{key}");
                out.insert(at.clone());
                paths(inner, &at, out);
            }
        }
        Value::Array(items) => {
            for item in items {
                paths(item, at, out);
            }
        }
        _ => {}
    }
}

#[test]
fn a_service_over_rest_has_the_elements_of_the_sample() {
    let Some(text) = shared("grunndata/samples/ar-rest-CommunicationParty-8141705.json") else {
        return;
    };
    let sample: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap();
    everywhere(async |world: World| {
        let ours = world
            .cp(&format!("/CommunicationParties/{WARD}"))
            .await
            .json();
        let (mut theirs, mut mine) = (BTreeSet::new(), BTreeSet::new());
        paths(&sample, "", &mut theirs);
        paths(&ours, "", &mut mine);
        let missing: Vec<&String> = theirs.difference(&mine).collect();
        assert!(missing.is_empty(), "{missing:?}");
        // In the same order, too.
        let keys = |v: &Value| -> Vec<String> {
            v["communicationParty"]
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect()
        };
        assert_eq!(keys(&ours), keys(&sample));
    });
}

/// Names of complex types with their elements, and of operations, as the description declares them.
fn described(wsdl: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let document = edi::xml::XmlDoc::parse(wsdl.as_bytes()).expect("well-formed");
    let (mut types, mut operations) = (BTreeSet::new(), BTreeSet::new());
    document.root.walk(&mut |elem| {
        let name = elem
            .attrs
            .iter()
            .find(|a| &*a.name == "name")
            .map(|a| a.value.clone());
        match (&*elem.name, name) {
            ("complexType", Some(name)) => {
                let mut fields = Vec::new();
                elem.walk(&mut |inner| {
                    let field = inner.attrs.iter().find(|a| &*a.name == "name");
                    if &*inner.name == "element"
                        && let Some(field) = field
                    {
                        fields.push(field.value.clone());
                    }
                });
                types.insert(format!("{name}({})", fields.join(",")));
            }
            ("operation", Some(name)) => {
                operations.insert(name);
            }
            _ => {}
        }
    });
    (types, operations)
}

#[test]
fn the_contracts_are_the_published_ones() {
    for (path, text) in [
        (
            "grunndata/wsdl/ar-CommunicationPartyService-2016.wsdl",
            CONTRACT_2016,
        ),
        (
            "grunndata/wsdl/ar-CommunicationPartyService-2025.wsdl",
            CONTRACT_2025,
        ),
    ] {
        let Some(wsdl) = shared(path) else { continue };
        let (types, operations) = described(&wsdl);
        let contract = Contract::parse(text).unwrap();
        let ours: BTreeSet<String> = contract
            .operations()
            .iter()
            .map(|o| o.name.clone())
            .collect();
        assert_eq!(ours, operations, "{path}");
        let ours: BTreeSet<String> = contract
            .types()
            .iter()
            .filter_map(|t| {
                let fields: Vec<&str> = match &t.kind {
                    Kind::Object { fields, .. } => fields.iter().map(|f| f.name.as_str()).collect(),
                    Kind::List(item) => vec![item.name.as_str()],
                    _ => return None,
                };
                Some(format!("{}({})", t.name, fields.join(",")))
            })
            .collect();
        assert_eq!(ours, types, "{path}");
    }
}
