//! The rules as a table; the search against looking at every row.

use super::*;
use crate::kernel::EntryNo;
use crate::persons::codes::ProtectionLevel;
use crate::persons::file::{Builder, ReadFile, Stamp};
use crate::persons::row::pack;
use crate::persons::testing::{NOW, Seed, id, person, seeds};
use proptest::prelude::*;

fn raw<'a>() -> Raw<'a> {
    Raw::default()
}

#[test]
fn rules_of_search() {
    use Violation as V;
    let name = Some("Kari");
    let born = Some("1980-01-05");
    let cases: Vec<(Raw<'_>, Vec<V>)> = vec![
        (
            Raw {
                given_name: name,
                birth_date: born,
                ..raw()
            },
            vec![],
        ),
        (
            Raw {
                full_name: name,
                municipality_number: Some("0301"),
                ..raw()
            },
            vec![],
        ),
        (
            Raw {
                family_name: name,
                street_address: Some("Sto"),
                ..raw()
            },
            vec![],
        ),
        (
            Raw {
                birth_date: born,
                ..raw()
            },
            vec![V::NoName],
        ),
        (
            Raw {
                given_name: Some("  "),
                birth_date: born,
                ..raw()
            },
            vec![V::NoName],
        ),
        (
            Raw {
                given_name: Some("Bo"),
                birth_date: born,
                ..raw()
            },
            vec![V::TooFewLetters],
        ),
        (
            Raw {
                given_name: Some("Bo"),
                family_name: Some("L"),
                birth_date: born,
                ..raw()
            },
            vec![],
        ),
        (
            Raw {
                given_name: Some("B - o"),
                birth_date: born,
                ..raw()
            },
            vec![V::TooFewLetters],
        ),
        (
            Raw {
                given_name: name,
                ..raw()
            },
            vec![V::NothingNarrow],
        ),
        (
            Raw {
                given_name: name,
                street_address: Some("St 12"),
                ..raw()
            },
            vec![V::NothingNarrow],
        ),
        (
            Raw {
                given_name: name,
                postal_code: Some("0301"),
                ..raw()
            },
            vec![V::NothingNarrow],
        ),
        (
            Raw {
                given_name: Some("Kari1"),
                birth_date: born,
                ..raw()
            },
            vec![V::NotLetters { field: "GivenName" }],
        ),
        (
            Raw {
                given_name: name,
                birth_date: Some("1980-13"),
                ..raw()
            },
            vec![V::NotDate { field: "BirthDate" }],
        ),
        (
            Raw {
                given_name: name,
                municipality_number: Some("301"),
                ..raw()
            },
            vec![V::NotDigits {
                field: "MunicipalityNumber",
                digits: 4,
            }],
        ),
        (
            Raw {
                given_name: name,
                birth_date: born,
                street_address: Some("Storgata; 1"),
                ..raw()
            },
            vec![V::NotStreet],
        ),
        (
            Raw {
                given_name: name,
                birth_date: born,
                gender: Some("Other"),
                ..raw()
            },
            vec![V::UnknownValue { field: "Gender" }],
        ),
        (raw(), vec![V::NoName, V::NothingNarrow]),
    ];
    for (case, (raw, broken)) in cases.into_iter().enumerate() {
        let result = Query::search(&raw).err().unwrap_or_default();
        assert_eq!(result, broken, "case {case}");
    }
    let long = "a".repeat(201);
    let result = Query::search(&Raw {
        given_name: Some(&long),
        birth_date: born,
        ..raw()
    });
    assert_eq!(
        result,
        Err(vec![V::TooLong {
            field: "GivenName",
            most: 200
        }])
    );
}

