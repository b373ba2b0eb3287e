//! Filters against a linear scan that knows no index (spec/privacy.md §8.2, laws 1, 2, 5 and 8).

use super::Make;
use super::kit::*;
use crate::{
    Direction, Filter, Head, HistoryScope, IndexRow, KeyRange, Op, PersonKey, Pred, Put, Reader,
    Rid, TypeRule, Vno,
};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use std::collections::{BTreeMap, BTreeSet};

/// A record as the writer knows it, beside its rid.
struct Known {
    rid: Rid,
    put: Put,
    persons: Vec<u32>,
    author: Option<u32>,
    owner: Option<u32>,
}

/// The rule, written a second time, on what the writer wrote.
fn admits(pred: &Pred, k: &Known, keys: &BTreeMap<u32, PersonKey>, id: &str) -> bool {
    let p = &k.put.privacy;
    let any = |set: &BTreeSet<PersonKey>| k.persons.iter().any(|n| set.contains(&keys[n]));
    match pred {
        Pred::Compartment(set) => any(set),
        Pred::NotCompartment(set) => !any(set),
        Pred::RepoIn(set) => set.contains(&k.put.repo),
        Pred::ControllerIn(set) => set.contains(&p.controller),
        Pred::ClassIn(set) => set.contains(&p.class),
        Pred::ClassNotIn(set) => !set.contains(&p.class),
        Pred::LabelsClear(mask) => p.labels & mask == 0,
        Pred::ConfIn(bits) => bits & (1 << p.conf) != 0,
        Pred::Disclosed(at) => p.disclose_at.is_none_or(|t| t <= *at),
        Pred::DateFrom { class, day } => {
            p.class != *class || p.service_day.is_some_and(|d| d >= *day)
        }
        Pred::AuthorOrgIn(set) => p.author_org.as_ref().is_some_and(|o| set.contains(o)),
        Pred::AuthorOrgNotIn(set) => !p.author_org.as_ref().is_some_and(|o| set.contains(o)),
        Pred::AuthorPersonNot(key) => k.author.is_none_or(|n| keys[&n] != *key),
        Pred::SourceClientIs(client) => p.source_client.as_deref() == Some(client),
        Pred::IdIn(set) => set.contains(id),
        Pred::IdNotIn(set) => !set.contains(id),
        Pred::BusinessKeyIn(set) => p.business_keys.iter().any(|b| set.contains(b)),
        Pred::AreaIn(set) => p.area.is_some_and(|a| set.contains(&a)),
        Pred::StatusNotIn(set) => !p.status.as_ref().is_some_and(|s| set.contains(s)),
        Pred::OwnerIs(key) => k.owner.is_some_and(|n| keys[&n] == *key),
        Pred::TypeRules(rules) => rules.iter().any(|(rtype, rules)| {
            *rtype == k.put.rtype
                && rules.iter().any(|rule| {
                    let is_hers = match rule.person {
                        Some(key) => k.persons.iter().any(|n| keys[n] == key),
                        None => true,
                    };
                    is_hers && !rule.ids.iter().any(|ids| !ids.contains(id))
                })
        }),
        Pred::Mask { .. } => true,
    }
}

const PERSONS: u32 = 6;

fn random_put(b: &Bench, rng: &mut StdRng, id: &str) -> Known {
    let persons: Vec<u32> = (0..rng.random_range(0..3))
        .map(|_| rng.random_range(0..PERSONS))
        .collect();
    let author = rng.random_bool(0.5).then(|| rng.random_range(0..PERSONS));
    let owner = rng.random_bool(0.3).then(|| rng.random_range(0..PERSONS));
    let mut put = create(b.patient, "Observation", "body")
        .id(id)
        .op(Op::Update);
    for n in &persons {
        put = put.person(*n);
    }
    for _ in 0..rng.random_range(1..4) {
        put = put.key(1, format!("{:02}", rng.random_range(0..30)));
    }
    let some = |rng: &mut StdRng, names: &[&str]| -> Option<String> {
        rng.random_bool(0.7)
            .then(|| (*names.choose(rng).unwrap()).to_owned())
    };
    let p = &mut put.privacy;
    p.controller = (*["KJ", "PPS", "PJD"].choose(rng).unwrap()).to_owned();
    p.class = rng.random_range(0..4);
    p.labels = 1 << rng.random_range(0..4);
    p.conf = rng.random_range(0..3);
    p.disclose_at = rng.random_bool(0.3).then(|| rng.random_range(0..100));
    p.service_day = rng.random_bool(0.7).then(|| rng.random_range(0..100));
    p.author_org = some(rng, &["o1", "o2"]);
    p.author_person = author.map(person);
    p.owner = owner.map(person);
    p.source_client = some(rng, &["c1", "c2"]);
    p.status = some(rng, &["final", "entered-in-error"]);
    p.area = rng.random_bool(0.5).then(|| rng.random_range(0..4));
    p.business_keys = some(rng, &["b1", "b2", "b3"]).into_iter().collect();
    Known {
        rid: Rid(0),
        put,
        persons,
        author,
        owner,
    }
}

