//! Byte layouts inside the two database files: packed heads, packed keys, identity keys, index keys.
//! Integers are LEB128 varints unless noted; every reader is bounded by its input and answers `Corrupt` on nonsense.

use crate::{Op, Privacy, StoreError};

pub(super) use crate::pack::{
    Packer, Unpacker, damaged, pack_body, pack_keys, pack_keys_quickly, unpack_body, unpack_keys,
};

/// Index parameters from here on belong to the engine; callers may not use them.
pub(super) const RESERVED_PARAMS: u32 = 0xFFFF_FF00;
/// Rows (repository, this, person key): the compartment index.
pub(super) const PARAM_PERSON: u32 = 0xFFFF_FF01;
/// Rows (repository, this, type number): all live records of a type.
pub(super) const PARAM_TYPE: u32 = 0xFFFF_FF02;

const HEAD_FORMAT: u8 = 1;

/// Codes of [`Op`] as stored. Two and up, so that every code takes one byte in a row and erasure can overwrite in place.
pub(super) mod op {
    pub(in crate::sqlite) const CREATE: u8 = 2;
    pub(in crate::sqlite) const UPDATE: u8 = 3;
    pub(in crate::sqlite) const DELETE: u8 = 4;
    pub(in crate::sqlite) const PURGE: u8 = 5;
    /// A generation was switched in.
    pub(in crate::sqlite) const GENERATION: u8 = 7;
    /// An epoch was raised.
    pub(in crate::sqlite) const EPOCH: u8 = 8;
}

pub(super) fn op_code(op: Op) -> u8 {
    match op {
        Op::Create => op::CREATE,
        Op::Update => op::UPDATE,
        Op::Delete => op::DELETE,
        Op::Purge => op::PURGE,
    }
}

pub(super) fn op_of(code: u8) -> Result<Op, StoreError> {
    match code {
        op::CREATE => Ok(Op::Create),
        op::UPDATE => Ok(Op::Update),
        op::DELETE => Ok(Op::Delete),
        op::PURGE => Ok(Op::Purge),
        _ => Err(damaged("operation code")),
    }
}

/// What a filter needs of one version, with store-internal numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RawHead {
    pub repo: u16,
    pub rtype: u32,
    pub op: u8,
    pub vno: u32,
    pub at: i64,
    pub id: String,
    /// Keys as written; aliases are followed on reading.
    pub persons: Vec<u64>,
    pub author_person: Option<u64>,
    pub owner: Option<u64>,
    /// Its person fields are `None`.
    pub privacy: Privacy,
}

impl RawHead {
    pub(super) fn live(&self) -> bool {
        matches!(self.op, op::CREATE | op::UPDATE)
    }
}

/// A lower-case hyphenated UUID packs into 16 bytes and comes back the same.
fn as_uuid(id: &str) -> Option<uuid::Uuid> {
    if id.len() != 36 {
        return None;
    }
    let parsed = uuid::Uuid::try_parse(id).ok()?;
    let mut buffer = uuid::Uuid::encode_buffer();
    (parsed.hyphenated().encode_lower(&mut buffer) == id).then_some(parsed)
}

/// Key of the identity table: (repository, type, id). Time-ordered ids of one type lie side by side.
pub(super) fn ident_key(repo: u16, rtype: u32, id: &str) -> Vec<u8> {
    let mut k = Vec::with_capacity(24);
    k.extend_from_slice(&repo.to_be_bytes());
    k.extend_from_slice(&rtype.to_be_bytes());
    match as_uuid(id) {
        Some(uuid) => {
            k.push(1);
            k.extend_from_slice(uuid.as_bytes());
        }
        None => {
            k.push(0);
            k.extend_from_slice(id.as_bytes());
        }
    }
    k
}

/// Key of a claim: (space, key).
pub(super) fn claim_key(space: &str, key: &[u8]) -> Vec<u8> {
    let mut p = Packer::default();
    p.bytes(space.as_bytes());
    p.0.extend_from_slice(key);
    p.0
}

