use super::*;
use std::collections::HashSet;

#[test]
fn every_table_is_well_formed() {
    let mut oids = HashSet::new();
    for text in tables::TABLES {
        let list = read(text).expect("head line");
        assert!(oids.insert(list.oid), "{} twice", list.oid);
        assert!(!list.entries.is_empty(), "{}", list.oid);
        assert_eq!(
            list.by_code.len(),
            list.entries.len(),
            "{}: a code repeats",
            list.oid
        );
        for row in tsv::rows(text) {
            assert!((2..=6).contains(&row.len()), "{}: {row:?}", list.oid);
            assert!(
                row.iter().all(|f| f.trim() == *f),
                "{}: space in {row:?}",
                list.oid
            );
            for index in [3, 4] {
                if let Some(date) = tsv::field(&row, index) {
                    assert!(date.parse::<Date>().is_ok(), "{}: {row:?}", list.oid);
                }
            }
            if let Some(next) = tsv::field(&row, 5) {
                assert!(
                    list.get(next).is_some(),
                    "{}: successor {next} is missing",
                    list.oid
                );
            }
        }
    }
    assert_eq!(all().count(), tables::TABLES.len());
}

#[test]
fn codes_are_found_under_every_spelling() {
    for system in [
        oid::LIST_APPREC_ERROR,
        "urn:oid:2.16.578.1.12.4.1.1.8221",
        "http://helsedir.no/fhir/CodeSystem/no-kodeverk-8221",
    ] {
        assert!(lookup(system, "E31").is_some(), "{system}");
    }
    assert_eq!(display(oid::LIST_SEX, "2"), Some("Kvinne"));
    assert_eq!(
        lookup(oid::LIST_SEX, "2").unwrap().display_in("en"),
        "Female"
    );
    assert!(lookup(oid::LIST_SEX, "7").is_none());
    assert!(lookup("1.2.3", "7").is_none());
}

#[test]
fn what_the_demo_nation_needs_is_here() {
    let rows = [
        (oid::LIST_SPECIALIST_SERVICE, "S0306"),
        (oid::LIST_SPECIALIST_SERVICE, "PB"),
        (oid::LIST_MEDICAL_SERVICE, "L03"),
        (oid::LIST_MUNICIPAL_SERVICE, "KX17"),
        (oid::LIST_MUNICIPAL_SERVICE, "KP02"),
        (oid::LIST_COMMON_SERVICE, "02"),
        (oid::LIST_NATIONAL_SERVICE, "11"),
        (oid::LIST_HEALTH_REGISTER, "7"),
        (oid::LIST_ORGANISATION_TYPE, "113"),
        (oid::LIST_PERSONNEL_CATEGORY, "HE"),
        (oid::LIST_REFERRAL_PRIORITY, "14"),
        (oid::LIST_REFERRAL_PRIORITY, "2H"),
        (oid::LIST_MESSAGE_FUNCTION, "HENVISNING_NYTILSTAND"),
        (oid::LIST_MESSAGE_FUNCTION, "SVAR_LAB"),
        (oid::LIST_MESSAGE_FUNCTION, "EPIKRISE"),
        (oid::LIST_CARE_MODE, "3"),
        (oid::LIST_CLINICAL_INFO, "PROB"),
        (oid::LIST_DOCUMENT_TYPE, "A03-2"),
        (oid::LIST_RESTRICTION, "NORN_FORANS"),
        (oid::LIST_APPREC_ERROR, "T10"),
        (oid::LIST_ICPC2, "K78"),
        (oid::LIST_ICD10, "I480"),
        (oid::LIST_ATC, "B01AF02"),
        (oid::LIST_NLK, "NOR05172"),
        (oid::LIST_HYPERSENSITIVITY, "13"),
    ];
    for (system, code) in rows {
        assert!(lookup(system, code).is_some(), "{system} {code}");
    }
    for code in [
        "E10", "E20", "E30", "E31", "E35", "E36", "E53", "T01", "T02", "T10", "T99",
    ] {
        assert!(lookup(oid::LIST_APPREC_ERROR, code).is_some(), "{code}");
    }
}

#[test]
fn a_retired_code_names_its_successor() {
    let old = lookup(oid::LIST_NLK, "NPU10984").unwrap();
    assert_eq!(old.successor, Some("NPU13183"));
    assert!(!old.valid_on(jiff::civil::date(2026, 11, 23)));
    assert!(old.valid_on(jiff::civil::date(2015, 1, 1)));
}
