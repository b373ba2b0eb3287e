//! The compact row of a person: what holds now, without history, packed into some 200 bytes.
//!
//! ```text
//! id 16 bytes | part* | 0…          part = tag u8, length varint, content
//! ```
//!
//! Parts can be skipped without being read. A row is made from a document and can be made again at any time, so its form
//! may change with [`FORM`]: files of another form are made anew.

mod codec;
mod parts;

pub use codec::{In, Out};

use super::codes::{Gender, OtherPart, PersonStatus, ProtectionLevel};
use super::document::{
    Address, Birth, FamilyRelation, Guardianship, Identifier, Marital, Name, PersonDocument,
    Responsibility,
};
use crate::kernel::EntryId;
use crate::kernel::identifiers::Claims;
use crate::kernel::period::Moment;
use crate::kernel::timeline::{Held, Timeline};
use codec::Packs;
use jiff::civil::Date;

/// Version of the form.
pub const FORM: u32 = 2;
/// A row is never longer, bytes: whoever has more (hundreds of relations) keeps the rest in the log only.
pub const MAX_ROW_BYTES: usize = 64 << 10;

/// Tags of parts; [`OtherPart`] codes are tags too.
pub mod tag {
    /// Identifiers, discontinued ones included.
    pub const IDENTIFIERS: u8 = 1;
    /// Names.
    pub const NAME: u8 = 2;
    /// Births.
    pub const BIRTH: u8 = 3;
    /// Sex.
    pub const GENDER: u8 = 4;
    /// Status.
    pub const STATUS: u8 = 5;
    /// Death.
    pub const DEATH: u8 = 6;
    /// Residential address.
    pub const RESIDENTIAL: u8 = 7;
    /// Present address.
    pub const PRESENT: u8 = 8;
    /// Shared residence.
    pub const SHARED: u8 = 9;
    /// Protection.
    pub const PROTECTION: u8 = 10;
    /// Family.
    pub const FAMILY: u8 = 11;
    /// Parental responsibility.
    pub const PARENTAL: u8 = 12;
    /// Marital status.
    pub const MARITAL: u8 = 13;
    /// Citizenship.
    pub const CITIZENSHIP: u8 = 14;
    /// Guardianship.
    pub const GUARDIANSHIP: u8 = 15;
    /// The person this one was merged into.
    pub const MERGED: u8 = 16;
}

/// No part has this tag.
const NOTHING: u8 = u8::MAX;

/// Packs a document as of an instant.
///
/// Of every part, what holds at `now` or may hold later; identifiers with all that ever led here.
#[must_use]
pub fn pack(id: EntryId, document: &PersonDocument, now: Moment) -> Vec<u8> {
    let mut out = Out::with_capacity(256);
    out.bytes(&id.0.to_be_bytes());
    let mut scratch = Out::with_capacity(128);
    let d = document;
    let identifiers = d.identifiers.all().filter(|h| !h.annulled);
    part(&mut out, &mut scratch, tag::IDENTIFIERS, identifiers);
    let mut line = Lines {
        out: &mut out,
        scratch: &mut scratch,
        now,
    };
    line.pack(tag::NAME, &d.name);
    line.pack(tag::BIRTH, &d.birth);
    line.pack(tag::GENDER, &d.gender);
    line.pack(tag::STATUS, &d.status);
    line.pack(tag::DEATH, &d.death);
    if d.protection_at(now) < ProtectionLevel::StrictlyConfidential {
        line.pack(tag::RESIDENTIAL, &d.residential);
        line.pack(tag::PRESENT, &d.present);
        line.pack(tag::SHARED, &d.shared);
    }
    line.pack(tag::PROTECTION, &d.protection);
    line.pack(tag::FAMILY, &d.family);
    line.pack(tag::PARENTAL, &d.parental);
    line.pack(tag::MARITAL, &d.marital);
    line.pack(tag::CITIZENSHIP, &d.citizenship);
    line.pack(tag::GUARDIANSHIP, &d.guardianship);
    if let Some(into) = d.merged_into {
        out.byte(tag::MERGED);
        out.varint(16);
        out.bytes(&into.0.to_be_bytes());
    }
    for (kind, values) in &d.other {
        let before = out.len();
        part(&mut out, &mut scratch, kind.code(), values.from_now(now));
        if out.len() > MAX_ROW_BYTES {
            out.truncate(before);
        }
    }
    out.into_bytes()
}

struct Lines<'a> {
    out: &'a mut Out,
    scratch: &'a mut Out,
    now: Moment,
}

impl Lines<'_> {
    fn pack<T: Packs>(&mut self, tag: u8, values: &Timeline<T>) {
        part(self.out, self.scratch, tag, values.from_now(self.now));
    }
}

fn part<'a, T: Packs + 'a>(
    out: &mut Out,
    scratch: &mut Out,
    tag: u8,
    values: impl Iterator<Item = &'a Held<T>>,
) {
    scratch.truncate(0);
    for held in values {
        held.pack(scratch);
    }
    let room = MAX_ROW_BYTES.saturating_sub(out.len());
    if !scratch.is_empty() && scratch.len() + 8 <= room {
        out.byte(tag);
        out.varint(u64::try_from(scratch.len()).unwrap_or(u64::MAX));
        out.bytes(scratch.as_slice());
    }
}

/// A packed row. Reading never fails hard: what cannot be read is absent (rows carry a checksum where they are stored).
#[derive(Clone, Copy)]
pub struct Row<'a>(&'a [u8]);

impl<'a> Row<'a> {
    /// A row over its bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Public id of the entry.
    #[must_use]
    pub fn id(self) -> Option<EntryId> {
        let id = self.0.first_chunk::<16>()?;
        Some(EntryId(u128::from_be_bytes(*id)))
    }

