//! facts.json: the shape that outside checks rely on (DESIGN §4.1), and the story's identifiers recomputed from its
//! rules (spec/story.md §2) by code of our own here.

use super::{on_both_engines, shared};
use anyhow::Result;
use blackbox::{Engine, passed_over};
use serde_json::Value;

on_both_engines!(
    has_the_promised_shape,
    identifiers_follow_the_rules,
    every_address_answers
);

/// JSON pointers with the type that must stand there; `*` = every member of a list.
const SHAPE: &[(&str, &str)] = &[
    ("base", "text"),
    ("base_tls", "text"),
    ("anchor", "text"),
    ("seed", "number"),
    ("ca_pem", "text"),
    ("endpoints", "object"),
    ("helseid/issuer", "text"),
    ("helseid/browser_http", "text"),
    ("helseid/clients/*/client_id", "text"),
    ("helseid/clients/*/use", "text"),
    ("helseid/clients/*/orgnr_parent", "text"),
    ("helseid/clients/*/scopes", "list"),
    ("helseid/clients/*/audiences", "list"),
    ("helseid/clients/*/redirect_uris", "list"),
    ("helseid/clients/*/private_jwk", "object"),
    ("helseid/users/*/pid", "text"),
    ("helseid/users/*/name", "text"),
    ("citizen_logins/*/pid", "text"),
    ("citizen_logins/*/name", "text"),
    ("operator_login/username", "text"),
    ("operator_login/password", "text"),
    ("fhir/sandbox", "text"),
    ("fhir/kjernejournal", "text"),
    ("fhir/provesvar", "text"),
    ("fhir/dokumenter", "text"),
    ("grunndata/wsdl", "list"),
    ("amqp/host", "text"),
    ("amqp/port", "number"),
    ("amqp/tls_port", "number"),
    ("amqp/namespace", "text"),
    ("amqp/users/*/her_id", "number"),
    ("amqp/users/*/username", "text"),
    ("amqp/users/*/password", "text"),
    ("mail/users", "list"),
    ("organisations/*/name", "text"),
    ("organisations/*/orgnr", "text"),
    ("organisations/*/her_id", "number"),
    ("organisations/*/kind", "text"),
    ("organisations/*/parties/*/her_id", "number"),
    ("organisations/*/parties/*/name", "text"),
    ("organisations/*/parties/*/type", "text"),
    ("organisations/*/parties/*/queue", "text"),
    ("organisations/*/encryption_cert_pem", "text"),
    ("organisations/*/signing_cert_pem", "text"),
    ("personnel/*/name", "text"),
    ("personnel/*/pid", "text"),
    ("party_logins/*/orgnr", "text"),
    ("party_logins/*/pid", "text"),
    ("persons/*/story", "text"),
    ("persons/*/name", "text"),
    ("persons/*/pid", "text"),
    ("persons/*/born", "text"),
    ("persons/*/fhir_id", "object"),
    ("persons/*/what", "text"),
];

fn walk<'a>(value: &'a Value, path: &[&str], here: &str, found: &mut Vec<(String, &'a Value)>) {
    match path {
        [] => found.push((here.to_owned(), value)),
        ["*", rest @ ..] => {
            for (index, member) in value.as_array().into_iter().flatten().enumerate() {
                walk(member, rest, &format!("{here}/{index}"), found);
            }
        }
        [name, rest @ ..] => walk(&value[*name], rest, &format!("{here}/{name}"), found),
    }
}

