//! The byte stream between socket and library, with frames read along and each sending link's credit kept.
//!
//! A broker must know a link's credit before it leases a message, or a client without credit would keep messages from others.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use super::frames::{Direction, Flow, Frames, Seen};

/// Most links whose credit is remembered while nobody has claimed it.
const MAX_UNCLAIMED: usize = 1024;
/// Bytes read from the socket at a time.
const READ_BYTES: usize = 32 << 10;
/// Bytes for the socket held back before the library has to wait.
const MAX_UNSENT_BYTES: usize = 256 << 10;

/// Credit of one link, in delivery counts (AMQP part 2 §2.6.7).
#[derive(Debug, Default)]
pub(super) struct LinkCredit {
    counts: Mutex<Counts>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    /// delivery-count + link-credit of the last flow.
    limit: u32,
    /// Our own delivery-count.
    position: u32,
    /// A drain request that waits for what can still be sent.
    draining: Option<Vec<u8>>,
}

impl LinkCredit {
    /// How many more messages may be sent.
    pub fn available(&self) -> usize {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let credit = counts.limit.wrapping_sub(counts.position);
        // A limit behind the position means that credit was taken back.
        if credit > u32::MAX / 2 {
            0
        } else {
            credit as usize
        }
    }

    /// One message goes out.
    pub fn consume(&self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.position = counts.position.wrapping_add(1);
    }

    /// Whether the client waits for what is there, and no more.
    pub fn is_draining(&self) -> bool {
        self.counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .draining
            .is_some()
    }

    /// Nothing is left to send: the rest of the credit is gone. Returns the drain request, to be answered by the library.
    pub fn drained(&self) -> Option<Vec<u8>> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let request = counts.draining.take()?;
        counts.position = counts.limit;
        Some(request)
    }

    /// Waits for the next flow.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn on_flow(&self, flow: Flow) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(credit) = flow.link_credit {
            counts.limit = flow.delivery_count.unwrap_or(0).wrapping_add(credit);
        }
        if flow.drain && flow.held.is_none() {
            counts.position = counts.limit;
        }
        counts.draining = flow.held;
        drop(counts);
        self.changed.notify_one();
    }
}

/// The credits of one connection, by (channel, handle) as the client numbers them.
#[derive(Debug, Default)]
pub(super) struct Credits {
    current: HashMap<(u16, u32), Arc<LinkCredit>>,
    unclaimed: HashMap<(u16, u32), VecDeque<Arc<LinkCredit>>>,
    unclaimed_count: usize,
    /// Frames to slip in before what comes next from the socket.
    inject: Vec<u8>,
    reader: AtomicWaker,
}

impl Credits {
    /// Passes a frame on to the library as if the client had sent it now.
    pub fn inject(&mut self, frame: &[u8]) {
        self.inject.extend_from_slice(frame);
        self.reader.wake();
    }

    /// The credit of the link whose attach is being answered: each attach frame is claimed once, in order.
    pub fn claim(&mut self, channel: u16, handle: u32) -> Option<Arc<LinkCredit>> {
        let queue = self.unclaimed.get_mut(&(channel, handle))?;
        let credit = queue.pop_front()?;
        if queue.is_empty() {
            self.unclaimed.remove(&(channel, handle));
        }
        self.unclaimed_count -= 1;
        Some(credit)
    }

    /// The link has ended.
    pub fn forget(&mut self, channel: u16, handle: u32, ended: &Arc<LinkCredit>) {
        if self
            .current
            .get(&(channel, handle))
            .is_some_and(|credit| Arc::ptr_eq(credit, ended))
        {
            self.current.remove(&(channel, handle));
        }
    }

    fn on_seen(&mut self, channel: u16, seen: Seen) {
        match seen {
            Seen::Attach { handle } => self.on_attach(channel, handle),
            Seen::Flow(flow) => {
                if let Some(credit) = flow
                    .handle
                    .and_then(|handle| self.current.get(&(channel, handle)))
                {
                    credit.on_flow(flow);
                }
            }
        }
    }

    fn on_attach(&mut self, channel: u16, handle: u32) {
        if self.unclaimed_count >= MAX_UNCLAIMED || self.current.len() >= MAX_UNCLAIMED {
            return;
        }
        let credit = Arc::new(LinkCredit::default());
        self.current.insert((channel, handle), credit.clone());
        self.unclaimed
            .entry((channel, handle))
            .or_default()
            .push_back(credit);
        self.unclaimed_count += 1;
    }
}

