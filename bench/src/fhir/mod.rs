//! The FHIR server over HTTP, as a client sees it: a population is loaded by transactions, then read, searched and added to,
//! at one size or at growing ones. Generator and server share the machine, and both are counted.

pub(crate) mod postgres;
mod raw;
mod sandbox;
pub mod server;

use crate::link::{Base, Link};
use crate::load::{Outcome, Shape, run as load};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use nation::population::{Population, References, put_all, transaction};
use server::Server;
use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What to measure.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// `sqlite` or `postgres`.
    #[arg(long, default_value = "sqlite")]
    engine: String,
    /// Connection string of a PostgreSQL server.
    #[arg(long, env = "HELSENAV_PG_URL", default_value = "")]
    url: String,
    /// Base of a running server with an empty sandbox, instead of starting one.
    #[arg(long)]
    base: Option<String>,
    /// Patients to load; several numbers, ascending, make a curve.
    #[arg(long, value_delimiter = ',', default_value = "1000")]
    patients: Vec<usize>,
    /// Resources of a patient on average.
    #[arg(long, default_value_t = 60)]
    density: usize,
    /// Clients of read, create, search and $everything.
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Clients that load transactions.
    #[arg(long, default_value_t = 4)]
    loaders: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Only these: read, search, patient-search, everything, create, bundles.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Leave the raw loops out.
    #[arg(long)]
    no_raw: bool,
    /// Seed of the population.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the data goes (a temporary folder inside); default: the system's.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Keep the server running after the measurements until a line is read from standard input.
    #[arg(long)]
    hold: bool,
    /// Used by the raw loop: answer every request with so many bytes, until killed.
    #[arg(long, hide = true)]
    raw_server: Option<usize>,
    /// Measure a sandbox alone instead of the one in a demo hub: started out of this program.
    #[arg(long)]
    alone: bool,
    /// With `--alone`: nothing is answered before the router.
    #[arg(long)]
    through_router: bool,
    /// Used by `--alone`: serve a sandbox out of this folder, until killed.
    #[arg(long, hide = true)]
    sandbox_server: Option<PathBuf>,
}

/// Charts generated ahead of their sending: the generator's own work stays outside the clock.
const AHEAD: usize = 250;
/// Ids kept for reads.
const SAMPLE: usize = 200_000;

/// What was loaded, as far as the measurements need it.
#[derive(Default)]
struct Loaded {
    patients: usize,
    resources: u64,
    /// `Type/id`.
    ids: Vec<String>,
    /// Patient ids whose chart has 45 to 55 resources.
    fifty: Vec<String>,
    /// All patient ids.
    people: Vec<String>,
    seconds: f64,
    /// Resources that measurements added.
    added: Cell<u64>,
}

/// Connection string and schema, when PostgreSQL is asked for.
fn postgres_of<'a>(options: &'a Options, schema: &'a str) -> Result<Option<(&'a str, &'a str)>> {
    match options.engine.as_str() {
        "sqlite" => Ok(None),
        "postgres" if !options.url.is_empty() => Ok(Some((&options.url, schema))),
        "postgres" => bail!("--url of a PostgreSQL server is needed (scripts/postgres.sh)"),
        other => bail!("unknown engine {other}"),
    }
}

