//! Bytes of the packed columns: privacy columns with persons, bodies and index keys, blob addresses.
//!
//! A version's `form` says how its body and keys are packed: 0 = both plain, as schema version 1 wrote them; else the
//! body's codec of [`crate::pack`], beside keys as that module packs them. Old rows are never rewritten for it.

use crate::{BlobHash, IndexKey, Op, PersonKey, Privacy, StoreError, pack as small};
use bytes::Bytes;

/// What a version says about who may see it, with persons as own keys (aliases not followed).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) persons: Vec<PersonKey>,
    pub(super) author_person: Option<PersonKey>,
    pub(super) owner: Option<PersonKey>,
    /// `author_person` and `owner` are `None` here.
    pub(super) privacy: Privacy,
}

const FORM: u8 = 1;

struct Out(Vec<u8>);

impl Out {
    fn number(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.0.push((n as u8) | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
    }

    fn signed(&mut self, n: i64) {
        self.number(((n << 1) ^ (n >> 63)) as u64);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
}

struct In<'a>(&'a [u8]);

impl<'a> In<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            n |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(n);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let n = self.number()?;
        Some(((n >> 1) as i64) ^ -((n & 1) as i64))
    }

    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (first, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(first)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let n = usize::try_from(self.number()?).ok()?;
        self.take(n)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }
}

/// Packs a meta column.
pub(super) fn meta(meta: &Meta) -> Vec<u8> {
    let p = &meta.privacy;
    let mut out = Out(Vec::with_capacity(64));
    out.0.push(FORM);
    out.number(meta.persons.len() as u64);
    for person in &meta.persons {
        out.number(person.0);
    }
    let flags = [
        meta.author_person.is_some(),
        meta.owner.is_some(),
        p.disclose_at.is_some(),
        p.service_day.is_some(),
        p.author_org.is_some(),
        p.source_client.is_some(),
        p.status.is_some(),
        p.area.is_some(),
    ];
    out.0.push(
        flags
            .iter()
            .rev()
            .fold(0, |acc, set| acc << 1 | u8::from(*set)),
    );
    out.bytes(p.controller.as_bytes());
    out.number(u64::from(p.class));
    out.number(p.labels);
    out.0.push(p.conf);
    for key in [meta.author_person, meta.owner].into_iter().flatten() {
        out.number(key.0);
    }
    if let Some(at) = p.disclose_at {
        out.signed(at);
    }
    if let Some(day) = p.service_day {
        out.signed(i64::from(day));
    }
    for text in [&p.author_org, &p.source_client, &p.status]
        .into_iter()
        .flatten()
    {
        out.bytes(text.as_bytes());
    }
    if let Some(area) = p.area {
        out.0.push(area);
    }
    out.number(p.business_keys.len() as u64);
    for key in &p.business_keys {
        out.bytes(key.as_bytes());
    }
    out.0
}

/// Reads a meta column.
pub(super) fn read_meta(bytes: &[u8]) -> Result<Meta, StoreError> {
    meta_of(bytes)
        .ok_or_else(|| StoreError::Corrupt("a packed privacy column cannot be read".to_owned()))
}

fn meta_of(bytes: &[u8]) -> Option<Meta> {
    let mut from = In(bytes);
    if from.byte()? != FORM {
        return None;
    }
    let mut meta = Meta::default();
    for _ in 0..from.number()? {
        meta.persons.push(PersonKey(from.number()?));
    }
    let flags = from.byte()?;
    let has = |bit: u8| flags & (1 << bit) != 0;
    let p = &mut meta.privacy;
    p.controller = from.text()?;
    p.class = u16::try_from(from.number()?).ok()?;
    p.labels = from.number()?;
    p.conf = from.byte()?;
    if has(0) {
        meta.author_person = Some(PersonKey(from.number()?));
    }
    if has(1) {
        meta.owner = Some(PersonKey(from.number()?));
    }
    if has(2) {
        p.disclose_at = Some(from.signed()?);
    }
    if has(3) {
        p.service_day = Some(i32::try_from(from.signed()?).ok()?);
    }
    if has(4) {
        p.author_org = Some(from.text()?);
    }
    if has(5) {
        p.source_client = Some(from.text()?);
    }
    if has(6) {
        p.status = Some(from.text()?);
    }
    if has(7) {
        p.area = Some(from.byte()?);
    }
    for _ in 0..from.number()? {
        p.business_keys.push(from.text()?);
    }
    from.0.is_empty().then_some(meta)
}

/// How schema version 1 wrote: everything plain.
const PLAIN: i16 = 0;

/// Form and bytes of a body.
pub(super) fn body(body: &Bytes) -> (i16, Bytes) {
    let (codec, bytes) = small::pack_body(body);
    (i16::from(codec), bytes)
}

/// Reads a body. An erased one is empty in every form.
pub(super) fn read_body(form: i16, bytes: &[u8]) -> Result<Bytes, StoreError> {
    match u8::try_from(form) {
        _ if bytes.is_empty() => Ok(Bytes::new()),
        Ok(0) => Ok(Bytes::copy_from_slice(bytes)),
        Ok(codec) => small::unpack_body(codec, bytes),
        Err(_) => Err(small::damaged("form of a version")),
    }
}

