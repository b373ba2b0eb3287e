//! Who may log in as a citizen, and who may act for whom (spec/privacy.md §6.1, spec/helsenorge.md §2.1-§2.2).
//!
//! The rules are plain functions over register entries; [`Trust::represented_by`] gathers the entries. What a
//! representative may then see is another question, which [`crate::may()`] answers.

use crate::gather::{Trust, oslo_date};
use crate::settings::Setting;
use jiff::civil::Date;
use registers::{Address, Directory, FNR_SYSTEM, Person, Protection, RelationKind};
use std::collections::BTreeSet;
use store::StoreError;

use crate::Representation;

/// From this birthday on people log in themselves. 13 to 15 need a parent's consent, which is not kept yet: no login.
pub const OWN_LOGIN_AGE: i16 = 16;
/// Whoever holds a power of attorney is of age.
pub const ATTORNEY_AGE: i16 = 18;

/// Which parents act for a child when only one lives with it (`parent.address_rule`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressRule {
    /// Both, if one or both live there.
    #[default]
    Any,
    /// Only who lives there.
    Own,
}

/// Why somebody may not log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoLogin {
    /// The register does not have her.
    Unknown,
    /// She is dead.
    Deceased,
    /// Too young for an own login.
    TooYoung,
}

/// Whether a person may log in on a day.
pub fn may_log_in(person: Option<&Person>, day: Date) -> Result<(), NoLogin> {
    let person = person.ok_or(NoLogin::Unknown)?;
    if person.died.is_some() {
        return Err(NoLogin::Deceased);
    }
    // No birth date: adult rules.
    if person.age_on(day).is_some_and(|age| age < OWN_LOGIN_AGE) {
        return Err(NoLogin::TooYoung);
    }
    Ok(())
}

/// Kode 6 and 7: such a person represents nobody and is represented by nobody.
fn is_protected(person: &Person) -> bool {
    matches!(
        person.protection,
        Protection::Confidential | Protection::StrictlyConfidential
    )
}

fn is_responsible(child: &Person, parent: &Person) -> bool {
    child.relations.iter().any(|r| {
        r.kind == RelationKind::ParentalResponsibility
            && (r.nin == parent.nin || parent.historic.contains(&r.nin))
    })
}

/// Whether a parent may act for a child on a day. `parents`: everybody who stands on the child as parent or as responsible,
/// the acting one included.
pub fn parent_may_act(
    acting: &Person,
    child: &Person,
    parents: &[Person],
    rule: AddressRule,
    day: Date,
) -> bool {
    let is_child = child.age_on(day).is_some_and(|age| age < OWN_LOGIN_AGE);
    let alive = acting.died.is_none() && child.died.is_none();
    if !is_child || !alive || !is_responsible(child, acting) {
        return false;
    }
    // One protected parent closes it for both: the address of the child would be the way to theirs.
    if is_protected(child) || is_protected(acting) || parents.iter().any(is_protected) {
        return false;
    }
    let lives_there = |parent: &Person| match (&parent.address, &child.address) {
        (Some(parents), Some(childs)) => same_home(parents, childs),
        _ => false,
    };
    // Without a Norwegian address nobody represents.
    acting.address.is_some()
        && match rule {
            AddressRule::Own => lives_there(acting),
            AddressRule::Any => parents
                .iter()
                .filter(|parent| is_responsible(child, parent) && parent.died.is_none())
                .any(lives_there),
        }
}

fn same_home(a: &Address, b: &Address) -> bool {
    (&a.street, &a.postcode, &a.municipality) == (&b.street, &b.postcode, &b.municipality)
}

/// Whether a power of attorney holds on a day.
pub fn attorney_may_act(acting: &Person, giver: &Person, day: Date) -> bool {
    let of_age = |person: &Person, age: i16| person.age_on(day).is_some_and(|found| found >= age);
    acting.nin != giver.nin
        && acting.died.is_none()
        && giver.died.is_none()
        && of_age(acting, ATTORNEY_AGE)
        && of_age(giver, OWN_LOGIN_AGE)
        && !is_protected(acting)
        && !is_protected(giver)
}

