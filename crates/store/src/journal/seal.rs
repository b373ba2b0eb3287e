//! Sealing: how appended entries get their place. One set of rules for both engines, over [`Tables`].

use super::chain::{self, LinePlace};
use super::merkle::{self, Builder};
use super::{
    Appended, Hash, Interner, LineState, MAX_ENTRY_BYTES, MAX_MEMBERS, MAX_PERSONS, Node,
    SealedRow, Tables,
};
use crate::{AuditEntry, JournalEntry, MicrosUtc, PersonKey, PersonRef, Sealed, StoreError};
use std::collections::{BTreeMap, BTreeSet};

/// Longest identifier system or value, and controller code, bytes.
const MAX_NAME_BYTES: usize = 512;

/// An appended entry whose persons have keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// The entry.
    pub appended: Appended,
    /// Own keys of its persons, the subject first.
    pub persons: Vec<PersonKey>,
    /// The subject's key with aliases followed.
    pub line: Option<PersonKey>,
    /// All keys that lead there.
    pub same: Vec<PersonKey>,
}

/// Whether an entry may be appended. Engines ask this for the entries of a commit, before anything is written.
pub fn check(entry: &AuditEntry) -> Result<(), StoreError> {
    let invalid = |what: String| Err(StoreError::Invalid(format!("journal entry: {what}")));
    if entry.members.len() > MAX_MEMBERS {
        return invalid(format!("more than {MAX_MEMBERS} members"));
    }
    if entry.persons.len() > MAX_PERSONS {
        return invalid(format!(
            "more than {MAX_PERSONS} persons; write several entries"
        ));
    }
    if let Some(name) = chain::RESERVED
        .iter()
        .find(|n| entry.members.contains_key(**n))
    {
        return invalid(format!("member {name} is added by the journal itself"));
    }
    let identifiers = entry.persons.iter().filter_map(|p| match p {
        PersonRef::Id { system, value } => Some([system, value]),
        PersonRef::Key(_) => None,
    });
    let mut names = identifiers.flatten().chain([&entry.controller]);
    if names.any(|n| n.len() > MAX_NAME_BYTES) {
        return invalid(format!(
            "a person identifier or controller is over {MAX_NAME_BYTES} bytes"
        ));
    }
    let size: usize = entry
        .members
        .iter()
        .map(|(name, value)| name.len() + value.to_string().len())
        .sum();
    if size > MAX_ENTRY_BYTES / 2 {
        return invalid(format!("members are over {} bytes", MAX_ENTRY_BYTES / 2));
    }
    Ok(())
}

/// Gives persons their keys; makes keys for those never seen (a read never commits, so this is their first).
/// To be called outside the transaction of [`seal_into`].
pub fn resolve(
    persons: &dyn Interner,
    entries: Vec<Appended>,
) -> Result<Vec<Resolved>, StoreError> {
    let mut unknown: Vec<(String, String)> = entries
        .iter()
        .flat_map(|a| &a.entry.persons)
        .filter_map(|p| match p {
            PersonRef::Id { system, value } => Some((system.clone(), value.clone())),
            PersonRef::Key(_) => None,
        })
        .collect();
    unknown.sort();
    unknown.dedup();
    let keys = if unknown.is_empty() {
        Vec::new()
    } else {
        persons.intern(&unknown)?
    };
    if keys.len() != unknown.len() {
        return Err(StoreError::Corrupt(
            "the engine interned another number of persons".to_owned(),
        ));
    }
    let keys: BTreeMap<(String, String), PersonKey> = unknown.into_iter().zip(keys).collect();
    let mut lines: BTreeMap<PersonKey, (PersonKey, Vec<PersonKey>)> = BTreeMap::new();
    let mut out = Vec::with_capacity(entries.len());
    for appended in entries {
        let mut own = Vec::with_capacity(appended.entry.persons.len());
        for person in &appended.entry.persons {
            let key = match person {
                PersonRef::Key(key) => Some(*key),
                PersonRef::Id { system, value } => {
                    keys.get(&(system.clone(), value.clone())).copied()
                }
            };
            own.extend(key.filter(|k| !own.contains(k)));
        }
        let (line, same) = match own.first() {
            None => (None, Vec::new()),
            Some(subject) => {
                if !lines.contains_key(subject) {
                    let found = (persons.resolve(*subject)?, persons.same(*subject)?);
                    lines.insert(*subject, found);
                }
                let found = lines.get(subject);
                (
                    found.map(|f| f.0),
                    found.map(|f| f.1.clone()).unwrap_or_default(),
                )
            }
        };
        out.push(Resolved {
            appended,
            persons: own,
            line,
            same,
        });
    }
    Ok(out)
}

