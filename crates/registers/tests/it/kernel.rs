//! The register kernel on the store: events without gaps, no version for the same content, histories that resolve.

use crate::place::{Node, everywhere};
use registers::kernel::change::{ChangeError, Outcome};
use registers::kernel::identifiers::{Claims, Conflict, Packed};
use registers::kernel::log::Content;
use registers::kernel::memory::MemoryRegister;
use registers::kernel::period::{Moment, Period};
use registers::kernel::timeline::{Origin, Timeline};
use registers::kernel::{EntryId, EntryNo};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const REPOSITORY: &str = "wards";

/// A register of wards: the smallest thing with a number that can change and a name with history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Ward {
    numbers: Vec<(Packed, bool, Period)>,
    name: Timeline<String>,
    into: Option<EntryId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Happened {
    Created,
    Renamed,
    Renumbered,
    Merged,
}

impl Content for Ward {
    type Kind = Happened;
    const REPOSITORY: &'static str = REPOSITORY;

    fn claims(&self) -> Claims {
        Claims {
            identifiers: self.numbers.clone(),
            merged_into: self.into,
        }
    }

    fn events(before: Option<&Self>, after: &Self) -> Vec<Happened> {
        let Some(before) = before else {
            return vec![Happened::Created];
        };
        let mut events = Vec::new();
        if before.name != after.name {
            events.push(Happened::Renamed);
        }
        if before.numbers != after.numbers {
            events.push(Happened::Renumbered);
        }
        if before.into != after.into {
            events.push(Happened::Merged);
        }
        events
    }
}

fn ward(number: u64, name: &str) -> Ward {
    let mut line = Timeline::default();
    let _ = line.set(name.to_owned(), Moment(0), Origin::at(Moment(0)));
    Ward {
        numbers: vec![(Packed(number), true, Period::ALWAYS)],
        name: line,
        into: None,
    }
}

fn id(n: u128) -> EntryId {
    EntryId(n)
}

fn open(node: &Node) -> MemoryRegister<Ward> {
    MemoryRegister::open(node.store.clone(), node.grant()).unwrap()
}

fn numbers(register: &MemoryRegister<Ward>, from: u64) -> Vec<u64> {
    let events = register.events(from, 1_000).unwrap();
    events.iter().map(|e| e.number).collect()
}

#[test]
fn the_same_content_leaves_no_trace() {
    everywhere(|place| {
        let node = place.start(REPOSITORY);
        let wards = open(&node);
        let done = wards.change(&[(id(1), ward(10, "a")), (id(2), ward(20, "b"))]);
        assert_eq!(
            done.unwrap(),
            [Outcome::Created(EntryNo(0)), Outcome::Created(EntryNo(1))]
        );
        let again = wards.change(&[(id(1), ward(10, "a")), (id(2), ward(20, "c"))]);
        assert_eq!(
            again.unwrap(),
            [Outcome::Same, Outcome::Changed(EntryNo(1))]
        );
        assert_eq!(wards.log().versions(id(1), 9).unwrap().len(), 1);
        assert_eq!(wards.log().versions(id(2), 9).unwrap().len(), 2);
        let kinds: Vec<Happened> = wards
            .events(1, 99)
            .unwrap()
            .into_iter()
            .map(|e| e.kind)
            .collect();
        assert_eq!(
            kinds,
            [Happened::Created, Happened::Created, Happened::Renamed]
        );
        assert_eq!(wards.log().last_event().unwrap().unwrap().number, 3);
    });
}

#[test]
fn a_refused_change_writes_nothing() {
    everywhere(|place| {
        let node = place.start(REPOSITORY);
        let wards = open(&node);
        wards.change(&[(id(1), ward(10, "a"))]).unwrap();
        let cases = [
            // the second of the batch takes the number of the first
            (
                vec![(id(2), ward(20, "b")), (id(3), ward(20, "c"))],
                1,
                Conflict::InUse { position: 0 },
            ),
            (
                vec![(id(2), ward(10, "b"))],
                0,
                Conflict::InUse { position: 0 },
            ),
            (
                vec![(
                    id(2),
                    Ward {
                        into: Some(id(9)),
                        ..ward(30, "b")
                    },
                )],
                0,
                Conflict::NoSuchEntry,
            ),
            (
                vec![
                    (
                        id(2),
                        Ward {
                            into: Some(id(1)),
                            ..ward(30, "b")
                        },
                    ),
                    (
                        id(1),
                        Ward {
                            into: Some(id(2)),
                            ..ward(10, "a")
                        },
                    ),
                ],
                1,
                Conflict::Circle,
            ),
        ];
        for (changes, index, conflict) in cases {
            let refused = wards.change(&changes).unwrap_err();
            assert_eq!(refused, ChangeError::Conflict { index, conflict });
        }
        let many = vec![(id(5), ward(50, "x")); 1_001];
        assert_eq!(wards.change(&many), Err(ChangeError::TooMany(1_001)));
        assert_eq!(numbers(&wards, 0), [1]);
        assert_eq!(wards.len(), 1);
    });
}

#[test]
fn a_number_can_pass_on_within_one_batch() {
    everywhere(|place| {
        let node = place.start(REPOSITORY);
        let wards = open(&node);
        wards.change(&[(id(1), ward(10, "a"))]).unwrap();
        let mut former = ward(10, "a");
        former.numbers = vec![(Packed(10), false, Period::between(Moment(0), Moment(5)))];
        wards
            .change(&[(id(1), former), (id(2), ward(10, "b"))])
            .unwrap();
        assert_eq!(wards.find(Packed(10)).unwrap().id, id(2));
        assert_eq!(wards.get(id(1)).unwrap().id, id(1));
    });
}

