use super::*;
use proptest::prelude::*;

#[test]
fn story_numbers_are_valid_and_say_date_and_sex() {
    let rows = [
        ("14896849817", "1968-09-14", Sex::Female),
        ("17854149881", "1941-05-17", Sex::Female),
        ("24911099841", "2010-11-24", Sex::Female),
        ("09831899945", "2018-03-09", Sex::Male),
        ("21868749927", "1987-06-21", Sex::Male),
        ("45909949630", "1999-10-05", Sex::Female),
        ("21927249992", "1972-12-21", Sex::Male),
    ];
    for (text, born, sex) in rows {
        let nin = Nin::parse(text).unwrap();
        assert_eq!(nin.birth_date().unwrap().to_string(), born, "{text}");
        assert_eq!(nin.sex(), Some(sex), "{text}");
        assert!(nin.is_synthetic());
        assert_eq!(nin.as_str(), text);
    }
}

#[test]
fn every_rule_has_its_error() {
    let rows = [
        ("1489684981", NinError::Length { found: 10 }),
        ("148968498170", NinError::Length { found: 12 }),
        ("", NinError::Length { found: 0 }),
        ("1489684981A", NinError::NotDigits { position: 11 }),
        ("1489684981٣", NinError::NotDigits { position: 11 }),
        ("00000000000", NinError::BadMonth),
        ("14136849817", NinError::BadMonth),
        ("32817248022", NinError::BadDate),
        ("30828012345", NinError::BadDate),
        ("14896849867", NinError::FirstCheckDigit),
        ("14896849818", NinError::SecondCheckDigit),
    ];
    for (text, want) in rows {
        assert_eq!(Nin::parse(text), Err(want), "{text}");
    }
    assert_eq!(
        Nin::parse_with("14896849817", NinRules::PRODUCTION),
        Err(NinError::Synthetic)
    );
    assert!(Nin::parse_with("01815040178", NinRules::TEST).is_ok());
}

#[test]
fn the_rule_of_2032_is_a_switch_and_hides_sex_and_century() {
    let strict = NinRules {
        strict_1964: true,
        synthetic: true,
    };
    for text in ["30108299939", "23838194540", "10875199442", "23879399483"] {
        assert_eq!(
            Nin::parse_with(text, strict),
            Err(NinError::FirstCheckDigit)
        );
        let nin = Nin::parse(text).unwrap();
        assert!(nin.needs_2032_rule());
        assert_eq!((nin.birth_date(), nin.sex()), (None, None));
    }
}

#[test]
fn kinds_and_systems() {
    let rows = [
        (
            "14896849817",
            NinKind::Fnr,
            oid_of("FNR"),
            MonthOffset::Plus80,
        ),
        (
            "45909949630",
            NinKind::Dnr,
            oid_of("DNR"),
            MonthOffset::Plus80,
        ),
        (
            "83000000186",
            NinKind::Fhn,
            oid_of("FHN"),
            MonthOffset::None,
        ),
        (
            "13116900216",
            NinKind::Fnr,
            oid_of("FNR"),
            MonthOffset::None,
        ),
        (
            "13717404089",
            NinKind::Fnr,
            oid_of("FNR"),
            MonthOffset::Plus65,
        ),
        (
            "41667987421",
            NinKind::Dnr,
            oid_of("DNR"),
            MonthOffset::Plus65,
        ),
        (
            "16496604176",
            NinKind::Fnr,
            oid_of("FNR"),
            MonthOffset::Plus40,
        ),
    ];
    for (text, kind, system, offset) in rows {
        let nin = Nin::parse(text).unwrap();
        assert_eq!(
            (nin.kind(), nin.system(), nin.month_offset()),
            (kind, system, offset),
            "{text}"
        );
    }
    assert!(HNumber::parse("16496604176").is_ok());
    assert_eq!(
        HNumber::parse("14896849817").unwrap_err(),
        NinError::WrongKind
    );
    assert!(FhNumber::parse("83000000186").is_ok());
    assert_eq!(
        FhNumber::parse("14896849817").unwrap_err(),
        NinError::WrongKind
    );
}

fn oid_of(code: &str) -> &'static str {
    crate::oid::person_id_system(code).unwrap()
}

#[test]
fn centuries_follow_the_series() {
    let rows = [
        ("05870424193", Some("1904-07-05")),
        ("22811968173", Some("2019-01-22")),
        ("41814075603", Some("1940-01-01")),
        ("41814061033", Some("1940-01-01")),
        ("41810021827", None),
        ("45926820005", Some("1968-12-05")),
        ("02013299997", Some("2032-01-02")),
    ];
    for (text, want) in rows {
        let got = Nin::parse(text)
            .unwrap()
            .birth_date()
            .map(|d| d.to_string());
        assert_eq!(got.as_deref(), want, "{text}");
    }
}

#[test]
fn swapped_digits_are_pointed_out() {
    assert!(Nin::parse("14898649817").is_err());
    assert_eq!(
        transposition_hint("14898649817"),
        Some(Transposition { first: 5 })
    );
    assert_eq!(
        transposition_hint("14896849817"),
        None,
        "valid numbers need no hint"
    );
    assert_eq!(transposition_hint("14896849818"), None);
    assert_eq!(transposition_hint("abc"), None);
}

