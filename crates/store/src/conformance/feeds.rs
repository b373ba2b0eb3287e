//! The feed: gapless, in order, consumed exactly once.

use super::Make;
use super::kit::*;
use crate::{
    Commit, CommitError, Expect, FeedEvent, KeyRange, Op, Position, Purge, Refusal, Rid, Seq, Vno,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub(super) fn gapless(make: Make<'_>) {
    let b = Bench::fresh(make);
    assert_eq!(b.store.feed(Seq(0), 9).unwrap(), []);
    let k1 = b.key(1);
    let done = b.commit(puts([
        create(b.patient, "Observation", "1").id("x").person(1),
        create(b.open, "Basic", "2").id("y"),
    ]));
    b.put(update(b.patient, "Observation", "x", "3").person(1));
    b.put(delete(b.open, "Basic", "y"));
    b.commit(Commit {
        raise: vec![person(1)],
        ..Commit::default()
    });
    b.commit(messages([message("q", "no place")]));
    b.commit(Commit {
        purge: vec![Purge {
            repo: b.patient,
            rtype: "Observation".to_owned(),
            id: "x".to_owned(),
        }],
        ..Commit::default()
    });
    let feed = b.store.feed(Seq(0), 99).unwrap();
    let got: Vec<_> = feed.iter().map(short).collect();
    let expected = [
        (1, 'c', "x"),
        (2, 'c', "y"),
        (3, 'u', "x"),
        (4, 'd', "y"),
        (5, 'e', "1"),
        (6, 'p', "x"),
    ]
    .map(|(n, c, id)| (n, c, id.to_owned()));
    assert_eq!(got, expected);
    assert_eq!(feed[1].at, done.at);
    let FeedEvent::Version {
        repo,
        rtype,
        rid,
        vno,
        op,
        persons,
        ..
    } = &feed[1].event
    else {
        panic!("a version")
    };
    assert_eq!(
        (*repo, rtype.as_str(), *rid),
        (b.open, "Basic", done.puts[1].rid)
    );
    assert_eq!((*vno, *op, persons.len()), (Vno(1), Op::Create, 0));
    let FeedEvent::Epoch { persons } = &feed[4].event else {
        panic!("an epoch")
    };
    assert_eq!(persons, &[k1]);
    assert_eq!(b.store.feed(Seq(2), 2).unwrap(), feed[2..4]);
    assert_eq!(b.store.feed(Seq(6), 9).unwrap(), []);
}

/// A projection under load: every version once, in order, with the position in the commit of the effect.
pub(super) fn exactly_once(make: Make<'_>) {
    let mut b = Bench::fresh(make);
    const WRITES: u64 = 150;
    for round in 0..2 {
        let finished = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for t in 0..3 {
                let b = &b;
                scope.spawn(move || {
                    for i in 0..WRITES / 3 {
                        let id = format!("s{round}-{t}-{i}");
                        b.put(create(b.open, "Source", "x").id(&id));
                    }
                });
            }
            let consumers: Vec<_> = (0..2)
                .map(|_| scope.spawn(|| consume(&b, WRITES * (round + 1), &finished)))
                .collect();
            for consumer in consumers {
                consumer.join().unwrap();
            }
        });
        b = b.reopen();
    }
    let (s, all) = (b.now(), b.all());
    let effects = s
        .type_rids(&all, b.internal, "Effect", Rid(0), 9_999)
        .unwrap();
    assert_eq!(effects.len() as u64, WRITES * 2, "one effect per source");
    let rows = s
        .range(&all, b.internal, &KeyRange::whole(1), 9_999)
        .unwrap();
    assert_eq!(rows, effects);
}

fn consume(b: &Bench, until: u64, finished: &AtomicBool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !finished.load(Ordering::Relaxed) {
        assert!(Instant::now() < deadline, "the consumers never get there");
        let at = b.store.position("p").unwrap();
        let Some(next) = b.store.feed(at, 1).unwrap().pop() else {
            b.store.wait_feed(at, Duration::from_millis(50));
            continue;
        };
        assert_eq!(next.seq.0, at.0 + 1, "never a gap, also while others write");
        let mut commit = Commit {
            expect: vec![Expect::Position {
                consumer: "p".to_owned(),
                at,
            }],
            position: vec![Position {
                consumer: "p".to_owned(),
                to: next.seq,
            }],
            ..Commit::default()
        };
        if let FeedEvent::Version { repo, id, .. } = &next.event
            && *repo == b.open
        {
            commit.put = vec![create(b.internal, "Effect", "x").id(id).key(1, id)];
        }
        match b.store.commit(commit) {
            Ok(_) => {}
            Err(CommitError::Refused { refusal, .. }) => {
                assert!(matches!(refusal, Refusal::Position { .. }), "{refusal:?}");
            }
            Err(e) => panic!("{e}"),
        }
        let s = b.now();
        let effects = s
            .type_rids(&b.all(), b.internal, "Effect", Rid(0), 9_999)
            .unwrap();
        if effects.len() as u64 >= until {
            finished.store(true, Ordering::Relaxed);
        }
    }
}

/// A wait that only somebody who is not woken waits out, however slow the machine is.
const LONG: Duration = Duration::from_secs(120);

pub(super) fn wait(make: Make<'_>) {
    let b = Bench::fresh(make);
    let end = b.store.wait_feed(Seq(0), Duration::from_millis(50));
    assert_eq!(end, Seq(0));
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let deadline = Instant::now() + LONG * 2;
            while Instant::now() < deadline {
                let end = b.store.wait_feed(Seq(0), LONG);
                if end > Seq(0) {
                    return (end, Instant::now());
                }
            }
            panic!("never woken")
        });
        std::thread::sleep(Duration::from_millis(200));
        let sent = Instant::now();
        b.put(create(b.open, "Basic", "x"));
        let (end, got) = waiter.join().unwrap();
        assert_eq!(end, Seq(1));
        let took = got.saturating_duration_since(sent);
        assert!(took < LONG / 2, "{took:?}");
        assert_eq!(b.store.feed(Seq(0), 9).unwrap().len(), 1);
    });
}
