//! The store: many concurrent writers with durable commits, point reads, recovery after kill -9.

mod raw;
mod shape;

use anyhow::{Context, Result, bail};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use shape::Shape;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use store::{Commit, Filter, RepoKind, RepositoryDecl, Seq, Store, StoreConfig};

/// What to measure.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// `sqlite` or `postgres`.
    #[arg(long, default_value = "sqlite")]
    engine: String,
    /// Connection string of a PostgreSQL server.
    #[arg(long, env = "HELSENAV_PG_URL", default_value = "")]
    url: String,
    /// Records to write.
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// Concurrent writers, each waiting for its commit.
    #[arg(long, default_value_t = 64)]
    writers: usize,
    /// Index keys of a record.
    #[arg(long, default_value_t = 8)]
    keys: usize,
    /// Bytes of a body.
    #[arg(long, default_value_t = 1_024)]
    body: usize,
    /// Point reads per thread.
    #[arg(long, default_value_t = 200_000)]
    reads: u64,
    /// Leave the raw loop out.
    #[arg(long)]
    no_raw: bool,
    /// Where the files are made (a temporary folder inside); default: the system's.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Used by the recovery measurement: write into this store until killed.
    #[arg(long, hide = true)]
    write_until_killed: Option<PathBuf>,
}

/// Runs everything and prints a table.
pub fn run(options: &Options) -> Result<()> {
    if let Some(folder) = &options.write_until_killed {
        return write_until_killed(options, folder);
    }
    let place = match &options.folder {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    let shape = Shape {
        keys: options.keys,
        body: options.body,
    };
    println!(
        "store: engine {}, {} records of {} B with {} keys, {} writers",
        options.engine, options.records, options.body, options.keys, options.writers
    );
    let (written, ids) = {
        let store = open(options, &place.path().join("store"))?;
        let written = write(&store.0, options, shape)?;
        println!("  durable commits: {written}");
        for (name, n) in store.0.counters() {
            if name.starts_with("store_") {
                print!("  {name}={n}");
            }
        }
        println!();
        // What the load left to fold is not the reads' business.
        store.0.maintain()?;
        let ids = sample_ids(&store)?;
        for threads in [1, 2] {
            let rate = read(&store, &ids, threads, options.reads)?;
            println!("  point reads, {threads} thread(s): {rate:.0}/s");
        }
        store.0.close();
        (written, ids)
    };
    if options.engine == "sqlite" {
        for threads in [1, 2] {
            let rate = raw::reads(&place.path().join("store"), &ids, threads, options.reads)?;
            println!(
                "  point reads, {threads} thread(s), raw loop over the same file: {rate:.0}/s"
            );
        }
        recovery(options, &place.path().join("store"))?;
        if !options.no_raw {
            let raw = raw::writes(&place.path().join("raw"), options.records, shape)?;
            println!("  raw loop, one thread, batches of 64 + fold: {raw}");
            println!(
                "  share of the raw loop: {:.0} % (last tenth {:.0} %)",
                100.0 * written.whole / raw.whole,
                100.0 * written.last / raw.last
            );
        }
    }
    Ok(())
}

/// Rates in commits per second.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Over the whole run, until everything is folded (raw) or acknowledged (store).
    pub whole: f64,
    /// Over the last tenth of the records.
    pub last: f64,
    /// Processor time of the whole process for one record, microseconds.
    pub cpu_us: f64,
    /// Median and 99th percentile of one commit, milliseconds.
    pub latency_ms: Option<(f64, f64)>,
}

/// Processor time this process has used, microseconds (Linux counts in hundredths of a second).
pub fn cpu_us() -> f64 {
    cpu_us_of("self")
}

/// The same of another process.
pub fn cpu_us_of(pid: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|t| t.parse::<u64>().ok())
        .sum();
    ticks as f64 * 10_000.0
}

impl std::fmt::Display for Rates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:.0}/s, last tenth {:.0}/s, {:.0} us CPU each",
            self.whole, self.last, self.cpu_us
        )?;
        if let Some((p50, p99)) = self.latency_ms {
            write!(f, ", p50 {p50:.1} ms, p99 {p99:.1} ms")?;
        }
        Ok(())
    }
}

/// Which engine is measured.
#[derive(Clone, Debug)]
pub enum Engine {
    /// Files in a folder.
    Sqlite,
    /// A server: its connection string.
    Postgres(String),
}

impl Engine {
    /// By name.
    ///
    /// # Errors
    /// When the name is unknown or PostgreSQL's connection string is missing.
    pub fn of(name: &str, url: &str) -> Result<Self> {
        match name {
            "sqlite" => Ok(Self::Sqlite),
            "postgres" if !url.is_empty() => Ok(Self::Postgres(url.to_owned())),
            "postgres" => bail!("--url of a PostgreSQL server is needed (scripts/postgres.sh)"),
            other => bail!("unknown engine {other}"),
        }
    }
}

type Opened = (Store, store::Mint);

fn open(options: &Options, folder: &Path) -> Result<Opened> {
    let repositories = vec![RepositoryDecl::new("bench", RepoKind::Patient)];
    let config = match options.engine.as_str() {
        "sqlite" => StoreConfig::sqlite(folder, repositories),
        "postgres" if !options.url.is_empty() => {
            let schema = format!("bench_{}", std::process::id());
            StoreConfig::postgres(options.url.clone(), schema, repositories)
        }
        "postgres" => bail!("--url of a PostgreSQL server is needed (scripts/postgres.sh)"),
        other => bail!("unknown engine {other}"),
    };
    Store::open(config).context("the store opens")
}

