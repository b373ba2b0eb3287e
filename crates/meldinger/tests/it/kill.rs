//! SIGKILL under load, through AMQP: nothing acknowledged is lost, nothing comes again after it was settled, each message to a hub-run receiver
//! gets one receipt. `HELSENAV_KILL_CYCLES` kills (2 by default; `./test crash` asks for more), on SQLite, and on PostgreSQL when
//! `HELSENAV_PG_URL` is set. And two processes over one PostgreSQL, one of which dies with messages in its hands.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use amqp::client::Client;
use amqp::port::Settlement;
use amqp::{Limits, Server, Shutdown};
use meldinger::view::{MessageFilter, Viewer};
use store::StoreConfig;

use crate::world::*;

/// How long a busy machine may take until something is given up.
const PATIENCE: Duration = Duration::from_secs(120);
const PLACE: &str = "HELSENAV_KILL_PLACE";
const LOCK: &str = "HELSENAV_KILL_LOCK_MS";
/// Short, so that what a killed process held comes back soon.
const LOCK_MS: u64 = 3_000;
/// So long that nobody waits for it.
const LONG_LOCK_MS: u64 = 3_600_000;

fn cycles() -> usize {
    std::env::var("HELSENAV_KILL_CYCLES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(2)
}

/// The hub that is killed: the exchange behind a listener, a worker for its own receiver. Answers `waiting` on its standard input, and ends with it.
#[test]
#[ignore = "started by the other tests of this file"]
fn child() {
    let Ok(place) = std::env::var(PLACE) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async move {
        let config = match place.split_once('|') {
            Some((url, schema)) => {
                StoreConfig::postgres(url, schema.to_owned(), meldinger::repositories())
            }
            None => StoreConfig::sqlite(&place, meldinger::repositories()),
        };
        let world = world_on(config, |parts| {
            parts.config.accept_clear_text = true;
            let asked = std::env::var(LOCK).ok();
            parts.config.lock_ms = asked.and_then(|ms| ms.parse().ok()).unwrap_or(LOCK_MS);
        })
        .await;
        let _timers = meldinger::Timers::start(&world.exchange).unwrap();
        let _workers =
            meldinger::Workers::start(&world.exchange, vec![world.results.clone()], 1).unwrap();
        let server = Server::new(
            Arc::new(world.broker.clone()),
            "helsenav",
            Limits::default(),
            Shutdown::new(),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { server.serve(listener).await });
        say(&format!("address {address}"));
        tokio::task::block_in_place(|| {
            let mut line = String::new();
            while std::io::stdin()
                .read_line(&mut line)
                .is_ok_and(|read| read > 0)
            {
                let filter = MessageFilter {
                    state: Some("queued".to_owned()),
                    limit: Some(1),
                    ..MessageFilter::default()
                };
                let page = world.exchange.messages(Viewer::Operator, &filter).unwrap();
                match (page.rows.first(), page.next) {
                    (None, None) => say("waiting none"),
                    (None, Some(_)) => say("waiting for the rest of the list"),
                    (Some(first), _) => say(&format!("waiting {first:?}")),
                }
                line.clear();
            }
        });
        std::process::exit(0);
    });
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").unwrap();
    out.flush().unwrap();
}

struct Hub {
    process: Child,
    stdin: ChildStdin,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    address: SocketAddr,
}

impl Hub {
    fn start(place: &str) -> Self {
        Self::start_with_lock(place, LOCK_MS)
    }

