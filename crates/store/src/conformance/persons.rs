//! Persons: compartments, merges and splits, identifiers, epochs.

use super::Make;
use super::kit::*;
use crate::{Alias, Commit, Filter, KeyRange, PersonKey, PersonRef, Pred, Rid, Seq};
use std::collections::BTreeSet;

fn of(b: &Bench, keys: &[PersonKey]) -> Vec<String> {
    let (s, all) = (b.now(), b.all());
    let set: BTreeSet<PersonKey> = keys.iter().copied().collect();
    let rids = s.compartment(&all, b.patient, &set, 999).unwrap();
    assert!(rids.windows(2).all(|w| w[0] < w[1]), "ascending, each once");
    ids(&*s, &all, &rids)
}

fn under(b: &Bench, keys: &[PersonKey]) -> Vec<String> {
    let s = b.now();
    let set: BTreeSet<PersonKey> = keys.iter().copied().collect();
    let grant = b.grant(Filter::all(Pred::Compartment(set), []));
    let by_type = s
        .type_rids(&grant, b.patient, "Observation", Rid(0), 999)
        .unwrap();
    let by_key = s
        .range(&grant, b.patient, &KeyRange::whole(1), 999)
        .unwrap();
    let names = ids(&*s, &b.all(), &by_type);
    assert_eq!(ids(&*s, &b.all(), &by_key), names, "both ways agree");
    names
}

fn alias(list: Vec<Alias>) -> Commit {
    Commit {
        alias: list,
        ..Commit::default()
    }
}

fn record(b: &Bench, id: &str, persons: &[u32]) {
    let mut put = create(b.patient, "Observation", id).id(id).key(1, "k");
    for n in persons {
        put = put.person(*n);
    }
    b.put(put);
}

pub(super) fn compartments(make: Make<'_>) {
    let b = Bench::fresh(make);
    record(&b, "a", &[1]);
    record(&b, "b", &[1, 2]);
    record(&b, "c", &[2, 1, 3, 2]);
    record(&b, "d", &[3]);
    record(&b, "e", &[]);
    let (k1, k2, k3) = (b.key(1), b.key(2), b.key(3));
    assert_eq!(of(&b, &[k1]), ["a", "b", "c"]);
    assert_eq!(of(&b, &[k2]), ["b", "c"]);
    assert_eq!(of(&b, &[k1, k3]), ["a", "b", "c", "d"]);
    assert_eq!(of(&b, &[PersonKey(999_999)]), [""; 0]);
    assert_eq!(under(&b, &[k2, k3]), ["b", "c", "d"]);
    let read = b
        .now()
        .read(&b.all(), b.patient, "Observation", "c")
        .unwrap();
    assert_eq!(read.unwrap().head.persons[0], k2, "the subject first");
    let mut moved = update(b.patient, "Observation", "b", "x").key(1, "k");
    moved.persons = vec![PersonRef::Key(k3)];
    b.put(moved);
    assert_eq!(of(&b, &[k1]), ["a", "c"]);
    assert_eq!(under(&b, &[k3]), ["b", "c", "d"]);
    let few = b
        .now()
        .compartment(&b.all(), b.patient, &[k1, k3].into(), 4)
        .unwrap();
    assert_eq!(few.len(), 4);
    b.verify();
}

