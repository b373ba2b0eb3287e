//! The logical export: what it holds, for whose eyes, and what it leaves in the log.

use bytes::Bytes;
use hub::export::{Order, run};
use hub::{Config, Opened};
use records::write::prepare;
use serde_json::Value;
use std::collections::BTreeMap;
use store::{Commit, Op, PersonRef, Privacy, Put, PutId};
use xmlsec::cms::open_envelope;
use xmlsec::key::Identity;
use xmlsec::pki::{DemoCa, Names, Purpose, RsaKey, Validity};

const KARI: &str = "14896849817";

fn put(opened: &Opened, repository: &str, id: &str, op: Op, text: &str) -> Put {
    let is_open = repository == hub::fhir::SANDBOX;
    let body = match op {
        Op::Delete => Bytes::new(),
        _ => Bytes::from(format!(
            "{{\"resourceType\":\"Basic\",\n \"id\":\"{id}\",\"code\":{{\"text\":\"{text}\"}}}}"
        )),
    };
    let persons = match is_open {
        true => Vec::new(),
        false => vec![PersonRef::id(registers::FNR_SYSTEM, KARI)],
    };
    let privacy = Privacy {
        controller: "PPS".to_owned(),
        class: trust::class::Class::LabReport.code(),
        ..Privacy::default()
    };
    prepare(
        opened.store.repo(repository).unwrap(),
        "Basic",
        PutId::Given(id.to_owned()),
        op,
        body,
        persons,
        privacy,
        Vec::new(),
    )
    .unwrap()
}

fn receiver() -> Identity {
    let now_s = jiff::Timestamp::now().as_second();
    let ca = DemoCa::new("Test", now_s).unwrap();
    let names = Names {
        name: "Mottaker",
        organisation_number: "999999999",
    };
    let key = RsaKey::generate().unwrap();
    let valid = Validity::days_around(now_s, 1, 10);
    ca.issue_organisation(&key, names, Purpose::Encryption, valid)
        .unwrap()
}

/// Files by name, opened with the receiver's key where they are encrypted, as lines.
fn exported(opened: &Opened, order: &Order, key: &Identity) -> BTreeMap<String, Vec<Value>> {
    let mut files = BTreeMap::new();
    let (counts, _) = run(opened, order, &mut |piece| {
        let bytes = match piece.name.ends_with(".p7m") {
            true => {
                let keys = std::slice::from_ref(key);
                open_envelope(&piece.bytes, keys, xmlsec::asn1::Limits::default())
                    .unwrap()
                    .content
            }
            false => piece.bytes,
        };
        let lines: Vec<Value> = String::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len() as u64, piece.resources);
        assert!(files.insert(piece.name, lines).is_none());
        Ok(())
    })
    .unwrap();
    let total: usize = files.values().map(Vec::len).sum();
    assert_eq!(counts.values().sum::<u64>(), total as u64);
    files
}

#[test]
fn an_export_is_whole_encrypted_and_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let opened = Opened::open(Config {
        data: folder.path().to_owned(),
        ..Config::default()
    })
    .unwrap();
    for (repository, id, op, text) in [
        ("provesvar", "a", Op::Create, "first"),
        ("provesvar", "b", Op::Create, "gone"),
        ("provesvar", "a", Op::Update, "second"),
        ("provesvar", "b", Op::Delete, ""),
        ("sandbox", "s", Op::Create, "open"),
    ] {
        let commit = Commit {
            put: vec![put(&opened, repository, id, op, text)],
            ..Commit::default()
        };
        opened.store.commit(commit).unwrap();
    }
    let key = receiver();
    let order = Order {
        repositories: Vec::new(),
        history: false,
        reason: "Overtakelse av drift".to_owned(),
        receiver: Some(key.certificate().clone()),
    };

    let files = exported(&opened, &order, &key);
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "provesvar/Basic.000001.ndjson.p7m",
            "sandbox/Basic.000001.ndjson"
        ]
    );
    let results = &files["provesvar/Basic.000001.ndjson.p7m"];
    assert_eq!(results.len(), 1, "{results:?}");
    assert_eq!(results[0]["code"]["text"], "second");
    assert_eq!(results[0]["meta"]["versionId"], "2");
    assert_eq!(files["sandbox/Basic.000001.ndjson"][0]["id"], "s");

    let kari = opened.store.person(registers::FNR_SYSTEM, KARI).unwrap();
    let lines = opened.store.journal_of(kari.unwrap(), None, 10).unwrap();
    let exports: Vec<_> = lines
        .iter()
        .filter(|line| line.entry.members["action"] == "Export")
        .collect();
    assert_eq!(exports.len(), 1);
    let entry = &exports[0].entry;
    assert!(entry.citizen_visible && entry.controller == "PPS");
    assert_eq!(entry.members["actor.organisation"], "Mottaker");
    assert_eq!(entry.members["reason"], "Overtakelse av drift");
    assert_eq!(entry.members["parts"], serde_json::json!(["results"]));

    let whole = Order {
        history: true,
        repositories: vec!["provesvar".to_owned()],
        ..order.clone()
    };
    let files = exported(&opened, &whole, &key);
    let versions = &files["provesvar/Basic.000001.ndjson.p7m"];
    assert_eq!(files.len(), 1);
    assert_eq!(
        versions.len(),
        3,
        "both of a, and the one of b: {versions:?}"
    );

    let mut none = |_| panic!("nothing comes out");
    for (refused, says) in [
        (
            Order {
                receiver: None,
                ..order.clone()
            },
            "receiver",
        ),
        (
            Order {
                reason: " ".to_owned(),
                ..order.clone()
            },
            "reason",
        ),
        (
            Order {
                repositories: vec!["hub".to_owned()],
                ..order.clone()
            },
            "provesvar",
        ),
    ] {
        let error = run(&opened, &refused, &mut none).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let open_only = Order {
        receiver: None,
        repositories: vec!["sandbox".to_owned()],
        ..order
    };
    assert_eq!(exported(&opened, &open_only, &key).len(), 1);
    opened.store.close();
}
