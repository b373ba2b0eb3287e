//! The broker side: sockets, log-in, sessions, links.

pub(crate) mod wire;

mod answers;
mod attaching;
mod connection;
mod core;
mod dialect;
mod incoming;
mod job;
mod link;
mod opening;
mod outgoing;
mod session;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

pub use dialect::{Dialect, Stream};

use crate::port::Broker;

/// What one peer may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most connections in all.
    pub max_connections: usize,
    /// Most connections from one address.
    pub max_connections_per_ip: usize,
    /// Most links on one connection.
    pub max_links: usize,
    /// Most sessions on one connection, less one (AMQP channel-max).
    pub channel_max: u16,
    /// Largest frame in bytes.
    pub max_frame_bytes: u32,
    /// Largest message in bytes, envelope included.
    pub max_message_bytes: u64,
    /// Credit given to a sending client: how many messages may be on their way before the first is answered.
    pub sender_credit: u32,
    /// Most unsettled deliveries to one receiving link, whatever its credit. Clients acknowledge as many together as they
    /// fetch ahead: JMS a thousand.
    pub max_unsettled: usize,
    /// Bytes of them beyond which no more are fetched; and bytes of messages in the broker's hands beyond which a connection
    /// is read from no more until some are kept.
    pub max_unsettled_bytes: usize,
    /// TLS, SASL and open must be done within this time.
    pub handshake: Duration,
    /// Silence after which the connection is closed; announced to the client, which then keeps it alive.
    pub idle_ms: u32,
    /// Time a failed log-in waits for its answer.
    pub failed_login_delay: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            max_connections_per_ip: 256,
            max_links: 256,
            channel_max: 255,
            max_frame_bytes: 128 << 10,
            max_message_bytes: 48 << 20,
            sender_credit: 500,
            max_unsettled: 2_000,
            max_unsettled_bytes: 64 << 20,
            handshake: Duration::from_secs(15),
            idle_ms: 60_000,
            failed_login_delay: Duration::from_millis(500),
        }
    }
}

/// Ends all listeners and connections when set.
#[derive(Debug, Clone)]
pub struct Shutdown {
    sender: Arc<watch::Sender<bool>>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// Not yet set.
    #[must_use]
    pub fn new() -> Self {
        Self {
            sender: Arc::new(watch::channel(false).0),
        }
    }

    /// Sets it. Connections get `amqp:connection:forced`, which clients answer by connecting again later.
    pub fn set(&self) {
        self.sender.send_replace(true);
    }

    /// Waits until it is set.
    pub async fn wait(&self) {
        let mut receiver = self.sender.subscribe();
        // The sender lives as long as self, so this cannot fail.
        let _ = receiver.wait_for(|set| *set).await;
    }
}

/// A broker on the wire. Cheap to clone; all clones share limits and shutdown.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
    dialect: Option<Arc<dyn Dialect>>,
}

struct Shared {
    broker: Arc<dyn Broker>,
    container_id: String,
    limits: Limits,
    shutdown: Shutdown,
    connections: AtomicUsize,
    per_ip: Mutex<HashMap<IpAddr, usize>>,
}

impl Server {
    /// A server for this broker. `container_id` names it in the open frame.
    pub fn new(
        broker: Arc<dyn Broker>,
        container_id: &str,
        limits: Limits,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                broker,
                container_id: container_id.to_owned(),
                limits,
                shutdown,
                connections: AtomicUsize::new(0),
                per_ip: Mutex::new(HashMap::new()),
            }),
            dialect: None,
        }
    }

    /// The same with another protocol on the same ports, under the same limits on connections.
    #[must_use]
    pub fn with_dialect(self, dialect: Arc<dyn Dialect>) -> Self {
        Self {
            dialect: Some(dialect),
            ..self
        }
    }

    /// Connections open now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Serves plain TCP until shutdown.
    ///
    /// # Errors
    /// When the listener itself fails.
    pub async fn serve(&self, listener: TcpListener) -> io::Result<()> {
        self.accept_loop(listener, None).await
    }

    /// Serves TLS (from the first byte, as `amqps` does) until shutdown.
    ///
    /// # Errors
    /// When the listener itself fails.
    pub async fn serve_tls(&self, listener: TcpListener, tls: TlsAcceptor) -> io::Result<()> {
        self.accept_loop(listener, Some(tls)).await
    }

    async fn accept_loop(&self, listener: TcpListener, tls: Option<TlsAcceptor>) -> io::Result<()> {
        loop {
            let accepted = tokio::select! {
                () = self.shared.shutdown.wait() => return Ok(()),
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.admit(stream, peer, tls.clone()),
                // Out of file descriptors and the like: give the others time to finish.
                Err(error) => {
                    tracing::warn!(%error, "AMQP accept failed");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr, tls: Option<TlsAcceptor>) {
        let Some(place) = Place::take(&self.shared, peer.ip()) else {
            tracing::warn!(peer = %peer.ip(), "AMQP connection refused: too many");
            return;
        };
        let (shared, dialect) = (self.shared.clone(), self.dialect.clone());
        tokio::spawn(async move {
            let _place = place;
            let _ = stream.set_nodelay(true);
            match tls {
                None => dialect::run(shared, dialect, stream, peer.ip()).await,
                Some(tls) => {
                    match tokio::time::timeout(shared.limits.handshake, tls.accept(stream)).await {
                        Ok(Ok(stream)) => dialect::run(shared, dialect, stream, peer.ip()).await,
                        Ok(Err(error)) => tracing::debug!(%error, "AMQP TLS handshake failed"),
                        Err(_) => tracing::debug!("AMQP TLS handshake timed out"),
                    }
                }
            }
        });
    }
}

/// A counted place among the connections.
struct Place {
    shared: Arc<Shared>,
    ip: IpAddr,
}

impl Place {
    fn take(shared: &Arc<Shared>, ip: IpAddr) -> Option<Self> {
        let mut per_ip = shared.per_ip.lock().unwrap_or_else(PoisonError::into_inner);
        // Who is turned away leaves no entry.
        let here = per_ip.get(&ip).copied().unwrap_or(0);
        if here >= shared.limits.max_connections_per_ip
            || shared.connections.load(Ordering::Relaxed) >= shared.limits.max_connections
        {
            return None;
        }
        per_ip.insert(ip, here + 1);
        shared.connections.fetch_add(1, Ordering::Relaxed);
        Some(Self {
            shared: shared.clone(),
            ip,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut per_ip = self
            .shared
            .per_ip
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(here) = per_ip.get_mut(&self.ip) {
            *here -= 1;
            if *here == 0 {
                per_ip.remove(&self.ip);
            }
        }
        self.shared.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
