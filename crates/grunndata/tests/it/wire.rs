//! What the worlds of these tests share: answers, the checker of tokens, a journal that can be broken, a runtime.

use crate::place::{Node, everywhere};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use jose::keyring::Keyring;
use jose::rs::ResourceServer;
use jose::{Claims, MemoryState};
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use store::{AuditEntry, Durability, StoreError};
use tower::ServiceExt as _;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub fn ok(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        self.json()
    }
}

/// Sends a request to a router.
pub async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8_lossy(&bytes).into_owned(),
    }
}

/// A checker of tokens that `ring` has signed, with the clock standing still.
pub fn checker(
    ring: &Keyring,
    (issuer, audience): (&str, &str),
    base: &str,
    now_s: i64,
) -> ResourceServer {
    let replay = Arc::new(MemoryState::new(Arc::new(move || now_s), 10_000));
    ResourceServer::new(
        issuer,
        audience,
        &[base.to_owned()],
        Arc::new(ring.clone()),
        replay,
    )
}

/// An access token with these claims.
pub fn signed(ring: &Keyring, claims: Value) -> String {
    let Value::Object(claims) = claims else {
        panic!("claims are an object")
    };
    ring.sign("at+jwt", &Claims(claims)).unwrap()
}

/// An access journal that keeps what was appended, and refuses when it is broken.
#[derive(Clone, Default)]
pub struct Journal {
    pub entries: Arc<Mutex<Vec<(AuditEntry, Durability)>>>,
    pub broken: Arc<AtomicBool>,
}

impl Journal {
    pub fn append(&self, entry: AuditEntry, durability: Durability) -> Result<(), StoreError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("on purpose".to_owned()));
        }
        self.entries.lock().unwrap().push((entry, durability));
        Ok(())
    }
}

/// Runs a test on a world of each engine; the world is made where blocking is allowed.
pub fn on_worlds<W, F: Future<Output = ()>>(make: impl Fn(&Node) -> W, test: impl Fn(W) -> F) {
    everywhere(|place| {
        let node = place.start_hub();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let world = tokio::task::block_in_place(|| make(&node));
            test(world).await;
        });
    });
}
