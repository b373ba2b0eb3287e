//! Two processes change the same entry: nobody's change is lost, and what was decided on an old state is decided anew.
//! On SQLite two registers over one store stand for two processes.

use crate::place::{Node, Place, everywhere};
use registers::gplists::choice::{Choice, Chosen};
use registers::gplists::record::{GpContract, OPEN};
use registers::gplists::{self, GpLists};
use registers::kernel::period::{Moment, Period};
use registers::parties::record::PartyRecord;
use registers::parties::{self, Parties};
use registers::personnel::record::{Competence, Personnel};
use registers::personnel::{self, PersonnelRegister, Short};
use registers::{PartyKind, PersonName, ServiceCode};
use std::collections::BTreeSet;

/// Runs with the stores of two processes.
fn two(repository: &str, test: impl Fn(&Node, &Node)) {
    everywhere(|place: &Place| {
        let first = place.start(repository);
        let second = place.is_shared().then(|| place.start(repository));
        test(&first, second.as_ref().unwrap_or(&first));
    });
}

fn short(text: &str) -> Short {
    Short::new(text).unwrap()
}

/// Does something the first time it is asked, and counts.
struct Once(u32);

impl Once {
    fn between(&mut self, other: impl FnOnce()) {
        self.0 += 1;
        if self.0 == 1 {
            other();
        }
    }
}

fn attribute(code: &str) -> ServiceCode {
    ServiceCode {
        list: "8666".to_owned(),
        code: code.to_owned(),
    }
}

fn party(her_id: u32) -> PartyRecord {
    PartyRecord::new(
        her_id,
        PartyKind::Organisation,
        "Fjordgløtt legesenter",
        "999977775",
        Moment(1),
    )
}

#[test]
fn a_party_keeps_both_changes() {
    two(parties::record::REPOSITORY, |first, second| {
        let here = Parties::open(first.store.clone(), first.grant()).unwrap();
        let there = Parties::open(second.store.clone(), second.grant()).unwrap();
        here.put(vec![party(1)]).unwrap();
        let mut asked = Once(0);
        let changed = here.update(1, Moment(5), |p| {
            asked.between(|| {
                let add = |p: &mut PartyRecord| p.attributes.push(attribute("there"));
                assert!(there.update(1, Moment(4), add).unwrap());
            });
            p.attributes.push(attribute("here"));
        });
        assert!(changed.unwrap());
        assert_eq!(asked.0, 2, "asked again after the other's change");
        there.follow().unwrap();
        for register in [&here, &there] {
            let held = register.get(1).unwrap();
            let codes: Vec<&str> = held.content.attributes.iter().map(|a| &*a.code).collect();
            assert_eq!(codes, ["there", "here"]);
        }
    });
}

#[test]
fn new_parties_have_numbers_of_their_own() {
    two(parties::record::REPOSITORY, |first, second| {
        let here = Parties::open(first.store.clone(), first.grant()).unwrap();
        let there = Parties::open(second.store.clone(), second.grant()).unwrap();
        let given: Vec<u32> = std::thread::scope(|scope| {
            let running: Vec<_> = [&here, &there]
                .into_iter()
                .map(|register| {
                    scope.spawn(|| {
                        let made = (0..10).map(|_| register.create(party).unwrap());
                        made.collect::<Vec<_>>()
                    })
                })
                .collect();
            let done = running.into_iter().map(|thread| thread.join().unwrap());
            done.flatten().collect()
        });
        let different: BTreeSet<u32> = given.iter().copied().collect();
        assert_eq!(different, (1..=20).collect());
    });
}

fn list(max_patients: u32) -> GpContract {
    GpContract {
        id: 1,
        office: 999_977_775,
        status: short(OPEN),
        max_patients,
        valid: Period::since(Moment(0)),
        ..GpContract::default()
    }
}

#[test]
fn a_contract_keeps_both_changes() {
    two(gplists::record::REPOSITORY, |first, second| {
        let here = GpLists::open(first.store.clone(), first.grant()).unwrap();
        here.create_contract(list(5)).unwrap();
        let there = GpLists::open(second.store.clone(), second.grant()).unwrap();
        let mut asked = Once(0);
        let done = here.edit_contract(1, Moment(5), |c| {
            asked.between(|| {
                let waits = |c: &mut GpContract| {
                    c.max_patients += 1;
                    Ok(())
                };
                there.edit_contract(1, Moment(4), waits).unwrap();
            });
            c.max_patients += 10;
            Ok(())
        });
        assert_eq!(done.unwrap().0.max_patients, 16);
        there.follow().unwrap();
        assert_eq!(there.contract(1).unwrap().max_patients, 16);
    });
}

