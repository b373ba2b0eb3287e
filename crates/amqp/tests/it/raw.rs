//! AMQP frames by hand, for what a library of ours would never send. The encodings are the long ones, as AmqpNetLite uses them.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub const OPEN: u64 = 0x10;
pub const BEGIN: u64 = 0x11;
pub const ATTACH: u64 = 0x12;
pub const FLOW: u64 = 0x13;
pub const TRANSFER: u64 = 0x14;
pub const DISPOSITION: u64 = 0x15;
pub const DETACH: u64 = 0x16;
pub const END: u64 = 0x17;
pub const CLOSE: u64 = 0x18;
pub const ACCEPTED: u64 = 0x24;
pub const SOURCE: u64 = 0x28;
pub const TARGET: u64 = 0x29;
pub const COORDINATOR: u64 = 0x30;
pub const PROPERTIES: u64 = 0x73;
pub const DATA: u64 = 0x75;
pub const VALUE: u64 = 0x77;
const SASL_INIT: u64 = 0x41;

/// A value on the wire.
#[derive(Debug, Clone, PartialEq)]
pub enum V {
    Null,
    Bool(bool),
    Ubyte(u8),
    Uint(u32),
    Ulong(u64),
    Text(String),
    Symbol(String),
    Bytes(Vec<u8>),
    List(Vec<V>),
    Described(u64, Box<V>),
    /// Something the tests do not look at.
    Other,
}

pub fn text(text: &str) -> V {
    V::Text(text.to_owned())
}

pub fn described(code: u64, fields: Vec<V>) -> V {
    V::Described(code, Box::new(V::List(fields)))
}

impl V {
    pub fn encode(&self) -> Vec<u8> {
        let long = |code: u8, bytes: &[u8]| {
            [&[code][..], &(bytes.len() as u32).to_be_bytes(), bytes].concat()
        };
        match self {
            Self::Null | Self::Other => vec![0x40],
            Self::Bool(value) => vec![if *value { 0x41 } else { 0x42 }],
            Self::Ubyte(value) => vec![0x50, *value],
            Self::Uint(value) => [&[0x70][..], &value.to_be_bytes()].concat(),
            Self::Ulong(value) => [&[0x80][..], &value.to_be_bytes()].concat(),
            Self::Text(value) => long(0xb1, value.as_bytes()),
            Self::Symbol(value) => long(0xb3, value.as_bytes()),
            Self::Bytes(value) => long(0xb0, value),
            Self::List(values) => {
                let inner: Vec<u8> = values.iter().flat_map(Self::encode).collect();
                let count = (values.len() as u32).to_be_bytes();
                long(0xd0, &[&count[..], &inner].concat())
            }
            Self::Described(code, value) => {
                [&[0x00][..], &Self::Ulong(*code).encode(), &value.encode()].concat()
            }
        }
    }

    pub fn uint(&self) -> Option<u32> {
        match self {
            Self::Uint(value) => Some(*value),
            Self::Ubyte(value) => Some(u32::from(*value)),
            _ => None,
        }
    }
}

fn number(bytes: &mut &[u8], count: usize) -> u64 {
    let (now, later) = bytes.split_at(count);
    *bytes = later;
    now.iter()
        .fold(0, |acc, byte| (acc << 8) | u64::from(*byte))
}

fn taken(bytes: &mut &[u8], count: u64) -> Vec<u8> {
    let (now, later) = bytes.split_at(count as usize);
    *bytes = later;
    now.to_vec()
}

