//! The person register on the store: what is asked from the read form is what stands in the log, whatever happens to the
//! file and whoever wrote.

use crate::place::{Node, everywhere};
use registers::kernel::change::{ChangeError, Outcome};
use registers::kernel::identifiers::{Conflict, Packed};
use registers::kernel::period::Moment;
use registers::kernel::timeline::Origin;
use registers::kernel::{EntryId, EntryNo};
use registers::persons::codes::{AddressForm, PersonEvent, PersonStatus, ProtectionLevel};
use registers::persons::document::{Address, Birth, Identifier, Name, PersonDocument};
use registers::persons::life::{REPOSITORY, merge, split};
use registers::persons::register::Options;
use registers::persons::search::Query;
use registers::persons::{PersonRegister, life};
use std::path::Path;

const NOW: Moment = Moment(1_700_000_000_000);

fn number(n: u32) -> Packed {
    Packed(10_000_000_000 + u64::from(n))
}

fn id(n: u32) -> EntryId {
    EntryId((u128::from(n) + 1) << 64 | 7)
}

fn person(n: u32) -> PersonDocument {
    let mut p = PersonDocument::default();
    let since = Moment(0);
    let own = Identifier::parse(&number(n).text(11)).unwrap();
    let _ = p.identifiers.add(own, since, Origin::at(since));
    let name = Name {
        given: ["Kari", "Ola", "Åse"][n as usize % 3].into(),
        middle: None,
        family: format!("Fjell{}", ["en", "berg"][n as usize % 2]),
    };
    let _ = p.name.set(name, since, Origin::at(since));
    let birth = Birth {
        date: Some(jiff::civil::Date::constant(1970 + (n % 50) as i16, 3, 4)),
        ..Birth::default()
    };
    let _ = p.birth.set(birth, since, Origin::at(since));
    let _ = p
        .status
        .set(PersonStatus::Resident, since, Origin::at(since));
    let home = Address {
        form: AddressForm::Street,
        street: format!("Hemmeligveien{n}x"),
        number: "4".into(),
        letter: String::new(),
        unit: String::new(),
        care_of: String::new(),
        postcode: 301,
        place: "OSLO".into(),
        municipality: 301,
        district: None,
        basic_unit: None,
        moved: None,
        grading: ProtectionLevel::Unclassified,
        abroad: None,
        elsewhere: None,
    };
    let _ = p.residential.set(home, since, Origin::at(since));
    p
}

fn open(node: &Node, folder: &Path) -> PersonRegister {
    PersonRegister::open(node.store.clone(), node.grant(), Options::new(folder)).unwrap()
}

fn load(register: &PersonRegister, count: u32) {
    let all = (0..count).map(|n| (id(n), person(n)));
    let mut told = 0;
    assert_eq!(register.load(all, NOW, |n| told = n).unwrap(), count);
    assert_eq!(told, count);
}

fn names(register: &PersonRegister, query: &Query) -> Vec<u32> {
    let found = register.search(query, NOW, EntryNo(0), 1_000).unwrap();
    found.entries.iter().map(|e| e.0).collect()
}

/// What the read form says of everybody equals what the log says.
fn agrees_with_log(register: &PersonRegister) {
    let mut entries = 0;
    let everybody = register.log().scan(|entry| {
        let row = register.with(entry.no, |row| (row.id(), row.document()));
        let (row_id, row) = row.unwrap().expect("every entry has a row");
        assert_eq!(row_id, Some(entry.id));
        assert_eq!(row.name.one_at(NOW), entry.content.name.one_at(NOW));
        assert_eq!(
            row.residential.one_at(NOW),
            entry.content.residential.one_at(NOW)
        );
        assert_eq!(row.merged_into, entry.content.merged_into);
        assert_eq!(register.number(entry.id).unwrap(), Some(entry.no));
        entries += 1;
        Ok(())
    });
    everybody.unwrap();
    assert_eq!(register.len(), entries);
}