/// Runs everything and prints a table.
pub fn run(options: &Options, program: Option<&std::path::Path>) -> Result<()> {
    if let Some(bytes) = options.raw_server {
        return raw::serve(bytes);
    }
    if let Some(folder) = &options.sandbox_server {
        return sandbox::run(folder, options.through_router);
    }
    let place = match &options.folder {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    let schema = format!("bench_fhir_{}", std::process::id());
    let mut server = match (&options.base, program) {
        (Some(base), _) => Server::at(base)?,
        (None, _) if options.alone => {
            let postgres = postgres_of(options, &schema)?;
            Server::alone(&place.path().join("hub"), postgres, options.through_router)?
        }
        (None, Some(program)) => {
            let postgres = postgres_of(options, &schema)?;
            Server::start(program, &place.path().join("hub"), postgres)?
        }
        (None, None) => {
            bail!("--server with the helsenav program, or --base of a running one, is needed")
        }
    };
    let most = options.patients.iter().copied().max().unwrap_or(0);
    let population = Population::new(
        options.seed,
        jiff::civil::Date::constant(2026, 11, 23),
        most,
        options.density,
    )?;
    println!(
        "fhir: engine {}, {} resources a patient, {} clients, load average {}",
        options.engine,
        options.density,
        options.clients,
        std::fs::read_to_string("/proc/loadavg")
            .unwrap_or_default()
            .trim()
    );
    let mut loaded = Loaded::default();
    post(
        &mut Link::new(&server.base),
        put_all(population.shared()).to_string().as_bytes(),
    )?;
    let mut charts = population.charts(References::Urn);
    for target in &options.patients {
        grow(options, &server, &mut charts, *target, &mut loaded)?;
        measure(options, &server, &population, &loaded, place.path())?;
        usage(&server, &loaded, None);
    }
    if options.hold {
        println!("holding http://{}{}", server.base.host, server.base.path);
        let mut line = String::new();
        std::io::stdin().read_line(&mut line)?;
    }
    server.stop();
    let tables = options.engine == "postgres" && options.base.is_none();
    usage(
        &server,
        &loaded,
        tables.then_some((&*options.url, &*schema)),
    );
    if tables {
        postgres::remove(&options.url, &schema)?;
    }
    Ok(())
}

fn post(link: &mut Link, body: &[u8]) -> Result<Vec<u8>> {
    let (status, answer) = link.send("POST", "", Some(body))?;
    if status != 200 {
        let text = String::from_utf8_lossy(&answer);
        bail!(
            "status {status}: {}",
            text.chars().take(600).collect::<String>()
        );
    }
    Ok(answer)
}

/// Loads charts until the target, a transaction each; only the sending is timed.
fn grow(
    options: &Options,
    server: &Server,
    charts: &mut dyn Iterator<Item = Vec<nation::population::Resource>>,
    target: usize,
    loaded: &mut Loaded,
) -> Result<()> {
    let (before, cpu) = (loaded.resources, server.cpu_us());
    let mut took = 0.0;
    while loaded.patients < target {
        let many = AHEAD.min(target - loaded.patients);
        let mut bundles = Vec::with_capacity(many);
        for chart in charts.take(many) {
            loaded.resources += chart.len() as u64;
            bundles.push((chart.len(), transaction(chart).to_string()));
        }
        if bundles.is_empty() {
            bail!("the nation has only {} patients", loaded.patients);
        }
        loaded.patients += bundles.len();
        let answers = RefCell::new(&mut *loaded);
        let outcome = load(
            &server.base,
            Shape {
                clients: options.loaders,
                requests: bundles.len() as u64,
                at_most: Duration::from_secs(3_600),
            },
            &[200],
            |n, out| {
                let body = bundles
                    .get(usize::try_from(n).unwrap_or(0))
                    .map_or("", |b| b.1.as_str());
                server.base.request(out, "POST", "", Some(body.as_bytes()));
            },
            |n, body| {
                let size = bundles
                    .get(usize::try_from(n).unwrap_or(0))
                    .map_or(0, |b| b.0);
                note(&mut answers.borrow_mut(), size, body);
            },
        )?;
        took += outcome.took.as_secs_f64();
    }
    loaded.seconds += took;
    let new = loaded.resources - before;
    if new > 0 {
        println!(
            "  load to {} patients, {} resources: {:>8.0} resources/s, server {:.0} us CPU each (goal 10 000/s)",
            loaded.patients,
            loaded.resources,
            new as f64 / took,
            (server.cpu_us() - cpu) / new as f64
        );
    }
    Ok(())
}

/// Remembers ids out of a transaction's answer.
fn note(loaded: &mut Loaded, size: usize, answer: &[u8]) {
    let text = String::from_utf8_lossy(answer);
    for (at, part) in text.split("\"location\":\"").skip(1).enumerate() {
        let location = part.split("/_history").next().unwrap_or_default();
        let mut parts = location.rsplit('/');
        let (Some(id), Some(rtype)) = (parts.next(), parts.next()) else {
            continue;
        };
        if at == 0 && rtype == "Patient" {
            loaded.people.push(id.to_owned());
            if (45..=55).contains(&size) {
                loaded.fifty.push(id.to_owned());
            }
        }
        if loaded.ids.len() < SAMPLE || at % 7 == 0 {
            let id = format!("{rtype}/{id}");
            if loaded.ids.len() < SAMPLE {
                loaded.ids.push(id);
            } else {
                let slot = loaded.patients.wrapping_mul(7_919).wrapping_add(at) % SAMPLE;
                if let Some(old) = loaded.ids.get_mut(slot) {
                    *old = id;
                }
            }
        }
    }
}

/// A number that jumps about: which of many things is asked for next.
fn scattered(n: u64, of: usize) -> usize {
    let mixed = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from((mixed ^ (mixed >> 29)) % of.max(1) as u64).unwrap_or(0)
}

/// Token searches: common codes of vital signs and of the laboratory.
const CODES: [&str; 8] = [
    "http%3A%2F%2Floinc.org%7C8867-4",
    "http%3A%2F%2Floinc.org%7C718-7",
    "http%3A%2F%2Floinc.org%7C85354-9",
    "http%3A%2F%2Floinc.org%7C29463-7",
    "http%3A%2F%2Floinc.org%7C2160-0",
    "http%3A%2F%2Floinc.org%7C8310-5",
    "urn%3Aoid%3A2.16.578.1.12.4.1.1.7280%7CNPU19748",
    "urn%3Aoid%3A2.16.578.1.12.4.1.1.7280%7CNPU27300",
];

fn measure(
    options: &Options,
    server: &Server,
    population: &Population,
    loaded: &Loaded,
    place: &std::path::Path,
) -> Result<()> {
    let wants = |name: &str| options.only.is_empty() || options.only.iter().any(|o| o == name);
    let shape = Shape {
        clients: options.clients,
        requests: u64::MAX,
        at_most: Duration::from_secs(options.seconds),
    };
    let base = &server.base;
    let get = |name: &str, goal: &str, target: &dyn Fn(u64) -> String| -> Result<()> {
        let cpu = server.cpu_us();
        let outcome = load(
            base,
            shape,
            &[200],
            |n, out| base.request(out, "GET", &target(n), None),
            |_, _| {},
        )
        .with_context(|| name.to_owned())?;
        row(name, goal, &outcome, server.cpu_us() - cpu);
        if !options.no_raw {
            let bare = raw::answers(
                outcome.mean_bytes(),
                Shape {
                    at_most: Duration::from_secs(3),
                    ..shape
                },
            )?;
            share("bare server, same bytes", &bare, outcome.rate());
        }
        Ok(())
    };
    let pick = |list: &[String], n: u64| {
        list.get(scattered(n, list.len()))
            .cloned()
            .unwrap_or_default()
    };
    if wants("read") {
        get("read by id", "30 000/s", &|n| {
            format!("/{}", pick(&loaded.ids, n))
        })?;
    }
    if wants("search") {
        get("token search, page of 20", "6 000/s, p99 15 ms", &|n| {
            let code = CODES
                .get(scattered(n, CODES.len()))
                .copied()
                .unwrap_or_default();
            format!("/Observation?code={code}&_count=20")
        })?;
    }
    if wants("patient-search") {
        get("patient + code, newest first", "none", &|n| {
            let code = CODES
                .get(scattered(n, CODES.len()))
                .copied()
                .unwrap_or_default();
            format!(
                "/Observation?patient={}&code={code}&_sort=-date&_count=20",
                pick(&loaded.people, n)
            )
        })?;
    }
    if wants("everything") && !loaded.fifty.is_empty() {
        get("$everything, 45-55 resources", "1 000/s", &|n| {
            format!("/Patient/{}/$everything", pick(&loaded.fifty, n))
        })?;
    }
    if wants("create") {
        let made = create(options, server, population, shape, place)?;
        loaded.added.set(loaded.added.get() + made);
    }
    if wants("bundles") {
        let made = bundles(options, server)?;
        loaded.added.set(loaded.added.get() + made);
    }
    Ok(())
}

fn row(name: &str, goal: &str, outcome: &Outcome, server_cpu_us: f64) {
    println!(
        "  {name:<30} {outcome}  server {:>6.1} us CPU each  (goal {goal})",
        server_cpu_us / outcome.answers.max(1) as f64
    );
}

fn share(name: &str, raw: &Outcome, rate: f64) {
    println!(
        "    {name:<28} {raw}  share {:.0} %",
        100.0 * rate / raw.rate().max(1.0)
    );
}

/// Durable creates of single Observations; how many.
fn create(
    options: &Options,
    server: &Server,
    population: &Population,
    shape: Shape,
    place: &std::path::Path,
) -> Result<u64> {
    let base = &server.base;
    let bodies: Vec<(&'static str, Bytes)> = population
        .charts(References::Literal)
        .take(400)
        .flatten()
        .filter(|r| r.rtype == "Observation")
        .map(|r| (r.rtype, Bytes::from(r.body.to_string())))
        .take(10_000)
        .collect();
    let cpu = server.cpu_us();
    let outcome = load(
        base,
        shape,
        &[201],
        |n, out| {
            let at = usize::try_from(n).unwrap_or(0) % bodies.len().max(1);
            let body = bodies.get(at).map(|b| b.1.clone()).unwrap_or_default();
            base.request(out, "POST", "/Observation", Some(&body));
        },
        |_, _| {},
    )?;
    row(
        "create, durable",
        "4 000/s",
        &outcome,
        server.cpu_us() - cpu,
    );
    if !options.no_raw {
        let engine = crate::store::Engine::of(&options.engine, &options.url)?;
        let many: Vec<_> = bodies.iter().cycle().take(60_000).cloned().collect();
        let raw = raw::commits(
            &engine,
            &place.join("raw-create"),
            &many,
            options.clients,
            1,
        )?;
        println!(
            "    store alone, same records    {raw:>8.0}/s  share {:.0} %",
            100.0 * outcome.rate() / raw
        );
    }
    Ok(outcome.answers)
}

/// Transactions of several sizes; resources in them.
fn bundles(options: &Options, server: &Server) -> Result<u64> {
    let mut made = 0;
    for size in [50usize, 500, 3_000] {
        let population = Population::new(
            options.seed + 1_000,
            jiff::civil::Date::constant(2026, 11, 23),
            (12_000 / size).clamp(4, 240),
            size,
        )?;
        let charts: Vec<(usize, String)> = population
            .charts(References::Urn)
            .map(|c| (c.len(), transaction(c).to_string()))
            .collect();
        let resources: usize = charts.iter().map(|c| c.0).sum();
        made += resources as u64;
        // The organisations of this population may be others than those loaded; references need not lead anywhere.
        let (cpu, began) = (server.cpu_us(), Instant::now());
        let outcome = load(
            &server.base,
            Shape {
                clients: options.loaders,
                requests: charts.len() as u64,
                at_most: Duration::from_secs(600),
            },
            &[200],
            |n, out| {
                let body = charts
                    .get(usize::try_from(n).unwrap_or(0))
                    .map_or("", |c| c.1.as_str());
                server.base.request(out, "POST", "", Some(body.as_bytes()));
            },
            |_, _| {},
        )?;
        println!(
            "  transactions of about {size:<8} {:>8.0} resources/s  p50 {:.1} ms  p99 {:.1} ms  server {:.0} us CPU each (goal 10 000/s)",
            resources as f64 / began.elapsed().as_secs_f64(),
            outcome.latency_ms(0.5),
            outcome.latency_ms(0.99),
            (server.cpu_us() - cpu) / resources as f64,
        );
    }
    Ok(made)
}

/// Names of what is no resource: history beyond the newest versions is not loaded here, the audit journal is counted apart.
const APART: [&str; 2] = ["audit", "journal"];

fn usage(server: &Server, loaded: &Loaded, postgres: Option<(&str, &str)>) {
    if let Some((now, most)) = server.memory_mb() {
        println!("  memory {now:.0} MB, at most {most:.0} MB");
    }
    let resources = loaded.resources + loaded.added.get();
    let (files, goal) = match postgres {
        None => (server.disk_bytes(), 1_500),
        Some((url, schema)) => match postgres::table_bytes(url, schema) {
            Ok(tables) => (tables, 4_000),
            Err(error) => return println!("  disk not known: {error:#}"),
        },
    };
    let counted = |name: &str| !APART.iter().any(|apart| name.starts_with(apart));
    let total: u64 = files.iter().filter(|f| counted(&f.0)).map(|f| f.1).sum();
    if total > 0 {
        let list: Vec<String> = files
            .iter()
            .map(|(name, length)| format!("{name} {:.1} MB", *length as f64 / 1e6))
            .collect();
        println!(
            "  disk {} = {:.0} B for each of the {} resources (goal {goal}; audit apart)",
            list.join(", "),
            total as f64 / resources.max(1) as f64,
            resources
        );
    }
}

/// The base of a sandbox, for other commands.
///
/// # Errors
/// When it cannot be read.
pub fn base(url: &str) -> Result<Base> {
    Base::parse(url)
}
