//! The laws of filters (spec/privacy.md §8.2) over arbitrary conditions and records.

use proptest::prelude::*;
use std::collections::BTreeSet;
use store::*;

fn key() -> impl Strategy<Value = PersonKey> {
    (1u64..5).prop_map(PersonKey)
}

fn keys() -> impl Strategy<Value = BTreeSet<PersonKey>> {
    proptest::collection::btree_set(key(), 0..3)
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![Just("KJ"), Just("PPS"), Just("x")].prop_map(str::to_owned)
}

fn words() -> impl Strategy<Value = BTreeSet<String>> {
    proptest::collection::btree_set(word(), 0..3)
}

fn classes() -> impl Strategy<Value = BTreeSet<u16>> {
    proptest::collection::btree_set(1u16..4, 0..3)
}

fn pred() -> impl Strategy<Value = Pred> {
    prop_oneof![
        keys().prop_map(Pred::Compartment),
        keys().prop_map(Pred::NotCompartment),
        proptest::collection::btree_set((1u16..3).prop_map(RepoId), 0..2).prop_map(Pred::RepoIn),
        words().prop_map(Pred::ControllerIn),
        classes().prop_map(Pred::ClassIn),
        classes().prop_map(Pred::ClassNotIn),
        (0u64..16).prop_map(Pred::LabelsClear),
        any::<u8>().prop_map(Pred::ConfIn),
        (-2i64..3).prop_map(Pred::Disclosed),
        (1u16..4, -2i32..3).prop_map(|(class, day)| Pred::DateFrom { class, day }),
        words().prop_map(Pred::AuthorOrgIn),
        words().prop_map(Pred::AuthorOrgNotIn),
        key().prop_map(Pred::AuthorPersonNot),
        word().prop_map(Pred::SourceClientIs),
        words().prop_map(Pred::IdIn),
        words().prop_map(Pred::IdNotIn),
        words().prop_map(Pred::BusinessKeyIn),
        proptest::collection::btree_set(1u8..4, 0..2).prop_map(Pred::AreaIn),
        words().prop_map(Pred::StatusNotIn),
        key().prop_map(Pred::OwnerIs),
        (1u16..4, words()).prop_map(|(class, paths)| Pred::Mask { class, paths }),
    ]
}

fn filter() -> impl Strategy<Value = Filter> {
    prop_oneof![
        1 => Just(Filter::Open),
        1 => Just(Filter::Closed),
        8 => (pred(), proptest::collection::vec(pred(), 0..4)).prop_map(|(p, rest)| Filter::all(p, rest)),
    ]
}

prop_compose! {
    fn privacy()(
        controller in word(), class in 1u16..4, labels in 0u64..16, conf in 0u8..10,
        disclose_at in proptest::option::of(-2i64..3), service_day in proptest::option::of(-2i32..3),
        author_org in proptest::option::of(word()), source_client in proptest::option::of(word()),
        status in proptest::option::of(word()), area in proptest::option::of(1u8..4),
        business_keys in proptest::collection::vec(word(), 0..3),
    ) -> Privacy {
        Privacy {
            controller, class, labels, conf, disclose_at, service_day, author_org, source_client,
            status, area, business_keys, author_person: None, owner: None,
        }
    }
}

prop_compose! {
    fn head()(
        privacy in privacy(), repo in 1u16..3, id in word(),
        persons in proptest::collection::vec(key(), 0..3),
        author_person in proptest::option::of(key()), owner in proptest::option::of(key()),
    ) -> Head {
        Head {
            rid: Rid(1), repo: RepoId(repo), rtype: "T".to_owned(), id, vno: Vno(1), seq: Seq(1),
            at: 0, op: Op::Create, persons, author_person, owner, privacy,
        }
    }
}

fn canonical(filter: &Filter) -> String {
    serde_json::to_string(filter).expect("serialisable")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Law 7: intersected, never replaced.
    #[test]
    fn and_is_intersection(a in filter(), b in filter(), h in head()) {
        prop_assert_eq!(a.clone().and(b.clone()).admits(&h), a.admits(&h) && b.admits(&h));
    }

    /// Narrowing never shows more.
    #[test]
    fn and_is_monotone(a in filter(), b in filter(), h in head()) {
        let narrowed = a.clone().and(b);
        prop_assert!(!narrowed.admits(&h) || a.admits(&h));
    }

    /// The same conditions have the same form and fingerprint, in whatever order they came.
    #[test]
    fn form_is_canonical(a in filter(), b in filter(), c in filter()) {
        let one = a.clone().and(b.clone()).and(c.clone());
        let two = c.and(b.and(a.clone())).and(a);
        prop_assert_eq!(&one, &two);
        prop_assert_eq!(one.fingerprint(), two.fingerprint());
        prop_assert_eq!(canonical(&one), canonical(&two));
    }

    #[test]
    fn different_filters_have_different_fingerprints(a in filter(), b in filter()) {
        prop_assert_eq!(a == b, a.fingerprint() == b.fingerprint());
    }

    #[test]
    fn written_and_read_again(a in filter(), h in head()) {
        let again: Filter = serde_json::from_str(&canonical(&a)).expect("read again");
        prop_assert_eq!(&again, &a);
        prop_assert_eq!(again.admits(&h), a.admits(&h));
        prop_assert_eq!(again.fingerprint(), a.fingerprint());
    }

    /// Law 9: closed is closed, and nothing joined to it opens it; open adds nothing.
    #[test]
    fn open_and_closed(a in filter(), h in head()) {
        prop_assert_eq!(a.clone().and(Filter::Closed), Filter::Closed);
        prop_assert_eq!(Filter::Closed.and(a.clone()), Filter::Closed);
        prop_assert_eq!(a.clone().and(Filter::Open), a.clone());
        prop_assert_eq!(Filter::Open.and(a.clone()), a);
        prop_assert!(!Filter::Closed.admits(&h));
    }

    /// Removing a label never shows less; one more person who blocks never shows more.
    #[test]
    fn labels_and_blocks_only_hide(mask in 0u64..16, set in keys(), more in key(), h in head()) {
        let f = Filter::all(Pred::LabelsClear(mask), [Pred::NotCompartment(set.clone())]);
        let mut bare = h.clone();
        bare.privacy.labels = 0;
        prop_assert!(!f.admits(&h) || f.admits(&bare));
        let mut wider = set;
        wider.insert(more);
        let g = Filter::all(Pred::LabelsClear(mask), [Pred::NotCompartment(wider)]);
        prop_assert!(!g.admits(&h) || f.admits(&h));
    }
}