pub fn decode(bytes: &mut &[u8]) -> V {
    let code = number(bytes, 1) as u8;
    match code {
        0x00 => {
            let V::Ulong(code) = decode(bytes) else {
                panic!("a descriptor that is no number")
            };
            V::Described(code, Box::new(decode(bytes)))
        }
        0x40 => V::Null,
        0x41 | 0x42 => V::Bool(code == 0x41),
        0x43 => V::Uint(0),
        0x44 => V::Ulong(0),
        0x45 => V::List(Vec::new()),
        0x50 => V::Ubyte(number(bytes, 1) as u8),
        0x52 => V::Uint(number(bytes, 1) as u32),
        0x53 => V::Ulong(number(bytes, 1)),
        0x56 => V::Bool(number(bytes, 1) == 1),
        0x70 => V::Uint(number(bytes, 4) as u32),
        0x80 => V::Ulong(number(bytes, 8)),
        0xa0 | 0xa1 | 0xa3 | 0xb0 | 0xb1 | 0xb3 => {
            let length = number(bytes, if code < 0xb0 { 1 } else { 4 });
            let raw = taken(bytes, length);
            match code & 0x0f {
                0 => V::Bytes(raw),
                1 => V::Text(String::from_utf8(raw).unwrap()),
                _ => V::Symbol(String::from_utf8(raw).unwrap()),
            }
        }
        0xc0 | 0xd0 => {
            let width = if code == 0xc0 { 1 } else { 4 };
            let size = number(bytes, width);
            let inner = taken(bytes, size);
            let mut inner = inner.as_slice();
            let count = number(&mut inner, width);
            V::List((0..count).map(|_| decode(&mut inner)).collect())
        }
        // Sizes of the other encodings (AMQP part 1 §1.3).
        _ => {
            let size = match code >> 4 {
                5 => 1,
                6 => 2,
                7 => 4,
                8 => 8,
                9 => 16,
                0xa | 0xc | 0xe => number(bytes, 1),
                _ => number(bytes, 4),
            };
            taken(bytes, size);
            V::Other
        }
    }
}

/// One frame, ready to send.
pub fn frame(code: u64, fields: Vec<V>, payload: &[u8]) -> Vec<u8> {
    typed_frame(0, code, fields, payload)
}

fn typed_frame(kind: u8, code: u64, fields: Vec<V>, payload: &[u8]) -> Vec<u8> {
    let body = [&described(code, fields).encode()[..], payload].concat();
    let size = (8 + body.len() as u32).to_be_bytes();
    [&size[..], &[2, kind, 0, 0], &body].concat()
}

/// What the server said in one frame.
pub struct Said {
    pub code: u64,
    pub fields: Vec<V>,
    pub payload: Vec<u8>,
}

impl Said {
    pub fn field(&self, at: usize) -> &V {
        self.fields.get(at).unwrap_or(&V::Null)
    }

    pub fn uint(&self, at: usize) -> Option<u32> {
        self.field(at).uint()
    }
}

pub struct Raw {
    socket: TcpStream,
}

impl Raw {
    /// Logs in and opens; nothing waits for an answer that need not.
    pub async fn open(address: SocketAddr) -> Self {
        Self::open_with(address, 262_144, V::Null).await
    }

    /// The same with frames so large at most, and so many milliseconds of silence.
    pub async fn open_with(address: SocketAddr, max_frame: u32, idle: V) -> Self {
        let mut raw = Self {
            socket: TcpStream::connect(address).await.unwrap(),
        };
        let response = format!("\0{}\0{}", crate::USER, crate::PASSWORD).into_bytes();
        let init = vec![
            V::Symbol("PLAIN".to_owned()),
            V::Bytes(response),
            text("localhost"),
        ];
        raw.send(&[
            b"AMQP\x03\x01\x00\x00".to_vec(),
            typed_frame(1, SASL_INIT, init, &[]),
        ])
        .await;
        assert_eq!(raw.bytes(8).await, b"AMQP\x03\x01\x00\x00");
        let (mechanisms, outcome) = (raw.next().await.unwrap(), raw.next().await.unwrap());
        assert_eq!((mechanisms.code, outcome.code), (0x40, 0x44));
        assert_eq!(outcome.field(0), &V::Ubyte(0));
        let open = vec![
            text("container"),
            text("localhost"),
            V::Uint(max_frame),
            V::Null,
            idle,
        ];
        // Its transfers begin to count three before the end of the numbers.
        let begin = vec![
            V::Null,
            V::Uint(u32::MAX - 2),
            V::Uint(2048),
            V::Uint(2048),
            V::Uint(63),
        ];
        let header = b"AMQP\x00\x01\x00\x00".to_vec();
        raw.send(&[header, frame(OPEN, open, &[]), frame(BEGIN, begin, &[])])
            .await;
        raw
    }

    /// Reads the answers to header, open and begin.
    pub async fn opened(&mut self) {
        assert_eq!(self.bytes(8).await, b"AMQP\x00\x01\x00\x00");
        self.until(OPEN).await;
        self.until(BEGIN).await;
    }

    pub async fn send(&mut self, chunks: &[Vec<u8>]) {
        self.socket.write_all(&chunks.concat()).await.unwrap();
    }

