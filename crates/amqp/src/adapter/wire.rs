//! The socket: what came in and is not read yet, what goes out and is not sent yet.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;

use crate::frame::{self, Frame};

/// Read at once from a connection that has said little so far, and from one that says much.
const MIN_READ: usize = 4 << 10;
const MAX_READ: usize = 64 << 10;
/// Room for output that a connection keeps while it is in use.
const KEPT_OUTPUT: usize = 256 << 10;
/// How long a peer may go on sending after we have said our last word; closing at once could take that word from it.
const LINGER: Duration = Duration::from_secs(1);
const MAX_LINGER_READS: usize = 256;

/// What goes out.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub bytes: Vec<u8>,
    sent: usize,
    /// Sent in all before `bytes` begins.
    gone: u64,
}

impl Output {
    /// Bytes that wait.
    pub fn waiting(&self) -> usize {
        self.bytes.len().saturating_sub(self.sent)
    }

    /// Place of the end of what waits, counted from the beginning of the connection.
    pub fn end(&self) -> u64 {
        self.gone + self.bytes.len() as u64
    }

    /// Place up to which all is sent.
    pub fn sent(&self) -> u64 {
        self.gone + self.sent as u64
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    fn advance(&mut self, count: usize) {
        self.sent += count;
        if self.waiting() == 0 {
            self.gone += self.bytes.len() as u64;
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_OUTPUT);
            self.sent = 0;
        } else if self.sent >= KEPT_OUTPUT && self.sent * 2 >= self.bytes.len() {
            self.bytes.drain(..self.sent);
            self.gone += self.sent as u64;
            self.sent = 0;
        }
    }
}

/// A socket with its buffers.
pub(crate) struct Wire<Io> {
    io: Io,
    pub input: BytesMut,
    pub output: Output,
    read_size: usize,
    needs_flush: bool,
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Wire<Io> {
    pub fn new(io: Io) -> Self {
        Self {
            io,
            input: BytesMut::new(),
            output: Output::default(),
            read_size: MIN_READ,
            needs_flush: false,
        }
    }

    /// Sends what waits. Ready when something was sent; an error when nobody takes it any more.
    pub fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut count = 0;
        while self.output.waiting() > 0 {
            let sent = match Pin::new(&mut self.io).poll_write(cx, self.output.rest()) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(sent) => sent?,
                Poll::Pending if count > 0 => return Poll::Ready(Ok(count)),
                Poll::Pending => return Poll::Pending,
            };
            self.needs_flush = true;
            self.output.advance(sent);
            count += sent;
        }
        if self.needs_flush {
            match Pin::new(&mut self.io).poll_flush(cx) {
                Poll::Ready(flushed) => {
                    flushed?;
                    self.needs_flush = false;
                }
                Poll::Pending if count == 0 => return Poll::Pending,
                Poll::Pending => {}
            }
        }
        Poll::Ready(Ok(count))
    }

    /// Whether there is something for [`Self::poll_send`] to do.
    pub fn has_output(&self) -> bool {
        self.output.waiting() > 0 || self.needs_flush
    }

    /// Reads what is there. Ready with nothing read at the end of the stream.
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // Room that is left is used first: messages that share it keep less of it alive.
        if self.input.capacity() - self.input.len() < self.read_size / 4 {
            self.input.reserve(self.read_size);
        }
        let read = ready!(self.poll_read_once(cx))?;
        if self.input.len() == self.input.capacity() {
            self.read_size = (self.read_size * 2).min(MAX_READ);
        } else if read < self.read_size / 4 {
            self.read_size = (self.read_size / 2).max(MIN_READ);
        }
        Poll::Ready(Ok(read))
    }

    fn poll_read_once(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let reading = self.io.read_buf(&mut self.input);
        tokio::pin!(reading);
        reading.poll(cx)
    }

    /// The next frame. Nothing is lost when the caller stops waiting.
    pub async fn frame(&mut self, max_bytes: usize) -> io::Result<Frame> {
        loop {
            match frame::take(&mut self.input, max_bytes) {
                Ok(Some(frame)) => return Ok(frame),
                Ok(None) => self.read_more().await?,
                Err(reason) => return Err(io::Error::new(io::ErrorKind::InvalidData, reason)),
            }
        }
    }

    /// The next eight bytes: a protocol header.
    pub async fn header(&mut self) -> io::Result<[u8; 8]> {
        loop {
            if let Some(header) = self.input.first_chunk::<8>().copied() {
                let _ = self.input.split_to(8);
                return Ok(header);
            }
            self.read_more().await?;
        }
    }

    async fn read_more(&mut self) -> io::Result<()> {
        match std::future::poll_fn(|cx| self.poll_read(cx)).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Sends all that waits; a peer that takes nothing for so long is gone.
    pub async fn flush(&mut self, patience: Duration) -> io::Result<()> {
        while self.has_output() {
            timeout(patience, std::future::poll_fn(|cx| self.poll_send(cx))).await??;
        }
        Ok(())
    }

    /// Ends the stream after what was sent.
    pub async fn shut(mut self) {
        let patience = LINGER;
        if !matches!(timeout(patience, self.io.shutdown()).await, Ok(Ok(()))) {
            return;
        }
        let mut space = [0; MIN_READ];
        let until_end = async {
            for _ in 0..MAX_LINGER_READS {
                let mut read = ReadBuf::new(&mut space);
                let reading =
                    std::future::poll_fn(|cx| Pin::new(&mut self.io).poll_read(cx, &mut read));
                if reading.await.is_err() || read.filled().is_empty() {
                    return;
                }
            }
        };
        let _ = timeout(patience, until_end).await;
    }

    /// Gives room back that nobody needs at the moment.
    pub fn rest(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
            self.read_size = MIN_READ;
        }
        if self.output.waiting() == 0 {
            self.output.bytes.shrink_to(0);
        }
    }
}
