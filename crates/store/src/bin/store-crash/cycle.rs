//! The parent: starts the child, kills it, checks, again and again.

use crate::check::{self, Expected, Failure, broken};
use crate::model::{Ack, Load, config};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use store::{EngineConfig, Store};

/// Cycles on one store; then a fresh one, so that checking everything stays quick.
const PER_STORE: u64 = 10;
/// Every so many cycles the database server is stopped hard.
const SERVER_EVERY: u64 = 5;
/// Acknowledged acts per kill, on the average, below which a run proves nothing.
const LEAST_ACTS: u64 = 2;
/// How long the child may take to open the store.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which engine is tried.
#[derive(Clone, Debug)]
pub enum Engine {
    /// Embedded.
    Sqlite,
    /// PostgreSQL.
    Postgres {
        /// Connection string.
        url: String,
        /// Command that stops the server hard and starts it again.
        crash: Option<String>,
    },
}

/// A run.
#[derive(Clone, Debug)]
pub struct Options {
    pub engine: Engine,
    pub cycles: u64,
    pub load: Load,
    /// The layer that loses what was not flushed.
    pub layer: Option<PathBuf>,
    /// Tell the store to answer before it flushes.
    pub fault: bool,
    pub seed: u64,
    pub keep: bool,
}

/// What a run did.
#[derive(Debug, Default)]
pub struct Report {
    name: String,
    cycles: u64,
    acks: u64,
    server_stops: u64,
    slowest_open: Duration,
    took: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name, cycles, acks, ..
        } = self;
        write!(f, "{name}: {cycles} kills")?;
        if self.server_stops > 0 {
            write!(f, " and {} hard stops of the server", self.server_stops)?;
        }
        let (open, took) = (self.slowest_open.as_millis(), self.took.as_secs());
        write!(
            f,
            ", {acks} acknowledged acts, slowest recovery {open} ms, {took} s"
        )
    }
}

struct Place {
    folder: PathBuf,
    engine: EngineConfig,
}

impl Place {
    fn mirror(&self) -> PathBuf {
        self.folder.join("mirror")
    }
}

/// Runs all cycles, or stops at the first failure.
pub fn run(options: &Options) -> Result<Report, Failure> {
    let began = Instant::now();
    let mut random = StdRng::seed_from_u64(options.seed);
    let engine = if matches!(options.engine, Engine::Sqlite) {
        "sqlite"
    } else {
        "postgres"
    };
    let layer = if options.layer.is_some() {
        ", unsynced data lost"
    } else {
        ""
    };
    let mut report = Report {
        name: format!(
            "{engine}, load {}{layer}, seed {}",
            options.load, options.seed
        ),
        ..Report::default()
    };
    let root = crate::scratch().join(format!("run-{}", options.seed ^ u64::from(options.fault)));
    let mut cycle = 0;
    let mut store = 0;
    while cycle < options.cycles {
        store += 1;
        let place = place(options, &root, store)?;
        let mut expected = Expected::default();
        for _ in 0..PER_STORE.min(options.cycles - cycle) {
            cycle += 1;
            let turn = one(
                options,
                &place,
                cycle,
                &mut random,
                &mut expected,
                &mut report,
            );
            if let Err(failure) = turn {
                let what = format!("cycle {cycle} of {}: {failure}", report.name);
                if options.keep {
                    eprintln!(
                        "store-crash: the store is kept in {}",
                        place.folder.display()
                    );
                } else {
                    let _ = std::fs::remove_dir_all(&root);
                }
                return Err(Failure { what, ..failure });
            }
        }
        let _ = std::fs::remove_dir_all(&place.folder);
    }
    let _ = std::fs::remove_dir_all(&root);
    if report.acks < options.cycles * LEAST_ACTS {
        return Err(broken(format!("{report}: the load hardly did anything")));
    }
    report.cycles = cycle;
    report.took = began.elapsed();
    Ok(report)
}

fn place(options: &Options, root: &Path, number: u64) -> Result<Place, Failure> {
    let folder = root.join(number.to_string());
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(folder.join("store")).map_err(|e| broken(e.to_string()))?;
    let engine = match &options.engine {
        Engine::Sqlite => EngineConfig::Sqlite {
            folder: folder.join("store"),
        },
        Engine::Postgres { url, .. } => EngineConfig::Postgres {
            url: url.clone(),
            schema: format!("crash_{}_{number}", std::process::id()),
            max_connections: 8,
        },
    };
    Ok(Place { folder, engine })
}

