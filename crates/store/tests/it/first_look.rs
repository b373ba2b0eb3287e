//! Rows that come along with a state: what is walked among them is what a walk of its own would have found.

use super::{make_postgres, postgres_url};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use store::conformance::kit::{Bench, PutExt as _, create, delete, key, puts, update};
use store::{
    Commit, Direction, Filter, FirstLook, IndexRow, KeyRange, Patience, Pred, Purge, Rid, Seq,
    Snapshot, StoreError,
};

const ESTIMATE: u64 = 40;

fn exact(value: &str) -> KeyRange {
    KeyRange::exact(&key(1, value))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap()
}

async fn looked(b: &Bench, range: &KeyRange, limit: usize) -> Snapshot {
    let look = FirstLook {
        range,
        limit,
        estimate: ESTIMATE,
    };
    let soon = b.store.snapshot_soon_at(b.open, &look).unwrap();
    soon.await.unwrap()
}

/// Under a limit that has run out: out of what came along, or not at all.
fn at_once<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Option<T> {
    match Patience::new(Duration::ZERO).hold(work) {
        Ok(found) => Some(found),
        Err(StoreError::TimedOut) => None,
        Err(error) => panic!("{error}"),
    }
}

/// `few` is one record's value, `many` that of eighty; some are changed, deleted, purged, of two values, of two persons.
fn filled(b: &Bench) {
    for n in 0..80u32 {
        let id = format!("r{n:02}");
        let put = create(b.open, "Basic", "1").id(&id).key(1, "many");
        let put = if n % 8 == 0 { put.key(1, "few") } else { put };
        b.put(put.person(n % 2));
    }
    for n in [3, 8, 9] {
        let id = format!("r{n:02}");
        b.put(update(b.open, "Basic", &id, "2").key(1, "many").person(1));
    }
    b.put(delete(b.open, "Basic", "r16"));
    b.commit(Commit {
        purge: vec![Purge {
            repo: b.open,
            rtype: "Basic".to_owned(),
            id: "r24".to_owned(),
        }],
        ..Commit::default()
    });
    // what the purge clears away is gone before anybody counts
    b.store.maintain().unwrap();
}

#[test]
fn rows_that_came_along_are_those_of_a_walk() {
    let Some(url) = postgres_url() else { return };
    let b = Bench::with(make_postgres(&url));
    filled(&b);
    let runtime = runtime();
    let one = Filter::all(Pred::Compartment(BTreeSet::from([b.key(1)])), []);
    let none = Filter::Closed;
    let grants = [b.all(), b.grant(one), b.grant(none)];
    let mut served = [0; 3];
    for (value, limit) in [
        ("many", 1),
        ("many", 21),
        ("few", 3),
        ("few", 21),
        ("nothing", 5),
    ] {
        let range = exact(value);
        let whole = b.now();
        // twice: the second time the engine knows whether they are many
        for _ in 0..2 {
            for (grant, served) in grants.iter().zip(&mut served) {
                for rid in [None, Some(Rid(0)), Some(Rid(30))] {
                    let after = rid.map(|rid| IndexRow {
                        value: value.into(),
                        rid,
                    });
                    let walk = |s: &Snapshot, after: Option<&IndexRow>, limit| {
                        let up = Direction::Ascending;
                        s.scan(grant, b.open, &range, up, after, limit)
                    };
                    let s = runtime.block_on(looked(&b, &range, limit));
                    let counted = at_once(|| s.estimate_up_to(b.open, &range, ESTIMATE));
                    let expected = whole.estimate_up_to(b.open, &range, ESTIMATE).unwrap();
                    assert!(counted.is_none_or(|n| n == expected), "{value}");
                    let expected = walk(&whole, after.as_ref(), limit).unwrap();
                    if let Some(found) = at_once(|| walk(&s, after.as_ref(), limit)) {
                        assert_eq!(found, expected, "{value} {limit} {after:?}");
                        *served += 1;
                        // what was met is told again, to each grant its own
                        let rids: Vec<Rid> = found.iter().map(|row| row.rid).collect();
                        let mut places = s.places(grant, &rids).unwrap();
                        places.sort_unstable();
                        let mut heads: Vec<(Rid, Seq)> = whole
                            .heads(grant, &rids)
                            .unwrap()
                            .iter()
                            .map(|h| (h.rid, h.seq))
                            .collect();
                        heads.sort_unstable();
                        assert_eq!(places, heads);
                        assert_eq!(s.places(&grants[2], &rids).unwrap(), []);
                    }
                    assert_eq!(walk(&s, after.as_ref(), limit).unwrap(), expected);
                    let all = s.range(grant, b.open, &range, 1_000).unwrap();
                    assert_eq!(all, whole.range(grant, b.open, &range, 1_000).unwrap());
                }
                let down = Direction::Descending;
                let s = runtime.block_on(looked(&b, &range, limit));
                assert_eq!(
                    s.scan(grant, b.open, &range, down, None, limit).unwrap(),
                    whole
                        .scan(grant, b.open, &range, down, None, limit)
                        .unwrap()
                );
            }
        }
    }
    assert!(served[0] > 0, "some walks asked nobody");
    assert_eq!(served[1], 0, "a walk for one person goes its own way");
}