#[test]
fn loaded_changed_and_opened_again() {
    everywhere(|place| {
        let node = place.start(REPOSITORY);
        let folder = tempfile::tempdir().unwrap();
        let persons = open(&node, folder.path());
        assert!(persons.is_empty());
        load(&persons, 300);
        assert_eq!(persons.find(number(7)).unwrap(), Some(EntryNo(7)));
        assert_eq!(persons.find(number(300)).unwrap(), None);
        let query = Query {
            given: Some("kari".into()),
            birth: Some((19_700_000, 19_709_999)),
            ..Query::default()
        };
        assert_eq!(names(&persons, &query), [0, 150]);

        let mut renamed = person(150);
        let name = Name {
            given: "Nora".into(),
            middle: None,
            family: "Vik".into(),
        };
        let _ = renamed.name.set(name, Moment(5), Origin::at(Moment(6)));
        let done = persons.change(
            vec![(id(150), renamed.clone()), (id(900), person(900))],
            NOW,
        );
        assert_eq!(
            done.unwrap(),
            [
                Outcome::Changed(EntryNo(150)),
                Outcome::Created(EntryNo(300))
            ]
        );
        assert_eq!(
            persons.change(vec![(id(150), renamed)], NOW).unwrap(),
            [Outcome::Same]
        );
        assert_eq!(names(&persons, &query), [0, 300]);
        assert_eq!(persons.find(number(900)).unwrap(), Some(EntryNo(300)));
        let kinds: Vec<PersonEvent> = persons
            .log()
            .events(1, 9)
            .unwrap()
            .into_iter()
            .map(|e| e.kind)
            .collect();
        assert_eq!(
            kinds,
            [
                PersonEvent::PersonPopulated,
                PersonEvent::ChangeInName,
                PersonEvent::PersonIsCreated
            ]
        );
        assert_eq!(persons.changed(), 2);
        agrees_with_log(&persons);

        let again = open(&node, folder.path());
        assert_eq!(
            again.changed(),
            2,
            "the file is kept; the feed tells the rest"
        );
        agrees_with_log(&again);
        again.rebuild().unwrap();
        assert_eq!(again.changed(), 0);
        assert_eq!(names(&again, &query), [0, 300]);
        agrees_with_log(&again);
        let taken = persons
            .change(vec![(id(901), person(900))], NOW)
            .unwrap_err();
        let conflict = Conflict::InUse { position: 0 };
        assert_eq!(taken, ChangeError::Conflict { index: 0, conflict });
    });
}

#[test]
fn torn_rotten_and_foreign_files_are_made_again() {
    let place = crate::place::Place::Folder(tempfile::tempdir().unwrap());
    let node = place.start(REPOSITORY);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("persons.read");
    let persons = open(&node, folder.path());
    load(&persons, 50);
    let whole = std::fs::read(&path).unwrap();
    drop(persons);
    // torn
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    agrees_with_log(&open(&node, folder.path()));
    // another store's
    let other_place = crate::place::Place::Folder(tempfile::tempdir().unwrap());
    let other_node = other_place.start(REPOSITORY);
    assert!(open(&other_node, folder.path()).is_empty());
    agrees_with_log(&open(&node, folder.path()));
    // a row rots under a running register
    let persons = open(&node, folder.path());
    let mut rotten = std::fs::read(&path).unwrap();
    rotten[4_096 + 40] ^= 1;
    std::fs::write(&path, &rotten).unwrap();
    assert!(persons.with(EntryNo(0), |_| ()).is_err());
    assert!(persons.find(number(1)).is_ok(), "the others are served");
    assert!(persons.maintain().unwrap(), "it was noticed");
    agrees_with_log(&persons);
    assert!(!persons.maintain().unwrap());
}

#[test]
fn merged_and_split_again() {
    everywhere(|place| {
        let node = place.start(REPOSITORY);
        let folder = tempfile::tempdir().unwrap();
        let persons = open(&node, folder.path());
        load(&persons, 3);
        let key = |n| {
            node.store
                .person(registers::FNR_SYSTEM, &number(n).text(11))
                .unwrap()
        };
        let (mut gone, mut stays) = (person(1), person(2));
        merge((id(1), &mut gone), (id(2), &mut stays), Moment(50));
        persons
            .change(vec![(id(2), stays.clone()), (id(1), gone.clone())], NOW)
            .unwrap();
        for rebuilt in [false, true] {
            if rebuilt {
                persons.rebuild().unwrap();
            }
            assert_eq!(persons.find(number(1)).unwrap(), Some(EntryNo(2)));
            assert_eq!(persons.find(number(2)).unwrap(), Some(EntryNo(2)));
            assert_eq!(
                persons.find_at(number(1), Moment(10)).unwrap(),
                Some(EntryNo(2))
            );
        }
        assert!(
            key(1).is_some() && key(1) == key(2),
            "one person to the rest of the hub"
        );
        split((id(1), &mut gone), (id(2), &mut stays), Moment(60));
        persons
            .change(vec![(id(2), stays), (id(1), gone)], NOW)
            .unwrap();
        assert_eq!(persons.find(number(1)).unwrap(), Some(EntryNo(1)));
        assert_ne!(key(1), key(2));
        assert_eq!(life::leading(&person(1)), Some(number(1)));
        let kinds: Vec<PersonEvent> = persons
            .log()
            .events(1, 99)
            .unwrap()
            .into_iter()
            .map(|e| e.kind)
            .collect();
        for kind in [
            PersonEvent::PersonIsContinuedAsValidUponMerger,
            PersonEvent::PersonIsDiscontinuedAsDuplicate,
            PersonEvent::PersonIsChangedBySplitting,
            PersonEvent::PersonIsRestoredBySplitting,
        ] {
            assert_eq!(kinds.iter().filter(|k| **k == kind).count(), 1, "{kind:?}");
        }
    });
}

