//! Who somebody is: own records, ages, deaths, two identities, strangers.

use super::{critical, denied, result};
use crate::world::*;
use jiff::civil::date;
use registers::table::Row;
use registers::{FNR_SYSTEM, Person};
use store::*;
use trust::settings::Setting;
use trust::*;

#[test]
fn case_36_own_record() {
    let w = World::new();
    for (id, disclose_at) in [("now", None), ("later", Some(START + DAY_US))] {
        let mut put = record(
            w.pps,
            "Observation",
            id,
            Controller::PPS,
            Class::LabObservation,
            &[E.0],
        );
        put.privacy.disclose_at = disclose_at;
        w.put(put);
    }
    let own = w.decide_on(personnel(E), pps(Basis::Consent), E.0);
    assert_eq!(w.seen(&own.granted, w.pps, "Observation"), ["now"]);
    let Decision::Allow { duties, .. } = &own.decision else {
        panic!("allowed")
    };
    assert_eq!(duties.review, Some(Review::OwnRecord));
    let page = w.decide_on(personnel(E), portal(Basis::Consent), E.0);
    assert_eq!(denied(&page), Some(DenyClass::None));
    let write = ci(Basis::Consent)
        .with_action(Action::Create)
        .with_classes([Class::Critical2]);
    assert_eq!(
        denied(&w.decide_on(personnel(E), write, E.0)),
        Some(DenyClass::Role)
    );
}

#[test]
fn case_39_birthdays_of_29_february() {
    let born = person("nin-leap", date(2012, 2, 29));
    for (day, age) in [
        (date(2024, 2, 28), 11),
        (date(2024, 2, 29), 12),
        (date(2025, 2, 28), 12),
        (date(2025, 3, 1), 13),
    ] {
        assert_eq!(born.age_on(day), Some(age), "{day}");
    }
}

#[test]
fn case_42_sixteen_from_midnight_oslo() {
    let w = World::new();
    w.registers
        .import(vec![Row::Person(Box::new(person(Q, date(2011, 6, 16))))])
        .unwrap();
    let ask = || Ask::read(Interface::CitizenPortal, Controller::PPS, Basis::None);
    let midnight = 1_813_096_800_000_000; // 2027-06-15T22:00Z
    w.at(midnight - 1);
    assert_eq!(
        denied(&w.decide_on(citizen(Q), ask(), Q)),
        Some(DenyClass::None)
    );
    w.at(midnight);
    assert!(w.decide_on(citizen(Q), ask(), Q).is_allowed());
}

#[test]
fn case_50_own_access_removed() {
    let w = World::new();
    critical(&w, "a1");
    w.set(&[(Setting::SelfOffKj, true)]);
    let own = || Ask::read(Interface::CitizenPortal, Controller::KJ, Basis::None);
    assert!(!w.decide(citizen(P), own()).is_allowed());
    let doctor = w.decide(personnel(E), ci(Basis::Consent));
    assert_eq!(w.seen(&doctor.granted, w.kj, "AllergyIntolerance"), ["a1"]);
    assert!(
        w.decide(citizen(P), own().with_action(Action::ChangeSetting))
            .is_allowed()
    );
    w.set(&[(Setting::SelfOffKj, false)]);
    let again = w.decide(citizen(P), own());
    assert_eq!(w.seen(&again.granted, w.kj, "AllergyIntolerance"), ["a1"]);
}

#[test]
fn case_51_52_delayed_results() {
    let w = World::new();
    let due = START + 14 * DAY_US;
    let delayed = |p: &mut Privacy| {
        p.labels = trust::label::bit("NORU");
        p.disclose_at = Some(due);
    };
    result(&w, "x", delayed);
    let own = || {
        let ask = Ask::read(Interface::CitizenPortal, Controller::PPS, Basis::None);
        w.decide(citizen(P), ask).granted
    };
    for (now, seen) in [(START, 0), (due - 1, 0), (due, 1), (due + 1, 1)] {
        w.at(now);
        assert_eq!(w.seen(&own(), w.pps, "Observation").len(), seen);
    }
    // Paging begun before keeps its instant.
    w.at(due - 1);
    let begun = own();
    w.at(due);
    assert!(w.seen(&begun, w.pps, "Observation").is_empty());
    // Personnel see it all the time.
    w.at(START);
    let doctor = w.decide(personnel(E), pps(Basis::Consent));
    assert_eq!(w.seen(&doctor.granted, w.pps, "Observation"), ["x"]);
    // 52: the delay lifted and NORN_ANG set in one commit.
    result(&w, "x", |p| p.labels = trust::label::bit("NORN_ANG"));
    w.at(due + DAY_US);
    assert!(w.seen(&own(), w.pps, "Observation").is_empty());
}

/// The hours count from the registration, not from the day of the death.
#[test]
fn a_death_that_is_registered_late_leaves_its_whole_time() {
    use registers::kernel::period::Moment;
    use registers::persons::freg::{import::Importer, source::of_text};
    let w = World::new();
    w.put(record(
        w.kj,
        "AllergyIntolerance",
        "a1",
        Controller::KJ,
        Class::Critical2,
        &[P],
    ));
    let notice = format!(
        "<meldingOmDoedsfall><forespoersel><doedPerson><foedselsnummer>{}</foedselsnummer>\
         <doedsdato>2026-01-10</doedsdato></doedPerson></forespoersel></meldingOmDoedsfall>",
        P
    );
    // Long after it, in the afternoon.
    let registered = 1_813_010_400_000_000 + 15 * HOUR_US;
    let mut importer = Importer::new(w.registers.persons(), Moment(registered / 1_000)).unwrap();
    importer.take(1, of_text(&notice).unwrap()).unwrap();
    importer.finish().unwrap();
    for (hours, is_open) in [(1, true), (48, true), (49, false)] {
        w.at(registered + hours * HOUR_US);
        let decided = w.decide(personnel(E), ci(Basis::Emergency));
        let expected = (!is_open).then_some(DenyClass::State);
        assert_eq!(denied(&decided), expected, "{hours} h");
    }
}

