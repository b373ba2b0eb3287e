//! What all registers of Grunndata have in common: values with periods of validity, identifiers with a history,
//! numbered events, and one way of writing them.
//!
//! It deliberately knows nothing of any one register: persons, personnel, GP lists, parties and organisations bring a
//! content type ([`log::Content`]).
//!
//! Read first: [`timeline::Timeline`], [`identifiers::Book`], [`log::RegisterLog`], [`memory::MemoryRegister`].
//!
//! Rules: DESIGN §6, spec/grunndata.md §2.6, §3.4, §3.5, §13.

pub mod change;
pub mod events;
pub mod identifiers;
pub mod indexed;
pub(crate) mod keeping;
pub mod kept;
pub mod log;
pub mod memory;
pub mod period;
pub mod timeline;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Number of an entry within its register: 0 for the first, dense, given in order of creation, never used again.
/// Internal: outside the hub an entry is known by its [`EntryId`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct EntryNo(pub u32);

/// Public id of an entry: random, says nothing about the entry, stays the same whatever happens to its identifiers.
/// Written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(pub u128);

impl EntryId {
    /// A fresh random id.
    #[must_use]
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().as_u128())
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryId({:032x})", self.0)
    }
}

/// The text is not 32 hexadecimal digits in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an entry id is 32 hexadecimal digits in lower case")]
pub struct NotAnEntryId;

impl FromStr for EntryId {
    type Err = NotAnEntryId;

    fn from_str(text: &str) -> Result<Self, NotAnEntryId> {
        let digits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 32 || !text.bytes().all(digits) {
            return Err(NotAnEntryId);
        }
        u128::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| NotAnEntryId)
    }
}

impl Serialize for EntryId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EntryId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
