//! Rules of the address register's edge as tables.

use super::certificates::{Filter, read_address};
use super::rest::{event_id, read_event_id};
use super::service::{CONTRACT_2016, CONTRACT_2025, CONTRACT_EXPORT};
use edge::soap::Contract;
use proptest::prelude::*;

#[test]
fn the_contracts_can_be_read() {
    for (text, operations) in [
        (CONTRACT_2016, 42),
        (CONTRACT_2025, 43),
        (CONTRACT_EXPORT, 1),
    ] {
        let contract = Contract::parse(text).expect("a contract");
        assert_eq!(
            contract.operations().len(),
            operations,
            "{}",
            contract.interface
        );
    }
}

#[test]
fn directory_addresses_in_the_forms_that_are_in_use() {
    let serials = "ldap://ldap.test4.buypass.no/dc=Buypass,dc=no,CN=Buypass%20Class%203?usercertificate;binary?sub?(|(certificateSerialNumber=12)(certificateSerialNumber=034))";
    let named = "ldap://h/dc=x?usercertificate;binary?sub?(&(sn=983544622)(cn=TEST%20-%20DDFL))";
    for (address, expected) in [
        (
            serials,
            Some(Filter {
                serials: vec!["12".to_owned(), "34".to_owned()],
                ..Filter::default()
            }),
        ),
        (
            named,
            Some(Filter {
                sn: Some("983544622".to_owned()),
                cn: Some("TEST - DDFL".to_owned()),
                ..Filter::default()
            }),
        ),
        ("ldap://h/dc=x", None),
        ("", None),
        ("ldap://h/?x?sub?(certificateSerialNumber=abc)", None),
    ] {
        assert_eq!(read_address(address), expected, "{address}");
    }
}

#[test]
fn event_ids_are_guids_of_numbers() {
    for number in [0, 1, 77, u64::MAX] {
        assert_eq!(read_event_id(&event_id(number)), Some(number));
    }
    assert_eq!(read_event_id("12"), Some(12));
    for bad in ["", "x", "-1", "ffffffff-ffff-ffff-ffff-ffffffffffff"] {
        assert_eq!(read_event_id(bad), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn reading_an_address_never_panics(text in "\\PC{0,80}") {
        let _ = read_address(&text);
    }

    #[test]
    fn reading_an_event_id_never_panics(text in "\\PC{0,40}") {
        let _ = read_event_id(&text);
    }
}
