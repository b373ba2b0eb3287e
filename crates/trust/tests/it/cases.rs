//! The hand-written cases of spec/privacy.md §12.3 that a decision and a snapshot can show; the numbers are theirs.
//!
//! Elsewhere: 4, 7, 13, 15, 16 (criteria), 17 (search), 19, 58 need HTTP or a page; 27-29 a broken journal; 38-49
//! representation; 53, 57 (unclear records) the writing service; 59, 60 other services.

use crate::world::*;
use jiff::civil::date;
use registers::table::Row;
use registers::{FNR_SYSTEM, HPR_SYSTEM, Person};
use store::*;
use trust::settings::Setting;
use trust::*;

fn critical(w: &World, id: &str) {
    w.put(record(
        w.kj,
        "AllergyIntolerance",
        id,
        Controller::KJ,
        Class::Critical2,
        &[P],
    ));
}

fn result(w: &World, id: &str, change: impl FnOnce(&mut Privacy)) -> Vno {
    let mut put = record(
        w.pps,
        "Observation",
        id,
        Controller::PPS,
        Class::LabObservation,
        &[P],
    );
    change(&mut put.privacy);
    w.put(put)
}

fn denied(decided: &Decided) -> Option<DenyClass> {
    decided.decision.denied()
}

#[test]
fn case_01_02_09_blocked_whatever_basis_organisation_or_data() {
    let w = World::new();
    w.set(&block_everywhere(B.1));
    for with_data in [false, true] {
        if with_data {
            critical(&w, "a1");
        }
        for basis in [
            Basis::Exception,
            Basis::Consent,
            Basis::Emergency,
            Basis::ElevatedConsent,
            Basis::ElevatedEmergency,
        ] {
            for ask in [ci(basis), portal(basis), pps(basis), documents(basis)] {
                let decided = w.decide(personnel(B), ask);
                assert_eq!(denied(&decided), Some(DenyClass::Block));
                assert_eq!(decided.granted.filter(), &Filter::Closed);
            }
        }
        let mut elsewhere = personnel(B);
        if let Principal::Personnel {
            orgnr_parent,
            orgnr_child,
            ..
        } = &mut elsewhere
        {
            GP_OFFICE.clone_into(orgnr_parent);
            "444444444".clone_into(orgnr_child);
        }
        assert_eq!(
            denied(&w.decide(elsewhere, ci(Basis::Consent))),
            Some(DenyClass::Block)
        );
        assert!(w.decide(personnel(E), ci(Basis::Consent)).is_allowed());
    }
}

#[test]
fn case_03_a_further_person_who_blocks_hides_the_record() {
    let w = World::new();
    w.set(&block_everywhere(B.1));
    w.put(record(
        w.pps,
        "Observation",
        "mother",
        Controller::PPS,
        Class::LabObservation,
        &[Q, P],
    ));
    w.put(record(
        w.pps,
        "Observation",
        "child",
        Controller::PPS,
        Class::LabObservation,
        &[Q],
    ));
    let blocked = w.decide_on(personnel(B), pps(Basis::Consent), Q);
    assert_eq!(w.seen(&blocked.granted, w.pps, "Observation"), ["child"]);
    let other = w.decide_on(personnel(E), pps(Basis::Consent), Q);
    assert_eq!(
        w.seen(&other.granted, w.pps, "Observation"),
        ["child", "mother"]
    );
}

#[test]
fn case_05_06_own_authored_record_read_vread_and_history_are_closed() {
    let w = World::new();
    let vno = result(&w, "x", |p| {
        p.author_person = Some(PersonRef::id(FNR_SYSTEM, B.0))
    });
    w.set(&block_everywhere(B.1));
    let decided = w.decide(
        personnel(B),
        pps(Basis::Consent).with_action(Action::History),
    );
    assert_eq!(denied(&decided), Some(DenyClass::Block));
    let snapshot = w.snapshot();
    let scope = HistoryScope::Instance {
        repo: w.pps,
        rtype: "Observation".to_owned(),
        id: "x".to_owned(),
    };
    let g = &decided.granted;
    assert!(
        snapshot
            .read(g, w.pps, "Observation", "x")
            .unwrap()
            .is_none()
    );
    assert!(
        snapshot
            .vread(g, w.pps, "Observation", "x", vno)
            .unwrap()
            .is_none()
    );
    assert!(snapshot.history(g, &scope, None, 10).unwrap().is_empty());
}

