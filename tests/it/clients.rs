//! Clients that are registered while the hub runs: by a vendor at the demo, by an operator's command, by the client itself.

use super::on_both_engines;
use anyhow::{Context as _, Result, ensure};
use blackbox::cli::run;
use blackbox::demo::Folder;
use blackbox::facts::Facts;
use blackbox::http::Web;
use blackbox::portal::Session;
use blackbox::{Demo, Engine, epj};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

on_both_engines!(
    a_vendors_client_survives_a_restart,
    commands_register_clients,
);

const SELF_SERVICE: &str = "nhn:selvbetjening/client";

/// The facts with one more client, so that the helpers find its key.
fn with_client(facts: &Facts, client: &Value) -> Facts {
    let mut all = facts.0.clone();
    if let Some(clients) = all
        .pointer_mut("/helseid/clients")
        .and_then(Value::as_array_mut)
    {
        clients.push(client.clone());
    }
    Facts(all)
}

fn read(path: &Path) -> Result<Value> {
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

async fn a_vendors_client_survives_a_restart(engine: Engine) -> Result<()> {
    let Some(folder) = Folder::new(engine) else {
        return Ok(());
    };
    let demo = Demo::start(folder)?;
    let out = demo.folder().beside("client.json");
    let add = |out: &Path, scope: &str| {
        run(demo
            .folder()
            .command()
            .args(["demo", "add-client", "--scope", scope, "--strict"])
            .arg("--data")
            .arg(demo.folder().data())
            .arg("--out")
            .arg(out))
    };
    let said = add(&out, "nhn:pps/provesvar-read");
    ensure!(said.code == 0, "{said:?}");
    let again = add(&out, "nhn:pps/provesvar-read");
    ensure!(
        again.code == 1 && again.err.contains("exists already"),
        "{again:?}"
    );
    let wrong = add(&demo.folder().beside("other.json"), "nhn:none/such");
    ensure!(
        wrong.code == 1 && wrong.err.contains("nhn:none/such"),
        "{wrong:?}"
    );
    let client = read(&out)?;
    let client_id = client["client_id"].as_str().context("client_id")?;
    ensure!(
        client["private_jwk"]["d"].is_string(),
        "the key is in the file"
    );

    let web = Web::new(demo.facts.text("/ca_pem"))?;
    let facts = with_client(&demo.facts, &client);
    let url = format!("{}/v1/client", demo.facts.text("/endpoints/selvbetjening"));
    let token = epj::machine_token(&web, &facts, client_id, SELF_SERVICE).await?;
    let own = token.get(&url, "").await?.expect(200)?.json();
    assert_eq!(
        own["apiScopes"][0],
        json!({ "scope": "nhn:pps/provesvar-read", "status": "ok", "statusReason": null })
    );
    let pps = epj::machine_token(&web, &facts, client_id, "nhn:pps/provesvar-read").await?;
    assert_eq!(pps.claims()["aud"], "nhn:pps");
    // Another API's token opens nothing here, and none at all neither.
    pps.get(&url, "").await?.expect(401)?;
    let refused = web.get(&url).await?.expect(401)?.json();
    assert_eq!(refused["status"], 401);

    let operator = Session::operator(&web, &demo.facts).await?;
    let listed = operator
        .get("/api/drift/clients")
        .await?
        .expect(200)?
        .json();
    let ids: Vec<&str> = listed["clients"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|c| c["client_id"].as_str())
        .collect();
    ensure!(
        ids.contains(&client_id) && ids.contains(&"demo-epj-fjordglott"),
        "{ids:?}"
    );
    // The scope of the demo's example waits; nothing of it is in the token yet.
    assert_eq!(listed["waiting"][0]["subject"], "nhn:pps/provesvar-read");

    let demo = Demo::start(demo.kill()?)?;
    let web = Web::new(demo.facts.text("/ca_pem"))?;
    let facts = with_client(&demo.facts, &client);
    epj::machine_token(&web, &facts, client_id, SELF_SERVICE).await?;
    demo.stop()?;
    Ok(())
}

async fn commands_register_clients(engine: Engine) -> Result<()> {
    let Some(folder) = Folder::new(engine) else {
        return Ok(());
    };
    let demo = Demo::start(folder)?;
    let organisation = demo.facts.organisation("fjordglott")["orgnr"]
        .as_str()
        .context("orgnr")?
        .to_owned();
    let folder = demo.stop()?;
    let key = folder.beside("key.json");
    let client = |folder: &Folder, args: &[&str]| {
        run(folder
            .command()
            .arg("client")
            .args(args)
            .arg("--data")
            .arg(folder.data()))
    };
    let add = [
        "add",
        "--name",
        "Ny EPJ",
        "--organisation",
        &organisation,
        "--client-id",
        "ny-epj",
        "--compatible",
        "--scope",
        "nhn:msh/api",
        "--out",
        &key.display().to_string(),
    ];
    let said = client(&folder, &add);
    ensure!(said.code == 0, "{said:?}");
    for (args, word) in [
        (
            &["add", "--name", "x", "--organisation", "123456789"][..],
            "organizationNumber",
        ),
        (&["show", "nobody"], "no such registration"),
        (&["key", "add", "nobody"], "no such registration"),
        (
            &["scope", "ny-epj", "nhn:none/such", "request"],
            "nhn:none/such",
        ),
    ] {
        let said = client(&folder, args);
        ensure!(
            said.code == 1 && said.err.contains(word),
            "{args:?}: {said:?}"
        );
    }
    let listed = client(&folder, &["list"]);
    ensure!(
        listed.out.contains("ny-epj") && listed.out.contains("1 wait"),
        "{listed:?}"
    );

    let demo = Demo::start(folder)?;
    let web = Web::new(demo.facts.text("/ca_pem"))?;
    let facts = with_client(&demo.facts, &read(&key)?);
    epj::machine_token(&web, &facts, "ny-epj", SELF_SERVICE).await?;
    ensure!(
        epj::machine_token(&web, &facts, "ny-epj", "nhn:msh/api")
            .await
            .is_err(),
        "nobody has approved it"
    );
    let approve = ["scope", "ny-epj", "nhn:msh/api", "approve"];
    let demo = if engine == Engine::Postgres {
        // Beside a running hub: it follows.
        let said = client(demo.folder(), &approve);
        ensure!(said.code == 0, "{said:?}");
        demo
    } else {
        let folder = demo.stop()?;
        let said = client(&folder, &approve);
        ensure!(said.code == 0, "{said:?}");
        Demo::start(folder)?
    };
    let web = Web::new(demo.facts.text("/ca_pem"))?;
    let facts = with_client(&demo.facts, &read(&key)?);
    let deadline = Instant::now() + Duration::from_secs(60);
    while let Err(error) = epj::machine_token(&web, &facts, "ny-epj", "nhn:msh/api").await {
        ensure!(Instant::now() < deadline, "not in force: {error:#}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    demo.stop()?;
    Ok(())
}
