//! Frames on their way between socket and protocol library: read along, and link names kept apart.
//!
//! Four things the library does not do are done here, on the beginning of `attach`, `flow` and `disposition` frames; everything else passes untouched.
//! It keeps a link's credit to itself, so [`Seen`] reports what passes. And it wants link names to be unique in a session, where AMQP lets one
//! name stand for two links of opposite direction (part 2 §2.6.1; some clients name links after the address); so receiving links get a mark
//! on the way in, which is taken off on the way out. And it answers a drain request at once, where the sender should first send what it has
//! (§2.6.7); so a drain request goes on as plain credit, and once more as it came when there is nothing left to send. And it looks for each
//! delivery that a disposition names by its first and last, four thousand million if a client says so, without a pause; so a connection
//! on which one names more than [`MAX_SETTLED_AT_ONCE`] ends.

/// How much of a frame is kept to find its first fields.
const PREFIX_BYTES: usize = 4096;
/// Largest attach frame that is rewritten; larger ones pass as they are.
const MAX_ATTACH_BYTES: usize = 64 << 10;
/// Most deliveries that one disposition may name; a session cannot have as many under way on a link.
const MAX_SETTLED_AT_ONCE: u32 = 65_536;
/// A frame header that is none (its size is less than its own length): the library closes the connection when it reads it.
const NO_FRAME: [u8; 8] = [0; 8];
/// The mark: a control character that no client puts into a name.
const MARK: u8 = 0x01;

const ATTACH: u64 = 0x12;
const FLOW: u64 = 0x13;
const DISPOSITION: u64 = 0x15;

/// Which way the frames go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the client.
    In,
    /// To the client.
    Out,
}

/// What passed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Attach { handle: u32 },
    Flow(Flow),
}

/// The link part of a flow.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flow {
    pub handle: Option<u32>,
    pub delivery_count: Option<u32>,
    pub link_credit: Option<u32>,
    pub drain: bool,
    /// The whole frame of a drain request that was passed on as a plain flow; to be passed on as it came when nothing is left to send.
    pub held: Option<Vec<u8>>,
}

/// Cuts one direction of a byte stream into frames (AMQP part 2 §2.3).
#[derive(Debug)]
pub(super) struct Frames {
    direction: Direction,
    /// Beginning of the current frame, held back.
    held: Vec<u8>,
    /// Bytes of the current frame that pass as they come.
    passing: usize,
    /// The stream is not AMQP; everything passes, and the library will say so itself.
    lost: bool,
}

impl Frames {
    pub fn new(direction: Direction) -> Self {
        Self {
            direction,
            held: Vec::new(),
            passing: 0,
            lost: false,
        }
    }

