//! Rules of subscriptions as tables.

use super::feed::{Happened, message};
use super::held::{Source, Subscription};
use amqp::port::Simple;
use edge::soap::Contract;
use registers::kernel::period::Moment;

#[test]
fn the_contract_can_be_read() {
    let contract = Contract::parse(super::soap::CONTRACT).expect("a contract");
    assert_eq!(contract.operations().len(), 3);
    assert_eq!(
        contract.operations()[0].action,
        "http://schemas.nhn.no/reg/serviceBusManagerV2/IServiceBusManagerV2/Subscribe"
    );
}

#[test]
fn who_wants_what() {
    let subscription = |event: Option<&str>| Subscription {
        queue: "q".to_owned(),
        source: Source::AddressRegister,
        event: event.map(str::to_owned),
        ident: "x".to_owned(),
        user: "OrgUsr1".to_owned(),
        created: Moment(0),
        ended: None,
    };
    for (event, source, name, wants) in [
        (
            None,
            Source::AddressRegister,
            "CommunicationPartyCreated",
            true,
        ),
        (None, Source::Cppa, "CpaCreated", false),
        (None, Source::AddressRegister, "NumbersSetAside", false),
        (
            Some("CommunicationPartyUpdated"),
            Source::AddressRegister,
            "CommunicationPartyCreated",
            false,
        ),
        (
            Some("CommunicationPartyUpdated"),
            Source::AddressRegister,
            "CommunicationPartyUpdated",
            true,
        ),
    ] {
        assert_eq!(subscription(event).wants(source, name), wants);
    }
}

#[test]
fn a_message_points_to_the_party() {
    let happened = Happened {
        number: 7,
        name: "CommunicationPartyUpdated",
        properties: vec![("herId", Simple::Signed(93252, 32))],
        ..Happened::default()
    };
    let made = message("subscriptions/parties", &happened, "q");
    assert_eq!(
        made.property("eventName").as_deref(),
        Some("CommunicationPartyUpdated")
    );
    assert_eq!(made.property("herId").as_deref(), Some("93252"));
    assert!(made.body.is_empty());
    let again = message("subscriptions/parties", &happened, "q");
    assert_eq!(made.properties.message_id, again.properties.message_id);
}
