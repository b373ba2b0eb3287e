//! Snapshots: isolation, paging at an earlier place, bounds, behaviour under load.

use super::Make;
use super::kit::*;
use crate::{
    Direction, Expect, Filter, HistoryScope, IndexRow, KeyRange, Op, Pred, Reader, Rid, Seq,
    StoreError, Vno,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Everything a snapshot says about the open repository, as text.
fn everything(b: &Bench, s: &dyn Reader) -> String {
    let all = b.all();
    let rids = s.type_rids(&all, b.open, "Basic", Rid(0), 999).unwrap();
    let fetched = s.fetch(&all, &rids).unwrap();
    let rows = s
        .scan(
            &all,
            b.open,
            &KeyRange::whole(1),
            Direction::Ascending,
            None,
            999,
        )
        .unwrap();
    let range = s.range(&all, b.open, &KeyRange::whole(1), 999).unwrap();
    let repo = b.open;
    let history = s
        .history(&all, &HistoryScope::Repository { repo }, None, 999)
        .unwrap();
    let keys: Vec<_> = rids.iter().map(|r| s.keys(&all, *r).unwrap()).collect();
    let one = [b.key(1)].into();
    let compartment = s.compartment(&all, b.open, &one, 999).unwrap();
    let read = s.read(&all, b.open, "Basic", "x").unwrap();
    let epoch = (s.epoch(b.key(1)).unwrap(), s.rules_epoch().unwrap());
    format!(
        "{fetched:?} {rows:?} {range:?} {history:?} {keys:?} {compartment:?} {read:?} {epoch:?}"
    )
}

/// A snapshot that is told what will be read is one like all others, whatever is read of it.
pub(super) fn for_a_record(make: Make<'_>) {
    let b = Bench::fresh(make);
    let all = b.all();
    let none = b.grant(Filter::Closed);
    let told = |rtype: &str, id: &str| b.store.snapshot_for(b.open, rtype, id).unwrap();
    let body = |s: &dyn Reader, rtype: &str, id: &str| {
        let found = s.read(&all, b.open, rtype, id).unwrap();
        found.map(|r| String::from_utf8_lossy(&r.body).into_owned())
    };
    let unheard = told("Basic", "x");
    b.put(create(b.open, "Basic", "1").id("x").key(1, "a"));
    b.put(create(b.open, "Basic", "other").id("y").key(1, "b"));
    assert_eq!(body(&*unheard, "Basic", "x"), None, "made afterwards");
    let (first, hidden) = (told("Basic", "x"), told("Basic", "x"));
    b.put(update(b.open, "Basic", "x", "2").key(1, "a"));
    assert_eq!(body(&*first, "Basic", "y").as_deref(), Some("other"));
    assert_eq!(body(&*first, "Basic", "x").as_deref(), Some("1"));
    assert_eq!(body(&*first, "Basic", "x").as_deref(), Some("1"), "again");
    let refused = hidden.read(&none, b.open, "Basic", "x").unwrap();
    assert!(refused.is_none(), "the grant decides");
    let missing = told("Basic", "z");
    assert_eq!(body(&*missing, "Basic", "z"), None);
    assert_eq!(body(&*missing, "Basic", "x").as_deref(), Some("2"));
    b.put(delete(b.open, "Basic", "x"));
    let gone = told("Basic", "x");
    let found = gone.read(&all, b.open, "Basic", "x").unwrap().unwrap();
    assert_eq!(found.head.op, Op::Delete);
    assert_eq!(body(&*told("Basic", "a\0b"), "Basic", "a\0b"), None);
}

/// What is read is the state of the snapshot's place, never an earlier or a later one.
pub(super) fn for_under_load(make: Make<'_>) {
    let b = Bench::fresh(make);
    let all = b.all();
    b.put(create(b.open, "Basic", "0").id("x"));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    let s = b.store.snapshot_for(b.open, "Basic", "x").unwrap();
                    let read = s.read(&all, b.open, "Basic", "x").unwrap().unwrap();
                    let scope = HistoryScope::Instance {
                        repo: b.open,
                        rtype: "Basic".to_owned(),
                        id: "x".to_owned(),
                    };
                    let newest = s.history(&all, &scope, None, 1).unwrap();
                    assert_eq!(newest.first().map(|r| &r.body), Some(&read.body));
                    assert!(read.head.seq <= s.seq());
                }
            });
        }
        for n in 1..100 {
            b.put(update(b.open, "Basic", "x", &n.to_string()));
        }
        done.store(true, Ordering::SeqCst);
    });
}