fn set<T: Ord>(list: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    list.into_iter().collect()
}

fn strings(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|s| (*s).to_owned()).collect()
}

fn rule(person: Option<PersonKey>, ids: Option<BTreeSet<String>>) -> TypeRule {
    TypeRule {
        person,
        query: String::new(),
        ids,
    }
}

/// One of each kind, over what [`random_put`] makes.
fn preds(b: &Bench, keys: &BTreeMap<u32, PersonKey>) -> Vec<Pred> {
    vec![
        Pred::Compartment(set([keys[&0]])),
        Pred::Compartment(set([keys[&1], keys[&2]])),
        Pred::NotCompartment(set([keys[&3]])),
        Pred::RepoIn(set([b.patient])),
        Pred::RepoIn(set([b.open])),
        Pred::ControllerIn(strings(&["KJ", "PPS"])),
        Pred::ClassIn(set([1, 3])),
        Pred::ClassNotIn(set([2])),
        Pred::LabelsClear(0b0101),
        Pred::ConfIn(0b011),
        Pred::Disclosed(50),
        Pred::DateFrom { class: 1, day: 50 },
        Pred::AuthorOrgIn(strings(&["o1"])),
        Pred::AuthorOrgNotIn(strings(&["o1"])),
        Pred::AuthorPersonNot(keys[&4]),
        Pred::SourceClientIs("c1".to_owned()),
        Pred::IdIn(strings(&["f1", "f7", "f30", "nobody"])),
        Pred::IdNotIn(strings(&["f1", "f2", "f3"])),
        Pred::BusinessKeyIn(strings(&["b1", "b3"])),
        Pred::AreaIn(set([1, 2])),
        Pred::StatusNotIn(strings(&["entered-in-error"])),
        Pred::OwnerIs(keys[&5]),
        Pred::TypeRules([("Observation".to_owned(), set([rule(Some(keys[&0]), None)]))].into()),
        Pred::TypeRules(
            [(
                "Observation".to_owned(),
                set([
                    rule(Some(keys[&1]), Some(strings(&["f1", "f7", "f30"]))),
                    rule(None, Some(strings(&["f2"]))),
                ]),
            )]
            .into(),
        ),
        Pred::TypeRules([("Patient".to_owned(), set([rule(None, None)]))].into()),
        Pred::Mask {
            class: 1,
            paths: strings(&["note"]),
        },
    ]
}

struct Filled {
    b: Bench,
    known: BTreeMap<String, Known>,
    keys: BTreeMap<u32, PersonKey>,
}

fn filled(make: Make<'_>, seed: u64, count: u32) -> Filled {
    let b = Bench::fresh(make);
    let mut rng = StdRng::seed_from_u64(seed);
    let keys: BTreeMap<u32, PersonKey> = (0..PERSONS).map(|n| (n, b.key(n))).collect();
    let mut known = BTreeMap::new();
    for i in 0..count {
        let id = format!("f{}", i % (count * 3 / 4));
        let mut k = random_put(&b, &mut rng, &id);
        k.rid = b.put(k.put.clone()).rid;
        known.insert(id, k);
    }
    for i in 0..count / 10 {
        let id = format!("f{}", i * 7 % (count * 3 / 4));
        if known.remove(&id).is_some() {
            b.put(delete(b.patient, "Observation", &id));
        }
    }
    Filled { b, known, keys }
}

