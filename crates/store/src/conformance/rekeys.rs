//! Keys made anew: searches find by the new ones, everything else stays, and what came in between wins.

use super::Make;
use super::kit::*;
use crate::{IndexKey, KeyRange, Rekey, Rid, StoreError, Vno};

fn key(param: u32, value: &str) -> IndexKey {
    IndexKey {
        param,
        value: value.as_bytes().to_vec(),
    }
}

fn found(b: &Bench, param: u32, value: &str) -> Vec<Rid> {
    let range = KeyRange::exact(&key(param, value));
    b.now().range(&b.all(), b.open, &range, 99).unwrap()
}

pub(super) fn replaces(make: Make<'_>) {
    let mut b = Bench::fresh(make);
    let put = |id: &str, value: &str| {
        b.put(
            create(b.open, "Basic", "{}")
                .id(id)
                .key(1, value)
                .key(2, "same"),
        )
    };
    let (one, two, three) = (put("one", "old"), put("two", "old"), put("three", "old"));
    let feed = b.store.feed(crate::Seq(0), 99).unwrap();
    let before = b.now();
    let all = |pack| b.store.outdated(b.open, pack, Rid(0), 99).unwrap();
    let pack = 0xffff_0007;
    assert_eq!(all(pack), [one.rid, two.rid, three.rid]);
    assert_eq!(
        b.store.outdated(b.open, pack, one.rid, 1).unwrap(),
        [two.rid]
    );
    assert_eq!(b.store.outdated(b.patient, pack, Rid(0), 9).unwrap(), []);
    // Changed after it was read: the newer version stays as its writer made it.
    b.put(update(b.open, "Basic", "three", "{}").key(1, "newer"));
    let change = |rid: Rid, value: &str| Rekey {
        rid,
        vno: Vno(1),
        keys: vec![key(2, "same"), key(1, value), key(1, value), key(3, "more")],
        pack,
    };
    let changes = [
        change(one.rid, "new"),
        change(two.rid, "new"),
        change(three.rid, "wrong"),
        change(Rid(9_999), "nobody"),
    ];
    assert_eq!(b.store.rekey(b.patient, &changes).unwrap(), 0);
    assert_eq!(b.store.rekey(b.open, &changes).unwrap(), 2);
    for round in 0..2 {
        assert_eq!(found(&b, 1, "old"), [], "round {round}");
        assert_eq!(found(&b, 1, "new"), [one.rid, two.rid]);
        assert_eq!(found(&b, 3, "more"), [one.rid, two.rid]);
        assert_eq!(found(&b, 2, "same"), [one.rid, two.rid]);
        assert_eq!(found(&b, 1, "wrong"), []);
        assert_eq!(found(&b, 1, "newer"), [three.rid]);
        let keys = b.now().keys(&b.all(), one.rid).unwrap();
        assert_eq!(keys, [key(1, "new"), key(2, "same"), key(3, "more")]);
        let rest = b.store.outdated(b.open, pack, Rid(0), 99).unwrap();
        assert_eq!(rest, [three.rid]);
        b.verify();
        if round == 0 {
            b = b.reopen();
        }
    }
    assert_eq!(
        b.store.feed(crate::Seq(0), 99).unwrap()[..3],
        feed[..],
        "nothing happened to the records"
    );
    drop(before);
    // Later versions, deletions and housekeeping go on as ever.
    b.put(update(b.open, "Basic", "one", "{}").key(1, "later"));
    b.put(delete(b.open, "Basic", "two"));
    b.store.maintain().unwrap();
    assert_eq!(found(&b, 1, "new"), []);
    assert_eq!(found(&b, 1, "later"), [one.rid]);
    assert_eq!(found(&b, 3, "more"), []);
    assert_eq!(
        b.store.rekey(b.open, &[change(two.rid, "dead")]).unwrap(),
        0
    );
    b.verify();
    let mut long = change(one.rid, "x");
    long.keys.push(IndexKey {
        param: 1,
        value: vec![0; 300],
    });
    let refused = b.store.rekey(b.open, &[long]);
    assert!(
        matches!(refused, Err(StoreError::Invalid(_))),
        "{refused:?}"
    );
}

/// Making keys anew while others write: at the end every record is found by exactly its keys.
pub(super) fn under_load(make: Make<'_>) {
    let b = Bench::fresh(make);
    const RECORDS: usize = 40;
    for n in 0..RECORDS {
        b.put(
            create(b.open, "Basic", "{}")
                .id(&format!("r{n}"))
                .key(1, "a"),
        );
    }
    let pack = 0xffff_0009;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..5 {
                for n in 0..RECORDS {
                    if n % 3 == round % 3 {
                        b.put(update(b.open, "Basic", &format!("r{n}"), "{}").key(1, "a"));
                    }
                }
            }
        });
        scope.spawn(|| {
            for _ in 0..5 {
                let s = b.now();
                let rids = b.store.outdated(b.open, pack, Rid(0), 99).unwrap();
                let changes: Vec<Rekey> = s
                    .heads(&b.all(), &rids)
                    .unwrap()
                    .into_iter()
                    .map(|h| Rekey {
                        rid: h.rid,
                        vno: h.vno,
                        keys: vec![key(1, "b")],
                        pack,
                    })
                    .collect();
                b.store.rekey(b.open, &changes).unwrap();
            }
        });
    });
    let mut both = found(&b, 1, "a");
    let by_new = found(&b, 1, "b");
    assert!(
        both.iter().all(|r| !by_new.contains(r)),
        "by one or the other"
    );
    both.extend(by_new);
    assert_eq!(both.len(), RECORDS);
    b.verify();
}
