//! Subscriptions: topics of the R4 backport guide (1.1) and R4 criteria, over REST hooks, websockets and the hub's queues.
//!
//! One [`engine`] per repository reads the feed after each commit, in order. What fires gets its number in the commit that
//! moves the engine's place in the feed, so numbers have no gaps and nothing is counted twice; a queue of the hub is filled
//! in that same commit (exactly once). REST hooks ([`hook`]) and websockets ([`socket`]) deliver from there at least once,
//! in order, across restarts.
//!
//! Subscriptions have no caller when they fire. Each notification is therefore decided anew, as nobody in particular, and
//! only repositories that are open to everybody offer them; clinical ones refuse them by not having the type.
//!
//! Rules: spec/fhir-server.md §10, Subscriptions R5 Backport 1.1, R4 Subscription. Choices: numbers go on while a
//! subscription is in error, so that `$events` can tell what was missed; a client may write `requested` or `active` to
//! begin anew; `error` and `off` written by a client are off.

mod definition;
mod engine;
mod hook;
mod ledger;
mod matching;
mod notify;
pub(crate) mod operations;
pub(crate) mod socket;
mod target;
mod topic;

pub use target::{PublicOnly, read as read_endpoint};

use crate::outcome::Failure;
use crate::repository::Repository;
use axum::http::StatusCode;
use definition::Definition;
use edge::listen::Shutdown;
use fhir::Doc;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;
use store::{Op, Rid};
use tokio::sync::watch;
use topic::{Topic, Topics};

/// Limits and habits.
#[derive(Clone, Debug)]
pub struct Config {
    /// REST hooks may go to loopback and private addresses. For demos and tests.
    pub allow_private_targets: bool,
    /// This process alone has the store (SQLite). Otherwise processes agree by a claim on which one works.
    pub is_alone: bool,
    /// Live Subscription resources of one repository.
    pub max_subscriptions: usize,
    /// Events kept for `$events` and late deliveries, per subscription; never changed for a store.
    pub kept_events: u64,
    /// Events older than this are not told any more.
    pub kept_for: Duration,
    /// REST hooks called at the same time.
    pub parallel_deliveries: usize,
    /// Wait after the first failed delivery; doubled each time.
    pub first_retry: Duration,
    /// Longest wait between two deliveries of the same notification.
    pub longest_retry: Duration,
    /// A subscription whose endpoint has failed for so long goes into error.
    pub give_up_after: Duration,
    /// Time for an endpoint's answer, unless the subscription asks for another.
    pub timeout: Duration,
    /// How long the claim of the working process holds without being renewed.
    pub lease: Duration,
    /// Open websockets of one repository.
    pub max_sockets: usize,
    /// Messages that may wait in a queue that subscriptions fill; beyond, they go into error.
    pub max_queued: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            allow_private_targets: false,
            is_alone: true,
            max_subscriptions: 500,
            kept_events: 10_000,
            kept_for: Duration::from_secs(7 * 86_400),
            parallel_deliveries: 16,
            first_retry: Duration::from_secs(1),
            longest_retry: Duration::from_secs(60),
            give_up_after: Duration::from_secs(86_400),
            timeout: Duration::from_secs(10),
            lease: Duration::from_secs(15),
            max_sockets: 200,
            max_queued: 10_000,
        }
    }
}

/// The subscriptions of one repository: given to its [`crate::RepositoryConfig`], and started once it is mounted.
pub struct Subscriptions {
    pub(crate) config: Config,
    repository: OnceLock<Weak<Repository>>,
    board: Mutex<BTreeMap<String, Arc<Running>>>,
    /// Raised whenever something on the board has moved.
    moved: watch::Sender<u64>,
    sockets: Arc<tokio::sync::Semaphore>,
}

/// A subscription as deliverers see it.
pub(crate) struct Running {
    pub definition: Arc<Definition>,
    /// Number of the last event.
    pub count: watch::Sender<u64>,
}

impl Subscriptions {
    /// Not yet attached to a repository.
    pub fn new(config: Config) -> Arc<Self> {
        let sockets = Arc::new(tokio::sync::Semaphore::new(config.max_sockets));
        Arc::new(Self {
            config,
            repository: OnceLock::new(),
            board: Mutex::default(),
            moved: watch::channel(0).0,
            sockets,
        })
    }

    pub(crate) fn attach(&self, repository: &Arc<Repository>) {
        // A second mount of the same repository shares the engine of the first.
        let _ = self.repository.set(Arc::downgrade(repository));
    }

    /// Starts reading the feed and delivering; ends at shutdown. Call inside a tokio runtime, after mounting.
    pub fn start(self: &Arc<Self>, shutdown: &Shutdown) -> Vec<tokio::task::JoinHandle<()>> {
        let Some(repository) = self.repository.get().and_then(Weak::upgrade) else {
            tracing::error!("subscriptions were started before their repository was mounted");
            return Vec::new();
        };
        engine::start(self.clone(), repository, shutdown)
    }

    fn board(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Running>>> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self, id: &str) -> Option<Arc<Running>> {
        self.board().get(id).cloned()
    }

    fn has_moved(&self) {
        self.moved.send_modify(|n| *n = n.wrapping_add(1));
    }
}

/// Looks at a Subscription or a stored topic before it is written; other resources pass.
pub(crate) fn check(repository: &Repository, doc: &Doc, op: Op) -> Result<(), Failure> {
    let Some(subscriptions) = &repository.config.subscriptions else {
        return Ok(());
    };
    if topic::is_topic(doc) {
        return Topic::read(repository, doc).map(drop);
    }
    if doc.resource_type() != "Subscription" {
        return Ok(());
    }
    let config = &subscriptions.config;
    let snapshot = repository.snapshot()?;
    let granted = notify::decide(repository, &snapshot)?;
    let topics = Topics::load(repository, &snapshot, &granted)?;
    Definition::read(
        repository,
        config,
        &topics,
        doc,
        doc.id().unwrap_or_default(),
    )?;
    if op == Op::Create {
        let most = config.max_subscriptions;
        let there = snapshot.type_rids(
            &granted,
            repository.config.repo,
            "Subscription",
            Rid(0),
            most,
        )?;
        if there.len() >= most {
            return Err(Failure::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "too-costly",
                format!("this repository holds {most} subscriptions already; delete one first"),
            ));
        }
    }
    Ok(())
}

/// Extensions of the CapabilityStatement: where the websocket is (of `rest`), and the built-in topics (of the type
/// Subscription). Both empty when the repository has no subscriptions. Stored topics are found as `Basic?code=SubscriptionTopic`.
pub(crate) fn capability(repository: &Repository, base: &str) -> (Vec<Value>, Vec<Value>) {
    if repository.config.subscriptions.is_none() {
        return (Vec::new(), Vec::new());
    }
    let socket = json!({
        "url": "http://hl7.org/fhir/StructureDefinition/capabilitystatement-websocket",
        "valueUri": socket::url(base),
    });
    let topics = repository.types().into_iter().map(|rtype| {
        json!({
            "url": "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/capabilitystatement-subscriptiontopic-canonical",
            "valueCanonical": format!("{}{rtype}", topic::BUILT_IN),
        })
    });
    (vec![socket], topics.collect())
}

/// A name from outside as texts may show it: short, and of harmless characters.
fn shown(name: &str) -> String {
    name.chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '$'))
        .take(64)
        .collect()
}
