//! Who has looked, and the proof of it (spec/privacy.md §9.2, §9.3; spec/portals.md §3.4).

use crate::world::*;
use helsenorge::access::Whom;
use helsenorge::usage_log::Reason;
use trust::Basis;

#[test]
fn visits_are_grouped_by_person_time_and_outcome() {
    let world = world();
    let kari = world.kari();
    world.look(MOEN, "kjernejournal", Basis::Consent);
    world.pass(10 * MINUTE_US);
    world.look(MOEN, "kjernejournal", Basis::Consent);
    world.look(MOEN, "provesvar", Basis::Consent);
    world.look(SOLBERG, "provesvar", Basis::Consent);
    world.pass(60 * MINUTE_US);
    world.look(MOEN, "kjernejournal", Basis::Emergency);
    let view = world.service.log_view(&kari, None).unwrap();
    let seen: Vec<_> = view
        .visits
        .iter()
        .map(|v| (v.head.hpr.as_deref().unwrap(), v.count, v.reason))
        .collect();
    assert_eq!(seen[0], (MOEN.1, 1, Reason::Emergency), "newest first");
    let mut rest: Vec<_> = view.visits[1..]
        .iter()
        .map(|v| {
            let parts = v.parts.join(" ");
            (
                v.head.hpr.as_deref().unwrap(),
                v.count,
                v.head.name.is_some(),
                parts,
            )
        })
        .collect();
    rest.sort();
    let expected = [
        (SOLBERG.1, 1, true, "results".to_owned()),
        // Two look-ups of which the name is not due are one visit; the one that tells the name stands apart from them.
        (MOEN.1, 1, true, "results".to_owned()),
        (MOEN.1, 2, false, "critical".to_owned()),
    ];
    assert_eq!(rest, expected);
    assert!(view.visits.iter().all(|v| !v.is_denied));
}

#[test]
fn refused_look_ups_stand_apart() {
    let world = world();
    let kari = world.kari();
    world.look(MOEN, "kjernejournal", Basis::Consent);
    world
        .service
        .block(&kari, &Whom::Hpr(MOEN.1.to_owned()))
        .unwrap();
    world.pass(MINUTE_US);
    world.look(MOEN, "kjernejournal", Basis::Consent);
    world.look(MOEN, "kjernejournal", Basis::Emergency);
    let view = world.service.log_view(&kari, None).unwrap();
    let mut of_moen: Vec<_> = view
        .visits
        .iter()
        .filter(|v| v.head.actor_kind == "personnel")
        .map(|v| (v.is_denied, v.count))
        .collect();
    of_moen.sort();
    assert_eq!(of_moen, [(false, 1), (true, 2)]);
}

#[test]
fn names_come_with_the_ground_and_the_time() {
    let world = world();
    let kari = world.kari();
    let cases = [
        ("kjernejournal", Basis::Consent, false),
        ("kjernejournal", Basis::Emergency, true),
        ("provesvar", Basis::Consent, true),
    ];
    for (service, basis, at_once) in cases {
        world.look(MOEN, service, basis);
        let view = world.service.log_view(&kari, None).unwrap();
        let line = view
            .visits
            .iter()
            .flat_map(|v| &v.lines)
            .find(|l| l.service == service && l.basis == basis.code())
            .unwrap();
        assert_eq!(line.name.is_some(), at_once, "{service} {basis:?}");
        assert_eq!(line.organisation.as_deref(), Some("Nordlys sykehus HF"));
        assert_eq!(line.department.as_deref(), Some("Hjertemedisin"));
    }
    world.pass(7 * DAY_US);
    let view = world.service.log_view(&kari, None).unwrap();
    let lines = view.visits.iter().flat_map(|v| &v.lines);
    for line in lines.filter(|l| l.actor_kind == "personnel") {
        assert_eq!(line.name.as_deref(), Some("Stian Moen"));
    }
}

#[test]
fn own_reading_is_in_the_log_and_reading_the_log_is_not_on_its_page() {
    let world = world();
    let kari = world.kari();
    world.service.notices(&kari).unwrap();
    world.service.log_view(&kari, None).unwrap();
    let view = world.service.log_view(&kari, None).unwrap();
    let own: Vec<_> = view
        .visits
        .iter()
        .flat_map(|v| &v.lines)
        .map(|l| (l.actor_kind.as_str(), l.api.as_str()))
        .collect();
    assert_eq!(own, [("self", "innboks")]);
    let entries = world.store.journal_of(kari.key, None, 10).unwrap();
    assert!(
        entries.iter().any(|e| e.entry.members["api"] == "innsyn"),
        "kept all the same"
    );
}

#[test]
fn the_extract_proves_itself_and_a_changed_one_does_not() {
    let world = world();
    let kari = world.kari();
    world.look(MOEN, "kjernejournal", Basis::Consent);
    world.look(SOLBERG, "provesvar", Basis::Consent);
    let jwks = world.seal();
    // Sealed, but no signed head covers it yet; and not even sealed.
    world.look(SOLBERG, "provesvar", Basis::Consent);
    world.store.seal().unwrap();
    world.look(SOLBERG, "provesvar", Basis::Consent);
    let extract = world.service.log_extract(&kari, jwks.clone()).unwrap();
    let proofs = extract["proofs"].as_array().unwrap();
    assert_eq!((proofs.len(), &extract["not_sealed_yet"]), (2, &2.into()));
    for proof in proofs {
        store::journal::proof::verify(proof, &jwks).unwrap();
    }
    let text = extract.to_string();
    assert!(text.contains("Anders Solberg"), "shown at once");
    for hidden in ["Moen", MOEN.1, MOEN.0, KARI] {
        assert!(!text.contains(hidden), "{hidden}");
    }
    let tampered = text.replace("Anders Solberg", "Arne Solbergh");
    let tampered: serde_json::Value = serde_json::from_str(&tampered).unwrap();
    let wrong = tampered["proofs"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|p| store::journal::proof::verify(p, &jwks).is_err())
        .count();
    assert_eq!(wrong, 1);
    let foreign = ring().lock().unwrap().jwks();
    for proof in proofs {
        assert!(store::journal::proof::verify(proof, &foreign).is_err());
    }
}
