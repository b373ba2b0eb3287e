//! What one batch knows of the store while it is decided: loaded rows, changed by the commits accepted so far.

use super::names::Names;
use super::pack::{self, Meta};
use crate::{
    BlobHash, Commit, Head, IndexKey, MicrosUtc, Op, PersonKey, Put, RepoId, Rid, Seq, Vno,
};
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
    /// Process of the server that holds the lock.
    pub(super) process: i32,
}

/// What the expectations need to know, and what the accepted commits change.
#[derive(Default)]
pub(super) struct World {
    pub(super) clock: Clock,
    /// The last place before this batch.
    pub(super) began: u64,
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

/// What a put writes of its body and keys, packed before the batch: nothing of it depends on the store.
pub(super) struct Packed {
    pub(super) form: i16,
    pub(super) content: Bytes,
    /// Sorted, each once; none when the put deletes.
    pub(super) keys: Arc<Vec<IndexKey>>,
    pub(super) packed_keys: Vec<u8>,
}

impl Packed {
    /// Of one put.
    pub(super) fn of(put: &Put) -> Self {
        let gone = put.op == Op::Delete;
        let (form, content) = match gone {
            true => pack::body(&Bytes::new()),
            false => pack::body(&put.body),
        };
        let mut keys = match gone {
            true => Vec::new(),
            false => put.keys.clone(),
        };
        keys.sort();
        keys.dedup();
        Self {
            form,
            content,
            packed_keys: pack::keys(form, &keys),
            keys: Arc::new(keys),
        }
    }

    /// Of every put of a commit, in order.
    pub(super) fn all(commit: &Commit) -> Vec<Self> {
        commit.put.iter().map(Self::of).collect()
    }
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
    /// How `content` and `keys` are packed.
    pub(super) form: i16,
    pub(super) content: Bytes,
    pub(super) keys: Vec<u8>,
    pub(super) blobs: Vec<BlobHash>,
}

/// A row of `idx`.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct IdxRow {
    pub(super) key: Vec<u8>,
    pub(super) place: i64,
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

impl Plan {
    /// Whether messages become visible.
    pub(super) fn shows_messages(&self) -> bool {
        !(self.messages.is_empty() && self.released.is_empty())
    }
}

/// Kind of an event row: an epoch.
pub(super) const EVENT_EPOCH: i16 = 0;
/// Kind of an event row: a generation.
pub(super) const EVENT_GENERATION: i16 = 1;
/// Parameter under which the compartments of a repository stand in `idx`; callers may not use it.
const PARAM_PERSON: u32 = u32::MAX;
/// Bytes of an index key before its value: repository and parameter.
pub(super) const FIELD_BYTES: usize = 6;
/// Low bits of a place that hold the version: a version and the one 2^20 after it are told apart only by the superseded
/// one's rows being gone, which takes no longer than the retention.
const VNO_BITS: u32 = 20;
const VNO_MASK: i64 = (1 << VNO_BITS) - 1;

/// Index key of a value: repository, parameter, value; byte order is the order of values.
pub(super) fn key(repo: RepoId, param: u32, value: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(FIELD_BYTES + value.len());
    key.extend_from_slice(&repo.0.to_be_bytes());
    key.extend_from_slice(&param.to_be_bytes());
    key.extend_from_slice(value);
    key
}

/// Index key of a compartment.
pub(super) fn compartment_key(repo: RepoId, person: PersonKey) -> Vec<u8> {
    key(repo, PARAM_PERSON, &person.0.to_be_bytes())
}

/// The parameter inside an index key.
pub(super) fn param_of(key: &[u8]) -> u32 {
    let param = key.get(2..FIELD_BYTES).and_then(|p| p.try_into().ok());
    u32::from_be_bytes(param.unwrap_or_default())
}

/// The value inside an index key.
pub(super) fn value_of(key: &[u8]) -> &[u8] {
    key.get(FIELD_BYTES..).unwrap_or_default()
}

/// The newest, live version `h` of the record that an index row `i` is of: the condition of their join.
macro_rules! current {
    () => {
        "h.rid = (i.place >> 20) AND (h.vno & 1048575) = (i.place & 1048575) AND h.op < 2"
    };
}
pub(super) use current;

/// Record and version as one number: places ascend by record, then by version.
pub(super) fn place(rid: Rid, vno: Vno) -> i64 {
    before(rid) | (i64::from(vno.0) & VNO_MASK)
}

/// Not after any place of the record, and after all of the record before it.
pub(super) fn before(rid: Rid) -> i64 {
    i64::try_from(rid.0)
        .unwrap_or(i64::MAX)
        .min(i64::MAX >> VNO_BITS)
        << VNO_BITS
}

/// The last place that a version of the record can have.
pub(super) fn end(rid: Rid) -> i64 {
    before(rid) | VNO_MASK
}

/// Whether a place is of this version of its record.
pub(super) fn is_of(place: i64, vno: Vno) -> bool {
    place & VNO_MASK == i64::from(vno.0) & VNO_MASK
}

/// The record of a place.
pub(super) fn rid_of(place: i64) -> Rid {
    Rid((place >> VNO_BITS) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn places_of_unheard_of_records_stay_in_range() {
        assert_eq!(rid_of(place(Rid(7), Vno(3))), Rid(7));
        assert!(before(Rid(u64::MAX)) > 0);
        assert_eq!(end(Rid(u64::MAX)), i64::MAX);
    }

    proptest! {
        #[test]
        fn places_ascend_as_records_and_versions_do(
            a in (0u64..1 << 43, 0u32..1 << 20),
            b in (0u64..1 << 43, 0u32..1 << 20),
        ) {
            let [x, y] = [a, b].map(|(rid, vno)| place(Rid(rid), Vno(vno)));
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            prop_assert_eq!(rid_of(x), Rid(a.0));
            prop_assert!(before(Rid(a.0)) <= x && x <= end(Rid(a.0)));
            if a.0 < b.0 {
                prop_assert!(end(Rid(a.0)) < before(Rid(b.0)));
            }
        }

        #[test]
        fn keys_ascend_as_their_values_do(
            a in (any::<u16>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..5)),
            b in (any::<u16>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..5)),
        ) {
            let [x, y] = [&a, &b].map(|(repo, param, value)| key(RepoId(*repo), *param, value));
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            prop_assert_eq!(value_of(&x), &a.2[..]);
        }
    }
}
