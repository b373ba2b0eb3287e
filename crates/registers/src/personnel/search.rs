//! Search over all personnel: every condition that is given must hold.
//!
//! Conditions on approvals hold of one approval together, and those on rights, specialities and competences of one of
//! these that belongs to that approval.

use super::record::{
    Approval, Competence, Education, Personnel, PostalAddress, Requisition, Short, Speciality,
    Suspension,
};
use super::register::{Held, PersonnelRegister, person};
use crate::directory::Sex;
use crate::kernel::period::{Moment, Period};
use codes::fold::fold;

/// Conditions on a right, a speciality or a competence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// One of these codes.
    pub kinds: Vec<Short>,
    /// Why it ended.
    pub ended: Option<Short>,
    /// Begins within.
    pub from: Option<Period>,
    /// Ends within.
    pub to: Option<Period>,
    /// Valid at some time within.
    pub valid: Option<Period>,
}

/// What is searched for. Nothing given finds nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Search {
    /// Words of the name, in any order, each the beginning of a word.
    pub name: Option<String>,
    /// Beginning of the given names.
    pub given: Option<String>,
    /// Beginning of the middle name.
    pub middle: Option<String>,
    /// Beginning of the family name.
    pub family: Option<String>,
    /// Words of name, HPR number or address.
    pub full_text: Option<String>,
    /// Words of an address.
    pub address: Option<String>,
    /// Born within.
    pub born: Option<Period>,
    /// Died within.
    pub died: Option<Period>,
    /// National id, current or earlier.
    pub nin: Option<u64>,
    /// HPR number.
    pub hpr: Option<u32>,
    /// One of these other identifiers.
    pub other_ids: Vec<String>,
    /// Sex.
    pub sex: Option<Sex>,
    /// One of these citizenships.
    pub citizenships: Vec<Short>,
    /// One of these professions.
    pub professions: Vec<Short>,
    /// Approval: kind of authorisation, ended why, begins, ends, valid within.
    pub approval: Part,
    /// Right to prescribe.
    pub requisition: Part,
    /// Speciality.
    pub speciality: Part,
    /// Competence.
    pub competence: Part,
    /// A condition of this kind, or with these words.
    pub condition: Option<String>,
    /// Internship approved within.
    pub internship: Option<Period>,
    /// Suspended at some time within.
    pub suspended: Option<Period>,
    /// Changed within.
    pub changed: Option<Period>,
    /// Educated in one of these countries.
    pub education_countries: Vec<Short>,
    /// Educated at one of these institutions.
    pub institutions: Vec<u32>,
    /// Education of this kind.
    pub education_kind: Option<Short>,
    /// Diploma within.
    pub diploma: Option<Period>,
}

impl Part {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn fits(&self, kind: &Short, ended: &Short, valid: &Period) -> bool {
        one_of(&self.kinds, kind)
            && self.ended.is_none_or(|e| e == *ended)
            && within(self.from, valid.from)
            && within(self.to, valid.to)
            && self.valid.is_none_or(|p| p.overlaps(valid))
    }
}

fn one_of<T: PartialEq>(wanted: &[T], found: &T) -> bool {
    wanted.is_empty() || wanted.contains(found)
}

fn within(period: Option<Period>, at: Option<Moment>) -> bool {
    period.is_none_or(|p| at.is_some_and(|at| p.contains(at)))
}

fn begins(wanted: &Option<String>, found: &str) -> bool {
    wanted
        .as_ref()
        .is_none_or(|wanted| fold(found).starts_with(&fold(wanted)))
}

fn words(wanted: &Option<String>, found: impl FnOnce() -> String) -> bool {
    let Some(wanted) = wanted else { return true };
    let found = fold(&found());
    fold(wanted)
        .split_whitespace()
        .all(|word| found.split_whitespace().any(|f| f.starts_with(word)))
}

fn written(address: &PostalAddress) -> String {
    [
        &address.street,
        &address.postbox,
        &address.postcode,
        &address.place,
    ]
    .into_iter()
    .flatten()
    .map(String::as_str)
    .collect::<Vec<_>>()
    .join(" ")
}

