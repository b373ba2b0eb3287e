//! Events of personnel and GP lists in the queues of subscribers: what is in a message, and who gets it.

use super::{OFFICE, OTHER, OWNER, PATIENT, USER, World, everywhere, flr, hpr, text_of};
use crate::address::events::Nothing;
use amqp::port::{Broker as _, Identity, Message, Settlement};
use grunndata::flr::events::ListEvents;
use grunndata::subscriptions::broker::EventBroker;
use grunndata::subscriptions::feed::{EventSource, feed_all};
use grunndata::subscriptions::held::Source;
use registers::kernel::period::Moment;
use std::sync::Arc;
use std::time::Duration;

const NOW_US: i64 = super::NOW_S * 1_000_000;

async fn feed(world: &World) {
    let subscriptions = world.subscriptions.clone();
    let lists: Arc<dyn EventSource> = Arc::new(ListEvents::new(world.flr.clone()).unwrap());
    let sources = [world.personnel.clone() as Arc<dyn EventSource>, lists];
    let work = move || feed_all(&subscriptions, &sources, NOW_US);
    tokio::task::spawn_blocking(work).await.unwrap().unwrap();
}

/// A queue of a user for all events of a source.
async fn subscribed(world: &World, user: &'static str, source: Source) -> String {
    let subscriptions = world.subscriptions.clone();
    let at = Moment(NOW_US / 1_000);
    let work = move || {
        subscriptions
            .subscribe(user, source, "", "epj", at)
            .unwrap()
    };
    tokio::task::spawn_blocking(work).await.unwrap().queue
}

/// Takes all messages out of a queue, as the bus user of the organisation.
async fn messages(world: &World, user: &str, queue: &str) -> Vec<Message> {
    let owner_of = Arc::new(|user: &str| user.strip_prefix("OrgUsr").map(str::to_owned));
    let broker = EventBroker::new(Nothing, world.subscriptions.clone(), owner_of);
    let who = Identity {
        user: user.to_owned(),
    };
    let node = broker.open_source(&who, queue).unwrap();
    let mut found = Vec::new();
    for delivery in broker
        .next(&who, &node, 100, Duration::from_millis(1))
        .await
    {
        broker
            .settle(&who, &node, delivery.lease, Settlement::Accepted)
            .await;
        found.push(delivery.message);
    }
    found
}

fn names(messages: &[Message]) -> Vec<String> {
    let names = messages.iter().map(|m| m.property("eventName").unwrap());
    names.collect()
}

/// What the access journal says was told of a person by events.
async fn told(world: &World, nin: &str) -> Vec<String> {
    let (store, nin) = (world.subscriptions.store().clone(), nin.to_owned());
    let work = move || {
        store.seal().unwrap();
        let person = store.intern_person(registers::FNR_SYSTEM, &nin).unwrap();
        let lines = store.journal_of(person, None, 100).unwrap();
        let operations = lines
            .iter()
            .filter_map(|l| l.entry.members.get("operation"));
        operations.map(|o| o.as_str().unwrap().to_owned()).collect()
    };
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[test]
fn a_change_of_personnel_is_a_pointer() {
    everywhere(async |world: World| {
        feed(&world).await;
        let queue = subscribed(&world, OTHER, Source::Hpr).await;
        let person = "<person><Etternavn>Ny</Etternavn><Fornavn>Helt</Fornavn><Kjønn><no:Verdi>2</no:Verdi></Kjønn></person>";
        let made = hpr::write(&world, "OpprettPerson", person).await;
        let number = text_of(&made, "HPRNummer").unwrap();
        feed(&world).await;
        let got = messages(&world, OTHER, &queue).await;
        assert_eq!(names(&got), ["PersonCreated"]);
        assert_eq!(got[0].property("hprNumber").as_deref(), Some(number));
        assert!(got[0].body.is_empty(), "details are fetched");
        assert!(messages(&world, OTHER, &queue).await.is_empty());
    });
}

#[test]
fn who_is_whose_patient_goes_to_the_own_office_only() {
    everywhere(async |world: World| {
        flr::filled(&world).await;
        feed(&world).await;
        let own = subscribed(&world, USER, Source::Flr).await;
        let strange = subscribed(&world, OTHER, Source::Flr).await;
        let max = "<gpContractId>1001</gpContractId><maxPatients>7</maxPatients>";
        flr::write(&world, "UpdateGPContractMaxPatients", max).await;
        let end = format!(
            "<gpContractId>1001</gpContractId><patientNin>{PATIENT}</patientNin><endReason><c:CodeValue>OHID</c:CodeValue></endReason><lastChanged>2026-11-22T13:00:00</lastChanged>"
        );
        flr::write(&world, "CancelPatientOnGPContract", &end).await;
        feed(&world).await;

        let got = messages(&world, USER, &own).await;
        assert_eq!(
            names(&got),
            ["ContractUpdated", "PatientOnContractCanceled"],
            "{got:?}"
        );
        assert!(
            got.iter()
                .all(|m| m.property("gpContractId").as_deref() == Some("1001"))
        );
        assert!(
            got.iter()
                .all(|m| m.properties.content_type.as_deref() == Some("application/xml"))
        );
        let contract = String::from_utf8(got[0].body.to_vec()).unwrap();
        assert!(contract.starts_with("<GPContract "), "{contract}");
        assert!(contract.contains("<MaxPatients>7</MaxPatients>"));
        assert!(contract.contains(&format!(
            "<GPOfficeOrganizationNumber>{OFFICE}</GPOfficeOrganizationNumber>"
        )));
        let line = String::from_utf8(got[1].body.to_vec()).unwrap();
        assert!(
            line.starts_with("<PatientToGPContractAssociation "),
            "{line}"
        );
        assert!(line.contains(&format!("<PatientNIN>{PATIENT}</PatientNIN>")));
        assert!(line.contains("OHID"));
        assert_eq!(told(&world, PATIENT).await, ["PatientOnContractCanceled"]);

        let got = messages(&world, OTHER, &strange).await;
        assert_eq!(names(&got), ["ContractUpdated"], "{got:?}");
        for message in &got {
            let text = format!("{message:?} {}", String::from_utf8_lossy(&message.body));
            assert!(!text.contains(PATIENT));
        }
    });
}

#[test]
fn an_event_without_its_part_is_a_pointer() {
    everywhere(async |world: World| {
        flr::filled(&world).await;
        feed(&world).await;
        let queue = subscribed(&world, OWNER, Source::Flr).await;
        let (no, contract) = world.lists.contract_entry(1001).unwrap();
        let id = registers::gplists::GpLists::part_number(no, contract.doctors[0].no);
        let of = format!("<associationId>{id}</associationId>");
        flr::write(&world, "DeleteGPOnContractAssociation", &of).await;
        feed(&world).await;
        let got = messages(&world, OWNER, &queue).await;
        assert_eq!(names(&got), ["GPOnContractDeleted"]);
        assert_eq!(got[0].property("id"), Some(id.to_string()));
        assert!(got[0].body.is_empty());
    });
}