#[test]
fn case_08_a_page_taken_before_the_block_is_decided_again() {
    let w = World::new();
    result(&w, "x", |_| {});
    let before = w.decide(personnel(B), pps(Basis::Consent));
    assert_eq!(w.seen(&before.granted, w.pps, "Observation"), ["x"]);
    w.set(&block_everywhere(B.1));
    let after = w.decide(personnel(B), pps(Basis::Consent));
    assert_ne!(before.epochs, after.epochs);
    assert_ne!(
        before.granted.filter().fingerprint(),
        after.granted.filter().fingerprint()
    );
    assert!(w.seen(&after.granted, w.pps, "Observation").is_empty());
}

#[test]
fn case_10_blocked_by_hpr_and_logs_in_with_an_older_id() {
    let w = World::new();
    w.set(&block_everywhere(B.1));
    let with_dnr = Person {
        historic: vec!["dnr-blocked".to_owned()],
        ..person(B.0, date(1970, 1, 1))
    };
    w.registers
        .import(vec![Row::Person(Box::new(with_dnr))])
        .unwrap();
    // The token may bear the older id; HPR knows the person by the current one.
    let decided = w.decide(personnel(("dnr-blocked", B.1)), ci(Basis::Consent));
    assert!(!decided.is_allowed());
    let decided = w.decide(personnel(B), ci(Basis::Consent));
    assert_eq!(denied(&decided), Some(DenyClass::Block));
}

#[test]
fn case_10_blocked_by_hpr_before_the_person_is_known() {
    let w = World::empty();
    w.set(&block_everywhere(B.1));
    w.registers.import(people()).unwrap();
    assert_eq!(
        denied(&w.decide(personnel(B), ci(Basis::Consent))),
        Some(DenyClass::Block)
    );
}

#[test]
fn case_11_merged_hpr_number_stays_blocked() {
    let w = World::new();
    w.set(&block_everywhere(B.1));
    let new = (B.0, "9000099");
    w.registers
        .import(vec![Row::Practitioner(Box::new(doctor(new, HOSPITAL)))])
        .unwrap();
    assert_eq!(
        denied(&w.decide(personnel(new), ci(Basis::Consent))),
        Some(DenyClass::Block)
    );
}

#[test]
fn case_12_a_machine_while_a_block_exists() {
    let w = World::new();
    assert!(w.decide(system(), ci(Basis::Consent)).is_allowed());
    w.set(&[(block(Controller::KJ, B.1), true)]);
    assert_eq!(
        denied(&w.decide(system(), ci(Basis::Consent))),
        Some(DenyClass::Machine)
    );
    let status =
        Ask::read(Interface::Status, Controller::KJ, Basis::Exception).with_action(Action::Status);
    assert_eq!(
        denied(&w.decide(system(), status)),
        Some(DenyClass::Machine)
    );
    let count =
        Ask::read(Interface::InnerFhir, Controller::PPS, Basis::Consent).with_action(Action::Count);
    assert!(w.decide(system(), count.clone()).is_allowed());
    w.set(&[(block(Controller::PPS, B.1), true)]);
    assert_eq!(denied(&w.decide(system(), count)), Some(DenyClass::Machine));
}

#[test]
fn case_14_a_refused_write_is_a_line_in_the_log() {
    let w = World::new();
    w.set(&block_everywhere(B.1));
    let ask = ci(Basis::Consent)
        .with_action(Action::Create)
        .with_classes([Class::Critical2]);
    let decided = w.decide(personnel(B), ask);
    assert_eq!(denied(&decided), Some(DenyClass::Block));
    w.trust.record(&decided, &[]).unwrap();
    let lines = w.store.journal_of(w.key(P), None, 10).unwrap();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].entry.members["deny_class"], "block");
    assert_eq!(lines[0].entry.members["action"], "Create");
}

