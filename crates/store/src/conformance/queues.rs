//! Queues: order, leases, timers, expiry, dead letters, effects.

use super::Make;
use super::kit::*;
use crate::{
    Commit, CommitError, Enqueue, Expect, Leased, QueueMessageId, QueueStats, Refusal, Seq, Settle,
    Settlement,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const MINUTE: u64 = 60_000;
/// A wait that only somebody who is not woken waits out, however slow the machine is.
const LONG: Duration = Duration::from_secs(120);

fn settle(lease: &Leased, outcome: Settlement) -> Commit {
    Commit {
        settle: vec![Settle {
            id: lease.id,
            token: lease.token,
            outcome,
        }],
        ..Commit::default()
    }
}

fn in_ms(ms: i64) -> Option<i64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Some(i64::try_from(now.as_micros()).unwrap() + ms * 1_000)
}

fn sleep(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// What must be done within a span of time, tried with longer spans where the machine was too slow for a shorter one.
fn in_time<T>(attempt: impl Fn(u64) -> (T, bool)) -> T {
    for span_ms in [300, 3_000, 30_000] {
        let began = Instant::now();
        let (out, is_done) = attempt(span_ms);
        if is_done {
            return out;
        }
        let took = began.elapsed();
        assert!(
            took >= Duration::from_millis(span_ms),
            "lost after {took:?}"
        );
    }
    panic!("not done in 30 s")
}

fn one(b: &Bench, queue: &str, lease_ms: u64) -> Leased {
    let mut got = b.store.lease(queue, 1, lease_ms).unwrap();
    got.pop().expect("a message to lease")
}

fn bodies(list: &[Leased]) -> Vec<String> {
    list.iter()
        .map(|l| String::from_utf8(l.body.to_vec()).unwrap())
        .collect()
}

fn stats(b: &Bench, queue: &str) -> (u64, u64, u64, u64) {
    let s: QueueStats = b.store.queue_stats(queue).unwrap();
    (s.ready, s.delayed, s.leased, s.dead)
}

pub(super) fn order_and_settle(make: Make<'_>) {
    let b = Bench::fresh(make);
    let done = b.commit(messages([
        message("q", "0"),
        message("q", "1"),
        message("other", "x"),
        message("q", "2"),
    ]));
    assert_eq!(done.messages.len(), 4);
    let distinct: BTreeSet<QueueMessageId> = done.messages.iter().copied().collect();
    assert_eq!(distinct.len(), 4);
    for i in 3..6 {
        b.commit(messages([message("q", &i.to_string())]));
    }
    let expected = ["0", "1", "2", "3", "4", "5"];
    let peeked = b.store.peek("q", 99).unwrap();
    assert_eq!(bodies(&peeked), expected);
    assert_eq!(stats(&b, "q"), (6, 0, 0, 0));
    let first = b.store.lease("q", 4, MINUTE).unwrap();
    assert_eq!(bodies(&first), expected[..4], "oldest first");
    assert_eq!(first[0].id, done.messages[0]);
    assert_eq!(first[0].queue, "q");
    assert_eq!(first[0].headers.as_ref(), b"{\"h\":1}");
    assert_eq!(first[0].enqueued_at, done.at);
    assert!(first.iter().all(|l| l.deliveries == 1));
    assert_eq!(stats(&b, "q"), (2, 0, 4, 0));
    let rest = b.store.lease("q", 99, MINUTE).unwrap();
    assert_eq!(bodies(&rest), expected[4..]);
    assert!(b.store.lease("q", 99, MINUTE).unwrap().is_empty());
    b.commit(settle(&first[1], Settlement::Release { due_at: None }));
    b.commit(settle(&first[0], Settlement::Done));
    let again = one(&b, "q", MINUTE);
    assert_eq!((again.id, again.deliveries), (first[1].id, 2));
    assert_ne!(again.token, first[1].token);
    for lease in rest.iter().chain(&first[2..]).chain([&again]) {
        b.commit(settle(lease, Settlement::Done));
    }
    assert_eq!(stats(&b, "q"), (0, 0, 0, 0));
    assert_eq!(b.store.queues("", 99).unwrap(), ["other"]);
    assert_eq!(b.store.queues("x", 99).unwrap(), [""; 0]);
    assert_eq!(b.now().seq(), Seq(0), "messages take no place in the log");
}

pub(super) fn lease_lost(make: Make<'_>) {
    let b = Bench::fresh(make);
    b.commit(messages([message("q", "m")]));
    let first = in_time(|span_ms| {
        let lease = one(&b, "q", span_ms);
        let renewed = b.store.renew(lease.id, lease.token, MINUTE).unwrap();
        (lease, renewed)
    });
    sleep(350);
    assert!(b.store.lease("q", 1, MINUTE).unwrap().is_empty(), "renewed");
    let deliveries = first.deliveries;
    assert!(!b.store.renew(first.id, first.token + 1, 1).unwrap());
    assert!(b.store.renew(first.id, first.token, 1).unwrap());
    sleep(100);
    let lost = (0, Refusal::LeaseLost);
    let done = settle(&first, Settlement::Done);
    let late = b.refused(done.clone());
    assert_eq!(
        late, lost,
        "an expired lease is lost even if nobody took it"
    );
    assert!(!b.store.renew(first.id, first.token, MINUTE).unwrap());
    let second = one(&b, "q", MINUTE);
    assert_eq!((second.id, second.deliveries), (first.id, deliveries + 1));
    assert_eq!(b.refused(done), lost);
    let held = |lease: &Leased| Commit {
        expect: vec![Expect::Lease {
            message: lease.id,
            token: lease.token,
        }],
        ..Commit::default()
    };
    assert_eq!(b.refused(held(&first)), lost);
    b.commit(held(&second));
    b.commit(settle(&second, Settlement::Done));
    assert_eq!(b.refused(held(&second)), lost);
    assert_eq!(b.refused(settle(&second, Settlement::Done)), lost);
}

pub(super) fn timers(make: Make<'_>) {
    let b = Bench::fresh(make);
    let timer = |due_at: Option<i64>, body: &str| Enqueue {
        due_at,
        ..message("t", body)
    };
    b.commit(messages([
        timer(in_ms(600_000), "not today"),
        timer(in_ms(-60_000), "past"),
        message("t", "now"),
    ]));
    assert_eq!(stats(&b, "t"), (2, 1, 0, 0));
    let got = b.store.lease("t", 9, MINUTE).unwrap();
    assert_eq!(bodies(&got), ["past", "now"], "by due time");
    assert!(b.store.lease("t", 9, MINUTE).unwrap().is_empty());
    let soon = in_ms(100).unwrap();
    let later = |ms: i64| Some(soon + ms * 1_000);
    b.commit(messages([
        timer(later(300), "late"),
        timer(later(0), "early"),
    ]));
    let due_at = later(150);
    b.commit(settle(&got[1], Settlement::Release { due_at }));
    sleep(600);
    let got = b.store.lease("t", 9, MINUTE).unwrap();
    assert_eq!(bodies(&got), ["early", "now", "late"]);
}

pub(super) fn expiry(make: Make<'_>) {
    let b = Bench::fresh(make);
    let short = Enqueue {
        expires_at: in_ms(300),
        ..message("q", "short")
    };
    b.commit(messages([short.clone(), message("q", "stays")]));
    sleep(400);
    let got = b.store.lease("q", 9, MINUTE).unwrap();
    assert_eq!(
        bodies(&got),
        ["stays"],
        "an expired message is not delivered"
    );
    b.store.maintain().unwrap();
    let dead = b.store.dead_letters("q", 9).unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].reason, "expired");
    assert_eq!(dead[0].body.as_ref(), b"short");
    assert_eq!(dead[0].queue, "q");
    assert_eq!(stats(&b, "q"), (0, 0, 1, 1));
}

