//! Notices of birth (`foedselsmelding`), and what the register makes of one before the population register has given the
//! child a number: an entry under a help number, with its birth and its mother.
//!
//! A notice decides nothing about fatherhood: only a mother's spouse is entered beside her (barnelova §3, §4), and only
//! married parents have joint responsibility from the birth (§34, §35 leave the others to the population register).
//! Lines of a notice carry [`NOTICE`] as their source, and give way to what the population register says.

use super::tree::Tree;
use super::{Wrong, date, needed, needed_code, nin, number};
use crate::kernel::identifiers::Packed;
use crate::kernel::period::{Moment, Period};
use crate::kernel::timeline::{Held, Origin, Timeline};
use crate::persons::PersonDocument;
use crate::persons::codes::{
    FamilyRole, Gender, IdentifierKind, OtherPart, PersonStatus, ResponsibilityType,
};
use crate::persons::document::{Birth, FamilyRelation, Identifier, Responsibility};
use jiff::civil::Date;
use serde_json::{Map, Value};

/// Source of what a notice of birth told of.
pub const NOTICE: &str = "FOEDSELSMELDING";
/// Days between two births of one mother; what is nearer is the same birth, told with another day.
const DAYS_OF_ONE_BIRTH: i64 = 60;

/// A notice of birth.
#[derive(Clone, PartialEq)]
pub struct BirthNotice {
    /// The mother.
    pub mother: Packed,
    /// The mother's spouse at the birth, and whether as co-mother.
    pub(super) spouse: Option<(Packed, bool)>,
    /// When and where.
    pub(super) birth: Birth,
    /// The day.
    pub day: Date,
    /// Sex.
    pub(super) gender: Gender,
    /// Of several children: which of how many (`21` is the first of two).
    pub(super) order: Option<u8>,
    /// Born alive.
    pub alive: bool,
    /// Hospital.
    pub(super) institution: Option<String>,
    /// When it was registered.
    pub(super) registered: Moment,
}

/// It is about people: `{:?}` shows nothing of them.
impl std::fmt::Debug for BirthNotice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BirthNotice(…)")
    }
}

/// Reads a notice of birth.
///
/// # Errors
/// When something in it cannot be what the schema says, or the mother has no number.
pub(super) fn read(notice: &Tree) -> Result<BirthNotice, Wrong> {
    let asked = notice
        .one("forespoersel")
        .ok_or(Wrong::Missing("forespoersel"))?;
    let told = asked.one("foedsel").ok_or(Wrong::Missing("foedsel"))?;
    let child = told.one("barn").ok_or(Wrong::Missing("barn"))?;
    let mother = told.one("mor").ok_or(Wrong::Missing("mor"))?;
    let day = date(child, "foedselsdato")?.ok_or(Wrong::Missing("foedselsdato"))?;
    let order: Option<u8> = number(child, "rekkefoelgenummerVedFlerfoedsel")?;
    let is_order = |n: u8| (2..=7).contains(&(n / 10)) && (1..=n / 10).contains(&(n % 10));
    if order.is_some_and(|n| !is_order(n)) {
        return Err(Wrong::Value("rekkefoelgenummerVedFlerfoedsel"));
    }
    let other = told.one("farEllerMedmor");
    let spouse = match other.filter(|_| truth(told, "foreldreErGift")) {
        Some(other) => {
            let number = nin(other, "foedselsEllerDNummer")?;
            number.map(|number| (number, truth(other, "erMedmor")))
        }
        None => None,
    };
    let here = told.one("foedested");
    let abroad = told.one("foedestedIUtlandet");
    const GENDERS: &[(&str, Gender)] = &[("kvinne", Gender::Female), ("mann", Gender::Male)];
    let text = |tree: Option<&Tree>, name| tree.and_then(|t| t.text(name)).map(str::to_owned);
    Ok(BirthNotice {
        mother: nin(mother, "foedselsEllerDNummer")?.ok_or(Wrong::Missing("the number of mor"))?,
        spouse,
        birth: Birth {
            date: Some(day),
            year: None,
            place: text(abroad, "foedestedIUtlandet"),
            municipality: match here {
                Some(here) => number(here, "foedekommunenummer")?,
                None => None,
            },
            country: match abroad {
                Some(abroad) => Some(needed(abroad, "foedeland")?.to_owned()),
                None => Some("NOR".to_owned()),
            },
        },
        day,
        gender: needed_code(child, "kjoenn", GENDERS)?,
        order,
        alive: needed(child, "erLevendefoedt").map(is_true)?,
        institution: text(here, "foedselsinstitusjonsnavn"),
        registered: date(asked, "registreringsdato")?
            .map(Moment::of_day)
            .ok_or(Wrong::Missing("registreringsdato"))?,
    })
}

