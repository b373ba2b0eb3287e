//! Another protocol on the same port: the first eight bytes of a connection tell which it is.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use super::{Shared, connection};

/// Bytes both ways.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<Io: AsyncRead + AsyncWrite + Send + Unpin> Stream for Io {}

/// A protocol that shares the ports of AMQP 1.0.
pub trait Dialect: Send + Sync + 'static {
    /// What its clients send first.
    fn header(&self) -> [u8; 8];

    /// Serves a connection to its end. The header has been read.
    fn serve(&self, stream: Box<dyn Stream>, peer: IpAddr) -> BoxFuture<'static, ()>;
}

/// Serves a connection in the protocol that it begins with.
pub(super) async fn run<Io>(
    shared: Arc<Shared>,
    dialect: Option<Arc<dyn Dialect>>,
    mut stream: Io,
    peer: IpAddr,
) where
    Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Some(dialect) = dialect else {
        return connection::run(shared, stream, peer).await;
    };
    let mut first = [0; 8];
    let read = stream.read_exact(&mut first);
    match tokio::time::timeout(shared.limits.handshake, read).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return tracing::debug!(%error, "AMQP connection ended at once"),
        Err(_) => return tracing::debug!("AMQP handshake timed out"),
    }
    if first == dialect.header() {
        return dialect.serve(Box::new(stream), peer).await;
    }
    let again = Again {
        first,
        given: 0,
        stream,
    };
    connection::run(shared, again, peer).await;
}

/// A stream whose first bytes are read once more.
#[derive(Debug)]
struct Again<Io> {
    first: [u8; 8],
    given: usize,
    stream: Io,
}

impl<Io: AsyncRead + Unpin> AsyncRead for Again<Io> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let rest = this.first.get(this.given..).unwrap_or_default();
        if rest.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        let count = rest.len().min(buf.remaining());
        buf.put_slice(rest.get(..count).unwrap_or_default());
        this.given += count;
        Poll::Ready(Ok(()))
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Again<Io> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
