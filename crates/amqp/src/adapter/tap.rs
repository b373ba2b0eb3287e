//! Learns each sending link's credit by reading along.
//!
//! The protocol library keeps a link's credit to itself and only lets a sender wait for it. A broker must know it before it leases a
//! message, or a client without credit would keep messages from others. So this wrapper round the byte stream notices `attach` and `flow` frames
//! as they pass and keeps the numbers; it changes nothing.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// How much of a frame is kept to find its first fields.
const PREFIX_BYTES: usize = 4096;
/// Most links whose credit is remembered while nobody has claimed it.
const MAX_UNCLAIMED: usize = 1024;

const ATTACH: u64 = 0x12;
const FLOW: u64 = 0x13;

/// Credit of one link, in delivery counts (AMQP part 2 §2.6.7).
#[derive(Debug, Default)]
pub(super) struct LinkCredit {
    counts: Mutex<Counts>,
    changed: Notify,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    /// delivery-count + link-credit of the last flow.
    limit: u32,
    /// Our own delivery-count.
    position: u32,
}

impl LinkCredit {
    /// How many more messages may be sent.
    pub fn available(&self) -> usize {
        let counts = *self.counts.lock().unwrap_or_else(PoisonError::into_inner);
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

    /// Waits for the next flow.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn on_flow(&self, flow: &Flow) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(credit) = flow.link_credit {
            counts.limit = flow.delivery_count.unwrap_or(0).wrapping_add(credit);
        }
        if flow.drain {
            counts.position = counts.limit;
        }
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
}

impl Credits {
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

    fn on_flow(&self, channel: u16, flow: &Flow) {
        if let Some(credit) = flow
            .handle
            .and_then(|handle| self.current.get(&(channel, handle)))
        {
            credit.on_flow(flow);
        }
    }
}

/// A byte stream that is read along.
#[derive(Debug)]
pub(super) struct Tap<Io> {
    io: Io,
    frames: Frames,
    credits: Arc<Mutex<Credits>>,
}

