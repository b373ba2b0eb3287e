//! Both engines against the one conformance suite. PostgreSQL runs when `HELSENAV_PG_URL` names a server
//! (`scripts/postgres.sh start` prints one); `HELSENAV_CASE` picks the cases whose name contains it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod encrypted;
mod first_look;
mod lost_commit;
mod postgres;
mod upgrade;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use store::{StoreConfig, conformance};

fn part() -> String {
    std::env::var("HELSENAV_CASE").unwrap_or_default()
}

fn check(engine: &str, make: conformance::Make<'_>) {
    let failed = conformance::failures(make, &part());
    let names: Vec<&str> = failed.iter().map(|(name, _)| *name).collect();
    assert!(
        failed.is_empty(),
        "{engine}: {} failed: {names:?}",
        failed.len()
    );
}

/// Folders that live until the test ends.
#[derive(Default)]
struct Folders(Mutex<Vec<tempfile::TempDir>>);

impl Folders {
    fn make(&self) -> StoreConfig {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = StoreConfig::sqlite(folder.path().join("store"), Vec::new());
        self.0.lock().expect("not poisoned").push(folder);
        config
    }
}

static NEXT: AtomicU32 = AtomicU32::new(0);

fn postgres_url() -> Option<String> {
    let url = std::env::var("HELSENAV_PG_URL")
        .ok()
        .filter(|u| !u.is_empty());
    if url.is_none() {
        println!(
            "SKIPPED: PostgreSQL, because HELSENAV_PG_URL is not set (see scripts/postgres.sh)"
        );
    }
    url
}

/// A schema of its own for every store; the server is a temporary one, so they are left behind.
fn make_postgres(url: &str) -> StoreConfig {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let schema = format!("it_{}_{number}", std::process::id());
    let mut config = StoreConfig::postgres(url, schema, Vec::new());
    if let store::EngineConfig::Postgres {
        max_connections, ..
    } = &mut config.engine
    {
        *max_connections = 8;
    }
    config
}

#[test]
fn sqlite_conforms() {
    let folders = Folders::default();
    check("sqlite", &|| folders.make());
}

#[test]
fn postgres_conforms() {
    let Some(url) = postgres_url() else { return };
    check("postgres", &|| make_postgres(&url));
}

#[test]
fn backups_migrate_between_engines() {
    let Some(url) = postgres_url() else { return };
    let folders = Folders::default();
    conformance::backup_to(&|| folders.make(), &|| make_postgres(&url));
    conformance::backup_to(&|| make_postgres(&url), &|| folders.make());
}
