//! One cell: drafts become persons with names, addresses, numbers, relations, GP lists; some become personnel.

mod work;

use codes::ident::{Nin, NinBuilder, Sex};
use codes::names::NameGroup;
use codes::places::Municipality;
use jiff::ToSpan as _;
use jiff::civil::Date;

use super::households::{Draft, Families, Responsibility};
use super::naming;
use super::plan::{FIRST_BACKGROUND, GROUPS, STRIDE, Slice};
use crate::model::{
    Address, Digital, EndReason, GpList, GpRelation, Guardianship, Historic, KjStanding, Marital,
    Person, PersonId, PersonName, PowerOfAttorney, Protection, Relation, RelationKind, Status,
};
use crate::rng::{Kind, Stream};
use crate::{Cell, Nation};

/// D-number holders among a thousand persons.
const DNR_PER_1000: u64 = 25;
/// Persons with a D-number first and a fødselsnummer now, among a thousand.
const BOTH_PER_1000: u64 = 2;
/// Help numbers of the background start here; ten per person leave room for unusable ones.
const FIRST_HELP_NUMBER: u64 = 840_000_000;

/// What is known of a household before its members become persons.
struct Home {
    municipality: &'static Municipality,
    address: Option<Address>,
    protection: Protection,
}

pub(crate) fn make(nation: &Nation, cell: u64) -> Cell {
    let mut random = Stream::new(nation.params.seed, Kind::Cell, cell);
    let drafts = drafts(nation, cell);
    let families = Families::build(drafts, &mut random);
    let mut children = vec![Vec::new(); families.people.len()];
    for (child, draft) in families.people.iter().enumerate() {
        for parent in [draft.mother, draft.father].into_iter().flatten() {
            if let Some(list) = children.get_mut(parent) {
                list.push(child);
            }
        }
    }
    let mut maker = Maker {
        nation,
        cell,
        homes: Vec::new(),
        groups: vec![None; families.people.len()],
        givens: vec![String::new(); families.people.len()],
        surnames: vec![String::new(); families.people.len()],
        middles: vec![None; families.people.len()],
        numbers: Vec::new(),
        children,
        families,
    };
    maker.settle(&mut random);
    maker.number();
    maker.name();
    let mut persons = maker.persons();
    maker.guardians(&mut persons, &mut random);
    let practitioners = maker.staff(&mut persons);
    Cell {
        persons,
        practitioners,
    }
}

/// Everybody of the cell by age and sex.
fn drafts(nation: &Nation, cell: u64) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for group in 0..GROUPS {
        for sex in [Sex::Female, Sex::Male] {
            let share = nation.demography.share(cell, group, sex);
            for i in 0..share.living + share.dead {
                if let Some(slot) = nation.births.slot(group, sex, share.first + u64::from(i)) {
                    drafts.push(Draft::new(slot, i < share.living, nation.params.anchor));
                }
            }
        }
    }
    drafts
}

struct Maker<'a> {
    nation: &'a Nation,
    cell: u64,
    families: Families,
    homes: Vec<Home>,
    groups: Vec<Option<NameGroup>>,
    givens: Vec<String>,
    surnames: Vec<String>,
    middles: Vec<Option<String>>,
    numbers: Vec<Option<(Nin, Vec<Historic>, Status)>>,
    /// Children of each person.
    children: Vec<Vec<usize>>,
}

