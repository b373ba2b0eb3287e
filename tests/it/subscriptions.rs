//! Subscriptions of the sandbox as a vendor meets them: a REST hook on the vendor's own port, told in order.

use super::{on_both_engines, shared};
use anyhow::{Result, bail};
use blackbox::Engine;
use blackbox::http::{Call, Web};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

on_both_engines!(a_rest_hook_is_told_in_order);

const GUIDE: &str = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition";
const PATIENCE: Duration = Duration::from_secs(60);

/// Takes one POST off a connection and answers it; its body.
async fn take(listener: &TcpListener) -> Result<Value> {
    let (mut stream, _) = tokio::time::timeout(PATIENCE, listener.accept()).await??;
    let mut read = Vec::new();
    let mut part = vec![0; 65_536];
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .filter_map(|l| l.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .and_then(|(_, value)| value.trim().parse().ok())
                .unwrap_or(0);
            if body.len() >= length {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                    .await?;
                return Ok(serde_json::from_str(body)?);
            }
        }
        match stream.read(&mut part).await? {
            0 => bail!("the connection broke off"),
            n => read.extend_from_slice(part.get(..n).unwrap_or_default()),
        }
    }
}

fn parameters<'b>(bundle: &'b Value, name: &str) -> Vec<&'b Value> {
    let all = bundle["entry"][0]["resource"]["parameter"].as_array();
    all.into_iter()
        .flatten()
        .filter(|p| p["name"] == name)
        .collect()
}

async fn write(web: &Web, method: Method, url: &str, body: &Value) -> Result<Value> {
    let reply = web
        .send(
            method,
            url,
            Call {
                body: Some(("application/fhir+json", body.to_string().into_bytes())),
                ..Call::default()
            },
        )
        .await?;
    Ok(reply.json())
}

async fn a_rest_hook_is_told_in_order(engine: Engine) -> Result<()> {
    let Some((demo, web)) = shared(engine)? else {
        return Ok(());
    };
    let base = demo.facts.fhir("sandbox");
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let code = uuid::Uuid::new_v4().to_string();
    let subscription = json!({
        "resourceType": "Subscription", "status": "requested", "reason": "test",
        "criteria": "urn:helsenav:topic:Observation",
        "_criteria": { "extension": [{
            "url": format!("{GUIDE}/backport-filter-criteria"),
            "valueString": format!("Observation?code=urn:test|{code}"),
        }] },
        "channel": {
            "type": "rest-hook", "endpoint": format!("http://{}/hook", listener.local_addr()?),
            "payload": "application/fhir+json",
            "_payload": { "extension": [{ "url": format!("{GUIDE}/backport-payload-content"), "valueCode": "id-only" }] },
        },
    });
    let made = write(
        &web,
        Method::POST,
        &format!("{base}/Subscription"),
        &subscription,
    )
    .await?;
    let id = made["id"].as_str().unwrap_or_default().to_owned();
    let handshake = take(&listener).await?;
    assert_eq!(parameters(&handshake, "type")[0]["valueCode"], "handshake");
    let address = format!("{base}/Subscription/{id}");
    let begun = Instant::now();
    while web.get(&address).await?.json()["status"] != "active" {
        assert!(begun.elapsed() < PATIENCE, "never active");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let observation = json!({
        "resourceType": "Observation", "status": "final",
        "code": { "coding": [{ "system": "urn:test", "code": code }] },
    });
    let mut focus = Vec::new();
    for _ in 0..3 {
        let made = write(
            &web,
            Method::POST,
            &format!("{base}/Observation"),
            &observation,
        )
        .await?;
        focus.push(format!(
            "{base}/Observation/{}",
            made["id"].as_str().unwrap_or_default()
        ));
    }
    for (n, focus) in focus.iter().enumerate() {
        let told = take(&listener).await?;
        let event = parameters(&told, "notification-event")[0]["part"].clone();
        assert_eq!(event[0]["valueString"], (n + 1).to_string());
        assert_eq!(told["entry"][1]["fullUrl"], *focus);
        assert!(told["entry"][1]["resource"].is_null(), "id only");
    }
    let status = web
        .get(&format!("{address}/$status"))
        .await?
        .expect(200)?
        .json();
    assert_eq!(
        parameters(&status, "events-since-subscription-start")[0]["valueString"],
        "3"
    );
    web.send(Method::DELETE, &address, Call::default()).await?;
    Ok(())
}
