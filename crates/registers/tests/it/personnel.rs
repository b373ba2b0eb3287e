//! The personnel register on a store: what becomes of a person, and of numbers.

use crate::place::{Node, everywhere};
use jiff::civil::date;
use registers::PersonName;
use registers::kernel::period::{Moment, Period};
use registers::personnel::record::*;
use registers::personnel::register::{PersonnelRegister, WriteError, person};
use registers::personnel::search::Search;

fn short(text: &str) -> Short {
    Short::new(text).unwrap()
}

fn name(given: &str, family: &str) -> PersonName {
    PersonName {
        given: given.into(),
        middle: None,
        family: family.into(),
    }
}

fn day(year: i16) -> Moment {
    Moment::of_day(date(year, 1, 1))
}

fn doctor(hpr: u32, nin: u64) -> Personnel {
    let mut p = Personnel::new(hpr, name("Vakker", "Blomst"));
    p.nin = Some(nin);
    let no = p.next_part();
    p.approvals.push(Approval {
        no,
        profession: short("LE"),
        authorisation: short("1"),
        valid: Period::since(day(2000)),
        ..Approval::default()
    });
    p
}

fn open(node: &Node) -> PersonnelRegister {
    PersonnelRegister::open(node.store.clone(), node.grant()).unwrap()
}

#[test]
fn the_life_of_a_person() {
    everywhere(|place| life(&open(&place.start(REPOSITORY))));
}

fn life(register: &PersonnelRegister) {
    let made = register.create(doctor(100, 13_116_900_216)).unwrap();
    let id = made.id;
    assert_eq!(
        register.create(doctor(101, 13_116_900_216)).unwrap_err(),
        WriteError::Taken
    );
    let found = register.by_nin("13116900216").unwrap();
    assert_eq!(person(&found).unwrap().hpr, 100);
    let (_, ()) = register
        .edit(id, (day(2021), "OrgUsr1"), |p| {
            p.approvals[0].seldom.competences.push(Competence {
                no: 3,
                kind: short("3"),
                valid: Period::ALWAYS,
                ..Competence::default()
            });
            Ok(())
        })
        .unwrap();
    register
        .edit(id, (day(2022), "OrgUsr1"), |_| Ok(()))
        .unwrap();
    let kinds: Vec<PersonnelEvent> = register
        .events(1, 10)
        .unwrap()
        .into_iter()
        .map(|e| e.kind)
        .collect();
    use PersonnelEvent::*;
    assert_eq!(
        kinds,
        [PersonCreated, PersonUpdated, SpecialCompetenceAdded]
    );
    let steps = register.steps(id, Moment(0)).unwrap();
    assert_eq!(steps.len(), 2);
    assert_eq!(steps[0].after.by, "OrgUsr1");
    assert!(steps[1].before.is_none());

    let other = register.create(doctor(200, 13_116_900_217)).unwrap();
    register.merge(100, 200, (day(2023), "OrgUsr1")).unwrap();
    for number in [100, 200] {
        assert_eq!(person(&register.by_hpr(number).unwrap()).unwrap().hpr, 100);
    }
    assert_eq!(
        person(&register.by_nin("13116900217").unwrap())
            .unwrap()
            .hpr,
        100
    );
    assert_eq!(
        register
            .edit(other.id, (day(2024), ""), |_| Ok(()))
            .unwrap_err(),
        WriteError::NotFound
    );
    assert!(register.merge(100, 100, (day(2024), "")).is_err());
    let found = register.search(
        &Search {
            family: Some("blomst".into()),
            ..Search::default()
        },
        0,
        10,
    );
    assert_eq!(
        (found.total, found.page.len()),
        (1, 1),
        "the merged one is not found"
    );
}

#[test]
fn numbers_are_set_aside_and_given() {
    everywhere(|place| numbers(&open(&place.start(REPOSITORY))));
}

fn numbers(register: &PersonnelRegister) {
    let reserved = register.reserve(3).unwrap();
    assert_eq!(reserved.len(), 3);
    let made = register
        .create(Personnel::new(0, name("Ny", "En")))
        .unwrap();
    assert!(!reserved.contains(&person(&made).unwrap().hpr));
    let mine = register
        .create(Personnel::new(reserved[0], name("Ny", "To")))
        .unwrap();
    assert_eq!(person(&mine).unwrap().hpr, reserved[0]);
    assert_eq!(register.settings().reserved, reserved[1..]);
    let (entry, part) = {
        let (held, no) = register
            .edit(mine.id, (day(2021), ""), |p| {
                let no = p.next_part();
                p.approvals.push(Approval {
                    no,
                    profession: short("SP"),
                    ..Approval::default()
                });
                Ok(no)
            })
            .unwrap();
        (held, no)
    };
    let number = PersonnelRegister::part_number(entry.no, part);
    assert_eq!(register.by_part(number).unwrap().1, part);
    for wrong in [-1, 0, i64::MAX, number + 1_000_000] {
        assert!(register.by_part(wrong).is_none(), "{wrong}");
    }
}
