//! How far the import of the nation has come: kept in the store, so that an import that was broken off goes on with the
//! first part that was not finished.

use anyhow::{Context, Result};
use hub::Opened;
use store::{Commit, Position, Seq};

const CONSUMER: &str = "nation/import";

/// Parts of the import, in order. Their numbers are kept: a new part goes to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u64)]
pub(super) enum Part {
    /// Nothing is there, but somebody began.
    Begun = 1,
    /// Organisations, parties, fixed personnel.
    Organisations,
    /// Persons, their GP lists, personnel.
    Persons,
    /// Units of hospitals.
    Units,
    /// Profiles of parties.
    Profiles,
    /// Powers of attorney.
    Powers,
    /// What happened before.
    History,
}

/// Whether the nation has yet to be imported, as a whole or in part. Folders that were filled before this was noted have
/// somebody in them.
pub(super) fn is_wanted(opened: &Opened) -> Result<bool> {
    let at = opened.store.position(CONSUMER)?;
    Ok(match at.0 {
        0 => opened.registers.is_empty(),
        at => at < Part::History as u64,
    })
}

/// Does a part, unless it was finished before.
pub(super) fn part(opened: &Opened, part: Part, work: impl FnOnce() -> Result<()>) -> Result<()> {
    if opened.store.position(CONSUMER)?.0 >= part as u64 {
        return Ok(());
    }
    work()?;
    let position = vec![Position {
        consumer: CONSUMER.to_owned(),
        to: Seq(part as u64),
    }];
    let commit = Commit {
        position,
        ..Commit::default()
    };
    let noted = opened.store.commit(commit);
    noted.context("how far the import has come cannot be noted")?;
    Ok(())
}
