//! GP lists on a store: moves, waiting, changes of national id, history.

use crate::place::everywhere;
use registers::gplists::choice::{Choice, Chosen, Refused};
use registers::gplists::record::*;
use registers::gplists::{GpLists, WriteError};
use registers::kernel::period::{Moment, Period};
use registers::personnel::Short;

const YEAR: i64 = 366 * 86_400_000;

fn short(text: &str) -> Short {
    Short::new(text).unwrap()
}

fn contract(id: i64, max_patients: u32) -> GpContract {
    GpContract {
        id,
        office: 999_977_775,
        status: short(OPEN),
        max_patients,
        valid: Period::since(Moment(0)),
        doctors: vec![DoctorCycle {
            hpr: 7,
            valid: Period::since(Moment(0)),
            relationship: short(OWN_DOCTOR),
            ..DoctorCycle::default()
        }],
        ..GpContract::default()
    }
}

fn choice(nin: u64, contract: i64, from: i64) -> Choice {
    Choice {
        nin,
        contract,
        from: Moment(from),
        may_wait: true,
        begin: short("X"),
        counts: true,
    }
}

fn on(lists: &GpLists, nin: u64, at: i64) -> Option<i64> {
    lists.active(nin, Moment(at)).map(|on| on.contract)
}

#[test]
fn patients_move_wait_and_leave() {
    everywhere(|place| {
        let node = place.start(REPOSITORY);
        let lists = GpLists::open(node.store.clone(), node.grant()).unwrap();
        lists.create_contract(contract(1, 2)).unwrap();
        lists.create_contract(contract(2, 1)).unwrap();
        assert_eq!(
            lists.create_contract(contract(1, 2)),
            Err(WriteError::Taken)
        );
        assert_eq!(
            lists.choose(choice(10, 1, 100)),
            Ok(Chosen::OnList(Moment(100)))
        );
        assert_eq!(
            lists.choose(choice(11, 1, 100)),
            Ok(Chosen::OnList(Moment(100)))
        );
        assert_eq!(lists.choose(choice(10, 1, 150)), Ok(Chosen::Already));
        assert_eq!(lists.choose(choice(12, 1, 150)), Ok(Chosen::Waits(0)));
        assert_eq!(
            lists.choose(Choice {
                may_wait: false,
                ..choice(13, 1, 150)
            }),
            Err(Refused::Full)
        );
        assert_eq!(lists.choose(choice(12, 9, 150)), Err(Refused::NoList));
        // To the other list, and the place goes to the one who waits.
        assert_eq!(
            lists.choose(choice(10, 2, 200)),
            Ok(Chosen::OnList(Moment(200)))
        );
        for (nin, at, list) in [
            (10, 99, None),
            (10, 100, Some(1)),
            (10, 199, Some(1)),
            (10, 200, Some(2)),
            (11, 500, Some(1)),
        ] {
            assert_eq!(on(&lists, nin, at), list, "{nin} {at}");
        }
        assert_eq!(lists.fill_from_waiting(1, Moment(300)), Ok(1));
        assert_eq!(on(&lists, 12, 300), Some(1));
        assert!(lists.contract(1).unwrap().waiting.is_empty());
        // Twice a year, and again a year later.
        assert_eq!(lists.choose(choice(10, 1, 400)), Err(Refused::TooOften(2)));
        assert_eq!(
            lists.cancel_patients(&[11], 1, Moment(2 * YEAR), short("OHID")),
            Ok(())
        );
        assert_eq!(
            lists.cancel_patients(&[11], 1, Moment(2 * YEAR), short("OHID")),
            Err(WriteError::NotFound)
        );
        assert_eq!(
            lists.choose(choice(10, 1, 2 * YEAR)),
            Ok(Chosen::OnList(Moment(2 * YEAR)))
        );
        assert_eq!(lists.patients(1, Moment(2 * YEAR)).len(), 2);
        // Another national id: the history goes with it.
        lists.change_nin(10, 99, Moment(2 * YEAR)).unwrap();
        assert_eq!(lists.history(99).len(), 3);
        assert!(lists.history(10).is_empty());
        let again = GpLists::open(node.store.clone(), node.grant()).unwrap();
        assert_eq!(again.history(99), lists.history(99));
        let events = lists.events(1, 100).unwrap();
        assert!(
            events
                .iter()
                .any(|e| e.kind.0 == Happened::PatientNinChanged)
        );
        assert!(
            events
                .iter()
                .any(|e| e.kind.0 == Happened::PatientOnContractCanceled)
        );
    });
}

#[test]
fn a_long_list_in_pages() {
    everywhere(|place| {
        let node = place.start(REPOSITORY);
        let lists = GpLists::open(node.store.clone(), node.grant()).unwrap();
        let line = |nin| Association {
            no: 0,
            nin,
            from: Moment(0),
            to: None,
            begin: Short::default(),
            end: Short::default(),
        };
        let many: Vec<Association> = (1..=300).map(line).collect();
        lists
            .load([(contract(1, 300), many), (contract(2, 10), vec![])])
            .unwrap();
        assert_eq!(lists.active_count(1, Moment(5)), 300);
        let moved: Vec<u64> = (1..=200).collect();
        let ids = lists
            .move_patients(&moved, 2, Moment(10), short("Y"))
            .unwrap();
        assert_eq!(ids.len(), 200);
        assert_eq!(lists.active_count(1, Moment(10)), 100);
        assert_eq!(lists.active_count(2, Moment(10)), 200);
        assert_eq!(lists.active(150, Moment(10)).unwrap().id, ids[149]);
        assert!(matches!(
            lists.move_patients(&[150], 1, Moment(5), short("Y")),
            Err(WriteError::Invalid(_))
        ));
        assert_eq!(lists.of_office(999_977_775).len(), 2);
        assert_eq!(lists.of_doctor(7).len(), 2);
    });
}

#[test]
fn what_another_process_loaded_is_found_here_too() {
    everywhere(|place| {
        if !place.is_shared() {
            return;
        }
        let (first, second) = (place.start(REPOSITORY), place.start(REPOSITORY));
        let here = GpLists::open(first.store.clone(), first.grant()).unwrap();
        let there = GpLists::open(second.store.clone(), second.grant()).unwrap();
        there.load([(contract(1, 300), Vec::new())]).unwrap();
        here.follow().unwrap();
        assert_eq!(here.of_office(999_977_775).len(), 1);
    });
}
