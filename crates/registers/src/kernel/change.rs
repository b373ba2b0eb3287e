//! From wanted contents to a batch: what is new, what is the same, what is refused. Pure over a state of the register.

use super::identifiers::{Claims, Conflict, Holders, Holding, Packed, check};
use super::log::{Batch, Content, Counters, Entry, Home};
use super::{EntryId, EntryNo};
use std::collections::HashMap;
use store::StoreError;

/// Most changes of one batch.
pub const MAX_CHANGES: usize = 1_000;

/// A state of a register that decisions can be made on.
pub trait State<C>: Holders<Error = StoreError> {
    /// An entry.
    ///
    /// # Errors
    /// When the state cannot be read.
    fn entry(&self, id: EntryId) -> Result<Option<Entry<C>>, StoreError>;
}

/// Why nothing was changed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// One of the entries cannot be like this; none was written.
    #[error("change {index}: {conflict}")]
    Conflict {
        /// Which change, from 0.
        index: usize,
        /// What stands against it.
        conflict: Conflict,
    },
    /// More than [`MAX_CHANGES`] at once.
    #[error("at most {MAX_CHANGES} changes at once, these are {0}")]
    TooMany(usize),
    /// Somebody else has followed the feed meanwhile; nothing was written.
    #[error("somebody else follows the same feed")]
    Overtaken,
    /// Others wrote all the time; nothing was written. Try later.
    #[error("the register is too busy to write to")]
    Busy,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of one change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The entry is like this already: no version, no event.
    Same,
    /// A new entry.
    Created(EntryNo),
    /// A new version.
    Changed(EntryNo),
}

/// Decides on changes (an unknown id is a new entry), each seeing those before it.
///
/// # Errors
/// The first change that is refused.
pub fn prepare<C: Content>(
    state: &impl State<C>,
    at: Counters,
    changes: Vec<(EntryId, C)>,
) -> Result<(Batch<C>, Vec<Outcome>), ChangeError> {
    if changes.len() > MAX_CHANGES {
        return Err(ChangeError::TooMany(changes.len()));
    }
    let mut ahead = Ahead {
        base: state,
        written: HashMap::new(),
        numbers: HashMap::new(),
        by_identifier: HashMap::new(),
    };
    let mut batch = Batch {
        at,
        then: at,
        entries: Vec::new(),
        events: Vec::new(),
        aliases: Vec::new(),
        erase: Vec::new(),
        upstream: None,
    };
    let mut outcomes = Vec::with_capacity(changes.len());
    for (index, (id, content)) in changes.into_iter().enumerate() {
        let before = ahead.entry(id)?;
        if before.as_ref().is_some_and(|b| b.content == content) {
            outcomes.push(Outcome::Same);
            continue;
        }
        let no = before
            .as_ref()
            .map_or(EntryNo(batch.then.entries), |b| b.no);
        let claims = content.claims();
        if let Err(conflict) = check(&ahead, no, &claims)? {
            return Err(ChangeError::Conflict { index, conflict });
        }
        let target = match claims.merged_into {
            Some(target) => ahead.entry(target)?,
            None => None,
        };
        let old = before.as_ref().map(|b| &b.content);
        batch.aliases.extend(C::aliases(
            old,
            &content,
            target.as_ref().map(|t| &t.content),
        ));
        let kinds = C::events(old, &content);
        batch.then.events += u64::try_from(kinds.len()).unwrap_or(u64::MAX);
        batch
            .events
            .extend(kinds.into_iter().map(|kind| (id, kind)));
        if before.is_some() {
            outcomes.push(Outcome::Changed(no));
        } else {
            batch.then.entries += 1;
            outcomes.push(Outcome::Created(no));
        }
        let home = match &before {
            Some(b) if C::erases(&b.content, &content) => {
                // What came earlier in this batch is not written at all.
                let written = batch.entries.iter().position(|e| e.id == id);
                if let Some(at) = written {
                    batch.entries.remove(at);
                }
                if batch.erase.iter().any(|(erased, _)| *erased == id) {
                    b.home
                } else {
                    batch.erase.push((id, b.home));
                    b.home.next()
                }
            }
            Some(b) => b.home,
            None => Home::default(),
        };
        let entry = Entry {
            no,
            id,
            content,
            home,
        };
        ahead.put(entry.clone(), claims);
        batch.entries.push(entry);
    }
    Ok((batch, outcomes))
}

struct Written<C> {
    claims: Claims,
    entry: Entry<C>,
}

/// The state with the batch's own changes on top.
struct Ahead<'a, C, S> {
    base: &'a S,
    written: HashMap<EntryNo, Written<C>>,
    numbers: HashMap<EntryId, EntryNo>,
    by_identifier: HashMap<Packed, Vec<EntryNo>>,
}

impl<C: Content, S: State<C>> Ahead<'_, C, S> {
    fn put(&mut self, entry: Entry<C>, claims: Claims) {
        for (identifier, ..) in &claims.identifiers {
            let list = self.by_identifier.entry(*identifier).or_default();
            if !list.contains(&entry.no) {
                list.push(entry.no);
            }
        }
        self.numbers.insert(entry.id, entry.no);
        self.written.insert(entry.no, Written { claims, entry });
    }

    fn entry(&self, id: EntryId) -> Result<Option<Entry<C>>, StoreError> {
        match self.numbers.get(&id).and_then(|no| self.written.get(no)) {
            Some(written) => Ok(Some(written.entry.clone())),
            None => self.base.entry(id),
        }
    }
}

impl<C: Content, S: State<C>> Holders for Ahead<'_, C, S> {
    type Error = StoreError;

    fn holdings(&self, identifier: Packed) -> Result<Vec<Holding>, StoreError> {
        let mut found = self.base.holdings(identifier)?;
        found.retain(|h| !self.written.contains_key(&h.entry));
        for no in self.by_identifier.get(&identifier).into_iter().flatten() {
            if let Some(written) = self.written.get(no) {
                found.extend(written.claims.holdings(*no, identifier));
            }
        }
        Ok(found)
    }

    fn number(&self, id: EntryId) -> Option<EntryNo> {
        self.numbers
            .get(&id)
            .copied()
            .or_else(|| self.base.number(id))
    }

    fn merged_into(&self, no: EntryNo) -> Result<Option<EntryNo>, StoreError> {
        match self.written.get(&no) {
            Some(written) => Ok(written.claims.merged_into.and_then(|id| self.number(id))),
            None => self.base.merged_into(no),
        }
    }
}
