//! Tables: what happens to a person, and which events and aliases tell it.

use super::*;
use crate::kernel::identifiers::{Book, resolve};
use crate::kernel::{EntryNo, log::Content};
use crate::persons::codes::{AddressForm, ProtectionLevel};
use crate::persons::document::{Address, Name};
use jiff::civil::Date;

const T: fn(i64) -> Moment = Moment;

fn person(number: &str) -> PersonDocument {
    let mut d = PersonDocument::default();
    let id = Identifier::parse(number).unwrap();
    let _ = d.identifiers.add(id, T(0), Origin::at(T(0)));
    let name = Name {
        given: "Vakker".into(),
        middle: None,
        family: "Blomst".into(),
    };
    let _ = d.name.set(name, T(0), Origin::at(T(0)));
    let _ = d.status.set(PersonStatus::Resident, T(0), Origin::at(T(0)));
    d
}

fn address(street: &str, moved: i8) -> Address {
    Address {
        form: AddressForm::Street,
        street: street.into(),
        number: "1".into(),
        letter: String::new(),
        unit: String::new(),
        care_of: String::new(),
        postcode: 7030,
        place: "TRONDHEIM".into(),
        municipality: 5001,
        district: None,
        basic_unit: None,
        moved: Some(Date::constant(2020, 1, moved)),
        grading: ProtectionLevel::Unclassified,
        abroad: None,
        elsewhere: None,
    }
}

type Change = fn(&mut PersonDocument);

#[test]
fn each_change_has_its_event() {
    use PersonEvent as E;
    let cases: &[(&str, Change, &[PersonEvent])] = &[
        (
            "death",
            |d| {
                let _ = d.status.set(PersonStatus::Deceased, T(5), Origin::at(T(5)));
                let _ = d
                    .death
                    .set(Date::constant(2026, 1, 1), T(5), Origin::at(T(5)));
            },
            &[E::ChangeInStatus, E::PersonIsDeceased, E::ChangeInDeath],
        ),
        (
            "move",
            |d| {
                let _ = d.residential.set(address("Ny", 2), T(5), Origin::at(T(5)));
            },
            &[E::ChangeInResidentialAddress],
        ),
        (
            "protection",
            |d| {
                let _ = d
                    .protection
                    .set(ProtectionLevel::Confidential, T(5), Origin::at(T(5)));
            },
            &[E::ChangeInAddressProtection],
        ),
        (
            "fnr",
            |d| {
                let n = Identifier::parse("13717404089").unwrap();
                let _ = d.identifiers.add(n, T(5), Origin::at(T(5)));
            },
            &[E::ChangeInNorwegianIdentificationNumber],
        ),
        (
            "something kept as it came",
            |d| {
                let mut line = Timeline::default();
                let _ = line.set(serde_json::json!({"x": 1}), T(5), Origin::at(T(5)));
                d.other.insert(OtherPart::StayOnSvalbard, line);
            },
            &[E::ChangeInResidencyOnSvalbard],
        ),
        (
            "emigration",
            |d| {
                let _ = d
                    .status
                    .set(PersonStatus::Emigrated, T(5), Origin::at(T(5)));
            },
            &[E::ChangeInStatus, E::PersonIsEmigrated],
        ),
    ];
    for (what, change, expected) in cases {
        let before = person("41667987421");
        let mut after = before.clone();
        change(&mut after);
        assert_eq!(
            PersonDocument::events(Some(&before), &after),
            *expected,
            "{what}"
        );
    }
    assert_eq!(
        PersonDocument::events(None, &person("81234567802")).len(),
        2
    );
}

#[test]
fn a_new_street_name_is_no_move() {
    let mut before = person("13717404089");
    let _ = before
        .residential
        .set(address("Gamleveien", 1), T(1), Origin::at(T(1)));
    let mut after = before.clone();
    let _ = after
        .residential
        .set(address("Nyveien", 1), T(5), Origin::at(T(5)));
    assert_eq!(
        PersonDocument::events(Some(&before), &after),
        [PersonEvent::ChangeInResidentialAddressWithoutRelocation]
    );
}