impl Maker<'_> {
    fn id(&self, i: usize) -> PersonId {
        let within = u32::try_from(i).unwrap_or(STRIDE - 1).min(STRIDE - 1);
        PersonId(FIRST_BACKGROUND + u32::try_from(self.cell).unwrap_or(0) * STRIDE + within)
    }

    fn attributes(&self, i: usize) -> Stream {
        Stream::new(
            self.nation.params.seed,
            Kind::Attributes,
            u64::from(self.id(i).0),
        )
    }

    fn draft(&self, i: usize) -> Option<&Draft> {
        self.families.people.get(i)
    }

    /// Gives every household a municipality, in proportion, each municipality of the cell at least one.
    fn settle(&mut self, random: &mut Stream) {
        let from = self.nation.demography.start(self.cell);
        let slices = self
            .nation
            .places
            .slices(from, from + self.nation.demography.size(self.cell));
        let mut order: Vec<usize> = (0..self.families.households.len()).collect();
        random.shuffle(&mut order);
        let size = |h: usize| self.families.households.get(h).map_or(0, Vec::len) as i64;
        let mut town: Vec<Option<&'static Municipality>> = vec![None; order.len()];
        let mut left: Vec<(i64, &'static Municipality)> = slices
            .iter()
            .map(|s: &Slice| (i64::try_from(s.persons).unwrap_or(0), s.municipality))
            .collect();
        // one household each, smallest municipalities first, as near to its number of persons as there is
        left.sort_by_key(|(n, m)| (*n, m.number));
        let mut free = order.clone();
        for (persons, municipality) in &mut left {
            let Some(best) = (0..free.len()).min_by_key(|at| {
                free.get(*at)
                    .map_or(i64::MAX, |h| (size(*h) - *persons).abs())
            }) else {
                break;
            };
            let household = free.swap_remove(best);
            *persons -= size(household);
            if let Some(slot) = town.get_mut(household) {
                *slot = Some(municipality);
            }
        }
        // the rest where most are missing; large households first, so that the sums come out
        free.sort_by_key(|h| std::cmp::Reverse(size(*h)));
        for household in free {
            if let Some((persons, municipality)) = left
                .iter_mut()
                .max_by_key(|(n, m)| (*n, std::cmp::Reverse(m.number)))
            {
                *persons -= size(household);
                if let Some(slot) = town.get_mut(household) {
                    *slot = Some(municipality);
                }
            }
        }
        // protected households live where most people live, so that no small municipality is left without an address
        let largest = slices
            .iter()
            .max_by_key(|s| s.persons)
            .map(|s| s.municipality.number);
        let crowd: Vec<usize> = (0..town.len())
            .filter(|h| town.get(*h).copied().flatten().map(|m| m.number) == largest)
            .collect();
        let protections = self.protections(&crowd);
        for (household, municipality) in town.into_iter().enumerate() {
            let Some(municipality) =
                municipality.or_else(|| slices.first().map(|s| s.municipality))
            else {
                continue;
            };
            let protection = protections
                .iter()
                .find(|(h, _)| *h == household)
                .map_or(Protection::Unclassified, |p| p.1);
            let mut stream = Stream::new(
                self.nation.params.seed,
                Kind::Addresses,
                self.cell << 16 | household as u64,
            );
            let address = (protection != Protection::StrictlyConfidential)
                .then(|| address(municipality, &mut stream))
                .flatten();
            self.homes.push(Home {
                municipality,
                address,
                protection,
            });
        }
    }

    /// Households with a protected address: 0.2, 0.3 and 0.35 persons of a thousand, the first cell always one of each.
    fn protections(&self, households: &[usize]) -> Vec<(usize, Protection)> {
        let mut random = Stream::new(self.nation.params.seed, Kind::Lists, self.cell);
        let mut out = Vec::new();
        let levels = [
            (Protection::ClientAddress, 93_u64),
            (Protection::Confidential, 140),
            (Protection::StrictlyConfidential, 163),
        ];
        for (level, per_million) in levels {
            // households, at 2.15 persons each
            let count = |cells: u64| (cells * per_million).div_ceil(1_000);
            for _ in count(self.cell)..count(self.cell + 1) {
                out.extend(random.pick(households).map(|h| (*h, level)));
            }
        }
        out
    }

    /// Identity numbers; a few have a D-number, a help number, or both in sequence.
    fn number(&mut self) {
        let births = &self.nation.births;
        let mut random = Stream::new(self.nation.params.seed, Kind::Lists, self.cell | 1 << 40);
        let mut adults: Vec<usize> = self
            .families
            .people
            .iter()
            .enumerate()
            .filter(|(_, p)| {
                p.alive
                    && (18..60).contains(&p.age)
                    && p.household.is_some()
                    && p.responsibility == Responsibility::None
            })
            .map(|(i, _)| i)
            .collect();
        random.shuffle(&mut adults);
        let size = self.nation.demography.size(self.cell);
        let dnr = usize::try_from(size * DNR_PER_1000 / 1_000).unwrap_or(0);
        let help = 3 * size / 1_000;
        let both = usize::try_from(size * BOTH_PER_1000 / 1_000).unwrap_or(0);
        self.numbers = vec![None; self.families.people.len()];
        let mut special = adults.into_iter();
        for ordinal in 0..help {
            // somebody who lives with others: a visitor has no address of his own
            let shared = |i: &usize| self.draft(*i).is_some_and(|p| p.partner.is_some());
            let Some(i) = special.find(shared) else { break };
            let first = FIRST_HELP_NUMBER + (self.cell * 8 + ordinal) * 10;
            let nin = (first..first + 10).find_map(NinBuilder::help_number);
            self.set(i, nin, Vec::new(), Status::NotResident);
        }
        for i in special.by_ref().take(dnr) {
            let nin = self.draft(i).and_then(|p| births.number(p.slot, true));
            self.set(i, nin, Vec::new(), Status::Temporary);
        }
        for i in special.by_ref().take(both) {
            let Some(slot) = self.draft(i).map(|p| p.slot) else {
                continue;
            };
            let ended = self.days_ago(300 + random.below(3_000));
            let earlier = births.number(slot, true).map(|nin| Historic {
                nin,
                ended,
                reason: EndReason::Replaced,
            });
            self.set(
                i,
                births.number(slot, false),
                earlier.into_iter().collect(),
                Status::Resident,
            );
        }
        for i in 0..self.families.people.len() {
            if self.numbers.get(i).is_some_and(Option::is_none) {
                let Some(draft) = self.draft(i) else { continue };
                let status = if draft.alive {
                    Status::Resident
                } else {
                    Status::Deceased
                };
                self.set(i, births.number(draft.slot, false), Vec::new(), status);
            }
        }
    }

    fn set(&mut self, i: usize, nin: Option<Nin>, historic: Vec<Historic>, status: Status) {
        if let (Some(slot), Some(nin)) = (self.numbers.get_mut(i), nin) {
            *slot = Some((nin, historic, status));
        }
    }

    fn days_ago(&self, days: u64) -> Date {
        let span = i64::try_from(days).unwrap_or(0).days();
        self.nation
            .params
            .anchor
            .checked_sub(span)
            .unwrap_or(self.nation.params.anchor)
    }

    /// Name groups and surnames, the oldest first, since both run from parents to children.
    fn name(&mut self) {
        let mut order: Vec<usize> = (0..self.families.people.len()).collect();
        order.sort_by_key(|i| self.draft(*i).map(|p| (p.slot.born, *i)));
        for i in order {
            let Some(draft) = self.draft(i).cloned() else {
                continue;
            };
            let mut random = Stream::new(
                self.nation.params.seed,
                Kind::Names,
                u64::from(self.id(i).0),
            );
            let parent = draft.mother.or(draft.father);
            let elder_partner = draft
                .partner
                .filter(|p| self.surnames.get(*p).is_some_and(|s| !s.is_empty()));
            let inherited = parent
                .or(elder_partner.filter(|_| random.chance(8_800)))
                .and_then(|p| self.groups.get(p).copied().flatten());
            let town = draft
                .household
                .and_then(|h| self.homes.get(h))
                .map_or("", |h| h.municipality.number);
            let group = inherited.unwrap_or_else(|| naming::group(town, &mut random));
            if let Some(slot) = self.groups.get_mut(i) {
                *slot = Some(group);
            }
            let given = self.given(&draft, group, &mut random);
            if let Some(slot) = self.givens.get_mut(i) {
                *slot = given;
            }
            let (family, middle) = self.surname(&draft, group, elder_partner, &mut random);
            if let Some(slot) = self.surnames.get_mut(i) {
                *slot = family;
            }
            if let Some(slot) = self.middles.get_mut(i) {
                *slot = middle;
            }
        }
    }

    /// A first name that no brother or sister has.
    fn given(&self, draft: &Draft, group: NameGroup, random: &mut Stream) -> String {
        let siblings = draft
            .mother
            .or(draft.father)
            .and_then(|p| self.children.get(p));
        let taken = |name: &String| {
            siblings
                .into_iter()
                .flatten()
                .any(|s| self.givens.get(*s) == Some(name))
        };
        let mut name = String::new();
        for _ in 0..5 {
            name = self
                .nation
                .naming
                .given(group, draft.slot.sex, draft.age, random);
            if !taken(&name) {
                break;
            }
        }
        name
    }

    fn surname(
        &self,
        draft: &Draft,
        group: NameGroup,
        elder_partner: Option<usize>,
        random: &mut Stream,
    ) -> (String, Option<String>) {
        let naming = &self.nation.naming;
        let own = |random: &mut Stream| naming.family(group, draft.slot.sex, random).to_owned();
        let of = |i: Option<usize>| {
            i.and_then(|i| self.surnames.get(i))
                .filter(|s| !s.is_empty())
                .cloned()
        };
        let (mothers, fathers) = (of(draft.mother), of(draft.father));
        let (family, middle) = match (mothers, fathers) {
            (Some(m), Some(f)) if m == f => (f, None),
            // full brothers and sisters share the choice
            (Some(m), Some(f)) => match self.family_stream(draft).below(100) {
                0..40 => (f, None),
                40..52 => (m, None),
                _ => (f, Some(m)),
            },
            (Some(one), None) | (None, Some(one)) => (one, None),
            (None, None) => {
                let family = own(random);
                let middle = random
                    .chance(2_200)
                    .then(|| own(random))
                    .filter(|m| *m != family);
                (family, middle)
            }
        };
        let shared = of(elder_partner)
            .filter(|_| draft.married || random.chance(2_000))
            .filter(|_| random.chance(5_200));
        match shared {
            Some(shared) => (shared, None),
            None => (family, middle),
        }
    }

    /// A stream that all children of one couple share.
    fn family_stream(&self, draft: &Draft) -> Stream {
        let mother = draft.mother.map_or(0, |m| u64::from(self.id(m).0));
        Stream::new(self.nation.params.seed, Kind::Names, mother | 1 << 41)
    }

    fn persons(&self) -> Vec<Person> {
        let mut persons: Vec<Person> = Vec::with_capacity(self.families.people.len());
        for (i, draft) in self.families.people.iter().enumerate() {
            let Some((nin, historic, status)) = self.numbers.get(i).cloned().flatten() else {
                continue;
            };
            let mut random = self.attributes(i);
            let home = draft.household.and_then(|h| self.homes.get(h));
            let resident = status == Status::Resident;
            let died = (!draft.alive).then(|| self.days_ago(1 + random.below(364)));
            let protection = home
                .filter(|_| draft.alive)
                .map_or(Protection::Unclassified, |h| h.protection);
            let group = self
                .groups
                .get(i)
                .copied()
                .flatten()
                .unwrap_or(NameGroup::General);
            persons.push(Person {
                id: self.id(i),
                key: None,
                story: None,
                what: None,
                nin,
                historic,
                name: PersonName {
                    given: self.givens.get(i).cloned().unwrap_or_default(),
                    middle: self.middles.get(i).cloned().flatten(),
                    family: self.surnames.get(i).cloned().unwrap_or_default(),
                },
                born: draft.slot.born,
                sex: draft.slot.sex,
                status,
                died,
                address: home
                    .filter(|_| draft.alive && status != Status::NotResident)
                    .and_then(|h| h.address.clone()),
                protection,
                protected_since: None,
                household: draft.household.map_or(0, |h| {
                    FIRST_BACKGROUND
                        + u32::try_from(self.cell).unwrap_or(0) * STRIDE
                        + u32::try_from(h).unwrap_or(0)
                }),
                nursing_home: draft.nursing_home,
                languages: languages(group, &mut random),
                marital: marital(draft),
                relations: self.relations(draft, i),
                guardianships: Vec::new(),
                powers: self.powers(draft, i, &mut random),
                gp: if resident && draft.alive {
                    self.gp(home, &mut random)
                } else {
                    None
                },
                hpr: None,
                digital: digital(draft.age, &mut random),
                kjernejournal: standing(&mut random),
            });
        }
        persons
    }

    fn relation(&self, kind: RelationKind, other: usize) -> Option<Relation> {
        let nin = self.numbers.get(other)?.as_ref()?.0;
        Some(Relation {
            kind,
            other: self.id(other),
            nin,
        })
    }

    fn relations(&self, draft: &Draft, i: usize) -> Vec<Relation> {
        use RelationKind as K;
        let mut out: Vec<Option<Relation>> = Vec::new();
        let mut add =
            |kind, other: Option<usize>| out.push(other.and_then(|o| self.relation(kind, o)));
        add(K::Mother, draft.mother);
        add(K::Father, draft.father);
        if draft.age < 18 {
            let (both, mother, father) = match draft.responsibility {
                Responsibility::Joint => (true, false, false),
                Responsibility::Mother => (false, true, false),
                Responsibility::Father => (false, false, true),
                Responsibility::None => (false, false, false),
            };
            add(K::ResponsibleJoint, draft.mother.filter(|_| both));
            add(K::ResponsibleJoint, draft.father.filter(|_| both));
            add(K::ResponsibleAlone, draft.mother.filter(|_| mother));
            add(K::ResponsibleAlone, draft.father.filter(|_| father));
            add(K::StepParent, draft.step_parent);
        }
        add(
            if draft.married { K::Spouse } else { K::Partner },
            draft.partner,
        );
        add(K::Spouse, draft.late);
        add(K::FormerSpouse, draft.former);
        for child in self.children.get(i).into_iter().flatten() {
            add(K::Child, Some(*child));
        }
        out.into_iter().flatten().collect()
    }

    /// 4 % of those over 70 have given a grown-up child a power of attorney.
    fn powers(&self, draft: &Draft, i: usize, random: &mut Stream) -> Vec<PowerOfAttorney> {
        if draft.age < 70 || !draft.alive || !random.chance(700) {
            return Vec::new();
        }
        let from = self.days_ago(30 + random.below(900));
        let child =
            self.families.people.iter().position(|p| {
                p.alive && p.age >= 18 && (p.mother == Some(i) || p.father == Some(i))
            });
        child
            .and_then(|c| {
                let nin = self.numbers.get(c)?.as_ref()?.0;
                Some(PowerOfAttorney {
                    holder: self.id(c),
                    nin,
                    areas: &[1, 3],
                    from,
                })
            })
            .into_iter()
            .collect()
    }

    fn gp(&self, home: Option<&Home>, random: &mut Stream) -> Option<GpRelation> {
        let town = home.map(|h| h.municipality.number)?;
        let since = self.days_ago(60 + random.below(4_000));
        let list = self
            .nation
            .fixed_list(town, random)
            .or_else(|| self.own_list(random))?;
        Some(list.relation(since, self.nation.params.anchor))
    }

    /// A list of this cell or of a neighbour.
    fn own_list(&self, random: &mut Stream) -> Option<&GpList> {
        let wanted = match random.below(10) {
            0 => [self.cell + 1, self.cell],
            1 => [self.cell.wrapping_sub(1), self.cell],
            _ => [self.cell, self.cell.wrapping_sub(1)],
        };
        let lists = &self.nation.directory;
        let of = |cell: u64| {
            let at = usize::try_from(cell).ok()?;
            lists
                .list_of_cell
                .get(at)
                .copied()
                .flatten()
                .and_then(|l| lists.lists.get(l))
        };
        wanted
            .into_iter()
            .find_map(of)
            .or_else(|| of(self.cell.wrapping_sub(1)))
            .or_else(|| of(0))
    }

    /// 12 of a thousand adults have a guardian; four in ten for money only.
    fn guardians(&self, persons: &mut [Person], random: &mut Stream) {
        let adults: Vec<(PersonId, Nin, i16)> = persons
            .iter()
            .filter(|p| p.is_resident() && p.historic.is_empty())
            .map(|p| (p.id, p.nin, p.age_on(self.nation.params.anchor)))
            .filter(|p| p.2 >= 25)
            .collect();
        let count = adults.len() * 12 / 1_000;
        for _ in 0..count {
            let (Some(ward), Some(guardian)) = (random.pick(&adults), random.pick(&adults)) else {
                return;
            };
            if ward.0 == guardian.0 || guardian.2 > 75 {
                continue;
            }
            let personal = random.chance(6_000);
            let from = self.days_ago(100 + random.below(4_000));
            if let Some(person) = persons.iter_mut().find(|p| p.id == ward.0) {
                person.guardianships = vec![Guardianship {
                    guardian: guardian.0,
                    nin: guardian.1,
                    personal,
                    financial: true,
                    from,
                }];
            }
        }
    }
}