/// What the filter must let through: (value, rid) rows of parameter 1, sorted.
fn linear(f: &Filled, preds: &[Pred]) -> (Vec<IndexRow>, Vec<Rid>) {
    let mut rows = BTreeSet::new();
    let mut rids = BTreeSet::new();
    for (id, k) in &f.known {
        if preds.iter().all(|p| admits(p, k, &f.keys, id)) {
            rids.insert(k.rid);
            for key in &k.put.keys {
                rows.insert(IndexRow {
                    value: key.value.clone(),
                    rid: k.rid,
                });
            }
        }
    }
    (rows.into_iter().collect(), rids.into_iter().collect())
}

fn check(f: &Filled, s: &dyn Reader, preds: &[Pred]) {
    let (first, rest) = preds.split_first().expect("at least one");
    let grant = f.b.grant(Filter::all(first.clone(), rest.to_vec()));
    let repo = f.b.patient;
    let (rows, rids) = linear(f, preds);
    let whole = KeyRange::whole(1);
    let up = Direction::Ascending;
    let got = s.scan(&grant, repo, &whole, up, None, 9_999).unwrap();
    assert_eq!(got, rows, "scan under {preds:?}");
    let mut joined: Vec<IndexRow> = Vec::new();
    loop {
        let page = s.scan(&grant, repo, &whole, up, joined.last(), 3).unwrap();
        if page.is_empty() {
            break;
        }
        joined.extend(page);
    }
    assert_eq!(joined, rows, "pages under {preds:?}");
    let part = range(1, "05", "15");
    let in_part: BTreeSet<Rid> = rows
        .iter()
        .filter(|r| (&b"05"[..]..&b"15"[..]).contains(&r.value.as_slice()))
        .map(|r| r.rid)
        .collect();
    let got = s.range(&grant, repo, &part, 9_999).unwrap();
    assert_eq!(got, in_part.into_iter().collect::<Vec<_>>());
    let got = s
        .type_rids(&grant, repo, "Observation", Rid(0), 9_999)
        .unwrap();
    assert_eq!(got, rids, "type under {preds:?}");
    let few = s.type_rids(&grant, repo, "Observation", Rid(0), 5).unwrap();
    assert_eq!(
        few,
        rids[..rids.len().min(5)],
        "the limit counts what is seen"
    );
    let everybody: Vec<Rid> = f.known.values().map(|k| k.rid).collect();
    let mut heads: Vec<Rid> = s
        .heads(&grant, &everybody)
        .unwrap()
        .iter()
        .map(|h: &Head| h.rid)
        .collect();
    heads.sort();
    assert_eq!(heads, rids);
    let one = BTreeSet::from([f.keys[&0]]);
    let of_person: Vec<Rid> = rids
        .iter()
        .copied()
        .filter(|r| {
            f.known
                .values()
                .any(|k| k.rid == *r && k.persons.contains(&0))
        })
        .collect();
    assert_eq!(s.compartment(&grant, repo, &one, 9_999).unwrap(), of_person);
    for (id, k) in f.known.iter().take(20) {
        let seen = rids.contains(&k.rid);
        let read = s.read(&grant, repo, "Observation", id).unwrap();
        assert_eq!(read.is_some(), seen, "{id} under {preds:?}");
        assert_eq!(!s.keys(&grant, k.rid).unwrap().is_empty(), seen);
    }
}

pub(super) fn every_pred(make: Make<'_>) {
    let f = filled(make, 11, 80);
    let s = f.b.now();
    for pred in preds(&f.b, &f.keys) {
        check(&f, &*s, &[pred]);
    }
    let closed = f.b.grant(Filter::Closed);
    let whole = KeyRange::whole(1);
    assert!(
        s.range(&closed, f.b.patient, &whole, 999)
            .unwrap()
            .is_empty()
    );
    let (id, _) = f.known.first_key_value().unwrap();
    let read = s.read(&closed, f.b.patient, "Observation", id).unwrap();
    assert!(read.is_none());
    let narrowed = f.b.all().narrowed(Filter::Closed);
    assert!(
        s.range(&narrowed, f.b.patient, &whole, 999)
            .unwrap()
            .is_empty()
    );
}

