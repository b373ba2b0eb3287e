//! Persons as the views need them: looked up in the register, read as far as the elements asked for need it, shown on the
//! caller's ground.

use super::refusal::Refusal;
use crate::persons::kept;
use crate::persons::lookups::Seen;
use crate::persons::parts::Parts;
use registers::kernel::identifiers::Packed;
use registers::kernel::period::Moment;
use registers::kernel::timeline::{Held, Timeline};
use registers::kernel::{EntryId, EntryNo};
use registers::persons::codes::{IdentifierKind, OtherPart, ProtectionLevel};
use registers::persons::document::{Address, Identifier};
use registers::persons::row::Row;
use registers::persons::{PersonDocument, PersonRegister, life};
use trust::register::{PersonGround, is_recorded_first};

/// Longest chain of merges that is followed.
const MAX_HOPS: usize = 32;

/// A person, as far as she was read.
pub(super) struct Shown {
    pub(super) no: EntryNo,
    pub(super) id: EntryId,
    pub(super) document: PersonDocument,
    pub(super) level: ProtectionLevel,
    /// The entry asked for was merged into this one.
    pub(super) merged_from: Option<EntryId>,
}

/// On what ground, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) ground: PersonGround,
    pub(super) now: Moment,
}

enum Read {
    Here(Box<Shown>),
    Merged(EntryId),
}

/// Reads an entry, or the one it was merged into; with the parts named and nothing else.
pub(super) fn read(
    register: &PersonRegister,
    no: EntryNo,
    parts: Parts,
    now: Moment,
) -> Result<Option<Shown>, Refusal> {
    let (mut no, mut merged_from) = (no, None);
    let tags = parts.tags();
    for _ in 0..MAX_HOPS {
        let read = register.with(no, |row| read_row(row, no, tags, now))?;
        match read.flatten() {
            None => return Ok(None),
            Some(Read::Here(mut shown)) => {
                shown.merged_from = merged_from;
                return Ok(Some(*shown));
            }
            Some(Read::Merged(into)) => {
                if merged_from.is_none() {
                    merged_from = register.with(no, |row| row.id())?.flatten();
                }
                match register.number(into)? {
                    None => return Ok(None),
                    Some(next) => no = next,
                }
            }
        }
    }
    Ok(None)
}

fn read_row(row: Row<'_>, no: EntryNo, tags: u64, now: Moment) -> Option<Read> {
    let id = row.id()?;
    if let Some(into) = row.merged_into() {
        return Some(Read::Merged(into));
    }
    Some(Read::Here(Box::new(Shown {
        no,
        id,
        document: row.document_of(|tag| tag < 64 && tags & (1 << tag) != 0),
        level: row.protection_at(now),
        merged_from: None,
    })))
}

impl Shown {
    /// Tells that the person is in the answer. Of whom an address graded above the person's level was read, counts as of
    /// that level.
    pub(super) fn seen(&self, seen: &mut Seen) {
        if seen.persons.contains(&self.no) {
            return;
        }
        seen.persons.push(self.no);
        let own = [
            &self.document.residential,
            &self.document.present,
            &self.document.shared,
        ];
        let gradings = own
            .iter()
            .flat_map(|line| line.all())
            .map(|held| held.value.grading);
        let level = gradings.fold(self.level, ProtectionLevel::max);
        if is_recorded_first(level) {
            seen.protected.extend(self.leading().map(|n| n.text()));
        }
    }

    /// The identifier under which the person stands today.
    pub(super) fn leading(&self) -> Option<Identifier> {
        let all: Vec<Identifier> = self
            .document
            .identifiers
            .all()
            .filter(|held| !held.annulled)
            .map(|held| held.value)
            .collect();
        let best = life::best(all.iter());
        let of_best = best.and_then(|best| all.iter().find(|i| i.number == best));
        of_best.or(all.first()).copied()
    }

    /// Identifiers of these kinds: what is in use first, each once.
    pub(super) fn identifiers(&self, kinds: &[IdentifierKind]) -> Vec<Held<Identifier>> {
        let mut found: Vec<Held<Identifier>> = Vec::new();
        let held = self
            .document
            .identifiers
            .all()
            .filter(|held| !held.annulled);
        for held in held.filter(|held| kinds.contains(&held.value.kind)) {
            match found
                .iter_mut()
                .find(|f| f.value.number == held.value.number)
            {
                Some(there) if held.value.in_use && !there.value.in_use => *there = held.clone(),
                Some(_) => {}
                None => found.push(held.clone()),
            }
        }
        found.sort_by_key(|held| !held.value.in_use);
        found
    }

    /// Addresses of one kind that may be shown, each with the stricter of the person's level and its own grading.
    pub(super) fn addresses<'a>(
        &'a self,
        line: &'a Timeline<Address>,
        view: View,
    ) -> impl Iterator<Item = (&'a Held<Address>, ProtectionLevel)> {
        line.at(view.now)
            .map(|held| (held, self.level.max(held.value.grading)))
            .filter(move |(_, level)| view.ground.shows_address(*level))
    }

    /// Contact addresses that may be shown.
    pub(super) fn contacts(
        &self,
        view: View,
    ) -> Vec<(OtherPart, &Held<serde_json::Value>, ProtectionLevel)> {
        let parts = [
            OtherPart::PostalAddress,
            OtherPart::ForeignPostalAddress,
            OtherPart::PreferredContactAddress,
        ];
        let lines = parts
            .into_iter()
            .filter_map(|part| Some((part, self.document.other.get(&part)?)));
        lines
            .flat_map(|(part, line)| {
                line.at(view.now)
                    .map(move |held| (part, held, kept::grading(part, &held.value)))
            })
            .filter(|(_, _, level)| view.ground.shows_address(*level))
            .collect()
    }
}

/// The entry that a national id leads to.
pub(super) fn find(register: &PersonRegister, number: Packed) -> Result<Option<EntryNo>, Refusal> {
    Ok(register.find(number)?)
}
