//! Settings as stored rows: written, read, lifted, unreadable, changed by two at once (spec/privacy.md §10).

use crate::world::*;
use bytes::Bytes;
use store::*;
use trust::settings::{Setting, blocking_persons, decode, in_force};
use trust::*;

fn all_settings() -> Vec<Setting> {
    let mut list = vec![
        Setting::Reservation(Controller::KJ),
        Setting::Reservation(Controller::PPS),
        Setting::VisitsOff,
        Setting::SelfOffKj,
        Setting::SelfOffJournal,
        Setting::FastResults,
    ];
    for c in [Controller::KJ, Controller::PPS, Controller::PJD] {
        list.push(Setting::RestrictWholly(c));
        list.push(block(c, B.1));
        list.push(block(c, E.1));
    }
    for part in Part::ALL.into_iter().filter(|p| p.is_restrictable()) {
        list.push(Setting::RestrictPart(Controller::KJ, part));
    }
    list.push(Setting::Block {
        controller: Controller::RF,
        hpr: B.1.to_owned(),
        name: "Kari \"æøå\" Lege".to_owned(),
        hidden_name: true,
    });
    for (attorney, is_assigned) in [(E.0, false), (B.0, true)] {
        list.push(Setting::PowerOfAttorney {
            giver: P.to_owned(),
            attorney: attorney.to_owned(),
            areas: [1, 3].into(),
            is_assigned,
        });
    }
    list
}

fn records(w: &World) -> Vec<Record> {
    let snapshot = w.snapshot();
    let repo = w.trust.settings_repository();
    let rids = snapshot
        .compartment(&w.hub, repo, &[w.key(P)].into(), 1_000)
        .unwrap();
    snapshot.fetch(&w.hub, &rids).unwrap()
}

#[test]
fn every_setting_is_read_as_it_was_written() {
    let w = World::new();
    let list = all_settings();
    let changes: Vec<(Setting, bool)> = list.iter().map(|s| (s.clone(), true)).collect();
    w.set(&changes);
    let mut read: Vec<Setting> = records(&w)
        .iter()
        .map(|r| {
            let row = decode(r).expect("a row this build wrote");
            assert!(row.is_active);
            assert_eq!(row.date_time, START);
            assert_eq!(
                (row.by.channel.as_str(), row.by.performer.as_str()),
                ("helsenorge", "Du selv")
            );
            assert_eq!(row.subject, Some(w.key(P)));
            row.setting
        })
        .collect();
    let mut written = list;
    read.sort();
    written.sort();
    assert_eq!(read, written);
}

#[test]
fn in_force_is_what_is_on() {
    let w = World::new();
    let changes: Vec<(Setting, bool)> = all_settings().into_iter().map(|s| (s, true)).collect();
    w.set(&changes);
    let on = in_force(w.key(P), &records(&w));
    assert_eq!(on.reservations, [Controller::KJ, Controller::PPS].into());
    assert_eq!(
        on.restricted_wholly,
        [Controller::KJ, Controller::PPS, Controller::PJD].into()
    );
    assert_eq!(on.restricted_parts.len(), 8);
    assert!(on.visits_off && on.self_off_kj && on.self_off_journal && on.fast_results);
    assert!(
        on.is_blocked(Controller::KJ, w.key(B.0)) && on.is_blocked(Controller::PPS, w.key(E.0))
    );
    assert!(!on.is_blocked(Controller::KJ, w.key(G.0)));
    let off: Vec<(Setting, bool)> = all_settings().into_iter().map(|s| (s, false)).collect();
    w.set(&off);
    assert_eq!(in_force(w.key(P), &records(&w)), SettingsInForce::default());
    // Rows are superseded, never removed; on, off, on is one history.
    assert_eq!(records(&w).len(), all_settings().len());
    assert!(records(&w).iter().all(|r| r.head.vno == Vno(2)));
}

#[test]
fn another_citizens_rows_do_not_count() {
    let w = World::new();
    w.set_for(
        Q,
        &[
            (Setting::RestrictWholly(Controller::KJ), true),
            (block(Controller::KJ, B.1), true),
        ],
    );
    assert_eq!(in_force(w.key(P), &records(&w)), SettingsInForce::default());
    // Nor do blocks set on the citizen herself, who is a doctor.
    w.set_for(B.0, &[(block(Controller::KJ, E.1), true)]);
    let decided = w.decide_on(personnel(B), ci(Basis::Consent), E.0);
    assert!(decided.is_allowed());
    assert_eq!(decided.facts.blocking_persons, [w.key(Q)].into());
}

