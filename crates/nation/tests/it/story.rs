//! Histories and timelines.

use codes::{lab, lists, oid};
use jiff::civil::Date;
use nation::history::{self, CriticalKind, History, Value};
use nation::story::{self, Action};
use nation::{Nation, Params};

fn nation() -> Nation {
    Nation::generate(&Params::default()).unwrap()
}

fn history_of(nation: &Nation, key: &str) -> History {
    history::of(nation, nation.person_by_key(key).unwrap())
}

#[test]
fn kari_before_the_day() {
    let nation = nation();
    let kari = history_of(&nation, "blokk");
    assert_eq!(kari.notes[0].icpc, Some("K04"));
    assert_eq!(kari.notes[0].written.date().to_string(), "2026-02-23");
    let values: Vec<_> = kari.reports[0]
        .analyses
        .iter()
        .map(|a| (a.code, a.value.clone(), a.deviation))
        .collect();
    assert_eq!(
        values,
        [
            ("NOR05172", Value::Number("12.9".into(), None), None),
            ("NPU27547", Value::Number("2.1".into(), None), None),
        ]
    );
    assert!(
        kari.critical.is_empty(),
        "no critical information, no allergies"
    );
    let lines: Vec<_> = kari
        .log
        .iter()
        .map(|l| (l.when.date().to_string(), l.actor.0, l.basis))
        .collect();
    assert_eq!(
        lines,
        [
            ("2026-11-11".to_owned(), 565_900_022, "SAMTYKKE"),
            ("2026-11-18".to_owned(), 565_900_022, "SAMTYKKE"),
        ]
    );
    assert_eq!(kari.log[0].organisation.0.to_string(), "315900050");
    assert_eq!(kari.log[0].department, Some("Hjertesykdommer"));
}

#[test]
fn the_others_before_the_day() {
    let nation = nation();
    let solveig = history_of(&nation, "hjerte");
    let inr: Vec<_> = solveig
        .reports
        .iter()
        .flat_map(|r| &r.analyses)
        .filter(|a| a.code == "NPU01685")
        .map(|a| match &a.value {
            Value::Number(v, _) => v.clone(),
            Value::Text(t) => (*t).to_owned(),
        })
        .collect();
    assert_eq!(
        inr.join(" "),
        "2.4 2.6 2.2 2.9 3.4 2.7 2.5 2.1 1.8 2.4 2.6 2.8"
    );
    assert!(
        solveig
            .critical
            .iter()
            .any(|c| matches!(c.kind, CriticalKind::Device(_)))
    );
    assert_eq!(solveig.measurements.last().unwrap().value, "71.6");
    let mahtto = history_of(&nation, "diabetes");
    assert_eq!(mahtto.measurements.len(), 1_344);
    assert_eq!(mahtto.reports.len(), 4);
    let ida = history_of(&nation, "allergi");
    assert_eq!(ida.critical.iter().filter(|c| c.confirmed).count(), 2);
    let sunniva = history_of(&nation, "seksten");
    assert_eq!(sunniva.notes[0].restriction, Some("NORN_FORANS"));
    assert_eq!(history_of(&nation, "reise").reports.len(), 2);
}

