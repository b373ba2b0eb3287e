//! Rules of the address register as tables.

use super::record::*;
use super::rules::*;
use super::search::Query;
use crate::directory::PartyKind;
use crate::kernel::log::Content;
use crate::kernel::period::{Moment, Period};
use proptest::prelude::*;

const NOW: Moment = Moment(1_000_000_000_000);

fn address(code: &str, address: &str, from: Option<i64>) -> ElectronicAddress {
    ElectronicAddress {
        code: code.to_owned(),
        address: address.to_owned(),
        changed: Moment(1),
        from: from.map(Moment),
    }
}

fn organisation() -> PartyRecord {
    PartyRecord {
        electronic: vec![
            address("E_EDI", "top@edi.example", None),
            address("E_TLF", "11", None),
        ],
        ..PartyRecord::new(
            1,
            PartyKind::Organisation,
            "Legekontoret",
            "999999999",
            Moment(1),
        )
    }
}

fn service() -> PartyRecord {
    PartyRecord {
        parent: Some(1),
        electronic: vec![address("E_TLF", "22", None)],
        ..PartyRecord::new(2, PartyKind::Service, "Tjenesten", "999999999", Moment(1))
    }
}

fn certificate_line(
    purpose: CertificateUse,
    serial: &str,
    since: i64,
    not_after_s: i64,
) -> CertificateLine {
    CertificateLine {
        purpose,
        der: vec![1],
        serial: serial.to_owned(),
        name: "x".to_owned(),
        not_before_s: 0,
        not_after_s,
        thumbprint: String::new(),
        since: Moment(since),
    }
}

#[test]
fn addresses_are_own_or_inherited_by_type() {
    let (top, below) = (organisation(), service());
    let found: Vec<(&str, &str, bool)> = electronic(&below, Some(&top), NOW)
        .iter()
        .map(|a| (a.value.code.as_str(), a.value.address.as_str(), a.inherited))
        .collect();
    assert_eq!(
        found,
        [("E_TLF", "22", false), ("E_EDI", "top@edi.example", true)]
    );
    assert_eq!(
        electronic(&below, None, NOW).len(),
        1,
        "nothing to inherit is nothing"
    );
}

#[test]
fn a_future_address_waits_for_its_day() {
    let mut party = organisation();
    party
        .electronic
        .push(address("E_EDI", "new@edi.example", Some(NOW.0 + 1)));
    assert_eq!(
        super::rules::address(&party, None, "E_EDI", NOW),
        Some("top@edi.example")
    );
    assert_eq!(future(&party, NOW).count(), 1);
    let later = Moment(NOW.0 + 1);
    assert_eq!(
        super::rules::address(&party, None, "E_EDI", later),
        Some("new@edi.example")
    );
    assert_eq!(future(&party, later).count(), 0);
}

#[test]
fn the_newest_certificate_that_holds_is_in_use() {
    use CertificateUse::{Encryption, Signing};
    let now_s = NOW.0 / 1_000;
    let mut top = organisation();
    top.certificates = vec![
        certificate_line(Encryption, "1", 10, now_s + 10),
        certificate_line(Encryption, "2", 20, now_s + 10),
        certificate_line(Encryption, "3", 30, now_s - 10),
        certificate_line(Signing, "4", 40, now_s - 10),
    ];
    let below = service();
    let serial = |purpose| {
        certificate(&below, Some(&top), purpose, NOW).map(|c| (c.value.serial.clone(), c.inherited))
    };
    assert_eq!(serial(Encryption), Some(("2".to_owned(), true)));
    assert_eq!(
        serial(Signing),
        Some(("4".to_owned(), true)),
        "an expired one is better than none: the other side says what is wrong"
    );
    let mut own = below.clone();
    own.certificates = vec![certificate_line(Encryption, "9", 1, now_s - 1)];
    assert_eq!(
        certificate(&own, Some(&top), Encryption, NOW).map(|c| c.inherited),
        Some(false)
    );
}

#[test]
fn warnings_before_a_certificate_ends() {
    let now_s = NOW.0 / 1_000;
    for (left_s, expected) in [
        (-1, Expiry::Expired),
        (0, Expiry::Late),
        (108 * 3_600 - 1, Expiry::Late),
        (108 * 3_600, Expiry::Soon),
        (30 * 86_400 - 1, Expiry::Soon),
        (30 * 86_400, Expiry::Fine),
    ] {
        let line = certificate_line(CertificateUse::Signing, "1", 0, now_s + left_s);
        assert_eq!(expiry(&line, NOW), expected, "{left_s}");
    }
}

#[test]
fn messages_need_a_living_party_with_an_address() {
    let (top, below) = (organisation(), service());
    assert!(is_valid_party(&below, Some(&top), NOW));
    let ended = |p: &PartyRecord| PartyRecord {
        valid: Period::ALWAYS.ended(NOW),
        ..p.clone()
    };
    assert!(!is_valid_party(&ended(&below), Some(&top), NOW));
    assert!(!is_valid_party(&below, Some(&ended(&top)), NOW));
    assert!(!is_valid_party(&below, None, NOW), "no address at all");
}

#[test]
fn types_of_organisations_have_their_lists() {
    assert_eq!(allowed_lists("101"), Some(&[8659, 8660, 8666, 8668][..]));
    assert_eq!(allowed_lists("116"), None, "the standard does not say");
    for kind in [
        "101", "102", "103", "104", "105", "108", "109", "110", "113", "114", "115",
    ] {
        for list in allowed_lists(kind).unwrap() {
            assert!(ADDRESSING_LISTS.contains(list), "{kind} {list}");
        }
    }
}

#[test]
fn events_say_what_happened() {
    let before = organisation();
    let names = |before: Option<&PartyRecord>, after: &PartyRecord| -> Vec<&'static str> {
        PartyRecord::events(before, after)
            .iter()
            .map(|e| e.kind.name())
            .collect()
    };
    assert_eq!(names(None, &before), ["CommunicationPartyCreated"]);
    let mut after = before.clone();
    after.transports.push("Amqp".to_owned());
    assert_eq!(
        names(Some(&before), &after),
        [
            "CommunicationPartyUpdated",
            "CommunicationPartyTransportEnabled"
        ]
    );
    after.name = "Nytt navn".to_owned();
    assert_eq!(
        names(Some(&after.clone()), &after),
        ["CommunicationPartyUpdated"]
    );
}

#[test]
fn a_row_is_written_and_read_back() {
    let mut party = organisation();
    party.certificates = vec![certificate_line(CertificateUse::Signing, "77", 1, 2)];
    let text = serde_json::to_string(&party).unwrap();
    assert_eq!(serde_json::from_str::<PartyRecord>(&text).unwrap(), party);
}

#[test]
fn constraints_that_cannot_be_used_are_refused_without_their_value() {
    for (key, value) in [
        ("HerId", "secret"),
        ("Type", "secret"),
        ("Active", "secret"),
        ("Nonsense", "secret"),
    ] {
        let error = Query::read([(key, value)]).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    assert!(Query::read([("Name", "x".repeat(300).as_str())]).is_err());
    let many = vec![("HerId", "1"); 200];
    assert!(Query::read(many).is_err());
    assert!(Query::read([("type", "Organisation"), ("HERID", "12")]).is_ok());
}

proptest! {
    #[test]
    fn reading_constraints_never_panics(pairs in proptest::collection::vec(("\\PC{0,12}", "\\PC{0,20}"), 0..6)) {
        let _ = Query::read(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    }
}
