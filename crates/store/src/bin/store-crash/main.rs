//! Crash proof of the store (DESIGN §7): a child process loads the store and reports every acknowledgement; the parent
//! kills it with SIGKILL at a random point, opens the store again and checks that every acknowledged act is there once,
//! none is half done, and everything that can be recomputed agrees.
//!
//! SIGKILL alone cannot show a missing fsync, because the kernel keeps what was written. With `--unsynced` the child
//! runs over a file layer (`crash/unsynced.c`, loaded with LD_PRELOAD) that keeps written data in the process until it is
//! flushed, so that the kill takes it away. `--self-test` shows that the harness sees what it is there to see: the store
//! passes over that layer, and fails when it is told to answer before the flush.
//!
//! Read first: [`model`] (what the load does and how it is named), [`load`] (the child), [`check`] (the rules).

mod check;
mod cycle;
mod dump;
mod load;
mod model;
mod unsynced;

use cycle::{Engine, Options};
use model::Load;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
Kills a loaded store again and again and checks that nothing acknowledged is lost.

  store-crash --engine sqlite|postgres [options]   run cycles
  store-crash --self-test                          show that the harness sees a missing flush (SQLite)

  --cycles N       how many kills (50)
  --load KIND      mixed | commits | audit (mixed)
  --unsynced       SQLite: lose what was written but not flushed
  --url URL        PostgreSQL: libpq connection string (or HELSENAV_PG_URL)
  --server CMD     PostgreSQL: command that stops the server hard and starts it again, run every fifth cycle
                   (or scripts/postgres.sh crash $HELSENAV_PG_FOLDER when that is set)
  --seed N         seed of times and choices (from the clock)
  --keep           keep the store's folder after a failure

Exit code: 0 all well, 1 something was lost or broken, 2 wrong usage.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|a| a == "child") {
        return match load::run(&arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("store-crash child: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let (code, keep) = match parse(&arguments) {
        Ok(Task::Run(options)) => (run(&options), options.keep),
        Ok(Task::SelfTest(options)) => (self_test(&options), options.keep),
        Err(error) => {
            eprintln!("{error}\n\n{USAGE}");
            (ExitCode::from(2), false)
        }
    };
    if !keep {
        let _ = std::fs::remove_dir_all(scratch());
    }
    code
}

enum Task {
    Run(Options),
    SelfTest(Options),
}

fn parse(arguments: &[String]) -> Result<Task, String> {
    let mut words = arguments.iter().map(String::as_str);
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let mut options = Options {
        engine: Engine::Sqlite,
        cycles: 50,
        load: Load::Mixed,
        layer: None,
        fault: false,
        seed: clock.map_or(1, |d| d.as_nanos() as u64),
        keep: false,
    };
    let (mut engine, mut url, mut server) = (None, None, None);
    let (mut self_test, mut layered) = (false, false);
    while let Some(word) = words.next() {
        let mut value = |name: &str| words.next().ok_or(format!("{name} needs a value"));
        match word {
            "--engine" => engine = Some(value(word)?),
            "--cycles" => options.cycles = number(value(word)?)?,
            "--seed" => options.seed = number(value(word)?)?,
            "--load" => options.load = Load::parse(value(word)?).ok_or("unknown load")?,
            "--url" => url = Some(value(word)?.to_owned()),
            "--server" => server = Some(value(word)?.to_owned()),
            "--unsynced" => layered = true,
            "--self-test" => self_test = true,
            "--keep" => options.keep = true,
            other => return Err(format!("unknown option {other}")),
        }
    }
    if layered || self_test {
        options.layer = Some(unsynced::build()?);
    }
    if self_test {
        return Ok(Task::SelfTest(options));
    }
    match engine {
        Some("sqlite") => {}
        Some("postgres") => {
            let url = url.or_else(|| std::env::var("HELSENAV_PG_URL").ok());
            let url = url
                .filter(|u| !u.is_empty())
                .ok_or("--url or HELSENAV_PG_URL is needed")?;
            let folder = std::env::var("HELSENAV_PG_FOLDER").ok();
            let crash = folder.map(|f| format!("scripts/postgres.sh crash '{f}'"));
            options.engine = Engine::Postgres {
                url,
                crash: server.or(crash),
            };
        }
        _ => return Err("--engine is sqlite or postgres".to_owned()),
    }
    Ok(Task::Run(options))
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text} is not a number"))
}

fn run(options: &Options) -> ExitCode {
    match cycle::run(options) {
        Ok(report) => {
            println!("store-crash: {report}: nothing lost, nothing half done");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("store-crash: FAILED {failure}");
            ExitCode::FAILURE
        }
    }
}

/// The normal store must pass over the layer; a store that answers before it flushes must be caught.
fn self_test(options: &Options) -> ExitCode {
    for load in [Load::Commits, Load::Audit] {
        let sound = Options {
            load,
            cycles: 6,
            ..options.clone()
        };
        match cycle::run(&sound) {
            Ok(report) => println!("store-crash: {report}: passes over the unsynced layer"),
            Err(failure) => {
                eprintln!("store-crash: FAILED over the unsynced layer: {failure}");
                return ExitCode::FAILURE;
            }
        }
        let faulty = Options {
            load,
            cycles: 20,
            fault: true,
            ..options.clone()
        };
        match cycle::run(&faulty) {
            Ok(report) => {
                eprintln!(
                    "store-crash: FAILED: {report} answered before the flush and was not caught"
                );
                return ExitCode::FAILURE;
            }
            Err(failure) if failure.lost => {
                println!(
                    "store-crash: load {load}: answering before the flush is caught: {failure}"
                );
            }
            Err(failure) => {
                eprintln!("store-crash: FAILED for another reason than a loss: {failure}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("store-crash: self-test passed");
    ExitCode::SUCCESS
}

/// Folder of one run.
fn scratch() -> PathBuf {
    std::env::temp_dir().join(format!("store-crash-{}", std::process::id()))
}