/// Seals entries into a stream, in this order, leaving out those that are sealed already; how many were new.
///
/// `today` is the running day ([`day_of`] now). The day they get is that, unless it is closed or the journal is ahead of
/// the clock: then the first open day after.
pub fn seal_into(
    tables: &mut dyn Tables,
    stream: &str,
    today: &str,
    entries: &[Resolved],
) -> Result<u64, StoreError> {
    let fresh = fresh(tables, entries)?;
    if fresh.is_empty() {
        return Ok(0);
    }
    let day = open_day(tables, today)?;
    let part = tables
        .day_streams(&day)?
        .into_iter()
        .find(|s| s.stream == stream);
    let size = part.map_or(0, |p| p.size);
    let mut tree = Builder::resume(
        &mut DayTree {
            tables,
            stream,
            day: &day,
        },
        size,
    )?;
    let mut lines = Lines::load(tables, &fresh)?;
    let state = tables.stream_state(stream)?;
    let (mut seq, mut chain_hash) = state.map_or((0, chain::CHAIN_START), |s| (s.seq, s.chain));
    let (mut rows, mut nodes) = (Vec::with_capacity(fresh.len()), Vec::new());
    for resolved in fresh {
        let entry = &resolved.appended.entry;
        let numbered = resolved.line.filter(|_| entry.citizen_visible);
        let place = numbered.map(|line| lines.next(line, &entry.controller, &resolved.same));
        let members = chain::members(entry, &resolved.persons, place.as_ref())?;
        let commit = chain::commit_of(&members);
        if let (Some(line), Some(place)) = (numbered, &place) {
            lines.advance(line, &entry.controller, place.pn, commit);
        }
        seq += 1;
        let leaf = chain::leaf(seq, resolved.appended.recorded_at, &commit);
        chain_hash = chain::link(&chain_hash, &leaf);
        let index = tree.size();
        tree.push(leaf, &mut |level, index, hash| {
            let (stream, day) = (stream.to_owned(), day.clone());
            nodes.push(Node {
                stream,
                day,
                level,
                index,
                hash,
            });
        });
        rows.push(SealedRow {
            stream: stream.to_owned(),
            seq,
            day: day.clone(),
            index,
            id: entry.id,
            recorded_at: resolved.appended.recorded_at,
            leaf,
            chain: chain_hash,
            controller: entry.controller.clone(),
            occurred_at: entry.occurred_at,
            imported: entry.imported,
            citizen_visible: entry.citizen_visible,
            persons: resolved.persons.clone(),
            line: numbered,
            pn: place.map(|p| p.pn),
            members,
        });
    }
    tables.append(&rows)?;
    tables.put_nodes(&nodes)?;
    tables.put_lines(&lines.changed)?;
    Ok(rows.len() as u64)
}

/// Those not sealed yet, each once.
fn fresh<'a>(
    tables: &mut dyn Tables,
    entries: &'a [Resolved],
) -> Result<Vec<&'a Resolved>, StoreError> {
    let name = |r: &Resolved| (r.appended.entry.id, r.appended.recorded_at);
    let names: Vec<_> = entries.iter().map(name).collect();
    let mut seen: BTreeSet<_> = tables.sealed_already(&names)?;
    Ok(entries.iter().filter(|r| seen.insert(name(r))).collect())
}

fn open_day(tables: &mut dyn Tables, today: &str) -> Result<String, StoreError> {
    let mut day = today.to_owned();
    if let Some(last) = tables.last_day()?.filter(|last| *last > day) {
        day = last;
    }
    while tables
        .heads(Some(&day), 1)?
        .first()
        .is_some_and(|h| h.closed)
    {
        day = day_after(&day)?;
    }
    Ok(day)
}

/// Lines as a sealing run sees and changes them.
struct Lines {
    known: BTreeMap<(PersonKey, String), LineState>,
    changed: BTreeMap<(PersonKey, String), LineState>,
}

