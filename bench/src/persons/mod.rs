//! The person service over HTTP, in a process of its own on a synthetic nation: look-ups by number with `Bearer` and with
//! `DPoP`, bulk look-ups, searches; rates, latencies at full and at half load, the server's processor time for each request.
//! Raw loop: a server in a process of its own that reads the same requests and answers as many bytes, and does nothing else.

mod requests;
mod server;

use crate::load::{Outcome, Shape, run_paced};
use crate::served::{self, Server};
use anyhow::{Context, Result, ensure};
use nation::{Nation, Params};
use registers::kernel::EntryNo;
use registers::kernel::identifiers::Packed;
use registers::persons::life;
use requests::Requests;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What to measure.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Persons of the synthetic nation.
    #[arg(long, default_value_t = 300_000)]
    population: usize,
    /// Seed of the nation.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Requests of each kind.
    #[arg(long, default_value_t = 100_000)]
    requests: u64,
    /// Seconds for each kind at most.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Connections.
    #[arg(long, default_value_t = 32)]
    clients: usize,
    /// Where the files are made and kept: a second run with the same folder does not import again. The data folder of a
    /// stopped demo hub is measured as it is.
    #[arg(long)]
    folder: Option<PathBuf>,
    #[command(flatten)]
    place: served::Where,
    /// Used by itself: answers from this folder until killed.
    #[arg(long, hide = true)]
    serve: Option<PathBuf>,
    /// Used by itself: the client's public key.
    #[arg(long, hide = true, default_value = "")]
    thumbprint: String,
    /// Used by itself: answers every request with so many bytes until killed.
    #[arg(long, hide = true)]
    raw: Option<usize>,
}

/// Runs everything and prints it.
///
/// # Errors
/// When something fails or answers wrongly.
pub fn run(options: &Options) -> Result<()> {
    if let Some(bytes) = options.raw {
        return served::answer_raw(bytes);
    }
    if let Some(folder) = &options.serve {
        return server::serve(folder, &options.place, &options.thumbprint);
    }
    let temporary = tempfile::tempdir()?;
    let folder = options.folder.as_deref().unwrap_or(temporary.path());
    let people = prepare(folder, options)?;
    let mut requests = Requests::new(people)?;
    let began = Instant::now();
    let mut arguments = vec![
        "--serve".into(),
        folder.into(),
        "--thumbprint".into(),
        requests.thumbprint().into(),
    ];
    arguments.extend(options.place.arguments());
    let server = Server::start("persons", arguments)?;
    println!("  ready {:.2?} after its start", began.elapsed());
    requests.meet(&server.word)?;
    for kind in requests::KINDS {
        let made = requests.make(*kind, options.requests)?;
        let outcome = measure(&server, options, kind.name(), &made, kind.persons())?;
        if kind.has_raw() {
            let raw = Server::start_raw("persons", usize::try_from(outcome.mean_bytes())?)?;
            measure(
                &raw,
                options,
                "  raw loop of the same shape",
                &made,
                kind.persons(),
            )?;
        }
        let half = outcome.rate() / 2.0;
        // Proofs are used once.
        let made = requests.make(*kind, options.requests / 4)?;
        let calm = load(&server, options, Some(half), &made)?;
        println!(
            "    at half load: p50 {:.2} ms, p99 {:.2} ms",
            calm.latency_ms(0.5),
            calm.latency_ms(0.99)
        );
    }
    println!("  memory of the server: {}", server.memory());
    Ok(())
}

fn load(
    server: &Server,
    options: &Options,
    per_second: Option<f64>,
    made: &[Vec<u8>],
) -> Result<Outcome> {
    let shape = Shape {
        clients: options.clients,
        requests: made.len() as u64,
        at_most: Duration::from_secs(options.seconds),
    };
    let make = |n: u64, out: &mut Vec<u8>| {
        out.clear();
        out.extend_from_slice(made.get(n as usize).map_or(&[][..], Vec::as_slice));
    };
    run_paced(&server.base, shape, per_second, &[200], make, |_, _| {})
}

fn measure(
    server: &Server,
    options: &Options,
    name: &str,
    made: &[Vec<u8>],
    persons: u64,
) -> Result<Outcome> {
    let before = server.cpu_us();
    let outcome = load(server, options, None, made)?;
    let cpu = (server.cpu_us() - before) / outcome.answers.max(1) as f64;
    println!("  {name:<44} {outcome}  server {cpu:>6.1} us CPU each");
    if persons > 1 {
        let rate = outcome.rate() * persons as f64;
        println!(
            "    {rate:.0} persons/s, {:.2} us CPU a person",
            cpu / persons as f64
        );
    }
    Ok(outcome)
}

/// Persons to ask for: numbers, and a name with its birth date.
pub(crate) struct People {
    /// Leading numbers.
    pub numbers: Vec<Packed>,
    /// Given name, family name, day of birth.
    pub names: Vec<(String, String, String)>,
}

/// Imports the nation unless the folder has it already, and picks whom to ask for.
fn prepare(folder: &Path, options: &Options) -> Result<People> {
    let table = server::open(folder, &options.place)?;
    let persons = table.persons();
    if persons.is_empty() {
        let nation = Nation::generate(&Params {
            seed: options.seed,
            anchor: crate::registers::ANCHOR,
            population: options.population,
        })?;
        crate::registers::import(persons, &nation)?;
    }
    println!("persons over HTTP: {} persons", persons.len());
    let (mut numbers, mut names) = (Vec::new(), Vec::new());
    let step = usize::try_from(persons.len())? / 200_000 + 1;
    for no in (0..persons.len()).step_by(step) {
        persons.with(EntryNo(no), |row| {
            let list: Vec<_> = row.identifiers().map(|h| h.value).collect();
            numbers.extend(life::best(list.iter()));
            let birth = row.births().next().and_then(|h| h.value.date);
            if let (Some(name), Some(birth)) = (row.names().next(), birth) {
                names.push((name.value.given, name.value.family, birth.to_string()));
            }
        })?;
    }
    ensure!(numbers.len() > 100, "the nation is too small");
    names.first().context("nobody has a name")?;
    Ok(People { numbers, names })
}

/// The real clock, seconds.
fn now_s() -> i64 {
    edge::clock::real_now_us() / 1_000_000
}
