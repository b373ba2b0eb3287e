//! Reads at a snapshot: versions, ranges, scans, histories.

use super::Make;
use super::kit::*;
use crate::{
    Direction, Filter, HistoryScope, IndexRow, KeyRange, MAX_KEY_BYTES, Op, Rid, Seq, StoreError,
    Vno,
};

pub(super) fn versions(make: Make<'_>) {
    let b = Bench::fresh(make);
    for n in 1..=5u32 {
        b.put(update(b.open, "Basic", "x", &format!("body{n}")).key(n, "k"));
    }
    let (s, all) = (b.now(), b.all());
    for n in 1..=5u32 {
        let version = s
            .vread(&all, b.open, "Basic", "x", Vno(n))
            .unwrap()
            .unwrap();
        assert_eq!(version.body, format!("body{n}").as_bytes());
        assert_eq!(version.head.vno, Vno(n));
        assert_eq!(version.head.seq, Seq(u64::from(n)));
        assert_eq!(version.head.id, "x");
    }
    for wrong in [0, 6] {
        assert!(
            s.vread(&all, b.open, "Basic", "x", Vno(wrong))
                .unwrap()
                .is_none()
        );
    }
    assert!(
        s.vread(&all, b.open, "Other", "x", Vno(1))
            .unwrap()
            .is_none()
    );
    assert!(s.read(&all, b.open, "Basic", "y").unwrap().is_none());
    assert!(s.read(&all, b.open, "Unheard", "y").unwrap().is_none());
    let rid = s
        .read(&all, b.open, "Basic", "x")
        .unwrap()
        .unwrap()
        .head
        .rid;
    assert_eq!(s.keys(&all, rid).unwrap(), [key(5, "k")]);
    assert!(
        s.range(&all, b.open, &KeyRange::whole(4), 9)
            .unwrap()
            .is_empty()
    );
}

/// Present, changed since the snapshot, deleted, of another type or repository, hidden, unknown, unaskable.
pub(super) fn all_is_read_for_each(make: Make<'_>) {
    let b = Bench::fresh(make);
    for part in 0..3u32 {
        b.commit(puts((1..=700).map(|n| {
            let n = part * 700 + n;
            let id = n.to_string();
            update(b.patient, "Basic", &id, &format!("body{n}")).person(n % 7)
        })));
    }
    b.put(delete(b.patient, "Basic", "7"));
    b.put(update(b.patient, "Other", "elsewhere", "body"));
    b.put(update(b.open, "Basic", "open", "body"));
    let s = b.now();
    b.put(update(b.patient, "Basic", "9", "later"));
    b.put(delete(b.patient, "Basic", "10"));
    let mut ids: Vec<String> = (1..=2_100).map(|n| n.to_string()).collect();
    ids.extend(["elsewhere", "open", "nobody", "", "a\0b"].map(str::to_owned));
    for grant in [b.all(), b.grant(Filter::Closed)] {
        for rtype in ["Basic", "Other", "Unheard"] {
            let one_by_one: Vec<_> = ids
                .iter()
                .filter_map(|id| s.read(&grant, b.patient, rtype, id).unwrap())
                .map(|r| (r.head.id.clone(), r.head.vno, r.head.op, r.body))
                .collect();
            let mut together: Vec<_> = s
                .read_all(&grant, b.patient, rtype, &ids)
                .unwrap()
                .into_iter()
                .map(|r| (r.head.id.clone(), r.head.vno, r.head.op, r.body))
                .collect();
            together.sort_by_key(|r| ids.iter().position(|id| *id == r.0));
            assert_eq!(together, one_by_one, "{rtype}");
        }
    }
    assert!(
        s.read_all(&b.all(), b.patient, "Basic", &[])
            .unwrap()
            .is_empty()
    );
}

