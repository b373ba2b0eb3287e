//! The journal end to end: append, crash, seal, prove, erase, merge.

mod life;

use super::proof::{self, ProofError};
use super::*;
use crate::backup::Item;
use crate::{Durability, HeadSigner, LogHead, PersonRef};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

/// Persons in memory.
#[derive(Default)]
struct People {
    keys: Mutex<BTreeMap<(String, String), PersonKey>>,
    aliases: Mutex<BTreeMap<PersonKey, PersonKey>>,
}

impl Interner for People {
    fn intern(&self, identifiers: &[(String, String)]) -> Result<Vec<PersonKey>, StoreError> {
        let mut keys = self.keys.lock().unwrap();
        Ok(identifiers
            .iter()
            .map(|id| {
                let next = PersonKey(keys.len() as u64 + 1);
                *keys.entry(id.clone()).or_insert(next)
            })
            .collect())
    }
    fn known(&self, system: &str, value: &str) -> Result<Option<PersonKey>, StoreError> {
        let keys = self.keys.lock().unwrap();
        Ok(keys.get(&(system.to_owned(), value.to_owned())).copied())
    }
    fn identifiers(&self, keys: &[PersonKey]) -> Result<Vec<(String, String)>, StoreError> {
        let all = self.keys.lock().unwrap();
        Ok(all
            .iter()
            .filter(|(_, k)| keys.contains(k))
            .map(|(id, _)| id.clone())
            .collect())
    }
    fn resolve(&self, key: PersonKey) -> Result<PersonKey, StoreError> {
        let aliases = self.aliases.lock().unwrap();
        let mut key = key;
        while let Some(next) = aliases.get(&key) {
            key = *next;
        }
        Ok(key)
    }
    fn same(&self, key: PersonKey) -> Result<Vec<PersonKey>, StoreError> {
        let end = self.resolve(key)?;
        let all: Vec<PersonKey> = self.keys.lock().unwrap().values().copied().collect();
        Ok(all
            .into_iter()
            .filter(|k| self.resolve(*k) == Ok(end))
            .collect())
    }
}

struct Signer(EcdsaKeyPair);

impl Signer {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }
    fn jwks(&self) -> Value {
        let point = self.0.public_key().as_ref();
        json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "log-1",
            "x": chain::b64(&point[1..33]), "y": chain::b64(&point[33..])}]})
    }
}

impl HeadSigner for Signer {
    fn sign(&self, payload: &Value) -> Result<String, String> {
        let header = json!({"alg": "ES256", "typ": head::TYP, "kid": "log-1"});
        let part = |v: &Value| chain::b64(v.to_string().as_bytes());
        let signed = format!("{}.{}", part(&header), part(payload));
        let signature = self
            .0
            .sign(&SystemRandom::new(), signed.as_bytes())
            .unwrap();
        Ok(format!("{signed}.{}", chain::b64(signature.as_ref())))
    }
}

/// 2026-11-23 12:00 in Oslo.
const NOON: i64 = 1_795_431_600_000_000;
const HOUR: i64 = 3_600_000_000;

struct World {
    folder: tempfile::TempDir,
    people: People,
    signer: Signer,
    time: Arc<AtomicI64>,
    journal: SegmentJournal,
}

fn open(folder: &Path, time: &Arc<AtomicI64>) -> SegmentJournal {
    let time = Arc::clone(time);
    SegmentJournal::open_at(
        folder,
        true,
        Arc::new(move || time.fetch_add(10, Ordering::SeqCst)),
    )
    .unwrap()
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let time = Arc::new(AtomicI64::new(NOON));
        let journal = open(folder.path(), &time);
        Self {
            folder,
            people: People::default(),
            signer: Signer::new(),
            time,
            journal,
        }
    }
    fn reopen(&mut self) {
        self.journal.close();
        self.journal = open(self.folder.path(), &self.time);
    }
    fn read(&self, n: u128, person: &str) {
        self.journal
            .audit(entry(n, person), Durability::BeforeAnswer)
            .unwrap();
    }
    fn seal(&self) -> u64 {
        self.journal.seal(&self.people, vec![]).unwrap().sealed
    }
    fn key(&self, person: &str) -> PersonKey {
        self.people.known("urn:test", person).unwrap().unwrap()
    }
    fn log_of(&self, person: &str) -> Vec<(u128, Option<u64>)> {
        let all = self
            .journal
            .journal_of(&self.people, self.key(person), None, 100, &[])
            .unwrap();
        all.iter()
            .map(|e| (e.entry.id.as_u128(), e.sealed.as_ref().and_then(|s| s.pn)))
            .collect()
    }
    fn head(&self, day: &str, close: bool) -> LogHead {
        self.journal.sign_head(&self.signer, day, close).unwrap()
    }
    fn proof(&self, n: u128, masked: &[&str]) -> Value {
        self.journal
            .proof(Uuid::from_u128(n), masked)
            .unwrap()
            .unwrap()
    }
    fn segments(&self) -> Vec<std::path::PathBuf> {
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        files
            .map(|f| f.unwrap().path())
            .filter(|p| p.extension().is_some_and(|e| e == "jnl"))
            .collect()
    }
}

