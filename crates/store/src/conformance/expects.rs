//! Expectations: each kind, in order, against the store and inside one batch.

use super::Make;
use super::kit::*;
use crate::{
    Claim, Commit, CommitError, Expect, Filter, Op, Position, Pred, Refusal, Seq, Settle,
    Settlement, Vno,
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn expecting(expect: Vec<Expect>) -> Commit {
    Commit {
        expect,
        ..Commit::default()
    }
}

fn claim(key: &str, value: &str) -> Claim {
    Claim {
        space: "s".to_owned(),
        key: key.as_bytes().to_vec(),
        value: value.as_bytes().to_vec(),
        until: None,
    }
}

fn held(key: &str, value: Option<&str>, release: bool) -> Expect {
    Expect::ClaimHeld {
        space: "s".to_owned(),
        key: key.as_bytes().to_vec(),
        value: value.map(|v| v.as_bytes().to_vec()),
        release,
    }
}

fn now_micros() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_micros()).unwrap()
}

fn versioned(b: &Bench, id: &str, vno: u32) -> Expect {
    Expect::Version {
        repo: b.open,
        rtype: "Basic".to_owned(),
        id: id.to_owned(),
        vno: Vno(vno),
    }
}

fn absent_of(b: &Bench, id: &str) -> Expect {
    Expect::Absent {
        repo: b.open,
        rtype: "Basic".to_owned(),
        id: id.to_owned(),
    }
}

pub(super) fn version(make: Make<'_>) {
    let b = Bench::fresh(make);
    let none = (0, Refusal::Version { newest: None });
    assert_eq!(b.refused(expecting(vec![versioned(&b, "x", 1)])), none);
    b.put(create(b.open, "Basic", "1").id("x"));
    b.commit(expecting(vec![versioned(&b, "x", 1)]));
    b.put(update(b.open, "Basic", "x", "2"));
    let newest = Some(Vno(2));
    for wrong in [1, 3] {
        let got = b.refused(expecting(vec![versioned(&b, "x", wrong)]));
        assert_eq!(got, (0, Refusal::Version { newest }));
    }
    b.put(delete(b.open, "Basic", "x"));
    for any in [2, 3] {
        assert_eq!(b.refused(expecting(vec![versioned(&b, "x", any)])), none);
    }
}

pub(super) fn absent(make: Make<'_>) {
    let b = Bench::fresh(make);
    b.commit(expecting(vec![absent_of(&b, "x")]));
    b.put(create(b.open, "Basic", "1").id("x"));
    let got = b.refused(expecting(vec![absent_of(&b, "other"), absent_of(&b, "x")]));
    assert_eq!(got, (1, Refusal::Exists));
    b.put(delete(b.open, "Basic", "x"));
    b.commit(expecting(vec![absent_of(&b, "x")]));
}