pub(super) fn deletions(make: Make<'_>) {
    let b = Bench::fresh(make);
    let made = b.put(
        create(b.patient, "Basic", "1")
            .id("x")
            .key(1, "k")
            .person(1),
    );
    b.put(delete(b.patient, "Basic", "x").person(1));
    let (s, all) = (b.now(), b.all());
    let gone = s.read(&all, b.patient, "Basic", "x").unwrap().unwrap();
    assert_eq!(gone.head.op, Op::Delete);
    assert!(gone.body.is_empty());
    let first = s.vread(&all, b.patient, "Basic", "x", Vno(1)).unwrap();
    assert_eq!(first.unwrap().body.as_ref(), b"1", "history stays");
    assert!(
        s.range(&all, b.patient, &KeyRange::whole(1), 9)
            .unwrap()
            .is_empty()
    );
    let rows = s.scan(
        &all,
        b.patient,
        &KeyRange::whole(1),
        Direction::Ascending,
        None,
        9,
    );
    assert_eq!(rows.unwrap(), []);
    assert!(
        s.type_rids(&all, b.patient, "Basic", Rid(0), 9)
            .unwrap()
            .is_empty()
    );
    assert!(s.heads(&all, &[made.rid]).unwrap().is_empty());
    assert!(s.places(&all, &[made.rid]).unwrap().is_empty());
    assert!(s.fetch(&all, &[made.rid]).unwrap().is_empty());
    assert!(s.keys(&all, made.rid).unwrap().is_empty());
    let one = [b.key(1)].into();
    assert!(s.compartment(&all, b.patient, &one, 9).unwrap().is_empty());
    let back = b.put(
        create(b.patient, "Basic", "3")
            .id("x")
            .key(1, "l")
            .person(1),
    );
    assert_eq!((back.rid, back.vno), (made.rid, Vno(3)));
    let s = b.now();
    assert_eq!(s.compartment(&all, b.patient, &one, 9).unwrap(), [made.rid]);
    assert_eq!(s.keys(&all, made.rid).unwrap(), [key(1, "l")]);
    b.verify();
}

pub(super) fn range_scan(make: Make<'_>) {
    let b = Bench::fresh(make);
    let rows = [
        ("a", "bb"),
        ("b", "aa"),
        ("c", "bb"),
        ("d", "b"),
        ("e", "bbb"),
        ("f", "c"),
    ];
    let mut rid = std::collections::BTreeMap::new();
    for (id, value) in rows {
        let put = create(b.open, "Basic", id)
            .id(id)
            .key(1, value)
            .key(2, "zz");
        rid.insert(id, b.put(put).rid);
    }
    let two = create(b.open, "Basic", "g")
        .id("g")
        .key(1, "aa")
        .key(1, "c")
        .key(1, "aa");
    rid.insert("g", b.put(two).rid);
    let (s, all) = (b.now(), b.all());
    let in_range = |r: &KeyRange| {
        let rids = s.range(&all, b.open, r, 100).unwrap();
        assert!(
            rids.windows(2).all(|w| w[0] < w[1]),
            "ascending, no duplicates"
        );
        ids(&*s, &all, &rids).concat()
    };
    assert_eq!(in_range(&range(1, "b", "bbb")), "acd", "to is outside");
    assert_eq!(in_range(&KeyRange::prefix(1, b"b")), "acde");
    assert_eq!(in_range(&KeyRange::exact(&key(1, "bb"))), "ac");
    assert_eq!(in_range(&KeyRange::whole(1)), "abcdefg");
    assert_eq!(in_range(&range(1, "", "a")), "");
    assert_eq!(
        in_range(&range(1, "z", "a")),
        "",
        "an empty range is no error"
    );
    assert_eq!(in_range(&KeyRange::whole(3)), "");

    let scan = |r: &KeyRange, direction, after: Option<&IndexRow>, limit| {
        s.scan(&all, b.open, r, direction, after, limit).unwrap()
    };
    let row = |value: &str, id: &str| IndexRow {
        value: value.as_bytes().to_vec(),
        rid: rid[id],
    };
    let expected = [
        row("aa", "b"),
        row("aa", "g"),
        row("b", "d"),
        row("bb", "a"),
        row("bb", "c"),
        row("bbb", "e"),
        row("c", "f"),
        row("c", "g"),
    ];
    let whole = KeyRange::whole(1);
    assert_eq!(scan(&whole, Direction::Ascending, None, 100), expected);
    let mut reversed = expected.to_vec();
    reversed.reverse();
    assert_eq!(scan(&whole, Direction::Descending, None, 100), reversed);
    for (direction, full) in [
        (Direction::Ascending, &expected[..]),
        (Direction::Descending, &reversed[..]),
    ] {
        for page in 1..=3 {
            let mut joined: Vec<IndexRow> = Vec::new();
            loop {
                let next = scan(&whole, direction, joined.last(), page);
                assert!(next.len() <= page);
                if next.is_empty() {
                    break;
                }
                joined.extend(next);
            }
            assert_eq!(joined, full, "pages of {page}, joined");
        }
    }
    let middle = scan(&range(1, "b", "c"), Direction::Descending, None, 2);
    assert_eq!(middle, [row("bbb", "e"), row("bb", "c")]);
    let outside = row("b", "g");
    let after = scan(&whole, Direction::Ascending, Some(&outside), 1);
    assert_eq!(after, [row("bb", "a")], "after need not be a row");

    assert_eq!(
        s.range(&all, b.open, &KeyRange::whole(2), 6).unwrap().len(),
        6
    );
    let few = s.range(&all, b.open, &KeyRange::whole(2), 5);
    assert!(
        matches!(few, Err(StoreError::Invalid(_))),
        "too costly: {few:?}"
    );
}

