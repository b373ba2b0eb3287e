//! Items as bytes: `tag u8 | meta length u32 | meta JSON | parts u8 | (length u64 | bytes)*`, little-endian. What is
//! large or binary (bodies, keys, payloads) is a part, everything else stands in the meta.

use super::{ClaimItem, Item, MessageItem, PurgeItem, VersionItem};
use crate::journal::chain::b64;
use crate::{
    BlobHash, FeedEvent, IndexKey, MAX_KEYS, MicrosUtc, Op, PersonKey, Privacy, PurgeState,
    QueueMessageId, RepoId, Rid, Seq, StoreError, Vno,
};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};

/// Longest part of an item (a blob), bytes.
pub const MAX_PART_BYTES: u64 = 1 << 30;
/// Longest meta of an item, bytes.
const MAX_META_BYTES: u32 = 16 << 20;
const MAX_PARTS: u8 = 4;

#[derive(Serialize, Deserialize)]
struct VersionMeta {
    seq: Seq,
    rid: Rid,
    vno: Vno,
    repo: RepoId,
    #[serde(rename = "type")]
    rtype: String,
    id: String,
    op: Op,
    at: MicrosUtc,
    pack: u32,
    persons: Vec<PersonKey>,
    author: Option<PersonKey>,
    owner: Option<PersonKey>,
    privacy: Privacy,
    blobs: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    bulk: bool,
}

#[derive(Serialize, Deserialize)]
enum EventMeta {
    Generation(String, u64),
    Epoch(Vec<PersonKey>),
}

#[derive(Serialize, Deserialize)]
struct PurgeMeta {
    repo: RepoId,
    #[serde(rename = "type")]
    rtype: String,
    id: String,
    rid: Rid,
    seq: Seq,
    erased: bool,
}

#[derive(Serialize, Deserialize)]
struct MessageMeta {
    id: QueueMessageId,
    queue: String,
    enqueued_at: MicrosUtc,
    due_at: Option<MicrosUtc>,
    expires_at: Option<MicrosUtc>,
    max_deliveries: u32,
    deliveries: u32,
    /// When and why, for dead letters.
    dead: Option<(MicrosUtc, String)>,
}

#[derive(Serialize, Deserialize)]
struct ClaimMeta {
    space: String,
    until: Option<MicrosUtc>,
}

fn unreadable(what: &str) -> StoreError {
    StoreError::Corrupt(format!("backup stream: {what} cannot be read"))
}

/// Writes one item.
pub(super) fn write(item: &Item, out: &mut dyn Write) -> Result<(), StoreError> {
    let none: [&[u8]; 0] = [];
    match item {
        Item::Repository(id, decl) => put(out, 1, &(id, decl), none),
        Item::Person(key, identifier) => put(out, 2, &(key, identifier), none),
        Item::Alias(from, to) => put(out, 3, &(from, to), none),
        Item::Blob(hash, bytes) => put(out, 4, &b64(hash), [bytes.as_ref()]),
        Item::Version(v) => {
            let meta = VersionMeta {
                seq: v.seq,
                rid: v.rid,
                vno: v.vno,
                repo: v.repo,
                rtype: v.rtype.clone(),
                id: v.id.clone(),
                op: v.op,
                at: v.at,
                pack: v.pack,
                persons: v.persons.clone(),
                author: v.author_person,
                owner: v.owner,
                privacy: v.privacy.clone(),
                blobs: v.blobs.iter().map(|h| b64(h)).collect(),
                bulk: v.bulk,
            };
            put(out, 5, &meta, [v.body.as_ref(), &pack_keys(&v.keys)?])
        }
        Item::Event(seq, at, event) => {
            let meta = match event {
                FeedEvent::Generation { target, generation } => {
                    EventMeta::Generation(target.clone(), *generation)
                }
                FeedEvent::Epoch { persons } => EventMeta::Epoch(persons.clone()),
                FeedEvent::Version { .. } => {
                    return Err(StoreError::Invalid(
                        "backup: a version is no event".to_owned(),
                    ));
                }
            };
            put(out, 6, &(seq, at, meta), none)
        }
        Item::Epoch(person, seq) => put(out, 7, &(person, seq), none),
        Item::Purge(p) => {
            let meta = PurgeMeta {
                repo: p.repo,
                rtype: p.rtype.clone(),
                id: p.id.clone(),
                rid: p.rid,
                seq: p.seq,
                erased: p.state == PurgeState::Erased,
            };
            put(out, 8, &meta, none)
        }
        Item::Message(m) => put(
            out,
            9,
            &message_meta(m, None),
            [m.headers.as_ref(), &m.body],
        ),
        Item::DeadLetter(m, at, reason) => {
            let meta = message_meta(m, Some((*at, reason.clone())));
            put(out, 9, &meta, [m.headers.as_ref(), &m.body])
        }
        Item::Position(consumer, seq) => put(out, 10, &(consumer, seq), none),
        Item::Claim(c) => {
            let meta = ClaimMeta {
                space: c.space.clone(),
                until: c.until,
            };
            put(out, 11, &meta, [c.key.as_slice(), &c.value])
        }
        Item::JournalLog(id) => put(out, 12, id, none),
        Item::JournalRow(row) => put(out, 13, row, none),
        Item::JournalLine(person, controller, state) => {
            put(out, 14, &(person, controller, state), none)
        }
        Item::JournalHead(head) => put(out, 15, head, none),
    }
}