#[test]
fn other_ranges_are_asked_for() {
    let Some(url) = postgres_url() else { return };
    let b = Bench::with(make_postgres(&url));
    filled(&b);
    let (few, many) = (exact("few"), exact("many"));
    let s = runtime().block_on(looked(&b, &few, 3));
    let walk = |range: &KeyRange| {
        let up = Direction::Ascending;
        s.scan(&b.all(), b.open, range, up, None, 5)
    };
    assert!(at_once(|| walk(&many)).is_none());
    assert!(at_once(|| s.estimate_up_to(b.open, &exact("nothing"), 1)).is_none());
    assert!(at_once(|| s.type_rids(&b.all(), b.open, "Basic", Rid(0), 5)).is_none());
    assert_eq!(walk(&many).unwrap().len(), 5);
    let reserved = KeyRange::whole(u32::MAX);
    let look = FirstLook {
        range: &reserved,
        limit: 1,
        estimate: 1,
    };
    assert!(b.store.snapshot_soon_at(b.open, &look).is_none());
    let huge = FirstLook {
        range: &many,
        limit: 100_000,
        estimate: 1,
    };
    assert!(b.store.snapshot_soon_at(b.open, &huge).is_none());
}

/// While records come, change and go: each walk shows one state, the one that its snapshot says it is.
#[test]
fn a_walk_among_changes_is_of_one_state() {
    let Some(url) = postgres_url() else { return };
    let b = Bench::with(make_postgres(&url));
    filled(&b);
    let done = AtomicBool::new(false);
    let runtime = runtime();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..60u32 {
                let (id, new) = (format!("r{:02}", n % 15), format!("n{n}"));
                let value = if n % 3 == 0 { "few" } else { "many" };
                b.commit(puts([
                    update(b.open, "Basic", &id, &new).key(1, value).person(1),
                    create(b.open, "Basic", "1").id(&new).key(1, "few"),
                ]));
            }
            done.store(true, Ordering::SeqCst);
        });
        let mut last = Seq(0);
        while !done.load(Ordering::SeqCst) {
            let (few, many) = (exact("few"), exact("many"));
            let all = b.all();
            let asked = [&few, &many, &few, &many].map(|range| looked(&b, range, 10));
            let snapshots = runtime.block_on(futures_util::future::join_all(asked));
            for (s, range) in snapshots.iter().zip([&few, &many, &few, &many]) {
                assert!(s.seq() >= last, "never an older state");
                let walk = |s: &Snapshot| {
                    let up = Direction::Ascending;
                    s.scan(&all, b.open, range, up, None, 10)
                };
                let expected = walk(&b.store.snapshot_at(s.seq()).unwrap()).unwrap();
                if let Some(found) = at_once(|| walk(s)) {
                    assert_eq!(found, expected);
                }
                assert_eq!(walk(s).unwrap(), expected);
            }
            last = snapshots.iter().map(|s| s.seq()).max().unwrap();
        }
    });
}
