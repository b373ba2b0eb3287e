//! The accept loop of both protocols, and their limits.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::port::Post;

/// What a peer may cost.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest mail in bytes.
    pub max_mail_bytes: usize,
    /// Most bytes of mail that all sessions together hold while they come in, in units of 64 KiB.
    pub incoming_units: usize,
    /// Longest line of a mail, without its end.
    pub max_text_line: usize,
    /// Most commands of one session.
    pub max_commands: usize,
    /// Most faults of one session.
    pub max_faults: usize,
    /// Most failed log-ins of one session.
    pub max_failed_logins: usize,
    /// Longest wait for a peer that does not read. For a command an SMTP client may take five times as long, for a line of a mail three times
    /// (RFC 5321 §4.5.3.2), a POP3 client ten times (RFC 1939 §3).
    pub patience: Duration,
    /// Longest time for one mail to come in.
    pub mail_time: Duration,
    /// Longest session.
    pub session_time: Duration,
    /// Connections in all.
    pub connections: usize,
    /// Connections from one address.
    pub connections_per_address: usize,
}

impl Default for Limits {
    /// 48 MiB a mail (as `ebxml` reads), 256 MiB coming in together, lines of 4 096 bytes, a minute of patience, ten minutes for a mail, half an
    /// hour for a session, 400 connections, 100 from one address.
    fn default() -> Self {
        Self {
            max_mail_bytes: 48 << 20,
            incoming_units: 4_096,
            max_text_line: 4_096,
            max_commands: 2_000,
            max_faults: 20,
            max_failed_logins: 3,
            patience: Duration::from_secs(60),
            mail_time: Duration::from_secs(600),
            session_time: Duration::from_secs(1_800),
            connections: 400,
            connections_per_address: 100,
        }
    }
}

/// Which protocol a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Mail comes in.
    Smtp,
    /// Mail is fetched.
    Pop3,
}

/// Ends the servers that hold it.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Sender<bool>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(watch::channel(false).0)
    }
}

impl Shutdown {
    /// Ends them.
    pub fn set(&self) {
        self.0.send_replace(true);
    }

    async fn wait(&self) {
        let mut receiver = self.0.subscribe();
        let _ = receiver.wait_for(|is_set| *is_set).await;
    }
}

/// What sessions share.
pub(crate) struct Shared<P> {
    pub post: Arc<P>,
    pub limits: Limits,
    /// Name in greetings.
    pub host: String,
    /// Room for mail coming in, units of 64 KiB.
    pub room: Arc<Semaphore>,
    /// Mailboxes that a POP3 session has open.
    pub open_boxes: Mutex<HashSet<String>>,
}

/// Both servers over one port. Cheap to clone.
pub struct Server<P> {
    pub(crate) shared: Arc<Shared<P>>,
    shutdown: Shutdown,
    tls: Option<TlsAcceptor>,
}

/// How a session begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Opening {
    /// The server speaks first; not so when TLS came in the middle.
    pub greets: bool,
    /// The peer may ask for TLS.
    pub offers_tls: bool,
}

impl<P> Clone for Server<P> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            shutdown: self.shutdown.clone(),
            tls: self.tls.clone(),
        }
    }
}

impl<P: Post> Server<P> {
    /// Servers that greet as `host`.
    #[must_use]
    pub fn new(post: Arc<P>, host: &str, limits: Limits, shutdown: Shutdown) -> Self {
        let room = Arc::new(Semaphore::new(limits.incoming_units));
        Self {
            shared: Arc::new(Shared {
                post,
                limits,
                host: host.to_owned(),
                room,
                open_boxes: Mutex::default(),
            }),
            shutdown,
            tls: None,
        }
    }

    /// The same with TLS: on request (STARTTLS, STLS) at listeners of [`Self::serve`], from the first byte at those of [`Self::serve_tls`].
    #[must_use]
    pub fn with_tls(mut self, tls: TlsAcceptor) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Serves a listener until shutdown. Sessions that run are let go.
    pub async fn serve(&self, listener: TcpListener, protocol: Protocol) {
        self.accept(listener, protocol, false).await;
    }

    /// The same with TLS from the first byte. Without [`Self::with_tls`] every connection is closed at once.
    pub async fn serve_tls(&self, listener: TcpListener, protocol: Protocol) {
        self.accept(listener, protocol, true).await;
    }

    async fn accept(&self, listener: TcpListener, protocol: Protocol, is_tls: bool) {
        let counts: Counts = Arc::default();
        let mut sessions = tokio::task::JoinSet::new();
        loop {
            while sessions.try_join_next().is_some() {}
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.shutdown.wait() => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let Some(place) = Place::take(&counts, peer.ip(), &self.shared.limits) else {
                continue;
            };
            let _ = stream.set_nodelay(true);
            let server = self.clone();
            sessions.spawn(async move {
                let _place = place;
                let limit = server.shared.limits.session_time;
                let session = async {
                    if is_tls {
                        let opening = Opening {
                            greets: true,
                            offers_tls: false,
                        };
                        if let Some(stream) = server.secured(stream).await {
                            server.talk(stream, peer.ip(), protocol, opening).await;
                        }
                    } else {
                        server.session(stream, peer.ip(), protocol).await;
                    }
                };
                tokio::select! {
                    _ = tokio::time::timeout(limit, session) => {}
                    () = server.shutdown.wait() => {}
                }
            });
        }
        while sessions.join_next().await.is_some() {}
    }

    /// One connection that begins in the clear, to its end.
    pub(crate) async fn session<S>(&self, stream: S, peer: IpAddr, protocol: Protocol)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let clear = Opening {
            greets: true,
            offers_tls: self.tls.is_some(),
        };
        // A session in the clear gives its stream back when the peer has asked for TLS on it.
        let Some(stream) = self.talk(stream, peer, protocol, clear).await else {
            return;
        };
        if let Some(stream) = self.secured(stream).await {
            let upgraded = Opening {
                greets: false,
                offers_tls: false,
            };
            self.talk(stream, peer, protocol, upgraded).await;
        }
    }

    async fn talk<S>(
        &self,
        stream: S,
        peer: IpAddr,
        protocol: Protocol,
        opening: Opening,
    ) -> Option<S>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match protocol {
            Protocol::Smtp => crate::smtp::talk(&self.shared, stream, peer, opening).await,
            Protocol::Pop3 => crate::pop3::talk(&self.shared, stream, peer, opening).await,
        }
    }

    async fn secured<S>(&self, stream: S) -> Option<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let tls = self.tls.as_ref()?;
        let wait = self.shared.limits.patience;
        match tokio::time::timeout(wait, tls.accept(stream)).await {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(%error, "TLS handshake failed");
                None
            }
            Err(_) => None,
        }
    }
}

type Counts = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// A connection's place among those allowed.
struct Place {
    counts: Counts,
    address: IpAddr,
}

impl Place {
    fn take(counts: &Counts, address: IpAddr, limits: &Limits) -> Option<Self> {
        let mut held = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = held.values().sum();
        let own = held.get(&address).copied().unwrap_or(0);
        if all >= limits.connections || own >= limits.connections_per_address {
            return None;
        }
        held.insert(address, own + 1);
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
