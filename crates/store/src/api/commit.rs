//! The commit: a value, all or nothing (DESIGN §3.1). Nothing else in the program writes.

use crate::{
    AuditEntry, BlobHash, Enqueue, Filter, MicrosUtc, PersonRef, Purge, QueueMessageId, RecordId,
    RepoId, Rid, Seq, Settle, Vno,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// One index row: a parameter and an order-preserving value. The full value is kept with the version;
/// the index may keep a prefix of at least 64 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IndexKey {
    /// Stable number of (type, search parameter, sub-kind), given by the definition pack.
    pub param: u32,
    /// Order-preserving bytes, at most [`MAX_KEY_BYTES`].
    pub value: Vec<u8>,
}

/// Longest index value, bytes.
pub const MAX_KEY_BYTES: usize = 255;
/// Most index keys of one version. Code systems have one per code.
pub const MAX_KEYS: usize = 20_000;
/// Longest body of one version, bytes (spec/fhir-server.md §16).
pub const MAX_BODY_BYTES: usize = 32 << 20;
/// Longest key of a claim, bytes.
pub const MAX_CLAIM_KEY_BYTES: usize = 255;
/// Longest value of a claim, bytes: a login under way with everything its client sent.
pub const MAX_CLAIM_VALUE_BYTES: usize = 64 << 10;
/// Most parts (puts, messages, …) of one commit.
pub const MAX_COMMIT_PARTS: usize = 100_000;
/// Blobs up to this size ride in the commit; larger ones are staged first.
pub const MAX_INLINE_BLOB_BYTES: usize = 256 << 10;

/// What happened to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Op {
    /// First version, or first after a deletion.
    Create,
    /// Later version.
    Update,
    /// Deletion: a version without body.
    Delete,
    /// Physical erasure (a tombstone in the feed; nothing of the record is left).
    Purge,
}

/// How the id of a new record is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutId {
    /// The store makes a time-ordered id (UUIDv7).
    New,
    /// This id. In repositories of kind `Patient` only for ids that the hub made itself.
    Given(RecordId),
}

/// What the privacy filter needs to know of a record (spec/privacy.md §2.5, §2.6, §8.1), set by the writer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Privacy {
    /// Code of the data controller (KJ, PPS, PJD, …).
    pub controller: String,
    /// Resource class.
    pub class: u16,
    /// 9603 and own label bits.
    pub labels: u64,
    /// HL7 confidentiality: 0 N, 1 R, 2 V.
    pub conf: u8,
    /// Not for the citizen before this instant.
    pub disclose_at: Option<MicrosUtc>,
    /// Service date, days since 1970-01-01.
    pub service_day: Option<i32>,
    /// Organisation number of the author.
    pub author_org: Option<String>,
    /// The author as person.
    pub author_person: Option<PersonRef>,
    /// Client that wrote the record.
    pub source_client: Option<String>,
    /// Owner (drafts, dialogues).
    pub owner: Option<PersonRef>,
    /// Status code, for `StatusNotIn`.
    pub status: Option<String>,
    /// 7618 area.
    pub area: Option<u8>,
    /// Business keys (prescription id, reference number, …).
    pub business_keys: Vec<String>,
}

/// A new version of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// Where it lives.
    pub repo: RepoId,
    /// Resource type, e.g. `Observation`.
    pub rtype: String,
    /// Its id.
    pub id: PutId,
    /// `Create`, `Update` or `Delete`; `Create` on a live record and `Update` on an unknown one are refused,
    /// except that `Update` with a given id creates it (update-as-create is the caller's choice).
    pub op: Op,
    /// The body as it came; empty for a deletion.
    pub body: Bytes,
    /// Index keys of this version.
    pub keys: Vec<IndexKey>,
    /// Version of the definition pack that made the keys.
    pub pack: u32,
    /// Persons of the record: the subject first (spec/fhir-server.md §8).
    pub persons: Vec<PersonRef>,
    /// What the privacy filter needs.
    pub privacy: Privacy,
    /// Blobs this version refers to; each must be in `Commit::blob`, staged, or stored already.
    pub blobs: Vec<BlobHash>,
}