#[test]
fn a_strictly_confidential_address_leaves_the_read_form() {
    let place = crate::place::Place::Folder(tempfile::tempdir().unwrap());
    let node = place.start(REPOSITORY);
    let folder = tempfile::tempdir().unwrap();
    let persons = open(&node, folder.path());
    load(&persons, 5);
    let by_street = Query {
        street: Some("hemmeligveien 2".into()),
        legal_basis: true,
        ..Query::default()
    };
    assert_eq!(names(&persons, &by_street), [2]);
    let mut hidden = person(2);
    let _ = hidden.protection.set(
        ProtectionLevel::StrictlyConfidential,
        Moment(9),
        Origin::at(Moment(9)),
    );
    persons.change(vec![(id(2), hidden)], NOW).unwrap();
    assert!(names(&persons, &by_street).is_empty());
    let present = persons.log().entry(id(2)).unwrap().unwrap();
    assert!(present.content.residential.is_empty());
    persons.rebuild().unwrap();
    let bytes = std::fs::read(folder.path().join("persons.read")).unwrap();
    let written = |text: &str| {
        bytes
            .windows(text.len())
            .any(|w| w.eq_ignore_ascii_case(text.as_bytes()))
    };
    assert!(written("hemmeligveien1x") && !written("hemmeligveien2x"));
}

#[test]
fn two_processes_stay_in_step() {
    everywhere(|place| {
        let first = place.start(REPOSITORY);
        let second = place.is_shared().then(|| place.start(REPOSITORY));
        let other = second.as_ref().unwrap_or(&first);
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let registers = [
            open(&first, folders[0].path()),
            open(other, folders[1].path()),
        ];
        load(&registers[0], 20);
        registers[1].follow().unwrap();
        assert_eq!(registers[1].len(), 20, "a load is seen as a whole");
        std::thread::scope(|scope| {
            for (which, register) in registers.iter().enumerate() {
                scope.spawn(move || {
                    for round in 0..10u32 {
                        let shared = round % 20;
                        let mut changed = person(shared);
                        let name = Name {
                            given: format!("Runde{round}"),
                            middle: None,
                            family: format!("Av{which}"),
                        };
                        let _ = changed.name.set(name, Moment(1), Origin::at(Moment(1)));
                        let new = 1_000 * (u32::try_from(which).unwrap() + 1) + round;
                        let changes = vec![(id(shared), changed), (id(new), person(new))];
                        while let Err(e) = register.change(changes.clone(), NOW) {
                            assert_eq!(e, ChangeError::Busy);
                        }
                        if round == 5 {
                            register.rebuild().unwrap();
                        }
                    }
                });
            }
        });
        for register in &registers {
            register.follow().unwrap();
            assert_eq!(register.len(), 40);
            agrees_with_log(register);
            let numbers: Vec<u64> = register
                .log()
                .events(1, 999)
                .unwrap()
                .iter()
                .map(|e| e.number)
                .collect();
            assert_eq!(
                numbers,
                (1..=u64::try_from(numbers.len()).unwrap()).collect::<Vec<_>>()
            );
        }
    });
}

#[test]
fn protection_known_beforehand_begins_without_a_write() {
    everywhere(|place| {
        let node = place.start(REPOSITORY);
        let folder = tempfile::tempdir().unwrap();
        let persons = open(&node, folder.path());
        let later = Moment(NOW.0 + 86_400_000);
        let mut soon = person(2);
        let _ = soon.protection.set(
            ProtectionLevel::StrictlyConfidential,
            later,
            Origin::at(NOW),
        );
        let all = (0..4).map(|n| (id(n), if n == 2 { soon.clone() } else { person(n) }));
        persons.load(all, NOW, |_| {}).unwrap();
        let address = |n: u32| persons.with(EntryNo(n), |row| row.has_address()).unwrap();
        assert_eq!((address(1), address(2)), (Some(true), Some(true)));
        // Today is long after that day.
        assert!(persons.maintain().unwrap());
        assert_eq!((address(1), address(2)), (Some(true), Some(false)));
        let versions = persons.log().versions(id(2), 9).unwrap();
        assert_eq!(versions.len(), 1);
        assert!(versions[0].entry.content.residential.is_empty());
        assert!(!persons.maintain().unwrap());
        agrees_with_log(&persons);
    });
}