pub(super) fn dead_letters(make: Make<'_>) {
    let b = Bench::fresh(make);
    let limited = Enqueue {
        max_deliveries: 2,
        ..message("q", "poison")
    };
    b.commit(messages([limited, message("q", "refused")]));
    let got = b.store.lease("q", 2, MINUTE).unwrap();
    let release = Settlement::Release { due_at: None };
    b.commit(settle(&got[0], release.clone()));
    let reason = "not understood".to_owned();
    b.commit(settle(&got[1], Settlement::DeadLetter { reason }));
    let second = one(&b, "q", MINUTE);
    assert_eq!(second.deliveries, 2);
    b.commit(settle(&second, release));
    assert!(b.store.lease("q", 9, MINUTE).unwrap().is_empty());
    b.store.maintain().unwrap();
    let dead = b.store.dead_letters("q", 9).unwrap();
    let reasons: Vec<&str> = dead.iter().map(|d| d.reason.as_str()).collect();
    assert_eq!(reasons, ["max-delivery", "not understood"], "newest first");
    assert_eq!(dead[0].deliveries, 2);
    assert_eq!(dead[0].headers.as_ref(), b"{\"h\":1}");
    assert_eq!(stats(&b, "q"), (0, 0, 0, 2));
    assert_eq!(
        b.store.queues("q", 9).unwrap(),
        ["q"],
        "it still holds something"
    );
    assert_eq!(b.store.dead_letters("q", 1).unwrap().len(), 1);
    let b = b.reopen();
    assert!(b.store.revive(dead[0].id).unwrap());
    assert!(!b.store.revive(dead[0].id).unwrap());
    let back = one(&b, "q", MINUTE);
    assert_eq!((back.id, back.deliveries), (dead[0].id, 1), "a new life");
    assert_eq!(back.body.as_ref(), b"poison");
    assert_eq!(stats(&b, "q"), (0, 0, 1, 1));
}

