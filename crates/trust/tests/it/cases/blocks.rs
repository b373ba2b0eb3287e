//! Persons who are blocked, the records they wrote, and when a change holds.

use super::{critical, denied, result};
use crate::world::*;
use jiff::civil::date;
use registers::table::Row;
use registers::{FNR_SYSTEM, HPR_SYSTEM, Person};
use store::*;
use trust::*;

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
        historic: vec!["41817033030".to_owned()],
        ..person(B.0, date(1970, 1, 1))
    };
    w.registers
        .import(vec![Row::Person(Box::new(with_dnr))])
        .unwrap();
    // The token may bear the older id; HPR knows the person by the current one.
    let decided = w.decide(personnel(("41817033030", B.1)), ci(Basis::Consent));
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
