//! HelseID's short-lived state on the store: restarts, and two processes on one database.
//!
//! With a PostgreSQL server named in `HELSENAV_PG_URL` (scripts/postgres.sh) the tests of two processes run; without, they
//! say so and pass.

use crate::people;
use helseid::client::{ClientError, InProcess, LoginRequest, RelyingParty, Tokens, provider};
use helseid::{Client, ClientKey, Config, Helseid, Parts, SigningKeyKind, Tenancy};
use hub::helseid_state::{StoreState, Writers};
use hub::keys::HelseidKeys;
use hub::secrets::{REPOSITORY, Secrets};
use jose::jwk::KeyKind;
use jose::state::{ReplayCache, State, StateError};
use jose::{PrivateJwk, system_clock};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use store::{Filter, RepoKind, RepositoryDecl, Seq, Store, StoreConfig};
use tower::ServiceExt as _;

const ISSUER: &str = "https://localhost:8444";
const REDIRECT: &str = "http://localhost:3000/callback";

/// Where a process of the test keeps its data.
#[derive(Clone)]
enum Place {
    Folder(PathBuf),
    Database { schema: String, keys: PathBuf },
}

impl Place {
    /// A fresh schema of the named server; `None`, with a line that says so, when none is named.
    fn database(keys: &Path) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if std::env::var("HELSENAV_PG_URL").is_err() {
            println!("skipped: HELSENAV_PG_URL names no PostgreSQL server");
            return None;
        }
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        Some(Self::Database {
            schema: format!("helseid_state_{}_{number}", std::process::id()),
            keys: keys.to_owned(),
        })
    }
}

/// One process: its store, its secrets, its state.
struct Node {
    store: Store,
    secrets: Arc<Secrets>,
    state: Arc<StoreState>,
}

impl Node {
    async fn start(place: &Place) -> Self {
        let place = place.clone();
        tokio::task::spawn_blocking(move || {
            let declared = vec![RepositoryDecl::new(REPOSITORY, RepoKind::Internal)];
            let (config, key_file, writers) = match &place {
                Place::Folder(folder) => {
                    let mut config = StoreConfig::sqlite(folder.join("store"), declared);
                    config.unsafe_no_sync = true;
                    (config, folder.join("key"), Writers::One)
                }
                Place::Database { schema, keys } => {
                    let url = std::env::var("HELSENAV_PG_URL").unwrap();
                    let config = StoreConfig::postgres(url, schema.clone(), declared);
                    (config, keys.join("key"), Writers::Several)
                }
            };
            let (store, mint) = Store::open(config).unwrap();
            let grant = mint.grant(Filter::Open, Seq(u64::MAX), 0);
            let secrets = Arc::new(Secrets::open(store.clone(), grant, &key_file).unwrap());
            let state = StoreState::open(store.clone(), &secrets, system_clock(), writers).unwrap();
            Self {
                store,
                secrets,
                state: Arc::new(state),
            }
        })
        .await
        .unwrap()
    }

    async fn stop(self) {
        assert!(self.state.settle().await);
        tokio::task::spawn_blocking(move || self.store.close())
            .await
            .unwrap();
    }

    async fn helseid(&self, client: Client) -> Helseid {
        let mut config = Config::new(ISSUER);
        config.test_idp = true;
        config.signing_key = SigningKeyKind::P256;
        config.clients.push(client);
        let parts = Parts {
            directory: Arc::new(people::People),
            state: self.state.clone(),
            replay: self.state.clone(),
            keys: Arc::new(HelseidKeys::new(self.secrets.clone())),
            clock: system_clock(),
        };
        tokio::task::spawn_blocking(move || Helseid::new(config, parts).unwrap())
            .await
            .unwrap()
    }
}

fn in_an_hour() -> i64 {
    system_clock()() + 3_600
}

