//! Charts for load: the same for the same seed, dense enough, and resources that R4 accepts.

use jiff::civil::Date;
use nation::population::{DEFAULT_DENSITY, Population, References, Resource, put_all, transaction};
use std::collections::{BTreeMap, BTreeSet};

fn population(seed: u64, patients: usize) -> Population {
    Population::new(
        seed,
        Date::constant(2026, 11, 23),
        patients,
        DEFAULT_DENSITY,
    )
    .unwrap()
}

fn text(chart: &[Resource]) -> String {
    chart.iter().map(|r| r.body.to_string()).collect()
}

#[test]
fn charts_are_repeatable_and_differ_by_seed() {
    let of = |seed, references| -> Vec<String> {
        population(seed, 20)
            .charts(references)
            .map(|c| text(&c))
            .collect()
    };
    let first = of(1, References::Literal);
    assert_eq!(first.len(), 20);
    assert_eq!(first, of(1, References::Literal));
    assert_ne!(first, of(2, References::Literal));
    assert_ne!(first, of(1, References::Urn));
}

#[test]
fn charts_are_as_dense_as_asked_and_mostly_observations() {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for chart in population(1, 1_000).charts(References::Literal) {
        assert_eq!(chart[0].rtype, "Patient");
        for resource in chart {
            *counts.entry(resource.rtype).or_default() += 1;
            assert!(ids.insert(resource.id), "an id twice");
        }
    }
    let all: usize = counts.values().sum();
    assert!((54_000..66_000).contains(&all), "{all}");
    assert!(counts["Observation"] * 2 > all, "{counts:?}");
    for rtype in [
        "Encounter",
        "Condition",
        "MedicationRequest",
        "DiagnosticReport",
        "Procedure",
        "Immunization",
        "AllergyIntolerance",
        "DocumentReference",
    ] {
        assert!(counts[rtype] > 50, "{rtype}: {counts:?}");
    }
}

#[test]
fn every_resource_is_sound_and_refers_to_what_is_there() {
    let population = population(3, 200);
    let mut known: BTreeSet<String> = BTreeSet::new();
    let shared = population.shared();
    let charts = population.charts(References::Literal);
    for chart in std::iter::once(shared).chain(charts) {
        for resource in &chart {
            let json = resource.body.to_string();
            let doc = fhir::Doc::parse_json(json.clone().into(), &fhir::Limits::default())
                .unwrap_or_else(|f| panic!("{f:?}: {json}"));
            let findings = fhir::validate::validate_all(fhir::Pack::r4(), &doc, 0);
            let errors: Vec<_> = findings.iter().filter(|f| f.is_error()).collect();
            assert!(errors.is_empty(), "{errors:?}: {json}");
            for part in json.split("\"reference\":\"").skip(1) {
                let target = part.split('"').next().unwrap();
                assert!(
                    known.contains(target),
                    "{target} comes later or never: {json}"
                );
            }
            known.insert(format!("{}/{}", resource.rtype, resource.id));
        }
    }
}

#[test]
fn transactions_hold_the_whole_chart() {
    let population = Population::new(1, Date::constant(2026, 11, 23), 1, 3_000).unwrap();
    let chart = population.charts(References::Urn).next().unwrap();
    let count = chart.len();
    assert!((1_300..5_000).contains(&count), "{count}");
    let bundle = transaction(chart);
    assert_eq!(bundle["entry"].as_array().unwrap().len(), count);
    assert_eq!(bundle["entry"][0]["request"]["url"], "Patient");
    assert!(bundle["entry"][0]["resource"].get("id").is_none());
    let put = put_all(population.shared());
    assert!(
        put["entry"][0]["request"]["url"]
            .as_str()
            .unwrap()
            .contains('/')
    );
}