pub(super) fn no_match(make: Make<'_>) {
    let b = Bench::fresh(make);
    let search = |keys: &[(u32, &str)], org: Option<&str>, filter: Filter| {
        expecting(vec![Expect::NoMatch {
            repo: b.open,
            keys: keys.iter().map(|(p, v)| key(*p, v)).collect(),
            author_org: org.map(str::to_owned),
            filter,
        }])
    };
    b.commit(search(&[(1, "a")], None, Filter::Open));
    let put = |id: &str, org: &str, class: u16| {
        create(b.open, "Basic", id).id(id).privacy(|p| {
            p.author_org = Some(org.to_owned());
            p.class = class;
        })
    };
    b.put(put("x", "1", 5).key(1, "a").key(2, "b").key(1, "c"));
    b.put(put("y", "2", 6).key(1, "a").key(2, "z"));
    let ids_of = |commit: Commit| match b.refused(commit) {
        (0, Refusal::Match { mut ids }) => {
            ids.sort();
            ids
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(ids_of(search(&[(1, "a")], None, Filter::Open)), ["x", "y"]);
    assert_eq!(
        ids_of(search(&[(1, "a"), (2, "b")], None, Filter::Open)),
        ["x"]
    );
    assert_eq!(
        ids_of(search(&[(1, "a"), (1, "c")], None, Filter::Open)),
        ["x"]
    );
    assert_eq!(ids_of(search(&[(1, "a")], Some("2"), Filter::Open)), ["y"]);
    b.commit(search(&[(1, "a")], Some("3"), Filter::Open));
    b.commit(search(&[(2, "a")], None, Filter::Open));
    b.commit(search(&[(1, "a"), (2, "q")], None, Filter::Open));
    b.commit(search(&[(1, "a"), (1, "c"), (2, "z")], None, Filter::Open));
    b.commit(search(&[(1, "a")], None, Filter::Closed));
    let class5 = Filter::all(Pred::ClassIn([5].into()), []);
    assert_eq!(ids_of(search(&[(1, "a")], None, class5)), ["x"]);
    let class7 = Filter::all(Pred::ClassIn([7].into()), []);
    b.commit(search(&[(1, "a")], None, class7));
    b.put(put("z", "3", 6).key(1, "a"));
    let got = ids_of(search(&[(1, "a")], None, Filter::Open));
    assert_eq!(got.len(), 2, "at most two are named");
    for id in ["x", "z"] {
        b.put(delete(b.open, "Basic", id));
    }
    b.put(update(b.open, "Basic", "y", "no keys now"));
    b.commit(search(&[(1, "a")], None, Filter::Open));
}

pub(super) fn no_match_race(make: Make<'_>) {
    let b = Bench::fresh(make);
    for round in 0..5 {
        let value = format!("round{round}");
        let conditional = |value: &str| Commit {
            expect: vec![Expect::NoMatch {
                repo: b.open,
                keys: vec![key(1, value)],
                author_org: None,
                filter: Filter::Open,
            }],
            put: vec![create(b.open, "Basic", "x").key(1, value)],
            ..Commit::default()
        };
        let pending: Vec<_> = (0..64)
            .map(|_| b.store.submit(conditional(&value)))
            .collect();
        let results: Vec<_> = pending.into_iter().map(crate::Pending::wait).collect();
        let made: Vec<_> = results.iter().filter_map(|r| r.as_ref().ok()).collect();
        assert_eq!(made.len(), 1, "racing conditional creates make one record");
        for result in &results {
            if let Err(e) = result {
                let ids = vec![made[0].puts[0].id.clone()];
                let refusal = Refusal::Match { ids };
                assert_eq!(*e, CommitError::Refused { index: 0, refusal });
            }
        }
    }
    let swap = [
        b.store
            .submit(puts([create(b.open, "Basic", "x").id("k").key(9, "k")])),
        b.store
            .submit(puts([update(b.open, "Basic", "k", "x").key(9, "l")])),
        b.store.submit(Commit {
            expect: vec![Expect::NoMatch {
                repo: b.open,
                keys: vec![key(9, "k")],
                author_org: None,
                filter: Filter::Open,
            }],
            ..puts([create(b.open, "Basic", "x").key(9, "k")])
        }),
    ];
    for pending in swap {
        pending.wait().expect("the batch's own changes count");
    }
}

pub(super) fn claims(make: Make<'_>) {
    let b = Bench::fresh(make);
    let missing = (0, Refusal::ClaimMissing);
    assert_eq!(b.refused(expecting(vec![held("k", None, false)])), missing);
    b.commit(expecting(vec![Expect::Claim(claim("k", "1"))]));
    let value = b"1".to_vec();
    let taken = (0, Refusal::ClaimTaken { value });
    assert_eq!(
        b.refused(expecting(vec![Expect::Claim(claim("k", "2"))])),
        taken
    );
    let mut elsewhere = claim("k", "2");
    elsewhere.space = "t".to_owned();
    b.commit(expecting(vec![Expect::Claim(elsewhere)]));
    assert_eq!(
        b.refused(expecting(vec![held("k", Some("2"), true)])),
        missing
    );
    b.commit(expecting(vec![held("k", Some("1"), false)]));
    assert_eq!(b.now().claim("s", b"k").unwrap(), Some(b"1".to_vec()));
    b.commit(expecting(vec![
        held("k", Some("1"), true),
        Expect::Claim(claim("k", "new")),
    ]));
    assert_eq!(b.now().claim("s", b"k").unwrap(), Some(b"new".to_vec()));
    b.commit(expecting(vec![held("k", None, true)]));
    assert_eq!(b.now().claim("s", b"k").unwrap(), None);
    assert_eq!(b.refused(expecting(vec![held("k", None, true)])), missing);
    assert_eq!(b.now().claim("t", b"k").unwrap(), Some(b"2".to_vec()));
}

pub(super) fn claim_expiry(make: Make<'_>) {
    let b = Bench::fresh(make);
    let mut span_us = 300_000;
    // A machine that needs longer than the span for this gets a longer one.
    loop {
        let mut short = claim("k", "1");
        let until = now_micros() + span_us;
        short.until = Some(until);
        b.commit(expecting(vec![Expect::Claim(short)]));
        match b.now().claim("s", b"k").unwrap() {
            Some(value) => {
                assert_eq!(value, b"1");
                break;
            }
            None => assert!(now_micros() >= until, "gone before its time"),
        }
        span_us *= 10;
    }
    let left = u64::try_from(span_us + 100_000).unwrap();
    std::thread::sleep(Duration::from_micros(left));
    assert_eq!(b.now().claim("s", b"k").unwrap(), None, "expired");
    let missing = (0, Refusal::ClaimMissing);
    assert_eq!(b.refused(expecting(vec![held("k", None, false)])), missing);
    b.commit(expecting(vec![Expect::Claim(claim("k", "2"))]));
    b.store.maintain().unwrap();
    assert_eq!(b.now().claim("s", b"k").unwrap(), Some(b"2".to_vec()));
}

pub(super) fn claim_race(make: Make<'_>) {
    let b = Bench::fresh(make);
    let take = |i: u32| Commit {
        expect: vec![Expect::Claim(claim("code", &i.to_string()))],
        ..puts([create(b.open, "Basic", "x").id(&format!("r{i}"))])
    };
    let pending: Vec<_> = (0..64).map(|i| b.store.submit(take(i))).collect();
    let results: Vec<_> = pending.into_iter().map(crate::Pending::wait).collect();
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 1);
    assert_eq!(b.now().seq(), Seq(1));
    let release: Vec<_> = (0..64)
        .map(|_| b.store.submit(expecting(vec![held("code", None, true)])))
        .collect();
    let used = release.into_iter().filter_map(|p| p.wait().ok()).count();
    assert_eq!(used, 1, "a code is used once");
}

pub(super) fn position(make: Make<'_>) {
    let b = Bench::fresh(make);
    let step = |at: u64, to: u64| Commit {
        expect: vec![Expect::Position {
            consumer: "c".to_owned(),
            at: Seq(at),
        }],
        position: vec![Position {
            consumer: "c".to_owned(),
            to: Seq(to),
        }],
        ..Commit::default()
    };
    b.commit(step(0, 5));
    assert_eq!(b.store.position("c").unwrap(), Seq(5));
    assert_eq!(b.refused(step(0, 9)), (0, Refusal::Position { at: Seq(5) }));
    b.commit(step(5, 6));
    assert_eq!(b.store.position("c").unwrap(), Seq(6));
    let pending: Vec<_> = (0..32).map(|_| b.store.submit(step(6, 7))).collect();
    let won = pending.into_iter().filter_map(|p| p.wait().ok()).count();
    assert_eq!(won, 1, "also inside one batch");
}

pub(super) fn implied(make: Make<'_>) {
    let b = Bench::fresh(make);
    b.put(create(b.open, "Basic", "1").id("x"));
    let two = Commit {
        expect: vec![absent_of(&b, "y"), absent_of(&b, "z")],
        ..puts([create(b.open, "Basic", "2").id("x")])
    };
    let (index, refusal) = b.refused(two);
    assert!(index >= 2, "conditions of puts come after the expectations");
    assert_eq!(refusal, Refusal::Exists);
    let none = Refusal::Version { newest: None };
    let (_, refusal) = b.refused(puts([delete(b.open, "Basic", "unknown")]));
    assert_eq!(refusal, none);
    b.put(delete(b.open, "Basic", "x"));
    let (_, refusal) = b.refused(puts([delete(b.open, "Basic", "x")]));
    assert_eq!(refusal, none);
    let again = b.put(create(b.open, "Basic", "3").id("x"));
    assert_eq!(again.vno, Vno(3));
    let made = b.put(update(b.open, "Basic", "fresh", "1"));
    assert_eq!(made.vno, Vno(1));
    let head = b.now().heads(&b.all(), &[made.rid]).unwrap().remove(0);
    assert_eq!(head.op, Op::Create, "an update that creates is a creation");
    let new = create(b.open, "Basic", "1").op(Op::Update);
    assert!(b.store.commit(puts([new])).is_err());
    let lost = Commit {
        settle: vec![Settle {
            id: crate::QueueMessageId(12_345),
            token: 1,
            outcome: Settlement::Done,
        }],
        ..puts([create(b.open, "Basic", "no").id("no")])
    };
    assert_eq!(b.refused(lost).1, Refusal::LeaseLost);
    assert!(
        b.now()
            .read(&b.all(), b.open, "Basic", "no")
            .unwrap()
            .is_none()
    );
}

pub(super) fn first_refusal(make: Make<'_>) {
    let b = Bench::fresh(make);
    b.put(create(b.open, "Basic", "1").id("x"));
    b.commit(expecting(vec![Expect::Claim(claim("k", "1"))]));
    let commit = expecting(vec![
        absent_of(&b, "free"),
        versioned(&b, "x", 1),
        Expect::Claim(claim("k", "2")),
        absent_of(&b, "x"),
    ]);
    let value = b"1".to_vec();
    assert_eq!(b.refused(commit), (2, Refusal::ClaimTaken { value }));
}

pub(super) fn version_race(make: Make<'_>) {
    let b = Bench::fresh(make);
    b.put(create(b.open, "Basic", "0").id("x"));
    for round in 1..=10u32 {
        let change = |i: u32| Commit {
            expect: vec![versioned(&b, "x", round)],
            ..puts([update(b.open, "Basic", "x", &format!("{round}-{i}"))])
        };
        let pending: Vec<_> = (0..32).map(|i| b.store.submit(change(i))).collect();
        let results: Vec<_> = pending.into_iter().map(crate::Pending::wait).collect();
        assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 1);
        let newest = Some(Vno(round + 1));
        let refusal = Refusal::Version { newest };
        for e in results.into_iter().filter_map(Result::err) {
            let refusal = refusal.clone();
            assert_eq!(e, CommitError::Refused { index: 0, refusal });
        }
    }
    let history = b.now().read(&b.all(), b.open, "Basic", "x").unwrap();
    assert_eq!(history.unwrap().head.vno, Vno(11));
}
