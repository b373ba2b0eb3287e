//! What is offered and what is refused.

use super::{GUIDE, Hub, Receiver, hook, observation, quick, with_filter};
use crate::world::{World, send};
use records::subscriptions::Config;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_carried_out_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        allow_private_targets: false,
        max_subscriptions: 2,
        ..quick()
    };
    let hub = Hub::start(folder.path(), config).await;
    let good = hook(
        "urn:helsenav:topic:Observation",
        "https://example.org/hook",
        "empty",
    );
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut out = good.clone();
        change(&mut out);
        out
    };
    let extension = |name: &str, value: Value| {
        changed(&|s| {
            s["channel"]["extension"] =
                json!([{ "url": format!("{GUIDE}{name}"), "valueUnsignedInt": value }]);
        })
    };
    for (subscription, at) in [
        (
            changed(&|s| s["channel"]["endpoint"] = json!("http://127.0.0.1:1/x")),
            "Subscription.channel.endpoint",
        ),
        (
            changed(&|s| s["channel"]["endpoint"] = json!("http://169.254.169.254/latest")),
            "Subscription.channel.endpoint",
        ),
        (
            changed(&|s| s["channel"]["endpoint"] = json!("http://[::1]/")),
            "Subscription.channel.endpoint",
        ),
        (
            changed(&|s| s["channel"]["endpoint"] = json!("ftp://example.org/")),
            "Subscription.channel.endpoint",
        ),
        (
            changed(&|s| {
                s["channel"].as_object_mut().unwrap().remove("endpoint");
            }),
            "Subscription.channel.endpoint",
        ),
        (
            changed(&|s| s["channel"]["type"] = json!("email")),
            "Subscription.channel.type",
        ),
        (
            changed(&|s| s["channel"]["type"] = json!("sms")),
            "Subscription.channel.type",
        ),
        (
            changed(&|s| s["channel"]["type"] = json!("message")),
            "Subscription.channel.endpoint",
        ),
        (
            changed(&|s| s["channel"]["payload"] = json!("text/plain")),
            "Subscription.channel.payload",
        ),
        (
            changed(&|s| s["channel"]["header"] = json!(["Host: x"])),
            "Subscription.channel.header",
        ),
        (
            changed(&|s| s["channel"]["header"] = json!(["no colon"])),
            "Subscription.channel.header",
        ),
        (
            changed(&|s| s["criteria"] = json!("http://example.org/no-such-topic")),
            "Subscription.criteria",
        ),
        (
            changed(&|s| s["criteria"] = json!("Nonsense")),
            "Subscription.criteria",
        ),
        (
            changed(&|s| s["criteria"] = json!("Observation?nonsense=1")),
            "Subscription.criteria",
        ),
        (
            changed(&|s| s["criteria"] = json!("Observation?_sort=date")),
            "Subscription.criteria",
        ),
        (
            with_filter(good.clone(), "Observation?nonsense=1"),
            "Subscription.criteria",
        ),
        (
            with_filter(good.clone(), "Patient?name=x"),
            "Subscription.criteria.extension",
        ),
        (
            hook(
                "urn:helsenav:topic:Observation",
                "https://example.org/",
                "everything",
            ),
            "Subscription.channel.payload",
        ),
        (
            extension("backport-heartbeat-period", json!(0)),
            "Subscription.channel.extension",
        ),
        (
            extension("backport-max-count", json!(0)),
            "Subscription.channel.extension",
        ),
    ] {
        let reply = hub.send("POST", "Subscription", &subscription).await;
        assert_eq!(reply.status, 422, "{subscription}: {}", reply.text());
        assert_eq!(
            reply.json()["issue"][0]["expression"][0],
            at,
            "{}",
            reply.text()
        );
    }
    for _ in 0..2 {
        hub.create(&good).await;
    }
    let reply = hub.send("POST", "Subscription", &good).await;
    assert_eq!(reply.status, 422, "{}", reply.text());
    assert_eq!(reply.json()["issue"][0]["code"], "too-costly");
    for path in [
        "Subscription/$status?nonsense=1",
        "Subscription/$status?status=x",
        "Subscription/$get-ws-binding-token",
    ] {
        assert_eq!(
            hub.send("GET", path, &Value::Null).await.status,
            400,
            "{path}"
        );
    }
    assert_eq!(
        hub.send("GET", "Subscription/none/$events", &Value::Null)
            .await
            .status,
        404
    );
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clinical_repositories_offer_none() {
    let world = World::new();
    let body = hook(
        "urn:helsenav:topic:Observation",
        "https://example.org/",
        "empty",
    );
    let headers = [("x-doctor", crate::world::DOCTOR)];
    let reply = send(
        &world.results,
        "POST",
        "Subscription",
        &headers,
        &body.to_string(),
    )
    .await;
    assert_eq!(reply.status, 404, "{}", reply.text());
    let reply = send(&world.results, "GET", "Subscription/$status", &headers, "").await;
    assert_eq!(reply.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_is_deleted_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::start(folder.path(), quick()).await;
    let receiver = Receiver::start().await;
    let mut body = hook("urn:helsenav:topic:Observation", &receiver.url(), "id-only");
    body["id"] = json!("mine");
    for round in 0..2 {
        assert_eq!(
            hub.send("PUT", "Subscription/mine", &body).await.status,
            201
        );
        hub.until("mine", "active").await;
        hub.create(&observation("1")).await;
        assert_eq!(receiver.numbers(round + 1).await, vec![1; round + 1]);
        assert_eq!(
            hub.send("DELETE", "Subscription/mine", &Value::Null)
                .await
                .status,
            204
        );
        hub.create(&observation("2")).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(receiver.numbers(2).await, [1, 1]);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_capability_statement_names_topics_and_websocket() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::start(folder.path(), quick()).await;
    let statement = hub.get("metadata").await;
    let rest = &statement["rest"][0];
    assert_eq!(
        rest["extension"][0]["valueUri"],
        format!("ws://{}/fhir/sandbox/$subscription-ws", hub.address)
    );
    let resources = rest["resource"].as_array().unwrap();
    let subscription = resources
        .iter()
        .find(|r| r["type"] == "Subscription")
        .unwrap();
    let topics: Vec<&str> = subscription["extension"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|e| e["valueCanonical"].as_str())
        .collect();
    assert!(topics.contains(&"urn:helsenav:topic:Observation"));
    let operations: Vec<&str> = subscription["operation"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|o| o["name"].as_str())
        .collect();
    for name in ["status", "events", "get-ws-binding-token"] {
        assert!(operations.contains(&name), "{name}: {operations:?}");
    }
    hub.stop().await;
}
