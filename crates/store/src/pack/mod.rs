//! What both engines write alike: numbers and byte strings one after the other, bodies and keys made small.
//! Integers are LEB128 varints; every reader is bounded by its input and answers `Corrupt` on nonsense.
//!
//! These are parts of the file formats: a codec is never changed, only joined by a newer one.

mod squeeze;

use crate::{IndexKey, StoreError};

pub(crate) fn damaged(what: &str) -> StoreError {
    StoreError::Corrupt(format!("unreadable {what}"))
}

/// Appends values to a byte string.
#[derive(Default)]
pub(crate) struct Packer(pub Vec<u8>);

impl Packer {
    pub(crate) fn u64(&mut self, mut v: u64) {
        while v >= 0x80 {
            self.0.push((v as u8) | 0x80);
            v >>= 7;
        }
        self.0.push(v as u8);
    }

    pub(crate) fn i64(&mut self, v: i64) {
        self.u64(((v << 1) ^ (v >> 63)) as u64);
    }

    pub(crate) fn bytes(&mut self, v: &[u8]) {
        self.u64(v.len() as u64);
        self.0.extend_from_slice(v);
    }
}

/// Takes values from a byte string.
pub(crate) struct Unpacker<'a>(pub &'a [u8]);

impl<'a> Unpacker<'a> {
    pub(crate) fn u8(&mut self) -> Result<u8, StoreError> {
        let (first, rest) = self.0.split_first().ok_or_else(|| damaged("value"))?;
        self.0 = rest;
        Ok(*first)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, StoreError> {
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

    pub(crate) fn i64(&mut self) -> Result<i64, StoreError> {
        let v = self.u64()?;
        Ok(((v >> 1) as i64) ^ -((v & 1) as i64))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], StoreError> {
        let n = usize::try_from(self.u64()?).map_err(|_| damaged("length"))?;
        let (taken, rest) = self
            .0
            .split_at_checked(n)
            .ok_or_else(|| damaged("length"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn string(&mut self) -> Result<String, StoreError> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| damaged("text"))
    }

    pub(crate) fn narrow<T: TryFrom<u64>>(&mut self) -> Result<T, StoreError> {
        T::try_from(self.u64()?).map_err(|_| damaged("number"))
    }
}

/// First bytes of packed keys that are compressed: no keys (0) has nothing after it otherwise.
const SQUEEZED_KEYS: [u8; 2] = [0, 1];
/// Packed keys from this size on are compressed when that helps.
const SQUEEZE_KEYS_FROM: usize = 64;
/// Where time matters more, from this size on.
const QUICK_KEYS_BELOW: usize = 512;
/// More than any record's keys take.
const MAX_PACKED_KEYS: usize = 16 << 20;

/// Sorted keys without duplicates; parameters as differences; compressed when that helps.
pub(crate) fn pack_keys(sorted: &[IndexKey]) -> Vec<u8> {
    pack_keys_from(sorted, SQUEEZE_KEYS_FROM)
}

/// The same for records that change within moments: a few keys are not worth the time.
pub(crate) fn pack_keys_quickly(sorted: &[IndexKey]) -> Vec<u8> {
    pack_keys_from(sorted, QUICK_KEYS_BELOW)
}

fn pack_keys_from(sorted: &[IndexKey], squeeze_from: usize) -> Vec<u8> {
    let size: usize = sorted.iter().map(|k| k.value.len() + 4).sum();
    let mut p = Packer(Vec::with_capacity(size + 2));
    p.u64(sorted.len() as u64);
    let mut last = 0u32;
    for key in sorted {
        p.u64(key.param.wrapping_sub(last).into());
        p.bytes(&key.value);
        last = key.param;
    }
    if p.0.len() >= squeeze_from
        && let Some(small) = squeeze::KEYS.pack(&p.0)
    {
        return [&SQUEEZED_KEYS[..], &small].concat();
    }
    p.0
}

pub(crate) fn unpack_keys(bytes: &[u8]) -> Result<Vec<IndexKey>, StoreError> {
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

/// Bodies from this size on are compressed without a dictionary, when that helps.
const COMPRESS_FROM: usize = 16 << 10;
/// Bodies from this size on are compressed with the dictionary, when that helps.
const SQUEEZE_FROM: usize = 64;
pub(crate) const CODEC_PLAIN: u8 = 2;
pub(crate) const CODEC_ZSTD: u8 = 3;
/// Compressed with the first dictionary.
pub(crate) const CODEC_SQUEEZED: u8 = 5;

/// (codec, bytes) of a body. Runs in the submitting thread, not in the writer.
pub(crate) fn pack_body(body: &bytes::Bytes) -> (u8, bytes::Bytes) {
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

pub(crate) fn unpack_body(codec: u8, bytes: &[u8]) -> Result<bytes::Bytes, StoreError> {
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
            let _ = unpack_keys(&bytes);
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
