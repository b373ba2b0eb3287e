//! The sealed journal as rows: what an engine keeps, and the few set-based operations that the journal needs of it.

use super::Hash;
use super::chain::{b64, from_b64};
use crate::{MicrosUtc, PersonKey, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// One hashed member of an entry. As JSON: `["salt", value]`, or `"hash"` when erased.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "MemberForm", into = "MemberForm")]
pub enum Member {
    /// Value and the salt that hides its hash.
    Open {
        /// Salt, fresh per member.
        salt: [u8; 16],
        /// Value.
        value: serde_json::Value,
    },
    /// Erased: only the hash is left.
    Erased {
        /// `h_k` of spec/privacy.md §9.3.
        hash: Hash,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum MemberForm {
    Open(String, serde_json::Value),
    Erased(String),
}

impl From<Member> for MemberForm {
    fn from(member: Member) -> Self {
        match member {
            Member::Open { salt, value } => Self::Open(b64(&salt), value),
            Member::Erased { hash } => Self::Erased(b64(&hash)),
        }
    }
}

impl TryFrom<MemberForm> for Member {
    type Error = &'static str;

    fn try_from(form: MemberForm) -> Result<Self, Self::Error> {
        const WRONG: &str = "salt or hash of a journal member has the wrong size";
        Ok(match form {
            MemberForm::Open(salt, value) => Self::Open {
                salt: from_b64(&salt).ok_or(WRONG)?,
                value,
            },
            MemberForm::Erased(hash) => Self::Erased {
                hash: from_b64(&hash).ok_or(WRONG)?,
            },
        })
    }
}

/// Values may be health data or national ids: never printed.
impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Open { .. } => "Open",
            Self::Erased { .. } => "Erased",
        })
    }
}

/// A sealed entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SealedRow {
    /// Stream.
    pub stream: String,
    /// Number in the stream, from 1.
    pub seq: u64,
    /// Day (Europe/Oslo) it was sealed on.
    pub day: String,
    /// Index in the tree of (stream, day), from 0.
    pub index: u64,
    /// Entry id.
    pub id: Uuid,
    /// Real time at the append.
    pub recorded_at: MicrosUtc,
    /// Leaf hash.
    #[serde(with = "super::chain::b64_32")]
    pub leaf: Hash,
    /// Chain hash of the stream after this entry.
    #[serde(with = "super::chain::b64_32")]
    pub chain: Hash,
    /// Controller code.
    pub controller: String,
    /// Time of the act.
    pub occurred_at: MicrosUtc,
    /// Imported history.
    pub imported: bool,
    /// Whether the citizen sees it.
    pub citizen_visible: bool,
    /// Own keys of its persons (aliases not followed), the subject first: the person index has a row for each.
    pub persons: Vec<PersonKey>,
    /// Whose line it was numbered in: the subject's key with aliases followed at the sealing.
    pub line: Option<PersonKey>,
    /// Number in that line.
    pub pn: Option<u64>,
    /// All members, those that the journal added included.
    pub members: BTreeMap<String, Member>,
}

/// What a row keeps besides its own columns.
#[derive(Serialize, Deserialize)]
struct RowData {
    controller: String,
    occurred_at: MicrosUtc,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    imported: bool,
    citizen_visible: bool,
    persons: Vec<PersonKey>,
    line: Option<PersonKey>,
    pn: Option<u64>,
    members: BTreeMap<String, Member>,
}

/// The columns of a sealed row, as engines keep them.
#[derive(Clone, Debug, PartialEq)]
pub struct RowColumns {
    /// Stream.
    pub stream: String,
    /// Number in the stream.
    pub seq: u64,
    /// Day.
    pub day: String,
    /// Index in the day's tree.
    pub index: u64,
    /// Entry id.
    pub id: Uuid,
    /// Real time at the append.
    pub recorded_at: MicrosUtc,
    /// Leaf hash.
    pub leaf: Hash,
    /// Chain hash.
    pub chain: Hash,
    /// Everything else, see [`SealedRow::data`].
    pub data: Vec<u8>,
}

impl SealedRow {
    /// Everything that is no column of its own, as JSON bytes.
    pub fn data(&self) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec(&RowData {
            controller: self.controller.clone(),
            occurred_at: self.occurred_at,
            imported: self.imported,
            citizen_visible: self.citizen_visible,
            persons: self.persons.clone(),
            line: self.line,
            pn: self.pn,
            members: self.members.clone(),
        })
        .map_err(|e| StoreError::Invalid(format!("journal entry {}: {e}", self.id)))
    }

    /// The row of its columns.
    pub fn of(columns: RowColumns) -> Result<Self, StoreError> {
        let data: RowData = serde_json::from_slice(&columns.data).map_err(|_| {
            let (stream, seq) = (&columns.stream, columns.seq);
            StoreError::Corrupt(format!("journal entry {stream}/{seq} cannot be read"))
        })?;
        Ok(Self {
            stream: columns.stream,
            seq: columns.seq,
            day: columns.day,
            index: columns.index,
            id: columns.id,
            recorded_at: columns.recorded_at,
            leaf: columns.leaf,
            chain: columns.chain,
            controller: data.controller,
            occurred_at: data.occurred_at,
            imported: data.imported,
            citizen_visible: data.citizen_visible,
            persons: data.persons,
            line: data.line,
            pn: data.pn,
            members: data.members,
        })
    }
}

