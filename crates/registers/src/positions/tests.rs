//! Rules of training positions as tables.

use super::record::{Approval, Distribution, Employment, Position, PositionEvent, Record};
use super::rules::{Broken, check_distribution, check_employment, check_position};
use crate::kernel::log::Content;
use crate::kernel::period::{Moment, Period};
use crate::personnel::Short;
use proptest::prelude::*;

fn short(code: &str) -> Short {
    Short::new(code).unwrap()
}

fn between(from: i64, to: i64) -> Period {
    Period::between(Moment(from), Moment(to))
}

fn position() -> Position {
    Position {
        id: 1,
        speciality: short("152"),
        employer: 315_900_077,
        category: short("LIS3"),
        valid: between(0, 100),
        ..Position::default()
    }
}

fn employment(id: u32, period: Period, percentage: u8) -> Employment {
    Employment {
        id,
        position: 1,
        hpr: 7,
        valid: period,
        percentage,
        ..Employment::default()
    }
}

#[test]
fn positions() {
    let approval = Approval {
        id: 4,
        speciality: short("152"),
        unit: 315_900_077,
        valid: between(0, 50),
        ..Approval::default()
    };
    let with = |edit: fn(&mut Position)| {
        let mut made = position();
        edit(&mut made);
        check_position(&made, Some(&approval))
    };
    let late: fn(&mut Position) = |p| {
        p.approval = Some(4);
        p.valid = between(50, 100);
    };
    for (edit, expected) in [
        ((|_| {}) as fn(&mut Position), Ok(())),
        (|p| p.approval = Some(4), Ok(())),
        (late, Err(Broken::Approval)),
        (|p| p.category = short("LIS9"), Err(Broken::Category)),
        (|p| p.employer = 17, Err(Broken::Organisation)),
        (|p| p.valid = Period::ALWAYS, Err(Broken::Period)),
        (|p| p.speciality = Short::default(), Err(Broken::Speciality)),
    ] {
        assert_eq!(with(edit), expected);
    }
    let internship = Position {
        category: short("LIS1"),
        speciality: Short::default(),
        ..position()
    };
    assert_eq!(
        check_position(&internship, None),
        Ok(()),
        "in no speciality"
    );
    let unknown = Position {
        approval: Some(9),
        ..position()
    };
    assert_eq!(check_position(&unknown, None), Err(Broken::Approval));
}

#[test]
fn employments() {
    let there = [
        employment(1, between(0, 50), 60),
        employment(2, between(50, 100), 100),
    ];
    for (new, expected) in [
        (employment(3, between(0, 50), 40), Ok(())),
        (employment(3, between(0, 50), 41), Err(Broken::Overfull)),
        (employment(3, between(10, 60), 10), Err(Broken::Overfull)),
        // Itself is not beside itself.
        (employment(1, between(0, 50), 100), Ok(())),
        (employment(3, between(0, 50), 0), Err(Broken::Percentage)),
        (
            employment(3, between(0, 101), 10),
            Err(Broken::OutsidePosition),
        ),
        (
            employment(3, Period::since(Moment(1)), 10),
            Err(Broken::OutsidePosition),
        ),
    ] {
        assert_eq!(
            check_employment(&new, &position(), there.iter()),
            expected,
            "{new:?}"
        );
    }
    let nobody = Employment {
        hpr: 0,
        ..employment(3, between(0, 1), 1)
    };
    assert_eq!(
        check_employment(&nobody, &position(), [].iter()),
        Err(Broken::Hpr)
    );
}

#[test]
fn distributions_and_their_events() {
    let mut distribution = Distribution {
        id: 1,
        year: 2026,
        employer: 315_900_077,
        speciality: short("152"),
        positions: 4,
        ..Distribution::default()
    };
    assert_eq!(check_distribution(&distribution), Ok(()));
    let before = Record::Distribution(distribution.clone());
    assert_eq!(
        Record::events(None, &before),
        [PositionEvent::DistributionCreated]
    );
    distribution.deleted = true;
    let after = Record::Distribution(distribution.clone());
    assert_eq!(
        Record::events(Some(&before), &after),
        [PositionEvent::DistributionDeleted]
    );
    distribution.year = 1999;
    assert_eq!(check_distribution(&distribution), Err(Broken::Distribution));
}

proptest! {
    /// Against a plain count of every instant.
    #[test]
    fn nobody_is_put_where_there_is_no_room(
        there in prop::collection::vec((0i64..20, 1i64..20, 1u8..=100), 0..5),
        (from, long, percentage) in (0i64..20, 1i64..20, 1u8..=100),
    ) {
        let position = Position { valid: between(0, 40), ..position() };
        let there: Vec<Employment> = there
            .into_iter()
            .zip(1..)
            .map(|((from, long, percentage), id)| employment(id, between(from, from + long), percentage))
            .collect();
        let new = employment(99, between(from, from + long), percentage);
        let fullest = (from..from + long)
            .map(|at| {
                let beside = there.iter().filter(|e| e.valid.contains(Moment(at)));
                beside.map(|e| u32::from(e.percentage)).sum::<u32>()
            })
            .max()
            .unwrap_or(0);
        let fits = fullest + u32::from(percentage) <= 100;
        prop_assert_eq!(check_employment(&new, &position, there.iter()).is_ok(), fits);
    }
}
