//! REST hooks: handshake, numbers without gaps, order, retries, restarts, heartbeats.

use super::{
    GUIDE, Got, Hub, Receiver, hook, numbers, observation, open, parameter, quick, told_until,
};
use records::subscriptions::Config;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_told_by_rest_hook() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::start(folder.path(), quick()).await;
    let receiver = Receiver::start().await;
    hub.create(&observation("before")).await;
    let mut subscription = hook(
        "urn:helsenav:topic:Observation",
        &receiver.url(),
        "full-resource",
    );
    subscription["channel"]["header"] = json!(["X-Ward: 7", "Authorization: Bearer abc"]);
    let id = hub.create(&subscription).await;
    hub.until(&id, "active").await;
    let shaken = receiver.wait(1).await;
    assert_eq!(shaken[0].kind(), "handshake");
    assert_eq!(shaken[0].method, "POST");
    assert_eq!(shaken[0].headers["x-ward"], "7");
    assert_eq!(shaken[0].headers["authorization"], "Bearer abc");
    assert_eq!(shaken[0].headers["content-type"], "application/fhir+json");
    let body = shaken[0].json();
    assert_eq!(body["type"], "history");
    assert_eq!(body["entry"][0]["resource"]["resourceType"], "Parameters");
    assert_eq!(parameter(&body, "status")["valueCode"], "requested");
    assert_eq!(
        parameter(&body, "topic")["valueCanonical"],
        "urn:helsenav:topic:Observation"
    );

    let focus = hub.create(&observation("1")).await;
    let mut changed = observation("2");
    changed["id"] = json!(focus);
    assert_eq!(
        hub.send("PUT", &format!("Observation/{focus}"), &changed)
            .await
            .status,
        200
    );
    assert_eq!(
        hub.send("DELETE", &format!("Observation/{focus}"), &Value::Null)
            .await
            .status,
        204
    );
    hub.create(&json!({ "resourceType": "Patient" })).await;
    let got = receiver.wait(4).await;
    let bodies: Vec<Value> = got[1..].iter().map(Got::json).collect();
    assert_eq!(
        bodies.iter().flat_map(numbers).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    for (body, method, code) in [
        (&bodies[0], "POST", json!("1")),
        (&bodies[1], "PUT", json!("2")),
        (&bodies[2], "DELETE", Value::Null),
    ] {
        assert_eq!(parameter(body, "type")["valueCode"], "event-notification");
        assert_eq!(parameter(body, "status")["valueCode"], "active");
        let entry = &body["entry"][1];
        assert_eq!(entry["request"]["method"], method);
        assert_eq!(
            entry["resource"]["code"]["coding"][0]["code"], code,
            "the version of the event"
        );
        assert!(
            entry["fullUrl"]
                .as_str()
                .unwrap()
                .ends_with(&format!("/Observation/{focus}"))
        );
    }
    let status = hub.get(&format!("Subscription/{id}/$status")).await;
    assert_eq!(status["type"], "searchset");
    assert_eq!(
        parameter(&status, "events-since-subscription-start")["valueString"],
        "3"
    );
    assert_eq!(parameter(&status, "type")["valueCode"], "query-status");
    let all = hub.get("Subscription/$status?status=active").await;
    assert_eq!(all["total"], 1);
    assert_eq!(hub.get("Subscription/$status?status=off").await["total"], 0);
    let events = hub
        .get(&format!(
            "Subscription/{id}/$events?eventsSinceNumber=2&eventsUntilNumber=3&content=id-only"
        ))
        .await;
    assert_eq!(numbers(&events), [2, 3]);
    assert_eq!(parameter(&events, "type")["valueCode"], "query-event");
    assert!(events["entry"][1]["resource"].is_null());
    let body = json!({ "resourceType": "Parameters", "parameter": [
        { "name": "eventsSinceNumber", "valueString": "3" }
    ] });
    let events = hub
        .send("POST", &format!("Subscription/{id}/$events"), &body)
        .await;
    assert_eq!(numbers(&events.json()), [3]);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_endpoint_gets_everything_in_order_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::start(folder.path(), quick()).await;
    let receiver = Receiver::start().await;
    let id = hub
        .create(&hook(
            "urn:helsenav:topic:Observation:create",
            &receiver.url(),
            "id-only",
        ))
        .await;
    hub.until(&id, "active").await;
    receiver.answer(500);
    for n in 0..10 {
        hub.create(&observation(&n.to_string())).await;
        if n == 5 {
            receiver.answer(302);
        }
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(receiver.all().len(), 1, "only the handshake");
    receiver.answer(200);
    assert_eq!(receiver.numbers(10).await, (1..=10).collect::<Vec<_>>());
    let event = receiver.all()[1].json();
    assert!(event["entry"][1]["resource"].is_null(), "id only");
    assert!(event["entry"][1]["fullUrl"].is_string());
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_stays_away_ends_in_error_and_can_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        give_up_after: Duration::from_millis(100),
        ..quick()
    };
    let hub = Hub::start(folder.path(), config).await;
    let receiver = Receiver::start().await;
    let id = hub
        .create(&hook(
            "urn:helsenav:topic:Observation",
            &receiver.url(),
            "empty",
        ))
        .await;
    hub.until(&id, "active").await;
    receiver.answer(503);
    hub.create(&observation("1")).await;
    let failed = hub.until(&id, "error").await;
    assert_eq!(failed["error"], "the endpoint answered 503");
    // What happens meanwhile is counted, so that it can be asked for.
    hub.create(&observation("2")).await;
    receiver.answer(200);
    let mut again = failed.clone();
    again["status"] = json!("requested");
    assert_eq!(
        hub.send("PUT", &format!("Subscription/{id}"), &again)
            .await
            .status,
        200
    );
    let active = hub.until(&id, "active").await;
    assert!(active["error"].is_null());
    hub.create(&observation("3")).await;
    assert_eq!(receiver.numbers(3).await, [1, 2, 3]);
    let event = receiver.all().last().unwrap().json();
    assert_eq!(
        event["entry"].as_array().unwrap().len(),
        1,
        "empty means empty"
    );
    assert!(parameter(&event, "topic").is_null());
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_fails_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::start(folder.path(), quick()).await;
    let receiver = Receiver::start().await;
    receiver.answer(404);
    let id = hub
        .create(&hook(
            "urn:helsenav:topic:Observation",
            &receiver.url(),
            "empty",
        ))
        .await;
    let failed = hub.until(&id, "error").await;
    assert_eq!(failed["error"], "handshake: the endpoint answered 404");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_counted_twice_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut hub = Hub::start(folder.path(), quick()).await;
    let id = hub
        .create(&hook(
            "urn:helsenav:topic:Observation",
            &receiver.url(),
            "id-only",
        ))
        .await;
    hub.until(&id, "active").await;
    let mut expected = 0u64;
    for round in 0..3 {
        receiver.answer(if round == 1 { 500 } else { 200 });
        for _ in 0..20 {
            hub.create(&observation("1")).await;
            expected += 1;
        }
        hub.stop().await;
        receiver.answer(200);
        hub = Hub::start(folder.path(), quick()).await;
    }
    let got = told_until(&receiver, expected).await;
    assert_eq!(got, (1..=60).collect::<Vec<_>>());
    let handshakes = receiver
        .all()
        .iter()
        .filter(|g| g.kind() == "handshake")
        .count();
    assert_eq!(handshakes, 1, "a restart needs none");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_last_events_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        kept_events: 4,
        ..quick()
    };
    let hub = Hub::start(folder.path(), config).await;
    let receiver = Receiver::start().await;
    let id = hub
        .create(&hook(
            "urn:helsenav:topic:Observation",
            &receiver.url(),
            "id-only",
        ))
        .await;
    hub.until(&id, "active").await;
    for n in 1..=10 {
        hub.create(&observation("1")).await;
        // Not faster than it is delivered: what leaves the ring before that is passed over.
        receiver.numbers(n).await;
    }
    let events = hub.get(&format!("Subscription/{id}/$events")).await;
    assert_eq!(numbers(&events), [7, 8, 9, 10]);
    assert_eq!(
        parameter(&events, "events-since-subscription-start")["valueString"],
        "10"
    );
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_come_when_nothing_happens_and_an_end_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::start(folder.path(), quick()).await;
    let receiver = Receiver::start().await;
    let mut body = hook("urn:helsenav:topic:Observation", &receiver.url(), "id-only");
    body["channel"]["extension"] = json!([
        { "url": format!("{GUIDE}backport-heartbeat-period"), "valueUnsignedInt": 1 },
        { "url": format!("{GUIDE}backport-timeout"), "valueUnsignedInt": 3 },
        { "url": format!("{GUIDE}backport-max-count"), "valuePositiveInt": 5 },
    ]);
    let id = hub.create(&body).await;
    hub.until(&id, "active").await;
    let got = receiver.wait(2).await;
    assert_eq!(got[1].kind(), "heartbeat");
    assert_eq!(
        parameter(&got[1].json(), "events-since-subscription-start")["valueString"],
        "0"
    );
    let mut ending = hub.get(&format!("Subscription/{id}")).await;
    ending["end"] = json!("2020-01-01T00:00:00Z");
    assert_eq!(
        hub.send("PUT", &format!("Subscription/{id}"), &ending)
            .await
            .status,
        200
    );
    hub.until(&id, "off").await;
    hub.create(&observation("1")).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(receiver.numbers(0).await, [0; 0]);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_processes_one_works_and_another_takes_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let store = tokio::task::spawn_blocking(move || open(&path))
        .await
        .unwrap();
    let config = Config {
        is_alone: false,
        lease: Duration::from_secs(20),
        ..quick()
    };
    let receiver = Receiver::start().await;
    let one = Hub::on(store.clone(), config.clone()).await;
    let id = one
        .create(&hook(
            "urn:helsenav:topic:Observation",
            &receiver.url(),
            "id-only",
        ))
        .await;
    one.until(&id, "active").await;
    let two = Hub::on(store.clone(), config).await;
    for _ in 0..10 {
        two.create(&observation("1")).await;
    }
    assert_eq!(receiver.numbers(10).await, (1..=10).collect::<Vec<_>>());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(
        receiver.all().len(),
        11,
        "two that work would tell it twice"
    );
    one.halt().await;
    for _ in 0..5 {
        two.create(&observation("1")).await;
    }
    let got = told_until(&receiver, 15).await;
    assert_eq!(got, (1..=15).collect::<Vec<_>>());
    two.stop().await;
}
