//! The accept loop: TCP or TLS, HTTP/1.1 and HTTP/2, with limits and a graceful end.

use crate::front::Front;
use axum::extract::connect_info::ConnectInfo;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// Limits of a listener.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest wait for a complete request head.
    pub header_timeout: Duration,
    /// Longest TLS handshake.
    pub handshake_timeout: Duration,
    /// Connections from one address.
    pub connections_per_address: usize,
    /// Connections in all.
    pub connections: usize,
    /// Longest wait for running requests at the end.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(15),
            handshake_timeout: Duration::from_secs(10),
            // A reverse proxy in front is one address, so the bound is generous.
            connections_per_address: 4_096,
            connections: 16_384,
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// Ends all listeners that hold its receiver.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Sender<bool>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(watch::channel(false).0)
    }
}

impl Shutdown {
    /// Ends them.
    pub fn trigger(&self) {
        self.0.send_replace(true);
    }

    /// Whether it has come to that.
    pub fn is_triggered(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for the end.
    pub async fn wait(&self) {
        let mut receiver = self.0.subscribe();
        let _ = receiver.wait_for(|ended| *ended).await;
    }
}

/// Binds `wanted`; when `may_move` and the port is taken, binds a free port of the same address.
pub async fn bind(wanted: SocketAddr, may_move: bool) -> std::io::Result<TcpListener> {
    match TcpListener::bind(wanted).await {
        Err(e) if may_move && e.kind() == std::io::ErrorKind::AddrInUse => {
            TcpListener::bind(SocketAddr::new(wanted.ip(), 0)).await
        }
        bound => bound,
    }
}

/// Serves a router, or a [`Front`] before one, until shutdown; then drains. With `tls` over TLS.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    front: impl Into<Front>,
    limits: Limits,
    shutdown: Shutdown,
) {
    let front = front.into();
    let acceptor = tls.map(TlsAcceptor::from);
    let graceful = GracefulShutdown::new();
    let counts: Counts = Arc::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.wait() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors: give running requests a moment to end.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(place) = Place::take(&counts, peer.ip(), &limits) else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (acceptor, front, limits) = (acceptor.clone(), front.clone(), limits.clone());
        let watcher = graceful.watcher();
        tokio::spawn(async move {
            let _place = place;
            match acceptor {
                None => connection(stream, (peer, None), front, &limits, watcher).await,
                Some(acceptor) => {
                    match tokio::time::timeout(limits.handshake_timeout, acceptor.accept(stream))
                        .await
                    {
                        Ok(Ok(stream)) => {
                            let certificate = peer_certificate(stream.get_ref().1);
                            let from = (peer, certificate);
                            connection(stream, from, front, &limits, watcher).await;
                        }
                        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
                        Err(_) => tracing::debug!("TLS handshake timed out"),
                    }
                }
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.drain_timeout, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests were cut off at shutdown");
    }
}

async fn connection<S>(
    stream: S,
    (peer, certificate): (SocketAddr, Option<PeerCertificate>),
    front: Front,
    limits: &Limits,
    watcher: hyper_util::server::graceful::Watcher,
) where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(tower::ServiceExt::map_request(
        front.router(),
        move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            if let Some(certificate) = &certificate {
                request.extensions_mut().insert(certificate.clone());
            }
            request.map(axum::body::Body::new)
        },
    ));
    let service = front.before(service);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .max_concurrent_streams(256);
    let connection = builder
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "connection ended with an error");
    }
}

type Counts = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// One connection's place under the limits; given back when dropped.
struct Place {
    counts: Counts,
    address: IpAddr,
}

impl Place {
    fn take(counts: &Counts, address: IpAddr, limits: &Limits) -> Option<Self> {
        let mut held = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let total: usize = held.values().sum();
        let of_address = held.get(&address).copied().unwrap_or(0);
        if of_address >= limits.connections_per_address || total >= limits.connections {
            return None;
        }
        held.insert(address, of_address + 1);
        Some(Self {
            counts: counts.clone(),
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.address);
            }
        }
    }
}

/// The certificate a client showed in the TLS handshake (DER), with which it has proved to hold the key. Nothing is said
/// about who issued it. In the extensions of requests that came over [`tls_config_asking`].
#[derive(Clone)]
pub struct PeerCertificate(pub Arc<[u8]>);

/// A TLS server configuration from a DER certificate chain and a PKCS#8 key; TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
pub fn tls_config(
    chain: Vec<Vec<u8>>,
    key_pkcs8: Vec<u8>,
) -> Result<Arc<rustls::ServerConfig>, rustls::Error> {
    let chain = chain
        .into_iter()
        .map(rustls::pki_types::CertificateDer::from)
        .collect();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key_pkcs8).into();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The same, but a client may show a certificate in the handshake: any, also a self-signed one, if it proves to hold its
/// key. Requests then carry it as [`PeerCertificate`]; what it is good for is decided behind. Browsers ask their users
/// for a certificate at such a listener, so it has an address of its own.
pub fn tls_config_asking(
    plain: &rustls::ServerConfig,
) -> Result<Arc<rustls::ServerConfig>, rustls::Error> {
    let provider = plain.crypto_provider().clone();
    let verifier = Arc::new(AnyCertificate(provider.signature_verification_algorithms));
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(plain.cert_resolver.clone());
    config.alpn_protocols.clone_from(&plain.alpn_protocols);
    Ok(Arc::new(config))
}

fn peer_certificate(connection: &rustls::ServerConnection) -> Option<PeerCertificate> {
    let shown = connection.peer_certificates()?.first()?;
    Some(PeerCertificate(Arc::from(shown.as_ref())))
}

/// Takes any certificate; that the client holds its key is verified by the signature of the handshake.
#[derive(Debug)]
struct AnyCertificate(rustls::crypto::WebPkiSupportedAlgorithms);

impl rustls::server::danger::ClientCertVerifier for AnyCertificate {
    fn root_hint_subjects(&self) -> &[rustls::DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::server::danger::ClientCertVerified, rustls::Error> {
        Ok(rustls::server::danger::ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// Address of a TCP stream's peer, for limits elsewhere.
pub fn peer_ip(stream: &TcpStream) -> Option<IpAddr> {
    stream.peer_addr().ok().map(|a| a.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn who_is_turned_away_is_not_remembered() {
        let limits = Limits {
            connections: 1,
            ..Limits::default()
        };
        let counts = Counts::default();
        let place = Place::take(&counts, IpAddr::from([127, 0, 0, 1]), &limits).unwrap();
        for last in 2..9 {
            assert!(Place::take(&counts, IpAddr::from([127, 0, 0, last]), &limits).is_none());
        }
        assert_eq!(counts.lock().unwrap().len(), 1);
        drop(place);
        assert!(counts.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn serves_and_drains() {
        let listener = bind("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
        let address = listener.local_addr().unwrap();
        let slow = || async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            "done"
        };
        let router = Router::new().route("/", axum::routing::get(slow));
        let shutdown = Shutdown::default();
        let server = tokio::spawn(serve(
            listener,
            None,
            router,
            Limits::default(),
            shutdown.clone(),
        ));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        shutdown.trigger();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("done"), "{answer}");
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_taken_port_moves_only_when_allowed() {
        let first = bind("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
        let taken = first.local_addr().unwrap();
        assert!(bind(taken, false).await.is_err());
        assert_ne!(
            bind(taken, true).await.unwrap().local_addr().unwrap(),
            taken
        );
    }
}