#[test]
fn merging_and_splitting_again() {
    let (a, b) = (EntryId(1), EntryId(2));
    let (mut gone, mut stays) = (person("13717404089"), person("12705825562"));
    let old = Identifier {
        in_use: false,
        ..Identifier::parse("41667987421").unwrap()
    };
    let _ = gone.identifiers.add(old, T(1), Origin::at(T(1)));
    let (gone_before, stays_before) = (gone.clone(), stays.clone());

    merge((a, &mut gone), (b, &mut stays), T(5));
    use PersonEvent as E;
    let events = PersonDocument::events(Some(&gone_before), &gone);
    assert!(events.contains(&E::PersonIsDiscontinuedAsDuplicate));
    let events = PersonDocument::events(Some(&stays_before), &stays);
    assert!(events.contains(&E::PersonIsContinuedAsValidUponMerger));
    let mut book = Book::default();
    book.put(EntryNo(0), a, gone.claims());
    book.put(EntryNo(1), b, stays.claims());
    for number in ["13717404089", "12705825562", "41667987421"] {
        let found = resolve(&book, Packed::digits(number).unwrap(), None).unwrap();
        assert_eq!(
            found,
            Some(EntryNo(1)),
            "all numbers lead to the one who stays"
        );
    }
    assert!(matches!(
        PersonDocument::aliases(Some(&gone_before), &gone, Some(&stays)).as_slice(),
        [Alias::Merge { .. }]
    ));
    assert!(PersonDocument::aliases(Some(&stays_before), &stays, None).is_empty());

    let merged = gone.clone();
    split((a, &mut gone), (b, &mut stays), T(9));
    assert!(PersonDocument::events(Some(&merged), &gone).contains(&E::PersonIsRestoredBySplitting));
    assert!(matches!(
        PersonDocument::aliases(Some(&merged), &gone, None).first(),
        Some(Alias::Split { .. })
    ));
    book.put(EntryNo(0), a, gone.claims());
    book.put(EntryNo(1), b, stays.claims());
    for (number, holder) in [("13717404089", 0), ("41667987421", 0), ("12705825562", 1)] {
        let found = resolve(&book, Packed::digits(number).unwrap(), None).unwrap();
        assert_eq!(found, Some(EntryNo(holder)));
    }
    let used: Vec<String> = current(&gone, T(10))
        .into_iter()
        .filter(|i| i.in_use)
        .map(|i| i.text())
        .collect();
    assert_eq!(
        used,
        ["13717404089"],
        "what was discontinued before stays so"
    );
}

#[test]
fn a_second_number_is_told_to_the_store() {
    let before = person("41667987421");
    let mut after = before.clone();
    let _ = after.identifiers.end(T(5));
    let old = Identifier {
        in_use: false,
        ..Identifier::parse("41667987421").unwrap()
    };
    let _ = after.identifiers.add(old, T(5), Origin::at(T(5)));
    let new = Identifier::parse("13717404089").unwrap();
    let _ = after.identifiers.add(new, T(5), Origin::at(T(5)));
    let aliases = PersonDocument::aliases(Some(&before), &after, None);
    assert_eq!(
        aliases,
        [Alias::AlsoKnownAs {
            person: PersonRef::id(crate::FNR_SYSTEM, "13717404089"),
            system: crate::FNR_SYSTEM.to_owned(),
            value: "41667987421".to_owned(),
        }]
    );
}

#[test]
fn protection_takes_addresses_away() {
    use ProtectionLevel as L;
    for (level, kept, grading) in [
        (L::Unclassified, true, L::Unclassified),
        (L::ClientAddress, true, L::ClientAddress),
        (L::Confidential, true, L::Confidential),
        (L::StrictlyConfidential, false, L::StrictlyConfidential),
    ] {
        let mut d = person("13717404089");
        let _ = d
            .residential
            .set(address("Gamleveien", 1), T(1), Origin::at(T(1)));
        let _ = d
            .residential
            .set(address("Nyveien", 2), T(3), Origin::at(T(3)));
        let _ = d.protection.set(level, T(5), Origin::at(T(5)));
        d.obey_protection(T(6));
        assert_eq!(!d.residential.is_empty(), kept, "{level:?}");
        assert!(d.residential.all().all(|h| h.value.grading == grading));
        let text = serde_json::to_string(&d).unwrap();
        assert_eq!(text.contains("veien"), kept, "{level:?}");
    }
}

#[test]
fn identifiers_by_form() {
    use IdentifierKind as K;
    for (text, kind) in [
        ("13717404089", Some(K::NationalIdentityNumber)),
        ("41667987421", Some(K::DNumber)),
        ("81234567802", Some(K::AlternateIdentificationNumber)),
        ("201812345678", Some(K::ImmigrationAuthoritiesNumber)),
        ("012345678901", None),
        ("1371740408", None),
        ("1371740408x", None),
        ("", None),
    ] {
        let read = Identifier::parse(text);
        assert_eq!(read.map(|i| i.kind), kind, "{text}");
        if let Some(read) = read {
            assert_eq!(read.text(), text);
        }
    }
}
