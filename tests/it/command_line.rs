//! The binary as people use it from a shell: help, exit codes, the validator, the configuration, backup and restore.

use super::on_both_engines;
use anyhow::Result;
use blackbox::cli::{helsenav, run};
use blackbox::demo::Folder;
use blackbox::http::{Call, Web};
use blackbox::{Demo, Engine, fixture};
use serde_json::{Value, json};
use std::fs;

on_both_engines!(a_backup_is_the_whole_hub);

const FIXTURES: [&str; 5] = [
    "apprec-1.1.xml",
    "dialogmelding-1.1.xml",
    "epikrise-1.2.xml",
    "henvisning-2.0.xml",
    "svarrapport-1.4.xml",
];

#[test]
fn help_and_exit_codes() {
    let help = run(helsenav().arg("--help"));
    assert_eq!(help.code, 0);
    for command in [
        "serve",
        "demo",
        "validate",
        "explain",
        "log",
        "import",
        "export",
        "backup",
        "restore",
        "config",
        "client",
        "user",
        "system-user",
        "bench",
    ] {
        assert!(
            help.out.contains(&format!("  {command}")),
            "{command}: {}",
            help.out
        );
        assert_eq!(
            run(helsenav().args([command, "--help"])).code,
            0,
            "{command}"
        );
    }
    assert_eq!(run(helsenav().arg("--version")).code, 0);
    for usage in [vec![], vec!["dance"], vec!["validate"], vec!["backup"]] {
        assert_eq!(run(helsenav().args(&usage)).code, 2, "{usage:?}");
    }
    let missing = run(helsenav().args(["validate", "/nowhere/at-all.xml"]));
    assert_eq!(missing.code, 1, "{missing:?}");
    assert!(missing.err.contains("at-all.xml"), "{missing:?}");
}

#[test]
fn the_validator_knows_our_own_messages() {
    for name in FIXTURES {
        for language in ["nb", "en"] {
            let said = run(helsenav()
                .arg("validate")
                .arg(fixture(name))
                .args(["--lang", language]));
            assert_eq!(said.code, 0, "{name}: {said:?}");
        }
        let said = run(helsenav().arg("validate").arg("--json").arg(fixture(name)));
        let report: Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!(report[0]["report"]["valid"], true, "{name}: {}", said.out);
    }
}

/// Each broken copy is refused, with the line of the fault.
#[test]
fn the_validator_names_the_place() {
    let breaks = [
        (
            "svarrapport-1.4.xml",
            "<Status V=\"F\"",
            "<Statos V=\"F\"",
            "Statos",
        ),
        (
            "svarrapport-1.4.xml",
            "<OffId>14896849817",
            "<OffId>14896849818",
            "E31",
        ),
        (
            "epikrise-1.2.xml",
            "<MsgId>5b0e0a2e-4a55-4c0b-8a43-6f2f0c7d1004",
            "<MsgId>1234",
            "E10",
        ),
        (
            "apprec-1.1.xml",
            "<OriginalMsgId>",
            "<OrginalMsgId>",
            "linje 48",
        ),
        (
            "henvisning-2.0.xml",
            "<MsgHead",
            "<!DOCTYPE a [<!ENTITY b \"c\">]>\n<MsgHead",
            "DOCTYPE",
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (name, from, to, word) in breaks {
        let text = fs::read_to_string(fixture(name)).unwrap();
        let broken = text.replacen(from, to, 1);
        assert_ne!(text, broken, "{name}: {from} is not there");
        let line = broken.split(to).next().unwrap_or_default().lines().count();
        let file = folder.path().join(name);
        fs::write(&file, broken).unwrap();
        let said = run(helsenav().arg("validate").arg(&file));
        assert_eq!(said.code, 1, "{name} with {to}: {said:?}");
        assert!(said.out.contains(word), "{word}: {}", said.out);
        let said = run(helsenav().arg("validate").arg("--json").arg(&file));
        let report: Value = serde_json::from_str(&said.out).unwrap();
        let findings = report[0]["report"]["findings"].to_string();
        assert!(
            findings.contains(&format!("{line}")) || word == "linje 48" || word == "DOCTYPE",
            "line {line}: {findings}"
        );
    }
}

/// Schemas of our own, brought in as official ones are: from then on they judge.
#[test]
fn imported_schemas_judge() {
    let folder = tempfile::tempdir().unwrap();
    let schemas = folder.path().join("xsd/deep");
    fs::create_dir_all(&schemas).unwrap();
    let schema = r#"<schema xmlns="http://www.w3.org/2001/XMLSchema" targetNamespace="http://www.kith.no/xmlstds/legeerklaring/2008-06-06" elementFormDefault="qualified">
        <element name="Legeerklaring"><complexType><sequence><element name="A" type="integer"/></sequence></complexType></element></schema>"#;
    fs::write(schemas.join("a.xsd"), schema).unwrap();
    fs::write(schemas.join("b.xsd"), "no schema").unwrap();
    let data = folder.path().join("data");
    let import = |from: &str| {
        run(helsenav()
            .args(["import", "standards"])
            .arg(folder.path().join(from))
            .arg("--data")
            .arg(&data))
    };
    let said = import("xsd");
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("1 namespaces"), "{}", said.out);
    assert!(said.out.contains("left out") && said.out.contains("b.xsd"));
    assert_eq!(import("nothing-here").code, 1);
    let file = folder.path().join("m.xml");
    for (content, code) in [("1", 0), ("x", 1)] {
        let text = format!(
            "<Legeerklaring xmlns=\"http://www.kith.no/xmlstds/legeerklaring/2008-06-06\"><A>{content}</A></Legeerklaring>"
        );
        fs::write(&file, text).unwrap();
        let said = run(helsenav()
            .args(["validate", "--schemas"])
            .arg(&schemas)
            .arg(&file));
        assert_eq!(said.code, code, "{content}: {said:?}");
    }
}

/// A whole mail is judged by the numbered rules.
#[test]
fn a_mail_is_judged_by_its_rules() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mail.eml");
    fs::write(
        &file,
        "From: a@b.example\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nhello\r\n",
    )
    .unwrap();
    let said = run(helsenav().args(["validate", "--lang", "en"]).arg(&file));
    assert_eq!(said.code, 1, "{said:?}");
    for word in [
        "HITS 1172 nr. 22",
        "HITS 1172 nr. 252",
        "SOAP fault",
        "line 3",
    ] {
        assert!(said.out.contains(word), "{word}: {}", said.out);
    }
}