#[test]
fn numbers_are_never_shown_by_debug_or_in_errors() {
    let nin = Nin::parse("14896849817").unwrap();
    let shown = format!(
        "{nin:?} {:?} {}",
        FhNumber::parse("83000000186"),
        mask("14896849817")
    );
    assert!(
        !shown.contains("148") && !shown.contains("83000"),
        "{shown}"
    );
    for bad in ["14896849818", "14136849817", "1489684981A"] {
        let e = Nin::parse(bad).unwrap_err();
        assert!(!format!("{e} {e:?}").contains("1489"));
    }
}

#[test]
fn builder_makes_the_story_number_first() {
    let builder = NinBuilder {
        born: jiff::civil::date(1968, 9, 14),
        sex: Sex::Female,
        offset: MonthOffset::Plus80,
        dnr: false,
    };
    assert_eq!(builder.numbers().next().unwrap().as_str(), "14896849817");
    for dnr in [false, true] {
        for sex in [Sex::Female, Sex::Male] {
            let b = NinBuilder {
                dnr,
                sex,
                ..builder
            };
            let listed: Vec<_> = b.numbers().collect();
            let direct: Vec<_> = (0..).map_while(|n| b.nth(n)).collect();
            assert_eq!(listed, direct);
            assert!(listed.len() > 190);
        }
    }
    let first = (830_000_001..).find_map(NinBuilder::help_number).unwrap();
    assert_eq!(first.as_str(), "83000000186");
}

#[test]
fn organisation_numbers() {
    for good in [
        "315900018",
        "315900247",
        "974760673",
        "889640782",
        "396007142",
    ] {
        assert!(Orgnr::parse(good).is_ok(), "{good}");
    }
    assert!(Orgnr::parse("315900018").unwrap().is_synthetic());
    assert!(!Orgnr::parse("974760673").unwrap().is_synthetic());
    assert_eq!(
        Orgnr::parse("396007143"),
        Err(IdError::CheckDigit {
            what: "organisation number"
        })
    );
    assert!(matches!(
        Orgnr::parse("12345678"),
        Err(IdError::Length { found: 8, .. })
    ));
    assert!(matches!(
        Orgnr::parse("97476067x"),
        Err(IdError::NotDigits { position: 9, .. })
    ));
    let fake = Orgnr::parse_form("999988891").unwrap();
    assert!(!fake.check_digit_ok());
    assert_eq!(Orgnr::build(31_590_001).unwrap().to_string(), "315900018");
    assert!(matches!(
        Orgnr::parse("000000000"),
        Err(IdError::Range { .. })
    ));
}

#[test]
fn small_numbers() {
    assert_eq!(HprNumber::parse("565900011"), Ok(HprNumber(565_900_011)));
    assert_eq!(HprNumber::parse("0007"), Ok(HprNumber(7)));
    assert!(HprNumber::parse("0").is_err() && HprNumber::parse("").is_err());
    assert!(HprNumber::parse("1234567890").is_err() && HprNumber::parse("12a").is_err());
    assert_eq!(HerId::parse("8141705"), Ok(HerId(8_141_705)));
    assert!(ReshId::parse("-1").is_err());
    assert_eq!(AkoNumber::parse("1990"), Ok(AkoNumber(1990)));
    assert!(AkoNumber::parse("1000").is_err());
    assert!(DufNumber::parse("201512345678").is_ok());
    assert!(DufNumber::parse("101512345678").is_err());
}

#[test]
fn message_ids() {
    let id = MsgId::parse("0F0C6A52-8F3B-4D0E-9F57-3F8D0C6A1B2E").unwrap();
    assert_eq!(id.as_str(), "0f0c6a52-8f3b-4d0e-9f57-3f8d0c6a1b2e");
    for bad in [
        "1234",
        "",
        "{0f0c6a52-8f3b-4d0e-9f57-3f8d0c6a1b2e}",
        "0f0c6a528f3b4d0e9f573f8d0c6a1b2e",
        "00000000-0000-0000-0000-000000000000",
        "0f0c6a52-8f3b-4d0e-9f57-3f8d0c6a1b2g",
    ] {
        assert!(MsgId::parse(bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn parsers_never_panic(text in "\\PC{0,40}") {
        let _ = (Nin::parse(&text), Orgnr::parse(&text), HprNumber::parse(&text), MsgId::parse(&text));
        let _ = (transposition_hint(&text), DufNumber::parse(&text), AkoNumber::parse(&text));
    }

    #[test]
    fn digits_never_panic(text in "[0-9]{11}") {
        if let Ok(nin) = Nin::parse(&text) {
            prop_assert_eq!(nin.as_str(), &text);
            prop_assert_eq!(nin.packed(), text.parse::<u64>().unwrap());
        }
    }

    #[test]
    fn one_wrong_digit_is_always_found(days in 0..36_000_i64, at in 0..11_usize, by in 1..10_u8) {
        let born = jiff::civil::date(1940, 1, 1).checked_add(jiff::Span::new().days(days)).unwrap();
        let builder = NinBuilder { born, sex: Sex::Male, offset: MonthOffset::Plus80, dnr: false };
        if let Some(nin) = builder.numbers().next() {
            prop_assert!(Nin::parse(nin.as_str()).is_ok());
            prop_assert_eq!(nin.birth_date(), Some(born));
            let mut wrong = nin.as_str().as_bytes().to_vec();
            wrong[at] = b'0' + (wrong[at] - b'0' + by) % 10;
            let wrong = String::from_utf8(wrong).unwrap();
            let strict = NinRules { strict_1964: true, synthetic: true };
            prop_assert!(Nin::parse_with(&wrong, strict).is_err());
        }
    }
}
