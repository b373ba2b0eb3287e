use std::time::Duration;

use amqp::client::{Client, ClientError, Tls};
use amqp::{Limits, Server, Shutdown};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, crypto};

use crate::{PASSWORD, QUEUE, USER, message, start};

const SASL_HEADER: &[u8] = b"AMQP\x03\x01\x00\x00";
const AMQP_HEADER: &[u8] = b"AMQP\x00\x01\x00\x00";

fn quick() -> Limits {
    Limits {
        failed_login_delay: Duration::from_millis(10),
        ..Limits::default()
    }
}

/// Who says nothing is let go of soon; only for tests in which nobody real logs in.
fn impatient() -> Limits {
    Limits {
        handshake: Duration::from_millis(500),
        ..quick()
    }
}

/// A SASL init frame with PLAIN.
fn sasl_init(response: &[u8]) -> Vec<u8> {
    let mut fields = vec![0xa3, 5];
    fields.extend(b"PLAIN");
    fields.extend([0xa0, response.len() as u8]);
    fields.extend(response);
    let mut performative = vec![0x00, 0x53, 0x41, 0xc0, fields.len() as u8 + 1, 2];
    performative.extend(fields);
    let mut frame = (performative.len() as u32 + 8).to_be_bytes().to_vec();
    frame.extend([2, 1, 0, 0]);
    frame.extend(performative);
    frame
}

/// An open frame with container id `x`.
fn open() -> Vec<u8> {
    let performative = [0x00, 0x53, 0x10, 0xc0, 4, 1, 0xa1, 1, b'x'];
    let mut frame = (performative.len() as u32 + 8).to_be_bytes().to_vec();
    frame.extend([2, 0, 0, 0]);
    frame.extend(performative);
    frame
}

async fn everything_answered(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut answer))
        .await
        .expect("the server closes");
    answer
}

#[tokio::test]
async fn a_failed_log_in_never_gives_an_open_connection() {
    let running = start(quick()).await;
    for (user, password) in [(USER, "feil"), ("nobody", PASSWORD), ("", ""), (USER, "")] {
        let refused = Client::connect(running.address, user, password, None)
            .await
            .err();
        assert_eq!(refused, Some(ClientError::Login), "{user}");
    }
    // By hand, going on as if nothing had happened.
    for response in [
        b"\0vaar-epj\0feil".as_slice(),
        b"\0vaar-epj",
        b"",
        b"someone\0vaar-epj\0hemmelig:\xc3\xb8",
        b"\0vaar-epj\0hemmelig:\xc3\xb8\0more",
    ] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        let bytes = [SASL_HEADER, &sasl_init(response), AMQP_HEADER, &open()].concat();
        stream.write_all(&bytes).await.unwrap();
        let answer = everything_answered(&mut stream).await;
        assert!(answer.starts_with(SASL_HEADER));
        assert!(
            !answer.windows(8).any(|window| window == AMQP_HEADER),
            "no AMQP header may come after a failed log-in"
        );
        assert!(
            !answer.windows(3).any(|window| window == [0x00, 0x53, 0x10]),
            "no open frame may come after a failed log-in"
        );
    }
    assert_eq!(running.broker.with(|state| state.attached), 0);
}

#[tokio::test]
async fn without_sasl_there_is_no_way_in() {
    let running = start(impatient()).await;
    for bytes in [
        [AMQP_HEADER, &open()].concat(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 64],
        Vec::new(),
    ] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let answer = everything_answered(&mut stream).await;
        assert!(!answer.windows(3).any(|window| window == [0x00, 0x53, 0x10]));
    }
    crate::eventually("all places free again", || {
        running.server.connections() == 0
    })
    .await;
}

#[tokio::test]
async fn one_address_gets_only_so_many_connections() {
    let running = start(Limits {
        max_connections_per_ip: 2,
        ..quick()
    })
    .await;
    let first = running.client().await;
    let _second = running.client().await;
    assert!(
        Client::connect(running.address, USER, PASSWORD, None)
            .await
            .is_err()
    );
    first.close().await.unwrap();
    crate::eventually("a place is free again", || {
        running.server.connections() == 1
    })
    .await;
    running.client().await;
}

#[tokio::test]
async fn tls_from_the_first_byte() {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let provider = std::sync::Arc::new(crypto::aws_lc_rs::default_provider());
    let server_config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let client_config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();

    let broker = crate::broker::MemoryBroker::new(&["93252_async"]);
    let server = Server::new(
        std::sync::Arc::new(broker.clone()),
        "test",
        quick(),
        Shutdown::new(),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(server_config));
    tokio::spawn(async move { server.serve_tls(listener, acceptor).await });

    let tls = Tls {
        connector: tokio_rustls::TlsConnector::from(std::sync::Arc::new(client_config)),
        server_name: ServerName::try_from("localhost").unwrap(),
    };
    let mut client = Client::connect(address, USER, PASSWORD, Some(tls))
        .await
        .unwrap();
    let mut sender = client.sender(QUEUE, "sender").await.unwrap();
    sender.send(message("over TLS")).await.unwrap();
    assert_eq!(broker.waiting("93252_async"), 1);

    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(SASL_HEADER).await.unwrap();
    let answer = everything_answered(&mut plain).await;
    assert!(
        !answer.starts_with(b"AMQP"),
        "no plain AMQP on the TLS port"
    );
}