impl<Io> Tap<Io> {
    pub fn new(io: Io) -> (Self, Arc<Mutex<Credits>>) {
        let credits = Arc::new(Mutex::new(Credits::default()));
        (
            Self {
                io,
                frames: Frames::default(),
                credits: credits.clone(),
            },
            credits,
        )
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Tap<Io> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let result = Pin::new(&mut this.io).poll_read(cx, buf);
        if let Some(new) = buf.filled().get(before..).filter(|new| !new.is_empty()) {
            let credits = &this.credits;
            this.frames.feed(new, |channel, seen| {
                let mut credits = credits.lock().unwrap_or_else(PoisonError::into_inner);
                match seen {
                    Seen::Attach { handle } => credits.on_attach(channel, handle),
                    Seen::Flow(flow) => credits.on_flow(channel, &flow),
                }
            });
        }
        result
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Tap<Io> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

/// Cuts a byte stream into frames and looks at the beginning of each (AMQP part 2 §2.3).
#[derive(Debug, Default)]
struct Frames {
    /// Beginning of the current frame.
    prefix: Vec<u8>,
    /// Bytes of the current frame that do not matter.
    skip: usize,
    /// The stream is not AMQP; the library will say so itself.
    lost: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Attach { handle: u32 },
    Flow(Flow),
}

#[derive(Debug, PartialEq, Eq)]
struct Flow {
    handle: Option<u32>,
    delivery_count: Option<u32>,
    link_credit: Option<u32>,
    drain: bool,
}

impl Frames {
    fn feed(&mut self, mut bytes: &[u8], mut seen: impl FnMut(u16, Seen)) {
        while !bytes.is_empty() && !self.lost {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            let wanted = self.wanted();
            let taken = wanted.saturating_sub(self.prefix.len()).min(bytes.len());
            let (now, later) = bytes.split_at_checked(taken).unwrap_or((bytes, &[]));
            self.prefix.extend_from_slice(now);
            bytes = later;
            if self.prefix.len() >= 8 && self.prefix.len() >= self.wanted() {
                self.complete(&mut seen);
            }
        }
    }

    /// Bytes of the current frame to collect before it can be judged.
    fn wanted(&self) -> usize {
        match self.size() {
            Some(size) => size.min(PREFIX_BYTES),
            None => 8,
        }
    }

    /// Size of the current frame; a protocol header is one of eight bytes.
    fn size(&self) -> Option<usize> {
        let head: [u8; 8] = self.prefix.get(..8)?.try_into().ok()?;
        let [a, b, c, d, ..] = head;
        if [a, b, c, d] == *b"AMQP" {
            Some(8)
        } else {
            Some(u32::from_be_bytes([a, b, c, d]) as usize)
        }
    }

    fn complete(&mut self, seen: &mut impl FnMut(u16, Seen)) {
        let size = self.size().unwrap_or(0);
        if size < 8 {
            self.lost = true;
            return;
        }
        if let Some((channel, found)) = look(&self.prefix) {
            seen(channel, found);
        }
        self.skip = size - self.prefix.len();
        self.prefix.clear();
    }
}

fn look(frame: &[u8]) -> Option<(u16, Seen)> {
    let [_, _, _, _, data_offset, kind, high, low] = *frame.first_chunk::<8>()?;
    if kind != 0 || frame.starts_with(b"AMQP") {
        return None;
    }
    let channel = u16::from_be_bytes([high, low]);
    let mut fields = Cursor {
        bytes: frame.get(usize::from(data_offset) * 4..)?,
    };
    let descriptor = fields.descriptor()?;
    if descriptor != ATTACH && descriptor != FLOW {
        return None;
    }
    fields.list_header()?;
    if descriptor == ATTACH {
        fields.skip_text()?;
        return Some((
            channel,
            Seen::Attach {
                handle: fields.uint()??,
            },
        ));
    }
    for _ in 0..4 {
        fields.uint()?;
    }
    // Trailing fields may be left out altogether.
    let handle = fields.uint().flatten();
    let delivery_count = fields.uint().flatten();
    let link_credit = fields.uint().flatten();
    fields.uint();
    let drain = fields.boolean().unwrap_or(false);
    Some((
        channel,
        Seen::Flow(Flow {
            handle,
            delivery_count,
            link_credit,
            drain,
        }),
    ))
}

/// Reads the few encodings that the first fields of these two performatives can have (AMQP part 1 §1.6).
struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn number(&mut self, count: usize) -> Option<u64> {
        Some(
            self.take(count)?
                .iter()
                .fold(0, |acc, byte| (acc << 8) | u64::from(*byte)),
        )
    }

    fn descriptor(&mut self) -> Option<u64> {
        if self.byte()? != 0x00 {
            return None;
        }
        match self.byte()? {
            0x53 => self.number(1),
            0x80 => self.number(8),
            0xa3 => {
                let length = self.byte()?;
                match self.take(usize::from(length))? {
                    b"amqp:attach:list" => Some(ATTACH),
                    b"amqp:flow:list" => Some(FLOW),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn list_header(&mut self) -> Option<()> {
        match self.byte()? {
            0xc0 => self.take(2).map(|_| ()),
            0xd0 => self.take(8).map(|_| ()),
            _ => None,
        }
    }

    fn skip_text(&mut self) -> Option<()> {
        let length = match self.byte()? {
            0xa1 => self.number(1)?,
            0xb1 => self.number(4)?,
            _ => return None,
        };
        self.take(usize::try_from(length).ok()?).map(|_| ())
    }

    /// `None`: not readable; `Some(None)`: null.
    fn uint(&mut self) -> Option<Option<u32>> {
        match self.byte()? {
            0x40 => Some(None),
            0x43 => Some(Some(0)),
            0x52 => self.number(1).map(|value| Some(value as u32)),
            0x70 => self.number(4).map(|value| Some(value as u32)),
            _ => None,
        }
    }

    fn boolean(&mut self) -> Option<bool> {
        match self.byte()? {
            0x41 => Some(true),
            0x56 => Some(self.byte()? == 1),
            _ => Some(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(channel: u16, performative: &[u8], payload: usize) -> Vec<u8> {
        let size = (8 + performative.len() + payload) as u32;
        let mut out = size.to_be_bytes().to_vec();
        out.extend([2, 0]);
        out.extend(channel.to_be_bytes());
        out.extend(performative);
        out.extend(std::iter::repeat_n(0xaa, payload));
        out
    }

    fn flow(handle: u8, count: u8, credit: u8, drain: bool) -> Vec<u8> {
        let drain = if drain { 0x41 } else { 0x42 };
        vec![
            0, 0x53, 0x13, 0xc0, 18, 9, 0x40, 0x70, 0, 0, 8, 0, 0x43, 0x70, 0, 0, 8, 0, 0x52,
            handle, 0x52, count, 0x52, credit, 0x40, drain,
        ]
    }

    fn stream() -> Vec<u8> {
        let attach = [
            &[0, 0x53, 0x12, 0xc0, 9, 2, 0xa1, 4][..],
            b"link",
            &[0x52, 3],
        ]
        .concat();
        [
            b"AMQP\x03\x01\x00\x00".to_vec(),
            vec![0, 0, 0, 10, 2, 1, 0, 0, 0, 0],
            b"AMQP\x00\x01\x00\x00".to_vec(),
            frame(7, &attach, 0),
            frame(7, &[0, 0x53, 0x14, 0xc0, 0, 0], 100_000),
            frame(7, &flow(3, 0, 25, false), 0),
            frame(0, &[], 0),
            frame(7, &flow(3, 2, 10, true), 0),
        ]
        .concat()
    }

    fn read(bytes: &[u8], chunk: usize) -> Vec<(u16, Seen)> {
        let mut out = Vec::new();
        let mut frames = Frames::default();
        for piece in bytes.chunks(chunk) {
            frames.feed(piece, |channel, seen| out.push((channel, seen)));
        }
        out
    }

    #[test]
    fn frames_are_seen_however_they_are_cut() {
        let flow = |delivery_count, link_credit, drain| {
            Seen::Flow(Flow {
                handle: Some(3),
                delivery_count: Some(delivery_count),
                link_credit: Some(link_credit),
                drain,
            })
        };
        for chunk in [1, 2, 3, 7, 8, 9, 100, 4096, 1 << 20] {
            let expected = vec![
                (7, Seen::Attach { handle: 3 }),
                (7, flow(0, 25, false)),
                (7, flow(2, 10, true)),
            ];
            assert_eq!(read(&stream(), chunk), expected, "chunks of {chunk}");
        }
    }

    #[test]
    fn credit_follows_flow_and_deliveries() {
        let mut credits = Credits::default();
        let flow = |count, credit, drain| Flow {
            handle: Some(1),
            delivery_count: count,
            link_credit: credit,
            drain,
        };
        credits.on_attach(0, 1);
        credits.on_flow(0, &flow(None, Some(5), false));
        let link = credits.claim(0, 1).unwrap();
        assert!(credits.claim(0, 1).is_none());
        assert_eq!(link.available(), 5);
        link.consume();
        link.consume();
        assert_eq!(link.available(), 3);
        credits.on_flow(0, &flow(Some(1), Some(5), false));
        assert_eq!(link.available(), 4);
        credits.on_flow(0, &flow(Some(2), Some(0), false));
        assert_eq!(link.available(), 0);
        credits.on_flow(0, &flow(Some(2), Some(7), true));
        assert_eq!(link.available(), 0);
        credits.on_attach(0, 1);
        credits.on_flow(0, &flow(Some(0), Some(1), false));
        assert_eq!(
            link.available(),
            0,
            "the handle belongs to a newer link now"
        );
        assert_eq!(credits.claim(0, 1).unwrap().available(), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..2000), chunk in 1usize..64) {
            read(&bytes, chunk);
        }

        #[test]
        fn a_damaged_stream_is_survived(at in 0usize..300, value: u8, chunk in 1usize..64) {
            let mut bytes = stream();
            bytes[at] = value;
            read(&bytes, chunk);
        }
    }
}