#[test]
fn the_last_places_are_given_once() {
    const PLACES: usize = 3;
    two(gplists::record::REPOSITORY, |first, second| {
        let here = GpLists::open(first.store.clone(), first.grant()).unwrap();
        here.create_contract(list(u32::try_from(PLACES).unwrap()))
            .unwrap();
        let there = GpLists::open(second.store.clone(), second.grant()).unwrap();
        let choose = |lists: &GpLists, nins: std::ops::Range<u64>| -> Vec<Chosen> {
            let choice = |nin| Choice {
                nin,
                contract: 1,
                from: Moment(100),
                may_wait: true,
                begin: Short::default(),
                counts: false,
            };
            nins.map(|nin| lists.choose(choice(nin)).unwrap()).collect()
        };
        let mut chosen = std::thread::scope(|scope| {
            let other = scope.spawn(|| choose(&there, 20..28));
            let mut chosen = choose(&here, 10..18);
            chosen.extend(other.join().unwrap());
            chosen
        });
        here.follow().unwrap();
        assert_eq!(here.active_count(1, Moment(200)), PLACES);
        chosen.retain(|c| !matches!(c, Chosen::OnList(_)));
        let mut places: Vec<usize> = chosen
            .iter()
            .filter_map(|c| match c {
                Chosen::Waits(before) => Some(*before),
                _ => None,
            })
            .collect();
        places.sort_unstable();
        assert_eq!(places, (0..16 - PLACES).collect::<Vec<_>>());
        assert_eq!(here.contract(1).unwrap().waiting.len(), 16 - PLACES);
    });
}

fn nobody() -> Personnel {
    Personnel::new(0, PersonName::default())
}

#[test]
fn a_health_person_keeps_both_changes() {
    two(personnel::record::REPOSITORY, |first, second| {
        let here = PersonnelRegister::open(first.store.clone(), first.grant()).unwrap();
        let made = here.create(nobody()).unwrap();
        let there = PersonnelRegister::open(second.store.clone(), second.grant()).unwrap();
        let add = |p: &mut Personnel, kind: &str| {
            let no = p.next_part();
            let competence = Competence {
                no,
                kind: short(kind),
                valid: Period::ALWAYS,
                ..Competence::default()
            };
            p.approvals.push(personnel::Approval::default());
            p.approvals
                .last_mut()
                .unwrap()
                .seldom
                .competences
                .push(competence);
        };
        let mut asked = Once(0);
        let (held, ()) = here
            .edit(made.id, (Moment(5), "here"), |p| {
                asked.between(|| {
                    let (_, ()) = there
                        .edit(made.id, (Moment(4), "there"), |p| {
                            add(p, "1");
                            Ok(())
                        })
                        .unwrap();
                });
                add(p, "2");
                Ok(())
            })
            .unwrap();
        let held = personnel::register::person(&held).unwrap();
        let kinds: Vec<&str> = held
            .approvals
            .iter()
            .flat_map(|a| &a.seldom.competences)
            .map(|c| c.kind.as_str())
            .collect();
        assert_eq!(kinds, ["1", "2"]);
        let numbers: BTreeSet<u16> = held
            .approvals
            .iter()
            .flat_map(|a| &a.seldom.competences)
            .map(|c| c.no)
            .collect();
        assert_eq!(numbers.len(), 2, "parts have numbers of their own");
    });
}

#[test]
fn hpr_numbers_are_given_once() {
    two(personnel::record::REPOSITORY, |first, second| {
        let here = PersonnelRegister::open(first.store.clone(), first.grant()).unwrap();
        let there = PersonnelRegister::open(second.store.clone(), second.grant()).unwrap();
        let given: Vec<u32> = std::thread::scope(|scope| {
            let running: Vec<_> = [&here, &there]
                .into_iter()
                .map(|register| {
                    scope.spawn(|| {
                        let made = (0..6).flat_map(|_| {
                            let made = register.create(nobody()).unwrap();
                            let mut numbers = register.reserve(2).unwrap();
                            numbers.push(personnel::register::person(&made).unwrap().hpr);
                            numbers
                        });
                        made.collect::<Vec<_>>()
                    })
                })
                .collect();
            let done = running.into_iter().map(|thread| thread.join().unwrap());
            done.flatten().collect()
        });
        let different: BTreeSet<u32> = given.iter().copied().collect();
        assert_eq!(different.len(), 36);
    });
}
