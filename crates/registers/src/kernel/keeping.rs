//! When the kept form of a register is written, and how far it can be believed.

use super::kept::{Kept, KeptError, Place, write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use store::{Seq, Store, StoreError};

/// Registers with fewer entries are read from the log in no time.
const LEAST: usize = 2_000;
/// The file of changes is written anew when the feed has gone on so far.
const FEED_ENTRIES: u64 = 100_000;
/// And when so many more entries have changed.
const CHANGES: usize = 1_000;
/// Everything is written anew when one of so many entries has changed, and not for less than [`CHANGES`].
const SHARE: usize = 8;

/// What must be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    /// What changed since the file with everything was written.
    Since,
    Everything,
}

/// How a register stands, for the question what must be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// Entries.
    pub entries: usize,
    /// Entries that changed since the file with everything.
    pub changed: usize,
    /// Place in the feed.
    pub seq: Seq,
    /// There is a file with everything that these changes go on from.
    pub has_base: bool,
}

/// How far the files go.
#[derive(Clone, Copy, Debug, Default)]
struct Written {
    seq: u64,
    changed: usize,
}

/// The two files of a register.
pub(crate) struct Keeping {
    base: PathBuf,
    since: PathBuf,
    form: u32,
    written: Mutex<Written>,
    /// One writer at a time, from the look at the register to the file.
    turn: Mutex<()>,
}

/// What was read from the files: everything, what changed after it, and where that leads to.
pub(crate) struct Found<T> {
    pub all: Vec<T>,
    pub since: Vec<T>,
    pub mark: u128,
    pub place: Place,
}

impl Keeping {
    pub(crate) fn new(folder: &Path, name: &str, form: u32) -> Self {
        Self {
            base: folder.join(format!("{name}.kept")),
            since: folder.join(format!("{name}.since")),
            form,
            written: Mutex::default(),
            turn: Mutex::default(),
        }
    }

    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn due(&self, now: Standing) -> Due {
        let written = *self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let much = CHANGES.max(now.entries / SHARE);
        if now.entries < LEAST {
            Due::Nothing
        } else if !now.has_base || now.changed > much {
            Due::Everything
        } else if now.seq.0.saturating_sub(written.seq) >= FEED_ENTRIES
            || now.changed >= written.changed.saturating_add(CHANGES)
        {
            Due::Since
        } else {
            Due::Nothing
        }
    }

    /// Writes everything; what names the file.
    pub(crate) fn write_all<I>(
        &self,
        place: Place,
        items: impl IntoIterator<Item = I>,
        encode: impl FnMut(I, &mut Vec<u8>),
    ) -> Result<u128, StoreError> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let mark = uuid::Uuid::new_v4().as_u128();
        write(&self.base, (self.form, mark, place), items, encode).map_err(unwritten)?;
        // It goes on from the file before, and would not be read.
        let _ = std::fs::remove_file(&self.since);
        *written = Written {
            seq: place.seq,
            changed: 0,
        };
        Ok(mark)
    }

    /// Writes what changed since the file of this mark.
    pub(crate) fn write_since<I>(
        &self,
        (mark, place): (u128, Place),
        items: Vec<I>,
        encode: impl FnMut(I, &mut Vec<u8>),
    ) -> Result<(), StoreError> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = items.len();
        write(&self.since, (self.form, mark, place), items, encode).map_err(unwritten)?;
        *written = Written {
            seq: place.seq,
            changed,
        };
        Ok(())
    }

    /// What the files hold, where they can be believed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn read<T: Send>(
        &self,
        store: &Store,
        decode: impl Fn(&[u8]) -> Option<T> + Sync,
    ) -> Result<Option<Found<T>>, StoreError> {
        let kept = match Kept::open(&self.base, self.form) {
            Ok(kept) => kept,
            Err(reason) => {
                self.tell(&reason);
                return Ok(None);
            }
        };
        if !stands(store, kept.place())? {
            self.tell(&KeptError::Unfit("it is of another history"));
            return Ok(None);
        }
        let all = match kept.read(&decode) {
            Ok(all) => all,
            Err(reason) => {
                self.tell(&reason);
                return Ok(None);
            }
        };
        let mut found = Found {
            all,
            since: Vec::new(),
            mark: kept.mark(),
            place: kept.place(),
        };
        // Without it more of the feed is followed, and nothing is lost.
        if let Ok(since) = Kept::open(&self.since, self.form)
            && since.mark() == found.mark
            && since.place().seq >= found.place.seq
            && stands(store, since.place())?
            && let Ok(changed) = since.read(&decode)
        {
            found.since = changed;
            found.place = since.place();
        }
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        *written = Written {
            seq: found.place.seq,
            changed: found.since.len(),
        };
        Ok(Some(found))
    }

    fn tell(&self, reason: &KeptError) {
        if self.base.exists() {
            let file = self.base.display();
            tracing::info!(%reason, %file, "the register is read from the log");
        }
    }
}

fn unwritten(error: std::io::Error) -> StoreError {
    StoreError::Unavailable(format!("kept form: {error}"))
}

/// The place of this number in the history of the store. `events`: the register's last event there.
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn place(store: &Store, seq: Seq, events: u64) -> Result<Place, StoreError> {
    let entry = store.feed(Seq(seq.0.saturating_sub(1)), 1)?;
    Ok(Place {
        incarnation: store.incarnation().as_u128(),
        seq: seq.0,
        at: entry.first().map_or(0, |entry| entry.at),
        events,
    })
}

/// Whether the store has been there, and got there at the same time.
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn stands(store: &Store, kept: Place) -> Result<bool, StoreError> {
    Ok(store.snapshot()?.seq().0 >= kept.seq && place(store, Seq(kept.seq), kept.events)? == kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeping() -> Keeping {
        Keeping::new(Path::new("/nowhere"), "some", 1)
    }

    fn due(keeping: &Keeping, entries: usize, changed: usize, seq: u64, has_base: bool) -> Due {
        keeping.due(Standing {
            entries,
            changed,
            seq: Seq(seq),
            has_base,
        })
    }

    #[test]
    fn what_is_written_when() {
        let k = keeping();
        for (entries, changed, seq, has_base, expected) in [
            (0, 0, 0, false, Due::Nothing),
            (LEAST - 1, 0, 9_000_000, false, Due::Nothing),
            (LEAST, 0, 0, false, Due::Everything),
            (LEAST, 0, 0, true, Due::Nothing),
            (LEAST, CHANGES - 1, 0, true, Due::Nothing),
            (LEAST, CHANGES, 0, true, Due::Since),
            (LEAST, CHANGES + 1, 0, true, Due::Everything),
            (80_000, 10_000, 0, true, Due::Since),
            (80_000, 10_001, 0, true, Due::Everything),
            (LEAST, 0, FEED_ENTRIES - 1, true, Due::Nothing),
            (LEAST, 0, FEED_ENTRIES, true, Due::Since),
        ] {
            let found = due(&k, entries, changed, seq, has_base);
            assert_eq!(found, expected, "{entries} {changed} {seq} {has_base}");
        }
        *k.written.lock().unwrap() = Written {
            seq: 1_000_000,
            changed: 5_000,
        };
        assert_eq!(due(&k, 80_000, 5_999, 1_099_999, true), Due::Nothing);
        assert_eq!(due(&k, 80_000, 6_000, 1_000_000, true), Due::Since);
        assert_eq!(due(&k, 80_000, 5_000, 1_100_000, true), Due::Since);
    }
}