#[test]
fn merge_split_and_restart() {
    everywhere(|place| {
        let node = place.start(REPOSITORY);
        let wards = open(&node);
        wards
            .change(&[(id(1), ward(10, "a")), (id(2), ward(20, "b"))])
            .unwrap();
        let mut gone = ward(20, "b");
        gone.into = Some(id(1));
        wards.change(&[(id(2), gone)]).unwrap();
        assert_eq!(wards.find(Packed(20)).unwrap().id, id(1));
        let fresh = open(&node);
        assert_eq!(fresh.find(Packed(20)).unwrap().id, id(1));
        fresh.change(&[(id(2), ward(20, "b"))]).unwrap();
        assert_eq!(fresh.find(Packed(20)).unwrap().id, id(2));
        wards.follow().unwrap();
        assert_eq!(wards.find(Packed(20)).unwrap().id, id(2));
        let merges = wards.events(3, 99).unwrap();
        assert_eq!(
            merges.iter().map(|e| e.kind).collect::<Vec<_>>(),
            [Happened::Merged; 2]
        );
    });
}

#[test]
fn what_was_known_when() {
    everywhere(|place| {
        let node = place.start(REPOSITORY);
        let wards = open(&node);
        wards.change(&[(id(1), ward(10, "a"))]).unwrap();
        let first = wards.log().versions(id(1), 1).unwrap()[0].written;
        let mut renamed = ward(10, "a");
        let _ = renamed
            .name
            .set("later".to_owned(), Moment(50), Origin::at(Moment(60)));
        // commit times are kept in microseconds, moments in milliseconds
        while Moment::from(jiff::Timestamp::now()) <= first {
            std::thread::yield_now();
        }
        wards.change(&[(id(1), renamed)]).unwrap();
        let then = wards.log().known_at(id(1), first).unwrap().unwrap();
        let now = wards.log().entry(id(1)).unwrap().unwrap();
        for (entry, at, name) in [(&then, 70, "a"), (&now, 49, "a"), (&now, 50, "later")] {
            assert_eq!(entry.content.name.one_at(Moment(at)).unwrap(), name);
        }
        assert!(
            wards
                .log()
                .known_at(id(1), Moment(first.0 - 1))
                .unwrap()
                .is_none()
        );
    });
}

#[test]
fn a_loaded_register_goes_on_from_there() {
    everywhere(|place| {
        let node = place.start(REPOSITORY);
        let wards = open(&node);
        let all = (0..2_500u32).map(|n| (id(n.into()), ward(n.into(), "x")));
        assert_eq!(wards.load(all).unwrap(), 2_500);
        assert!(wards.events(1, 9).unwrap().is_empty());
        let done = wards.change(&[(id(9_999), ward(9_999, "new"))]).unwrap();
        assert_eq!(done, [Outcome::Created(EntryNo(2_500))]);
        assert_eq!(numbers(&wards, 1), [1]);
        assert!(
            wards.load([(id(7), ward(7, "x"))]).is_err(),
            "only an empty one is loaded"
        );
        let page = wards.page(EntryNo(2_499), 10);
        assert_eq!(
            page.iter().map(|e| e.no.0).collect::<Vec<_>>(),
            [2_499, 2_500]
        );
        assert_eq!(open(&node).len(), 2_501);
    });
}

#[test]
fn an_interrupted_load_is_counted_again() {
    everywhere(|place| {
        let node = place.start(REPOSITORY);
        let wards = open(&node);
        // the load itself without the counters that follow it
        let all = (0..10u32).map(|n| Ok((id(n.into()), ward(n.into(), "x"))));
        wards.log().load(all, |_| Ok(())).unwrap();
        let wards = open(&node);
        let done = wards.change(&[(id(77), ward(77, "y"))]).unwrap();
        assert_eq!(done, [Outcome::Created(EntryNo(10))]);
    });
}

#[test]
fn many_writers_one_sequence() {
    everywhere(|place| {
        let first = place.start(REPOSITORY);
        let second = place.is_shared().then(|| place.start(REPOSITORY));
        let other = second.as_ref().unwrap_or(&first);
        let registers = [Arc::new(open(&first)), Arc::new(open(other))];
        std::thread::scope(|scope| {
            for (which, register) in registers.iter().enumerate() {
                scope.spawn(move || {
                    for n in 0..20u64 {
                        let number = u64::try_from(which).unwrap() * 1_000 + n;
                        let change = [(id(number.into()), ward(number, "w"))];
                        while let Err(e) = register.change(&change) {
                            assert_eq!(e, ChangeError::Busy);
                        }
                    }
                });
            }
        });
        for register in &registers {
            register.follow().unwrap();
            assert_eq!(register.len(), 40);
            assert_eq!(numbers(register, 0), (1..=40).collect::<Vec<_>>());
            assert_eq!(numbers(register, 38), [38, 39, 40]);
            let mut nos: Vec<u32> = register
                .page(EntryNo(0), 99)
                .iter()
                .map(|e| e.no.0)
                .collect();
            nos.sort_unstable();
            assert_eq!(nos, (0..40).collect::<Vec<_>>());
        }
    });
}