/// What was written under an earlier number of somebody who came with the first load is hers under the present one.
#[test]
fn all_numbers_of_a_loaded_person_lead_to_one_key_of_the_store() {
    everywhere(|place| {
        let (node, folder) = (place.start(REPOSITORY), tempfile::tempdir().unwrap());
        let persons = open(&node, folder.path());
        let mut two = person(1);
        let earlier = Identifier {
            in_use: false,
            ..Identifier::parse(&number(7).text(11)).unwrap()
        };
        let _ = two.identifiers.add(earlier, Moment(0), Origin::at(NOW));
        persons
            .load([(id(0), person(0)), (id(1), two)], NOW, |_| {})
            .unwrap();
        let key = |n: u32| {
            let text = number(n).text(11);
            node.store.person(registers::FNR_SYSTEM, &text).unwrap()
        };
        assert!(key(1).is_some());
        assert_eq!(key(7), key(1));
        assert_eq!(
            key(0),
            None,
            "who has one number gets a key when something names her"
        );
    });
}

fn renamed(n: u32, family: &str) -> (EntryId, PersonDocument) {
    let mut p = person(n);
    let name = Name {
        given: "Ny".into(),
        middle: None,
        family: family.into(),
    };
    let _ = p.name.set(name, NOW, Origin::at(NOW));
    (id(n), p)
}

#[test]
fn what_changed_since_the_read_form_is_kept_beside_it() {
    everywhere(|place| {
        let folder = tempfile::tempdir().unwrap();
        let node = place.start(REPOSITORY);
        let register = open(&node, folder.path());
        load(&register, 1_200);
        let since = folder.path().join("persons.since");
        register.maintain().unwrap();
        assert!(!since.exists(), "nothing is due");
        let changes = (0..1_000).map(|n| renamed(n, "Nymo")).collect();
        register.change(changes, NOW).unwrap();
        assert!(!register.maintain().unwrap());
        assert!(since.exists());
        register.change(vec![renamed(1_100, "Sist")], NOW).unwrap();
        let last = register.last_event();
        drop(register);
        for damaged in [false, true] {
            if damaged {
                let mut bytes = std::fs::read(&since).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                std::fs::write(&since, bytes).unwrap();
            }
            let again = open(&node, folder.path());
            assert_eq!((again.last_event(), again.changed()), (last, 1_001));
            agrees_with_log(&again);
            let nymo = Query {
                family: Some("nymo".to_owned()),
                ..Query::default()
            };
            assert_eq!(names(&again, &nymo).len(), 1_000);
        }
        let register = open(&node, folder.path());
        register.rebuild().unwrap();
        assert!(!since.exists(), "a new read form has it all");
        agrees_with_log(&open(&node, folder.path()));
    });
}

#[test]
fn a_strictly_confidential_address_leaves_what_is_kept_beside_too() {
    everywhere(|place| {
        let folder = tempfile::tempdir().unwrap();
        let node = place.start(REPOSITORY);
        let register = open(&node, folder.path());
        load(&register, 10);
        // Somebody new, of whom the read form knows nothing, and enough others for the file.
        let changes = (10..1_010).map(|n| (id(n), person(n))).collect();
        register.change(changes, NOW).unwrap();
        register.maintain().unwrap();
        let holds = |text: &str| {
            let files = std::fs::read_dir(folder.path()).unwrap();
            files.into_iter().any(|file| {
                let bytes = std::fs::read(file.unwrap().path()).unwrap();
                bytes.windows(text.len()).any(|w| w == text.as_bytes())
            })
        };
        assert!(folder.path().join("persons.since").exists());
        assert!(holds("Hemmeligveien500x"));
        let mut hidden = person(500);
        let level = ProtectionLevel::StrictlyConfidential;
        let _ = hidden.protection.set(level, NOW, Origin::at(NOW));
        register.change(vec![(id(500), hidden)], NOW).unwrap();
        assert!(register.maintain().unwrap());
        assert!(!holds("Hemmeligveien500x"));
        assert!(holds("Hemmeligveien501x"));
    });
}

#[test]
fn a_load_that_was_broken_off_after_persons_had_appeared_is_completed() {
    everywhere(|place| {
        let folder = tempfile::tempdir().unwrap();
        let node = place.start(REPOSITORY);
        let register = open(&node, folder.path());
        // As far as the switch, and no further.
        let all = || (0..20).map(|n| (id(n), person(n)));
        register.log().load(all().map(Ok), |_| Ok(())).unwrap();
        drop(register);
        let register = open(&node, folder.path());
        assert_eq!((register.len(), register.last_event()), (20, 0));
        let done = register.load_or_complete(all(), NOW, |_| {}).unwrap();
        assert_eq!((done, register.last_event()), (20, 1));
        // Once more changes nothing, and the register can be written to.
        register.load_or_complete(all(), NOW, |_| {}).unwrap();
        assert_eq!((register.len(), register.last_event()), (20, 1));
        let done = register.change(vec![renamed(3, "Sist")], NOW).unwrap();
        assert_eq!(done, [Outcome::Changed(EntryNo(3))]);
        agrees_with_log(&register);
    });
}
