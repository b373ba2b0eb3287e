//! Imports the nation into the registers: persons at once, outside the commit path, everything else in commits beside.

use super::seed;
use anyhow::{Context, Result, bail};
use bench::registers::people;
use hub::Opened;
use indicatif::{ProgressBar, ProgressStyle};
use nation::Nation;
use registers::table::{Newcomer, Row};
use std::sync::mpsc::sync_channel;

/// Rows in one call of the registers.
const ROWS: usize = 5_000;
/// Cells of some thousand people made ahead of the import.
const AHEAD: usize = 4;

/// Imports everybody and everything. Persons appear all together at the end: an import that was broken off begins anew.
pub(super) fn import(
    opened: &Opened,
    nation: &Nation,
    rows: impl Iterator<Item = Row>,
    population: usize,
) -> Result<()> {
    let mut chunk = Vec::with_capacity(ROWS);
    for row in rows {
        chunk.push(row);
        if chunk.len() == ROWS {
            opened.registers.import(std::mem::take(&mut chunk))?;
        }
    }
    opened.registers.import(chunk)?;

    let bar = ProgressBar::new(population as u64);
    bar.set_style(ProgressStyle::with_template(
        "Importing the nation {bar:32} {human_pos}/{human_len} {per_sec} {eta} {msg}",
    )?);
    std::thread::scope(|scope| -> Result<()> {
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
                    bar.set_position(count.into());
                }
                if count as usize == population {
                    bar.set_message("(writing the look-up file)");
                }
            });
        match staff.join() {
            Ok(imported) => imported.context("cannot import personnel")?,
            Err(_) => bail!("the import of personnel ended unexpectedly"),
        }
        loaded.context("cannot import persons")?;
        Ok(())
    })?;
    bar.finish_and_clear();
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
