//! Families and households of one cell: who is whose child and partner, and who lives with whom.
//!
//! Order: children and their mothers, fathers, split families, further couples, grown-up children, nursing homes, the rest.
//! Shares are those of the story's chapter on the statistical nation; every rule keeps a parent between 16 and 54 years
//! older than the child, and an adult with every child.

use codes::ident::Sex;
use jiff::civil::Date;

use super::births::Slot;
use crate::rng::Stream;

/// A person of the cell while the families are being made.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) slot: Slot,
    pub(crate) age: i16,
    pub(crate) alive: bool,
    pub(crate) mother: Option<usize>,
    pub(crate) father: Option<usize>,
    pub(crate) responsibility: Responsibility,
    pub(crate) partner: Option<usize>,
    pub(crate) married: bool,
    /// Former husband or wife.
    pub(crate) former: Option<usize>,
    /// Dead husband or wife, or the widow or widower of a dead person.
    pub(crate) late: Option<usize>,
    /// Partner of the parent with whom the child lives, who is not a parent.
    pub(crate) step_parent: Option<usize>,
    pub(crate) household: Option<usize>,
    pub(crate) nursing_home: bool,
    children: u8,
    /// The other parent of one's children.
    co_parent: Option<usize>,
}

/// Who has parental responsibility for a child.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Responsibility {
    None,
    Joint,
    Mother,
    Father,
}

impl Draft {
    pub(crate) fn new(slot: Slot, alive: bool, anchor: Date) -> Self {
        Self {
            slot,
            age: crate::model::age(slot.born, anchor),
            alive,
            mother: None,
            father: None,
            responsibility: Responsibility::None,
            partner: None,
            married: false,
            former: None,
            late: None,
            step_parent: None,
            household: None,
            nursing_home: false,
            children: 0,
            co_parent: None,
        }
    }

    fn is(&self, sex: Sex) -> bool {
        self.slot.sex == sex
    }
}

/// Persons and households of a cell.
pub(crate) struct Families {
    pub(crate) people: Vec<Draft>,
    /// Members by index, the eldest adult first.
    pub(crate) households: Vec<Vec<usize>>,
}

const MIN_PARENT: i16 = 16;
const MAX_PARENT: i16 = 54;

impl Families {
    pub(crate) fn build(people: Vec<Draft>, random: &mut Stream) -> Self {
        let mut families = Self {
            people,
            households: Vec::new(),
        };
        families.children(random);
        families.couples(random);
        families.grown_up_children(random);
        families.parents_elsewhere(random);
        families.widows(random);
        families.nursing_homes(random);
        families.the_rest(random);
        families.nobody_under_age_alone();
        for household in &mut families.households {
            household
                .sort_by_key(|i| std::cmp::Reverse(families.people.get(*i).map_or(0, |p| p.age)));
        }
        families.households.retain(|h| !h.is_empty());
        for (number, household) in families.households.iter().enumerate() {
            for i in household {
                if let Some(p) = families.people.get_mut(*i) {
                    p.household = Some(number);
                }
            }
        }
        families
    }

    fn age(&self, i: usize) -> i16 {
        self.people.get(i).map_or(0, |p| p.age)
    }

    /// Living persons for whom `keep` holds, in index order.
    fn living(&self, keep: impl Fn(&Draft) -> bool) -> Vec<usize> {
        self.people
            .iter()
            .enumerate()
            .filter(|(_, p)| p.alive && keep(p))
            .map(|(i, _)| i)
            .collect()
    }

    fn edit(&mut self, i: usize, change: impl FnOnce(&mut Draft)) {
        if let Some(p) = self.people.get_mut(i) {
            change(p);
        }
    }

    /// The candidate whose age is nearest to the wanted one; the first of equals.
    fn nearest(
        &self,
        candidates: &[usize],
        wanted: f64,
        fits: impl Fn(i16) -> bool,
    ) -> Option<usize> {
        candidates
            .iter()
            .copied()
            .filter(|c| fits(self.age(*c)))
            .min_by_key(|c| (f64::from(self.age(*c)) - wanted).abs() as i64)
    }

    fn house(&mut self, members: Vec<usize>) -> usize {
        let number = self.households.len();
        for i in &members {
            self.edit(*i, |p| p.household = Some(number));
        }
        self.households.push(members);
        number
    }

    fn join(&mut self, household: usize, i: usize) {
        if let Some(members) = self.households.get_mut(household) {
            members.push(i);
            self.edit(i, |p| p.household = Some(household));
        }
    }