    fn start_with_lock(place: &str, lock_ms: u64) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args([
                "kill::child",
                "--exact",
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(PLACE, place)
            .env(LOCK, lock_ms.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = process.stdin.take().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().expect("the hub ended").unwrap();
            // The harness writes on the same line.
            if let Some((_, address)) = line.split_once("address ") {
                break address.trim().parse().unwrap();
            }
        };
        Self {
            process,
            stdin,
            lines,
            address,
        }
    }

    /// Waits until nothing is in any queue: whatever was settled is on disk.
    fn wait_until_quiet(&mut self) {
        let end = Instant::now() + PATIENCE;
        loop {
            writeln!(self.stdin, "waiting").unwrap();
            let line = self.lines.next().expect("the hub ended").unwrap();
            if line.contains("waiting none") {
                return;
            }
            assert!(
                Instant::now() < end,
                "messages stay in their queues: {line}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// What the clients know.
#[derive(Default)]
struct Seen {
    /// Accepted by the hub, for the hospital and for the hub's own receiver, by MsgId.
    sent: BTreeSet<String>,
    sent_to_hub: BTreeSet<String>,
    /// Came out at the hospital.
    delivered: BTreeSet<String>,
    /// Settled, and the hub has said that nothing waits any more.
    settled: BTreeSet<String>,
    /// Message-ids of receipts by the MsgId they answer.
    receipts: BTreeMap<String, BTreeSet<String>>,
    /// What must not be.
    wrong: Vec<String>,
}

type Shared = Arc<Mutex<Seen>>;

async fn send(address: SocketAddr, seen: Shared, is_over: Arc<AtomicBool>) {
    let Ok(mut client) = Client::connect(address, "vaar-epj", PASSWORD, None).await else {
        return;
    };
    let links = (
        client.sender("8900300_async", "to-hospital").await,
        client.sender("8900000_async", "to-hub").await,
    );
    let (Ok(mut to_hospital), Ok(mut to_hub)) = links else {
        return;
    };
    while !is_over.load(Ordering::Relaxed) {
        let id = new_id();
        let mut note = message("DIALOG_NOTAT", HEART, "sealed for the hospital");
        note.set_property("X-MessageInfo-MsgId", id.clone());
        match to_hospital.send(note).await {
            Ok(Settlement::Accepted) => {
                seen.lock().unwrap().sent.insert(id);
            }
            Ok(_) => {}
            Err(_) => return,
        }
        let id = new_id();
        let mut result = message("DIALOG_NOTAT", RESULTS, document(&id, "in clear"));
        result.properties.content_type = Some("text/plain".to_owned());
        match to_hub.send(result).await {
            Ok(Settlement::Accepted) => {
                seen.lock().unwrap().sent_to_hub.insert(id);
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

/// Fetches as long as there is a hub: a link that the hub has ended (a lock ran out on a busy machine) is opened anew.
async fn receive(address: SocketAddr, user: &'static str, queue: &'static str, seen: Shared) {
    while let Ok(client) = Client::connect(address, user, PASSWORD, None).await {
        fetch(client, queue, &seen).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn fetch(mut client: Client, queue: &'static str, seen: &Shared) {
    let Ok(mut receiver) = client.receiver(queue, "receiver-link", 25).await else {
        return;
    };
    while let Ok(received) = receiver.recv().await {
        {
            let mut seen = seen.lock().unwrap();
            let message = &received.message;
            if let Some(original) = message.property("X-MessageInfo-OriginalMsgId") {
                let id = message.properties.message_id.as_ref().unwrap().as_text();
                seen.receipts.entry(original).or_default().insert(id);
            } else if let Some(id) = message.property("X-MessageInfo-MsgId") {
                if seen.settled.contains(&id) {
                    seen.wrong
                        .push(format!("{id} came again after it was settled"));
                }
                seen.delivered.insert(id);
            }
        }
        if receiver.accept(&received).await.is_err() {
            return;
        }
    }
}

async fn survives(place: &str) {
    let seen = Shared::default();
    for cycle in 0..cycles() {
        let mut hub = tokio::task::block_in_place(|| Hub::start(place));
        let address = hub.address;
        let receivers = [
            tokio::spawn(receive(address, "nordlys", "8900300_async", seen.clone())),
            tokio::spawn(receive(address, "vaar-epj", "8900900_async", seen.clone())),
        ];
        // Some traffic to its end: what has been settled now may never come again.
        for is_last in [false, true] {
            let is_over = Arc::new(AtomicBool::new(false));
            let sender = tokio::spawn(send(address, seen.clone(), is_over.clone()));
            let enough = seen.lock().unwrap().sent.len() + 5;
            let end = Instant::now() + PATIENCE;
            while seen.lock().unwrap().sent.len() < enough && Instant::now() < end {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let jitter = u64::from(uuid::Uuid::new_v4().as_bytes()[0]);
            tokio::time::sleep(Duration::from_millis(2 * jitter)).await;
            if is_last {
                break;
            }
            is_over.store(true, Ordering::Relaxed);
            sender.await.unwrap();
            tokio::task::block_in_place(|| hub.wait_until_quiet());
            let mut seen = seen.lock().unwrap();
            seen.settled = seen.delivered.clone();
        }
        tokio::task::block_in_place(|| hub.kill());
        for receiver in receivers {
            receiver.abort();
        }
        let seen = seen.lock().unwrap();
        assert!(seen.wrong.is_empty(), "cycle {cycle}: {:?}", seen.wrong);
    }
    // The last one lives until all is there.
    let mut hub = tokio::task::block_in_place(|| Hub::start(place));
    let address = hub.address;
    let _receivers = [
        tokio::spawn(receive(address, "nordlys", "8900300_async", seen.clone())),
        tokio::spawn(receive(address, "vaar-epj", "8900900_async", seen.clone())),
    ];
    let end = Instant::now() + PATIENCE;
    let missing = |seen: &Seen| {
        seen.sent.difference(&seen.delivered).count()
            + seen
                .sent_to_hub
                .iter()
                .filter(|id| !seen.receipts.contains_key(*id))
                .count()
    };
    while missing(&seen.lock().unwrap()) > 0 && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::task::block_in_place(|| hub.wait_until_quiet());
    let seen = seen.lock().unwrap();
    println!(
        "{} messages and {} to the hub acknowledged over {} kills",
        seen.sent.len(),
        seen.sent_to_hub.len(),
        cycles()
    );
    assert_eq!(
        missing(&seen),
        0,
        "acknowledged messages or their receipts are lost"
    );
    assert!(seen.wrong.is_empty(), "{:?}", seen.wrong);
    assert!(!seen.sent.is_empty() && !seen.sent_to_hub.is_empty());
    for (id, receipts) in &seen.receipts {
        assert_eq!(receipts.len(), 1, "{id} has {} receipts", receipts.len());
    }
    drop(seen);
    hub.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_nothing_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    survives(folder.path().to_str().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_nothing_on_postgres() {
    let url = std::env::var("HELSENAV_PG_URL").unwrap_or_default();
    if url.is_empty() {
        println!(
            "SKIPPED: PostgreSQL, because HELSENAV_PG_URL is not set (see scripts/postgres.sh)"
        );
        return;
    }
    survives(&format!("{url}|kill_{}", uuid::Uuid::new_v4().simple())).await;
}

/// Two processes over one PostgreSQL share the queues. One is killed with messages in the hands of its receiver: they are
/// delivered by the other, long before their lock would have ended.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_held_moves_to_the_other() {
    const COUNT: usize = 20;
    let url = std::env::var("HELSENAV_PG_URL").unwrap_or_default();
    if url.is_empty() {
        println!(
            "SKIPPED: PostgreSQL, because HELSENAV_PG_URL is not set (see scripts/postgres.sh)"
        );
        return;
    }
    let place = format!("{url}|two_{}", uuid::Uuid::new_v4().simple());
    let start = || tokio::task::block_in_place(|| Hub::start_with_lock(&place, LONG_LOCK_MS));
    let (doomed, mut other) = (start(), start());
    let mut client = Client::connect(doomed.address, "nordlys", PASSWORD, None)
        .await
        .unwrap();
    let mut holding = client
        .receiver("8900300_async", "holding", 50)
        .await
        .unwrap();
    let mut sender = Client::connect(other.address, "vaar-epj", PASSWORD, None)
        .await
        .unwrap();
    let mut link = sender.sender("8900300_async", "to-hospital").await.unwrap();
    let mut sent = BTreeSet::new();
    for _ in 0..COUNT {
        let note = message("DIALOG_NOTAT", HEART, "sealed for the hospital");
        sent.insert(note.properties.message_id.as_ref().unwrap().as_text());
        assert_eq!(link.send(note).await.unwrap(), Settlement::Accepted);
    }
    let id =
        |message: &amqp::port::Message| message.properties.message_id.as_ref().unwrap().as_text();
    let began = Instant::now();
    for _ in 0..COUNT {
        let received = tokio::time::timeout(PATIENCE, holding.recv()).await;
        let received = received
            .expect("the other process does not see them")
            .unwrap();
        assert!(sent.contains(&id(&received.message)));
    }
    println!(
        "sent to one process, out of the other: {:?}",
        began.elapsed()
    );
    let mut client = Client::connect(other.address, "nordlys", PASSWORD, None)
        .await
        .unwrap();
    let mut receiver = client
        .receiver("8900300_async", "taking", 50)
        .await
        .unwrap();
    let killed = Instant::now();
    tokio::task::block_in_place(|| doomed.kill());
    let mut moved = BTreeSet::new();
    while moved.len() < COUNT {
        let received = tokio::time::timeout(PATIENCE, receiver.recv()).await;
        let received = received.expect("they do not move").unwrap();
        assert!(received.message.header.delivery_count == 0, "nobody failed");
        assert!(moved.insert(id(&received.message)), "delivered twice");
        receiver.accept(&received).await.unwrap();
    }
    println!("all moved {:?} after the kill", killed.elapsed());
    assert_eq!(moved, sent);
    tokio::task::block_in_place(|| other.wait_until_quiet());
    other.kill();
}