use uuid::Uuid;

fn entry(n: u128, person: &str) -> AuditEntry {
    AuditEntry {
        id: Uuid::from_u128(n),
        persons: vec![PersonRef::id("urn:test", person)],
        controller: "KJ".to_owned(),
        occurred_at: NOON - HOUR,
        imported: false,
        citizen_visible: true,
        members: BTreeMap::from([
            ("actor.name".to_owned(), json!("Kari Lege")),
            (
                "actor.organisation".to_owned(),
                json!({"parent": "999", "weight": 0.1}),
            ),
        ]),
    }
}

#[test]
fn an_entry_is_readable_at_once_and_numbered_when_sealed() {
    let world = World::new();
    world.read(1, "a");
    world
        .people
        .intern(&[("urn:test".to_owned(), "a".to_owned())])
        .unwrap();
    assert_eq!(world.log_of("a"), [(1, None)]);
    world
        .journal
        .audit(entry(2, "a"), Durability::WithinOneSecond)
        .unwrap();
    let mut hidden = entry(3, "a");
    hidden.citizen_visible = false;
    world
        .journal
        .audit(hidden, Durability::BeforeAnswer)
        .unwrap();
    world.read(4, "b");
    assert_eq!(world.seal(), 4);
    assert_eq!(world.log_of("a"), [(3, None), (2, Some(2)), (1, Some(1))]);
    assert_eq!(world.log_of("b"), [(4, Some(1))]);
    assert!(world.segments().is_empty(), "sealed segments are deleted");
    assert_eq!(world.journal.verify(), Ok(4));
    let one = world
        .journal
        .journal_entry(&world.people, Uuid::from_u128(2), &[])
        .unwrap()
        .unwrap();
    assert_eq!(one.sealed.unwrap().day, "2026-11-23");
    assert_eq!(one.persons, [world.key("a")]);
    assert_eq!(
        one.entry.members["actor.organisation"],
        json!({"parent": "999", "weight": "0.1"})
    );
}

#[test]
fn lazy_entries_are_flushed_by_themselves_and_at_close() {
    let mut world = World::new();
    world
        .journal
        .audit(entry(1, "a"), Durability::WithinOneSecond)
        .unwrap();
    let begun = std::time::Instant::now();
    while world.journal.counters().contains(&("journal_waiting", 0)) {
        assert!(begun.elapsed().as_secs() < 60, "never flushed");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    world
        .journal
        .audit(entry(2, "a"), Durability::WithinOneSecond)
        .unwrap();
    world.reopen();
    assert_eq!(world.seal(), 2);
}

#[test]
fn pending_rows_of_the_engine_are_sealed_once_whatever_crashes() {
    let mut world = World::new();
    world.read(1, "a");
    let pending = |n: u64| PendingEntry {
        position: n,
        appended: Appended {
            entry: entry(u128::from(n), "a"),
            recorded_at: NOON - n as i64,
        },
    };
    let before: Vec<_> = world
        .segments()
        .into_iter()
        .map(|p| (std::fs::read(&p).unwrap(), p))
        .collect();
    let sealing = world
        .journal
        .seal(&world.people, vec![pending(7), pending(8)])
        .unwrap();
    assert_eq!(
        sealing,
        Sealing {
            sealed: 3,
            consumed: vec![7, 8]
        }
    );
    // As after a crash between the sealing and the deletions: segment and rows are there again.
    world.journal.close();
    before
        .iter()
        .for_each(|(bytes, path)| std::fs::write(path, bytes).unwrap());
    world.reopen();
    assert_eq!(world.log_of("a").len(), 3, "in both places, listed once");
    let again = world
        .journal
        .seal(&world.people, vec![pending(8), pending(9)])
        .unwrap();
    assert_eq!(
        again,
        Sealing {
            sealed: 1,
            consumed: vec![8, 9]
        }
    );
    assert_eq!(
        world.log_of("a"),
        [(1, Some(3)), (7, Some(2)), (8, Some(1)), (9, Some(4))]
    );
    assert_eq!(world.journal.verify(), Ok(4));
}

#[test]
fn a_torn_tail_is_passed_over_and_damage_is_not() {
    let mut world = World::new();
    world.read(1, "a");
    world.read(2, "a");
    world.journal.close();
    let path = world.segments().remove(0);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 3]).unwrap();
    world.reopen();
    assert_eq!(world.seal(), 1);
    world.journal.close();
    let mut damaged = whole;
    damaged[40] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    let opened = SegmentJournal::open(world.folder.path(), true).map(|_| ());
    assert!(matches!(opened, Err(StoreError::Corrupt(_))), "{opened:?}");
}

