//! A client of AMQP 0.9.1 made of bytes.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const END: u8 = 0xce;

pub struct Raw {
    pub stream: TcpStream,
}

/// A frame: type, channel, payload.
pub type Frame = (u8, u16, Vec<u8>);

/// A delivery as the client sees it.
#[derive(Debug)]
pub struct Delivered {
    pub tag: u64,
    pub redelivered: bool,
    pub header: Vec<u8>,
    pub body: Vec<u8>,
}

pub fn short_string(text: &str) -> Vec<u8> {
    [&[text.len() as u8], text.as_bytes()].concat()
}

pub fn long_string(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

pub fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend(channel.to_be_bytes());
    out.extend((payload.len() as u32).to_be_bytes());
    out.extend(payload);
    out.push(END);
    out
}

/// Arguments of basic.consume.
pub fn consume(queue: &str, tag: &str, bits: u8) -> Vec<u8> {
    [
        &[0, 0][..],
        &short_string(queue),
        &short_string(tag),
        &[bits],
        &[0; 4],
    ]
    .concat()
}

/// Arguments of basic.get.
pub fn get(queue: &str, no_ack: u8) -> Vec<u8> {
    [&[0, 0][..], &short_string(queue), &[no_ack]].concat()
}

/// Arguments of queue.declare.
pub fn declare(queue: &str, bits: u8) -> Vec<u8> {
    [&[0, 0][..], &short_string(queue), &[bits], &[0; 4]].concat()
}

/// Arguments of ack, reject and nack.
pub fn about(tag: u64, bits: u8) -> Vec<u8> {
    [&tag.to_be_bytes()[..], &[bits]].concat()
}

/// Arguments of basic.qos.
pub fn qos(count: u16, global: u8) -> Vec<u8> {
    [&[0; 4][..], &count.to_be_bytes(), &[global]].concat()
}

/// Arguments of connection.start-ok.
pub fn start_ok(mechanism: &str, response: &[u8], is_modern: bool) -> Vec<u8> {
    let inside = [&short_string("authentication_failure_close")[..], b"t\x01"].concat();
    let table = [
        &short_string("capabilities")[..],
        b"F",
        &long_string(&inside),
    ]
    .concat();
    let table = if is_modern { table } else { Vec::new() };
    [
        long_string(&table),
        short_string(mechanism),
        long_string(response),
        short_string("en_US"),
    ]
    .concat()
}

/// Arguments of connection.tune-ok.
pub fn tune_ok(channels: u16, frame: u32, heartbeat_s: u16) -> Vec<u8> {
    [
        &channels.to_be_bytes()[..],
        &frame.to_be_bytes(),
        &heartbeat_s.to_be_bytes(),
    ]
    .concat()
}

pub const LOGIN: &[u8] = "\0vaar-epj\0hemmelig:ø".as_bytes();

impl Raw {
    pub async fn connect(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"AMQP\x00\x00\x09\x01").await.unwrap();
        Self { stream }
    }

    /// Logged in, with channel 1 open.
    pub async fn open(address: SocketAddr) -> Self {
        let mut raw = Self::tuned(address, tune_ok(0, 0, 0)).await;
        raw.expect(0, (10, 41)).await;
        raw.call(1, (20, 10), &[0]).await;
        raw.expect(1, (20, 11)).await;
        raw
    }

    /// Logged in, tuned like this; open is asked for.
    pub async fn tuned(address: SocketAddr, tune: Vec<u8>) -> Self {
        let mut raw = Self::connect(address).await;
        raw.expect(0, (10, 10)).await;
        raw.call(0, (10, 11), &start_ok("PLAIN", LOGIN, true)).await;
        raw.expect(0, (10, 30)).await;
        raw.call(0, (10, 31), &tune).await;
        let open = [&short_string("/")[..], &[0, 0]].concat();
        raw.call(0, (10, 40), &open).await;
        raw
    }

    pub async fn call(&mut self, channel: u16, id: (u16, u16), arguments: &[u8]) {
        let payload = [&id.0.to_be_bytes()[..], &id.1.to_be_bytes(), arguments].concat();
        let _ = self.stream.write_all(&frame(1, channel, &payload)).await;
    }

    /// The next frame that is no heartbeat; none when the server has closed.
    pub async fn next(&mut self) -> Option<Frame> {
        let read = async {
            loop {
                let mut head = [0; 7];
                self.stream.read_exact(&mut head).await.ok()?;
                let size = u32::from_be_bytes(head[3..].try_into().unwrap());
                let mut payload = vec![0; size as usize + 1];
                self.stream.read_exact(&mut payload).await.ok()?;
                assert_eq!(payload.pop(), Some(END));
                if head[0] != 8 {
                    let channel = u16::from_be_bytes([head[1], head[2]]);
                    return Some((head[0], channel, payload));
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), read)
            .await
            .expect("an answer, or the end")
    }

    /// The arguments of this method, which is what comes next.
    pub async fn expect(&mut self, channel: u16, id: (u16, u16)) -> Vec<u8> {
        let (kind, on, payload) = self.next().await.expect("a method");
        let class = u16::from_be_bytes([payload[0], payload[1]]);
        let method = u16::from_be_bytes([payload[2], payload[3]]);
        let text = String::from_utf8_lossy(&payload);
        assert_eq!((kind, on, (class, method)), (1, channel, id), "{text}");
        payload[4..].to_vec()
    }

    /// Code and text of the close that comes next on this channel (0: the connection), agreed to.
    pub async fn closed(&mut self, channel: u16) -> (u16, String) {
        let class = if channel == 0 { 10 } else { 20 };
        let method = if channel == 0 { 50 } else { 40 };
        let arguments = self.expect(channel, (class, method)).await;
        self.call(channel, (class, method + 1), &[]).await;
        let text = &arguments[3..3 + usize::from(arguments[2])];
        let code = u16::from_be_bytes([arguments[0], arguments[1]]);
        (code, String::from_utf8(text.to_vec()).unwrap())
    }

    /// A consumer on channel 1.
    pub async fn consume(&mut self, tag: &str, bits: u8) {
        self.call(1, (60, 20), &consume(crate::QUEUE, tag, bits))
            .await;
        self.expect(1, (60, 21)).await;
    }

    /// The next delivery on channel 1, to a consumer or to `get`.
    pub async fn delivered(&mut self) -> Delivered {
        let (_, _, method) = self.next().await.expect("a delivery");
        let at = match &method[..4] {
            [0, 60, 0, 60] => 5 + usize::from(method[4]),
            [0, 60, 0, 71] => 4,
            _ => panic!("{}", String::from_utf8_lossy(&method)),
        };
        let (kind, _, header) = self.next().await.unwrap();
        assert_eq!((kind, &header[..4]), (2, &[0, 60, 0, 0][..]));
        let size = u64::from_be_bytes(header[4..12].try_into().unwrap());
        let mut body = Vec::new();
        while (body.len() as u64) < size {
            let (kind, _, part) = self.next().await.unwrap();
            assert_eq!(kind, 3);
            body.extend(part);
        }
        Delivered {
            tag: u64::from_be_bytes(method[at..at + 8].try_into().unwrap()),
            redelivered: method[at + 8] == 1,
            header,
            body,
        }
    }
}