impl Search {
    /// Whether nothing is searched for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn asks_for_approval(&self) -> bool {
        let parts = [
            &self.approval,
            &self.requisition,
            &self.speciality,
            &self.competence,
        ];
        !self.professions.is_empty()
            || self.condition.is_some()
            || self.internship.is_some()
            || self.suspended.is_some()
            || parts.iter().any(|part| !part.is_empty())
    }

    fn asks_for_education(&self) -> bool {
        !self.education_countries.is_empty()
            || !self.institutions.is_empty()
            || self.education_kind.is_some()
            || self.diploma.is_some()
    }

    /// Whether a person is among those searched for.
    #[must_use]
    pub fn fits(&self, p: &Personnel) -> bool {
        let addresses = || {
            let all: Vec<String> = p.rest.addresses.iter().map(written).collect();
            all.join(" ")
        };
        let is_nin = |nin| p.nin == Some(nin) || p.rest.earlier_nins.contains(&nin);
        let day = |day: Option<jiff::civil::Date>| day.map(Moment::of_day);
        self.hpr.is_none_or(|hpr| hpr == p.hpr)
            && self.nin.is_none_or(is_nin)
            && self.sex.is_none_or(|sex| p.sex == Some(sex))
            && one_of(&self.citizenships, &p.citizenship)
            && within(self.changed, Some(p.updated))
            && within(self.born, day(p.born))
            && within(self.died, day(p.died))
            && begins(&self.given, &p.name.given)
            && begins(&self.middle, p.name.middle.as_deref().unwrap_or_default())
            && begins(&self.family, &p.name.family)
            && words(&self.name, || p.name.full())
            && words(&self.address, addresses)
            && words(&self.full_text, || {
                format!("{} {} {}", p.name.full(), p.hpr, addresses())
            })
            && (self.other_ids.is_empty()
                || p.rest
                    .other_ids
                    .iter()
                    .any(|id| self.other_ids.contains(&id.value)))
            && (!self.asks_for_education()
                || p.rest.educations.iter().any(|e| self.fits_education(e)))
            && (!self.asks_for_approval() || p.approvals.iter().any(|a| self.fits_approval(a)))
    }

    fn fits_education(&self, education: &Education) -> bool {
        one_of(&self.education_countries, &education.country)
            && (self.institutions.is_empty()
                || education
                    .institution
                    .is_some_and(|i| self.institutions.contains(&i)))
            && self
                .education_kind
                .is_none_or(|kind| kind == education.kind)
            && within(self.diploma, education.diploma)
    }

    fn fits_approval(&self, a: &Approval) -> bool {
        let suspended = |suspensions: &[Suspension]| {
            let within = |s: &Suspension| self.suspended.is_some_and(|p| p.overlaps(&s.period));
            suspensions.iter().any(within)
        };
        let condition = |wanted: &String| {
            a.seldom
                .conditions
                .iter()
                .any(|c| c.kind.as_str() == wanted || fold(&c.text).contains(&fold(wanted)))
        };
        one_of(&self.professions, &a.profession)
            && self.approval.fits(&a.authorisation, &a.ended, &a.valid)
            && within(self.internship, a.seldom.internship)
            && self.condition.as_ref().is_none_or(condition)
            && (self.suspended.is_none()
                || suspended(&a.seldom.suspensions)
                || a.requisitions.iter().any(|r| suspended(&r.suspensions))
                || a.specialities.iter().any(|s| suspended(&s.suspensions)))
            && some(&self.requisition, &a.requisitions, |r: &Requisition| {
                (r.kind, r.ended, r.valid)
            })
            && some(&self.speciality, &a.specialities, |s: &Speciality| {
                (s.kind, s.ended, s.valid)
            })
            && some(&self.competence, &a.seldom.competences, |c: &Competence| {
                (c.kind, c.ended, c.valid)
            })
    }
}

fn some<T>(wanted: &Part, found: &[T], of: impl Fn(&T) -> (Short, Short, Period)) -> bool {
    wanted.is_empty()
        || found.iter().any(|part| {
            let (kind, ended, valid) = of(part);
            wanted.fits(&kind, &ended, &valid)
        })
}

/// A page of what was found.
#[derive(Debug)]
pub struct Found {
    /// Entries of the page, by number.
    pub page: Vec<Held>,
    /// How many there are in all.
    pub total: usize,
}

impl PersonnelRegister {
    /// Those who fit and stand, by number: `size` of them after `skip`.
    #[must_use]
    pub fn search(&self, search: &Search, skip: usize, size: usize) -> Found {
        let mut found = Found {
            page: Vec::new(),
            total: 0,
        };
        let mut take = |entry: &Held| {
            let stands = person(entry)
                .is_some_and(|p| !p.rest.deleted && p.rest.replaced_by.is_none() && search.fits(p));
            if stands {
                if found.total >= skip && found.page.len() < size {
                    found.page.push(entry.clone());
                }
                found.total += 1;
            }
        };
        match (search.hpr, search.nin) {
            // An identifier leads to one.
            (Some(hpr), _) => self.by_hpr(hpr).iter().for_each(take),
            (None, Some(nin)) => {
                let text = crate::kernel::identifiers::Packed(nin).text(11);
                self.by_nin(&text).iter().for_each(take);
            }
            (None, None) => self.each(|entry| {
                take(entry);
                true
            }),
        }
        found
    }
}