#[test]
fn pages_never_tear_entries_of_one_instant_apart() {
    let world = World::new();
    let pending: Vec<PendingEntry> = (1..=6)
        .map(|n| PendingEntry {
            position: n,
            appended: Appended {
                entry: entry(u128::from(n), "a"),
                recorded_at: NOON + n as i64 / 3,
            },
        })
        .collect();
    world
        .people
        .intern(&[("urn:test".to_owned(), "a".to_owned())])
        .unwrap();
    let page = |before, waiting: &[PendingEntry]| -> Vec<u128> {
        let page = world
            .journal
            .journal_of(&world.people, world.key("a"), before, 2, waiting)
            .unwrap();
        page.iter().map(|e| e.entry.id.as_u128()).collect()
    };
    for sealed in [false, true] {
        let waiting: &[PendingEntry] = if sealed { &[] } else { &pending };
        if sealed {
            world.journal.seal(&world.people, pending.clone()).unwrap();
        }
        let newest = page(None, waiting);
        assert_eq!(newest, [6, 5, 4, 3]);
        assert_eq!(page(Some(NOON + 1), waiting), [2, 1]);
        assert!(page(Some(NOON), waiting).is_empty());
    }
}

#[test]
fn a_merge_links_two_lines_and_a_split_parts_them() {
    let world = World::new();
    world.read(1, "old");
    world.read(2, "new");
    world.read(3, "old");
    world.seal();
    let (old, new) = (world.key("old"), world.key("new"));
    world.people.aliases.lock().unwrap().insert(old, new);
    assert_eq!(
        world.log_of("new"),
        [(3, Some(2)), (2, Some(1)), (1, Some(1))]
    );
    assert_eq!(world.log_of("old"), world.log_of("new"));
    world.read(4, "old");
    world.read(5, "new");
    world.seal();
    assert_eq!(world.log_of("new")[..2], [(5, Some(3)), (4, Some(2))]);
    world.head("2026-11-23", false);
    let joined = world.proof(4, &[]);
    assert_eq!(joined["shown"]["pjoin"][1][0]["pn"], 2);
    assert!(
        world.proof(5, &[])["shown"].get("pjoin").is_none(),
        "linked in once"
    );
    world.people.aliases.lock().unwrap().clear();
    world.read(6, "old");
    world.seal();
    assert_eq!(
        world.log_of("old"),
        [(6, Some(3)), (4, Some(2)), (3, Some(2)), (1, Some(1))]
    );
    assert_eq!(world.journal.verify(), Ok(6));
}

#[test]
fn proofs_hold_offline_through_interim_and_closed_heads() {
    let world = World::new();
    for n in 1..=40 {
        world.read(n, if n % 2 == 0 { "a" } else { "b" });
        if n % 7 == 0 {
            world.seal();
        }
    }
    world.seal();
    let missing = world.journal.proof(Uuid::from_u128(9), &[]);
    assert!(
        matches!(missing, Err(StoreError::Unavailable(_))),
        "no head yet"
    );
    let interim = world.head("2026-11-23", false);
    assert!(!interim.closed);
    let jwks = world.signer.jwks();
    let early = world.proof(9, &["actor.name"]);
    let seen = proof::verify(&early, &jwks).unwrap();
    assert_eq!((seen.pn, seen.seq, seen.later_heads), (Some(5), 9, 0));
    assert_eq!(seen.masked, ["actor.name", "persons"]);
    assert_eq!(seen.shown["occurred_at"], "2026-11-23T10:00:00.000000Z");

    world.time.fetch_add(14 * HOUR, Ordering::SeqCst);
    world.read(41, "a");
    world.seal();
    let out_of_order = world.journal.sign_head(&world.signer, "2026-11-24", true);
    assert!(matches!(out_of_order, Err(StoreError::Invalid(_))));
    let closed = world.head("2026-11-23", true);
    assert_eq!(
        world.head("2026-11-23", true),
        closed,
        "closing again gives the same head"
    );
    world.head("2026-11-24", true);
    let late = world.proof(9, &[]);
    assert_eq!(proof::verify(&late, &jwks).unwrap().later_heads, 1);
    let mut grown = early.clone();
    grown["next_heads"] = json!([late["head"], late["next_heads"][0]]);
    assert_eq!(proof::verify(&grown, &jwks).unwrap().later_heads, 2);
    let heads = world.journal.heads(10).unwrap();
    assert_eq!(heads.len(), 2, "interim heads of a closed day go");
    assert_eq!(world.journal.verify(), Ok(41));
    // Whatever comes now belongs to a day that is still open.
    world.read(42, "a");
    world.seal();
    assert_eq!(
        world
            .journal
            .journal_entry(&world.people, Uuid::from_u128(42), &[])
            .unwrap()
            .unwrap()
            .sealed
            .unwrap()
            .day,
        "2026-11-25"
    );
}

