//! The kept form of a register in memory: a start from it is the same as one from the log, whatever happened to the files or
//! to the store since.

use crate::place::{Node, Place, everywhere};
use registers::gplists::record::Record;
use registers::gplists::{Association, GpContract, GpLists};
use registers::kernel::period::{Moment, Period};
use registers::kernel::{EntryId, EntryNo};
use registers::personnel::record::Personnel;
use registers::personnel::{PersonnelRegister, Short};
use registers::{PersonName, personnel};
use std::path::Path;

const MANY: u32 = 2_100;
const NOW: Moment = Moment(1_795_000_000_000);

fn open(node: &Node, folder: &Path) -> PersonnelRegister {
    PersonnelRegister::open_in(node.store.clone(), node.grant(), Some(folder)).unwrap()
}

fn start(place: &Place) -> Node {
    place.start(personnel::record::REPOSITORY)
}

fn person(hpr: u32, family: &str) -> (EntryId, personnel::record::Record) {
    let name = PersonName {
        given: "Kari".to_owned(),
        middle: None,
        family: family.to_owned(),
    };
    let person = Personnel::new(hpr, name);
    let record = personnel::record::Record::Person(Box::new(person));
    (Personnel::id_of(hpr), record)
}

/// Everything that the register says.
fn said(register: &PersonnelRegister) -> Vec<(EntryNo, EntryId, String)> {
    let entries = register.page(EntryNo(0), usize::MAX);
    let entries = entries.iter().map(|entry| {
        let content = serde_json::to_string(&entry.content).unwrap();
        (entry.no, entry.id, content)
    });
    entries.collect()
}

/// A register with many entries whose kept form has been written.
fn filled(node: &Node, folder: &Path) -> PersonnelRegister {
    let register = open(node, folder);
    let all = (0..MANY).map(|n| person(1_000_000 + n, "Berg"));
    register.register().load(all).unwrap();
    assert!(register.register().keep().unwrap());
    assert!(folder.join("personnel.kept").exists());
    register
}

#[test]
fn a_start_from_the_kept_form_says_what_the_log_says() {
    everywhere(|place| {
        let folder = tempfile::tempdir().unwrap();
        let node = start(place);
        let register = filled(&node, folder.path());
        assert!(!register.register().keep().unwrap(), "nothing is due");
        // One changed and one new after it was written: of the feed.
        let changes = [person(1_000_003, "Dal"), person(3_000_000, "Ny")];
        register.register().change(&changes).unwrap();
        let (expected, stamp) = (said(&register), register.register().stamp());
        drop(register);
        let again = open(&node, folder.path());
        assert_eq!(said(&again), expected);
        assert_eq!(again.register().stamp(), stamp);
        assert_eq!(again.by_hpr(3_000_000).unwrap().no, EntryNo(MANY));
        // And it goes on from there.
        again.register().change(&[person(1_000_004, "Li")]).unwrap();
        let log = PersonnelRegister::open(node.store.clone(), node.grant()).unwrap();
        assert_eq!(said(&again), said(&log));
    });
}

#[test]
fn what_changed_since_is_kept_beside() {
    everywhere(|place| {
        let folder = tempfile::tempdir().unwrap();
        let node = start(place);
        let register = filled(&node, folder.path());
        let change = |from: u32, to: u32, family: &str| {
            let changes: Vec<_> = (from..to).map(|n| person(1_000_000 + n, family)).collect();
            register.register().change(&changes).unwrap();
        };
        change(0, 1_000, "Dal");
        assert!(register.register().keep().unwrap());
        let since = folder.path().join("personnel.since");
        assert!(since.exists());
        change(0, 1, "Foss");
        let expected = said(&register);
        assert_eq!(said(&open(&node, folder.path())), expected);
        // Without it the feed says the same.
        let mut bytes = std::fs::read(&since).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&since, bytes).unwrap();
        assert_eq!(said(&open(&node, folder.path())), expected);
        std::fs::remove_file(&since).unwrap();
        assert_eq!(said(&open(&node, folder.path())), expected);
        // More than that, and everything is written anew.
        change(1_000, 1_001, "Vik");
        assert!(register.register().keep().unwrap());
        assert!(!since.exists());
        assert_eq!(said(&open(&node, folder.path())), said(&register));
    });
}