pub(super) fn isolation(make: Make<'_>) {
    let b = Bench::fresh(make);
    let _ = b.key(1);
    let mut taken = Vec::new();
    let empty = b.now();
    taken.push((everything(&b, &*empty), empty));
    let steps = vec![
        puts([create(b.open, "Basic", "1").id("x").key(1, "a").person(1)]),
        puts([create(b.open, "Basic", "1").id("y").key(1, "b").person(2)]),
        puts([update(b.open, "Basic", "x", "2").key(1, "c").person(2)]),
        crate::Commit {
            raise: vec![person(1)],
            raise_rules: true,
            ..puts([update(b.open, "Basic", "y", "2").key(1, "a").person(1)])
        },
        puts([delete(b.open, "Basic", "x")]),
        puts([create(b.open, "Basic", "3").id("x").key(1, "z").person(1)]),
        puts([
            update(b.open, "Basic", "x", "4").key(1, "z").person(1),
            create(b.open, "Basic", "5"),
        ]),
    ];
    for step in steps {
        b.commit(step);
        let s = b.now();
        taken.push((everything(&b, &*s), s));
    }
    for (i, pair) in taken.windows(2).enumerate() {
        assert_ne!(pair[0].0, pair[1].0, "step {i} changes something");
    }
    for (i, (then, s)) in taken.iter().enumerate() {
        assert_eq!(
            &everything(&b, &**s),
            then,
            "held snapshot {i} stays as it was"
        );
        let again = b.store.snapshot_at(s.seq()).unwrap();
        assert_eq!(again.at(), s.at());
        assert_eq!(&everything(&b, &*again), then, "snapshot_at of step {i}");
    }
    let seqs: Vec<Seq> = taken.iter().map(|(_, s)| s.seq()).collect();
    let texts: Vec<String> = taken.into_iter().map(|(t, _)| t).collect();
    let b = b.reopen();
    b.store.maintain().unwrap();
    for (seq, then) in seqs.iter().zip(&texts) {
        let again = b.store.snapshot_at(*seq).unwrap();
        assert_eq!(&everything(&b, &*again), then, "after a restart");
    }
    b.verify();
}

pub(super) fn paging(make: Make<'_>) {
    let b = Bench::fresh(make);
    for i in 0..60u32 {
        let id = format!("p{i}");
        let put = create(b.open, "Basic", "1")
            .id(&id)
            .key(1, format!("{:02}", i % 20));
        b.put(put.privacy(|p| p.class = (i % 3) as u16));
    }
    let grant = b.grant(Filter::all(Pred::ClassNotIn([1].into()), []));
    let start = b.now();
    let whole = KeyRange::whole(1);
    let full = start
        .scan(&grant, b.open, &whole, Direction::Ascending, None, 999)
        .unwrap();
    assert_eq!(full.len(), 40);
    let mut joined: Vec<IndexRow> = Vec::new();
    let mut round = 0u32;
    loop {
        let s = b.store.snapshot_at(start.seq()).unwrap();
        let page = s
            .scan(
                &grant,
                b.open,
                &whole,
                Direction::Ascending,
                joined.last(),
                7,
            )
            .unwrap();
        if page.is_empty() {
            break;
        }
        joined.extend(page);
        let id = |n: u32| format!("p{}", (round * 7 + n) % 60);
        b.put(update(b.open, "Basic", &id(1), "2").key(1, "55"));
        b.put(
            update(b.open, "Basic", &id(3), "2")
                .key(1, "00")
                .privacy(|p| p.class = 1),
        );
        let _ = b.store.commit(puts([delete(b.open, "Basic", &id(5))]));
        b.put(create(b.open, "Basic", "new").key(1, "10"));
        b.store.maintain().unwrap();
        round += 1;
    }
    assert_eq!(joined, full, "every page, joined, is the unpaged answer");
}