/// A condition of the commit, checked in order against the store and the accepted part of the same batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Expect {
    /// The record exists, is not deleted, and its newest version is this one.
    Version {
        /// Repository.
        repo: RepoId,
        /// Type.
        rtype: String,
        /// Id.
        id: RecordId,
        /// Expected newest version.
        vno: Vno,
    },
    /// No live record has this id.
    Absent {
        /// Repository.
        repo: RepoId,
        /// Type.
        rtype: String,
        /// Id.
        id: RecordId,
    },
    /// No live record visible under `filter` carries all of these keys (conditional create).
    NoMatch {
        /// Repository.
        repo: RepoId,
        /// Equality keys; all must be carried.
        keys: Vec<IndexKey>,
        /// Only records of this author organisation count.
        author_org: Option<String>,
        /// Only records visible under this filter count.
        filter: Filter,
    },
    /// The claim is free (or expired), and is taken by this commit.
    Claim(Claim),
    /// The claim is held with exactly this value; `release` frees it in this commit (single use of a code).
    ClaimHeld {
        /// Name space.
        space: String,
        /// Key.
        key: Vec<u8>,
        /// Value it must have; `None` = any.
        value: Option<Vec<u8>>,
        /// Free it.
        release: bool,
    },
    /// The queue message is leased with this token.
    Lease {
        /// Message.
        message: QueueMessageId,
        /// Token of the lease.
        token: u64,
    },
    /// The consumer stands exactly here (0 = never moved).
    Position {
        /// Consumer name.
        consumer: String,
        /// Where it must stand.
        at: Seq,
    },
}

/// A unique key held in a name space: message ids seen, one-time codes, business keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Name space, e.g. `msgid`.
    pub space: String,
    /// Key, at most [`MAX_CLAIM_KEY_BYTES`].
    pub key: Vec<u8>,
    /// Value kept with it, at most [`MAX_CLAIM_VALUE_BYTES`].
    pub value: Vec<u8>,
    /// Free again from this instant on.
    pub until: Option<MicrosUtc>,
}

/// Moves a consumer's place in the feed, in the same commit as its effect (exactly once).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Consumer name.
    pub consumer: String,
    /// New place.
    pub to: Seq,
}

/// A blob of at most [`MAX_INLINE_BLOB_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobPut {
    /// Its SHA-256, checked.
    pub hash: BlobHash,
    /// Its bytes.
    pub bytes: Bytes,
}

impl BlobPut {
    /// Hashes the bytes.
    pub fn of(bytes: Bytes) -> Self {
        Self {
            hash: crate::sha256(&bytes),
            bytes,
        }
    }
}

/// Tells the store that two persons are one, or are not (spec/privacy.md §7.10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alias {
    /// `from` leads to `to`.
    Merge {
        /// The identity that ends.
        from: PersonRef,
        /// The identity that stays.
        to: PersonRef,
    },
    /// `from` stands alone again.
    Split {
        /// The identity that was merged.
        from: PersonRef,
    },
    /// One more identifier of the same person (a D-number's fnr), without a second key.
    AlsoKnownAs {
        /// The person.
        person: PersonRef,
        /// Identifier system.
        system: String,
        /// Identifier value.
        value: String,
    },
}

/// Everything that happens, at once or not at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Commit {
    /// Conditions, in order.
    pub expect: Vec<Expect>,
    /// New versions, in order.
    pub put: Vec<Put>,
    /// Blobs.
    pub blob: Vec<BlobPut>,
    /// New queue messages (a due time makes one a timer).
    pub enqueue: Vec<Enqueue>,
    /// Ends of leases.
    pub settle: Vec<Settle>,
    /// Physical erasures.
    pub purge: Vec<Purge>,
    /// Consumer positions.
    pub position: Vec<Position>,
    /// Persons whose privacy epoch is raised (settings, representation, stricter labels, …).
    pub raise: Vec<PersonRef>,
    /// Raises the epoch of rules and organisation approval.
    pub raise_rules: bool,
    /// Merges and splits of persons. Raises their epochs too.
    pub alias: Vec<Alias>,
    /// Access-journal entries of this act; also kept when an expectation refuses the rest.
    pub audit: Vec<AuditEntry>,
    /// Settings of citizens: also appended to the second configured place (DESIGN §3.10).
    pub mirror: bool,
}

/// What became of one put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutReceipt {
    /// Record.
    pub rid: Rid,
    /// Public id.
    pub id: RecordId,
    /// New version.
    pub vno: Vno,
    /// Its place in the log.
    pub seq: Seq,
}

/// A durable commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// A snapshot that includes the commit: the last seq of its batch or later.
    pub snapshot: Seq,
    /// Commit time: strictly increasing over commits, processes and clock steps.
    pub at: MicrosUtc,
    /// One per put, in order.
    pub puts: Vec<PutReceipt>,
    /// One per enqueue, in order.
    pub messages: Vec<QueueMessageId>,
}