#[test]
fn a_wrong_configuration_says_where_and_what() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("helsenav.toml");
    let cases = [
        ("listen = \"127.0.0.1:9000\"\n", 0, "OK"),
        ("lisen = \"127.0.0.1:9000\"\n", 1, "did you mean `listen`?"),
        (
            "[store]\nengin = \"sqlite\"\n",
            1,
            "did you mean `store.engine`?",
        ),
        (
            "[store]\nengine = \"mysql\"\n",
            1,
            "\"sqlite\" or \"postgres\"",
        ),
        ("[store]\nengine = \"postgres\"\n", 1, "store.url"),
        ("listen = \"here\"\n", 1, "helsenav.toml"),
        ("listen = [\n", 1, "helsenav.toml"),
    ];
    for (text, code, words) in cases {
        fs::write(&file, text).unwrap();
        let said = run(helsenav().args(["config", "check"]).arg(&file));
        assert_eq!(said.code, code, "{text}: {said:?}");
        assert!(
            format!("{}{}", said.out, said.err).contains(words),
            "{text}: {said:?}"
        );
    }
    let said = run(helsenav()
        .args(["config", "check"])
        .env("HELSENAV_LISTEN_TSL", "127.0.0.1:1"));
    assert!(
        said.code == 1 && said.err.contains("listen_tls"),
        "{said:?}"
    );
    fs::write(&file, "listen = \"127.0.0.1:9000\"\n").unwrap();
    let shown = run(helsenav().args(["config", "show"]).arg(&file));
    assert!(
        shown.code == 0 && shown.out.contains("127.0.0.1:9000") && shown.out.contains("[store]"),
        "{shown:?}"
    );
}

#[test]
fn operators_and_exports_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let with = |args: &[&str], input: &str| {
        let file = folder.path().join("input");
        fs::write(&file, input).unwrap();
        let mut command = helsenav();
        command.args(args).arg("--data").arg(&data);
        command.stdin(fs::File::open(&file).unwrap());
        run(&mut command)
    };
    let added = with(&["user", "add", "kari", "--name", "Kari N"], "");
    assert_eq!(added.code, 0, "{added:?}");
    assert!(added.out.contains("shown this once"), "{added:?}");
    let again = with(&["user", "add", "kari", "--name", "Kari N"], "");
    assert!(
        again.code == 1 && again.err.contains("already"),
        "{again:?}"
    );
    let short = with(&["user", "password", "kari", "--password-stdin"], "kort\n");
    assert!(short.code == 1 && short.err.contains("12"), "{short:?}");
    let usage = with(&["user", "password", "kari", "--password", "x"], "");
    assert_eq!(usage.code, 2, "a password on a command line: {usage:?}");
    let own = "et langt passord\n";
    let changed = with(&["user", "password", "kari", "--password-stdin"], own);
    assert!(
        changed.code == 0 && !changed.out.contains("langt"),
        "{changed:?}"
    );
    assert_eq!(with(&["user", "block", "kari"], "").code, 0);
    let listed = with(&["user", "list"], "");
    assert!(listed.out.contains("blocked  Kari N"), "{listed:?}");

    let added = with(&["system-user", "add", "8094866", "--role", "FlrWrite"], "");
    assert!(
        added.code == 0 && added.out.contains("shown this once"),
        "{added:?}"
    );
    let role = with(&["system-user", "add", "7", "--role", "Root"], "");
    assert!(role.code == 1 && role.err.contains("FlrWrite"), "{role:?}");
    let listed = with(&["system-user", "list"], "");
    assert!(
        listed.out.starts_with("8094866    ArRead") && listed.out.lines().count() == 1,
        "{listed:?}"
    );
    for (arguments, code) in [
        (["system-user", "password", "8094866"], 0),
        (["system-user", "remove", "8094866"], 0),
        (["system-user", "remove", "8094866"], 1),
        (["system-user", "remove", "x"], 2),
    ] {
        assert_eq!(with(&arguments, "").code, code, "{arguments:?}");
    }

    let out = folder.path().join("out");
    let place = out.to_str().unwrap();
    let open = ["export", place, "--reason", "test"];
    let refused = with(&open, "");
    assert!(
        refused.code == 1 && refused.err.contains("receiver"),
        "{refused:?}"
    );
    assert!(!out.exists());
    let made = with(&[&open[..], &["--repository", "sandbox"]].concat(), "");
    assert_eq!(made.code, 0, "{made:?}");
    let manifest: Value =
        serde_json::from_slice(&fs::read(out.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["repositories"]["sandbox"], 0);
}