pub(super) fn bounds(make: Make<'_>) {
    let mut config = make();
    config.snapshot_retention = Duration::from_millis(200);
    let b = Bench::with(config);
    b.put(create(b.open, "Basic", "1").id("x").key(1, "a"));
    let old = b.now().seq();
    b.put(update(b.open, "Basic", "x", "2").key(1, "b"));
    std::thread::sleep(Duration::from_millis(500));
    b.store.maintain().unwrap();
    let expired = b.store.snapshot_at(old).map(|s| {
        s.range(&b.all(), b.open, &KeyRange::whole(1), 9)
            .map(|_| ())
    });
    let is_expired = matches!(
        expired,
        Err(StoreError::SnapshotExpired) | Ok(Err(StoreError::SnapshotExpired))
    );
    assert!(is_expired, "{expired:?}");
    let newest = b.store.snapshot_at(b.now().seq()).unwrap();
    let rows = newest.range(&b.all(), b.open, &KeyRange::whole(1), 9);
    assert_eq!(rows.unwrap().len(), 1, "the newest never expires");
    let ahead = b.store.snapshot_at(Seq(b.now().seq().0 + 1)).err();
    assert!(matches!(ahead, Some(StoreError::Invalid(_))), "{ahead:?}");
    b.store.verify_index().unwrap();
}

/// Writers move two records together; readers must always see both at one version, with index rows to match.
pub(super) fn under_load(make: Make<'_>) {
    let b = Bench::fresh(make);
    b.commit(puts([
        create(b.open, "Basic", "1").id("a").key(1, "00001"),
        create(b.open, "Basic", "1").id("b").key(1, "00001"),
    ]));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let s = b.now();
                    let vno = s
                        .read(&b.all(), b.open, "Basic", "a")
                        .unwrap()
                        .unwrap()
                        .head
                        .vno;
                    let n = vno.0 + 1;
                    let put = |id: &str| {
                        update(b.open, "Basic", id, &n.to_string()).key(1, format!("{n:05}"))
                    };
                    let _ = b.store.commit(crate::Commit {
                        expect: vec![Expect::Version {
                            repo: b.open,
                            rtype: "Basic".to_owned(),
                            id: "a".to_owned(),
                            vno,
                        }],
                        ..puts([put("a"), put("b")])
                    });
                }
            });
        }
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let (s, all) = (b.now(), b.all());
                        let a = s.read(&all, b.open, "Basic", "a").unwrap().unwrap();
                        let rows = s
                            .scan(
                                &all,
                                b.open,
                                &KeyRange::whole(1),
                                Direction::Ascending,
                                None,
                                9,
                            )
                            .unwrap();
                        let c = s.read(&all, b.open, "Basic", "b").unwrap().unwrap();
                        assert_eq!((a.head.vno, &a.body), (c.head.vno, &c.body));
                        assert_eq!(rows.len(), 2, "each record once");
                        let value = format!("{:05}", a.head.vno.0).into_bytes();
                        assert!(rows.iter().all(|r| r.value == value));
                        assert_eq!(a.head.op == Op::Create, a.head.vno == Vno(1));
                    }
                })
            })
            .collect();
        let results: Vec<_> = readers.into_iter().map(|r| r.join()).collect();
        stop.store(true, Ordering::Relaxed);
        for result in results {
            if let Err(panic) = result {
                std::panic::resume_unwind(panic);
            }
        }
    });
    b.verify();
}
