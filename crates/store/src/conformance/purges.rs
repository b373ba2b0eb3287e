//! Physical erasure: hidden at once, gone after it, the feed unbroken.

use super::Make;
use super::kit::*;
use crate::{
    BlobPut, Commit, FeedEvent, HistoryScope, KeyRange, Purge, PurgeState, Reader, Rid, Seq, Vno,
};
use bytes::Bytes;

pub(super) fn nothing_left(make: Make<'_>) {
    let b = Bench::fresh(make);
    let shared = BlobPut::of(Bytes::from_static(b"shared"));
    let own = BlobPut::of(Bytes::from_static(b"own"));
    let mut first = create(b.patient, "Observation", "1")
        .id("x")
        .key(1, "k1")
        .person(1);
    first.blobs = vec![shared.hash, own.hash];
    let mut neighbour = create(b.patient, "Observation", "n")
        .id("n")
        .key(1, "k1")
        .person(1);
    neighbour.blobs = vec![shared.hash];
    let done = b.commit(Commit {
        blob: vec![shared.clone(), own.clone()],
        ..puts([first, neighbour])
    });
    b.put(
        update(b.patient, "Observation", "x", "2")
            .key(1, "k2")
            .person(1),
    );
    let before = b.now();
    let purge = || Commit {
        purge: vec![Purge {
            repo: b.patient,
            rtype: "Observation".to_owned(),
            id: "x".to_owned(),
        }],
        ..Commit::default()
    };
    let state = || b.store.purge_state(b.patient, "Observation", "x").unwrap();
    assert_eq!(state(), None);
    let result = b.commit(purge());
    assert_eq!(result.snapshot, Seq(4));
    assert!(state().is_some(), "hidden or already erased");
    gone(&b, &*b.now(), done.puts[0].rid);
    let old = before.read(&b.all(), b.patient, "Observation", "x");
    assert!(
        !matches!(old, Ok(Some(_))),
        "an erased record is hidden in older snapshots too: {old:?}"
    );
    for _ in 0..3_000 {
        b.store.maintain().unwrap();
        if state() == Some(PurgeState::Erased) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(state(), Some(PurgeState::Erased));
    gone(&b, &*b.now(), done.puts[0].rid);
    assert_eq!(
        b.store.blob(&own.hash).unwrap(),
        None,
        "its own blob is gone"
    );
    let kept = b.store.blob(&shared.hash).unwrap();
    assert_eq!(kept, Some(shared.bytes), "a shared blob stays");
    let feed = b.store.feed(Seq(0), 99).unwrap();
    assert_eq!(feed.len(), 4, "the feed keeps its places");
    for entry in &feed {
        let FeedEvent::Version { id, persons, .. } = &entry.event else {
            panic!("only versions")
        };
        assert_eq!(persons.is_empty(), id == "x", "no persons of the erased");
    }
    let unknown = Purge {
        repo: b.patient,
        rtype: "Observation".to_owned(),
        id: "never".to_owned(),
    };
    let nothing = b
        .store
        .purge_state(b.patient, "Observation", "never")
        .unwrap();
    assert_eq!(nothing, None);
    let _ = b.store.commit(Commit {
        purge: vec![unknown],
        ..Commit::default()
    });
    let b = b.reopen();
    gone(&b, &*b.now(), done.puts[0].rid);
    let state = b.store.purge_state(b.patient, "Observation", "x").unwrap();
    assert_eq!(state, Some(PurgeState::Erased));
    b.verify();
}

fn gone(b: &Bench, s: &dyn Reader, rid: Rid) {
    let all = b.all();
    assert!(
        s.read(&all, b.patient, "Observation", "x")
            .unwrap()
            .is_none()
    );
    for vno in 1..=3 {
        let one = s
            .vread(&all, b.patient, "Observation", "x", Vno(vno))
            .unwrap();
        assert!(one.is_none(), "version {vno}");
    }
    let repo = b.patient;
    let instance = HistoryScope::Instance {
        repo,
        rtype: "Observation".to_owned(),
        id: "x".to_owned(),
    };
    assert!(s.history(&all, &instance, None, 9).unwrap().is_empty());
    let whole = s
        .history(&all, &HistoryScope::Repository { repo }, None, 9)
        .unwrap();
    assert_eq!(whole.len(), 1, "only the neighbour has a history");
    let rows = s.range(&all, repo, &KeyRange::whole(1), 9).unwrap();
    assert_eq!(ids(s, &all, &rows), ["n"]);
    let of_person = s.compartment(&all, repo, &[b.key(1)].into(), 9).unwrap();
    assert_eq!(ids(s, &all, &of_person), ["n"]);
    assert!(s.fetch(&all, &[rid]).unwrap().is_empty());
    assert!(s.keys(&all, rid).unwrap().is_empty());
    let listed = s.type_rids(&all, repo, "Observation", Rid(0), 9).unwrap();
    assert_eq!(listed.len(), 1);
}
