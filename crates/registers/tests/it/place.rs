//! Where a test keeps its store. The edge tests of `grunndata` use this file too.

use std::sync::atomic::{AtomicU32, Ordering};
use store::{Filter, Granted, RepoKind, RepositoryDecl, Seq, Store, StoreConfig};

/// A place for one store.
pub enum Place {
    Folder(tempfile::TempDir),
    Schema(String),
}

/// One process with its right to everything.
pub struct Node {
    pub store: Store,
    pub mint: store::Mint,
}

impl Node {
    pub fn grant(&self) -> Granted {
        self.mint.grant(Filter::Open, Seq(u64::MAX), 0)
    }
}

impl Place {
    fn config(&self, declared: Vec<RepositoryDecl>) -> StoreConfig {
        let mut config = match self {
            Self::Folder(folder) => StoreConfig::sqlite(folder.path().join("store"), declared),
            Self::Schema(schema) => {
                let url = std::env::var("HELSENAV_PG_URL").unwrap();
                let mut config = StoreConfig::postgres(url, schema.clone(), declared);
                if let store::EngineConfig::Postgres {
                    max_connections, ..
                } = &mut config.engine
                {
                    *max_connections = 4;
                }
                config
            }
        };
        config.unsafe_no_sync = true;
        config
    }

    /// Starts a process here, with one repository.
    pub fn start(&self, repository: &str) -> Node {
        self.open(vec![RepositoryDecl::new(repository, RepoKind::Internal)])
    }

    /// Starts a process here.
    pub fn open(&self, declared: Vec<RepositoryDecl>) -> Node {
        let (store, mint) = Store::open(self.config(declared)).unwrap();
        Node { store, mint }
    }

    /// Whether several processes can run at once.
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Schema(_))
    }
}

/// Runs a test on every engine at hand.
pub fn everywhere(test: impl Fn(&Place)) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    test(&Place::Folder(tempfile::tempdir().unwrap()));
    if std::env::var("HELSENAV_PG_URL").is_ok_and(|url| !url.is_empty()) {
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        test(&Place::Schema(format!(
            "registers_{}_{number}",
            std::process::id()
        )));
    } else {
        println!("SKIPPED: PostgreSQL, because HELSENAV_PG_URL names no server");
    }
}