fn message_meta(m: &MessageItem, dead: Option<(MicrosUtc, String)>) -> MessageMeta {
    MessageMeta {
        id: m.id,
        queue: m.queue.clone(),
        enqueued_at: m.enqueued_at,
        due_at: m.due_at,
        expires_at: m.expires_at,
        max_deliveries: m.max_deliveries,
        deliveries: m.deliveries,
        dead,
    }
}

fn put<const N: usize>(
    out: &mut dyn Write,
    tag: u8,
    meta: &impl Serialize,
    parts: [&[u8]; N],
) -> Result<(), StoreError> {
    let failed = |e: std::io::Error| StoreError::Unavailable(format!("backup stream: {e}"));
    let meta = serde_json::to_vec(meta)
        .map_err(|e| StoreError::Invalid(format!("backup: item of kind {tag}: {e}")))?;
    let length = u32::try_from(meta.len())
        .ok()
        .filter(|n| *n <= MAX_META_BYTES)
        .ok_or_else(|| StoreError::Invalid(format!("backup: item of kind {tag} is too long")))?;
    let mut head = Vec::with_capacity(meta.len() + 6);
    head.push(tag);
    head.extend_from_slice(&length.to_le_bytes());
    head.extend_from_slice(&meta);
    head.push(u8::try_from(N).unwrap_or(u8::MAX));
    out.write_all(&head).map_err(failed)?;
    for part in parts {
        if part.len() as u64 > MAX_PART_BYTES {
            return Err(StoreError::Invalid(format!(
                "backup: item of kind {tag} is too long"
            )));
        }
        out.write_all(&(part.len() as u64).to_le_bytes())
            .map_err(failed)?;
        out.write_all(part).map_err(failed)?;
    }
    Ok(())
}

fn pack_keys(keys: &[IndexKey]) -> Result<Vec<u8>, StoreError> {
    let mut out = Vec::with_capacity(keys.iter().map(|k| k.value.len() + 6).sum());
    for key in keys {
        let length = u16::try_from(key.value.len())
            .map_err(|_| StoreError::Corrupt("a search key is too long".to_owned()))?;
        out.extend_from_slice(&key.param.to_le_bytes());
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&key.value);
    }
    Ok(out)
}

fn unpack_keys(mut bytes: &[u8]) -> Option<Vec<IndexKey>> {
    let mut keys = Vec::new();
    while !bytes.is_empty() {
        let (param, rest) = bytes.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        keys.push(IndexKey {
            param: u32::from_le_bytes(*param),
            value: value.to_vec(),
        });
        bytes = rest;
    }
    (keys.len() <= MAX_KEYS).then_some(keys)
}

struct Raw {
    tag: u8,
    meta: Vec<u8>,
    parts: std::vec::IntoIter<Bytes>,
}

impl Raw {
    fn meta<T: DeserializeOwned>(&self) -> Result<T, StoreError> {
        serde_json::from_slice(&self.meta)
            .map_err(|_| unreadable(&format!("an item of kind {}", self.tag)))
    }

    fn part(&mut self) -> Result<Bytes, StoreError> {
        self.parts
            .next()
            .ok_or_else(|| unreadable("an item without its content"))
    }
}

/// Reads one item whose tag is `tag`.
pub(super) fn read(tag: u8, input: &mut dyn Read) -> Result<Item, StoreError> {
    let mut raw = raw(tag, input)?;
    let item = item(&mut raw)?;
    if raw.parts.next().is_some() {
        return Err(unreadable("an item with too much content"));
    }
    Ok(item)
}

