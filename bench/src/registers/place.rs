//! Where the measured register stands: SQLite in a folder, or a schema of a PostgreSQL server that goes away with the run;
//! and how long a second process takes to see what the first wrote.

use super::now;
use crate::fhir::postgres;
use crate::served::Where;
use anyhow::{Context, Result, ensure};
use registers::kernel::EntryNo;
use registers::kernel::timeline::Origin;
use registers::persons::PersonRegister;
use registers::persons::document::Name;
use registers::persons::life::REPOSITORY;
use registers::persons::register::Options;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use store::{Filter, RepoKind, RepositoryDecl, Seq, Store, StoreConfig};

/// The process whose read forms are the hub's.
pub const FIRST: &str = "first";
const SECOND: &str = "second";
/// How often a hub process follows the feed (crate `hub`, jobs).
const FOLLOW_EVERY: Duration = Duration::from_millis(500);
/// Changes of the first process that the second one must see.
const STEPS: u64 = 40;

/// Which engine.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// SQLite.
    Sqlite,
    /// The PostgreSQL server that `HELSENAV_PG_URL` names.
    Postgres,
}

/// Where the register stands.
pub struct Place {
    folder: PathBuf,
    /// Server and schema.
    schema: Option<(String, String)>,
    of_hub: Option<Where>,
}

impl Place {
    /// In a folder, or in a schema of its own with the read forms in the folder.
    ///
    /// # Errors
    /// When no server is named.
    pub fn new(engine: Engine, folder: &Path) -> Result<Self> {
        let schema = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => {
                let url = std::env::var("HELSENAV_PG_URL")
                    .context("HELSENAV_PG_URL names no PostgreSQL server")?;
                Some((url, format!("bench_registers_{}", std::process::id())))
            }
        };
        Ok(Self {
            folder: folder.to_owned(),
            schema,
            of_hub: None,
        })
    }

    /// In the data folder of a hub.
    pub fn of_hub(data: &Path, hub: Where) -> Self {
        Self {
            folder: data.to_owned(),
            schema: None,
            of_hub: Some(hub),
        }
    }

    fn read_forms(&self, process: &str) -> PathBuf {
        self.folder.join(match (&self.of_hub, process) {
            (Some(_), FIRST) => "registers",
            _ => process,
        })
    }

    /// The read form of a process.
    pub fn read_form(&self, process: &str) -> PathBuf {
        self.read_forms(process).join("persons.read")
    }

    /// A process opens the register.
    ///
    /// # Errors
    /// When the store cannot be opened.
    pub fn open(&self, process: &str, resident: bool) -> Result<PersonRegister> {
        let declared = vec![RepositoryDecl::new(REPOSITORY, RepoKind::Internal)];
        let config = match (&self.of_hub, &self.schema) {
            (Some(hub), _) => hub.store(&self.folder, declared)?,
            (None, None) => StoreConfig::sqlite(self.folder.join("store"), declared),
            (None, Some((url, schema))) => {
                StoreConfig::postgres(url.clone(), schema.clone(), declared)
            }
        };
        let (store, mint) = Store::open(config)?;
        let grant = mint.grant(Filter::Open, Seq(u64::MAX), 0);
        let options = Options {
            resident,
            most_changed: usize::MAX,
            ..Options::new(self.read_forms(process))
        };
        Ok(PersonRegister::open(store, grant, options)?)
    }

    /// Whether several processes can run at once.
    pub fn is_shared(&self) -> bool {
        self.schema.is_some() || self.of_hub.as_ref().is_some_and(Where::is_shared)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.of_hub.is_some() {
            // Of the second process; the hub's own are not ours.
            let _ = std::fs::remove_dir_all(self.read_forms(SECOND));
        }
        if let Some((url, schema)) = &self.schema
            && let Err(error) = postgres::remove(url, schema)
        {
            println!("  the schema {schema} could not be removed: {error:#}");
        }
    }
}

/// From the answer of a change in one process until another one, which follows as a hub does, shows it.
///
/// # Errors
/// When a change is refused, or not seen at all.
pub fn step(place: &Place, first: &PersonRegister) -> Result<()> {
    let began = Instant::now();
    let second = place.open(SECOND, false)?;
    println!(
        "  a second process opens without a read form: {:.1?}",
        began.elapsed()
    );
    let (done, seen) = (AtomicBool::new(false), AtomicU64::new(second.last_event()));
    let mut took = Vec::new();
    std::thread::scope(|scope| -> Result<()> {
        let following = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                std::thread::sleep(FOLLOW_EVERY);
                second.follow()?;
                seen.store(second.last_event(), Ordering::Release);
            }
            anyhow::Ok(())
        });
        let changed = (0..STEPS).try_for_each(|n| {
            took.push(one(first, n, &seen)?);
            anyhow::Ok(())
        });
        done.store(true, Ordering::Relaxed);
        let followed = following.join();
        changed?;
        followed.map_err(|_| anyhow::anyhow!("the second process died"))?
    })?;
    println!(
        "  seen by the second process after: {}",
        super::spread(&mut took)
    );
    Ok(())
}

fn one(first: &PersonRegister, n: u64, seen: &AtomicU64) -> Result<Duration> {
    let no = EntryNo(u32::try_from(n * 7_919)? % first.len());
    let id = first.with(no, |row| row.id())?.flatten().context("no id")?;
    let mut content = first.log().entry(id)?.context("no entry")?.content;
    let name = Name {
        given: format!("Nummer {n}"),
        middle: None,
        family: "Skrittsen".to_owned(),
    };
    let _ = content.name.set(name, now(), Origin::at(now()));
    first.change(vec![(id, content)], now())?;
    let (began, wanted) = (Instant::now(), first.last_event());
    while seen.load(Ordering::Acquire) < wanted {
        ensure!(began.elapsed() < Duration::from_secs(60), "never seen");
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(began.elapsed())
}