/// Packs a keys column beside a body of this form: sorted, each once.
pub(super) fn keys(form: i16, keys: &[IndexKey]) -> Vec<u8> {
    match form {
        PLAIN => plain_keys(keys),
        _ => small::pack_keys(keys),
    }
}

/// Reads a keys column. An erased one is empty in every form.
pub(super) fn read_keys(form: i16, bytes: &[u8]) -> Result<Vec<IndexKey>, StoreError> {
    match form {
        _ if bytes.is_empty() => Ok(Vec::new()),
        PLAIN => read_plain_keys(bytes),
        _ => small::unpack_keys(bytes),
    }
}

fn plain_keys(keys: &[IndexKey]) -> Vec<u8> {
    let mut out = Out(Vec::with_capacity(keys.len() * 24));
    for key in keys {
        out.number(u64::from(key.param));
        out.bytes(&key.value);
    }
    out.0
}

fn read_plain_keys(bytes: &[u8]) -> Result<Vec<IndexKey>, StoreError> {
    let mut from = In(bytes);
    let mut keys = Vec::new();
    while !from.0.is_empty() {
        let key = (|| {
            let param = u32::try_from(from.number()?).ok()?;
            let value = from.bytes()?.to_vec();
            Some(IndexKey { param, value })
        })();
        keys.push(key.ok_or_else(|| {
            StoreError::Corrupt("a packed keys column cannot be read".to_owned())
        })?);
    }
    Ok(keys)
}

/// Packs blob addresses.
pub(super) fn blobs(list: &[BlobHash]) -> Vec<u8> {
    list.concat()
}

/// Reads blob addresses.
pub(super) fn read_blobs(bytes: &[u8]) -> Vec<BlobHash> {
    bytes
        .chunks_exact(32)
        .filter_map(|c| c.try_into().ok())
        .collect()
}

/// Persons of an epoch event.
pub(super) fn persons(list: &[PersonKey]) -> Vec<u8> {
    let mut out = Out(Vec::new());
    for person in list {
        out.number(person.0);
    }
    out.0
}

/// Reads the persons of an epoch event.
pub(super) fn read_persons(bytes: &[u8]) -> Vec<PersonKey> {
    let mut from = In(bytes);
    std::iter::from_fn(|| from.number().map(PersonKey)).collect()
}

/// Operation as stored.
pub(super) fn op_number(op: Op) -> i16 {
    match op {
        Op::Create => 0,
        Op::Update => 1,
        Op::Delete => 2,
        Op::Purge => 3,
    }
}

/// Operation back.
pub(super) fn read_op(number: i16) -> Result<Op, StoreError> {
    Ok(match number {
        0 => Op::Create,
        1 => Op::Update,
        2 => Op::Delete,
        3 => Op::Purge,
        _ => return Err(StoreError::Corrupt("unknown operation".to_owned())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text() -> impl Strategy<Value = Option<String>> {
        proptest::option::of("[a-zæøå0-9]{0,12}")
    }

    proptest! {
        #[test]
        fn meta_comes_back(
            persons in proptest::collection::vec(any::<u64>(), 0..5),
            people in (any::<Option<u64>>(), any::<Option<u64>>()),
            numbers in (any::<u16>(), any::<u64>(), any::<u8>(), any::<Option<i64>>(), any::<Option<i32>>(), any::<Option<u8>>()),
            texts in (text(), text(), text()),
            business_keys in proptest::collection::vec("[a-z]{0,9}", 0..4),
        ) {
            let made = Meta {
                persons: persons.into_iter().map(PersonKey).collect(),
                author_person: people.0.map(PersonKey),
                owner: people.1.map(PersonKey),
                privacy: Privacy {
                    controller: "KJ".to_owned(),
                    class: numbers.0,
                    labels: numbers.1,
                    conf: numbers.2,
                    disclose_at: numbers.3,
                    service_day: numbers.4,
                    area: numbers.5,
                    author_org: texts.0,
                    source_client: texts.1,
                    status: texts.2,
                    business_keys,
                    ..Privacy::default()
                },
            };
            prop_assert_eq!(read_meta(&meta(&made)).unwrap(), made);
        }

        #[test]
        fn damaged_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = read_meta(&bytes);
            for form in [-1, 0, 2, 3, 4, 5, 300] {
                let _ = read_keys(form, &bytes);
                let _ = read_body(form, &bytes);
            }
            let _ = read_persons(&bytes);
        }

        #[test]
        fn keys_come_back(list in proptest::collection::vec((any::<u32>(), proptest::collection::vec(any::<u8>(), 0..255)), 0..20)) {
            let list: Vec<IndexKey> = list.into_iter().map(|(param, value)| IndexKey { param, value }).collect();
            for form in [PLAIN, body(&Bytes::new()).0] {
                prop_assert_eq!(&read_keys(form, &keys(form, &list)).unwrap(), &list);
            }
        }

        #[test]
        fn bodies_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..300), times in 1usize..90) {
            let bytes = Bytes::from(bytes.repeat(times));
            let (form, packed) = body(&bytes);
            prop_assert_ne!(form, PLAIN);
            prop_assert_eq!(read_body(form, &packed).unwrap(), bytes.clone());
            prop_assert_eq!(read_body(PLAIN, &bytes).unwrap(), bytes);
        }
    }
}
