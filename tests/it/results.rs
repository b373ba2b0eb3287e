//! A laboratory report becomes results that personnel and citizen see, and a correction takes its place.

use super::{on_both_engines, queue_of_ours, shared};
use anyhow::Result;
use blackbox::Engine;
use blackbox::bus::Office;
use blackbox::epj::Clinician;
use blackbox::mail::{self, About};
use blackbox::portal::Session;
use std::time::Duration;

on_both_engines!(a_report_and_its_correction);

async fn a_report_and_its_correction(engine: Engine) -> Result<()> {
    let Some((demo, web)) = shared(engine)? else {
        return Ok(());
    };
    let facts = &demo.facts;
    let person = facts.person("diabetes");
    let _ours = queue_of_ours(engine).await;
    let laboratory = Office::open(facts, mail::OFFICE)?;
    let number = format!("BB-{}", uuid::Uuid::new_v4().simple());
    let about = About {
        pid: &person.pid,
        name: "Eira, Máhtto",
    };
    let first = mail::svarrapport(about, &number)?;
    let mut second = mail::svarrapport(about, &number)?;
    // A correction: type M, later, another value.
    second.xml = second
        .xml
        .replacen(
            "<ServType V=\"N\" DN=\"Ny\"/>",
            "<ServType V=\"M\" DN=\"Endring\"/>",
            1,
        )
        .replace("2026-11-23T10:19:00", "2026-11-23T10:21:00")
        .replace("V=\"412\"", "V=\"142\"");
    let doctor =
        Clinician::log_in(&web, facts, "demo-epj-nordlys", facts.pid_of("saether")).await?;
    for (mail, value, status) in [(&first, "412", "final"), (&second, "142", "amended")] {
        laboratory
            .post("SVAR_LAB", mail::PARTY_HER_ID, 8_900_008, &mail.xml)
            .await?;
        let receipt = laboratory
            .take("async", Duration::from_secs(30), |message| {
                mail::receipt(&laboratory.opened(message).ok()?)
                    .filter(|r| r.original == mail.msg_id)
            })
            .await?;
        assert_eq!(receipt.status, "1", "{}", receipt.xml);
        // Answered means there: no waiting.
        let url = format!(
            "{}/DiagnosticReport?patient={}&identifier={number}&_include=DiagnosticReport:result",
            facts.fhir("provesvar"),
            person.id("provesvar")
        );
        let found = doctor.get(&url, "SAMTYKKE").await?.expect(200)?.json();
        let entries = found["entry"].as_array().cloned().unwrap_or_default();
        let reports: Vec<_> = entries
            .iter()
            .filter(|e| e["resource"]["resourceType"] == "DiagnosticReport")
            .collect();
        assert_eq!(
            reports.len(),
            1,
            "one report, however often it is corrected: {found}"
        );
        assert_eq!(reports[0]["resource"]["status"], status);
        let values: Vec<String> = entries
            .iter()
            .filter_map(|e| {
                e["resource"]["valueQuantity"]["value"]
                    .as_number()
                    .map(|n| n.to_string())
            })
            .collect();
        assert!(
            values.iter().any(|v| v == value) && values.len() == 3,
            "{value} in {values:?}"
        );
    }
    let citizen = Session::citizen(&web, facts, &person.pid).await?;
    let results = citizen
        .get("/api/citizen/results")
        .await?
        .expect(200)?
        .json();
    let amended = results["reports"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|r| !r["amended_at"].is_null())
        .cloned();
    let id = amended
        .as_ref()
        .and_then(|r| r["id"].as_str())
        .unwrap_or_default()
        .to_owned();
    let report = citizen
        .get(&format!("/api/citizen/results/{id}"))
        .await?
        .expect(200)?
        .json();
    let shown = short_texts(&report);
    let shows = |value: &str| shown.iter().any(|text| text.contains(value));
    assert!(
        shows("142") && !shows("412"),
        "only the new values: {report}"
    );
    Ok(())
}

/// Texts and numbers that are no ids and no times: those hold any digits by chance.
fn short_texts(value: &serde_json::Value) -> Vec<String> {
    match value {
        serde_json::Value::Array(all) => all.iter().flat_map(short_texts).collect(),
        serde_json::Value::Object(all) => all.values().flat_map(short_texts).collect(),
        serde_json::Value::String(text) if text.len() > 12 => Vec::new(),
        serde_json::Value::String(text) => vec![text.clone()],
        other => vec![other.to_string()],
    }
}