/// Key of the index: (repository, parameter, value); byte order is the order of values.
pub(super) fn index_key(repo: u16, param: u32, value: &[u8]) -> Vec<u8> {
    let mut k = Vec::with_capacity(6 + value.len());
    k.extend_from_slice(&repo.to_be_bytes());
    k.extend_from_slice(&param.to_be_bytes());
    k.extend_from_slice(value);
    k
}

/// First index key after every value of (repository, parameter).
pub(super) fn index_key_after(repo: u16, param: u32) -> Vec<u8> {
    match param.checked_add(1) {
        Some(next) => index_key(repo, next, &[]),
        None => repo.saturating_add(1).to_be_bytes().to_vec(),
    }
}

/// The value inside an index key.
pub(super) fn index_value(k: &[u8]) -> &[u8] {
    k.get(6..).unwrap_or_default()
}

const HAS_DISCLOSE: u64 = 1;
const HAS_SERVICE_DAY: u64 = 1 << 1;
const HAS_AUTHOR_ORG: u64 = 1 << 2;
const HAS_AUTHOR_PERSON: u64 = 1 << 3;
const HAS_CLIENT: u64 = 1 << 4;
const HAS_OWNER: u64 = 1 << 5;
const HAS_STATUS: u64 = 1 << 6;
const HAS_AREA: u64 = 1 << 7;
const ID_IS_UUID: u64 = 1 << 8;

pub(super) fn pack_head(h: &RawHead) -> Vec<u8> {
    let mut p = Packer(Vec::with_capacity(96));
    let v = &h.privacy;
    let uuid = as_uuid(&h.id);
    let flag = |on: bool, bit: u64| if on { bit } else { 0 };
    p.0.push(HEAD_FORMAT);
    p.u64(
        flag(v.disclose_at.is_some(), HAS_DISCLOSE)
            | flag(v.service_day.is_some(), HAS_SERVICE_DAY)
            | flag(v.author_org.is_some(), HAS_AUTHOR_ORG)
            | flag(h.author_person.is_some(), HAS_AUTHOR_PERSON)
            | flag(v.source_client.is_some(), HAS_CLIENT)
            | flag(h.owner.is_some(), HAS_OWNER)
            | flag(v.status.is_some(), HAS_STATUS)
            | flag(v.area.is_some(), HAS_AREA)
            | flag(uuid.is_some(), ID_IS_UUID),
    );
    p.u64(h.repo.into());
    p.u64(h.rtype.into());
    p.0.push(h.op);
    p.u64(h.vno.into());
    p.i64(h.at);
    match uuid {
        Some(u) => p.0.extend_from_slice(u.as_bytes()),
        None => p.bytes(h.id.as_bytes()),
    }
    p.u64(h.persons.len() as u64);
    h.persons.iter().for_each(|k| p.u64(*k));
    p.bytes(v.controller.as_bytes());
    p.u64(v.class.into());
    p.u64(v.labels);
    p.0.push(v.conf);
    v.disclose_at.iter().for_each(|x| p.i64(*x));
    v.service_day.iter().for_each(|x| p.i64((*x).into()));
    v.author_org.iter().for_each(|x| p.bytes(x.as_bytes()));
    h.author_person.iter().for_each(|x| p.u64(*x));
    v.source_client.iter().for_each(|x| p.bytes(x.as_bytes()));
    h.owner.iter().for_each(|x| p.u64(*x));
    v.status.iter().for_each(|x| p.bytes(x.as_bytes()));
    v.area.iter().for_each(|x| p.0.push(*x));
    p.u64(v.business_keys.len() as u64);
    v.business_keys.iter().for_each(|x| p.bytes(x.as_bytes()));
    p.0
}

