//! The rules of a commit on values alone.

use super::*;
use crate::{Claim, Enqueue, Purge, QueueMessageId};

fn world() -> World {
    let clock = Clock {
        now: 1_000,
        person: 9,
        ..Clock::default()
    };
    World {
        clock,
        ..World::default()
    }
}

fn put(id: &str, op: Op) -> Commit {
    let put = Put {
        repo: RepoId(1),
        rtype: "Basic".to_owned(),
        id: PutId::Given(id.to_owned()),
        op,
        body: bytes::Bytes::from_static(b"x"),
        keys: vec![IndexKey {
            param: 1,
            value: id.into(),
        }],
        pack: 1,
        persons: vec![PersonRef::id("s", id)],
        privacy: Privacy::default(),
        blobs: Vec::new(),
    };
    Commit {
        put: vec![put],
        ..Commit::default()
    }
}

fn run(world: &mut World, plan: &mut Plan, commit: &Commit) -> Result<Committed, CommitError> {
    decide(world, plan, 0, commit, &Packed::all(commit))
}

/// What a refused commit would have changed is nowhere: not in the counters, not in the plan.
#[test]
fn a_refused_commit_leaves_only_its_time() {
    let (mut world, mut plan) = (world(), Plan::default());
    run(&mut world, &mut plan, &put("a", Op::Create)).unwrap();
    let before = (
        world.clock.seq,
        world.clock.rid,
        world.clock.person,
        world.clock.message,
    );
    let mut bad = put("b", Op::Create);
    bad.put.extend(put("a", Op::Create).put);
    bad.enqueue = vec![Enqueue::default()];
    bad.expect = vec![Expect::Claim(Claim {
        space: "s".to_owned(),
        key: vec![1],
        value: vec![2],
        until: None,
    })];
    let refused = run(&mut world, &mut plan, &bad);
    let refusal = Refusal::Exists;
    assert_eq!(refused, Err(CommitError::Refused { index: 2, refusal }));
    let after = (
        world.clock.seq,
        world.clock.rid,
        world.clock.person,
        world.clock.message,
    );
    assert_eq!(before, after);
    assert_eq!(
        (plan.versions.len(), plan.idx.len(), plan.messages.len()),
        (1, 2, 0)
    );
    assert!(world.changed_claims.is_empty());
    assert!(world.clock.at > 1_000, "its time is not given out again");
}

#[test]
fn times_rise_even_when_the_clock_steps_back() {
    let (mut world, mut plan) = (world(), Plan::default());
    world.clock.at = 5_000;
    let first = run(&mut world, &mut plan, &Commit::default()).unwrap();
    let second = run(&mut world, &mut plan, &Commit::default()).unwrap();
    assert_eq!((first.at, second.at), (5_001, 5_002));
}

/// One record through its life inside one batch.
#[test]
fn a_life_in_one_batch() {
    let (mut world, mut plan) = (world(), Plan::default());
    let purge = Commit {
        purge: vec![Purge {
            repo: RepoId(1),
            rtype: "Basic".to_owned(),
            id: "a".to_owned(),
        }],
        ..Commit::default()
    };
    let steps = [
        (put("a", Op::Update), Some(Op::Create)),
        (put("a", Op::Create), None),
        (put("a", Op::Update), Some(Op::Update)),
        (put("a", Op::Delete), Some(Op::Delete)),
        (put("a", Op::Delete), None),
        (put("a", Op::Create), Some(Op::Create)),
        (purge.clone(), Some(Op::Purge)),
        (put("a", Op::Delete), None),
        (put("a", Op::Create), Some(Op::Create)),
    ];
    let mut expected = Vec::new();
    for (i, (commit, op)) in steps.into_iter().enumerate() {
        let result = run(&mut world, &mut plan, &commit);
        assert_eq!(result.is_ok(), op.is_some(), "step {i}: {result:?}");
        expected.extend(op);
    }
    let written: Vec<Op> = plan.versions.iter().map(|v| v.op).collect();
    assert_eq!(written, expected);
    assert!(
        plan.versions
            .iter()
            .zip(1..)
            .all(|(v, n)| v.vno == n && v.seq == i64::from(n))
    );
    let rids: BTreeSet<u64> = plan.versions.iter().map(|v| v.rid).collect();
    assert_eq!(rids.len(), 1);
    assert_eq!(plan.idents.len(), 1, "the person is interned once");
    let state = world.records.into_values().next().flatten().unwrap();
    assert_eq!((state.vno, state.purged, state.live()), (6, 5, true));
    let _ = run(&mut world_with(9), &mut Plan::default(), &purge).unwrap();
}

fn world_with(seq: u64) -> World {
    let mut world = world();
    world.clock.seq = seq;
    world
}

#[test]
fn merges_never_make_a_circle() {
    let (mut world, mut plan) = (world(), Plan::default());
    let merge = |from: u64, to: u64| Commit {
        alias: vec![Alias::Merge {
            from: PersonRef::Key(PersonKey(from)),
            to: PersonRef::Key(PersonKey(to)),
        }],
        ..Commit::default()
    };
    run(&mut world, &mut plan, &merge(1, 2)).unwrap();
    run(&mut world, &mut plan, &merge(2, 3)).unwrap();
    for (from, to) in [(3, 1), (2, 2), (3, 2), (2, 1)] {
        run(&mut world, &mut plan, &merge(from, to)).unwrap();
        assert_eq!(
            world.names.aliases.root(PersonKey(1)),
            PersonKey(3),
            "{from} {to}"
        );
    }
    run(&mut world, &mut plan, &merge(1, 4)).unwrap();
    assert_eq!(
        world.names.aliases.same(PersonKey(2)).len(),
        4,
        "the ends are joined"
    );
    let unknown = run(&mut world, &mut plan, &merge(1, 77));
    assert!(
        matches!(unknown, Err(CommitError::Invalid(_))),
        "a key nobody has"
    );
}

#[test]
fn a_lease_is_settled_once_and_in_time() {
    let (mut world, mut plan) = (world(), Plan::default());
    let lease = |token, leased_until| super::super::world::MessageState {
        token,
        leased_until,
    };
    world.messages.insert(1, lease(7, 2_000));
    world.messages.insert(2, lease(7, 1_000));
    world.messages.insert(3, lease(0, 2_000));
    let settle = |id: u64, token: u64| Commit {
        settle: vec![Settle {
            id: QueueMessageId(id),
            token,
            outcome: Settlement::Done,
        }],
        ..Commit::default()
    };
    let table = [
        (settle(1, 8), false, "another token"),
        (settle(2, 7), false, "run out at this very instant"),
        (settle(3, 0), false, "nobody's lease"),
        (settle(9, 7), false, "unknown"),
        (settle(1, 7), true, "held"),
        (settle(1, 7), false, "settled before"),
    ];
    for (commit, accepted, what) in table {
        assert_eq!(
            run(&mut world, &mut plan, &commit).is_ok(),
            accepted,
            "{what}"
        );
    }
    assert_eq!(plan.done, [1]);
}
