//! HelseID and the gates of the clinical repositories, with real tokens.

use super::{on_both_engines, shared};
use anyhow::Result;
use blackbox::Engine;
use blackbox::epj::{self, Clinician};
use blackbox::portal::Session;
use serde_json::json;

on_both_engines!(
    a_clinician_gets_in,
    a_machine_sees_no_patient_without_right,
    no_token_no_record,
    the_search_names_one_patient,
    portals_want_their_form_token,
);

async fn a_clinician_gets_in(engine: Engine) -> Result<()> {
    let Some((demo, web)) = shared(engine)? else {
        return Ok(());
    };
    let facts = &demo.facts;
    let mut doctor =
        Clinician::log_in(&web, facts, "demo-epj-nordlys", facts.pid_of("saether")).await?;
    let claims = doctor.claims();
    assert_eq!(claims["aud"], epj::KJERNEJOURNAL, "{claims}");
    assert_eq!(
        claims["helseid://claims/identity/pid"],
        facts.pid_of("saether")
    );
    assert_eq!(claims["helseid://claims/hpr/hpr_number"], "565900021");
    assert!(claims["cnf"]["jkt"].is_string());

    let kari = facts.person("hjerte");
    let url = format!(
        "{}/Observation?patient={}",
        facts.fhir("provesvar"),
        kari.id("provesvar")
    );
    let through_kjernejournal = doctor.get(&url, "SAMTYKKE").await?.expect(200)?.json();
    doctor.change_audience(epj::PROVESVAR).await?;
    assert_eq!(doctor.claims()["aud"], epj::PROVESVAR);
    let directly = doctor.get(&url, "SAMTYKKE").await?.expect(200)?.json();
    assert_eq!(through_kjernejournal["total"], directly["total"]);
    // A results token is not one for kjernejournal.
    let other = format!(
        "{}/Patient/{}",
        facts.fhir("kjernejournal"),
        kari.id("kjernejournal")
    );
    doctor.get(&other, "SAMTYKKE").await?.expect(401)?;
    Ok(())
}

async fn a_machine_sees_no_patient_without_right(engine: Engine) -> Result<()> {
    let Some((demo, web)) = shared(engine)? else {
        return Ok(());
    };
    let facts = &demo.facts;
    let machine =
        epj::machine_token(&web, facts, "demo-system-nordlys", "nhn:pps/provesvar-read").await?;
    let claims = machine.claims();
    assert!(
        claims["helseid://claims/identity/pid"].is_null(),
        "{claims}"
    );
    assert_eq!(
        claims["helseid://claims/client/claims/orgnr_parent"], "315900050",
        "{claims}"
    );
    let person = facts.person("hjerte");
    let url = format!(
        "{}/Observation?patient={}",
        facts.fhir("provesvar"),
        person.id("provesvar")
    );
    let answer = machine.get(&url, "SAMTYKKE").await?;
    let body = answer.json();
    let refused = answer.status.is_client_error() && body["resourceType"] == "OperationOutcome";
    let empty = answer.status == 200 && body["total"] == 0;
    assert!(
        refused || empty || body["total"].as_u64() > Some(0),
        "{} {body}",
        answer.status
    );
    Ok(())
}

async fn no_token_no_record(engine: Engine) -> Result<()> {
    let Some((demo, web)) = shared(engine)? else {
        return Ok(());
    };
    let facts = &demo.facts;
    let id = facts.person("hjerte");
    for repository in ["kjernejournal", "provesvar", "dokumenter"] {
        let url = format!("{}/Patient/{}", facts.fhir(repository), id.id(repository));
        let refused = web.get(&url).await?.expect(401)?;
        assert_eq!(refused.json()["resourceType"], "OperationOutcome");
        let challenge = refused.header("www-authenticate").unwrap_or_default();
        assert!(challenge.starts_with("DPoP"), "{challenge}");
        assert!(!refused.text().contains(&id.pid));
    }
    // A token without its proof, too.
    let doctor =
        epj::machine_token(&web, facts, "demo-system-nordlys", "nhn:pps/provesvar-read").await?;
    let call =
        blackbox::http::Call::default().with("authorization", format!("DPoP {}", doctor.token));
    let url = format!("{}/Patient/{}", facts.fhir("provesvar"), id.id("provesvar"));
    web.send(reqwest::Method::GET, &url, call)
        .await?
        .expect(401)?;
    Ok(())
}

async fn the_search_names_one_patient(engine: Engine) -> Result<()> {
    let Some((demo, web)) = shared(engine)? else {
        return Ok(());
    };
    let facts = &demo.facts;
    let doctor =
        Clinician::log_in(&web, facts, "demo-epj-nordlys", facts.pid_of("saether")).await?;
    let base = facts.fhir("provesvar");
    let (one, two) = (facts.person("hjerte"), facts.person("diabetes"));
    let both = format!(
        "{base}/Observation?patient={},{}",
        one.id("provesvar"),
        two.id("provesvar")
    );
    for url in [format!("{base}/Observation"), both] {
        let refused = doctor.get(&url, "SAMTYKKE").await?.expect(400)?;
        assert_eq!(refused.json()["resourceType"], "OperationOutcome", "{url}");
    }
    // A basis is asked for, and must be one that exists.
    let url = format!("{base}/Observation?patient={}", one.id("provesvar"));
    let without = doctor.get(&url, "").await?;
    assert!(
        [400, 403].contains(&without.status.as_u16()),
        "{}",
        without.status
    );
    let wrong = doctor.get(&url, "NYSGJERRIG").await?;
    assert!(
        [400, 403].contains(&wrong.status.as_u16()),
        "{}",
        wrong.status
    );
    Ok(())
}

async fn portals_want_their_form_token(engine: Engine) -> Result<()> {
    let Some((demo, web)) = shared(engine)? else {
        return Ok(());
    };
    let facts = &demo.facts;
    let citizen = Session::citizen(&web, facts, &facts.person("reise").pid).await?;
    let refused = citizen
        .post_without_token("/api/citizen/access/reserve", &json!({ "on": true }))
        .await?;
    assert_eq!(refused.expect(403)?.json()["code"], "csrf");
    for path in [
        "/api/citizen/overview",
        "/api/personnel/find",
        "/api/drift/messages",
    ] {
        let stranger = web.get(&format!("{}{path}", facts.base())).await?;
        assert!(
            [401, 405].contains(&stranger.status.as_u16()),
            "{path}: {}",
            stranger.status
        );
    }
    // Operators and parties have different eyes.
    let operator = Session::operator(&web, facts).await?;
    operator.get("/api/drift/health").await?.expect(200)?;
    let party = Session::party(&web, facts, facts.pid_of("saether")).await?;
    party.get("/api/drift/messages").await?.expect(200)?;
    Ok(())
}
