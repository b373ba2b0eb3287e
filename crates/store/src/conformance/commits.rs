//! Commits: receipts, atomicity, grouping, limits, and a random walk against a model.

use super::Make;
use super::kit::*;
use crate::{
    Claim, Commit, CommitError, Enqueue, Expect, Filter, KeyRange, MAX_BODY_BYTES, MAX_KEY_BYTES,
    MAX_KEYS, Op, Position, Privacy, Put, PutId, Refusal, RepoId, Seq, Vno,
};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn receipts(make: Make<'_>) {
    let b = Bench::fresh(make);
    assert_eq!(b.now().seq(), Seq(0), "an empty store stands at 0");
    let done = b.commit(puts([
        create(b.open, "Patient", "{\"n\":1}").id("one"),
        create(b.open, "Patient", "{\"n\":2}"),
        create(b.open, "Basic", "{\"n\":3}").id("one"),
    ]));
    assert_eq!(done.puts.len(), 3);
    let seqs: Vec<u64> = done.puts.iter().map(|p| p.seq.0).collect();
    assert_eq!(seqs, [1, 2, 3], "gapless, from 1, in the order of the puts");
    assert!(done.snapshot >= Seq(3));
    assert!(done.puts.iter().all(|p| p.vno == Vno(1)));
    assert_eq!(done.puts[0].id, "one");
    assert_eq!(done.puts[2].id, "one", "an id is per type");
    assert_ne!(done.puts[0].rid, done.puts[2].rid);
    let made = uuid::Uuid::parse_str(&done.puts[1].id).expect("a made id is a UUID");
    assert_eq!(made.get_version_num(), 7, "and time-ordered");
    let snapshot = b.now();
    assert_eq!(snapshot.seq(), done.snapshot);
    assert_eq!(snapshot.at(), done.at);
    let record = snapshot
        .read(&b.all(), b.open, "Patient", "one")
        .unwrap()
        .expect("it is there");
    assert_eq!(record.body, Bytes::from_static(b"{\"n\":1}"));
    assert_eq!(record.head.op, Op::Create);
    assert_eq!(record.head.at, done.at);
    assert_eq!(record.head.seq, Seq(1));
    assert_eq!(record.head.repo, b.open);
    assert_eq!(record.head.rtype, "Patient");
    let full = Privacy {
        controller: "KJ".to_owned(),
        class: 7,
        labels: 1 << 63 | 5,
        conf: 2,
        disclose_at: Some(-5),
        service_day: Some(-40_000),
        author_org: Some("999999999".to_owned()),
        author_person: Some(person(4)),
        source_client: Some("client".to_owned()),
        owner: Some(person(5)),
        status: Some("final".to_owned()),
        area: Some(9),
        business_keys: vec!["a".to_owned(), "æ".to_owned()],
    };
    let mut put = create(b.patient, "Observation", "{}").person(3);
    put.privacy = full.clone();
    let receipt = b.put(put);
    let head = b.now().heads(&b.all(), &[receipt.rid]).unwrap().remove(0);
    assert_eq!(head.author_person, Some(b.key(4)));
    assert_eq!(head.owner, Some(b.key(5)));
    assert_eq!(head.persons, [b.key(3)]);
    let expected = Privacy {
        author_person: None,
        owner: None,
        ..full
    };
    assert_eq!(head.privacy, expected, "every privacy member comes back");
    b.verify();
}

