//! The generator's connections: some only send, some only receive, all on one thread.

use super::wire::{self, Field};
use anyhow::{Context, Result, bail};
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Largest frame taken.
const MAX_FRAME: u32 = 256 << 10;
/// Frames taken without being asked again.
const WINDOW: u32 = 1 << 30;

/// Who logs in where.
#[derive(Clone, Debug)]
pub struct Place {
    /// Broker.
    pub address: SocketAddr,
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
}

/// One queue of the exchange and who writes to it as whom.
#[derive(Clone, Debug)]
pub struct Lane {
    /// Whose queue it is: receives.
    pub owner: Place,
    /// Address of the queue.
    pub queue: String,
    /// HER-id (level 2) of the receiver.
    pub to: u32,
    /// Who sends.
    pub sender: Place,
    /// HER-id (level 2) of the sender.
    pub from: u32,
}

/// What is sent, and what became of it.
pub struct Tally {
    /// Stop sending after so many.
    pub total: u64,
    /// Stop when so many have been received.
    pub wanted: u64,
    /// Mark of this run in every message-id.
    pub run: u32,
    /// Messages given to a socket.
    pub sent: Cell<u64>,
    /// Messages accepted by the broker.
    pub accepted: Cell<u64>,
    /// Messages that arrived.
    pub received: Cell<u64>,
    /// Messages of this run that arrived, by number.
    pub seen: RefCell<Vec<bool>>,
    /// Messages that came twice.
    pub twice: Cell<u64>,
    /// When the last one that counts came.
    pub last: Cell<Option<Instant>>,
    /// Credit that the receivers may still give. Where more waits in the queues than is wanted they must not take it too.
    pub credit: Cell<u64>,
    done: tokio::sync::Notify,
}

impl Tally {
    /// Nothing yet. `wanted`: messages to receive.
    pub fn new(total: u64, wanted: u64) -> Rc<Self> {
        Rc::new(Self {
            total,
            wanted,
            run: rand::random(),
            sent: Cell::new(0),
            accepted: Cell::new(0),
            received: Cell::new(0),
            seen: RefCell::new(vec![false; usize::try_from(total).unwrap_or(0)]),
            twice: Cell::new(0),
            last: Cell::new(None),
            credit: Cell::new(u64::MAX),
            done: tokio::sync::Notify::new(),
        })
    }

    /// Whether everything is sent, accepted and received.
    pub fn is_over(&self) -> bool {
        self.accepted.get() >= self.total && self.received.get() >= self.wanted
    }

    /// Credit for a receiver that would like so much.
    fn credit(&self, wish: u32) -> u32 {
        let given = self.credit.get().min(u64::from(wish));
        self.credit.set(self.credit.get() - given);
        u32::try_from(given).unwrap_or(wish)
    }

    fn note(&self) {
        if self.is_over() {
            self.last.set(Some(Instant::now()));
            self.done.notify_waiters();
        }
    }

    /// Waits until it is over.
    pub async fn over(&self) {
        loop {
            let done = self.done.notified();
            if self.is_over() {
                return;
            }
            done.await;
        }
    }
}

/// An open connection.
pub struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    /// Read so far.
    at: usize,
    out: Vec<u8>,
}

