//! The FHIR sandbox as a vendor meets it: no token, all resource types, standard search (DESIGN §4).

use super::{on_both_engines, shared};
use anyhow::Result;
use blackbox::Engine;
use blackbox::http::{Call, Reply, Web};
use reqwest::Method;
use serde_json::{Value, json};

on_both_engines!(
    announces_itself,
    keeps_every_version,
    finds_by_every_kind_of_parameter,
    includes_both_ways,
    says_what_is_wrong,
    speaks_xml,
    pages_at_one_snapshot,
);

const JSON: &str = "application/fhir+json";

async fn put(web: &Web, url: &str, value: &Value) -> Result<Reply> {
    let body = Some((JSON, value.to_string().into_bytes()));
    web.send(
        Method::PUT,
        url,
        Call {
            headers: Vec::new(),
            body,
        },
    )
    .await
}

async fn create(web: &Web, base: &str, value: &Value) -> Result<String> {
    let body = Some((JSON, value.to_string().into_bytes()));
    let url = format!(
        "{base}/{}",
        value["resourceType"].as_str().unwrap_or_default()
    );
    let made = web
        .send(
            Method::POST,
            &url,
            Call {
                headers: Vec::new(),
                body,
            },
        )
        .await?
        .expect(201)?;
    assert!(
        made.header("location")
            .is_some_and(|l| l.contains("/_history/1")),
        "{:?}",
        made.headers
    );
    Ok(made.json()["id"].as_str().unwrap_or_default().to_owned())
}

/// A mark that only this test's resources carry.
fn mark() -> String {
    format!("urn:test:{}", uuid::Uuid::new_v4())
}

fn patient(mark: &str, family: &str, born: &str) -> Value {
    json!({
        "resourceType": "Patient",
        "identifier": [{ "system": mark, "value": family }],
        "name": [{ "family": family, "given": ["Prøve"] }],
        "birthDate": born,
    })
}

fn observation(mark: &str, patient: &str, value: f64) -> Value {
    json!({
        "resourceType": "Observation",
        "identifier": [{ "system": mark, "value": format!("{value}") }],
        "status": "final",
        "code": { "coding": [{ "system": "urn:oid:2.16.578.1.12.4.1.1.7280", "code": "NPU03230" }] },
        "subject": { "reference": format!("Patient/{patient}") },
        "effectiveDateTime": "2026-11-23T09:10:00+01:00",
        "valueQuantity": { "value": value, "unit": "mmol/L", "system": "http://unitsofmeasure.org", "code": "mmol/L" },
    })
}

async fn found(web: &Web, url: &str) -> Result<Vec<Value>> {
    let bundle = web.get(url).await?.expect(200)?.json();
    assert_eq!(bundle["resourceType"], "Bundle", "{url}");
    assert_eq!(bundle["type"], "searchset", "{url}");
    Ok(bundle["entry"].as_array().cloned().unwrap_or_default())
}