    pub async fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.socket.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    /// The next frame that is not empty; nothing when the connection has ended.
    pub async fn next(&mut self) -> Option<Said> {
        loop {
            let mut head = [0; 8];
            self.socket.read_exact(&mut head).await.ok()?;
            let size = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
            let body = self.bytes(size - 8).await;
            if body.is_empty() {
                continue;
            }
            let mut rest = body.as_slice();
            let V::Described(code, fields) = decode(&mut rest) else {
                panic!("no performative")
            };
            let V::List(fields) = *fields else {
                panic!("no list of fields")
            };
            return Some(Said {
                code,
                fields,
                payload: rest.to_vec(),
            });
        }
    }

    /// The next frame of this kind; a detach or an end before it is a fault.
    pub async fn until(&mut self, code: u64) -> Said {
        loop {
            let said = self.next().await.expect("the connection ended");
            if said.code == code {
                return said;
            }
            assert!(
                said.code < DETACH,
                "ended while {code:#x} was awaited: {:?}",
                said.fields
            );
        }
    }
}

impl Said {
    /// Condition of the error in this field.
    pub fn condition(&self, at: usize) -> String {
        match self.field(at) {
            V::Described(0x1d, error) => match &**error {
                V::List(fields) => match fields.first() {
                    Some(V::Symbol(condition)) => condition.clone(),
                    other => panic!("no condition: {other:?}"),
                },
                other => panic!("no error: {other:?}"),
            },
            other => panic!("no error: {other:?}"),
        }
    }
}

/// A flow for a link on which the client receives.
pub fn flow(window: u32, count: u32, credit: u32, drain: bool, echo: bool) -> Vec<u8> {
    let fields = vec![
        V::Uint(0),
        V::Uint(window),
        V::Uint(u32::MAX - 2),
        V::Uint(2048),
        V::Uint(0),
        V::Uint(count),
        V::Uint(credit),
        V::Null,
        V::Bool(drain),
        V::Bool(echo),
    ];
    frame(FLOW, fields, &[])
}

/// One transfer of a delivery of several.
pub fn part(delivery: Option<u32>, more: bool, aborted: bool, bytes: &[u8]) -> Vec<u8> {
    let fields = vec![
        V::Uint(0),
        delivery.map_or(V::Null, V::Uint),
        V::Null,
        V::Null,
        V::Null,
        V::Bool(more),
        V::Null,
        V::Null,
        V::Null,
        V::Bool(aborted),
    ];
    frame(TRANSFER, fields, bytes)
}

/// A link on which the client sends.
pub fn attach_sender(address: &str) -> Vec<u8> {
    let fields = vec![
        text("sender-link-1"),
        V::Uint(0),
        V::Bool(false),
        V::Null,
        V::Null,
        described(SOURCE, Vec::new()),
        described(TARGET, vec![text(address)]),
        V::Null,
        V::Null,
        V::Uint(0),
    ];
    frame(ATTACH, fields, &[])
}

/// A link on which the client receives, and credit for it.
pub fn attach_receiver(address: &str, receiver_settle_mode: V, credit: u32) -> Vec<u8> {
    let attach = vec![
        text("receiver-link-1"),
        V::Uint(0),
        V::Bool(true),
        V::Null,
        receiver_settle_mode,
        described(SOURCE, vec![text(address)]),
        described(TARGET, Vec::new()),
    ];
    let flow = vec![
        V::Uint(0),
        V::Uint(2048),
        V::Uint(u32::MAX - 2),
        V::Uint(2048),
        V::Uint(0),
        V::Uint(0),
        V::Uint(credit),
    ];
    [frame(ATTACH, attach, &[]), frame(FLOW, flow, &[])].concat()
}

/// One message in one frame.
pub fn transfer(delivery: u32, message: &[u8]) -> Vec<u8> {
    let fields = vec![
        V::Uint(0),
        V::Uint(delivery),
        V::Bytes(delivery.to_be_bytes().to_vec()),
        V::Uint(0),
        V::Bool(false),
        V::Bool(false),
    ];
    frame(TRANSFER, fields, message)
}

/// A receiver's settled disposition.
pub fn settle(first: u32, last: u32) -> Vec<u8> {
    let fields = vec![
        V::Bool(true),
        V::Uint(first),
        V::Uint(last),
        V::Bool(true),
        described(ACCEPTED, Vec::new()),
    ];
    frame(DISPOSITION, fields, &[])
}
