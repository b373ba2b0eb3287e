//! Blocks, restrictions, reservation (spec/privacy.md §2.7, §9.2, §9.4, §10).

use crate::world::*;
use helsenorge::access::{EVERYWHERE, What, Whom};
use helsenorge::notices::NoticeKind;
use std::collections::BTreeSet;
use trust::{Basis, Controller, DenyClass};

fn line_of(world: &World, hpr: &str) -> helsenorge::usage_log::VisitView {
    let view = world.service.log_view(&world.kari(), None).unwrap();
    view.visits
        .into_iter()
        .find(|v| v.head.hpr.as_deref() == Some(hpr))
        .unwrap()
}

#[test]
fn a_block_by_name_is_one_commit_with_four_rows_a_notice_and_a_line() {
    let world = world();
    let kari = world.kari();
    assert!(
        world
            .look(MOEN, "kjernejournal", Basis::Consent)
            .is_allowed()
    );
    let hits = world.service.search_practitioners("moen nordlys");
    assert_eq!(hits.len(), 1);
    let view = world
        .service
        .block(&kari, &Whom::Hpr(hits[0].hpr.clone()))
        .unwrap();
    assert_eq!(view.blocked.len(), 1);
    assert_eq!(view.blocked[0].name.as_deref(), Some("Stian Moen"));
    let snapshot = world.store.snapshot().unwrap();
    let hub = world.trust.hub("test");
    let persons = BTreeSet::from([kari.key]);
    let mut commits = BTreeSet::new();
    for (repo, count) in [
        (trust::settings::REPOSITORY, 4),
        (helsenorge::REPOSITORY, 1),
    ] {
        let repo = world.store.repo(repo).unwrap();
        let rids = snapshot.compartment(&hub, repo, &persons, 100).unwrap();
        assert_eq!(rids.len(), count);
        commits.extend(snapshot.heads(&hub, &rids).unwrap().iter().map(|h| h.at));
    }
    assert_eq!(commits.len(), 1, "rows and notice in one commit");
    let rows = world.trust.setting_rows(&snapshot, kari.key).unwrap();
    assert_eq!(rows.len(), EVERYWHERE.len());
    let notices = world.service.notices(&kari).unwrap();
    assert_eq!(notices.len(), 1);
    assert_eq!(
        (notices[0].kind, notices[0].what.as_deref()),
        (NoticeKind::Blocked, Some("Stian Moen"))
    );
    for (service, basis) in [
        ("kjernejournal", Basis::Consent),
        ("kjernejournal", Basis::Emergency),
        ("kjernejournal", Basis::ElevatedEmergency),
        ("provesvar", Basis::Consent),
    ] {
        let decided = world.look(MOEN, service, basis);
        assert_eq!(
            decided.decision.denied(),
            Some(DenyClass::Block),
            "{service} {basis:?}"
        );
    }
    assert!(
        world
            .look(SOLBERG, "kjernejournal", Basis::Consent)
            .is_allowed()
    );
    // Refused after a choice by name: named at once; the earlier visit still waits.
    let view = world.service.log_view(&kari, None).unwrap();
    let of_moen: Vec<_> = view
        .visits
        .iter()
        .filter(|v| v.head.hpr.as_deref() == Some(MOEN.1))
        .collect();
    let mut names: Vec<_> = of_moen
        .iter()
        .map(|v| (v.is_denied, v.head.name.clone()))
        .collect();
    names.sort();
    names.dedup();
    assert_eq!(
        names,
        [(false, None), (true, Some("Stian Moen".to_owned()))]
    );
    assert!(of_moen.iter().all(|v| !v.can_block), "blocked already");
}

#[test]
fn a_block_from_a_nameless_line_tells_no_name_until_it_is_due() {
    let world = world();
    let kari = world.kari();
    world.look(MOEN, "kjernejournal", Basis::Consent);
    let line = line_of(&world, MOEN.1);
    assert!(line.head.name.is_none() && line.can_block);
    assert_eq!(
        line.head.name_shown_from,
        Some(jiff::civil::date(2026, 11, 30))
    );
    let view = world
        .service
        .block(&kari, &Whom::LogLine(line.head.id))
        .unwrap();
    world.look(MOEN, "kjernejournal", Basis::Consent);
    let log = world.service.log_view(&kari, None).unwrap();
    let notices = world.service.notices(&kari).unwrap();
    let everything = serde_json::to_string(&(&view, &log, &notices)).unwrap();
    for secret in ["Moen", MOEN.1, MOEN.0] {
        assert!(!everything.contains(secret), "{secret} in {everything}");
    }
    assert!(
        log.visits
            .iter()
            .any(|v| v.is_denied && v.head.is_blocked_person),
        "a person you have blocked"
    );
    // The number is no key to what is hidden, the handle is.
    assert_eq!(
        world.service.unblock(&kari, MOEN.1).unwrap_err().status,
        404
    );
    let handle = view.blocked[0].hpr.clone();
    world.pass(7 * DAY_US);
    let due = world.service.access_view(&kari).unwrap();
    assert_eq!(due.blocked[0].name.as_deref(), Some("Stian Moen"));
    assert!(
        due.changes
            .iter()
            .all(|c| c.what.as_deref() == Some("Stian Moen"))
    );
    assert_eq!(
        world.service.unblock(&kari, &handle).unwrap_err().status,
        404
    );
    let lifted = world.service.unblock(&kari, &due.blocked[0].hpr).unwrap();
    assert!(lifted.blocked.is_empty());
    assert!(
        world
            .look(MOEN, "kjernejournal", Basis::Consent)
            .is_allowed()
    );
}