#[test]
fn case_54_55_56_after_a_death_and_its_annulment() {
    let w = World::new();
    w.put(record(
        w.kj,
        "AllergyIntolerance",
        "a1",
        Controller::KJ,
        Class::Critical2,
        &[P],
    ));
    w.set(&[(block(Controller::KJ, B.1), true)]);
    let died = |day| {
        let row = Person {
            died: day,
            ..patient()
        };
        w.registers
            .import(vec![Row::Person(Box::new(row))])
            .unwrap();
    };
    died(Some(START_DAY));
    let registered = 1_813_010_400_000_000; // 2027-06-14T22:00Z, the day's first instant in Oslo
    for (hours, is_open) in [(1, true), (48, true), (49, false)] {
        w.at(registered + hours * HOUR_US);
        let decided = w.decide(personnel(E), ci(Basis::Emergency));
        let expected = (!is_open).then_some(DenyClass::State);
        assert_eq!(denied(&decided), expected, "{hours} h");
    }
    for (days, is_open) in [(89, true), (91, false)] {
        w.at(registered + days * DAY_US);
        let decided = w.decide(personnel(G), ci(Basis::Exception));
        assert_eq!(decided.is_allowed(), is_open, "{days} days");
    }
    w.at(registered + HOUR_US);
    for basis in [
        Basis::Consent,
        Basis::ElevatedConsent,
        Basis::ElevatedEmergency,
    ] {
        assert_eq!(
            denied(&w.decide(personnel(E), ci(basis))),
            Some(DenyClass::State)
        );
    }
    assert_eq!(
        denied(&w.decide(personnel(B), ci(Basis::Emergency))),
        Some(DenyClass::Block)
    );
    let own = || Ask::read(Interface::CitizenPortal, Controller::KJ, Basis::None);
    assert_eq!(denied(&w.decide(citizen(P), own())), Some(DenyClass::State));
    // Annulled: as before, settings too.
    died(None);
    assert!(w.decide(citizen(P), own()).is_allowed());
    assert_eq!(
        denied(&w.decide(personnel(B), ci(Basis::Consent))),
        Some(DenyClass::Block)
    );
}

#[test]
fn case_57_two_identities_of_one_person() {
    let w = World::new();
    let second = "44838540047";
    w.registers
        .import(vec![Row::Person(Box::new(person(
            second,
            date(1985, 3, 4),
        )))])
        .unwrap();
    w.set_for(second, &[(block(Controller::KJ, B.1), true)]);
    w.set(&[(Setting::RestrictPart(Controller::KJ, Part::Medicines), true)]);
    w.put(record(
        w.kj,
        "AllergyIntolerance",
        "old",
        Controller::KJ,
        Class::Critical2,
        &[second],
    ));
    critical(&w, "new");
    let merge = Alias::Merge {
        from: PersonRef::id(FNR_SYSTEM, second),
        to: PersonRef::id(FNR_SYSTEM, P),
    };
    w.store
        .commit(Commit {
            alias: vec![merge],
            ..Commit::default()
        })
        .unwrap();
    for nin in [P, second, P_DNR] {
        let blocked = w.decide_on(personnel(B), portal(Basis::Consent), nin);
        assert_eq!(denied(&blocked), Some(DenyClass::Block), "{nin}");
        let other = w.decide_on(personnel(E), portal(Basis::Consent), nin);
        assert_eq!(
            other.flags().closed_parts,
            [Part::Medicines].into(),
            "{nin}"
        );
        assert_eq!(
            w.seen(&other.granted, w.kj, "AllergyIntolerance"),
            ["new", "old"],
            "{nin}"
        );
    }
}

#[test]
fn an_unknown_person_is_a_person_without_data() {
    let w = World::new();
    let decided = w.decide_on(personnel(E), ci(Basis::Consent), "nin-nobody");
    assert!(decided.is_allowed());
    assert!(
        w.seen(&decided.granted, w.kj, "AllergyIntolerance")
            .is_empty()
    );
}

#[test]
fn only_hub_jobs_are_open_and_representatives_are_strangers_yet() {
    let w = World::new();
    assert_eq!(w.trust.hub("job").filter(), &Filter::Open);
    let acting = Principal::Citizen {
        nin: P.to_owned(),
        acting: Some(Q.to_owned()),
    };
    let ask = Ask::read(Interface::CitizenPortal, Controller::PPS, Basis::None);
    assert_eq!(
        denied(&w.decide(acting, ask.clone())),
        Some(DenyClass::None)
    );
    assert_eq!(
        denied(&w.decide_on(citizen(Q), ask, P)),
        Some(DenyClass::None)
    );
    let level = |text: &str| {
        let mut who = personnel(E);
        if let Principal::Personnel { security_level, .. } = &mut who {
            text.clone_into(security_level);
        }
        w.decide(who, ci(Basis::Consent)).is_allowed()
    };
    assert!(level("4") && !level("3") && !level(" 4") && !level(""));
}
