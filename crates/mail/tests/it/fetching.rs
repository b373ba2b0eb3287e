//! POP3.

use std::sync::Arc;

use mail::Limits;
use proptest::prelude::*;

use crate::{Office, Peer, server};

fn office() -> Arc<Office> {
    let office = Office::default();
    office.put(
        "ola",
        &["A: 1\r\n\r\none\r\n", "B: 2\r\n\r\n.two\r\nmore\r\n"],
    );
    Arc::new(office)
}

async fn told(office: &Arc<Office>, text: &str) -> Vec<String> {
    let out = Peer::pop3(&server(office, Limits::default()))
        .all(text.as_bytes())
        .await;
    out.split("\r\n").map(str::to_owned).collect()
}

const IN: &str = "USER ola\r\nPASS secret\r\n";

#[tokio::test]
async fn what_is_fetched_and_marked_is_gone_after_quit_only() {
    let office = office();
    let said = told(
        &office,
        &format!("{IN}STAT\r\nUIDL\r\nRETR 2\r\nTOP 2 1\r\nDELE 2\r\nRETR 2\r\nLIST\r\nSTAT\r\n"),
    )
    .await;
    // The session ended without QUIT (the stream was never closed by us; the list is what came until then).
    assert_eq!(
        said[3..14],
        [
            "+OK 2 33", "+OK", "1 1", "2 2", ".", "+OK", "B: 2", "", "..two", "more", "."
        ]
    );
    assert_eq!(said[14..19], ["+OK", "B: 2", "", "..two", "."]);
    assert_eq!(said[19], "+OK removed at QUIT");
    assert!(said[20].starts_with("-ERR"));
    assert_eq!(said[21..25], ["+OK", "1 13", ".", "+OK 1 13"]);
    assert_eq!(office.of("ola").len(), 2);

    let said = told(
        &office,
        &format!("{IN}DELE 1\r\nRSET\r\nDELE 2\r\nQUIT\r\n"),
    )
    .await;
    assert_eq!(said[6], "+OK bye");
    assert_eq!(office.of("ola"), ["A: 1\r\n\r\none\r\n"]);
}

#[tokio::test]
async fn only_who_logged_in_sees_anything() {
    let office = office();
    let said = told(&office, "STAT\r\nPASS secret\r\nUSER ola\r\nPASS wrong\r\nUSER ola\r\nPASS wrong\r\nUSER x\r\nPASS secret\r\nSTAT\r\n").await;
    let signs: Vec<&str> = said
        .iter()
        .map(|line| line.get(..3).unwrap_or(""))
        .collect();
    let [yes, no] = ["+OK", "-ER"];
    assert_eq!(signs, [yes, no, no, yes, no, yes, no, yes, no, ""]);
}

#[tokio::test]
async fn a_mailbox_is_open_once() {
    let office = office();
    let server = server(&office, Limits::default());
    let mut first = Peer::pop3(&server);
    first.line().await;
    first.say("USER ola").await;
    assert_eq!(first.say("PASS secret").await, "+OK 2 messages");
    let mut second = Peer::pop3(&server);
    second.line().await;
    second.say("USER ola").await;
    assert!(second.say("PASS secret").await.contains("[IN-USE]"));
    second.say("USER kari").await;
    assert_eq!(second.say("PASS secret").await, "+OK 0 messages");
    assert_eq!(first.say("QUIT").await, "+OK bye");
    // The end of the session frees it.
    let mut end = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut first.stream, &mut end)
        .await
        .unwrap();
    let mut third = Peer::pop3(&server);
    third.line().await;
    third.say("USER ola").await;
    assert_eq!(third.say("PASS secret").await, "+OK 2 messages");
}

proptest! {
    #[test]
    fn any_bytes_end_in_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300), commands in proptest::collection::vec("(RETR|TOP|DELE|LIST|UIDL|STAT|RSET)( [0-9]{1,2}){0,2}", 0..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let out = runtime.block_on(async {
            let office = office();
            let mut text = format!("{IN}{}\r\n", commands.join("\r\n")).into_bytes();
            text.extend_from_slice(&bytes);
            text.extend_from_slice(b"\r\nQUIT\r\n");
            Peer::pop3(&server(&office, Limits::default())).all(&text).await
        });
        prop_assert!(out.starts_with("+OK"));
        prop_assert!(out.ends_with("\r\n"));
    }
}