#[tokio::test(flavor = "multi_thread")]
async fn values_behave_and_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::Folder(folder.path().to_owned());
    let node = Node::start(&place).await;
    let state = &node.state;
    let (soon, over) = (in_an_hour(), system_clock()() - 1);
    assert_eq!(state.get("code/a").await.unwrap(), None);
    assert!(
        state
            .put_new("code/a", b"one".to_vec(), soon)
            .await
            .unwrap()
    );
    assert!(
        !state
            .put_new("code/a", b"two".to_vec(), soon)
            .await
            .unwrap()
    );
    assert!(
        !state
            .replace("code/a", b"two", b"x".to_vec(), soon)
            .await
            .unwrap()
    );
    assert!(
        state
            .replace("code/a", b"one", b"two".to_vec(), soon)
            .await
            .unwrap()
    );
    assert!(
        !state
            .replace("code/b", b"", b"x".to_vec(), soon)
            .await
            .unwrap()
    );
    state.put("code/a", b"three".to_vec(), soon).await.unwrap();
    state.put("code/over", b"x".to_vec(), over).await.unwrap();
    assert_eq!(state.get("code/over").await.unwrap(), None);
    assert_eq!(state.take("code/over").await.unwrap(), None);
    state
        .put("login/large", vec![7; 60_000], soon)
        .await
        .unwrap();
    assert_eq!(
        state.put("login/larger", vec![7; 70_000], soon).await,
        Err(StateError::TooLarge)
    );
    node.stop().await;

    let node = Node::start(&place).await;
    let state = &node.state;
    let kept = state.get("code/a").await.unwrap();
    assert_eq!(kept.as_deref(), Some(&b"three"[..]));
    assert_eq!(
        state.get("login/large").await.unwrap(),
        Some(vec![7; 60_000])
    );
    assert_eq!(state.take("code/a").await.unwrap(), kept);
    assert_eq!(state.take("code/a").await.unwrap(), None);
    node.stop().await;
    let node = Node::start(&place).await;
    assert_eq!(node.state.get("code/a").await.unwrap(), None);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::Folder(folder.path().to_owned());
    let soon = in_an_hour();
    let marks = |names: &[&str]| -> Vec<(String, i64)> {
        names.iter().map(|n| ((*n).to_owned(), soon)).collect()
    };
    let node = Node::start(&place).await;
    assert!(node.state.first_use("api/1", soon).unwrap());
    assert!(!node.state.first_use("api/1", soon).unwrap());
    let many: Vec<(String, i64)> = (0..2_500).map(|n| (format!("m/{n}"), soon)).collect();
    assert_eq!(node.state.mark_all(&many).await.unwrap(), None);
    assert_eq!(
        node.state.mark_all(&marks(&["a", "b"])).await.unwrap(),
        None
    );
    node.stop().await;

    for _ in 0..3 {
        let node = Node::start(&place).await;
        let taken = node.state.mark_all(&marks(&["new", "b"])).await.unwrap();
        assert_eq!(taken, Some(1));
        let last = marks(&["m/2499"]);
        assert_eq!(node.state.mark_all(&last).await.unwrap(), Some(0));
        assert!(!node.state.first_use("api/1", soon).unwrap());
        node.stop().await;
    }
    let node = Node::start(&place).await;
    assert_eq!(node.state.mark_all(&marks(&["new"])).await.unwrap(), None);
    node.stop().await;
}

/// Notes: of several hours, more than one an hour, noted twice, one that is over.
async fn note_some(state: &StoreState) {
    for n in 0..5i64 {
        for name in ["revoked", "ended"] {
            let expires_s = in_an_hour() + n * 7_000;
            state.note(&format!("{name}/{n}"), expires_s).await.unwrap();
            state.note(&format!("{name}/{n}"), expires_s).await.unwrap();
        }
    }
    state
        .note("revoked/over", system_clock()() - 1)
        .await
        .unwrap();
}

