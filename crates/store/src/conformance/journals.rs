//! The access journal: appended before the answer, sealed, provable. The proof is checked here a second time, from the
//! words of spec/privacy.md §9.3 alone.

use super::Make;
use super::kit::*;
use crate::{Commit, Durability, Expect, HeadSigner as _, JournalEntry, Vno, sha256};
use std::collections::{BTreeMap, BTreeSet};

fn append(b: &Bench, controller: &str, persons: &[u32]) -> uuid::Uuid {
    let entry = audit(controller, persons);
    let id = entry.id;
    b.store.audit(entry, Durability::BeforeAnswer).unwrap();
    id
}

fn line(b: &Bench, number: u32, limit: usize) -> Vec<JournalEntry> {
    b.store.journal_of(b.key(number), None, limit).unwrap()
}

pub(super) fn append_and_read(make: Make<'_>) {
    let b = Bench::fresh(make);
    let _ = (b.key(1), b.key(2));
    let entry = audit("PPS", &[1, 2]);
    let first = entry.id;
    b.store
        .audit(entry.clone(), Durability::BeforeAnswer)
        .unwrap();
    let unsealed = b.store.journal_entry(first).unwrap().expect("appended");
    assert_eq!(unsealed.entry.members, entry.members);
    assert_eq!(unsealed.entry.controller, "PPS");
    assert_eq!(line(&b, 1, 9).len(), 1, "read before it is sealed");
    assert_eq!(line(&b, 2, 9).len(), 1);
    b.store.seal().unwrap();
    let sealed = b.store.journal_entry(first).unwrap().unwrap();
    assert_eq!(sealed.entry.members, entry.members);
    assert_eq!(sealed.entry.occurred_at, entry.occurred_at);
    assert_eq!(sealed.recorded_at, unsealed.recorded_at);
    assert_eq!(sealed.persons, [b.key(1), b.key(2)]);
    assert!(sealed.sealed.is_some());
    let mut all = vec![first];
    for i in 0..10 {
        all.push(append(&b, "PPS", &[1]));
        if i == 4 {
            b.store.seal().unwrap();
        }
    }
    all.reverse();
    let got: Vec<uuid::Uuid> = line(&b, 1, 99).iter().map(|e| e.entry.id).collect();
    assert_eq!(got, all, "newest first, sealed or not");
    let mut joined: Vec<JournalEntry> = Vec::new();
    loop {
        let before = joined.last().map(|e| e.recorded_at);
        let page = b.store.journal_of(b.key(1), before, 3).unwrap();
        if page.is_empty() {
            break;
        }
        joined.extend(page);
    }
    let paged: Vec<uuid::Uuid> = joined.iter().map(|e| e.entry.id).collect();
    assert_eq!(paged, all, "pages, joined");
    assert_eq!(line(&b, 2, 9).len(), 1);
    assert!(
        b.store
            .journal_entry(uuid::Uuid::now_v7())
            .unwrap()
            .is_none()
    );
    let unknown = append(&b, "PPS", &[900]);
    b.store.seal().unwrap();
    let key = b.store.person(SYSTEM, &nin(900)).unwrap();
    let key = key.expect("the sealer interns persons first seen by a read");
    let of_unknown = b.store.journal_of(key, None, 9).unwrap();
    assert_eq!(of_unknown[0].entry.id, unknown);
    let soon = audit("PPS", &[1]);
    b.store
        .audit(soon.clone(), Durability::WithinOneSecond)
        .unwrap();
    // Within a second, that is; a busy machine may take longer.
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while b.store.journal_entry(soon.id).unwrap().is_none() {
        assert!(std::time::Instant::now() < patience, "never flushed");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    b.verify();
}

pub(super) fn in_commits(make: Make<'_>) {
    let b = Bench::fresh(make);
    let kept = audit("PPS", &[1]);
    let refused = audit("PPS", &[1]);
    b.commit(Commit {
        audit: vec![kept.clone()],
        ..puts([create(b.patient, "Observation", "1").id("x").person(1)])
    });
    b.refused(Commit {
        expect: vec![Expect::Version {
            repo: b.patient,
            rtype: "Observation".to_owned(),
            id: "x".to_owned(),
            vno: Vno(9),
        }],
        audit: vec![refused.clone()],
        ..puts([update(b.patient, "Observation", "x", "2").person(1)])
    });
    for id in [kept.id, refused.id] {
        let entry = b.store.journal_entry(id).unwrap();
        assert!(entry.is_some(), "a refused commit keeps its entries too");
    }
    assert_eq!(line(&b, 1, 9).len(), 2);
    b.store.seal().unwrap();
    b.store.seal().unwrap();
    let entries = line(&b, 1, 9);
    assert_eq!(entries.len(), 2, "sealed once");
    assert!(entries.iter().all(|e| e.sealed.is_some()));
    b.verify();
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    sha256(&parts.concat())
}

fn array(value: &serde_json::Value) -> [u8; 32] {
    let bytes = unb64(value.as_str().expect("text"));
    bytes.try_into().expect("32 bytes")
}

/// Root of an RFC 9162-style inclusion path (RFC 6962 §2.1.1), computed from leaf, index and size.
fn root_of(leaf: [u8; 32], index: u64, size: u64, path: &[[u8; 32]]) -> [u8; 32] {
    let (mut node, mut f, mut s) = (leaf, index, size - 1);
    for step in path {
        if f & 1 == 1 || f == s {
            node = hash(&[&[1], step, &node]);
            while f & 1 == 0 && f != 0 {
                f >>= 1;
                s >>= 1;
            }
        } else {
            node = hash(&[&[1], &node, step]);
        }
        f >>= 1;
        s >>= 1;
    }
    assert_eq!(s, 0, "the path is as long as the tree is deep");
    node
}

/// JSON of the values the suite uses, as RFC 8785 writes it: sorted members, no blanks.
fn jcs(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(map) => {
            let sorted: BTreeMap<_, _> = map.iter().collect();
            let members: Vec<String> = sorted
                .iter()
                .map(|(k, v)| format!("{}:{}", serde_json::json!(k), jcs(v)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        serde_json::Value::Array(list) => {
            let items: Vec<String> = list.iter().map(jcs).collect();
            format!("[{}]", items.join(","))
        }
        other => other.to_string(),
    }
}

/// Checks a proof from the specification's words; returns the shown members.
fn check_proof(
    signer: &TestSigner,
    proof: &serde_json::Value,
) -> BTreeMap<String, serde_json::Value> {
    assert_eq!(proof["v"], 1);
    let mut members = BTreeMap::new();
    let mut shown = BTreeMap::new();
    for (name, pair) in proof["shown"].as_object().expect("shown") {
        let salt = unb64(pair[0].as_str().expect("a salt"));
        assert_eq!(salt.len(), 16);
        let h = hash(&[&salt, jcs(&pair[1]).as_bytes()]);
        members.insert(name.clone(), serde_json::json!(b64(&h)));
        shown.insert(name.clone(), pair[1].clone());
    }
    for (name, h) in proof["masked"].as_object().expect("masked") {
        assert!(members.insert(name.clone(), h.clone()).is_none());
    }
    let members = serde_json::to_value(&members).expect("JSON");
    let commit = hash(&[jcs(&members).as_bytes()]);
    let seq = proof["seq"].as_u64().expect("seq");
    let time = proof["time_us"].as_i64().expect("time_us");
    let leaf = hash(&[&[0], &seq.to_be_bytes(), &time.to_be_bytes(), &commit]);
    assert_eq!(
        array(&proof["leaf"]),
        leaf,
        "the leaf is made of the members"
    );
    let path: Vec<[u8; 32]> = proof["path"]
        .as_array()
        .expect("path")
        .iter()
        .map(array)
        .collect();
    let index = proof["index"].as_u64().expect("index");
    let size = proof["size"].as_u64().expect("size");
    let root = root_of(leaf, index, size, &path);
    let head = signer.open(proof["head"].as_str().expect("a head"));
    assert_eq!(head["v"], 1);
    let stream = head["streams"]
        .as_array()
        .expect("streams")
        .iter()
        .find(|s| s["id"] == proof["stream"])
        .expect("the stream stands in the head");
    assert_eq!(
        array(&stream["root"]),
        root,
        "the leaf is in the signed tree"
    );
    assert_eq!(stream["size"].as_u64(), Some(size));
    shown
}

pub(super) fn line_and_proof(make: Make<'_>) {
    let b = Bench::fresh(make);
    let signer = TestSigner::default();
    assert!(signer.sign(&serde_json::json!({})).is_ok());
    let mut ids = Vec::new();
    for i in 0..13u32 {
        ids.push(append(&b, "PPS", &[1 + i % 2]));
        if i == 5 {
            b.store.seal().unwrap();
        }
    }
    let mut hidden = audit("PPS", &[1]);
    hidden.citizen_visible = false;
    let hidden_id = hidden.id;
    b.store.audit(hidden, Durability::BeforeAnswer).unwrap();
    append(&b, "KJ", &[1]);
    let last = append(&b, "PPS", &[1]);
    assert_eq!(b.store.proof(last, &[]).unwrap(), None, "not sealed yet");
    assert!(b.store.seal().unwrap() > 0);
    let visible: Vec<JournalEntry> = line(&b, 1, 99);
    let mut seen: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for entry in visible.iter().rev() {
        let place = entry.sealed.clone().expect("sealed");
        match place.pn {
            Some(pn) => seen
                .entry(entry.entry.controller.clone())
                .or_default()
                .push(pn),
            None => assert_eq!(entry.entry.id, hidden_id),
        }
    }
    assert_eq!(
        seen["PPS"],
        (1..=8).collect::<Vec<u64>>(),
        "1, 2, 3, … no gap"
    );
    assert_eq!(seen["KJ"], [1], "a line per controller");
    let day = visible[0].sealed.clone().unwrap().day;
    let head = b.store.sign_head(&signer, &day, false).unwrap();
    assert_eq!((head.day.as_str(), head.closed), (day.as_str(), false));
    let payload = signer.open(&head.jws);
    assert_eq!(payload["day"], day.as_str());
    assert!(b.store.heads(9).unwrap().contains(&head));
    let mut indexes = BTreeSet::new();
    for id in ids.iter().chain([&last, &hidden_id]) {
        let proof = b
            .store
            .proof(*id, &["actor.name"])
            .unwrap()
            .expect("a proof");
        let shown = check_proof(&signer, &proof);
        assert!(!shown.contains_key("actor.name"), "masked");
        assert!(!proof.to_string().contains("Kari"), "and not betrayed");
        assert_eq!(shown["actor.organisation"], "999999999");
        assert!(indexes.insert(proof["index"].as_u64().unwrap()));
    }
    let open = b.store.proof(last, &[]).unwrap().expect("a proof");
    assert_eq!(check_proof(&signer, &open)["actor.name"], "Kari Prøve");
    append(&b, "PPS", &[1]);
    b.store.seal().unwrap();
    let later = b.store.sign_head(&signer, &day, false).unwrap();
    assert_ne!(later.jws, head.jws);
    let proof = b.store.proof(last, &[]).unwrap().expect("still provable");
    check_proof(&signer, &proof);
    let count = b.store.verify_journal().unwrap();
    assert_eq!(count, 17);
}

pub(super) fn reopen(make: Make<'_>) {
    let b = Bench::fresh(make);
    let signer = TestSigner::default();
    let sealed = append(&b, "PPS", &[1]);
    b.store.seal().unwrap();
    let pending = append(&b, "PPS", &[1]);
    let in_commit = audit("PPS", &[1]);
    b.commit(Commit {
        audit: vec![in_commit.clone()],
        ..Commit::default()
    });
    let b = b.reopen();
    for id in [sealed, pending, in_commit.id] {
        assert!(b.store.journal_entry(id).unwrap().is_some());
    }
    b.store.seal().unwrap();
    let entries = line(&b, 1, 9);
    assert_eq!(entries.len(), 3);
    let numbers: BTreeSet<Option<u64>> = entries
        .iter()
        .map(|e| e.sealed.as_ref().and_then(|s| s.pn))
        .collect();
    assert_eq!(numbers, BTreeSet::from([Some(1), Some(2), Some(3)]));
    let day = entries[0].sealed.clone().unwrap().day;
    b.store.sign_head(&signer, &day, false).unwrap();
    for id in [sealed, pending, in_commit.id] {
        let proof = b.store.proof(id, &[]).unwrap().expect("a proof");
        check_proof(&signer, &proof);
    }
    assert_eq!(b.store.verify_journal().unwrap(), 3);
}

pub(super) fn after_a_number(make: Make<'_>) {
    let b = Bench::fresh(make);
    let read_on = |b: &Bench, from: &mut BTreeMap<String, u64>| {
        let mut ids = Vec::new();
        for stream in b.store.journal_streams().unwrap() {
            let after = from.entry(stream.clone()).or_default();
            loop {
                let some = b.store.journal_after(&stream, *after, 3).unwrap();
                let Some(last) = some.last() else { break };
                assert!(some.len() <= 3);
                let place = last.sealed.clone().expect("sealed only");
                assert_eq!(place.stream, stream);
                *after = place.seq;
                ids.extend(some.iter().map(|e| e.entry.id));
            }
        }
        ids
    };
    let mut position = BTreeMap::new();
    assert!(read_on(&b, &mut position).is_empty());
    let first: Vec<uuid::Uuid> = (0..7).map(|_| append(&b, "PT", &[])).collect();
    b.store.seal().unwrap();
    assert_eq!(read_on(&b, &mut position), first, "in order, each once");
    assert!(read_on(&b, &mut position).is_empty());
    let b = b.reopen();
    let next = append(&b, "PT", &[4]);
    b.store.seal().unwrap();
    assert_eq!(read_on(&b, &mut position), [next], "goes on where it stood");
    let place = b.store.journal_entry(next).unwrap().unwrap();
    let own = place.sealed.unwrap().stream;
    let again = b.store.journal_after(&own, 0, 99).unwrap();
    assert_eq!(again.last().unwrap().persons, [b.key(4)]);
    assert!(b.store.journal_after("unknown", 0, 9).unwrap().is_empty());
}
