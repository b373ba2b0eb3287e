//! The bus: AMQP 1.0 and, for receivers, AMQP 0.9.1 over one broker on the same ports.

use std::sync::Arc;

use amqp::port::Broker;
use amqp::{Server, Shutdown};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A server of both protocols; connections end when `shutdown` is set.
pub fn server(broker: Arc<dyn Broker>, shutdown: &Shutdown) -> Server {
    let older = amqp091::Server::new(broker.clone(), amqp091::Limits::default(), shutdown.clone());
    let limits = amqp::Limits::default();
    Server::new(broker, "helsenav", limits, shutdown.clone()).with_dialect(Arc::new(older))
}

/// Serves a port, with TLS or without, until shutdown.
pub fn spawn(
    bus: Server,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let served = match tls {
            None => bus.serve(listener).await,
            Some(tls) => bus.serve_tls(listener, tls).await,
        };
        if let Err(error) = served {
            tracing::error!(%error, "AMQP listener failed");
        }
    })
}
