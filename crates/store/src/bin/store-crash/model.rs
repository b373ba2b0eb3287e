//! What the load does, and how everything it makes is named, so that the checker can tell what belongs together.
//!
//! An *act* has an id `c<cycle>t<thread>n<number>` that is never used twice. One act makes several things in one commit;
//! each carries the act's id.

use serde::{Deserialize, Serialize};
use store::{
    AuditEntry, EngineConfig, IndexKey, Op, PersonRef, Privacy, Put, PutId, RepoId, RepoKind,
    RepositoryDecl, StoreConfig,
};

/// Repository of the load's records.
pub const RECORDS: &str = "crash";
/// Repository of mirrored settings.
pub const SETTINGS: &str = "settings";
/// Type of all records.
pub const TYPE: &str = "Thing";
/// Queue of created acts.
pub const QUEUE: &str = "work";
/// Consumer of the feed.
pub const CONSUMER: &str = "tail";
/// Record that the consumer keeps its count in.
pub const COUNTER: &str = "counter";
/// Controller of audit entries.
pub const CONTROLLER: &str = "KJ";

/// Threads that make and change records.
pub const WRITERS: usize = 8;
/// Threads that work the queue.
pub const WORKERS: usize = 2;
/// Acts that may be under way when the child is killed: one per thread, and the tail's.
pub const IN_FLIGHT: usize = WRITERS + WORKERS + 1;

/// Index parameter: the act that made the record.
pub const BY_ACT: u32 = 1;
/// Index parameter: key of a conditional create.
pub const BY_CONDITION: u32 = 2;
/// Index parameter: version.
pub const BY_NUMBER: u32 = 3;

/// Kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Everything.
    Mixed,
    /// Everything that is a commit.
    Commits,
    /// Journal entries of reads only.
    Audit,
}

impl Load {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "mixed" => Some(Self::Mixed),
            "commits" => Some(Self::Commits),
            "audit" => Some(Self::Audit),
            _ => None,
        }
    }
}

impl std::fmt::Display for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Mixed => "mixed",
            Self::Commits => "commits",
            Self::Audit => "audit",
        })
    }
}

/// One line of the child: something it was told is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Ack {
    /// The store is open and the load begins.
    Ready,
    /// Two records, a message, a claim and an audit entry (and a blob, see [`has_blob`]).
    Create { act: String },
    /// A later version of a record.
    Update { record: String, vno: u32 },
    /// A deletion.
    Delete { record: String, vno: u32 },
    /// A purge.
    Purge { record: String },
    /// A conditional create that won.
    Condition { key: String, act: String },
    /// A race for a claim that was won.
    Race { key: String, act: String },
    /// A commit that was refused: its audit entry stays.
    Refused { act: String },
    /// A journal entry of a read.
    Audit { act: String },
    /// A record with a staged blob.
    Blob { act: String },
    /// A mirrored setting.
    Setting { act: String },
    /// A message settled together with its effect.
    Effect { act: String },
    /// A message sent to the dead letters.
    Dead { act: String },
    /// The consumer moved.
    Position { to: u64 },
    /// The outcome of an act is not known (the connection broke): it may be there or not.
    Unknown { act: String },
}

/// Where the store of a run lives, as the child is told.
pub fn config(engine: EngineConfig, mirror: std::path::PathBuf) -> StoreConfig {
    StoreConfig {
        engine,
        mirror: Some(mirror),
        ..StoreConfig::sqlite(
            "",
            vec![
                RepositoryDecl::new(RECORDS, RepoKind::Open),
                RepositoryDecl::new(SETTINGS, RepoKind::Internal),
            ],
        )
    }
}

/// Whether a created act carries a blob.
pub fn has_blob(act: &str) -> bool {
    act.bytes().map(u32::from).sum::<u32>().is_multiple_of(4)
}

/// The bytes of an act's blob.
pub fn blob_of(act: &str, size: usize) -> Vec<u8> {
    act.bytes().cycle().take(size).collect()
}

/// The payload of an act's message: the act, and for most of them more, so that it stands in a file of its own.
pub fn payload_of(act: &str) -> Vec<u8> {
    let sum: usize = act.bytes().map(usize::from).sum();
    let more = match sum % 4 {
        0 => 0,
        1 => 1_500,
        2 => 10_000,
        _ => 40_000,
    };
    let mut out = format!("{act}\n").into_bytes();
    out.extend(act.bytes().cycle().take(more));
    out
}

/// The act of a payload. One that is not whole is none of any act.
pub fn act_of(payload: &[u8]) -> String {
    let act = payload.split(|byte| *byte == b'\n').next();
    let act = String::from_utf8_lossy(act.unwrap_or_default()).into_owned();
    if payload_of(&act) == payload {
        act
    } else {
        format!("damaged payload of {act}")
    }
}

/// Size of a staged blob.
pub const STAGED: usize = 300 << 10;

/// Id of an act's audit entry.
pub fn audit_id(act: &str) -> uuid::Uuid {
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, act.as_bytes())
}

/// An act's audit entry.
pub fn audit(act: &str) -> AuditEntry {
    AuditEntry {
        id: audit_id(act),
        persons: vec![person(act)],
        controller: CONTROLLER.to_owned(),
        occurred_at: 1_795_431_600_000_000,
        imported: false,
        citizen_visible: true,
        members: [("action".to_owned(), serde_json::json!(act))].into(),
    }
}

/// One of seven made-up persons.
pub fn person(act: &str) -> PersonRef {
    let n = act.bytes().map(u32::from).sum::<u32>() % 7;
    PersonRef::id("urn:crash:person", format!("person-{n}"))
}

/// A version of a record; `number` is also the version number it must get.
pub fn put(repo: RepoId, id: &str, op: Op, act: &str, number: u32, padding: usize) -> Put {
    let body = match op {
        Op::Delete => String::new(),
        _ => serde_json::json!({"act": act, "n": number, "pad": "x".repeat(padding)}).to_string(),
    };
    let keys = match op {
        Op::Delete => Vec::new(),
        _ => vec![
            IndexKey {
                param: BY_ACT,
                value: act.as_bytes().to_vec(),
            },
            IndexKey {
                param: BY_NUMBER,
                value: number.to_be_bytes().to_vec(),
            },
        ],
    };
    Put {
        repo,
        rtype: TYPE.to_owned(),
        id: PutId::Given(id.to_owned()),
        op,
        body: body.into(),
        keys,
        pack: 1,
        persons: vec![person(act)],
        privacy: Privacy::default(),
        blobs: Vec::new(),
    }
}