pub(super) fn merge_split(make: Make<'_>) {
    let b = Bench::fresh(make);
    record(&b, "a", &[1]);
    record(&b, "b", &[2]);
    record(&b, "c", &[3]);
    let (k1, k2, k3) = (b.key(1), b.key(2), b.key(3));
    let merge = |from: u32, to: u32| Alias::Merge {
        from: person(from),
        to: person(to),
    };
    b.commit(alias(vec![merge(1, 2)]));
    let persons = |id: &str| {
        let read = b
            .now()
            .read(&b.all(), b.patient, "Observation", id)
            .unwrap();
        read.unwrap().head.persons
    };
    assert_eq!(persons("a"), [k2], "heads show the key that stays");
    assert_eq!(b.store.person(SYSTEM, &nin(1)).unwrap(), Some(k2));
    assert_eq!(of(&b, &[k2]), ["a", "b"]);
    assert_eq!(of(&b, &[k1]), ["a", "b"], "an old key leads to the new one");
    assert_eq!(under(&b, &[k2]), ["a", "b"]);
    b.commit(alias(vec![merge(2, 3)]));
    assert_eq!(persons("a"), [k3], "chains are followed to the end");
    assert_eq!(under(&b, &[k3]), ["a", "b", "c"]);
    assert_eq!(of(&b, &[k1]), ["a", "b", "c"]);
    let mut names: Vec<String> = b
        .store
        .person_identifiers(k3)
        .unwrap()
        .into_iter()
        .map(|(_, value)| value)
        .collect();
    names.sort();
    assert_eq!(names, [nin(1), nin(2), nin(3)]);
    record(&b, "d", &[1]);
    assert_eq!(under(&b, &[k3]), ["a", "b", "c", "d"]);
    b.commit(alias(vec![Alias::Split { from: person(1) }]));
    assert_eq!(b.store.person(SYSTEM, &nin(1)).unwrap(), Some(k1));
    assert_eq!(persons("a"), [k1], "nothing was rewritten");
    assert_eq!(persons("b"), [k3]);
    assert_eq!(under(&b, &[k3]), ["b", "c"]);
    assert_eq!(
        of(&b, &[k1]),
        ["a", "d"],
        "what was written as 1 is 1's again"
    );
    for (from, to) in [(3, 2), (2, 2), (3, 3)] {
        b.commit(alias(vec![merge(from, to)]));
        assert_eq!(
            under(&b, &[k3]),
            ["b", "c"],
            "those that are one stay so: {from} {to}"
        );
    }
    b.commit(alias(vec![merge(2, 4)]));
    let k4 = b.key(4);
    assert_eq!(
        under(&b, &[k4]),
        ["b", "c"],
        "the ends of both chains are joined"
    );
    assert_eq!(persons("b"), [k4]);
    let b = b.reopen();
    assert_eq!(of(&b, &[k1]), ["a", "d"]);
    b.verify();
}

pub(super) fn identifiers(make: Make<'_>) {
    let b = Bench::fresh(make);
    assert_eq!(b.store.person(SYSTEM, &nin(1)).unwrap(), None);
    let k1 = b.key(1);
    assert_eq!(b.key(1), k1);
    let elsewhere = b.store.intern_person("urn:other", &nin(1)).unwrap();
    assert_ne!(elsewhere, k1, "the system is part of the identifier");
    b.commit(alias(vec![Alias::AlsoKnownAs {
        person: PersonRef::Key(k1),
        system: SYSTEM.to_owned(),
        value: "d-number".to_owned(),
    }]));
    assert_eq!(b.store.person(SYSTEM, "d-number").unwrap(), Some(k1));
    let put = create(b.patient, "Observation", "x").id("x").key(1, "k");
    let by_other = crate::Put {
        persons: vec![PersonRef::id(SYSTEM, "d-number")],
        ..put
    };
    b.put(by_other);
    assert_eq!(of(&b, &[k1]), ["x"]);
    let mut known = b.store.person_identifiers(k1).unwrap();
    known.sort();
    let pair = |v: &str| (SYSTEM.to_owned(), v.to_owned());
    assert_eq!(known, [pair("d-number"), pair(&nin(1))]);
    let race: Vec<_> = (0..32)
        .map(|i| {
            let put = create(b.patient, "Observation", "r")
                .id(&format!("r{i}"))
                .person(77);
            b.store.submit(puts([put]))
        })
        .collect();
    for pending in race {
        pending.wait().unwrap();
    }
    assert_eq!(of(&b, &[b.key(77)]).len(), 32, "one person, one key");
}

