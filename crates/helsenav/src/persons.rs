//! `helsenav import persons`: person documents, events and notices of birth and death of the population register, into the
//! person register of a stopped hub (SQLite) or beside a running one (PostgreSQL).

use crate::cli::StoreArgs;
use crate::import::bar_of;
use anyhow::{Context, Result, bail};
use clap::Args;
use registers::kernel::period::Moment;
use registers::persons::PersonRegister;
use registers::persons::freg::import::{Importer, Report, TOGETHER};
use registers::persons::freg::source::Items;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Import persons and events of the population register.
#[derive(Debug, Clone, Args)]
pub(crate) struct PersonsArgs {
    /// Files with person documents, feed entries or notices of birth or death, XML or JSON, one on each line (or one XML file with
    /// all of them inside).
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    store: StoreArgs,
}

/// A line is read into this at once.
const BUFFER_BYTES: usize = 8 << 20;
/// So many faults of a file are named.
const FAULTS_SHOWN: usize = 20;

/// Imports.
pub(crate) fn run(args: &PersonsArgs) -> Result<ExitCode> {
    let opened = args.store.opened()?;
    let register = opened.registers.persons();
    let now = Moment(opened.clock.now_us().div_euclid(1_000));
    let mut code = ExitCode::SUCCESS;
    for path in &args.files {
        // An empty register takes a file whole or not at all; elsewhere every item is looked at before the first is used.
        if !register.is_empty() && !check(path)? {
            code = ExitCode::FAILURE;
            break;
        }
        let mut importer = Importer::new(register, now)?;
        let done = import(path, register, &mut importer);
        tell(path, &importer.report());
        if let Err(error) = done {
            println!("{}: {error:#}", path.display());
            println!("What came before it stands; the same command goes on from there.");
            code = ExitCode::FAILURE;
            break;
        }
    }
    register.maintain()?;
    opened.store.close();
    Ok(code)
}

fn tell(path: &Path, report: &Report) {
    println!(
        "{}: {} new, {} changed, {} as they were; {} events, {} of them known before{}",
        path.display(),
        report.created,
        report.changed,
        report.unchanged,
        report.events + report.duplicates,
        report.duplicates,
        match report.last_event {
            0 => String::new(),
            last => format!("; the feed is followed up to {last}"),
        }
    );
}

fn items<R: std::io::Read>(path: &Path, input: R) -> Result<Items<BufReader<R>>> {
    Items::open(BufReader::with_capacity(BUFFER_BYTES, input))
        .with_context(|| path.display().to_string())
}

fn open(path: &Path) -> Result<File> {
    File::open(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Reads the whole file; prints what is wrong. Whether nothing is.
fn check(path: &Path) -> Result<bool> {
    let file = open(path)?;
    let bar = bar_of(path, &file)?;
    bar.set_message("looking");
    let mut faults = 0;
    for item in items(path, bar.wrap_read(file))? {
        if let Err(error) = item {
            faults += 1;
            if faults <= FAULTS_SHOWN {
                bar.suspend(|| println!("{}: {error}", path.display()));
            }
        }
    }
    bar.finish_and_clear();
    if faults > 0 {
        println!(
            "{}: {faults} items cannot be used; nothing was imported",
            path.display()
        );
    }
    Ok(faults == 0)
}

fn import(path: &Path, register: &PersonRegister, importer: &mut Importer<'_>) -> Result<()> {
    let file = open(path)?;
    let bar = bar_of(path, &file)?;
    let began = std::time::Instant::now();
    let rate = |count: u64| {
        let seconds = began.elapsed().as_secs_f64().max(0.001);
        format!("{count} items, {:.0}/s", count as f64 / seconds)
    };
    let mut items = items(path, bar.wrap_read(file))?;
    let mut count = 0u64;
    if register.is_empty() {
        let told = |loaded: u32| {
            if loaded.is_multiple_of(1_000) {
                bar.set_message(rate(loaded.into()));
            }
        };
        if let Some((place, item)) = importer.load(&mut items, told)? {
            importer.take(place, item)?;
        }
        count = importer.report().created;
    }
    loop {
        let (mut together, mut wrong) = (Vec::with_capacity(TOGETHER), None);
        for item in items.by_ref().take(TOGETHER) {
            match item {
                Ok(item) => together.push(item),
                Err(error) => {
                    wrong = Some(error);
                    break;
                }
            }
        }
        let is_last = together.len() < TOGETHER;
        count += together.len() as u64;
        importer.take_all(together)?;
        if let Some(error) = wrong {
            return Err(error.into());
        }
        bar.set_message(rate(count));
        if is_last {
            break;
        }
    }
    importer.finish()?;
    bar.finish_and_clear();
    if count == 0 {
        bail!("the file is empty");
    }
    Ok(())
}
