//! What stands before anything else: the store with every repository, the decision maker, the registers, the secrets, the
//! clock.

use crate::config::Config;
use crate::secrets::Secrets;
use anyhow::{Context, Result, bail};
use edge::Clock;
use registers::persons::register::Options;
use registers::{Directory, RegisterTable};
use std::sync::Arc;
use store::{EngineConfig, RepoKind, RepositoryDecl, Store, StoreConfig};
use trust::{Trust, TrustConfig};

/// Every repository of this build.
pub fn repositories() -> Vec<RepositoryDecl> {
    let mut all = vec![
        RepositoryDecl::new(crate::secrets::REPOSITORY, RepoKind::Internal),
        RepositoryDecl::new(crate::registry::REPOSITORY, RepoKind::Internal),
        RepositoryDecl::new(crate::standards::REPOSITORY, RepoKind::Internal),
        RepositoryDecl::new(trust::settings::REPOSITORY, RepoKind::Patient),
        RepositoryDecl::new(trust::counted::REPOSITORY, RepoKind::Patient),
        RepositoryDecl::new(kjernejournal::REPOSITORY, RepoKind::Patient),
        RepositoryDecl::new(provesvar::REPOSITORY, RepoKind::Patient),
        RepositoryDecl::new(dokumenter::REPOSITORY, RepoKind::Patient),
        RepositoryDecl::new(helsenorge::REPOSITORY, RepoKind::Patient),
        RepositoryDecl::new("sandbox", RepoKind::Open),
        RepositoryDecl::new(records::jobs::REPOSITORY, RepoKind::Internal),
    ];
    all.extend(registers::repositories());
    all.extend(grunndata::repositories());
    all.extend(meldinger::repositories());
    all
}

/// The store as configured.
pub fn store_config(config: &Config) -> StoreConfig {
    let mut store = match (&*config.store.engine, &config.store.url) {
        ("postgres", Some(url)) => StoreConfig::postgres(url, &config.store.schema, repositories()),
        _ => StoreConfig::sqlite(config.data.join("store"), repositories()),
    };
    if let EngineConfig::Postgres {
        max_connections, ..
    } = &mut store.engine
    {
        *max_connections = config.store.max_connections;
    }
    store.mirror.clone_from(&config.mirror);
    store
}

/// The store and what must stand before anything else; made on a blocking thread.
pub struct Opened {
    /// Configuration.
    pub config: Config,
    /// The store.
    pub store: Store,
    /// The decision maker.
    pub trust: Arc<Trust>,
    /// Registers.
    pub registers: Arc<RegisterTable>,
    /// Secrets.
    pub secrets: Arc<Secrets>,
    /// The rules' clock.
    pub clock: Clock,
}

/// A directory that is given its table once the store is open: trust and registers need each other's grants.
struct LateDirectory(std::sync::OnceLock<Arc<RegisterTable>>);

macro_rules! late {
    ($($name:ident($($arg:ident: $kind:ty),*) -> $result:ty;)*) => {
        impl Directory for LateDirectory {
            $(fn $name(&self, $($arg: $kind),*) -> $result {
                self.0.get().map(|table| table.$name($($arg),*)).unwrap_or_default()
            })*
        }
    };
}

late! {
    person(nin: &str) -> Option<registers::Person>;
    death_registered(nin: &str) -> Option<i64>;
    practitioner_by_hpr(hpr: &str) -> Option<registers::Practitioner>;
    practitioner_by_nin(nin: &str) -> Option<registers::Practitioner>;
    practitioners_of(orgnr: &str, limit: usize) -> Vec<registers::Practitioner>;
    party(her_id: u32) -> Option<registers::Party>;
    parties_of(orgnr: &str) -> Vec<registers::Party>;
    top_parties() -> Vec<registers::Party>;
    organisation(orgnr: &str) -> Option<registers::Organisation>;
    organisations(limit: usize) -> Vec<registers::Organisation>;
    known(nin: &str) -> registers::Known;
    search_persons(query: &str, limit: usize) -> Vec<registers::Person>;
    find_persons(query: &str, born: Option<i16>, limit: usize) -> Vec<registers::Person>;
    story_persons() -> Vec<registers::Person>;
    find_practitioners(words: &[&str], limit: usize) -> Vec<registers::Practitioner>;
    practitioners(limit: usize) -> Vec<registers::Practitioner>;
}

/// Name of the secret that keeps the clock's offset.
pub(crate) const CLOCK_SECRET: &str = "clock-offset";

impl Opened {
    /// Lets the rules' clock begin at an instant (microseconds UTC), earlier or later than now; for a nation's first start.
    pub fn begin_clock_at(&self, at_us: i64) -> Result<()> {
        let offset = at_us.saturating_sub(edge::clock::real_now_us());
        self.secrets.put(CLOCK_SECRET, &offset.to_be_bytes())?;
        self.clock.begin_with(offset);
        Ok(())
    }

    /// Opens the store, hands the mint to `trust`, loads the registers.
    pub fn open(config: Config) -> Result<Self> {
        std::fs::create_dir_all(&config.data)
            .with_context(|| format!("cannot make the data folder {}", config.data.display()))?;
        let (store, mint) = Store::open(store_config(&config))?;
        let directory = Arc::new(LateDirectory(std::sync::OnceLock::new()));
        let clock = Clock::default();
        let trust_config = TrustConfig {
            log_name_delay_days: config.privacy.log_name_delay_days,
            nors_count: config.privacy.nors_count,
            ..TrustConfig::default()
        };
        let trust = Arc::new(Trust::new(
            store.clone(),
            mint,
            directory.clone(),
            clock.as_fn(),
            trust_config,
        )?);
        let registers = Arc::new(RegisterTable::open_in(
            store.clone(),
            trust.hub("registers"),
            Options {
                resident: true,
                ..Options::new(config.data.join("registers"))
            },
            clock.as_fn(),
        )?);
        if directory.0.set(registers.clone()).is_err() {
            bail!("registers were opened twice");
        }
        let secrets = Secrets::open(
            store.clone(),
            trust.hub("secrets"),
            &config.data.join("key"),
        )?;
        if let Some(offset) = secrets
            .get(CLOCK_SECRET)?
            .and_then(|b| b.try_into().ok())
            .map(i64::from_be_bytes)
        {
            clock.begin_with(offset);
        }
        Ok(Self {
            config,
            store,
            trust,
            registers,
            secrets: Arc::new(secrets),
            clock,
        })
    }
}