    /// Takes bytes and appends what may go on to `out`.
    pub fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<u8>, mut seen: impl FnMut(u16, Seen)) {
        while !bytes.is_empty() {
            if self.lost {
                out.extend_from_slice(bytes);
                return;
            }
            if self.passing > 0 {
                let (now, later) = bytes.split_at_checked(self.passing).unwrap_or((bytes, &[]));
                out.extend_from_slice(now);
                self.passing -= now.len();
                bytes = later;
                continue;
            }
            let missing = self.wanted().saturating_sub(self.held.len());
            let (now, later) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
            self.held.extend_from_slice(now);
            bytes = later;
            if self.held.len() >= 8 && self.held.len() >= self.wanted() {
                self.release(out, &mut seen);
            }
        }
    }

    /// Bytes of the current frame to hold before it can go on.
    fn wanted(&self) -> usize {
        let Some(size) = self.size() else { return 8 };
        let prefix = size.min(PREFIX_BYTES);
        let whole = size <= MAX_ATTACH_BYTES
            && self.held.len() >= prefix
            && kind(&self.held) == Some(ATTACH);
        if whole { size } else { prefix }
    }

    /// Size of the current frame; a protocol header is one of eight bytes.
    fn size(&self) -> Option<usize> {
        let [a, b, c, d, ..] = *self.held.first_chunk::<8>()?;
        if [a, b, c, d] == *b"AMQP" {
            Some(8)
        } else {
            Some(u32::from_be_bytes([a, b, c, d]) as usize)
        }
    }

    fn release(&mut self, out: &mut Vec<u8>, seen: &mut impl FnMut(u16, Seen)) {
        let size = self.size().unwrap_or(0);
        if size < 8 {
            self.lost = true;
        } else {
            self.passing = size - self.held.len();
        }
        let mut frame = std::mem::take(&mut self.held);
        let complete = self.passing == 0;
        if matches!(self.direction, Direction::In) && settles_too_much(&frame) {
            tracing::warn!("an AMQP disposition names too many deliveries; the connection ends");
            out.extend_from_slice(&NO_FRAME);
            self.lost = true;
            return;
        }
        if let Some((channel, mut found)) = look(&frame) {
            if let (Seen::Flow(flow), true, Direction::In) = (&mut found, complete, self.direction)
                && flow.drain
                && let Some(plain) = without_drain(&frame)
            {
                flow.held = Some(std::mem::replace(&mut frame, plain));
            }
            seen(channel, found);
        }
        match rewritten(&frame, self.direction).filter(|_| complete) {
            Some(changed) => out.extend(changed),
            None => out.extend_from_slice(&frame),
        }
        frame.clear();
        self.held = frame;
    }

    /// Whether the next byte begins a frame.
    pub fn at_boundary(&self) -> bool {
        self.held.is_empty() && self.passing == 0 && !self.lost
    }
}

/// The same flow without its drain flag.
fn without_drain(frame: &[u8]) -> Option<Vec<u8>> {
    let (_, mut fields) = performative(frame)?;
    fields.descriptor()?;
    fields.list_count()?;
    for _ in 0..8 {
        fields.uint()?;
    }
    let at = frame.len() - fields.bytes.len();
    let mut plain = frame.to_vec();
    match *fields.bytes {
        [0x41, ..] => *plain.get_mut(at)? = 0x42,
        [0x56, 1, ..] => *plain.get_mut(at + 1)? = 0,
        _ => return None,
    }
    Some(plain)
}

/// The performative of an AMQP frame, if it is one of the three.
fn kind(frame: &[u8]) -> Option<u64> {
    performative(frame)?.1.descriptor()
}

/// Channel, and a cursor at the performative.
fn performative(frame: &[u8]) -> Option<(u16, Cursor<'_>)> {
    let [_, _, _, _, data_offset, frame_type, high, low] = *frame.first_chunk::<8>()?;
    if frame_type != 0 || frame.starts_with(b"AMQP") {
        return None;
    }
    Some((
        u16::from_be_bytes([high, low]),
        Cursor {
            bytes: frame.get(usize::from(data_offset) * 4..)?,
        },
    ))
}

/// Whether this is a disposition whose first and last lie further apart than they may.
fn settles_too_much(frame: &[u8]) -> bool {
    let range = || {
        let (_, mut fields) = performative(frame)?;
        if fields.descriptor()? != DISPOSITION {
            return None;
        }
        fields.list_count()?;
        fields.boolean()?;
        let first = fields.uint()??;
        Some((first, fields.uint()??))
    };
    // A last before the first names nothing to the library.
    range().is_some_and(|(first, last)| last.saturating_sub(first) >= MAX_SETTLED_AT_ONCE)
}

fn look(frame: &[u8]) -> Option<(u16, Seen)> {
    let (channel, mut fields) = performative(frame)?;
    let descriptor = fields.descriptor()?;
    if descriptor == DISPOSITION {
        return None;
    }
    fields.list_count()?;
    if descriptor == ATTACH {
        fields.text()?;
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
            held: None,
        }),
    ))
}

