//! Newest first, and the reads of several records at once. An engine without the order says so; one that has it keeps it.

use super::Make;
use super::kit::*;
use crate::{Filter, Granted, KeyRange, Pred, RepoId, Rid, Seq, Snapshot};
use std::collections::BTreeSet;

/// Ids of the whole order, read `chunk` at a time.
fn order(s: &Snapshot, grant: &Granted, repo: RepoId, chunk: usize) -> Option<Vec<String>> {
    let mut out = Vec::new();
    let mut last: Option<(Seq, Rid)> = None;
    loop {
        let heads = s.newest(grant, repo, "Person", last, chunk).unwrap()?;
        let (Some(head), n) = (heads.last(), heads.len()) else {
            return Some(out);
        };
        last = Some((head.seq, head.rid));
        out.extend(heads.into_iter().map(|h| h.id));
        if n < chunk {
            return Some(out);
        }
    }
}

pub(super) fn first(make: Make<'_>) {
    let b = Bench::fresh(make);
    let mut writer = b.store.bulk_load(b.open).unwrap();
    for i in 0..300u32 {
        let id = format!("b{i:03}");
        let rtype = if i % 2 == 0 { "Person" } else { "Basic" };
        writer
            .put(create(b.open, rtype, &id).id(&id).person(i % 2))
            .unwrap();
    }
    writer.finish().unwrap();
    for id in ["x", "y", "z"] {
        b.put(create(b.open, "Person", id).id(id).person(1));
    }
    let before = b.now();
    b.put(update(b.open, "Person", "x", "2").person(1));
    b.put(update(b.open, "Person", "b004", "2").person(1));
    b.put(delete(b.open, "Person", "y"));
    b.put(delete(b.open, "Person", "b006"));
    let loaded = |without: &[&str]| -> Vec<String> {
        (0..300)
            .step_by(2)
            .map(|i| format!("b{i:03}"))
            .filter(|id| !without.contains(&id.as_str()))
            .collect()
    };
    let all = b.all();
    for chunk in [1, 7, 150, 1_000] {
        let Some(found) = order(&before, &all, b.open, chunk) else {
            return;
        };
        let mut expected: Vec<String> = ["z", "y", "x"].map(str::to_owned).into();
        expected.extend(loaded(&[]));
        assert_eq!(found, expected, "{chunk}");
        let mut expected: Vec<String> = ["b004", "x", "z"].map(str::to_owned).into();
        expected.extend(loaded(&["b004", "b006"]));
        assert_eq!(
            order(&b.now(), &all, b.open, chunk),
            Some(expected),
            "{chunk}"
        );
    }
    // Under a filter only what it lets through.
    let one = b.grant(Filter::all(
        Pred::Compartment(BTreeSet::from([b.key(1)])),
        [],
    ));
    let expected = ["b004", "x", "z"].map(str::to_owned).to_vec();
    assert_eq!(order(&b.now(), &one, b.open, 2), Some(expected));
}

pub(super) fn several(make: Make<'_>) {
    let b = Bench::fresh(make);
    let mut rids = Vec::new();
    for i in 0..20u32 {
        let put = create(b.patient, "Basic", "x").key(1, format!("{i:02}"));
        rids.push(b.put(put.person(i % 2)).rid);
    }
    b.put(
        create(b.patient, "Basic", "gone")
            .id("gone")
            .key(1, "zz")
            .person(1),
    );
    let gone = b.put(delete(b.patient, "Basic", "gone").person(1)).rid;
    rids.push(gone);
    let s = b.now();
    let one = b.grant(Filter::all(
        Pred::Compartment(BTreeSet::from([b.key(1)])),
        [],
    ));
    let found = s.keys_of(&one, &rids).unwrap();
    assert_eq!(found.len(), 10);
    for (rid, keys) in found {
        assert_eq!(keys, s.keys(&one, rid).unwrap());
        assert!(!keys.is_empty());
    }
    let whole = KeyRange::whole(1);
    assert_eq!(s.estimate_up_to(b.patient, &whole, 5).unwrap(), 5);
    assert!(s.estimate_up_to(b.patient, &whole, 1_000).unwrap() >= 20);
    assert_eq!(
        s.estimate_up_to(b.patient, &range(1, "05", "08"), 1_000)
            .unwrap(),
        3
    );
}
