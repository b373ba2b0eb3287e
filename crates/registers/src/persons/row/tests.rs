//! A packed row says the same as the document; bytes from anywhere never make it panic.

use super::*;
use crate::persons::testing::{NOW, id, person, seeds};
use proptest::prelude::*;

/// What a row keeps of a document.
fn without_history(mut d: PersonDocument) -> PersonDocument {
    fn now<T: Clone>(line: &Timeline<T>) -> Timeline<T> {
        line.from_now(NOW).cloned().collect()
    }
    d.identifiers = d
        .identifiers
        .all()
        .filter(|h| !h.annulled)
        .cloned()
        .collect();
    d.name = now(&d.name);
    d.birth = now(&d.birth);
    d.gender = now(&d.gender);
    d.status = now(&d.status);
    d.death = now(&d.death);
    d.residential = now(&d.residential);
    d.present = now(&d.present);
    d.shared = now(&d.shared);
    d.protection = now(&d.protection);
    d.family = now(&d.family);
    d.parental = now(&d.parental);
    d.marital = now(&d.marital);
    d.citizenship = now(&d.citizenship);
    d.guardianship = now(&d.guardianship);
    d.other = d
        .other
        .iter()
        .map(|(part, line)| (*part, now(line)))
        .collect();
    d.absorbed.clear();
    d
}

#[test]
fn a_row_is_compact() {
    let all: usize = (0..200u8)
        .map(|n| {
            let seed = crate::persons::testing::Seed(std::array::from_fn(|at| {
                n.wrapping_mul(31)
                    .wrapping_add(u8::try_from(at).unwrap().wrapping_mul(57))
            }));
            pack(id(n.into()), &person(n.into(), seed), NOW).len()
        })
        .sum();
    assert!(all / 200 < 450, "{} bytes on average", all / 200);
}

#[test]
fn too_much_for_a_row_stays_in_the_log() {
    let mut d = person(1, crate::persons::testing::Seed([1; 12]));
    let mut line = Timeline::default();
    let long = serde_json::json!("x".repeat(70_000));
    let _ = line.set(
        long,
        Moment(0),
        crate::kernel::timeline::Origin::at(Moment(0)),
    );
    d.other.insert(OtherPart::FalseIdentity, line);
    let packed = pack(id(1), &d, NOW);
    assert!(packed.len() <= MAX_ROW_BYTES);
    assert!(
        Row::new(&packed)
            .part(OtherPart::FalseIdentity.code())
            .is_none()
    );
    assert_eq!(Row::new(&packed).names().count(), 1);
}

#[test]
fn protection_that_begins_later_hides_the_address_then() {
    let mut d = person(1, crate::persons::testing::Seed([1; 12]));
    let later = Moment(NOW.0 + 10);
    let _ = d.protection.set(
        ProtectionLevel::StrictlyConfidential,
        later,
        crate::kernel::timeline::Origin::at(NOW),
    );
    let packed = pack(id(1), &d, NOW);
    let row = Row::new(&packed);
    for (at, addresses, hidden) in [(NOW, 1, false), (later, 0, true)] {
        assert_eq!(row.addresses(tag::RESIDENTIAL, at).count(), addresses);
        assert_eq!(row.has_hidden_address(at), hidden);
    }
    let again = pack(id(1), &row.document(), later);
    assert!(!Row::new(&again).has_hidden_address(later));
}

proptest! {
    #[test]
    fn a_row_says_what_the_document_says(seed in seeds(), n in any::<u32>()) {
        let document = person(n, seed);
        let packed = pack(id(n), &document, NOW);
        let row = Row::new(&packed);
        prop_assert_eq!(row.id(), Some(id(n)));
        let expected = without_history(document);
        prop_assert_eq!(serde_json::to_value(row.document()).unwrap(), serde_json::to_value(&expected).unwrap());
        prop_assert!(row.document() == expected);
        let claims = crate::kernel::log::Content::claims(&expected);
        prop_assert_eq!(row.claims(), claims);
        let mut padded = packed.clone();
        padded.extend_from_slice(&[0; 3]);
        prop_assert!(Row::new(&padded).document() == expected);
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let row = Row::new(&bytes);
        let _ = (row.id(), row.claims(), row.document(), row.protection_at(NOW));
        for kind in [tag::RESIDENTIAL, tag::PRESENT, tag::SHARED] {
            let _ = row.addresses(kind, NOW).count();
        }
    }

    #[test]
    fn a_damaged_row_is_read_without_panic(seed in seeds(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut packed = pack(id(1), &person(1, seed), NOW);
        let at = at.index(packed.len());
        packed[at] = byte;
        let row = Row::new(&packed);
        let _ = (row.document(), row.claims());
        packed.truncate(at);
        let _ = Row::new(&packed).document();
    }

    #[test]
    fn numbers_days_and_instants_come_back(value in any::<u64>(), signed in any::<i64>(), at in -62_000_000_000_000i64..200_000_000_000_000) {
        let mut out = Out::default();
        out.varint(value);
        out.signed(signed);
        out.moment(Moment(at));
        out.moment(Moment(at.div_euclid(86_400_000) * 86_400_000));
        let bytes = out.into_bytes();
        let mut input = In::new(&bytes);
        prop_assert_eq!(input.varint(), Some(value));
        prop_assert_eq!(input.signed(), Some(signed));
        prop_assert_eq!(input.moment(), Some(Moment(at)));
        prop_assert_eq!(input.moment(), Some(Moment(at.div_euclid(86_400_000) * 86_400_000)));
        prop_assert!(input.is_empty());
    }
}