/// All writers at full speed; each waits for its commit before the next.
fn write(store: &Store, options: &Options, shape: Shape) -> Result<Rates> {
    let repo = store.repo("bench")?;
    let taken = AtomicU64::new(0);
    let last_tenth: Mutex<Option<Instant>> = Mutex::new(None);
    let latencies: Mutex<Vec<u32>> = Mutex::default();
    let (started, cpu) = (Instant::now(), cpu_us());
    std::thread::scope(|scope| -> Result<()> {
        let mut writers = Vec::new();
        for _ in 0..options.writers {
            writers.push(scope.spawn(|| -> Result<()> {
                let mut mine = Vec::new();
                loop {
                    let n = taken.fetch_add(1, Relaxed);
                    if n >= options.records {
                        break;
                    }
                    if n == options.records - options.records / 10 {
                        *locked(&last_tenth) = Some(Instant::now());
                    }
                    let put = shape.put(repo, n);
                    let asked = Instant::now();
                    store.commit(Commit {
                        put: vec![put],
                        ..Commit::default()
                    })?;
                    mine.push(asked.elapsed().as_micros() as u32);
                }
                locked(&latencies).extend(mine);
                Ok(())
            }));
        }
        for writer in writers {
            match writer.join() {
                Ok(result) => result?,
                Err(_) => bail!("a writer panicked"),
            }
        }
        Ok(())
    })?;
    let ended = Instant::now();
    let tenth = (*locked(&last_tenth)).unwrap_or(started);
    let mut latencies = latencies.into_inner().unwrap_or_default();
    latencies.sort_unstable();
    let at = |share: f64| {
        let i = (latencies.len() as f64 * share) as usize;
        f64::from(latencies.get(i).copied().unwrap_or(0)) / 1_000.0
    };
    Ok(Rates {
        whole: options.records as f64 / (ended - started).as_secs_f64(),
        last: (options.records / 10) as f64 / (ended - tenth).as_secs_f64(),
        cpu_us: (cpu_us() - cpu) / options.records as f64,
        latency_ms: Some((at(0.5), at(0.99))),
    })
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Ids spread over the whole store.
fn sample_ids((store, mint): &Opened) -> Result<Vec<String>> {
    let repo = store.repo("bench")?;
    let snapshot = store.snapshot()?;
    let grant = mint.grant(Filter::Open, Seq(0), 0);
    let mut random = SmallRng::seed_from_u64(7);
    let mut rids = Vec::new();
    let newest = snapshot.seq().0.max(1);
    for _ in 0..20_000 {
        rids.push(store::Rid(random.random_range(1..=newest)));
    }
    let _ = repo;
    let heads = snapshot.heads(&grant, &rids)?;
    Ok(heads.into_iter().map(|h| h.id).collect())
}

/// Reads by id under a grant, newest snapshot, each with its body.
fn read((store, mint): &Opened, ids: &[String], threads: usize, reads: u64) -> Result<f64> {
    let repo = store.repo("bench")?;
    let grant = mint.grant(Filter::Open, Seq(0), 0);
    let started = Instant::now();
    std::thread::scope(|scope| -> Result<()> {
        let mut readers = Vec::new();
        for t in 0..threads {
            let grant = &grant;
            readers.push(scope.spawn(move || -> Result<()> {
                let mut random = SmallRng::seed_from_u64(t as u64);
                for _ in 0..reads {
                    let Some(id) = ids.get(random.random_range(0..ids.len().max(1))) else {
                        bail!("nothing to read");
                    };
                    let found = store.snapshot()?.read(grant, repo, "Observation", id)?;
                    if found.is_none() {
                        bail!("a record is missing");
                    }
                }
                Ok(())
            }));
        }
        for reader in readers {
            match reader.join() {
                Ok(result) => result?,
                Err(_) => bail!("a reader panicked"),
            }
        }
        Ok(())
    })?;
    Ok((reads * threads as u64) as f64 / started.elapsed().as_secs_f64())
}

/// Kills a writing process at full speed and times the next open, until the first read.
fn recovery(options: &Options, folder: &Path) -> Result<()> {
    let mut worst = Duration::ZERO;
    for round in 0..3 {
        let mut child = Command::new(std::env::current_exe()?)
            .args(crate::own_arguments("store"))
            .args(["--writers", &options.writers.to_string()])
            .args(["--keys", &options.keys.to_string()])
            .args(["--body", &options.body.to_string()])
            .arg("--write-until-killed")
            .arg(folder)
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().context("the child's output")?;
        let mut line = String::new();
        std::io::BufReader::new(out).read_line(&mut line)?;
        std::thread::sleep(Duration::from_millis(6_000 + round * 700));
        child.kill()?;
        child.wait()?;
        let started = Instant::now();
        let opened = open(options, folder)?;
        let snapshot = opened.0.snapshot()?;
        let grant = opened.1.grant(Filter::Open, Seq(0), 0);
        snapshot.read(&grant, opened.0.repo("bench")?, "Observation", "none")?;
        let took = started.elapsed();
        worst = worst.max(took);
        println!(
            "  open after kill -9 at {} records: {} ms",
            snapshot.seq().0,
            took.as_millis()
        );
        opened.0.close();
    }
    println!("  recovery, worst of 3: {} ms", worst.as_millis());
    Ok(())
}

fn write_until_killed(options: &Options, folder: &Path) -> Result<()> {
    let (store, _mint) = open(options, folder)?;
    println!("open");
    let shape = Shape {
        keys: options.keys,
        body: options.body,
    };
    let endless = Options {
        records: u64::MAX,
        ..options.clone()
    };
    write(&store, &endless, shape).map(drop)
}
