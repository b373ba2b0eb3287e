//! The fixed people and organisations of the story, the same in every nation.
//!
//! Their tables are facts ([`people`], [`personnel`], [`organisations`]); their identity numbers are not typed but drawn by the
//! rule of the story, in the order of the tables.

use std::collections::{HashMap, HashSet};

use codes::ident::{HerId, MonthOffset, Nin, NinBuilder, Sex};
use jiff::civil::Date;
use jiff::{Span, ToSpan as _};

use crate::NationError;
use crate::model::{
    Address, EndReason, GpList, Guardianship, Historic, Organisation, Person, PersonId, PersonName,
    PowerOfAttorney, Practitioner, Protection, Relation, RelationKind, Substitute,
};

pub(crate) mod organisations;
pub(crate) mod people;
pub(crate) mod personnel;

/// Everybody and everything fixed.
pub(crate) struct Cast {
    pub(crate) persons: Vec<Person>,
    pub(crate) practitioners: Vec<Practitioner>,
    pub(crate) organisations: Vec<Organisation>,
    pub(crate) lists: Vec<GpList>,
    /// Numbers in use, so that the background keeps away from them.
    pub(crate) used: HashSet<Nin>,
}

/// When a fixed person was born.
#[derive(Clone, Copy)]
pub(crate) enum Born {
    /// On this day, whatever the anchor.
    On(i16, i8, i8),
    /// So many days after the anchor, so many years earlier.
    Anchored { days: i32, years: i16 },
}

impl Born {
    fn date(self, anchor: Date) -> Result<Date, NationError> {
        match self {
            Self::On(y, m, d) => Date::new(y, m, d).map_err(|_| NationError::Anchor),
            Self::Anchored { days, years } => anchor
                .checked_add(Span::new().days(days))
                .and_then(|day| day.checked_sub(Span::new().years(years)))
                .map_err(|_| NationError::Anchor),
        }
    }
}

/// How a fixed person is numbered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbering {
    /// Fødselsnummer.
    Fnr,
    /// D-number only.
    Dnr,
    /// Help number only.
    Fhn,
    /// Fødselsnummer now, D-number before.
    FnrAfterDnr,
    /// Fødselsnummer now, and a second one from a record that was merged into this one.
    Merged,
    /// A number that only the rule of 2032 accepts.
    Rule2032,
}

/// Number of the rule of 2032, from the published test vectors: nothing before 2032 can issue one.
const NIN_OF_2032: &str = "23838194540";

/// Draws numbers in issuing order, each once.
#[derive(Default)]
struct Drawer {
    used: HashSet<Nin>,
}

impl Drawer {
    fn draw(&mut self, born: Date, sex: Sex, dnr: bool) -> Result<Nin, NationError> {
        let builder = NinBuilder {
            born,
            sex,
            offset: MonthOffset::Plus80,
            dnr,
        };
        let nin = builder
            .numbers()
            .find(|nin| !self.used.contains(nin))
            .ok_or(NationError::Anchor)?;
        self.used.insert(nin);
        Ok(nin)
    }

    fn draw_help_number(&mut self) -> Result<Nin, NationError> {
        let nin = (830_000_001..830_001_000)
            .filter_map(NinBuilder::help_number)
            .find(|nin| !self.used.contains(nin))
            .ok_or(NationError::Anchor)?;
        self.used.insert(nin);
        Ok(nin)
    }
}

impl Cast {
    pub(crate) fn build(anchor: Date) -> Result<Self, NationError> {
        let organisations = organisations::build()?;
        let lists = gp_lists(anchor, &organisations)?;
        let mut drawer = Drawer::default();
        let mut persons = Vec::new();
        for seat in people::SEATS {
            persons.push(person(seat, persons.len(), anchor, &mut drawer)?);
        }
        let mut practitioners =
            personnel::build(anchor, &organisations, &mut persons, |born, sex| {
                drawer.draw(born, sex, false)
            })?;
        relate(&mut persons, anchor)?;
        assign_lists(&mut persons, &practitioners, &lists, anchor);
        for practitioner in &mut practitioners {
            if let Some(person) = persons.iter_mut().find(|p| p.id == practitioner.person) {
                person.hpr = practitioner.hpr;
            }
        }
        Ok(Self {
            persons,
            practitioners,
            organisations,
            lists,
            used: drawer.used,
        })
    }
}

pub(crate) fn person_id(at: usize) -> PersonId {
    PersonId(u32::try_from(at).unwrap_or(u32::MAX))
}

