//! Imported schemas: every process, every restart, both engines, and imports beside a running hub.

use super::*;
use edi::xml::XmlDoc;
use edi::xsd::SchemaOutcome;
use store::{Filter, RepoKind, RepositoryDecl, Seq, StoreConfig};

fn schema(kind: &str) -> String {
    format!(
        r#"<schema xmlns="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:t"><element name="a" type="{kind}"/></schema>"#
    )
}

fn archive(folder: &Path, kind: &str) -> Archive {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("a.xsd"), schema(kind)).unwrap();
    Archive::read(folder).unwrap()
}

/// A process of the hub.
fn process(config: StoreConfig, left: &Path) -> (Store, Standards) {
    let (store, mint) = Store::open(config).unwrap();
    let grant = mint.grant(Filter::Open, Seq(u64::MAX), 0);
    let standards = Standards::in_store(store.clone(), grant, left.to_path_buf()).unwrap();
    (store, standards)
}

/// Whether `word` is valid by the schemas now; nothing when there are none.
fn takes_words(standards: &Standards) -> Option<bool> {
    let set = standards.current()?;
    let doc = XmlDoc::parse(b"<a xmlns='urn:t'>word</a>").unwrap();
    match set.check(&doc) {
        SchemaOutcome::Checked { faults, .. } => Some(faults.is_empty()),
        other => panic!("{other:?}"),
    }
}

fn declared() -> Vec<RepositoryDecl> {
    vec![RepositoryDecl::new(REPOSITORY, RepoKind::Internal)]
}

fn second(n: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + n).unwrap()
}

#[test]
fn an_import_survives_a_restart_and_is_replaced_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let left = folder.path().join("schemas");
    let config = || StoreConfig {
        unsafe_no_sync: true,
        ..StoreConfig::sqlite(folder.path().join("store"), declared())
    };
    let strict = archive(&folder.path().join("strict"), "integer");
    let lenient = archive(&folder.path().join("lenient"), "string");
    let (store, standards) = process(config(), &left);
    assert_eq!(takes_words(&standards), None);
    keep(&store, &strict, second(10)).unwrap();
    assert_eq!(takes_words(&standards), Some(false));
    drop(standards);
    store.close();
    let (store, standards) = process(config(), &left);
    assert_eq!(takes_words(&standards), Some(false));

    // Beside the running hub: an older import than what is there changes nothing, a newer one counts.
    leave(&left, &lenient, second(5)).unwrap();
    assert_eq!(takes_words(&standards), Some(false));
    drop(standards);
    store.close();
    let (store, standards) = process(config(), &left);
    leave(&left, &lenient, second(20)).unwrap();
    assert_eq!(takes_words(&standards), Some(true));
    drop(standards);
    // It is in the store, not in the folder only.
    std::fs::remove_dir_all(&left).unwrap();
    store.close();
    let (store, standards) = process(config(), &left);
    assert_eq!(takes_words(&standards), Some(true));
    drop(standards);
    store.close();
}

#[test]
fn schemas_left_by_earlier_versions_are_taken_into_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let left = folder.path().join("schemas");
    archive(&left, "integer");
    std::fs::write(left.join(IMPORTED), "2026-10-01T12:00:00Z").unwrap();
    let config = StoreConfig {
        unsafe_no_sync: true,
        ..StoreConfig::sqlite(folder.path().join("store"), declared())
    };
    let (store, standards) = process(config, &left);
    assert_eq!(takes_words(&standards), Some(false));
    std::fs::remove_dir_all(&left).unwrap();
    assert_eq!(takes_words(&standards), Some(false));
    drop(standards);
    store.close();
}

#[test]
fn every_process_on_one_postgres_has_them() {
    let Ok(url) = std::env::var("HELSENAV_PG_URL") else {
        eprintln!(
            "SKIPPED: PostgreSQL, because HELSENAV_PG_URL is not set (see scripts/postgres.sh)"
        );
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let left = folder.path().join("schemas");
    let schema = format!("standards_{}", uuid::Uuid::new_v4().simple());
    let config = || StoreConfig::postgres(&url, &schema, declared());
    let (first_store, first) = process(config(), &left);
    let (second_store, other) = process(config(), &left);
    for (kind, words, at) in [("integer", false, 1), ("string", true, 2)] {
        // The command is a third process.
        let (command, _) = Store::open(config()).unwrap();
        keep(
            &command,
            &archive(&folder.path().join(kind), kind),
            second(at),
        )
        .unwrap();
        command.close();
        assert_eq!(takes_words(&first), Some(words));
        assert_eq!(takes_words(&other), Some(words));
    }
    drop((first, other));
    first_store.close();
    second_store.close();
}

#[test]
fn hashes_are_read_as_they_are_written() {
    let hash: BlobHash = std::array::from_fn(|n| n as u8);
    assert_eq!(unhex(&hex(&hash)), Some(hash));
    assert_eq!(unhex("xx"), None);
    assert_eq!(unhex(&"ø".repeat(32)), None);
}
