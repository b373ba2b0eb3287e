//! B01 to B05: what the broker itself answers.

use amqp::port::{Broker as _, Disposition, Settlement};
use meldinger::view::{MessageFilter, Viewer};

use crate::world::*;

const TO: &str = "/exchange/NHNTestServiceBus/8900300_async";

#[tokio::test(flavor = "multi_thread")]
async fn b01_an_unknown_queue_is_refused_by_name() {
    let world = world().await;
    for address in [
        "4711_async",
        "/exchange/ns/4711_async",
        "/amq/queue/4711_error",
    ] {
        let who = user("vaar-epj");
        for refused in [
            world.broker.open_target(&who, address),
            world.broker.open_source(&who, address),
        ] {
            let error = refused.unwrap_err();
            assert_eq!(error.condition, "amqp:not-found");
            assert!(error.description.contains("4711"), "{}", error.description);
        }
    }
    let nonsense = world
        .broker
        .open_target(&user("vaar-epj"), "$management")
        .unwrap_err();
    assert_eq!(nonsense.condition, "amqp:not-found");
    assert!(nonsense.description.contains("<HER-id>_async"));
    let foreign = world
        .broker
        .open_source(&user("vaar-epj"), "8900300_async")
        .unwrap_err();
    assert_eq!(foreign.condition, "amqp:unauthorized-access");
    // A service's queue is that of its organisation.
    assert_eq!(
        world
            .broker
            .open_source(&user("vaar-epj"), "8900901_async")
            .unwrap()
            .name,
        "8900900_async"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn b02_to_b05_are_answered_on_the_error_queue() {
    let world = world().await;
    type Change = fn(&mut amqp::port::Message);
    let table: [(&str, Change, &str, Option<&str>); 4] = [
        (
            "B02",
            |m| {
                m.application_properties
                    .retain(|(name, _)| name != "toHerId")
            },
            "transport:required-field-missing",
            Some("toHerId;"),
        ),
        (
            "B03",
            |m| m.set_property("toHerId", "4711"),
            "transport:invalid-field-value",
            Some("toHerId;4711;"),
        ),
        (
            "B04",
            |m| m.set_property("fromHerId", "8900101"),
            "abuse:spoofing-attack",
            Some("8900101;8900900;"),
        ),
        (
            "B05",
            |m| m.properties.subject = Some("HENVISNING_X".to_owned()),
            "transport:unsupported-message",
            Some("Label;HENVISNING_X;"),
        ),
    ];
    for (case, change, condition, data) in table {
        let mut bad = message("HENVISNING_NYTILSTAND", HEART, "x");
        change(&mut bad);
        let id = bad.properties.message_id.as_ref().unwrap().as_text();
        assert_eq!(
            world.send("vaar-epj", TO, bad).await,
            Disposition::Accepted,
            "{case}"
        );
        let errors = world.drain("vaar-epj", "8900900_error").await;
        assert_eq!(errors.len(), 1, "{case}");
        let error = &errors[0];
        assert_eq!(
            error_of(error),
            (condition.to_owned(), data.map(str::to_owned), id.clone()),
            "{case}"
        );
        assert!(error.body.is_empty());
        assert_eq!(
            error.properties.content_type.as_deref(),
            Some(SEALED),
            "clients need it"
        );
        assert_eq!(error.properties.correlation_id, None);
        assert_ne!(error.properties.message_id.as_ref().unwrap().as_text(), id);
        assert!(
            error.property("fromHerId").is_some()
                && error.property("toHerId").is_some()
                && error.property("applicationTimeStamp").is_some()
        );
        assert!(!error.property("errorDescription").unwrap().is_empty());
        let page = world
            .view(|exchange| exchange.messages(Viewer::Operator, &MessageFilter::default()))
            .unwrap();
        let row = page
            .rows
            .iter()
            .find(|row| row.state.code() == "failed" && row.subject != "seen")
            .unwrap();
        assert!(row.needs_human, "{case}");
    }
    assert!(
        world.fetch("nordlys", "8900300_async").await.is_empty(),
        "nothing of it reached the receiver"
    );
    let alerts = MessageFilter {
        alerts: true,
        ..MessageFilter::default()
    };
    assert_eq!(
        world
            .view(|exchange| exchange.messages(Viewer::Operator, &alerts))
            .unwrap()
            .rows
            .len(),
        1,
        "B04 is a security event"
    );
    // The pretended sender learns nothing of it.
    assert!(world.fetch("fjordglott", "8900100_error").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_never_answered_with_an_error() {
    let world = world().await;
    let mut bad = message("DIALOG_NOTAT", HEART, "");
    bad.properties.subject = None;
    let answer = world.send("vaar-epj", "8900300_error", bad).await;
    assert!(matches!(answer, Disposition::Rejected { .. }), "{answer:?}");
    assert!(world.fetch("vaar-epj", "8900900_error").await.is_empty());
    // The national library writes them without a content type, and would answer one that comes so.
    let mut own = message("DIALOG_NOTAT", HEART, "");
    own.properties.content_type = None;
    let answer = world.send("vaar-epj", "8900300_error", own).await;
    assert_eq!(answer, Disposition::Accepted);
    let delivered = world.fetch("nordlys", "8900300_error").await.remove(0);
    assert_eq!(
        delivered.message.properties.content_type.as_deref(),
        Some("application/pkcs7-mime; smime-type=signed-and-enveloped-data")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_transfer_again_is_accepted_and_kept_once() {
    let world = world().await;
    let good = message("DIALOG_NOTAT", HEART, "sealed");
    assert_eq!(
        world.send("vaar-epj", TO, good.clone()).await,
        Disposition::Accepted
    );
    assert_eq!(
        world.send("vaar-epj", TO, good.clone()).await,
        Disposition::Accepted
    );
    let mut other = good;
    other.body = "other".into();
    assert!(matches!(
        world.send("vaar-epj", TO, other).await,
        Disposition::Rejected { .. }
    ));
    let waiting = world.fetch("nordlys", "8900300_async").await;
    assert_eq!(waiting.len(), 1);
    world
        .settle(
            "nordlys",
            "8900300_async",
            &waiting[0],
            Settlement::Accepted,
        )
        .await;
}
