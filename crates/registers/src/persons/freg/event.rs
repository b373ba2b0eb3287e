//! Event documents (`dokumentForHendelse`): what happened to one person, and the entries it registered, corrected or
//! annulled.

use super::birth;
use super::fact::{self, Fact};
use super::tree::Tree;
use super::{Wrong, moment, needed, needed_code, nin};
use crate::kernel::identifiers::Packed;
use crate::kernel::period::{Moment, Period};
use crate::kernel::timeline::{Held, Timeline};
use crate::persons::PersonDocument;
use crate::persons::document::Identifier;

/// Most entries of one event.
const MAX_CHANGES: usize = 1_000;

/// What an event means beyond its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The person is new.
    Created,
    /// The person stays, another was found to be the same.
    Continued,
    /// The person was found to be another.
    Duplicate,
    /// The merge was a mistake: the person stands alone again.
    Restored,
    /// Everything else: the entries say it.
    Other,
}

/// How an entry changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    New,
    Correct,
    Annul,
    CorrectEarlier,
}

#[derive(Clone, PartialEq)]
pub(super) struct Change {
    entity: String,
    how: How,
    fact: Option<Fact>,
}

/// One event. Applied to the document of its person.
#[derive(Clone, PartialEq)]
pub struct Event {
    /// The person, by number.
    pub person: Packed,
    /// What it means.
    pub kind: Kind,
    /// When it was registered.
    pub at: Moment,
    pub(super) changes: Vec<Change>,
}

/// It is about a person: `{:?}` shows only what kind of event it is.
impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Event({:?}, {} entries)", self.kind, self.changes.len())
    }
}

/// Reads an event document.
///
/// # Errors
/// When something in it cannot be what the schema says.
pub fn read(document: &Tree) -> Result<Event, Wrong> {
    let event = document.one("hendelse").ok_or(Wrong::Missing("hendelse"))?;
    let kind = match needed(event, "hendelsestype")? {
        "personErOpprettet" => Kind::Created,
        "personErViderefoertSomGjeldendeVedSammenslaaing" => Kind::Continued,
        "personErOpphoertSomDublett" => Kind::Duplicate,
        "personErGjenopprettetVedSplitting" => Kind::Restored,
        _ => Kind::Other,
    };
    let mut changes = Vec::new();
    for entry in event.all("egenskapshendelse") {
        if changes.len() >= MAX_CHANGES {
            return Err(Wrong::TooMuch("1 000 entries of one event"));
        }
        changes.push(change(entry)?);
    }
    Ok(Event {
        person: nin(event, "folkeregisteridentifikator")?
            .ok_or(Wrong::Missing("folkeregisteridentifikator"))?,
        kind,
        at: moment(event, "ajourholdstidspunkt")?.ok_or(Wrong::Missing("ajourholdstidspunkt"))?,
        changes,
    })
}

fn change(entry: &Tree) -> Result<Change, Wrong> {
    const HOW: &[(&str, How)] = &[
        ("registrereNy", How::New),
        ("korrigere", How::Correct),
        ("annullere", How::Annul),
        ("korrigereHistorisk", How::CorrectEarlier),
    ];
    let how = needed_code(entry, "entitetsendring", HOW)?;
    let mut content = entry
        .members()
        .filter(|(name, _)| !matches!(*name, "entitet" | "entitetsendring"));
    let (element, fact) = match content.next() {
        Some((element, tree)) => (Some(element), fact::read(element, tree)?),
        None => (None, None),
    };
    let entity = match entry.text("entitet").or(element) {
        Some(entity) => entity.to_owned(),
        None => return Err(Wrong::Missing("entitet")),
    };
    if fact.is_none() && element.is_none() && how != How::Annul {
        return Err(Wrong::Missing("the entry of an egenskapshendelse"));
    }
    Ok(Change { entity, how, fact })
}

impl Event {
    /// Numbers that the event says are discontinued, other than the person's own.
    pub(super) fn discontinued(&self) -> impl Iterator<Item = Packed> + '_ {
        self.changes.iter().filter_map(|c| match &c.fact {
            Some(Fact::Identifier(held)) if !held.value.in_use => {
                Some(held.value.number).filter(|n| *n != self.person)
            }
            _ => None,
        })
    }

    /// Applies the entries to the person's document.
    pub fn apply(&self, document: &mut PersonDocument) {
        for change in &self.changes {
            self.apply_one(document, change);
        }
    }

    fn apply_one(&self, d: &mut PersonDocument, change: &Change) {
        let (how, at) = (change.how, self.at);
        match change.fact.clone() {
            Some(Fact::Identifier(held)) => identifier(&mut d.identifiers, how, held, at),
            Some(Fact::Name(held)) => single(&mut d.name, how, Some(held), at),
            Some(Fact::Birth(held)) => single(&mut d.birth, how, Some(held), at),
            Some(Fact::Gender(held)) => single(&mut d.gender, how, Some(held), at),
            Some(Fact::Status(held)) => single(&mut d.status, how, Some(held), at),
            Some(Fact::Death(held)) => single(&mut d.death, how, Some(held), at),
            Some(Fact::Residential(held)) => single(&mut d.residential, how, Some(held), at),
            Some(Fact::Present(held)) => single(&mut d.present, how, Some(held), at),
            Some(Fact::Shared(held)) => single(&mut d.shared, how, Some(held), at),
            Some(Fact::Protection(held)) => single(&mut d.protection, how, Some(held), at),
            Some(Fact::Marital(held)) => single(&mut d.marital, how, Some(held), at),
            Some(Fact::Family(held)) => {
                birth::give_way(&mut d.family, &held.value);
                several(&mut d.family, how, held, at);
            }
            Some(Fact::Parental(held)) => several(&mut d.parental, how, held, at),
            Some(Fact::Citizenship(held)) => several(&mut d.citizenship, how, held, at),
            Some(Fact::Guardianship(held)) => several(&mut d.guardianship, how, held, at),
            Some(Fact::Other(part, held)) => {
                single(d.other.entry(part).or_default(), how, Some(held), at);
            }
            None if how == How::Annul => annul_without_entry(d, &change.entity, at),
            // An element that the register has no place for.
            None => {}
        }
    }
}

