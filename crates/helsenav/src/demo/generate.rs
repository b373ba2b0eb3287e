//! `helsenav demo generate`: FHIR resources of a whole population, streamed to files or into a running sandbox.

use anyhow::{Context, Result, bail};
use bench::link::{Base, Link};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use nation::population::{DEFAULT_DENSITY, Population, References, Resource, put_all, transaction};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::sync_channel;

/// Make FHIR resources of a whole population.
#[derive(Clone, Debug, Args)]
pub(crate) struct GenerateArgs {
    /// Number of patients.
    #[arg(long, default_value_t = 1_000)]
    patients: usize,
    /// Resources of a patient on average.
    #[arg(long, default_value_t = DEFAULT_DENSITY)]
    density: usize,
    /// Seed: the same seed makes the same resources.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Last day of the records (YYYY-MM-DD).
    #[arg(long, default_value_t = jiff::civil::Date::constant(2026, 11, 23))]
    anchor: jiff::civil::Date,
    /// Folder for files; made when absent.
    #[arg(
        long,
        required_unless_present = "repository",
        conflicts_with = "repository"
    )]
    out: Option<PathBuf>,
    /// One file for each resource type, a resource on each line (the default).
    #[arg(long, conflicts_with = "bundles")]
    ndjson: bool,
    /// One file for each patient: a transaction Bundle; `shared.json` goes first.
    #[arg(long)]
    bundles: bool,
    /// Repository of a running hub to send transactions to: `sandbox`.
    #[arg(long)]
    repository: Option<String>,
    /// Its FHIR base without the repository; without it, that of the demo in `--data`.
    #[arg(long)]
    base: Option<String>,
    /// Data folder of the running demo.
    #[arg(long, default_value = "./data")]
    data: PathBuf,
}

/// Generates.
pub(crate) fn run(args: &GenerateArgs) -> Result<ExitCode> {
    let population = Population::new(args.seed, args.anchor, args.patients, args.density)?;
    let bar = ProgressBar::new(args.patients as u64);
    bar.set_style(ProgressStyle::with_template(
        "Patients {bar:32} {pos}/{len} {per_sec} {eta}",
    )?);
    let resources = match (&args.out, &args.repository) {
        (_, Some(repository)) => send(args, repository, &population, &bar)?,
        (Some(out), None) => {
            std::fs::create_dir_all(out)
                .with_context(|| format!("cannot make {}", out.display()))?;
            if args.bundles {
                bundles(out, &population, &bar)?
            } else {
                ndjson(out, &population, &bar)?
            }
        }
        (None, None) => bail!("say where to: --out FOLDER, or --repository sandbox"),
    };
    bar.finish_and_clear();
    println!("{} patients, {resources} resources.", args.patients);
    Ok(ExitCode::SUCCESS)
}

fn ndjson(folder: &Path, population: &Population, bar: &ProgressBar) -> Result<u64> {
    let mut files: BTreeMap<&'static str, BufWriter<File>> = BTreeMap::new();
    let mut count = 0;
    let mut write = |resources: Vec<Resource>| -> Result<()> {
        for resource in resources {
            let file = match files.entry(resource.rtype) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    let path = folder.join(format!("{}.ndjson", resource.rtype));
                    let file = File::create(&path)
                        .with_context(|| format!("cannot write {}", path.display()))?;
                    entry.insert(BufWriter::with_capacity(1 << 18, file))
                }
            };
            serde_json::to_writer(&mut *file, &resource.body)?;
            file.write_all(b"\n")?;
            count += 1;
        }
        Ok(())
    };
    write(population.shared())?;
    for chart in population.charts(References::Literal) {
        write(chart)?;
        bar.inc(1);
    }
    for file in files.values_mut() {
        file.flush()?;
    }
    Ok(count)
}

fn bundles(folder: &Path, population: &Population, bar: &ProgressBar) -> Result<u64> {
    let write = |name: &str, bundle: &serde_json::Value| -> Result<()> {
        let path = folder.join(name);
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut file = BufWriter::new(file);
        serde_json::to_writer(&mut file, bundle)?;
        Ok(file.flush()?)
    };
    let shared = population.shared();
    let mut count = shared.len() as u64;
    write("shared.json", &put_all(shared))?;
    for (n, chart) in population.charts(References::Urn).enumerate() {
        count += chart.len() as u64;
        write(&format!("patient-{:07}.json", n + 1), &transaction(chart))?;
        bar.inc(1);
    }
    Ok(count)
}

/// Connections that send transactions.
const SENDERS: usize = 4;

fn send(
    args: &GenerateArgs,
    repository: &str,
    population: &Population,
    bar: &ProgressBar,
) -> Result<u64> {
    let base = match &args.base {
        Some(base) => format!("{}/{repository}", base.trim_end_matches('/')),
        None => {
            let file = args.data.join(super::FACTS_FILE);
            let facts = std::fs::read(&file).with_context(|| {
                format!("{}: is the demo running? Else say --base", file.display())
            })?;
            let facts: serde_json::Value = serde_json::from_slice(&facts)?;
            let base = facts.get("base").and_then(|b| b.as_str());
            format!(
                "{}/fhir/{repository}",
                base.context("facts.json names no base")?
            )
        }
    };
    let base = Base::parse(&base)?;
    let shared = population.shared();
    let mut count = shared.len() as u64;
    post(&mut Link::new(&base), &put_all(shared).to_string())?;
    let (charts, waiting) = sync_channel::<String>(SENDERS * 2);
    let waiting = std::sync::Mutex::new(waiting);
    std::thread::scope(|scope| -> Result<()> {
        let senders: Vec<_> = (0..SENDERS)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    let mut link = Link::new(&base);
                    loop {
                        let next = waiting
                            .lock()
                            .unwrap_or_else(std::sync::PoisonError::into_inner)
                            .recv();
                        let Ok(bundle) = next else { return Ok(()) };
                        post(&mut link, &bundle)?;
                        bar.inc(1);
                    }
                })
            })
            .collect();
        for chart in population.charts(References::Urn) {
            count += chart.len() as u64;
            let mut bundle = transaction(chart).to_string();
            // Nobody takes any more when every sender has failed: their errors say why.
            while let Err(error) = charts.try_send(bundle) {
                if senders
                    .iter()
                    .all(std::thread::ScopedJoinHandle::is_finished)
                {
                    break;
                }
                bundle = match error {
                    std::sync::mpsc::TrySendError::Full(bundle)
                    | std::sync::mpsc::TrySendError::Disconnected(bundle) => bundle,
                };
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            if senders
                .iter()
                .any(std::thread::ScopedJoinHandle::is_finished)
            {
                break;
            }
        }
        drop(charts);
        for sender in senders {
            match sender.join() {
                Ok(result) => result?,
                Err(_) => bail!("a sender ended unexpectedly"),
            }
        }
        Ok(())
    })?;
    Ok(count)
}

fn post(link: &mut Link, bundle: &str) -> Result<()> {
    let (status, answer) = link.send("POST", "", Some(bundle.as_bytes()))?;
    if status != 200 {
        let text = String::from_utf8_lossy(&answer);
        bail!(
            "the repository answered {status}: {}",
            text.chars().take(600).collect::<String>()
        );
    }
    Ok(())
}