fn person(
    seat: &people::Seat,
    at: usize,
    anchor: Date,
    drawer: &mut Drawer,
) -> Result<Person, NationError> {
    let born = seat.born.date(anchor)?;
    let (nin, historic) = numbers(seat, born, anchor, drawer)?;
    let died = match seat.died_days_ago {
        Some(days) => Some(day(anchor, -days)?),
        None => None,
    };
    Ok(Person {
        id: person_id(at),
        key: Some(seat.key),
        story: seat.listed.then_some(seat.key),
        what: Some(seat.what),
        nin,
        historic,
        name: name(seat.given, seat.middle, seat.family),
        born,
        sex: seat.sex,
        status: seat.status,
        died,
        address: seat
            .home
            .and_then(|(street, postcode)| address(street, postcode)),
        protection: seat.protection,
        protected_since: match seat.protection {
            Protection::StrictlyConfidential => Some(months(anchor, -4)?),
            _ => None,
        },
        household: seat.household,
        nursing_home: false,
        languages: seat.languages.to_vec(),
        marital: seat.marital,
        relations: Vec::new(),
        guardianships: Vec::new(),
        powers: Vec::new(),
        gp: None,
        hpr: None,
        digital: seat.digital,
        kjernejournal: seat.kjernejournal,
    })
}

fn numbers(
    seat: &people::Seat,
    born: Date,
    anchor: Date,
    drawer: &mut Drawer,
) -> Result<(Nin, Vec<Historic>), NationError> {
    Ok(match seat.numbering {
        Numbering::Fnr => (drawer.draw(born, seat.sex, false)?, Vec::new()),
        Numbering::Dnr => (drawer.draw(born, seat.sex, true)?, Vec::new()),
        Numbering::Fhn => (drawer.draw_help_number()?, Vec::new()),
        Numbering::FnrAfterDnr => {
            let nin = drawer.draw(born, seat.sex, false)?;
            let earlier = Historic {
                nin: drawer.draw(born, seat.sex, true)?,
                ended: months(anchor, -30)?,
                reason: EndReason::Replaced,
            };
            (nin, vec![earlier])
        }
        Numbering::Merged => {
            let nin = drawer.draw(born, seat.sex, false)?;
            let earlier = Historic {
                nin: drawer.draw(born, seat.sex, false)?,
                ended: months(anchor, -14)?,
                reason: EndReason::Merged,
            };
            (nin, vec![earlier])
        }
        Numbering::Rule2032 => {
            let nin = Nin::parse(NIN_OF_2032).map_err(|_| NationError::Anchor)?;
            drawer.used.insert(nin);
            (nin, Vec::new())
        }
    })
}

pub(crate) fn name(given: &str, middle: &str, family: &str) -> PersonName {
    PersonName {
        given: given.to_owned(),
        middle: (!middle.is_empty()).then(|| middle.to_owned()),
        family: family.to_owned(),
    }
}

pub(crate) fn address(street: &str, postcode: &str) -> Option<Address> {
    let postcode = codes::places::postcode(postcode)?;
    Some(Address {
        street: street.to_owned(),
        postcode: postcode.code,
        place: postcode.place,
        municipality: postcode.municipality,
    })
}

pub(crate) fn day(anchor: Date, days: i32) -> Result<Date, NationError> {
    anchor
        .checked_add(days.days())
        .map_err(|_| NationError::Anchor)
}

pub(crate) fn months(anchor: Date, months: i32) -> Result<Date, NationError> {
    anchor
        .checked_add(months.months())
        .map_err(|_| NationError::Anchor)
}

/// Relations in both directions, guardians, powers of attorney.
fn relate(persons: &mut [Person], anchor: Date) -> Result<(), NationError> {
    let by_key: HashMap<&'static str, (PersonId, Nin)> = persons
        .iter()
        .filter_map(|p| Some((p.key?, (p.id, p.nin))))
        .collect();
    let mut add = |from: &str, kind: RelationKind, to: &str| -> Option<()> {
        let (from, _) = *by_key.get(from)?;
        let (other, nin) = *by_key.get(to)?;
        let person = persons.iter_mut().find(|p| p.id == from)?;
        person.relations.push(Relation { kind, other, nin });
        Some(())
    };
    for (a, kind, b) in people::RELATIONS {
        add(a, *kind, b).ok_or(NationError::Anchor)?;
        if let Some(back) = inverse(*kind) {
            add(b, back, a).ok_or(NationError::Anchor)?;
        }
    }
    let find = |key: &str| by_key.get(key).copied().ok_or(NationError::Anchor);
    let (guardian, guardian_nin) = find("id-guardian-verge")?;
    let (daughter, daughter_nin) = find("sol-datter")?;
    for person in persons.iter_mut() {
        match person.key {
            Some("id-guardian") => person.guardianships.push(Guardianship {
                guardian,
                nin: guardian_nin,
                personal: false,
                financial: true,
                from: months(anchor, -20)?,
            }),
            Some("hjerte") => person.powers.push(PowerOfAttorney {
                holder: daughter,
                nin: daughter_nin,
                areas: &[1, 3],
                from: months(anchor, -6)?,
            }),
            _ => {}
        }
    }
    Ok(())
}

