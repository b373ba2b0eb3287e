//! TLS on the mail ports: on request and from the first byte, by Python's clients and by hand.

use std::process::Stdio;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use mail::{Limits, Protocol, Server, Shutdown};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use xmlsec::pki::{DemoCa, Validity};

use crate::{Office, Peer};

struct Keys {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    ca_pem: String,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let now_s = jiff::Timestamp::now().as_second();
    let ca = DemoCa::new("Test authority", now_s).unwrap();
    let validity = Validity::days_around(now_s, 1, 30);
    let server = ca.issue_server(&["127.0.0.1"], validity).unwrap();
    let chain = xmlsec::pem::decode_all("CERTIFICATE", &server.chain_pem).unwrap();
    let chain = chain.into_iter().map(CertificateDer::from).collect();
    let key = xmlsec::pem::decode("PRIVATE KEY", &server.key_pem).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let acceptor = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivatePkcs8KeyDer::from(key).into())
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    let root = CertificateDer::from(ca.certificate().der().to_vec());
    roots.add(root).unwrap();
    let connector = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Keys {
        acceptor: TlsAcceptor::from(Arc::new(acceptor)),
        connector: TlsConnector::from(Arc::new(connector)),
        ca_pem: ca.certificate().to_pem(),
    }
});

fn server(office: &Arc<Office>, shutdown: Shutdown) -> Server<Office> {
    with(office, shutdown, Limits::default())
}

fn with(office: &Arc<Office>, shutdown: Shutdown, limits: Limits) -> Server<Office> {
    Server::new(office.clone(), "edi.example", limits, shutdown).with_tls(KEYS.acceptor.clone())
}

const SCRIPT: &str = r"
import poplib, smtplib, ssl, sys
smtp, pop, smtps, pops = (int(a) for a in sys.argv[1:5])
context = ssl.create_default_context(cafile=sys.argv[5])
def send(s, text):
    s.ehlo()
    assert 'starttls' not in s.esmtp_features, s.esmtp_features
    s.login('ola', 'secret')
    s.sendmail('ola@edi.example', ['kari@edi.example'], 'Subject: x\r\n\r\n' + text + '\r\n')
def fetch(p, expected):
    assert 'STLS' not in p.capa(), p.capa()
    p.user('kari'); p.pass_('secret')
    assert p.stat()[0] == 1, p.stat()
    assert p.retr(1)[1][2] == expected.encode(), p.retr(1)
    p.dele(1); p.quit()
with smtplib.SMTP('127.0.0.1', smtp) as s:
    s.ehlo()
    assert 'starttls' in s.esmtp_features
    s.starttls(context=context)
    assert s.sock.version() in ('TLSv1.2', 'TLSv1.3')
    send(s, 'on request')
p = poplib.POP3('127.0.0.1', pop)
assert 'STLS' in p.capa()
p.stls(context=context)
fetch(p, 'on request')
with smtplib.SMTP_SSL('127.0.0.1', smtps, context=context) as s:
    send(s, 'from the start')
