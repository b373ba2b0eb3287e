//! SMTP.

use std::sync::Arc;

use mail::Limits;
use mail::port::Delivered;
use proptest::prelude::*;

use crate::{Office, Peer, server};

/// Codes of the replies, continuation lines left out.
fn codes(text: &str) -> Vec<u16> {
    text.lines()
        .filter(|line| line.as_bytes().get(3) != Some(&b'-'))
        .map(|line| line[..3].parse().unwrap())
        .collect()
}

async fn told(limits: Limits, text: &str) -> (Vec<u16>, Vec<String>) {
    let office = Arc::new(Office::default());
    let out = Peer::smtp(&server(&office, limits))
        .all(text.as_bytes())
        .await;
    (codes(&out), office.of("ola"))
}

const START: &str =
    "EHLO me\r\nMAIL FROM:<a@b.example> SIZE=10\r\nRCPT TO:<ola@edi.example>\r\nDATA\r\n";

#[tokio::test]
async fn a_mail_is_kept_byte_for_byte() {
    let text = format!("{START}A: 1\r\n\r\n..dot\r\n..\r\ntwo\r\n.\r\nQUIT\r\n");
    let (codes, kept) = told(Limits::default(), &text).await;
    assert_eq!(codes, [220, 250, 250, 250, 354, 250, 221]);
    assert_eq!(kept, ["A: 1\r\n\r\n.dot\r\n.\r\ntwo\r\n"]);
}

#[tokio::test]
async fn nothing_is_smuggled_behind_a_strange_end() {
    for end in [
        "\n.\n",
        "\n.\r\n",
        "\r.\r\n",
        "\r\n.\n",
        "\r\n.\r",
        "\r\n\0.\n",
    ] {
        let inner = "MAIL FROM:<x@y>\r\nRCPT TO:<ola@edi.example>\r\nDATA\r\nsmuggled\r\n";
        let text = format!("{START}one{end}{inner}.\r\nQUIT\r\n");
        let (codes, kept) = told(Limits::default(), &text).await;
        assert_eq!(codes, [220, 250, 250, 250, 354, 554, 221], "{end:?}");
        assert!(kept.is_empty(), "{end:?}");
    }
}

#[tokio::test]
async fn the_order_of_commands_counts() {
    let table: [(&str, &[u16]); 10] = [
        ("MAIL FROM:<a@b>\r\n", &[503]),
        ("EHLO x\r\nRCPT TO:<ola@edi.example>\r\n", &[250, 503]),
        ("EHLO x\r\nDATA\r\n", &[250, 503]),
        (
            "EHLO x\r\nMAIL FROM:<a@b>\r\nMAIL FROM:<a@b>\r\n",
            &[250, 250, 503],
        ),
        ("EHLO x\r\nMAIL FROM:<a@b>\r\nDATA\r\n", &[250, 250, 503]),
        (
            "EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<who@edi.example>\r\n",
            &[250, 250, 550],
        ),
        (
            "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<ola@edi.example>\r\nRCPT TO:<kari@edi.example>\r\n",
            &[250, 250, 250, 452],
        ),
        (
            "EHLO x\r\nMAIL FROM:<a@b>\r\nRSET\r\nMAIL FROM:<a@b>\r\n",
            &[250, 250, 250, 250],
        ),
        (
            "EHLO x\r\nMAIL FROM:<a@b> SIZE=999999999999\r\n",
            &[250, 552],
        ),
        (
            "NOOP\nHELP\r\nVRFY x\r\nSTARTTLS\r\n",
            &[500, 500, 252, 503],
        ),
    ];
    for (text, expected) in table {
        let (codes, kept) = told(Limits::default(), &format!("{text}QUIT\r\n")).await;
        let whole = [&[220], expected, &[221]].concat();
        assert_eq!(codes, whole, "{text}");
        assert!(kept.is_empty());
    }
}

#[tokio::test]
async fn limits_hold_and_the_session_goes_on() {
    let limits = Limits {
        max_mail_bytes: 200,
        max_text_line: 50,
        ..Limits::default()
    };
    let large = "0123456789\r\n".repeat(30);
    let (codes, kept) = told(
        limits.clone(),
        &format!("{START}{large}.\r\nRSET\r\nQUIT\r\n"),
    )
    .await;
    assert_eq!(codes, [220, 250, 250, 250, 354, 552, 250, 221]);
    assert!(kept.is_empty());
    let long = "x".repeat(100);
    let (codes, _) = told(limits, &format!("{START}{long}\r\nshort\r\n.\r\nQUIT\r\n")).await;
    assert_eq!(codes, [220, 250, 250, 250, 354, 500, 221]);
    let no_room = Limits {
        incoming_units: 0,
        ..Limits::default()
    };
    let (codes, _) = told(no_room, &format!("{START}x\r\n.\r\nQUIT\r\n")).await;
    assert_eq!(codes, [220, 250, 250, 250, 354, 452, 221]);
    let few = Limits {
        max_faults: 2,
        ..Limits::default()
    };
    let (codes, _) = told(few, "A\r\nB\r\nC\r\nNOOP\r\n").await;
    assert_eq!(codes, [220, 500, 500, 421]);
    let few = Limits {
        max_commands: 2,
        ..Limits::default()
    };
    let (codes, _) = told(few, "NOOP\r\nNOOP\r\nNOOP\r\n").await;
    assert_eq!(codes, [220, 250, 250, 421]);
    let endless = "x".repeat(500_000);
    let (codes, _) = told(Limits::default(), &format!("{endless}\r\nQUIT\r\n")).await;
    assert_eq!(codes, [220, 500, 221]);
}

