//! `helsenav demo folkeregister`: the nation's persons and a feed of events as the population register would deliver them,
//! for trying out an import.

use anyhow::{Context, Result};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use nation::folkeregister;
use nation::{Nation, Params};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Make files of the population register: `personer.xml` and `hendelser.xml`, one document on each line.
#[derive(Clone, Debug, Args)]
pub(crate) struct FolkeregisterArgs {
    /// Folder for the files; made when absent.
    #[arg(long)]
    out: PathBuf,
    /// Number of inhabitants.
    #[arg(long, default_value_t = 2_000)]
    population: usize,
    /// Seed of the nation.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Story day (YYYY-MM-DD); events happen on the day after.
    #[arg(long, default_value_t = jiff::civil::Date::constant(2026, 11, 23))]
    anchor: jiff::civil::Date,
    /// Events to make.
    #[arg(long, default_value_t = 200)]
    events: u64,
    /// Number of the first event.
    #[arg(long, default_value_t = 1)]
    first_event: u64,
}

/// Makes them.
pub(crate) fn run(args: &FolkeregisterArgs) -> Result<ExitCode> {
    let nation = Nation::generate(&Params {
        seed: args.seed,
        anchor: args.anchor,
        population: args.population,
    })?;
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot make {}", args.out.display()))?;
    let bar = ProgressBar::new(args.population as u64 + args.events);
    bar.set_style(ProgressStyle::with_template(
        "Writing {bar:32} {human_pos}/{human_len} {per_sec} {eta}",
    )?);
    let create = |name: &str| -> Result<BufWriter<File>> {
        let path = args.out.join(name);
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(BufWriter::with_capacity(1 << 20, file))
    };
    let (mut persons, mut written) = (create("personer.xml")?, 0u64);
    for person in nation.persons() {
        if let Some(document) = folkeregister::person(&person, args.anchor) {
            writeln!(persons, "{document}")?;
            written += 1;
        }
        bar.inc(1);
    }
    persons.flush()?;
    let mut events = create("hendelser.xml")?;
    let (day, mut cell) = (args.anchor.tomorrow()?, None);
    for number in args.first_event..args.first_event.saturating_add(args.events) {
        let event = folkeregister::event(&nation, number, day, &mut cell)
            .context("the nation is too small for events")?;
        writeln!(events, "{event}")?;
        bar.inc(1);
    }
    events.flush()?;
    bar.finish_and_clear();
    println!(
        "{written} persons and {} events in {}.",
        args.events,
        args.out.display()
    );
    println!(
        "helsenav import persons {0}/personer.xml {0}/hendelser.xml",
        args.out.display()
    );
    Ok(ExitCode::SUCCESS)
}
