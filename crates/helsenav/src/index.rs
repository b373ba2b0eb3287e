//! `helsenav reindex` and `helsenav check index`: the search keys of a stopped hub's FHIR repositories.

use crate::cli::StoreArgs;
use anyhow::{Result, bail};
use hub::Opened;
use indicatif::{ProgressBar, ProgressStyle};
use records::reindex::{Checked, Target, check, run};
use std::process::ExitCode;
use std::time::Duration;

/// Which keys.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct IndexArgs {
    /// Only this repository; without it, every FHIR repository.
    #[arg(long)]
    pub repository: Option<String>,
    #[command(flatten)]
    pub store: StoreArgs,
}

fn targets(args: &IndexArgs, opened: &Opened) -> Result<Vec<(&'static str, Target)>> {
    let all = hub::fhir::targets(opened)?;
    let Some(name) = &args.repository else {
        return Ok(all);
    };
    let known: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    if !known.contains(&name.as_str()) {
        bail!(
            "there is no FHIR repository {name}; there are {}",
            known.join(", ")
        );
    }
    Ok(all.into_iter().filter(|(n, _)| n == name).collect())
}

fn bar(name: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>14} {spinner} {pos} records {per_sec}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = ProgressBar::new_spinner()
        .with_style(style)
        .with_prefix(name);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Makes search keys anew.
pub(crate) fn reindex(args: &IndexArgs, all: bool) -> Result<ExitCode> {
    let opened = args.store.opened()?;
    for (name, target) in targets(args, &opened)? {
        let bar = bar(name);
        let done = run(&target, all, |records| {
            bar.set_position(records);
            true
        })?;
        bar.finish_and_clear();
        println!(
            "{name}: {} records, {} with new keys, {} kept as they were because theirs cannot be made",
            done.looked_at, done.changed, done.kept
        );
    }
    opened.store.close();
    Ok(ExitCode::SUCCESS)
}

/// Compares the index with the stored keys, and the stored keys with the content.
pub(crate) fn check_index(args: &IndexArgs) -> Result<ExitCode> {
    let opened = args.store.opened()?;
    let rows = opened.store.verify_index()?;
    println!("index: {rows} rows, all as the stored keys say");
    let mut is_right = true;
    for (name, target) in targets(args, &opened)? {
        let bar = bar(name);
        let mut sum = Checked::default();
        for rtype in fhir::Pack::r4().resource_types() {
            let before = sum.records;
            let found = check(&target, rtype, |records| {
                bar.set_position(before + records);
                true
            })?;
            sum.records += found.records;
            sum.differing += found.differing;
            sum.named.extend(found.named);
        }
        bar.finish_and_clear();
        println!(
            "{name}: {} records, {} whose keys are not those of their content",
            sum.records, sum.differing
        );
        for line in sum.named.iter().take(20) {
            println!("  {line}");
        }
        is_right &= sum.differing == 0;
    }
    opened.store.close();
    if is_right {
        return Ok(ExitCode::SUCCESS);
    }
    println!("`helsenav reindex --all` makes them anew");
    Ok(ExitCode::FAILURE)
}