impl Connection {
    /// Connects, logs in, opens.
    pub async fn open(place: &Place) -> Result<Self> {
        let stream = TcpStream::connect(place.address).await?;
        stream.set_nodelay(true)?;
        let mut this = Self {
            stream,
            input: Vec::with_capacity(256 << 10),
            at: 0,
            out: b"AMQP\x03\x01\x00\x00".to_vec(),
        };
        let response = format!("\0{}\0{}", place.user, place.password);
        let fields = [Field::Symbol("PLAIN"), Field::Bytes(response.as_bytes())];
        wire::frame(
            &mut this.out,
            1,
            0,
            &wire::list(wire::SASL_INIT, &fields),
            &[],
        );
        this.flush().await?;
        this.header(b"AMQP\x03").await?;
        let mut outcome = None;
        while outcome.is_none() {
            this.fill().await?;
            while let Some(mut frame) = wire::next(this.input.get(this.at..).unwrap_or_default())? {
                if frame.code == wire::SASL_OUTCOME {
                    outcome = frame.fields.number();
                }
                this.at += frame.size;
                if outcome.is_some() {
                    break;
                }
            }
        }
        if outcome != Some(0) {
            bail!("log-in refused");
        }
        this.out.extend(b"AMQP\x00\x01\x00\x00");
        let fields = [
            Field::Text("bench"),
            Field::Text("localhost"),
            Field::Int(MAX_FRAME),
            Field::Short(1023),
        ];
        wire::frame(&mut this.out, 0, 0, &wire::list(wire::OPEN, &fields), &[]);
        this.flush().await?;
        this.header(b"AMQP\x00").await?;
        Ok(this)
    }

    /// Eight bytes that begin so.
    async fn header(&mut self, begin: &[u8]) -> Result<()> {
        while self.input.len() < self.at + 8 {
            if self.stream.read_buf(&mut self.input).await? == 0 {
                bail!("the broker closed the connection");
            }
        }
        let ours = self.input.get(self.at..self.at + 8).unwrap_or_default();
        if !ours.starts_with(begin) {
            bail!("the broker speaks another protocol");
        }
        self.at += 8;
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        self.stream.write_all(&self.out).await?;
        self.out.clear();
        Ok(())
    }

    /// Reads more, unless something unread is there already.
    async fn fill(&mut self) -> Result<()> {
        if wire::next(self.input.get(self.at..).unwrap_or_default())?.is_some() {
            return Ok(());
        }
        self.input.drain(..self.at);
        self.at = 0;
        if self.stream.read_buf(&mut self.input).await? == 0 {
            bail!("the broker closed the connection");
        }
        Ok(())
    }

    /// Begins a session and attaches a link on it; the caller sees the answers.
    pub fn attach(&mut self, channel: u16, address: &str, sends: bool, credit: u32) {
        let begin = [
            Field::Null,
            Field::Int(0),
            Field::Int(WINDOW),
            Field::Int(WINDOW),
        ];
        wire::frame(
            &mut self.out,
            0,
            channel,
            &wire::list(wire::BEGIN, &begin),
            &[],
        );
        let here = wire::list(0x28, &[]);
        let there = [Field::Text(address)];
        let (source, target) = if sends {
            (here, wire::list(0x29, &there))
        } else {
            (wire::list(0x28, &there), wire::list(0x29, &[]))
        };
        let name = format!("bench-{channel}");
        let fields = [
            Field::Text(&name),
            Field::Int(0),
            Field::Bool(!sends),
            Field::Byte(0),
            Field::Byte(0),
            Field::Raw(&source),
            Field::Raw(&target),
            Field::Null,
            Field::Null,
            if sends { Field::Int(0) } else { Field::Null },
        ];
        wire::frame(
            &mut self.out,
            0,
            channel,
            &wire::list(wire::ATTACH, &fields),
            &[],
        );
        if !sends {
            self.flow(channel, 0, 0, credit);
        }
    }

    fn flow(&mut self, channel: u16, next_incoming: u32, delivery_count: u32, credit: u32) {
        let fields = [
            Field::Int(next_incoming),
            Field::Int(WINDOW),
            Field::Int(0),
            Field::Int(WINDOW),
            Field::Int(0),
            Field::Int(delivery_count),
            Field::Int(credit),
        ];
        wire::frame(
            &mut self.out,
            0,
            channel,
            &wire::list(wire::FLOW, &fields),
            &[],
        );
    }

