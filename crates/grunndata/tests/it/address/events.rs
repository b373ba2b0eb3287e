//! Subscriptions, the feed, and the queues on the bus.

use super::{HOSPITAL_NO, NOW_S, OFFICE, OFFICE_NO, WARD, World, at, everywhere, text_of};
use amqp::port::{
    AttachError, Broker, Delivery, Disposition, Identity, Lease, Message, Node, Settlement,
};
use futures_util::future::BoxFuture;
use grunndata::subscriptions::Subscriptions;
use grunndata::subscriptions::broker::EventBroker;
use grunndata::subscriptions::feed::{EventSource, feed_all};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

const CONTRACT: (&str, &str) = (
    "http://schemas.nhn.no/reg/serviceBusManagerV2",
    "IServiceBusManagerV2",
);

async fn manager(world: &World, operation: &str, parameters: &str, user: &str) -> super::Answer {
    world
        .soap(
            "/v2/serviceBusManager/Basic",
            CONTRACT,
            operation,
            parameters,
            user,
        )
        .await
}

fn subscribe(event: &str, ident: &str) -> String {
    format!(
        "<eventSource>AddressRegister</eventSource><eventName>{event}</eventName><userSystemIdent>{ident}</userSystemIdent>"
    )
}

/// A broker without queues of its own.
pub struct Nothing;

impl Broker for Nothing {
    fn authenticate(&self, _: IpAddr, _: &str, _: &str) -> Option<Identity> {
        None
    }
    fn open_target(&self, _: &Identity, _: &str) -> Result<Node, AttachError> {
        Err(AttachError::new("amqp:not-found", "inner"))
    }
    fn open_source(&self, _: &Identity, _: &str) -> Result<Node, AttachError> {
        Err(AttachError::new("amqp:not-found", "inner"))
    }
    fn on_message(&self, _: &Identity, _: &Node, _: Message) -> BoxFuture<'static, Disposition> {
        Box::pin(async { Disposition::Released })
    }
    fn next(
        &self,
        _: &Identity,
        _: &Node,
        _: usize,
        _: Duration,
    ) -> BoxFuture<'static, Vec<Delivery>> {
        Box::pin(async { Vec::new() })
    }
    fn renew(&self, _: &Node, _: Vec<Lease>) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
    fn settle(&self, _: &Identity, _: &Node, _: Lease, _: Settlement) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
    fn renew_every(&self) -> Duration {
        Duration::from_secs(60)
    }
}

fn broker(subscriptions: &Arc<Subscriptions>) -> EventBroker<Nothing> {
    let owner_of = Arc::new(|user: &str| match user {
        "office" => Some(OFFICE_NO.to_owned()),
        "hospital" => Some(HOSPITAL_NO.to_owned()),
        _ => None,
    });
    EventBroker::new(Nothing, subscriptions.clone(), owner_of)
}

fn who(user: &str) -> Identity {
    Identity {
        user: user.to_owned(),
    }
}

async fn feed(world: &World) {
    let subscriptions = world.subscriptions.clone();
    let parties: Arc<dyn EventSource> = world.table.parties().clone();
    let work = move || feed_all(&subscriptions, &[parties], NOW_S * 1_000_000);
    tokio::task::spawn_blocking(work).await.unwrap().unwrap();
}

#[test]
fn subscribing_is_idempotent_and_ends() {
    everywhere(async |world: World| {
        let user = format!("OrgUsr{OFFICE_NO}");
        let first = manager(&world, "Subscribe", &subscribe("", "epj_1"), &user).await;
        assert_eq!(first.status, 200, "{}", first.text);
        let queue = text_of(&first.text, "QueueName").unwrap().to_owned();
        let again = manager(&world, "Subscribe", &subscribe("", "epj_1"), &user).await;
        assert_eq!(text_of(&again.text, "QueueName"), Some(queue.as_str()));
        let other = manager(
            &world,
            "Subscribe",
            &subscribe("CommunicationPartyUpdated", "epj_1"),
            &user,
        )
        .await;
        assert_ne!(text_of(&other.text, "QueueName"), Some(queue.as_str()));
        for (parameters, code) in [
            (subscribe("", "med mellomrom"), "InvalidUserSystemIdent"),
            (subscribe("", ""), "InvalidUserSystemIdent"),
            (subscribe("CpaCreated", "x"), "InvalidEventName"),
        ] {
            let answer = manager(&world, "Subscribe", &parameters, &user).await;
            assert_eq!(text_of(&answer.text, "ErrorCode"), Some(code));
        }
        let all = manager(&world, "GetSubscriptions", "", &user).await;
        assert_eq!(
            all.text.matches("<EventSubscription>").count(),
            2,
            "{}",
            all.text
        );
        let end = format!("<queueName>{queue}</queueName>");
        let stranger = format!("OrgUsr{HOSPITAL_NO}");
        let answer = manager(&world, "Unsubscribe", &end, &stranger).await;
        assert_eq!(
            text_of(&answer.text, "ErrorCode"),
            Some("SubscriptionNotFound")
        );
        assert_eq!(
            manager(&world, "Unsubscribe", &end, &user).await.status,
            200
        );
        let all = manager(&world, "GetSubscriptions", "", &user).await;
        assert_eq!(all.text.matches("<EventSubscription>").count(), 1);
    });
}