async fn announces_itself(engine: Engine) -> Result<()> {
    let Some((demo, web)) = shared(engine)? else {
        return Ok(());
    };
    let base = demo.facts.fhir("sandbox");
    let statement = web
        .get(&format!("{base}/metadata"))
        .await?
        .expect(200)?
        .json();
    assert_eq!(statement["resourceType"], "CapabilityStatement");
    assert_eq!(statement["fhirVersion"], "4.0.1");
    assert_eq!(statement["implementation"]["url"], *base);
    let resources = statement["rest"][0]["resource"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    assert!(resources.len() > 140, "{} resource types", resources.len());
    let patient = resources
        .iter()
        .find(|r| r["type"] == "Patient")
        .cloned()
        .unwrap_or_default();
    for interaction in [
        "read",
        "vread",
        "create",
        "update",
        "delete",
        "history-instance",
        "search-type",
    ] {
        let all = patient["interaction"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        assert!(
            all.iter().any(|i| i["code"] == interaction),
            "{interaction}"
        );
    }
    Ok(())
}

async fn keeps_every_version(engine: Engine) -> Result<()> {
    let Some((demo, web)) = shared(engine)? else {
        return Ok(());
    };
    let base = demo.facts.fhir("sandbox");
    let mark = mark();
    let id = create(&web, base, &patient(&mark, "Første", "1980-01-01")).await?;
    let url = format!("{base}/Patient/{id}");
    let first = web.get(&url).await?.expect(200)?;
    assert_eq!(first.header("etag"), Some("W/\"1\""));
    assert!(first.header("last-modified").is_some());

    let mut changed = first.json();
    changed["birthDate"] = json!("1981-01-01");
    let update = |etag: &'static str, value: Value| {
        let (web, url) = (web.clone(), url.clone());
        async move {
            let call = Call {
                headers: vec![("if-match", etag.to_owned())],
                body: Some((JSON, value.to_string().into_bytes())),
            };
            web.send(Method::PUT, &url, call).await
        }
    };
    update("W/\"1\"", changed.clone()).await?.expect(200)?;
    // The version is no longer the one seen.
    let refused = update("W/\"1\"", changed.clone()).await?.expect(412)?;
    assert_eq!(refused.json()["resourceType"], "OperationOutcome");

    let old = web
        .get(&format!("{url}/_history/1"))
        .await?
        .expect(200)?
        .json();
    assert_eq!(
        (&old["birthDate"], &old["meta"]["versionId"]),
        (&json!("1980-01-01"), &json!("1"))
    );
    web.send(Method::DELETE, &url, Call::default()).await?;
    assert_eq!(web.get(&url).await?.status, 410);
    let history = web
        .get(&format!("{url}/_history"))
        .await?
        .expect(200)?
        .json();
    let methods: Vec<&str> = history["entry"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|e| e["request"]["method"].as_str())
        .collect();
    assert_eq!(methods, ["DELETE", "PUT", "POST"]);
    assert!(
        found(&web, &format!("{base}/Patient?identifier={mark}|"))
            .await?
            .is_empty()
    );
    Ok(())
}

async fn finds_by_every_kind_of_parameter(engine: Engine) -> Result<()> {
    let Some((demo, web)) = shared(engine)? else {
        return Ok(());
    };
    let base = demo.facts.fhir("sandbox");
    let mark = mark();
    let low = create(&web, base, &patient(&mark, "Ærlig", "1970-03-01")).await?;
    let high = create(&web, base, &patient(&mark, "Østby", "1990-12-24")).await?;
    create(&web, base, &observation(&mark, &low, 3.2)).await?;
    create(&web, base, &observation(&mark, &high, 4.9)).await?;
    let token = format!("identifier={mark}|");
    let cases = [
        (format!("Patient?{token}"), 2),
        (format!("Patient?{token}Østby"), 1),
        (format!("Patient?{token}&family=aerlig"), 1),
        (format!("Patient?{token}&family=Ær"), 1),
        (format!("Patient?{token}&family:exact=Ær"), 0),
        (format!("Patient?{token}&birthdate=ge1980"), 1),
        (format!("Patient?{token}&birthdate=1970-03"), 1),
        (format!("Patient?{token}&birthdate=lt1970"), 0),
        (format!("Patient?_id={low},{high}"), 2),
        (format!("Observation?{token}&subject=Patient/{low}"), 1),
        (format!("Observation?{token}&patient={high}"), 1),
        (format!("Observation?{token}&value-quantity=gt4"), 1),
        (
            format!("Observation?{token}&value-quantity=lt4.9|http://unitsofmeasure.org|mmol/L"),
            1,
        ),
        (format!("Observation?{token}&code=NPU03230"), 2),
        (
            format!("Observation?{token}&code=NPU03230&subject:Patient.family=Østby"),
            1,
        ),
        (format!("Observation?{token}&date=2026-11-23"), 2),
        (format!("Observation?{token}&status:not=final"), 0),
    ];
    for (query, count) in cases {
        let entries = found(&web, &format!("{base}/{query}")).await?;
        let matches = entries
            .iter()
            .filter(|e| e["search"]["mode"] == "match")
            .count();
        assert_eq!(matches, count, "{query}");
    }
    Ok(())
}

async fn includes_both_ways(engine: Engine) -> Result<()> {
    let Some((demo, web)) = shared(engine)? else {
        return Ok(());
    };
    let base = demo.facts.fhir("sandbox");
    let mark = mark();
    let id = create(&web, base, &patient(&mark, "Include", "2000-01-01")).await?;
    create(&web, base, &observation(&mark, &id, 4.0)).await?;
    for (query, mode, kind) in [
        (
            format!("Observation?identifier={mark}|&_include=Observation:subject"),
            "include",
            "Patient",
        ),
        (
            format!("Patient?identifier={mark}|&_revinclude=Observation:subject"),
            "include",
            "Observation",
        ),
    ] {
        let entries = found(&web, &format!("{base}/{query}")).await?;
        let included: Vec<&Value> = entries
            .iter()
            .filter(|e| e["search"]["mode"] == mode)
            .collect();
        assert_eq!(included.len(), 1, "{query}");
        assert_eq!(included[0]["resource"]["resourceType"], kind, "{query}");
    }
    Ok(())
}

async fn says_what_is_wrong(engine: Engine) -> Result<()> {
    let Some((demo, web)) = shared(engine)? else {
        return Ok(());
    };
    let base = demo.facts.fhir("sandbox");
    let missing = format!("{base}/Patient/{}", uuid::Uuid::new_v4());
    let broken = json!({ "resourceType": "Patient", "id": "abc", "birthDate": "24.12.1990" });
    let mut cases = vec![
        (web.get(&missing).await?, 404, "not-found"),
        (
            web.get(&format!("{base}/Patient?fodselsdato=1")).await?,
            400,
            "fodselsdato",
        ),
        (web.get(&format!("{base}/Pasient")).await?, 404, "type"),
        (
            put(&web, &format!("{base}/Patient/abc"), &broken).await?,
            400,
            "birthDate",
        ),
    ];
    let text = Call {
        headers: Vec::new(),
        body: Some((JSON, b"{\"resourceType\":".to_vec())),
    };
    cases.push((
        web.send(Method::POST, &format!("{base}/Patient"), text)
            .await?,
        400,
        "line",
    ));
    for (reply, status, word) in cases {
        let body = reply.text();
        assert!(reply.status.is_client_error(), "{} {body}", reply.status);
        let outcome = reply.json();
        assert_eq!(outcome["resourceType"], "OperationOutcome", "{body}");
        if reply.status != status && !(status == 400 && reply.status == 422) {
            panic!("{} instead of {status}: {body}", reply.status);
        }
        assert!(body.contains(word), "no word of {word}: {body}");
    }
    Ok(())
}

async fn speaks_xml(engine: Engine) -> Result<()> {
    let Some((demo, web)) = shared(engine)? else {
        return Ok(());
    };
    let base = demo.facts.fhir("sandbox");
    let xml = r#"<Patient xmlns="http://hl7.org/fhir"><name><family value="Ødegård"/></name><birthDate value="1999-02-03"/></Patient>"#;
    let call = Call {
        headers: vec![("accept", "application/fhir+xml".to_owned())],
        body: Some(("application/fhir+xml", xml.as_bytes().to_vec())),
    };
    let made = web
        .send(Method::POST, &format!("{base}/Patient"), call)
        .await?
        .expect(201)?;
    assert!(
        made.header("content-type")
            .is_some_and(|t| t.starts_with("application/fhir+xml"))
    );
    assert!(
        made.text().contains("<family value=\"Ødegård\"/>"),
        "{}",
        made.text()
    );
    let url = made
        .header("location")
        .and_then(|l| l.split("/_history").next())
        .unwrap_or_default()
        .to_owned();
    let url = if url.starts_with('/') {
        format!("{}{url}", demo.facts.base())
    } else {
        url
    };
    let json = web
        .get(&format!("{url}?_format=json"))
        .await?
        .expect(200)?
        .json();
    assert_eq!(json["name"][0]["family"], "Ødegård");
    Ok(())
}

async fn pages_at_one_snapshot(engine: Engine) -> Result<()> {
    let Some((demo, web)) = shared(engine)? else {
        return Ok(());
    };
    let base = demo.facts.fhir("sandbox");
    let mark = mark();
    for n in 0..5 {
        create(
            &web,
            base,
            &patient(&mark, &format!("Side{n}"), "2001-01-01"),
        )
        .await?;
    }
    let mut url = format!("{base}/Patient?identifier={mark}|&_count=2&_sort=_id");
    let mut seen = Vec::new();
    for page in 0..5 {
        let bundle = web.get(&url).await?.expect(200)?.json();
        let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
        seen.extend(
            entries
                .iter()
                .filter_map(|e| e["resource"]["id"].as_str().map(str::to_owned)),
        );
        if page == 0 {
            // What comes after the first page was asked for stays out of the next ones.
            create(&web, base, &patient(&mark, "Senere", "2001-01-01")).await?;
        }
        let links = bundle["link"].as_array().cloned().unwrap_or_default();
        match links.iter().find(|l| l["relation"] == "next") {
            Some(next) => url = next["url"].as_str().unwrap_or_default().to_owned(),
            None => break,
        }
    }
    let distinct: std::collections::BTreeSet<&String> = seen.iter().collect();
    assert_eq!((seen.len(), distinct.len()), (5, 5));
    Ok(())
}