pub(super) fn long_keys(make: Make<'_>) {
    let b = Bench::fresh(make);
    let long = |last: u8, len: usize| {
        let mut value = vec![b'x'; len];
        value.push(last);
        value
    };
    let mut values: Vec<Vec<u8>> = vec![vec![], vec![0], vec![0, 0], vec![255], vec![255, 0]];
    for len in [1, 62, 63, 64, 65, 127, 128, 200, MAX_KEY_BYTES - 1] {
        for last in [0, b'a', 255] {
            values.push(long(last, len));
        }
    }
    for (i, value) in values.iter().enumerate() {
        let id = format!("{i}");
        b.put(create(b.open, "Basic", "x").id(&id).key(1, value));
    }
    let (s, all) = (b.now(), b.all());
    let rows = s.scan(
        &all,
        b.open,
        &KeyRange::whole(1),
        Direction::Ascending,
        None,
        999,
    );
    let got: Vec<Vec<u8>> = rows.unwrap().into_iter().map(|r| r.value).collect();
    let mut sorted = values.clone();
    sorted.sort();
    assert_eq!(got, sorted, "full values, in the order of their bytes");
    for value in &values {
        let exact = KeyRange::exact(&key(1, value));
        assert_eq!(s.range(&all, b.open, &exact, 99).unwrap().len(), 1);
        let prefix = KeyRange::prefix(1, value);
        let expected = values.iter().filter(|v| v.starts_with(value)).count();
        let got = s.range(&all, b.open, &prefix, 999).unwrap().len();
        assert_eq!(got, expected, "prefix {value:?}");
    }
}

pub(super) fn estimate(make: Make<'_>) {
    let b = Bench::fresh(make);
    let mut list = Vec::new();
    for i in 0..500 {
        let put = create(b.open, "Basic", "x").key(1, format!("{i:04}"));
        list.push(if i < 3 { put.key(2, "few") } else { put });
    }
    b.commit(puts(list));
    let s = b.now();
    let many = s.estimate(b.open, &KeyRange::whole(1)).unwrap();
    let few = s.estimate(b.open, &KeyRange::whole(2)).unwrap();
    let part = s.estimate(b.open, &range(1, "0000", "0010")).unwrap();
    assert!((100..=2_500).contains(&many), "{many}");
    assert!(few < many && part < many, "{few} {part} {many}");
    assert!(few > 0);
}