/// An attach of a client's receiving link with its name marked or unmarked.
fn rewritten(frame: &[u8], direction: Direction) -> Option<Vec<u8>> {
    let (_, mut fields) = performative(frame)?;
    if fields.descriptor()? != ATTACH {
        return None;
    }
    let head = frame.get(..frame.len() - fields.bytes.len())?;
    let count = fields.list_count()?;
    let mut name = fields.text()?.to_vec();
    let rest = fields.bytes;
    fields.uint()??;
    let from_receiver = fields.boolean()?;
    match direction {
        Direction::In if from_receiver => name.push(MARK),
        Direction::Out if !from_receiver && name.last() == Some(&MARK) => {
            name.pop();
        }
        _ => return None,
    }
    let list_size = 4 + 5 + name.len() + rest.len();
    let size = head.len() + 5 + list_size;
    let mut out = Vec::with_capacity(size);
    out.extend(u32::try_from(size).ok()?.to_be_bytes());
    out.extend_from_slice(head.get(4..)?);
    out.push(0xd0);
    out.extend(u32::try_from(list_size).ok()?.to_be_bytes());
    out.extend(count.to_be_bytes());
    out.push(0xb1);
    out.extend(u32::try_from(name.len()).ok()?.to_be_bytes());
    out.extend(name);
    out.extend_from_slice(rest);
    Some(out)
}