#[test]
fn a_damaged_or_foreign_file_is_not_believed() {
    everywhere(|place| {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let node = start(place);
        let register = filled(&node, folder.path());
        let expected = said(&register);
        let path = folder.path().join("personnel.kept");
        let good = std::fs::read(&path).unwrap();
        for damage in [good.len() / 2, 20, good.len() - 3] {
            let mut bytes = good.clone();
            bytes[damage] ^= 0x40;
            std::fs::write(&path, bytes).unwrap();
            let again = open(&node, folder.path());
            assert_eq!(said(&again), expected);
            assert!(again.register().keep().unwrap(), "it is written anew");
        }
        // The file of another store.
        let elsewhere = Place::Folder(tempfile::tempdir().unwrap());
        let strange = start(&elsewhere);
        let strangers = open(&strange, other.path());
        let all = (0..MANY).map(|n| person(5_000_000 + n, "Fremmed"));
        strangers.register().load(all).unwrap();
        assert!(strangers.register().keep().unwrap());
        std::fs::copy(other.path().join("personnel.kept"), &path).unwrap();
        assert_eq!(said(&open(&node, folder.path())), expected);
    });
}

#[test]
fn a_store_that_was_put_back_is_noticed() {
    let (stands, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let place = Place::Folder(stands);
    let Place::Folder(stands) = &place else {
        unreachable!()
    };
    let copy = |from: &Path, to: &Path| {
        std::fs::create_dir_all(to).unwrap();
        for file in std::fs::read_dir(from).unwrap() {
            let file = file.unwrap();
            if file.file_type().unwrap().is_file() {
                std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
            }
        }
    };
    let aside = tempfile::tempdir().unwrap();
    let (store, aside) = (stands.path().join("store"), aside.path().join("copy"));
    {
        let node = start(&place);
        drop(filled(&node, folder.path()));
        node.store.close();
    }
    copy(&store, &aside);
    {
        let node = start(&place);
        let register = open(&node, folder.path());
        let changes: Vec<_> = (0..1_000).map(|n| person(1_000_000 + n, "Tapt")).collect();
        register.register().change(&changes).unwrap();
        assert!(register.register().keep().unwrap());
        node.store.close();
    }
    // The copy stands where the kept changes have never been.
    std::fs::remove_dir_all(&store).unwrap();
    copy(&aside, &store);
    {
        let node = start(&place);
        let lost = |register: &PersonnelRegister| {
            let all = said(register);
            all.iter()
                .filter(|(.., text)| text.contains("Tapt"))
                .count()
        };
        assert_eq!(lost(&open(&node, folder.path())), 0);
        // And has gone on otherwise, as far and further.
        let register = open(&node, folder.path());
        for n in 0..3u32 {
            let changes: Vec<_> = (0..1_000)
                .map(|at| person(1_000_000 + at, &format!("Anna {n}")))
                .collect();
            register.register().change(&changes).unwrap();
        }
        let again = open(&node, folder.path());
        assert_eq!(lost(&again), 0);
        assert_eq!(said(&again), said(&register));
    }
}

#[test]
fn the_smallest_registers_have_no_file() {
    everywhere(|place| {
        let folder = tempfile::tempdir().unwrap();
        let node = start(place);
        let register = open(&node, folder.path());
        register.register().change(&[person(7, "Li")]).unwrap();
        assert!(!register.register().keep().unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    });
}

#[test]
fn patients_are_found_after_a_start_from_the_kept_form() {
    everywhere(|place| {
        let folder = tempfile::tempdir().unwrap();
        let node = place.start(registers::gplists::record::REPOSITORY);
        let open =
            || GpLists::open_in(node.store.clone(), node.grant(), Some(folder.path())).unwrap();
        let lists = open();
        let contracts = (0..1_200i64).map(|n| {
            let contract = GpContract {
                id: 1_000 + n,
                office: 315_900_077,
                valid: Period::since(Moment(0)),
                ..GpContract::default()
            };
            let line = |at: i64| Association {
                no: 0,
                nin: (n * 200 + at).unsigned_abs() + 1,
                from: Moment(5),
                to: None,
                begin: Short::default(),
                end: Short::default(),
            };
            // One list has more than a page.
            let patients = if n == 1 { 130 } else { 3 };
            (contract, (0..patients).map(line).collect())
        });
        lists.load(contracts).unwrap();
        assert!(lists.keep().unwrap());
        lists
            .move_patients(&[1, 2], 1_999, NOW, Short::default())
            .unwrap();
        drop(lists);
        let again = open();
        assert_eq!(again.active(1, NOW).unwrap().contract, 1_999);
        assert_eq!(again.history(1).len(), 2);
        assert_eq!(again.active(201 + 129, NOW).unwrap().contract, 1_001);
        let log = GpLists::open(node.store.clone(), node.grant()).unwrap();
        for nin in [1, 2, 3, 130, 131, 201, 199_801] {
            assert_eq!(again.history(nin), log.history(nin), "{nin}");
        }
        let page = again.entry(GpContract::id_of(1_500)).unwrap();
        assert!(matches!(&page.content, Record::Contract(c) if c.id == 1_500));
    });
}
