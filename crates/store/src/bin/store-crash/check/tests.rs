//! The rules, tried on stores that are broken in one place each.

use super::*;
use store::backup::VersionItem;
use store::{IndexKey, RepoId, Rid, Vno};

fn version(id: &str, act: &str, n: u32, op: Op) -> VersionItem {
    let put = put(RepoId(1), id, op, act, n, 0);
    VersionItem {
        seq: Seq(1),
        rid: Rid(1),
        vno: Vno(n),
        repo: put.repo,
        rtype: put.rtype,
        id: id.to_owned(),
        op,
        at: 5,
        pack: 1,
        body: put.body,
        keys: put.keys,
        persons: vec![],
        author_person: None,
        owner: None,
        privacy: put.privacy,
        blobs: if has_blob(act) { vec![[1; 32]] } else { vec![] },
        bulk: false,
    }
}

fn counter(vno: u32, count: u32) -> VersionItem {
    let op = if vno == 1 { Op::Create } else { Op::Update };
    VersionItem {
        vno: Vno(vno),
        ..version(COUNTER, COUNTER, count, op)
    }
}

/// A store after: one act created and worked, one waiting, an update, a race, a conditional create, a count.
fn good() -> (Dump, Expected) {
    let mut dump = Dump {
        seq: 9,
        ..Dump::default()
    };
    let mut expected = Expected::default();
    let claim = |space: &str, key: &str| (space.to_owned(), key.to_owned());
    for act in ["c1t0n1", "c1t0n2"] {
        for prefix in ["a-", "b-"] {
            dump.versions
                .push(version(&format!("{prefix}{act}"), act, 1, Op::Create));
        }
        dump.claims.insert(claim("act", act), act.to_owned());
        dump.journal.insert(audit_id(act), 1);
        expected
            .take(Ack::Create {
                act: act.to_owned(),
            })
            .unwrap();
    }
    dump.versions
        .push(version("e-c1t0n1", "c1t0n1", 1, Op::Create));
    dump.messages.insert("c1t0n2".to_owned(), 1);
    dump.versions
        .push(version("a-c1t0n2", "c1t0n2", 2, Op::Update));
    dump.versions
        .push(version("r-c1t0n3", "c1t0n3", 1, Op::Create));
    dump.claims.insert(claim("race", "k"), "c1t0n3".to_owned());
    let mut conditional = version("c-c1t0n4", "c1t0n4", 1, Op::Create);
    conditional.keys.push(IndexKey {
        param: BY_CONDITION,
        value: b"k".to_vec(),
    });
    dump.versions.push(conditional);
    dump.journal.insert(audit_id("c1t0n4"), 1);
    dump.versions.push(counter(1, 7));
    dump.positions.insert(CONSUMER.to_owned(), 7);
    for ack in [
        Ack::Effect {
            act: "c1t0n1".to_owned(),
        },
        Ack::Update {
            record: "a-c1t0n2".to_owned(),
            vno: 2,
        },
        Ack::Race {
            key: "k".to_owned(),
            act: "c1t0n3".to_owned(),
        },
        Ack::Condition {
            key: "k".to_owned(),
            act: "c1t0n4".to_owned(),
        },
        Ack::Position { to: 7 },
    ] {
        expected.take(ack).unwrap();
    }
    (dump, expected)
}

fn check(dump: &Dump, expected: &Expected) -> Checked {
    Look::of(dump).contents(dump, expected)
}

#[test]
fn a_sound_store_passes() {
    let (dump, expected) = good();
    check(&dump, &expected).unwrap();
}

type Break = fn(&mut Dump);
type BoxedBreak = Box<dyn Fn(&mut Dump)>;

#[test]
fn every_break_is_seen_and_told_from_a_loss() {
    let drop = |id: &'static str| move |d: &mut Dump| d.versions.retain(|v| v.id != id);
    let losses: [(&str, BoxedBreak); 7] = [
        ("second record", Box::new(drop("b-c1t0n2"))),
        ("gone without effect", Box::new(|d| d.messages.clear())),
        (
            "newest is 1",
            Box::new(|d| d.versions.retain(|v| v.vno.0 != 2)),
        ),
        (
            "is not held",
            Box::new(|d| d.claims.retain(|k, _| k.0 != "race")),
        ),
        ("is gone", Box::new(drop("c-c1t0n4"))),
        ("position 7", Box::new(|d| d.positions.clear())),
        ("journal entry", Box::new(|d| d.journal.clear())),
    ];
    for (names, change) in losses {
        let (mut dump, expected) = good();
        change(&mut dump);
        let failure = check(&dump, &expected).unwrap_err();
        assert!(
            failure.lost && failure.what.contains(names),
            "{names}: {failure}"
        );
    }
    let broken: [(&str, Break); 7] = [
        ("2 waiting", |d| {
            *d.messages.entry("c1t0n2".to_owned()).or_default() += 1
        }),
        ("1 waiting, 0 dead, 1 done", |d| {
            d.messages.insert("c1t0n1".to_owned(), 1);
        }),
        ("there 2 times", |d| {
            d.journal.values_mut().for_each(|n| *n = 2)
        }),
        ("lacks second record", |d| {
            d.versions
                .push(version("a-c1t9n9", "c1t9n9", 1, Op::Create))
        }),
        ("has counted 8", |d| d.versions.push(counter(2, 8))),
        ("has version 3 after 1", |d| {
            d.versions
                .push(version("e-c1t0n1", "c1t0n1", 3, Op::Update))
        }),
        ("without its claim", |d| {
            d.versions
                .push(version("r-c1t0n5", "c1t0n5", 1, Op::Create))
        }),
    ];
    for (names, change) in broken {
        let (mut dump, expected) = good();
        change(&mut dump);
        let failure = check(&dump, &expected).unwrap_err();
        assert!(
            !failure.lost && failure.what.contains(names),
            "{names}: {failure}"
        );
    }
}

#[test]
fn two_winners_of_one_race_are_seen_at_once() {
    let (_, mut expected) = good();
    let other = Ack::Race {
        key: "k".to_owned(),
        act: "c1t1n1".to_owned(),
    };
    assert!(expected.take(other).is_err());
    let again = Ack::Effect {
        act: "c1t0n1".to_owned(),
    };
    assert!(expected.take(again).is_err());
}
