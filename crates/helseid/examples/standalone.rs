//! HelseID alone on `https://localhost:8444`, with three test clients and a small synthetic register: for trying
//! foreign clients against it.
//!
//! `cargo run -p helseid --example standalone -- FOLDER [PORT]` writes `ca.pem` and `clients.json` (with the clients'
//! private keys, made anew each time) to FOLDER and serves until it is stopped.
#![allow(clippy::indexing_slicing, clippy::print_stdout)]

#[path = "../tests/it/people.rs"]
#[allow(dead_code)]
mod people;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use helseid::{Client, ClientKey, Config, ForgetfulKeyStore, Helseid, Mode, Parts, Tenancy};
use jose::jwk::KeyKind;
use jose::{Alg, MemoryState, PrivateJwk, system_clock};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

type Anything = Box<dyn std::error::Error>;

const SCOPES: [&str; 8] = [
    "openid",
    "profile",
    "offline_access",
    "helseid://scopes/identity/pid",
    "helseid://scopes/identity/security_level",
    "helseid://scopes/hpr/hpr_number",
    "nhn:kjernejournal/api",
    "nhn:pps/provesvar-read",
];

#[tokio::main]
async fn main() -> Result<(), Anything> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("usage: standalone FOLDER [PORT]")?);
    let port: u16 = arguments.next().map_or(Ok(8444), |port| port.parse())?;
    std::fs::create_dir_all(&folder)?;
    let (tls, ca_pem) = certificates()?;
    let tcp = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port)).await?;
    let issuer = format!("https://localhost:{}", tcp.local_addr()?.port());

    let mut config = Config::new(&issuer);
    config.test_idp = true;
    let mut printed = Vec::new();
    for (client_id, kind, alg, mode) in [
        ("strict-es256", KeyKind::P256, Alg::Es256, Mode::Strict),
        ("strict-rs256", KeyKind::Rsa2048, Alg::Rs256, Mode::Strict),
        (
            "compatible-ps256",
            KeyKind::Rsa2048,
            Alg::Ps256,
            Mode::Compatible,
        ),
    ] {
        let key = PrivateJwk::generate(kind, Some(alg))?;
        printed.push(json!({ "client_id": client_id, "private_jwk": key.to_secret_members() }));
        config.clients.push(client(client_id, &key, mode));
    }
    let clock = system_clock();
    let state = Arc::new(MemoryState::new(Arc::clone(&clock), 100_000));
    let helseid = Helseid::new(
        config,
        Parts {
            directory: Arc::new(people::People),
            state: state.clone(),
            replay: state,
            keys: Arc::new(ForgetfulKeyStore),
            clock,
        },
    )?;
    let facts: Value = json!({ "issuer": issuer, "clients": printed, "doctor": people::DOCTOR });
    std::fs::write(folder.join("ca.pem"), ca_pem)?;
    std::fs::write(folder.join("clients.json"), facts.to_string())?;
    println!("{issuer} is ready");
    axum::serve(TlsListener { tcp, tls }, helseid.router()).await?;
    Ok(())
}

fn client(client_id: &str, key: &PrivateJwk, mode: Mode) -> Client {
    let mut client = Client::new(client_id, "Standalone");
    client.organisation_name = "Granfjelldal kommune".to_owned();
    client.keys.push(ClientKey {
        key: key.public().clone(),
        expires_s: None,
    });
    client.scopes = SCOPES.into_iter().map(str::to_owned).collect();
    client.redirect_uris = vec!["http://localhost:3000/callback".to_owned()];
    client.post_logout_redirect_uris = vec!["http://localhost:3000/out".to_owned()];
    client.user_login = true;
    client.machine = true;
    client.refresh = true;
    client.mode = Some(mode);
    client.tenancy = Tenancy::Single {
        parent: people::MUNICIPALITY.to_owned(),
        children: [people::NURSING_HOME.to_owned()].into(),
    };
    client
}

/// A CA and a certificate for localhost.
fn certificates() -> Result<(TlsAcceptor, String), Anything> {
    let ca_key = rcgen::KeyPair::generate()?;
    let mut ca = rcgen::CertificateParams::new(Vec::new())?;
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.distinguished_name
        .push(rcgen::DnType::CommonName, "standalone CA");
    let ca_pem = ca.self_signed(&ca_key)?.pem();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate()?;
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = rcgen::CertificateParams::new(names)?.signed_by(&key, &issuer)?;
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    Ok((TlsAcceptor::from(Arc::new(config)), ca_pem))
}

struct TlsListener {
    tcp: TcpListener,
    tls: TlsAcceptor,
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, address)) = self.tcp.accept().await else {
                continue;
            };
            if let Ok(stream) = self.tls.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}