/// Everybody who stands on a child as parent or as responsible.
fn parents_of(child: &Person, directory: &dyn Directory) -> Vec<Person> {
    let kinds = [
        RelationKind::Mother,
        RelationKind::Father,
        RelationKind::ParentalResponsibility,
    ];
    let nins: BTreeSet<&str> = child
        .relations
        .iter()
        .filter(|r| kinds.contains(&r.kind))
        .map(|r| r.nin.as_str())
        .collect();
    nins.into_iter()
        .filter_map(|nin| directory.person(nin))
        .collect()
}

impl Trust {
    /// Whether somebody may log in as a citizen today (rules' clock).
    pub fn may_log_in(&self, nin: &str) -> Result<(), NoLogin> {
        may_log_in(self.directory().person(nin).as_ref(), oslo_date(self.now()))
    }

    /// Everybody a person may act for today: her children, then those who have given her power of attorney. Reads the
    /// store; may block.
    pub fn represented_by(&self, nin: &str) -> Result<Vec<(Person, Representation)>, StoreError> {
        let directory = self.directory();
        let day = oslo_date(self.now());
        let Some(acting) = directory.person(nin) else {
            return Ok(Vec::new());
        };
        if is_protected(&acting) {
            return Ok(Vec::new());
        }
        let rule = self.config().address_rule;
        let mut found: Vec<(Person, Representation)> = acting
            .relations
            .iter()
            .filter(|r| r.kind == RelationKind::Child)
            .filter_map(|r| directory.person(&r.nin))
            .filter(|child| {
                let parents = parents_of(child, directory.as_ref());
                parent_may_act(&acting, child, &parents, rule, day)
            })
            .map(|child| (child, Representation::Parent))
            .collect();
        let snapshot = self.store().snapshot()?;
        let key = self.store().intern_person(FNR_SYSTEM, &acting.nin)?;
        for row in self.powers_of(&snapshot, key)? {
            let Setting::PowerOfAttorney {
                giver,
                areas,
                is_assigned,
                ..
            } = row.setting
            else {
                continue;
            };
            let Some(giver) = directory.person(&giver) else {
                continue;
            };
            let ground = if is_assigned {
                Representation::Assigned
            } else {
                Representation::Attorney(areas)
            };
            let known = found.iter().any(|(person, _)| person.nin == giver.nin);
            if !known && attorney_may_act(&acting, &giver, day) {
                found.push((giver, ground));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use registers::{PersonName, Relation, Sex};

    const DAY: Date = date(2026, 11, 23);

    fn person(nin: &str, born: Date, home: Option<&str>) -> Person {
        Person {
            nin: nin.to_owned(),
            historic: Vec::new(),
            name: PersonName::default(),
            born: Some(born),
            sex: Sex::Female,
            address: home.map(|street| Address {
                street: street.to_owned(),
                postcode: "9011".to_owned(),
                ..Address::default()
            }),
            protection: Protection::Unclassified,
            died: None,
            language: None,
            relations: Vec::new(),
            gp: None,
            story: None,
        }
    }

    fn family() -> (Person, Person, Person) {
        let mother = person("mother", date(1986, 3, 27), Some("A 1"));
        let father = person("father", date(1984, 11, 8), Some("B 2"));
        let mut child = person("child", date(2018, 1, 1), Some("A 1"));
        for parent in ["mother", "father"] {
            child.relations.push(Relation {
                kind: RelationKind::ParentalResponsibility,
                nin: parent.to_owned(),
            });
        }
        (mother, father, child)
    }

    type Change = fn(&mut Person, &mut Person, &mut Person);

    #[test]
    fn parents() {
        // What is changed; then: mother under "any", mother under "own", father under "any", father under "own".
        let table: [(&str, Change, [bool; 4]); 12] = [
            ("as it is", |_, _, _| {}, [true, true, true, false]),
            (
                "the child lives with nobody",
                |_, _, c| c.address = person("", DAY, Some("C 3")).address,
                [false; 4],
            ),
            (
                "no address of the child",
                |_, _, c| c.address = None,
                [false; 4],
            ),
            (
                "father abroad",
                |_, f, _| f.address = None,
                [true, true, false, false],
            ),
            ("mother abroad", |m, _, _| m.address = None, [false; 4]),
            (
                "kode 7 on the child",
                |_, _, c| c.protection = Protection::Confidential,
                [false; 4],
            ),
            (
                "kode 6 on the father",
                |_, f, _| f.protection = Protection::StrictlyConfidential,
                [false; 4],
            ),
            (
                "client address is no protection of this kind",
                |m, _, _| m.protection = Protection::ClientAddress,
                [true, true, true, false],
            ),
            (
                "the day before 16",
                |_, _, c| c.born = Some(date(2010, 11, 24)),
                [true, true, true, false],
            ),
            (
                "16 today",
                |_, _, c| c.born = Some(date(2010, 11, 23)),
                [false; 4],
            ),
            ("no birth date", |_, _, c| c.born = None, [false; 4]),
            (
                "only family, no responsibility",
                |_, _, c| {
                    c.relations
                        .iter_mut()
                        .for_each(|r| r.kind = RelationKind::Mother)
                },
                [false; 4],
            ),
        ];
        for (what, change, expected) in table {
            let (mut mother, mut father, mut child) = family();
            change(&mut mother, &mut father, &mut child);
            let parents = [mother.clone(), father.clone()];
            let mut found = Vec::new();
            for acting in [&mother, &father] {
                for rule in [AddressRule::Any, AddressRule::Own] {
                    found.push(parent_may_act(acting, &child, &parents, rule, DAY));
                }
            }
            assert_eq!(found, expected, "{what}");
        }
        let (_, father, child) = family();
        let mut dead = father.clone();
        dead.died = Some(date(2026, 1, 1));
        assert!(!parent_may_act(
            &dead,
            &child,
            &[dead.clone()],
            AddressRule::Any,
            DAY
        ));
        let stranger = person("stranger", date(1980, 1, 1), Some("A 1"));
        let all = [father, stranger.clone()];
        assert!(!parent_may_act(
            &stranger,
            &child,
            &all,
            AddressRule::Any,
            DAY
        ));
    }

    #[test]
    fn attorneys() {
        let table: [(&str, Date, Date, bool); 5] = [
            ("both of age", date(1970, 1, 1), date(1940, 1, 1), true),
            ("18 today", date(2008, 11, 23), date(1940, 1, 1), true),
            ("not 18 yet", date(2008, 11, 24), date(1940, 1, 1), false),
            ("giver 16 today", date(1970, 1, 1), date(2010, 11, 23), true),
            (
                "giver not 16 yet",
                date(1970, 1, 1),
                date(2010, 11, 24),
                false,
            ),
        ];
        for (what, acting, giver, expected) in table {
            let (acting, giver) = (person("a", acting, None), person("g", giver, None));
            assert_eq!(attorney_may_act(&acting, &giver, DAY), expected, "{what}");
            let mut hidden = giver.clone();
            hidden.protection = Protection::Confidential;
            assert!(!attorney_may_act(&acting, &hidden, DAY), "{what}");
            let mut dead = acting.clone();
            dead.died = Some(DAY);
            assert!(!attorney_may_act(&dead, &giver, DAY), "{what}");
            assert!(!attorney_may_act(&giver, &giver, DAY), "{what}");
        }
    }

    #[test]
    fn own_login() {
        let mut someone = person("p", date(2010, 11, 23), None);
        assert_eq!(may_log_in(Some(&someone), DAY), Ok(()));
        someone.born = Some(date(2010, 11, 24));
        assert_eq!(may_log_in(Some(&someone), DAY), Err(NoLogin::TooYoung));
        someone.born = None;
        assert_eq!(may_log_in(Some(&someone), DAY), Ok(()));
        someone.died = Some(DAY);
        assert_eq!(may_log_in(Some(&someone), DAY), Err(NoLogin::Deceased));
        assert_eq!(may_log_in(None, DAY), Err(NoLogin::Unknown));
    }
}
