//! What the hub keeps for itself: secrets under a key file, ports that stay where they came to stand.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests do"
)]

#[path = "it/export.rs"]
mod export;
#[path = "it/helseid_state.rs"]
mod helseid_state;
#[path = "../../helseid/tests/it/people.rs"]
#[allow(dead_code, reason = "shared with the tests of helseid")]
mod people;

use hub::ports::Ports;
use hub::secrets::{REPOSITORY, SecretError, Secrets};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use store::{Filter, Granted, RepoKind, RepositoryDecl, Seq, Store, StoreConfig};

fn store(folder: &Path) -> (Store, Granted) {
    let declared = vec![RepositoryDecl::new(REPOSITORY, RepoKind::Internal)];
    let mut config = StoreConfig::sqlite(folder.join("store"), declared);
    config.unsafe_no_sync = true;
    let (store, mint) = Store::open(config).unwrap();
    let grant = mint.grant(Filter::Open, Seq(u64::MAX), 0);
    (store, grant)
}

#[test]
fn a_secret_is_made_once_and_opens_with_its_key_file_only() {
    let folder = tempfile::tempdir().unwrap();
    let (store, grant) = store(folder.path());
    let key = folder.path().join("key");
    let secrets = Secrets::open(store.clone(), grant.clone(), &key).unwrap();
    assert_eq!(secrets.get("a").unwrap(), None);
    let made = secrets.get_or_make("a", || b"first".to_vec()).unwrap();
    assert_eq!(made, b"first");
    let again = Secrets::open(store.clone(), grant.clone(), &key).unwrap();
    let kept = again.get_or_make("a", || b"second".to_vec()).unwrap();
    assert_eq!(kept, b"first", "whoever comes first wins");
    again.put("a", b"third").unwrap();
    assert_eq!(secrets.get("a").unwrap().as_deref(), Some(&b"third"[..]));
    let mode = std::fs::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let other_key = folder.path().join("other");
    let other = Secrets::open(store, grant, &other_key).unwrap();
    let error = other.get("a").unwrap_err();
    assert!(matches!(&error, SecretError::WrongKey(name) if name == "a"));
    assert!(
        error
            .to_string()
            .contains("use the key file this store was made with")
    );
    let error = other.get_or_make("a", || b"new".to_vec()).unwrap_err();
    assert!(
        matches!(error, SecretError::WrongKey(_)),
        "never made anew over the old"
    );
}

#[test]
fn a_key_file_of_the_wrong_size_is_refused_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let (store, grant) = store(folder.path());
    for content in [&b""[..], &[7; 31], &[7; 33]] {
        let key = folder.path().join("key");
        std::fs::write(&key, content).unwrap();
        let error = Secrets::open(store.clone(), grant.clone(), &key)
            .err()
            .unwrap();
        let text = error.to_string();
        assert!(matches!(error, SecretError::KeyFile { .. }), "{text}");
        assert!(text.contains("32 bytes") && text.contains("key"), "{text}");
        assert_eq!(std::fs::read(&key).unwrap(), content, "left as it was");
    }
}

#[tokio::test]
async fn a_taken_default_port_moves_and_the_place_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let wanted: SocketAddr = taken.local_addr().unwrap();
    let mut ports = Ports::open(folder.path());
    let moved = ports.bind("main", wanted, true).await.unwrap();
    let place = moved.local_addr().unwrap();
    assert_ne!(place, wanted);
    ports.save().unwrap();
    drop((moved, taken));
    // The wanted port is free now; the remembered one comes first all the same: links and issuers stay good.
    let mut later = Ports::open(folder.path());
    let again = later.bind("main", wanted, true).await.unwrap();
    assert_eq!(again.local_addr().unwrap(), place);
}

#[tokio::test]
async fn a_taken_chosen_port_is_an_error_that_says_which() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let wanted: SocketAddr = taken.local_addr().unwrap();
    let error = Ports::open(folder.path())
        .bind("amqp", wanted, false)
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("amqp") && text.contains(&wanted.to_string()),
        "{text}"
    );
}

#[tokio::test]
async fn damaged_memory_of_ports_is_no_reason_not_to_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ports.json"), "{").unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut ports = Ports::open(folder.path());
    assert!(ports.bind("main", any, true).await.is_ok());
}