    /// Sibling groups with their parents.
    fn children(&mut self, random: &mut Stream) {
        let mut pool = self.living(|p| p.age < 18);
        random.shuffle(&mut pool);
        let mut women =
            self.living(|p| p.is(Sex::Female) && p.age >= 18 && p.age <= 17 + MAX_PARENT);
        random.shuffle(&mut women);
        let mut men = self.living(|p| p.is(Sex::Male) && p.age >= 18 && p.age <= 17 + MAX_PARENT);
        random.shuffle(&mut men);
        while let Some(first) = pool.pop() {
            let mut siblings = vec![first];
            let size = random.weighted(&[0, 26, 48, 20, 6]);
            while siblings.len() < size {
                let Some(at) = pool.iter().position(|c| {
                    siblings
                        .iter()
                        .all(|s| (1..=9).contains(&(self.age(*s) - self.age(*c)).abs()))
                        && siblings
                            .iter()
                            .any(|s| (self.age(*s) - self.age(*c)).abs() <= 4)
                }) else {
                    break;
                };
                siblings.push(pool.swap_remove(at));
            }
            self.family(&siblings, &mut women, &mut men, random);
        }
    }

    fn family(
        &mut self,
        siblings: &[usize],
        women: &mut Vec<usize>,
        men: &mut Vec<usize>,
        random: &mut Stream,
    ) {
        let ages: Vec<i16> = siblings.iter().map(|s| self.age(*s)).collect();
        let (youngest, oldest) = (
            ages.iter().copied().min().unwrap_or(0),
            ages.iter().copied().max().unwrap_or(0),
        );
        let fits = |age: i16| age - oldest >= MIN_PARENT && age - youngest <= MAX_PARENT - 4;
        let middle = f64::from(youngest + oldest) / 2.0;
        let wanted = middle + random.normal(30.5, 5.0);
        let Some(mother) = self.nearest(women, wanted, fits) else {
            self.with_father_or_anybody(siblings, men, fits);
            return;
        };
        women.retain(|w| *w != mother);
        let wanted = f64::from(self.age(mother)) + random.normal(2.3, 4.0);
        let father = if random.chance(9_600) {
            self.nearest(men, wanted, fits)
        } else {
            None
        };
        if let Some(father) = father {
            men.retain(|m| *m != father);
        }
        let split = father.is_none() || random.chance(2_500);
        let responsibility = match (father, split) {
            (None, _) => Responsibility::Mother,
            (Some(_), false) => Responsibility::Joint,
            (Some(_), true) => match random.below(100) {
                0..88 => Responsibility::Joint,
                88..98 => Responsibility::Mother,
                _ => Responsibility::Father,
            },
        };
        let number = u8::try_from(siblings.len()).unwrap_or(u8::MAX);
        for s in siblings {
            self.edit(*s, |p| {
                p.mother = Some(mother);
                p.father = father;
                p.responsibility = responsibility;
            });
        }
        for parent in [Some(mother), father].into_iter().flatten() {
            self.edit(parent, |p| p.children = p.children.saturating_add(number));
        }
        if let Some(father) = father {
            self.edit(mother, |p| p.co_parent = Some(father));
            self.edit(father, |p| p.co_parent = Some(mother));
        }
        match (father, split) {
            (Some(father), false) => {
                let married = random.chance(7_200);
                self.couple(mother, father, married);
                let mut members = vec![mother, father];
                members.extend_from_slice(siblings);
                self.house(members);
            }
            (Some(father), true) => {
                if random.chance(6_000) {
                    self.edit(mother, |p| p.former = Some(father));
                    self.edit(father, |p| p.former = Some(mother));
                }
                // shared residence counts at the mother's, as the register's address does
                let with_father = responsibility == Responsibility::Father || random.chance(1_000);
                let (home, away) = if with_father {
                    (father, mother)
                } else {
                    (mother, father)
                };
                let mut members = vec![home];
                members.extend_from_slice(siblings);
                self.house(members);
                self.house(vec![away]);
            }
            (None, _) => {
                let mut members = vec![mother];
                members.extend_from_slice(siblings);
                self.house(members);
            }
        }
    }

    /// Very small cells only: no woman of a fitting age is left.
    fn with_father_or_anybody(
        &mut self,
        siblings: &[usize],
        men: &mut Vec<usize>,
        fits: impl Fn(i16) -> bool,
    ) {
        if let Some(father) = self.nearest(men, 40.0, &fits) {
            men.retain(|m| *m != father);
            for s in siblings {
                self.edit(*s, |p| {
                    p.father = Some(father);
                    p.responsibility = Responsibility::Father;
                });
            }
            let mut members = vec![father];
            members.extend_from_slice(siblings);
            self.house(members);
        }
        // else: placed with some adult by nobody_under_age_alone
    }

