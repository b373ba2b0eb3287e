//! Training positions on a store: numbers, references, events, two processes.

use crate::place::everywhere;
use registers::kernel::period::{Moment, Period};
use registers::personnel::Short;
use registers::positions::record::{Distribution, REPOSITORY};
use registers::positions::rules::Broken;
use registers::positions::{Employment, Position, Positions, Record, Wanted, WriteError};

fn short(text: &str) -> Short {
    Short::new(text).unwrap()
}

fn position(speciality: &str) -> Position {
    Position {
        speciality: short(speciality),
        employer: 315_900_077,
        category: short("LIS3"),
        valid: Period::between(Moment(0), Moment(1_000)),
        ..Position::default()
    }
}

fn employment(position: u32, hpr: u32) -> Employment {
    Employment {
        position,
        hpr,
        valid: Period::between(Moment(0), Moment(500)),
        percentage: 60,
        ..Employment::default()
    }
}

#[test]
fn entries_are_numbered_checked_and_told_of() {
    everywhere(|place| {
        let node = place.start(REPOSITORY);
        let register = Positions::open(node.store.clone(), node.grant()).unwrap();
        let put = |record| register.put(record);
        assert_eq!(put(Record::Position(position("152"))), Ok(1));
        assert_eq!(put(Record::Position(position("152"))), Ok(2));
        assert_eq!(put(Record::Employment(employment(1, 7))), Ok(1));
        assert_eq!(
            put(Record::Employment(employment(1, 8))),
            Err(WriteError::Broken(Broken::Overfull))
        );
        assert_eq!(
            put(Record::Employment(employment(9, 7))),
            Err(WriteError::NotFound)
        );
        let unknown = Position {
            id: 9,
            ..position("152")
        };
        assert_eq!(put(Record::Position(unknown)), Err(WriteError::NotFound));
        // A position cannot end before those who hold it.
        let shorter = Position {
            id: 1,
            valid: Period::between(Moment(0), Moment(400)),
            ..position("152")
        };
        assert_eq!(
            put(Record::Position(shorter)),
            Err(WriteError::Broken(Broken::OutsidePosition))
        );
        let moved = Employment {
            id: 1,
            ..employment(2, 7)
        };
        assert_eq!(put(Record::Employment(moved)), Ok(1));
        assert!(register.in_position(1).is_empty());
        assert_eq!(register.of_person(7).len(), 1);
        let gone = Distribution {
            year: 2026,
            employer: 315_900_077,
            speciality: short("152"),
            positions: 3,
            ..Distribution::default()
        };
        assert_eq!(put(Record::Distribution(gone.clone())), Ok(1));
        let gone = Distribution {
            id: 1,
            deleted: true,
            ..gone
        };
        assert_eq!(put(Record::Distribution(gone)), Ok(1));
        assert!(register.distributions(2026).is_empty());
        let (page, total) = register.search(&Wanted::default(), 1, 10);
        assert_eq!((page.len(), total), (1, 2));
        let wanted = Wanted {
            employer: Some(1),
            ..Wanted::default()
        };
        assert_eq!(register.search(&wanted, 0, 10).1, 0);
        let events = register.events(1, 100).unwrap();
        let names: Vec<&str> = events.iter().map(|e| e.kind.name()).collect();
        assert_eq!(
            names,
            [
                "PositionCreated",
                "PositionCreated",
                "EmploymentCreated",
                "EmploymentUpdated",
                "DistributionCreated",
                "DistributionDeleted"
            ]
        );
        // Another process, and a start anew, see the same.
        let other = Positions::open(node.store.clone(), node.grant()).unwrap();
        assert_eq!(other.of_person(7), register.of_person(7));
        assert_eq!(other.put(Record::Position(position("152"))), Ok(3));
        assert_eq!(register.put(Record::Position(position("152"))), Ok(4));
        other.follow().unwrap();
        assert_eq!(other.search(&Wanted::default(), 0, 10).1, 4);
    });
}
