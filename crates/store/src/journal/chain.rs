//! What is hashed: members, the commit of an entry, its leaf, and the chain of a stream (spec/privacy.md §9.3).
//!
//! Byte forms, once: `h_k = SHA-256(salt_k ‖ JCS(value_k))`; `commit = SHA-256(JCS({k: base64url(h_k)}))`;
//! `leaf = SHA-256(0x00 ‖ seq u64 BE ‖ time_us i64 BE ‖ commit)`; `c_n = SHA-256(0x02 ‖ c_{n-1} ‖ leaf_n)`, `c_0` = 32
//! zero bytes. Base64url is without padding. Tree nodes: [`super::merkle`].

use super::{Hash, Member, jcs};
use crate::{AuditEntry, MicrosUtc, PersonKey, StoreError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Chain hash before the first entry of a stream.
pub const CHAIN_START: Hash = [0; 32];

/// Members that the journal itself adds; entries may not bring members of these names.
///
/// `persons` holds internal person keys and is never shown in a proof. `pjoin` lists the lines that a merge linked in:
/// `[{pn, commit}]`.
pub const RESERVED: [&str; 9] = [
    "citizen_visible",
    "controller",
    "id",
    "imported",
    "occurred_at",
    "persons",
    "pjoin",
    "pn",
    "pprev",
];

/// Number of an entry in its person's line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinePlace {
    /// 1, 2, 3… for that person and controller.
    pub pn: u64,
    /// Commit of the line's previous entry; `None` for the first.
    pub pprev: Option<Hash>,
    /// Lines linked in by a merge: their newest number and commit.
    pub joins: Vec<(u64, Hash)>,
}

/// SHA-256 over the parts, one after the other.
pub fn sha256_of(parts: &[&[u8]]) -> Hash {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    out
}

/// `h_k` of a value.
pub fn member_hash(salt: &[u8; 16], value: &Value) -> Hash {
    sha256_of(&[salt, &jcs::canonical(value)])
}

impl Member {
    /// A member with a fresh salt.
    pub fn new(value: Value) -> Result<Self, StoreError> {
        let mut salt = [0; 16];
        aws_lc_rs::rand::fill(&mut salt)
            .map_err(|_| StoreError::Unavailable("no random numbers".to_owned()))?;
        Ok(Self::Open { salt, value })
    }

    /// `h_k`.
    pub fn hash(&self) -> Hash {
        match self {
            Self::Open { salt, value } => member_hash(salt, value),
            Self::Erased { hash } => *hash,
        }
    }

    /// The value, unless erased.
    pub fn value(&self) -> Option<&Value> {
        match self {
            Self::Open { value, .. } => Some(value),
            Self::Erased { .. } => None,
        }
    }
}

/// `commit` over member hashes.
pub fn commit<'a>(hashes: impl IntoIterator<Item = (&'a str, Hash)>) -> Hash {
    let map: serde_json::Map<String, Value> = hashes
        .into_iter()
        .map(|(name, hash)| (name.to_owned(), Value::String(b64(&hash))))
        .collect();
    sha256_of(&[&jcs::canonical(&Value::Object(map))])
}

/// `commit` of stored members.
pub fn commit_of(members: &BTreeMap<String, Member>) -> Hash {
    commit(members.iter().map(|(name, m)| (name.as_str(), m.hash())))
}

/// Leaf hash. `time_us` = `recorded_at`.
pub fn leaf(seq: u64, time_us: MicrosUtc, commit: &Hash) -> Hash {
    sha256_of(&[&[0x00], &seq.to_be_bytes(), &time_us.to_be_bytes(), commit])
}

/// Next chain hash.
pub fn link(previous: &Hash, leaf: &Hash) -> Hash {
    sha256_of(&[&[0x02], previous, leaf])
}

