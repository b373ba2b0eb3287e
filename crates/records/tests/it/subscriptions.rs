//! Subscriptions: handshake, numbers without gaps, order, retries, restarts, topics, filters, websockets, queues.

use crate::world::{Reply, World, send};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use edge::listen::Shutdown;
use futures_util::{SinkExt, StreamExt};
use records::RepositoryConfig;
use records::gate::OpenGate;
use records::subscriptions::{Config, Subscriptions};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::{Filter, RepoKind, RepositoryDecl, Seq, Store, StoreConfig};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

const GUIDE: &str = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/";
const PATIENCE: Duration = Duration::from_secs(30);

/// A sandbox with subscriptions on a listener of its own.
struct Hub {
    store: Store,
    router: Router,
    address: SocketAddr,
    shutdown: Shutdown,
    tasks: Vec<JoinHandle<()>>,
    server: JoinHandle<()>,
    _stopper: Stopper,
}

/// Ends the engine when a test fails: a runtime waits for its blocking threads.
struct Stopper(Shutdown);

impl Drop for Stopper {
    fn drop(&mut self) {
        self.0.trigger();
    }
}

fn quick() -> Config {
    Config {
        allow_private_targets: true,
        first_retry: Duration::from_millis(20),
        longest_retry: Duration::from_millis(100),
        give_up_after: Duration::from_secs(20),
        timeout: Duration::from_secs(5),
        ..Config::default()
    }
}

fn open(folder: &Path) -> Store {
    let repositories = vec![RepositoryDecl::new("sandbox", RepoKind::Open)];
    let mut config = StoreConfig::sqlite(folder.join("store"), repositories);
    config.unsafe_no_sync = true;
    // The mint is not needed again: grants on an open repository are made here.
    let (store, mint) = Store::open(config).unwrap();
    GRANT
        .lock()
        .unwrap()
        .get_or_insert_with(|| mint.grant(Filter::Open, Seq(0), 0));
    store
}

static GRANT: Mutex<Option<store::Granted>> = Mutex::new(None);

impl Hub {
    async fn start(folder: &Path, config: Config) -> Self {
        let folder = folder.to_owned();
        let store = tokio::task::spawn_blocking(move || open(&folder))
            .await
            .unwrap();
        Self::on(store, config).await
    }