fn truth(tree: &Tree, name: &str) -> bool {
    tree.text(name).is_some_and(is_true)
}

fn is_true(text: &str) -> bool {
    matches!(text, "true" | "1")
}

fn is_ours<T>(held: &Held<T>) -> bool {
    !held.annulled && held.origin.source.as_deref() == Some(NOTICE)
}

impl BirthNotice {
    fn line<T>(&self, value: T) -> Held<T> {
        Held {
            value,
            valid: Period::since(Moment::of_day(self.day)),
            origin: Origin {
                source: Some(NOTICE.to_owned()),
                ..Origin::at(self.registered)
            },
            annulled: false,
        }
    }

    fn one<T>(&self, value: T) -> Timeline<T> {
        std::iter::once(self.line(value)).collect()
    }

    /// The child, under a help number.
    pub(super) fn child(&self, help_number: Packed) -> PersonDocument {
        let mut d = PersonDocument {
            identifiers: self.one(Identifier {
                number: help_number,
                kind: IdentifierKind::AlternateIdentificationNumber,
                in_use: true,
            }),
            birth: self.one(self.birth.clone()),
            gender: self.one(self.gender),
            status: self.one(PersonStatus::RegisteredAtBirth),
            ..PersonDocument::default()
        };
        for (number, role) in self.parents() {
            d.family.push(self.line(FamilyRelation {
                person: Some(number),
                role,
                mine: Some(FamilyRole::Child),
            }));
            d.parental.push(self.line(Responsibility {
                kind: match self.spouse {
                    Some(_) => ResponsibilityType::Joint,
                    None => ResponsibilityType::Mother,
                },
                responsible: Some(number),
                subject: None,
            }));
        }
        let mut in_norway = Map::new();
        if let Some(name) = &self.institution {
            in_norway.insert("organizationName".to_owned(), name.clone().into());
        }
        if let Some(order) = self.order {
            in_norway.insert("multipleBirthNumber".to_owned(), order.into());
        }
        if !in_norway.is_empty() {
            let line = self.one(Value::Object(in_norway));
            d.other.insert(OtherPart::BirthInNorway, line);
        }
        d
    }

    /// Mother and, when told, her spouse, each with what they are to the child.
    pub(super) fn parents(&self) -> impl Iterator<Item = (Packed, FamilyRole)> {
        let spouse = self.spouse.map(|(number, is_co_mother)| {
            let role = match is_co_mother {
                true => FamilyRole::CoMother,
                false => FamilyRole::Father,
            };
            (number, role)
        });
        std::iter::once((self.mother, FamilyRole::Mother)).chain(spouse)
    }

    /// Enters the child in the document of a parent who is `mine` to it.
    pub(super) fn enter(&self, parent: &mut PersonDocument, mine: FamilyRole, child: Packed) {
        let known = |h: &Held<FamilyRelation>| is_ours(h) && h.value.person == Some(child);
        if !parent.family.all().any(known) {
            parent.family.push(self.line(FamilyRelation {
                person: Some(child),
                role: FamilyRole::Child,
                mine: Some(mine),
            }));
        }
    }

    /// Enters a stillborn child in the document of a parent; which of several is kept as the reason of the line, so that
    /// the same notice again changes nothing.
    pub(super) fn enter_stillborn(&self, parent: &mut PersonDocument, mine: FamilyRole) {
        let mut line = self.line(FamilyRelation {
            person: None,
            role: FamilyRole::StillbornChild,
            mine: Some(mine),
        });
        line.origin.reason = self.order.map(|order| order.to_string());
        let known = |h: &Held<FamilyRelation>| {
            is_ours(h)
                && h.value == line.value
                && h.origin.reason == line.origin.reason
                && h.valid
                    .from
                    .is_some_and(|from| is_one_birth(from, self.day))
        };
        if !parent.family.all().any(known) {
            parent.family.push(line);
        }
    }

    /// The same child was told of before: what is different now is corrected.
    pub(super) fn correct(&self, child: &mut PersonDocument) {
        correct(&mut child.birth, self.line(self.birth.clone()));
        correct(&mut child.gender, self.line(self.gender));
    }
}

/// A later notice takes the place of an earlier one, and of nothing else.
fn correct<T: Clone + PartialEq>(line: &mut Timeline<T>, told: Held<T>) {
    let held = |h: &Held<T>| !h.annulled && h.value == told.value && h.valid == told.valid;
    if line.all().any(held) || line.all().any(|h| !h.annulled && !is_ours(h)) {
        return;
    }
    *line = line
        .all()
        .cloned()
        .map(|h| Held {
            annulled: true,
            ..h
        })
        .chain(std::iter::once(told))
        .collect();
}

