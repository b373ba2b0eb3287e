//! Tables and properties of identifier history.

use super::*;
use proptest::prelude::*;

fn id(n: u32) -> EntryId {
    EntryId(u128::from(n) + 1)
}

fn has(identifiers: &[(u64, bool, i64)]) -> Claims {
    Claims {
        identifiers: identifiers
            .iter()
            .map(|(n, in_use, from)| (Packed(*n), *in_use, Period::since(Moment(*from))))
            .collect(),
        merged_into: None,
    }
}

fn merged(mut claims: Claims, into: u32) -> Claims {
    claims.merged_into = Some(id(into));
    claims
}

fn book(entries: &[(u32, Claims)]) -> Book {
    let mut book = Book::default();
    for (no, claims) in entries {
        book.put(EntryNo(*no), id(*no), claims.clone());
    }
    book
}

fn to(book: &Book, number: u64, at: Option<Moment>) -> Option<u32> {
    resolve(book, Packed(number), at).unwrap().map(|n| n.0)
}

fn leads(book: &Book, number: u64) -> Option<u32> {
    to(book, number, None)
}

#[test]
fn a_d_number_keeps_leading_to_the_person() {
    let b = book(&[(0, has(&[(41, false, 0), (1, true, 5)]))]);
    assert_eq!(leads(&b, 41), Some(0));
    assert_eq!(leads(&b, 1), Some(0));
    assert_eq!(leads(&b, 2), None);
}

#[test]
fn merge_and_split() {
    let mut b = book(&[(0, has(&[(1, true, 0)])), (1, has(&[(2, true, 0)]))]);
    // 1 is found to be 0, which takes over the number as discontinued
    b.put(EntryNo(1), id(1), merged(has(&[(2, false, 0)]), 0));
    assert_eq!(leads(&b, 2), Some(0), "through the merge");
    b.put(EntryNo(0), id(0), has(&[(1, true, 0), (2, false, 0)]));
    assert_eq!(leads(&b, 2), Some(0), "as its own earlier number");
    // a mistake: apart again
    b.put(EntryNo(0), id(0), has(&[(1, true, 0)]));
    b.put(EntryNo(1), id(1), has(&[(2, true, 0)]));
    assert_eq!((leads(&b, 1), leads(&b, 2)), (Some(0), Some(1)));
}

#[test]
fn merges_are_followed_to_the_end() {
    let b = book(&[
        (0, merged(has(&[(1, false, 0)]), 1)),
        (1, merged(has(&[(2, false, 0)]), 2)),
        (2, has(&[(3, true, 0)])),
    ]);
    assert_eq!([1, 2, 3].map(|n| leads(&b, n)), [Some(2); 3]);
}

#[test]
fn a_number_used_again_leads_to_the_present_holder() {
    let mut first = has(&[(7, false, 0)]);
    first.identifiers[0].2 = Period::between(Moment(0), Moment(10));
    let b = book(&[(0, first), (1, has(&[(7, true, 20)]))]);
    assert_eq!(leads(&b, 7), Some(1));
    for (at, holder) in [
        (-1, None),
        (0, Some(0)),
        (9, Some(0)),
        (10, None),
        (20, Some(1)),
    ] {
        assert_eq!(to(&b, 7, Some(Moment(at))), holder, "{at}");
    }
}

#[test]
fn conflicts() {
    let b = book(&[
        (0, has(&[(1, true, 0)])),
        (1, merged(has(&[(2, true, 0)]), 0)),
    ]);
    let cases = [
        (
            2,
            has(&[(9, false, 0), (1, true, 0)]),
            Err(Conflict::InUse { position: 1 }),
        ),
        (2, has(&[(1, false, 0)]), Ok(())),
        (0, has(&[(1, true, 0)]), Ok(())),
        (2, has(&[(2, true, 0)]), Ok(())),
        (2, merged(has(&[(1, true, 0)]), 0), Ok(())),
        (2, merged(has(&[]), 9), Err(Conflict::NoSuchEntry)),
        (0, merged(has(&[]), 1), Err(Conflict::Circle)),
        (0, merged(has(&[]), 0), Err(Conflict::Circle)),
    ];
    for (case, (no, claims, expected)) in cases.into_iter().enumerate() {
        assert_eq!(
            check(&b, EntryNo(no), &claims).unwrap(),
            expected,
            "case {case}"
        );
    }
}

#[test]
fn digits_are_packed_and_shown_again() {
    for text in ["00000000001", "13116900216", "201812345678"] {
        assert_eq!(Packed::digits(text).unwrap().text(text.len()), text);
    }
    for bad in ["", "12a", "-1", "1234567890123456789", "１２"] {
        assert_eq!(Packed::digits(bad), None, "{bad}");
    }
    assert!(!format!("{:?}", Packed(13116900216)).contains("131169"));
}

fn claims() -> impl Strategy<Value = (u32, Claims)> {
    let one = (0u64..6, any::<bool>(), 0i64..8);
    (
        0u32..5,
        proptest::collection::vec(one, 0..3),
        proptest::option::weighted(0.3, 0u32..5),
    )
        .prop_map(|(no, list, into)| {
            let mut c = has(&list);
            c.merged_into = into.map(id);
            (no, c)
        })
}

proptest! {
    // Whatever is written under the check: every identifier that stands in use leads to its one holder, every number
    // ever listed leads to somebody who stands, and the order of writing the same state does not matter.
    #[test]
    fn what_passes_the_check_resolves(writes in proptest::collection::vec(claims(), 0..25)) {
        let mut b = Book::default();
        for (no, c) in writes {
            if check(&b, EntryNo(no), &c).unwrap().is_ok() {
                let twice = c.identifiers.iter().filter(|(_, in_use, _)| *in_use).count() > 1;
                if !twice {
                    b.put(EntryNo(no), id(no), c);
                }
            }
        }
        let held = (0..).zip(&b.claims);
        let state: Vec<(EntryNo, Claims)> = held.filter_map(|(n, c)| Some((EntryNo(n), c.clone()?))).collect();
        for (no, claims) in &state {
            for (identifier, in_use, _) in &claims.identifiers {
                let found = resolve(&b, *identifier, None).unwrap();
                prop_assert!(found.is_some());
                prop_assert!(b.claims(found.unwrap()).unwrap().merged_into.is_none());
                if *in_use && claims.merged_into.is_none() {
                    prop_assert_eq!(found, Some(*no));
                }
            }
        }
        let mut ordered = state.clone();
        ordered.sort_by_key(|(n, _)| std::cmp::Reverse(*n));
        let mut again = Book::default();
        for (no, c) in ordered {
            again.put(no, id(no.0), c);
        }
        for n in 0..6 {
            prop_assert_eq!(leads(&b, n), leads(&again, n));
        }
    }
}