async fn knows_what_was_noted(state: &StoreState) {
    for n in 0..5 {
        for name in ["revoked", "ended"] {
            assert!(
                state.is_noted(&format!("{name}/{n}")).await.unwrap(),
                "{name} {n}"
            );
        }
        assert!(!state.is_noted(&format!("other/{n}")).await.unwrap());
    }
    for key in ["revoked/over", "revoked/5", "revoked/new"] {
        assert!(!state.is_noted(key).await.unwrap(), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_noted_is_known_at_once_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::Folder(folder.path().to_owned());
    let node = Node::start(&place).await;
    note_some(&node.state).await;
    knows_what_was_noted(&node.state).await;
    node.stop().await;
    let node = Node::start(&place).await;
    knows_what_was_noted(&node.state).await;
    let soon = in_an_hour();
    node.state.note("revoked/new", soon).await.unwrap();
    assert!(node.state.is_noted("revoked/new").await.unwrap());
    node.stop().await;
    let node = Node::start(&place).await;
    assert!(node.state.is_noted("revoked/new").await.unwrap());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_the_portals_survives_a_restart_until_it_is_closed() {
    use portal::session::{Portal, Sessions, Who};
    let folder = tempfile::tempdir().unwrap();
    let place = Place::Folder(folder.path().to_owned());
    let sessions = |node: &Node| Sessions::new(node.state.clone(), system_clock());
    let node = Node::start(&place).await;
    let who = Who::Citizen {
        nin: people::DOCTOR.to_owned(),
    };
    let id = sessions(&node).open(Portal::Citizen, who).await.unwrap();
    let first = sessions(&node).touch(Portal::Citizen, &id).await.unwrap();
    let csrf = first.unwrap().csrf;
    node.stop().await;

    let node = Node::start(&place).await;
    let found = sessions(&node).touch(Portal::Citizen, &id).await.unwrap();
    let found = found.unwrap();
    assert_eq!(found.csrf, csrf);
    assert!(matches!(found.who, Who::Citizen { nin } if nin == people::DOCTOR));
    // A second process on the same store sees it end.
    let (one, other) = (sessions(&node), sessions(&node));
    one.close(Portal::Citizen, &id).await.unwrap();
    assert!(other.touch(Portal::Citizen, &id).await.unwrap().is_none());
    node.stop().await;
    let node = Node::start(&place).await;
    assert!(
        sessions(&node)
            .touch(Portal::Citizen, &id)
            .await
            .unwrap()
            .is_none()
    );
    node.stop().await;
    for file in std::fs::read_dir(folder.path().join("store")).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap_or_default();
        for text in [id.as_str(), people::DOCTOR] {
            assert!(!bytes.windows(text.len()).any(|w| w == text.as_bytes()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_process_notes_the_other_knows() {
    let keys = tempfile::tempdir().unwrap();
    let Some(place) = Place::database(keys.path()) else {
        return;
    };
    let (one, two) = (Node::start(&place).await, Node::start(&place).await);
    note_some(&one.state).await;
    knows_what_was_noted(&two.state).await;
    let soon = in_an_hour();
    for n in 0..20 {
        let (a, b) = (format!("ended/a{n}"), format!("ended/b{n}"));
        let (first, second) = tokio::join!(one.state.note(&a, soon), two.state.note(&b, soon));
        first.unwrap();
        second.unwrap();
        assert!(two.state.is_noted(&a).await.unwrap(), "{n}");
        assert!(one.state.is_noted(&b).await.unwrap(), "{n}");
    }
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_requests_at_once_one_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(&Place::Folder(folder.path().to_owned())).await;
    let states = [node.state.clone(), node.state.clone()];
    once_each(&states, 20).await;
    node.stop().await;
}

/// Every kind of single use, by six tasks spread over these states at the same moment.
async fn once_each(states: &[Arc<StoreState>; 2], rounds: u32) {
    let soon = in_an_hour();
    for round in 0..rounds {
        let key = format!("code/{round}");
        states[0].put(&key, b"v".to_vec(), soon).await.unwrap();
        let mut tasks = Vec::new();
        for number in 0..6u8 {
            let (state, key) = (states[usize::from(number % 2)].clone(), key.clone());
            tasks.push(tokio::spawn(async move {
                let marks = vec![
                    (format!("own/{round}/{number}"), soon),
                    (format!("jti/{round}"), soon),
                ];
                let new = vec![number];
                [
                    state.replace(&key, b"v", new.clone(), soon).await.unwrap(),
                    state
                        .put_new(&format!("s/{round}"), new, soon)
                        .await
                        .unwrap(),
                    state.mark_all(&marks).await.unwrap().is_none(),
                    state.first_use(&format!("api/{round}"), soon).unwrap(),
                    state.take(&key).await.unwrap().is_some(),
                ]
            }));
        }
        let mut wins = [0; 5];
        for task in tasks {
            for (count, won) in wins.iter_mut().zip(task.await.unwrap()) {
                *count += u32::from(won);
            }
        }
        assert_eq!(wins, [1; 5], "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_on_one_database_use_each_value_once() {
    let keys = tempfile::tempdir().unwrap();
    let Some(place) = Place::database(keys.path()) else {
        return;
    };
    let (one, two) = (Node::start(&place).await, Node::start(&place).await);
    once_each(&[one.state.clone(), two.state.clone()], 40).await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_readable_lies_in_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(&Place::Folder(folder.path().to_owned())).await;
    let (secret, person) = ("refresh-token-secret-0123456789", people::DOCTOR);
    let value = format!("{{\"pid\":\"{person}\",\"secret\":\"{secret}\"}}").into_bytes();
    let soon = in_an_hour();
    let key = format!("refresh/{secret}");
    node.state.put(&key, value, soon).await.unwrap();
    node.stop().await;
    let mut files = 0;
    for file in std::fs::read_dir(folder.path().join("store")).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap_or_default();
        files += usize::from(!bytes.is_empty());
        for text in [secret, person] {
            let found = bytes.windows(text.len()).any(|w| w == text.as_bytes());
            assert!(!found, "{text} is readable");
        }
    }
    assert!(files > 0);
}

fn client(key: &PrivateJwk) -> Client {
    let mut client = Client::new("epj", "EPJ");
    client.keys.push(ClientKey {
        key: key.public().clone(),
        expires_s: None,
    });
    client.scopes = SCOPES.iter().map(|scope| (*scope).to_owned()).collect();
    client.redirect_uris = vec![REDIRECT.to_owned()];
    client.user_login = true;
    client.machine = true;
    client.refresh = true;
    client.introspects = true;
    client.tenancy = Tenancy::Single {
        parent: people::MUNICIPALITY.to_owned(),
        children: [people::NURSING_HOME.to_owned()].into(),
    };
    client
}

const SCOPES: [&str; 4] = [
    "openid",
    "profile",
    "offline_access",
    "nhn:kjernejournal/api",
];

fn party(helseid: &Helseid, key: &PrivateJwk) -> RelyingParty<InProcess> {
    RelyingParty {
        provider: provider(ISSUER, ISSUER),
        client_id: "epj".to_owned(),
        redirect_uri: REDIRECT.to_owned(),
        key: key.clone(),
        dpop_key: key.clone(),
        transport: InProcess(helseid.router()),
        clock: system_clock(),
    }
}

/// Sends the browser to a pushed request of the test provider; the callback's query.
async fn authorize(helseid: &Helseid, url: &str) -> String {
    let path = url.strip_prefix(ISSUER).unwrap();
    let request = axum::http::Request::get(path)
        .header("Host", "localhost:8444")
        .body(axum::body::Body::empty())
        .unwrap();
    let answer = helseid.router().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 303);
    let location = answer.headers()["location"].to_str().unwrap();
    location.split_once('?').unwrap().1.to_owned()
}

fn login() -> LoginRequest<'static> {
    LoginRequest {
        scopes: &SCOPES,
        parameters: &[
            ("acr_values", "idp:testidp-oidc"),
            ("test_pid", people::DOCTOR),
        ],
        ..LoginRequest::default()
    }
}

fn refused(result: Result<Tokens, ClientError>) -> String {
    match result.map(|_| ()) {
        Err(ClientError::Refused { error, .. }) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_at_every_step_of_a_login_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::Folder(folder.path().to_owned());
    let key = PrivateJwk::generate(KeyKind::P256, None).unwrap();
    let node = Node::start(&place).await;
    let helseid = node.helseid(client(&key)).await;
    let (url, attempt) = party(&helseid, &key).begin(&login()).await.unwrap();
    drop(helseid);
    node.stop().await;

    let node = Node::start(&place).await;
    let helseid = node.helseid(client(&key)).await;
    let query = authorize(&helseid, &url).await;
    drop(helseid);
    node.stop().await;

    let node = Node::start(&place).await;
    let helseid = node.helseid(client(&key)).await;
    let tokens = party(&helseid, &key).finish(&attempt, &query, None).await;
    let first = tokens.unwrap();
    drop(helseid);
    node.stop().await;

    let node = Node::start(&place).await;
    let helseid = node.helseid(client(&key)).await;
    let refresh = first.refresh_token.as_deref().unwrap();
    let second = party(&helseid, &key).refresh(refresh, None, None).await;
    let second = second.unwrap();
    drop(helseid);
    node.stop().await;

    // The code is still remembered as used: its second use ends the family.
    let node = Node::start(&place).await;
    let helseid = node.helseid(client(&key)).await;
    let party = party(&helseid, &key);
    let again = party.finish(&attempt, &query, None).await;
    assert_eq!(refused(again), "invalid_grant");
    let refresh = second.refresh_token.as_deref().unwrap();
    let ended = party.refresh(refresh, None, None).await;
    assert_eq!(refused(ended), "invalid_grant");
    drop(helseid);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_may_take_each_step_at_another_process_and_a_code_is_good_at_one() {
    let keys = tempfile::tempdir().unwrap();
    let Some(place) = Place::database(keys.path()) else {
        return;
    };
    let key = PrivateJwk::generate(KeyKind::P256, None).unwrap();
    let nodes = [Node::start(&place).await, Node::start(&place).await];
    let issuers = [
        nodes[0].helseid(client(&key)).await,
        nodes[1].helseid(client(&key)).await,
    ];
    assert_eq!(issuers[0].jwks(), issuers[1].jwks());
    for round in 0..8 {
        let (begin, other) = (&issuers[round % 2], &issuers[(round + 1) % 2]);
        let (url, attempt) = party(begin, &key).begin(&login()).await.unwrap();
        let query = authorize(other, &url).await;
        let [one, two] = [party(begin, &key), party(other, &key)];
        let (left, right) = tokio::join!(
            one.finish(&attempt, &query, None),
            two.finish(&attempt, &query, None)
        );
        let (won, lost) = if left.is_ok() {
            (left, right)
        } else {
            (right, left)
        };
        let tokens = won.unwrap();
        assert_eq!(refused(lost), "invalid_grant", "round {round}");
        // The loser's attempt has ended what the winner got: whoever has the code twice is not to be trusted.
        let refresh = tokens.refresh_token.as_deref().unwrap();
        let ended = two.refresh(refresh, None, None).await;
        assert_eq!(refused(ended), "invalid_grant", "round {round}");
    }
    drop(issuers);
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_agree_on_the_next_signing_key() {
    let keys = tempfile::tempdir().unwrap();
    let Some(place) = Place::database(keys.path()) else {
        return;
    };
    let key = PrivateJwk::generate(KeyKind::P256, None).unwrap();
    let nodes = [Node::start(&place).await, Node::start(&place).await];
    let issuers = [
        nodes[0].helseid(client(&key)).await,
        nodes[1].helseid(client(&key)).await,
    ];
    let policy = jose::keyring::RotationPolicy {
        active_s: 0,
        announce_s: 0,
        overlap_s: 3_600,
    };
    for _ in 0..3 {
        let both = issuers.clone().map(|helseid| {
            tokio::task::spawn_blocking(move || helseid.rotate_keys(&policy).unwrap())
        });
        for turn in both {
            turn.await.unwrap();
        }
    }
    // A turn of each takes over what the other did last.
    let later = jose::keyring::RotationPolicy::default();
    for helseid in issuers.clone() {
        tokio::task::spawn_blocking(move || helseid.rotate_keys(&later).unwrap())
            .await
            .unwrap();
    }
    assert_eq!(issuers[0].jwks(), issuers[1].jwks());
    drop(issuers);
    for node in nodes {
        node.stop().await;
    }
}