#[test]
fn a_changed_proof_does_not_hold() {
    let world = World::new();
    (1..=5).for_each(|n| world.read(n, "a"));
    world.seal();
    world.head("2026-11-23", true);
    let jwks = world.signer.jwks();
    let good = world.proof(3, &["actor.name"]);
    proof::verify(&good, &jwks).unwrap();
    let change = |pointer: &str, value: Value| {
        let mut proof = good.clone();
        *proof.pointer_mut(pointer).unwrap() = value;
        proof::verify(&proof, &jwks).unwrap_err()
    };
    assert_eq!(
        change("/shown/imported/1", json!(true)),
        ProofError::Content("leaf")
    );
    assert_eq!(
        change("/masked/actor.name", good["leaf"].clone()),
        ProofError::Content("leaf")
    );
    assert_eq!(change("/time_us", json!(5)), ProofError::Content("leaf"));
    assert_eq!(change("/pn", json!(7)), ProofError::Content("pn"));
    assert_eq!(change("/index", json!(1)), ProofError::Tree("index"));
    assert_eq!(
        change("/path/0", good["leaf"].clone()),
        ProofError::Tree("path")
    );
    assert_eq!(change("/size", json!(4)), ProofError::Tree("index"));
    assert_eq!(
        change("/head", json!("a.b.c")),
        ProofError::Signature("header")
    );
    assert!(matches!(
        proof::verify(&good, &Signer::new().jwks()),
        Err(ProofError::Signature(_))
    ));
    assert!(matches!(
        proof::verify(&json!({}), &jwks),
        Err(ProofError::Form("v"))
    ));
}

#[test]
fn tampering_with_the_tables_is_found_and_named() {
    for (change, names) in [
        (
            "UPDATE entry SET data=CAST(replace(data,'Kari','Kong') AS BLOB) WHERE seq=3",
            "its leaf does not follow",
        ),
        (
            "UPDATE entry SET data=CAST(replace(data,'\"persons\":[1]','\"persons\":[2]') AS BLOB) WHERE seq=3",
            "its columns differ",
        ),
        (
            "UPDATE entry SET chain=leaf WHERE seq=3",
            "breaks the chain",
        ),
        ("DELETE FROM entry WHERE seq=3", "does not follow number 2"),
        ("DELETE FROM entry WHERE seq=20", "disagrees"),
        ("UPDATE node SET hash=zeroblob(32)", "tree node"),
        ("UPDATE day SET size=19", "closed day"),
    ] {
        let world = World::new();
        (1..=20).for_each(|n| world.read(n, "a"));
        world.seal();
        world.head("2026-11-23", true);
        assert_eq!(world.journal.verify(), Ok(20));
        let db = rusqlite::Connection::open(world.folder.path().join("journal.db")).unwrap();
        let changed = db.execute(change, []).unwrap();
        assert!(changed > 0, "{change}");
        match world.journal.verify() {
            Err(StoreError::Corrupt(text)) => assert!(text.contains(names), "{change}: {text}"),
            other => panic!("{change}: {other:?}"),
        }
    }
}

