//! How the store can fail. Each variant says whose fault it is.

use crate::{RecordId, Vno};

/// Why a commit did not happen. Nothing of it was done, except that `Refused` keeps the audit entries.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// An expectation did not hold: the world moved; read again and decide anew.
    #[error("expectation {index} refused: {refusal}")]
    Refused {
        /// Index into `Commit::expect`, or past its end for conditions that puts and settles imply.
        index: usize,
        /// Which and why.
        refusal: Refusal,
    },
    /// The caller built an invalid commit (limit, unknown repository, blob missing). Please fix the caller.
    #[error("invalid commit: {0}")]
    Invalid(String),
    /// The engine cannot write now (disk full, database gone). Retry later; outcome is known: not committed.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// The connection broke while committing: it may or may not have happened. Read before retrying.
    #[error("commit outcome unknown: {0}")]
    OutcomeUnknown(String),
}

/// Which expectation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Another version is newest (`None` = no live record).
    #[error("version conflict")]
    Version {
        /// The newest live version.
        newest: Option<Vno>,
    },
    /// The record exists.
    #[error("record exists")]
    Exists,
    /// Records match (their ids, at most 2).
    #[error("matching record exists")]
    Match {
        /// Ids of the matching records.
        ids: Vec<RecordId>,
    },
    /// The claim is taken; by this value.
    #[error("claim is taken")]
    ClaimTaken {
        /// Value it holds.
        value: Vec<u8>,
    },
    /// The claim is not held, or with another value.
    #[error("claim is not held")]
    ClaimMissing,
    /// The lease is no longer held.
    #[error("lease is lost")]
    LeaseLost,
    /// The consumer stands elsewhere.
    #[error("consumer moved")]
    Position {
        /// Where it stands.
        at: crate::Seq,
    },
}

/// Why a read failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The engine cannot read now.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// The snapshot is older than the store keeps superseded rows (one hour); start over.
    #[error("snapshot expired")]
    SnapshotExpired,
    /// The grant does not fit the repository (an `Open` filter on patient data without being a hub actor).
    #[error("grant does not open this repository")]
    NotGranted,
    /// Stored data is damaged: please restore from backup and report.
    #[error("corrupt store: {0}")]
    Corrupt(String),
    /// The caller asked for something invalid.
    #[error("invalid request: {0}")]
    Invalid(String),
    /// A restore cannot play again what was set or erased after the backup (DESIGN §3.10). Nothing was written: bring the
    /// second place back, or restore once more with [`LostSettings::Accept`](crate::backup::LostSettings::Accept).
    #[error("settings and erasures made after the backup cannot be played again: {0}")]
    SettingsLost(String),
    /// The read took longer than its [`Patience`](crate::Patience), or nobody waits for it any more.
    #[error("the read took too long")]
    TimedOut,
    /// The store cannot be opened as configured (would not survive power loss, unknown schema version, …).
    #[error("cannot open store: {0}")]
    CannotOpen(String),
}
