//! What only PostgreSQL can show: several processes of the hub on one schema (here: several opened stores), connections
//! that break around a commit, a server that would not survive power loss.

use super::{make_postgres, postgres_url};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use store::conformance::kit::{
    Bench, PutExt as _, SYSTEM, create, message, messages, nin, person, puts, range, update,
};
use store::{
    Alias, Commit, CommitError, EngineConfig, Expect, KeyRange, Patience, Refusal, Rid, Seq,
    Settle, Settlement, Store, StoreConfig, StoreError, Vno,
};

/// Two stores on one schema, as two processes would have them.
fn pair(url: &str) -> (Bench, Bench) {
    let config = make_postgres(url);
    (Bench::with(config.clone()), Bench::with(config))
}

#[test]
fn two_processes_share_one_log() {
    let Some(url) = postgres_url() else { return };
    let (a, b) = pair(&url);
    assert_eq!(a.store.incarnation(), b.store.incarnation());
    const EACH: u32 = 100;
    std::thread::scope(|scope| {
        for (name, bench) in [("a", &a), ("b", &b)] {
            for t in 0..4 {
                scope.spawn(move || {
                    for i in 0..EACH {
                        let id = format!("{name}{t}-{i}");
                        let rtype = format!("Type{}", i % 7);
                        let put = create(bench.open, &rtype, &id)
                            .id(&id)
                            .key(1, &id)
                            .person(i);
                        bench.commit(puts([put]));
                    }
                });
            }
        }
    });
    let total = 8 * EACH as usize;
    for bench in [&a, &b] {
        let feed = bench.store.feed(Seq(0), 10_000).unwrap();
        assert_eq!(feed.len(), total);
        assert!(feed.iter().zip(1..).all(|(e, n)| e.seq.0 == n), "gapless");
        assert!(
            feed.windows(2).all(|w| w[0].at < w[1].at),
            "times rise over processes"
        );
        let rids = bench
            .now()
            .range(&bench.all(), bench.open, &KeyRange::whole(1), 10_000)
            .unwrap();
        assert_eq!(rids.len(), total);
        bench.store.verify_index().unwrap();
    }
    assert_eq!(a.key(5), b.key(5));
    let merge = Alias::Merge {
        from: person(1),
        to: person(2),
    };
    a.commit(Commit {
        alias: vec![merge],
        ..Commit::default()
    });
    let two = b.store.person(SYSTEM, &nin(2)).unwrap();
    assert_eq!(
        b.store.person(SYSTEM, &nin(1)).unwrap(),
        two,
        "seen at once by the other process"
    );
    let key = two.unwrap();
    let found = b
        .now()
        .compartment(&b.all(), b.open, &[key].into(), 999)
        .unwrap();
    assert_eq!(found.len(), 16);
}

#[test]
fn two_processes_race_for_everything() {
    let Some(url) = postgres_url() else { return };
    let (a, b) = pair(&url);
    a.put(create(a.open, "Basic", "0").id("x"));
    let won = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for i in 0..16u32 {
            let (bench, won) = (if i % 2 == 0 { &a } else { &b }, &won);
            scope.spawn(move || {
                for round in 1..=20u32 {
                    let expect = Expect::Version {
                        repo: bench.open,
                        rtype: "Basic".to_owned(),
                        id: "x".to_owned(),
                        vno: Vno(round),
                    };
                    let commit = Commit {
                        expect: vec![expect],
                        ..puts([update(bench.open, "Basic", "x", "y")])
                    };
                    match bench.store.commit(commit) {
                        Ok(_) => {
                            won.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(CommitError::Refused {
                            refusal: Refusal::Version { newest },
                            ..
                        }) => {
                            // wait until the round is decided for everybody
                            assert!(newest > Some(Vno(round)) || newest < Some(Vno(round)));
                            while bench
                                .now()
                                .read(&bench.all(), bench.open, "Basic", "x")
                                .unwrap()
                                .unwrap()
                                .head
                                .vno
                                .0
                                <= round
                            {
                                std::thread::yield_now();
                            }
                        }
                        Err(e) => panic!("{e}"),
                    }
                }
            });
        }
    });
    assert_eq!(won.load(Ordering::Relaxed), 20, "one winner a round");
    a.commit(messages((0..200).map(|i| message("q", &i.to_string()))));
    let seen = std::sync::Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for i in 0..6 {
            let (bench, seen) = (if i % 2 == 0 { &a } else { &b }, &seen);
            scope.spawn(move || {
                loop {
                    let got = bench.store.lease("q", 7, 60_000).unwrap();
                    if got.is_empty() {
                        return;
                    }
                    for lease in got {
                        assert!(seen.lock().unwrap().insert(lease.id), "leased twice");
                        let settle = Settle {
                            id: lease.id,
                            token: lease.token,
                            outcome: Settlement::Done,
                        };
                        bench.commit(Commit {
                            settle: vec![settle],
                            ..Commit::default()
                        });
                    }
                }
            });
        }
    });
    assert_eq!(seen.into_inner().unwrap().len(), 200);
}

