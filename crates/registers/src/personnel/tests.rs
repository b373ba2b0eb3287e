//! Rules of the personnel register as tables.

use super::record::*;
use super::rules::{as_of, close_at_age, lapse};
use super::search::{Part, Search};
use crate::directory::PersonName;
use crate::kernel::period::{Moment, Period};
use jiff::civil::date;
use proptest::prelude::*;

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
    p.born = Some(date(1960, 2, 29));
    let no = p.next_part();
    let valid = Period::between(day(2000), day(2020));
    p.approvals.push(Approval {
        no,
        profession: short("LE"),
        authorisation: short("1"),
        valid,
        requisitions: vec![Requisition {
            no: 2,
            kind: short("1"),
            valid: Period::since(day(2001)),
            ..Requisition::default()
        }],
        ..Approval::default()
    });
    p.last_part = 2;
    p
}

#[test]
fn when_an_approval_counts() {
    let p = doctor(1, 2);
    let mut suspended = p.clone();
    suspended.approvals[0].seldom.suspensions.push(Suspension {
        no: 3,
        period: Period::between(day(2010), day(2011)),
    });
    let mut unknown = p.clone();
    unknown.approvals[0].profession = short("QQ");
    for (p, at, counts, prescribes) in [
        (&p, 1999, false, false),
        (&p, 2000, true, false),
        (&p, 2001, true, true),
        (&p, 2019, true, true),
        (&p, 2020, false, false),
        (&suspended, 2009, true, true),
        (&suspended, 2010, false, false),
        (&suspended, 2011, true, true),
        (&unknown, 2010, false, false),
    ] {
        let approval = &p.approvals[0];
        assert_eq!(approval.is_active(day(at)), counts, "{at}");
        assert_eq!(
            approval.requisitions[0].is_active(approval, day(at)),
            prescribes,
            "{at}"
        );
    }
}

#[test]
fn what_is_seen_as_of_a_time() {
    let p = doctor(1, 2);
    for (at, approvals, rights) in [(1999, 0, 0), (2000, 1, 0), (2005, 1, 1), (2020, 0, 0)] {
        let seen = as_of(&p, day(at));
        assert_eq!(seen.approvals.len(), approvals, "{at}");
        let found = seen
            .approvals
            .iter()
            .map(|a| a.requisitions.len())
            .sum::<usize>();
        assert_eq!(found, rights, "{at}");
    }
}

#[test]
fn authorisation_lapses_at_eighty() {
    assert_eq!(
        lapse(date(1946, 5, 6)),
        Some(Moment::of_day(date(2026, 5, 6)))
    );
    assert_eq!(
        lapse(date(1960, 2, 29)),
        Some(Moment::of_day(date(2040, 2, 29)))
    );
    let mut p = doctor(1, 2);
    p.born = Some(date(1930, 3, 4));
    p.approvals[0].valid.to = None;
    let mut licence = p.approvals[0].clone();
    licence.authorisation = short("4");
    p.approvals.push(licence);
    close_at_age(&mut p);
    assert_eq!(
        p.approvals[0].valid.to,
        Some(Moment::of_day(date(2010, 3, 4)))
    );
    assert_eq!(p.approvals[1].valid.to, None, "a licence stands");
}

#[test]
fn what_a_search_finds() {
    let p = doctor(7_654_321, 13_116_900_216);
    let part = |from: i16, to: i16| Part {
        valid: Some(Period::between(day(from), day(to))),
        ..Part::default()
    };
    let text = |t: &str| Some(t.to_owned());
    let none = Search::default;
    for (at, (search, fits)) in [
        (
            Search {
                name: text("blom VAK"),
                ..none()
            },
            true,
        ),
        (
            Search {
                name: text("blomst stor"),
                ..none()
            },
            false,
        ),
        (
            Search {
                family: text("Blom"),
                ..none()
            },
            true,
        ),
        (
            Search {
                given: text("Blom"),
                ..none()
            },
            false,
        ),
        (
            Search {
                full_text: text("7654321"),
                ..none()
            },
            true,
        ),
        (
            Search {
                nin: Some(13_116_900_216),
                ..none()
            },
            true,
        ),
        (
            Search {
                hpr: Some(1),
                ..none()
            },
            false,
        ),
        (
            Search {
                professions: vec![short("SP"), short("LE")],
                ..none()
            },
            true,
        ),
        (
            Search {
                professions: vec![short("SP")],
                ..none()
            },
            false,
        ),
        (
            Search {
                requisition: part(2005, 2006),
                ..none()
            },
            true,
        ),
        (
            Search {
                requisition: part(1990, 2001),
                ..none()
            },
            false,
        ),
        (
            Search {
                speciality: part(2005, 2006),
                ..none()
            },
            false,
        ),
        (
            Search {
                approval: part(2020, 2021),
                ..none()
            },
            false,
        ),
        (
            Search {
                suspended: Some(Period::ALWAYS),
                ..none()
            },
            false,
        ),
        (
            Search {
                born: Some(Period::between(day(1960), day(1961))),
                ..none()
            },
            true,
        ),
        (
            Search {
                education_countries: vec![short("SE")],
                ..none()
            },
            false,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(search.fits(&p), fits, "{at}");
    }
}

proptest! {
    #[test]
    fn short_codes_survive(text in "\\PC{0,9}") {
        let fits = text.len() <= 7;
        let code = Short::new(&text);
        prop_assert_eq!(code.is_some(), fits);
        if let Some(code) = code {
            prop_assert_eq!(code.as_str(), &text);
            let json = serde_json::to_string(&code).unwrap();
            prop_assert_eq!(serde_json::from_str::<Short>(&json).unwrap(), code);
        }
    }
}
