//! Personnel: `Practitioner` with the rights that hold now, as everybody may see them. No national id, no address.

use super::elements::Elements;
use super::kinds::Kind;
use super::values::{day, listed, meta, name, period};
use fhir::build::Json;
use registers::HPR_SYSTEM;
use registers::directory::Sex;
use registers::kernel::period::{Moment, Period};
use registers::personnel::Personnel;
use registers::persons::document::Name;
use serde_json::{Value, json};

/// Id of a practitioner.
pub(super) fn id_of(hpr: u32) -> String {
    format!("hpr-{hpr}")
}

/// The HPR number of an id.
pub(super) fn hpr_of(id: &str) -> Option<u32> {
    id.strip_prefix("hpr-")?.parse().ok()
}

/// A practitioner. `now`: clock time of Norway.
pub(super) fn resource(p: &Personnel, elements: &Elements, now: Moment) -> Value {
    let written = Name {
        given: p.name.given.clone(),
        middle: p.name.middle.clone(),
        family: p.name.family.clone(),
    };
    let gender = p.sex.map(|sex| match sex {
        Sex::Female => "female",
        Sex::Male => "male",
    });
    let qualifications = qualifications(p, now);
    elements.of(Json::resource("Practitioner")
        .put("id", id_of(p.hpr))
        .put("meta", meta(&Kind::Practitioner.profiles(), None))
        .list(
            "identifier",
            Some(json!({ "system": HPR_SYSTEM, "value": p.hpr.to_string() })),
        )
        .put("active", p.died.is_none() && !qualifications.is_empty())
        .list("name", Some(name(&written, None)))
        .maybe("gender", gender)
        .put("qualification", qualifications)
        .build())
}

/// Approvals, rights to prescribe and specialities that hold.
fn qualifications(p: &Personnel, now: Moment) -> Vec<Value> {
    let mut found = Vec::new();
    for approval in p
        .approvals
        .iter()
        .filter(|approval| approval.is_active(now))
    {
        found.push(qualification(
            &[
                (9060, approval.profession.as_str()),
                (7704, approval.authorisation.as_str()),
            ],
            approval.valid,
        ));
        let rights = approval
            .requisitions
            .iter()
            .filter(|r| r.is_active(approval, now));
        found.extend(rights.map(|r| qualification(&[(7701, r.kind.as_str())], r.valid)));
        let specialities = approval
            .specialities
            .iter()
            .filter(|s| s.is_active(approval, now));
        found.extend(specialities.map(|s| qualification(&[(7426, s.kind.as_str())], s.valid)));
        let competences = approval
            .seldom
            .competences
            .iter()
            .filter(|c| c.is_active(approval, now));
        found.extend(competences.map(|c| qualification(&[(7702, c.kind.as_str())], c.valid)));
    }
    found
}

fn qualification(codes: &[(u32, &str)], valid: Period) -> Value {
    let codings = codes.iter().filter(|(_, code)| !code.is_empty());
    let codings: Vec<Value> = codings.map(|(list, code)| listed(*list, code)).collect();
    Json::new()
        .put("code", json!({ "coding": codings }))
        .put("period", period(valid, day))
        .build()
}