fetch(poplib.POP3_SSL('127.0.0.1', pops, context=context), 'from the start')
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_speaks_tls_on_request_and_from_the_start() {
    let office = Arc::new(Office::default());
    let shutdown = Shutdown::default();
    let server = server(&office, shutdown.clone());
    let mut arguments = Vec::new();
    let mut tasks = Vec::new();
    for (protocol, is_tls) in [
        (Protocol::Smtp, false),
        (Protocol::Pop3, false),
        (Protocol::Smtp, true),
        (Protocol::Pop3, true),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        arguments.push(listener.local_addr().unwrap().port().to_string());
        let server = server.clone();
        tasks.push(tokio::spawn(async move {
            if is_tls {
                server.serve_tls(listener, protocol).await
            } else {
                server.serve(listener, protocol).await
            }
        }));
    }
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &KEYS.ca_pem).unwrap();
    let output = Command::new("python3")
        .args(["-c", SCRIPT])
        .args(&arguments)
        .arg(&ca)
        .stdin(Stdio::null())
        .output()
        .await;
    match output {
        Err(_) => {
            eprintln!("SKIPPED: python3 is not installed, so no foreign client spoke TLS to us")
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

/// What was said in the clear does not count behind TLS: neither the greeting nor the log-in.
#[tokio::test]
async fn a_session_begins_anew_behind_tls() {
    let office = Arc::new(Office::default());
    let mut peer = Peer::smtp(&server(&office, Shutdown::default()));
    assert!(peer.line().await.starts_with("220"));
    assert!(peer.say("HELO x").await.starts_with("250"));
    let login = peer.say("AUTH PLAIN AG9sYQBzZWNyZXQ=").await;
    assert!(login.starts_with("235"));
    assert!(peer.say("STARTTLS").await.starts_with("220"));
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut stream = KEYS.connector.connect(name, peer.stream).await.unwrap();
    let text = "MAIL FROM:<ola@edi.example>\r\nSTARTTLS\r\nEHLO x\r\nAUTH PLAIN AG9sYQBzZWNyZXQ=\r\nQUIT\r\n";
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    // The end without close_notify is an error of the reading, after everything has come.
    let _ = stream.read_to_end(&mut said).await;
    let said = String::from_utf8(said).unwrap();
    let codes: Vec<&str> = said
        .lines()
        .filter(|line| line.as_bytes().get(3) == Some(&b' '))
        .map(|line| &line[..3])
        .collect();
    assert_eq!(codes, ["503", "503", "250", "235", "221"], "{said}");
}

/// What stands in the clear behind the wish for TLS would be taken for what came protected.
#[tokio::test]
async fn nothing_is_smuggled_in_before_tls() {
    let office = Arc::new(Office::default());
    let server = server(&office, Shutdown::default());
    let smtp = Peer::smtp(&server);
    let said = smtp.all(b"EHLO x\r\nSTARTTLS\r\nNOOP\r\nNOOP\r\n").await;
    assert!(said.ends_with("220 2.0.0 begin TLS\r\n"), "{said}");
    let pop3 = Peer::pop3(&server);
    let said = pop3.all(b"STLS\r\nCAPA\r\n").await;
    assert_eq!(said, "+OK ready\r\n+OK begin TLS\r\n");
}

#[tokio::test]
async fn without_a_certificate_no_tls_is_offered() {
    let office = Arc::new(Office::default());
    let server = crate::server(&office, Limits::default());
    let said = Peer::smtp(&server)
        .all(b"EHLO x\r\nSTARTTLS\r\nQUIT\r\n")
        .await;
    assert!(!said.contains("STARTTLS"), "{said}");
    assert!(
        said.contains("503 5.5.1 no TLS to begin here\r\n221 "),
        "{said}"
    );
    let said = Peer::pop3(&server).all(b"CAPA\r\nSTLS\r\nQUIT\r\n").await;
    assert!(
        !said.contains("STLS") && said.contains("-ERR no TLS to begin here\r\n+OK"),
        "{said}"
    );
}

/// A peer that goes silent or talks nonsense where TLS should begin is let go.
#[tokio::test]
async fn a_handshake_that_does_not_come_ends_the_connection() {
    let office = Arc::new(Office::default());
    let limits = Limits {
        patience: Duration::from_millis(300),
        ..Limits::default()
    };
    let impatient = with(&office, Shutdown::default(), limits);
    let mut silent = Peer::smtp(&impatient);
    // All at once, before the server begins: only the handshake is waited for.
    let text = b"EHLO x\r\nSTARTTLS\r\n";
    silent.stream.write_all(text).await.unwrap();
    let mut rest = Vec::new();
    silent.stream.read_to_end(&mut rest).await.unwrap();
    assert!(
        String::from_utf8(rest)
            .unwrap()
            .ends_with("220 2.0.0 begin TLS\r\n")
    );
    let mut strange = Peer::pop3(&server(&office, Shutdown::default()));
    strange.line().await;
    assert_eq!(strange.say("STLS").await, "+OK begin TLS");
    strange
        .stream
        .write_all(b"this is not TLS, is it? no.\r\n")
        .await
        .unwrap();
    let mut rest = Vec::new();
    strange.stream.read_to_end(&mut rest).await.unwrap();
    assert!(!String::from_utf8_lossy(&rest).contains("-ERR"));
}