fn item(raw: &mut Raw) -> Result<Item, StoreError> {
    let hash = |text: &str| -> Result<BlobHash, StoreError> {
        crate::journal::chain::from_b64(text).ok_or_else(|| unreadable("a blob's hash"))
    };
    Ok(match raw.tag {
        1 => raw.meta().map(|(id, decl)| Item::Repository(id, decl))?,
        2 => raw
            .meta()
            .map(|(key, identifier)| Item::Person(key, identifier))?,
        3 => raw.meta().map(|(from, to)| Item::Alias(from, to))?,
        4 => {
            let hash = hash(&raw.meta::<String>()?)?;
            let bytes = raw.part()?;
            if crate::sha256(&bytes) != hash {
                return Err(unreadable("a blob whose bytes do not fit its hash"));
            }
            Item::Blob(hash, bytes)
        }
        5 => version(raw, &hash)?,
        6 => {
            let (seq, at, meta) = raw.meta()?;
            let event = match meta {
                EventMeta::Generation(target, generation) => {
                    FeedEvent::Generation { target, generation }
                }
                EventMeta::Epoch(persons) => FeedEvent::Epoch { persons },
            };
            Item::Event(seq, at, event)
        }
        7 => raw.meta().map(|(person, seq)| Item::Epoch(person, seq))?,
        8 => {
            let m: PurgeMeta = raw.meta()?;
            Item::Purge(PurgeItem {
                repo: m.repo,
                rtype: m.rtype,
                id: m.id,
                rid: m.rid,
                seq: m.seq,
                state: if m.erased {
                    PurgeState::Erased
                } else {
                    PurgeState::Hidden
                },
            })
        }
        9 => {
            let m: MessageMeta = raw.meta()?;
            let message = Box::new(MessageItem {
                id: m.id,
                queue: m.queue,
                enqueued_at: m.enqueued_at,
                due_at: m.due_at,
                expires_at: m.expires_at,
                max_deliveries: m.max_deliveries,
                deliveries: m.deliveries,
                headers: raw.part()?,
                body: raw.part()?,
            });
            match m.dead {
                Some((at, reason)) => Item::DeadLetter(message, at, reason),
                None => Item::Message(message),
            }
        }
        10 => raw
            .meta()
            .map(|(consumer, seq)| Item::Position(consumer, seq))?,
        11 => {
            let m: ClaimMeta = raw.meta()?;
            Item::Claim(ClaimItem {
                space: m.space,
                until: m.until,
                key: raw.part()?.to_vec(),
                value: raw.part()?.to_vec(),
            })
        }
        12 => Item::JournalLog(raw.meta()?),
        13 => Item::JournalRow(raw.meta()?),
        14 => raw
            .meta()
            .map(|(person, name, state)| Item::JournalLine(person, name, state))?,
        15 => Item::JournalHead(raw.meta()?),
        other => return Err(unreadable(&format!("an item of the unknown kind {other}"))),
    })
}

fn version(
    raw: &mut Raw,
    hash: &dyn Fn(&str) -> Result<BlobHash, StoreError>,
) -> Result<Item, StoreError> {
    let m: VersionMeta = raw.meta()?;
    let body = raw.part()?;
    let keys = unpack_keys(&raw.part()?).ok_or_else(|| unreadable("the keys of a version"))?;
    Ok(Item::Version(Box::new(VersionItem {
        seq: m.seq,
        rid: m.rid,
        vno: m.vno,
        repo: m.repo,
        rtype: m.rtype,
        id: m.id,
        op: m.op,
        at: m.at,
        pack: m.pack,
        body,
        keys,
        persons: m.persons,
        author_person: m.author,
        owner: m.owner,
        privacy: m.privacy,
        blobs: m.blobs.iter().map(|h| hash(h)).collect::<Result<_, _>>()?,
        bulk: m.bulk,
    })))
}

fn raw(tag: u8, input: &mut dyn Read) -> Result<Raw, StoreError> {
    let length = u32::from_le_bytes(array(input)?);
    if length > MAX_META_BYTES {
        return Err(unreadable("an item's length"));
    }
    let meta = bytes(input, u64::from(length))?;
    let [count] = array(input)?;
    if count > MAX_PARTS {
        return Err(unreadable("an item's parts"));
    }
    let mut parts = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let length = u64::from_le_bytes(array(input)?);
        if length > MAX_PART_BYTES {
            return Err(unreadable("an item's length"));
        }
        parts.push(Bytes::from(bytes(input, length)?));
    }
    Ok(Raw {
        tag,
        meta,
        parts: parts.into_iter(),
    })
}

/// Exactly this many bytes; memory grows with what really comes.
pub(super) fn bytes(input: &mut dyn Read, length: u64) -> Result<Vec<u8>, StoreError> {
    let mut out = Vec::new();
    let read = input
        .take(length)
        .read_to_end(&mut out)
        .map_err(super::stream::failed)?;
    if read as u64 == length {
        Ok(out)
    } else {
        Err(super::stream::cut())
    }
}

pub(super) fn array<const N: usize>(input: &mut dyn Read) -> Result<[u8; N], StoreError> {
    let mut out = [0; N];
    input.read_exact(&mut out).map_err(super::stream::failed)?;
    Ok(out)
}
