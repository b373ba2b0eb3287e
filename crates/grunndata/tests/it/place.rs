//! Where a test keeps its store.

use std::sync::atomic::{AtomicU32, Ordering};
use store::{Filter, Granted, Seq, Store, StoreConfig};

/// A place for one store.
pub enum Place {
    Folder(tempfile::TempDir),
    Schema(String),
}

/// One process with its right to everything.
pub struct Node {
    pub store: Store,
    mint: store::Mint,
}

impl Node {
    pub fn grant(&self) -> Granted {
        self.mint.grant(Filter::Open, Seq(u64::MAX), 0)
    }
}

impl Place {
    fn config(&self) -> StoreConfig {
        let mut declared = registers::repositories();
        declared.extend(grunndata::repositories());
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

    /// Starts a process here.
    pub fn start(&self) -> Node {
        let (store, mint) = Store::open(self.config()).unwrap();
        Node { store, mint }
    }
}

/// Runs a test on every engine at hand.
pub fn everywhere(test: impl Fn(&Place)) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    test(&Place::Folder(tempfile::tempdir().unwrap()));
    if std::env::var("HELSENAV_PG_URL").is_ok_and(|url| !url.is_empty()) {
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        test(&Place::Schema(format!(
            "grunndata_{}_{number}",
            std::process::id()
        )));
    } else {
        println!("SKIPPED: PostgreSQL, because HELSENAV_PG_URL names no server");
    }
}
