//! The gapless feed: what was committed, in order.

use crate::{MicrosUtc, Op, PersonKey, RecordId, RepoId, Rid, Seq, Vno};

/// One place of the log as consumers see it. Bodies are read with a grant, not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedEntry {
    /// Place.
    pub seq: Seq,
    /// Commit time.
    pub at: MicrosUtc,
    /// What.
    pub event: FeedEvent,
}

/// What happened at one place of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedEvent {
    /// A version of a record.
    Version {
        /// Repository.
        repo: RepoId,
        /// Type.
        rtype: String,
        /// Record.
        rid: Rid,
        /// Public id.
        id: RecordId,
        /// Version.
        vno: Vno,
        /// What was done.
        op: Op,
        /// Persons of the record.
        persons: Vec<PersonKey>,
    },
    /// A generation of a bulk-loaded register or repository was switched in.
    Generation {
        /// Register or repository.
        target: String,
        /// Generation number.
        generation: u64,
    },
    /// An epoch was raised, without a version (settings of a person, rules).
    Epoch {
        /// Persons; empty = rules epoch.
        persons: Vec<PersonKey>,
    },
}