#[test]
fn erased_members_leave_the_tree_valid_and_the_file_clean() {
    let world = World::new();
    world.read(1, "a");
    world.seal();
    world.head("2026-11-23", true);
    assert!(
        world
            .journal
            .erase(Uuid::from_u128(1), &["actor.name", "persons"])
            .unwrap()
    );
    assert!(
        !world
            .journal
            .erase(Uuid::from_u128(2), &["actor.name"])
            .unwrap()
    );
    assert_eq!(world.journal.verify(), Ok(1));
    let seen = proof::verify(&world.proof(1, &[]), &world.signer.jwks()).unwrap();
    assert_eq!(seen.masked, ["actor.name", "persons"]);
    for file in ["journal.db", "journal.db-wal"] {
        let bytes = std::fs::read(world.folder.path().join(file)).unwrap_or_default();
        assert!(!bytes.windows(9).any(|w| w == b"Kari Lege"), "{file}");
    }
}

#[test]
fn a_backup_of_the_journal_goes_on_as_the_same_log() {
    let mut world = World::new();
    (1..=30).for_each(|n| world.read(n, "a"));
    world.seal();
    world.head("2026-11-23", false);
    let mut items: Vec<Item> = Vec::new();
    world
        .journal
        .export(&mut |item| {
            items.push(item);
            Ok(())
        })
        .unwrap();
    assert!(
        world.journal.import(&mut || Ok(None)).is_err(),
        "only into an empty journal"
    );
    let restored = tempfile::tempdir().unwrap();
    let copy = open(restored.path(), &world.time);
    let mut rest = items.into_iter();
    copy.import(&mut || Ok(rest.next())).unwrap();
    world.journal.close();
    world.journal = copy;
    world.read(31, "a");
    world.seal();
    assert_eq!(world.log_of("a")[..2], [(31, Some(31)), (30, Some(30))]);
    world.head("2026-11-23", true);
    assert_eq!(world.journal.verify(), Ok(31));
    let jwks = world.signer.jwks();
    for n in [1, 31] {
        let seen = proof::verify(&world.proof(n, &[]), &jwks).unwrap();
        assert_eq!(seen.pn, Some(n as u64));
    }
}

#[test]
fn entries_beyond_the_limits_are_refused() {
    let world = World::new();
    let refused = |change: &dyn Fn(&mut AuditEntry)| {
        let mut e = entry(1, "a");
        change(&mut e);
        assert!(matches!(
            world.journal.audit(e, Durability::BeforeAnswer),
            Err(StoreError::Invalid(_))
        ));
    };
    refused(&|e| {
        e.members.insert("pn".to_owned(), json!(1));
    });
    refused(&|e| e.controller = "x".repeat(600));
    refused(&|e| e.persons = vec![PersonRef::Key(PersonKey(1)); MAX_PERSONS + 1]);
    refused(&|e| {
        e.members
            .insert("x".to_owned(), json!("x".repeat(MAX_ENTRY_BYTES)));
    });
    refused(&|e| e.members = (0..200).map(|i| (i.to_string(), json!(i))).collect());
}

#[test]
fn many_readers_share_flushes_and_nothing_is_lost() {
    let world = World::new();
    std::thread::scope(|s| {
        for t in 0..8u128 {
            let world = &world;
            s.spawn(move || (0..50).for_each(|n| world.read(t * 1_000 + n, "a")));
        }
        s.spawn(|| {
            (0..20).for_each(|_| {
                world.seal();
            })
        });
    });
    world.seal();
    assert_eq!(world.journal.verify(), Ok(400));
    let numbers: Vec<u64> = world
        .journal
        .journal_of(&world.people, world.key("a"), None, 1_000, &[])
        .unwrap()
        .iter()
        .map(|e| e.sealed.as_ref().unwrap().pn.unwrap())
        .collect();
    assert_eq!(numbers.len(), 400);
}

#[test]
fn days_are_those_of_oslo() {
    for (micros, day) in [
        (NOON, "2026-11-23"),
        (NOON + 11 * HOUR, "2026-11-23"),
        (NOON + 12 * HOUR, "2026-11-24"),
        // 2026-07-01T21:59:59Z and a second later: summer time.
        (1_782_943_199_000_000, "2026-07-01"),
        (1_782_943_200_000_000, "2026-07-02"),
    ] {
        assert_eq!(seal::day_of(micros).unwrap(), day);
    }
}

proptest::proptest! {
    #[test]
    fn any_json_is_verified_without_panic(text in "\\PC*", n in proptest::prelude::any::<u64>()) {
        let jwks = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "x", "x": text, "y": text}]});
        let value = json!({"v": 1, "seq": n, "time_us": 1, "shown": {"a": [text, n]}, "masked": {"b": text},
            "leaf": text, "stream": text, "index": n, "size": n, "path": [text], "day_path": [], "head": text});
        let _ = proof::verify(&value, &jwks);
        let _ = proof::signed_head(&text, &jwks);
        let _ = head::Head::of_json(&value);
    }
}
