//! What reads return.

use crate::{IndexKey, MicrosUtc, Op, PersonKey, Privacy, RecordId, RepoId, Rid, Seq, Vno};
use bytes::Bytes;

/// What the store knows of a record without its body; what filters look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Record.
    pub rid: Rid,
    /// Repository.
    pub repo: RepoId,
    /// Type.
    pub rtype: String,
    /// Public id.
    pub id: RecordId,
    /// Version this head describes.
    pub vno: Vno,
    /// Its place in the log.
    pub seq: Seq,
    /// Its commit time.
    pub at: MicrosUtc,
    /// What was done; `Delete` = no live record.
    pub op: Op,
    /// Persons, aliases followed to the surviving key; the subject first.
    pub persons: Vec<PersonKey>,
    /// `Privacy::author_person` as key.
    pub author_person: Option<PersonKey>,
    /// `Privacy::owner` as key.
    pub owner: Option<PersonKey>,
    /// What the writer set (its `author_person` and `owner` are `None` here; see the fields above).
    pub privacy: Privacy,
}

/// One version of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What is known of it.
    pub head: Head,
    /// The body as it came (server `meta` is spliced in by `records`); empty for a deletion.
    pub body: Bytes,
}

/// A byte range of one parameter: `from <= value < to`; `to = None` = no upper end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// Parameter number.
    pub param: u32,
    /// First value.
    pub from: Vec<u8>,
    /// First value outside.
    pub to: Option<Vec<u8>>,
}

impl KeyRange {
    /// All values that begin with `prefix`.
    pub fn prefix(param: u32, prefix: &[u8]) -> Self {
        let mut to = prefix.to_vec();
        while let Some(last) = to.pop() {
            if last < u8::MAX {
                to.push(last + 1);
                return Self {
                    param,
                    from: prefix.to_vec(),
                    to: Some(to),
                };
            }
        }
        Self {
            param,
            from: prefix.to_vec(),
            to: None,
        }
    }

    /// Exactly this value.
    pub fn exact(key: &IndexKey) -> Self {
        let mut to = key.value.clone();
        to.push(0);
        Self {
            param: key.param,
            from: key.value.clone(),
            to: Some(to),
        }
    }

    /// All values of a parameter.
    pub fn whole(param: u32) -> Self {
        Self {
            param,
            from: Vec::new(),
            to: None,
        }
    }
}

/// Direction of an ordered scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Ascending.
    Ascending,
    /// Descending.
    Descending,
}

/// One row of an ordered scan: the value (full, not the index prefix) and the record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IndexRow {
    /// Value.
    pub value: Vec<u8>,
    /// Record.
    pub rid: Rid,
}

/// What a history runs over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryScope {
    /// One record, deletions included.
    Instance {
        /// Repository.
        repo: RepoId,
        /// Type.
        rtype: String,
        /// Id.
        id: RecordId,
    },
    /// One type.
    Type {
        /// Repository.
        repo: RepoId,
        /// Type.
        rtype: String,
    },
    /// A repository.
    Repository {
        /// Repository.
        repo: RepoId,
    },
}