impl Lines {
    fn load(tables: &mut dyn Tables, entries: &[&Resolved]) -> Result<Self, StoreError> {
        let mut wanted: Vec<(PersonKey, String)> = entries
            .iter()
            .flat_map(|r| {
                let controller = &r.appended.entry.controller;
                r.line
                    .iter()
                    .chain(&r.same)
                    .map(move |k| (*k, controller.clone()))
            })
            .collect();
        wanted.sort();
        wanted.dedup();
        Ok(Self {
            known: tables.lines(&wanted)?,
            changed: BTreeMap::new(),
        })
    }

    /// The next place in a line. Lines of merged identities that are not linked in yet are linked in by it.
    fn next(&mut self, line: PersonKey, controller: &str, same: &[PersonKey]) -> LinePlace {
        let mut joins = Vec::new();
        for other in same.iter().filter(|k| **k != line) {
            let name = (*other, controller.to_owned());
            let Some(state) = self.known.get_mut(&name).filter(|s| s.joined != Some(line)) else {
                continue;
            };
            state.joined = Some(line);
            joins.push((state.pn, state.commit));
            self.changed.insert(name, state.clone());
        }
        let state = self.known.get(&(line, controller.to_owned()));
        LinePlace {
            pn: state.map_or(1, |s| s.pn + 1),
            pprev: state.map(|s| s.commit),
            joins,
        }
    }

    fn advance(&mut self, line: PersonKey, controller: &str, pn: u64, commit: Hash) {
        let name = (line, controller.to_owned());
        let state = LineState {
            pn,
            commit,
            joined: None,
        };
        self.known.insert(name.clone(), state.clone());
        self.changed.insert(name, state);
    }
}

/// The tree of one stream's day, for [`merkle`].
pub(super) struct DayTree<'a> {
    pub(super) tables: &'a mut dyn Tables,
    pub(super) stream: &'a str,
    pub(super) day: &'a str,
}

impl merkle::Nodes for DayTree<'_> {
    type Error = StoreError;

    fn nodes(&mut self, level: u32, from: u64, to: u64) -> Result<Vec<Hash>, StoreError> {
        let found = self.tables.nodes(self.stream, self.day, level, from, to)?;
        if found.len() as u64 == to.saturating_sub(from) {
            return Ok(found);
        }
        Err(StoreError::Corrupt(format!(
            "journal tree of {} on {} lacks nodes {from}..{to} of level {level}",
            self.stream, self.day
        )))
    }
}

/// The day (Europe/Oslo) of an instant, `YYYY-MM-DD`.
pub fn day_of(at: MicrosUtc) -> Result<String, StoreError> {
    // The rule in force since 1996, spelled out so that a machine without time zone data counts the same days.
    let wrong = |e: jiff::Error| StoreError::Invalid(format!("time outside the calendar: {e}"));
    let oslo = jiff::tz::TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").map_err(wrong)?;
    let instant = jiff::Timestamp::from_microsecond(at).map_err(wrong)?;
    Ok(instant.to_zoned(oslo).date().to_string())
}

/// Checks the form of a day.
pub(super) fn check_day(day: &str) -> Result<jiff::civil::Date, StoreError> {
    day.parse::<jiff::civil::Date>()
        .ok()
        .filter(|d| d.to_string() == day)
        .ok_or_else(|| StoreError::Invalid("a day of the journal is written YYYY-MM-DD".to_owned()))
}

fn day_after(day: &str) -> Result<String, StoreError> {
    let next = check_day(day)?.tomorrow();
    next.map(|d| d.to_string())
        .map_err(|e| StoreError::Invalid(format!("no day after {day}: {e}")))
}

/// The real clock, microseconds since 1970.
pub fn now() -> MicrosUtc {
    jiff::Timestamp::now().as_microsecond()
}

