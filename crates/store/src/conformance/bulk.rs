//! Bulk load into an empty repository: nothing before, everything after, one entry in the feed.

use super::Make;
use super::kit::*;
use crate::{FeedEvent, HistoryScope, KeyRange, Op, Rid, Seq, StoreError, Vno};

pub(super) fn load(make: Make<'_>) {
    let b = Bench::fresh(make);
    b.put(create(b.patient, "Observation", "1").person(1));
    let before = b.now();
    let mut writer = b.store.bulk_load(b.open).unwrap();
    for i in 0..2_000u32 {
        let id = format!("b{i}");
        let put = create(b.open, "Person", &id)
            .id(&id)
            .key(1, format!("{i:05}"));
        writer.put(put.person(i % 50)).unwrap();
    }
    let whole = KeyRange::whole(1);
    let all = b.all();
    let s = b.now();
    assert_eq!(s.seq(), before.seq());
    assert!(s.range(&all, b.open, &whole, 9_999).unwrap().is_empty());
    assert!(s.read(&all, b.open, "Person", "b7").unwrap().is_none());
    let during = b.put(create(b.patient, "Observation", "2").person(1));
    assert_eq!(during.seq, Seq(2), "others write meanwhile");
    let seq = writer.finish().unwrap();
    assert_eq!(seq, Seq(3), "one place for all of it");
    let s = b.now();
    assert!(s.seq() >= seq);
    assert_eq!(s.range(&all, b.open, &whole, 9_999).unwrap().len(), 2_000);
    let record = s.read(&all, b.open, "Person", "b7").unwrap().unwrap();
    assert_eq!(record.body.as_ref(), b"b7");
    assert_eq!((record.head.vno, record.head.op), (Vno(1), Op::Create));
    assert_eq!(record.head.seq, seq);
    assert_eq!(
        s.vread(&all, b.open, "Person", "b7", Vno(1)).unwrap(),
        Some(record)
    );
    let of_person = s
        .compartment(&all, b.open, &[b.key(7)].into(), 999)
        .unwrap();
    assert_eq!(of_person.len(), 40);
    assert_eq!(
        s.type_rids(&all, b.open, "Person", Rid(0), 9_999)
            .unwrap()
            .len(),
        2_000
    );
    for older in [before, b.store.snapshot_at(Seq(2)).unwrap()] {
        assert!(older.range(&all, b.open, &whole, 9_999).unwrap().is_empty());
        assert!(older.read(&all, b.open, "Person", "b7").unwrap().is_none());
        assert!(
            older
                .type_rids(&all, b.open, "Person", Rid(0), 9)
                .unwrap()
                .is_empty()
        );
    }
    let feed = b.store.feed(Seq(2), 9).unwrap();
    assert_eq!(feed.len(), 1);
    assert!(
        matches!(&feed[0].event, FeedEvent::Generation { .. }),
        "{feed:?}"
    );

    let next = b.put(update(b.open, "Person", "b7", "new").key(1, "zzz"));
    assert_eq!((next.vno, next.seq), (Vno(2), Seq(4)));
    b.put(delete(b.open, "Person", "b8"));
    let s = b.now();
    assert_eq!(s.range(&all, b.open, &whole, 9_999).unwrap().len(), 1_999);
    let rows = s.range(&all, b.open, &KeyRange::exact(&key(1, "00007")), 9);
    assert!(rows.unwrap().is_empty());
    let scope = HistoryScope::Instance {
        repo: b.open,
        rtype: "Person".to_owned(),
        id: "b7".to_owned(),
    };
    let versions = s.history(&all, &scope, None, 9).unwrap();
    let versions: Vec<u32> = versions.iter().map(|r| r.head.vno.0).collect();
    assert_eq!(versions, [2, 1]);
    let again = b.store.bulk_load(b.open);
    assert!(
        matches!(again.err(), Some(StoreError::Invalid(_))),
        "not empty"
    );

    let mut dropped = b.store.bulk_load(b.internal).unwrap();
    dropped
        .put(create(b.internal, "Person", "x").id("x"))
        .unwrap();
    drop(dropped);
    let b = b.reopen();
    let s = b.now();
    assert!(
        s.read(&b.all(), b.internal, "Person", "x")
            .unwrap()
            .is_none()
    );
    assert_eq!(
        s.range(&b.all(), b.open, &whole, 9_999).unwrap().len(),
        1_999
    );
    b.verify();
}
