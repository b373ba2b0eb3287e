//! Which entry an identifier leads to, through its whole life: in use, discontinued, given to another, merged, split.
//!
//! A lookup by any identifier, current or earlier, returns the present entry (spec/grunndata.md §2.6). Pure rules;
//! [`Book`] holds them in memory, the read form of persons keeps the same holdings packed.

use super::period::{Moment, Period};
use super::{EntryId, EntryNo};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Longest chain of merges that is followed.
const MAX_HOPS: usize = 32;

/// An identifier as one number: its digits. The national systems do not overlap: 11 digits for persons' numbers, 12 for
/// DUF numbers, 9 for organisations; registers with several systems keep a book per system.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Packed(pub u64);

/// It may be a national id: `{:?}` does not show it.
impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Packed(…)")
    }
}

impl Packed {
    /// From text of 1 to 18 digits. Leading zeros count through the length: `digits` must be given to get them back.
    #[must_use]
    pub fn digits(text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > 18 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        text.parse().ok().map(Self)
    }

    /// Back to text with this many digits.
    #[must_use]
    pub fn text(self, digits: usize) -> String {
        format!("{:0digits$}", self.0)
    }
}

/// An entry has (or had) an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Holding {
    /// The entry.
    pub entry: EntryNo,
    /// In use, or discontinued.
    pub in_use: bool,
    /// When the entry had it.
    pub valid: Period,
    /// The entry was merged into another.
    pub merged: bool,
}

/// Of several entries with the same identifier, the one it leads to: an entry that stands beats one that was merged, in
/// use beats discontinued, later beats earlier, and at last the older entry wins, so that the answer never depends on
/// the order asked in.
pub fn choose<'a>(holdings: impl IntoIterator<Item = &'a Holding>) -> Option<&'a Holding> {
    holdings.into_iter().max_by_key(|h| {
        (
            !h.merged,
            h.in_use,
            h.valid.to.is_none(),
            h.valid.from,
            std::cmp::Reverse(h.entry),
        )
    })
}

/// What an entry says about its own identifiers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Identifiers, earlier ones included: number, in use, when.
    pub identifiers: Vec<(Packed, bool, Period)>,
    /// The entry was found to be the same as this one, and stands no more.
    pub merged_into: Option<EntryId>,
}

impl Claims {
    /// How the entry holds this identifier.
    pub fn holdings(
        &self,
        entry: EntryNo,
        identifier: Packed,
    ) -> impl Iterator<Item = Holding> + '_ {
        self.identifiers
            .iter()
            .filter(move |(number, ..)| *number == identifier)
            .map(move |(_, in_use, valid)| Holding {
                entry,
                in_use: *in_use,
                valid: *valid,
                merged: self.merged_into.is_some(),
            })
    }
}

/// Why an entry is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Conflict {
    /// Another entry that stands has one of the identifiers in use.
    #[error("identifier number {position} is in use by another entry")]
    InUse {
        /// Which of the entry's identifiers, from 0.
        position: usize,
    },
    /// The entry it is merged into does not exist.
    #[error("the entry that this one is merged into does not exist")]
    NoSuchEntry,
    /// The merge leads back to the entry, or on through too many entries.
    #[error("the merge leads back to the entry itself, or through more than 32 entries")]
    Circle,
}

/// Who has which identifier, as some state of a register knows it.
pub trait Holders {
    /// How asking can fail: never, in memory.
    type Error;
    /// Who has or had the identifier.
    ///
    /// # Errors
    /// When the state cannot be read.
    fn holdings(&self, identifier: Packed) -> Result<Vec<Holding>, Self::Error>;
    /// Number of an entry.
    fn number(&self, id: EntryId) -> Option<EntryNo>;
    /// The entry that this one was merged into.
    ///
    /// # Errors
    /// When the state cannot be read.
    fn merged_into(&self, no: EntryNo) -> Result<Option<EntryNo>, Self::Error>;
}

