//! What a link costs that only waits.

use amqp::Limits;

use crate::raw::{ATTACH, FLOW, Raw, SOURCE as SOURCE_CODE, V, described, frame, text};
use crate::{SOURCE, eventually, start};

/// So many that what other tests hold at the same time hardly shows.
const CONNECTIONS: u32 = 200;
const LINKS_EACH: u32 = 60;
const MOST_BYTES: usize = 10 << 10;

/// Bytes of this process in memory.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_ascii_whitespace().nth(1);
    pages.and_then(|n| n.parse::<usize>().ok()).unwrap_or(0) * 4096
}

/// The look that is under way included, and the connection's own share.
#[tokio::test]
async fn a_waiting_link_costs_little_memory() {
    let running = start(Limits::default()).await;
    let before = resident();
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut raw = Raw::open(running.address).await;
        raw.opened().await;
        let mut frames = Vec::new();
        for handle in 0..LINKS_EACH {
            let attach = vec![
                text(&format!("receiver-link-of-a-usual-length-{handle}")),
                V::Uint(handle),
                V::Bool(true),
                V::Null,
                V::Null,
                described(SOURCE_CODE, vec![text(SOURCE)]),
            ];
            let flow = vec![
                V::Uint(0),
                V::Uint(2048),
                V::Uint(0),
                V::Uint(2048),
                V::Uint(handle),
                V::Uint(0),
                V::Uint(25),
            ];
            frames.push(frame(ATTACH, attach, &[]));
            frames.push(frame(FLOW, flow, &[]));
        }
        raw.send(&frames).await;
        for _ in 0..LINKS_EACH {
            raw.until(ATTACH).await;
        }
        clients.push(raw);
    }
    let links = (CONNECTIONS * LINKS_EACH) as usize;
    assert_eq!(running.broker.with(|state| state.attached), links);
    let each = resident().saturating_sub(before) / links;
    println!("{each} bytes for a link");
    assert!(each < MOST_BYTES, "{each} bytes for a link");
    drop(clients);
    eventually("all closed", || {
        running.broker.with(|state| state.closed == links)
    })
    .await;
}
