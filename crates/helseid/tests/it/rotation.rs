//! Signing keys change while tokens are issued and checked by many at once: no token is ever refused for its key.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use helseid::client::{InProcess, Transport as _};
use jose::jws::Compact;
use jose::keyring::RotationPolicy;
use jose::rs::{CacheRules, CachedKeys, ResourceServer};
use jose::{JwkSet, MemoryState, system_clock};

use crate::{ISSUER, World};

const SCOPE: &str = "nhn:kjernejournal/api";
const AUDIENCE: &str = "nhn:kjernejournal";
const WORKERS: usize = 4;
const SECONDS: usize = 80;

/// An API of somebody else: knows the issuer by its published key set only.
struct Foreign {
    keys: Arc<CachedKeys>,
    server: ResourceServer,
    transport: InProcess,
    fetches: AtomicUsize,
}

impl Foreign {
    async fn new(world: &World) -> Self {
        let transport = InProcess(world.router.clone());
        let rules = CacheRules {
            min_interval_s: 1,
            max_age_s: 4,
            unknown_s: 60,
        };
        let set = fetch(&transport).await;
        let keys = Arc::new(CachedKeys::with_rules(set, world.now(), rules));
        let replay = Arc::new(MemoryState::new(system_clock(), 10));
        Self {
            server: ResourceServer::new(ISSUER, AUDIENCE, &[], keys.clone(), replay),
            keys,
            transport,
            fetches: AtomicUsize::new(0),
        }
    }

    async fn accepts(&self, token: &str, now_s: i64) -> bool {
        let compact = Compact::parse(token, 16_384).unwrap();
        let kid = compact.kid.unwrap();
        let fetched = self.keys.ensure(&kid, now_s, || async {
            self.fetches.fetch_add(1, Ordering::SeqCst);
            Ok::<_, ()>(fetch(&self.transport).await)
        });
        fetched.await.unwrap();
        self.server.verify_token(token, now_s, true).is_ok()
    }
}

async fn fetch(transport: &InProcess) -> JwkSet {
    let url = format!("{ISSUER}/.well-known/openid-configuration/jwks");
    let answer = transport.send(&url, None, None).await.unwrap();
    JwkSet::from_slice(&answer.body).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_token_is_refused_while_keys_change() {
    let world = Arc::new(World::start());
    let foreign = Arc::new(Foreign::new(&world).await);
    let replay = Arc::new(MemoryState::new(system_clock(), 10));
    let own = Arc::new(world.helseid.resource_server(AUDIENCE, &[], replay));
    let kids: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    // Published eight seconds ahead: twice the age at which the foreign API fetches the set anew.
    let policy = RotationPolicy {
        active_s: 12,
        announce_s: 8,
        overlap_s: 700,
    };
    let mut first = None;
    for _ in 0..SECONDS {
        let mut tasks = Vec::new();
        for _ in 0..WORKERS {
            let (world, foreign, own) = (world.clone(), foreign.clone(), own.clone());
            let kids = kids.clone();
            tasks.push(tokio::spawn(async move {
                let party = world.party();
                let tokens = party.client_credentials(&[SCOPE], None).await.unwrap();
                let token = tokens.access_token;
                assert!(own.verify_token(&token, world.now(), true).is_ok());
                assert!(foreign.accepts(&token, world.now()).await);
                let kid = Compact::parse(&token, 16_384).unwrap().kid.unwrap();
                kids.lock().unwrap().insert(kid);
                token
            }));
        }
        // In the middle of it.
        let (helseid, turn) = (world.helseid.clone(), policy);
        let rotating = tokio::task::spawn_blocking(move || helseid.rotate_keys(&turn).unwrap());
        for task in tasks {
            first.get_or_insert(task.await.unwrap());
        }
        rotating.await.unwrap();
        world.wait(1);
    }
    assert!(kids.lock().unwrap().len() >= 4, "keys did change");
    let fetches = foreign.fetches.load(Ordering::SeqCst);
    assert!(fetches <= SECONDS / 4 + 1, "{fetches} fetches");
    // The very first token is still good, though its key signs no more.
    assert!(foreign.accepts(&first.unwrap(), world.now()).await);
}

#[tokio::test]
async fn a_made_up_key_id_does_not_make_the_api_ask_again_and_again() {
    let world = World::start();
    let foreign = Foreign::new(&world).await;
    let party = world.party();
    let tokens = party.client_credentials(&[SCOPE], None).await.unwrap();
    let token = tokens.access_token;
    let (_, rest) = token.split_once('.').unwrap();
    let header = jose::encoding::b64url(br#"{"alg":"ES256","kid":"made-up","typ":"at+jwt"}"#);
    let forged = format!("{header}.{rest}");
    for _ in 0..200 {
        assert!(!foreign.accepts(&forged, world.now() + 1).await);
        assert!(foreign.accepts(&token, world.now() + 1).await);
    }
    assert_eq!(foreign.fetches.load(Ordering::SeqCst), 1);
}