#[tokio::test]
async fn who_logs_in_sends_as_oneself() {
    // `\0ola\0secret`, `\0ola\0wrong`, `ola`, `secret`.
    let table: [(&str, &[u16]); 7] = [
        (
            "AUTH PLAIN AG9sYQBzZWNyZXQ=\r\nMAIL FROM:<ola@edi.example>\r\nRCPT TO:<kari@edi.example>\r\n",
            &[235, 250, 250],
        ),
        (
            "AUTH PLAIN AG9sYQBzZWNyZXQ=\r\nMAIL FROM:<kari@edi.example>\r\nRCPT TO:<kari@edi.example>\r\n",
            &[235, 250, 550],
        ),
        ("AUTH PLAIN\r\nAG9sYQBzZWNyZXQ=\r\n", &[334, 235]),
        ("AUTH LOGIN\r\nb2xh\r\nc2VjcmV0\r\n", &[334, 334, 235]),
        ("AUTH LOGIN b2xh\r\n*\r\n", &[334, 501]),
        ("AUTH PLAIN AG9sYQB3cm9uZw==\r\n", &[535]),
        (
            "AUTH PLAIN !\r\nAUTH PLAIN AG9sYQBzZWNyZXQ=\r\nAUTH PLAIN AG9sYQBzZWNyZXQ=\r\n",
            &[501, 235, 503],
        ),
    ];
    for (text, expected) in table {
        let (codes, _) = told(Limits::default(), &format!("EHLO x\r\n{text}QUIT\r\n")).await;
        let whole = [&[220, 250], expected, &[221]].concat();
        assert_eq!(codes, whole, "{text}");
    }
    let wrong = "AUTH PLAIN AG9sYQB3cm9uZw==\r\n".repeat(3);
    let (codes, _) = told(Limits::default(), &format!("EHLO x\r\n{wrong}NOOP\r\n")).await;
    assert_eq!(codes, [220, 250, 535, 535, 421]);
}

#[tokio::test]
async fn what_the_office_says_is_said() {
    for (answer, code) in [
        (Delivered::TryLater, 451),
        (Delivered::Refused("it is no mail"), 554),
    ] {
        let office = Arc::new(Office {
            answer: Some(answer),
            ..Office::default()
        });
        let out = Peer::smtp(&server(&office, Limits::default()))
            .all(format!("{START}x\r\n.\r\nQUIT\r\n").as_bytes())
            .await;
        assert_eq!(codes(&out), [220, 250, 250, 250, 354, code, 221]);
    }
}

#[tokio::test]
async fn silent_peers_are_let_go() {
    let impatient = Limits {
        patience: std::time::Duration::from_millis(30),
        ..Limits::default()
    };
    let office = Arc::new(Office::default());
    let mut peer = Peer::smtp(&server(&office, impatient));
    assert!(peer.line().await.starts_with("220"));
    assert!(peer.line().await.starts_with("421"));
}

#[tokio::test]
async fn a_mail_that_never_ends_is_let_go() {
    use tokio::io::AsyncWriteExt as _;
    let impatient = Limits {
        mail_time: std::time::Duration::from_millis(100),
        ..Limits::default()
    };
    let office = Arc::new(Office::default());
    let mut slow = Peer::smtp(&server(&office, impatient));
    slow.stream.write_all(START.as_bytes()).await.unwrap();
    // A drop at a time, each in good time: until the session is gone.
    while slow.stream.write_all(b"x\r\n").await.is_ok() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(office.of("ola").is_empty());
}

proptest! {
    #[test]
    fn any_bytes_end_in_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let out = runtime.block_on(async {
            let office = Arc::new(Office::default());
            let mut text = bytes;
            text.extend_from_slice(b"\r\nQUIT\r\n");
            Peer::smtp(&server(&office, Limits::default())).all(&text).await
        });
        prop_assert!(out.starts_with("220"));
        prop_assert!(out.ends_with("\r\n"));
    }
}