#[test]
fn case_16_no_patient_named() {
    let w = World::new();
    let access = Access::new(personnel(E), None, pps(Basis::Consent), "test");
    let decided = w.trust.decide(&w.snapshot(), &access).unwrap();
    assert_eq!(denied(&decided), Some(DenyClass::Form));
}

#[test]
fn case_17_a_denied_count_is_nought_by_the_same_path() {
    let w = World::new();
    result(&w, "x", |_| {});
    w.set(&block_everywhere(B.1));
    let decided = w.decide(personnel(B), pps(Basis::Consent).with_action(Action::Count));
    let snapshot = w.snapshot();
    let g = &decided.granted;
    let everybody = std::collections::BTreeSet::from([w.key(P)]);
    assert!(
        snapshot
            .range(g, w.pps, &KeyRange::whole(1), 100)
            .unwrap()
            .is_empty()
    );
    assert!(
        snapshot
            .compartment(g, w.pps, &everybody, 100)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn case_18_the_record_projected_from_a_letter_is_not_seen() {
    let w = World::new();
    w.put(record(
        w.pjd,
        "DocumentReference",
        "letter",
        Controller::PJD,
        Class::DocumentA,
        &[P],
    ));
    w.set(&[(block(Controller::PJD, B.1), true)]);
    for ask in [
        documents(Basis::Consent),
        Ask::read(Interface::PjdLaw45, Controller::PJD, Basis::Law45),
    ] {
        assert_eq!(
            denied(&w.decide(personnel(B), ask.clone())),
            Some(DenyClass::Block)
        );
        let other = w.decide(personnel(E), ask);
        assert_eq!(
            w.seen(&other.granted, w.pjd, "DocumentReference"),
            ["letter"]
        );
    }
}

/// §10.4: the next decision after an acknowledged change obeys it.
fn change_and_decide(rounds: u32) {
    let w = World::new();
    for round in 0..rounds {
        let is_on = round % 2 == 0;
        w.set(&[(block(Controller::KJ, B.1), is_on)]);
        let decided = w.decide(personnel(B), ci(Basis::Consent));
        assert_eq!(!decided.is_allowed(), is_on, "round {round}");
    }
}

#[test]
fn case_20_immediate() {
    change_and_decide(200);
}

/// Ten thousand rounds; named so that `./test matrix` runs it.
#[test]
#[ignore = "minutes: run by ./test matrix"]
fn case_20_immediate_in_ten_thousand_rounds_matrix() {
    change_and_decide(10_000);
}

#[test]
fn case_21_22_lifting_a_block() {
    let w = World::new();
    critical(&w, "a1");
    w.set(&[(block(Controller::KJ, B.1), true)]);
    let lift = ci(Basis::Consent).with_action(Action::ChangeSetting);
    let lift = Ask {
        interface: Interface::InnerFhir,
        ..lift
    };
    assert_eq!(
        denied(&w.decide(personnel(B), lift.clone())),
        Some(DenyClass::Block)
    );
    assert!(w.decide(personnel(E), lift).is_allowed());
    w.set(&[(block(Controller::KJ, B.1), false)]);
    let decided = w.decide(personnel(B), ci(Basis::Consent));
    assert_eq!(w.seen(&decided.granted, w.kj, "AllergyIntolerance"), ["a1"]);
    let rows = w.trust.setting_rows(&w.snapshot(), w.key(P)).unwrap();
    assert_eq!(
        (rows.len(), rows[0].is_active, rows[0].vno),
        (1, false, Vno(2))
    );
}

#[test]
fn case_23_24_25_26_the_whole_record_restricted() {
    let w = World::new();
    critical(&w, "a1");
    w.put(record(
        w.kj,
        "Encounter",
        "v1",
        Controller::KJ,
        Class::Visit,
        &[P],
    ));
    let elevated = || {
        let mut ask = portal(Basis::ElevatedEmergency);
        ask.interface = Interface::InnerFhir;
        ask
    };
    // 26: nothing restricted.
    assert_eq!(
        denied(&w.decide(personnel(E), elevated())),
        Some(DenyClass::NotNeeded)
    );
    let plain = w.decide(personnel(E), portal(Basis::Emergency));
    assert!(plain.is_allowed());
    // 23, 24.
    w.set(&[(Setting::RestrictWholly(Controller::KJ), true)]);
    let plain = w.decide(personnel(E), portal(Basis::Emergency));
    assert_eq!(denied(&plain), Some(DenyClass::Restr));
    assert_eq!(plain.granted.filter(), &Filter::Closed);
    let open = w.decide(personnel(E), elevated());
    assert_eq!(w.seen(&open.granted, w.kj, "AllergyIntolerance"), ["a1"]);
    assert_eq!(w.seen(&open.granted, w.kj, "Encounter"), ["v1"]);
    let Decision::Allow { duties, .. } = &open.decision else {
        panic!("allowed")
    };
    assert!(duties.notify && duties.review == Some(Review::Always));
    // 25.
    w.set(&[(Setting::VisitsOff, true)]);
    let open = w.decide(personnel(E), elevated());
    assert_eq!(w.seen(&open.granted, w.kj, "AllergyIntolerance"), ["a1"]);
    assert!(w.seen(&open.granted, w.kj, "Encounter").is_empty());
    assert!(
        open.flags().closed_parts.is_empty(),
        "visits off is not told"
    );
    // 26 again: visits off is no restriction.
    w.set(&[(Setting::RestrictWholly(Controller::KJ), false)]);
    assert_eq!(
        denied(&w.decide(personnel(E), elevated())),
        Some(DenyClass::NotNeeded)
    );
}

#[test]
fn case_30_the_gp_and_a_restricted_part() {
    let w = World::new();
    critical(&w, "a1");
    w.put(record(
        w.kj,
        "MedicationRequest",
        "m1",
        Controller::KJ,
        Class::Prescription,
        &[P],
    ));
    w.set(&[(Setting::RestrictPart(Controller::KJ, Part::Medicines), true)]);
    let decided = w.decide(personnel(G), portal(Basis::Exception));
    assert_eq!(w.seen(&decided.granted, w.kj, "AllergyIntolerance"), ["a1"]);
    assert!(
        w.seen(&decided.granted, w.kj, "MedicationRequest")
            .is_empty()
    );
    assert_eq!(decided.flags().closed_parts, [Part::Medicines].into());
    // Clicking another part does not open this one.
    let mut ask = portal(Basis::ElevatedConsent).with_elevated_part(Some(Part::Critical));
    let decided = w.decide(personnel(G), ask.clone());
    assert!(
        w.seen(&decided.granted, w.kj, "MedicationRequest")
            .is_empty()
    );
    ask.elevated_part = Some(Part::Medicines);
    let decided = w.decide(personnel(G), ask);
    assert_eq!(w.seen(&decided.granted, w.kj, "MedicationRequest"), ["m1"]);
    assert_eq!(decided.flags().opened_parts, [Part::Medicines].into());
}

#[test]
fn case_31_32_who_may_use_the_exception() {
    let w = World::new();
    let ask = || ci(Basis::Exception);
    assert!(w.decide(personnel(G), ask()).is_allowed());
    assert!(w.decide(personnel(S), ask()).is_allowed());
    assert_eq!(
        denied(&w.decide(personnel(E), ask())),
        Some(DenyClass::Basis)
    );
    // The substitute's last day is the 30th, Oslo time.
    let last_instant = 1_814_392_799_999_999; // 2027-06-30T21:59:59.999999Z
    w.at(last_instant);
    assert!(w.decide(personnel(S), ask()).is_allowed());
    w.at(last_instant + 1);
    assert_eq!(
        denied(&w.decide(personnel(S), ask())),
        Some(DenyClass::Basis)
    );
    let status =
        Ask::read(Interface::Status, Controller::KJ, Basis::Exception).with_action(Action::Status);
    assert!(w.decide(personnel(E), status).is_allowed());
}

#[test]
fn case_33_every_spelling_of_a_basis() {
    let acp = "urn:oid:2.16.578.1.12.4.1.7.2.1.4";
    for text in ["UNNTAK", "unntak", " Unntak ", "HPUNNTAK", "0", acp] {
        assert_eq!(Basis::parse(text), Some(Basis::Exception), "{text}");
    }
    for (text, basis) in [
        ("samtykke", Basis::Consent),
        ("HPMOTTATTSAMTYKKE", Basis::Consent),
        ("1", Basis::Consent),
        ("urn:oid:2.16.578.1.12.4.1.7.2.1.8", Basis::Consent),
        ("akutt", Basis::Emergency),
        ("HpAkutt", Basis::Emergency),
        ("2", Basis::Emergency),
        ("urn:oid:2.16.578.1.12.4.1.7.2.1.6", Basis::Emergency),
        ("forhoyet_samtykke", Basis::ElevatedConsent),
        ("urn:oid:2.16.578.1.12.4.1.7.2.1.5", Basis::ElevatedConsent),
        ("FORHOYET_AKUTT", Basis::ElevatedEmergency),
        (
            "urn:oid:2.16.578.1.12.4.1.7.2.1.7",
            Basis::ElevatedEmergency,
        ),
    ] {
        assert_eq!(Basis::parse(text), Some(basis), "{text}");
    }
    for text in [
        "",
        "3",
        "UNNTAK SAMTYKKE",
        "FORHØYET_AKUTT",
        "LOV45",
        "7.2.1.9",
    ] {
        assert_eq!(Basis::parse(text), None, "{text}");
    }
}

#[test]
fn case_34_35_two_patients_and_attests() {
    let w = World::new();
    let mut two = pps(Basis::Consent);
    two.subjects_differ = true;
    assert_eq!(denied(&w.decide(personnel(E), two)), Some(DenyClass::Form));
    let with = |age_minutes, names_subject, ask: Ask| {
        let mut access = Access::new(
            personnel(E),
            Some(trust::gather::SubjectRef::Nin(P.to_owned())),
            ask,
            "test",
        );
        access.attest = Some(AttestFacts {
            age_minutes,
            names_subject,
        });
        access.attest_is_required = true;
        let decided = w.trust.decide(&w.snapshot(), &access).unwrap();
        w.trust.record(&decided, &[]).unwrap();
        denied(&decided)
    };
    let lines = || w.store.journal_of(w.key(P), None, 10).unwrap().len();
    assert_eq!(
        with(1, Some(false), pps(Basis::Consent)),
        Some(DenyClass::Role)
    );
    assert_eq!(
        lines(),
        0,
        "an attest for another patient is in the technical log only"
    );
    assert_eq!(with(60, Some(true), pps(Basis::Consent)), None);
    assert_eq!(
        with(61, Some(true), pps(Basis::Consent)),
        Some(DenyClass::Role)
    );
    assert_eq!(lines(), 2);
    let law45 = || Ask::read(Interface::PjdLaw45, Controller::PJD, Basis::Law45);
    assert_eq!(with(1, None, law45().with_action(Action::List)), None);
    assert_eq!(with(1, None, law45()), Some(DenyClass::Role));
}

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
fn case_37_status_tells_the_setting_and_nothing_behind_it() {
    let w = World::new();
    critical(&w, "a1");
    w.set(&[(Setting::RestrictPart(Controller::KJ, Part::Critical), true)]);
    let status =
        Ask::read(Interface::Status, Controller::KJ, Basis::Exception).with_action(Action::Status);
    let decided = w.decide(personnel(E), status);
    assert_eq!(decided.flags().closed_parts, [Part::Critical].into());
    assert!(
        w.seen(&decided.granted, w.kj, "AllergyIntolerance")
            .is_empty()
    );
    w.trust.record(&decided, &[]).unwrap();
    assert!(w.store.journal_of(w.key(P), None, 10).unwrap().is_empty());
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
    let second = "dnr-second";
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
fn a_block_in_one_controller_holds_there() {
    let w = World::new();
    w.set(&[(block(Controller::PPS, B.1), true)]);
    assert_eq!(
        denied(&w.decide(personnel(B), pps(Basis::Consent))),
        Some(DenyClass::Block)
    );
    assert!(w.decide(personnel(B), ci(Basis::Consent)).is_allowed());
    // By the person's own number too: HPR number and national id lead to one key.
    let by_hpr = w.store.person(HPR_SYSTEM, B.1).unwrap();
    assert_eq!(by_hpr, w.store.person(FNR_SYSTEM, B.0).unwrap());
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