#[test]
fn histories_lie_before_the_day_and_use_known_codes() {
    let nation = nation();
    let d = nation.anchor();
    let mut results = [0_usize; 2];
    let mut people = [0_usize; 2];
    for person in nation.persons() {
        let h = history::of(&nation, &person);
        for r in &h.reports {
            assert!(r.collected <= r.issued && r.issued.date() < d, "{person:?}");
            for a in &r.analyses {
                assert!(lab::analyte(a.code).is_some(), "{}", a.code);
                if let Value::Number(text, _) = &a.value {
                    assert!(text.parse::<f64>().is_ok_and(|v| v > 0.0), "{text}");
                }
            }
        }
        for n in &h.notes {
            assert!(
                n.written.date() < d
                    && n.icpc
                        .is_none_or(|c| lists::lookup(oid::LIST_ICPC2, c).is_some())
            );
        }
        for m in &h.medicines {
            assert!(lists::lookup(oid::LIST_ATC, m.atc).is_some(), "{}", m.atc);
        }
        for v in &h.vaccinations {
            assert!(lists::lookup(oid::LIST_ATC, v.atc).is_some() && v.given < d);
        }
        for l in &h.letters {
            assert!(
                l.icd
                    .iter()
                    .all(|c| lists::lookup(oid::LIST_ICD10, c).is_some())
            );
            assert!(lists::lookup(oid::LIST_DOCUMENT_TYPE, l.kind).is_some());
        }
        let age = person.age_on(d);
        let group = if age >= 70 { 1 } else { 0 };
        if person.is_resident() && person.key.is_none() {
            people[group] += 1;
            results[group] += h.reports.iter().map(|r| r.analyses.len()).sum::<usize>();
        }
    }
    let (young, old) = (results[0] / people[0], results[1] / people[1]);
    assert!(
        (2..=7).contains(&young) && (20..=26).contains(&old),
        "{young} and {old} results a year"
    );
}

#[test]
fn the_timeline_is_in_order_and_its_people_exist() {
    let nation = nation();
    let steps = story::steps();
    assert_eq!(steps.len(), 14);
    assert!(
        steps
            .windows(2)
            .all(|w| w[0].when(nation.anchor()) < w[1].when(nation.anchor()))
    );
    for (at, step) in steps.iter().enumerate() {
        assert_eq!(step.key, format!("blokk.{}", at + 1));
        assert_eq!(story::step(step.key).unwrap(), *step);
        let known = nation.person_by_key(step.actor).is_some()
            || nation.organisation_by_key(step.actor).is_some();
        assert!(known, "{}", step.actor);
        assert!(!step.title.is_empty() && !step.title_en.is_empty());
        if let Action::Send {
            function,
            from,
            to,
            copies,
            ..
        } = step.action
        {
            assert!(
                lists::lookup(oid::LIST_MESSAGE_FUNCTION, function).is_some(),
                "{function}"
            );
            let parties: Vec<u32> = nation
                .fixed_organisations()
                .iter()
                .flat_map(|o| &o.parties)
                .map(|p| p.her_id.0)
                .collect();
            for her in copies.iter().chain([&from, &to]) {
                assert!(parties.contains(her), "{her}");
            }
        }
    }
    assert_eq!(
        story::step("blokk.4")
            .unwrap()
            .when(Date::constant(2026, 11, 23))
            .to_string(),
        "2026-11-23T10:20:00"
    );
}

#[test]
fn the_story_s_messages_use_the_story_s_codes() {
    use story::content::{BLOKK_DISCHARGE, BLOKK_REFERRAL, blokk_correction, blokk_report};
    assert!(lists::lookup(oid::LIST_REFERRAL_PRIORITY, BLOKK_REFERRAL.priority).is_some());
    assert!(
        BLOKK_REFERRAL
            .information
            .iter()
            .all(|(c, _)| lists::lookup(oid::LIST_CLINICAL_INFO, c).is_some())
    );
    let (first, second) = (blokk_report(), blokk_correction());
    assert_eq!(first.number, second.number);
    assert_eq!((first.service_type, second.service_type), ("N", "M"));
    let bnp = |r: &story::content::Report| r.analyses.last().unwrap().clone();
    assert_eq!(
        (bnp(&first).value, bnp(&first).deviation),
        (Value::Number("412".into(), None), Some("1"))
    );
    assert_eq!(
        (bnp(&second).value, bnp(&second).deviation),
        (Value::Number("142".into(), None), None)
    );
    assert!(
        BLOKK_DISCHARGE
            .medicines
            .iter()
            .all(|(c, _)| lists::lookup(oid::LIST_ATC, c).is_some())
    );
    let lines: usize = BLOKK_DISCHARGE
        .sections
        .iter()
        .map(|(_, t)| t.lines().count())
        .sum();
    assert!((24..=27).contains(&lines), "{lines} lines");
}