pub(super) fn atomic(make: Make<'_>) {
    let b = Bench::fresh(make);
    let held = b.put(create(b.open, "Basic", "held").id("held"));
    let before = b.now().seq();
    let everything = Commit {
        expect: vec![
            Expect::Claim(Claim {
                space: "s".to_owned(),
                key: b"k".to_vec(),
                value: b"v".to_vec(),
                until: None,
            }),
            Expect::Version {
                repo: b.open,
                rtype: "Basic".to_owned(),
                id: "held".to_owned(),
                vno: Vno(7),
            },
        ],
        put: vec![
            create(b.open, "Basic", "new")
                .id("new")
                .key(1, "x")
                .person(1),
            update(b.open, "Basic", "held", "changed"),
        ],
        enqueue: vec![message("q", "m")],
        position: vec![Position {
            consumer: "c".to_owned(),
            to: Seq(1),
        }],
        raise: vec![person(1)],
        raise_rules: true,
        blob: vec![crate::BlobPut::of(Bytes::from_static(b"blob"))],
        ..Commit::default()
    };
    let (index, refusal) = b.refused(everything.clone());
    assert_eq!(index, 1);
    let newest = Some(Vno(1));
    assert_eq!(refusal, Refusal::Version { newest });
    let s = b.now();
    assert_eq!(s.seq(), before, "a refused commit takes no place");
    let all = b.all();
    assert!(s.read(&all, b.open, "Basic", "new").unwrap().is_none());
    let kept = s.read(&all, b.open, "Basic", "held").unwrap().unwrap();
    assert_eq!(
        (kept.body.as_ref(), kept.head.rid),
        (&b"held"[..], held.rid)
    );
    assert_eq!(s.claim("s", b"k").unwrap(), None);
    assert_eq!(b.store.peek("q", 9).unwrap(), []);
    assert_eq!(b.store.position("c").unwrap(), Seq(0));
    assert_eq!(s.rules_epoch().unwrap(), Seq(0));
    assert!(
        s.range(&all, b.open, &KeyRange::whole(1), 9)
            .unwrap()
            .is_empty()
    );

    let mut good = everything;
    good.expect.pop();
    let done = b.commit(good);
    let s = b.now();
    assert_eq!(s.seq(), done.snapshot);
    assert!(s.read(&all, b.open, "Basic", "new").unwrap().is_some());
    let changed = s.read(&all, b.open, "Basic", "held").unwrap().unwrap();
    assert_eq!(changed.body.as_ref(), b"changed");
    assert_eq!(changed.head.op, Op::Update);
    assert_eq!(s.claim("s", b"k").unwrap(), Some(b"v".to_vec()));
    assert_eq!(b.store.peek("q", 9).unwrap().len(), 1);
    assert_eq!(b.store.position("c").unwrap(), Seq(1));
    assert_eq!(s.rules_epoch().unwrap(), done.puts[1].seq);
    assert_eq!(s.epoch(b.key(1)).unwrap(), done.puts[1].seq);
    assert_eq!(done.messages.len(), 1);
    b.verify();
}

pub(super) fn invalid_is_alone(make: Make<'_>) {
    let b = Bench::fresh(make);
    let good: Vec<_> = (0..20)
        .map(|i| {
            b.store
                .submit(puts([create(b.open, "Basic", "x").id(&format!("a{i}"))]))
        })
        .collect();
    let bad = b.store.submit(puts([create(RepoId(999), "Basic", "x")]));
    let mut missing_blob = create(b.open, "Basic", "x").id("bad");
    missing_blob.blobs = vec![[9; 32]];
    let bad_blob = b.store.submit(puts([missing_blob]));
    let late: Vec<_> = (0..20)
        .map(|i| {
            b.store
                .submit(puts([create(b.open, "Basic", "x").id(&format!("b{i}"))]))
        })
        .collect();
    for pending in good.into_iter().chain(late) {
        pending
            .wait()
            .expect("neighbours of an invalid commit succeed");
    }
    assert!(matches!(bad.wait(), Err(CommitError::Invalid(_))));
    assert!(matches!(bad_blob.wait(), Err(CommitError::Invalid(_))));
    let s = b.now();
    assert_eq!(s.seq(), Seq(40));
    assert!(s.read(&b.all(), b.open, "Basic", "bad").unwrap().is_none());
}

pub(super) fn time_increases(make: Make<'_>) {
    let b = Bench::fresh(make);
    let pending: Vec<_> = (0..200)
        .map(|i| match i % 3 {
            0 => b.store.submit(messages([message("q", "x")])),
            _ => b.store.submit(puts([create(b.open, "Basic", "x")])),
        })
        .collect();
    let times: Vec<_> = pending.into_iter().map(|p| p.wait().unwrap().at).collect();
    assert!(
        times.windows(2).all(|w| w[0] < w[1]),
        "commit times rise strictly, in the order of submission by one thread"
    );
    let last = *times.last().unwrap();
    let b = b.reopen();
    let next = b.commit(messages([message("q", "x")]));
    assert!(next.at > last, "and over a restart");
}