#[test]
fn who_blocks_whom_is_read_from_the_rows() {
    let w = World::new();
    w.set_for(Q, &[(block(Controller::PPS, B.1), true)]);
    let rows = |w: &World, who| {
        let snapshot = w.snapshot();
        let repo = w.trust.settings_repository();
        let rids = snapshot
            .compartment(&w.hub, repo, &[w.key(who)].into(), 100)
            .unwrap();
        snapshot.fetch(&w.hub, &rids).unwrap()
    };
    let key = w.key(B.0);
    let blockers = |c: &[Controller]| blocking_persons(key, c, &rows(&w, B.0));
    assert_eq!(blockers(&[Controller::PPS]), [w.key(Q)].into());
    assert!(blockers(&[Controller::KJ]).is_empty());
    w.set_for(Q, &[(block(Controller::PPS, B.1), false)]);
    assert!(blocking_persons(key, &[Controller::PPS], &rows(&w, B.0)).is_empty());
}

#[test]
fn a_row_that_cannot_be_read_closes_the_record() {
    for body in [
        "",
        "{}",
        "not json",
        r#"{"category":[{},{"coding":[{"code":"NEW_KIND"}]}],"organization":[{"identifier":{"value":"KJ"}}]}"#,
    ] {
        let w = World::new();
        let mut put = record(
            w.trust.settings_repository(),
            "Consent",
            "odd",
            Controller::KJ,
            Class::Settings,
            &[P],
        );
        put.body = Bytes::copy_from_slice(body.as_bytes());
        w.store
            .commit(Commit {
                put: vec![put],
                raise: vec![PersonRef::Key(w.key(P))],
                ..Commit::default()
            })
            .unwrap();
        for ask in [
            ci(Basis::Consent),
            pps(Basis::Consent),
            documents(Basis::Consent),
        ] {
            let decided = w.decide(personnel(E), ask);
            assert_eq!(decided.decision.denied(), Some(DenyClass::Restr), "{body}");
        }
    }
}

/// §10.3: two changes decided at the same state: the second is refused, the first stands.
#[test]
fn of_two_changes_at_once_one_is_refused() {
    let w = World::new();
    let on = w.change(P, &[(Setting::RestrictWholly(Controller::KJ), true)]);
    let also_on = w.change(P, &[(Setting::RestrictWholly(Controller::KJ), true)]);
    w.store.commit(on).unwrap();
    let refused = w.store.commit(also_on).unwrap_err();
    assert!(
        matches!(
            refused,
            CommitError::Refused {
                refusal: Refusal::Exists,
                ..
            }
        ),
        "{refused:?}"
    );
    let lift = w.change(P, &[(Setting::RestrictWholly(Controller::KJ), false)]);
    let other_lift = lift.clone();
    w.store.commit(lift).unwrap();
    assert!(matches!(
        w.store.commit(other_lift),
        Err(CommitError::Refused { .. })
    ));
    // A refused change changes nothing.
    w.set(&[(Setting::RestrictWholly(Controller::KJ), true)]);
    assert_eq!(
        w.decide(personnel(E), ci(Basis::Consent)).decision.denied(),
        Some(DenyClass::Restr)
    );
}

/// §10.4: the epoch rises with every change, for the citizen and for the blocked person.
#[test]
fn epochs_rise_with_the_change() {
    let w = World::new();
    let epochs = |w: &World| {
        let s = w.snapshot();
        (s.epoch(w.key(P)).unwrap(), s.epoch(w.key(B.0)).unwrap())
    };
    let before = epochs(&w);
    w.set(&[(block(Controller::KJ, B.1), true)]);
    let blocked = epochs(&w);
    assert!(blocked.0 > before.0 && blocked.1 > before.1);
    w.set(&[(Setting::VisitsOff, true)]);
    let visits = epochs(&w);
    assert!(visits.0 > blocked.0);
    assert_eq!(visits.1, blocked.1);
    // An older snapshot still shows the older settings.
    let old = w.snapshot();
    w.set(&[(block(Controller::KJ, B.1), false)]);
    let access = Access::new(
        personnel(B),
        Some(trust::gather::SubjectRef::Nin(P.to_owned())),
        ci(Basis::Consent),
        "test",
    );
    let at = |s: &Snapshot| w.trust.decide(s, &access).unwrap().decision.denied();
    assert_eq!(at(&w.snapshot()), None);
    assert_eq!(at(&old), Some(DenyClass::Block));
    assert_eq!(at(&w.snapshot()), None);
}
