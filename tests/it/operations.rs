//! What operators and citizens get to check the hub with: metrics, headers, the upload page's validator, the log's proof.

use super::{on_both_engines, shared};
use anyhow::Result;
use blackbox::bus::Office;
use blackbox::cli::{helsenav, run};
use blackbox::http::Call;
use blackbox::portal::Session;
use blackbox::{Engine, fixture, mail};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

on_both_engines!(
    the_log_extract_proves_itself,
    metrics_and_headers,
    the_upload_page_explains,
    the_clock_moves_forward_only,
    messages_are_counted_for_those_they_concern,
);

async fn the_log_extract_proves_itself(engine: Engine) -> Result<()> {
    let Some((demo, web)) = shared(engine)? else {
        return Ok(());
    };
    let citizen = Session::citizen(&web, &demo.facts, &demo.facts.person("blokk").pid).await?;
    // Her log holds two look-ups from before the story's day; a head is signed soon after the start.
    let deadline = Instant::now() + Duration::from_secs(30);
    let bytes = loop {
        let extract = citizen.get("/api/citizen/log/extract").await?.expect(200)?;
        let proofs = extract.json()["proofs"].as_array().map_or(0, Vec::len);
        if proofs > 0 {
            break extract.body;
        }
        assert!(
            Instant::now() < deadline,
            "nothing is sealed after 30 s: {}",
            extract.text()
        );
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("innsynslogg.json");
    std::fs::write(&file, &bytes)?;
    let said = run(helsenav().args(["log", "verify"]).arg(&file));
    assert!(said.code == 0 && said.out.starts_with("OK"), "{said:?}");

    // With the keys from the hub's own address, as somebody would who trusts the file less.
    let jwks = folder.path().join("jwks.json");
    std::fs::write(
        &jwks,
        web.get(demo.facts.text("/endpoints/log-jwks"))
            .await?
            .expect(200)?
            .body,
    )?;
    let said = run(helsenav()
        .args(["log", "verify"])
        .arg(&file)
        .arg("--jwks")
        .arg(&jwks));
    assert_eq!(said.code, 0, "{said:?}");

    // One word changed anywhere in what is shown, and the proof fails.
    let extract: Value = serde_json::from_slice(&bytes)?;
    for member in ["action", "outcome", "service"] {
        let mut tampered = extract.clone();
        let shown = &mut tampered["proofs"][0]["shown"][member];
        if shown.is_null() {
            continue;
        }
        shown[1] = json!("something else");
        std::fs::write(&file, tampered.to_string())?;
        let said = run(helsenav().args(["log", "verify"]).arg(&file));
        assert!(
            said.code == 1 && said.out.contains("NOT proven"),
            "{member}: {said:?}"
        );
    }
    Ok(())
}

async fn metrics_and_headers(engine: Engine) -> Result<()> {
    let Some((demo, web)) = shared(engine)? else {
        return Ok(());
    };
    let base = demo.facts.base();
    let metrics = web
        .get(&format!("{base}/metrics"))
        .await?
        .expect(200)?
        .text();
    assert!(
        metrics.contains("helseid_") || metrics.contains("store_") || metrics.contains("http_"),
        "{metrics}"
    );
    for person in demo.facts.0["persons"].as_array().into_iter().flatten() {
        assert!(
            !metrics.contains(person["pid"].as_str().unwrap_or("-")),
            "a national id in the metrics"
        );
    }
    let page = web.get(&format!("{base}/")).await?.expect(200)?;
    let header = |name: &str| page.header(name).unwrap_or_default().to_owned();
    assert!(
        header("content-security-policy").contains("default-src"),
        "{:?}",
        page.headers
    );
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert!(page.header("x-request-id").is_some(), "{:?}", page.headers);
    let lost = web.get(&format!("{base}/nasjonal/finnes-ikke")).await?;
    assert_eq!(lost.status, 404);
    Ok(())
}

async fn the_upload_page_explains(engine: Engine) -> Result<()> {
    let Some((demo, web)) = shared(engine)? else {
        return Ok(());
    };
    let operator = Session::operator(&web, &demo.facts).await?;
    let csrf = operator.get("/api/session/drift").await?.json()["csrf"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let bytes = std::fs::read(fixture("svarrapport-1.4.xml"))?;
    let report = operator
        .upload("/api/drift/validate", &csrf, bytes)
        .await?
        .expect(200)?
        .json();
    assert_eq!(report["valid"], true, "{report}");
    assert!(
        report["text"]
            .as_str()
            .is_some_and(|t| t.contains("Svarrapport") || t.contains("svarrapport")),
        "{report}"
    );
    // The registers are at hand here: somebody who does not exist is found out.
    let text = std::fs::read_to_string(fixture("svarrapport-1.4.xml"))?
        .replace("14896849817", "01815040178");
    let report = operator
        .upload("/api/drift/validate", &csrf, text.into_bytes())
        .await?
        .expect(200)?
        .json();
    assert!(report.to_string().contains("E53"), "{report}");
    Ok(())
}

async fn the_clock_moves_forward_only(engine: Engine) -> Result<()> {
    let Some((demo, web)) = shared(engine)? else {
        return Ok(());
    };
    let url = format!("{}/demo/clock", demo.facts.base());
    for wrong in [
        json!({ "advance": "-PT1H" }),
        json!({ "advance": "P100Y" }),
        json!({ "advance": "tomorrow" }),
        json!({ "back": "PT1H" }),
    ] {
        let reply = web.post(&url, &wrong).await?;
        assert!(reply.status.is_client_error(), "{wrong}: {}", reply.status);
    }
    let text = Call {
        headers: Vec::new(),
        body: Some(("application/json", b"{".to_vec())),
    };
    assert!(
        web.send(Method::POST, &url, text)
            .await?
            .status
            .is_client_error()
    );
    Ok(())
}

async fn messages_are_counted_for_those_they_concern(engine: Engine) -> Result<()> {
    let Some((demo, web)) = shared(engine)? else {
        return Ok(());
    };
    let facts = &demo.facts;
    // The authority's list of revoked certificates, where its certificates send clients.
    let list = web
        .get(&format!("{}/pki/demo-ca.crl", facts.base()))
        .await?
        .expect(200)?;
    assert_eq!(
        xmlsec::pem::decode("X509 CRL", facts.text("/crl_pem"))?,
        list.body
    );

    let operator = Session::operator(&web, facts).await?;
    let office = Office::open(facts, mail::OFFICE)?;
    let person = facts.person("hjerte");
    let about = mail::About {
        pid: &person.pid,
        name: "Hansen, Solveig Johanne",
    };
    let number = format!("COUNT-{}", uuid::Uuid::new_v4().simple());
    let mail = mail::svarrapport(about, &number)?;
    office
        .post("SVAR_LAB", mail::PARTY_HER_ID, 8_900_008, &mail.xml)
        .await?;
    // The sender's own numbers; other tests send beside this one.
    let own = format!(
        "/api/drift/counts?her_id={}&function=SVAR_LAB",
        mail::PARTY_HER_ID
    );
    let deadline = Instant::now() + Duration::from_secs(60);
    let counted = loop {
        let report = operator.get(&own).await?.expect(200)?.json();
        if report["totals"]["messages"].as_u64() > Some(0) {
            break report;
        }
        assert!(Instant::now() < deadline, "nothing is counted: {report}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(counted["by_transport"][0]["key"], "amqp");
    let csv = operator.get("/api/drift/counts.csv").await?.expect(200)?;
    assert!(csv.text().contains(";SVAR_LAB;"), "{}", csv.text());
    Ok(())
}
