//! What one batch knows of the store while it is decided: loaded rows, changed by the commits accepted so far.

use super::names::Names;
use super::pack::Meta;
use crate::{BlobHash, Head, IndexKey, MicrosUtc, Op, PersonKey, RepoId, Rid, Seq, Vno};
use bytes::Bytes;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Repository, type, id.
pub(super) type RecordName = (RepoId, String, String);

/// A record's newest version.
#[derive(Clone, Debug)]
pub(super) struct RecordState {
    pub(super) rid: Rid,
    pub(super) vno: u32,
    pub(super) seq: u64,
    pub(super) at: MicrosUtc,
    pub(super) op: Op,
    pub(super) purged: u32,
    pub(super) meta: Arc<Meta>,
    /// Keys, for records written in this batch.
    pub(super) keys: Option<Arc<Vec<IndexKey>>>,
    /// Whether the row `head` exists already.
    pub(super) stored: bool,
}

impl RecordState {
    pub(super) fn live(&self) -> bool {
        matches!(self.op, Op::Create | Op::Update)
    }

    /// As filters see it.
    pub(super) fn head(&self, name: &RecordName, names: &Names) -> Head {
        let aliases = &names.aliases;
        Head {
            rid: self.rid,
            repo: name.0,
            rtype: name.1.clone(),
            id: name.2.clone(),
            vno: Vno(self.vno),
            seq: Seq(self.seq),
            at: self.at,
            op: self.op,
            persons: aliases.roots(&self.meta.persons),
            author_person: self.meta.author_person.map(|p| aliases.root(p)),
            owner: self.meta.owner.map(|p| aliases.root(p)),
            privacy: self.meta.privacy.clone(),
        }
    }
}

/// A claim that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClaimState {
    pub(super) value: Vec<u8>,
    pub(super) until: Option<MicrosUtc>,
}

/// A leased message.
#[derive(Clone, Debug)]
pub(super) struct MessageState {
    pub(super) token: i64,
    pub(super) leased_until: MicrosUtc,
}

/// Counters of the feed row.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock {
    pub(super) seq: u64,
    pub(super) seq_at: MicrosUtc,
    pub(super) at: MicrosUtc,
    pub(super) rid: u64,
    pub(super) person: u64,
    pub(super) message: u64,
    pub(super) mirror: u64,
    pub(super) names: i64,
    /// The database's clock when the row was locked.
    pub(super) now: MicrosUtc,
    /// Transaction number, to learn the outcome after a broken connection.
    pub(super) xid: String,
}

/// What the expectations need to know, and what the accepted commits change.
#[derive(Default)]
pub(super) struct World {
    pub(super) clock: Clock,
    pub(super) names: Arc<Names>,
    /// Whether `names` were changed by this batch.
    pub(super) renamed: bool,
    /// Loaded and changed records; `None` = known to be absent.
    pub(super) records: HashMap<RecordName, Option<RecordState>>,
    /// Records that this batch has written.
    pub(super) written: HashMap<Rid, RecordName>,
    pub(super) claims: HashMap<(String, Vec<u8>), Option<ClaimState>>,
    /// Claims that this batch has taken or freed.
    pub(super) changed_claims: HashSet<(String, Vec<u8>)>,
    pub(super) messages: HashMap<u64, MessageState>,
    pub(super) positions: HashMap<String, u64>,
    /// Consumers that this batch has moved.
    pub(super) moved: HashSet<String>,
    pub(super) idents: HashMap<(String, String), PersonKey>,
    pub(super) blobs: HashSet<BlobHash>,
    /// Live matches in the store of each conditional expectation, by (commit, expectation).
    pub(super) matches: HashMap<(usize, usize), Vec<Head>>,
}

/// A row of `head`.
pub(super) struct HeadRow {
    pub(super) rid: u64,
    pub(super) repo: u16,
    pub(super) rtype: i32,
    pub(super) id: String,
    pub(super) vno: u32,
    pub(super) seq: i64,
    pub(super) at: MicrosUtc,
    pub(super) op: Op,
    pub(super) purged: u32,
    pub(super) meta: Vec<u8>,
}

/// A row of `version`.
pub(super) struct VersionRow {
    /// Place; of a bulk load `-generation`.
    pub(super) seq: i64,
    pub(super) rid: u64,
    pub(super) vno: u32,
    pub(super) at: MicrosUtc,
    pub(super) repo: u16,
    pub(super) op: Op,
    pub(super) pack: u32,
    pub(super) meta: Vec<u8>,
    pub(super) body: Bytes,
    pub(super) keys: Vec<u8>,
    pub(super) blobs: Vec<BlobHash>,
}

/// A row of `idx`.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct IdxRow {
    pub(super) field: i64,
    pub(super) value: Vec<u8>,
    pub(super) rid: u64,
    pub(super) vno: u32,
}

/// A row of `message`.
pub(super) struct MessageRow {
    pub(super) id: u64,
    pub(super) queue: String,
    pub(super) due: MicrosUtc,
    pub(super) timer: bool,
    pub(super) enqueued: MicrosUtc,
    pub(super) expires: Option<MicrosUtc>,
    pub(super) max_deliveries: u32,
    pub(super) headers: Bytes,
    pub(super) body: Bytes,
}

/// What a batch writes.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) versions: Vec<VersionRow>,
    pub(super) idx: Vec<IdxRow>,
    pub(super) events: Vec<(u64, MicrosUtc, i16, Vec<u8>)>,
    pub(super) epochs: Vec<(u64, u64)>,
    pub(super) idents: Vec<(String, String, u64)>,
    pub(super) aliases: Vec<(PersonKey, Option<PersonKey>)>,
    pub(super) blobs: Vec<(BlobHash, Bytes)>,
    pub(super) purges: Vec<(u64, u64)>,
    pub(super) messages: Vec<MessageRow>,
    pub(super) done: Vec<u64>,
    pub(super) released: Vec<(u64, Option<MicrosUtc>)>,
    pub(super) dead: Vec<(u64, MicrosUtc, String)>,
    pub(super) audit: Vec<(uuid::Uuid, MicrosUtc, Vec<u8>)>,
    pub(super) mirror: Vec<(u64, Vec<u8>)>,
}

/// Kind of an event row: an epoch.
pub(super) const EVENT_EPOCH: i16 = 0;
/// Kind of an event row: a generation.
pub(super) const EVENT_GENERATION: i16 = 1;
/// Repository and parameter as one number.
pub(super) fn field(repo: RepoId, param: u32) -> i64 {
    i64::from(repo.0) << 33 | (i64::from(param) + 1)
}

/// The field under which the compartments of a repository stand in `idx`.
pub(super) fn compartment_field(repo: RepoId) -> i64 {
    i64::from(repo.0) << 33
}

/// Index value of a compartment.
pub(super) fn compartment_value(person: PersonKey) -> Vec<u8> {
    person.0.to_be_bytes().to_vec()
}
