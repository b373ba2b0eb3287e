//! Signed heads (spec/privacy.md §9.3): what the log commits to, day by day.
//!
//! Payload: `{v:1, log, day, streams:[{id, first, size, root, chain}], day_root, prev_head, created}`. Streams ascend by
//! id. `day_root` is the RFC 6962 root over `SHA-256(0x00 ‖ JCS(stream object))`. `prev_head` is the SHA-256 of the
//! compact JWS of the closed head before (null for the first); an interim head names the same `prev_head` as the
//! closed head that follows it. `created` is RFC 3339; hashes are base64url.

use super::chain::{b64, from_b64, instant, sha256_of};
use super::seal::{self, DayTree};
use super::{DayStream, Hash, HeadRow, Tables, jcs, merkle};
use crate::{HeadSigner, LogHead, MicrosUtc, StoreError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// `typ` of a signed head.
pub const TYP: &str = "helsenav-log-head+jwt";

/// A stream as a head names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadStream {
    /// Stream.
    pub id: String,
    /// Number of its first entry of the day.
    pub first: u64,
    /// Entries under this head.
    pub size: u64,
    /// Tree root.
    pub root: Hash,
    /// Chain hash after the last of them.
    pub chain: Hash,
}

/// A head's payload, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Log.
    pub log: String,
    /// Day.
    pub day: String,
    /// Streams, ascending by id.
    pub streams: Vec<HeadStream>,
    /// Root over the streams.
    pub day_root: Hash,
    /// Hash of the closed head before.
    pub prev_head: Option<Hash>,
    /// When it was made, RFC 3339.
    pub created: String,
}

impl HeadStream {
    fn json(&self) -> Value {
        json!({"id": self.id, "first": self.first, "size": self.size,
               "root": b64(&self.root), "chain": b64(&self.chain)})
    }

    /// Its leaf under `day_root`.
    pub fn leaf(&self) -> Hash {
        sha256_of(&[&[0x00], &jcs::canonical(&self.json())])
    }
}

impl Head {
    /// The payload as JSON.
    pub fn json(&self) -> Value {
        json!({
            "v": 1, "log": self.log, "day": self.day,
            "streams": self.streams.iter().map(HeadStream::json).collect::<Vec<_>>(),
            "day_root": b64(&self.day_root),
            "prev_head": self.prev_head.as_ref().map(|h| b64(h)),
            "created": self.created,
        })
    }

    /// Reads a payload. `None` when it is not one, streams are unordered, or `day_root` does not follow from them.
    pub fn of_json(payload: &Value) -> Option<Self> {
        let text = |v: &Value, name: &str| Some(v.get(name)?.as_str()?.to_owned());
        let hash = |v: &Value, name: &str| from_b64(v.get(name)?.as_str()?);
        if payload.get("v")?.as_u64()? != 1 {
            return None;
        }
        let mut streams = Vec::new();
        for stream in payload.get("streams")?.as_array()? {
            streams.push(HeadStream {
                id: text(stream, "id")?,
                first: stream.get("first")?.as_u64()?,
                size: stream.get("size")?.as_u64()?,
                root: hash(stream, "root")?,
                chain: hash(stream, "chain")?,
            });
        }
        let head = Self {
            log: text(payload, "log")?,
            day: text(payload, "day")?,
            day_root: hash(payload, "day_root")?,
            prev_head: match payload.get("prev_head")? {
                Value::Null => None,
                value => Some(from_b64(value.as_str()?)?),
            },
            created: text(payload, "created")?,
            streams,
        };
        let ordered = head.streams.is_sorted_by(|a, b| a.id < b.id);
        (ordered && head.day_root == day_root(&head.streams)).then_some(head)
    }

    /// Reads the payload of a compact JWS, without checking its signature.
    pub fn of_jws(jws: &str) -> Option<Self> {
        let payload = URL_SAFE_NO_PAD.decode(jws.split('.').nth(1)?).ok()?;
        Self::of_json(&serde_json::from_slice(&payload).ok()?)
    }
}

/// Root over a day's streams.
pub fn day_root(streams: &[HeadStream]) -> Hash {
    merkle::root_of(&streams.iter().map(HeadStream::leaf).collect::<Vec<_>>())
}

/// What `prev_head` of the next head holds.
pub fn hash_of(jws: &str) -> Hash {
    sha256_of(&[jws.as_bytes()])
}

/// A stored head's payload.
pub(super) fn read(row: &HeadRow) -> Result<Head, StoreError> {
    Head::of_jws(&row.jws)
        .ok_or_else(|| StoreError::Corrupt(format!("journal head {} of {}", row.n, row.day)))
}

/// Makes and stores a head over what is sealed: an interim one of an open day, or the one that closes `day` (whatever is
/// sealed afterwards belongs to a later day). A day that is closed already gives the head it has. Days are closed in
/// order: `Invalid` names the one to close first.
pub fn sign(
    tables: &mut dyn Tables,
    signer: &dyn HeadSigner,
    day: &str,
    close: bool,
    now: MicrosUtc,
) -> Result<LogHead, StoreError> {
    seal::check_day(day)?;
    let newest = tables.heads(Some(day), 1)?.into_iter().next();
    if let Some(head) = newest.filter(|h| h.closed) {
        return Ok(log_head(head));
    }
    let today = seal::day_of(now)?;
    let running = tables
        .last_day()?
        .filter(|last| *last > today)
        .unwrap_or(today);
    if day > running.as_str() {
        return Err(StoreError::Invalid(format!("{day} has not begun")));
    }
    if let Some(open) = tables.open_day_before(day)? {
        return Err(StoreError::Invalid(format!(
            "close the journal's day {open} first"
        )));
    }
    let closed = tables.last_closed_head()?;
    if let Some(later) = closed.as_ref().filter(|h| h.day.as_str() > day) {
        return Err(StoreError::Invalid(format!(
            "{} is closed already",
            later.day
        )));
    }
    let mut streams = Vec::new();
    for DayStream {
        stream,
        first,
        size,
        chain,
    } in tables.day_streams(day)?
    {
        let root = merkle::root(
            &mut DayTree {
                tables,
                stream: &stream,
                day,
            },
            size,
        )?;
        streams.push(HeadStream {
            id: stream,
            first,
            size,
            root,
            chain,
        });
    }
    let head = Head {
        log: tables.log_id()?,
        day: day.to_owned(),
        day_root: day_root(&streams),
        prev_head: closed.map(|h| hash_of(&h.jws)),
        created: instant(now),
        streams,
    };
    let jws = signer
        .sign(&head.json())
        .map_err(|e| StoreError::Unavailable(format!("log head not signed: {e}")))?;
    if Head::of_jws(&jws).as_ref() != Some(&head) {
        return Err(StoreError::Invalid(
            "the signer changed the payload".to_owned(),
        ));
    }
    let n = tables.heads(None, 1)?.first().map_or(1, |h| h.n + 1);
    if close {
        tables.remove_interim_heads(day)?;
    }
    let row = HeadRow {
        n,
        day: day.to_owned(),
        closed: close,
        jws,
    };
    tables.put_head(&row)?;
    Ok(log_head(row))
}

/// Heads as readers get them, newest first.
pub fn heads(tables: &mut dyn Tables, limit: usize) -> Result<Vec<LogHead>, StoreError> {
    Ok(tables
        .heads(None, limit)?
        .into_iter()
        .map(log_head)
        .collect())
}

fn log_head(row: HeadRow) -> LogHead {
    LogHead {
        day: row.day,
        closed: row.closed,
        jws: row.jws,
    }
}
