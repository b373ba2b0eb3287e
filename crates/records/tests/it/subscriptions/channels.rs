//! Websockets and queues.

use super::{GUIDE, Hub, PATIENCE, hook, numbers, observation, open, parameter, quick};
use futures_util::{SinkExt, StreamExt};
use records::subscriptions::Config;
use serde_json::{Value, json};
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;

/// Two processes on one store: each thinks of itself that it may work.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_gets_every_event_exactly_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let store = tokio::task::spawn_blocking(move || open(&path))
        .await
        .unwrap();
    let config = Config {
        is_alone: true,
        ..quick()
    };
    let one = Hub::on(store.clone(), config.clone()).await;
    let two = Hub::on(store.clone(), config).await;
    let subscription = json!({
        "resourceType": "Subscription", "status": "requested", "reason": "test",
        "criteria": "urn:helsenav:topic:Observation:create",
        "channel": {
            "type": "message", "endpoint": "urn:helsenav:queue:lab", "payload": "application/fhir+json",
            "_payload": { "extension": [{ "url": format!("{GUIDE}backport-payload-content"), "valueCode": "full-resource" }] },
        },
    });
    let id = one.create(&subscription).await;
    one.until(&id, "active").await;
    for n in 0..60 {
        let hub = if n % 2 == 0 { &one } else { &two };
        hub.create(&observation(&n.to_string())).await;
    }
    let queue = "subscription/sandbox/lab";
    let begun = std::time::Instant::now();
    while store.queue_stats(queue).unwrap().ready < 60 && begun.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let messages = store.peek(queue, 1_000).unwrap();
    let got: Vec<(u64, u64, String)> = messages
        .iter()
        .map(|m| {
            let headers: Value = serde_json::from_slice(&m.headers).unwrap();
            let body: Value = serde_json::from_slice(&m.body).unwrap();
            assert_eq!(headers["subscription"], json!(id));
            let code = &body["entry"][1]["resource"]["code"]["coding"][0]["code"];
            (
                headers["event-number"].as_u64().unwrap(),
                numbers(&body)[0],
                code.as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let expected: Vec<(u64, u64, String)> = (1..=60).map(|n| (n, n, (n - 1).to_string())).collect();
    assert_eq!(got, expected);
    one.halt().await;
    two.stop().await;
}

type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn connect(hub: &Hub) -> Socket {
    let url = format!("ws://{}/fhir/sandbox/$subscription-ws", hub.address);
    tokio_tungstenite::connect_async(url).await.unwrap().0
}

async fn hear(socket: &mut Socket) -> String {
    loop {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await;
        if let Message::Text(text) = message.expect("no message").unwrap().unwrap() {
            return text.to_string();
        }
    }
}

async fn hear_json(socket: &mut Socket) -> Value {
    serde_json::from_str(&hear(socket).await).unwrap()
}

async fn say(socket: &mut Socket, text: &str) {
    socket.send(Message::text(text.to_owned())).await.unwrap();
}

async fn token(hub: &Hub, id: &str) -> String {
    let answer = hub
        .get(&format!("Subscription/{id}/$get-ws-binding-token"))
        .await;
    let of = |name: &str| {
        let parameters = answer["parameter"].as_array().unwrap();
        parameters
            .iter()
            .find(|p| p["name"] == name)
            .cloned()
            .unwrap()
    };
    assert_eq!(
        of("websocket-url")["valueUrl"],
        format!("ws://{}/fhir/sandbox/$subscription-ws", hub.address)
    );
    assert_eq!(of("subscription")["valueString"], id);
    assert!(of("expiration")["valueDateTime"].is_string());
    of("token")["valueString"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_bound_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::start(folder.path(), quick()).await;
    let mut body = hook("urn:helsenav:topic:Observation", "", "id-only");
    body["channel"]["type"] = json!("websocket");
    body["channel"].as_object_mut().unwrap().remove("endpoint");
    body["channel"]["extension"] = json!([
        { "url": format!("{GUIDE}backport-max-count"), "valuePositiveInt": 10 },
    ]);
    let id = hub.create(&body).await;
    hub.until(&id, "active").await;
    let mut socket = connect(&hub).await;
    for wrong in [
        "hello",
        "bind-with-token nonsense",
        "{\"type\":\"x\"}",
        &format!("bind {id}"),
    ] {
        say(&mut socket, wrong).await;
        assert_eq!(
            hear_json(&mut socket).await["resourceType"],
            "OperationOutcome",
            "{wrong}"
        );
    }
    say(&mut socket, "ping").await;
    assert_eq!(hear(&mut socket).await, "pong");
    let bearer = token(&hub, &id).await;
    say(&mut socket, &format!("bind-with-token {bearer}")).await;
    let shaken = hear_json(&mut socket).await;
    assert_eq!(parameter(&shaken, "type")["valueCode"], "handshake");
    hub.create(&observation("1")).await;
    let told = hear_json(&mut socket).await;
    assert_eq!(numbers(&told), [1]);
    assert_eq!(parameter(&told, "type")["valueCode"], "event-notification");
    hub.create(&observation("2")).await;
    assert_eq!(numbers(&hear_json(&mut socket).await), [2]);
    // Away for a while: what was missed comes with the next binding.
    socket.close(None).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
    for _ in 0..3 {
        hub.create(&observation("3")).await;
    }
    let events = format!("Subscription/{id}/$events");
    while numbers(&hub.get(&events).await).len() < 5 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut socket = connect(&hub).await;
    let text = json!({ "type": "bind-with-token", "payload": { "token": bearer } });
    say(&mut socket, &text.to_string()).await;
    let shaken = hear_json(&mut socket).await;
    assert_eq!(
        parameter(&shaken, "events-since-subscription-start")["valueString"],
        "5"
    );
    // The second may not have been noted as told when the socket was closed.
    let mut got = Vec::new();
    while !got.contains(&5) {
        got.extend(numbers(&hear_json(&mut socket).await));
    }
    assert!(got == [3, 4, 5] || got == [2, 3, 4, 5], "{got:?}");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r4_websockets_are_pinged() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::start(folder.path(), quick()).await;
    let id = hub
        .create(&json!({
            "resourceType": "Subscription", "status": "requested", "reason": "test",
            "criteria": "Observation?code=718-7", "channel": { "type": "websocket" },
        }))
        .await;
    hub.until(&id, "active").await;
    let mut socket = connect(&hub).await;
    say(&mut socket, &format!("bind {id}")).await;
    assert_eq!(hear(&mut socket).await, format!("bound {id}"));
    hub.create(&observation("1-1")).await;
    hub.create(&observation("718-7")).await;
    assert_eq!(hear(&mut socket).await, format!("ping {id}"));
    hub.stop().await;
}