fn is_one_birth(from: Moment, day: Date) -> bool {
    let between = Moment::of_day(day).0.abs_diff(from.0);
    between <= DAYS_OF_ONE_BIRTH.unsigned_abs() * 86_400_000
}

/// Who a child with no number of its own may be: what a notice or a person document says of it.
pub(super) struct Sought {
    pub mother: Packed,
    pub day: Date,
    /// `None`: not told, so any.
    pub order: Option<u8>,
    pub any_order: bool,
}

impl Sought {
    /// From a notice.
    pub(super) fn told(notice: &BirthNotice) -> Self {
        Self {
            mother: notice.mother,
            day: notice.day,
            order: notice.order,
            any_order: false,
        }
    }

    /// From a document of the population register; `None` without mother or day of birth.
    pub(super) fn of(document: &PersonDocument) -> Option<Self> {
        let mother = document.family.all().find(|h| {
            !h.annulled && h.value.role == FamilyRole::Mother && h.value.person.is_some()
        })?;
        let birth = document.birth.all().filter(|h| !h.annulled).last()?;
        let order = order(document);
        Some(Self {
            mother: mother.value.person?,
            day: birth.value.date?,
            order,
            any_order: order.is_none(),
        })
    }

    /// Whether this is the child, known by a notice only.
    pub(super) fn is(&self, child: &PersonDocument) -> bool {
        let only_help = child
            .identifiers
            .all()
            .filter(|h| !h.annulled)
            .all(|h| h.value.kind == IdentifierKind::AlternateIdentificationNumber);
        let ours = child.status.all().any(is_ours);
        let birth = child.birth.all().filter(|h| !h.annulled).last();
        let near = birth
            .and_then(|h| h.value.date)
            .is_some_and(|day| is_one_birth(Moment::of_day(day), self.day));
        only_help && ours && near && (self.any_order || order(child) == self.order)
    }
}

fn order(document: &PersonDocument) -> Option<u8> {
    let line = document.other.get(&OtherPart::BirthInNorway)?;
    let held = line.all().filter(|h| !h.annulled).last()?;
    u8::try_from(held.value.get("multipleBirthNumber")?.as_u64()?).ok()
}

/// The population register has given the child a number: the help number leads to it, and no more; family and
/// responsibility are now what the population register says. Returns the help numbers.
pub(super) fn confirm(child: &mut PersonDocument, at: Moment) -> Vec<Packed> {
    let numbers: Vec<Identifier> = child.identifiers.at(at).map(|h| h.value).collect();
    let help = |i: &&Identifier| i.kind == IdentifierKind::AlternateIdentificationNumber;
    let mut ended = Vec::new();
    for number in numbers.iter().filter(help) {
        let _ = child.identifiers.end_where(at, |i| i == number);
        let discontinued = Identifier {
            in_use: false,
            ..*number
        };
        let _ = child.identifiers.add(discontinued, at, Origin::at(at));
        ended.push(number.number);
    }
    child.family = without_ours(&child.family);
    child.parental = without_ours(&child.parental);
    ended
}

/// A parent's line leads to the child's own number, unless the population register has told of that child already.
pub(super) fn renumber(parent: &mut PersonDocument, help_numbers: &[Packed], number: Packed) {
    let is_child = |h: &Held<FamilyRelation>| {
        h.value.role == FamilyRole::Child && h.value.person == Some(number)
    };
    let told = parent
        .family
        .all()
        .any(|h| !h.annulled && !is_ours(h) && is_child(h));
    let lines = parent.family.all().cloned().map(|mut held| {
        let was = held.value.person;
        if is_ours(&held) && was.is_some_and(|was| help_numbers.contains(&was)) {
            held.value.person = Some(number);
            held.annulled = told;
        }
        held
    });
    parent.family = lines.collect();
}

/// What the population register now says itself is no longer the notice's.
pub(super) fn give_way(family: &mut Timeline<FamilyRelation>, said: &FamilyRelation) {
    let lines = family.all().cloned().map(|mut held| {
        let same = held.value.person == said.person && held.value.role == said.role;
        held.annulled |= is_ours(&held) && same;
        held
    });
    *family = lines.collect();
}

fn without_ours<T: Clone>(line: &Timeline<T>) -> Timeline<T> {
    let lines = line.all().cloned().map(|mut held| {
        held.annulled |= is_ours(&held);
        held
    });
    lines.collect()
}