#[test]
fn a_hidden_block_is_lifted_by_its_handle_and_the_notice_names_nobody() {
    let world = world();
    let kari = world.kari();
    world.look(MOEN, "kjernejournal", Basis::Consent);
    let line = line_of(&world, MOEN.1);
    let view = world
        .service
        .block(&kari, &Whom::LogLine(line.head.id))
        .unwrap();
    let lifted = world.service.unblock(&kari, &view.blocked[0].hpr).unwrap();
    assert!(lifted.blocked.is_empty());
    let notices = world.service.notices(&kari).unwrap();
    let kinds: Vec<_> = notices.iter().map(|n| (n.kind, n.what.clone())).collect();
    assert!(
        kinds.contains(&(NoticeKind::BlockLifted, None)),
        "{kinds:?}"
    );
}

#[test]
fn only_personnel_of_own_lines_can_be_blocked() {
    let world = world();
    let kari = world.kari();
    world.service.access_view(&kari).unwrap();
    world.look(MOEN, "kjernejournal", Basis::Consent);
    let own = world.store.journal_of(kari.key, None, 10).unwrap();
    let own_line = own
        .iter()
        .find(|e| e.entry.members["actor.kind"] == "self")
        .unwrap();
    let other = world.service.citizen(CHILD).unwrap();
    let moens = line_of(&world, MOEN.1).head.id;
    for (what, citizen, whom, status) in [
        ("nobody", &kari, Whom::Hpr("999999999".to_owned()), 404),
        ("no line", &kari, Whom::LogLine(uuid::Uuid::now_v7()), 404),
        ("oneself", &kari, Whom::LogLine(own_line.entry.id), 422),
        ("another's line", &other, Whom::LogLine(moens), 404),
    ] {
        let problem = world.service.block(citizen, &whom).unwrap_err();
        assert_eq!(problem.status, status, "{what}");
    }
    assert_eq!(
        world.service.unblock(&kari, MOEN.1).unwrap_err().status,
        404
    );
}

#[test]
fn restrictions_and_reservation_take_effect_at_once() {
    let world = world();
    let kari = world.kari();
    let denied = |service, basis| world.look(SOLBERG, service, basis).decision.denied();
    let part = |code: &str| What::Part(code.to_owned());
    assert_eq!(denied("kjernejournal", Basis::Consent), None);

    let view = world
        .service
        .restrict(&kari, &part("results"), true)
        .unwrap();
    assert!(view.parts["results"] && !view.parts["critical"]);
    assert_eq!(denied("kjernejournal", Basis::Consent), None);
    assert_eq!(denied("provesvar", Basis::Consent), Some(DenyClass::Restr));
    assert_eq!(denied("provesvar", Basis::ElevatedConsent), None);
    world
        .service
        .restrict(&kari, &part("results"), false)
        .unwrap();
    assert_eq!(denied("provesvar", Basis::Consent), None);

    let view = world
        .service
        .restrict(&kari, &What::Everything, true)
        .unwrap();
    assert!(view.is_restricted_wholly);
    assert_eq!(
        denied("kjernejournal", Basis::Consent),
        Some(DenyClass::Restr)
    );
    assert_eq!(denied("kjernejournal", Basis::ElevatedConsent), None);
    world
        .service
        .restrict(&kari, &What::Everything, false)
        .unwrap();
    assert_eq!(
        denied("kjernejournal", Basis::ElevatedConsent),
        Some(DenyClass::NotNeeded)
    );

    let view = world.service.reserve(&kari, true).unwrap();
    assert!(view.is_reserved_kj && !view.is_reserved_results);
    assert_eq!(
        denied("kjernejournal", Basis::Emergency),
        Some(DenyClass::Resv)
    );
    let view = world.service.reserve(&kari, false).unwrap();
    assert!(!view.is_reserved_kj);
    assert_eq!(denied("kjernejournal", Basis::Emergency), None);

    let kinds: Vec<NoticeKind> = world
        .service
        .notices(&kari)
        .unwrap()
        .iter()
        .map(|n| n.kind)
        .collect();
    assert_eq!(kinds.len(), 6, "every change has its notice: {kinds:?}");
    for wrong in ["log", "person", "", "alt"] {
        let problem = world
            .service
            .restrict(&kari, &part(wrong), true)
            .unwrap_err();
        assert_eq!(problem.status, 400, "{wrong}");
    }
}

#[test]
fn of_two_changes_at_once_one_wins_and_the_other_is_told() {
    let world = world();
    let kari = world.kari();
    let mut conflicts = 0;
    for round in 0..60 {
        let start = std::sync::Barrier::new(4);
        let outcomes: Vec<u16> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        let changed = world.service.restrict(&kari, &What::Everything, true);
                        changed.map_or_else(|p| p.status, |_| 200)
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(
            outcomes.iter().all(|s| [200, 409].contains(s)),
            "{outcomes:?}"
        );
        assert!(outcomes.contains(&200), "{outcomes:?}");
        conflicts += outcomes.iter().filter(|s| **s == 409).count();
        if conflicts > 0 {
            break;
        }
        assert!(round < 59, "no conflict was ever seen");
    }
    let snapshot = world.store.snapshot().unwrap();
    let rows = world.trust.setting_rows(&snapshot, kari.key).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(
        rows[0].setting,
        trust::settings::Setting::RestrictWholly(Controller::KJ)
    );
}
