//! Start, stop, start again, and the power going in the middle of it.

use super::on_both_engines;
use anyhow::{Context, Result};
use blackbox::bus::Office;
use blackbox::demo::Folder;
use blackbox::http::{Call, Web};
use blackbox::mail::{self, About};
use blackbox::{Demo, Engine};
use reqwest::Method;
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

on_both_engines!(
    the_second_start_keeps_everything,
    a_kill_loses_nothing_acknowledged
);

/// How long a busy machine may take until enough is acknowledged to prove anything.
const PATIENCE: Duration = Duration::from_secs(120);
/// So many creates are acknowledged before the kill.
const ENOUGH: usize = 20;

async fn create(web: &Web, base: &str, mark: &str, n: usize) -> Result<String> {
    let patient = json!({ "resourceType": "Patient", "identifier": [{ "system": mark, "value": n.to_string() }] });
    let body = Some(("application/fhir+json", patient.to_string().into_bytes()));
    let made = web
        .send(
            Method::POST,
            &format!("{base}/Patient"),
            Call {
                headers: Vec::new(),
                body,
            },
        )
        .await?
        .expect(201)?;
    Ok(made.json()["id"].as_str().context("no id")?.to_owned())
}

async fn the_second_start_keeps_everything(engine: Engine) -> Result<()> {
    let Some(folder) = Folder::new(engine) else {
        return Ok(());
    };
    let first = Demo::start(folder)?;
    let facts = first.facts.clone();
    let web = Web::new(facts.text("/ca_pem"))?;
    let id = create(&web, facts.fhir("sandbox"), "urn:test:second-start", 1).await?;
    let moved = web
        .post(
            &format!("{}/demo/clock", facts.base()),
            &json!({ "advance": "PT36H" }),
        )
        .await?
        .expect(200)?
        .json();
    let (took, folder) = (first.took, first.stop()?);
    assert!(folder.data().join("facts.json").exists());

    let second = Demo::start(folder)?;
    eprintln!("{engine:?}: first start {took:?}, second {:?}", second.took);
    // Ports, keys and logins are the same: clients that were set up go on.
    assert_eq!(second.facts.0, facts.0);
    let web = Web::new(second.facts.text("/ca_pem"))?;
    web.get(&format!("{}/Patient/{id}", second.facts.fhir("sandbox")))
        .await?
        .expect(200)?;
    let clock = web
        .get(&format!("{}/demo/clock", second.facts.base()))
        .await?
        .expect(200)?
        .json();
    assert_eq!(
        clock["offset_seconds"], moved["offset_seconds"],
        "the story clock goes on where it was"
    );
    let output = second.output();
    assert!(!output.contains("panicked"), "{output}");
    let folder = second.stop()?;
    // In order from the moment it is there.
    Demo::start(folder)?.stop()?;
    Ok(())
}

async fn a_kill_loses_nothing_acknowledged(engine: Engine) -> Result<()> {
    let Some(folder) = Folder::new(engine) else {
        return Ok(());
    };
    let demo = Demo::start(folder)?;
    let facts = demo.facts.clone();
    let web = Web::new(facts.text("/ca_pem"))?;
    let base = facts.fhir("sandbox").to_owned();
    let mark = format!("urn:test:{}", uuid::Uuid::new_v4());

    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let is_over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (web, base, mark) = (web.clone(), base.clone(), mark.clone());
            let (acknowledged, is_over) = (acknowledged.clone(), is_over.clone());
            tokio::spawn(async move {
                let mut n = writer * 1_000_000;
                while !is_over.load(Ordering::Relaxed) {
                    if let Ok(id) = create(&web, &base, &mark, n).await
                        && let Ok(mut all) = acknowledged.lock()
                    {
                        all.push((n, id));
                    }
                    n += 1;
                }
            })
        })
        .collect();
    // Messages that the bus has taken: some answered already, some not yet.
    let laboratory = Office::open(&facts, mail::OFFICE)?;
    let person = facts.person("hjerte");
    let mut sent = Vec::new();
    for _ in 0..5 {
        let number = format!("KILL-{}", uuid::Uuid::new_v4().simple());
        let about = About {
            pid: &person.pid,
            name: "Hansen, Solveig Johanne",
        };
        let mail = mail::svarrapport(about, &number)?;
        laboratory
            .post("SVAR_LAB", mail::PARTY_HER_ID, 8_900_008, &mail.xml)
            .await?;
        sent.push(mail.msg_id);
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    let deadline = Instant::now() + PATIENCE;
    while acknowledged.lock().map_or(0, |all| all.len()) <= ENOUGH && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let folder = demo.kill()?;
    is_over.store(true, Ordering::Relaxed);
    for writer in writers {
        let _ = writer.await;
    }

    let demo = Demo::start(folder)?;
    let web = Web::new(demo.facts.text("/ca_pem"))?;
    let all = acknowledged.lock().map(|a| a.clone()).unwrap_or_default();
    eprintln!(
        "{engine:?}: {} creates acknowledged before the kill, up again after {:?}",
        all.len(),
        demo.took
    );
    assert!(
        all.len() > ENOUGH,
        "{} is too little to prove anything",
        all.len()
    );
    for (n, id) in &all {
        let read = web
            .get(&format!("{base}/Patient/{id}"))
            .await?
            .expect(200)?
            .json();
        assert_eq!(read["identifier"][0]["value"], n.to_string());
    }
    // And the index says the same: each once.
    for (n, id) in all.iter().rev().take(20) {
        let found = web
            .get(&format!("{base}/Patient?identifier={mark}|{n}"))
            .await?
            .expect(200)?
            .json();
        assert_eq!(
            (&found["total"], &found["entry"][0]["resource"]["id"]),
            (&json!(1), &json!(id))
        );
    }
    // Each message is answered once, whenever that was.
    let laboratory = Office::open(&demo.facts, mail::OFFICE)?;
    let mut open = sent.clone();
    laboratory
        .take("async", Duration::from_secs(60), |message| {
            let receipt = mail::receipt(&laboratory.opened(message).ok()?)?;
            open.retain(|id| *id != receipt.original);
            open.is_empty().then_some(())
        })
        .await
        .with_context(|| {
            format!(
                "{} of {} messages were never answered",
                open.len(),
                sent.len()
            )
        })?;
    demo.stop()?;
    Ok(())
}