pub(super) fn type_rids_and_fetch(make: Make<'_>) {
    let b = Bench::fresh(make);
    let mut basics = Vec::new();
    for i in 0..10 {
        let rtype = if i % 2 == 0 { "Basic" } else { "Other" };
        let made = b.put(create(b.open, rtype, &format!("body{i}")).id(&format!("i{i}")));
        if i % 2 == 0 {
            basics.push(made.rid);
        }
    }
    let (s, all) = (b.now(), b.all());
    assert_eq!(
        s.type_rids(&all, b.open, "Basic", Rid(0), 99).unwrap(),
        basics
    );
    let mut joined = Vec::new();
    loop {
        let after = joined.last().copied().unwrap_or(Rid(0));
        let page = s.type_rids(&all, b.open, "Basic", after, 2).unwrap();
        if page.is_empty() {
            break;
        }
        joined.extend(page);
    }
    assert_eq!(joined, basics);
    let wanted = [basics[3], basics[0], Rid(999_999), basics[4], basics[0]];
    let got: Vec<Rid> = s
        .fetch(&all, &wanted)
        .unwrap()
        .iter()
        .map(|r| r.head.rid)
        .collect();
    let expected = [basics[3], basics[0], basics[4], basics[0]];
    assert_eq!(got, expected, "in the order asked");
    let bodies = s.fetch(&all, &[basics[1]]).unwrap();
    assert_eq!(bodies[0].body.as_ref(), b"body2");
    assert_eq!(bodies[0].head.id, "i2");
    assert_eq!(s.heads(&all, &wanted[..3]).unwrap().len(), 2);
    // With and without having looked at their index rows.
    for snapshot in [b.now(), s.clone()] {
        let heads = snapshot.heads(&all, &wanted).unwrap();
        let expected: Vec<_> = heads.iter().map(|h| (h.rid, h.seq)).collect();
        assert_eq!(snapshot.places(&all, &wanted).unwrap(), expected);
        let nothing = b.grant(Filter::Closed);
        assert_eq!(snapshot.places(&nothing, &wanted).unwrap(), []);
    }
    assert!(s.fetch(&all, &[]).unwrap().is_empty());
}

pub(super) fn history_scopes(make: Make<'_>) {
    let b = Bench::fresh(make);
    b.put(create(b.open, "Basic", "1").id("x")); // 1
    b.put(create(b.open, "Other", "2").id("x")); // 2
    b.put(update(b.open, "Basic", "x", "3")); // 3
    b.put(create(b.internal, "Basic", "4").id("x")); // 4
    b.put(delete(b.open, "Basic", "x")); // 5
    b.put(create(b.open, "Basic", "6").id("y")); // 6
    let (s, all) = (b.now(), b.all());
    let (repo, rtype) = (b.open, "Basic".to_owned());
    let seqs = |scope: &HistoryScope, before: Option<Seq>, limit| -> Vec<u64> {
        let list = s.history(&all, scope, before, limit).unwrap();
        list.iter().map(|r| r.head.seq.0).collect()
    };
    let instance = HistoryScope::Instance {
        repo,
        rtype: rtype.clone(),
        id: "x".to_owned(),
    };
    assert_eq!(seqs(&instance, None, 9), [5, 3, 1], "newest first");
    assert_eq!(seqs(&instance, Some(Seq(5)), 1), [3]);
    let of_type = HistoryScope::Type { repo, rtype };
    assert_eq!(seqs(&of_type, None, 9), [6, 5, 3, 1]);
    assert_eq!(seqs(&of_type, Some(Seq(5)), 9), [3, 1]);
    let whole = HistoryScope::Repository { repo };
    assert_eq!(seqs(&whole, None, 9), [6, 5, 3, 2, 1]);
    assert_eq!(seqs(&whole, None, 2), [6, 5]);
    let bodies = s.history(&all, &instance, None, 9).unwrap();
    assert_eq!(bodies[1].body.as_ref(), b"3");
    assert_eq!(bodies[0].head.op, Op::Delete);
    let at3 = b.store.snapshot_at(Seq(3)).unwrap();
    let old = at3.history(&all, &whole, None, 9).unwrap();
    let old: Vec<u64> = old.iter().map(|r| r.head.seq.0).collect();
    assert_eq!(old, [3, 2, 1]);
}

pub(super) fn not_across_repositories(make: Make<'_>) {
    let b = Bench::fresh(make);
    for repo in [b.open, b.internal, b.patient] {
        b.put(create(repo, "Basic", "x").id("x").key(1, "k").person(1));
    }
    let (s, all) = (b.now(), b.all());
    let mut seen = Vec::new();
    for repo in [b.open, b.internal, b.patient] {
        let by_key = s.range(&all, repo, &KeyRange::whole(1), 9).unwrap();
        assert_eq!(by_key.len(), 1);
        assert_eq!(s.type_rids(&all, repo, "Basic", Rid(0), 9).unwrap(), by_key);
        let one = [b.key(1)].into();
        assert_eq!(s.compartment(&all, repo, &one, 9).unwrap(), by_key);
        let record = s.read(&all, repo, "Basic", "x").unwrap().unwrap();
        assert_eq!((record.head.repo, record.head.rid), (repo, by_key[0]));
        seen.extend(by_key);
    }
    seen.dedup();
    assert_eq!(seen.len(), 3);
}
