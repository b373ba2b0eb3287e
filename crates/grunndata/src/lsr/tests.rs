//! The contract and the operations that answer it are the same.

use super::CONTRACT;
use crate::subscriptions::held::Source;
use edge::soap::Contract;
use registers::positions::PositionEvent;

#[test]
fn the_contract_can_be_read() {
    Contract::parse(CONTRACT).unwrap();
}

#[test]
fn subscribers_know_every_event_of_the_register() {
    use PositionEvent::*;
    let mut all: Vec<&str> = [
        ApprovalCreated,
        ApprovalUpdated,
        DistributionCreated,
        DistributionUpdated,
        DistributionDeleted,
        EmploymentCreated,
        EmploymentUpdated,
        PositionCreated,
        PositionUpdated,
    ]
    .map(PositionEvent::name)
    .to_vec();
    let mut known = Source::Lsr.events().to_vec();
    all.sort_unstable();
    known.sort_unstable();
    assert_eq!(all, known);
}