fn inverse(kind: RelationKind) -> Option<RelationKind> {
    Some(match kind {
        RelationKind::Mother | RelationKind::Father => RelationKind::Child,
        RelationKind::Sibling | RelationKind::Spouse | RelationKind::FormerSpouse => kind,
        RelationKind::Partner | RelationKind::Family => kind,
        // Child is only ever written as the inverse of a parent; responsibility and step-parenthood stand on the child
        RelationKind::Child
        | RelationKind::ResponsibleJoint
        | RelationKind::ResponsibleAlone
        | RelationKind::StepParent => return None,
    })
}

/// Contract numbers of the fixed GP lists.
pub(crate) mod list_id {
    pub(crate) const SOLBERG: u32 = 1001;
    pub(crate) const AMUNDSEN: u32 = 1002;
    /// The permanent doctor is away; Eide is the only substitute.
    pub(crate) const ABSENT: u32 = 1003;
    /// No doctor and no substitute: KX17.
    pub(crate) const WITHOUT: u32 = 1004;
    pub(crate) const SOMBY: u32 = 1005;
}

fn gp_lists(anchor: Date, organisations: &[Organisation]) -> Result<Vec<GpList>, NationError> {
    let find = |key: &str| {
        organisations
            .iter()
            .find(|o| o.key == Some(key))
            .ok_or(NationError::Anchor)
    };
    let fjord = find("fjordglott")?;
    let karasjok = find("karasjok")?;
    let hpr = |key: &str| personnel::hpr(key).ok_or(NationError::Anchor);
    let list = |id, at: &Organisation, doctor, her: Option<u32>, max, closed| GpList {
        id,
        organisation: at.orgnr,
        office: at.child(),
        municipality: at.municipality,
        doctor,
        doctor_her: her.map(HerId),
        substitutes: Vec::new(),
        no_doctor_her: at.service(8663, "KX17").map(|p| p.her_id),
        max_patients: max,
        closed,
        since: Date::constant(2012, 1, 1),
    };
    let mut absent = list(list_id::ABSENT, fjord, None, None, 900, false);
    absent.substitutes.push(Substitute {
        hpr: hpr("eide")?,
        her_id: HerId(8_900_102),
        from: months(anchor, -5)?,
        to: months(anchor, 7)?,
    });
    Ok(vec![
        list(
            list_id::SOLBERG,
            fjord,
            Some(hpr("solberg")?),
            Some(8_900_101),
            1_100,
            true,
        ),
        list(
            list_id::AMUNDSEN,
            fjord,
            Some(hpr("amundsen")?),
            Some(8_900_103),
            1_200,
            false,
        ),
        absent,
        list(list_id::WITHOUT, fjord, None, None, 400, false),
        list(
            list_id::SOMBY,
            karasjok,
            Some(hpr("somby")?),
            Some(8_900_201),
            900,
            false,
        ),
    ])
}

/// Puts fixed residents on a list: the one their row names, else one of their town's; nobody is on a list of his own.
fn assign_lists(
    persons: &mut [Person],
    practitioners: &[Practitioner],
    lists: &[GpList],
    anchor: Date,
) {
    let chosen: HashMap<&'static str, Option<u32>> =
        people::SEATS.iter().map(|s| (s.key, s.list)).collect();
    for (at, person) in persons.iter_mut().enumerate() {
        if !person.is_resident() || person.key == Some("id-no-gp") {
            continue;
        }
        let own: Vec<_> = practitioners
            .iter()
            .filter(|p| p.person == person.id)
            .filter_map(|p| p.hpr)
            .collect();
        let named = person
            .key
            .and_then(|key| chosen.get(key).copied().flatten());
        let town = person.address.as_ref().map_or("5501", |a| a.municipality);
        let id = named.unwrap_or(match (town, at % 2) {
            ("5610" | "5612", _) => list_id::SOMBY,
            ("0301", _) => list_id::WITHOUT,
            (_, 0) => list_id::SOLBERG,
            _ => list_id::AMUNDSEN,
        });
        let other = if id == list_id::SOLBERG {
            list_id::AMUNDSEN
        } else {
            list_id::SOLBERG
        };
        let list = lists
            .iter()
            .find(|l| l.id == id)
            .filter(|l| !l.doctor.is_some_and(|d| own.contains(&d)))
            .or_else(|| lists.iter().find(|l| l.id == other));
        person.gp = list.map(|l| l.relation(person.born.max(Date::constant(2014, 3, 1)), anchor));
    }
}
