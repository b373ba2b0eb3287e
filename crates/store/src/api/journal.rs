//! The access journal as values (spec/privacy.md §9): who did what with whose data.

use crate::{MicrosUtc, PersonKey, PersonRef};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// When an entry must be durable (spec/privacy.md §9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Durability {
    /// Before the answer goes out (clinical repositories, protected persons).
    BeforeAnswer,
    /// Within one second after it (other register look-ups).
    WithinOneSecond,
}

/// One entry, as the act's own code makes it. The only time of the chain is added at the append.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// UUIDv7 of the entry.
    pub id: uuid::Uuid,
    /// Persons whose line it stands in: the subject first; empty for lines about no person.
    pub persons: Vec<PersonRef>,
    /// Controller code (KJ, PPS, PJD, PT, …).
    pub controller: String,
    /// Time of the act: the same instant, but story time in the demo and the source's time for imported lines.
    pub occurred_at: MicrosUtc,
    /// Imported history.
    pub imported: bool,
    /// Whether the citizen sees it (numbers `pn`, `pprev`); intake and undisclosed writes stand in another line.
    pub citizen_visible: bool,
    /// Members by name (spec/privacy.md §9.1): `actor.hpr`, `actor.name`, `actor.organisation`, `purpose`, `basis`,
    /// `action`, `classes`, `item_ids`, `outcome`, `deny_class`, `event_id`, … Each is hashed with its own salt.
    pub members: BTreeMap<String, serde_json::Value>,
}

impl std::fmt::Debug for AuditEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AuditEntry({}, {})", self.id, self.controller)
    }
}

/// An entry as it stands in the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct JournalEntry {
    /// What was written.
    pub entry: AuditEntry,
    /// Real time at the append.
    pub recorded_at: MicrosUtc,
    /// Persons as keys (the subject first).
    pub persons: Vec<PersonKey>,
    /// Its place in the sealed chain; `None` until the sealer has taken it (seconds).
    pub sealed: Option<Sealed>,
}

/// Place of an entry in the sealed journal (spec/privacy.md §9.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Stream (one per writing process).
    pub stream: String,
    /// Number in the stream, from 1.
    pub seq: u64,
    /// Day (Europe/Oslo, `YYYY-MM-DD`) it was sealed on.
    pub day: String,
    /// Index in the tree of that stream and day.
    pub index: u64,
    /// Leaf hash.
    pub leaf: [u8; 32],
    /// Number in the person's line of this controller; `None` when the citizen does not see it.
    pub pn: Option<u64>,
}

/// A signed head of the log: one day, or an interim one of the running day (spec/privacy.md §9.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHead {
    /// Day, `YYYY-MM-DD`.
    pub day: String,
    /// Whether the day is closed.
    pub closed: bool,
    /// Compact JWS, `typ: helsenav-log-head+jwt`.
    pub jws: String,
}

/// Signs log heads; given by the hub, so that the store holds no keys.
pub trait HeadSigner: Send + Sync {
    /// Compact JWS over the JSON payload with `typ: helsenav-log-head+jwt`.
    fn sign(&self, payload: &serde_json::Value) -> Result<String, String>;
}
