//! System users that an operator adds: onto the bus and to the SOAP services, and out again.

use super::on_both_engines;
use amqp::client::Client;
use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use blackbox::cli::{Said, run};
use blackbox::demo::Folder;
use blackbox::http::{Call, Web};
use blackbox::{Demo, Engine};
use reqwest::Method;
use std::time::{Duration, Instant};

on_both_engines!(a_system_user_comes_and_goes);

const PARTY: &str = "vaar-epj";

fn system_user(folder: &Folder, arguments: &[&str]) -> Said {
    run(folder
        .command()
        .arg("system-user")
        .args(arguments)
        .arg("--data")
        .arg(folder.data()))
}

/// Whether the user may ask the address register.
async fn may_ask(demo: &Demo, password: &str) -> Result<bool> {
    let web = Web::new(demo.facts.text("/ca_pem"))?;
    let orgnr = demo.facts.organisation(PARTY)["orgnr"].as_str();
    let basic = format!("OrgUsr{}:{password}", orgnr.context("no orgnr")?);
    let basic = base64::engine::general_purpose::STANDARD.encode(basic);
    let envelope = r#"<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><Ping xmlns="http://register.nhn.no/CommunicationParty"/></s:Body></s:Envelope>"#;
    let call = Call {
        body: Some(("text/xml; charset=utf-8", envelope.as_bytes().to_vec())),
        ..Call::default()
    };
    let call = call.with("authorization", format!("Basic {basic}"));
    let url = format!("{}/v1/AR/Basic", demo.facts.base());
    let status = web.send(Method::POST, &url, call).await?.status;
    ensure!(matches!(status.as_u16(), 200 | 401), "{status}");
    Ok(status == 200)
}

/// Whether the user may log in to the bus, and open its own queue there.
async fn may_receive(demo: &Demo, password: &str) -> Result<bool> {
    let facts = &demo.facts;
    let host: std::net::IpAddr = facts.text("/amqp/host").parse()?;
    let port = u16::try_from(facts.0["amqp"]["port"].as_u64().context("no port")?)?;
    let her_id = facts.organisation(PARTY)["her_id"].to_string();
    let Ok(mut client) = Client::connect((host, port).into(), &her_id, password, None).await else {
        return Ok(false);
    };
    let queue = format!("{her_id}_async");
    let receiver = client.receiver(&queue, "system-user", 0).await?;
    receiver.close().await;
    client.close().await?;
    Ok(true)
}

/// A running hub on PostgreSQL sees a change by itself.
async fn until(demo: &Demo, password: &str, expected: bool) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while may_ask(demo, password).await? != expected
        || may_receive(demo, password).await? != expected
    {
        ensure!(
            Instant::now() < deadline,
            "not so after a minute: {expected}"
        );
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    Ok(())
}

/// Does something at the console: beside the running hub, or while it is stopped where the store is its own.
fn at_the_console(engine: Engine, demo: Demo, arguments: &[&str]) -> Result<(Demo, Said)> {
    if engine == Engine::Postgres {
        let said = system_user(demo.folder(), arguments);
        return Ok((demo, said));
    }
    let running = system_user(demo.folder(), arguments);
    ensure!(running.code == 1, "the store is the hub's own: {running:?}");
    let folder = demo.stop()?;
    let said = system_user(&folder, arguments);
    Ok((Demo::start(folder)?, said))
}

async fn a_system_user_comes_and_goes(engine: Engine) -> Result<()> {
    let Some(folder) = Folder::new(engine) else {
        return Ok(());
    };
    let demo = Demo::start(folder)?;
    let her_id = demo.facts.organisation(PARTY)["her_id"].to_string();
    let (demo, said) = at_the_console(engine, demo, &["add", &her_id, "--role", "FlrWrite"])?;
    ensure!(said.code == 0, "{said:?}");
    let password = said.out.trim().rsplit(' ').next().unwrap_or_default();
    ensure!(password.len() >= 40, "{said:?}");
    until(&demo, password, true).await?;
    let number: u64 = her_id.parse()?;
    let users = demo.facts.0["amqp"]["users"].as_array();
    let of_the_demo = users
        .and_then(|users| users.iter().find(|u| u["her_id"] == number))
        .and_then(|user| user["password"].as_str());
    assert!(
        may_ask(&demo, of_the_demo.context("no user")?).await?,
        "both passwords are known"
    );
    assert!(!may_ask(&demo, "wrong").await? && !may_receive(&demo, "wrong").await?);

    let (demo, said) = at_the_console(engine, demo, &["remove", &her_id])?;
    ensure!(said.code == 0, "{said:?}");
    until(&demo, password, false).await?;
    Ok(())
}