pub(super) fn group_64_threads(make: Make<'_>) {
    let b = Bench::fresh(make);
    const EACH: u32 = 20;
    let acknowledged = std::sync::Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for t in 0..64u32 {
            let (b, acknowledged) = (&b, &acknowledged);
            scope.spawn(move || {
                for i in 0..EACH {
                    let id = format!("t{t}-{i}");
                    let put = create(b.open, "Basic", &id).id(&id).key(1, &id).person(t);
                    let done = b.store.commit(puts([put])).expect("accepted");
                    let seen = b.store.snapshot().unwrap();
                    assert!(seen.seq() >= done.puts[0].seq, "flushed and visible");
                    let read = seen.read(&b.all(), b.open, "Basic", &id).unwrap();
                    assert_eq!(read.expect("one's own write").body, id.as_bytes());
                    let row = done.puts[0].clone();
                    acknowledged.lock().unwrap().insert(row.seq, row);
                }
            });
        }
    });
    let acknowledged = acknowledged.into_inner().unwrap();
    let total = u64::from(64 * EACH);
    assert_eq!(acknowledged.len() as u64, total, "no seq twice");
    let feed = b.store.feed(Seq(0), 100_000).unwrap();
    assert_eq!(feed.len() as u64, total);
    for (i, entry) in feed.iter().enumerate() {
        assert_eq!(entry.seq.0, i as u64 + 1, "gapless");
        let crate::FeedEvent::Version { id, rid, .. } = &entry.event else {
            panic!("only versions")
        };
        let receipt = &acknowledged[&entry.seq];
        assert_eq!((&receipt.id, receipt.rid), (id, *rid));
    }
    assert!(feed.windows(2).all(|w| w[0].at <= w[1].at));
    let rows = b
        .now()
        .range(&b.all(), b.open, &KeyRange::whole(1), 100_000)
        .unwrap();
    assert_eq!(rows.len() as u64, total);
    b.verify();
}

pub(super) fn limits(make: Make<'_>) {
    let b = Bench::fresh(make);
    let invalid = |commit: Commit, what: &str| {
        let got = b.store.commit(commit);
        assert!(
            matches!(got, Err(CommitError::Invalid(_))),
            "{what}: {got:?}"
        );
    };
    let long = create(b.open, "Basic", "x").key(1, vec![1; MAX_KEY_BYTES + 1]);
    invalid(puts([long]), "a key too long");
    let mut many = create(b.open, "Basic", "x");
    many.keys = (0..=MAX_KEYS as u32).map(|i| key(i, "x")).collect();
    invalid(puts([many]), "too many keys");
    let mut big = create(b.open, "Basic", "x");
    big.body = Bytes::from(vec![0; MAX_BODY_BYTES + 1]);
    invalid(puts([big]), "a body too big");
    let bad_id = create(b.open, "Basic", "x").id("no spaces");
    invalid(puts([bad_id]), "an id outside the rule");
    let long_id = create(b.open, "Basic", "x").id(&"a".repeat(65));
    invalid(puts([long_id]), "an id too long");
    let mut wrong = crate::BlobPut::of(Bytes::from_static(b"a"));
    wrong.hash = [1; 32];
    invalid(
        Commit {
            blob: vec![wrong],
            ..Commit::default()
        },
        "a blob whose hash is not its own",
    );
    let heavy = Bytes::from(vec![7; crate::MAX_INLINE_BLOB_BYTES + 1]);
    invalid(
        Commit {
            blob: vec![crate::BlobPut::of(heavy)],
            ..Commit::default()
        },
        "an inline blob too big",
    );
    let nameless = Enqueue {
        queue: "q".repeat(129),
        ..Enqueue::default()
    };
    invalid(messages([nameless]), "a queue name too long");
    invalid(
        Commit {
            expect: vec![Expect::NoMatch {
                repo: b.open,
                keys: Vec::new(),
                author_org: None,
                filter: Filter::Open,
            }],
            ..Commit::default()
        },
        "a search for nothing",
    );
    invalid(
        Commit {
            expect: vec![Expect::Claim(Claim {
                space: "s".to_owned(),
                key: vec![0; 256],
                value: Vec::new(),
                until: None,
            })],
            ..Commit::default()
        },
        "a claim key too long",
    );
    let mut edge = create(b.open, "Basic", "x").key(1, vec![255; MAX_KEY_BYTES]);
    edge.body = Bytes::from(vec![b'x'; 3 << 20]);
    let receipt = b.put(edge);
    let back = b.now().fetch(&b.all(), &[receipt.rid]).unwrap();
    assert_eq!(back[0].body.len(), 3 << 20);
    assert_eq!(
        b.now().seq(),
        Seq(1),
        "nothing of the invalid ones is there"
    );
    b.verify();
}

