//! Another person and another organisation at a running demo: valid at once, for every register that is asked.

use super::{on_both_engines, shared};
use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use blackbox::cli::{Said, run};
use blackbox::http::Call;
use blackbox::{Demo, Engine};
use reqwest::Method;
use serde_json::Value;

on_both_engines!(newcomers_are_in_the_registers_at_once);

fn add(demo: &Demo, arguments: &[&str]) -> Said {
    let folder = demo.folder();
    run(folder
        .command()
        .arg("demo")
        .args(arguments)
        .arg("--data")
        .arg(folder.data()))
}

fn made(said: &Said) -> Result<Value> {
    ensure!(said.code == 0, "{said:?}");
    Ok(serde_json::from_str(&said.out)?)
}

async fn newcomers_are_in_the_registers_at_once(engine: Engine) -> Result<()> {
    let Some((demo, web)) = shared(engine)? else {
        return Ok(());
    };
    let facts = &demo.facts;
    let of = |pointer: &str| facts.text(&format!("/grunndata/basic_auth/{pointer}"));
    let basic = format!("{}:{}", of("username"), of("password"));
    let basic = base64::engine::general_purpose::STANDARD.encode(basic);
    let soap = async |path: &str, namespace: &str, operation: &str, parameters: String| {
        let envelope = format!(
            r#"<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><{operation} xmlns="{namespace}">{parameters}</{operation}></s:Body></s:Envelope>"#
        );
        let call = Call {
            body: Some(("text/xml; charset=utf-8", envelope.into_bytes())),
            ..Call::default()
        };
        let call = call.with("authorization", format!("Basic {basic}"));
        let url = format!("{}{path}/Basic", facts.base());
        Ok::<_, anyhow::Error>(web.send(Method::POST, &url, call).await?.text())
    };
    let gp = async |pid: &str| {
        let nin = format!("<patientNin>{pid}</patientNin>");
        let flr = "http://schemas.nhn.no/reg/flr";
        soap("/v2/flr", flr, "GetPatientGPDetails", nin).await
    };

    let story = facts.person("blokk");
    let story = story.pid.as_str();
    let person = made(&add(
        demo,
        &[
            "add-person",
            "--name",
            "Vakker Blomst",
            "--born",
            "1990-05-17",
            "--like",
            story,
        ],
    ))?;
    let pid = person["pid"].as_str().context("pid")?;
    assert!(pid.starts_with("178590"), "{pid}: synthetic, born that day");
    let answer = gp(pid).await?;
    let expected = format!("<PatientNIN>{pid}</PatientNIN>");
    ensure!(answer.contains(&expected), "{answer}");
    ensure!(answer.contains("<LastName>Blomst</LastName>"), "{answer}");
    // The same GP as hers.
    let her_id = |text: &str| {
        let (_, rest) = text.split_once("<GPHerId>")?;
        rest.split_once('<').map(|(id, _)| id.to_owned())
    };
    assert_eq!(her_id(&answer), her_id(&gp(story).await?));

    let hidden = made(&add(
        demo,
        &[
            "add-person",
            "--sex",
            "male",
            "--d-number",
            "--protection",
            "strengtFortrolig",
        ],
    ))?;
    assert_eq!(hidden["address"], Value::Null);
    let d_number = hidden["pid"].as_str().context("pid")?;
    assert!(d_number.starts_with(['4', '5', '6', '7']), "{d_number}");
    let none = gp(d_number).await?;
    ensure!(none.contains("Pasienten har ingen fastlege"), "{none}");

    let clinic = made(&add(
        demo,
        &[
            "add-organisation",
            "--name",
            "Nye Nordlys legekontor",
            "--municipality",
            "5501",
        ],
    ))?;
    let ar = "http://register.nhn.no/CommunicationParty";
    let id = format!("<id>{}</id>", clinic["orgnr"].as_str().context("orgnr")?);
    let found = soap("/v1/AR", ar, "SearchById", id).await?;
    let expected = format!("<HerId>{}</HerId>", clinic["her_id"]);
    ensure!(found.contains(&expected), "{found}");
    ensure!(found.contains("Nye Nordlys legekontor"), "{found}");

    for (arguments, says) in [
        (&["add-person", "--like", "13116900216"][..], "like"),
        (&["add-person", "--born", "1850-01-01"], "born"),
        (&["add-person", "--municipality", "9999"], "municipality"),
        (&["add-person", "--protection", "hemmelig"], "protection"),
        (&["add-person", "--name", "<b>"], "name"),
        (
            &["add-organisation", "--name", "X", "--type", "999"],
            "type_code",
        ),
    ] {
        let said = add(demo, arguments);
        ensure!(
            said.code == 1 && said.err.contains(says),
            "{arguments:?}: {said:?}"
        );
    }
    Ok(())
}