    fn couple(&mut self, a: usize, b: usize, married: bool) {
        self.edit(a, |p| {
            p.partner = Some(b);
            p.married = married;
        });
        self.edit(b, |p| {
            p.partner = Some(a);
            p.married = married;
        });
    }

    /// Couples without small children, and new partners of the parents of split families.
    fn couples(&mut self, random: &mut Stream) {
        let mut women = self.living(|p| p.is(Sex::Female) && p.age >= 20 && p.partner.is_none());
        random.shuffle(&mut women);
        let mut men = self.living(|p| p.is(Sex::Male) && p.age >= 20 && p.partner.is_none());
        random.shuffle(&mut men);
        for at in 0..women.len() {
            let Some(woman) = women.get(at).copied() else {
                break;
            };
            if self.people.get(woman).is_none_or(|p| p.partner.is_some()) {
                continue;
            }
            let age = self.age(woman);
            let share = match age {
                ..=24 => 1_500,
                25..=29 => 5_000,
                30..=70 if self.people.get(woman).is_some_and(|p| p.children > 0) => 3_500,
                30..=70 => 7_600,
                71..=79 => 5_000,
                _ => 3_000,
            };
            if !random.chance(share) {
                continue;
            }
            let same_sex = random.chance(200);
            let wanted = f64::from(age)
                + if same_sex {
                    0.0
                } else {
                    random.normal(2.3, 4.0)
                };
            let co_parent = self.people.get(woman).and_then(|p| p.co_parent);
            let near = |other: i16| (age - other).abs() <= 14;
            let pool = if same_sex { &women } else { &men };
            let free: Vec<usize> = pool
                .iter()
                .copied()
                .filter(|c| *c != woman && Some(*c) != co_parent)
                .filter(|c| self.people.get(*c).is_some_and(|p| p.partner.is_none()))
                .collect();
            let Some(other) = self.nearest(&free, wanted, near) else {
                continue;
            };
            let married = random.chance(if age < 30 { 3_000 } else { 7_600 });
            self.couple(woman, other, married);
            self.move_together(woman, other);
        }
    }

    fn move_together(&mut self, a: usize, b: usize) {
        let home = |s: &Self, i: usize| s.people.get(i).and_then(|p| p.household);
        match (home(self, a), home(self, b)) {
            (None, None) => {
                self.house(vec![a, b]);
            }
            (Some(h), None) => self.join(h, b),
            (None, Some(h)) => self.join(h, a),
            (Some(h), Some(other)) => {
                let moving = self
                    .households
                    .get_mut(other)
                    .map(std::mem::take)
                    .unwrap_or_default();
                for i in moving {
                    self.join(h, i);
                }
            }
        }
        for (one, other) in [(a, b), (b, a)] {
            let household = home(self, one);
            if self.people.get(one).is_none_or(|p| p.children == 0) {
                continue;
            }
            for p in &mut self.people {
                let mine = p.mother == Some(one) || p.father == Some(one);
                let theirs = p.mother == Some(other) || p.father == Some(other);
                if p.age < 18 && mine && !theirs && p.household == household && household.is_some()
                {
                    p.step_parent = Some(other);
                }
            }
        }
    }

    /// Young adults who still live with their parents.
    fn grown_up_children(&mut self, random: &mut Stream) {
        let mut young = self
            .living(|p| (18..=24).contains(&p.age) && p.household.is_none() && p.partner.is_none());
        random.shuffle(&mut young);
        for child in young {
            if !random.chance(6_500) {
                continue;
            }
            let age = self.age(child);
            let mothers = self.living(|p| {
                p.is(Sex::Female)
                    && p.household.is_some()
                    && p.children < 4
                    && (MIN_PARENT + 4..=42).contains(&(p.age - age))
            });
            let Some(mother) = random.pick(&mothers).copied() else {
                continue;
            };
            self.adopt(child, mother);
            if let Some(home) = self.people.get(mother).and_then(|p| p.household) {
                self.join(home, child);
            }
        }
    }