pub(super) fn unpack_head(bytes: &[u8]) -> Result<RawHead, StoreError> {
    let mut u = Unpacker(bytes);
    if u.u8()? != HEAD_FORMAT {
        return Err(damaged("head format"));
    }
    let flags = u.u64()?;
    let has = |bit: u64| flags & bit != 0;
    let mut h = RawHead {
        repo: u.narrow()?,
        rtype: u.narrow()?,
        op: u.u8()?,
        vno: u.narrow()?,
        at: u.i64()?,
        ..RawHead::default()
    };
    h.id = if has(ID_IS_UUID) {
        let (raw, rest) =
            u.0.split_first_chunk::<16>()
                .ok_or_else(|| damaged("record id"))?;
        u.0 = rest;
        uuid::Uuid::from_bytes(*raw).to_string()
    } else {
        u.string()?
    };
    for _ in 0..u.u64()? {
        h.persons.push(u.u64()?);
    }
    let v = &mut h.privacy;
    v.controller = u.string()?;
    v.class = u.narrow()?;
    v.labels = u.u64()?;
    v.conf = u.u8()?;
    if has(HAS_DISCLOSE) {
        v.disclose_at = Some(u.i64()?);
    }
    if has(HAS_SERVICE_DAY) {
        v.service_day = Some(i32::try_from(u.i64()?).map_err(|_| damaged("service day"))?);
    }
    if has(HAS_AUTHOR_ORG) {
        v.author_org = Some(u.string()?);
    }
    if has(HAS_AUTHOR_PERSON) {
        h.author_person = Some(u.u64()?);
    }
    if has(HAS_CLIENT) {
        v.source_client = Some(u.string()?);
    }
    if has(HAS_OWNER) {
        h.owner = Some(u.u64()?);
    }
    if has(HAS_STATUS) {
        v.status = Some(u.string()?);
    }
    if has(HAS_AREA) {
        v.area = Some(u.u8()?);
    }
    for _ in 0..u.u64()? {
        v.business_keys.push(u.string()?);
    }
    Ok(h)
}

pub(super) fn pack_numbers(numbers: &[u64]) -> Vec<u8> {
    let mut p = Packer::default();
    p.u64(numbers.len() as u64);
    numbers.iter().for_each(|n| p.u64(*n));
    p.0
}

pub(super) fn unpack_numbers(bytes: &[u8]) -> Result<Vec<u64>, StoreError> {
    let mut u = Unpacker(bytes);
    let mut out = Vec::new();
    for _ in 0..u.u64()? {
        out.push(u.u64()?);
    }
    Ok(out)
}

/// A version whose record was purged: only its place in the log and its name are left. Beside those of [`crate::pack`].
pub(super) const CODEC_ERASED: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn full() -> RawHead {
        RawHead {
            repo: 3,
            rtype: 70_000,
            op: op::UPDATE,
            vno: 9,
            at: -5,
            id: "x.1".into(),
            persons: vec![1, 1 << 60],
            author_person: Some(7),
            owner: Some(0),
            privacy: Privacy {
                controller: "KJ".into(),
                class: 900,
                labels: u64::MAX,
                conf: 2,
                disclose_at: Some(i64::MIN),
                service_day: Some(-1),
                author_org: Some("974".into()),
                source_client: Some(String::new()),
                status: Some("final".into()),
                area: Some(8),
                business_keys: vec!["a".into(), String::new()],
                ..Privacy::default()
            },
        }
    }

    #[test]
    fn heads_come_back() {
        let mut uuid = full();
        uuid.id = uuid::Uuid::now_v7().to_string();
        let mut upper = full();
        upper.id = uuid.id.to_uppercase();
        for head in [RawHead::default(), full(), uuid, upper] {
            assert_eq!(unpack_head(&pack_head(&head)).unwrap(), head);
        }
    }

    proptest! {
        #[test]
        fn nonsense_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = unpack_head(&bytes);
            let _ = unpack_numbers(&bytes);
        }
    }
}
