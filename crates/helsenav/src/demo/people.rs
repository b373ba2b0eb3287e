//! Imports the nation into the registers: organisations in commits, persons at once outside the commit path, personnel in
//! commits beside them.

use super::seed::{self, Certificates};
use anyhow::{Context, Result, bail};
use bench::registers::people;
use hub::Opened;
use indicatif::{ProgressBar, ProgressStyle};
use nation::Nation;
use registers::table::{Newcomer, Row};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

/// Rows in one call of the registers.
const ROWS: usize = 5_000;
/// Cells of some thousand people made ahead of the import.
const AHEAD: usize = 4;
/// Where nobody watches a bar, a line tells how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(15);

/// A bar on a terminal, lines elsewhere.
struct Progress {
    what: &'static str,
    bar: ProgressBar,
    total: u64,
    began: Instant,
    told: Instant,
}

impl Progress {
    fn new(what: &'static str, total: u64) -> Result<Self> {
        let bar = ProgressBar::new(total);
        bar.set_style(ProgressStyle::with_template(
            "Importing {prefix} {bar:32} {human_pos}/{human_len} {per_sec} {eta} {msg}",
        )?);
        bar.set_prefix(what);
        Ok(Self {
            what,
            bar,
            total,
            began: Instant::now(),
            told: Instant::now(),
        })
    }

    fn at(&mut self, count: u64) {
        self.bar.set_position(count);
        if self.bar.is_hidden() && self.told.elapsed() >= TOLD_EVERY {
            self.told = Instant::now();
            let seconds = self.began.elapsed().as_secs();
            println!(
                "Importing {}: {count} of {} after {seconds} s",
                self.what, self.total
            );
        }
    }

    fn end(self, count: u64) {
        self.bar.finish_and_clear();
        let seconds = self.began.elapsed().as_secs_f64();
        println!("Imported {count} {} in {seconds:.1} s", self.what);
    }
}

/// Imports organisations with their parties, and the fixed personnel. What is there already is replaced.
pub(super) fn organisations(
    opened: &Opened,
    nation: &Nation,
    certificates: &dyn Fn(&str) -> Option<Certificates>,
) -> Result<()> {
    let total = nation.organisations().count() as u64;
    let mut progress = Progress::new("organisations", total)?;
    let (mut chunk, mut mains) = (Vec::with_capacity(ROWS), 0);
    for row in seed::rows(nation, certificates) {
        mains += u64::from(matches!(&row, Row::Business(b) if b.parent.is_none()));
        chunk.push(row);
        if chunk.len() == ROWS {
            opened.registers.import(std::mem::take(&mut chunk))?;
            progress.at(mains);
        }
    }
    opened.registers.import(chunk)?;
    progress.end(mains);
    Ok(())
}

/// Imports everybody, with their places on GP lists, and the personnel among them. Persons appear all together at the end:
/// an import that was broken off before begins anew with them, one that was broken off after completes what is beside them.
pub(super) fn persons(opened: &Opened, nation: &Nation, population: usize) -> Result<()> {
    let mut progress = Progress::new("persons", population as u64)?;
    let bar = progress.bar.clone();
    let count = std::thread::scope(|scope| -> Result<u32> {
        let (persons, coming) = sync_channel::<Vec<Newcomer>>(AHEAD);
        let (staff, personnel) = sync_channel::<Vec<Row>>(AHEAD);
        scope.spawn(move || make(nation, &persons, &staff));
        let staff = scope.spawn(move || -> Result<()> {
            for rows in personnel {
                opened.registers.import(rows)?;
            }
            Ok(())
        });
        let loaded = opened
            .registers
            .load_persons(coming.into_iter().flatten(), |count| {
                if count.is_multiple_of(1_000) {
                    progress.at(count.into());
                }
                if count as usize == population {
                    bar.set_message("(writing the look-up file)");
                }
            });
        match staff.join() {
            Ok(imported) => imported.context("cannot import personnel")?,
            Err(_) => bail!("the import of personnel ended unexpectedly"),
        }
        loaded.context("cannot import persons")
    })?;
    progress.end(count.into());
    Ok(())
}

/// Makes everybody, until nobody takes them any more.
fn make(
    nation: &Nation,
    persons: &std::sync::mpsc::SyncSender<Vec<Newcomer>>,
    staff: &std::sync::mpsc::SyncSender<Vec<Row>>,
) {
    let anchor = nation.anchor();
    let newcomers = |people: &[nation::Person]| -> Vec<Newcomer> {
        let known = people.iter().filter_map(|p| people::newcomer(p, anchor));
        known.collect()
    };
    if persons.send(newcomers(nation.fixed_persons())).is_err() {
        return;
    }
    for cell in nation.cells() {
        let rows = cell.practitioners.iter();
        let rows = rows.map(|p| Row::Practitioner(Box::new(seed::practitioner(p))));
        if persons.send(newcomers(&cell.persons)).is_err() || staff.send(rows.collect()).is_err() {
            return;
        }
    }
}