pub(super) fn epochs(make: Make<'_>) {
    let b = Bench::fresh(make);
    let (k1, k2) = (b.key(1), b.key(2));
    let start = b.now();
    assert_eq!(start.epoch(k1).unwrap(), Seq(0));
    assert_eq!(start.epoch(PersonKey(424_242)).unwrap(), Seq(0));
    assert_eq!(start.rules_epoch().unwrap(), Seq(0));
    let raise = |persons: Vec<PersonRef>, rules: bool| Commit {
        raise: persons,
        raise_rules: rules,
        ..Commit::default()
    };
    let done = b.commit(raise(vec![PersonRef::Key(k1)], false));
    assert_eq!(
        done.snapshot.0,
        start.seq().0 + 1,
        "it has a place in the log"
    );
    let s = b.now();
    assert_eq!(s.epoch(k1).unwrap(), s.seq());
    assert_eq!(s.epoch(k2).unwrap(), Seq(0));
    assert_eq!(
        start.epoch(k1).unwrap(),
        Seq(0),
        "the older snapshot keeps its epoch"
    );
    b.commit(raise(vec![], true));
    let s2 = b.now();
    assert_eq!(s2.rules_epoch().unwrap(), s2.seq());
    assert_eq!(s2.epoch(k1).unwrap(), s.seq());
    let feed = b.store.feed(start.seq(), 9).unwrap();
    assert_eq!(feed[0].event, crate::FeedEvent::Epoch { persons: vec![k1] });
    assert_eq!(feed[1].event, crate::FeedEvent::Epoch { persons: vec![] });
    let with_put = Commit {
        raise: vec![person(2)],
        ..puts([create(b.patient, "Observation", "x").person(1)])
    };
    let done = b.commit(with_put);
    let s3 = b.now();
    assert_eq!(s3.epoch(k2).unwrap(), done.puts[0].seq);
    assert_eq!(
        s3.epoch(k1).unwrap(),
        s.seq(),
        "a record alone raises nothing"
    );
    let merge = Alias::Merge {
        from: person(1),
        to: person(2),
    };
    b.commit(alias(vec![merge]));
    let s4 = b.now();
    assert_eq!(s4.epoch(k1).unwrap(), s4.seq());
    assert_eq!(s4.epoch(k2).unwrap(), s4.seq());
    b.commit(raise(vec![PersonRef::Key(k1)], false));
    let s5 = b.now();
    assert_eq!(s5.epoch(k2).unwrap(), s5.seq(), "raised by an old key");
    b.commit(alias(vec![Alias::Split {
        from: PersonRef::Key(k1),
    }]));
    let s6 = b.now();
    assert_eq!(s6.epoch(k1).unwrap(), s6.seq());
    assert_eq!(s6.epoch(k2).unwrap(), s6.seq());
    assert_eq!(s5.epoch(k2).unwrap(), s5.seq());
}

/// DESIGN §3.1: a record that becomes stricter raises the epoch of its persons.
pub(super) fn stricter_raises(make: Make<'_>) {
    let b = Bench::fresh(make);
    let (k1, k2) = (b.key(1), b.key(2));
    let base = |body: &str| {
        update(b.patient, "Observation", "x", body)
            .person(1)
            .privacy(|p| {
                p.labels = 1;
                p.conf = 1;
                p.disclose_at = Some(100);
            })
    };
    let epochs = || {
        let s = b.now();
        (s.epoch(k1).unwrap(), s.epoch(k2).unwrap())
    };
    b.put(base("1"));
    b.put(base("2"));
    let looser = base("3").privacy(|p| {
        p.labels = 0;
        p.conf = 0;
        p.disclose_at = None;
    });
    b.put(looser);
    assert_eq!(epochs(), (Seq(0), Seq(0)), "looser or equal raises nothing");
    let changes: Vec<(&str, crate::Put)> = vec![
        (
            "later disclosure",
            base("4").privacy(|p| (p.labels, p.conf) = (0, 0)),
        ),
        ("labels", base("5").privacy(|p| p.conf = 0)),
        ("confidentiality", base("6")),
        ("class", base("7").privacy(|p| p.class = 9)),
    ];
    for (what, put) in changes {
        let made = b.put(put);
        assert_eq!(epochs(), (made.seq, Seq(0)), "{what}");
    }
    let mut moved = base("8").privacy(|p| p.class = 9);
    moved.persons = vec![person(2)];
    let made = b.put(moved);
    assert_eq!(
        epochs(),
        (made.seq, made.seq),
        "persons: the old and the new"
    );
}