/// Whether an entry may be written like this.
///
/// # Errors
/// The outer one when the state cannot be read, the inner one with what stands against the entry.
pub fn check<H: Holders>(
    state: &H,
    no: EntryNo,
    claims: &Claims,
) -> Result<Result<(), Conflict>, H::Error> {
    if let Some(target) = claims.merged_into {
        let Some(mut at) = state.number(target) else {
            return Ok(Err(Conflict::NoSuchEntry));
        };
        for _ in 0..MAX_HOPS {
            if at == no {
                return Ok(Err(Conflict::Circle));
            }
            match state.merged_into(at)? {
                None => return Ok(Ok(())),
                Some(next) => at = next,
            }
        }
        return Ok(Err(Conflict::Circle));
    }
    for (position, (identifier, in_use, _)) in claims.identifiers.iter().enumerate() {
        let taken = |h: &Holding| h.entry != no && h.in_use && !h.merged;
        if *in_use && state.holdings(*identifier)?.iter().any(taken) {
            return Ok(Err(Conflict::InUse { position }));
        }
    }
    Ok(Ok(()))
}

/// The entry that the identifier leads to today; with an instant: the entry that had it then, and what that one is today.
///
/// # Errors
/// When the state cannot be read.
pub fn resolve<H: Holders>(
    state: &H,
    identifier: Packed,
    at: Option<Moment>,
) -> Result<Option<EntryNo>, H::Error> {
    let holdings = state.holdings(identifier)?;
    let holder = match at {
        None => choose(&holdings),
        Some(at) => choose(holdings.iter().filter(|h| h.valid.contains(at))),
    };
    let Some(mut entry) = holder.map(|h| h.entry) else {
        return Ok(None);
    };
    for _ in 0..=MAX_HOPS {
        match state.merged_into(entry)? {
            None => return Ok(Some(entry)),
            Some(next) => entry = next,
        }
    }
    Ok(None)
}

/// All identifiers of a register in memory.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// By number of the entry: numbers have no gap.
    claims: Vec<Option<Claims>>,
    holders: HashMap<Packed, Vec<EntryNo>>,
    numbers: HashMap<EntryId, EntryNo>,
}

impl Book {
    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    fn claims(&self, no: EntryNo) -> Option<&Claims> {
        self.claims.get(no.0 as usize)?.as_ref()
    }

    /// Takes an entry in, in place of what it said before.
    pub fn put(&mut self, no: EntryNo, id: EntryId, claims: Claims) {
        let at = no.0 as usize;
        if self.claims.len() <= at {
            self.claims.resize(at + 1, None);
        }
        if let Some(before) = self.claims.get_mut(at).and_then(Option::take) {
            for (identifier, ..) in &before.identifiers {
                if let Some(list) = self.holders.get_mut(identifier) {
                    list.retain(|holder| *holder != no);
                    if list.is_empty() {
                        self.holders.remove(identifier);
                    }
                }
            }
        }
        for (identifier, ..) in &claims.identifiers {
            let list = self.holders.entry(*identifier).or_default();
            if !list.contains(&no) {
                list.push(no);
            }
        }
        self.numbers.insert(id, no);
        if let Some(place) = self.claims.get_mut(at) {
            *place = Some(claims);
        }
    }
}

impl Holders for Book {
    type Error = std::convert::Infallible;

    fn holdings(&self, identifier: Packed) -> Result<Vec<Holding>, Self::Error> {
        let mut found = Vec::new();
        for entry in self.holders.get(&identifier).into_iter().flatten() {
            if let Some(claims) = self.claims(*entry) {
                found.extend(claims.holdings(*entry, identifier));
            }
        }
        Ok(found)
    }

    fn number(&self, id: EntryId) -> Option<EntryNo> {
        self.numbers.get(&id).copied()
    }

    fn merged_into(&self, no: EntryNo) -> Result<Option<EntryNo>, Self::Error> {
        Ok(self
            .claims(no)
            .and_then(|c| c.merged_into)
            .and_then(|id| self.number(id)))
    }
}

#[cfg(test)]
mod tests;
