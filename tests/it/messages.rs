//! The message exchange as operators, parties and vendors meet it: Feilmakeren's longer cases, imported schemas, who sees
//! what of a message, numbers for an organisation's own systems.

use super::{on_both_engines, queue_of_ours, shared};
use anyhow::{Context, Result};
use blackbox::bus::Office;
use blackbox::http::Web;
use blackbox::mail::{self, About};
use blackbox::portal::Session;
use blackbox::{Demo, Engine, epj};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

on_both_engines!(
    the_actor_s_longer_cases_end_as_their_table_says,
    imported_schemas_judge_at_once,
    an_operator_sees_every_step_and_no_content,
);

/// The ones that [`super::bad_cases`] does not send.
const CASES: [&str; 10] = [
    "B21", "B22", "B26", "B26b", "B28", "B30", "B31", "B32", "B33", "B34",
];
const SOON: Duration = Duration::from_secs(60);

async fn the_actor_s_longer_cases_end_as_their_table_says(engine: Engine) -> Result<()> {
    let Some((demo, web)) = shared(engine)? else {
        return Ok(());
    };
    // The cases receive from the same queues.
    let _ours = queue_of_ours(engine).await;
    let base = demo.facts.base();
    actors_are_there(&web, base).await?;
    let mut wrong = Vec::new();
    for id in CASES {
        let sent = web
            .post(&format!("{base}/demo/bad/{id}"), &json!({}))
            .await?;
        let row = sent.json();
        if sent.status != 200 || row["as_expected"] != true {
            wrong.push(format!("{id}: {} {row}", sent.status));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let unknown = web
        .post(&format!("{base}/demo/bad/B99"), &json!({}))
        .await?;
    assert_eq!(unknown.status, 400);
    // What came stands on the operators' page.
    let operator = Session::operator(&web, &demo.facts).await?;
    let view = operator
        .get("/api/drift/timeline")
        .await?
        .expect(200)?
        .json();
    let seen = view["bad_cases"].as_array().context("no cases")?;
    let of = |id: &str| seen.iter().find(|row| row["id"] == id);
    assert_eq!(of("B34").context("B34")?["as_expected"], true, "{view}");
    Ok(())
}

async fn actors_are_there(web: &Web, base: &str) -> Result<()> {
    let deadline = Instant::now() + SOON;
    loop {
        let story = web.get(&format!("{base}/demo/story")).await?.json();
        let actors = story["actors"].as_array().cloned().unwrap_or_default();
        let is_there = |actor: &Value| actor["is_connected"] == true;
        if !actors.is_empty() && actors.iter().all(is_there) {
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "the actors do not start: {story}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A schema of our own for a message that nobody else validates here.
const SCHEMA: &str = r#"<schema xmlns="http://www.w3.org/2001/XMLSchema" targetNamespace="http://www.kith.no/xmlstds/legeerklaring/2008-06-06" elementFormDefault="qualified">
    <element name="Legeerklaring"><complexType><sequence><element name="A" type="integer"/></sequence></complexType></element></schema>"#;

async fn imported_schemas_judge_at_once(engine: Engine) -> Result<()> {
    let Some((demo, web)) = shared(engine)? else {
        return Ok(());
    };
    let operator = Session::operator(&web, &demo.facts).await?;
    let csrf = operator.get("/api/session/drift").await?.json()["csrf"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let found = async || -> Result<String> {
        let message = "<Legeerklaring xmlns=\"http://www.kith.no/xmlstds/legeerklaring/2008-06-06\"><A>x</A></Legeerklaring>";
        let report = operator
            .upload("/api/drift/validate", &csrf, message.as_bytes().to_vec())
            .await?
            .expect(200)?
            .json();
        Ok(report["findings"].to_string())
    };
    assert!(!found().await?.contains("XML-skjema"));
    let folder = demo.folder().beside("xsd");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("a.xsd"), SCHEMA)?;
    // Beside the running hub: it has the embedded store for itself, on PostgreSQL the command is one more process.
    let said = demo
        .folder()
        .command()
        .args(["import", "standards"])
        .arg(&folder)
        .arg("--data")
        .arg(demo.folder().data())
        .output()?;
    assert!(said.status.success(), "{said:?}");
    let findings = found().await?;
    assert!(findings.contains("offisielt XML-skjema"), "{findings}");
    Ok(())
}

async fn an_operator_sees_every_step_and_no_content(engine: Engine) -> Result<()> {
    let Some((demo, web)) = shared(engine)? else {
        return Ok(());
    };
    let _ours = queue_of_ours(engine).await;
    let facts = &demo.facts;
    let office = Office::open(facts, mail::OFFICE)?;
    let person = facts.person("hjerte");
    let marker = format!("SEEN-{}", uuid::Uuid::new_v4().simple());
    let about = About {
        pid: &person.pid,
        name: "Hansen, Solveig Johanne",
    };
    let mail = mail::svarrapport(about, &marker)?;
    office
        .post("SVAR_LAB", mail::PARTY_HER_ID, 8_900_008, &mail.xml)
        .await?;
    office
        .take("async", SOON, |message| {
            let receipt = mail::receipt(&office.opened(message).ok()?)?;
            (receipt.original == mail.msg_id).then_some(())
        })
        .await?;

    let operator = Session::operator(&web, facts).await?;
    let (id, detail) = track_of(&operator, &mail.msg_id).await?;
    let text = detail.to_string();
    for hidden in [person.pid.as_str(), marker.as_str(), "Solveig", "NPU03230"] {
        assert!(!text.contains(hidden), "{hidden} is shown: {text}");
    }
    let steps: Vec<&str> = detail["steps"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|step| step["what"].as_str())
        .collect();
    for step in [
        "received",
        "checked",
        "queued",
        "opened",
        "handled",
        "receipt_sent",
    ] {
        assert!(steps.contains(&step), "{step}: {steps:?}");
    }
    assert_eq!(detail["state"]["code"], "accepted");
    let original = format!("/api/drift/messages/{id}/original");
    assert_eq!(operator.get(&original).await?.status, 403);
    // Somebody else's message does not exist for a party.
    let other = Session::party(&web, facts, facts.pid_of("solberg")).await?;
    for path in [format!("/api/drift/messages/{id}"), original] {
        assert_eq!(other.get(&path).await?.status, 404, "{path}");
    }
    numbers_for_systems(demo, &web).await
}

/// The track of a message that «Din EPJ AS» sent.
async fn track_of(operator: &Session, msg_id: &str) -> Result<(String, Value)> {
    let path = format!("/api/drift/messages?her_id={}", mail::PARTY_HER_ID);
    let list = operator.get(&path).await?.expect(200)?.json();
    for row in list["rows"].as_array().into_iter().flatten() {
        let id = row["id"].as_str().unwrap_or_default();
        let path = format!("/api/drift/messages/{id}");
        let detail = operator.get(&path).await?.expect(200)?.json();
        if detail["envelope"]["msg_id"] == msg_id {
            return Ok((id.to_owned(), detail));
        }
    }
    anyhow::bail!("the message is not in the list: {list}")
}

/// The organisation's own numbers, with the token of the message service.
async fn numbers_for_systems(demo: &Demo, web: &Web) -> Result<()> {
    let facts = &demo.facts;
    let url = facts.text("/endpoints/meldingsteller");
    let system = epj::machine_token(web, facts, "demo-system-vaar", "nhn:msh/api").await?;
    let deadline = Instant::now() + SOON;
    loop {
        let report = system.get(&format!("{url}?function=SVAR_LAB"), "").await?;
        let report = report.expect(200)?.json();
        if report["totals"]["messages"].as_u64() > Some(0) {
            assert_eq!(report["by_function"][0]["key"], "SVAR_LAB", "{report}");
            break;
        }
        anyhow::ensure!(Instant::now() < deadline, "nothing is counted: {report}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let refused = system.get(&format!("{url}?from=yesterday"), "").await?;
    assert_eq!(refused.status, 400);
    Ok(())
}
