//! A COMMIT that is never answered. Between store and server stands a man in the middle who, once armed, lets the server
//! commit an empty transaction of the same number in its place and then cuts the connection: to the transaction's number
//! that looks like a server that was killed, lost the transaction and gave its number to another one.

use super::{make_postgres, postgres_url};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use store::conformance::kit::{Bench, PutExt as _, create, puts};
use store::{CommitError, EngineConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

/// What only the committer's connection says, and only when it prepares its first statement.
const COMMITTERS: &[u8] = b"FROM clock FOR UPDATE";

/// A message of the simple query protocol.
fn query(sql: &str) -> Vec<u8> {
    let length = u32::try_from(sql.len() + 5).unwrap();
    [b"Q", &length.to_be_bytes()[..], sql.as_bytes(), b"\0"].concat()
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|w| w == part)
}

fn replace(bytes: &mut Vec<u8>, from: &[u8], to: &[u8]) -> bool {
    let found = find(bytes, from);
    if let Some(at) = found {
        bytes.splice(at..at + from.len(), to.iter().copied());
    }
    found.is_some()
}

/// Reads what is there, up to the end of a message: all that one write sent, for messages as short as these.
async fn chunk(from: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 1 << 20];
    match from.read(&mut bytes).await {
        Ok(n) if n > 0 => {
            bytes.truncate(n);
            Some(bytes)
        }
        _ => None,
    }
}

async fn between(client: UnixStream, server: UnixStream, armed: Arc<AtomicBool>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let cut = Arc::new(AtomicBool::new(false));
    let is_cut = Arc::clone(&cut);
    tokio::spawn(async move {
        while let Some(bytes) = chunk(&mut from_server).await {
            // the server must be able to speak to the end, or it does not commit
            if is_cut.load(Ordering::SeqCst) {
                let _ = to_client.shutdown().await;
            } else if to_client.write_all(&bytes).await.is_err() {
                break;
            }
        }
    });
    let (mut committers, mut changed) = (false, false);
    while let Some(mut bytes) = chunk(&mut from_client).await {
        committers |= find(&bytes, COMMITTERS).is_some();
        if committers && armed.load(Ordering::SeqCst) {
            let begin = query("BEGIN; SELECT pg_current_xact_id(); SAVEPOINT before");
            changed |= replace(&mut bytes, &query("BEGIN"), &begin);
            let commit = query("ROLLBACK TO before; COMMIT");
            if changed && replace(&mut bytes, &query("COMMIT"), &commit) {
                armed.store(false, Ordering::SeqCst);
                cut.store(true, Ordering::SeqCst);
                to_server.write_all(&bytes).await.unwrap();
                to_server.shutdown().await.unwrap();
                return;
            }
        }
        if to_server.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

#[test]
fn a_commit_that_the_server_lost_is_not_acknowledged() {
    let Some(url) = postgres_url() else { return };
    let Some(folder) = url.split(' ').find_map(|w| w.strip_prefix("host=/")) else {
        println!("SKIPPED: the server is not reached over a Unix socket");
        return;
    };
    let port = url.split(' ').find_map(|w| w.strip_prefix("port="));
    let name = format!(".s.PGSQL.{}", port.unwrap_or("5432"));
    let server = std::path::Path::new("/").join(folder).join(&name);
    let here = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let armed = Arc::new(AtomicBool::new(false));
    let listener = runtime.block_on(async { UnixListener::bind(here.path().join(&name)).unwrap() });
    let is_armed = Arc::clone(&armed);
    runtime.spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = UnixStream::connect(&server).await.unwrap();
            tokio::spawn(between(client, server, Arc::clone(&is_armed)));
        }
    });

    let mut config = make_postgres(&url);
    if let EngineConfig::Postgres { url, .. } = &mut config.engine {
        *url = url.replace(
            &format!("host=/{folder}"),
            &format!("host={}", here.path().display()),
        );
    }
    let b = Bench::with(config);
    b.put(create(b.open, "Basic", "before").id("before"));
    armed.store(true, Ordering::SeqCst);
    let lost = b
        .store
        .commit(puts([create(b.open, "Basic", "lost").id("lost")]));
    assert!(!armed.load(Ordering::SeqCst), "the COMMIT was met");
    assert!(matches!(lost, Err(CommitError::Unavailable(_))), "{lost:?}");
    let s = b.now();
    let there = |id: &str| s.read(&b.all(), b.open, "Basic", id).unwrap().is_some();
    assert!(there("before") && !there("lost"));
    let again = b
        .store
        .commit(puts([create(b.open, "Basic", "lost").id("lost")]));
    assert!(again.is_ok(), "{again:?}");
}