/// Names from outside may hold anything: they are stored, refused as invalid, or not found; neighbours in the batch and
/// later work are not harmed.
pub(super) fn hostile_names(make: Make<'_>) {
    let b = Bench::fresh(make);
    let (repo, all) = (b.open, b.all());
    for name in [
        "\0",
        "a\0b",
        "\u{fffd}\u{10ffff}",
        "'; DROP TABLE version; --",
        "%_\\",
        "\u{202e}",
    ] {
        let text = || name.to_owned();
        let mut of_person = create(repo, "Basic", "x");
        of_person.persons = vec![crate::PersonRef::id(name, name)];
        let mut owned = create(repo, "Basic", "x");
        owned.privacy.owner = Some(crate::PersonRef::id("s", name));
        owned.privacy.status = Some(text());
        owned.privacy.controller = text();
        owned.privacy.business_keys = vec![text()];
        let absent = Expect::Absent {
            repo,
            rtype: text(),
            id: text(),
        };
        let at = Seq(0);
        let consumer = text();
        let position = Expect::Position { consumer, at };
        let claim = Expect::Claim(Claim {
            space: text(),
            key: name.as_bytes().to_vec(),
            value: Vec::new(),
            until: None,
        });
        let mut entry = audit(name, &[1]);
        entry.members.insert(text(), serde_json::json!(name));
        let known = crate::Alias::AlsoKnownAs {
            person: person(1),
            system: text(),
            value: text(),
        };
        let move_to = Position {
            consumer: text(),
            to: Seq(u64::MAX),
        };
        let expecting = |expect: Expect| Commit {
            expect: vec![expect],
            ..Commit::default()
        };
        let hostile = vec![
            puts([create(repo, name, "x")]),
            puts([create(repo, "Basic", "x").id(name)]),
            puts([create(repo, "Basic", "x").key(1, name)]),
            puts([of_person]),
            puts([owned]),
            messages([message(name, name)]),
            expecting(absent),
            expecting(position),
            expecting(claim),
            Commit {
                audit: vec![entry],
                ..Commit::default()
            },
            Commit {
                alias: vec![known],
                ..Commit::default()
            },
            Commit {
                position: vec![move_to],
                ..Commit::default()
            },
            Commit {
                raise: vec![crate::PersonRef::id(name, "x")],
                ..Commit::default()
            },
        ];
        let mut pending = Vec::new();
        for commit in hostile {
            pending.push((false, b.store.submit(commit)));
            pending.push((true, b.store.submit(puts([create(repo, "Good", "x")]))));
        }
        for (i, (good, commit)) in pending.into_iter().enumerate() {
            let result = commit.wait();
            let invalid = matches!(result, Err(CommitError::Invalid(_)));
            assert!(
                result.is_ok() || (invalid && !good),
                "{name:?} {i}: {result:?}"
            );
        }
        let s = b.now();
        s.read(&all, repo, name, name).unwrap();
        s.read(&all, repo, "Basic", name).unwrap();
        s.claim(name, name.as_bytes()).unwrap();
        b.store.person(name, name).unwrap();
        b.store.position(name).unwrap();
        b.store.lease(name, 1, 1_000).unwrap();
        b.store.peek(name, 1).unwrap();
        b.store.dead_letters(name, 1).unwrap();
        b.store.queue_stats(name).unwrap();
        b.store.queues(name, 9).unwrap();
        b.store.purge_state(repo, "Basic", name).unwrap();
        let id = text();
        let scope = crate::HistoryScope::Instance {
            repo,
            rtype: "Basic".to_owned(),
            id,
        };
        s.history(&all, &scope, None, 9).unwrap();
    }
    assert!(b.store.feed(Seq(u64::MAX), 9).unwrap().is_empty());
    assert!(b.store.snapshot_at(Seq(u64::MAX)).is_err());
    assert!(
        b.now()
            .fetch(&all, &[crate::Rid(u64::MAX)])
            .unwrap()
            .is_empty()
    );
    b.store.seal().unwrap();
    b.verify();
}