/// Reads the few encodings that the first fields of these performatives can have (AMQP part 1 §1.6).
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

    /// `attach`, `flow` or `disposition`; nothing for the others.
    fn descriptor(&mut self) -> Option<u64> {
        if self.byte()? != 0x00 {
            return None;
        }
        let code = match self.byte()? {
            0x53 => self.number(1),
            0x80 => self.number(8),
            0xa3 => {
                let length = self.byte()?;
                match self.take(usize::from(length))? {
                    b"amqp:attach:list" => Some(ATTACH),
                    b"amqp:flow:list" => Some(FLOW),
                    b"amqp:disposition:list" => Some(DISPOSITION),
                    _ => None,
                }
            }
            _ => None,
        };
        code.filter(|code| matches!(*code, ATTACH | FLOW | DISPOSITION))
    }

    fn list_count(&mut self) -> Option<u32> {
        match self.byte()? {
            0xc0 => self.number(2).map(|header| (header & 0xff) as u32),
            0xd0 => self.number(8).map(|header| header as u32),
            _ => None,
        }
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = match self.byte()? {
            0xa1 => self.number(1)?,
            0xb1 => self.number(4)?,
            _ => return None,
        };
        self.take(usize::try_from(length).ok()?)
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
            0x42 | 0x40 => Some(false),
            0x56 => Some(self.byte()? == 1),
            _ => None,
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
        let fields = [
            0x40, 0x70, 0, 0, 8, 0, 0x43, 0x70, 0, 0, 8, 0, 0x52, handle, 0x52, count, 0x52,
            credit, 0x40, drain,
        ];
        [
            &[0, 0x53, 0x13, 0xc0, fields.len() as u8 + 1, 9][..],
            &fields,
        ]
        .concat()
    }

    fn attach(name: &[u8], handle: u8, receiver: bool) -> Vec<u8> {
        let mut fields = vec![0xa1, name.len() as u8];
        fields.extend(name);
        fields.extend([0x52, handle, if receiver { 0x41 } else { 0x42 }, 0x40, 0x40]);
        [
            &[0, 0x53, 0x12, 0xc0, fields.len() as u8 + 1, 5][..],
            &fields,
        ]
        .concat()
    }

    fn stream() -> Vec<u8> {
        [
            b"AMQP\x03\x01\x00\x00".to_vec(),
            vec![0, 0, 0, 10, 2, 1, 0, 0, 0, 0],
            b"AMQP\x00\x01\x00\x00".to_vec(),
            frame(7, &attach(b"link", 3, true), 0),
            frame(7, &attach(b"link", 4, false), 0),
            frame(7, &[0, 0x53, 0x14, 0xc0, 0, 0], 100_000),
            frame(7, &flow(3, 0, 25, false), 0),
            frame(0, &[], 0),
            frame(7, &flow(3, 2, 10, true), 0),
        ]
        .concat()
    }

    fn pass(bytes: &[u8], chunk: usize, direction: Direction) -> (Vec<u8>, Vec<(u16, Seen)>) {
        let (mut out, mut all) = (Vec::new(), Vec::new());
        let mut frames = Frames::new(direction);
        for piece in bytes.chunks(chunk) {
            frames.feed(piece, &mut out, |channel, seen| all.push((channel, seen)));
        }
        (out, all)
    }

    #[test]
    fn frames_are_seen_however_they_are_cut() {
        let seen_flow = |delivery_count, link_credit, drain: bool| {
            Seen::Flow(Flow {
                handle: Some(3),
                delivery_count: Some(delivery_count),
                link_credit: Some(link_credit),
                drain,
                held: drain.then(|| frame(7, &flow(3, 2, 10, true), 0)),
            })
        };
        let (reference, _) = pass(&stream(), 1 << 20, Direction::In);
        for chunk in [1, 2, 3, 7, 8, 9, 100, 4096, 1 << 20] {
            let expected = vec![
                (7, Seen::Attach { handle: 3 }),
                (7, Seen::Attach { handle: 4 }),
                (7, seen_flow(0, 25, false)),
                (7, seen_flow(2, 10, true)),
            ];
            let (out, seen) = pass(&stream(), chunk, Direction::In);
            assert_eq!(seen, expected, "chunks of {chunk}");
            assert!(out == reference, "chunks of {chunk}");
            assert!(
                out.ends_with(&frame(7, &flow(3, 2, 10, false), 0)),
                "the drain request went on as plain credit"
            );
        }
    }

    #[test]
    fn receiving_links_are_marked_on_the_way_in_and_unmarked_on_the_way_out() {
        let (marked, _) = pass(&frame(7, &attach(b"link", 3, true), 0), 5, Direction::In);
        assert!(marked.windows(5).any(|window| window == b"link\x01"));
        assert_eq!(
            marked.len(),
            u32::from_be_bytes(*marked.first_chunk().unwrap()) as usize
        );
        let sending = frame(7, &attach(b"link", 3, false), 0);
        assert_eq!(pass(&sending, 5, Direction::In).0, sending);
        // Our answer to a receiving link comes from a sender.
        let (out, _) = pass(
            &frame(7, &attach(b"link\x01", 3, false), 0),
            5,
            Direction::Out,
        );
        assert!(out.windows(4).any(|window| window == b"link") && !out.contains(&MARK));
        assert_eq!(
            out.len(),
            u32::from_be_bytes(*out.first_chunk().unwrap()) as usize
        );
        let long = frame(7, &attach(&[b'x'; 200], 3, true), 0);
        assert_eq!(
            pass(&long, 1, Direction::In).0.len(),
            long.len() + 1 + 3 + 6
        );
    }

    #[test]
    fn a_disposition_of_more_than_there_can_be_ends_the_stream() {
        let disposition = |first: u32, last: u32| {
            let mut fields = vec![0x41, 0x70];
            fields.extend(first.to_be_bytes());
            fields.push(0x70);
            fields.extend(last.to_be_bytes());
            fields.push(0x41);
            let mut all = vec![0, 0x53, 0x15, 0xc0, fields.len() as u8 + 1, 4];
            all.extend(fields);
            frame(7, &all, 0)
        };
        for (first, last) in [(0, 0), (5, 65_540), (70_000, 3), (u32::MAX, 4)] {
            let bytes = disposition(first, last);
            assert_eq!(pass(&bytes, 3, Direction::In).0, bytes);
        }
        let wide = [disposition(0, u32::MAX), frame(7, &flow(3, 0, 1, false), 0)].concat();
        let (out, seen) = pass(&wide, 1 << 20, Direction::In);
        assert!(out.starts_with(&NO_FRAME) && seen.is_empty());
        assert_eq!(pass(&wide, 5, Direction::Out).0, wide);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..2000), chunk in 1usize..64) {
            pass(&bytes, chunk, Direction::In);
        }

        #[test]
        fn a_damaged_stream_is_survived(at in 0usize..300, value: u8, chunk in 1usize..64) {
            let mut bytes = stream();
            bytes[at] = value;
            pass(&bytes, chunk, Direction::In);
        }
    }
}