fn address(municipality: &'static Municipality, random: &mut Stream) -> Option<Address> {
    let postcode = random.pick(municipality.postcodes())?;
    let streets = codes::names::streets();
    // each postcode has its own dozen of streets
    let first = postcode.code.bytes().fold(7_usize, |sum, b| {
        sum.wrapping_mul(31).wrapping_add(usize::from(b))
    });
    let street = streets
        .get((first + random.index(12) * 11) % streets.len().max(1))
        .copied()
        .unwrap_or("Storgata");
    let number = 1 + random.below(90);
    let letter = match random.below(10) {
        0 => " A",
        1 => " B",
        2 => " C",
        _ => "",
    };
    Some(Address {
        street: format!("{street} {number}{letter}"),
        postcode: postcode.code,
        place: postcode.place,
        municipality: postcode.municipality,
    })
}

fn languages(group: NameGroup, random: &mut Stream) -> Vec<&'static str> {
    match group {
        NameGroup::General if random.chance(1_100) => vec!["nn"],
        NameGroup::General => vec!["nb"],
        NameGroup::Sami if random.chance(4_000) => vec!["se", "nb"],
        NameGroup::Sami => vec!["nb"],
        _ if random.chance(3_000) => vec!["en", "nb"],
        _ => vec!["nb"],
    }
}

fn marital(draft: &Draft) -> Marital {
    if draft.married || (!draft.alive && draft.late.is_some()) {
        Marital::Married
    } else if draft.late.is_some() {
        Marital::Widowed
    } else if draft.former.is_some() {
        Marital::Divorced
    } else {
        Marital::Unmarried
    }
}

fn digital(age: i16, random: &mut Stream) -> Digital {
    let kind = random.below(100);
    match (age, kind) {
        (..16, _) => Digital::NoConsent,
        (80.., 0..30) => Digital::Reserved,
        (80.., 30..70) => Digital::NoConsent,
        (_, 0..2) => Digital::Reserved,
        (_, 2..10) => Digital::NoConsent,
        (_, 10..18) => Digital::BasisPlus,
        _ => Digital::Full,
    }
}

/// Reserved 0.1 %, restricted 0.2 %, has blocked somebody 0.03 %.
fn standing(random: &mut Stream) -> KjStanding {
    match random.below(10_000) {
        0..10 => KjStanding::Reserved,
        10..30 => KjStanding::Restricted,
        30..33 => KjStanding::BlockedSomebody,
        _ => KjStanding::Normal,
    }
}
