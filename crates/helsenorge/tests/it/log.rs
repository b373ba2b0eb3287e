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

/// What is counted is shown to nobody but her; the counting itself is tested where look-ups are made.
#[test]
fn look_ups_in_the_registers_are_counted_by_month() {
    use store::{AuditEntry, Durability, JournalEntry, PersonKey, PersonRef, StoreError};
    use trust::counted::{Counting, Look, Reading, Whom};

    struct Everything;
    impl Reading for Everything {
        fn looks(&self, entry: &JournalEntry) -> Vec<Look> {
            let is_look_up = entry.entry.controller == "PT";
            let look = Look {
                at: entry.entry.occurred_at,
                orgnr: HOSPITAL.to_owned(),
                persons: entry.persons.iter().map(|key| Whom::Key(*key)).collect(),
            };
            is_look_up.then_some(look).into_iter().collect()
        }

        fn person(&self, _: u32) -> Result<Option<PersonRef>, StoreError> {
            Ok(None)
        }
    }

    let world = world();
    let kari = world.kari();
    let shown = world.service.register_looks(&kari).unwrap();
    assert_eq!((shown.counted_until, shown.months.len()), (None, 0));
    for _ in 0..3 {
        let entry = AuditEntry {
            id: uuid::Uuid::now_v7(),
            persons: vec![PersonRef::Key(kari.key)],
            controller: "PT".to_owned(),
            occurred_at: world.trust.now(),
            imported: false,
            citizen_visible: false,
            members: std::collections::BTreeMap::new(),
        };
        world.store.audit(entry, Durability::BeforeAnswer).unwrap();
    }
    world.store.seal().unwrap();
    let counting = Counting::new(&world.trust, &Everything).unwrap();
    assert_eq!(counting.run(&|| false).unwrap().looks, 3);
    let shown = world.service.register_looks(&kari).unwrap();
    assert_eq!(shown.counted_until, Some(world.trust.now()));
    let [month] = &shown.months[..] else {
        panic!("{shown:?}");
    };
    assert_eq!(
        (month.month.as_str(), month.organisations[0].count),
        ("2026-11", 3)
    );
    let child = world.service.citizen(CHILD).unwrap();
    assert_ne!(child.key, PersonKey(0));
    assert!(
        world
            .service
            .register_looks(&child)
            .unwrap()
            .months
            .is_empty()
    );
    let lines = world.service.log_view(&kari, None).unwrap();
    assert!(
        lines.visits.is_empty(),
        "looking at the page is no line on it"
    );
}