/// A sealed row as readers get it. Persons with aliases followed.
pub fn entry_of(persons: &dyn Interner, row: SealedRow) -> Result<JournalEntry, StoreError> {
    let mut keys = Vec::with_capacity(row.persons.len());
    for key in &row.persons {
        let key = persons.resolve(*key)?;
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let entry = AuditEntry {
        id: row.id,
        persons: row.persons.iter().map(|k| PersonRef::Key(*k)).collect(),
        controller: row.controller,
        occurred_at: row.occurred_at,
        imported: row.imported,
        citizen_visible: row.citizen_visible,
        members: chain::own_members(&row.members),
    };
    Ok(JournalEntry {
        entry,
        recorded_at: row.recorded_at,
        persons: keys,
        sealed: Some(Sealed {
            stream: row.stream,
            seq: row.seq,
            day: row.day,
            index: row.index,
            leaf: row.leaf,
            pn: row.pn,
        }),
    })
}

/// Sealed entries of a stream numbered after `after`, ascending, at most `limit`.
pub fn entries_after(
    tables: &mut dyn Tables,
    persons: &dyn Interner,
    stream: &str,
    after: u64,
    limit: usize,
) -> Result<Vec<JournalEntry>, StoreError> {
    let rows = tables.rows(stream, after.saturating_add(1), limit)?;
    rows.into_iter().map(|row| entry_of(persons, row)).collect()
}

/// A waiting entry as readers get it. Persons that have no key yet are left out of `persons`.
pub fn waiting_entry(
    persons: &dyn Interner,
    appended: &Appended,
) -> Result<JournalEntry, StoreError> {
    let mut keys = Vec::new();
    for person in &appended.entry.persons {
        let own = match person {
            PersonRef::Key(key) => Some(*key),
            PersonRef::Id { system, value } => persons.known(system, value)?,
        };
        if let Some(own) = own {
            let key = persons.resolve(own)?;
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
    }
    Ok(JournalEntry {
        entry: appended.entry.clone(),
        recorded_at: appended.recorded_at,
        persons: keys,
        sealed: None,
    })
}

/// A person's entries, newest first: waiting ones and sealed ones, under all identities that aliases join. An entry that
/// is in both places (it is being sealed) counts once. Load `waiting` *before* opening the transaction of `tables`.
/// Entries of one `recorded_at` are never torn apart, so a page may be longer than `limit`.
pub fn entries_of(
    tables: &mut dyn Tables,
    persons: &dyn Interner,
    person: PersonKey,
    before: Option<MicrosUtc>,
    limit: usize,
    waiting: &[&Appended],
) -> Result<Vec<JournalEntry>, StoreError> {
    let survivor = persons.resolve(person)?;
    let keys: BTreeSet<PersonKey> = persons
        .same(person)?
        .into_iter()
        .chain([person, survivor])
        .collect();
    let sealed = tables.rows_of(&keys, before, limit)?;
    let mut seen = BTreeSet::new();
    let mut all = Vec::with_capacity(sealed.len());
    for row in sealed {
        if seen.insert((row.id, row.recorded_at)) {
            all.push(entry_of(persons, row)?);
        }
    }
    let own: Vec<PersonKey> = keys.into_iter().collect();
    let identifiers: BTreeSet<(String, String)> = persons.identifiers(&own)?.into_iter().collect();
    let is_hers = |p: &PersonRef| match p {
        PersonRef::Key(key) => own.contains(key),
        PersonRef::Id { system, value } => identifiers.contains(&(system.clone(), value.clone())),
    };
    for appended in waiting {
        if before.is_none_or(|b| appended.recorded_at < b)
            && appended.entry.persons.iter().any(is_hers)
            && seen.insert((appended.entry.id, appended.recorded_at))
        {
            all.push(waiting_entry(persons, appended)?);
        }
    }
    all.sort_by_key(|e| std::cmp::Reverse((e.recorded_at, e.entry.id)));
    if let Some(edge) = limit
        .checked_sub(1)
        .and_then(|i| all.get(i))
        .map(|e| e.recorded_at)
    {
        all.retain(|e| e.recorded_at >= edge);
    } else if limit == 0 {
        all.clear();
    }
    Ok(all)
}

/// Erases values and salts of members of an entry; hashes stay. False when the entry is unknown.
pub fn erase(
    tables: &mut dyn Tables,
    id: uuid::Uuid,
    members: &[&str],
) -> Result<bool, StoreError> {
    let Some(mut row) = tables.row_by_id(id)? else {
        return Ok(false);
    };
    for name in members {
        if let Some(member) = row.members.get_mut(*name) {
            *member = super::Member::Erased {
                hash: member.hash(),
            };
        }
    }
    tables.replace_members(&row)?;
    Ok(true)
}