#[test]
fn the_other_process_is_woken() {
    let Some(url) = postgres_url() else { return };
    let (a, b) = pair(&url);
    // the listener of b may still be connecting
    std::thread::sleep(Duration::from_millis(500));
    // Who is not woken looks again a second after he began to wait, 900 ms after the commit. A busy machine may be as
    // slow now and then, but not every time.
    let soon = Duration::from_millis(600);
    let is_woken = (0..20).any(|n| {
        let took = woken_after(&a, &b, Seq(n));
        took.iter().all(|t| *t < soon)
    });
    assert!(is_woken);
}

/// Time from a commit of `a` until `b` sees it in the feed and in a queue; `end`: the end of the feed before.
fn woken_after(a: &Bench, b: &Bench, end: Seq) -> [Duration; 2] {
    let wait = Duration::from_secs(60);
    std::thread::scope(|scope| {
        let feed = scope.spawn(|| (b.store.wait_feed(end, wait), Instant::now()));
        let queue = scope.spawn(|| {
            b.store.wait_queue(&["q".to_owned()], wait);
            let leased = b.store.lease("q", 1, 60_000).unwrap().len();
            (leased, Instant::now())
        });
        std::thread::sleep(Duration::from_millis(100));
        a.commit(Commit {
            enqueue: vec![message("q", "m")],
            ..puts([create(a.open, "Basic", "x")])
        });
        let sent = Instant::now();
        let (seen, feed) = feed.join().unwrap();
        assert_eq!(seen, Seq(end.0 + 1));
        let (leased, queue) = queue.join().unwrap();
        assert_eq!(leased, 1);
        [feed, queue].map(|at| at.saturating_duration_since(sent))
    })
}