    /// Content of a part.
    #[must_use]
    pub fn part(self, tag: u8) -> Option<&'a [u8]> {
        let mut input = In::new(self.0.get(16..)?);
        loop {
            match input.byte()? {
                0 => return None,
                found => {
                    let length = usize::try_from(input.varint()?).ok()?;
                    let content = input.take(length)?;
                    if found == tag {
                        return Some(content);
                    }
                }
            }
        }
    }

    fn lines<T: Packs>(self, tag: u8) -> impl Iterator<Item = Held<T>> + 'a {
        let mut input = In::new(self.part(tag).unwrap_or_default());
        std::iter::from_fn(move || {
            (!input.is_empty())
                .then(|| Held::unpack(&mut input))
                .flatten()
        })
    }

    /// Identifiers.
    pub fn identifiers(self) -> impl Iterator<Item = Held<Identifier>> + 'a {
        self.lines(tag::IDENTIFIERS)
    }

    /// Names.
    pub fn names(self) -> impl Iterator<Item = Held<Name>> + 'a {
        self.lines(tag::NAME)
    }

    /// Births.
    pub fn births(self) -> impl Iterator<Item = Held<Birth>> + 'a {
        self.lines(tag::BIRTH)
    }

    /// Addresses under one of the three address tags; none while the person is strictly confidential, even if a row made
    /// before still had one.
    pub fn addresses(self, tag: u8, now: Moment) -> impl Iterator<Item = Held<Address>> + 'a {
        let hidden = self.protection_at(now) == ProtectionLevel::StrictlyConfidential;
        self.lines(if hidden { NOTHING } else { tag })
    }

    /// Whether the row has a residential, present or shared address.
    #[must_use]
    pub fn has_address(self) -> bool {
        let tags = [tag::RESIDENTIAL, tag::PRESENT, tag::SHARED];
        tags.iter().any(|tag| self.part(*tag).is_some())
    }

    /// Whether the row still has an address that must not be kept.
    #[must_use]
    pub fn has_hidden_address(self, now: Moment) -> bool {
        self.protection_at(now) == ProtectionLevel::StrictlyConfidential && self.has_address()
    }

    /// Sex.
    pub fn gender(self) -> impl Iterator<Item = Held<Gender>> + 'a {
        self.lines(tag::GENDER)
    }

    /// Status.
    pub fn status(self) -> impl Iterator<Item = Held<PersonStatus>> + 'a {
        self.lines(tag::STATUS)
    }

    /// Protection.
    pub fn protection(self) -> impl Iterator<Item = Held<ProtectionLevel>> + 'a {
        self.lines(tag::PROTECTION)
    }

    /// Protection at an instant.
    #[must_use]
    pub fn protection_at(self, at: Moment) -> ProtectionLevel {
        let held = self.protection().filter(|h| h.holds_at(at)).last();
        held.map_or(ProtectionLevel::Unclassified, |h| h.value)
    }

    /// The person this one was merged into.
    #[must_use]
    pub fn merged_into(self) -> Option<EntryId> {
        let id = self.part(tag::MERGED)?.first_chunk::<16>()?;
        Some(EntryId(u128::from_be_bytes(*id)))
    }

    /// What the entry says about its identifiers.
    #[must_use]
    pub fn claims(self) -> Claims {
        Claims {
            identifiers: self
                .identifiers()
                .map(|h| (h.value.number, h.value.in_use, h.valid))
                .collect(),
            merged_into: self.merged_into(),
        }
    }

    /// Everything in the row as a document without history.
    #[must_use]
    pub fn document(self) -> PersonDocument {
        self.document_of(|_| true)
    }

    /// The parts with these [`tag`]s as a document without history; the others are passed over unread.
    #[must_use]
    pub fn document_of(self, wanted: impl Fn(u8) -> bool) -> PersonDocument {
        let mut d = PersonDocument {
            merged_into: self.merged_into(),
            ..PersonDocument::default()
        };
        let Some(rest) = self.0.get(16..) else {
            return d;
        };
        let mut input = In::new(rest);
        while let Some(kind) = input.byte().filter(|kind| *kind != 0) {
            let Some(content) = input
                .varint()
                .and_then(|n| usize::try_from(n).ok())
                .and_then(|n| input.take(n))
            else {
                break;
            };
            if !wanted(kind) {
                continue;
            }
            match kind {
                tag::IDENTIFIERS => d.identifiers = read(content),
                tag::NAME => d.name = read(content),
                tag::BIRTH => d.birth = read(content),
                tag::GENDER => d.gender = read(content),
                tag::STATUS => d.status = read(content),
                tag::DEATH => d.death = read::<Date>(content),
                tag::RESIDENTIAL => d.residential = read(content),
                tag::PRESENT => d.present = read(content),
                tag::SHARED => d.shared = read(content),
                tag::PROTECTION => d.protection = read(content),
                tag::FAMILY => d.family = read::<FamilyRelation>(content),
                tag::PARENTAL => d.parental = read::<Responsibility>(content),
                tag::MARITAL => d.marital = read::<Marital>(content),
                tag::CITIZENSHIP => d.citizenship = read(content),
                tag::GUARDIANSHIP => d.guardianship = read::<Guardianship>(content),
                other => {
                    if let Some(part) = OtherPart::from_code(other) {
                        d.other.insert(part, read(content));
                    }
                }
            }
        }
        d
    }
}

fn read<T: Packs>(content: &[u8]) -> Timeline<T> {
    let mut input = In::new(content);
    std::iter::from_fn(|| {
        (!input.is_empty())
            .then(|| Held::unpack(&mut input))
            .flatten()
    })
    .collect()
}

#[cfg(test)]
mod tests;
