//! Backup and restore, into the same engine or the other.

use super::Make;
use super::kit::*;
use crate::{
    Alias, BlobPut, Claim, Commit, Durability, Expect, HistoryScope, KeyRange, Position, Purge,
    Rid, Seq, Settle, Settlement,
};
use bytes::Bytes;

fn filled(make: Make<'_>) -> Bench {
    let b = Bench::fresh(make);
    for i in 0..30u32 {
        let id = format!("r{i}");
        let put = create(b.patient, "Observation", &id)
            .id(&id)
            .key(1, format!("{i:02}"));
        b.put(put.person(i % 4).privacy(|p| {
            p.labels = u64::from(i);
            p.author_person = Some(person(9));
        }));
    }
    b.put(
        update(b.patient, "Observation", "r1", "second")
            .key(1, "99")
            .person(1),
    );
    b.put(delete(b.patient, "Observation", "r2"));
    b.put(create(b.open, "Basic", "x").id("x").key(2, "k"));
    let blob = BlobPut::of(Bytes::from_static(b"a blob"));
    let mut with_blob = create(b.open, "Binary", "{}").id("blob");
    with_blob.blobs = vec![blob.hash];
    let far = 9_000_000_000_000_000;
    b.commit(Commit {
        expect: vec![Expect::Claim(Claim {
            space: "s".to_owned(),
            key: b"k".to_vec(),
            value: b"v".to_vec(),
            until: Some(far),
        })],
        blob: vec![blob],
        enqueue: vec![
            message("q", &"ready ".repeat(1_000)),
            message("q", &"will die ".repeat(1_000)),
            crate::Enqueue {
                due_at: Some(far),
                ..message("q", "timer")
            },
        ],
        position: vec![Position {
            consumer: "c".to_owned(),
            to: Seq(7),
        }],
        raise: vec![person(3)],
        raise_rules: true,
        ..puts([with_blob])
    });
    let leases = b.store.lease("q", 2, 60_000).unwrap();
    let outcomes = [
        Settlement::Release { due_at: None },
        Settlement::DeadLetter {
            reason: "dead".to_owned(),
        },
    ];
    for (lease, outcome) in leases.iter().zip(outcomes) {
        b.commit(Commit {
            settle: vec![Settle {
                id: lease.id,
                token: lease.token,
                outcome,
            }],
            ..Commit::default()
        });
    }
    b.commit(Commit {
        alias: vec![Alias::Merge {
            from: person(0),
            to: person(1),
        }],
        purge: vec![Purge {
            repo: b.patient,
            rtype: "Observation".to_owned(),
            id: "r3".to_owned(),
        }],
        ..Commit::default()
    });
    for _ in 0..3 {
        b.store
            .audit(audit("PPS", &[1]), Durability::BeforeAnswer)
            .unwrap();
    }
    b.store.seal().unwrap();
    b
}

/// What must be equal afterwards, as text.
fn portrait(b: &Bench) -> String {
    let s = b.now();
    let all = b.all();
    let mut out = Vec::new();
    out.push(format!("{:?} {:?}", s.seq(), s.at()));
    out.push(format!("{:?}", b.store.feed(Seq(0), 9_999).unwrap()));
    for repo in [b.patient, b.open, b.internal] {
        let scope = HistoryScope::Repository { repo };
        out.push(format!(
            "{:?}",
            s.history(&all, &scope, None, 9_999).unwrap()
        ));
        for param in 1..3 {
            let up = crate::Direction::Ascending;
            let rows = s.scan(&all, repo, &KeyRange::whole(param), up, None, 9_999);
            out.push(format!("{:?}", rows.unwrap()));
        }
    }
    for n in [0, 1, 3, 9] {
        let key = b.store.person(SYSTEM, &nin(n)).unwrap().expect("known");
        let mut identifiers = b.store.person_identifiers(key).unwrap();
        identifiers.sort();
        out.push(format!(
            "{key:?} {identifiers:?} {:?}",
            s.epoch(key).unwrap()
        ));
        out.push(format!(
            "{:?}",
            s.compartment(&all, b.patient, &[key].into(), 99).unwrap()
        ));
    }
    out.push(format!(
        "{:?} {:?}",
        s.rules_epoch().unwrap(),
        s.claim("s", b"k").unwrap()
    ));
    out.push(format!("{:?}", b.store.position("c").unwrap()));
    out.push(format!("{:?}", b.store.queue_stats("q").unwrap()));
    let messages = b.store.peek("q", 9).unwrap();
    let messages: Vec<_> = messages
        .iter()
        .map(|m| (m.id, &m.body, m.enqueued_at))
        .collect();
    out.push(format!("{messages:?}"));
    out.push(format!("{:?}", b.store.dead_letters("q", 9).unwrap()));
    let blob = crate::sha256(b"a blob");
    out.push(format!("{:?}", b.store.blob(&blob).unwrap()));
    let line = b.store.journal_of(b.key(1), None, 99).unwrap();
    out.push(format!("{line:?}"));
    out.join("\n")
}

fn different(a: &str, b: &str) -> Option<String> {
    a.lines()
        .zip(b.lines())
        .find(|(x, y)| x != y)
        .map(|(x, y)| format!("\nbefore: {x}\nafter:  {y}"))
}

/// Fills a store of `from`, backs it up, restores into a fresh store of `to`, and compares what can be seen.
pub fn backup_to(from: Make<'_>, to: Make<'_>) {
    let b = filled(from);
    let before = portrait(&b);
    let mut stream = Vec::new();
    let seq = b.store.backup(&mut stream).unwrap();
    assert_eq!(seq, b.now().seq());
    let target = Bench::fresh(to);
    let restored = target.store.restore(&mut stream.as_slice()).unwrap();
    assert_eq!(restored, seq);
    assert_eq!(different(&before, &portrait(&target)), None);
    target.verify();
    let target = target.reopen();
    assert_eq!(different(&before, &portrait(&target)), None);
    let next = target.put(create(target.open, "Basic", "after"));
    assert_eq!(next.seq.0, seq.0 + 1);
    assert!(next.rid > Rid(0));
    let known = target
        .now()
        .type_rids(&target.all(), target.open, "Basic", Rid(0), 99);
    assert_eq!(
        known.unwrap().len(),
        2,
        "a new number, not one that is taken"
    );
    let lease = target.store.lease("q", 9, 60_000).unwrap();
    assert_eq!(lease.len(), 1);
    target
        .store
        .audit(audit("PPS", &[1]), Durability::BeforeAnswer)
        .unwrap();
    target.store.seal().unwrap();
    target.verify();
}

pub(super) fn restore_same_engine(make: Make<'_>) {
    backup_to(make, make);
}

pub(super) fn refusals(make: Make<'_>) {
    let b = filled(make);
    let mut stream = Vec::new();
    b.store.backup(&mut stream).unwrap();
    let again = b.store.restore(&mut stream.as_slice());
    assert!(
        again.is_err(),
        "a store that holds something is not overwritten"
    );
    for cut in [0, 10, stream.len() / 2, stream.len() - 1] {
        let fresh = Bench::fresh(make);
        let part = fresh.store.restore(&mut &stream[..cut]);
        assert!(part.is_err(), "a truncated stream ({cut} bytes) is refused");
        assert_eq!(fresh.store.snapshot().map(|s| s.seq()).ok(), Some(Seq(0)));
    }
    let mut damaged = stream.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x40;
    let fresh = Bench::fresh(make);
    assert!(fresh.store.restore(&mut damaged.as_slice()).is_err());
}