#[test]
fn every_event_comes_once_as_a_pointer() {
    everywhere(async |world: World| {
        // What happened before the subscription is not for it.
        feed(&world).await;
        let user = format!("OrgUsr{OFFICE_NO}");
        let made = manager(&world, "Subscribe", &subscribe("", "epj"), &user).await;
        let queue = text_of(&made.text, "QueueName").unwrap().to_owned();
        let only = subscribe("CommunicationPartyTransportEnabled", "epj");
        let made = manager(&world, "Subscribe", &only, &user).await;
        let narrow = text_of(&made.text, "QueueName").unwrap().to_owned();
        let parties = world.table.parties().clone();
        let change = move || {
            parties
                .update(WARD, at(NOW_S), |p| p.name = "Ny".to_owned())
                .unwrap();
            parties
                .update(OFFICE, at(NOW_S), |p| p.name = "Nytt".to_owned())
                .unwrap();
        };
        tokio::task::spawn_blocking(change).await.unwrap();
        feed(&world).await;
        feed(&world).await;
        let broker = broker(&world.subscriptions);
        let wait = Duration::from_millis(1);
        let node = broker
            .open_source(&who("office"), &format!("/amq/queue/{queue}"))
            .unwrap();
        assert_eq!(broker.waiting(&node).await, 2);
        // Whoever asks and goes away before the answer leaves them to others.
        let gone = broker.next(&who("office"), &node, 10, wait);
        tokio::select! {
            biased;
            found = gone => for delivery in found {
                broker.settle(&who("office"), &node, delivery.lease, Settlement::Released).await;
            },
            () = std::future::ready(()) => {}
        }
        let mut got = Vec::new();
        while got.len() < 2 {
            let wait = Duration::from_secs(60);
            let found = broker.next(&who("office"), &node, 10, wait).await;
            assert!(!found.is_empty(), "locked for nobody");
            got.extend(found);
        }
        let routing = broker.routing(&node, &got[0].message);
        assert_eq!(
            (routing.exchange.as_str(), routing.key.as_str()),
            (
                "RegisterEvents",
                "AddressRegister.CommunicationPartyUpdated"
            )
        );
        let her_ids: BTreeSet<String> = got
            .iter()
            .filter_map(|d| d.message.property("herId"))
            .collect();
        assert_eq!(got.len(), 2);
        assert_eq!(
            her_ids,
            BTreeSet::from([WARD.to_string(), OFFICE.to_string()])
        );
        for delivery in &got {
            assert_eq!(
                delivery.message.property("eventName").as_deref(),
                Some("CommunicationPartyUpdated")
            );
            assert!(delivery.message.body.is_empty());
        }
        // One is handled, the other given back: it comes again.
        broker
            .settle(&who("office"), &node, got[0].lease, Settlement::Accepted)
            .await;
        let known = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let is_known = known.clone();
        let owner_of = move |_: &str| {
            let known = is_known.load(std::sync::atomic::Ordering::SeqCst);
            known.then(|| OFFICE_NO.to_owned())
        };
        let subscriptions = world.subscriptions.clone();
        let fickle = EventBroker::new(Nothing, subscriptions, Arc::new(owner_of));
        let look = fickle.next(&who("office"), &node, 10, Duration::from_millis(1_500));
        let waiting = tokio::spawn(look);
        tokio::time::sleep(Duration::from_millis(300)).await;
        known.store(false, std::sync::atomic::Ordering::SeqCst);
        broker
            .settle(&who("office"), &node, got[1].lease, Settlement::Released)
            .await;
        let found = waiting.await.unwrap();
        assert!(found.is_empty(), "taken away while she waited");
        let again = broker.next(&who("office"), &node, 10, wait).await;
        assert_eq!(again.len(), 1);
        assert_eq!(
            again[0].message.properties.message_id,
            got[1].message.properties.message_id
        );
        let narrow = broker.open_source(&who("office"), &narrow).unwrap();
        assert!(
            broker
                .next(&who("office"), &narrow, 10, wait)
                .await
                .is_empty()
        );
    });
}

#[test]
fn queues_belong_to_the_subscribers_organisation() {
    everywhere(async |world: World| {
        let user = format!("OrgUsr{OFFICE_NO}");
        let made = manager(&world, "Subscribe", &subscribe("", "epj"), &user).await;
        let queue = text_of(&made.text, "QueueName").unwrap().to_owned();
        let broker = broker(&world.subscriptions);
        for (user, address, condition) in [
            ("hospital", queue.as_str(), Some("amqp:unauthorized-access")),
            ("nobody", queue.as_str(), Some("amqp:unauthorized-access")),
            ("office", "registerevents_none", Some("amqp:not-found")),
            ("office", queue.as_str(), None),
            ("office", "90001_async", Some("amqp:not-found")),
        ] {
            let opened = broker.open_source(&who(user), address);
            assert_eq!(
                opened.err().map(|e| e.condition).as_deref(),
                condition,
                "{user} {address}"
            );
        }
        assert!(
            broker.open_target(&who("office"), &queue).is_err(),
            "nobody sends there"
        );
    });
}