async fn has_the_promised_shape(engine: Engine) -> Result<()> {
    let Some((demo, web)) = shared(engine)? else {
        return Ok(());
    };
    let facts = &demo.facts.0;
    let mut wrong = Vec::new();
    for (path, kind) in SHAPE {
        let mut found = Vec::new();
        walk(facts, &path.split('/').collect::<Vec<_>>(), "", &mut found);
        if found.is_empty() {
            wrong.push(format!("{path}: nothing there"));
        }
        for (place, value) in found {
            let is_right = match *kind {
                "text" => value.is_string(),
                "number" => value.is_u64(),
                "list" => value.is_array(),
                _ => value.is_object(),
            };
            if !is_right {
                wrong.push(format!("{place}: {kind} expected, {value} found"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let kinds = [
        "gp_office",
        "hospital",
        "laboratory",
        "pharmacy",
        "municipality",
        "hub",
    ];
    for organisation in facts["organisations"].as_array().into_iter().flatten() {
        let kind = organisation["kind"].as_str().unwrap_or_default();
        assert!(kinds.contains(&kind), "{kind}");
        let has_keys = organisation["signing_p12_base64"].is_string()
            || organisation["encryption_p12_base64"].is_string();
        assert_eq!(has_keys, kind != "hub", "keys of a {kind}");
    }
    for client in facts["helseid"]["clients"].as_array().into_iter().flatten() {
        assert!(["machine", "user", "api"].contains(&client["use"].as_str().unwrap_or_default()));
        assert!(client["private_jwk"]["d"].is_string());
    }
    let spare = &demo.facts.organisation("vaar-epj")["spare_p12"];
    assert!(spare["expired"].is_string() && spare["revoked"].is_string());
    // The file and the address say the same.
    let served = web
        .get(&format!("{}/demo/facts.json", demo.facts.base()))
        .await?
        .expect(200)?
        .json();
    assert_eq!(served, *facts);
    Ok(())
}

/// spec/story.md §2: from 499 (999 for those born from 2000 on) downwards, the first of the right sex whose control digits exist.
fn fnr(born: &str, is_man: bool, offset: u32, taken: &[String]) -> Option<String> {
    let (year, month, day) = (born.get(0..4)?, born.get(5..7)?, born.get(8..10)?);
    let first = if year >= "2000" { 999 } else { 499 };
    let month: u32 = month.parse().ok()?;
    let day: u32 = day.parse().ok()?;
    (0..=first)
        .rev()
        .filter(|n| (n % 2 == 1) == is_man)
        .find_map(|n| {
            let (day, month) = if offset == 40 {
                (day + 40, month)
            } else {
                (day, month + offset)
            };
            let digits = format!("{day:02}{month:02}{}{n:03}", year.get(2..4)?);
            let k1 = control(&digits, &[3, 7, 6, 1, 8, 9, 4, 5, 2])?;
            let with = format!("{digits}{k1}");
            let k2 = control(&with, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2])?;
            Some(format!("{with}{k2}")).filter(|n| !taken.contains(n))
        })
}

fn control(digits: &str, weights: &[u32]) -> Option<u32> {
    let sum: u32 = digits
        .bytes()
        .zip(weights)
        .map(|(d, w)| u32::from(d - b'0') * w)
        .sum();
    match (11 - sum % 11) % 11 {
        10 => None,
        k => Some(k),
    }
}

async fn identifiers_follow_the_rules(engine: Engine) -> Result<()> {
    let Some((demo, _)) = shared(engine)? else {
        return Ok(());
    };
    // The story's own table, written out: key, birth date, man or woman, number.
    let people = [
        ("blokk", "1968-09-14", false, "14896849817"),
        ("hjerte", "1941-05-17", false, "17854149881"),
        ("allergi", "1996-02-11", false, "11829649812"),
        ("seksten", "2010-11-24", false, "24911099841"),
        ("barn", "2018-03-09", true, "09831899945"),
        ("skjult", "1979-08-03", true, "03887949947"),
        ("diabetes", "1987-06-21", true, "21868749927"),
        ("reise", "1999-10-05", false, "05909949809"),
    ];
    for (story, born, is_man, pid) in people {
        assert_eq!(fnr(born, is_man, 80, &[]).as_deref(), Some(pid), "{story}");
        let person = demo.facts.person(story);
        assert_eq!(person.pid, pid, "{story}");
    }
    let personnel = [
        ("solberg", "1974-03-12", true, "565900011"),
        ("bakken", "1991-10-02", false, "565900015"),
        ("saether", "1970-06-15", false, "565900021"),
        ("moen", "1972-12-21", true, "565900022"),
        ("lien", "1966-08-28", false, "565900031"),
        ("svendsen", "1987-01-16", true, "565900061"),
    ];
    for (key, born, is_man, hpr) in personnel {
        let row = demo.facts.personnel(key);
        assert_eq!(
            Some(demo.facts.pid_of(key)),
            fnr(born, is_man, 80, &[]).as_deref(),
            "{key}"
        );
        assert_eq!(row["hpr_number"], hpr, "{key}");
    }
    let organisations = [
        ("fjordglott", 1, 8_900_100),
        ("nordlys", 5, 8_900_300),
        ("isbre", 7, 8_900_400),
        ("navet", 18, 8_900_000),
        ("vaar-epj", 23, 8_900_900),
    ];
    for (key, nn, her_id) in organisations {
        let digits = format!("3159000{nn:02}");
        let digits = digits.get(..8).unwrap_or_default();
        let row = demo.facts.organisation(key);
        assert_eq!(row["her_id"], her_id, "{key}");
        let orgnr = row["orgnr"].as_str().unwrap_or_default();
        let k = control(
            orgnr.get(..8).unwrap_or_default(),
            &[3, 2, 7, 6, 5, 4, 3, 2],
        );
        assert_eq!(
            orgnr.get(8..).and_then(|t| t.parse().ok()),
            k,
            "{key} {orgnr} {digits}"
        );
        assert!(
            orgnr.starts_with("3159000") || orgnr.starts_with("315900"),
            "{key}"
        );
    }
    for row in demo.facts.0["persons"].as_array().into_iter().flatten() {
        let pid = row["pid"].as_str().unwrap_or_default();
        assert!(
            pid.len() == 11 && pid.bytes().all(|b| b.is_ascii_digit()),
            "{}",
            row["story"]
        );
    }
    Ok(())
}

async fn every_address_answers(engine: Engine) -> Result<()> {
    let Some((demo, web)) = shared(engine)? else {
        return Ok(());
    };
    for (name, url) in demo.facts.0["endpoints"].as_object().into_iter().flatten() {
        let Some(url) = url.as_str() else {
            passed_over(&format!("endpoint {name} is not built"));
            continue;
        };
        let reply = web.get(url).await?;
        assert!(
            reply.status.is_success() || reply.status.is_redirection(),
            "{name} {url}: {}",
            reply.status
        );
    }
    let tls = web
        .get(&format!("{}/health/ready", demo.facts.text("/base_tls")))
        .await?;
    assert_eq!(tls.status, 200);
    let discovery = format!("{}/.well-known/openid-configuration", demo.facts.issuer());
    let metadata = web.get(&discovery).await?.expect(200)?.json();
    assert_eq!(metadata["issuer"], *demo.facts.issuer());
    // The plain listener is for browsers only: it carries the same issuer.
    let plain = format!(
        "{}/.well-known/openid-configuration",
        demo.facts.text("/helseid/browser_http")
    );
    assert_eq!(
        web.get(&plain).await?.json()["issuer"],
        *demo.facts.issuer()
    );
    Ok(())
}
