//! Rules of organisations as tables.

use super::business::Business;
use super::hours::{OpeningHours, WEEK_MIN, duration, read_duration};
use super::register::as_businesses;
use super::resh::{ReshEvent, ReshUnit};
use crate::directory::{Organisation, Unit};
use crate::kernel::log::Content;
use crate::kernel::period::{Moment, Period};
use proptest::prelude::*;

#[test]
fn durations_count_from_monday_midnight() {
    for (minutes, text) in [
        (0, "PT0S"),
        (510, "PT8H30M"),
        (900, "PT15H"),
        (1_920, "P1DT8H"),
        (2_880, "P2D"),
        (WEEK_MIN, "P7D"),
    ] {
        assert_eq!(duration(minutes), text);
        assert_eq!(read_duration(text), Some(minutes));
    }
    for text in [
        "", "P", "PT", "8H", "PT8H30", "P1M", "PT30M8H", "P8D", "PT-1H",
    ] {
        assert_eq!(read_duration(text), None, "{text}");
    }
}

#[test]
fn hours_are_in_order_apart_and_within_the_week() {
    assert!(OpeningHours::try_from(vec![(510, 900), (900, 960)]).is_ok());
    for bad in [
        vec![(900, 510)],
        vec![(510, 510)],
        vec![(600, 700), (650, 800)],
        vec![(600, 700), (500, 550)],
        vec![(0, WEEK_MIN + 1)],
    ] {
        assert!(OpeningHours::try_from(bad.clone()).is_err(), "{bad:?}");
    }
    let hours = OpeningHours::weekdays(480, 960).unwrap();
    assert!(hours.is_open(480) && !hours.is_open(960) && !hours.is_open(5 * 1_440 + 600));
}

#[test]
fn a_unit_that_is_struck_off_has_a_negative_number() {
    let mut unit = Business::new("974760673", "Enheten", Moment(1));
    assert_eq!(unit.shown_number(Moment(10)), 974_760_673);
    unit.valid = Period::ALWAYS.ended(Moment(5));
    assert_eq!(unit.shown_number(Moment(4)), 974_760_673);
    assert_eq!(unit.shown_number(Moment(5)), -974_760_673);
}

#[test]
fn an_organisation_comes_apart_into_its_units() {
    let organisation = Organisation {
        orgnr: "313325016".to_owned(),
        name: "Legekontoret".to_owned(),
        kinds: vec!["gp_office".to_owned()],
        type_code: "103".to_owned(),
        her_id: 7,
        units: vec![Unit {
            orgnr: "315674489".to_owned(),
            name: "Kontoret".to_owned(),
            type_code: None,
        }],
        approved: true,
        story: None,
    };
    let all = as_businesses(&organisation, Moment(1));
    assert_eq!(all.len(), 2);
    assert_eq!(all[1].parent.as_deref(), Some("313325016"));
    assert_eq!(all[0].her_id, Some(7));
}

#[test]
fn units_of_the_specialist_service_have_their_events() {
    let mut unit = ReshUnit {
        id: 100,
        name: "Sykehuset".to_owned(),
        parent: None,
        orgnr: None,
        level: None,
        designation: None,
        her_id: None,
        valid: Period::ALWAYS,
        changed: Moment(1),
    };
    let name = |before: Option<&ReshUnit>, after: &ReshUnit| {
        ReshUnit::events(before, after)
            .iter()
            .map(ReshEvent::name)
            .collect::<Vec<_>>()
    };
    assert_eq!(name(None, &unit), ["OrganizationCreated"]);
    unit.parent = Some(1);
    assert_eq!(name(Some(&unit.clone()), &unit), ["DepartmentUpdated"]);
    unit.her_id = Some(3);
    assert_eq!(name(None, &unit), ["ServiceCreated"]);
}

proptest! {
    #[test]
    fn every_minute_of_the_week_is_written_and_read_back(minutes in 0..=WEEK_MIN) {
        prop_assert_eq!(read_duration(&duration(minutes)), Some(minutes));
    }

    #[test]
    fn reading_a_duration_never_panics(text in "\\PC{0,20}") {
        let _ = read_duration(&text);
    }
}
