//! `Patient/$match`: which patients a described person may be, by a plain score that anyone can recompute.
//!
//! identifier 0.6, birth date 0.25, family name 0.1, given name 0.05, sex 0.05; a different value of the same identifier
//! system or another birth date takes 0.3 away. Candidates share an identifier, or birth date, or family name.
//! `certain` from 0.85 on, `probable` from 0.6, `possible` from 0.3.

use super::Target;
use super::input::Input;
use crate::gate::Caller;
use crate::http::{Answer, Call};
use crate::outcome::Failure;
use crate::params::{MAX_COUNT, RawCondition, escape};
use crate::planner::{Compiler, Evaluator};
use crate::render::Subset;
use crate::repository::Repository;
use axum::http::StatusCode;
use bytes::Bytes;
use fhir::{Doc, Limits, Node};
use serde_json::json;
use std::collections::BTreeSet;
use store::Record;
use trust::Action;

/// Most candidates that are scored.
const MAX_CANDIDATES: usize = 5_000;
const GRADE: &str = "http://hl7.org/fhir/StructureDefinition/match-grade";

pub(crate) fn run(
    repository: &Repository,
    call: &Call,
    caller: &Caller,
    _: Target<'_>,
) -> Result<Answer, Failure> {
    let input = Input::read(call)?;
    let asked = input
        .resource("resource")
        .filter(|r| r.resource_type() == Some("Patient"))
        .ok_or_else(|| {
            Failure::bad(
                "required",
                "give Parameters with a parameter resource: a Patient",
            )
            .on("resource")
        })?;
    input.only(&["count", "onlyCertainMatches"], call.is_lenient)?;
    let count = input
        .number("count", 1)?
        .unwrap_or(MAX_COUNT)
        .min(MAX_COUNT);
    let only_certain = input.flag("onlyCertainMatches")?.unwrap_or(false);
    let snapshot = repository.snapshot()?;
    let gated = repository.decide(&snapshot, caller, None, Action::List, &[])?;
    let has_type = |t: &str| repository.has_type(t);
    let compiler = Compiler {
        options: &repository.options,
        has_type: &has_type,
        patient: None,
    };
    let evaluator = Evaluator::new(
        &snapshot,
        &gated.granted,
        repository.config.repo,
        &repository.options,
    );
    let mut rids = BTreeSet::new();
    for raw in criteria(asked) {
        // A value that is no criterion (an odd date) finds nobody.
        if let Ok(cond) = compiler.compile("Patient", &raw) {
            rids.extend(evaluator.matching("Patient", &[cond])?);
        }
        if rids.len() > MAX_CANDIDATES {
            return Err(Failure::too_costly(format!(
                "more than {MAX_CANDIDATES} candidates; say more of the person"
            )));
        }
    }
    let rids: Vec<_> = rids.into_iter().collect();
    let mut found: Vec<(u32, Record)> = Vec::new();
    for record in snapshot.fetch(&gated.granted, &rids)? {
        let Ok(doc) = Doc::parse_json(record.body.clone(), &Limits::default()) else {
            continue;
        };
        let score = score(asked, doc.root());
        if grade(score) != "certainly-not" && (!only_certain || grade(score) == "certain") {
            found.push((score, record));
        }
    }
    found.sort_by(|(a, x), (b, y)| b.cmp(a).then(x.head.rid.cmp(&y.head.rid)));
    found.truncate(count);
    bundle(repository, call, &found)
}

/// Searches that find the candidates.
fn criteria(asked: Node<'_>) -> Vec<RawCondition> {
    let mut out = Vec::new();
    for identifier in asked.all("identifier") {
        if let Some(value) = identifier.str_at("value") {
            let system = identifier
                .str_at("system")
                .map_or_else(String::new, |s| format!("{}|", escape(s)));
            out.push(RawCondition::new(
                "identifier",
                format!("{system}{}", escape(value)),
            ));
        }
    }
    if let Some(born) = asked.str_at("birthDate") {
        out.push(RawCondition::new("birthdate", born));
    }
    for name in asked.all("name") {
        if let Some(family) = name.str_at("family") {
            out.push(RawCondition::new("family", escape(family)));
        }
    }
    out
}

fn folded(text: &str) -> String {
    codes::fold::fold(text)
}

