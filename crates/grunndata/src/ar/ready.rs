//! Answers about single parties, kept as they were written: message systems ask for the same parties before every message,
//! and most of them do not change for years.
//!
//! An answer is given again only while every row it was made of is the one that the register holds now, and until the
//! first instant at which the clock alone would change it (a period that begins or ends, a certificate). What the time of
//! day is on every line (`ServerTime`) is a hole that is filled when the answer is sent.

use super::AddressRegister;
use super::packed::{Packer, Text};
use registers::directory::PartyKind;
use registers::kernel::period::Moment;
use registers::parties::PartyRecord;
use registers::parties::register::Held;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// How long an answer that shows a health person is kept: some of what it says of the person (birth, sex, what has begun
/// or ended today) comes from registers whose changes are not seen here.
const PERSONS_MS: i64 = 10_000;
/// The same where changes of personnel are not seen either.
const UNKNOWN_MS: i64 = 1_000;
/// What an answer takes beside its text, about, bytes.
const BESIDE: usize = 300;

/// Which answer: the party, and a number for each form there is.
pub(super) type Key = (u32, u8);

/// An answer that was written.
struct Kept {
    /// Its text, with holes.
    text: Text,
    /// Rows it was made of.
    of: Vec<Held>,
    /// Right from here on.
    from: Moment,
    /// No longer right.
    until: Moment,
    /// State of the register for which the rows were last compared.
    stamp: AtomicU64,
    /// State of the register of personnel, where a health person is shown.
    personnel: Option<u64>,
}

#[derive(Default)]
struct Generations {
    young: HashMap<Key, Arc<Kept>>,
    old: HashMap<Key, Arc<Kept>>,
    /// Bytes of the young ones.
    bytes: usize,
}

/// Answers of one edge, the ones asked for of late.
pub(super) struct Answers {
    kept: RwLock<Generations>,
    packer: Packer,
    /// Bytes of one generation; there are two.
    budget: usize,
}

impl Answers {
    /// Keeps at most twice so many bytes.
    pub(super) fn new(budget: usize) -> Self {
        Self {
            kept: RwLock::default(),
            packer: Packer::default(),
            budget,
        }
    }

    /// The answer that was kept, if it is right now; otherwise what `write` makes of the party. With its holes.
    pub(super) fn answer<E>(
        &self,
        register: &AddressRegister,
        key: Key,
        party: &Held,
        now: Moment,
        write: impl FnOnce() -> Result<String, E>,
    ) -> Result<String, E> {
        if let Some(kept) = self.find(key)
            && kept.is_right(register, party, now)
            && let Some(text) = kept.text.read()
        {
            return Ok(text);
        }
        // The stamp before the rows, the rows before what is written of them: a change in between is seen as one.
        let stamp = register.parties.stamp();
        let personnel = register.directory.personnel_stamp();
        let of = rows(register, party);
        let persons = of.iter().any(|row| row.content.kind == PartyKind::Person);
        let for_ms = match (persons, personnel) {
            (false, _) => i64::MAX,
            (true, Some(_)) => PERSONS_MS,
            (true, None) => UNKNOWN_MS,
        };
        let current = register.parties.get(party.content.her_id);
        let is_current = current.is_some_and(|current| Arc::ptr_eq(&current, party));
        let text = write()?;
        if is_current {
            let made = Arc::new(Kept {
                text: self.packer.keep(&text),
                from: now,
                until: until(&of, now).min(Moment(now.0.saturating_add(for_ms))),
                of,
                stamp: AtomicU64::new(stamp),
                personnel: personnel.filter(|_| persons),
            });
            self.put(key, &made);
        }
        Ok(text)
    }

    fn find(&self, key: Key) -> Option<Arc<Kept>> {
        let found = {
            let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(found) = kept.young.get(&key) {
                return Some(found.clone());
            }
            kept.old.get(&key).cloned()
        };
        if let Some(found) = &found {
            self.put(key, found);
        }
        found
    }

    fn put(&self, key: Key, made: &Arc<Kept>) {
        let size = made.text.size() + BESIDE;
        if size > self.budget / 4 {
            return;
        }
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept.bytes + size > self.budget {
            kept.old = std::mem::take(&mut kept.young);
            kept.bytes = 0;
        }
        kept.bytes += size;
        if let Some(before) = kept.young.insert(key, made.clone()) {
            kept.bytes = kept.bytes.saturating_sub(before.text.size() + BESIDE);
        }
    }
}

impl Kept {
    fn is_right(&self, register: &AddressRegister, party: &Held, now: Moment) -> bool {
        if now < self.from || now >= self.until {
            return false;
        }
        if self.personnel.is_some() && self.personnel != register.directory.personnel_stamp() {
            return false;
        }
        let stamp = register.parties.stamp();
        if self.stamp.load(Ordering::Acquire) == stamp {
            return true;
        }
        // Something has changed somewhere: is it one of these?
        let rows = rows(register, party);
        let same = rows.len() == self.of.len()
            && rows.iter().zip(&self.of).all(|(a, b)| Arc::ptr_eq(a, b));
        if same {
            self.stamp.store(stamp, Ordering::Release);
        }
        same
    }
}

/// Every row that an answer about the party shows something of.
fn rows(register: &AddressRegister, party: &Held) -> Vec<Held> {
    let parties = &register.parties;
    let mut rows = vec![party.clone()];
    rows.extend(register.parent(&party.content));
    rows.extend(parties.children(party.content.her_id));
    let covered: Vec<u32> = rows
        .iter()
        .flat_map(|r| r.content.coverage.clone())
        .collect();
    rows.extend(covered.into_iter().filter_map(|her_id| parties.get(her_id)));
    rows
}

/// The first instant after `now` at which one of the rows means something else.
fn until(rows: &[Held], now: Moment) -> Moment {
    let edges = rows.iter().flat_map(|row| edges(&row.content));
    edges
        .filter(|at| *at > now)
        .min()
        .unwrap_or(Moment(i64::MAX))
}

fn edges(party: &PartyRecord) -> Vec<Moment> {
    let certificates = party.certificates.iter().flat_map(|line| {
        let after_s = line.not_after_s.saturating_add(1);
        [line.not_before_s, after_s].map(|s| Moment(s.saturating_mul(1_000)))
    });
    certificates
        .chain([party.valid.from, party.valid.to].into_iter().flatten())
        .chain(party.electronic.iter().filter_map(|a| a.from))
        .collect()
}