/// A byte stream that is read along.
#[derive(Debug)]
pub(super) struct Tap<Io> {
    io: Io,
    credits: Arc<Mutex<Credits>>,
    incoming: Frames,
    outgoing: Frames,
    /// From the socket, for the library.
    unread: Pending,
    /// From the library, for the socket.
    unsent: Pending,
}

/// Bytes with a place up to which they are done.
#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    done: usize,
}

impl Pending {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.done..).unwrap_or_default()
    }

    fn advance(&mut self, count: usize) {
        self.done += count;
        if self.done >= self.bytes.len() {
            self.bytes.clear();
            self.done = 0;
        }
    }
}

impl<Io> Tap<Io> {
    pub fn new(io: Io) -> (Self, Arc<Mutex<Credits>>) {
        let credits = Arc::new(Mutex::new(Credits::default()));
        let tap = Self {
            io,
            credits: credits.clone(),
            incoming: Frames::new(Direction::In),
            outgoing: Frames::new(Direction::Out),
            unread: Pending::default(),
            unsent: Pending::default(),
        };
        (tap, credits)
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Tap<Io> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let rest = this.unread.rest();
            if !rest.is_empty() {
                let count = rest.len().min(buf.remaining());
                buf.put_slice(rest.get(..count).unwrap_or_default());
                this.unread.advance(count);
                return Poll::Ready(Ok(()));
            }
            if this.incoming.at_boundary() {
                let mut credits = this.credits.lock().unwrap_or_else(PoisonError::into_inner);
                if !credits.inject.is_empty() {
                    this.unread.bytes.append(&mut credits.inject);
                    continue;
                }
                credits.reader.register(cx.waker());
            }
            let mut space = [0u8; READ_BYTES];
            let mut read = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut this.io).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            let credits = &this.credits;
            this.incoming
                .feed(read.filled(), &mut this.unread.bytes, |channel, seen| {
                    credits
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .on_seen(channel, seen);
                });
        }
    }
}

impl<Io: AsyncWrite + Unpin> Tap<Io> {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.rest().is_empty() {
            let sent = ready!(Pin::new(&mut self.io).poll_write(cx, self.unsent.rest()))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent.advance(sent);
        }
        Poll::Ready(Ok(()))
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Tap<Io> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.unsent.rest().len() >= MAX_UNSENT_BYTES {
            ready!(this.poll_send(cx))?;
        }
        this.outgoing.feed(buf, &mut this.unsent.bytes, |_, _| {});
        // What the socket does not take now goes with the flush that always follows.
        match this.poll_send(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(buf.len())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_follows_flow_and_deliveries() {
        let mut credits = Credits::default();
        let flow = |delivery_count, link_credit, drain: bool| {
            let held = drain.then(|| vec![1]);
            Seen::Flow(Flow {
                handle: Some(1),
                delivery_count,
                link_credit,
                drain,
                held,
            })
        };
        credits.on_seen(0, Seen::Attach { handle: 1 });
        credits.on_seen(0, flow(None, Some(5), false));
        let link = credits.claim(0, 1).unwrap();
        assert!(credits.claim(0, 1).is_none());
        assert_eq!(link.available(), 5);
        link.consume();
        link.consume();
        assert_eq!(link.available(), 3);
        credits.on_seen(0, flow(Some(1), Some(5), false));
        assert_eq!(link.available(), 4);
        credits.on_seen(0, flow(Some(2), Some(0), false));
        assert_eq!(link.available(), 0);
        credits.on_seen(0, flow(Some(2), Some(7), true));
        assert!(link.is_draining());
        assert_eq!(link.available(), 7);
        assert_eq!(link.drained(), Some(vec![1]));
        assert_eq!((link.available(), link.drained()), (0, None));
        credits.on_seen(0, Seen::Attach { handle: 1 });
        credits.on_seen(0, flow(Some(0), Some(1), false));
        assert_eq!(
            link.available(),
            0,
            "the handle belongs to a newer link now"
        );
        let newer = credits.claim(0, 1).unwrap();
        assert_eq!(newer.available(), 1);
        credits.forget(0, 1, &link);
        assert_eq!(credits.current.len(), 1);
        credits.forget(0, 1, &newer);
        assert!(credits.current.is_empty());
    }
}
