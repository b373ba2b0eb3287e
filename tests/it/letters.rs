//! A discharge letter becomes something the citizen can read, and its bytes stay what the hospital sent.

use super::{on_both_engines, queue_of_ours, shared};
use anyhow::Result;
use blackbox::Engine;
use blackbox::bus::Office;
use blackbox::epj::Clinician;
use blackbox::mail::{self, About};
use blackbox::portal::Session;
use std::time::{Duration, Instant};

on_both_engines!(
    the_original_stays_byte_for_byte,
    a_referral_is_where_it_is_said_to_be
);

/// How long an answer of the hub's own receivers may take on a busy machine.
const SOON: Duration = Duration::from_secs(30);

async fn the_original_stays_byte_for_byte(engine: Engine) -> Result<()> {
    let Some((demo, web)) = shared(engine)? else {
        return Ok(());
    };
    let facts = &demo.facts;
    let person = facts.person("hjerte");
    let _ours = queue_of_ours(engine).await;
    let hospital = Office::open(facts, mail::OFFICE)?;
    let mail = mail::epikrise(About {
        pid: &person.pid,
        name: "Hansen, Solveig Johanne",
    })?;
    hospital
        .post("EPIKRISE", mail::PARTY_HER_ID, 8_900_009, &mail.xml)
        .await?;
    let receipt = hospital
        .take("async", SOON, |message| {
            mail::receipt(&hospital.opened(message).ok()?).filter(|r| r.original == mail.msg_id)
        })
        .await?;
    assert_eq!(
        (receipt.status.as_str(), receipt.errors.len()),
        ("1", 0),
        "{}",
        receipt.xml
    );

    let citizen = Session::citizen(&web, facts, &person.pid).await?;
    let letters = citizen
        .get("/api/citizen/letters")
        .await?
        .expect(200)?
        .json();
    let mut same = None;
    for letter in letters["letters"].as_array().into_iter().flatten() {
        let id = letter["id"].as_str().unwrap_or_default();
        let original = citizen
            .get(&format!("/api/citizen/letters/{id}/original"))
            .await?
            .expect(200)?;
        assert!(
            original
                .header("content-disposition")
                .is_some_and(|d| d.starts_with("attachment"))
        );
        if original.body == mail.xml.as_bytes() {
            same = Some(id.to_owned());
            citizen
                .get(&format!("/api/citizen/letters/{id}"))
                .await?
                .expect(200)?;
        }
    }
    assert!(
        same.is_some(),
        "no letter has the bytes that were sent: {letters}"
    );

    // The same for the doctor, as FHIR: the attachment's hash is that of the bytes sent.
    let doctor =
        Clinician::log_in(&web, facts, "demo-epj-nordlys", facts.pid_of("saether")).await?;
    let url = format!(
        "{}/DocumentReference?patient={}",
        facts.fhir("dokumenter"),
        person.id("dokumenter")
    );
    let found = doctor.get(&url, "SAMTYKKE").await?.expect(200)?.json();
    let references = found["entry"].as_array().cloned().unwrap_or_default();
    let is_it = |r: &&serde_json::Value| r["resource"]["id"].as_str() == same.as_deref();
    let reference = references.iter().find(is_it).map(|r| &r["resource"]);
    let attachment = reference.map(|r| &r["content"][0]["attachment"]);
    let url = attachment
        .and_then(|a| a["url"].as_str())
        .unwrap_or_default();
    assert!(url.contains("Binary/"), "{found}");
    let url = if url.starts_with("http") {
        url.to_owned()
    } else {
        format!("{}/{url}", facts.fhir("dokumenter"))
    };
    let binary = doctor.get(&url, "SAMTYKKE").await?.expect(200)?.json();
    use base64::Engine as _;
    let data = base64::engine::general_purpose::STANDARD
        .decode(binary["data"].as_str().unwrap_or_default())?;
    assert_eq!(data, mail.xml.as_bytes());
    // Another citizen does not see it.
    let other = Session::citizen(&web, facts, &facts.person("diabetes").pid).await?;
    let id = same.unwrap_or_default();
    other
        .get(&format!("/api/citizen/letters/{id}"))
        .await?
        .expect(404)?;
    Ok(())
}

async fn a_referral_is_where_it_is_said_to_be(engine: Engine) -> Result<()> {
    let Some((demo, web)) = shared(engine)? else {
        return Ok(());
    };
    let facts = &demo.facts;
    let _ours = queue_of_ours(engine).await;
    let office = Office::open(facts, mail::OFFICE)?;
    let mail = mail::henvisning()?;
    let sent = office
        .post(
            "HENVISNING_NYTILSTAND",
            mail::PARTY_HER_ID,
            8_900_301,
            &mail.xml,
        )
        .await?;
    // The hospital lives: it answers.
    let receipt = office
        .take("async", SOON, |message| {
            mail::receipt(&office.opened(message).ok()?).filter(|r| r.original == mail.msg_id)
        })
        .await?;
    assert_eq!(receipt.status, "1", "{}", receipt.xml);

    let sender = Session::party(&web, facts, facts.pid_of("saether")).await?;
    // The hospital answers before it lets go of the message: a moment later both have arrived.
    let deadline = Instant::now() + SOON;
    let row = loop {
        let seen = sender.get("/api/drift/messages").await?.expect(200)?.json();
        let is_it = |r: &&serde_json::Value| {
            r["subject"] == "HENVISNING_NYTILSTAND" && r["from"]["her_id"] == mail::PARTY_HER_ID
        };
        let rows = seen["rows"].as_array().into_iter().flatten();
        let row = rows.into_iter().find(is_it).cloned();
        let row = row.unwrap_or_else(|| panic!("the receiver does not see it: {seen}"));
        if row["state"]["code"] == "accepted" {
            break row;
        }
        assert!(
            Instant::now() < deadline,
            "received and accepted, but: {row}"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(row["to"]["her_id"], 8_900_301, "{row}");
    let id = row["id"].as_str().unwrap_or_default().to_owned();
    let detail = sender
        .get(&format!("/api/drift/messages/{id}"))
        .await?
        .expect(200)?
        .json();
    assert!(detail.to_string().contains(&sent), "{detail}");
    // A stranger does not, nor does the operator get the content.
    let stranger = Session::party(&web, facts, facts.pid_of("lien")).await?;
    stranger
        .get(&format!("/api/drift/messages/{id}"))
        .await?
        .expect(404)?;
    let operator = Session::operator(&web, facts).await?;
    operator
        .get(&format!("/api/drift/messages/{id}"))
        .await?
        .expect(200)?;
    let original = operator
        .get(&format!("/api/drift/messages/{id}/original"))
        .await?;
    assert!(original.status.is_client_error(), "{}", original.status);
    Ok(())
}
