//! What changed since the read form was made, kept beside it: so that a start does not follow the feed from where the read
//! form was made, which may be millions of entries ago when few of them were of persons.
//!
//! Derived like the read form: torn, rotten or of another read form, it is not used. It never outlives an address that must
//! be forgotten: such a change makes a new read form, and with that this file goes away.

use super::{Held, PersonRegister, Row};
use crate::kernel::EntryNo;
use crate::kernel::keeping::{place, stands};
use crate::kernel::kept::{Kept, write};
use crate::persons::file::Stamp;
use crate::persons::row::FORM;
use crate::persons::search::Overlay;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use store::{Seq, StoreError};

/// Written anew when the feed has gone on so far.
const FEED_ENTRIES: u64 = 100_000;
/// And when so many more entries have changed.
const CHANGES: usize = 1_000;

/// How far the file goes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Written {
    /// Place in the feed; 0: there is no file.
    pub seq: u64,
    pub changed: usize,
}

/// What names a read form here.
fn mark(stamp: Stamp) -> u128 {
    (u128::from(stamp.seq) << 64) | u128::from(stamp.events)
}

impl PersonRegister {
    pub(super) fn since_path(&self) -> PathBuf {
        self.options.path().with_extension("since")
    }

    /// Takes over what was kept beside the read form.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) fn take_since(&self) -> Result<(), StoreError> {
        let stamp = self.read().file.stamp();
        let Ok(kept) = Kept::open(&self.since_path(), FORM) else {
            return Ok(());
        };
        let to = kept.place();
        if kept.mark() != mark(stamp) || to.seq < stamp.seq || !stands(self.log.store(), to)? {
            return Ok(());
        }
        let rows = kept.read(|bytes| {
            let (no, row) = bytes.split_first_chunk::<4>()?;
            Some((EntryNo(u32::from_le_bytes(*no)), Arc::<[u8]>::from(row)))
        });
        let Ok(rows) = rows else { return Ok(()) };
        let changed = rows.len();
        let mut overlay = Overlay::default();
        for (no, row) in rows {
            overlay.put(no, row, to.seq);
        }
        let mut held = self.write();
        held.overlay = Arc::new(overlay);
        held.seq = Seq(to.seq);
        held.events = held.events.max(to.events);
        drop(held);
        self.note(Written {
            seq: to.seq,
            changed,
        });
        Ok(())
    }

    /// Keeps what changed beside the read form, where it is much or long ago. Whether something was written.
    ///
    /// # Errors
    /// When the store cannot be read or the file not be written.
    pub(super) fn keep_since(&self) -> Result<bool, StoreError> {
        if self.options.temporary {
            return Ok(false);
        }
        let _alone = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        let written = self.since_written();
        let (file, overlay, seq, _) = self.state();
        let from = written.seq.max(file.stamp().seq);
        if seq.0.saturating_sub(from) < FEED_ENTRIES && overlay.len() < written.changed + CHANGES {
            return Ok(false);
        }
        // Before the state is taken: an address in it that must be forgotten from now on asks for another read form.
        self.note(Written {
            seq: seq.0.max(1),
            changed: overlay.len(),
        });
        drop(overlay);
        let (file, overlay, seq, events) = self.state();
        let to = place(self.log.store(), seq, events)?;
        write(
            &self.since_path(),
            (FORM, mark(file.stamp()), to),
            overlay.iter(),
            |(no, row), out| {
                out.extend_from_slice(&no.0.to_le_bytes());
                out.extend_from_slice(row);
            },
        )
        .map_err(|e| StoreError::Unavailable(format!("read form: {e}")))?;
        Ok(true)
    }

    /// A new read form stands: what was kept beside the old one must not stay.
    pub(super) fn forget_since(&self) {
        self.note(Written::default());
        if let Err(error) = std::fs::remove_file(self.since_path())
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "a file beside the read form of persons could not be removed");
        }
    }

    pub(super) fn since_written(&self) -> Written {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, written: Written) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = written;
    }
}

impl Held {
    /// Whether the read form, or the file beside it where there is one, may show where somebody lives.
    pub(super) fn has_shown(&self, no: EntryNo, has_since: bool) -> bool {
        let changed = self.overlay.row(no).filter(|_| has_since);
        changed.is_some_and(|row| Row::new(row).has_address())
            || !matches!(
                self.file.with(no, |row| row.has_address()),
                Ok(Some(false) | None)
            )
    }
}
