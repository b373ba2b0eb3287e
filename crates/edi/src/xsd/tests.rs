//! Schema sets: namespaces, includes, archives, texts without values.

use super::*;
use proptest::prelude::*;

fn set(files: &[(&str, &str)]) -> SchemaSet {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    SchemaSet::load(dir.path()).unwrap()
}

const LEAF: &str = r#"<?xml version="1.0" encoding="ISO-8859-1"?><schema xmlns="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:leaf">
    <complexType name="U"><attribute name="V" type="anyURI"/></complexType><complexType name="N"><attribute name="V" type="integer"/></complexType></schema>"#;
const MIDDLE: &str = r#"<schema xmlns="http://www.w3.org/2001/XMLSchema" xmlns:l="urn:leaf" targetNamespace="urn:middle" elementFormDefault="qualified">
    <import namespace="urn:leaf" schemaLocation="http://example.org/web/leaf.xsd"/>
    <complexType name="M"><sequence><element name="tel" type="l:U"/><element name="n" type="l:N"/></sequence></complexType></schema>"#;
const TOP: &str = r#"<schema xmlns="http://www.w3.org/2001/XMLSchema" xmlns:m="urn:middle" targetNamespace="urn:top" elementFormDefault="qualified">
    <import namespace="urn:middle" schemaLocation="../../nowhere/middle.xsd"/><element name="root" type="m:M"/></schema>"#;

#[test]
fn imports_are_resolved_by_namespace() {
    let set = set(&[
        ("a/leaf.xsd", LEAF),
        ("b/middle.xsd", MIDDLE),
        ("top.xsd", TOP),
        ("note.xsd", "no schema"),
    ]);
    assert_eq!(
        set.namespaces().collect::<Vec<_>>(),
        ["urn:leaf", "urn:middle", "urn:top"]
    );
    assert_eq!(set.skipped().len(), 1);
    let check = |text: &str| set.check(&XmlDoc::parse(text.as_bytes()).unwrap());
    let good = r#"<root xmlns="urn:top" xmlns:m="urn:middle"><m:tel V="tel:23 20 41 00"/><m:n V="1"/></root>"#;
    assert_eq!(
        check(good),
        SchemaOutcome::Checked {
            faults: vec![],
            unknown: vec![]
        }
    );
    let bad = good.replace("V=\"1\"", "V=\"13116900216x\"");
    let SchemaOutcome::Checked { faults, .. } = check(&bad) else {
        panic!("not checked")
    };
    assert_eq!(faults.len(), 1);
    assert!(
        !faults[0].text.contains("13116900216"),
        "{}",
        faults[0].text
    );
    assert!(matches!(
        check("<x xmlns='urn:other'/>"),
        SchemaOutcome::NoSchema { .. }
    ));
}

#[test]
fn an_empty_folder_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(
        SchemaSet::load(dir.path()),
        Err(SchemaError::Empty(_))
    ));
    assert!(matches!(
        SchemaSet::load(&dir.path().join("none")),
        Err(SchemaError::Io { .. })
    ));
}

#[test]
fn values_are_removed_from_texts() {
    assert_eq!(
        without_values("'abc' is not a valid integer"),
        "'…' is not a valid integer"
    );
    assert_eq!(
        without_values("Unexpected element 'Typ' in sequence"),
        "Unexpected element 'Typ' in sequence"
    );
}

#[test]
fn an_archive_gives_the_same_schemas_as_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    let twin = LEAF.replace("integer", "anyURI");
    for (name, text) in [
        ("a/leaf.xsd", LEAF),
        ("b/c/leaf.xsd", twin.as_str()),
        ("middle.XSD", MIDDLE),
        ("top.xsd", TOP),
        ("readme.txt", "not taken along"),
        ("namespaces.json", r#"{"urn:leaf":"b/c/leaf.xsd"}"#),
    ] {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let archive = Archive::read(dir.path()).unwrap();
    assert_eq!(archive.schemas(), 4);
    let again = Archive::from_bytes(&archive.to_bytes()).unwrap();
    assert_eq!(again, archive);
    let word = XmlDoc::parse(
        br#"<root xmlns="urn:top" xmlns:m="urn:middle"><m:tel V="1"/><m:n V="word"/></root>"#,
    )
    .unwrap();
    // The choice counts: by it, the value need not be a number.
    let valid = SchemaOutcome::Checked {
        faults: vec![],
        unknown: vec![],
    };
    assert_eq!(SchemaSet::load(dir.path()).unwrap().check(&word), valid);
    assert_eq!(SchemaSet::from_archive(&again).unwrap().check(&word), valid);
    let empty = Archive::default();
    assert!(matches!(
        SchemaSet::from_archive(&empty),
        Err(SchemaError::Empty(_))
    ));
}

proptest! {
    #[test]
    fn no_bytes_break_the_reading_of_an_archive(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Archive::from_bytes(&bytes);
    }
}
