//! Python's `smtplib` and `poplib` over sockets; skipped with a line on stderr where Python is missing.

use std::process::Stdio;
use std::sync::Arc;

use mail::{Limits, Protocol, Server, Shutdown};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::Office;

const SCRIPT: &str = r"
import poplib, smtplib, sys
smtp, pop = int(sys.argv[1]), int(sys.argv[2])
with smtplib.SMTP('127.0.0.1', smtp) as s:
    s.ehlo()
    s.login('ola', 'secret')
    s.sendmail('ola@edi.example', ['kari@edi.example'], 'Subject: x\r\n\r\n.hello\r\n' + 'x' * 1500 + '\r\n')
    try:
        s.sendmail('ola@edi.example', ['who@edi.example'], 'x')
        sys.exit('a stranger was accepted')
    except smtplib.SMTPRecipientsRefused:
        pass
p = poplib.POP3('127.0.0.1', pop)
p.user('kari'); p.pass_('secret')
assert 'UIDL' in p.capa(), p.capa()
assert p.stat()[0] == 1, p.stat()
lines = p.retr(1)[1]
assert lines[2] == b'.hello' and len(lines[3]) == 1500, lines
assert p.uidl()[1] == [b'1 1'], p.uidl()
p.dele(1); p.quit()
p = poplib.POP3('127.0.0.1', pop)
p.user('kari'); p.pass_('secret')
assert p.stat()[0] == 0
p.quit()
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_sends_and_fetches() {
    let office = Arc::new(Office::default());
    let shutdown = Shutdown::default();
    let server = Server::new(
        office.clone(),
        "edi.example",
        Limits::default(),
        shutdown.clone(),
    );
    let mut ports = Vec::new();
    let mut tasks = Vec::new();
    for protocol in [Protocol::Smtp, Protocol::Pop3] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        ports.push(listener.local_addr().unwrap().port().to_string());
        let server = server.clone();
        tasks.push(tokio::spawn(async move {
            server.serve(listener, protocol).await
        }));
    }
    let output = Command::new("python3")
        .args(["-c", SCRIPT])
        .args(&ports)
        .stdin(Stdio::null())
        .output()
        .await;
    match output {
        Err(_) => {
            eprintln!("SKIPPED: python3 is not installed, so no foreign mail client was tried")
        }
        Ok(output) => assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        ),
    }
    shutdown.set();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(office.of("kari").is_empty());
}