    /// Sends what is attached and waits until so many links are attached by the other side.
    pub async fn attached(&mut self, links: usize) -> Result<()> {
        self.flush().await?;
        let mut count = 0;
        while count < links {
            self.fill().await?;
            while let Some(frame) = wire::next(self.input.get(self.at..).unwrap_or_default())? {
                match frame.code {
                    wire::ATTACH => count += 1,
                    wire::DETACH | wire::END | wire::CLOSE => bail!("a link was refused"),
                    _ => {}
                }
                self.at += frame.size;
            }
        }
        Ok(())
    }
}

/// Sends until the tally is full, on one link.
pub async fn send(lane: Lane, bytes: usize, window: u64, tally: Rc<Tally>) -> Result<()> {
    let mut connection = Connection::open(&lane.sender).await?;
    connection.attach(0, &lane.queue, true, 0);
    connection.flush().await?;
    let mut letter = Letter::new(&lane, bytes);
    let (mut mine, mut settled, mut limit, mut room) = (0u32, 0u64, 0u64, 0u64);
    loop {
        while let Some(mut frame) =
            wire::next(connection.input.get(connection.at..).unwrap_or_default())?
        {
            let size = frame.size;
            match frame.code {
                wire::BEGIN => {
                    frame.fields.skip(2);
                    room = frame.fields.number().unwrap_or(0);
                }
                wire::FLOW => {
                    let next = frame.fields.number().unwrap_or(0);
                    room = next + frame.fields.number().unwrap_or(0);
                    frame.fields.skip(2);
                    if frame.fields.number().is_some() {
                        limit =
                            frame.fields.number().unwrap_or(0) + frame.fields.number().unwrap_or(0);
                    }
                }
                wire::DISPOSITION => {
                    frame.fields.skip(1);
                    let first = frame.fields.number().context("no delivery")?;
                    let last = frame.fields.number().unwrap_or(first);
                    frame.fields.skip(1);
                    if !matches!(frame.fields.raw(), Some([0x00, 0x53, wire::ACCEPTED, ..])) {
                        bail!("a message was not accepted");
                    }
                    settled += last - first + 1;
                    tally.accepted.set(tally.accepted.get() + last - first + 1);
                    tally.note();
                }
                wire::DETACH | wire::END | wire::CLOSE => {
                    bail!("the broker ended the link: {}", words(frame.fields));
                }
                _ => {}
            }
            connection.at += size;
        }
        while tally.sent.get() < tally.total
            && u64::from(mine) < limit.min(room)
            && u64::from(mine) - settled < window
            && connection.out.len() < 256 << 10
        {
            let number = tally.sent.get();
            tally.sent.set(number + 1);
            letter.write(&mut connection.out, mine, tally.run, number);
            mine += 1;
        }
        if !connection.out.is_empty() {
            connection.flush().await?;
            // The others get their turn; what came meanwhile is read next.
            tokio::task::yield_now().await;
            continue_reading(&mut connection)?;
            continue;
        }
        tokio::select! {
            filled = connection.fill() => filled?,
            () = tally.over() => return close(connection).await,
        }
    }
}