/// Connections are cut at random moments under load: what was acknowledged is there once, what was answered
/// `Unavailable` is not there, and the outcome is known nearly always because the server is asked afterwards.
#[test]
fn broken_connections_lose_and_repeat_nothing() {
    let Some(url) = postgres_url() else { return };
    let b = Bench::with(make_postgres(&url));
    let EngineConfig::Postgres { schema, .. } = &b.config.engine else {
        panic!("postgres")
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (client, connection) = runtime
        .block_on(tokio_postgres::connect(&url, tokio_postgres::NoTls))
        .unwrap();
    runtime.spawn(connection);
    let (stop, acknowledged) = (AtomicBool::new(false), AtomicU32::new(0));
    let reconnects = || {
        let counters = b.store.counters();
        counters
            .into_iter()
            .find(|c| c.0 == "store_reconnects")
            .unwrap()
            .1
    };
    let outcomes: Vec<(String, Result<Seq, CommitError>)> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|t| {
                let (b, stop, acknowledged) = (&b, &stop, &acknowledged);
                scope.spawn(move || {
                    let mut all = Vec::new();
                    for i in 0.. {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let id = format!("w{t}-{i}");
                        let put = create(b.open, "Basic", &id).id(&id).key(1, &id);
                        let result = b.store.commit(puts([put])).map(|c| c.puts[0].seq);
                        acknowledged.fetch_add(u32::from(result.is_ok()), Ordering::Relaxed);
                        all.push((id, result));
                    }
                    all
                })
            })
            .collect();
        for cut in 0..2_000 {
            let is_enough = acknowledged.load(Ordering::Relaxed) > 100 && reconnects() > 0;
            if cut >= 25 && is_enough {
                break;
            }
            std::thread::sleep(Duration::from_millis(60));
            // only the connections of this schema's store: they have its name in their search path by now
            let sql = "SELECT count(pg_terminate_backend(a.pid)) FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid
                JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1";
            runtime.block_on(client.query(sql, &[schema])).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        writers
            .into_iter()
            .flat_map(|w| w.join().unwrap())
            .collect()
    });
    let (s, all) = (b.now(), b.all());
    let mut places = BTreeSet::new();
    for (id, outcome) in &outcomes {
        let there = s.read(&all, b.open, "Basic", id).unwrap();
        match outcome {
            Ok(seq) => {
                assert_eq!(there.expect("acknowledged").head.seq, *seq);
                assert!(places.insert(*seq), "once");
            }
            Err(CommitError::Unavailable(_)) => {
                assert!(there.is_none(), "{id} was said not to be there")
            }
            Err(CommitError::OutcomeUnknown(_)) => places.extend(there.map(|r| r.head.seq)),
            Err(e) => panic!("{e}"),
        }
    }
    assert_eq!(s.seq().0 as usize, places.len(), "and nothing else");
    let feed = b.store.feed(Seq(0), 100_000).unwrap();
    assert!(feed.iter().zip(1..).all(|(e, n)| e.seq.0 == n));
    b.store.verify_index().unwrap();
    assert!(acknowledged.into_inner() > 100);
    assert!(reconnects() > 0, "connections were cut");
}

/// Reads that go together answer everybody his own question, at no older state than the one asked for.
#[test]
fn many_readers_get_each_their_own() {
    let Some(url) = postgres_url() else { return };
    let b = Bench::with(make_postgres(&url));
    const READERS: u32 = 24;
    std::thread::scope(|scope| {
        for reader in 0..READERS {
            let b = &b;
            scope.spawn(move || {
                let all = b.all();
                let own = format!("r{reader}");
                for round in 1..=25u32 {
                    let body = format!("{own} {round}");
                    let put = match round {
                        1 => create(b.open, "Basic", &body).id(&own),
                        _ => update(b.open, "Basic", &own, &body),
                    };
                    let before = b.now();
                    let seq = b.put(put.key(1, &own)).seq;
                    let now = b.now();
                    assert!(now.seq() >= seq, "one's own commit is seen");
                    let read = |s: &store::Snapshot, id: &str| {
                        let found = s.read(&all, b.open, "Basic", id).unwrap();
                        found.map(|r| (r.head.vno, r.head.id, r.body))
                    };
                    let newest = (Vno(round), own.clone(), body.into());
                    assert_eq!(read(&now, &own), Some(newest));
                    assert_eq!(
                        read(&before, &own).map(|r| r.0),
                        (round > 1).then(|| Vno(round - 1)),
                        "a snapshot stays what it is"
                    );
                    assert_eq!(read(&now, "nobody"), None);
                    if let Some((_, id, body)) = read(&now, &format!("r{}", (reader + 1) % READERS))
                    {
                        assert!(body.starts_with(id.as_bytes()));
                    }
                }
            });
        }
    });
    b.store.verify_index().unwrap();
}

#[test]
fn refuses_what_would_not_survive_power_loss() {
    let Some(url) = postgres_url() else { return };
    let mut config: StoreConfig =
        make_postgres(&format!("{url} options='-c synchronous_commit=off'"));
    match Store::open(config.clone()) {
        Err(StoreError::CannotOpen(what)) => assert!(what.contains("synchronous_commit"), "{what}"),
        other => panic!("{other:?}"),
    }
    config.unsafe_no_sync = true;
    Store::open(config).unwrap();
    for schema in ["", "Upper", "a-b", "1a", "a;b"] {
        let config = StoreConfig::postgres(url.clone(), schema, Vec::new());
        assert!(
            matches!(Store::open(config), Err(StoreError::CannotOpen(_))),
            "{schema}"
        );
    }
    let nowhere = StoreConfig::postgres("host=127.0.0.1 port=1 user=nobody", "s", Vec::new());
    assert!(matches!(
        Store::open(nowhere),
        Err(StoreError::CannotOpen(_))
    ));
}