    /// Makes a woman and, if his age allows, her partner the parents of a grown-up.
    fn adopt(&mut self, child: usize, mother: usize) {
        let age = self.age(child);
        let partner = self.people.get(mother).and_then(|p| p.partner);
        let father = partner.filter(|f| {
            self.people.get(*f).is_some_and(|p| p.is(Sex::Male))
                && (MIN_PARENT..=MAX_PARENT).contains(&(self.age(*f) - age))
        });
        self.edit(child, |p| {
            p.mother = Some(mother);
            p.father = father;
        });
        for parent in [Some(mother), father].into_iter().flatten() {
            self.edit(parent, |p| p.children = p.children.saturating_add(1));
        }
    }

    /// Half of the other adults have their mother among the older women of the cell.
    fn parents_elsewhere(&mut self, random: &mut Stream) {
        let mut adults =
            self.living(|p| (18..=62).contains(&p.age) && p.mother.is_none() && p.father.is_none());
        random.shuffle(&mut adults);
        let mothers = self.living(|p| p.is(Sex::Female) && p.age >= 40);
        for child in adults {
            if !random.chance(5_500) {
                continue;
            }
            let age = self.age(child);
            let kin = |p: &Draft, c: usize| p.mother == Some(c) || p.father == Some(c);
            let partner = self.people.get(child).and_then(|p| p.partner);
            let fitting: Vec<usize> = mothers
                .iter()
                .copied()
                .filter(|m| *m != child && (19..=42).contains(&(self.age(*m) - age)))
                .filter(|m| {
                    self.people
                        .get(*m)
                        .is_some_and(|p| p.children < 4 && p.partner != Some(child))
                })
                // not the mother of one's own partner
                .filter(|m| {
                    partner
                        .and_then(|q| self.people.get(q))
                        .is_none_or(|q| !kin(q, *m))
                })
                .collect();
            if let Some(mother) = random.pick(&fitting).copied() {
                self.adopt(child, mother);
            }
        }
    }

    /// The dead were somebody's wife or husband.
    fn widows(&mut self, random: &mut Stream) {
        let dead: Vec<usize> = self
            .people
            .iter()
            .enumerate()
            .filter(|(_, p)| !p.alive)
            .map(|(i, _)| i)
            .collect();
        for late in dead {
            if !random.chance(6_500) {
                continue;
            }
            let Some(sex) = self.people.get(late).map(|p| p.slot.sex) else {
                continue;
            };
            let free = self
                .living(|p| !p.is(sex) && p.age >= 60 && p.partner.is_none() && p.late.is_none());
            let age = self.age(late);
            if let Some(left) = self.nearest(&free, f64::from(age), |a| (a - age).abs() <= 10) {
                self.edit(left, |p| p.late = Some(late));
                self.edit(late, |p| p.late = Some(left));
            }
        }
    }

    /// About eight of a thousand, nearly all over 80.
    fn nursing_homes(&mut self, random: &mut Stream) {
        let mut old = self.living(|p| p.age >= 80 && p.household.is_none());
        random.shuffle(&mut old);
        let places = self.living(|_| true).len() * 8 / 1_000;
        for i in old.into_iter().take(places) {
            self.edit(i, |p| p.nursing_home = true);
            self.house(vec![i]);
        }
    }

    /// Three generations, shared flats, and those who live alone.
    fn the_rest(&mut self, random: &mut Stream) {
        let mut rest = self.living(|p| p.age >= 18 && p.household.is_none());
        random.shuffle(&mut rest);
        let mut flat: Option<(usize, usize)> = None;
        for i in rest {
            let age = self.age(i);
            if age >= 70 && random.chance(400) {
                let child = self.living(|p| {
                    (p.mother == Some(i) || p.father == Some(i)) && p.household.is_some()
                });
                if let Some(home) = child
                    .first()
                    .and_then(|c| self.people.get(*c))
                    .and_then(|p| p.household)
                {
                    self.join(home, i);
                    continue;
                }
            }
            if age < 30 && random.chance(4_500) {
                match flat {
                    Some((home, left)) => {
                        self.join(home, i);
                        flat = (left > 1).then_some((home, left - 1));
                    }
                    None => flat = Some((self.house(vec![i]), random.weighted(&[0, 6, 3, 1]))),
                }
                continue;
            }
            self.house(vec![i]);
        }
    }

    /// A child without parents in the cell lives with an adult of it.
    fn nobody_under_age_alone(&mut self) {
        for child in self.living(|p| p.age < 18 && p.household.is_none()) {
            let adult = self.living(|p| p.age >= 18 && p.household.is_some() && !p.nursing_home);
            match adult
                .first()
                .and_then(|a| self.people.get(*a))
                .and_then(|p| p.household)
            {
                Some(home) => self.join(home, child),
                None => {
                    self.house(vec![child]);
                }
            }
        }
    }
}