#[test]
fn rules_of_lists() {
    use Violation as V;
    let cases: Vec<(Raw<'_>, Vec<V>)> = vec![
        (raw(), vec![]),
        (
            Raw {
                birth_date_from: Some("1980"),
                birth_date_to: Some("1980-02"),
                ..raw()
            },
            vec![],
        ),
        (
            Raw {
                birth_date_from: Some("1981"),
                birth_date_to: Some("1980"),
                ..raw()
            },
            vec![V::Backwards],
        ),
        (
            Raw {
                given_name: Some("Bo"),
                ..raw()
            },
            vec![V::TooShort {
                field: "GivenName",
                least: 3,
            }],
        ),
        (
            Raw {
                street_address: Some("Stor"),
                ..raw()
            },
            vec![V::TooShort {
                field: "StreetAddress",
                least: 5,
            }],
        ),
        (
            Raw {
                person_statuses: &["Resident", "Dead"],
                ..raw()
            },
            vec![V::UnknownValue {
                field: "PersonStatuses",
            }],
        ),
        (
            Raw {
                basic_statistical_unit: Some("0301010"),
                ..raw()
            },
            vec![V::NotDigits {
                field: "BasicStatisticalUnit",
                digits: 8,
            }],
        ),
    ];
    for (case, (raw, broken)) in cases.into_iter().enumerate() {
        assert_eq!(
            Query::list(&raw).err().unwrap_or_default(),
            broken,
            "case {case}"
        );
    }
}

#[test]
fn dates_of_birth() {
    let birth = |text| {
        let raw = Raw {
            given_name: Some("Kari"),
            birth_date: Some(text),
            ..raw()
        };
        Query::search(&raw).ok().and_then(|q| q.birth)
    };
    for (text, range) in [
        ("1980", Some((19_800_000, 19_809_999))),
        ("1980-02", Some((19_800_200, 19_800_299))),
        ("1980-02-29", Some((19_800_229, 19_800_229))),
        ("1981-02-29", None),
        ("80", None),
        ("1980-2", None),
        ("1980-02-291", None),
        ("1980-02-29-01", None),
        ("-1980", None),
        ("0000", None),
        ("１９８０", None),
    ] {
        assert_eq!(birth(text), range, "{text}");
    }
}

fn one(seed: Seed, change: impl FnOnce(&mut crate::persons::PersonDocument)) -> Vec<u8> {
    let mut document = person(1, seed);
    change(&mut document);
    pack(id(1), &document, NOW)
}

#[test]
fn names_and_streets_match_as_people_write_them() {
    use crate::kernel::timeline::{Origin, Timeline};
    use crate::persons::document::Name;
    let row = one(Seed([1; 12]), |d| {
        d.name = Timeline::default();
        let name = Name {
            given: "Åse Marie".into(),
            middle: Some("Øvre".into()),
            family: "Berg-Hansen".into(),
        };
        let _ = d.name.set(name, NOW, Origin::at(NOW));
        d.residential = Timeline::default();
        let mut home = crate::persons::testing::address(0, 0, ProtectionLevel::Unclassified);
        home.number = "12".into();
        home.letter = "B".into();
        let _ = d.residential.set(home, NOW, Origin::at(NOW));
        d.present = Timeline::default();
    });
    let row = Row::new(&row);
    let text = |t: &str| Some(codes::fold::fold(t));
    let names: [(Query, bool); 9] = [
        (
            Query {
                given: text("Åse"),
                ..Query::default()
            },
            true,
        ),
        (
            Query {
                given: text("ase ma"),
                ..Query::default()
            },
            true,
        ),
        (
            Query {
                given: text("Marie"),
                ..Query::default()
            },
            false,
        ),
        (
            Query {
                family: text("berg"),
                ..Query::default()
            },
            true,
        ),
        (
            Query {
                family: text("Hansen"),
                ..Query::default()
            },
            false,
        ),
        (
            Query {
                middle: text("ø"),
                ..Query::default()
            },
            true,
        ),
        (
            Query {
                full: vec!["hansen".into(), "mar".into(), "ovr".into()],
                ..Query::default()
            },
            true,
        ),
        (
            Query {
                full: vec!["hansen".into(), "arie".into()],
                ..Query::default()
            },
            false,
        ),
        (
            Query {
                given: text("Åse"),
                family: text("Li"),
                ..Query::default()
            },
            false,
        ),
    ];
    for (case, (query, expected)) in names.into_iter().enumerate() {
        assert_eq!(query.matches(row, NOW), expected, "case {case}");
    }
    for (street, expected) in [
        ("Storgata", true),
        ("stor", true),
        ("storgata 12", true),
        ("Storgata12b", true),
        ("Storgata 12 B", true),
        ("Storgata 1", false),
        ("Storgata 12 C", false),
        ("gata", false),
    ] {
        let query = Query {
            street: Some(rules::spaced(street)),
            ..Query::default()
        };
        assert_eq!(query.matches(row, NOW), expected, "{street}");
    }
}