#[test]
fn a_large_range_is_estimated_and_walked_by_compartment() {
    let Some(url) = postgres_url() else { return };
    let b = Bench::with(make_postgres(&url));
    let mut writer = b.store.bulk_load(b.patient).unwrap();
    for i in 0..6_000u32 {
        let put = create(b.patient, "Observation", "x")
            .key(1, format!("{i:05}"))
            .key(2, "same");
        writer.put(put.person(i % 300)).unwrap();
    }
    writer.finish().unwrap();
    let s = b.now();
    let guess = s.estimate(b.patient, &KeyRange::whole(1)).unwrap();
    assert!((2_000..60_000).contains(&guess), "{guess}");
    let grant = b.grant(store::Filter::all(
        store::Pred::Compartment([b.key(7)].into()),
        [],
    ));
    assert_eq!(
        s.range(&grant, b.patient, &KeyRange::whole(2), 100)
            .unwrap()
            .len(),
        20
    );
    assert_eq!(
        s.range(&grant, b.patient, &range(1, "00000", "03000"), 100)
            .unwrap()
            .len(),
        10
    );
    let rows = s
        .scan(
            &grant,
            b.patient,
            &KeyRange::whole(1),
            store::Direction::Descending,
            None,
            3,
        )
        .unwrap();
    let values: Vec<String> = rows
        .iter()
        .map(|r| String::from_utf8(r.value.clone()).unwrap())
        .collect();
    assert_eq!(values, ["05707", "05407", "05107"]);
    assert_eq!(
        s.type_rids(&grant, b.patient, "Observation", Rid(0), 99)
            .unwrap()
            .len(),
        20
    );
}

/// A task is told the feed row and the record; the record is then read without waiting, or the read refuses.
#[test]
fn tasks_wait_like_threads() {
    let Some(url) = postgres_url() else { return };
    let b = Bench::with(make_postgres(&url));
    b.put(create(b.open, "Basic", "0").id("x"));
    let done = AtomicBool::new(false);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    std::thread::scope(|scope| {
        // Threads ask among the tasks, so the lead goes from the ones to the others.
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                let s = b.now();
                assert!(s.read(&b.all(), b.open, "Basic", "x").unwrap().is_some());
            }
        });
        scope.spawn(|| {
            for n in 1..=60u32 {
                b.put(update(b.open, "Basic", "x", &n.to_string()));
            }
            done.store(true, Ordering::SeqCst);
        });
        let tasks: Vec<_> = (0..32)
            .map(|task| {
                let (store, all, repo) = (b.store.clone(), b.all(), b.open);
                runtime.spawn(async move {
                    let (mut last, mut refused) = (Seq(0), 0);
                    for _ in 0..20 {
                        let missing = format!("nobody{task}");
                        let none = store.snapshot_soon(repo, "Basic", &missing).unwrap();
                        let none = none.await.unwrap();
                        let s = store.snapshot_soon(repo, "Basic", "x").unwrap();
                        let s = s.await.unwrap();
                        assert!(s.seq() >= last, "never an older state");
                        last = s.seq();
                        Patience::new(Duration::ZERO).hold(|| {
                            let found = none.read(&all, repo, "Basic", &missing);
                            assert!(matches!(found, Ok(None) | Err(StoreError::TimedOut)));
                            match s.read(&all, repo, "Basic", "x") {
                                Ok(read) => assert!(read.unwrap().head.seq <= last),
                                // changed between the row and the record: to be asked for again
                                Err(error) => {
                                    assert_eq!(error, StoreError::TimedOut);
                                    refused += 1;
                                }
                            }
                            let again = s.read(&all, repo, "Basic", "x");
                            assert_eq!(again.unwrap_err(), StoreError::TimedOut, "told once");
                        });
                    }
                    refused
                })
            })
            .collect();
        for task in tasks {
            assert!(runtime.block_on(task).unwrap() < 20, "hardly ever refused");
        }
    });
    assert!(b.store.snapshot_soon(b.open, "Unheard", "x").is_none());
}