/// Score in hundredths.
fn score(asked: Node<'_>, other: Node<'_>) -> u32 {
    let mut score: i32 = 0;
    let same_identifier = asked.all("identifier").any(|a| {
        a.str_at("value").is_some()
            && other.all("identifier").any(|b| {
                a.str_at("value") == b.str_at("value")
                    && (a.str_at("system") == b.str_at("system") || a.str_at("system").is_none())
            })
    });
    let other_identifier = asked.all("identifier").any(|a| {
        a.str_at("system").is_some()
            && other.all("identifier").any(|b| {
                a.str_at("system") == b.str_at("system") && a.str_at("value") != b.str_at("value")
            })
    });
    if same_identifier {
        score += 60;
    } else if other_identifier {
        score -= 30;
    }
    match (asked.str_at("birthDate"), other.str_at("birthDate")) {
        (Some(a), Some(b)) if a == b => score += 25,
        (Some(a), Some(b)) if !a.starts_with(b) && !b.starts_with(a) => score -= 30,
        _ => {}
    }
    let families = |n: Node<'_>| -> BTreeSet<String> {
        n.all("name")
            .filter_map(|name| name.str_at("family").map(folded))
            .collect()
    };
    let givens = |n: Node<'_>| -> BTreeSet<String> {
        n.all("name")
            .flat_map(|name| {
                name.all("given")
                    .filter_map(|g| g.as_str().map(folded))
                    .collect::<Vec<_>>()
            })
            .collect()
    };
    if !families(asked).is_disjoint(&families(other)) {
        score += 10;
    }
    if !givens(asked).is_disjoint(&givens(other)) {
        score += 5;
    }
    if asked.str_at("gender").is_some() && asked.str_at("gender") == other.str_at("gender") {
        score += 5;
    }
    u32::try_from(score.clamp(0, 100)).unwrap_or(0)
}

fn grade(score: u32) -> &'static str {
    match score {
        85.. => "certain",
        60..85 => "probable",
        30..60 => "possible",
        _ => "certainly-not",
    }
}

fn bundle(
    repository: &Repository,
    call: &Call,
    found: &[(u32, Record)],
) -> Result<Answer, Failure> {
    let mut out = format!(
        "{{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"total\":{}",
        found.len()
    )
    .into_bytes();
    for (index, (score, record)) in found.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b",\"entry\":[" } else { b"," });
        let url = format!("{}/Patient/{}", call.base, record.head.id);
        out.extend_from_slice(format!("{{\"fullUrl\":{},\"resource\":", json!(url)).as_bytes());
        out.extend_from_slice(&repository.rendered(record, None, &Subset::default())?);
        let search = json!({
            "extension": [{ "url": GRADE, "valueCode": grade(*score) }],
            "mode": "match",
            "score": f64::from(*score) / 100.0,
        });
        out.extend_from_slice(format!(",\"search\":{search}}}").as_bytes());
    }
    if !found.is_empty() {
        out.push(b']');
    }
    out.push(b'}');
    Ok(Answer::resource(StatusCode::OK, Bytes::from(out)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn doc(value: &Value) -> Doc {
        Doc::parse_json(Bytes::from(value.to_string()), &Limits::default()).unwrap()
    }

    #[test]
    fn scores_are_plain_sums() {
        let asked = doc(&json!({ "resourceType": "Patient",
            "identifier": [{ "system": "urn:a", "value": "1" }],
            "name": [{ "family": "Bjørnstad", "given": ["Kari"] }], "birthDate": "1980-05-17", "gender": "female" }));
        for (other, want, name) in [
            (
                json!({ "identifier": [{ "system": "urn:a", "value": "1" }], "name": [{ "family": "BJØRNSTAD", "given": ["Kari"] }], "birthDate": "1980-05-17", "gender": "female" }),
                100,
                "certain",
            ),
            (
                json!({ "identifier": [{ "system": "urn:a", "value": "1" }], "birthDate": "1980-05-17" }),
                85,
                "certain",
            ),
            (
                json!({ "identifier": [{ "system": "urn:a", "value": "1" }] }),
                60,
                "probable",
            ),
            (
                json!({ "name": [{ "family": "Bjørnstad", "given": ["Kari"] }], "birthDate": "1980-05-17", "gender": "female" }),
                45,
                "possible",
            ),
            (
                json!({ "identifier": [{ "system": "urn:a", "value": "2" }], "name": [{ "family": "Bjørnstad", "given": ["Kari"] }], "birthDate": "1980-05-17", "gender": "female" }),
                15,
                "certainly-not",
            ),
            (
                json!({ "identifier": [{ "system": "urn:a", "value": "1" }], "birthDate": "1981" }),
                30,
                "possible",
            ),
            (json!({ "birthDate": "1980" }), 0, "certainly-not"),
        ] {
            let mut other = other;
            other["resourceType"] = json!("Patient");
            let other = doc(&other);
            let got = score(asked.root(), other.root());
            assert_eq!((got, grade(got)), (want, name));
        }
    }
}
