//! Subscriptions, with a hub and a receiver of their own: what several topics need.

mod channels;
mod delivery;
mod offered;
mod topics;

use crate::world::{Reply, send};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use edge::listen::Shutdown;
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

const GUIDE: &str = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/";
const PATIENCE: Duration = Duration::from_secs(120);

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
        give_up_after: Duration::from_secs(600),
        // A busy machine must not turn one delivery into two.
        timeout: Duration::from_secs(60),
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

/// Numbers as they came, without the repetitions that a stop between an answer and its note may bring: each is told at
/// least once, in order. Waits for the last.
async fn told_until(receiver: &Receiver, last: u64) -> Vec<u64> {
    let mut count = 1;
    loop {
        let mut got = receiver.numbers(count).await;
        count = got.len() + 1;
        if got.contains(&last) {
            assert!(got.is_sorted(), "in order: {got:?}");
            got.dedup();
            return got;
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