fn one(
    options: &Options,
    place: &Place,
    cycle: u64,
    random: &mut StdRng,
    expected: &mut Expected,
    report: &mut Report,
) -> Result<(), Failure> {
    let mut child = spawn(options, place, cycle, random.random())?;
    let lines = read_lines(&mut child)?;
    let mut acks = Vec::new();
    let early = random.random_bool(0.1);
    if early {
        // Killed while it opens: recovery itself must survive a kill.
        std::thread::sleep(Duration::from_micros(random.random_range(0..60_000)));
    } else {
        wait_ready(&lines, &mut acks, &mut child)?;
        std::thread::sleep(Duration::from_micros(random.random_range(20_000..350_000)));
    }
    if let Engine::Postgres {
        crash: Some(command),
        ..
    } = &options.engine
        && cycle.is_multiple_of(SERVER_EVERY)
    {
        // Sometimes the child is gone first, sometimes it lives through the stop and goes on.
        let first = random.random_bool(0.5);
        if first {
            kill(&mut child)?;
        }
        stop_server(command)?;
        report.server_stops += 1;
        if !first {
            std::thread::sleep(Duration::from_millis(random.random_range(0..300)));
        }
    }
    let ended = child.try_wait().map_err(|e| broken(e.to_string()))?;
    if let Some(status) = ended.filter(|s| s.code().is_some()) {
        return Err(broken(format!("the child ended by itself: {status}")));
    }
    kill(&mut child)?;
    acks.extend(lines.iter());
    report.acks += acks.iter().filter(|ack| **ack != Ack::Ready).count() as u64;
    acks.into_iter().try_for_each(|ack| expected.take(ack))?;
    inspect(place, expected, report)
}

fn inspect(place: &Place, expected: &Expected, report: &mut Report) -> Result<(), Failure> {
    let began = Instant::now();
    let opened = Store::open(config(place.engine.clone(), place.mirror()));
    let (store, mint) = opened.map_err(|e| broken(format!("the store does not open: {e}")))?;
    report.slowest_open = report.slowest_open.max(began.elapsed());
    let checked = check::store(&store, &check::grant(&mint), expected, &place.mirror());
    store.close();
    checked
}

fn spawn(options: &Options, place: &Place, cycle: u64, seed: u64) -> Result<Child, Failure> {
    let program = std::env::current_exe().map_err(|e| broken(e.to_string()))?;
    let mut command = Command::new(program);
    command.arg("child");
    match &place.engine {
        EngineConfig::Sqlite { folder } => command.arg("sqlite").arg(folder),
        EngineConfig::Postgres { url, schema, .. } => command.arg(url).arg(schema),
    };
    command.arg(place.mirror()).args([
        cycle.to_string(),
        seed.to_string(),
        options.load.to_string(),
    ]);
    if let Some(layer) = &options.layer {
        command
            .env("LD_PRELOAD", layer)
            .env("HELSENAV_UNSYNCED_DIR", &place.folder);
        if seed.is_multiple_of(2) {
            // A kernel writes back what it likes before a flush: then a random part is lost, not the newest.
            command.env("HELSENAV_UNSYNCED_LEAK", "30");
        }
    }
    if options.fault {
        command.env("HELSENAV_FAULT", "answer-before-flush");
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| broken(format!("the child does not start: {e}")))
}

/// Reads the child's lines to the end, on a thread, so that its pipe never fills.
fn read_lines(child: &mut Child) -> Result<mpsc::Receiver<Ack>, Failure> {
    let out = child
        .stdout
        .take()
        .ok_or_else(|| broken("the child has no output"))?;
    let (send, lines) = mpsc::channel();
    std::thread::spawn(move || {
        let mut out = BufReader::new(out);
        let mut line = String::new();
        while out.read_line(&mut line).is_ok_and(|n| n > 0) {
            // The last line may be cut by the kill: its act was not reported.
            let whole = line.ends_with('\n');
            if let Some(ack) = serde_json::from_str(&line).ok().filter(|_| whole)
                && send.send(ack).is_err()
            {
                return;
            }
            line.clear();
        }
    });
    Ok(lines)
}

fn wait_ready(
    lines: &mpsc::Receiver<Ack>,
    acks: &mut Vec<Ack>,
    child: &mut Child,
) -> Result<(), Failure> {
    let first = lines.recv_timeout(PATIENCE);
    match first {
        Ok(ack) => {
            acks.push(ack);
            Ok(())
        }
        Err(_) => {
            let _ = kill(child);
            Err(broken("the child did not open the store"))
        }
    }
}

/// SIGKILL, and the end of it.
fn kill(child: &mut Child) -> Result<(), Failure> {
    let _ = child.kill();
    child.wait().map(|_| ()).map_err(|e| broken(e.to_string()))
}

fn stop_server(command: &str) -> Result<(), Failure> {
    let ran = Command::new("sh").args(["-c", command]).output();
    let ran = ran.map_err(|e| broken(format!("{command}: {e}")))?;
    if ran.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&ran.stderr).into_owned();
    Err(broken(format!("{command}: {text}")))
}