pub(super) fn same_record_twice(make: Make<'_>) {
    let b = Bench::fresh(make);
    let done = b.commit(puts([
        create(b.open, "Basic", "1").id("x").key(1, "a"),
        update(b.open, "Basic", "x", "2").key(1, "b"),
        delete(b.open, "Basic", "x"),
        update(b.open, "Basic", "x", "4").key(1, "d"),
        create(b.open, "Basic", "y").id("y").key(1, "a"),
    ]));
    let vnos: Vec<u32> = done.puts.iter().map(|p| p.vno.0).collect();
    assert_eq!(vnos, [1, 2, 3, 4, 1]);
    assert_eq!(done.puts[0].rid, done.puts[3].rid);
    let (s, all) = (b.now(), b.all());
    let newest = s.read(&all, b.open, "Basic", "x").unwrap().unwrap();
    assert_eq!(newest.body.as_ref(), b"4");
    assert_eq!(newest.head.op, Op::Create, "first after a deletion");
    for (vno, body) in [(1, "1"), (2, "2"), (3, ""), (4, "4")] {
        let version = s.vread(&all, b.open, "Basic", "x", Vno(vno)).unwrap();
        assert_eq!(version.expect("each version").body, body.as_bytes());
    }
    let rids = |value: &str| {
        let range = KeyRange::exact(&key(1, value));
        let rids = s.range(&all, b.open, &range, 9).unwrap();
        ids(&*s, &all, &rids)
    };
    assert_eq!(rids("a"), ["y"]);
    assert_eq!(rids("b"), [""; 0]);
    assert_eq!(rids("d"), ["x"]);
    b.verify();
}

pub(super) fn reopen_keeps_everything(make: Make<'_>) {
    let b = Bench::fresh(make);
    let incarnation = b.store.incarnation();
    for i in 0..50 {
        let id = format!("r{i}");
        b.put(
            create(b.patient, "Observation", &id)
                .id(&id)
                .key(1, &id)
                .person(i % 5),
        );
    }
    b.commit(Commit {
        expect: vec![Expect::Claim(Claim {
            space: "s".to_owned(),
            key: b"k".to_vec(),
            value: b"v".to_vec(),
            until: None,
        })],
        put: vec![
            update(b.patient, "Observation", "r0", "new")
                .key(2, "new")
                .person(0),
        ],
        enqueue: vec![message("q", "one"), message("q", "two")],
        position: vec![Position {
            consumer: "c".to_owned(),
            to: Seq(9),
        }],
        raise: vec![person(1)],
        ..Commit::default()
    });
    let (key0, key1) = (b.key(0), b.key(1));
    let epoch = b.now().epoch(key1).unwrap();
    let feed = b.store.feed(Seq(0), 1_000).unwrap();
    let repos = (b.patient, b.open, b.internal);
    let b = b.reopen();
    assert_eq!((b.patient, b.open, b.internal), repos);
    assert_eq!(b.store.incarnation(), incarnation);
    assert_eq!(b.store.feed(Seq(0), 1_000).unwrap(), feed);
    let (s, all) = (b.now(), b.all());
    assert_eq!(s.seq(), feed.last().unwrap().seq);
    assert_eq!(s.at(), feed.last().unwrap().at);
    assert_eq!(b.key(0), key0);
    assert_eq!(s.epoch(key1).unwrap(), epoch);
    assert_eq!(s.claim("s", b"k").unwrap(), Some(b"v".to_vec()));
    assert_eq!(b.store.position("c").unwrap(), Seq(9));
    assert_eq!(b.store.queue_stats("q").unwrap().ready, 2);
    let compartment = s
        .compartment(&all, b.patient, &BTreeSet::from([key0]), 100)
        .unwrap();
    assert_eq!(compartment.len(), 10);
    let r0 = s
        .read(&all, b.patient, "Observation", "r0")
        .unwrap()
        .unwrap();
    assert_eq!((r0.body.as_ref(), r0.head.vno), (&b"new"[..], Vno(2)));
    let rows = s.range(&all, b.patient, &KeyRange::whole(1), 100).unwrap();
    assert_eq!(rows.len(), 49, "r0 has no such key any more");
    let next = b.put(create(b.patient, "Observation", "after"));
    assert_eq!(next.seq.0, s.seq().0 + 1);
    assert!(feed.iter().all(|e| match &e.event {
        crate::FeedEvent::Version { rid, .. } => *rid != next.rid,
        _ => true,
    }));
    b.verify();
}

