//! Rules of collaboration protocols as tables.

use super::held::{Agreement, Side, low};
use super::{agreement_xml, pair};
use edge::soap::Contract;
use registers::kernel::log::Content;
use registers::kernel::period::Moment;

#[test]
fn the_contract_can_be_read() {
    let contract = Contract::parse(super::soap::CONTRACT).expect("a contract");
    assert_eq!(contract.operations().len(), 13);
}

fn side(her_id: u32) -> Side {
    Side {
        her_id,
        name: "Parten".to_owned(),
        bus_async: Some(format!("localhost/Helsenav/{her_id}_async")),
        bus_sync: None,
        mail: None,
        encryption: None,
        signing: None,
        ends_s: None,
        roles: Vec::new(),
    }
}

fn agreement() -> Agreement {
    Agreement {
        id: "9333f3de-e85c-4c26-9066-6800055b1b8e".to_owned(),
        first: side(1),
        second: side(2),
        over_bus: true,
        created: Moment(0),
        end: Moment(1),
        ended: None,
        revoked: None,
    }
}

#[test]
fn a_pair_is_the_same_both_ways_and_apart_from_ids() {
    assert_eq!(pair(1, 2), pair(2, 1));
    assert_ne!(pair(1, 2), pair(1, 3));
    assert!(
        pair(u32::MAX >> 1, u32::MAX).0 < low("x"),
        "the highest bit tells them apart"
    );
}

#[test]
fn an_agreement_is_written_read_back_and_ends_once() {
    let made = agreement();
    let text = serde_json::to_string(&made).unwrap();
    assert_eq!(serde_json::from_str::<Agreement>(&text).unwrap(), made);
    let ended = Agreement {
        ended: Some(Moment(5)),
        ..made.clone()
    };
    assert_eq!(Agreement::events(None, &made)[0].name(), "CpaCreated");
    assert_eq!(
        Agreement::events(Some(&made), &ended)[0].name(),
        "CpaTerminated"
    );
    assert!(made.claims().identifiers[0].1 && !ended.claims().identifiers[0].1);
    assert!(agreement_xml(&made).contains(&made.id));
}