/// Only the entity is told: what holds of it now is annulled, where there is one at a time.
fn annul_without_entry(d: &mut PersonDocument, entity: &str, at: Moment) {
    match entity {
        "doedsfall" => single(&mut d.death, How::Annul, None, at),
        "status" => single(&mut d.status, How::Annul, None, at),
        "navn" => single(&mut d.name, How::Annul, None, at),
        "foedsel" => single(&mut d.birth, How::Annul, None, at),
        "kjoenn" => single(&mut d.gender, How::Annul, None, at),
        "sivilstand" => single(&mut d.marital, How::Annul, None, at),
        "bostedsadresse" => single(&mut d.residential, How::Annul, None, at),
        "oppholdsadresse" => single(&mut d.present, How::Annul, None, at),
        "deltBosted" => single(&mut d.shared, How::Annul, None, at),
        "adressebeskyttelse" => single(&mut d.protection, How::Annul, None, at),
        _ => {}
    }
}

/// A fact that has one value at a time.
fn single<T: Clone + PartialEq>(
    line: &mut Timeline<T>,
    how: How,
    held: Option<Held<T>>,
    at: Moment,
) {
    match (how, held) {
        (How::New, Some(held)) => {
            let from = held.valid.from.unwrap_or(at);
            let _ = line.set(held.value, from, held.origin);
            if let Some(to) = held.valid.to {
                let _ = line.end(to);
            }
        }
        (How::Correct, Some(held)) => {
            let later = Period::since(held.valid.from.unwrap_or(at));
            annul(line, |h| {
                h.valid.overlaps(&later) || h.valid.from >= later.from
            });
            end_before(line, held.valid.from.unwrap_or(at));
            line.push(held);
        }
        (How::CorrectEarlier, Some(held)) => {
            annul(line, |h| h.valid.from == held.valid.from);
            line.push(held);
        }
        (How::Annul, held) => {
            let is_meant = |h: &Held<T>| match &held {
                Some(held) => h.value == held.value && same_start(h, held),
                None => h.valid.contains(at),
            };
            let began = line.all().find(|h| !h.annulled && is_meant(h));
            let began = began.and_then(|h| h.valid.from);
            annul(line, is_meant);
            // What it had brought to an end holds again.
            if let Some(began) = began {
                rewrite(line, |h| {
                    if h.valid.to == Some(began) && !h.annulled && !h.valid.is_empty() {
                        h.valid.to = None;
                    }
                });
            }
        }
        (_, None) => {}
    }
}

/// A fact that has several values at a time.
fn several<T: Clone + PartialEq>(line: &mut Timeline<T>, how: How, held: Held<T>, at: Moment) {
    let from = held.valid.from.unwrap_or(at);
    match how {
        How::New => {
            let _ = line.add(held.value.clone(), from, held.origin);
            if let Some(to) = held.valid.to {
                let _ = line.end_where(to, |v| *v == held.value);
            }
        }
        How::Correct | How::CorrectEarlier => {
            annul(line, |h| {
                h.value == held.value || h.valid.from == Some(from)
            });
            line.push(held);
        }
        How::Annul => annul(line, |h| h.value == held.value),
    }
}

fn identifier(line: &mut Timeline<Identifier>, how: How, held: Held<Identifier>, at: Moment) {
    let number = held.value.number;
    let from = held.valid.from.unwrap_or(at);
    if how == How::Annul {
        annul(line, |h| h.value == held.value);
        return;
    }
    let known = |h: &&Held<Identifier>| h.value == held.value && !h.annulled;
    if line.all().any(|h| known(&h)) && how == How::New {
        return;
    }
    let _ = line.end_where(from, |i| i.number == number);
    line.push(held);
}

fn same_start<T>(a: &Held<T>, b: &Held<T>) -> bool {
    b.valid.from.is_none() || a.valid.from == b.valid.from
}

fn rewrite<T: Clone>(line: &mut Timeline<T>, change: impl Fn(&mut Held<T>)) {
    let lines = line.all().cloned().map(|mut held| {
        change(&mut held);
        held
    });
    *line = lines.collect();
}

fn annul<T: Clone>(line: &mut Timeline<T>, which: impl Fn(&Held<T>) -> bool) {
    rewrite(line, |h| h.annulled |= which(h));
}

/// What stands and goes on beyond an instant ends there.
fn end_before<T: Clone>(line: &mut Timeline<T>, at: Moment) {
    rewrite(line, |h| {
        if !h.annulled && h.valid.overlaps(&Period::since(at)) {
            h.valid = h.valid.ended(at);
        }
    });
}