/// End of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamState {
    /// Its newest number.
    pub seq: u64,
    /// Its chain hash.
    pub chain: Hash,
}

/// One stream's part of one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayStream {
    /// Stream.
    pub stream: String,
    /// Number of its first entry of the day.
    pub first: u64,
    /// Entries of the day.
    pub size: u64,
    /// Chain hash after the last of them.
    pub chain: Hash,
}

/// End of a person's line of one controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineState {
    /// Newest number.
    pub pn: u64,
    /// Commit hash of that entry.
    #[serde(with = "super::chain::b64_32")]
    pub commit: Hash,
    /// The line that this one was linked into after a merge, until a split.
    pub joined: Option<PersonKey>,
}

/// A complete inner node of a day's tree. Kept for levels that are multiples of [`super::merkle::STORED_STEP`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Stream.
    pub stream: String,
    /// Day.
    pub day: String,
    /// Height above the leaves.
    pub level: u32,
    /// Index on its level.
    pub index: u64,
    /// Hash.
    pub hash: Hash,
}

/// A stored head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadRow {
    /// Ascending number over all heads.
    pub n: u64,
    /// Day.
    pub day: String,
    /// Whether the day is closed.
    pub closed: bool,
    /// Compact JWS.
    pub jws: String,
}

/// Row operations on the sealed journal, all inside one transaction that the engine opened and will commit
/// (durably) or roll back. Reads see the transaction's own writes. One sealer at a time.
pub trait Tables {
    /// Id of this log; made at first open, kept over restores.
    fn log_id(&mut self) -> Result<String, StoreError>;
    /// Which of these appends are sealed already.
    fn sealed_already(
        &mut self,
        appends: &[(Uuid, MicrosUtc)],
    ) -> Result<BTreeSet<(Uuid, MicrosUtc)>, StoreError>;
    /// End of a stream; `None` for a new one.
    fn stream_state(&mut self, stream: &str) -> Result<Option<StreamState>, StoreError>;
    /// All streams, ascending by id.
    fn streams(&mut self) -> Result<Vec<String>, StoreError>;
    /// Newest day that has an entry or a head.
    fn last_day(&mut self) -> Result<Option<String>, StoreError>;
    /// Streams of a day, ascending by id.
    fn day_streams(&mut self, day: &str) -> Result<Vec<DayStream>, StoreError>;
    /// The oldest day before `day` that has entries and no closed head.
    fn open_day_before(&mut self, day: &str) -> Result<Option<String>, StoreError>;
    /// Ends of lines by (person, controller); absent when there is none.
    fn lines(
        &mut self,
        of: &[(PersonKey, String)],
    ) -> Result<BTreeMap<(PersonKey, String), LineState>, StoreError>;
    /// Writes ends of lines.
    fn put_lines(
        &mut self,
        lines: &BTreeMap<(PersonKey, String), LineState>,
    ) -> Result<(), StoreError>;
    /// Adds rows (seq ascending per stream): the entry, its person index rows, the day's first, size and chain.
    fn append(&mut self, rows: &[SealedRow]) -> Result<(), StoreError>;
    /// Adds inner nodes.
    fn put_nodes(&mut self, nodes: &[Node]) -> Result<(), StoreError>;
    /// Hashes of one level of a day's tree with `from <= index < to`, ascending; level 0 = leaves.
    fn nodes(
        &mut self,
        stream: &str,
        day: &str,
        level: u32,
        from: u64,
        to: u64,
    ) -> Result<Vec<Hash>, StoreError>;
    /// Rows of a stream with `seq >= from`, ascending, at most `limit`.
    fn rows(&mut self, stream: &str, from: u64, limit: usize)
    -> Result<Vec<SealedRow>, StoreError>;
    /// A row by entry id (the first sealed, should an id have been used twice).
    fn row_by_id(&mut self, id: Uuid) -> Result<Option<SealedRow>, StoreError>;
    /// Rows in which one of the persons stands, `recorded_at < before`, newest first, each once, at most `limit`, but
    /// never ending between two rows of the same `recorded_at`: those come whole, beyond the limit.
    fn rows_of(
        &mut self,
        persons: &BTreeSet<PersonKey>,
        before: Option<MicrosUtc>,
        limit: usize,
    ) -> Result<Vec<SealedRow>, StoreError>;
    /// Replaces the members of a row (erasure), physically.
    fn replace_members(&mut self, row: &SealedRow) -> Result<(), StoreError>;
    /// Stores a head.
    fn put_head(&mut self, head: &HeadRow) -> Result<(), StoreError>;
    /// Removes interim heads of a day (it is closed now).
    fn remove_interim_heads(&mut self, day: &str) -> Result<(), StoreError>;
    /// Heads, newest first (`n` descending), at most `limit`; of one day when given.
    fn heads(&mut self, day: Option<&str>, limit: usize) -> Result<Vec<HeadRow>, StoreError>;
    /// The closed head with the greatest `n`.
    fn last_closed_head(&mut self) -> Result<Option<HeadRow>, StoreError>;
    /// Closed heads with `n > after`, ascending, at most `limit`.
    fn closed_heads_after(&mut self, after: u64, limit: usize) -> Result<Vec<HeadRow>, StoreError>;
}