#[test]
fn who_matches_by_address() {
    use ProtectionLevel as L;
    for (level, without, with) in [
        (L::Unclassified, true, true),
        (L::ClientAddress, false, true),
        (L::Confidential, false, true),
        (L::StrictlyConfidential, false, false),
    ] {
        let row = one(Seed([1; 12]), |d| {
            let origin = crate::kernel::timeline::Origin::at(NOW);
            let _ = d.protection.set(level, NOW, origin);
        });
        let row = Row::new(&row);
        let home = person(1, Seed([1; 12]))
            .residential
            .one_at(NOW)
            .unwrap()
            .municipality;
        for (legal_basis, expected) in [(false, without), (true, with)] {
            let query = Query {
                municipality: Some(home),
                legal_basis,
                ..Query::default()
            };
            assert_eq!(query.matches(row, NOW), expected, "{level:?} {legal_basis}");
        }
    }
}

fn queries() -> impl Strategy<Value = Query> {
    let word = prop::sample::select(vec![
        "ka", "kari", "kari an", "o", "ase", "zoe", "berg", "bergan", "hansen", "x",
    ]);
    let names = proptest::collection::vec(proptest::option::weighted(0.25, word), 3..=3);
    let full = proptest::collection::vec(
        prop::sample::select(vec!["ka", "be", "a", "nord", "li"]),
        0..3,
    );
    let street = prop::sample::select(vec![
        "stor",
        "storgata 1",
        "as",
        "storgata 3 b",
        "ovre slottsgate",
        "nei",
    ]);
    let birth = prop::sample::select(vec![
        (19_800_000, 19_809_999),
        (19_810_100, 19_810_199),
        (19_820_305, 19_820_305),
        (0, 19_801_231),
    ]);
    (
        (names, full, proptest::option::weighted(0.2, street)),
        (
            proptest::option::weighted(0.3, birth),
            proptest::option::weighted(0.3, prop::sample::select(vec![301u16, 5001, 1])),
            proptest::option::weighted(0.1, 100u16..105),
            proptest::option::weighted(0.1, Just(3_010_101u32)),
        ),
        proptest::option::weighted(0.2, prop::sample::select(Gender::ALL)),
        proptest::collection::vec(prop::sample::select(PersonStatus::ALL), 0..2),
        any::<[bool; 2]>(),
    )
        .prop_map(
            |(
                (names, full, street),
                (birth, municipality, postcode, basic_unit),
                gender,
                statuses,
                [a, b],
            )| Query {
                given: names[0].map(str::to_owned),
                middle: names[1].map(str::to_owned),
                family: names[2].map(str::to_owned),
                full: full.into_iter().map(str::to_owned).collect(),
                street: street.map(str::to_owned),
                postcode,
                city: None,
                municipality,
                basic_unit,
                birth,
                gender,
                statuses,
                include_alternate: a,
                legal_basis: b,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    // The index finds exactly what looking at every row finds, whether a row is in the file, changed since, or new; pages
    // put together are the whole.
    #[test]
    fn the_index_finds_what_is_there(
        all in proptest::collection::vec((seeds(), proptest::option::weighted(0.2, seeds())), 1..60),
        fresh in proptest::collection::vec(seeds(), 0..5),
        asked in proptest::collection::vec(queries(), 1..6),
        page in 1usize..7,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.read");
        let mut builder = Builder::create(&path, NOW).unwrap();
        let mut overlay = Overlay::default();
        let mut state: Vec<Vec<u8>> = Vec::new();
        for ((before, after), n) in all.iter().zip(0u32..) {
            let old = pack(id(n), &person(n, *before), NOW);
            builder.push(Row::new(&old)).unwrap();
            state.push(match after {
                None => old,
                Some(after) => {
                    let new = pack(id(n), &person(n, *after), NOW);
                    overlay.put(EntryNo(n), new.clone().into(), 9);
                    new
                }
            });
        }
        builder.finish(Stamp { incarnation: 1, seq: 1, events: 0 }).unwrap();
        for (seed, n) in fresh.iter().zip(u32::try_from(all.len()).unwrap()..) {
            let new = pack(id(n), &person(n, *seed), NOW);
            overlay.put(EntryNo(n), new.clone().into(), 9);
            state.push(new);
        }
        let file = ReadFile::open(&path).unwrap();
        let view = View { file: &file, overlay: &overlay };
        for query in asked {
            let expected: Vec<EntryNo> = state
                .iter()
                .zip(0u32..)
                .filter(|(row, _)| query.matches(Row::new(row), NOW))
                .map(|(_, n)| EntryNo(n))
                .collect();
            let mut found = Vec::new();
            let mut from = Some(EntryNo(0));
            while let Some(at) = from {
                let part = view.search(&query, NOW, at, page, usize::MAX).unwrap();
                prop_assert!(part.entries.len() == page || part.next.is_none());
                found.extend(part.entries);
                from = part.next;
            }
            prop_assert_eq!(&found, &expected);
            let count = view.count(&query, NOW, usize::MAX).unwrap();
            prop_assert_eq!(count, u64::try_from(expected.len()).unwrap());
        }
    }

    #[test]
    fn any_text_is_judged_without_panic(texts in proptest::collection::vec(proptest::option::of(".{0,30}"), 12..=12)) {
        let at = |n: usize| texts[n].as_deref();
        let raw = Raw {
            given_name: at(0),
            middle_name: at(1),
            family_name: at(2),
            full_name: at(3),
            street_address: at(4),
            postal_code: at(5),
            city_name: at(6),
            municipality_number: at(7),
            basic_statistical_unit: at(8),
            birth_date: at(9),
            birth_date_from: at(10),
            birth_date_to: at(11),
            gender: at(0),
            person_statuses: &[],
        };
        let _ = Query::search(&raw);
        if let Ok(query) = Query::list(&raw) {
            prop_assert!(query.full.len() <= 3);
        }
    }
}

#[test]
fn a_search_that_is_too_wide_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.read");
    let mut builder = Builder::create(&path, NOW).unwrap();
    for n in 0..20 {
        let row = pack(id(n), &person(n, Seed([1; 12])), NOW);
        builder.push(Row::new(&row)).unwrap();
    }
    builder
        .finish(Stamp {
            incarnation: 1,
            seq: 1,
            events: 0,
        })
        .unwrap();
    let file = ReadFile::open(&path).unwrap();
    let overlay = Overlay::default();
    let view = View {
        file: &file,
        overlay: &overlay,
    };
    let nobody = Query {
        city: Some("nowhere".into()),
        ..Query::default()
    };
    let wide = view.search(&nobody, NOW, EntryNo(0), 5, 10);
    assert!(matches!(wide, Err(SearchError::TooWide)));
    assert!(
        view.search(&nobody, NOW, EntryNo(0), 5, 20)
            .unwrap()
            .entries
            .is_empty()
    );
}
