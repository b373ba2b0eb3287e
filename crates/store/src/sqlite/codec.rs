//! Byte layouts inside the two database files: packed heads, packed keys, identity keys, index keys.
//! Integers are LEB128 varints unless noted; every reader is bounded by its input and answers `Corrupt` on nonsense.

use super::squeeze;
use crate::{IndexKey, Op, Privacy, StoreError};

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

pub(super) fn damaged(what: &str) -> StoreError {
    StoreError::Corrupt(format!("unreadable {what}"))
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

/// Appends values to a byte string.
#[derive(Default)]
pub(super) struct Packer(pub Vec<u8>);

impl Packer {
    pub(super) fn u64(&mut self, mut v: u64) {
        while v >= 0x80 {
            self.0.push((v as u8) | 0x80);
            v >>= 7;
        }
        self.0.push(v as u8);
    }

    pub(super) fn i64(&mut self, v: i64) {
        self.u64(((v << 1) ^ (v >> 63)) as u64);
    }

    pub(super) fn bytes(&mut self, v: &[u8]) {
        self.u64(v.len() as u64);
        self.0.extend_from_slice(v);
    }
}

/// Takes values from a byte string.
pub(super) struct Unpacker<'a>(pub &'a [u8]);

impl<'a> Unpacker<'a> {
    pub(super) fn u8(&mut self) -> Result<u8, StoreError> {
        let (first, rest) = self.0.split_first().ok_or_else(|| damaged("value"))?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn u64(&mut self) -> Result<u64, StoreError> {
        let mut v = 0u64;
        for shift in (0..64).step_by(7) {
            let b = self.u8()?;
            v |= u64::from(b & 0x7f) << shift;
            if b < 0x80 {
                return Ok(v);
            }
        }
        Err(damaged("number"))
    }

    pub(super) fn i64(&mut self) -> Result<i64, StoreError> {
        let v = self.u64()?;
        Ok(((v >> 1) as i64) ^ -((v & 1) as i64))
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], StoreError> {
        let n = usize::try_from(self.u64()?).map_err(|_| damaged("length"))?;
        let (taken, rest) = self
            .0
            .split_at_checked(n)
            .ok_or_else(|| damaged("length"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn string(&mut self) -> Result<String, StoreError> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| damaged("text"))
    }

    fn narrow<T: TryFrom<u64>>(&mut self) -> Result<T, StoreError> {
        T::try_from(self.u64()?).map_err(|_| damaged("number"))
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

/// First bytes of packed keys that are compressed: no keys (0) has nothing after it otherwise.
const SQUEEZED_KEYS: [u8; 2] = [0, 1];
/// Packed keys from this size on are compressed when that helps.
const SQUEEZE_KEYS_FROM: usize = 64;
/// More than any record's keys take.
const MAX_PACKED_KEYS: usize = 16 << 20;

/// Sorted keys without duplicates; parameters as differences; compressed when that helps.
pub(super) fn pack_keys(sorted: &[IndexKey]) -> Vec<u8> {
    let size: usize = sorted.iter().map(|k| k.value.len() + 4).sum();
    let mut p = Packer(Vec::with_capacity(size + 2));
    p.u64(sorted.len() as u64);
    let mut last = 0u32;
    for key in sorted {
        p.u64(key.param.wrapping_sub(last).into());
        p.bytes(&key.value);
        last = key.param;
    }
    if p.0.len() >= SQUEEZE_KEYS_FROM
        && let Some(small) = squeeze::KEYS.pack(&p.0)
    {
        return [&SQUEEZED_KEYS[..], &small].concat();
    }
    p.0
}

pub(super) fn unpack_keys(bytes: &[u8]) -> Result<Vec<IndexKey>, StoreError> {
    match bytes.strip_prefix(&SQUEEZED_KEYS) {
        Some(small) => {
            let bytes = squeeze::KEYS
                .unpack(small, MAX_PACKED_KEYS)
                .ok_or_else(|| damaged("compressed keys"))?;
            plain_keys(&bytes)
        }
        None => plain_keys(bytes),
    }
}

fn plain_keys(bytes: &[u8]) -> Result<Vec<IndexKey>, StoreError> {
    let mut u = Unpacker(bytes);
    let mut keys = Vec::new();
    let mut last = 0u32;
    for _ in 0..u.u64()? {
        last = last.wrapping_add(u.narrow::<u32>()?);
        keys.push(IndexKey {
            param: last,
            value: u.bytes()?.to_vec(),
        });
    }
    Ok(keys)
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

/// Bodies from this size on are compressed without a dictionary, when that helps.
const COMPRESS_FROM: usize = 16 << 10;
/// Bodies from this size on are compressed with the dictionary, when that helps.
const SQUEEZE_FROM: usize = 64;
pub(super) const CODEC_PLAIN: u8 = 2;
pub(super) const CODEC_ZSTD: u8 = 3;
/// A version whose record was purged: only its place in the log and its name are left.
pub(super) const CODEC_ERASED: u8 = 4;
/// Compressed with the first dictionary.
pub(super) const CODEC_SQUEEZED: u8 = 5;

/// (codec, bytes) of a body. Runs in the submitting thread, not in the writer.
pub(super) fn pack_body(body: &bytes::Bytes) -> (u8, bytes::Bytes) {
    if body.len() >= COMPRESS_FROM {
        if let Ok(packed) = zstd::bulk::compress(body, 1)
            && packed.len() < body.len() - body.len() / 8
        {
            return (CODEC_ZSTD, packed.into());
        }
    } else if body.len() >= SQUEEZE_FROM
        && let Some(packed) = squeeze::BODIES.pack(body)
        && packed.len() < body.len() - body.len() / 8
    {
        return (CODEC_SQUEEZED, packed.into());
    }
    (CODEC_PLAIN, body.clone())
}

pub(super) fn unpack_body(codec: u8, bytes: &[u8]) -> Result<bytes::Bytes, StoreError> {
    match codec {
        CODEC_PLAIN => Ok(bytes::Bytes::copy_from_slice(bytes)),
        CODEC_SQUEEZED => squeeze::BODIES
            .unpack(bytes, crate::MAX_BODY_BYTES)
            .ok_or_else(|| damaged("compressed body")),
        CODEC_ZSTD => zstd::bulk::decompress(bytes, crate::MAX_BODY_BYTES)
            .map(Into::into)
            .map_err(|_| damaged("compressed body")),
        _ => Err(damaged("body codec")),
    }
}

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

    #[test]
    fn bodies_come_back() {
        let random: Vec<u8> = (0..200u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        for (body, expected) in [
            (vec![], CODEC_PLAIN),
            (random, CODEC_PLAIN),
            (vec![7; 100], CODEC_SQUEEZED),
            (vec![7; 100_000], CODEC_ZSTD),
        ] {
            let (codec, packed) = pack_body(&body.clone().into());
            assert_eq!(unpack_body(codec, &packed).unwrap(), body);
            assert_eq!(codec, expected, "{} bytes", body.len());
        }
    }

    proptest! {
        #[test]
        fn keys_come_back(raw in prop::collection::vec((any::<u32>(), prop::collection::vec(any::<u8>(), 0..20)), 0..20)) {
            let mut keys: Vec<IndexKey> = raw.into_iter().map(|(param, value)| IndexKey { param, value }).collect();
            keys.sort();
            prop_assert_eq!(unpack_keys(&pack_keys(&keys)).unwrap(), keys);
        }

        #[test]
        fn nonsense_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = unpack_head(&bytes);
            let _ = unpack_keys(&bytes);
            let _ = unpack_numbers(&bytes);
            let _ = unpack_body(CODEC_ZSTD, &bytes);
            let _ = unpack_body(CODEC_SQUEEZED, &bytes);
            let _ = unpack_keys(&[&SQUEEZED_KEYS[..], &bytes].concat());
        }

        #[test]
        fn numbers_come_back(a in any::<i64>(), b in any::<u64>()) {
            let mut p = Packer::default();
            p.i64(a);
            p.u64(b);
            let mut u = Unpacker(&p.0);
            prop_assert_eq!((u.i64().unwrap(), u.u64().unwrap()), (a, b));
        }
    }
}