/// Takes what the socket has, without waiting.
fn continue_reading(connection: &mut Connection) -> Result<()> {
    connection.input.drain(..connection.at);
    connection.at = 0;
    match connection.stream.try_read_buf(&mut connection.input) {
        Ok(0) => bail!("the broker closed the connection"),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Receives and accepts every message by itself, until the tally is full.
pub async fn receive(lane: Lane, credit: u32, tally: Rc<Tally>) -> Result<()> {
    let mut connection = Connection::open(&lane.owner).await?;
    let first = tally.credit(credit);
    connection.attach(0, &lane.queue, false, first);
    connection.flush().await?;
    let (mut got, mut given) = (0u32, first);
    let mark = format!("{:08x}", tally.run);
    loop {
        while let Some(mut frame) =
            wire::next(connection.input.get(connection.at..).unwrap_or_default())?
        {
            let size = frame.size;
            match frame.code {
                wire::TRANSFER => {
                    frame.fields.skip(1);
                    let delivery = frame.fields.number().context("no delivery-id")?;
                    frame.fields.skip(3);
                    if frame.fields.number() == Some(1) {
                        bail!("a message of several frames");
                    }
                    let id = wire::message_id(frame.payload).unwrap_or_default();
                    if let Some(number) = numbered(id, &mark) {
                        let mut seen = tally.seen.borrow_mut();
                        match seen.get_mut(number) {
                            Some(seen) if !*seen => *seen = true,
                            _ => tally.twice.set(tally.twice.get() + 1),
                        }
                    }
                    got += 1;
                    tally.received.set(tally.received.get() + 1);
                    let delivery = u32::try_from(delivery).unwrap_or(0);
                    accept(&mut connection.out, delivery);
                    tally.note();
                }
                wire::DETACH | wire::END | wire::CLOSE => {
                    bail!("the broker ended the link: {}", words(frame.fields));
                }
                _ => {}
            }
            connection.at += size;
        }
        if given - got < credit / 2 {
            let more = tally.credit(credit - (given - got));
            if more > 0 {
                given += more;
                connection.flow(0, got, got, given - got);
            }
        }
        if !connection.out.is_empty() {
            connection.flush().await?;
        }
        tokio::select! {
            filled = connection.fill() => filled?,
            () = tally.over() => return close(connection).await,
        }
    }
}

/// Closes in order, so that every acknowledgment has been read.
async fn close(mut connection: Connection) -> Result<()> {
    wire::frame(
        &mut connection.out,
        0,
        0,
        &wire::list(wire::CLOSE, &[]),
        &[],
    );
    connection.flush().await?;
    let patience = std::time::Duration::from_secs(5);
    let _ = tokio::time::timeout(patience, async {
        while connection
            .stream
            .read_buf(&mut connection.input)
            .await
            .is_ok_and(|n| n > 0)
        {
            connection.input.clear();
        }
    })
    .await;
    Ok(())
}

fn accept(out: &mut Vec<u8>, delivery: u32) {
    let accepted = [0x00, 0x53, wire::ACCEPTED, 0x45];
    let mut fields = [0u8; 13];
    fields[..2].copy_from_slice(&[0x41, 0x70]);
    fields[2..6].copy_from_slice(&delivery.to_be_bytes());
    fields[6..9].copy_from_slice(&[0x40, 0x41, accepted[0]]);
    fields[9..12].copy_from_slice(&accepted[1..]);
    let performative = [0x00, 0x53, wire::DISPOSITION, 0xc0, 13, 5];
    out.extend((8 + 6 + 12u32).to_be_bytes());
    out.extend([2, 0, 0, 0]);
    out.extend_from_slice(&performative);
    out.extend_from_slice(&fields[..12]);
}

/// What may be read of an error.
fn words(mut fields: wire::Fields<'_>) -> String {
    let mut out = String::new();
    while let Some(field) = fields.raw() {
        out.extend(
            String::from_utf8_lossy(field)
                .chars()
                .filter(|c| !c.is_control()),
        );
    }
    out
}

/// Number in a message-id of this run.
fn numbered(id: &str, mark: &str) -> Option<usize> {
    let rest = id.strip_prefix(mark)?.strip_prefix("-0000-4000-8000-")?;
    usize::from_str_radix(rest, 16).ok()
}

/// A transfer with the places that change from message to message.
struct Letter {
    bytes: Vec<u8>,
    delivery: [usize; 2],
    ids: Vec<usize>,
}

const BLANK: &str = "00000000-0000-4000-8000-000000000000";

impl Letter {
    fn new(lane: &Lane, bytes: usize) -> Self {
        let (from, to) = (lane.from.to_string(), lane.to.to_string());
        let now = jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string();
        let properties = wire::list(
            0x73,
            &[
                Field::Text(BLANK),
                Field::Null,
                Field::Text(&lane.queue),
                Field::Text("DIALOG_NOTAT"),
                Field::Text(&lane.queue),
                Field::Text(BLANK),
                Field::Symbol("application/pkcs7-mime; smime-type=signed-and-enveloped-data"),
            ],
        );
        let application = text_map(&from, &to, &now);
        // No two runs send the same bytes, and they cannot be squeezed: encrypted messages cannot.
        let body: Vec<u8> = (0..bytes).map(|_| rand::random()).collect();
        let mut data = vec![0x00, 0x53, 0x75, 0xb0];
        data.extend((body.len() as u32).to_be_bytes());
        data.extend(body);
        let header = wire::list(0x70, &[Field::Bool(true)]);
        let payload = [header, properties, application, data].concat();
        let transfer = wire::list(
            wire::TRANSFER,
            &[
                Field::Int(0),
                Field::Int(0),
                Field::Bytes(&[0; 4]),
                Field::Int(0),
                Field::Bool(false),
                Field::Bool(false),
            ],
        );
        let mut out = Vec::new();
        wire::frame(&mut out, 0, 0, &transfer, &payload);
        // Frame header, list header, handle, constructor of the delivery-id.
        let delivery = 8 + 12 + 5 + 1;
        let ids = find_all(&out, BLANK.as_bytes());
        Self {
            bytes: out,
            delivery: [delivery, delivery + 4 + 2],
            ids,
        }
    }

    fn write(&mut self, out: &mut Vec<u8>, delivery: u32, run: u32, number: u64) {
        for at in self.delivery {
            if let Some(place) = self.bytes.get_mut(at..at + 4) {
                place.copy_from_slice(&delivery.to_be_bytes());
            }
        }
        let id = format!("{run:08x}-0000-4000-8000-{number:012x}");
        for at in &self.ids {
            if let Some(place) = self.bytes.get_mut(*at..*at + id.len()) {
                place.copy_from_slice(id.as_bytes());
            }
        }
        out.extend_from_slice(&self.bytes);
    }
}

fn text_map(from: &str, to: &str, now: &str) -> Vec<u8> {
    let entries = [
        ("fromHerId", from),
        ("toHerId", to),
        ("applicationTimeStamp", now),
        ("X-MessageInfo-MsgId", BLANK),
    ];
    wire::text_map(0x74, &entries)
}

fn find_all(haystack: &[u8], needle: &[u8]) -> Vec<usize> {
    let windows = haystack.windows(needle.len()).enumerate();
    windows
        .filter(|(_, window)| *window == needle)
        .map(|(at, _)| at)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_carry_their_numbers() {
        let place = Place {
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            user: String::new(),
            password: String::new(),
        };
        let lane = Lane {
            owner: place.clone(),
            queue: "8900900_async".to_owned(),
            to: 8_900_901,
            sender: place,
            from: 8_900_901,
        };
        let mut letter = Letter::new(&lane, 100);
        assert_eq!(letter.ids.len(), 3);
        let mut out = Vec::new();
        letter.write(&mut out, 7, 0xabcd, 258);
        let mut frame = wire::next(&out).unwrap().unwrap();
        assert_eq!(frame.size, out.len());
        assert_eq!(frame.fields.number(), Some(0));
        assert_eq!(frame.fields.number(), Some(7));
        assert_eq!(frame.fields.raw(), Some(&[0xa0, 4, 0, 0, 0, 7][..]));
        let id = wire::message_id(frame.payload).unwrap();
        assert_eq!(numbered(id, "0000abcd"), Some(258));
    }

    #[test]
    fn an_acceptance_is_a_disposition() {
        let mut out = Vec::new();
        accept(&mut out, 300);
        let mut frame = wire::next(&out).unwrap().unwrap();
        assert_eq!((frame.code, frame.size), (wire::DISPOSITION, out.len()));
        assert_eq!(frame.fields.number(), Some(1));
        assert_eq!(frame.fields.number(), Some(300));
        assert_eq!(frame.fields.number(), None);
        assert_eq!(frame.fields.number(), Some(1));
        assert_eq!(
            frame.fields.raw(),
            Some(&[0, 0x53, wire::ACCEPTED, 0x45][..])
        );
    }
}