    async fn on(store: Store, config: Config) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let subscriptions = Subscriptions::new(config);
        let grant = GRANT.lock().unwrap().clone().unwrap();
        let router = records::mount(
            RepositoryConfig {
                can_reset: true,
                subscriptions: Some(subscriptions.clone()),
                ..RepositoryConfig::new(
                    "sandbox",
                    store.repo("sandbox").unwrap(),
                    store.clone(),
                    vec![format!("http://{address}/fhir/sandbox")],
                    Arc::new(OpenGate::new(grant)),
                    vec![7; 32],
                )
            },
            "/fhir/sandbox",
        )
        .unwrap();
        let shutdown = Shutdown::default();
        let tasks = subscriptions.start(&shutdown);
        let served = router.clone();
        let server = tokio::spawn(async move {
            axum::serve(listener, served).await.unwrap();
        });
        Self {
            store,
            router,
            address,
            _stopper: Stopper(shutdown.clone()),
            shutdown,
            tasks,
            server,
        }
    }

    /// Stops the engine and the listener; the store is closed too.
    async fn stop(self) {
        self.halt().await.close();
    }

    async fn halt(self) -> Store {
        self.shutdown.trigger();
        for task in self.tasks {
            task.await.unwrap();
        }
        self.server.abort();
        self.store
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> Reply {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        send(
            &self.router,
            method,
            &format!("fhir/sandbox/{path}"),
            &[],
            &body,
        )
        .await
    }

    async fn get(&self, path: &str) -> Value {
        let reply = self.send("GET", path, &Value::Null).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.json()
    }

    /// Creates and returns the id.
    async fn create(&self, resource: &Value) -> String {
        let rtype = resource["resourceType"].as_str().unwrap();
        let reply = self.send("POST", rtype, resource).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json()["id"].as_str().unwrap().to_owned()
    }

    /// Waits until a subscription has a status.
    async fn until(&self, id: &str, status: &str) -> Value {
        let mut found = Value::Null;
        let begun = std::time::Instant::now();
        while begun.elapsed() < PATIENCE {
            found = self.get(&format!("Subscription/{id}")).await;
            if found["status"] == status {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{id} never became {status}: {found}")
    }
}

/// An endpoint that keeps what it gets, and answers as it is told.
struct Receiver {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    answer: Arc<AtomicU16>,
}

#[derive(Clone, Debug)]
struct Got {
    method: String,
    path: String,
    headers: axum::http::HeaderMap,
    body: Bytes,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    fn kind(&self) -> String {
        parameter(&self.json(), "type")["valueCode"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

#[derive(Clone)]
struct Kept(Arc<Mutex<Vec<Got>>>, Arc<AtomicU16>);

impl Receiver {
    async fn start() -> Self {
        async fn take(State(Kept(got, answer)): State<Kept>, request: Request) -> StatusCode {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            let status = answer.load(Ordering::SeqCst);
            if status < 300 {
                got.lock().unwrap().push(Got {
                    method: parts.method.to_string(),
                    path: parts.uri.path().to_owned(),
                    headers: parts.headers,
                    body,
                });
            }
            StatusCode::from_u16(status).unwrap()
        }
        let got: Arc<Mutex<Vec<Got>>> = Arc::default();
        let answer = Arc::new(AtomicU16::new(200));
        let router = Router::new()
            .fallback(take)
            .with_state(Kept(got.clone(), answer.clone()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            got,
            answer,
        }
    }

    fn answer(&self, status: u16) {
        self.answer.store(status, Ordering::SeqCst);
    }

    fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    fn all(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// Waits for so many requests.
    async fn wait(&self, count: usize) -> Vec<Got> {
        let begun = std::time::Instant::now();
        while begun.elapsed() < PATIENCE {
            let got = self.all();
            if got.len() >= count {
                return got;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("only {} of {count} requests came", self.all().len())
    }

    /// Waits for so many events, and gives their numbers in order of arrival.
    async fn numbers(&self, count: usize) -> Vec<u64> {
        let begun = std::time::Instant::now();
        loop {
            let numbers: Vec<u64> = self.all().iter().flat_map(|g| numbers(&g.json())).collect();
            if numbers.len() >= count {
                return numbers;
            }
            assert!(begun.elapsed() < PATIENCE, "only {numbers:?} of {count}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn parameter(bundle: &Value, name: &str) -> Value {
    bundle["entry"][0]["resource"]["parameter"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|p| p["name"] == name)
        .cloned()
        .unwrap_or_default()
}

/// Event numbers of a notification.
fn numbers(bundle: &Value) -> Vec<u64> {
    bundle["entry"][0]["resource"]["parameter"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|p| p["name"] == "notification-event")
        .flat_map(|p| p["part"].as_array().cloned().unwrap_or_default())
        .filter(|p| p["name"] == "event-number")
        .map(|p| p["valueString"].as_str().unwrap().parse().unwrap())
        .collect()
}

fn hook(topic: &str, url: &str, content: &str) -> Value {
    json!({
        "resourceType": "Subscription", "status": "requested", "reason": "test",
        "criteria": topic,
        "channel": {
            "type": "rest-hook", "endpoint": url, "payload": "application/fhir+json",
            "_payload": { "extension": [{ "url": format!("{GUIDE}backport-payload-content"), "valueCode": content }] },
        },
    })
}

fn with_filter(mut subscription: Value, filter: &str) -> Value {
    subscription["_criteria"] = json!({ "extension": [
        { "url": format!("{GUIDE}backport-filter-criteria"), "valueString": filter }
    ] });
    subscription
}

fn observation(code: &str) -> Value {
    json!({
        "resourceType": "Observation", "status": "final",
        "code": { "coding": [{ "system": "http://loinc.org", "code": code }] },
    })
}

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
async fn filters_narrow_a_topic() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::start(folder.path(), quick()).await;
    let (plain, chained, negated) = (
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
    );
    let topic = "urn:helsenav:topic:Observation";
    let subscriptions = [
        (&plain, "Observation?code=http://loinc.org|718-7,x"),
        (&chained, "Observation?patient.name=Nordmann&status=final"),
        (&negated, "code:not=718-7"),
    ];
    for (receiver, filter) in subscriptions {
        let id = hub
            .create(&with_filter(
                hook(topic, &receiver.url(), "id-only"),
                filter,
            ))
            .await;
        hub.until(&id, "active").await;
    }
    let kari = json!({ "resourceType": "Patient", "name": [{ "family": "Nordmann" }] });
    let kari = hub.create(&kari).await;
    let mut of_kari = observation("718-7");
    of_kari["subject"] = json!({ "reference": format!("Patient/{kari}") });
    let of_kari = hub.create(&of_kari).await;
    let other = hub.create(&observation("1-1")).await;
    assert_eq!(
        hub.send("DELETE", &format!("Observation/{of_kari}"), &Value::Null)
            .await
            .status,
        204
    );
    let focus = |got: &[Got]| -> Vec<String> {
        got[1..]
            .iter()
            .map(|g| {
                let url = g.json()["entry"][1]["fullUrl"].as_str().unwrap().to_owned();
                url.rsplit('/').next().unwrap().to_owned()
            })
            .collect()
    };
    assert_eq!(
        focus(&plain.wait(3).await),
        [of_kari.clone(), of_kari.clone()],
        "create and delete"
    );
    assert_eq!(focus(&chained.wait(2).await), [of_kari]);
    assert_eq!(focus(&negated.wait(2).await), [other]);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r4_criteria_are_told_the_old_way() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::start(folder.path(), quick()).await;
    let (bare, carrying) = (Receiver::start().await, Receiver::start().await);
    let subscription = |url: String, payload: Option<&str>| {
        let mut out = json!({
            "resourceType": "Subscription", "status": "requested", "reason": "test",
            "criteria": "Observation?code=http://loinc.org|718-7",
            "channel": { "type": "rest-hook", "endpoint": url },
        });
        if let Some(payload) = payload {
            out["channel"]["payload"] = json!(payload);
        }
        out
    };
    for (receiver, payload) in [(&bare, None), (&carrying, Some("application/fhir+xml"))] {
        let id = hub.create(&subscription(receiver.url(), payload)).await;
        hub.until(&id, "active").await;
    }
    let id = hub.create(&observation("718-7")).await;
    hub.create(&observation("1-1")).await;
    let got = bare.wait(1).await;
    assert_eq!(
        (got[0].method.as_str(), got[0].path.as_str()),
        ("POST", "/hook")
    );
    assert!(got[0].body.is_empty());
    let got = carrying.wait(1).await;
    assert_eq!(got[0].method, "PUT");
    assert_eq!(got[0].path, format!("/hook/Observation/{id}"));
    assert_eq!(got[0].headers["content-type"], "application/fhir+xml");
    assert!(got[0].body.starts_with(b"<Observation"));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!((bare.all().len(), carrying.all().len()), (1, 1));
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
    let begun = std::time::Instant::now();
    let mut got = Vec::new();
    // A stop between the answer and its note is told twice: that is what numbers are for.
    while !got.contains(&expected) && begun.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
        got = receiver.numbers(0).await;
    }
    let mut once: Vec<u64> = got.clone();
    once.dedup();
    assert!(got.is_sorted(), "in order: {got:?}");
    assert_eq!(once, (1..=60).collect::<Vec<_>>());
    let handshakes = receiver
        .all()
        .iter()
        .filter(|g| g.kind() == "handshake")
        .count();
    assert_eq!(handshakes, 1, "a restart needs none");
    hub.stop().await;
}

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

fn topic(url: &str) -> Value {
    let r5 = |name: &str| {
        format!("http://hl7.org/fhir/5.0/StructureDefinition/extension-SubscriptionTopic.{name}")
    };
    json!({
        "resourceType": "Basic",
        "code": { "coding": [{ "system": "http://hl7.org/fhir/fhir-types", "code": "SubscriptionTopic" }] },
        "modifierExtension": [{ "url": r5("status"), "valueCode": "active" }],
        "extension": [
            { "url": r5("url"), "valueUri": url },
            { "url": r5("resourceTrigger"), "extension": [
                { "url": "resource", "valueUri": "http://hl7.org/fhir/StructureDefinition/Encounter" },
                { "url": "supportedInteraction", "valueCode": "create" },
                { "url": "supportedInteraction", "valueCode": "update" },
                { "url": "queryCriteria", "extension": [
                    { "url": "previous", "valueString": "status:not=finished" },
                    { "url": "resultForCreate", "valueCode": "test-passes" },
                    { "url": "current", "valueString": "status=finished" },
                    { "url": "resultForDelete", "valueCode": "test-fails" },
                    { "url": "requireBoth", "valueBoolean": true },
                ] },
                { "url": "fhirPathCriteria", "valueString": "%current.status = 'finished' and (%previous.empty() or %previous.status != 'finished')" },
            ] },
            { "url": r5("canFilterBy"), "extension": [
                { "url": "resource", "valueUri": "Encounter" },
                { "url": "filterParameter", "valueString": "subject" },
            ] },
        ],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_topics_look_at_before_and_after() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::start(folder.path(), quick()).await;
    let receiver = Receiver::start().await;
    let url = "http://example.org/topics/encounter-complete";
    let unknown = hub
        .send(
            "POST",
            "Subscription",
            &hook(url, &receiver.url(), "id-only"),
        )
        .await;
    assert_eq!(unknown.status, 422);
    let mut broken = topic(url);
    broken["extension"][1]["extension"][4]["valueString"] = json!("%current.(");
    assert_eq!(hub.send("POST", "Basic", &broken).await.status, 422);
    let topic_id = hub.create(&topic(url)).await;
    let refused = with_filter(hook(url, &receiver.url(), "id-only"), "Encounter?class=AMB");
    assert_eq!(
        hub.send("POST", "Subscription", &refused).await.status,
        422,
        "not a filter of the topic"
    );
    let id = hub.create(&hook(url, &receiver.url(), "id-only")).await;
    hub.until(&id, "active").await;
    let encounter = |id: Option<&str>, status: &str| {
        let mut out = json!({
            "resourceType": "Encounter", "status": status,
            "class": { "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB" },
        });
        if let Some(id) = id {
            out["id"] = json!(id);
        }
        out
    };
    let begun = hub.create(&encounter(None, "in-progress")).await;
    for status in ["onleave", "finished"] {
        let body = encounter(Some(&begun), status);
        assert_eq!(
            hub.send("PUT", &format!("Encounter/{begun}"), &body)
                .await
                .status,
            200
        );
    }
    // Finished already: no second time.
    let mut again = encounter(Some(&begun), "finished");
    again["language"] = json!("nb");
    assert_eq!(
        hub.send("PUT", &format!("Encounter/{begun}"), &again)
            .await
            .status,
        200
    );
    let at_once = hub.create(&encounter(None, "finished")).await;
    assert_eq!(
        hub.send("DELETE", &format!("Encounter/{begun}"), &Value::Null)
            .await
            .status,
        204
    );
    assert_eq!(receiver.numbers(2).await, [1, 2]);
    let focus: Vec<String> = receiver.all()[1..]
        .iter()
        .map(|g| {
            g.json()["entry"][1]["fullUrl"]
                .as_str()
                .unwrap()
                .rsplit('/')
                .next()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(focus, [begun, at_once]);
    assert_eq!(
        hub.send("DELETE", &format!("Basic/{topic_id}"), &Value::Null)
            .await
            .status,
        204
    );
    let failed = hub.until(&id, "error").await;
    assert_eq!(failed["error"], "its topic is not there any more");
    hub.stop().await;
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
    let before = receiver.all().len();
    hub.create(&observation("1")).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(receiver.all().len(), before);
    hub.stop().await;
}

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

#[tokio::test(flavor = "multi_thread")]
async fn of_several_processes_one_works_and_another_takes_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let store = tokio::task::spawn_blocking(move || open(&path))
        .await
        .unwrap();
    let config = Config {
        is_alone: false,
        lease: Duration::from_secs(1),
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
    one.halt().await;
    for _ in 0..5 {
        two.create(&observation("1")).await;
    }
    assert_eq!(receiver.numbers(15).await, (1..=15).collect::<Vec<_>>());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(receiver.all().len(), 16, "nothing twice");
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
    tokio::time::sleep(Duration::from_millis(200)).await;
    socket.close(None).await.unwrap();
    drop(socket);
    for _ in 0..3 {
        hub.create(&observation("3")).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut socket = connect(&hub).await;
    let text = json!({ "type": "bind-with-token", "payload": { "token": bearer } });
    say(&mut socket, &text.to_string()).await;
    let shaken = hear_json(&mut socket).await;
    assert_eq!(
        parameter(&shaken, "events-since-subscription-start")["valueString"],
        "5"
    );
    let mut got = Vec::new();
    while got.len() < 3 {
        got.extend(numbers(&hear_json(&mut socket).await));
    }
    assert_eq!(got, [3, 4, 5]);
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