/// Settling in the commit of the effect: exactly one effect, whatever is repeated.
pub(super) fn settle_with_effect(make: Make<'_>) {
    let b = Bench::fresh(make);
    b.commit(messages([message("in", "m")]));
    let lease = one(&b, "in", MINUTE);
    let effect = Commit {
        enqueue: vec![message("out", "answer")],
        settle: settle(&lease, Settlement::Done).settle,
        ..puts([create(b.open, "Basic", "effect")])
    };
    let pending: Vec<_> = (0..16).map(|_| b.store.submit(effect.clone())).collect();
    let results: Vec<_> = pending.into_iter().map(crate::Pending::wait).collect();
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 1);
    for e in results.into_iter().filter_map(Result::err) {
        let CommitError::Refused { refusal, .. } = e else {
            panic!("{e:?}")
        };
        assert_eq!(refusal, Refusal::LeaseLost);
    }
    assert_eq!(b.now().seq(), Seq(1));
    assert_eq!(stats(&b, "in"), (0, 0, 0, 0));
    assert_eq!(stats(&b, "out"), (1, 0, 0, 0));
    b.commit(messages([message("in", "n")]));
    let lease = one(&b, "in", MINUTE);
    let refused = Commit {
        expect: vec![Expect::Position {
            consumer: "c".to_owned(),
            at: Seq(5),
        }],
        settle: settle(&lease, Settlement::Done).settle,
        ..Commit::default()
    };
    assert_eq!(b.refused(refused).1, Refusal::Position { at: Seq(0) });
    b.commit(settle(&lease, Settlement::Done));
}

pub(super) fn many_consumers(make: Make<'_>) {
    let b = Bench::fresh(make);
    const COUNT: usize = 300;
    b.commit(messages((0..COUNT).map(|i| message("q", &i.to_string()))));
    let effects: Mutex<BTreeMap<QueueMessageId, u32>> = Mutex::default();
    std::thread::scope(|scope| {
        for t in 0..8 {
            let (b, effects) = (&b, &effects);
            scope.spawn(move || {
                let deadline = Instant::now() + Duration::from_secs(60);
                let mut turn = t;
                while b.store.queue_stats("q").unwrap() != QueueStats::default() {
                    assert!(Instant::now() < deadline, "the queue is never emptied");
                    for lease in b.store.lease("q", 5, MINUTE).unwrap() {
                        turn += 1;
                        let outcome = if turn % 7 == 0 {
                            Settlement::Release { due_at: None }
                        } else {
                            Settlement::Done
                        };
                        let done = outcome == Settlement::Done;
                        b.store.commit(settle(&lease, outcome)).expect("still held");
                        if done {
                            *effects.lock().unwrap().entry(lease.id).or_default() += 1;
                        }
                    }
                }
            });
        }
    });
    let effects = effects.into_inner().unwrap();
    assert_eq!(effects.len(), COUNT);
    assert!(effects.values().all(|n| *n == 1), "each once");
}

