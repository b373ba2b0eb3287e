//! Many resources at once, as an operator and a data consumer do it: import by the command line, export as a job that
//! outlives the process that took it.

use super::on_both_engines;
use anyhow::{Context, Result};
use blackbox::cli::run;
use blackbox::demo::Folder;
use blackbox::http::{Call, Reply, Web};
use blackbox::{Demo, Engine};
use reqwest::Method;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

on_both_engines!(imports_and_exports_outlive_the_process);

fn lines(from: usize, to: usize) -> String {
    let mut text = String::new();
    for n in from..to {
        let observation = json!({
            "resourceType": "Observation", "id": format!("bulk-{n}"), "status": "final",
            "code": { "text": "x" }, "subject": { "reference": "Patient/bulk" },
        });
        let _ = writeln!(text, "{observation}");
    }
    text
}

fn import(folder: &Folder, file: &Path, more: &[&str]) -> blackbox::cli::Said {
    run(folder
        .command()
        .args(["import", "ndjson"])
        .arg(file)
        .arg("--errors")
        .arg(folder.beside("errors.ndjson"))
        .args(more))
}

async fn finished(web: &Web, url: &str) -> Result<Reply> {
    for _ in 0..300 {
        let reply = web.get(url).await?;
        if reply.status != 202 {
            return reply.expect(200);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    anyhow::bail!("the job does not end")
}

async fn imports_and_exports_outlive_the_process(engine: Engine) -> Result<()> {
    let Some(folder) = Folder::new(engine) else {
        return Ok(());
    };
    let first = folder.beside("first.ndjson");
    std::fs::write(&first, lines(0, 700))?;
    let second = folder.beside("second.ndjson");
    std::fs::write(
        &second,
        lines(600, 900) + "{\"resourceType\":\"Nonsense\"}\n",
    )?;

    let demo = Demo::start(folder)?;
    let web = Web::new(demo.facts.text("/ca_pem"))?;
    let base = format!("{}/fhir", demo.facts.base());
    let said = import(demo.folder(), &first, &["--base", &base]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("700 created"), "{said:?}");
    let refused = import(demo.folder(), &first, &["--repository", "provesvar"]);
    assert_eq!(refused.code, 1, "{refused:?}");

    // Taken, and then the power goes.
    let call = Call::default().with("prefer", "respond-async");
    let url = format!("{}/$export?_type=Observation", demo.facts.fhir("sandbox"));
    let taken = web.send(Method::GET, &url, call).await?.expect(202)?;
    let place = taken
        .header("content-location")
        .context("no place")?
        .to_owned();
    let folder = demo.kill()?;

    // A stopped hub's store is loaded directly.
    let data = folder.data();
    let data = data.to_str().context("path")?;
    let said = import(&folder, &second, &["--data", data]);
    assert_eq!(said.code, 1, "one line is wrong: {said:?}");
    assert!(
        said.out
            .contains("200 created, 0 updated, 100 unchanged, 1 failed"),
        "{said:?}"
    );
    let errors = std::fs::read_to_string(folder.beside("errors.ndjson"))?;
    let outcome: Value = serde_json::from_str(errors.trim())?;
    assert_eq!(outcome["resourceType"], "OperationOutcome");

    let demo = Demo::start(folder)?;
    // Connections to the dead process are no use.
    let web = Web::new(demo.facts.text("/ca_pem"))?;
    let sandbox = demo.facts.fhir("sandbox");
    let id = place.rsplit('/').next().unwrap_or_default();
    let done = finished(&web, &format!("{sandbox}/_jobs/{id}"))
        .await?
        .json();
    let mut count = 0;
    for file in done["output"].as_array().context("no output")? {
        let text = web
            .get(file["url"].as_str().context("no url")?)
            .await?
            .expect(200)?
            .text();
        assert_eq!(file["count"], text.lines().count());
        count += text.matches("\"bulk-").count();
    }
    // Done before the end, or begun anew after it: never a part.
    assert!(matches!(count, 700 | 900), "{count}");
    let found = web
        .get(&format!(
            "{sandbox}/Observation?patient=bulk&_summary=count"
        ))
        .await?
        .expect(200)?
        .json();
    assert_eq!(found["total"], 900);
    Ok(())
}