/// Turns every number that is not an integer of at most 53 bits into a string, so that all parsers of the world read
/// the same value back.
fn exact_numbers(value: &mut Value) {
    match value {
        Value::Number(n) => {
            let exact = n.as_i64().is_some_and(|i| i.unsigned_abs() <= 1 << 53);
            if !exact {
                *value = Value::String(n.to_string());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(exact_numbers),
        Value::Object(members) => members.values_mut().for_each(exact_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// All members of an entry, with fresh salts: its own and those of [`RESERVED`]. Decimals and integers beyond 2^53
/// become strings.
pub fn members(
    entry: &AuditEntry,
    persons: &[PersonKey],
    place: Option<&LinePlace>,
) -> Result<BTreeMap<String, Member>, StoreError> {
    let mut values: BTreeMap<String, Value> = entry.members.clone();
    values.values_mut().for_each(exact_numbers);
    let mut add = |name: &str, value: Value| values.insert(name.to_owned(), value);
    add("id", json!(entry.id.to_string()));
    add("controller", json!(entry.controller));
    add("occurred_at", json!(instant(entry.occurred_at)));
    add("imported", json!(entry.imported));
    add("citizen_visible", json!(entry.citizen_visible));
    add(
        "persons",
        json!(persons.iter().map(|p| p.0.to_string()).collect::<Vec<_>>()),
    );
    if let Some(place) = place {
        add("pn", json!(place.pn));
        add("pprev", json!(place.pprev.as_ref().map(|h| b64(h))));
        if !place.joins.is_empty() {
            let joins = place.joins.iter();
            add(
                "pjoin",
                joins
                    .map(|(pn, commit)| json!({"pn": pn, "commit": b64(commit)}))
                    .collect(),
            );
        }
    }
    values
        .into_iter()
        .map(|(name, value)| Ok((name, Member::new(value)?)))
        .collect()
}

/// The members that the entry brought (erased ones left out), as it was written.
pub fn own_members(members: &BTreeMap<String, Member>) -> BTreeMap<String, Value> {
    members
        .iter()
        .filter(|(name, _)| !RESERVED.contains(&name.as_str()))
        .filter_map(|(name, member)| Some((name.clone(), member.value()?.clone())))
        .collect()
}

/// An instant as members hold it: RFC 3339 in UTC with microseconds; beyond the calendar, the bare number.
pub fn instant(micros: MicrosUtc) -> String {
    match jiff::Timestamp::from_microsecond(micros) {
        Ok(timestamp) => format!("{timestamp:.6}"),
        Err(_) => micros.to_string(),
    }
}

/// Base64url without padding.
pub fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads base64url without padding of exactly `N` bytes.
pub fn from_b64<const N: usize>(text: &str) -> Option<[u8; N]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

macro_rules! b64_serde {
    ($name:ident, $size:literal) => {
        pub(super) mod $name {
            use serde::{Deserialize, Deserializer, Serializer};
            pub fn serialize<S: Serializer>(v: &[u8; $size], s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&super::b64(v))
            }
            pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<[u8; $size], D::Error> {
                let text = String::deserialize(d)?;
                super::from_b64(&text)
                    .ok_or_else(|| serde::de::Error::custom("not base64url of the right size"))
            }
        }
    };
}
b64_serde!(b64_32, 32);

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> AuditEntry {
        AuditEntry {
            id: uuid::Uuid::from_u128(7),
            persons: vec![],
            controller: "KJ".to_owned(),
            occurred_at: 1_700_000_000_000_000,
            imported: false,
            citizen_visible: true,
            members: BTreeMap::from([("actor.name".to_owned(), json!("Kari Lege"))]),
        }
    }

    #[test]
    fn hashes_are_what_the_formulas_say() {
        let salt = [1; 16];
        let h = member_hash(&salt, &json!("x"));
        assert_eq!(h, sha256_of(&[&[1; 16], b"\"x\""]));
        let c = commit([("b", h), ("a", h)]);
        let text = format!("{{\"a\":\"{0}\",\"b\":\"{0}\"}}", b64(&h));
        assert_eq!(c, sha256_of(&[text.as_bytes()]));
        assert_eq!(
            leaf(258, -1, &c),
            sha256_of(&[&[0, 0, 0, 0, 0, 0, 0, 1, 2], &[255; 8], &c])
        );
        assert_eq!(link(&CHAIN_START, &h), sha256_of(&[&[2], &[0; 32], &h]));
    }

    #[test]
    fn erasing_a_member_keeps_the_commit() {
        let place = LinePlace {
            pn: 3,
            pprev: Some([9; 32]),
            joins: vec![(2, [8; 32])],
        };
        let mut all = members(&entry(), &[PersonKey(5)], Some(&place)).unwrap();
        let before = commit_of(&all);
        let name = all.get_mut("actor.name").unwrap();
        *name = Member::Erased { hash: name.hash() };
        assert_eq!(commit_of(&all), before);
        assert!(own_members(&all).is_empty());
        assert_eq!(
            all["occurred_at"].value().unwrap(),
            "2023-11-14T22:13:20.000000Z"
        );
    }

    #[test]
    fn equal_values_have_unequal_hashes() {
        let a = members(&entry(), &[], None).unwrap();
        let b = members(&entry(), &[], None).unwrap();
        assert_ne!(a["actor.name"].hash(), b["actor.name"].hash());
        assert!(!a.contains_key("pn"));
    }

    #[test]
    fn stored_members_read_back() {
        let all = members(&entry(), &[PersonKey(1)], None).unwrap();
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(
            serde_json::from_str::<BTreeMap<String, Member>>(&text).unwrap(),
            all
        );
    }
}