pub(super) fn random_scan(make: Make<'_>) {
    let f = filled(make, 23, 200);
    let s = f.b.now();
    let mut rng = StdRng::seed_from_u64(5);
    let all = preds(&f.b, &f.keys);
    for _ in 0..40 {
        let n = rng.random_range(2..5);
        let some: Vec<Pred> = all.choose_multiple(&mut rng, n).cloned().collect();
        check(&f, &*s, &some);
    }
    f.b.verify();
}

/// Law 8: whatever hidden records exist, the answer stays the same.
pub(super) fn hidden_changes_nothing(make: Make<'_>) {
    let mut answers = Vec::new();
    for hidden in [0u32, 300] {
        let b = Bench::fresh(make);
        let me = b.key(1);
        b.key(2);
        let mut list = Vec::new();
        for i in 0..20u32 {
            let value = format!("{:02}", i % 7);
            list.push(
                create(b.patient, "Observation", "mine")
                    .id(&format!("m{i}"))
                    .key(1, value)
                    .person(1),
            );
        }
        b.commit(puts(list));
        for i in 0..hidden {
            let put = create(b.patient, "Observation", "not mine").key(1, format!("{:02}", i % 7));
            b.put(put.id(&format!("h{i}")).person(2));
        }
        let grant = b.grant(Filter::all(Pred::Compartment([me].into()), []));
        let s = b.now();
        let whole = KeyRange::whole(1);
        let name = |rids: &[Rid]| -> Vec<String> {
            let list = s.fetch(&grant, rids).unwrap();
            list.into_iter().map(|r| r.head.id).collect()
        };
        let down = Direction::Descending;
        let rows = s.scan(&grant, b.patient, &whole, down, None, 15).unwrap();
        let rows: Vec<_> = rows
            .into_iter()
            .map(|r| (name(&[r.rid]), r.value))
            .collect();
        let all = s.range(&grant, b.patient, &whole, 10_000).unwrap();
        let types = s
            .type_rids(&grant, b.patient, "Observation", Rid(0), 15)
            .unwrap();
        let repo = b.patient;
        let history = s
            .history(&grant, &HistoryScope::Repository { repo }, None, 15)
            .unwrap();
        let history: Vec<_> = history.into_iter().map(|r| (r.head.id, r.body)).collect();
        let everybody: BTreeSet<PersonKey> = [b.key(1), b.key(2)].into();
        let both = s
            .compartment(&grant, b.patient, &everybody, 10_000)
            .unwrap();
        let probe = s.read(&grant, b.patient, "Observation", "h1").unwrap();
        answers.push(format!(
            "{rows:?} {:?} {:?} {history:?} {:?} {probe:?}",
            name(&all),
            name(&types),
            name(&both)
        ));
    }
    assert_eq!(answers[0], answers[1]);
}

/// A version is shown when the newest one and it itself are visible.
pub(super) fn history(make: Make<'_>) {
    let b = Bench::fresh(make);
    let put = |class: u16, body: &str| {
        update(b.patient, "Observation", "x", body).privacy(|p| p.class = class)
    };
    let grant = b.grant(Filter::all(Pred::ClassIn([1].into()), []));
    let scope = HistoryScope::Instance {
        repo: b.patient,
        rtype: "Observation".to_owned(),
        id: "x".to_owned(),
    };
    let seen = |what: &str| {
        let s = b.now();
        let list = s.history(&grant, &scope, None, 9).unwrap();
        let versions: Vec<u32> = list.iter().map(|r| r.head.vno.0).collect();
        for vno in 1..=3 {
            let one = s
                .vread(&grant, b.patient, "Observation", "x", Vno(vno))
                .unwrap();
            assert_eq!(one.is_some(), versions.contains(&vno), "{what} {vno}");
        }
        versions
    };
    b.put(put(1, "a"));
    assert_eq!(seen("first"), [1]);
    b.put(put(2, "b"));
    assert_eq!(seen("hidden now"), [0; 0]);
    b.put(put(1, "c"));
    assert_eq!(seen("seen again"), [3, 1]);
}
