//! Connections that end in any state, and peers that do not read: what was not answered for is not kept, what was not removed is there again.

use std::sync::Arc;
use std::time::Duration;

use mail::{Limits, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use crate::{HOME, Office, server};

const SENDING: &str = "EHLO me\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<ola@edi.example>\r\nDATA\r\nA: 1\r\n\r\nhei\r\n.\r\nQUIT\r\n";
const FETCHING: &str =
    "USER ola\r\nPASS secret\r\nSTAT\r\nRETR 1\r\nDELE 1\r\nDELE 2\r\nRSET\r\nDELE 1\r\nQUIT\r\n";

/// How a connection ends behind what was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing more is sent; answers are read.
    HalfClosed,
    /// It is gone, in both directions.
    Gone,
}

#[derive(Clone, Copy)]
enum Which {
    Smtp,
    Pop3,
}

/// Says so much, ends so, and waits until the server has let go.
async fn cut_off(server: &Server<Office>, which: Which, text: &str, end: End) {
    let (mut near, far) = tokio::io::duplex(1 << 20);
    let session = begin(server, which, far);
    near.write_all(text.as_bytes()).await.unwrap();
    if end == End::HalfClosed {
        near.shutdown().await.unwrap();
        let mut out = Vec::new();
        near.read_to_end(&mut out).await.unwrap();
    }
    drop(near);
    session.await.unwrap();
}

fn begin(server: &Server<Office>, which: Which, far: DuplexStream) -> tokio::task::JoinHandle<()> {
    let server = server.clone();
    tokio::spawn(async move {
        match which {
            Which::Smtp => mail::session::smtp(&server, far, HOME).await,
            Which::Pop3 => mail::session::pop3(&server, far, HOME).await,
        }
    })
}

#[tokio::test]
async fn a_mail_is_kept_whole_or_not_at_all() {
    let whole_at = SENDING.find("\r\n.\r\n").unwrap() + 5;
    for cut in 0..=SENDING.len() {
        for end in [End::HalfClosed, End::Gone] {
            let office = Arc::new(Office::default());
            let server = server(&office, Limits::default());
            cut_off(&server, Which::Smtp, &SENDING[..cut], end).await;
            let kept = office.of("ola");
            match end {
                End::HalfClosed => assert_eq!(kept.len(), usize::from(cut >= whole_at), "{cut}"),
                // A peer that has not waited for 354 may lose what it sent, but half a mail is never kept.
                End::Gone => assert!(kept.is_empty() || cut >= whole_at, "{cut}"),
            }
            assert!(
                kept.iter().all(|mail| mail == "A: 1\r\n\r\nhei\r\n"),
                "{cut}"
            );
        }
    }
}

#[tokio::test]
async fn what_was_not_removed_by_quit_is_there_again() {
    for cut in 0..=FETCHING.len() {
        for end in [End::HalfClosed, End::Gone] {
            let office = Arc::new(Office::default());
            office.put("ola", &["A: 1\r\n\r\none\r\n", "B: 2\r\n\r\ntwo\r\n"]);
            let server = server(&office, Limits::default());
            cut_off(&server, Which::Pop3, &FETCHING[..cut], end).await;
            let is_whole = cut == FETCHING.len();
            let left = office.of("ola").len();
            match end {
                End::HalfClosed => assert_eq!(left, 2 - usize::from(is_whole), "{cut}"),
                End::Gone => assert!(left == 2 || is_whole, "{cut}"),
            }
            // The mailbox is free for the next session.
            let (mut near, far) = tokio::io::duplex(1 << 20);
            let session = begin(&server, Which::Pop3, far);
            near.write_all(b"USER ola\r\nPASS secret\r\nQUIT\r\n")
                .await
                .unwrap();
            let mut out = String::new();
            near.read_to_string(&mut out).await.unwrap();
            session.await.unwrap();
            assert_eq!(
                out,
                format!("+OK ready\r\n+OK\r\n+OK {left} messages\r\n+OK bye\r\n"),
                "{cut}"
            );
        }
    }
}

/// A peer that asks and never reads holds nothing for long.
#[tokio::test]
async fn a_peer_that_does_not_read_is_let_go() {
    let limits = Limits {
        patience: Duration::from_millis(50),
        ..Limits::default()
    };
    let office = Arc::new(Office::default());
    let large = format!("A: 1\r\n\r\n{}", "a line of a mail\r\n".repeat(20_000));
    office.put("ola", &[&large]);
    let server = server(&office, limits);
    for (which, text) in [
        (
            Which::Pop3,
            "USER ola\r\nPASS secret\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n".to_owned(),
        ),
        (Which::Smtp, format!("EHLO x\r\n{}", "NOOP\r\n".repeat(500))),
    ] {
        // There is room for what is asked, and not for the answers.
        let (mut near, far) = tokio::io::duplex(4 << 10);
        let session = begin(&server, which, far);
        near.write_all(text.as_bytes()).await.unwrap();
        session.await.unwrap();
        drop(near);
        assert_eq!(office.of("ola").len(), 1);
    }
    let mut out = String::new();
    let (mut near, far) = tokio::io::duplex(1 << 20);
    let session = begin(&server, Which::Pop3, far);
    near.write_all(b"USER ola\r\nPASS secret\r\nQUIT\r\n")
        .await
        .unwrap();
    near.read_to_string(&mut out).await.unwrap();
    session.await.unwrap();
    assert!(out.contains("+OK 1 messages"), "{out}");
}
