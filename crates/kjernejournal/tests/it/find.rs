//! Finding and choosing (spec/portals.md §4.1, spec/privacy.md §9.1).

use crate::world::*;

#[test]
fn persons_are_found_by_number_or_by_name_and_birth_year() {
    let world = world();
    let moen = doctor_principal(MOEN, HOSPITAL, "4");
    for (query, expected) in [
        (KARI, Some(vec![KARI])),
        (" 14896849817 ", Some(vec![KARI])),
        ("lunde 1968", Some(vec![KARI])),
        ("LUNDE kari 1968", Some(vec![KARI])),
        ("mahtto 1987", Some(vec![MAHTTO])),
        ("lunde 1969", Some(vec![])),
        // A protected person is never found by name, only by her number.
        ("strand 1979", Some(vec![])),
        (STRAND, Some(vec![STRAND])),
        // Valid, but nobody's.
        ("24911099841", Some(vec![])),
        ("14896849818", None),
        ("lunde", None),
        ("1968", None),
        ("", None),
    ] {
        let found = world.service.find(&moen, query).map_err(|p| p.status);
        match expected {
            Some(nins) => {
                let hits = found.unwrap();
                let got: Vec<&str> = hits.iter().map(|h| h.nin.as_str()).collect();
                assert_eq!(got, nins, "{query}");
            }
            None => assert_eq!(found.unwrap_err(), 400, "{query}"),
        }
    }
    let strand = world.service.find(&moen, STRAND).unwrap().remove(0);
    assert!(strand.is_protected && strand.municipality.is_none());
    let kari = world.service.find(&moen, KARI).unwrap().remove(0);
    assert_eq!(kari.municipality.as_deref(), Some("Tromsø"));
}

#[test]
fn looking_somebody_up_is_logged_and_is_no_line_on_her_page() {
    let world = world();
    let moen = doctor_principal(MOEN, HOSPITAL, "4");
    world.store.seal().unwrap();
    let logged = |what: &str, lines: u64| {
        assert_eq!(world.store.seal().unwrap(), lines, "{what}");
    };
    world.service.find(&moen, "lunde 1968").unwrap();
    logged("a hit", 1);
    world.service.find(&moen, STRAND).unwrap();
    logged("a protected person", 1);
    world.service.find(&moen, "nobody 1968").unwrap();
    logged("no hit is about nobody", 0);
    // The header of a chosen patient tells name and GP, also when no search came before.
    world.service.choose(&moen, MAHTTO).unwrap();
    logged("a choice", 1);
    for (nin, api) in [
        (KARI, "finn-pasient"),
        (STRAND, "finn-pasient"),
        (MAHTTO, "velg-pasient"),
    ] {
        let lines = world.lines(nin);
        assert_eq!(lines.len(), 1, "{nin}");
        assert_eq!(lines[0].entry.members["api"], api);
        assert_eq!(lines[0].entry.members["actor.hpr"], MOEN.1);
        let shown = trust::log::citizen_lines(&lines, &[], world.trust.now(), 0);
        assert!(shown.is_empty(), "counted, not shown");
    }
}

#[test]
fn only_the_gp_and_the_substitute_need_no_question() {
    let world = world();
    for (who, orgnr, is_gp) in [
        (SOLBERG, OFFICE, true),
        (EIDE, OFFICE, true),
        (MOEN, HOSPITAL, false),
    ] {
        let choice = world
            .service
            .choose(&doctor_principal(who, orgnr, "4"), KARI)
            .unwrap();
        assert_eq!((choice.exception, choice.is_gp), (is_gp, is_gp), "{who:?}");
        assert!(!choice.is_own_record);
        assert_eq!(choice.patient.age, Some(58));
        assert_eq!(choice.patient.gp.as_deref(), Some("Anders Solberg"));
    }
    let moen = doctor_principal(MOEN, HOSPITAL, "4");
    assert!(world.service.choose(&moen, MOEN.0).unwrap().is_own_record);
    assert_eq!(
        world
            .service
            .choose(&moen, "24911099841")
            .unwrap_err()
            .status,
        404
    );
}

#[test]
fn choosing_tells_nothing_of_settings_and_hides_the_gp_of_the_protected() {
    let world = world();
    let moen = doctor_principal(MOEN, HOSPITAL, "4");
    let before = world.service.choose(&moen, KARI).unwrap();
    world.block(KARI, MOEN);
    assert_eq!(world.service.choose(&moen, KARI).unwrap(), before);
    let strand = world.service.choose(&moen, STRAND).unwrap();
    assert!(strand.patient.is_protected && strand.patient.gp.is_none());
    let solberg = doctor_principal(SOLBERG, OFFICE, "4");
    let own = world.service.choose(&solberg, STRAND).unwrap();
    assert_eq!(own.patient.gp.as_deref(), Some("Anders Solberg"));
}