#[test]
fn the_demo_refuses_what_others_can_reach() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let said = run(helsenav()
        .args(["demo", "--listen", "0.0.0.0:0", "--data"])
        .arg(&data));
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("--expose-demo"), "{said:?}");
    // Not a nation: not removed.
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("thesis.txt"), "years of work").unwrap();
    let said = run(helsenav()
        .args(["demo", "--fresh", "--yes", "--data"])
        .arg(&data));
    assert_eq!(said.code, 1, "{said:?}");
    assert!(data.join("thesis.txt").exists());
}

/// Backup of a stopped hub, restored into an empty store: the same records, the same logins, the same log.
async fn a_backup_is_the_whole_hub(engine: Engine) -> Result<()> {
    let Some(folder) = Folder::new(engine) else {
        return Ok(());
    };
    let demo = Demo::start(folder)?;
    let web = Web::new(demo.facts.text("/ca_pem"))?;
    let patient = json!({ "resourceType": "Patient", "name": [{ "family": "Sikring" }] });
    let body = Some(("application/fhir+json", patient.to_string().into_bytes()));
    let made = web
        .send(
            reqwest::Method::POST,
            &format!("{}/Patient", demo.facts.fhir("sandbox")),
            Call {
                headers: Vec::new(),
                body,
            },
        )
        .await?
        .expect(201)?
        .json();
    let kari =
        blackbox::portal::Session::citizen(&web, &demo.facts, &demo.facts.person("blokk").pid)
            .await?;
    let before = kari.get("/api/citizen/results").await?.expect(200)?.json();
    let log_before = kari.get("/api/citizen/log").await?.expect(200)?.json();
    let running = run(demo
        .folder()
        .command()
        .arg("backup")
        .arg(demo.folder().beside("early"))
        .arg("--data")
        .arg(demo.folder().data()));
    if engine == Engine::Sqlite {
        assert_eq!(
            running.code, 1,
            "a running hub's store is its own: {running:?}"
        );
    }
    let folder = demo.stop()?;

    let file = folder.beside("backup");
    let said = run(folder
        .command()
        .arg("backup")
        .arg(&file)
        .arg("--data")
        .arg(folder.data()));
    assert_eq!(said.code, 0, "{said:?}");
    // An existing file is not written over.
    let again = run(folder
        .command()
        .arg("backup")
        .arg(&file)
        .arg("--data")
        .arg(folder.data()));
    assert_eq!(again.code, 1, "{again:?}");

    let Some(other) = Folder::new(engine) else {
        return Ok(());
    };
    fs::create_dir_all(other.data())?;
    // What an operator keeps apart from the backup: the key file, and what the demo remembers.
    for name in ["key", "nation.json"] {
        fs::copy(folder.data().join(name), other.data().join(name))?;
    }
    let said = run(other
        .command()
        .arg("restore")
        .arg(&file)
        .arg("--data")
        .arg(other.data()));
    assert_eq!(said.code, 0, "{said:?}");
    let demo = Demo::start(other)?;
    let web = Web::new(demo.facts.text("/ca_pem"))?;
    let id = made["id"].as_str().unwrap_or_default();
    let read = web
        .get(&format!("{}/Patient/{id}", demo.facts.fhir("sandbox")))
        .await?
        .expect(200)?
        .json();
    assert_eq!(read, made);
    let kari =
        blackbox::portal::Session::citizen(&web, &demo.facts, &demo.facts.person("blokk").pid)
            .await?;
    let after = kari.get("/api/citizen/results").await?.expect(200)?.json();
    assert_eq!(
        after["reports"].as_array().map(Vec::len),
        before["reports"].as_array().map(Vec::len)
    );
    let log_after = kari.get("/api/citizen/log").await?.expect(200)?.json();
    let lines = |log: &Value| log["visits"].as_array().map_or(0, Vec::len);
    assert!(
        lines(&log_after) >= lines(&log_before),
        "{} lines of the log after, {} before",
        lines(&log_after),
        lines(&log_before)
    );
    demo.stop()?;
    Ok(())
}