pub(super) fn wait(make: Make<'_>) {
    let b = Bench::fresh(make);
    let queues = ["a".to_owned(), "b".to_owned()];
    b.store.wait_queue(&queues, Duration::from_millis(100));
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let deadline = Instant::now() + LONG * 2;
            while Instant::now() < deadline {
                if let Some(lease) = b.store.lease("b", 1, MINUTE).unwrap().pop() {
                    return Some((lease, Instant::now()));
                }
                b.store.wait_queue(&queues, LONG);
            }
            None
        });
        sleep(200);
        let sent = Instant::now();
        b.commit(messages([message("b", "m")]));
        let (_, got) = waiter.join().unwrap().expect("it woke up");
        let took = got.saturating_duration_since(sent);
        assert!(took < LONG / 2, "woken by the message: {took:?}");
        let timer = Enqueue {
            due_at: in_ms(400),
            ..message("a", "t")
        };
        b.commit(messages([timer]));
        let started = Instant::now();
        while b.store.lease("a", 1, MINUTE).unwrap().is_empty() {
            assert!(started.elapsed() < LONG / 2, "woken by the timer");
            b.store.wait_queue(&queues, LONG);
        }
    });
}

/// Payloads of every size come back as they were: leased, released, after a restart, as dead letters, put back.
pub(super) fn payloads(make: Make<'_>) {
    let b = Bench::fresh(make);
    let sizes = [0, 1, 1_023, 1_024, 1_025, 10_240, 70_000, 3_000_000];
    let payload = |n: usize| -> Vec<u8> {
        let size = sizes.get(n % sizes.len()).copied().unwrap_or(0);
        (0..size).map(|i| ((i * 31 + n) % 251) as u8).collect()
    };
    let sent: Vec<Vec<u8>> = (0..3 * sizes.len()).map(payload).collect();
    for some in sent.chunks(5) {
        b.commit(messages(some.iter().map(|body| Enqueue {
            body: body.clone().into(),
            ..message("q", "")
        })));
    }
    let bodies =
        |leased: &[Leased]| -> Vec<Vec<u8>> { leased.iter().map(|l| l.body.to_vec()).collect() };
    let first = b.store.lease("q", 99, MINUTE).unwrap();
    assert!(bodies(&first) == sent, "leased");
    // A third is taken, a third given back, a third dies.
    for (n, lease) in first.iter().enumerate() {
        let outcome = match n % 3 {
            0 => Settlement::Done,
            1 => Settlement::Release { due_at: None },
            _ => Settlement::DeadLetter {
                reason: "dead".to_owned(),
            },
        };
        b.commit(settle(lease, outcome));
    }
    let kept = |rest: usize| -> Vec<Vec<u8>> {
        let all = sent.iter().enumerate();
        let some = all.filter(|(n, _)| n % 3 == rest);
        some.map(|(_, body)| body.clone()).collect()
    };
    b.store.maintain().unwrap();
    let b = b.reopen();
    assert!(
        bodies(&b.store.peek("q", 99).unwrap()) == kept(1),
        "looked at"
    );
    let mut dead = b.store.dead_letters("q", 99).unwrap();
    dead.sort_by_key(|letter| letter.id);
    let dead_bodies: Vec<Vec<u8>> = dead.iter().map(|l| l.body.to_vec()).collect();
    assert!(dead_bodies == kept(2), "dead");
    for letter in &dead {
        assert!(b.store.revive(letter.id).unwrap());
    }
    let mut again = b.store.lease("q", 99, MINUTE).unwrap();
    again.sort_by_key(|lease| lease.id);
    let mut expected: Vec<Vec<u8>> = Vec::new();
    for (n, body) in sent.iter().enumerate() {
        if n % 3 != 0 {
            expected.push(body.clone());
        }
    }
    assert!(bodies(&again) == expected, "put back");
    for lease in &again {
        b.commit(settle(lease, Settlement::Done));
    }
    assert_eq!(b.store.queue_stats("q").unwrap(), QueueStats::default());
}
