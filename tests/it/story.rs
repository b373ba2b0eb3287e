//! The main walk-through (spec/story.md §6.1) played by the demo's own actors to its end, then looked at from outside.

use super::on_both_engines;
use anyhow::Result;
use blackbox::demo::Folder;
use blackbox::http::Web;
use blackbox::portal::Session;
use blackbox::{Demo, Engine, passed_over};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

on_both_engines!(kari_s_day_ends_as_the_story_says);

async fn kari_s_day_ends_as_the_story_says(engine: Engine) -> Result<()> {
    let Some(folder) = Folder::new(engine) else {
        return Ok(());
    };
    let demo = Demo::start(folder)?;
    let facts = &demo.facts;
    let web = Web::new(facts.text("/ca_pem"))?;
    let url = format!("{}/demo/story", facts.base());
    // The actors read the facts and open their keys first.
    let deadline = Instant::now() + Duration::from_secs(60);
    let steps = loop {
        let status = web.get(&url).await?.expect(200)?.json();
        let steps = status["steps"].as_array().cloned().unwrap_or_default();
        if status["is_starting"] != true || Instant::now() > deadline {
            break steps;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    if steps.is_empty() {
        passed_over("the story's actors are not built");
        demo.stop()?;
        return Ok(());
    }
    let played = web
        .post(&url, &json!({ "pace": 0, "until": "end" }))
        .await?
        .expect(200)?
        .json();
    eprintln!("{engine:?}: {played}");
    let after = web.get(&url).await?.expect(200)?.json();
    let mut failed = Vec::new();
    for step in after["steps"].as_array().into_iter().flatten() {
        let state = step["state"].as_str().unwrap_or_default();
        if state == "failed" {
            failed.push(step.to_string());
        } else if state != "done" && state != "finished" {
            passed_over(&format!("step {} is {state}", step["key"]));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));

    let kari = Session::citizen(&web, facts, &facts.person("blokk").pid).await?;
    // Row 4 and 5: the corrected value, and only that.
    let results = kari.get("/api/citizen/results").await?.expect(200)?.json();
    let reports = results["reports"].as_array().cloned().unwrap_or_default();
    let amended: Vec<&Value> = reports
        .iter()
        .filter(|r| !r["amended_at"].is_null())
        .collect();
    assert_eq!(amended.len(), 1, "one corrected report: {results}");
    let id = amended[0]["id"].as_str().unwrap_or_default();
    let report = kari
        .get(&format!("/api/citizen/results/{id}"))
        .await?
        .expect(200)?
        .json();
    let values: Vec<&str> = report["results"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|r| r["value"].as_str())
        .collect();
    assert!(
        values.contains(&"142") && !values.contains(&"412"),
        "{values:?}"
    );
    assert_eq!(values.len(), 6, "{values:?}");
    // Row 8: the letter.
    let letters = kari.get("/api/citizen/letters").await?.expect(200)?.json();
    assert_eq!(
        letters["letters"].as_array().map(Vec::len),
        Some(1),
        "{letters}"
    );
    // Row 11: the block, with the notice of it.
    let access = kari.get("/api/citizen/access").await?.expect(200)?.json();
    assert!(
        access["blocked"][0]["name"]
            .as_str()
            .is_some_and(|n| n.contains("Moen")),
        "{access}"
    );
    let notices = kari.get("/api/citizen/notices").await?.expect(200)?.json();
    assert!(
        notices["notices"].as_array().is_some_and(|n| !n.is_empty()),
        "{notices}"
    );
    // Row 13: refused tries in one line, by name; her own reading is there too.
    let log = kari.get("/api/citizen/log").await?.expect(200)?.json();
    let visits = log["visits"].as_array().cloned().unwrap_or_default();
    // Sæther's try without a title stands there too; his are one line, by name, since Kari chose him by name.
    let refused: Vec<&Value> = visits
        .iter()
        .filter(|v| v["is_denied"] == true)
        .filter(|v| {
            v["head"]["name"]
                .as_str()
                .is_some_and(|n| n.contains("Moen"))
        })
        .collect();
    assert_eq!(refused.len(), 1, "his refused tries are one line");
    assert!(refused[0]["count"].as_u64().is_some_and(|n| n >= 6));
    assert!(visits.iter().any(|v| v["reason"] == "yourself"), "{log}");
    // Rows 1 and 2: where the referral is, as the sender sees it.
    let office = Session::party(&web, facts, facts.pid_of("solberg")).await?;
    let rows = office.get("/api/drift/messages").await?.expect(200)?.json();
    assert!(rows.to_string().contains("HENVISNING_NYTILSTAND"), "{rows}");
    demo.stop()?;
    Ok(())
}
