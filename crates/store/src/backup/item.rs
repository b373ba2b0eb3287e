//! What a store consists of, engine-neutral.

use crate::journal::{HeadRow, LineState, SealedRow};
use crate::{
    BlobHash, FeedEvent, IndexKey, MicrosUtc, Op, PersonKey, Privacy, PurgeState, QueueMessageId,
    RecordId, RepoId, RepositoryDecl, Rid, Seq, Vno,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Head of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Engine it was made by (`sqlite`, `postgres`); for people.
    pub engine: String,
    /// Incarnation of the store it was made from.
    pub incarnation: Uuid,
    /// The state it holds.
    pub seq: Seq,
    /// Commit time of that state; the restored store's times are later.
    pub at: MicrosUtc,
    /// Number of the newest mirror entry that this state includes; `None` when the store had no mirror.
    pub mirror: Option<u64>,
    /// Next free numbers (`rid`, `person`, `message`, `token`, …), so that none is ever used again.
    pub next: BTreeMap<String, u64>,
    /// When the backup was made, real clock.
    pub made_at: MicrosUtc,
}

/// Kinds of items, in the order in which they stand in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ItemKind {
    /// Repositories.
    Repository,
    /// Person identifiers.
    Person,
    /// Merges.
    Alias,
    /// Blobs.
    Blob,
    /// The log.
    Log,
    /// Epochs.
    Epoch,
    /// Purges.
    Purge,
    /// Messages.
    Message,
    /// Dead letters.
    DeadLetter,
    /// Positions.
    Position,
    /// Claims.
    Claim,
    /// Journal.
    Journal,
}

/// One thing that a store holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A repository.
    Repository(RepoId, RepositoryDecl),
    /// An identifier of a person (a person without any has one item with `None`).
    Person(PersonKey, Option<(String, String)>),
    /// A merge: `.0` leads to `.1`.
    Alias(PersonKey, PersonKey),
    /// A blob that some version refers to.
    Blob(BlobHash, Bytes),
    /// A place of the log that is a version of a record. Versions of a bulk load come before its `Generation` event.
    Version(Box<VersionItem>),
    /// A place of the log that is not a version.
    Event(Seq, MicrosUtc, FeedEvent),
    /// Privacy epoch of a person; `None` = of the rules.
    Epoch(Option<PersonKey>, Seq),
    /// A purge.
    Purge(PurgeItem),
    /// A waiting message or timer; leases are not kept.
    Message(Box<MessageItem>),
    /// A dead letter.
    DeadLetter(Box<MessageItem>, MicrosUtc, String),
    /// A consumer's position.
    Position(String, Seq),
    /// A claim.
    Claim(ClaimItem),
    /// Id of the access journal, which it keeps.
    JournalLog(String),
    /// A sealed entry.
    JournalRow(Box<SealedRow>),
    /// The end of a person's line.
    JournalLine(PersonKey, String, LineState),
    /// A signed head.
    JournalHead(HeadRow),
}

impl Item {
    /// Its kind.
    pub fn kind(&self) -> ItemKind {
        match self {
            Self::Repository(..) => ItemKind::Repository,
            Self::Person(..) => ItemKind::Person,
            Self::Alias(..) => ItemKind::Alias,
            Self::Blob(..) => ItemKind::Blob,
            Self::Version(..) | Self::Event(..) => ItemKind::Log,
            Self::Epoch(..) => ItemKind::Epoch,
            Self::Purge(..) => ItemKind::Purge,
            Self::Message(..) => ItemKind::Message,
            Self::DeadLetter(..) => ItemKind::DeadLetter,
            Self::Position(..) => ItemKind::Position,
            Self::Claim(..) => ItemKind::Claim,
            Self::JournalLog(..)
            | Self::JournalRow(..)
            | Self::JournalLine(..)
            | Self::JournalHead(..) => ItemKind::Journal,
        }
    }
}

/// A version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionItem {
    /// Place in the log.
    pub seq: Seq,
    /// Record.
    pub rid: Rid,
    /// Version.
    pub vno: Vno,
    /// Repository.
    pub repo: RepoId,
    /// Type.
    pub rtype: String,
    /// Id.
    pub id: RecordId,
    /// What was done.
    pub op: Op,
    /// Commit time.
    pub at: MicrosUtc,
    /// Definition pack.
    pub pack: u32,
    /// Body.
    pub body: Bytes,
    /// Keys.
    pub keys: Vec<IndexKey>,
    /// Persons, aliases not followed.
    pub persons: Vec<PersonKey>,
    /// Author, aliases not followed.
    pub author_person: Option<PersonKey>,
    /// Owner, aliases not followed.
    pub owner: Option<PersonKey>,
    /// What the writer set (`author_person` and `owner` are `None` here).
    pub privacy: Privacy,
    /// Blobs it refers to.
    pub blobs: Vec<BlobHash>,
    /// Part of a bulk load: it shares the seq of that load's `Generation` event, or has a number of its own outside the
    /// feed, as the engine likes; a sink must not put it into the feed.
    pub bulk: bool,
}

/// A purge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgeItem {
    /// Repository.
    pub repo: RepoId,
    /// Type.
    pub rtype: String,
    /// Id.
    pub id: RecordId,
    /// Record.
    pub rid: Rid,
    /// The tombstone.
    pub seq: Seq,
    /// How far it had come. A sink that holds nothing of the record may say `Erased` at once.
    pub state: PurgeState,
}

/// A message of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageItem {
    /// Message.
    pub id: QueueMessageId,
    /// Queue.
    pub queue: String,
    /// When it was enqueued.
    pub enqueued_at: MicrosUtc,
    /// Not before.
    pub due_at: Option<MicrosUtc>,
    /// Not after.
    pub expires_at: Option<MicrosUtc>,
    /// Limit of deliveries; 0 = none.
    pub max_deliveries: u32,
    /// Deliveries so far.
    pub deliveries: u32,
    /// Headers.
    pub headers: Bytes,
    /// Payload.
    pub body: Bytes,
}

/// A claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimItem {
    /// Name space.
    pub space: String,
    /// Key.
    pub key: Vec<u8>,
    /// Value.
    pub value: Vec<u8>,
    /// Free again from this instant on.
    pub until: Option<MicrosUtc>,
}
