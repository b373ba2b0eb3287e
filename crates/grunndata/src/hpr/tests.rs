//! The contract, and small rules of the edge.

use super::*;
use edge::soap::contract::Kind;

#[test]
fn the_contract_reads() {
    let contract = Contract::parse(CONTRACT).unwrap();
    assert_eq!(contract.operations().len(), 58);
    assert_eq!(contract.target(), "http://schemas.nhn.no/reg/HPRv2");
    let by_action = contract.by_action("http://schemas.nhn.no/reg/HPRv2/IHPR2Service/Søk2");
    assert_eq!(by_action.unwrap().name, "Søk2");
    let person = contract
        .find("http://schemas.nhn.no/reg/HPRv2", "Person")
        .unwrap();
    match &contract.get(person).unwrap().kind {
        Kind::Object { fields, .. } => assert_eq!(fields.len(), 18),
        other => panic!("{other:?}"),
    }
}

#[test]
fn pages() {
    for (side, size, expected) in [
        (None, None, Some((1, 100))),
        (Some(0), Some(0), Some((1, 100))),
        (Some(3), Some(1000), Some((3, 1000))),
        (Some(1), Some(1001), None),
        (Some(-1), None, None),
        (Some(1), Some(-5), None),
    ] {
        assert_eq!(reads::page(side, size).ok(), expected, "{side:?} {size:?}");
    }
}

#[test]
fn times_on_the_clocks_of_norway() {
    for (text, again) in [
        ("2026-03-01T00:00:00", "2026-03-01T00:00:00"),
        ("2026-02-28T23:00:00Z", "2026-03-01T00:00:00"),
        ("2026-07-01T00:00:00+02:00", "2026-07-01T00:00:00"),
    ] {
        let time = written(moment(DateTime::parse(text).unwrap()));
        assert_eq!(Some(time), DateTime::parse(again), "{text}");
    }
}