/// A record of the model.
#[derive(Clone, Debug)]
struct Model {
    live: bool,
    vno: u32,
    body: String,
    values: Vec<String>,
}

/// A random walk of creates, updates, deletions and refused commits, checked against a map after every few steps and
/// after a restart.
pub(super) fn random_model(make: Make<'_>) {
    let mut b = Bench::fresh(make);
    let mut rng = StdRng::seed_from_u64(7);
    let mut model: BTreeMap<String, Model> = BTreeMap::new();
    for step in 0..400u32 {
        let id = format!("m{}", rng.random_range(0..25));
        let values: Vec<String> = (0..rng.random_range(0..4))
            .map(|_| format!("v{}", rng.random_range(0..9)))
            .collect();
        let known = model.get(&id).cloned();
        let live = known.as_ref().is_some_and(|m| m.live);
        let vno = known.as_ref().map_or(0, |m| m.vno);
        let op = match rng.random_range(0..4) {
            0 => Op::Create,
            1 => Op::Delete,
            _ => Op::Update,
        };
        let stale = rng.random_range(0..6) == 0;
        let body = if op == Op::Delete {
            String::new()
        } else {
            format!("b{step}")
        };
        let mut put: Put = create(b.open, "Basic", &body).op(op);
        put.id = PutId::Given(id.clone());
        if op != Op::Delete {
            for value in &values {
                put = put.key(1, value);
            }
        }
        let mut commit = puts([put]);
        if stale {
            commit.expect = vec![Expect::Version {
                repo: b.open,
                rtype: "Basic".to_owned(),
                id: id.clone(),
                vno: Vno(vno + 1),
            }];
        }
        let got = b.store.commit(commit);
        let allowed = !stale && (live || op != Op::Delete) && !(live && op == Op::Create);
        assert_eq!(got.is_ok(), allowed, "step {step} {op:?} {id}: {got:?}");
        if allowed {
            assert_eq!(got.unwrap().puts[0].vno, Vno(vno + 1));
            let values = if op == Op::Delete { Vec::new() } else { values };
            model.insert(
                id,
                Model {
                    live: op != Op::Delete,
                    vno: vno + 1,
                    body,
                    values,
                },
            );
        }
        if step % 100 == 99 {
            compare(&b, &model);
        }
        if step == 250 {
            b = b.reopen();
        }
    }
    b.verify();
}

fn compare(b: &Bench, model: &BTreeMap<String, Model>) {
    let (s, all) = (b.now(), b.all());
    for (id, m) in model {
        let got = s.read(&all, b.open, "Basic", id).unwrap().expect("known");
        assert_eq!(got.head.vno, Vno(m.vno), "{id}");
        assert_eq!(got.head.op == Op::Delete, !m.live, "{id}");
        assert_eq!(got.body, m.body.as_bytes(), "{id}");
    }
    for v in 0..9 {
        let value = format!("v{v}");
        let rids = s
            .range(&all, b.open, &KeyRange::exact(&key(1, &value)), 1_000)
            .unwrap();
        let expected: Vec<String> = model
            .iter()
            .filter(|(_, m)| m.live && m.values.contains(&value))
            .map(|(id, _)| id.clone())
            .collect();
        assert_eq!(ids(&*s, &all, &rids), expected, "{value}");
    }
    b.store.verify_index().unwrap();
}
